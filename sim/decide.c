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

#define MEMORY_INTERVALS	30

static void
forget(Tenant *t, double intervals)
{
	double		factor = exp(-intervals / MEMORY_INTERVALS);

	po_levels_decay(&t->busy, factor);
	t->transactions *= factor;
	t->service_us *= factor;
	t->elapsed_us *= factor;
	for (int i = 0; i < PO_N_WAITS; i++)
		t->wait_us[i] *= factor;
}

static void
remember(Tenant *t, const Observed *o)
{
	double		interval_us = (double) INTERVAL_S * PO_US_PER_S;

	t->transactions += o->seen.transactions;
	t->service_us += o->seen.transactions * o->service_us;
	t->elapsed_us += interval_us;
	for (int i = 0; i < PO_N_WAITS; i++)
		t->wait_us[i] += o->seen.share[i] * o->seen.busy * interval_us;
}

static void
sizing_input(const Tenant *t, int64_t now_s, PoSizingInput *in)
{
	double		wait_total = 0;

	memset(in, 0, sizeof(*in));
	po_levels_digest(&t->busy, &in->busy);
	in->arrival_cv2 = 1;
	in->service_cv2 = 1;
	in->observed_us = (now_s - t->known_since) * PO_US_PER_S;
	in->transactions = (uint64_t) t->transactions;
	in->sessions = t->granted;
	in->peak_busy = in->busy.max;
	in->previous = t->r.method >= PO_METHOD_IDLE ? t->r.size : 0;
	if (t->elapsed_us > 0)
		in->arrival_rate = t->transactions * PO_US_PER_S / t->elapsed_us;
	if (t->transactions >= 1)
		in->service_us = t->service_us / t->transactions;
	for (int i = 0; i < PO_N_WAITS; i++)
		wait_total += t->wait_us[i];
	for (int i = 0; i < PO_N_WAITS && wait_total > 0; i++)
		in->wait_share[i] = t->wait_us[i] / wait_total;
}

void
decide(Tenant *t, const Observed *o, int64_t now_s)
{
	PoSearchSeen seen = o->seen;
	PoSizingInput in;

	if (t->evaluated == 0)
		t->known_since = now_s - INTERVAL_S;
	else if (now_s - t->evaluated > INTERVAL_S)
		forget(t, (double) (now_s - t->evaluated) / INTERVAL_S - 1);
	remember(t, o);
	po_recommend_bounds(&t->policy, &seen.lowest, &seen.highest);
	seen.saturated = po_search_is_limited(&seen, t->policy.scale_up_threshold);
	forget(t, 1);
	t->evaluated = now_s;
	sizing_input(t, now_s, &in);
	in.cores = seen.cores;
	in.search_size = po_search_step(&t->search, &seen);
	in.search_settled = t->search.phase == PO_SEARCH_SETTLED;
	po_recommend_size(&in, &t->policy, &t->r);
}

/* In a deploy both generations of instances hold their pools. */
int
wanted_by(const Tenant *t)
{
	int			size = t->awake ? t->r.size > 0 ? t->r.size : 20 : 0;

	return t->deploying ? 2 * size : size;
}
