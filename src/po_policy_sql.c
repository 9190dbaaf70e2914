/*
 * po_policy_sql.c
 *		Changing policies by SQL: the setters, and the table's triggers.
 *
 * The setters are thin: one parameterised statement each.  What makes a policy
 * sound is checked by the triggers, so that plain DML is checked, too.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "model/po_names.h"
#include "po_change.h"
#include "po_guc.h"
#include "po_policy_row.h"
#include "po_registry.h"
#include "po_session.h"
#include "po_setter.h"

PG_FUNCTION_INFO_V1(pool_set_quota_1_0);
PG_FUNCTION_INFO_V1(pool_set_timeouts_1_0);
PG_FUNCTION_INFO_V1(pool_set_sizing_1_0);
PG_FUNCTION_INFO_V1(pool_drop_policy_1_0);
PG_FUNCTION_INFO_V1(pool_drain_1_0);
PG_FUNCTION_INFO_V1(pool_resume_1_0);
PG_FUNCTION_INFO_V1(pool_policies_check_1_0);
PG_FUNCTION_INFO_V1(pool_policies_changed_1_0);

static bool policies_changed = false;

/* All policies as this transaction's last statement left them, in its memory; NULL
 * when that is not known.  While they are being read, they are here already: an error, which
 * ends the subtransaction at least, must not leave them behind. */
static PoPolicy *final_policies = NULL;
static int	n_final_policies = 0;
static uint32 final_generation = 0; /* what was in force when they were read */

/* ---------- what happens at COMMIT ---------- */

static void
put_in_force(void)
{
	PoPublished published;

	/* Somebody else's change came between: only the table has both. */
	if (final_policies != NULL && final_generation == po_shared->registry.generation)
	{
		(void) po_registry_publish(final_policies, n_final_policies, 0, &published);
		po_policy_row_tell_published(&published);
	}
	else
		pg_atomic_fetch_add_u64(&po_shared->changes_requested, 1);
	po_shmem_wake_sampler();
}

/* The keeper reads the table as well, so what is missed here is only later. */
static void
put_in_force_whatever_happens(void)
{
	if (po_change_after_commit(put_in_force))
		return;
	pg_atomic_fetch_add_u64(&po_shared->changes_requested, 1);
	po_shmem_wake_sampler();
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	(void) arg;
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (policies_changed && event == XACT_EVENT_COMMIT && po_shared != NULL)
		put_in_force_whatever_happens();
	policies_changed = false;
	final_policies = NULL;
}

static void
forget_final_policies(void)
{
	if (final_policies != NULL)
		pfree(final_policies);
	final_policies = NULL;
}

/* What was rolled back to a savepoint may be in final_policies, which outlive it. */
static void
on_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
					  void *arg)
{
	(void) mine;
	(void) parent;
	(void) arg;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_final_policies();
}

/* Only sessions that change policies pay for the callbacks. */
static void
watch_transactions(void)
{
	static bool watching = false;

	if (watching)
		return;
	RegisterXactCallback(on_transaction_end, NULL);
	RegisterSubXactCallback(on_subtransaction_end, NULL);
	watching = true;
}

/* ---------- arguments ---------- */

static void
check_mode_argument(FunctionCallInfo fcinfo, int i)
{
	PoMode		mode;

	if (!PG_ARGISNULL(i) && !po_mode_parse(text_to_cstring(PG_GETARG_TEXT_PP(i)), &mode))
		po_setter_bad_argument("mode", "must be off, observe or enforce");
}

static PoScope
scope_argument(FunctionCallInfo fcinfo, int i)
{
	PoScope		scope = PO_SCOPE_TENANT;

	if (!PG_ARGISNULL(i) && !po_scope_parse(text_to_cstring(PG_GETARG_TEXT_PP(i)), &scope))
		po_setter_bad_argument("scope",
					 "must be tenant, database, role, address, application or cluster");
	return scope;
}

/* As the table has it: no control characters, addresses in their canonical form. */
static char *
canonical_name(PoScope scope, const char *name)
{
	PoCidr		cidr;
	char	   *canonical;

	if (strlen(name) >= PO_NAME_LEN)
		po_setter_bad_argument("tenant", "must be shorter than 256 bytes");
	canonical = palloc(PO_NAME_LEN);
	po_name_copy(canonical, name, PO_NAME_LEN);
	if (scope == PO_SCOPE_ADDRESS && po_cidr_parse(name, &cidr))
		po_cidr_print(&cidr, canonical, PO_NAME_LEN);
	return canonical;
}

static void
unknown_tenant(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("tenant \"%s\" does not exist", name),
			 errdetail("No session of it was seen, and it has no policy."),
			 errhint("The names are in pool_stats.")));
}

/* ---------- setters ---------- */

#define POLICIES	"policies"	/* in messages */

static const PoSetter quota_setter = {
	PO_POLICY_TABLE, 2, 8,
	{"scope", "tenant", "max_connections", "guaranteed", "weight", "on_full", "wait_timeout",
	"quota_mode"},
	{TEXTOID, TEXTOID, INT4OID, INT4OID, FLOAT8OID, TEXTOID, INTERVALOID, TEXTOID},
	{7, 0, 1, 2, 3, 4, 5, 6}
};

static const PoSetter timeouts_setter = {
	PO_POLICY_TABLE, 2, 8,
	{"scope", "tenant", "idle", "idle_in_transaction", "never_used", "lifetime",
	"leak_probability", "timeouts_mode"},
	{TEXTOID, TEXTOID, INTERVALOID, INTERVALOID, INTERVALOID, INTERVALOID, FLOAT8OID, TEXTOID},
	{-1, 0, 1, 2, 3, 4, 5, 6}
};

static const PoSetter sizing_setter = {
	PO_POLICY_TABLE, 2, 11,
	{"scope", "tenant", "min_size", "max_size", "target_wait", "scale_up_threshold",
		"scale_down_threshold", "scale_up_step", "scale_down_step", "evaluation_interval",
	"auto"},
	{TEXTOID, TEXTOID, INT4OID, INT4OID, INTERVALOID, FLOAT8OID, FLOAT8OID, INT4OID, INT4OID,
	INTERVALOID, BOOLOID},
	{-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
};

static Datum
run_setter(FunctionCallInfo fcinfo, const PoSetter *setter, PoScope scope)
{
	const char *keys[2];

	keys[0] = po_scope_name(scope);
	keys[1] = canonical_name(scope, po_setter_text(fcinfo, 0, "tenant"));
	return po_setter_run(fcinfo, setter, po_setter_begin(fcinfo, PO_POLICY_TABLE, POLICIES),
						 keys);
}

Datum
pool_set_quota_1_0(PG_FUNCTION_ARGS)
{
	PoScope		scope = scope_argument(fcinfo, 7);

	check_mode_argument(fcinfo, 6);
	return run_setter(fcinfo, &quota_setter, scope);
}

Datum
pool_set_timeouts_1_0(PG_FUNCTION_ARGS)
{
	check_mode_argument(fcinfo, 6);
	return run_setter(fcinfo, &timeouts_setter, PO_SCOPE_TENANT);
}

/* What keeps "auto" from doing anything at all. */
static void
tell_idle_auto(void)
{
	if (po_guc_pgbouncer_conninfo[0] == '\0')
		ereport(NOTICE,
				(errmsg("auto resizes no pool, as no PgBouncer is known"),
				 errhint("Set pool_optimizer.pgbouncer_conninfo.")));
	else if (po_guc_mode != PO_MODE_ENFORCE)
		ereport(NOTICE,
				(errmsg("auto resizes no pool, as pool_optimizer.mode is not enforce"),
				 errhint("In mode observe pool_events tells what would be done.")));
}

Datum
pool_set_sizing_1_0(PG_FUNCTION_ARGS)
{
	Datum		policy = run_setter(fcinfo, &sizing_setter, PO_SCOPE_TENANT);

	if (!PG_ARGISNULL(9) && PG_GETARG_BOOL(9))
		tell_idle_auto();
	return policy;
}

/* ---------- taking away ---------- */

#define NO_DRAIN	"drain_started_at = NULL, drain_grace = NULL"

/* One field; of a drain both: the start alone would have the default grace, which may be over. */
static const char *
clearing_assignment(const char *field)
{
	if (strcmp(field, "drain_started_at") == 0 || strcmp(field, "drain_grace") == 0)
		return NO_DRAIN;
	return psprintf("%s = NULL", quote_identifier(field));
}

Datum
pool_drop_policy_1_0(PG_FUNCTION_ARGS)
{
	PoScope		scope = scope_argument(fcinfo, 1);
	const char *name = canonical_name(scope, po_setter_text(fcinfo, 0, "tenant"));
	const char *keys[2] = {po_scope_name(scope), name};
	char	   *field = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	bool		if_exists = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	char	   *table;

	/* Columns that setters call by another name. */
	if (field != NULL && strcmp(field, "mode") == 0)
		po_setter_bad_argument("field", "is ambiguous: use quota_mode or timeouts_mode");
	if (field != NULL && !po_policy_row_is_field(field))
		po_setter_bad_argument("field",
								   psprintf("must be a column of pool_policies, not \"%s\"",
											field));
	table = po_setter_begin(fcinfo, PO_POLICY_TABLE, POLICIES);
	if (!po_setter_exists(fcinfo, &quota_setter, table, keys))
	{
		if (!if_exists)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("there is no policy of %s \"%s\"", po_scope_name(scope), name)));
		ereport(NOTICE,
				(errmsg("there is no policy of %s \"%s\", skipping", po_scope_name(scope),
						name)));
		PG_RETURN_NULL();
	}
	if (field == NULL)
		return po_setter_delete(fcinfo, &quota_setter, table, keys);
	return po_setter_clear(fcinfo, &quota_setter, table, clearing_assignment(field), keys);
}

/* ---------- draining ---------- */

static void
require_known(FunctionCallInfo fcinfo, const char *table, const char *const *keys)
{
	const char *name = keys[1];

	if (!po_pattern_is(name) && po_registry_find_tenant(name) < 0 &&
		!po_setter_exists(fcinfo, &quota_setter, table, keys))
		unknown_tenant(name);
}

/* What will hold for a tenant, or for all that match a pattern, at COMMIT, as far as that is
 * known. */
static void
resolve_tenant(const char *name, PoPolicyFields *fields)
{
	if (final_policies == NULL)
	{
		po_registry_resolve_tenant(name, fields);
		return;
	}
	po_policy_defaults(fields);
	/* They are sorted: the exact name, then the longest pattern first. */
	for (int i = 0; i < n_final_policies; i++)
	{
		if (final_policies[i].scope == PO_SCOPE_TENANT &&
			po_pattern_matches(final_policies[i].name, name))
			po_policy_inherit(fields, &final_policies[i].fields);
	}
}

Datum
pool_drain_1_0(PG_FUNCTION_ARGS)
{
	const char *name = canonical_name(PO_SCOPE_TENANT, po_setter_text(fcinfo, 0, "tenant"));
	const char *keys[2] = {po_scope_name(PO_SCOPE_TENANT), name};
	char	   *table;
	PoPolicyFields fields;
	Oid			types[3] = {TEXTOID, TIMESTAMPTZOID, INTERVALOID};
	Datum		values[3];

	if (PG_ARGISNULL(1))
		po_setter_bad_argument("grace", "must not be null");
	table = po_setter_begin(fcinfo, PO_POLICY_TABLE, POLICIES);
	require_known(fcinfo, table, keys);
	resolve_tenant(name, &fields);
	if (po_mode_lower((PoMode) po_guc_mode, fields.quota_mode) != PO_MODE_ENFORCE)
		ereport(WARNING,
				(errmsg("tenant \"%s\" is not in mode enforce: the drain is only counted and "
						"logged", name),
				 errhint("Set pool_optimizer.mode = enforce, and do not set the policy's "
						 "quota_mode to less.")));
	values[0] = CStringGetTextDatum(name);
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[2] = PG_GETARG_DATUM(1);
	return po_setter_returning(fcinfo,
							   psprintf("INSERT INTO %s AS p (scope, tenant, drain_started_at, "
										"drain_grace) VALUES ('tenant', $1, $2, $3) "
										"ON CONFLICT (scope, tenant) DO UPDATE SET "
										"drain_started_at = COALESCE(p.drain_started_at, "
										"excluded.drain_started_at), "
										"drain_grace = excluded.drain_grace RETURNING p",
										table), 3, types, values, NULL);
}

Datum
pool_resume_1_0(PG_FUNCTION_ARGS)
{
	const char *name = canonical_name(PO_SCOPE_TENANT, po_setter_text(fcinfo, 0, "tenant"));
	const char *keys[2] = {po_scope_name(PO_SCOPE_TENANT), name};
	char	   *table = po_setter_begin(fcinfo, PO_POLICY_TABLE, POLICIES);

	require_known(fcinfo, table, keys);
	if (!po_setter_exists(fcinfo, &quota_setter, table, keys))
		PG_RETURN_NULL();
	return po_setter_clear(fcinfo, &quota_setter, table, NO_DRAIN, keys);
}

/* ---------- triggers ---------- */

static void
report_bad_policy(const PoPolicy *policy, const PoPolicyError *error)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("policy of %s \"%s\": \"%s\" %s", po_scope_name(policy->scope),
					policy->name, error->field, error->problem)));
}

/* Sets one text column of the new row, if the table has it. */
static HeapTuple
with_text(HeapTuple row, TupleDesc desc, const char *column, const char *text)
{
	int			attribute = SPI_fnumber(desc, column);
	Datum		value = CStringGetTextDatum(text);
	bool		isnull = false;

	if (attribute <= 0)
		return row;
	return heap_modify_tuple_by_cols(row, desc, 1, &attribute, &value, &isnull);
}

/* BEFORE each row: is it sound by itself? */
Datum
pool_policies_check_1_0(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = po_setter_row_trigger(fcinfo);
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		deletes = TRIGGER_FIRED_BY_DELETE(trigger->tg_event);
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
		trigger->tg_newtuple : trigger->tg_trigtuple;
	PoPolicy	policy;
	PoPolicyError error;
	bool		sound = po_policy_row_read(row, desc, &policy, &error);

	/* Elsewhere it is not in force: it may go, and that is no change of what is. */
	if (deletes && !po_setter_is_database())
		return PointerGetDatum(row);
	/* Not where it was only created, as by pg_restore before the restart. */
	if (po_shared != NULL)
		po_setter_require_database(POLICIES);
	if (!deletes && !sound)
		report_bad_policy(&policy, &error);
	po_change_note(policy.scope == PO_SCOPE_TENANT ? policy.name : "",
				   psprintf("policy of %s \"%s\"", po_scope_name(policy.scope), policy.name),
				   deletes);
	if (!deletes)
		row = with_text(row, desc, "tenant", policy.name);
	return PointerGetDatum(row);
}

/* The policies together: do guarantees fit, with what patterns say? */
static void
check_together(PoPolicy *policies, int n)
{
	int64		total = 0;
	const PoPolicy **patterns = palloc(n * sizeof(PoPolicy *));
	int			n_patterns = 0;

	qsort(policies, n, sizeof(PoPolicy), po_policy_compare);
	for (int i = 0; i < n; i++)
	{
		if (policies[i].scope == PO_SCOPE_TENANT && po_pattern_is(policies[i].name))
			patterns[n_patterns++] = &policies[i];
	}
	for (int i = 0; i < n; i++)
	{
		PoPolicyFields fields;
		PoPolicyError error;

		CHECK_FOR_INTERRUPTS();
		if (policies[i].scope != PO_SCOPE_TENANT || po_pattern_is(policies[i].name))
			continue;
		po_policy_defaults(&fields);
		po_policy_inherit(&fields, &policies[i].fields);
		for (int k = 0; k < n_patterns; k++)
		{
			if (po_pattern_matches(patterns[k]->name, policies[i].name))
				po_policy_inherit(&fields, &patterns[k]->fields);
		}
		if (!po_policy_check_resolved(&fields, &error))
			report_bad_policy(&policies[i], &error);
		total += fields.guaranteed;
	}
	if (total > 0 && total + po_shared->max_waiting > po_shared->usable)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"guaranteed\" of all tenants together is more than the server has"),
				 errdetail("The guarantees sum to " INT64_FORMAT "; with %d places for "
						   "logins that wait (pool_optimizer.max_waiting) that exceeds the "
						   "%d connections usable by clients.", total,
						   po_shared->max_waiting, po_shared->usable),
				 errhint("Lower \"guaranteed\" of this or another tenant to a sum of at most "
						 "%d, or raise max_connections of the server.",
						 Max(po_shared->usable - po_shared->max_waiting, 0))));
}

/* AFTER each statement: checks across rows, and asks for a keeper at COMMIT. */
Datum
pool_policies_changed_1_0(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = po_setter_statement_trigger(fcinfo);
	int			n;
	int			n_bad;
	char		problem[PO_ERROR_LEN] = "";

	if (po_shared == NULL)
		return PointerGetDatum(NULL);
	/* Elsewhere rows are refused one by one, and may be taken away.  pg_restore's COPY of an
	 * empty table has none and must pass. */
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		po_setter_require_database(POLICIES);
	if (!po_setter_is_database())
		return PointerGetDatum(NULL);
	watch_transactions();
	policies_changed = true;
	forget_final_policies();
	final_policies = MemoryContextAllocHuge(TopTransactionContext,
											po_shared->n_policies * sizeof(PoPolicy));
	final_generation = po_shared->registry.generation;
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	n = po_policy_row_read_all(trigger->tg_relation, GetActiveSnapshot(), final_policies,
							   po_shared->n_policies, &n_bad, problem, sizeof(problem));
	PopActiveSnapshot();
	if (n_bad > 0 && n >= po_shared->n_policies)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many policies"),
				 errhint("Raise pool_optimizer.max_tenants (needs a restart), or use "
						 "patterns.")));
	check_together(final_policies, n);
	n_final_policies = n;
	return PointerGetDatum(NULL);
}
