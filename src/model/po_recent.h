/*
 * po_recent.h
 *		How much came in the last minute, in slots of five seconds.
 */
#ifndef PO_RECENT_H
#define PO_RECENT_H

#include "model/po_types.h"

#define PO_RECENT_SLOTS		12
#define PO_RECENT_SLOT_US	(5 * PO_US_PER_S)

/* All zero is a valid start. */
typedef struct PoRecent
{
	int64_t		newest;			/* number of the slot of time written last */
	double		sum[PO_RECENT_SLOTS];
} PoRecent;

extern void po_recent_add(PoRecent *recent, int64_t now_us, double amount);

/* What came within the last minute, rounded up to whole slots. */
extern double po_recent_sum(PoRecent *recent, int64_t now_us);

#endif							/* PO_RECENT_H */
