/*
 * po_pooler_table.h
 *		What poolers said last, for anyone to read.
 *
 * Every function takes PO_LOCK_POOLERS for itself and copies in and out.
 */
#ifndef PO_POOLER_TABLE_H
#define PO_POOLER_TABLE_H

#include "po_shmem.h"

/* Replaces all that is there; pools, sorted by pooler and database, beyond
 * po_shared->n_pools are left out; texts may be NULL. */
extern void po_pooler_table_publish(const PoPoolerSeen *poolers, int n_poolers,
									const PoPoolSeen *pools, int n_pools,
									const PoPoolerTexts *texts);

/* Copies all of it into memory of the caller: poolers has room for PO_POOLER_MOST, pools
 * for po_shared->n_pools; texts may be NULL. */
extern void po_pooler_table_copy(PoPoolerSeen *poolers, int *n_poolers,
								 PoPoolSeen *pools, int *n_pools, PoPoolerTexts *texts);

/* The poolers alone; to has room for PO_POOLER_MOST.  How many. */
extern int	po_pooler_table_poolers(PoPoolerSeen *to);

/* Pools of tenants whose clients wait: for so long the first of them, or, if that is more,
 * on average. */
typedef struct PoPoolWait
{
	int			tenant;
	double		wait_ms;
} PoPoolWait;

extern int	po_pooler_table_waits(PoPoolWait *to, int max);

/* What poolers say of a tenant's clients, in all its pools. */
typedef struct PoPoolerDemand
{
	int			clients;		/* that may want a server connection, idle ones too */
	int			waiting;		/* that wait for one */
	int			linked;			/* that have one */
	int			others;			/* sessions that no pooler has opened; 0 = unknown, too */
	int			pools;			/* in use */
	int			unit;			/* of these, those that get the same size and use all of it, so
								 * that their sizes are multiples of it */
	bool		resizable;		/* nothing keeps "auto" from resizing them, as far as is known */
	int			obtainable;		/* connections that its pools get, as all of them stall, see
								 * po_pooler_stalls; 0 = not known */
	double		queued;			/* mean number that waited of late; -1 = unknown */
	int			instances;		/* of the application that has fewest of them, in the pool with
								 * most; 0 = none, or unknown */
	PoPoolerQueue queue;		/* sums for the mean of any other time */
} PoPoolerDemand;

/*
 * All 0, and queued unknown, when no pooler has a pool of the tenant, as far as is known.
 *
 * Poolers count waits by database.  Where users of several tenants share one, queued is of
 * all of them: the most that the tenant's own may be, which is enough to know that its
 * clients hardly wait.  For that it has to be of all its clients, so it is unknown as long
 * as any pooler does not answer (nobody knows whose pools that has), or has just begun to,
 * and when the tenant has more sessions than its pools have connections: whoever opened
 * those may wait where nobody tells.
 */
extern void po_pooler_table_demand(int tenant, PoPoolerDemand *demand);

/* Tenants of pools for whose connections a client has waited for least_us or longer. */
extern int	po_pooler_table_starving(int64 least_us, int *tenants, int most);

extern const char *po_pooler_table_state_name(PoPoolerState state);

#endif							/* PO_POOLER_TABLE_H */
