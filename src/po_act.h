/*
 * po_act.h
 *		Ending a session so that only the right one ends.
 *
 * Whoever wants a session ended writes an order into its slot, naming pid,
 * backend_start and the state_change it was judged by, and sends SIGUSR2 (which
 * core ignores in client backends).  The session's own handler compares that with
 * its present state: only if nothing has moved does it accept and send itself
 * SIGTERM, and the event and log line are written by it on its way out.  So no
 * moment remains between the last check and the deed in which it could have become
 * busy, and nothing is reported that did not happen.
 */
#ifndef PO_ACT_H
#define PO_ACT_H

#include "po_shmem.h"

/* Whom, as what it was judged by, and what it is told. */
typedef struct PoTarget
{
	int			slot;
	int			pid;
	TimestampTz backend_start;
	TimestampTz state_change;	/* 0 = whatever it is doing */
	bool		in_client_read;
	const char *reason;
	const char *detail;			/* a JSON object */
} PoTarget;

/* In a session: installs the handler, once its slot is filled in. */
extern void po_act_install_handler(PoSlot *slot);

/* In a session that exits: was it by order?  Ends the installation. */
extern bool po_act_was_ordered(void);

/* Gives the order and sends the signal; false if the session is another by now or
 * has an order already. */
extern bool po_act_order(const PoTarget *target);

/* Clears an order that was declined, so that another can be given. */
extern PoOrderPhase po_act_order_phase(int slot);
extern void po_act_forget_declined(int slot);

#endif							/* PO_ACT_H */
