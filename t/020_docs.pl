# The documents tell the truth: docs/reference.md and the catalog name the same
# things, no document names what does not exist, links lead somewhere, the
# migrations of examples/ do what their comments say, and so do the GRANT lines.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PoolTest;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('docs');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'pool_optimizer'
max_connections = 100
pool_optimizer.mode = enforce
pool_optimizer.sample_interval = 20ms
});
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION pool_optimizer;
CREATE DATABASE app;
CREATE ROLE shop LOGIN;
CREATE ROLE batch LOGIN;
CREATE ROLE platform LOGIN;
});

# ---------------------------------------------------------------------------
# Reading documents and catalog
# ---------------------------------------------------------------------------

sub slurp_doc
{
	my ($file) = @_;
	open my $fh, '<', $file or die "$file: $!";
	local $/;
	return scalar <$fh>;
}

sub query_rows
{
	my ($sql) = @_;
	return map { [ split /\t/, $_, -1 ] } split /\n/,
	  $node->safe_psql('postgres', $sql, extra_params => [ '-F', "\t" ]);
}

# The text under a heading, up to the next one of the same or a higher level.
sub section
{
	my ($text, $heading) = @_;
	my ($hashes) = $heading =~ /^(#+)/;
	my $level = length $hashes;
	return '' unless $text =~ /^\Q$heading\E$/mg;
	my $rest = substr $text, pos $text;
	$rest =~ s/^#{1,$level} .*//ms;
	return $rest;
}

# Tables of a text, each a list of rows without its heading.
sub tables
{
	my ($text) = @_;
	my @tables;
	my $open = 0;
	foreach my $line (split /\n/, $text)
	{
		if ($line !~ /^\|/)
		{
			$open = 0;
			next;
		}
		next if $line =~ /^\|[-|]+\|$/;
		if (!$open)
		{
			push @tables, [];
			$open = 1;
			next;
		}
		$line =~ s/^\|\s*|\s*\|$//g;
		push @{ $tables[-1] }, [ map { s/^\s+|\s+$|`//gr } split /\|/, $line, -1 ];
	}
	return @tables;
}

my %short = (
	'double precision' => 'float8',
	'timestamp with time zone' => 'timestamptz');

sub short_type { return $short{ $_[0] } // $_[0] }

# ---------------------------------------------------------------------------
# docs/reference.md and the catalog
# ---------------------------------------------------------------------------

my $reference = slurp_doc('docs/reference.md');

# Settings: name, type, default, unit, range, and when a change applies.
my %applies = (sighup => 'reload', postmaster => 'restart', backend => 'connection');
my @settings = map {
	my ($name, $type, $default, $unit, $min, $max, $enum, $context) = @$_;
	my $range = $type eq 'enum' ? $enum : $type eq 'bool' ? 'on, off' :
	  $type eq 'integer' ? "$min .. $max" : '';
	join ' | ', $name, $type, $default, $unit, $range, $applies{$context};
} query_rows(
	q{SELECT name, vartype, boot_val, coalesce(unit, ''), coalesce(min_val, ''),
		coalesce(max_val, ''), coalesce(array_to_string(enumvals, ', '), ''), context
	FROM pg_settings WHERE name LIKE 'pool\_optimizer.%'});
my ($settings_table) = tables(section($reference, '## Settings'));
my @documented = map { join ' | ', @{$_}[ 0 .. 5 ] } @$settings_table;
is(join("\n", sort @documented), join("\n", sort @settings), 'settings');

# Relations with their columns, in order.
my %relation_heading = (r => '## Table', v => '### View');
my @relations = query_rows(
	q{SELECT c.relname, c.relkind FROM pg_class c JOIN pg_depend d ON d.objid = c.oid
		AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid
	WHERE e.extname = 'pool_optimizer' AND c.relkind IN ('r', 'v') ORDER BY 1});
foreach my $relation (@relations)
{
	my ($name, $kind) = @$relation;
	my ($table) = tables(section($reference, "$relation_heading{$kind} $name"));
	my @columns = map { "$_->[0] " . short_type($_->[1]) } query_rows(
		"SELECT column_name, data_type FROM information_schema.columns
		WHERE table_name = '$name' ORDER BY ordinal_position");
	is(join("\n", map { "$_->[0] $_->[1]" } @{ $table // [] }),
		join("\n", @columns), "columns of $name");
}
my @documented_relations = $reference =~ /^#+ (?:View|Table) (\w+)$/mg;
is(join(' ', sort @documented_relations),
	join(' ', sort map { $_->[0] } @relations), 'views and tables');

# Functions with their arguments and results.
my $is_own_function =
  q{FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid
		AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid WHERE e.extname = 'pool_optimizer'};
my @functions = map { $_->[0] } query_rows("SELECT p.proname $is_own_function ORDER BY 1");
my %helper = map { $_ => 1 } section($reference, '### Functions behind views and exporters') =~ /`(\w+)\(/g;
my %has_section = map { $_ => 1 } $reference =~ /^### (pool_\w+)$/mg;
is(join(' ', sort keys %helper, keys %has_section), join(' ', @functions), 'functions');

foreach my $name (sort keys %has_section)
{
	my $section = section($reference, "### $name");
	my @tables = tables($section);
	my @in = query_rows(
		"SELECT u.name, format_type(u.type, NULL),
			coalesce(regexp_replace(pg_get_function_arg_default(p.oid, u.n::int),
				'::.*', ''), '')
		FROM (SELECT p.* $is_own_function) p,
			unnest(p.proargnames, coalesce(p.proallargtypes, p.proargtypes::oid[]),
				p.proargmodes) WITH ORDINALITY AS u(name, type, mode, n)
		WHERE p.proname = '$name' AND coalesce(u.mode, 'i') = 'i' ORDER BY u.n");
	my @out = query_rows(
		"SELECT u.name, format_type(u.type, NULL)
		FROM (SELECT p.* $is_own_function) p,
			unnest(p.proargnames, p.proallargtypes, p.proargmodes)
				WITH ORDINALITY AS u(name, type, mode, n)
		WHERE p.proname = '$name' AND u.mode = 'o' ORDER BY u.n");
	unshift @tables, [] if !@in;
	is( join("\n", map { "$_->[0] $_->[1] $_->[2]" } @{ $tables[0] // [] }),
		join("\n", map { "$_->[0] " . short_type($_->[1]) . " $_->[2]" } @in),
		"arguments of $name");
	is( join("\n", map { "$_->[0] $_->[1]" } @{ $tables[1] // [] }),
		join("\n", map { "$_->[0] " . short_type($_->[1]) } @out),
		"columns that $name returns")
	  if @out;
	next if @out;
	my ($result) = query_rows(
		"SELECT regexp_replace(pg_get_function_result(p.oid), '.*\\.', '')
		$is_own_function AND p.proname = '$name'");
	like($section, qr/`\Q$result->[0]\E`/, "result of $name");
}

# Words that a column can say: the catalog has them in the column's comment.
my %said_by = (
	alert => [ 'pool_alerts', 'alert' ],
	finding => [ 'pool_findings', 'kind' ],
	kind => [ 'pool_events', 'kind' ],
	class => [ 'pool_stats_session', 'class' ],
	exempt => [ 'pool_stats_session', 'exempt' ],
	verdict => [ 'pool_stats_session', 'verdict' ]);
foreach my $word (sort keys %said_by)
{
	my ($relation, $column) = @{ $said_by{$word} };
	my ($comment) = query_rows(
		"SELECT col_description(attrelid, attnum) FROM pg_attribute
		WHERE attrelid = '$relation'::regclass AND attname = '$column'");
	my @words = split /,\s*/,
	  $comment->[0] =~ s/^which: //r =~ s/^[^:]*ended: //r =~ s/;.*//r =~ s/or a leak: //r =~ s/ \([^)]*\)//gr;
	my ($table) = tables(($reference =~ /<!-- names: $word -->\n(.*)/s)[0] // '');
	is( join(' ', sort map { $_->[0] } @{ $table // [] }),
		join(' ', sort @words), "words of $relation.$column");
}

# SQLSTATEs of functions: provoked, and in the table.
my $errors = section($reference, '## Errors');
my %provoked = (
	q{SELECT pool_set_quota('x', max_connections => -2)} => '22023',
	q{SELECT pool_set_quota(NULL)} => '22023',
	q{SET ROLE shop; SELECT pool_sync()} => '42501',
	q{SET pool_optimizer.nothing = 1} => '42602',
	q{SELECT pool_reset_stats('nobody')} => '42704',
	q{SELECT pool_drop_policy('nobody')} => '42704',
	q{SET pool_optimizer.mode = off} => '55P02');
foreach my $sql (sort keys %provoked)
{
	my (undef, undef, $stderr) =
	  $node->psql('postgres', "\\set VERBOSITY sqlstate\n$sql;");
	like($stderr, qr/ERROR:  $provoked{$sql}$/m, "$sql: $provoked{$sql}");
	like($errors, qr/^\| $provoked{$sql} \|/m, "$provoked{$sql} is documented");
}
$node->safe_psql('app', 'CREATE EXTENSION pool_optimizer');
my (undef, undef, $elsewhere) = $node->psql('app',
	"\\set VERBOSITY sqlstate\nSELECT pool_set_quota('x', 1);");
like($elsewhere, qr/ERROR:  55000$/m, 'policies change in their database only');

# ---------------------------------------------------------------------------
# All documents
# ---------------------------------------------------------------------------

my @documents = ('README.md', 'CHANGELOG.md', glob('docs/*.md'), glob('docs/guides/*.md'));

# Every name of ours that a document mentions is there.
my %known = map { $_ => 1 } @functions, (map { $_->[0] } @relations),
  (map { $_->[0] } query_rows(
		q{SELECT DISTINCT column_name FROM information_schema.columns
		WHERE table_name LIKE 'pool\_%'}));
# Those after the first are of poolers and drivers.
$known{$_} = 1 foreach qw(pool_optimizer pool_mode pool_size pool_timeout pool_ttl
  pool_recycle pool_pre_ping pool_use_lifo);
# Metrics, as t/056_metrics.pl compares them with the reference.
$known{$_} = 1 foreach $reference =~ /^\| `(pool_optimizer_\w+)` \|/mg;
my %setting = map { $_->[0] => 1 } query_rows('SELECT name FROM pg_settings');
foreach my $document (@documents)
{
	my $text = slurp_doc($document);
	my @unknown;
	while ($text =~ /(?<![\w.-])(pool_[a-z0-9_]+)(\.[a-z_]+)?(\(?)/g)
	{
		my ($name, $member) = ($1, $2 // '');
		next if $name eq 'pool_optimizer' && $member =~ /^\.(conf|so|stat|control|c)$/;
		push @unknown, "$name$member"
		  unless $known{$name}
		  && ($member eq '' || $setting{"$name$member"} || $known{ substr $member, 1 });
	}
	is("@unknown", '', "$document names only what exists");
}

# Links within the repository.
foreach my $document (@documents)
{
	my $text = slurp_doc($document);
	my $folder = $document =~ m{^(.*)/} ? "$1/" : '';
	my @dead;
	while ($text =~ /\]\(([^)\s]+)\)/g)
	{
		my $link = $1;
		next if $link =~ /^https?:/;
		my ($file, $anchor) = split /#/, $link, 2;
		my $target = $file eq '' ? $document : "$folder$file";
		if (!-e $target)
		{
			push @dead, $link;
			next;
		}
		next unless defined $anchor;
		# As web front ends make anchors of headings.
		my %anchors =
		  map { (lc =~ s/[^\w\- ]//gr =~ s/ /-/gr) => 1 } slurp_doc($target) =~ /^#+ (.*)$/mg;
		push @dead, $link unless $anchors{$anchor};
	}
	is("@dead", '', "links of $document");
}

# ---------------------------------------------------------------------------
# The GRANT lines, and migrations run by the role that got them
# ---------------------------------------------------------------------------

my $guide = slurp_doc('docs/guides/tuning-from-migrations.md');
my @grants = $guide =~ /^(GRANT .*;)$/mg;
is(scalar @grants, 3, 'three GRANT lines in the guide');
is("@{[ $reference =~ /^(GRANT .*;)$/mg ]}", "@grants", 'the same in the reference');

my ($denied) = $node->psql('postgres', q{SELECT pool_set_quota('x', 1)},
	extra_params => [ '-U', 'platform' ]);
isnt($denied, 0, 'without them the platform role may not set a quota');
$node->safe_psql('postgres', $_) foreach @grants;

my @psql = ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-U', 'platform',
	'-d', $node->connstr('postgres'));
my $policies = 'SELECT p::text FROM pool_policies p ORDER BY scope, tenant';

command_ok([ @psql, '-f', 'examples/migrations/001_quotas.sql' ], '001 runs');
my $after_first = $node->safe_psql('postgres', $policies);
is(scalar(split /\n/, $after_first), 4, '001 leaves four policies');
command_ok([ @psql, '-f', 'examples/migrations/001_quotas.sql' ], '001 runs again');
is($node->safe_psql('postgres', $policies), $after_first, 'and changes nothing');

is($node->safe_psql('postgres', 'SELECT pool_sync()', extra_params => [ '-U', 'platform' ]),
	't', 'the policies come into force');
is( $node->safe_psql(
		'postgres',
		q{SELECT max_connections, guaranteed FROM pool_stats WHERE tenant = 'shop@app'}),
	'30|5', 'as 001 says');

# The next login obeys.
my @held = map { $node->background_psql('app', extra_params => [ '-U', 'batch' ]) } 1 .. 2;
my ($rc, undef, $refusal) = psql_as($node, 'batch', 'SELECT 1', dbname => 'app');
is($rc, 2, 'the third batch job is refused');
like($refusal, qr/FATAL:  too many connections for tenant "batch\@app"/, 'in words');
like($refusal, qr/DETAIL:  2 of 2 connections are in use\./, 'with numbers');
like($refusal, qr/HINT:  /, 'and a hint');
$_->quit foreach @held;

# 002 rolls back.
my $told = $node->safe_psql('postgres',
	q{SELECT count(*) FROM pool_events WHERE kind = 'policy'});
my ($stdout, $stderr);
my $ok = IPC::Run::run([ @psql, '-f', 'examples/migrations/002_rolls_back.sql' ],
	'>', \$stdout, '2>', \$stderr);
ok(!$ok, '002 fails');
is($? >> 8, 3, 'with exit status 3');
like($stderr, qr/"guaranteed" must not be greater than max_connections/,
	'and names the number to change');
is($node->safe_psql('postgres', $policies), $after_first, 'it changed nothing');
$node->safe_psql('postgres', 'SELECT pool_sync()');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM pool_events WHERE kind = 'policy'}),
	$told, 'and nothing was told of it');

$node->stop;
done_testing();
