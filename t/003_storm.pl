# Exactness: whatever storms in and out, never one more than the quota, and no free
# place refused when it is quiet again.
#
# Two storms: pgbench reconnects for every transaction with more clients than the
# quota, as quickly as it can; and forked clients log in, stay for a moment and leave
# (some politely, some without a word).  Every process counts what it met, and the
# numbers have to agree with those of the server.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use POSIX ();
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my $QUOTA = 20;
my $STORMERS = 6;		# processes,
my $HELD = 12;			# each with so many logins at a time,
my $ROUNDS = 20;		# so many times
my $STORM = 'regress_pool_storm@postgres';
my $CALM = 'regress_pool_calm@postgres';

my $node = new_node(
	max_connections => 200,
	'pool_optimizer.max_terminations_per_minute' => 10000);

create_roles($node, qw(regress_pool_storm regress_pool_calm));
$node->safe_psql('postgres', "SELECT pool_set_quota('$STORM', max_connections => $QUOTA)");
wait_sync($node);

# ---------- forked clients ----------

# Where a process of the storm writes down, by a clock that all share, from when to
# when it held each session.  That is inside what the server counts, so however these
# stretches overlap, it can never be more than the quota.
my $stretches = $node->basedir . '/stretches';

sub now { return clock_gettime(CLOCK_MONOTONIC); }

# One process of the storm: returns how many logins were admitted and refused.
sub storm
{
	my %met = (admitted => 0, refused => 0, other => 0);
	my $written = '';

	foreach my $round (1 .. $ROUNDS)
	{
		my @in;

		foreach my $s (map { start_login($node, 'regress_pool_storm') } 1 .. $HELD)
		{
			$s->wait_login;
			if ($s->is_admitted) { $met{admitted}++; push @in, [ $s, now() ]; }
			elsif ($s->sqlstate eq '53300') { $met{refused}++; }
			else { $met{other}++; }
		}
		foreach my $i (0 .. $#in)
		{
			my ($s, $since) = @{ $in[$i] };

			$s->query('SELECT 1') if ($i + $round) % 3 == 0;
			$written .= sprintf("%.9f %.9f\n", $since, now());
			$i % 2 ? $s->vanish : $s->quit;
		}
	}
	append_to_file($stretches, $written);
	return "$met{admitted} $met{refused} $met{other}";
}

# The most stretches that overlap at any time.
sub most_at_once
{
	my @changes;
	my ($n, $most) = (0, 0);

	foreach my $line (split /\n/, slurp_file($stretches))
	{
		my ($from, $to) = split / /, $line;

		push @changes, [ $from, 1 ], [ $to, -1 ];
	}
	foreach my $change (sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] } @changes)
	{
		$n += $change->[1];
		$most = $n if $n > $most;
	}
	return $most;
}

my $script = $node->basedir . '/one.sql';

append_to_file($script, "SELECT 1;\n");

# pgbench gives up on a client that is refused: give each a share of short runs.
sub start_pgbench
{
	my ($out, $err) = ('', '');
	my $pgbench = IPC::Run::start(
		[ 'pgbench', '-n', '-C', '-c', 60, '-j', 4, '-t', 4, '-f', $script,
			'-h', $node->host, '-p', $node->port, '-U', 'regress_pool_storm', 'postgres' ],
		'<', \undef, '>', \$out, '2>', \$err);

	return $pgbench;
}

# What the server counts, looked at as often as possible.
my $watcher = open_session($node, $node->safe_psql('postgres', 'SELECT current_user'));
my $most_counted = 0;
my $looks = 0;

sub watch
{
	my $n = $watcher->value("SELECT sessions FROM pool_stats WHERE tenant = '$STORM'") // 0;

	$most_counted = $n if $n > $most_counted;
	$looks++;
	return;
}

# Runs code in a process of its own; what it returns is read from the pipe.
sub start_child
{
	my ($code) = @_;

	pipe(my $read, my $write) or die "pipe: $!";
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		my $told = eval { $code->() } // "error $@";

		print $write "$told\n";
		close $write;
		# No END blocks of the test in a child.
		POSIX::_exit(0);
	}
	close $write;
	return { pid => $pid, pipe => $read };
}

# The other tenant logs in as long as the storm lasts: tries and refusals.
my $storm_is_over = $node->basedir . '/storm_is_over';

sub calm
{
	my ($tries, $refused) = (0, 0);

	until (-e $storm_is_over)
	{
		my $s = open_session($node, 'regress_pool_calm');

		$tries++;
		$refused++ unless $s->is_admitted;
		$s->close_and_wait;
	}
	return "$tries $refused";
}

my $calm = start_child(\&calm);
my @stormers = map { start_child(\&storm) } 1 .. $STORMERS;
my $pgbench = start_pgbench();
my $n_pgbench = 1;
my %running = map { $_->{pid} => 1 } @stormers;

while (%running)
{
	watch();
	if ($pgbench->pumpable) { $pgbench->pump_nb; }
	else
	{
		$pgbench->finish;
		$pgbench = start_pgbench();
		$n_pgbench++;
	}
	foreach my $pid (keys %running)
	{
		delete $running{$pid} if waitpid($pid, POSIX::WNOHANG()) == $pid;
	}
}
append_to_file($storm_is_over, '');
$pgbench->finish;
my ($calm_tries, $calm_refused) = split / /, readline($calm->{pipe});
chomp $calm_refused;
waitpid($calm->{pid}, 0);

my %total = (admitted => 0, refused => 0);
foreach my $stormer (@stormers)
{
	my $line = readline($stormer->{pipe}) // '';

	like($line, qr/^\d+ \d+ 0$/, 'a stormer met admissions and refusals (53300) only');
	my ($admitted, $refused) = split / /, $line;
	$total{admitted} += $admitted;
	$total{refused} += $refused;
}
my $most = most_at_once();
note("$total{admitted} admitted, $total{refused} refused, at most $most held at once, "
	. "$looks looks, $calm_tries calm logins, $n_pgbench pgbench runs");

is($total{admitted} + $total{refused}, $STORMERS * $HELD * $ROUNDS, 'every login had an end');
cmp_ok($total{refused}, '>', 0, 'the storm went over the quota');
cmp_ok($total{admitted}, '>=', $QUOTA, 'and got in as well');
cmp_ok($most, '<=', $QUOTA, "clients never held more than $QUOTA sessions at once");
cmp_ok($most_counted, '<=', $QUOTA, 'the server never counted more');
is(stat_of($node, $STORM, 'peak_sessions'), $QUOTA, 'the quota was used up');
is($calm_refused, 0, "all $calm_tries logins of the other tenant succeeded meanwhile");
is(stat_of($node, $CALM, 'rejected'), '0', 'by our count, too');

# ---------- quiet again ----------

ok(wait_sessions($node, $STORM, 0), 'counters return to 0');
ok(wait_sessions($node, $CALM, 0), 'of both');
is($node->safe_psql('postgres', q{
	SELECT sum(exempt_sessions) = sum(sessions) FROM pool_stats}), 't',
	'nothing but superusers is counted');

# What pgbench met is known to the server alone, so the rest must fit.
cmp_ok(stat_of($node, $STORM, 'admitted'), '>=', $total{admitted}, 'admissions are counted');
cmp_ok(stat_of($node, $STORM, 'rejected'), '>=', $total{refused}, 'refusals are counted');

foreach my $again (1 .. 3)
{
	my @logins = map { start_login($node, 'regress_pool_storm') } 1 .. $QUOTA + 10;

	$_->wait_login for @logins;
	my @in = grep { $_->is_admitted } @logins;
	is(scalar @in, $QUOTA, "exactly $QUOTA of " . @logins . ' simultaneous logins get in');
	is(stat_of($node, $STORM, 'sessions'), $QUOTA, 'so many are counted');
	is(refused_sqlstate($node, 'regress_pool_storm'), '53300', 'one more is refused');
	$in[$again]->close_and_wait;
	my $next = open_session($node, 'regress_pool_storm');
	ok($next->is_admitted, 'as soon as one has left, one gets in');
	is(refused_sqlstate($node, 'regress_pool_storm'), '53300', 'and only one');
	close_all(@in, $next);
	ok(wait_sessions($node, $STORM, 0), 'all are gone');
}

# ---------- storms of endings ----------

# While surplus sessions leave, the sampler looks again and again: it must not take
# one that is on its way out already for one that is still to be ended.
foreach my $round (1 .. 5)
{
	$node->safe_psql('postgres', "SELECT pool_set_quota('$STORM', max_connections => 170)");
	wait_sync($node);
	my @in = map { start_login($node, 'regress_pool_storm') } 1 .. 170;

	$_->wait_login for @in;
	is((scalar grep { $_->is_admitted } @in), 170, "round $round: 170 sessions");
	$node->safe_psql('postgres', "SELECT pool_set_quota('$STORM', max_connections => $QUOTA)");
	wait_sync($node);
	ok($node->poll_query_until('postgres',
			"SELECT sessions <= $QUOTA FROM pool_stats WHERE tenant = '$STORM'"),
		'the surplus is ended');
	my $samples = cluster_stat($node, 'samples');
	$node->poll_query_until('postgres', "SELECT samples > $samples + 10 FROM pool_stats_cluster");
	is((scalar grep { $_->is_alive } @in), $QUOTA, "a lowered quota leaves exactly $QUOTA");
	close_all(@in);
	wait_sessions($node, $STORM, 0);
}

# Exact counts where this test met every login: a tenant that pgbench did not touch.
my $counted = $node->safe_psql('postgres',
	"SELECT admitted, rejected FROM pool_stats WHERE tenant = '$CALM'");
is($counted, "$calm_tries|0", 'admitted is exact');
unlike(log_since($node, 0), qr/has corrected its count/, 'nothing had to be corrected');

done_testing();
