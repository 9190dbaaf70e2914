# Findings: each fault is found with its statement, what has no fault is left alone, and only
# those who may see a statement see what is said of it.  Acknowledged ones come back.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	-name => 'findings',
	autovacuum => 'off',
	'pool_optimizer.mode' => 'observe');

create_roles($node, qw(f_clean f_wait f_far f_hot f_loop f_slow f_rows f_scan f_again f_churn f_state f_look
	f_operator));
$node->safe_psql('postgres', q{
	CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL);
	INSERT INTO item SELECT g, 0 FROM generate_series(1, 1500) g;
	CREATE TABLE "Order lines" (id int PRIMARY KEY, "order" int NOT NULL);
	INSERT INTO "Order lines" SELECT g, g % 5000 FROM generate_series(1, 50000) g;
	ANALYZE;
	GRANT ALL ON item, "Order lines" TO PUBLIC;
	GRANT pg_read_all_stats TO f_operator;
	GRANT SELECT, INSERT, UPDATE, DELETE ON pool_acknowledged TO f_operator;
	GRANT EXECUTE ON FUNCTION pool_acknowledge, pool_unacknowledge TO f_operator});

# ---------- helpers ----------

sub findings
{
	my ($role, $columns, $where) = @_;

	return $node->safe_psql('postgres', "SELECT $columns FROM pool_findings
		WHERE tenant = '$role\@postgres' AND " . ($where // 'true'));
}

# A load that has just begun costs the more the longer it lasts.
sub found
{
	my ($role, $kind, $what, $severity) = @_;

	$severity = defined $severity ? " AND severity = '$severity'" : '';

	return ok($node->poll_query_until('postgres', qq{SELECT count(*) > 0 FROM pool_findings
			WHERE tenant = '$role\@postgres' AND kind = '$kind'$severity}), $what)
	  || diag($node->safe_psql('postgres', qq{SELECT * FROM pool_stats_statement
			WHERE tenant = '$role\@postgres'}));
}

sub sqlstate_as
{
	my ($role, $sql) = @_;
	my (undef, undef, $err) = psql_as($node, $role, "\\set VERBOSITY sqlstate\n$sql");

	return $err =~ /ERROR:  (\w+)/ ? $1 : '';
}

# ---------- found, with the right statement ----------

is($node->safe_psql('postgres', 'SELECT count(*) FROM pool_findings'), '0',
	'a server that has just started has no findings');

start_load($node, 'f_clean', 2, <<'SQL');
\set id random(1, 1000)
\sleep 10 ms
SELECT n FROM item WHERE id = :id;
SQL

# What a transaction does between two statements, as when it calls another service.  The last
# two are one message: where CPU is short, pgbench would take its time between them, too.
start_load($node, 'f_wait', 3, <<'SQL');
\set id random(1, 1000)
BEGIN;
UPDATE item SET n = n + 1 WHERE id = :id;
\sleep 60 ms
SELECT n FROM item WHERE id = :id\;COMMIT;
SQL

# An application in another part of the world.
start_load($node, 'f_far', 2, <<'SQL');
\set id random(1, 1000)
BEGIN;
\sleep 30 ms
UPDATE item SET n = n + 1 WHERE id = :id;
\sleep 30 ms
SELECT n FROM item WHERE id = :id;
\sleep 30 ms
COMMIT;
SQL

# Everybody changes the same row, and is in no hurry then.
start_load($node, 'f_hot', 6, <<'SQL');
BEGIN;
UPDATE item SET n = n + 1 WHERE id = 1;
SELECT pg_sleep(0.03);
COMMIT;
SQL

# The lines of an order, one by one; in one message, as pgbench would take its time between.
start_load($node, 'f_loop', 1, join("\n", '\sleep 20 ms', join('\;', 'BEGIN',
		'SELECT id FROM item WHERE id <= 20',
		map({ "SELECT n, pg_sleep(0.002) FROM item WHERE id = $_" } 1 .. 20), "COMMIT;\n")));

start_load($node, 'f_slow', 1, "SELECT pg_sleep(1.05);\n");

start_load($node, 'f_rows', 1, <<'SQL');
\set most random(2000, 100000000)
\sleep 10 ms
SELECT a.id, b.n FROM item a, item b WHERE a.id < :most AND b.id < 5;
SQL

start_load($node, 'f_scan', 1, <<'SQL');
\set id random(1, 100000000)
\sleep 5 ms
SELECT id FROM "Order lines" WHERE "order" = :id;
SQL

start_load($node, 'f_again', 1, <<'SQL');
\sleep 10 ms
SELECT sum(a.id) FROM item a, item b WHERE a.id < 50;
SQL

start_load($node, 'f_churn', 1, <<'SQL', '-C');
\set id random(1, 100000000)
\sleep 40 ms
SELECT n FROM item WHERE id = :id;
SQL

my $state = open_session($node, 'f_state');

$state->query($_) // die $state->error_text foreach ('LISTEN news', 'SELECT pg_advisory_lock(7)',
	q{SET statement_timeout = '1 h'}, 'CREATE TEMP TABLE mine (id int)',
	'DECLARE c CURSOR WITH HOLD FOR SELECT 1', 'PREPARE p AS SELECT 1');

found('f_wait', 'client_wait', 'a transaction that waits for its client is found', 'warning');
found('f_far', 'client_wait', 'one that waits after each statement as well', 'warning');
found('f_hot', 'hot_row', 'a row that everybody waits for is found', 'warning');
# Where CPU is short, a client is late after other statements, too; that is said of them.
my $update = q{evidence->>'statement' ~ '^UPDATE'};

is(findings('f_wait', q{kind, evidence->>'statement'}, q{advice !~ 'far away or short of CPU'}),
	'client_wait|UPDATE item SET n = n + $1 WHERE id = $2', 'with the statement after which it waits')
  or diag(findings('f_wait', '*'));
is(findings('f_hot', q{evidence->>'statement'}, q{kind = 'hot_row'}),
	'UPDATE item SET n = n + $1 WHERE id = $2', 'and the one that waits for the row');
is(findings('f_wait', q{queryid = (SELECT queryid FROM pool_stats_statement
		WHERE tenant = 'f_wait@postgres' AND query ~ '^UPDATE')}, $update), 't',
	'its queryid is core\'s');

# Three clients that think nearly all of their time; five of six that wait for the sixth.
my ($wait, $severity, $mean) = split /\|/,
  findings('f_wait', q{connections_spent, severity, evidence->>'client_wait_mean_ms'}, $update);

cmp_ok($wait, '>=', 0.5, 'its cost is that of the clients that do it') or diag(findings('f_wait', '*'));
cmp_ok($wait, '<=', 3.3, 'and not more');
is($severity, 'warning', 'which is worth a warning');
cmp_ok($mean, '>=', 60, 'evidence has how long it waits');
my ($hot) = findings('f_hot', 'connections_spent', q{kind = 'hot_row'});

cmp_ok($hot, '>=', 0.5, 'the row costs the connections that wait for it');
cmp_ok($hot, '<=', 6, 'and not more');
like(findings('f_wait', 'advice', $update),
	qr/waits \d+ ms .*pool_set_timeouts\('f_wait\@postgres', idle_in_transaction => '1 min'\)/,
	'the advice has the setting to use');
unlike(findings('f_wait', 'advice', $update), qr/far away/,
	'and knows that the client is not slow after all');
# The others after the one that was waited for.
ok($node->poll_query_until('postgres', q{SELECT count(*) > 1 FROM pool_findings
		WHERE tenant = 'f_far@postgres' AND kind = 'client_wait'}), 'not after one of them only');
is(findings('f_far', q{bool_and(advice ~ 'far away or short of CPU'), count(*) > 1},
		q{kind = 'client_wait'}), 't|t', 'where it is, that is said instead');
$node->safe_psql('postgres', findings('f_wait',
		q{substring(advice FROM '(SELECT pool_set.*?\)) bounds')}, $update));
is($node->safe_psql('postgres', q{SELECT idle_in_transaction FROM pool_policies
		WHERE tenant = 'f_wait@postgres'}), '00:01:00', 'which can be run as it stands');
is(findings('f_wait', q{since <= last_seen AND last_seen <= now() AND NOT acknowledged
		AND acknowledged_by IS NULL AND acknowledged_reason IS NULL}, $update), 't',
	'times are sound');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT connections_spent,
		lag(connections_spent) OVER () AS before FROM pool_findings) s
		WHERE before < connections_spent}), '0', 'the dearest come first');
is(findings('f_clean', '*'), '', 'a tenant without a fault has no finding');

found('f_loop', 'n_plus_one', 'a statement that is called for each row of another is found');
is(findings('f_loop', q{evidence->>'statement', evidence->>'parent_statement'}, q{kind = 'n_plus_one'}),
	'SELECT n, pg_sleep($1) FROM item WHERE id = $2|SELECT id FROM item WHERE id <= $1',
	'with the one whose rows these are');
like(findings('f_loop', 'advice', q{kind = 'n_plus_one'}),
	qr/runs 20 times in a row after "SELECT id FROM item WHERE id <= \$1": .* JOIN.* = ANY/,
	'and what to do');

found('f_slow', 'slow_statement', 'a slow statement is found', 'warning');
is(findings('f_slow', q{evidence->>'statement', (evidence->>'slow_calls')::float8 >= 3,
		(evidence->>'p99_ms')::float8 >= 800}, q{kind = 'slow_statement'}),
	'SELECT pg_sleep($1)|t|t', 'with how often and its p99');
found('f_slow', 'read_only', 'a tenant that only reads is told so', 'info');

found('f_rows', 'unpaged_result', 'a result that is not paged is found');
is(findings('f_rows', q{evidence->>'statement', (evidence->>'rows_per_call')::float8 BETWEEN 5900 AND 6000}, q{kind = 'unpaged_result'}),
	'SELECT a.id, b.n FROM item a, item b WHERE a.id < $1 AND b.id < $2|t', 'with its rows');

found('f_scan', 'sequential_scan', 'a sequential scan is found');
is(findings('f_scan', q{evidence->>'table', evidence->>'columns'}, q{kind = 'sequential_scan'}),
	'public."Order lines"|"order"', 'with table and column');
$node->safe_psql('postgres', findings('f_scan', q{substring(advice FROM 'Try (.*?\));')}));
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_index WHERE indisvalid
		AND indrelid = '"Order lines"'::regclass}), '2', 'and an index that can be created so');

found('f_again', 'repeated_read', 'a read that repeats others is found');
is(findings('f_again', q{evidence->>'statement', evidence->>'ttl_seconds',
		(evidence->>'hit_rate')::float8 > 0.5}, q{kind = 'repeated_read'}),
	'SELECT sum(a.id) FROM item a, item b WHERE a.id < $1|1|t', 'and for how long to keep it');

found('f_churn', 'churn', 'sessions that come and go are found');
found('f_state', 'session_state', 'state of a session is found', 'info');
is(findings('f_state', q{(SELECT string_agg(key || ' ' || value, ', ' ORDER BY key)
		FROM jsonb_each_text(evidence) WHERE key LIKE '%_uses')}),
	'advisory_lock_uses 1, held_cursor_uses 1, listen_uses 1, prepare_uses 1, set_uses 1, '
	  . 'temp_table_uses 1', 'each use of it');
is(findings('f_state', 'connections_spent'), '0', 'which costs nothing by itself');

# Nobody has what was not planted, but that some do nothing but read, and that all is slow, and
# each client late, on a slow machine; this test itself comes and goes.
is($node->safe_psql('postgres', q{SELECT DISTINCT split_part(tenant, '@', 1), kind FROM pool_findings
		WHERE starts_with(tenant, 'f_') AND (kind NOT IN ('read_only', 'slow_statement')
			OR tenant = 'f_slow@postgres' AND kind = 'slow_statement')
			AND (kind <> 'client_wait' OR tenant = 'f_far@postgres'
				OR advice !~ 'far away or short of CPU') ORDER BY 1, 2}),
	join("\n", qw(f_again|repeated_read f_churn|churn
	f_far|client_wait f_hot|hot_row f_loop|n_plus_one f_rows|unpaged_result f_scan|sequential_scan f_slow|slow_statement
	f_state|session_state f_wait|client_wait)), 'each tenant has its own fault and no other');

# ---------- who sees it ----------

sub seen_by
{
	my ($role, $columns) = @_;
	my ($rc, $out, $err) = psql_as($node, $role, "SELECT $columns FROM pool_findings");

	chomp $out;
	return $rc == 0 ? $out : $err;
}

is(seen_by('f_look', '*'), '', 'another tenant\'s role sees nothing');
is(seen_by('f_clean', 'tenant'), '', 'nor does one that has no findings');
is(seen_by('f_wait', q{tenant, kind, evidence->>'statement'}),
	'f_wait@postgres|client_wait|UPDATE item SET n = n + $1 WHERE id = $2',
	'a tenant\'s own role sees its own, with what it has run');
like(seen_by('f_operator', 'tenant'), qr/f_hot\@postgres.*f_wait\@postgres|f_wait.*f_hot/s,
	'pg_read_all_stats sees all');

# ---------- acknowledged ----------

my $queryid = findings('f_wait', 'queryid');
my $acknowledge = "SELECT pool_acknowledge('f_wait\@postgres', 'client_wait', $queryid, 'known')";

is(sqlstate_as('f_look', $acknowledge), '42501', 'not everybody may acknowledge');
is(sqlstate_as('f_wait', $acknowledge), '42501', 'nor may the tenant');
is(sqlstate_as('f_operator', $_->[0]), $_->[1], $_->[0]) foreach (
	[ q{SELECT pool_acknowledge('f_wait@postgres', 'unwise', 1, 'x')}, '22023' ],
	[ q{SELECT pool_acknowledge(NULL, 'churn', reason => 'x')}, '22023' ],
	[ q{SELECT pool_acknowledge('f_wait@postgres', NULL, 1, 'x')}, '22023' ],
	[ q{SELECT pool_acknowledge('f_wait@postgres', 'client_wait', NULL, 'x')}, '22023' ],
	[ q{SELECT pool_acknowledge('f_wait@postgres', 'churn', 5, 'x')}, '22023' ],
	[ "SELECT pool_acknowledge('f_wait\@postgres', 'client_wait', $queryid)", '22023' ],
	[ "SELECT pool_acknowledge('f_wait\@postgres', 'client_wait', $queryid, ' ')", '22023' ],
	[ "SELECT pool_acknowledge('f_wait\@postgres', 'client_wait', $queryid, 'x', now())", '22023' ],
	[ q{SELECT pool_acknowledge('f_wait@postgres', 'client_wait', 5, 'x')}, '42704' ],
	[ q{SELECT pool_acknowledge('f_wait@postgres', 'churn', reason => 'x')}, '42704' ],
	[ "SELECT pool_acknowledge('nobody', 'client_wait', $queryid, 'x')", '42704' ],
	[ "SELECT pool_unacknowledge('f_wait\@postgres', 'client_wait', $queryid)", '42704' ],
	[ "SELECT pool_unacknowledge('f_wait\@postgres', 'client_wait', $queryid, true)", '' ]);

sub acknowledged { return findings('f_wait', $_[0] // 'acknowledged', q{kind = 'client_wait'}); }

is(sqlstate_as('f_operator', $acknowledge), '', 'with the grants one can');
is(acknowledged('acknowledged, acknowledged_by, acknowledged_until, acknowledged_reason'),
	't|f_operator||known', 'who has and why is in the view');
is(findings('f_hot', 'count(*)', 'acknowledged'), '0', 'others are not');
is(join(' ', map { psql_as($node, $_, 'SELECT count(*) FROM pool_acknowledged') =~ s/\s//gr } qw(f_look
	f_wait f_operator)), '0 0 1', 'the table shows its rows to those who may change it');
is(sqlstate_as('f_operator', "SELECT pool_acknowledge('f_wait\@postgres', 'client_wait', $queryid,
	'until \$\$ it''s <b>', now() + '1 day')"), '', 'again');
is(acknowledged(q{acknowledged, acknowledged_until > now() + '23 h', acknowledged_reason}),
	q{t|t|until $$ it's <b>}, 'it has the new reason and date');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pool_acknowledged'), '1', 'in one row');

# The metrics know of it from the keeper; findings come and go meanwhile.
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pool_metrics_finding() m FULL JOIN
		(SELECT kind, severity, count(*), sum(connections_spent) AS spent FROM pool_findings
			WHERE NOT acknowledged GROUP BY 1, 2) f ON f.kind = finding AND f.severity = m.severity
		WHERE m.open <> coalesce(count, 0) OR abs(m.connections - coalesce(spent, 0)) > 1e-6}),
	'metrics count what is not acknowledged');
ok($node->poll_query_until('postgres', q{SELECT open = (SELECT count(*) FROM pool_findings
			WHERE kind = 'client_wait' AND severity = 'warning' AND tenant <> 'f_wait@postgres')
		FROM pool_metrics_finding() WHERE finding = 'client_wait' AND severity = 'warning'}),
	'and nothing else');

# What was acknowledged cost less, was less grave, or is over: as if time had gone by.
foreach my $change ('connections_spent = 0.01', q{severity = 'info'},
	q{until = clock_timestamp() - interval '1 s'})
{
	my ($column) = $change =~ /^(\w+)/;
	my $before = $node->safe_psql('postgres', "SELECT quote_literal($column) FROM pool_acknowledged");

	$node->safe_psql('postgres', "UPDATE pool_acknowledged SET $change");
	is(acknowledged('acknowledged, acknowledged_by, acknowledged_reason'), 'f||',
		"comes back after $change");
	$node->safe_psql('postgres', "UPDATE pool_acknowledged SET $column = $before");
	is(acknowledged(), 't', 'and is acknowledged without');
}
is(sqlstate_as('f_operator', "SELECT pool_unacknowledge('f_wait\@postgres', 'client_wait', $queryid)"),
	'', 'it can be taken back');
is(acknowledged(), 'f', 'and is');

# ---------- set back, it is judged by what came since ----------

my $set_back = $node->safe_psql('postgres', 'SELECT clock_timestamp()');

$node->safe_psql('postgres', q{SELECT pool_reset_stats('f_wait@postgres')});
found('f_wait', 'client_wait', 'found again after a reset');
is(findings('f_wait', "(evidence->>'window_seconds')::float8 <= extract(epoch FROM last_seen - '$set_back')",
	q{kind = 'client_wait'}), 't', 'in a window that has begun with it')
  or diag(findings('f_wait', "'$set_back', *"));

# ---------- the extension goes away in the middle ----------

$node->safe_psql('postgres', 'DROP EXTENSION pool_optimizer');
$node->safe_psql('postgres', 'CREATE EXTENSION pool_optimizer');
is(findings('f_wait', 'kind, acknowledged'), 'client_wait|f',
	'without the extension findings stay where they are');

# ---------- a restart, and a reset ----------

my $since = findings('f_wait', 'since');

close_all($state);
stop_load($node, $_) foreach PoolTest::running_loads();
$node->restart;
is(findings('f_wait', q{kind, evidence->>'statement', since}),
	'client_wait|UPDATE item SET n = n + $1 WHERE id = $2|' . $since, 'findings survive a restart');
$node->safe_psql('postgres', q{SELECT pool_reset_stats('f_wait@postgres')});
is(findings('f_wait', '*'), '', 'a reset forgets those of the tenant');
isnt(findings('f_hot', 'count(*)'), '0', 'and of no other');
$node->safe_psql('postgres', q{SELECT pool_reset_stats()});
is($node->safe_psql('postgres', 'SELECT count(*) FROM pool_findings'), '0', 'or of all');

stop_clean($node);

# ---------- what a statement has cost long ago is not counted again when it makes room ----------

sub wait_seen
{
	my ($full, $role, $times) = @_;
	my $seen = "SELECT max(last_seen) FROM pool_findings WHERE tenant = '$role\@postgres'";

	foreach (1 .. $times)
	{
		my $last = $full->safe_psql('postgres', $seen);

		return 0
		  unless wait_until(sub { $full->safe_psql('postgres', $seen) ne $last }, 'it is seen again');
	}
	return 1;
}

SKIP:
{
	skip 'needs a C compiler', 10 unless build_clock();

	my $full = new_node(
		-name => 'full',
		-start => 0,
		'pool_optimizer.mode' => 'observe',
		'pool_optimizer.max_tenants' => 10,
		'pool_optimizer.max_statements' => 100);
	my $sql = sub { return $full->safe_psql('postgres', $_[0]) };
	my $share = q{SELECT evidence->>'share' FROM pool_findings WHERE tenant = 'f_old@postgres'
		AND kind = 'client_wait'};

	start_on_clock($full);
	$sql->('CREATE EXTENSION pool_optimizer; CREATE TABLE item AS SELECT 1 AS id, 1 AS n;
		GRANT ALL ON item TO PUBLIC');
	create_roles($full, 'f_old', 'f_many', map { "f_$_" } 1 .. 9);
	my @old = map { open_session($full, 'f_old') } 1 .. 40;

	foreach my $session (@old)
	{
		$session->query($_) foreach 'BEGIN', 'SELECT 1 AS old';
	}
	ok($full->poll_query_until('postgres', q{SELECT count(*) = 40 FROM pg_stat_activity
		WHERE usename = 'f_old' AND clock_timestamp() - state_change > '8 s'}), 'clients wait for long');
	$_->query('COMMIT') foreach @old;
	close_all(@old);
	is($sql->(q{SELECT client_wait_ms >= 320000 FROM pool_stats_statement WHERE query ~ 'AS old'}), 't',
		'which their statement is known for');

	# A day later it is the first to make room.
	$full->stop;
	set_clock(24 * 3600);
	start_on_clock($full);
	start_load($full, 'f_old', 1, "BEGIN;\nSELECT n FROM item WHERE id = 1;\n\\sleep 30 ms\nCOMMIT;\n");
	ok($full->poll_query_until('postgres', "SELECT (($share)::float8 > 0.5)"),
		'another one has most of the time now');
	my $many = open_session($full, 'f_many');

	$many->query('SELECT ' . join(', ', ('n') x $_) . ' FROM item') foreach 1 .. 250;
	close_all($many);
	is($sql->(q{SELECT count(*) FROM pool_stats_statement WHERE query ~ 'AS old'}), '0',
		'the old one has made room');
	ok(wait_seen($full, 'f_old', 3), 'the other one is still found');
	cmp_ok($sql->($share), '>', 0.5, 'and has most of the time');
	stop_load($full, 'f_old');

	# A place that is free is not taken for what the first tenant, (other), has in no place.
	psql_as($full, "f_$_", 'SELECT 1') foreach 1 .. 9;
	my $uses = q{SELECT evidence->>'listen_uses' FROM pool_findings WHERE tenant = '(other)'
		AND kind = 'session_state'};
	my $session = open_session($full, 'f_9');

	$session->query("LISTEN $_") foreach 'a' .. 'c';
	close_all($session);
	ok($full->poll_query_until('postgres', "SELECT ($uses) = '3'"), 'how (other) uses its sessions');
	$sql->(q{SELECT pool_reset_stats('f_many@postgres')});
	$full->stop;
	start_on_clock($full);
	$session = open_session($full, 'f_9');
	$session->query('LISTEN d');
	ok($full->poll_query_until('postgres', "SELECT ($uses) <> '3'"), 'once more after a restart');
	is($sql->($uses), '4', 'is known with what was before it');
	close_all($session);
	stop_clean($full);
}
done_testing();
