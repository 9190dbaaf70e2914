/*
 * po_leak.c
 *		What a session is: busy, idle, or a leak, and how sure that is.
 */
#include "model/po_leak.h"

#include <limits.h>
#include <math.h>

#define MINUTE_US			(60 * PO_US_PER_S)

/* The prior probability that a gap is a leak. */
#define PRIOR				0.01
#define LEAST_GAPS			20
#define LEAST_GROWTH		3

/*
 * No session is beyond the norm before it was idle for so long: a burst of
 * transactions makes short gaps look impossible to exceed, yet every burst ends.
 */
#define IDLE_BEFORE_DETECT	(5 * MINUTE_US)
#define IDLE_BEFORE_ACT		PO_US_PER_S

#define NEVER				INT64_MAX

static int64_t
not_negative(int64_t us)
{
	return us > 0 ? us : 0;
}

/* A probability; what is none is 0, and a rule with it is off. */
static double
sane_probability(double p)
{
	return p >= 0 && p <= 1 ? p : 0;
}

void
po_leak_limits(const PoPolicyFields *policy, PoLeakLimits *limits)
{
	uint32_t	set = policy != NULL ? policy->set : 0;

	limits->by_policy = set & (PO_SET_IDLE | PO_SET_IDLE_IN_TRANSACTION |
							   PO_SET_NEVER_USED | PO_SET_LIFETIME |
							   PO_SET_LEAK_PROBABILITY);
	limits->idle_us = 60 * MINUTE_US;
	limits->idle_in_transaction_us = 5 * MINUTE_US;
	limits->never_used_us = 10 * MINUTE_US;
	limits->lifetime_us = 0;
	limits->leak_probability = 0.99;

	if (set & PO_SET_IDLE)
		limits->idle_us = not_negative(policy->idle_us);
	if (set & PO_SET_IDLE_IN_TRANSACTION)
		limits->idle_in_transaction_us = not_negative(policy->idle_in_transaction_us);
	if (set & PO_SET_NEVER_USED)
		limits->never_used_us = not_negative(policy->never_used_us);
	if (set & PO_SET_LIFETIME)
		limits->lifetime_us = not_negative(policy->lifetime_us);
	if (set & PO_SET_LEAK_PROBABILITY)
		limits->leak_probability = sane_probability(policy->leak_probability);
}

double
po_leak_probability(const PoHistogram *gaps, int64_t idle_us)
{
	double		n = (double) po_histogram_total(gaps);
	double		longest = (double) po_histogram_end(gaps);
	double		idle = (double) not_negative(idle_us);
	double		survival;

	if (n < LEAST_GAPS)
		return 0;
	survival = fmin((po_histogram_exceeding(gaps, idle_us) + 1) / (n + 2), 1);
	if (idle > longest)
		survival *= longest / idle;
	return PRIOR / (PRIOR + (1 - PRIOR) * survival);
}

/*
 * The idle time (us) at which the probability reaches p, with 0 < p < 1: the two
 * formulas of po_leak_probability solved for the time.
 */
static int64_t
idle_until_probability(const PoHistogram *gaps, double p)
{
	double		n = (double) po_histogram_total(gaps);
	double		survival = PRIOR * (1 - p) / (p * (1 - PRIOR));
	double		exceeding = survival * (n + 2) - 1;
	double		idle;

	if (exceeding >= n)
		idle = 0;				/* no more than the prior is asked for */
	else if (exceeding >= 0)
		idle = po_histogram_quantile(gaps, 1 - exceeding / n) - 1;
	else
		idle = (double) po_histogram_end(gaps) / (survival * (n + 2));
	idle = ceil(fmax(idle, 0));
	return idle < 9e18 ? (int64_t) idle : NEVER;
}

double
po_leak_growth_probability(const int *counts, int n)
{
	int			windows = 0;
	int64_t		growth;

	if (counts == NULL || n < 2)
		return 0;
	while (windows < n - 1 && counts[n - 1 - windows] > counts[n - 2 - windows])
		windows++;
	growth = (int64_t) counts[n - 1] - counts[n - 1 - windows];
	return growth < LEAST_GROWTH ? 0 : 1 - ldexp(1, -windows);
}

/* How long until a limit is reached: 0 when it is, NEVER when the rule is off. */
static int64_t
remaining(int64_t limit_us, int64_t passed_us)
{
	passed_us = not_negative(passed_us);
	if (limit_us <= 0)
		return NEVER;
	return passed_us >= limit_us ? 0 : limit_us - passed_us;
}

static int64_t
idle_before_probability(const PoLeakLimits *limits)
{
	return limits->by_policy & PO_SET_LEAK_PROBABILITY ?
		IDLE_BEFORE_ACT : IDLE_BEFORE_DETECT;
}

/* Certainty is never reached, so a limit of 1 is off like one of 0. */
static bool
probability_is_on(const PoLeakLimits *limits)
{
	return limits->leak_probability > 0 && limits->leak_probability < 1;
}

static int64_t
remaining_beyond_norm(const PoSessionFacts *facts, const PoLeakLimits *limits,
					  const PoHistogram *gaps)
{
	int64_t		least = idle_before_probability(limits);
	int64_t		until;

	if (gaps == NULL || !probability_is_on(limits) ||
		po_histogram_total(gaps) < LEAST_GAPS)
		return NEVER;
	until = idle_until_probability(gaps, limits->leak_probability);
	if (until == NEVER)
		return NEVER;
	return remaining(until > least ? until : least, facts->state_us);
}

static int64_t
remaining_growth(const PoSessionFacts *facts, const PoLeakLimits *limits)
{
	if (!probability_is_on(limits) ||
		!(facts->growth_probability >= limits->leak_probability))
		return NEVER;
	return remaining(idle_before_probability(limits), facts->state_us);
}

/* A rule as it stands for one session. */
typedef struct Rule
{
	PoClass		class;
	uint32_t	bit;			/* of the policy field that sets it */
	int64_t		limit_us;
	int64_t		remaining_us;
} Rule;

#define MAX_RULES	5

/* Fills in the rules for the session's state, in order; returns how many. */
static int
rules_for(const PoSessionFacts *facts, const PoLeakLimits *limits,
		  const PoHistogram *gaps, Rule rules[MAX_RULES])
{
	int64_t		in_xact = limits->idle_in_transaction_us;
	int64_t		in_state = remaining(in_xact, facts->state_us);

	switch (facts->state)
	{
		case PO_STATE_IDLE_IN_TRANSACTION:
			rules[0] = (Rule) {PO_CLASS_IDLE_IN_TRANSACTION, PO_SET_IDLE_IN_TRANSACTION,
				in_xact, in_state};
			return 1;
		case PO_STATE_ABORTED_IN_TRANSACTION:
			rules[0] = (Rule) {PO_CLASS_ABORTED_IN_TRANSACTION,
				PO_SET_IDLE_IN_TRANSACTION, in_xact, in_state};
			return 1;
		case PO_STATE_ACTIVE:
			if (facts->client_read_us <= 0)
				return 0;
			rules[0] = (Rule) {PO_CLASS_STUCK_IN_CLIENT_READ, PO_SET_IDLE_IN_TRANSACTION,
				in_xact, remaining(in_xact, facts->client_read_us)};
			return 1;
		case PO_STATE_IDLE:
			rules[0] = (Rule) {PO_CLASS_LIFETIME, PO_SET_LIFETIME, limits->lifetime_us,
				remaining(limits->lifetime_us, facts->age_us)};
			rules[1] = (Rule) {PO_CLASS_NEVER_USED, PO_SET_NEVER_USED,
				limits->never_used_us, facts->transactions > 0 ? NEVER :
				remaining(limits->never_used_us, facts->age_us)};
			rules[2] = (Rule) {PO_CLASS_IDLE_TOO_LONG, PO_SET_IDLE, limits->idle_us,
				remaining(limits->idle_us, facts->state_us)};
			rules[3] = (Rule) {PO_CLASS_BEYOND_NORM, PO_SET_LEAK_PROBABILITY, 0,
				remaining_beyond_norm(facts, limits, gaps)};
			rules[4] = (Rule) {PO_CLASS_GROWTH, PO_SET_LEAK_PROBABILITY, 0,
				remaining_growth(facts, limits)};
			return 5;
		case PO_STATE_UNKNOWN:
			break;
	}
	return 0;
}

/* What a session is that no rule strikes. */
static PoClass
plain_class(PoState state)
{
	switch (state)
	{
		case PO_STATE_ACTIVE:
		case PO_STATE_IDLE_IN_TRANSACTION:
		case PO_STATE_ABORTED_IN_TRANSACTION:
			return PO_CLASS_BUSY;
		case PO_STATE_IDLE:
			return PO_CLASS_IDLE;
		case PO_STATE_UNKNOWN:
			break;
	}
	return PO_CLASS_UNKNOWN;
}

/*
 * next_check_us regards the rules that would come before the one found; behind
 * it nothing can change the answer.
 */
void
po_leak_classify(const PoSessionFacts *facts, const PoLeakLimits *limits,
				 const PoHistogram *gaps, PoFinding *finding)
{
	Rule		rules[MAX_RULES];
	int			n = rules_for(facts, limits, gaps, rules);

	finding->class = plain_class(facts->state);
	finding->detect_only = false;
	finding->limit_us = 0;
	finding->next_check_us = NEVER;

	for (int pass = 0; pass < 2; pass++)
	{
		bool		detect_only = pass == 1;

		for (int i = 0; i < n; i++)
		{
			const Rule *rule = &rules[i];

			if (((rule->bit & limits->by_policy) == 0) != detect_only)
				continue;
			if (rule->remaining_us == 0)
			{
				finding->class = rule->class;
				finding->detect_only = detect_only;
				finding->limit_us = rule->limit_us;
				return;
			}
			if (rule->remaining_us < finding->next_check_us)
				finding->next_check_us = rule->remaining_us;
		}
	}
}

const char *
po_class_name(PoClass class)
{
	static const char *const names[] = {
		"unknown", "busy", "idle", "surplus", "idle_in_transaction",
		"aborted_in_transaction", "idle_too_long", "never_used",
		"stuck_in_client_read", "lifetime", "beyond_norm", "growth"
	};

	return (unsigned int) class <= PO_CLASS_GROWTH ? names[class] : "unknown";
}

const char *
po_state_name(PoState state)
{
	static const char *const names[] = {
		"unknown", "idle", "active", "idle in transaction",
		"idle in transaction (aborted)"
	};

	return (unsigned int) state <= PO_STATE_ABORTED_IN_TRANSACTION ?
		names[state] : "unknown";
}

static int
descending(int64_t a, int64_t b)
{
	return (a < b) - (a > b);
}

int
po_damage_compare(const PoDamage *a, const PoDamage *b)
{
	int			order = descending(a->waiting_behind, b->waiting_behind);

	if (order == 0)
		order = descending(a->xmin_age, b->xmin_age);
	if (order == 0)
		order = descending(a->locks, b->locks);
	if (order == 0)
		order = descending(a->state_us, b->state_us);
	return order;
}
