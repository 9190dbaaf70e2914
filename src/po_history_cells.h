/*
 * po_history_cells.h
 *		Collects rows of history of any lengths into buckets of one.
 *
 * Rows that are longer than the resolution stay as they are.  The cluster's rows, which
 * are those of PO_HISTORY_CLUSTER_NAME, tell how long each bucket was watched: without
 * them there are no averages.
 */
#ifndef PO_HISTORY_CELLS_H
#define PO_HISTORY_CELLS_H

#include "postgres.h"

#include "model/po_history.h"

/* What the cluster's rows are called. */
#define PO_HISTORY_CLUSTER_NAME		""

/* A bucket of a tenant, as it is told. */
typedef struct PoHistoryBucket
{
	const char *tenant;
	int64		start;			/* us since the history's epoch */
	int64		length;			/* us */
	double		watched;		/* us of it that averages are over */
	PoHistoryValues values;
} PoHistoryBucket;

typedef void (*PoHistoryVisitor) (const PoHistoryBucket *bucket, void *arg);

typedef struct PoHistoryCells PoHistoryCells;

/* Lives in the present memory context.  resolution in us. */
extern PoHistoryCells *po_history_cells_create(int64 resolution);

/* The number of a tenant, for what follows; the cluster is 0. */
extern int	po_history_cells_subject(PoHistoryCells *cells, const char *tenant);

/* watched: us of it that the averages are over. */
extern void po_history_cells_add(PoHistoryCells *cells, int subject, int64 start, int64 length,
								 double watched, const PoHistoryValues *values);

/*
 * Visits the buckets that begin from since on and before until, of all tenants, or of the
 * cluster; in no order.
 */
extern void po_history_cells_visit(PoHistoryCells *cells, bool of_cluster, int64 since,
								   int64 until, PoHistoryVisitor visit, void *arg);

#endif							/* PO_HISTORY_CELLS_H */
