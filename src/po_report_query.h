/*
 * po_report_query.h
 *		Statements of a report, and their rows column by column.
 *
 * Statements name our objects as @name, which becomes schema.name; all else is found in
 * pg_catalog, as pool_report sets search_path.  A statement and the function that takes its
 * rows list the columns in one order.  Within SPI.
 */
#ifndef PO_REPORT_QUERY_H
#define PO_REPORT_QUERY_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"

#include "po_report_types.h"

/* A row of a result, and what it is taken for. */
typedef struct PoReportRow
{
	PoReport   *report;
	void	   *arg;
	HeapTuple	tuple;
	TupleDesc	desc;
	int			column;			/* the last that was taken */
} PoReportRow;

typedef void (*PoReportTake) (PoReportRow *row);

/* Has each row of a statement taken, whatever that allocates being the caller's. */
extern void po_report_query(PoReport *report, const char *sql, int n, Oid *types,
							Datum *values, PoReportTake take, void *arg);

/* The next column; NULL is what is said, or NaN, 0, false, 0 and NULL. */
extern int	po_report_int(PoReportRow *row, int otherwise);
extern double po_report_double(PoReportRow *row);
extern double po_report_number(PoReportRow *row);
extern bool po_report_bool(PoReportRow *row);
extern TimestampTz po_report_time(PoReportRow *row);
extern char *po_report_text(PoReportRow *row);

#endif							/* PO_REPORT_QUERY_H */
