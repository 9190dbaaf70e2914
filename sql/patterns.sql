--
-- Which policy applies: field by field the most specific, in every scope.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pool_optimizer;
RESET client_min_messages;
SELECT pool_sync('60s');
CREATE ROLE regress_pool_ann LOGIN;
CREATE ROLE regress_pool_bob LOGIN;

-- Sets a policy and waits until it is in force.
CREATE FUNCTION regress_quota(name text, scope text DEFAULT 'tenant', max int DEFAULT NULL,
	guaranteed int DEFAULT NULL, on_full text DEFAULT NULL, mode text DEFAULT NULL)
RETURNS void LANGUAGE sql AS $$
	SELECT pool_set_quota(name, max, guaranteed, NULL, on_full, NULL, mode, scope)
$$;
-- The rule of one scope that a login would meet.
CREATE FUNCTION regress_rule(scope text, database text DEFAULT 'shop',
	role text DEFAULT 'regress_pool_ann', application text DEFAULT 'web',
	address inet DEFAULT '10.1.2.3')
RETURNS TABLE (tenant text, max int, guaranteed int, passes bool, outcome text, reason text)
LANGUAGE sql AS $$
	SELECT tenant, max_connections, guaranteed, passes, outcome, reason
	FROM pool_explain_admission(database, role, application, address) AS e
	WHERE e.scope = regress_rule.scope
$$;

--
-- No policy: no quota.
--
DELETE FROM pool_policies;
SELECT pool_sync('60s');
SELECT * FROM pool_explain_admission('shop', 'regress_pool_ann', 'web', '10.1.2.3');

--
-- From the widest to the narrowest; each beats those before it.
--
SELECT regress_quota('*', max => 40); SELECT pool_sync('60s');
SELECT * FROM regress_rule('tenant');
SELECT regress_quota('*@*', max => 39); SELECT pool_sync('60s');
SELECT * FROM regress_rule('tenant');
SELECT regress_quota('*@shop', max => 38); SELECT pool_sync('60s');
SELECT * FROM regress_rule('tenant');
SELECT regress_quota('regress*@sh*', max => 37); SELECT pool_sync('60s');
SELECT * FROM regress_rule('tenant');
SELECT regress_quota('regress_pool_ann@*', max => 36); SELECT pool_sync('60s');
SELECT * FROM regress_rule('tenant');
SELECT regress_quota('regress_pool_ann@shop*', max => 35); SELECT pool_sync('60s');
SELECT * FROM regress_rule('tenant');
SELECT regress_quota('regress_pool_ann@shop', max => 34); SELECT pool_sync('60s');
SELECT * FROM regress_rule('tenant');
-- Others meet what matches them.
SELECT database, role, r.tenant, max FROM (VALUES
	('shop', 'regress_pool_ann'), ('shop2', 'regress_pool_ann'), ('sho', 'regress_pool_ann'),
	('s', 'regress_pool_ann'), ('shop', 'regress_pool_bob'), ('sh', 'regress_pool_bob'),
	('s', 'regress_pool_bob'), ('workshop', 'regress_pool_bob')) AS v (database, role),
	regress_rule('tenant', database, role) AS r;
-- And back again, narrowest first.
SELECT pool_drop_policy('regress_pool_ann@shop') IS NULL AS gone; SELECT pool_sync('60s');
SELECT max FROM regress_rule('tenant');
SELECT pool_drop_policy('regress_pool_ann@shop*') IS NULL AS gone; SELECT pool_sync('60s');
SELECT max FROM regress_rule('tenant');
SELECT pool_drop_policy('regress*@sh*') IS NULL AS gone; SELECT pool_sync('60s');
SELECT max FROM regress_rule('tenant');

--
-- Two patterns with as many literals: the same one every time, first by name.
--
DELETE FROM pool_policies;
SELECT regress_quota('regress_pool_ann@sho*', max => 11),
	regress_quota('*egress_pool_ann@shop', max => 12);
SELECT pool_sync('60s');
SELECT max FROM regress_rule('tenant');
DELETE FROM pool_policies;
SELECT regress_quota('*egress_pool_ann@shop', max => 12),
	regress_quota('regress_pool_ann@sho*', max => 11);
SELECT pool_sync('60s');
SELECT max FROM regress_rule('tenant');

--
-- What a pattern is: * matches any run, also an empty one; nothing else is special.
--
CREATE PROCEDURE regress_try_pattern(pattern text) LANGUAGE plpgsql AS $$
DECLARE
	found int;
BEGIN
	DELETE FROM pool_policies;
	PERFORM pool_set_quota(pattern, max_connections => 7);
	COMMIT;
	IF NOT pool_sync('60s') THEN
		RAISE EXCEPTION 'pool_sync gave up';
	END IF;
	SELECT max INTO found FROM regress_rule('tenant');
	RAISE NOTICE '% %', rpad(pattern, 25), CASE found WHEN 7 THEN 'applies' ELSE 'no' END;
END
$$;
CALL regress_try_pattern('regress_pool_ann@shop');
CALL regress_try_pattern('regress_pool_ann@shop*');
CALL regress_try_pattern('*regress_pool_ann@shop*');
CALL regress_try_pattern('r*p');
CALL regress_try_pattern('**');
CALL regress_try_pattern('*pool*@s*p');
CALL regress_try_pattern('*n*n*');
CALL regress_try_pattern('*n*n*n*');
CALL regress_try_pattern('regress%');
CALL regress_try_pattern('regress_pool_ann_shop');
CALL regress_try_pattern('regress?pool?ann@shop');
CALL regress_try_pattern('regress_pool_[a]nn@shop');
CALL regress_try_pattern('Regress*');
CALL regress_try_pattern('*ann');
CALL regress_try_pattern('regress');
CALL regress_try_pattern('*shops*');

--
-- Field by field: each from the most specific policy that sets it.  A full quota
-- tells on_full and mode, so this is explained to a session that fills its own.
--
GRANT INSERT, UPDATE, DELETE ON pool_policies TO regress_pool_ann;
GRANT EXECUTE ON FUNCTION pool_set_quota, pool_drop_policy, pool_sync TO regress_pool_ann;
DELETE FROM pool_policies;
SELECT pool_sync('60s');
SELECT session_user AS me \gset
\c - regress_pool_ann
CREATE TEMP VIEW mine AS
	SELECT used, max_connections AS max, passes, outcome, reason
	FROM pool_explain_admission() WHERE scope = 'tenant';
SELECT count(*) FROM pool_set_quota('*', on_full => 'evict_idle', mode => 'observe') AS a,
	pool_set_quota('*@contrib_regression', on_full => 'wait', mode => 'enforce') AS b,
	pool_set_quota('regress_pool_ann@contrib_regression', 1) AS c;
SELECT pool_sync('60s');
-- max_connections exact, on_full and mode from *@contrib_regression
SELECT * FROM mine;
-- on_full from *
SELECT on_full, quota_mode FROM pool_drop_policy('*@contrib_regression', field => 'on_full');
SELECT pool_sync('60s');
SELECT * FROM mine;
-- on_full by default
SELECT on_full, quota_mode FROM pool_drop_policy('*', field => 'on_full');
SELECT pool_sync('60s');
SELECT * FROM mine;
-- mode from *
SELECT pool_drop_policy('*@contrib_regression') IS NULL AS gone;
SELECT pool_sync('60s');
SELECT * FROM mine;
-- mode from a pattern in between
SELECT quota_mode FROM pool_set_quota('regress_pool_*', mode => 'off');
SELECT pool_sync('60s');
SELECT * FROM mine;
-- mode exact
SELECT quota_mode FROM pool_set_quota('regress_pool_ann@contrib_regression', mode => 'enforce');
SELECT pool_sync('60s');
SELECT * FROM mine;
-- Nothing leaves room under 0, so there is nothing to wait for.
SELECT max_connections, on_full
	FROM pool_set_quota('regress_pool_ann@contrib_regression', 0, on_full => 'wait');
SELECT pool_sync('60s');
SELECT * FROM mine;
\c - :me
REVOKE ALL ON pool_policies FROM regress_pool_ann;
REVOKE ALL ON FUNCTION pool_set_quota, pool_drop_policy, pool_sync FROM regress_pool_ann;
DELETE FROM pool_policies;
SELECT pool_sync('60s');
-- -1 is a value: no limit, whatever wider patterns say.
SELECT regress_quota('regress_pool_*', max => 5),
	regress_quota('regress_pool_ann@shop', max => -1);
SELECT pool_sync('60s');
SELECT max, outcome FROM regress_rule('tenant');
SELECT max, outcome FROM regress_rule('tenant', role => 'regress_pool_bob');
-- A guarantee beside an inherited maximum.
DELETE FROM pool_policies;
SELECT regress_quota('*', max => 20), regress_quota('regress_pool_ann@shop', guaranteed => 10);
SELECT pool_sync('60s');
SELECT * FROM pool_explain_admission('shop', 'regress_pool_ann', 'web', '10.1.2.3');
-- What is left to others is 47 less the 10 guaranteed.
SELECT * FROM pool_explain_admission('shop', 'regress_pool_bob', 'web', '10.1.2.3');

--
-- Scopes: each has its own names, and a login must pass all.
--
DELETE FROM pool_policies;
SELECT regress_quota('shop', 'database', 10), regress_quota('sh*', 'database', 11),
	regress_quota('*', 'database', 12),
	regress_quota('regress_pool_ann', 'role', 20), regress_quota('regress_pool_*', 'role', 21),
	regress_quota('*', 'role', 22),
	regress_quota('web', 'application', 30), regress_quota('web*', 'application', 31),
	regress_quota('*', 'application', 32),
	regress_quota('*', 'cluster', 40),
	regress_quota('shop', 'tenant', 1), regress_quota('web', 'tenant', 1);
SELECT pool_sync('60s');
SELECT * FROM pool_explain_admission('shop', 'regress_pool_ann', 'web', '10.1.2.3');
SELECT scope, tenant, max_connections
	FROM pool_explain_admission('shipping', 'regress_pool_bob', 'web-2', '10.1.2.3');
SELECT scope, tenant, max_connections
	FROM pool_explain_admission('shadow', 'regress_pool_bob', 'x', '10.1.2.3');
SELECT scope, tenant, max_connections
	FROM pool_explain_admission('hr', 'regress_pool_bob', '', '10.1.2.3');
-- One that does not pass, beside those that do; * of another scope does not count.
SELECT regress_quota('web*', 'application', 0); SELECT pool_sync('60s');
SELECT * FROM pool_explain_admission('shop', 'regress_pool_ann', 'web-2', '10.1.2.3');
SELECT regress_quota('*', 'cluster', 0, mode => 'observe'); SELECT pool_sync('60s');
SELECT * FROM pool_explain_admission('shop', 'regress_pool_ann', 'web', '10.1.2.3');

--
-- Addresses: the longest prefix; a network counts as one.
--
DELETE FROM pool_policies;
SELECT regress_quota('*', 'address', 9), regress_quota('0.0.0.0/0', 'address', 8),
	regress_quota('10.0.0.0/8', 'address', 7), regress_quota('10.1.0.0/16', 'address', 6),
	regress_quota('10.1.2.3', 'address', 5), regress_quota('::/0', 'address', 4),
	regress_quota('2001:db8::/32', 'address', 3), regress_quota('2001:db8::1', 'address', 2),
	regress_quota('[local]', 'address', 1), regress_quota('10.1.2.128/25', 'address', 10);
SELECT pool_sync('60s');
SELECT v.address, r.tenant, max FROM (VALUES
	('10.1.2.3'), ('10.1.2.4'), ('10.1.2.127'), ('10.1.2.128'), ('10.1.255.255'), ('10.2.0.0'),
	('11.0.0.0'), ('9.255.255.255'), ('2001:db8::1'), ('2001:db8::2'), ('2001:db9::'),
	('::1'), ('::ffff:10.1.2.3'), ('::ffff:10.9.9.9'), (NULL)) AS v (address),
	regress_rule('address', address => v.address::inet) AS r;
-- Without the widest of a family, * holds for it.
SELECT pool_drop_policy('::/0', 'address') IS NULL AS gone,
	pool_drop_policy('[local]', 'address') IS NULL AS gone;
SELECT pool_sync('60s');
SELECT tenant, max FROM regress_rule('address', address => '::1');
SELECT tenant, max FROM regress_rule('address', address => NULL);

--
-- A pattern's quota holds for each name by itself, and what is explained is what
-- is counted.
--
DELETE FROM pool_policies;
SELECT regress_quota('regress_pool_*', max => 1), regress_quota('contrib_*', 'database', 5),
	regress_quota('regress_pool_*', 'role', 5), regress_quota('pg_regress/*', 'application', 5),
	regress_quota('[local]', 'address', 5), regress_quota('*', 'cluster', 40);
SELECT pool_sync('60s');
\c - regress_pool_ann
-- One of one is taken, by this very session.
SELECT scope, tenant, used, max_connections, passes, outcome, reason
	FROM pool_explain_admission();
-- Of what others share, a plain role is not told how much is used.
-- As another with a quota of its own.
\c - regress_pool_bob
SELECT scope, tenant, used, max_connections, passes FROM pool_explain_admission()
	WHERE scope = 'tenant';
\c - :me
-- A superuser is exempt.
SELECT scope, used, max_connections, passes, outcome, reason FROM pool_explain_admission();
-- All have gone: nothing stays taken.
DO $$
BEGIN
	FOR i IN 1 .. 6000 LOOP
		EXIT WHEN (SELECT sum(used) FROM pool_explain_admission(role => 'regress_pool_bob')) = 0;
		PERFORM pg_sleep(0.01);
	END LOOP;
END
$$;
SELECT scope, tenant, used FROM pool_explain_admission(role => 'regress_pool_bob');

DELETE FROM pool_policies;
SELECT pool_sync('60s');
DROP ROLE regress_pool_ann, regress_pool_bob;
DROP PROCEDURE regress_try_pattern;
DROP FUNCTION regress_rule, regress_quota;
