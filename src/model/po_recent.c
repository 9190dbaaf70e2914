/*
 * po_recent.c
 *		How much came in the last minute, in slots of five seconds.
 */
#include "model/po_recent.h"

#include <string.h>

static int
place_of(int64_t slot)
{
	int			place = (int) (slot % PO_RECENT_SLOTS);

	return place < 0 ? place + PO_RECENT_SLOTS : place;
}

/* Empties what is older than a minute; a clock that was set back starts anew. */
static void
advance(PoRecent *recent, int64_t now_us)
{
	int64_t		slot = now_us / PO_RECENT_SLOT_US - (now_us % PO_RECENT_SLOT_US < 0);
	int64_t		newest = recent->newest;

	if (slot < newest || newest < INT64_MIN + PO_RECENT_SLOTS ||
		slot - PO_RECENT_SLOTS >= newest)
		memset(recent->sum, 0, sizeof(recent->sum));
	else
	{
		for (int64_t s = newest + 1; s <= slot; s++)
			recent->sum[place_of(s)] = 0;
	}
	recent->newest = slot;
}

void
po_recent_add(PoRecent *recent, int64_t now_us, double amount)
{
	advance(recent, now_us);
	recent->sum[place_of(recent->newest)] += amount;
}

double
po_recent_sum(PoRecent *recent, int64_t now_us)
{
	double		sum = 0;

	advance(recent, now_us);
	for (int i = 0; i < PO_RECENT_SLOTS; i++)
		sum += recent->sum[i];
	return sum;
}
