--
-- pool_what_if: its arguments, rights, and the shape of the answer.  What the curve says
-- is the matter of src/unit/test_curve.c.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pool_optimizer;
RESET client_min_messages;
DELETE FROM pool_policies;

-- A tenant that is known by its policy alone and has no load.
SELECT count(*) FROM pool_set_quota('regress_shop@shop', 40);
SELECT pool_sync('60s');

SELECT pool_what_if(NULL);
SELECT pool_what_if('regress_nobody@shop');
SELECT pool_what_if('regress_shop@*');
SELECT pool_what_if('regress_shop@shop', 0);
SELECT pool_what_if('regress_shop@shop', -1);
SELECT pool_what_if('regress_shop@shop', 10001);
\set VERBOSITY sqlstate
SELECT pool_what_if(NULL);
SELECT pool_what_if('regress_nobody@shop');
SELECT pool_what_if('regress_shop@shop', 0);
\set VERBOSITY default

-- Nothing is predicted without load.
SELECT * FROM pool_what_if('regress_shop@shop', 3);
SELECT * FROM pool_what_if(tenant => 'regress_shop@shop', max_size => 1);
SELECT count(*), min(size), max(size) FROM pool_what_if('regress_shop@shop', 10000);
-- Twice what it has or should have, but one row at least.
SELECT count(*) = greatest(1, 2 * max(greatest(current_size, recommended_size))) AS as_documented
	FROM pool_what_if('regress_shop@shop'), pool_recommendations
	WHERE tenant = 'regress_shop@shop';

-- One's own tenant, whatever it does: within bounds.
SELECT count(*), bool_and(utilization BETWEEN 0 AND 1) AS utilization,
		bool_and(throughput >= 0 AND throughput < 'Infinity') AS throughput,
		bool_and(wait_ms IS NULL OR wait_ms >= 0) AS wait
	FROM pool_what_if(session_user || '@' || current_database(), 50);

--
-- A plain role asks for its own tenant only, and does not learn of others.
--
CREATE ROLE regress_pool_a LOGIN;
SELECT session_user AS me \gset
\c - regress_pool_a
SELECT count(*) FROM pool_what_if('regress_pool_a@contrib_regression', 7);
SELECT count(*) BETWEEN 2 AND 1000 AS some
	FROM pool_what_if('regress_pool_a@contrib_regression');
SELECT pool_what_if('regress_shop@shop');
SELECT pool_what_if('regress_nobody@shop');
\set VERBOSITY sqlstate
SELECT pool_what_if('regress_shop@shop');
SELECT pool_what_if('regress_nobody@shop');
\set VERBOSITY default
\c - :me
SELECT provolatile, proparallel, prorows FROM pg_proc WHERE proname = 'pool_what_if';

DELETE FROM pool_policies;
SELECT pool_sync('60s');
DROP ROLE regress_pool_a;
