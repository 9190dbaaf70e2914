/*
 * test_baseline.c
 *		Mean and deviation against plain sums, and what is (not) unusual.
 */
#include "model/po_baseline.h"

#include "check.h"

static const PoBaseline fresh;

/* While all counts alike it is the plain mean and variance; these are never clipped. */
static void
test_plain(void)
{
	for (int round = 0; round < 100; round++)
	{
		PoBaseline	b = fresh;
		double		sum = 0;
		double		squares = 0;
		double		n = 0;

		while (n < 5000)
		{
			double		value = 100 + random_unit() * 40;
			int			count = 1 + random_below(20);

			po_baseline_feed(&b, value, count);
			sum += value * count;
			squares += value * value * count;
			n += count;
		}
		CHECK_NEAR(b.mean, sum / n, 1e-9);
		CHECK_NEAR(b.variance, squares / n - sum / n * sum / n, 1e-6);
	}
}

/* So many at once are the same as one after the other. */
static void
test_many_at_once(void)
{
	PoBaseline	one = fresh;
	PoBaseline	many = fresh;

	for (int i = 0; i < 400; i++)
	{
		double		value = 100 + random_below(10);
		int			count = random_below(100);

		po_baseline_feed(&many, value, count);
		for (int k = 0; k < count; k++)
			po_baseline_feed(&one, value, 1);
	}
	CHECK_NEAR(one.mean, many.mean, 0.02);
	CHECK_NEAR(one.variance, many.variance, 0.1);
	/* What was long ago is forgotten. */
	po_baseline_feed(&many, 3, 1000000);
	CHECK_NEAR(many.mean, 3, 1e-6);
	CHECK_NEAR(many.variance, 0, 1e-6);
}

static void
test_unusual(void)
{
	PoBaseline	b = fresh;
	double		before;

	CHECK(isnan(po_baseline_deviations(&b, 1e9)));
	po_baseline_feed(&b, 5, 29);
	CHECK(isnan(po_baseline_deviations(&b, 1e9)));
	po_baseline_feed(&b, 5, 1);
	/* 5 sessions, never another number: a deviation is 1, times 5 for so few pieces. */
	CHECK_NEAR(po_baseline_deviations(&b, 10), 1, 1e-9);
	CHECK_NEAR(po_baseline_deviations(&b, 5), 0, 1e-9);
	before = po_baseline_deviations(&b, 20);
	po_baseline_feed(&b, 5, 3000);
	CHECK(po_baseline_deviations(&b, 20) > before);
	CHECK_NEAR(po_baseline_deviations(&b, 20), 15 / 1.0396, 0.01);
	CHECK(po_baseline_deviations(&b, 0) < 0);
	/* 200 of 1000 are within a tenth or two. */
	b = fresh;
	po_baseline_feed(&b, 1000, 5000);
	CHECK(po_baseline_deviations(&b, 1200) < 2.1);
}

/* Load that varies by day and by chance is hardly ever unusual, a storm is. */
static void
test_daily_load(void)
{
	PoBaseline	b = fresh;
	int			n_unusual = 0;

	for (int i = 0; i < 8640 * 5; i++)
	{
		double		usual = 20 + 15 * sin(i * 2 * 3.14159265 / 8640);
		double		value = usual * (0.7 + 0.6 * random_unit());

		n_unusual += i > 8640 && po_baseline_deviations(&b, value) >= 6;
		po_baseline_feed(&b, value, 1);
	}
	CHECK_INT(n_unusual, 0);
	CHECK(po_baseline_deviations(&b, 150) >= 6);
}

/* What comes once stays unusual for a while, and is usual when it has stayed. */
static void
test_storm(void)
{
	PoBaseline	b = fresh;
	int			n = 0;

	for (int i = 0; i < 45; i++)
		po_baseline_feed(&b, 0.2, 1);
	while (n < 10000 && po_baseline_deviations(&b, 20) >= 2)
	{
		po_baseline_feed(&b, 20, 1);
		n++;
	}
	CHECK(n >= 8 && n < 1000);
	po_baseline_feed(&b, 20, 10000);
	for (int i = 0; i < 10000; i++)
		po_baseline_feed(&b, 20, 1);
	CHECK_NEAR(b.mean, 20, 8);
	CHECK(po_baseline_deviations(&b, 20) < 1);
	/* A day of it after a year of quiet. */
	b = fresh;
	for (int i = 0; i < 100000; i++)
		po_baseline_feed(&b, random_unit(), 1);
	for (n = 0; n < 100000 && po_baseline_deviations(&b, 200) >= 6; n++)
		po_baseline_feed(&b, 200, 1);
	CHECK(n > 360 && n < 8640);
}

/* Mondays at nine: known from the weeks before, or from the day before, or from neither. */
static void
test_season(void)
{
	PoBaseline	b = fresh;

	CHECK(isnan(po_baseline_unusual(&b, 50, 0)));
	CHECK_NEAR(po_baseline_unusual(&b, 50, 20), 15, 1e-9);
	CHECK_NEAR(po_baseline_unusual(&b, 8, 5), 3, 1e-9);
	for (int i = 0; i < 10000; i++)
		po_baseline_feed(&b, 2, 1);
	CHECK(po_baseline_unusual(&b, 20, 0) > 15);
	CHECK_NEAR(po_baseline_unusual(&b, 20, 20), 0, 1e-9);
	CHECK_NEAR(po_baseline_unusual(&b, 50, 20), 15, 1e-9);
	CHECK_NEAR(po_baseline_unusual(&b, 50, INFINITY), po_baseline_deviations(&b, 50), 0);
	CHECK_NEAR(po_baseline_unusual(&b, 50, NAN), po_baseline_deviations(&b, 50), 0);
	/* What is usual all day is not unusual at a quiet hour. */
	CHECK(po_baseline_unusual(&b, 2, 0.5) < 1);
}

static void
test_odd(void)
{
	for (int round = 0; round < 3000; round++)
	{
		PoBaseline	b;

		random_fill(&b, sizeof(b));
		if (round % 2)
			b = fresh;
		for (int i = 0; i < 20; i++)
		{
			po_baseline_feed(&b, random_odd_double(), random_odd_int64());
			(void) po_baseline_deviations(&b, random_odd_double());
			(void) po_baseline_unusual(&b, random_odd_double(), random_odd_double());
			CHECK(b.n >= 0 || round % 2 == 0);
		}
	}
}

int
main(void)
{
	test_plain();
	test_many_at_once();
	test_unusual();
	test_daily_load();
	test_storm();
	test_season();
	test_odd();
	return check_end("test_baseline");
}
