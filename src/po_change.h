/*
 * po_change.h
 *		What a transaction changes of policies and alert rules: told as events of kind policy
 *		when it commits, with the role that did it.
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

#endif							/* PO_CHANGE_H */
