/*
 * test_recent.c
 *		The last minute's sum against a list of all that came.
 */
#include "model/po_recent.h"

#include "check.h"

#define MINUTE		(60 * PO_US_PER_S)
#define MOST		2000

static const PoRecent fresh;

static void
test_known(void)
{
	PoRecent	r = fresh;

	CHECK_NEAR(po_recent_sum(&r, 0), 0, 0);
	po_recent_add(&r, 0, 2);
	po_recent_add(&r, 7 * PO_US_PER_S, 3);
	CHECK_NEAR(po_recent_sum(&r, 59 * PO_US_PER_S), 5, 0);
	CHECK_NEAR(po_recent_sum(&r, 60 * PO_US_PER_S), 3, 0);
	CHECK_NEAR(po_recent_sum(&r, 65 * PO_US_PER_S), 0, 0);
	po_recent_add(&r, -1, 4);
	CHECK_NEAR(po_recent_sum(&r, -1), 4, 0);
	CHECK_NEAR(po_recent_sum(&r, 54 * PO_US_PER_S), 4, 0);
	CHECK_NEAR(po_recent_sum(&r, 55 * PO_US_PER_S), 0, 0);
}

/* All of the last 55 s is in it, and nothing older than a minute. */
static void
test_property(void)
{
	static int64_t at[MOST];
	static double amount[MOST];

	for (int round = 0; round < 100; round++)
	{
		PoRecent	r = fresh;
		int64_t		now = random_magnitude() % (1000 * MINUTE) - 500 * MINUTE;

		for (int n = 0; n < MOST; n++)
		{
			double		least = 0;
			double		most = 0;
			double		sum;

			now += random_magnitude() % (round % 2 ? PO_US_PER_S : 20 * PO_US_PER_S);
			at[n] = now;
			amount[n] = random_below(5);
			po_recent_add(&r, now, amount[n]);
			for (int i = n; i >= 0 && now - at[i] < MINUTE; i--)
			{
				most += amount[i];
				least += now - at[i] <= MINUTE - PO_RECENT_SLOT_US ? amount[i] : 0;
			}
			sum = po_recent_sum(&r, now);
			CHECK_WITH(sum >= least && sum <= most, "%g not in %g..%g", sum, least, most);
		}
	}
}

static void
test_damaged(void)
{
	for (int round = 0; round < 3000; round++)
	{
		PoRecent	r;

		random_fill(&r, sizeof(r));
		r.newest = random_odd_int64();
		(void) po_recent_sum(&r, random_odd_int64());
		po_recent_add(&r, random_odd_int64(), random_odd_double());
		CHECK(true);
	}
}

int
main(void)
{
	test_known();
	test_property();
	test_damaged();
	return check_end("test_recent");
}
