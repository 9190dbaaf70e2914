# Never the wrong session.
#
# Hundreds of sessions wake up at random moments around the limits that apply to them,
# while quotas and limits move, logins evict idle sessions, lent connections are called
# back under pressure, tenants are drained, pool_terminate_leaked runs beside the
# sampler, and the sampler is killed, or starved for a while, now and then.  Sessions
# that were ended come back, and process ids are reused as quickly as the kernel can:
# where namespaces may be made, the test runs in one of its own and sets the last
# process id back all the time.
#
# Counted is a session that was ended (a verdict that was carried out); orders that a
# session declined as it had moved on come on top and are recorded nowhere.  Each is
# judged twice.  The client knows what it had sent and what was answered (adversary.c).
# And in the server's own log, whoever is ended must be idle: no statement that has begun
# and not ended, no open transaction unless a rule for transactions applies to its role,
# "idle" as what the process was doing, idle for at least as long as the evidence says
# and as the limit asks for, and of the role that the evidence names, which an order that
# reached a later session with the same process id would not be.
#
# PO_VERDICTS: how many (3000).
use strict;
use warnings;

my ($last_pid, @unshare);

# In a PID namespace of its own, before anything is set up for this process.
BEGIN
{
	$last_pid = '/proc/sys/kernel/ns_last_pid';
	@unshare = qw(unshare --user --map-current-user --keep-caps --pid --fork --kill-child
	  --mount-proc);
	if (!$ENV{PO_OWN_PIDS})
	{
		$ENV{PO_OWN_PIDS} = 1;
		exec @unshare, $^X, $0, @ARGV
		  if $> != 0 && system("@unshare sh -c 'echo 300 >$last_pid' >/dev/null 2>&1") == 0;
	}
}

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use POSIX ();
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $wanted = $ENV{PO_VERDICTS} || 3000;
my $scale = $wanted > 10_000 ? 2 : 1;

my $own_pids = $$ == 1 && -w $last_pid;
my $first_pid = 300;

# The next process gets the least id that is free.
sub reuse_pids
{
	return unless $own_pids;
	open my $file, '>', $last_pid or return;
	print $file $first_pid;
	close $file;
	return;
}

# ---------- server and client ----------

sub pg_config
{
	my ($what) = @_;
	my $value = `$ENV{PG_CONFIG} $what`;

	chomp $value;
	return $value;
}

local $ENV{PG_CONFIG} = $ENV{PG_CONFIG} // 'pg_config';
my $program = "$PostgreSQL::Test::Utils::tmp_check/adversary";
my ($cc) = split / /, pg_config('--cc');

$cc = 'cc' if system("command -v '$cc' >/dev/null 2>&1") != 0;
plan skip_all => 'needs a C compiler'
  if system("command -v '$cc' >/dev/null 2>&1") != 0;
system($cc, qw(-std=gnu99 -D_GNU_SOURCE -O2 -o), $program, "$FindBin::RealBin/adversary.c") == 0
  or die 'cannot compile adversary.c';

my $node = new_node(
	-name => 'adversary',
	max_connections => 400 * $scale,
	shared_buffers => '64MB',
	'pool_optimizer.exempt_roles' => q{'r_exempt'},
	'pool_optimizer.max_terminations_per_minute' => 1_000_000,
	'pool_optimizer.history_events' => int($wanted * 1.5) + 20_000,
	log_statement => 'all',
	log_duration => 'on',
	log_connections => 'on',
	log_disconnections => 'off',
	update_process_title => 'on',
	log_line_prefix => q{'[%p] %n <%i> %u|'});
my $super = $node->safe_psql('postgres', 'SELECT current_user');

# role, kind, sessions, rest from, to, pause before it comes back (ms); see adversary.c
my @groups = (
	[qw(r_idle p 90 260 360 50)],
	[qw(r_trans t 50 260 360 50)],
	[qw(r_quota p 40 50 400 300)],
	[qw(r_burst p 40 50 500 500)],
	[qw(r_drain p 30 900 2500 300)],
	[qw(r_exempt e 10 200 900 50)],
	[ $super, qw(e 10 200 900 50) ],
	[qw(r_listen l 8 260 900 50)],
	[qw(r_lock a 8 260 900 50)],
	[qw(r_temp m 8 260 900 50)],
	[qw(r_cursor c 8 260 900 50)]);
$_->[2] *= $scale foreach @groups;
my @roles = grep { $_ ne $super } map { $_->[0] } @groups;

create_roles($node, @roles, 'r_guaranteed');
# Only r_trans has a rule for transactions; the idle rule is everybody's.
$node->safe_psql('postgres', q{
	CREATE TABLE work (k int, step text);
	GRANT ALL ON work TO PUBLIC;
	SELECT pool_set_timeouts('*', idle => '300ms', idle_in_transaction => '0',
		never_used => '2s', lifetime => '0', leak_probability => 0);
	SELECT pool_set_timeouts('r_trans@postgres', idle_in_transaction => '300ms');
	SELECT pool_set_timeouts('r_drain@postgres', idle => '5s', lifetime => '4s');
	SELECT pool_set_quota('r_quota@postgres', max_connections => 20, on_full => 'evict_idle',
		wait_timeout => '1s')});
wait_sync($node);

# ---------- what the server's log says ----------

my %count = map { $_ => 0 } qw(verdicts sessions reused statements told killed_samplers
  starved_samplers);
my (%of_class, %of_surplus);
my @classes = qw(idle_too_long surplus idle_in_transaction aborted_in_transaction
  stuck_in_client_read lifetime);
my %surplus = (
	'over a lowered quota' => 'surplus:',
	'evicted' => 'longest idle when',
	'called back' => 'called back',
	'drained' => 'being drained');
my (%process, %sessions_of_pid, @wrong);
my $log_at = -s $node->logfile;
my $rest_of_log = '';

sub is_wrong { my ($what) = @_; push @wrong, $what; return; }

# What is told of an end must be true of this session.
sub judge_end
{
	my ($pid, $p, $detail) = @_;
	my ($class, $role) = $detail =~ /"class": "(\w+)", "role": "([^"]*)"/;
	my %number = $detail =~ /"(\w+)": (\d+)/g;
	my $end = delete $p->{end};
	my $what = "[$pid] of $p->{role} ended as $class";
	my $in_transaction = $class =~ /in_transaction/;

	$count{verdicts}++;
	$of_class{$class}++;
	if (!defined $end) { is_wrong("$what, but was not"); return; }
	is_wrong("$what by evidence of $role") if $role ne $p->{role};
	is_wrong("$what, which is exempt") if $role eq 'r_exempt' || $role eq $super;
	is_wrong("$what by evidence of $number{transactions} transactions after $p->{n} statements")
	  if $number{transactions} > $p->{n};
	if ($class eq 'stuck_in_client_read')
	{
		is_wrong("$what while doing \"$end->{does}\"") if $end->{does} ne 'COPY';
		is_wrong("$what without such a rule") if $role ne 'r_trans';
		return;
	}
	is_wrong("$what while a statement ran") if $end->{running};
	is_wrong("$what while doing \"$end->{does}\"")
	  if $end->{does} ne ($class eq 'aborted_in_transaction' ? 'idle in transaction (aborted)'
		: $in_transaction ? 'idle in transaction' : 'idle');
	is_wrong("$what within a transaction") if $end->{open} && !$in_transaction;
	is_wrong("$what without such a rule") if $in_transaction && $role ne 'r_trans';
	# The log has whole milliseconds, and so has the evidence.
	is_wrong(sprintf('%s, idle for %d ms by its evidence, %d by the log', $what,
			$number{state_ms}, $end->{idle_ms}))
	  if $end->{idle_ms} + 2 < $number{state_ms};
	is_wrong("$what after $number{state_ms} ms, before its limit of $number{limit_ms}")
	  if $class =~ /^(?:idle_too_long|idle_in_transaction|aborted_in_transaction)$/
	  && $number{state_ms} < $number{limit_ms};
	return;
}

sub read_line
{
	my ($pid, $at, $does, $role, $text) = @_;
	my $p = $process{$pid} //= { n => 0, role => '', open => 0, running => 0, active => $at };

	if ($text =~ /^LOG:  (?:statement|execute <unnamed>): (\w+)/)
	{
		$count{statements}++;
		$p->{n} += $text =~ tr/;// + 1;
		$p->{running} = 1;
		$p->{open} = 1 if $1 eq 'BEGIN';
		$p->{open} = 0 if $1 eq 'COMMIT' || $1 eq 'ROLLBACK';
	}
	elsif ($text =~ /^(?:LOG:  duration:|ERROR:  division by zero)/)
	{
		$p->{running} = 0;
		$p->{active} = $at;
	}
	elsif ($text =~ /^LOG:  connection received/)
	{
		is_wrong("[$pid] was ended without a reason") if $p->{end};
		$count{sessions}++;
		$count{reused}++ if $sessions_of_pid{$pid}++;
		delete $process{$pid};
	}
	elsif ($text =~ /^LOG:  connection authorized/)
	{
		$p->{role} = $role;
		$p->{active} = $at;
	}
	elsif ($text =~ /^FATAL:  terminating connection/)
	{
		$p->{end} = { running => $p->{running}, open => $p->{open}, does => $does,
			idle_ms => ($at - $p->{active}) * 1000 };
	}
	elsif ($text =~ /^LOG:  pool_optimizer ended a session of tenant "[^"]*": (.*)/)
	{
		$count{told}++;
		$p->{told} = 1;
		$of_surplus{$_}++ foreach grep { index($1, $surplus{$_}) >= 0 } keys %surplus;
	}
	elsif ($text =~ /^DETAIL:  (\{"class".*)/ && delete $p->{told}) { judge_end($pid, $p, $1); }
	elsif ($text =~ /^(?:PANIC|ERROR)/) { is_wrong($text); }
	return;
}

# Reads what has come to the log.
sub read_log
{
	my $new = slurp_file($node->logfile, $log_at);

	$log_at += length $new;
	$new = $rest_of_log . $new;
	my $end = rindex($new, "\n") + 1;

	$rest_of_log = substr($new, $end);
	foreach my $line (split /\n/, substr($new, 0, $end))
	{
		read_line($1, $2, $3, $4, $5) if $line =~ /^\[(\d+)\] ([\d.]+) <([^>]*)> ([^|]*)\|(.*)/;
	}
	return;
}

# ---------- what is done meanwhile ----------

my $admin = open_session($node, $super);
my $reclaimer = open_session($node, $super);

sub admin
{
	my ($sql) = @_;
	my $rows = $admin->query($sql);

	is_wrong("\"$sql\" failed: " . $admin->error_text) unless defined $rows;
	return defined $rows && @$rows ? $rows->[0][0] : undef;
}

# Clients that come back at once are what the circuit breaker is for; here they must not
# stop the test, and a reset closes it.
sub reset_breakers
{
	admin("SELECT pool_reset_stats(tenant) FROM pool_stats WHERE tenant LIKE 'r\\_%'");
	return;
}

sub set_conf
{
	my ($name, $value) = @_;

	admin("ALTER SYSTEM SET pool_optimizer.$name = $value");
	admin('SELECT pg_reload_conf()');
	return;
}

sub kill_sampler
{
	my $killed = admin('SELECT pg_terminate_backend(sampler_pid) FROM pool_stats_cluster
		WHERE sampler_pid IS NOT NULL');

	$count{killed_samplers}++ if ($killed // '') eq 't';
	return;
}

# The sampler is starved of CPU for a while, in the middle of whatever it does.  By a
# process of its own: we may come to wait for a lock that the sampler holds then.
my $starver = 0;

sub starve_sampler
{
	return if $starver && waitpid($starver, POSIX::WNOHANG) == 0;
	my $sampler = admin('SELECT coalesce(sampler_pid, 0) FROM pool_stats_cluster');

	$starver = 0;
	return if !$sampler;
	$count{starved_samplers}++;
	$starver = fork // die "cannot fork: $!";
	return if $starver;
	kill 'STOP', $sampler;
	usleep(50_000 + rand 1_000_000);
	kill 'CONT', $sampler;
	POSIX::_exit(0);
}

my @acts = (
	[ 6, sub { admin(sprintf q{SELECT pool_set_quota('r_quota@postgres',
		max_connections => %d)}, (8 + rand 30) * $scale) } ],
	[ 4, sub { admin(sprintf q{SELECT pool_set_timeouts('r_idle@postgres',
		idle => '%d ms')}, 270 + rand 60) } ],
	[ 3, sub { admin(sprintf q{SELECT pool_set_timeouts('r_trans@postgres',
		idle_in_transaction => '%d ms')}, 270 + rand 60) } ],
	[ 3, sub { admin(sprintf q{SELECT pool_set_quota('r_guaranteed@postgres',
		guaranteed => %d)}, 1 + rand 40 * $scale) } ],
	[ 1, sub { set_conf('critical_threshold', 60) } ],
	[ 1, sub { set_conf('critical_threshold', 95) } ],
	[ 3, sub { admin(q{SELECT pool_drain('r_drain@postgres', grace => '1h')}) } ],
	[ 2, sub { admin(q{SELECT pool_resume('r_drain@postgres')}) } ],
	[ 1, \&kill_sampler ],
	[ 2, \&starve_sampler ]);
my @lots;

# Drawn without putting back, so that none stays out for long.
sub act_at_random
{
	@lots = map { ($_->[1]) x $_->[0] } @acts unless @lots;
	(splice @lots, int rand @lots, 1)->();
	return;
}

# Beside the sampler; its answer is not waited for.
sub reclaim
{
	$reclaimer->update;
	if ($reclaimer->{state} eq 'ready')
	{
		is_wrong('pool_terminate_leaked: ' . $reclaimer->error_text) if $reclaimer->error;
		$reclaimer->send_query(q{SELECT count(*) FROM pool_terminate_leaked('*', false)});
	}
	return;
}

# ---------- the storm ----------

my ($in, $out) = ('', '');
my $started = time();
my $deadline = $started + ($wanted > 3000 ? $wanted / 10 : $PoolTest::TIMEOUT);
my @command = ($program, $node->host . '/.s.PGSQL.' . $node->port,
	map { join ':', @$_ } @groups);
my $client = IPC::Run::start(\@command, '<', \$in, '>', \$out);

sub is_enough
{
	return $count{verdicts} >= $wanted && $count{killed_samplers} > 0
	  && !(grep { !$of_class{$_} } @classes) && !(grep { !$of_surplus{$_} } keys %surplus);
}

while (!is_enough() && time() < $deadline)
{
	reset_breakers();
	act_at_random();
	reclaim();
	foreach (1 .. 10) { reuse_pids(); usleep(20_000); }
	read_log();
	$client->pump_nb;
	last if !$client->pumpable;
}
my $took = time() - $started;

waitpid $starver, 0 if $starver;

$client->finish;
wait_sessions($node, "$_\@postgres", 0) foreach @roles;
$reclaimer->result;
close_all($reclaimer, $admin);
read_log();

# ---------- what came of it ----------

my ($told) = $out =~ /^(statements=.*)/m;
my %seen = ($told // '') =~ /(\w+)=(\d+)/g;

note(sprintf '%d sessions at a time; %d verdicts carried out in %.0f s: %s',
	eval { my $n = 0; $n += $_->[2] foreach @groups; $n }, $count{verdicts}, $took,
	join(', ', map { "$of_class{$_} $_" } sort keys %of_class));
note('surplus: ' . join(', ', map { "$of_surplus{$_} $_" } sort keys %of_surplus));
note("server: $count{sessions} logins, $count{reused} with a process id that another session "
	  . "had had, $count{statements} statements; sampler killed $count{killed_samplers} times and "
	  . "stopped for a while $count{starved_samplers} times");
note('clients: ' . ($told // $out));

cmp_ok($count{verdicts}, '>=', $wanted, "$wanted sessions were ended");
cmp_ok($of_class{$_} // 0, '>', 0, "some of them as $_")
  foreach @classes;
cmp_ok($of_surplus{$_} // 0, '>', 0, "some were $_") foreach sort keys %surplus;
cmp_ok($count{killed_samplers}, '>', 0, 'the sampler was killed meanwhile');
is(join("\n", ($out =~ /^(WRONG.*)/mg), defined $told ? () : 'no counts'), '',
	'no client saw anything but the end of an idle session, none that was exempt');
is(join("\n", @wrong[ 0 .. ($#wrong < 9 ? $#wrong : 9) ]), '',
	'by the server\'s log, none was ended but who was to be');
is($seen{ended}, $count{verdicts}, 'the clients saw as many ends as the log');
is($count{told}, $count{verdicts}, 'each has its line with the evidence');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pool_events WHERE kind = 'terminate'}),
	$count{verdicts}, 'and its event');
cmp_ok($seen{exemptions} // 0, '>', 0, 'sessions became exempt, and not');
SKIP:
{
	skip 'no PID namespace can be made here: process ids are not reused on purpose', 1
	  unless $own_pids;
	cmp_ok($count{reused}, '>', $count{sessions} / 2, 'most process ids were reused');
}
is($node->safe_psql('postgres',
		q{SELECT count(*) FROM (SELECT k, count(*) FILTER (WHERE step = 'begin') AS b,
			count(*) FILTER (WHERE step = 'end') AS e FROM work GROUP BY k) AS w
		  WHERE b <> e}), '0', 'transactions are whole');

stop_clean($node);
done_testing();
