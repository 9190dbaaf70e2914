/*
 * po_profile.c
 *		What is usual in an hour of the week: from pieces of that hour in the last weeks.
 */
#include "model/po_profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BUSY	262143.0	/* core's limit of connections */
#define A_HAIR		1e-3		/* of a session, that does not ask for one more */

static int
compare_values(const void *a, const void *b)
{
	const PoProfileValue *x = a;
	const PoProfileValue *y = b;

	return x->busy < y->busy ? -1 : x->busy > y->busy;
}

static float
sane_busy(float busy)
{
	return busy > 0 ? fminf(busy, (float) MOST_BUSY) : 0;
}

void
po_profile_make(PoProfileValue *value, int n, const int pieces[PO_PROFILE_WEEKS],
				PoProfile *profile)
{
	int			first = -1;
	int			all = 0;
	int			rank;
	double		sum = 0;

	memset(profile, 0, sizeof(*profile));
	for (int i = 0; i < n; i++)
	{
		value[i].busy = sane_busy(value[i].busy);
		sum += value[i].busy;
		if (value[i].week > first)
			first = value[i].week;
	}
	for (int week = 0; week <= first && week < PO_PROFILE_WEEKS; week++)
	{
		if (pieces[week] <= 0)
			continue;
		all += pieces[week];
		profile->weeks++;
	}
	if (n == 0 || all == 0)
		return;
	/* More values than pieces were watched: take these as watched. */
	if (all < n)
		all = n;
	qsort(value, n, sizeof(PoProfileValue), compare_values);
	profile->busy_mean = sum / all;
	/* The pieces without a value are the first in the order. */
	rank = (int) ceil(0.95 * all - 1e-9) - 1 - (all - n);
	profile->busy_p95 = rank < 0 ? 0 : value[rank].busy;
}

void
po_profile_add(PoSeason *season, const PoProfile *profile, bool is_next)
{
	if (profile->weeks < PO_PROFILE_LEAST || !(profile->busy_p95 > season->busy))
		return;
	season->busy = sane_busy((float) profile->busy_p95);
	season->weeks = (uint8_t) (profile->weeks < UINT8_MAX ? profile->weeks : UINT8_MAX);
	season->is_next = is_next ? 1 : 0;
}

int
po_profile_sessions(const PoSeason *season)
{
	return (int) ceilf(sane_busy(season->busy) - (float) A_HAIR);
}
