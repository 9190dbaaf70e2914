# Tenants that together want more than there is: connections by weighted max-min fairness with
# guarantees as floor, the surplus of one to the others; and CPUs, which a tenant that only
# computes would take from one that answers requests.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	-name => 'share',
	max_connections => 60,
	superuser_reserved_connections => 3,
	'pool_optimizer.mode' => 'observe',
	'pool_optimizer.sample_interval' => '20ms');
my $BUDGET = 57;

create_roles($node, qw(r_one r_two r_calm r_batch r_web));
$node->safe_psql('postgres', q{SELECT pool_set_sizing('*', evaluation_interval => '1s')});
wait_sync($node);

# ---------- the workloads ----------

my %pgbench;

# Reports -n clients; no more than a thread, as the machine may be small.
sub start_pgbench
{
	my ($role, $clients, $script) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir_short() . "/$role.sql";

	PostgreSQL::Test::Utils::append_to_file($file, $script);
	my ($in, $out) = ('', '');

	$pgbench{$role} = IPC::Run::start(
		[
			'pgbench', '-n', '-c', $clients, '-j', 1, '-T', 900,
			'-f', $file, '-h', $node->host, '-p', $node->port, '-U', $role, 'postgres'
		], '<', \$in, '>&', \$out);
	return;
}

sub stop_pgbench
{
	foreach my $role (@_)
	{
		$pgbench{$role}->signal('TERM');
		$pgbench{$role}->finish;
		delete $pgbench{$role};
	}
	return;
}

END
{
	my $status = $?;

	$_->kill_kill foreach values %pgbench;
	$? = $status;
}

sub recommended
{
	my ($role, $column) = @_;

	return $node->safe_psql('postgres',
		"SELECT $column FROM pool_recommendations WHERE tenant = '$role\@postgres'");
}

# Recommendations of one instant, until a condition holds of them: r_one.fair_share etc.
sub shares_are
{
	my ($condition, $what) = @_;
	my $ok = $node->poll_query_until('postgres', qq{
		WITH r AS MATERIALIZED (SELECT split_part(tenant, '\@', 1) AS role, * FROM pool_recommendations)
		SELECT coalesce((SELECT $condition FROM
			(SELECT 1) AS always
			LEFT JOIN r AS one ON one.role = 'r_one'
			LEFT JOIN r AS two ON two.role = 'r_two'
			LEFT JOIN r AS calm ON calm.role = 'r_calm'
			LEFT JOIN r AS batch ON batch.role = 'r_batch'
			LEFT JOIN r AS web ON web.role = 'r_web'), false)});

	ok($ok, $what) or diag($node->safe_psql('postgres',
		'SELECT tenant, current_size, recommended_size, target, fair_share, method, reason '
		  . 'FROM pool_recommendations ORDER BY 1'));
	return $ok;
}

# ---------- connections ----------

# Two that are never idle want more and more; one wants little.
start_pgbench('r_one', 12, "SELECT pg_sleep(0.01);\n");
start_pgbench('r_two', 12, "SELECT pg_sleep(0.01);\n");
start_pgbench('r_calm', 3, "\\sleep 40 ms\nSELECT pg_sleep(0.01);\n");

shares_are("one.fair_share BETWEEN 18 AND 28 AND two.fair_share BETWEEN 18 AND 28
	AND one.fair_share + two.fair_share + greatest(calm.current_size, calm.recommended_size) <= $BUDGET
	AND one.target <= one.fair_share AND two.target <= two.fair_share",
	'two that want all there is have about the same, and fit');
shares_are("abs(one.fair_share - two.fair_share) <= 1", 'the same but for the odd one');
shares_are("one.reason LIKE '%; cut to its fair share of ' || one.fair_share
	|| ' of the cluster''s $BUDGET connections%'", 'and the reason says so');
shares_are("calm.method IN ('queueing', 'burst') AND calm.reason NOT LIKE '%fair share%'
	AND calm.recommended_size <= 3 AND calm.fair_share >= 3", 'who wants little has it');

$node->safe_psql('postgres', q{SELECT pool_set_quota('r_two@postgres', weight => 3)});
wait_sync($node);
shares_are("two.fair_share BETWEEN 2.2 * one.fair_share AND 3.8 * one.fair_share
	AND one.fair_share + two.fair_share <= $BUDGET", 'three times the weight, three times as many');

$node->safe_psql('postgres', q{SELECT pool_set_quota('r_one@postgres', guaranteed => 30)});
wait_sync($node);
shares_are("one.fair_share = 30 AND two.fair_share BETWEEN 18 AND 24", 'a guarantee is a floor');
$node->safe_psql('postgres', q{
	SELECT pool_set_quota('r_one@postgres', guaranteed => 0);
	SELECT pool_set_quota('r_two@postgres', weight => 1, max_connections => 14)});
wait_sync($node);
shares_are("two.target = 14 AND one.fair_share >= 30 AND two.reason NOT LIKE '%fair share%'",
	'what is beyond the quota of one is for the others');
$node->safe_psql('postgres', q{SELECT pool_set_quota('r_two@postgres', max_connections => -1)});
wait_sync($node);
shares_are("one.fair_share < 30", 'and back');

# A guarantee of somebody who is not there is kept free.
$node->safe_psql('postgres', q{SELECT pool_set_quota('nobody@postgres', guaranteed => 25)});
wait_sync($node);
shares_are("one.fair_share <= 16 AND two.fair_share <= 16", 'guarantees of others are kept free');
$node->safe_psql('postgres', q{SELECT pool_set_quota('nobody@postgres', guaranteed => 0)});
wait_sync($node);
shares_are("one.fair_share BETWEEN 18 AND 28", 'and no longer than they are promised');

# The cluster's quota is what there is, when it is lower.
$node->safe_psql('postgres',
	q{SELECT pool_set_quota('*', max_connections => 40, scope => 'cluster')});
wait_sync($node);
shares_are("one.fair_share BETWEEN 8 AND 19 AND one.reason LIKE '%of the cluster''s 40 connections%'",
	"the cluster's quota counts");
$node->safe_psql('postgres', q{SELECT pool_drop_policy('*', 'cluster')});
wait_sync($node);

stop_pgbench('r_two');
shares_are("one.fair_share >= 36", 'who leaves, leaves it to the others');

# A sampler that starts anew knows nobody's wishes until they are told again.
my $sampler = cluster_stat($node, 'sampler_pid');

kill 'TERM', $sampler;
ok($node->poll_query_until('postgres',
		"SELECT sampler_pid <> $sampler FROM pool_stats_cluster"), 'another sampler');
my $before = recommended('r_one', 'extract(epoch FROM computed_at)');

shares_are("extract(epoch FROM one.computed_at) > $before + 2 AND one.fair_share >= 36",
	'it gets to the same');
stop_pgbench('r_one', 'r_calm');

# ---------- CPUs ----------

# That the server may use, as we may.
my $cores = `nproc`;

chomp $cores;
SKIP:
{
	skip 'as many clients as it takes would be too many', 4 if $cores < 1 || $cores > 6;

	# Long statements, as the client has to be given CPUs, too.
	# A pool that may not be smaller goes up only: otherwise the search would begin with
	# fewer, and as nobody sets what it asks for, stay at that.
	my $least = 3 * $cores;

	$node->safe_psql('postgres',
		"SELECT pool_set_sizing('r_batch\@postgres', min_size => $least,
			evaluation_interval => '2s')");
	wait_sync($node);
	start_pgbench('r_batch', $least,
		"SELECT count(*) FROM generate_series(1, 60000) AS g WHERE sqrt(g) > 1;\n");
	shares_are("batch.method IN ('trying', 'throughput') AND batch.recommended_size > $least
		AND batch.reason NOT LIKE '%CPUs%'", 'alone one may compute as much as it likes');

	# This one computes a little, waits a little, over and over; with as many clients all
	# CPUs would be its own if the first let it.
	start_pgbench('r_web', 4 * $cores,
		"BEGIN;\n\\sleep 1 ms\nSELECT count(*) FROM generate_series(1, 10000) AS g WHERE sqrt(g) > 1;\nCOMMIT;\n");
	shares_are("batch.fair_share = $least AND batch.recommended_size = $least
		AND substring(batch.reason FROM 'others need the CPUs, too, and its fair share of the $cores is (\\d+\\.\\d)')::float8
			BETWEEN 0.3 * $cores AND 0.9 * $cores",
		'beside others only its part of the CPUs; its policy holds all the same');
	shares_are("web.fair_share > batch.fair_share", 'who also waits gets more connections for it');
	stop_pgbench('r_web');
	shares_are("batch.recommended_size > $least AND batch.reason NOT LIKE '%CPUs%'",
		'when the others have gone it has them all again');
	stop_pgbench('r_batch');
}

is($node->safe_psql('postgres', q{SELECT count(*) FROM pool_recommendations
	WHERE NOT (recommended_min <= recommended_size AND recommended_size <= recommended_max
		AND (fair_share IS NULL OR fair_share >= 1))}), '0', 'all in order');
stop_clean($node);
done_testing();
