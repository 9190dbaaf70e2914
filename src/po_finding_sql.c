/*
 * po_finding_sql.c
 *		Findings by SQL: who sees what of them, and acknowledging them.
 *
 * What the reader may see is the same as in pool_stats_statement: findings of the own tenant, or
 * with pg_read_all_stats of all; which statement it is, and what its plan tells, only if the
 * role has run it itself.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "model/po_names.h"
#include "po_change.h"
#include "po_finding_row.h"
#include "po_finding_table.h"
#include "po_finding_words.h"
#include "po_registry.h"
#include "po_setter.h"
#include "po_statement.h"
#include "po_statement_text.h"
#include "po_view.h"

PG_FUNCTION_INFO_V1(pool_findings_1_0);
PG_FUNCTION_INFO_V1(pool_acknowledge_1_0);
PG_FUNCTION_INFO_V1(pool_unacknowledge_1_0);
PG_FUNCTION_INFO_V1(pool_acknowledged_changed_1_0);

#define ACKNOWLEDGEMENTS	"acknowledgements of findings"	/* in messages */
#define N_COLUMNS			9

/* ---------- pool_findings ---------- */

static const char *
text_of(HTAB *texts, const PoStatement *s, const char *own)
{
	const char *text = po_statement_text_find(texts, s->queryid, s->database, own);

	return text == NULL ? NULL : po_view_printable(text);
}

/* Another statement of the same tenant: its queryid, 0 if it is not for the reader. */
static uint64
find_other(HTAB *texts, int tenant, uint64 queryid, const char **statement)
{
	PoStatement s;
	char		text[PO_STATEMENT_TEXT_LEN];

	if (queryid == 0)
		return 0;
	if (!po_statement_find(tenant, queryid, &s, text))
		return po_view_sees_all() ? queryid : 0;
	if (!po_view_sees_statement(s.role))
		return 0;
	*statement = text_of(texts, &s, text);
	return queryid;
}

/* Names can be told of the database's own tables only. */
static void
find_table(PoFindingFacts *facts, const PoStatementPlan *plan, Oid database)
{
	char	   *name;
	char	   *schema;
	StringInfoData columns;

	if (!OidIsValid(plan->scan_table))
		return;
	if ((name = get_database_name(database)) != NULL)
		facts->database = po_view_printable(name);
	if (database != MyDatabaseId || (name = get_rel_name(plan->scan_table)) == NULL)
		return;
	schema = get_namespace_name(get_rel_namespace(plan->scan_table));
	facts->table = quote_qualified_identifier(schema, name);
	initStringInfo(&columns);
	for (int i = 0; i < PO_SCAN_COLUMNS && plan->scan_column[i] > 0; i++)
	{
		char	   *column = get_attname(plan->scan_table, plan->scan_column[i], true);

		if (column != NULL)
			appendStringInfo(&columns, "%s%s", columns.len > 0 ? ", " : "",
							 quote_identifier(column));
	}
	if (columns.len > 0)
		facts->columns = columns.data;
}

/* False if which statement it is is not for the reader. */
static bool
fill_of_statement(PoFindingFacts *facts, HTAB *texts)
{
	const PoFindingRecord *f = facts->f;
	PoStatement s;
	char		text[PO_STATEMENT_TEXT_LEN];

	/* One that made room for others: nobody knows whose it was. */
	if (!po_statement_find(f->tenant, f->queryid, &s, text))
		return po_view_sees_all();
	if (!po_view_sees_statement(s.role))
		return false;
	facts->statement = text_of(texts, &s, text);
	facts->p99_ms = po_brief_quantile(&s.durations, 0.99, (int64) s.max_us) / PO_US_PER_MS;
	facts->parent = find_other(texts, f->tenant, f->parent, &facts->parent_statement);
	/* The own tenant may have run the same, which says nothing of who runs it elsewhere. */
	if (!f->blocker_is_foreign || po_view_sees_all())
		facts->blocker = find_other(texts, f->tenant, f->blocker, &facts->blocker_statement);
	if (f->kind == PO_FINDING_SEQUENTIAL_SCAN)
		find_table(facts, &f->plan, s.database);
	return true;
}

static Datum
text_datum(const char *text)
{
	return CStringGetTextDatum(po_view_printable(text));
}

static void
put_finding(ReturnSetInfo *rsinfo, const PoFindingRecord *f, const char *tenant, HTAB *texts)
{
	PoFindingFacts facts;
	Datum		values[N_COLUMNS];
	bool		nulls[N_COLUMNS] = {false};
	bool		is_shown = true;

	/* The install script and this library must be of one mind. */
	if (rsinfo->setDesc->natts != N_COLUMNS)
		elog(ERROR, "row has %d columns, the function declares %d", N_COLUMNS,
			 rsinfo->setDesc->natts);
	memset(&facts, 0, sizeof(facts));
	facts.f = f;
	facts.tenant = po_view_printable(tenant);
	facts.shows_examples = po_view_sees_all();
	if (f->kind < PO_FIRST_TENANT_FINDING)
		is_shown = fill_of_statement(&facts, texts);
	values[0] = text_datum(tenant);
	values[1] = text_datum(po_finding_name(f->kind));
	values[2] = text_datum(po_finding_severity_name(f->severity));
	values[3] = TimestampTzGetDatum(f->since);
	values[4] = TimestampTzGetDatum(f->last_seen);
	values[5] = DirectFunctionCall1(jsonb_in,
									CStringGetDatum(po_finding_words_evidence(&facts)));
	values[6] = Float8GetDatum(f->connections);
	values[7] = CStringGetTextDatum(po_finding_words_advice(&facts));
	values[8] = Int64GetDatum((int64) f->queryid);
	nulls[8] = f->queryid == 0 || !is_shown;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
pool_findings_1_0(PG_FUNCTION_ARGS)
{
	HTAB	   *texts = NULL;
	bool		loaded = false;

	po_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < po_finding_table_n_places(); i++)
	{
		PoFindingRecord f;
		PoTenantGlance tenant;

		CHECK_FOR_INTERRUPTS();
		if (!po_finding_table_copy(i, &f) || !po_view_sees_tenant(f.tenant) ||
			!po_registry_glance(f.tenant, &tenant) || tenant.hash != f.subject)
			continue;
		if (!loaded)
			texts = po_statement_text_load(!po_view_sees_all());
		loaded = true;
		put_finding((ReturnSetInfo *) fcinfo->resultinfo, &f, tenant.name, texts);
	}
	return (Datum) 0;
}

/* ---------- pool_acknowledge, pool_unacknowledge ---------- */

typedef struct Key
{
	char	   *tenant;
	PoFindingKind kind;
	int64		queryid;		/* 0 = the tenant's */
} Key;

/* The first three arguments of both functions, checked. */
static void
read_key(FunctionCallInfo fcinfo, Key *key)
{
	char	   *kind;

	key->tenant = po_setter_text(fcinfo, 0, "tenant");
	kind = po_setter_text(fcinfo, 1, "kind");
	key->queryid = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
	if (!po_finding_parse(kind, &key->kind))
	{
		char		names[512];

		po_finding_names(names, sizeof(names));
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"kind\" is not known: \"%s\"", kind),
				 errhint("It must be one of %s.", names)));
	}
	if (key->kind < PO_FIRST_TENANT_FINDING && key->queryid == 0)
		po_setter_bad_argument("queryid", "must not be null for a finding about a statement");
	if (key->kind >= PO_FIRST_TENANT_FINDING && key->queryid != 0)
		po_setter_bad_argument("queryid", "must be null for a finding about a tenant");
}

static void
find_visible(const Key *key, PoFindingRecord *finding)
{
	int			tenant = po_registry_find_tenant(key->tenant);

	/* Whether a tenant that is hidden has one is not told. */
	if (tenant >= 0 && po_view_sees_tenant(tenant) &&
		po_finding_table_find(tenant, key->kind, (uint64) key->queryid, finding))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("there is no finding %s of tenant \"%s\"%s", po_finding_name(key->kind),
					key->tenant, key->queryid == 0 ? "" : " about this statement"),
			 errhint("They are in pool_findings.")));
}

#define N_KEYS	3
static Oid	key_types[N_KEYS] = {TEXTOID, TEXTOID, INT8OID};

static void
key_values(const Key *key, Datum values[N_KEYS])
{
	values[0] = CStringGetTextDatum(key->tenant);
	values[1] = CStringGetTextDatum(po_finding_name(key->kind));
	values[2] = Int64GetDatum(key->queryid);
}

#define N_VALUES	9

Datum
pool_acknowledge_1_0(PG_FUNCTION_ARGS)
{
	static const char statement[] =
		"INSERT INTO %s AS p (tenant, kind, queryid, reason, until, acknowledged_by, "
		"acknowledged_at, connections_spent, severity) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
		"ON CONFLICT (tenant, kind, queryid) DO UPDATE SET reason = excluded.reason, "
		"until = excluded.until, acknowledged_by = excluded.acknowledged_by, "
		"acknowledged_at = excluded.acknowledged_at, "
		"connections_spent = excluded.connections_spent, severity = excluded.severity "
		"RETURNING p";
	Oid			types[N_VALUES] = {[3] = TEXTOID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID,
	FLOAT8OID, TEXTOID};
	Datum		values[N_VALUES];
	char		nulls[N_VALUES + 1] = "         ";
	PoFindingRecord finding;
	Key			key;
	char	   *reason;
	char	   *table;

	read_key(fcinfo, &key);
	reason = po_setter_text(fcinfo, 3, "reason");
	if (reason[strspn(reason, " \t\n\r")] == '\0')
		po_setter_bad_argument("reason", "must not be empty");
	if (!PG_ARGISNULL(4) && PG_GETARG_TIMESTAMPTZ(4) <= GetCurrentTimestamp())
		po_setter_bad_argument("until", "must be in the future");
	table = po_setter_begin(fcinfo, PO_ACKNOWLEDGED_TABLE, ACKNOWLEDGEMENTS);
	find_visible(&key, &finding);
	memcpy(types, key_types, sizeof(key_types));
	key_values(&key, values);
	values[3] = CStringGetTextDatum(reason);
	values[4] = PG_ARGISNULL(4) ? (Datum) 0 : PG_GETARG_DATUM(4);
	nulls[4] = PG_ARGISNULL(4) ? 'n' : ' ';
	values[5] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	values[6] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[7] = Float8GetDatum(finding.connections);
	values[8] = CStringGetTextDatum(po_finding_severity_name(finding.severity));
	return po_setter_returning(fcinfo, psprintf(statement, table), N_VALUES, types, values,
							   nulls);
}

Datum
pool_unacknowledge_1_0(PG_FUNCTION_ARGS)
{
	bool		if_exists = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	Datum		values[N_KEYS];
	Datum		row;
	Key			key;
	char	   *table;

	read_key(fcinfo, &key);
	table = po_setter_begin(fcinfo, PO_ACKNOWLEDGED_TABLE, ACKNOWLEDGEMENTS);
	key_values(&key, values);
	row = po_setter_returning(fcinfo,
							  psprintf("DELETE FROM %s AS p WHERE tenant OPERATOR(pg_catalog.=) $1 "
									   "AND kind OPERATOR(pg_catalog.=) $2 "
									   "AND queryid OPERATOR(pg_catalog.=) $3 RETURNING p", table),
							  N_KEYS, key_types, values, NULL);
	if (fcinfo->isnull)
		ereport(if_exists ? NOTICE : ERROR,
				(errcode(if_exists ? ERRCODE_SUCCESSFUL_COMPLETION : ERRCODE_UNDEFINED_OBJECT),
				 errmsg("finding %s of tenant \"%s\" is not acknowledged%s",
						po_finding_name(key.kind), key.tenant, if_exists ? ", skipping" : "")));
	return row;
}

/* AFTER each statement: alerts are to know of it. */
Datum
pool_acknowledged_changed_1_0(PG_FUNCTION_ARGS)
{
	(void) po_setter_statement_trigger(fcinfo);
	if (po_shared != NULL && po_setter_is_database())
		po_change_read_tables();
	return PointerGetDatum(NULL);
}
