/*
 * po_search.h
 *		The smallest pool that keeps near-best throughput, found by trying.
 *
 * While a pool is the limit, what its clients could do with another size cannot be
 * observed, only tried.  Throughput over the size of a pool rises, is flat, and falls
 * where sessions get into each other's way, so the size wanted is the left end of the
 * flat part.  It is bracketed and bisected on a logarithmic scale: the first step is
 * where the parts of the service time put the knee (asymptotic bounds of a closed
 * network: R. Muntz and J. Wong 1974, in E. Lazowska et al., Quantitative System
 * Performance, 1984, eq. 5.1), each size tried is measured until its mean is sure
 * enough, and one that did not pay is taken back.  What the machine's changing speed did to
 * what was measured is taken out where it is known.  Sessions that wait for a lock or a CPU
 * are left out at once, and a size that should do without them has to fail for longer.
 * With three sizes measured, one of which the Universal Scalability Law (po_usl.h) says
 * that it will not pay is not even tried.
 *
 * The next size follows from the points measured alone; there is no hidden state to
 * get stuck in.  All times and rates come from the caller; nothing is allocated.
 */
#ifndef PO_SEARCH_H
#define PO_SEARCH_H

#include "model/po_types.h"
#include "model/po_usl.h"

#define PO_SEARCH_POINTS	PO_USL_POINTS

/* What a size was seen to do. */
typedef struct PoSearchPoint
{
	int			size;
	int16_t		n;				/* evaluations it rests on */
	bool		room;			/* much of it was not used: all that came got done */
	bool		spare;			/* some of it was not */
	bool		doubted;		/* measured again, as it was hard to believe */
	int8_t		late;			/* > 0: of late clients waited for longer than the target; < 0: they
								 * did not; 0 = unknown */
	float		idle;			/* clients that wanted no connection, mean; < 0 = unknown */
	float		used;			/* share of it that was busy, mean */
	float		faster;			/* logarithm of the machine's speed / reference, meanwhile */
	double		mean;			/* transactions/s, at the mean speed of the machine */
	double		rate;			/* as measured */
} PoSearchPoint;

/* How evaluations of the same size differ from its mean: of logarithms (B. P. Welford 1962). */
typedef struct PoSearchNoise
{
	double		freedom;		/* evaluations, less sizes */
	double		rate2;			/* sums of squares, and of the products of both */
	double		speed2;
	double		both;
} PoSearchNoise;

/* Sums of evaluations in a row that had too few transactions each to tell anything. */
typedef struct PoSearchFew
{
	int			n;
	double		transactions;
	double		rate;
	double		served;
	double		speed;
	double		busy;
	double		share[PO_N_WAITS];	/* each times busy */
} PoSearchFew;

typedef enum PoSearchPhase
{
	PO_SEARCH_NONE,				/* the pool is not the limit */
	PO_SEARCH_TRYING,
	PO_SEARCH_SETTLED
} PoSearchPhase;

typedef struct PoSearch
{
	PoSearchPhase phase;
	int			probe;			/* size wanted now; 0 = none */
	int			asked;			/* as the bounds of the last evaluation allowed it */
	int			asked_at;		/* size that was there when that was asked for first */
	int			awaited;		/* evaluations that it may still take, see po_search_arrives */
	int			arrivals;		/* how often it came since then */
	int			refused;		/* evaluations in a row in which it did not, although followed */
	int			seen_size;		/* at the last evaluation */
	int			stays;			/* evaluations in a row after it came to that, IN_A_ROW at most */
	int			evaluations;	/* since the search began, or came to rest */
	int			odd;			/* how much of late does not fit what is known */
	int			side;			/* -1: as less was done than is known, 1: more, 0: neither */
	int			strays;			/* evaluations in a row far from what their size did */
	int			slack;			/* evaluations in a row in which much of the pool was not used */
	int			gone;			/* in which a search had nothing to go on; ABANDONED at most */
	int			limited;		/* in which the pool was the limit, IN_A_ROW at most */
	bool		was_slack;		/* the search ended before since the pool was not the limit */
	bool		blind;			/* it began when nobody told how many clients wait */
	int			full;			/* least size tried that uses up the CPUs; 0 = none */
	int			crowded;		/* and by far more sessions than that takes */
	int			demand;			/* most clients that wanted one at once, since it began */
	int			settled;		/* size it settled on last; 0 = none yet */
	int			limit;			/* largest useful size of the moment it settled */
	bool		all_of_demand;	/* that was one for each client; else what is allowed */
	int			uncut;			/* what it had settled on before bounds cut that; 0 = they do not */
	bool		resumed;		/* on what was found before a pause, not seen to fit yet */
	double		queue;			/* most clients that waited then */
	int			queues;			/* evaluations that says so, USUAL_QUEUES at most */
	int			longer;			/* in a row in which many more wait, or all of it is busy */
	bool		unseen;			/* nobody told who waits, in the last evaluation */
	double		target_us;		/* that they may wait, in that */
	uint16_t	rest;			/* evaluations until it looks again, see po_search_step */
	bool		again;			/* it does: what a neighbour was seen to do may not hold any more */
	double		share[PO_N_WAITS];	/* of busy time at the size settled on */
	double		usual;			/* what that did, once measured well; 0 = not yet */
	double		reference;		/* the first speed seen; 0 = none yet */
	PoSearchFew few;
	PoSearchNoise noise;
	int			n_points;
	PoSearchPoint point[PO_SEARCH_POINTS];	/* by size, ascending */
} PoSearch;

/* One evaluation of the present pool. */
typedef struct PoSearchSeen
{
	int			size;			/* of the pool; 0 = unknown */
	bool		saturated;		/* it is the limit, see po_search_is_limited */
	double		rate;			/* transactions/s in this evaluation that did not fail */
	double		served;			/* with those that did; 0 = the same */
	double		transactions;	/* of it, with those that did */
	double		speed;			/* of the machine, in any unit; 0 = unknown */
	double		busy;			/* mean number of busy sessions */
	double		share[PO_N_WAITS];	/* of busy time */
	int			demand;			/* clients that want one at once; 0 = unknown */
	int			waiting;		/* clients that a pooler lets wait; 0 = none or unknown */
	double		queued;			/* mean number of these since the last one; < 0 = unknown */
	int			idle;			/* clients that neither wait nor have a connection; < 0 = unknown */
	double		target_us;		/* that they may wait on average */
	int			unit;			/* sizes that can be had are multiples of it; 0 and 1 = any */
	bool		followed;		/* who sets sizes does so at once, as far as they can be had */
	int			cores;			/* 0 = unknown */
	int			lowest;			/* sizes allowed, 1 <= lowest <= highest */
	int			highest;
} PoSearchSeen;

/*
 * Takes in an evaluation and says which size to have next (lowest..highest); 0 when the
 * pool is not the limit and the search has nothing to say.
 *
 * A size that nobody sets is asked for again and again; nothing is learnt meanwhile but
 * of the size that is there.  Where sizes are followed, it cannot be had.
 *
 * Where clients come whatever the pool does, a size that does nearly as much as the best lets
 * a few more of them wait all the time, in the end all there are.  A larger one is taken then
 * that keeps the wait target, if one was seen to.  Where nobody tells who waits, queueing theory
 * (po_queueing.h) does, for the load of a larger one that was not used up; and when all of the
 * size settled on has become busy, more is asked than that larger one was, so all is tried anew.
 *
 * Where transactions take so long that an evaluation has too few of them to tell anything,
 * several in a row are one.
 *
 * While the pool is not the limit, what was found is kept: when it is again, and does what fits
 * that, nothing has to be tried anew.
 *
 * A failure that began or ended in the middle of a search makes what was measured before and
 * after it say that a size is bad which is not, and the one settled on goes on as ever.  So
 * after some rest, each time twice as long, the size next to it is tried again: for one
 * evaluation if that does as before, else all is measured anew.  A change too slow to be another
 * workload is taken to be one of all sizes alike.  Anew, too, when far more
 * clients wait than when it had settled: being full, it does no more however many come.
 */
extern int	po_search_step(PoSearch *search, const PoSearchSeen *seen);

/*
 * Between two evaluations, while awaited is not 0: the pool has so many sessions now.  True when
 * it has come to what was asked for: then the evaluation has to begin anew, as what was done
 * before was done by others, and the next one counts, which it would not have otherwise.  It
 * does not when the pool has left that size again; true a few times at most.
 */
extern bool po_search_arrives(PoSearch *search, int size);

/*
 * Is the pool what limits its clients, or so large that they are in each other's way?
 * When as much as threshold (0..1) of it is busy, or half while clients wait at the
 * pooler, or as many wait as it has sessions (then the pooler itself is slow, and they
 * look idle between two transactions), unless the pooler says that clients hardly wait
 * (po_search_is_unhindered); or when sessions on the CPU exceed the cores by half, or a
 * third of busy time goes to waiting for locks, however few wait; or when half of it goes to the
 * disk, of a pool (of more than four) of which 0.8 is busy, with a connection for each of
 * its clients, of whom nearly none wants nothing.
 */
extern bool po_search_is_limited(const PoSearchSeen *seen, double threshold);

/*
 * Does the pooler say that clients hardly wait, however much of the pool is busy?  No more
 * of them at a time than costs a closed system 3 % of its throughput, and none longer than
 * target_us on average.
 */
extern bool po_search_is_unhindered(const PoSearchSeen *seen);

/*
 * It seems to be the limit, but was not before: a moment starts no search.  Neither is it to
 * grow for that nor to shrink: it would be enough again, and too small again, without end.
 */
extern bool po_search_is_unsure(const PoSearch *search);

/* Has a size been measured as well as it takes at least? */
extern bool po_search_has_measured(const PoSearch *search);

/* Forgets everything: the workload is another one. */
extern void po_search_reset(PoSearch *search);

/* The best mean seen, and that of a size (0 = not tried). */
extern double po_search_best(const PoSearch *search);
extern double po_search_rate(const PoSearch *search, int size);

/*
 * The size at which the CPUs are used up or, with none to spare, that many sessions:
 * present size x cores / sessions on CPU, at least the present number off the CPU plus
 * cores; with most busy time going to locks, those that do not wait for one, and one
 * more; 0 when nothing is known.
 */
extern double po_search_knee(const PoSearchSeen *seen);

/* The sizes tried that tell something, for fits. */
extern void po_search_sample(const PoSearch *search, PoUslSample *sample);

#endif							/* PO_SEARCH_H */
