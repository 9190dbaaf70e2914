/*
 * test_usl.c
 *		The fit of the scalability law: exact where the points are, honest where they end.
 */
#include "check.h"
#include "model/po_usl.h"

#include <string.h>

static const double sizes[] = {1, 2, 4, 8, 12, 16, 24, 32};

static void
sample_of(const PoUsl *usl, int n, double noise, PoUslSample *s)
{
	memset(s, 0, sizeof(*s));
	s->n = n;
	for (int i = 0; i < n; i++)
	{
		s->size[i] = sizes[i];
		s->time_us[i] = po_usl_time(usl, sizes[i]) * (1 + noise * (2 * random_unit() - 1));
		s->weight[i] = 3;
	}
}

/* Without noise the coefficients come back, and what is predicted is what is. */
static void
test_recovers(void)
{
	static const PoUsl laws[] = {
		{1000, 0, 0}, {0, 500, 0}, {1000, 20, 0}, {1000, 20, 3}, {300, 0, 10}
	};

	for (int i = 0; i < (int) (sizeof(laws) / sizeof(laws[0])); i++)
	{
		PoUslSample s;
		PoUslFit	fit;
		double		error;

		sample_of(&laws[i], 5, 0, &s);
		CHECK(po_usl_fit(&s, true, 0.01, &fit));
		CHECK_NEAR(fit.usl.base_us, laws[i].base_us, 1e-3);
		CHECK_NEAR(fit.usl.serial_us, laws[i].serial_us, 1e-3);
		CHECK_NEAR(fit.usl.crosstalk_us, laws[i].crosstalk_us, 1e-3);
		CHECK_NEAR(po_usl_rate(&fit, 64, &error) * po_usl_time(&laws[i], 64) / 64e6, 1, 1e-6);
		CHECK(error > 0 && error < 1);
	}
}

/* The true rate is within two standard errors about as often as it should be, also where
 * nothing was measured; the error grows with the distance. */
static void
test_error(void)
{
	static const PoUsl law = {1000, 30, 2};
	const int	runs = 2000;
	int			inside = 0;

	for (int i = 0; i < runs; i++)
	{
		PoUslSample s;
		PoUslFit	fit;
		double		near;
		double		far;
		double		rate;

		/* uniform on +-5 % has a deviation of 5 % / sqrt(3); one of three evaluations, 5 % */
		sample_of(&law, 6, 0.05, &s);
		CHECK(po_usl_fit(&s, true, 0.05, &fit));
		rate = po_usl_rate(&fit, 40, &far);
		po_usl_rate(&fit, 12, &near);
		CHECK(near < far);
		inside += fabs(rate * po_usl_time(&law, 40) / 40e6 - 1) <= 2 * far;
	}
	CHECK_WITH(inside > 0.88 * runs, "%d of %d are inside", inside, runs);
}

static void
test_refuses(void)
{
	static const PoUsl law = {1000, 30, 2};
	PoUslSample s;
	PoUslFit	fit;
	double		error;

	sample_of(&law, 2, 0, &s);
	CHECK(!po_usl_fit(&s, true, 0.01, &fit));
	CHECK(po_usl_rate(&fit, 10, &error) == 0 && isinf(error));
	/* Without crosstalk in it there is none in the fit. */
	sample_of(&law, 6, 0, &s);
	CHECK(po_usl_fit(&s, false, 0.01, &fit));
	CHECK(fit.usl.crosstalk_us == 0);
}

/* No coefficient is ever negative, and nothing is NaN. */
static void
test_nonsense(void)
{
	for (int i = 0; i < 20000; i++)
	{
		PoUslSample s;
		PoUslFit	fit;
		double		error;
		double		rate;

		memset(&s, 0, sizeof(s));
		s.n = random_below(PO_USL_POINTS + 1);
		for (int p = 0; p < s.n; p++)
		{
			s.size[p] = (p > 0 ? s.size[p - 1] : 0) + 1 + random_below(50);
			s.time_us[p] = pow(10, 12 * random_unit() - 3);
			s.weight[p] = 1 + random_below(20);
		}
		if (!po_usl_fit(&s, random_below(2) == 0, random_unit(), &fit))
			continue;
		rate = po_usl_rate(&fit, 1 + random_below(1000), &error);
		CHECK(fit.usl.base_us >= 0 && fit.usl.serial_us >= 0 && fit.usl.crosstalk_us >= 0);
		CHECK(isfinite(rate) && rate >= 0 && !isnan(error) && error >= 0);
	}
}

int
main(void)
{
	test_recovers();
	test_error();
	test_refuses();
	test_nonsense();
	return check_end("test_usl");
}
