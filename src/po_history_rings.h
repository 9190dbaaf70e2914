/*
 * po_history_rings.h
 *		History in shared memory: rings of rows for seconds, tens of seconds and minutes.
 *
 * The sampler fills; everybody reads copies.  Times are microseconds since the
 * history's epoch (model/po_history.h).
 */
#ifndef PO_HISTORY_RINGS_H
#define PO_HISTORY_RINGS_H

#include "po_shmem.h"
#include "po_stats.h"

/* Microseconds of a bucket. */
extern int64 po_history_rings_length(int level);

/* The wall clock, as the history counts. */
extern int64 po_history_rings_now(void);

/* ---------- by the sampler ---------- */

extern void po_history_rings_attach(void);

/* Transactions of the tenant have been carried over. */
extern void po_history_rings_touch(int tenant);

/* After each sample: what was seen of n busy tenants in the time that it stands for. */
extern void po_history_rings_observe(const PoObservation *tally, const int *busy, int n,
									 int64 now, int64 dt_us);

/* Closes rows of the minute before, some at a time. */
extern void po_history_rings_sweep(void);

/* ---------- by anyone ---------- */

/* Since when a tenant has rows of a fine level. */
typedef struct PoHistorySince
{
	int			tenant;
	uint32		since;
} PoHistorySince;

/* Rows of a level that are complete, in order, and the open bucket as it is. */
typedef struct PoHistoryRing
{
	bool		running;
	bool		whole;			/* has all since the server first was watched */
	uint32		tick;			/* of the open bucket */
	int64		began;
	int64		seen;			/* and up to when it is watched */
	uint32		complete;		/* rows of buckets before this one may be missing */
	uint32		restored;		/* up to this as the state file had them, or not at all */
	uint32		lived;			/* buckets up to this may be there twice; 0 = none */
	int			n;
	PoHistoryRow *row;
	int			n_since;		/* of fine levels */
	PoHistorySince *since;
} PoHistoryRing;

/*
 * Copies from the finest level wanted up to the minutes into memory of the caller's context;
 * rows of open buckets are as if these ended at seen.
 */
extern void po_history_rings_copy(int finest, PoHistoryRing ring[PO_HISTORY_LEVELS]);

/* ---------- over a restart ---------- */

/* Copies rows of minutes that begin from a time on, the last ones if there are more than most;
 * how many. */
extern int	po_history_rings_save(int64 since, PoHistoryRow *to, int most);

/* In the postmaster, before anybody else is there: takes these back. */
extern void po_history_rings_restore(const PoHistoryRow *row, int n);

#endif							/* PO_HISTORY_RINGS_H */
