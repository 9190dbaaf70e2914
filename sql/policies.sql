--
-- Setting policies: rows, NULL keeps, twice is once, transactions, dropping.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pool_optimizer;
RESET client_min_messages;
SELECT pool_sync('60s');
SELECT session_user AS me \gset
CREATE ROLE regress_pool_login LOGIN;
-- A tenant that has been seen, other than those known by their policies alone.
\c - regress_pool_login
\c - :me
CREATE TEMP VIEW quotas AS
	SELECT scope, tenant, max_connections AS max, guaranteed AS guar, weight, on_full,
		wait_timeout, quota_mode AS mode
	FROM pool_policies ORDER BY scope COLLATE "C", tenant COLLATE "C";
CREATE TEMP VIEW in_force AS
	SELECT tenant, max_connections, guaranteed, mode, draining FROM pool_stats
	WHERE tenant LIKE 'regress%' AND (max_connections >= 0 OR guaranteed > 0 OR draining)
	ORDER BY tenant COLLATE "C";

--
-- Each setter returns the row; what is left out or NULL is kept.
--
\x on
SELECT * FROM pool_set_quota('regress_a', max_connections => 10);
SELECT * FROM pool_set_quota('regress_a', guaranteed => 4, weight => 2.5);
SELECT * FROM pool_set_quota('regress_a', NULL, NULL, NULL, 'wait', '3 s', 'observe');
SELECT * FROM pool_set_timeouts('regress_a', idle => '10 min', idle_in_transaction => '30 s');
SELECT * FROM pool_set_timeouts('regress_a', NULL, '0', '1 min', '1 day 2:00', 0.99, 'off');
SELECT * FROM pool_set_sizing('regress_a', min_size => 2, max_size => 20,
	target_wait => '5 ms', auto => true);
SELECT * FROM pool_set_sizing('regress_a', scale_up_threshold => 0.9,
	scale_down_threshold => 0.2, scale_up_step => 4, scale_down_step => 1,
	evaluation_interval => '2 min', auto => false);
\x off

-- Nothing but the key is a policy, too: it says nothing yet.
SELECT scope, tenant, num_nulls(VARIADIC ARRAY[p.max_connections::text, on_full, idle::text])
	FROM pool_set_quota('regress_empty') AS p;
SELECT * FROM pool_drop_policy('regress_empty') AS p;

-- Special values.
SELECT max_connections FROM pool_set_quota('regress_a', max_connections => -1);
SELECT max_connections FROM pool_set_quota('regress_b', max_connections => 0);
SELECT max_size FROM pool_set_sizing('regress_b', max_size => -1);
SELECT target_wait FROM pool_set_sizing('regress_b', target_wait => '1 microsecond');

-- Every scope; an address as it is written canonically; one row for both spellings.
SELECT scope, tenant, max_connections FROM pool_set_quota('orders', 3, scope => 'database');
SELECT scope, tenant, max_connections FROM pool_set_quota('web*', 4, scope => 'application');
SELECT scope, tenant, max_connections FROM pool_set_quota('regress_*', 5, scope => 'role');
SELECT scope, tenant, max_connections FROM pool_set_quota('*', 40, scope => 'cluster');
SELECT scope, tenant, max_connections
	FROM pool_set_quota('2001:DB8:0::/48', 6, scope => 'address');
SELECT scope, tenant, max_connections, on_full
	FROM pool_set_quota('2001:db8::/48', on_full => 'wait', scope => 'address');
SELECT scope, tenant FROM pool_set_quota('::ffff:192.0.2.0/120', 6, scope => 'address');
SELECT scope, tenant FROM pool_set_quota('192.0.2.7/32', 6, scope => 'address');
SELECT scope, tenant FROM pool_set_quota('[local]', 6, scope => 'address');
SELECT scope, tenant FROM pool_set_quota('*', 7, scope => 'address');
-- The same name in two scopes is two policies.
SELECT scope, tenant FROM pool_set_quota('orders', 8);
SELECT * FROM quotas;

--
-- Twice is once.
--
CREATE TEMP TABLE once AS SELECT * FROM pool_policies;
SELECT count(*) FROM pool_set_quota('regress_a', -1, 4, 2.5, 'wait', '3 s', 'observe') AS a,
	pool_set_timeouts('regress_a', '10 min', '0', '1 min', '1 day 2:00', 0.99, 'off') AS b,
	pool_set_quota('2001:db8::/48', 6, scope => 'address') AS c;
SELECT pool_drop_policy('regress_nobody', if_exists => true);
TABLE pool_policies EXCEPT TABLE once;
SELECT (SELECT count(*) FROM once) = count(*) AS as_many FROM pool_policies;

--
-- In force: as pool_stats and pool_explain_admission tell.
--
SELECT pool_sync('60s');
SELECT * FROM in_force;
DELETE FROM pool_policies;
SELECT count(*) FROM pool_set_quota('regress_pool_login@contrib_regression', 2, 1);
SELECT pool_sync('60s');
SELECT * FROM in_force;
SELECT * FROM pool_explain_admission('contrib_regression', 'regress_pool_login', 'x');
SELECT max_connections FROM pool_set_quota('regress_pool_login@contrib_regression', 0, 0);
SELECT pool_sync('60s');
SELECT * FROM pool_explain_admission('contrib_regression', 'regress_pool_login', 'x');
SELECT pool_drop_policy('regress_pool_login@contrib_regression', field => 'max_connections');
SELECT pool_sync('60s');
SELECT * FROM in_force;
DELETE FROM pool_policies;
SELECT pool_sync('60s');
SELECT * FROM in_force;

--
-- Transactions.
--
SELECT policy_generation AS before FROM pool_stats_cluster \gset
BEGIN;
SELECT max_connections FROM pool_set_quota('regress_t', 5);
SELECT idle FROM pool_set_timeouts('regress_t', idle => '1 min');
SELECT * FROM quotas;
-- Others do not see it yet.
SELECT pool_sync('60s');
SELECT count(*) AS known FROM in_force WHERE tenant = 'regress_t';
ROLLBACK;
SELECT pool_sync('60s');
SELECT count(*) AS policies FROM pool_policies;
SELECT count(*) AS known FROM in_force WHERE tenant = 'regress_t';
SELECT count(*) AS events FROM pool_events WHERE tenant = 'regress_t';
-- Nothing new, so nothing was put in force.
SELECT policy_generation - :before AS generations FROM pool_stats_cluster;

BEGIN;
SELECT max_connections FROM pool_set_quota('regress_t', 5);
SAVEPOINT a;
SELECT max_connections FROM pool_set_quota('regress_t', 6);
SELECT max_connections FROM pool_set_quota('regress_u', 7);
ROLLBACK TO a;
SELECT guaranteed FROM pool_set_quota('regress_t', guaranteed => 2);
COMMIT;
SELECT pool_sync('60s');
SELECT * FROM quotas;
SELECT * FROM in_force;

-- An error in the middle undoes all of it.
BEGIN;
SELECT max_connections FROM pool_set_quota('regress_t', 9);
SELECT max_connections FROM pool_set_quota('regress_t', -9);
COMMIT;
SELECT * FROM quotas;
-- Caught, only what failed.
DO $$
BEGIN
	PERFORM pool_set_quota('regress_t', max_connections => 8);
	BEGIN
		PERFORM pool_set_quota('regress_t', weight => 3);
		PERFORM pool_set_quota('regress_t', max_connections => 1);
	EXCEPTION WHEN invalid_parameter_value THEN
		RAISE NOTICE '%', SQLERRM;
	END;
END
$$;
SELECT * FROM quotas;
-- Several in one statement; each sees those before it.
SELECT count(*) FROM generate_series(1, 3) AS i, pool_set_quota('regress_t' || i, i);
SELECT * FROM quotas;

--
-- Dropping: a field, the last field, the whole, what is not there.
--
DELETE FROM pool_policies;
SELECT count(*) FROM pool_set_quota('regress_d', 5, 2, 1.5, mode => 'observe'),
	pool_set_timeouts('regress_d', idle => '1 min', mode => 'enforce');
SELECT max_connections, guaranteed, weight, quota_mode, idle, timeouts_mode
	FROM pool_drop_policy('regress_d', field => 'guaranteed');
SELECT max_connections, guaranteed, weight, quota_mode, idle, timeouts_mode
	FROM pool_drop_policy('regress_d', field => 'timeouts_mode');
-- What is not set is dropped already.
SELECT max_connections, guaranteed, weight, quota_mode, idle, timeouts_mode
	FROM pool_drop_policy('regress_d', field => 'guaranteed');
SELECT pool_drop_policy('regress_d') IS NULL AS gone;
SELECT pool_drop_policy('regress_d');
SELECT pool_drop_policy('regress_d', if_exists => true) IS NULL AS gone;
SELECT pool_drop_policy('regress_d', field => 'weight', if_exists => true) IS NULL AS gone;
SELECT pool_drop_policy('regress_d', field => 'weight');
-- A policy that says nothing any more is none.
SELECT count(*) FROM pool_set_quota('regress_d', 5);
SELECT pool_drop_policy('regress_d', field => 'max_connections') IS NULL AS gone;
SELECT count(*) AS policies FROM pool_policies;
-- By scope, and an address in any spelling.
SELECT count(*) FROM pool_set_quota('x', 1, scope => 'role') AS a,
	pool_set_quota('x', 1) AS b, pool_set_quota('2001:db8::/48', 6, scope => 'address') AS c;
SELECT pool_drop_policy('x', 'database');
SELECT pool_drop_policy('x', 'role') IS NULL AS gone;
SELECT pool_drop_policy('2001:0DB8:0:0::/48', 'address') IS NULL AS gone;
SELECT * FROM quotas;

--
-- Plain DML: checked, made canonical, put in force.
--
DELETE FROM pool_policies;
INSERT INTO pool_policies (tenant, max_connections) VALUES ('regress_dml', 4), ('regress_e', 5);
INSERT INTO pool_policies (scope, tenant, max_connections)
	VALUES ('address', '2001:DB8:0:0:0::1/128', 2) RETURNING scope, tenant;
UPDATE pool_policies SET guaranteed = 3 WHERE tenant = 'regress_dml' RETURNING guaranteed;
UPDATE pool_policies SET guaranteed = max_connections + 1 WHERE tenant = 'regress_dml';
UPDATE pool_policies SET scope = 'nonsense' WHERE tenant = 'regress_dml';
UPDATE pool_policies SET tenant = '' WHERE tenant = 'regress_dml';
INSERT INTO pool_policies (tenant, max_connections) VALUES ('regress_bad', -2);
INSERT INTO pool_policies (scope, tenant, max_connections)
	VALUES ('address', '2001:db8::1', 2);
INSERT INTO pool_policies (scope, tenant, max_connections) VALUES ('address', '10.0.0.1/8', 2);
INSERT INTO pool_policies (tenant) VALUES (NULL);
INSERT INTO pool_policies (scope, tenant, weight) VALUES ('role', 'x', 2);
SELECT * FROM quotas;
SELECT pool_sync('60s');
SELECT * FROM in_force;
-- Renaming moves the quota.
UPDATE pool_policies SET tenant = 'regress_f' WHERE tenant = 'regress_e';
SELECT pool_sync('60s');
SELECT * FROM in_force;
-- COPY, as pg_restore does.
COPY pool_policies (scope, tenant, max_connections) FROM stdin;
tenant	regress_copy	6
address	198.51.100.0/24	7
\.
COPY pool_policies (scope, tenant, max_connections) FROM stdin;
tenant	regress_copy2	6
address	198.51.100.1/24	7
\.
SELECT * FROM quotas;
DELETE FROM pool_policies WHERE tenant = 'regress_f';
SELECT pool_sync('60s');
SELECT * FROM in_force;
-- All at once, and undone.
BEGIN;
TRUNCATE pool_policies;
SELECT count(*) AS policies FROM pool_policies;
ROLLBACK;
SELECT count(*) > 0 AS policies FROM pool_policies;
TRUNCATE pool_policies;
SELECT pool_sync('60s');
SELECT * FROM in_force;

--
-- Draining and resuming.
--
SELECT count(*) FROM pool_set_quota('regress_pool_login@contrib_regression', 2);
SELECT drain_started_at = now() OR drain_started_at BETWEEN now() AND clock_timestamp()
	AS just_now, drain_grace, max_connections
	FROM pool_drain('regress_pool_login@contrib_regression', '1 min');
SELECT drain_started_at AS at FROM pool_policies \gset
-- Again: it goes on, with the new grace.
SELECT drain_started_at = :'at' AS since_then, drain_grace
	FROM pool_drain('regress_pool_login@contrib_regression', '2 min');
SELECT pool_sync('60s');
SELECT * FROM in_force WHERE draining;
SELECT * FROM pool_explain_admission('contrib_regression', 'regress_pool_login', 'x');
SELECT max_connections, drain_started_at, drain_grace
	FROM pool_resume('regress_pool_login@contrib_regression');
SELECT max_connections, drain_started_at, drain_grace
	FROM pool_resume('regress_pool_login@contrib_regression');
SELECT pool_sync('60s');
SELECT count(*) AS draining FROM in_force WHERE draining;
SELECT * FROM pool_explain_admission('contrib_regression', 'regress_pool_login', 'x');
-- Default grace; a tenant without a policy is drained by one that goes with it.
DELETE FROM pool_policies;
SELECT drain_grace, max_connections FROM pool_drain('regress_pool_login@contrib_regression');
SELECT pool_resume('regress_pool_login@contrib_regression') IS NULL AS gone;
SELECT count(*) AS policies FROM pool_policies;
SELECT pool_resume('regress_pool_login@contrib_regression') IS NULL AS gone;
-- Whether it warns that nothing is enforced is a matter of what will be in force at COMMIT.
BEGIN;
SELECT count(*) FROM pool_set_quota('regress_pool_*', mode => 'observe');
SELECT count(*) FROM pool_drain('regress_pool_login@contrib_regression');
ROLLBACK;
SELECT count(*) FROM pool_set_quota('regress_pool_*', mode => 'observe');
SELECT pool_sync('60s');
BEGIN;
SELECT count(*) FROM pool_set_quota('regress_pool_login@contrib_regression', mode => 'enforce');
SELECT count(*) FROM pool_drain('regress_pool_login@contrib_regression');
ROLLBACK;
SELECT count(*) FROM pool_drain('regress_pool_login@contrib_regression');
DELETE FROM pool_policies;
SELECT pool_sync('60s');
-- A pattern drains each that matches.
SELECT tenant FROM pool_drain('regress_pool_*');
SELECT pool_sync('60s');
SELECT scope, tenant, passes, outcome
	FROM pool_explain_admission('contrib_regression', 'regress_pool_login', 'x');
SELECT pool_resume('regress_pool_*') IS NULL AS gone;
-- In a transaction that rolls back, nobody is drained.
BEGIN;
SELECT tenant FROM pool_drain('regress_pool_login@contrib_regression', '0');
ROLLBACK;
SELECT pool_sync('60s');
SELECT count(*) AS draining FROM in_force WHERE draining;

--
-- pool_sync.
--
SELECT pool_sync(), pool_sync(timeout => '1 min');
-- While nobody can read the table, it gives up, and does not say that all is well.
BEGIN;
LOCK TABLE pool_policies IN ACCESS EXCLUSIVE MODE;
SELECT pool_sync('100 ms'), pool_sync('0');
COMMIT;
SELECT pool_sync('60s');

--
-- A migration, run twice.
--
DELETE FROM pool_policies;
CREATE PROCEDURE pg_temp.migrate() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pool_set_quota('*@contrib_regression', max_connections => 20, on_full => 'wait');
	PERFORM pool_set_quota('regress_pool_login@contrib_regression',
		max_connections => 5, guaranteed => 2);
	PERFORM pool_set_timeouts('*', idle_in_transaction => '1 min', mode => 'observe');
	PERFORM pool_set_sizing('*', target_wait => '20 ms');
	PERFORM pool_set_quota('batch*', max_connections => 4, scope => 'application');
	PERFORM pool_drop_policy('regress_old', if_exists => true);
END
$$;
CALL pg_temp.migrate();
SELECT pool_sync('60s');
SELECT policy_generation AS before FROM pool_stats_cluster \gset
CREATE TEMP TABLE migrated AS SELECT * FROM pool_policies;
CALL pg_temp.migrate();
TABLE pool_policies EXCEPT TABLE migrated;
SELECT * FROM quotas;
SELECT pool_sync('60s');
-- The same policies are not put in force anew.
SELECT policy_generation - :before AS generations FROM pool_stats_cluster;
SELECT * FROM in_force;

--
-- In a schema of its own, whatever the search path says.
--
DELETE FROM pool_policies;
CREATE SCHEMA "regress Pool";
ALTER EXTENSION pool_optimizer SET SCHEMA "regress Pool";
CREATE TABLE public.pool_policies (scope text, tenant text);
SELECT max_connections FROM "regress Pool".pool_set_quota('regress_moved', 3);
SELECT idle FROM "regress Pool".pool_set_timeouts('regress_moved', idle => '1 min');
SELECT "regress Pool".pool_sync('60s');
SELECT max_connections FROM "regress Pool".pool_stats WHERE tenant = 'regress_moved';
SELECT tenant FROM "regress Pool".pool_drain('regress_moved');
SELECT max_connections FROM "regress Pool".pool_resume('regress_moved');
SELECT "regress Pool".pool_drop_policy('regress_moved') IS NULL AS gone;
SELECT "regress Pool".pool_sync('60s');
-- Known by its policy alone, it is forgotten with it.
SELECT max_connections FROM "regress Pool".pool_stats WHERE tenant = 'regress_moved';
SELECT count(*) AS decoys FROM public.pool_policies;
DROP TABLE public.pool_policies;
ALTER EXTENSION pool_optimizer SET SCHEMA public;
DROP SCHEMA "regress Pool";

--
-- Without the extension there are no policies; with it again, as set anew.
--
SELECT count(*) FROM pool_set_quota('regress_gone', 3);
SELECT pool_sync('60s');
SELECT max_connections FROM pool_stats WHERE tenant = 'regress_gone';
DROP VIEW quotas, in_force;
DROP EXTENSION pool_optimizer;
CREATE EXTENSION pool_optimizer;
SELECT pool_sync('60s');
SELECT max_connections FROM pool_stats WHERE tenant = 'regress_gone';
SELECT count(*) AS policies FROM pool_policies;

DROP ROLE regress_pool_login;
