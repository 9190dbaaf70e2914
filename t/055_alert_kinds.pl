# Alerts that need something to happen for a while: a forecast while sessions leak, a load
# that is unusual, transactions left open that block others or hold back vacuum, a late
# sampler, a PgBouncer that is not there; more alerts than there is room for.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

# A forecast and what is usual are learnt in samples: ten times as fast as by default.
my $node = new_node(max_connections => 150, superuser_reserved_connections => 3);
my $super = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, qw(r_leak r_usual r_lock r_wait r_old r_harmless));
my $admin = open_session($node, $super);

sub samples { return $admin->value('SELECT samples FROM pool_stats_cluster'); }

sub raised
{
	my ($alert, $tenant) = @_;
	my $whose = defined $tenant ? "tenant = '$tenant\@postgres'" : 'tenant IS NULL';

	return $admin->value("SELECT coalesce((SELECT severity || ': ' || message FROM pool_alerts
		WHERE alert = '$alert' AND $whose), '')");
}

sub raises
{
	my ($alert, $tenant, $pattern, $what) = @_;

	return ok(wait_until(sub { raised($alert, $tenant) =~ $pattern }, $what), $what)
	  || diag("'" . raised($alert, $tenant) . "'");
}

sub detail
{
	my ($alert, $key) = @_;

	return $admin->value("SELECT detail->>'$key' FROM pool_events WHERE kind = 'alert'
		AND detail->>'alert' = '$alert' AND detail->>'state' = 'raised' ORDER BY at DESC LIMIT 1");
}

sub rule
{
	my ($alert, $more) = @_;

	return $admin->value("SELECT count(*) FROM pool_set_alert('$alert', for_duration => '0',
		clear_after => '0'$more)");
}

rule('tenant_exhaustion', '');
rule('cluster_exhaustion', '');
rule('anomaly', ', threshold => 2');
rule('idle_in_transaction', ', threshold => 1');
rule('sampler_late', ', threshold => 0.01');
# However late it is on a slow machine.
rule('sampler_late', q{, severity => 'critical', enabled => false});
rule('leak_growth', '');
$admin->query(q{SELECT pool_set_quota('r_leak@postgres', 140)});
$admin->query('CREATE TABLE t AS SELECT 1 AS i');
$admin->query('GRANT ALL ON t TO PUBLIC');
wait_sync($node);

# ---------- what is usual begins to be learnt ----------

# One session, busy now and then.
my $usual = open_session($node, 'r_usual');
my $learning_since = samples();

sub keep_going { $usual->query('SELECT 1'); return; }

# ---------- a leak: full in so many minutes ----------

my @leaked;
my $next_leak = 0;

# One more about every third of a second.
sub leak
{
	keep_going();
	return if time() < $next_leak || @leaked >= 110;
	push @leaked, open_session($node, 'r_leak', application_name => 'lea"ky');
	$next_leak = time() + 0.4;
	return;
}

ok(wait_until(sub { leak(); return raised('tenant_exhaustion', 'r_leak') ne ''; }, 'forecast'),
	'sessions that leak are forecast to fill the quota');
like(raised('tenant_exhaustion', 'r_leak'),
	qr/^(?:warning|critical): full in \d+ (?:seconds|minutes) at this rate: \d+ of 140 connections are in use$/,
	'it says when');
my $minutes = $admin->value(q{SELECT value FROM pool_alerts WHERE alert = 'tenant_exhaustion'});
my $in_use = $admin->value(q{SELECT sessions FROM pool_stats WHERE tenant = 'r_leak@postgres'});

cmp_ok($minutes, '>', 0, 'in the future');
cmp_ok($minutes, '<', 10, 'in a few minutes');
cmp_ok($in_use, '<', 120, 'long before it is full');
ok(wait_until(sub { leak(); return raised('cluster_exhaustion') ne ''; }, 'cluster'),
	'the cluster, too');
like(raised('cluster_exhaustion'),
	qr/^(?:warning|critical): full in .* at this rate: \d+ of 147 connections are taken$/, 'it says so');
ok(wait_until(sub { leak(); return raised('leak_growth', 'r_leak') ne ''; }, 'growth'),
	'nobody uses them again: a leak that grows');
like(raised('leak_growth', 'r_leak'), qr/^warning: growth: one application opens sessions that are not reused, \d+ by now \(probability of a leak 0\.\d\d\)$/,
	'it says how many');
is(detail('leak_growth', 'application'), 'lea"ky', 'and whose');

# What was raised is taken over by another sampler, which cannot know yet that it is over.
my $forecast_id = q{SELECT coalesce(min(id), 0) FROM pool_alerts WHERE alert = 'tenant_exhaustion'};

ok(wait_until(sub { leak(); return $admin->value($forecast_id) > 0; }, 'forecast'), 'the forecast stands');
my $id = $admin->value($forecast_id);
my $first_sampler = cluster_stat($node, 'sampler_pid');

# The next one learns on when it first sees a tenant.
my $learnt = samples() - $learning_since;
kill 'TERM', $first_sampler;
ok(wait_until(sub {
			leak();
			return $admin->value("SELECT coalesce(sampler_pid, $first_sampler) <> $first_sampler FROM pool_stats_cluster") eq 't';
		}), 'a new sampler');
my $samples = samples();

ok(wait_until(sub { leak(); return samples() > $samples + 300; }), 'works for a while');
is($admin->value($forecast_id), $id, 'what needs time to be known stays raised meanwhile');
close_all(splice @leaked);
keep_going();
$learning_since = samples() - $learnt;
ok(wait_until(sub { keep_going(); return raised('leak_growth', 'r_leak') eq ''; }, 'over'),
	'without them there is no leak');
ok(wait_until(sub { keep_going(); return raised('tenant_exhaustion', 'r_leak') eq ''; }, 'over'),
	'without growth there is no forecast');
ok(wait_until(sub { keep_going(); return raised('cluster_exhaustion') eq ''; }, 'over'),
	'nor of the cluster');

# ---------- unusual load ----------

# Thirty pieces of a second at least, of a hundred samples, or fewer if they are late: which the leak
# has taken for the most part.
ok(wait_until(sub { keep_going(); return samples() > $learning_since + 3300; }),
	'what is usual is learnt');
is(raised('anomaly', 'r_usual'), '', 'and is no anomaly');
my @storm = map { open_session($node, 'r_usual') } 1 .. 20;

$_->send_query('SELECT pg_sleep(3600)') foreach @storm;
raises('anomaly', 'r_usual', qr/^warning: (?:19|20)\.\d sessions were busy on average in the last 1 s, usual are 0\.\d: \d\.\d deviations more$/,
	'twenty times the usual is');
like(detail('anomaly', 'busy'), qr/^\d+\.\d+$/, 'with its figures');
$admin->query(q{SELECT pg_cancel_backend(pid) FROM pool_stats_session WHERE tenant = 'r_usual@postgres' AND state = 'active'});
$_->result foreach @storm;
raises('anomaly', 'r_usual', qr/^$/, 'when it is over, so is the alert');
close_all(@storm);

# What is usual is not forgotten with pieces of another length.
foreach my $interval (qw(20ms 10ms))
{
	$admin->query("ALTER SYSTEM SET pool_optimizer.sample_interval = '$interval'");
	$node->reload;
	$samples = samples();
	ok(wait_until(sub { keep_going(); return samples() > $samples + 300; }), "samples each $interval");
}
@storm = map { open_session($node, 'r_usual') } 1 .. 20;
$_->send_query('SELECT pg_sleep(3600)') foreach @storm;
raises('anomaly', 'r_usual', qr/^warning: /, 'another storm');
cmp_ok(detail('anomaly', 'usual'), '>', 0.005, 'what is usual is known still');
$admin->query(q{SELECT pg_cancel_backend(pid) FROM pool_stats_session WHERE tenant = 'r_usual@postgres' AND state = 'active'});
$_->result foreach @storm;
raises('anomaly', 'r_usual', qr/^$/, 'over as well');
close_all(@storm);

# ---------- transactions left open ----------

my $lock = open_session($node, 'r_lock');
my $harmless = open_session($node, 'r_harmless');

$harmless->query('BEGIN');
$lock->query('BEGIN');
$lock->query('LOCK TABLE t');
my @waiters = map { open_session($node, 'r_wait') } 1 .. 2;

$_->send_query('SELECT * FROM t') foreach @waiters;
my $pids = join '|', map { $_->pid } @waiters;
my $lock_pid = $lock->pid;

raises('idle_in_transaction', 'r_lock',
	qr/^warning: session $lock_pid has been idle in its transaction for \d+ s; 2 sessions wait behind its locks(?:;|$)/,
	'a session that blocks others');
is(detail('idle_in_transaction', 'pid'), $lock_pid, 'who it is');
is($admin->value(q{SELECT count(*) FROM pool_events WHERE kind = 'alert' AND
		jsonb_array_length(detail->'blocked') = (detail->>'waiting_behind')::int}), '1', 'and whom it blocks');
is(raised('idle_in_transaction', 'r_wait'), '', 'those that wait are not to blame');
is(raised('idle_in_transaction', 'r_harmless'), '', 'nor is one that does no harm');
is($lock->value(q{SELECT message ~ 'wait behind its locks' FROM pool_alerts WHERE alert = 'idle_in_transaction'}), 't',
	'its own tenant can read it');
is($lock->value(qq{SELECT (SELECT count(*) FROM pool_alerts WHERE message ~ '\\m($pids)\\M')
		+ (SELECT count(*) FROM pool_events WHERE reason ~ '\\m($pids)\\M')}), '0',
	'and finds no pid of another tenant in it');
$lock->query('ROLLBACK');
$_->result foreach @waiters;
raises('idle_in_transaction', 'r_lock', qr/^$/, 'when it has ended, so has the alert');
close_all(@waiters, $lock);

my $old = open_session($node, 'r_old');

$old->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
$old->query('SELECT * FROM t');
$admin->query("UPDATE t SET i = i + 1") for 1 .. 20;
my $old_pid = $old->pid;

raises('idle_in_transaction', 'r_old',
	qr/^warning: session $old_pid has been idle in its transaction for \d+ s; vacuum is held back by [12]\d transactions$/,
	'a session that holds back vacuum');
$old->query('ROLLBACK');
raises('idle_in_transaction', 'r_old', qr/^$/, 'until it has ended');
is(raised('idle_in_transaction', 'r_harmless'), '', 'the harmless one is left in peace');
close_all($harmless);

# More that do harm than are looked at in a second: the one that has been idle for longest is told.
$old->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
$old->query('SELECT * FROM t');
my @younger = map { open_session($node, 'r_old') } 1 .. 45;
foreach my $session (@younger)
{
	$session->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
	$session->query('SELECT * FROM t');
}
$admin->query("UPDATE t SET i = i + 1") for 1 .. 20;
raises('idle_in_transaction', 'r_old', qr/^warning: session $old_pid has been/, 'the oldest of many');
my %told;

$samples = samples();
ok(wait_until(sub {
			$told{ $1 } = 1 if raised('idle_in_transaction', 'r_old') =~ /session (\d+)/;
			return samples() > $samples + 600;
		}), 'for some seconds');
is(join(' ', keys %told), $old_pid, 'and stays so');
close_all($old, @younger);

# More of them than are looked at in a second: the one that does harm is found all the same.
my @many = map { open_session($node, 'r_harmless') } 1 .. 40;

$_->query('BEGIN') foreach @many;
$lock = open_session($node, 'r_lock');
$lock->query('BEGIN');
$lock->query('LOCK TABLE t');
my $waiter = open_session($node, 'r_wait');

$waiter->send_query('SELECT * FROM t');
raises('idle_in_transaction', 'r_lock', qr/1 session waits behind its locks/, 'one among many');
is(raised('idle_in_transaction', 'r_harmless'), '', 'and only that');
close_all($lock, @many);
$waiter->result;
close_all($waiter);

# ---------- a late sampler ----------

my $sampler = cluster_stat($node, 'sampler_pid');
my $late = time() + 1.5;

kill 'STOP', $sampler;
ok(wait_until(sub { time() > $late }), 'the sampler is stopped for a while');
kill 'CONT', $sampler;
raises('sampler_late', undef, qr/^warning: the sampler is late: \d+ samples \(\d+ %\) of the last minute were not taken$/,
	'which it tells when it runs again');

# ---------- a PgBouncer that is not there ----------

sub poolers
{
	my ($conninfo) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET pool_optimizer.pgbouncer_conninfo = '$conninfo'");
	$node->reload;
	return;
}

poolers('host=127.0.0.1 port=1;host=127.0.0.1 port=2');
ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pool_alerts WHERE alert = 'pooler_unreachable'}) == 2 }),
	'two that cannot be reached are two alerts');
like($admin->value(q{SELECT string_agg(message, '; ' ORDER BY message) FROM pool_alerts
		WHERE alert = 'pooler_unreachable'}),
	qr/^PgBouncer 127\.0\.0\.1:1 cannot be reached; PgBouncer 127\.0\.0\.1:2 cannot be reached$/, 'by name');
ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pool_events
		WHERE detail->>'alert' = 'pooler_unreachable' AND detail->>'pooler' ~ '^127'
		AND detail->>'pooler_state' = 'unreachable' AND detail->>'error' <> ''}) == 2 }, 'events'),
	'with what was the matter');
kill 'TERM', $sampler;
ok(wait_until(sub { $admin->value("SELECT coalesce(sampler_pid, $sampler) <> $sampler FROM pool_stats_cluster") eq 't' }),
	'a new sampler');
poolers('host=127.0.0.1 port=2');
ok(wait_until(sub { $admin->value(q{SELECT string_agg(message, '; ') FROM pool_alerts
		WHERE alert = 'pooler_unreachable'}) eq 'PgBouncer 127.0.0.1:2 cannot be reached' }),
	'one that is not asked any more has no alert, and the other one keeps it');
is($admin->value(q{SELECT count(*) FROM pool_events WHERE detail->>'alert' = 'pooler_unreachable'
		AND detail->>'state' = 'raised'}), '2', 'nothing is told twice');
rule('pooler_unreachable', ', enabled => false');
ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pool_alerts WHERE alert = 'pooler_unreachable'}) == 0 }),
	'one that is switched off is over');
is($admin->value(q{SELECT count(*) FROM pool_events WHERE reason ~ '127.0.0.1:2 answers again'}), '0',
	'but nobody says that it answers');
rule('pooler_unreachable', ', enabled => true');
ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pool_alerts WHERE alert = 'pooler_unreachable'}) == 1 }),
	'switched on it is told again');
poolers('');
ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pool_alerts WHERE alert = 'pooler_unreachable'}) == 0 }),
	'without any there is none');
is(cluster_stat($node, 'worker_errors'), '0', 'no error was met on the way');
stop_clean($node);

# ---------- more than there is room for ----------

# 60 tenants have 79 places, of which the cluster keeps 32 for itself.
$node = new_node(-name => 'full', max_connections => 70, 'pool_optimizer.max_tenants' => 60,
	'pool_optimizer.tenant' => "'%a'", superuser_reserved_connections => 3);
create_roles($node, 'r_many');
$admin = open_session($node, $super);
rule($_, '') foreach qw(tenant_utilization cluster_utilization);
$admin->query(q{SELECT pool_set_alert(a, 'critical', for_duration => '0', clear_after => '0')
	FROM unnest(ARRAY['tenant_utilization', 'cluster_utilization']) a});
$admin->query(q{SELECT pool_set_quota('t*', 1)});
wait_sync($node);

# With names that nobody would choose: the application's is the tenant's here.
my @odd = (q{t<script>"'%}, q{t%s%n%d}, q{t\\u0000}, q{t$1;--});
my @places = map { open_session($node, 'r_many', application_name => $odd[$_] // "t$_") } 0 .. 54;
my $raised = q{SELECT count(*) FROM pool_alerts WHERE alert = 'tenant_utilization'};

ok(wait_until(sub { $admin->value($raised) == 47 }, 'full'), 'no more than there is room for');
ok(wait_until(sub { log_since($node, 0) =~ /LOG:  pool_optimizer has no room for more than 79 alerts at a time/ }),
	'which is told');
ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pool_alerts WHERE tenant IS NULL
		AND alert = 'cluster_utilization'}) == 1 }), 'there is room for the cluster\'s');
$samples = cluster_stat($node, 'samples');
ok(wait_until(sub { cluster_stat($node, 'samples') > $samples + 300 }), 'time passes');
is(scalar(() = log_since($node, 0) =~ /has no room for more than/g), 1, 'once');
is($admin->value($raised), 47, 'those that were raised stay');

# Who has no alert yet has one as soon as others' are over.
my $without = $admin->value(q{SELECT count(*) FROM pool_stats s WHERE tenant LIKE 't%' AND NOT EXISTS
	(SELECT FROM pool_alerts a WHERE a.tenant = s.tenant)});

is($without, 55 - 47, 'some have none');
my @first = splice @places, 0, 20;

close_all(@first);
ok(wait_until(sub { $admin->value($raised) == 35 }, 'room'), 'a place that is free is taken');
is($admin->value(q{SELECT count(*) FROM pool_alerts WHERE tenant ~ '^t([4-9]|1\d)$'}), 0,
	'of those that are over none is left');
ok(wait_until(sub { $admin->value(q{SELECT count(DISTINCT tenant) FROM pool_events
		WHERE kind = 'alert' AND detail->>'state' = 'cleared'
		AND tenant IN ($$t<script>"'%$$, 't%s%n%d', $$t\u0000$$, 't$1;--')}) == 4 }, 'events'),
	'odd names are told as they are');
close_all(@places);
ok(wait_until(sub { $admin->value($raised) == 0 }, 'none'), 'at last there is none');
is($admin->value(q{SELECT count(*) FROM (SELECT detail->>'id' FROM pool_events WHERE kind = 'alert'
		AND detail->>'alert' = 'tenant_utilization' GROUP BY 1
		HAVING count(*) FILTER (WHERE detail->>'state' = 'raised') <> 1
			OR count(*) FILTER (WHERE detail->>'state' = 'cleared') <> 1) x}), '0',
	'each was raised once and cleared once');
is(cluster_stat($node, 'worker_errors'), '0', 'no error was met on the way');
stop_clean($node);
done_testing();
