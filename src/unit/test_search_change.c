/*
 * test_search_change.c
 *		The search while demand, workload or bounds change under it, and curves whose best size
 *		hides between those that are tried first.
 *
 * The clients are a closed system whose queue a pooler tells.
 */
#include "check.h"
#include "model/po_search.h"

#define CORES		2
#define TARGET_US	10000.0
#define ANY			1000		/* size is allowed */

/* A pool of n, with so many clients who all want a connection. */
typedef struct Load
{
	double		(*rate) (int n);	/* transactions/s of n that are at work */
	double		cpu_ms;			/* of each transaction, */
	double		io_ms;			/* and what else it takes but waiting for its like */
	double		client_ms;
	int			clients;
	int			highest;		/* size allowed */
} Load;

/* ---------- curves ---------- */

static double
off_cpu(int n)
{
	return n / 0.00505;
}

static double
disk_of_12(int n)
{
	return 200 * fmin(n, 12);
}

/* A convoy beyond four. */
static double
convoy(int n)
{
	static const struct
	{
		int			size;
		double		rate;
	}			at[] = {{0, 0}, {4, 4000}, {5, 2800}, {8, 2400}, {20, 2000}, {64, 1600}, {1000, 1000}};
	int			i = 1;

	while (at[i].size < n)
		i++;
	return at[i - 1].rate + (at[i].rate - at[i - 1].rate) * (n - at[i - 1].size) /
		(at[i].size - at[i - 1].size);
}

static double
think_20(int n)
{
	return fmin(n / 0.0204, CORES / 0.0004);
}

static double
think_5(int n)
{
	return fmin(n / 0.0054, CORES / 0.0004);
}

/* ---------- following ---------- */

static void
look(const Load *l, int n, double noise, PoSearchSeen *seen)
{
	int			busy = n < l->clients ? n : l->clients;
	double		each;

	memset(seen, 0, sizeof(*seen));
	seen->size = n;
	seen->busy = busy;
	seen->demand = l->clients;
	seen->queued = l->clients - busy;
	seen->waiting = l->clients - busy;
	seen->target_us = TARGET_US;
	seen->cores = CORES;
	seen->lowest = 1;
	seen->highest = l->highest;
	if (busy == 0)
		return;
	seen->rate = l->rate(busy) * (1 + noise * (2 * random_unit() - 1));
	seen->transactions = 60 * seen->rate;
	each = seen->rate / 1000 / busy;
	seen->share[PO_WAIT_CPU] = fmin(each * l->cpu_ms, 1);
	seen->share[PO_WAIT_IO] = fmin(each * l->io_ms, 1 - seen->share[PO_WAIT_CPU]);
	seen->share[PO_WAIT_CLIENT] = fmin(each * l->client_ms, 1 - seen->share[PO_WAIT_CPU] -
									   seen->share[PO_WAIT_IO]);
	/* What is left waits for the same. */
	seen->share[l->rate == convoy ? PO_WAIT_LOCK : l->io_ms > 0 ? PO_WAIT_IO : PO_WAIT_CPU] +=
		1 - seen->share[PO_WAIT_CPU] - seen->share[PO_WAIT_IO] - seen->share[PO_WAIT_CLIENT];
	seen->saturated = po_search_is_limited(seen, 0.8);
}

/* What it wants is there before the next evaluation, which then is of that alone. */
static int
step(PoSearch *s, const PoSearchSeen *seen)
{
	int			next = po_search_step(s, seen);

	if (next <= 0)
		return seen->size;
	if (s->awaited > 0)
		(void) po_search_arrives(s, next);
	return next;
}

/* Follows it for so many evaluations; the size at the end. */
static int
follow(PoSearch *s, const Load *l, int n, double noise, int evaluations)
{
	for (int i = 0; i < evaluations; i++)
	{
		PoSearchSeen seen;

		look(l, n, noise, &seen);
		n = step(s, &seen);
	}
	return n;
}

/* Follows it until it has settled. */
static int
settle(PoSearch *s, const Load *l, int n)
{
	for (int i = 0; i < 60 && s->phase != PO_SEARCH_SETTLED; i++)
		n = follow(s, l, n, 0, 1);
	CHECK_INT(s->phase, PO_SEARCH_SETTLED);
	return n;
}

/* ---------- a client more every other evaluation ---------- */

static void
test_ramp(double noise)
{
	Load		l = {off_cpu, 0.05, 0, 5, 10, ANY};
	PoSearch	s;
	int			n = 10;

	po_search_reset(&s);
	for (int i = 0; i < 72; i++)
	{
		l.clients = 10 + i / 2;
		n = follow(&s, &l, n, noise, 1);
	}
	n = follow(&s, &l, n, noise, 30);
	CHECK_WITH(n >= 0.95 * l.clients, "noise %g: %d of %d", noise, n, l.clients);
}

/* ---------- the best is below the first that is good, or between two ---------- */

static void
test_disk(void)
{
	static const int from[][2] = {{20, 36}, {30, 50}, {64, 100}, {20, 64}, {64, 64}, {20, 20}};

	for (int i = 0; i < 6; i++)
	{
		Load		l = {disk_of_12, 0.1, 4.9, 0, from[i][1], ANY};
		PoSearch	s;
		int			n;

		po_search_reset(&s);
		n = follow(&s, &l, from[i][0], 0, 40);
		CHECK_WITH(n >= 12 && n <= 18, "from %d with %d clients: %d", from[i][0], l.clients, n);
	}
}

static void
test_convoy(void)
{
	static const int from[] = {3, 20, 64};

	for (int i = 0; i < 3; i++)
	{
		Load		l = {convoy, 0.4, 0, 0.6, 64, ANY};
		PoSearch	s;
		int			n;

		po_search_reset(&s);
		n = follow(&s, &l, from[i], 0, 40);
		CHECK_WITH(n == 4, "from %d: %d", from[i], n);
	}
}

/* ---------- another workload in the middle of the search ---------- */

static void
test_step_meanwhile(int clients, int from)
{
	for (int at = 3; at <= 20; at++)
	{
		Load		slow = {think_20, 0.4, 0, 20, clients, ANY};
		Load		fast = {think_5, 0.4, 0, 5, clients, ANY};
		PoSearch	s;
		int			n;

		po_search_reset(&s);
		n = follow(&s, &slow, from, 0, at);
		if (s.phase == PO_SEARCH_SETTLED)
			break;
		n = follow(&s, &fast, n, 0, 35);
		CHECK_WITH(think_5(n) >= 0.95 * think_5(1000) && n <= 1.5 * 27,
				   "from %d with %d clients, 20 to 5 ms after %d: %d", from, clients, at, n);
	}
}

/*
 * The disk no longer is in the way, from an evaluation on: what larger sizes did before is hard to
 * believe then, and is measured again.  How much of the throughput of all is had in the end; -1 when
 * there was no such moment.
 */
static double
disk_relieved(int from, int at, double noise)
{
	Load		before = {disk_of_12, 0.1, 4.9, 0, 64, ANY};
	Load		after = {off_cpu, 0.1, 4.9, 0, 64, ANY};
	PoSearch	s;
	int			n;

	po_search_reset(&s);
	n = follow(&s, &before, from, noise, at);
	/* Those that it served at once do as before, and nothing shows. */
	if (s.phase == PO_SEARCH_SETTLED || n <= 13)
		return -1;
	n = follow(&s, &after, n, noise, 35);
	return off_cpu(n) / off_cpu(64);
}

static void
test_disk_relieved(double noise, int runs, double share)
{
	int			n = 0;
	int			good = 0;

	for (int i = 0; i < runs; i++)
	{
		for (int at = 3; at <= 12; at++)
		{
			for (int from = 20; from <= 64; from += 44)
			{
				double		had = disk_relieved(from, at, noise);

				n += had >= 0;
				good += had >= 0.95;
			}
		}
	}
	CHECK_WITH(n > 5 * runs && good >= share * n, "noise %g: %d of %d", noise, good, n);
}

/*
 * The smaller one was measured before clients became faster, and the one asked for cannot come:
 * that is no reason to believe the one that there is.
 */
static void
test_faster_and_cannot_come(void)
{
	Load		before = {off_cpu, 0.05, 0, 5, 64, ANY};
	PoSearch	s;
	int			n;

	po_search_reset(&s);
	n = follow(&s, &before, 20, 0, 2);
	for (int i = 0; i < 40; i++)
	{
		PoSearchSeen seen;

		look(&before, n, 0, &seen);
		seen.rate = fmin(n, 2) * 7000;
		seen.transactions = 60 * seen.rate;
		memset(seen.share, 0, sizeof(seen.share));
		seen.share[PO_WAIT_CPU] = 1;
		seen.followed = true;
		seen.saturated = po_search_is_limited(&seen, 0.8);
		n = po_search_step(&s, &seen);
		n = n > 46 ? 46 : n;	/* as the others are on their way */
	}
	CHECK_WITH(n >= 2 && n <= 3, "%d", n);
}

/* ---------- transactions that fail ---------- */

/* Somebody locks a table for an hour: all that is done ends by a timeout. */
static void
test_outage(void)
{
	Load		l = {disk_of_12, 0.1, 4.9, 0, 64, ANY};
	PoSearch	s;
	int			n;
	int			settled;

	po_search_reset(&s);
	settled = n = follow(&s, &l, 20, 0, 60);
	for (int i = 0; i < 60; i++)
	{
		PoSearchSeen seen;

		look(&l, n, 0, &seen);
		seen.rate = 0;
		seen.served = 4;
		seen.transactions = 240;
		memset(seen.share, 0, sizeof(seen.share));
		seen.share[PO_WAIT_LOCK] = 1;
		n = po_search_step(&s, &seen);
	}
	CHECK_INT(n, settled);
	n = follow(&s, &l, n, 0, 30);
	CHECK_INT(n, settled);
}

/* A transaction that fails gives its connection back like any other: who waits, waits less. */
static void
test_waits_of_all(void)
{
	Load		l = {off_cpu, 0.05, 0, 5, 100, ANY};
	PoSearchSeen seen;

	look(&l, 20, 0, &seen);
	seen.busy = 16;
	seen.queued = 1.5;
	seen.waiting = 1;
	seen.rate = 100;
	CHECK(!po_search_is_unhindered(&seen));
	seen.served = 200;
	CHECK(po_search_is_unhindered(&seen));
	CHECK(!po_search_is_limited(&seen, 0.8));
}

/* ---------- open arrivals ---------- */

/* Near what the pool can do its queue is long at times, and short at others. */
static void
test_restless_queue(void)
{
	static const double queued[] = {4, 6, 5, 7, 9, 12, 8, 5, 4, 16, 18, 15, 9, 6, 14, 17, 19, 16, 8};
	Load		l = {disk_of_12, 0.1, 4.9, 0, 64, ANY};
	PoSearch	s;
	PoSearchSeen seen;
	int			n;
	int			settled;

	po_search_reset(&s);
	settled = n = follow(&s, &l, 20, 0, 40);
	CHECK_INT(s.phase, PO_SEARCH_SETTLED);
	s.queues = 0;				/* as it has settled just now */
	s.queue = 0;
	for (int i = 0; i < (int) (sizeof(queued) / sizeof(queued[0])); i++)
	{
		look(&l, n, 0, &seen);
		seen.queued = queued[i];
		n = po_search_step(&s, &seen);
		CHECK_WITH(n == settled && s.phase == PO_SEARCH_SETTLED, "%d: %d", i, n);
	}
	for (int i = 0; i < 4; i++)
	{
		look(&l, n, 0, &seen);
		seen.queued = 60;
		(void) po_search_step(&s, &seen);
	}
	CHECK_INT(s.phase, PO_SEARCH_TRYING);
}

/* ---------- bursts ---------- */

/* A pause of ten evaluations is no reason to try all sizes again after each. */
static void
test_bursts(void)
{
	Load		l = {disk_of_12, 0.1, 4.9, 0, 60, ANY};
	Load		none = {disk_of_12, 0.1, 4.9, 0, 0, ANY};
	PoSearch	s;
	int			n;
	int			settled;

	po_search_reset(&s);
	settled = n = follow(&s, &l, 20, 0, 40);
	CHECK_WITH(settled >= 12 && settled <= 18, "%d", settled);
	for (int cycle = 0; cycle < 10; cycle++)
	{
		/* What queueing theory may say meanwhile. */
		(void) follow(&s, &none, n, 0, 10);
		CHECK_INT(s.phase, PO_SEARCH_NONE);
		n = follow(&s, &l, 8, 0, 4);
		CHECK_WITH(n == settled, "cycle %d: %d", cycle, n);
		n = follow(&s, &l, n, 0, 6);
		CHECK_WITH(n == settled && s.phase == PO_SEARCH_SETTLED, "cycle %d: %d", cycle, n);
	}
	/* What comes after a pause may be something else. */
	(void) follow(&s, &none, n, 0, 10);
	l = (Load) {off_cpu, 0.05, 0, 5, 60, ANY};
	n = follow(&s, &l, 8, 0, 30);
	CHECK_WITH(n >= 57, "%d", n);
}

/* Ones as short as three evaluations are all that there is: what they need is tried in them. */
static void
test_short_bursts(int on, int off)
{
	Load		l = {think_20, 0.4, 0, 20, 64, ANY};
	Load		none = {think_20, 0.4, 0, 20, 0, ANY};
	PoSearch	s;
	int			n = 20;

	po_search_reset(&s);
	(void) follow(&s, &l, n, 0, 1);
	(void) follow(&s, &none, n, 0, off);
	for (int cycle = 0; cycle < 20; cycle++)
	{
		n = follow(&s, &l, n, 0, on);
		n = follow(&s, &none, n, 0, off);
	}
	n = follow(&s, &l, n, 0, on);
	CHECK_WITH(think_20(n) >= 0.95 * think_20(64), "%d of %d: %d", on, on + off, n);
}

/* What was measured in a stall is looked at again, though no burst lasts until then. */
static void
test_wrong_in_bursts(void)
{
	Load		l = {think_20, 0.4, 0, 20, 64, ANY};
	Load		none = {think_20, 0.4, 0, 20, 0, ANY};
	PoSearch	s;
	int			n = 20;
	int			stalled = 0;

	po_search_reset(&s);
	for (int i = 0; i < 40 && s.phase != PO_SEARCH_SETTLED; i++)
	{
		PoSearchSeen seen;

		look(&l, n, 0, &seen);
		if (n == 64 && stalled++ < 8)
		{
			seen.rate *= 0.1;
			seen.transactions *= 0.1;
		}
		n = step(&s, &seen);
	}
	CHECK_WITH(s.phase == PO_SEARCH_SETTLED && n < 57, "%d", n);
	for (int cycle = 0; cycle < 12; cycle++)
	{
		(void) follow(&s, &none, n, 0, 10);
		n = follow(&s, &l, n, 0, 20);
	}
	CHECK_WITH(think_20(n) >= 0.95 * think_20(64), "%d", n);
}

/* ---------- a peak, and then a low that does not depend on the pool ---------- */

static void
look_open(int n, PoSearchSeen *seen)
{
	Load		l = {disk_of_12, 0.1, 4.9, 0, 64, ANY};

	look(&l, n, 0, seen);
	seen->rate = 1300;
	seen->transactions = 60 * seen->rate;
	seen->busy = fmin(n, 6.5);
	seen->queued = n <= 7 ? 10.3 : 0;
	seen->waiting = n <= 7 ? 10 : 0;
	seen->idle = 64 - 6 - seen->waiting;
	seen->share[PO_WAIT_CPU] = 0.02;
	seen->share[PO_WAIT_IO] = 0.98;
	seen->saturated = po_search_is_limited(seen, 0.8);
}

static void
test_low_after_peak(void)
{
	Load		peak = {disk_of_12, 0.1, 4.9, 0, 64, ANY};
	PoSearch	s;
	int			n;
	int			moves = 0;

	po_search_reset(&s);
	n = settle(&s, &peak, 20);
	for (int i = 0; i < 150; i++)
	{
		PoSearchSeen seen;
		int			next;

		look_open(n, &seen);
		next = po_search_step(&s, &seen);
		if (next == 0)
			next = 7;			/* as queueing theory says */
		moves += i >= 60 && next != n;
		n = next;
	}
	CHECK_WITH(moves <= 2, "%d moves, at %d", moves, n);
}

/* ---------- bounds ---------- */

/* Cut by a little, soon after it has settled or later, it comes back when it may. */
static void
test_cut_by_a_little(int to, int after, int cut_for)
{
	Load		l = {off_cpu, 0.05, 0, 5, 64, ANY};
	PoSearch	s;
	int			n;

	po_search_reset(&s);
	n = settle(&s, &l, 20);
	n = follow(&s, &l, n, 0, after);
	CHECK_INT(n, 64);
	l.highest = to;
	for (int i = 0; i < cut_for; i++)
	{
		n = follow(&s, &l, n, 0, 1);
		CHECK_WITH(n == to, "cut to %d after %d: %d, phase %d", to, after, n, s.phase);
	}
	l.highest = ANY;
	n = follow(&s, &l, n, 0, 3);
	CHECK_WITH(n == 64, "cut to %d after %d, let go: %d", to, after, n);
}

/* ---------- what cannot come ---------- */

/* Twelve of all clients want something, and no pooler opens more for them. */
static void
test_cannot_come(void)
{
	PoSearch	s;
	int			n = 8;
	int			asked = 0;
	int			moves = 0;

	po_search_reset(&s);
	for (int i = 0; i < 100; i++)
	{
		PoSearchSeen seen = {0};
		int			next;

		seen.size = n;
		seen.rate = n >= 12 ? 1150 : 1000;
		seen.transactions = 60 * seen.rate;
		seen.busy = n;
		seen.share[PO_WAIT_LOCK] = 0.38;
		seen.share[PO_WAIT_CPU] = 0.3;
		seen.share[PO_WAIT_CLIENT] = 0.32;
		seen.demand = 64;
		seen.queued = seen.waiting = 12 - n;
		seen.idle = 52;
		seen.target_us = TARGET_US;
		seen.followed = true;
		seen.cores = 4;
		seen.lowest = 1;
		seen.highest = ANY;
		seen.saturated = po_search_is_limited(&seen, 0.8);
		next = po_search_step(&s, &seen);
		moves += i >= 50 && next != asked;
		asked = next;
		n = next > 12 ? 12 : next > 0 ? next : n;
	}
	CHECK_WITH(moves == 0, "%d moves, asks for %d", moves, asked);
}

/* ---------- nobody comes any more ---------- */

/* In the middle of a search: it ends, whether sessions are left or not. */
static void
test_all_go(bool sessions)
{
	Load		l = {think_20, 0.4, 0, 20, 64, ANY};
	Load		none = {think_20, 0.4, 0, 20, 0, ANY};
	PoSearch	s;
	PoSearchSeen seen;
	int			n;
	int			next = 0;

	po_search_reset(&s);
	n = follow(&s, &l, 20, 0, 5);
	CHECK_WITH(s.phase == PO_SEARCH_TRYING && s.n_points > 1, "%d points", s.n_points);
	for (int i = 0; i < 40; i++)
	{
		look(&none, sessions ? n : 0, 0, &seen);
		next = po_search_step(&s, &seen);
	}
	CHECK_INT(s.phase, PO_SEARCH_NONE);
	CHECK_INT(next, 0);
	/* A pause of some evaluations is none of that. */
	po_search_reset(&s);
	n = follow(&s, &l, 20, 0, 5);
	for (int i = 0; i < 10; i++)
	{
		look(&none, sessions ? n : 0, 0, &seen);
		(void) po_search_step(&s, &seen);
	}
	n = follow(&s, &l, n, 0, 30);
	CHECK_WITH(n >= 61, "%d", n);
}

/* ---------- noise ---------- */

/* Less and more in turn is noise; three times less is another workload. */
static void
test_both_sides(void)
{
	static const double times[] = {0.72, 1.28, 0.72, 1, 1.28, 0.72, 1.28, 0.72, 1};
	Load		l = {disk_of_12, 0.1, 4.9, 0, 64, ANY};
	PoSearch	s;
	PoSearchSeen seen;
	int			n;

	po_search_reset(&s);
	n = settle(&s, &l, 20);
	n = follow(&s, &l, n, 0, 20);
	for (int i = 0; i < 9; i++)
	{
		look(&l, n, 0, &seen);
		seen.rate *= times[i];
		CHECK_INT(po_search_step(&s, &seen), n);
		CHECK_WITH(s.phase == PO_SEARCH_SETTLED, "%d", i);
	}
	for (int i = 0; i < 3; i++)
	{
		look(&l, n, 0, &seen);
		seen.rate *= 0.72;
		(void) po_search_step(&s, &seen);
	}
	CHECK_INT(s.phase, PO_SEARCH_TRYING);
}

int
main(void)
{
	test_ramp(0);
	test_ramp(0.05);
	test_disk();
	test_convoy();
	test_step_meanwhile(200, 20);
	test_step_meanwhile(64, 2);
	test_disk_relieved(0, 1, 1);
	test_disk_relieved(0.05, 50, 0.9);
	test_disk_relieved(0.1, 50, 0.8);
	test_faster_and_cannot_come();
	test_outage();
	test_waits_of_all();
	test_restless_queue();
	test_bursts();
	test_short_bursts(3, 11);
	test_short_bursts(4, 10);
	test_short_bursts(10, 10);
	test_wrong_in_bursts();
	test_low_after_peak();
	test_cut_by_a_little(55, 2, 20);
	test_cut_by_a_little(55, 15, 20);
	test_cut_by_a_little(43, 2, 20);
	test_cut_by_a_little(43, 15, 40);
	test_cannot_come();
	test_all_go(true);
	test_all_go(false);
	test_both_sides();
	return check_end("test_search_change");
}
