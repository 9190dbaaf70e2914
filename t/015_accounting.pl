# Accounting is exact: whatever the concurrency, however short a session, and even if
# the sampler is killed meanwhile.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	-name => 'accounting',
	max_prepared_transactions => 5,
	'pool_optimizer.mode' => 'observe');

create_roles($node, 'r_count', 'r_one');
$node->safe_psql('postgres', q{
	CREATE TABLE t (a int);
	GRANT ALL ON t TO PUBLIC;
	CREATE PROCEDURE three() LANGUAGE plpgsql AS $$
		BEGIN FOR i IN 1..3 LOOP INSERT INTO t VALUES (i); COMMIT; END LOOP; END $$});

my $dir = PostgreSQL::Test::Utils::tempdir();

PostgreSQL::Test::Utils::append_to_file("$dir/mixed.sql", <<'SQL');
BEGIN;
INSERT INTO t VALUES (1);
COMMIT;
BEGIN;
INSERT INTO t VALUES (2);
SAVEPOINT s;
INSERT INTO t VALUES (3);
ROLLBACK TO s;
ROLLBACK;
SELECT 1;
SQL

# transactions, rollbacks and errors of the tenant, once all its sessions have gone.
sub counts
{
	my ($role) = @_;

	wait_sessions($node, "$role\@postgres", 0);
	return [ split /\|/, $node->safe_psql('postgres', qq{
		SELECT coalesce(sum(transactions), 0), coalesce(sum(rollbacks), 0),
			coalesce(sum(errors), 0), coalesce(sum(admitted), 0)
		FROM pool_stats WHERE tenant = '$role\@postgres'}) ];
}

sub added
{
	my ($before, $after) = @_;

	return join(' ', map { $after->[$_] - $before->[$_] } 0 .. 2);
}

sub pgbench
{
	my ($file, @options) = @_;

	return [
		'pgbench', '-n', '-f', "$dir/$file", '-h', $node->host, '-p', $node->port,
		'-U', 'r_count', @options, 'postgres'
	];
}

sub run_pgbench
{
	my @command = @{ pgbench(@_) };
	my ($out, $err);

	IPC::Run::run(\@command, '>', \$out, '2>', \$err) or diag($err);
	return $out;
}

# ---------- eight clients at once ----------

# Each run of the script ends three transactions, one of them by ROLLBACK.
my $before = counts('r_count');

run_pgbench('mixed.sql', '-c', 8, '-j', 2, '-t', 100);
my $after = counts('r_count');

is(added($before, $after), '2400 800 0', 'simple protocol: exact');

$before = $after;
run_pgbench('mixed.sql', '-c', 8, '-j', 2, '-t', 50, '-M', 'extended');
$after = counts('r_count');
is(added($before, $after), '1200 400 0', 'extended protocol: exact');

# ---------- sessions too short to be seen ----------

# With a sample a minute the sampler sees none of them.
$node->safe_psql('postgres', q{ALTER SYSTEM SET pool_optimizer.sample_interval = '60s'});
$node->reload;
$before = $after;
run_pgbench('mixed.sql', '-c', 4, '-j', 2, '-t', 25, '-C');
$after = counts('r_count');
is(added($before, $after), '300 100 0', 'a connection for each run, never sampled: exact');
cmp_ok($after->[3] - $before->[3], '>=', 100, 'there were as many logins');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET pool_optimizer.sample_interval});
$node->reload;

# ---------- the sampler is killed meanwhile ----------

$before = $after;
my ($in, $out) = ('', '');
my $run = IPC::Run::start(pgbench('mixed.sql', '-c', 8, '-j', 2, '-t', 300), '<', \$in, '>&',
	\$out);
my $kills = 0;

# From when it works, as long as it works.
ok($node->poll_query_until('postgres', qq{SELECT transactions > $before->[0] + 100
		FROM pool_stats WHERE tenant = 'r_count\@postgres'}), 'pgbench is at work');
while ($run->pumpable && $kills < 2)
{
	my $pid = cluster_stat($node, 'sampler_pid');

	kill 'TERM', $pid or last;
	# Does it run still?
	$run->pump_nb;
	last if !$run->pumpable;
	$kills++;
	ok($node->poll_query_until('postgres',
			"SELECT coalesce(sampler_pid <> $pid, false) FROM pool_stats_cluster"),
		'the sampler is back after SIGTERM');
	$run->pump_nb;
}
$run->finish;
cmp_ok($kills, '>=', 1, 'the sampler was killed while pgbench ran');
$after = counts('r_count');
is(added($before, $after), '7200 2400 0', 'nothing was lost or counted twice');

# Whatever a histogram is made of has as many entries.
is($node->safe_psql('postgres', q{
		SELECT xact_mean_ms > 0 AND xact_p50_ms <= xact_p95_ms AND xact_p95_ms <= xact_p99_ms
		FROM pool_stats WHERE tenant = 'r_count@postgres'}), 't', 'with sane durations');

# ---------- what a transaction is ----------

sub one
{
	my ($what, $expected, @statements) = @_;
	my $start = counts('r_one');
	my $session = open_session($node, 'r_one');

	$session->query($_) foreach @statements;
	$session->close_and_wait;
	is(added($start, counts('r_one')), $expected, $what);
	return;
}

one('a session that does nothing', '0 0 0');
one('one statement', '1 0 0', 'SELECT 1');
one('an empty statement', '1 0 0', ';');
one('two statements in one message are one transaction', '1 0 0', 'SELECT 1; SELECT 2');
one('COMMIT', '1 0 0', 'BEGIN', 'SELECT 1', 'COMMIT');
one('ROLLBACK is a rollback, but no error', '1 1 0', 'BEGIN', 'SELECT 1', 'ROLLBACK');
one('an error', '1 1 1', 'SELECT 1/0');
one('a syntax error', '1 1 1', 'SELEC');
one('an error in a transaction', '1 1 1', 'BEGIN', 'SELECT 1/0', 'SELECT 1', 'ROLLBACK');
one('COMMIT of an aborted transaction', '1 1 1', 'BEGIN', 'SELECT 1/0', 'COMMIT');
one('an error caught', '1 0 0',
	q{DO $$BEGIN PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN NULL; END$$});
one('subtransactions do not count', '1 0 0', 'BEGIN', 'SAVEPOINT a', 'RELEASE a',
	'SAVEPOINT b', 'ROLLBACK TO b', 'COMMIT');
one('a procedure that commits three times, and its end', '4 0 0', 'CALL three()');
one('COMMIT AND CHAIN', '2 1 0', 'BEGIN', 'COMMIT AND CHAIN', 'ROLLBACK');
one('two-phase commit', '2 0 0', 'BEGIN', 'INSERT INTO t VALUES (9)',
	q{PREPARE TRANSACTION 'p'}, q{COMMIT PREPARED 'p'});
one('goodbye in a transaction', '1 1 0', 'BEGIN', 'INSERT INTO t VALUES (10)');

my $start = counts('r_one');
my $gone = open_session($node, 'r_one');

$gone->query('BEGIN');
$gone->vanish;
is(added($start, counts('r_one')), '1 1 0', 'a client that vanishes in a transaction');

$start = counts('r_one');
my $ended = open_session($node, 'r_one');

$ended->query('BEGIN');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $ended->pid . ')');
$ended->wait_closed;
like(added($start, counts('r_one')), qr/^1 1 /, 'a session ended by an administrator');

# A live session's account is current as of the last sample.
$start = counts('r_one');
my $live = open_session($node, 'r_one');

$live->query('SELECT 1') foreach 1 .. 50;
ok($node->poll_query_until('postgres', qq{SELECT transactions = $start->[0] + 50
		FROM pool_stats WHERE tenant = 'r_one\@postgres'}),
	'a session that is still open is counted, too');
is($node->safe_psql('postgres',
		'SELECT transactions FROM pool_stats_session WHERE pid = ' . $live->pid), '50',
	'pool_stats_session has its own count');

# After an error the tenant's last_error names it, without the statement.
$live->query(q{SELECT 'secret'::int});
ok($node->poll_query_until('postgres', q{
		SELECT last_error = 'transaction ended by SQLSTATE 22P02' FROM pool_stats
		WHERE tenant = 'r_one@postgres'}), 'last_error has the SQLSTATE, no statement text');

# What a trigger does at the login is a part of that.
if ($node->pg_version >= 17)
{
	create_roles($node, 'r_triggers', 'r_turned_away');
	$node->safe_psql('postgres', 'CREATE DATABASE triggers');
	$node->safe_psql('triggers', q{
		CREATE TABLE logins (who text);
		GRANT ALL ON logins TO PUBLIC;
		CREATE FUNCTION at_login() RETURNS event_trigger LANGUAGE plpgsql AS $$
			BEGIN
				IF session_user = 'r_turned_away' THEN
					RAISE EXCEPTION 'turned away';
				END IF;
				INSERT INTO logins VALUES (session_user);
			END $$;
		CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION at_login()});
	$node->safe_psql('postgres',
		q{SELECT pool_set_timeouts('r_triggers@triggers', never_used => '100ms')});
	wait_sync($node);
	my $session = open_session($node, 'r_triggers', dbname => 'triggers');
	my $of_session = 'FROM pool_stats_session WHERE pid = ' . $session->pid;

	ok($node->poll_query_until('postgres', "SELECT class = 'never_used' $of_session"),
		'a session whose login ran a trigger was never used');
	is($node->safe_psql('postgres', "SELECT transactions $of_session"), '0',
		'and has ended no transaction');
	is($session->value(q{SELECT count(*) FROM logins WHERE who = 'r_triggers'}), '1',
		'the trigger did run');
	ok($node->poll_query_until('postgres', "SELECT transactions = 1 $of_session"),
		'its own is counted');
	like(refused($node, 'r_turned_away', dbname => 'triggers'), qr/turned away/,
		'a trigger refuses a login');
	ok(wait_sessions($node, 'r_turned_away@triggers', 0), 'whose place is given back');
	is(stat_of($node, 'r_turned_away@triggers',
			q{errors || ' ' || rollbacks || ' ' || last_error}),
		'1 0 login refused by the server after admission', 'and which counts as one that failed');
	close_all($session);
}

stop_clean($node);
done_testing();
