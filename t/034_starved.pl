# The sampler is starved of CPU: stopped for many of its intervals, while sessions come
# and go, wake up, wait and have orders on their way.
#
# When it comes back it decides by what is, not by what was: no session is ended that
# has not been idle for its limit by then.  Quotas hold and waiting logins come to their
# end without it, what it missed is counted, and the time it has not seen is nobody's
# busy time, nor anybody's idle time.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep clock_gettime CLOCK_MONOTONIC);

my $interval = 0.020;			# between two samples, in seconds
my $limit = 1.5;				# of idleness

my $node = new_node(
	-name => 'starved',
	max_connections => 60,
	'pool_optimizer.exempt_roles' => q{'r_exempt'},
	'pool_optimizer.sample_interval' => '20ms');

create_roles($node, qw(r_idle r_none r_exempt r_quota r_wait r_evict r_busy r_quiet));
$node->safe_psql('postgres', q{
	SELECT pool_set_timeouts('r_idle@postgres', idle => '1500ms', idle_in_transaction => '0',
		never_used => '0', lifetime => '0', leak_probability => 0);
	SELECT pool_set_quota('r_quota@postgres', max_connections => 5);
	SELECT pool_set_quota('r_wait@postgres', max_connections => 1, on_full => 'wait',
		wait_timeout => '300ms');
	SELECT pool_set_quota('r_evict@postgres', max_connections => 1, on_full => 'evict_idle',
		wait_timeout => '300ms');
	SELECT pool_set_sizing('r_busy@postgres', evaluation_interval => '1s');
	SELECT pool_set_sizing('r_quiet@postgres', evaluation_interval => '1s')});
wait_sync($node);

sub now { return clock_gettime(CLOCK_MONOTONIC); }

my ($sampler, $stopped_at, $missed_before);

# Does the process do nothing but wait for a signal?
sub is_stopped
{
	my ($pid) = @_;

	return slurp_file("/proc/$pid/stat") =~ /^\d+ \(.*\) T/s;
}

sub stop_process
{
	my ($pid) = @_;

	kill('STOP', $pid) == 1 or die "cannot stop process $pid: $!";
	wait_until(sub { is_stopped($pid) }, 'a process to stop');
	return;
}

# Between two samples: a process that is stopped while it holds a lock holds up others.
sub starve
{
	my $waits = 0;

	$sampler = cluster_stat($node, 'sampler_pid');
	while (!$waits)
	{
		stop_process($sampler);
		$waits = $node->safe_psql('postgres', "SELECT count(wait_event) FROM pg_stat_activity
			WHERE pid = $sampler");
		kill 'CONT', $sampler unless $waits;
	}
	$missed_before = cluster_stat($node, 'missed_samples');
	$stopped_at = now();
	return;
}

# How long it was stopped, in samples.
sub feed
{
	my $missed = (now() - $stopped_at) / $interval;

	kill('CONT', $sampler) == 1 or die "cannot wake the sampler: $!";
	return $missed;
}

my $admin = open_session($node, $node->safe_psql('postgres', 'SELECT current_user'));

sub samples { return $admin->value('SELECT samples FROM pool_stats_cluster'); }

sub wait_samples
{
	my ($n) = @_;
	my $until = samples() + $n;

	return wait_until(sub { samples() >= $until }, "$n samples");
}

# Seconds since the session's last statement began or ended, in the server's account.
sub idle_for
{
	my (@sessions) = @_;
	my $pids = join ',', map { $_->pid } @sessions;

	return $node->safe_psql('postgres', "SELECT coalesce(extract(epoch FROM
		min(clock_timestamp() - state_change)), 0) FROM pg_stat_activity WHERE pid IN ($pids)");
}

# ---------- old state ----------

# A slot is given to another session sooner or later: leave few free ones.
my @gone = (undef) x 36;
my %was = map { $_ => undef } qw(left woke in_transaction in_statement listening);
my $locker = open_session($node, 'r_none');

$locker->value('SELECT pg_advisory_lock(1)');

# The sampler is stopped when it has seen all of them idle.  On a slow machine some have been
# idle for too long before that; then others take their places.
sub starve_with_all
{
	foreach my $session (@gone, values %was)
	{
		$session = open_session($node, 'r_idle') unless defined $session && $session->is_alive;
	}
	eval { $_->value('SELECT 1') foreach @gone, values %was; 1 } or return 0;
	wait_samples(3);
	starve();
	return 1 if !grep { !$_->is_alive } @gone, values %was;
	feed();
	return 0;
}

wait_until(\&starve_with_all, 'all sessions at once');
is(scalar(grep { !$_->is_alive } @gone, values %was), 0, 'all sessions live');

# What was idle is not any more, or is somebody else.
$_->vanish foreach @gone;
wait_sessions($node, 'r_idle@postgres', scalar keys %was);
my @others = map { open_session($node, $_ % 2 ? 'r_none' : 'r_exempt') } 1 .. 36;

ok(wait_until(sub { idle_for(values %was, @others) > 2 * $limit }, 'idleness'),
	'sessions are idle beyond the limit while the sampler is stopped');
$was{in_transaction}->query('BEGIN');
$was{in_statement}->send_query('SELECT pg_advisory_lock(1)');
$was{listening}->query('LISTEN news');
my $woke = $was{woke}->value('SELECT extract(epoch FROM clock_timestamp())');

ok(wait_until(sub { $node->safe_psql('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity
	WHERE wait_event = 'advisory'}) eq 't' }), 'one executes a statement');
my $missed = feed();

$was{left}->wait_closed;
is($was{left}->sqlstate, '57P01', 'the one that was idle all the time is ended');
cmp_ok(cluster_stat($node, 'missed_samples'), '>=', $missed_before + int($missed) - 2,
	'what the sampler missed is counted');
# The next that is ended shows that the sampler had time for all.
$was{woke}->wait_closed;
cmp_ok($node->safe_psql('postgres', 'SELECT extract(epoch FROM at) FROM pool_events
	WHERE kind = \'terminate\' AND pid = ' . $was{woke}->pid) - $woke, '>=', $limit,
	'the one that woke up is ended when it has been idle for its limit once more');
ok($was{$_}->is_alive, "lives: $_") foreach qw(in_transaction in_statement listening);
is(scalar(grep { !$_->is_alive } @others), 0,
	'sessions in slots of others, of roles without a rule and exempt ones, live');
is($was{in_transaction}->value('SELECT 42'), '42', 'the transaction goes on');
$locker->value('SELECT pg_advisory_unlock(1)');
ok(defined $was{in_statement}->result, 'the statement comes to its end');
close_all(@others, $locker, values %was);

# ---------- orders on their way ----------

# A stopped session has its order when the verdict says so; the sampler is stopped, then
# the session goes on, in one case with a statement from its client.
my %ordered = map { $_ => open_session($node, 'r_idle') } qw(speaks keeps_silent);

# One that was stopped on its way from its answer to the next read would decline.
sub wait_for_clients
{
	return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity
		WHERE usename = 'r_idle' AND wait_event = 'ClientRead'}) == 2;
}

# On a slow machine one has been idle for too long before; then another takes its place.
sub stop_both
{
	foreach my $session (values %ordered)
	{
		$session = open_session($node, 'r_idle') unless $session->is_alive;
	}
	eval { $_->value('SELECT 1') foreach values %ordered; 1 } or return 0;
	wait_until(sub { wait_for_clients() || grep { !$_->is_alive } values %ordered }, 'both');
	eval { stop_process($_->pid) foreach values %ordered; 1 } or diag($@);
	my ($pids) = join ',', map { $_->pid } values %ordered;

	# Neither had an order before.
	return 1 if $node->safe_psql('postgres', "SELECT count(*) = 2
		AND max(clock_timestamp() - state_change) < interval '$limit s'
		FROM pg_stat_activity WHERE pid IN ($pids) AND wait_event = 'ClientRead'") eq 't';
	kill 'CONT', map { $_->pid } values %ordered;
	return 0;
}
ok(wait_until(\&stop_both, 'two sessions'), 'both are stopped while they wait for their clients');
ok(wait_until(sub { $node->safe_psql('postgres', q{SELECT count(*) = 2 FROM pool_stats_session
	WHERE usename = 'r_idle' AND verdict = 'terminate'}) eq 't' }, 'two orders'),
	'two stopped sessions have the order to end');
starve();
$ordered{speaks}->send_query('SELECT 42');
kill 'CONT', $ordered{$_}->pid foreach qw(speaks keeps_silent);
is($ordered{speaks}->result->[0][0], '42', 'the one whose client has spoken declines');
$ordered{keeps_silent}->wait_closed;
is($ordered{keeps_silent}->sqlstate, '57P01', 'the other one ends, without the sampler');
my $since = $ordered{speaks}->value('SELECT extract(epoch FROM clock_timestamp())');

feed();
$ordered{speaks}->wait_closed;
cmp_ok($node->safe_psql('postgres', 'SELECT extract(epoch FROM at) FROM pool_events
	WHERE kind = \'terminate\' AND pid = ' . $ordered{speaks}->pid) - $since, '>=', $limit,
	'it is ended when it has been idle for its limit once more');

# ---------- quotas and queues without it ----------

my %holder = map { $_ => open_session($node, $_) } qw(r_wait r_evict);

$_->value('SELECT 1') foreach values %holder;
wait_samples(2);
starve();

my @storm = map { start_login($node, 'r_quota') } 1 .. 15;

$_->wait_login foreach @storm;
my @in = grep { $_->is_admitted } @storm;

is(scalar @in, 5, 'exactly the quota is admitted');
close_all(splice @in, 0, 2);
wait_sessions($node, 'r_quota@postgres', 3);
push @in, grep { $_->is_admitted } map { open_session($node, 'r_quota') } 1 .. 4;
is(scalar @in, 5, 'and two more when two have left');

my %login = map { $_ => start_login($node, $_) } qw(r_wait r_evict);

foreach my $role (sort keys %login)
{
	$login{$role}->wait_login;
	is($login{$role}->sqlstate, '53300', "a login of $role ends by its own timeout");
	like($login{$role}->error_text, qr/after waiting \d+ ms/, 'having waited');
}
# Places go from hand to hand without the sampler.
my @queued = start_login($node, 'r_wait');
my $waits = start_login($node, 'r_wait');

$holder{r_wait}->quit;
$queued[0]->wait_login;
$waits->wait_login;
is(scalar(grep { $_->is_admitted } @queued, $waits), 1, 'a place is handed over to one login');

ok(wait_until(sub { cluster_stat($node, 'health') eq 'critical' }),
	'health says critical while no sample comes');
feed();
ok(wait_until(sub { cluster_stat($node, 'health') eq 'healthy' }), 'and healthy again');
wait_samples(3);
ok($holder{r_evict}->is_alive, 'nobody is evicted for a login that has given up');
my $evicts = open_session($node, 'r_evict');

ok($evicts->is_admitted, 'the next login evicts');
close_all(@in, @queued, $waits, $evicts, values %holder);

# ---------- what was not seen is not accounted ----------

sub recommendation
{
	my ($tenant, $column) = @_;

	return $node->safe_psql('postgres',
		"SELECT $column FROM pool_recommendations WHERE tenant = '$tenant\@postgres'");
}

# Waits until the levels of now are in the recommendation.
sub wait_evaluated
{
	my ($tenant) = @_;
	my $at = $node->safe_psql('postgres', 'SELECT clock_timestamp()');

	return ok($node->poll_query_until('postgres', "SELECT computed_at > '$at'
		FROM pool_recommendations WHERE tenant = '$tenant\@postgres'"), "$tenant is evaluated");
}

# Stopped for as long as many more samples would have taken than were taken before.
sub starve_for
{
	my ($n) = @_;

	starve();
	wait_until(sub { now() - $stopped_at > $n * $interval });
	return feed();
}

my @busy = map { open_session($node, 'r_busy') } 1 .. 4;
my $quiet = open_session($node, 'r_quiet');

foreach my $i (1 .. 150) { $_->query('SELECT 1') foreach $busy[0], $quiet; }
wait_samples(2);
$node->safe_psql('postgres', q{SELECT pool_reset_stats(tenant) FROM pool_stats
	WHERE tenant IN ('r_busy@postgres', 'r_quiet@postgres')});
$_->query('BEGIN') foreach @busy;
wait_samples(100);
starve_for(400);
wait_evaluated('r_busy');
is(recommendation('r_busy', 'busy_p50'), '4', 'four that were busy all the time are four');
cmp_ok(recommendation('r_busy', 'busy_mean'), '>', 3.5, 'also on average');
$_->query('COMMIT') foreach @busy;

# Idle when last seen and busy at the first look: the time between is not busy time.
wait_samples(100);
starve();
wait_until(sub { now() - $stopped_at > 400 * $interval });
$quiet->query('BEGIN');
feed();
my $before = samples();

wait_samples(1);
$quiet->query('COMMIT');
my $n_busy = samples() - $before;

wait_evaluated('r_quiet');
SKIP:
{
	skip "it was busy for $n_busy samples, as this machine is slow", 1 if $n_busy > 40;
	is(recommendation('r_quiet', 'busy_p50'), '0', 'one that was seldom busy is none');
}
close_all(@busy, $quiet, $admin);

stop_clean($node);
done_testing();
