/*
 * test_profile.c
 *		Hours of the week against plain sorting, and what is not known yet.
 */
#include "model/po_profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/* With all pieces written out, the missing ones as 0. */
static void
test_against_sorting(void)
{
	for (int round = 0; round < 2000; round++)
	{
		PoProfileValue value[PO_PROFILE_WEEKS * 12];
		double		all[PO_PROFILE_WEEKS * 12];
		int			pieces[PO_PROFILE_WEEKS];
		int			came = random_below(PO_PROFILE_WEEKS);
		int			n = 0;
		int			n_all = 0;
		int			weeks = 0;
		double		sum = 0;
		PoProfile	p;

		for (int week = PO_PROFILE_WEEKS - 1; week >= 0; week--)
		{
			pieces[week] = random_below(4) == 0 && week != came ? 0 : 1 + random_below(12);
			if (week > came)
				continue;
			weeks += pieces[week] > 0;
			for (int i = 0; i < pieces[week]; i++)
			{
				bool		missing = random_below(5) == 0 && !(week == came && i == 0);

				all[n_all] = missing ? 0 : (float) (random_unit() * 50);
				sum += all[n_all];
				if (!missing)
				{
					value[n].week = week;
					value[n++].busy = (float) all[n_all];
				}
				n_all++;
			}
		}
		qsort(all, n_all, sizeof(double), compare);
		po_profile_make(value, n, pieces, &p);
		CHECK_INT(p.weeks, weeks);
		CHECK(fabs(p.busy_mean - sum / n_all) < 1e-4);
		CHECK(p.busy_p95 == all[(int) ceil(0.95 * n_all - 1e-9) - 1]);
	}
}

static void
test_odd_input(void)
{
	PoProfileValue value[] = {{0, NAN}, {0, -3}, {1, INFINITY}, {1, 2}, {99, 2}};
	int			pieces[PO_PROFILE_WEEKS] = {12, 12};
	int			none[PO_PROFILE_WEEKS] = {0};
	PoProfile	p;

	po_profile_make(value, 0, pieces, &p);
	CHECK_INT(p.weeks, 0);
	CHECK(p.busy_mean == 0 && p.busy_p95 == 0);
	po_profile_make(value, 2, none, &p);
	CHECK_INT(p.weeks, 0);
	po_profile_make(value, 5, pieces, &p);
	CHECK_INT(p.weeks, 2);
	CHECK(isfinite(p.busy_mean) && isfinite(p.busy_p95));
	CHECK(p.busy_p95 >= 0 && p.busy_p95 <= 262143);
}

static PoProfile
profile_of(double p95, int weeks)
{
	PoProfile	p = {p95 / 2, p95, weeks};

	return p;
}

static void
test_season(void)
{
	PoSeason	s;
	PoProfile	p;

	memset(&s, 0, sizeof(s));
	CHECK_INT(po_profile_sessions(&s), 0);
	p = profile_of(9, PO_PROFILE_LEAST - 1);
	po_profile_add(&s, &p, false);
	CHECK_INT(po_profile_sessions(&s), 0);
	p = profile_of(4.2, 5);
	po_profile_add(&s, &p, false);
	CHECK_INT(po_profile_sessions(&s), 5);
	CHECK(!s.is_next);
	p = profile_of(12, 3);
	po_profile_add(&s, &p, true);
	CHECK_INT(po_profile_sessions(&s), 12);
	CHECK(s.is_next);
	CHECK_INT(s.weeks, 3);
	p = profile_of(11, 8);
	po_profile_add(&s, &p, false);
	CHECK_INT(s.weeks, 3);
	p = profile_of(NAN, 8);
	po_profile_add(&s, &p, false);
	CHECK_INT(po_profile_sessions(&s), 12);
	p = profile_of(1e300, 8);
	po_profile_add(&s, &p, false);
	CHECK_INT(po_profile_sessions(&s), 262143);
	s.busy = 3.0004f;
	CHECK_INT(po_profile_sessions(&s), 3);
}

int
main(void)
{
	test_against_sorting();
	test_odd_input();
	test_season();
	return check_end("test_profile");
}
