/*
 * po_setter.c
 *		What the functions that change our tables have in common.
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "po_guc.h"
#include "po_setter.h"
#include "po_shmem.h"

/* Is it a table of the extension that the function called is of?  One that is only called
 * so may be anybody's, and so may its triggers. */
static bool
is_of_same_extension(FunctionCallInfo fcinfo, Oid relid)
{
	return getExtensionOfObject(RelationRelationId, relid) ==
		getExtensionOfObject(ProcedureRelationId, fcinfo->flinfo->fn_oid);
}

/* ---------- arguments ---------- */

void
po_setter_bad_argument(const char *name, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" %s", name, problem)));
}

char *
po_setter_text(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		po_setter_bad_argument(name, "must not be null");
	return text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/* ---------- triggers ---------- */

static TriggerData *
require_trigger(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function must be called as a trigger")));
	return (TriggerData *) fcinfo->context;
}

static void
refuse_trigger(FunctionCallInfo fcinfo, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("function \"%s\" must be %s", get_func_name(fcinfo->flinfo->fn_oid),
					problem)));
}

TriggerData *
po_setter_row_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = require_trigger(fcinfo);

	if (!TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		refuse_trigger(fcinfo, "fired BEFORE ROW");
	return trigger;
}

TriggerData *
po_setter_statement_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = require_trigger(fcinfo);

	if (!TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		refuse_trigger(fcinfo, "fired AFTER STATEMENT");
	if (trigger->tg_relation->rd_rel->relkind != RELKIND_RELATION ||
		!is_of_same_extension(fcinfo, RelationGetRelid(trigger->tg_relation)))
		refuse_trigger(fcinfo, "a trigger of its extension's own table");
	return trigger;
}

/* ---------- the table ---------- */

bool
po_setter_is_database(void)
{
	char	   *here = get_database_name(MyDatabaseId);

	return here != NULL && strcmp(here, po_guc_database) == 0;
}

void
po_setter_require_database(const char *what)
{
	if (po_setter_is_database())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s can be changed in database \"%s\" only", what, po_guc_database),
			 errdetail("The setting pool_optimizer.database names the database whose "
					   "%s are in force; this is database \"%s\".", what,
					   get_database_name(MyDatabaseId)),
			 errhint("Connect to database \"%s\", or change pool_optimizer.database and "
					 "reload.", po_guc_database)));
}

/* The table beside the function that is called, and its quoted name. */
static Oid
find_table(FunctionCallInfo fcinfo, const char *table, char **quoted)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	Oid			relid = get_relname_relid(table, schema);

	if (!OidIsValid(relid) || !is_of_same_extension(fcinfo, relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" is missing", table)));
	*quoted = quote_qualified_identifier(get_namespace_name(schema), table);
	return relid;
}

char *
po_setter_begin(FunctionCallInfo fcinfo, const char *table, const char *what)
{
	char	   *quoted;
	Oid			relid;
	AclResult	acl;

	po_shmem_require();
	PreventCommandDuringRecovery(psprintf("a change of %s", what));
	po_setter_require_database(what);
	relid = find_table(fcinfo, table, &quoted);
	/* Before the lock, which would be a way to stop others. */
	acl = pg_class_aclcheck(relid, GetUserId(), ACL_UPDATE);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_TABLE, table);
	/* Two must not pass the same check of sums. */
	LockRelationOid(relid, ShareRowExclusiveLock);
	return quoted;
}

/* ---------- statements ---------- */

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

Datum
po_setter_returning(FunctionCallInfo fcinfo, const char *sql, int n, Oid *types,
					Datum *values, const char *nulls)
{
	Datum		result = (Datum) 0;
	bool		isnull = true;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	execute(sql, n, types, values, nulls);
	/* A row of the table's own type, dropped columns and all. */
	if (SPI_processed > 0 && SPI_tuptable != NULL)
		result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	fcinfo->isnull = isnull;
	if (!isnull)
		result = SPI_datumTransfer(result, false, -1);
	SPI_finish();
	return result;
}

Datum
po_setter_by_keys(FunctionCallInfo fcinfo, const char *sql, int n_keys,
				  const char *const *keys)
{
	Oid			types[PO_SETTER_MOST];
	Datum		values[PO_SETTER_MOST];

	for (int i = 0; i < n_keys; i++)
	{
		types[i] = TEXTOID;
		values[i] = CStringGetTextDatum(keys[i]);
	}
	return po_setter_returning(fcinfo, sql, n_keys, types, values, NULL);
}

char *
po_setter_where(const PoSetter *setter)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < setter->n_keys; i++)
		appendStringInfo(&sql, "%s%s OPERATOR(pg_catalog.=) $%d", i == 0 ? "" : " AND ",
						 setter->column[i], i + 1);
	return sql.data;
}

bool
po_setter_exists(FunctionCallInfo fcinfo, const PoSetter *setter, const char *quoted,
				 const char *const *keys)
{
	bool		found;

	(void) po_setter_by_keys(fcinfo, psprintf("SELECT p FROM %s AS p WHERE %s", quoted,
											  po_setter_where(setter)),
							 setter->n_keys, keys);
	found = !fcinfo->isnull;
	fcinfo->isnull = false;
	return found;
}

/* INSERT ... ON CONFLICT: what is NULL keeps what is set. */
static char *
upsert_statement(const PoSetter *setter, const char *quoted)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s AS p (", quoted);
	for (int i = 0; i < setter->n; i++)
		appendStringInfo(&sql, "%s%s", i == 0 ? "" : ", ", setter->column[i]);
	appendStringInfoString(&sql, ") VALUES (");
	for (int i = 0; i < setter->n; i++)
		appendStringInfo(&sql, "%s$%d", i == 0 ? "" : ", ", i + 1);
	appendStringInfoString(&sql, ") ON CONFLICT (");
	for (int i = 0; i < setter->n_keys; i++)
		appendStringInfo(&sql, "%s%s", i == 0 ? "" : ", ", setter->column[i]);
	appendStringInfoString(&sql, ") DO UPDATE SET ");
	for (int i = setter->n_keys; i < setter->n; i++)
		appendStringInfo(&sql, "%s%s = COALESCE(excluded.%s, p.%s)",
						 i == setter->n_keys ? "" : ", ", setter->column[i],
						 setter->column[i], setter->column[i]);
	appendStringInfoString(&sql, " RETURNING p");
	return sql.data;
}

Datum
po_setter_run(FunctionCallInfo fcinfo, const PoSetter *setter, const char *quoted,
			  const char *const *keys)
{
	Oid			types[PO_SETTER_MOST];
	Datum		values[PO_SETTER_MOST];
	char		nulls[PO_SETTER_MOST];

	for (int i = 0; i < setter->n; i++)
	{
		int			argument = setter->argument[i];

		types[i] = setter->type[i];
		nulls[i] = ' ';
		if (i < setter->n_keys)
			values[i] = CStringGetTextDatum(keys[i]);
		else if (PG_ARGISNULL(argument))
		{
			values[i] = (Datum) 0;
			nulls[i] = 'n';
		}
		else
			values[i] = PG_GETARG_DATUM(argument);
	}
	return po_setter_returning(fcinfo, upsert_statement(setter, quoted), setter->n, types,
							   values, nulls);
}

/* ---------- taking away ---------- */

/* Deletes the row when nothing is set in it any more; its columns are taken from
 * the table, so one added later counts. */
static void
delete_if_empty(FunctionCallInfo fcinfo, const PoSetter *setter, const char *quoted,
				const char *const *keys)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s AS p WHERE %s AND pg_catalog.jsonb_strip_nulls("
					 "pg_catalog.to_jsonb(p) OPERATOR(pg_catalog.-) '{changed_at,changed_by",
					 quoted, po_setter_where(setter));
	for (int i = 0; i < setter->n_keys; i++)
		appendStringInfo(&sql, ",%s", setter->column[i]);
	appendStringInfoString(&sql, "}'::pg_catalog.text[]) OPERATOR(pg_catalog.=) "
						   "'{}'::pg_catalog.jsonb");
	(void) po_setter_by_keys(fcinfo, sql.data, setter->n_keys, keys);
}

Datum
po_setter_clear(FunctionCallInfo fcinfo, const PoSetter *setter, const char *quoted,
				const char *assignments, const char *const *keys)
{
	Datum		row = po_setter_by_keys(fcinfo,
										psprintf("UPDATE %s AS p SET %s WHERE %s RETURNING p",
												 quoted, assignments, po_setter_where(setter)),
										setter->n_keys, keys);

	delete_if_empty(fcinfo, setter, quoted, keys);
	if (po_setter_exists(fcinfo, setter, quoted, keys))
		return row;
	fcinfo->isnull = true;
	return (Datum) 0;
}

Datum
po_setter_delete(FunctionCallInfo fcinfo, const PoSetter *setter, const char *quoted,
				 const char *const *keys)
{
	(void) po_setter_by_keys(fcinfo, psprintf("DELETE FROM %s WHERE %s", quoted,
											  po_setter_where(setter)),
							 setter->n_keys, keys);
	fcinfo->isnull = true;
	return (Datum) 0;
}
