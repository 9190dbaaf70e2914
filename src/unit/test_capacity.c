/*
 * test_capacity.c
 *		Parts of the cluster: what fits, what is cut, and two tenants that search for their
 *		sizes on the same CPUs.
 */
#include "check.h"
#include "model/po_capacity.h"

#define MANY		300
#define LATER_US	(60 * PO_US_PER_S)

static PoClaim claims[MANY];
static PoShare shares[MANY];
static PoShareMark marks[PO_SHARE_MARKS(MANY)];
static int64_t now_us;

static void
begin(PoCapacity *c, int connections, int guaranteed, int cpus)
{
	memset(claims, 0, sizeof(claims));
	random_fill(shares, sizeof(shares));
	po_capacity_begin(c, MANY, claims, shares, marks);
	po_capacity_set(c, connections, guaranteed, cpus);
}

static PoAllotment
ask(PoCapacity *c, int tenant, const PoWish *wish)
{
	PoAllotment a;

	now_us += LATER_US;
	po_capacity_ask(c, tenant, wish, now_us, &a);
	return a;
}

static int
most(PoCapacity *c, int tenant, const PoWish *wish)
{
	return ask(c, tenant, wish).most;
}

static PoWish
wish_for(int size)
{
	return (PoWish) {.weight = 1, .ceiling = PO_UNLIMITED, .size = size};
}

/* ---------- connections ---------- */

static void
test_connections(void)
{
	PoCapacity	c;
	PoWish		large = wish_for(80);
	PoWish		small = wish_for(10);
	PoWish		other = wish_for(50);

	begin(&c, 100, 0, 0);
	CHECK_INT(most(&c, 0, &large), 100);
	CHECK_INT(most(&c, 1, &small), 20);
	CHECK_INT(most(&c, 0, &large), 90);
	CHECK_INT(most(&c, 2, &other), 45);
	CHECK_INT(most(&c, 0, &large), 45);
	CHECK_INT(most(&c, 1, &small), 10);
	CHECK_INT(ask(&c, 1, &small).budget, 100);

	other.weight = 2;
	CHECK_INT(most(&c, 2, &other), 50);
	CHECK_INT(most(&c, 0, &large), 40);
	large.guaranteed = 60;
	po_capacity_set(&c, 100, 60, 0);
	CHECK_INT(most(&c, 0, &large), 60);
	CHECK_INT(most(&c, 2, &other), 30);
	large.guaranteed = 0;

	/* Sixty are still promised to somebody who is not here. */
	CHECK_INT(most(&c, 0, &large), 10);
	CHECK_INT(most(&c, 2, &other), 20);
	po_capacity_set(&c, 100, 0, 0);
	large.ceiling = 25;
	CHECK_INT(most(&c, 0, &large), 25 + 15);
	CHECK_INT(most(&c, 2, &other), 65);
	po_capacity_forget(&c, 0);
	CHECK_INT(most(&c, 2, &other), 90);

	/* What is held counts, and a floor that nobody can keep is told all the same. */
	small.held = 70;
	CHECK_INT(most(&c, 1, &small), 50);
	small.least = 120;
	CHECK_INT(most(&c, 1, &small), 120);
	CHECK_INT(most(&c, 2, &other), 1);
}

/* Sessions besides the pool are there, too: of 97, 25 of cron jobs and a pool of 30. */
static void
test_beside(void)
{
	PoCapacity	c;
	PoWish		app = wish_for(30);
	PoWish		other = wish_for(60);

	app.beside = 25;
	begin(&c, 97, 0, 0);
	CHECK_INT(most(&c, 0, &app), 72);
	CHECK_INT(most(&c, 1, &other), 97 - 49);
	/* Of 97 the first has 49 in all, of which 25 are no pool. */
	CHECK_INT(most(&c, 0, &app), 49 - 25);
	CHECK_INT(most(&c, 1, &other), 97 - 49);
	/* A guarantee is for all of its sessions, a policy's size for its pool. */
	app.guaranteed = 60;
	po_capacity_set(&c, 97, 60, 0);
	CHECK_INT(most(&c, 0, &app), 35);
	app.least = 40;
	CHECK_INT(most(&c, 0, &app), 40);
	CHECK_INT(most(&c, 1, &other), 97 - 65);
}

/* Others have to be asked again, but a storm of questions shares nothing anew. */
static void
test_not_too_often(void)
{
	PoCapacity	c;
	PoAllotment a;
	PoWish		large = wish_for(1000);

	begin(&c, 100, 0, 0);
	now_us += LATER_US;
	po_capacity_ask(&c, 299, &large, now_us, &a);
	CHECK_INT(a.most, 100);
	large.present = 7;
	po_capacity_ask(&c, 0, &large, now_us + 1, &a);
	CHECK_INT(a.most, 7);
	CHECK_INT(most(&c, 0, &large), 50);
}

/* ---------- CPUs ---------- */

static PoWish
busy_wish(int size, int present, double on_cpu)
{
	return (PoWish) {.weight = 1, .ceiling = PO_UNLIMITED, .size = size, .present = present,
		.on_cpu = on_cpu, .limited = true};
}

static void
test_cpus(void)
{
	PoCapacity	c;
	PoAllotment a;
	PoWish		computes = busy_wish(100, 64, 64);
	PoWish		waits = busy_wish(300, 40, 8);
	PoWish		little = wish_for(3);

	/* Alone it may have them all, also beside one that uses hardly any. */
	little.on_cpu = 0.1;
	little.present = 30;
	begin(&c, 10000, 0, 8);
	a = ask(&c, 0, &computes);
	CHECK_INT(a.bound, PO_BOUND_CONNECTIONS);
	(void) ask(&c, 1, &little);
	a = ask(&c, 0, &computes);
	CHECK_INT(a.bound, PO_BOUND_CONNECTIONS);
	CHECK_INT(a.most, 10000 - 3);

	/*
	 * Of 12 sessions on the CPU each may have 6.  Eight of 40 are there while run queues are
	 * six times as long as they should be, 1.5 per CPU, so then it would be one of 25 or so.
	 */
	(void) ask(&c, 2, &waits);
	a = ask(&c, 0, &computes);
	CHECK_INT(a.bound, PO_BOUND_CPU);
	CHECK_INT(a.most, 6);
	CHECK_NEAR(a.cpus, 4, 0.1);
	a = ask(&c, 2, &waits);
	CHECK_INT(a.bound, PO_BOUND_CPU);
	CHECK_NEAR(a.most, 150, 10);

	/* A bit of noise moves nothing. */
	for (int i = 0; i < 50; i++)
	{
		PoWish		noisy = computes;
		int			before = ask(&c, 0, &computes).most;

		noisy.on_cpu *= 0.93 + 0.07 * random_unit();
		CHECK_INT(ask(&c, 0, &noisy).most, before);
	}

	/* Its policy may say otherwise. */
	computes.least = 20;
	CHECK_INT(ask(&c, 0, &computes).most, 20);
	computes.least = 0;
	/* The other rests for a moment: the bound stays.  It goes: the bound goes, too. */
	waits.on_cpu = 3;
	(void) ask(&c, 2, &waits);
	CHECK_INT(ask(&c, 0, &computes).bound, PO_BOUND_CPU);
	po_capacity_forget(&c, 2);
	a = ask(&c, 0, &computes);
	CHECK_INT(a.bound, PO_BOUND_CONNECTIONS);

	/* Nothing is known of CPUs. */
	po_capacity_set(&c, 10000, 0, 0);
	waits.on_cpu = 8;
	(void) ask(&c, 2, &waits);
	CHECK_INT(ask(&c, 0, &computes).bound, PO_BOUND_CONNECTIONS);
}

static void
test_weights_of_cpus(void)
{
	PoCapacity	c;
	PoWish		one = busy_wish(100, 64, 64);
	PoWish		two = busy_wish(100, 64, 64);

	two.weight = 3;
	begin(&c, 10000, 0, 16);
	(void) ask(&c, 0, &one);
	(void) ask(&c, 1, &two);
	CHECK_INT(ask(&c, 0, &one).most, 6);
	CHECK_INT(ask(&c, 1, &two).most, 18);
}

static double
cpu_shares(int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += claims[i].cpu_share;
	return sum;
}

/* Many that need next to nothing each need a good part together. */
static void
test_cpus_of_many(void)
{
	PoCapacity	c;
	PoAllotment a;
	PoWish		computes = busy_wish(20, 20, 20);
	PoWish		small = wish_for(1);
	double		all_small;

	small.present = 1;
	small.on_cpu = 0.009;
	begin(&c, 10000, 0, 4);
	for (int i = 1; i < MANY; i++)
		(void) ask(&c, i, &small);
	all_small = c.cpu_wanted;
	CHECK_WITH(all_small > 3 && all_small < 5, "%g", all_small);
	for (int i = 0; i < 3; i++)
		a = ask(&c, 0, &computes);
	CHECK_INT(a.bound, PO_BOUND_CPU);
	CHECK_NEAR(a.cpus * 1.5, 6 - all_small, 0.1);
	CHECK_NEAR(cpu_shares(MANY), 6, 0.1);

	/* Those of which nothing was seen on a CPU take nothing. */
	small.on_cpu = 0;
	for (int round = 0; round < 20; round++)
	{
		for (int i = 1; i < MANY; i++)
			(void) ask(&c, i, &small);
	}
	CHECK_INT(ask(&c, 0, &computes).bound, PO_BOUND_CONNECTIONS);
}

/* ---------- properties ---------- */

static void
fill_odd(PoWish *w)
{
	w->weight = random_odd_double();
	w->guaranteed = random_odd_int();
	w->least = random_odd_int();
	w->ceiling = random_odd_int();
	w->size = random_odd_int();
	w->held = random_odd_int();
	w->beside = random_odd_int();
	w->present = random_odd_int();
	w->on_cpu = random_odd_double();
	w->limited = random_below(2) == 0;
}

static void
test_any_input(void)
{
	PoCapacity	c;
	PoWish		w;

	for (int round = 0; round < 60; round++)
	{
		begin(&c, random_odd_int(), random_odd_int(), random_odd_int());
		for (int i = 0; i < 300; i++)
		{
			PoAllotment a;
			int			tenant = random_below(MANY);

			fill_odd(&w);
			po_capacity_ask(&c, tenant, &w, random_odd_int64(), &a);
			CHECK_WITH(a.most >= 1 && a.budget >= 0 && a.cpus >= 0 && isfinite(a.cpus),
					   "most %d, budget %d, cpus %g", a.most, a.budget, a.cpus);
			if (random_below(9) == 0)
				po_capacity_forget(&c, random_below(MANY));
			if (random_below(9) == 0)
				po_capacity_set(&c, random_odd_int(), random_odd_int(), random_odd_int());
		}
	}
}

/* Once all have been asked again, what they want and may have is within the budget. */
static void
test_sums(void)
{
	PoCapacity	c;

	for (int round = 0; round < 200; round++)
	{
		PoWish		wish[40];
		int			n = 1 + random_below(40);
		int			budget = random_below(1500);
		int			guaranteed = 0;
		int64_t		sum = 0;
		int64_t		wanted = 0;

		for (int i = 0; i < n; i++)
		{
			wish[i] = busy_wish(random_below(100), 1 + random_below(100), 0);
			wish[i].weight = 0.5 + 3 * random_unit();
			wish[i].guaranteed = random_below(4) == 0 ? random_below(20) : 0;
			wish[i].on_cpu = random_unit() * wish[i].present;
			guaranteed += wish[i].guaranteed;
		}
		budget = budget > guaranteed ? budget : guaranteed;
		begin(&c, budget, guaranteed, 0);
		for (int i = 0; i < 2 * n; i++)
			(void) ask(&c, i % n, &wish[i % n]);
		for (int i = 0; i < n; i++)
		{
			int			may = most(&c, i, &wish[i]);

			CHECK(may >= wish[i].guaranteed);
			sum += may < wish[i].size ? may : wish[i].size > wish[i].guaranteed ? wish[i].size :
				wish[i].guaranteed;
			wanted += wish[i].size > wish[i].guaranteed ? wish[i].size : wish[i].guaranteed;
		}
		/* Shares of nothing are one, as no pool is smaller. */
		CHECK_WITH(sum <= budget + n, "%lld of %d", (long long) sum, budget);
		CHECK_WITH(c.contended || sum == wanted, "%lld of %lld", (long long) sum, (long long) wanted);
	}
}

/* ---------- two searches on the same CPUs ---------- */

/* A closed workload: s on the CPU, s off it in the transaction, then s outside of the pool. */
typedef struct Load
{
	double		cpu;
	double		off;
	double		away;
	int			clients;
} Load;

typedef struct World
{
	int			cpus;
	Load		load[2];
	int			size[2];
	/* What comes of it. */
	double		rate[2];
	double		on_cpu[2];
	double		busy[2];
	PoLevels	levels[2];		/* of these, as remembered */
} World;

static int
at_work(const World *w, int i)
{
	return w->size[i] < w->load[i].clients ? w->size[i] : w->load[i].clients;
}

/* The time on the CPU stretches by the length of the run queues, with a soft knee. */
static void
run_world(World *w)
{
	double		stretch = 1;

	for (int step = 0; step < 60; step++)
	{
		double		sum = 0;

		for (int i = 0; i < 2; i++)
		{
			const Load *l = &w->load[i];

			w->rate[i] = at_work(w, i) / (l->cpu * stretch + l->off + l->away);
			w->on_cpu[i] = w->rate[i] * l->cpu * stretch;
			w->busy[i] = w->rate[i] * (l->cpu * stretch + l->off);
			sum += w->on_cpu[i];
		}
		stretch = sqrt(stretch * pow(1 + pow(sum / w->cpus, 6), 1.0 / 6));
	}
}

static double
merit(World *w, int first, int second)
{
	w->size[0] = first;
	w->size[1] = second;
	run_world(w);
	return sqrt(w->rate[0] * w->rate[1]);
}

static int
next_size(int size)
{
	return size < 12 ? size + 1 : (int) (size * 1.12);
}

static void
sweep(const World *world, double *best, int *least)
{
	World		w = *world;

	*best = 0;
	*least = INT_MAX;
	for (int pass = 0; pass < 2; pass++)
	{
		for (int a = 1; a <= w.load[0].clients; a = next_size(a))
			for (int b = 1; b <= w.load[1].clients; b = next_size(b))
			{
				double		m = merit(&w, a, b);

				if (pass == 0)
					*best = fmax(*best, m);
				else if (m >= 0.95 * *best && a + b < *least)
					*least = a + b;
			}
	}
}

static double
noisy(double x, double by)
{
	double		sum = -6;

	for (int i = 0; i < 12; i++)
		sum += random_unit();
	return x * fmax(1 + by * sum, 0.1);
}

/* An evaluation as the server makes it, of three seconds: most have transactions enough. */
static void
observe(World *w, int i, int evaluation, PoEvaluation *e)
{
	double		memory = exp(-1 / 30.0);
	double		on_cpu = fmin(noisy(w->on_cpu[i], 0.15 / sqrt(w->cpus)), w->busy[i]);

	memset(&e->seen, 0, sizeof(e->seen));
	e->seen.size = at_work(w, i);
	e->seen.rate = noisy(w->rate[i], 0.02);
	e->seen.transactions = e->seen.rate * 3;
	e->seen.busy = w->busy[i];
	e->seen.share[PO_WAIT_CPU] = on_cpu / w->busy[i];
	e->seen.share[PO_WAIT_CLIENT] = 1 - on_cpu / w->busy[i];
	e->seen.cores = w->cpus;
	e->seen.demand = w->load[i].clients;
	e->seen.waiting = w->load[i].clients - e->seen.size;
	e->seen.queued = -1;
	po_recommend_bounds(e->policy, &e->seen.lowest, &e->seen.highest);
	e->seen.saturated = po_search_is_limited(&e->seen, e->policy->scale_up_threshold);

	po_levels_decay(&w->levels[i], memory);
	po_levels_add(&w->levels[i], (int) (e->seen.busy + 0.5), 3e6);
	po_levels_digest(&w->levels[i], &e->in.busy);
	e->in.arrival_cv2 = e->in.service_cv2 = 1;
	e->in.arrival_rate = e->seen.rate;
	e->in.service_us = e->seen.busy / e->seen.rate * PO_US_PER_S;
	memcpy(e->in.wait_share, e->seen.share, sizeof(e->in.wait_share));
	e->in.observed_us = evaluation * 3 * PO_US_PER_S;
	e->in.transactions = (uint64_t) fmin(e->in.transactions * memory + e->seen.transactions, 1e9);
	e->in.sessions = e->seen.size;
	e->in.peak_busy = e->in.busy.max;
	e->in.previous = e->r.known;
	e->in.cores = w->cpus;
}

/* Follows the recommendations; how many evaluations until the last change. */
static int
follow(World *w, int start, bool knows_cpus)
{
	static PoEvaluation e[2];
	PoPolicyFields policy;
	PoCapacity	c;
	int			last = 0;

	po_policy_defaults(&policy);
	memset(e, 0, sizeof(e));
	begin(&c, 100000, 0, knows_cpus ? w->cpus : 0);
	w->size[0] = w->size[1] = start;
	for (int evaluation = 1; evaluation <= 100; evaluation++)
	{
		int			before[2] = {w->size[0], w->size[1]};

		run_world(w);
		for (int i = 0; i < 2; i++)
		{
			e[i].policy = &policy;
			observe(w, i, evaluation, &e[i]);
			po_capacity_evaluate(&c, i, evaluation * PO_US_PER_S, &e[i]);
			if (e[i].r.confidence > 0.2 && e[i].r.method > PO_METHOD_IDLE)
				w->size[i] = e[i].r.size;
		}
		if (w->size[0] != before[0] || w->size[1] != before[1])
			last = evaluation;
	}
	return last;
}

/*
 * One that computes and one that answers requests.  The best for both together (geometric
 * mean of their throughputs) is nearly reached with hardly more connections than that takes.
 */
static void
test_two_searches(void)
{
	static const int cpus[] = {2, 4, 16};
	static const int starts[] = {2, 20, 64};
	int			n = 0;
	int			good = 0;
	int			settled = 0;
	double		worst = 1;
	double		with = 0;
	double		without = 0;

	for (int round = 0; round < 18; round++)
	{
		World		w = {.cpus = cpus[round % 3]};
		double		best;
		int			least;

		w.load[0] = (Load) {0.0001 + 0.0004 * random_unit(), 0.0005 + 0.004 * random_unit(), 0.0001,
		w.cpus * (8 + random_below(32))};
		w.load[1] = (Load) {0.005 + 0.05 * random_unit(), random_below(2) * 0.003 * random_unit(),
			0.0002, w.cpus * (2 + random_below(8))};
		sweep(&w, &best, &least);
		for (int i = 0; i < 3; i++)
		{
			int			last = follow(&w, starts[i], true);
			int			sum = w.size[0] + w.size[1];
			double		ratio = merit(&w, w.size[0], w.size[1]) / best;

			n++;
			settled += last <= 40;
			worst = fmin(worst, ratio);
			with += ratio;
			good += ratio >= 0.95 && sum <= 1.5 * least + 1;
			CHECK_WITH(sum <= 1.7 * least + 1, "%d+%d, least %d", w.size[0], w.size[1], least);
			(void) follow(&w, starts[i], false);
			without += merit(&w, w.size[0], w.size[1]) / best;
		}
	}
	CHECK_WITH(good >= 0.85 * n, "%d of %d", good, n);
	CHECK_WITH(settled >= 0.85 * n, "%d of %d", settled, n);
	CHECK_WITH(worst >= 0.8, "%g", worst);
	/* The searches by themselves: else there would be nothing to do here. */
	CHECK_WITH(without < 0.95 * with, "%g, with %g", without / n, with / n);
}

/* ---------- busy is not what a pooler needs ---------- */

/* What a tenant with a pool of that size does; the rest follows. */
typedef struct Does
{
	double		rate;
	double		busy;			/* sessions, as the server sees it */
	int			waiting;		/* clients, at the pooler */
	double		queued;
	int			idle;			/* that want nothing */
} Does;

typedef struct Behind
{
	void		(*run) (int size, Does *does);
	double		service_us;		/* as the server sees it */
	double		cpu;			/* share of that */
	int			clients;
	int			cores;
} Behind;

/*
 * Short commits of 64 clients through a pooler that is itself slow, as bench/regret saw them:
 * with a connection for each of them 42 are busy and nobody waits, so 52 are enough by all
 * that queueing knows; with 52 a quarter of the clients wait.
 */
static void
run_commits(int size, Does *does)
{
	bool		enough = size >= 60;

	does->rate = 10000 * (1 - exp(-size / 6.0)) / (1 + size / 400.0);
	does->busy = enough ? 42 : 0.83 * size;
	does->waiting = enough ? 0 : 64 - size;
	does->queued = enough ? 0.5 : 64 - size;
	does->idle = 0;
}

/*
 * 8400 a second arrive that take the server 0.5 ms each; another one goes by on the way between
 * server and pooler, while the connection is the client's: 12.6 of them are, 4.2 busy.
 */
static void
run_far_away(int size, Does *does)
{
	double		most = size / 0.0015;

	does->rate = fmin(most, 8400);
	does->busy = does->rate * 0.0005;
	does->waiting = most < 8400 ? 195 : 0;
	does->queued = does->waiting;
	does->idle = most < 8400 ? 0 : 187;
}

/* 284 a second arrive that take 100 ms off the CPU: 28 connections do 98.6 % of them, with all
 * clients waiting. */
static void
run_arrivals(int size, Does *does)
{
	does->rate = fmin(size / 0.1, 284);
	does->busy = does->rate * 0.1;
	does->waiting = size < 28.4 ? 200 - size : 0;
	does->queued = does->waiting;
	does->idle = size < 28.4 ? 0 : 171;
}

/* 325 a second that have a connection for 100 ms, of which the server is busy for 10. */
static void
run_far_arrivals(int size, Does *does)
{
	bool		enough = size >= 32.5;

	does->rate = fmin(size / 0.1, 325);
	does->busy = does->rate * 0.01;
	does->waiting = enough ? 0 : 200 - size;
	does->queued = does->waiting;
	does->idle = enough ? 167 : 0;
}

static void
observe_behind(const Behind *w, int size, int evaluation, PoLevels *levels, PoEvaluation *e)
{
	Does		does;

	w->run(size, &does);
	memset(&e->seen, 0, sizeof(e->seen));
	e->seen.size = size < w->clients ? size : w->clients;
	e->seen.rate = noisy(does.rate, 0.02);
	e->seen.transactions = e->seen.rate * 3;
	e->seen.busy = does.busy;
	e->seen.share[PO_WAIT_CPU] = w->cpu;
	e->seen.share[PO_WAIT_IO] = 1 - w->cpu;
	e->seen.cores = e->in.cores = w->cores;
	e->seen.demand = w->clients;
	e->seen.waiting = does.waiting;
	e->seen.queued = does.queued;
	e->seen.idle = does.idle;
	e->seen.target_us = (double) e->policy->target_wait_us;
	po_recommend_bounds(e->policy, &e->seen.lowest, &e->seen.highest);
	e->seen.saturated = po_search_is_limited(&e->seen, e->policy->scale_up_threshold);

	po_levels_decay(levels, exp(-1 / 30.0));
	po_levels_add(levels, (int) (0.5 * does.busy), 1e6);
	po_levels_add(levels, (int) does.busy, 1e6);
	po_levels_add(levels, (int) fmin(1.45 * does.busy, 0.95 * e->seen.size), 1e6);
	po_levels_digest(levels, &e->in.busy);
	e->in.arrival_cv2 = e->in.service_cv2 = 1;
	e->in.arrival_rate = e->seen.rate;
	e->in.service_us = w->service_us;
	memcpy(e->in.wait_share, e->seen.share, sizeof(e->in.wait_share));
	e->in.observed_us = evaluation * 3 * PO_US_PER_S;
	e->in.transactions = (uint64_t) (e->seen.transactions * evaluation);
	e->in.sessions = e->seen.size;
	e->in.peak_busy = e->in.busy.max;
	e->in.previous = e->r.known;
}

typedef struct Path
{
	int			last;			/* evaluation with a change */
	int			ups;			/* changes to more */
	int			size;			/* in the end */
} Path;

static Path
follow_behind(const Behind *w, int start)
{
	static PoEvaluation e;
	PoPolicyFields policy;
	PoCapacity	c;
	PoLevels	levels;
	Path		path = {0, 0, start};

	po_policy_defaults(&policy);
	memset(&e, 0, sizeof(e));
	memset(&levels, 0, sizeof(levels));
	e.policy = &policy;
	begin(&c, 1000, 0, w->cores);
	for (int evaluation = 1; evaluation <= 100; evaluation++)
	{
		int			before = path.size;

		observe_behind(w, path.size, evaluation, &levels, &e);
		po_capacity_evaluate(&c, 0, evaluation * PO_US_PER_S, &e);
		if (e.r.confidence > 0.2)
			path.size = e.r.size;
		path.ups += path.size > before;
		if (path.size != before)
			path.last = evaluation;
	}
	return path;
}

static void
test_enough_until_smaller(void)
{
	static const Behind commits = {run_commits, 200, 0.04, 64, 2};
	Path		path = follow_behind(&commits, 64);

	CHECK_WITH(path.ups <= 4, "%d times", path.ups);
	CHECK_WITH(path.last <= 40, "%d", path.last);
	CHECK_WITH(path.size < 52, "%d", path.size);
}

/* What was measured stays, though so few look busy that queueing would do with less. */
static void
test_busy_on_the_way(void)
{
	static const Behind far_away = {run_far_away, 500, 0.5, 200, 16};

	for (int start = 2; start <= 40; start += 19)
	{
		Path		path = follow_behind(&far_away, start);
		Does		does;

		run_far_away(path.size, &does);
		CHECK_WITH(does.rate >= 0.95 * 8400, "%d of 13 from %d", path.size, start);
		CHECK_WITH(path.size <= 20, "%d of 13 from %d", path.size, start);
		CHECK_WITH(path.last <= 40, "%d from %d", path.last, start);
	}
}

/* Who comes whatever the pool does is not to wait for ever, for the sake of a connection less. */
static void
test_backlog(void)
{
	static const Behind arrivals = {run_arrivals, 100000, 0.01, 200, 2};
	static const Behind far_arrivals = {run_far_arrivals, 10000, 0.2, 200, 16};

	for (int start = 2; start <= 64; start += 9)
	{
		Path		path = follow_behind(&arrivals, start);

		CHECK_WITH(path.size >= 29 && path.size <= 44, "%d from %d", path.size, start);
		CHECK_WITH(path.last <= 60, "%d from %d", path.last, start);
		path = follow_behind(&far_arrivals, start);
		CHECK_WITH(path.size >= 32 && path.size <= 50, "%d from %d", path.size, start);
		CHECK_WITH(path.last <= 60, "%d from %d", path.last, start);
	}
}

int
main(void)
{
	test_connections();
	test_beside();
	test_not_too_often();
	test_cpus();
	test_weights_of_cpus();
	test_cpus_of_many();
	test_any_input();
	test_sums();
	test_two_searches();
	test_enough_until_smaller();
	test_busy_on_the_way();
	test_backlog();
	return check_end("test_capacity");
}
