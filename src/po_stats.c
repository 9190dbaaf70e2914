/*
 * po_stats.c
 *		What each tenant did: exact accounting, levels of concurrency, sizing.
 *
 * PO_LOCK_STATS is taken here and nowhere else.  Sessions count into their own
 * slots without any lock; what they counted is carried over to the tenant by the
 * sampler, and at exit by the session itself.  Each carries over the difference to
 * what was carried over before, so neither loses nor counts twice.
 */
#include "postgres.h"

#include <math.h>

#include "utils/timestamp.h"

#include "model/po_pooler_plan.h"
#include "model/po_queueing.h"
#include "po_compat.h"
#include "po_cores.h"
#include "po_guc.h"
#include "po_sharing.h"
#include "po_speed.h"
#include "po_stats.h"

#define HOUR_US				(3600 * PO_US_PER_S)
#define SEASON_GRACE_US		(300 * PO_US_PER_S)

/* Drift of the load is a mean of about so many evaluations. */
#define DRIFT_EVALUATIONS	10
#define MOST_OFF			3.0
#define LEAST_LOAD			0.05	/* less is too little to be off by a share of it */

/* How long a pool that stood still is remembered, by the wall clock. */
#define STANDSTILL_DAYS		30

/* How often to look as long as too little is known. */
#define FIRST_LOOKS_US		(5 * PO_US_PER_S)

/* Looks in an evaluation while a size asked for is on its way. */
#define ARRIVAL_LOOKS		10

static inline void
lock_stats(void)
{
	LWLockAcquire(po_shmem_lock(PO_LOCK_STATS), LW_EXCLUSIVE);
}

static inline void
unlock_stats(void)
{
	LWLockRelease(po_shmem_lock(PO_LOCK_STATS));
}

/* ---------- a session's own account ---------- */

void
po_stats_begin(int slot)
{
	PoAccount  *a = &po_slots[slot].account;

	lock_stats();
	pg_atomic_write_u64(&a->transactions, 0);
	pg_atomic_write_u64(&a->rollbacks, 0);
	pg_atomic_write_u64(&a->errors, 0);
	pg_atomic_write_u64(&a->service_us, 0);
	pg_atomic_write_u64(&a->service_sq, 0);
	pg_atomic_write_u64(&a->last_error_at, 0);
	pg_atomic_write_u32(&a->last_sqlstate, 0);
	memset((void *) a->service, 0, sizeof(a->service));
	memset((void *) a->gaps, 0, sizeof(a->gaps));
	memset(&po_slots[slot].merged, 0, sizeof(PoMerged));
	unlock_stats();
}

void
po_stats_error(PoAccount *account, int sqlstate, TimestampTz at)
{
	pg_atomic_write_u32(&account->last_sqlstate, (uint32) sqlstate);
	pg_atomic_write_u64(&account->last_error_at, (uint64) at);
	po_count_own(&account->errors, 1);
}

/* ---------- carrying over ---------- */

/* What has come since *before, which is brought up to now. */
static inline uint64
difference(const pg_atomic_uint64 *now, uint64 *before)
{
	uint64		value = pg_atomic_read_u64((pg_atomic_uint64 *) now);
	uint64		d = value - *before;

	*before = value;
	return d;
}

/* What has come to a bucket since it was merged; right across a wrap. */
static inline uint32
new_in_bucket(const volatile uint32 *from, uint32 *merged, int i)
{
	uint32		value = from[i];
	uint32		came = value - merged[i];

	if (came != 0)
		merged[i] = value;
	return came;
}

static void
merge_histogram(PoHistogram *to, PoHistogram *total, const volatile uint32 *from,
				uint32 *merged)
{
	for (int i = 0; i < PO_HISTOGRAM_BUCKETS; i++)
	{
		uint32		came = new_in_bucket(from, merged, i);

		if (came == 0)
			continue;
		to->count[i] += came;
		total->count[i] += came;
	}
}

static void
merge_gaps(PoSmallHistogram *to, const volatile uint32 *from, uint32 *merged)
{
	for (int i = 0; i < PO_HISTOGRAM_BUCKETS; i++)
	{
		uint32		came = new_in_bucket(from, merged, i);

		if (came > 0)
			po_histogram_share_small(to, i, came);
	}
}

static void
merge_error(PoTenantStats *t, const PoAccount *a)
{
	TimestampTz at = (TimestampTz) pg_atomic_read_u64((pg_atomic_uint64 *) &a->last_error_at);
	uint32		sqlstate = pg_atomic_read_u32((pg_atomic_uint32 *) &a->last_sqlstate);

	if (at <= t->last_error_at)
		return;
	t->last_error_at = at;
	if (sqlstate == 0)
		strlcpy(t->last_error, "transaction ended by an error", sizeof(t->last_error));
	else
		snprintf(t->last_error, sizeof(t->last_error), "transaction ended by SQLSTATE %s",
				 unpack_sql_state((int) sqlstate));
}

static void
add_to_window(PoWindow *w, uint64 transactions, uint64 service_us, double service_sq)
{
	w->transactions += transactions;
	w->service_us += service_us;
	w->service_sq += service_sq;
}

bool
po_stats_merge(int slot_index)
{
	PoSlot	   *slot = &po_slots[slot_index];
	PoAccount  *a = &slot->account;
	PoMerged   *m = &slot->merged;
	int			tenant = *(volatile int *) &slot->tenant;
	PoTenantStats *t;
	uint64		transactions;
	uint64		service_us;
	uint64		errors;
	double		service_sq;

	if (tenant < 0)
		return false;
	t = &po_tenant_stats[tenant];
	lock_stats();
	transactions = difference(&a->transactions, &m->transactions);
	errors = difference(&a->errors, &m->errors);
	if (transactions > 0)
	{
		t->transactions += transactions;
		po_shared->total.transactions += transactions;
		t->rollbacks += difference(&a->rollbacks, &m->rollbacks);
		service_us = difference(&a->service_us, &m->service_us);
		service_sq = po_stats_read_double(&a->service_sq);
		t->service_us += service_us;
		add_to_window(&t->window, transactions, service_us, service_sq - m->service_sq);
		add_to_window(&t->recent, transactions, service_us, service_sq - m->service_sq);
		m->service_sq = service_sq;
		merge_histogram(&t->service, &po_shared->total.service, a->service, m->service);
		merge_gaps(&t->gaps, a->gaps, m->gaps);
	}
	if (errors > 0)
	{
		t->xact_errors += errors;
		t->recent.errors += errors;
		po_shared->total.xact_errors += errors;
		merge_error(t, a);
	}
	unlock_stats();
	return transactions > 0 || errors > 0;
}

void
po_stats_note_wait(int tenant, int64 wait_us)
{
	PoTenantStats *t = &po_tenant_stats[tenant];

	lock_stats();
	po_histogram_add_small(&t->waits, wait_us);
	t->n_waits++;
	t->waited_us += (uint64) Max(wait_us, 0);
	unlock_stats();
}

void
po_stats_note_login(int tenant, int64 login_us)
{
	lock_stats();
	po_warmup_add_login(&po_tenant_stats[tenant].warmup, login_us);
	unlock_stats();
}

void
po_stats_note_error(int tenant, const char *error, TimestampTz at)
{
	PoTenantStats *t = &po_tenant_stats[tenant];
	char		clipped[sizeof(t->last_error)];

	po_name_copy(clipped, error, sizeof(clipped));
	lock_stats();
	memcpy(t->last_error, clipped, sizeof(clipped));
	t->last_error_at = at;
	unlock_stats();
}

void
po_stats_note_terminated(int tenant)
{
	lock_stats();
	po_tenant_stats[tenant].terminated++;
	po_shared->total.terminated++;
	unlock_stats();
}

void
po_stats_note_would_terminate(int tenant)
{
	lock_stats();
	po_tenant_stats[tenant].would_terminate++;
	unlock_stats();
}

/* ---------- observing ---------- */

void
po_stats_observe(const PoObservation *seen, TimestampTz now, int64 dt_us, uint64 tick)
{
	PoTenantStats *t = &po_tenant_stats[seen->tenant];
	int			busy = seen->active + seen->idle_in_transaction;
	int64		weight;

	lock_stats();
	t->active = seen->active;
	t->idle_in_transaction = seen->idle_in_transaction;
	t->counts_tick = tick;
	t->peak_busy = Max(t->peak_busy, busy);
	t->recent_most = Max(t->recent_most, busy);
	if (t->busy_at == 0 || t->busy_at > now)
	{
		t->busy_at = now - dt_us;
		if (t->observed_since == 0)
			t->observed_since = t->busy_at;
	}
	/* Since it was last seen busy it was not, but for the time of this sample. */
	weight = Min(dt_us, now - t->busy_at);
	po_warmup_observe(&t->warmup, busy, now - t->busy_at > weight, now, dt_us);
	po_levels_pass(&t->busy, (double) (now - t->busy_at - weight));
	po_levels_add(&t->busy, busy, (double) weight);
	t->busy_at = now;
	for (int i = 0; i < PO_N_WAITS; i++)
	{
		double		waited_us = (double) seen->waits[i] * (double) weight;

		t->window.wait_us[i] += waited_us;
		t->recent.wait_us[i] += waited_us;
	}
	unlock_stats();
}

/* ---------- sizing ---------- */

/* One more than with which it stood still, for as long as that is remembered; 0 = nothing. */
static int
least_size(const PoTenantStats *t, TimestampTz now)
{
	if (t->standstill_size <= 0 || t->standstill_size >= PO_QUEUEING_MAX_SERVERS ||
		now < t->standstill_at || t->standstill_at < now - STANDSTILL_DAYS * USECS_PER_DAY)
		return 0;
	return t->standstill_size + 1;
}

/* Forgets what is older than the memory; what is left of a rare level goes at last. */
static void
forget(PoTenantStats *t, TimestampTz now, int64 interval)
{
	double		memory = po_recommend_memory(po_levels_quantile(&t->busy, 0.95), t->recent_most,
											 t->recent.transactions, &t->calm);
	double		factor = t->evaluated_at == 0 || now <= t->evaluated_at ? 1 :
		exp(-(double) (now - t->evaluated_at) / (memory * (double) interval));

	po_levels_decay(&t->busy, factor);
	for (int i = 0; i < PO_LEVELS_BUCKETS; i++)
	{
		if (t->busy.weight[i] < 1000.0)
			t->busy.weight[i] = 0;
	}
	t->window.transactions *= factor;
	t->window.service_us *= factor;
	t->window.service_sq *= factor;
	t->window.elapsed_us *= factor;
	for (int i = 0; i < PO_N_WAITS; i++)
		t->window.wait_us[i] *= factor;
}

int64
po_stats_season(void)
{
	return (int64) pg_atomic_read_u64(&po_shared->season_start);
}

/*
 * It covers the next hour, too, so it goes on until a keeper has read that one; when none could, it
 * is over.
 */
bool
po_stats_season_holds(void)
{
	int64		start = po_stats_season();
	int64		now = GetCurrentTimestamp() - PO_HISTORY_EPOCH;

	return start != 0 && now >= start && now < start + HOUR_US + SEASON_GRACE_US;
}

bool
po_stats_is_of_interest(int tenant)
{
	const PoTenantStats *t = &po_tenant_stats[tenant];
	bool		is_of_interest;

	lock_stats();
	is_of_interest = t->evaluated_at != 0 || po_profile_sessions(&t->season) > 0;
	unlock_stats();
	return is_of_interest;
}

static void
sizing_input(const PoTenantStats *t, int sessions, TimestampTz now, PoSizingInput *in)
{
	const PoWindow *w = &t->window;
	double		wait_total = 0;

	memset(in, 0, sizeof(*in));
	po_levels_digest(&t->busy, &in->busy);
	in->arrival_cv2 = 1.0;
	in->observed_us = t->observed_since == 0 ? 0 : Max(now - t->observed_since, 0);
	in->memory_us = (int64) Min(w->elapsed_us, (double) in->observed_us);
	in->transactions = (uint64) w->transactions;
	in->sessions = sessions;
	in->peak_busy = in->busy.max;
	in->drift = t->drift;
	po_warmup_read(&t->warmup, (int64) po_guc_sample_interval * PO_US_PER_MS, &in->warmup);
	in->previous = t->recommendation.known;
	if (w->elapsed_us > 0)
		in->arrival_rate = w->transactions * PO_US_PER_S / w->elapsed_us;
	if (w->transactions >= 1)
	{
		double		mean_s = w->service_us / w->transactions / PO_US_PER_S;
		double		variance = w->service_sq / w->transactions - mean_s * mean_s;

		in->service_us = mean_s * PO_US_PER_S;
		in->service_cv2 = mean_s > 0 ? Max(variance, 0) / (mean_s * mean_s) : 0;
	}
	if (po_stats_season_holds())
		in->season = t->season;
	for (int i = 0; i < PO_N_WAITS; i++)
		wait_total += w->wait_us[i];
	for (int i = 0; i < PO_N_WAITS && wait_total > 0; i++)
		in->wait_share[i] = w->wait_us[i] / wait_total;
}

/* Brings levels up to now; the first call starts the watch. */
static void
complete_levels(PoTenantStats *t, TimestampTz now)
{
	if (t->observed_since == 0)
		t->observed_since = now;
	else if (t->busy_at != 0 && now > t->busy_at)
		po_levels_pass(&t->busy, (double) (now - t->busy_at));
	t->busy_at = now;
}

/* Transactions are counted whether or not anybody looks, unlike levels. */
static void
complete_window(PoTenantStats *t)
{
	int64		ticks = po_shmem_monotonic_us();

	if (t->recent_ticks == 0)
		t->recent.elapsed_us = t->busy.total;
	else if (ticks > t->recent_ticks)
		t->recent.elapsed_us = (double) (ticks - t->recent_ticks);
	t->window.elapsed_us += t->recent.elapsed_us;
	t->recent_ticks = ticks;
}

/* What comes from now on is of the next evaluation. */
static void
begin_recent(PoTenantStats *t, const PoPoolerDemand *demand, TimestampTz now)
{
	memset(&t->recent, 0, sizeof(t->recent));
	t->recent_most = 0;
	t->recent_since = now;
	t->queue = demand->queue;
}

/* Will what is recommended be set at once, by po_resize.c? */
static bool
is_followed(const PoPolicyFields *policy, const PoPoolerDemand *demand)
{
	return policy->auto_apply && policy->drain_started_us == 0 && demand->resizable &&
		demand->queued >= 0 &&
		po_mode_lower((PoMode) po_guc_mode, policy->quota_mode) == PO_MODE_ENFORCE;
}

/*
 * Sessions of the tenant's pools.  Several pools share a size by what each uses, which is not
 * exact: nearly the size asked for is taken for it.
 */
static int
pooled_size(const PoTenantStats *t, int sessions, const PoPolicyFields *policy,
			const PoPoolerDemand *demand)
{
	int			size = po_pooler_pooled(sessions, demand->others);

	if (policy->auto_apply && demand->pools > 1 && t->search.phase != PO_SEARCH_NONE &&
		t->search.asked > 0 && po_pooler_is_near(size, t->search.asked))
		return t->search.asked;
	return size;
}

/* The size that the search asked for has just come: what was done before was done by others. */
static bool
notice_arrival(PoTenantStats *t, int sessions, const PoPolicyFields *policy,
			   const PoPoolerDemand *demand, TimestampTz now)
{
	if (!po_search_arrives(&t->search, pooled_size(t, sessions, policy, demand)))
		return false;
	complete_levels(t, now);
	complete_window(t);
	begin_recent(t, demand, now);
	return true;
}

/* By how much the load since the last evaluation is off what is remembered of it. */
static void
note_drift(PoTenantStats *t, double sampled_us)
{
	double		remembered = po_levels_mean(&t->busy);
	double		busy_us = 0;
	double		off;

	if (sampled_us <= 0 || remembered < LEAST_LOAD)
		return;
	for (int i = 0; i < PO_N_WAITS; i++)
		busy_us += t->recent.wait_us[i];
	off = Min(busy_us / sampled_us / remembered - 1, MOST_OFF);
	t->drift += (off - t->drift) / DRIFT_EVALUATIONS;
}

/*
 * How many clients waited in the evaluation.  That of the visit before it does as well, if there
 * was none in it and the pool has had its size since; long waits count when they end, so there
 * may seem to have been more than there are.
 */
static double
mean_queue(const PoTenantStats *t, const PoPoolerDemand *demand)
{
	if (demand->queued < 0)
		return -1;
	if (po_pooler_queue_has_grown(&t->queue, &demand->queue))
		return Min(po_pooler_queue_mean(&t->queue, &demand->queue), (double) demand->clients);
	return t->recent_since > t->evaluated_at ? -1 : demand->queued;
}

/* Sessions that no pooler has opened, if the size does not count them. */
static int
beside_pool(int sessions, const PoPoolerDemand *demand)
{
	return sessions - po_pooler_pooled(sessions, demand->others);
}

/* The most that its size can be, as that is counted; 0 = nobody knows. */
static int
obtainable_size(int sessions, const PoPoolerDemand *demand)
{
	if (demand->obtainable <= 0)
		return 0;
	return demand->obtainable + (beside_pool(sessions, demand) > 0 ? 0 : demand->others);
}

/* What stays whatever is recommended: a pooler gives back what is more, others do not. */
static void
stays(int sessions, const PoPoolerDemand *demand, PoEvaluation *e)
{
	bool		has_pool = demand->clients + demand->linked > 0;

	e->beside = has_pool ? beside_pool(sessions, demand) : 0;
	e->held = !has_pool ? sessions : e->beside > 0 ? 0 : demand->others;
}

/* What the search for a size is told of the time since the last evaluation. */
static void
search_input(const PoTenantStats *t, double sampled_us, int sessions,
			 const PoPolicyFields *policy, const PoPoolerDemand *demand, PoSearchSeen *seen)
{
	const PoWindow *recent = &t->recent;
	double		busy_us = 0;

	memset(seen, 0, sizeof(*seen));
	for (int i = 0; i < PO_N_WAITS; i++)
		busy_us += recent->wait_us[i];
	for (int i = 0; i < PO_N_WAITS && busy_us > 0; i++)
		seen->share[i] = recent->wait_us[i] / busy_us;
	seen->size = pooled_size(t, sessions, policy, demand);
	seen->busy = sampled_us > 0 ? busy_us / sampled_us : 0;
	seen->transactions = recent->transactions;
	/* A larger pool in which more of them fail does not do more: serialization, lock_timeout. */
	if (recent->elapsed_us > 0)
	{
		seen->served = recent->transactions * PO_US_PER_S / recent->elapsed_us;
		seen->rate = Max(seen->served - recent->errors * PO_US_PER_S / recent->elapsed_us, 0);
	}
	seen->cores = po_cores_usable();
	seen->demand = demand->clients;
	seen->waiting = demand->waiting;
	seen->queued = mean_queue(t, demand);
	seen->idle = demand->queued < 0 ? -1 :
		Max(demand->clients - demand->waiting - demand->linked, 0);
	seen->unit = policy->auto_apply ? demand->unit : 1;
	seen->followed = is_followed(policy, demand);
	seen->target_us = (double) policy->target_wait_us;
	po_recommend_bounds(policy, &seen->lowest, &seen->highest);
	seen->saturated = po_search_is_limited(seen, policy->scale_up_threshold);
}

/* Until it is to be evaluated: soon as long as too little is known, then less and less often. */
static int64
evaluation_wait(const PoTenantStats *t, int64 interval, TimestampTz now)
{
	if (t->recommendation.method > PO_METHOD_TOO_LITTLE_DATA)
		return interval;
	return Min(interval, Max(FIRST_LOOKS_US, (now - t->observed_since) / 2));
}

/* Until one has to look at it again, of what is left until it is to be evaluated. */
static int64
next_look(const PoTenantStats *t, int64 left, int64 interval)
{
	return t->search.awaited > 0 ? Min(left, interval / ARRIVAL_LOOKS) : left;
}

int64
po_stats_evaluate(int tenant, const PoPolicyFields *policy, int sessions,
				  const PoPoolerDemand *demand, TimestampTz now)
{
	PoTenantStats *t = &po_tenant_stats[tenant];
	PoEvaluation e;
	int64		interval = policy->evaluation_interval_us;
	int64		elapsed;
	int64		wait;
	bool		has_arrived;
	bool		due;

	lock_stats();
	has_arrived = notice_arrival(t, sessions, policy, demand, now);
	wait = evaluation_wait(t, interval, now);
	elapsed = now - t->recent_since;
	due = elapsed >= wait || elapsed < 0;
	if (due)
	{
		complete_levels(t, now);
		complete_window(t);
		search_input(t, (double) elapsed, sessions, policy, demand, &e.seen);
		note_drift(t, (double) elapsed);
		forget(t, now, interval);
		begin_recent(t, demand, now);
		e.search = t->search;
		t->evaluated_at = now;
		t->computed_at = GetCurrentTimestamp();
		/* Of the pools, as sizes are: others are not in the way of a step. */
		sizing_input(t, e.seen.size, now, &e.in);
		e.in.queued = Max(e.seen.queued, 0);
		e.in.served = e.seen.queued >= 0 ? e.seen.served : 0;
		e.in.least = least_size(t, t->computed_at);
		e.in.obtainable = obtainable_size(sessions, demand);
		if (e.in.obtainable > 0)
			e.seen.highest = Max(e.seen.lowest, Min(e.seen.highest, e.in.obtainable));
		e.seen.lowest = Max(e.seen.lowest, Min(e.in.least, e.seen.highest));
	}
	wait = next_look(t, wait - elapsed, interval);
	unlock_stats();
	if (has_arrived || due)
		e.seen.speed = po_speed_since(tenant);
	if (!due)
		return wait;

	e.policy = policy;
	e.in.cores = e.seen.cores;
	stays(sessions, demand, &e);
	po_sharing_evaluate(tenant, &e);

	lock_stats();
	t->search = e.search;
	t->recommendation = e.r;
	t->input = e.in;
	wait = next_look(t, evaluation_wait(t, interval, now), interval);
	unlock_stats();
	if (sessions > 0 || (e.r.method > PO_METHOD_IDLE && e.in.transactions > 0))
		return wait;
	po_sharing_forget(tenant);
	return -1;
}

void
po_stats_set_season(int tenant, const PoSeason *season)
{
	lock_stats();
	po_tenant_stats[tenant].season = *season;
	unlock_stats();
}

void
po_stats_begin_season(void)
{
	static const PoSeason none;
	int			n = po_shared->registry.n_tenants;

	pg_atomic_write_u64(&po_shared->season_start, 0);
	for (int i = 0; i < n; i++)
		po_stats_set_season(i, &none);
}

void
po_stats_end_season(int64 start)
{
	pg_atomic_write_u64(&po_shared->season_start, (uint64) start);
	pg_atomic_fetch_add_u64(&po_shared->seasons, 1);
}

/* ---------- for the history ---------- */

static uint64
untold(uint64 counter, uint64 *told)
{
	uint64		n = counter - *told;

	*told = counter;
	return n;
}

static void
take_counts(const PoStatsTold *now, PoStatsTold *told, PoHistoryCounts *counts)
{
	memset(counts, 0, sizeof(*counts));
	counts->transactions = untold(now->transactions, &told->transactions);
	counts->terminated = untold(now->terminated, &told->terminated);
	counts->errors = untold(now->xact_errors, &told->xact_errors) + counts->terminated;
}

static void
take_tenant(PoTenantStats *t, PoHistoryCounts *counts)
{
	PoStatsTold now;

	now.transactions = t->transactions;
	now.xact_errors = t->xact_errors;
	now.terminated = t->terminated;
	take_counts(&now, &t->told, counts);
}

void
po_stats_take(int tenant, PoHistoryCounts *counts, PoHistogram *service, int *recommended)
{
	PoTenantStats *t = &po_tenant_stats[tenant];

	lock_stats();
	take_tenant(t, counts);
	memcpy(service, &t->service, sizeof(*service));
	*recommended = t->recommendation.size;
	unlock_stats();
}

void
po_stats_take_many(const int *tenants, int n, PoHistoryCounts *counts)
{
	lock_stats();
	for (int i = 0; i < n; i++)
		take_tenant(&po_tenant_stats[tenants[i]], &counts[i]);
	unlock_stats();
}

uint64
po_stats_untold(int tenant, PoHistogram *service)
{
	const PoTenantStats *t = &po_tenant_stats[tenant];
	uint64		n;

	lock_stats();
	n = t->transactions - t->told.transactions;
	memcpy(service, &t->service, sizeof(*service));
	unlock_stats();
	return n;
}

void
po_stats_take_total(PoHistoryCounts *counts, PoHistogram *service)
{
	PoStatsTotal *total = &po_shared->total;
	PoStatsTold now;

	lock_stats();
	now.transactions = total->transactions;
	now.xact_errors = total->xact_errors;
	now.terminated = total->terminated;
	take_counts(&now, &total->told, counts);
	if (service != NULL)
		memcpy(service, &total->service, sizeof(*service));
	unlock_stats();
}

bool
po_stats_note_standstill(int tenant, int size)
{
	PoTenantStats *t = &po_tenant_stats[tenant];
	TimestampTz now = GetCurrentTimestamp();
	bool		news;

	lock_stats();
	news = least_size(t, now) <= size;
	if (news)
		t->standstill_size = size;
	if (size >= t->standstill_size)
		t->standstill_at = now;
	unlock_stats();
	return news;
}

bool
po_stats_take_termination(int64 now)
{
	bool		allowed;

	lock_stats();
	allowed = po_rate_take(&po_shared->rate, now, po_guc_max_terminations_per_minute);
	unlock_stats();
	return allowed;
}

void
po_stats_give_back_termination(int64 taken)
{
	lock_stats();
	po_rate_give_back(&po_shared->rate, taken);
	unlock_stats();
}

bool
po_stats_breaker_allows(int tenant, int64 now)
{
	bool		allows;

	lock_stats();
	allows = po_breaker_allows(&po_tenant_stats[tenant].breaker, now);
	unlock_stats();
	return allows;
}

void
po_stats_breaker_note(int tenant, int64 now, int sessions)
{
	lock_stats();
	po_breaker_note(&po_tenant_stats[tenant].breaker, now, sessions);
	unlock_stats();
}

PoBreakerEvent
po_stats_breaker_check(int tenant, int64 now, int sessions)
{
	PoBreakerEvent event;

	lock_stats();
	event = po_breaker_check(&po_tenant_stats[tenant].breaker, now, sessions);
	unlock_stats();
	return event;
}

/* ---------- copying ---------- */

void
po_stats_copy(int tenant, PoTenantStats *stats)
{
	lock_stats();
	memcpy(stats, &po_tenant_stats[tenant], sizeof(*stats));
	unlock_stats();
}

int
po_stats_recommended_size(int tenant)
{
	int			size;

	lock_stats();
	size = po_tenant_stats[tenant].recommendation.size;
	unlock_stats();
	return size;
}

void
po_stats_copy_counts(int tenant, PoTenantCounts *counts)
{
	const PoTenantStats *t = &po_tenant_stats[tenant];
	int64		ticks = po_shmem_monotonic_us();

	lock_stats();
	counts->transactions = t->transactions;
	counts->xact_errors = t->xact_errors;
	counts->terminated = t->terminated;
	counts->service_us = t->service_us;
	counts->n_waits = t->n_waits;
	counts->waited_us = t->waited_us;
	counts->recommended_size = t->recommendation.size;
	counts->breaker_open = !po_breaker_allows(&t->breaker, ticks);
	unlock_stats();
}

void
po_stats_learn_busy(int tenant, double busy, int64 quiet_pieces, PoUsual *usual)
{
	PoTenantStats *t = &po_tenant_stats[tenant];
	PoBaseline *b = &t->usual;
	bool		season_holds = po_stats_season_holds();
	PoSeason	season = {0};

	lock_stats();
	if (season_holds)
		season = t->season;
	usual->busy = Max(b->mean, season.busy);
	usual->weeks = season.busy > b->mean ? season.weeks : 0;
	usual->deviations = po_baseline_unusual(b, quiet_pieces > 0 ? 0 : busy, season.busy);
	po_baseline_feed(b, busy, 1);
	po_baseline_feed(b, 0, quiet_pieces);
	unlock_stats();
}

void
po_stats_copy_gaps(int tenant, PoHistogram *gaps)
{
	lock_stats();
	po_histogram_widen(&po_tenant_stats[tenant].gaps, gaps);
	unlock_stats();
}

static void
leave_out_recent(PoTenantStats *t)
{
	PoWindow   *w = &t->window;

	w->transactions = Max(w->transactions - t->recent.transactions, 0);
	w->service_us = Max(w->service_us - t->recent.service_us, 0);
	w->service_sq = Max(w->service_sq - t->recent.service_sq, 0);
	for (int i = 0; i < PO_N_WAITS; i++)
		w->wait_us[i] = Max(w->wait_us[i] - t->recent.wait_us[i], 0);
	memset(&t->recent, 0, sizeof(t->recent));
	memset(&t->queue, 0, sizeof(t->queue));
}

void
po_stats_restore(int tenant, const PoTenantStats *saved)
{
	PoTenantStats *t = &po_tenant_stats[tenant];
	TimestampTz now;

	lock_stats();
	memcpy(t, saved, sizeof(*t));
	/* These are about the present, which was another one. */
	t->active = t->idle_in_transaction = 0;
	t->counts_tick = 0;
	now = (TimestampTz) pg_atomic_read_u64(&po_shared->watched);
	if (t->busy_at != 0)
		t->busy_at = now;
	/* The clock may have been set back since it was written. */
	t->observed_since = Min(t->observed_since, now);
	t->evaluated_at = Min(t->evaluated_at, now);
	/* The server was down in between: nobody knows how long what was counted took. */
	leave_out_recent(t);
	t->recent_since = now;
	if (t->recent_ticks != 0)
		t->recent_ticks = po_shmem_monotonic_us();
	memset(&t->breaker, 0, sizeof(t->breaker));
	po_warmup_restart(&t->warmup);
	unlock_stats();
}

void
po_stats_reset(int tenant, PoTenantStats *was)
{
	PoTenantStats *t = &po_tenant_stats[tenant];
	PoStatsTold told;

	lock_stats();
	memcpy(was, t, sizeof(*was));
	/* Below zero by what the history has not been told yet, so that it still is. */
	told.transactions = t->told.transactions - t->transactions;
	told.xact_errors = t->told.xact_errors - t->xact_errors;
	told.terminated = t->told.terminated - t->terminated;
	memset(t, 0, sizeof(*t));
	t->told = told;
	unlock_stats();
}
