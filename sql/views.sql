--
-- What the views promise: columns, one's own session, sane numbers.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pool_optimizer;
RESET client_min_messages;
SELECT pool_sync('60s');

-- Polls, for what others do when they like.
CREATE FUNCTION pg_temp.wait_for(condition text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	met boolean;
BEGIN
	FOR i IN 1 .. 6000 LOOP
		EXECUTE 'SELECT ' || condition INTO met;
		IF met THEN
			RETURN true;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN false;
END
$$;

--
-- The contract: these columns with these types; more are welcome.  No rows.
--
CREATE TEMP TABLE contract (relation text, type text, columns text);
INSERT INTO contract VALUES
	('pool_stats', 'text', 'tenant last_error'),
	('pool_stats', 'integer', 'sessions active idle idle_in_transaction waiting
		max_connections guaranteed peak_sessions peak_busy recommended_size'),
	('pool_stats', 'double precision', 'utilization xact_mean_ms xact_p50_ms xact_p95_ms
		xact_p99_ms wait_p99_ms'),
	('pool_stats', 'bigint', 'admitted rejected would_reject terminated would_terminate
		transactions rollbacks errors'),
	('pool_stats', 'timestamp with time zone', 'last_error_at first_seen last_used'),
	('pool_stats_cluster', 'text', 'mode health last_error'),
	('pool_stats_cluster', 'integer', 'max_connections sessions tenants sampler_pid
		keeper_pid'),
	('pool_stats_cluster', 'double precision', 'utilization sample_us'),
	('pool_stats_cluster', 'bigint', 'samples missed_samples policy_generation
		shared_memory_bytes'),
	('pool_stats_cluster', 'timestamp with time zone', 'last_sample last_error_at'),
	('pool_stats_session', 'integer', 'pid'),
	('pool_stats_session', 'text', 'tenant datname usename application_name state class
		exempt verdict'),
	('pool_stats_session', 'inet', 'client_addr'),
	('pool_stats_session', 'timestamp with time zone', 'backend_start'),
	('pool_stats_session', 'double precision', 'state_ms xact_ms leak_probability'),
	('pool_stats_session', 'bigint', 'transactions'),
	('pool_stats_statement', 'text', 'tenant query'),
	('pool_stats_statement', 'bigint', 'queryid calls rows'),
	('pool_stats_statement', 'double precision', 'busy_ms connection_seconds share
		client_wait_ms lock_wait_ms mean_ms p99_ms'),
	('pool_stats_statement', 'timestamp with time zone', 'first_seen last_seen'),
	('pool_findings', 'text', 'tenant kind severity advice acknowledged_by acknowledged_reason'),
	('pool_findings', 'timestamp with time zone', 'since last_seen acknowledged_until'),
	('pool_findings', 'double precision', 'connections_spent'),
	('pool_findings', 'jsonb', 'evidence'),
	('pool_findings', 'bigint', 'queryid'),
	('pool_findings', 'boolean', 'acknowledged'),
	('pool_recommendations', 'text', 'tenant bottleneck method reason'),
	('pool_recommendations', 'integer', 'current_size recommended_min recommended_size
		recommended_max busy_p50 busy_p95 busy_max'),
	('pool_recommendations', 'double precision', 'arrival_rate service_ms
		predicted_wait_ms confidence'),
	('pool_recommendations', 'timestamp with time zone', 'computed_at'),
	('pool_stats_history', 'timestamp with time zone', 'bucket_start'),
	('pool_stats_history', 'double precision', 'bucket_ms sessions_avg busy_avg
		xact_p95_ms'),
	('pool_stats_history', 'text', 'tenant'),
	('pool_stats_history', 'integer', 'sessions_max busy_max'),
	('pool_stats_history', 'bigint', 'rejected terminated transactions'),
	('pool_events', 'timestamp with time zone', 'at'),
	('pool_events', 'text', 'kind tenant reason'),
	('pool_events', 'integer', 'pid'),
	('pool_events', 'jsonb', 'detail'),
	('pool_alerts', 'text', 'tenant alert severity message'),
	('pool_alerts', 'timestamp with time zone', 'since'),
	('pool_alerts', 'double precision', 'value threshold'),
	('pool_policies', 'text', 'scope tenant on_full quota_mode timeouts_mode'),
	('pool_policies', 'integer', 'max_connections guaranteed min_size max_size
		scale_up_step scale_down_step'),
	('pool_policies', 'double precision', 'weight leak_probability scale_up_threshold
		scale_down_threshold'),
	('pool_policies', 'interval', 'wait_timeout idle idle_in_transaction never_used
		lifetime target_wait evaluation_interval'),
	('pool_policies', 'boolean', 'auto');
SELECT count(*) AS promised
	FROM contract, regexp_split_to_table(columns, '\s+');
SELECT c.relation, c.name, c.type AS promised, format_type(a.atttypid, a.atttypmod) AS found
	FROM (SELECT relation, type, regexp_split_to_table(columns, '\s+') AS name
		FROM contract) AS c
	LEFT JOIN pg_attribute AS a ON a.attrelid = c.relation::regclass AND a.attname = c.name
	WHERE format_type(a.atttypid, a.atttypmod) IS DISTINCT FROM c.type
	ORDER BY c.relation COLLATE "C", c.name COLLATE "C";

-- The table's key, and no policy that nobody has set.
SELECT pg_get_constraintdef(oid) FROM pg_constraint
	WHERE conrelid = 'pool_policies'::regclass AND contype = 'p';
SELECT count(*) AS policies FROM pool_policies;

--
-- Every object has the prefix and a comment, every column a comment.  No rows.
--
CREATE TEMP VIEW members AS
	SELECT classid, objid, pg_describe_object(classid, objid, 0) AS object
	FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND refobjid =
		(SELECT oid FROM pg_extension WHERE extname = 'pool_optimizer')
		-- row types, which are members from 17 on
		AND classid <> 'pg_type'::regclass;
SELECT count(*) FILTER (WHERE classid = 'pg_class'::regclass) > 5 AS has_relations,
	count(*) FILTER (WHERE classid = 'pg_proc'::regclass) > 15 AS has_functions
	FROM members;
SELECT object FROM members
	WHERE obj_description(objid, classid::regclass::name) IS NULL OR object !~ ' pool_'
	ORDER BY object COLLATE "C";
SELECT attrelid::regclass, attname FROM members, pg_attribute
	WHERE classid = 'pg_class'::regclass AND attrelid = objid AND attnum > 0
		AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL
	ORDER BY attrelid::regclass::text COLLATE "C", attnum;

--
-- Volatility and parallel safety of every function.  What looks at live counters
-- may not be told from one row to the next, so nothing is immutable; what reads the
-- own session's slot must run in the leader.
--
SELECT proname, prokind AS kind, provolatile AS volatile, proparallel AS parallel,
	prosecdef AS definer, proisstrict AS strict
	FROM pg_proc JOIN members ON classid = 'pg_proc'::regclass AND objid = pg_proc.oid
	ORDER BY proname COLLATE "C";

--
-- One's own session, as it must be seen.
--
SELECT count(*) AS mine FROM pool_stats_session WHERE pid = pg_backend_pid();
SELECT s.tenant = session_user || '@' || current_database() AS tenant,
	s.datname = a.datname AS datname, s.usename = a.usename AS usename,
	s.application_name = a.application_name AS application_name,
	s.client_addr IS NOT DISTINCT FROM a.client_addr AS client_addr,
	s.backend_start = a.backend_start AS backend_start,
	s.state = a.state AS state, s.state_ms >= 0 AS state_ms, s.xact_ms >= 0 AS xact_ms,
	s.transactions > 0 AS transactions, s.class, s.leak_probability, s.exempt, s.verdict
	FROM pool_stats_session AS s JOIN pg_stat_activity AS a USING (pid)
	WHERE pid = pg_backend_pid();

-- The present application_name, and the time in a transaction.
BEGIN;
SET LOCAL application_name = 'regress other';
SELECT application_name, xact_ms >= 0 AS in_transaction
	FROM pool_stats_session WHERE pid = pg_backend_pid();
COMMIT;

-- Its transactions are counted one by one.
SELECT transactions AS before FROM pool_stats_session WHERE pid = pg_backend_pid() \gset
BEGIN;
SELECT;
SELECT;
COMMIT;
SELECT transactions - :before AS since FROM pool_stats_session WHERE pid = pg_backend_pid();

-- Who does not report its activity is not guessed about.
SET track_activities = off;
SELECT state, class, verdict FROM pool_stats_session WHERE pid = pg_backend_pid();
RESET track_activities;

-- Only sessions: no worker, nobody twice, all of them.  A session that is just going,
-- as that of whoever made this database, is gone soon.
SELECT pg_temp.wait_for($$
	(SELECT count(*) = 1 AND count(DISTINCT s.pid) = 1
		AND bool_and(a.backend_type = 'client backend')
	FROM pool_stats_session AS s LEFT JOIN pg_stat_activity AS a USING (pid))$$);
SELECT count(*) AS unseen FROM pg_stat_activity
	WHERE backend_type = 'client backend' AND pid NOT IN (SELECT pid FROM pool_stats_session);

--
-- One's own tenant, sanely.
--
SELECT sessions > 0 AS sessions, waiting, max_connections, guaranteed,
	utilization, peak_sessions >= sessions AS peak_sessions, admitted > 0 AS admitted,
	rejected, would_reject, terminated, would_terminate, rollbacks <= transactions AS rollbacks,
	recommended_size IS NULL OR recommended_size > 0 AS recommended_size,
	first_seen <= last_used AS used_after_seen, last_used <= clock_timestamp() AS past
	FROM pool_stats WHERE tenant = session_user || '@' || current_database();
SELECT bool_and(sessions = active + idle + idle_in_transaction) AS parts_make_the_sum,
	bool_and(utilization BETWEEN 0 AND 1) AS ratios,
	bool_and(xact_p50_ms <= xact_p95_ms AND xact_p95_ms <= xact_p99_ms
		AND xact_mean_ms >= 0) AS ordered,
	count(*) = count(DISTINCT tenant) AS once
	FROM pool_stats;

-- The sampler carries over what sessions have counted, and sees them at work: poll,
-- since it looks when it likes.
SELECT pg_temp.wait_for($$
	(SELECT active >= 1 AND peak_busy >= 1 AND transactions > 10 AND xact_p50_ms > 0
	FROM pool_stats WHERE tenant = session_user || '@' || current_database())$$);

--
-- The cluster.
--
SELECT count(*) FROM pool_stats_cluster;
SELECT mode, max_connections, waiting, guaranteed, health, tenants > 0 AS tenants,
	utilization BETWEEN 0 AND 1 AS utilization, samples > 0 AS samples,
	missed_samples >= 0 AS missed_samples, sample_us > 0 AS sample_us,
	policy_generation > 0 AS generation, overflow_logins, unready_logins, worker_errors,
	last_error, last_sample <= clock_timestamp() AS past
	FROM pool_stats_cluster;
SELECT c.sessions = (SELECT sum(sessions) FROM pool_stats) AS sessions,
	c.sessions = (SELECT count(*) FROM pool_stats_session) AS shown,
	c.tenants >= (SELECT count(*) FROM pool_stats) AS tenants,
	abs(c.utilization - c.sessions / c.max_connections::float8) < 1e-9 AS utilization
	FROM pool_stats_cluster AS c;
SELECT count(*) AS samplers, bool_and(a.pid = sampler_pid) AS told, bool_and(datid IS NULL)
	AS without_database
	FROM pool_stats_cluster, pg_stat_activity AS a
	WHERE a.backend_type = 'pool_optimizer sampler';
-- At most 8 KiB per tenant, besides both rings of events with 1 KiB for each.
SELECT shared_memory_bytes > 0 AND shared_memory_bytes <=
	8192 * current_setting('pool_optimizer.max_tenants')::bigint +
	2 * 1024 * current_setting('pool_optimizer.history_events')::bigint AS fits
	FROM pool_stats_cluster;
-- Statements have a segment of their own, at most 1 KiB for each and for each finding, and
-- 4 KiB per session.
SELECT statements_memory_bytes > 0 AND statements_memory_bytes <=
	1024 * current_setting('pool_optimizer.max_statements')::bigint +
	1024 * current_setting('pool_optimizer.max_findings')::bigint +
	4096 * (current_setting('max_connections')::bigint + 50) +
	256 * current_setting('pool_optimizer.max_tenants')::bigint AS fits,
	statements BETWEEN 1 AND current_setting('pool_optimizer.max_statements')::bigint AS counted,
	statements_evicted
	FROM pool_stats_cluster;
-- The keeper comes, reads and goes.
SELECT pg_temp.wait_for('(SELECT keeper_pid IS NULL FROM pool_stats_cluster)');
-- The sampler goes on.
SELECT samples AS before, last_sample AS at FROM pool_stats_cluster \gset
SELECT pg_temp.wait_for(format('(SELECT samples > %s AND last_sample > %L
	FROM pool_stats_cluster)', :'before', :'at'));

--
-- Recommendations: one per tenant, no made-up numbers before there is data.
--
SELECT count(*) = (SELECT count(*) FROM pool_stats) AS one_each,
	bool_and(recommended_min <= recommended_size AND recommended_size <= recommended_max)
		AS ordered,
	bool_and(busy_p50 <= busy_p95 AND busy_p95 <= busy_max) AS busy_ordered,
	bool_and(confidence BETWEEN 0 AND 1) AS confidence,
	bool_and(bottleneck IN ('cpu', 'io', 'lock', 'client', 'none')) AS bottleneck,
	bool_and(predicted_wait_ms >= 0 AND arrival_rate >= 0 AND service_ms >= 0) AS positive,
	bool_and(method <> '' AND reason <> '') AS told,
	bool_and(computed_at IS NULL OR computed_at <= clock_timestamp()) AS past
	FROM pool_recommendations;

--
-- Events: a policy set is one, a name within it shows as it is, also in the detail.
--
SELECT count(*) AS rows FROM pool_set_quota('regress "tenant" \', max_connections => 3);
SELECT pool_sync('60s');
SELECT DISTINCT kind, tenant, pid = pg_backend_pid() AS mine,
	replace(reason, session_user, 'ME') AS reason, jsonb_typeof(detail)
	FROM pool_events WHERE tenant LIKE 'regress%';
-- Of alert rules, too; what was rolled back to a savepoint did not happen, what was said last counts.
BEGIN;
SELECT alert FROM pool_set_alert('leak_growth', 'warning', 'regress_pool_rule', threshold => 0.3);
SAVEPOINT inner_one;
SELECT alert FROM pool_set_alert('leak_growth', 'critical', 'regress_pool_rule', threshold => 0.5);
SELECT tenant FROM pool_set_quota('regress_pool_undone', 5);
ROLLBACK TO inner_one;
SAVEPOINT inner_two;
SELECT alert FROM pool_drop_alert('leak_growth', 'warning', 'regress_pool_rule');
RELEASE inner_two;
COMMIT;
SELECT kind, tenant, pid = pg_backend_pid() AS mine, replace(reason, session_user, 'ME') AS reason
	FROM pool_events WHERE tenant ~ '^regress_pool_(rule|undone)';
-- Many at once are told as such.
BEGIN;
SELECT count(*) FROM generate_series(1, 40) i,
	LATERAL pool_set_alert('leak_growth', 'warning', 'regress_pool_many_' || i, threshold => 0.3);
SELECT count(*) FROM generate_series(1, 40) i,
	LATERAL pool_drop_alert('leak_growth', 'warning', 'regress_pool_many_' || i);
COMMIT;
SELECT count(*) AS told, max(replace(reason, session_user, 'ME')) FILTER (WHERE tenant IS NULL)
	FROM pool_events WHERE tenant ~ '^regress_pool_many' OR reason ~ 'more policies or';
SELECT bool_and(at <= clock_timestamp()) AS past, bool_and(kind <> '' AND reason <> '') AS told,
	bool_and(jsonb_typeof(detail) = 'object') AS objects
	FROM pool_events;
-- A tenant with a policy is known before its first login.
SELECT tenant, sessions, active, idle, idle_in_transaction, waiting, max_connections,
	guaranteed, utilization, peak_sessions, admitted, rejected, transactions, errors, mode
	FROM pool_stats WHERE tenant LIKE 'regress%';

--
-- Counting anew.
--
SELECT transactions > 0 AS counted FROM pool_stats
	WHERE tenant = session_user || '@' || current_database();
SELECT transactions AS before FROM pool_stats
	WHERE tenant = session_user || '@' || current_database() \gset
SELECT pool_reset_stats(session_user || '@' || current_database());
SELECT transactions < :before AS anew, rejected, peak_sessions >= sessions AS peak
	FROM pool_stats WHERE tenant = session_user || '@' || current_database();
SELECT pool_reset_stats();
SELECT max(rejected) AS rejected, max(terminated) AS terminated, max(rollbacks) AS rollbacks
	FROM pool_stats;

DELETE FROM pool_policies;
SELECT pool_sync('60s');
