/*
 * po_share.c
 *		Weighted max-min fair shares of a budget of connections.
 */
#include "model/po_share.h"

#include <math.h>

#define MOST_CONNECTIONS	262143
#define LEAST_WEIGHT		1e-9
#define MOST_WEIGHT			1e6

/*
 * The budget lies between the sums of two bounds: of nothing and what is wanted of the
 * floors, of that and the floors, or of the floors and what is wanted in total.
 */
typedef struct Range
{
	int			least;
	int			most;
} Range;

static int
clamp(int count, int lowest, int highest)
{
	return count <= lowest ? lowest : count >= highest ? highest : count;
}

/* Every weight in a range in which levels of different sizes differ. */
static double
weight_of(const PoShare *s)
{
	if (!(s->weight > 0))
		return 1;
	return fmin(fmax(s->weight, LEAST_WEIGHT), MOST_WEIGHT);
}

static int
floor_of(const PoShare *s)
{
	return clamp(s->floor, 0, MOST_CONNECTIONS);
}

/* What a tenant can use, whatever its floor. */
static int
usable(const PoShare *s)
{
	int			demand = s->demand < 0 ? MOST_CONNECTIONS : s->demand;
	int			ceiling = s->ceiling < 0 ? MOST_CONNECTIONS : s->ceiling;

	return clamp(demand, 0, clamp(ceiling, 0, MOST_CONNECTIONS));
}

static Range
range_of(const PoShare *s, PoShareOutcome outcome)
{
	int			floor = floor_of(s);
	int			wanted = usable(s);
	int			of_floor = wanted < floor ? wanted : floor;

	switch (outcome)
	{
		case PO_SHARE_FLOORS_CUT:
			return (Range) {0, of_floor};
		case PO_SHARE_FLOORS_UNUSED_CUT:
			return (Range) {of_floor, floor};
		case PO_SHARE_ENOUGH:
		case PO_SHARE_CONTENDED:
			break;
	}
	return (Range) {floor, wanted > floor ? wanted : floor};
}

static PoShareOutcome
outcome_of(const PoShare *share, int n, int budget)
{
	int64_t		of_floors = 0;
	int64_t		floors = 0;
	int64_t		wanted = 0;

	for (int i = 0; i < n; i++)
	{
		Range		floor = range_of(&share[i], PO_SHARE_FLOORS_UNUSED_CUT);

		of_floors += floor.least;
		floors += floor.most;
		wanted += range_of(&share[i], PO_SHARE_CONTENDED).most;
	}
	if (budget >= wanted)
		return PO_SHARE_ENOUGH;
	if (budget >= floors)
		return PO_SHARE_CONTENDED;
	return budget >= of_floors ? PO_SHARE_FLOORS_UNUSED_CUT : PO_SHARE_FLOORS_CUT;
}

/* ---------- a heap, lowest first ---------- */

static bool
is_before(const PoShareMark *a, const PoShareMark *b)
{
	return a->level < b->level || (a->level == b->level && a->tie < b->tie);
}

static void
sift_down(PoShareMark *heap, int n, int i)
{
	PoShareMark moving = heap[i];

	for (int child = 2 * i + 1; child < n; child = 2 * i + 1)
	{
		if (child + 1 < n && is_before(&heap[child + 1], &heap[child]))
			child++;
		if (!is_before(&heap[child], &moving))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = moving;
}

static void
heapify(PoShareMark *heap, int n)
{
	for (int i = n / 2 - 1; i >= 0; i--)
		sift_down(heap, n, i);
}

static void
remove_first(PoShareMark *heap, int *n)
{
	heap[0] = heap[--*n];
	if (*n > 0)
		sift_down(heap, *n, 0);
}

/* ---------- filling ---------- */

/* Shares, not rounded, sum to constant + slope x level, in a range of levels. */
typedef struct Line
{
	double		constant;
	double		slope;
} Line;

/* Even numbers where a tenant begins to rise, odd ones where it ends. */
static void
add_mark(const PoShare *share, PoShareOutcome outcome, const PoShareMark *mark, Line *line)
{
	const PoShare *s = &share[mark->tie / 2];
	Range		range = range_of(s, outcome);

	line->constant += mark->tie % 2 == 0 ? -range.least : range.most;
	line->slope += mark->tie % 2 == 0 ? weight_of(s) : -weight_of(s);
}

static void
swap(PoShareMark *a, PoShareMark *b)
{
	PoShareMark c = *a;

	*a = *b;
	*b = c;
}

/*
 * The middle one, by level, of three from anywhere: no order of tenants, as of their sizes,
 * makes it slow.  The same input gives the same ones.
 */
static double
pivot_of(const PoShareMark *marks, int n, uint32_t *anywhere)
{
	double		level[3];
	double		a;
	double		b;

	for (int i = 0; i < 3; i++)
	{
		*anywhere = *anywhere * UINT32_C(1664525) + UINT32_C(1013904223);
		level[i] = marks[(uint64_t) *anywhere * (uint64_t) n >> 32].level;
	}
	a = fmin(level[0], level[1]);
	b = fmax(level[0], level[1]);
	return fmax(a, fmin(b, level[2]));
}

/* Those up to the pivot come first; how many they are, and what they add. */
static int
split(const PoShare *share, PoShareOutcome outcome, PoShareMark *marks, int n, double pivot,
	  Line *line)
{
	int			n_low = 0;

	for (int i = 0; i < n; i++)
	{
		if (marks[i].level > pivot)
			continue;
		add_mark(share, outcome, &marks[i], line);
		swap(&marks[i], &marks[n_low++]);
	}
	return n_low;
}

/*
 * The level at which shares, not rounded, sum to the budget: it is between two marks, found as
 * by Quickselect (C. A. R. Hoare 1961), as what is below a mark need not be in order to be
 * summed up.  Sums are off by rounding; round_at and settle do not depend on it.
 */
static double
water_level(const PoShare *share, int n, int budget, PoShareOutcome outcome,
			PoShareMark *marks)
{
	Line		below = {0, 0};
	double		lowest = 0;
	double		highest = INFINITY;
	uint32_t	anywhere = 1;
	int			n_marks = 0;

	for (int i = 0; i < n; i++)
	{
		Range		range = range_of(&share[i], outcome);

		below.constant += range.least;
		if (range.least == range.most)
			continue;
		marks[n_marks++] = (PoShareMark) {range.least / weight_of(&share[i]), 2 * (int64_t) i};
		marks[n_marks++] = (PoShareMark) {range.most / weight_of(&share[i]), 2 * (int64_t) i + 1};
	}
	while (n_marks > 0)
	{
		double		pivot = pivot_of(marks, n_marks, &anywhere);
		Line		line = below;
		int			n_low = split(share, outcome, marks, n_marks, pivot, &line);

		if (line.constant + line.slope * pivot < budget)
		{
			below = line;
			lowest = pivot;
			marks += n_low;
			n_marks -= n_low;
			continue;
		}
		/* It is no higher, so those of the pivot itself are done with. */
		highest = pivot;
		n_low = 0;
		for (int i = 0; i < n_marks; i++)
		{
			if (marks[i].level < pivot)
				swap(&marks[i], &marks[n_low++]);
		}
		n_marks = n_low;
	}
	if (!(below.slope > 0))
		return lowest;
	return fmin(fmax((budget - below.constant) / below.slope, lowest), highest);
}

/* The level from which a share is count and no longer count - 1. */
static double
level_of(const PoShare *s, int count)
{
	return (count - 0.5) / weight_of(s);
}

/* The largest count whose level is reached; by level_of alone, as settle compares. */
static int
round_at(const PoShare *s, Range range, double level)
{
	double		nearest = floor(weight_of(s) * level + 0.5);
	int			count = nearest >= range.most ? range.most : clamp((int) nearest, range.least,
																   range.most);

	while (count < range.most && level_of(s, count + 1) <= level)
		count++;
	while (count > range.least && level_of(s, count) > level)
		count--;
	return count;
}

/* Those whose share can change by one, in the order in which it should. */
static void
mark(const PoShare *share, int i, PoShareOutcome outcome, int by, PoShareMark *marks, int *n)
{
	Range		range = range_of(&share[i], outcome);

	if (by > 0 && share[i].share < range.most)
		marks[(*n)++] = (PoShareMark) {level_of(&share[i], share[i].share + 1), i};
	else if (by < 0 && share[i].share > range.least)
		marks[(*n)++] = (PoShareMark) {-level_of(&share[i], share[i].share), -(int64_t) i};
}

/*
 * One by one to the lowest, or from the highest, until the shares sum to the budget: no
 * more than about half a connection for each tenant.
 */
static void
settle(PoShare *share, int n, int64_t missing, PoShareOutcome outcome, PoShareMark *marks)
{
	int			by = missing > 0 ? 1 : -1;
	int			n_marks = 0;

	for (int i = 0; i < n && missing != 0; i++)
		mark(share, i, outcome, by, marks, &n_marks);
	heapify(marks, n_marks);
	for (; missing != 0 && n_marks > 0; missing -= by)
	{
		int			i = (int) (by * marks[0].tie);
		int			again = 0;

		share[i].share += by;
		mark(share, i, outcome, by, marks, &again);
		if (again > 0)
			sift_down(marks, n_marks, 0);
		else
			remove_first(marks, &n_marks);
	}
}

PoShareOutcome
po_share(PoShare *share, int n, int budget, PoShareMark *marks)
{
	PoShareOutcome outcome;
	int64_t		missing;
	double		level;

	if (n <= 0)
		return PO_SHARE_ENOUGH;
	budget = budget > 0 ? budget : 0;
	outcome = outcome_of(share, n, budget);
	if (outcome == PO_SHARE_ENOUGH)
	{
		for (int i = 0; i < n; i++)
			share[i].share = range_of(&share[i], outcome).most;
		return outcome;
	}
	level = water_level(share, n, budget, outcome, marks);
	missing = budget;
	for (int i = 0; i < n; i++)
	{
		share[i].share = round_at(&share[i], range_of(&share[i], outcome), level);
		missing -= share[i].share;
	}
	settle(share, n, missing, outcome, marks);
	return outcome;
}
