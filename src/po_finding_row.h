/*
 * po_finding_row.h
 *		Rows of the table pool_acknowledged.
 */
#ifndef PO_FINDING_ROW_H
#define PO_FINDING_ROW_H

#include "postgres.h"

#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "po_shmem.h"

#define PO_ACKNOWLEDGED_TABLE	"pool_acknowledged"

/*
 * Reads all rows that a snapshot sees and whose date has not passed, as po_policy_row_read_all;
 * *n_bad are those that there was no room for.  A row that no finding can be meant by is left out
 * silently, as the view does.
 */
extern int	po_finding_row_read_all(Relation table, Snapshot snapshot, PoAcknowledged *rows,
									int max, int *n_bad);

#endif							/* PO_FINDING_ROW_H */
