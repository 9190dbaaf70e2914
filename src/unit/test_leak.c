/*
 * test_leak.c
 *		Probabilities, and each class at the moment its limit is reached.
 */
#include "model/po_leak.h"

#include <stdlib.h>

#include "check.h"

#define SECOND	PO_US_PER_S
#define MINUTE	(60 * SECOND)
#define HOUR	(60 * MINUTE)

static PoHistogram
gaps_of(int n, int64_t us)
{
	PoHistogram h = {{0}};

	h.count[po_histogram_bucket(us)] = (uint64_t) n;
	return h;
}

static void
test_probability_known(void)
{
	PoHistogram gaps = gaps_of(98, SECOND);
	double		end = (double) po_histogram_end(&gaps);
	double		s;

	/* nothing is longer yet: S = (98 + 1) / (98 + 2) */
	s = 0.99;
	CHECK_NEAR(po_leak_probability(&gaps, 0), 0.01 / (0.01 + 0.99 * s), 1e-12);
	CHECK_NEAR(po_leak_probability(&gaps, INT64_MIN), 0.01 / (0.01 + 0.99 * s), 1e-12);
	/* at the longest S = 1 / 100, and a tenth of it at ten times that */
	s = 0.01;
	CHECK_NEAR(po_leak_probability(&gaps, (int64_t) end), 0.01 / (0.01 + 0.99 * s), 1e-12);
	s = 0.001;
	CHECK_NEAR(po_leak_probability(&gaps, (int64_t) end * 10), 0.01 / (0.01 + 0.99 * s), 1e-12);

	gaps = gaps_of(19, SECOND);
	CHECK_NEAR(po_leak_probability(&gaps, INT64_MAX), 0, 0);
	gaps = gaps_of(20, SECOND);
	CHECK(po_leak_probability(&gaps, HOUR) > 0);
}

/* Every other time few of them; never so many that their total does not fit. */
static PoHistogram
random_gaps(void)
{
	PoHistogram h = {{0}};
	int			n = random_below(30);
	int			shift = random_below(2) ? 60 : 8;

	for (int i = 0; i < n; i++)
		h.count[random_below(PO_HISTOGRAM_BUCKETS)] =
			random_bits() >> (shift + random_below(64 - shift));
	return h;
}

static void
test_probability_monotone(void)
{
	for (int round = 0; round < 500; round++)
	{
		PoHistogram gaps = random_gaps();
		double		before = 0;

		for (int64_t idle = 0; idle < INT64_MAX / 2; idle += 1 + idle / 30)
		{
			double		p = po_leak_probability(&gaps, idle);

			CHECK_WITH(p >= before && p <= 1, "%.17g after %.17g", p, before);
			before = p;
		}
		CHECK(po_leak_probability(&gaps, INT64_MAX) >= before);
	}
}

static void
test_growth(void)
{
	CHECK_NEAR(po_leak_growth_probability(NULL, 5), 0, 0);
	CHECK_NEAR(po_leak_growth_probability((const int[]) {5}, 1), 0, 0);
	CHECK_NEAR(po_leak_growth_probability((const int[]) {1, 9}, 2), 0.5, 0);
	CHECK_NEAR(po_leak_growth_probability((const int[]) {1, 2, 3, 4}, 4), 0.875, 0);
	CHECK_NEAR(po_leak_growth_probability((const int[]) {1, 2, 3}, 3), 0, 0);
	CHECK_NEAR(po_leak_growth_probability((const int[]) {9, 1, 5, 9}, 4), 0.75, 0);
	CHECK_NEAR(po_leak_growth_probability((const int[]) {1, 5, 9, 9}, 4), 0, 0);
	CHECK_NEAR(po_leak_growth_probability((const int[]) {INT_MIN, INT_MAX}, 2), 0.5, 0);
	CHECK_NEAR(po_leak_growth_probability((const int[]) {1, 9}, -3), 0, 0);
}

static void
test_limits(void)
{
	PoLeakLimits limits;
	PoPolicyFields policy;

	po_leak_limits(NULL, &limits);
	CHECK_INT(limits.by_policy, 0);
	CHECK_INT(limits.idle_us, HOUR);
	CHECK_INT(limits.idle_in_transaction_us, 5 * MINUTE);
	CHECK_INT(limits.never_used_us, 10 * MINUTE);
	CHECK_INT(limits.lifetime_us, 0);
	CHECK_NEAR(limits.leak_probability, 0.99, 0);

	po_policy_defaults(&policy);
	policy.set = PO_SET_IDLE_IN_TRANSACTION;
	policy.idle_in_transaction_us = MINUTE;
	po_leak_limits(&policy, &limits);
	CHECK_INT(limits.idle_in_transaction_us, MINUTE);
	policy.set = PO_SET_IDLE | PO_SET_LIFETIME | PO_SET_WEIGHT | PO_SET_LEAK_PROBABILITY |
		PO_SET_NEVER_USED;
	policy.idle_us = 0;
	policy.lifetime_us = HOUR;
	policy.never_used_us = -5;
	policy.leak_probability = NAN;
	po_leak_limits(&policy, &limits);
	CHECK_INT(limits.by_policy, PO_SET_IDLE | PO_SET_LIFETIME | PO_SET_LEAK_PROBABILITY |
			  PO_SET_NEVER_USED);
	CHECK_INT(limits.idle_us, 0);
	CHECK_INT(limits.idle_in_transaction_us, 5 * MINUTE);
	CHECK_INT(limits.lifetime_us, HOUR);
	CHECK_INT(limits.never_used_us, 0);
	CHECK_NEAR(limits.leak_probability, 0, 0);
}

/* The rule strikes when the probability reaches its limit, give or take rounding. */
static void
test_classify_agrees_with_probability(void)
{
	for (int round = 0; round < 20000; round++)
	{
		PoHistogram gaps = random_gaps();
		PoSessionFacts f = {PO_STATE_IDLE, 0, 0, 0, 1, 0};
		PoLeakLimits limits = {0, 0, 0, 0, 0, PO_SET_LEAK_PROBABILITY};
		PoFinding	found;
		double		p;

		limits.leak_probability = random_unit();
		f.state_us = PO_US_PER_S + random_magnitude() / 2;
		p = po_leak_probability(&gaps, f.state_us);
		po_leak_classify(&f, &limits, &gaps, &found);
		if (fabs(p - limits.leak_probability) > 1e-6)
			CHECK_WITH((found.class == PO_CLASS_BEYOND_NORM) == (p > limits.leak_probability),
					   "%s with %g, limit %g", po_class_name(found.class), p,
					   limits.leak_probability);
		if (p <= 0 || found.class == PO_CLASS_BEYOND_NORM || found.next_check_us == INT64_MAX)
			continue;
		p = po_leak_probability(&gaps, f.state_us + found.next_check_us);
		CHECK_NEAR(p, fmax(p, limits.leak_probability), 1e-6);
	}
}

static void
check_finding_at(const PoSessionFacts *facts, const PoLeakLimits *limits,
				 const PoHistogram *gaps, PoClass class, bool detect_only,
				 int64_t next_check, int line)
{
	PoFinding	f;

	po_leak_classify(facts, limits, gaps, &f);
	check_text_at(po_class_name(f.class), po_class_name(class), __FILE__, line, "class");
	check_int_at(f.detect_only, detect_only, __FILE__, line, "detect_only");
	check_int_at(f.next_check_us, next_check, __FILE__, line, "next_check_us");
}

#define CHECK_FINDING(facts, limits, gaps, class, detect_only, next) \
	check_finding_at(&(facts), &(limits), (gaps), (class), (detect_only), (next), __LINE__)

static void
test_classify_in_transaction(void)
{
	PoSessionFacts f = {PO_STATE_IDLE_IN_TRANSACTION, 0, HOUR, 0, 5, 0};
	PoLeakLimits limits;

	po_leak_limits(NULL, &limits);
	f.state_us = 4 * MINUTE;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_BUSY, false, MINUTE);
	f.state_us = 5 * MINUTE;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_IDLE_IN_TRANSACTION, true, INT64_MAX);
	limits.by_policy = PO_SET_IDLE_IN_TRANSACTION;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_IDLE_IN_TRANSACTION, false, INT64_MAX);
	f.state = PO_STATE_ABORTED_IN_TRANSACTION;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_ABORTED_IN_TRANSACTION, false, INT64_MAX);

	f.state = PO_STATE_ACTIVE;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_BUSY, false, INT64_MAX);
	f.client_read_us = 3 * MINUTE;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_BUSY, false, 2 * MINUTE);
	f.client_read_us = 5 * MINUTE;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_STUCK_IN_CLIENT_READ, false, INT64_MAX);
	limits.idle_in_transaction_us = 0;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_BUSY, false, INT64_MAX);
	f.state = PO_STATE_UNKNOWN;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_UNKNOWN, false, INT64_MAX);
	f.state = (PoState) 99;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_UNKNOWN, false, INT64_MAX);
}

static void
test_classify_idle(void)
{
	PoSessionFacts f = {PO_STATE_IDLE, MINUTE, MINUTE, 0, 0, 0};
	PoLeakLimits limits;

	po_leak_limits(NULL, &limits);
	CHECK_FINDING(f, limits, NULL, PO_CLASS_IDLE, false, 9 * MINUTE);
	f.age_us = 10 * MINUTE;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_NEVER_USED, true, INT64_MAX);
	f.transactions = 1;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_IDLE, false, 59 * MINUTE);
	f.state_us = HOUR;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_IDLE_TOO_LONG, true, INT64_MAX);

	/* a rule by policy comes before those that only detect, and is waited for */
	limits.by_policy = PO_SET_LIFETIME;
	limits.lifetime_us = 2 * HOUR;
	f.age_us = 90 * MINUTE;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_IDLE_TOO_LONG, true, 30 * MINUTE);
	f.age_us = 2 * HOUR;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_LIFETIME, false, INT64_MAX);
	limits.by_policy = PO_SET_IDLE;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_IDLE_TOO_LONG, false, INT64_MAX);
	/* busy sessions have no lifetime */
	limits.by_policy = PO_SET_LIFETIME;
	f.state = PO_STATE_ACTIVE;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_BUSY, false, INT64_MAX);
}

static void
test_classify_probability(void)
{
	PoHistogram gaps = gaps_of(100000, 10 * PO_US_PER_MS);
	PoSessionFacts f = {PO_STATE_IDLE, 3 * SECOND, HOUR, 0, 9, 0};
	PoLeakLimits limits;
	PoFinding	found;

	po_leak_limits(NULL, &limits);
	CHECK(po_leak_probability(&gaps, f.state_us) > 0.99);
	CHECK_FINDING(f, limits, &gaps, PO_CLASS_IDLE, false, 5 * MINUTE - 3 * SECOND);
	f.state_us = 5 * MINUTE;
	/* at an hour it is idle_too_long, which comes before */
	CHECK_FINDING(f, limits, &gaps, PO_CLASS_BEYOND_NORM, true, 55 * MINUTE);
	f.state_us = 3 * SECOND;
	limits.by_policy = PO_SET_LEAK_PROBABILITY;
	CHECK_FINDING(f, limits, &gaps, PO_CLASS_BEYOND_NORM, false, INT64_MAX);
	po_leak_classify(&f, &limits, &gaps, &found);
	CHECK_INT(found.limit_us, 0);
	f.state_us = SECOND - 1;
	CHECK_FINDING(f, limits, &gaps, PO_CLASS_IDLE, false, 1);

	/* only a limit that no number of microseconds can reach, or none, is never met */
	gaps = gaps_of(20, HOUR);
	limits.leak_probability = 1 - 1e-16;
	f.state_us = 30 * MINUTE;
	CHECK_FINDING(f, limits, &gaps, PO_CLASS_IDLE, false, 30 * MINUTE);
	limits.leak_probability = 1;
	CHECK_FINDING(f, limits, &gaps, PO_CLASS_IDLE, false, 30 * MINUTE);

	limits.leak_probability = 0.99;
	f.growth_probability = 0.995;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_GROWTH, false, INT64_MAX);
	f.growth_probability = NAN;
	CHECK_FINDING(f, limits, NULL, PO_CLASS_IDLE, false, 30 * MINUTE);
}

/*
 * A session that stays as it is keeps its class for next_check_us; and the answer
 * is useful: checking at each of these times takes few checks.
 */
static void
test_classify_next_check(void)
{
	for (int round = 0; round < 3000; round++)
	{
		PoHistogram gaps = random_gaps();
		PoSessionFacts f = {(PoState) random_below(5), 0, 0, 0, 0, 0};
		PoLeakLimits limits = {random_magnitude(), random_magnitude(), random_magnitude(),
			random_magnitude(), random_unit(), (uint32_t) random_bits()};
		int64_t		at = 0;
		int			checks = 0;

		f.transactions = (uint64_t) random_below(2);
		f.growth_probability = random_unit();
		for (;;)
		{
			PoFinding	now;
			PoFinding	then;
			PoSessionFacts later = f;
			int64_t		wait;

			f.state_us = f.age_us = at;
			f.client_read_us = at;
			po_leak_classify(&f, &limits, &gaps, &now);
			CHECK(now.next_check_us > 0);
			if (now.next_check_us > INT64_MAX / 2 - at)
				break;
			wait = (int64_t) (random_unit() * (double) (now.next_check_us - 1));
			if (random_below(3) == 0 || wait >= now.next_check_us)
				wait = now.next_check_us - 1;
			later.state_us = later.age_us = later.client_read_us = at + wait;
			/* at 0 a session does not read from its client at all */
			po_leak_classify(&later, &limits, &gaps, &then);
			if (at > 0)
				CHECK_WITH(then.class == now.class && then.detect_only == now.detect_only,
						   "%s at %lld is %s %lld later", po_class_name(now.class),
						   (long long) at, po_class_name(then.class), (long long) wait);
			at += now.next_check_us;
			checks++;
		}
		CHECK_WITH(checks < 40, "%d checks", checks);
	}
}

static void
test_classify_damaged(void)
{
	for (int round = 0; round < 20000; round++)
	{
		PoHistogram gaps;
		PoSessionFacts f = {(PoState) random_odd_int(), random_odd_int64(), random_odd_int64(),
			random_odd_int64(), random_bits(), random_odd_double()};
		PoLeakLimits limits = {random_odd_int64(), random_odd_int64(), random_odd_int64(),
			random_odd_int64(), random_odd_double(), (uint32_t) random_bits()};
		PoFinding	found;

		random_fill(&gaps, sizeof(gaps));
		if (random_below(2))
			f.state = (PoState) random_below(5);
		po_leak_classify(&f, &limits, random_below(3) ? &gaps : NULL, &found);
		CHECK(found.class <= PO_CLASS_GROWTH && found.next_check_us > 0);
		CHECK(found.limit_us >= 0);
	}
}

static void
test_names(void)
{
	CHECK_TEXT(po_class_name(PO_CLASS_UNKNOWN), "unknown");
	CHECK_TEXT(po_class_name(PO_CLASS_SURPLUS), "surplus");
	CHECK_TEXT(po_class_name(PO_CLASS_STUCK_IN_CLIENT_READ), "stuck_in_client_read");
	CHECK_TEXT(po_class_name(PO_CLASS_GROWTH), "growth");
	CHECK_TEXT(po_class_name((PoClass) -1), "unknown");
	CHECK_TEXT(po_state_name(PO_STATE_IDLE), "idle");
	CHECK_TEXT(po_state_name(PO_STATE_ABORTED_IN_TRANSACTION), "idle in transaction (aborted)");
	CHECK_TEXT(po_state_name((PoState) 5), "unknown");
	CHECK(PO_CLASS_IS_LEAK(PO_CLASS_IDLE_IN_TRANSACTION));
	CHECK(!PO_CLASS_IS_LEAK(PO_CLASS_SURPLUS));
}

static int
compare_damage(const void *a, const void *b)
{
	return po_damage_compare(a, b);
}

static void
test_damage(void)
{
	/* in order */
	const PoDamage sorted[] = {
		{INT_MAX, 0, 0, 0}, {3, INT64_MAX, 0, 0}, {3, 5, 9, 0}, {3, 5, 2, HOUR}, {3, 5, 2, 1},
		{0, 0, 0, 0}, {0, INT64_MIN, 0, 0}, {INT_MIN, 9, 9, 9}
	};
	const int	n = (int) (sizeof(sorted) / sizeof(sorted[0]));
	PoDamage	d[8];

	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < n; j++)
		{
			int			order = po_damage_compare(&sorted[i], &sorted[j]);

			CHECK_INT((order > 0) - (order < 0), (i > j) - (i < j));
		}
		d[i] = sorted[(i * 3 + 1) % n];
	}
	qsort(d, (size_t) n, sizeof(d[0]), compare_damage);
	for (int i = 0; i < n; i++)
		CHECK_INT(po_damage_compare(&d[i], &sorted[i]), 0);
}

int
main(void)
{
	test_probability_known();
	test_probability_monotone();
	test_classify_agrees_with_probability();
	test_growth();
	test_limits();
	test_classify_in_transaction();
	test_classify_idle();
	test_classify_probability();
	test_classify_next_check();
	test_classify_damaged();
	test_names();
	test_damage();
	return check_end("test_leak");
}
