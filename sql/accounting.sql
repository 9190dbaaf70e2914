--
-- Exact accounting: every transaction, rollback and error of a plain role, counted as
-- the difference before and after.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pool_optimizer;
CREATE EXTENSION IF NOT EXISTS dblink;
RESET client_min_messages;
SELECT pool_sync('60s');
SELECT session_user AS me \gset
CREATE ROLE regress_pool_count LOGIN;
CREATE TABLE regress_accounts (id int PRIMARY KEY, other int, CONSTRAINT later
	FOREIGN KEY (other) REFERENCES regress_accounts DEFERRABLE INITIALLY DEFERRED);
GRANT ALL ON regress_accounts TO regress_pool_count;

-- What was counted at the last call, and what has come since.
CREATE TABLE regress_counted (transactions bigint, rollbacks bigint, errors bigint);
GRANT SELECT ON regress_counted TO regress_pool_count;
CREATE FUNCTION regress_since(OUT transactions bigint, OUT rollbacks bigint, OUT errors bigint,
	OUT last_error text, OUT histogram bool) LANGUAGE plpgsql AS $$
DECLARE
	s record;
	b record;
BEGIN
	-- A session carries over what it has counted before it counts itself out.
	FOR i IN 1 .. 6000 LOOP
		SELECT * INTO s FROM pool_stats
			WHERE tenant = 'regress_pool_count@contrib_regression';
		EXIT WHEN s.sessions = 0;
		PERFORM pg_sleep(0.01);
	END LOOP;
	DELETE FROM regress_counted RETURNING * INTO b;
	INSERT INTO regress_counted SELECT s.transactions, s.rollbacks, s.errors;
	transactions := s.transactions - coalesce(b.transactions, 0);
	rollbacks := s.rollbacks - coalesce(b.rollbacks, 0);
	errors := s.errors - coalesce(b.errors, 0);
	last_error := s.last_error;
	histogram := s.xact_p50_ms <= s.xact_p99_ms;
END
$$;

-- Logs in and out; the refusal, without the path of the socket.
CREATE FUNCTION regress_login() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
BEGIN
	PERFORM dblink_connect('login', format('host=%L port=%L dbname=%L user=%L',
		split_part(current_setting('unix_socket_directories'), ',', 1),
		current_setting('port'), current_database(), 'regress_pool_count'));
	PERFORM dblink_disconnect('login');
	RETURN 'let in';
EXCEPTION WHEN sqlclient_unable_to_establish_sqlconnection THEN
	GET STACKED DIAGNOSTICS message = PG_EXCEPTION_DETAIL;
	RETURN substring(message FROM 'FATAL:.*');
END
$$;

-- A login by itself is no transaction.
\c - regress_pool_count
\c - :me
SELECT * FROM regress_since();

-- Single statements.
\c - regress_pool_count
SELECT 1;
INSERT INTO regress_accounts VALUES (1);
SELECT count(*) FROM regress_accounts;
\c - :me
SELECT * FROM regress_since();

-- COMMIT: a block is one, however much is in it, also if it is empty.
\c - regress_pool_count
BEGIN;
SELECT 1;
SELECT 2;
SELECT 3;
COMMIT;
BEGIN;
COMMIT;
\c - :me
SELECT * FROM regress_since();

-- ROLLBACK, as asked: no error.
\c - regress_pool_count
BEGIN;
SELECT 1;
ROLLBACK;
BEGIN;
ROLLBACK;
BEGIN;
ABORT;
\c - :me
SELECT * FROM regress_since();

-- COMMIT or ROLLBACK outside a block is a statement like any other.
\c - regress_pool_count
COMMIT;
ROLLBACK;
\c - :me
SELECT * FROM regress_since();

-- Errors outside a block: of the statement, of the parser, of rights.
\c - regress_pool_count
SELECT 1 / 0;
SELECT nonsense;
SELEKT 1;
SELECT pool_reset_stats();
\c - :me
SELECT * FROM regress_since();

-- An error in a block, then ROLLBACK; COMMIT, which is one; more errors in between are
-- of the same transaction.
\c - regress_pool_count
BEGIN;
SELECT 1 / 0;
ROLLBACK;
BEGIN;
SELECT 1 / 0;
COMMIT;
BEGIN;
SELECT 1;
SELECT 1 / 0;
SELECT 1;
SELECT 1;
ROLLBACK;
\c - :me
SELECT * FROM regress_since();

-- Savepoints: an error that is rolled back to is none, and no transaction either.
\c - regress_pool_count
BEGIN;
SAVEPOINT a;
SELECT 1 / 0;
ROLLBACK TO a;
RELEASE a;
COMMIT;
BEGIN;
SAVEPOINT a;
INSERT INTO regress_accounts VALUES (2);
SAVEPOINT b;
INSERT INTO regress_accounts VALUES (2);
ROLLBACK TO a;
COMMIT;
\c - :me
SELECT * FROM regress_since();

-- After such an error a ROLLBACK as asked is no error, one more error is one.
\c - regress_pool_count
BEGIN;
SAVEPOINT a;
SELECT 1 / 0;
ROLLBACK TO a;
ROLLBACK;
\c - :me
SELECT * FROM regress_since();
\c - regress_pool_count
BEGIN;
SAVEPOINT a;
SELECT 1 / 0;
ROLLBACK TO a;
SELECT nonsense;
ROLLBACK;
\c - :me
SELECT * FROM regress_since();

-- PL/pgSQL: caught, not caught, caught and another not.
\c - regress_pool_count
DO $$
BEGIN
	PERFORM 1 / 0;
EXCEPTION WHEN division_by_zero THEN
	NULL;
END
$$;
\c - :me
SELECT * FROM regress_since();
\c - regress_pool_count
DO $$
BEGIN
	RAISE EXCEPTION 'no' USING ERRCODE = 'PO123';
END
$$;
\c - :me
SELECT * FROM regress_since();
\c - regress_pool_count
DO $$
BEGIN
	BEGIN
		PERFORM 1 / 0;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	INSERT INTO regress_accounts VALUES (1);
END
$$;
\c - :me
SELECT * FROM regress_since();

-- A procedure that commits and rolls back: each part is one.
\c - regress_pool_count
DO $$
BEGIN
	INSERT INTO regress_accounts VALUES (10);
	COMMIT;
	INSERT INTO regress_accounts VALUES (11);
	ROLLBACK;
	INSERT INTO regress_accounts VALUES (12);
END
$$;
\c - :me
SELECT * FROM regress_since();
-- As asked, also after what was caught.
\c - regress_pool_count
DO $$
BEGIN
	BEGIN
		PERFORM 1 / 0;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	ROLLBACK;
END
$$;
\c - :me
SELECT * FROM regress_since();

-- COMMIT that fails: a deferred constraint.
\c - regress_pool_count
BEGIN;
INSERT INTO regress_accounts VALUES (20, 99);
COMMIT;
\c - :me
SELECT * FROM regress_since();

-- AND CHAIN: each link is one.
\c - regress_pool_count
BEGIN;
SELECT 1;
COMMIT AND CHAIN;
SELECT 2;
ROLLBACK AND CHAIN;
SELECT 3;
COMMIT;
\c - :me
SELECT * FROM regress_since();

-- Several statements in one message are one transaction; an error undoes all.
\c - regress_pool_count
SELECT 1\; SELECT 2\; SELECT 3;
SELECT 1\; SELECT 1 / 0\; SELECT 3;
\c - :me
SELECT * FROM regress_since();

-- COPY, both ways, and one that fails.
\c - regress_pool_count
COPY regress_accounts (id) FROM stdin;
30
31
\.
COPY (SELECT count(*) FROM regress_accounts) TO stdout;
COPY regress_accounts (id) FROM stdin;
thirty
\.
\c - :me
SELECT * FROM regress_since();

-- A cancelled statement is an error.
\c - regress_pool_count
SET statement_timeout = '10ms';
SELECT pg_sleep(600);
\c - :me
SELECT * FROM regress_since();

-- A client that leaves in the middle of a block: rolled back, but no error.
\c - regress_pool_count
BEGIN;
INSERT INTO regress_accounts VALUES (40);
\c - :me
SELECT * FROM regress_since();
SELECT count(*) AS kept FROM regress_accounts WHERE id = 40;

-- Errors that the server does not log are counted all the same.
ALTER ROLE regress_pool_count SET log_min_messages = 'panic';
\c - regress_pool_count
SELECT 1 / 0;
BEGIN;
SELECT 1 / 0;
ROLLBACK;
BEGIN;
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT 1 / 0;
ROLLBACK TO a;
COMMIT;
\c - :me
SELECT * FROM regress_since();
ALTER ROLE regress_pool_count RESET log_min_messages;

-- What is merely reported is no error.
\c - regress_pool_count
SET client_min_messages = error;
DO $$
BEGIN
	RAISE WARNING 'beware';
END
$$;
COMMIT;
\c - :me
SELECT * FROM regress_since();

-- Many, in one session.
\c - regress_pool_count
\set ECHO none
\o /dev/null
SELECT 'SELECT;' FROM generate_series(1, 250)
\gexec
\o
\set ECHO all
\c - :me
SELECT * FROM regress_since();

-- While a session is open, the sampler carries over what it has counted: what the
-- tenant had before plus what the session says of itself.
\c - regress_pool_count
SELECT 1;
SELECT 1 / 0;
DO $$
DECLARE
	carried bool;
BEGIN
	FOR i IN 1 .. 6000 LOOP
		SELECT t.transactions = c.transactions + s.transactions AND t.errors = c.errors + 1
			INTO carried
			FROM pool_stats AS t, pool_stats_session AS s, regress_counted AS c
			WHERE s.pid = pg_backend_pid() AND t.tenant = s.tenant;
		EXIT WHEN carried;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RAISE NOTICE 'carried over: %', carried;
END
$$;
\c - :me
SELECT * FROM regress_since();

-- A refused login is a rejection and an error, but no transaction.
SELECT count(*) FROM pool_set_quota('regress_pool_count@contrib_regression', 0);
SELECT pool_sync('60s');
SELECT rejected AS before FROM pool_stats
	WHERE tenant = 'regress_pool_count@contrib_regression' \gset
SELECT regress_login();
SELECT * FROM regress_since();
SELECT rejected - :before AS rejected FROM pool_stats
	WHERE tenant = 'regress_pool_count@contrib_regression';
DELETE FROM pool_policies;
SELECT pool_sync('60s');
-- One that core refuses after we have let it in is an error, too.
ALTER ROLE regress_pool_count CONNECTION LIMIT 0;
SELECT regress_login();
SELECT * FROM regress_since();
SELECT rejected - :before AS rejected FROM pool_stats
	WHERE tenant = 'regress_pool_count@contrib_regression';

-- Nothing was counted elsewhere.
SELECT count(*) AS others FROM pool_stats WHERE tenant = '(other)';

DROP TABLE regress_accounts, regress_counted;
DROP FUNCTION regress_since, regress_login;
DROP EXTENSION dblink;
DROP ROLE regress_pool_count;
