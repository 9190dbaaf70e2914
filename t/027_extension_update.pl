# ALTER EXTENSION ... UPDATE to a next version that is made up here, with sessions
# open, policies set and a keeper at work.  New SQL meets the old library, which is
# what a server has until it is restarted: what the library cannot do is refused and
# nothing changes; what it can do is there at once, and nobody notices.
#
# Installing a version needs no right to write into the server's directories: a copy of
# the server's program in a directory of the test's own looks for everything relative
# to where it is.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Path qw(make_path);
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

# ---------- an installation with more versions ----------

my $pg_config = $ENV{PG_CONFIG} || 'pg_config';

sub installed
{
	my ($what) = @_;
	my $directory = qx{$pg_config --$what};

	chomp $directory;
	return $directory;
}

# Everything but what is made here is a link to what is installed.
sub link_all
{
	my ($from, $to, @but) = @_;

	make_path($to);
	opendir my $dir, $from or die "$from: $!";
	for my $name (grep { !/^\.\.?$/ } readdir $dir)
	{
		next if grep { $_ eq $name } @but;
		symlink "$from/$name", "$to/$name" or die "$to/$name: $!";
	}
	closedir $dir;
	return;
}

my $root = PostgreSQL::Test::Utils::tempdir();
my ($bin, $share, $lib) = map { installed($_) } qw(bindir sharedir pkglibdir);

link_all($bin, "$root$bin", 'postgres', 'pg_ctl');
# Programs find out where they are, and links lead to where they were.
for my $program ('postgres', 'pg_ctl')
{
	copy("$bin/$program", "$root$bin/$program") or die "$program: $!";
	chmod 0755, "$root$bin/$program" or die "$program: $!";
}
link_all($share, "$root$share", 'extension');
link_all("$share/extension", "$root$share/extension");
unless (-e "$root$lib")
{
	make_path(dirname("$root$lib"));
	symlink $lib, "$root$lib" or die "$root$lib: $!";
}

my $extension = "$root$share/extension/pool_optimizer";

sub write_script
{
	my ($versions, $text) = @_;

	open my $file, '>', "$extension--$versions.sql" or die "$extension--$versions.sql: $!";
	print $file $text;
	close $file or die "$extension--$versions.sql: $!";
	return;
}

# A version whose library is not there yet.
write_script('1.0--2.0', q{
	ALTER TABLE pool_policies ADD COLUMN note text DEFAULT 'of 2.0';
	UPDATE pool_policies SET max_connections = 3;
	CREATE FUNCTION pool_of_tomorrow() RETURNS integer
		AS 'MODULE_PATHNAME', 'pool_of_tomorrow_2_0' LANGUAGE C;
});
# One that the old library can serve: columns that it does not know, a view with more
# columns, SQL functions, another definition of an existing function; and a table that
# is rewritten, since that hides rows from whoever looks with an older snapshot.
write_script('1.0--1.1', q{
	ALTER TABLE pool_policies ADD COLUMN note text DEFAULT clock_timestamp()::text;
	COMMENT ON COLUMN pool_policies.note IS 'since 1.1: what this policy is for';
	CREATE OR REPLACE VIEW pool_stats AS SELECT *, 1.1 AS since_1_1 FROM pool_stats();
	CREATE VIEW pool_quotas AS SELECT tenant, max_connections, sessions FROM pool_stats;
	CREATE FUNCTION pool_note(scope text, tenant text, note text) RETURNS pool_policies
		LANGUAGE sql VOLATILE PARALLEL UNSAFE
		AS 'UPDATE pool_policies p SET note = $3 WHERE p.scope = $1 AND p.tenant = $2 RETURNING p';
	REVOKE ALL ON FUNCTION pool_note(text, text, text) FROM PUBLIC;
	CREATE OR REPLACE FUNCTION pool_sync(timeout interval DEFAULT '6s') RETURNS boolean
		AS 'MODULE_PATHNAME', 'pool_sync_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
});
# One that takes a column away again, so that numbers of columns and their places differ.
write_script('1.1--1.2', q{
	DROP VIEW pool_quotas;
	DROP FUNCTION pool_note(text, text, text);
	ALTER TABLE pool_policies DROP COLUMN note;
	ALTER TABLE pool_policies ADD COLUMN owner name;
});

# Commands are looked up there first.
$ENV{PATH} = "$root$bin:$ENV{PATH}";

my $node = new_node(-extension => 0);
my $path = $node->safe_psql('postgres', q{SELECT path
	FROM pg_extension_update_paths('pool_optimizer') WHERE source = '1.0' AND target = '1.2'});

if ($path ne '1.0--1.1--1.2')
{
	$node->stop;
	plan skip_all => 'a copy of this PostgreSQL does not look for its files where it is';
}

# ---------- what there is before ----------

my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
my $A = 'regress_pool_a@other';
my $B = 'regress_pool_b@other';

sub run
{
	my ($session, @sql) = @_;

	for my $sql (@sql)
	{
		$session->query($sql) // die "\"$sql\" failed: " . $session->error_text;
	}
	return;
}

# The second database stays at 1.0 to the end.
create_roles($node, 'regress_pool_a', 'regress_pool_b');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql($_, q{CREATE EXTENSION pool_optimizer VERSION '1.0'}) for 'postgres', 'other';

my ($ddl, $old) = map { open_session($node, $superuser) } 1, 2;
my $other = open_session($node, $superuser, dbname => 'other');
my @looks = (
	'EXECUTE stats', 'EXECUTE change', 'EXECUTE policies',
	'SELECT count(*) FROM pool_stats_session', 'SELECT health FROM pool_stats_cluster',
	'SELECT * FROM pool_recommendations', 'SELECT pool_sync()');

run($old, "PREPARE stats AS SELECT max_connections FROM pool_stats WHERE tenant = '$B'",
	"PREPARE change AS SELECT (pool_set_quota('$B', max_connections => 7)).max_connections",
	'PREPARE policies AS SELECT scope, tenant, max_connections FROM pool_policies',
	"SELECT pool_set_quota('$A', max_connections => 1)", @looks);
$other->value("SELECT pool_sync('${PoolTest::TIMEOUT}s')");
my $held = open_session($node, 'regress_pool_a', dbname => 'other');
my $held_b = open_session($node, 'regress_pool_b', dbname => 'other');
# An open transaction of a tenant.
run($held_b, 'BEGIN', 'SELECT 1');

sub version
{
	return $ddl->value(q{SELECT extversion FROM pg_extension WHERE extname = 'pool_optimizer'});
}

sub all_is_well
{
	my ($what) = @_;

	is($other->value("SELECT pool_sync('${PoolTest::TIMEOUT}s')"), 't', "$what: a keeper reads");
	is($other->value(q{SELECT coalesce(last_error, '') FROM pool_stats_cluster}), '',
		"$what: nothing is wrong");
	is(join(' ', (map { $other->value(
						"SELECT max_connections FROM pool_stats WHERE tenant = '$_'") } $A, $B),
			refused_sqlstate($node, 'regress_pool_a', dbname => 'other')),
		'1 7 53300', "$what: the quotas are in force");
	return;
}

all_is_well('before');

# ---------- a version for another library ----------

is($ddl->query(q{ALTER EXTENSION pool_optimizer UPDATE TO '2.0'}), undef,
	'an update that needs a new library is refused');
is($ddl->sqlstate, '42883', 'with the SQLSTATE of an unknown function');
like($ddl->error_text, qr/could not find function "pool_of_tomorrow_2_0"/, 'which is named');
is(version(), '1.0', 'the version is the same');
is($ddl->value(q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'pool_policies'::regclass
		AND attname = 'note'}), '0', 'nothing is left of it');
all_is_well('after that');
run($old, @looks);

# ---------- updates with everybody there ----------

# In the middle of the update a keeper waits for the table, and there are logins.
sub update_to
{
	my ($version) = @_;
	my $generation = $other->value('SELECT policy_generation FROM pool_stats_cluster');
	my $syncing = open_session($node, $superuser, dbname => 'other');

	run($ddl, 'BEGIN', "ALTER EXTENSION pool_optimizer UPDATE TO '$version'");
	$syncing->send_query(q{SELECT pool_sync('1h')});
	ok(wait_until(sub { $other->value(q{SELECT count(*) FROM pg_locks
				JOIN pg_stat_activity USING (pid)
				WHERE backend_type = 'pool_optimizer keeper' AND NOT granted}) eq '1' }),
		"$version: a keeper waits for the table");
	my @in = map { open_session($node, 'regress_pool_b', dbname => 'other') } 1 .. 8;
	is((scalar grep { $_->is_admitted } @in), 6, "$version: quotas hold meanwhile");
	run($ddl, 'COMMIT');
	is($syncing->result->[0][0], 't', "$version: it reads when it can");
	is($other->value('SELECT policy_generation FROM pool_stats_cluster'), $generation,
		"$version: the policies in force have been the same all the time");
	close_all(@in, $syncing);
	is(version(), $version, "$version: is there");
	all_is_well($version);
	run($old, @looks);
	return pass("$version: a session that was there before goes on");
}

# Every setter, in each way that a row can be asked for.
sub setters_work
{
	my ($version, $column) = @_;

	for my $call (
		"pool_set_quota('$B', max_connections => 7)",
		"pool_set_timeouts('$B', idle => '1h')",
		"pool_set_sizing('$B', min_size => 1)",
		"pool_drain('$B', '1h')",
		"pool_resume('$B')",
		"pool_drop_policy('$B', field => 'idle')")
	{
		my ($name) = $call =~ /^(\w+)/;
		my ($composite) = map { $_->[0] } @{ $old->query("SELECT $call") // [ [undef] ] };

		like($composite // $old->error_text, qr/^\(tenant,\Q$B\E,7,/, "$version: $name as a value");
		is($old->value("SELECT ($call).tenant"), $B, "$version: a column of $name");
		my $rows = $old->query(
			"SELECT tenant, max_connections, drain_grace IS NULL, $column IS NULL FROM $call");
		is($rows ? join(' ', @{ $rows->[0] }[ 0, 1 ]) : $old->error_text, "$B 7",
			"$version: $name as a table");
		is(defined $old->query("SELECT ($call).$column") ? '' : $old->error_text, '',
			"$version: the new column of $name");
	}
	return;
}

update_to('1.1');
setters_work('1.1', 'note');
is($old->value("SELECT since_1_1 FROM pool_stats WHERE tenant = '$B'"), '1.1',
	'1.1: the new column of a view is there');
is($old->value("SELECT max_connections FROM pool_quotas WHERE tenant = '$B'"), '7',
	'1.1: and a new view');
is($old->value("SELECT (pool_note('tenant', '$B', 'for B')).note"), 'for B',
	'1.1: a new function changes a policy');
is($old->value("SELECT (pool_set_quota('$B', max_connections => 7)).note"), 'for B',
	'1.1: and old ones keep what they do not know');
all_is_well('1.1, used');

update_to('1.2');
setters_work('1.2', 'owner');
all_is_well('1.2, used');

is($held->value('SELECT 42'), '42', 'a session that was open all the time has noticed nothing');
run($held_b, 'COMMIT');
pass('nor has a transaction');
is($other->value(q{SELECT extversion FROM pg_extension WHERE extname = 'pool_optimizer'}), '1.0',
	'the other database has the old version');
is($other->value('SELECT worker_errors FROM pool_stats_cluster'), '0',
	'the sampler has met no error');

# ---------- and after a restart ----------

close_all($held, $held_b, $ddl, $old, $other);
$node->restart;
($ddl, $old) = map { open_session($node, $superuser) } 1, 2;
$other = open_session($node, $superuser, dbname => 'other');
$held = open_session($node, 'regress_pool_a', dbname => 'other');
all_is_well('1.2, restarted');
setters_work('1.2, restarted', 'owner');

# Created as 1.1, the extension is what an update makes of it.
run($ddl, 'BEGIN', 'DROP EXTENSION pool_optimizer',
	q{CREATE EXTENSION pool_optimizer VERSION '1.1'},
	"SELECT pool_set_quota('$A', max_connections => 1)",
	"SELECT pool_set_quota('$B', max_connections => 7)", 'COMMIT');
setters_work('created as 1.1', 'note');
all_is_well('created as 1.1');

close_all($held, $ddl, $old, $other);
stop_clean($node);
done_testing();
