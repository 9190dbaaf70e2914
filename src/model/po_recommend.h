/*
 * po_recommend.h
 *		From what a tenant was seen to do to the size its pool should have.
 *
 * The size is the number of server connections that a transaction pooler should
 * keep for the tenant.
 */
#ifndef PO_RECOMMEND_H
#define PO_RECOMMEND_H

#include "model/po_histogram.h"
#include "model/po_policy.h"
#include "model/po_profile.h"
#include "model/po_search.h"
#include "model/po_warmup.h"

typedef enum PoMethod
{
	PO_METHOD_NONE,				/* nothing known: the present size */
	PO_METHOD_TOO_LITTLE_DATA,	/* the present size */
	PO_METHOD_IDLE,				/* no load */
	PO_METHOD_QUEUEING,			/* Erlang C at the mean load */
	PO_METHOD_BURST,			/* Erlang C at the load of its bursts */
	PO_METHOD_SATURATED,		/* the present pool is the limit: a step up */
	PO_METHOD_TRYING,			/* it is, and sizes are being tried (po_search.h) */
	PO_METHOD_THROUGHPUT		/* the smallest with near-best throughput of those tried */
} PoMethod;

typedef enum PoBottleneck
{
	PO_BOTTLENECK_NONE,
	PO_BOTTLENECK_CPU,
	PO_BOTTLENECK_IO,
	PO_BOTTLENECK_LOCK,
	PO_BOTTLENECK_CLIENT
} PoBottleneck;

/* What a tenant's part of the cluster is bounded by; see po_capacity.h. */
typedef enum PoBound
{
	PO_BOUND_CONNECTIONS,
	PO_BOUND_CPU
} PoBound;

/* Where to look for what keeps a pooler from getting as many connections as it may open. */
#define PO_OBTAINABLE_CAUSES \
	"see CONNECTION LIMIT of role and database, the quota, max_db_connections and " \
	"max_user_connections of PgBouncer, max_connections"

typedef struct PoSizingInput
{
	PoBusy		busy;			/* concurrently busy sessions */
	double		arrival_rate;	/* transactions per second */
	double		queued;			/* clients that waited at poolers since the last one, mean, */
	double		served;			/* and transactions per second meanwhile; 0 = both unknown */
	double		service_us;		/* mean service time */
	double		service_cv2;	/* squared coefficient of variation of it */
	double		arrival_cv2;	/* of the time between arrivals; 1 when unknown */
	double		wait_share[PO_N_WAITS]; /* of busy time; sums to 1 or all 0 */
	int64_t		observed_us;	/* how long the tenant has been watched, */
	int64_t		memory_us;		/* and how much of it is remembered; 0 = all */
	uint64_t	transactions;	/* that the numbers above rest on */
	int			sessions;		/* now */
	int			peak_busy;
	int			previous;		/* last recommendation's known, 0 = none */
	double		drift;			/* recent load / remembered load - 1, smoothed; 0 = steady */
	int			search_size;	/* what po_search_step says; 0 = nothing */
	bool		search_settled;
	bool		searched;		/* a size was measured, see po_search_has_measured */
	bool		unsure;			/* whether the pool is the limit, see po_search_is_unsure */
	bool		unhindered;		/* its clients hardly wait, see po_search_is_unhindered */
	int			cores;
	int			least;			/* a smaller pool stood still; 0 = nothing known */
	int			alone;			/* target if nobody else wanted any; 0 = unknown */
	int			obtainable;		/* connections that its poolers get; 0 = no bound */
	int			allotted;		/* most connections, as others want some, too; 0 = no bound */
	PoBound		allotted_by;
	int			budget;			/* connections of all tenants */
	double		cpus_allotted;	/* 0 = all it wants */
	PoWarmupDemand warmup;
	PoSeason	season;			/* of this hour of the week and the next */
} PoSizingInput;

typedef struct PoRecommendation
{
	int			size;
	int			known;			/* the last one that came of enough data; 0 = none */
	int			min;			/* to keep open: see below */
	int			max;			/* covers the most that was ever busy at once */
	int			target;			/* before steps and thresholds */
	double		busy_mean;
	int			busy_p50;
	int			busy_p95;
	int			busy_max;
	double		load;			/* Erlangs that were used */
	double		predicted_wait_us;	/* mean, at size; finite */
	double		predicted_p95_us;	/* 95 % stay within; finite */
	double		confidence;		/* 0..1 */
	PoMethod	method;
	PoBottleneck bottleneck;
	bool		clamped_min;	/* by the policy's min_size */
	bool		clamped_max;
	bool		clamped_pooler; /* by what poolers get */
	bool		clamped_share;	/* by what others want */
	bool		held;			/* thresholds kept the previous size */
	bool		stepped;		/* a step shortened the move */
	bool		warm;			/* min follows from rises and logins, */
	bool		slow_logins;	/* and these are too slow for those */
	bool		seasonal;		/* size or min follows from what is usual at this time */
} PoRecommendation;

/*
 * The rules, in this order:
 *	1. fewer than 100 transactions or 5 s observed: the present number of sessions
 *	   (the previous recommendation if there is one), confidence at most 0.2;
 *	2. the search for a size (po_search.h) has one: that, as the policy's steps allow;
 *	   else busy sessions make up scale_up_threshold or more of the sessions at the
 *	   median (the present pool is the limit) and the pooler does not tell that clients
 *	   hardly wait: the present size + the step up (at least 1, default a quarter),
 *	   without a step when locks are the bottleneck; not while that is unsure;
 *	3. else the load is the mean busy level (Little), or, when larger, the load
 *	   whose 95 % quantile less 0.5 (continuity) is the one observed (bursts); size is
 *	   the least with Wq <= target_wait (Erlang C, Allen-Cunneen), but no more than were ever
 *	   busy at once;
 *	   Unless a pool that is the limit decides (2.), no less than are usually busy in this hour
 *	   of the week or the next one (season, from po_profile.h), so that what comes each Monday
 *	   at nine finds a pool that is ready;
 *	4. min_size, and the lowest of max_size, the quota (max_connections), what poolers get
 *	   (obtainable) and what others leave (allotted);
 *	5. hysteresis against the previous recommendation: grow when load / previous
 *	   is at or above scale_up_threshold or the wait target is missed there, but not
 *	   while clients hardly wait with no more sessions than that; shrink
 *	   when load / previous is at or below scale_down_threshold or the target is
 *	   smaller by more than one, and it is not unsure that the pool is the limit; by at
 *	   most a step.
 * min is what is busy half of the time and, where logins are slower than the wait target,
 * what that rises by within a login (po_warmup.h); as long as that is not known, what
 * meets the wait target at the mean load; and no less than is usual at this time.
 *
 * All results are finite and min <= size <= max.
 */
extern void po_recommend_size(const PoSizingInput *in, const PoPolicyFields *policy,
							  PoRecommendation *out);

/* May the pool not have what its load needs, or what is to be tried? */
extern bool po_recommend_is_cut(const PoRecommendation *r);

/* The most sessions that were ever busy at once; 0 = unknown. */
extern int	po_recommend_most_busy(const PoSizingInput *in);

/*
 * For how many evaluations what was seen counts (a time constant): 30, and 8 as long as for more
 * than five in a row all that were busy at once are much less than what is remembered, as when
 * most clients have gone; not while so little is done that too little would be remembered.  calm
 * counts these; remembered is the 95 % quantile, most the highest level of this evaluation.
 */
extern double po_recommend_memory(int remembered, int most, double transactions, int *calm);

/* The sizes that a policy allows: 1 <= lowest <= highest. */
extern void po_recommend_bounds(const PoPolicyFields *policy, int *lowest, int *highest);

extern const char *po_method_name(PoMethod method);
extern const char *po_bottleneck_name(PoBottleneck bottleneck);

/* The largest of cpu, io, lock and client if it has at least 40 % of busy time. */
extern PoBottleneck po_recommend_bottleneck(const double wait_share[PO_N_WAITS]);

/* Room for any reason. */
#define PO_RECOMMEND_REASON_LEN	1024

/* Writes the reason, one sentence, into text (at most size - 1 bytes).  search may be
 * NULL: then it does not say what was tried. */
extern void po_recommend_reason(const PoRecommendation *r, const PoSizingInput *in,
								const PoPolicyFields *policy, const PoSearch *search,
								char *text, size_t size);

#endif							/* PO_RECOMMEND_H */
