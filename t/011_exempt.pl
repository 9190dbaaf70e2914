# Exemptions: whom no rule ends, why pool_stats_session says so, and when it is over.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = new_node(
	-name => 'exempt',
	wal_level => 'logical',
	max_wal_senders => 5,
	'pool_optimizer.exempt_roles' => q{'r_monitor, "R Quoted"'});

my $super = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, qw(r_plain r_monitor r_later), '"R Quoted"');
$node->safe_psql('postgres', 'CREATE ROLE r_replica LOGIN REPLICATION');
$node->safe_psql('postgres', 'GRANT ALL ON SCHEMA public TO r_plain');
$node->safe_psql('postgres', q{
	GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO r_plain});

sub of_session
{
	my ($session, $column) = @_;

	return $node->safe_psql('postgres',
		"SELECT ($column)::text FROM pool_stats_session WHERE pid = " . $session->pid);
}

sub set_conf
{
	my ($name, $value) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET pool_optimizer.$name = $value");
	$node->reload;
	return;
}

# ---------- who holds what ----------

my %session = (
	superuser => open_session($node, $super),
	exempt_role => open_session($node, 'r_monitor'),
	exempt_role_quoted => open_session($node, 'R Quoted'),
	backup => open_session($node, 'r_plain'),
	listen => open_session($node, 'r_plain'),
	listen_in_function => open_session($node, 'r_plain'),
	advisory_lock => open_session($node, 'r_plain'),
	temp_table => open_session($node, 'r_plain'),
	held_cursor => open_session($node, 'r_plain'));

$session{superuser}->query('SELECT 1');
$session{backup}->query(q{SELECT pg_backup_start('of r_plain', true)});
$session{listen}->query('LISTEN news');
$session{listen_in_function}->query(q{DO $$BEGIN EXECUTE 'LISTEN news'; END$$});
$session{advisory_lock}->query('SELECT pg_advisory_lock(42)');
$session{temp_table}->query('CREATE TEMP TABLE mine (a int)');
$session{held_cursor}->query('DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 10)');

# Those that only had such a thing: let go of, undone, or within a transaction.
my %released = (
	unlistened => 'LISTEN a; UNLISTEN *',
	unlocked => 'SELECT pg_advisory_lock(1); SELECT pg_advisory_unlock(1)',
	xact_lock => 'SELECT pg_advisory_xact_lock(2)',
	closed => 'DECLARE c CURSOR WITH HOLD FOR SELECT 1; CLOSE c',
	without_hold => 'BEGIN; DECLARE c CURSOR FOR SELECT 1; COMMIT',
	discarded => 'LISTEN a');

$released{$_} = [ open_session($node, 'r_plain'), $released{$_} ] foreach keys %released;
$released{$_}[0]->query($released{$_}[1]) foreach sort keys %released;
$released{discarded}[0]->query('DISCARD ALL');
is($released{$_}[0]->error_text, '', "$_ was prepared") foreach sort keys %released;
is($session{$_}->error_text, '', "$_ was prepared") foreach sort keys %session;

# UNLISTEN that is undone leaves the session listening.
my %still_listening;

foreach my $how ('BEGIN; UNLISTEN *; ROLLBACK',
	'BEGIN; SAVEPOINT s; UNLISTEN *; ROLLBACK TO s; COMMIT',
	'BEGIN; UNLISTEN *; LISTEN news; COMMIT', 'UNLISTEN other')
{
	my $s = open_session($node, 'r_plain');

	$s->query('LISTEN news');
	$s->query($_) foreach split /; /, $how;
	is($s->value('SELECT count(*) FROM pg_listening_channels()'), '1', "listens after $how");
	$still_listening{$how} = $s;
}

# Replication connections, physical and logical: not sessions at all.
my %walsender = (
	physical => open_session($node, 'r_replica', startup => { replication => 'true' }),
	logical => open_session($node, 'r_replica', startup => { replication => 'database' }));

ok($_->is_admitted, 'a replication connection is admitted') foreach values %walsender;
$walsender{$_}->query('IDENTIFY_SYSTEM') foreach sort keys %walsender;

# Only now the rules: strict ones, for everybody.
my $plain = open_session($node, 'r_plain');

$node->safe_psql('postgres', q{
	SELECT pool_set_timeouts('*', idle => '100ms', never_used => '100ms', lifetime => '100ms',
		idle_in_transaction => '100ms', leak_probability => 0.5)});
wait_sync($node);

$plain->wait_closed;
is($plain->sqlstate, '57P01', 'a plain session is ended');
foreach my $what (sort keys %released)
{
	$released{$what}[0]->wait_closed;
	is($released{$what}[0]->sqlstate, '57P01', "so is one that let go ($what)");
}

# ---------- spared ----------

my %reason = (
	exempt_role_quoted => 'exempt_role',
	listen_in_function => 'listen');

foreach my $what (sort keys %session)
{
	ok(wait_until(sub { of_session($session{$what}, 'state_ms > 1000') eq 'true' }),
		"$what has been idle for ten times the limit");
	is(of_session($session{$what}, q{exempt || ' ' || verdict}),
		($reason{$what} // $what) . ' exempt', "$what: pool_stats_session says why");
}

# Whoever comes after them and goes shows that the rules were at work all the time.
$plain = open_session($node, 'r_plain');
$plain->wait_closed;
is($plain->sqlstate, '57P01', 'the rules are at work');
ok($session{$_}->is_alive, "$_ lives") foreach sort keys %session;
foreach my $how (sort keys %still_listening)
{
	ok($still_listening{$how}->is_alive, "lives: LISTEN, then $how");
	is(of_session($still_listening{$how}, 'exempt'), 'listen', 'is exempt as it listens')
	  if $still_listening{$how}->is_alive;
}
foreach my $kind (sort keys %walsender)
{
	ok($walsender{$kind}->is_alive, "the $kind replication connection lives");
	ok(defined $walsender{$kind}->query('IDENTIFY_SYSTEM'), 'and works');
	is(of_session($walsender{$kind}, 'pid'), '', 'and is no session');
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM pool_events WHERE pid IN ('
			. join(', ', map { $_->pid } values %session, values %walsender)
			. ')'), '0', 'no event is about any of them');
is($session{held_cursor}->value('FETCH c'), '1', 'the cursor still works');
is($session{temp_table}->value('SELECT count(*) FROM mine'), '0', 'the table is still there');

# ---------- an exemption ends ----------

$session{listen_in_function}->query('UNLISTEN *');
$session{listen_in_function}->wait_closed;
is($session{listen_in_function}->sqlstate, '57P01', 'ended after UNLISTEN *');
$session{advisory_lock}->query('SELECT pg_advisory_unlock(42)');
$session{advisory_lock}->wait_closed;
is($session{advisory_lock}->sqlstate, '57P01', 'ended after it let go of its lock');
$session{held_cursor}->query('CLOSE c');
$session{held_cursor}->wait_closed;
is($session{held_cursor}->sqlstate, '57P01', 'ended after CLOSE');

# ---------- spare_stateful ----------

# A session that must be quick to become exempt: tried until it was.
sub quickly
{
	my ($sql) = @_;
	my $s;

	wait_until(sub {
		$s = open_session($node, 'r_plain');
		return $s->is_alive && eval { defined $s->query($sql) };
	}, $sql);
	return $s;
}

$session{advisory_lock} = quickly('SELECT pg_advisory_lock(42)');
$session{held_cursor} = quickly('DECLARE c CURSOR WITH HOLD FOR SELECT 1');
foreach my $what (qw(advisory_lock held_cursor))
{
	ok(wait_until(sub { of_session($session{$what}, 'state_ms > 500') eq 'true' }),
		"$what is spared again");
}
set_conf('spare_stateful', 'off');
foreach my $what (qw(listen advisory_lock temp_table held_cursor))
{
	$session{$what}->wait_closed;
	is($session{$what}->sqlstate, '57P01', "spare_stateful off: $what is ended");
}
ok($session{$_}->is_alive, "spare_stateful off: $_ lives")
  foreach qw(superuser exempt_role exempt_role_quoted backup);
ok($_->is_alive, 'spare_stateful off: replication lives') foreach values %walsender;
is(of_session($session{superuser}, 'exempt'), 'superuser', 'and pool_stats_session says why');
set_conf('spare_stateful', 'on');
$session{backup}->query('SELECT pg_backup_stop(false)');
$session{backup}->wait_closed;
is($session{backup}->sqlstate, '57P01', 'ended after the backup was stopped');
unlike(log_since($node), qr/aborting backup/, 'which is whole');

# ---------- exempt_roles is read anew ----------

# Made exempt before its limit is reached.
$node->safe_psql('postgres', q{SELECT pool_set_timeouts('r_later@postgres', idle => '1h',
	never_used => '1h', lifetime => '1h', leak_probability => 0)});
wait_sync($node);

my $later = open_session($node, 'r_later');

set_conf('exempt_roles', 'r_later');
ok(wait_until(sub { of_session($later, 'exempt') eq 'exempt_role' }, 'the reload'),
	'the reload has come');
$node->safe_psql('postgres', q{SELECT pool_drop_policy('r_later@postgres')});
wait_sync($node);
ok(wait_until(sub { of_session($later, 'state_ms > 1000') eq 'true' }),
	'a role that became exempt by a reload is spared');
is(of_session($later, 'exempt'), 'exempt_role', 'and is said to be exempt');
$plain = open_session($node, 'r_plain');
$plain->wait_closed;
ok($later->is_alive, 'while others are ended');

# It keeps its place, where a quota counts sessions of several roles.
create_roles($node, 'r_keeps');
$node->safe_psql('postgres', 'CREATE DATABASE shared');
$node->safe_psql('postgres', q{SELECT pool_set_timeouts('*@shared', idle => '1h',
		never_used => '1h', lifetime => '1h', leak_probability => 0);
	SELECT pool_set_quota('shared', max_connections => 3, scope => 'database')});
wait_sync($node);
my ($keeps, @others) = map { open_session($node, $_, dbname => 'shared') }
  qw(r_keeps r_plain r_plain);

set_conf('exempt_roles', q{'r_keeps'});
ok(wait_until(sub { of_session($keeps, 'exempt') eq 'exempt_role' }, 'the reload'),
	'one of three becomes exempt');
is(refused_sqlstate($node, 'r_plain', dbname => 'shared'), '53300', 'a full quota stays full');
# It is the first that would be ended.
$_->value('SELECT 1') foreach $keeps, @others;
$node->safe_psql('postgres', q{SELECT pool_set_quota('shared', max_connections => 2,
	scope => 'database')});
$others[0]->wait_closed;
my $admin = open_session($node, $super);

wait_samples($admin, 100);
is(join(' ', map { $_->is_alive ? 'lives' : 'ended' } $keeps, @others), 'lives ended lives',
	'of a quota lowered by one, one that is not exempt is ended in its place');
close_all($admin);

# ---------- a role that becomes a superuser ----------

# As of the login the sampler knows it; the function, which can look, spares it.
create_roles($node, 'r_rises');
$node->safe_psql('postgres', q{SELECT pool_set_timeouts('r_rises@postgres', idle => '100ms',
	never_used => '0', lifetime => '0', leak_probability => 0, mode => 'observe')});
wait_sync($node);

my @rises = map { open_session($node, 'r_rises') } 1, 2;
my $terminate = q{SELECT reason ~ 'exempt: superuser', terminated
	FROM pool_terminate_leaked('r_rises@postgres', false)};

$_->value('SELECT 1') foreach @rises;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pool_stats_session
	WHERE usename = 'r_rises' AND class = 'idle_too_long' AND exempt IS NULL}),
	'two sessions of a plain role are leaks');
$node->safe_psql('postgres', 'ALTER ROLE r_rises SUPERUSER');
is($node->safe_psql('postgres', $terminate), "t|f\nt|f", 'a superuser by now is spared');
$node->safe_psql('postgres', 'ALTER ROLE r_rises NOSUPERUSER');
is($node->safe_psql('postgres', $terminate), "f|t\nf|t", 'a plain role again is not');

stop_clean($node);
done_testing();
