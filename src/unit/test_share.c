/*
 * test_share.c
 *		Weighted max-min fair shares: known cases, and what must hold for any input.
 */
#include "check.h"
#include "model/po_share.h"

#include <stdlib.h>

#define MANY			10000
#define MOST			262143
#define UNKNOWN			PO_UNLIMITED

static PoShare many[MANY];
static PoShareMark marks[PO_SHARE_MARKS(MANY)];

/* ---------- known cases ---------- */

static void
check_shares(PoShare *s, int n, int budget, PoShareOutcome outcome, const int *expected)
{
	CHECK_INT(po_share(s, n, budget, marks), outcome);
	for (int i = 0; i < n; i++)
		CHECK_WITH(s[i].share == expected[i], "budget %d, tenant %d has %d, not %d",
				   budget, i, s[i].share, expected[i]);
}

static void
test_without_weights(void)
{
	PoShare		s[] = {
		{1, 0, UNKNOWN, 2, 0}, {1, 0, UNKNOWN, 8, 0}, {1, 0, UNKNOWN, 10, 0},
		{1, 0, 3, 10, 0}
	};

	check_shares(s, 4, 0, PO_SHARE_CONTENDED, (int[]) {0, 0, 0, 0});
	check_shares(s, 4, 2, PO_SHARE_CONTENDED, (int[]) {1, 1, 0, 0});
	check_shares(s, 4, 8, PO_SHARE_CONTENDED, (int[]) {2, 2, 2, 2});
	check_shares(s, 4, 15, PO_SHARE_CONTENDED, (int[]) {2, 5, 5, 3});
	check_shares(s, 4, 16, PO_SHARE_CONTENDED, (int[]) {2, 6, 5, 3});
	check_shares(s, 4, 22, PO_SHARE_CONTENDED, (int[]) {2, 8, 9, 3});
	check_shares(s, 4, 23, PO_SHARE_ENOUGH, (int[]) {2, 8, 10, 3});
	check_shares(s, 4, INT_MAX, PO_SHARE_ENOUGH, (int[]) {2, 8, 10, 3});
	check_shares(s, 4, -5, PO_SHARE_CONTENDED, (int[]) {0, 0, 0, 0});
	CHECK_INT(po_share(NULL, 0, 10, NULL), PO_SHARE_ENOUGH);
}

static void
test_weights_and_floors(void)
{
	PoShare		by_weight[] = {
		{1, 0, UNKNOWN, UNKNOWN, 0}, {2, 0, UNKNOWN, UNKNOWN, 0}, {7, 0, UNKNOWN, 10, 0}
	};
	/* The analytics tenant wants everything; the second has a floor it does not use. */
	PoShare		floors[] = {
		{1, 10, UNKNOWN, 40, 0}, {1, 20, UNKNOWN, 5, 0}, {1, 0, UNKNOWN, 1000, 0}
	};
	PoShare		over[] = {{1, 5, 3, 100, 0}, {1, 0, 3, 100, 0}};

	check_shares(by_weight, 3, 10, PO_SHARE_CONTENDED, (int[]) {1, 2, 7});
	check_shares(by_weight, 3, 40, PO_SHARE_CONTENDED, (int[]) {10, 20, 10});
	check_shares(floors, 3, 100, PO_SHARE_CONTENDED, (int[]) {40, 20, 40});
	check_shares(floors, 3, 40, PO_SHARE_CONTENDED, (int[]) {10, 20, 10});
	check_shares(floors, 3, 30, PO_SHARE_CONTENDED, (int[]) {10, 20, 0});
	check_shares(floors, 3, 22, PO_SHARE_FLOORS_UNUSED_CUT, (int[]) {10, 12, 0});
	check_shares(floors, 3, 15, PO_SHARE_FLOORS_UNUSED_CUT, (int[]) {10, 5, 0});
	check_shares(floors, 3, 12, PO_SHARE_FLOORS_CUT, (int[]) {7, 5, 0});
	check_shares(over, 2, 100, PO_SHARE_ENOUGH, (int[]) {5, 3});
}

/*
 * The classical house of the Alabama paradox (weights 6, 6, 2): with largest remainders
 * the smallest has 2 of 10 and 1 of 11.
 */
static void
test_alabama(void)
{
	PoShare		s[] = {
		{6, 0, UNKNOWN, UNKNOWN, 0}, {6, 0, UNKNOWN, UNKNOWN, 0}, {2, 0, UNKNOWN, UNKNOWN, 0}
	};
	int			before;

	po_share(s, 3, 10, marks);
	before = s[2].share;
	po_share(s, 3, 11, marks);
	CHECK(s[2].share >= before);
}

/* ---------- properties ---------- */

static int
within(int count, int lowest, int highest)
{
	return count < lowest ? lowest : count > highest ? highest : count;
}

static int
lowest_of(const PoShare *s)
{
	return within(s->floor, 0, MOST);
}

static int
wanted_of(const PoShare *s)
{
	int			demand = s->demand < 0 ? MOST : within(s->demand, 0, MOST);
	int			ceiling = s->ceiling < 0 ? MOST : within(s->ceiling, 0, MOST);

	return demand < ceiling ? demand : ceiling;
}

static int
highest_of(const PoShare *s)
{
	return wanted_of(s) > lowest_of(s) ? wanted_of(s) : lowest_of(s);
}

/* Sum, floors, and most, of any input. */
static void
check_bounds(const PoShare *s, int n, int budget, PoShareOutcome outcome)
{
	long long	sum = 0;
	long long	floors = 0;
	long long	wanted = 0;
	long long	room = budget > 0 ? budget : 0;

	for (int i = 0; i < n; i++)
	{
		sum += s[i].share;
		floors += lowest_of(&s[i]);
		wanted += highest_of(&s[i]);
		CHECK_WITH(s[i].share >= 0 && s[i].share <= highest_of(&s[i]), "%d of %d",
				   s[i].share, highest_of(&s[i]));
		CHECK_WITH(outcome > PO_SHARE_CONTENDED || s[i].share >= lowest_of(&s[i]),
				   "%d of floor %d", s[i].share, lowest_of(&s[i]));
		CHECK_WITH(outcome <= PO_SHARE_CONTENDED || s[i].share <= lowest_of(&s[i]),
				   "%d above floor %d", s[i].share, lowest_of(&s[i]));
	}
	CHECK_WITH(sum == (room < wanted ? room : wanted), "sum %lld, budget %lld, wanted %lld",
			   sum, room, wanted);
	CHECK_INT(outcome <= PO_SHARE_CONTENDED, floors <= room || wanted <= room);
}

/*
 * The share of one who could have more is, but for rounding, no less by weight than that
 * of anyone above their floor: so max-min fairness is defined (and Webster's method).
 */
static void
check_fair(const PoShare *s, int n)
{
	double		poorest = INFINITY;
	double		richest = 0;

	for (int i = 0; i < n; i++)
	{
		if (s[i].share < highest_of(&s[i]))
			poorest = fmin(poorest, (s[i].share + 0.5) / s[i].weight);
		if (s[i].share > lowest_of(&s[i]))
			richest = fmax(richest, (s[i].share - 0.5) / s[i].weight);
	}
	CHECK_WITH(poorest >= richest, "poorest %.17g, richest %.17g", poorest, richest);
}

static void
fill_plausible(PoShare *s, int n)
{
	static const double weights[] = {1, 1, 1, 2, 10, 0.1, 1e-9, 1e6};

	for (int i = 0; i < n; i++)
	{
		s[i].weight = random_below(3) == 0 ? exp(random_unit() * 6 - 3) :
			weights[random_below(n % 2 == 0 ? 8 : 5)];
		s[i].floor = random_below(3) == 0 ? random_below(20) : 0;
		s[i].ceiling = random_below(2) == 0 ? random_below(60) : UNKNOWN;
		s[i].demand = random_below(9) == 0 ? UNKNOWN : random_below(100);
	}
}

static void
test_properties(void)
{
	for (int round = 0; round < 3000; round++)
	{
		int			n = 1 + random_below(40);
		int			budget = random_below(1200);
		PoShareOutcome outcome;

		fill_plausible(many, n);
		outcome = po_share(many, n, budget, marks);
		check_bounds(many, n, budget, outcome);
		if (outcome == PO_SHARE_CONTENDED)
			check_fair(many, n);
	}
}

static void
test_monotone(void)
{
	int			before[12];

	for (int round = 0; round < 150; round++)
	{
		int			n = 1 + random_below(12);

		fill_plausible(many, n);
		memset(before, 0, sizeof(before));
		for (int budget = 0; budget < 400; budget++)
		{
			po_share(many, n, budget, marks);
			for (int i = 0; i < n; i++)
			{
				CHECK_WITH(many[i].share >= before[i], "tenant %d of %d: %d after %d, budget %d",
						   i, n, many[i].share, before[i], budget);
				before[i] = many[i].share;
			}
		}
	}
}

/* A tenant that wants less takes from nobody. */
static void
test_surplus_goes_to_others(void)
{
	int			before[20];

	for (int round = 0; round < 1000; round++)
	{
		int			n = 2 + random_below(18);
		int			budget = random_below(600);
		int			less = random_below(n);

		fill_plausible(many, n);
		for (int i = 0; i < n; i++)
			many[i].floor = 0;
		po_share(many, n, budget, marks);
		for (int i = 0; i < n; i++)
			before[i] = many[i].share;
		many[less].demand = random_below(before[less] + 1);
		po_share(many, n, budget, marks);
		for (int i = 0; i < n; i++)
			CHECK_WITH(i == less || many[i].share >= before[i], "%d after %d", many[i].share,
					   before[i]);
	}
}

static void
test_any_input(void)
{
	for (int round = 0; round < 20000; round++)
	{
		int			n = 1 + random_below(12);
		int			budget = random_odd_int();
		PoShareOutcome outcome;

		for (int i = 0; i < n; i++)
		{
			many[i].weight = random_odd_double();
			many[i].floor = random_odd_int();
			many[i].ceiling = random_odd_int();
			many[i].demand = random_odd_int();
			many[i].share = random_odd_int();
		}
		outcome = po_share(many, n, budget, marks);
		check_bounds(many, n, budget, outcome);
	}
}

static void
test_deterministic(void)
{
	static PoShare again[500];

	fill_plausible(many, 500);
	memcpy(again, many, sizeof(again));
	random_fill(marks, sizeof(marks));
	po_share(many, 500, 3000, marks);
	memset(marks, 0, sizeof(marks));
	po_share(again, 500, 3000, marks);
	for (int i = 0; i < 500; i++)
		CHECK_INT(again[i].share, many[i].share);
}

/* How long it takes is measured in sim/; here that so many tenants are shared right. */
static void
test_many(void)
{
	static const int budgets[] = {0, 1, 100, 5000, 9999, 10001, 100000, 400000, MOST, INT_MAX};

	for (int i = 0; i < (int) (sizeof(budgets) / sizeof(budgets[0])); i++)
	{
		PoShareOutcome outcome;

		fill_plausible(many, MANY);
		for (int t = 0; i % 2 == 0 && t < MANY; t++)
			many[t].floor = 0;
		outcome = po_share(many, MANY, budgets[i], marks);
		check_bounds(many, MANY, budgets[i], outcome);
		if (outcome == PO_SHARE_CONTENDED)
			check_fair(many, MANY);
	}
}

int
main(void)
{
	test_without_weights();
	test_weights_and_floors();
	test_alabama();
	test_properties();
	test_monotone();
	test_surplus_goes_to_others();
	test_any_input();
	test_deterministic();
	test_many();
	return check_end("test_share");
}
