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
#define FAIRNESS_EVERY	10		/* intervals */

/* Tenants by the interval in which they are due. */
#define N_DUE			64		/* more than MOST_STEPS */

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
	int			first_due[N_DUE];	/* -1 = none */
	bool		exact;
	PoCapacity	capacity;
	PoClaim    *claims;
	PoShare    *capacity_work;
	PoShareMark *capacity_marks;
	double		cpu_us;			/* of CPU a second that all use */
	int64_t		wanted;			/* connections */
	bool		is_cut;			/* not all have what they want */
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

/* ---------- who is due ---------- */

static void
make_due(Sim *sim, int tenant, int64_t at)
{
	Tenant	   *t = &sim->tenant[tenant];
	int		   *first = &sim->first_due[at % N_DUE];

	t->due = at;
	t->next = *first;
	*first = tenant;
}

/* Sooner than planned. */
static void
make_due_by(Sim *sim, int tenant, int64_t at)
{
	Tenant	   *t = &sim->tenant[tenant];
	int		   *link = &sim->first_due[t->due % N_DUE];

	if (t->due <= at)
		return;
	while (*link != tenant)
		link = &sim->tenant[*link].next;
	*link = t->next;
	make_due(sim, tenant, at);
}

/* ---------- an interval ---------- */

static void
grant(Sim *sim, Tenant *t, int granted)
{
	t->granted = granted;
	t->cut = granted < t->wanted;
	note_state(&sim->report, t);
}

/* Connections that nobody else can have: a guarantee is kept free. */
static int
keeps(const Tenant *t, int size)
{
	return size > t->policy.guaranteed ? size : t->policy.guaranteed;
}

/* Connections as it wants them now, unless there are too few: then all are shared. */
static void
want(Sim *sim, Tenant *t)
{
	int			wanted = wanted_by(t);

	if (t->policy.max_connections >= 0 && wanted > t->policy.max_connections)
		wanted = t->policy.max_connections;
	sim->wanted += keeps(t, wanted) - keeps(t, t->wanted);
	t->wanted = wanted;
	if (!sim->is_cut || wanted <= t->granted)
		grant(sim, t, wanted);
}

static void
visit(Sim *sim, int tenant, int64_t now)
{
	Tenant	   *t = &sim->tenant[tenant];
	int			intervals = t->awake ? (int) (now - t->visited) : 1;
	int			before = t->r.size;
	bool		timed = sim->report.visits++ % DECISIONS_TIMED == 0;
	int64_t		start;
	Observed	o;

	advance(t, now, (int) (now - t->visited));
	t->visited = now;
	sim->cpu_us -= t->used_us;
	t->used_us = 0;
	t->need = 0;
	if (t->awake)
	{
		observe(t, sim->slowness * sim->overload, sim->report.cores, intervals, &o);
		t->used_us = t->stuck ? 0 : o.seen.rate * t->cpu_us;
		start = timed ? clock_ns() : 0;
		decide(&sim->capacity, tenant, t, &o, now);
		if (timed)
			note_cost(&sim->report.decision_ns, start);
		note_decision(&sim->report, t, before, intervals, now);
	}
	else
		po_capacity_forget(&sim->capacity, tenant);
	sim->cpu_us += t->used_us;
	want(sim, t);
	make_due(sim, tenant, now + (sim->exact ? 1 : steps_for(t, now)));
}

/*
 * The server has no more than it has.  Recommendations fit once all have followed them, so
 * this is for the time until then, and for deploys.
 */
static void
ration(Sim *sim)
{
	PoShareOutcome outcome;
	int64_t		start;

	if (sim->wanted <= sim->report.budget && !sim->is_cut)
		return;
	for (int i = 0; i < sim->n; i++)
	{
		const Tenant *t = &sim->tenant[i];

		sim->share[i] = (PoShare) {t->policy.weight, t->policy.guaranteed, PO_UNLIMITED, t->wanted, 0};
	}
	start = clock_ns();
	outcome = po_share(sim->share, sim->n, sim->report.budget, sim->marks);
	note_cost(&sim->report.share_ns, start);
	check_shares(&sim->report, sim->share, sim->n, outcome);
	for (int i = 0; i < sim->n; i++)
	{
		Tenant	   *t = &sim->tenant[i];
		int			granted = sim->share[i].share < t->wanted ? sim->share[i].share : t->wanted;

		if (granted != t->granted)
			grant(sim, t, granted);
	}
	sim->is_cut = outcome != PO_SHARE_ENOUGH;
	sim->report.rationed++;
}

static void
pass(Sim *sim, int64_t now)
{
	int			tenant = sim->first_due[now % N_DUE];

	sim->first_due[now % N_DUE] = -1;
	while (tenant >= 0)
	{
		int			next = sim->tenant[tenant].next;

		visit(sim, tenant, now);
		tenant = next;
	}
	/* Of the last interval, as the first effect of too many on the CPUs is queueing. */
	sim->overload = fmax(1, sim->cpu_us / PO_US_PER_S / sim->report.cores * sim->overload);
	sim->overload = fmin(sim->overload, 3);
	ration(sim);
	note_interval(&sim->report, sim->capacity.contended);
	if (sim->capacity.contended && now % FAIRNESS_EVERY == 0)
		note_fairness(&sim->report, sim->tenant, sim->work, sim->n, sim->marks);
}

static void
happen(Sim *sim, const Event *e)
{
	Tenant	   *t = e->tenant >= 0 ? &sim->tenant[e->tenant] : NULL;

	/* What happens now is seen in the next interval. */
	if (t != NULL)
		make_due_by(sim, e->tenant, e->at / INTERVAL_S + 1);
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
			pass(sim, e->at / INTERVAL_S);
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
size_server(Sim *sim, double scarcity)
{
	double		needed = 0;
	double		cpu = 0;

	for (int i = 0; i < sim->n; i++)
	{
		Tenant	   *t = &sim->tenant[i];

		make_tenant(t);
		advance(t, 14 * 3600 / INTERVAL_S, 1);
		if (t->awake)
			needed += need_of(t, t->rate * (t->cpu_us + t->off_us) / PO_US_PER_S,
							  t->cpu_us + t->off_us);
		cpu += t->kind == KIND_WEB ? t->rate * t->cpu_us / PO_US_PER_S :
			t->awake ? BATCH_CORES : 0;
		t->awake = false;
	}
	sim->report.budget = (int) ceil(scarcity * needed);
	sim->report.cores = fmax(4, ceil(cpu / BUSY_AT_PEAK));
}

/* What a fixed split by weight would give each. */
static void
split_by_weight(Sim *sim)
{
	double		weights = 0;

	for (int i = 0; i < sim->n; i++)
		weights += sim->tenant[i].policy.weight;
	for (int i = 0; i < sim->n; i++)
		sim->tenant[i].fixed = (int) (sim->report.budget * sim->tenant[i].policy.weight / weights);
}

static void
begin(Sim *sim, const Options *options)
{
	int64_t		guaranteed = 0;

	memset(sim, 0, sizeof(*sim));
	seed_random(options->seed);
	sim->n = options->tenants;
	sim->exact = options->exact;
	sim->slowness = sim->overload = 1;
	sim->report.jain_least = 1;
	sim->report.digest = 1;
	sim->tenant = allocate((size_t) sim->n, sizeof(Tenant));
	sim->share = allocate((size_t) sim->n, sizeof(PoShare));
	sim->work = allocate((size_t) sim->n, sizeof(PoShare));
	sim->marks = allocate(PO_SHARE_MARKS(sim->n), sizeof(PoShareMark));
	sim->claims = allocate((size_t) sim->n, sizeof(PoClaim));
	sim->capacity_work = allocate((size_t) sim->n, sizeof(PoShare));
	sim->capacity_marks = allocate(PO_SHARE_MARKS(sim->n), sizeof(PoShareMark));
	sim->queue = allocate(2 * (size_t) sim->n + 8, sizeof(Event));
	size_server(sim, options->scarcity);
	split_by_weight(sim);
	for (int i = 0; i < N_DUE; i++)
		sim->first_due[i] = -1;
	for (int i = 0; i < sim->n; i++)
	{
		guaranteed += sim->tenant[i].policy.guaranteed;
		sim->wanted += keeps(&sim->tenant[i], 0);
		note_state(&sim->report, &sim->tenant[i]);
		make_due(sim, i, 1);
		schedule(sim, in_about(0, 2 * DAY_S), EVENT_DEPLOY_BEGINS, i);
		schedule(sim, in_about(0, 7 * DAY_S), EVENT_STUCK_BEGINS, i);
	}
	po_capacity_begin(&sim->capacity, sim->n, sim->claims, sim->capacity_work,
					  sim->capacity_marks);
	po_capacity_set(&sim->capacity, sim->report.budget, (int) guaranteed,
					(int) sim->report.cores);
	schedule(sim, in_about(0, DAY_S), EVENT_SLOW_BEGINS, -1);
	schedule(sim, INTERVAL_S, EVENT_EVALUATE, -1);
	schedule(sim, (int64_t) options->days * DAY_S, EVENT_STOP, -1);
}

static void
run(const Options *options, Report *report)
{
	static Sim	sim;
	double		start = cpu_seconds();

	begin(&sim, options);
	for (;;)
	{
		Event		e = next_event(&sim);

		if (e.what == EVENT_STOP)
			break;
		sim.report.events++;
		happen(&sim, &e);
	}
	sim.report.seconds = cpu_seconds() - start;
	*report = sim.report;
	free(sim.tenant);
	free(sim.share);
	free(sim.work);
	free(sim.marks);
	free(sim.claims);
	free(sim.capacity_work);
	free(sim.capacity_marks);
	free(sim.queue);
}

static void
usage(void)
{
	fputs("usage: sim [--tenants N] [--days N] [--seed N] [--scarcity X] [--quick] [--exact]\n"
		  "           [--check]\n"
		  "\n"
		  "  --scarcity X  budget as a part of what all tenants need at the peak (0.9)\n"
		  "  --quick       200 tenants, 2 days\n"
		  "  --exact       evaluates every tenant in every interval\n"
		  "  --check       exit 1 when a bound is broken; runs three times: also with room for\n"
		  "                all, and again for determinism\n", stderr);
	exit(2);
}

static void
read_options(int argc, char **argv, Options *o)
{
	*o = (Options) {1000, 28, 1, 0.9, false, false};
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
			else if (strcmp(argv[i], "--exact") == 0)
				o->exact = true;
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
