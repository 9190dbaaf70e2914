/*
 * fuzz_recommend.c
 *		Fuzzing a tenant's size: any observation and any policy, alone and among others that
 *		share the cluster with it, and the sentence that explains it.
 */
#include "model/po_capacity.h"
#include "model/po_queueing.h"
#include "model/po_recommend.h"

/* Erlang C of a hundred thousand connections takes a millisecond. */
#define FUZZ_N_INPUTS	1000

#include "fuzz.h"

#define MOST_TENANTS	8
#define MOST			PO_QUEUEING_MAX_SERVERS

static void
read_input(FuzzReader *in, PoSizingInput *s)
{
	uint8_t		bits;

	memset(s, 0, sizeof(*s));
	s->busy.mean = fuzz_double(in);
	s->busy.p50 = fuzz_int(in);
	s->busy.p95 = fuzz_int(in);
	s->busy.max = fuzz_int(in);
	s->arrival_rate = fuzz_double(in);
	s->service_us = fuzz_double(in);
	s->service_cv2 = fuzz_double(in);
	s->arrival_cv2 = fuzz_double(in);
	for (int i = 0; i < PO_N_WAITS; i++)
		s->wait_share[i] = fuzz_double(in);
	s->observed_us = fuzz_int64(in);
	s->transactions = (uint64_t) fuzz_int64(in);
	s->sessions = fuzz_int(in);
	s->peak_busy = fuzz_int(in);
	s->previous = fuzz_int(in);
	s->drift = fuzz_double(in);
	s->search_size = fuzz_int(in);
	bits = (uint8_t) fuzz_take(in, 1);
	s->search_settled = bits & 1;
	s->unhindered = bits & 2;
	s->unsure = bits & 4;
	s->searched = bits & 8;
	s->cores = fuzz_int(in);
	s->least = fuzz_int(in);
	s->alone = fuzz_int(in);
	s->obtainable = fuzz_int(in);
	s->allotted = fuzz_int(in);
	s->allotted_by = fuzz_take(in, 1) & 1 ? PO_BOUND_CPU : PO_BOUND_CONNECTIONS;
	s->budget = fuzz_int(in);
	s->cpus_allotted = fuzz_double(in);
	s->warmup.login_us = fuzz_int64(in);
	s->warmup.span_us = fuzz_int64(in);
	s->warmup.rise = fuzz_int(in);
}

static void
read_policy(FuzzReader *in, PoPolicyFields *p)
{
	po_policy_defaults(p);
	p->weight = fuzz_double(in);
	p->guaranteed = fuzz_int(in);
	p->max_connections = fuzz_int(in);
	p->min_size = fuzz_int(in);
	p->max_size = fuzz_int(in);
	p->target_wait_us = fuzz_int64(in);
	p->scale_up_threshold = fuzz_double(in);
	p->scale_down_threshold = fuzz_double(in);
	p->scale_up_step = fuzz_int(in);
	p->scale_down_step = fuzz_int(in);
}

static void
check_recommendation(const PoRecommendation *r)
{
	must(r->min >= 1 && r->min <= r->size && r->size <= r->max && r->max <= MOST,
		 "1 <= min <= size <= max");
	must(r->target >= 1 && r->target <= MOST, "the target is a size");
	must(isfinite(r->busy_mean) && r->busy_mean >= 0 && isfinite(r->load) && r->load >= 0,
		 "loads are numbers");
	must(isfinite(r->predicted_wait_us) && r->predicted_wait_us >= 0 &&
		 isfinite(r->predicted_p95_us) && r->predicted_p95_us >= 0, "waits are numbers");
	must(r->confidence >= 0 && r->confidence <= 1, "confidence is a share");
	must(r->busy_p50 <= r->busy_p95 && r->busy_p95 <= r->busy_max, "quantiles are in order");
}

/* Of its exact size, so that ASan sees what lies beyond it. */
static void
check_reason(const PoRecommendation *r, const PoSizingInput *in, const PoPolicyFields *policy,
			 const PoSearch *search, size_t size)
{
	char	   *text = malloc(size + 1);

	must(text != NULL, "there is memory");
	po_recommend_reason(r, in, policy, search, text, size);
	must(size == 0 || memchr(text, '\0', size) != NULL, "a reason ends");
	free(text);
}

/* A bound that is raised lowers no target. */
static void
check_monotone(const PoSizingInput *in, const PoPolicyFields *policy, const PoRecommendation *r)
{
	PoSizingInput more = *in;
	PoPolicyFields p = *policy;
	PoRecommendation larger;

	if (in->least < MOST)
	{
		more.least = in->least + 1;
		po_recommend_size(&more, &p, &larger);
		must(larger.target >= r->target, "a higher floor lowers no target");
	}
	if (p.min_size < MOST)
	{
		p.min_size++;
		po_recommend_size(in, &p, &larger);
		must(larger.target >= r->target, "a higher min_size lowers no target");
	}
	more = *in;
	if (in->allotted > 0 && in->allotted < MOST)
	{
		more.allotted++;
		po_recommend_size(&more, policy, &larger);
		must(larger.target >= r->target, "a larger share lowers no target");
	}
}

static void
evaluate(FuzzReader *in, PoCapacity *c, PoSearch *searches, int64_t now_us)
{
	static PoEvaluation e;
	PoPolicyFields policy;
	int			tenant = (int) fuzz_take(in, 1) % MOST_TENANTS;
	uint8_t		flags = (uint8_t) fuzz_take(in, 1);
	PoRecommendation r;

	memset(&e, 0, sizeof(e));
	read_policy(in, &policy);
	read_input(in, &e.in);
	po_recommend_size(&e.in, flags & 1 ? &policy : NULL, &r);
	check_recommendation(&r);
	check_reason(&r, &e.in, flags & 1 ? &policy : NULL, NULL, flags & 2 ? 1024 : flags);
	check_monotone(&e.in, &policy, (po_recommend_size(&e.in, &policy, &r), &r));

	e.policy = &policy;
	e.guaranteed = policy.guaranteed;
	e.held = fuzz_int(in);
	e.beside = fuzz_int(in);
	e.seen.size = e.in.sessions;
	e.seen.saturated = flags & 4;
	e.seen.rate = e.in.arrival_rate;
	e.seen.transactions = (double) e.in.transactions;
	e.seen.busy = e.in.busy.mean;
	memcpy(e.seen.share, e.in.wait_share, sizeof(e.seen.share));
	e.seen.waiting = fuzz_int(in);
	e.seen.demand = flags & 16 ? fuzz_int(in) : 0;
	e.seen.queued = flags & 16 ? fuzz_double(in) : -1;
	e.seen.target_us = (double) policy.target_wait_us;
	e.seen.cores = e.in.cores;
	po_recommend_bounds(&policy, &e.seen.lowest, &e.seen.highest);
	e.search = searches[tenant];
	po_capacity_evaluate(c, tenant, now_us, &e);
	searches[tenant] = e.search;
	check_recommendation(&e.r);
	check_reason(&e.r, &e.in, &policy, &e.search, 1024);
	must(e.in.allotted >= 0 && e.in.cpus_allotted >= 0 && isfinite(e.in.cpus_allotted),
		 "what is allotted is a number");
	if (flags & 8)
		po_capacity_forget(c, tenant);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	FuzzReader	in = {bytes, size, 0};
	PoCapacity	c;
	PoClaim		claims[MOST_TENANTS];
	PoShare		shares[MOST_TENANTS];
	PoShareMark marks[PO_SHARE_MARKS(MOST_TENANTS)];
	PoSearch	searches[MOST_TENANTS];
	int			connections = fuzz_int(&in);
	int			guaranteed = fuzz_int(&in);
	int64_t		now_us = 0;

	memset(claims, 0, sizeof(claims));
	memset(searches, 0, sizeof(searches));
	po_capacity_begin(&c, MOST_TENANTS, claims, shares, marks);
	po_capacity_set(&c, connections, guaranteed, fuzz_int(&in));
	while (in.read < in.size)
	{
		now_us = fuzz_int64(&in);
		evaluate(&in, &c, searches, now_us);
		must(isfinite(c.cpu_wanted) && isfinite(c.on_cpu), "sums are numbers");
	}
	return 0;
}

#define POLICY "\x01\x00\xFB\x00\xFB\x5A\x27\x90\xCC\x90\x4C\x00\x00"
#define QUIET "\x41\x80\x00\x01\x04\x80\x30\xD0\x9C\x01\x01\x00\xFF\x01\x00\x00\x00\x00"
#define REST "\x60\xFF\x5F\xFF\x0A\x03\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x4C\x14\x50\x64\x02"

static const FuzzSeed seeds[] = {
	SEED("\x64\x00\x04" "\x01\x00\x01" POLICY QUIET REST "\x00\x00"),
	SEED("\x0A\x05\x02" "\x02\x00\x07" POLICY QUIET REST "\x00\x05"
	"\x60\x01\x07" POLICY QUIET REST "\x00\x05"),
	SEED("\xFF\xF8\xFF" "\xFF\x00\x0F"
	"\xF8\xFF\xFF\xFF\xFF\xFF\xF8\xF9\xFF\xFF" "\xF9\xFF\xFF\xFF\xF9\xFA\xFB\xFC"
	"\xF8\xF8\xF8\xF8\xF8" "\xFF\x01\x01\x01\x01\x01\x01\x01\x01" "\xFF\xFF\xFF\xF8\xFF"),
	SEED("\x20\x00\x02" "\x00\x03\x05" "\x04\x02\x40\x02\x20\x50\x13\x40\x80\x40\x20\x02\x01"
	"\x0A\x0A\x0C\x10\x20\xC8\x64\x01\x01" "\x01\x00\x00\x00\x00" REST "\x03\x09"),
};

FUZZ_MAIN("fuzz_recommend", seeds)
