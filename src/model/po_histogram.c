/*
 * po_histogram.c
 *		Fixed-size distributions: durations, and levels of concurrency.
 *
 * What is read may come from a damaged file, so every weight that is not a
 * positive finite number reads as 0, and sums never leave their type.
 */
#include "model/po_histogram.h"

#include <float.h>
#include <math.h>

/* A weight below this (us) is forgotten, so that old maxima fade at last. */
#define LEVELS_LEAST_WEIGHT		1.0

int64_t
po_histogram_lower(int bucket)
{
	if (bucket < 0)
		return 0;
	if (bucket > PO_HISTOGRAM_BUCKETS)
		bucket = PO_HISTOGRAM_BUCKETS;
	if (bucket < 4)
		return bucket;
	return (int64_t) (4 + bucket % 4) << (bucket / 4 - 1);
}

uint64_t
po_histogram_total(const PoHistogram *h)
{
	uint64_t	total = 0;

	for (int i = 0; i < PO_HISTOGRAM_BUCKETS; i++)
	{
		if (h->count[i] > UINT64_MAX - total)
			return UINT64_MAX;
		total += h->count[i];
	}
	return total;
}

void
po_histogram_add_small(PoSmallHistogram *h, int64_t us)
{
	uint32_t   *count = &h->count[po_histogram_bucket(us)];

	if (*count < UINT32_MAX)
		(*count)++;
}

void
po_histogram_share_small(PoSmallHistogram *h, int bucket, uint32_t n)
{
	while (h->count[bucket] > UINT32_MAX - n && h->count[bucket] > 1)
	{
		for (int i = 0; i < PO_HISTOGRAM_BUCKETS; i++)
			h->count[i] = h->count[i] / 2 + h->count[i] % 2;
	}
	if (h->count[bucket] <= UINT32_MAX - n)
		h->count[bucket] += n;
	else
		h->count[bucket] = UINT32_MAX;
}

void
po_histogram_widen(const PoSmallHistogram *from, PoHistogram *to)
{
	for (int i = 0; i < PO_HISTOGRAM_BUCKETS; i++)
		to->count[i] = from->count[i];
}

double
po_histogram_quantile(const PoHistogram *h, double q)
{
	double		total = 0;
	double		below = 0;
	double		wanted;

	for (int i = 0; i < PO_HISTOGRAM_BUCKETS; i++)
		total += (double) h->count[i];
	if (total <= 0)
		return 0;
	wanted = total * (q > 0 ? fmin(q, 1) : 0);

	for (int i = 0; i < PO_HISTOGRAM_BUCKETS; i++)
	{
		double		count = (double) h->count[i];
		double		lower = (double) po_histogram_lower(i);
		double		upper = (double) po_histogram_lower(i + 1);

		if (count > 0 && below + count >= wanted)
			return lower + (upper - lower) * fmin(fmax(wanted - below, 0) / count, 1);
		below += count;
	}
	return (double) po_histogram_end(h);
}

double
po_histogram_exceeding(const PoHistogram *h, int64_t us)
{
	int			bucket = po_histogram_bucket(us);
	double		lower = (double) po_histogram_lower(bucket);
	double		upper = (double) po_histogram_lower(bucket + 1);
	double		longer = 0;
	double		share;

	/* From the top, so that rounding cannot break the order of two results. */
	for (int i = PO_HISTOGRAM_BUCKETS - 1; i > bucket; i--)
		longer += (double) h->count[i];

	/* Whole microseconds: of those from lower to upper - 1, the ones above us. */
	share = us < 0 ? 1 : (upper - 1 - (double) us) / (upper - lower);
	return longer + fmax(share, 0) * (double) h->count[bucket];
}

int64_t
po_histogram_end(const PoHistogram *h)
{
	for (int i = PO_HISTOGRAM_BUCKETS - 1; i >= 0; i--)
	{
		if (h->count[i] > 0)
			return po_histogram_lower(i + 1);
	}
	return 0;
}

void
po_brief_add(PoBrief *h, int bucket)
{
	if (bucket < 0 || bucket >= PO_BRIEF_BUCKETS)
		return;
	if (h->count[bucket] == UINT16_MAX)
	{
		for (int i = 0; i < PO_BRIEF_BUCKETS; i++)
			h->count[i] /= 2;
	}
	h->count[bucket]++;
}

double
po_brief_quantile(const PoBrief *h, double q, int64_t max_us)
{
	PoHistogram whole = {{0}};
	double		value;

	for (int i = 0; i < PO_BRIEF_BUCKETS; i++)
		whole.count[i + PO_BRIEF_FIRST] = h->count[i];
	/* What is beyond the last bucket is spread up to the longest. */
	whole.count[PO_BRIEF_BUCKETS - 1 + PO_BRIEF_FIRST] = 0;
	whole.count[po_histogram_bucket(max_us)] += h->count[PO_BRIEF_BUCKETS - 1];
	value = po_histogram_quantile(&whole, q);
	return fmin(value, (double) max_us);
}

/* The bucket of a level above 0. */
static int
level_bucket(int n)
{
	int			octave;
	int			bucket;

	if (n < PO_LEVELS_EXACT)
		return n;
	octave = 31 - __builtin_clz((unsigned int) n);
	bucket = PO_LEVELS_EXACT + (octave - 5) * 4 + ((n >> (octave - 2)) & 3);
	return bucket < PO_LEVELS_BUCKETS ? bucket : PO_LEVELS_BUCKETS - 1;
}

static int
level_lower(int bucket)
{
	int			above = bucket - PO_LEVELS_EXACT;

	if (above < 0)
		return bucket;
	return (4 + above % 4) << (above / 4 + 3);
}

static int
level_upper(int bucket)
{
	return level_lower(bucket + 1) - 1;
}

/* The level that the share (0..1) of a bucket's time was at or below. */
static int
level_within(int bucket, double share)
{
	int			width = level_lower(bucket + 1) - level_lower(bucket);
	int			above = (int) ceil(fmin(share, 1) * width) - 1;

	if (above < 0)
		above = 0;
	return level_lower(bucket) + (above < width ? above : width - 1);
}

static double
positive(double weight)
{
	return isfinite(weight) && weight > 0 ? weight : 0;
}

/* The highest bucket in use, mostly a low one; 0 = none. */
static int
top_of(const PoLevels *l)
{
	int			top = PO_LEVELS_BUCKETS - 1;

	while (top > 0 && !(positive(l->weight[top]) > 0))
		top--;
	return top;
}

/* All time above level 0, never infinite. */
static double
busy_weight(const PoLevels *l, int top)
{
	double		sum = 0;

	for (int i = 1; i <= top; i++)
		sum += positive(l->weight[i]);
	return fmin(sum, DBL_MAX);
}

/* Adds unless the sum would leave the finite numbers. */
static void
add_weight(double *sum, double weight_us)
{
	double		after = positive(*sum) + weight_us;

	if (isfinite(after))
		*sum = after;
}

void
po_levels_add(PoLevels *l, int n, double weight_us)
{
	if (positive(weight_us) == 0)
		return;
	if (n > 0)
		add_weight(&l->weight[level_bucket(n)], weight_us);
	add_weight(&l->total, weight_us);
}

void
po_levels_pass(PoLevels *l, double weight_us)
{
	po_levels_add(l, 0, weight_us);
}

void
po_levels_decay(PoLevels *l, double factor)
{
	if (isnan(factor) || factor >= 1)
		return;
	factor = fmax(factor, 0);

	for (int i = 1; i < PO_LEVELS_BUCKETS; i++)
	{
		double		weight;

		if (l->weight[i] == 0)
			continue;
		weight = positive(l->weight[i]) * factor;
		l->weight[i] = weight < LEVELS_LEAST_WEIGHT ? 0 : weight;
	}
	l->total = positive(l->total) * factor;
}

/* With what is known of it: the highest bucket in use, time above level 0, and all time. */
typedef struct Known
{
	int			top;
	double		busy;
	double		total;
} Known;

static Known
known_of(const PoLevels *l)
{
	Known		k;

	k.top = top_of(l);
	k.busy = busy_weight(l, k.top);
	k.total = fmax(positive(l->total), k.busy);
	return k;
}

static int
max_of(const Known *k)
{
	return k->top > 0 ? level_upper(k->top) : 0;
}

static double
mean_of(const PoLevels *l, const Known *k)
{
	double		mean = 0;

	if (k->total <= 0)
		return 0;
	for (int i = 1; i <= k->top; i++)
	{
		double		level = (level_lower(i) + level_upper(i)) / 2.0;

		mean += positive(l->weight[i]) / k->total * level;
	}
	return mean;
}

static int
quantile_of(const PoLevels *l, const Known *k, double q)
{
	double		below = k->total - k->busy;
	double		wanted;

	if (q >= 1)
		return max_of(k);

	/* A hair less, so that rounding does not push an exact share one level up. */
	wanted = k->total * (q > 0 ? q : 0) * (1 - 1e-12);
	if (below >= wanted)
		return 0;
	for (int i = 1; i <= k->top; i++)
	{
		double		weight = positive(l->weight[i]);

		if (weight > 0 && below + weight >= wanted)
			return level_within(i, (wanted - below) / weight);
		below += weight;
	}
	return max_of(k);
}

double
po_levels_mean(const PoLevels *l)
{
	Known		k = known_of(l);

	return mean_of(l, &k);
}

int
po_levels_quantile(const PoLevels *l, double q)
{
	Known		k = known_of(l);

	return quantile_of(l, &k, q);
}

int
po_levels_max(const PoLevels *l)
{
	Known		k = known_of(l);

	return max_of(&k);
}

void
po_levels_digest(const PoLevels *l, PoBusy *busy)
{
	Known		k = known_of(l);

	busy->mean = mean_of(l, &k);
	busy->p50 = quantile_of(l, &k, 0.5);
	busy->p95 = quantile_of(l, &k, 0.95);
	busy->max = max_of(&k);
}
