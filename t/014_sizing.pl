# Recommended sizes for workloads whose concurrency is known beforehand.
#
# The textbook case: 12 clients, each busy half of the time (a query of 50 ms, then a
# pause of 50 ms on average), so the offered load is a = 12 x 0.5 = 6 Erlangs.
# Erlang C (A. K. Erlang 1917; tables in R. B. Cooper, Introduction to Queueing Theory,
# 1981) gives the probability of waiting C(7, 6) = 0.614 and C(8, 6) = 0.357, so with
# constant service times (Allen-Cunneen, A. O. Allen 1990, eq. 5.80: half of M/M/c) the
# mean wait is 0.614 x 50 ms / (7 - 6) / 2 = 15.3 ms for 7 connections and
# 0.357 x 50 ms / (8 - 6) / 2 = 4.5 ms for 8.  The target is 10 ms: 8 it is.
#
# Timers of a loaded machine stretch pauses and queries alike, so the load measured is
# not exactly 6.  The size must be what the formulas, computed here once more, give for
# what was measured, with one connection more or less: the test reads its numbers in
# one instant, but 8 is right for loads of 5.6 to 6.7 only.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = new_node(
	-name => 'sizing',
	'pool_optimizer.mode' => 'observe',
	'pool_optimizer.sample_interval' => '20ms');

create_roles($node, qw(r_half r_client r_lock r_full r_fail r_few r_less));
$node->safe_psql('postgres', q{
	CREATE TABLE hot (n int);
	INSERT INTO hot VALUES (0);
	GRANT ALL ON hot TO PUBLIC;
	CREATE FUNCTION bump() RETURNS void LANGUAGE plpgsql AS $$
		BEGIN UPDATE hot SET n = n + 1; PERFORM pg_sleep(0.02); END $$;
	SELECT pool_set_sizing('*', evaluation_interval => '1s', target_wait => '10ms');
	SELECT pool_set_sizing('r_full@postgres', scale_up_step => 3)});
wait_sync($node);

# ---------- the formulas ----------

sub erlang_c
{
	my ($c, $load) = @_;
	my $b = 1;

	return 1 if $c <= $load;
	$b = $load * $b / ($_ + $load * $b) foreach 1 .. $c;
	return $c * $b / ($c - $load * (1 - $b));
}

# cv2: the squared coefficients of variation of arrivals and services.
sub size_for
{
	my ($load, $service_ms, $ca2, $cs2, $target_ms) = @_;
	my $c = int($load) + 1;

	$c++ while erlang_c($c, $load) * $service_ms / ($c - $load) * ($ca2 + $cs2) / 2 >
	  $target_ms;
	return $c;
}

sub binomial_quantile
{
	my ($n, $p, $q) = @_;
	my $probability = (1 - $p)**$n;
	my $sum = $probability;
	my $k = 0;

	while ($sum < $q && $k < $n)
	{
		$k++;
		$probability *= ($n - $k + 1) / $k * $p / (1 - $p);
		$sum += $probability;
	}
	return $k;
}

is(sprintf('%.3f %.3f', erlang_c(7, 6), erlang_c(8, 6)), '0.614 0.357',
	"Erlang C agrees with the textbook's table");
is(size_for(6, 50, 1, 0, 10), 8, 'the textbook size for the workload is 8');

# ---------- the workloads ----------

# The pause comes first and varies: otherwise all clients would keep step.
my $half = "\\set pause random(1, 99)\n\\sleep :pause ms\nSELECT pg_sleep(0.05);\n";

start_load($node, 'r_half', 12, $half);
start_load($node, 'r_client', 4,
	"BEGIN;\nSELECT 1;\n\\sleep 30 ms\nCOMMIT;\n\\set pause random(20, 60)\n\\sleep :pause ms\n");
start_load($node, 'r_lock', 6, "SELECT bump();\n");
start_load($node, 'r_full', 4, "SELECT pg_sleep(0.02);\n");
# Every other one fails, in a way that pgbench goes on after.
start_load($node, 'r_fail', 4,
	"BEGIN;\nSELECT pg_sleep(0.02);\nCOMMIT;\nDO \$\$ BEGIN PERFORM pg_sleep(0.02); "
	  . "RAISE EXCEPTION USING ERRCODE = '40001'; END \$\$;\n");

my $few = open_session($node, 'r_few');
my $few2 = open_session($node, 'r_few');

$few->query('SELECT 1') foreach 1 .. 20;
$few->query('SELECT pg_sleep(0.1)') foreach 1 .. 3;

sub recommended
{
	my ($role, $column) = @_;

	return $node->safe_psql('postgres',
		"SELECT $column FROM pool_recommendations WHERE tenant = '$role\@postgres'");
}

# Half of them at rest at the same time is the rule, but how often which number of them
# is busy takes a while to show: 1000 transactions are some 8 s.
ok($node->poll_query_until('postgres', q{
		SELECT count(*) = 4 AND bool_and(s.transactions >= 60)
			AND bool_and(s.transactions >= 1000) FILTER (WHERE s.tenant = 'r_half@postgres')
			AND bool_and(method NOT IN ('none', 'too_little_data'))
		FROM pool_stats AS s JOIN pool_recommendations AS r USING (tenant)
		WHERE s.tenant ~ '^r_(half|client|lock|full)@'}), 'the workloads have run for a while');

# ---------- half busy ----------

my ($size, $min, $max, $mean, $p50, $p95, $busy_max, $rate, $service, $wait, $confidence,
	$method, $bottleneck, $reason) = split /\|/, recommended('r_half',
	'recommended_size, recommended_min, recommended_max, busy_mean, busy_p50, busy_p95, '
	  . 'busy_max, arrival_rate, service_ms, predicted_wait_ms, confidence, method, '
	  . 'bottleneck, reason');
my $little = $rate * $service / 1000;
my $expected = size_for($mean, $service, 1, 0, 10);

note("size $size; measured load $mean, by Little's law $little, formulas $expected; "
	  . "p50 $p50, p95 $p95, max $busy_max; confidence $confidence; $method: $reason");
cmp_ok(abs($size - $expected), '<=', 1, 'the size is what the formulas give');
ok($mean > 4 && $mean < 9, '12 clients busy half of the time are about 6')
  or diag("measured $mean");
# Of samples and of a clock: what differs is the first second and the unfinished.
cmp_ok(abs($little - $mean), '<', 0.15 * $mean, "Little's law agrees with the samples");
cmp_ok($service, '>=', 49, 'a query takes 50 ms, and what the machine adds');
is($busy_max <= 12, 1, 'never more busy than there are clients');

# Independent clients: the number of the busy is Binomial(12, p), for p = 0.5 with median
# 6 and 95 % quantile 9.
is(binomial_quantile(12, 0.5, 0.5) . ' ' . binomial_quantile(12, 0.5, 0.95), '6 9',
	'quantiles of Binomial(12, 0.5)');
cmp_ok(abs($p50 - binomial_quantile(12, $mean / 12, 0.5)), '<=', 1,
	'median of the busy near that of the binomial distribution');
# Of a busy machine: now and then all wait for a processor, asleep or not.
cmp_ok(abs($p95 - binomial_quantile(12, $mean / 12, 0.95)), '<=', 2, '95 % quantile, too');
cmp_ok($min, '<=', $size, 'recommended_min is not above the size');
cmp_ok($max, '>=', $size, 'nor recommended_max below');
cmp_ok($wait, '<=', 10, 'the predicted wait is within the target');
ok($confidence > 0.1 && $confidence < 1, 'some confidence after some seconds');
is($bottleneck, 'none', 'sleeping is neither CPU nor I/O, lock or client');
like($reason, qr/sessions busy on average .*connections? .* wait/, 'the reason is a sentence');
is(stat_of($node, 'r_half@postgres', 'recommended_size') =~ /^\d+$/ ? 1 : 0, 1,
	'pool_stats shows it, too');

# ---------- the others ----------

is(recommended('r_client', 'bottleneck'), 'client',
	'transactions that wait for their client: client');
like(recommended('r_lock', q{bottleneck || ' ' || method}), qr/^lock (?:trying|throughput)$/,
	'one row for six clients: lock');
is(recommended('r_lock', 'recommended_size <= 6'), 't', 'where more connections are no help');
like(recommended('r_lock', 'reason'), qr/waiting for locks/, 'the reason says so');
SKIP:
{
	skip 'the clients were kept from the processor', 1
	  if recommended('r_full', 'busy_p50') < 4;

	# While the machine is busy their sleep looks like work, and fewer are tried for once.  It
	# may have settled by now, and tell of the size that it has tried.
	ok($node->poll_query_until('postgres', q{
			SELECT method = 'trying' AND recommended_size = 7 OR
				method = 'throughput' AND reason ~ '\m7 did '
			FROM pool_recommendations WHERE tenant = 'r_full@postgres'}),
		'4 clients that never pause: one step up of the policy, 3')
	  or diag(recommended('r_full', q{method || ' ' || recommended_size || ': ' || reason}));
	is(recommended('r_full', q{confidence <= 0.4 OR method = 'throughput'}), 't',
		'with little confidence');
	# Between an evaluation and the next one they are the same.
	ok($node->poll_query_until('postgres', q{
			SELECT reason ~ format('\m4 did %s/s', round(measured::numeric,
				CASE WHEN measured < 100 THEN 1 ELSE 0 END))
			FROM pool_recommendations, pool_what_if('r_full@postgres', 8)
			WHERE tenant = 'r_full@postgres' AND size = 4}),
		'pool_what_if tells what a size did that was tried');
	is($node->safe_psql('postgres', q{
			SELECT count(*) FILTER (WHERE throughput > 0), count(measured)
			FROM pool_what_if('r_full@postgres', 1000) WHERE size > 64}), '936|0',
		'... and of others only what it predicts');
}
is($node->safe_psql('postgres', q{
		SELECT count(measured) FROM pool_what_if('r_half@postgres', 50)}), '0',
	'where the pool is not the limit nothing is tried');
ok($node->poll_query_until('postgres', q{
		SELECT count(*) > 0 AND bool_and(measured < 0.75 * arrival_rate)
		FROM pool_what_if('r_fail@postgres', 8), pool_recommendations
		WHERE tenant = 'r_fail@postgres' AND measured IS NOT NULL}),
	'what failed is not done');
is($node->safe_psql('postgres', q{SELECT pool_sync()}), 't', 'policies are in force');
ok($node->poll_query_until('postgres', q{
		SELECT method = 'too_little_data' AND computed_at IS NOT NULL
		FROM pool_recommendations WHERE tenant = 'r_few@postgres'}),
	'23 transactions are too little');
is(recommended('r_few', 'recommended_size'), '2', 'the present size then');
cmp_ok(recommended('r_few', 'confidence'), '<=', 0.2, 'with low confidence');
is($node->safe_psql('postgres', q{
		SELECT count(*) FROM pool_recommendations WHERE NOT (recommended_min <= recommended_size
			AND recommended_size <= recommended_max AND confidence BETWEEN 0 AND 1
			AND recommended_min >= 0 AND length(reason) > 10)}), '0',
	'every recommendation is in order');

# ---------- limits of the policy ----------

$node->safe_psql('postgres', q{
	SELECT pool_set_sizing('r_half@postgres', min_size => 20);
	SELECT pool_set_sizing('r_full@postgres', max_size => 3)});
wait_sync($node);
ok($node->poll_query_until('postgres', q{
		SELECT recommended_size = 20 AND recommended_min = 20
			AND reason LIKE '%raised to min_size of the policy%'
		FROM pool_recommendations WHERE tenant = 'r_half@postgres'}), 'min_size is kept');
ok($node->poll_query_until('postgres', q{
		SELECT recommended_size = 3 AND recommended_max = 3
			AND reason LIKE '%cut to max_size of the policy%'
		FROM pool_recommendations WHERE tenant = 'r_full@postgres'}), 'max_size is kept');

# Down again by a step at a time.
$node->safe_psql('postgres', q{
	SELECT pool_set_sizing('r_half@postgres', min_size => 1, scale_down_step => 4)});
wait_sync($node);

my $admin = open_session($node, $node->safe_psql('postgres', 'SELECT current_user'));
my @way;

ok(wait_until(sub {
			my $row = $admin->query(q{SELECT recommended_size, target,
				extract(epoch FROM computed_at) FROM pool_recommendations
				WHERE tenant = 'r_half@postgres'})->[0];

			push @way, $row if !@way || $way[-1][2] != $row->[2];
			# One more than the target may stay: that is the hysteresis.
			return $row->[1] < 15 && $row->[0] <= $row->[1] + 1;
		}), 'without the limit the size goes back to the target');
note('sizes on the way: ' . join(' ', map { $_->[0] } @way));
foreach my $i (1 .. $#way)
{
	# Evaluations are a second apart; a longer time means that we missed one.
	next if $way[$i][2] - $way[ $i - 1 ][2] > 1.9;
	cmp_ok($way[ $i - 1 ][0] - $way[$i][0], '<=', 4, 'by at most scale_down_step at a time');
}

# ---------- most clients go ----------

stop_load($node, $_) foreach PoolTest::running_loads();
start_load($node, 'r_less', 24, $half);

ok($node->poll_query_until('postgres', q{SELECT busy_p95 BETWEEN 12 AND 24 FROM pool_recommendations
	WHERE tenant = 'r_less@postgres'}), '24 clients') or diag(recommended('r_less', '*'));
ok(wait_for_evaluations($node, 'r_less@postgres', 12), '12 evaluations of them');
stop_load($node, 'r_less');
start_load($node, 'r_less', 4, $half);
ok(wait_for_evaluations($node, 'r_less@postgres', 35), '35 evaluations of what is left');
is(recommended('r_less', 'busy_p95 <= 6 AND recommended_size <= 7'), 't',
	'four are left: those that have gone are forgotten within 35 evaluations')
  or diag(recommended('r_less', 'recommended_size, busy_p95, reason'));

stop_load($node, $_) foreach PoolTest::running_loads();
stop_clean($node);
done_testing();
