/*
 * test_forecast.c
 *		The fitted line against sums over many small steps, and what is (not) forecast.
 */
#include "model/po_forecast.h"

#include "check.h"

#define S		PO_US_PER_S
#define TAU		(600 * S)
#define LEAST	(120 * S)

static const PoForecast fresh;

/* Weighed least squares over steps of 10 ms, done plainly. */
static void
plain_fit(const double *level, const double *until_s, int n, double now_s, double *slope,
		  double *r2)
{
	double		w = 0, ws = 0, wss = 0, wy = 0, wsy = 0, wyy = 0;
	double		start = 0;

	for (int i = 0; i < n; i++)
	{
		for (double t = start; t < until_s[i] - 1e-9; t += 0.01)
		{
			double		age = now_s - (t + 0.005);
			double		weight = exp(-age / 600) * 0.01;

			w += weight;
			ws += weight * age;
			wss += weight * age * age;
			wy += weight * level[i];
			wsy += weight * age * level[i];
			wyy += weight * level[i] * level[i];
		}
		start = until_s[i];
	}
	*slope = -(w * wsy - ws * wy) / (w * wss - ws * ws);
	*r2 = (w * wsy - ws * wy) * (w * wsy - ws * wy) / (w * wss - ws * ws) / (w * wyy - wy * wy);
}

static void
test_against_plain(void)
{
	for (int round = 0; round < 12; round++)
	{
		PoForecast	f = fresh;
		PoFit		fit;
		double		level[30];
		double		until_s[30];
		double		t = 0;
		double		slope;
		double		r2;

		for (int i = 0; i < 30; i++)
		{
			level[i] = random_below(50) + (round % 3 == 0 ? i * 5 : 0);
			po_forecast_note(&f, S + (int64_t) (t * S), level[i], TAU);
			t += 0.01 * (1 + random_below(round % 2 ? 300 : 6000));
			until_s[i] = t;
		}
		CHECK(po_forecast_fit(&f, S + (int64_t) (t * S), TAU, &fit));
		plain_fit(level, until_s, 30, t, &slope, &r2);
		CHECK_NEAR(fit.slope, slope, fabs(slope) * 1e-3 + 1e-6);
		CHECK_NEAR(fit.r2, r2, 1e-3);
		CHECK_NEAR(fit.watched_s, t, 1e-3);
	}
}

/* One more each 30 s, of 100: full in (100 - level) / 2 minutes. */
static void
test_steady_growth(void)
{
	PoForecast	f = fresh;
	double		left;

	for (int i = 0; i <= 40; i++)
	{
		po_forecast_note(&f, S + i * 30 * S, i, TAU);
		left = po_forecast_full_in_s(&f, S + i * 30 * S, TAU, LEAST, 100);
		if (i * 30 < 120)
			CHECK(isnan(left));
		if (i >= 12)
			CHECK_NEAR(left, (100 - i) * 30.0, (100 - i) * 30.0 * 0.05);
	}
	/* "Full in 30 minutes." */
	CHECK_NEAR(po_forecast_full_in_s(&f, S + 1200 * S, TAU, LEAST, 100) / 60, 30, 1);
	CHECK(isnan(po_forecast_full_in_s(&f, S + 1200 * S, TAU, LEAST, 40)));
	CHECK(isnan(po_forecast_full_in_s(&f, S + 1200 * S, TAU, LEAST, 1e6)));
	/* It stops: after a while nothing is said any more, without a note in between. */
	CHECK(isnan(po_forecast_full_in_s(&f, S + 4000 * S, TAU, LEAST, 100)));
}

static void
test_no_forecast(void)
{
	PoForecast	f = fresh;
	int64_t		now = S;

	CHECK(isnan(po_forecast_full_in_s(&f, S, TAU, LEAST, 100)));
	/* Level. */
	for (int i = 0; i < 100; i++)
		po_forecast_note(&f, now += 10 * S, 50, TAU);
	CHECK(isnan(po_forecast_full_in_s(&f, now, TAU, LEAST, 100)));
	/* A jump, at any time after it. */
	for (int i = 0; i < 200; i++)
	{
		po_forecast_note(&f, now += 10 * S, 80, TAU);
		CHECK(isnan(po_forecast_full_in_s(&f, now, TAU, LEAST, 100)));
	}
	/* Falling. */
	for (int i = 0; i < 60; i++)
		po_forecast_note(&f, now += 10 * S, 80 - i, TAU);
	CHECK(isnan(po_forecast_full_in_s(&f, now, TAU, LEAST, 100)));
	/* A sawtooth, as of a pool that is refilled each minute. */
	f = fresh;
	for (int i = 0; i < 1800; i++)
	{
		po_forecast_note(&f, now += S, i % 60, TAU);
		CHECK(i < 200 || isnan(po_forecast_full_in_s(&f, now, TAU, LEAST, 100)));
	}
	/* A fleet that starts within seconds, watched for long enough. */
	f = fresh;
	for (int i = 0; i < 240; i++)
	{
		po_forecast_note(&f, now += S, i < 10 ? i * 5 : 50, TAU);
		CHECK(isnan(po_forecast_full_in_s(&f, now, TAU, LEAST, 100)));
	}
	/* Too small a rise to speak of: one in ten minutes. */
	f = fresh;
	for (int i = 0; i < 600; i++)
		po_forecast_note(&f, now += S, i < 300 ? 2 : 3, TAU);
	CHECK(isnan(po_forecast_full_in_s(&f, now, TAU, LEAST, 5)));
}

/* However often the same level is noted, it is the same line. */
static void
test_notes_do_not_matter(void)
{
	PoForecast	seldom = fresh;
	PoForecast	often = fresh;
	PoFit		a;
	PoFit		b;

	for (int i = 0; i < 50; i++)
	{
		po_forecast_note(&seldom, S + i * 20 * S, i * 2, TAU);
		for (int k = 0; k < 200; k++)
			po_forecast_note(&often, S + i * 20 * S + k * S / 10, i * 2, TAU);
	}
	CHECK(po_forecast_fit(&seldom, S + 1000 * S, TAU, &a));
	CHECK(po_forecast_fit(&often, S + 1000 * S, TAU, &b));
	CHECK_NEAR(a.slope, b.slope, 1e-6);
	CHECK_NEAR(a.r2, b.r2, 1e-6);
}

static void
test_odd(void)
{
	for (int round = 0; round < 3000; round++)
	{
		PoForecast	f;
		int64_t		now = random_odd_int64() / 4;
		double		left;

		if (round % 2)
			f = fresh;
		else
			random_fill(&f, sizeof(f));
		for (int i = 0; i < 20; i++)
		{
			int64_t		tau = random_odd_int64();

			now += random_magnitude() % (1000 * S) - (random_below(10) == 0 ? 500 * S : 0);
			po_forecast_note(&f, now, random_below(5) ? random_below(100) : random_odd_double(),
							 tau);
			left = po_forecast_full_in_s(&f, now + 1, tau, 0, random_odd_double());
			CHECK(isnan(left) || (left >= 0 && left <= PO_FORECAST_MOST_S));
		}
	}
}

int
main(void)
{
	test_against_plain();
	test_steady_growth();
	test_no_forecast();
	test_notes_do_not_matter();
	test_odd();
	return check_end("test_forecast");
}
