/*
 * po_act.c
 *		Ending a session so that only the right one ends; see po_act.h.
 *
 * The only file that sends signals.
 */
#include "postgres.h"

#include <signal.h>
#include <sys/socket.h>

#include "access/xlog.h"
#include "libpq/libpq-be.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/backend_status.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "po_act.h"
#include "po_compat.h"
#include "po_inject.h"
#include "po_sample.h"

/* In a session: its own slot.  Read by the signal handler. */
static PoSlot *volatile ordered_slot = NULL;

/* ---------- in the session ---------- */

/* Has the client spoken, though the session has not read it yet?  Then it is not idle,
 * and what it sent would be lost.  Async-signal-safe. */
static bool
client_has_spoken(void)
{
	char		c;

	return MyProcPort != NULL &&
		recv(MyProcPort->sock, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Is this session still what it was judged to be?  Async-signal-safe. */
static bool
still_fits(const PoOrder *order)
{
	volatile PgBackendStatus *me = MyBEEntry;

	if (order->pid != MyProcPid || order->backend_start != MyStartTimestamp)
		return false;
	if (order->state_change == 0)
		return true;
	/* An odd count: we interrupt a change of state. */
	if (me == NULL || (me->st_changecount & 1) != 0 ||
		me->st_state_start_timestamp != order->state_change)
		return false;
	/*
	 * Only while it waits in the read of a command: core looks for interrupts right
	 * after that, while it is idle still.  Later the message has been read, but the
	 * state says idle until the statement reports itself, and the end would come
	 * within the statement.
	 */
	if (MyProc == NULL || MyProc->wait_event_info != WAIT_EVENT_CLIENT_READ)
		return false;
	if (order->in_client_read)
		return true;
	return (me->st_state == STATE_IDLE || me->st_state == STATE_IDLEINTRANSACTION ||
			me->st_state == STATE_IDLEINTRANSACTION_ABORTED) && !client_has_spoken();
}

/*
 * Core aborts a backup with the session that began it.  Only the session knows of it, which
 * notes it for the next time; looking for it after each transaction would be in the way of
 * all queries.  Async-signal-safe.
 */
static bool
runs_backup(PoSlot *slot)
{
	if (get_backup_status() == SESSION_BACKUP_NONE)
		return false;
	pg_atomic_fetch_or_u32(&slot->keeps, PO_KEEPS_BACKUP);
	return true;
}

static void
handle_order(SIGNAL_ARGS)
{
	int			save_errno = errno;
	PoSlot	   *slot = ordered_slot;
	uint32		armed = PO_ORDER_ARMED;

	if (slot != NULL && pg_atomic_read_u32(&slot->order.phase) == PO_ORDER_ARMED)
	{
		bool		accept = !runs_backup(slot) && still_fits(&slot->order);

		/* Delivered at once, before the main flow does another step. */
		if (pg_atomic_compare_exchange_u32(&slot->order.phase, &armed,
										   accept ? PO_ORDER_ACCEPTED : PO_ORDER_DECLINED) &&
			accept)
			kill(MyProcPid, SIGTERM);
	}
	errno = save_errno;
}

void
po_act_install_handler(PoSlot *slot)
{
	ordered_slot = slot;
	pqsignal(SIGUSR2, handle_order);
}

bool
po_act_was_ordered(void)
{
	PoSlot	   *slot = ordered_slot;

	ordered_slot = NULL;
	return slot != NULL && pg_atomic_read_u32(&slot->order.phase) == PO_ORDER_ACCEPTED;
}

/* ---------- whoever gives the order ---------- */

/* The signal must not reach another process: others use SIGUSR2 for other things. */
static bool
is_target(const PoTarget *target, const PoSeen *seen)
{
	uint32		phase = pg_atomic_read_u32(&po_slots[target->slot].phase);

	return (phase == PO_SLOT_ADMITTED || phase == PO_SLOT_EXEMPT) &&
		seen->pid == target->pid && seen->backend_start == target->backend_start &&
		(target->state_change == 0 || seen->state_change == target->state_change) &&
		BackendPidGetProc(target->pid) != NULL;
}

/* Waits for an entry that is being changed, and may be interrupted by that. */
static bool
is_there(const PoTarget *target)
{
	PoSeen		seen;

	po_inject("order");
	return po_sample_read(target->slot, &seen) && is_target(target, &seen);
}

/* One that just changes is not what it was judged to be. */
static bool
is_still_there(const PoTarget *target)
{
	PoSeen		seen;

	return po_sample_try(target->slot, &seen) && is_target(target, &seen);
}

static bool
claim(PoOrder *order)
{
	uint32		none = PO_ORDER_NONE;
	uint32		declined = PO_ORDER_DECLINED;

	return pg_atomic_compare_exchange_u32(&order->phase, &none, PO_ORDER_WRITING) ||
		pg_atomic_compare_exchange_u32(&order->phase, &declined, PO_ORDER_WRITING);
}

/* No error may leave this: nobody else could ever claim the order again. */
static bool
give_order(const PoTarget *target)
{
	PoOrder    *order = &po_slots[target->slot].order;
	uint32		writing = PO_ORDER_WRITING;
	uint32		armed = PO_ORDER_ARMED;

	if (!claim(order))
		return false;
	order->pid = target->pid;
	order->backend_start = target->backend_start;
	order->state_change = target->state_change;
	order->in_client_read = target->in_client_read;
	po_name_copy(order->reason, target->reason, sizeof(order->reason));
	order->detail[0] = '\0';
	if (strlen(target->detail) < sizeof(order->detail))
		strlcpy(order->detail, target->detail, sizeof(order->detail));
	/* A new session in this slot has reset the phase: then nothing is armed. */
	if (!is_still_there(target))
	{
		(void) pg_atomic_compare_exchange_u32(&order->phase, &writing, PO_ORDER_NONE);
		return false;
	}
	if (!pg_atomic_compare_exchange_u32(&order->phase, &writing, PO_ORDER_ARMED))
		return false;
	if (kill(target->pid, SIGUSR2) != 0)
	{
		(void) pg_atomic_compare_exchange_u32(&order->phase, &armed, PO_ORDER_NONE);
		return false;
	}
	return true;
}

bool
po_act_order(const PoTarget *target)
{
	bool		given;

	if (!is_there(target))
		return false;
	HOLD_INTERRUPTS();
	given = give_order(target);
	RESUME_INTERRUPTS();
	return given;
}

PoOrderPhase
po_act_order_phase(int slot)
{
	return (PoOrderPhase) pg_atomic_read_u32(&po_slots[slot].order.phase);
}

void
po_act_forget_declined(int slot)
{
	uint32		declined = PO_ORDER_DECLINED;

	pg_atomic_compare_exchange_u32(&po_slots[slot].order.phase, &declined, PO_ORDER_NONE);
}
