/*
 * test_histogram.c
 *		Buckets, quantiles and levels.
 */
#include "model/po_histogram.h"

#include <stdlib.h>

#include "check.h"

static void
add(PoHistogram *h, int64_t us)
{
	h->count[po_histogram_bucket(us)]++;
}

static void
test_histogram_buckets(void)
{
	CHECK_INT(po_histogram_bucket(INT64_MIN), 0);
	CHECK_INT(po_histogram_bucket(-1), 0);
	CHECK_INT(po_histogram_bucket(3), 3);
	CHECK_INT(po_histogram_bucket(4), 4);
	CHECK_INT(po_histogram_bucket(7), 7);
	CHECK_INT(po_histogram_bucket(8), 8);
	CHECK_INT(po_histogram_bucket(9), 8);
	CHECK_INT(po_histogram_bucket(10), 9);
	CHECK_INT(po_histogram_bucket(INT64_MAX), PO_HISTOGRAM_BUCKETS - 1);
	CHECK_INT(po_histogram_lower(INT_MIN), 0);
	CHECK_INT(po_histogram_lower(INT_MAX), po_histogram_lower(PO_HISTOGRAM_BUCKETS));

	for (int i = 0; i < PO_HISTOGRAM_BUCKETS; i++)
	{
		int64_t		lower = po_histogram_lower(i);
		int64_t		upper = po_histogram_lower(i + 1);

		CHECK(upper > lower);
		CHECK_INT(po_histogram_bucket(lower), i);
		CHECK_INT(po_histogram_bucket(upper - 1), i);
		CHECK(i < 4 || (upper - lower) * 4 <= lower);
	}
}

static void
test_histogram_empty(void)
{
	PoHistogram h = {{0}};

	CHECK_INT((long long) po_histogram_total(&h), 0);
	CHECK_NEAR(po_histogram_quantile(&h, 0.5), 0, 0);
	CHECK_NEAR(po_histogram_exceeding(&h, 0), 0, 0);
	CHECK_INT(po_histogram_end(&h), 0);
}

static void
test_histogram_known(void)
{
	PoHistogram h = {{0}};

	for (int i = 0; i < 4; i++)
		h.count[i] = 25;
	CHECK_NEAR(po_histogram_quantile(&h, 0), 0, 0);
	CHECK_NEAR(po_histogram_quantile(&h, 0.25), 1, 1e-12);
	CHECK_NEAR(po_histogram_quantile(&h, 0.5), 2, 1e-12);
	CHECK_NEAR(po_histogram_quantile(&h, 1), 4, 1e-12);
	CHECK_NEAR(po_histogram_quantile(&h, -3), 0, 0);
	CHECK_NEAR(po_histogram_quantile(&h, 7), 4, 1e-12);
	CHECK_NEAR(po_histogram_quantile(&h, NAN), 0, 0);
	CHECK_NEAR(po_histogram_exceeding(&h, -1), 100, 0);
	CHECK_NEAR(po_histogram_exceeding(&h, 0), 75, 0);
	CHECK_NEAR(po_histogram_exceeding(&h, 3), 0, 0);
	CHECK_INT(po_histogram_end(&h), 4);
}

static int
compare_times(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

#define N_TIMES		1000

/* Against the sorted values themselves: within one bucket, so within 25 %. */
static void
test_histogram_against_sorted(void)
{
	static int64_t times[N_TIMES];

	for (int round = 0; round < 50; round++)
	{
		PoHistogram h = {{0}};
		int			span = 1 + random_below(37);

		for (int i = 0; i < N_TIMES; i++)
		{
			times[i] = (int64_t) (random_bits() >> (64 - 1 - random_below(span)));
			add(&h, times[i]);
		}
		qsort(times, N_TIMES, sizeof(times[0]), compare_times);
		CHECK_INT((long long) po_histogram_total(&h), N_TIMES);
		CHECK(po_histogram_end(&h) > times[N_TIMES - 1]);

		for (int k = 1; k <= 20; k++)
		{
			double		got = po_histogram_quantile(&h, k / 20.0);
			int64_t		want = times[k * N_TIMES / 20 - 1];

			CHECK_WITH(fabs(got - (double) want) <= 1 + 0.25 * (double) want,
					   "quantile %d/20 %g %lld", k, got, (long long) want);
		}
		for (int i = 0; i < N_TIMES; i += 37)
		{
			int			bucket = po_histogram_bucket(times[i]);
			double		got = po_histogram_exceeding(&h, times[i]);
			int			longer = 0;

			for (int j = 0; j < N_TIMES; j++)
				longer += times[j] > times[i];
			CHECK(fabs(got - longer) <= (double) h.count[bucket]);
		}
	}
}

static void
test_histogram_monotone(void)
{
	for (int round = 0; round < 200; round++)
	{
		PoHistogram h = {{0}};
		double		quantile = -1;
		double		exceeding = INFINITY;
		int64_t		us = 0;

		for (int i = 0; i < PO_HISTOGRAM_BUCKETS; i++)
		{
			if (random_below(4) == 0)
				h.count[i] = random_bits() >> (round < 20 ? 0 : random_below(64));
		}
		for (int k = 0; k <= 1000; k++)
		{
			double		next = po_histogram_quantile(&h, k / 1000.0);

			CHECK_WITH(next >= quantile, "%.17g after %.17g", next, quantile);
			quantile = next;
		}
		CHECK(quantile <= (double) po_histogram_end(&h));
		while (us < INT64_MAX / 2)
		{
			double		next = po_histogram_exceeding(&h, us);

			CHECK_WITH(next <= exceeding && next >= 0, "%.17g after %.17g", next, exceeding);
			exceeding = next;
			us += 1 + us / 40;
		}
	}
}

/* A total that does not fit stays at the largest number. */
static void
test_histogram_huge(void)
{
	PoHistogram h;

	memset(&h, 0xFF, sizeof(h));
	CHECK(po_histogram_total(&h) == UINT64_MAX);
	CHECK(isfinite(po_histogram_quantile(&h, 0.5)));
	CHECK(isfinite(po_histogram_exceeding(&h, INT64_MAX)));
	CHECK_NEAR(po_histogram_exceeding(&h, INT64_MAX), 0, 0);
	CHECK_NEAR(po_histogram_quantile(&h, 1), (double) po_histogram_end(&h), 0);
}

static void
test_levels_known(void)
{
	PoLevels	l = {{0}, 0};

	CHECK_NEAR(po_levels_mean(&l), 0, 0);
	CHECK_INT(po_levels_quantile(&l, 0.5), 0);
	CHECK_INT(po_levels_max(&l), 0);

	po_levels_pass(&l, 50);
	po_levels_add(&l, 2, 30);
	po_levels_add(&l, 5, 20);
	CHECK_NEAR(l.total, 100, 0);
	CHECK_NEAR(l.weight[0], 0, 0);
	CHECK_NEAR(po_levels_mean(&l), 1.6, 1e-12);
	CHECK_INT(po_levels_quantile(&l, 0), 0);
	CHECK_INT(po_levels_quantile(&l, 0.5), 0);
	CHECK_INT(po_levels_quantile(&l, 0.51), 2);
	CHECK_INT(po_levels_quantile(&l, 0.8), 2);
	CHECK_INT(po_levels_quantile(&l, 0.81), 5);
	CHECK_INT(po_levels_quantile(&l, 1), 5);
	CHECK_INT(po_levels_quantile(&l, 2), 5);
	CHECK_INT(po_levels_quantile(&l, NAN), 0);
	CHECK_INT(po_levels_quantile(&l, -1), 0);
	CHECK_INT(po_levels_max(&l), 5);

	po_levels_add(&l, 9, 0);
	po_levels_add(&l, 9, -1);
	po_levels_add(&l, 9, NAN);
	po_levels_add(&l, 9, INFINITY);
	po_levels_add(&l, INT_MIN, 100);
	CHECK_INT(po_levels_max(&l), 5);
	CHECK_NEAR(l.total, 200, 0);
}

/* Where buckets are wide, the highest level is the end of its bucket. */
static void
test_levels_wide(void)
{
	for (int n = 1; n < 8192; n++)
	{
		PoLevels	l = {{0}, 0};
		int			max;

		po_levels_add(&l, n, 10);
		max = po_levels_max(&l);
		CHECK_WITH(max >= n && max < n + (n + 3) / 4 + (n < PO_LEVELS_EXACT ? 0 : 1),
				   "%d for %d", max, n);
		CHECK(n >= PO_LEVELS_EXACT || max == n);
		CHECK_INT(po_levels_quantile(&l, 1), max);
		CHECK(abs(po_levels_quantile(&l, 0.5) - n) <= n / 8);
		CHECK(fabs(po_levels_mean(&l) - n) <= n / 8.0);
	}
}

static void
test_levels_decay(void)
{
	PoLevels	l = {{0}, 0};
	double		mean;

	po_levels_pass(&l, 1e6);
	po_levels_add(&l, 40, 1e6);
	po_levels_add(&l, 3, 1e6);
	mean = po_levels_mean(&l);
	po_levels_decay(&l, 0.5);
	CHECK_NEAR(po_levels_mean(&l), mean, 1e-9);
	CHECK_NEAR(l.total, 1.5e6, 1e-6);
	po_levels_decay(&l, NAN);
	po_levels_decay(&l, 7);
	CHECK_NEAR(l.total, 1.5e6, 1e-6);
	for (int i = 0; i < 30; i++)
		po_levels_decay(&l, 0.5);
	CHECK_INT(po_levels_max(&l), 0);
	po_levels_decay(&l, -1);
	CHECK_NEAR(l.total, 0, 0);
}

/* Of what is read from a damaged file, nothing comes out that is not a number. */
static void
test_levels_damaged(void)
{
	for (int round = 0; round < 3000; round++)
	{
		PoLevels	l;
		int			level = 0;

		for (int i = 0; i < PO_LEVELS_BUCKETS; i++)
			l.weight[i] = random_odd_double();
		l.total = random_odd_double();
		po_levels_add(&l, random_odd_int(), random_odd_double());
		po_levels_decay(&l, random_odd_double());
		CHECK(isfinite(po_levels_mean(&l)) && po_levels_mean(&l) >= 0);
		for (int k = 0; k <= 20; k++)
		{
			int			next = po_levels_quantile(&l, k / 20.0);

			CHECK(next >= level && next <= po_levels_max(&l));
			level = next;
		}
		CHECK(po_levels_max(&l) <= 8191);
	}
}

/* Shares outlast the room that counts have. */
static void
test_histogram_shares(void)
{
	PoSmallHistogram small = {{0}};

	po_histogram_share_small(&small, 3, 1);
	for (int i = 0; i < 100; i++)
	{
		po_histogram_share_small(&small, 10, 2000000000);
		po_histogram_share_small(&small, 20, 1000000000);
	}
	CHECK_INT(small.count[3], 1);
	CHECK(small.count[10] > 1000000000);
	CHECK_NEAR((double) small.count[10] / small.count[20], 2, 0.7);
	po_histogram_share_small(&small, 10, UINT32_MAX);
	CHECK(small.count[10] > 4000000000u);
}

/* Small counters say the same as large ones, and stay at their end. */
static void
test_histogram_small(void)
{
	PoHistogram h = {{0}};
	PoHistogram wide;
	PoSmallHistogram small = {{0}};

	for (int i = 0; i < 2000; i++)
	{
		int64_t		us = random_odd_int64();

		add(&h, us);
		po_histogram_add_small(&small, us);
	}
	po_histogram_widen(&small, &wide);
	CHECK(memcmp(&wide, &h, sizeof(h)) == 0);
	small.count[3] = UINT32_MAX - 1;
	po_histogram_add_small(&small, 3);
	po_histogram_add_small(&small, 3);
	CHECK_INT(small.count[3], UINT32_MAX);
}

static void
test_brief_known(void)
{
	PoBrief		h;

	memset(&h, 0, sizeof(h));
	CHECK_NEAR(po_brief_quantile(&h, 0.99, 0), 0, 0);
	CHECK_INT(po_brief_bucket(-5), 0);
	CHECK_INT(po_brief_bucket(0), 0);
	CHECK_INT(po_brief_bucket(4), 0);
	CHECK_INT(po_brief_bucket(5), 1);
	CHECK_INT(po_brief_bucket(INT64_MAX), PO_BRIEF_BUCKETS - 1);
	po_brief_add(&h, -1);
	po_brief_add(&h, PO_BRIEF_BUCKETS);
	CHECK_NEAR(po_brief_quantile(&h, 0.99, 1000), 0, 0);

	/* The longest value ends what is beyond the last bucket. */
	po_brief_add(&h, po_brief_bucket(INT64_C(600) * PO_US_PER_S));
	CHECK(po_brief_quantile(&h, 0.99, INT64_C(600) * PO_US_PER_S) > 500e6);
	CHECK(po_brief_quantile(&h, 0.99, INT64_C(600) * PO_US_PER_S) <= 600e6);
	CHECK_NEAR(po_brief_quantile(&h, 0.99, 7), 7, 0);
}

/* Near the whole histogram's answer, and so with full counters. */
static void
test_brief_against_whole(void)
{
	for (int round = 0; round < 20; round++)
	{
		PoHistogram whole;
		PoBrief		brief;
		int64_t		longest = 0;
		int			n = round < 18 ? 1 + random_below(3000) : 300000;
		int			most = 10 + random_below(10000000);

		memset(&whole, 0, sizeof(whole));
		memset(&brief, 0, sizeof(brief));
		for (int i = 0; i < n; i++)
		{
			int64_t		us = 4 + random_below(random_below(most) + 1);

			longest = us > longest ? us : longest;
			whole.count[po_histogram_bucket(us)]++;
			po_brief_add(&brief, po_brief_bucket(us));
		}
		for (int k = 1; k < 20; k++)
		{
			double		got = po_brief_quantile(&brief, k / 20.0, longest);
			double		want = po_histogram_quantile(&whole, k / 20.0);

			CHECK_NEAR(got, want, want * 0.25 + 1);
		}
	}
}

int
main(void)
{
	test_histogram_small();
	test_histogram_shares();
	test_brief_known();
	test_brief_against_whole();
	test_histogram_buckets();
	test_histogram_empty();
	test_histogram_known();
	test_histogram_against_sorted();
	test_histogram_monotone();
	test_histogram_huge();
	test_levels_known();
	test_levels_wide();
	test_levels_decay();
	test_levels_damaged();
	return check_end("test_histogram");
}
