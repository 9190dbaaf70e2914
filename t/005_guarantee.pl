# Guarantees and burst: what is promised to one tenant is free for it, and what it does
# not use is lent to others only as long as there is room.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

# 20 connections for clients that are not superusers, 2 of them for the queue.
my $node = new_node(
	max_connections => 23,
	superuser_reserved_connections => 3,
	'pool_optimizer.max_waiting' => 2,
	# Calling back by utilization is tried at the end.
	'pool_optimizer.critical_threshold' => 100);
my $A = 'regress_pool_a@postgres';
my $B = 'regress_pool_b@postgres';
my $C = 'regress_pool_c@postgres';
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, qw(regress_pool_a regress_pool_b regress_pool_c));
# One session that looks, so that no look changes how much room there is.
my $root = open_session($node, $superuser);

sub quota
{
	my ($arguments) = @_;

	$root->value("SELECT pool_set_quota($arguments)");
	ok($root->value(q{SELECT pool_sync('180s')}) eq 't', "in force: $arguments");
	return;
}

sub sessions
{
	my ($tenant) = @_;

	return $root->value("SELECT sessions FROM pool_stats WHERE tenant = '$tenant'") // 0;
}

# Opens sessions until one is refused (or $max are open); returns them and the refusal.
sub open_until_refused
{
	my ($role, $max) = @_;
	my @open;

	while (@open < $max)
	{
		my $s = open_session($node, $role);

		return (\@open, $s->error_text) unless $s->is_admitted;
		push @open, $s;
	}
	return (\@open, '');
}

is($root->value('SELECT max_connections FROM pool_stats_cluster'), '20', '20 are usable');

# ---------- checked when set ----------

my $rows = $root->query("SELECT pool_set_quota('$A', guaranteed => 19)");

ok(!defined $rows, 'more guarantees than connections less max_waiting are refused');
is($root->sqlstate, '22023', 'with 22023');
like($root->error_text, qr/HINT:.* at most 18/, 'and the number that would do');
$root->query("SELECT pool_set_quota('$B', guaranteed => 9)");
ok(!defined $root->query("SELECT pool_set_quota('$A', guaranteed => 10)"),
	'the sum over tenants counts');
is($root->sqlstate, '22023', 'with 22023');
ok(defined $root->query("SELECT pool_set_quota('$A', guaranteed => 9)"), 'what fits is taken');
ok(!defined $root->query(q{SELECT pool_set_quota('regress_pool_*', guaranteed => 1)}),
	'a pattern has no guarantee');
ok(!defined $root->query("SELECT pool_set_quota('$A', max_connections => 5)"),
	'a quota below the guarantee is refused');
is($root->value("SELECT max_connections IS NULL AND guaranteed = 9 FROM pool_policies
	WHERE tenant = '$A'"), 't', 'and nothing has changed');
$root->query('DELETE FROM pool_policies');

# ---------- others cannot take what is guaranteed ----------

quota("'$A', guaranteed => 5");
is($root->value("SELECT guaranteed FROM pool_stats WHERE tenant = '$A'"), '5', 'it is in force');
my $outcome = q{SELECT outcome FROM pool_explain_admission(role => 'regress_pool_%s')
	WHERE outcome <> 'admit' UNION ALL SELECT 'admit' LIMIT 1};

# 20 usable, less this superuser, less 5 for A: 14 are lent.
my ($b, $text) = open_until_refused('regress_pool_b', 30);

is(scalar @$b, 14, 'another tenant gets all but the unused guarantee');
like($text, qr/^FATAL:  53300: too many connections for tenant "\Q$B\E"$/m, 'then it is refused');
like($text, qr/^DETAIL:  14 connections are in use; what is left is guaranteed to other tenants/m,
	'and told why');
is($root->value(sprintf $outcome, 'b'), 'reject', 'explained so');
is($root->value(sprintf $outcome, 'a'), 'admit', 'while the guarantee is explained as free');
my ($a) = open_until_refused('regress_pool_a', 5);
is(scalar @$a, 5, 'the guaranteed ones get in on the full cluster');
is(refused_sqlstate($node, 'regress_pool_a'), '53300', 'beyond its guarantee it has no more');
is(refused_sqlstate($node, 'regress_pool_b'), '53300', 'nor has the other');
my $leaves = shift @$a;
$leaves->close_and_wait;
is(refused_sqlstate($node, 'regress_pool_b'), '53300',
	'a guaranteed place that was left is not given to others');
push @$a, open_session($node, 'regress_pool_a');
ok($a->[-1]->is_admitted, 'but to its owner');
$leaves = shift @$b;
$leaves->close_and_wait;
push @$a, open_session($node, 'regress_pool_a');
ok($a->[-1]->is_admitted, 'a lent place that was left goes to whoever comes: burst');
close_all(@$a);
ok(wait_until(sub { sessions($A) == 0 }), 'A has left');

# ---------- a guarantee raised on a full cluster ----------

# The lent sessions: one is busy, the others idle in this order.
$b->[3]->value('BEGIN; SELECT 1');
$_->value('SELECT 1') for @$b[ 4 .. 12 ], @$b[ 0, 1, 2 ];
push @$b, open_session($node, 'regress_pool_b');
is(scalar @$b, 14, 'the cluster is full again');
quota("'$A', guaranteed => 9");
ok(wait_until(sub { sessions($B) == 10 }, 'calling back'),
	'idle lent sessions are called back until the guarantee is free');
ok(!(grep { $_->is_alive } @$b[ 4 .. 7 ]), 'those idle for longest');
is((scalar grep { $_->is_alive } @$b), 10, 'and no others');
is($b->[3]->value('SELECT 42'), '42', 'a busy one is left alone');
is($root->value(q{SELECT count(*) FROM pool_events
	WHERE kind = 'terminate' AND reason ~ 'lent connection called back'}), '4', 'with an event each');
($a) = open_until_refused('regress_pool_a', 9);
is(scalar @$a, 9, 'the guarantee can be used at once');
close_all(@$a, grep { $_->is_alive } @$b);
ok(wait_until(sub { sessions($A) == 0 && sessions($B) == 0 }), 'all have left');

# ---------- orders on their way ----------

# B has a guarantee, too.  Beside it C is busy with what it was lent.
quota("'$A', guaranteed => 1");
quota("'$B', guaranteed => 5");
($b) = open_until_refused('regress_pool_b', 10);
my @busy = map { open_session($node, 'regress_pool_c') } 1 .. 3;
$_->value('BEGIN; SELECT 1') for @busy;

# What is stopped has not gone yet when the sampler looks again.
ok(wait_until(sub { $root->value('SELECT count(*) FROM pg_stat_activity
	WHERE usename = $$regress_pool_b$$ AND wait_event = $$ClientRead$$') == 10 }), 'ten are idle');
is(kill('STOP', map { $_->pid } @$b), 10, 'and stopped');
# In one COMMIT B gets 2 too many, and 14 + 13 of 20 are 7 too many; 5 of them can go.
$root->query(qq{
	SELECT pool_set_quota('$B', max_connections => 8), pool_set_quota('$A', guaranteed => 13)});
is($root->value(q{SELECT pool_sync('180s')}), 't', 'a quota is lowered, and a guarantee raised');
wait_samples($root, 20);
kill 'CONT', map { $_->pid } @$b;
ok(wait_until(sub { sessions($B) <= 5 }, 'the end of five'), 'five go when they can');
wait_samples($root, 20);
is((scalar grep { $_->is_alive } @$b), 5, 'what B is guaranteed stays');
close_all(@busy, grep { $_->is_alive } @$b);
ok(wait_until(sub { sessions($B) + sessions($C) == 0 }), 'all have left');
$root->value("SELECT pool_drop_policy('$B')");
quota("'$A', guaranteed => 9");

# ---------- observe ----------

quota("'$A', mode => 'observe'");
($b, $text) = open_until_refused('regress_pool_b', 16);
is(scalar @$b, 16, 'a guarantee in mode observe refuses nobody');
my $would = $root->value("SELECT would_reject FROM pool_stats WHERE tenant = '$B'");
# 20 less this superuser less 9: 10 were admitted as they are.
is($would, 6, 'but counts whom it would have refused');
is($root->value(sprintf $outcome, 'b'), 'would_reject', 'and explains so');
ok(wait_until(sub {
			$root->value("SELECT would_terminate FROM pool_stats WHERE tenant = '$B'") == 6;
		}, 'whom it would call back'), 'and tells whom it would call back');
wait_samples($root, 20);
is((scalar grep { $_->is_alive } @$b), 16, 'but calls nobody back');
# Beside it one that is enforced: 17 + 5 of 20 are 2 too many.
quota("'$C', guaranteed => 5");
ok(wait_until(sub { sessions($B) == 14 }, 'calling back'), 'one in mode enforce calls back');
wait_samples($root, 20);
is((scalar grep { $_->is_alive } @$b), 14, 'what it wants itself, and no more');
$root->value("SELECT pool_drop_policy('$C')");
close_all(grep { $_->is_alive } @$b);
ok(wait_until(sub { sessions($B) == 0 }), 'all have left');

# Those idle for longest are of a tenant in mode observe itself: 13 + 9 are 2 too many.
quota("'$C', mode => 'observe'");
my @c = map { open_session($node, 'regress_pool_c') } 1 .. 6;
($b) = open_until_refused('regress_pool_b', 6);
quota("'$A', mode => 'enforce'");
ok(wait_until(sub { sessions($B) == 4 }, 'calling back'),
	'who is only told that he would go makes no room: the next ones go');
wait_samples($root, 20);
is((scalar grep { $_->is_alive } @c, @$b), 10, 'and no more than that');
$root->value("SELECT pool_drop_policy('$C')");
close_all(grep { $_->is_alive } @c, @$b);
ok(wait_until(sub { sessions($B) + sessions($C) == 0 }), 'all have left');

# ---------- under pressure ----------

($b) = open_until_refused('regress_pool_b', 10);
is(scalar @$b, 10, 'ten are lent, which the guarantee allows');
my $terminated = $root->value("SELECT terminated FROM pool_stats WHERE tenant = '$B'");
# 11 of 20 are in use: at 50 % two too many, counting those called back below 10.
$node->append_conf('postgresql.conf', "pool_optimizer.warning_threshold = 40\n"
	. 'pool_optimizer.critical_threshold = 50');
$node->reload;
ok(wait_until(sub { sessions($B) < 10 }, 'calling back by utilization'),
	'from critical_threshold on lent sessions are called back');
ok(wait_until(sub {
			$root->value('SELECT utilization < 0.5 FROM pool_stats_cluster') eq 't';
		}), 'until utilization is below it');
cmp_ok(sessions($B), '>=', 8, 'and no more than that');
close_all(grep { $_->is_alive } @$b);
ok(wait_until(sub { sessions($B) == 0 }), 'all have left');
close_all($root);

# ---------- connections that core keeps for certain roles ----------

if ($node->pg_version >= 16)
{
	my $first = $node;

	# 10 of 15 are for others.
	$node = new_node(
		max_connections => 15,
		superuser_reserved_connections => 3,
		reserved_connections => 2,
		'pool_optimizer.max_waiting' => 1,
		'pool_optimizer.critical_threshold' => 100);
	create_roles($node, qw(regress_pool_a regress_pool_b regress_pool_group regress_pool_watch
		  regress_pool_c));
	$node->safe_psql('postgres', q{
		GRANT pg_use_reserved_connections TO regress_pool_group;
		GRANT regress_pool_group TO regress_pool_watch;
		GRANT regress_pool_group TO regress_pool_c WITH INHERIT FALSE});
	$root = open_session($node, $superuser);
	quota("'$A', guaranteed => 3");
	($b) = open_until_refused('regress_pool_b', 20);
	is(scalar @$b, 6, 'others get all but the unused guarantee');
	$_->value('BEGIN; SELECT 1') for @$b;
	is($root->value(sprintf $outcome, $_->[0]), $_->[1], "explained for $_->[0]")
	  foreach [ 'b', 'reject' ], [ 'c', 'reject' ], [ 'watch', 'admit' ];
	is(refused_sqlstate($node, 'regress_pool_c'), '53300',
		'who does not inherit the privilege is refused');
	my ($watch, $why) = open_until_refused('regress_pool_watch', 20);

	is(scalar @$watch, 2, 'who has it gets the reserved_connections');
	like($why, qr/what is left is guaranteed to other tenants/, 'and no more');
	wait_samples($root, 20);
	is((scalar grep { $_->is_alive } @$watch, @$b), 8, 'which are not called back');
	# One that is idle may be told to end together with the answer.
	$_->query('COMMIT') for @$b[ 0 .. 3 ];
	ok(wait_until(sub { sessions($B) == 4 }, 'calling back'),
		'what was lent is, so that the guarantee is free again');
	($a) = open_until_refused('regress_pool_a', 3);
	is(scalar @$a, 3, 'it can be used');
	close_all($root, @$a, @$watch, grep { $_->is_alive } @$b);
	$node->stop;
	$node = $first;
}

# ---------- a stored sum that no longer fits ----------

$node->safe_psql('postgres', "SELECT pool_set_quota('$B', guaranteed => 9)");
$node->safe_psql('postgres', q{SELECT pool_set_sizing('*', evaluation_interval => '1s')});
wait_sync($node);
$node->append_conf('postgresql.conf', "max_connections = 14\nautovacuum_max_workers = 1\n"
	. "max_wal_senders = 0\npool_optimizer.critical_threshold = 100");
$node->restart;
wait_sync($node);
# 11 usable, less 2 for the queue: 9 for 18, so half of each.
is(stat_of($node, $A, 'guaranteed'), '4', 'after a restart with less they are scaled down');
is(stat_of($node, $B, 'guaranteed'), '4', 'all alike');
like(cluster_stat($node, 'last_error'), qr/scaled down to 50 %/, 'last_error says so');
is($node->safe_psql('postgres', q{
	SELECT count(*) > 0 FROM pool_events WHERE kind = 'alert' AND reason ~ 'scaled down'}), 't',
	'an alert tells it');
is($node->safe_psql('postgres', 'SELECT sum(guaranteed) FROM pool_policies'), '18',
	'what was set is kept');
my ($b2) = open_until_refused('regress_pool_b', 20);
my ($a2) = open_until_refused('regress_pool_a', 4);
is(scalar @$a2, 4, 'what is left of a guarantee holds');

# Pools are sized by the same guarantees.
$_->query('BEGIN') foreach @$a2, @$b2;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 AND min(fair_share) >= 4
		FROM pool_recommendations WHERE tenant ~ '^regress_pool_[ab]@'}),
	'fair shares are at least what is guaranteed')
  or diag($node->safe_psql('postgres', 'SELECT tenant, fair_share, reason FROM pool_recommendations'));
close_all(@$a2, @$b2);

done_testing();
