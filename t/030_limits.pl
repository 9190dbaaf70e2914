# When something is used up: the table of tenants (by a flood of application names), the
# slots for background workers, the server's connections to the last reserved one.
# What is known stays known, quotas hold, the views can be read, both workers go on,
# every counter agrees with what the clients met, and all of it recovers by itself.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

# ---------- max_tenants ----------

my $MAX_TENANTS = 20;
my $FLOOD = 300;
my $WAVE = 50;

my $node = new_node(
	-name => 'tenants',
	max_connections => 100,
	'pool_optimizer.max_tenants' => $MAX_TENANTS,
	'pool_optimizer.tenant' => q{'%a'});

create_roles($node, 'r_any');
$node->safe_psql('postgres', q{
	SELECT pool_set_quota('vip', max_connections => 2);
	SELECT pool_set_quota('flood 250', max_connections => 0)});
wait_sync($node);

sub as_app
{
	my ($name) = @_;

	return start_login($node, 'r_any', application_name => $name);
}

# Tenants that were here once and have no session, no policy, nothing that holds them.
close_all(map { as_app("known $_")->wait_login } 1 .. 3);
ok(wait_sessions($node, "known $_", 0), "known $_ has been here") foreach 1 .. 3;

sub known_rows
{
	return $node->safe_psql('postgres', q{
		SELECT tenant, sessions, admitted, first_seen, last_used FROM pool_stats
		WHERE tenant LIKE 'known%' ORDER BY tenant});
}

# Who calls itself (other) is not another one of that name.
close_all(as_app('(other)')->wait_login);
ok(wait_sessions($node, '(other)', 0), 'somebody was called (other)');
my $known = known_rows();
my $log_before = -s $node->logfile;
my @vip = map { as_app('vip')->wait_login } 1, 2;
my ($admitted, $refused, $vip_refused) = (0, 0, 0);
my @wave;

ok($vip[0]->is_admitted && $vip[1]->is_admitted, 'the tenant with a policy has its two');
foreach my $first (map { $_ * $WAVE + 1 } 0 .. $FLOOD / $WAVE - 1)
{
	close_all(@wave);
	# All at once, and in their midst one more than the quota.
	@wave = map { as_app("flood $_") } $first .. $first + $WAVE - 1;
	my $third = as_app('vip');

	$_->wait_login foreach @wave, $third;
	$vip_refused++ if $third->sqlstate eq '53300';
	$admitted += grep { $_->is_admitted } @wave;
	$refused += grep { $_->sqlstate eq '53300' } @wave;
}
is($vip_refused, $FLOOD / $WAVE, 'its quota holds in every wave of the flood');
is("$admitted $refused", ($FLOOD - 1) . ' 1',
	'of the flood all are admitted but the one whose name has a quota of 0');
is(known_rows(), $known, 'no tenant that was known has lost its row or its counters');
is(cluster_stat($node, 'tenants'), $MAX_TENANTS, 'there are max_tenants');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pool_stats WHERE tenant = '(other)'}), 1,
	'there is one (other)');
is($node->safe_psql('postgres', q{
		SELECT sum(admitted) - 1, sum(rejected) FROM pool_stats
		WHERE tenant LIKE 'flood%' OR tenant = '(other)'}), "$admitted|$refused",
	'every login of the flood is counted');
is($node->safe_psql('postgres', q{
		SELECT overflow_logins = s.admitted - 1 AND s.admitted > 1
		FROM pool_stats_cluster, pool_stats s WHERE s.tenant = '(other)'}), 't',
	'overflow_logins says how many had to be (other)');
is(stat_of($node, '(other)', 'sessions'), $WAVE, 'and those of the last wave are sessions of it');
my @lines = log_since($node, $log_before) =~ /LOG:.*further ones are accounted as/g;

is(scalar @lines, 1, 'told once in the log');
is(stat_of($node, 'flood 250', q{admitted || ' ' || rejected || ' ' || max_connections}),
	'0 1 0', 'a name with a policy of its own is not (other)');
close_all(@wave, @vip);
ok(wait_sessions($node, '(other)', 0), '(other) is empty again');
is(cluster_stat($node, 'tenants'), $MAX_TENANTS, 'those that left stay known');

# What was known is known after a restart, too, and what was (other) stays counted.
my $other = stat_of($node, '(other)', 'admitted');

$node->restart;
is(known_rows(), $known, 'after a restart the known ones are as they were');
is(stat_of($node, '(other)', 'admitted'), $other, 'and so is the count of the others');
my $again = as_app('vip')->wait_login;

ok($again->is_admitted, 'a tenant with a policy has its place');
close_all($again);
stop_clean($node);

# ---------- names that are used no more ----------

SKIP:
{
	skip 'needs a C compiler', 1 unless build_clock();

	# Beside the name that psql has there is room for nine.
	$node = new_node(
		-name => 'forgotten',
		-start => 0,
		'pool_optimizer.max_tenants' => 10,
		'pool_optimizer.tenant' => q{'%a'});
	start_on_clock($node);
	$node->safe_psql('postgres', 'CREATE EXTENSION pool_optimizer');
	create_roles($node, 'r_any');

	my $restart = sub { $node->stop; set_clock($_[0]); start_on_clock($node) };
	my $apps = sub {
		return $node->safe_psql('postgres', q{SELECT string_agg(tenant, ' ' ORDER BY tenant)
			FROM pool_stats WHERE tenant LIKE 'app%'});
	};

	close_all(as_app("app$_")->wait_login) foreach 1 .. 9;
	is($apps->(), join(' ', map { "app$_" } 1 .. 9), 'the table is full');
	$node->safe_psql('postgres', q{SELECT pool_set_quota('chosen', max_connections => 3)});
	wait_sync($node);
	is(stat_of($node, 'chosen', 'max_connections'), undef, 'a policy finds no place');
	$restart->(0);
	is(stat_of($node, 'chosen', 'max_connections'), '3',
		'after a restart the names in policies have theirs');
	is($apps->(), join(' ', map { "app$_" } 1 .. 8), 'and one of the others has not');

	my $day = 24 * 3600;

	$restart->(100 * $day);
	is($apps->(), join(' ', map { "app$_" } 1 .. 8), 'nobody is forgotten for a long standstill');
	close_all(as_app('app2')->wait_login);
	my $log = -s $node->logfile;

	$restart->(100 * $day);
	is($apps->(), 'app2', 'names that were not used for long are forgotten');
	like(log_since($node, $log), qr/LOG:.* forgets 7 tenants that were not used for 90 days/,
		'which the log says');
	is(stat_of($node, 'chosen', 'max_connections'), '3', 'but not those in policies');
	close_all(as_app('app10')->wait_login);
	is($apps->(), 'app10 app2', 'there is room for others');
	stop_clean($node);
}

# ---------- no slot for the keeper ----------

# Two slots for workers beside the sampler; a parallel query can take them.
$node = new_node(
	-name => 'connections',
	max_connections => 20,
	superuser_reserved_connections => 3,
	max_worker_processes => 3,
	max_logical_replication_workers => 0);
my $super = $node->safe_psql('postgres', 'SELECT current_user');
my $reserved = 3;

create_roles($node, 'r_plain', 'r_other');
if ($node->pg_version >= 16)
{
	$node->append_conf('postgresql.conf', 'reserved_connections = 2');
	$node->restart;
	create_roles($node, 'r_reserved');
	$node->safe_psql('postgres', 'GRANT pg_use_reserved_connections TO r_reserved');
	$reserved += 2;
}
my $admin = open_session($node, $super);
my $hog = open_session($node, $super);

$hog->query('CREATE TABLE rows AS SELECT generate_series(1, 2000) AS k');
$hog->query('ALTER TABLE rows SET (parallel_workers = 2)');
foreach my $setting ('max_parallel_workers_per_gather = 2', 'parallel_setup_cost = 0',
	'parallel_tuple_cost = 0', 'min_parallel_table_scan_size = 0')
{
	$hog->query("SET $setting");
}

sub n_parallel
{
	return $admin->value(
		q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'});
}

# The keeper may have a slot for a moment when the query wants both.
sub take_worker_slots
{
	my $taken = 0;

	return wait_until(sub {
		$hog->send_query(q{SELECT count(*) FROM rows WHERE pg_sleep(10)::text = 'x'});
		wait_until(sub {
			n_parallel() >= 1 || !$hog->update->is_alive || $hog->{state} ne 'busy';
		}, 'a parallel worker');
		$taken = n_parallel() == 2;
		free_worker_slots() unless $taken;
		return $taken;
	}, 'two parallel workers');
}

sub free_worker_slots
{
	$admin->value('SELECT pg_cancel_backend(' . $hog->pid . ')');
	$hog->result;
	return;
}

# What the keeper needs to do meanwhile waits; what needs no keeper is in force at once.
ok(take_worker_slots(), 'a parallel query has all slots for workers');
is($admin->value(q{SELECT pool_sync('0')}), 'f', 'a keeper is asked for');
ok(wait_until(sub {
		($admin->value('SELECT last_error FROM pool_stats_cluster') // '') =~
		  /^no background worker slot is free for the keeper: raise max_worker_processes/;
	}), 'that it has no slot is told in last_error');
is($admin->value(q{SELECT last_error_at IS NOT NULL AND keeper_pid IS NULL
		FROM pool_stats_cluster}), 't', 'with its time; none runs');
$admin->query(q{SELECT pool_set_quota('r_other@postgres', max_connections => 1)});
my $one = open_session($node, 'r_other');

ok($one->is_admitted, 'a policy set without a keeper');
is(refused_sqlstate($node, 'r_other'), '53300', 'is in force');
my $samples = $admin->value('SELECT samples FROM pool_stats_cluster');

ok(wait_until(sub { $admin->value('SELECT samples FROM pool_stats_cluster') > $samples + 3 }),
	'the sampler goes on');
free_worker_slots();
is($admin->value("SELECT pool_sync('${PoolTest::TIMEOUT}s')"), 't',
	'with a slot free again the keeper comes by itself');
is($admin->value('SELECT last_error FROM pool_stats_cluster'), undef, 'and last_error is gone');

# A keeper that was only to tell listeners, and had no slot, leaves the tables' time as it is:
# with a slot again they are read after few that tell something, which are a second apart.
sub set_notify
{
	my ($channel, $events) = @_;

	$node->append_conf('postgresql.conf', "pool_optimizer.notify_channel = '$channel'\n"
		  . "pool_optimizer.notify_events = '$events'\npool_optimizer.notify_rate = 100000");
	$node->reload;
	return ok(wait_until(sub {
				$one->value('SHOW pool_optimizer.notify_events') eq $events
			}), "notify_events is '$events'")
	  && is($admin->value("SELECT pool_sync('${PoolTest::TIMEOUT}s')"), 't', 'and read');
}

set_notify('heard', 'error');
my $listener = open_session($node, $super);

$listener->query('LISTEN heard');
ok(take_worker_slots(), 'all slots are taken again');
ok(wait_until(sub {
		$one->query('SELECT 1/0');
		($admin->value('SELECT last_error FROM pool_stats_cluster') // '') =~
		  /^no background worker slot/;
	}), 'listeners are to be told, and there is no slot');
$samples = $admin->value('SELECT samples FROM pool_stats_cluster');
ok(wait_until(sub { $admin->value('SELECT samples FROM pool_stats_cluster') > $samples + 100 }),
	'for long');
$admin->query(q{SELECT pool_set_alert('refusals', threshold => 5)});
my $n_told = 0;
my $log = -s $node->logfile;
my $is_read = sub { return log_since($node, $log) =~ /alert rules? (?:is|are) in force/; };

free_worker_slots();
while ($n_told < 20 && !$is_read->())
{
	wait_until(sub {
			$one->query('SELECT 1/0');
			scalar(my @told = $listener->notifications) > 0 || $is_read->();
		}, 'something is told');
	$n_told++;
}
cmp_ok($n_told, '<', 20, 'with a slot free again the tables are read soon');
$admin->query(q{SELECT pool_drop_alert('refusals')});
set_notify('', '');
close_all($listener);
close_all($one, $hog);
ok(wait_sessions($node, 'r_other@postgres', 0), 'all but one have left');

# ---------- max_connections ----------

# What core itself says of client backends; not for the session that asks.
sub agrees
{
	return $admin->value(q{
		SELECT c.sessions = (SELECT count(*) FROM pg_stat_activity
				WHERE backend_type = 'client backend')
			AND c.sessions = (SELECT sum(sessions) FROM pool_stats)
			AND c.sessions = (SELECT count(*) FROM pool_stats_session)
		FROM pool_stats_cluster c});
}

ok(wait_until(sub { agrees() eq 't' }), 'counters agree with pg_stat_activity');
is($admin->value('SELECT max_connections FROM pool_stats_cluster'), 20 - $reserved,
	'usable are those that are not reserved');

# Connections that leave keep their slot for a moment after they were counted out.
my @plain;

sub fill
{
	my ($role, $n, $in) = @_;

	return wait_until(sub {
		my $session = open_session($node, $role);

		push @$in, $session if $session->is_admitted;
		return @$in == $n;
	}, "$n sessions of $role");
}

ok(fill('r_plain', 20 - $reserved - 1, \@plain), 'plain sessions take all but the reserved');
my $plain = 'r_plain@postgres';
my @before = split / /, stat_of($node, $plain, q{sessions || ' ' || admitted || ' ' || errors});
my $text = refused($node, 'r_plain');

like($text, qr/^FATAL:  53300: remaining connection slots are reserved/, 'core refuses the next');
ok(wait_sessions($node, $plain, scalar @plain), 'which is counted out again');
is(stat_of($node, $plain, q{admitted || ' ' || errors || ' ' || rejected || ' ' || last_error}),
	join(' ', $before[1] + 1, $before[2] + 1, 0, 'login refused by the server after admission'),
	'and counted as a login that failed after our admission');
my @in = @plain;

if ($node->pg_version >= 16)
{
	my @reserved;

	ok(fill('r_reserved', 2, \@reserved), 'who may use them takes the reserved_connections');
	like(refused($node, 'r_reserved'),
		qr/^FATAL:  53300: remaining connection slots are reserved/, 'and no more');
	push @in, @reserved;
}
my @supers;

ok(fill($super, 3, \@supers), 'superusers take theirs');
push @in, @supers;
my $n_events = $admin->value('SELECT count(*) FROM pool_events');
my $is_full = qr/^FATAL:  53300: sorry, too many clients already/;

like(refused($node, $super), $is_full, 'then nobody gets in, not even a superuser');
like(refused($node, 'r_plain'), $is_full, 'by core alone');
is($admin->value('SELECT sessions FROM pool_stats_cluster'), 20, 'all connections are taken');
is($admin->value(q{SELECT utilization || ' ' || health FROM pool_stats_cluster}), '1 critical',
	'which is critical');
ok(wait_until(sub { agrees() eq 't' }), 'counters agree with pg_stat_activity');
foreach my $view (qw(pool_stats pool_stats_cluster pool_stats_session pool_recommendations
	pool_events pool_policies))
{
	ok($admin->query("SELECT * FROM $view"), "$view can be read by a superuser who is in");
}
$samples = $admin->value('SELECT samples FROM pool_stats_cluster');
ok(wait_until(sub { $admin->value('SELECT samples FROM pool_stats_cluster') > $samples + 3 }),
	'the sampler goes on');
is($admin->value("SELECT pool_sync('${PoolTest::TIMEOUT}s')"), 't',
	'the keeper, too: it needs a slot for workers only');
ok(wait_until(sub {
		$admin->value(q{SELECT count(*) FROM pool_events WHERE kind = 'alert'
			AND tenant IS NULL AND reason LIKE '% of % connections are taken%'
			AND detail->'tenants' ? 'r_plain@postgres'}) == 1;
	}), 'an alert has said so, and who has them');

# The way out that does not need a login.
is($admin->value(q{SELECT count(*) FROM
		pool_set_quota('r_plain@postgres', max_connections => 5)}), 1, 'a lower quota is set');
ok(wait_until(sub { 5 == grep { $_->is_alive } @plain }), 'and makes room');
is((scalar grep { $_->is_alive } @supers), 3, 'superusers are spared');
my $newcomer;

ok(wait_until(sub {
		$newcomer = open_session($node, 'r_other');
		return $newcomer->is_admitted;
	}), 'others get in again');
ok(wait_until(sub { agrees() eq 't' }), 'counters agree with pg_stat_activity');

close_all($newcomer, grep { $_->is_alive } @in);
ok(wait_until(sub { $admin->value('SELECT sessions FROM pool_stats_cluster') == 1 }),
	'all have left');
ok(wait_until(sub {
		$admin->value(q{SELECT count(*) FROM pool_events WHERE kind = 'alert'
			AND reason LIKE 'connections are free again: %'}) == 1;
	}), 'the alert is called off');
is($admin->value('SELECT health FROM pool_stats_cluster'), 'healthy', 'health is good');
$admin->query(q{SELECT pool_drop_policy('r_plain@postgres')});
@plain = ();
ok(fill('r_plain', 20 - $reserved - 1, \@plain), 'as many get in as before');
ok(wait_until(sub { agrees() eq 't' }), 'counters agree with pg_stat_activity');
close_all(@plain, $admin);
unlike(log_since($node, 0), qr/has corrected its count|in unseen/, 'no count was off at any time');

stop_clean($node);
done_testing();
