# The race between ending an idle session and its client waking up.
#
# Sessions wake up at random around their idle limit, so the sampler's verdict and the
# next statement meet again and again.  Whoever is ended must be idle at that moment
# in the server's own account: its log must show no statement that has begun and not
# ended, no open transaction, and "idle" as what the process was doing.  From the
# client's side alone this cannot be told: a statement sent to a session that is on its
# way out is lost without having begun.  A part of the sessions is encrypted: there, what
# the server peeks at is not what the client has said.
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

# Of these; their logins take so much that they come back one after a while only.
my $wanted_encrypted = 50;
my $n_encrypted = 8;
my $pause = 0.5;

my %certificate = certificate();
my $node = new_node(
	-name => 'race',
	%certificate,
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

my %count = map { $_ => 0 } qw(ended lost spared late statements encrypted_ended
  encrypted_lived);
my @violations;					# that the clients saw
my %of_socket;
my @away;						# when encrypted ones come back

# Logins are not waited for: the others go on meanwhile.
sub connect_one
{
	my ($tls) = @_;
	my $c = { session => start_login($node, 'r_race', tls => $tls), in_transaction => 0,
		todo => [], tls => $tls };

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
		if ($c->{tls}) { push @away, time() + $pause; }
		else { connect_one(); }
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
		$count{encrypted_lived}++ if $c->{tls};
	}
	rest($c);
	return;
}

sub ended
{
	my ($c, $before) = @_;
	my $session = $c->{session};

	$count{ended}++;
	$count{encrypted_ended}++ if $c->{tls};
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

sub is_enough
{
	return 0 if $count{ended} < $wanted || $count{spared} + $count{late} < $wanted;
	return !%certificate || $count{encrypted_ended} >= $wanted_encrypted
	  && $count{encrypted_lived} >= $wanted_encrypted;
}

connect_one() foreach 1 .. $n_sessions - $n_encrypted;
connect_one(%certificate ? 1 : 0) foreach 1 .. $n_encrypted;
while (!is_enough())
{
	my $now = time();

	last if $now > $deadline;
	if ($now - $reset > 0.5)
	{
		$admin->query(q{SELECT pool_reset_stats('r_race@postgres')});
		$reset = $now;
	}
	if (@away && $away[0] <= $now)
	{
		shift @away;
		connect_one(1);
	}
	foreach my $c (values %of_socket)
	{
		wake($c) if $c->{session}{state} eq 'ready' && !$c->{gone} && $now >= $c->{call};
	}
	my @sockets = map { $_->{session}{socket} } values %of_socket;

	attend($of_socket{$_}) foreach IO::Select->new(@sockets)->can_read(0.001);
}

# Let them finish what they do, then go.  An order that is on its way meets each before the
# answer to one last statement, or never.
$node->safe_psql('postgres', q{SELECT pool_drop_policy('r_race@postgres')});
wait_sync($node);
sub finish
{
	my ($c) = @_;
	my $session = $c->{session};
	my $asked = 0;

	$deadline = time() + $PoolTest::TIMEOUT;
	while ($session->{state} ne 'ready' || $c->{gone} || !$asked)
	{
		my $before = $session->{state};

		die "timed out: a session is $before at the end" if time() > $deadline;
		if ($before eq 'ready' && !$c->{gone} && !$session->error)
		{
			$c->{todo} = ['SELECT 1'];
			$asked = 1;
			next_message($c);
			next;
		}
		$session->receive(0.1);
		if ($session->{state} eq 'closed') { ended($c, $before); return; }
		if ($before ne 'ready' && $session->{state} eq 'ready')
		{
			$c->{todo} = [] if $before ne 'busy';
			answered($c, $before);
		}
	}
	return;
}
finish($_) foreach values %of_socket;
close_all(map { $_->{session} } values %of_socket);
wait_sessions($node, 'r_race@postgres', 0);

note("encrypted: $count{encrypted_ended} ended, $count{encrypted_lived} transactions");
note("clients: $count{statements} statements sent; $count{ended} sessions ended, "
	  . "$count{lost} of them with a statement on its way; $count{spared} transactions after "
	  . "a pause of 20 to 40 ms lived, $count{late} after a longer one");
cmp_ok($count{ended}, '>=', $wanted, 'many sessions were ended');
cmp_ok($count{spared} + $count{late}, '>=', $wanted, 'many woke up in time');
SKIP:
{
	skip 'no certificate can be made: openssl is not installed', 2 unless %certificate;
	cmp_ok($count{"encrypted_$_"}, '>=', $wanted_encrypted, "of those that were encrypted many $_")
	  foreach qw(ended lived);
}
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
