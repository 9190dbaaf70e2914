/*
 * po_histogram.h
 *		Fixed-size distributions: durations, and levels of concurrency.
 *
 * PoHistogram counts durations in microseconds.  Values below 4 us have a bucket
 * each; above, every power of two is cut into 4 equal buckets (the scheme of
 * HdrHistogram with two significant bits), so a bucket is at most 25 % wide and
 * an interpolated quantile is off by less than that.  The last bucket takes all
 * that is longer than 5.5 days.
 *
 * PoBrief is the same for many, in little memory.
 *
 * PoLevels weighs levels of concurrency (how many sessions were busy) by the
 * time they lasted.  Levels 0 to 31 have a bucket each, above there are 4 per
 * power of two (a quantile is interpolated within them), and above 8191 reads as 8191.
 * Time at level 0 is not stored but follows from the total, so
 * that a tenant without busy sessions costs nothing to observe.
 */
#ifndef PO_HISTOGRAM_H
#define PO_HISTOGRAM_H

#include "model/po_types.h"

#define PO_HISTOGRAM_BUCKETS	152
#define PO_HISTOGRAM_LAST_US	(INT64_C(7) << 36)	/* where the last one begins */

typedef struct PoHistogram
{
	uint64_t	count[PO_HISTOGRAM_BUCKETS];
} PoHistogram;

/* The same with smaller counters, which stay at their end, for what is rare. */
typedef struct PoSmallHistogram
{
	uint32_t	count[PO_HISTOGRAM_BUCKETS];
} PoSmallHistogram;

/* The bucket of a duration of 4 us or more, were there enough of them. */
static inline int
po_histogram_any_bucket(int64_t us)
{
	/* The highest bit; as "^", and with that bit left in what is shifted, it is in the path of
	 * each query in fewer instructions. */
	int			octave = 63 ^ __builtin_clzll((uint64_t) us);

	return octave * 4 + (int) ((uint64_t) us >> (octave - 2)) - 8;
}

/* The bucket of a duration; negative ones (a clock set back) count as 0. */
static inline int
po_histogram_bucket(int64_t us)
{
	/* Both by the duration itself, so that neither is left where its range is known. */
	if (us < 4)
		return us < 0 ? 0 : (int) us;
	if (us >= PO_HISTOGRAM_LAST_US)
		return PO_HISTOGRAM_BUCKETS - 1;
	return po_histogram_any_bucket(us);
}

/* The smallest duration (us) in a bucket; of bucket + 1, the end of it. */
extern int64_t po_histogram_lower(int bucket);

extern uint64_t po_histogram_total(const PoHistogram *h);

extern void po_histogram_add_small(PoSmallHistogram *h, int64_t us);
extern void po_histogram_widen(const PoSmallHistogram *from, PoHistogram *to);

/* Adds n to a bucket; where there is no room, all buckets are halved first (upwards, so that
 * none seen becomes never seen): for what is asked for shares only. */
extern void po_histogram_share_small(PoSmallHistogram *h, int bucket, uint32_t n);

/*
 * The duration (us) below which the share q (0..1) lies, interpolated within
 * its bucket; 0 when the histogram is empty.  Monotone in q.
 */
extern double po_histogram_quantile(const PoHistogram *h, double q);

/* How many values are longer than us, interpolated within the bucket. */
extern double po_histogram_exceeding(const PoHistogram *h, int64_t us);

/* The end (us) of the highest bucket in use; 0 when empty. */
extern int64_t po_histogram_end(const PoHistogram *h);

/*
 * A brief histogram: the buckets of PoHistogram from 4 us to 67 s, what is beyond in the
 * first and the last, in small counters.  When one is full all are halved, so that old
 * values weigh less.
 */
#define PO_BRIEF_BUCKETS		96
#define PO_BRIEF_FIRST			4

typedef struct PoBrief
{
	uint16_t	count[PO_BRIEF_BUCKETS];
} PoBrief;

static inline int
po_brief_bucket(int64_t us)
{
	int			bucket;

	if (us < 4)
		return 0;
	bucket = po_histogram_any_bucket(us) - PO_BRIEF_FIRST;
	return bucket < PO_BRIEF_BUCKETS ? bucket : PO_BRIEF_BUCKETS - 1;
}

/* What is no bucket is ignored. */
extern void po_brief_add(PoBrief *h, int bucket);

/* As po_histogram_quantile; max_us, the longest value, ends the last bucket. */
extern double po_brief_quantile(const PoBrief *h, double q, int64_t max_us);

#define PO_LEVELS_BUCKETS		64
#define PO_LEVELS_EXACT			32

typedef struct PoLevels
{
	double		weight[PO_LEVELS_BUCKETS];	/* us; [0] stays 0 */
	double		total;			/* us observed, at any level */
} PoLevels;

/* Observed level n (>= 0) for weight_us; what is not positive is ignored. */
extern void po_levels_add(PoLevels *l, int n, double weight_us);

/* Time passed at level 0. */
extern void po_levels_pass(PoLevels *l, double weight_us);

/* Forget: all weights times factor (0..1). */
extern void po_levels_decay(PoLevels *l, double factor);

/* Mean level; the share q of the time was spent at or below the level returned. */
extern double po_levels_mean(const PoLevels *l);
extern int	po_levels_quantile(const PoLevels *l, double q);
extern int	po_levels_max(const PoLevels *l);

/* What is kept of levels where there is no room for all of them. */
typedef struct PoBusy
{
	double		mean;
	int			p50;
	int			p95;
	int			max;
} PoBusy;

extern void po_levels_digest(const PoLevels *l, PoBusy *busy);

#endif							/* PO_HISTOGRAM_H */
