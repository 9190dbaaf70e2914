# History in shared memory: what happened is told once, at every resolution, and by rings
# that are too small, after the sampler was killed and with a clock that was set, too.
#
# The server's clock can be set (clock.c), so minutes pass as the test wants.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

plan skip_all => 'needs a C compiler' unless build_clock();

my @resolutions = ('1 s', '2 s', '4 s', '10 s', '15 s', '30 s', '1 min', '5 min', '20 min',
	'1 h', '8 h', '1 day', '7 days', '30 days');

my $node = new_node(
	-name => 'history',
	-start => 0,
	'pool_optimizer.max_tenants' => 60,
	'pool_optimizer.tenant' => "'%u %L'");

# A Monday, five seconds past nine.
my $ahead = 1894006805 - time;		# 2030-01-07 09:00:05 UTC
set_clock($ahead);
start_on_clock($node);
$node->safe_psql('postgres', 'CREATE EXTENSION pool_optimizer');
create_roles($node, qw(r_a r_b r_c));

my $super = $node->safe_psql('postgres', 'SELECT current_user');
my $admin = open_session($node, $super, options => '-c pool_optimizer.label=admin');

# The present second and the buckets before are let go by.
sub let_pass
{
	my ($seconds) = @_;

	$ahead += $seconds;
	set_clock($ahead);
	return wait_samples($admin, 3);
}

# Five seconds of it have passed then, however long the last one took.
sub next_minute
{
	return let_pass($admin->value('SELECT 65 - floor(extract(second FROM clock_timestamp()))'));
}

sub login
{
	my ($role, $label, %opt) = @_;

	return open_session($node, $role, options => "-c pool_optimizer.label=$label", %opt);
}

# What all buckets of a tenant sum up to: by resolution.
sub totals
{
	my ($resolution, $tenant) = @_;

	return $admin->value(qq{SELECT concat_ws(' ', sum(transactions), sum(rejected),
		sum(terminated), sum(errors), max(sessions_max), max(busy_max), max(waiting_max))
		FROM pool_stats_history('$resolution') WHERE tenant = '$tenant'});
}

# No bucket twice, none that reaches into the next one.
sub check_seams
{
	my ($what) = @_;

	foreach my $resolution (@resolutions)
	{
		foreach my $from ("pool_stats_history('$resolution')",
			"(SELECT *, '' AS tenant FROM pool_stats_cluster_history('$resolution')) c")
		{
			is($admin->value(qq{SELECT coalesce(string_agg(format('%s %s %s %s', tenant, bucket_start,
				bucket_ms, next), '; '), '') FROM (SELECT *, lead(bucket_start)
					OVER (PARTITION BY tenant ORDER BY bucket_start) AS next FROM $from) h
				WHERE bucket_start + bucket_ms * interval '1 ms' > next OR bucket_start = next
				OR bucket_ms <= 0}), '', "$what: no overlap in $from");
		}
	}
	return;
}

# ---------- one tenant, known to the last transaction ----------

my $tenant = 'r_a x';

$node->safe_psql('postgres', qq{SELECT pool_set_quota('$tenant', 3)});
wait_sync($node);

my @a = map { login('r_a', 'x') } 1 .. 3;

ok(login('r_a', 'x')->is_refused, 'one is refused') for 1, 2;
$a[0]->query('SELECT 1') for 1 .. 40;
$a[1]->query('SELECT 1 / 0');
$a[1]->query('BEGIN');
let_pass(0);
foreach my $second (1 .. 12)
{
	let_pass(1);
	$a[0]->query('SELECT 1') for 1 .. 5;
}
$a[1]->query('COMMIT');
$a[2]->quit;
$a[2]->wait_closed;
ok(wait_sessions($node, $tenant, 2), 'one has left');

# All that was counted is in a bucket with the next sample.
my $transactions;

sub all_counted
{
	return wait_until(sub {
		$transactions = stat_of($node, $tenant, 'transactions');
		$admin->value(qq{SELECT sum(transactions) FROM pool_stats_history('1 min')
			WHERE tenant = '$tenant'}) == $transactions;
	}, 'all transactions');
}
ok(all_counted(), 'all transactions are in the minute');
is($transactions, 40 + 12 * 5 + 1 + 1, 'as many as were run');
# A statement may be caught at work beside the open transaction, or not.
sub told_once
{
	my ($when) = @_;

	like(totals($_, $tenant), qr/^$transactions 2 0 3 3 [12] 0$/, "${when}told once at $_")
	  foreach @resolutions;
	return;
}
told_once('');
cmp_ok($admin->value(qq{SELECT count(*) FROM pool_stats_history('1 s')
		WHERE tenant = '$tenant' AND transactions BETWEEN 1 AND 10 AND bucket_ms = 1000}),
	'>', 5, 'by the second')
  or diag($admin->value(qq{SELECT string_agg(format('%s %s %s', bucket_start, bucket_ms,
		transactions), '; ' ORDER BY bucket_start) FROM pool_stats_history('1 s')
		WHERE tenant = '$tenant'}));
is($admin->value(qq{SELECT coalesce(string_agg(h::text, '; '), '')
		FROM pool_stats_history('1 s') h WHERE tenant = '$tenant' AND (busy_avg <= busy_max
		AND sessions_avg <= sessions_max AND busy_avg <= sessions_avg + 1e-6
		AND sessions_max BETWEEN 2 AND 3
		AND max_connections = 3 AND (transactions = 0 OR bucket_ms < 1000 OR
			(xact_p50_ms <= xact_p95_ms AND xact_p95_ms <= xact_p99_ms))) IS FALSE}), '', 'and sound');
# One session was in a transaction for whole seconds.
cmp_ok($admin->value(qq{SELECT max(busy_avg) FROM pool_stats_history('1 s',
		for_tenant => '$tenant')}), '>', 0.9, 'busy_avg tells of a session in a transaction');
check_seams('after seconds');

# ---------- minutes pass; a quiet tenant stays visible ----------

foreach my $minute (1 .. 3)
{
	next_minute();
	$a[0]->query('SELECT 1') for 1 .. 7;
}
$transactions += 21;
ok(all_counted(), 'all transactions are in minutes');
told_once('minutes later, ');
is($admin->value(qq{SELECT string_agg(transactions::text, ' ' ORDER BY bucket_start)
		FROM pool_stats_history WHERE tenant = '$tenant'}), '102 7 7 7',
	'the view has each minute');
is($admin->value(qq{SELECT count(*) = count(*) FILTER (WHERE bucket_ms = 60000)
		FROM (SELECT * FROM pool_stats_history WHERE tenant = '$tenant'
			ORDER BY bucket_start LIMIT 3) h}), 't', 'of a minute each');
check_seams('after minutes');
next_minute() for 1, 2;
is($admin->value(qq{SELECT string_agg(format('%s %s', sessions_avg, transactions), ' '
			ORDER BY bucket_start DESC)
		FROM (SELECT * FROM pool_stats_history WHERE tenant = '$tenant'
			ORDER BY bucket_start DESC LIMIT 2) h}), '2 0 2 0', 'idle sessions are told of, too');

# ---------- terminated, waiting, failed logins ----------

$node->safe_psql('postgres', q{SELECT pool_set_quota('r_b y', 1, on_full => 'wait',
	wait_timeout => '10 min')});
wait_sync($node);
my $b = login('r_b', 'y');
my $waits = start_login($node, 'r_b', options => '-c pool_optimizer.label=y');

ok($node->poll_query_until('postgres', q{SELECT waiting = 1 FROM pool_stats
		WHERE tenant = 'r_b y'}), 'a login waits');
$node->safe_psql('postgres', q{
	SELECT pool_set_timeouts('r_b y', idle => '10ms', never_used => '10ms')});
$b->wait_closed;
$waits->wait_login;
$waits->wait_closed;
ok($node->poll_query_until('postgres', q{SELECT sum(terminated) = 2 AND sum(errors) = 2
		AND max(waiting_max) = 1 AND max(sessions_max) = 1
		FROM pool_stats_history WHERE tenant = 'r_b y'}), 'terminations and waiting logins')
  or diag($node->safe_psql('postgres', q{SELECT * FROM pool_stats_history}));

# ---------- the cluster ----------

foreach my $resolution (@resolutions)
{
	is($admin->value(qq{SELECT count(*) FROM
			(SELECT sum(rejected) AS r, sum(terminated) AS t, sum(errors) AS e
				FROM pool_stats_history('$resolution')) h
			JOIN (SELECT sum(rejected) AS r, sum(terminated) AS t, sum(errors) AS e
				FROM pool_stats_cluster_history('$resolution')) c USING (r, t, e)}), '1',
		"the cluster is the sum of its tenants at $resolution");
}
is($admin->value(q{SELECT bool_and(utilization_max > 0 AND utilization_max <= 1 AND
		sessions_max >= 1 AND max_connections > 0) FROM pool_stats_cluster_history}), 't',
	'the cluster is sound');
ok(wait_until(sub {
		# Of one moment: both read in one statement, the sampler goes on in between.
		$admin->value(q{SELECT abs((SELECT sum(transactions) FROM pool_stats_history) -
			(SELECT sum(transactions) FROM pool_stats_cluster_history)) <= 5}) eq 't';
	}, 'transactions of the cluster'), 'and so are transactions');

# ---------- arguments, and who may see what ----------

foreach my $bad (q{NULL}, q{'0 s'}, q{'-1 s'}, q{'1.5 s'}, q{'500 ms'}, q{'7 s'}, q{'2 min'}, q{'90 s'},
	q{'5 h'}, q{'25 h'}, q{'367 days'}, q{'-infinity'},
	q{'infinity'}, q{'1 min', for_tenant => ''})
{
	next if $bad =~ /infinity/ && $node->pg_version < 17;
	$admin->query("SELECT * FROM pool_stats_history($bad)");
	is($admin->sqlstate, '22023', "pool_stats_history($bad) is refused");
	next if $bad =~ /for_tenant/;
	$admin->query("SELECT * FROM pool_stats_cluster_history($bad)");
	is($admin->sqlstate, '22023', "pool_stats_cluster_history($bad) is refused");
}
is($admin->value("SELECT count(*) FROM pool_stats_history('1 s', $_)"), '0', "nothing $_")
  foreach q{since => 'infinity'}, q{until => '-infinity'}, q{until => '2020-01-01'},
  q{for_tenant => 'nobody'};
is($admin->value(qq{SELECT sum(transactions) FROM pool_stats_history('1 min',
		since => '-infinity', until => 'infinity', for_tenant => '$tenant')}), $transactions,
	'since ever');
is($admin->value(qq{SELECT sum(n) FROM (SELECT sum(transactions) AS n FROM
		pool_stats_history('1 min', until => '2030-01-07 09:02+0', for_tenant => '$tenant')
		UNION ALL SELECT sum(transactions) FROM pool_stats_history('1 min',
			since => '2030-01-07 09:02+0', for_tenant => '$tenant')) h}), $transactions,
	'until and since meet');

my $c = login('r_c', 'z');

ok(wait_until(sub { $c->value('SELECT count(DISTINCT tenant) FROM pool_stats_history') }),
	'a plain role sees its own tenant');
is($c->value('SELECT min(tenant) FROM pool_stats_history'), 'r_c z', 'which is its own');
$c->query("SELECT * FROM pool_stats_history('1 s', for_tenant => '$tenant')");
is($c->sqlstate, '42501', 'another tenant is denied');
$c->query(q{SELECT * FROM pool_stats_history('1 s', for_tenant => 'nobody')});
is($c->sqlstate, '42501', 'in the same words as one that does not exist');
is($c->value(q{SELECT bool_and(sessions_avg IS NOT NULL AND busy_avg IS NULL AND busy_max IS NULL
		AND rejected IS NULL AND terminated IS NULL AND errors IS NULL AND transactions IS NULL
		AND xact_p50_ms IS NULL AND xact_p95_ms IS NULL AND xact_p99_ms IS NULL)
		FROM pool_stats_cluster_history}), 't', 'of the cluster it sees how full it is');

# ---------- the sampler is killed; statistics are reset ----------

$node->safe_psql('postgres', q{SELECT pg_terminate_backend(sampler_pid) FROM pool_stats_cluster});
$a[0]->query('SELECT 1') for 1 .. 9;
ok($node->poll_query_until('postgres', q{SELECT sampler_pid IS NOT NULL AND
		last_sample > now() - interval '1 s' FROM pool_stats_cluster}), 'the sampler is back');
$transactions += 9;
ok(all_counted(), 'and has lost nothing');
$a[0]->query('SELECT 1') for 1 .. 11;
$node->safe_psql('postgres', 'SELECT pool_reset_stats()');
$a[0]->query('SELECT 1') for 1 .. 13;
$transactions += 24;
ok(wait_until(sub { (split / /, totals('1 min', $tenant))[0] == $transactions }, 'reset'),
	'a reset of statistics takes nothing from the history')
  or diag(totals('1 min', $tenant) . " instead of $transactions");
check_seams('after a kill');

# ---------- odd names ----------

my @odd = (q{<script>alert(1)</script>}, q{'; DROP TABLE x; --}, "\x{c3}\x{a4}\x{e2}\x{82}\x{ac}",
	'100%', '(other)', 'a\\b"c', 'x' x 63);
my @held = map { login('r_c', '', startup => { 'pool_optimizer.label' => $_ }) } @odd;

let_pass(1);
is($admin->value(q{SELECT count(DISTINCT tenant) FROM pool_stats_history('1 s')
		WHERE tenant LIKE 'r\_c %'}), 1 + @odd, 'odd names are names');
close_all(@held);

# ---------- more tenants than the rings have room for ----------

close_all(@a, $b, $c, $waits);
$node->append_conf('postgresql.conf', q{
pool_optimizer.history_second_rows = 100
pool_optimizer.history_ten_second_rows = 100
pool_optimizer.history_minute_rows = 200});
$admin->quit;
$admin->wait_closed;
$node->stop;
start_on_clock($node);
$admin = open_session($node, $super, options => '-c pool_optimizer.label=admin');
let_pass(0);
my @many = map { login('r_a', "n$_") } 1 .. 30;

foreach my $second (1 .. 14)
{
	$_->query('SELECT 1') foreach @many;
	let_pass($second % 5 ? 1 : 61);
}
is($admin->value(q{SELECT count(DISTINCT tenant) FROM pool_stats_history('1 s')
		WHERE tenant LIKE 'r_a n%'}), '30', 'every tenant has rows');
cmp_ok($admin->value(q{SELECT count(*) FROM pool_stats_history('1 s') WHERE bucket_ms = 1000
		AND tenant LIKE 'r_a n%'}), '>', 0, 'some by the second');
is($admin->value(q{SELECT count(DISTINCT bucket_start) BETWEEN 3 AND 7 FROM pool_stats_history
		WHERE tenant LIKE 'r_a n%'}), 't', 'minutes are kept as long as there is room');
is($admin->value(q{SELECT bool_and(n <= 14 AND n >= 5) FROM (SELECT sum(transactions) AS n
		FROM pool_stats_history('1 s') WHERE tenant LIKE 'r_a n%' GROUP BY tenant) h}), 't',
	'and told at most once');
check_seams('with small rings');
close_all(@many);

# ---------- the clock is set back ----------

my $before = $admin->value(q{SELECT sum(transactions) FROM pool_stats_history('1 min')
	WHERE tenant = 'r_a back'});
my $back = login('r_a', 'back');

$back->query('SELECT 1') for 1 .. 10;
let_pass(0);
next_minute();
$back->query('SELECT 1') for 1 .. 10;
let_pass(0);
let_pass(-90);
$back->query('SELECT 1') for 1 .. 10;
let_pass(0);
is($admin->value(q{SELECT sum(transactions) FROM pool_stats_history('1 min')
		WHERE tenant = 'r_a back' AND bucket_start > clock_timestamp()}) // 'none', 'none',
	'nothing of the future is told');
check_seams('with the clock set back');
next_minute();
next_minute();
is(totals($_, 'r_a back') =~ /^(\d+) /, 1, "with the clock set back, at $_") foreach '1 min';
is((split / /, totals($_, 'r_a back'))[0], '30', "the minutes lived twice are merged, at $_")
  foreach @resolutions;
check_seams('and has caught up');

close_all($back, $admin);
stop_clean($node);
done_testing();
