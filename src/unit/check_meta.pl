#!/usr/bin/perl
#
# check_meta.pl SRCDIR
#		Refuses metadata of packages that is not valid or contradicts itself.
#
# META.json is held against the PGXN Meta Spec 1.0.0.  The version is kept by hand in
# the control file alone; META.json, the CHANGELOG and debian/changelog repeat it and
# have to agree, also on whether it is released.  debian/control has to be what
# "pg_buildext updatecontrol" makes of debian/control.in, for whatever versions of
# PostgreSQL it was called.
#
use strict;
use warnings FATAL => 'all';

use JSON::PP;

my ($srcdir) = @ARGV;
die "usage: check_meta.pl SRCDIR\n" unless defined $srcdir && -d $srcdir;

my $n_checks = 0;
my $n_problems = 0;

# The prototype makes a match that fails false, where a list would lose it.
sub check($$$)
{
	my ($ok, $file, $problem) = @_;

	$n_checks++;
	return 1 if $ok;
	print "$file: $problem\n";
	$n_problems++;
	return 0;
}

sub read_file
{
	my ($file) = @_;

	open(my $handle, '<', "$srcdir/$file") or die "$srcdir/$file: $!\n";
	local $/ = undef;
	return scalar <$handle>;
}

# ---------- what a value of META.json may be; undef stands for a missing one ----------

sub is_string { return defined $_[0] && !ref $_[0] && $_[0] =~ /\S/ }
sub is_url { return is_string($_[0]) && $_[0] =~ m{^[a-z][a-z0-9+.-]*://[^/?\#\s]+\S*$}i }
sub is_custom { return $_[0] =~ /^x_/i }

# Semantic Versioning 1.0.0.
my $semver = qr/(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:[A-Za-z][0-9A-Za-z-]*)?/;
sub is_version { return is_string($_[0]) && $_[0] =~ /^$semver$/ }

# One or more such, as in ">= 15.0.0, != 17.1.0"; 0 is any.
sub is_range
{
	return is_string($_[0])
	  && !grep { !/^\s*(?:[<>!=]=|[<>])?\s*(?:$semver|0)\s*$/ } split(/,/, $_[0], -1);
}

sub is_term { return is_string($_[0]) && $_[0] =~ m{^[^\s[:cntrl:]/\\]{2,}$} }
sub is_tag { return is_string($_[0]) && $_[0] =~ m{^[^[:cntrl:]/\\]{1,256}$} }

sub is_one_of
{
	my ($value, @allowed) = @_;

	return is_string($value) && scalar grep { $_ eq $value } @allowed;
}

# A string, or a list of them with one at least.
sub is_list_of
{
	my ($value, $is_right) = @_;
	my @values = ref $value eq 'ARRAY' ? @$value : ($value);

	return @values > 0 && !grep { !$is_right->($_) } @values;
}

my @licenses = qw(
  agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2 gfdl_1_3 gpl_1
  gpl_2 gpl_3 lgpl_2_1 lgpl_3_0 mit mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql
  qpl_1_0 ssleay sun zlib open_source restricted unrestricted unknown);

sub is_license
{
	my ($value) = @_;

	return is_list_of($value, sub { is_one_of($_[0], @licenses) }) unless ref $value eq 'HASH';
	return %$value && !grep { !is_url($_) } values %$value;
}

# ---------- META.json ----------

# check_map WHERE, MAP, KEY => [required, check]...: each key, and no others.
sub check_map
{
	my ($where, $map, %keys) = @_;

	check(ref $map eq 'HASH', 'META.json', "$where is no object") or return;
	foreach my $key (sort keys %keys)
	{
		my ($required, $is_right) = @{ $keys{$key} };

		next if !$required && !exists $map->{$key};
		check(exists $map->{$key}, 'META.json', "$where has no \"$key\"") or next;
		check($is_right->($map->{$key}), 'META.json', "$where: \"$key\" is not valid");
	}
	foreach my $key (sort keys %$map)
	{
		check($keys{$key} || is_custom($key), 'META.json', "$where: unknown \"$key\"");
	}
	return;
}

sub is_object { return ref $_[0] eq 'HASH' && %{ $_[0] } }

sub check_spec
{
	my ($meta) = @_;

	check_map(
		'META.json', $meta,
		'abstract' => [ 1, \&is_string ],
		'description' => [ 0, \&is_string ],
		'generated_by' => [ 0, \&is_string ],
		'license' => [ 1, \&is_license ],
		'maintainer' => [ 1, sub { is_list_of($_[0], \&is_string) } ],
		'meta-spec' => [ 1, \&is_object ],
		'name' => [ 1, \&is_term ],
		'no_index' => [ 0, \&is_object ],
		'prereqs' => [ 0, \&is_object ],
		'provides' => [ 1, \&is_object ],
		'release_status' => [ 0, sub { is_one_of($_[0], qw(stable testing unstable)) } ],
		'resources' => [ 0, \&is_object ],
		'tags' => [ 0, sub { is_list_of($_[0], \&is_tag) } ],
		'version' => [ 1, \&is_version ]);
	check_map(
		'meta-spec', $meta->{'meta-spec'},
		version => [ 1, sub { is_one_of($_[0], '1.0.0') } ],
		url => [ 0, \&is_url ]);

	my $provides = $meta->{provides};
	foreach my $name (ref $provides eq 'HASH' ? sort keys %$provides : ())
	{
		check(is_term($name), 'META.json', "provides: \"$name\" is no name");
		check_map(
			"provides.$name", $provides->{$name},
			abstract => [ 0, \&is_string ],
			docfile => [ 0, \&is_file ],
			file => [ 1, \&is_file ],
			version => [ 1, \&is_version ]);
	}
	check_prereqs($meta->{prereqs}) if ref $meta->{prereqs} eq 'HASH';
	return;
}

sub is_file { return is_string($_[0]) && -f "$srcdir/$_[0]" }

sub check_prereqs
{
	my ($prereqs) = @_;
	my @relations = qw(requires recommends suggests conflicts);

	check_map('prereqs', $prereqs,
		map { $_ => [ 0, \&is_object ] } qw(configure build test runtime develop));
	foreach my $phase (grep { is_object($prereqs->{$_}) } sort keys %$prereqs)
	{
		my $of = $prereqs->{$phase};

		check_map("prereqs.$phase", $of, map { $_ => [ 0, \&is_object ] } @relations);
		foreach my $relation (grep { is_object($of->{$_}) } sort keys %$of)
		{
			check(is_term($_) && is_range($of->{$relation}{$_}),
				'META.json', "prereqs.$phase.$relation: \"$_\" is not valid")
			  foreach sort keys %{ $of->{$relation} };
		}
	}
	return;
}

# ---------- one version, released or not ----------

sub check_versions
{
	my ($meta) = @_;
	my $name = 'pool_optimizer';
	my ($version) = read_file("$name.control") =~ /^default_version\s*=\s*'([^']+)'$/m
	  or die "$name.control: no default_version\n";
	my $provided = ref $meta->{provides} eq 'HASH' ? $meta->{provides}{$name} : undef;

	# The extension's has two numbers while the last of META.json's three is 0.
	my $full = $version =~ /^\d+\.\d+$/ ? "$version.0" : $version;
	check($meta->{name} eq $name, 'META.json', "name is not $name");
	check($meta->{version} eq $full, 'META.json', "version is not $full, as $name.control says");
	if (check(ref $provided eq 'HASH', 'META.json', "does not provide $name"))
	{
		check($provided->{version} eq $full, 'META.json', "provides.$name.version is not $full");
		check($provided->{file} eq "sql/$name--$version.sql",
			'META.json', "provides.$name.file is not the one of $version");
	}

	my ($changes, $remark) = read_file('CHANGELOG.md') =~ /^## (\S+)(?: \(([^)]*)\))?\s*$/m
	  or die "CHANGELOG.md: no version\n";
	my ($debian, $suite) = read_file('debian/changelog') =~ /\A\S+ \((\S+)\) (\S+);/
	  or die "debian/changelog: no version\n";
	check($changes eq $version, 'CHANGELOG.md', "the newest is $changes, not $version");
	check($debian =~ /^\Q$full\E(?:~[a-z0-9.]+)?-\S+$/,
		'debian/changelog', "the newest is $debian, not $full-REVISION");

	my $is_open = ($remark // '') =~ /not released/;
	check(($suite eq 'UNRELEASED') == $is_open,
		'debian/changelog', "$suite, but CHANGELOG.md says " . ($remark // 'nothing'));
	check((($meta->{release_status} // 'stable') ne 'stable') == $is_open,
		'META.json', 'release_status, and CHANGELOG.md says ' . ($remark // 'nothing'));
	return "$full, " . ($is_open ? 'not released' : 'released');
}

# ---------- the oldest PostgreSQL ----------

sub check_postgres
{
	my ($meta) = @_;
	my ($least) = read_file('src/po_compat.h') =~ /^#if PG_VERSION_NUM < (\d+)0000$/m
	  or die "src/po_compat.h: no least PG_VERSION_NUM\n";
	my $wanted = $meta->{prereqs}{runtime}{requires}{PostgreSQL} // 'nothing';

	check($wanted eq "$least.0.0",
		'META.json', "requires PostgreSQL $wanted, src/po_compat.h $least");
	check(read_file('debian/pgversions') eq "$least+\n",
		'debian/pgversions', "is not ${least}+, as src/po_compat.h says");
	return;
}

# ---------- debian/ ----------

sub check_debian
{
	my $control = read_file('debian/control');
	my @versions = $control =~ /^Package: postgresql-(\d+)-/mg;
	my @paragraphs = split(/\n\n+/, read_file('debian/control.in') =~ s/\n+\z//r);

	# As pg_buildext does: a package per version, the rest is for the newest.
	my $made = join("\n\n", map {
		my $paragraph = $_;
		$paragraph =~ /^Package: .*PGVERSION/m
		  ? (map { $paragraph =~ s/PGVERSION/$_/gr } @versions)
		  : $paragraph =~ s/PGVERSION/$versions[-1]/gr
	} @paragraphs);
	check(@versions > 0 && $control eq "$made\n",
		'debian/control', 'is not made of debian/control.in (pg_buildext updatecontrol)');

	# The same words, however they are laid out.
	my ($license) = read_file('debian/copyright') =~ /^License: PostgreSQL\n((?: .*\n)+)\z/m;
	my ($ours) = read_file('LICENSE') =~ /^(Permission to use.*)\z/ms;
	check(words(($license // '') =~ s/^ \.$//mgr) eq words($ours // 'none'),
		'debian/copyright', 'is not what LICENSE says');
	return;
}

sub words { return join(' ', split(' ', $_[0])) }

# ---------- all of it ----------

my $meta = eval { JSON::PP->new->utf8->decode(read_file('META.json')) };
if (check(ref $meta eq 'HASH', 'META.json', 'is no JSON object: ' . ($@ || 'something else')))
{
	check_spec($meta);
	if ($n_problems == 0)
	{
		my $what = check_versions($meta);

		check_postgres($meta);
		check_debian();
		print "check_meta: $what, $n_checks checks: in order\n" if $n_problems == 0;
	}
}
exit($n_problems > 0 ? 1 : 0);
