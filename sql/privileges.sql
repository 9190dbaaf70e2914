--
-- Who may see what, who may change what.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pool_optimizer;
CREATE EXTENSION IF NOT EXISTS dblink;
RESET client_min_messages;
SELECT pool_sync('60s');
SELECT session_user AS me \gset

--
-- Every object with its rights.  Whoever adds one decides here: what reads is open to
-- PUBLIC and hides others' rows, what changes is not open.
--
CREATE TEMP VIEW members AS
	SELECT classid, objid FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND refobjid =
		(SELECT oid FROM pg_extension WHERE extname = 'pool_optimizer');
CREATE FUNCTION pg_temp.rights(acl aclitem[]) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
		|| ': ' || privileges, ', ' ORDER BY grantee)
	FROM (SELECT grantee, string_agg(privilege_type, ' ' ORDER BY privilege_type COLLATE "C")
			AS privileges
		FROM aclexplode(acl)
		WHERE grantee <> (SELECT oid FROM pg_roles WHERE rolname = session_user)
		GROUP BY grantee) AS g
$$;
SELECT pg_proc.oid::regprocedure AS function,
	coalesce(pg_temp.rights(coalesce(proacl, acldefault('f', proowner))), '-') AS rights
	FROM pg_proc JOIN members ON classid = 'pg_proc'::regclass AND objid = pg_proc.oid
	ORDER BY proname COLLATE "C";
SELECT relname, relkind, pg_temp.rights(coalesce(relacl, acldefault('r', relowner))) AS rights
	FROM pg_class JOIN members ON classid = 'pg_class'::regclass AND objid = pg_class.oid
	ORDER BY relname COLLATE "C";
SELECT relrowsecurity FROM pg_class WHERE oid = 'pool_policies'::regclass;
SELECT polname, polcmd, polroles, pg_get_expr(polqual, polrelid) AS using,
	pg_get_expr(polwithcheck, polrelid) AS check
	FROM pg_policy WHERE polrelid = 'pool_policies'::regclass ORDER BY polname COLLATE "C";

--
-- Two tenants, one who sees all, and a platform's role.
--
CREATE ROLE regress_pool_a LOGIN;
CREATE ROLE regress_pool_b LOGIN;
CREATE ROLE regress_pool_stats LOGIN IN ROLE pg_read_all_stats;
CREATE ROLE regress_pool_platform LOGIN;
GRANT TEMPORARY ON DATABASE contrib_regression TO regress_pool_a;

DELETE FROM pool_policies;
SELECT count(*) FROM
	pool_set_quota('regress_pool_a@contrib_regression', 5) AS a,
	pool_set_quota('regress_pool_b@contrib_regression', 6) AS b,
	pool_set_quota('regress_pool_a@*', 7) AS c,
	pool_set_quota('regress_pool_b@*', 8) AS d,
	pool_set_quota('*', 30) AS e,
	pool_set_quota('contrib_regression', 31, scope => 'database') AS f,
	pool_set_quota('postgres', 32, scope => 'database') AS g,
	pool_set_quota('regress_pool_a', 33, scope => 'role') AS h,
	pool_set_quota('regress_pool_b', 34, scope => 'role') AS i,
	pool_set_quota('pg_regress/*', 35, scope => 'application') AS j,
	pool_set_quota('web', 36, scope => 'application') AS k,
	pool_set_quota('[local]', 37, scope => 'address') AS l,
	pool_set_quota('10.0.0.0/8', 38, scope => 'address') AS m,
	pool_set_quota('*', 39, scope => 'cluster') AS n;
SELECT pool_sync('60s');

-- b errs and goes; then another session of b stays, held by a's session below, while
-- a looks around.
\c - regress_pool_b
SELECT 1 / 0;
\c - :me
CREATE FUNCTION regress_hold(role text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
	SELECT dblink_connect('held', format('host=%L port=%L dbname=%L user=%L',
		split_part(current_setting('unix_socket_directories'), ',', 1),
		current_setting('port'), current_database(), role))
$$;
GRANT EXECUTE ON FUNCTION regress_hold TO regress_pool_a;
-- What b did is known by now.
DO $$
BEGIN
	FOR i IN 1 .. 6000 LOOP
		EXIT WHEN (SELECT errors > 0 FROM pool_stats
			WHERE tenant = 'regress_pool_b@contrib_regression');
		PERFORM pg_sleep(0.01);
	END LOOP;
END
$$;
SELECT errors, last_error FROM pool_stats WHERE tenant = 'regress_pool_b@contrib_regression';

--
-- A plain role: its own tenant, in each view.
--
\c - regress_pool_a
SELECT regress_hold('regress_pool_b');
SELECT 1 / 0;
SELECT tenant, sessions, max_connections, last_error IS NULL AS no_last_error FROM pool_stats;
SELECT DISTINCT tenant FROM pool_recommendations;
SELECT tenant, usename, pid = pg_backend_pid() AS mine FROM pool_stats_session;
SELECT DISTINCT tenant FROM pool_events;
SELECT count(*) > 0 AS some FROM pool_events;
SELECT mode, max_connections, sessions >= 2 AS sessions, last_error, last_error_at
	FROM pool_stats_cluster;
-- What applies to it.
SELECT scope, tenant, max_connections FROM pool_policies
	ORDER BY scope COLLATE "C", tenant COLLATE "C";
-- Row-level security comes before what the role brings along.
CREATE FUNCTION pg_temp.tell(text) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
	RAISE NOTICE 'saw %', $1;
	RETURN true;
END
$$;
SELECT count(*) FROM pool_policies WHERE scope = 'role' AND pg_temp.tell(tenant);
-- The functions themselves say no more than the views.
SELECT tenant FROM pool_stats();
SELECT DISTINCT tenant FROM pool_events();
SELECT tenant FROM pool_stats_session();
SELECT DISTINCT tenant FROM pool_recommendations();
SELECT pool_policy_visible('role', 'regress_pool_b') AS of_b,
	pool_policy_visible('role', 'regress_pool_a') AS of_a;

-- Explaining: its own, not another's, not even whether that exists.
SELECT scope, tenant, used, max_connections FROM pool_explain_admission();
SELECT count(*) > 0 AS told FROM pool_explain_admission(role => 'regress_pool_a');
SELECT * FROM pool_explain_admission(role => 'regress_pool_b');
SELECT * FROM pool_explain_admission(database => 'postgres');
SELECT * FROM pool_explain_admission(role => 'regress_pool_nobody');
\set VERBOSITY sqlstate
SELECT * FROM pool_explain_admission(role => 'regress_pool_b');

-- Changing anything: 42501.
SELECT pool_set_quota('regress_pool_a@contrib_regression', 50);
SELECT pool_set_timeouts('regress_pool_a@contrib_regression', idle => '1 s');
SELECT pool_set_sizing('regress_pool_a@contrib_regression', min_size => 1);
SELECT pool_drop_policy('regress_pool_a@contrib_regression');
SELECT pool_drop_policy('regress_pool_nobody', if_exists => true);
SELECT pool_drain('regress_pool_b@contrib_regression');
SELECT pool_resume('regress_pool_b@contrib_regression');
SELECT pool_sync();
SELECT pool_reset_stats();
SELECT pool_reset_stats('regress_pool_a@contrib_regression');
SELECT * FROM pool_terminate_leaked('*');
SELECT * FROM pool_terminate_leaked('regress_pool_a@contrib_regression', dry_run => false);
INSERT INTO pool_policies (tenant, max_connections) VALUES ('regress_pool_a@*', 50);
UPDATE pool_policies SET max_connections = 50;
DELETE FROM pool_policies;
TRUNCATE pool_policies;
\copy pool_policies (tenant, max_connections) FROM /dev/null
SELECT * FROM pool_policies FOR UPDATE;
BEGIN;
LOCK TABLE pool_policies IN SHARE ROW EXCLUSIVE MODE;
ROLLBACK;
ALTER TABLE pool_policies DISABLE ROW LEVEL SECURITY;
ALTER TABLE pool_policies DISABLE TRIGGER ALL;
CREATE TRIGGER mine BEFORE INSERT ON pool_policies EXECUTE FUNCTION pool_policies_check();
-- The triggers' functions do for nobody's own table.
CREATE TEMP TABLE mine (scope text, tenant text, max_connections int);
CREATE TRIGGER mine BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION pool_policies_check();
-- Settings are the server's.
SET pool_optimizer.mode = off;
SET pool_optimizer.exempt_roles = 'regress_pool_a';
SET pool_optimizer.label = 'other';
\set VERBOSITY default
SELECT dblink_disconnect('held');

--
-- Nothing was changed by all that.
--
\c - :me
SELECT scope, tenant, max_connections FROM pool_policies
	ORDER BY scope COLLATE "C", tenant COLLATE "C";

--
-- pg_read_all_stats: sees all, changes nothing.
--
\c - regress_pool_stats
SELECT tenant, max_connections FROM pool_stats
	WHERE tenant ~ '^regress_pool_(a|b)@contrib_regression$'
	ORDER BY tenant COLLATE "C";
SELECT last_error FROM pool_stats WHERE tenant = 'regress_pool_a@contrib_regression';
SELECT count(*) > 2 AS all FROM pool_recommendations;
SELECT count(DISTINCT tenant) > 2 AS all FROM pool_events;
SELECT count(*) FROM pool_policies;
SELECT count(*) > 0 AS told FROM pool_explain_admission(role => 'regress_pool_b');
SELECT * FROM pool_explain_admission(role => 'regress_pool_nobody');
\set VERBOSITY sqlstate
SELECT pool_set_quota('regress_pool_a@contrib_regression', 50);
SELECT pool_terminate_leaked('*');
UPDATE pool_policies SET max_connections = 50;
\set VERBOSITY default

--
-- EXECUTE alone is not enough: setters run as whoever calls them.
--
\c - :me
GRANT EXECUTE ON FUNCTION pool_set_quota, pool_set_timeouts, pool_set_sizing,
	pool_drop_policy, pool_drain, pool_resume, pool_sync TO regress_pool_platform;
\c - regress_pool_platform
\set VERBOSITY terse
SELECT pool_set_quota('regress_pool_a@contrib_regression', 50);
SELECT pool_set_timeouts('regress_pool_a@contrib_regression', idle => '1 s');
SELECT pool_set_sizing('regress_pool_a@contrib_regression', min_size => 1);
SELECT pool_drop_policy('regress_pool_a@contrib_regression');
SELECT pool_drain('regress_pool_b@contrib_regression');
SELECT pool_resume('regress_pool_b@contrib_regression');
-- Without UPDATE they do not even come to lock the table.
\c - :me
GRANT INSERT ON pool_policies TO regress_pool_platform;
\c - regress_pool_platform
\set VERBOSITY terse
SELECT pool_set_quota('regress_pool_new', 50);
\set VERBOSITY default

--
-- With DML on the table, too, the platform's role sets policies of all tenants.
--
\c - :me
GRANT INSERT, UPDATE, DELETE ON pool_policies TO regress_pool_platform;
GRANT EXECUTE ON FUNCTION pool_reset_stats, pool_terminate_leaked TO regress_pool_platform;
\c - regress_pool_platform
SELECT tenant, max_connections FROM pool_set_quota('regress_pool_a@contrib_regression', 9);
SELECT tenant, max_connections FROM pool_set_quota('regress_pool_new', 3);
SELECT tenant, idle FROM pool_set_timeouts('regress_pool_new', idle => '1 min');
SELECT tenant, min_size FROM pool_set_sizing('regress_pool_new', min_size => 2);
SELECT tenant, max_connections, idle
	FROM pool_drop_policy('regress_pool_new', field => 'max_connections');
SELECT pool_drop_policy('regress_pool_new') IS NULL AS gone;
SELECT tenant, drain_grace FROM pool_drain('regress_pool_b@contrib_regression', '1 min');
SELECT tenant, drain_grace FROM pool_resume('regress_pool_b@contrib_regression');
UPDATE pool_policies SET max_connections = 10 WHERE tenant = 'regress_pool_a@contrib_regression'
	RETURNING max_connections;
WITH d AS (DELETE FROM pool_policies WHERE scope = 'address' RETURNING tenant)
	SELECT tenant FROM d ORDER BY tenant COLLATE "C";
SELECT pool_sync('60s');
SELECT pool_reset_stats('regress_pool_b@contrib_regression');
SELECT count(*) AS leaked
	FROM pool_terminate_leaked('regress_pool_platform@contrib_regression', dry_run => false);
-- It sees the policies, which it must, but no more of other tenants than others do.
SELECT count(*) > 5 AS policies FROM pool_policies;
SELECT tenant FROM pool_stats;
\set VERBOSITY sqlstate
SELECT * FROM pool_explain_admission(role => 'regress_pool_b');
TRUNCATE pool_policies;
\set VERBOSITY default
\c - :me
SELECT tenant, max_connections FROM pool_stats
	WHERE tenant ~ '^regress_pool_(a|b)@contrib_regression$'
	ORDER BY tenant COLLATE "C";
SELECT count(*) AS told FROM pool_events
	WHERE kind = 'policy' AND reason LIKE '%by role "regress_pool_platform"';

--
-- Membership, SET ROLE: what counts for rights is the current role, what counts for
-- the tenant is the login.
--
GRANT regress_pool_stats TO regress_pool_a;
\c - regress_pool_a
SELECT count(*) > 1 AS all FROM pool_stats;
\c - :me
REVOKE regress_pool_stats FROM regress_pool_a;
SET SESSION AUTHORIZATION regress_pool_a;
SELECT tenant = :'me' || '@' || current_database() AS of_the_login FROM pool_stats;
RESET SESSION AUTHORIZATION;
SET ROLE regress_pool_stats;
SELECT count(*) > 2 AS all FROM pool_stats;
RESET ROLE;

--
-- Only a superuser creates the extension.
--
SELECT superuser, trusted FROM pg_available_extension_versions WHERE name = 'pool_optimizer';

DELETE FROM pool_policies;
SELECT pool_sync('60s');
REVOKE ALL ON FUNCTION pool_set_quota, pool_set_timeouts, pool_set_sizing, pool_drop_policy,
	pool_drain, pool_resume, pool_sync, pool_reset_stats, pool_terminate_leaked
	FROM regress_pool_platform;
REVOKE ALL ON pool_policies FROM regress_pool_platform;
REVOKE ALL ON DATABASE contrib_regression FROM regress_pool_a;
DROP FUNCTION regress_hold;
DROP EXTENSION dblink;
DROP ROLE regress_pool_a, regress_pool_b, regress_pool_stats, regress_pool_platform;
