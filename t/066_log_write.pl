# Commits that wait for one write of the log wait for the disk, not for each other: a larger pool
# gets more of them done.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use Test::More;

# Who writes the log waits for others first, so that all others wait for it most of the time.
my $node = new_node(
	-name => 'log_write',
	fsync => 'on',
	commit_delay => 100000,
	commit_siblings => 0,
	'pool_optimizer.mode' => 'observe');
my $super = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, 'r_commit');
$node->safe_psql('postgres', q{CREATE TABLE written (i int); GRANT INSERT ON written TO r_commit;
	SELECT pool_set_sizing('*', evaluation_interval => '1s')});
wait_sync($node);
my $admin = open_session($node, $super);
my @writers = map { open_session($node, 'r_commit') } 1 .. 8;

$_->send_query(q{DO 'BEGIN LOOP INSERT INTO written VALUES (1); COMMIT; END LOOP; END'})
  foreach @writers;

my $bottleneck = q{SELECT bottleneck FROM pool_recommendations WHERE tenant = 'r_commit@postgres'};

ok(wait_until(sub { ($admin->value($bottleneck) // 'none') ne 'none' }, 'a bottleneck'),
	'enough is known');
is($admin->value($bottleneck), 'io', 'commits wait for the disk');
ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pg_stat_activity
		WHERE usename = 'r_commit' AND wait_event_type = 'LWLock' AND wait_event = 'WALWrite'}) > 0 },
		'waits'), 'by way of who writes for all');

$admin->query(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'r_commit'});
stop_clean($node);
done_testing();
