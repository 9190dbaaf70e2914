/*
 * po_policy_sql.c
 *		Changing policies by SQL: the setters, and the table's triggers.
 *
 * The setters are thin: one parameterised statement each.  What makes a policy
 * sound is checked by the triggers, so that plain DML is checked, too.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "model/po_names.h"
#include "po_events.h"
#include "po_guc.h"
#include "po_inject.h"
#include "po_policy_row.h"
#include "po_policy_sql.h"
#include "po_registry.h"
#include "po_session.h"

PG_FUNCTION_INFO_V1(pool_set_quota_1_0);
PG_FUNCTION_INFO_V1(pool_set_timeouts_1_0);
PG_FUNCTION_INFO_V1(pool_set_sizing_1_0);
PG_FUNCTION_INFO_V1(pool_drop_policy_1_0);
PG_FUNCTION_INFO_V1(pool_drain_1_0);
PG_FUNCTION_INFO_V1(pool_resume_1_0);
PG_FUNCTION_INFO_V1(pool_policies_check_1_0);
PG_FUNCTION_INFO_V1(pool_policies_changed_1_0);

#define MAX_NOTES	32

/* Rows changed by this transaction, told as events when it commits. */
typedef struct PolicyNote
{
	PoScope		scope;
	char		name[PO_NAME_LEN];
	bool		dropped;
} PolicyNote;

static bool policies_changed = false;
static PolicyNote notes[MAX_NOTES];
static int	n_notes = 0;

/* All policies as this transaction's last statement left them, in its memory; NULL
 * when that is not known. */
static PoPolicy *final_policies = NULL;
static int	n_final_policies = 0;
static uint32 final_generation = 0; /* what was in force when they were read */

/* ---------- what happens at COMMIT ---------- */

static void
tell_notes(void)
{
	char		role[NAMEDATALEN] = "";
	char		reason[PO_REASON_LEN];
	const PoSlot *slot = po_session_my_slot() < 0 ? NULL : &po_slots[po_session_my_slot()];

	if (slot != NULL)
		strlcpy(role, slot->role, sizeof(role));
	for (int i = 0; i < n_notes; i++)
	{
		snprintf(reason, sizeof(reason), "policy of %s \"%s\" %s by role \"%s\"",
				 po_scope_name(notes[i].scope), notes[i].name,
				 notes[i].dropped ? "dropped" : "set", role);
		po_events_add(PO_EVENT_POLICY,
					  notes[i].scope == PO_SCOPE_TENANT ? notes[i].name : "", MyProcPid,
					  reason, "");
	}
}

static void
put_in_force(void)
{
	PoPublished published;

	po_inject("commit");
	tell_notes();
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

/*
 * The transaction is committed: an error now (of memory, of somebody's hook for log
 * lines) would be a PANIC.  The keeper reads the table as well, so what is missed here
 * is only later.
 */
static void
put_in_force_whatever_happens(void)
{
	MemoryContext before = CurrentMemoryContext;

	PG_TRY();
	{
		put_in_force();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(before);
		FlushErrorState();
		pg_atomic_fetch_add_u64(&po_shared->worker_errors, 1);
		pg_atomic_fetch_add_u64(&po_shared->changes_requested, 1);
		po_shmem_wake_sampler();
	}
	PG_END_TRY();
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
	n_notes = 0;
}

/* What was rolled back to a savepoint may be in final_policies. */
static void
on_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
					  void *arg)
{
	(void) mine;
	(void) parent;
	(void) arg;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		final_policies = NULL;
}

void
po_policy_sql_install(void)
{
	RegisterXactCallback(on_transaction_end, NULL);
	RegisterSubXactCallback(on_subtransaction_end, NULL);
}

static void
note_change(PoScope scope, const char *name, bool dropped)
{
	for (int i = 0; i < n_notes; i++)
	{
		if (notes[i].scope == scope && strcmp(notes[i].name, name) == 0)
		{
			notes[i].dropped = dropped;
			return;
		}
	}
	if (n_notes >= MAX_NOTES)
		return;
	notes[n_notes].scope = scope;
	notes[n_notes].dropped = dropped;
	po_name_copy(notes[n_notes++].name, name, PO_NAME_LEN);
}

/* ---------- arguments ---------- */

void
po_policy_sql_bad_argument(const char *name, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" %s", name, problem)));
}

static char *
text_argument(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		po_policy_sql_bad_argument(name, "must not be null");
	return text_to_cstring(PG_GETARG_TEXT_PP(i));
}

static void
check_mode_argument(FunctionCallInfo fcinfo, int i)
{
	PoMode		mode;

	if (!PG_ARGISNULL(i) && !po_mode_parse(text_to_cstring(PG_GETARG_TEXT_PP(i)), &mode))
		po_policy_sql_bad_argument("mode", "must be off, observe or enforce");
}

static PoScope
scope_argument(FunctionCallInfo fcinfo, int i)
{
	PoScope		scope = PO_SCOPE_TENANT;

	if (!PG_ARGISNULL(i) && !po_scope_parse(text_to_cstring(PG_GETARG_TEXT_PP(i)), &scope))
		po_policy_sql_bad_argument("scope",
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
		po_policy_sql_bad_argument("tenant", "must be shorter than 256 bytes");
	canonical = palloc(PO_NAME_LEN);
	po_name_copy(canonical, name, PO_NAME_LEN);
	if (scope == PO_SCOPE_ADDRESS && po_cidr_parse(name, &cidr))
		po_cidr_print(&cidr, canonical, PO_NAME_LEN);
	return canonical;
}

/* ---------- the table ---------- */

static bool
is_policy_database(void)
{
	char	   *here = get_database_name(MyDatabaseId);

	return here != NULL && strcmp(here, po_guc_database) == 0;
}

static void
require_policy_database(void)
{
	if (is_policy_database())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("policies can be changed in database \"%s\" only", po_guc_database),
			 errdetail("The setting pool_optimizer.database names the database whose "
					   "policies are in force; this is database \"%s\".",
					   get_database_name(MyDatabaseId)),
			 errhint("Connect to database \"%s\", or change pool_optimizer.database and "
					 "reload.", po_guc_database)));
}

/* The table beside the function that is called, and its quoted name. */
static Oid
policy_table(FunctionCallInfo fcinfo, char **quoted)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	Oid			relid = get_relname_relid(PO_POLICY_TABLE, schema);

	/* One that is only called so may be anybody's, and so may its triggers. */
	if (!OidIsValid(relid) ||
		getExtensionOfObject(RelationRelationId, relid) !=
		getExtensionOfObject(ProcedureRelationId, fcinfo->flinfo->fn_oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" is missing", PO_POLICY_TABLE)));
	*quoted = quote_qualified_identifier(get_namespace_name(schema), PO_POLICY_TABLE);
	return relid;
}

/* Everything a setter must know before it changes a row; returns the table's name. */
static char *
begin_change(FunctionCallInfo fcinfo)
{
	char	   *quoted;
	Oid			relid;
	AclResult	acl;

	po_shmem_require();
	PreventCommandDuringRecovery("a change of policies");
	require_policy_database();
	relid = policy_table(fcinfo, &quoted);
	/* Before the lock, which would be a way to stop others. */
	acl = pg_class_aclcheck(relid, GetUserId(), ACL_UPDATE);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_TABLE, PO_POLICY_TABLE);
	/* Two must not pass the same check of sums. */
	LockRelationOid(relid, ShareRowExclusiveLock);
	return quoted;
}

/*
 * Runs one statement within SPI.  What it fails with is passed on without SPI's
 * context, which shows our own statement and helps nobody.
 */
static void
execute(const char *sql, int n, Oid *types, Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	int			rc;

	PG_TRY();
	{
		rc = SPI_execute_with_args(sql, n, types, values, nulls, false, 0);
		if (rc < 0)
			elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		error->context = NULL;
		ReThrowError(error);
	}
	PG_END_TRY();
}

static void
connect_spi(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/* Runs one statement that returns a policy; the row, or NULL without one. */
static Datum
run_returning_row(FunctionCallInfo fcinfo, const char *sql, int n, Oid *types, Datum *values,
				  const char *nulls)
{
	Datum		result = (Datum) 0;
	bool		isnull = true;

	connect_spi();
	execute(sql, n, types, values, nulls);
	/* A row of the table's own type, dropped columns and all. */
	if (SPI_processed > 0 && SPI_tuptable != NULL)
		result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		fcinfo->isnull = true;
	else
		result = SPI_datumTransfer(result, false, -1);
	SPI_finish();
	return result;
}

/* Is this row there? */
static bool
policy_exists(const char *table, PoScope scope, const char *name)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];
	bool		found;
	char	   *sql = psprintf("SELECT 1 FROM %s WHERE scope OPERATOR(pg_catalog.=) $1 "
							   "AND tenant OPERATOR(pg_catalog.=) $2", table);

	values[0] = CStringGetTextDatum(po_scope_name(scope));
	values[1] = CStringGetTextDatum(name);
	connect_spi();
	execute(sql, 2, types, values, NULL);
	found = SPI_processed > 0;
	SPI_finish();
	return found;
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

/* A setter's parameters: columns in the order of the function's arguments. */
typedef struct Setter
{
	int			n;
	const char *column[12];
	Oid			type[12];
	int			argument[12];	/* its number */
} Setter;

static const Setter quota_setter = {
	8,
	{"scope", "tenant", "max_connections", "guaranteed", "weight", "on_full", "wait_timeout",
	"quota_mode"},
	{TEXTOID, TEXTOID, INT4OID, INT4OID, FLOAT8OID, TEXTOID, INTERVALOID, TEXTOID},
	{7, 0, 1, 2, 3, 4, 5, 6}
};

static const Setter timeouts_setter = {
	8,
	{"scope", "tenant", "idle", "idle_in_transaction", "never_used", "lifetime",
	"leak_probability", "timeouts_mode"},
	{TEXTOID, TEXTOID, INTERVALOID, INTERVALOID, INTERVALOID, INTERVALOID, FLOAT8OID, TEXTOID},
	{-1, 0, 1, 2, 3, 4, 5, 6}
};

static const Setter sizing_setter = {
	11,
	{"scope", "tenant", "min_size", "max_size", "target_wait", "scale_up_threshold",
		"scale_down_threshold", "scale_up_step", "scale_down_step", "evaluation_interval",
	"auto"},
	{TEXTOID, TEXTOID, INT4OID, INT4OID, INTERVALOID, FLOAT8OID, FLOAT8OID, INT4OID, INT4OID,
	INTERVALOID, BOOLOID},
	{-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
};

/* INSERT ... ON CONFLICT: what is NULL keeps what is set. */
static char *
upsert_statement(const char *table, const Setter *setter)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s AS p (", table);
	for (int i = 0; i < setter->n; i++)
		appendStringInfo(&sql, "%s%s", i == 0 ? "" : ", ", setter->column[i]);
	appendStringInfoString(&sql, ") VALUES (");
	for (int i = 0; i < setter->n; i++)
		appendStringInfo(&sql, "%s$%d", i == 0 ? "" : ", ", i + 1);
	appendStringInfoString(&sql, ") ON CONFLICT (scope, tenant) DO UPDATE SET ");
	for (int i = 2; i < setter->n; i++)
		appendStringInfo(&sql, "%s%s = COALESCE(excluded.%s, p.%s)", i == 2 ? "" : ", ",
						 setter->column[i], setter->column[i], setter->column[i]);
	appendStringInfoString(&sql, " RETURNING p");
	return sql.data;
}

static Datum
run_setter(FunctionCallInfo fcinfo, const Setter *setter, PoScope scope)
{
	char	   *name;
	char	   *table;
	Oid			types[12];
	Datum		values[12];
	char		nulls[12];

	name = canonical_name(scope, text_argument(fcinfo, 0, "tenant"));
	table = begin_change(fcinfo);
	for (int i = 0; i < setter->n; i++)
	{
		int			argument = setter->argument[i];

		types[i] = setter->type[i];
		nulls[i] = ' ';
		if (i == 0)
			values[i] = CStringGetTextDatum(po_scope_name(scope));
		else if (i == 1)
			values[i] = CStringGetTextDatum(name);
		else if (PG_ARGISNULL(argument))
		{
			values[i] = (Datum) 0;
			nulls[i] = 'n';
		}
		else
			values[i] = PG_GETARG_DATUM(argument);
	}
	return run_returning_row(fcinfo, upsert_statement(table, setter), setter->n, types,
							 values, nulls);
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

Datum
pool_set_sizing_1_0(PG_FUNCTION_ARGS)
{
	return run_setter(fcinfo, &sizing_setter, PO_SCOPE_TENANT);
}

/* ---------- taking away ---------- */

/* Deletes the row when nothing is set in it any more; its columns are taken from
 * the table, so one added later counts. */
static void
delete_if_empty(const char *table, PoScope scope, const char *name)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];
	char	   *sql = psprintf("DELETE FROM %s AS p WHERE scope OPERATOR(pg_catalog.=) $1 AND "
							   "tenant OPERATOR(pg_catalog.=) $2 AND pg_catalog.jsonb_strip_nulls("
							   "pg_catalog.to_jsonb(p) OPERATOR(pg_catalog.-) "
							   "'{scope,tenant,changed_at,changed_by}'::pg_catalog.text[]) "
							   "OPERATOR(pg_catalog.=) '{}'::pg_catalog.jsonb", table);

	values[0] = CStringGetTextDatum(po_scope_name(scope));
	values[1] = CStringGetTextDatum(name);
	connect_spi();
	execute(sql, 2, types, values, NULL);
	SPI_finish();
}

/* Sets columns of one row to NULL; the row as it is then, NULL when nothing is left. */
static Datum
clear_columns(FunctionCallInfo fcinfo, const char *table, const char *assignments,
			  PoScope scope, const char *name)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];
	Datum		row;
	char	   *sql = psprintf("UPDATE %s AS p SET %s WHERE scope OPERATOR(pg_catalog.=) $1 AND "
							   "tenant OPERATOR(pg_catalog.=) $2 RETURNING p", table,
							   assignments);

	values[0] = CStringGetTextDatum(po_scope_name(scope));
	values[1] = CStringGetTextDatum(name);
	row = run_returning_row(fcinfo, sql, 2, types, values, NULL);
	delete_if_empty(table, scope, name);
	if (!policy_exists(table, scope, name))
	{
		fcinfo->isnull = true;
		return (Datum) 0;
	}
	return row;
}

static Datum
delete_policy(FunctionCallInfo fcinfo, const char *table, PoScope scope, const char *name)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];

	values[0] = CStringGetTextDatum(po_scope_name(scope));
	values[1] = CStringGetTextDatum(name);
	(void) run_returning_row(fcinfo,
							 psprintf("DELETE FROM %s WHERE scope OPERATOR(pg_catalog.=) $1 AND "
									  "tenant OPERATOR(pg_catalog.=) $2", table),
							 2, types, values, NULL);
	fcinfo->isnull = true;
	return (Datum) 0;
}

Datum
pool_drop_policy_1_0(PG_FUNCTION_ARGS)
{
	PoScope		scope = scope_argument(fcinfo, 1);
	char	   *name = canonical_name(scope, text_argument(fcinfo, 0, "tenant"));
	char	   *field = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	bool		if_exists = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	char	   *table;

	/* Columns that setters call by another name. */
	if (field != NULL && strcmp(field, "mode") == 0)
		po_policy_sql_bad_argument("field", "is ambiguous: use quota_mode or timeouts_mode");
	if (field != NULL && !po_policy_row_is_field(field))
		po_policy_sql_bad_argument("field",
								   psprintf("must be a column of pool_policies, not \"%s\"",
											field));
	table = begin_change(fcinfo);
	if (!policy_exists(table, scope, name))
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
		return delete_policy(fcinfo, table, scope, name);
	return clear_columns(fcinfo, table,
						 psprintf("%s = NULL", quote_identifier(field)), scope, name);
}

/* ---------- draining ---------- */

static void
require_known(const char *table, const char *name)
{
	if (!po_pattern_is(name) && po_registry_find_tenant(name) < 0 &&
		!policy_exists(table, PO_SCOPE_TENANT, name))
		unknown_tenant(name);
}

Datum
pool_drain_1_0(PG_FUNCTION_ARGS)
{
	char	   *name = canonical_name(PO_SCOPE_TENANT, text_argument(fcinfo, 0, "tenant"));
	char	   *table;
	PoPolicyFields fields;
	Oid			types[3] = {TEXTOID, TIMESTAMPTZOID, INTERVALOID};
	Datum		values[3];

	if (PG_ARGISNULL(1))
		po_policy_sql_bad_argument("grace", "must not be null");
	table = begin_change(fcinfo);
	require_known(table, name);
	po_registry_resolve_tenant(name, &fields);
	if (po_mode_lower((PoMode) po_guc_mode, fields.quota_mode) != PO_MODE_ENFORCE)
		ereport(WARNING,
				(errmsg("tenant \"%s\" is not in mode enforce: the drain is only counted and "
						"logged", name),
				 errhint("Set pool_optimizer.mode = enforce, and do not set the policy's "
						 "quota_mode to less.")));
	values[0] = CStringGetTextDatum(name);
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[2] = PG_GETARG_DATUM(1);
	return run_returning_row(fcinfo,
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
	char	   *name = canonical_name(PO_SCOPE_TENANT, text_argument(fcinfo, 0, "tenant"));
	char	   *table = begin_change(fcinfo);

	require_known(table, name);
	if (!policy_exists(table, PO_SCOPE_TENANT, name))
		PG_RETURN_NULL();
	return clear_columns(fcinfo, table, "drain_started_at = NULL, drain_grace = NULL",
						 PO_SCOPE_TENANT, name);
}

/* ---------- triggers ---------- */

static TriggerData *
trigger_data(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function must be called as a trigger")));
	return (TriggerData *) fcinfo->context;
}

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
	TriggerData *trigger = trigger_data(fcinfo);
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		deletes = TRIGGER_FIRED_BY_DELETE(trigger->tg_event);
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
		trigger->tg_newtuple : trigger->tg_trigtuple;
	PoPolicy	policy;
	PoPolicyError error;
	bool		sound = po_policy_row_read(row, desc, &policy, &error);

	/* Not where it was only created, as by pg_restore before the restart. */
	if (po_shared != NULL)
		require_policy_database();
	if (!deletes && !sound)
		report_bad_policy(&policy, &error);
	note_change(policy.scope, policy.name, deletes);
	if (!deletes)
		row = with_text(row, desc, "tenant", policy.name);
	return PointerGetDatum(row);
}

/* The policies together: do guarantees fit, with what patterns say? */
static void
check_together(PoPolicy *policies, int n)
{
	int64		total = 0;

	qsort(policies, n, sizeof(PoPolicy), po_policy_compare);
	for (int i = 0; i < n; i++)
	{
		PoPolicyFields fields;
		PoPolicyError error;

		if (policies[i].scope != PO_SCOPE_TENANT || po_pattern_is(policies[i].name))
			continue;
		po_policy_defaults(&fields);
		po_policy_inherit(&fields, &policies[i].fields);
		for (int k = 0; k < n; k++)
		{
			if (policies[k].scope == PO_SCOPE_TENANT && po_pattern_is(policies[k].name) &&
				po_pattern_matches(policies[k].name, policies[i].name))
				po_policy_inherit(&fields, &policies[k].fields);
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
	TriggerData *trigger = trigger_data(fcinfo);
	PoPolicy   *policies;
	int			n;
	int			n_bad;
	char		problem[PO_ERROR_LEN] = "";

	if (po_shared == NULL)
		return PointerGetDatum(NULL);
	/* Elsewhere rows are refused one by one.  pg_restore's COPY of an empty table has
	 * none and must pass. */
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		require_policy_database();
	else if (!is_policy_database())
		return PointerGetDatum(NULL);
	policies_changed = true;
	if (final_policies != NULL)
		pfree(final_policies);
	final_policies = NULL;
	policies = MemoryContextAllocHuge(TopTransactionContext,
									  po_shared->n_policies * sizeof(PoPolicy));
	final_generation = po_shared->registry.generation;
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	n = po_policy_row_read_all(trigger->tg_relation, GetActiveSnapshot(), policies,
							   po_shared->n_policies, &n_bad, problem, sizeof(problem));
	PopActiveSnapshot();
	if (n_bad > 0 && n >= po_shared->n_policies)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many policies"),
				 errhint("Raise pool_optimizer.max_tenants (needs a restart), or use "
						 "patterns.")));
	check_together(policies, n);
	final_policies = policies;
	n_final_policies = n;
	return PointerGetDatum(NULL);
}
