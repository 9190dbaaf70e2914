--
-- Bad input: the SQLSTATE, a message that says what to change, and nothing changed.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pool_optimizer;
RESET client_min_messages;
SELECT pool_sync('60s');

CREATE FUNCTION regress_try(statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	problem text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RAISE NOTICE 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT;
	-- names of 256 bytes need not be read
	RAISE NOTICE '% %', SQLSTATE, regexp_replace(problem, '(x|é){50,}', 'xx...');
	IF detail <> '' THEN
		RAISE NOTICE '  DETAIL: %', detail;
	END IF;
	IF hint <> '' THEN
		RAISE NOTICE '  HINT: %', hint;
	END IF;
END
$$;
\pset tuples_only on

-- What must be as it is, after all this.
DELETE FROM pool_policies;
SELECT count(*) FROM pool_set_quota('regress_a', 10, 4, 2, 'wait', '3 s', 'enforce') AS a,
	pool_set_timeouts('regress_a', '10 min', '30 s', '1 min', '1 day', 0.99, 'observe') AS b,
	pool_set_sizing('regress_a', 2, 20, '5 ms', 0.9, 0.2, 4, 1, '2 min', true) AS c,
	pool_set_quota('10.0.0.0/8', 7, scope => 'address') AS d,
	pool_set_quota('*', 20) AS e;
CREATE TABLE regress_before AS SELECT * FROM pool_policies;
SELECT pool_sync('60s');
SELECT policy_generation AS generation FROM pool_stats_cluster \gset

--
-- Unknown tenants.
--
SELECT regress_try($$SELECT pool_drop_policy('regress_nobody')$$);
SELECT regress_try($$SELECT pool_drop_policy('regress_a', 'role')$$);
SELECT regress_try($$SELECT pool_drop_policy('regress_a', field => 'nonsense')$$);
SELECT regress_try($$SELECT pool_drop_policy('regress_a', field => 'mode')$$);
SELECT regress_try($$SELECT pool_drop_policy('regress_a', field => 'tenant')$$);
SELECT regress_try($$SELECT pool_drop_policy('regress_a', field => 'max_connections = 1, idle')$$);
SELECT regress_try($$SELECT pool_drop_policy('regress_a', field => 'nonsense', if_exists => true)$$);
SELECT regress_try($$SELECT pool_drain('regress_nobody')$$);
SELECT regress_try($$SELECT pool_resume('regress_nobody')$$);
SELECT regress_try($$SELECT pool_reset_stats('regress_nobody')$$);
SELECT regress_try($$SELECT pool_terminate_leaked('regress_nobody')$$);
SELECT regress_try($$SELECT pool_terminate_leaked('')$$);
SELECT regress_try($$SELECT pool_explain_admission(role => 'regress_nobody')$$);

--
-- NULL where a value is needed.
--
SELECT regress_try($$SELECT pool_set_quota(NULL, 5)$$);
SELECT regress_try($$SELECT pool_set_timeouts(NULL, '1 s')$$);
SELECT regress_try($$SELECT pool_set_sizing(NULL, 5)$$);
SELECT regress_try($$SELECT pool_drop_policy(NULL)$$);
SELECT regress_try($$SELECT pool_drain(NULL)$$);
SELECT regress_try($$SELECT pool_drain('regress_a', NULL)$$);
SELECT regress_try($$SELECT pool_resume(NULL)$$);
SELECT regress_try($$SELECT pool_sync(NULL)$$);
SELECT regress_try($$SELECT pool_terminate_leaked(NULL)$$);

--
-- Negative, and too big.
--
SELECT regress_try($$SELECT pool_set_quota('regress_a', -2)$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', 262144)$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', 2147483647)$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', -2147483648)$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', guaranteed => -1)$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', weight => 0)$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', weight => '-0')$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', weight => -1)$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', weight => 'NaN')$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', weight => 'Infinity')$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', weight => 1e308)$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', wait_timeout => '-1 s')$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', wait_timeout => '1 month')$$);
SELECT regress_try($$SELECT pool_set_timeouts('regress_a', idle => '-1 ms')$$);
SELECT regress_try($$SELECT pool_set_timeouts('regress_a', idle => '1 day -25 hours')$$);
SELECT regress_try($$SELECT pool_set_timeouts('regress_a', idle => '100000000 years')$$);
SELECT regress_try($$SELECT pool_set_timeouts('regress_a', idle => '-100000000 years')$$);
SELECT regress_try($$SELECT pool_set_timeouts('regress_a', idle_in_transaction => '-1 s')$$);
SELECT regress_try($$SELECT pool_set_timeouts('regress_a', never_used => '-1 s')$$);
SELECT regress_try($$SELECT pool_set_timeouts('regress_a', lifetime => '-1 s')$$);
SELECT regress_try($$SELECT pool_set_timeouts('regress_a', lifetime => '11 years')$$);
SELECT regress_try($$SELECT pool_set_timeouts('regress_a', leak_probability => -0.1)$$);
SELECT regress_try($$SELECT pool_set_timeouts('regress_a', leak_probability => 1.1)$$);
SELECT regress_try($$SELECT pool_set_timeouts('regress_a', leak_probability => 'NaN')$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', min_size => -1)$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', max_size => 0)$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', max_size => -2)$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', target_wait => '0')$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', target_wait => '61 min')$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', scale_up_threshold => 1.01)$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', scale_down_threshold => -0.01)$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', scale_up_step => -1)$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', scale_down_step => -1)$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', evaluation_interval => '999 ms')$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', evaluation_interval => '25 h')$$);
SELECT regress_try($$SELECT pool_drain('regress_a', '-1 s')$$);
SELECT regress_try($$SELECT pool_sync('-1 s')$$);
-- Longer than anybody waits is no error.
SELECT pool_sync('100000000 years');
-- The type's own.
-- Its hint is core's, and worded otherwise in 19.
DO $$
BEGIN
	PERFORM pool_set_quota('regress_a', 2147483648);
EXCEPTION WHEN undefined_function THEN
	RAISE NOTICE '% %', SQLSTATE, SQLERRM;
END
$$;
SELECT regress_try($$SELECT pool_set_timeouts('regress_a', idle => 'soon')$$);

--
-- Words.
--
SELECT regress_try($$SELECT pool_set_quota('regress_a', mode => 'on')$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', mode => 'Enforce')$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', mode => '')$$);
SELECT regress_try($$SELECT pool_set_timeouts('regress_a', mode => 'enforce ')$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', on_full => 'evict')$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', on_full => '')$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', scope => 'tenants')$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', scope => '')$$);
SELECT regress_try($$SELECT pool_drop_policy('regress_a', 'user')$$);

--
-- Contradictions.
--
SELECT regress_try($$SELECT pool_set_quota('regress_a', guaranteed => 11)$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', max_connections => 3)$$);
SELECT regress_try($$SELECT pool_set_quota('regress_b', 5, 6)$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', min_size => 21)$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', max_size => 1)$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', scale_up_threshold => 0.2)$$);
SELECT regress_try($$SELECT pool_set_sizing('regress_a', scale_down_threshold => 0.95)$$);
-- With what a pattern says, whichever of the two comes last.
SELECT regress_try($$SELECT pool_set_quota('regress_b', guaranteed => 21)$$);
BEGIN;
SELECT count(*) FROM pool_set_quota('regress_b', guaranteed => 6);
SELECT regress_try($$SELECT pool_set_quota('*', 5)$$);
SELECT regress_try($$SELECT pool_set_quota('regress*', 5)$$);
SELECT regress_try($$DELETE FROM pool_policies WHERE tenant = '*'$$);
ROLLBACK;
-- Taking away what hid the pattern's number.
BEGIN;
-- no contradiction yet: regress_a has a maximum of its own
SELECT count(*) FROM pool_set_quota('*', 3);
SELECT regress_try($$SELECT pool_drop_policy('regress_a', field => 'max_connections')$$);
ROLLBACK;
-- All guarantees together: at most 47 usable less 5 that may wait.
SELECT regress_try($$SELECT pool_set_quota('regress_b', 100, 39)$$);
BEGIN;
SELECT count(*) FROM pool_set_quota('regress_b', 100, 38);
SELECT regress_try($$SELECT pool_set_quota('regress_c', 100, 1)$$);
SELECT regress_try($$UPDATE pool_policies SET guaranteed = guaranteed + 1
	WHERE guaranteed IS NOT NULL AND tenant = 'regress_b'$$);
-- One up, one down, in one statement: only the sum counts.
UPDATE pool_policies SET guaranteed = CASE tenant WHEN 'regress_a' THEN 5 ELSE 37 END
	WHERE guaranteed IS NOT NULL;
ROLLBACK;
SELECT regress_try($$INSERT INTO pool_policies (tenant, guaranteed)
	SELECT 'regress_' || i, 10 FROM generate_series(1, 4) AS i$$);
-- Guarantees are for exact names.
SELECT regress_try($$SELECT pool_set_quota('regress_*', guaranteed => 1)$$);
SELECT regress_try($$SELECT pool_set_quota('*', guaranteed => 1)$$);

--
-- Scopes: what exists for tenants only.
--
SELECT regress_try($$SELECT pool_set_quota('x', guaranteed => 1, scope => 'role')$$);
SELECT regress_try($$SELECT pool_set_quota('x', weight => 1, scope => 'database')$$);
SELECT regress_try($$INSERT INTO pool_policies (scope, tenant, idle) VALUES ('role', 'x', '1 s')$$);
SELECT regress_try($$INSERT INTO pool_policies (scope, tenant, timeouts_mode)
	VALUES ('application', 'x', 'off')$$);
SELECT regress_try($$INSERT INTO pool_policies (scope, tenant, min_size) VALUES ('cluster', '*', 1)$$);
SELECT regress_try($$INSERT INTO pool_policies (scope, tenant, auto) VALUES ('role', 'x', true)$$);
SELECT regress_try($$INSERT INTO pool_policies (scope, tenant, drain_started_at, drain_grace)
	VALUES ('role', 'x', now(), '1 s')$$);
SELECT regress_try($$SELECT pool_set_quota('main', 5, scope => 'cluster')$$);
SELECT regress_try($$SELECT pool_set_quota('regress_a', scope => 'cluster')$$);

--
-- Addresses.
--
SELECT regress_try($$SELECT pool_set_quota('10.0.0.1/8', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_set_quota('10.0.0.0/33', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_set_quota('10.0.0.0/', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_set_quota('10.0.0.0/-1', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_set_quota('10.0.0', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_set_quota('10.0.0.256', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_set_quota('10.0.0.*', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_set_quota(' 10.0.0.1', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_set_quota('10.0.0.1 ', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_set_quota('2001:db8::1/64', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_set_quota('2001:db8:::1', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_set_quota('fe80::1%eth0', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_set_quota('localhost', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_set_quota('', 5, scope => 'address')$$);
SELECT regress_try($$SELECT pool_explain_admission(address => '10.0.0.0/8')$$);
SELECT regress_try($$SELECT pool_explain_admission(address => '10.0.0.1/8')$$);
SELECT regress_try($$SELECT pool_explain_admission(address => '10.0.0.1/33')$$);

--
-- Names.
--
SELECT regress_try($$SELECT pool_set_quota('', 5)$$);
SELECT regress_try($$SELECT pool_set_quota('', 5, scope => 'role')$$);
SELECT regress_try($$SELECT pool_set_quota(repeat('x', 256), 5)$$);
SELECT regress_try($$SELECT pool_set_quota(repeat('x', 100000), 5)$$);
SELECT regress_try($$SELECT pool_set_quota(repeat('é', 128), 5)$$);
SELECT regress_try($$INSERT INTO pool_policies (tenant) VALUES (repeat('x', 256))$$);
SELECT regress_try($$INSERT INTO pool_policies (scope, tenant) VALUES (NULL, 'x')$$);

--
-- After all this: as before, and nothing put in force.
--
TABLE pool_policies EXCEPT TABLE regress_before;
TABLE regress_before EXCEPT TABLE pool_policies;
SELECT pool_sync('60s');
SELECT policy_generation - :generation FROM pool_stats_cluster;

--
-- Odd names that are allowed stay what they are.
--
\pset tuples_only off
DELETE FROM pool_policies;
SELECT octet_length(tenant) AS bytes, max_connections FROM pool_set_quota(repeat('x', 255), 1);
SELECT count(*) FROM pool_set_quota('"; DROP TABLE pool_policies; --', 1) AS a,
	pool_set_quota($$it's$$, 2) AS b, pool_set_quota('100%s %n %', 3) AS c,
	pool_set_quota('añb日本😀', 4) AS d, pool_set_quota('back\slash', 5) AS e,
	pool_set_quota(' ', 6) AS f, pool_set_quota('{"json": [1]}', 7) AS g,
	pool_set_quota('$1', 8) AS h;
SELECT pool_sync('60s');
-- unaligned, since the width of a name depends on the encoding
\pset format unaligned
SELECT tenant, max_connections
	FROM pool_policies JOIN pool_stats AS s USING (tenant, max_connections)
	WHERE tenant !~ '^x' ORDER BY max_connections;
\pset format aligned
SELECT tenant, count(*), min(jsonb_typeof(detail)) FROM pool_events
	WHERE kind = 'policy' AND tenant LIKE '100%' GROUP BY tenant;
SELECT reason ~ '"100%s %n %" set by' AS as_it_is FROM pool_events WHERE tenant = '100%s %n %';
SELECT count(pool_drop_policy(tenant)) AS left_over FROM pool_policies;
SELECT count(*) AS policies FROM pool_policies;
-- Control characters become ? as in names of sessions, in every function alike.
SELECT tenant, max_connections FROM pool_set_quota(E'tab\there', 1);
SELECT tenant, max_connections FROM pool_set_quota(E'tab\there', 2);
SELECT tenant, drain_grace FROM pool_drain(E'tab\there', '1 s');
SELECT tenant, drain_grace FROM pool_resume(E'tab\there');
SELECT pool_drop_policy(E'tab\there') IS NULL AS gone;
SELECT count(*) AS policies FROM pool_policies;

--
-- The trigger functions and others by themselves.
--
SELECT regress_try($$SELECT pool_policies_check()$$);
SELECT regress_try($$SELECT pool_policies_changed()$$);
-- As triggers of another kind than ours, and of tables that are not ours.
CREATE TABLE regress_plain (LIKE pool_policies);
CREATE TABLE regress_parts (LIKE pool_policies) PARTITION BY LIST (scope);
CREATE FUNCTION regress_fire(function text, kind text, relation text) RETURNS void LANGUAGE sql AS $$
	SELECT regress_try(format('CREATE TRIGGER x %s EXECUTE FUNCTION %s(); '
		'INSERT INTO %s (scope, tenant) SELECT ''tenant'', ''x'' WHERE %L',
		format(kind, relation), function, relation, relation <> 'regress_parts'))
$$;
SELECT regress_fire(f, 'AFTER INSERT ON %s FOR EACH STATEMENT', 'regress_plain')
	FROM unnest(ARRAY['pool_policies_check', 'pool_alert_rules_check']) AS f;
SELECT regress_fire(f, 'AFTER INSERT ON %s FOR EACH ROW', 'regress_plain')
	FROM unnest(ARRAY['pool_policies_check', 'pool_alert_rules_check']) AS f;
SELECT regress_fire(f, 'BEFORE INSERT ON %s FOR EACH ROW', 'regress_plain')
	FROM unnest(ARRAY['pool_policies_changed', 'pool_alert_rules_changed',
		'pool_acknowledged_changed']) AS f;
SELECT regress_fire(f, 'AFTER INSERT ON %s FOR EACH STATEMENT', relation)
	FROM unnest(ARRAY['pool_policies_changed', 'pool_alert_rules_changed',
		'pool_acknowledged_changed']) AS f, unnest(ARRAY['regress_plain', 'regress_parts']) AS relation;
DROP FUNCTION regress_fire;
DROP TABLE regress_plain, regress_parts;

--
-- Read-only transactions: reading goes, changing does not.
--
BEGIN READ ONLY;
SELECT count(*) FROM pool_stats_cluster;
SELECT count(*) > 0 AS told FROM pool_explain_admission();
SAVEPOINT a;
SELECT pool_set_quota('regress_a', 5);
ROLLBACK TO a;
SELECT pool_drop_policy('regress_a', if_exists => true);
ROLLBACK;
SELECT count(*) AS policies FROM pool_policies;

--
-- Another database than that of the policies.
--
SELECT count(*) FROM pool_set_quota('regress_here', 5);
SELECT pool_sync('60s');
CREATE DATABASE regress_pool_other TEMPLATE template0;
\c regress_pool_other
CREATE EXTENSION pool_optimizer;
\pset format unaligned
SELECT pool_set_quota('regress_here', 6);
SELECT pool_set_timeouts('regress_here', idle => '1 s');
SELECT pool_set_sizing('regress_here', min_size => 1);
SELECT pool_drop_policy('regress_here');
SELECT pool_drop_policy('regress_here', if_exists => true);
SELECT pool_drain('regress_here');
SELECT pool_resume('regress_here');
INSERT INTO pool_policies (tenant, max_connections) VALUES ('regress_here', 6);
UPDATE pool_policies SET max_connections = 6;
DELETE FROM pool_policies;
TRUNCATE pool_policies;
\pset format aligned
\set VERBOSITY sqlstate
SELECT pool_set_quota('regress_here', 6);
INSERT INTO pool_policies (tenant, max_connections) VALUES ('regress_here', 6);
\set VERBOSITY default
-- Reading works here as everywhere, and says what is in force.
SELECT tenant, max_connections FROM pool_stats WHERE tenant = 'regress_here';
SELECT tenant = session_user || '@regress_pool_other' AS mine FROM pool_stats_session
	WHERE pid = pg_backend_pid();
SELECT count(*) FROM pool_stats_cluster;
SELECT count(*) > 0 AS told FROM pool_explain_admission();
SELECT count(*) > 0 AS told FROM pool_recommendations;
SELECT count(*) > 0 AS told FROM pool_events;
SELECT count(*) FROM pool_terminate_leaked('*');
SELECT count(*) AS policies FROM pool_policies;
SELECT pool_sync('60s');
\c contrib_regression
SELECT tenant, max_connections FROM pool_policies WHERE tenant = 'regress_here';
SELECT tenant, max_connections FROM pool_stats WHERE tenant = 'regress_here';
-- The keeper is not there, so nothing is in the way.
DROP DATABASE regress_pool_other;

DELETE FROM pool_policies;
SELECT pool_sync('60s');
DROP TABLE regress_before;
DROP FUNCTION regress_try;
