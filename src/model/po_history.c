/*
 * po_history.c
 *		What a tenant did in a bucket of time: filled, packed, merged.
 */
#include "model/po_history.h"

#include <math.h>
#include <string.h>

#define STEPS_PER_OCTAVE	1024.0
#define MOST_PACKED			UINT16_MAX
#define EXACT_COUNTS		32768
#define COUNT_STEP			8
#define NO_COUNT			UINT16_MAX
#define READ_BEFORE			64		/* durations, of one in each of some sessions */

static const double quantiles[PO_HISTORY_POINTS] = {0.50, 0.90, 0.95, 0.99, 1.0};

/* ---------- packing ---------- */

uint16_t
po_history_pack_us(double us)
{
	double		steps;

	if (!(us > 0))
		return 0;
	steps = nearbyint(log2(us + 1) * STEPS_PER_OCTAVE);
	return steps < MOST_PACKED ? (uint16_t) steps : MOST_PACKED;
}

double
po_history_unpack_us(uint16_t packed)
{
	return exp2(packed / STEPS_PER_OCTAVE) - 1;
}

uint16_t
po_history_pack_count(int count)
{
	int			above;

	if (count < 0)
		return NO_COUNT;
	if (count < EXACT_COUNTS)
		return (uint16_t) count;
	above = count - EXACT_COUNTS;
	above = above / COUNT_STEP + (above % COUNT_STEP >= COUNT_STEP / 2);
	return above < NO_COUNT - EXACT_COUNTS ? (uint16_t) (EXACT_COUNTS + above) : NO_COUNT - 1;
}

int
po_history_unpack_count(uint16_t packed)
{
	if (packed == NO_COUNT)
		return -1;
	if (packed < EXACT_COUNTS)
		return packed;
	return EXACT_COUNTS + (packed - EXACT_COUNTS) * COUNT_STEP;
}

/* ---------- filling ---------- */

static int
greater(int a, int b)
{
	return a > b ? a : b;
}

void
po_history_begin(PoHistoryOpen *open, uint32_t tick, int64_t at)
{
	PoHistoryOpen before = *open;

	memset(open, 0, sizeof(*open));
	open->tick = tick;
	open->at = at;
	open->sessions = open->sessions_first = open->sessions_max = before.sessions;
	open->waiting = open->waiting_max = before.waiting;
}

/* Brings the integral of sessions up to a time. */
static void
advance(PoHistoryOpen *open, int64_t to)
{
	if (to <= open->at)
		return;
	open->sessions_us += (double) open->sessions * (double) (to - open->at);
	open->at = to;
}

void
po_history_sessions(PoHistoryOpen *open, int sessions, int peak, int64_t now)
{
	advance(open, now);
	open->sessions = sessions;
	open->sessions_max = greater(open->sessions_max, greater(sessions, peak));
	open->used = true;
}

void
po_history_waiting(PoHistoryOpen *open, int waiting, int peak)
{
	open->waiting = waiting;
	open->waiting_max = greater(open->waiting_max, greater(waiting, peak));
	open->used = true;
}

void
po_history_busy(PoHistoryOpen *open, int busy, int64_t from, int64_t to)
{
	if (to > from)
		open->busy_us += (double) busy * (double) (to - from);
	open->busy_max = greater(open->busy_max, busy);
	open->used = true;
}

static void
count_up(uint32_t *to, uint64_t n)
{
	*to = n < UINT32_MAX - *to ? *to + (uint32_t) n : UINT32_MAX;
}

void
po_history_count(PoHistoryOpen *open, const PoHistoryCounts *counts)
{
	count_up(&open->transactions, counts->transactions);
	count_up(&open->rejected, counts->rejected);
	count_up(&open->errors, counts->errors);
	count_up(&open->terminated, counts->terminated);
	open->used = true;
}

bool
po_history_is_told(const PoHistoryOpen *open)
{
	return open->sessions_max > 0 || open->waiting_max > 0 || open->busy_max > 0 ||
		open->transactions > 0 || open->rejected > 0 || open->errors > 0 ||
		open->terminated > 0;
}

void
po_history_close(const PoHistoryOpen *open, int64_t began, int64_t end, int64_t sampled,
				 PoHistoryRow *row)
{
	PoHistoryOpen whole = *open;
	double		length = (double) (end - began);

	advance(&whole, end);
	row->tick = whole.tick;
	row->transactions = whole.transactions;
	row->rejected = whole.rejected;
	row->errors = whole.errors;
	/* No average is above the most that there were: the last part of a sample may
	 * belong to a bucket that began in its middle. */
	row->sessions_avg = length > 0 ?
		(float) fmin(whole.sessions_us / length, whole.sessions_max) : (float) whole.sessions;
	row->busy_avg = sampled > 0 ?
		(float) fmin(whole.busy_us / (double) sampled, whole.busy_max) : 0;
	row->sessions_first = po_history_pack_count(whole.sessions_first);
	row->sessions_max = po_history_pack_count(whole.sessions_max);
	row->busy_max = po_history_pack_count(whole.busy_max);
	row->waiting_max = po_history_pack_count(whole.waiting_max);
	memcpy(row->service, whole.service, sizeof(row->service));
	row->terminated = po_history_pack_count(whole.terminated > INT32_MAX ? INT32_MAX :
											(int) whole.terminated);
}

bool
po_history_is_resolution(int64_t us)
{
	static const int64_t minutes[] = {1, 5, 10, 15, 20, 30};
	const int64_t minute = 60 * PO_US_PER_S;
	const int64_t hour = 60 * minute;

	if (us < PO_US_PER_S || us % PO_US_PER_S != 0)
		return false;
	if (us < minute)
		return minute % us == 0;
	for (size_t i = 0; i < sizeof(minutes) / sizeof(minutes[0]); i++)
	{
		if (us == minutes[i] * minute)
			return true;
	}
	if (us < 24 * hour)
		return us % hour == 0 && 24 * hour % us == 0;
	return us % (24 * hour) == 0;
}

bool
po_history_points(const PoHistogram *now, const uint32_t *before, uint64_t most,
				  uint16_t *points)
{
	uint32_t	since[PO_HISTOGRAM_BUCKETS];
	uint64_t	total = 0;
	double		below = 0;
	int			q = 0;

	memset(points, 0, PO_HISTORY_POINTS * sizeof(*points));
	for (int i = 0; i < PO_HISTOGRAM_BUCKETS; i++)
	{
		since[i] = (uint32_t) now->count[i] - before[i];
		total += since[i];
	}
	/* A duration may be read before its transaction.  Of another histogram some bucket has less,
	 * which is a large number here. */
	if (total == 0 || most == 0 || total > most + most / 16 + READ_BEFORE)
		return false;
	/* As po_histogram_quantile, for all of them in one go. */
	for (int i = 0; i < PO_HISTOGRAM_BUCKETS && q < PO_HISTORY_POINTS; i++)
	{
		double		lower = (double) po_histogram_lower(i);
		double		width = (double) po_histogram_lower(i + 1) - lower;

		if (since[i] == 0)
			continue;
		for (; q < PO_HISTORY_POINTS && below + since[i] >= quantiles[q] * (double) total; q++)
			points[q] = po_history_pack_us(lower + width *
										   (quantiles[q] * (double) total - below) / since[i]);
		below += since[i];
	}
	return true;
}

/* ---------- merging ---------- */

void
po_history_unpack(const PoHistoryRow *row, PoHistoryValues *values)
{
	memset(values, 0, sizeof(*values));
	/* What a float knows, and no digits beyond. */
	values->sessions_avg = nearbyint(row->sessions_avg * 1e6) / 1e6;
	values->busy_avg = nearbyint(row->busy_avg * 1e6) / 1e6;
	values->sessions_max = po_history_unpack_count(row->sessions_max);
	values->busy_max = po_history_unpack_count(row->busy_max);
	values->waiting_max = po_history_unpack_count(row->waiting_max);
	values->max_connections = po_history_unpack_count(row->max_connections);
	values->recommended = po_history_unpack_count(row->recommended);
	values->transactions = row->transactions;
	values->rejected = row->rejected;
	values->errors = row->errors;
	values->terminated = po_history_unpack_count(row->terminated);
	memcpy(values->service, row->service, sizeof(values->service));
}

static double
positive(double x)
{
	return isfinite(x) && x > 0 ? x : 0;
}

/* Without leaving the type, and what is negative is not there. */
static int64_t
sum(int64_t a, int64_t b)
{
	if (b <= 0)
		return a;
	return a > INT64_MAX - b ? INT64_MAX : a + b;
}

void
po_history_add(PoHistoryValues *to, const PoHistoryValues *from, double weight)
{
	to->sessions_avg += positive(from->sessions_avg) * positive(weight);
	to->busy_avg += positive(from->busy_avg) * positive(weight);
	to->sessions_max = greater(to->sessions_max, from->sessions_max);
	to->busy_max = greater(to->busy_max, from->busy_max);
	to->waiting_max = greater(to->waiting_max, from->waiting_max);
	to->transactions = sum(to->transactions, from->transactions);
	to->rejected = sum(to->rejected, from->rejected);
	to->errors = sum(to->errors, from->errors);
	to->terminated = sum(to->terminated, from->terminated);
	/* As it was at the end. */
	to->max_connections = from->max_connections;
	to->recommended = from->recommended;
}

void
po_history_average(PoHistoryValues *values, double watched)
{
	if (!(watched > 0))
		return;
	/* What is missing from the watched time cannot make an average exceed the most. */
	values->sessions_avg = fmin(values->sessions_avg / watched, values->sessions_max);
	values->busy_avg = fmin(values->busy_avg / watched, values->busy_max);
}

/*
 * The share of a part that lies at or below x.  Below the median it falls off as fast as
 * it rises from there to 90 %.
 */
static double
share_below(const PoHistoryPart *part, double x)
{
	const uint16_t *p = part->service;
	double		before = 2.0 * p[0] - p[1];
	double		share_before = 0;

	if (x >= p[PO_HISTORY_POINTS - 1])
		return 1;
	for (int i = 0; i < PO_HISTORY_POINTS; i++)
	{
		if (x < p[i])
		{
			double		width = p[i] - before;

			if (x <= before)
				return share_before;
			return share_before + (quantiles[i] - share_before) * (x - before) / width;
		}
		before = p[i];
		share_before = quantiles[i];
	}
	return 1;
}

static double
mixed_share(const PoHistoryPart *part, int n, double x)
{
	double		below = 0;
	double		total = 0;

	for (int i = 0; i < n; i++)
	{
		double		weight = part[i].transactions > 0 ? (double) part[i].transactions : 0;

		/* None is known of it. */
		if (part[i].service[PO_HISTORY_POINTS - 1] == 0)
			continue;
		total += weight;
		below += weight * share_below(&part[i], x);
	}
	return total > 0 ? below / total : 1;
}

/* The least x with so large a share at or below; shares never fall with x. */
static uint16_t
mixed_point(const PoHistoryPart *part, int n, double q)
{
	int			low = 0;
	int			high = MOST_PACKED;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		/* A hair less, so that rounding does not move an exact point. */
		if (mixed_share(part, n, middle) >= q - 1e-9)
			high = middle;
		else
			low = middle + 1;
	}
	return (uint16_t) low;
}

void
po_history_mix(const PoHistoryPart *part, int n, uint16_t *points)
{
	bool		same = true;
	int			first = -1;

	memset(points, 0, PO_HISTORY_POINTS * sizeof(*points));
	for (int i = 0; i < n; i++)
	{
		if (part[i].service[PO_HISTORY_POINTS - 1] == 0 || part[i].transactions <= 0)
			continue;
		if (first < 0)
			first = i;
		else if (memcmp(part[i].service, part[first].service, sizeof(part[i].service)) != 0)
			same = false;
	}
	if (first < 0)
		return;
	if (same)
	{
		memcpy(points, part[first].service, sizeof(part[first].service));
		return;
	}
	for (int i = 0; i < PO_HISTORY_POINTS; i++)
		points[i] = mixed_point(part, n, quantiles[i]);
}
