/*
 * po_capacity.h
 *		What the cluster has for its tenants, and what each may have of it.
 *
 * Each tenant's size is computed as if it were alone.  What all of them wish for then may be
 * more than there is, of two things:
 *
 *	- connections: the budget is shared by weighted max-min fairness (po_share.h) with the
 *	  guarantee and min_size as floor, and max_size and quota as ceiling;
 *	- CPUs: where others need them, too, a pool of sessions that only compute takes from them
 *	  whatever it is given, and each tenant's search for more throughput makes it worse.
 *	  Sessions on the CPU, CROWDED_CPU for each, are shared in the same way, and a
 *	  tenant's part of them bounds its pool.
 *
 * How many of a pool's sessions are on the CPU depends on how many others are, as those that
 * wait for a CPU look the same.  So what was seen is converted to a machine with just that
 * many: with r of a session's time on the CPU and the run queues s times as long as they
 * should be, r / s / (r / s + 1 - r).
 *
 * Nothing is allocated here: memory for n tenants comes from the caller, who alone knows
 * what they are called.
 */
#ifndef PO_CAPACITY_H
#define PO_CAPACITY_H

#include "model/po_recommend.h"
#include "model/po_share.h"

/* What a tenant would like to have, and what it does. */
typedef struct PoWish
{
	double		weight;
	int			guaranteed;		/* connections kept for it by policy */
	int			least;			/* that its pool has in any case */
	int			ceiling;		/* PO_UNLIMITED = none */
	int			size;			/* of its pool if it were alone */
	int			held;			/* connections that no recommendation takes from its pool, */
	int			beside;			/* and those it has besides, which size does not count */
	int			present;		/* connections it has */
	double		on_cpu;			/* of these, the mean number on the CPU */
	bool		limited;		/* a larger pool would do more */
} PoWish;

/* What it may have.  While all wishes fit, that is its own and whatever nobody wants. */
typedef struct PoAllotment
{
	PoBound		bound;			/* what decides */
	int			most;			/* connections of its pool, >= 1 */
	int			budget;			/* of all */
	double		cpus;			/* its part of the CPUs; 0 = all it wants */
} PoAllotment;

/* What is remembered of a tenant. */
typedef struct PoClaim
{
	PoWish		wish;			/* weight 0 = nobody */
	double		per_connection;	/* sessions on the CPU for each, of a machine in use */
	double		cpu;			/* that it wants */
	double		cpu_share;
	int			cpu_most;		/* connections that this carries; 0 = not bounded */
	int			most;			/* of its pool */
} PoClaim;

typedef struct PoCapacity
{
	/* From the caller, room for each tenant. */
	int			n_most;
	PoClaim    *claim;
	PoShare    *share;
	PoShareMark *marks;			/* PO_SHARE_MARKS(n_most) */

	int			n;				/* places in use, those of nobody among them */
	int			connections;
	int			guaranteed;		/* to all tenants, those not known here among them */
	int			cpus;			/* 0 = unknown */

	/* Sums over claims. */
	int64_t		wanted;
	int64_t		guaranteed_here;
	double		cpu_wanted;
	double		on_cpu;

	bool		contended;		/* when it was shared out */
	int64_t		shared_at;		/* us, of the caller's clock */
} PoCapacity;

/* All of the memory is zero before. */
extern void po_capacity_begin(PoCapacity *c, int n_most, PoClaim *claims, PoShare *shares,
							  PoShareMark *marks);

/* What there is: connections for all tenants, what is guaranteed of it, CPUs (0 = unknown). */
extern void po_capacity_set(PoCapacity *c, int connections, int guaranteed, int cpus);

/*
 * Notes a tenant's wish and says what it may have.  O(1) as long as all fit; else all is
 * shared anew, O(n log n), but no more often than costs a small part of the time.
 */
extern void po_capacity_ask(PoCapacity *c, int tenant, const PoWish *wish, int64_t now_us,
							PoAllotment *out);

/* The tenant is gone, or wants nothing. */
extern void po_capacity_forget(PoCapacity *c, int tenant);

/* ---------- a tenant's size among others ---------- */

/* An evaluation of a tenant: from what it did to its size. */
typedef struct PoEvaluation
{
	/* in */
	const PoPolicyFields *policy;
	int			guaranteed;		/* in force */
	int			held;			/* see PoWish */
	int			beside;
	PoSearchSeen seen;
	/* in and out */
	PoSizingInput in;			/* search_*, alone and what is allotted is set here */
	PoSearch	search;
	/* out */
	PoRecommendation r;
} PoEvaluation;

/*
 * Its size if it were alone, and, if that is more than it may have, the size within that:
 * the search then tries nothing that would not be given.
 */
extern void po_capacity_evaluate(PoCapacity *c, int tenant, int64_t now_us, PoEvaluation *e);

#endif							/* PO_CAPACITY_H */
