# Logins that wait for a place: first come first served, bounded, and in nobody's way.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my %certificate = certificate();
my $node = new_node(
	max_connections => 40,
	%certificate,
	'pool_optimizer.max_waiting' => 3,
	log_connections => 'on');
my $A = 'regress_pool_a@postgres';
my $B = 'regress_pool_b@postgres';
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, qw(regress_pool_a regress_pool_b));

sub quota
{
	my ($arguments) = @_;

	$node->safe_psql('postgres', "SELECT pool_set_quota($arguments)");
	wait_sync($node);
	return;
}

sub set_mode
{
	my ($mode) = @_;

	$node->append_conf('postgresql.conf', "pool_optimizer.mode = '$mode'");
	$node->reload;
	ok(wait_until(sub { cluster_stat($node, 'mode') eq $mode }), "mode $mode");
	return;
}

sub waiting_is
{
	my ($n, $what) = @_;

	return ok($node->poll_query_until('postgres',
			"SELECT waiting = $n FROM pool_stats_cluster"), $what);
}

# Starts a login and comes back when it is in the queue, as the n-th.
sub wait_as
{
	my ($n, $role, %opt) = @_;
	my $login = start_login($node, $role, %opt);

	waiting_is($n, "login $n waits");
	return $login;
}

# ---------- hand-over, first come first served ----------

quota("'$A', max_connections => 1, on_full => 'wait', wait_timeout => '1h'");
my $holder = open_session($node, 'regress_pool_a');

is($node->safe_psql('postgres', q{
		SELECT outcome FROM pool_explain_admission(role => 'regress_pool_a')
		WHERE NOT passes}), 'wait', 'explained as wait');
my @queue = map { wait_as($_, 'regress_pool_a') } 1 .. 3;

is(stat_of($node, $A, 'waiting'), '3', 'the tenant has three that wait');
is(stat_of($node, $A, 'sessions'), '1', 'which are no sessions yet');
is($holder->value('SELECT 42'), '42', 'the one inside works on');

# The bound.
my $text = refused($node, 'regress_pool_a');
like($text, qr/^FATAL:  53300: too many connections for tenant/, 'one too many in the queue');
like($text, qr/^DETAIL:  1 of 1 connections are in use, and 3 logins wait already\.$/m,
	'the detail says so');
is(refused($node, 'regress_pool_b'), '', 'another tenant is let in past a full queue');

foreach my $i (0 .. 2)
{
	my $before = $i == 0 ? $holder : $queue[ $i - 1 ];

	$before->close_and_wait;
	$queue[$i]->wait_login;
	ok($queue[$i]->is_admitted, 'login ' . ($i + 1) . ' gets the place that became free')
	  or diag($queue[$i]->error_text);
	is($queue[$i]->value('SELECT 1'), '1', 'and can work');
	waiting_is(2 - $i, 'those behind it wait on');
	ok($_->is_waiting, 'so they see it, too') for @queue[ $i + 1 .. 2 ];
}
isnt(stat_of($node, $A, 'wait_p99_ms'), '(null)', 'the wait was measured');

# ---------- who leaves the queue ----------

@queue = ($queue[2], map { wait_as($_, 'regress_pool_a') } 1, 2);
my $offset = -s $node->logfile;
push @queue, wait_as(3, 'regress_pool_a', host => '127.0.0.1');
my $port = $queue[3]{socket}->sockport;
my ($pid) = log_since($node, $offset) =~ /\[(\d+)\].*connection received: .*port=$port\b/;

ok(defined $pid, 'the process that waits last is in the log');
$queue[1]->vanish;
waiting_is(2, 'a client that goes away leaves the queue');
is($node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)"), 't',
	'a waiting login can be terminated');
$queue[3]->wait_closed;
ok(!$queue[3]->is_admitted, 'and is closed');
waiting_is(1, 'it leaves the queue, too');
is(stat_of($node, $A, 'sessions'), '1', 'neither has taken a place');
$queue[0]->close_and_wait;
$queue[2]->wait_login;
ok($queue[2]->is_admitted, 'the one that is left gets the place');

# An encrypted client that dies says nothing more; else it takes its leave of the layer
# between, and what it says of that nobody has read when the connection is closed.
SKIP:
{
	skip 'no certificate can be made: openssl is not installed', 9 unless %certificate;
	my @gone = map { wait_as($_, 'regress_pool_a', tls => $_ == 1 ? 'open' : 'closing') } 1, 2;

	foreach my $i (0, 1)
	{
		ok($gone[$i]->is_waiting, "an encrypted login waits ($gone[$i]{tls})");
		$gone[$i]->vanish;
		waiting_is(1 - $i, 'and leaves the queue with its client');
	}
	my $waits = wait_as(1, 'regress_pool_a', tls => 'open');

	$queue[2]->close_and_wait;
	$waits->wait_login;
	ok($waits->is_admitted, 'one that stays gets the place');
	is($waits->value('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'), 't',
		'and is encrypted');
	$queue[2] = $waits;
}

# ---------- a policy that changes while logins wait ----------

@queue = ($queue[2], map { wait_as($_, 'regress_pool_a') } 1, 2);
quota("'$A', max_connections => 2");
$queue[1]->wait_login;
ok($queue[1]->is_admitted, 'a raised quota lets the first in');
ok($queue[2]->is_waiting, 'and only that one');
quota("'$A', on_full => 'reject'");
$queue[2]->wait_login;
ok($queue[2]->is_refused, 'who may not wait any more is refused at once');
like($queue[2]->error_text, qr/^DETAIL:  2 of 2 connections are in use after waiting \d+ ms\.$/m,
	'with the time it waited');
close_all(@queue);
wait_sessions($node, $A, 0);

# ---------- timeout ----------

quota("'$A', max_connections => 1, on_full => 'wait', wait_timeout => '200ms'");
$holder = open_session($node, 'regress_pool_a');
my $rejected = stat_of($node, $A, 'rejected');
$text = refused($node, 'regress_pool_a');
like($text, qr/^FATAL:  53300: too many connections for tenant "\Q$A\E"$/m,
	'who has waited for too long is refused');
my ($waited) = $text =~ /^DETAIL:  1 of 1 connections are in use after waiting (\d+) ms\.$/m;
cmp_ok($waited // 0, '>=', 199, 'the detail says how long');
is(stat_of($node, $A, 'rejected'), $rejected + 1, 'counted as rejected');
is($node->safe_psql('postgres', q{
		SELECT (detail->>'waited_ms')::int >= 199 FROM pool_events
		WHERE kind = 'reject' ORDER BY at DESC LIMIT 1}), 't', 'an event with the wait');
waiting_is(0, 'nobody waits');
quota("'$A', wait_timeout => '0s'");
unlike(refused($node, 'regress_pool_a'), qr/waiting/, 'a timeout of 0 refuses at once');
quota("'$A', wait_timeout => '1h', max_connections => 0");
ok(wait_until(sub { !$holder->is_alive }), 'a quota of 0 ends the idle one');
like(refused($node, 'regress_pool_a'), qr/quota is 0/, 'and nobody waits for it');

# ---------- whoever leaves, the mode is that of the server ----------

# One that comes in mode observe and hears of nothing, as it sends no command any more.
set_mode('observe');
my $deaf = open_session($node, 'regress_pool_b');
set_mode('enforce');
quota("'$A', max_connections => 1, wait_timeout => '1h'");
$holder = open_session($node, 'regress_pool_a');
@queue = map { wait_as($_, 'regress_pool_a') } 1 .. 3;
is($node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $deaf->pid . ')'), 't',
	'a session that has not heard of the reload is ended');
$deaf->wait_closed;
is((scalar grep { $_->is_waiting } @queue), 3, 'it lets nobody in over the quota');
is(stat_of($node, $A, q{sessions || ' ' || waiting}), '1 3', 'nor is anybody counted so');
# A lower mode does.
set_mode('observe');
$_->wait_login foreach @queue;
is((scalar grep { $_->is_admitted } @queue), 3, 'in mode observe nobody has to wait');
close_all($holder, @queue);
set_mode('enforce');
wait_sessions($node, $A, 0);

# ---------- not behind others ----------

quota("'$A', max_connections => 1");
quota("'$B', max_connections => 1, on_full => 'wait', wait_timeout => '1h'");
$holder = open_session($node, 'regress_pool_a');
my $b = open_session($node, 'regress_pool_b');
my $a_waits = wait_as(1, 'regress_pool_a');
my $b_waits = wait_as(2, 'regress_pool_b');

$b->close_and_wait;
$b_waits->wait_login;
ok($b_waits->is_admitted, 'a place goes to the first who may have it');
ok($a_waits->is_waiting, 'past one that waits for another');
close_all($b_waits);

# ---------- a waiting login does not hold back vacuum ----------

sub dead_rows_left
{
	my (undef, undef, $err) = psql_as($node, $superuser, 'VACUUM (VERBOSE) t');

	return $err =~ /(\d+) are dead but not yet removable/ ? $1 : undef;
}

$node->safe_psql('postgres', 'CREATE TABLE t AS SELECT g FROM generate_series(1, 100) g');
my $snapshot = open_session($node, $superuser);
$snapshot->value('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t');
ok($a_waits->is_waiting, 'a login waits');
$node->safe_psql('postgres', 'DELETE FROM t');
is(dead_rows_left(), '100', 'a snapshot holds back vacuum');
$snapshot->close_and_wait;
# The keeper may have a snapshot of its own for a moment.
ok(wait_until(sub { dead_rows_left() eq '0' }), 'a login that waits does not');
ok($a_waits->is_waiting, 'it still waits');
$holder->close_and_wait;
$a_waits->wait_login;
ok($a_waits->is_admitted, 'and gets in at last');
close_all($a_waits);
wait_sessions($node, $A, 0);

# ---------- evict_idle ----------

quota("'$A', max_connections => 3, on_full => 'evict_idle'");
$b = open_session($node, 'regress_pool_b');
my @a = map { open_session($node, 'regress_pool_a') } 1 .. 3;

# B's is idle for longest of all; of A's it is the second.
$_->value('SELECT 1') for $b, @a[ 1, 2, 0 ];
$a[2]->value('BEGIN; SELECT 1');
is($node->safe_psql('postgres', q{
		SELECT outcome FROM pool_explain_admission(role => 'regress_pool_a')
		WHERE NOT passes}), 'evict_idle', 'explained as evict_idle');
my $new = open_session($node, 'regress_pool_a');
ok($new->is_admitted, 'evict_idle: the login gets in') or diag($new->error_text);
ok(!$a[1]->is_alive, 'in the place of the one idle for longest');
ok($a[0]->is_alive && $a[2]->is_alive && $b->is_alive, 'nobody else is ended');
is(stat_of($node, $A, 'sessions'), '3', 'not one more than the quota');
is($node->safe_psql('postgres', "SELECT count(*) FROM pool_events WHERE kind = 'terminate'
		AND tenant = '$A' AND pid = " . $a[1]->pid . " AND reason ~ 'evict_idle'"), '1',
	'an event says why');

# All busy: then it is a wait.
$_->value('BEGIN; SELECT 1') for $a[0], $new;
my $late = wait_as(1, 'regress_pool_a');
my $samples = cluster_stat($node, 'samples');
ok($node->poll_query_until('postgres',
		"SELECT samples > $samples + 20 FROM pool_stats_cluster"),
	'the sampler has looked many times');
ok($late->is_waiting, 'evict_idle with all busy: the login waits');
is($_->value('SELECT 42'), '42', 'and the busy ones are left alone') for $a[0], $a[2], $new;
$a[2]->query('COMMIT');
$late->wait_login;
ok($late->is_admitted, 'until one is idle');
ok(!$a[2]->is_alive, 'which makes room');
ok($a[0]->is_alive && $new->is_alive && $b->is_alive, 'the others stay');
is($b->value('SELECT 1'), '1', 'so does the other tenant');
$_->query('COMMIT') for $a[0], $new;
close_all($a[0], $new, $late, $b);
wait_sessions($node, $A, 0);

# The one idle for longest has a client that does not read its answers, so it cannot be ended.
quota("'$A', max_connections => 2");
my ($deaf_client, $idle) = map { open_session($node, 'regress_pool_a') } 1, 2;
my $sql = q{SELECT repeat('x', 4000)};
my $message = 'Q' . pack('N', length($sql) + 5) . "$sql\0";

$deaf_client->write_all($message x 1000);
ok($node->poll_query_until('postgres', q{SELECT state = 'idle' AND wait_event = 'ClientWrite'
		FROM pg_stat_activity WHERE pid = } . $deaf_client->pid), 'a client does not read');
$idle->value('SELECT 1');
$new = open_session($node, 'regress_pool_a');
ok($new->is_admitted, 'a login does not wait for that one to end') or diag($new->error_text);
ok(!$idle->is_alive, 'the next one goes');
$deaf_client->vanish;
close_all($new);
wait_sessions($node, $A, 0);

# One that began to wait for something else: as soon as only an idle session is in its way.
quota("'$A', max_connections => 1");
quota(q{'postgres', max_connections => 2, scope => 'database', on_full => 'wait',
	wait_timeout => '1h'});
$holder = open_session($node, 'regress_pool_a');
$b = open_session($node, 'regress_pool_b');
$late = wait_as(1, 'regress_pool_a');
ok($holder->is_alive, 'while the database is full nobody has to go');
$b->close_and_wait;
$late->wait_login;
ok($late->is_admitted, 'then a login evicts that began to wait for the database');
ok(!$holder->is_alive, 'the idle session of its tenant');
close_all($late);
$node->safe_psql('postgres', q{SELECT pool_drop_policy('postgres', scope => 'database')});
wait_sync($node);

# One that was let wait only, when it came.
quota("'$A', on_full => 'wait'");
$holder = open_session($node, 'regress_pool_a');
$late = wait_as(1, 'regress_pool_a');
quota("'$A', on_full => 'evict_idle'");
$late->wait_login;
ok($late->is_admitted, 'so does one whose policy has become evict_idle');
ok(!$holder->is_alive, 'in the place of the idle one');
close_all($late);
wait_sessions($node, $A, 0);

# ---------- never beyond authentication_timeout ----------

$node->append_conf('postgresql.conf', 'authentication_timeout = 4s');
$node->reload;
wait_until(sub { $node->safe_psql('postgres', 'SHOW authentication_timeout') eq '4s' });
quota("'$A', max_connections => 1, on_full => 'wait', wait_timeout => '1h'");
$holder = open_session($node, 'regress_pool_a');
like(refused($node, 'regress_pool_a'), qr/^FATAL:  53300: .*\nDETAIL:.* after waiting \d+ ms/,
	'a wait ends with our message before authentication_timeout ends it without one');
close_all($holder);
waiting_is(0, 'in the end nobody waits');
ok(wait_sessions($node, $A, 0), 'and nobody is counted');

# ---------- the transaction that a login is in has a time limit ----------

if ($node->pg_version >= 17)
{
	my $looking = open_session($node, $superuser);

	$looking->query('SET transaction_timeout = 0');
	$node->append_conf('postgresql.conf',
		"authentication_timeout = 60s\ntransaction_timeout = 1s");
	$node->reload;
	ok(wait_until(sub { $node->safe_psql('postgres', 'SHOW transaction_timeout') eq '1s' }),
		'transactions have one second');
	$holder = open_session($node, 'regress_pool_a');
	my $login = start_login($node, 'regress_pool_a');

	ok(wait_until(sub { $looking->value('SELECT waiting FROM pool_stats_cluster') == 1 }),
		'a login waits');
	my $since = $looking->value('SELECT clock_timestamp()');

	ok(wait_until(sub {
				$looking->value("SELECT clock_timestamp() > '$since'::timestamptz
					+ interval '2 s'") eq 't';
			}), 'for longer than that');
	ok($login->is_waiting, 'which does not end it') or diag($login->error_text);
	$holder->close_and_wait;
	ok($login->wait_login->is_admitted, 'it gets its place');
	close_all($login, $looking);
}

# ---------- not on connections reserved for superusers ----------

# 9 of 12 are for others; the queue could have more than is left.
$node = new_node(
	max_connections => 12,
	superuser_reserved_connections => 3,
	'pool_optimizer.max_waiting' => 10);
create_roles($node, qw(regress_pool_a regress_pool_b));
quota("'$A', max_connections => 1, on_full => 'wait', wait_timeout => '1h'");
my $root = open_session($node, $superuser);
my @others = map { open_session($node, 'regress_pool_b') } 1 .. 6;

$holder = open_session($node, 'regress_pool_a');
@queue = map { start_login($node, 'regress_pool_a') } 1 .. 4;
ok(wait_until(sub {
			3 == grep { $_->is_refused } @queue;
		}, 'refusals'), 'where one connection is left one login waits');
is($root->value('SELECT waiting FROM pool_stats_cluster'), '1', 'and is counted');
like($_->error_text, qr/^DETAIL:  1 of 1 .* in use, and no connection .* is left to wait on\.$/m,
	'the others are told why they may not')
  foreach grep { $_->is_refused } @queue;
is($root->value(q{
		SELECT outcome FROM pool_explain_admission(role => 'regress_pool_a')
		WHERE NOT passes}), 'reject', 'explained as reject');
my @supers = map { open_session($node, $superuser) } 1 .. 3;
is((scalar grep { $_->is_admitted } @supers), 3, 'superusers get in on what is theirs');
close_all(@supers);
$holder->close_and_wait;
my ($waits) = grep { !$_->is_refused } @queue;
$waits->wait_login;
ok($waits->is_admitted, 'and core does not refuse the one that waited') or diag($waits->error_text);
close_all($root, @others, $waits);

done_testing();
