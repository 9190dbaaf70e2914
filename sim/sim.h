/*
 * sim.h
 *		A discrete-event simulator of many tenants on one server.
 *
 * workload.c is the world: what tenants do, and what a server would observe of it.
 * decide.c is the extension: from what was observed to a size, with the code of
 * src/model and in the way of src/po_stats.c.  sim.c has the clock and the events,
 * report.c what comes out.
 *
 * The clock steps by INTERVAL_S, the time between evaluations.  A tenant whose size cannot
 * change from one to the next is passed over for some of them (steps_for): what it did
 * meanwhile is then observed and remembered in one go.  --exact passes over nobody.
 */
#ifndef SIM_H
#define SIM_H

#include "model/po_capacity.h"
#include "model/po_histogram.h"
#include "model/po_policy.h"
#include "model/po_recommend.h"
#include "model/po_search.h"
#include "model/po_share.h"

#define INTERVAL_S		60		/* between evaluations */
#define DAY_S			86400
#define MOST_STEPS		60		/* intervals that a tenant is passed over, at most */
#define DECISIONS_TIMED	16		/* one in so many, as looking at the clock takes time, too */
#define BATCH_CORES		8		/* what one closed workload can get of the CPUs */

typedef enum Kind
{
	KIND_WEB,					/* open: arrivals with day and week */
	KIND_LOCKING,				/* the same by day, closed, and in each other's way */
	KIND_BATCH,					/* closed, some hours of the night */
	N_KINDS
} Kind;

typedef struct Tenant
{
	/* The world; constant. */
	Kind		kind;
	double		peak_rate;		/* transactions/s */
	int			peak_hour;
	double		weekend;		/* factor of the load */
	double		cpu_us;
	double		off_us;			/* client or disk */
	double		contention;		/* Universal Scalability Law, sigma and kappa */
	double		coherence;
	int			clients;		/* that can want a connection at once */
	int			closed_need;	/* of a closed workload */
	PoPolicyFields policy;

	/* The world; now. */
	double		noise;			/* logarithm of a factor */
	double		rate;
	double		load;			/* Erlangs that it offers */
	bool		awake;
	bool		deploying;		/* both generations hold their pools */
	bool		stuck;			/* behind a lock that somebody keeps */
	int			need;			/* what perfect knowledge would give it */
	int			wanted;			/* connections that it would open */
	int			granted;
	bool		cut;			/* less was granted than wanted */
	bool		bounded;		/* a search that has all that is allotted to it */
	double		used_us;		/* of CPU, a second */

	/* The clock: in intervals. */
	int64_t		visited;		/* up to when the world has gone */
	int64_t		seen_at;		/* up to when the extension has seen it */
	int64_t		due;
	int			next;			/* of those that are due with it; -1 = last */

	/* The extension. */
	PoLevels	busy;
	int			calm;
	double		transactions;	/* of these, what memory has left */
	double		service_us;
	double		elapsed_us;
	double		wait_us[PO_N_WAITS];
	int64_t		known_since;	/* intervals; 0 = never seen awake */
	PoSearch	search;
	PoRecommendation r;

	/* The report. */
	int			off_band;		/* evaluations in a row */
	int			direction;		/* of the last change, and when */
	int64_t		changed;
	int			need_direction;
	int64_t		need_changed;
	int			last_need;
	int			fixed;			/* of a fixed split by weight */
	bool		noted;
	int			noted_need;		/* as they are in the report's sums */
	int			noted_granted;
} Tenant;

/* Some intervals of a tenant as they would be observed. */
typedef struct Observed
{
	PoSearchSeen seen;
	double		service_us;
	int			intervals;
	PoLevels	levels;			/* how many were busy */
} Observed;

typedef struct Options
{
	int			tenants;
	int			days;
	uint64_t	seed;
	double		scarcity;		/* budget as a part of what is needed at the peak */
	bool		check;
	bool		exact;
} Options;

typedef struct Report
{
	/* Of a kind: of its evaluations, and of episodes out of the band. */
	int64_t		evaluations[N_KINDS];	/* of those with what they asked for */
	int64_t		all_evaluations[N_KINDS];
	int64_t		in_band[N_KINDS];
	int64_t		large_evaluations[N_KINDS];	/* of those that need several */
	int64_t		large_in_band[N_KINDS];
	PoHistogram episode[N_KINDS];	/* evaluations each lasted */
	int64_t		longest[N_KINDS];
	int64_t		reversals[N_KINDS];
	int64_t		need_reversals[N_KINDS];

	/* Sums over tenants, of the moment. */
	struct
	{
		int64_t		needed;
		int64_t		unmet;
		int64_t		spare;
		int64_t		kept;		/* granted, or kept free for a guarantee */
		int64_t		static_unmet;
		int64_t		static_spare;
	}			now;

	/* Connections x intervals. */
	double		needed;
	double		unmet;
	double		regret;			/* unmet though there was room, or others had too much */
	double		idle_room;		/* of that, what nobody had */
	double		static_regret;	/* of a fixed split by weight */

	int64_t		intervals;
	int64_t		contended;		/* of these, wishes were more than there was */
	int64_t		rationed;		/* of these, connections were, too */
	int64_t		visits;
	double		jain_sum;
	double		jain_least;
	double		static_jain_sum;
	int64_t		jain_n;

	PoHistogram decision_ns;	/* of one in DECISIONS_TIMED */
	PoHistogram share_ns;
	int64_t		broken;			/* sums, floors, or numbers that are none */
	uint64_t	digest;			/* of all shares, for determinism */
	int			budget;
	double		cores;
	int64_t		events;
	double		seconds;
} Report;

/* workload.c */
extern void seed_random(uint64_t seed);
extern double random_unit(void);
extern int	random_below(int n);
extern void make_tenant(Tenant *t);
extern int	need_of(const Tenant *t, double load, double service_us);
extern double peak_load(const Tenant *t);
extern void advance(Tenant *t, int64_t now, int intervals);
extern void observe(Tenant *t, double slowness, double cores, int intervals, Observed *o);
extern int	steps_for(const Tenant *t, int64_t now);

/* decide.c */
extern void decide(PoCapacity *c, int tenant, Tenant *t, const Observed *o, int64_t now);
extern int	wanted_by(const Tenant *t);

/* report.c */
extern int64_t clock_ns(void);
extern double cpu_seconds(void);
extern void note_cost(PoHistogram *h, int64_t start);
extern void note_decision(Report *report, Tenant *t, int before, int intervals, int64_t now);
extern void check_shares(Report *report, const PoShare *share, int n, PoShareOutcome outcome);
extern void note_state(Report *report, Tenant *t);
extern void note_interval(Report *report, bool contended);
extern void note_fairness(Report *report, const Tenant *tenants, PoShare *work, int n,
						  PoShareMark *marks);
extern void print_report(const Report *report, const Options *options);
extern int	check_report(const Report *report, bool ample);

#endif							/* SIM_H */
