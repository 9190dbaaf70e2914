/*
 * po_baseline.h
 *		What is usual: mean and deviation of equal pieces of time, learnt online.
 *
 * The first PO_BASELINE_MEMORY pieces count alike, later ones are forgotten exponentially
 * with that as time constant (B. P. Welford 1962; T. Finch 2009, "Incremental
 * calculation of weighted mean and variance").  What few pieces say is not trusted: the
 * deviation counts for (1 + PO_BASELINE_CAUTION / n) times as much.  What is far above what is
 * usual is learnt as PO_BASELINE_CLIP deviations above it: a storm is not usual as soon as it
 * has been seen once, but is in the end if it stays (P. J. Huber 1964 on such means).
 */
#ifndef PO_BASELINE_H
#define PO_BASELINE_H

#include "model/po_types.h"

#define PO_BASELINE_MEMORY		8640.0	/* a day of pieces of 10 s */
#define PO_BASELINE_LEAST		30.0	/* before that nothing is unusual */
#define PO_BASELINE_CAUTION		120.0
#define PO_BASELINE_CLIP		4.0

/* All zero is a valid start. */
typedef struct PoBaseline
{
	double		n;				/* pieces that the mean stands for */
	double		mean;
	double		variance;
} PoBaseline;

/* So many pieces in a row had this value. */
extern void po_baseline_feed(PoBaseline *b, double value, int64_t count);

/*
 * By how many deviations value is above the mean; a deviation is a tenth of the mean and
 * 1 at least.  NaN = too little is known.  Ask before the value is fed.
 */
extern double po_baseline_deviations(const PoBaseline *b, double value);

/*
 * The same where so many are usual at this time of the week (0 = not known): what is usual
 * by either is not unusual, and either alone is enough to tell.
 */
extern double po_baseline_unusual(const PoBaseline *b, double value, double season);

#endif							/* PO_BASELINE_H */
