/*
 * test_plot.c
 *		Scales are round and reach their maximum, paths stay in their box and show gaps,
 *		labels do not meet, and numbers read as people write them.
 */
#include <stdlib.h>

#include "check.h"
#include "model/po_plot.h"

#define N_POINTS		300
#define MANY			10000

static char path[2 * N_POINTS * PO_PLOT_POINT_LEN + 1];

/* ---------- scales ---------- */

static void
check_scale(double max, int most, double least, double top, double step, int decimals)
{
	PoScale		s;

	po_plot_scale(max, most, least, &s);
	CHECK_NEAR(s.top, top, 1e-9 * top);
	CHECK_NEAR(s.step, step, 1e-9 * step);
	CHECK_INT(s.decimals, decimals);
}

static void
test_scales(void)
{
	PoScale		s;

	check_scale(97, 5, 1, 100, 20, 0);
	check_scale(100, 5, 1, 100, 20, 0);
	check_scale(101, 5, 1, 150, 50, 0);
	check_scale(3, 5, 1, 3, 1, 0);
	check_scale(0, 5, 1, 1, 1, 0);
	check_scale(0.3, 3, 0, 0.3, 0.1, 1);
	check_scale(0.07, 4, 0, 0.08, 0.02, 2);
	check_scale(NAN, 5, 1, 1, 1, 0);
	for (int i = 0; i < MANY; i++)
	{
		double		max = exp(random_unit() * 40 - 10);
		int			most = 1 + random_below(10);

		po_plot_scale(max, most, 0, &s);
		CHECK_WITH(s.top >= max * (1 - 1e-8) && s.n_steps >= 1 && s.n_steps <= most,
				   "max %g, most %d: top %g in %d steps", max, most, s.top, s.n_steps);
		CHECK_WITH(s.top < max * 5 + s.step && s.top - s.step < max * (1 + 1e-8),
				   "max %g: top %g, step %g", max, s.top, s.step);
	}
	for (int i = 0; i < MANY; i++)
	{
		po_plot_scale(random_odd_double(), random_odd_int(), random_odd_double(), &s);
		CHECK(s.top > 0 && s.step > 0 && s.n_steps >= 1);
		CHECK(po_plot_share(&s, random_odd_double()) >= 0);
		CHECK(po_plot_share(&s, random_odd_double()) <= 1);
	}
	po_plot_scale(100, 5, 1, &s);
	CHECK_NEAR(po_plot_share(&s, 25), 0.25, 1e-12);
	CHECK_NEAR(po_plot_share(&s, -1), 0, 0);
	CHECK_NEAR(po_plot_share(&s, 1000), 1, 0);
	CHECK_NEAR(po_plot_share(&s, NAN), 0, 0);
}

/* ---------- time ---------- */

static void
test_time(void)
{
	const int64_t s = PO_US_PER_S;

	CHECK_INT(po_plot_time_step(86400 * s, 8), 10800 * s);
	CHECK_INT(po_plot_time_step(3600 * s, 6), 600 * s);
	CHECK_INT(po_plot_time_step(7 * 86400 * s, 8), 86400 * s);
	CHECK_INT(po_plot_time_step(0, 8), s);
	CHECK_INT(po_plot_bucket(86400 * s, 288), 300 * s);
	CHECK_INT(po_plot_bucket(86400 * s, 240), 600 * s);
	CHECK_INT(po_plot_bucket(7 * 86400 * s, 240), 3600 * s);
	CHECK_INT(po_plot_bucket(60 * s, 240), s);
	CHECK_INT(po_plot_bucket(366 * 86400 * s, 240), 86400 * s);
	for (int i = 0; i < MANY; i++)
	{
		int64_t		range = random_odd_int64();
		int			most = 1 + random_below(500);
		int64_t		bucket = po_plot_bucket(range, most);

		CHECK_WITH(bucket >= range / most || bucket == 86400 * s, "range %lld: bucket %lld",
				   (long long) range, (long long) bucket);
		CHECK(86400 * s / bucket * bucket == 86400 * s);
		CHECK(po_plot_time_step(range, most) > 0);
	}
}

/* ---------- paths ---------- */

/* Every number is in the box; returns how many commands there are. */
static int
check_path(int length)
{
	const char *c = path;
	int			n = 0;

	CHECK_INT((int) strlen(path), length);
	while (*c != '\0')
	{
		CHECK_WITH(strchr("MLHVz", *c) != NULL, "command %c", *c);
		n++;
		c++;
		while (*c != '\0' && strchr("MLHVz", *c) == NULL)
		{
			char	   *end;
			long		number = strtol(c, &end, 10);

			CHECK_WITH(end > c && number >= 0 && number <= PO_PLOT_WIDTH, "at %ld", number);
			if (end == c)
				return n;
			c = end;
		}
	}
	return n;
}

static void
test_lines(void)
{
	PoScale		s;

	po_plot_scale(10, 5, 1, &s);
	po_plot_line((double[]) {0, 5, 10, NAN}, 4, &s, path, sizeof(path));
	CHECK_TEXT(path, "M500 1000L1500 500L2500 0");
	po_plot_line((double[]) {NAN, 5, NAN, 10}, 4, &s, path, sizeof(path));
	CHECK_TEXT(path, "M1000 500H2000M3000 0H4000");
	po_plot_line((double[]) {5, 5, 5, 5, 0}, 5, &s, path, sizeof(path));
	CHECK_TEXT(path, "M400 500L2800 500L3600 1000");
	po_plot_line((double[]) {NAN}, 1, &s, path, sizeof(path));
	CHECK_TEXT(path, "");
	CHECK_INT(po_plot_line(NULL, 0, &s, path, sizeof(path)), 0);
	CHECK_INT(po_plot_line((double[]) {1, 2}, 2, &s, path, 2 * PO_PLOT_POINT_LEN), 0);
	CHECK_TEXT(path, "");

	po_plot_band(NULL, (double[]) {5, 10}, 2, &s, path, sizeof(path));
	CHECK_TEXT(path, "M1000 500L3000 0V1000H1000z");
	po_plot_band((double[]) {0, 5}, (double[]) {5, 10}, 2, &s, path, sizeof(path));
	CHECK_TEXT(path, "M1000 500L3000 0L3000 500L1000 1000z");
	po_plot_band((double[]) {0, 5}, (double[]) {5, NAN}, 2, &s, path, sizeof(path));
	CHECK_TEXT(path, "M0 500H2000V1000H0z");
}

static void
test_any_path(void)
{
	for (int round = 0; round < 200; round++)
	{
		double		low[N_POINTS];
		double		high[N_POINTS];
		PoScale		s;
		int			n = 1 + random_below(N_POINTS);

		for (int i = 0; i < n; i++)
		{
			low[i] = random_below(4) == 0 ? random_odd_double() : random_below(20);
			high[i] = random_below(4) == 0 ? random_odd_double() : random_below(20);
		}
		po_plot_scale(20, 5, 1, &s);
		check_path(po_plot_line(low, n, &s, path, n * PO_PLOT_POINT_LEN + 1));
		check_path(po_plot_band(NULL, high, n, &s, path, 2 * n * PO_PLOT_POINT_LEN + 1));
		check_path(po_plot_band(low, high, n, &s, path, 2 * n * PO_PLOT_POINT_LEN + 1));
	}
}

/* ---------- labels ---------- */

static void
test_spread(void)
{
	double		far[] = {10, 50, 90};
	double		same[] = {50, 50, 50};
	double		edge[] = {0, 2, 99, 100};
	double		order[] = {60, 10, 58};

	po_plot_spread(far, 3, 14, 0, 100);
	CHECK_NEAR(far[0], 10, 1e-9);
	CHECK_NEAR(far[2], 90, 1e-9);
	po_plot_spread(same, 3, 14, 0, 100);
	CHECK_NEAR(same[0], 36, 1e-9);
	CHECK_NEAR(same[1], 50, 1e-9);
	CHECK_NEAR(same[2], 64, 1e-9);
	po_plot_spread(edge, 4, 14, 0, 100);
	CHECK_NEAR(edge[0], 0, 1e-9);
	CHECK_NEAR(edge[1], 14, 1e-9);
	CHECK_NEAR(edge[2], 86, 1e-9);
	CHECK_NEAR(edge[3], 100, 1e-9);
	po_plot_spread(order, 3, 14, 0, 100);
	CHECK_NEAR(order[0], 66, 1e-9);
	CHECK_NEAR(order[1], 10, 1e-9);
	CHECK_NEAR(order[2], 52, 1e-9);
}

static void
test_any_spread(void)
{
	for (int round = 0; round < MANY; round++)
	{
		double		at[8];
		double		wanted[8];
		int			n = random_below(8);

		for (int i = 0; i < n; i++)
			at[i] = wanted[i] = random_unit() * 200 - 50;
		po_plot_spread(at, n, 12, 0, 100);
		for (int i = 0; i < n; i++)
		{
			CHECK_WITH(at[i] >= -1e-9 && at[i] <= 100 + 1e-9, "at %g", at[i]);
			for (int k = 0; k < i; k++)
				CHECK_WITH(fabs(at[i] - at[k]) >= 12 - 1e-9 &&
						   (at[i] < at[k]) == (wanted[i] < wanted[k]), "%g and %g", at[i], at[k]);
		}
	}
}

/* ---------- texts ---------- */

#define CHECK_SAYS(call, want) \
	do { \
		char		text[PO_PLOT_TEXT_LEN]; \
\
		call; \
		CHECK_TEXT(text, want); \
	} while (0)

#define CHECK_COUNT(value, want) \
	CHECK_SAYS(po_plot_count((value), text, sizeof(text)), want)
#define CHECK_DURATION(ms, want) \
	CHECK_SAYS(po_plot_duration((ms), text, sizeof(text)), want)
#define CHECK_PERCENT(ratio, want) \
	CHECK_SAYS(po_plot_percent((ratio), text, sizeof(text)), want)

static void
test_texts(void)
{
	CHECK_COUNT(0, "0");
	CHECK_COUNT(7, "7");
	CHECK_COUNT(0.25, "0.2");
	CHECK_COUNT(0.012, "0.012");
	CHECK_COUNT(12.34, "12.3");
	CHECK_COUNT(99.97, "100");
	CHECK_COUNT(999, "999");
	CHECK_COUNT(1234567 / 10.0, "123,457");
	CHECK_COUNT(999999.4, "999,999");
	CHECK_COUNT(999999.6, "1.0 million");
	CHECK_COUNT(-1234, "-1,234");
	CHECK_COUNT(12e6, "12.0 million");
	CHECK_COUNT(12e9, "12.0 thousand million");
	CHECK_COUNT(3e18, "3e+06 million million");
	CHECK_COUNT(NAN, "?");
	CHECK_COUNT(INFINITY, "without end");

	CHECK_DURATION(0, "0 ms");
	CHECK_DURATION(0.042, "0.042 ms");
	CHECK_DURATION(2.34, "2.3 ms");
	CHECK_DURATION(850, "850 ms");
	CHECK_DURATION(999.6, "1.0 s");
	CHECK_DURATION(4200, "4.2 s");
	CHECK_DURATION(59400, "59 s");
	CHECK_DURATION(59600, "1 min");
	CHECK_DURATION(125e3, "2 min 5 s");
	CHECK_DURATION(1800e3, "30 min");
	CHECK_DURATION(7500e3, "2 h 5 min");
	CHECK_DURATION(24 * 3600e3, "1 d");
	CHECK_DURATION(99 * 3600e3, "4 d 3 h");
	CHECK_DURATION(NAN, "?");
	CHECK_DURATION(INFINITY, "without end");

	CHECK_PERCENT(0, "0 %");
	CHECK_PERCENT(0.0001, "below 0.1 %");
	CHECK_PERCENT(0.004, "0.4 %");
	CHECK_PERCENT(0.464, "46 %");
	CHECK_PERCENT(0.997, "above 99 %");
	CHECK_PERCENT(1, "100 %");
	CHECK_PERCENT(NAN, "?");
}

static void
test_ticks(void)
{
	PoScale		s;

	po_plot_scale(0.3, 3, 0, &s);
	CHECK_SAYS(po_plot_tick(&s, 0, text, sizeof(text)), "0.0");
	CHECK_SAYS(po_plot_tick(&s, 3, text, sizeof(text)), "0.3");
	po_plot_scale(12000, 5, 1, &s);
	CHECK_SAYS(po_plot_tick(&s, 1, text, sizeof(text)), "5,000");
	po_plot_scale(4e6, 5, 1, &s);
	CHECK_SAYS(po_plot_tick(&s, 1, text, sizeof(text)), "1 M");
}

static void
test_any_text(void)
{
	for (int i = 0; i < MANY; i++)
	{
		char		text[PO_PLOT_TEXT_LEN];
		int			size = 1 + random_below(sizeof(text));

		po_plot_count(random_odd_double(), text, size);
		CHECK((int) strlen(text) < size);
		po_plot_duration(random_odd_double(), text, size);
		CHECK((int) strlen(text) < size);
		po_plot_percent(random_odd_double(), text, size);
		CHECK((int) strlen(text) < size);
	}
}

int
main(void)
{
	test_scales();
	test_time();
	test_lines();
	test_any_path();
	test_spread();
	test_any_spread();
	test_texts();
	test_ticks();
	test_any_text();
	return check_end("test_plot");
}
