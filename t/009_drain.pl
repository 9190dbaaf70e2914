# Draining a tenant: nobody new, the running finish, the rest is ended after grace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node();
my $A = 'regress_pool_a@postgres';
my $B = 'regress_pool_b@postgres';
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, qw(regress_pool_a regress_pool_b));

# ---------- transactional ----------

my $idle = open_session($node, 'regress_pool_a');
my $admin = open_session($node, $superuser);

$idle->value('SELECT 1');
$admin->value('BEGIN');
ok(defined $admin->query("SELECT pool_drain('$A', '1h')"), 'pool_drain in a transaction');
$admin->value(q{SELECT 1});
is(refused($node, 'regress_pool_a'), '', 'before COMMIT nobody is refused');
$admin->query('ROLLBACK');
wait_sync($node);
is(refused($node, 'regress_pool_a'), '', 'after ROLLBACK nobody is either');
is($admin->value('SELECT count(*) FROM pool_policies'), '0', 'ROLLBACK leaves nothing');
is(stat_of($node, $A, 'draining'), 'false', 'and the tenant is not draining');
ok($idle->is_alive, 'nobody was ended');
ok(!defined $admin->query(q{SELECT pool_drain('nobody@nowhere')}), 'an unknown tenant is an error');
is($admin->sqlstate, '42704', 'with 42704');
ok(!defined $admin->query(q{SELECT pool_resume('nobody@nowhere')}), 'for pool_resume, too');
is($admin->sqlstate, '42704', 'with 42704');

# ---------- draining ----------

my $running = open_session($node, 'regress_pool_a');
my $in_transaction = open_session($node, 'regress_pool_a');
my $other = open_session($node, 'regress_pool_b');
my $finish = 4711;

# Runs until this test lets go of the lock.
$admin->value("SELECT pg_advisory_lock($finish)");
$running->send_query("SELECT pg_advisory_xact_lock($finish); SELECT 42");
$in_transaction->value('BEGIN; SELECT 1');
ok($node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}),
	'a statement runs');
$node->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 20)");
$node->safe_psql('postgres', "SELECT pool_drain('$A', '1h')");
wait_sync($node);
is(stat_of($node, $A, 'draining'), 'true', 'pool_stats shows it');
my $text = refused($node, 'regress_pool_a');
like($text, qr/^FATAL:  53300: tenant "\Q$A\E" is being drained$/m, 'a login is refused');
like($text, qr/^DETAIL:  .*pool_resume/m, 'with a detail');
like($text, qr/^HINT:  ./m, 'and a hint of its own');
is($node->safe_psql('postgres', q{
		SELECT outcome FROM pool_explain_admission(role => 'regress_pool_a') WHERE NOT passes}),
	'reject', 'explained so');
ok(wait_until(sub { !$idle->is_alive }, 'the end of the idle session'), 'an idle session is ended');
is($idle->sqlstate, '57P01', 'in the words of core');
my $samples = cluster_stat($node, 'samples');
ok($node->poll_query_until('postgres',
		"SELECT samples > $samples + 20 FROM pool_stats_cluster"),
	'the sampler has looked many times');
ok($running->is_alive && $in_transaction->is_alive, 'busy ones are left alone');
is($in_transaction->value('SELECT 43'), '43', 'and can work');
is($other->value('SELECT 1'), '1', 'so can another tenant');
is(refused($node, 'regress_pool_b'), '', 'and log in');
is(refused($node, $superuser), '', 'and a superuser');
$admin->value("SELECT pg_advisory_unlock($finish)");
my $rows = $running->result;
is(defined $rows ? $rows->[-1][0] : $running->error_text, '42', 'the running statement finishes');
ok(wait_until(sub { !$running->is_alive }, 'the end of the one that has finished'),
	'then its session is ended');

# ---------- the end of grace ----------

ok($in_transaction->is_alive, 'the open transaction is still there');
my $started = $node->safe_psql('postgres', 'SELECT drain_started_at FROM pool_policies');
$node->safe_psql('postgres', "SELECT pool_drain('$A', '0s')");
is($node->safe_psql('postgres', 'SELECT drain_started_at FROM pool_policies'), $started,
	'a second pool_drain changes the grace, not the start');
ok(wait_until(sub { !$in_transaction->is_alive }, 'the end of grace'),
	'after grace a session in a transaction is ended, too');
is($node->safe_psql('postgres', qq{
		SELECT count(*) FROM pool_events WHERE kind = 'terminate' AND tenant = '$A'
		AND reason ~ 'drained'}), '3', 'with an event for each that was ended');
is($node->safe_psql('postgres', qq{
		SELECT count(*) FROM pool_events WHERE kind = 'terminate' AND tenant = '$A'
		AND reason ~ 'grace is over'}), '1', 'which says when grace was over');
ok(wait_sessions($node, $A, 0), 'nobody is left');
ok($other->is_alive, 'but the other tenant');

# ---------- over a restart, and resumed ----------

$other->close_and_wait;
$admin->close_and_wait;
$node->restart;
like(refused($node, 'regress_pool_a'), qr/is being drained/, 'a drain outlives a restart');
my ($rc, undef, $err) =
  psql_as($node, $superuser, "BEGIN; SELECT pool_resume('$A'); ROLLBACK");
is($rc, 0, 'pool_resume in a transaction') or diag($err);
wait_sync($node);
like(refused($node, 'regress_pool_a'), qr/is being drained/, 'ROLLBACK leaves the drain');
$node->safe_psql('postgres', "SELECT pool_resume('$A')");
wait_sync($node);
is(refused($node, 'regress_pool_a'), '', 'pool_resume admits again');
is($node->safe_psql('postgres', q{
		SELECT max_connections, drain_started_at IS NULL, drain_grace IS NULL FROM pool_policies}),
	'20|t|t', 'the rest of the policy is as it was');
$node->safe_psql('postgres', "SELECT pool_resume('$A')");
pass('a second pool_resume is no error');

# ---------- without a grace ----------

$admin = open_session($node, $superuser);
$in_transaction = open_session($node, 'regress_pool_a');
$in_transaction->value('BEGIN; SELECT 1');
foreach my $field (qw(drain_grace drain_started_at))
{
	$admin->query("SELECT pool_drain('$A', '1h')");
	is($admin->value("SELECT drain_started_at IS NULL AND drain_grace IS NULL AND max_connections = 20
			FROM pool_drop_policy('$A', field => '$field')"), 't', "dropping $field alone drops both");
}
wait_sync($node);
is(refused($node, 'regress_pool_a'), '', 'which ends the drain');
$admin->query("UPDATE pool_policies SET drain_started_at = now(), drain_grace = NULL WHERE tenant = '$A'");
wait_sync($node);
like(refused($node, 'regress_pool_a'), qr/is being drained/, 'a drain that says no grace');
wait_samples($admin, 20);
ok($in_transaction->is_alive, 'does not end all at once');
$admin->query(q{UPDATE pool_policies SET drain_started_at = now() - interval '30 s' WHERE drain_started_at IS NOT NULL});
ok(wait_until(sub { !$in_transaction->is_alive }, 'the end of the default grace'),
	'but after what pool_drain gives');
$admin->query("SELECT pool_resume('$A')");
wait_sync($node);
close_all($admin);

# ---------- a policy that only the drain made ----------

$node->safe_psql('postgres', "SELECT pool_drain('$B', '0s')");
wait_sync($node);
like(refused($node, 'regress_pool_b'), qr/is being drained/, 'a tenant without a policy');
$node->safe_psql('postgres', "SELECT pool_resume('$B')");
wait_sync($node);
is(refused($node, 'regress_pool_b'), '', 'is admitted again');
is($node->safe_psql('postgres', "SELECT count(*) FROM pool_policies WHERE tenant = '$B'"), '0',
	'and has no policy again');

# ---------- in mode observe ----------

$node->safe_psql('postgres', "SELECT pool_set_quota('$B', mode => 'observe')");
wait_sync($node);
$idle = open_session($node, 'regress_pool_b');
($rc, undef, $err) = psql_as($node, $superuser, "SELECT pool_drain('$B', '0s')");
like($err, qr/WARNING:  .*not in mode enforce/, 'a drain that only observes warns');
wait_sync($node);
$other = open_session($node, 'regress_pool_b');
ok($other->is_admitted, 'and refuses nobody');
is(stat_of($node, $B, 'would_reject'), '1', 'but counts');
ok($node->poll_query_until('postgres',
		"SELECT would_terminate > 0 FROM pool_stats WHERE tenant = '$B'"),
	'whom it would end is told');
ok($idle->is_alive && $other->is_alive, 'and stays');
close_all($idle, $other);

# ---------- behind many that nothing can be ended of ----------

# More tenants than are worked off in a pass, all over their quotas and busy.
my $CROWD = 260;

$node = new_node(
	max_connections => $CROWD + 20,
	'pool_optimizer.tenant' => q{'%a'});
create_roles($node, 'r_any');
my @busy = map { start_login($node, 'r_any', application_name => "busy $_") } 1 .. $CROWD;

$_->wait_login->query('BEGIN') foreach @busy;
my $last = open_session($node, 'r_any', application_name => 'last');

$last->query('BEGIN');
$node->safe_psql('postgres', q{SELECT pool_set_quota('busy*', max_connections => 0)});
$node->safe_psql('postgres', q{SELECT pool_drain('last', '0s')});
wait_sync($node);
ok(wait_until(sub { !$last->is_alive }, 'the end of grace'),
	'a drain after its grace does not wait for others');
is((scalar grep { $_->is_alive } @busy), $CROWD, 'who are left alone');
close_all(@busy);

done_testing();
