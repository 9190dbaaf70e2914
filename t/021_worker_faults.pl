# Signals and stops at the worst moment: SIGTERM and SIGKILL of the sampler, the keeper
# and a waiting login; pg_ctl stop in its three modes with logins in the queue, a keeper
# that waits for a lock, an order to end in flight and sessions in the middle of reading
# shared memory.  The server always stops or comes back by itself, quotas hold from the
# first login on, and nobody is counted who is not there.
#
# PO_FAULT_ROUNDS (default 4): immediate stops among busy sessions.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $n_rounds = $ENV{PO_FAULT_ROUNDS} // 4;
my $node = new_node(
	'pool_optimizer.max_waiting' => 5,
	# Tells the pid of a login in the queue, which pg_stat_activity does not show yet.
	log_connections => 'on');
my $A = 'regress_pool_a@other';
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, qw(regress_pool_a regress_pool_b));
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION pool_optimizer');
$node->safe_psql('postgres', q{
	SELECT pool_set_quota('regress_pool_a@other', max_connections => 2, on_full => 'wait',
		wait_timeout => '1h')});
wait_sync($node);
# A clean stop writes the state file: from here on policies are back after any crash.
$node->restart;

sub query { my ($sql) = @_; return $node->safe_psql('other', $sql); }
sub login { return open_session($node, 'regress_pool_a', dbname => 'other'); }

# A login that is in the queue when this returns, as the n-th; (session, its pid).
sub waiting_login
{
	my ($n) = @_;
	my $offset = -s $node->logfile;
	my $login = start_login($node, 'regress_pool_a', dbname => 'other', host => '127.0.0.1');
	my $port = $login->{socket}->sockport;

	ok($node->poll_query_until('other', "SELECT waiting = $n FROM pool_stats_cluster"),
		"login $n waits");
	my ($pid) = log_since($node, $offset) =~ /\[(\d+)\].* connection received: .*port=$port\b/
	  or die 'the log does not tell who has connected';
	return ($login, $pid);
}

# Two get in and a third has to wait; it goes away again.
sub quota_holds
{
	my ($what) = @_;
	my @in = (login(), login());
	my $third = start_login($node, 'regress_pool_a', dbname => 'other');

	is((scalar grep { $_->is_admitted } @in), 2, "$what: two get in");
	ok($node->poll_query_until('other', 'SELECT waiting = 1 FROM pool_stats_cluster'),
		"$what: the third has to wait");
	ok(!$third->is_admitted, "$what: and is not in");
	is(stat_of($node, $A, 'sessions', dbname => 'other'), '2', "$what: counted as two");
	$third->vanish;
	close_all(@in);
	ok($node->poll_query_until('other', qq{
		SELECT bool_and(sessions + waiting = 0) FROM pool_stats WHERE tenant = '$A'}),
		"$what: and none is left over");
	return;
}

sub workers_are_back
{
	my ($what, $not_pid) = @_;

	ok($node->poll_query_until('other', qq{
		SELECT sampler_pid <> $not_pid AND samples > 2 FROM pool_stats_cluster}),
		"$what: the sampler is back");
	ok(wait_sync($node), "$what: a keeper reads the table");
	is(cluster_stat($node, q{coalesce(last_error, '')}), '', "$what: nothing is wrong");
	return;
}

# All sessions have been ended and the server answers again.
sub server_is_back
{
	my ($what, @sessions) = @_;

	$_->wait_closed for @sessions;
	ok($node->poll_query_until('other', 'SELECT true'), "$what: the server comes back");
	return;
}

# A keeper that waits for a lock on its table; (session with the lock, pid of the keeper).
sub keeper_at_work
{
	my $lock = open_session($node, $superuser);
	my $pid = '';

	$lock->value('BEGIN; LOCK TABLE pool_policies IN ACCESS EXCLUSIVE MODE');
	my $sync = open_session($node, $superuser, dbname => 'other');
	$sync->send_query(q{SELECT pool_sync('1h')});
	# One that waits for the lock already, not one that is about to connect.
	ok(wait_until(sub {
				$pid = query(q{
					SELECT l.pid FROM pg_locks l, pool_stats_cluster c
					WHERE l.pid = c.keeper_pid AND NOT l.granted});
				return $pid ne '';
			}), 'a keeper waits for the table');
	return ($lock, $sync, $pid);
}

sub sampler_pid { return cluster_stat($node, 'sampler_pid', dbname => 'other'); }

# Starts pg_ctl stop without waiting for its end.
sub begin_stop
{
	my ($mode) = @_;

	PostgreSQL::Test::Utils::system_or_bail('pg_ctl', '-D', $node->data_dir, '-m', $mode,
		'--no-wait', 'stop');
	return;
}

sub wait_stopped
{
	my ($what) = @_;

	ok(wait_until(sub { !-e $node->data_dir . '/postmaster.pid' }, $what),
		"$what: the server stops");
	$node->_update_pid(0);
	return;
}

# What a process of the server must never say, whatever was done to it.
sub nothing_panicked
{
	my ($what, $offset) = @_;
	my $log = log_since($node, $offset);

	unlike($log, qr/PANIC:|signal (?:6|11)\b/, "$what: no PANIC, no SIGABRT, no SIGSEGV")
	  or diag(substr($log, -3000));
	unlike($log, qr/ignoring file|could not (?:write|read) file "pg_stat.pool_optimizer/,
		"$what: the state file is sound");
	return;
}

# ---------- SIGKILL: the server restarts itself ----------

my $start = query('SELECT pg_postmaster_start_time()');
my $offset = -s $node->logfile;

{
	my @in = (login(), login());
	my $pid = sampler_pid();

	is(kill('KILL', $pid), 1, 'the sampler gets SIGKILL');
	server_is_back('sampler killed', @in);
	quota_holds('sampler killed');
	workers_are_back('sampler killed', $pid);
}
{
	my ($lock, $sync, $keeper) = keeper_at_work();
	my $pid = sampler_pid();

	is(kill('KILL', $keeper), 1, 'the keeper gets SIGKILL');
	server_is_back('keeper killed', $lock, $sync);
	quota_holds('keeper killed');
	workers_are_back('keeper killed', $pid);
	isnt(cluster_stat($node, q{coalesce(keeper_pid, 0)}), $keeper,
		'keeper killed: its place is not taken for ever');
}
{
	# The one in the queue is one of ours, with a slot and a place in the list.
	my @in = (login(), login());
	my $pid = sampler_pid();
	my ($first, $backend) = waiting_login(1);
	my ($second) = waiting_login(2);

	is(kill('KILL', $backend), 1, 'a waiting login gets SIGKILL');
	server_is_back('waiting login killed', @in, $first, $second);
	quota_holds('waiting login killed');
	workers_are_back('waiting login killed', $pid);
}
is(query('SELECT pg_postmaster_start_time()'), $start, 'all that by the same postmaster');
nothing_panicked('after SIGKILL', $offset);

# ---------- SIGTERM ----------

$offset = -s $node->logfile;
{
	my @in = (login(), login());
	my ($first) = waiting_login(1);
	my ($second, $backend) = waiting_login(2);
	my @waiting = ($first, $second);
	my $pid = sampler_pid();

	# Who hands over places is the session that leaves, not the sampler.
	is(kill('TERM', $pid), 1, 'the sampler gets SIGTERM');
	$in[0]->quit;
	$waiting[0]->wait_login;
	ok($waiting[0]->is_admitted, 'a place is handed over while it is away');
	workers_are_back('sampler ended', $pid);
	ok($waiting[1]->is_waiting, 'the next one still waits');

	is(kill('TERM', $backend), 1, 'it gets SIGTERM');
	$waiting[1]->wait_closed;
	ok(!$waiting[1]->is_admitted, 'and is ended in the queue');
	ok($node->poll_query_until('other', 'SELECT waiting = 0 FROM pool_stats_cluster'),
		'which is empty then');
	close_all($in[1], $waiting[0]);
	ok(wait_sessions($node, $A, 0, dbname => 'other'), 'nobody is left');
}
is(query('SELECT pg_postmaster_start_time()'), $start, 'SIGTERM restarts nothing else');
nothing_panicked('after SIGTERM', $offset);

# ---------- pg_ctl stop, with logins in the queue and a keeper that waits ----------

foreach my $mode (qw(fast immediate))
{
	my @in = (login(), login());
	my @waiting = map { (waiting_login($_))[0] } 1, 2;
	my ($lock, $sync) = keeper_at_work();

	$offset = -s $node->logfile;
	ok($node->stop($mode, fail_ok => 1), "$mode stop with a queue and a keeper");
	$_->wait_closed for @in, @waiting, $lock, $sync;
	is((scalar grep { $_->is_admitted } @waiting), 0, "$mode stop: no waiting login gets in");
	nothing_panicked("$mode stop", $offset);
	$node->start;
	quota_holds("after a $mode stop");
	nothing_panicked("start after a $mode stop", $offset);
}

# A smart stop waits for those that are in, and for those in the queue: they are sessions
# to the server.  They get the places that come free, and it ends when they have left.
{
	my @in = (login(), login());
	my ($waiting) = waiting_login(1);

	$offset = -s $node->logfile;
	begin_stop('smart');
	$node->wait_for_log(qr/received smart shutdown request/, $offset);
	is($in[0]->value('SELECT 42'), '42', 'smart stop: sessions work on');
	$in[0]->quit;
	$waiting->wait_login;
	ok($waiting->is_admitted, 'smart stop: who waits gets the place that comes free');
	is($waiting->value('SELECT 42'), '42', 'and can work');
	ok(-e $node->data_dir . '/postmaster.pid', 'the server waits for them');
	close_all($in[1], $waiting);
	wait_stopped('smart stop');
	nothing_panicked('smart stop', $offset);
	$node->start;
	quota_holds('after a smart stop');
}
{
	# Nobody leaves, so the queue has to give up by itself: a smart stop must not depend
	# on clients that wait for each other.
	$node->safe_psql('postgres', "SELECT pool_set_quota('$A', wait_timeout => '15s')");
	wait_sync($node);
	my @in = (login(), login());
	my $admin = open_session($node, $superuser, dbname => 'other');
	my $waiting = start_login($node, 'regress_pool_a', dbname => 'other');

	ok(wait_until(sub { $admin->value('SELECT waiting FROM pool_stats_cluster') == 1 }, 'a login'),
		'a login waits');
	$admin->close_and_wait;
	begin_stop('smart');
	$waiting->wait_closed;
	is($waiting->sqlstate, '53300', 'smart stop: who waits is refused at the end of its time');
	close_all(@in);
	wait_stopped('smart stop with a refusal');
	$node->start;
	$node->safe_psql('postgres', "SELECT pool_set_quota('$A', wait_timeout => '1h')");
	wait_sync($node);
}

# ---------- pg_ctl stop, with an order to end in flight ----------

# The session is held by SIGSTOP, so the order stays where it is until the stop has come.
foreach my $mode (qw(fast immediate))
{
	$node->safe_psql('postgres', q{
		SELECT pool_set_timeouts('regress_pool_b@other', idle => '1h')});
	wait_sync($node);
	my $target = open_session($node, 'regress_pool_b', dbname => 'other');

	$target->value('SELECT 1');
	is(kill('STOP', $target->pid), 1, "$mode stop: a session is held");
	$offset = -s $node->logfile;
	$node->safe_psql('postgres', q{
		SELECT pool_set_timeouts('regress_pool_b@other', idle => '1ms')});
	ok($node->poll_query_until('other', sprintf(q{
		SELECT verdict = 'terminate' FROM pool_stats_session WHERE pid = %d}, $target->pid)),
		"$mode stop: it has an order to end");
	begin_stop($mode);
	$node->wait_for_log(qr/received $mode shutdown request/, $offset);
	kill('CONT', $target->pid);
	wait_stopped("$mode stop with an order in flight");
	$target->wait_closed;
	nothing_panicked("$mode stop with an order in flight", $offset);
	$node->start;
	cmp_ok(stat_of($node, 'regress_pool_b@other', 'terminated', dbname => 'other'), '<=', 1,
		"$mode stop: the session was ended once at most");
	is(stat_of($node, 'regress_pool_b@other', 'sessions', dbname => 'other'), '0',
		"$mode stop: and is not counted any more");
	$node->safe_psql('postgres', q{SELECT pool_reset_stats('regress_pool_b@other')});
}

# ---------- an immediate stop among sessions that hold our locks ----------

# SIGQUIT ends a session wherever it is, also while it holds a lock of ours.  The
# postmaster, which waits for no lock, writes the state file after that.  The rows of
# many tenants keep these sessions inside our locks for much of their time.
$node->safe_psql('postgres', q{
	INSERT INTO pool_policies (tenant, max_connections)
		SELECT 'tenant_' || i || '@other', 5 FROM generate_series(1, 900) i});
wait_sync($node);
for my $round (1 .. $n_rounds)
{
	my @busy = map { open_session($node, $superuser, dbname => 'other') } 1 .. 4;

	$_->send_query(q{
		DO $$ BEGIN LOOP PERFORM count(*) FROM pool_stats(); END LOOP; END $$}) for @busy;
	ok($node->poll_query_until('other', q{
		SELECT count(*) = 4 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%LOOP%'
			AND pid <> pg_backend_pid()}), "round $round: sessions are busy with our memory");
	$offset = -s $node->logfile;
	ok($node->stop('immediate', fail_ok => 1), "round $round: immediate stop");
	nothing_panicked("round $round", $offset);
	ok(!-e $node->data_dir . '/postmaster.pid', "round $round: no postmaster is left");
	$node->start;
}
quota_holds('after all that');
workers_are_back('after all that', 0);
is(query(q{SELECT count(*) FROM pool_stats WHERE tenant LIKE 'tenant\_%@other'
		AND max_connections = 5}), '900', 'after all that: all policies are in force');
is(query('SELECT overflow_logins + unready_logins + worker_errors FROM pool_stats_cluster'),
	'0', 'after all that: no error was met');
$node->stop;
nothing_panicked('the last stop', $offset);

done_testing();
