/*
 * po_events.c
 *		Two rings of events; PO_LOCK_EVENTS is taken here and nowhere else.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "po_events.h"
#include "po_guc.h"

#define MINUTE_US	(60 * PO_US_PER_S)

#define OF_LOGINS	(PO_EVENT_BIT(PO_EVENT_REJECT) | PO_EVENT_BIT(PO_EVENT_WOULD_REJECT) | \
					 PO_EVENTS_ON_REQUEST)

static int
ring_of(PoEventKind kind)
{
	return (OF_LOGINS & PO_EVENT_BIT(kind)) != 0 ? PO_RING_LOGINS : PO_RING_OTHERS;
}

/* One more of the kind for listeners, if the rate allows; without a lock, as it may be
 * asked at the end of every transaction. */
static bool
take_notification(PoEventKind kind)
{
	PoNotifyRate *rate = &po_shared->notify_rate[kind];
	uint64		minute = (uint64) (po_shmem_monotonic_us() / MINUTE_US) & 0xFFFFFFFF;
	uint64		taken = pg_atomic_read_u64(&rate->taken);

	for (;;)
	{
		uint64		count = taken >> 32 == minute ? taken & 0xFFFFFFFF : 0;

		if (count >= (uint64) po_guc_notify_rate)
		{
			pg_atomic_fetch_add_u64(&rate->suppressed, 1);
			return false;
		}
		if (pg_atomic_compare_exchange_u64(&rate->taken, &taken, minute << 32 | (count + 1)))
			return true;
	}
}

bool
po_events_want(PoEventKind kind)
{
	return (po_guc_notify_kinds & PO_EVENT_BIT(kind)) != 0;
}

static void
put(const PoEvent *event)
{
	int			index = ring_of(event->kind);
	PoRing	   *ring = &po_shared->ring[index];

	LWLockAcquire(po_shmem_lock(PO_LOCK_EVENTS), LW_EXCLUSIVE);
	memcpy(&po_events[index * po_shared->n_events + ring->written % po_shared->n_events], event,
		   sizeof(*event));
	/* Those that nobody is to hear of are not lost, however many came since the last one. */
	if (event->notify && ring->notified >= ring->to_notify)
		ring->notified = ring->written;
	ring->written++;
	if (event->notify)
		ring->to_notify = ring->written;
	LWLockRelease(po_shmem_lock(PO_LOCK_EVENTS));
	if (event->notify)
		po_shmem_wake_sampler();
}

static void
add(PoEventKind kind, const char *tenant, int pid, const PoTold *told)
{
	PoEvent		event;
	bool		wanted = !told->heard && (kind == PO_EVENT_ALERT || po_events_want(kind)) &&
		take_notification(kind);

	if (!wanted && (PO_EVENTS_ON_REQUEST & PO_EVENT_BIT(kind)) != 0)
		return;
	memset(&event, 0, sizeof(event));
	event.notify = wanted && po_guc_notify_channel[0] != '\0';
	event.at = GetCurrentTimestamp();
	event.kind = kind;
	event.pid = pid;
	po_name_copy(event.tenant, tenant, sizeof(event.tenant));
	po_name_copy(event.reason, told->reason, sizeof(event.reason));
	if (told->detail != NULL && strlen(told->detail) < sizeof(event.detail))
		strlcpy(event.detail, told->detail, sizeof(event.detail));
	put(&event);
}

void
po_events_add(PoEventKind kind, const char *tenant, int pid,
			  const char *reason, const char *detail)
{
	PoTold		told = {.reason = reason, .detail = detail};

	add(kind, tenant, pid, &told);
}

void
po_events_tell(const PoTold *told)
{
	const char *tenant = told->tenant == NULL ? "" : told->tenant;

	add(told->kind, tenant, 0, told);
	ereport(LOG_SERVER_ONLY,
			(tenant[0] == '\0' ? errmsg("pool_optimizer: %s", told->reason) :
			 errmsg("pool_optimizer, tenant \"%s\": %s", tenant, told->reason),
			 told->log_detail == NULL ? 0 : errdetail_log("%s", told->log_detail),
			 told->log_hint == NULL ? 0 : errhint("%s", told->log_hint)));
}

bool
po_events_copy(int ring, uint64 *number, PoEvent *event)
{
	uint64		written;
	uint64		oldest;
	bool		found;

	LWLockAcquire(po_shmem_lock(PO_LOCK_EVENTS), LW_SHARED);
	written = po_shared->ring[ring].written;
	oldest = written > (uint64) po_shared->n_events ? written - po_shared->n_events : 0;
	*number = Max(*number, oldest);
	found = *number < written;
	if (found)
		memcpy(event, &po_events[ring * po_shared->n_events + *number % po_shared->n_events],
			   sizeof(*event));
	(*number)++;
	LWLockRelease(po_shmem_lock(PO_LOCK_EVENTS));
	return found;
}

/* ---------- over a restart ---------- */

static const PoEvent *
event_at(int index, uint64 number)
{
	return &po_events[index * po_shared->n_events + number % po_shared->n_events];
}

int
po_events_save(PoEvent *to, int most)
{
	int			n = 0;

	LWLockAcquire(po_shmem_lock(PO_LOCK_EVENTS), LW_SHARED);
	for (int i = 0; i < PO_N_RINGS; i++)
	{
		uint64		written = po_shared->ring[i].written;
		uint64		kept = Min(written, (uint64) Min(most, po_shared->n_events));

		for (uint64 number = written - kept; number < written; number++)
			memcpy(&to[n++], event_at(i, number), sizeof(PoEvent));
	}
	LWLockRelease(po_shmem_lock(PO_LOCK_EVENTS));
	return n;
}

void
po_events_restore(const PoEvent *from)
{
	PoEvent		event = *from;

	if ((unsigned int) event.kind >= PO_N_EVENT_KINDS)
		return;
	event.notify = false;
	event.tenant[sizeof(event.tenant) - 1] = '\0';
	event.reason[sizeof(event.reason) - 1] = '\0';
	event.detail[sizeof(event.detail) - 1] = '\0';
	put(&event);
}

/* ---------- for listeners ---------- */

bool
po_events_next(int index, uint64 *number, PoEvent *event)
{
	PoRing	   *ring = &po_shared->ring[index];
	const PoEvent *first = &po_events[index * po_shared->n_events];
	uint64		oldest;
	bool		found = false;

	LWLockAcquire(po_shmem_lock(PO_LOCK_EVENTS), LW_EXCLUSIVE);
	oldest = ring->written > (uint64) po_shared->n_events ?
		ring->written - po_shared->n_events : 0;
	*number = Max(*number, ring->notified);
	if (*number < Min(oldest, ring->to_notify))
	{
		/* Which of them there was something to hear of is not known any more. */
		ring->lost += Min(oldest, ring->to_notify) - *number;
		*number = oldest;
	}
	for (; !found && *number < ring->to_notify; (*number)++)
	{
		found = first[*number % po_shared->n_events].notify;
		if (found)
		{
			*event = first[*number % po_shared->n_events];
			break;
		}
	}
	LWLockRelease(po_shmem_lock(PO_LOCK_EVENTS));
	return found;
}

uint64
po_events_notified(int index, uint64 number)
{
	PoRing	   *ring = &po_shared->ring[index];
	uint64		lost;

	LWLockAcquire(po_shmem_lock(PO_LOCK_EVENTS), LW_EXCLUSIVE);
	ring->notified = Max(ring->notified, Min(number, ring->written));
	lost = ring->lost;
	ring->lost = 0;
	LWLockRelease(po_shmem_lock(PO_LOCK_EVENTS));
	return lost;
}

uint64
po_events_position(void)
{
	uint64		position = 0;

	LWLockAcquire(po_shmem_lock(PO_LOCK_EVENTS), LW_SHARED);
	for (int i = 0; i < PO_N_RINGS; i++)
		position += po_shared->ring[i].notified;
	LWLockRelease(po_shmem_lock(PO_LOCK_EVENTS));
	return position;
}

bool
po_events_are_pending(void)
{
	bool		pending = false;

	LWLockAcquire(po_shmem_lock(PO_LOCK_EVENTS), LW_SHARED);
	for (int i = 0; i < PO_N_RINGS; i++)
		pending = pending || po_shared->ring[i].notified < po_shared->ring[i].to_notify;
	LWLockRelease(po_shmem_lock(PO_LOCK_EVENTS));
	return pending;
}

void
po_events_skip(void)
{
	LWLockAcquire(po_shmem_lock(PO_LOCK_EVENTS), LW_EXCLUSIVE);
	for (int i = 0; i < PO_N_RINGS; i++)
		po_shared->ring[i].notified = po_shared->ring[i].written;
	LWLockRelease(po_shmem_lock(PO_LOCK_EVENTS));
}

void
po_events_json_string(StringInfo to, const char *name, const char *value)
{
	if (to->len > 1)
		appendStringInfoString(to, ", ");
	appendStringInfo(to, "\"%s\": ", name);
	escape_json(to, value);
}
