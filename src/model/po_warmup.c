/*
 * po_warmup.c
 *		How many connections a pool should keep open, so that a rise in demand need not
 *		wait for logins.
 */
#include "model/po_warmup.h"

#include <string.h>

#define LOGIN_QUANTILE		0.95
#define RISE_QUANTILE		0.99
#define MOST_COUNT			60000
#define MOST_LOGIN_US		(600 * PO_US_PER_S)
#define MOST_BUSY			262143
#define FIRST_OCTAVE		8		/* 2^8 = 256 us */
#define EXACT_RISES			8

static void
count(uint16_t *counts, int n, int bucket)
{
	if (counts[bucket] >= MOST_COUNT)
	{
		for (int i = 0; i < n; i++)
			counts[i] /= 2;
	}
	counts[bucket]++;
}

/* The bucket where the share q of all that is counted ends; -1 if nothing is. */
static int
quantile(const uint16_t *counts, int n, double q)
{
	uint32_t	total = 0;
	uint32_t	below = 0;

	for (int i = 0; i < n; i++)
		total += counts[i];
	for (int i = 0; i < n; i++)
	{
		below += counts[i];
		if (total > 0 && below >= q * total)
			return i;
	}
	return -1;
}

/* Of a value above 0: twice the position of its highest bit, and the bit below that. */
static int
half_octave(uint64_t v)
{
	int			octave = 63 - __builtin_clzll(v);

	return 2 * octave + (octave > 0 ? (int) ((v >> (octave - 1)) & 1) : 0);
}

/* ---------- logins ---------- */

static int
login_bucket(int64_t us)
{
	int			bucket;

	if (us < (INT64_C(1) << FIRST_OCTAVE))
		return 0;
	bucket = half_octave((uint64_t) us) - 2 * FIRST_OCTAVE;
	return bucket < PO_WARMUP_LOGINS ? bucket : PO_WARMUP_LOGINS - 1;
}

/* The longest login in a bucket. */
static int64_t
login_end(int bucket)
{
	int			octave = FIRST_OCTAVE + (bucket + 1) / 2;
	int64_t		end = INT64_C(1) << octave;

	return bucket % 2 == 0 ? end + end / 2 : end;
}

static int64_t
usual_login(const PoWarmup *w)
{
	int			bucket = quantile(w->login, PO_WARMUP_LOGINS, LOGIN_QUANTILE);

	return bucket < 0 ? 0 : login_end(bucket);
}

void
po_warmup_add_login(PoWarmup *w, int64_t us)
{
	if (us < 0 || us > MOST_LOGIN_US)
		return;
	count(w->login, PO_WARMUP_LOGINS, login_bucket(us));
	w->login_us = usual_login(w);
}

/* ---------- rises ---------- */

static int
rise_bucket(int rise)
{
	int			bucket;

	if (rise <= EXACT_RISES)
		return rise - 1;
	/* 9 to 12, 13 to 16, 17 to 24, ... */
	bucket = EXACT_RISES + half_octave((uint64_t) rise - 1) - 6;
	return bucket < PO_WARMUP_RISES ? bucket : PO_WARMUP_RISES - 1;
}

/* The largest rise in a bucket. */
static int
rise_end(int bucket)
{
	int			octave = (bucket - EXACT_RISES) / 2;

	if (bucket < EXACT_RISES)
		return bucket + 1;
	return bucket % 2 == 0 ? 12 << octave : 16 << octave;
}

/* A login is watched in so many parts, and none is shorter than a sample. */
static int64_t
part_of(const PoWarmup *w, int64_t sample_us)
{
	int64_t		part = w->login_us / (PO_WARMUP_LOWS - 1);

	return part > sample_us ? part : sample_us;
}

static void
begin_part(PoWarmup *w, int64_t now_us)
{
	if (w->most_rise > 0)
		count(w->rise, PO_WARMUP_RISES, rise_bucket(w->most_rise));
	w->most_rise = 0;
	memmove(w->low + 1, w->low, (PO_WARMUP_LOWS - 1) * sizeof(w->low[0]));
	w->low[0] = w->level;
	w->part_from = now_us;
}

/* The least level within the time that a login takes. */
static int
lowest(const PoWarmup *w, int64_t sample_us)
{
	/* With parts of one sample, this one has begun with the sample before. */
	int			n = w->login_us <= sample_us ? 1 : PO_WARMUP_LOWS;
	int			low = w->low[0];

	for (int i = 1; i < n; i++)
	{
		if (w->low[i] < low)
			low = w->low[i];
	}
	return low;
}

void
po_warmup_observe(PoWarmup *w, int busy, bool since_quiet, int64_t now_us, int64_t sample_us)
{
	int			rise;

	if (busy < 0 || sample_us <= 0)
		return;
	if (busy > MOST_BUSY)
		busy = MOST_BUSY;
	if (since_quiet)
	{
		memset(w->low, 0, sizeof(w->low));
		w->level = 0;
	}
	/* A clock that went back ends a part, too. */
	if (now_us - w->part_from >= part_of(w, sample_us) || now_us < w->part_from)
		begin_part(w, now_us);
	if (busy < w->low[0])
		w->low[0] = busy;
	rise = busy - lowest(w, sample_us);
	if (rise > w->most_rise)
		w->most_rise = rise;
	w->level = busy;
}

void
po_warmup_restart(PoWarmup *w)
{
	memset(w->low, 0, sizeof(w->low));
	w->level = 0;
	w->most_rise = 0;
	w->part_from = 0;
	w->login_us = usual_login(w);
}

/* ---------- what follows ---------- */

void
po_warmup_read(const PoWarmup *w, int64_t sample_us, PoWarmupDemand *d)
{
	int			bucket = quantile(w->rise, PO_WARMUP_RISES, RISE_QUANTILE);

	d->login_us = w->login_us > 0 ? w->login_us : 0;
	d->span_us = d->login_us > sample_us ? d->login_us : sample_us;
	d->rise = bucket < 0 ? 0 : rise_end(bucket);
}

int
po_warmup_open(const PoWarmupDemand *d, int busy, int64_t target_wait_us)
{
	int			rise = d->rise < MOST_BUSY ? d->rise : MOST_BUSY;

	if (rise <= 0 || d->login_us <= 0)
		return -1;
	busy = busy < 0 ? 0 : busy < MOST_BUSY ? busy : MOST_BUSY;
	return po_warmup_is_fast(d, target_wait_us) ? busy : busy + rise;
}
