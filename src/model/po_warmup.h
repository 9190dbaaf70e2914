/*
 * po_warmup.h
 *		How many connections a pool should keep open, so that a rise in demand need not
 *		wait for logins.
 *
 * Two things are observed of a tenant: how long its logins take, and by how much the
 * number of busy sessions rises within that time.  A pool that has as many open as are
 * usually busy, and as many more as that rises by, lets nobody wait for a login; what
 * rises slower than that finds logins that are done in time.  If a login takes no longer
 * than the wait that the tenant's policy aims at, what is usually busy is enough.
 *
 * Both are counted in few buckets of 16 bits, which are halved when one is full: so
 * what is long past is forgotten, after tens of thousands of rises or logins.
 */
#ifndef PO_WARMUP_H
#define PO_WARMUP_H

#include "model/po_types.h"

#define PO_WARMUP_LOGINS	36		/* two buckets for each power of two, from 256 us on */
#define PO_WARMUP_RISES		24		/* 1 to 8, then two for each power of two */
#define PO_WARMUP_LOWS		4

typedef struct PoWarmup
{
	uint16_t	login[PO_WARMUP_LOGINS];
	uint16_t	rise[PO_WARMUP_RISES];
	int32_t		low[PO_WARMUP_LOWS];	/* least busy, in this part of the span and before */
	int32_t		level;			/* at the last sample */
	int32_t		most_rise;		/* in this part */
	int64_t		login_us;		/* 95 % of logins take no longer; 0 = none seen */
	int64_t		part_from;		/* when this part began */
} PoWarmup;

/* What a recommendation is told. */
typedef struct PoWarmupDemand
{
	int64_t		login_us;		/* 95 % of logins; 0 = not known */
	int64_t		span_us;		/* the time that rise is within: a login, or a sample */
	int			rise;			/* sessions; 99 % of rises are no larger; 0 = none seen */
} PoWarmupDemand;

/* A login took so long; what cannot be is ignored. */
extern void po_warmup_add_login(PoWarmup *w, int64_t us);

/*
 * At now_us busy sessions were busy; the last sample was sample_us ago.  since_quiet:
 * nobody was in between.
 */
extern void po_warmup_observe(PoWarmup *w, int busy, bool since_quiet, int64_t now_us,
							  int64_t sample_us);

/* After a restart, from a file: what is of the present is not, what was learnt stays. */
extern void po_warmup_restart(PoWarmup *w);

extern void po_warmup_read(const PoWarmup *w, int64_t sample_us, PoWarmupDemand *d);

/* Are logins done within the wait that is aimed at? */
static inline bool
po_warmup_is_fast(const PoWarmupDemand *d, int64_t target_wait_us)
{
	return d->login_us <= target_wait_us;
}

/* How many should be open when so many are usually busy; -1 = not known. */
extern int	po_warmup_open(const PoWarmupDemand *d, int busy, int64_t target_wait_us);

#endif							/* PO_WARMUP_H */
