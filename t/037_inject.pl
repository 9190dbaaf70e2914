# An error in every step of the workers, and in our hooks: it is caught, counted and
# shown, the loop goes on, and nothing of it reaches a client.  And what changes between two
# steps of the sampler, which waits there.
# This needs a library of its own, built from these sources with -DPO_INJECT.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

# ---------- the library ----------

my $root = $FindBin::RealBin =~ s{/[^/]+$}{}r;
my $build = PostgreSQL::Test::Utils::tempdir();

# With the server that is tested, whose pg_config is first in the path or in PG_CONFIG.
sub build_library
{
	my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
	my $log = "$build/make.log";

	return "cannot read $root/Makefile" unless -r "$root/Makefile";
	system("tar -C '$root' --exclude='*.o' --exclude='*.bc' --exclude='*.so' "
		  . "--exclude='./tmp_check*' -c Makefile pool_optimizer.c pool_optimizer.control src sql "
		  . "| tar -C '$build' -x") == 0
	  or return 'cannot copy the sources';
	system("make -s -C '$build' PG_CONFIG='$pg_config' PROFILE=-DPO_INJECT with_llvm=no "
		  . ">'$log' 2>&1") == 0
	  or return 'make failed: ' . slurp_file($log);
	return '';
}

my $problem = build_library();
is($problem, '', 'the library is built with injection')
  or BAIL_OUT('no library to test');

# Preloaded from there; the functions are bound to it below.
my $node = PostgreSQL::Test::Cluster->new('inject');
$node->init;
$node->append_conf('postgresql.conf', qq{
	dynamic_library_path = '$build:\$libdir'
	shared_preload_libraries = 'pool_optimizer'
	pool_optimizer.mode = enforce
	pool_optimizer.sample_interval = 20ms
	max_connections = 20
	pool_optimizer.notify_channel = 'alerts'
	listen_addresses = '127.0.0.1'
});
$node->append_conf('pg_hba.conf', "host all all 127.0.0.0/8 trust\n");
build_clock() or BAIL_OUT('no clock to set');
start_on_clock($node);
$node->safe_psql('postgres', q{
	CREATE EXTENSION pool_optimizer;
	UPDATE pg_proc SET probin = 'pool_optimizer' WHERE probin = '$libdir/pool_optimizer'});

my $A = 'regress_pool_a@postgres';
create_roles($node, 'regress_pool_a', 'regress_pool_b', 'regress_pool_c');
$node->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 2)");
wait_sync($node);

sub inject
{
	my ($points) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET pool_optimizer.inject = '$points'");
	$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
	ok(wait_until(sub {
				$node->safe_psql('postgres', 'SHOW pool_optimizer.inject') eq $points
			}), "injected: '$points'");
	return;
}

sub third_is_refused
{
	my ($what) = @_;

	return is(refused_sqlstate($node, 'regress_pool_a'), '53300', "$what: the quota holds");
}

# ---------- the sampler's steps ----------

my @in = map { open_session($node, 'regress_pool_a') } 1, 2;

for my $step (
	qw(collect reclaim account recommend groups alert findings summary keeper state state_write
		reconcile))
{
	my $sampler = cluster_stat($node, 'sampler_pid');

	inject($step);
	my $errors = cluster_stat($node, 'worker_errors');
	my $samples = cluster_stat($node, 'samples');
	ok($node->poll_query_until('postgres', qq{
			SELECT worker_errors > $errors + 1 AND samples > $samples + 2
				AND last_error = 'injected at "$step"' FROM pool_stats_cluster}),
		"$step: caught, counted, shown, and the loop goes on");
	is(cluster_stat($node, 'sampler_pid'), $sampler, "$step: by the same sampler");
	third_is_refused($step);
}
inject('');

# An error in the middle of writing the state file must not keep the file open.
SKIP:
{
	my $sampler = cluster_stat($node, 'sampler_pid');

	skip 'no /proc to count open files in', 2 unless -d "/proc/$sampler/fd";
	my $open_files = sub { return scalar(() = glob("/proc/$sampler/fd/*")); };
	inject('');
	my $before = $open_files->();
	inject('state_write');
	my $errors = cluster_stat($node, 'worker_errors');
	ok($node->poll_query_until('postgres',
			"SELECT worker_errors > $errors + 5 FROM pool_stats_cluster"),
		'writing the state file fails');
	cmp_ok($open_files->(), '<', $before + 5, 'and leaves no file open');
}

# ---------- the keeper ----------

for my $step (qw(keeper_start keeper_read keeper_publish))
{
	my $wanted = cluster_stat($node, 'policy_generation');

	inject($step);
	# Plain DML with the trigger off: only the keeper can see it.
	$node->safe_psql('postgres', q{
		SET session_replication_role = replica;
		UPDATE pool_policies SET weight = coalesce(weight, 1) + 1});
	ok($node->poll_query_until('postgres', qq{
			SELECT last_error = 'keeper: injected at "$step"' FROM pool_stats_cluster}),
		"$step: what the keeper died of is shown");
	third_is_refused($step);
	inject('');
	ok($node->poll_query_until('postgres', qq{
			SELECT last_error IS NULL AND policy_generation > $wanted FROM pool_stats_cluster}),
		"$step: the next one succeeds, and the error is gone");
}

# ---------- the keeper tells listeners ----------

my $listener = open_session($node, $node->safe_psql('postgres', 'SELECT current_user'));
my @heard;
my $full = "tenant = '$A' AND alert = 'tenant_utilization'";

sub heard
{
	my ($state, $id) = @_;

	push @heard, $listener->notifications;
	return scalar grep { /"alert":"tenant_utilization"/ && /"state":"$state"/ && /"id":$id\b/ } @heard;
}

# Raised before and so told already; it escalates no more, but it can be over.
$listener->query('LISTEN alerts');
$node->safe_psql('postgres', q{SELECT pool_set_alert('tenant_utilization', s, for_duration => '0',
	clear_after => '0') FROM unnest(ARRAY['warning', 'critical']) s});
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pool_alerts WHERE $full"),
	'an alert is raised');
my $id = $node->safe_psql('postgres', "SELECT id FROM pool_alerts WHERE $full");

# Before the transaction: nothing is heard, and nothing is lost.
inject('notify_start');
$node->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 9)");
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pool_alerts WHERE $full"),
	'it is over');
ok($node->poll_query_until('postgres', q{SELECT last_error = 'keeper: injected at "notify_start"'
		FROM pool_stats_cluster}), 'notify_start: the keeper fails, which is shown');
is(heard('cleared', $id), 0, 'notify_start: nothing is heard');

# Something is always to be told now.  History makes room for that, and gets on all the same.
# These hours are a day back, so those that end meanwhile are others; of two in between nothing is
# known.
$node->safe_psql('postgres', q{
	INSERT INTO pool_history SELECT date_bin('1 h', now() - interval '1 day', '2000-01-03')
		- i * interval '1 h',
		0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, '' FROM unnest(ARRAY[1, 2, 3, 6]) i;
	INSERT INTO pool_history_day SELECT '2001-01-01',
		0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, t FROM unnest(ARRAY['', 'x']) t});
ok(wait_until(sub {
			$node->safe_psql('postgres', q{SELECT pool_sync('10 s')});
			$node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM pool_history_hour
				WHERE tenant = '' AND bucket_start < now() - interval '12 h') || ' ' ||
				(SELECT count(*) FROM pool_history_day
				WHERE bucket_start < '2002-01-01')}) eq '4 0';
		}), 'notify_start: hours are summed up, and days pruned');

# Nor does it stop where the clock was set forward, and nothing is known of ten minutes.
my $gap = $node->safe_psql('postgres', q{SELECT now() + interval '10 min'});

foreach my $ahead (15 * 60, 20 * 60)
{
	set_clock($ahead);
	wait_samples($listener, 3);
}
ok(wait_until(sub {
			$node->safe_psql('postgres', q{SELECT pool_sync('10 s')});
			$node->safe_psql('postgres', qq{SELECT count(*) > 0 FROM pool_history
				WHERE tenant = '' AND bucket_start > '$gap'}) eq 't';
		}), 'notify_start: a time of which nothing is known is gone over');

# After it: told again by the next one, with the same number.
inject('notify_end');
ok(wait_until(sub { heard('cleared', $id) >= 2 }), 'notify_end: what was told is told again');
inject('');
$node->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 2)");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pool_alerts WHERE $full"),
	'another one is raised');
my $next = $node->safe_psql('postgres', "SELECT id FROM pool_alerts WHERE $full");

ok(wait_until(sub { heard('raised', $next) > 0 }), 'it is heard');
my $times = heard('cleared', $id);

$node->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 9)");
ok(wait_until(sub { heard('cleared', $next) == 1 }), 'and its end');
is(heard('cleared', $id), $times, 'the old one is not told any more');
is(heard('raised', $next), 1, 'the new one once');
$node->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 2)");
wait_sync($node);
$listener->close_and_wait;

# ---------- hooks ----------

$_->close_and_wait for @in;
wait_sessions($node, $A, 0);

inject('login');
{
	my $unready = cluster_stat($node, 'unready_logins');
	my @unseen = map { open_session($node, 'regress_pool_a') } 1 .. 4;
	is(scalar(grep { $_->is_admitted } @unseen), 4, 'login: who cannot be counted is let in');
	cmp_ok(cluster_stat($node, 'unready_logins'), '>=', $unready + 4, 'login: and that is counted');
	is($_->value('SELECT 7'), '7', 'login: and works') for @unseen;
	close_all(@unseen);
}

inject('exit');
$_->close_and_wait for map { open_session($node, 'regress_pool_a') } 1, 2;
ok(wait_sessions($node, $A, 0), 'exit: the place is given back all the same');
inject('');
@in = map { open_session($node, 'regress_pool_a') } 1, 2;
third_is_refused('after that');

inject('commit');
{
	my $errors = cluster_stat($node, 'worker_errors');
	my ($status, $out, $err) = $node->psql('postgres',
		"SELECT max_connections FROM pool_set_quota('$A', max_connections => 3)");
	is($status, 0, 'commit: the change is made');
	is($err, '', 'commit: without a word of ours');
	cmp_ok(cluster_stat($node, 'worker_errors'), '>', $errors, 'commit: but it is counted');
	ok($node->poll_query_until('postgres',
			"SELECT max_connections = 3 FROM pool_stats WHERE tenant = '$A'"),
		'commit: and the keeper puts it in force');
	# Core holds interrupts off there; the session that met the error must not go on so.
	foreach my $sql ("pool_set_quota('$A', max_connections => 3)",
		q{pool_set_alert('refusals', threshold => 5)})
	{
		my $super = open_session($node, $node->safe_psql('postgres', 'SELECT current_user'));

		ok(defined $super->query("SELECT $sql"), "commit: $sql") or diag($super->error_text);
		$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $super->pid . ')');
		ok(wait_until(sub { !$super->is_alive }, 'terminated'),
			'commit: who met it can be terminated');
		close_all($super) if $super->is_alive;
	}
}

inject('tell');
$node->safe_psql('postgres',
	"SELECT pool_set_quota('$A', max_connections => 0, mode => 'observe')");
{
	my $log = -s $node->logfile;
	my $s = open_session($node, 'regress_pool_a');
	ok($s->is_admitted, 'tell: a login that would be refused is let in');
	like(log_since($node, $log), qr/could not tell about a login: injected at "tell"/,
		'tell: although telling failed');
	close_all($s);
}

# ---------- ending a session ----------

# Whoever ends one can be interrupted while it looks at it; then the next one can end it.
my $B = 'regress_pool_b@postgres';

$node->safe_psql('postgres',
	"SELECT pool_set_timeouts('$B', idle => '100ms', mode => 'observe')");
wait_sync($node);
{
	my $leaked = open_session($node, 'regress_pool_b');
	my $end = "SELECT count(*) FILTER (WHERE terminated) FROM pool_terminate_leaked('$B', false)";

	ok($node->poll_query_until('postgres', qq{SELECT count(*) = 1 FROM pool_stats_session
			WHERE tenant = '$B' AND class = 'idle_too_long'}), 'order: a leaked session is found');
	inject('order');
	my ($status, $out, $err) = $node->psql('postgres', $end);
	like($err, qr/injected at "order"/, 'order: who ends it is interrupted');
	inject('');
	is($node->safe_psql('postgres', $end), '1', 'order: the next one ends it');
	ok(wait_until(sub { !$leaked->is_alive }, 'ended'), 'order: and it is gone');
	close_all($leaked) if $leaked->is_alive;
}

# ---------- what is too much changes while the sampler looks ----------

# Does so while the sampler waits at a point, which it comes to once something is too much.
sub meanwhile
{
	my ($point, $too_much, $change) = @_;
	my $log = -s $node->logfile;

	inject($point);
	$node->safe_psql('postgres', $too_much);
	ok(wait_until(sub { log_since($node, $log) =~ /paused at "$point"/ }, 'pause'),
		"$point: the sampler waits");
	$change->();
	inject('');
	return;
}

my $C = 'regress_pool_c@postgres';
my $looking = open_session($node, $node->safe_psql('postgres', 'SELECT current_user'));

$node->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 9)");
wait_sync($node);
{
	my @idle = map { open_session($node, 'regress_pool_c') } 1 .. 4;

	meanwhile('surplus_found', "SELECT pool_set_quota('$C', max_connections => 3)", sub {
			$idle[0]->close_and_wait;
			ok(wait_sessions($node, $C, 3), 'the one that is idle for longest leaves by itself');
		});
	wait_samples($looking, 20);
	is(scalar(grep { $_->is_alive } @idle), 3, 'then no other one is ended');
	close_all(grep { $_->is_alive } @idle);
}

# What an address is counted in may be another one's afterwards.
{
	my $busy = open_session($node, 'regress_pool_c');

	$busy->query('BEGIN');
	$node->safe_psql('postgres',
		q{SELECT pool_set_quota('127.0.0.0/8', max_connections => 50, scope => 'address')});
	wait_sync($node);
	my @near = map { open_session($node, 'regress_pool_a', host => '127.0.0.1') } 1 .. 3;
	my $far = open_session($node, 'regress_pool_a', host => '127.0.0.1', from => '127.0.0.9');
	my $generation = cluster_stat($node, 'policy_generation');

	# Of one in a transaction the sampler looks at everybody in each pass, and ends nobody.
	meanwhile('surplus_gathered', "SELECT pool_set_quota('$C', max_connections => 0)", sub {
			$node->safe_psql('postgres', q{
				BEGIN;
				DELETE FROM pool_policies WHERE scope = 'address';
				SELECT pool_set_quota('127.0.0.9', max_connections => 0, scope => 'address');
				COMMIT});
			ok($node->poll_query_until('postgres', qq{SELECT policy_generation > $generation + 1
					FROM pool_stats_cluster}), 'addresses are counted in another way');
		});
	ok(wait_until(sub { !$far->is_alive }, 'ended'), 'the address that has too many has less');
	wait_samples($looking, 20);
	is(scalar(grep { $_->is_alive } @near), 3, 'and no other one');
	close_all(grep { $_->is_alive } @near, $far, $busy);
	$node->safe_psql('postgres', q{DELETE FROM pool_policies WHERE scope = 'address'});
	wait_sync($node);
}
close_all($looking);

# ---------- all at once ----------

inject('all');
{
	my $errors = cluster_stat($node, 'worker_errors');
	ok($node->poll_query_until('postgres',
			"SELECT worker_errors > $errors + 20 FROM pool_stats_cluster"), 'all: still at work');
	my $s = open_session($node, 'regress_pool_a');
	is($s->value('SELECT 1'), '1', 'all: clients are served');
	close_all($s);
}
inject('');
close_all(grep { $_->is_alive } @in);
ok($node->poll_query_until('postgres',
		'SELECT health = $$healthy$$ AND last_error IS NULL FROM pool_stats_cluster'),
	'all is well when nothing fails any more');
unlike(slurp_file($node->logfile), qr/was terminated by signal|PANIC/, 'no process has crashed');

stop_clean($node);
done_testing();
