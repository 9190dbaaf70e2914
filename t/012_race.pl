# The race between ending an idle session and its client waking up.
#
# Sessions wake up at random around their idle limit, so the sampler's verdict and the
# next statement meet again and again.  Whoever is ended must be idle at that moment
# in the server's own account: its log must show no statement that has begun and not
# ended, no open transaction, and "idle" as what the process was doing.  From the
# client's side alone this cannot be told: a statement sent to a session that is on its
# way out is lost without having begun.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IO::Select;
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $n_sessions = 40;
my $limit = 0.030;

# A session is looked at every 10 ms, so one that is ended was idle for 30 to 40 ms.
my ($shortest, $longest) = (0.020, 0.040);
my $wanted = 1000;				# ended, and as many that woke up and lived

my $node = new_node(
	-name => 'race',
	'pool_optimizer.max_terminations_per_minute' => 1_000_000,
	'pool_optimizer.history_events' => 100_000,	# more than it can be
	log_statement => 'all',
	log_duration => 'on',
	log_connections => 'off',
	log_disconnections => 'off',
	update_process_title => 'on',
	log_line_prefix => q{'[%p] <%i> '});

create_roles($node, 'r_race');
$node->safe_psql('postgres', q{
	CREATE TABLE work (k int, step text);
	GRANT ALL ON work TO r_race;
	SELECT pool_set_timeouts('r_race@postgres', idle => '30ms', idle_in_transaction => '0',
		never_used => '0', lifetime => '0', leak_probability => 0)});
wait_sync($node);

# A transaction is a list of messages, each sent when the one before was answered.
my @transactions = (
	[q{SELECT 1}],
	[q{SELECT pg_sleep(0.004)}],
	[q{INSERT INTO work VALUES (1, 'begin'); SELECT pg_sleep(0.002);
		INSERT INTO work VALUES (1, 'end')}],
	[ 'BEGIN', q{INSERT INTO work VALUES (2, 'begin')}, q{INSERT INTO work VALUES (2, 'end')},
		'COMMIT' ]);

my %count = (ended => 0, lost => 0, spared => 0, late => 0, statements => 0);
my @violations;					# that the clients saw
my %of_socket;

# Logins are not waited for: the others go on meanwhile.
sub connect_one
{
	my $c = { session => start_login($node, 'r_race'), in_transaction => 0, todo => [] };

	$of_socket{ $c->{session}{socket} } = $c;
	return;
}

# Seconds that a session is woken too late, of late: this process has other things to do, too.
my $delay = 0;

# Idle from now on, until a moment around the limit.
sub rest
{
	my ($c) = @_;

	$c->{since} = time();
	$c->{wake} = $c->{since} + $shortest + rand($longest - $shortest);
	$c->{call} = $c->{wake} - $delay;
	$c->{todo} = [ @{ $transactions[ int rand @transactions ] } ];
	$c->{in_transaction} = 0;
	return;
}

sub next_message
{
	my ($c) = @_;
	my $session = $c->{session};

	$count{statements}++;
	$session->{rows} = [];
	$session->{state} = 'busy';
	my $sql = shift @{ $c->{todo} };
	$session->write_all('Q' . pack('N', length($sql) + 5) . "$sql\0");
	return;
}

# Something has come for a session.
sub attend
{
	my ($c) = @_;
	my $session = $c->{session};
	my $socket = $session->{socket};
	my $before = $session->{state};

	$session->receive(0);
	if ($session->{state} eq 'closed')
	{
		delete $of_socket{$socket};
		ended($c, $before);
		connect_one();
	}
	elsif ($before ne 'ready' && $session->{state} eq 'ready') { answered($c, $before); }
	return;
}

# A login or a message was answered to its end.  If this process was slow, the end of the
# then idle session has come with it; the next read gives the closed connection.
sub answered
{
	my ($c, $before) = @_;
	my $error = $c->{session}->error;

	$c->{gone} = defined $error && $error->{S} eq 'FATAL';
	push @violations, $c->{session}->error_text if defined $error && !$c->{gone};
	if ($before eq 'busy' && @{ $c->{todo} })
	{
		$c->{in_transaction} = 1;
		next_message($c) if !$c->{gone};
		return;
	}
	if ($before eq 'busy')
	{
		$count{ $c->{rested} <= $longest ? 'spared' : 'late' }++;
	}
	rest($c);
	return;
}

sub ended
{
	my ($c, $before) = @_;
	my $session = $c->{session};

	$count{ended}++;
	$count{lost}++ if $before eq 'busy';

	# Once the first of several messages was answered it was in a transaction.
	push @violations, 'ended within a transaction: ' . $session->error_text
	  if $c->{in_transaction};
	push @violations, 'ended after a part of the answer'
	  if $before eq 'busy' && @{ $session->{rows} };
	# Bytes that the server did not read make the kernel reset the connection, which can
	# take the server's last words with it.
	push @violations, 'not told why: ' . $session->error_text
	  if $session->sqlstate ne '57P01' && $before ne 'busy';
	return;
}

sub wake
{
	my ($c) = @_;

	my $now = time();

	$c->{rested} = $now - $c->{since};
	$delay += ($now - $c->{call} - $delay) / 20;
	next_message($c);
	return;
}

# ---------- the storm ----------

my $log_before = -s $node->logfile;
my $deadline = time() + $PoolTest::TIMEOUT;

# Clients that come back at once are what the circuit breaker is for; here they must
# not stop the test, and a reset closes it.
my $admin = open_session($node, $node->safe_psql('postgres', 'SELECT current_user'));
my $reset = time();

connect_one() foreach 1 .. $n_sessions;
while ($count{ended} < $wanted || $count{spared} + $count{late} < $wanted)
{
	my $now = time();

	last if $now > $deadline;
	if ($now - $reset > 0.5)
	{
		$admin->query(q{SELECT pool_reset_stats('r_race@postgres')});
		$reset = $now;
	}
	foreach my $c (values %of_socket)
	{
		wake($c) if $c->{session}{state} eq 'ready' && !$c->{gone} && $now >= $c->{call};
	}
	my @sockets = map { $_->{session}{socket} } values %of_socket;

	attend($of_socket{$_}) foreach IO::Select->new(@sockets)->can_read(0.001);
}

# Let them finish what they do, then go.
$node->safe_psql('postgres', q{SELECT pool_drop_policy('r_race@postgres')});
wait_sync($node);
foreach my $c (values %of_socket)
{
	my $session = $c->{session};

	while (1)
	{
		my $before = $session->{state};

		$session->receive($before eq 'ready' && !$c->{gone} ? 0 : 0.1);
		if ($session->{state} eq 'closed') { ended($c, $before); last; }
		if ($before eq 'ready') { last if !$c->{gone} && !defined $session->error; }
		elsif ($session->{state} eq 'ready')
		{
			$c->{todo} = [] if $before ne 'busy';
			answered($c, $before);
		}
	}
}
close_all(map { $_->{session} } values %of_socket);
wait_sessions($node, 'r_race@postgres', 0);

note("clients: $count{statements} statements sent; $count{ended} sessions ended, "
	  . "$count{lost} of them with a statement on its way; $count{spared} transactions after "
	  . "a pause of 20 to 40 ms lived, $count{late} after a longer one");
cmp_ok($count{ended}, '>=', $wanted, 'many sessions were ended');
cmp_ok($count{spared} + $count{late}, '>=', $wanted, 'many woke up in time');
is(join("\n", @violations[ 0 .. ($#violations < 9 ? $#violations : 9) ]), '',
	'no client saw more than the end of an idle session');

# ---------- what the server's log says ----------

my %server = (fatal => 0, told => 0, statements => 0);
my (%running, %open, @wrong);

foreach my $line (split /\n/, log_since($node, $log_before))
{
	my ($pid, $does, $text) = $line =~ /^\[(\d+)\] <([^>]*)> (.*)/ or next;

	if ($text =~ /^LOG:  statement: (\S+)/)
	{
		$server{statements}++;
		$running{$pid} = 1;
		$open{$pid} = 1 if $1 eq 'BEGIN';
		delete $open{$pid} if $1 =~ /^COMMIT/;
	}
	elsif ($text =~ /^LOG:  duration:/) { delete $running{$pid}; }
	elsif ($text =~ /^FATAL:  terminating connection/)
	{
		$server{fatal}++;
		push @wrong, "[$pid] ended while a statement ran" if $running{$pid};
		push @wrong, "[$pid] ended within a transaction" if $open{$pid};
		push @wrong, "[$pid] ended while doing \"$does\"" if $does ne 'idle';
		delete $running{$pid};
		delete $open{$pid};
	}
	elsif ($text =~ /^LOG:  pool_optimizer ended a session/) { $server{told}++; }
	elsif ($text =~ /^(?:ERROR|PANIC)/) { push @wrong, $text; }
}
note("server: $server{statements} statements, $server{fatal} sessions ended, "
	  . "$server{told} told");
is(join("\n", @wrong[ 0 .. ($#wrong < 9 ? $#wrong : 9) ]), '',
	'the server ended idle sessions only');
is($server{fatal}, $count{ended}, 'every end that a client saw is in the log, and no other');
is($server{told}, $server{fatal}, 'each has its line with the reason');
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT pid) FILTER (
			WHERE detail->>'class' = 'idle_too_long') > 0
		FROM pool_events WHERE kind = 'terminate'}), "$server{fatal}|t",
	'and its event: nothing is told that did not happen');
is($node->safe_psql('postgres',
		q{SELECT count(*) FROM (SELECT k, count(*) FILTER (WHERE step = 'begin') AS b,
			count(*) FILTER (WHERE step = 'end') AS e FROM work GROUP BY k) AS w
		  WHERE b <> e}), '0', 'transactions are whole');

stop_clean($node);
done_testing();
