/*
 * po_leak.h
 *		What a session is: busy, idle, or a leak, and how sure that is.
 */
#ifndef PO_LEAK_H
#define PO_LEAK_H

#include "model/po_histogram.h"
#include "model/po_policy.h"

/* What was seen of one session. */
typedef struct PoSessionFacts
{
	PoState		state;
	int64_t		state_us;		/* for so long in this state */
	int64_t		age_us;			/* since backend_start */
	int64_t		client_read_us; /* active, but waiting for its client without progress */
	uint64_t	transactions;	/* ended so far */
	double		growth_probability; /* of its group, see po_leak_growth_probability */
} PoSessionFacts;

/* When each rule strikes; a rule with limit 0 is off. */
typedef struct PoLeakLimits
{
	int64_t		idle_us;
	int64_t		idle_in_transaction_us; /* also aborted and stuck_in_client_read */
	int64_t		never_used_us;
	int64_t		lifetime_us;
	double		leak_probability;
	uint32_t	by_policy;		/* PO_SET_* bits: rule comes from a policy, not from
								 * the built-in thresholds that only detect */
} PoLeakLimits;

typedef struct PoFinding
{
	PoClass		class;
	bool		detect_only;	/* no policy asks for this rule: never act on it */
	int64_t		limit_us;		/* the rule's threshold; 0 for beyond_norm and growth */
	int64_t		next_check_us;	/* nothing changes for so long if the session stays as it is */
} PoFinding;

/*
 * The built-in thresholds, which only detect: idle in transaction 5 min, idle 1 h,
 * never used 10 min, lifetime off, probability 0.99 (and only after 5 min idle).
 * Fields that a policy set replace them.
 */
extern void po_leak_limits(const PoPolicyFields *policy, PoLeakLimits *limits);

/*
 * How likely a session idle for idle_us never comes back, given the gaps of its
 * tenant that did end in reuse (Bayes, with survival S of those gaps):
 *
 *		p = p0 / (p0 + (1 - p0) S(idle))
 *
 * p0 = 0.01 is the prior that a gap is a leak.  S is Laplace's rule of succession
 * (exceeding + 1) / (n + 2) up to the longest gap seen, beyond it that value times
 * longest/idle: a Pareto tail of index 1, heavier than what is usually measured,
 * so the answer errs to the cautious side.  0 with fewer than 20 gaps.
 * Monotone in idle_us; 0..1.
 */
extern double po_leak_probability(const PoHistogram *gaps, int64_t idle_us);

/*
 * A group (tenant, application, address) of sessions that were opened and not
 * reused, counted in windows: growing windows in a row by chance have the
 * probability 2^-k (sign test, W. J. Conover 1971).  Returns 1 - 2^-k for the k
 * last windows that all grew, and 0 when it grew by less than 3 sessions in all.
 */
extern double po_leak_growth_probability(const int *counts, int n);

/*
 * Classifies.  gaps may be NULL (not enough known).  Rules by policy are checked
 * before those that only detect (beyond norm and growth not before 1 s idle, or 5 min
 * when they only detect); of each, in the order aborted or idle in
 * transaction, stuck in client read, lifetime, never used, idle too long, beyond
 * norm, growth.
 */
extern void po_leak_classify(const PoSessionFacts *facts, const PoLeakLimits *limits,
							 const PoHistogram *gaps, PoFinding *finding);

extern const char *po_class_name(PoClass class);
extern const char *po_state_name(PoState state);	/* as pg_stat_activity.state */

/*
 * Damage done by a session, for the order of victims: sessions that wait behind
 * it, then the age of its xmin (in transactions), then its locks, then idle time.
 */
typedef struct PoDamage
{
	int			waiting_behind;
	int64_t		xmin_age;
	int			locks;
	int64_t		state_us;
} PoDamage;

/* Negative when a does more damage than b, for a comparator of qsort. */
extern int	po_damage_compare(const PoDamage *a, const PoDamage *b);

#endif							/* PO_LEAK_H */
