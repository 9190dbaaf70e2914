/*
 * po_report_query.c
 *		Statements of a report, and their rows; see po_report_query.h.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "po_report_query.h"

#define FETCH_ROWS			5000

static Datum
next_column(PoReportRow *row, Oid type, bool *isnull)
{
	row->column++;
	/* Statement and code must be of one mind. */
	if (SPI_gettypeid(row->desc, row->column) != type)
		elog(ERROR, "column %d of a report is of type %u, not %u", row->column,
			 SPI_gettypeid(row->desc, row->column), type);
	return SPI_getbinval(row->tuple, row->desc, row->column, isnull);
}

int
po_report_int(PoReportRow *row, int otherwise)
{
	bool		isnull;
	Datum		value = next_column(row, INT4OID, &isnull);

	return isnull ? otherwise : DatumGetInt32(value);
}

double
po_report_double(PoReportRow *row)
{
	bool		isnull;
	Datum		value = next_column(row, FLOAT8OID, &isnull);

	return isnull ? NAN : DatumGetFloat8(value);
}

double
po_report_number(PoReportRow *row)
{
	double		value = po_report_double(row);

	return isnan(value) ? 0 : value;
}

bool
po_report_bool(PoReportRow *row)
{
	bool		isnull;
	Datum		value = next_column(row, BOOLOID, &isnull);

	return !isnull && DatumGetBool(value);
}

TimestampTz
po_report_time(PoReportRow *row)
{
	bool		isnull;
	Datum		value = next_column(row, TIMESTAMPTZOID, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

char *
po_report_text(PoReportRow *row)
{
	bool		isnull;
	Datum		value = next_column(row, TEXTOID, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* With our schema for each @. */
static char *
statement(const PoReport *report, const char *sql)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *c = sql; *c != '\0'; c++)
	{
		if (*c == '@')
			appendStringInfo(&out, "%s.", report->schema);
		else
			appendStringInfoChar(&out, *c);
	}
	return out.data;
}

void
po_report_query(PoReport *report, const char *sql, int n, Oid *types, Datum *values,
				PoReportTake take, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	PoReportRow row = {.report = report,.arg = arg};
	Portal		portal;

	portal = SPI_cursor_open_with_args(NULL, statement(report, sql), n, types, values, NULL,
									   true, 0);
	do
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		MemoryContextSwitchTo(context);
		row.desc = SPI_tuptable->tupdesc;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			row.tuple = SPI_tuptable->vals[i];
			row.column = 0;
			take(&row);
		}
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	} while (SPI_processed == FETCH_ROWS);
	SPI_cursor_close(portal);
}
