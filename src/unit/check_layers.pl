#!/usr/bin/perl
#
# check_layers.pl SRCDIR OBJS...
#		Refuses what would tangle the sources.
#
# The order of OBJS is the order of the layers, lowest first: a file includes
# headers of earlier ones only.  A header belongs to the object of the same name;
# one without an object (types, compatibility) is lowest of all.  Beyond that, some
# things may be done in one file only, which po_shmem.h says of its locks itself.
#
use strict;
use warnings FATAL => 'all';

my $TAB = 4;
my $MAX_COLUMNS = 100;
my $MAX_LINES = 60;

# What src/model may include beside "model/...": C99, and names of addresses.
my %standard = map { $_ => 1 } qw(
  assert.h ctype.h errno.h float.h inttypes.h limits.h math.h stdarg.h stdbool.h
  stddef.h stdint.h stdio.h stdlib.h string.h time.h arpa/inet.h netinet/in.h
  sys/socket.h sys/types.h);

# [pattern, what it is, files (or file:function) where it may be]
my @owned = (
	[ qr/\bPG_VERSION_NUM\b/, 'PG_VERSION_NUM', 'po_compat.h' ],
	[ qr/\bDefineCustom\w+\s*\(/, 'a setting', 'po_guc.c' ],
	[ qr/\bkill\s*\(/, 'a signal', 'po_act.c' ],
	[ qr/\bPG_FUNCTION_INFO_V1\b/, 'an SQL function', 'po_publish.c', 'po_policy_sql.c',
		'po_policy_rls.c', 'po_alert_sql.c', 'po_finding_sql.c' ],
	# The second is what the signal handler of a session looks at.
	[ qr/\bPgBackendStatus\b/, "core's PgBackendStatus", 'po_sample.c', 'po_act.c:still_fits' ],
	# Core's locks: of the lock table's partitions, of shared memory's set-up.
	[
		qr/\b(?:LWLock(?:Conditional)?Acquire\w*|SpinLockAcquire)\s*\((?!\s*po_shmem_lock\b)/,
		"a lock that po_shmem.h does not list",
		'po_sample.c', 'po_shmem.c'
	]);

my ($srcdir, @objs) = @ARGV;
die "usage: check_layers.pl SRCDIR OBJS...\n" unless @objs;

my $n_problems = 0;

sub complain
{
	my ($file, $line, $problem) = @_;

	print "$file:$line: $problem\n";
	$n_problems++;
	return;
}

# The lines of a file as they are, and without comments and what is in quotes.
sub read_source
{
	my ($file) = @_;

	open(my $handle, '<:encoding(UTF-8)', "$srcdir/$file") or die "$srcdir/$file: $!\n";
	my $text = do { local $/ = undef; <$handle> };
	close($handle);

	my $code = $text;
	$code =~ s{(/\*.*?\*/)|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')}
			  {defined $1 ? ($1 =~ s/[^\n]//gr) : '""'}gse;
	return ([ split(/\n/, $text, -1) ], [ split(/\n/, $code, -1) ]);
}

sub base
{
	return $_[0] =~ s{.*/}{}r;
}

# Layers by name without suffix.
my %layer;
my $n = 0;
foreach my $obj (@objs)
{
	my $source = $obj =~ s/\.o$/.c/r;

	$layer{ base($source) =~ s/\.c$//r } = ++$n;
	complain('Makefile', 1, "OBJS names $obj, but there is no $source")
	  unless -e "$srcdir/$source";
}

# Every source, also one that OBJS forgot.
my @files = map { s{^\Q$srcdir\E/}{}r }
  map { glob("$srcdir/$_") } ('*.c', 'src/*.[ch]', 'src/model/*.[ch]');
my %header = map { base($_) => 1 } grep { /\.h$/ } @files;

sub layer_of
{
	my ($file) = @_;

	return $layer{ base($file) =~ s/\.[ch]$//r } // 0;
}

# Which file takes which of our locks: the table in the head of po_shmem.h.
my %owner_of_lock;
{
	my ($text) = read_source('src/po_shmem.h');
	my ($lock, $seen);

	foreach (@$text)
	{
		last if $seen && m{\*/};
		$seen = 1 if /^ \*\s+lock\s+guards\s+taken in/;
		next unless $seen;
		$lock = $1 if /^ \*\s+(PO_LOCK_\w+)/;
		$owner_of_lock{$lock} = $1 if defined $lock && /\b(po_\w+\.c)\b/;
	}
	complain('src/po_shmem.h', 1, 'has no table of locks') unless %owner_of_lock;
}

sub check_include
{
	my ($file, $line, $name, $quoted) = @_;
	my $is_model = $file =~ m{^src/model/};

	if ($is_model)
	{
		complain($file, $line, "the model includes \"$name\", not a standard or model header")
		  unless $quoted ? $name =~ m{^model/} : $standard{$name};
	}
	return unless $quoted && $header{ base($name) };
	complain($file, $line,
		"includes \"$name\", which is above it in the Makefile's OBJS")
	  if layer_of($name) > layer_of($file);
	return;
}

sub check_owned
{
	my ($file, $line, $code, $function) = @_;

	foreach (@owned)
	{
		my ($pattern, $what, @where) = @$_;
		my $here = base($file);

		next unless $code =~ $pattern;
		next if grep { $_ eq $here || $_ eq "$here:$function" } @where;
		complain($file, $line, "$what belongs to " . join(', ', @where) . ' alone');
	}
	while ($code =~ /\bpo_shmem_lock\s*\(\s*(\w+)/g)
	{
		my $owner = $owner_of_lock{$1};

		next if base($file) =~ /^po_shmem\.[ch]$/ && !defined $owner;
		complain($file, $line, 'takes a lock that the table of po_shmem.h does not name')
		  unless defined $owner;
		complain($file, $line, "$1 is taken in $owner only, says po_shmem.h")
		  if defined $owner && base($file) ne $owner;
	}
	return;
}

sub check_file
{
	my ($file) = @_;
	my ($text, $code) = read_source($file);
	my ($function, $opened, $before) = ('', 0, '');

	for my $i (0 .. $#$text)
	{
		my $wide = $text->[$i];
		my $plain = $code->[$i];

		1 while $wide =~ s/^([^\t]*)\t/$1 . ' ' x ($TAB - length($1) % $TAB)/e;
		complain($file, $i + 1, length($wide) . " columns, $MAX_COLUMNS are allowed")
		  if length($wide) > $MAX_COLUMNS;
		complain($file, $i + 1, 'has a // comment') if $plain =~ m{//};
		check_include($file, $i + 1, $2, $1 eq '"')
		  if $plain =~ /^\s*#\s*include/ && $text->[$i] =~ /^\s*#\s*include\s*(["<])([^">]+)/;

		# pgindent's layout: the name starts a line, braces of a function are alone.
		$function = $1 if !$opened && $plain =~ /^(\w+)\s*\(/;
		$opened = $i + 1 if $plain =~ /^\{/ && $before =~ /\)\s*$/;
		check_owned($file, $i + 1, $plain, $opened ? $function : '');
		if ($opened && $plain =~ /^\}/)
		{
			my $lines = $i + 2 - $opened;

			complain($file, $opened, "$function has $lines lines, $MAX_LINES are allowed")
			  if $lines > $MAX_LINES;
			$opened = 0;
		}
		$before = $plain if $plain =~ /\S/;
	}
	return;
}

foreach my $file (@files)
{
	complain($file, 1, 'is not in the OBJS of the Makefile')
	  if $file =~ /\.c$/ && !layer_of($file);
	check_file($file);
}

exit 1 if $n_problems > 0;
printf "check_layers: %d files in %d layers, %d owned things, %d locks: in order\n",
  scalar(@files), $n, scalar(@owned), scalar(keys %owner_of_lock);
