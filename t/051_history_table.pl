# History in tables: buckets of five minutes, hours and days, written by the keeper, joined with the rings
# without a seam, pruned; with tables that were changed, DROP EXTENSION in the middle, a killed
# keeper, a restart, a crash, a standby and its promotion.
#
# The server's clock can be set (clock.c), so minutes pass as the test wants.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs a C compiler' unless build_clock();

my @resolutions = ('1 s', '10 s', '15 s', '1 min', '5 min', '15 min', '20 min', '1 h', '1 day',
	'7 days');
my $node = new_node(
	-name => 'history_table',
	-start => 0,
	wal_level => 'replica',
	max_wal_senders => 5,
	hot_standby => 'on',
	# A hundred rows: so minutes are gone soon.
	'pool_optimizer.history_second_rows' => 100,
	'pool_optimizer.history_ten_second_rows' => 100,
	'pool_optimizer.history_minute_rows' => 100,
	'pool_optimizer.tenant' => "'%u %L'");
my $ahead = 1894006805 - time;		# 2030-01-07 09:00:05 UTC
set_clock($ahead);
start_on_clock($node);
create_roles($node, qw(r_a r_b));
$node->safe_psql('postgres', 'CREATE EXTENSION pool_optimizer');

my $server = $node;
my $super = $node->safe_psql('postgres', 'SELECT current_user');
my ($admin, @load);
my @names = ('busy', q{o'x <b>%"\\}, "\x{c3}\x{a4}");
my %done;

sub connect_all
{
	$admin = open_session($server, $super, options => '-c pool_optimizer.label=admin');
	@load = map { open_session($server, 'r_a', startup => { 'pool_optimizer.label' => $_ }) } @names;
	return;
}

sub let_pass
{
	my ($seconds) = @_;

	$ahead += $seconds;
	set_clock($ahead);
	return wait_samples($admin, 3);
}

# So many minutes in which every tenant does something.
sub work
{
	my ($minutes) = @_;

	foreach my $minute (1 .. $minutes)
	{
		foreach my $i (0 .. $#load)
		{
			$load[$i]->query('SELECT 1') foreach 0 .. $i;
			$done{$i} += $i + 1;
		}
		let_pass(0);
		let_pass(60);
	}
	return;
}

sub run_log_out
{
	my ($out, $err) = run_command([@_]);

	return $out;
}

# Until the table has what has ended by now.
sub wait_kept
{
	my ($msg) = @_;

	# At once, also if the last keeper failed.
	$server->reload;
	return ok(wait_until(sub { $admin->value(q{SELECT coalesce(max(bucket_start) >=
			date_bin('5 min', clock_timestamp(), '2000-01-03 0:00+0') - interval '5 min', false)
			FROM pool_history WHERE tenant = ''}) eq 't' }, 'kept'), $msg);
}

# Transactions of each tenant at a resolution, as a session is told.
sub sums
{
	my ($session, $resolution) = @_;

	return $session->value(qq{SELECT string_agg(n::text, ' ' ORDER BY n) FROM (
		SELECT sum(transactions) AS n FROM pool_stats_history('$resolution', '-infinity')
		WHERE tenant LIKE 'r\\_a %' GROUP BY tenant) h}) // '';
}

# All is told once, and no two buckets of a tenant, or of the cluster, have a moment in common.
sub check_sums
{
	my ($msg) = @_;
	my $want = join ' ', map { $done{$_} } 0 .. $#names;
	my (@wrong, @overlaps);

	foreach my $resolution (@resolutions)
	{
		wait_until(sub { sums($admin, $resolution) eq $want }, 'sums')
		  or push @wrong, "$resolution: " . sums($admin, $resolution) . " instead of $want";
		foreach my $rows ("pool_stats_history('$resolution', '-infinity')",
			"(SELECT *, '' AS tenant FROM pool_stats_cluster_history('$resolution', '-infinity')) c")
		{
			push @overlaps, $rows if $admin->value(qq{SELECT count(*) FROM (SELECT bucket_start +
				bucket_ms * interval '1 ms' - lead(bucket_start) OVER (PARTITION BY tenant ORDER BY
				bucket_start) AS over FROM $rows) h WHERE over > interval '0'}) ne '0';
		}
	}
	is("@wrong", '', "$msg: all is counted once at each resolution");
	is("@overlaps", '', "$msg: nothing overlaps");
	is($admin->value(q{SELECT count(*) FROM pool_stats_history('5 min', '-infinity')
			WHERE sessions_max < 0 OR sessions_avg > sessions_max OR busy_avg > busy_max
			OR xact_p50_ms > xact_p95_ms OR xact_p95_ms > xact_p99_ms OR tenant = ''}), '0',
		"$msg: sound values");
	return;
}

sub last_error_like
{
	my ($pattern, $msg) = @_;

	return ok(wait_until(sub { ($admin->value('SELECT last_error FROM pool_stats_cluster') // '') =~
			$pattern }, 'last_error'), $msg);
}

# ---------- hours without what they were summed up from ----------

# So there is nothing to sum up, and it goes on: to what is too old.
$node->safe_psql('postgres', q{
	INSERT INTO pool_history_hour SELECT '2030-01-07 06:00+0',
		0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, '';
	INSERT INTO pool_history_day SELECT '2020-01-01 00:00+0',
		0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, ''});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pool_history_day
		WHERE bucket_start < '2021-01-01'}), 'hours alone do not hold up the keeper');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pool_history}), '0',
	'(there were only these)');
$node->safe_psql('postgres', q{DELETE FROM pool_history_hour; DELETE FROM pool_history_day});

# ---------- written, and joined ----------

connect_all();
work(12);
wait_kept('buckets that have ended are in the table');
is($admin->value(q{SELECT bool_and(extract(epoch FROM bucket_start)::bigint % 300 = 0)
		FROM pool_history}), 't', 'they begin at whole five minutes');
is($admin->value(q{SELECT count(DISTINCT tenant) FROM pool_history WHERE tenant LIKE 'r\_a %'}),
	scalar @names, 'with the names as they are');
is($admin->value(q{SELECT bool_and(watched_ms BETWEEN 1 AND 300000 AND sessions_avg > 0)
		FROM pool_history}), 't', 'and how long they were watched');
check_sums('while rings have all');
my $old = open_session($node, $super, options => '-c pool_optimizer.label=old');
$old->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
work(25);
wait_kept('the keeper goes on');
check_sums('when minutes are gone');
is(sums($old, '1 h'), sums($admin, '1 h'), 'an old snapshot misses nothing');
close_all($old);
is($admin->value(q{SELECT count(*) > 0 FROM pool_stats_history('1 min', '-infinity')
		WHERE bucket_ms = 300000}), 't', 'minutes that are gone are told by five');
is($admin->value(qq{SELECT count(DISTINCT tenant) || ' ' || sum(transactions) FROM
		pool_stats_history('1 day', '-infinity', for_tenant => 'r_a busy')}), "1 $done{0}",
	'one tenant is read alone');
is($admin->value(q{SELECT sum(n) FROM (SELECT sum(transactions) AS n FROM
		pool_stats_history('5 min', '-infinity', '2030-01-07 09:10+0', 'r_a busy')
		UNION ALL SELECT sum(transactions) FROM
		pool_stats_history('5 min', '2030-01-07 09:10+0', for_tenant => 'r_a busy')) h}), $done{0},
	'since and until meet in the table, too');

# A rewrite is harmless: as if the last bucket had not become complete.
$node->safe_psql('postgres', q{DELETE FROM pool_history WHERE tenant = ''
	AND bucket_start = (SELECT max(bucket_start) FROM pool_history)});
check_sums('with a bucket half written');
wait_kept('a bucket half written is written again');
check_sums('and written again');

# ---------- days ----------

let_pass(86400);
work(2);
ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pool_history_day WHERE tenant = ''}) eq
		'1' }), 'a day that has ended is summed up');
is($admin->value(q{SELECT concat_ws(' ', bucket_start AT TIME ZONE 'UTC', sessions_avg > 0.9, watched_ms = (SELECT sum(watched_ms) FROM
		pool_history WHERE bucket_start < '2030-01-08 0:00+0' AND tenant = 'r_a busy')
		) FROM pool_history_day WHERE tenant = 'r_a busy'}), '2030-01-07 00:00:00 t t',
	'its averages are over the time that was watched');
is($admin->value(q{SELECT count(*) FROM (SELECT tenant, sum(transactions) FROM pool_history
		WHERE bucket_start < '2030-01-08 0:00+0' GROUP BY tenant EXCEPT SELECT tenant, transactions
		FROM pool_history_day) h}), '0', 'its counts are those of the five minutes');
is($admin->value(q{SELECT count(*) FROM (SELECT tenant, date_bin('1 h', bucket_start,
		'2000-01-01 0:00+0'), sum(transactions), sum(errors), max(sessions_max) FROM pool_history
		WHERE bucket_start < '2030-01-08 9:00+0' GROUP BY 1, 2 EXCEPT SELECT tenant, bucket_start,
		transactions, errors, sessions_max FROM pool_history_hour) h}), '0', 'and those of hours');
check_sums('with a day');
$admin->query(q{DELETE FROM pool_history_hour});
check_sums('without hours');
$admin->query(q{DELETE FROM pool_history_day});
check_sums('without it');
let_pass(60);
ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pool_history_day WHERE tenant = ''}) eq
		'1' }), 'it is written again');
$admin->query(q{UPDATE pool_history_day SET transactions = transactions + 1000000});
work(22);
isnt(sums($admin, '1 day'), sums($admin, '1 h'), 'long times are told by days');
$admin->query(q{UPDATE pool_history_hour SET transactions = transactions + 1000000});
isnt(sums($admin, '1 h'), sums($admin, '30 min'), 'and by hours');
$admin->query(q{UPDATE pool_history_hour SET transactions = transactions - 1000000});
$admin->query(q{UPDATE pool_history_day SET transactions = transactions - 1000000});

# ---------- rights ----------

my $plain = open_session($node, 'r_b', options => '-c pool_optimizer.label=plain');
foreach my $sql ('SELECT FROM pool_history', 'DELETE FROM pool_history',
	'INSERT INTO pool_history (tenant) VALUES (1)', 'TRUNCATE pool_history')
{
	$plain->query($sql);
	is($plain->sqlstate, '42501', "a plain role may not: $sql");
}
let_pass(0);
ok(wait_until(sub { ($plain->value(q{SELECT string_agg(DISTINCT tenant, ' ') FROM
		pool_stats_history('5 min', '-infinity')}) // '') eq 'r_b plain' }),
	'it sees its own tenant only, also of the table');
$plain->query(q{SELECT * FROM pool_stats_history('5 min', '-infinity', for_tenant => 'r_a busy')});
is($plain->sqlstate, '42501', 'and is denied another');
is($plain->value(q{SELECT current_user || ' ' || current_setting('search_path')}),
	'r_b "$user", public', 'who it is and its settings are as they were');
is($plain->value(q{SELECT count(*) > 5 AND count(transactions) = 0 FROM
		pool_stats_cluster_history('5 min', '-infinity')}), 't',
	'how full the cluster was it sees of the table, too');
# What it puts in the way is not used by us.
$plain->query('CREATE TEMP TABLE pool_history (tenant text, bucket_start timestamptz)');
is($plain->value(q{SELECT count(*) > 0 FROM pool_stats_history('5 min', '-infinity')}), 't',
	'a table of the same name does not mislead');
close_all($plain);

# ---------- tables that somebody has changed ----------

foreach my $change (
	[ 'ALTER EXTENSION pool_optimizer DROP TABLE pool_history',
		'ALTER EXTENSION pool_optimizer ADD TABLE pool_history', 'is not of the extension' ],
	[ 'ALTER TABLE pool_history RENAME TO gone', 'ALTER TABLE gone RENAME TO pool_history',
		'is missing' ],
	[ 'ALTER TABLE pool_history RENAME errors TO gone',
		'ALTER TABLE pool_history RENAME gone TO errors', 'has no column "errors"' ],
	[ 'ALTER TABLE pool_history ALTER transactions TYPE text',
		'ALTER TABLE pool_history ALTER transactions TYPE bigint USING transactions::bigint',
		'has a column "transactions" that is not of type bigint' ],
	[ 'ALTER TABLE pool_history_day ALTER tenant TYPE varchar',
		'ALTER TABLE pool_history_day ALTER tenant TYPE text',
		'has a column "tenant" that is not of type text' ])
{
	my ($do, $undo, $problem) = @$change;

	$admin->query($do);
	is($admin->value(q{SELECT count(*) > 0 FROM pool_stats_history('1 day', '-infinity')}), 't',
		"$problem: rings are told all the same");
	$node->reload;
	last_error_like(qr/^pool_history: table "pool_history(_\w+)?" \Q$problem\E$/, 'and it is said');
	$admin->query($undo);
	$node->reload;
	last_error_like(qr/^$/, 'and over when it is as it was');
}
$admin->query('ALTER TABLE pool_history ALTER busy_avg DROP NOT NULL');
$admin->query(qq{INSERT INTO pool_history SELECT t, 1, 1, 1, 1, n, 1, n, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	'r_a busy' FROM (VALUES ('-infinity'::timestamptz, 1), ('infinity', 1),
		('2030-01-06 09:00+0', NULL)) v (t, n)});
check_sums('with rows that are none');
$admin->query(q{DELETE FROM pool_history WHERE busy_avg IS NULL OR NOT isfinite(bucket_start)});
$admin->query('ALTER TABLE pool_history ALTER busy_avg SET NOT NULL');

# ---------- something else is wrong ----------

# For as long as it is: a policy that was made nonsense by hand.
$admin->query($_) // die $admin->error_text foreach ('SET session_replication_role = replica',
	q{INSERT INTO pool_policies (tenant, quota_mode) VALUES ('r_x', 'nonsense')},
	'RESET session_replication_role');
$node->reload;
my $policy = 'policy of tenant "r_x": "quota_mode" must be off, observe or enforce';

last_error_like(qr/^\Q$policy\E$/, 'a bad policy is told');
work(6);
wait_kept('and history is kept all the same');
check_sums('with a bad policy');
$admin->query('ALTER TABLE pool_history RENAME TO gone');
$node->reload;
last_error_like(qr/^\Q$policy\E; pool_history: table "pool_history" is missing$/,
	'if history cannot be kept either, both are told');
my $told = () = log_since($node) =~ /could not keep history/g;

is($admin->value(q{SELECT pool_sync('1 min')}), 't', 'a keeper comes and goes') foreach 1 .. 2;
is(scalar(() = log_since($node) =~ /could not keep history/g), $told, 'the log is told once');
$admin->query('ALTER TABLE gone RENAME TO pool_history');
$node->reload;
last_error_like(qr/^\Q$policy\E$/, 'and no more when it can');
$admin->query(q{DELETE FROM pool_policies});
$node->reload;
last_error_like(qr/^$/, 'all is well again');
my $dump = run_log_out('pg_dump', '-d', $node->connstr('postgres'));
like($dump, qr/CREATE EXTENSION.*pool_optimizer/, 'pg_dump carries the extension');
unlike($dump, qr/pool_history/, 'but not what was measured here');

# ---------- restart, and a restart by a crash ----------

# In the middle of five minutes, of which the table has nothing yet.
work(2);
close_all(@load);
let_pass(0);
$admin->quit;
$admin->wait_closed;
$node->stop;
set_clock($ahead += 70);
start_on_clock($node);
connect_all();
work(1);
check_sums('after a restart');
is($admin->value(q{SELECT count(*) FROM (SELECT 1 FROM pool_stats_history('1 min', '-infinity')
		WHERE bucket_ms = 60000 GROUP BY tenant, bucket_start HAVING count(*) > 1) h}), '0',
	'minutes are told once');
work(7);
wait_kept('the keeper goes on after a restart');
check_sums('and on after a restart');
is($admin->value(q{SELECT bool_and(watched_ms <= 300000) FROM pool_history}), 't',
	'nothing is watched twice');
close_all(@load);
let_pass(0);
$admin->quit;
$admin->wait_closed;
# A crash loses what came after the state file was written, so what is not in the table: end
# a bucket.  What the file has of it is less than what the table has.
$admin = open_session($node, $super, options => '-c pool_optimizer.label=admin');
let_pass(300);
let_pass(60);
wait_kept('before a restart');
$admin->quit;
$admin->wait_closed;
$node->stop('immediate');
start_on_clock($node);
connect_all();
work(2);
check_sums('after a crash');
work(6);
wait_kept('the keeper goes on after a crash');
check_sums('and on');

# ---------- standby and promotion ----------

$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('history_standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
start_on_clock($standby);
$node->wait_for_catchup($standby, 'replay');
my $rows = $standby->safe_psql('postgres', 'SELECT count(*) FROM pool_history');
is($standby->safe_psql('postgres', q{SELECT sum(transactions) FROM pool_stats_history('1 h',
		'-infinity') WHERE tenant LIKE 'r\_a %'}), $standby->safe_psql('postgres',
		q{SELECT sum(transactions) FROM pool_history WHERE tenant LIKE 'r\_a %'}),
	'a standby tells what the table has');
let_pass(0);
wait_kept('the primary has kept all');
close_all(@load, $admin);
$node->stop;
$standby->promote;
$server = $standby;
connect_all();
ok(wait_until(sub { $admin->value('SELECT NOT pg_is_in_recovery()') eq 't' }), 'promoted');
my $before = $admin->value(q{SELECT sum(transactions) FROM pool_history WHERE tenant LIKE 'r\_a %'});
$done{$_} = $admin->value(qq{SELECT coalesce(sum(transactions), 0) FROM pool_history
	WHERE tenant = (SELECT (array_agg(tenant ORDER BY s))[$_ + 1] FROM (SELECT tenant,
	sum(transactions) AS s FROM pool_history WHERE tenant LIKE 'r\\_a %' GROUP BY tenant) h)})
  foreach 0 .. $#names;
work(7);
wait_kept('the one that was promoted writes');
cmp_ok($admin->value(q{SELECT sum(transactions) FROM pool_history WHERE tenant LIKE 'r\_a %'}),
	'>', $before, 'more than there was');
check_sums('after promotion');

# ---------- the clock is set back ----------

work(6);
let_pass(-400);
work(1);
work(14);
wait_kept('written although the clock was set back');
check_sums('with time lived twice');

# ---------- the clock is set forward ----------

# Then there are months of which nothing is known.
work(6);
let_pass(60 * 24 * 3600);
work(7);
wait_kept('written although the clock was set forward');
check_sums('with a gap');

# ---------- what a question takes of memory ----------

# Of years with many tenants it must not be the more the more rows there are; 40 MB of names here.
SKIP:
{
	my $reader = open_session($standby, $super, options => '-c pool_optimizer.label=reader');
	my $status = '/proc/' . $reader->pid . '/status';
	my $peak = sub { return slurp_file($status) =~ /^VmPeak:\s+(\d+) kB/m ? $1 : 0; };
	my $ask = q{SELECT count(*) FROM pool_stats_history('5 min', '-infinity', '%s')};

	skip 'no /proc to see memory in', 2 unless -r $status;
	$admin->query(q{INSERT INTO pool_history
		SELECT '2028-01-01'::timestamptz + b * interval '5 min',
		0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, t || repeat('x', 240)
		FROM generate_series(1, 150) t, generate_series(1, 1000) b}) // die $admin->error_text;
	$reader->value(sprintf $ask, '2027-01-01');
	my $peak_before = $peak->();

	is($reader->value(sprintf $ask, '2029-01-01'), '150000', 'many rows are read');
	cmp_ok($peak->() - $peak_before, '<', 20_000, 'with a memory that does not grow with them');
	close_all($reader);
	$admin->query(q{DELETE FROM pool_history WHERE bucket_start < '2029-01-01'});
}

# ---------- retention ----------

$standby->append_conf('postgresql.conf', "pool_optimizer.history_retention = '20min'");
$standby->reload;
$admin->query(q{INSERT INTO pool_history_hour SELECT '2020-01-01', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, v FROM (VALUES (''), ('x')) AS v (v)});
ok($standby->poll_query_until('postgres', q{SELECT count(*) > 0 AND min(bucket_start) >
		clock_timestamp() - interval '26 min' FROM pool_history}), 'old buckets are pruned');
$standby->append_conf('postgresql.conf', 'pool_optimizer.history_retention = 0');
$standby->reload;
ok($standby->poll_query_until('postgres', q{SELECT bool_and(bucket_start > clock_timestamp() -
		interval '11 min') IS NOT FALSE FROM pool_history}), 'and all of them');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pool_history_day}), '0', 'days, too');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pool_history_hour WHERE bucket_start <
		'2021-01-01'}), '0', 'and hours');
$standby->append_conf('postgresql.conf', 'pool_optimizer.history_retention = -1');
$standby->reload;

# ---------- DROP EXTENSION in the middle; a lock that the keeper does not get ----------

$admin->query('DROP EXTENSION pool_optimizer');
is($admin->sqlstate, '', 'DROP EXTENSION is not held up');
ok(wait_until(sub { log_since($standby) =~ /works without policies: extension/ }), 'noticed');
$admin->query('CREATE EXTENSION pool_optimizer');
work(6);
wait_kept('a new table is filled');
@done{0 .. $#names} = split / /, sums($admin, '1 s');
my $locker = open_session($standby, $super, options => '-c pool_optimizer.label=locker');
$locker->query('BEGIN; LOCK TABLE pool_history IN SHARE MODE');
work(6);
ok(wait_until(sub { ($admin->value('SELECT last_error FROM pool_stats_cluster') // '') =~
		/^pool_history: / }), 'a keeper that gets no lock tells');
$locker->query('COMMIT');
wait_kept('and the next one catches up');
ok(wait_until(sub { ($admin->value('SELECT last_error FROM pool_stats_cluster') // '') eq '' }),
	'then all is well again');
$locker->query('BEGIN; LOCK TABLE pool_history IN SHARE MODE');
work(6);
ok(wait_until(sub { $admin->value(q{SELECT coalesce(bool_or(pg_terminate_backend(a.pid)), false)
		FROM pg_stat_activity a JOIN pg_locks l USING (pid) JOIN pool_stats_cluster c
		ON a.pid = c.keeper_pid WHERE NOT l.granted}) eq 't' }), 'a keeper is killed as it writes');
$locker->query('COMMIT');
wait_kept('the next one writes the same');
check_sums('after it was killed');
close_all(@load, $admin, $locker);
stop_clean($standby);
done_testing();
