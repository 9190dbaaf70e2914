/*
 * po_attribution.h
 *		Which statement of this session its connection is spent on.
 */
#ifndef PO_ATTRIBUTION_H
#define PO_ATTRIBUTION_H

#include "po_shmem.h"

#include "nodes/plannodes.h"
#include "tcop/utility.h"

extern void po_attribution_install(void);

/* At login, with core's query ids if they are "auto"; and before the slot is given back. */
extern void po_attribution_start(int slot);
extern void po_attribution_stop(void);

/* A utility statement begins; if true, po_attribution_end_utility follows unless it
 * fails. */
extern bool po_attribution_begin_utility(const PlannedStmt *stmt, const char *source,
										 ProcessUtilityContext context);
extern void po_attribution_end_utility(const QueryCompletion *completion);

/* A subtransaction was aborted, maybe by a statement that never began. */
extern void po_attribution_note_failure(void);

/* The transaction has ended; service_us -1 = nobody knows how long it took. */
extern void po_attribution_end_transaction(int64 service_us, TimestampTz end, bool aborted);

#endif							/* PO_ATTRIBUTION_H */
