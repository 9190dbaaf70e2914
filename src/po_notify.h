/*
 * po_notify.h
 *		Tells listeners of alerts and events, with NOTIFY.
 */
#ifndef PO_NOTIFY_H
#define PO_NOTIFY_H

#include "postgres.h"

/*
 * In the sampler, in every round: is there something for a keeper to deliver?  While
 * nothing can be (on a standby, without a channel), what there is is dropped; once it can
 * be, the alerts that are raised then are told.
 */
extern bool po_notify_is_due(void);

/* Anywhere: is there something to deliver, now that it can be? */
extern bool po_notify_is_waiting(void);

/* How much has been delivered so far; moves when a keeper succeeds. */
extern uint64 po_notify_position(void);

/* In the keeper, within no transaction: delivers all there is.  Failures are errors. */
extern void po_notify_deliver(void);

#endif							/* PO_NOTIFY_H */
