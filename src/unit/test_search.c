/*
 * test_search.c
 *		The search against curves whose best size is known.
 */
#include "check.h"
#include "model/po_search.h"

#include <stdlib.h>

#define CORES	4

/* A workload: what a pool of n does, and what its sessions wait for. */
typedef struct Workload
{
	const char *name;
	double		cpu_ms;
	double		off_ms;			/* client or disk */
	double		contention;		/* Universal Scalability Law, sigma and kappa */
	double		coherence;
	int			clients;
} Workload;

static const Workload workloads[] = {
	{"cpu", 4, 0, 0, 0, 64},
	{"cpu and disk", 1, 4, 0, 0, 64},
	{"think 2 ms", 0.2, 2, 0, 0, 64},
	{"think 20 ms", 0.2, 20, 0, 0, 64},
	{"hot row", 0.3, 0.2, 0.3, 0.002, 64},
	{"few hot rows", 0.3, 0.5, 0.08, 0.0005, 64},
	{"retrograde", 0.5, 0.5, 0.05, 0.01, 64},
	{"off CPU", 0.05, 5, 0, 0, 64},
	{"long", 50, 10, 0, 0, 200},
};

#define N_WORKLOADS ((int) (sizeof(workloads) / sizeof(workloads[0])))
#define N_REPEATS	60			/* of each, a third from each start */
#define N_RUNS		(9 * N_REPEATS)

/* Asymptotic bounds, rounded at the knee, times the law of scalability. */
static double
throughput(const Workload *w, int n)
{
	double		free = fmin(n, w->clients) / (w->cpu_ms + w->off_ms);
	double		most = CORES / w->cpu_ms;
	double		x = 1 / pow(pow(free, -8) + pow(most, -8), 1.0 / 8);

	return 1000 * x / (1 + w->contention * (n - 1) + w->coherence * n * (n - 1.0));
}

static int
least_good(const Workload *w, double *best)
{
	int			n = 1;

	*best = 0;
	for (int i = 1; i <= w->clients; i++)
		*best = fmax(*best, throughput(w, i));
	while (throughput(w, n) < 0.95 * *best)
		n++;
	return n;
}

static double
gauss(void)
{
	double		sum = 0;

	for (int i = 0; i < 12; i++)
		sum += random_unit();
	return sum - 6;
}

static void
look(const Workload *w, int n, double noise, PoSearchSeen *seen)
{
	double		on_cpu;
	double		off;

	memset(seen, 0, sizeof(*seen));
	seen->size = n;
	seen->rate = throughput(w, n) * (1 + noise * gauss());
	seen->transactions = seen->rate;
	seen->busy = n < w->clients ? n : w->clients;
	seen->saturated = seen->busy >= 0.8 * n;
	seen->demand = w->clients;
	seen->queued = -1;
	seen->cores = CORES;
	seen->lowest = 1;
	seen->highest = 1000;
	off = fmin(seen->rate / 1000 * w->off_ms / seen->busy, 1);
	on_cpu = fmin(seen->rate / 1000 * w->cpu_ms / seen->busy, 1 - off);
	/* What is left waits for a core, which looks like running, or for a lock. */
	seen->share[PO_WAIT_CLIENT] = off;
	if (w->contention > 0)
	{
		seen->share[PO_WAIT_CPU] = on_cpu;
		seen->share[PO_WAIT_LOCK] = fmax(1 - off - on_cpu, 0);
	}
	else
		seen->share[PO_WAIT_CPU] = 1 - off;
}

typedef struct Outcome
{
	int			size;
	int			evaluations;
	int			moves_after;	/* once settled */
} Outcome;

static void
run(const Workload *w, int start, double noise, PoSearch *search,
	Outcome *out)
{
	int			n = start;
	PoSearchSeen seen;

	memset(out, 0, sizeof(*out));
	for (int i = 1; i <= 120; i++)
	{
		int			next;

		look(w, n, noise, &seen);
		next = po_search_step(search, &seen);
		if (next == 0)
			next = n;
		CHECK(next >= 1 && next <= 1000);
		if (out->evaluations > 0 && next != n)
			out->moves_after++;
		if (out->evaluations == 0 && (search->phase == PO_SEARCH_SETTLED ||
									  (search->phase == PO_SEARCH_NONE && i > 3)))
			out->evaluations = i;
		n = next;
	}
	out->size = n;
}

static int
by_value(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/* What the runs of a level of noise have to reach: share of them, and medians. */
typedef struct Goal
{
	double		noise;			/* relative, of one evaluation */
	double		share;			/* of runs that must be good */
	double		best;			/* good: so much of the best throughput */
	double		size;			/* and so many times the smallest good size, or one more */
} Goal;

static void
check_medians(const Goal *g, double *best, double *size, double *evaluations, int n)
{
	qsort(best, n, sizeof(double), by_value);
	qsort(size, n, sizeof(double), by_value);
	qsort(evaluations, n, sizeof(double), by_value);
	CHECK_WITH(best[n / 2] >= 0.98 && size[n / 2] <= 1.2 && evaluations[n * 95 / 100] <= 35,
			   "noise %g: of the best %.3f (least %.3f), of the size %.2f (most %.2f), "
			   "evaluations %.0f (most %.0f)", g->noise, best[n / 2], best[0], size[n / 2],
			   size[n - 1], evaluations[n / 2], evaluations[n - 1]);
}

static void
test_finds_the_knee(const Goal *g)
{
	static const int starts[] = {2, 20, 64};
	static double best[N_RUNS];
	static double size[N_RUNS];
	static double evaluations[N_RUNS];
	int			n_good = 0;
	int			n_restless = 0;

	for (int i = 0; i < N_RUNS; i++)
	{
		const Workload *w = &workloads[i / N_REPEATS];
		PoSearch	search;
		Outcome		o;
		double		most;
		int			least = least_good(w, &most);

		po_search_reset(&search);
		run(w, starts[i % 3], g->noise, &search, &o);
		best[i] = throughput(w, o.size) / most;
		size[i] = (double) o.size / least;
		evaluations[i] = o.evaluations > 0 ? o.evaluations : 1000;
		n_good += best[i] >= g->best && (size[i] <= g->size || o.size <= least + 1);
		n_restless += o.moves_after > 0;
	}
	CHECK_WITH(n_good >= g->share * N_RUNS, "noise %g: %d of %d are good", g->noise, n_good,
			   N_RUNS);
	CHECK_WITH(n_restless <= (1 - g->share) * N_RUNS, "noise %g: %d of %d moved after they had "
			   "settled", g->noise, n_restless, N_RUNS);
	check_medians(g, best, size, evaluations, N_RUNS);
}

/* The workload becomes another one: noticed, and settled again. */
static void
test_step(void)
{
	for (int i = 0; i < N_WORKLOADS; i++)
	{
		const Workload *to = &workloads[(i + 3) % N_WORKLOADS];
		PoSearch	search;
		Outcome		o;
		double		most;
		int			least = least_good(to, &most);

		po_search_reset(&search);
		run(&workloads[i], 20, 0.01, &search, &o);
		run(to, o.size, 0.01, &search, &o);
		CHECK_WITH(throughput(to, o.size) >= 0.93 * most &&
				   (o.size <= 1.5 * least || o.size <= least + 1), "%s then %s: %d, not %d",
				   workloads[i].name, to->name, o.size, least);
	}
}

/* Settled on one for each client, as all paid; then a few clients more come, and want one, too. */
static void
test_few_more_clients(void)
{
	for (int more = 4; more <= 40; more += 6)
	{
		Workload	w = workloads[7];
		PoSearch	search;
		PoSearchSeen seen;
		int			n = 20;

		po_search_reset(&search);
		for (int i = 0; i < 90; i++)
		{
			if (i == 60)
				w.clients += more;
			look(&w, n, 0.01, &seen);
			seen.queued = fmax(w.clients - n, 0);
			seen.waiting = (int) seen.queued;
			seen.idle = 0;
			seen.target_us = 10000;
			n = po_search_step(&search, &seen);
			CHECK(i != 59 || n == 64);
		}
		CHECK_WITH(n >= 0.95 * w.clients, "%d more: %d", more, n);
	}
}

/* A pool that is not the limit is none of its business. */
static void
test_not_limited(void)
{
	PoSearch	search;
	PoSearchSeen seen;

	po_search_reset(&search);
	look(&workloads[1], 64, 0, &seen);
	seen.size = 200;
	seen.busy = 3;
	seen.share[PO_WAIT_CPU] = 0.2;
	seen.saturated = po_search_is_limited(&seen, 0.8);
	CHECK(!seen.saturated);
	for (int i = 0; i < 10; i++)
		CHECK_INT(po_search_step(&search, &seen), 0);
	seen.busy = 170;
	CHECK(po_search_is_limited(&seen, 0.8));
	seen.busy = 10;
	seen.share[PO_WAIT_LOCK] = 0.5;
	CHECK(po_search_is_limited(&seen, 0.8));
}

/*
 * Clients that are only just coming: what the first of them did, for one evaluation, is no
 * size to keep the others to.
 */
static void
test_clients_arrive(void)
{
	PoSearch	search;
	PoSearchSeen few;
	PoSearchSeen all;
	PoSearchSeen idle;

	look(&workloads[1], 1, 0, &few);
	look(&workloads[1], 48, 0, &all);
	idle = all;
	idle.busy = 4;
	idle.share[PO_WAIT_CPU] = 0.2;
	idle.saturated = po_search_is_limited(&idle, 0.8);
	CHECK(few.saturated && all.saturated && !idle.saturated);

	/* More and more of them. */
	po_search_reset(&search);
	CHECK_INT(po_search_step(&search, &few), 1);
	CHECK_INT(po_search_step(&search, &all), 48);
	few.size = 60;
	few.busy = 60;
	CHECK_INT(po_search_step(&search, &few), 60);

	/* Busy while they came, and then not any more. */
	look(&workloads[1], 1, 0, &few);
	po_search_reset(&search);
	CHECK_INT(po_search_step(&search, &few), 1);
	for (int i = 0; i < 3; i++)
		CHECK_INT(po_search_step(&search, &idle), 0);
	po_search_reset(&search);
	CHECK_INT(po_search_step(&search, &all), 48);
	CHECK_INT(po_search_step(&search, &idle), 48);
	CHECK_INT(po_search_step(&search, &idle), 48);
	CHECK_INT(po_search_step(&search, &idle), 0);

	/* A search that knows of two sizes goes on over an evaluation that is not limited. */
	po_search_reset(&search);
	for (int i = 0, n = 48; i < 6; i++)
	{
		look(&workloads[1], n, 0, &all);
		n = po_search_step(&search, &all);
	}
	CHECK(search.n_points >= 2);
	idle.size = all.size;
	CHECK(po_search_step(&search, &idle) > 0);
}

/*
 * A tenant cut by the shares of others: it is at less than it asked for as long as they
 * need theirs, and finds its size when they do not any more.
 */
static void
test_cut_by_others(void)
{
	const Workload *w = &workloads[2];
	PoSearch	search;
	double		most;
	int			least = least_good(w, &most);
	int			n = 20;

	po_search_reset(&search);
	for (int i = 0; i < 300; i++)
	{
		PoSearchSeen seen;
		int			next;

		look(w, n, 0.01, &seen);
		next = po_search_step(&search, &seen);
		n = i < 200 && next > 5 ? 5 : next;
	}
	CHECK_WITH(throughput(w, n) >= 0.95 * most && n <= 1.5 * least, "asked: %d, not %d", n, least);

	/* The same when it is told how many it may have. */
	po_search_reset(&search);
	n = 20;
	for (int i = 0; i < 300; i++)
	{
		PoSearchSeen seen;

		look(w, n, 0.01, &seen);
		seen.highest = i < 200 ? 5 : 1000;
		n = po_search_step(&search, &seen);
	}
	CHECK_WITH(throughput(w, n) >= 0.95 * most && n <= 1.5 * least, "told: %d, not %d", n, least);
}

/* Settled within one bound, cut by a lower one, and then by none. */
static void
test_cut_twice(void)
{
	const Workload *w = &workloads[3];
	PoSearch	search;
	double		most;
	int			least = least_good(w, &most);
	int			n = 1;

	po_search_reset(&search);
	for (int i = 0; i < 200; i++)
	{
		PoSearchSeen seen;

		look(w, n, 0.01, &seen);
		seen.highest = i < 60 ? 5 : i < 100 ? 3 : 1000;
		n = po_search_step(&search, &seen);
		CHECK(n <= seen.highest);
	}
	CHECK_WITH(throughput(w, n) >= 0.95 * most && n <= 1.5 * least, "%d, not %d", n, least);
}

/*
 * Cut while it does what it was settled on for, and let go: that is no other workload, though its
 * time goes to other things, so nothing that was measured is thrown away.
 */
static void
test_cut_and_let_go(void)
{
	for (int k = 0; k < N_WORKLOADS; k++)
	{
		const Workload *w = &workloads[k];
		PoSearch	search;
		PoSearchSeen seen;
		int			least_points = PO_SEARCH_POINTS;
		int			settled = 0;
		int			n = 1;

		po_search_reset(&search);
		for (int i = 0; i < 180; i++)
		{
			look(w, n, 0.01, &seen);
			seen.highest = i < 60 ? 1000 : i < 100 ? 2 : 1000;
			n = po_search_step(&search, &seen);
			settled = i == 59 ? n : settled;
			if (i >= 60 && search.n_points < least_points)
				least_points = search.n_points;
		}
		CHECK_WITH(settled > 0 && least_points >= 3, "%s: %d, %d points", w->name, settled,
				   least_points);
		CHECK_WITH(throughput(w, n) >= 0.93 * throughput(w, settled) && n <= 1.5 * settled + 1,
				   "%s: %d, not %d", w->name, n, settled);
	}
}

typedef enum Told
{
	TOLD_NOTHING,				/* of how fast the machine is */
	TOLD_SPEED,
	TOLD_NONSENSE
} Told;

/*
 * Runs that end well on a machine whose speed wanders by a sixth; throughput follows it by as
 * much as the CPUs are in use.
 */
static int
good_while_speed_wanders(Told told)
{
	int			good = 0;

	for (int r = 0; r < N_RUNS; r++)
	{
		const Workload *w = &workloads[r % N_WORKLOADS];
		PoSearch	search;
		PoSearchSeen seen;
		double		most;
		int			least = least_good(w, &most);
		double		wander = 0;
		int			n = r % 2 == 0 ? 2 : 40;

		po_search_reset(&search);
		for (int i = 0; i < 60; i++)
		{
			double		used = throughput(w, n) / 1000 * w->cpu_ms / CORES;
			int			next;

			wander = 0.9 * wander + 0.07 * gauss();
			look(w, n, 0.02, &seen);
			seen.rate *= exp(fmin(used, 1) * wander);
			if (told == TOLD_SPEED)
				seen.speed = 123 * exp(wander + 0.03 * gauss());
			else if (told == TOLD_NONSENSE)
				seen.speed = 123 * exp(0.15 * gauss());
			next = po_search_step(&search, &seen);
			n = next > 0 ? next : n;
		}
		good += throughput(w, n) >= 0.95 * most && n <= 1.5 * least + 1;
	}
	return good;
}

static void
test_machine_speed(void)
{
	int			without = good_while_speed_wanders(TOLD_NOTHING);
	int			with = good_while_speed_wanders(TOLD_SPEED);
	int			nonsense = good_while_speed_wanders(TOLD_NONSENSE);

	CHECK_WITH(with >= 0.82 * N_RUNS && with >= without + 0.12 * N_RUNS && nonsense >= 0.95 * without,
			   "of %d good: %d, with the speed %d, with nonsense %d", N_RUNS, without, with,
			   nonsense);
}

/*
 * Settled while the machine was as fast all the time, so nobody knows what its speed does; then
 * neighbours come and stay, which is no other workload.  One that does half as much without is.
 */
static void
test_neighbours(void)
{
	for (int i = 0; i < 3 * N_WORKLOADS; i++)
	{
		const Workload *w = &workloads[i / 3];
		double		power = i % 3 * 0.75;
		PoSearch	search;
		PoSearchSeen seen;
		bool		noticed = false;
		int			settled = 0;
		int			n = 20;

		po_search_reset(&search);
		for (int e = 0; e < 160; e++)
		{
			double		slower = e < 60 || e >= 120 ? 1 : 0.7;
			int			next;

			look(w, n, 0.01, &seen);
			seen.speed = 5 * slower;
			seen.rate *= pow(slower, power) * (e < 120 ? 1 : 0.5);
			next = po_search_step(&search, &seen);
			n = next > 0 ? next : n;
			if (e == 59)
				settled = search.phase == PO_SEARCH_SETTLED ? n : 0;
			CHECK_WITH(settled == 0 || e >= 120 || (search.phase == PO_SEARCH_SETTLED && n == settled),
					   "%s: as the speed to the power of %g, %d, not %d, at %d", w->name, power, n,
					   settled, e);
			if (e >= 120 && search.phase != PO_SEARCH_SETTLED)
				noticed = true;
		}
		CHECK_WITH(settled > 0 && noticed, "%s, %g: settled for %d", w->name, power, settled);
	}
}

/* A speed that does not change, whatever its unit, or is not told now and then, changes nothing. */
static void
test_steady_machine(void)
{
	static const double speeds[] = {1, 1e-9, 1e300, INFINITY, NAN, -1};

	for (int k = 0; k < (int) (sizeof(speeds) / sizeof(speeds[0])); k++)
	{
		PoSearch	search;
		PoSearch	other;
		int			n = 2;

		po_search_reset(&search);
		po_search_reset(&other);
		for (int i = 0; i < 100; i++)
		{
			PoSearchSeen seen;
			int			next;

			look(&workloads[i < 50 ? 1 : 4], n, 0.03, &seen);
			next = po_search_step(&search, &seen);
			seen.speed = i % 7 == 3 ? 0 : speeds[k];
			CHECK_WITH(po_search_step(&other, &seen) == next, "%g: not %d", speeds[k], next);
			n = next > 0 ? next : n;
		}
	}
}

/*
 * A failure begins or ends in the middle of a search, at any time of it: what was measured
 * then is not believed for ever.  Not where it made one size look erratic: 2 of 59.
 */
static void
test_failure_meanwhile(void)
{
	int			right = 0;

	for (int from = 1; from < 60; from++)
	{
		const Workload *w = &workloads[3 + from % 3];
		PoSearch	search;
		double		most;
		int			least = least_good(w, &most);
		int			n = from % 2 == 0 ? 1 : 20;
		int			good = 0;

		po_search_reset(&search);
		for (int i = 0; i < 1500; i++)
		{
			PoSearchSeen seen;
			int			next;

			look(w, n, 0.02, &seen);
			if (i >= from && i < from + 10)
				seen.rate /= 10;
			next = po_search_step(&search, &seen);
			n = next > 0 ? next : n;
			if (i >= 1000)
				good += throughput(w, n) >= 0.9 * most && n <= 1.6 * least + 1;
		}
		right += good >= 475;
	}
	CHECK_WITH(right >= 56, "right after %d failures of 59", right);
}

/* Something is in the way for one evaluation, at any time of a search; busy it is all the same. */
static void
test_stall_meanwhile(void)
{
	int			good = 0;
	int			soon = 0;
	int			n_runs = 0;

	for (int at = 1; at <= 25; at++)
	{
		for (int k = 0; k < N_WORKLOADS; k++)
		{
			const Workload *w = &workloads[k];
			PoSearch	search;
			double		most;
			int			least = least_good(w, &most);
			int			n = k % 2 == 0 ? 2 : 20;
			int			settled = 0;

			po_search_reset(&search);
			for (int i = 1; i <= 60; i++)
			{
				PoSearchSeen seen;
				int			next;

				look(w, n, 0.02, &seen);
				seen.rate *= i == at ? 0.5 : 1;
				next = po_search_step(&search, &seen);
				n = next > 0 ? next : n;
				if (settled == 0 && search.phase == PO_SEARCH_SETTLED)
					settled = i;
			}
			n_runs++;
			soon += settled > 0 && settled <= 30;
			good += throughput(w, n) >= 0.95 * most && (n <= 1.5 * least || n <= least + 1);
		}
	}
	CHECK_WITH(good >= 0.9 * n_runs && soon >= 0.9 * n_runs, "%d: %d good, %d soon", n_runs, good,
			   soon);
}

/*
 * Where nothing changes, looking again is rare, short, and seldom says another size, a good
 * one too.
 */
static void
test_looks_again(void)
{
	int			changed = 0;

	for (int k = 0; k < 60; k++)
	{
		const Workload *w = &workloads[k % 6];
		PoSearch	search;
		Outcome		out;
		double		most;
		int			least = least_good(w, &most);
		int			moves = 0;
		int			n;

		po_search_reset(&search);
		run(w, 20, 0.01, &search, &out);
		n = out.size;
		for (int i = 0; i < 5000; i++)
		{
			PoSearchSeen seen;
			int			next;

			look(w, n, 0.01, &seen);
			next = po_search_step(&search, &seen);
			moves += next > 0 && next != n;
			n = next > 0 ? next : n;
		}
		CHECK_WITH(moves <= 20, "%d moves", moves);
		CHECK_WITH(throughput(w, n) >= 0.93 * most && n <= 1.5 * least,
				   "%s: from %d to %d, not %d", w->name, out.size, n, least);
		changed += n != out.size;
	}
	CHECK_WITH(changed <= 12, "another size in %d of 60", changed);
}

/*
 * All that is done becomes slowly less, or more, by less than another workload would: what its
 * neighbours did before that says nothing when it looks at one of them again.
 */
static void
test_slow_change(void)
{
	static const double changes[] = {0.85, 0.9, 1.15, 1.2};
	int			good = 0;

	for (int k = 0; k < 4 * N_WORKLOADS * 5; k++)
	{
		const Workload *w = &workloads[k / 4 % N_WORKLOADS];
		double		change = changes[k % 4];
		PoSearch	search;
		double		most;
		int			least = least_good(w, &most);
		int			n = 20;

		po_search_reset(&search);
		for (int i = 0; i < 700; i++)
		{
			PoSearchSeen seen;
			int			next;

			look(w, n, 0.01, &seen);
			seen.rate *= i < 50 ? 1 : i < 150 ? 1 + (change - 1) * (i - 50) / 100 : change;
			next = po_search_step(&search, &seen);
			n = next > 0 ? next : n;
		}
		good += throughput(w, n) >= 0.95 * most && (n <= 1.5 * least || n <= least + 1);
	}
	CHECK_WITH(good >= 0.9 * 4 * N_WORKLOADS * 5, "%d of %d", good, 4 * N_WORKLOADS * 5);
}

/* Nobody sets what it asks for: it does not ask for long. */
static void
test_looks_again_in_vain(void)
{
	for (int round = 0; round < 50; round++)
	{
		PoSearch	search;
		Outcome		out;
		int			asked = 0;

		po_search_reset(&search);
		run(&workloads[2], 20, 0.01, &search, &out);
		for (int i = 0; i < 2000; i++)
		{
			PoSearchSeen seen;

			look(&workloads[2], out.size, 0.01, &seen);
			asked += po_search_step(&search, &seen) != out.size;
		}
		CHECK_WITH(asked > 0 && asked <= 20, "%d times", asked);
	}
}

/* Nothing is used up and no more is allowed: it is not asked for less. */
static void
test_cut_by_policy(void)
{
	PoSearch	search;
	PoSearchSeen seen;

	po_search_reset(&search);
	for (int i = 0; i < 20; i++)
	{
		look(&workloads[3], 4, 0.01, &seen);
		seen.highest = 3;
		CHECK_INT(po_search_step(&search, &seen), 3);
	}
	CHECK_INT(search.phase, PO_SEARCH_SETTLED);
}

/*
 * A size that was seen once, in an evaluation that was in part before its clients came, until a
 * policy cut it: that is no reason not to go beyond it when the policy allows it.
 */
static void
test_cut_before_sure(void)
{
	PoSearch	search;
	PoSearchSeen seen;
	Outcome		out;

	po_search_reset(&search);
	look(&workloads[3], 8, 0, &seen);
	seen.rate *= 0.7;
	po_search_step(&search, &seen);
	CHECK_INT(search.n_points, 1);
	for (int i = 0; i < 20; i++)
	{
		look(&workloads[3], i < 6 ? 4 : 6, 0.01, &seen);
		seen.lowest = seen.highest = seen.size;
		po_search_step(&search, &seen);
	}
	CHECK_INT(search.phase, PO_SEARCH_SETTLED);
	run(&workloads[3], 6, 0.01, &search, &out);
	CHECK_WITH(out.size > 8, "stopped at %d", out.size);
}

/*
 * Four poolers that read one file have the same size each: what is asked for is rounded down, be
 * it to a size that is known to be bad.
 */
static void
test_equal_pools(void)
{
	static const Workload w = {"four pools", 1, 4.5, 0, 0, 64};
	double		best;
	int			least = least_good(&w, &best);
	int			good = 0;

	for (int round = 0; round < 50; round++)
	{
		PoSearch	search;
		PoSearchSeen seen;
		/* What it begins with need not be a multiple, nor the bound. */
		int			size = 2 + 2 * (round % 30) + round % 2;

		po_search_reset(&search);
		for (int i = 0; i < 60; i++)
		{
			int			next;

			look(&w, size, 0.01, &seen);
			seen.unit = 4;
			seen.followed = true;
			seen.highest = round % 5 == 0 ? 35 : 1000;
			next = po_search_step(&search, &seen);
			if (next >= 4)
				size = next / 4 * 4;
		}
		CHECK_INT(search.phase, PO_SEARCH_SETTLED);
		CHECK_WITH(throughput(&w, size) >= 0.93 * best && size <= 1.5 * least, "%d, %d is enough",
				   size, least);
		good += size <= least + 4;
	}
	CHECK_WITH(good >= 35, "%d of 50", good);
}

/* Clients in a queue say more than how busy the pool's sessions look. */
static void
test_waiting(void)
{
	PoSearchSeen seen;

	look(&workloads[2], 20, 0, &seen);
	seen.busy = 12;
	seen.share[PO_WAIT_LOCK] = 0;
	CHECK(!po_search_is_limited(&seen, 0.8));
	seen.waiting = 3;
	CHECK(po_search_is_limited(&seen, 0.8));
	seen.busy = 2;
	CHECK(!po_search_is_limited(&seen, 0.8));
	seen.waiting = 40;
	CHECK(po_search_is_limited(&seen, 0.8));
}

/* How many may wait until they are hindered: 3 % of them, and no longer than the target. */
static void
test_unhindered(void)
{
	PoSearchSeen seen;

	look(&workloads[2], 40, 0, &seen);
	seen.target_us = 10000;
	seen.rate = 1000;
	seen.demand = 100;
	CHECK(!po_search_is_unhindered(&seen));
	seen.queued = 0;
	CHECK(po_search_is_unhindered(&seen));
	seen.queued = 3;
	CHECK(po_search_is_unhindered(&seen));
	seen.queued = 3.01;
	CHECK(!po_search_is_unhindered(&seen));
	/* By Little's law 2 of 1000/s wait 2 ms each. */
	seen.queued = 2;
	seen.target_us = 2000;
	CHECK(po_search_is_unhindered(&seen));
	seen.target_us = 1999;
	CHECK(!po_search_is_unhindered(&seen));
	seen.target_us = NAN;
	CHECK(!po_search_is_unhindered(&seen));
	seen.target_us = INFINITY;
	CHECK(po_search_is_unhindered(&seen));

	/* Whoever waits while nothing gets done does not hardly wait. */
	seen.rate = 0;
	CHECK(!po_search_is_unhindered(&seen));
	seen.queued = 0;
	CHECK(po_search_is_unhindered(&seen));
	seen.rate = NAN;
	CHECK(po_search_is_unhindered(&seen));
	/* Nobody is known to be there: then nothing is known. */
	seen.demand = 0;
	CHECK(!po_search_is_unhindered(&seen));
	seen.demand = -5;
	CHECK(!po_search_is_unhindered(&seen));
	seen.demand = INT_MAX;
	CHECK(po_search_is_unhindered(&seen));
	seen.rate = 1000;
	seen.queued = NAN;
	CHECK(!po_search_is_unhindered(&seen));
	seen.queued = -INFINITY;
	CHECK(!po_search_is_unhindered(&seen));
	seen.queued = INFINITY;
	CHECK(!po_search_is_unhindered(&seen));
}

/* Clients that are connected and do nothing do not make up for those who wait. */
static void
test_idle_clients(void)
{
	PoSearchSeen seen;

	look(&workloads[2], 20, 0, &seen);
	seen.target_us = 10000;
	seen.rate = 9090;
	seen.demand = 1000;
	seen.queued = 30;
	CHECK(!po_search_is_unhindered(&seen));
	CHECK(po_search_is_limited(&seen, 0.8));
	seen.queued = 5;
	CHECK(po_search_is_unhindered(&seen));
	/* Two waiting are few, however small the pool. */
	seen.size = 1;
	seen.busy = 0.85;
	seen.queued = 2;
	CHECK(po_search_is_unhindered(&seen));
}

/* The longer the queue, the less it is unhindered, and the more it is the limit. */
static void
test_unhindered_monotone(void)
{
	for (int i = 0; i < 20000; i++)
	{
		PoSearchSeen seen;
		PoSearchSeen more;

		look(&workloads[i % N_WORKLOADS], 1 + random_below(80), 0.1, &seen);
		seen.demand = random_below(200) - 20;
		seen.waiting = random_below(30) - 10;
		seen.queued = random_below(20) == 0 ? random_odd_double() : random_unit() * 10;
		seen.target_us = random_below(20) == 0 ? random_odd_double() : random_unit() * 2e4;
		more = seen;
		more.queued += random_unit() * 5;
		CHECK(!(seen.queued >= 0) || !po_search_is_unhindered(&more) ||
			  po_search_is_unhindered(&seen));
		CHECK(!(seen.queued >= 0) || !po_search_is_limited(&seen, 0.8) ||
			  po_search_is_limited(&more, 0.8));
		/* Being told never makes a pool the limit that is not without. */
		more.queued = -1;
		CHECK(!po_search_is_limited(&seen, 0.8) || po_search_is_limited(&more, 0.8));
	}
}

/* A pool of 1, 85 % busy, at a bad moment of it: next size, 0 = the search says nothing. */
static int
look_at_one(PoSearch *search, double queued)
{
	PoSearchSeen seen;

	look(&workloads[2], 1, 0.02, &seen);
	seen.busy = 0.85;
	seen.waiting = 2;
	seen.queued = queued;
	seen.target_us = 10000;
	seen.saturated = po_search_is_limited(&seen, 0.8);
	return po_search_step(search, &seen);
}

static void
test_busy_but_enough(void)
{
	PoSearch	search;
	int			next = 0;

	/* Hardly anybody waits: it stays. */
	po_search_reset(&search);
	for (int i = 0; i < 50; i++)
		CHECK_INT(look_at_one(&search, 1.5), 0);
	CHECK_INT(search.phase, PO_SEARCH_NONE);
	/* Three of 64 do: more is tried.  So it is when that is not known. */
	for (int known = 0; known <= 1; known++)
	{
		po_search_reset(&search);
		for (int i = 0; i < 6; i++)
			next = look_at_one(&search, known ? 3 : -1);
		CHECK_INT(search.phase, PO_SEARCH_TRYING);
		CHECK_WITH(next > 1, "%d", next);
	}
	/* It gets known: then that was for nothing. */
	for (int i = 0; i < 3; i++)
		next = look_at_one(&search, 3);
	CHECK_INT(search.phase, PO_SEARCH_TRYING);
	po_search_reset(&search);
	for (int i = 0; i < 6; i++)
		next = look_at_one(&search, -1);
	for (int i = 0; i < 3; i++)
		next = look_at_one(&search, 1.5);
	CHECK_INT(search.phase, PO_SEARCH_NONE);
	CHECK_INT(next, 0);
}

/* However few wait, those who are in each other's way do better with less. */
static void
test_crowded_though_unhindered(void)
{
	PoSearchSeen seen;

	look(&workloads[0], 40, 0, &seen);
	seen.queued = 0;
	seen.target_us = 10000;
	CHECK(po_search_is_unhindered(&seen));
	CHECK(po_search_is_limited(&seen, 0.8));
	look(&workloads[4], 40, 0, &seen);
	seen.queued = 0;
	seen.target_us = 10000;
	CHECK(po_search_is_limited(&seen, 0.8));
}

/* A pool far too large that a pooler opens bit by bit, at a bad moment of the machine. */
static void
test_large_start(void)
{
	PoSearch	search;
	PoSearchSeen seen;
	int			n = 54;

	po_search_reset(&search);
	for (int i = 0; i < 40; i++)
	{
		look(&workloads[0], n, 0, &seen);
		seen.rate *= i < 4 ? 0.94 : 1;
		n = i < 4 ? 54 : i < 8 ? 64 : po_search_step(&search, &seen);
		if (i < 8)
			po_search_step(&search, &seen);
	}
	CHECK_WITH(n <= 6 && search.phase == PO_SEARCH_SETTLED, "%d", n);
}

/* One that is opened by one more each time is not waited for until it has them all. */
static void
test_opens_one_by_one(void)
{
	PoSearch	search;
	PoSearchSeen seen;
	int			next = 40;

	po_search_reset(&search);
	for (int n = 40; n < 46; n++)
	{
		CHECK_WITH(next >= 40, "%d", next);
		look(&workloads[0], n, 0, &seen);
		next = po_search_step(&search, &seen);
		if (next < 40)
			break;
	}
	CHECK_WITH(next < 40 && search.n_points == 1, "%d, %d", next, search.n_points);
}

/* Looks at a pool of 20 until the search asks for another size, and says which. */
static int
ask_for_another(PoSearch *search)
{
	int			next = 20;

	po_search_reset(search);
	for (int e = 0; e < 10 && next == 20; e++)
	{
		PoSearchSeen seen;

		look(&workloads[0], 20, 0, &seen);
		next = po_search_step(search, &seen);
		CHECK(!po_search_arrives(search, 20));
	}
	CHECK(next != 20);
	return next;
}

/* Reports that take half a minute: a few in each evaluation, but their pool grows, too. */
static void
test_few_transactions(void)
{
	const Workload reports = {"reports", 500, 29500, 0, 0, 40};
	PoSearch	search;
	PoSearchSeen seen;
	int			next = 4;
	int			evaluations = 0;

	po_search_reset(&search);
	for (; search.phase != PO_SEARCH_SETTLED && evaluations < 120; evaluations++)
	{
		look(&reports, next, 0, &seen);
		seen.transactions = seen.rate * 60;
		CHECK(evaluations > 0 || seen.transactions < 10);
		next = po_search_step(&search, &seen);
		CHECK(next > 0);
	}
	CHECK(search.phase == PO_SEARCH_SETTLED && evaluations < 60);
	CHECK(throughput(&reports, next) >= 0.95 * throughput(&reports, 40));

	/* A night in which one session does next to nothing is not what the size does. */
	seen.rate = seen.transactions = seen.busy = 0;
	seen.saturated = false;
	for (int e = 0; e < 2; e++)
		CHECK_INT(po_search_step(&search, &seen), next);
	CHECK_INT(search.few.n, 0);
	look(&reports, next, 0, &seen);
	for (int e = 0; e < 30; e++)
		CHECK_INT(po_search_step(&search, &seen), next);

	/* One connection, which has to be opened again or is late now and then: they are enough. */
	po_search_reset(&search);
	for (int e = 0; e < 10; e++)
	{
		look(&reports, 1, 0, &seen);
		seen.transactions = seen.rate * 60;
		seen.busy = 0.95;
		next = po_search_step(&search, &seen);
	}
	for (int e = 10; next == 1 && e < 30; e++)
		next = po_search_step(&search, &seen);
	CHECK_WITH(next > 1, "%d", next);

	/* Never any at all: nothing is asked for but the size that is there. */
	po_search_reset(&search);
	look(&reports, 4, 0, &seen);
	seen.rate = seen.transactions = 0;
	for (int e = 0; e < 100; e++)
		CHECK_INT(po_search_step(&search, &seen), 4);
}

/* A size that has come before the evaluation that takes it in counts at once. */
static void
test_arrival(void)
{
	PoSearch	search;
	PoSearchSeen seen;
	int			next;

	po_search_reset(&search);
	CHECK(!po_search_arrives(&search, 0) && !po_search_arrives(&search, 20));
	next = ask_for_another(&search);
	CHECK(!po_search_arrives(&search, next + 1));
	CHECK(po_search_arrives(&search, next) && !po_search_arrives(&search, next));
	look(&workloads[0], next, 0, &seen);
	po_search_step(&search, &seen);
	CHECK_INT(search.n_points, 2);

	/* It only passes by, again and again: what the evaluation then sees does not count. */
	next = ask_for_another(&search);
	for (int i = 0; i < 5; i++)
	{
		CHECK_INT(po_search_arrives(&search, next), i < 3);
		CHECK(!po_search_arrives(&search, 0) && !po_search_arrives(&search, 20));
	}
	look(&workloads[0], next, 0, &seen);
	po_search_step(&search, &seen);
	CHECK_INT(search.n_points, 1);

	/* Nobody sets it: it is not waited for any more. */
	look(&workloads[0], 20, 0, &seen);
	po_search_reset(&search);
	for (int e = 0; e < 10; e++)
		next = po_search_step(&search, &seen);
	CHECK(next != 20 && search.asked == next && !po_search_arrives(&search, next));
}

/* In one evaluation of a search half of the load stays away. */
static void
test_pause_meanwhile(void)
{
	int			good = 0;
	int			soon = 0;
	int			runs = 0;

	for (int i = 0; i < N_WORKLOADS; i++)
	{
		for (int at = 1; at <= 25; at++)
		{
			const Workload *w = &workloads[i];
			PoSearch	search;
			PoSearchSeen seen;
			double		best;
			int			least = least_good(w, &best);
			int			n = 20;
			int			settled = 0;

			po_search_reset(&search);
			for (int e = 1; e <= 60; e++)
			{
				int			next;

				look(w, n, 0.01, &seen);
				if (e == at)
				{
					seen.rate /= 2;
					seen.transactions /= 2;
					seen.busy /= 2;
					seen.queued = 0;
					seen.target_us = 10000;
					seen.saturated = po_search_is_limited(&seen, 0.8);
				}
				next = po_search_step(&search, &seen);
				n = next > 0 ? next : n;
				if (settled == 0 && search.phase == PO_SEARCH_SETTLED)
					settled = e;
			}
			runs++;
			good += throughput(w, n) >= 0.95 * best && (n <= 1.5 * least || n <= least + 1);
			soon += settled > 0 && settled <= 35;
		}
	}
	CHECK_WITH(good >= 0.85 * runs && soon >= 0.95 * runs, "%d good and %d soon of %d", good, soon,
			   runs);
}

/* Sizes that whoever sets them makes of those asked for. */
static int
one_more(int size)
{
	return size + 1;
}

static int
five_more(int size)
{
	return size + 5;
}

static int
fours(int size)
{
	return (size + 3) / 4 * 4;
}

/*
 * Sessions besides the pool, rounding: what is set is not what was asked for.  That does not go
 * up and up, and ends all the same, but where the size asked for can never be had.
 */
static void
test_others_sizes(void)
{
	static int	(*const made[]) (int) = {one_more, five_more, fours};

	for (int m = 0; m < 3; m++)
	{
		for (int i = 0; i < N_WORKLOADS; i++)
		{
			const Workload *w = &workloads[i];
			PoSearch	search;
			PoSearchSeen seen;
			double		best = 0;
			double		settled = 0;
			int			n = 20;

			for (int k = 1; k <= 2 * w->clients; k++)
				best = fmax(best, throughput(w, made[m] (k)));
			po_search_reset(&search);
			for (int e = 0; e < 200; e++)
			{
				int			next;

				look(w, n, 0.01, &seen);
				next = po_search_step(&search, &seen);
				if (next > 0)
					n = made[m] (next);
				CHECK_WITH(n <= 2 * w->clients + 5, "%s: %d", w->name, n);
				if (e >= 100)
					settled += search.phase == PO_SEARCH_SETTLED;
			}
			CHECK_WITH(made[m] == fours || settled >= 80, "%s, map %d: settled in %.0f of 100",
					   w->name, m, settled);
			CHECK_WITH(made[m] != one_more || throughput(w, n) >= 0.9 * best,
					   "%s, map %d: %d, %.3f", w->name, m, n, throughput(w, n) / best);
		}
	}
}

/* At the moment that decides nobody waits: not for good. */
static void
test_bad_moment(void)
{
	PoSearch	search;
	PoSearchSeen seen;
	int			next = 0;

	po_search_reset(&search);
	for (int e = 0; e < 20; e++)
	{
		look(&workloads[3], 12, 0.01, &seen);
		seen.highest = 14;
		if (e == 1)
		{
			seen.busy = 11;
			seen.saturated = false;
		}
		next = po_search_step(&search, &seen);
	}
	CHECK_INT(search.phase, PO_SEARCH_TRYING);
	CHECK_INT(next, 14);
}

/* So many transactions a second arrive, whatever the pool. */
static void
look_open(const Workload *w, int n, double offered, PoSearchSeen *seen)
{
	double		part;

	look(w, n, 0, seen);
	part = offered / seen->rate;
	seen->target_us = 10000;
	seen->queued = part < 0.99 ? fmin(pow(part, n) / (1 - part), w->clients) : w->clients - n;
	if (part < 1)
	{
		seen->rate *= part;
		seen->transactions = seen->rate;
		seen->busy *= part;
	}
	seen->waiting = (int) seen->queued;
	seen->saturated = po_search_is_limited(seen, 0.8);
}

/*
 * It was found when the pool just about did, as searches begin when a morning's load reaches
 * that.  Then more come.
 */
static void
test_load_grows(bool unseen)
{
	for (int percent = 70; percent <= 110; percent += 2)
	{
		const Workload *w = &workloads[3];
		PoSearch	search;
		PoSearchSeen seen;
		int			n = 20;
		int			moves = 0;

		po_search_reset(&search);
		for (int e = 0; e < 240; e++)
		{
			double		offered = throughput(w, 20) * (e < 60 ? percent / 100.0 : 2);
			int			next;

			look_open(w, n, offered, &seen);
			if (unseen)
			{
				seen.queued = -1;
				seen.demand = seen.waiting = 0;
				seen.saturated = po_search_is_limited(&seen, 0.8);
			}
			next = po_search_step(&search, &seen);
			moves += e >= 200 && next > 0 && next != n;
			n = next > 0 ? next : seen.saturated ? n + 5 : n;
		}
		CHECK_WITH(seen.rate >= 0.95 * 2 * throughput(w, 20), "%d %%, %s: %d, %.0f/s of %.0f",
				   percent, unseen ? "unseen" : "seen", n, seen.rate, 2 * throughput(w, 20));
		CHECK_WITH(moves <= 2, "%d %%, %s: %d moves", percent, unseen ? "unseen" : "seen", moves);
	}
}

/*
 * Arrivals that do not depend on the pool: it has room, so queueing theory makes it tight,
 * and then clients wait now and then.  That alone starts no search, and none goes below
 * those who are at work.
 */
static void
test_open(void)
{
	PoSearch	search;
	PoSearchSeen seen;
	int			least = 100;

	po_search_reset(&search);
	look(&workloads[7], 8, 0, &seen);
	po_search_step(&search, &seen);
	CHECK_INT(search.phase, PO_SEARCH_TRYING);
	seen.busy = 2;
	seen.saturated = false;
	for (int i = 0; i < 3; i++)
		po_search_step(&search, &seen);
	CHECK_INT(search.phase, PO_SEARCH_NONE);

	seen.size = 4;
	seen.busy = 2.4;
	for (int i = 0; i < 12; i++)
	{
		seen.saturated = i % 3 > 0;
		CHECK_INT(po_search_step(&search, &seen), 0);
		CHECK(po_search_is_unsure(&search) == seen.saturated);
	}
	for (int i = 0; i < 60; i++)
	{
		int			next;

		seen.busy = fmin(seen.size, 2.4);
		seen.rate = 40 * fmin(seen.size / 2.4, 1) * (1 + 0.05 * gauss());
		seen.transactions = 40;
		seen.saturated = i < 3 || seen.size < 3;
		next = po_search_step(&search, &seen);
		if (next > 0)
			seen.size = next;
		least = seen.size < least ? seen.size : least;
	}
	CHECK_WITH(least >= 3, "went down to %d", least);
}

/* The most of what is counted, at once. */
static void
test_huge(void)
{
	PoSearch	search;
	PoSearchSeen seen;

	po_search_reset(&search);
	look(&workloads[0], 20, 0, &seen);
	seen.size = seen.cores = seen.highest = INT_MAX;
	CHECK_NEAR(po_search_knee(&seen), 262143, 0);
	CHECK(po_search_step(&search, &seen) <= 262143);
}

/* However much rates vary, and however small they are, the best of them is one. */
static void
test_erratic(void)
{
	PoSearch	search;
	PoSearchSeen seen;

	for (int round = 0; round < 200; round++)
	{
		double		scale = pow(10, random_below(600) - 320.0);

		po_search_reset(&search);
		look(&workloads[0], 4, 0, &seen);
		for (int i = 0; i < 60; i++)
		{
			seen.size = 4 * (1 + i / 3 % 4);
			seen.rate = random_below(20) == 0 ? scale : 0;
			(void) po_search_step(&search, &seen);
			CHECK_WITH(isfinite(po_search_best(&search)) && po_search_best(&search) >= 0, "%g",
					   po_search_best(&search));
		}
	}
}

/* Whatever comes in, sizes are within bounds and nothing is NaN. */
static void
test_nonsense(void)
{
	for (int i = 0; i < 20000; i++)
	{
		PoSearch	search;
		PoSearchSeen seen;

		po_search_reset(&search);
		for (int k = 0; k < 20; k++)
		{
			int			next;

			memset(&seen, 0, sizeof(seen));
			seen.size = random_below(10) == 0 ? random_odd_int() : random_below(100) - 10;
			seen.saturated = random_below(4) > 0;
			seen.rate = random_odd_double();
			seen.transactions = random_odd_double();
			seen.busy = random_odd_double();
			for (int w = 0; w < PO_N_WAITS; w++)
				seen.share[w] = random_odd_double();
			seen.demand = random_below(300) - 100;
			seen.waiting = random_below(30) - 10;
			seen.queued = random_odd_double();
			seen.target_us = random_odd_double();
			seen.cores = random_below(10) == 0 ? random_odd_int() : random_below(10) - 2;
			seen.lowest = random_below(20) - 5;
			seen.highest = random_below(200) - 50;
			next = po_search_step(&search, &seen);
			CHECK(next == 0 || (next >= 1 && next >= seen.lowest &&
								(next <= seen.highest || next <= seen.lowest ||
								 seen.highest < 1)));
			CHECK(search.n_points >= 0 && search.n_points <= PO_SEARCH_POINTS);
			CHECK(isfinite(po_search_best(&search)) && isfinite(po_search_knee(&seen)));
			for (int p = 1; p < search.n_points; p++)
				CHECK(search.point[p - 1].size < search.point[p].size);
		}
	}
}

int
main(void)
{
	static const Goal goals[] = {
		{0, 1, 0.95, 1.5},
		{0.02, 0.97, 0.92, 1.5},
		{0.05, 0.9, 0.9, 1.6}
	};

	for (int i = 0; i < 3; i++)
		test_finds_the_knee(&goals[i]);
	test_step();
	test_few_more_clients();
	test_not_limited();
	test_clients_arrive();
	test_cut_by_others();
	test_cut_twice();
	test_cut_and_let_go();
	test_machine_speed();
	test_neighbours();
	test_steady_machine();
	test_failure_meanwhile();
	test_stall_meanwhile();
	test_looks_again();
	test_slow_change();
	test_looks_again_in_vain();
	test_cut_by_policy();
	test_cut_before_sure();
	test_equal_pools();
	test_waiting();
	test_unhindered();
	test_idle_clients();
	test_unhindered_monotone();
	test_busy_but_enough();
	test_crowded_though_unhindered();
	test_large_start();
	test_opens_one_by_one();
	test_arrival();
	test_few_transactions();
	test_pause_meanwhile();
	test_others_sizes();
	test_bad_moment();
	test_load_grows(false);
	test_load_grows(true);
	test_open();
	test_huge();
	test_erratic();
	test_nonsense();
	return check_end("test_search");
}
