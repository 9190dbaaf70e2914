# Which statements connections are spent on: what is counted, and for whom, by every way
# in which a client can run something.  Sums are those of the transactions.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	-name => 'statements',
	max_prepared_transactions => 2,
	min_parallel_table_scan_size => 0,
	parallel_setup_cost => 0,
	parallel_tuple_cost => 0,
	'pool_optimizer.mode' => 'observe');
my $dir = PostgreSQL::Test::Utils::tempdir();

$node->safe_psql('postgres', q{
	CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL);
	INSERT INTO item SELECT g, 0 FROM generate_series(1, 1000) g;
	CREATE TABLE note (id serial, item int REFERENCES item, text text);
	CREATE TABLE big AS SELECT g AS id FROM generate_series(1, 20000) g;
	ANALYZE;
	GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
	GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;
	CREATE FUNCTION slowly(ms int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
		BEGIN PERFORM pg_sleep(ms / 1000.0); RETURN ms; END $$;
	CREATE FUNCTION nested() RETURNS int LANGUAGE plpgsql AS $$
		DECLARE
			r record;
			n int := 0;
		BEGIN
			FOR r IN SELECT id FROM item WHERE id <= 5 LOOP
				UPDATE item SET n = item.n + 1 WHERE item.id = r.id;
				n := n + 1;
			END LOOP;
			BEGIN
				PERFORM 1 / 0 FROM item;
			EXCEPTION WHEN division_by_zero THEN
				PERFORM count(*) FROM item;
			END;
			EXECUTE 'SELECT count(*) FROM note';
			RETURN n;
		END $$;
	CREATE FUNCTION in_sql() RETURNS bigint LANGUAGE sql VOLATILE AS
		'UPDATE item SET n = 7 WHERE id = 7; SELECT count(*) FROM item';
	CREATE FUNCTION after_note() RETURNS trigger LANGUAGE plpgsql AS $$
		DECLARE r record;
		BEGIN
			FOR r IN SELECT id FROM item WHERE id < 4 LOOP
				PERFORM count(*) FROM big WHERE id = r.id;
			END LOOP;
			RETURN NULL;
		END $$;
	CREATE TRIGGER after_note AFTER INSERT ON note
		FOR EACH ROW EXECUTE FUNCTION after_note();
	CREATE PROCEDURE commits(n int) LANGUAGE plpgsql AS $$
		BEGIN
			FOR i IN 1..n LOOP
				INSERT INTO note (text) VALUES ('x');
				COMMIT;
			END LOOP;
		END $$});

# ---------- helpers ----------

# The rows of a tenant, by text.
sub statements
{
	my ($role) = @_;
	my @columns = qw(queryid calls busy_ms connection_seconds share client_wait_ms lock_wait_ms
	  mean_ms p99_ms max_ms rows);
	my $rows = $node->safe_psql('postgres', sprintf(
			q{SELECT coalesce(query, CASE WHEN queryid IS NULL THEN '(others)' ELSE '' END), %s
			FROM pool_stats_statement WHERE tenant = '%s@postgres'}, join(', ', @columns), $role),
		extra_params => [ '-F', "\t" ]);
	my %found;

	foreach (split /\n/, $rows)
	{
		my ($query, @values) = split /\t/, $_, -1;

		@{ $found{$query} }{@columns} = @values;
	}
	return \%found;
}

# Calls by text, as one can read it in a diagnostic.
sub calls
{
	my ($role) = @_;
	my $found = statements($role);

	return join('; ', map { "$_: $found->{$_}{calls}" } sort keys %$found);
}

sub field
{
	my ($role, $query, $column) = @_;
	my $found = statements($role);

	return $found->{$query}{$column} if exists $found->{$query};
	diag("no \"$query\" among: " . join('; ', sort keys %$found));
	return -1;
}

# What all statements held connections for is the duration of all transactions.
sub sums_agree
{
	my ($role, $what, $aborted_ms) = @_;

	wait_sessions($node, "$role\@postgres", 0);
	my ($held, $taken, $share) = split /\|/, $node->safe_psql('postgres', qq{
		SELECT sum(busy_ms + client_wait_ms), max(s.transactions * s.xact_mean_ms), sum(share)
		FROM pool_stats_statement JOIN pool_stats AS s USING (tenant)
		WHERE tenant = '$role\@postgres'});

	# An aborted transaction has ended, but its client holds the connection.
	$held -= $aborted_ms // 0;
	cmp_ok(abs($held - $taken), '<=', 0.01 + $taken * 1e-6,
		"$what: statements sum up to the time of transactions")
	  or diag("$held ms of statements, $taken ms of transactions");
	cmp_ok(abs($share - 1), '<', 1e-6, "$what: shares to 1");
	return;
}

# Until the session has been idle in its transaction for so long.
sub let_wait
{
	my ($session, $ms) = @_;
	my $pid = $session->pid;

	return $node->poll_query_until('postgres', qq{
		SELECT state LIKE 'idle in transaction%'
			AND clock_timestamp() - state_change > '$ms ms'::interval
		FROM pg_stat_activity WHERE pid = $pid});
}

# Messages of the extended protocol; the answer is awaited.
sub extended
{
	my ($session, @messages) = @_;

	$session->update;
	$session->{rows} = [];
	$session->{error} = undef;
	$session->{state} = 'busy';
	$session->write_all(join('', map { $_->[0] . pack('N', length($_->[1]) + 4) . $_->[1] }
		  @messages));
	return $session->result;
}

sub parse_message { my ($sql, $name) = @_; return [ P => ($name // '') . "\0$sql\0" . pack('n', 0) ]; }
sub bind_message { my ($name, $portal) = @_; return [ B => ($portal // '') . "\0" . ($name // '') . "\0" . pack('nnn', 0, 0, 0) ]; }
sub execute_message { my ($rows, $portal) = @_; return [ E => ($portal // '') . "\0" . pack('N', $rows // 0) ]; }
sub sync_message { return [ S => '' ]; }

sub run_extended
{
	my ($session, $sql) = @_;

	return extended($session, parse_message($sql), bind_message(), execute_message(),
		sync_message());
}

# ---------- three protocols, several clients ----------

append_to_file("$dir/mixed.sql", <<'SQL');
\set id random(1, 1000)
BEGIN;
SELECT n FROM item WHERE id = :id;
UPDATE item SET n = n + 1 WHERE id = :id;
SELECT id FROM item WHERE id <= 3;
COMMIT;
SELECT 1;
SQL

foreach my $mode (qw(simple extended prepared))
{
	my $role = new_tenant($node);
	my ($out, $err);

	IPC::Run::run([
			'pgbench', '-n', '-f', "$dir/mixed.sql", '-h', $node->host, '-p', $node->port,
			'-U', $role, '-M', $mode, '-c', 4, '-j', 2, '-t', 50, '--max-tries=10', 'postgres'
		], '>', \$out, '2>', \$err) or diag($err);
	wait_sessions($node, "$role\@postgres", 0);
	my $of = statements($role);
	my ($read) = grep { /^SELECT n FROM item/ } keys %$of;
	my ($write) = grep { /^UPDATE item/ } keys %$of;
	my ($list) = grep { /^SELECT id FROM item/ } keys %$of;

	is(join(' ', map { $of->{$_}{calls} // 'none' } 'BEGIN', $read, $write, $list, 'COMMIT'),
		'200 200 200 200 200', "$mode: calls of each statement")
	  or diag(calls($role));
	is(join(' ', map { $of->{$_}{rows} // 'none' } 'BEGIN', $read, $write, $list),
		'0 200 200 600', "$mode: and rows");
	my @wrong = grep {
		my $s = $of->{$_};
		abs($s->{connection_seconds} - ($s->{busy_ms} + $s->{client_wait_ms}) / 1000) > 1e-6
		  || ($s->{calls} > 0 && (abs($s->{mean_ms} - $s->{busy_ms} / $s->{calls}) > 1e-6
			|| $s->{max_ms} < $s->{mean_ms} - 1e-6 || $s->{p99_ms} > $s->{max_ms} + 1e-6))
	} grep { $_ ne '(others)' } keys %$of;

	is(join('; ', @wrong), '', "$mode: figures of each row agree");
	sums_agree($role, $mode);
}

# ---------- waiting for the client ----------

{
	my $role = new_tenant($node);
	my $session = open_session($node, $role);

	$session->query('BEGIN');
	let_wait($session, 120);
	$session->query('SELECT n FROM item WHERE id = 1');
	let_wait($session, 240);
	run_extended($session, 'UPDATE item SET n = 5 WHERE id = 1');
	let_wait($session, 60);
	$session->query('COMMIT');
	my $of = statements($role);

	cmp_ok($of->{BEGIN}{client_wait_ms}, '>=', 120, 'the wait after BEGIN is BEGIN\'s');
	cmp_ok($of->{'SELECT n FROM item WHERE id = $1'}{client_wait_ms}, '>=', 240,
		'the wait after a statement is its own');
	cmp_ok($of->{'UPDATE item SET n = $1 WHERE id = $2'}{client_wait_ms}, '>=', 60,
		'also in the extended protocol');
	is($of->{COMMIT}{client_wait_ms}, '0', 'COMMIT has none');

	# A transaction that begins at once with the end of the one before it.
	$session->query('BEGIN');
	$session->query('COMMIT AND CHAIN');
	let_wait($session, 100);
	$session->query('SELECT 1');
	$session->query('ROLLBACK');
	cmp_ok(field($role, 'COMMIT AND CHAIN', 'client_wait_ms'), '>=', 100,
		'COMMIT AND CHAIN has the wait in what it begins');
	cmp_ok(field($role, 'SELECT $1', 'busy_ms'), '<', 100, 'not what comes after it');

	# After an error the client may think as well, before it goes back to a savepoint.
	$session->query('BEGIN');
	$session->query('SAVEPOINT a');
	$session->query('SELECT 1 / 0');
	let_wait($session, 100);
	$session->query('ROLLBACK TO a');
	$session->query('COMMIT');
	my ($failed) = $node->safe_psql('postgres', qq{
		SELECT calls || ' ' || (client_wait_ms >= 100) FROM pool_stats_statement
		WHERE tenant = '$role\@postgres' AND query IS NULL AND queryid IS NOT NULL});
	is($failed, '1 true', 'a statement that failed to be planned has the wait after it');

	# The end of a session, or of a transaction, while it waits.
	$session->query('BEGIN');
	$session->query('SELECT n FROM item WHERE id = 2');
	let_wait($session, 150);
	$session->vanish;
	wait_sessions($node, "$role\@postgres", 0);
	cmp_ok(field($role, 'SELECT n FROM item WHERE id = $1', 'client_wait_ms'), '>=', 240 + 150,
		'a client that vanishes has waited until then');
	cmp_ok(field($role, 'SELECT n FROM item WHERE id = $1', 'busy_ms'), '<', 150,
		'and its statement was not busy with that');
}

# ---------- planning, pipelines, several in one string ----------

{
	my $role = new_tenant($node);
	my $session = open_session($node, $role);

	run_extended($session, 'BEGIN');
	run_extended($session, 'SELECT n FROM item WHERE id = slowly(100)');
	run_extended($session, 'SELECT n + 0 FROM item WHERE id = slowly(200)');
	run_extended($session, 'COMMIT');
	my $of = statements($role);
	my $planned = 'SELECT n FROM item WHERE id = slowly($1)';

	cmp_ok($of->{$planned}{busy_ms}, '>=', 100, 'the time to plan is the statement\'s');
	cmp_ok($of->{'SELECT n + $1 FROM item WHERE id = slowly($2)'}{busy_ms}, '>=', 200,
		'and of the next one');
	cmp_ok($of->{BEGIN}{busy_ms}, '<', 100, 'not that of the one before it');
	is(calls($role), "BEGIN: 1; COMMIT: 1; SELECT n + \$1 FROM item WHERE id = slowly(\$2): 1; "
		  . "$planned: 1", 'what runs while planning is no statement of its own');

	$role = new_tenant($node);
	$session = open_session($node, $role);
	extended($session, map({ parse_message("SELECT pg_sleep(0.$_), '$_'::char($_)"),
			  bind_message(), execute_message() } 1 .. 3), sync_message());
	$of = statements($role);
	is(join(' ', map { $of->{$_}{calls} } grep { /pg_sleep/ } keys %$of), '3', 'a pipeline: calls');
	cmp_ok(field($role, 'SELECT pg_sleep($1), $2::char($3)', 'busy_ms'), '>=', 600,
		'and its time');
	extended($session, map({ parse_message($_), bind_message(), execute_message() }
			'SELECT pg_sleep(0.2)', 'SELECT n FROM item WHERE id = 3'), sync_message());
	cmp_ok(field($role, 'SELECT pg_sleep($1)', 'busy_ms'), '>=', 200,
		'of two in a pipeline each has its own');
	cmp_ok(field($role, 'SELECT n FROM item WHERE id = $1', 'busy_ms'), '<', 200, 'the second, too');

	$role = new_tenant($node);
	$session = open_session($node, $role);
	$session->query('SELECT pg_sleep(0.15); SELECT n FROM item WHERE id = 1; SELECT n FROM item '
		  . 'WHERE id = 2; UPDATE item SET n = 1 WHERE id = 9');
	is(calls($role), 'SELECT n FROM item WHERE id = $1: 2; SELECT pg_sleep($1): 1; '
		  . 'UPDATE item SET n = $1 WHERE id = $2: 1', 'several in a string: calls of each');
	cmp_ok(field($role, 'SELECT pg_sleep($1)', 'busy_ms'), '>=', 150, 'with the time of each');
	cmp_ok(field($role, 'UPDATE item SET n = $1 WHERE id = $2', 'busy_ms'), '<', 150,
		'not all of it for the last');
	close_all($session);
	sums_agree($role, 'several in a string');
}

# ---------- what statements run in turn is theirs ----------

{
	my $role = new_tenant($node);
	my $session = open_session($node, $role);

	$session->query('SELECT nested()');
	$session->query('SELECT in_sql()');
	$session->query(q{INSERT INTO note (item, text) VALUES (1, 'a'), (2, 'b')});
	$session->query('SELECT nested()');
	$session->query('DO $$ BEGIN PERFORM nested(); INSERT INTO note (item) VALUES (3); END $$');
	run_extended($session, 'SELECT nested()');
	$session->query('EXPLAIN ANALYZE SELECT count(*) FROM item');
	$session->query('CREATE TEMP TABLE copied AS SELECT * FROM item');
	$session->query('CALL commits(3)');
	is(calls($role), join('; ', 'CALL commits($1): 1',
			'CREATE TEMP TABLE copied AS SELECT * FROM item: 1', 'DO $1: 1',
			'EXPLAIN ANALYZE SELECT count(*) FROM item: 1',
			'INSERT INTO note (item, text) VALUES ($1, $2), ($3, $4): 1', 'SELECT in_sql(): 1',
			'SELECT nested(): 3'),
		'functions, triggers, foreign keys, procedures: only what was sent is counted');
	is(field($role, 'CREATE TEMP TABLE copied AS SELECT * FROM item', 'rows'), '1000',
		'CREATE TABLE AS has its rows');
	is(field($role, 'INSERT INTO note (item, text) VALUES ($1, $2), ($3, $4)', 'rows'), '2',
		'INSERT has its rows, not those of its triggers');
	close_all($session);
	sums_agree($role, 'nested');
}

# ---------- prepared statements, cursors, COPY ----------

{
	my $role = new_tenant($node);
	my $session = open_session($node, $role);

	$session->query('PREPARE p AS SELECT n FROM item WHERE id <= $1');
	$session->query('EXECUTE p(5)');
	$session->query('EXECUTE p(6); EXECUTE p(7)');
	is(field($role, 'PREPARE p AS SELECT n FROM item WHERE id <= $1', 'rows'), '18',
		'EXECUTE counts for what it executes')
	  or diag(calls($role));

	# The one that it executes is the client's, not what a trigger of that goes through.
	my $other = new_tenant($node);
	my $inserts = open_session($node, $other);

	$inserts->query($_) foreach 'PREPARE i AS INSERT INTO note (text) VALUES ($1)', q{EXECUTE i('x')},
	  q{EXECUTE i('y'); EXECUTE i('z')};
	unlike(calls($other), qr/SELECT id FROM item/, 'a trigger of what EXECUTE executes is a part of it');
	is($node->safe_psql('postgres', qq{SELECT sum(calls) FROM pool_stats_statement
		WHERE tenant = '$other\@postgres'}), '4', 'and no call of its own');
	close_all($inserts);

	$session->query('BEGIN');
	$session->query('DECLARE c CURSOR FOR SELECT id FROM item ORDER BY id');
	$session->query('FETCH 10 FROM c');
	$session->query('FETCH 10 FROM c');
	$session->query('CLOSE c');
	my $of = statements($role);
	my ($fetch) = grep { /^FETCH/ } keys %$of;

	is("$of->{$fetch}{calls} $of->{$fetch}{rows}", '2 20', 'FETCH is a statement with its rows');
	# A portal that is fetched from again and again is one call.
	extended($session, parse_message('SELECT id FROM item WHERE id <= 25'), bind_message('', 'x'),
		execute_message(10, 'x'), sync_message());
	extended($session, execute_message(10, 'x'), sync_message());
	extended($session, execute_message(10, 'x'), sync_message());
	$session->query('COMMIT');
	$of = statements($role);
	is(join(' ', @{ $of->{'SELECT id FROM item WHERE id <= $1'} }{qw(calls rows)}), '1 25',
		'a portal with three fetches is one call')
	  or diag(calls($role));

	my $out = psql_as($node, $role, qq{COPY item TO STDOUT;
\\copy (SELECT id FROM item WHERE id < 11) TO '$dir/rows'
\\copy big FROM '$dir/rows'});
	$of = statements($role);
	is($of->{'COPY item TO STDOUT'}{rows}, '1000', 'COPY TO has its rows');
	my ($in) = grep { /^COPY\s+big FROM STDIN/ } keys %$of;

	is(defined $in ? $of->{$in}{rows} : calls($role), '10', 'COPY FROM as well');
	close_all($session);
	sums_agree($role, 'prepared statements, cursors, COPY');
}

# ---------- errors and cancels ----------

{
	my $role = new_tenant($node);
	my $session = open_session($node, $role);

	$session->query('SELEC 1');
	$session->query('SELECT nothing FROM item');
	$session->query('SELECT n / 0 FROM item');
	run_extended($session, 'SELECT n / 0 FROM item');
	$session->query(q{SET statement_timeout = '100ms'});
	$session->query('SELECT pg_sleep(1000)');
	is($session->sqlstate, '57014', 'a statement is cancelled');
	$session->query('RESET statement_timeout');
	my $of = statements($role);

	is($of->{'SELECT n / $1 FROM item'}{calls}, '2', 'a statement that fails is a call');
	is($of->{'SELECT pg_sleep($1)'}{calls}, '1', 'one that is cancelled as well');
	cmp_ok($of->{'SELECT pg_sleep($1)'}{busy_ms}, '>=', 100, 'with the time it took');
	is($of->{'(others)'}{calls}, '0', 'what cannot be analysed is no call');
	cmp_ok($of->{'(others)'}{busy_ms}, '>', 0, 'but its time is not lost');
	# The next statement is not taken for a part of the one that failed.
	$session->query('SELECT nested() / 0');
	$session->query('SELECT n FROM item WHERE id = 1');
	$session->query('BEGIN');
	$session->query('SELECT n FROM item WHERE id = 1');
	$session->query('SELECT nested() / 0');
	$session->query('SELECT n FROM item WHERE id = 1');
	is($session->sqlstate, '25P02', 'the transaction is aborted');
	let_wait($session, 50);
	$session->query('ROLLBACK');
	$session->query('SELECT n FROM item WHERE id = 1');
	is(field($role, 'SELECT n FROM item WHERE id = $1', 'calls'), '3', 'after errors calls are right')
	  or diag(calls($role));

	cmp_ok(field($role, 'SELECT nested() / $1', 'client_wait_ms'), '>=', 50,
		'who leaves an aborted transaction open holds the connection');

	# Cancelled in the middle of a function's function, and of a fetch of a cursor.
	$session->query('CREATE TEMP TABLE x AS SELECT 1');
	foreach my $sql ('DO $$ BEGIN PERFORM pg_sleep(1000); END $$',
		'SELECT pg_sleep(1000) FROM big', 'COPY (SELECT pg_sleep(1000)) TO STDOUT')
	{
		$session->send_query($sql);
		ok($node->poll_query_until('postgres', sprintf(
					q{SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = %d},
					$session->pid)), "runs: $sql");
		$node->safe_psql('postgres', sprintf('SELECT pg_cancel_backend(%d)', $session->pid));
		$session->result;
		is($session->sqlstate, '57014', "cancelled: $sql");
	}
	is($session->value('SELECT 1'), '1', 'the session goes on');
	is(field($role, 'SELECT $1', 'calls'), '1', 'and counts');
	close_all($session);
	sums_agree($role, 'errors', field($role, 'SELECT nested() / $1', 'client_wait_ms'));
}

# ---------- subtransactions, held cursors, an end in the middle ----------

{
	my $role = new_tenant($node);
	my $session = open_session($node, $role);

	$session->query(q{DO $$ BEGIN
		FOR i IN 1 .. 300 LOOP
			BEGIN
				PERFORM 1 / (n * 0 + i % 2) FROM item WHERE id = i;
			EXCEPTION WHEN division_by_zero THEN
				PERFORM nested();
			END;
		END LOOP;
	END $$});
	$session->query('BEGIN');
	foreach my $i (1 .. 40)
	{
		$session->query('SAVEPOINT s');
		$session->query("SELECT n FROM item WHERE id = $i");
		$session->query('SELECT nested() / 0') if $i % 4 == 1;
		$session->query('SELECT 1 / 0') if $i % 4 == 2;
		run_extended($session, 'SELECT nothing') if $i % 4 == 3;
		$session->query($i % 4 == 0 ? 'RELEASE s' : 'ROLLBACK TO s');
	}
	$session->query(q{DECLARE h CURSOR WITH HOLD FOR SELECT id FROM item ORDER BY id});
	$session->query('FETCH 2 FROM h');
	$session->query('COMMIT');
	$session->query('FETCH 2 FROM h');
	$session->query('CLOSE h');
	my $of = statements($role);

	is(join(' ', map { $of->{$_}{calls} // 'none' } 'DO $1', 'SAVEPOINT s',
			'SELECT n FROM item WHERE id = $1', 'SELECT nested() / $1', 'ROLLBACK TO s', 'RELEASE s'),
		'1 40 40 10 30 10', 'subtransactions of functions and clients')
	  or diag(calls($role));
	is($of->{''}{calls}, '10', 'those that fail to be planned are known by their id')
	  or diag(calls($role));
	is(join(' ', sort map { "$_ $of->{$_}{rows}" } grep { /^FETCH/ } keys %$of),
		'FETCH $1 FROM h 4', 'a held cursor goes on after its transaction')
	  or diag(calls($role));
	close_all($session);
	sums_agree($role, 'subtransactions');

	# Ended while it runs; and a client that is gone while rows are sent to it.
	$session = open_session($node, $role);
	$session->send_query('SELECT nested(), pg_sleep(1000) FROM big');
	ok($node->poll_query_until('postgres', sprintf(
				q{SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = %d}, $session->pid)),
		'it runs');
	$node->safe_psql('postgres', sprintf('SELECT pg_terminate_backend(%d)', $session->pid));
	wait_sessions($node, "$role\@postgres", 0);
	is(field($role, 'SELECT nested(), pg_sleep($1) FROM big', 'calls'), '1',
		'what was terminated is a call');
	$session->vanish;
	$session = open_session($node, $role);
	$session->send_query('COPY (SELECT a.* FROM big a, big b) TO STDOUT');
	$session->vanish;
	wait_sessions($node, "$role\@postgres", 0);
	is(field($role, 'COPY (SELECT a.* FROM big a, big b) TO STDOUT', 'calls'), '1',
		'what a client has left as well');
	sums_agree($role, 'ends in the middle');
}

# ---------- locks ----------

{
	my ($holder, $waiter) = (new_tenant($node), new_tenant($node));
	my @session = map { open_session($node, $_) } $holder, $waiter;

	$session[0]->query('BEGIN');
	$session[0]->query('UPDATE item SET n = 0 WHERE id = 500');
	$session[1]->send_query('UPDATE item SET n = 1 WHERE id = 500');
	ok($node->poll_query_until('postgres', qq{SELECT lock_wait_ms >= 100 AND calls = 0
			FROM pool_stats_statement WHERE tenant = '$waiter\@postgres' AND queryid IS NOT NULL}),
		'a wait for a lock is seen while it lasts');
	$session[0]->query('COMMIT');
	$session[1]->result;
	my $of = statements($waiter)->{'UPDATE item SET n = $1 WHERE id = $2'};

	cmp_ok($of->{lock_wait_ms}, '<=', $of->{busy_ms} + 100,
		'it is a part of the time the statement took, but for a sample');
	is(statements($holder)->{'UPDATE item SET n = $1 WHERE id = $2'}{lock_wait_ms}, '0',
		'who holds the lock does not wait');
	close_all(@session);
}

# ---------- parallel query, two-phase commit, who is who ----------

{
	my $role = new_tenant($node);
	my $session = open_session($node, $role);
	my $plan = join("\n", map { $_->[0] } @{ $session->query('EXPLAIN SELECT count(*) FROM big') });

	like($plan, qr/Workers Planned/, 'the query is a parallel one');
	$session->query('SELECT count(*) FROM big') foreach 1 .. 5;
	my $of = statements($role)->{'SELECT count(*) FROM big'};

	is("$of->{calls} $of->{rows}", '5 5', 'parallel workers count for nothing');
	my ($explained) = map { $_->[0] =~ /Query Identifier: (-?\d+)/ ? $1 : () }
	  @{ $session->query('EXPLAIN (VERBOSE) SELECT count(*) FROM big') };

	is($of->{queryid}, $explained, 'the queryid is core\'s');
	$session->query('BEGIN');
	$session->query('INSERT INTO note (text) VALUES (1)');
	$session->query(q{PREPARE TRANSACTION 'two'});
	$session->query(q{COMMIT PREPARED 'two'});
	is(join(' ', map { field($role, $_, 'calls') } 'INSERT INTO note (text) VALUES ($1)',
			'PREPARE TRANSACTION $1', 'COMMIT PREPARED $1'), '1 1 1', 'two-phase commit');
	close_all($session);
	sums_agree($role, 'parallel query and two-phase commit');
}

# ---------- many statements in one session ----------

{
	my $role = new_tenant($node);
	my $session = open_session($node, $role);

	# More than a session has accounts for, several times over, with one that stays.
	foreach my $round (1 .. 3)
	{
		foreach my $i (1 .. 150)
		{
			$session->query("SELECT n AS c$i" . ', n' x $i . ' FROM item WHERE id = 1');
			$session->query('SELECT n FROM item WHERE id = 1');
		}
	}
	my $counted = $node->safe_psql('postgres', qq{
		SELECT count(*), min(calls), max(calls), sum(calls), sum(rows) FROM pool_stats_statement
		WHERE tenant = '$role\@postgres' AND queryid IS NOT NULL});

	is($counted, '151|3|450|900|900', 'each of 151 statements in turn is counted exactly');
	close_all($session);
	sums_agree($role, 'many statements');
}

# ---------- more ends than a session keeps, and before them some without a query id ----------

{
	my $role = new_tenant($node);
	my $session = open_session($node, $role);
	my $read = 'SELECT n FROM item WHERE id = 1';

	$node->safe_psql('postgres', "GRANT SET ON PARAMETER compute_query_id TO $role");
	# It has an account already: for a new one all would be merged.
	$session->query($read);
	$session->query(join('; ', 'SET compute_query_id = off', ('SELECT 1') x 10,
			'SET compute_query_id = on', ($read) x 300)) // die $session->error_text;
	is($node->safe_psql('postgres', qq{SELECT sum(calls) FROM pool_stats_statement
		WHERE tenant = '$role\@postgres'}), '313', 'no call is lost, with or without a query id');
	close_all($session);
	sums_agree($role, 'without a query id');
}

stop_clean($node);
done_testing();
