# pg_upgrade to a newer major version carries policies, grants and comments over; what it
# does not copy is the state file, and what that means.
#
# Needs two versions of PostgreSQL that have the module: scripts/test --upgrade.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Cwd ();
use File::Basename qw(dirname);
use File::Copy qw(copy);
use IPC::Run ();
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $old_config = $ENV{PG_CONFIG_OLD} // '';

plan skip_all => 'no second PostgreSQL here; scripts/test --upgrade has one'
  if $old_config eq '';

chomp(my $old_bindir = `"$old_config" --bindir`);
die "cannot run $old_config" if $old_bindir eq '';
my $A = 'regress_pool_a@postgres';
my $FILE = 'pg_stat/pool_optimizer.stat';
my %settings = (
	max_connections => 60,
	autovacuum => 'off',
	'pool_optimizer.mode' => "'enforce'",
	'pool_optimizer.sample_interval' => '10ms');

sub configure
{
	my ($node, %conf) = @_;

	$node->append_conf('postgresql.conf', join("\n", map { "$_ = $conf{$_}" } sort keys %conf));
	return;
}

sub new_cluster
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my ($major) = $node->pg_version =~ /^(\d+)/;

	# Page checksums must be as in the old cluster; 18 has them by default.
	$node->init($major >= 18 ? (extra => ['--no-data-checksums']) : ());
	return $node;
}

# Runs pg_upgrade; (true if it succeeded, all that it said).
sub pg_upgrade
{
	my ($from, $to, @options) = @_;
	my $out = '';
	my $here = Cwd::getcwd();

	# It leaves files in its directory.
	chdir $to->basedir or die "chdir: $!";
	my $ok = IPC::Run::run(
		[
			'pg_upgrade', '-b', $old_bindir, '-B', $to->config_data('--bindir'),
			'-d', $from->data_dir, '-D', $to->data_dir, '-s', $to->host,
			'-p', $from->port, '-P', $to->port, @options
		],
		'<', \undef, '>', \$out, '2>&1');
	chdir $here or die "chdir: $!";
	return ($ok, $out);
}

# What belongs to the extension, and who may do what with it.  Left out is what pg_upgrade
# and newer versions add themselves: row types as members, and the owner's right MAINTAIN.
sub catalog
{
	my ($node, $dbname) = @_;

	return $node->safe_psql($dbname, q{
		SELECT pg_describe_object(d.classid, d.objid, 0),
			obj_description(d.objid, d.classid::regclass::name),
			(SELECT proacl::text FROM pg_proc
				WHERE oid = d.objid AND d.classid = 'pg_proc'::regclass),
			(SELECT (replace(relacl::text, 'arwdDxtm/', 'arwdDxt/'), relrowsecurity,
				relforcerowsecurity)::text FROM pg_class
				WHERE oid = d.objid AND d.classid = 'pg_class'::regclass)
		FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid
		WHERE e.extname = 'pool_optimizer' AND d.refclassid = 'pg_extension'::regclass
			AND d.deptype = 'e' AND d.classid <> 'pg_type'::regclass ORDER BY 1;
		SELECT extversion, extrelocatable, extnamespace::regnamespace, extcondition,
			array_length(extconfig, 1), obj_description(oid, 'pg_extension')
		FROM pg_extension WHERE extname = 'pool_optimizer';
		SELECT polname, polcmd, polroles::regrole[], pg_get_expr(polqual, polrelid),
			pg_get_expr(polwithcheck, polrelid) FROM pg_policy ORDER BY 1;
		SELECT tgname, tgenabled, tgtype, tgfoid::regproc FROM pg_trigger
		WHERE NOT tgisinternal ORDER BY 1});
}

my $rows = 'SELECT p.* FROM pool_policies p ORDER BY scope, tenant';
my $statistics = qq{
	SELECT admitted, rejected, transactions, rollbacks, peak_sessions, first_seen, xact_mean_ms,
		xact_p50_ms, xact_p95_ms, xact_p99_ms FROM pool_stats WHERE tenant = '$A'};

# ---------- without the module at all ----------

# Not every two releases go together: 17.12 stores what 18.6, released before, cannot read.
my $plain = PostgreSQL::Test::Cluster->new('plain', install_path => dirname($old_bindir));
my $plain_new = new_cluster('plain_new');

$plain->init;
$plain->start;
$plain->safe_psql('postgres', 'CREATE TABLE plain (a integer)');
$plain->stop;
my ($ok, $said) = pg_upgrade($plain, $plain_new);

plan skip_all => 'pg_upgrade from ' . $plain->pg_version . ' to ' . $plain_new->pg_version
  . ' fails without the module, too'
  unless $ok;

# ---------- the old cluster ----------

my $old = PostgreSQL::Test::Cluster->new('old', install_path => dirname($old_bindir));
my ($old_major) = $old->pg_version =~ /^(\d+)/;

$old->init;
configure($old, %settings, shared_preload_libraries => "'pool_optimizer'");
$old->start;
$old->safe_psql('postgres', q{CREATE EXTENSION pool_optimizer});
create_roles($old, qw(regress_pool_a regress_pool_platform));
$old->safe_psql('postgres', q{
	SELECT pool_set_quota('regress_pool_a@postgres', max_connections => 2, guaranteed => 1,
		weight => 1.5, on_full => 'reject', wait_timeout => '1s', mode => 'enforce');
	SELECT pool_set_timeouts('regress_pool_a@postgres', idle => '1h', leak_probability => 0.99);
	SELECT pool_set_sizing('regress_pool_a@postgres', min_size => 1, max_size => 10);
	SELECT pool_set_quota(E'o\'brien\\\\and	"co"@*', max_connections => 3);
	SELECT pool_set_quota('10.0.0.0/8', max_connections => 50, scope => 'address');
	SELECT pool_set_quota('*', max_connections => 40, scope => 'cluster');
	SELECT pool_drain('o''brien*', '1min');
	GRANT EXECUTE ON FUNCTION pool_set_quota TO regress_pool_platform;
	GRANT EXECUTE ON FUNCTION pool_sync TO regress_pool_platform;
	GRANT SELECT, INSERT, UPDATE, DELETE ON pool_policies TO regress_pool_platform;
	REVOKE SELECT ON pool_events FROM PUBLIC;
	COMMENT ON EXTENSION pool_optimizer IS 'quotas; ask the platform team';
	COMMENT ON TABLE pool_policies IS 'kept in git'});
# Elsewhere it is there for its views, in a schema of its own.
$old->safe_psql('postgres', 'CREATE DATABASE other');
$old->safe_psql('other', 'CREATE SCHEMA pool; CREATE EXTENSION pool_optimizer SCHEMA pool');
wait_sync($old);

my @in = map { open_session($old, 'regress_pool_a') } 1, 2;
is((scalar grep { $_->is_admitted } @in), 2, "$old_major: two get in");
is(refused_sqlstate($old, 'regress_pool_a'), '53300', "$old_major: the third is refused");
$in[0]->value("SELECT pg_sleep($_ / 1000.0)") for 1 .. 10;
close_all(@in);
wait_sessions($old, $A, 0);

my $old_rows = $old->safe_psql('postgres', $rows);
my %old_catalog = map { $_ => catalog($old, $_) } qw(postgres other);
my $old_statistics;

like($old_catalog{postgres}, qr/kept in git/, 'there are comments');
like($old_catalog{postgres}, qr/regress_pool_platform=X/, 'and grants');
like($old_rows, qr/o'brien\\and.*"co"/, 'and policies');
ok($old->poll_query_until('postgres',
		"SELECT transactions = 10 FROM pool_stats WHERE tenant = '$A'"), 'and statistics');
$old_statistics = $old->safe_psql('postgres', $statistics);
$old->stop;
ok(-s $old->data_dir . "/$FILE", "$old_major: a clean stop leaves a state file");

# ---------- without the library preloaded in the new cluster ----------

my $bare = new_cluster('bare');
my ($new_major) = $bare->pg_version =~ /^(\d+)/;
($ok, $said) = pg_upgrade($old, $bare, '--check');

ok($ok, "$old_major to $new_major: --check needs no shared_preload_libraries") or diag($said);
($ok, $said) = pg_upgrade($old, $bare);
ok($ok, 'nor does the upgrade') or diag($said);
$bare->start;
is($bare->safe_psql('postgres', $rows), $old_rows, 'policies are there');
is(($bare->psql('postgres', 'SELECT * FROM pool_stats'))[0], 3, 'but nothing applies them');
configure($bare, %settings, shared_preload_libraries => "'pool_optimizer'");
$bare->restart;
wait_sync($bare);
is(stat_of($bare, $A, 'max_connections'), '2', 'until it is preloaded');
$bare->stop;

# ---------- with it ----------

my $new = new_cluster('new');

# The keeper cannot read policies while this names no database.
configure($new, %settings, shared_preload_libraries => "'pool_optimizer'",
	'pool_optimizer.database' => "'regress_pool_none'");
($ok, $said) = pg_upgrade($old, $new, '--check');
ok($ok, "$old_major to $new_major: --check") or diag($said);
like($said, qr/compatible/, 'it says that the clusters are compatible');
($ok, $said) = pg_upgrade($old, $new);
ok($ok, 'the upgrade') or diag($said);

$new->start;
is($new->safe_psql('postgres', $rows), $old_rows, 'all policies are there');
is(catalog($new, $_), $old_catalog{$_}, "objects, grants, comments and row security in $_")
  for qw(postgres other);
is($new->safe_psql('postgres', $statistics), '', 'statistics start empty');
is(stat_of($new, $A, 'max_connections') // '(null)', '(null)',
	'no policy is in force before the keeper has read them');
unlike(log_since($new), qr/ignoring file|PANIC|terminated by signal/,
	'and there is nothing to complain about');
$new->adjust_conf('postgresql.conf', 'pool_optimizer.database', "'postgres'");
$new->reload;
wait_sync($new);

sub quota_holds
{
	my ($what) = @_;
	my @sessions = map { open_session($new, 'regress_pool_a') } 1, 2;

	is((scalar grep { $_->is_admitted } @sessions), 2, "$what: two get in");
	is(refused_sqlstate($new, 'regress_pool_a'), '53300', "$what: the third is refused");
	close_all(@sessions);
	wait_sessions($new, $A, 0);
	return;
}

quota_holds('after the keeper has read them');
is(psql_as($new, 'regress_pool_platform',
		q{SELECT max_connections FROM pool_set_quota('regress_pool_b@postgres',
			max_connections => 7)}), '7', 'who was granted it sets policies');
is((psql_as($new, 'regress_pool_a', q{SELECT pool_set_quota('x', max_connections => 7)}))[0], 3,
	'and nobody else');
like((psql_as($new, $new->safe_psql('postgres', 'SELECT current_user'),
			'ALTER EXTENSION pool_optimizer UPDATE'))[2],
	qr/NOTICE: .*version ".*" of extension "pool_optimizer" is already installed/,
	'ALTER EXTENSION UPDATE has nothing to do');
$new->safe_psql('postgres', q{SELECT pool_drop_policy('regress_pool_b@postgres')});
$new->safe_psql('other', q{
	DROP EXTENSION pool_optimizer; CREATE EXTENSION pool_optimizer SCHEMA pool});
is($new->safe_psql('other', 'SELECT count(*) FROM pool.pool_policies'), '0',
	'the extension can be dropped and created again');

# ---------- with the old cluster's state file ----------

# Taken along by hand, it brings statistics, and policies from the first login on.
$new->stop;
copy($old->data_dir . "/$FILE", $new->data_dir . "/$FILE") or die "copy: $!";
$new->adjust_conf('postgresql.conf', 'pool_optimizer.database', "'regress_pool_none'");
my $offset = -s $new->logfile;
$new->start;
unlike(log_since($new, $offset), qr/ignoring file/, "$new_major reads the file of $old_major");
is($new->safe_psql('postgres', $statistics), $old_statistics,
	'counters and histograms are those of the old cluster');
quota_holds('before the keeper has read anything');
stop_clean($new);

done_testing();
