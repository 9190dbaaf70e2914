# The wall clock is set forward and back by hours and days, by a library that is
# preloaded into the server (clock.c).  The monotonic clock, which nobody can set, is
# left alone.
#
# Nobody is ended by a clock that was set, and nobody spared for longer than the limit;
# the sampler and the keeper go on; logins that wait come to their end in real time; the
# rate limit holds; no duration or rate in a view is negative or longer than the test has
# run; and a restart with the clock in the past goes on with what was known.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep clock_gettime CLOCK_MONOTONIC);

plan skip_all => 'needs a C compiler' unless build_clock();

my $hour = 3600;
my $day = 24 * $hour;

my $node = new_node(
	-name => 'clock',
	-start => 0,
	authentication_timeout => '600s',
	'pool_optimizer.sample_interval' => '20ms');

set_clock(0);
start_on_clock($node);

my $started = clock_gettime(CLOCK_MONOTONIC);
my $super = $node->safe_psql('postgres', 'CREATE EXTENSION pool_optimizer; SELECT current_user');
my $admin = open_session($node, $super);

create_roles($node, qw(r_long r_short r_wait r_busy r_rate));
$node->safe_psql('postgres', q{
	SELECT pool_set_timeouts('*', idle => '1h', idle_in_transaction => '1h',
		never_used => '1h', lifetime => '1h', leak_probability => 0);
	SELECT pool_set_timeouts('r_short@postgres', idle => '300ms');
	SELECT pool_set_timeouts('r_rate@postgres', idle => '300ms');
	SELECT pool_set_quota('r_wait@postgres', max_connections => 1, on_full => 'wait',
		wait_timeout => '1h');
	SELECT pool_set_sizing('r_busy@postgres', evaluation_interval => '1s')});
wait_sync($node);

sub elapsed_ms { return (clock_gettime(CLOCK_MONOTONIC) - $started) * 1000; }

sub wait_samples
{
	my ($n) = @_;
	my $until = $admin->value('SELECT samples FROM pool_stats_cluster') + $n;

	return wait_until(
		sub { $admin->value('SELECT samples FROM pool_stats_cluster') >= $until }, 'samples');
}

my $sampler;

# What the sampler has not seen yet when the clock is set is where it could go wrong.
# It is stopped between two samples, as it must not hold a lock meanwhile.
sub stop_sampler
{
	my $waits = 0;

	$sampler = $admin->value('SELECT sampler_pid FROM pool_stats_cluster');
	while (!$waits)
	{
		kill('STOP', $sampler) == 1 or die "cannot stop the sampler: $!";
		wait_until(sub { slurp_file("/proc/$sampler/stat") =~ /^\d+ \(.*\) T/s }, 'the sampler');
		$waits = $admin->value("SELECT count(wait_event) FROM pg_stat_activity
			WHERE pid = $sampler");
		kill 'CONT', $sampler unless $waits;
	}
	return;
}

sub go_on_sampler { return kill 'CONT', $sampler; }

# ---------- views ----------

# Durations and rates, with what is allowed: from 0 to the time that the test has run (a
# histogram is off by up to a quarter), or to a number.
sub check_views
{
	my ($when) = @_;
	my @wrong;
	my %durations = (
		pool_stats => [qw(xact_mean_ms xact_p50_ms xact_p95_ms xact_p99_ms wait_p99_ms)],
		pool_stats_session => [qw(state_ms xact_ms)],
		pool_recommendations => [qw(service_ms predicted_wait_ms)]);
	my %numbers = (
		pool_stats => { utilization => 1, peak_busy => 60, peak_sessions => 60 },
		pool_stats_session => { leak_probability => 1 },
		pool_recommendations => { arrival_rate => 50_000, busy_mean => 60, busy_p95 => 60,
			busy_max => 60, confidence => 1, recommended_size => 60 });

	foreach my $view (sort keys %durations)
	{
		my %most = (%{ $numbers{$view} }, map { $_ => elapsed_ms() * 1.3 + 1000 }
			  @{ $durations{$view} });

		foreach my $column (sort keys %most)
		{
			my $rows = $admin->query("SELECT $column, tenant FROM $view WHERE NOT ($column >= 0
				AND $column <= $most{$column})");

			push @wrong, map { "$view.$column of $_->[1] is $_->[0]" }
			  @{ $rows // [ [ "unreadable", "anybody" ] ] };
		}
	}
	my $missed = $admin->value('SELECT missed_samples FROM pool_stats_cluster');

	push @wrong, "missed_samples is $missed" if $missed > elapsed_ms() / 20;
	is(join("\n", @wrong), '', "$when: durations and rates are sane");
	return;
}

# ---------- the clock is set forward, and back ----------

my @long = map { open_session($node, 'r_long') } 1 .. 8;
my @busy = map { open_session($node, 'r_busy') } 1, 2;
my $holder = open_session($node, 'r_wait');

$long[$_]->query('SELECT 1') foreach 1 .. 7;		# the first one is never used
$long[1]->query('BEGIN');
foreach (1 .. 150) { $busy[0]->query('SELECT 1'); }
$_->query('BEGIN') foreach @busy;
wait_samples(3);

my $n_ended = 0;

# Sets the clock while sessions are idle, busy, in a transaction, logging in, waiting,
# and while some have changed since the sampler has looked at them.
sub set_clock_in_the_midst
{
	my ($ahead, $when) = @_;
	my $waiting = start_login($node, 'r_wait');
	my $short = open_session($node, 'r_short');
	my $n_long = @long;

	ok(wait_until(sub { $admin->value('SELECT waiting FROM pool_stats_cluster') == 1 }),
		"$when: a login waits");
	wait_samples(2);
	stop_sampler();
	$long[2]->query('SELECT 1');
	$long[3]->query('BEGIN');
	$long[4]->send_query('SELECT count(*) FROM generate_series(1, 500000)');
	push @long, open_session($node, 'r_long');
	set_clock($ahead);
	$long[5]->query('SELECT 1');
	$long[3]->query('COMMIT');
	is($admin->value(q{SELECT count(*) FROM pool_terminate_leaked('*', dry_run => true)
			WHERE pid <> } . $short->pid), '0', "$when: nobody is a leak");
	go_on_sampler();
	$long[4]->result;
	# At least this one must be ended, in either direction; real time passes for it.
	$short->wait_closed;
	is($short->sqlstate, '57P01', "$when: who has been idle for its limit is ended");
	$n_ended++;
	ok(wait_samples(20), "$when: the sampler goes on");
	is(scalar(grep { !$_->is_alive } @long, @busy, $holder), 0, "$when: all others live");
	is($admin->value(q{SELECT count(*) FROM pool_events
		WHERE kind IN ('terminate', 'would_terminate')}), $n_ended, "$when: no other event");
	is($admin->value('SELECT health FROM pool_stats_cluster'), 'healthy', "$when: healthy");
	cmp_ok(abs($admin->value(q{SELECT extract(epoch FROM last_sample) FROM pool_stats_cluster})
			- time() - $ahead), '<', $hour, "$when: sampler and clients have that clock");
	ok($waiting->is_waiting, "$when: the login waits on");
	$holder->quit;
	$waiting->wait_login;
	ok($waiting->is_admitted, "$when: and gets the place that becomes free");
	$holder = $waiting;
	wait_sync($node);
	$_->query('COMMIT') foreach $long[1], @busy;
	$_->query('BEGIN') foreach $long[1], @busy;
	wait_samples(2);
	check_views($when);
	return;
}

set_clock_in_the_midst(3 * $hour, 'three hours forward');
set_clock_in_the_midst(5 * $day, 'five days forward');

# Busy all the time, which five days of nothing would dilute.
my $evaluated = q{SELECT computed_at FROM pool_recommendations WHERE tenant = 'r_busy@postgres'};
my $was = $admin->value($evaluated);

ok(wait_until(sub { ($admin->value($evaluated) // '') ne ($was // '') }), 'sizes are computed');
cmp_ok($admin->value(q{SELECT busy_p50 FROM pool_recommendations
	WHERE tenant = 'r_busy@postgres'}), '==', 2, 'two that are busy all the time are two');
set_clock_in_the_midst(-2 * $day, 'seven days back');

# Nobody announces this change: the keeper finds it by its period, also now.
$admin->query(q{SET session_replication_role = replica});
$admin->query(q{UPDATE pool_policies SET wait_timeout = '15 s' WHERE tenant = 'r_wait@postgres'});
$admin->query(q{RESET session_replication_role});

my $generation = $admin->value('SELECT policy_generation FROM pool_stats_cluster');

$was = $admin->value($evaluated);
ok(wait_until(sub { $admin->value($evaluated) ne $was }), 'sizes are computed on');
ok(wait_until(sub { $admin->value('SELECT policy_generation FROM pool_stats_cluster')
	  > $generation }), 'the keeper looks when its period is over');

# ---------- a wait that is to end ----------

# By the clock that is set back it would last for another hour.
my $waits = start_login($node, 'r_wait');

ok(wait_until(sub { $admin->value('SELECT waiting FROM pool_stats_cluster') == 1 }),
	'a login waits');
set_clock(-2 * $day - $hour);
$waits->wait_login;
is($waits->sqlstate, '53300', 'set back an hour while a login waits: it ends');
my ($waited) = $waits->error_text =~ /after waiting (\d+) ms/;

ok(defined $waited && $waited >= 14_900 && $waited < elapsed_ms(),
	'after the time that it has really waited');
check_views('an hour back');

# ---------- the rate limit ----------

# Any 60 seconds are real ones.
my $last_end = open_session($node, 'r_short');

$last_end->wait_closed;
$n_ended++;
my $ended_at = clock_gettime(CLOCK_MONOTONIC);

$admin->query('ALTER SYSTEM SET pool_optimizer.max_terminations_per_minute = 1');
$admin->query('SELECT pg_reload_conf()');
my @limited = map { open_session($node, 'r_rate') } 1 .. 3;

ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pool_stats_session
	WHERE verdict = 'rate_limited'}) == 3 }), 'the rate limit holds');
foreach my $ahead ($hour, -$hour)
{
	set_clock($ahead);
	wait_samples(10);
}
SKIP:
{
	skip 'a minute has passed meanwhile', 1
	  if clock_gettime(CLOCK_MONOTONIC) - $ended_at > 59;
	is(scalar(grep { !$_->is_alive } @limited), 0, 'also when the clock is set');
}
$admin->query('ALTER SYSTEM RESET pool_optimizer.max_terminations_per_minute');
$admin->query('SELECT pg_reload_conf()');
$_->wait_closed foreach @limited;
pass('and they are ended when it allows');
is(scalar(grep { !$_->is_alive } @long, @busy, $holder), 0, 'all others live');
close_all(@long, @busy, $holder, $admin);

# ---------- a restart with the clock in the past ----------

set_clock(10 * $day);
my $last = open_session($node, 'r_long');

$last->query('SELECT 1');
close_all($last);
wait_sessions($node, 'r_long@postgres', 0);
my $known = q{SELECT admitted, terminated, transactions, first_seen, last_used FROM pool_stats
	WHERE tenant = 'r_long@postgres'};
my $before = $node->safe_psql('postgres', $known);

$node->stop;
set_clock(-30 * $day);
start_on_clock($node);
$admin = open_session($node, $super);
is($node->safe_psql('postgres', $known), $before, 'restarted in the past: statistics are whole');
is($admin->value(q{SELECT last_used > now() FROM pool_stats WHERE tenant = 'r_long@postgres'}),
	't', 'last_used lies in the future');
check_views('restarted in the past');

my $long = open_session($node, 'r_long');
my $short = open_session($node, 'r_short');

is($admin->value(q{SELECT last_used <= now() FROM pool_stats WHERE tenant = 'r_long@postgres'}),
	't', 'and is now when it is used again');
$short->wait_closed;
is($short->sqlstate, '57P01', 'policies are in force, and leaks are ended');
my @again = map { open_session($node, 'r_busy') } 1, 2;

$again[0]->query('SELECT 1') foreach 1 .. 150;
$_->query('BEGIN') foreach @again;
ok(wait_until(sub { ($admin->value(q{SELECT computed_at <= now() AND confidence > 0
	AND method NOT IN ('none', 'too_little_data') FROM pool_recommendations
	WHERE tenant = 'r_busy@postgres'}) // '') eq 't' }), 'sizes are computed, from what was known')
  or diag($admin->value(q{SELECT r::text FROM pool_recommendations AS r
	WHERE tenant = 'r_busy@postgres'}));
ok($long->is_alive, 'nobody else is ended');
check_views('and at work there');
close_all($long, @again, $admin);

stop_clean($node);
done_testing();
