/*
 * po_recommend.c
 *		From what a tenant was seen to do to the size its pool should have.
 *
 * po_recommend_size reads as the rules in the header.  Everything computed from
 * the input goes through sane_*, as the input may come from a damaged file.
 */
#include "model/po_recommend.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/po_queueing.h"
#include "model/po_sentence.h"

#define LEAST_TRANSACTIONS		100
#define LEAST_OBSERVED_US		(5 * PO_US_PER_S)

/* Half of the confidence is reached with so much of each. */
#define HALF_TRANSACTIONS		200.0
#define LEAST_SEARCHED		60.0
#define HALF_OBSERVED_S			30.0
#define HALF_LIMITED_S			5.0		/* that a pool is the limit shows soon */

#define MOST_CONFIDENCE_LITTLE_DATA		0.2
#define MOST_CONFIDENCE_SATURATED		0.4
#define LOW_CONFIDENCE					0.5
#define STEADY							0.15	/* drift that is noise */
#define HALF_DRIFT						0.5		/* beyond that, halves confidence */

#define MEMORY					30.0	/* evaluations */
#define SHORT_MEMORY			8.0
#define CALM					0.7		/* of the level remembered, at most */
#define CALM_IN_A_ROW			5

#define Z_95					1.645
#define BOTTLENECK_SHARE		0.4
#define MOST_CV2				1e6
#define MOST_DRIFT				100.0
#define MOST_US					1e15	/* 31 years */

/* The policy with every number in its range. */
typedef struct Limits
{
	int			lowest;			/* >= 1 */
	int			highest;		/* >= lowest */
	bool		by_pooler;		/* that is what poolers get */
	bool		by_share;		/* that is what others leave */
	double		target_us;
	double		up_threshold;
	double		down_threshold;
	int			up_step;
	int			down_step;
} Limits;

/* The input with every number in its range. */
typedef struct Demand
{
	double		mean_load;
	double		burst_load;		/* that has the 95 % quantile observed */
	double		service_us;
	double		rate;			/* transactions per second */
	double		queued;			/* of clients, */
	double		served;			/* and transactions per second meanwhile; 0 = unknown */
	double		arrival_cv2;
	double		service_cv2;
	double		transactions;
	double		observed_s;
	double		drift;			/* >= -1 */
	int			present;		/* sessions now */
	int			previous;		/* 0 = none */
	int			search_size;	/* 0 = none */
	bool		search_settled;
	bool		searched;
	bool		unsure;
	bool		unhindered;
} Demand;

static int
sane_count(int count)
{
	if (count < 0)
		return 0;
	return count < PO_QUEUEING_MAX_SERVERS ? count : PO_QUEUEING_MAX_SERVERS;
}

static double
sane_number(double x, double highest)
{
	return x > 0 ? fmin(x, highest) : 0;
}

/* Nothing known about a variation reads as that of a Poisson process. */
static double
sane_cv2(double cv2)
{
	return isfinite(cv2) && cv2 >= 0 ? fmin(cv2, MOST_CV2) : 1;
}

static double
sane_share(double share, double otherwise)
{
	return share >= 0 && share <= 1 ? share : otherwise;
}

static int
lesser(int a, int b)
{
	return a < b ? a : b;
}

static int
greater(int a, int b)
{
	return a > b ? a : b;
}

static int
clamp(int size, int lowest, int highest)
{
	return greater(lowest, lesser(size, highest));
}

static void
read_policy(const PoPolicyFields *policy, Limits *l)
{
	PoPolicyFields defaults;

	po_policy_defaults(&defaults);
	if (policy == NULL)
		policy = &defaults;
	l->lowest = greater(sane_count(policy->min_size), 1);
	l->highest = PO_QUEUEING_MAX_SERVERS;
	l->by_pooler = l->by_share = false;
	if (policy->max_size > 0)
		l->highest = clamp(policy->max_size, l->lowest, PO_QUEUEING_MAX_SERVERS);
	/* A pool beyond the quota would be refused its connections. */
	if (policy->max_connections > 0)
		l->highest = clamp(l->highest, l->lowest, policy->max_connections);
	l->target_us = (double) (policy->target_wait_us > 0 ?
							 policy->target_wait_us : defaults.target_wait_us);
	l->up_threshold = sane_share(policy->scale_up_threshold, defaults.scale_up_threshold);
	l->down_threshold = sane_share(policy->scale_down_threshold,
								   defaults.scale_down_threshold);
	l->up_step = sane_count(policy->scale_up_step);
	l->down_step = sane_count(policy->scale_down_step);
}

/* What is known of this tenant and of others besides its policy. */
static void
read_bounds(const PoSizingInput *in, Limits *l)
{
	if (in->obtainable > 0 && in->obtainable < l->highest)
	{
		l->highest = greater(in->obtainable, l->lowest);
		l->by_pooler = true;
	}
	l->lowest = clamp(in->least, l->lowest, l->highest);
	if (in->allotted <= 0 || in->allotted >= l->highest)
		return;
	l->highest = greater(in->allotted, l->lowest);
	l->by_share = true;
}

void
po_recommend_bounds(const PoPolicyFields *policy, int *lowest, int *highest)
{
	Limits		limits;

	read_policy(policy, &limits);
	*lowest = limits.lowest;
	*highest = limits.highest;
}

bool
po_recommend_is_cut(const PoRecommendation *r)
{
	return r->clamped_max || r->clamped_pooler || r->clamped_share;
}

/*
 * The highest level seen, exact where the peak is known exactly: a bucket of
 * PoLevels is up to a quarter wide.
 */
int
po_recommend_most_busy(const PoSizingInput *in)
{
	int			max = sane_count(in->busy.max);
	int			peak = sane_count(in->peak_busy);
	PoLevels	peak_only = {{0}, 0};

	po_levels_add(&peak_only, peak, 1);
	return po_levels_max(&peak_only) >= max ? peak : max;
}

/*
 * The quantile is a whole number of sessions, the load behind it is not: half a
 * session is the usual correction for continuity.  Without it a quiet tenant,
 * whose 95 % quantile is 1, would always look as if it came in bursts.
 */
static void
read_demand(const PoSizingInput *in, PoRecommendation *out, Demand *d)
{
	double		rate = sane_number(in->arrival_rate, 1e9);
	double		service_us = sane_number(in->service_us, MOST_US);

	out->busy_max = po_recommend_most_busy(in);
	out->busy_mean = fmin(sane_number(in->busy.mean, out->busy_max), out->busy_max);
	out->busy_p95 = lesser(sane_count(in->busy.p95), out->busy_max);
	out->busy_p50 = lesser(sane_count(in->busy.p50), out->busy_p95);

	d->mean_load = out->busy_mean;
	if (d->mean_load <= 0)
		d->mean_load = fmin(rate * service_us / PO_US_PER_S, PO_QUEUEING_MAX_SERVERS);
	d->burst_load = po_queueing_load_of_quantile(out->busy_p95 - 0.5, Z_95);
	if (service_us <= 0 && rate > 0)
		service_us = fmin(d->mean_load / rate * PO_US_PER_S, MOST_US);
	d->service_us = service_us;
	d->rate = rate;
	d->queued = sane_number(in->queued, PO_QUEUEING_MAX_SERVERS);
	d->served = sane_number(in->served, 1e9);
	d->arrival_cv2 = sane_cv2(in->arrival_cv2);
	d->service_cv2 = sane_cv2(in->service_cv2);
	d->transactions = (double) in->transactions;
	d->observed_s = in->observed_us > 0 ? (double) in->observed_us / PO_US_PER_S : 0;
	d->drift = isfinite(in->drift) ? fmin(fmax(in->drift, -1), MOST_DRIFT) : 0;
	d->present = sane_count(in->sessions);
	d->previous = sane_count(in->previous);
	d->search_size = sane_count(in->search_size);
	d->search_settled = in->search_settled;
	d->searched = in->searched;
	d->unsure = in->unsure;
	d->unhindered = in->unhindered;
}

/*
 * Is the pool there is the limit?  Not when more were busy in the past than there
 * are sessions now (a quarter more, for the width of the buckets): then it shrank
 * because it could.
 */
static bool
is_saturated(const PoRecommendation *out, const Limits *l, const Demand *d)
{
	return !d->unhindered && d->present > 0 && out->busy_p50 > 0 &&
		out->busy_p50 >= l->up_threshold * d->present &&
		out->busy_p95 <= 1.25 * d->present;
}

/* Each size that it has left rests on that many transactions. */
static bool
has_searched(const Demand *d)
{
	return d->searched && d->search_size > 0 &&
		(d->search_settled || d->search_size != d->present);
}

static PoMethod
choose_method(const PoRecommendation *out, const Limits *l, const Demand *d)
{
	if (d->transactions <= 0 && d->observed_s <= 0)
		return PO_METHOD_NONE;
	/* Of few long ones the search has gathered enough, once it asks for another size. */
	if ((d->transactions < LEAST_TRANSACTIONS && !has_searched(d)) ||
		d->observed_s < (double) LEAST_OBSERVED_US / PO_US_PER_S)
		return PO_METHOD_TOO_LITTLE_DATA;
	if (d->search_size > 0)
		return d->search_settled ? PO_METHOD_THROUGHPUT : PO_METHOD_TRYING;
	if (!d->unsure && is_saturated(out, l, d))
		return PO_METHOD_SATURATED;
	if (d->mean_load <= 0)
		return PO_METHOD_IDLE;
	return d->burst_load > d->mean_load ? PO_METHOD_BURST : PO_METHOD_QUEUEING;
}

/*
 * The least size that meets the wait target, not above what was ever busy.  A load
 * known from rate and service time alone has no such bound.
 */
static int
size_for_load(const PoRecommendation *out, const Limits *l, const Demand *d, double load)
{
	int			size = po_queueing_servers_for_wait(load, d->service_us, d->arrival_cv2,
													d->service_cv2, l->target_us);

	return out->busy_max > 0 ? lesser(size, out->busy_max) : size;
}

/*
 * A step up from the present size, not from the previous recommendation: nobody
 * may have followed that, and it would grow without end.  Where locks are what
 * sessions wait for, more sessions are more waiters.
 */
static int
size_when_saturated(const PoRecommendation *out, const Limits *l, const Demand *d)
{
	int			step = l->up_step > 0 ? l->up_step : greater(d->present / 4, 1);

	return out->bottleneck == PO_BOTTLENECK_LOCK ? d->present : d->present + step;
}

static int
size_wanted(const PoRecommendation *out, const Limits *l, const Demand *d)
{
	switch (out->method)
	{
		case PO_METHOD_IDLE:
			return 1;
		case PO_METHOD_QUEUEING:
		case PO_METHOD_BURST:
			return size_for_load(out, l, d, out->load);
		case PO_METHOD_SATURATED:
			return size_when_saturated(out, l, d);
		case PO_METHOD_TRYING:
		case PO_METHOD_THROUGHPUT:
			return d->search_size;
		case PO_METHOD_NONE:
		case PO_METHOD_TOO_LITTLE_DATA:
			break;
	}
	return d->previous > 0 ? d->previous : greater(d->present, 1);
}

double
po_recommend_memory(int remembered, int most, double transactions, int *calm)
{
	if (transactions < LEAST_TRANSACTIONS / SHORT_MEMORY)
		return MEMORY;
	if (most > CALM * remembered)
		*calm = 0;
	else if (*calm <= CALM_IN_A_ROW)
		++*calm;
	return *calm > CALM_IN_A_ROW ? SHORT_MEMORY : MEMORY;
}

/*
 * The queue that there is, at the size that there is: by Little's law it waits for queued / served;
 * the number that go before one varies like that of a Poisson process.
 */
static bool
wait_in_queue(const Demand *d, PoRecommendation *out)
{
	if (out->method < PO_METHOD_SATURATED || out->size != d->present || d->served <= 0)
		return false;
	out->predicted_wait_us = sane_number(d->queued / d->served * PO_US_PER_S, MOST_US);
	out->predicted_p95_us =
		sane_number((d->queued + Z_95 * sqrt(d->queued)) / d->served * PO_US_PER_S, MOST_US);
	return true;
}

/*
 * With load below size, Erlang C.  Otherwise the queue of an open system would
 * grow for ever, while real clients wait for their answers before they ask again:
 * then load - size sessions are always waiting, and as size of them are served per
 * service time, the wait is service * (load - size) / size, plus one service time
 * for what the mean leaves out.
 *
 * Either way no more wait than the most that were ever busy, less those served;
 * unless the pool was the limit, when more may want to come.
 */
static void
predict_waits(const Demand *d, PoRecommendation *out)
{
	double		size = out->size;
	double		mean;
	double		p95;

	if (wait_in_queue(d, out))
		return;
	if (out->load < size)
	{
		mean = po_queueing_mean_wait(out->size, out->load, d->service_us, d->arrival_cv2,
									 d->service_cv2);
		p95 = po_queueing_wait_quantile(out->size, out->load, d->service_us, d->arrival_cv2,
										d->service_cv2, 0.95);
	}
	else
		mean = p95 = d->service_us * (out->load - size) / size + d->service_us;
	if (out->method < PO_METHOD_SATURATED && out->busy_max > 0)
	{
		double		most = po_queueing_most_wait(out->size, out->busy_max, d->service_us);

		mean = fmin(mean, most);
		p95 = fmin(p95, most);
	}
	out->predicted_wait_us = sane_number(mean, MOST_US);
	out->predicted_p95_us = sane_number(p95, MOST_US);
}

static bool
may_grow(const PoRecommendation *out, const Limits *l, const Demand *d, int previous)
{
	if (out->method >= PO_METHOD_SATURATED)
		return true;
	/* What is there does, so as much will do. */
	if (d->unhindered && d->present <= previous)
		return false;
	return out->load >= l->up_threshold * previous ||
		po_queueing_mean_wait(previous, out->load, d->service_us, d->arrival_cv2,
							  d->service_cv2) > l->target_us;
}

/* Thresholds and steps between the previous size, as far as allowed, and the target. */
static void
move_to_target(PoRecommendation *out, const Limits *l, const Demand *d)
{
	bool		tries = out->method >= PO_METHOD_TRYING;
	/* Nobody may have followed what was asked for before. */
	int			from = tries ? d->present : d->previous;
	int			previous = clamp(from, l->lowest, l->highest);

	out->size = out->target;
	if (out->method <= PO_METHOD_TOO_LITTLE_DATA || from <= 0 || out->target == previous)
		return;
	if (out->target > previous)
	{
		out->held = !may_grow(out, l, d, previous);
		if (l->up_step > 0)
			out->size = lesser(out->target, previous + l->up_step);
	}
	else
	{
		out->held = out->method < PO_METHOD_SATURATED &&
			(d->unsure ||
			 (out->load > l->down_threshold * previous && previous - out->target <= 1));
		if (l->down_step > 0)
			out->size = greater(out->target, previous - l->down_step);
	}
	/* It is small yet, as its hour has not come. */
	if (out->seasonal && out->target > previous)
		out->held = false;
	if (out->held)
		out->size = previous;
	out->stepped = !out->held && out->size != out->target;
}

/* What was measured may be no more what is. */
static double
by_drift(double drift)
{
	return 1 / (1 + fmax(fabs(drift) - STEADY, 0) / HALF_DRIFT);
}

/*
 * Grows with the number of transactions and the time; half at 200 of them, and
 * half at 30 s.
 */
static double
confidence_of(const PoRecommendation *out, const Demand *d)
{
	double		number = has_searched(d) ? fmax(d->transactions, LEAST_SEARCHED) : d->transactions;
	double		by_number = number / (number + HALF_TRANSACTIONS);
	double		by_time = d->observed_s / (d->observed_s + HALF_OBSERVED_S);
	double		limited = by_number * d->observed_s / (d->observed_s + HALF_LIMITED_S);
	double		confidence = by_number * by_time;

	switch (out->method)
	{
		case PO_METHOD_NONE:
			return 0;
		case PO_METHOD_TOO_LITTLE_DATA:
			return fmin(confidence, MOST_CONFIDENCE_LITTLE_DATA);
		case PO_METHOD_SATURATED:
		case PO_METHOD_TRYING:
			return fmin(limited, MOST_CONFIDENCE_SATURATED);
		case PO_METHOD_BURST:
			/* the farther bursts are from the mean, the less they are one load */
			return confidence * (1 + d->mean_load / d->burst_load) / 2 * by_drift(d->drift);
		case PO_METHOD_QUEUEING:
			return confidence * by_drift(d->drift);
		case PO_METHOD_THROUGHPUT:
			/* Nobody knows what more would have done. */
			if (po_recommend_is_cut(out))
				return fmin(limited, MOST_CONFIDENCE_SATURATED);
			return confidence;
		case PO_METHOD_IDLE:
			break;
	}
	return confidence;
}

static void
set_bounds(PoRecommendation *out, const Limits *l, const Demand *d)
{
	out->max = clamp(greater(out->size, out->busy_max), l->lowest, l->highest);
	if (out->method <= PO_METHOD_TOO_LITTLE_DATA)
		out->min = out->size;
	else
		out->min = clamp(size_for_load(out, l, d, d->mean_load), l->lowest, out->size);
}

/* What is kept open follows from how fast demand rises and how long a login takes. */
static void
set_warm(const PoSizingInput *in, const Limits *l, PoRecommendation *out)
{
	int64_t		target_us = (int64_t) sane_number(l->target_us, MOST_US);
	int			open = po_warmup_open(&in->warmup, out->busy_p50, target_us);

	out->slow_logins = !po_warmup_is_fast(&in->warmup, target_us);
	out->warm = open >= 0 && out->method > PO_METHOD_TOO_LITTLE_DATA;
	if (out->warm)
		out->min = lesser(greater(open, l->lowest), out->size);
}

/* What is usual in this hour of the week or the next, unless the pool is the limit: then what was
 * tried knows better. */
static int
size_for_season(const PoSizingInput *in, PoRecommendation *out, int wanted)
{
	int			usual = po_profile_sessions(&in->season);

	if (out->method >= PO_METHOD_SATURATED || usual <= wanted)
		return wanted;
	out->seasonal = true;
	return usual;
}

static void
keep_season_open(const PoSizingInput *in, PoRecommendation *out)
{
	int			usual = lesser(po_profile_sessions(&in->season), out->size);

	if (usual <= out->min)
		return;
	out->min = usual;
	out->seasonal = true;
}

void
po_recommend_size(const PoSizingInput *in, const PoPolicyFields *policy,
				  PoRecommendation *out)
{
	Limits		limits;
	Demand		demand;
	int			wanted;
	bool		cut;

	memset(out, 0, sizeof(*out));
	read_policy(policy, &limits);
	read_bounds(in, &limits);
	read_demand(in, out, &demand);

	out->bottleneck = po_recommend_bottleneck(in->wait_share);
	out->method = choose_method(out, &limits, &demand);
	out->load = out->method == PO_METHOD_BURST ? demand.burst_load : demand.mean_load;

	wanted = size_for_season(in, out, size_wanted(out, &limits, &demand));
	out->target = clamp(wanted, limits.lowest, limits.highest);
	out->clamped_min = out->target > wanted;
	cut = out->target < wanted ||
		(out->method >= PO_METHOD_TRYING && out->target == limits.highest &&
		 demand.present >= limits.highest);
	out->clamped_max = cut && !limits.by_pooler && !limits.by_share;
	out->clamped_pooler = cut && limits.by_pooler && !limits.by_share;
	out->clamped_share = limits.by_share && out->target < sane_count(in->alone);

	move_to_target(out, &limits, &demand);
	set_bounds(out, &limits, &demand);
	set_warm(in, &limits, out);
	keep_season_open(in, out);
	predict_waits(&demand, out);
	out->confidence = confidence_of(out, &demand);
	out->known = out->method >= PO_METHOD_IDLE ? out->size : demand.previous;
}

const char *
po_method_name(PoMethod method)
{
	static const char *const names[] = {
		"none", "too_little_data", "idle", "queueing", "burst", "saturated", "trying",
		"throughput"
	};

	return (unsigned int) method <= PO_METHOD_THROUGHPUT ? names[method] : "unknown";
}

const char *
po_bottleneck_name(PoBottleneck bottleneck)
{
	static const char *const names[] = {"none", "cpu", "io", "lock", "client"};

	return (unsigned int) bottleneck <= PO_BOTTLENECK_CLIENT ? names[bottleneck] : "unknown";
}

PoBottleneck
po_recommend_bottleneck(const double wait_share[PO_N_WAITS])
{
	static const PoBottleneck bottlenecks[] = {
		PO_BOTTLENECK_CPU, PO_BOTTLENECK_IO, PO_BOTTLENECK_LOCK, PO_BOTTLENECK_CLIENT
	};
	PoBottleneck found = PO_BOTTLENECK_NONE;
	double		largest = 0;

	for (int wait = PO_WAIT_CPU; wait <= PO_WAIT_CLIENT; wait++)
	{
		double		share = wait_share[wait];

		if (share >= BOTTLENECK_SHARE && share > largest)
		{
			largest = share;
			found = bottlenecks[wait];
		}
	}
	return found;
}

#define TIME_LEN	24

/* A time as a DBA would write it. */
static const char *
time_text(double us, char text[TIME_LEN])
{
	double		ms = sane_number(us, MOST_US) / PO_US_PER_MS;
	double		s = ms / 1000;

	if (s >= 7200)
		snprintf(text, TIME_LEN, "%.0f h", s / 3600);
	else if (s >= 300)
		snprintf(text, TIME_LEN, "%.0f min", s / 60);
	else if (s >= 10)
		snprintf(text, TIME_LEN, "%.0f s", s);
	else if (ms >= 0.1 && fabs(ms - nearbyint(ms)) >= 0.05)
		snprintf(text, TIME_LEN, "%.1f ms", ms);
	else if (ms >= 0.1 || ms < 0.0005)
		snprintf(text, TIME_LEN, "%.0f ms", ms);
	else
		snprintf(text, TIME_LEN, "%.3f ms", ms);
	return text;
}

/* What numbers of it are of: what is longer ago is forgotten. */
static double
remembered_us(const PoSizingInput *in)
{
	return (double) (in->memory_us > 0 ? in->memory_us : in->observed_us);
}

static void
say_too_little(PoSentence *s, const PoRecommendation *r, const PoSizingInput *in)
{
	char		observed[TIME_LEN];

	if (r->method == PO_METHOD_NONE)
		po_say(s, "nothing is known about this tenant yet, so its pool stays as it is");
	else
		po_say(s, "only %llu transaction%s in the last %s, which is too little to size a pool",
			   (unsigned long long) in->transactions, po_plural((int) in->transactions),
			   time_text(remembered_us(in), observed));
	if (r->method != PO_METHOD_NONE && !r->seasonal)
		po_say(s, ", so it stays at %d connection%s", r->target, po_plural(r->target));
	po_say(s, "; at least %d transactions and %d s are needed", LEAST_TRANSACTIONS,
		   (int) (LEAST_OBSERVED_US / PO_US_PER_S));
}

static void
say_idle(PoSentence *s, const PoRecommendation *r, const PoSizingInput *in)
{
	char		observed[TIME_LEN];

	po_say(s, "no session was busy in the last %s; %d connection%s %s enough",
		   time_text(remembered_us(in), observed), r->target, po_plural(r->target),
		   r->target == 1 ? "is" : "are");
}

static void
say_saturated(PoSentence *s, const PoRecommendation *r, const PoSizingInput *in)
{
	int			present = sane_count(in->sessions);

	po_say(s, "%d of %d session%s %s busy at least half of the time, so the present pool is the "
		   "limit and what clients really need is not visible", r->busy_p50, present,
		   po_plural(present), r->busy_p50 == 1 ? "is" : "are");
	if (r->bottleneck == PO_BOTTLENECK_LOCK)
		po_say(s, "; most of that time goes to waiting for locks, where more connections do "
			   "not help: shorter transactions would");
	else
		po_say(s, "; %d connection%s would show whether more get more done", r->target,
			   po_plural(r->target));
}

/* What was tried, around the size: at most so many. */
#define SAID_POINTS	5

static void
say_tried(PoSentence *s, const PoSearch *search, int size)
{
	const char *lead = "; ";
	int			first = 0;

	if (search == NULL || search->n_points <= 0 || search->n_points > PO_SEARCH_POINTS)
		return;
	while (first + SAID_POINTS < search->n_points &&
		   search->point[first + SAID_POINTS / 2].size < size)
		first++;
	for (int i = first; i < search->n_points && i < first + SAID_POINTS; i++)
	{
		if (search->point[i].n <= 0)
			continue;			/* forgotten, as it is measured anew */
		po_say(s, "%s%d did %.*f/s", lead, search->point[i].size,
			   search->point[i].mean < 100 ? 1 : 0, sane_number(search->point[i].mean, 1e12));
		lead = ", ";
	}
}

static void
say_trying(PoSentence *s, const PoRecommendation *r, const PoSizingInput *in,
		   const PoSearch *search)
{
	int			present = sane_count(in->sessions);

	po_say(s, "the pool of %d is the limit or too large, and what another size would do has to "
		   "be tried: %d connection%s next", present, r->target, po_plural(r->target));
	say_tried(s, search, r->target);
}

static void
say_throughput(PoSentence *s, const PoRecommendation *r, const PoSearch *search)
{
	po_say(s, "%d connection%s %s the smallest pool with near the best throughput of those tried",
		   r->target, po_plural(r->target), r->target == 1 ? "is" : "are");
	say_tried(s, search, r->target);
}

/* All sessions there are were busy at once, and no pooler tells whether anybody waited for one. */
static bool
may_hide_demand(const PoRecommendation *r, const PoSizingInput *in)
{
	return !in->unhindered && in->sessions > 0 && r->busy_max >= in->sessions;
}

static void
say_load(PoSentence *s, const PoRecommendation *r, const PoSizingInput *in, double target_us)
{
	bool		met = r->predicted_wait_us <= target_us;
	char		service[TIME_LEN];
	char		wait[TIME_LEN];
	char		p95[TIME_LEN];
	char		target[TIME_LEN];

	po_say(s, "%.1f sessions busy on average (p95 %d, at most %d), %.1f transactions/s of %s",
		   sane_number(r->busy_mean, 1e9), r->busy_p95, r->busy_max,
		   sane_number(in->arrival_rate, 1e9), time_text(in->service_us, service));
	if (r->method == PO_METHOD_BURST)
		po_say(s, "; sized for its bursts, which are like a steady load of %.1f",
			   sane_number(r->load, 1e9));
	if (met && r->size >= r->busy_max && r->busy_max > 0)
		po_say(s, "; with %d connection%s there is one for every session that was ever busy at "
			   "once, %s", r->size, po_plural(r->size), may_hide_demand(r, in) ?
			   "which is no fewer than there are: whether more would be is not seen" :
			   "so none has to wait");
	else if (met)
		po_say(s, "; %d connection%s %s the mean wait at %s, within the target of %s (95 %% wait "
			   "%s at most)", r->size, po_plural(r->size), r->size == 1 ? "keeps" : "keep",
			   time_text(r->predicted_wait_us, wait), time_text(target_us, target),
			   time_text(r->predicted_p95_us, p95));
	else
		po_say(s, "; with %d connection%s the mean wait is %s, above the target of %s (95 %% wait "
			   "%s at most)", r->size, po_plural(r->size), time_text(r->predicted_wait_us, wait),
			   time_text(target_us, target), time_text(r->predicted_p95_us, p95));
}

/* What moved the size away from what the load asks for. */
static void
say_share(PoSentence *s, const PoSizingInput *in)
{
	if (in->allotted_by == PO_BOUND_CPU)
		po_say(s, "; cut to %d, as others need the CPUs, too, and its fair share of the %d is %.1f",
			   in->allotted, in->cores, sane_number(in->cpus_allotted, 1e6));
	else
		po_say(s, "; cut to its fair share of %d of the cluster's %d connections", in->allotted,
			   in->budget);
}

static void
say_limits(PoSentence *s, const PoRecommendation *r, const PoSizingInput *in,
		   const PoPolicyFields *policy)
{
	int			lowest;
	int			highest;
	bool		by_quota = policy != NULL && policy->max_connections > 0 &&
		(policy->max_size <= 0 || policy->max_connections < policy->max_size);

	po_recommend_bounds(policy, &lowest, &highest);
	if (in->least > lowest && r->target == in->least)
		po_say(s, "; at least %d, as a pool of %d stood still, each session idle in transaction "
			   "while clients waited, which happens when they need several connections at once",
			   in->least, in->least - 1);
	else if (r->clamped_min)
		po_say(s, "; raised to min_size of the policy");
	if (r->clamped_max)
		po_say(s, by_quota ? "; cut to the quota (max_connections)" :
			   "; cut to max_size of the policy");
	if (r->clamped_pooler)
		po_say(s, "; cut to %d, as the pooler has got no more for it while clients waited: "
			   PO_OBTAINABLE_CAUSES, r->target);
	if (r->clamped_share)
		say_share(s, in);
	if (r->held && in->unhindered && r->target > r->size && sane_count(in->sessions) <= r->size)
		po_say(s, "; the pooler tells that clients hardly wait, so %d stays instead of %d",
			   r->size, r->target);
	else if (r->held && in->unsure && r->target < r->size)
		po_say(s, "; it may be that clients wait for it, so until that is sure %d stays instead "
			   "of %d", r->size, r->target);
	else if (r->held)
		po_say(s, "; %d is too small a change for the scaling thresholds, so %d stays",
			   r->target, r->size);
	if (r->stepped)
		po_say(s, "; this is one step of the policy on the way to %d", r->target);
}

static void
say_season(PoSentence *s, const PoRecommendation *r, const PoSizingInput *in)
{
	int			usual = po_profile_sessions(&in->season);

	if (r->seasonal)
		po_say(s, "; at least %d are kept ready, as in %s hour of the last %d weeks",
			   lesser(usual, r->size), in->season.is_next ? "the next" : "this", in->season.weeks);
}

/* Why some are kept open.  Of a pool that is all kept open nobody asks. */
static void
say_warmup(PoSentence *s, const PoRecommendation *r, const PoSizingInput *in)
{
	const PoWarmupDemand *w = &in->warmup;
	char		login[TIME_LEN];
	char		span[TIME_LEN];

	if (!r->warm || (r->min == r->size && r->size == 1))
		return;
	po_say(s, "; %d to keep open", r->min);
	if (r->slow_logins)
		po_say(s, ", as %d more can get busy within %s, and a login takes %s", w->rise,
			   time_text((double) w->span_us, span), time_text((double) w->login_us, login));
	else
		po_say(s, ", as a login takes %s, no longer than the target",
			   time_text((double) w->login_us, login));
}

static void
say_bottleneck(PoSentence *s, const PoRecommendation *r, const PoSizingInput *in)
{
	if (r->method < PO_METHOD_QUEUEING || r->method == PO_METHOD_SATURATED)
		return;
	if (r->bottleneck == PO_BOTTLENECK_LOCK)
		po_say(s, "; most busy time goes to waiting for locks, where more connections do not "
			   "help");
	else if (r->bottleneck == PO_BOTTLENECK_CLIENT)
		po_say(s, "; most busy time is spent waiting for the client inside transactions: with "
			   "shorter ones fewer connections would do");
	else if (r->bottleneck == PO_BOTTLENECK_CPU && in->cores > 0 && r->load > in->cores)
		po_say(s, "; most busy time is CPU time, and the server has %d core%s for it",
			   in->cores, po_plural(in->cores));
}

static void
say_confidence(PoSentence *s, const PoRecommendation *r, const PoSizingInput *in)
{
	double		short_of_number = HALF_TRANSACTIONS / fmax((double) in->transactions, 1);
	double		short_of_time = HALF_OBSERVED_S * PO_US_PER_S /
		fmax((double) in->observed_us, 1);

	if (r->method <= PO_METHOD_TOO_LITTLE_DATA || r->confidence >= LOW_CONFIDENCE)
		return;
	if (r->method == PO_METHOD_SATURATED)
		po_say(s, "; surer once the pool is larger than what is busy");
	else if (r->method == PO_METHOD_TRYING)
		po_say(s, "; surer when the pool has been set to that and the next ones");
	else if (r->method == PO_METHOD_THROUGHPUT && r->clamped_max)
		po_say(s, "; surer if the policy let more be tried");
	else if (r->method == PO_METHOD_THROUGHPUT && r->clamped_pooler)
		po_say(s, "; surer if the pooler got more");
	else if (r->method == PO_METHOD_THROUGHPUT && r->clamped_share)
		po_say(s, "; surer if others left room to try more");
	else if (r->method != PO_METHOD_IDLE && fabs(in->drift) > HALF_DRIFT)
		po_say(s, "; less sure, as the load is %s: surer when it keeps its level",
			   in->drift > 0 ? "rising" : "falling");
	else if (short_of_number >= 1 && short_of_number >= short_of_time)
		po_say(s, "; surer after more transactions");
	else if (short_of_time >= 0.5 || r->method != PO_METHOD_BURST)
		po_say(s, "; surer after watching for longer");
	else
		po_say(s, "; less sure, as bursts may differ");
}

void
po_recommend_reason(const PoRecommendation *r, const PoSizingInput *in,
					const PoPolicyFields *policy, const PoSearch *search,
					char *text, size_t size)
{
	PoSentence	s = {text, size, 0};
	Limits		limits;

	if (size == 0)
		return;
	text[0] = '\0';
	read_policy(policy, &limits);
	switch (r->method)
	{
		case PO_METHOD_IDLE:
			say_idle(&s, r, in);
			break;
		case PO_METHOD_QUEUEING:
		case PO_METHOD_BURST:
			say_load(&s, r, in, limits.target_us);
			break;
		case PO_METHOD_SATURATED:
			say_saturated(&s, r, in);
			break;
		case PO_METHOD_TRYING:
			say_trying(&s, r, in, search);
			break;
		case PO_METHOD_THROUGHPUT:
			say_throughput(&s, r, search);
			break;
		default:
			say_too_little(&s, r, in);
			break;
	}
	say_limits(&s, r, in, policy);
	say_season(&s, r, in);
	say_warmup(&s, r, in);
	say_bottleneck(&s, r, in);
	say_confidence(&s, r, in);
}
