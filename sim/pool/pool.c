/*
 * pool.c
 *		Regret of recommended sizes against brute force, in discrete events.
 *
 * As bench/regret does with a real server: sweep the sizes of a pool, take the best
 * throughput T* and n*, the least size with 0.95 T*; then let the extension's own code find a
 * size from 20, 2 and 64 by what its sampler would have seen, once each evaluation; what it
 * settles on is compared with T* and n*.  Here every workload takes a second instead of minutes,
 * on any number of processors, and as often as one likes.
 *
 * With --steps the load becomes another one, in the middle of the search or when it has settled:
 * evaluations are those from then on.
 */
#include "world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/po_policy.h"
#include "model/po_recommend.h"
#include "model/po_search.h"

#define NEAR			0.95
#define QUIET			10		/* settled after so many evaluations without a change */
#define EVALUATIONS		60
#define SAMPLE_US		1e5
#define WAY_US			3e5		/* until a size that was set is there */
#define MOST_RUNS		100
#define LEAST_DONE		300.0	/* transactions for each second asked for */

/* Times are of the order that pgbench, PgBouncer and a server on one machine take. */
static const Workload workloads[] = {
	{"hot", "a hot row, one round trip", 64, 0, 0.004, 0.02,
	{{1, 60, 0, {{STEP_CPU, 40}, {STEP_LOCK, 1}, {STEP_CPU, 80}}}}},
	{"lock1", "a hot row, three round trips", 64, 0, 0.004, 0.02,
	{{1, 60, 0, {{STEP_CPU, 30}, {STEP_CLIENT, 40}, {STEP_LOCK, 1}, {STEP_CPU, 60},
	{STEP_CLIENT, 40}, {STEP_CPU, 40}}}}},
	{"lock4", "4 of them", 64, 0, 0.004, 0.02,
	{{1, 60, 0, {{STEP_CPU, 30}, {STEP_CLIENT, 40}, {STEP_LOCK, 4}, {STEP_CPU, 60},
	{STEP_CLIENT, 40}, {STEP_CPU, 40}}}}},
	{"lock16", "16 of them", 64, 0, 0.004, 0.02,
	{{1, 60, 0, {{STEP_CPU, 30}, {STEP_CLIENT, 40}, {STEP_LOCK, 16}, {STEP_CPU, 60},
	{STEP_CLIENT, 40}, {STEP_CPU, 40}}}}},
	{"locked think", "4 rows, thinks 2 ms while it holds one", 64, 0, 0.004, 0.02,
	{{1, 60, 0, {{STEP_CPU, 30}, {STEP_CLIENT, 40}, {STEP_LOCK, 4}, {STEP_CPU, 60},
	{STEP_THINK, 2000}, {STEP_CPU, 40}}}}},
	{"think0.5", "client thinks 0.5 ms in the transaction", 64, 0, 0.004, 0,
	{{1, 60, 0, {{STEP_CPU, 70}, {STEP_CLIENT, 60}, {STEP_THINK, 500}, {STEP_CPU, 60}}}}},
	{"think2", "client thinks 2 ms", 64, 0, 0.004, 0,
	{{1, 60, 0, {{STEP_CPU, 70}, {STEP_CLIENT, 60}, {STEP_THINK, 2000}, {STEP_CPU, 60}}}}},
	{"think5", "client thinks 5 ms", 64, 0, 0.004, 0,
	{{1, 60, 0, {{STEP_CPU, 70}, {STEP_CLIENT, 60}, {STEP_THINK, 5000}, {STEP_CPU, 60}}}}},
	{"think20", "client thinks 20 ms", 64, 0, 0.004, 0,
	{{1, 60, 0, {{STEP_CPU, 70}, {STEP_CLIENT, 60}, {STEP_THINK, 20000}, {STEP_CPU, 60}}}}},
	{"cpu", "CPU only", 64, 0, 0.0005, 0,
	{{1, 60, 0, {{STEP_CPU, 4000}}}}},
	{"io", "waits off the CPU", 64, 0, 0.002, 0,
	{{1, 60, 0, {{STEP_CPU, 70}, {STEP_IO, 5000}, {STEP_CPU, 30}}}}},
	{"disk", "reads of 5 ms from a disk that serves 12 at once", 64, 0, 0.002, 0,
	{{1, 60, 0, {{STEP_CPU, 70}, {STEP_DISK, 5000}, {STEP_CPU, 30}}}}},
	{"commit", "waits for the disk at its end", 64, 0, 0.002, 0,
	{{1, 60, 0, {{STEP_CPU, 100}, {STEP_IO, 600}}}}},
	{"select", "a row by its key", 64, 0, 0.004, 0,
	{{1, 70, 0, {{STEP_CPU, 60}}}}},
	{"mixed", "95 % of 0.1 ms, 5 % of 10 ms", 64, 0, 0.002, 0,
	{{0.95, 70, 0, {{STEP_CPU, 60}}}, {0.05, 70, 0, {{STEP_CPU, 10000}}}}},
	{"long short", "90 % of 0.1 ms, 10 % that wait 50 ms", 64, 0, 0.002, 0,
	{{0.9, 70, 0, {{STEP_CPU, 60}}}, {0.1, 70, 0, {{STEP_CPU, 200}, {STEP_IO, 50000}}}}},
	{"pause", "clients think 30 ms outside of the transaction", 64, 0, 0.002, 0,
	{{1, 70, 30000, {{STEP_CPU, 60}}}}},
	{"pause, trips", "and their transactions take three round trips", 64, 0, 0.002, 0,
	{{1, 40, 30000, {{STEP_CPU, 40}, {STEP_CLIENT, 80}, {STEP_CPU, 60}, {STEP_CLIENT, 80},
	{STEP_CPU, 60}}}}},
	{"pause, think", "and think 1 ms in them", 64, 0, 0.002, 0,
	{{1, 40, 30000, {{STEP_CPU, 40}, {STEP_CLIENT, 80}, {STEP_CPU, 60}, {STEP_THINK, 1000},
	{STEP_CPU, 60}}}}},
	{"rate", "800/s arrive, client thinks 2 ms", 64, 800, 0.002, 0,
	{{1, 60, 0, {{STEP_CPU, 70}, {STEP_CLIENT, 60}, {STEP_THINK, 2000}, {STEP_CPU, 60}}}}},
	{"slow rate", "40/s arrive, 60 ms each, mostly disk", 64, 40, 0.002, 0,
	{{1, 60, 0, {{STEP_CPU, 5000}, {STEP_IO, 55000}}}}}
};

/*
 * Another load from an evaluation on, the first after it has settled when that is 0.  Not among them:
 * one that asks for less, as what it needed before is kept on purpose for half an hour; and a
 * full pool whose disk becomes faster, which shows in nothing until the search looks again.
 */
typedef struct Change
{
	const char *from;
	const char *to;
	int			at;
} Change;

static const Change changes[] = {
	{"think2", "think20", 0}, {"think20", "think2", 0}, {"think20", "think2", 8},
	{"think5", "think0.5", 0}, {"io", "disk", 0}, {"disk", "io", 10}, {"pause", "think5", 0},
	{"select", "io", 0}, {"io", "select", 6},
	{"hot", "think5", 0}, {"think5", "lock4", 0}, {"mixed", "long short", 0}
};

#define N_CHANGES		((int) (sizeof(changes) / sizeof(changes[0])))

#define N_WORKLOADS		((int) (sizeof(workloads) / sizeof(workloads[0])))

static const int sizes[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64};

#define N_SIZES			((int) (sizeof(sizes) / sizeof(sizes[0])))

static const int starts[] = {20, 2, 64};

#define N_STARTS		((int) (sizeof(starts) / sizeof(starts[0])))

typedef struct Options
{
	int			cores;
	int			runs;
	double		noise;
	double		drift;
	double		seconds;		/* for each size */
	double		interval;		/* seconds between evaluations */
	int			watch;			/* evaluations to look on after it has settled */
	bool		verbose;
	bool		steady;			/* the machine's speed is unknown */
	bool		blind;			/* to how long clients wait at the pooler */
	bool		check;
	bool		steps;
	const char *only;
} Options;

static const Workload *
find_workload(const char *name)
{
	int			i = 0;

	while (strcmp(workloads[i].name, name) != 0)
		i++;
	return &workloads[i];
}

/* ---------- brute force ---------- */

typedef struct Sweep
{
	double		rate[N_SIZES];
	double		best;
	int			least;			/* n* */
} Sweep;

/* The machine is quiet while it is swept: what is wanted is the truth. */
static double
throughput(const Workload *w, const Options *o, int size)
{
	World	   *world = world_new(w, o->cores, 0, 0, 1);
	Seen		seen;
	double		done = 0;
	int			s = 0;

	world_resize(world, size);
	world_run(world, 1e6, 1e6, &seen);
	for (; s < o->seconds && done < LEAST_DONE * o->seconds; s++)
	{
		world_run(world, 1e6, 1e6, &seen);
		done += seen.done;
	}
	world_free(world);
	return done / s;
}

static void
sweep(const Workload *w, const Options *o, Sweep *s)
{
	memset(s, 0, sizeof(*s));
	for (int i = 0; i < N_SIZES; i++)
	{
		s->rate[i] = throughput(w, o, sizes[i]);
		s->best = fmax(s->best, s->rate[i]);
	}
	for (int i = N_SIZES - 1; i >= 0; i--)
	{
		if (s->rate[i] >= NEAR * s->best)
			s->least = sizes[i];
	}
	for (int i = 0; i < N_SIZES; i++)
	{
		if (o->verbose)
			printf("  %d:%.0f", sizes[i], s->rate[i]);
	}
	if (o->verbose)
		printf("\n");
}

/* ---------- what the extension makes of it ---------- */

/* As PoTenantStats, without a server. */
typedef struct Tenant
{
	PoLevels	busy;
	double		transactions;
	double		service_us;
	double		service_sq;
	double		elapsed_us;
	double		wait_us[PO_N_WAITS];
	double		observed_us;
	int			peak;
	int			calm;			/* see po_recommend_memory */
	PoSearch	search;
	PoRecommendation r;
} Tenant;

/* The most that were busy at once in the evaluation. */
static int
most_busy(const Seen *seen)
{
	int			most = 0;

	for (int n = 0; n <= MOST_CLIENTS; n++)
	{
		if (seen->busy[n] > 0)
			most = n;
	}
	return most;
}

static void
forget(Tenant *t, const Seen *seen)
{
	double		factor = exp(-1.0 / po_recommend_memory(po_levels_quantile(&t->busy, 0.95),
														most_busy(seen), seen->done, &t->calm));

	po_levels_decay(&t->busy, factor);
	t->transactions *= factor;
	t->service_us *= factor;
	t->service_sq *= factor;
	t->elapsed_us *= factor;
	for (int i = 0; i < PO_N_WAITS; i++)
		t->wait_us[i] *= factor;
}

static void
remember(Tenant *t, const Seen *seen)
{
	for (int n = 0; n <= MOST_CLIENTS; n++)
	{
		if (seen->busy[n] > 0)
			po_levels_add(&t->busy, n, seen->busy[n] * SAMPLE_US);
	}
	t->transactions += seen->done;
	t->service_us += seen->service;
	t->service_sq += seen->service_sq;
	t->elapsed_us += seen->elapsed;
	t->observed_us += seen->elapsed;
	for (int i = 0; i < PO_N_WAITS; i++)
		t->wait_us[i] += seen->waits[i] * SAMPLE_US;
}

static void
search_input(const Seen *from, const PoPolicyFields *policy, const Options *o, PoSearchSeen *seen)
{
	double		busy = 0;

	memset(seen, 0, sizeof(*seen));
	for (int i = 0; i < PO_N_WAITS; i++)
		busy += from->waits[i];
	for (int i = 0; i < PO_N_WAITS && busy > 0; i++)
		seen->share[i] = from->waits[i] / busy;
	seen->size = from->sessions;
	seen->busy = busy / from->samples;
	seen->transactions = from->done;
	seen->rate = from->done / from->elapsed * 1e6;
	seen->cores = o->cores;
	seen->speed = o->steady ? 0 : from->speed;
	seen->demand = from->clients;
	seen->waiting = from->waiting;
	seen->queued = o->blind ? -1 : from->queued;
	seen->idle = o->blind ? -1 : from->idle;
	seen->target_us = (double) policy->target_wait_us;
	seen->followed = true;
	po_recommend_bounds(policy, &seen->lowest, &seen->highest);
	seen->saturated = po_search_is_limited(seen, policy->scale_up_threshold);
}

static void
sizing_input(const Tenant *t, int sessions, int cores, PoSizingInput *in)
{
	double		total = 0;
	double		mean = t->transactions > 0 ? t->service_us / t->transactions : 0;

	memset(in, 0, sizeof(*in));
	po_levels_digest(&t->busy, &in->busy);
	in->arrival_cv2 = 1;
	in->observed_us = (int64_t) t->observed_us;
	in->transactions = (uint64_t) t->transactions;
	in->sessions = sessions;
	in->peak_busy = in->busy.max;
	in->previous = t->r.known;
	in->arrival_rate = t->transactions / t->elapsed_us * 1e6;
	in->service_us = mean;
	if (mean > 0)
		in->service_cv2 = fmax(t->service_sq / t->transactions / (mean * mean) - 1, 0);
	for (int i = 0; i < PO_N_WAITS; i++)
		total += t->wait_us[i];
	for (int i = 0; i < PO_N_WAITS && total > 0; i++)
		in->wait_share[i] = t->wait_us[i] / total;
	in->cores = cores;
}

static int
evaluate(Tenant *t, const Seen *seen, const Options *o)
{
	PoPolicyFields policy;
	PoSearchSeen now;
	PoSizingInput in;

	po_policy_defaults(&policy);
	forget(t, seen);
	remember(t, seen);
	search_input(seen, &policy, o, &now);
	sizing_input(t, seen->sessions, o->cores, &in);
	in.search_size = po_search_step(&t->search, &now);
	in.search_settled = t->search.phase == PO_SEARCH_SETTLED;
	in.searched = po_search_has_measured(&t->search);
	in.unsure = po_search_is_unsure(&t->search);
	in.unhindered = po_search_is_unhindered(&now);
	po_recommend_size(&in, &policy, &t->r);
	if (o->verbose)
		printf("    %2d %-8s %6.0f/s busy %4.1f cpu %.2f io %.2f lock %.2f client %.2f "
			   "waiting %4.1f%s -> %d %s\n",
			   now.size, t->search.phase == PO_SEARCH_SETTLED ? "settled" :
			   t->search.phase == PO_SEARCH_TRYING ? "trying" : "", now.rate, now.busy,
			   now.share[PO_WAIT_CPU], now.share[PO_WAIT_IO], now.share[PO_WAIT_LOCK],
			   now.share[PO_WAIT_CLIENT], now.queued, now.saturated ? " limited" : "",
			   t->r.size, po_method_name(t->r.method));
	return t->r.size;
}

/* ---------- a closed loop ---------- */

/* A pool that gets another size meanwhile is measured from when it has that, as in po_stats.c. */
static void
run_interval(World *world, Tenant *t, Seen *seen, double interval_us)
{
	if (t->search.awaited > 0)
	{
		world_run(world, WAY_US, SAMPLE_US, seen);
		if (!po_search_arrives(&t->search, seen->sessions))
		{
			world_run(world, interval_us - WAY_US, SAMPLE_US, seen);
			return;
		}
	}
	world_run(world, interval_us, SAMPLE_US, seen);
}

typedef struct Loop
{
	int			size;
	int			evaluations;	/* until nothing changed any more; EVALUATIONS = never */
	int			moves;			/* in those looked on after that, */
	bool		elsewhere;		/* which ended at another size */
} Loop;

/* An evaluation; does it ask for another size? */
static bool
turn(World *world, Tenant *t, const Options *o, int *size)
{
	Seen		seen;
	int			next;
	bool		moved;

	run_interval(world, t, &seen, o->interval * 1e6);
	next = evaluate(t, &seen, o);
	moved = next != *size;
	*size = next;
	world_resize(world, next);
	return moved;
}

/* Until nothing changes any more, or for so many; how many it took until then. */
static int
follow(World *world, Tenant *t, const Options *o, int *size, int most, int quiet)
{
	int			last = 0;

	for (int i = 1; i <= most; i++)
	{
		if (turn(world, t, o, size) || t->r.method <= PO_METHOD_TOO_LITTLE_DATA)
			last = i;
		if (i - last >= quiet)
			return last;
	}
	return most;
}

/* change: what the load becomes; NULL = it stays. */
static void
loop(const Workload *w, const Change *change, const Options *o, int start, uint64_t seed, Loop *l)
{
	World	   *world = world_new(w, o->cores, o->noise, o->drift, seed);
	Tenant		t;
	Seen		seen;
	int			size = start;

	memset(&t, 0, sizeof(t));
	memset(l, 0, sizeof(*l));
	world_resize(world, size);
	world_run(world, 1e6, SAMPLE_US, &seen);
	if (change != NULL)
	{
		if (change->at > 0)
			(void) follow(world, &t, o, &size, change->at, change->at + 1);
		else
			(void) follow(world, &t, o, &size, EVALUATIONS, QUIET);
		world_change(world, find_workload(change->to));
	}
	l->evaluations = follow(world, &t, o, &size, EVALUATIONS, QUIET);
	l->size = size;
	for (int i = 0; i < o->watch; i++)
		l->moves += turn(world, &t, o, &size);
	l->elsewhere = size != l->size;
	l->size = size;
	world_free(world);
}

/* ---------- the table ---------- */

static int
by_value(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

typedef struct Tally
{
	int			n;
	int			good;			/* 0.95 T*, 1.5 n* */
	int			fast;			/* and within 30 evaluations */
	int			restless;
	int			elsewhere;		/* not only to look whether another size is better by now */
	double		kept[N_WORKLOADS * N_STARTS * MOST_RUNS];
	double		size[N_WORKLOADS * N_STARTS * MOST_RUNS];
	double		evaluations[N_WORKLOADS * N_STARTS * MOST_RUNS];
} Tally;

static double
quantile(double *values, int n, double q)
{
	qsort(values, (size_t) n, sizeof(double), by_value);
	return values[(int) (q * (n - 1) + 0.5)];
}

static void
add(Tally *t, double kept, double size, const Loop *l)
{
	bool		good = kept >= NEAR && size <= 1.5;

	t->kept[t->n] = kept;
	t->size[t->n] = size;
	t->evaluations[t->n++] = l->evaluations;
	t->good += good;
	t->fast += good && l->evaluations <= 30;
	t->restless += l->moves > 0;
	t->elsewhere += l->elsewhere;
}

static void
show(const char *what, Tally *t)
{
	printf("%-24s T/T* %.3f (least %.3f)  n/n* %.2f (most %.2f)  evaluations %2.0f (95 %%: %2.0f)  "
		   "good %3.0f %%, soon %3.0f %%, moved later %3.0f %%, for good %3.0f %%\n", what,
		   quantile(t->kept, t->n, 0.5), quantile(t->kept, t->n, 0), quantile(t->size, t->n, 0.5),
		   quantile(t->size, t->n, 1),
		   quantile(t->evaluations, t->n, 0.5), quantile(t->evaluations, t->n, 0.95),
		   100.0 * t->good / t->n, 100.0 * t->fast / t->n, 100.0 * t->restless / t->n,
		   100.0 * t->elsewhere / t->n);
}

static void
append(Tally *all, const Tally *t)
{
	for (int i = 0; i < t->n; i++)
	{
		all->kept[all->n] = t->kept[i];
		all->size[all->n] = t->size[i];
		all->evaluations[all->n++] = t->evaluations[i];
	}
	all->good += t->good;
	all->fast += t->fast;
	all->restless += t->restless;
	all->elsewhere += t->elsewhere;
}

/* change: after which it is this one; NULL = from the start. */
static void
try_workload(const Workload *w, const Change *change, const Options *o, Tally *all)
{
	static Tally tally;
	Sweep		s;
	char		name[100];

	memset(&tally, 0, sizeof(tally));
	sweep(w, o, &s);
	for (int from = 0; from < N_STARTS; from++)
	{
		for (int run = 0; run < o->runs; run++)
		{
			Loop		l;

			if (o->verbose)
				printf("  from %d, run %d\n", starts[from], run);
			loop(change == NULL ? w : find_workload(change->from), change, o, starts[from],
				 (uint64_t) (run * 10 + from + 1), &l);
			add(&tally, throughput(w, o, l.size) / s.best, (double) l.size / s.least, &l);
			if (o->verbose || o->runs == 1)
				printf("  from %2d: %d, %.3f, after %d\n", starts[from], l.size,
					   tally.kept[tally.n - 1], l.evaluations);
		}
	}
	if (change == NULL)
		snprintf(name, sizeof(name), "%s (%d)", w->name, s.least);
	else
		snprintf(name, sizeof(name), "%s, %s %d: %s (%d)", change->from,
				 change->at > 0 ? "at" : "settled", change->at, change->to, s.least);
	show(name, &tally);
	append(all, &tally);
}

/* Of all loops together; a single one may be misled by what the machine did meanwhile. */
static bool
keeps_its_promise(Tally *t)
{
	bool		kept = quantile(t->kept, t->n, 0.5) >= 0.98 && quantile(t->size, t->n, 0.5) <= 1.2 &&
		t->good >= 0.85 * t->n && t->fast >= 0.8 * t->n && t->restless <= 0.05 * t->n;

	printf("Checks: %s\n", kept ? "passed" : "FAILED: medians 0.98 and 1.2, 85 % good, "
		   "80 % of them soon, 5 % move later");
	return kept;
}

int
main(int argc, char **argv)
{
	static Tally all;
	Options		o = {.cores = 2, .runs = 5, .noise = 0.02, .seconds = 100, .interval = 1,
	.watch = 20};

	for (int i = 1; i < argc; i++)
	{
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--verbose") == 0)
			o.verbose = true;
		else if (strcmp(argv[i], "--blind") == 0)
			o.blind = true;
		else if (strcmp(argv[i], "--steady") == 0)
			o.steady = true;
		else if (strcmp(argv[i], "--steps") == 0)
			o.steps = true;
		else if (strcmp(argv[i], "--check") == 0)
			o.check = true;
		else if (value == NULL)
			return fprintf(stderr, "usage: pool [--cores N] [--runs N] [--noise X] "
						   "[--drift X] [--seconds N] [--interval S] [--watch N] "
						   "[--workload NAME] [--steps] [--blind] [--steady] [--verbose] "
						   "[--check]\n"), 2;
		else if (i++, strcmp(argv[i - 1], "--cores") == 0)
			o.cores = atoi(value);
		else if (strcmp(argv[i - 1], "--runs") == 0)
			o.runs = atoi(value) < MOST_RUNS ? atoi(value) : MOST_RUNS;
		else if (strcmp(argv[i - 1], "--noise") == 0)
			o.noise = atof(value);
		else if (strcmp(argv[i - 1], "--drift") == 0)
			o.drift = atof(value);
		else if (strcmp(argv[i - 1], "--seconds") == 0)
			o.seconds = atof(value);
		else if (strcmp(argv[i - 1], "--interval") == 0)
			o.interval = fmax(atof(value), 1);
		else if (strcmp(argv[i - 1], "--watch") == 0)
			o.watch = atoi(value);
		else if (strcmp(argv[i - 1], "--workload") == 0)
			o.only = value;
	}
	for (int i = 0; i < N_WORKLOADS && !o.steps; i++)
	{
		if (o.only == NULL || strcmp(o.only, workloads[i].name) == 0)
			try_workload(&workloads[i], NULL, &o, &all);
	}
	for (int i = 0; i < N_CHANGES && o.steps; i++)
	{
		if (o.only == NULL || strcmp(o.only, changes[i].to) == 0)
			try_workload(find_workload(changes[i].to), &changes[i], &o, &all);
	}
	show("all", &all);
	if (o.check && !keeps_its_promise(&all))
		return 1;
	return 0;
}
