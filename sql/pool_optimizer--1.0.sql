/* sql/pool_optimizer--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pool_optimizer" to load this file. \quit

-- ---------------------------------------------------------------------------
-- Policies
-- ---------------------------------------------------------------------------

CREATE TABLE pool_policies (
	scope                text NOT NULL DEFAULT 'tenant',
	tenant               text NOT NULL,
	max_connections      integer,
	guaranteed           integer,
	weight               float8,
	on_full              text,
	wait_timeout         interval,
	quota_mode           text,
	idle                 interval,
	idle_in_transaction  interval,
	never_used           interval,
	lifetime             interval,
	leak_probability     float8,
	timeouts_mode        text,
	min_size             integer,
	max_size             integer,
	target_wait          interval,
	scale_up_threshold   float8,
	scale_down_threshold float8,
	scale_up_step        integer,
	scale_down_step      integer,
	evaluation_interval  interval,
	auto                 boolean,
	drain_started_at     timestamptz,
	drain_grace          interval,
	PRIMARY KEY (scope, tenant)
);

COMMENT ON TABLE pool_policies IS
	'Policies of pool_optimizer: what applies to a tenant, or to what another scope counts. NULL = inherited from the next wider pattern';
COMMENT ON COLUMN pool_policies.scope IS 'what is counted: tenant, database, role, address, application, cluster';
COMMENT ON COLUMN pool_policies.tenant IS 'name within the scope, or a pattern (* matches any run); a CIDR in scope address, * in scope cluster';
COMMENT ON COLUMN pool_policies.max_connections IS 'quota: sessions at the same time; -1 = no limit, 0 = refuse all';
COMMENT ON COLUMN pool_policies.guaranteed IS 'connections always free for this tenant; exact names in scope tenant only';
COMMENT ON COLUMN pool_policies.weight IS 'share of what is left over, relative to others (> 0)';
COMMENT ON COLUMN pool_policies.on_full IS 'what a login over the quota meets: reject, wait, evict_idle';
COMMENT ON COLUMN pool_policies.wait_timeout IS 'how long a login may queue; never beyond authentication_timeout';
COMMENT ON COLUMN pool_policies.quota_mode IS 'off, observe or enforce; in force is the lower of this and pool_optimizer.mode';
COMMENT ON COLUMN pool_policies.idle IS 'a session idle for so long is a leak; 0 = rule off';
COMMENT ON COLUMN pool_policies.idle_in_transaction IS 'a session idle in (or aborted in) a transaction, or stuck reading from its client, for so long is a leak; 0 = rule off';
COMMENT ON COLUMN pool_policies.never_used IS 'a session that never ran a transaction for so long is a leak; 0 = rule off';
COMMENT ON COLUMN pool_policies.lifetime IS 'a session older than this is ended when it is idle; 0 = rule off';
COMMENT ON COLUMN pool_policies.leak_probability IS 'an idle session that is so likely (0..1) never to be used again is a leak; 0 = rule off';
COMMENT ON COLUMN pool_policies.timeouts_mode IS 'off, observe or enforce; in force is the lower of this and pool_optimizer.mode';
COMMENT ON COLUMN pool_policies.min_size IS 'recommended_size is not below';
COMMENT ON COLUMN pool_policies.max_size IS 'recommended_size is not above; -1 = no limit';
COMMENT ON COLUMN pool_policies.target_wait IS 'mean wait for a connection that the recommended pool keeps';
COMMENT ON COLUMN pool_policies.scale_up_threshold IS 'grow when so much (0..1) of the pool is busy';
COMMENT ON COLUMN pool_policies.scale_down_threshold IS 'shrink when no more than this (0..1) of the pool is busy';
COMMENT ON COLUMN pool_policies.scale_up_step IS 'grow by at most so many connections at a time; 0 = at once';
COMMENT ON COLUMN pool_policies.scale_down_step IS 'shrink by at most so many connections at a time; 0 = at once';
COMMENT ON COLUMN pool_policies.evaluation_interval IS 'time between two recommendations';
COMMENT ON COLUMN pool_policies.auto IS 'may the recommendation be applied to poolers';
COMMENT ON COLUMN pool_policies.drain_started_at IS 'set by pool_drain: no login since';
COMMENT ON COLUMN pool_policies.drain_grace IS 'set by pool_drain: sessions left so long after drain_started_at are ended';

-- Estimates from statistics would tell of rows that row-level security hides.
ALTER TABLE pool_policies
	ALTER scope SET STATISTICS 0,
	ALTER tenant SET STATISTICS 0,
	ALTER max_connections SET STATISTICS 0,
	ALTER guaranteed SET STATISTICS 0,
	ALTER weight SET STATISTICS 0,
	ALTER on_full SET STATISTICS 0,
	ALTER wait_timeout SET STATISTICS 0,
	ALTER quota_mode SET STATISTICS 0,
	ALTER idle SET STATISTICS 0,
	ALTER idle_in_transaction SET STATISTICS 0,
	ALTER never_used SET STATISTICS 0,
	ALTER lifetime SET STATISTICS 0,
	ALTER leak_probability SET STATISTICS 0,
	ALTER timeouts_mode SET STATISTICS 0,
	ALTER min_size SET STATISTICS 0,
	ALTER max_size SET STATISTICS 0,
	ALTER target_wait SET STATISTICS 0,
	ALTER scale_up_threshold SET STATISTICS 0,
	ALTER scale_down_threshold SET STATISTICS 0,
	ALTER scale_up_step SET STATISTICS 0,
	ALTER scale_down_step SET STATISTICS 0,
	ALTER evaluation_interval SET STATISTICS 0,
	ALTER auto SET STATISTICS 0,
	ALTER drain_started_at SET STATISTICS 0,
	ALTER drain_grace SET STATISTICS 0;

SELECT pg_catalog.pg_extension_config_dump('pool_policies', '');

CREATE FUNCTION pool_policies_check() RETURNS trigger
	AS 'MODULE_PATHNAME', 'pool_policies_check_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_policies_check() IS 'refuses policies that are not sound';

CREATE FUNCTION pool_policies_changed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'pool_policies_changed_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_policies_changed() IS 'checks policies together and has them put in force at COMMIT';

CREATE FUNCTION pool_policy_visible(scope text, tenant text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'pool_policy_visible_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION pool_policy_visible(text, text) IS
	'row-level security of pool_policies: may the caller see this policy';

CREATE TRIGGER pool_policies_check
	BEFORE INSERT OR UPDATE OR DELETE ON pool_policies
	FOR EACH ROW EXECUTE FUNCTION pool_policies_check();
CREATE TRIGGER pool_policies_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pool_policies
	FOR EACH STATEMENT EXECUTE FUNCTION pool_policies_changed();

-- Who may change a row is a matter of GRANT; who may see one is decided here.
ALTER TABLE pool_policies ENABLE ROW LEVEL SECURITY;
CREATE POLICY see_what_applies ON pool_policies FOR SELECT
	USING (pool_policy_visible(scope, tenant));
CREATE POLICY insert_if_granted ON pool_policies FOR INSERT WITH CHECK (true);
CREATE POLICY update_if_granted ON pool_policies FOR UPDATE USING (true) WITH CHECK (true);
CREATE POLICY delete_if_granted ON pool_policies FOR DELETE USING (true);

-- ---------------------------------------------------------------------------
-- Rules of alerts
-- ---------------------------------------------------------------------------

CREATE TABLE pool_alert_rules (
	alert                text NOT NULL,
	severity             text NOT NULL,
	tenant               text NOT NULL DEFAULT '*',
	threshold            float8,
	for_duration         interval,
	clear_after          interval,
	hysteresis           float8,
	enabled              boolean,
	PRIMARY KEY (alert, severity, tenant)
);

COMMENT ON TABLE pool_alert_rules IS
	'When alerts are raised and cleared. NULL = inherited from the next wider pattern, at last what is built in';
COMMENT ON COLUMN pool_alert_rules.alert IS 'which alert, see pool_alerts';
COMMENT ON COLUMN pool_alert_rules.severity IS 'warning or critical';
COMMENT ON COLUMN pool_alert_rules.tenant IS 'a tenant, or a pattern (* matches any run); * for alerts of the cluster';
COMMENT ON COLUMN pool_alert_rules.threshold IS 'value from which on the alert is raised';
COMMENT ON COLUMN pool_alert_rules.for_duration IS 'not before the threshold has been met for so long';
COMMENT ON COLUMN pool_alert_rules.clear_after IS 'cleared when the threshold has not been met for so long; longer for an alert that keeps coming back';
COMMENT ON COLUMN pool_alert_rules.hysteresis IS 'share (0..1) of the threshold by which the value must have gone back until it is not met any more';
COMMENT ON COLUMN pool_alert_rules.enabled IS 'false = never raised';

-- As of pool_policies.
ALTER TABLE pool_alert_rules
	ALTER alert SET STATISTICS 0,
	ALTER severity SET STATISTICS 0,
	ALTER tenant SET STATISTICS 0,
	ALTER threshold SET STATISTICS 0,
	ALTER for_duration SET STATISTICS 0,
	ALTER clear_after SET STATISTICS 0,
	ALTER hysteresis SET STATISTICS 0,
	ALTER enabled SET STATISTICS 0;

SELECT pg_catalog.pg_extension_config_dump('pool_alert_rules', '');

CREATE FUNCTION pool_alert_rule_visible(tenant text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'pool_alert_rule_visible_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION pool_alert_rule_visible(text) IS
	'row-level security of pool_alert_rules: may the caller see this rule';

CREATE FUNCTION pool_alert_rules_check() RETURNS trigger
	AS 'MODULE_PATHNAME', 'pool_alert_rules_check_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_alert_rules_check() IS 'refuses rules of alerts that are not sound';

CREATE FUNCTION pool_alert_rules_changed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'pool_alert_rules_changed_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_alert_rules_changed() IS 'has rules of alerts put in force at COMMIT';

CREATE TRIGGER pool_alert_rules_check
	BEFORE INSERT OR UPDATE OR DELETE ON pool_alert_rules
	FOR EACH ROW EXECUTE FUNCTION pool_alert_rules_check();
CREATE TRIGGER pool_alert_rules_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pool_alert_rules
	FOR EACH STATEMENT EXECUTE FUNCTION pool_alert_rules_changed();

ALTER TABLE pool_alert_rules ENABLE ROW LEVEL SECURITY;
CREATE POLICY see_what_applies ON pool_alert_rules FOR SELECT
	USING (pool_alert_rule_visible(tenant));
CREATE POLICY insert_if_granted ON pool_alert_rules FOR INSERT WITH CHECK (true);
CREATE POLICY update_if_granted ON pool_alert_rules FOR UPDATE USING (true) WITH CHECK (true);
CREATE POLICY delete_if_granted ON pool_alert_rules FOR DELETE USING (true);

CREATE FUNCTION pool_set_alert(
	alert text,
	severity text DEFAULT 'warning',
	tenant text DEFAULT '*',
	threshold float8 DEFAULT NULL,
	for_duration interval DEFAULT NULL,
	clear_after interval DEFAULT NULL,
	hysteresis float8 DEFAULT NULL,
	enabled boolean DEFAULT NULL)
RETURNS pool_alert_rules
	AS 'MODULE_PATHNAME', 'pool_set_alert_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_set_alert(text, text, text, float8, interval, interval, float8, boolean) IS
	'sets when an alert of a severity (warning, critical) is raised for a tenant, or those that match a pattern; NULL keeps what is set; returns the rule';

CREATE FUNCTION pool_drop_alert(
	alert text,
	severity text DEFAULT 'warning',
	tenant text DEFAULT '*',
	field text DEFAULT NULL,
	if_exists boolean DEFAULT false)
RETURNS pool_alert_rules
	AS 'MODULE_PATHNAME', 'pool_drop_alert_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_drop_alert(text, text, text, text, boolean) IS
	'drops a rule of an alert, or one field of it, back to what the pattern above says or what is built in; returns what is left, NULL when nothing is';

CREATE FUNCTION pool_set_quota(
	tenant text,
	max_connections integer DEFAULT NULL,
	guaranteed integer DEFAULT NULL,
	weight float8 DEFAULT NULL,
	on_full text DEFAULT NULL,
	wait_timeout interval DEFAULT NULL,
	mode text DEFAULT NULL,
	scope text DEFAULT 'tenant')
RETURNS pool_policies
	AS 'MODULE_PATHNAME', 'pool_set_quota_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_set_quota(text, integer, integer, float8, text, interval, text, text) IS
	'sets how many sessions a name may have; NULL keeps what is set; returns the policy. max_connections -1 = no limit, 0 = refuse all; on_full: reject, wait, evict_idle; mode: off, observe, enforce';

CREATE FUNCTION pool_set_timeouts(
	tenant text,
	idle interval DEFAULT NULL,
	idle_in_transaction interval DEFAULT NULL,
	never_used interval DEFAULT NULL,
	lifetime interval DEFAULT NULL,
	leak_probability float8 DEFAULT NULL,
	mode text DEFAULT NULL)
RETURNS pool_policies
	AS 'MODULE_PATHNAME', 'pool_set_timeouts_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_set_timeouts(text, interval, interval, interval, interval, float8, text) IS
	'sets when a session of a tenant counts as leaked and may be ended; NULL keeps what is set, interval 0 turns a rule off; returns the policy';

CREATE FUNCTION pool_set_sizing(
	tenant text,
	min_size integer DEFAULT NULL,
	max_size integer DEFAULT NULL,
	target_wait interval DEFAULT NULL,
	scale_up_threshold float8 DEFAULT NULL,
	scale_down_threshold float8 DEFAULT NULL,
	scale_up_step integer DEFAULT NULL,
	scale_down_step integer DEFAULT NULL,
	evaluation_interval interval DEFAULT NULL,
	auto boolean DEFAULT NULL)
RETURNS pool_policies
	AS 'MODULE_PATHNAME', 'pool_set_sizing_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_set_sizing(text, integer, integer, interval, float8, float8, integer, integer, interval, boolean) IS
	'sets how the recommended pool size of a tenant moves; NULL keeps what is set; returns the policy';

CREATE FUNCTION pool_drop_policy(
	tenant text,
	scope text DEFAULT 'tenant',
	field text DEFAULT NULL,
	if_exists boolean DEFAULT false)
RETURNS pool_policies
	AS 'MODULE_PATHNAME', 'pool_drop_policy_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_drop_policy(text, text, text, boolean) IS
	'drops a policy, or one field of it, back to what the pattern above says; returns what is left, NULL when nothing is';

CREATE FUNCTION pool_drain(tenant text, grace interval DEFAULT '30s')
RETURNS pool_policies
	AS 'MODULE_PATHNAME', 'pool_drain_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_drain(text, interval) IS
	'from COMMIT on refuses new logins of a tenant, ends its idle sessions, lets the running ones finish and ends what is left after grace; until pool_resume';

CREATE FUNCTION pool_resume(tenant text)
RETURNS pool_policies
	AS 'MODULE_PATHNAME', 'pool_resume_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_resume(text) IS 'ends a drain: logins of the tenant are admitted again';

CREATE FUNCTION pool_sync(timeout interval DEFAULT '5s')
RETURNS boolean
	AS 'MODULE_PATHNAME', 'pool_sync_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_sync(interval) IS
	'waits until the policies committed so far are in force; false if timeout passed before';

-- ---------------------------------------------------------------------------
-- Views
-- ---------------------------------------------------------------------------

CREATE FUNCTION pool_stats(
	OUT tenant text, OUT sessions integer, OUT active integer, OUT idle integer,
	OUT idle_in_transaction integer, OUT waiting integer, OUT max_connections integer,
	OUT guaranteed integer, OUT utilization float8, OUT peak_sessions integer,
	OUT peak_busy integer, OUT admitted bigint, OUT rejected bigint, OUT would_reject bigint,
	OUT terminated bigint, OUT would_terminate bigint, OUT transactions bigint,
	OUT rollbacks bigint, OUT errors bigint, OUT last_error text, OUT last_error_at timestamptz,
	OUT xact_mean_ms float8, OUT xact_p50_ms float8, OUT xact_p95_ms float8,
	OUT xact_p99_ms float8, OUT wait_p99_ms float8, OUT recommended_size integer,
	OUT first_seen timestamptz, OUT last_used timestamptz, OUT mode text,
	OUT exempt_sessions integer, OUT draining boolean)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_stats_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION pool_stats() IS 'the rows of view pool_stats';

CREATE VIEW pool_stats AS SELECT * FROM pool_stats();
COMMENT ON VIEW pool_stats IS 'One row per tenant: sessions, quota, refusals, transactions';
COMMENT ON COLUMN pool_stats.tenant IS 'name by the template pool_optimizer.tenant; (other) = those beyond max_tenants';
COMMENT ON COLUMN pool_stats.sessions IS 'sessions now, exempt ones included (live)';
COMMENT ON COLUMN pool_stats.active IS 'sessions that executed a statement at the last sample';
COMMENT ON COLUMN pool_stats.idle IS 'sessions that were neither active nor in a transaction at the last sample';
COMMENT ON COLUMN pool_stats.idle_in_transaction IS 'sessions idle (or aborted) in a transaction at the last sample';
COMMENT ON COLUMN pool_stats.waiting IS 'logins queued for a place (live)';
COMMENT ON COLUMN pool_stats.max_connections IS 'quota of the tenant; -1 = no limit';
COMMENT ON COLUMN pool_stats.guaranteed IS 'connections that are always free for this tenant';
COMMENT ON COLUMN pool_stats.utilization IS 'share (0..1) of the quota in use, without a quota of the usable connections';
COMMENT ON COLUMN pool_stats.peak_sessions IS 'most sessions at the same time';
COMMENT ON COLUMN pool_stats.peak_busy IS 'most sessions seen busy at the same time';
COMMENT ON COLUMN pool_stats.admitted IS 'logins admitted (live)';
COMMENT ON COLUMN pool_stats.rejected IS 'logins refused by us (live)';
COMMENT ON COLUMN pool_stats.would_reject IS 'logins admitted that mode enforce would have refused or queued (live)';
COMMENT ON COLUMN pool_stats.terminated IS 'sessions ended by us';
COMMENT ON COLUMN pool_stats.would_terminate IS 'sessions that mode enforce would have ended';
COMMENT ON COLUMN pool_stats.transactions IS 'transactions ended, exact';
COMMENT ON COLUMN pool_stats.rollbacks IS 'transactions among them that were rolled back, exact';
COMMENT ON COLUMN pool_stats.errors IS 'refusals, terminations, logins that failed after admission, and transactions ended by an error';
COMMENT ON COLUMN pool_stats.last_error IS 'the last of them, without statement text; null without pg_read_all_stats';
COMMENT ON COLUMN pool_stats.last_error_at IS 'when it happened';
COMMENT ON COLUMN pool_stats.xact_mean_ms IS 'mean duration of transactions';
COMMENT ON COLUMN pool_stats.xact_p50_ms IS 'median duration of transactions (buckets of at most 25 %, interpolated)';
COMMENT ON COLUMN pool_stats.xact_p95_ms IS '95 % of transactions were shorter';
COMMENT ON COLUMN pool_stats.xact_p99_ms IS '99 % of transactions were shorter';
COMMENT ON COLUMN pool_stats.wait_p99_ms IS '99 % of queued logins waited less; null when none was queued';
COMMENT ON COLUMN pool_stats.recommended_size IS 'see pool_recommendations';
COMMENT ON COLUMN pool_stats.first_seen IS 'first login, or first policy';
COMMENT ON COLUMN pool_stats.last_used IS 'last login or end of a session';
COMMENT ON COLUMN pool_stats.mode IS 'mode in force for the quota';
COMMENT ON COLUMN pool_stats.exempt_sessions IS 'sessions among sessions that take no quota (live)';
COMMENT ON COLUMN pool_stats.draining IS 'pool_drain was called';

CREATE FUNCTION pool_stats_cluster(
	OUT mode text, OUT max_connections integer, OUT sessions integer, OUT waiting integer,
	OUT authenticating integer, OUT utilization float8, OUT health text, OUT tenants integer, OUT guaranteed integer,
	OUT sampler_pid integer, OUT keeper_pid integer, OUT last_sample timestamptz,
	OUT samples bigint, OUT missed_samples bigint, OUT sample_us float8,
	OUT policy_generation bigint, OUT overflow_logins bigint, OUT unready_logins bigint,
	OUT worker_errors bigint, OUT last_error text, OUT last_error_at timestamptz,
	OUT shared_memory_bytes bigint, OUT statements integer, OUT statements_evicted bigint,
	OUT statements_memory_bytes bigint)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_stats_cluster_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION pool_stats_cluster() IS 'the row of view pool_stats_cluster';

CREATE VIEW pool_stats_cluster AS SELECT * FROM pool_stats_cluster();
COMMENT ON VIEW pool_stats_cluster IS 'One row: the cluster, and how pool_optimizer itself is doing';
COMMENT ON COLUMN pool_stats_cluster.mode IS 'the setting pool_optimizer.mode';
COMMENT ON COLUMN pool_stats_cluster.max_connections IS 'connections usable by clients that are not superusers';
COMMENT ON COLUMN pool_stats_cluster.sessions IS 'client sessions, exempt ones included';
COMMENT ON COLUMN pool_stats_cluster.waiting IS 'logins queued for a place';
COMMENT ON COLUMN pool_stats_cluster.authenticating IS 'connections that hold a slot of the server but have not been let in yet; no quota holds for them';
COMMENT ON COLUMN pool_stats_cluster.utilization IS 'share (0..1) of max_connections in use, those that wait or authenticate included';
COMMENT ON COLUMN pool_stats_cluster.health IS 'critical: from critical_threshold, or the sampler does not run; warning: from warning_threshold; else healthy';
COMMENT ON COLUMN pool_stats_cluster.tenants IS 'tenants known';
COMMENT ON COLUMN pool_stats_cluster.guaranteed IS 'sum of guarantees in force';
COMMENT ON COLUMN pool_stats_cluster.sampler_pid IS 'null when none runs';
COMMENT ON COLUMN pool_stats_cluster.keeper_pid IS 'null when none runs, which is the rule: it reads policies and ends';
COMMENT ON COLUMN pool_stats_cluster.last_sample IS 'when all sessions were last looked at';
COMMENT ON COLUMN pool_stats_cluster.samples IS 'samples taken since the server started';
COMMENT ON COLUMN pool_stats_cluster.missed_samples IS 'samples that came too late to be taken';
COMMENT ON COLUMN pool_stats_cluster.sample_us IS 'mean duration of a sample, in microseconds';
COMMENT ON COLUMN pool_stats_cluster.policy_generation IS 'counts changes of the policies in force';
COMMENT ON COLUMN pool_stats_cluster.overflow_logins IS 'logins accounted as (other) because max_tenants was reached';
COMMENT ON COLUMN pool_stats_cluster.unready_logins IS 'logins let in uncounted because something failed on our side';
COMMENT ON COLUMN pool_stats_cluster.worker_errors IS 'errors that were caught and survived';
COMMENT ON COLUMN pool_stats_cluster.last_error IS 'what is wrong, or went wrong last; null without pg_read_all_stats';
COMMENT ON COLUMN pool_stats_cluster.last_error_at IS 'since when';
COMMENT ON COLUMN pool_stats_cluster.shared_memory_bytes IS 'shared memory of pool_optimizer, but for that of statements';
COMMENT ON COLUMN pool_stats_cluster.statements IS 'statements kept apart, of all tenants';
COMMENT ON COLUMN pool_stats_cluster.statements_evicted IS 'statements that have made room for others since the server started';
COMMENT ON COLUMN pool_stats_cluster.statements_memory_bytes IS 'shared memory for statements';

CREATE FUNCTION pool_stats_session(
	OUT pid integer, OUT tenant text, OUT datname text, OUT usename text,
	OUT application_name text, OUT client_addr inet, OUT backend_start timestamptz,
	OUT state text, OUT state_ms float8, OUT xact_ms float8, OUT transactions bigint,
	OUT class text, OUT leak_probability float8, OUT exempt text, OUT verdict text)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_stats_session_1_0' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION pool_stats_session() IS 'the rows of view pool_stats_session';

CREATE VIEW pool_stats_session AS SELECT * FROM pool_stats_session();
COMMENT ON VIEW pool_stats_session IS 'One row per session: what it is, and what is thought of it';
COMMENT ON COLUMN pool_stats_session.pid IS 'process id';
COMMENT ON COLUMN pool_stats_session.tenant IS 'its tenant';
COMMENT ON COLUMN pool_stats_session.datname IS 'database, as at login';
COMMENT ON COLUMN pool_stats_session.usename IS 'role, as at login';
COMMENT ON COLUMN pool_stats_session.application_name IS 'present application_name';
COMMENT ON COLUMN pool_stats_session.client_addr IS 'client address; null for a Unix-domain socket';
COMMENT ON COLUMN pool_stats_session.backend_start IS 'when it connected';
COMMENT ON COLUMN pool_stats_session.state IS 'as in pg_stat_activity; null when not reported';
COMMENT ON COLUMN pool_stats_session.state_ms IS 'for so long in this state';
COMMENT ON COLUMN pool_stats_session.xact_ms IS 'age of its transaction; null when it is in none';
COMMENT ON COLUMN pool_stats_session.transactions IS 'transactions it has ended';
COMMENT ON COLUMN pool_stats_session.class IS 'busy, idle, surplus, unknown (not reported), or a leak: idle_in_transaction, aborted_in_transaction, idle_too_long, never_used, stuck_in_client_read, lifetime, beyond_norm, growth';
COMMENT ON COLUMN pool_stats_session.leak_probability IS 'how likely (0..1) it is never used again; 1 when a rule says so';
COMMENT ON COLUMN pool_stats_session.exempt IS 'why it is never ended: superuser, exempt_role, backup, listen, held_cursor, temp_table, advisory_lock, unknown; null if it may be';
COMMENT ON COLUMN pool_stats_session.verdict IS 'keep, exempt, would_terminate, terminate, rate_limited, breaker_open';

CREATE FUNCTION pool_stats_statement(
	texts boolean DEFAULT true,
	OUT tenant text, OUT queryid bigint, OUT calls bigint, OUT busy_ms float8,
	OUT connection_seconds float8, OUT share float8, OUT client_wait_ms float8,
	OUT lock_wait_ms float8, OUT mean_ms float8, OUT p99_ms float8, OUT max_ms float8,
	OUT rows bigint, OUT first_seen timestamptz, OUT last_seen timestamptz, OUT query text,
	OUT slow bigint, OUT very_slow bigint, OUT loops bigint, OUT loop_calls bigint,
	OUT parent_queryid bigint, OUT reread_share float8, OUT blocker_queryid bigint,
	OUT scanned_table regclass)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_stats_statement_1_0' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1000;
COMMENT ON FUNCTION pool_stats_statement(boolean) IS
	'the rows of view pool_stats_statement, with texts = false without the texts of statements';

CREATE VIEW pool_stats_statement AS SELECT * FROM pool_stats_statement(true);
COMMENT ON VIEW pool_stats_statement IS 'One row per statement of a tenant: what its connections are spent on';
COMMENT ON COLUMN pool_stats_statement.tenant IS 'the tenant';
COMMENT ON COLUMN pool_stats_statement.queryid IS 'as in pg_stat_activity.query_id; null for all that is in no row of its own, and for what another role has run';
COMMENT ON COLUMN pool_stats_statement.calls IS 'how often it ran, failed ones included; exact';
COMMENT ON COLUMN pool_stats_statement.busy_ms IS 'time it took, planning and at the end of a transaction the commit included; exact';
COMMENT ON COLUMN pool_stats_statement.connection_seconds IS 'time in which it held a connection: busy_ms and client_wait_ms';
COMMENT ON COLUMN pool_stats_statement.share IS 'share (0..1) of it in the busy time of the tenant, which is that of all its statements';
COMMENT ON COLUMN pool_stats_statement.client_wait_ms IS 'time idle in a transaction after it, until the next statement of the transaction; exact';
COMMENT ON COLUMN pool_stats_statement.lock_wait_ms IS 'time it waited for locks of rows, relations, ...; sampled, while it lasts';
COMMENT ON COLUMN pool_stats_statement.mean_ms IS 'busy_ms per call';
COMMENT ON COLUMN pool_stats_statement.p99_ms IS '99 % of calls were shorter (buckets of at most 25 %, interpolated; recent calls weigh more)';
COMMENT ON COLUMN pool_stats_statement.max_ms IS 'the longest call';
COMMENT ON COLUMN pool_stats_statement.rows IS 'rows returned or changed';
COMMENT ON COLUMN pool_stats_statement.first_seen IS 'since when it is counted';
COMMENT ON COLUMN pool_stats_statement.last_seen IS 'when it was last counted (up to a second late)';
COMMENT ON COLUMN pool_stats_statement.query IS 'its text without constants, for roles with pg_read_all_stats and the one that ran it';
COMMENT ON COLUMN pool_stats_statement.slow IS 'calls that took slow_statement or longer';
COMMENT ON COLUMN pool_stats_statement.very_slow IS 'of these, those that took very_slow_statement or longer';
COMMENT ON COLUMN pool_stats_statement.loops IS 'transactions, or bursts of transactions, that called it more than loop_calls (the setting) times';
COMMENT ON COLUMN pool_stats_statement.loop_calls IS 'calls in these';
COMMENT ON COLUMN pool_stats_statement.parent_queryid IS 'the statement before the last loop, whose rows it went through';
COMMENT ON COLUMN pool_stats_statement.reread_share IS 'share (0..1) of its reads that a cache with a time to live of 60 s would have had; null if it does not just read';
COMMENT ON COLUMN pool_stats_statement.blocker_queryid IS 'what the transaction ran that it was last seen waiting for';
COMMENT ON COLUMN pool_stats_statement.scanned_table IS 'the large table of the dearest sequential scan in its plan, in this database';

-- ---------------------------------------------------------------------------
-- Findings
-- ---------------------------------------------------------------------------

CREATE TABLE pool_acknowledged (
	tenant               text NOT NULL,
	kind                 text NOT NULL,
	queryid              bigint NOT NULL DEFAULT 0,
	reason               text NOT NULL,
	until                timestamptz,
	acknowledged_by      text NOT NULL,
	acknowledged_at      timestamptz NOT NULL,
	connections_spent    float8 NOT NULL,
	severity             text NOT NULL,
	PRIMARY KEY (tenant, kind, queryid)
);

COMMENT ON TABLE pool_acknowledged IS 'Findings that somebody has acknowledged, see pool_acknowledge';
COMMENT ON COLUMN pool_acknowledged.tenant IS 'the tenant';
COMMENT ON COLUMN pool_acknowledged.kind IS 'which kind of finding, see pool_findings';
COMMENT ON COLUMN pool_acknowledged.queryid IS 'the statement that it is about; 0 = the tenant';
COMMENT ON COLUMN pool_acknowledged.reason IS 'why it is accepted';
COMMENT ON COLUMN pool_acknowledged.until IS 'up to when; null = no end';
COMMENT ON COLUMN pool_acknowledged.acknowledged_by IS 'role that said so';
COMMENT ON COLUMN pool_acknowledged.acknowledged_at IS 'and when';
COMMENT ON COLUMN pool_acknowledged.connections_spent IS 'what it cost then';
COMMENT ON COLUMN pool_acknowledged.severity IS 'and how grave it was';

-- As of pool_policies.
ALTER TABLE pool_acknowledged
	ALTER tenant SET STATISTICS 0,
	ALTER kind SET STATISTICS 0,
	ALTER queryid SET STATISTICS 0,
	ALTER reason SET STATISTICS 0,
	ALTER until SET STATISTICS 0,
	ALTER acknowledged_by SET STATISTICS 0,
	ALTER acknowledged_at SET STATISTICS 0,
	ALTER connections_spent SET STATISTICS 0,
	ALTER severity SET STATISTICS 0;

SELECT pg_catalog.pg_extension_config_dump('pool_acknowledged', '');

CREATE FUNCTION pool_acknowledged_changed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'pool_acknowledged_changed_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_acknowledged_changed() IS 'has alerts know at COMMIT what is acknowledged';

CREATE TRIGGER pool_acknowledged_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pool_acknowledged
	FOR EACH STATEMENT EXECUTE FUNCTION pool_acknowledged_changed();

-- Others have what is theirs in the view; pg_dump of a plain role must be able to read it.
ALTER TABLE pool_acknowledged ENABLE ROW LEVEL SECURITY;
CREATE POLICY see_if_granted ON pool_acknowledged FOR SELECT
	USING (pg_catalog.has_table_privilege(tableoid, 'INSERT, UPDATE, DELETE')
		OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE'));
CREATE POLICY insert_if_granted ON pool_acknowledged FOR INSERT WITH CHECK (true);
CREATE POLICY update_if_granted ON pool_acknowledged FOR UPDATE USING (true) WITH CHECK (true);
CREATE POLICY delete_if_granted ON pool_acknowledged FOR DELETE USING (true);

CREATE FUNCTION pool_findings(
	OUT tenant text, OUT kind text, OUT severity text, OUT since timestamptz,
	OUT last_seen timestamptz, OUT evidence jsonb, OUT connections_spent float8,
	OUT advice text, OUT queryid bigint)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_findings_1_0' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 20;
COMMENT ON FUNCTION pool_findings() IS
	'the findings of view pool_findings, without who has acknowledged them';

-- The view's owner reads the table, so that its rows are told for what the reader may see.  LIMIT,
-- which takes nothing away (the three are the key), keeps the reader's own conditions out of
-- the subquery: they are asked of rows of findings that it sees, not of the whole table.
CREATE VIEW pool_findings AS
	SELECT f.tenant, f.kind, f.severity, f.since, f.last_seen, f.evidence, f.connections_spent,
		f.advice, f.queryid, a.tenant IS NOT NULL AS acknowledged, a.acknowledged_by,
		a.until AS acknowledged_until, a.reason AS acknowledged_reason
	FROM pool_findings() AS f LEFT JOIN LATERAL (
		SELECT k.tenant, k.acknowledged_by, k.until, k.reason FROM pool_acknowledged AS k
		WHERE k.tenant = f.tenant AND k.kind = f.kind AND k.queryid = COALESCE(f.queryid, 0)
			AND (k.until IS NULL OR k.until > pg_catalog.clock_timestamp())
			-- As po_finding_is_worse, for alerts.  With types as pg_catalog has them: no operator
			-- that somebody planted is a better match.
			AND f.connections_spent <= 1.5::float8 * k.connections_spent + 0.1::float8
			AND pg_catalog.array_position('{info,warning,critical}'::text[], f.severity)
				<= pg_catalog.array_position('{info,warning,critical}'::text[], k.severity)
		LIMIT 1) AS a ON true
	ORDER BY f.connections_spent DESC, f.tenant, f.kind, f.queryid;
COMMENT ON VIEW pool_findings IS 'One row per finding: what connections are spent on that need not be, and what to change; the dearest first';
COMMENT ON COLUMN pool_findings.tenant IS 'the tenant';
COMMENT ON COLUMN pool_findings.kind IS 'which: slow_statement, n_plus_one, client_wait, unpaged_result, sequential_scan, repeated_read, hot_row, read_only, churn, session_state';
COMMENT ON COLUMN pool_findings.severity IS 'info, warning or critical';
COMMENT ON COLUMN pool_findings.since IS 'when it was seen first';
COMMENT ON COLUMN pool_findings.last_seen IS 'when it was seen last; an hour later it is gone (session_state: a week)';
COMMENT ON COLUMN pool_findings.evidence IS 'the figures it rests on, of the last minutes before last_seen';
COMMENT ON COLUMN pool_findings.connections_spent IS 'so many connections are busy with it on average';
COMMENT ON COLUMN pool_findings.advice IS 'what to do';
COMMENT ON COLUMN pool_findings.queryid IS 'the statement, as in pool_stats_statement; null for findings about a tenant, and for what another role has run';
COMMENT ON COLUMN pool_findings.acknowledged IS 'somebody has acknowledged it, and it has not become worse since';
COMMENT ON COLUMN pool_findings.acknowledged_by IS 'role that has; null if nobody has';
COMMENT ON COLUMN pool_findings.acknowledged_until IS 'up to when; null = no end';
COMMENT ON COLUMN pool_findings.acknowledged_reason IS 'why';

CREATE FUNCTION pool_acknowledge(
	tenant text,
	kind text,
	queryid bigint DEFAULT NULL,
	reason text DEFAULT NULL,
	until timestamptz DEFAULT NULL)
RETURNS pool_acknowledged
	AS 'MODULE_PATHNAME', 'pool_acknowledge_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_acknowledge(text, text, bigint, text, timestamptz) IS
	'acknowledges a finding with a reason, until a date or until it gets worse; queryid NULL for findings about a tenant; returns the acknowledgement';

CREATE FUNCTION pool_unacknowledge(
	tenant text,
	kind text,
	queryid bigint DEFAULT NULL,
	if_exists boolean DEFAULT false)
RETURNS pool_acknowledged
	AS 'MODULE_PATHNAME', 'pool_unacknowledge_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_unacknowledge(text, text, bigint, boolean) IS
	'takes the acknowledgement of a finding back; returns what it was';

CREATE FUNCTION pool_recommendations(
	OUT tenant text, OUT current_size integer, OUT recommended_min integer,
	OUT recommended_size integer, OUT recommended_max integer, OUT busy_p50 integer,
	OUT busy_p95 integer, OUT busy_max integer, OUT arrival_rate float8, OUT service_ms float8,
	OUT bottleneck text, OUT predicted_wait_ms float8, OUT confidence float8, OUT method text,
	OUT reason text, OUT computed_at timestamptz, OUT busy_mean float8, OUT target integer,
	OUT predicted_wait_p95_ms float8, OUT fair_share integer, OUT login_ms float8,
	OUT busy_rise integer)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_recommendations_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION pool_recommendations() IS 'the rows of view pool_recommendations';

CREATE VIEW pool_recommendations AS SELECT * FROM pool_recommendations();
COMMENT ON VIEW pool_recommendations IS 'One row per tenant: how many server connections its pool should have, and why';
COMMENT ON COLUMN pool_recommendations.tenant IS 'the tenant';
COMMENT ON COLUMN pool_recommendations.current_size IS 'sessions it has now';
COMMENT ON COLUMN pool_recommendations.recommended_min IS 'connections to keep open without work, so that a rise in demand need not wait for logins';
COMMENT ON COLUMN pool_recommendations.recommended_size IS 'server connections a transaction pooler should keep for it';
COMMENT ON COLUMN pool_recommendations.recommended_max IS 'covers the most that were busy at once';
COMMENT ON COLUMN pool_recommendations.busy_p50 IS 'half of the time no more sessions were busy';
COMMENT ON COLUMN pool_recommendations.busy_p95 IS '95 % of the time no more sessions were busy';
COMMENT ON COLUMN pool_recommendations.busy_max IS 'most sessions busy at once in what is remembered';
COMMENT ON COLUMN pool_recommendations.arrival_rate IS 'transactions per second';
COMMENT ON COLUMN pool_recommendations.service_ms IS 'mean duration of a transaction';
COMMENT ON COLUMN pool_recommendations.bottleneck IS 'what busy time goes to for the most part: cpu, io, lock, client, none';
COMMENT ON COLUMN pool_recommendations.predicted_wait_ms IS 'mean wait for a connection of a pool of recommended_size';
COMMENT ON COLUMN pool_recommendations.confidence IS 'how sure that is (0..1)';
COMMENT ON COLUMN pool_recommendations.method IS 'how it was found';
COMMENT ON COLUMN pool_recommendations.reason IS 'the reason in a sentence';
COMMENT ON COLUMN pool_recommendations.computed_at IS 'when; null = not yet';
COMMENT ON COLUMN pool_recommendations.busy_mean IS 'sessions busy on average (Little: arrival rate times service time)';
COMMENT ON COLUMN pool_recommendations.target IS 'size before thresholds and steps of the policy';
COMMENT ON COLUMN pool_recommendations.predicted_wait_p95_ms IS '95 % of transactions wait no longer for a connection of such a pool';
COMMENT ON COLUMN pool_recommendations.fair_share IS 'most connections it may have, as others want some, too; null = not computed yet';
COMMENT ON COLUMN pool_recommendations.login_ms IS '95 % of its logins took no longer; null when none was seen';
COMMENT ON COLUMN pool_recommendations.busy_rise IS 'so many more sessions get busy within a login, or a sample, 99 % of the times that more do';

CREATE FUNCTION pool_recommendations_client(
	OUT tenant text, OUT application text, OUT instances integer, OUT instances_seen integer,
	OUT peak_overlap integer, OUT size_per_instance integer, OUT min_per_instance integer,
	OUT sessions integer, OUT most_sessions integer, OUT addresses integer,
	OUT busy_mean float8, OUT told_by text, OUT limited_by text, OUT confidence float8,
	OUT reason text, OUT peak_at timestamptz, OUT first_seen timestamptz)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_recommendations_client_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION pool_recommendations_client() IS 'the rows of view pool_recommendations_client';

CREATE VIEW pool_recommendations_client AS SELECT * FROM pool_recommendations_client();
COMMENT ON VIEW pool_recommendations_client IS
	'One row per tenant and application: what the pool in each of its processes should have';
COMMENT ON COLUMN pool_recommendations_client.tenant IS 'the tenant';
COMMENT ON COLUMN pool_recommendations_client.application IS 'application_name at connect, # for numbers and words that only one process has; null without pg_read_all_stats if it is not one''s own';
COMMENT ON COLUMN pool_recommendations_client.instances IS 'processes, as far as they can be told apart, that have sessions now';
COMMENT ON COLUMN pool_recommendations_client.instances_seen IS 'different ones in the last 24 hours';
COMMENT ON COLUMN pool_recommendations_client.peak_overlap IS 'most at the same time in this week and the one before, as in a rolling deploy';
COMMENT ON COLUMN pool_recommendations_client.size_per_instance IS 'connections that the pool of each should have at most';
COMMENT ON COLUMN pool_recommendations_client.min_per_instance IS 'connections that each should keep open without work';
COMMENT ON COLUMN pool_recommendations_client.sessions IS 'sessions they have now';
COMMENT ON COLUMN pool_recommendations_client.most_sessions IS 'the most that one of them has';
COMMENT ON COLUMN pool_recommendations_client.addresses IS 'different addresses they have';
COMMENT ON COLUMN pool_recommendations_client.busy_mean IS 'their sessions that are busy, on average';
COMMENT ON COLUMN pool_recommendations_client.told_by IS 'how they are told apart: process (its id), name (application_name), address';
COMMENT ON COLUMN pool_recommendations_client.limited_by IS 'what bounds size_per_instance: load, min_size, recommended_size, present, quota, database_quota, role_quota, cluster_quota, database_limit, role_limit, server, one_each';
COMMENT ON COLUMN pool_recommendations_client.confidence IS 'how sure that is (0..1)';
COMMENT ON COLUMN pool_recommendations_client.reason IS 'the reason in a sentence';
COMMENT ON COLUMN pool_recommendations_client.peak_at IS 'when peak_overlap was reached first';
COMMENT ON COLUMN pool_recommendations_client.first_seen IS 'since when the application is known';

CREATE FUNCTION pool_events(
	OUT at timestamptz, OUT kind text, OUT tenant text, OUT pid integer, OUT reason text,
	OUT detail jsonb)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_events_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION pool_events() IS 'the rows of view pool_events';

CREATE VIEW pool_events AS SELECT * FROM pool_events();
COMMENT ON VIEW pool_events IS
	'What was done or would have been done, the last history_events of logins and of all else';
COMMENT ON COLUMN pool_events.at IS 'when';
COMMENT ON COLUMN pool_events.kind IS 'reject, would_reject, terminate, would_terminate, alert, policy, resize, would_resize, connect, disconnect, error, tenant';
COMMENT ON COLUMN pool_events.tenant IS 'whose; null = the cluster''s';
COMMENT ON COLUMN pool_events.pid IS 'process id of the session; that of another one is null without pg_read_all_stats';
COMMENT ON COLUMN pool_events.reason IS 'the reason in a sentence';
COMMENT ON COLUMN pool_events.detail IS 'the evidence; null without pg_read_all_stats for another session';

CREATE FUNCTION pool_alerts(
	OUT tenant text, OUT alert text, OUT severity text, OUT since timestamptz,
	OUT value float8, OUT threshold float8, OUT message text, OUT id bigint, OUT queryid bigint)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_alerts_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 5;
COMMENT ON FUNCTION pool_alerts() IS 'the rows of view pool_alerts';

CREATE VIEW pool_alerts AS SELECT * FROM pool_alerts();
COMMENT ON VIEW pool_alerts IS 'One row per alert that is raised now';
COMMENT ON COLUMN pool_alerts.tenant IS 'whose; null = the cluster''s';
COMMENT ON COLUMN pool_alerts.alert IS 'which: cluster_utilization, cluster_exhaustion, sampler_late, pooler_unreachable, tenant_utilization, tenant_exhaustion, refusals, waits, leak_growth, idle_in_transaction, terminations_not_helping, anomaly, slow_statement, n_plus_one, client_wait, unpaged_result, sequential_scan, repeated_read, hot_row, churn';
COMMENT ON COLUMN pool_alerts.severity IS 'warning, critical: the worst since it was raised';
COMMENT ON COLUMN pool_alerts.since IS 'when it was raised';
COMMENT ON COLUMN pool_alerts.value IS 'what was measured last';
COMMENT ON COLUMN pool_alerts.threshold IS 'from which on it is raised';
COMMENT ON COLUMN pool_alerts.message IS 'what is the matter, in a sentence';
COMMENT ON COLUMN pool_alerts.id IS 'number of the alert, the same in all that is told of it';
COMMENT ON COLUMN pool_alerts.queryid IS 'the statement it is about, as in pool_findings; null for other alerts, and for what another role has run';

CREATE FUNCTION pool_alerts_history(
	OUT tenant text, OUT alert text, OUT severity text, OUT raised_at timestamptz,
	OUT cleared_at timestamptz, OUT duration_ms float8, OUT value float8,
	OUT threshold float8, OUT message text, OUT id bigint, OUT queryid bigint)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_alerts_history_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 50;
COMMENT ON FUNCTION pool_alerts_history() IS 'the rows of view pool_alerts_history';

CREATE VIEW pool_alerts_history AS SELECT * FROM pool_alerts_history();
COMMENT ON VIEW pool_alerts_history IS 'One row per alert that was raised, as far back as there is room (history_events / 4 changes), those raised now included';
COMMENT ON COLUMN pool_alerts_history.tenant IS 'whose; null = the cluster''s';
COMMENT ON COLUMN pool_alerts_history.alert IS 'which, see pool_alerts';
COMMENT ON COLUMN pool_alerts_history.severity IS 'warning, critical: the worst';
COMMENT ON COLUMN pool_alerts_history.raised_at IS 'when it was raised';
COMMENT ON COLUMN pool_alerts_history.cleared_at IS 'when it was over; null = not yet';
COMMENT ON COLUMN pool_alerts_history.duration_ms IS 'for how long; until now when it is not over';
COMMENT ON COLUMN pool_alerts_history.value IS 'the worst that was measured';
COMMENT ON COLUMN pool_alerts_history.threshold IS 'from which on it is raised';
COMMENT ON COLUMN pool_alerts_history.message IS 'what was the matter when it was worst';
COMMENT ON COLUMN pool_alerts_history.id IS 'number of the alert';
COMMENT ON COLUMN pool_alerts_history.queryid IS 'the statement it was about, as in pool_alerts';

CREATE FUNCTION pool_stats_pooler(
	OUT pooler text, OUT datname text, OUT usename text, OUT tenant text, OUT pool_mode text,
	OUT pool_size integer, OUT min_pool_size integer, OUT reserve_pool_size integer,
	OUT cl_active bigint, OUT cl_waiting bigint, OUT sv_active bigint, OUT sv_idle bigint,
	OUT sv_used bigint, OUT maxwait_ms float8, OUT xact_rate float8, OUT query_rate float8,
	OUT avg_xact_ms float8, OUT avg_wait_ms float8, OUT seen_at timestamptz, OUT state text,
	OUT error text, OUT version text, OUT obtainable integer, OUT auto_problem text,
	OUT cl_instances integer, OUT cl_applications text)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_stats_pooler_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 20;
COMMENT ON FUNCTION pool_stats_pooler() IS 'the rows of view pool_stats_pooler';

CREATE VIEW pool_stats_pooler AS SELECT * FROM pool_stats_pooler();
COMMENT ON VIEW pool_stats_pooler IS
	'One row per pool of each PgBouncer in pool_optimizer.pgbouncer_conninfo, as its console told last; one without a pool for a PgBouncer that has none or cannot be asked';
COMMENT ON COLUMN pool_stats_pooler.pooler IS 'host and port of its console';
COMMENT ON COLUMN pool_stats_pooler.datname IS 'database, as PgBouncer calls it';
COMMENT ON COLUMN pool_stats_pooler.usename IS 'user of the pool';
COMMENT ON COLUMN pool_stats_pooler.tenant IS 'whose sessions its server connections are; null when it is nobody''s here';
COMMENT ON COLUMN pool_stats_pooler.pool_mode IS 'session, transaction, statement';
COMMENT ON COLUMN pool_stats_pooler.pool_size IS 'server connections it may have; 0 = no limit';
COMMENT ON COLUMN pool_stats_pooler.min_pool_size IS 'server connections that are kept open';
COMMENT ON COLUMN pool_stats_pooler.reserve_pool_size IS 'server connections more when clients have waited for long';
COMMENT ON COLUMN pool_stats_pooler.cl_active IS 'clients that have a server connection, or want none';
COMMENT ON COLUMN pool_stats_pooler.cl_waiting IS 'clients that wait for a server connection';
COMMENT ON COLUMN pool_stats_pooler.sv_active IS 'server connections that clients have';
COMMENT ON COLUMN pool_stats_pooler.sv_idle IS 'server connections that are free';
COMMENT ON COLUMN pool_stats_pooler.sv_used IS 'server connections that have been free for long';
COMMENT ON COLUMN pool_stats_pooler.maxwait_ms IS 'for so long the first of the waiting clients waits';
COMMENT ON COLUMN pool_stats_pooler.xact_rate IS 'transactions per second of its database, all users, between the last two visits; null without pg_read_all_stats, as the next three';
COMMENT ON COLUMN pool_stats_pooler.query_rate IS 'queries per second of its database, likewise';
COMMENT ON COLUMN pool_stats_pooler.avg_xact_ms IS 'mean duration of those transactions';
COMMENT ON COLUMN pool_stats_pooler.avg_wait_ms IS 'mean wait for a server connection, likewise';
COMMENT ON COLUMN pool_stats_pooler.seen_at IS 'when it last answered';
COMMENT ON COLUMN pool_stats_pooler.state IS 'ok, new (not asked yet), unreachable, refused (answers with an error), unreadable (answers what is not understood)';
COMMENT ON COLUMN pool_stats_pooler.error IS 'what is wrong; null without pg_read_all_stats';
COMMENT ON COLUMN pool_stats_pooler.version IS 'of PgBouncer';
COMMENT ON COLUMN pool_stats_pooler.obtainable IS 'server connections that it gets, although its clients wait and pool_size allows more; null when that was not seen';
COMMENT ON COLUMN pool_stats_pooler.auto_problem IS 'what keeps auto (pool_set_sizing) from resizing it; null when nothing does';
COMMENT ON COLUMN pool_stats_pooler.cl_instances IS 'processes of its clients, as far as application_name or address tells one from another; null when there are too many clients to ask';
COMMENT ON COLUMN pool_stats_pooler.cl_applications IS 'the applications of its clients: those with most that wait, then the largest; null without pg_read_all_stats';

-- Written and pruned by the keeper; who may see what is decided by pool_stats_history(), so
-- nobody has a right to it.
CREATE TABLE pool_history (
	bucket_start     timestamptz NOT NULL,
	transactions     bigint NOT NULL,
	rejected         bigint NOT NULL,
	errors           bigint NOT NULL,
	terminated       bigint NOT NULL,
	watched_ms       float4 NOT NULL,
	sessions_avg     float4 NOT NULL,
	busy_avg         float4 NOT NULL,
	sessions_max     integer NOT NULL,
	busy_max         integer NOT NULL,
	waiting_max      integer NOT NULL,
	max_connections  integer NOT NULL,
	recommended_size integer NOT NULL,
	xact_p50_ms      float4 NOT NULL,
	xact_p90_ms      float4 NOT NULL,
	xact_p95_ms      float4 NOT NULL,
	xact_p99_ms      float4 NOT NULL,
	xact_max_ms      float4 NOT NULL,
	tenant           text COLLATE "C" NOT NULL,
	PRIMARY KEY (tenant, bucket_start)
);
-- The key serves one tenant, this one all tenants of some time.
CREATE INDEX pool_history_bucket_start ON pool_history
	USING brin (bucket_start) WITH (autosummarize = on);
COMMENT ON TABLE pool_history IS
	'History of pool_optimizer by five minutes, kept for history_retention; read it with pool_stats_history()';
COMMENT ON COLUMN pool_history.bucket_start IS 'when the bucket begins';
COMMENT ON COLUMN pool_history.transactions IS 'as in pool_stats_history()';
COMMENT ON COLUMN pool_history.rejected IS 'as in pool_stats_history()';
COMMENT ON COLUMN pool_history.errors IS 'as in pool_stats_history()';
COMMENT ON COLUMN pool_history.terminated IS 'as in pool_stats_history()';
COMMENT ON COLUMN pool_history.watched_ms IS 'how long of the bucket the server was watched';
COMMENT ON COLUMN pool_history.sessions_avg IS 'as in pool_stats_history()';
COMMENT ON COLUMN pool_history.busy_avg IS 'as in pool_stats_history()';
COMMENT ON COLUMN pool_history.sessions_max IS 'as in pool_stats_history()';
COMMENT ON COLUMN pool_history.busy_max IS 'as in pool_stats_history()';
COMMENT ON COLUMN pool_history.waiting_max IS 'as in pool_stats_history()';
COMMENT ON COLUMN pool_history.max_connections IS 'as in pool_stats_history()';
COMMENT ON COLUMN pool_history.recommended_size IS 'as in pool_stats_history(), 0 = none yet';
COMMENT ON COLUMN pool_history.xact_p50_ms IS 'median duration of transactions, 0 without any';
COMMENT ON COLUMN pool_history.xact_p90_ms IS '90 % of them were shorter';
COMMENT ON COLUMN pool_history.xact_p95_ms IS '95 % of them were shorter';
COMMENT ON COLUMN pool_history.xact_p99_ms IS '99 % of them were shorter';
COMMENT ON COLUMN pool_history.xact_max_ms IS 'all of them were shorter';
COMMENT ON COLUMN pool_history.tenant IS 'the tenant; empty = the whole cluster, written when the bucket is complete';

-- Hours and days (of UTC), summed up from these: a year of all tenants is read at once.
CREATE TABLE pool_history_hour (LIKE pool_history INCLUDING ALL);
COMMENT ON TABLE pool_history_hour IS
	'History of pool_optimizer by the hour, kept for history_retention; read it with pool_stats_history()';
CREATE TABLE pool_history_day (LIKE pool_history INCLUDING ALL);
COMMENT ON TABLE pool_history_day IS
	'History of pool_optimizer by the day (UTC), kept for history_retention; read it with pool_stats_history()';

CREATE FUNCTION pool_stats_history(
	resolution interval DEFAULT '1 min',
	since timestamptz DEFAULT NULL,
	until timestamptz DEFAULT NULL,
	for_tenant text DEFAULT NULL,
	OUT bucket_start timestamptz, OUT bucket_ms float8, OUT tenant text,
	OUT sessions_avg float8, OUT sessions_max integer, OUT busy_avg float8,
	OUT busy_max integer, OUT rejected bigint, OUT terminated bigint,
	OUT transactions bigint, OUT xact_p50_ms float8, OUT xact_p95_ms float8,
	OUT xact_p99_ms float8, OUT waiting_max integer, OUT errors bigint,
	OUT max_connections integer, OUT recommended_size integer)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_stats_history_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1000;
COMMENT ON FUNCTION pool_stats_history(interval, timestamptz, timestamptz, text) IS
	'what tenants did in buckets of this length (whole seconds), and in wider ones where only these are left; since NULL = 1440 buckets ago, until NULL = now, for_tenant NULL = all';

-- With all arguments, so that no function with fewer that somebody planted is preferred.
CREATE VIEW pool_stats_history AS
	SELECT * FROM pool_stats_history('1 min'::interval, NULL::timestamptz, NULL::timestamptz,
									 NULL::text);
COMMENT ON VIEW pool_stats_history IS
	'One row per tenant and minute of the last day, or five minutes where minutes are gone: sessions, busy sessions, transactions, refusals';
COMMENT ON COLUMN pool_stats_history.bucket_start IS 'when the bucket begins';
COMMENT ON COLUMN pool_stats_history.bucket_ms IS 'its length; of the one that is still open, as long as it has lasted';
COMMENT ON COLUMN pool_stats_history.tenant IS 'the tenant';
COMMENT ON COLUMN pool_stats_history.sessions_avg IS 'sessions on average, exempt ones included';
COMMENT ON COLUMN pool_stats_history.sessions_max IS 'most sessions at the same time';
COMMENT ON COLUMN pool_stats_history.busy_avg IS 'sessions busy on average';
COMMENT ON COLUMN pool_stats_history.busy_max IS 'most sessions seen busy at the same time';
COMMENT ON COLUMN pool_stats_history.rejected IS 'logins refused';
COMMENT ON COLUMN pool_stats_history.terminated IS 'sessions ended by us';
COMMENT ON COLUMN pool_stats_history.transactions IS 'transactions ended, exact';
COMMENT ON COLUMN pool_stats_history.xact_p50_ms IS 'median duration of these; null without any';
COMMENT ON COLUMN pool_stats_history.xact_p95_ms IS '95 % of them were shorter';
COMMENT ON COLUMN pool_stats_history.xact_p99_ms IS '99 % of them were shorter';
COMMENT ON COLUMN pool_stats_history.waiting_max IS 'most logins that were queued at the same time';
COMMENT ON COLUMN pool_stats_history.errors IS 'refusals, terminations, logins that failed after admission, and transactions ended by an error';
COMMENT ON COLUMN pool_stats_history.max_connections IS 'quota of the tenant at the end of the bucket; -1 = no limit';
COMMENT ON COLUMN pool_stats_history.recommended_size IS 'recommended size then; null = none yet';

CREATE FUNCTION pool_stats_cluster_history(
	resolution interval DEFAULT '1 min',
	since timestamptz DEFAULT NULL,
	until timestamptz DEFAULT NULL,
	OUT bucket_start timestamptz, OUT bucket_ms float8, OUT sessions_avg float8,
	OUT sessions_max integer, OUT utilization_max float8, OUT waiting_max integer,
	OUT max_connections integer, OUT busy_avg float8, OUT busy_max integer,
	OUT rejected bigint, OUT terminated bigint, OUT errors bigint, OUT transactions bigint,
	OUT xact_p50_ms float8, OUT xact_p95_ms float8, OUT xact_p99_ms float8)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_stats_cluster_history_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1000;
COMMENT ON FUNCTION pool_stats_cluster_history(interval, timestamptz, timestamptz) IS
	'the same of all tenants together';

CREATE VIEW pool_stats_cluster_history AS
	SELECT * FROM pool_stats_cluster_history('1 min'::interval, NULL::timestamptz, NULL::timestamptz);
COMMENT ON VIEW pool_stats_cluster_history IS
	'One row per minute of the last day in which the server was watched, or five minutes where minutes are gone: the whole cluster';
COMMENT ON COLUMN pool_stats_cluster_history.bucket_start IS 'when the bucket begins';
COMMENT ON COLUMN pool_stats_cluster_history.bucket_ms IS 'its length; of the one that is still open, as long as it has lasted';
COMMENT ON COLUMN pool_stats_cluster_history.sessions_avg IS 'sessions on average';
COMMENT ON COLUMN pool_stats_cluster_history.sessions_max IS 'most sessions at the same time';
COMMENT ON COLUMN pool_stats_cluster_history.utilization_max IS 'share (0..1) of max_connections that sessions_max and waiting_max together are';
COMMENT ON COLUMN pool_stats_cluster_history.waiting_max IS 'most logins that were queued at the same time';
COMMENT ON COLUMN pool_stats_cluster_history.max_connections IS 'connections usable by clients that are not superusers';
COMMENT ON COLUMN pool_stats_cluster_history.busy_avg IS 'sessions busy on average; null without pg_read_all_stats, as all that follows';
COMMENT ON COLUMN pool_stats_cluster_history.busy_max IS 'most sessions seen busy at the same time';
COMMENT ON COLUMN pool_stats_cluster_history.rejected IS 'logins refused';
COMMENT ON COLUMN pool_stats_cluster_history.terminated IS 'sessions ended by us';
COMMENT ON COLUMN pool_stats_cluster_history.errors IS 'refusals, terminations, logins that failed after admission, and transactions ended by an error';
COMMENT ON COLUMN pool_stats_cluster_history.transactions IS 'transactions ended, exact';
COMMENT ON COLUMN pool_stats_cluster_history.xact_p50_ms IS 'median duration of these; null without any';
COMMENT ON COLUMN pool_stats_cluster_history.xact_p95_ms IS '95 % of them were shorter';
COMMENT ON COLUMN pool_stats_cluster_history.xact_p99_ms IS '99 % of them were shorter';

-- What pool_stats_profile() tells, computed by the keeper.
CREATE TABLE pool_history_profile (
	tenant       text COLLATE "C" NOT NULL,
	hour_of_week integer NOT NULL,
	busy_mean    float4 NOT NULL,
	busy_p95     float4 NOT NULL,
	weeks        integer NOT NULL,
	time_zone    text NOT NULL,
	computed_at  timestamptz NOT NULL,
	PRIMARY KEY (tenant, hour_of_week)
);
COMMENT ON TABLE pool_history_profile IS
	'What pool_stats_profile() tells; computed from pool_history by the keeper';
COMMENT ON COLUMN pool_history_profile.tenant IS 'the tenant; empty = the whole cluster, a row of which says that the hour was computed';
COMMENT ON COLUMN pool_history_profile.hour_of_week IS 'as in pool_stats_profile()';
COMMENT ON COLUMN pool_history_profile.busy_mean IS 'as in pool_stats_profile()';
COMMENT ON COLUMN pool_history_profile.busy_p95 IS 'as in pool_stats_profile()';
COMMENT ON COLUMN pool_history_profile.weeks IS 'as in pool_stats_profile()';
COMMENT ON COLUMN pool_history_profile.time_zone IS 'as in pool_stats_profile()';
COMMENT ON COLUMN pool_history_profile.computed_at IS 'as in pool_stats_profile()';

CREATE FUNCTION pool_stats_profile(
	for_tenant text DEFAULT NULL,
	OUT tenant text, OUT hour_of_week integer, OUT busy_mean float8, OUT busy_p95 float8,
	OUT weeks integer, OUT time_zone text, OUT computed_at timestamptz)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_stats_profile_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1000;
COMMENT ON FUNCTION pool_stats_profile(text) IS
	'what is usual of tenants in each hour of the week, from the last eight weeks of pool_history; for_tenant NULL = all';

CREATE VIEW pool_stats_profile AS SELECT * FROM pool_stats_profile(NULL::text);
COMMENT ON VIEW pool_stats_profile IS
	'One row per tenant and hour of the week in which it had sessions: how many are usually busy';
COMMENT ON COLUMN pool_stats_profile.tenant IS 'the tenant';
COMMENT ON COLUMN pool_stats_profile.hour_of_week IS '0 = Monday from 0:00 to 1:00, 167 = the last of Sunday, in time_zone';
COMMENT ON COLUMN pool_stats_profile.busy_mean IS 'sessions busy on average';
COMMENT ON COLUMN pool_stats_profile.busy_p95 IS 'of the five minutes of this hour 95 % had no more busy on average';
COMMENT ON COLUMN pool_stats_profile.weeks IS 'weeks that this rests on: those watched since the tenant was first seen, up to eight';
COMMENT ON COLUMN pool_stats_profile.time_zone IS 'time zone that hours are of: timezone as it is set for the database of pool_optimizer.database';
COMMENT ON COLUMN pool_stats_profile.computed_at IS 'when it was computed';

CREATE FUNCTION pool_explain_admission(
	database text DEFAULT NULL,
	role text DEFAULT NULL,
	application text DEFAULT NULL,
	address inet DEFAULT NULL,
	label text DEFAULT NULL,
	OUT scope text, OUT tenant text, OUT used integer, OUT max_connections integer,
	OUT guaranteed integer, OUT passes boolean, OUT outcome text, OUT reason text)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_explain_admission_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 4;
COMMENT ON FUNCTION pool_explain_admission(text, text, text, inet, text) IS
	'what a login with this identity would meet, one row per rule; what is left out is taken from the calling session, address NULL = Unix-domain socket';

CREATE FUNCTION pool_what_if(
	tenant text,
	max_size integer DEFAULT NULL,
	OUT size integer, OUT utilization double precision, OUT wait_ms double precision,
	OUT throughput double precision, OUT measured double precision)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_what_if_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION pool_what_if(text, integer) IS
	'what a tenant''s pool is predicted to do at sizes 1 to max_size: utilization 0..1, mean wait for a session of it, transactions/s, and those measured where that size was tried';

CREATE FUNCTION pool_client_config(
	tenant text,
	client text,
	instances integer DEFAULT 1)
RETURNS text
	AS 'MODULE_PATHNAME', 'pool_client_config_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION pool_client_config(text, text, integer) IS
	'text to paste into pgbouncer, odyssey, pgdog, prisma, hikaricp, node-postgres, sqlalchemy, pgx or npgsql: the recommended size divided by its processes, timeouts that fit the policy, contradictions as comments';

-- Its plans are many and small: compiling them would take longer than running them.
CREATE FUNCTION pool_report(since interval DEFAULT '1 day')
RETURNS text
	AS 'MODULE_PATHNAME', 'pool_report_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET jit = off;
COMMENT ON FUNCTION pool_report(interval) IS
	'one page of HTML: what is wrong and what to do, use over time, sizes, leaks, refusals, holders and changes, as far as the caller may see them';

-- ---------------------------------------------------------------------------
-- Monitoring
-- ---------------------------------------------------------------------------

CREATE FUNCTION pool_health(
	OUT health text, OUT reason text, OUT utilization float8, OUT free_connections integer,
	OUT in_recovery boolean)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_health_1_0' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION pool_health() IS
	'one row for load balancers: healthy, warning or critical, and why';

-- Volatile, as who asks brings the listing of tenants up to date.
CREATE FUNCTION pool_metrics()
RETURNS text
	AS 'MODULE_PATHNAME', 'pool_metrics_1_0' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION pool_metrics() IS 'metrics in the text format of Prometheus (0.0.4)';

CREATE FUNCTION pool_metrics_cluster(
	OUT mode float8, OUT health float8, OUT usable_connections float8, OUT sessions float8,
	OUT waiting_logins float8, OUT authenticating_connections float8,
	OUT utilization_ratio float8, OUT warning_threshold_ratio float8,
	OUT critical_threshold_ratio float8, OUT guaranteed_connections float8, OUT tenants float8,
	OUT listed_tenants float8, OUT sampler_up float8, OUT sampler_age_seconds float8,
	OUT error float8, OUT policy_generation float8, OUT shared_memory_bytes float8,
	OUT samples_total float8, OUT missed_samples_total float8,
	OUT sample_duration_seconds_total float8, OUT overflow_logins_total float8,
	OUT unready_logins_total float8, OUT worker_errors_total float8,
	OUT cpu_speed_ratio float8)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_metrics_cluster_1_0' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION pool_metrics_cluster() IS
	'metrics pool_optimizer_* of pool_metrics as a row, for exporters';

CREATE FUNCTION pool_metrics_alert(OUT alert text, OUT severity text, OUT alerts float8)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_metrics_alert_1_0' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 40;
COMMENT ON FUNCTION pool_metrics_alert() IS
	'metric pool_optimizer_alerts of pool_metrics as rows, for exporters';

CREATE FUNCTION pool_metrics_finding(OUT finding text, OUT severity text, OUT open float8,
	OUT connections float8)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_metrics_finding_1_0' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 30;
COMMENT ON FUNCTION pool_metrics_finding() IS
	'metrics pool_optimizer_findings_* of pool_metrics as rows, for exporters';

CREATE FUNCTION pool_metrics_tenant(
	OUT tenant text, OUT sessions float8, OUT active_sessions float8, OUT idle_sessions float8,
	OUT idle_in_transaction_sessions float8, OUT exempt_sessions float8,
	OUT leaked_sessions float8, OUT waiting_logins float8, OUT limit_connections float8,
	OUT guaranteed_connections float8, OUT utilization_ratio float8,
	OUT busy_sessions_mean float8, OUT recommended_connections float8,
	OUT recommended_min_connections float8, OUT recommended_max_connections float8,
	OUT recommendation_confidence_ratio float8, OUT predicted_wait_seconds float8,
	OUT predicted_p95_wait_seconds float8,
	OUT admitted_logins_total float8, OUT rejected_logins_total float8,
	OUT would_reject_logins_total float8, OUT failed_logins_total float8,
	OUT terminated_sessions_total float8, OUT would_terminate_sessions_total float8,
	OUT transactions_total float8, OUT rollbacks_total float8,
	OUT transaction_errors_total float8, OUT transaction_duration_seconds float8[],
	OUT transaction_duration_seconds_bucket bigint[],
	OUT transaction_duration_seconds_sum float8, OUT transaction_duration_seconds_count bigint,
	OUT login_wait_seconds float8[], OUT login_wait_seconds_bucket bigint[],
	OUT login_wait_seconds_sum float8, OUT login_wait_seconds_count bigint)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_metrics_tenant_1_0' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 20;
COMMENT ON FUNCTION pool_metrics_tenant() IS
	'metrics pool_optimizer_tenant_* of pool_metrics as rows, for exporters; of a histogram its bounds in seconds, cumulative counts, sum and count';

CREATE FUNCTION pool_metrics_pooler(
	OUT pooler text, OUT up float8, OUT answer_age_seconds float8, OUT pools float8,
	OUT active_clients float8, OUT waiting_clients float8, OUT active_servers float8,
	OUT idle_servers float8, OUT longest_wait_seconds float8, OUT stalled_pools float8,
	OUT unresized_pools float8)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_metrics_pooler_1_0' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 2;
COMMENT ON FUNCTION pool_metrics_pooler() IS
	'metrics pool_optimizer_pooler_* of pool_metrics as rows, for exporters';

-- ---------------------------------------------------------------------------
-- Acting
-- ---------------------------------------------------------------------------

CREATE FUNCTION pool_terminate_leaked(
	tenant text,
	dry_run boolean DEFAULT true,
	OUT pid integer, OUT class text, OUT reason text, OUT terminated boolean)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pool_terminate_leaked_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION pool_terminate_leaked(text, boolean) IS
	'lists the leaked sessions of a tenant (or of those that match a pattern) and, unless dry_run, ends those that are not exempt';

CREATE FUNCTION pool_reset_stats(tenant text DEFAULT NULL)
RETURNS void
	AS 'MODULE_PATHNAME', 'pool_reset_stats_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pool_reset_stats(text) IS
	'sets counters, histograms and the recommendation of a tenant back, NULL = of all';

-- ---------------------------------------------------------------------------
-- Rights: reading needs nothing (others' rows are hidden), changing needs a grant
-- ---------------------------------------------------------------------------

-- Whatever ALTER DEFAULT PRIVILEGES gave or took: nobody but the owner has any right that is not
-- granted below.  Names are qualified, as the schema may have anybody's objects.
DO $$
DECLARE
	command pg_catalog.text;
BEGIN
	FOR command IN
		WITH member AS (
			SELECT d.classid, d.objid FROM pg_catalog.pg_depend AS d
				JOIN pg_catalog.pg_extension AS e ON e.oid OPERATOR(pg_catalog.=) d.refobjid
			WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
				AND d.deptype OPERATOR(pg_catalog.=) 'e'
				AND e.extname OPERATOR(pg_catalog.=) 'pool_optimizer'),
		object AS (
			SELECT 'TABLE' AS kind, m.objid::pg_catalog.regclass::pg_catalog.text AS name,
				c.relowner AS owner,
				COALESCE(c.relacl, pg_catalog.acldefault('r', c.relowner)) AS acl
			FROM member AS m JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) m.objid
			WHERE m.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
			UNION ALL
			SELECT 'FUNCTION', m.objid::pg_catalog.regprocedure::pg_catalog.text, p.proowner,
				COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))
			FROM member AS m JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) m.objid
			WHERE m.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass)
		SELECT DISTINCT pg_catalog.format('REVOKE ALL ON %s %s FROM %s', o.kind, o.name,
			CASE WHEN a.grantee OPERATOR(pg_catalog.=) '0'::pg_catalog.oid THEN 'PUBLIC'
				ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END)
		FROM object AS o CROSS JOIN pg_catalog.aclexplode(o.acl) AS a
		WHERE a.grantee OPERATOR(pg_catalog.<>) o.owner
	LOOP
		EXECUTE command;
	END LOOP;
END
$$;

GRANT SELECT ON pool_policies, pool_alert_rules, pool_acknowledged, pool_stats, pool_stats_cluster, pool_stats_session,
	pool_stats_statement, pool_findings, pool_recommendations, pool_recommendations_client, pool_events, pool_stats_pooler,
	pool_stats_history, pool_stats_cluster_history, pool_stats_profile, pool_alerts, pool_alerts_history TO PUBLIC;

GRANT EXECUTE ON FUNCTION
	pool_policy_visible(text, text), pool_alert_rule_visible(text), pool_stats(),
	pool_stats_cluster(), pool_stats_session(), pool_stats_statement(boolean), pool_findings(),
	pool_recommendations(), pool_recommendations_client(), pool_events(), pool_alerts(),
	pool_alerts_history(), pool_stats_pooler(),
	pool_stats_history(interval, timestamptz, timestamptz, text),
	pool_stats_cluster_history(interval, timestamptz, timestamptz), pool_stats_profile(text),
	pool_explain_admission(text, text, text, inet, text), pool_what_if(text, integer),
	pool_client_config(text, text, integer), pool_report(interval), pool_health(), pool_metrics(),
	pool_metrics_cluster(), pool_metrics_alert(), pool_metrics_finding(), pool_metrics_tenant(),
	pool_metrics_pooler() TO PUBLIC;
