# The table of statements: its bounds, its texts and who may read them, what outlives a
# restart, and what hostile clients can do to it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	-name => 'table',
	'pool_optimizer.tenant' => "'%d'",
	'pool_optimizer.mode' => 'observe',
	'pool_optimizer.max_statements' => 300,
	# For the standby.
	wal_level => 'replica',
	max_wal_senders => 4,
	hot_standby => 'on');
my $dir = PostgreSQL::Test::Utils::tempdir();

create_roles($node, 'r_one', 'r_two', 'r_stats');
$node->safe_psql('postgres', q{
	GRANT pg_read_all_stats TO r_stats;
	CREATE DATABASE other;
	CREATE TABLE item (id int, n int);
	INSERT INTO item VALUES (1, 1)});
# Aliases do not make another query id, but tables do.
$node->safe_psql('postgres', join('', map { "CREATE TABLE $_ (n int);\n" } qw(of_one of_two as_two
	dropped hot kept_one kept_two after_kill switched no_id untracked on_standby long_text))
  . 'GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC');
$node->safe_psql('other', 'CREATE EXTENSION pool_optimizer; CREATE TABLE thing (id int);
	GRANT ALL ON thing TO PUBLIC');

sub table_stat
{
	my ($column) = @_;

	return $node->safe_psql('postgres', "SELECT $column FROM pool_stats_cluster");
}

sub value
{
	my ($sql, %opt) = @_;

	return $node->safe_psql($opt{dbname} // 'postgres', $sql);
}

# ---------- texts ----------

{
	my $one = open_session($node, 'r_one');
	my $two = open_session($node, 'r_two');

	$one->query($_) foreach q{SELECT 'secret1', E'sec\'ret2', $$secret3$$, 4711 FROM of_one},
	  q{ALTER ROLE r_two PASSWORD 'secret4'}, q{SET application_name = 'secret5'},
	  q{DO $body$ BEGIN PERFORM 'secret6'; END $body$},
	  q{SELECT n /* secret7 */ FROM item -- secret8
	    WHERE n IN (17001, 17002, 17003, 17004, 17005)},
	  q{PREPARE p AS SELECT 'secret9', $1::text}, q{EXECUTE p('secret10')},
	  q{COPY (SELECT 'secret11') TO STDOUT}, q{CREATE TEMP TABLE x AS SELECT 'secret12'},
	  q{COMMENT ON TABLE x IS 'secret13'}, q{SET standard_conforming_strings = off},
	  q{SELECT 'it\\'s secret14', n FROM item}, q{SELECT "n" AS "Odd ""name""" FROM item};
	my $texts = $node->safe_psql('postgres', q{
		SELECT string_agg(query, E'\n') FROM pool_stats_statement WHERE tenant = 'postgres'});

	unlike($texts, qr/secret|4711|1700\d/, 'no text has a constant, or a comment');
	# From 19 on this cannot be set, and the statement that needs it fails.
	like($texts, qr/^SELECT \$1 \.\.\.$/m, 'where a literal ends depends on a setting: nothing more')
	  if $one->value('SHOW standard_conforming_strings') eq 'off';
	like($texts, qr/^ALTER ROLE r_two PASSWORD \$1$/m, 'utility statements have none either');
	like($texts, qr/^SELECT n FROM item WHERE n IN \(\$1, \$2, \$3, \.\.\.\)$/m, 'lists are short');
	like($texts, qr/^SELECT "n" AS "Odd ""name""" FROM item$/m, 'names are as they are');

	# Both roles are of one tenant here, so each sees the other's rows.
	$two->query('SELECT n FROM of_two WHERE n > 3');
	my $sql = q{SELECT count(*) FILTER (WHERE query ~ 'FROM of_one'),
		count(*) FILTER (WHERE query ~ 'FROM of_two'), count(*) FILTER (WHERE queryid IS NULL) > 1
		FROM pool_stats_statement};

	is(join('|', map { join ' ', @$_ } @{ $one->query($sql) }), '1 0 t', 'a role reads its own texts');
	is(join('|', map { join ' ', @$_ } @{ $two->query($sql) }), '0 1 t', 'and not another role\'s');
	is(psql_as($node, 'r_stats', $sql), '1|1|f', 'with pg_read_all_stats all');
	is(psql_as($node, 'r_one', q{SELECT count(*) FROM pool_stats_statement WHERE tenant <> 'postgres'
		OR query ~ 'thing'}), '0', 'rows of other tenants are not shown at all');
	# Whoever takes on a role runs as that role.
	$node->safe_psql('postgres', 'GRANT r_two TO r_one');
	$one->query($_) foreach 'SET ROLE r_two', 'SELECT n FROM as_two', 'RESET ROLE';
	is($one->value(q{SELECT count(*) FROM pool_stats_statement WHERE query ~ 'as_two'}), '0',
		'SET ROLE: the text is the other role\'s');
	is($two->value(q{SELECT count(*) FROM pool_stats_statement WHERE query ~ 'as_two'}), '1',
		'who may read it');
	is(value(q{SELECT count(query) FROM pool_stats_statement(texts => false)}), '0',
		'the function leaves texts out when asked to');
	is(value(q{SELECT count(*) > 0 FROM pool_stats_statement(texts => NULL)}), 't',
		'and takes NULL');

	# Another database, another encoding, odd names.
	$node->safe_psql('postgres', q{CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C'
		TEMPLATE template0});
	$node->safe_psql('latin', qq{SET client_encoding = 'UTF8';
		SELECT 1 AS "caf\xc3\xa9 <script>%s{}"});
	my $shown = value(q{SET client_encoding = 'UTF8';
		SELECT query FROM pool_stats_statement WHERE tenant = 'latin' AND query LIKE '%caf%'});

	is($shown, 'SELECT $1 AS "caf? <script>%s{}"', 'what this encoding cannot show is a ?');
	close_all($one, $two);
}

# ---------- statements of a megabyte, with odd ends ----------

{
	my $session = open_session($node, 'r_one');
	my $mb = 1 << 20;

	foreach my $sql ('SELECT ' . 'n, ' x ($mb / 3) . 'n FROM item', 'SELECT ' . 'n, ' x 1500
		  . 'n FROM item WHERE false' . ' ' x $mb,
		"SELECT '" . 'x' x $mb . "' FROM item WHERE false",
		'SELECT n FROM item WHERE n IN (' . join(',', 1 .. 60000) . ')',
		'SELECT 1 ' . ' ' x $mb, '/*' . '*' x $mb . '*/ SELECT 1', 'SELECT \'' . 'x' x $mb,
		'/*' x 1000, 'SELECT "' . 'x' x $mb . '"', "SELECT n FROM item WHERE n = 1 -- " . 'x' x $mb)
	{
		$session->query($sql);
		is($session->value('SELECT 1'), '1', 'a statement of ' . length($sql) . ' bytes: '
			  . substr($sql, 0, 12));
	}
	is(value(q{SELECT max(length(query)) <= 1023 FROM pool_stats_statement}), 't',
		'texts are short');
	like(value(q{SELECT string_agg(query, E'\n') FROM pool_stats_statement
			WHERE query LIKE '%...' AND length(query) > 900}) // '', qr/^SELECT n, n, n/,
		'what was cut says so');
	close_all($session);
}

# ---------- more statements than there is room for ----------

{
	my $n = 300;
	my $before = table_stat('statements_memory_bytes');

	$node->safe_psql('postgres', 'SELECT pool_reset_stats()');
	my @sessions = map { open_session($node, $_) } qw(r_one r_two);
	my $hot = 'SELECT n FROM hot WHERE n = ';

	# Each is another statement; one of them comes again and again.
	foreach my $i (1 .. 1500)
	{
		my $session = $sessions[ $i % 2 ];

		$session->query("SELECT n AS c$i" . ', n' x ($i % 97) . ', id' x ($i / 97) . ' FROM item');
		$session->query("$hot $i") if $i % 5 == 0;
	}
	is(table_stat("statements || ' ' || (statements_evicted > 1000)"), "$n true",
		'the table is full, and others make room');
	is(table_stat('statements_memory_bytes'), $before, 'memory stays as it is');
	is(value(q{SELECT calls FROM pool_stats_statement WHERE query ~ 'hot'}), '300',
		'what is used often stays');
	close_all(@sessions);
	wait_sessions($node, 'postgres', 1);
	# This session's own transactions are not among them all.
	my ($calls, $ms, $taken, $share) = split /\|/, psql_as($node, 'r_stats', q{
		SELECT sum(calls), sum(busy_ms + client_wait_ms), max(s.transactions * s.xact_mean_ms),
			sum(share) FROM pool_stats_statement JOIN pool_stats s USING (tenant)
		WHERE tenant = 'postgres'});

	cmp_ok($calls, '>=', 1800, 'no call is lost');
	cmp_ok($share, '>', 0.99, 'nor a share');
	cmp_ok(value(q{SELECT calls FROM pool_stats_statement
			WHERE tenant = 'postgres' AND queryid IS NULL}), '>', 1000, 'but in the row of all others');
}

# ---------- thousands of distinct statements a second, from several clients ----------

{
	my @column = ('n', 'id', '-n', 'n + n', 'n - id', 'n * id', 'n | id', 'n & id', 'n / id', '~n');
	my @sql = map { sprintf "SELECT %s FROM item;\n", join ', ', map { $column[$_] } split // }
	  '0000' .. '9999';
	my $memory = table_stat('statements_memory_bytes');
	my ($out, $err);

	# Some clients meet each other at the same statements, some go the other way.
	append_to_file("$dir/up.sql", join('', @sql));
	append_to_file("$dir/down.sql", join('', reverse @sql));
	$node->safe_psql('postgres', q{SELECT pool_reset_stats()});
	IPC::Run::run([
			'pgbench', '-n', '-f', "$dir/up.sql", '-f', "$dir/down.sql", '-h', $node->host,
			'-p', $node->port, '-U', 'r_one', '-c', 4, '-j', 2, '-t', 1, 'postgres'
		], '>', \$out, '2>', \$err) or diag($err);
	note($out);
	is(table_stat('statements'), '300', '10,000 statements by turns stay within the table');
	is(table_stat('statements_evicted > 9700'), 't', 'the others have made room');
	is(table_stat('statements_memory_bytes'), $memory, 'memory stays as it is');
	is(table_stat('worker_errors'), '0', 'without an error');
	wait_sessions($node, 'postgres', 1);
	cmp_ok(value(q{SELECT sum(calls) FROM pool_stats_statement WHERE tenant = 'postgres'}), '>=',
		40000, 'and no call is lost');
	cmp_ok(value(q{SELECT sum(rows) FROM pool_stats_statement WHERE tenant = 'postgres'}), '>=',
		40000, 'nor a row');
}

# ---------- without the extension ----------

{
	my $one = open_session($node, 'r_one');

	$one->query('SELECT n FROM dropped');
	$node->safe_psql('postgres', 'DROP EXTENSION pool_optimizer');
	$one->query($_) foreach 'BEGIN', 'SELECT n FROM dropped', 'COMMIT';
	$node->safe_psql('postgres', 'CREATE EXTENSION pool_optimizer');
	is(value(q{SELECT calls FROM pool_stats_statement WHERE query = 'SELECT n FROM dropped'}), '2',
		'statements are counted while the extension is dropped');
	close_all($one);
}

# ---------- pg_stat_statements ----------

SKIP:
{
	skip 'no pg_stat_statements here', 15
	  unless value(q{SELECT count(*) FROM pg_available_extensions
			WHERE name = 'pg_stat_statements'});

	# Created, but not preloaded: its function would fail.
	$node->safe_psql('postgres', 'CREATE SCHEMA odd; GRANT USAGE ON SCHEMA odd TO r_one, r_stats;
		CREATE EXTENSION pg_stat_statements SCHEMA odd');
	is(value(q{SELECT count(*) > 0 FROM pool_stats_statement}), 't',
		'pg_stat_statements without its library does no harm');
	$node->append_conf('postgresql.conf',
		q{shared_preload_libraries = 'pool_optimizer, pg_stat_statements'});
	$node->restart;
	# Names that could be mistaken for it.
	$node->safe_psql('postgres', q{
		CREATE TABLE pg_stat_statements (queryid int8, query text);
		CREATE FUNCTION pg_stat_statements(bool) RETURNS SETOF pg_stat_statements
			LANGUAGE sql AS 'SELECT 1::int8, ''planted''';
		GRANT ALL ON pg_stat_statements TO PUBLIC});
	psql_as($node, 'r_one', q{SELECT n} . ', n' x 1500 . q{, 'secret' FROM long_text;
		ALTER ROLE r_two PASSWORD 'secret';});
	foreach my $who (qw(r_one r_stats))
	{
		is(psql_as($node, $who, q{SELECT length(query) > 4000 FROM pool_stats_statement
				WHERE query ~ 'long_text' OR query ~ '^SELECT n, n, n'
				ORDER BY length(query) DESC LIMIT 1}), 't', "$who: the text is from pg_stat_statements");
		is(psql_as($node, $who, q{SELECT count(*) FROM pool_stats_statement
				WHERE query ~ 'secret|planted'}), '0', "$who: without its constants");
	}
	is(psql_as($node, 'r_two', q{SELECT count(*) FROM pool_stats_statement
			WHERE query ~ 'long_text'}), '0', 'another role does not get it that way');
	is(psql_as($node, 'r_two', q{SELECT count(*) > 0 FROM pool_stats_statement}), 't',
		'a role that may not use its schema sees the rest');
	# What no encoding of another database allows: it fails as a whole then.
	$node->safe_psql('postgres', q{CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C'
		TEMPLATE template0});
	$node->safe_psql('bytes', qq{SELECT 1 AS "caf\xe9"});
	isnt($node->psql('postgres', 'SELECT count(query) FROM odd.pg_stat_statements'), 0,
		'pg_stat_statements has a text that it cannot show');
	foreach my $sql ('SELECT count(*) > 5 FROM pool_stats_statement', 'SELECT count(*) >= 0 FROM pool_findings',
		'SELECT length(pool_report()) > 1000')
	{
		is($node->safe_psql('postgres', $sql), 't', "which does no harm: $sql");
	}
	# Before 17 there is no subtransaction in a parallel query.
	$node->safe_psql('postgres', 'CREATE TABLE big AS SELECT g AS id FROM generate_series(1, 20000) g');
	my $parallel = 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;';
	my $beside = 'SELECT count(*) > 5 FROM pool_stats_statement, (SELECT count(*) AS n FROM big) AS b WHERE n > 0';

	like($node->safe_psql('postgres', "$parallel EXPLAIN $beside"), qr/Gather/, 'in a parallel query');
	is($node->safe_psql('postgres', "$parallel $beside"), 't', 'the view can be read as well');
	is(value(q{SELECT max(length(query)) FROM pool_stats_statement WHERE query ~ '^SELECT n, n, n'}), '1023',
		'our own texts are there');
	$node->safe_psql('postgres', 'DROP EXTENSION pg_stat_statements');
	is(psql_as($node, 'r_one', q{SELECT length(query) FROM pool_stats_statement
			WHERE query ~ '^SELECT n, n, n' ORDER BY length(query) DESC LIMIT 1}), '1023', 'without it the text is our own');
	# From the next restart on.
	$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'pool_optimizer'});
}

# ---------- statements without a text ----------

{
	my $one = open_session($node, 'r_one');
	my $ids = q{SELECT string_agg(queryid::text, ', ') FROM pool_stats_statement WHERE tenant = 'postgres' AND };
	my $seen = q{SELECT count(*) FROM pool_stats_statement WHERE queryid IN };

	$node->safe_psql('postgres', 'SELECT pool_reset_stats(); CREATE TABLE denied (n int)');
	ok(!defined $one->query('SELECT count(*) FROM denied'), 'a statement that fails before it runs');
	is($one->sqlstate, '42501', 'as its role may not');
	my ($denied) = value('EXPLAIN (VERBOSE) SELECT count(*) FROM denied') =~ /Query Identifier: (-?\d+)/;

	is(psql_as($node, 'r_stats', "$seen ($denied)"), '1', 'is counted');
	is($one->value("$seen ($denied)"), '1', 'for the role that sent it');
	is(psql_as($node, 'r_two', "$seen ($denied)"), '0', 'and its query id is not for others');

	# More at once than texts are taken of.
	my $before = psql_as($node, 'r_stats', "$ids query IS NULL");

	$one->query('SELECT 1' . ', 1' x $_) foreach 301 .. 360;
	my $without = psql_as($node, 'r_stats', "$ids query IS NULL AND queryid NOT IN ($before)");

	cmp_ok(scalar(my @all = split /, /, $without), '>', 0, 'of new statements in a burst some have no text');
	is($one->value("$seen ($without)"), scalar @all, 'their role sees them');
	is(psql_as($node, 'r_two', "$seen ($without)"), '0', 'and no other one');
	close_all($one);
}

# ---------- restart, crash, reset ----------

{
	my $fields = q{tenant, queryid, calls, busy_ms, client_wait_ms, lock_wait_ms, p99_ms, max_ms,
		rows, first_seen, query};
	my $mine = q{WHERE query ~ 'kept_one|kept_two' AND query !~ 'pool_stats'};
	# Where all places are taken, those of few calls make room.
	$node->safe_psql('postgres', 'SELECT pool_reset_stats()');
	my $one = open_session($node, 'r_one');

	$one->query($_) foreach 'BEGIN', 'SELECT n FROM kept_one',
	  'SELECT count(n), pg_sleep(0.01) FROM kept_two', 'COMMIT';
	close_all($one);
	my $before = value("SELECT $fields FROM pool_stats_statement $mine ORDER BY queryid");

	is(scalar(split /\n/, $before), 2, 'two statements are to be kept');
	$node->restart;
	is(value("SELECT $fields FROM pool_stats_statement $mine ORDER BY queryid"), $before,
		'a restart keeps statements with all their figures and texts');
	psql_as($node, 'r_one', 'SELECT n FROM kept_one');
	is(value(q{SELECT calls FROM pool_stats_statement WHERE query = 'SELECT n FROM kept_one'}),
		'2', 'and goes on counting');

	# Fewer places: what does not fit is in the row of all others.
	my $calls = value(q{SELECT sum(calls) FROM pool_stats_statement WHERE tenant = 'other'});

	$node->append_conf('postgresql.conf', 'pool_optimizer.max_statements = 100');
	$node->restart;
	is(table_stat('statements <= 100'), 't', 'a smaller table holds what it can');
	is(value(q{SELECT sum(calls) FROM pool_stats_statement WHERE tenant = 'other'}), $calls,
		'and no call is lost');

	$node->safe_psql('postgres', q{SELECT pool_reset_stats('other')});
	is(value(q{SELECT count(*) FROM pool_stats_statement WHERE tenant = 'other'}), '0',
		'a reset of a tenant drops its statements');
	cmp_ok(value(q{SELECT count(*) FROM pool_stats_statement WHERE tenant = 'postgres'}), '>', 10,
		'and no others');
	$node->safe_psql('postgres', 'SELECT pool_reset_stats()');
	# Only what came after it.
	cmp_ok(value('SELECT count(*) FROM pool_stats_statement'), '<=', 4, 'a reset of all drops all');

	# The sampler is not needed, but for the waits for locks.
	my $pid = table_stat('sampler_pid');

	kill 'KILL', $pid;
	$node->poll_query_until('postgres', qq{SELECT sampler_pid <> $pid FROM pool_stats_cluster})
	  if $node->poll_query_until('postgres', 'SELECT true');
	# It has read the file of before, in which there are more than there is room for.
	$node->safe_psql('postgres', 'SELECT pool_reset_stats()');
	psql_as($node, 'r_one', 'SELECT n FROM after_kill');
	is(value(q{SELECT calls FROM pool_stats_statement WHERE query ~ '^SELECT n FROM after_kill'}), '1',
		'after a crash statements are counted');
}

# ---------- switching ----------

{
	my $one = open_session($node, 'r_one');
	my $late;

	$one->query('SELECT n FROM switched');
	$node->append_conf('postgresql.conf', 'pool_optimizer.track_statements = off');
	$node->reload;
	ok($node->poll_query_until('postgres', q{SELECT NOT current_setting(
			'pool_optimizer.track_statements')::bool}), 'it is switched off');
	# A session takes a reload in before its next statement.
	$one->query('SELECT 1');
	$one->query($_) foreach 'BEGIN', 'SELECT n FROM switched', 'COMMIT';
	is(psql_as($node, 'r_one', q{SELECT query_id IS NULL FROM pg_stat_activity
			WHERE pid = pg_backend_pid()}), 't', 'and nobody pays for query ids');
	is(value(q{SELECT calls FROM pool_stats_statement WHERE query ~ '^SELECT n FROM switched'}), '1',
		'what runs while it is off is not counted');
	$late = open_session($node, 'r_one');
	$node->append_conf('postgresql.conf', 'pool_optimizer.track_statements = on');
	$node->reload;
	$one->query('SELECT 1');
	ok($node->poll_query_until('postgres', q{SELECT current_setting(
			'pool_optimizer.track_statements')::bool}), 'it is switched on');
	$one->query('SELECT 1');
	$one->query($_) foreach 'BEGIN', 'SELECT n FROM switched', 'COMMIT';
	is(value(q{SELECT calls FROM pool_stats_statement WHERE query ~ '^SELECT n FROM switched'}), '2',
		'and what runs after is');

	$late->query('SELECT 1');
	is($late->value(q{SELECT query_id IS NOT NULL FROM pg_stat_activity
			WHERE pid = pg_backend_pid()}), 't', 'a session from when it was off has query ids now');
	$late->query('SELECT n FROM switched');
	is(value(q{SELECT calls FROM pool_stats_statement WHERE query ~ '^SELECT n FROM switched'}), '3',
		'and is counted');
	close_all($late);

	# Query ids are core's: "auto" is on with us, "off" is off.
	is($one->value(q{SELECT query_id IS NOT NULL FROM pg_stat_activity
			WHERE pid = pg_backend_pid()}), 't', 'compute_query_id = auto computes them');
	$node->safe_psql('postgres', 'GRANT SET ON PARAMETER compute_query_id TO r_one;
		SELECT pool_reset_stats()');
	$one->query('SET compute_query_id = off');
	my $calls = value(q{SELECT coalesce(sum(calls), 0) FROM pool_stats_statement
		WHERE tenant = 'postgres' AND queryid IS NULL});

	$one->query('SELECT n FROM no_id') foreach 1 .. 3;
	is(value(q{SELECT sum(calls) FROM pool_stats_statement
			WHERE tenant = 'postgres' AND queryid IS NULL}) - $calls, 3,
		'without query ids statements are counted together');
	is(value(q{SELECT count(*) FROM pool_stats_statement WHERE query ~ '^SELECT n FROM no_id'}), '0',
		'with no row of their own');
	close_all($one);

	# Not to be taken for an idle client.
	my $quiet = open_session($node, 'r_one');

	$node->safe_psql('postgres', 'GRANT SET ON PARAMETER track_activities TO r_one');
	$quiet->query('SET track_activities = off');
	$quiet->query($_) foreach 'BEGIN', 'SELECT n FROM untracked', 'COMMIT';
	is(value(q{SELECT calls || ' ' || client_wait_ms FROM pool_stats_statement
			WHERE query ~ '^SELECT n FROM untracked'}), '1 0', 'track_activities = off');
	close_all($quiet);
}

# ---------- a standby ----------

{
	$node->backup('b');
	my $standby = PostgreSQL::Test::Cluster->new('standby');

	$standby->init_from_backup($node, 'b', has_streaming => 1);
	$standby->start;
	$node->wait_for_catchup($standby);
	# It has begun with the file of the primary, and a full table.
	$standby->safe_psql('postgres', 'SELECT pool_reset_stats()');
	$standby->safe_psql('postgres', 'SELECT pool_reset_stats()');
	my $session = open_session($standby, 'r_one');

	$session->query($_) foreach 'BEGIN', 'SELECT n FROM on_standby', 'COMMIT';
	is($session->value(q{SELECT calls FROM pool_stats_statement
			WHERE query = 'SELECT n FROM on_standby'}), '1', 'a standby counts its statements');
	is($standby->safe_psql('postgres', q{SELECT count(*) > 2 FROM pool_stats_statement}), 't',
		'and shows them');
	close_all($session);
	$standby->promote;
	$session = open_session($standby, 'r_one');
	$session->query('SELECT n FROM on_standby');
	is($session->value(q{SELECT calls FROM pool_stats_statement
			WHERE query = 'SELECT n FROM on_standby'}), '2', 'also when it is promoted');
	close_all($session);
	$standby->stop;
}

$node->stop;
unlike(log_since($node), qr/PANIC:|signal 11|signal 6/, 'no process of the server crashed');
done_testing();
