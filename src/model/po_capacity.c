/*
 * po_capacity.c
 *		What the cluster has for its tenants, and what each may have of it.
 */
#include "model/po_capacity.h"

#include <math.h>
#include <string.h>

#define MOST_CONNECTIONS	262143

/*
 * Sessions on the CPU for each CPU that are enough to keep it in use, from where on they
 * are in each other's way (po_search.c says the same).
 */
#define CROWDED_CPU			1.5

/* Of all sessions on the CPU, those of others: from where on they are protected, and until. */
#define OTHERS_NEED			0.1
#define OTHERS_ARE_GONE		0.02
/* Of what there is, what all want: until when a bound that was set is kept. */
#define RELIEVED			0.8

/* A bound stays as long as what it should be is no farther off. */
#define NEAR				0.5
#define NEAR_SHARE			0.15

#define LEAST_PER_CONNECTION	1e-5
#define WISH_FADES			0.9
#define SHARE_EVERY_US		100		/* for each tenant; sharing takes about 0.1 */

void
po_capacity_begin(PoCapacity *c, int n_most, PoClaim *claims, PoShare *shares,
				  PoShareMark *marks)
{
	memset(c, 0, sizeof(*c));
	c->n_most = n_most;
	c->claim = claims;
	c->share = shares;
	c->marks = marks;
}

static int
clamp(int count, int lowest, int highest)
{
	return count <= lowest ? lowest : count >= highest ? highest : count;
}

static int
sane_count(int count)
{
	return clamp(count, 0, MOST_CONNECTIONS);
}

void
po_capacity_set(PoCapacity *c, int connections, int guaranteed, int cpus)
{
	c->connections = sane_count(connections);
	c->guaranteed = sane_count(guaranteed);
	c->cpus = sane_count(cpus);
}

/* ---------- claims ---------- */

static void
read_wish(const PoWish *from, PoWish *w)
{
	*w = *from;
	if (!(w->weight > 0))
		w->weight = 1;
	w->guaranteed = sane_count(from->guaranteed);
	w->least = sane_count(from->least);
	w->ceiling = from->ceiling < 0 ? MOST_CONNECTIONS : sane_count(from->ceiling);
	w->size = sane_count(from->size);
	w->held = sane_count(from->held);
	w->beside = sane_count(from->beside);
	w->present = sane_count(from->present);
	w->on_cpu = from->on_cpu > 0 ? fmin(from->on_cpu, MOST_CONNECTIONS) : 0;
}

/* Of the tenant, like all that is shared: its pool and what it has besides. */
static int
floor_of(const PoWish *w)
{
	int			least = w->least + w->beside;

	return w->guaranteed > least ? w->guaranteed : least;
}

static int
ceiling_of(const PoWish *w)
{
	return w->ceiling + w->beside;
}

static int
demand_of(const PoClaim *claim)
{
	int			size = claim->wish.size;

	if (claim->cpu_most > 0 && size > claim->cpu_most)
		size = claim->cpu_most;
	return (size > claim->wish.held ? size : claim->wish.held) + claim->wish.beside;
}

/* Connections it wants. */
static int
wanted_by(const PoClaim *claim)
{
	int			floor = floor_of(&claim->wish);
	int			wanted = clamp(demand_of(claim), 0, ceiling_of(&claim->wish));

	return wanted > floor ? wanted : floor;
}

/* Sessions on the CPU that keep all CPUs in use. */
static double
cpu_budget(const PoCapacity *c)
{
	return CROWDED_CPU * c->cpus;
}

/*
 * Sessions on the CPU that each connection of its pool will be, see the header; smoothed, as
 * it rests on some samples.
 */
static double
per_connection(const PoCapacity *c, const PoClaim *claim)
{
	const PoWish *w = &claim->wish;
	int			pool = w->limited ? w->present : w->size;
	double		part;

	if (c->cpus <= 0 || pool <= 0)
		return claim->per_connection;
	part = fmin(w->on_cpu / pool, 1);
	part = part * CROWDED_CPU / fmax(c->on_cpu / c->cpus, 1);
	part = fmax(part / (part + 1 - fmin(w->on_cpu / pool, 1)), LEAST_PER_CONNECTION);
	return claim->per_connection > 0 ? sqrt(claim->per_connection * part) : part;
}

static void
take_out(PoCapacity *c, PoClaim *claim)
{
	if (claim->wish.weight <= 0)
		return;
	c->wanted -= wanted_by(claim);
	c->guaranteed_here -= claim->wish.guaranteed;
	c->cpu_wanted -= claim->cpu;
	c->on_cpu -= claim->wish.on_cpu;
}

static void
put_in(PoCapacity *c, PoClaim *claim)
{
	if (claim->wish.weight <= 0)
		return;
	c->wanted += wanted_by(claim);
	c->guaranteed_here += claim->wish.guaranteed;
	c->cpu_wanted += claim->cpu;
	c->on_cpu += claim->wish.on_cpu;
}

/* ---------- sharing ---------- */

/* Connections that are not kept for guarantees of tenants that are not here. */
static int
room(const PoCapacity *c)
{
	int64_t		elsewhere = c->guaranteed - c->guaranteed_here;

	return c->connections - (int) (elsewhere > 0 ? elsewhere < c->connections ? elsewhere :
								   c->connections : 0);
}

/* What its pool may have, of so many that the tenant may have. */
static void
allot(PoClaim *claim, int64_t connections)
{
	connections -= claim->wish.beside;
	claim->most = connections > 1 ? (int) connections : 1;
}

static int64_t
left_over(const PoCapacity *c)
{
	return room(c) > c->wanted ? room(c) - c->wanted : 0;
}

/*
 * The pool that carries its part of the CPUs, if there is anybody to protect.  With a wide
 * gap between beginning and end, as what is seen varies, and as it is the bound itself that
 * makes others' need small.
 */
static void
bound_by_cpu(const PoCapacity *c, PoClaim *claim, double shared)
{
	double		others = shared - claim->cpu_share;
	double		budget = cpu_budget(c);
	double		pool;

	if (claim->cpu_most > 0 &&
		(budget <= 0 || c->cpu_wanted < RELIEVED * budget || others < OTHERS_ARE_GONE * budget))
		claim->cpu_most = 0;
	if (claim->cpu_most == 0 &&
		(claim->cpu_share >= claim->cpu || others < OTHERS_NEED * budget))
		return;
	pool = claim->wish.size;
	if (claim->cpu > claim->cpu_share)
		pool *= claim->cpu_share / claim->cpu;
	if (claim->cpu_most == 0 ||
		fabs(pool - claim->cpu_most) > NEAR + NEAR_SHARE * claim->cpu_most)
		claim->cpu_most = (int) fmax(floor(pool + 0.5), 1);
}

/*
 * po_share.h shares whole things, so the budget is cut into as many as it takes: of ten
 * thousand tenants that need next to nothing each, all together need a good part of it.
 */
static void
share_cpus(PoCapacity *c)
{
	double		budget = cpu_budget(c);
	double		unit = budget > 0 ? MOST_CONNECTIONS / budget : 0;
	double		shared = 0;

	for (int i = 0; i < c->n; i++)
		c->share[i] = (PoShare) {c->claim[i].wish.weight, 0, PO_UNLIMITED,
			(int) nearbyint(fmin(c->claim[i].cpu, budget) * unit), 0};
	(void) po_share(c->share, c->n, budget > 0 ? MOST_CONNECTIONS : 0, c->marks);
	for (int i = 0; i < c->n; i++)
	{
		PoClaim    *claim = &c->claim[i];

		/* What was cut off by the unit is no cut. */
		claim->cpu_share = c->share[i].share + 1 > claim->cpu * unit ? claim->cpu :
			c->share[i].share / unit;
		shared += claim->cpu_share;
	}
	for (int i = 0; i < c->n; i++)
		bound_by_cpu(c, &c->claim[i], shared);
}

static void
share_connections(PoCapacity *c)
{
	PoShareOutcome outcome;
	int64_t		left = room(c);

	for (int i = 0; i < c->n; i++)
	{
		const PoWish *w = &c->claim[i].wish;

		c->share[i] = (PoShare) {w->weight, floor_of(w), ceiling_of(w), demand_of(&c->claim[i]), 0};
	}
	outcome = po_share(c->share, c->n, room(c), c->marks);
	for (int i = 0; i < c->n; i++)
		left -= c->share[i].share;
	for (int i = 0; i < c->n; i++)
	{
		if (c->claim[i].wish.weight > 0)
			allot(&c->claim[i], c->share[i].share + (left > 0 ? left : 0));
	}
	c->contended = c->contended || outcome != PO_SHARE_ENOUGH;
}

/* Sums are made anew, too: those of floating point wander off. */
static void
share_out(PoCapacity *c, int64_t now_us)
{
	c->contended = false;
	c->wanted = c->guaranteed_here = 0;
	c->cpu_wanted = c->on_cpu = 0;
	for (int i = 0; i < c->n; i++)
		put_in(c, &c->claim[i]);
	share_cpus(c);
	c->wanted = 0;
	for (int i = 0; i < c->n; i++)
	{
		if (c->claim[i].wish.weight > 0)
			c->wanted += wanted_by(&c->claim[i]);
		c->contended = c->contended || c->claim[i].cpu_most > 0;
	}
	share_connections(c);
	c->shared_at = now_us;
}

static bool
is_contended(const PoCapacity *c)
{
	return c->contended || c->wanted > room(c) ||
		(c->cpus > 0 && c->cpu_wanted > cpu_budget(c));
}

/* Not too often; after a clock that was set back, at once. */
static bool
is_due(const PoCapacity *c, int64_t now_us)
{
	return now_us < c->shared_at ||
		(uint64_t) now_us - (uint64_t) c->shared_at >= (uint64_t) SHARE_EVERY_US * (uint64_t) c->n;
}

static void
answer(const PoCapacity *c, const PoClaim *claim, PoAllotment *out)
{
	int			floor = floor_of(&claim->wish) - claim->wish.beside;

	out->bound = PO_BOUND_CONNECTIONS;
	out->most = claim->most;
	out->budget = c->connections;
	out->cpus = 0;
	if (claim->cpu_most > 0)
	{
		int			most = claim->cpu_most > floor ? claim->cpu_most : floor;

		out->cpus = claim->cpu_share / CROWDED_CPU;
		if (most < out->most)
		{
			out->bound = PO_BOUND_CPU;
			out->most = most;
		}
	}
	if (out->most < floor)
		out->most = floor;		/* more than there is was promised */
	if (out->most < 1)
		out->most = 1;
}

void
po_capacity_ask(PoCapacity *c, int tenant, const PoWish *wish, int64_t now_us,
				PoAllotment *out)
{
	PoClaim    *claim = &c->claim[tenant];

	take_out(c, claim);
	c->n = tenant >= c->n ? tenant + 1 : c->n;
	read_wish(wish, &claim->wish);
	c->on_cpu += claim->wish.on_cpu;
	claim->per_connection = per_connection(c, claim);
	c->on_cpu -= claim->wish.on_cpu;
	claim->cpu = claim->per_connection * claim->wish.size;
	put_in(c, claim);
	if (!is_contended(c))
		allot(claim, wanted_by(claim) + left_over(c));
	else if (is_due(c, now_us))
		share_out(c, now_us);
	else if (claim->most == 0)
		claim->most = claim->wish.present;	/* new: what it has, for a moment */
	answer(c, claim, out);
}

void
po_capacity_forget(PoCapacity *c, int tenant)
{
	PoClaim    *claim = &c->claim[tenant];

	take_out(c, claim);
	memset(claim, 0, sizeof(*claim));
}

/* ---------- a tenant's size among others ---------- */

static void
size_it(PoEvaluation *e)
{
	e->in.search_size = po_search_step(&e->search, &e->seen);
	e->in.search_settled = e->search.phase == PO_SEARCH_SETTLED;
	e->in.searched = po_search_has_measured(&e->search);
	e->in.unsure = po_search_is_unsure(&e->search);
	po_recommend_size(&e->in, e->policy, &e->r);
}

/* Nobody was there since the last evaluation: what it did before is for when it returns. */
static bool
is_away(const PoEvaluation *e)
{
	return e->in.sessions <= 0 && !(e->seen.busy > 0) && e->seen.waiting <= 0;
}

/*
 * A search that has come to rest at a bound says only in an evaluation that tells something
 * that it would go on beyond; its wish must not come and go with that.
 */
static int
wished_size(const PoCapacity *c, int tenant, const PoEvaluation *e, const PoSearch *before)
{
	const PoClaim *claim = &c->claim[tenant];
	int			size = e->r.target > e->r.size ? e->r.target : e->r.size;

	if (before->phase == PO_SEARCH_SETTLED && e->search.phase == PO_SEARCH_SETTLED &&
		before->probe >= before->limit && claim->wish.size > claim->most &&
		size < WISH_FADES * claim->wish.size)
		size = (int) (WISH_FADES * claim->wish.size);
	return size;
}

static void
make_wish(const PoCapacity *c, int tenant, const PoEvaluation *e, const PoSearch *before,
		  PoWish *w)
{
	const PoPolicyFields *p = e->policy;

	memset(w, 0, sizeof(*w));
	w->weight = p->weight;
	w->guaranteed = e->guaranteed;
	w->ceiling = e->seen.highest;
	if (is_away(e))
		return;
	w->least = e->seen.lowest;
	w->size = wished_size(c, tenant, e, before);
	w->held = e->held;
	w->beside = e->beside;
	w->present = e->seen.size;
	w->on_cpu = e->seen.busy * e->seen.share[PO_WAIT_CPU];
	w->limited = e->r.method >= PO_METHOD_SATURATED;
}

void
po_capacity_evaluate(PoCapacity *c, int tenant, int64_t now_us, PoEvaluation *e)
{
	PoSearch	before = e->search;
	PoWish		wish;
	PoAllotment allotment;

	e->in.alone = e->in.allotted = e->in.budget = 0;
	e->in.cpus_allotted = 0;
	e->in.unhindered = po_search_is_unhindered(&e->seen);
	size_it(e);
	e->in.alone = e->r.target;
	make_wish(c, tenant, e, &before, &wish);
	po_capacity_ask(c, tenant, &wish, now_us, &allotment);
	if (is_away(e))
		return;
	if (allotment.most < e->r.target || allotment.most < e->r.size)
	{
		e->in.allotted = allotment.most;
		if (e->seen.highest > allotment.most)
			e->seen.highest = allotment.most > e->seen.lowest ? allotment.most : e->seen.lowest;
		e->search = before;
		size_it(e);
	}
	/* Told even where it does not bind. */
	e->in.allotted = allotment.most;
	e->in.allotted_by = allotment.bound;
	e->in.budget = allotment.budget;
	e->in.cpus_allotted = allotment.cpus;
}
