/*
 * po_sample.c
 *		Reads what core publishes of a session.
 *
 * The status array is read in place with core's changecount protocol, only the
 * fields needed: pgstat_fetch_stat_local_beentry copies all of every entry, which
 * costs some ten times as much (docs/benchmarks.md).
 */
#include "postgres.h"

#include "access/transam.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/backend_status.h"
#include "utils/wait_event.h"

#include "po_compat.h"
#include "po_sample.h"
#include "po_shmem.h"

/* Entries of client backends are indexed like our slots. */
static inline volatile PgBackendStatus *
entry_of(int slot)
{
	return MyBEEntry - po_compat_my_slot() + slot;
}

static PoState
state_of(BackendState state)
{
	switch (state)
	{
		case STATE_IDLE:
			return PO_STATE_IDLE;
		case STATE_RUNNING:
		case STATE_FASTPATH:
			return PO_STATE_ACTIVE;
		case STATE_IDLEINTRANSACTION:
			return PO_STATE_IDLE_IN_TRANSACTION;
		case STATE_IDLEINTRANSACTION_ABORTED:
			return PO_STATE_ABORTED_IN_TRANSACTION;
		default:
			return PO_STATE_UNKNOWN;
	}
}

/* The entries are far apart, and out of the caches by the next pass. */
#if defined(__GNUC__)
#define PREFETCH(address)	__builtin_prefetch((const void *) (address))
#define PREFETCH_AHEAD		8
#else
#define PREFETCH(address)	((void) 0)
#define PREFETCH_AHEAD		0
#endif

int
po_sample_changed(const PoGlance *glances, int n_slots, int64 ticks, int *slots)
{
	volatile PgBackendStatus *entry = entry_of(0);
	int			n = 0;

	for (int i = 0; i < n_slots; i++, entry++)
	{
		PREFETCH(&entry[PREFETCH_AHEAD].st_changecount);
		if (entry->st_changecount != glances[i].changecount || ticks >= glances[i].quiet_until)
			slots[n++] = i;
	}
	return n;
}

/* One look; false if the entry changed meanwhile.  there: is it a client backend's? */
static inline bool
look(int slot, PoSeen *seen, bool *there)
{
	volatile PgBackendStatus *entry = entry_of(slot);
	BackendState state;
	BackendType type;
	int			before;
	int			after;

	pgstat_begin_read_activity(entry, before);
	seen->pid = entry->st_procpid;
	type = entry->st_backendType;
	seen->backend_start = entry->st_proc_start_timestamp;
	seen->role = entry->st_userid;
	seen->xact_start = entry->st_xact_start_timestamp;
	seen->state_change = entry->st_state_start_timestamp;
	state = entry->st_state;
	pgstat_end_read_activity(entry, after);
	seen->changecount = after;
	if (!pgstat_read_activity_complete(before, after))
		return false;
	*there = seen->pid > 0 && type == B_BACKEND && !po_compat_is_starting(state);
	if (*there)
		seen->state = state_of(state);
	return true;
}

bool
po_sample_read(int slot, PoSeen *seen)
{
	bool		there;

	while (!look(slot, seen, &there))
		CHECK_FOR_INTERRUPTS();
	return there;
}

bool
po_sample_try(int slot, PoSeen *seen)
{
	bool		there;

	return look(slot, seen, &there) && there;
}

uint64
po_sample_my_queryid(void)
{
	return MyBEEntry == NULL ? 0 : (uint64) MyBEEntry->st_query_id;
}

int64
po_sample_my_idle_us(TimestampTz at)
{
	if (MyBEEntry == NULL || (MyBEEntry->st_state != STATE_IDLEINTRANSACTION &&
							  MyBEEntry->st_state != STATE_IDLEINTRANSACTION_ABORTED))
		return 0;
	return Max(at - MyBEEntry->st_state_start_timestamp, 0);
}

bool
po_sample_has_begun(void)
{
	return MyBEEntry == NULL || (MyBEEntry->st_state != STATE_UNDEFINED &&
								 !po_compat_is_starting(MyBEEntry->st_state));
}

void
po_sample_application(int slot, char *application, Size size)
{
	volatile PgBackendStatus *entry = entry_of(slot);

	for (;;)
	{
		int			before;
		int			after;

		pgstat_begin_read_activity(entry, before);
		strlcpy(application, (char *) entry->st_appname, Min(size, NAMEDATALEN));
		pgstat_end_read_activity(entry, after);
		if (pgstat_read_activity_complete(before, after))
			break;
		CHECK_FOR_INTERRUPTS();
	}
}

int64
po_sample_copy_progress(int slot)
{
	volatile PgBackendStatus *entry = entry_of(slot);
	int64		bytes;

	for (;;)
	{
		int			before;
		int			after;

		pgstat_begin_read_activity(entry, before);
		bytes = entry->st_progress_command == PROGRESS_COMMAND_COPY ?
			entry->st_progress_param[PROGRESS_COPY_BYTES_PROCESSED] : -1;
		pgstat_end_read_activity(entry, after);
		if (pgstat_read_activity_complete(before, after))
			break;
		CHECK_FOR_INTERRUPTS();
	}
	return bytes;
}

/* One aligned word, read without a lock as pg_stat_activity does. */
static inline uint32
wait_event_info(int procno)
{
	return ((volatile PGPROC *) GetPGProcByNumber(procno))->wait_event_info;
}

/*
 * Who waits for this lock waits for the disk: somebody else writes the log for all of them, and the
 * more there are, the more commits one write carries.
 */
static bool
is_for_log_write(uint32 info)
{
	return info == (PG_WAIT_LWLOCK | (uint32) WALWriteLock->tranche);
}

PoWait
po_sample_wait(int procno)
{
	uint32		info = wait_event_info(procno);

	if (info == 0)
		return PO_WAIT_CPU;
	switch (info & 0xFF000000)
	{
		case PG_WAIT_LWLOCK:
			return is_for_log_write(info) ? PO_WAIT_IO : PO_WAIT_LOCK;
		case PG_WAIT_LOCK:
		case PO_COMPAT_WAIT_BUFFER:
			return PO_WAIT_LOCK;
		case PG_WAIT_IO:
			return PO_WAIT_IO;
		case PG_WAIT_CLIENT:
			return PO_WAIT_CLIENT;
		default:
			return PO_WAIT_OTHER;
	}
}

bool
po_sample_in_client_read(int procno)
{
	return wait_event_info(procno) == WAIT_EVENT_CLIENT_READ;
}

bool
po_sample_in_client_write(int procno)
{
	return wait_event_info(procno) == WAIT_EVENT_CLIENT_WRITE;
}

bool
po_sample_in_lock(int procno)
{
	return (wait_event_info(procno) & 0xFF000000) == PG_WAIT_LOCK;
}

/* The first MaxConnections PGPROCs are those of plain clients, in all majors. */
int
po_sample_authenticating(void)
{
	int			taken = 0;
	int			ours = 0;

	for (int i = 0; i < MaxConnections; i++)
	{
		/* 15 leaves pid as it was; the latch is disowned at exit in all majors. */
		if (((volatile PGPROC *) GetPGProcByNumber(i))->procLatch.owner_pid != 0)
			taken++;
	}
	for (int i = 0; i < po_shared->n_slots; i++)
	{
		if (pg_atomic_read_u32(&po_slots[i].phase) != PO_SLOT_FREE)
			ours++;
	}
	/* They come and go while we count. */
	return Max(taken - ours, 0);
}

static void
add_proclock(const PROCLOCK *proclock, PoHoldings *holdings)
{
	const LOCK *lock = proclock->tag.myLock;

	if (proclock->holdMask == 0)
		return;
	holdings->locks++;
	holdings->waiting_behind += Max(lock->nRequested - lock->nGranted, 0);
	if (lock->tag.locktag_type == LOCKTAG_ADVISORY)
		holdings->advisory_locks++;
}

/* Sessions of ours that wait for this lock, whose partition is locked. */
static void
add_blocked(const LOCK *lock, PoHarm *harm, int *blocked, int max)
{
	for (int i = 0; i < po_shared->n_slots && harm->n_blocked < max; i++)
	{
		uint32		phase = pg_atomic_read_u32(&po_slots[i].phase);
		const volatile PGPROC *proc;

		if (phase != PO_SLOT_ADMITTED && phase != PO_SLOT_EXEMPT)
			continue;
		proc = GetPGProcByNumber(po_slots[i].procno);
		if (proc->waitLock == lock && proc->pid != 0)
			blocked[harm->n_blocked++] = proc->pid;
	}
}

void
po_sample_harm(int procno, int pid, PoHarm *harm, int *blocked, int max)
{
	volatile PGPROC *proc = GetPGProcByNumber(procno);
	TransactionId next = ReadNextTransactionId();
	TransactionId held[2];

	memset(harm, 0, sizeof(*harm));
	for (int i = 0; i < NUM_LOCK_PARTITIONS; i++)
	{
		LWLock	   *partition = LockHashPartitionLockByIndex(i);
		PROCLOCK   *proclock;

		LWLockAcquire(partition, LW_SHARED);
		po_compat_foreach_proclock(proclock, (PGPROC *) proc, i)
		{
			const LOCK *lock = proclock->tag.myLock;
			int			waiting = lock->nRequested - lock->nGranted;

			if (proclock->holdMask == 0 || waiting <= 0)
				continue;
			harm->waiting_behind += waiting;
			add_blocked(lock, harm, blocked, max);
		}
		LWLockRelease(partition);
	}
	/* What it writes is as good as what it reads: snapshots of others begin at its xid. */
	held[0] = proc->xmin;
	held[1] = proc->xid;
	for (int i = 0; i < lengthof(held); i++)
	{
		if (TransactionIdIsNormal(held[i]))
			harm->horizon_age = Max(harm->horizon_age, (int64) (int32) (next - held[i]));
	}
	harm->valid = proc->pid == pid;
}

void
po_sample_holdings(int procno, int pid, PoHoldings *holdings)
{
	PGPROC	   *proc = GetPGProcByNumber(procno);
	TransactionId xmin;

	memset(holdings, 0, sizeof(*holdings));
	for (int i = 0; i < NUM_LOCK_PARTITIONS; i++)
	{
		LWLock	   *partition = LockHashPartitionLockByIndex(i);
		PROCLOCK   *proclock;

		LWLockAcquire(partition, LW_SHARED);
		po_compat_foreach_proclock(proclock, proc, i)
			add_proclock(proclock, holdings);
		LWLockRelease(partition);
	}
	holdings->temp_namespace = OidIsValid(proc->tempNamespaceId);
	xmin = ((volatile PGPROC *) proc)->xmin;
	if (TransactionIdIsNormal(xmin))
		holdings->xmin_age = (int64) (int32) (ReadNextTransactionId() - xmin);
	holdings->valid = proc->pid == pid;
}

/* One step: who holds what that process waits for?  NULL = nobody, as it waits behind others
 * that wait, or not any more. */
static PGPROC *
holder(PGPROC *waiting)
{
	LOCK	   *lock = ((volatile PGPROC *) waiting)->waitLock;
	PGPROC	   *found = NULL;
	LOCKTAG		tag;
	LWLock	   *partition;
	PROCLOCK   *proclock;

	if (lock == NULL)
		return NULL;
	/* It may be another lock by now, which is seen below. */
	memcpy(&tag, &lock->tag, sizeof(tag));
	partition = LockHashPartitionLock(LockTagHashCode(&tag));
	LWLockAcquire(partition, LW_SHARED);
	if (waiting->waitLock == lock && memcmp(&tag, &lock->tag, sizeof(tag)) == 0)
	{
		LOCKMASK	conflicts = GetLocksMethodTable(lock)->conflictTab[waiting->waitLockMode];

		po_compat_foreach_holder(proclock, lock)
		{
			if ((proclock->holdMask & conflicts) != 0 && proclock->tag.myProc != waiting)
			{
				found = proclock->tag.myProc;
				break;
			}
		}
	}
	LWLockRelease(partition);
	return found;
}

/* Who waits for a row holds the lock on it that the next one waits for: go on to the one that
 * waits for nobody. */
#define MOST_STEPS	4

int
po_sample_blocker(int procno)
{
	PGPROC	   *proc = GetPGProcByNumber(procno);
	PGPROC	   *last = NULL;
	int			slot;

	for (int i = 0; i < MOST_STEPS && (proc = holder(proc)) != NULL; i++)
		last = proc;
	/* A prepared transaction's has no process, and before 17 the slot of who prepared it. */
	if (last == NULL || last->pid == 0)
		return -1;
	slot = po_compat_slot_of(last);
	return slot >= 0 && slot < po_shared->n_slots ? slot : -1;
}
