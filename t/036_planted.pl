# Code that an unprivileged role has planted does not run with more rights.
#
# A role that may create objects in schema public (as every role could before 15) and in a
# schema of its own plants operators, functions, types, casts, tables with triggers, each
# of which writes TRAPPED into the server's log when it runs.  Then a superuser and a
# platform's role, with a search_path that finds the planted things first, call every
# function, read every view and change the policy table; the keeper reads it; and the
# extension is created anew where all this has been prepared.  Nothing of it may run.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(-name => 'planted', -extension => 0, log_statement => 'none');
my $super = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, qw(evil r_operator r_victim r_dbowner));
$node->safe_psql('postgres', q{
	GRANT CREATE ON SCHEMA public TO PUBLIC;
	CREATE EXTENSION pool_optimizer SCHEMA public;
	CREATE SCHEMA evil AUTHORIZATION evil;
	GRANT SELECT, INSERT, UPDATE, DELETE ON pool_policies TO r_operator;
	GRANT EXECUTE ON FUNCTION pool_set_quota, pool_set_timeouts, pool_set_sizing,
		pool_drop_policy, pool_drain, pool_resume, pool_sync, pool_terminate_leaked,
		pool_reset_stats TO r_operator;
	GRANT pg_read_all_stats TO r_operator;
	CREATE DATABASE other;
	ALTER DATABASE postgres OWNER TO r_dbowner});
$node->safe_psql('other', 'CREATE EXTENSION pool_optimizer');

my $checked = 0;		# offset in the log

# Did a trap go off since the last look?
sub trapped
{
	my $log = log_since($node, $checked);

	$checked += length $log;
	my %traps = map { $_ => 1 } $log =~ /(TRAPPED [^\n]*)/g;

	return join('; ', sort keys %traps);
}

# ---------- what there is to attack ----------

my $members = q{(SELECT classid, objid FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND refobjid =
		(SELECT oid FROM pg_extension WHERE extname = 'pool_optimizer')) AS m};

# What is not written in C has a search_path, and so has what runs with its owner's rights.
is($node->safe_psql('postgres', "SELECT string_agg(p.oid::regprocedure::text, ' ')
	FROM pg_proc p JOIN $members ON objid = p.oid AND classid = 'pg_proc'::regclass
	JOIN pg_language l ON l.oid = prolang
	WHERE (prosecdef OR (lanname <> 'c' AND prosqlbody IS NULL))
		AND NOT coalesce(proconfig::text ~ 'search_path', false)"), '',
	'no function looks for names in the caller\'s search_path, none runs as its owner');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_proc p JOIN $members
	ON objid = p.oid AND classid = 'pg_proc'::regclass WHERE proleakproof"), '0',
	'none is called leakproof');

# Views, functions in SQL, policies, triggers, constraints and defaults use functions and operators
# that belong to the extension, or to the server.
my $calls = qq{
	SELECT string_agg(DISTINCT pg_describe_object(d.refclassid, d.refobjid, 0), ', ')
	FROM pg_depend d
	WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
		AND d.refobjid >= 16384 AND (d.classid, d.objid) IN (
			SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite r JOIN $members ON objid = ev_class
			UNION ALL SELECT 'pg_policy'::regclass, r.oid FROM pg_policy r
				JOIN $members ON objid = polrelid
			UNION ALL SELECT 'pg_trigger'::regclass, r.oid FROM pg_trigger r
				JOIN $members ON objid = tgrelid
			UNION ALL SELECT 'pg_attrdef'::regclass, r.oid FROM pg_attrdef r
				JOIN $members ON objid = adrelid
			UNION ALL SELECT 'pg_constraint'::regclass, r.oid FROM pg_constraint r
				JOIN $members ON objid = conrelid
			UNION ALL SELECT classid, objid FROM $members)
		AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.refclassid
			AND e.objid = d.refobjid AND e.deptype = 'e')};

is($node->safe_psql('postgres', $calls), '', 'what is ours calls what is ours or the server\'s');

# ---------- the traps ----------

# An operator or function that reports.  %1: name, %2: arguments, %3: result
my $make_trap = q{
	CREATE OR REPLACE PROCEDURE pg_temp.trap(f text, arguments text, result text)
	LANGUAGE plpgsql AS $p$
	BEGIN
		EXECUTE pg_catalog.format('CREATE FUNCTION %s(%s) RETURNS %s LANGUAGE plpgsql AS $f$
			BEGIN RAISE LOG ''TRAPPED %s as %%'', current_user; RETURN %s; END $f$', f,
			arguments, result, replace(f || '(' || arguments || ')', '''', ''),
			CASE WHEN result = 'void' THEN '' WHEN result = 'trigger' THEN 'NEW' ELSE 'NULL' END);
	EXCEPTION WHEN duplicate_function OR invalid_function_definition
		OR feature_not_supported THEN NULL;	-- some other trap is there already
	END $p$;
};

# Operators for all types that we have to do with, in a schema; and core's functions.
my $operators = q{
	DO $d$
	DECLARE
		o record;
		s text;
	BEGIN
		FOREACH s IN ARRAY ARRAY['evil', 'public'] LOOP
			FOR o IN SELECT oid, oprname, oprleft, oprright, oprresult FROM pg_operator
				WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprkind = 'b'
				AND oprname IN ('=', '<>', '<', '<=', '>', '>=', '||', '-', '+', '*', '~', '->',
					'->>', '@>', '?', '<<', '>>', '&&')
				AND oprleft IN ('text'::regtype, 'int4'::regtype, 'int8'::regtype,
					'float8'::regtype, 'bool'::regtype, 'interval'::regtype,
					'timestamptz'::regtype, 'jsonb'::regtype, 'name'::regtype, 'oid'::regtype,
					'inet'::regtype, 'anyarray'::regtype)
			LOOP
				CALL pg_temp.trap(s || '.op_' || o.oid, o.oprleft::regtype || ', '
					|| o.oprright::regtype, o.oprresult::regtype::text);
				EXECUTE format('CREATE OPERATOR %s.%s (FUNCTION = %s.op_%s, LEFTARG = %s,
					RIGHTARG = %s)', s, o.oprname, s, o.oid, o.oprleft::regtype,
					o.oprright::regtype);
			END LOOP;
			-- For two types that core would have to cast: these match better.
			FOR o IN SELECT n, l, r, row_number() OVER () AS i FROM
				unnest(ARRAY['+', '-', '*', '/', '=', '<>', '<', '<=', '>', '>=']) AS n,
				unnest(ARRAY['numeric', 'int4', 'int8', 'float8']::regtype[]) AS l,
				unnest(ARRAY['numeric', 'int4', 'int8', 'float8']::regtype[]) AS r
				WHERE NOT EXISTS (SELECT FROM pg_operator WHERE oprname = n AND oprleft = l
					AND oprright = r AND oprnamespace = 'pg_catalog'::regnamespace)
			LOOP
				CALL pg_temp.trap(s || '.mixed_' || o.i, o.l || ', ' || o.r,
					CASE WHEN o.n IN ('+', '-', '*', '/') THEN 'float8' ELSE 'bool' END);
				EXECUTE format('CREATE OPERATOR %s.%s (FUNCTION = %s.mixed_%s, LEFTARG = %s,
					RIGHTARG = %s)', s, o.n, s, o.i, o.l, o.r);
			END LOOP;
		END LOOP;
		FOR o IN SELECT proname, pg_get_function_identity_arguments(oid) AS arguments,
				pg_get_function_result(oid) AS result FROM pg_proc
			WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND proname IN
				('to_jsonb', 'jsonb_strip_nulls', 'now', 'clock_timestamp', 'current_setting',
				'set_config', 'quote_ident', 'quote_literal', 'format', 'text', 'texteq',
				'int4', 'float8', 'interval', 'timestamptz', 'pg_extension_config_dump',
				'pg_backend_pid', 'has_table_privilege', 'concat')
		LOOP
			CALL pg_temp.trap('evil.' || o.proname, o.arguments, o.result);
			CALL pg_temp.trap('public.' || o.proname, o.arguments, o.result);
		END LOOP;
	END $d$;
};

# Functions called like ours.  same: of the same signature, in schema evil; in public,
# beside ours, fewer: with less arguments, for which none of ours has a default to fill in;
# types: with other types; default: with one argument more, which may be left out.
my %overload = map { split /\|/, $_, 2 } split /\n/, $node->safe_psql('postgres', qq{
	SELECT kind || '|' || string_agg(format('CALL pg_temp.trap(%L, %L, %L);', s || '.' || proname,
		a, 'void'), ' ')
	FROM pg_proc p JOIN $members ON objid = p.oid AND classid = 'pg_proc'::regclass,
	LATERAL (SELECT coalesce(array_to_string(array_agg(t::regtype::text ORDER BY i), ', '), '')
			AS types, array_agg(coalesce(proargnames[i], 'x' || i) || ' ' || t::regtype
			ORDER BY i) AS named FROM unnest(proargtypes) WITH ORDINALITY AS u(t, i)) AS x,
	LATERAL (
		SELECT 'same' AS kind, 'evil' AS s, coalesce(array_to_string(named, ', '), '') AS a
		UNION ALL SELECT 'fewer', 'public', array_to_string(named[1:n], ', ')
			FROM generate_series(0, pronargs - 1) AS n
		UNION ALL SELECT 'types', 'public', replace(types, 'text', other)
			FROM unnest(ARRAY['varchar', 'name', 'anyelement']) AS other WHERE types ~ 'text'
		UNION ALL SELECT 'types', 'public', concat_ws(', ', array_to_string(named, ', '),
			'VARIADIC extra text[]')
		UNION ALL SELECT 'default', 'public', concat_ws(', ', array_to_string(named, ', '),
			'extra int DEFAULT 0')) AS y
	GROUP BY kind});

# Types, casts and a table with traps in every place that runs code.
my $table = q{
	CALL pg_temp.trap('evil.fire', '', 'trigger');
	CALL pg_temp.trap('evil.yes', '', 'boolean');
	CALL pg_temp.trap('evil.yes', 'anyelement', 'boolean');
	CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.yes(VALUE));
	CREATE DOMAIN evil.jsonb AS pg_catalog.jsonb CHECK (evil.yes(VALUE));
	CREATE DOMAIN evil.float8 AS pg_catalog.float8 CHECK (evil.yes(VALUE));
	CREATE DOMAIN evil.timestamptz AS pg_catalog.timestamptz CHECK (evil.yes(VALUE));
	CREATE TYPE evil.t AS (a pg_catalog.text);
	CALL pg_temp.trap('evil.cast_t', 'evil.t', 'pg_catalog.text');
	CREATE CAST (evil.t AS pg_catalog.text) WITH FUNCTION evil.cast_t(evil.t) AS IMPLICIT;
};
my $policies = q{
	CREATE TABLE %1$s (scope pg_catalog.text DEFAULT 'tenant', tenant pg_catalog.text,
		max_connections int, guaranteed int, weight pg_catalog.float8,
		on_full pg_catalog.text, wait_timeout interval, quota_mode pg_catalog.text,
		idle interval, idle_in_transaction interval, never_used interval, lifetime interval,
		leak_probability pg_catalog.float8, timeouts_mode pg_catalog.text, min_size int,
		max_size int, target_wait interval, scale_up_threshold pg_catalog.float8,
		scale_down_threshold pg_catalog.float8, scale_up_step int, scale_down_step int,
		evaluation_interval interval, auto bool, drain_started_at pg_catalog.timestamptz,
		drain_grace interval, PRIMARY KEY (scope, tenant));
	GRANT ALL ON %1$s TO PUBLIC;
	INSERT INTO %1$s (tenant, max_connections) VALUES ('r_victim@postgres', 0);
	CREATE TRIGGER fire BEFORE INSERT OR UPDATE OR DELETE ON %1$s
		FOR EACH ROW EXECUTE FUNCTION evil.fire();
	CREATE TRIGGER fire2 AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %1$s
		FOR EACH STATEMENT EXECUTE FUNCTION evil.fire();
};

sub plant
{
	my ($dbname, @what) = @_;
	my ($rc, $out, $err) = psql_as($node, 'evil',
		join("\n", '\set ON_ERROR_STOP 1', $make_trap, @what), dbname => $dbname);

	is($rc, 0, "traps are set in database $dbname") or diag($err);
	return;
}

plant('postgres', $operators, $overload{same}, $overload{fewer}, $table,
	sprintf($policies, 'evil.pool_policies'));
trapped();

# What finds the planted things first, even before core's own.
my $path = 'SET search_path = evil, public, pg_catalog';

# A trap that never goes off would prove nothing.
my $sure = open_session($node, $super);

$sure->query($path);
$sure->query($_) foreach q{SELECT 1 = 1}, q{SELECT 1.5 * 2::float8},
  q{SELECT 'a'::pg_catalog.text || 'b'},
  'SELECT now()', q{SELECT 'x'::text}, 'SELECT pool_sync(NULL::interval)',
  q{UPDATE pool_policies SET min_size = 1}, 'SELECT public.pool_set_quota()';
my $traps = trapped();

like($traps, qr/TRAPPED [^;]*\Q$_\E[^;]* as $super/, "a trap works: $_")
  foreach 'evil.op_', 'evil.mixed_', 'evil.now', 'evil.yes', 'evil.pool_sync', 'evil.fire',
  'public.pool_set_quota()';

# ---------- what evil may not do at all ----------

my $evil = open_session($node, 'evil');

foreach my $sql (
	'CREATE TRIGGER x BEFORE INSERT ON public.pool_policies EXECUTE FUNCTION evil.fire()',
	'CREATE RULE x AS ON INSERT TO public.pool_policies DO ALSO SELECT evil.yes()',
	'CREATE RULE "_RETURN" AS ON SELECT TO public.pool_stats DO INSTEAD SELECT 1',
	'CREATE POLICY x ON public.pool_policies USING (evil.yes())',
	'ALTER TABLE public.pool_policies ALTER tenant SET DEFAULT evil.yes()::pg_catalog.text',
	'ALTER TABLE public.pool_policies ADD CHECK (evil.yes(tenant))',
	'CREATE INDEX ON public.pool_policies (evil.yes(tenant))',
	'CREATE TABLE evil.child () INHERITS (public.pool_policies)',
	'CREATE CAST (public.pool_policies AS pg_catalog.jsonb) WITH INOUT AS IMPLICIT',
	'CREATE CAST (pg_catalog.text AS pg_catalog.jsonb) WITH INOUT AS IMPLICIT',
	'CREATE EVENT TRIGGER x ON ddl_command_start EXECUTE FUNCTION evil.fire()',
	'CREATE OPERATOR CLASS evil.c DEFAULT FOR TYPE pg_catalog.text USING btree AS
		FUNCTION 1 pg_catalog.bttextcmp(pg_catalog.text, pg_catalog.text)',
	'CREATE FUNCTION pg_catalog.pool_stats() RETURNS int LANGUAGE sql AS $$SELECT 1$$',
	'CREATE OR REPLACE FUNCTION public.pool_sync(timeout interval) RETURNS bool
		LANGUAGE sql AS $$SELECT true$$',
	# Our own code with other arguments than it was written for.
	q{CREATE FUNCTION evil.mine(int) RETURNS int LANGUAGE c
		AS '$libdir/pool_optimizer', 'pool_set_quota_1_0'},
	q{CREATE FUNCTION evil.mine(int) RETURNS trigger LANGUAGE c
		AS '$libdir/pool_optimizer', 'pool_policies_check_1_0'},
	q{LOAD '$libdir/plugins/pool_optimizer'},
	'ALTER EXTENSION pool_optimizer ADD FUNCTION evil.yes()',
	'CREATE TRIGGER x BEFORE INSERT ON evil.pool_policies FOR EACH ROW
		EXECUTE FUNCTION public.pool_policies_check()')
{
	$evil->query($sql);
	# LOAD of a file that is not among the plugins: there is none.
	like($evil->sqlstate, $sql =~ /^LOAD/ ? qr/^(42501|58P01)$/ : qr/^42501$/,
		'refused: ' . $sql =~ s/\s+/ /gr);
}

# ---------- everything is called ----------

# Each function with all of its arguments: a planted one with fewer is not meant.
sub statements
{
	my ($s) = @_;

	return (
		"SELECT $s.pool_set_quota('r_x\@postgres', 5, 1, 1.5, 'wait', '1 s', 'enforce', 'tenant')",
		"SELECT $s.pool_set_quota('r_x\@postgres', 6, NULL, NULL, NULL, NULL, NULL, NULL)",
		"SELECT $s.pool_set_quota('10.0.0.0/8', 5, NULL, NULL, 'reject', NULL, NULL, 'address')",
		"SELECT $s.pool_set_timeouts('r_x\@postgres', '1 h', '1 h', '1 h', '1 d', 0.9, 'observe')",
		"SELECT $s.pool_set_sizing('r_x\@postgres', 1, 9, '1 ms', 0.8, 0.3, 1, 1, '1 min', true)",
		"SELECT $s.pool_drain('r_x\@postgres', '1 h')",
		"SELECT $s.pool_resume('r_x\@postgres')",
		"SELECT $s.pool_drop_policy('r_x\@postgres', 'tenant', 'max_size', false)",
		"SELECT $s.pool_drop_policy('10.0.0.0/8', 'address', 'on_full', false)",
		"SELECT $s.pool_drop_policy('10.0.0.0/8', 'address', 'max_connections', false)",
		"SELECT $s.pool_drop_policy('r_x\@postgres', 'tenant', NULL, false)",
		"SELECT $s.pool_drop_policy('r_x\@postgres', 'tenant', NULL, true)",
		"INSERT INTO $s.pool_policies (tenant, max_connections, idle) VALUES ('r_y*', 1, '1 h')",
		"INSERT INTO $s.pool_policies (tenant, idle) VALUES ('r_y*', '2 h')
			ON CONFLICT (scope, tenant) DO UPDATE SET idle = excluded.idle",
		"UPDATE $s.pool_policies SET weight = NULL, drain_started_at = NULL",
		"DELETE FROM $s.pool_policies",
		"SELECT $s.pool_sync('10 s')",
		"SELECT $s.pool_reset_stats('$super\@postgres')",
		"SELECT $s.pool_terminate_leaked('*', true)",
		"SELECT $s.pool_explain_admission(NULL, NULL, NULL, NULL, NULL)",
		"SELECT $s.pool_explain_admission('postgres', 'r_victim', 'x', '10.0.0.1', 'l')",
		"SELECT $s.pool_policy_visible('tenant', '*')",
		(map { ("SELECT * FROM $s.$_", "SELECT * FROM $s.$_()") } qw(pool_stats
			pool_stats_cluster pool_stats_session pool_recommendations pool_events)),
		"TABLE $s.pool_policies",
		"SELECT scope FROM $s.pool_policies FOR UPDATE");
}

sub call_all
{
	my ($schema, $what) = @_;

	foreach my $role ($super, 'r_operator')
	{
		my $session = open_session($node, $role);
		my @failed;

		# A session that was given a temporary table of that name, too.
		defined $session->query('CREATE TEMP TABLE pool_policies (tenant text)')
		  or push @failed, $session->error_text;
		$session->query('CREATE TRIGGER fire BEFORE INSERT OR UPDATE OR DELETE ON
			pg_temp.pool_policies FOR EACH ROW EXECUTE FUNCTION evil.fire()');
		$session->query($path);
		foreach my $sql (statements($schema))
		{
			defined $session->query($sql) or push @failed, "$sql: " . $session->error_text;
		}
		is(join("\n", @failed), '', "$role: all that can be called works, $what");
		close_all($session);
	}
	# Row-level security, with a plain role.
	my $session = open_session($node, 'r_victim');

	$session->query($path);
	ok(defined $session->query("SELECT tenant FROM $schema.pool_policies"),
		"a plain role reads the policies, $what") or diag($session->error_text);
	$session->query("SELECT * FROM $schema.$_") foreach qw(pool_stats pool_events);
	close_all($session);
	is(trapped(), '', "nothing that was planted has run, $what");
	return;
}

$node->safe_psql('postgres', 'GRANT USAGE ON SCHEMA evil TO PUBLIC');
close_all($sure);
call_all('public', 'in a schema where all may create');

# ---------- the extension moves; what it left is taken by another ----------

$node->safe_psql('postgres', q{
	CREATE SCHEMA pool;
	GRANT USAGE ON SCHEMA pool TO PUBLIC;
	ALTER EXTENSION pool_optimizer SET SCHEMA pool});
ok(defined $evil->query(sprintf $policies, 'public.pool_policies'),
	'a table of the same name is planted') or diag($evil->error_text);
trapped();
call_all('pool', 'in a schema of its own');
is($node->safe_psql('postgres', "SELECT pool.pool_sync('${PoolTest::TIMEOUT} s')"), 't',
	'the keeper reads policies');
is(refused($node, 'r_victim'), '', 'not those that were planted');

# The table taken away by an administrator, and one of the same name put in its place; a
# function moved to where another's table lies.
$node->safe_psql('postgres', q{
	CREATE SCHEMA safe;
	ALTER TABLE pool.pool_policies SET SCHEMA safe;
	GRANT CREATE ON SCHEMA pool TO PUBLIC});
ok(defined $evil->query(sprintf $policies, 'pool.pool_policies'),
	'a table is planted in its place') or diag($evil->error_text);
trapped();
my $admin = open_session($node, $super);

is($admin->query(q{SELECT pool.pool_set_quota('r_x', 5)}), undef,
	'a table that is not the extension\'s is not written to');
is(trapped(), '', 'and its triggers do not run');
ok(wait_until(sub {
			$admin->value(q{SELECT pool.pool_sync('10ms') IS NOT NULL AND last_error LIKE
				'keeper: table "pool_policies" is missing%' FROM pool.pool_stats_cluster}) eq 't';
		}), 'which the keeper tells');
is(refused($node, 'r_victim'), '', 'nor does the keeper take policies from it');
$admin->query($_) // fail($admin->error_text) foreach (
	'DROP TABLE pool.pool_policies', 'ALTER TABLE safe.pool_policies SET SCHEMA pool',
	'REVOKE CREATE ON SCHEMA pool FROM PUBLIC',
	# It has to make room.
	'DROP FUNCTION evil.pool_resume(pg_catalog.text)',
	'ALTER FUNCTION pool.pool_resume(pg_catalog.text) SET SCHEMA evil');
is($admin->query(q{SELECT evil.pool_resume('r_victim@postgres'::pg_catalog.text)}), undef,
	'a function that was moved does not write to the table it finds there');
is(trapped(), '', 'whose triggers do not run');
$admin->query('ALTER FUNCTION evil.pool_resume(pg_catalog.text) SET SCHEMA pool')
  // fail($admin->error_text);
close_all($admin);

# ---------- settings of the database ----------

# Its owner may set these; the keeper connects to it, too.
my $owner = open_session($node, 'r_dbowner');
my @settings = ('search_path = evil, public, pg_catalog', "role = 'r_dbowner'",
	'default_transaction_isolation = serializable', 'default_transaction_read_only = on',
	'default_transaction_deferrable = on', 'statement_timeout = 1', 'lock_timeout = 1',
	'idle_in_transaction_session_timeout = 1', 'row_security = off', 'work_mem = 64',
	$node->pg_version >= 17 ? 'transaction_timeout = 1' : ());

# A serializable transaction that has written keeps deferrable ones waiting.
$evil->query($_) // fail($evil->error_text) foreach ('CREATE TABLE evil.x (i int)',
	'BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE', 'INSERT INTO evil.x VALUES (1)');
foreach my $setting (@settings)
{
	ok(defined $owner->query("ALTER DATABASE postgres SET $setting"),
		"the database owner may set $setting") or diag($owner->error_text);
}
is($owner->query("ALTER DATABASE postgres SET session_preload_libraries = 'x'"), undef,
	'but no library to load');
is($owner->query('ALTER DATABASE postgres SET session_replication_role = replica'), undef,
	'nor that triggers do not fire');
is($owner->query('ALTER DATABASE postgres SET pool_optimizer.mode = off'), undef,
	'nor a setting of ours');
is($node->safe_psql('other', "SELECT pool_sync('${PoolTest::TIMEOUT} s')"), 't',
	'the keeper reads policies as ever');
is(trapped(), '', 'and runs nothing that was planted');
$evil->query('ROLLBACK');
$owner->query('ALTER DATABASE postgres RESET ALL');

# The owner of the database owns neither the extension nor its schema.
foreach my $sql ('DROP EXTENSION pool_optimizer CASCADE', 'DROP SCHEMA pool CASCADE',
	'ALTER SCHEMA pool RENAME TO x', 'DROP TABLE pool.pool_policies CASCADE',
	'ALTER EXTENSION pool_optimizer SET SCHEMA public', 'VACUUM FULL pool.pool_stats',
	'REASSIGN OWNED BY CURRENT_USER TO evil', q{ALTER TABLE pool.pool_policies OWNER TO r_dbowner})
{
	$owner->query($sql);
}
is($node->safe_psql('postgres', q{SELECT string_agg(nspname || ' ' || rolname, ', ')
	FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
	JOIN pg_class c ON relnamespace = n.oid AND relname = 'pool_policies'
	JOIN pg_roles r ON r.oid = relowner WHERE extname = 'pool_optimizer'}),
	"pool $super", 'a database owner cannot take away the extension from its own schema');
close_all($owner, $evil);

# ---------- CREATE EXTENSION where all is prepared ----------

$node->safe_psql('postgres', 'CREATE DATABASE attacked');
$node->safe_psql('attacked', q{
	GRANT CREATE ON SCHEMA public TO PUBLIC;
	CREATE SCHEMA evil AUTHORIZATION evil;
	GRANT USAGE ON SCHEMA evil TO PUBLIC});

# Something that is called exactly like an object of ours: refused, whole.
foreach my $case (
	[ 'CREATE TABLE public.pool_policies (tenant text)', 'DROP TABLE public.pool_policies' ],
	[ 'CREATE TABLE public.pool_events (tenant text)', 'DROP TABLE public.pool_events' ],
	[ 'CREATE VIEW public.pool_stats AS SELECT 1 AS x', 'DROP VIEW public.pool_stats' ],
	[ 'CREATE TYPE public.pool_policies AS ENUM ()', 'DROP TYPE public.pool_policies' ],
	[ q{CREATE FUNCTION public.pool_policy_visible(scope text, tenant text) RETURNS boolean
		LANGUAGE sql AS 'SELECT true'}, 'DROP FUNCTION public.pool_policy_visible(text, text)' ],
	[ q{CREATE FUNCTION public.pool_policies_check() RETURNS trigger
		LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'},
		'DROP FUNCTION public.pool_policies_check()' ])
{
	my ($create, $drop) = @$case;

	psql_as($node, 'evil', $create, dbname => 'attacked');
	my ($rc, $out, $err) = psql_as($node, $super,
		'CREATE EXTENSION pool_optimizer SCHEMA public', dbname => 'attacked');

	like($err, qr/already exists/, 'CREATE EXTENSION does not take over: ' . $drop);
	is($node->safe_psql('attacked', q{SELECT (SELECT count(*) FROM pg_extension
			WHERE extname = 'pool_optimizer') || ' ' || (SELECT count(*) FROM pg_proc
			WHERE proname ~ '^pool_' AND proowner <> 'evil'::regrole)}), '0 0',
		'and leaves nothing behind');
	is((psql_as($node, 'evil', $drop, dbname => 'attacked'))[0], 0, 'what was there is evil\'s');
}

# Everything that could be preferred to ours without being in the way.
plant('attacked', $operators, $overload{fewer}, $overload{types}, $table,
	sprintf($policies, 'evil.pool_policies'));
trapped();
my ($rc, $out, $err) = psql_as($node, $super,
	"$path; CREATE EXTENSION pool_optimizer SCHEMA public", dbname => 'attacked');

is($rc, 0, 'among things that only resemble ours the extension can be created')
  or diag($err);
is(trapped(), '', 'and nothing of them runs');
is($node->safe_psql('attacked', $calls), '', 'nor is any bound into a view, policy or trigger');
is($node->safe_psql('attacked', q{SELECT string_agg(attname || ' ' || atttypid::regtype, ', ')
	FROM pg_attribute WHERE attrelid = 'public.pool_policies'::regclass AND attnum > 0
	AND atttypid >= 16384}), '', 'the table has core\'s types');
is($node->safe_psql('attacked', q{SELECT count(*) FROM pg_proc p JOIN pg_depend d
	ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
	WHERE EXISTS (SELECT FROM unnest(proargtypes || ARRAY[prorettype]) AS t
		JOIN pg_type ON pg_type.oid = t WHERE typnamespace = 'evil'::regnamespace)}), '0',
	'and so have the functions');
my $there = open_session($node, $super, dbname => 'attacked');

$there->query($path);
$there->query("SELECT * FROM public.$_")
  // fail($there->error_text) foreach qw(pool_stats pool_stats_cluster pool_stats_session
	pool_recommendations pool_events pool_policies);
$there->query('SELECT public.pool_explain_admission(NULL, NULL, NULL, NULL, NULL)')
  // fail($there->error_text);
is(trapped(), '', 'nor later');
close_all($there);

# What makes our own calls ambiguous: an error, or ours; never the other one.
$node->safe_psql('attacked', 'DROP EXTENSION pool_optimizer');
plant('attacked', $overload{default});
trapped();
psql_as($node, $super, "$path; CREATE EXTENSION pool_optimizer SCHEMA public",
	dbname => 'attacked');
is($node->safe_psql('attacked', $calls), '', 'what is ambiguous is not bound either');
is($node->safe_psql('attacked', q{SELECT count(*) FROM pg_class
	WHERE relname ~ '^pool_' AND relnamespace = 'public'::regnamespace AND NOT EXISTS
		(SELECT FROM pg_extension WHERE extname = 'pool_optimizer')}), '0',
	'and no half of an extension is there');
is(trapped(), '', 'nor does it run');

stop_clean($node);
done_testing();
