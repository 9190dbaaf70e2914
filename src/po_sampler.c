/*
 * po_sampler.c
 *		The sampler: the worker that looks at all sessions, on from the start.
 *
 * It is attached to no database and runs no transaction and no SQL, so neither a
 * stuck lock nor a broken table stops it.  One round is the data flow of
 * docs/architecture.md; each step catches its own errors.
 *
 * A pass costs a cache line and a half per idle session: what has not changed since
 * the last pass and is not due (PoGlance) is not looked at further.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "po_act.h"
#include "po_alert.h"
#include "po_client_table.h"
#include "po_compat.h"
#include "po_events.h"
#include "po_finding_watch.h"
#include "po_guc.h"
#include "po_history_rings.h"
#include "po_inject.h"
#include "po_judge.h"
#include "po_keeper.h"
#include "po_pooler.h"
#include "po_pooler_table.h"
#include "po_reclaim.h"
#include "po_registry.h"
#include "po_sample.h"
#include "po_sampler.h"
#include "po_sharing.h"
#include "po_speed.h"
#include "po_standstill.h"
#include "po_state.h"
#include "po_statement.h"
#include "po_stats.h"
#include "po_summary.h"
#include "po_worker.h"

#define RESTART_AFTER_S		1
#define STATE_EVERY_US		(PO_RARELY_S * PO_US_PER_S)
#define CLIENTS_EVERY_US	PO_US_PER_S
#define CLIENTS_MEMORY		30	/* evaluation intervals, as in po_stats.c */
#define STANDSTILL_EVERY_US	(2 * PO_US_PER_S)
#define RECONCILE_EVERY_US	(PO_RARELY_S * PO_US_PER_S)
#define EVALUATE_PER_PASS	256
#define QUIET_US			PO_US_PER_S /* a younger gap is nobody's concern */
#define EXEMPT_RECHECK_US	PO_US_PER_S
#define STATEMENTS_EVERY_US	PO_US_PER_S
#define BLOCKERS_PER_S		5

/* Groups of sessions that are watched for growth. */
#define N_GROUPS			1024
#define GROUP_WINDOWS		8
#define GROUP_WINDOW_PASSES 50

typedef struct SessionGroup
{
	uint64		key;			/* 0 = free */
	int			counts[GROUP_WINDOWS];
	int			count;			/* in the window that is open */
	int			tenant;
	double		probability;
} SessionGroup;

/* A tenant's policy as of a generation. */
typedef struct CachedPolicy
{
	uint32		generation;
	PoPolicyFields fields;
} CachedPolicy;

/* One pass. */
static int64 ticks;				/* monotonic us */
static TimestampTz now;
static bool is_tick;			/* a sample, not only a wake-up */
static int64 dt_us;				/* that the sample stands for */
static TimestampTz watched;		/* a clock that only sampled time advances */

/* Private memory; all of it sized at start. */
static PoGlance *glances;		/* per slot */
static int *changed;			/* slots to look at in this pass */
static CachedPolicy *policies;
static PoObservation *tally;	/* per tenant */
static int64 *statements_due;	/* per slot */
static int *touched;			/* tenants in tally */
static int	n_touched;
static int *was_busy;			/* tenants busy at the last sample */
static int	n_was_busy;
static int64 *evaluate_at;		/* per tenant; 0 = no session seen yet */
static int	evaluate_cursor = 0;
static PoCandidate *candidates;
static int	n_candidates;
static uint64 *group_keys;		/* per slot; 0 = no session met */
static SessionGroup *groups;
static int64 group_window_end = 0;
static MemoryContext round_context;

/* Schedule, monotonic us. */
static int64 next_tick = 0;
static int64 last_tick = 0;
static int64 state_due = 0;
static int64 reconcile_due = 0;
static int64 clients_due = 0;
static int64 standstill_due = 0;
static int64 blockers_due = 0;
static int	blockers_left = 0;
static uint32 seen_generation = 0;
static bool rescan = true;

/* ---------- looking at one session ---------- */

static const PoPolicyFields *
policy_of(int tenant)
{
	CachedPolicy *c = &policies[tenant];
	PoTenant	copy;

	if (c->generation != seen_generation && po_registry_copy_tenant(tenant, &copy))
	{
		c->fields = copy.fields;
		c->generation = seen_generation;
	}
	return &c->fields;
}

/* Which group a session belongs to; never 0. */
static uint64
group_key(const PoSlot *slot)
{
	uint64		key = hash_bytes_extended((const unsigned char *) slot->application,
										  (int) strlen(slot->application),
										  (uint64) slot->tenant);

	key = hash_bytes_extended((const unsigned char *) slot->address,
							  (int) strlen(slot->address), key);
	return key == 0 ? 1 : key;
}

static void
start_watch(int slot, PoWatch *w, int tenant, const PoSeen *seen)
{
	if (evaluate_at[tenant] == 0)
		evaluate_at[tenant] = ticks;
	w->pid = seen->pid;
	w->backend_start = seen->backend_start;
	w->seen = true;
	w->start_seen_at = ticks;
	w->start_before = po_judge_new_age(now - seen->backend_start, ticks);
	w->reported_for = 0;
	w->growth_probability = 0;
}

/* Which client it is of is in private memory: a sampler that was started again has to ask
 * of all sessions, also of those that the one before it has watched. */
static void
meet_client(int slot, int tenant)
{
	group_keys[slot] = group_key(&po_slots[slot]);
	po_client_table_enter(slot, ticks, now,
						  CLIENTS_MEMORY * policy_of(tenant)->evaluation_interval_us);
}

static void
forget_client(int slot)
{
	if (group_keys[slot] == 0)
		return;
	group_keys[slot] = 0;
	po_client_table_leave(slot, ticks);
}

static void
start_state(int slot, PoWatch *w, const PoSeen *seen)
{
	int64		before = now - seen->state_change;

	w->state = seen->state;
	/* It began after this pass did, or the clock was set back: it counts from now on. */
	w->state_seen_at = before < 0 ? po_shmem_monotonic_us() : ticks;
	w->state_before = po_judge_new_age(before, ticks);
	w->client_read_since = 0;
	w->growth_probability = 0;
	pg_atomic_write_u64(&w->state_change, (uint64) seen->state_change);
	pg_atomic_write_u32(&w->finding,
						PO_FINDING(seen->state == PO_STATE_IDLE ? PO_CLASS_IDLE :
								   seen->state == PO_STATE_UNKNOWN ? PO_CLASS_UNKNOWN :
								   PO_CLASS_BUSY, PO_VERDICT_KEEP));
	po_act_forget_declined(slot);
}

/* A statement that waits for its client: since when without progress? */
static void
watch_client_read(int slot, PoWatch *w)
{
	int64		progress;

	if (!po_sample_in_client_read(po_slots[slot].procno))
	{
		w->client_read_since = 0;
		return;
	}
	progress = po_sample_copy_progress(slot);
	if (w->client_read_since == 0 || progress != w->progress)
	{
		w->client_read_since = ticks;
		w->progress = progress;
	}
}

static void
count_busy(int slot, int tenant, const PoSeen *seen)
{
	PoObservation *o = &tally[tenant];
	bool		in_transaction = seen->state != PO_STATE_ACTIVE;
	PoWait		wait = in_transaction ? PO_WAIT_CLIENT :
		po_sample_wait(po_slots[slot].procno);

	if (o->active + o->idle_in_transaction == 0)
	{
		touched[n_touched++] = tenant;
		memset(o, 0, sizeof(*o));
		o->tenant = tenant;
	}
	if (in_transaction)
		o->idle_in_transaction++;
	else
		o->active++;
	o->waits[wait]++;
	if (is_tick)
		po_client_table_busy(slot, dt_us);
}

/* So many a second, of all sessions: partitions of the lock table are locked for it. */
static void
note_blocker(int slot)
{
	int			blocker;

	if (ticks >= blockers_due)
	{
		blockers_due = ticks + PO_US_PER_S;
		blockers_left = BLOCKERS_PER_S;
	}
	if (blockers_left == 0)
		return;
	blockers_left--;
	blocker = po_sample_blocker(po_slots[slot].procno);
	if (blocker >= 0 && blocker != slot)
		po_statement_note_blocker(slot, blocker);
}

/* Statements are counted exactly, so they need not be merged in each pass; waits for locks
 * are sampled. */
static void
merge_statements(int slot, const PoSeen *seen)
{
	if (is_tick && seen->state == PO_STATE_ACTIVE &&
		po_sample_in_lock(po_slots[slot].procno))
	{
		po_statement_note_lock_wait(slot, dt_us);
		note_blocker(slot);
	}
	if (ticks < statements_due[slot] || !po_statement_has_news(slot))
		return;
	statements_due[slot] = ticks + STATEMENTS_EVERY_US;
	po_statement_merge(slot);
}

/* Nothing can be found before a young gap reaches this (us since its start). */
static int64
quiet_time(const PoPolicyFields *policy)
{
	int64		quiet = QUIET_US;

	if (policy->idle_us > 0)
		quiet = Min(quiet, policy->idle_us);
	if (policy->never_used_us > 0)
		quiet = Min(quiet, policy->never_used_us);
	return policy->lifetime_us > 0 ? 0 : quiet;
}

static void
judge(int slot, int tenant, PoWatch *w, const PoSeen *seen)
{
	const PoPolicyFields *policy = policy_of(tenant);
	int64		in_state = w->state_before + ticks - w->state_seen_at;
	int64		quiet = quiet_time(policy);
	PoCandidate *c;

	if (seen->state == PO_STATE_IDLE && in_state < quiet)
	{
		glances[slot].quiet_until = ticks + quiet - in_state;
		return;
	}
	c = &candidates[n_candidates];
	c->slot = slot;
	c->seen = *seen;
	po_judge_session(slot, seen, policy, &c->judgement);
	if (!PO_CLASS_IS_LEAK(c->judgement.finding.class) || c->judgement.mode == PO_MODE_OFF)
	{
		pg_atomic_write_u32(&w->finding,
							PO_FINDING(c->judgement.finding.class, PO_VERDICT_KEEP));
		/* The largest number is never. */
		glances[slot].quiet_until = ticks +
			Min(Max(c->judgement.finding.next_check_us, 0), PG_INT64_MAX - ticks);
		return;
	}
	n_candidates++;
	glances[slot].quiet_until = c->judgement.mode == PO_MODE_ENFORCE ? 0 :
		ticks + EXEMPT_RECHECK_US;
}

static void
look_at(int slot)
{
	PoWatch    *w = &po_watches[slot];
	PoSeen		seen;
	bool		same;
	bool		unchanged;
	int			tenant;

	glances[slot].quiet_until = 0;
	if (!po_sample_read(slot, &seen))
	{
		w->seen = false;
		forget_client(slot);
		glances[slot].changecount = seen.changecount;
		glances[slot].quiet_until = PG_INT64_MAX;
		return;
	}
	same = w->seen && w->pid == seen.pid && w->backend_start == seen.backend_start;
	if (!same)
		forget_client(slot);
	unchanged = same && w->state == seen.state &&
		pg_atomic_read_u64(&w->state_change) == (uint64) seen.state_change;
	/* Read once: the session may leave at any moment. */
	tenant = *(volatile int *) &po_slots[slot].tenant;
	if (tenant < 0 || po_slots[slot].pid != seen.pid)
		return;					/* not one that we let in */
	if (!same)
		start_watch(slot, w, tenant, &seen);
	if (group_keys[slot] == 0)
		meet_client(slot, tenant);
	if (!unchanged)
		start_state(slot, w, &seen);
	if (seen.state == PO_STATE_ACTIVE)
		watch_client_read(slot, w);
	if ((!unchanged || seen.state == PO_STATE_ACTIVE) && po_stats_merge(slot))
		po_history_rings_touch(tenant);
	if (seen.state != PO_STATE_IDLE && seen.state != PO_STATE_UNKNOWN)
		count_busy(slot, tenant, &seen);
	if (seen.state == PO_STATE_IDLE_IN_TRANSACTION ||
		seen.state == PO_STATE_ABORTED_IN_TRANSACTION)
		po_alert_note_idler(slot, tenant, w->state_before + ticks - w->state_seen_at);
	merge_statements(slot, &seen);
	judge(slot, tenant, w, &seen);
	/* A busy session is counted in every sample. */
	if (seen.state != PO_STATE_IDLE)
		glances[slot].quiet_until = 0;
	else if (po_statement_has_news(slot))
		glances[slot].quiet_until = Min(glances[slot].quiet_until, statements_due[slot]);
	glances[slot].changecount = seen.changecount;
}

/* ---------- steps of a round ---------- */

/* Policies or settings have changed: judge everybody anew. */
static void
notice_changes(void)
{
	uint32		generation = po_shared->registry.generation;

	if (generation == seen_generation && !rescan)
		return;
	rescan = true;
	seen_generation = generation;
	for (int i = 0; i < po_shared->n_slots; i++)
		glances[i].quiet_until = 0;
}

static void
step_collect(void)
{
	int			n_changed;

	notice_changes();
	for (int i = 0; i < n_touched; i++)
		tally[touched[i]].active = tally[touched[i]].idle_in_transaction = 0;
	po_alert_begin_pass();
	n_touched = 0;
	n_candidates = 0;
	n_changed = po_sample_changed(glances, po_shared->n_slots, ticks, changed);
	for (int i = 0; i < n_changed; i++)
		look_at(changed[i]);
	pg_atomic_write_u64(&po_shared->last_pass, (uint64) ticks);
}

static void
step_reclaim(void)
{
	if (n_candidates > 0)
		po_reclaim_leaks(candidates, n_candidates);
	po_reclaim_surplus(rescan);
	rescan = false;
}

/* Tenants that were busy and are not any more must not look busy. */
static void
observe_quiet(uint64 tick)
{
	for (int i = 0; i < n_was_busy; i++)
	{
		PoObservation *o = &tally[was_busy[i]];

		if (o->active + o->idle_in_transaction > 0)
			continue;
		memset(o, 0, sizeof(*o));
		o->tenant = was_busy[i];
		po_stats_observe(o, watched, dt_us, tick);
	}
}

static void
step_account(void)
{
	uint64		tick = pg_atomic_read_u64(&po_shared->samples) + 1;

	if (is_tick)
	{
		observe_quiet(tick);
		for (int i = 0; i < n_touched; i++)
		{
			const PoObservation *o = &tally[touched[i]];

			po_stats_observe(o, watched, dt_us, tick);
			po_summary_note_busy(o->tenant, o->active + o->idle_in_transaction, dt_us);
			po_alert_note_busy(o->tenant, o->active + o->idle_in_transaction, dt_us);
			was_busy[i] = touched[i];
		}
		n_was_busy = n_touched;
	}
}

static void
step_history(void)
{
	if (is_tick)
		po_history_rings_observe(tally, touched, n_touched, now - PO_HISTORY_EPOCH, dt_us);
}

static void
step_sweep(void)
{
	po_history_rings_sweep();
}

/* What is usual has changed, also for those of whom all was said or nobody has been seen. */
static void
notice_season(void)
{
	static uint64 seen = 0;
	uint64		seasons = pg_atomic_read_u64(&po_shared->seasons);

	if (seasons == seen)
		return;
	seen = seasons;
	for (int i = 0; i < po_shared->registry.n_tenants; i++)
	{
		if (evaluate_at[i] == 0 && po_stats_is_of_interest(i))
			evaluate_at[i] = ticks;
	}
}

/* While there is anything to size. */
static void
step_speed(void)
{
	if (is_tick && n_was_busy > 0)
		po_speed_measure(ticks);
}

/* Some tenants in each pass, so that a pass costs the same with 10,000 of them. */
static void
step_recommend(void)
{
	/* Read without the lock: it only grows. */
	int			n_known = po_shared->registry.n_tenants;
	int			n = Min(EVALUATE_PER_PASS, n_known);
	bool		begun = false;

	notice_season();
	for (int i = 0; is_tick && i < n; i++)
	{
		int			tenant = evaluate_cursor;
		PoPoolerDemand demand;
		PoTenant	copy;
		int64		wait;

		if (++evaluate_cursor >= n_known)
			evaluate_cursor = 0;
		if (evaluate_at[tenant] == 0 || evaluate_at[tenant] > ticks)
			continue;
		if (!po_registry_copy_tenant(tenant, &copy))
		{
			po_sharing_forget(tenant);
			continue;
		}
		if (!begun)
			po_sharing_begin();
		begun = true;
		po_pooler_table_demand(tenant, &demand);
		wait = po_stats_evaluate(tenant, &copy.fields, copy.used + copy.exempt, &demand,
								 watched);
		evaluate_at[tenant] = wait < 0 ? 0 : ticks + wait;
	}
}

/* ---------- groups ---------- */

/* The place of a key, NULL when the table is full. */
static SessionGroup *
find_group(uint64 key)
{
	for (int i = 0; i < N_GROUPS; i++)
	{
		SessionGroup	   *g = &groups[(key + i) % N_GROUPS];

		if (g->key == key)
			return g;
		if (g->key == 0)
		{
			memset(g, 0, sizeof(*g));
			g->key = key;
			return g;
		}
	}
	return NULL;
}

/* Idle for all of the window that ends now? */
static bool
counts_for_group(int slot, int64 window)
{
	const PoWatch *w = &po_watches[slot];

	return w->seen && w->state == PO_STATE_IDLE && po_slots[slot].tenant >= 0 &&
		pg_atomic_read_u32(&po_slots[slot].phase) == PO_SLOT_ADMITTED &&
		w->state_before + ticks - w->state_seen_at >= window;
}

/* NULL for a session that does not count, or when there are too many groups. */
static SessionGroup *
group_of(int slot, int64 window)
{
	return counts_for_group(slot, window) ? find_group(group_keys[slot]) : NULL;
}

static void
close_windows(void)
{
	/* Linear probing has no holes: rebuild with those that are still in use. */
	SessionGroup	   *old = palloc(N_GROUPS * sizeof(SessionGroup));

	memcpy(old, groups, N_GROUPS * sizeof(SessionGroup));
	memset(groups, 0, N_GROUPS * sizeof(SessionGroup));
	for (int i = 0; i < N_GROUPS; i++)
	{
		SessionGroup	   *g;

		if (old[i].key == 0 || (old[i].count == 0 && old[i].counts[GROUP_WINDOWS - 1] == 0))
			continue;
		g = find_group(old[i].key);
		*g = old[i];
		memmove(g->counts, g->counts + 1, (GROUP_WINDOWS - 1) * sizeof(int));
		g->counts[GROUP_WINDOWS - 1] = g->count;
		g->count = 0;
		g->probability = po_leak_growth_probability(g->counts, GROUP_WINDOWS);
	}
	pfree(old);
}

static void
note_growth(int slot, const SessionGroup *g)
{
	int			tenant = *(volatile int *) &po_slots[slot].tenant;

	if (tenant >= 0)
		po_alert_note_growth(tenant, slot, g->probability, g->counts[GROUP_WINDOWS - 1]);
}

static void
step_groups(void)
{
	int64		window = Max((int64) po_guc_sample_interval * PO_US_PER_MS *
							 GROUP_WINDOW_PASSES, PO_US_PER_S);

	if (!is_tick || ticks < group_window_end)
		return;
	group_window_end = ticks + window;
	for (int i = 0; i < po_shared->n_slots; i++)
	{
		SessionGroup *g = group_of(i, window);

		if (g != NULL)
			g->count++;
	}
	close_windows();
	po_alert_begin_growth();
	for (int i = 0; i < po_shared->n_slots; i++)
	{
		SessionGroup *g = group_of(i, window);

		if (g == NULL)
			continue;
		if (g->probability > 0)
			note_growth(i, g);
		if (g->probability > po_watches[i].growth_probability)
			glances[i].quiet_until = 0;
		po_watches[i].growth_probability = g->probability;
	}
}

/* ---------- housekeeping ---------- */

static void
step_alert(void)
{
	po_alert_round(ticks);
}

static void
step_findings(void)
{
	if (is_tick)
		po_finding_watch_pass(ticks);
}

static void
step_clients(void)
{
	if (ticks < clients_due)
		return;
	clients_due = ticks + CLIENTS_EVERY_US;
	po_client_table_flush(ticks);
}

static void
step_summary(void)
{
	po_summary_round(ticks);
}

static void
step_standstill(void)
{
	if (ticks < standstill_due)
		return;
	standstill_due = ticks + STANDSTILL_EVERY_US;
	po_standstill_check(ticks);
}

static void
step_keeper(void)
{
	po_keeper_manage();
}

static void
step_pooler(void)
{
	po_pooler_manage();
}

static void
step_state(void)
{
	if (ticks < state_due)
		return;
	state_due = ticks + STATE_EVERY_US;
	(void) po_state_write();
}

static void
step_reconcile(void)
{
	if (ticks < reconcile_due)
		return;
	reconcile_due = ticks + RECONCILE_EVERY_US;
	if (po_registry_reconcile())
		ereport(LOG,
				(errmsg("pool_optimizer has corrected its count of sessions")));
}

/* Runs a step; whatever goes wrong in it stays in it. */
static void
run_step(const char *name, void (*step) (void))
{
	MemoryContext before = MemoryContextSwitchTo(round_context);

	PG_TRY();
	{
		po_inject(name);
		step();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(round_context);
		LWLockReleaseAll();
		AtEOXact_Files(false);
		pgstat_report_wait_end();
		EmitErrorReport();
		error = CopyErrorData();
		FlushErrorState();
		pg_atomic_fetch_add_u64(&po_shared->worker_errors, 1);
		po_shmem_set_error(error->message == NULL ? "an error without a message" :
						   error->message);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(before);
	MemoryContextReset(round_context);
}

/* Samples that were due before this one and not taken, also by a sampler that has ended. */
static int64
count_missed(int64 interval)
{
	int64		due = last_tick != 0 ? next_tick :
		(int64) pg_atomic_read_u64(&po_shared->last_pass) + interval;

	if (due == interval || ticks - due < interval)
		return 0;
	return (ticks - due) / interval;
}

/* How long a sample stands for, and whether any was missed before it. */
static void
begin_round(void)
{
	int64		interval = (int64) po_guc_sample_interval * PO_US_PER_MS;
	int64		missed;

	now = GetCurrentTimestamp();
	/* Last: a pause in between then makes nobody look idle for longer. */
	ticks = po_shmem_monotonic_us();
	is_tick = ticks >= next_tick;
	if (!is_tick)
		return;
	dt_us = last_tick == 0 ? interval : Min(ticks - last_tick, 10 * interval);
	missed = count_missed(interval);
	if (missed > 0)
		pg_atomic_fetch_add_u64(&po_shared->missed_samples, missed);
	po_alert_note_sample(ticks, missed);
	watched = (TimestampTz) pg_atomic_add_fetch_u64(&po_shared->watched, dt_us);
	last_tick = ticks;
	next_tick = Max(next_tick + interval, ticks + interval / 2);
}

/* The parts whose cost is told as sample_us, then those that are done rarely. */
static void
run_round(void)
{
	instr_time	start;
	instr_time	end;

	begin_round();
	INSTR_TIME_SET_CURRENT(start);
	run_step("collect", step_collect);
	run_step("reclaim", step_reclaim);
	run_step("account", step_account);
	run_step("history", step_history);
	run_step("recommend", step_recommend);
	INSTR_TIME_SET_CURRENT(end);
	if (is_tick)
	{
		INSTR_TIME_SUBTRACT(end, start);
		pg_atomic_fetch_add_u64(&po_shared->sample_ns,
								(int64) (INSTR_TIME_GET_DOUBLE(end) * 1e9));
		pg_atomic_write_u64(&po_shared->last_sample, (uint64) now);
		pg_atomic_fetch_add_u64(&po_shared->samples, 1);
	}
	run_step("speed", step_speed);
	run_step("sweep", step_sweep);
	run_step("groups", step_groups);
	run_step("alert", step_alert);
	run_step("findings", step_findings);
	run_step("clients", step_clients);
	run_step("summary", step_summary);
	run_step("standstill", step_standstill);
	run_step("keeper", step_keeper);
	run_step("pooler", step_pooler);
	run_step("state", step_state);
	run_step("reconcile", step_reconcile);
}

static void
wait_for_next(uint32 wait_event)
{
	int64		left_us = next_tick - po_shmem_monotonic_us();
	long		left_ms = (long) Max((left_us + 999) / 1000, 0);

	if (left_ms > 0)
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 left_ms, wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	/* Without this the invalidation queue of everybody else would fill up. */
	AcceptInvalidationMessages();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		rescan = true;
		next_tick = Min(next_tick, po_shmem_monotonic_us() +
						(int64) po_guc_sample_interval * PO_US_PER_MS);
		po_registry_serve_queue();
		po_alert_reload();
		po_keeper_reload();
		po_pooler_reload();
	}
}

static void
on_exit_sampler(int code, Datum arg)
{
	(void) code;
	(void) arg;
	pg_atomic_write_u32(&po_shared->sampler_pid, 0);
	pg_atomic_write_u32(&po_shared->sampler_procno, 0);
}

static void
attach(void)
{
	int			n_tenants = po_shared->n_tenants;
	int			n_slots = po_shared->n_slots;

	glances = po_worker_allocate(n_slots, sizeof(PoGlance));
	changed = po_worker_allocate(n_slots, sizeof(int));
	policies = po_worker_allocate(n_tenants, sizeof(CachedPolicy));
	tally = po_worker_allocate(n_tenants, sizeof(PoObservation));
	statements_due = po_worker_allocate(n_slots, sizeof(int64));
	evaluate_at = po_worker_allocate(n_tenants, sizeof(int64));
	touched = po_worker_allocate(n_slots, sizeof(int));
	was_busy = po_worker_allocate(n_slots, sizeof(int));
	candidates = po_worker_allocate(n_slots + 1, sizeof(PoCandidate));
	groups = po_worker_allocate(N_GROUPS, sizeof(SessionGroup));
	group_keys = po_worker_allocate(n_slots, sizeof(uint64));
	round_context = AllocSetContextCreate(TopMemoryContext, "pool_optimizer round",
										  ALLOCSET_DEFAULT_SIZES);
	po_reclaim_attach();
	po_sharing_attach();
	po_speed_attach(n_tenants);
	po_history_rings_attach();
	po_client_table_attach();
	po_alert_attach();
	po_finding_watch_attach();
	/* Those that were evaluated before a restart go on being so. */
	for (int i = 0; i < n_tenants; i++)
		evaluate_at[i] = po_tenant_stats[i].evaluated_at != 0 ? 1 : 0;
	for (int i = 0; i < n_slots; i++)
		glances[i].changecount = -1;
	state_due = po_shmem_monotonic_us() + STATE_EVERY_US;

	on_shmem_exit(on_exit_sampler, 0);
	pg_atomic_write_u32(&po_shared->sampler_procno, (uint32) po_compat_my_procno() + 1);
	pg_atomic_write_u32(&po_shared->sampler_pid, (uint32) MyProcPid);
}

void
po_sampler_main(Datum arg)
{
	uint32		wait_event;

	(void) arg;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	/* Exit with 1, which makes the postmaster start us again. */
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	wait_event = po_compat_wait_event("PoolOptimizerSampler");
	attach();
	/* The mode may have been lowered while no sampler ran. */
	po_registry_serve_queue();
	for (;;)
	{
		run_round();
		wait_for_next(wait_event);
	}
}

void
po_sampler_register(void)
{
	BackgroundWorker worker;

	/* pg_upgrade drops and restores databases: keep out of its way. */
	if (IsBinaryUpgrade)
		return;
	po_worker_describe(&worker, "sampler", "po_sampler_main",
					   BGWORKER_BACKEND_DATABASE_CONNECTION, RESTART_AFTER_S);
	RegisterBackgroundWorker(&worker);
}
