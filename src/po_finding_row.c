/*
 * po_finding_row.c
 *		Rows of the table pool_acknowledged.
 */
#include "postgres.h"

#include <math.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/float.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "po_compat.h"
#include "po_finding_row.h"
#include "po_finding_table.h"
#include "po_policy_row.h"

typedef struct Column
{
	const char *name;
	Oid			type;
} Column;

static const Column columns[] = {
	{"tenant", TEXTOID}, {"kind", TEXTOID}, {"queryid", INT8OID}, {"until", TIMESTAMPTZOID},
	{"connections_spent", FLOAT8OID}, {"severity", TEXTOID}
};

/* A column gone would look like acknowledgements gone. */
static void
check_columns(TupleDesc desc)
{
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (po_policy_row_attribute(desc, columns[i].name, columns[i].type) == 0)
			po_policy_row_fail_missing(columns[i].name, PO_ACKNOWLEDGED_TABLE);
	}
}

/* False if it is null. */
static bool
get(HeapTuple tuple, TupleDesc desc, const char *column, Oid type, Datum *value)
{
	bool		isnull;

	*value = heap_getattr(tuple, po_policy_row_attribute(desc, column, type), desc, &isnull);
	return !isnull;
}

static bool
read_row(HeapTuple tuple, TupleDesc desc, PoAcknowledged *row)
{
	char	   *tenant = po_policy_row_text(tuple, desc, "tenant");
	char	   *kind = po_policy_row_text(tuple, desc, "kind");
	char	   *severity = po_policy_row_text(tuple, desc, "severity");
	Datum		queryid;
	Datum		connections;
	Datum		until;

	/* Zeros between the fields, too: sets of rows are compared as bytes. */
	memset(row, 0, sizeof(*row));
	if (tenant == NULL || kind == NULL || severity == NULL ||
		!get(tuple, desc, "queryid", INT8OID, &queryid) ||
		!get(tuple, desc, "connections_spent", FLOAT8OID, &connections) ||
		!po_finding_parse(kind, &row->kind) ||
		!po_finding_severity_parse(severity, &row->severity))
		return false;
	row->tenant = po_finding_table_hash(tenant);
	row->queryid = (uint64) DatumGetInt64(queryid);
	row->connections = DatumGetFloat8(connections);
	/* The greatest of SQL's numbers, and so for the view. */
	if (isnan(row->connections))
		row->connections = get_float8_infinity();
	if (!get(tuple, desc, "until", TIMESTAMPTZOID, &until))
		return true;
	row->until = DatumGetTimestampTz(until);
	return row->until > GetCurrentTimestamp();
}

int
po_finding_row_read_all(Relation table, Snapshot snapshot, PoAcknowledged *rows, int max,
						int *n_bad)
{
	TupleDesc	desc = RelationGetDescr(table);
	TableScanDesc scan;
	HeapTuple	tuple;
	int			n = 0;

	check_columns(desc);
	scan = po_compat_beginscan(table, snapshot);
	*n_bad = 0;
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		PoAcknowledged row;

		CHECK_FOR_INTERRUPTS();
		if (!read_row(tuple, desc, &row))
			continue;
		if (n < max)
			rows[n++] = row;
		else
			(*n_bad)++;
	}
	table_endscan(scan);
	return n;
}
