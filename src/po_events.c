/*
 * po_events.c
 *		Two rings of events; PO_LOCK_EVENTS is taken here and nowhere else.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "po_events.h"

static int
ring_of(PoEventKind kind)
{
	return kind == PO_EVENT_REJECT || kind == PO_EVENT_WOULD_REJECT ?
		PO_RING_LOGINS : PO_RING_OTHERS;
}

void
po_events_add(PoEventKind kind, const char *tenant, int pid,
			  const char *reason, const char *detail)
{
	int			ring = ring_of(kind);
	PoEvent		event;
	PoEvent    *place;

	memset(&event, 0, sizeof(event));
	event.at = GetCurrentTimestamp();
	event.kind = kind;
	event.pid = pid;
	po_name_copy(event.tenant, tenant, sizeof(event.tenant));
	po_name_copy(event.reason, reason, sizeof(event.reason));
	if (detail != NULL && strlen(detail) < sizeof(event.detail))
		strlcpy(event.detail, detail, sizeof(event.detail));

	LWLockAcquire(po_shmem_lock(PO_LOCK_EVENTS), LW_EXCLUSIVE);
	place = &po_events[ring * po_shared->n_events +
					   po_shared->ring[ring].written % po_shared->n_events];
	memcpy(place, &event, sizeof(event));
	po_shared->ring[ring].written++;
	LWLockRelease(po_shmem_lock(PO_LOCK_EVENTS));
}

void
po_events_tell(const PoTold *told)
{
	const char *tenant = told->tenant == NULL ? "" : told->tenant;

	po_events_add(told->kind, tenant, 0, told->reason,
				  told->detail == NULL ? "" : told->detail);
	ereport(LOG_SERVER_ONLY,
			(tenant[0] == '\0' ? errmsg("pool_optimizer: %s", told->reason) :
			 errmsg("pool_optimizer, tenant \"%s\": %s", tenant, told->reason),
			 told->log_detail == NULL ? 0 : errdetail_log("%s", told->log_detail),
			 told->log_hint == NULL ? 0 : errhint("%s", told->log_hint)));
}

bool
po_events_copy(int ring, int i, PoEvent *event)
{
	uint64		written;
	uint64		oldest;
	bool		found;

	LWLockAcquire(po_shmem_lock(PO_LOCK_EVENTS), LW_SHARED);
	written = po_shared->ring[ring].written;
	oldest = written > (uint64) po_shared->n_events ? written - po_shared->n_events : 0;
	found = oldest + i < written;
	if (found)
		memcpy(event, &po_events[ring * po_shared->n_events +
								 (oldest + i) % po_shared->n_events], sizeof(*event));
	LWLockRelease(po_shmem_lock(PO_LOCK_EVENTS));
	return found;
}

const char *
po_events_kind_name(PoEventKind kind)
{
	switch (kind)
	{
		case PO_EVENT_REJECT:
			return "reject";
		case PO_EVENT_WOULD_REJECT:
			return "would_reject";
		case PO_EVENT_TERMINATE:
			return "terminate";
		case PO_EVENT_WOULD_TERMINATE:
			return "would_terminate";
		case PO_EVENT_ALERT:
			return "alert";
		case PO_EVENT_POLICY:
			return "policy";
		case PO_EVENT_RESIZE:
			return "resize";
		case PO_EVENT_WOULD_RESIZE:
			return "would_resize";
	}
	return "unknown";
}

void
po_events_json_string(StringInfo to, const char *name, const char *value)
{
	if (to->len > 1)
		appendStringInfoString(to, ", ");
	appendStringInfo(to, "\"%s\": ", name);
	escape_json(to, value);
}
