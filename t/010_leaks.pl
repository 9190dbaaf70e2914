# Leaks: every kind is found and told in mode observe, ended in mode enforce, and what
# is busy or makes progress is left alone.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = new_node(
	-name => 'leaks',
	max_connections => 160,
	'pool_optimizer.mode' => 'observe');

# A role, so a tenant, for each kind: no rule but the one meant strikes.
my @kinds = qw(idle_in_transaction aborted_in_transaction idle_too_long never_used
  stuck_in_client_read lifetime beyond_norm growth);

create_roles($node, (map { "r_$_" } @kinds), 'r_progress', 'r_busy', 'r_pool', 'r_manual');
$node->safe_psql('postgres', 'CREATE TABLE sink (a int); GRANT ALL ON sink TO PUBLIC');

sub tenant { return "$_[0]\@postgres" }

# pool_stats_session.$column of a session; undef when it is not there.
sub of_session
{
	my ($session, $column) = @_;
	my $value = $node->safe_psql('postgres',
		"SELECT coalesce(($column)::text, '(null)') FROM pool_stats_session WHERE pid = "
		  . $session->pid);

	return $value eq '' ? undef : $value;
}

sub events_of
{
	my ($session, $kind) = @_;

	return $node->safe_psql('postgres',
		"SELECT count(*) FROM pool_events WHERE kind = '$kind' AND pid = " . $session->pid);
}

# ---------- the innocent ----------

# They are in a transaction before there is a rule, so every rule about idle sessions
# can be as strict as it gets: whoever were taken for idle once would go.
my $sleeper = open_session($node, 'r_busy');
my $worker = open_session($node, 'r_busy');

$sleeper->send_query('SELECT pg_sleep(3600)');
$worker->query('BEGIN');

# A COPY that goes on; its limit is long, as this process may be kept waiting itself.
my $progress_limit = 1.5;
my $progress = open_session($node, 'r_progress');
my $longest_pause = 0;
my $last_row = time();

$progress->send_query('COPY sink FROM STDIN');

sub keep_going
{
	my $now = time();

	$longest_pause = $now - $last_row if $now - $last_row > $longest_pause;
	$last_row = $now;
	$progress->write_all('d' . pack('N', 6) . "1\n");
	$worker->query('SELECT 1');
	return;
}

# ---------- the leaks ----------

my %leak;

$leak{$_} = open_session($node, "r_$_") foreach grep { $_ ne 'growth' } @kinds;
$leak{idle_in_transaction}->query('BEGIN; SELECT 1');
$leak{aborted_in_transaction}->query('BEGIN; SELECT 1/0');
$leak{idle_too_long}->query('SELECT 1');
$leak{lifetime}->query('SELECT 1');
$leak{stuck_in_client_read}->send_query('COPY sink FROM STDIN');
$leak{stuck_in_client_read}->write_all('d' . pack('N', 6) . "1\n");

# With n gaps seen, all shorter than the present one, survival is below 1 / (n + 2); a
# probability of 0.9 needs 0.00112 (po_leak.h), so 900 gaps: then any pause longer than
# all of them, and longer than a second, is beyond the norm.
my $n_gaps = 1200;

$leak{beyond_norm}->query('SELECT 1') for 0 .. $n_gaps;
keep_going();

$node->safe_psql('postgres', qq{
	SELECT pool_set_timeouts('r_idle_in_transaction\@postgres', idle_in_transaction => '300ms');
	SELECT pool_set_timeouts('r_aborted_in_transaction\@postgres',
		idle_in_transaction => '300ms');
	SELECT pool_set_timeouts('r_stuck_in_client_read\@postgres',
		idle_in_transaction => '300ms');
	SELECT pool_set_timeouts('r_idle_too_long\@postgres', idle => '300ms');
	SELECT pool_set_timeouts('r_never_used\@postgres', never_used => '300ms');
	SELECT pool_set_timeouts('r_lifetime\@postgres', lifetime => '300ms');
	SELECT pool_set_timeouts('r_beyond_norm\@postgres', leak_probability => 0.9);
	SELECT pool_set_timeouts('r_growth\@postgres', leak_probability => 0.9);
	SELECT pool_set_timeouts('r_pool\@postgres', leak_probability => 0.9);
	SELECT pool_set_timeouts('r_progress\@postgres', idle_in_transaction => '${progress_limit}s');
	SELECT pool_set_timeouts('r_busy\@postgres', idle => '1ms', never_used => '1ms',
		lifetime => '1ms', leak_probability => 0.01, idle_in_transaction => '0');
});
wait_sync($node);
keep_going();

# Two groups grow, a session every 0.2 s, so in each window of 1 s.  One never reuses
# what it has, the other uses each again and again.
my @growing;
my @pool;

sub grow
{
	push @growing, open_session($node, 'r_growth', application_name => 'leaky')
	  if @growing < 40;
	push @pool, open_session($node, 'r_pool', application_name => 'sound') if @pool < 12;
	$_->query('SELECT 1') foreach grep { $_->is_alive } @pool;
	return;
}

sub found_growth
{
	grow();
	keep_going();
	usleep(150_000);
	return $node->safe_psql('postgres',
		q{SELECT count(*) >= 3 FROM pool_stats_session
		  WHERE class = 'growth' AND usename = 'r_growth'}) eq 't';
}

ok(wait_until(\&found_growth, 'growth'), 'a growing group that reuses nothing is found');
is($node->safe_psql('postgres',
		q{SELECT min(leak_probability) >= 0.9 AND max(leak_probability) < 1
		  FROM pool_stats_session WHERE class = 'growth'}), 't',
	'growth is told with its probability');
is($node->safe_psql('postgres',
		q{SELECT count(*) FROM pool_stats_session WHERE class = 'growth'
		  AND usename <> 'r_growth'}), '0', 'a pool that grows but is used is not growth');

# ---------- observe: told, once, and nothing is ended ----------

foreach my $kind (grep { $_ ne 'growth' } @kinds)
{
	my $session = $leak{$kind};

	ok(wait_until(sub {
				keep_going();
				return (of_session($session, 'class') // '') eq $kind
				  && of_session($session, 'verdict') eq 'would_terminate';
			}, $kind), "$kind is listed with its class");
	if ($kind eq 'beyond_norm')
	{
		is(of_session($session, 'leak_probability >= 0.9 AND leak_probability < 1'), 'true',
			"$kind is likely, but never certain");
	}
	else
	{
		is(of_session($session, 'leak_probability'), '1', "$kind is certain: a rule says so");
	}
}

# Every rule is looked at again once a second at the latest: after two more of them the
# count must still be one.
ok(wait_until(sub {
			keep_going();
			return of_session($leak{idle_too_long}, 'state_ms > 5000') eq 'true';
		}), 'the leaks have been judged again and again');
foreach my $kind (grep { $_ ne 'growth' } @kinds)
{
	is(events_of($leak{$kind}, 'would_terminate'), '1', "$kind: one would_terminate event");
	is(stat_of($node, tenant("r_$kind"), 'would_terminate'), '1', "$kind: counted once");
}
is($node->safe_psql('postgres',
		q{SELECT count(*) = count(DISTINCT pid) AND count(*) >= 3 FROM pool_events
		  WHERE kind = 'would_terminate' AND tenant = 'r_growth@postgres'}), 't',
	'growth: one would_terminate event for each session');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pool_events WHERE kind = 'terminate'}),
	'0', 'observe: no terminate event');
is($node->safe_psql('postgres', 'SELECT sum(terminated) FROM pool_stats'), '0',
	'observe: none counted as ended');
ok($_->is_alive, 'observe: session ' . $_->pid . ' lives') foreach values %leak, @growing;

like($node->safe_psql('postgres',
		q{SELECT reason FROM pool_events WHERE kind = 'would_terminate'
		  AND tenant = 'r_idle_in_transaction@postgres'}),
	qr/^idle in transaction for .* s, limit 0\.3 s$/, 'the reason is a sentence');

# ---------- the innocent were left alone ----------

# For longer than two of its limits, if nothing kept us from feeding it in time.
ok(wait_until(sub {
			keep_going();
			return of_session($progress, "state_ms > 2000 * $progress_limit") eq 'true';
		}), 'a COPY has been open for longer than the limit');
SKIP:
{
	skip "this process was kept waiting for $longest_pause s", 2
	  if $longest_pause > $progress_limit / 2;
	is(of_session($progress, 'class'), 'busy', 'a COPY that makes progress is busy');
	is(events_of($progress, 'would_terminate'), '0', 'and would not have been ended');
}
is(of_session($sleeper, "class || ' ' || verdict"), 'busy keep', 'a running statement is busy');
is(of_session($worker, "class || ' ' || verdict"), 'busy keep',
	'a session that works in a transaction is busy');

# ---------- enforce: ended, with evidence ----------

my $log_before = -s $node->logfile;

# Growth is dealt with after the others; those of the pool stay for as long.
$node->safe_psql('postgres', q{
	SELECT pool_drop_policy('r_growth@postgres');
	SELECT pool_drop_policy('r_pool@postgres')});
wait_sync($node);

$node->safe_psql('postgres', q{ALTER SYSTEM SET pool_optimizer.mode = 'enforce'});
$node->reload;

my %evidence = (
	idle_in_transaction => q{(detail->>'state_ms')::int >= 300},
	aborted_in_transaction => q{(detail->>'state_ms')::int >= 300},
	idle_too_long => q{(detail->>'state_ms')::int >= 300},
	never_used => q{(detail->>'transactions')::int = 0},
	stuck_in_client_read => q{true},
	lifetime => q{(detail->>'transactions')::int > 0},
	beyond_norm => q{(detail->>'gaps')::int >= 900 AND (detail->>'gap_p99_ms')::float8 > 0
		AND (detail->>'leak_probability')::float8 BETWEEN 0.9 AND 1});

sub ended_with_evidence
{
	my ($kind, $session, $also) = @_;
	my $pid = $session->pid;
	my $limit = $kind =~ /beyond_norm|growth/ ? 0 : 300;
	my $log;

	is($session->sqlstate, '57P01', "$kind: the client is told 57P01");
	ok($node->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM pool_events WHERE kind = 'terminate' AND pid = $pid"),
		"$kind: one terminate event");
	is($node->safe_psql('postgres', qq{
			SELECT tenant = 'r_$kind\@postgres' AND length(reason) > 10
				AND detail->>'class' = '$kind' AND detail->>'role' = 'r_$kind'
				AND detail->>'database' = 'postgres' AND detail->>'address' = '[local]'
				AND (detail->>'limit_ms')::int = $limit AND ($also)
			FROM pool_events WHERE kind = 'terminate' AND pid = $pid}), 't',
		"$kind: the event carries the evidence");
	$log = log_since($node, $log_before);
	my @lines = $log =~ /^.*\[$pid\].*LOG:.*pool_optimizer ended a session.*$/mg;
	is(scalar @lines, 1, "$kind: one LOG line");
	like($lines[0] // '', qr/of tenant "r_$kind\@postgres": /, "$kind: which names the tenant");
	return;
}

foreach my $kind (grep { $_ ne 'growth' } @kinds)
{
	ok(wait_until(sub { keep_going(); return !$leak{$kind}->is_alive; }, $kind),
		"$kind is ended");
	ended_with_evidence($kind, $leak{$kind}, $evidence{$kind});
	is(stat_of($node, tenant("r_$kind"), 'terminated'), '1', "$kind: counted");
	is(stat_of($node, tenant("r_$kind"), 'errors >= 1 AND last_error IS NOT NULL'), 'true',
		"$kind: counted as an error, too");
}

# Before a policy ends them, or the group would not go on.
ok(wait_until(sub {
			push @growing, open_session($node, 'r_growth', application_name => 'leaky')
			  if @growing < 100;
			keep_going();
			usleep(150_000);
			return $node->safe_psql('postgres',
				q{SELECT count(*) > 0 FROM pool_events WHERE kind = 'alert'
				  AND tenant = 'r_growth@postgres' AND reason LIKE 'growth: %'
				  AND detail->>'application' = 'leaky'}) eq 't';
		}, 'alert'), 'a group that goes on growing raises an alert');
$node->safe_psql('postgres',
	q{SELECT pool_set_timeouts('r_growth@postgres', leak_probability => 0.9)});
wait_sync($node);

my @gone;

ok(wait_until(sub {
			push @growing, open_session($node, 'r_growth', application_name => 'leaky')
			  if @growing < 120;
			keep_going();
			usleep(150_000);
			@gone = grep { !$_->is_alive } @growing;
			return @gone > 0;
		}, 'growth'), 'growth is ended');
ended_with_evidence('growth', $gone[0], q{detail->>'application' = 'leaky'
	AND (detail->>'leak_probability')::float8 BETWEEN 0.9 AND 1});

SKIP:
{
	skip "this process was kept waiting for $longest_pause s", 1
	  if $longest_pause > $progress_limit / 2;
	ok($progress->is_alive, 'enforce: a COPY that makes progress is left alone');
	$progress->write_all('c' . pack('N', 4));
	is($progress->result, $progress->{rows}, 'and ends well');
}
ok($sleeper->is_alive && $worker->is_alive, 'enforce: the busy are left alone');
is($worker->value('SELECT 1'), '1', 'and go on working');
is($node->safe_psql('postgres',
		q{SELECT count(*) FROM pool_events WHERE kind IN ('terminate', 'would_terminate')
		  AND (tenant = 'r_busy@postgres'
			OR tenant = 'r_pool@postgres' AND detail->>'class' = 'growth')}), '0',
	'no event is about those who work');

# An idle rule strikes as soon as the transaction is over.
$worker->query('COMMIT');
$worker->wait_closed;
is($worker->sqlstate, '57P01', 'once its transaction is over the strict rule ends the worker');

# ---------- pool_terminate_leaked ----------

# Its policy only observes, so it is for the function to end anything.
$node->safe_psql('postgres', q{
	SELECT pool_set_timeouts('r_manual@postgres', idle => '100ms', mode => 'observe')});
wait_sync($node);

my ($leaked1, $leaked2, $listener, $busy) = map { open_session($node, 'r_manual') } 1 .. 4;

$listener->query('LISTEN news');
$busy->query('BEGIN');
ok($node->poll_query_until('postgres',
		q{SELECT count(*) = 3 FROM pool_stats_session
		  WHERE usename = 'r_manual' AND class = 'idle_too_long'}), 'three are found');

my $summary = q{SELECT string_agg(concat_ws(' ', pid, class, terminated,
	substring(reason from 'exempt: .*')), E'\n' ORDER BY pid) FROM pool_terminate_leaked};
my @expected = map { [ $_->pid, 'idle_too_long', 'f' ] } $leaked1, $leaked2, $listener;

push @{ $expected[2] }, 'exempt: listen';

sub lines
{
	return join("\n", map { join(' ', @$_) } sort { $a->[0] <=> $b->[0] } @_);
}

is($node->safe_psql('postgres', "$summary('r_manual\@postgres')"), lines(@expected),
	'a dry run, which is the default, lists the leaked ones');
ok($leaked1->is_alive && $leaked2->is_alive, 'and ends none');
is(stat_of($node, tenant('r_manual'), 'terminated'), '0', 'nor counts any');

$expected[$_][2] = 't' foreach 0, 1;
is($node->safe_psql('postgres', "$summary('r_manual\@postgres', dry_run => false)"),
	lines(@expected), 'for real it says whom it ended');
$_->wait_closed foreach $leaked1, $leaked2;
is($leaked1->sqlstate, '57P01', 'they are told 57P01');
ok($node->poll_query_until('postgres',
		q{SELECT terminated = 2 FROM pool_stats WHERE tenant = 'r_manual@postgres'}),
	'and counted in pool_stats.terminated');
is($node->safe_psql('postgres',
		q{SELECT count(*) FROM pool_events WHERE kind = 'terminate'
		  AND tenant = 'r_manual@postgres' AND detail->>'class' = 'idle_too_long'}), '2',
	'with an event each');
ok($listener->is_alive && $busy->is_alive, 'the exempt and the busy one live');
is($busy->value('SELECT 1'), '1', 'the busy one goes on');

is($node->safe_psql('postgres', "$summary('r_man*')"), lines($expected[2]),
	'a pattern names tenants, too');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pool_terminate_leaked('no_such*')}), '0',
	'a pattern that matches no tenant lists nothing');

my ($rc, $out, $err) = psql_as($node, $node->safe_psql('postgres', 'SELECT current_user'),
	"\\set VERBOSITY verbose\nSELECT * FROM pool_terminate_leaked('nobody\@nowhere')");

like($err, qr/ERROR:  42704: .*nobody\@nowhere/, 'an unknown tenant is 42704');
($rc, $out, $err) = psql_as($node, 'r_manual',
	"\\set VERBOSITY verbose\nSELECT * FROM pool_terminate_leaked('r_manual\@postgres')");
like($err, qr/ERROR:  42501: /, 'a plain role may not call it');

stop_clean($node);
done_testing();
