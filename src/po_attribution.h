/*
 * po_attribution.h
 *		Which statement of this session its connection is spent on.
 */
#ifndef PO_ATTRIBUTION_H
#define PO_ATTRIBUTION_H

#include "po_shmem.h"

#include "nodes/plannodes.h"
#include "tcop/utility.h"

/* No other library asks for these; see po_evidence.h. */
#ifdef __GNUC__
#pragma GCC visibility push(hidden)
#endif

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

/* As the next one, for what is committed after a time that is known. */
extern void po_attribution_commit(int64 service_us, TimestampTz end, bool wrote);

/* The transaction has ended, and had an id if it wrote; service_us -1 = nobody knows how long it
 * took. */
extern void po_attribution_end_transaction(int64 service_us, TimestampTz end, bool aborted,
										   bool wrote);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif

#endif							/* PO_ATTRIBUTION_H */
