/*
 * po_metrics.c
 *		What monitoring systems are told, as rows and as text of Prometheus.
 *
 * A metric is a line in one of the tables below; its name, with the family's prefix, is
 * a promise.  Which tenants have series of their own is in shared memory, as all who ask
 * must be told the same; whoever asks and may see all brings it up to date.  How counters
 * are kept from falling is said in po_listing.h.
 *
 * PO_LOCK_METRICS is taken here and nowhere else.  Counters are guarded by other locks, and
 * while one is held no second one is taken, so see PoMetricsState for how a change and
 * a reading keep out of each other's way.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/float.h"
#include "utils/timestamp.h"

#include "model/po_exposition.h"
#include "model/po_pooler_plan.h"
#include "po_alert_table.h"
#include "po_compat.h"
#include "po_finding_table.h"
#include "po_guc.h"
#include "po_health.h"
#include "po_judge.h"
#include "po_metrics.h"
#include "po_pooler_table.h"
#include "po_registry.h"
#include "po_sample.h"
#include "po_session.h"
#include "po_stats.h"
#include "po_view.h"

#define OTHER_LABEL		PO_TENANT_OTHER_NAME

/* A tenant that was refused so recently is worth looking at. */
#define REFUSED_US		(600 * PO_US_PER_S)
#define REFUSED_FACTOR	2
#define REFUSED_MORE	5

/* Buckets are powers of two: 2^FIRST us, and so many. */
#define SERVICE_FIRST	7		/* 128 us */
#define SERVICE_BOUNDS	20		/* 67 s */
#define WAIT_FIRST		10		/* 1 ms */
#define WAIT_BOUNDS		17		/* 67 s */

/* A reading that others' changes spoil is done again. */
#define MOST_TRIES		10
#define CHANGE_MS		1
#define MOST_CHANGE_MS	2000

/* ---------- what there is ---------- */

typedef enum MetricType
{
	GAUGE,
	COUNTER,
	HISTOGRAM
} MetricType;

typedef struct Metric
{
	const char *name;
	MetricType	type;
	const char *help;
} Metric;

static const Metric build_metrics[] = {
	{"info", GAUGE, "1, with the version of pool_optimizer."},
};

static const Metric cluster_metrics[] = {
	{"mode", GAUGE, "Setting pool_optimizer.mode: 0 off, 1 observe, 2 enforce."},
	{"health", GAUGE, "0 healthy, 1 warning, 2 critical, as pool_health() has it."},
	{"usable_connections", GAUGE, "Connections that plain clients can have."},
	{"sessions", GAUGE, "Client sessions, exempt ones included."},
	{"waiting_logins", GAUGE, "Logins queued for a place."},
	{"authenticating_connections", GAUGE,
	"Connections that hold a slot of the server but have not been let in yet."},
	{"utilization_ratio", GAUGE,
	"Share of the usable connections taken, by those that wait or authenticate, too."},
	{"warning_threshold_ratio", GAUGE, "Utilization from which health is warning."},
	{"critical_threshold_ratio", GAUGE, "Utilization from which health is critical."},
	{"guaranteed_connections", GAUGE, "Sum of the guarantees in force."},
	{"tenants", GAUGE, "Tenants known."},
	{"listed_tenants", GAUGE,
	"Tenants with series of their own: those of the highest load, at most "
	"pool_optimizer.metrics_tenants."},
	{"sampler_up", GAUGE, "1 if a sampler runs."},
	{"sampler_age_seconds", GAUGE, "Time since all sessions were last looked at."},
	{"error", GAUGE, "1 if pool_stats_cluster.last_error says that something is wrong."},
	{"policy_generation", GAUGE, "Changes of the policies in force since the start."},
	{"shared_memory_bytes", GAUGE, "Shared memory of pool_optimizer."},
	{"samples_total", COUNTER, "Samples taken."},
	{"missed_samples_total", COUNTER, "Samples that came too late to be taken."},
	{"sample_duration_seconds_total", COUNTER, "Time spent on samples."},
	{"overflow_logins_total", COUNTER,
	"Logins accounted as (other) because max_tenants was reached."},
	{"unready_logins_total", COUNTER,
	"Logins let in uncounted because something failed on our side."},
	{"worker_errors_total", COUNTER, "Errors of workers that were caught and survived."},
	{"cpu_speed_ratio", GAUGE,
	"How much a processor gets done in the same CPU time, of the most since the sampler started; "
	"less while others use the machine."},
};

static const Metric alert_metrics[] = {
	{"alerts", GAUGE, "Alerts that are raised."},
};

static const Metric finding_metrics[] = {
	{"open", GAUGE, "Findings of pool_findings that nobody has acknowledged."},
	{"connections", GAUGE, "Connections spent on these, on average."},
};

/* How what is left for (other) comes about. */
typedef enum Combine
{
	SUM,
	LEAST,
	MOST
} Combine;

enum
{
	TENANT_SESSIONS,
	TENANT_ACTIVE,
	TENANT_IDLE,
	TENANT_IDLE_IN_TRANSACTION,
	TENANT_EXEMPT,
	TENANT_LEAKED,
	TENANT_WAITING,
	TENANT_LIMIT,
	TENANT_GUARANTEED,
	TENANT_UTILIZATION,
	TENANT_BUSY_MEAN,
	TENANT_SIZE,
	TENANT_SIZE_MIN,
	TENANT_SIZE_MAX,
	TENANT_CONFIDENCE,
	TENANT_PREDICTED_WAIT,
	TENANT_PREDICTED_P95,
	N_TENANT_GAUGES
};

static const Combine combine[N_TENANT_GAUGES] = {
	[TENANT_CONFIDENCE] = LEAST,
	[TENANT_PREDICTED_WAIT] = MOST,
	[TENANT_PREDICTED_P95] = MOST
};

/* Of PoCounts: counters, then of each histogram the sum in us and cumulative counts. */
enum
{
	COUNT_ADMITTED,
	COUNT_REJECTED,
	COUNT_WOULD_REJECT,
	COUNT_FAILED,
	COUNT_TERMINATED,
	COUNT_WOULD_TERMINATE,
	COUNT_TRANSACTIONS,
	COUNT_ROLLBACKS,
	COUNT_ERRORS,
	N_TENANT_COUNTERS,
	COUNT_SERVICE_US = N_TENANT_COUNTERS,
	COUNT_SERVICE,
	COUNT_WAITED_US = COUNT_SERVICE + SERVICE_BOUNDS + 1,
	COUNT_WAITS,
	N_COUNTS = COUNT_WAITS + WAIT_BOUNDS + 1
};

/* What is promised of counters, see po_listing.h. */
#define LISTED	" Begins at 0 when the tenant gets a series of its own; (other) counts " \
	"what tenants do while they have none, and does not fall while the server runs."

static const Metric tenant_metrics[] = {
	{"sessions", GAUGE, "Sessions, exempt ones included."},
	{"active_sessions", GAUGE, "Sessions that executed a statement at the last sample."},
	{"idle_sessions", GAUGE, "Sessions that were neither active nor in a transaction."},
	{"idle_in_transaction_sessions", GAUGE, "Sessions idle, or aborted, in a transaction."},
	{"exempt_sessions", GAUGE, "Sessions that take no quota."},
	{"leaked_sessions", GAUGE, "Sessions that were found to be leaked."},
	{"waiting_logins", GAUGE, "Logins queued for a place."},
	{"limit_connections", GAUGE,
	"Its quota; without one, the usable connections. Of (other): the usable connections."},
	{"guaranteed_connections", GAUGE, "Connections that are always free for it."},
	{"utilization_ratio", GAUGE, "Share of limit_connections in use; exempt sessions take none."},
	{"busy_sessions_mean", GAUGE,
	"Sessions busy on average, in what is remembered of them (half an hour by default)."},
	{"recommended_connections", GAUGE,
	"Recommended pool size; the present sessions until there is one."},
	{"recommended_min_connections", GAUGE, "Connections to keep open without work."},
	{"recommended_max_connections", GAUGE,
	"Pool size that covers the most that were busy at once."},
	{"recommendation_confidence_ratio", GAUGE,
	"How sure the recommendation is. Of (other): the least above 0."},
	{"predicted_wait_seconds", GAUGE,
	"Mean wait for a connection of a pool of the recommended size. Of (other): the most."},
	{"predicted_p95_wait_seconds", GAUGE,
	"95 % wait less for a connection of a pool of the recommended size. Of (other): the most."},
	{"admitted_logins_total", COUNTER, "Logins admitted." LISTED},
	{"rejected_logins_total", COUNTER, "Logins refused by pool_optimizer." LISTED},
	{"would_reject_logins_total", COUNTER,
	"Logins admitted that mode enforce would have refused or queued." LISTED},
	{"failed_logins_total", COUNTER,
	"Logins that the server refused after pool_optimizer had admitted them." LISTED},
	{"terminated_sessions_total", COUNTER, "Sessions ended by pool_optimizer." LISTED},
	{"would_terminate_sessions_total", COUNTER,
	"Sessions that mode enforce would have ended." LISTED},
	{"transactions_total", COUNTER, "Transactions ended." LISTED},
	{"rollbacks_total", COUNTER, "Transactions rolled back." LISTED},
	{"transaction_errors_total", COUNTER, "Transactions ended by an error." LISTED},
};

static const Metric tenant_histograms[] = {
	{"transaction_duration_seconds", HISTOGRAM, "Duration of transactions." LISTED},
	{"login_wait_seconds", HISTOGRAM, "Time that queued logins waited." LISTED},
};

static const Metric pooler_metrics[] = {
	{"up", GAUGE, "1 if the console of this PgBouncer answers."},
	{"answer_age_seconds", GAUGE, "Time since it last answered; +Inf if it never did."},
	{"pools", GAUGE, "Its pools."},
	{"active_clients", GAUGE, "Clients that have a server connection, or want none."},
	{"waiting_clients", GAUGE, "Clients that wait for a server connection."},
	{"active_servers", GAUGE, "Server connections that clients have."},
	{"idle_servers", GAUGE, "Server connections that are free."},
	{"longest_wait_seconds", GAUGE, "Time that the first of the waiting clients has waited."},
	{"stalled_pools", GAUGE,
	"Pools that get fewer connections than their size allows, while clients wait."},
	{"unresized_pools", GAUGE, "Pools that auto is to resize and cannot."},
};

typedef struct Family
{
	const char *prefix;
	const char *label;			/* its name, NULL = none */
	const Metric *metric;
	int			n_metrics;
	const Metric *histogram;
	int			n_histograms;
} Family;

static const Family families[PO_N_METRICS_FAMILIES] = {
	[PO_METRICS_BUILD] = {"pool_optimizer_build_", "version", build_metrics,
	lengthof(build_metrics), NULL, 0},
	[PO_METRICS_CLUSTER] = {"pool_optimizer_", NULL, cluster_metrics,
	lengthof(cluster_metrics), NULL, 0},
	[PO_METRICS_ALERT] = {"pool_optimizer_", "alert", alert_metrics,
	lengthof(alert_metrics), NULL, 0},
	[PO_METRICS_FINDING] = {"pool_optimizer_findings_", "finding", finding_metrics,
	lengthof(finding_metrics), NULL, 0},
	[PO_METRICS_TENANT] = {"pool_optimizer_tenant_", "tenant", tenant_metrics,
	lengthof(tenant_metrics), tenant_histograms, lengthof(tenant_histograms)},
	[PO_METRICS_POOLER] = {"pool_optimizer_pooler_", "pooler", pooler_metrics,
	lengthof(pooler_metrics), NULL, 0},
};

StaticAssertDecl(N_COUNTS == PO_LISTED_COUNTS, "counts of po_listing.h");
StaticAssertDecl(lengthof(tenant_metrics) == N_TENANT_GAUGES + N_TENANT_COUNTERS,
				 "metrics of tenants");
StaticAssertDecl(lengthof(tenant_metrics) <= PO_METRICS_VALUES, "values of a row");
StaticAssertDecl(lengthof(cluster_metrics) <= PO_METRICS_VALUES, "values of a row");
StaticAssertDecl(SERVICE_BOUNDS <= PO_METRICS_BOUNDS && WAIT_BOUNDS <= PO_METRICS_BOUNDS,
				 "bounds of a histogram");

/* ---------- one tenant ---------- */

/* What is told of a tenant, or of several together. */
typedef struct Told
{
	bool		exists;
	bool		is_sized;		/* something is known to size one of them at least */
	char		name[PO_NAME_LEN];
	double		gauge[N_TENANT_GAUGES];
	PoCounts	counts;
} Told;

static void
count_tenant(const PoTenant *t, const PoTenantStats *s, PoCounts *counts)
{
	int64	   *c = counts->count;
	PoHistogram waits;

	c[COUNT_ADMITTED] = (int64) t->admitted;
	c[COUNT_REJECTED] = (int64) t->rejected;
	c[COUNT_WOULD_REJECT] = (int64) t->would_reject;
	c[COUNT_FAILED] = (int64) t->failed_logins;
	c[COUNT_TERMINATED] = (int64) s->terminated;
	c[COUNT_WOULD_TERMINATE] = (int64) s->would_terminate;
	c[COUNT_TRANSACTIONS] = (int64) s->transactions;
	c[COUNT_ROLLBACKS] = (int64) s->rollbacks;
	c[COUNT_ERRORS] = (int64) s->xact_errors;
	c[COUNT_SERVICE_US] = (int64) s->service_us;
	po_exposition_fold(&s->service, SERVICE_FIRST, SERVICE_BOUNDS, &c[COUNT_SERVICE]);
	c[COUNT_WAITED_US] = (int64) s->waited_us;
	po_histogram_widen(&s->waits, &waits);
	po_exposition_fold(&waits, WAIT_FIRST, WAIT_BOUNDS, &c[COUNT_WAITS]);
}

static void
gauge_tenant(const PoTenant *t, const PoTenantStats *s, int leaked, double *g)
{
	const PoRecommendation *r = &s->recommendation;
	bool		current = s->counts_tick >= pg_atomic_read_u64(&po_shared->samples);
	bool		computed = s->computed_at != 0;
	int			sessions = t->used + t->exempt;
	int			limit = t->fields.max_connections;

	g[TENANT_SESSIONS] = sessions;
	g[TENANT_ACTIVE] = current ? s->active : 0;
	g[TENANT_IDLE_IN_TRANSACTION] = current ? s->idle_in_transaction : 0;
	g[TENANT_IDLE] = Max(sessions - g[TENANT_ACTIVE] - g[TENANT_IDLE_IN_TRANSACTION], 0);
	g[TENANT_EXEMPT] = t->exempt;
	g[TENANT_LEAKED] = leaked;
	g[TENANT_WAITING] = t->waiting;
	g[TENANT_LIMIT] = limit >= 0 ? limit : po_shared->usable;
	g[TENANT_GUARANTEED] = t->fields.guaranteed;
	g[TENANT_UTILIZATION] = po_health_utilization(t->used, limit);
	g[TENANT_BUSY_MEAN] = r->busy_mean;
	g[TENANT_SIZE] = computed ? r->size : sessions;
	g[TENANT_SIZE_MIN] = computed ? r->min : sessions;
	g[TENANT_SIZE_MAX] = computed ? r->max : sessions;
	g[TENANT_CONFIDENCE] = r->confidence;
	g[TENANT_PREDICTED_WAIT] = r->predicted_wait_us / PO_US_PER_S;
	g[TENANT_PREDICTED_P95] = r->predicted_p95_us / PO_US_PER_S;
}

/*
 * Load, to choose who is listed: connections it has or waits for, and those busy on
 * average, so that one that works in bursts counts in its pauses.
 */
static double
score_tenant(const PoTenant *t, const PoTenantStats *s)
{
	double		score = t->used + t->exempt + t->waiting + po_levels_mean(&s->busy);

	if (t->last_refused_at != 0 && GetCurrentTimestamp() - t->last_refused_at < REFUSED_US)
		score = score * REFUSED_FACTOR + REFUSED_MORE;
	return score;
}

/* Reads a tenant; score may be NULL.  Takes locks, but cannot fail. */
static void
read_tenant(int i, int leaked, Told *told, double *score)
{
	PoTenant	t;
	PoTenantStats s;

	memset(told, 0, sizeof(*told));
	if (score != NULL)
		*score = -1;
	told->exists = po_registry_copy_tenant(i, &t);
	if (!told->exists)
		return;
	po_stats_copy(i, &s);
	told->is_sized = s.recommendation.confidence > 0;
	strlcpy(told->name, t.name, sizeof(told->name));
	gauge_tenant(&t, &s, leaked, told->gauge);
	count_tenant(&t, &s, &told->counts);
	/* Those beyond max_tenants are one, and part of (other). */
	if (score != NULL && i != PO_TENANT_OTHER)
		*score = score_tenant(&t, &s);
}

static void
add_told(Told *to, const Told *from)
{
	if (!from->exists)
		return;
	for (int i = 0; i < N_TENANT_GAUGES; i++)
	{
		double		value = from->gauge[i];

		if (combine[i] == SUM)
			to->gauge[i] += value;
		else if (!from->is_sized)
			continue;
		else if (!to->is_sized)
			to->gauge[i] = value;
		else
			to->gauge[i] = combine[i] == LEAST ? Min(to->gauge[i], value) :
				Max(to->gauge[i], value);
	}
	to->exists = true;
	to->is_sized = to->is_sized || from->is_sized;
	po_counts_add(&to->counts, &from->counts);
}

/* Leaked sessions by tenant; what the sampler found and is still so. */
static int *
count_leaked(void)
{
	int		   *leaked = palloc0(po_shared->n_tenants * sizeof(int));

	for (int i = 0; i < po_shared->n_slots; i++)
	{
		PoSlotPhase phase = (PoSlotPhase) pg_atomic_read_u32(&po_slots[i].phase);
		int			tenant = *(volatile int *) &po_slots[i].tenant;
		PoClass		class;
		PoVerdict	verdict;
		PoSeen		seen;

		CHECK_FOR_INTERRUPTS();
		if ((phase != PO_SLOT_ADMITTED && phase != PO_SLOT_EXEMPT) || tenant < 0 ||
			!PO_CLASS_IS_LEAK(PO_FINDING_CLASS(pg_atomic_read_u32(&po_watches[i].finding))))
			continue;
		if (po_sample_read(i, &seen) && po_judge_found(i, &seen, &class, &verdict) &&
			PO_CLASS_IS_LEAK(class))
			leaked[tenant]++;
	}
	return leaked;
}

/* What was read of all tenants. */
typedef struct Reading
{
	int			n;
	uint64		version;		/* of the listing */
	PoListing	listing;
	Told	   *listed;			/* by place in the listing */
	Told		other;
	double	   *score;
	bool	   *is_summed;		/* is anything of it in other? */
} Reading;

/* ---------- the listing in shared memory ---------- */

static inline void
lock_metrics(void)
{
	LWLockAcquire(po_shmem_lock(PO_LOCK_METRICS), LW_EXCLUSIVE);
}

static inline void
unlock_metrics(void)
{
	LWLockRelease(po_shmem_lock(PO_LOCK_METRICS));
}

/* Copies the listing when nobody is changing it; its version. */
static uint64
copy_listing(PoListing *listing)
{
	PoMetricsState *state = po_metrics_state;

	for (int waited = 0; waited < MOST_CHANGE_MS; waited += CHANGE_MS)
	{
		uint64		begun;
		bool		is_done;

		lock_metrics();
		begun = state->changes_begun;
		is_done = state->changes_done == begun;
		memcpy(listing, &state->listing, sizeof(*listing));
		unlock_metrics();
		if (is_done)
			return begun;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, CHANGE_MS,
						 po_compat_wait_event("PoolOptimizerMetrics"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("statistics are being reset all the time"),
			 errhint("Ask again.")));
	return 0;
}

/* False if others have begun a change since the version. */
static bool
begin_change(uint64 version)
{
	PoMetricsState *state = po_metrics_state;
	bool		may;

	lock_metrics();
	may = state->changes_begun == version;
	state->changes_begun += may ? 1 : 0;
	unlock_metrics();
	return may;
}

/*
 * Changes the listing, unless others have begun something since it was read.  Newcomers
 * only: nobody leaves, and of those that join only they that nobody was told of, as
 * far as there is room.
 */
static bool
change_listing(const Reading *r, const PoListingChange *change, bool newcomers_only)
{
	PoMetricsState *state = po_metrics_state;
	PoListing  *l = &state->listing;
	Told	   *joining = palloc(Max(change->n_join, 1) * sizeof(Told));
	int64		now = po_shmem_monotonic_us();
	bool		may;

	if (!begin_change(r->version))
		return false;
	/* From here on nothing may fail: readers wait. */
	for (int i = 0; i < change->n_join; i++)
		read_tenant(change->join[i], 0, &joining[i], NULL);
	lock_metrics();
	may = state->changes_begun == r->version + 1;
	for (int i = 0; may && !newcomers_only && i < change->n_leave; i++)
	{
		const Told *told = &r->listed[po_listing_find(&r->listing, change->leave[i])];

		po_listing_leave(l, change->leave[i], &told->counts, po_metrics_summed);
	}
	for (int i = 0; may && i < change->n_join; i++)
	{
		if (!newcomers_only ||
			(!po_metrics_summed[change->join[i]] && l->n < po_guc_metrics_tenants))
			po_listing_join(l, change->join[i], now, &joining[i].counts, po_metrics_summed);
	}
	state->changes_done++;
	unlock_metrics();
	return may;
}

void
po_metrics_reset_tenant(int tenant)
{
	PoMetricsState *state = po_metrics_state;
	PoTenant	t;
	PoTenantStats s;
	PoCounts	was;

	lock_metrics();
	state->changes_begun++;
	unlock_metrics();
	po_registry_reset_tenant(tenant, &t);
	po_stats_reset(tenant, &s);
	count_tenant(&t, &s, &was);
	lock_metrics();
	po_listing_reset(&state->listing, tenant, &was, po_metrics_summed);
	state->changes_done++;
	unlock_metrics();
}

/* Counts from before the start are in nothing that was published since. */
void
po_metrics_startup(void)
{
	PoListing  *l = &po_metrics_state->listing;
	int			n = po_view_tenant_count();
	double	   *score = palloc(n * sizeof(double));
	Told		told;
	PoListingChange change;

	for (int i = 0; i < n; i++)
	{
		read_tenant(i, 0, &told, &score[i]);
		if (po_counts_any(&told.counts))
			po_listing_begin(l, i, &told.counts, po_metrics_summed);
	}
	po_listing_choose(l, score, n, po_guc_metrics_tenants, 0, &change);
	for (int i = 0; i < change.n_join; i++)
	{
		read_tenant(change.join[i], 0, &told, NULL);
		po_listing_join(l, change.join[i], 0, &told.counts, po_metrics_summed);
	}
	pfree(score);
}

/* ---------- all tenants ---------- */

static void
read_tenants(Reading *r)
{
	int		   *leaked = count_leaked();
	int		   *place = palloc(po_shared->n_tenants * sizeof(int));
	Told		told;

	memset(&r->other, 0, sizeof(r->other));
	for (int i = 0; i < r->n; i++)
		place[i] = -1;
	for (int i = 0; i < r->listing.n; i++)
		place[r->listing.listed[i].tenant] = i;
	for (int i = 0; i < r->n; i++)
	{
		Told	   *to = place[i] >= 0 ? &r->listed[place[i]] : &told;

		CHECK_FOR_INTERRUPTS();
		read_tenant(i, leaked[i], to, &r->score[i]);
		r->is_summed[i] = place[i] < 0 && po_counts_any(&to->counts);
		if (place[i] < 0)
			add_told(&r->other, to);
	}
	po_counts_add(&r->other.counts, &r->listing.other);
	pfree(leaked);
	pfree(place);
}

/* Is what was read fit to be published?  Then it is noted what of it is. */
static bool
is_fit(const Reading *r)
{
	bool		fit;

	lock_metrics();
	fit = po_metrics_state->changes_begun == r->version;
	for (int i = 0; fit && i < r->n; i++)
		po_metrics_summed[i] |= r->is_summed[i];
	unlock_metrics();
	return fit;
}

/* Reads all tenants so that it fits together, and brings the listing up to date. */
static void
read_all(Reading *r)
{
	PoListingChange change;

	r->listed = palloc0(PO_LISTED_MOST * sizeof(Told));
	r->score = palloc(po_shared->n_tenants * sizeof(double));
	r->is_summed = palloc(po_shared->n_tenants * sizeof(bool));
	for (int i = 0; i < MOST_TRIES; i++)
	{
		r->version = copy_listing(&r->listing);
		/* After that: whoever has been listed by another reader is among them. */
		r->n = po_view_tenant_count();
		read_tenants(r);
		po_listing_choose(&r->listing, r->score, r->n, po_guc_metrics_tenants,
						  po_shmem_monotonic_us(), &change);
		/* Newcomers are told with all they have done, if they come before the rest. */
		if (i == 0 && change.n_join > 0 && change_listing(r, &change, true))
			continue;
		if (!is_fit(r))
			continue;
		if (change.n_join + change.n_leave > 0)
			(void) change_listing(r, &change, false);
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("statistics are being reset all the time"),
			 errhint("Ask again.")));
}

/* ---------- rows ---------- */

static PoMetricsRow *
new_rows(int n)
{
	return palloc0(Max(n, 1) * sizeof(PoMetricsRow));
}

static void
add_value(PoMetricsRow *row, double value)
{
	Assert(row->n_values < PO_METRICS_VALUES);
	row->value[row->n_values++] = value;
}

static void
add_histogram(PoMetricsRow *row, int first, int n, int64 sum_us, const int64 *cumulative)
{
	PoMetricsHistogram *h = &row->histogram[row->n_histograms++];

	h->n = n;
	for (int i = 0; i < n; i++)
		h->bound[i] = po_exposition_bound(first, i);
	memcpy(h->cumulative, cumulative, (n + 1) * sizeof(int64));
	h->sum = (double) sum_us / PO_US_PER_S;
}

/*
 * Names that are not valid in this database's encoding may look alike when they are
 * printable, and series of the same name are none.
 */
static const char *
distinct_label(const PoMetricsRow *rows, int n, const char *name)
{
	const char *label = po_view_printable(name);
	const char *base = label;
	int			number = 1;

	for (int i = 0; i < n; i++)
	{
		if (strcmp(rows[i].label, label) == 0)
		{
			label = psprintf("%s #%d", base, ++number);
			i = -1;
		}
	}
	return label;
}

static void
add_tenant(PoMetricsRow *rows, int *n, const char *name, const double *gauge,
		   const PoCounts *counts)
{
	PoMetricsRow *row = &rows[*n];
	const int64 *c = counts->count;

	row->label = distinct_label(rows, *n, name);
	(*n)++;
	for (int i = 0; i < N_TENANT_GAUGES; i++)
		add_value(row, gauge[i]);
	for (int i = 0; i < N_TENANT_COUNTERS; i++)
		add_value(row, (double) c[i]);
	add_histogram(row, SERVICE_FIRST, SERVICE_BOUNDS, c[COUNT_SERVICE_US], &c[COUNT_SERVICE]);
	add_histogram(row, WAIT_FIRST, WAIT_BOUNDS, c[COUNT_WAITED_US], &c[COUNT_WAITS]);
}

/* A plain role's own tenant, with all it ever did. */
static PoMetricsRow *
own_tenant_row(int *n)
{
	PoMetricsRow *rows = new_rows(1);
	int			mine = po_session_my_tenant();
	Told		told;

	*n = 0;
	if (mine < 0)
		return rows;
	read_tenant(mine, count_leaked()[mine], &told, NULL);
	if (told.exists)
		add_tenant(rows, n, told.name, told.gauge, &told.counts);
	return rows;
}

static PoMetricsRow *
tenant_rows(int *n)
{
	PoMetricsRow *rows;
	Reading		r;

	if (!po_view_sees_all())
		return own_tenant_row(n);
	read_all(&r);
	rows = new_rows(r.listing.n + 1);
	*n = 0;
	/* First, so that nobody else has its name. */
	r.other.gauge[TENANT_LIMIT] = po_shared->usable;
	r.other.gauge[TENANT_UTILIZATION] =
		po_health_utilization((int) (r.other.gauge[TENANT_SESSIONS] -
									 r.other.gauge[TENANT_EXEMPT]), PO_UNLIMITED);
	add_tenant(rows, n, OTHER_LABEL, r.other.gauge, &r.other.counts);
	for (int i = 0; i < r.listing.n; i++)
	{
		PoCounts	published;

		if (!r.listed[i].exists)
			continue;
		po_listing_publish(&r.listing, i, &r.listed[i].counts, &published);
		add_tenant(rows, n, r.listed[i].name, r.listed[i].gauge, &published);
	}
	return rows;
}

static PoMetricsRow *
build_rows(int *n)
{
	PoMetricsRow *row = new_rows(1);

	row->label = PO_VERSION;
	add_value(row, 1);
	*n = 1;
	return row;
}

static int
listed_tenants(void)
{
	int			n;

	lock_metrics();
	n = po_metrics_state->listing.n;
	unlock_metrics();
	return n;
}

/* 1 if something is wrong; not for everybody. */
static double
error_flag(void)
{
	char		error[PO_ERROR_LEN];
	TimestampTz at;

	if (!po_view_sees_all())
		return get_float8_nan();
	po_shmem_get_error(error, sizeof(error), &at);
	return error[0] != '\0' ? 1 : 0;
}

static double
cpu_speed(void)
{
	uint64		ppm = pg_atomic_read_u64(&po_shared->cpu_speed_ppm);

	return ppm > 0 ? ppm / 1e6 : get_float8_nan();
}

static PoMetricsRow *
cluster_rows(int *n)
{
	PoMetricsRow *row = new_rows(1);
	PoHealth	h;

	po_health_read(&h);
	add_value(row, po_guc_mode);
	add_value(row, h.level);
	add_value(row, po_shared->usable);
	add_value(row, h.totals.admitted + h.totals.exempt);
	add_value(row, h.totals.waiting);
	add_value(row, h.authenticating);
	add_value(row, h.utilization);
	add_value(row, po_guc_warning_threshold / 100.0);
	add_value(row, po_guc_critical_threshold / 100.0);
	add_value(row, h.totals.guaranteed_total);
	add_value(row, h.totals.n_tenants - 1 - h.totals.n_free_tenants);
	add_value(row, listed_tenants());
	add_value(row, pg_atomic_read_u32(&po_shared->sampler_pid) != 0 ? 1 : 0);
	add_value(row, (double) h.sample_age_us / PO_US_PER_S);
	add_value(row, error_flag());
	add_value(row, h.totals.generation);
	add_value(row, (double) po_shared->size);
	add_value(row, (double) pg_atomic_read_u64(&po_shared->samples));
	add_value(row, (double) pg_atomic_read_u64(&po_shared->missed_samples));
	add_value(row, (double) pg_atomic_read_u64(&po_shared->sample_ns) / 1e9);
	add_value(row, (double) h.totals.overflow_logins);
	add_value(row, (double) h.totals.unready);
	add_value(row, (double) pg_atomic_read_u64(&po_shared->worker_errors));
	add_value(row, cpu_speed());
	Assert(row->n_values == lengthof(cluster_metrics));
	*n = 1;
	return row;
}

/* How many of each alert and severity there are; those that there are none of as 0. */
static PoMetricsRow *
alert_rows(int *n)
{
	PoMetricsRow *rows = new_rows(PO_N_ALERTS * PO_N_SEVERITIES);
	PoAlertRecord *alerts = palloc_extended(po_shared->n_alerts * sizeof(PoAlertRecord),
											MCXT_ALLOC_HUGE);

	*n = PO_N_ALERTS * PO_N_SEVERITIES;
	for (int i = 0; i < *n; i++)
	{
		rows[i].label = po_alert_name((PoAlertKind) (i / PO_N_SEVERITIES));
		rows[i].severity = po_severity_name((PoSeverity) (PO_SEVERITY_WARNING +
														  i % PO_N_SEVERITIES));
		add_value(&rows[i], 0);
	}
	(void) po_alert_table_copy(alerts, NULL);
	for (int i = 0; i < po_shared->n_alerts; i++)
	{
		const PoAlertRecord *a = &alerts[i];

		if (a->id != 0 && po_view_sees_tenant(a->tenant))
			rows[a->kind * PO_N_SEVERITIES + PO_SEVERITY_INDEX(a->severity)].value[0]++;
	}
	pfree(alerts);
	return rows;
}

#define N_FOUND		(PO_FOUND_CRITICAL - PO_FOUND_INFO + 1)

/* Adds a finding to its row, unless it is acknowledged or not for the caller. */
static void
count_finding(PoMetricsRow *rows, const PoFindingRecord *f, const PoAcknowledged *acknowledged,
			  int n_acknowledged)
{
	PoMetricsRow *row = &rows[f->kind * N_FOUND + f->severity - PO_FOUND_INFO];
	PoTenantGlance tenant;

	if (!po_view_sees_tenant(f->tenant) || !po_registry_glance(f->tenant, &tenant) ||
		tenant.hash != f->subject ||
		po_finding_table_acknowledges(acknowledged, n_acknowledged, f, tenant.name))
		return;
	row->value[0]++;
	row->value[1] += f->connections;
}

/* Of each kind and severity; those that there are none of as 0. */
static PoMetricsRow *
finding_rows(int *n)
{
	PoMetricsRow *rows = new_rows(PO_N_FINDINGS * N_FOUND);
	PoAcknowledged *acknowledged = palloc_extended(po_finding_table->n_findings *
												   sizeof(PoAcknowledged), MCXT_ALLOC_HUGE);
	int			n_acknowledged;

	*n = PO_N_FINDINGS * N_FOUND;
	for (int i = 0; i < *n; i++)
	{
		rows[i].label = po_finding_name((PoFindingKind) (i / N_FOUND));
		rows[i].severity = po_finding_severity_name((PoFindingSeverity) (PO_FOUND_INFO +
																		  i % N_FOUND));
		add_value(&rows[i], 0);
		add_value(&rows[i], 0);
	}
	(void) po_finding_table_copy_acknowledged(acknowledged, &n_acknowledged);
	for (int i = 0; i < po_finding_table_n_places(); i++)
	{
		PoFindingRecord f;

		CHECK_FOR_INTERRUPTS();
		if (po_finding_table_copy(i, &f))
			count_finding(rows, &f, acknowledged, n_acknowledged);
	}
	pfree(acknowledged);
	return rows;
}

/* Sums over those pools of a pooler that the caller may see. */
typedef struct PoolSums
{
	int			n;
	int64		cl_active;
	int64		cl_waiting;
	int64		sv_active;
	int64		sv_idle;
	double		longest_wait;
	int			n_stalled;
	int			n_unresized;
} PoolSums;

static void
sum_pools(int pooler, const PoPoolSeen *pools, int n_pools, PoolSums *sums)
{
	memset(sums, 0, sizeof(*sums));
	for (int i = 0; i < n_pools; i++)
	{
		const PoPoolerPool *p = &pools[i].pool;

		if (pools[i].pooler != pooler || !po_view_sees_tenant(pools[i].tenant))
			continue;
		sums->n++;
		sums->cl_active += p->cl_active;
		sums->cl_waiting += p->cl_waiting;
		sums->sv_active += p->sv_active;
		sums->sv_idle += p->sv_idle + p->sv_used;
		sums->longest_wait = Max(sums->longest_wait, p->maxwait + p->maxwait_us / 1e6);
		sums->n_stalled += pools[i].obtainable > 0;
		sums->n_unresized += pools[i].problem != PO_RESIZE_OK;
	}
}

static PoMetricsRow *
pooler_rows(int *n)
{
	PoMetricsRow *rows = new_rows(PO_POOLER_MOST);
	PoPoolerSeen poolers[PO_POOLER_MOST];
	PoPoolSeen *pools = palloc(po_shared->n_pools * sizeof(PoPoolSeen));
	int			n_poolers;
	int			n_pools;

	po_pooler_table_copy(poolers, &n_poolers, pools, &n_pools, NULL);
	*n = 0;
	for (int i = 0; i < n_poolers; i++)
	{
		PoMetricsRow *row = &rows[*n];
		TimestampTz seen_at = poolers[i].seen_at;
		PoolSums	sums;

		sum_pools(i, pools, n_pools, &sums);
		if (sums.n == 0 && !po_view_sees_all())
			continue;
		row->label = distinct_label(rows, *n, poolers[i].name);
		(*n)++;
		add_value(row, poolers[i].state == PO_POOLER_OK ? 1 : 0);
		add_value(row, seen_at == 0 ? get_float8_infinity() :
				  (double) Max(GetCurrentTimestamp() - seen_at, 0) / PO_US_PER_S);
		add_value(row, sums.n);
		add_value(row, (double) sums.cl_active);
		add_value(row, (double) sums.cl_waiting);
		add_value(row, (double) sums.sv_active);
		add_value(row, (double) sums.sv_idle);
		add_value(row, sums.longest_wait);
		add_value(row, sums.n_stalled);
		add_value(row, sums.n_unresized);
	}
	pfree(pools);
	return rows;
}

PoMetricsRow *
po_metrics_rows(PoMetricsFamily family, int *n_rows)
{
	switch (family)
	{
		case PO_METRICS_BUILD:
			return build_rows(n_rows);
		case PO_METRICS_CLUSTER:
			return cluster_rows(n_rows);
		case PO_METRICS_ALERT:
			return alert_rows(n_rows);
		case PO_METRICS_FINDING:
			return finding_rows(n_rows);
		case PO_METRICS_TENANT:
			return tenant_rows(n_rows);
		case PO_METRICS_POOLER:
			return pooler_rows(n_rows);
	}
	*n_rows = 0;
	return NULL;
}

/* ---------- text ---------- */

static void
write_head(StringInfo out, const Family *f, const Metric *m)
{
	static const char *const types[] = {"gauge", "counter", "histogram"};

	appendStringInfo(out, "# HELP %s%s %s\n", f->prefix, m->name, m->help);
	appendStringInfo(out, "# TYPE %s%s %s\n", f->prefix, m->name, types[m->type]);
}

/* suffix is that of a histogram's series, le the bound of a bucket or NULL. */
static void
write_sample(StringInfo out, const Family *f, const char *name, const char *suffix,
			 const PoMetricsRow *row, const char *le, double value)
{
	char		number[PO_EXPOSITION_NUMBER_LEN];

	appendStringInfo(out, "%s%s%s", f->prefix, name, suffix);
	if (f->label != NULL)
	{
		char	   *escaped = palloc(2 * strlen(row->label) + 1);

		po_exposition_escape(escaped, row->label);
		appendStringInfo(out, "{%s=\"%s\"", f->label, escaped);
		if (row->severity != NULL)
			appendStringInfo(out, ",severity=\"%s\"", row->severity);
		if (le != NULL)
			appendStringInfo(out, ",le=\"%s\"", le);
		appendStringInfoChar(out, '}');
		pfree(escaped);
	}
	po_exposition_number(number, value);
	appendStringInfo(out, " %s\n", number);
}

static void
write_histogram(StringInfo out, const Family *f, const char *name, const PoMetricsRow *row,
				const PoMetricsHistogram *h)
{
	for (int i = 0; i <= h->n; i++)
	{
		char		le[PO_EXPOSITION_NUMBER_LEN];

		po_exposition_number(le, i < h->n ? h->bound[i] : get_float8_infinity());
		write_sample(out, f, name, "_bucket", row, le, (double) h->cumulative[i]);
	}
	write_sample(out, f, name, "_sum", row, NULL, h->sum);
	write_sample(out, f, name, "_count", row, NULL, (double) h->cumulative[h->n]);
}

static void
write_family(StringInfo out, const Family *f, const PoMetricsRow *rows, int n)
{
	for (int m = 0; m < f->n_metrics && n > 0; m++)
	{
		write_head(out, f, &f->metric[m]);
		for (int i = 0; i < n; i++)
		{
			if (!isnan(rows[i].value[m]))
				write_sample(out, f, f->metric[m].name, "", &rows[i], NULL, rows[i].value[m]);
		}
	}
	for (int m = 0; m < f->n_histograms && n > 0; m++)
	{
		write_head(out, f, &f->histogram[m]);
		for (int i = 0; i < n; i++)
			write_histogram(out, f, f->histogram[m].name, &rows[i], &rows[i].histogram[m]);
	}
}

char *
po_metrics_text(void)
{
	StringInfoData out;
	PoMetricsRow *rows[PO_N_METRICS_FAMILIES];
	int			n[PO_N_METRICS_FAMILIES];

	/* From the last to the first: the cluster tells how many tenants are listed. */
	for (int i = PO_N_METRICS_FAMILIES - 1; i >= 0; i--)
		rows[i] = po_metrics_rows((PoMetricsFamily) i, &n[i]);
	initStringInfo(&out);
	for (int i = 0; i < PO_N_METRICS_FAMILIES; i++)
		write_family(&out, &families[i], rows[i], n[i]);
	return out.data;
}
