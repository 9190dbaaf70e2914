/*
 * po_baseline.c
 *		What is usual: mean and deviation of equal pieces of time, learnt online.
 */
#include "model/po_baseline.h"

#include <math.h>
#include <string.h>

static bool
is_sound(const PoBaseline *b)
{
	return isfinite(b->n) && isfinite(b->mean) && isfinite(b->variance) && b->n >= 0 &&
		b->variance >= 0;
}

/* A deviation is never less than this: a tenth of what is usual, and one session. */
static double
least_deviation(double usual)
{
	return fmax(fabs(usual) / 10, 1);
}

static double
deviation_of(const PoBaseline *b)
{
	return fmax(sqrt(b->variance), least_deviation(b->mean));
}

void
po_baseline_feed(PoBaseline *b, double value, int64_t count)
{
	double		k = (double) count;
	double		share;
	double		difference;

	if (count <= 0 || !isfinite(value) || fabs(value) > 1e12)
		return;
	if (!is_sound(b))
		memset(b, 0, sizeof(*b));
	if (b->n >= PO_BASELINE_LEAST)
		value = fmin(value, b->mean + PO_BASELINE_CLIP * deviation_of(b));
	/* Of all that is known then, how much is new: at first its number, later by forgetting. */
	share = b->n + k <= PO_BASELINE_MEMORY ? k / (b->n + k) :
		-expm1(-k / PO_BASELINE_MEMORY);
	difference = value - b->mean;
	b->mean += share * difference;
	b->variance = (1 - share) * (b->variance + share * difference * difference);
	b->n = fmin(b->n + k, PO_BASELINE_MEMORY);
}

double
po_baseline_deviations(const PoBaseline *b, double value)
{
	if (!is_sound(b) || b->n < PO_BASELINE_LEAST)
		return NAN;
	return (value - b->mean) / (deviation_of(b) * (1 + PO_BASELINE_CAUTION / b->n));
}

double
po_baseline_unusual(const PoBaseline *b, double value, double season)
{
	double		deviations = po_baseline_deviations(b, value);

	if (!(season > 0) || isinf(season))
		return deviations;
	/* fmin() passes over what is not known. */
	return fmin(deviations, (value - season) / least_deviation(season));
}
