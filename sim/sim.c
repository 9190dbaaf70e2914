/*
 * sim.c
 *		The clock: evaluations, deploys and failures, in the order of their time.
 */
#include "sim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_AT_PEAK	0.7		/* of the cores */
#define SLOW_FACTOR		3.0		/* of a failing server's service times */
#define AMPLE			4.0		/* scarcity with room for all */
#define DEPLOY_S		300
#define STUCK_S			600

typedef enum What
{
	EVENT_STOP,
	EVENT_DEPLOY_BEGINS,
	EVENT_DEPLOY_ENDS,
	EVENT_STUCK_BEGINS,
	EVENT_STUCK_ENDS,
	EVENT_SLOW_BEGINS,
	EVENT_SLOW_ENDS,
	EVENT_EVALUATE				/* last of those at one time */
} What;

typedef struct Event
{
	int64_t		at;				/* s */
	int			what;
	int			tenant;
} Event;

typedef struct Sim
{
	Tenant	   *tenant;
	int			n;
	PoShare    *share;
	PoShare    *work;
	PoShareMark *marks;
	Event	   *queue;			/* a heap, the next first */
	int			n_events;
	double		slowness;
	double		overload;		/* factor of service times when the cores are used up */
	Report		report;
} Sim;

/* ---------- events ---------- */

static bool
is_before(const Event *a, const Event *b)
{
	if (a->at != b->at)
		return a->at < b->at;
	return a->what != b->what ? a->what < b->what : a->tenant < b->tenant;
}

static void
schedule(Sim *sim, int64_t at, What what, int tenant)
{
	Event		event = {at, what, tenant};
	int			i = sim->n_events++;

	for (; i > 0 && is_before(&event, &sim->queue[(i - 1) / 2]); i = (i - 1) / 2)
		sim->queue[i] = sim->queue[(i - 1) / 2];
	sim->queue[i] = event;
}

static Event
next_event(Sim *sim)
{
	Event		next = sim->queue[0];
	Event		last = sim->queue[--sim->n_events];
	int			i = 0;

	for (int child = 1; child < sim->n_events; child = 2 * i + 1)
	{
		if (child + 1 < sim->n_events && is_before(&sim->queue[child + 1], &sim->queue[child]))
			child++;
		if (!is_before(&sim->queue[child], &last))
			break;
		sim->queue[i] = sim->queue[child];
		i = child;
	}
	sim->queue[i] = last;
	return next;
}

/* Independent of what happened before (an exponential time). */
static int64_t
in_about(int64_t now, double mean_s)
{
	return now + 1 + (int64_t) (-log(1 - random_unit()) * mean_s);
}

/* ---------- an evaluation of everyone ---------- */

static void
evaluate_tenants(Sim *sim, int64_t now)
{
	double		slowness = sim->slowness * sim->overload;
	double		cpu_us = 0;
	Observed	o;

	for (int i = 0; i < sim->n; i++)
	{
		Tenant	   *t = &sim->tenant[i];
		int			before = t->r.size;
		int64_t		start = 0;

		advance(t, now);
		t->need = 0;
		if (!t->awake)
			continue;
		observe(t, slowness, sim->report.cores, &o);
		if (!t->stuck)
			cpu_us += o.seen.rate * t->cpu_us;
		if (i % 16 == 0)
			start = clock_ns();
		decide(t, &o, now);
		if (i % 16 == 0)
			sim->report.decision_ns.count[po_histogram_bucket(clock_ns() - start)]++;
		note_decision(&sim->report, t, before, now);
	}
	/* Of the last interval, as the first effect of too many on the CPUs is queueing. */
	sim->overload = fmax(1, cpu_us / PO_US_PER_S / sim->report.cores * sim->overload);
	sim->overload = fmin(sim->overload, 3);
}

static void
share_out(Sim *sim)
{
	PoShareOutcome outcome;
	int64_t		start;

	for (int i = 0; i < sim->n; i++)
	{
		const Tenant *t = &sim->tenant[i];

		sim->share[i] = (PoShare) {t->policy.weight, t->policy.guaranteed,
		t->policy.max_connections, wanted_by(t), 0};
	}
	start = clock_ns();
	outcome = po_share(sim->share, sim->n, sim->report.budget, sim->marks);
	sim->report.share_ns.count[po_histogram_bucket(clock_ns() - start)]++;
	note_shares(&sim->report, sim->tenant, sim->share, sim->n, outcome);
	for (int i = 0; i < sim->n; i++)
	{
		sim->tenant[i].granted = sim->share[i].share;
		sim->tenant[i].cut = sim->share[i].share < sim->tenant[i].r.size;
	}
	if (outcome != PO_SHARE_ENOUGH)
		note_fairness(&sim->report, sim->tenant, sim->work, sim->n, sim->marks);
}

static void
happen(Sim *sim, const Event *e)
{
	Tenant	   *t = e->tenant >= 0 ? &sim->tenant[e->tenant] : NULL;

	switch ((What) e->what)
	{
		case EVENT_DEPLOY_BEGINS:
			t->deploying = true;
			schedule(sim, e->at + DEPLOY_S, EVENT_DEPLOY_ENDS, e->tenant);
			break;
		case EVENT_DEPLOY_ENDS:
			t->deploying = false;
			schedule(sim, in_about(e->at, 2 * DAY_S), EVENT_DEPLOY_BEGINS, e->tenant);
			break;
		case EVENT_STUCK_BEGINS:
			t->stuck = true;
			schedule(sim, e->at + STUCK_S, EVENT_STUCK_ENDS, e->tenant);
			break;
		case EVENT_STUCK_ENDS:
			t->stuck = false;
			schedule(sim, in_about(e->at, 7 * DAY_S), EVENT_STUCK_BEGINS, e->tenant);
			break;
		case EVENT_SLOW_BEGINS:
			sim->slowness = SLOW_FACTOR;
			schedule(sim, e->at + 600 + random_below(1200), EVENT_SLOW_ENDS, -1);
			break;
		case EVENT_SLOW_ENDS:
			sim->slowness = 1;
			schedule(sim, in_about(e->at, DAY_S), EVENT_SLOW_BEGINS, -1);
			break;
		case EVENT_EVALUATE:
			evaluate_tenants(sim, e->at);
			share_out(sim);
			schedule(sim, e->at + INTERVAL_S, EVENT_EVALUATE, -1);
			break;
		case EVENT_STOP:
			break;
	}
}

/* ---------- a run ---------- */

static void *
allocate(size_t n, size_t size)
{
	void	   *memory = calloc(n, size);

	if (memory == NULL)
	{
		fputs("sim: out of memory\n", stderr);
		exit(2);
	}
	return memory;
}

/* The budget and the cores fit the tenants: a part of what all need at noon. */
static void
begin(Sim *sim, const Options *options)
{
	double		needed = 0;
	double		cpu = 0;

	memset(sim, 0, sizeof(*sim));
	seed_random(options->seed);
	sim->n = options->tenants;
	sim->slowness = sim->overload = 1;
	sim->report.jain_least = 1;
	sim->report.digest = 1;
	sim->tenant = allocate((size_t) sim->n, sizeof(Tenant));
	sim->share = allocate((size_t) sim->n, sizeof(PoShare));
	sim->work = allocate((size_t) sim->n, sizeof(PoShare));
	sim->marks = allocate(PO_SHARE_MARKS(sim->n), sizeof(PoShareMark));
	sim->queue = allocate(2 * (size_t) sim->n + 8, sizeof(Event));
	for (int i = 0; i < sim->n; i++)
	{
		Tenant	   *t = &sim->tenant[i];

		make_tenant(t);
		advance(t, 14 * 3600);
		if (t->awake)
			needed += need_of(t, t->rate * (t->cpu_us + t->off_us) / PO_US_PER_S,
							  t->cpu_us + t->off_us);
		cpu += t->kind == KIND_WEB ? t->rate * t->cpu_us / PO_US_PER_S :
			t->awake ? BATCH_CORES : 0;
		schedule(sim, in_about(0, 2 * DAY_S), EVENT_DEPLOY_BEGINS, i);
		schedule(sim, in_about(0, 7 * DAY_S), EVENT_STUCK_BEGINS, i);
	}
	sim->report.budget = (int) ceil(options->scarcity * needed);
	sim->report.cores = fmax(4, ceil(cpu / BUSY_AT_PEAK));
	schedule(sim, in_about(0, DAY_S), EVENT_SLOW_BEGINS, -1);
	schedule(sim, INTERVAL_S, EVENT_EVALUATE, -1);
	schedule(sim, (int64_t) options->days * DAY_S, EVENT_STOP, -1);
}

static void
run(const Options *options, Report *report)
{
	static Sim	sim;
	int64_t		start = clock_ns();

	begin(&sim, options);
	for (;;)
	{
		Event		e = next_event(&sim);

		if (e.what == EVENT_STOP)
			break;
		sim.report.events++;
		happen(&sim, &e);
	}
	sim.report.seconds = (double) (clock_ns() - start) / 1e9;
	*report = sim.report;
	free(sim.tenant);
	free(sim.share);
	free(sim.work);
	free(sim.marks);
	free(sim.queue);
}

static void
usage(void)
{
	fputs("usage: sim [--tenants N] [--days N] [--seed N] [--scarcity X] [--quick] [--check]\n"
		  "\n"
		  "  --scarcity X  budget as a part of what all tenants need at the peak (0.9)\n"
		  "  --quick       200 tenants, 2 days\n"
		  "  --check       exit 1 when a bound is broken; runs three times: also with room for\n"
		  "                all, and again for determinism\n", stderr);
	exit(2);
}

static void
read_options(int argc, char **argv, Options *o)
{
	*o = (Options) {1000, 28, 1, 0.9, false};
	for (int i = 1; i < argc; i++)
	{
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		bool		takes_value = true;

		if (strcmp(argv[i], "--tenants") == 0)
			o->tenants = atoi(value);
		else if (strcmp(argv[i], "--days") == 0)
			o->days = atoi(value);
		else if (strcmp(argv[i], "--seed") == 0)
			o->seed = strtoull(value, NULL, 10);
		else if (strcmp(argv[i], "--scarcity") == 0)
			o->scarcity = atof(value);
		else
		{
			takes_value = false;
			if (strcmp(argv[i], "--quick") == 0)
				o->tenants = 200, o->days = 2;
			else if (strcmp(argv[i], "--check") == 0)
				o->check = true;
			else
				usage();
		}
		i += takes_value;
	}
	if (o->tenants < 1 || o->tenants > 100000 || o->days < 1 || o->days > 3660 ||
		!(o->scarcity > 0 && o->scarcity <= 100))
		usage();
}

/*
 * Fairness while connections are scarce, sizes where there is room for all (with less
 * than it asks for nobody can settle), and the same result from the same seed.
 */
static int
check(Options options, const Report *report)
{
	static Report other;
	int			status = check_report(report, false);

	run(&options, &other);
	if (other.digest != report->digest)
	{
		printf("FAILED: a second run with the same seed differs\n");
		status = 1;
	}
	options.scarcity = AMPLE;
	run(&options, &other);
	printf("\n");
	print_report(&other, &options);
	if (check_report(&other, true) != 0)
		status = 1;
	printf("\nChecks: %s\n", status == 0 ? "passed" : "FAILED");
	return status;
}

int
main(int argc, char **argv)
{
	static Report report;
	Options		options;

	read_options(argc, argv, &options);
	run(&options, &report);
	print_report(&report, &options);
	return options.check ? check(options, &report) : 0;
}
