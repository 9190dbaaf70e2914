/*
 * fuzz_share.c
 *		Fuzzing the shares of a budget: what must hold for any tenants and any budget.
 */
#include "model/po_share.h"

#include "fuzz.h"

#define MOST_TENANTS	60
#define MOST			262143

static int
within(int count)
{
	return count < 0 ? 0 : count > MOST ? MOST : count;
}

static int
most_of(const PoShare *s)
{
	int			demand = s->demand < 0 ? MOST : within(s->demand);
	int			ceiling = s->ceiling < 0 ? MOST : within(s->ceiling);
	int			usable = demand < ceiling ? demand : ceiling;

	return usable > within(s->floor) ? usable : within(s->floor);
}

/* Memory of its exact size, with anything in it. */
static PoShareOutcome
share_out(PoShare *share, int n, int budget, int anything)
{
	PoShareMark *marks = malloc(PO_SHARE_MARKS(n) * sizeof(PoShareMark) + 1);
	PoShareOutcome outcome;

	must(marks != NULL, "there is memory");
	memset(marks, anything, PO_SHARE_MARKS(n) * sizeof(PoShareMark));
	outcome = po_share(share, n, budget, marks);
	free(marks);
	return outcome;
}

static void
check_sum(const PoShare *share, int n, int budget, PoShareOutcome outcome)
{
	int64_t		sum = 0;
	int64_t		wanted = 0;
	int64_t		room = budget > 0 ? budget : 0;

	for (int i = 0; i < n; i++)
	{
		sum += share[i].share;
		wanted += most_of(&share[i]);
		must(share[i].share >= 0 && share[i].share <= most_of(&share[i]),
			 "a share is what its tenant can use");
		must(outcome > PO_SHARE_CONTENDED || share[i].share >= within(share[i].floor),
			 "floors are kept");
		must(outcome <= PO_SHARE_CONTENDED || share[i].share <= within(share[i].floor),
			 "nothing beyond a floor while floors are cut");
	}
	must(sum == (room < wanted ? room : wanted), "shares sum to the budget");
	must((outcome == PO_SHARE_ENOUGH) == (room >= wanted), "enough is told where it is");
}

/* One connection more takes none from anybody, and less wanted by one none from others. */
static void
check_monotone(const PoShare *share, int n, int budget, int which)
{
	PoShare		more[MOST_TENANTS];

	memcpy(more, share, (size_t) n * sizeof(PoShare));
	if (budget < INT_MAX)
	{
		(void) share_out(more, n, budget + 1, 0x5A);
		for (int i = 0; i < n; i++)
			must(more[i].share >= share[i].share, "no share falls when the budget rises");
	}
	/* The floor of nobody changes by that. */
	if (within(share[which].floor) > 0)
		return;
	memcpy(more, share, (size_t) n * sizeof(PoShare));
	more[which].demand = share[which].share / 2;
	if (share_out(more, n, budget, 0) > PO_SHARE_CONTENDED)
		return;
	for (int i = 0; i < n; i++)
		must(i == which || more[i].share >= share[i].share, "surplus goes to others");
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	FuzzReader	in = {bytes, size, 0};
	PoShare		share[MOST_TENANTS];
	PoShare		again[MOST_TENANTS];
	int			budget = fuzz_int(&in);
	int			which = (int) fuzz_take(&in, 1);
	PoShareOutcome outcome;
	int			n = 0;

	while (n < MOST_TENANTS && in.read < in.size)
	{
		share[n].weight = fuzz_double(&in);
		share[n].floor = fuzz_int(&in);
		share[n].ceiling = fuzz_int(&in);
		share[n].demand = fuzz_int(&in);
		share[n].share = which;
		n++;
	}
	memcpy(again, share, (size_t) n * sizeof(PoShare));
	outcome = share_out(share, n, budget, 0xFF);
	check_sum(share, n, budget, outcome);
	must(share_out(again, n, budget, 0) == outcome, "the same input gives the same outcome");
	for (int i = 0; i < n; i++)
		must(again[i].share == share[i].share, "and the same shares");
	if (n > 0)
		check_monotone(share, n, budget, which % n);
	return 0;
}

/* Budget, which tenant is made to want less, then weight, floor, ceiling, demand of each. */
static const FuzzSeed seeds[] = {
	SEED("\x0A\x00" "\x01\x00\xFB\xFB" "\x02\x00\xFB\xFB" "\x07\x00\xFB\x0A"),
	SEED("\x1E\x01" "\x01\x0A\xFB\x28" "\x01\x14\xFB\x05" "\x01\x00\xFB\xF0\xE8\x03\x00\x00"),
	SEED("\x16\x00" "\x01\x0A\xFB\x28" "\x01\x14\xFB\x05" "\x01\x00\xFB\x80\xE8\x03"),
	SEED("\x0C\x01" "\x01\x0A\xFB\x28" "\x01\x14\xFB\x05"),
	/* the Alabama paradox */
	SEED("\x0B\x02" "\x06\x00\xFB\xFB" "\x06\x00\xFB\xFB" "\x02\x00\xFB\xFB"),
	/* weights that are none, counts that are none */
	SEED("\xFF\x00" "\xF8\xF8\xF8\xFF" "\xF9\xFF\xFF\xFF" "\xFA\xFB\xFB\xFB" "\xFE\xFC\xFD\xFE"),
	SEED("\x14\x03" "\x50\x10\x02\x63\x7F" "\x90\x20\x03\x7F\x05" "\xA4\x10\x00\x00\x10" "\xDF\x10\x01\x01\x63"),
};

FUZZ_MAIN("fuzz_share", seeds)
