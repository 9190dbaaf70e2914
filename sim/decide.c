/*
 * decide.c
 *		The extension: from what was observed in an interval to a size.
 *
 * What po_stats_evaluate does (src/po_stats.c), with the same memory, and like it without
 * knowing anything of the world but what was observed.
 */
#include "sim.h"

#include <math.h>
#include <string.h>

#define INTERVAL_US			((double) INTERVAL_S * PO_US_PER_S)
#define FIRST_SIZE			20	/* PgBouncer's default */

static void
forget(Tenant *t, double intervals, double memory)
{
	double		factor = exp(-intervals / memory);

	po_levels_decay(&t->busy, factor);
	t->transactions *= factor;
	t->service_us *= factor;
	t->elapsed_us *= factor;
	for (int i = 0; i < PO_N_WAITS; i++)
		t->wait_us[i] *= factor;
}

/*
 * Several intervals at once count as if each had been remembered, and all that were before
 * it forgotten a little, in turn: the mean of what is left of them by now.
 */
static void
remember(Tenant *t, const Observed *o, double memory)
{
	double		left = o->intervals == 1 ? exp(-1.0 / memory) :
		(1 - exp(-(double) o->intervals / memory)) / (exp(1.0 / memory) - 1) / o->intervals;
	double		elapsed_us = o->intervals * INTERVAL_US * left;

	t->transactions += o->seen.transactions * left;
	t->service_us += o->seen.transactions * left * o->service_us;
	t->elapsed_us += elapsed_us;
	for (int i = 0; i < PO_N_WAITS; i++)
		t->wait_us[i] += o->seen.share[i] * o->seen.busy * elapsed_us;
	for (int i = 0; i < PO_LEVELS_BUCKETS; i++)
		t->busy.weight[i] += o->levels.weight[i] * left;
	t->busy.total += o->levels.total * left;
}

static void
sizing_input(const Tenant *t, int64_t now, PoSizingInput *in)
{
	double		wait_total = 0;

	memset(in, 0, sizeof(*in));
	po_levels_digest(&t->busy, &in->busy);
	in->arrival_cv2 = 1;
	in->service_cv2 = 1;
	in->observed_us = (now - t->known_since + 1) * INTERVAL_S * PO_US_PER_S;
	in->transactions = (uint64_t) t->transactions;
	in->sessions = t->granted;
	in->peak_busy = in->busy.max;
	in->previous = t->r.known;
	if (t->elapsed_us > 0)
		in->arrival_rate = t->transactions * PO_US_PER_S / t->elapsed_us;
	if (t->transactions >= 1)
		in->service_us = t->service_us / t->transactions;
	for (int i = 0; i < PO_N_WAITS; i++)
		wait_total += t->wait_us[i];
	for (int i = 0; i < PO_N_WAITS && wait_total > 0; i++)
		in->wait_share[i] = t->wait_us[i] / wait_total;
}

/* The time asleep before it is forgotten, too. */
void
decide(PoCapacity *c, int tenant, Tenant *t, const Observed *o, int64_t now)
{
	static PoEvaluation e;
	double		memory = po_recommend_memory(po_levels_quantile(&t->busy, 0.95),
											 po_levels_max(&o->levels), o->seen.transactions,
											 &t->calm);

	if (t->known_since == 0)
		t->known_since = now;
	forget(t, (double) (now - t->seen_at), memory);
	remember(t, o, memory);
	t->seen_at = now;

	e.policy = &t->policy;
	e.guaranteed = t->policy.guaranteed;
	/* Both generations are there, whatever is recommended. */
	e.held = t->deploying ? t->granted : 0;
	e.seen = o->seen;
	e.search = t->search;
	po_recommend_bounds(&t->policy, &e.seen.lowest, &e.seen.highest);
	e.seen.target_us = (double) t->policy.target_wait_us;
	e.seen.saturated = po_search_is_limited(&e.seen, t->policy.scale_up_threshold);
	sizing_input(t, now, &e.in);
	e.in.cores = e.seen.cores;
	po_capacity_evaluate(c, tenant, now * INTERVAL_S * PO_US_PER_S, &e);
	t->search = e.search;
	t->r = e.r;
	t->bounded = e.in.allotted > 0 && e.r.size >= e.in.allotted && e.r.method >= PO_METHOD_TRYING;
}

/* In a deploy both generations of instances hold their pools. */
int
wanted_by(const Tenant *t)
{
	int			size = t->awake ? t->r.size > 0 ? t->r.size : FIRST_SIZE : 0;

	return t->deploying ? 2 * size : size;
}
