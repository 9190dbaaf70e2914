# The policy table is locked for long, damaged by hand in every column, given another
# shape, replaced, flooded with rows, and its files are destroyed: what was in force
# stays so, last_error says what is wrong, logins and the sampler go on, and what is
# repaired is in force again without help.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node();
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
my $A = 'regress_pool_a@other';
my $B = 'regress_pool_b@other';

# Looks are taken from a database of their own, so that nothing here depends on the
# policy database.
create_roles($node, 'regress_pool_a', 'regress_pool_b');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION pool_optimizer');
my $admin = open_session($node, $superuser);
my $other = open_session($node, $superuser, dbname => 'other');

# A may have one session and has it, so any further login shows that its quota holds.
sub set_good_policies
{
	$admin->value("SELECT pool_set_quota('$_->[0]', max_connections => $_->[1])")
	  for [ $A, 1 ], [ $B, 7 ];
	return;
}

# Without triggers nobody is told of a change and nothing is checked.
sub by_hand
{
	my (@sql) = @_;

	for my $sql ("SET session_replication_role = 'replica'", @sql,
		'RESET session_replication_role')
	{
		$admin->query($sql) // die "\"$sql\" failed: " . $admin->error_text;
	}
	return;
}

sub last_error
{
	return $other->value('SELECT last_error FROM pool_stats_cluster') // '';
}

sub limit_of
{
	my ($tenant) = @_;

	return $other->value("SELECT max_connections FROM pool_stats WHERE tenant = '$tenant'");
}

# A keeper that is started from now on has ended well.
sub sync
{
	my $done = $other->value("SELECT pool_sync('${PoolTest::TIMEOUT}s')");

	die 'the keeper could not read' unless $done eq 't';
	return;
}

# Has a keeper failed since the log was this long?
sub wait_keeper_error
{
	my ($offset, $pattern) = @_;

	$other->query(q{SELECT pool_sync('0')});
	return wait_until(
		sub { log_since($node, $offset) =~ $pattern && last_error() =~ $pattern },
		"keeper error $pattern");
}

sub good_are_in_force
{
	my ($what) = @_;

	is(join(' ', limit_of($A), limit_of($B),
			refused_sqlstate($node, 'regress_pool_a', dbname => 'other')),
		'1 7 53300', "$what: the quotas are in force");
	return;
}

set_good_policies();
my $held = open_session($node, 'regress_pool_a', dbname => 'other');
ok($held->is_admitted, 'the first session is admitted');
good_are_in_force('at first');

# ---------- locked ----------

# PO_LOCK_ATTEMPTS=7 holds the lock for two minutes, as the pauses double.
my $attempts = $ENV{PO_LOCK_ATTEMPTS} // 2;
my $is_keeper = q{backend_type = 'pool_optimizer keeper'};
my $generation = $other->value('SELECT policy_generation FROM pool_stats_cluster');
my $offset = -s $node->logfile;

$admin->query($_) // die $admin->error_text
  for 'BEGIN', 'LOCK TABLE pool_policies IN ACCESS EXCLUSIVE MODE',
  "SET LOCAL session_replication_role = 'replica'",
  "UPDATE pool_policies SET max_connections = 8 WHERE tenant = '$B'";
my $waiting = open_session($node, $superuser, dbname => 'other');
$waiting->send_query(q{SELECT pool_sync('1h')});
my ($most_keepers, $rounds, $n) = (0, 0, 0);
my $samples = $other->value('SELECT samples FROM pool_stats_cluster');
my $n_timeouts = 0;
ok(wait_until(sub {
			my $n = $other->value("SELECT count(*) FROM pg_stat_activity WHERE $is_keeper");

			$most_keepers = $n if $n > $most_keepers;
			$rounds++;
			# An admission in the middle of it, now and then.
			good_are_in_force("locked, look $rounds") if $rounds % 100 == 50;
			$n_timeouts = () = log_since($node, $offset) =~
			  /ERROR: .*canceling statement due to lock timeout/g;
			return $n_timeouts >= $attempts;
		}), "the keeper has given up $attempts times");
is($most_keepers, 1, 'never more than one keeper at a time');
like(last_error(), qr/^keeper: canceling statement due to lock timeout/,
	'last_error says why it cannot read');
good_are_in_force('locked');
is($other->value('SELECT policy_generation FROM pool_stats_cluster'), $generation,
	'what is in force has not been touched');
cmp_ok($other->value('SELECT samples FROM pool_stats_cluster'), '>', $samples + 3,
	'the sampler has gone on');
is($other->value(q{SELECT worker_errors FROM pool_stats_cluster}), '0',
	'and has met no error');
# A keeper that waits has the weakest lock there is in its hand, and no other.
ok(wait_until(sub {
			$other->value(q{SELECT pool_sync('0')});
			return $other->value("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity USING (pid)
				WHERE $is_keeper AND NOT granted AND mode = 'AccessShareLock'") eq '1';
		}), 'the next keeper waits for the weakest lock');
is($other->value("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity USING (pid)
		WHERE $is_keeper AND granted AND mode NOT IN ('AccessShareLock', 'ExclusiveLock')"),
	'0', 'and holds no lock that anybody else would wait for');
# Nobody is told of this change.
$admin->query('COMMIT') // die $admin->error_text;
is($waiting->result->[0][0], 't', 'unlocked, the table is read without help');
ok(wait_until(sub { limit_of($B) eq '8' && last_error() eq '' }),
	'what was changed under the lock is in force, and last_error is cleared');
$waiting->close_and_wait;
by_hand("UPDATE pool_policies SET max_connections = 7 WHERE tenant = '$B'");
sync();

# ---------- a table that is rewritten while the keeper waits for it ----------

# Rewritten rows are invisible to snapshots taken before; ALTER TABLE tells nobody.
$generation = $other->value('SELECT policy_generation FROM pool_stats_cluster');
$admin->query($_) // die $admin->error_text
  for 'BEGIN', q{ALTER TABLE pool_policies ADD COLUMN note text DEFAULT clock_timestamp()::text};
$other->send_query("SELECT pool_sync('${PoolTest::TIMEOUT}s')");
ok($node->poll_query_until('other', "SELECT count(*) = 1 FROM pg_locks l JOIN pg_stat_activity
		USING (pid) WHERE $is_keeper AND NOT granted"), 'the keeper waits for a table');
$admin->query('COMMIT') // die $admin->error_text;
is($other->result->[0][0], 't', 'which it reads after it was rewritten');
is($other->value('SELECT policy_generation FROM pool_stats_cluster'), $generation,
	'rewritten rows are not lost: what is in force is the same');
good_are_in_force('with a column that nobody knows');
$admin->query('ALTER TABLE pool_policies DROP COLUMN note') // die $admin->error_text;

# ---------- what is rolled back, again and again ----------

# By how many bytes the memory of a transaction grows with many rollbacks to a savepoint.
sub grown_by
{
	my ($sql) = @_;
	my $size = q{(SELECT total_bytes FROM pg_backend_memory_contexts
		WHERE name = 'TopTransactionContext')};

	$admin->query(qq{DO \$\$ DECLARE before bigint; BEGIN
		FOR i IN 1 .. 210 LOOP
			before := coalesce(before, CASE WHEN i > 10 THEN $size END);
			BEGIN
				$sql;
				RAISE 'again';
			EXCEPTION WHEN OTHERS THEN
				PERFORM set_config('test.failed', SQLERRM, false);
			END;
		END LOOP;
		PERFORM set_config('test.grown', ($size - before)::text, false); END \$\$})
	  // die $admin->error_text;
	return $admin->value(q{SELECT current_setting('test.grown')});
}

cmp_ok(grown_by(q{PERFORM pool_set_quota('x@other', guaranteed => 1000)}), '<', 100_000,
	'a policy that is refused leaves nothing in memory');
like($admin->value(q{SELECT current_setting('test.failed')}), qr/of all tenants together is more/,
	'(it is refused after all were read)');
cmp_ok(grown_by(q{PERFORM pool_set_quota('x@other', 5)}), '<', 100_000,
	'nor does one that is rolled back');
is($admin->value(q{SELECT current_setting('test.failed')}), 'again', '(it is rolled back)');
good_are_in_force('after many rollbacks');

# ---------- nonsense in every column ----------

my $far = '178000000 years';
my @infinite = $node->pg_version >= 17 ? ('infinity', '-infinity') : ();
my @numbers = qw(NaN infinity -infinity -1 1e308);
my @durations = ('-1 us', $far, "-$far", @infinite);
my @words = ('', 'nonsense', "enforce\n", '1');
my %nonsense = (
	scope => [ '', 'nonsense', "ten\ant", "tenant\n" ],
	tenant => [ '', 'x' x 256, 'x' x 100_000 ],
	max_connections => [ -2, -2147483648, 262144, 2147483647 ],
	guaranteed => [ -1, -2147483648, 2147483647 ],
	weight => [ @numbers, 0, '1e-320' ],
	on_full => \@words,
	wait_timeout => \@durations,
	quota_mode => \@words,
	idle => \@durations,
	idle_in_transaction => \@durations,
	never_used => \@durations,
	lifetime => \@durations,
	leak_probability => [ @numbers, 1.1 ],
	timeouts_mode => \@words,
	min_size => [ -1, -2147483648, 2147483647 ],
	max_size => [ -2, 0, -2147483648, 2147483647 ],
	target_wait => [ @durations, '0' ],
	scale_up_threshold => [ @numbers, 1.1 ],
	scale_down_threshold => [ @numbers, 1.1 ],
	scale_up_step => [ -1, -2147483648, 2147483647 ],
	scale_down_step => [ -1, -2147483648, 2147483647 ],
	evaluation_interval => [ @durations, '0' ],
	# A session that is to be ended at a moment that never comes, or came before time.
	drain_started_at => [ 'infinity', '-infinity' ],
	drain_grace => \@durations);

is($admin->value(q{SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute
		WHERE attrelid = 'pool_policies'::regclass AND attnum > 0 AND NOT attisdropped}),
	join(' ', sort(keys %nonsense, 'auto')),
	'there is nonsense for each column but a boolean');

# As table owners would find it in the log and in last_error.
sub damage_is_told
{
	my ($column, $value) = @_;
	my $literal = $value;
	my $shown = length $value > 20 ? substr($value, 0, 20) . '...' : $value;

	$literal =~ s/'/''/g;
	$shown =~ s/[^ -~]/?/g;
	by_hand(q{INSERT INTO pool_policies (tenant, max_connections, drain_started_at)
			VALUES ('bad', 3, CASE WHEN '} . $column . q{' = 'drain_grace' THEN now() END)},
		"UPDATE pool_policies SET $column = '$literal' WHERE tenant = 'bad'");
	sync();
	my $error = last_error();
	my $told = $column eq 'tenant' ? qr/^policy of tenant ".*": "tenant" must/ :
	  $column eq 'scope' ? qr/^policy of \w+ "bad": "scope" must/ :
	  qr/^policy of tenant "bad": "$column" (?:must|can)/;

	by_hand(q{DELETE FROM pool_policies WHERE tenant NOT IN ('} . "$A', '$B')");
	return like($error, $told, "$column = '$shown': it is told")
	  && is(limit_of($A) . limit_of($B), '17', 'the others are in force');
}

for my $column (sort keys %nonsense)
{
	damage_is_told($column, $_) for @{ $nonsense{$column} };
}
unlike(log_since($node, $offset), qr/leaves out .*[\x01-\x08\x0b-\x1f]/,
	'no control character of a policy is in a message of ours');
sync();
is(last_error(), '', 'with the last bad row the error goes, too');
good_are_in_force('after all that nonsense');

# Contradictions within a row.
for my $case (
	[ 'guaranteed', 'max_connections = 3, guaranteed = 4' ],
	[ 'min_size', 'min_size = 4, max_size = 3' ],
	[ 'scale_down_threshold', 'scale_down_threshold = 0.5, scale_up_threshold = 0.5' ],
	[ 'idle', q{scope = 'role', idle = '1h'} ],
	[ 'tenant', q{scope = 'cluster'} ],
	[ 'tenant', q{scope = 'address', tenant = '10.0.0.1/8'} ])
{
	by_hand(q{INSERT INTO pool_policies (tenant) VALUES ('bad')},
		"UPDATE pool_policies SET $case->[1] WHERE tenant = 'bad'");
	sync();
	like(last_error(), qr/^policy of \w+ ".*": "$case->[0]" (?:must|can)/,
		"$case->[1]: it is told");
	by_hand(q{DELETE FROM pool_policies WHERE tenant NOT IN ('} . "$A', '$B')");
}
good_are_in_force('after contradictions');

# One bad row among many good ones.
sub limits_of_many
{
	return join ' ', map {
		$other->value(qq{SELECT max_connections FROM pool_explain_admission('m$_', 'regress_pool_b')
			WHERE scope = 'tenant' AND max_connections >= 0}) // 'none'
	} @_;
}

by_hand(q{INSERT INTO pool_policies (tenant, max_connections)
	SELECT '*@m' || i, CASE WHEN i = 77 THEN -7 ELSE i END FROM generate_series(1, 200) i});
$offset = -s $node->logfile;
sync();
like(last_error(), qr/^policy of tenant "\*\@m77": "max_connections" must/,
	'one bad row among 202: which one is told');
like(log_since($node, $offset), qr/leaves out 1 polic\w+: policy of tenant "\*\@m77"/,
	'in the log, too');
is(limits_of_many(1, 76, 77, 78, 200), '1 76 none 78 200', 'all but that one are in force');
good_are_in_force('a bad row among 202');
by_hand(q{UPDATE pool_policies SET max_connections = 77 WHERE tenant = '*@m77'});
sync();
is(last_error() . limits_of_many(77), '77', 'corrected, it is in force as well');
by_hand(q{DELETE FROM pool_policies WHERE tenant LIKE '*%'});
sync();

# ---------- far too many rows ----------

$n = $other->value(q{SELECT setting::int + 256 FROM pg_settings
	WHERE name = 'pool_optimizer.max_tenants'});
by_hand(q{INSERT INTO pool_policies (tenant, max_connections, on_full)
	SELECT 'flood' || i, 5, 'wait' FROM generate_series(1, 30000) i});
sync();
like(last_error(), qr/^more than $n policies: raise pool_optimizer.max_tenants/,
	'30,000 rows: told what is wrong');
good_are_in_force('30,000 rows');
is($admin->query(q{SELECT pool_set_quota('one_more@other', 5)}), undef,
	'nobody can add to them by the front door');
like($admin->error_text, qr/too many policies/, 'and is told why');
by_hand(q{DELETE FROM pool_policies WHERE tenant LIKE 'flood%'});
sync();
is(last_error(), '', 'without them nothing is wrong');
good_are_in_force('after the flood');

# Rows that are wide enough to be stored out of line, as only a table without its index
# has them, and twice the same name.
by_hand('ALTER TABLE pool_policies DROP CONSTRAINT pool_policies_pkey',
	'ALTER TABLE pool_policies ALTER tenant SET STORAGE EXTERNAL',
	q{INSERT INTO pool_policies (tenant, max_connections) VALUES (repeat('toast', 100000), 1),
		('twice', 3), ('twice', 3)});
sync();
like(last_error(), qr/^policy of tenant "toasttoast/, 'a name stored out of line is read');
good_are_in_force('without an index');
is($other->value(q{SELECT max_connections FROM pool_explain_admission('nowhere', 'regress_pool_b')
		WHERE scope = 'tenant' AND max_connections >= 0}), undef, 'and matches nobody');
by_hand(q{DELETE FROM pool_policies WHERE tenant NOT IN ('} . "$A', '$B')",
	'ALTER TABLE pool_policies ADD PRIMARY KEY (scope, tenant)');
sync();
is(last_error(), '', 'all is well again');

# ---------- another shape ----------

# What a plain scan of the heap does not look at changes nothing.
for my $case (
	[ 'a rule', 'CREATE RULE nothing AS ON UPDATE TO pool_policies DO INSTEAD NOTHING',
		'DROP RULE nothing ON pool_policies' ],
	[ 'a trigger', q{CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql
			AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER swallow BEFORE INSERT OR UPDATE OR DELETE ON pool_policies
			FOR EACH ROW EXECUTE FUNCTION swallow();
		ALTER TABLE pool_policies ENABLE ALWAYS TRIGGER swallow},
		'DROP FUNCTION swallow CASCADE' ],
	[ 'row security for all', q{CREATE POLICY none ON pool_policies AS RESTRICTIVE USING (false);
		ALTER TABLE pool_policies FORCE ROW LEVEL SECURITY},
		q{DROP POLICY none ON pool_policies;
			ALTER TABLE pool_policies NO FORCE ROW LEVEL SECURITY} ],
	[ 'other defaults', 'ALTER TABLE pool_policies ALTER max_connections SET DEFAULT -99',
		'ALTER TABLE pool_policies ALTER max_connections DROP DEFAULT' ],
	[ 'one more column', 'ALTER TABLE pool_policies ADD note int DEFAULT 3',
		'ALTER TABLE pool_policies DROP note' ],
	[ 'a generated column',
		q{ALTER TABLE pool_policies ADD twice int GENERATED ALWAYS AS (max_connections * 2) STORED},
		'ALTER TABLE pool_policies DROP twice' ],
	[ 'a child table', 'CREATE TABLE child () INHERITS (pool_policies)',
		'DROP TABLE child' ],
	[ 'no log', 'ALTER TABLE pool_policies SET UNLOGGED', 'ALTER TABLE pool_policies SET LOGGED' ])
{
	my ($what, $damage, $repair) = @$case;

	by_hand($damage);
	sync();
	is(last_error(), '', "$what: nothing is wrong");
	good_are_in_force($what);
	by_hand($repair);
}

# What cannot be read as policies leaves those in force that are.
my $view = q{ALTER TABLE pool_policies RENAME TO kept;
	CREATE %s pool_policies AS SELECT * FROM kept};
my @shapes = (
	[ 'a quota column dropped', 'ALTER TABLE pool_policies DROP max_connections',
		qr/max_connections/ ],
	[ 'a quota column of another type',
		'ALTER TABLE pool_policies ALTER max_connections TYPE bigint', qr/max_connections/,
		'ALTER TABLE pool_policies ALTER max_connections TYPE int' ],
	[ 'a column of another type', 'ALTER TABLE pool_policies ALTER idle TYPE text', qr/idle/,
		'ALTER TABLE pool_policies ALTER idle TYPE interval USING idle::interval' ],
	[ 'a domain as type', q{CREATE DOMAIN whole AS int;
		ALTER TABLE pool_policies ALTER max_connections TYPE whole}, qr/max_connections/,
		'ALTER TABLE pool_policies ALTER max_connections TYPE int' ],
	[ 'a column renamed', 'ALTER TABLE pool_policies RENAME on_full TO when_full', qr/on_full/,
		'ALTER TABLE pool_policies RENAME when_full TO on_full' ],
	[ 'scope renamed', 'ALTER TABLE pool_policies RENAME scope TO reach', qr/scope/,
		'ALTER TABLE pool_policies RENAME reach TO scope' ],
	[ 'names of another type', q{DROP POLICY see_what_applies ON pool_policies;
		ALTER TABLE pool_policies ALTER tenant TYPE name}, qr/tenant/,
		'ALTER TABLE pool_policies ALTER tenant TYPE text' ],
	[ 'names dropped', 'ALTER TABLE pool_policies DROP tenant CASCADE', qr/tenant/ ],
	[ 'the table renamed', 'ALTER TABLE pool_policies RENAME TO kept', qr/pool_policies/,
		'ALTER TABLE kept RENAME TO pool_policies' ],
	[ 'the table in another schema', q{CREATE SCHEMA far;
		ALTER EXTENSION pool_optimizer DROP TABLE pool_policies;
		ALTER TABLE pool_policies SET SCHEMA far}, qr/pool_policies/,
		q{ALTER TABLE far.pool_policies SET SCHEMA public;
			ALTER EXTENSION pool_optimizer ADD TABLE pool_policies} ],
	[ 'a view in its place', sprintf($view, 'VIEW'), qr/pool_policies/,
		'DROP VIEW pool_policies; ALTER TABLE kept RENAME TO pool_policies' ],
	[ 'a materialized view in its place', sprintf($view, 'MATERIALIZED VIEW'), qr/pool_policies/,
		'DROP MATERIALIZED VIEW pool_policies; ALTER TABLE kept RENAME TO pool_policies' ],
	[ 'a sequence in its place', q{ALTER TABLE pool_policies RENAME TO kept;
		CREATE SEQUENCE pool_policies}, qr/pool_policies/,
		'DROP SEQUENCE pool_policies; ALTER TABLE kept RENAME TO pool_policies' ],
	[ 'a partitioned table in its place', q{ALTER TABLE pool_policies RENAME TO kept;
		CREATE TABLE pool_policies (LIKE kept) PARTITION BY LIST (scope)}, qr/pool_policies/,
		'DROP TABLE pool_policies; ALTER TABLE kept RENAME TO pool_policies' ],
	[ 'an index in its place', q{ALTER TABLE pool_policies RENAME TO kept;
		CREATE INDEX pool_policies ON kept (weight)}, qr/pool_policies/,
		'DROP INDEX pool_policies; ALTER TABLE kept RENAME TO pool_policies' ]);

push @shapes,
  [ 'a virtual generated column', q{ALTER TABLE pool_policies DROP max_connections,
	ADD max_connections int GENERATED ALWAYS AS (3)}, qr/max_connections/ ]
  if $node->pg_version >= 18;

# Without its own repair the extension is created again.
sub create_again
{
	for my $sql ('BEGIN', 'DROP EXTENSION pool_optimizer CASCADE',
		'CREATE EXTENSION pool_optimizer')
	{
		$admin->query($sql) // die $admin->error_text;
	}
	set_good_policies();
	$admin->query('COMMIT') // die $admin->error_text;
	return;
}

for my $case (@shapes)
{
	my ($what, $damage, $told, $repair) = @$case;

	$offset = -s $node->logfile;
	by_hand($damage);
	ok(wait_keeper_error($offset, $told), "$what: it is told");
	# By the front door nothing gets in that would make it worse.
	$admin->query("SELECT pool_set_quota('$B', weight => 2)");
	good_are_in_force($what);
	defined $repair ? by_hand($repair) : create_again();
	# A failure is followed by a pause, which a reload ends.
	$admin->value('SELECT pg_reload_conf()');
	sync();
	is(last_error(), '', "$what, repaired: nothing is wrong");
	good_are_in_force("$what, repaired");
}

# ---------- files ----------

# Overwrites the beginning of a file, or removes it, while the server is down.
sub with_server_down
{
	my ($relation, $damage) = @_;
	my $path = $node->data_dir . '/'
	  . $admin->value("SELECT pg_relation_filepath('$relation')");

	close_all($held, $admin, $other);
	$node->stop;
	$damage->($path);
	$node->start;
	$held = open_session($node, 'regress_pool_a', dbname => 'other');
	$other = open_session($node, $superuser, dbname => 'other');
	$admin = open_session($node, $superuser);
	return;
}

sub spoil
{
	my ($path) = @_;

	open my $file, '+<:raw', $path or die "$path: $!";
	print $file "\xde\xad\xbe\xef" x 64;
	close $file or die "$path: $!";
	return;
}

sub remove
{
	my ($path) = @_;

	unlink $path or die "$path: $!";
	return;
}

for my $case (
	[ 'the first page destroyed', \&spoil, qr/invalid page in block 0/ ],
	[ 'the file removed', \&remove, qr/could not open file/ ])
{
	my ($what, $damage, $told) = @$case;

	$offset = -s $node->logfile;
	with_server_down('pool_policies', $damage);
	# The state file has them, so this holds for the first login.
	good_are_in_force("$what, at the start");
	ok(wait_keeper_error($offset, $told), "$what: it is told");
	is($admin->query("SELECT pool_set_quota('$B', 9)"), undef,
		"$what: a change fails, and whoever makes it knows");
	good_are_in_force($what);
	is($other->value('SELECT worker_errors FROM pool_stats_cluster'), '0',
		"$what: the sampler has met no error");
	$admin->query('TRUNCATE pool_policies') // die $admin->error_text;
	set_good_policies();
	$admin->value('SELECT pg_reload_conf()');
	sync();
	is(last_error(), '', "$what, repaired: nothing is wrong");
	good_are_in_force("$what, repaired");
}

# The keeper reads the heap, so an index is missed by those only who change something.
with_server_down('pool_policies_pkey', \&spoil);
sync();
is(last_error(), '', 'the index destroyed: policies are read');
good_are_in_force('the index destroyed');
is($admin->query("SELECT pool_set_quota('$B', 9)"), undef,
	'the index destroyed: a change fails');
good_are_in_force('the index destroyed, after that');
$admin->query('REINDEX TABLE pool_policies') // die $admin->error_text;
is($admin->value("SELECT (pool_set_quota('$B', 9)).max_connections"), '9',
	'the index made anew: a change is made');
is(limit_of($B), '9', 'and in force');

close_all($held, $admin, $other);
stop_clean($node);
done_testing();
