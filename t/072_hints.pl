# What is counted of statements as a hint at waste: slow ones, loops, reads that repeat others,
# scans of large tables, who is waited for; and that nothing of it is counted where there is none.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	-name => 'hints',
	max_prepared_transactions => 1,
	'pool_optimizer.mode' => 'observe',
	'pool_optimizer.slow_statement' => '1s',
	'pool_optimizer.very_slow_statement' => '10min');
my $dir = PostgreSQL::Test::Utils::tempdir();

$node->safe_psql('postgres', q{
	CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL, name text);
	INSERT INTO item SELECT g, 0, 'item ' || g FROM generate_series(1, 1000) g;
	CREATE TABLE part (id int PRIMARY KEY, item int, name text, n int);
	INSERT INTO part SELECT g, g % 500, 'part', 0 FROM generate_series(1, 20000) g;
	CREATE TABLE log (id serial, n int);
	CREATE TABLE invoice (id int NOT NULL, tenant text NOT NULL, amount int);
	INSERT INTO invoice SELECT g, 'c' || g % 50, g FROM generate_series(1, 1000) g;
	CREATE INDEX ON invoice (tenant, id);
	ALTER TABLE invoice ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own_rows ON invoice USING (tenant = current_setting('app.tenant', true));
	CREATE FUNCTION customer() RETURNS text LANGUAGE plpgsql STABLE AS $$
		BEGIN
			RETURN current_setting('app.tenant', true);
		END $$;
	CREATE FUNCTION reads(n int) RETURNS bigint LANGUAGE plpgsql AS $$
		DECLARE total bigint := 0;
		BEGIN
			FOR i IN 1 .. $1 LOOP
				total := total + (SELECT item.n FROM item WHERE id = i);
			END LOOP;
			RETURN total;
		END $$;
	ANALYZE;
	GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
	GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC});

# ---------- helpers ----------

# A column of the tenant's statement whose text begins like that; '' = null, "none" = no row.
sub hint
{
	my ($role, $text, $column) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT coalesce((SELECT coalesce($column\::text, '') FROM pool_stats_statement
			WHERE tenant = '$role\@postgres' AND starts_with(query, '$text')), 'none')});
}

sub hints
{
	my ($role, $text, @columns) = @_;

	return hint($role, $text, "concat_ws(' ', " . join(', ', @columns) . ')');
}

sub message { return $_[0] . pack('N', length($_[1]) + 4) . $_[1]; }

# A simple query, and one of the extended protocol: a transaction each.
sub simple { return message(Q => "$_[0]\0"); }

sub extended
{
	my ($sql, @values) = @_;

	return message(P => "\0$sql\0" . pack('n', 0))
	  . message(B => "\0\0" . pack('nn', 0, scalar @values)
		  . join('', map { pack('N', length $_) . $_ } @values) . pack('n', 0))
	  . message(E => "\0" . pack('N', 0)) . message(S => '');
}

# Executes what was prepared by that name.
sub prepared
{
	my ($name, $value) = @_;

	return message(B => "\0$name\0" . pack('nn', 0, 1) . pack('N', length $value) . $value . pack('n', 0))
	  . message(E => "\0" . pack('N', 0)) . message(S => '');
}

# Sends all at once, so that the session does not wait for its client in between, and waits
# for the last answer.
sub burst
{
	my ($session, @messages) = @_;

	$session->update;
	$session->{rows} = [];
	$session->{error} = undef;
	$session->{state} = 'busy';
	$session->write_all(join('', @messages) . simple(q{SELECT 'over'}));
	$session->wait_state('the end of a burst',
		sub { @{ $session->{rows} } && ($session->{rows}[-1][0] // '') eq 'over' });
	$session->wait_state('ready', sub { $session->{state} eq 'ready' });
	is($session->{error}, undef, 'no error in between');
	return;
}

my $list = 'SELECT id FROM item WHERE id <= ';
my $read = 'SELECT n FROM item WHERE id = ';
my $write = 'UPDATE item SET n = n WHERE id = ';

# Has the session taken a reload?
sub shows
{
	my ($session, $setting, $value) = @_;

	return wait_until(sub { $session->value("SHOW pool_optimizer.$setting") eq $value }, $setting);
}

# ---------- slow statements ----------

{
	my $role = new_tenant($node);
	my $session = open_session($node, $role);

	$session->query('SELECT pg_sleep(1.05)');
	$session->query('SELECT pg_sleep(0.0)');
	$session->query('BEGIN; SELECT pg_sleep(1.01), 1; SELECT 1; COMMIT');
	$session->query(q{SET statement_timeout = '1100ms'});
	$session->query('SELECT pg_sleep(60), 1, 2');
	like($session->error_text, qr/timeout/, 'canceled');
	$session->query('SET statement_timeout = 0');
	# Where a processor is short, the others could take as long.
	$node->safe_psql('postgres', q{ALTER SYSTEM SET pool_optimizer.very_slow_statement = '2s'});
	$node->reload;
	ok(shows($session, 'very_slow_statement', '2s'), 'very_slow_statement is lowered');
	$session->query('SELECT pg_sleep(2.05)');
	is($node->safe_psql('postgres', qq{
		SELECT string_agg(concat_ws(' ', query, calls, slow, very_slow), '; ' ORDER BY length(query))
		FROM pool_stats_statement WHERE tenant = '$role\@postgres' AND query LIKE '%sleep%'}),
		'SELECT pg_sleep($1) 3 2 1; SELECT pg_sleep($1), $2 1 1 0; SELECT pg_sleep($1), $2, $3 1 1 0',
		'slow ones, also among several, and a canceled one');
	is($node->safe_psql('postgres', qq{SELECT sum(slow) FROM pool_stats_statement
		WHERE tenant = '$role\@postgres' AND query NOT LIKE '%sleep%'}), '0', 'no others');
	close_all($session);
}

# ---------- loops in a transaction ----------

foreach my $protocol (qw(simple extended))
{
	my $send = $protocol eq 'simple' ? \&simple : \&extended;
	my $role = new_tenant($node);
	my $session = open_session($node, $role);

	burst($session, map { $send->($_) } 'BEGIN', $list . 7, map({ $read . $_ } 1 .. 10), 'COMMIT');
	is(hints($role, $read, 'loops', 'loop_calls'), '0 0', "$protocol: ten calls are no loop");
	burst($session, map { $send->($_) } 'BEGIN', $list . 20, map({ ($read . $_, $write . $_) } 1 .. 12),
		'COMMIT');
	is(hints($role, $read, 'loops', 'loop_calls'), '1 12', "$protocol: twelve are");
	is(hints($role, $write, 'loops', 'loop_calls'), '1 12', "$protocol: of each of two by turns");
	my $parent = hint($role, $list, 'queryid');

	is(hint($role, $read, 'parent_queryid'), $parent, "$protocol: the parent is what came before");
	is(hint($role, $write, 'parent_queryid'), $parent, "$protocol: also of the second");
	is(hints($role, $list, 'loops', 'parent_queryid'), '0', "$protocol: which is no loop");
	is(hint($role, 'BEGIN', 'loops'), '0', "$protocol: nor is BEGIN");
	# Thinking between them does not matter, in a transaction.
	$session->query('BEGIN');
	$session->query($read . $_) foreach 1 .. 11;
	$session->query('ROLLBACK');
	is(hints($role, $read, 'loops', 'loop_calls'), '2 23', "$protocol: without a parent, rolled back");
	# An error ends the loop, and has no part in the next one.
	$session->query('BEGIN');
	$session->query($read . $_) foreach 1 .. 6;
	$session->query('SELECT 1 / 0');
	$session->query('ROLLBACK');
	$session->query('BEGIN');
	$session->query($read . $_) foreach 1 .. 6;
	$session->query('COMMIT');
	is(hints($role, $read, 'loops', 'loop_calls'), '2 23', "$protocol: two transactions of six are not");
	$session->query('SELECT reads(50)');
	is(hints($role, $read, 'calls', 'loops'), (10 + 12 + 11 + 6 + 6) . ' 2',
		"$protocol: what a function calls is its own");
	close_all($session);
}

# ---------- loops in a burst ----------

foreach my $protocol (qw(simple extended))
{
	my $send = $protocol eq 'simple' ? \&simple : \&extended;
	my $role = new_tenant($node);
	my $session = open_session($node, $role);
	my $tries = 0;

	# On a busy machine a burst may have a pause, and be two.
	do
	{
		burst($session, map { $send->($_) } $list . 14, map({ $read . $_ } 1 .. 14), $list . 14,
			map({ $read . $_ } 1 .. 14));
	} until (hint($role, $read, 'loops') >= 2 || ++$tries >= 50);
	my ($loops, $calls) = split / /, hints($role, $read, 'loops', 'loop_calls');

	cmp_ok($loops, '>=', 2, "$protocol: each transaction a statement: loops");
	cmp_ok($calls, '>=', 11 * $loops, "$protocol: with so many calls");
	cmp_ok($calls, '<=', 14 * $loops, "$protocol: and no more");
	is(hint($role, $read, 'parent_queryid'), hint($role, $list, 'queryid'), "$protocol: parent");

	# A statement is called often, not for the rows of another one.
	$role = new_tenant($node);
	close_all($session);
	$session = open_session($node, $role);
	burst($session, map { $send->($_) } $list . 3, map({ $read . $_ } 1 .. 40), $list . 200,
		map({ $write . $_ } 1 .. 40));
	# It is, but others come between, more and less of them: more than one client has a part.
	burst($session, map { $send->($_) } $list . 24, map({ my $n = $_;
		(map({ 'SELECT name FROM part WHERE id = ' . $_ } 1 .. $n % 3), $read . $n) } 1 .. 24));
	burst($session, simple('SELECT 1'));
	is($node->safe_psql('postgres', qq{SELECT max(loops) FROM pool_stats_statement
		WHERE tenant = '$role\@postgres'}), '0', "$protocol: a frequent statement is no loop");
	close_all($session);
}

# ---------- reads that repeat others ----------

{
	my $role = new_tenant($node);
	my @sessions = map { open_session($node, $role) } 1 .. 2;
	my $share = 'round(reread_share::numeric, 3)';

	burst($sessions[0], map { simple($read . 1) } 1 .. 3);
	burst($sessions[1], map { simple($read . 1) } 1 .. 2);
	is(hint($role, $read, $share), '0.800', 'the same constants, in two sessions');

	$role = new_tenant($node);
	close_all(@sessions);
	@sessions = map { open_session($node, $role) } 1 .. 2;
	burst($sessions[0], map { simple($read . $_) } 1 .. 20);
	burst($sessions[1], map { simple($read . $_) } 21 .. 40);
	is(hint($role, $read, $share), '0.000', 'other constants each time');
	burst($sessions[0], map { extended('SELECT name FROM item WHERE id = $1 AND n < $2 AND 1 < 2',
		$_, 5) } 1 .. 10);
	is(hint($role, 'SELECT name', $share), '0.000', 'other parameters');
	burst($sessions[1], map { extended('SELECT name FROM item WHERE id = $1 AND n < $2 AND 1 < 2',
		$_, 5) } 1 .. 10);
	is(hint($role, 'SELECT name', $share), '0.500', 'the same parameters');
	burst($sessions[1], map { extended('SELECT id FROM item WHERE name = $1', "item $_") }
		(1 .. 5, 1 .. 5));
	is(hint($role, 'SELECT id FROM item WHERE name', $share), '0.500', 'texts as parameters');

	burst($sessions[0], map { simple($_) } ('SELECT name FROM item WHERE id = 1 FOR UPDATE') x 3,
		(q{SELECT nextval('log_id_seq')}) x 3, ('SELECT random()') x 3, ($write . 1) x 3,
		('CREATE TEMP TABLE mine (n int)'), ('SELECT count(*) FROM mine') x 3,
		(q{SELECT current_setting('work_mem')}) x 3, ('SELECT 1, 2') x 3, ('SELECT * FROM generate_series(1, 3)') x 3);
	is(hint($role, $_, 'reread_share'), '', "no read that a cache could answer: $_")
	  foreach 'SELECT name FROM item WHERE id = $1 FOR UPDATE', 'SELECT nextval', 'SELECT random',
	  $write, 'SELECT count(*) FROM mine', 'SELECT current_setting', 'SELECT $1, $2';
	is(hint($role, 'SELECT * FROM generate_series', $share), '0.667', 'a function can be one');
	close_all(@sessions);

	# Another tenant's reads are not this one's, nor those of another role.
	my $other = new_tenant($node);
	my $session = open_session($node, $other);

	burst($session, simple($read . 1));
	is(hint($other, $read, $share), '0.000', 'what another tenant has read is not there');
	close_all($session);
}

# Statements with one query id that were prepared by name; each execution has a copy of its text.
{
	my $role = new_tenant($node);
	my $session = open_session($node, $role);

	burst($session,
		(map { message(P => "s$_\0SELECT n, id FROM item WHERE id = $_ AND n < \$1\0" . pack('n', 0)) } 1, 2),
		map { my $n = $_; map { prepared("s$_", $n) } 1, 2 } 1 .. 10);
	is(hints($role, 'SELECT n, id', 'calls', 'reread_share'), '20 0', 'other constants in prepared texts');
	burst($session, map { prepared('s2', $_) } 1 .. 20);
	is(hints($role, 'SELECT n, id', 'calls', 'reread_share'), '40 0.25', 'and the same again');
	close_all($session);
}

# What a setting decides wherever the plan has it: what one customer has read is not for another.
{
	my $role = new_tenant($node);
	my @sessions = map { open_session($node, $role) } 1 .. 2;
	my $setting = q{current_setting('app.tenant', true)};

	# What the planner is not to use, the statement, and what its plan has.
	foreach (
		[ 'bitmapscan', 'SELECT amount FROM invoice WHERE id = 3', qr/Index Scan.*\n +Index Cond: .*current_setting/ ],
		[ 'bitmapscan', 'SELECT id FROM invoice WHERE id = 3',
			qr/Index Only Scan.*\n +Index Cond: .*current_setting/ ],
		[ 'indexscan', 'SELECT amount, id FROM invoice WHERE id = 3',
			qr/Bitmap Index Scan.*\n +Index Cond: .*current_setting/ ],
		[ 'mergejoin', "SELECT count(*) FROM part p JOIN item i ON p.name = i.name || $setting",
			qr/Hash Cond: .*current_setting/ ],
		[ 'sort', 'SELECT n FROM part WHERE name = customer() AND id = 3', qr/Filter: .*customer\(\)/ ],
		[ 'sort', 'SELECT item FROM part WHERE name = session_user AND id = 3', qr/Filter: .*SESSION_USER/ ],
		[ 'sort', "SELECT id FROM item LIMIT length($setting)", qr/Limit/ ],
		[ 'sort', "SELECT sum(n) OVER (ORDER BY id ROWS length($setting) PRECEDING) FROM item", qr/WindowAgg/ ],
		[ 'sort', "SELECT v.a, i.id FROM (VALUES ($setting), ('c3')) v (a), item i WHERE i.id = 3",
			qr/Values Scan/ ])
	{
		my ($off, $sql, $expected) = @$_;
		my $plan;

		foreach my $i (0, 1)
		{
			$sessions[$i]->query($_) // die $sessions[$i]->error_text
			  foreach "SET app.tenant = 'c$i'", 'SET enable_seqscan = off', "SET enable_$off = off", ($sql) x 2;
			$plan = join "\n", map { $_->[0] } @{ $sessions[$i]->query("EXPLAIN $sql") };
			$sessions[$i]->query("RESET enable_$off");
		}
		like($plan, $expected, "as planned: $sql");
		is(hints($role, substr($sql, 0, 30), 'calls', 'reread_share'), '4',
			'what a setting decides is for no cache');
	}
	close_all(@sessions);
}

append_to_file("$dir/reads.sql", <<'SQL');
\set id random(1, 5)
\set some random(1, 20)
\set all random(1, 1000000000)
\set most 3
SELECT n FROM item WHERE id = :id;
SELECT name FROM item WHERE id = :all;
SELECT n, name FROM item WHERE id = :some LIMIT :most;
SQL
foreach my $mode (qw(simple extended prepared))
{
	my $role = new_tenant($node);
	my ($out, $err);

	IPC::Run::run([
			'pgbench', '-n', '-f', "$dir/reads.sql", '-h', $node->host, '-p', $node->port,
			'-U', $role, '-M', $mode, '-c', 2, '-t', 200, 'postgres'
		], '>', \$out, '2>', \$err) or diag($err);
	wait_sessions($node, "$role\@postgres", 0);
	my $few = hint($role, $read, 'reread_share');
	my $many = hint($role, 'SELECT name', 'reread_share');

	# 5 of 400 are the first; some may be the first after a minute.
	ok($few > 0.9 && $few <= 395 / 400, "pgbench -M $mode: few different reads: $few");
	is($many, '0', "pgbench -M $mode: all reads differ");
	my $some = hint($role, 'SELECT n, name', 'reread_share');
	ok($some > 0.8 && $some <= 380 / 400, "pgbench -M $mode: always the same LIMIT: $some");
	is(hint($role, $read, 'loops'), '0', "pgbench -M $mode: no loop");
}

# ---------- sequential scans ----------

{
	my $role = new_tenant($node);
	my $session = open_session($node, $role);

	$session->query($_) foreach 'SELECT count(*) FROM part WHERE item = 3 AND name > \'a\'',
	  'SELECT n FROM part WHERE id = 3', 'SELECT count(*) FROM item WHERE n = 4',
	  'SELECT i.name FROM item i WHERE i.id = 1 AND EXISTS (SELECT FROM part p WHERE p.n = i.n + 1)',
	  'CREATE TEMP TABLE own AS SELECT * FROM part', 'ANALYZE own',
	  'SELECT count(*), 1 FROM own WHERE n = 4',
	  'SELECT 1 WHERE EXISTS (SELECT FROM part WHERE n = 7)';
	run_extended($session, 'UPDATE part SET n = 0 WHERE item = 77');
	is(hint($role, 'SELECT count(*) FROM part', 'scanned_table'), 'part', 'a scan of a large table');
	is(hint($role, 'SELECT i.name', 'scanned_table'), 'part', 'below a join');
	is(hint($role, 'SELECT $1 WHERE EXISTS', 'scanned_table'), 'part', 'in a subplan');
	is(hint($role, 'UPDATE part', 'scanned_table'), 'part', 'of an UPDATE');
	is(hint($role, $_, 'scanned_table'), '', "none: $_")
	  foreach 'SELECT n FROM part WHERE id', 'SELECT count(*) FROM item', 'SELECT count(*), $1 FROM own';
	close_all($session);
}

sub run_extended
{
	my ($session, $sql) = @_;

	return burst($session, extended($sql));
}

# ---------- who is waited for ----------

{
	my $role = new_tenant($node);
	my ($holder, @waiting) = map { open_session($node, $role) } 1 .. 3;

	$holder->query('BEGIN');
	$holder->query(q{UPDATE item SET name = 'x' WHERE id = 500});
	$_->send_query('UPDATE item SET n = 1 WHERE id = 500') foreach @waiting;
	my $blocker = hint($role, 'UPDATE item SET name', 'queryid');

	ok($node->poll_query_until('postgres', qq{SELECT blocker_queryid = $blocker
		FROM pool_stats_statement WHERE tenant = '$role\@postgres'
			AND starts_with(query, 'UPDATE item SET n =')}), 'the statement that is waited for');
	is(hint($role, 'UPDATE item SET name', 'blocker_queryid'), '', 'which waits for none');
	$holder->query('COMMIT');
	$_->result foreach @waiting;
	close_all($holder, @waiting);
}

# A prepared transaction is nobody's: the session that prepared it does something else.  Who is
# waited for is looked up some times a second.
{
	my $role = new_tenant($node);
	my ($prepares, $waiting) = map { open_session($node, $role) } 1, 2;

	$prepares->query($_) // fail($prepares->error_text) foreach ('BEGIN',
		q{UPDATE item SET name = 'x' WHERE id = 503}, q{PREPARE TRANSACTION 'held'},
		'BEGIN', 'SELECT count(*) FROM part');
	$waiting->send_query('UPDATE item SET n = 1 WHERE id = 503');
	ok($node->poll_query_until('postgres', qq{SELECT lock_wait_ms > 1500
		FROM pool_stats_statement WHERE tenant = '$role\@postgres'
			AND starts_with(query, 'UPDATE item SET n =')}),
		'a statement waits for a prepared transaction');
	is(hint($role, 'UPDATE item SET n =', 'blocker_queryid'), '',
		'and not for what the session does that prepared it');
	$node->safe_psql('postgres', q{COMMIT PREPARED 'held'});
	$waiting->result;
	close_all($prepares, $waiting);
}

# Another tenant's is only for who sees all, also where the one that waits has run the same.
{
	my ($role, $other) = map { new_tenant($node) } 1 .. 2;
	my ($waiting, $holder) = map { open_session($node, $_) } $role, $other;
	my $waits = 0;
	my $of_waiting = qq{FROM pool_stats_statement WHERE tenant = '$role\@postgres'
		AND starts_with(query, 'UPDATE item SET n =')};

	$waiting->query(q{UPDATE item SET name = 'x' WHERE id = 502});
	$holder->query('BEGIN');
	$holder->query(q{UPDATE item SET name = 'x' WHERE id = 501});
	$waiting->send_query('UPDATE item SET n = 1 WHERE id = 501');
	my $blocker = hint($other, 'UPDATE item SET name', 'queryid');

	ok($node->poll_query_until('postgres', "SELECT blocker_queryid = $blocker $of_waiting"),
		'a statement of another tenant that is waited for');
	is(psql_as($node, $role, "SELECT queryid IS NOT NULL, blocker_queryid IS NULL $of_waiting"), 't|t',
		'is not told to the one that waits');
	ok(wait_until(sub {
				$holder->query('COMMIT');
				$waiting->result;
				$holder->query('BEGIN');
				$holder->query(q{UPDATE item SET name = 'x' WHERE id = 501});
				$waiting->send_query('UPDATE item SET n = 1 WHERE id = 501');
				$waits = psql_as($node, $role, "SELECT lock_wait_ms $of_waiting");
				$node->poll_query_until('postgres', "SELECT lock_wait_ms > $waits + 300 $of_waiting");
				finding($role, 'hot_row', q{evidence->>'blocker_queryid'}) eq $blocker
			}, 'hot_row'), 'nor is it in what is found of the row');
	is(psql_as($node, $role, q{SELECT evidence ? 'lock_wait_seconds', evidence ? 'blocker_queryid',
		evidence ? 'blocker_statement' FROM pool_findings WHERE kind = 'hot_row'}), 't|f|f',
		'for that one');
	$node->safe_psql('postgres', "GRANT pg_read_all_stats TO $role");
	is(psql_as($node, $role, "SELECT blocker_queryid $of_waiting"), $blocker, 'unless its role sees all');
	$holder->query('COMMIT');
	$waiting->result;
	close_all($holder, $waiting);
}

# ---------- a tenant's transactions and sessions, as pool_findings tells of them ----------

sub finding
{
	my ($role, $kind, $what) = @_;

	return $node->safe_psql('postgres', qq{SELECT coalesce((SELECT $what FROM pool_findings
		WHERE tenant = '$role\@postgres' AND kind = '$kind')::text, 'none')});
}

{
	my ($reader, $writer, $comer, $stayer) = map { new_tenant($node) } 1 .. 4;
	my $read_slowly = "SELECT pg_sleep(0.02);\n";

	start_load($node, $reader, 3, $read_slowly);
	start_load($node, $writer, 3,
		"BEGIN;\n${read_slowly}INSERT INTO log (n) VALUES (1);\nCOMMIT;\n");
	start_load($node, $comer, 1, "SELECT 1;\n", '-C', '-R', 10);
	start_load($node, $stayer, 1, "SELECT 1;\n", '-R', 10);
	foreach ([ $reader, 'read_only' ], [ $comer, 'churn' ])
	{
		my ($role, $kind) = @$_;

		ok($node->poll_query_until('postgres', qq{SELECT count(*) > 0 FROM pool_findings
			WHERE tenant = '$role\@postgres' AND kind = '$kind'}), "found: $kind");
	}
	is(finding($reader, 'read_only', q{evidence->>'read_only_share'}), '1.000', 'all of it reads');
	is(finding($writer, 'read_only', 'true'), 'none', 'what ends with an INSERT does not');
	is(finding($comer, 'churn', q{evidence->>'brief_sessions' = evidence->>'sessions'}), 'true',
		'all sessions are brief');
	is(finding($stayer, 'churn', 'true'), 'none', 'one that stays is not');
	stop_load($node, $_) foreach $reader, $writer, $comer, $stayer;
}

{
	my ($clean, $stateful) = map { new_tenant($node) } 1 .. 2;
	my $session = open_session($node, $clean);

	# What a driver sets at first a pooler can set as well; what is of a transaction ends with it.
	$session->query($_) foreach 'SET extra_float_digits = 3', 'SHOW work_mem', "SET work_mem = '2MB'",
	  'BEGIN', 'SET LOCAL work_mem = 1000', 'SELECT pg_advisory_xact_lock(1)',
	  'CREATE TEMP TABLE gone (n int) ON COMMIT DROP', 'DECLARE c CURSOR FOR SELECT 1', 'COMMIT',
	  "SET application_name = 'x'", "SET TIME ZONE 'UTC'", "SET client_encoding = 'UTF8'",
	  q{SELECT set_config('work_mem', '3MB', true)}, 'SET nonsense = 1', 'NOTIFY a', 'RESET work_mem';
	close_all($session);
	$session = open_session($node, $stateful);
	$session->query($_) foreach 'LISTEN a', 'LISTEN b', "SET work_mem = '2MB'",
	  'SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE', 'SELECT pg_advisory_lock(1)',
	  'SELECT pg_advisory_lock(2)', 'SELECT pg_try_advisory_lock_shared(3, 4)',
	  'CREATE TEMP TABLE x (n int)', 'CREATE TEMP TABLE y AS SELECT 1', 'CREATE TABLE pg_temp.z ()',
	  'SELECT 1 INTO TEMP w', 'BEGIN', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1', 'COMMIT',
	  'PREPARE p AS SELECT 1', 'EXECUTE p', q{SELECT set_config('work_mem', '3MB', false)};
	close_all($session);
	ok($node->poll_query_until('postgres', qq{SELECT count(*) > 0 FROM pool_findings
		WHERE tenant = '$stateful\@postgres' AND kind = 'session_state'}), 'found: session_state');
	is(finding($stateful, 'session_state', q{concat_ws(' ', evidence->>'listen_uses',
		evidence->>'set_uses', evidence->>'advisory_lock_uses', evidence->>'temp_table_uses',
		evidence->>'held_cursor_uses', evidence->>'prepare_uses')}), '2 3 3 4 1 1',
		'how often it uses its session');
	is(finding($stateful, 'session_state', q{evidence->>'held_cursor_queryid'}),
		hint($stateful, 'DECLARE c', 'queryid'), 'and which statement does');
	is(finding($clean, 'session_state', 'evidence'), 'none', 'what ends with its transaction is none');
}

# ---------- off, reset, restart ----------

{
	my $role = new_tenant($node);
	my $session = open_session($node, $role);
	my $all = qq{SELECT string_agg(concat_ws(' ', query, slow, loops, loop_calls, parent_queryid,
		reread_share, blocker_queryid, scanned_table), E'\n' ORDER BY tenant, query)
		FROM pool_stats_statement WHERE tenant LIKE 'r\\_%'};

	$node->safe_psql('postgres', 'ALTER SYSTEM SET pool_optimizer.track_statements = off');
	$node->reload;
	ok(shows($session, 'track_statements', 'off'), 'track_statements is off');
	$session->query($_) foreach 'BEGIN', $list . 20, map({ $read . $_ } (1, 1 .. 20)), 'COMMIT';
	is(hint($role, $read, 'loops'), 'none', 'nothing is counted when it is off');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET pool_optimizer.track_statements');
	$node->safe_psql('postgres', 'ALTER SYSTEM SET pool_optimizer.track_findings = off');
	$node->reload;
	ok(shows($session, 'track_findings', 'off'), 'track_findings is off');
	$session->query($_) foreach 'BEGIN', $list . 20, map({ $read . $_ } (1, 1 .. 20)), 'COMMIT',
	  'LISTEN here', 'UNLISTEN *';
	is(hints($role, $read, 'loops', 'reread_share', 'calls > 0'), '0 t',
		'only what they cost is counted without findings');
	is(finding($role, 'session_state', 'kind'), 'none', 'nor how the session is used');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET pool_optimizer.track_findings');
	$node->safe_psql('postgres', 'ALTER SYSTEM SET pool_optimizer.loop_calls = 3');
	$node->reload;
	ok(shows($session, 'loop_calls', '3'), 'loop_calls is 3');
	$session->query($_) foreach 'BEGIN', $list . 20, map({ $read . $_ } 1 .. 4), 'COMMIT';
	is(hints($role, $read, 'loops', 'loop_calls'), '1 4', 'loop_calls can be set');
	close_all($session);
	wait_sessions($node, "$role\@postgres", 0);

	my $before = $node->safe_psql('postgres', $all);

	like($before, qr/SELECT pg_sleep\(\$1\) 2/, 'there is something to keep');
	$node->restart;
	is($node->safe_psql('postgres', $all), $before, 'a restart keeps it');
	$node->safe_psql('postgres', qq{SELECT pool_reset_stats('$role\@postgres')});
	is(hint($role, $read, 'loops'), 'none', 'a reset drops it');
	$session = open_session($node, $role);
	$session->query($read . 1);
	is(hints($role, $read, 'slow', 'loops', 'loop_calls', 'parent_queryid'), '0 0 0',
		'and begins anew');
	close_all($session);
}

stop_clean($node);
done_testing();
