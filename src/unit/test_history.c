/*
 * test_history.c
 *		Buckets against a plain account of what was put in, packing, and mixtures of
 *		distributions against all their values together.
 */
#include "model/po_history.h"

#include <stdlib.h>

#include "check.h"

static void
test_packed_counts(void)
{
	CHECK_INT(po_history_unpack_count(po_history_pack_count(-1)), -1);
	CHECK_INT(po_history_unpack_count(po_history_pack_count(INT_MIN)), -1);
	for (int i = 0; i < 32768; i++)
		CHECK_WITH(po_history_unpack_count(po_history_pack_count(i)) == i, "%d", i);
	for (int i = 32768; i <= 262143; i += 1 + random_below(50))
		CHECK_WITH(abs(po_history_unpack_count(po_history_pack_count(i)) - i) <= 4, "%d", i);
	CHECK(po_history_unpack_count(po_history_pack_count(INT_MAX)) > 262143);
	CHECK_INT(po_history_unpack_count(po_history_pack_count(100000)), 100000);
}

static void
test_packed_durations(void)
{
	CHECK_INT(po_history_pack_us(0), 0);
	CHECK_INT(po_history_pack_us(-5), 0);
	CHECK_INT(po_history_pack_us(NAN), 0);
	CHECK_INT(po_history_pack_us(INFINITY), UINT16_MAX);
	CHECK_NEAR(po_history_unpack_us(0), 0, 0);
	for (double us = 1; us < 1e15; us *= 1.37)
	{
		double		back = po_history_unpack_us(po_history_pack_us(us));

		CHECK_WITH(fabs(back - us) <= us * 0.001, "%g became %g", us, back);
	}
}

/* Any course of sessions and busy ones, against sums of what lasted how long. */
static void
test_filling(void)
{
	for (int round = 0; round < 500; round++)
	{
		PoHistoryOpen open = {0};
		PoHistoryRow row = {0};
		PoHistoryCounts counts = {3, 1, 2, 1};
		int64_t		began = random_below(1000000);
		int64_t		t = began;
		double		sessions_us = 0;
		double		busy_us = 0;
		int			n = random_below(5);
		int			most = n;
		int			busy_most = 0;
		int			steps = random_below(20);

		open.sessions = n;
		po_history_begin(&open, 77, began);
		CHECK(!open.used);
		CHECK(po_history_is_told(&open) == (n > 0));
		for (int i = 0; i < steps; i++)
		{
			int64_t		next = t + random_below(100000);
			int			busy = random_below(n + 1);
			int			peak = random_below(8);

			po_history_busy(&open, busy, t, next);
			sessions_us += (double) n * (double) (next - t);
			busy_us += (double) busy * (double) (next - t);
			busy_most = busy > busy_most ? busy : busy_most;
			n = random_below(6);
			most = n > most ? n : most;
			most = peak > most ? peak : most;
			po_history_sessions(&open, n, peak, next);
			t = next;
		}
		po_history_count(&open, &counts);
		sessions_us += (double) n * 1000;
		po_history_close(&open, began, t + 1000, t - began, &row);
		CHECK_INT(row.tick, 77);
		CHECK_NEAR(row.sessions_avg, sessions_us / (double) (t + 1000 - began), 1e-4);
		CHECK_NEAR(row.busy_avg, t > began ? busy_us / (double) (t - began) : 0, 1e-4);
		CHECK_INT(row.sessions_max, most);
		CHECK_INT(row.busy_max, busy_most);
		CHECK_INT(row.transactions, 3);
		CHECK_INT(row.rejected, 1);
		CHECK_INT(row.errors, 2);
		CHECK_INT(row.terminated, 1);
		/* The next bucket begins with the sessions that are there. */
		po_history_begin(&open, 78, t + 1000);
		CHECK_INT(open.sessions_first, n);
		CHECK_INT(open.transactions, 0);
	}
}

/* Counts do not wrap, time that runs backwards adds nothing. */
static void
test_limits(void)
{
	PoHistoryOpen open = {0};
	PoHistoryRow row = {0};
	PoHistoryCounts most = {UINT64_MAX, UINT32_MAX, 1, UINT32_MAX};

	po_history_begin(&open, 1, 1000000);
	po_history_count(&open, &most);
	po_history_count(&open, &most);
	CHECK_INT(open.transactions, UINT32_MAX);
	CHECK_INT(open.rejected, UINT32_MAX);
	CHECK_INT(open.errors, 2);
	po_history_sessions(&open, 4, 0, 500000);
	po_history_busy(&open, 3, 900000, 800000);
	po_history_close(&open, 1000000, 1000000, 0, &row);
	CHECK_NEAR(row.sessions_avg, 4, 0);
	CHECK_NEAR(row.busy_avg, 0, 0);
	po_history_close(&open, 1000000, 900000, -1, &row);
	CHECK(row.sessions_avg >= 0 && row.busy_avg >= 0);
}

static void
fill_part(PoHistoryPart *part, const double *us, int n)
{
	PoHistogram h = {{0}};
	uint32_t	before[PO_HISTOGRAM_BUCKETS] = {0};

	for (int i = 0; i < n; i++)
		h.count[po_histogram_bucket((int64_t) us[i])]++;
	part->transactions = n;
	CHECK(po_history_points(&h, before, (uint64_t) n, part->service));
}

static void
test_points(void)
{
	PoHistogram h = {{0}};
	uint32_t	before[PO_HISTOGRAM_BUCKETS] = {0};
	uint16_t	points[PO_HISTORY_POINTS];

	CHECK(!po_history_points(&h, before, 100, points));
	CHECK_INT(points[PO_HISTORY_POINTS - 1], 0);
	h.count[po_histogram_bucket(1000)] = 95;
	h.count[po_histogram_bucket(1000000)] = 5;
	CHECK(po_history_points(&h, before, 100, points));
	CHECK_NEAR(po_history_unpack_us(points[0]), 1000, 250);
	CHECK_NEAR(po_history_unpack_us(points[3]), 1000000, 250000);
	CHECK(points[PO_HISTORY_POINTS - 1] >= points[3]);
	for (int i = 0; i < PO_HISTORY_POINTS; i++)
	{
		static const double q[] = {0.5, 0.9, 0.95, 0.99, 1.0};

		CHECK_INT(points[i], po_history_pack_us(po_histogram_quantile(&h, q[i])));
	}
	/* What was there before does not count; a histogram that was set back tells nothing. */
	before[po_histogram_bucket(1000)] = 95;
	CHECK(po_history_points(&h, before, 5, points));
	CHECK(po_history_unpack_us(points[0]) > 700000);
	h.count[po_histogram_bucket(1000)] = 0;
	CHECK(!po_history_points(&h, before, 5, points));

	/* A session ended a transaction between the reading of one and of the other. */
	memset(&h, 0, sizeof(h));
	memset(before, 0, sizeof(before));
	h.count[po_histogram_bucket(1000)] = 101;
	CHECK(po_history_points(&h, before, 100, points));
	CHECK(!po_history_points(&h, before, 0, points));
	CHECK(!po_history_points(&h, before, 20, points));
}

static double
value_at(double *us, int n, double q)
{
	int			i = (int) ceil(q * n) - 1;

	return us[i < 0 ? 0 : i];
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

#define PARTS	12
#define PER_PART	400

/* Minutes of a load that wanders: the mixture is near to what all values say. */
static void
test_mixture(void)
{
	static double all[PARTS * PER_PART];
	static const double q[] = {0.5, 0.9, 0.95, 0.99};

	for (int round = 0; round < 60; round++)
	{
		PoHistoryPart part[PARTS];
		uint16_t	points[PO_HISTORY_POINTS];
		double		level = exp(random_unit() * 8 + 3);
		double		spread = random_unit() * 1.5;

		for (int p = 0; p < PARTS; p++)
		{
			double		mean = level * exp((random_unit() - 0.5) * 2);

			for (int i = 0; i < PER_PART; i++)
			{
				/* about normal in the logarithm */
				double		z = random_unit() + random_unit() + random_unit() +
					random_unit() - 2;

				all[p * PER_PART + i] = mean * exp(z * 1.7 * spread);
			}
			fill_part(&part[p], &all[p * PER_PART], PER_PART);
		}
		po_history_mix(part, PARTS, points);
		qsort(all, PARTS * PER_PART, sizeof(double), compare_doubles);
		for (int i = 0; i < 4; i++)
		{
			double		want = value_at(all, PARTS * PER_PART, q[i]);
			double		got = po_history_unpack_us(points[i]);

			CHECK_WITH(got > want / 1.4 - 2 && got < want * 1.4 + 2,
					   "%g of round %d is %g, all values say %g", q[i], round, got, want);
		}
	}
}

/* Parts that are alike stay what they are, however often they are mixed; weights count. */
static void
test_mixture_known(void)
{
	PoHistoryPart part[3] = {
		{100, {1000, 2000, 3000, 4000, 5000}},
		{900, {1000, 2000, 3000, 4000, 5000}},
		{0, {9000, 9000, 9000, 9000, 9000}}
	};
	uint16_t	points[PO_HISTORY_POINTS];

	po_history_mix(part, 3, points);
	CHECK(memcmp(points, part[0].service, sizeof(points)) == 0);
	po_history_mix(part, 0, points);
	CHECK_INT(points[PO_HISTORY_POINTS - 1], 0);
	/* Half at one value, half at another, far away. */
	for (int i = 0; i < PO_HISTORY_POINTS; i++)
	{
		part[0].service[i] = 1000;
		part[1].service[i] = 20000;
	}
	part[0].transactions = part[1].transactions = 500;
	po_history_mix(part, 2, points);
	CHECK_INT(points[0], 1000);
	CHECK_INT(points[2], 20000);
	/* One in a hundred is beyond 95 %. */
	part[1].transactions = 5;
	po_history_mix(part, 2, points);
	CHECK_INT(points[2], 1000);
	CHECK_INT(points[4], 20000);
}

/* Nothing that a damaged file may hold leads astray. */
static void
test_mixture_odd(void)
{
	for (int round = 0; round < 2000; round++)
	{
		PoHistoryPart part[4];
		PoHistoryRow row;
		PoHistoryValues values;
		PoHistoryValues sum = {0};
		uint16_t	points[PO_HISTORY_POINTS];

		random_fill(part, sizeof(part));
		po_history_mix(part, 4, points);
		random_fill(&row, sizeof(row));
		po_history_unpack(&row, &values);
		po_history_add(&sum, &values, random_odd_double());
		po_history_add(&sum, &values, 60e6);
		po_history_average(&sum, random_odd_double());
		CHECK(sum.transactions >= 0 && sum.errors >= 0 && sum.busy_max >= 0);
		CHECK(!(sum.busy_avg < 0) && !(sum.sessions_avg < 0));
	}
}

static void
test_merging(void)
{
	PoHistoryValues sum = {0};
	PoHistoryValues a = {.sessions_avg = 4, .busy_avg = 1, .sessions_max = 5, .busy_max = 3,
	.transactions = 10, .rejected = 1, .max_connections = 20, .recommended = 3};
	PoHistoryValues b = {.sessions_avg = 10, .busy_avg = 3, .sessions_max = 10, .busy_max = 4,
	.transactions = INT64_MAX, .errors = 2, .waiting_max = 7, .max_connections = -1};

	po_history_add(&sum, &a, 60);
	po_history_add(&sum, &b, 20);
	/* 120 were watched: for 40 nobody was there. */
	po_history_average(&sum, 120);
	CHECK_NEAR(sum.sessions_avg, (4 * 60 + 10 * 20) / 120.0, 1e-9);
	CHECK_NEAR(sum.busy_avg, (1 * 60 + 3 * 20) / 120.0, 1e-9);
	CHECK_INT(sum.sessions_max, 10);
	CHECK_INT(sum.busy_max, 4);
	CHECK_INT(sum.waiting_max, 7);
	CHECK_INT(sum.transactions, INT64_MAX);
	CHECK_INT(sum.rejected, 1);
	CHECK_INT(sum.errors, 2);
	CHECK_INT(sum.max_connections, -1);
	CHECK_INT(sum.recommended, 0);
}

static void
test_resolutions(void)
{
	static const int64_t good[] = {1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 300, 600, 900,
	1200, 1800, 3600, 7200, 10800, 14400, 21600, 28800, 43200, 86400, 172800, 604800};
	int			n = 0;

	for (int64_t s = -10; s < 86400 * 3; s++)
		n += po_history_is_resolution(s * PO_US_PER_S);
	/* All of these below three days, and no others. */
	CHECK_INT(n, (int) (sizeof(good) / sizeof(good[0])) - 1);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CHECK_WITH(po_history_is_resolution(good[i] * PO_US_PER_S), "%d", (int) good[i]);
	CHECK(!po_history_is_resolution(PO_US_PER_S + 1));
	CHECK(!po_history_is_resolution(INT64_MAX));
	CHECK(!po_history_is_resolution(INT64_MIN));
}

int
main(void)
{
	test_resolutions();
	test_packed_counts();
	test_packed_durations();
	test_filling();
	test_limits();
	test_points();
	test_mixture();
	test_mixture_known();
	test_mixture_odd();
	test_merging();
	return check_end("test_history");
}
