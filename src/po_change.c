/*
 * po_change.c
 *		What a transaction changes of policies and alert rules: told as events of kind policy
 *		when it commits, with the role that did it; and that the keeper then reads the tables.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "model/po_names.h"
#include "po_change.h"
#include "po_events.h"
#include "po_inject.h"
#include "po_session.h"
#include "po_shmem.h"

/* A migration may change thousands: of the rest it is told that there is more. */
#define MAX_NOTES	32

typedef struct Note
{
	char		tenant[PO_NAME_LEN];
	char		what[PO_NAME_LEN + 96];	/* names a tenant */
	bool		dropped;
	int			level;			/* of the subtransaction */
} Note;

static Note notes[MAX_NOTES];
static int	n_notes = 0;
static bool read_tables = false;
static int	more_level = 0;		/* the outermost that had more than there is room for, 0 = none */

/* Is there a later note of the same thing? */
static bool
is_outdated(int i)
{
	for (int k = i + 1; k < n_notes; k++)
	{
		if (strcmp(notes[k].what, notes[i].what) == 0)
			return true;
	}
	return false;
}

/* A long name is cut, at a character, so that it is still told what was done, and by whom. */
static void
name_change(const Note *note, const char *role, char *reason, Size size)
{
	const char *done = note->dropped ? "dropped" : "set";
	int			words = snprintf(reason, size, " %s by role \"%s\"", done, role);
	char		what[sizeof(note->what)];

	po_name_copy(what, note->what, Min(sizeof(what), size - words));
	snprintf(reason, size, "%s %s by role \"%s\"", what, done, role);
}

static void
tell(void)
{
	char		role[NAMEDATALEN] = "";
	char		reason[PO_REASON_LEN];
	const PoSlot *slot = po_session_my_slot() < 0 ? NULL : &po_slots[po_session_my_slot()];

	if (slot != NULL)
		strlcpy(role, slot->role, sizeof(role));
	for (int i = 0; i < n_notes; i++)
	{
		if (is_outdated(i))
			continue;
		name_change(&notes[i], role, reason, sizeof(reason));
		po_events_add(PO_EVENT_POLICY, notes[i].tenant, MyProcPid, reason, "");
	}
	if (more_level == 0)
		return;
	snprintf(reason, sizeof(reason), "more policies or alert rules than these %d changed by "
			 "role \"%s\" in one transaction", n_notes, role);
	po_events_add(PO_EVENT_POLICY, "", MyProcPid, reason, "");
}

bool
po_change_after_commit(void (*step) (void))
{
	MemoryContext before = CurrentMemoryContext;
	uint32		holdoff = InterruptHoldoffCount;
	volatile bool done = true;

	PG_TRY();
	{
		po_inject("commit");
		step();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(before);
		FlushErrorState();
		/* Core holds interrupts off here.  The error has set that back, and with what core does
		 * next the count would wrap, so that nothing could end this session any more. */
		InterruptHoldoffCount = holdoff;
		pg_atomic_fetch_add_u64(&po_shared->worker_errors, 1);
		done = false;
	}
	PG_END_TRY();
	return done;
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	(void) arg;
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_COMMIT && po_shared != NULL && n_notes > 0)
		(void) po_change_after_commit(tell);
	if (event == XACT_EVENT_COMMIT && po_shared != NULL && read_tables)
	{
		pg_atomic_fetch_add_u64(&po_shared->changes_requested, 1);
		po_shmem_wake_sampler();
	}
	read_tables = false;
	n_notes = 0;
	more_level = 0;
}

/* What was rolled back to a savepoint did not happen. */
static void
on_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
					  void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	(void) mine;
	(void) parent;
	(void) arg;
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (n_notes > 0 && notes[n_notes - 1].level >= level)
			n_notes--;
		if (more_level >= level)
			more_level = 0;
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = 0; i < n_notes; i++)
			notes[i].level = Min(notes[i].level, level - 1);
		more_level = Min(more_level, level - 1);
	}
}

/* Only sessions that change something pay for the callbacks. */
static void
watch_transactions(void)
{
	static bool watching = false;

	if (watching)
		return;
	RegisterXactCallback(on_transaction_end, NULL);
	RegisterSubXactCallback(on_subtransaction_end, NULL);
	watching = true;
}

void
po_change_read_tables(void)
{
	watch_transactions();
	read_tables = true;
}

void
po_change_note(const char *tenant, const char *what, bool dropped)
{
	int			level = GetCurrentTransactionNestLevel();
	Note	   *note = NULL;

	watch_transactions();
	/* What an outer level said is kept: this one may be rolled back. */
	for (int i = n_notes - 1; i >= 0 && notes[i].level == level && note == NULL; i--)
	{
		if (strncmp(notes[i].what, what, sizeof(notes[i].what) - 1) == 0)
			note = &notes[i];
	}
	if (note == NULL && n_notes >= MAX_NOTES)
	{
		if (more_level == 0 || level < more_level)
			more_level = level;
		return;
	}
	if (note == NULL)
		note = &notes[n_notes++];
	po_name_copy(note->tenant, tenant, PO_NAME_LEN);
	strlcpy(note->what, what, sizeof(note->what));
	note->dropped = dropped;
	note->level = level;
}
