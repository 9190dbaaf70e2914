/*
 * test_curve.c
 *		The predicted curve: known laws are found again from points, measured points are
 *		met, and for any input it is finite and monotone where it must be.
 */
#include <stdlib.h>

#include "check.h"
#include "model/po_curve.h"
#include "model/po_queueing.h"

/* ---------- inputs ---------- */

/* busy sessions and the parts of their time; the rate follows by Little's law. */
static void
set_input(PoSizingInput *in, double service_us, int busy, double cpu, double lock, int cores)
{
	memset(in, 0, sizeof(*in));
	in->busy = (PoBusy) {busy, busy, busy, busy};
	in->service_us = service_us;
	in->arrival_rate = busy / service_us * PO_US_PER_S;
	in->service_cv2 = in->arrival_cv2 = 1;
	in->wait_share[PO_WAIT_CPU] = cpu;
	in->wait_share[PO_WAIT_LOCK] = lock;
	in->wait_share[PO_WAIT_CLIENT] = 1 - cpu - lock;
	in->cores = cores;
}

static void
add_point(PoSearch *s, int size, double rate)
{
	PoSearchPoint *p = &s->point[s->n_points++];

	s->phase = PO_SEARCH_TRYING;
	p->size = size;
	p->n = 3;
	p->mean = rate;
}

static double
usl(double n, double lambda, double sigma, double kappa)
{
	return lambda * n / (1 + sigma * (n - 1) + kappa * n * (n - 1));
}

static double
throughput(const PoCurve *c, int size)
{
	PoCurvePoint p;

	po_curve_at(c, size, &p);
	return p.throughput;
}

/* ---------- the pool is not the limit ---------- */

static void
test_open(void)
{
	PoSizingInput in;
	PoCurve		c;
	PoCurvePoint p;

	set_input(&in, 10000, 4, 0.5, 0, 8);
	in.busy.max = in.peak_busy = 0;
	po_curve_fit(&in, 0, NULL, 0, &c);
	CHECK_INT(c.kind, PO_CURVE_OPEN);
	po_curve_at(&c, 8, &p);
	CHECK_NEAR(p.utilization, 0.5, 1e-9);
	CHECK_NEAR(p.throughput, 400, 1e-6);
	CHECK(p.wait_known);
	CHECK_NEAR(p.wait_us, po_queueing_mean_wait(8, 4, 10000, 1, 1), 1e-6);
	po_curve_at(&c, 4, &p);
	CHECK_NEAR(p.utilization, 1, 1e-9);
	CHECK_NEAR(p.wait_us, INFINITY, 0);
	po_curve_at(&c, 2, &p);
	CHECK_NEAR(p.throughput, 200, 1e-6);

	/* The wait is that of bursts, as the recommendation has it. */
	po_curve_fit(&in, 6, NULL, 0, &c);
	po_curve_at(&c, 8, &p);
	CHECK_NEAR(p.wait_us, po_queueing_mean_wait(8, 6, 10000, 1, 1), 1e-6);
	CHECK_NEAR(p.utilization, 0.5, 1e-9);
}

/* Four workers, of which three are busy on average: with four connections none of them waits. */
static void
test_open_and_few(void)
{
	PoSizingInput in;
	PoPolicyFields policy;
	PoRecommendation r;
	PoCurve		c;
	PoCurvePoint p;
	double		before = INFINITY;

	po_policy_defaults(&policy);
	set_input(&in, 30e6, 3, 0.5, 0, 8);
	in.service_cv2 = 2;
	in.busy.max = in.busy.p95 = in.busy.p50 = in.peak_busy = 4;
	in.sessions = 10;
	in.transactions = 1000;
	in.observed_us = 3600 * PO_US_PER_S;
	po_recommend_size(&in, &policy, &r);
	CHECK_INT(r.size, 4);
	po_curve_fit(&in, r.load, NULL, 0, &c);
	for (int size = 1; size <= 10; size++)
	{
		po_curve_at(&c, size, &p);
		CHECK(p.wait_us <= before && isfinite(p.wait_us));
		before = p.wait_us;
		if (size == r.size)
			CHECK_NEAR(p.wait_us, r.predicted_wait_us, 1);
	}
	po_curve_at(&c, 3, &p);
	CHECK_NEAR(p.wait_us, 10e6, 1);
}

static void
test_nothing_known(void)
{
	PoSizingInput in;
	PoSearch	search;
	PoCurve		c;
	PoCurvePoint p;

	memset(&in, 0, sizeof(in));
	memset(&search, 0, sizeof(search));
	search.phase = PO_SEARCH_TRYING;
	for (int i = 0; i < 2; i++)
	{
		po_curve_fit(&in, 0, i == 0 ? NULL : &search, 0, &c);
		CHECK_INT(c.kind, PO_CURVE_NONE);
		po_curve_at(&c, 5, &p);
		CHECK(p.throughput == 0 && p.utilization == 0 && p.wait_us == 0 && p.wait_known);
	}
}

/* ---------- the pool is the limit ---------- */

/* Half of 10 ms on the CPU, of which there are 4: up to 8 sessions, 800/s. */
static void
test_bounds(void)
{
	PoSizingInput in;
	PoSearch	search;
	PoCurve		c;
	PoCurvePoint p;

	set_input(&in, 10000, 4, 0.5, 0, 4);
	memset(&search, 0, sizeof(search));
	search.phase = PO_SEARCH_TRYING;
	po_curve_fit(&in, 0, &search, 0, &c);
	CHECK_INT(c.kind, PO_CURVE_BOUNDS);
	CHECK_NEAR(throughput(&c, 1), 100, 1e-6);
	CHECK_NEAR(throughput(&c, 8), 800, 1e-6);
	CHECK_NEAR(throughput(&c, 100), 800, 1e-6);
	po_curve_at(&c, 3, &p);
	CHECK_NEAR(p.utilization, 1, 0);
	CHECK(!p.wait_known);

	/* Known clients: no more of them than there are, and who has no session waits. */
	po_curve_fit(&in, 0, &search, 6, &c);
	po_curve_at(&c, 12, &p);
	CHECK_NEAR(p.throughput, 600, 1e-6);
	CHECK_NEAR(p.utilization, 0.5, 1e-9);
	CHECK(p.wait_known && p.wait_us == 0);
	po_curve_at(&c, 2, &p);
	CHECK(p.wait_known);
	CHECK_NEAR(p.wait_us, 4 / 200.0 * PO_US_PER_S, 1e-3);

	/* One point: through it. */
	add_point(&search, 4, 360);
	po_curve_fit(&in, 0, &search, 0, &c);
	CHECK_INT(c.kind, PO_CURVE_BOUNDS);
	CHECK_NEAR(throughput(&c, 4), 360, 1e-6);
	CHECK_NEAR(throughput(&c, 100), 720, 1e-6);

	/* More on the CPU than there are cores: what is beyond them queues. */
	set_input(&in, 40000, 16, 1, 0, 4);
	memset(&search, 0, sizeof(search));
	search.phase = PO_SEARCH_TRYING;
	po_curve_fit(&in, 0, &search, 0, &c);
	CHECK_NEAR(throughput(&c, 1), 100, 1e-6);
	CHECK_NEAR(throughput(&c, 16), 400, 1e-6);
}

static void
test_usl_found_again(void)
{
	static const int sizes[] = {2, 4, 8, 16, 32};

	for (int round = 0; round < 200; round++)
	{
		PoSizingInput in;
		PoSearch	search;
		PoCurve		c;
		double		lambda = 1 + random_unit() * 1000;
		double		sigma = random_unit() * 0.5;
		double		kappa = random_unit() * 0.01;

		memset(&search, 0, sizeof(search));
		for (int i = 0; i < 5; i++)
			add_point(&search, sizes[i], usl(sizes[i], lambda, sigma, kappa));
		set_input(&in, PO_US_PER_S / lambda, 8, 0, 0.5, 64);
		po_curve_fit(&in, 0, &search, 0, &c);
		CHECK_INT(c.kind, PO_CURVE_FITTED);
		for (int n = 1; n <= 64; n++)
		{
			double		want = usl(n, lambda, sigma, kappa);

			CHECK_WITH(fabs(throughput(&c, n) - want) <= 1e-6 * want,
					   "n %d: %g, not %g", n, throughput(&c, n), want);
		}
	}
}

static void
test_knee_found_again(void)
{
	static const int sizes[] = {2, 4, 6, 12, 24, 48};

	for (int knee = 1; knee <= 60; knee++)
	{
		PoSizingInput in;
		PoSearch	search;
		PoCurve		c;

		memset(&search, 0, sizeof(search));
		for (int i = 0; i < 6; i++)
			add_point(&search, sizes[i], 50 * fmin(sizes[i], knee));
		set_input(&in, 20000, 4, 0.1, 0, 64);
		po_curve_fit(&in, 0, &search, 0, &c);
		for (int i = 0; i < 6; i++)
			CHECK_WITH(fabs(throughput(&c, sizes[i]) / search.point[i].mean - 1) < 1e-6,
					   "knee %d, size %d: %g", knee, sizes[i], throughput(&c, sizes[i]));
	}
}

/* Bounds that are above the points hold beyond them; measured ones do not give way. */
static void
test_bounded(void)
{
	PoSizingInput in;
	PoSearch	search;
	PoCurve		c;

	memset(&search, 0, sizeof(search));
	for (int n = 1; n <= 3; n++)
		add_point(&search, n, 100 * n);
	set_input(&in, 10000, 3, 0.5, 0, 4);
	po_curve_fit(&in, 0, &search, 0, &c);
	CHECK_NEAR(throughput(&c, 3), 300, 1e-6);
	CHECK_NEAR(throughput(&c, 50), 800, 1e-6);
	set_input(&in, 10000, 3, 1, 0, 2);	/* says 300/s at most */
	po_curve_fit(&in, 0, &search, 0, &c);
	CHECK_NEAR(throughput(&c, 2), 200, 1e-6);
	CHECK_NEAR(throughput(&c, 3), 300, 1e-6);
}

/* As measuring is: a closed network of a queue for CPUs and thinking, with noise. */
static double
closed_network(int n, double cpu, double think, int cores)
{
	double		queue = 0;
	double		rate = 0;

	/* Mean value analysis; several CPUs as one fast one and a delay (Seidmann 1987). */
	for (int k = 1; k <= n; k++)
	{
		double		r = cpu / cores * (1 + queue) + cpu * (cores - 1) / cores;

		rate = k / (r + think);
		queue = rate * cpu / cores * (1 + queue);
	}
	return rate;
}

static void
test_meets_measured(void)
{
	static const int sizes[] = {2, 3, 5, 8, 12, 18, 27, 40};

	for (int round = 0; round < 500; round++)
	{
		PoSizingInput in;
		PoSearch	search;
		PoCurve		c;
		double		cpu = 0.0005 + random_unit() * 0.01;
		double		think = random_unit() * 0.02;
		int			cores = 1 + random_below(8);
		double		rate;

		memset(&search, 0, sizeof(search));
		for (int i = 0; i < 8; i++)
			add_point(&search, sizes[i], closed_network(sizes[i], cpu, think, cores) *
					  (0.98 + 0.04 * random_unit()));
		rate = closed_network(8, cpu, think, cores);
		set_input(&in, 8 / rate * PO_US_PER_S, 8, 1 - rate * think / 8, 0, cores);
		po_curve_fit(&in, 0, &search, 0, &c);
		for (int i = 0; i < 8; i++)
			CHECK_WITH(fabs(throughput(&c, sizes[i]) / search.point[i].mean - 1) < 0.07,
					   "cpu %g think %g cores %d size %d: %g, measured %g", cpu, think, cores,
					   sizes[i], throughput(&c, sizes[i]), search.point[i].mean);
	}
}

/* ---------- any input ---------- */

static void
random_search(PoSearch *s, bool odd)
{
	int			size = 0;

	memset(s, 0, sizeof(*s));
	if (odd)
		random_fill(s, sizeof(*s));
	s->phase = odd ? (PoSearchPhase) random_below(3) : PO_SEARCH_TRYING;
	s->n_points = odd ? random_odd_int() : random_below(PO_SEARCH_POINTS + 1);
	for (int i = 0; i < PO_SEARCH_POINTS; i++)
	{
		size += 1 + random_below(20);
		s->point[i].size = odd ? random_odd_int() : size;
		s->point[i].n = odd ? random_odd_int() : 1 + random_below(5);
		s->point[i].mean = odd ? random_odd_double() : exp(random_unit() * 10);
	}
}

static void
check_point(const PoCurve *c, int size, PoCurvePoint *p)
{
	po_curve_at(c, size, p);
	CHECK(isfinite(p->throughput) && p->throughput >= 0);
	CHECK_WITH(p->utilization >= 0 && p->utilization <= 1, "%g", p->utilization);
	CHECK_WITH(p->wait_us >= 0, "%g", p->wait_us);
}

/* Throughput never falls without locks, wait never grows where the pool is no limit. */
static void
check_monotone(const PoCurve *c, bool locks)
{
	PoCurvePoint before;
	PoCurvePoint p;

	check_point(c, 1, &before);
	for (int size = 2; size <= 5000; size += 1 + random_below(size))
	{
		check_point(c, size, &p);
		CHECK_WITH(locks || p.throughput >= before.throughput * (1 - 1e-9),
				   "size %d: %.17g after %.17g", size, p.throughput, before.throughput);
		CHECK(c->kind != PO_CURVE_OPEN || p.wait_us <= before.wait_us * (1 + 1e-6) + 1e-9);
		CHECK(c->kind != PO_CURVE_OPEN || p.utilization <= before.utilization);
		before = p;
	}
}

static void
test_any_input(void)
{
	for (int round = 0; round < 20000; round++)
	{
		PoSizingInput in;
		PoSearch	search;
		PoCurve		c;
		PoCurvePoint p;
		bool		odd = round % 2 == 0;

		random_search(&search, odd);
		set_input(&in, 1 + random_unit() * 1e5, random_below(40), random_unit(), 0,
				  random_below(16));
		if (odd)
		{
			in.arrival_rate = random_odd_double();
			in.service_us = random_odd_double();
			in.service_cv2 = random_odd_double();
			in.arrival_cv2 = random_odd_double();
			for (int i = 0; i < PO_N_WAITS; i++)
				in.wait_share[i] = random_odd_double();
			in.cores = random_odd_int();
		}
		po_curve_fit(&in, odd ? random_odd_double() : 0, random_below(4) == 0 ? NULL : &search,
					 odd ? random_odd_int() : 0, &c);
		check_monotone(&c, in.wait_share[PO_WAIT_LOCK] > 0);
		check_point(&c, random_odd_int(), &p);
	}
}

int
main(void)
{
	test_open();
	test_open_and_few();
	test_nothing_known();
	test_bounds();
	test_usl_found_again();
	test_knee_found_again();
	test_bounded();
	test_meets_measured();
	test_any_input();
	return check_end("test_curve");
}
