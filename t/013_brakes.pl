# What holds terminations back and in order: the rate limit, the circuit breaker, and
# whom a lowered quota and an eviction choose.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(clock_gettime usleep CLOCK_MONOTONIC);

my $node = new_node(
	-name => 'brakes',
	max_connections => 100,
	'pool_optimizer.max_terminations_per_minute' => 5);

create_roles($node, qw(r_rate r_storm r_calm r_surplus r_evict));

sub set_rate
{
	my ($limit) = @_;

	$node->safe_psql('postgres',
		"ALTER SYSTEM SET pool_optimizer.max_terminations_per_minute = $limit");
	$node->reload;
	return;
}

sub alive
{
	return grep { $_->is_alive } @_;
}

sub verdicts
{
	my ($role) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT string_agg(verdict || ' ' || n, ', ' ORDER BY verdict) FROM (
			SELECT verdict, count(*) AS n FROM pool_stats_session
			WHERE usename = '$role' GROUP BY verdict) AS v});
}

# ---------- max_terminations_per_minute ----------

my @leaked = map { open_session($node, 'r_rate') } 1 .. 20;

my $began = clock_gettime(CLOCK_MONOTONIC);

$node->safe_psql('postgres', q{SELECT pool_set_timeouts('r_rate@postgres', idle => '100ms')});
wait_sync($node);
ok(wait_until(sub { verdicts('r_rate') eq 'rate_limited 15' }, 'rate limit'),
	'of 20 leaked sessions 5 are ended, the rest have the verdict rate_limited');

# Some hundred samples later nothing has changed.
my $samples = cluster_stat($node, 'samples');

ok(wait_until(sub { cluster_stat($node, 'samples') > $samples + 100 }), 'samples go on');
is(scalar alive(@leaked), 15, 'exactly 5 have been ended');
is(stat_of($node, 'r_rate@postgres', 'terminated'), '5', 'and 5 are counted');
is($node->safe_psql('postgres',
		q{SELECT count(*) FROM pool_events WHERE kind = 'terminate'}), '5', 'with 5 events');

# The function shares the allowance.
is($node->safe_psql('postgres',
		q{SELECT count(*), count(*) FILTER (WHERE terminated),
			count(*) FILTER (WHERE reason LIKE '%spared: max_terminations_per_minute reached')
		FROM pool_terminate_leaked('r_rate@postgres', dry_run => false)}), '15|0|15',
	'pool_terminate_leaked shares the limit, and says so');
is(scalar alive(@leaked), 15, 'it has ended none');

set_rate(12);
my $limited = wait_until(sub { verdicts('r_rate') eq 'rate_limited 8'
	  || clock_gettime(CLOCK_MONOTONIC) - $began > 59 });
SKIP:
{
	skip 'a minute has passed meanwhile', 2 if clock_gettime(CLOCK_MONOTONIC) - $began > 59;
	ok($limited, 'a raised limit counts those of the last minute');
	is(scalar alive(@leaked), 8, 'exactly 12 have been ended');
}
set_rate(100000);
$_->wait_closed foreach @leaked;
ok($node->poll_query_until('postgres',
		q{SELECT terminated = 20 FROM pool_stats WHERE tenant = 'r_rate@postgres'}),
	'without the limit the rest goes');
is($_->sqlstate, '57P01', 'told 57P01') foreach $leaked[0];

# ---------- the circuit breaker ----------

my $log_before = -s $node->logfile;
my @storm = map { open_session($node, 'r_storm') } 1 .. 12;

$node->safe_psql('postgres', q{
	SELECT pool_set_timeouts('r_storm@postgres', idle => '500ms');
	SELECT pool_set_timeouts('r_calm@postgres', idle => '50ms')});
wait_sync($node);

# Whoever is ended is back at once; so that all are back before the first is idle for too
# long again, nothing slow is done in between.
my $admin = open_session($node, $node->safe_psql('postgres', 'SELECT current_user'));

sub reconnect
{
	$_ = $_->is_alive ? $_ : open_session($node, 'r_storm') foreach @storm;
	return;
}

ok(wait_until(sub {
			reconnect();
			return $admin->value(
				q{SELECT count(*) > 0 FROM pool_events WHERE kind = 'alert'
				  AND tenant = 'r_storm@postgres'}) eq 't';
		}, 'breaker'), 'clients that reconnect at once make the breaker open, with an alert');
ok(wait_until(sub { reconnect(); return verdicts('r_storm') eq 'breaker_open 12'; },
		'breaker_open'),
	'their sessions are left alone: breaker_open');
is($node->safe_psql('postgres',
		q{SELECT count(*), bool_and(reason LIKE 'ending sessions has not lowered their number %')
		  FROM pool_events WHERE kind = 'alert' AND tenant = 'r_storm@postgres'}), '1|t',
	'one alert, with its reason');
my @lines = log_since($node, $log_before) =~
  /LOG:.*tenant "r_storm\@postgres": ending sessions has not lowered their number/g;

is(scalar @lines, 1, 'one LOG line');
cmp_ok(stat_of($node, 'r_storm@postgres', 'terminated'), '>=', 10,
	'not before some were ended in vain');

is($admin->value(q{SELECT concat_ws(' ', severity, value, threshold) FROM pool_alerts
		WHERE alert = 'terminations_not_helping' AND tenant = 'r_storm@postgres'}), 'warning 1 1',
	'as long as it is open it is in pool_alerts');

my $terminated = stat_of($node, 'r_storm@postgres', 'terminated');

# It is the tenant's own.
my $calm = open_session($node, 'r_calm');

$calm->wait_closed;
is($calm->sqlstate, '57P01', 'leaks of other tenants are ended as before');
is(scalar alive(@storm), 12, 'while those behind the breaker live');
is(stat_of($node, 'r_storm@postgres', 'terminated'), $terminated, 'and none more was ended');
close_all(@storm);

# ---------- surplus: a lowered quota ----------

# In this order idle for longer and longer; the two that would be first are at work.
my @surplus = map { open_session($node, 'r_surplus') } 0 .. 9;

$surplus[0]->send_query('SELECT pg_sleep(3600)');
$surplus[1]->query('BEGIN');
$_->query('SELECT 1') foreach @surplus[ 2 .. 9 ];
$node->safe_psql('postgres',
	q{SELECT pool_set_quota('r_surplus@postgres', max_connections => 4)});
wait_sync($node);
ok(wait_sessions($node, 'r_surplus@postgres', 4), 'a lowered quota is applied to open sessions');
is(join(' ', map { $_->is_alive ? 1 : 0 } @surplus), '1 1 0 0 0 0 0 0 1 1',
	'the longest idle go, the busy stay');
is($surplus[2]->sqlstate, '57P01', 'told 57P01');
is($node->safe_psql('postgres',
		q{SELECT count(*), bool_and(detail->>'class' = 'surplus'
			AND reason LIKE 'surplus: tenant "r_surplus@postgres" has _ more than its '
				|| 'max_connections of 4,%')
		FROM pool_events WHERE kind = 'terminate' AND tenant = 'r_surplus@postgres'}), '6|t',
	'with the reason');
is($surplus[1]->value('SELECT 1'), '1', 'a busy one goes on');
is(refused_sqlstate($node, 'r_surplus'), '53300', 'nobody comes in');

$node->safe_psql('postgres',
	q{SELECT pool_set_quota('r_surplus@postgres', max_connections => 1)});
wait_sync($node);
ok(wait_sessions($node, 'r_surplus@postgres', 2), 'lowered below what is busy: the idle go');
$samples = cluster_stat($node, 'samples');
ok(wait_until(sub { cluster_stat($node, 'samples') > $samples + 50 }), 'samples go on');
ok($surplus[0]->is_alive && $surplus[1]->is_alive, 'the busy stay until they are idle');
$surplus[1]->query('COMMIT');
$surplus[1]->wait_closed;
is($surplus[1]->sqlstate, '57P01', 'then one more goes');
$samples = cluster_stat($node, 'samples');
ok(wait_until(sub { cluster_stat($node, 'samples') > $samples + 50 }), 'samples go on');
ok($surplus[0]->is_alive, 'and the last, now within the quota, stays');
is(stat_of($node, 'r_surplus@postgres', 'terminated'), '9', 'nine were ended in all');

# ---------- one that is on its way out already ----------

# Stopped in its transaction, it keeps the order that it was given for that.
sub hold_leaked
{
	my ($session, $limit) = @_;

	$session->value('BEGIN; SELECT 1');
	ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT count(*) FROM pg_stat_activity
		WHERE wait_event = $$ClientRead$$ AND pid = ' . $session->pid) }, 'its wait'),
		'a session leaves its transaction open');
	is(kill('STOP', $session->pid), 1, 'and is stopped');
	$node->safe_psql('postgres', "SELECT pool_set_timeouts('r_going\@postgres',
		idle_in_transaction => '$limit')");
	ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT verdict FROM pool_stats_session
		WHERE pid = ' . $session->pid) eq 'terminate' }, 'the order'), 'it has the order to end');
	return;
}

create_roles($node, 'r_going');
my $looking = open_session($node, $node->safe_psql('postgres', 'SELECT current_user'));
my @going = map { open_session($node, 'r_going') } 0 .. 3;

hold_leaked($going[0], '1ms');
$node->safe_psql('postgres', q{SELECT pool_set_quota('r_going@postgres', max_connections => 3)});
wait_sync($node);
wait_samples($looking, 20);
kill 'CONT', $going[0]->pid;
$going[0]->wait_closed;
is(scalar alive(@going), 3, 'for a lowered quota nobody else is ended');
$node->safe_psql('postgres', q{
	SELECT pool_set_timeouts('r_going@postgres', idle_in_transaction => '1h'),
		pool_set_quota('r_going@postgres', on_full => 'evict_idle', wait_timeout => '1min')});
wait_sync($node);
hold_leaked($going[1], '2ms');

my $comes = start_login($node, 'r_going');

ok($node->poll_query_until('postgres',
		q{SELECT waiting = 1 FROM pool_stats WHERE tenant = 'r_going@postgres'}),
	'a login waits');
wait_samples($looking, 20);
is(scalar alive(@going[ 2, 3 ]), 2, 'nobody else is evicted for it');
kill 'CONT', $going[1]->pid;
$comes->wait_login;
ok($comes->is_admitted, 'it gets the place of the one that goes anyway');
is(scalar alive(@going), 2, 'which is the only one to go');
close_all($looking, $comes, alive(@going));

# ---------- eviction ----------

my @evict = map { open_session($node, 'r_evict') } 0 .. 3;

$evict[0]->query('LISTEN news');
$evict[1]->query('BEGIN');
$evict[2]->query('SELECT 1');
$evict[3]->query('SELECT 1');
$node->safe_psql('postgres', q{
	SELECT pool_set_quota('r_evict@postgres', max_connections => 4, on_full => 'evict_idle',
		wait_timeout => '30s')});
wait_sync($node);

my $new = open_session($node, 'r_evict');

ok($new->is_admitted, 'evict_idle: a login over the quota is admitted');
$evict[2]->wait_closed;
is($evict[2]->sqlstate, '57P01', 'the session idle for longest is ended for it');
is(join(' ', map { $_->is_alive ? 1 : 0 } @evict), '1 1 0 1',
	'not the one that listens, nor the busy one, nor one more');
is($node->safe_psql('postgres',
		q{SELECT count(*), bool_and(reason LIKE 'longest idle when a login of tenant %')
		  FROM pool_events WHERE kind = 'terminate' AND tenant = 'r_evict@postgres'}), '1|t',
	'with one event that says why');
is(stat_of($node, 'r_evict@postgres', 'sessions'), '4', 'the quota holds');

# Nobody to evict: it waits, and is refused when time is up.
$node->safe_psql('postgres',
	q{SELECT pool_set_quota('r_evict@postgres', wait_timeout => '300ms')});
wait_sync($node);
$_->query('BEGIN') foreach $evict[3], $new;
like(refused($node, 'r_evict'),
	qr/^FATAL:  53300: .*\nDETAIL:  4 of 4 connections are in use after waiting \d+ ms/,
	'with nobody to evict a login is refused after its wait');
is(scalar alive(@evict, $new), 4, 'and nobody was ended for it');

# Somebody becomes idle while a login waits.
$node->safe_psql('postgres',
	q{SELECT pool_set_quota('r_evict@postgres', wait_timeout => '30s')});
wait_sync($node);

my $waiting = start_login($node, 'r_evict');

ok($node->poll_query_until('postgres',
		q{SELECT waiting = 1 FROM pool_stats WHERE tenant = 'r_evict@postgres'}),
	'a login waits');
$evict[3]->query('COMMIT');
$waiting->wait_login;
ok($waiting->is_admitted, 'and gets the place of the first that becomes idle');
$evict[3]->wait_closed;
is($evict[3]->sqlstate, '57P01', 'which is ended');

stop_clean($node);
done_testing();
