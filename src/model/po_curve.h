/*
 * po_curve.h
 *		What a tenant's pool would do at other sizes: the curve behind pool_what_if.
 *
 * While the pool is not the limit, the system is open: clients bring arrival_rate
 * transactions/s whatever the size.  A pool larger than the load serves them all, and
 * the wait is that of Erlang C with Allen-Cunneen (po_queueing.h); one that is not
 * serves size / service time, and its queue grows without end.  But no more wait than ever
 * were busy at once, less those served, as in po_recommend.c.
 *
 * While the pool is the limit (po_search.h), every session is busy, as there is always
 * a client more.  Throughput is then bounded (asymptotic bounds: R. Muntz and J. Wong
 * 1974, in E. Lazowska et al., Quantitative System Performance, 1984, eq. 5.1) by
 *		X(n) <= min(n / R0, cores / D)
 * where D is the CPU time of a transaction, from busy time on the CPU, but at most what
 * the cores can give (U = X D <= cores), and R0 its time without queueing for CPU and
 * locks.  With three sizes measured or more, time per transaction n / X(n) is fitted to
 * them by least squares of the relative errors, each point weighted by the evaluations
 * behind it, in two forms, and then by their weighted mean, as most knees are between:
 *		base + serial n + crosstalk n (n - 1)
 *			the Universal Scalability Law (po_usl.h): contention sets in at once;
 *		max(base, serial n) + crosstalk n (n - 1)
 *			the bounds themselves: nothing until a resource is used up, then all.
 * No coefficient is negative; crosstalk is 0 unless sessions were seen to wait for
 * locks, so that without locks more sessions never do less.  Where the bounds are above
 * a point measured, they cap the fit; below, measuring is right and they give way.
 * With one or two sizes measured the bounds are scaled to go through them (mean ratio).
 *
 * Assumed: the mix of transactions, other tenants' load and the cores stay as they are.
 * Times are in microseconds, rates in transactions/s.  Every function is total: what is
 * NaN, infinite or negative counts as 0, and no result is NaN.
 */
#ifndef PO_CURVE_H
#define PO_CURVE_H

#include "model/po_recommend.h"
#include "model/po_usl.h"

typedef enum PoCurveKind
{
	PO_CURVE_NONE,				/* nothing known: all is 0 */
	PO_CURVE_OPEN,				/* the pool is not the limit */
	PO_CURVE_BOUNDS,			/* it is; too few sizes measured to fit */
	PO_CURVE_FITTED
} PoCurveKind;

typedef struct PoCurve
{
	PoCurveKind kind;
	/* open */
	double		rate;			/* of arrivals */
	double		service_us;
	double		load;			/* mean, Erlangs */
	double		burst_load;		/* what the wait is predicted for, >= load */
	double		arrival_cv2;
	double		service_cv2;
	int			busy_max;		/* sessions that ever were at once; 0 = unknown */
	/* the pool is the limit */
	int			demand;			/* clients that want one at once; 0 = unknown, endless */
	PoUsl		usl;
	PoUsl		knee;			/* the bounds before a fit */
	double		sharpness;		/* 0..1: share of the knee */
	double		least_us;		/* time per transaction is never less */
	double		ceiling;		/* transactions/s; INFINITY = none known */
} PoCurve;

typedef struct PoCurvePoint
{
	double		utilization;	/* 0..1: busy share of the pool's sessions */
	bool		wait_known;
	double		wait_us;		/* mean, for a session of the pool; may be INFINITY */
	double		throughput;		/* transactions/s, finite */
} PoCurvePoint;

/*
 * load is what the recommendation rests on (PoRecommendation.load), so that waits agree
 * with predicted_wait_us; 0 = the mean.  search may be NULL: not the limit.
 */
extern void po_curve_fit(const PoSizingInput *in, double load, const PoSearch *search,
						 int demand, PoCurve *curve);

/*
 * The prediction for a pool of that size (less than 1 counts as 1).  Wait never grows
 * with size while open; while the pool is the limit it is known only with a demand, by
 * Little's law: (demand - size) / throughput.
 */
extern void po_curve_at(const PoCurve *curve, int size, PoCurvePoint *point);

#endif							/* PO_CURVE_H */
