# Starting: without the library, without the extension, and with both.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

# ---------- not preloaded ----------

my $bare = new_node(-name => 'bare', -preload => 0);

is($bare->safe_psql('postgres', q{SELECT extname FROM pg_extension WHERE extname ~ 'pool'}),
	'pool_optimizer', 'CREATE EXTENSION works without the library being preloaded');

# A call of every function of the extension, with arguments that are sound.
my %call = (
	pool_set_quota => q{SELECT pool_set_quota('a', max_connections => 1)},
	pool_set_timeouts => q{SELECT pool_set_timeouts('a', idle => '1h')},
	pool_set_sizing => q{SELECT pool_set_sizing('a', min_size => 1)},
	pool_drop_policy => q{SELECT pool_drop_policy('a')},
	pool_drain => q{SELECT pool_drain('a', '1s')},
	pool_resume => q{SELECT pool_resume('a')},
	pool_sync => q{SELECT pool_sync('1s')},
	pool_explain_admission => q{SELECT * FROM pool_explain_admission()},
	pool_what_if => q{SELECT * FROM pool_what_if('a')},
	pool_terminate_leaked => q{SELECT * FROM pool_terminate_leaked('a')},
	pool_client_config => q{SELECT pool_client_config('a', 'pgbouncer', 1)},
	pool_report => q{SELECT pool_report('1 h')},
	pool_reset_stats => q{SELECT pool_reset_stats('a')},
	pool_stats => q{SELECT * FROM pool_stats()},
	pool_stats_cluster => q{SELECT * FROM pool_stats_cluster()},
	pool_stats_session => q{SELECT * FROM pool_stats_session()},
	pool_stats_statement => q{SELECT * FROM pool_stats_statement()},
	pool_findings => q{SELECT * FROM pool_findings()},
	pool_acknowledge => q{SELECT pool_acknowledge('a', 'churn', reason => 'b')},
	pool_unacknowledge => q{SELECT pool_unacknowledge('a', 'churn')},
	pool_recommendations => q{SELECT * FROM pool_recommendations()},
	pool_set_alert => q{SELECT pool_set_alert('refusals', threshold => 1)},
	pool_drop_alert => q{SELECT pool_drop_alert('refusals')},
	pool_alerts => q{SELECT * FROM pool_alerts()},
	pool_alerts_history => q{SELECT * FROM pool_alerts_history()},
	pool_events => q{SELECT * FROM pool_events()},
	pool_stats_pooler => q{SELECT * FROM pool_stats_pooler()},
	pool_health => q{SELECT * FROM pool_health()},
	pool_metrics => q{SELECT pool_metrics()},
	pool_metrics_cluster => q{SELECT * FROM pool_metrics_cluster()},
	pool_metrics_tenant => q{SELECT * FROM pool_metrics_tenant()},
	pool_metrics_alert => q{SELECT * FROM pool_metrics_alert()},
	pool_metrics_finding => q{SELECT * FROM pool_metrics_finding()},
	pool_metrics_pooler => q{SELECT * FROM pool_metrics_pooler()},
	pool_stats_history => q{SELECT * FROM pool_stats_history()},
	pool_stats_profile => q{SELECT * FROM pool_stats_profile()},
	pool_stats_cluster_history => q{SELECT * FROM pool_stats_cluster_history()},
	pool_recommendations_client => q{SELECT * FROM pool_recommendations_client()});

# Triggers and the row-level security of the table: a restore before the restart, and
# a look at its rows, must work.
my %no_call = map { $_ => 1 } qw(pool_policies_check pool_policies_changed pool_policy_visible
	pool_alert_rules_check pool_alert_rules_changed
	pool_alert_rule_visible pool_acknowledged_changed);

my @functions = split /\n/, $bare->safe_psql('postgres', q{
	SELECT p.proname FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
		AND d.classid = 'pg_proc'::regclass
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'pool_optimizer' ORDER BY 1});

cmp_ok(scalar @functions, '>', 10, 'functions were found in the catalog');
foreach my $name (grep { !$no_call{$_} } @functions)
{
	if (!defined $call{$name})
	{
		fail("this test has a call of function $name");
		next;
	}
	says_what_to_add($name, $call{$name});
}
my @views = split /\n/, $bare->safe_psql('postgres',
	q{SELECT relname FROM pg_class WHERE relkind = 'v' AND relname ~ '^pool_' ORDER BY 1});

cmp_ok(scalar @views, '>=', 5, 'views were found in the catalog');
says_what_to_add("view $_", "SELECT * FROM $_") foreach @views;

sub says_what_to_add
{
	my ($what, $sql) = @_;
	my ($rc, $out, $err) = psql_as($bare, superuser($bare),
		"\\set VERBOSITY verbose\n$sql");

	like($err, qr/ERROR:  55000: .*must be loaded via shared_preload_libraries/,
		"not preloaded: $what fails with 55000");
	like($err, qr/HINT:.*postgresql\.conf.*shared_preload_libraries = 'pool_optimizer'/,
		"not preloaded: $what names the line to add");
	return;
}

sub superuser
{
	my ($node) = @_;

	return $node->safe_psql('postgres', 'SELECT current_user');
}

is($bare->safe_psql('postgres', q{
	INSERT INTO pool_policies (tenant, max_connections) VALUES ('restored@postgres', 7);
	SELECT tenant, max_connections FROM pool_policies}),
	'restored@postgres|7', 'a restore can fill the table before the library is loaded');

# The line that the hint asks for makes everything work, with what is in the table.
$bare->append_conf('postgresql.conf', q{shared_preload_libraries = 'pool_optimizer'});
$bare->restart;
ok(wait_sync($bare), 'after the restart policies are read');
is(stat_of($bare, 'restored@postgres', 'max_connections'), '7',
	'a policy restored before the restart is in force after it');
is(cluster_stat($bare, 'mode'), 'observe', 'the default mode is observe');
$bare->stop;

# ---------- preloaded, extension not in the configured database ----------

my $node = new_node(-name => 'main', -extension => 0);

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION pool_optimizer');
create_roles($node, 'regress_pool_a');

ok($node->poll_query_until('other',
		q{SELECT sampler_pid IS NOT NULL AND samples > 5 FROM pool_stats_cluster}),
	'the sampler works without policies');
ok($node->poll_query_until('other',
		q{SELECT last_error LIKE '%extension pool_optimizer is not in database "postgres"%'
		  FROM pool_stats_cluster}),
	'last_error says what is missing');
is(cluster_stat($node, 'last_error_at IS NOT NULL', dbname => 'other'), 't',
	'and since when');
ok(wait_sync($node, dbname => 'other'), 'the keeper has looked again');
my $lines = () = log_since($node, 0) =~ /LOG: .*works without policies/g;

is($lines, 1, 'one LOG line only, however often it was looked for');

my $a = open_session($node, 'regress_pool_a');

ok($a->is_admitted, 'without policies there are no quotas');
ok(wait_sessions($node, 'regress_pool_a@postgres', 1, dbname => 'other'),
	'sessions are seen without policies, and from another database');
ok($node->poll_query_until('other', sprintf(
			q{SELECT count(*) = 1 FROM pool_stats_session WHERE pid = %d AND state = 'idle'},
			$a->pid)),
	'the sampler sees what a session does');
is(stat_of($node, 'regress_pool_a@postgres', 'max_connections', dbname => 'other'), '-1',
	'and no limit is in force');

# ---------- the wrong database ----------

my %setter = map { $_ => $call{$_} }
  qw(pool_set_quota pool_set_timeouts pool_set_sizing pool_drop_policy pool_drain pool_resume
	pool_set_alert pool_drop_alert);

foreach my $name (sort keys %setter)
{
	my ($rc, $out, $err) = psql_as($node, superuser($node),
		"\\set VERBOSITY verbose\n$setter{$name}", dbname => 'other');

	like($err, qr/ERROR:  55000: .*"postgres"/, "$name in another database: 55000 naming it");
	like($err, qr/pool_optimizer\.database/, "$name in another database names the setting");
}
my ($rc, $out, $err) = psql_as($node, superuser($node),
	"\\set VERBOSITY verbose\nINSERT INTO pool_policies (tenant, max_connections) VALUES ('x', 1)",
	dbname => 'other');

like($err, qr/ERROR:  55000: /, 'so does a plain INSERT');
is($node->safe_psql('other', 'SELECT count(*) FROM pool_policies'), '0', 'nothing was stored');
foreach my $view (@views)
{
	($rc) = psql_as($node, superuser($node), "SELECT * FROM $view", dbname => 'other');
	is($rc, 0, "$view works in another database");
}
is($node->safe_psql('other',
		q{SELECT count(*) > 0 FROM pool_explain_admission(role => 'regress_pool_a')}), 't',
	'pool_explain_admission works in another database');

# ---------- the extension appears ----------

$node->safe_psql('postgres', 'CREATE EXTENSION pool_optimizer');
ok(wait_sync($node), 'policies are read');
is(cluster_stat($node, q{coalesce(last_error, '')}), '', 'last_error is cleared');
$node->safe_psql('postgres', q{SELECT pool_set_quota('regress_pool_a@postgres', 1)});
wait_sync($node);
is(refused_sqlstate($node, 'regress_pool_a'), '53300',
	'the session that was open before counts against a quota set after');
is(stat_of($node, 'regress_pool_a@postgres', 'max_connections', dbname => 'other'), '1',
	'the other database shows the same');

# ---------- the configured database changes ----------

$node->append_conf('postgresql.conf', q{pool_optimizer.database = 'nowhere'});
$node->reload;
ok($node->poll_query_until('postgres',
		q{SELECT pool_sync('100ms') IS NOT NULL AND last_error LIKE '%"nowhere"%'
		  FROM pool_stats_cluster}),
	'a configured database that does not exist is told in last_error');
is(refused_sqlstate($node, 'regress_pool_a'), '53300', 'and what was in force stays in force');
$a->close_and_wait;

done_testing();
