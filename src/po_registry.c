/*
 * po_registry.c
 *		Who is in: tenants, counters, the queue and the policies in force.
 *
 * PO_LOCK_ADMISSION is taken here and nowhere else.  Static functions expect it to
 * be held exclusively; those that are not static take it.  A place that becomes
 * free is handed to the first in the queue that may have it before the lock is
 * let go, so whoever finds a free place has overtaken nobody.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "po_compat.h"
#include "po_guc.h"
#include "po_registry.h"
#include "po_resolve.h"

#define GRANT_BATCH		64

static inline void
lock_admission(void)
{
	LWLockAcquire(po_shmem_lock(PO_LOCK_ADMISSION), LW_EXCLUSIVE);
}

static inline void
unlock_admission(void)
{
	LWLockRelease(po_shmem_lock(PO_LOCK_ADMISSION));
}

static inline PoRegistry *
registry(void)
{
	return &po_shared->registry;
}

static inline PoSlotPhase
phase_of(const PoSlot *slot)
{
	return (PoSlotPhase) pg_atomic_read_u32((pg_atomic_uint32 *) &slot->phase);
}

static inline void
set_phase(PoSlot *slot, PoSlotPhase phase)
{
	pg_atomic_write_u32(&slot->phase, phase);
}

/* By what this process knows of the settings; see serve_queue for those that wait. */
static inline PoMode
mode_in_force(PoMode policy_mode)
{
	return po_mode_lower((PoMode) po_guc_mode, policy_mode);
}

/* ---------- tenants ---------- */

/* Brings the sums of unused guarantees up to date with one tenant. */
static void
count_guarantee(PoTenant *t)
{
	PoRegistry *r = registry();
	int			guaranteed = (int) (t->fields.guaranteed * r->guarantee_scale);
	int			unused = po_admission_unused(guaranteed, t->used);

	if (t->guarantee_mode == PO_MODE_ENFORCE)
		r->unused_enforce -= t->guarantee_counted;
	else if (t->guarantee_mode == PO_MODE_OBSERVE)
		r->unused_observe -= t->guarantee_counted;
	t->guarantee_mode = t->fields.quota_mode;
	t->guarantee_counted = unused;
	if (t->guarantee_mode == PO_MODE_ENFORCE)
		r->unused_enforce += unused;
	else if (t->guarantee_mode == PO_MODE_OBSERVE)
		r->unused_observe += unused;
}

static void
resolve_tenant(PoTenant *t)
{
	if (t->generation == registry()->generation)
		return;
	po_resolve_name(po_policy_set, PO_SCOPE_TENANT, t->name, &t->fields);
	t->generation = registry()->generation;
	count_guarantee(t);
}

static PoTenant *
find_tenant(const char *name, uint32 hash)
{
	int			i = po_tenant_buckets[hash & (po_shared->n_buckets - 1)];

	/* In no bucket: there is one, whoever calls himself so. */
	if (strcmp(name, PO_TENANT_OTHER_NAME) == 0)
		return &po_tenants[PO_TENANT_OTHER];
	for (; i >= 0; i = po_tenants[i].next)
	{
		if (po_tenants[i].hash == hash && strcmp(po_tenants[i].name, name) == 0)
			return &po_tenants[i];
	}
	return NULL;
}

static uint32
hash_name(const char *name)
{
	return hash_bytes((const unsigned char *) name, (int) strlen(name));
}

/* Sessions, logins that wait or refusals of it are not what they were. */
static void
note_news(PoTenant *t)
{
	PoRegistry *r = registry();

	t->news_peak = Max(t->news_peak, t->used + t->exempt);
	t->news_waiting = Max(t->news_waiting, t->waiting);
	r->news_peak = Max(r->news_peak, r->admitted + r->exempt);
	r->news_waiting = Max(r->news_waiting, r->waiting);
	if (t->has_news)
		return;
	t->has_news = true;
	t->next_news = r->news;
	r->news = (int) (t - po_tenants);
}

/* A place for a new tenant, -1 when max_tenants is reached. */
static int
place_for_tenant(void)
{
	PoRegistry *r = registry();
	int			i = r->free_tenant;

	if (i >= 0)
	{
		r->free_tenant = po_tenants[i].next;
		r->n_free_tenants--;
		return i;
	}
	return r->n_tenants < po_shared->n_tenants ? r->n_tenants++ : -1;
}

/* Takes a tenant that nobody ever logged in to off the table. */
static void
free_tenant(PoTenant *t)
{
	PoRegistry *r = registry();
	int			me = (int) (t - po_tenants);
	int		   *link = &po_tenant_buckets[t->hash & (po_shared->n_buckets - 1)];

	while (*link != me)
		link = &po_tenants[*link].next;
	*link = t->next;
	t->fields.guaranteed = 0;
	count_guarantee(t);
	t->in_use = false;
	t->next = r->free_tenant;
	r->free_tenant = me;
	r->n_free_tenants++;
}

/* NULL when max_tenants is reached. */
static PoTenant *
find_or_add_tenant(const char *name, TimestampTz now)
{
	uint32		hash = hash_name(name);
	PoTenant   *t = find_tenant(name, hash);
	int		   *bucket = &po_tenant_buckets[hash & (po_shared->n_buckets - 1)];
	int			place;
	int			next_news;
	bool		has_news;
	int			next_touched;
	bool		touched;

	if (t != NULL)
		return t;
	place = place_for_tenant();
	if (place < 0)
		return NULL;
	t = &po_tenants[place];
	has_news = t->has_news;
	next_news = t->next_news;
	touched = t->touched;
	next_touched = t->next_touched;
	memset(t, 0, sizeof(*t));
	/* The one that was here before may still be in the lists. */
	t->has_news = has_news;
	t->next_news = next_news;
	t->touched = touched;
	t->next_touched = next_touched;
	strlcpy(t->name, name, sizeof(t->name));
	t->hash = hash;
	t->in_use = true;
	t->first_seen = now;
	t->next = *bucket;
	*bucket = place;
	return t;
}

/* Has the alerts look at it. */
static void
touch(PoTenant *t)
{
	if (t->touched)
		return;
	t->touched = true;
	t->next_touched = registry()->touched;
	registry()->touched = (int) (t - po_tenants);
}

/* ---------- counters of the other scopes ---------- */

static PoCounter *
find_counter(PoScope scope, const char *name, uint32 hash)
{
	int			i = po_counter_buckets[hash & (po_shared->n_buckets - 1)];

	for (; i >= 0; i = po_counters[i].next)
	{
		if (po_counters[i].hash == hash && po_counters[i].scope == scope &&
			strcmp(po_counters[i].name, name) == 0)
			return &po_counters[i];
	}
	return NULL;
}

static uint32
hash_counter(PoScope scope, const char *name)
{
	return hash_combine(hash_name(name), (uint32) scope);
}

static void
resolve_counter(PoCounter *c)
{
	if (c->generation == registry()->generation)
		return;
	if (c->scope == PO_SCOPE_ADDRESS)
		po_resolve_address(po_policy_set, c->name, &c->fields);
	else
		po_resolve_name(po_policy_set, c->scope, c->name, &c->fields);
	c->generation = registry()->generation;
}

/* Never NULL: there are as many as all slots together can hold. */
static PoCounter *
find_or_add_counter(PoScope scope, const char *name)
{
	PoRegistry *r = registry();
	uint32		hash = hash_counter(scope, name);
	int		   *bucket = &po_counter_buckets[hash & (po_shared->n_buckets - 1)];
	PoCounter  *c = find_counter(scope, name, hash);

	if (c == NULL)
	{
		int			i = r->free_counter;

		Assert(i >= 0);
		c = &po_counters[i];
		r->free_counter = c->next;
		memset(c, 0, sizeof(*c));
		c->scope = scope;
		strlcpy(c->name, name, sizeof(c->name));
		c->hash = hash;
		c->next = *bucket;
		*bucket = i;
	}
	resolve_counter(c);
	return c;
}

static void
free_counter(PoCounter *c)
{
	int			me = (int) (c - po_counters);
	int		   *link = &po_counter_buckets[c->hash & (po_shared->n_buckets - 1)];

	while (*link != me)
		link = &po_counters[*link].next;
	*link = c->next;
	c->next = registry()->free_counter;
	registry()->free_counter = me;
}

static void
counter_key(const PoSlot *slot, PoScope scope, char *key)
{
	switch (scope)
	{
		case PO_SCOPE_DATABASE:
			strlcpy(key, slot->database, PO_PART_LEN);
			break;
		case PO_SCOPE_ROLE:
			strlcpy(key, slot->role, PO_PART_LEN);
			break;
		case PO_SCOPE_APPLICATION:
			strlcpy(key, slot->application, PO_PART_LEN);
			break;
		case PO_SCOPE_ADDRESS:
			po_resolve_address_key(po_policy_set, slot->address, &slot->cidr, key);
			break;
		case PO_SCOPE_TENANT:
		case PO_SCOPE_CLUSTER:
			key[0] = '\0';
			break;
	}
}

static void
release_counters(PoSlot *slot)
{
	for (int i = 0; i < PO_N_COUNTED; i++)
	{
		if (slot->counter[i] >= 0)
		{
			PoCounter  *c = &po_counters[slot->counter[i]];

			if (--c->used <= 0)
				free_counter(c);
			slot->counter[i] = -1;
		}
	}
}

static void
hold_counters(PoSlot *slot)
{
	char		key[PO_PART_LEN];

	for (int i = 0; i < PO_N_COUNTED; i++)
	{
		PoScope		scope = (PoScope) (PO_SCOPE_DATABASE + i);
		PoCounter  *c;

		counter_key(slot, scope, key);
		c = find_or_add_counter(scope, key);
		c->used++;
		slot->counter[i] = (int) (c - po_counters);
	}
}

/* ---------- deciding ---------- */

/* Who asks, beside the counters. */
typedef struct Asks
{
	bool		is_waiting;		/* and so counted among those that wait */
	int			n_reserved;		/* connections, not usable by all, that it may have, too */
	PoMode		mode;			/* pool_optimizer.mode, as it holds for this login */
} Asks;

static Asks
asks_newly(void)
{
	Asks		asks = {false, 0, (PoMode) po_guc_mode};

	return asks;
}

static Asks
asks_from_queue(PoMode mode)
{
	Asks		asks = {true, 0, mode};

	return asks;
}

/* Core keeps them for such roles; that others are promised the rest must not keep these out. */
static int
reserved_for(const PoSlot *slot)
{
	return slot->may_use_reserved ? po_compat_connections_for_roles() : 0;
}

static void
fill_quota(PoQuota *quota, int used, const PoPolicyFields *fields, Asks asks)
{
	quota->used = used;
	quota->max_connections = fields->max_connections;
	quota->mode = po_mode_lower(asks.mode, fields->quota_mode);
	quota->on_full = fields->on_full;
	quota->wait_timeout_us = fields->wait_timeout_us;
}

/* Connections that are neither taken nor promised to others than t. */
static void
fill_room(const PoTenant *t, Asks asks, PoAdmissionInput *in)
{
	const PoRegistry *r = registry();
	int			waiting = r->waiting - (asks.is_waiting ? 1 : 0);
	int			own_enforce = t->guarantee_mode == PO_MODE_ENFORCE ? t->guarantee_counted : 0;
	int			own_observe = t->guarantee_mode == PO_MODE_OBSERVE ? t->guarantee_counted : 0;
	int			room;

	/* Those in the queue sit on connections, too; keep as many as may come. */
	if (r->any_queueing && r->guaranteed_total > 0)
		waiting = Max(waiting, po_shared->max_waiting);
	room = po_shared->usable + asks.n_reserved - r->admitted - r->exempt - waiting;
	in->any_guarantee = r->guaranteed_total > 0;
	in->room_enforced = room;
	in->room_observed = room;
	if (asks.mode >= PO_MODE_OBSERVE)
		in->room_observed -= r->unused_enforce - own_enforce + r->unused_observe - own_observe;
	if (asks.mode >= PO_MODE_ENFORCE)
		in->room_enforced -= r->unused_enforce - own_enforce;
}

/* counters[i] may be NULL: nobody is counted there yet. */
static void
decide(const PoTenant *t, const PoCounter *const counters[PO_N_COUNTED], Asks asks,
	   PoAdmission *out)
{
	PoAdmissionInput in;

	memset(&in, 0, sizeof(in));
	fill_quota(&in.quota[PO_SCOPE_TENANT], t->used, &t->fields, asks);
	fill_quota(&in.quota[PO_SCOPE_CLUSTER], registry()->admitted, &registry()->cluster, asks);
	for (int i = 0; i < PO_N_COUNTED; i++)
		fill_quota(&in.quota[PO_SCOPE_DATABASE + i], counters[i]->used, &counters[i]->fields,
				   asks);
	in.draining = (t->fields.set & PO_SET_DRAIN) != 0 &&
		po_mode_lower(asks.mode, t->fields.quota_mode) != PO_MODE_OFF;
	in.guaranteed = (int) (t->fields.guaranteed * registry()->guarantee_scale);
	fill_room(t, asks, &in);
	po_admission_decide(&in, out);
}

static void
decide_slot(PoSlot *slot, Asks asks, PoAdmission *out)
{
	PoTenant   *t = &po_tenants[slot->tenant];
	PoCounter	absent[PO_N_COUNTED];
	const PoCounter *counters[PO_N_COUNTED];
	char		key[PO_PART_LEN];

	asks.n_reserved = reserved_for(slot);
	resolve_tenant(t);
	for (int i = 0; i < PO_N_COUNTED; i++)
	{
		PoScope		scope = (PoScope) (PO_SCOPE_DATABASE + i);
		PoCounter  *c;

		counter_key(slot, scope, key);
		c = find_counter(scope, key, hash_counter(scope, key));
		if (c == NULL)
		{
			c = &absent[i];
			memset(c, 0, sizeof(*c));
			c->scope = scope;
			strlcpy(c->name, key, sizeof(c->name));
		}
		resolve_counter(c);
		counters[i] = c;
	}
	decide(t, counters, asks, out);
}

/* ---------- taking and giving back ---------- */

static void
take(PoSlot *slot, TimestampTz now)
{
	PoTenant   *t = &po_tenants[slot->tenant];

	hold_counters(slot);
	t->used++;
	t->admitted++;
	t->last_used = now;
	t->peak_sessions = Max(t->peak_sessions, t->used + t->exempt);
	registry()->admitted++;
	count_guarantee(t);
	note_news(t);
	touch(t);
	set_phase(slot, PO_SLOT_ADMITTED);
}

static void
take_exempt(PoSlot *slot, TimestampTz now)
{
	PoTenant   *t = &po_tenants[slot->tenant];

	t->exempt++;
	t->admitted++;
	t->last_used = now;
	t->peak_sessions = Max(t->peak_sessions, t->used + t->exempt);
	registry()->exempt++;
	note_news(t);
	touch(t);
	set_phase(slot, PO_SLOT_EXEMPT);
}

/* ---------- the queue ---------- */

static void
enqueue(PoSlot *slot)
{
	PoRegistry *r = registry();
	int			me = (int) (slot - po_slots);

	slot->queue_next = -1;
	slot->queue_previous = r->queue_tail;
	if (r->queue_tail >= 0)
		po_slots[r->queue_tail].queue_next = me;
	else
		r->queue_head = me;
	r->queue_tail = me;
	r->waiting++;
	po_tenants[slot->tenant].waiting++;
	note_news(&po_tenants[slot->tenant]);
	set_phase(slot, PO_SLOT_QUEUED);
}

static void
dequeue(PoSlot *slot, PoSlotPhase next_phase)
{
	PoRegistry *r = registry();

	if (slot->queue_previous >= 0)
		po_slots[slot->queue_previous].queue_next = slot->queue_next;
	else
		r->queue_head = slot->queue_next;
	if (slot->queue_next >= 0)
		po_slots[slot->queue_next].queue_previous = slot->queue_previous;
	else
		r->queue_tail = slot->queue_previous;
	slot->queue_next = slot->queue_previous = -1;
	r->waiting--;
	po_tenants[slot->tenant].waiting--;
	note_news(&po_tenants[slot->tenant]);
	set_phase(slot, next_phase);
}

/*
 * Serves the queue in order; whom it let in or sent away goes to procnos, to be
 * woken once the lock is free.
 *
 * Who waits came while the mode was enforce, and whoever serves him need not know better:
 * a session hears of a reload with its next command only, so one that ends without any
 * would let in all of them by a mode of the past.  That it is not enforce any more is for
 * the sampler to know, see po_registry_serve_queue.
 */
static int
serve_queue(PoMode mode, int *procnos, int max, TimestampTz now)
{
	int			n = 0;
	int			i = registry()->queue_head;

	while (i >= 0 && n < max)
	{
		PoSlot	   *slot = &po_slots[i];
		PoAdmission admission;

		i = slot->queue_next;
		decide_slot(slot, asks_from_queue(mode), &admission);
		if (admission.outcome <= PO_OUTCOME_WOULD_REJECT)
		{
			dequeue(slot, PO_SLOT_QUEUED);
			take(slot, now);
		}
		else if (admission.outcome == PO_OUTCOME_REJECT)
			dequeue(slot, PO_SLOT_REFUSED);
		else
			continue;
		procnos[n++] = slot->procno;
	}
	return n;
}

static void
wake(const int *procnos, int n)
{
	for (int i = 0; i < n; i++)
		SetLatch(&GetPGProcByNumber(procnos[i])->procLatch);
}

/* Lets the lock go, but not before those in the queue have got what became free. */
static void
unlock_and_serve(PoMode mode, TimestampTz now)
{
	int			procnos[GRANT_BATCH];
	int			n = serve_queue(mode, procnos, GRANT_BATCH, now);

	unlock_admission();
	wake(procnos, n);
	/* Only a change of policies can free so many at once. */
	while (n == GRANT_BATCH)
	{
		lock_admission();
		n = serve_queue(mode, procnos, GRANT_BATCH, now);
		unlock_admission();
		wake(procnos, n);
	}
}

void
po_registry_serve_queue(void)
{
	TimestampTz now = GetCurrentTimestamp();

	lock_admission();
	unlock_and_serve((PoMode) po_guc_mode, now);
}

/* ---------- coming in and leaving ---------- */

/*
 * May one more wait?  Who waits sits on a connection; on one of those that core keeps for
 * superusers it would keep these out, and core would refuse it once it had a place.
 */
static PoEntry
ask_queue(const PoSlot *slot)
{
	const PoRegistry *r = registry();

	if (r->waiting >= po_shared->max_waiting)
		return PO_ENTRY_QUEUE_FULL;
	return r->admitted + r->exempt + r->waiting < po_shared->usable + reserved_for(slot) ?
		PO_ENTRY_QUEUED : PO_ENTRY_NO_ROOM;
}

/* Admits, queues or rejects a session that is not exempt. */
static void
enter_admission(PoSlot *slot, PoTicket *ticket, TimestampTz now)
{
	PoTenant   *t = &po_tenants[slot->tenant];
	PoOutcome	outcome;

	decide_slot(slot, asks_newly(), &ticket->admission);
	outcome = ticket->admission.outcome;
	if (outcome == PO_OUTCOME_WOULD_REJECT)
	{
		t->would_reject++;
		t->last_refused_at = now;
	}
	if (outcome <= PO_OUTCOME_WOULD_REJECT)
	{
		take(slot, now);
		ticket->entry = PO_ENTRY_ADMITTED;
		return;
	}
	ticket->entry = PO_ENTRY_REJECTED;
	if (outcome != PO_OUTCOME_REJECT && ticket->admission.wait_timeout_us > 0)
		ticket->entry = ask_queue(slot);
	if (ticket->entry == PO_ENTRY_QUEUED)
	{
		enqueue(slot);
		return;
	}
	t->rejected++;
	t->last_refused_at = now;
	note_news(t);
	touch(t);
}

void
po_registry_enter(int slot_index, const char *tenant_name, PoTicket *ticket)
{
	PoSlot	   *slot = &po_slots[slot_index];
	TimestampTz now = GetCurrentTimestamp();
	PoTenant   *t;

	memset(ticket, 0, sizeof(*ticket));
	lock_admission();
	t = find_or_add_tenant(tenant_name, now);
	if (t == NULL)
	{
		t = &po_tenants[PO_TENANT_OTHER];
		registry()->overflow_logins++;
		ticket->overflowed = !registry()->overflow_logged;
		registry()->overflow_logged = true;
	}
	resolve_tenant(t);
	ticket->is_new = t->last_used == 0 && t != &po_tenants[PO_TENANT_OTHER];
	t->last_used = now;
	slot->tenant = (int) (t - po_tenants);
	if (slot->exempt != PO_EXEMPT_NO)
	{
		take_exempt(slot, now);
		ticket->entry = PO_ENTRY_ADMITTED;
	}
	else
		enter_admission(slot, ticket, now);
	ticket->tenant = slot->tenant;
	strlcpy(ticket->tenant_name, t->name, sizeof(ticket->tenant_name));
	unlock_admission();
}

bool
po_registry_leave_queue(int slot_index)
{
	PoSlot	   *slot = &po_slots[slot_index];
	bool		left;

	lock_admission();
	left = phase_of(slot) != PO_SLOT_ADMITTED;
	if (phase_of(slot) == PO_SLOT_QUEUED)
		dequeue(slot, PO_SLOT_REFUSED);
	unlock_admission();
	return left;
}

void
po_registry_decide_again(int slot_index, PoAdmission *admission)
{
	PoAdmission again;

	lock_admission();
	decide_slot(&po_slots[slot_index], asks_newly(), &again);
	unlock_admission();
	/* A place that came free in this moment does not make it less refused. */
	if (again.outcome > PO_OUTCOME_WOULD_REJECT)
		*admission = again;
}

void
po_registry_count_rejection(int tenant)
{
	TimestampTz now = GetCurrentTimestamp();

	lock_admission();
	po_tenants[tenant].rejected++;
	po_tenants[tenant].last_refused_at = now;
	note_news(&po_tenants[tenant]);
	touch(&po_tenants[tenant]);
	unlock_admission();
}

void
po_registry_release(int slot_index, bool failed)
{
	PoSlot	   *slot = &po_slots[slot_index];
	PoTenant   *t;
	TimestampTz now = GetCurrentTimestamp();

	lock_admission();
	t = slot->tenant >= 0 ? &po_tenants[slot->tenant] : NULL;
	switch (phase_of(slot))
	{
		case PO_SLOT_FREE:
		case PO_SLOT_REFUSED:
			break;
		case PO_SLOT_QUEUED:
			dequeue(slot, PO_SLOT_FREE);
			break;
		case PO_SLOT_EXEMPT:
			t->exempt--;
			registry()->exempt--;
			break;
		case PO_SLOT_ADMITTED:
			release_counters(slot);
			t->used--;
			registry()->admitted--;
			count_guarantee(t);
			break;
	}
	if (t != NULL)
	{
		t->last_used = now;
		t->failed_logins += failed ? 1 : 0;
		note_news(t);
		touch(t);
	}
	set_phase(slot, PO_SLOT_FREE);
	slot->tenant = -1;
	unlock_and_serve(PO_MODE_ENFORCE, now);
}

void
po_registry_count_unready(void)
{
	lock_admission();
	registry()->unready++;
	unlock_admission();
}

/* ---------- publishing policies ---------- */

/* Tenants named in policies get their places before strangers fill the table. */
static int
add_named_tenants(const PoPolicySet *set, TimestampTz now)
{
	int			first = set->first[PO_SCOPE_TENANT];
	int			n_no_room = 0;

	for (int i = first; i < first + set->n_exact[PO_SCOPE_TENANT]; i++)
	{
		if (find_or_add_tenant(set->policy[i].name, now) == NULL)
			n_no_room++;
	}
	return n_no_room;
}

/* Those that are known by a policy only go with it. */
static void
free_unnamed_tenants(const PoPolicySet *set)
{
	for (int i = PO_TENANT_OTHER + 1; i < registry()->n_tenants; i++)
	{
		PoTenant   *t = &po_tenants[i];

		if (t->in_use && t->used + t->exempt + t->waiting == 0 && t->admitted == 0 &&
			t->rejected == 0 && t->last_used == 0 &&
			po_resolve_find_exact(set, PO_SCOPE_TENANT, t->name) == NULL)
			free_tenant(t);
	}
}

/* Sums the guarantees anew, scaled down if they do not fit any more. */
static void
sum_guarantees(void)
{
	PoRegistry *r = registry();
	int			available = Max(po_shared->usable - po_shared->max_waiting, 0);
	int64		total = 0;

	for (int i = 0; i < r->n_tenants; i++)
	{
		if (!po_tenants[i].in_use)
			continue;
		resolve_tenant(&po_tenants[i]);
		total += po_tenants[i].fields.quota_mode == PO_MODE_OFF ? 0 :
			po_tenants[i].fields.guaranteed;
	}
	r->guarantee_scale = total > available ? (double) available / (double) total : 1.0;
	r->guaranteed_total = (int) Min(total, available);
	for (int i = 0; i < r->n_tenants; i++)
	{
		if (po_tenants[i].in_use)
			count_guarantee(&po_tenants[i]);
	}
}

/* A CIDR may have come or gone: count addresses as the new policies have it. */
static void
recount_addresses(void)
{
	char		key[PO_PART_LEN];
	bool		any = false;

	for (int i = 0; i < po_shared->n_slots; i++)
	{
		PoSlot	   *slot = &po_slots[i];
		int		   *held = &slot->counter[PO_COUNTED(PO_SCOPE_ADDRESS)];
		PoCounter  *c;

		if (phase_of(slot) != PO_SLOT_ADMITTED)
			continue;
		counter_key(slot, PO_SCOPE_ADDRESS, key);
		if (strcmp(po_counters[*held].name, key) == 0)
			continue;
		/* Give back first, so that there is always a free one. */
		if (--po_counters[*held].used <= 0)
			free_counter(&po_counters[*held]);
		c = find_or_add_counter(PO_SCOPE_ADDRESS, key);
		c->used++;
		*held = (int) (c - po_counters);
		any = true;
	}
	/* At last: whoever reads it while this goes on finds it changed afterwards. */
	if (any)
		registry()->recounts++;
}

static void
put_in_force(const PoPolicy *policies, int n, TimestampTz now)
{
	PoRegistry *r = registry();
	PoPolicySet *set = po_policy_set;

	set->n = n;
	memcpy(set->policy, policies, n * sizeof(PoPolicy));
	po_resolve_index(set);
	r->generation++;
	po_resolve_name(po_policy_set, PO_SCOPE_CLUSTER, "*", &r->cluster);
	r->any_queueing = false;
	for (int i = 0; i < n; i++)
	{
		if ((policies[i].fields.set & PO_SET_ON_FULL) != 0 &&
			policies[i].fields.on_full != PO_ON_FULL_REJECT)
			r->any_queueing = true;
	}
	free_unnamed_tenants(set);
	r->n_no_room = add_named_tenants(set, now);
	sum_guarantees();
	recount_addresses();
}

bool
po_registry_publish(PoPolicy *policies, int n, uint64 requested, PoPublished *result)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		current;

	n = Min(n, po_shared->n_policies);
	qsort(policies, n, sizeof(PoPolicy), po_policy_compare);
	memset(result, 0, sizeof(*result));

	lock_admission();
	if (requested == 0)
		pg_atomic_fetch_add_u64(&po_shared->changes_requested, 1);
	current = requested == 0 ||
		pg_atomic_read_u64(&po_shared->changes_requested) == requested;
	if (current && !po_resolve_same(po_policy_set, policies, n))
	{
		result->changed = true;
		put_in_force(policies, n, now);
	}
	result->n_policies = n;
	result->generation = registry()->generation;
	result->guarantee_scale = registry()->guarantee_scale;
	result->n_no_room = registry()->n_no_room;
	unlock_and_serve(PO_MODE_ENFORCE, now);
	return current;
}

int
po_registry_copy_policies(PoPolicy *to, int max)
{
	int			n;

	lock_admission();
	n = Min(po_policy_set->n, max);
	memcpy(to, po_policy_set->policy, n * sizeof(PoPolicy));
	unlock_admission();
	return n;
}

void
po_registry_resolve_tenant(const char *name, PoPolicyFields *fields)
{
	lock_admission();
	po_resolve_name(po_policy_set, PO_SCOPE_TENANT, name, fields);
	unlock_admission();
}

/* ---------- looking ---------- */

void
po_registry_copy_totals(PoRegistry *totals)
{
	lock_admission();
	memcpy(totals, registry(), sizeof(*totals));
	unlock_admission();
}

bool
po_registry_copy_tenant(int i, PoTenant *tenant)
{
	bool		found;

	lock_admission();
	found = i >= 0 && i < registry()->n_tenants && po_tenants[i].in_use;
	if (found)
	{
		resolve_tenant(&po_tenants[i]);
		memcpy(tenant, &po_tenants[i], sizeof(*tenant));
		tenant->fields.guaranteed =
			(int) (tenant->fields.guaranteed * registry()->guarantee_scale);
	}
	unlock_admission();
	return found;
}

int
po_registry_find_tenant(const char *name)
{
	PoTenant   *t;
	int			i = -1;

	lock_admission();
	t = find_tenant(name, hash_name(name));
	if (t != NULL)
		i = (int) (t - po_tenants);
	unlock_admission();
	return i;
}

bool
po_registry_copy_session(int slot_index, PoIdentityCopy *copy)
{
	const PoSlot *slot = &po_slots[slot_index];
	bool		found;

	lock_admission();
	copy->phase = phase_of(slot);
	found = copy->phase != PO_SLOT_FREE && slot->tenant >= 0;
	if (found)
	{
		copy->pid = slot->pid;
		copy->procno = slot->procno;
		copy->backend_start = slot->backend_start;
		copy->exempt = slot->exempt;
		copy->tenant = slot->tenant;
		memcpy(copy->counter, slot->counter, sizeof(copy->counter));
		memcpy(copy->role, slot->role, PO_PART_LEN);
		memcpy(copy->database, slot->database, PO_PART_LEN);
		memcpy(copy->application, slot->application, PO_PART_LEN);
		memcpy(copy->address, slot->address, PO_PART_LEN);
	}
	unlock_admission();
	return found;
}

/* The tenant as it is, or as it would be created. */
static void
imagine_tenant(const char *name, PoTenant *imagined)
{
	const PoTenant *t = find_tenant(name, hash_name(name));

	if (t == NULL && registry()->free_tenant < 0 &&
		registry()->n_tenants >= po_shared->n_tenants)
		t = &po_tenants[PO_TENANT_OTHER];
	if (t != NULL)
	{
		resolve_tenant(&po_tenants[t - po_tenants]);
		memcpy(imagined, t, sizeof(*imagined));
		return;
	}
	memset(imagined, 0, sizeof(*imagined));
	strlcpy(imagined->name, name, sizeof(imagined->name));
	po_resolve_name(po_policy_set, PO_SCOPE_TENANT, name, &imagined->fields);
}

void
po_registry_explain(const PoIdentity *who, const char *tenant_name, bool may_use_reserved,
					PoExplained *out)
{
	Asks		asks = asks_newly();
	PoSlot	   *slot = palloc0(sizeof(PoSlot));
	PoTenant   *tenant = palloc0(sizeof(PoTenant));
	PoCounter	counter[PO_N_COUNTED];
	const PoCounter *counters[PO_N_COUNTED];

	slot->may_use_reserved = may_use_reserved;
	asks.n_reserved = reserved_for(slot);
	po_name_copy(slot->role, who->role, PO_PART_LEN);
	po_name_copy(slot->database, who->database, PO_PART_LEN);
	po_name_copy(slot->application, who->application, PO_PART_LEN);
	po_name_copy(slot->address, who->address, PO_PART_LEN);
	if (!po_cidr_parse(slot->address, &slot->cidr))
		memset(&slot->cidr, 0, sizeof(slot->cidr));
	memset(out, 0, sizeof(*out));
	memset(counter, 0, sizeof(counter));

	lock_admission();
	imagine_tenant(tenant_name, tenant);
	for (int i = 0; i < PO_N_COUNTED; i++)
	{
		PoScope		scope = (PoScope) (PO_SCOPE_DATABASE + i);
		const PoCounter *c;

		counter_key(slot, scope, counter[i].name);
		counter[i].scope = scope;
		c = find_counter(scope, counter[i].name, hash_counter(scope, counter[i].name));
		counter[i].used = c != NULL ? c->used : 0;
		resolve_counter(&counter[i]);
		counters[i] = &counter[i];
		strlcpy(out->key[po_rule_of_scope(scope)], counter[i].name, PO_NAME_LEN);
	}
	decide(tenant, counters, asks, &out->admission);
	out->guaranteed = (int) (tenant->fields.guaranteed * registry()->guarantee_scale);
	out->queue_full = ask_queue(slot) != PO_ENTRY_QUEUED;
	unlock_admission();

	strlcpy(out->key[PO_RULE_DRAIN], tenant->name, PO_NAME_LEN);
	strlcpy(out->key[PO_RULE_TENANT], tenant->name, PO_NAME_LEN);
	strlcpy(out->key[PO_RULE_CLUSTER], "*", PO_NAME_LEN);
	strlcpy(out->key[PO_RULE_BURST], tenant->name, PO_NAME_LEN);
	pfree(slot);
	pfree(tenant);
}

/* ---------- for the sampler ---------- */

/* Fills e and returns 1 if there is something to end, else 0. */
static int
find_excess(PoScope scope, int index, int used, const char *name,
			const PoPolicyFields *fields, PoExcess *e)
{
	bool		draining = scope == PO_SCOPE_TENANT && (fields->set & PO_SET_DRAIN) != 0;
	bool		over = fields->max_connections >= 0 && used > fields->max_connections;

	if (used <= 0 || !(draining || over))
		return 0;
	memset(e, 0, sizeof(*e));
	e->mode = mode_in_force(fields->quota_mode);
	e->kind = draining ? PO_EXCESS_DRAIN : PO_EXCESS_QUOTA;
	e->scope = scope;
	e->index = index;
	e->limit = draining ? 0 : fields->max_connections;
	e->count = used - e->limit;
	e->drain_deadline = fields->drain_started_us + fields->drain_grace_us;
	strlcpy(e->name, name, sizeof(e->name));
	return e->mode != PO_MODE_OFF ? 1 : 0;
}

/* The same at a place among all that are counted: tenants, counters, the cluster. */
static int
find_excess_at(int place, PoExcess *e)
{
	PoRegistry *r = registry();
	int			counter = place - r->n_tenants;

	if (counter < 0)
	{
		PoTenant   *t = &po_tenants[place];

		if (!t->in_use)
			return 0;
		resolve_tenant(t);
		return find_excess(PO_SCOPE_TENANT, place, t->used, t->name, &t->fields, e);
	}
	if (counter < po_shared->n_counters)
	{
		PoCounter  *c = &po_counters[counter];

		if (c->used <= 0)
			return 0;
		resolve_counter(c);
		return find_excess(c->scope, counter, c->used, c->name, &c->fields, e);
	}
	return find_excess(PO_SCOPE_CLUSTER, 0, r->admitted, "*", &r->cluster, e);
}

uint32
po_registry_recounts(void)
{
	uint32		recounts = *(volatile uint32 *) &registry()->recounts;

	pg_read_barrier();
	return recounts;
}

int
po_registry_excess(PoExcess *to, int max, int *from)
{
	PoExcess	e;
	int			n = 0;
	int			n_enforced = 0;
	int			n_places;
	int			begin = *from;
	bool		is_cut = false;

	*from = 0;
	lock_admission();
	n_places = registry()->n_tenants + po_shared->n_counters + 1;
	for (int i = 0; i < n_places; i++)
	{
		int			place = (begin + i) % n_places;

		if (find_excess_at(place, &e) == 0)
			continue;
		if (n == max && !is_cut)
			*from = place;
		is_cut = n == max;
		if (n_enforced == max)
			break;
		if (e.mode != PO_MODE_ENFORCE)
		{
			if (n < max)
				to[n++] = e;
			continue;
		}
		/* In front of what is only observed; if there is no room the last of that goes. */
		n += n < max ? 1 : 0;
		to[n - 1] = to[n_enforced];
		to[n_enforced++] = e;
	}
	unlock_admission();
	return n;
}

/* How many of those in use are too many beside so many unused guarantees. */
static int
too_many_beside(int unused, int in_use)
{
	int			critical = po_shared->usable * po_guc_critical_threshold / 100;
	int			count = in_use + unused - po_shared->usable;

	if (unused <= 0)
		return 0;
	if (in_use >= critical)
		count = Max(count, in_use - critical + 1);
	return Max(count, 0);
}

void
po_registry_called_back(PoCalledBack *count)
{
	PoRegistry *r = registry();
	int			in_use;

	lock_admission();
	in_use = r->admitted + r->exempt + r->waiting;
	count->enforced = too_many_beside(r->unused_enforce, in_use);
	count->observed = too_many_beside(r->unused_enforce + r->unused_observe, in_use);
	unlock_admission();
}

int
po_registry_lent(int tenant, PoMode *mode)
{
	PoTenant   *t = &po_tenants[tenant];
	int			lent;

	lock_admission();
	resolve_tenant(t);
	lent = t->used - Min((int) (t->fields.guaranteed * registry()->guarantee_scale), t->used);
	*mode = mode_in_force(t->fields.quota_mode);
	unlock_admission();
	return lent;
}

/* What a queued login waits for, as an index to compare sessions with. */
static int
waited_for(const PoSlot *slot, PoScope scope)
{
	char		key[PO_PART_LEN];
	const PoCounter *c;

	if (scope == PO_SCOPE_TENANT || scope == PO_SCOPE_CLUSTER)
		return slot->tenant;
	counter_key(slot, scope, key);
	c = find_counter(scope, key, hash_counter(scope, key));
	return c == NULL ? -1 : (int) (c - po_counters);
}

/* One more eviction for what this login waits for; returns how many entries. */
static int
add_eviction(PoExcess *to, int n, int max, const PoSlot *slot, PoRule rule)
{
	/* Room beyond guarantees is made by the tenant that wants it. */
	PoScope		scope = rule == PO_RULE_BURST ? PO_SCOPE_TENANT :
		(PoScope) (rule - PO_RULE_TENANT);
	int			index = waited_for(slot, scope);

	for (int i = 0; i < n; i++)
	{
		if (to[i].scope == scope && to[i].index == index)
		{
			to[i].count++;
			return n;
		}
	}
	if (index < 0 || n >= max)
		return n;
	memset(&to[n], 0, sizeof(to[n]));
	to[n].kind = PO_EXCESS_EVICTION;
	to[n].scope = scope;
	to[n].index = index;
	to[n].count = 1;
	to[n].mode = PO_MODE_ENFORCE;
	strlcpy(to[n].name, po_tenants[slot->tenant].name, sizeof(to[n].name));
	return n + 1;
}

int
po_registry_evictions(PoExcess *to, int max)
{
	int			n = 0;

	/* An unlocked look: a queue that fills now wakes the sampler again. */
	if (registry()->queue_head < 0)
		return 0;
	lock_admission();
	/* All of them: what one waits for is not what it was when it came. */
	for (int i = registry()->queue_head; i >= 0; i = po_slots[i].queue_next)
	{
		PoAdmission admission;

		decide_slot(&po_slots[i], asks_from_queue((PoMode) po_guc_mode), &admission);
		if (admission.outcome == PO_OUTCOME_EVICT_IDLE)
			n = add_eviction(to, n, max, &po_slots[i], admission.rule);
	}
	unlock_admission();
	return n;
}

int
po_registry_take_news(PoTenantNews *to, int max, PoClusterNews *cluster)
{
	PoRegistry *r = registry();
	int			n = 0;

	/* Without the lock: what comes now is found the next time. */
	if (r->news < 0)
		return 0;
	lock_admission();
	while (r->news >= 0 && n < max)
	{
		PoTenant   *t = &po_tenants[r->news];
		PoTenantNews *news = &to[n++];

		news->tenant = r->news;
		news->sessions = t->used + t->exempt;
		news->sessions_peak = Max(t->news_peak, news->sessions);
		news->waiting = t->waiting;
		news->waiting_peak = Max(t->news_waiting, t->waiting);
		news->rejected = t->rejected - t->told_rejected;
		news->failed = t->failed_logins - t->told_failed;
		t->told_rejected = t->rejected;
		t->told_failed = t->failed_logins;
		t->news_peak = t->news_waiting = 0;
		t->has_news = false;
		r->news = t->next_news;
	}
	cluster->sessions = r->admitted + r->exempt;
	cluster->sessions_peak = Max(r->news_peak, cluster->sessions);
	cluster->waiting = r->waiting;
	cluster->waiting_peak = Max(r->news_waiting, r->waiting);
	r->news_peak = r->news_waiting = 0;
	unlock_admission();
	return n;
}

static void
fill_glance(int i, PoTenantGlance *to)
{
	PoTenant   *t = &po_tenants[i];

	resolve_tenant(t);
	to->tenant = i;
	to->hash = t->hash;
	to->used = t->used;
	to->exempt = t->exempt;
	to->rejected = t->rejected;
	to->max_connections = t->fields.max_connections;
	to->mode = mode_in_force(t->fields.quota_mode);
	to->target_wait_us = t->fields.target_wait_us;
	memcpy(to->name, t->name, sizeof(to->name));
}

int
po_registry_take_touched(PoTenantGlance *to, int max)
{
	PoRegistry *r = registry();
	int			n = 0;

	/* An unlocked look: what comes now is found the next time. */
	if (r->touched < 0)
		return 0;
	lock_admission();
	while (r->touched >= 0 && n < max)
	{
		PoTenant   *t = &po_tenants[r->touched];

		if (t->in_use)
			fill_glance(r->touched, &to[n++]);
		r->touched = t->next_touched;
		t->touched = false;
	}
	unlock_admission();
	return n;
}

int
po_registry_max_connections(int tenant)
{
	int			max_connections;

	lock_admission();
	resolve_tenant(&po_tenants[tenant]);
	max_connections = po_tenants[tenant].fields.max_connections;
	unlock_admission();
	return max_connections;
}

bool
po_registry_glance(int tenant, PoTenantGlance *to)
{
	bool		found;

	lock_admission();
	found = tenant >= 0 && tenant < registry()->n_tenants && po_tenants[tenant].in_use;
	if (found)
		fill_glance(tenant, to);
	unlock_admission();
	return found;
}

/* Counts the slots anew into the tenants and totals; true if a total was off. */
static bool
recount(void)
{
	PoRegistry *r = registry();
	int			admitted = 0;
	int			exempt = 0;

	for (int i = 0; i < po_shared->n_slots; i++)
	{
		admitted += phase_of(&po_slots[i]) == PO_SLOT_ADMITTED;
		exempt += phase_of(&po_slots[i]) == PO_SLOT_EXEMPT;
	}
	if (admitted == r->admitted && exempt == r->exempt)
		return false;
	for (int i = 0; i < r->n_tenants; i++)
		po_tenants[i].used = po_tenants[i].exempt = 0;
	for (int i = 0; i < po_shared->n_slots; i++)
	{
		if (phase_of(&po_slots[i]) == PO_SLOT_ADMITTED)
			po_tenants[po_slots[i].tenant].used++;
		else if (phase_of(&po_slots[i]) == PO_SLOT_EXEMPT)
			po_tenants[po_slots[i].tenant].exempt++;
	}
	r->admitted = admitted;
	r->exempt = exempt;
	for (int i = 0; i < r->n_tenants; i++)
	{
		count_guarantee(&po_tenants[i]);
		note_news(&po_tenants[i]);
	}
	return true;
}

bool
po_registry_reconcile(void)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		mended;

	lock_admission();
	mended = recount();
	unlock_and_serve(PO_MODE_ENFORCE, now);
	return mended;
}

/* ---------- state file, reset ---------- */

int
po_registry_restore_tenant(const PoTenant *saved)
{
	PoTenant   *t;
	int			i = -1;
	TimestampTz now = GetCurrentTimestamp();

	lock_admission();
	t = find_or_add_tenant(saved->name, now);
	if (t != NULL)
	{
		t->peak_sessions = saved->peak_sessions;
		t->admitted = saved->admitted;
		t->rejected = saved->rejected;
		t->would_reject = saved->would_reject;
		t->failed_logins = saved->failed_logins;
		t->told_rejected = saved->told_rejected;
		t->told_failed = saved->told_failed;
		t->first_seen = saved->first_seen;
		t->last_used = saved->last_used;
		t->last_refused_at = saved->last_refused_at;
		i = (int) (t - po_tenants);
	}
	unlock_admission();
	return i;
}

void
po_registry_reset_tenant(int i, PoTenant *was)
{
	PoTenant   *t = &po_tenants[i];

	lock_admission();
	memcpy(was, t, sizeof(*was));
	t->peak_sessions = t->used + t->exempt;
	/* Below zero by what has not been told yet, so that it still is. */
	t->told_rejected -= t->rejected;
	t->told_failed -= t->failed_logins;
	t->admitted = t->rejected = t->would_reject = t->failed_logins = 0;
	t->last_refused_at = 0;
	unlock_admission();
}
