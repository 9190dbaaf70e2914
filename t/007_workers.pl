# The sampler and the keeper are killed, held up and deprived of their table: quotas
# hold all the time, nothing is lost, and they come back.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node();
my $A = 'regress_pool_a@other';
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, 'regress_pool_a');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION pool_optimizer');
$node->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 2)");
wait_sync($node);

sub counters
{
	return $node->safe_psql('other', qq{
		SELECT sessions, admitted, rejected, transactions, peak_sessions, first_seen
		FROM pool_stats WHERE tenant = '$A'});
}

sub third_is_refused
{
	my ($what) = @_;

	return is(refused_sqlstate($node, 'regress_pool_a', dbname => 'other'), '53300',
		"$what: the quota is enforced");
}

# ---------- the sampler ----------

my @in = map { open_session($node, 'regress_pool_a', dbname => 'other') } 1, 2;
$_->value('SELECT 1') for @in;
# Both transactions are merged into the tenant's sums before the counters are compared.
ok(wait_until(sub { stat_of($node, $A, 'transactions', dbname => 'other') == 2 }),
	'transactions are accounted');
my $before = counters();
my $pid = cluster_stat($node, 'sampler_pid');
my $samples = cluster_stat($node, 'samples');
is(kill('TERM', $pid), 1, 'the sampler gets SIGTERM');
third_is_refused('while the sampler is away');
ok($node->poll_query_until('postgres',
		"SELECT sampler_pid <> $pid FROM pool_stats_cluster"),
	'it is back with another pid');
ok($node->poll_query_until('postgres',
		"SELECT samples > $samples + 3 FROM pool_stats_cluster"),
	'and samples');
my @expected = split /\|/, $before;
$expected[2]++;
is(counters(), join('|', @expected), 'counters go on from where they were');
is($_->value('SELECT 42'), '42', 'sessions have not noticed') for @in;
ok($node->poll_query_until('postgres', sprintf(
			q{SELECT count(*) = 2 FROM pool_stats_session WHERE pid IN (%d, %d) AND class = 'idle'},
			map { $_->pid } @in)),
	'the new one sees them');
$node->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 1)");
wait_sync($node);
ok(wait_until(sub { 1 == grep { $_->is_alive } @in }), 'and reclaims');
close_all(grep { $_->is_alive } @in);
wait_sessions($node, $A, 0, dbname => 'other');
$node->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 2)");
wait_sync($node);

# ---------- the keeper ----------

my $lock = open_session($node, $superuser);
my $generation = cluster_stat($node, 'policy_generation');

$lock->value(q{BEGIN; LOCK TABLE pool_policies IN ACCESS EXCLUSIVE MODE});
# Asks for a keeper; the answer has to wait for the lock.
my $sync = open_session($node, $superuser, dbname => 'other');
$sync->send_query(q{SELECT pool_sync('1h')});
my $keeper = '';
ok(wait_until(sub {
			$keeper = cluster_stat($node, 'keeper_pid', dbname => 'other');
			return $keeper ne '';
		}), 'the keeper is at work');
is(kill('TERM', $keeper), 1, 'it gets SIGTERM');
ok($node->poll_query_until('other', q{
		SELECT last_error ~ 'keeper: terminating background worker' FROM pool_stats_cluster}),
	'last_error says that it was ended');
ok($node->poll_query_until('other', qq{
		SELECT keeper_pid <> $keeper FROM pool_stats_cluster}), 'another one takes over');
@in = map { open_session($node, 'regress_pool_a', dbname => 'other') } 1, 2;
is((scalar grep { $_->is_admitted } @in), 2, 'quotas are as they were while the table is locked');
third_is_refused('while the table is locked');
ok($node->poll_query_until('other', q{
		SELECT last_error ~ 'keeper: canceling statement due to lock timeout'
		FROM pool_stats_cluster}),
	'last_error says why it cannot read');
is(cluster_stat($node, 'policy_generation', dbname => 'other'), $generation,
	'the policies in force are still those');
my $samples_locked = cluster_stat($node, 'samples', dbname => 'other');
ok($node->poll_query_until('other',
		"SELECT samples > $samples_locked + 3 FROM pool_stats_cluster"),
	'the sampler works on');

$lock->query("SELECT pool_set_quota('$A', max_connections => 3); COMMIT");
is($sync->result->[0][0], 't', 'it is retried when the lock has gone');
# The change in the transaction that held the lock may be the next batch.
wait_sync($node);
is(cluster_stat($node, q{coalesce(last_error, '')}), '', 'last_error is cleared');
push @in, open_session($node, 'regress_pool_a', dbname => 'other');
ok($in[2]->is_admitted, 'the new quota is in force');
third_is_refused('with the new quota: one more');
close_all(@in, $sync, $lock);
ok(wait_sessions($node, $A, 0, dbname => 'other'), 'all have left');

# A keeper must not be in the way of its database.
$node->safe_psql('other', q{CREATE DATABASE copy TEMPLATE postgres});
$node->safe_psql('other', q{DROP DATABASE copy});
pass('CREATE DATABASE ... TEMPLATE the policy database works');

# ---------- a backend is killed ----------

# What the state file holds is what a crash leaves: write it by a clean restart.
$node->restart;
my ($n_saved) = (split /\|/, counters())[1];
@in = map { open_session($node, 'regress_pool_a', dbname => 'other') } 1 .. 3;
my $start = $node->safe_psql('other', 'SELECT pg_postmaster_start_time()');
is(kill('KILL', $in[0]->pid), 1, 'a backend gets SIGKILL');
$_->wait_closed for @in;
pass('the server ends all sessions');
ok($node->poll_query_until('other', q{
		SELECT sampler_pid IS NOT NULL AND samples > 0 FROM pool_stats_cluster}),
	'it comes back, and the sampler with it');
is($node->safe_psql('other', 'SELECT pg_postmaster_start_time()'), $start,
	'by the same postmaster');
my ($sessions, $n_restored) = split /\|/, counters();
is($sessions, '0', 'nobody is counted who is not there');
cmp_ok($n_restored, '>=', $n_saved, 'counters start from the file');
cmp_ok($n_restored, '<=', $n_saved + 3, 'and not beyond');
@in = map { open_session($node, 'regress_pool_a', dbname => 'other') } 1 .. 3;
is((scalar grep { $_->is_admitted } @in), 3, 'quotas are exact again: three get in');
third_is_refused('after a crash');
close_all(@in);
wait_sessions($node, $A, 0, dbname => 'other');

# ---------- the extension is dropped ----------

@in = map { open_session($node, 'regress_pool_a', dbname => 'other') } 1 .. 3;
$node->safe_psql('postgres', 'DROP EXTENSION pool_optimizer');
ok(wait_sync($node, dbname => 'other'), 'another database can wait for that');
is(stat_of($node, $A, 'max_connections', dbname => 'other'), '-1', 'the policies are gone');
push @in, open_session($node, 'regress_pool_a', dbname => 'other');
ok($in[3]->is_admitted, 'so nobody is refused');
is($_->value('SELECT 42'), '42', 'open sessions have not noticed') for @in;
like(cluster_stat($node, 'last_error', dbname => 'other'), qr/extension pool_optimizer is not in/,
	'last_error says what is missing');
is(stat_of($node, $A, 'sessions', dbname => 'other'), '4', 'sessions are still counted');
$node->safe_psql('postgres', 'CREATE EXTENSION pool_optimizer');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pool_policies'), '0',
	'created again, it has no policies');
$node->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 4)");
wait_sync($node);
third_is_refused('with a policy in the new table');
is(cluster_stat($node, q{coalesce(last_error, '')}), '', 'last_error is cleared');
is(cluster_stat($node, 'worker_errors'), '0', 'the sampler has met no error in all that');
close_all(@in);

done_testing();
