# Hours of the week: computed by the keeper from rows of the last weeks, also over a change to
# summer time, shown to whom they belong, and a floor of the recommendation before the hour comes.
#
# The server's clock can be set (clock.c).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs a C compiler' unless build_clock();

my $node = new_node(
	-name => 'profile',
	-start => 0,
	wal_level => 'replica',
	max_wal_senders => 5,
	hot_standby => 'on',
	timezone => "'Europe/Berlin'",
	'pool_optimizer.history_retention' => -1,
	'pool_optimizer.tenant' => "'%u %L'");
# Monday 2030-04-08, 7:30:05 in Berlin; summer time since eight days before.
my $ahead = 1901856605 - time;
set_clock($ahead);
start_on_clock($node);
create_roles($node, qw(r_a r_b));
$node->safe_psql('postgres', q{CREATE EXTENSION pool_optimizer;
	SELECT pool_set_sizing('*', evaluation_interval => '1s')});

my $super = $node->safe_psql('postgres', 'SELECT current_user');
my $admin = open_session($node, $super, options => '-c pool_optimizer.label=admin');

sub let_pass
{
	my ($seconds) = @_;

	$ahead += $seconds;
	set_clock($ahead);
	return wait_samples($admin, 3);
}

# An hour of five minutes from $start on: of the cluster, and of a tenant if $busy is given.
sub feed
{
	my ($start, $tenant, @busy) = @_;

	$admin->query(sprintf q{INSERT INTO pool_history SELECT '%s'::timestamptz + i * interval
		'5 min', 1, 0, 0, 0, 300000, b, b, 99, 99, 0, -1, 0, 1, 1, 1, 1, 1, t
		FROM (VALUES %s) v (t, i, b) ON CONFLICT DO NOTHING}, $start,
		join(', ', map { ("('', $_, 0::real)", defined $busy[$_] ? "('$tenant', $_, $busy[$_])" : ()) }
			0 .. 11));
	return;
}

# A keeper that is asked for again breaks off, so not too often.
sub wait_computed
{
	my ($condition, $msg) = @_;
	my $n = 0;

	return ok(wait_until(sub {
		$node->reload if $n++ % 100 == 0;
		$admin->value("SELECT count(*) FROM pool_history_profile WHERE tenant = '' AND $condition")
			eq '168'
	}, 'hours'), $msg);
}

sub recompute
{
	$admin->query('DELETE FROM pool_history_profile');
	return wait_computed('true', 'all hours are computed');
}

sub profile
{
	my ($tenant, $session) = @_;

	return ($session // $admin)->value(qq{SELECT string_agg(concat_ws(' ', hour_of_week,
		round(busy_mean::numeric, 3), busy_p95, weeks, time_zone), ', ' ORDER BY hour_of_week)
		FROM pool_stats_profile WHERE tenant = '$tenant'}) // '';
}

sub recommended
{
	my ($tenant) = @_;

	return $admin->value(qq{SELECT concat_ws(' ', recommended_min, recommended_size, reason)
		FROM pool_recommendations WHERE tenant = '$tenant'}) // '';
}

sub recommended_like
{
	my ($tenant, $pattern, $msg) = @_;

	return ok(wait_until(sub { recommended($tenant) =~ $pattern }, 'recommendation'), $msg)
	  || diag(recommended($tenant));
}

# ---------- computed ----------

my $x = open_session($node, 'r_a', startup => { 'pool_optimizer.label' => 'x' });
my $y = open_session($node, 'r_a', startup => { 'pool_optimizer.label' => q{o'y} });
my $once = open_session($node, 'r_a', startup => { 'pool_optimizer.label' => 'once' });
$_->query('SELECT 1') foreach $x, $y, $once;
# Gone before its hour comes: nobody has a reason to look at it.
close_all($y);
# Nor has it been there at all, as after a failover.
$admin->query(q{SELECT pool_set_quota('r_a z', 20)});
# Eight in the morning by the clock on the wall, in winter and in summer.
my @mondays = ('2030-03-11 07:00+0', '2030-03-18 07:00+0', '2030-03-25 07:00+0',
	'2030-04-01 06:00+0');
feed($_, 'r_a x', (12) x 12) foreach @mondays;
$admin->query(q{INSERT INTO pool_history SELECT bucket_start, 1, 0, 0, 0, 300000, 5, 3, 99, 99, 0, -1,
	0, 1, 1, 1, 1, 1, name FROM pool_history, (VALUES ('r_a o''y'), ('r_a z')) v (name)
	WHERE tenant = 'r_a x'});
# Half of the hour nobody was there; nor before the last two weeks.
feed('2030-03-26 09:00+0', 'r_a late', (4) x 6);
feed('2030-03-19 09:00+0', 'r_a never');
feed('2030-04-02 08:00+0', 'r_a late', (4) x 5, 6.5);
# Once is not usual; nine weeks ago is forgotten.
feed('2030-04-01 05:00+0', 'r_a once', (20) x 12);
feed('2030-02-04 07:00+0', 'r_a x', (50) x 12);
recompute();
is(profile('r_a x'), '8 12.000 12 4 Europe/Berlin', 'nine stays nine when summer begins');
is(profile('r_a late'), '34 2.104 4 2 Europe/Berlin',
	'what is missing is idle, but not before it came');
is(profile('r_a once'), '7 20.000 20 1 Europe/Berlin', 'one week is told as one');
is($admin->value(q{SELECT count(*) FROM pool_stats_profile WHERE tenant = ''}), '0',
	'the mark is not told');
is($admin->value(q{SELECT bool_and(computed_at BETWEEN '2030-04-08 05:30+0' AND now())
		FROM pool_stats_profile}), 't', 'when is told');

# ---------- used ----------

recommended_like('r_a x', qr/^12 12 .*; at least 12 are kept ready, as in the next hour of the last 4 weeks/,
	'ready an hour before');
recommended_like(q{r_a o''y}, qr/^3 3 .*at least 3 are kept ready, as in the next hour/,
	'one that is not there, too');
recommended_like('r_a z', qr/^3 3 .*at least 3 are kept ready, as in the next hour/,
	'one that the sampler has never seen, too');
unlike(recommended('r_a once'), qr/kept ready/, 'once is not usual');
$admin->query(q{SELECT pool_set_quota('r_a x', 9)});
recommended_like('r_a x', qr/^9 9 .*cut to the quota.*at least 9 are kept ready/, 'within the quota');
$admin->query(q{SELECT pool_drop_policy('r_a x')});
recommended_like('r_a x', qr/^12 12 /, 'and again');
let_pass(3600);
recommended_like('r_a x', qr/^12 12 .*as in this hour of the last 4 weeks/, 'in its hour');
recommended_like(q{r_a o''y}, qr/^3 3 .*as in this hour of the last 4 weeks/, 'also one that is not there');

# Twelve are usual on Mondays at eight, twenty are not, whatever happened the day before.
$admin->query(q{ALTER SYSTEM SET pool_optimizer.sample_interval = '10ms'});
$admin->query(q{SELECT pg_reload_conf()});
$admin->query(q{SELECT pool_set_alert('anomaly', tenant => 'r_a x', for_duration => '0', clear_after => '0')});
my @crowd;

sub crowd_of
{
	my ($n) = @_;

	while (@crowd < $n)
	{
		push @crowd, open_session($node, 'r_a', startup => { 'pool_optimizer.label' => 'x' });
		$crowd[-1]->query('BEGIN');
	}
	return wait_until(sub { $admin->value(q{SELECT idle_in_transaction FROM pool_stats
		WHERE tenant = 'r_a x'}) == $n }, 'a crowd');
}
sub anomalies
{
	return $admin->value(q{SELECT coalesce(string_agg(message, '; '), '') FROM pool_alerts
		WHERE tenant = 'r_a x' AND alert = 'anomaly'});
}
crowd_of(12);
wait_samples($admin, 250);
is(anomalies(), '', 'as many as are usual at this time of the week are no anomaly');
crowd_of(20);
ok(wait_until(sub { anomalies() =~
		/^(?:1\d|20)\.\d sessions were busy on average in the last 1 s, usual are 12\.0 at this time of the week: [67]\.\d deviations more$/ },
	'an anomaly'), 'more than that are') or diag(anomalies());
close_all(@crowd);
ok(wait_until(sub { anomalies() eq '' }, 'none'), 'over when they have gone');
$admin->query(q{ALTER SYSTEM RESET pool_optimizer.sample_interval});
$admin->query(q{SELECT pg_reload_conf()});

# It is told until the next one is known: here the keeper cannot write that.
$admin->query('BEGIN; LOCK TABLE pool_history_profile');
let_pass(1920);
ok(wait_until(sub { $admin->value(q{SELECT computed_at > '2030-04-08 07:02+0' FROM pool_recommendations
	WHERE tenant = 'r_a x'}) eq 't' }, 'an evaluation'), 'evaluated two minutes after its hour');
like(recommended('r_a x'), qr/^12 12 .*as in this hour of the last 4 weeks/, 'it is ready still');
$admin->query('COMMIT');
let_pass(1680);
recommended_like('r_a x', qr/^(?!.*kept ready)\d+ [1-9] /, 'over when its hour is over');
recommended_like(q{r_a o''y}, qr/^(?!.*kept ready)/, 'for all');
is(profile('r_a x'), '8 12.000 12 4 Europe/Berlin', 'the hour just lived had none of it in the table');

# ---------- rights ----------

my $plain = open_session($node, 'r_a', startup => { 'pool_optimizer.label' => 'x' });
is(profile('r_a x', $plain), '8 12.000 12 4 Europe/Berlin', 'a tenant sees its own');
is($plain->value(q{SELECT string_agg(DISTINCT tenant, ' ') FROM pool_stats_profile}), 'r_a x',
	'and no other');
$plain->query(q{SELECT * FROM pool_stats_profile('r_a late')});
is($plain->sqlstate, '42501', 'nor by its name');
$plain->query(q{SELECT * FROM pool_stats_profile('')});
is($plain->sqlstate, '22023', 'nor without one');
$plain->query(q{SELECT * FROM pool_history_profile});
is($plain->sqlstate, '42501', 'the table is nobody\'s');

# ---------- a standby ----------

$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('profile_standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
start_on_clock($standby);
$node->wait_for_catchup($standby, 'replay');
is($standby->safe_psql('postgres', q{SELECT concat_ws(' ', hour_of_week, busy_p95, weeks)
		FROM pool_stats_profile('r_a x')}), '8 12 4', 'a standby reads the same');
$standby->stop;

# ---------- a table that was changed, another time zone, nothing at all ----------

$admin->query('ALTER TABLE pool_history_profile ALTER weeks TYPE text');
is($admin->value('SELECT count(*) FROM pool_stats_profile'), '0', 'a changed table is not read');
$node->reload;
ok(wait_until(sub { ($admin->value('SELECT last_error FROM pool_stats_cluster') // '') =~
		/^pool_history: table "pool_history_profile" has a column "weeks"/ }), 'and it is said');
$admin->query('ALTER TABLE pool_history_profile ALTER weeks TYPE integer USING weeks::integer');
$node->append_conf('postgresql.conf', "timezone = 'UTC'");
wait_computed(q{time_zone = 'UTC'}, 'all is computed again for another time zone');
like(profile('r_a x'), qr/, 7 12\.000 12 3 UTC$/, 'whose hours are others');
$node->append_conf('postgresql.conf', 'pool_optimizer.history_retention = 0');
$node->reload;
ok(wait_until(sub { $admin->value('SELECT count(*) FROM pool_history') eq '0' }, 'empty'),
	'nothing is kept');
recompute();
is($admin->value('SELECT count(*) FROM pool_stats_profile'), '0', 'without rows nothing is usual');
$admin->query('DROP EXTENSION pool_optimizer');
is($admin->sqlstate, '', 'DROP EXTENSION drops it');
close_all($admin, $x, $once, $plain);
stop_clean($node);
done_testing();
