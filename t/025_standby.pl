# Streaming replication: on a hot standby everything works but what writes, policies
# follow replay without help, and a promotion needs nothing.  Walsenders and logical
# replication workers are no sessions.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $A = 'r_a@postgres';
my %primary_conf = (
	max_wal_senders => 10,
	max_replication_slots => 10,
	wal_level => 'logical',
	wal_keep_size => '512MB',
	hot_standby => 'on');

# A standby of $root from its backup; %conf are settings of its own.
sub new_standby
{
	my ($name, $root, $backup, %conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init_from_backup($root, $backup, has_streaming => 1);
	$node->append_conf('postgresql.conf', join("\n", map { "$_ = $conf{$_}" } sort keys %conf));
	return $node;
}

my $primary = new_node(-name => 'primary', -extension => 0, %primary_conf);
my $superuser = $primary->safe_psql('postgres', 'SELECT current_user');

create_roles($primary, qw(r_a r_b r_drop r_leak r_wait r_evict r_drain r_admin));
$primary->safe_psql('postgres', q{
	CREATE DATABASE other;
	ALTER ROLE r_admin CONNECTION LIMIT 5});

# ---------- a standby from before CREATE EXTENSION, with more connections ----------

$primary->backup('bare');
my $standby = new_standby('standby', $primary, 'bare',
	max_connections => 80,
	# A query may hold up replay for as long as it likes.
	max_standby_streaming_delay => -1);

$standby->start;
ok(wait_until(sub { log_since($standby) =~ /works without policies: extension pool_optimizer/ }),
	'without the extension the standby says that it works without policies');

# What is committed on the primary is in force on the standby.
sub follow
{
	$primary->wait_for_catchup($standby);
	wait_sync($standby);
	return;
}

sub on_primary
{
	my ($sql) = @_;

	return $primary->safe_psql('postgres', $sql);
}

sub quota_on_standby
{
	my ($tenant) = @_;

	return "(SELECT max_connections FROM pool_stats WHERE tenant = '$tenant')";
}

sub quota_holds
{
	my ($node, $n, $what) = @_;

	check_quota($node, 'r_a', $n, $what);
	return ok(wait_sessions($node, $A, 0), "$what: all have left");
}

on_primary('CREATE EXTENSION pool_optimizer');
on_primary("SELECT pool_set_quota('$A', max_connections => 2);
	SELECT pool_set_quota('r_drop\@postgres', max_connections => 0)");
$primary->wait_for_catchup($standby);
# Nobody calls pool_sync: the keeper looks by itself.
ok($standby->poll_query_until('postgres', 'SELECT ' . quota_on_standby($A) . ' = 2'),
	'CREATE EXTENSION and the first policy are in force on the standby, without help');
is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't', 'it is a standby');
is(cluster_stat($standby, q{coalesce(last_error, '')}), '', 'nothing is wrong there');
is(cluster_stat($standby, 'max_connections > 60'), 't', 'it has connections of its own');

# ---------- quotas ----------

quota_holds($standby, 2, 'on the standby');
like(refused($standby, 'r_drop'), qr/too many connections for tenant.*DETAIL.*HINT/s,
	'a refusal says the same as on a primary');
on_primary("SELECT pool_drop_policy('r_drop\@postgres')");
follow();
is(refused($standby, 'r_drop'), '', 'a policy dropped on the primary refuses nobody any more');

on_primary(q{
	SELECT pool_set_quota('r_wait@postgres', max_connections => 1, on_full => 'wait',
		wait_timeout => '1h');
	SELECT pool_set_quota('r_evict@postgres', max_connections => 1, on_full => 'evict_idle')});
follow();

my $first = open_session($standby, 'r_wait');
my $second = start_login($standby, 'r_wait');

ok($standby->poll_query_until('postgres',
		q{SELECT waiting = 1 FROM pool_stats WHERE tenant = 'r_wait@postgres'}),
	'a login queues');
$first->quit;
ok($second->wait_login->is_admitted, 'and comes in when a place is free');
close_all($first, $second);
$first = open_session($standby, 'r_evict');
$first->value('SELECT 1');
ok($standby->poll_query_until('postgres', sprintf(
			q{SELECT count(*) = 1 FROM pool_stats_session WHERE pid = %d AND state = 'idle'},
			$first->pid)), 'a session is seen idle');
$second = open_session($standby, 'r_evict');
ok($second->is_admitted, 'evict_idle lets the next one in');
ok(!$first->is_alive, 'in place of the idle one');
close_all($first, $second);

# Surplus: the quota is lowered on the primary.
my @in = map { open_session($standby, 'r_a') } 1, 2;

$_->value('SELECT 1') for @in;
on_primary("SELECT pool_set_quota('$A', max_connections => 1)");
follow();
ok(wait_until(sub { 1 == grep { $_->is_alive } @in }),
	'a quota lowered on the primary ends an idle session beyond it on the standby');
close_all(@in);
on_primary("SELECT pool_set_quota('$A', max_connections => 2)");

my $drained = open_session($standby, 'r_drain');

# A tenant that the primary has not seen is known there when it has a policy.
on_primary("SELECT pool_set_quota('r_drain\@postgres', max_connections => 10);
	SELECT pool_drain('r_drain\@postgres', '1h')");
follow();
ok(wait_until(sub { !$drained->is_alive }), 'pool_drain ends idle sessions on the standby, too');
like(refused($standby, 'r_drain'), qr/53300: tenant "r_drain\@postgres" is being drained/,
	'and refuses logins there');
on_primary("SELECT pool_resume('r_drain\@postgres')");
follow();
is(refused($standby, 'r_drain'), '', 'until pool_resume');
$drained->close_and_wait;

# ---------- reclaiming, accounting, views ----------

on_primary(q{SELECT pool_set_timeouts('r_leak@postgres', idle => '300ms')});
follow();
my $leak = open_session($standby, 'r_leak');

$leak->value('SELECT 1');
ok(wait_until(sub { !$leak->is_alive }), 'a leaked session is ended on the standby');
is($leak->sqlstate, '57P01', 'in the words of core');
ok($standby->poll_query_until('postgres', sprintf(
			q{SELECT count(*) = 1 FROM pool_events WHERE kind = 'terminate' AND pid = %d},
			$leak->pid)), 'with an event');
$leak->wait_closed;

my $reader = open_session($standby, 'r_b');

$reader->value('SELECT 1') for 1 .. 5;
$reader->query('BEGIN; SELECT 1/0');
$reader->query('ROLLBACK');
ok(wait_until(sub { stat_of($standby, 'r_b@postgres', 'transactions') == 6 }),
	'read-only transactions are counted exactly');
is(stat_of($standby, 'r_b@postgres', 'rollbacks'), '1', 'rollbacks, too');
foreach my $view (qw(pool_stats pool_stats_cluster pool_stats_session pool_recommendations
	pool_events pool_policies pool_metrics() pool_metrics_tenant() pool_health()))
{
	my ($rc, undef, $err) = psql_as($standby, 'r_b', "SELECT * FROM $view");

	is($rc, 0, "view $view works on the standby") or diag($err);
}
is($standby->safe_psql('postgres', qq{
		SELECT max_connections, passes FROM pool_explain_admission(role => 'r_a')
		WHERE scope = 'tenant'}), '2|t', 'pool_explain_admission');
is($standby->safe_psql('postgres',
		q{SELECT count(*) FROM pool_terminate_leaked('r_b@postgres', dry_run => false)}), '0',
	'pool_terminate_leaked');
$standby->safe_psql('postgres', q{SELECT pool_reset_stats('r_b@postgres')});
is(stat_of($standby, 'r_b@postgres', 'transactions'), '0', 'pool_reset_stats');
$reader->close_and_wait;

# ---------- what writes ----------

sub sqlstate_of
{
	my ($node, $sql, %opt) = @_;
	my (undef, undef, $err) = psql_as($node, $superuser, "\\set VERBOSITY verbose\n$sql", %opt);

	return $err =~ /ERROR:  (\w{5}):/ ? $1 : '';
}

foreach my $sql ("SELECT pool_set_quota('$A', max_connections => 9)",
	"SELECT pool_set_timeouts('$A', idle => '1h')", "SELECT pool_set_sizing('$A', min_size => 1)",
	"SELECT pool_drop_policy('$A')", "SELECT pool_drop_policy('none', if_exists => true)",
	"SELECT pool_drain('$A')", "SELECT pool_resume('$A')",
	"INSERT INTO pool_policies (tenant, max_connections) VALUES ('x', 1)",
	'UPDATE pool_policies SET max_connections = 9', 'DELETE FROM pool_policies',
	'TRUNCATE pool_policies')
{
	is(sqlstate_of($standby, $sql), '25006', "25006: $sql");
}

# ---------- replay is paused ----------

my $generation = cluster_stat($standby, 'policy_generation');

$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
ok($standby->poll_query_until('postgres',
		q{SELECT pg_get_wal_replay_pause_state() = 'paused'}), 'replay is paused');
on_primary("SELECT pool_set_quota('$A', max_connections => 1)");
$primary->wait_for_catchup($standby, 'flush');
ok(wait_sync($standby), 'pool_sync does not wait for what is not replayed');
quota_holds($standby, 2, 'while replay is paused');
my $samples = cluster_stat($standby, 'samples');

ok($standby->poll_query_until('postgres',
		"SELECT samples > $samples + 3 FROM pool_stats_cluster"), 'the sampler works on');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
follow();
quota_holds($standby, 1, 'when replay goes on');

# ---------- the policy table is locked on the primary ----------

my $lock = open_session($primary, $superuser);

$lock->value('BEGIN; LOCK TABLE pool_policies IN ACCESS EXCLUSIVE MODE');
# The lock is replayed with the commit after it.
on_primary('CREATE TABLE held_up (a int)');
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT pool_sync('1ms')}), 'f',
	'policies cannot be read under a lock that was replayed');
ok($standby->poll_query_until('postgres', q{
		SELECT last_error ~ 'keeper: canceling statement due to lock timeout'
		FROM pool_stats_cluster}), 'last_error says why');
quota_holds($standby, 1, 'meanwhile');
$lock->query('COMMIT');
follow();
is(cluster_stat($standby, q{coalesce(last_error, '')}), '', 'all is well when it has gone');

# ---------- a leaked session holds up replay ----------

on_primary(q{SELECT pool_set_timeouts('r_leak@postgres', idle => '0',
	idle_in_transaction => '300ms');
	GRANT SELECT ON held_up TO PUBLIC});
$standby->append_conf('postgresql.conf', q{pool_optimizer.mode = 'observe'});
$standby->reload;
ok($standby->poll_query_until('postgres', q{SELECT mode = 'observe' FROM pool_stats_cluster}),
	'the standby has a mode of its own');
follow();
is(cluster_stat($primary, 'mode'), 'enforce', 'the primary keeps its own');
$leak = open_session($standby, 'r_leak');
$leak->query('BEGIN; SELECT * FROM held_up');
on_primary("DROP TABLE held_up; SELECT pool_set_quota('$A', max_connections => 3)");
$primary->wait_for_catchup($standby, 'flush');
ok($standby->poll_query_until('postgres', q{
		SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE backend_type = 'startup'}),
	'a session idle in transaction holds up replay');
wait_sync($standby);
is($standby->safe_psql('postgres', 'SELECT ' . quota_on_standby($A)), '1',
	'so the policies of before are in force');
ok($standby->poll_query_until('postgres', sprintf(
			q{SELECT count(*) = 1 FROM pool_events WHERE kind = 'would_terminate' AND pid = %d},
			$leak->pid)), 'the leak is told');
$standby->append_conf('postgresql.conf', q{pool_optimizer.mode = 'enforce'});
$standby->reload;
ok(wait_until(sub { !$leak->is_alive }), 'in mode enforce it is ended');
follow();
is($standby->safe_psql('postgres', 'SELECT ' . quota_on_standby($A)), '3',
	'and replay goes on, policies with it');
$leak->wait_closed;

# ---------- replay ends sessions ----------

on_primary(q{SELECT pool_set_quota('r_b@other', max_connections => 1)});
follow();
my $doomed = open_session($standby, 'r_b', dbname => 'other');

$doomed->value('SELECT 1');
on_primary('DROP DATABASE other');
$doomed->wait_closed;
ok(wait_sessions($standby, 'r_b@other', 0), 'DROP DATABASE: its sessions are given back');
is(cluster_stat($standby, 'sampler_pid IS NOT NULL'), 't', 'the sampler is not in its way');
follow();

# ---------- a restart of the standby ----------

sub counters
{
	my ($node) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT admitted, rejected, peak_sessions, first_seen FROM pool_stats WHERE tenant = '$A'});
}

my $before = counters($standby);

$standby->restart;
is(counters($standby), $before, 'statistics of the standby survive its restart: ' . $before);
isnt(counters($primary), $before, 'and are its own');
quota_holds($standby, 3, 'after a restart of the standby');

# A crash there makes it recover from its last restartpoint, without the primary's help.
my $victim = open_session($standby, 'r_b');

is(kill('KILL', $victim->pid), 1, 'a backend of the standby gets SIGKILL');
$victim->wait_closed;
ok($standby->poll_query_until('postgres', q{
		SELECT sampler_pid IS NOT NULL AND samples > 3 FROM pool_stats_cluster}),
	'the standby comes back, and the sampler with it');
follow();
quota_holds($standby, 3, 'after a crash of the standby');

# ---------- the extension is dropped ----------

my $offset = -s $standby->logfile;

on_primary('DROP EXTENSION pool_optimizer');
$primary->wait_for_catchup($standby);
# There is no view to ask by now.
ok(wait_until(sub { log_since($standby, $offset) =~ /works without policies/ }),
	'DROP EXTENSION takes all policies out of force on the standby, without help');
@in = map { open_session($standby, 'r_a') } 1 .. 4;
is((scalar grep { $_->is_admitted } @in), 4, 'nobody is refused');
close_all(@in);
on_primary("CREATE EXTENSION pool_optimizer; SELECT pool_set_quota('$A', max_connections => 2)");
follow();
quota_holds($standby, 2, 'created again');

# ---------- a standby that lets nobody in, with fewer connections ----------

on_primary(q{SELECT pool_set_quota('r_admin@postgres', guaranteed => 40)});
$primary->backup('policies');
my $cold = new_standby('cold', $primary, 'policies', hot_standby => 'off', max_connections => 20);

$cold->start;
# By name: from 19 on the standby itself is asked otherwise, which lets nobody in.
$primary->wait_for_catchup($cold->name);
# Not by psql, whose end may come before it has been given its statement.
like(refused($cold, $superuser), qr/^FATAL:  57P03:/, 'hot_standby = off lets nobody in');
unlike(log_since($cold), qr/ERROR|sampler|keeper|without policies/,
	'nothing of ours runs or complains there');
$cold->restart;
$cold->promote;
ok($cold->poll_query_until('postgres', q{
		SELECT sampler_pid IS NOT NULL AND samples > 3 FROM pool_stats_cluster}),
	'promoted, it has a sampler');
wait_sync($cold);
quota_holds($cold, 2, 'on a cold standby that was promoted');
like(cluster_stat($cold, 'last_error'), qr/guarantees together exceed the usable connections/,
	'guarantees that do not fit its fewer connections are scaled down and told');
stop_clean($cold);

# ---------- promotion ----------

my $stay = open_session($standby, 'r_a');

$stay->value('SELECT 1');
on_primary(q{CREATE TABLE t (a int); GRANT ALL ON t TO PUBLIC});
follow();
my $sampler = cluster_stat($standby, 'sampler_pid');

$before = counters($standby);
$samples = cluster_stat($standby, 'samples');
$primary->stop;
$standby->promote;
is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 'f', 'promoted');
$standby->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 1)");
is($standby->safe_psql('postgres', 'SELECT ' . quota_on_standby($A)), '1',
	'setters are accepted, and in force with COMMIT');
is(refused_sqlstate($standby, 'r_a'), '53300', 'the session from before counts');
$stay->query('INSERT INTO t VALUES (1)');
is($stay->value('SELECT count(*) FROM t'), '1', 'and may write now');
ok(wait_until(sub { stat_of($standby, $A, 'transactions') > 2 }), 'its transactions are counted');
is(cluster_stat($standby, 'sampler_pid'), $sampler, 'the sampler has not noticed');
ok($standby->poll_query_until('postgres',
		"SELECT samples > $samples FROM pool_stats_cluster"), 'and goes on');
my ($n_admitted) = split /\|/, $before;

is(stat_of($standby, $A, 'admitted'), $n_admitted, 'counters go on from where they were');
foreach my $sql ("SELECT pool_set_timeouts('$A', idle => '1h')",
	"SELECT pool_set_sizing('$A', min_size => 1)", "SELECT pool_drain('r_b\@postgres')",
	"SELECT pool_resume('r_b\@postgres')", "SELECT pool_drop_policy('$A')")
{
	is(sqlstate_of($standby, $sql), '', "accepted: $sql");
}
$stay->close_and_wait;
is(cluster_stat($standby, 'worker_errors'), '0', 'the sampler has met no error in all that');

# ---------- logical replication ----------

# The role has a quota of 0: a walsender takes none, so replication must not care.
my $subscriber = new_node(-name => 'subscriber', %primary_conf);
my $connstr = $standby->connstr . ' dbname=postgres user=r_repl';

$standby->safe_psql('postgres', q{
	CREATE ROLE r_repl LOGIN REPLICATION;
	GRANT pg_read_all_data TO r_repl;
	SELECT pool_set_quota('r_repl@postgres', max_connections => 0);
	CREATE PUBLICATION p FOR TABLE t});
is(refused_sqlstate($standby, 'r_repl'), '53300', 'an ordinary login of the role is refused');
$subscriber->safe_psql('postgres', qq{
	CREATE TABLE t (a int);
	CREATE SUBSCRIPTION s CONNECTION '$connstr' PUBLICATION p});
ok($subscriber->poll_query_until('postgres', 'SELECT count(*) = 1 FROM t'),
	'the walsender of its first copy is not');
$standby->safe_psql('postgres', 'INSERT INTO t VALUES (2), (3)');
ok($subscriber->poll_query_until('postgres', 'SELECT count(*) = 3 FROM t'),
	'nor that which streams');
is(stat_of($standby, 'r_repl@postgres', 'sessions'), '0', 'walsenders are no sessions');
is($subscriber->safe_psql('postgres',
		q{SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'logical replication'}) > 0,
	1, 'the subscriber has its workers');
foreach my $node ($standby, $subscriber)
{
	# The one that asks is all there is.
	ok($node->poll_query_until('postgres', q{
			SELECT c.sessions = 1 AND count(s.pid) = 1
			FROM pool_stats_cluster c, pool_stats_session s GROUP BY c.sessions}),
		$node->name . ': neither walsenders nor workers are counted or listed');
}
ok($subscriber->poll_query_until('postgres', qq{SELECT exempt_sessions = 1 FROM pool_stats
		WHERE tenant = '$superuser\@postgres'}), 'workers do not show as sessions of their owner');
stop_clean($subscriber);
$standby->stop;
# One of its processes was killed by this test.
my $killed = () = log_since($standby) =~ /was terminated by signal/g;

is($killed, 1, 'no process of the standby crashed but the one that was killed');
unlike(log_since($standby), qr/PANIC:/, 'and there was no PANIC');

done_testing();
