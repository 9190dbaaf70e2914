# Who may do what, and who learns what.
#
# 1. The matrix: each kind of role against each function, view, column and setting of the
#    extension, and each verb against the policy table.  What exists is taken from the
#    catalog, what is expected is written by hand below: a new object that nobody decided
#    about fails this test.
# 2. Values: one tenant plants marks wherever its name, its load, its quota, a statement, an
#    error or its address could show up; another tenant's role reads everything it can, in
#    every way it can, and must not find one.
# 3. Nor may it move its quota, choose its tenant, or end a session.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

# ---------- what is expected ----------

# Functions: who may call it, how it is called, and if it fails then, with which SQLSTATE.
#	read: everybody; set: with the grants of docs/reference.md; act: granted by itself;
#	none: not by hand
my %function = (
	pool_acknowledge => [ set => q{'t_mine@postgres', 'churn', reason => 'x'}, '42704' ],
	pool_unacknowledge => [ set => q{'t_mine@postgres', 'churn', if_exists => true} ],
	pool_findings => [ read => '' ],
	pool_acknowledged_changed => [ none => '' ],
	pool_alert_rules_changed => [ none => '' ],
	pool_alert_rules_check => [ none => '' ],
	pool_alert_rule_visible => [ read => q{'*'} ],
	pool_alerts => [ read => '' ],
	pool_alerts_history => [ read => '' ],
	pool_client_config => [ read => q{session_user || '@' || current_database(), 'pgx'} ],
	pool_drain => [ set => q{'acme_role@acme_db', '1h'} ],
	pool_drop_alert => [ set => q{'refusals', if_exists => true} ],
	pool_drop_policy => [ set => q{'nobody', if_exists => true} ],
	pool_events => [ read => '' ],
	pool_explain_admission => [ read => '' ],
	pool_health => [ read => '' ],
	pool_metrics => [ read => '' ],
	pool_metrics_cluster => [ read => '' ],
	pool_metrics_alert => [ read => '' ],
	pool_metrics_finding => [ read => '' ],
	pool_metrics_pooler => [ read => '' ],
	pool_metrics_tenant => [ read => '' ],
	pool_policies_changed => [ none => '' ],
	pool_policies_check => [ none => '' ],
	pool_policy_visible => [ read => q{'tenant', '*'} ],
	pool_recommendations => [ read => '' ],
	pool_report => [ read => q{'1 h'} ],
	pool_reset_stats => [ act => q{'acme_role@acme_db'} ],
	pool_resume => [ set => q{'acme_role@acme_db'} ],
	pool_set_alert => [ set => q{'refusals', threshold => 5} ],
	pool_set_quota => [ set => q{'t_mine@postgres', 50} ],
	pool_set_sizing => [ set => q{'t_mine@postgres', 2} ],
	pool_set_timeouts => [ set => q{'t_mine@postgres', '1h'} ],
	pool_stats => [ read => '' ],
	pool_stats_cluster => [ read => '' ],
	pool_stats_cluster_history => [ read => '' ],
	pool_stats_history => [ read => '' ],
	pool_stats_profile => [ read => '' ],
	pool_stats_pooler => [ read => '' ],
	pool_recommendations_client => [ read => '' ],
	pool_stats_session => [ read => '' ],
	pool_stats_statement => [ read => '' ],
	pool_sync => [ set => q{'0s'} ],
	pool_terminate_leaked => [ act => q{'nobody*'} ],
	pool_what_if => [ read => q{session_user || '@' || current_database(), 3} ]);

# Columns of the views: who sees a value.
#	own: everybody, in the rows of its own tenant, which are all it sees
#	all: everybody, a figure of the whole cluster
#	stats: with pg_read_all_stats
#	mine: of the role's own sessions; of others with pg_read_all_stats
my %column = (
	pool_stats => {
		(map { $_ => 'own' } qw(tenant sessions active idle idle_in_transaction waiting
			max_connections guaranteed utilization peak_sessions peak_busy admitted rejected
			would_reject terminated would_terminate transactions rollbacks errors
			last_error_at xact_mean_ms xact_p50_ms xact_p95_ms xact_p99_ms wait_p99_ms
			recommended_size first_seen last_used mode exempt_sessions draining)),
		last_error => 'stats'
	},
	pool_stats_cluster => {
		(map { $_ => 'all' } qw(mode max_connections sessions waiting authenticating
			utilization health tenants guaranteed sampler_pid keeper_pid last_sample samples
			missed_samples sample_us policy_generation overflow_logins unready_logins
			worker_errors shared_memory_bytes statements statements_evicted
			statements_memory_bytes)),
		last_error => 'stats',
		last_error_at => 'stats'
	},
	pool_stats_history => {
		map { $_ => 'own' } qw(bucket_start bucket_ms tenant sessions_avg sessions_max busy_avg
			busy_max rejected terminated transactions xact_p50_ms xact_p95_ms xact_p99_ms
			waiting_max errors max_connections recommended_size)
	},
	pool_stats_profile => {
		map { $_ => 'own' } qw(tenant hour_of_week busy_mean busy_p95 weeks time_zone computed_at)
	},
	pool_stats_cluster_history => {
		(map { $_ => 'all' } qw(bucket_start bucket_ms sessions_avg sessions_max utilization_max
			waiting_max max_connections)),
		(map { $_ => 'stats' } qw(busy_avg busy_max rejected terminated errors transactions
			xact_p50_ms xact_p95_ms xact_p99_ms))
	},
	pool_stats_pooler => {
		(map { $_ => 'own' } qw(pooler datname usename tenant pool_mode pool_size min_pool_size
			reserve_pool_size cl_active cl_waiting sv_active sv_idle sv_used maxwait_ms seen_at
			state version obtainable auto_problem cl_instances)),
		(map { $_ => 'stats' } qw(xact_rate query_rate avg_xact_ms avg_wait_ms error cl_applications))
	},
	pool_stats_session => {
		(map { $_ => 'own' } qw(pid tenant class)),
		(map { $_ => 'mine' } qw(datname usename application_name client_addr backend_start
			state state_ms xact_ms transactions leak_probability exempt verdict))
	},
	# A tenant is one role here; t/071_statement_table.pl has several roles in one.
	pool_stats_statement => {
		map { $_ => 'own' } qw(tenant queryid calls busy_ms connection_seconds share
			client_wait_ms lock_wait_ms mean_ms p99_ms max_ms rows first_seen last_seen query slow
			very_slow loops loop_calls parent_queryid reread_share blocker_queryid scanned_table)
	},
	# t/073_findings.pl has some.
	pool_findings => {
		map { $_ => 'own' } qw(tenant kind severity since last_seen evidence connections_spent
			advice queryid acknowledged acknowledged_by acknowledged_until acknowledged_reason)
	},
	pool_recommendations => {
		map { $_ => 'own' } qw(tenant current_size recommended_min recommended_size
			recommended_max busy_p50 busy_p95 busy_max arrival_rate service_ms bottleneck
			predicted_wait_ms confidence method reason computed_at busy_mean target
			predicted_wait_p95_ms fair_share login_ms busy_rise)
	},
	pool_recommendations_client => {
		(map { $_ => 'own' } qw(tenant instances instances_seen peak_overlap size_per_instance
			min_per_instance sessions most_sessions addresses busy_mean told_by limited_by
			confidence reason peak_at first_seen)),
		application => 'mine'
	},
	pool_alerts => {
		map { $_ => 'own' } qw(tenant alert severity since value threshold message id queryid)
	},
	pool_alerts_history => {
		map { $_ => 'own' } qw(tenant alert severity raised_at cleared_at duration_ms value
			threshold message id queryid)
	},
	pool_events => {
		(map { $_ => 'own' } qw(at kind tenant reason)),
		(map { $_ => 'mine' } qw(pid detail))
	});

# The policy table: row-level security decides, the same for all columns.
my @policy_columns = qw(scope tenant max_connections guaranteed weight on_full wait_timeout
	quota_mode idle idle_in_transaction never_used lifetime leak_probability timeouts_mode
	min_size max_size target_wait scale_up_threshold scale_down_threshold scale_up_step
	scale_down_step evaluation_interval auto drain_started_at drain_grace);

# Settings: SHOW and pg_settings tell them to everybody, so none may hold a secret, unless
# it is "secret": then nobody without pg_read_all_settings may see it.
my %setting = map { +"pool_optimizer.$_" => 'public' } qw(mode tenant label database
	exempt_roles spare_stateful sample_interval warning_threshold critical_threshold
	max_terminations_per_minute max_tenants max_waiting history_events metrics_tenants
	history_second_rows history_ten_second_rows history_minute_rows history_retention
	notify_events notify_rate log_interval track_statements max_statements max_findings
	track_findings slow_statement very_slow_statement loop_calls);
$setting{"pool_optimizer.$_"} = 'secret' foreach qw(pgbouncer_conninfo pgbouncer_include
	notify_channel);
# Only in a library that was built for t/037_inject.pl; lists points of the code.
$setting{'pool_optimizer.inject'} = 'public';

# Who has what: kinds of functions, and verbs on the policy table.
my %may = (
	r_plain => { map { $_ => 1 } qw(read select) },
	t_mine => { map { $_ => 1 } qw(read select) },
	r_monitor => { map { $_ => 1 } qw(read select stats) },
	r_stats => { map { $_ => 1 } qw(read select stats) },
	r_operator => { map { $_ => 1 } qw(read select stats set insert update delete) },
	r_reaper => { map { $_ => 1 } qw(read select act) },
	r_dbowner => { map { $_ => 1 } qw(read select) },
	super => { map { $_ => 1 } qw(read select stats set act none insert update delete owner) });
my @who = sort keys %may;

# Verbs on the policy table: what it takes, the statement, and the SQLSTATE when allowed.
my @verb = (
	[ select => 'SELECT * FROM pool_policies' ],
	[ select => 'COPY pool_policies TO STDOUT' ],
	[ select => 'COPY (TABLE pool_policies) TO STDOUT' ],
	[ select => 'LOCK TABLE pool_policies IN ACCESS SHARE MODE' ],
	[ select => 'EXPLAIN SELECT * FROM pool_policies' ],
	[ select => 'CREATE TEMP TABLE like_it (LIKE pool_policies INCLUDING ALL)' ],
	[ update => 'SELECT * FROM pool_policies FOR UPDATE' ],
	[ update => 'SELECT * FROM pool_policies FOR KEY SHARE' ],
	[ insert => q{INSERT INTO pool_policies (tenant, idle) VALUES ('t_mine@*', '1h')} ],
	[ insert => q{INSERT INTO pool_policies (tenant) VALUES ('x*') ON CONFLICT DO NOTHING} ],
	[ update => 'UPDATE pool_policies SET max_connections = 50' ],
	[ update => 'UPDATE pool_policies SET max_connections = 50 WHERE false' ],
	[ delete => 'DELETE FROM pool_policies' ],
	[ delete => 'DELETE FROM pool_policies WHERE false' ],
	[ delete => q{MERGE INTO pool_policies USING (VALUES (1)) v ON tenant = 't_mine@postgres'
		WHEN MATCHED THEN DELETE} ],
	[ select => 'SELECT * FROM pool_alert_rules' ],
	[ update => 'SELECT * FROM pool_alert_rules FOR UPDATE' ],
	[ owner => 'ALTER TABLE pool_alert_rules DISABLE ROW LEVEL SECURITY' ],
	[ insert => q{INSERT INTO pool_alert_rules (alert, severity, enabled)
		VALUES ('refusals', 'warning', true)} ],
	[ update => 'UPDATE pool_alert_rules SET enabled = false' ],
	[ delete => 'DELETE FROM pool_alert_rules' ],
	[ owner => 'TRUNCATE pool_alert_rules' ],
	[ owner => 'ALTER TABLE pool_alert_rules DISABLE TRIGGER USER' ],
	(map { [ owner => "SELECT * FROM $_" ], [ owner => "DELETE FROM $_" ],
		[ owner => "UPDATE $_ SET tenant = ''" ], [ owner => "TRUNCATE $_" ],
		[ owner => "SELECT count(tenant) FROM $_" ],
		[ owner => "INSERT INTO $_ SELECT * FROM $_ WHERE false" ] } 'pool_history', 'pool_history_hour',
		'pool_history_day', 'pool_history_profile'),
	[ select => 'SELECT * FROM pool_acknowledged' ],
	[ update => 'SELECT * FROM pool_acknowledged FOR UPDATE' ],
	[ insert => q{INSERT INTO pool_acknowledged VALUES ('t', 'churn', 0, 'x', NULL, 'me', now(), 1,
		'info')} ],
	[ update => 'UPDATE pool_acknowledged SET connections_spent = 50' ],
	[ delete => 'DELETE FROM pool_acknowledged' ],
	[ owner => 'TRUNCATE pool_acknowledged' ],
	[ owner => 'ALTER TABLE pool_acknowledged ADD x int' ],
	[ owner => 'TRUNCATE pool_policies' ],
	[ owner => q{COPY pool_policies TO '/dev/null'} ],
	[ owner => q{COPY pool_policies FROM '/dev/null'} ],
	[ owner => 'LOCK TABLE pool_policies IN ACCESS EXCLUSIVE MODE',
		except => [qw(update delete)] ],
	[ owner => 'LOCK TABLE pool_policies IN SHARE ROW EXCLUSIVE MODE',
		except => [qw(update delete)] ],
	[ owner => 'CREATE TABLE s_own.ref (scope text, tenant text,
		FOREIGN KEY (scope, tenant) REFERENCES pool_policies)' ],
	[ owner => 'CREATE TABLE s_own.child () INHERITS (pool_policies)' ],
	[ owner => 'CREATE TRIGGER mine BEFORE INSERT ON pool_policies
		FOR EACH ROW EXECUTE FUNCTION s_own.planted()' ],
	[ owner => 'CREATE RULE mine AS ON INSERT TO pool_policies DO ALSO NOTHING' ],
	[ owner => 'CREATE POLICY mine ON pool_policies USING (true)' ],
	[ owner => 'DROP POLICY see_what_applies ON pool_policies', state => '2BP01' ],
	[ owner => 'ALTER POLICY see_what_applies ON pool_policies USING (true)' ],
	[ owner => 'ALTER TABLE pool_policies DISABLE ROW LEVEL SECURITY' ],
	[ owner => 'ALTER TABLE pool_policies DISABLE TRIGGER USER' ],
	[ owner => 'ALTER TABLE pool_policies ALTER scope SET DEFAULT s_own.text()' ],
	[ owner => 'ALTER TABLE pool_policies ALTER tenant SET STATISTICS 100' ],
	[ owner => 'ALTER TABLE pool_policies OWNER TO CURRENT_USER' ],
	[ owner => 'CREATE INDEX ON pool_policies (s_own.text())' ],
	[ owner => 'CREATE STATISTICS s_own.st ON scope, tenant FROM pool_policies' ],
	[ owner => q{COMMENT ON TABLE pool_policies IS 'mine'} ],
	[ owner => 'DROP TABLE pool_policies', state => '2BP01' ],
	[ owner => 'ALTER VIEW pool_stats SET (security_barrier = true)' ],
	[ owner => 'CREATE OR REPLACE VIEW pool_stats AS SELECT * FROM pool_stats()' ],
	[ owner => q{CREATE OR REPLACE FUNCTION pool_policy_visible(scope text, tenant text)
		RETURNS boolean LANGUAGE sql AS 'SELECT true'} ],
	[ owner => 'ALTER FUNCTION pool_stats() LEAKPROOF' ],
	[ owner => 'ALTER EXTENSION pool_optimizer UPDATE' ],
	[ owner => 'ALTER EXTENSION pool_optimizer SET SCHEMA s_own' ],
	[ owner => 'ALTER EXTENSION pool_optimizer DROP TABLE pool_policies' ],
	[ owner => 'DROP EXTENSION pool_optimizer' ],
	[ owner => 'SELECT pg_reload_conf()' ],
	[ owner => 'SELECT stavalues1 FROM pg_statistic LIMIT 1' ],
	(map { [ none => "SET pool_optimizer.$_", state => '55P02' ] }
		q{mode = 'off'}, q{tenant = '%L'}, q{label = 'acme_label'}, q{database = 'acme_db'},
		q{exempt_roles = 't_mine'}, 'spare_stateful = on'));

# Outside a transaction, by all but the superuser: must fail, or at least change nothing
# (GRANT without grant option is a warning only).
my @futile = (
	'GRANT INSERT ON pool_policies TO PUBLIC', 'GRANT ALL ON pool_policies TO t_mine',
	'GRANT SELECT ON pool_stats TO t_mine', 'GRANT EXECUTE ON FUNCTION pool_sync TO PUBLIC',
	'REVOKE SELECT ON pool_policies FROM PUBLIC', 'REVOKE ALL ON pool_stats FROM PUBLIC',
	q{ALTER SYSTEM SET pool_optimizer.mode = 'off'}, 'VACUUM FULL pool_stats',
	'REASSIGN OWNED BY CURRENT_USER TO t_mine', 'DROP OWNED BY CURRENT_USER RESTRICT',
	'CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION s_own.planted()');

# ---------- the server ----------

my $node = new_node(
	-name => 'rights',
	-extension => 0,
	log_statement => 'none');
my $super = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, qw(r_plain t_mine t_mate r_monitor r_stats r_operator r_reaper r_dbowner
	acme_role));
$node->safe_psql('postgres', q{
	CREATE SCHEMA pool;
	CREATE EXTENSION pool_optimizer SCHEMA pool;
	GRANT USAGE ON SCHEMA pool TO PUBLIC;
	ALTER DATABASE postgres SET search_path = pool, public;
	CREATE DATABASE acme_db;
	ALTER DATABASE postgres OWNER TO r_dbowner;
	CREATE SCHEMA s_own;
	GRANT ALL ON SCHEMA s_own TO PUBLIC;
	CREATE FUNCTION s_own.text() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''x''';
	CREATE FUNCTION s_own.planted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	GRANT pg_monitor TO r_monitor;
	GRANT pg_read_all_stats TO r_stats});
$node->safe_psql('acme_db', 'CREATE EXTENSION pool_optimizer');

# The three lines of the documentation, as they stand there.
my $guide = slurp_file("$FindBin::RealBin/../docs/reference.md");
my @grants = map { s/platform/r_operator/r } $guide =~ /^(GRANT .* TO platform;)$/mg;

is(scalar @grants, 3, 'docs/reference.md says how a role is allowed to set policies');
$node->safe_psql('postgres', join("\n", 'SET search_path = pool;', @grants,
	'GRANT EXECUTE ON FUNCTION pool_terminate_leaked, pool_reset_stats TO r_reaper;'));

sub role_of { my ($who) = @_; return $who eq 'super' ? $super : $who; }

my %session = map { $_ => open_session($node, role_of($_)) } @who;

# What an ended attempt left behind must not meet the next one.
sub attempt
{
	my ($who, $sql) = @_;
	my $session = $session{$who};

	$session->query('BEGIN');
	$session->query($sql);
	my $state = $session->sqlstate;

	$session->query('ROLLBACK');
	return $state;
}

# All there is of the extension's objects and rows, to see that nothing was changed.
sub fingerprint
{
	return $node->safe_psql('postgres', q{
		WITH members AS (SELECT classid, objid FROM pg_depend
			WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND refobjid =
				(SELECT oid FROM pg_extension WHERE extname = 'pool_optimizer'))
		SELECT md5(string_agg(x, E'\n' ORDER BY x COLLATE "C")) FROM (
			SELECT p::text FROM pg_proc p JOIN members ON objid = p.oid
				AND classid = 'pg_proc'::regclass
			UNION ALL SELECT concat_ws(' ', c.oid, relname, relnamespace, relowner, relkind,
				relacl, relrowsecurity, relforcerowsecurity, reloptions, relfilenode)
				FROM pg_class c JOIN members ON objid = c.oid
				AND classid = 'pg_class'::regclass
			UNION ALL SELECT concat_ws(' ', a.attrelid, attname, atttypid, attacl, atthasdef,
				attisdropped)
				FROM pg_attribute a JOIN members ON objid = a.attrelid
				AND classid = 'pg_class'::regclass
			UNION ALL SELECT t::text FROM pg_trigger t WHERE tgrelid IN ('pool_policies'::regclass, 'pool_alert_rules'::regclass, 'pool_acknowledged'::regclass)
			UNION ALL SELECT r::text FROM pg_policy r WHERE polrelid IN ('pool_policies'::regclass, 'pool_alert_rules'::regclass, 'pool_acknowledged'::regclass)
			UNION ALL SELECT ev_class || rulename FROM pg_rewrite r JOIN members
				ON objid = ev_class AND classid = 'pg_class'::regclass
			UNION ALL SELECT e::text FROM pg_extension e
			UNION ALL SELECT p::text FROM pool_policies p
			UNION ALL SELECT p::text FROM pool_acknowledged p
			UNION ALL SELECT p::text FROM pool_alert_rules p) AS o(x)});
}

# ---------- the catalog against the expectations ----------

my $members = q{(SELECT classid, objid FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND refobjid =
		(SELECT oid FROM pg_extension WHERE extname = 'pool_optimizer')) AS m};

# Row types of relations are members of their own from 17 on.
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT classid::regclass::text, ' '
		ORDER BY classid::regclass::text) FROM $members WHERE classid <> 'pg_type'::regclass"),
	'pg_class pg_proc', 'the extension has functions and relations, nothing else to decide on');
is($node->safe_psql('postgres', "SELECT count(*) FROM $members JOIN pg_type t ON t.oid = objid
		WHERE classid = 'pg_type'::regclass AND typrelid = 0 AND typelem = 0"), '0',
	'nor types of its own');
is($node->safe_psql('postgres', "SELECT string_agg(proname, ' ' ORDER BY proname COLLATE \"C\")
		FROM pg_proc JOIN $members ON objid = oid AND classid = 'pg_proc'::regclass"),
	join(' ', sort keys %function), 'each function has its expectation');
is($node->safe_psql('postgres', "SELECT string_agg(relname, ' ' ORDER BY relname COLLATE \"C\")
		FROM pg_class JOIN $members ON objid = oid AND classid = 'pg_class'::regclass"),
	join(' ', sort keys %column, 'pool_acknowledged', 'pool_policies', 'pool_alert_rules', 'pool_history',
		'pool_history_hour', 'pool_history_day', 'pool_history_profile'), 'and each relation');

sub columns_of
{
	my ($relation) = @_;

	return $node->safe_psql('postgres', "SELECT string_agg(attname, ' '
		ORDER BY attname COLLATE \"C\") FROM pg_attribute
		WHERE attrelid = 'pool.$relation'::regclass AND attnum > 0 AND NOT attisdropped");
}

is(columns_of($_), join(' ', sort keys %{ $column{$_} }), "and each column of $_")
  foreach sort keys %column;
is(columns_of('pool_policies'), join(' ', sort @policy_columns), 'and of pool_policies');
is(columns_of('pool_alert_rules'), join(' ', sort qw(alert severity tenant threshold for_duration
	clear_after hysteresis enabled)), 'and of pool_alert_rules');
is(columns_of('pool_acknowledged'), join(' ', sort qw(tenant kind queryid reason until
	acknowledged_by acknowledged_at connections_spent severity)), 'and of pool_acknowledged');
my @settings = split /\n/, $node->safe_psql('postgres',
	q{SELECT name FROM pg_settings WHERE name LIKE 'pool\_optimizer.%' ORDER BY name});

is(join(' ', grep { !exists $setting{$_} } @settings), '', 'and each setting');
cmp_ok(scalar @settings, '>=', 13, 'there are settings');

# ---------- the matrix ----------

$node->safe_psql('postgres', q{SELECT pool.pool_set_quota('acme_role@acme_db', 2)});
wait_sync($node);
my $before = fingerprint();

foreach my $who (@who)
{
	my @wrong;

	foreach my $name (sort keys %function)
	{
		my ($kind, $arguments, $fails) = @{ $function{$name} };
		my $state = attempt($who, "SELECT $name($arguments)");
		my $denied = $state eq '42501';

		# A trigger's function is refused by its own rules even to who may call it.
		push @wrong, "$name: $state" if $denied == ($may{$who}{$kind} ? 1 : 0)
		  || (!$denied && $state ne ($fails // '') && $kind ne 'none');
	}
	is(join('; ', @wrong), '', "functions, $who");
	@wrong = ();
	foreach my $verb (@verb)
	{
		my ($kind, $sql, %opt) = @$verb;
		my $state = attempt($who, $sql);
		my $allowed = $may{$who}{$kind}
		  || grep { $may{$who}{$_} } @{ $opt{except} // [] };
		my @expected = $kind eq 'none' ? ($opt{state}) : !$allowed ? ('42501')
		  : ('', $opt{state} // '');

		push @wrong, "$sql: $state" unless grep { $_ eq $state } @expected;
	}
	is(join('; ', @wrong), '', "verbs on the policy table and the rest, $who");
	@wrong = ();
	foreach my $view (sort keys %column)
	{
		push @wrong, map { "$view: $_" } grep { attempt($who, $_) eq '' }
		  "INSERT INTO $view DEFAULT VALUES", "DELETE FROM $view", "TRUNCATE $view",
		  map { "UPDATE $view SET $_ = NULL" } sort keys %{ $column{$view} };
		push @wrong, $view if attempt($who, "SELECT * FROM $view") ne '';
	}
	is(join('; ', @wrong), '', "views can be read and not changed, $who");

	# Column by column: no grant of one that the whole does not have.
	my $granted = $node->safe_psql('postgres', sprintf q{
		SELECT string_agg(DISTINCT p, ' ' ORDER BY p) FROM pg_attribute,
			unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p
		WHERE attrelid IN (%s) AND attnum > 0
			AND has_column_privilege('%s', attrelid, attnum, p)},
		join(', ', map { "'pool.$_'::regclass" } keys %column, 'pool_policies', 'pool_alert_rules', 'pool_acknowledged'), role_of($who));

	is($granted, $who eq 'super' ? 'INSERT REFERENCES SELECT UPDATE'
		: $who eq 'r_operator' ? 'INSERT SELECT UPDATE' : 'SELECT',
		"rights to single columns, $who");
}
foreach my $who (grep { $_ ne 'super' && $_ ne 'r_operator' } @who)
{
	$session{$who}->query($_) foreach @futile;
}
is(fingerprint(), $before, 'nothing was changed by all that');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_event_trigger}), '0',
	'no event trigger was made');
is($node->safe_psql('postgres', 'SHOW pool_optimizer.mode'), 'enforce', 'nor a setting');

# ---------- the other tenant ----------

# Whatever is said of acme has one of these in it: its names, its address, its numbers.
my $mark = qr/acme|127\.0\.0|(?<![.0-9])1771[0-9]{2}(?![.0-9])/i;
my $acme = 'acme_role@acme_db';

$node->safe_psql('postgres', q{
	SET search_path = pool;
	SELECT pool_set_quota('acme_role@acme_db', 2);
	SELECT pool_set_timeouts('acme_role@acme_db', idle_in_transaction => '177102 s');
	SELECT pool_set_quota('acme_*', 177103);
	SELECT pool_set_quota('*@acme_db', 177104);
	SELECT pool_set_quota('acme_db', 177105, scope => 'database');
	SELECT pool_set_quota('acme_role', 177106, scope => 'role');
	SELECT pool_set_quota('acme_app', 177107, scope => 'application');
	SELECT pool_set_quota('127.0.0.0/8', 177108, scope => 'address');
	SELECT pool_set_quota('acme_' || i || '@acme_db', 177109) FROM generate_series(1, 120) i;
	SELECT pool_set_quota('t_mine@postgres', 5);
	SELECT pool_set_alert('refusals', 'critical', 'acme_role@acme_db', threshold => 177110);
	SELECT pool_set_alert('refusals', 'warning', 'acme_*', threshold => 177111);
	SELECT pool_set_alert('refusals', 'warning', 't_*', threshold => 5);
	INSERT INTO pool_acknowledged VALUES ('acme_role@acme_db', 'churn', 0, 'acme_reason', NULL,
		'acme_role', now(), 177112, 'info');
	ANALYZE pool_policies, pool_alert_rules, pool_acknowledged});
wait_sync($node);

sub acme
{
	return open_session($node, 'acme_role', dbname => 'acme_db', host => '127.0.0.1',
		application_name => 'acme_app', options => '-c pool_optimizer.label=acme_label');
}

my @acme = map { acme() } 1, 2;

ok($_->is_admitted, 'a session of the other tenant') or diag($_->error_text) foreach @acme;
my $third = acme();

ok($third->is_refused, 'one is refused');
$acme[0]->query(q{ALTER ROLE nobody_such PASSWORD 'acme_password'});
$acme[0]->query(q{DO $$ BEGIN RAISE 'acme_secret_error' USING ERRCODE = 'AC0ME',
	DETAIL = 'acme_secret_detail'; END $$});
$acme[1]->query('BEGIN');
$acme[1]->query(q{SELECT 'acme_query'});

# One of them is ended: it is idle and never ran a thing.
my $quiet = open_session($node, 'acme_role', dbname => 'postgres',
	application_name => 'acme_app');

$node->safe_psql('postgres', q{
	SET search_path = pool;
	SELECT pool_set_timeouts('acme_role@postgres', never_used => '1 ms', mode => 'enforce')});
$quiet->wait_closed;
ok($node->poll_query_until('postgres', q{SELECT count(DISTINCT kind) = 3 FROM pool.pool_events
		WHERE tenant LIKE 'acme%' AND kind IN ('reject', 'terminate', 'policy')}),
	'refusals, terminations and policies of acme are events');
ok($node->poll_query_until('postgres', qq{SELECT errors >= 2 AND last_error IS NOT NULL
		FROM pool.pool_stats WHERE tenant = '$acme'}), 'its errors are known');
my %acme_pid = map { $_->pid => 1 } @acme, $quiet, $third->pid ? $third : ();

# Every relation, function and way of asking: what a session can get to see, as text.
my @explain = map { "pool_explain_admission($_)" } '', q{role => 't_mine'},
  q{role => 'acme_role'}, q{database => 'acme_db'}, q{'acme_db', 'acme_role'},
  q{'acme_db', 'acme_role', 'acme_app', '127.0.0.1', 'acme_label'},
  q{application => 'acme_app'}, q{address => '127.0.0.1'}, q{label => 'acme_label'},
  q{application => 'acme_app', address => '127.0.0.1', label => 'acme_label'};
my @readable = ((map { "$_" } sort keys %column), 'pool_policies', 'pool_alert_rules', 'pool_acknowledged',
	'pool_history', 'pool_history_hour', 'pool_history_day', 'pool_history_profile',
	(map { "$_()" } grep { $function{$_}[0] eq 'read' && $function{$_}[1] eq '' }
		sort keys %function));

# Rows as text, and what an error says; that which was asked for itself is no news.
sub told
{
	my ($session, $sql, $asked) = @_;
	my $rows = $session->query($sql);
	my @told = defined $rows ? map { join(' ', map { $_ // '' } @$_) } @$rows
	  : $session->error_text;

	# What the role has run itself is in pool_stats_statement.
	s/SET (?:ROLE|SESSION AUTHORIZATION) acme_role// foreach @told;
	if (defined $asked)
	{
		my @typed = $asked =~ /'([^']+)'/g;

		foreach my $typed (@typed) { s/(?<![\w.])\Q$typed\E(?![\w.\/])// foreach @told; }
	}
	return grep { $_ =~ $mark } @told;
}

sub told_by
{
	my ($session, @from) = @_;
	my @found;

	foreach my $from (@from)
	{
		push @found, map { "$from: $_" }
		  told($session, "SELECT x::text FROM $from AS x", $from),
		  told($session, "SELECT to_jsonb(x) FROM $from AS x", $from);
	}
	return @found;
}

sub finds_nothing
{
	my ($session, $what) = @_;
	my @found = told_by($session, @readable);

	push @found, map { "pool_policies: $_" } told($session,
		"SELECT count(*) FILTER (WHERE max_connections > 177000), max(tenant), max(max_connections)
		FROM pool_policies WHERE tenant <> 't_mine\@postgres'");
	foreach my $from (qw(pool_stats_session pool_events pool_stats_session() pool_events()))
	{
		push @found, map { "$from: pid $_->[0]" } grep { defined $_->[0] && $acme_pid{ $_->[0] } }
		  @{ $session->query("SELECT pid FROM $from") };
	}
	is(join("\n", @found), '', "nothing of the other tenant is told: $what");
	return;
}

my $mine = open_session($node, 't_mine', application_name => 'mine_app');
my $seen = $session{super}->value(q{SELECT string_agg(x, ' ') FROM (
	SELECT s::text FROM pool_stats s UNION ALL SELECT s::text FROM pool_stats_session s
	UNION ALL SELECT s::text FROM pool_events s UNION ALL SELECT s::text FROM pool_policies s
	UNION ALL SELECT s::text FROM pool_recommendations s) AS v(x)});

ok($seen =~ /$_/, "the mark is there to be found: $_")
  foreach 'acme_role@acme_db', 'acme_app', '127\.0\.0', '177103', 'AC0ME';
is($seen =~ /(acme_secret|acme_query|acme_password|acme_label)/ ? $1 : '', '',
	'but no text of a statement, an error or a password, not even for a superuser');
unlike(join("\n", grep { /pool_optimizer/ } split /\n/, log_since($node)),
	qr/acme_secret|acme_query|acme_password/, 'nor in a line of ours in the log');
finds_nothing($mine, 'a tenant\'s role');
finds_nothing($session{r_plain}, 'a plain role');
finds_nothing($session{r_dbowner}, 'the database owner');
finds_nothing($session{r_reaper}, 'a role that may end leaked sessions of its own tenant');

# Asking what a login would meet.
is(join("\n", told_by($session{$_}, @explain)), '',
	"pool_explain_admission tells nothing of the other tenant's policies: $_")
  foreach qw(t_mine r_plain);

# COPY, a cursor, a prepared statement, a function of its own, a view of its own.
$mine->query('CREATE TEMP VIEW all_of_it AS SELECT * FROM pool_policies');
is(join("\n", map { told($mine, $_) } 'SELECT x::text FROM all_of_it x',
		'EXECUTE p', 'FETCH ALL FROM c', 'TABLE pool_policies'), '',
	'nor through a view, a cursor, a prepared statement')
  if $mine->query('PREPARE p AS SELECT x::text FROM pool_policies x')
  && $mine->query('DECLARE c CURSOR WITH HOLD FOR SELECT x::text FROM pool_policies x');
$mine->query('CLOSE ALL');
# What a cached plan of one role shows to the next one.
$node->safe_psql('postgres', 'GRANT r_stats TO t_mine');
$mine->query('PREPARE q AS SELECT count(*) FROM pool_policies');
$mine->query('EXECUTE q') foreach 1 .. 6;
$mine->query('SET ROLE r_stats');
cmp_ok($mine->value('EXECUTE q'), '>', 100, 'with pg_read_all_stats a prepared statement tells');
$mine->query('RESET ROLE');
$node->safe_psql('postgres', 'REVOKE r_stats FROM t_mine');
is($mine->value('EXECUTE q'), '1', 'and not any more without');

# ---------- code of its own in the query ----------

# Cheap and leaky: the planner would like to call these before anything else.
$mine->query($_) // die $mine->error_text foreach (
	'CREATE TEMP TABLE seen (what text)',
	q{CREATE FUNCTION s_own.tell(text) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS $$
		BEGIN INSERT INTO pg_temp.seen VALUES ($1); RETURN true; END $$},
	q{CREATE FUNCTION s_own.tell2(text, text) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS $$
		BEGIN INSERT INTO pg_temp.seen VALUES ($1), ($2); RETURN true; END $$},
	'CREATE OPERATOR s_own.= (FUNCTION = s_own.tell2, LEFTARG = text, RIGHTARG = text)',
	'CREATE OPERATOR s_own.<<< (FUNCTION = s_own.tell2, LEFTARG = text, RIGHTARG = text)');
foreach my $from (sort keys %column, 'pool_policies', 'pool_alert_rules', 'pool_acknowledged', map { "$_()" } sort keys %column)
{
	foreach my $where ('s_own.tell(x::text)', q{x::text OPERATOR(s_own.=) ''},
		q{x::text OPERATOR(s_own.<<<) ''}, 'CASE WHEN s_own.tell(x::text) THEN true END')
	{
		defined $mine->query("SELECT 1 FROM $from AS x WHERE $where")
		  or fail("$where: " . $mine->error_text);
		$mine->query("SELECT 1 FROM $from AS x JOIN (VALUES (1)) v(i) ON $where");
	}
}
cmp_ok($mine->value('SELECT count(*) FROM seen'), '>', 50, 'code in a WHERE clause runs');
is(join("\n", told($mine, 'SELECT what FROM seen')), '',
	'but not on rows that the role does not see');

# Column by column and strict: then an outer join may become an inner one, and the condition go
# to the table that is joined.  Nor may a cast that fails say what of.
$mine->query($_) // die $mine->error_text foreach ('TRUNCATE seen',
	q{CREATE FUNCTION s_own.tell_strict(text) RETURNS bool LANGUAGE plpgsql STRICT
		COST 0.0000001 AS $$ BEGIN INSERT INTO pg_temp.seen VALUES ($1); RETURN true; END $$});
my @texts = @{ $mine->query(sprintf q{SELECT relname, attname FROM pg_attribute
	JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'pool'::regnamespace
	AND relname IN (%s) AND atttypid = 'text'::regtype AND attnum > 0},
	join(', ', map { "'$_'" } sort keys %column, 'pool_policies', 'pool_alert_rules',
		'pool_acknowledged')) };
my @cast;

cmp_ok(scalar @texts, '>', 50, 'there are columns of texts');
foreach my $joins ('enable_hashjoin, enable_mergejoin', 'enable_mergejoin', 'enable_nestloop')
{
	$mine->query("SET $_ = off") foreach split /, /, $joins;
	foreach (@texts)
	{
		my ($from, $text) = @$_;

		defined $mine->query("SELECT 1 FROM $from WHERE s_own.tell_strict($text)")
		  or fail("$from, $text: " . $mine->error_text);
		push @cast, map { "$from, $text: $_" }
		  told($mine, "SELECT 1 FROM $from WHERE $text\::int = 1");
	}
	$mine->query("RESET $_") foreach split /, /, $joins;
}
cmp_ok($mine->value('SELECT count(*) FROM seen'), '>', 50, 'strict code runs');
is(join("\n", told($mine, 'SELECT DISTINCT what FROM seen')), '',
	'nor does it on rows that the role does not see');
is(join("\n", @cast), '', 'nor does an error show any of them');
is($mine->query(q{ALTER FUNCTION s_own.tell(text) LEAKPROOF}), undef,
	'and cannot be called leakproof');

# ---------- side channels ----------

# Two questions, about a hidden name and about one that is not there: the same answer.
my %pair = (
	range => [ q{scope = 'tenant' AND tenant >= 'acme' AND tenant < 'acmf'},
		q{scope = 'tenant' AND tenant >= 'bcme' AND tenant < 'bcmf'} ],
	name => [ q{scope = 'tenant' AND tenant = 'acme_7@acme_db'},
		q{scope = 'tenant' AND tenant = 'bcme_7@acme_db'} ],
	scope => [ q{scope = 'database'}, q{scope = 'databasf'} ],
	quota => [ 'max_connections = 177109', 'max_connections = 177209' ],
	below => [ 'max_connections < 177000', 'max_connections < 178000' ],
	timeout => [ q{idle_in_transaction = '177102 s'}, q{idle_in_transaction = '177202 s'} ]);

$mine->query('SET jit = off');
foreach my $scan (qw(on off))
{
	$mine->query("SET enable_seqscan = $scan");
	foreach my $name (sort keys %pair)
	{
		my (@estimate, @run, @fetched);

		foreach my $where (@{ $pair{$name} })
		{
			my $sql = "SELECT * FROM pool_policies WHERE $where";
			my $plan = join("\n", map { $_->[0] } @{ $mine->query("EXPLAIN $sql") });

			push @estimate, $plan =~ /^(.*rows=\d+)/ ? $1 : $plan;
			$plan = join("\n", map { $_->[0] } @{ $mine->query("EXPLAIN (ANALYZE, COSTS OFF,
						TIMING OFF, SUMMARY OFF, BUFFERS OFF) $sql") });
			$plan =~ s/(Cond|Filter): .*/$1/g;
			push @run, $plan;
			# A cumulative count, so what one statement adds to it.
			my $count = q{SELECT coalesce(sum(idx_tup_fetch), 0), coalesce(sum(seq_tup_read), 0)
				FROM pg_stat_xact_user_tables WHERE relid = 'pool.pool_policies'::regclass};

			$mine->query('BEGIN');
			my $earlier = $mine->query($count)->[0];
			$mine->query("SELECT 1 FROM pool_policies WHERE $where");
			my $later = $mine->query($count)->[0];
			$mine->query('COMMIT');
			push @fetched, join(' ', map { $later->[$_] - $earlier->[$_] } 0, 1);
		}
		is($estimate[0], $estimate[1], "an estimate tells nothing ($name, seqscan $scan)");
		is($run[0], $run[1], "nor does EXPLAIN ANALYZE ($name, seqscan $scan)");
		is($fetched[0], $fetched[1], "nor what was fetched ($name, seqscan $scan)");
	}
}
$mine->query('RESET enable_seqscan');
$mine->query('SET enable_seqscan = off');
unlike(join("\n", map { $_->[0] } @{ $mine->query(q{EXPLAIN SELECT * FROM pool_alert_rules
	WHERE alert = 'refusals' AND severity = 'critical' AND tenant = 'acme_role@acme_db'}) }),
	qr/Index/, 'nor has pool_alert_rules an index for it');
unlike(join("\n", map { $_->[0] } @{ $mine->query(q{EXPLAIN SELECT * FROM pool_acknowledged
	WHERE tenant = 'acme_role@acme_db' AND kind = 'churn' AND queryid = 0}) }),
	qr/Index/, 'nor has pool_acknowledged');
# Where the extension is not, a table that is only called like it is none of our business.
$node->safe_psql('postgres', 'CREATE DATABASE without');
$node->safe_psql('without', q{CREATE TABLE pool_policies (tenant text PRIMARY KEY);
	ALTER TABLE pool_policies ENABLE ROW LEVEL SECURITY;
	CREATE POLICY any_but_x ON pool_policies USING (tenant <> 'x');
	GRANT SELECT ON pool_policies TO PUBLIC});
like(scalar psql_as($node, 't_mine', q{SET enable_seqscan = off;
	EXPLAIN SELECT * FROM pool_policies WHERE tenant = 'y'}, dbname => 'without'),
	qr/Index/, 'a table of somebody else keeps its index');
$mine->query('RESET enable_seqscan');
is($mine->value(q{SELECT count(*) FROM pg_stats WHERE tablename IN ('pool_policies',
		'pool_alert_rules', 'pool_acknowledged')}), '0',
	'pg_stats tells nothing');
is($mine->value(q{SELECT count(*) FROM pg_stats_ext WHERE tablename = 'pool_policies'}), '0',
	'nor pg_stats_ext');

# A role that may insert into some columns only, as a portal could: it learns that a name
# is taken, which it must, but no row.
$node->safe_psql('postgres', q{
	GRANT INSERT (scope, tenant, idle) ON pool.pool_policies TO r_plain});
my $insert = $session{r_plain};

is($insert->query(q{INSERT INTO pool_policies (tenant, idle) VALUES ('acme_7@acme_db', '1h')}),
	undef, 'a name that is taken cannot be inserted again');
is($insert->sqlstate, '23505', 'a unique violation');
unlike($insert->error_text, $mark, 'that shows no row');
finds_nothing($insert, 'a role that may insert into some columns');
$node->safe_psql('postgres', q{
	REVOKE INSERT (scope, tenant, idle) ON pool.pool_policies FROM r_plain});

# pg_dump by a role that is no superuser: core refuses, or dumps what the role may see.
sub dump_as
{
	my ($role, @options) = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run([ 'pg_dump', '-d', $node->connstr('postgres'), '-U', $role, '-t',
			'pool.pool_policies', '-e', 'pool_optimizer', @options ], '>', \$out, '2>', \$err);

	return ($ok, $out, $err);
}

my ($ok, $out, $err) = dump_as('t_mine');

ok(!$ok, 'pg_dump by a plain role is refused');
like($err, qr/row-level security/, 'because of row-level security');
unlike($out . $err, $mark, 'and shows nothing');
($ok, $out, $err) = dump_as('t_mine', '--enable-row-security');
ok($ok, 'with --enable-row-security it succeeds') or diag($err);
like($out, qr/t_mine\@postgres/, 'with what applies to the role');
unlike($out . $err, $mark, 'and nothing else');
$node->safe_psql('postgres', 'ALTER ROLE t_mine BYPASSRLS');
($ok, $out, $err) = dump_as('t_mine');
ok($ok, 'with BYPASSRLS it succeeds') or diag($err);
like($out, $mark, 'with everything');
$node->safe_psql('postgres', 'ALTER ROLE t_mine NOBYPASSRLS');

# ---------- settings ----------

foreach my $name (grep { $setting{$_} eq 'secret' } @settings)
{
	is($mine->value("SELECT count(*) FROM pg_settings WHERE name = '$name'"), '0',
		"$name is not shown");
	is(attempt('t_mine', "SHOW $name"), '42501', "nor by SHOW");
}
is(join(' ', map { $_->[0] } @{ $mine->query(q{SELECT name FROM pg_settings
		WHERE name LIKE 'pool\_optimizer.%' AND name !~ 'inject$'
		AND setting ~ 'acme|password|host'}) }), '', 'no setting shows what is not public');
$mine->query(q{SET pool_optimizer.pgbouncer_conninfo = 'host=x password=acme_password'});
unlike($mine->error_text, qr/acme_password/, 'a setting that is refused is not repeated');

# ---------- its tenant and its quota ----------

my $tenants = 'SELECT string_agg(DISTINCT tenant, $$ $$) FROM pool_stats';

is($mine->value($tenants), 't_mine@postgres', 'it is its own tenant');
foreach my $sql (q{SET application_name = 'acme_app'}, 'SET ROLE acme_role',
	'SET SESSION AUTHORIZATION acme_role', q{SET pool_optimizer.label = 'acme_label'},
	q{SELECT set_config('pool_optimizer.label', 'acme_label', false)},
	q{SELECT set_config('pool_optimizer.tenant', '%L', false)},
	q{UPDATE pg_settings SET setting = 'off' WHERE name = 'pool_optimizer.mode'},
	q{SET application_name = 'mine_app'}, 'SET row_security = off',
	'SET session_replication_role = replica')
{
	$mine->query($sql);
	is($mine->value($tenants), 't_mine@postgres', "also after $sql");
}
is($mine->query('TABLE pool_policies'), undef, 'row_security = off is an error');
is($mine->sqlstate, '42501', 'not a way around');
$mine->query('RESET row_security');
finds_nothing($mine, 'after all these settings');

# A member of the other role may do what that role may in core; the tenant stays.
$node->safe_psql('postgres', 'GRANT acme_role TO t_mine');
ok(defined $mine->query('SET ROLE acme_role'), 'SET ROLE to the other tenant\'s role');
is($mine->value($tenants), 't_mine@postgres', 'does not change the tenant');
finds_nothing($mine, 'after SET ROLE to the other tenant\'s role');
$mine->query('RESET ROLE');
$node->safe_psql('postgres', 'REVOKE acme_role FROM t_mine');

# At login: what the template does not name has no say.
is(attempt('t_mine', q{ALTER ROLE t_mine SET pool_optimizer.label = 'acme_label'}), '55P02',
	'a label cannot be kept with the role');
foreach my $how (
	{ application_name => 'acme_role@acme_db' },
	{ options => '-c pool_optimizer.label=acme_role@acme_db' },
	{ startup => { 'pool_optimizer.label' => 'acme_role@acme_db' } },
	{ options => '-c application_name=acme_role@acme_db -c search_path=pool' },
	{ host => '127.0.0.1' })
{
	my $session = open_session($node, 't_mine', %$how);

	ok($session->is_admitted,
		'a login with ' . join(' ', map { ref $_ ? join('=', %$_) : $_ } %$how));
	is($session->value('SELECT string_agg(DISTINCT tenant, $$ $$) FROM pool.pool_stats'),
		't_mine@postgres', 'is of the same tenant');
	close_all($session);
}
foreach my $options (q{-c pool_optimizer.mode=off}, q{-c pool_optimizer.tenant=%L},
	q{-c pool_optimizer.exempt_roles=t_mine}, q{-c role=acme_role},
	q{-c session_authorization=acme_role})
{
	my $session = open_session($node, 't_mine', options => $options);

	# A server may refuse the login, or ignore the setting with a warning.
	is($session->is_admitted ? $session->value('SELECT string_agg(DISTINCT tenant, $$ $$)
			|| current_setting($$pool_optimizer.mode$$) || current_user FROM pool.pool_stats')
		: '', $session->is_admitted ? 't_mine@postgresenforcet_mine' : '',
		"nothing is won by $options");
	$session->is_admitted ? close_all($session) : $session->wait_closed;
}
ok(wait_sessions($node, 't_mine@postgres', 2), 'two sessions of the quota of five are there');
my @more = map { open_session($node, 't_mine', application_name => "app $_",
		options => "-c pool_optimizer.label=label$_") } 1 .. 5;

is((scalar grep { $_->is_admitted } @more), 3,
	'whatever a client calls itself, the quota is that of its role and database');
close_all(grep { $_->is_admitted } @more);

# ---------- ending sessions ----------

is(attempt('t_mine', 'SELECT pg_terminate_backend(' . $acme[0]->pid . ')'), '42501',
	'another\'s session cannot be ended by core\'s function');
my $reaper = $session{r_reaper};
my ($other, $none) = map {
	$reaper->query("SELECT * FROM pool_terminate_leaked('$_', dry_run => false)");
	$reaper->error_text =~ s/\Q$_\E/NAME/gr } $acme, 'nobody@nowhere';

like($other, qr/42501/, 'who may end leaked sessions cannot name another tenant');
is($other, $none, 'and does not learn whether it exists');
$node->safe_psql('postgres', q{SELECT pool.pool_set_timeouts('acme_role@acme_db',
	idle => '1 ms', idle_in_transaction => '1 ms', mode => 'observe')});
wait_sync($node);
is(scalar @{ $reaper->query(q{SELECT * FROM pool_terminate_leaked('*', dry_run => false)}) }, 0,
	'a pattern reaches its own tenant only');
ok($_->is_alive, 'the other\'s sessions live on') foreach @acme;
finds_nothing($mine, 'at the end');

# ---------- several roles in one tenant ----------

# Of another role's session, also of its own tenant, a role sees only what the table above
# calls "own".
close_all($mine, @acme, values %session);
$node->append_conf('postgresql.conf', q{pool_optimizer.tenant = '%d'});
$node->safe_psql('postgres', q{DELETE FROM pool.pool_policies});
$node->restart;
wait_sync($node);
my $mate = open_session($node, 't_mate', application_name => 'mate_mark', host => '127.0.0.1');

$mate->query('SELECT 1/0');
$mate->query('BEGIN');
$node->safe_psql('postgres', q{SELECT pool.pool_set_quota('t_mate', 0, scope => 'role')});
wait_sync($node);
is(refused_sqlstate($node, 't_mate', application_name => 'mate_mark'), '53300',
	'a session of the same tenant is refused');
ok($node->poll_query_until('postgres', q{SELECT last_error IS NOT NULL FROM pool.pool_stats
	WHERE tenant = 'postgres'}), 'the tenant has an error to tell');

# A PgBouncer that is not there, which is an error to tell, too.
$node->safe_psql('postgres',
	q{ALTER SYSTEM SET pool_optimizer.pgbouncer_conninfo = 'host=127.0.0.1 port=1'});
$node->reload;
ok($node->poll_query_until('postgres',
		'SELECT count(*) = 1 FROM pool.pool_stats_pooler WHERE error IS NOT NULL'),
	'so has a pooler');

# view => [ rows that are the caller's own ]
my %is_mine = (
	pool_stats_session => 'pid = pg_backend_pid()',
	pool_recommendations_client => q{application = 'looking'},
	pool_events => 'pid = pg_backend_pid()');

foreach my $role (qw(t_mine r_stats))
{
	my $session = open_session($node, $role, application_name => 'looking');
	my $privileged = $role eq 'r_stats';

	# Their own session must be known before it can be compared.
	foreach my $view (sort keys %column)
	{
		my $others = exists $is_mine{$view} ? "($is_mine{$view}) IS NOT TRUE" : 'true';
		my @hidden = grep { $column{$view}{$_} =~ /^(stats|mine)$/ } sort keys %{ $column{$view} };
		my @shown = grep { $session->value("SELECT count($_) FROM $view WHERE $others") > 0 }
		  @hidden;

		if (!$privileged)
		{
			is(join(' ', @shown), '', "$role sees nothing of others in $view");
			next;
		}
		# That of others is there to be seen; these need not have a value here.
		my %may_be_null = map { $_ => 1 } qw(exempt xact_ms last_error last_error_at
			xact_rate query_rate avg_xact_ms avg_wait_ms cl_applications);

		is(join(' ', grep { !$may_be_null{$_} } @shown),
			join(' ', grep { !$may_be_null{$_} } @hidden), "$role sees it in $view");
	}
	my $text = join(' ', map { join(' ', map { $_ // '' } @$_) } map { @{ $session->query(
				"SELECT x::text FROM $_ x") } } sort keys %column);

	$privileged ? like($text, qr/mate_mark/, 'the name of an application is shown to it')
	  : unlike($text, qr/mate_mark|127\.0\.0/, 'no application or address of another role');
	close_all($session);
}

# A role with the rights of the other sees that one's sessions, as in pg_stat_activity.
$node->safe_psql('postgres', 'GRANT t_mate TO t_mine');
my $member = open_session($node, 't_mine');

is($member->value(q{SELECT application_name FROM pool_stats_session WHERE usename = 't_mate'}),
	'mate_mark', 'a member of the role sees its sessions');
close_all($member, $mate);

# ---------- default privileges, as some who harden a server set them ----------

foreach my $database (qw(as_usual as_hardened))
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, q{
		ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
		ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO "t_mine", pg_monitor;
		ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO t_mine, PUBLIC})
	  if $database eq 'as_hardened';
	$node->safe_psql($database, 'CREATE EXTENSION pool_optimizer');
}

# What everybody may do with everything of ours.
my $rights = q{
	WITH member AS (SELECT classid, objid FROM pg_depend JOIN pg_extension e ON e.oid = refobjid
		WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND extname = 'pool_optimizer'),
	acl AS (SELECT oid::regclass::text AS name, relowner AS owner, coalesce(relacl, acldefault('r', relowner)) AS acl
			FROM pg_class JOIN member ON objid = oid AND classid = 'pg_class'::regclass
		UNION ALL SELECT oid::regprocedure::text, proowner, coalesce(proacl, acldefault('f', proowner))
			FROM pg_proc JOIN member ON objid = oid AND classid = 'pg_proc'::regclass)
	SELECT concat_ws(' ', name, privilege_type, grantee, is_grantable) FROM acl, aclexplode(acl)
		WHERE grantee <> owner ORDER BY 1};

cmp_ok(scalar(my @usual = split /\n/, $node->safe_psql('as_usual', $rights)), '>', 40, 'there are rights');
is($node->safe_psql('as_hardened', $rights), join("\n", @usual), 'they are the same whatever the defaults are');
is(psql_as($node, 'r_stats', 'SELECT count(*) > 0 FROM pool_stats', dbname => 'as_hardened'), 't', 'views can be read');

# What an extension's script has granted pg_dump leaves to it.
my $dump = PostgreSQL::Test::Utils::tempdir() . '/hardened.sql';

$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('as_hardened') ], 'pg_dump');
unlike(PostgreSQL::Test::Utils::slurp_file($dump), qr/^(?:GRANT|REVOKE) .* pool_/m, 'which has none of these rights');

stop_clean($node);
done_testing();
