/*
 * po_reclaim.c
 *		Carrying out what the sampler found: leaks, surplus, evictions.
 *
 * Every session is judged again by itself before it ends (po_act.h); what is
 * counted and logged as ended is what did end.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "model/po_names.h"
#include "po_act.h"
#include "po_alert.h"
#include "po_compat.h"
#include "po_events.h"
#include "po_guc.h"
#include "po_inject.h"
#include "po_reclaim.h"
#include "po_registry.h"
#include "po_stats.h"

#define MAX_EXCESS			256	/* in a pass, beside evictions */

/* While draining, a session between two transactions of one request is left alone. */
#define DRAIN_IDLE_US		PO_US_PER_S

/*
 * An idle session that may be surplus.  What it is counted in is of the moment when it was
 * gathered: one that has left meanwhile has none, but is among those that are too many.
 */
typedef struct IdleSession
{
	int			slot;
	int			tenant;
	int			counter[PO_N_COUNTED];
	PoSeen		seen;
	bool		ordered;		/* on its way out already, whatever it does */
} IdleSession;

static IdleSession *idle = NULL;
static PoExcess *excess = NULL;
static int *called_back = NULL; /* per tenant, in this pass */
static int excess_from = 0;		/* where the next pass begins to look */
static bool scan_again = false;
static int64 scan_at = 0;
static int64 tell_at = 0;		/* not before: whom observing would call back */

/* One for each login that waits. */
static int
most_evictions(void)
{
	return Min(po_shared->max_waiting, po_shared->n_slots);
}

void
po_reclaim_attach(void)
{
	idle = MemoryContextAllocZero(TopMemoryContext,
								  po_shared->n_slots * sizeof(IdleSession));
	excess = MemoryContextAllocZero(TopMemoryContext,
									(most_evictions() + MAX_EXCESS) * sizeof(PoExcess));
	called_back = MemoryContextAllocExtended(TopMemoryContext,
											 po_shared->n_tenants * sizeof(int),
											 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

static void
publish(int slot, PoClass class, PoVerdict verdict)
{
	pg_atomic_write_u32(&po_watches[slot].finding, PO_FINDING(class, verdict));
}

/* ---------- one session ---------- */

/* Tells once per state of a session what would have been done. */
static void
report_would_terminate(int slot, const PoSeen *seen, PoClass class, const char *reason,
					   const char *detail)
{
	PoWatch    *w = &po_watches[slot];
	int			index = *(volatile int *) &po_slots[slot].tenant;
	PoTenant	tenant;

	publish(slot, class, PO_VERDICT_WOULD_TERMINATE);
	if ((w->reported_for == seen->state_change && w->reported_class == class) ||
		!po_registry_copy_tenant(index, &tenant))
		return;
	w->reported_for = seen->state_change;
	w->reported_class = class;
	po_stats_note_would_terminate(index);
	po_events_add(PO_EVENT_WOULD_TERMINATE, tenant.name, seen->pid, reason, detail);
	ereport(LOG,
			(errmsg("pool_optimizer would end session %d of tenant \"%s\": %s",
					seen->pid, tenant.name, reason),
			 errdetail_log("%s", detail)));
}

/* False if the order could not be given, now or at all. */
static bool
order_end(int slot, const PoSeen *seen, PoClass class, bool whatever_it_does,
		  const char *reason, const char *detail)
{
	PoTarget	target;
	int64		now = po_shmem_monotonic_us();
	bool		ordered;

	/*
	 * It says idle, but its client does not read the answer: it would decline, in each pass
	 * anew, and others would stay in its stead.
	 */
	if (!whatever_it_does && po_sample_in_client_write(po_slots[slot].procno))
	{
		publish(slot, class, PO_VERDICT_KEEP);
		return false;
	}
	if (!po_stats_take_termination(now))
	{
		publish(slot, class, PO_VERDICT_RATE_LIMITED);
		return false;
	}
	memset(&target, 0, sizeof(target));
	target.slot = slot;
	target.pid = seen->pid;
	target.backend_start = seen->backend_start;
	target.state_change = whatever_it_does ? 0 : seen->state_change;
	target.in_client_read = class == PO_CLASS_STUCK_IN_CLIENT_READ;
	target.reason = reason;
	target.detail = detail;
	ordered = po_act_order(&target);
	if (!ordered)
		po_stats_give_back_termination(now);
	/* After the order: whoever reads this verdict may count on it. */
	publish(slot, class, PO_VERDICT_TERMINATE);
	return ordered;
}

/* Has it an order that it has not answered, or accepted? */
static bool
is_ordered(int slot)
{
	PoOrderPhase phase = po_act_order_phase(slot);

	return phase == PO_ORDER_ARMED || phase == PO_ORDER_ACCEPTED;
}

/* ---------- leaks ---------- */

static void
end_leak(PoCandidate *c, const char *reason, const char *detail)
{
	int			tenant = po_slots[c->slot].tenant;
	PoClass		class = c->judgement.finding.class;
	int64		now = po_shmem_monotonic_us();
	PoTenant	copy;

	if (is_ordered(c->slot) || !po_registry_copy_tenant(tenant, &copy))
		return;
	if (po_stats_breaker_check(tenant, now, copy.used + copy.exempt) != PO_BREAKER_NOTHING)
		po_alert_note_breaker(tenant);
	if (!po_stats_breaker_allows(tenant, now))
		publish(c->slot, class, PO_VERDICT_BREAKER_OPEN);
	else if (order_end(c->slot, &c->seen, class, false, reason, detail))
		po_stats_breaker_note(tenant, now, copy.used + copy.exempt);
}

static int
compare_candidates(const void *a, const void *b)
{
	return po_damage_compare(&((const PoCandidate *) a)->damage,
							 &((const PoCandidate *) b)->damage);
}

/* Leaves out the exempt; returns how many are left. */
static int
sort_out_exempt(PoCandidate *candidates, int n)
{
	int			kept = 0;

	for (int i = 0; i < n; i++)
	{
		PoCandidate *c = &candidates[i];

		if (po_judge_exempt(c->slot, &c->seen, &c->holdings) != PO_EXEMPT_NO)
		{
			publish(c->slot, c->judgement.finding.class, PO_VERDICT_EXEMPT);
			continue;
		}
		c->damage.waiting_behind = c->holdings.waiting_behind;
		c->damage.xmin_age = c->holdings.xmin_age;
		c->damage.locks = c->holdings.locks;
		c->damage.state_us = c->judgement.facts.state_us;
		if (kept != i)
			candidates[kept] = *c;
		kept++;
	}
	return kept;
}

void
po_reclaim_leaks(PoCandidate *candidates, int n)
{
	char		reason[PO_REASON_LEN];
	char		detail[PO_DETAIL_LEN];

	n = sort_out_exempt(candidates, n);
	if (n > 1)
		qsort(candidates, n, sizeof(PoCandidate), compare_candidates);
	for (int i = 0; i < n; i++)
	{
		PoCandidate *c = &candidates[i];

		po_judge_reason(&c->judgement, reason, sizeof(reason));
		po_judge_detail(c->slot, &c->judgement, &c->holdings, detail, sizeof(detail));
		if (c->judgement.mode == PO_MODE_ENFORCE)
			end_leak(c, reason, detail);
		else
			report_would_terminate(c->slot, &c->seen, c->judgement.finding.class, reason,
								   detail);
	}
}

/* ---------- surplus ---------- */

static int
compare_sessions(const void *a, const void *b)
{
	const PoSeen *seen_a = &((const IdleSession *) a)->seen;
	const PoSeen *seen_b = &((const IdleSession *) b)->seen;
	bool		idle_a = seen_a->state == PO_STATE_IDLE;
	bool		idle_b = seen_b->state == PO_STATE_IDLE;

	if (idle_a != idle_b)
		return idle_a ? -1 : 1;
	return seen_a->state_change < seen_b->state_change ? -1 :
		seen_a->state_change > seen_b->state_change ? 1 : 0;
}

/*
 * Gathers sessions that take quota, the longest idle first; at the end those that are on their
 * way out though they are not idle, and with_busy all the others.
 */
static int
gather_sessions(bool with_busy)
{
	int			n = 0;

	for (int i = 0; i < po_shared->n_slots; i++)
	{
		PoSeen		seen;

		if (pg_atomic_read_u32(&po_slots[i].phase) != PO_SLOT_ADMITTED ||
			!po_sample_read(i, &seen))
			continue;
		idle[n].ordered = is_ordered(i);
		if (seen.state != PO_STATE_IDLE && !idle[n].ordered && !with_busy)
			continue;
		idle[n].slot = i;
		idle[n].tenant = *(volatile int *) &po_slots[i].tenant;
		memcpy(idle[n].counter, po_slots[i].counter, sizeof(idle[n].counter));
		idle[n].seen = seen;
		n += idle[n].tenant >= 0 ? 1 : 0;
	}
	qsort(idle, n, sizeof(IdleSession), compare_sessions);
	return n;
}

static bool
counts_in(const IdleSession *s, const PoExcess *e)
{
	switch (e->scope)
	{
		case PO_SCOPE_TENANT:
			return s->tenant == e->index;
		case PO_SCOPE_CLUSTER:
			return true;
		default:
			return s->counter[PO_COUNTED(e->scope)] == e->index;
	}
}

/* As snprintf: the length that it would have. */
static int
name_surplus(const PoExcess *e, bool forced, const char *name, char *reason, Size size)
{
	switch (e->kind)
	{
		case PO_EXCESS_QUOTA:
			return snprintf(reason, size, "surplus: %s \"%s\" has %d more than its "
							"max_connections of %d, and this one was idle for longest",
							po_scope_name(e->scope), name, e->count, e->limit);
		case PO_EXCESS_DRAIN:
			return snprintf(reason, size, "tenant \"%s\" is being drained%s", name,
							forced ? " and its grace is over" : "");
		case PO_EXCESS_EVICTION:
			return snprintf(reason, size, "longest idle when a login of tenant \"%s\" needed a "
							"place (on_full is evict_idle)", name);
	}
	reason[0] = '\0';
	return 0;
}

/* A long name is cut, at a character, so that the words after it are not. */
static void
surplus_reason(const PoExcess *e, bool forced, char *reason, Size size)
{
	char		name[PO_NAME_LEN];
	int			words = name_surplus(e, forced, "", reason, size);

	po_name_copy(name, e->name, Min(sizeof(name), size - words));
	name_surplus(e, forced, name, reason, size);
}

/* Ends or reports one surplus session; true if it (will have) ended. */
static bool
end_surplus_session(IdleSession *s, PoMode mode, bool whatever_it_does, const char *reason)
{
	PoHoldings	holdings;
	PoJudgement judgement;
	char		detail[PO_DETAIL_LEN];

	if (po_judge_exempt(s->slot, &s->seen, &holdings) != PO_EXEMPT_NO)
	{
		publish(s->slot, PO_CLASS_SURPLUS, PO_VERDICT_EXEMPT);
		return false;
	}
	memset(&judgement, 0, sizeof(judgement));
	judgement.finding.class = PO_CLASS_SURPLUS;
	judgement.facts.state_us = po_judge_state_us(s->slot, &s->seen);
	judgement.facts.transactions =
		pg_atomic_read_u64(&po_slots[s->slot].account.transactions);
	po_judge_detail(s->slot, &judgement, &holdings, detail, sizeof(detail));
	if (mode != PO_MODE_ENFORCE)
	{
		report_would_terminate(s->slot, &s->seen, PO_CLASS_SURPLUS, reason, detail);
		return true;
	}
	s->ordered = order_end(s->slot, &s->seen, PO_CLASS_SURPLUS, whatever_it_does, reason,
						   detail);
	return s->ordered;
}

/* Has it left since it was gathered, or been ordered to by somebody else? */
static bool
goes_anyway(const IdleSession *s)
{
	PoSlot	   *slot = &po_slots[s->slot];

	return pg_atomic_read_u32(&slot->phase) == PO_SLOT_FREE || is_ordered(s->slot) ||
		slot->pid != s->seen.pid || slot->backend_start != s->seen.backend_start;
}

/*
 * Every excess that this session is part of has one less to end.  One that is only told of
 * stays: what is enforced has as many to end as before.
 */
static void
settle(const IdleSession *s, int n_excess, bool goes)
{
	for (int i = 0; i < n_excess; i++)
	{
		if (counts_in(s, &excess[i]) && (goes || excess[i].mode != PO_MODE_ENFORCE))
			excess[i].count--;
	}
}

/* Why this session should go, NULL if it may stay.  What is enforced comes first. */
static const PoExcess *
excess_of(const IdleSession *s, int n_excess, TimestampTz now, bool *forced)
{
	bool		is_idle = s->seen.state == PO_STATE_IDLE;

	for (int i = 0; i < n_excess; i++)
	{
		const PoExcess *e = &excess[i];
		bool		drain = e->kind == PO_EXCESS_DRAIN;

		if (e->count <= 0 || !counts_in(s, e))
			continue;
		*forced = drain && now >= e->drain_deadline;
		if (*forced || (is_idle &&
						(!drain || po_judge_state_us(s->slot, &s->seen) >= DRAIN_IDLE_US)))
			return e;
	}
	return NULL;
}

/* Ends what is too much among the n sessions gathered. */
static void
end_excess(int n_excess, int n)
{
	TimestampTz now = GetCurrentTimestamp();
	char		reason[PO_REASON_LEN];

	for (int i = 0; i < n; i++)
	{
		if (idle[i].ordered)
			settle(&idle[i], n_excess, true);
	}
	for (int i = 0; i < n; i++)
	{
		bool		forced = false;
		const PoExcess *e;

		if (idle[i].ordered)
			continue;
		e = excess_of(&idle[i], n_excess, now, &forced);
		if (e == NULL)
			continue;
		surplus_reason(e, forced, reason, sizeof(reason));
		if (end_surplus_session(&idle[i], e->mode, forced, reason))
			settle(&idle[i], n_excess, e->mode == PO_MODE_ENFORCE);
		/* Without us, after the counts were read. */
		else if (goes_anyway(&idle[i]))
			settle(&idle[i], n_excess, true);
	}
}

/* One less to call back, and less that its tenant has been lent. */
static void
count_as_called_back(int tenant, bool goes, PoCalledBack *count)
{
	called_back[tenant]++;
	count->observed--;
	/* One that is only told of makes no room. */
	count->enforced -= goes ? 1 : 0;
}

/* Ends or reports one session that is lent; false if it stays as far as we are concerned. */
static bool
call_back_session(IdleSession *s, PoCalledBack *count)
{
	PoMode		mode;

	if (po_registry_lent(s->tenant, &mode) - called_back[s->tenant] <= 0)
		return false;
	/* What only guarantees in mode observe want is told, as it is at a login. */
	if (count->enforced <= 0)
		mode = po_mode_lower(mode, PO_MODE_OBSERVE);
	if (mode == PO_MODE_OFF || (mode == PO_MODE_OBSERVE && count->observed <= 0) ||
		!end_surplus_session(s, mode, false, "lent connection called back: unused guarantees "
							 "of other tenants need the room"))
		return false;
	count_as_called_back(s->tenant, mode == PO_MODE_ENFORCE, count);
	return true;
}

/* Is it one of as many as reserved_connections that may use these?  They are nobody's loan. */
static bool
is_on_reserved(const IdleSession *s, int *n_reserved)
{
	if (*n_reserved <= 0 || !po_slots[s->slot].may_use_reserved)
		return false;
	(*n_reserved)--;
	return true;
}

/*
 * Under pressure, sessions beyond their tenants' guarantees go, the longest idle first.  Those
 * that are on their way out are still counted, in use and as lent.
 */
static void
call_back(void)
{
	int			n = gather_sessions(false);
	int			n_reserved = po_compat_connections_for_roles();
	PoCalledBack count;

	po_registry_called_back(&count);	/* after them, see below */
	for (int i = 0; i < n; i++)
		called_back[idle[i].tenant] = 0;
	for (int i = 0; i < n; i++)
	{
		if (idle[i].ordered)
			count_as_called_back(idle[i].tenant, true, &count);
	}
	for (int i = 0; i < n && (count.enforced > 0 || count.observed > 0); i++)
	{
		if (!idle[i].ordered && !is_on_reserved(&idle[i], &n_reserved) &&
			!call_back_session(&idle[i], &count) && goes_anyway(&idle[i]))
			count_as_called_back(idle[i].tenant, true, &count);
	}
}

/*
 * What is to end for the moment; excess holds it, what is enforced first.  from: as of
 * po_registry_excess.
 */
static int
find_excess(bool scan, int *from, bool *with_busy)
{
	TimestampTz now = GetCurrentTimestamp();
	int			n = po_registry_evictions(excess, most_evictions());
	int			n_evictions = n;
	bool		enforce = false;

	*with_busy = false;
	if (!scan)
		return n;
	n += po_registry_excess(excess + n, MAX_EXCESS, from);
	for (int i = n_evictions; i < n; i++)
	{
		enforce = enforce || excess[i].mode == PO_MODE_ENFORCE;
		*with_busy = *with_busy || (excess[i].kind == PO_EXCESS_DRAIN &&
									now >= excess[i].drain_deadline);
	}
	/* What only would be done is looked for once a second. */
	scan_again = n > n_evictions;
	scan_at = enforce ? 0 : po_shmem_monotonic_us() + PO_US_PER_S;
	return n;
}

/*
 * The sessions are gathered before the counts are read that they are ended by: one
 * that leaves in between is then missing in the count, and one too few is ended, which
 * the next pass makes good.  The other way round it would be one too many.  If addresses are
 * recounted in between, it ends nobody: what a session was counted in may be another one's.
 */
void
po_reclaim_surplus(bool scan)
{
	bool		with_busy;
	int			from = excess_from;
	PoCalledBack count;

	scan = scan || (scan_again && po_shmem_monotonic_us() >= scan_at);
	if (find_excess(scan, &from, &with_busy) > 0)
	{
		uint32		recounts = po_registry_recounts();
		int			n = gather_sessions(with_busy);
		int			n_excess;

		po_inject_pause("surplus_gathered");
		from = excess_from;
		n_excess = find_excess(scan, &from, &with_busy);
		po_inject_pause("surplus_found");
		if (po_registry_recounts() == recounts)
		{
			end_excess(n_excess, n);
			excess_from = from;
		}
	}
	po_registry_called_back(&count);
	if (count.enforced <= 0 && (count.observed <= 0 || po_shmem_monotonic_us() < tell_at))
		return;
	tell_at = po_shmem_monotonic_us() + PO_US_PER_S;
	call_back();
}
