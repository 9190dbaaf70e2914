/*
 * test_recommend.c
 *		Each method on an example that can be computed by hand, then properties.
 */
#include "model/po_recommend.h"

#include <stdlib.h>

#include "model/po_queueing.h"

#include "check.h"

#define MINUTE	(60 * PO_US_PER_S)

/* What recommend() is given as the busy sessions of its input. */
static PoLevels levels;

/* Watched for an hour, well known, nothing busy yet. */
static PoSizingInput
quiet(void)
{
	PoSizingInput in;

	memset(&in, 0, sizeof(in));
	in.arrival_cv2 = 1;
	in.observed_us = 60 * MINUTE;
	in.transactions = 100000;
	in.cores = 4;
	memset(&levels, 0, sizeof(levels));
	po_levels_pass(&levels, 1e6);
	return in;
}

/* Levels as of n clients that are each busy the share p of the time, alone. */
static void
add_binomial(PoLevels *l, int n, double p)
{
	double		chance = pow(1 - p, n);

	for (int k = 0; k <= n; k++)
	{
		po_levels_add(l, k, chance * 1e12);
		chance *= p / (1 - p) * (n - k) / (k + 1);
	}
}

/* 12 clients, each busy half of the time, 50 ms per transaction: 6 Erlang. */
static PoSizingInput
textbook(void)
{
	PoSizingInput in = quiet();

	memset(&levels, 0, sizeof(levels));
	add_binomial(&levels, 12, 0.5);
	in.arrival_rate = 120;
	in.service_us = 50000;
	in.sessions = 12;
	in.peak_busy = 12;
	return in;
}

static PoRecommendation
recommend(const PoSizingInput *in, const PoPolicyFields *policy)
{
	PoSizingInput with_levels = *in;
	PoRecommendation r;

	po_levels_digest(&levels, &with_levels.busy);
	po_recommend_size(&with_levels, policy, &r);
	return r;
}

static PoPolicyFields
defaults(void)
{
	PoPolicyFields policy;

	po_policy_defaults(&policy);
	return policy;
}

static const char *
reason_of(const PoRecommendation *r, const PoSizingInput *in, const PoPolicyFields *policy)
{
	static char text[512];

	po_recommend_reason(r, in, policy, NULL, text, sizeof(text));
	if (getenv("PO_SHOW_REASONS") != NULL)
		printf("  %s\n", text);
	return text;
}

#define CHECK_REASON(r, in, policy, part) \
	do { \
		const char *text = reason_of(&(r), &(in), &(policy)); \
		CHECK_WITH(strstr(text, (part)) != NULL, "%s", text); \
	} while (0)

/*
 * C(7, 6) = 0.6138 and C(8, 6) = 0.3570 (Erlang C); with constant service half of
 * C * 50 ms / (c - 6) is 15.3 ms and 4.5 ms, so 8 are the least for 10 ms.
 */
static void
test_recommend_textbook(void)
{
	PoSizingInput in = textbook();
	PoPolicyFields policy = defaults();
	PoRecommendation r = recommend(&in, &policy);

	CHECK_INT(r.method, PO_METHOD_QUEUEING);
	CHECK_NEAR(r.busy_mean, 6, 1e-6);
	CHECK_INT(r.busy_p50, 6);
	CHECK_INT(r.busy_p95, 9);
	CHECK_INT(r.busy_max, 12);
	CHECK_NEAR(r.load, 6, 1e-6);
	CHECK_INT(r.size, 8);
	CHECK_INT(r.target, 8);
	CHECK_INT(r.min, 8);
	CHECK_INT(r.max, 12);
	CHECK_NEAR(r.predicted_wait_us, 4462, 1);
	CHECK(r.confidence > 0.95 && r.confidence <= 1);
	CHECK(!r.held && !r.stepped && !r.clamped_min && !r.clamped_max);
	CHECK_TEXT(reason_of(&r, &in, &policy),
			   "6.0 sessions busy on average (p95 9, at most 12), 120.0 transactions/s of "
			   "50 ms; 8 connections keep the mean wait at 4.5 ms, within the target of 10 ms "
			   "(95 % wait 24.6 ms at most)");

	policy.target_wait_us = 20 * PO_US_PER_MS;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 7);
	CHECK_NEAR(r.predicted_wait_us, 15345, 1);

	policy = defaults();
	in.service_us = 0;			/* follows from Little */
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 8);
}

static void
test_recommend_too_little(void)
{
	PoSizingInput in = textbook();
	PoPolicyFields policy = defaults();
	PoRecommendation r;

	in.transactions = 99;
	r = recommend(&in, &policy);
	CHECK_INT(r.method, PO_METHOD_TOO_LITTLE_DATA);
	CHECK_INT(r.size, 12);
	CHECK(r.confidence > 0 && r.confidence <= 0.2);
	CHECK_REASON(r, in, policy, "only 99 transactions in the last 60 min");
	in.observed_us = 720 * 60 * MINUTE;
	in.memory_us = 30 * MINUTE;
	CHECK_REASON(r, in, policy, "only 99 transactions in the last 30 min");
	CHECK_REASON(r, in, policy, "stays at 12 connections");
	in.previous = 5;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 5);
	/* For the night, not for one evaluation. */
	for (int i = 0; i < 3; i++)
	{
		in.previous = r.known;
		r = recommend(&in, &policy);
		CHECK_INT(r.size, 5);
	}
	/* What is kept ready meanwhile is not what it had. */
	in.season.busy = 20;
	in.season.weeks = 4;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 20);
	CHECK_INT(r.known, 5);
	CHECK_REASON(r, in, policy, "too little to size a pool; at least");

	in = textbook();
	in.observed_us = 5 * PO_US_PER_S - 1;
	CHECK_INT(recommend(&in, &policy).method, PO_METHOD_TOO_LITTLE_DATA);
	in.observed_us = 5 * PO_US_PER_S;
	in.transactions = 100;
	r = recommend(&in, &policy);
	CHECK_INT(r.method, PO_METHOD_QUEUEING);
	CHECK_REASON(r, in, policy, "surer after watching for longer");
	in.observed_us = 60 * MINUTE;
	r = recommend(&in, &policy);
	CHECK_REASON(r, in, policy, "surer after more transactions");

	memset(&in, 0, sizeof(in));
	r = recommend(&in, &policy);
	CHECK_INT(r.method, PO_METHOD_NONE);
	CHECK_INT(r.size, 1);
	CHECK_NEAR(r.confidence, 0, 0);
	CHECK_REASON(r, in, policy, "nothing is known");
}

static void
test_recommend_idle(void)
{
	PoSizingInput in = quiet();
	PoPolicyFields policy = defaults();
	PoRecommendation r;

	in.sessions = 9;
	r = recommend(&in, &policy);
	CHECK_INT(r.method, PO_METHOD_IDLE);
	CHECK_INT(r.size, 1);
	CHECK_NEAR(r.predicted_wait_us, 0, 0);
	CHECK_REASON(r, in, policy, "no session was busy in the last 60 min");
	policy.min_size = 3;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 3);
	CHECK(r.clamped_min);
	CHECK_REASON(r, in, policy, "raised to min_size");
}

/* 30 at once, 5 % of the time and nothing else: the mean says little. */
static void
test_recommend_burst(void)
{
	PoSizingInput in = quiet();
	PoPolicyFields policy = defaults();
	PoRecommendation r;

	memset(&levels, 0, sizeof(levels));
	po_levels_pass(&levels, 94e6);
	po_levels_add(&levels, 30, 6e6);
	in.sessions = 40;
	in.arrival_rate = 18;
	in.service_us = 100000;
	in.service_cv2 = 1;
	in.peak_busy = 30;
	r = recommend(&in, &policy);
	CHECK_INT(r.method, PO_METHOD_BURST);
	CHECK_NEAR(r.busy_mean, 1.8, 1e-9);
	CHECK_INT(r.busy_p95, 30);
	CHECK_NEAR(r.load + 1.645 * sqrt(r.load), 29.5, 1e-6);
	CHECK(r.size > r.load && r.size <= 30);
	CHECK(r.min < r.size);
	CHECK(r.confidence < 0.6);
	CHECK_REASON(r, in, policy, "sized for its bursts");

	/* Poisson arrivals are no bursts: M/G/infinity at any load */
	for (double load = 0.05; load < 25; load *= 1.2)
	{
		double		chance = exp(-load);

		memset(&levels, 0, sizeof(levels));
		for (int k = 0; k < 70; k++)
		{
			po_levels_add(&levels, k, chance * 1e12);
			chance *= load / (k + 1);
		}
		in.sessions = 200;
		in.peak_busy = 0;
		r = recommend(&in, &policy);
		CHECK_WITH(r.load <= load * 1.1 + 0.05, "%g for %g", r.load, load);
	}
}

static void
test_recommend_saturated(void)
{
	PoSizingInput in = quiet();
	PoPolicyFields policy = defaults();
	PoRecommendation r;

	memset(&levels, 0, sizeof(levels));
	po_levels_add(&levels, 9, 40e6);
	po_levels_add(&levels, 10, 60e6);
	in.sessions = 10;
	in.peak_busy = 10;
	in.arrival_rate = 100;
	in.service_us = 96000;
	r = recommend(&in, &policy);
	CHECK_INT(r.method, PO_METHOD_SATURATED);
	CHECK_INT(r.size, 12);
	CHECK_INT(r.max, 12);
	CHECK(r.confidence <= 0.4);
	CHECK(r.predicted_wait_us > 0);
	CHECK_REASON(r, in, policy, "10 of 10 sessions are busy");

	/* nobody followed: it does not run away */
	in.previous = r.size;
	CHECK_INT(recommend(&in, &policy).size, 12);
	policy.scale_up_step = 5;
	CHECK_INT(recommend(&in, &policy).size, 15);
	policy.max_size = 11;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 11);
	CHECK(r.clamped_max);
	CHECK_REASON(r, in, policy, "cut to max_size");
	policy.max_connections = 10;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 10);
	CHECK(r.max <= 10);
	CHECK_REASON(r, in, policy, "cut to the quota");

	policy = defaults();
	in.previous = 0;
	in.wait_share[PO_WAIT_LOCK] = 0.7;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 10);
	CHECK_INT(r.bottleneck, PO_BOTTLENECK_LOCK);
	CHECK_REASON(r, in, policy, "waiting for locks");

	/* just below the threshold, or a pool that has shrunk: not the limit */
	in.sessions = 13;
	CHECK(recommend(&in, &policy).method != PO_METHOD_SATURATED);
	in.sessions = 7;
	CHECK(recommend(&in, &policy).method != PO_METHOD_SATURATED);
}

/* The pooler tells that clients hardly wait, however busy the pool is. */
static void
test_recommend_unhindered(void)
{
	PoSizingInput in = quiet();
	PoPolicyFields policy = defaults();
	PoRecommendation r;

	/* 0.85 of one that serves in 40 ms: an open system would wait for 227 ms in it. */
	memset(&levels, 0, sizeof(levels));
	po_levels_add(&levels, 0, 15e6);
	po_levels_add(&levels, 1, 80e6);
	po_levels_add(&levels, 2, 5e6);
	in.sessions = 1;
	in.peak_busy = 2;
	in.arrival_rate = 22.5;
	in.service_us = 40000;
	in.service_cv2 = 1;
	in.previous = 1;
	r = recommend(&in, &policy);
	CHECK_INT(r.method, PO_METHOD_SATURATED);
	CHECK_INT(r.size, 2);
	in.unhindered = true;
	r = recommend(&in, &policy);
	CHECK(r.method == PO_METHOD_QUEUEING || r.method == PO_METHOD_BURST);
	CHECK_INT(r.target, 2);
	CHECK_INT(r.size, 1);
	CHECK(r.held && !r.stepped);
	CHECK_REASON(r, in, policy, "above the target of 10 ms");
	CHECK_REASON(r, in, policy,
				 "; the pooler tells that clients hardly wait, so 1 stays instead of 2");
	CHECK(strstr(reason_of(&r, &in, &policy), "thresholds") == NULL);

	/* That says nothing of a smaller pool than there is, */
	in.sessions = 2;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 2);
	CHECK(strstr(reason_of(&r, &in, &policy), "hardly wait") == NULL);
	/* nor of what is usual in this hour, */
	in.sessions = 1;
	in.season.busy = 3;
	in.season.weeks = 8;
	CHECK_INT(recommend(&in, &policy).size, 3);
	/* nor against the policy or a search. */
	memset(&in.season, 0, sizeof(in.season));
	policy.min_size = 3;
	CHECK_INT(recommend(&in, &policy).size, 3);
	policy.min_size = 0;
	in.search_size = 2;
	r = recommend(&in, &policy);
	CHECK_INT(r.method, PO_METHOD_TRYING);
	CHECK_INT(r.size, 2);
	CHECK(strstr(reason_of(&r, &in, &policy), "hardly wait") == NULL);

	/* It may well shrink. */
	in.search_size = 0;
	in.sessions = in.previous = 9;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 2);
	CHECK(!r.held);

	/* Held by the thresholds, and not for that reason. */
	in = textbook();
	policy = defaults();
	in.previous = in.sessions = 9;
	in.unhindered = true;
	r = recommend(&in, &policy);
	CHECK_INT(r.target, 8);
	CHECK_INT(r.size, 9);
	CHECK_REASON(r, in, policy, "8 is too small a change for the scaling thresholds, so 9 stays");
	CHECK(strstr(reason_of(&r, &in, &policy), "hardly wait") == NULL);
}

/* Never more than were ever busy: then nobody has to wait. */
static void
test_recommend_steady(void)
{
	PoSizingInput in = quiet();
	PoPolicyFields policy = defaults();
	PoRecommendation r;

	memset(&levels, 0, sizeof(levels));
	po_levels_add(&levels, 4, 100e6);
	in.sessions = 20;
	in.peak_busy = 4;
	in.arrival_rate = 40;
	in.service_us = 100000;
	in.service_cv2 = 1;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 4);
	CHECK_NEAR(r.predicted_wait_us, 0, 0);
	CHECK_REASON(r, in, policy, "none has to wait");

	/* by policy less than the load: service * (4 - 2) / 2, the others' waiting time */
	policy.max_size = 2;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 2);
	CHECK_NEAR(r.predicted_wait_us, 100000, 1e-6);
	CHECK_REASON(r, in, policy, "above the target");
	CHECK_REASON(r, in, policy, "with 2 connections the mean wait is 100 ms");
}

static void
test_recommend_peak(void)
{
	PoSizingInput in = quiet();

	/* 33 shares its bucket with 39, and is known exactly */
	memset(&levels, 0, sizeof(levels));
	po_levels_add(&levels, 33, 1e6);
	po_levels_pass(&levels, 9e6);
	in.peak_busy = 33;
	CHECK_INT(recommend(&in, NULL).busy_max, 33);
	CHECK_INT(recommend(&in, NULL).busy_p95, 33);
	in.peak_busy = 0;
	CHECK_INT(recommend(&in, NULL).busy_max, 39);
	in.peak_busy = 100;
	CHECK_INT(recommend(&in, NULL).busy_max, 100);
}

/* Others want some, too; no bound is told that does not bind. */
static void
test_recommend_share(void)
{
	PoSizingInput in = textbook();
	PoPolicyFields policy = defaults();
	int			alone = recommend(&in, &policy).target;
	PoRecommendation r;

	in.alone = alone;
	in.allotted = alone;
	in.budget = 77;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, alone);
	CHECK(!r.clamped_share);
	in.allotted = 5;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 5);
	CHECK(r.clamped_share && !r.clamped_max);
	CHECK_INT(r.max, 5);
	CHECK_REASON(r, in, policy, "cut to its fair share of 5 of the cluster's 77 connections");
	in.allotted_by = PO_BOUND_CPU;
	in.cpus_allotted = 1.26;
	CHECK_REASON(r, in, policy, "cut to 5, as others need the CPUs, too, and its fair share of "
				 "the 4 is 1.3");

	/* A policy that cuts more, or promises more. */
	policy.max_size = 4;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 4);
	CHECK(!r.clamped_share && r.clamped_max);
	policy.max_size = PO_UNLIMITED;
	policy.min_size = 6;
	CHECK_INT(recommend(&in, &policy).size, 6);
}

/*
 * Full for a moment: it neither steps up for that, nor goes down, until it is sure; what the
 * load itself asks for it gets.
 */
static void
test_recommend_unsure(void)
{
	PoSizingInput in = textbook();
	PoPolicyFields policy = defaults();
	int			alone = recommend(&in, &policy).target;
	PoRecommendation r;

	in.previous = in.sessions = 4 * alone;
	CHECK_INT(recommend(&in, &policy).size, alone);
	in.unsure = true;
	r = recommend(&in, &policy);
	CHECK_INT(r.target, alone);
	CHECK_INT(r.size, 4 * alone);
	CHECK(r.held);
	CHECK_REASON(r, in, policy, "; it may be that clients wait for it, so until that is sure ");
	in.previous = 1;
	CHECK_INT(recommend(&in, &policy).size, alone);

	/* All of it busy. */
	memset(&levels, 0, sizeof(levels));
	po_levels_add(&levels, 10, 100e6);
	in.sessions = in.previous = in.peak_busy = 10;
	in.unsure = false;
	r = recommend(&in, &policy);
	CHECK_INT(r.method, PO_METHOD_SATURATED);
	CHECK(r.size > 10);
	in.unsure = true;
	CHECK_INT(recommend(&in, &policy).size, 10);
}

/* Two reports a minute: a hundred are never remembered, but the search has seen enough. */
static void
test_recommend_few(void)
{
	PoSizingInput in = textbook();
	PoPolicyFields policy = defaults();

	in.transactions = 60;
	in.observed_us = 3600 * PO_US_PER_S;
	in.sessions = in.search_size = 2;
	CHECK_INT(recommend(&in, &policy).method, PO_METHOD_TOO_LITTLE_DATA);
	in.search_size = 8;
	CHECK_INT(recommend(&in, &policy).method, PO_METHOD_TOO_LITTLE_DATA);
	in.searched = true;
	CHECK_INT(recommend(&in, &policy).method, PO_METHOD_TRYING);
	CHECK_INT(recommend(&in, &policy).size, 8);
	CHECK(recommend(&in, &policy).confidence > 0.2);
	in.transactions = 20;
	CHECK(recommend(&in, &policy).confidence > 0.2);
	/* Not of what it was told to have before anything was seen of it. */
	in.observed_us = PO_US_PER_S;
	CHECK_INT(recommend(&in, &policy).method, PO_METHOD_TOO_LITTLE_DATA);
}

/* More than its pooler gets is of no use to ask for. */
static void
test_recommend_obtainable(void)
{
	PoSizingInput in = textbook();
	PoPolicyFields policy = defaults();
	int			alone = recommend(&in, &policy).target;
	PoRecommendation r;

	in.obtainable = alone;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, alone);
	CHECK(!r.clamped_pooler);
	in.obtainable = 5;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 5);
	CHECK(r.clamped_pooler && !r.clamped_max && !r.clamped_share);
	CHECK_REASON(r, in, policy, "cut to 5, as the pooler has got no more for it while clients "
				 "waited: see CONNECTION LIMIT of role and database");

	/* What others leave, if that is less, and a policy that cuts more or wants more. */
	in.alone = 5;
	in.allotted = 3;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 3);
	CHECK(r.clamped_share && !r.clamped_pooler);
	in.allotted = 5;
	CHECK(recommend(&in, &policy).clamped_pooler);
	policy.max_size = 4;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 4);
	CHECK(!r.clamped_pooler && r.clamped_max);
	policy.max_size = PO_UNLIMITED;
	policy.min_size = 6;
	CHECK_INT(recommend(&in, &policy).size, 6);
	/* What is sure to be refused is no floor. */
	policy.min_size = PO_UNLIMITED;
	in.least = 7;
	CHECK_INT(recommend(&in, &policy).size, 5);
}

/* A pool that stood still was too small, whatever the load. */
static void
test_recommend_least(void)
{
	PoSizingInput in = quiet();
	PoPolicyFields policy = defaults();
	PoRecommendation r;

	in.sessions = 3;
	in.least = 4;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 4);
	CHECK_INT(r.min, 4);
	CHECK_REASON(r, in, policy, "at least 4, as a pool of 3 stood still");
	in.allotted = 3;
	CHECK_INT(recommend(&in, &policy).size, 4);
	policy.max_size = 2;
	CHECK_INT(recommend(&in, &policy).size, 2);
	policy.min_size = 2;
	in.least = 2;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 2);
	CHECK(strstr(reason_of(&r, &in, &policy), "stood still") == NULL);
}

/* What was measured is less sure when the load moves away from it. */
static void
test_recommend_drift(void)
{
	PoSizingInput in = textbook();
	PoPolicyFields policy = defaults();
	double		steady = recommend(&in, &policy).confidence;
	double		before = steady;
	PoRecommendation r;

	in.drift = 0.1;
	CHECK_NEAR(recommend(&in, &policy).confidence, steady, 0);
	for (in.drift = 0.2; in.drift < 3; in.drift += 0.1)
	{
		double		confidence = recommend(&in, &policy).confidence;

		CHECK(confidence < before);
		before = confidence;
	}
	CHECK(before < 0.2 * steady);
	r = recommend(&in, &policy);
	CHECK_REASON(r, in, policy, "less sure, as the load is rising");
	in.drift = -0.8;
	r = recommend(&in, &policy);
	CHECK_REASON(r, in, policy, "less sure, as the load is falling");
}

/* A search that ended at the most allowed: nobody knows what more would have done. */
static void
test_recommend_never_relieved(void)
{
	PoSizingInput in = textbook();
	PoPolicyFields policy = defaults();
	PoRecommendation r;

	in.sessions = 10;
	in.search_size = 10;
	in.search_settled = true;
	CHECK(recommend(&in, &policy).confidence > 0.9);
	policy.max_size = 10;
	CHECK_INT(recommend(&in, &policy).method, PO_METHOD_THROUGHPUT);
	CHECK_NEAR(recommend(&in, &policy).confidence, 0.4, 1e-9);
	r = recommend(&in, &policy);
	CHECK_REASON(r, in, policy, "surer if the policy let more be tried");
}

/* 61 of 64 clients wait for 3 connections that do 500/s: 122 ms, however busy these were of late. */
static void
test_recommend_queue(void)
{
	static const double means[] = {2.95, 3, 3.5};
	PoRecommendation r;

	for (int i = 0; i < 3; i++)
	{
		PoSizingInput in = quiet();

		memset(&levels, 0, sizeof(levels));
		po_levels_add(&levels, 2, 1000 * (means[i] < 3));
		po_levels_add(&levels, 3, 19000);
		po_levels_add(&levels, 20, 588 * (means[i] > 3));
		in.arrival_rate = 90;	/* over half an hour, most of it without load */
		in.service_us = 6000;
		in.sessions = in.search_size = 3;
		in.search_settled = in.searched = true;
		in.queued = 61;
		in.served = 500;
		r = recommend(&in, NULL);
		CHECK_INT(r.method, PO_METHOD_THROUGHPUT);
		CHECK_INT(r.size, 3);
		CHECK_NEAR(r.predicted_wait_us, 122000, 1);
		CHECK_NEAR(r.predicted_p95_us, (61 + 1.645 * sqrt(61)) * 2000, 1);
		/* With a size that is not there yet it is another one. */
		in.search_size = 2;
		r = recommend(&in, NULL);
		CHECK(fabs(r.predicted_wait_us - 122000) > 1);
		in.search_size = 3;
		in.queued = 0;			/* told that nobody waits */
		CHECK_NEAR(recommend(&in, NULL).predicted_wait_us, 0, 0);
		in.served = 0;			/* not told */
		CHECK(recommend(&in, NULL).predicted_wait_us > 1);
	}
}

/* Of 64 that were busy 16 are left: known within 30 evaluations, in bursts never. */
static void
test_recommend_memory(void)
{
	int			calm = 0;
	double		left = 1;

	for (int i = 1; i <= 30; i++)
		left *= exp(-1 / po_recommend_memory(64, 16, 100, &calm));
	CHECK_WITH(left < 0.05, "%g", left);
	/* A burst each six evaluations; nearly as many as usual. */
	for (int i = 0; i < 30; i++)
		CHECK_NEAR(po_recommend_memory(64, i % 6 == 0 ? 60 : 1, 100, &calm), 30, 0);
	for (int i = 0; i < 30; i++)
		CHECK_NEAR(po_recommend_memory(10, 8, 100, &calm), 30, 0);
	for (int i = 0; i < 30; i++)
		CHECK_NEAR(po_recommend_memory(64, 1, 12, &calm), 30, 0);
	CHECK_NEAR(po_recommend_memory(0, 0, 0, &calm), 30, 0);
}

/* Six of twelve were busy at once, or all there are: then nobody knows who would come to more. */
static void
test_recommend_all_busy(void)
{
	PoPolicyFields policy = defaults();
	PoSizingInput in = quiet();
	PoRecommendation r;

	memset(&levels, 0, sizeof(levels));
	po_levels_add(&levels, 1, 99000);
	po_levels_add(&levels, 6, 1000);
	in.arrival_rate = 100;
	in.service_us = 10500;
	in.peak_busy = 6;
	policy.min_size = 6;
	in.sessions = 12;
	r = recommend(&in, &policy);
	CHECK_REASON(r, in, policy, "one for every session that was ever busy at once, so none has to wait");
	in.sessions = 6;
	r = recommend(&in, &policy);
	CHECK_REASON(r, in, policy, "ever busy at once, which is no fewer than there are: whether "
				 "more would be is not seen");
	in.unhindered = true;
	r = recommend(&in, &policy);
	CHECK_REASON(r, in, policy, "so none has to wait");
}

static void
test_recommend_hysteresis(void)
{
	PoSizingInput in = textbook();
	PoPolicyFields policy = defaults();
	PoRecommendation r;

	in.previous = 9;			/* only one too many */
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 9);
	CHECK_INT(r.target, 8);
	CHECK(r.held && !r.stepped);
	CHECK_REASON(r, in, policy, "too small a change");

	in.previous = 10;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 8);
	CHECK(!r.held);
	policy.scale_down_threshold = 0.7;	/* 6 of 9 is less */
	in.previous = 9;
	CHECK_INT(recommend(&in, &policy).size, 8);

	policy = defaults();
	in.previous = 7;			/* misses the target */
	CHECK_INT(recommend(&in, &policy).size, 8);
	in.previous = 8;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 8);
	CHECK(!r.held);
}

static void
test_recommend_steps(void)
{
	PoSizingInput in = textbook();
	PoPolicyFields policy = defaults();
	PoRecommendation r;

	policy.scale_up_step = 2;
	policy.scale_down_step = 3;
	in.previous = 3;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 5);
	CHECK_INT(r.target, 8);
	CHECK(r.stepped && !r.held);
	CHECK_REASON(r, in, policy, "one step of the policy on the way to 8");
	CHECK_REASON(r, in, policy, "above the target");
	/* (12 - 5) / 5 services at the most, below 50 * (6 - 5) / 5 + 50 ms */
	CHECK_NEAR(r.predicted_wait_us, 60000, 1e-3);
	in.previous = 100;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 97);
	in.previous = 10;
	CHECK_INT(recommend(&in, &policy).size, 8);
	/* a previous size that the policy no longer allows is no place to stay */
	policy.max_size = 6;
	in.previous = 100;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 6);
	CHECK_INT(r.max, 6);
}

static void
test_recommend_bottleneck(void)
{
	PoSizingInput in = textbook();
	PoPolicyFields policy = defaults();
	PoRecommendation r;

	CHECK_INT(po_recommend_bottleneck((const double[]) {0, 0, 0, 0, 0}), PO_BOTTLENECK_NONE);
	CHECK_INT(po_recommend_bottleneck((const double[]) {0.39, 0.3, 0.3, 0, 0.01}),
			  PO_BOTTLENECK_NONE);
	CHECK_INT(po_recommend_bottleneck((const double[]) {0.4, 0.6, 0, 0, 0}), PO_BOTTLENECK_IO);
	CHECK_INT(po_recommend_bottleneck((const double[]) {1, 0, 0, 0, 0}), PO_BOTTLENECK_CPU);
	CHECK_INT(po_recommend_bottleneck((const double[]) {0, 0, 0, 0, 1}), PO_BOTTLENECK_NONE);
	CHECK_INT(po_recommend_bottleneck((const double[]) {NAN, 0, 0.5, NAN, 0}),
			  PO_BOTTLENECK_LOCK);

	in.wait_share[PO_WAIT_CLIENT] = 0.9;
	r = recommend(&in, &policy);
	CHECK_REASON(r, in, policy, "waiting for the client inside transactions");
	in.wait_share[PO_WAIT_LOCK] = 0.95;
	r = recommend(&in, &policy);
	CHECK_REASON(r, in, policy, "waiting for locks");
	in.wait_share[PO_WAIT_CPU] = 1;
	r = recommend(&in, &policy);
	CHECK_REASON(r, in, policy, "the server has 4 cores");
}

/* Any workload that could be: the sizes in order, the wait kept, more for more. */
static void
test_recommend_properties(void)
{
	for (int round = 0; round < 3000; round++)
	{
		PoSizingInput in = quiet();
		PoPolicyFields policy = defaults();
		PoRecommendation r;
		PoRecommendation strict;
		int			clients = 1 + random_below(300);

		memset(&levels, 0, sizeof(levels));
		add_binomial(&levels, clients, 0.01 + random_unit() * 0.7);
		if (random_below(2))
			po_levels_add(&levels, random_below(clients + 1), random_unit() * 1e12);
		in.sessions = clients;
		in.peak_busy = po_levels_max(&levels);
		in.service_us = exp(random_unit() * 16);
		in.service_cv2 = random_unit() * 10;
		in.arrival_rate = po_levels_mean(&levels) / in.service_us * PO_US_PER_S;
		policy.target_wait_us = 1 + random_magnitude() % (3600 * PO_US_PER_S);
		r = recommend(&in, &policy);

		CHECK(r.min >= 1 && r.min <= r.size && r.size <= r.max);
		CHECK(r.confidence >= 0 && r.confidence <= 1);
		if (r.method == PO_METHOD_QUEUEING || r.method == PO_METHOD_BURST)
		{
			CHECK(r.size <= r.busy_max);
			CHECK(r.predicted_wait_us <= (double) policy.target_wait_us * (1 + 1e-9));
			policy.target_wait_us = 1 + policy.target_wait_us / 3;
			strict = recommend(&in, &policy);
			CHECK(strict.size >= r.size);
		}

		/* what was recommended and is kept does not move again */
		in.previous = r.size;
		policy = defaults();
		r = recommend(&in, &policy);
		in.previous = r.size;
		CHECK_INT(recommend(&in, &policy).size, r.size);
	}
}

/* More load, a stricter target, higher bounds: never a smaller pool. */
static void
test_recommend_monotone(void)
{
	for (int round = 0; round < 400; round++)
	{
		int			clients = 1 + random_below(200);
		double		service_us = exp(random_unit() * 14);
		PoPolicyFields policy = defaults();
		int			before = 0;

		policy.target_wait_us = 1 + random_magnitude() % PO_US_PER_S;
		for (double p = 0.01; p < 0.5; p *= 1.2)
		{
			PoSizingInput in = quiet();
			PoSizingInput more;
			PoPolicyFields higher = policy;
			int			target;

			memset(&levels, 0, sizeof(levels));
			add_binomial(&levels, clients, p);
			in.sessions = clients;
			in.peak_busy = po_levels_max(&levels);
			in.service_us = service_us;
			in.arrival_rate = po_levels_mean(&levels) / service_us * PO_US_PER_S;
			target = recommend(&in, &policy).target;
			CHECK_WITH(target >= before, "%d after %d of %d, busy %g", target, before, clients, p);
			before = target;

			more = in;
			more.service_cv2 = 1 + in.service_cv2;
			CHECK(recommend(&more, &policy).target >= target);
			more = in;
			more.least = random_below(300);
			CHECK(recommend(&more, &policy).target >= target);
			CHECK(recommend(&more, &policy).target >= more.least);
			higher.min_size = random_below(300);
			CHECK(recommend(&in, &higher).target >= target);
			higher = policy;
			higher.max_size = 1 + random_below(300);
			CHECK(recommend(&in, &higher).target <= target);
			more = in;
			more.alone = target;
			more.allotted = 1 + random_below(300);
			CHECK(recommend(&more, &policy).target <= target);
			CHECK(recommend(&more, &policy).target <= more.allotted);
		}
	}
}

static void
random_input(PoSizingInput *in)
{
	memset(in, 0, sizeof(*in));
	in->busy.mean = random_odd_double();
	in->busy.p50 = random_odd_int();
	in->busy.p95 = random_odd_int();
	in->busy.max = random_odd_int();
	in->arrival_rate = random_odd_double();
	in->service_us = random_odd_double();
	in->service_cv2 = random_odd_double();
	in->arrival_cv2 = random_odd_double();
	for (int i = 0; i < PO_N_WAITS; i++)
		in->wait_share[i] = random_odd_double();
	in->drift = random_odd_double();
	in->observed_us = random_odd_int64();
	in->transactions = random_bits() >> random_below(64);
	in->sessions = random_odd_int();
	in->peak_busy = random_odd_int();
	in->previous = random_odd_int();
	in->search_size = random_odd_int();
	in->search_settled = random_below(2);
	in->unsure = random_below(2);
	in->searched = random_below(2);
	in->warmup.login_us = random_odd_int64();
	in->warmup.span_us = random_odd_int64();
	in->warmup.rise = random_odd_int();
	in->cores = random_odd_int();
	in->least = random_odd_int();
	in->alone = random_odd_int();
	in->obtainable = random_odd_int();
	in->allotted = random_odd_int();
	in->allotted_by = random_below(2) ? PO_BOUND_CPU : PO_BOUND_CONNECTIONS;
	in->budget = random_odd_int();
	in->cpus_allotted = random_odd_double();
}

/* No input and no policy is so damaged that the result would not be one. */
static void
test_recommend_damaged(void)
{
	for (int round = 0; round < 5000; round++)
	{
		PoSizingInput in;
		PoPolicyFields policy = defaults();
		PoRecommendation r;
		char		text[400];
		size_t		size = (size_t) random_below(sizeof(text)) + 1;

		random_input(&in);
		if (random_below(2))
			random_fill(&policy, sizeof(policy));
		else
		{
			policy.min_size = random_odd_int();
			policy.max_size = random_odd_int();
			policy.target_wait_us = random_odd_int64();
			policy.scale_up_threshold = random_odd_double();
			policy.scale_down_threshold = random_odd_double();
			policy.scale_up_step = random_odd_int();
			policy.scale_down_step = random_odd_int();
		}
		po_recommend_size(&in, random_below(20) ? &policy : NULL, &r);
		CHECK_WITH(1 <= r.min && r.min <= r.size && r.size <= r.max, "%d %d %d",
				   r.min, r.size, r.max);
		CHECK(r.max <= PO_QUEUEING_MAX_SERVERS);
		CHECK(isfinite(r.predicted_wait_us) && r.predicted_wait_us >= 0);
		CHECK(isfinite(r.load) && r.load >= 0);
		CHECK(isfinite(r.busy_mean) && r.busy_mean >= 0);
		CHECK(r.confidence >= 0 && r.confidence <= 1);
		CHECK(r.busy_p50 <= r.busy_p95 && r.busy_p95 <= r.busy_max);
		memset(text, 'x', sizeof(text));
		po_recommend_reason(&r, &in, &policy, NULL, text, size);
		CHECK(strlen(text) < size && (size == sizeof(text) || text[size] == 'x'));
	}
}

/* A recommendation read from a damaged file can still be told. */
static void
test_reason_damaged(void)
{
	for (int round = 0; round < 20000; round++)
	{
		PoSizingInput in;
		PoRecommendation r;
		char		text[600];

		random_input(&in);
		random_fill(&r, sizeof(r));
		r.clamped_min = random_below(2);
		r.clamped_max = random_below(2);
		r.clamped_pooler = random_below(2);
		r.clamped_share = random_below(2);
		r.held = random_below(2);
		r.stepped = random_below(2);
		r.warm = random_below(2);
		r.slow_logins = random_below(2);
		r.seasonal = random_below(2);
		if (random_below(4))
			r.method = (PoMethod) random_below(6);
		if (random_below(2))
			r.predicted_wait_us = random_odd_double();
		po_recommend_reason(&r, &in, NULL, NULL, text, sizeof(text));
		CHECK(memchr(text, '\0', sizeof(text)) != NULL && strlen(text) > 20);
		po_recommend_reason(&r, &in, NULL, NULL, text, 0);
	}
}

/*
 * The textbook's pool: 6 are busy half of the time.  Logins of 5 ms are within the
 * target; for those of 40 ms one more or 20 more have to be open, the pool at the most.
 */
static void
test_recommend_warmup(void)
{
	PoSizingInput in = textbook();
	PoPolicyFields policy = defaults();
	PoRecommendation r;

	in.warmup.login_us = 5000;
	in.warmup.span_us = 100000;
	in.warmup.rise = 20;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 8);
	CHECK_INT(r.min, 6);
	CHECK_REASON(r, in, policy, "; 6 to keep open, as a login takes 5 ms, no longer than the");
	in.warmup.login_us = 40000;
	r = recommend(&in, &policy);
	CHECK_INT(r.min, 8);
	CHECK_REASON(r, in, policy, "; 8 to keep open, as 20 more can get busy within 100 ms, and "
				 "a login takes 40 ms");
	in.warmup.rise = 1;
	r = recommend(&in, &policy);
	CHECK_INT(r.min, 7);
	policy.target_wait_us = 60 * PO_US_PER_MS;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 7);
	CHECK_INT(r.min, 6);
	policy.min_size = 7;
	r = recommend(&in, &policy);
	CHECK_INT(r.min, 7);
	/* Nothing seen to rise, or no login. */
	policy = defaults();
	in.warmup.rise = 0;
	CHECK_INT(recommend(&in, &policy).min, 8);
	in.warmup.rise = 5;
	in.warmup.login_us = 0;
	CHECK_INT(recommend(&in, &policy).min, 8);
	/* A tenant that comes in bursts: nobody busy half of the time. */
	in = quiet();
	po_levels_add(&levels, 24, 2e5);
	in.peak_busy = in.sessions = 24;
	in.service_us = 20000;
	in.arrival_rate = 200;
	in.warmup.login_us = 30000;
	in.warmup.span_us = 100000;
	in.warmup.rise = 24;
	r = recommend(&in, &policy);
	CHECK_INT(r.busy_p50, 0);
	CHECK_WITH(r.min == r.size && r.size > 10, "%d of %d", r.min, r.size);
	in.warmup.login_us = 3000;
	r = recommend(&in, &policy);
	CHECK_INT(r.min, 1);
}

/* What is usual at this time is ready before it comes. */
static void
test_recommend_season(void)
{
	PoSizingInput in = quiet();
	PoPolicyFields policy = defaults();
	PoSeason	usual = {11.3f, 5, true};
	PoRecommendation r;

	in.season = usual;
	in.previous = 1;
	r = recommend(&in, &policy);
	CHECK_INT(r.method, PO_METHOD_IDLE);
	CHECK_INT(r.size, 12);
	CHECK_INT(r.min, 12);
	CHECK(r.seasonal && !r.held);
	CHECK_REASON(r, in, policy, "at least 12 are kept ready, as in the next hour of the last 5 weeks");
	in.season.is_next = false;
	r = recommend(&in, &policy);
	CHECK_REASON(r, in, policy, "as in this hour of the last 5 weeks");
	/* Within limits. */
	policy.max_size = 7;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 7);
	CHECK_INT(r.min, 7);
	CHECK_REASON(r, in, policy, "at least 7 are kept ready");
	policy = defaults();
	in.allotted = 5;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 5);
	in.allotted = 0;
	policy.scale_up_step = 2;
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 3);
	CHECK_INT(r.min, 3);
	CHECK(r.stepped);
	/* It is over. */
	policy = defaults();
	in.previous = 12;
	memset(&in.season, 0, sizeof(in.season));
	r = recommend(&in, &policy);
	CHECK_INT(r.size, 1);
	CHECK(!r.seasonal);
	/* A load that asks for more is not made less. */
	in = textbook();
	r = recommend(&in, &policy);
	usual.busy = (float) r.size - 1;
	in.season = usual;
	CHECK_INT(recommend(&in, &policy).size, r.size);
	/* A pool that is the limit knows better. */
	in = textbook();
	in.season.busy = 1000;
	in.season.weeks = 3;
	in.search_size = 9;
	in.search_settled = true;
	r = recommend(&in, &policy);
	CHECK_INT(r.method, PO_METHOD_THROUGHPUT);
	CHECK_INT(r.size, 9);
	in.season.busy = NAN;
	r = recommend(&in, &policy);
	CHECK(r.min <= r.size && r.size <= r.max);
}

static void
test_names(void)
{
	CHECK_TEXT(po_method_name(PO_METHOD_NONE), "none");
	CHECK_TEXT(po_method_name(PO_METHOD_TOO_LITTLE_DATA), "too_little_data");
	CHECK_TEXT(po_method_name(PO_METHOD_SATURATED), "saturated");
	CHECK_TEXT(po_method_name(PO_METHOD_THROUGHPUT), "throughput");
	CHECK_TEXT(po_method_name((PoMethod) 8), "unknown");
	CHECK_TEXT(po_bottleneck_name(PO_BOTTLENECK_NONE), "none");
	CHECK_TEXT(po_bottleneck_name(PO_BOTTLENECK_CLIENT), "client");
	CHECK_TEXT(po_bottleneck_name((PoBottleneck) -1), "unknown");
}

int
main(void)
{
	test_recommend_textbook();
	test_recommend_too_little();
	test_recommend_idle();
	test_recommend_burst();
	test_recommend_saturated();
	test_recommend_unhindered();
	test_recommend_steady();
	test_recommend_peak();
	test_recommend_share();
	test_recommend_unsure();
	test_recommend_few();
	test_recommend_obtainable();
	test_recommend_least();
	test_recommend_drift();
	test_recommend_never_relieved();
	test_recommend_queue();
	test_recommend_all_busy();
	test_recommend_memory();
	test_recommend_hysteresis();
	test_recommend_steps();
	test_recommend_bottleneck();
	test_recommend_warmup();
	test_recommend_properties();
	test_recommend_monotone();
	test_recommend_damaged();
	test_reason_damaged();
	test_recommend_season();
	test_names();
	return check_end("test_recommend");
}
