/*
 * po_change.h
 *		What a transaction changes of policies and alert rules: told as events of kind policy
 *		when it commits, with the role that did it; and that the keeper then reads the tables.
 */
#ifndef PO_CHANGE_H
#define PO_CHANGE_H

#include "postgres.h"

/*
 * Something of a tenant ("" = of nobody in particular) was set or dropped, by this transaction or
 * the subtransaction it is in; what names it, as: policy of tenant "x".  Clipped to the length
 * of an event's reason.  The last that is said of the same thing is told.
 */
extern void po_change_note(const char *tenant, const char *what, bool dropped);

/* When this transaction has committed, the keeper reads the tables. */
extern void po_change_read_tables(void);

/*
 * In a callback of a commit: a step of ours, whatever happens in it.  The transaction is
 * committed, so an error (of memory, of somebody's hook for log lines) would be a PANIC; it is
 * caught and counted in worker_errors.  False when there was one.
 */
extern bool po_change_after_commit(void (*step) (void));

#endif							/* PO_CHANGE_H */
