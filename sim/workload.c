/*
 * workload.c
 *		The world: what tenants do, and what a server would observe of it.
 *
 * Within an interval nothing is simulated one by one: an open workload is seen at levels
 * drawn from the distribution of a queue in its steady state, a closed one at its
 * throughput by asymptotic bounds and the Universal Scalability Law.  That is what makes
 * months affordable, and it is why waits shorter than an interval are not reported.
 */
#include "sim.h"

#include <math.h>
#include <string.h>

#include "model/po_queueing.h"

#define LEVELS_DRAWN	12		/* in an interval */
#define STUCK_FACTOR	20.0	/* of the service time behind a lock */
#define AWAKE_RATE		0.01	/* transactions/s below which a tenant sleeps */
#define NOISE			0.05	/* in an interval, of the logarithm of the rate */
#define NOISE_KEEPS		0.9
#define INTERVAL_US		((double) INTERVAL_S * PO_US_PER_S)

#define STEPS_BY_LOAD	20

static uint64_t random_state;

void
seed_random(uint64_t seed)
{
	random_state = seed;
}

/* splitmix64 (G. L. Steele et al. 2014) */
double
random_unit(void)
{
	uint64_t	z = (random_state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return (double) ((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

int
random_below(int n)
{
	return (int) (random_unit() * n);
}

/* Near enough to normal for noise (sum of uniform ones). */
static double
random_normal(void)
{
	double		sum = -6;

	for (int i = 0; i < 12; i++)
		sum += random_unit();
	return sum;
}

/* ---------- tenants ---------- */

/* Transactions/us of a closed workload with a pool of n. */
static double
throughput(const Tenant *t, int n)
{
	double		free = fmin(n, t->clients) / (t->cpu_us + t->off_us);
	double		most = BATCH_CORES / t->cpu_us;
	double		x = 1 / pow(pow(free, -8) + pow(most, -8), 1.0 / 8);

	return x / (1 + t->contention * (n - 1) + t->coherence * n * (n - 1.0));
}

static int
least_good(const Tenant *t)
{
	double		best = 0;
	int			n = 1;

	for (int i = 1; i <= t->clients; i++)
		best = fmax(best, throughput(t, i));
	while (throughput(t, n) < 0.95 * best)
		n++;
	return n;
}

static void
make_policy(PoPolicyFields *policy)
{
	double		u = random_unit();

	po_policy_defaults(policy);
	policy->weight = u < 0.8 ? 1 : u < 0.95 ? 4 : 10;
	policy->guaranteed = random_below(10) == 0 ? 2 + random_below(4) : 0;
	policy->max_connections = random_below(5) == 0 ? 20 + random_below(80) : PO_UNLIMITED;
}

/* Sizes are distributed as those of firms are: few large ones, many small ones. */
void
make_tenant(Tenant *t)
{
	double		u = random_unit();
	double		load = fmin(0.05 * pow(1 - random_unit(), -1 / 1.3), 40);

	memset(t, 0, sizeof(*t));
	t->kind = u < 0.9 ? KIND_WEB : u < 0.95 ? KIND_LOCKING : KIND_BATCH;
	t->cpu_us = 200 + 2000 * random_unit();
	t->off_us = 500 + 15000 * random_unit() * random_unit();
	t->peak_hour = t->kind == KIND_BATCH ? random_below(6) : 9 + random_below(10);
	t->weekend = 0.2 + 0.8 * random_unit();
	t->peak_rate = load / (t->cpu_us + t->off_us) * PO_US_PER_S;
	t->clients = (int) ceil(3 * load) + 5;
	if (t->kind != KIND_WEB)
	{
		t->clients = 16 + random_below(48);
		t->contention = t->kind == KIND_LOCKING ? 0.02 + 0.2 * random_unit() : 0;
		t->coherence = t->kind == KIND_LOCKING ? 0.002 * random_unit() : 0;
		t->closed_need = least_good(t);
	}
	make_policy(&t->policy);
	if (t->policy.max_connections > 0 && t->closed_need > t->policy.max_connections)
		t->closed_need = t->policy.max_connections;
}

double
peak_load(const Tenant *t)
{
	return t->peak_rate * (t->cpu_us + t->off_us) / PO_US_PER_S;
}

/* What perfect knowledge of load and service time gives: the same formula, no noise. */
int
need_of(const Tenant *t, double load, double service_us)
{
	int			need;

	if (t->kind != KIND_WEB)
		return t->closed_need;
	need = po_queueing_servers_for_wait(load, service_us, 1, 1,
										(double) t->policy.target_wait_us);
	if (need > t->clients)
		need = t->clients;
	if (t->policy.max_connections > 0 && need > t->policy.max_connections)
		need = t->policy.max_connections;
	return need;
}

/* ---------- time passes ---------- */

/* Of the peak's load: a bell over the day, less at the weekend. */
static double
season(const Tenant *t, int64_t now_s)
{
	double		hour = (double) (now_s % DAY_S) / 3600;
	double		off = fabs(hour - t->peak_hour);
	bool		weekend = now_s / DAY_S % 7 >= 5;

	if (off > 12)
		off = 24 - off;
	if (t->kind != KIND_WEB)
		return off < (t->kind == KIND_BATCH ? 2 : 4) ? 1 : 0;
	return (0.05 + 0.95 * exp(-off * off / 18)) * (weekend ? t->weekend : 1);
}

/*
 * The noise is an autoregressive process (NOISE_KEEPS of it stays in each interval), which
 * is as easily put forward by many intervals as by one.
 */
void
advance(Tenant *t, int64_t now, int intervals)
{
	double		keeps = intervals == 1 ? NOISE_KEEPS : pow(NOISE_KEEPS, intervals);

	t->noise = keeps * t->noise + NOISE * sqrt((1 - keeps * keeps) /
											   (1 - NOISE_KEEPS * NOISE_KEEPS)) * random_normal();
	t->rate = t->peak_rate * season(t, now * INTERVAL_S) * exp(t->noise);
	t->awake = t->rate >= AWAKE_RATE;
}

/* ---------- observing ---------- */

/*
 * Levels of an infinite system at that load, LEVELS_DRAWN of them, each from another part of
 * the distribution; no more than n are busy.  Returns their mean.
 */
static double
draw_levels(double load, int n, double weight, PoLevels *levels)
{
	double		p = exp(-load);
	double		below = p;
	double		sum = 0;
	int			level = 0;

	for (int i = 0; i < LEVELS_DRAWN; i++)
	{
		double		u = (i + random_unit()) / LEVELS_DRAWN;
		int			seen;

		if (load > 200)
			level = (int) fmax(load + sqrt(load) * (u - 0.5) * 4, 0);
		/* They rise with u, so each goes on from the one before. */
		while (load <= 200 && below < u && level < 1000)
		{
			p *= load / ++level;
			below += p;
		}
		seen = load >= n || level > n ? n : level;
		po_levels_add(levels, seen, weight / LEVELS_DRAWN);
		sum += seen;
	}
	return sum / LEVELS_DRAWN;
}

static void
observe_open(Tenant *t, double service_us, Observed *o)
{
	int			n = o->seen.size;
	double		load = fmin(t->load, t->clients);

	o->seen.busy = draw_levels(load, n, o->intervals * INTERVAL_US, &o->levels);
	o->seen.rate = fmin(load, n) / service_us * PO_US_PER_S;
	o->seen.share[PO_WAIT_CPU] = t->cpu_us / (t->cpu_us + t->off_us);
	o->seen.share[PO_WAIT_CLIENT] = 1 - o->seen.share[PO_WAIT_CPU];
}

static void
observe_closed(Tenant *t, double slowness, Observed *o)
{
	int			n = o->seen.size < t->clients ? o->seen.size : t->clients;
	double		free = 1 + t->contention * (n - 1) + t->coherence * n * (n - 1.0);
	double		off;

	if (n == 0)
		return;
	po_levels_add(&o->levels, n, o->intervals * INTERVAL_US);
	o->seen.busy = n;
	o->seen.rate = throughput(t, n) / slowness * PO_US_PER_S *
		(1 + 0.02 / sqrt(o->intervals) * random_normal());
	off = fmin(throughput(t, n) * free * t->off_us / n, 1);
	o->seen.share[PO_WAIT_LOCK] = 1 - 1 / free;
	o->seen.share[PO_WAIT_CLIENT] = off / free;
	o->seen.share[PO_WAIT_CPU] = (1 - off) / free;
	o->service_us = n / o->seen.rate * PO_US_PER_S;
}

/* Some intervals with the pool that was granted. */
void
observe(Tenant *t, double slowness, double cores, int intervals, Observed *o)
{
	double		service_us = (t->cpu_us + t->off_us) * slowness;

	memset(o, 0, sizeof(*o));
	o->intervals = intervals;
	t->need = need_of(t, t->rate * service_us / PO_US_PER_S, service_us);
	o->seen.size = t->granted;
	o->seen.cores = t->kind == KIND_WEB ? (int) cores : BATCH_CORES;
	o->seen.queued = -1;
	o->service_us = service_us;
	/* More sessions are more waiters behind that lock: the need does not change. */
	if (t->stuck)
		o->service_us = service_us * STUCK_FACTOR;
	t->load = t->rate * o->service_us / PO_US_PER_S;
	if (t->kind == KIND_WEB)
		observe_open(t, o->service_us, o);
	else
		observe_closed(t, slowness * (t->stuck ? STUCK_FACTOR : 1), o);
	if (t->stuck)
	{
		for (int i = 0; i < PO_N_WAITS; i++)
			o->seen.share[i] /= STUCK_FACTOR;
		o->seen.share[PO_WAIT_LOCK] += 1 - 1 / STUCK_FACTOR;
	}
	o->seen.transactions = floor(o->seen.rate * intervals * INTERVAL_S);
}

/*
 * How many intervals until it has to be looked at again: one while its size may change from
 * one to the next, more the less it has to do.  A load far below one session needs one or
 * two connections whatever its noise and an hour of its season; a search, also one that has
 * settled, counts evaluations.
 */
int
steps_for(const Tenant *t, int64_t now)
{
	if (t->awake && (t->kind != KIND_WEB || t->search.phase != PO_SEARCH_NONE || t->stuck ||
					 t->deploying || t->cut))
		return 1;
	if (t->awake)
		return (int) fmax(MOST_STEPS / (1 + STEPS_BY_LOAD * t->load), 1);
	/* When a closed workload begins is known beforehand. */
	for (int steps = 1; steps < MOST_STEPS && t->kind != KIND_WEB; steps++)
	{
		if (season(t, (now + steps) * INTERVAL_S) != season(t, now * INTERVAL_S))
			return steps;
	}
	return MOST_STEPS;
}
