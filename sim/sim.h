/*
 * sim.h
 *		A discrete-event simulator of many tenants on one server.
 *
 * workload.c is the world: what tenants do, and what a server would observe of it.
 * decide.c is the extension: from what was observed to a size, with the code of
 * src/model and in the way of src/po_stats.c.  sim.c has the clock and the events,
 * report.c what comes out.
 */
#ifndef SIM_H
#define SIM_H

#include "model/po_histogram.h"
#include "model/po_policy.h"
#include "model/po_recommend.h"
#include "model/po_search.h"
#include "model/po_share.h"

#define INTERVAL_S		60		/* between evaluations */
#define DAY_S			86400
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
	bool		awake;
	bool		deploying;		/* both generations hold their pools */
	bool		stuck;			/* behind a lock that somebody keeps */
	int			need;			/* what perfect knowledge would give it */
	int			granted;
	bool		cut;			/* less was granted than wanted */

	/* The extension. */
	PoLevels	busy;
	double		transactions;	/* of these, what memory has left */
	double		service_us;
	double		elapsed_us;
	double		wait_us[PO_N_WAITS];
	int64_t		known_since;	/* s */
	int64_t		evaluated;
	PoSearch	search;
	PoRecommendation r;

	/* The report. */
	int			off_band;		/* evaluations in a row */
	int			direction;		/* of the last change, and when */
	int64_t		changed;
	int			need_direction;
	int64_t		need_changed;
	int			last_need;
} Tenant;

/* One interval of a tenant as it would be observed. */
typedef struct Observed
{
	PoSearchSeen seen;
	double		service_us;
} Observed;

typedef struct Options
{
	int			tenants;
	int			days;
	uint64_t	seed;
	double		scarcity;		/* budget as a part of what is needed at the peak */
	bool		check;
} Options;

typedef struct Report
{
	/* Of a kind: of its evaluations, and of episodes out of the band. */
	int64_t		evaluations[N_KINDS];	/* of those with what they asked for */
	int64_t		all_evaluations[N_KINDS];
	int64_t		in_band[N_KINDS];
	PoHistogram episode[N_KINDS];	/* evaluations each lasted */
	int64_t		longest[N_KINDS];
	int64_t		reversals[N_KINDS];
	int64_t		need_reversals[N_KINDS];

	/* Connections x intervals. */
	double		needed;
	double		unmet;
	double		regret;			/* unmet though there was room, or others had too much */
	double		idle_room;		/* of that, what nobody had */
	double		static_regret;	/* of a fixed split by weight */

	int64_t		ticks;
	int64_t		contended;
	double		jain_sum;
	double		jain_least;
	double		static_jain_sum;
	int64_t		jain_n;

	PoHistogram decision_ns;
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
extern void advance(Tenant *t, int64_t now_s);
extern void observe(Tenant *t, double slowness, double cores, Observed *o);

/* decide.c */
extern void decide(Tenant *t, const Observed *o, int64_t now_s);
extern int	wanted_by(const Tenant *t);

/* report.c */
extern int64_t clock_ns(void);
extern void note_decision(Report *report, Tenant *t, int before, int64_t now_s);
extern void note_shares(Report *report, const Tenant *tenants, const PoShare *share, int n,
						PoShareOutcome outcome);
extern void note_fairness(Report *report, const Tenant *tenants, PoShare *work, int n,
						  PoShareMark *marks);
extern void print_report(const Report *report, const Options *options);
extern int	check_report(const Report *report, bool ample);

#endif							/* SIM_H */
