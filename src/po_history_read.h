/*
 * po_history_read.h
 *		History at a resolution: rings, and beyond them the table, as one.
 */
#ifndef PO_HISTORY_READ_H
#define PO_HISTORY_READ_H

#include "po_history_cells.h"
#include "po_history_table.h"

/* Rings alone can be read outside of transactions, too. */
typedef enum PoHistorySource
{
	PO_HISTORY_FROM_ALL,
	PO_HISTORY_FROM_RINGS,
	PO_HISTORY_FROM_TABLE		/* one of them */
} PoHistorySource;

/* Times are microseconds since the history's epoch (model/po_history.h). */
typedef struct PoHistoryQuery
{
	int64		resolution;		/* us of a bucket, whole seconds */
	int64		since;			/* buckets that begin before are not wanted */
	int64		until;			/* nor those that begin then or later */
	const char *tenant;			/* NULL = all; PO_HISTORY_CLUSTER_NAME = the cluster */
	PoHistorySource source;
	PoHistoryTableKind table;	/* for PO_HISTORY_FROM_TABLE */
	bool		with_cluster;	/* after all tenants the cluster, too */
} PoHistoryQuery;

/*
 * Visits each bucket, in no order.  Its length is that of the resolution, more where
 * only wider buckets are left, and less where it is still open.
 */
extern void po_history_read(const PoHistoryQuery *query, PoHistoryVisitor visit, void *arg);

/* From when to when the minutes in shared memory tell. */
typedef struct PoHistoryExtent
{
	bool		running;
	int64		begin;
	int64		end;
} PoHistoryExtent;

extern void po_history_read_extent(PoHistoryExtent *extent);

/* The first of these minutes from a time on that something is known of; their end if none is. */
extern int64 po_history_read_next(int64 from);

#endif							/* PO_HISTORY_READ_H */
