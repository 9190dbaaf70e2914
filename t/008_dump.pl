# Policies are configuration: pg_dump carries them into another cluster.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $from = new_node(-name => 'from');
my $all = 'SELECT p.* FROM pool_policies p ORDER BY scope, tenant';

# Something in every column, and names that have to be quoted.
$from->safe_psql('postgres', q{
	SELECT pool_set_quota('regress_pool_a@postgres', max_connections => 2, guaranteed => 1,
		weight => 1.5, on_full => 'reject', wait_timeout => '1s', mode => 'enforce');
	SELECT pool_set_timeouts('regress_pool_a@postgres', idle => '1h',
		idle_in_transaction => '5min', never_used => '10min', lifetime => '1 day',
		leak_probability => 0.99, mode => 'observe');
	SELECT pool_set_sizing('regress_pool_a@postgres', min_size => 1, max_size => 10,
		target_wait => '5ms', scale_up_threshold => 0.8, scale_down_threshold => 0.3,
		scale_up_step => 4, scale_down_step => 1, evaluation_interval => '1min', auto => true);
	SELECT pool_set_quota(E'o\'brien\\and	"co"@*', max_connections => 3);
	SELECT pool_set_quota('10.0.0.0/8', max_connections => 50, scope => 'address');
	SELECT pool_set_quota('*', max_connections => 40, scope => 'cluster');
	SELECT pool_drain('o''brien*', '1min')});
$from->safe_psql('postgres', 'CREATE DATABASE other');
$from->safe_psql('other', 'CREATE EXTENSION pool_optimizer');
my $rows = $from->safe_psql('postgres', $all);
is($from->safe_psql('postgres', q{
		SELECT string_agg(key, ' ') FROM jsonb_each((SELECT to_jsonb(p) FROM pool_policies p
			WHERE tenant = 'regress_pool_a@postgres')) WHERE value = 'null'
			AND key !~ '^drain_'}), '', 'the policy that is dumped has a value in each column');
my $n = $from->safe_psql('postgres', 'SELECT count(*) FROM pool_policies');
is($n, '5', 'there are policies');

sub dump_of
{
	my ($node, $dbname, @options) = @_;
	my ($out, $err) = ('', '');
	my $file = $node->basedir . "/$dbname.sql";

	IPC::Run::run([ 'pg_dump', '-d', $node->connstr($dbname), '-f', $file, @options ],
		'>', \$out, '2>', \$err) or die "pg_dump failed: $err";
	return $file;
}

sub restore
{
	my ($node, $dbname, $file) = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run(
		[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($dbname), '-f', $file ],
		'>', \$out, '2>', \$err);

	diag($err) unless $ok;
	return $ok;
}

my $file = dump_of($from, 'postgres');
my $dump = slurp_file($file);
like($dump, qr/CREATE EXTENSION IF NOT EXISTS pool_optimizer/, 'the dump has the extension');
like($dump, qr/^COPY public\.pool_policies .*\n(.*\n)*?.*regress_pool_a\@postgres/m,
	'and the rows of the table');
unlike($dump, qr/CREATE (TABLE|VIEW|FUNCTION|TRIGGER|POLICY)/,
	'but not the objects of the extension themselves');

# ---------- into a cluster that has the library ----------

my $to = new_node(-name => 'to', -extension => 0);

create_roles($to, 'regress_pool_a');
ok(restore($to, 'postgres', $file), 'it can be restored');
is($to->safe_psql('postgres', $all), $rows, 'all policies are there');
wait_sync($to);
my @in = map { open_session($to, 'regress_pool_a') } 1, 2;
is((scalar grep { $_->is_admitted } @in), 2, 'and in force');
is(refused_sqlstate($to, 'regress_pool_a'), '53300', 'without anything else being done');
close_all(@in);

# Another database with the extension, whose table is empty, is no trouble.
my $other = dump_of($from, 'other');
$to->safe_psql('postgres', 'CREATE DATABASE other');
ok(restore($to, 'other', $other), 'the dump of another database can be restored, too');

# ---------- restored before the library is loaded ----------

my $bare = new_node(-name => 'bare', -preload => 0, -extension => 0);

create_roles($bare, 'regress_pool_a');
ok(restore($bare, 'postgres', $file), 'it can be restored without the library preloaded');
is($bare->safe_psql('postgres', $all), $rows, 'all policies are there');
$bare->append_conf('postgresql.conf', "shared_preload_libraries = 'pool_optimizer'\n"
	. "pool_optimizer.mode = 'enforce'");
$bare->restart;
wait_sync($bare);
is(stat_of($bare, 'regress_pool_a@postgres', 'max_connections'), '2',
	'and in force after the restart');

# ---------- only the data ----------

my $data = dump_of($from, 'postgres', '--data-only');
$to->safe_psql('postgres', 'DELETE FROM pool_policies');
ok(restore($to, 'postgres', $data), 'a dump of the data alone can be restored');
is($to->safe_psql('postgres', $all), $rows, 'with the same result');

# ---------- where they are not in force ----------

$to->safe_psql('postgres', q{SELECT pool_set_alert('refusals', threshold => 3)});
wait_sync($to);
$to->append_conf('postgresql.conf', q{pool_optimizer.database = 'other'});
$to->reload;
ok($to->poll_query_until('postgres', q{SELECT current_setting('pool_optimizer.database') = 'other'}),
	'another database is that of the policies');
$to->safe_psql('postgres', 'CREATE DATABASE clone TEMPLATE template0');
ok(restore($to, 'clone', dump_of($to, 'postgres', map { "--exclude-table-data=*.$_" } qw(pool_policies pool_alert_rules))),
	'a dump without them can be restored beside it');
$to->safe_psql('other', q{SELECT pool_set_quota('regress_pool_a@postgres', 7)});
wait_sync($to, dbname => 'other');
foreach my $sql (q{UPDATE pool_policies SET max_connections = 1}, q{UPDATE pool_alert_rules SET threshold = 1},
	q{INSERT INTO pool_policies (tenant, max_connections) VALUES ('x', 1)})
{
	like((psql_as($to, $to->safe_psql('postgres', 'SELECT current_user'), $sql))[2], qr/can be changed in database "other" only/,
		"refused there: $sql");
}
my $told = q{SELECT count(*) FROM pool_events WHERE kind = 'policy'};
my $before = $to->safe_psql('other', $told);

$to->safe_psql('postgres', $_) foreach q{DELETE FROM pool_policies WHERE scope <> 'tenant'}, 'DELETE FROM pool_alert_rules',
  'TRUNCATE pool_policies, pool_alert_rules';
is($to->safe_psql('postgres', 'SELECT count(*) FROM pool_policies'), '0', 'rows left there can be taken away');
wait_sync($to, dbname => 'other');
is($to->safe_psql('other', $told), $before, 'which is told as no change');
is(stat_of($to, 'regress_pool_a@postgres', 'max_connections'), '7', 'and changes nothing that is in force');

done_testing();
