/*
 * po_history_table.c
 *		The tables pool_history, pool_history_hour and pool_history_day: where they are, and
 *		what they hold.
 *
 * Plain roles have no right to them: who may see what is decided by the functions that
 * read them.  A bucket is complete when it has a row of the cluster, which is written last and
 * pruned last.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "po_history_table.h"

#define FETCHED_ROWS	1000
#define HOUR_US			(3600 * PO_US_PER_S)
#define DAY_US			(24 * HOUR_US)

/* What is left of a bucket that never became complete goes with the oldest if it is not
 * older than this: the lower bound keeps the index from leading to all that was deleted before. */
#define ORPHAN_US		(2 * DAY_US)

static const struct
{
	const char *name;
	int64		length;
} tables[PO_HISTORY_TABLES] = {
	[PO_HISTORY_TABLE] = {PO_HISTORY_TABLE_NAME, PO_HISTORY_TABLE_LENGTH},
	[PO_HISTORY_TABLE_HOUR] = {"pool_history_hour", HOUR_US},
	[PO_HISTORY_TABLE_DAY] = {"pool_history_day", DAY_US}
};

/* As they are read and written; the first two are the key. */
#define N_COLUMNS		(14 + PO_HISTORY_POINTS)
#define KEY_COLUMNS		2
static const PoHistoryColumn columns[N_COLUMNS] = {
	{"tenant", TEXTOID},
	{"bucket_start", TIMESTAMPTZOID},
	{"watched_ms", FLOAT4OID},
	{"sessions_avg", FLOAT4OID},
	{"sessions_max", INT4OID},
	{"busy_avg", FLOAT4OID},
	{"busy_max", INT4OID},
	{"waiting_max", INT4OID},
	{"max_connections", INT4OID},
	{"recommended_size", INT4OID},
	{"transactions", INT8OID},
	{"rejected", INT8OID},
	{"errors", INT8OID},
	{"terminated", INT8OID},
	{"xact_p50_ms", FLOAT4OID},
	{"xact_p90_ms", FLOAT4OID},
	{"xact_p95_ms", FLOAT4OID},
	{"xact_p99_ms", FLOAT4OID},
	{"xact_max_ms", FLOAT4OID}
};

/* ---------- where ---------- */

int64
po_history_table_length(PoHistoryTableKind kind)
{
	return tables[kind].length;
}

Oid
po_history_table_schema(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	Oid			schema = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("pool_optimizer"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return schema;
}

/* What keeps us from using a table, NULL = nothing. */
static const char *
find_problem(Relation rel, const PoHistoryColumn *column, int n_columns)
{
	TupleDesc	desc = RelationGetDescr(rel);

	if (rel->rd_rel->relkind != RELKIND_RELATION)
		return "is not a table";
	if (getExtensionOfObject(RelationRelationId, RelationGetRelid(rel)) !=
		get_extension_oid("pool_optimizer", true))
		return "is not of the extension";
	for (int i = 0; i < n_columns; i++)
	{
		AttrNumber	number = get_attnum(RelationGetRelid(rel), column[i].name);

		if (number <= 0)
			return psprintf("has no column \"%s\"", column[i].name);
		if (TupleDescAttr(desc, number - 1)->atttypid != column[i].type)
			return psprintf("has a column \"%s\" that is not of type %s", column[i].name,
							format_type_be(column[i].type));
	}
	return NULL;
}

static Oid
look_up(const char *name, Oid *schema)
{
	*schema = po_history_table_schema();
	return OidIsValid(*schema) ? get_relname_relid(name, *schema) : InvalidOid;
}

/*
 * Locked until the end of the transaction, so that it is this table that is named.  While we wait
 * for the lock, the extension may be dropped, created or moved: then we look again.
 */
static Relation
open_current(const char *name, Oid *schema)
{
	Oid			relid = look_up(name, schema);

	for (;;)
	{
		Relation	rel = OidIsValid(relid) ? try_relation_open(relid, AccessShareLock) : NULL;
		Oid			now = look_up(name, schema);

		if (now == relid)
			return rel;
		if (rel != NULL)
			relation_close(rel, AccessShareLock);
		relid = now;
		CHECK_FOR_INTERRUPTS();
	}
}

static Relation
find_table(const char *name, const PoHistoryColumn *column, int n_columns, int elevel)
{
	Oid			schema;
	Relation	rel = open_current(name, &schema);
	const char *problem = rel == NULL ? "is missing" : find_problem(rel, column, n_columns);

	if (!OidIsValid(schema) || problem == NULL)
		return rel;
	if (rel != NULL)
		relation_close(rel, NoLock);
	ereport(elevel,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" %s", name, problem),
			 errhint("CREATE EXTENSION pool_optimizer makes it as it has to be.")));
	return NULL;
}

static void
as_owner(const PoHistoryTable *table)
{
	SetUserIdAndSecContext(table->owner, table->sec_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
}

/* In between, for what must not have the owner's rights. */
static void
as_caller(const PoHistoryTable *table)
{
	SetUserIdAndSecContext(table->user, table->sec_context);
}

/* By logical replication?  Whatever state that is in. */
static bool
is_subscribed(Oid relid)
{
	CatCList   *subscriptions =
		SearchSysCacheList1(SUBSCRIPTIONRELMAP, ObjectIdGetDatum(relid));
	bool		any = subscriptions->n_members > 0;

	ReleaseCatCacheList(subscriptions);
	return any;
}

bool
po_history_table_open(PoHistoryTableKind kind, int elevel, PoHistoryTable *table)
{
	table->length = tables[kind].length;
	return po_history_table_open_named(tables[kind].name, columns, N_COLUMNS, elevel, table);
}

bool
po_history_table_open_named(const char *name, const PoHistoryColumn *column, int n_columns,
							int elevel, PoHistoryTable *table)
{
	Relation	rel = find_table(name, column, n_columns, elevel);

	if (rel == NULL)
		return false;
	table->name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
											 RelationGetRelationName(rel));
	GetUserIdAndSecContext(&table->user, &table->sec_context);
	table->owner = rel->rd_rel->relowner;
	table->is_subscribed = is_subscribed(RelationGetRelid(rel));
	as_owner(table);
	relation_close(rel, NoLock);
	table->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	/* The rings are of now: with a snapshot that is older, what has left them since would be
	 * nowhere. */
	PushActiveSnapshot(IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
	SPI_connect();
	return true;
}

void
po_history_table_close(PoHistoryTable *table)
{
	SPI_finish();
	PopActiveSnapshot();
	AtEOXact_GUC(false, table->guc_level);
	as_caller(table);
	pfree(table->name);
}

TimestampTz
po_history_table_time(int64 t)
{
	if (t < PG_INT64_MIN + PO_HISTORY_EPOCH)
		return DT_NOBEGIN;
	return t > PG_INT64_MAX - PO_HISTORY_EPOCH ? DT_NOEND : t + PO_HISTORY_EPOCH;
}

/* ---------- reading ---------- */

/* A time that a statement returned; false when there is none, or an infinite one. */
static bool
fetch_time(PoHistoryTable *table, const char *query, int64 bound, int64 *t)
{
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		values[] = {TimestampTzGetDatum(po_history_table_time(bound))};
	Datum		found;
	bool		is_null;

	if (SPI_execute_with_args(query, 1, types, values, NULL, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read %s", table->name);
	found = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
	if (is_null || TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(found)))
		return false;
	*t = DatumGetTimestampTz(found) - PO_HISTORY_EPOCH;
	return true;
}

int64
po_history_table_end(PoHistoryTable *table, int64 before)
{
	int64		last;

	if (!fetch_time(table, psprintf("SELECT max(bucket_start) FROM %s WHERE tenant = '' AND "
									"bucket_start < $1", table->name), before, &last))
		return PO_HISTORY_NEVER;
	return last + table->length;
}

int64
po_history_table_begin(PoHistoryTable *table, int64 from)
{
	int64		first;

	if (!fetch_time(table, psprintf("SELECT min(bucket_start) FROM %s WHERE tenant = '' AND "
									"bucket_start >= $1", table->name), from, &first))
		return PO_HISTORY_NEVER;
	return first;
}

/* False for a row with a null or without a true time, which somebody else must have put
 * there. */
static bool
unpack_tuple(HeapTuple tuple, TupleDesc desc, PoHistoryBucket *bucket)
{
	PoHistoryValues *v = &bucket->values;
	Datum		value[N_COLUMNS];
	bool		null[N_COLUMNS];

	heap_deform_tuple(tuple, desc, value, null);
	for (int i = 0; i < N_COLUMNS; i++)
	{
		if (null[i])
			return false;
	}
	if (TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value[1])))
		return false;
	bucket->tenant = text_to_cstring(DatumGetTextPP(value[0]));
	bucket->start = DatumGetTimestampTz(value[1]) - PO_HISTORY_EPOCH;
	bucket->watched = DatumGetFloat4(value[2]) * (double) PO_US_PER_MS;
	v->sessions_avg = DatumGetFloat4(value[3]);
	v->sessions_max = DatumGetInt32(value[4]);
	v->busy_avg = DatumGetFloat4(value[5]);
	v->busy_max = DatumGetInt32(value[6]);
	v->waiting_max = DatumGetInt32(value[7]);
	v->max_connections = DatumGetInt32(value[8]);
	v->recommended = DatumGetInt32(value[9]);
	v->transactions = DatumGetInt64(value[10]);
	v->rejected = DatumGetInt64(value[11]);
	v->errors = DatumGetInt64(value[12]);
	v->terminated = DatumGetInt64(value[13]);
	for (int i = 0; i < PO_HISTORY_POINTS; i++)
		v->service[i] = po_history_pack_us(DatumGetFloat4(value[14 + i]) * PO_US_PER_MS);
	return true;
}

/* Names of the columns from first on, each after a prefix. */
static void
append_columns(StringInfo query, int first, const char *prefix)
{
	for (int i = first; i < N_COLUMNS; i++)
		appendStringInfo(query, "%s%s%s", i > first ? ", " : "", prefix, columns[i].name);
}

void
po_history_table_visit(const PoHistoryTable *table, Portal portal, PoTupleVisitor visit, void *arg)
{
	MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext,
												 "pool_optimizer rows of history",
												 ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		MemoryContext before;

		SPI_cursor_fetch(portal, true, FETCHED_ROWS);
		if (SPI_processed == 0)
			break;
		before = MemoryContextSwitchTo(memory);
		as_caller(table);
		for (uint64 i = 0; i < SPI_processed; i++)
			visit(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, arg);
		as_owner(table);
		MemoryContextSwitchTo(before);
		MemoryContextReset(memory);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(memory);
}

/* Who is told of buckets, and how long these are. */
typedef struct BucketVisit
{
	PoHistoryVisitor visit;
	void	   *arg;
	int64		length;
} BucketVisit;

static void
visit_bucket(HeapTuple tuple, TupleDesc desc, void *arg)
{
	const BucketVisit *v = arg;
	PoHistoryBucket bucket = {.length = v->length};

	if (unpack_tuple(tuple, desc, &bucket))
		v->visit(&bucket, v->arg);
}

void
po_history_table_read(PoHistoryTable *table, const char *tenant, int64 since, int64 until,
					  PoHistoryVisitor visit, void *arg)
{
	Oid			types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTARRAYOID};
	Datum		values[3];
	Datum		names[2];
	Portal		portal;
	StringInfoData query;
	BucketVisit bucket = {visit, arg, table->length};

	initStringInfo(&query);
	appendStringInfoString(&query, "SELECT ");
	append_columns(&query, 0, "");
	appendStringInfo(&query, " FROM %s WHERE bucket_start >= $1 AND bucket_start < $2%s",
					 table->name, tenant == NULL ? "" : " AND tenant = ANY ($3)");
	values[0] = TimestampTzGetDatum(po_history_table_time(since));
	values[1] = TimestampTzGetDatum(po_history_table_time(until));
	if (tenant != NULL)
	{
		names[0] = CStringGetTextDatum(PO_HISTORY_CLUSTER_NAME);
		names[1] = CStringGetTextDatum(tenant);
		values[2] = PointerGetDatum(construct_array(names, 2, TEXTOID, -1, false,
													TYPALIGN_INT));
	}
	portal = SPI_cursor_open_with_args(NULL, query.data, tenant == NULL ? 2 : 3, types, values,
									   NULL, true, 0);
	po_history_table_visit(table, portal, visit_bucket, &bucket);
}

/* ---------- writing ---------- */

static SPIPlanPtr
plan_insert(const PoHistoryTable *table)
{
	StringInfoData query;
	Oid			types[N_COLUMNS];
	SPIPlanPtr	plan;

	initStringInfo(&query);
	appendStringInfo(&query, "INSERT INTO %s (", table->name);
	append_columns(&query, 0, "");
	appendStringInfoString(&query, ") VALUES (");
	for (int i = 0; i < N_COLUMNS; i++)
	{
		types[i] = columns[i].type;
		appendStringInfo(&query, "%s$%d", i > 0 ? ", " : "", i + 1);
	}
	appendStringInfoString(&query, ") ON CONFLICT (tenant, bucket_start) DO UPDATE SET (");
	append_columns(&query, KEY_COLUMNS, "");
	appendStringInfoString(&query, ") = ROW (");
	append_columns(&query, KEY_COLUMNS, "excluded.");
	appendStringInfoString(&query, ")");
	plan = SPI_prepare(query.data, N_COLUMNS, types);
	if (plan == NULL)
		elog(ERROR, "could not write %s: %s", table->name, SPI_result_code_string(SPI_result));
	return plan;
}

void
po_history_table_write(PoHistoryTable *table, const PoHistoryBucket *row, int n)
{
	SPIPlanPtr	plan = plan_insert(table);

	for (int r = 0; r < n; r++)
	{
		const PoHistoryValues *v = &row[r].values;
		Datum		value[N_COLUMNS];

		value[0] = CStringGetTextDatum(row[r].tenant);
		value[1] = TimestampTzGetDatum(po_history_table_time(row[r].start));
		/* Minutes that were lived twice count twice. */
		value[2] = Float4GetDatum((float4) (Min(row[r].watched, (double) table->length) /
											PO_US_PER_MS));
		value[3] = Float4GetDatum((float4) v->sessions_avg);
		value[4] = Int32GetDatum(v->sessions_max);
		value[5] = Float4GetDatum((float4) v->busy_avg);
		value[6] = Int32GetDatum(v->busy_max);
		value[7] = Int32GetDatum(v->waiting_max);
		value[8] = Int32GetDatum(v->max_connections);
		value[9] = Int32GetDatum(v->recommended);
		value[10] = Int64GetDatum(v->transactions);
		value[11] = Int64GetDatum(v->rejected);
		value[12] = Int64GetDatum(v->errors);
		value[13] = Int64GetDatum(v->terminated);
		for (int i = 0; i < PO_HISTORY_POINTS; i++)
			value[14 + i] =
				Float4GetDatum((float4) (po_history_unpack_us(v->service[i]) / PO_US_PER_MS));
		if (SPI_execute_plan(plan, value, NULL, false, 0) < 0)
			elog(ERROR, "could not write %s", table->name);
	}
}

/* ---------- pruning ---------- */

/* Of the tenants (or the cluster) in a bucket and a while before it. */
static int
delete_rows(PoHistoryTable *table, int64 bucket, bool of_cluster, int most)
{
	Oid			types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID};
	Datum		values[] = {
		TimestampTzGetDatum(po_history_table_time(bucket - ORPHAN_US)),
		TimestampTzGetDatum(po_history_table_time(bucket)),
		Int32GetDatum(most)
	};

	if (SPI_execute_with_args(psprintf("DELETE FROM %s WHERE ctid = ANY (ARRAY (SELECT ctid "
									   "FROM %s WHERE bucket_start >= $1 AND bucket_start <= $2 "
									   "AND tenant %s '' LIMIT $3))", table->name, table->name,
									   of_cluster ? "=" : "<>"),
							  lengthof(types), types, values, NULL, false, 0) < 0)
		elog(ERROR, "could not prune %s", table->name);
	return (int) SPI_processed;
}

int
po_history_table_prune(PoHistoryTable *table, int64 before, int most)
{
	int64		oldest = po_history_table_begin(table, PG_INT64_MIN);
	int			n;

	if (oldest == PO_HISTORY_NEVER || oldest + table->length > before)
		return 0;
	n = delete_rows(table, oldest, false, most);
	if (n < most)
		n += delete_rows(table, oldest, true, most);
	return n;
}
