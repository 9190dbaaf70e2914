/*
 * po_client_size.c
 *		From a recommended pool to what each process of a pooler or driver is told.
 */
#include "model/po_client_size.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_COUNT		262143
#define MAX_US			(INT64_C(100) * 366 * 86400 * PO_US_PER_S)
#define MINUTE_US		(60 * PO_US_PER_S)

/* Past the server's own patience with a login. */
#define CONNECT_US		(5 * PO_US_PER_S)

/* How long a request may wait for the pool: an age beside the mean that is aimed at. */
#define ACQUIRE_TARGETS	100
#define ACQUIRE_LEAST	(5 * PO_US_PER_S)
#define ACQUIRE_MOST	(60 * PO_US_PER_S)
#define ACQUIRE_TRIPS	4		/* times as long as a transaction takes with its wait */
#define ACQUIRE_LONGEST (600 * PO_US_PER_S)

#define LOW_CONFIDENCE	0.5

/* No deploy has more than all of the old ones beside all of the new. */
#define MOST_SURGE		2.0

/* What is known of a client; docs/guides/client-pools.md has the sources. */
typedef struct ClientFacts
{
	const char *name;
	bool		is_pooler;
	bool		has_reserve;
	bool		has_jitter;
	bool		sets_check;		/* check_us can be set, else it is fixed */
	bool		opens_one_more;	/* beyond its size, to see whether the server is well */
	double		idle_stretch;	/* an idle one is closed after so many times what is set, */
	double		lifetime_stretch;	/* and an old one, at worst */
	int64_t		unit_us;		/* durations are told in whole ones */
	int64_t		idle_us;		/* when no rule of the server matters; 0 = has none */
	int64_t		least_idle_us;
	int64_t		check_us;
	int64_t		lifetime_us;
	int64_t		least_lifetime_us;
	int64_t		connect_us;		/* the client's default; 0 = waits for ever */
} ClientFacts;

#define S(n)	((n) * PO_US_PER_S)
#define MS(n)	((n) * PO_US_PER_MS)

static const ClientFacts facts[PO_N_CLIENTS] = {
	/* Closes old ones one by one, each lifetime / size. */
	{"pgbouncer", true, true, false, false, false, 1, 2,
	S(1), S(600), S(1), S(1), S(3600), S(1), S(15)},
	{"odyssey", true, false, false, false, false, 1, 1,
	S(1), S(600), S(1), S(1), S(3600), S(1), S(30)},
	{"pgdog", true, false, true, false, true, 1, 1,
	MS(1), S(600), S(1), S(1), S(3600), S(1), S(5)},
	{"prisma", false, false, false, false, false, 1, 1,
	S(1), S(300), S(1), 0, S(1800), S(1), S(5)},
	{"hikaricp", false, false, false, false, false, 1, 1,
	MS(1), S(600), S(10), S(30), S(1800), S(30), S(30)},
	{"node-postgres", false, false, false, false, false, 1, 1,
	S(1), S(600), S(1), 0, S(1800), S(1), 0},
	{"sqlalchemy", false, false, false, false, false, 1, 1,
	S(1), 0, 0, 0, S(1800), S(1), 0},
	{"pgx", false, false, true, true, false, 1, 1,
	MS(1), S(600), S(1), S(60), S(1800), S(1), S(120)},
	/* Closes the median of what was idle in that time. */
	{"npgsql", false, false, false, true, false, 1.5, 1,
	S(1), S(300), S(1), S(10), S(1800), S(1), S(15)}
};

static const ClientFacts *
facts_of(PoClient client)
{
	return &facts[(unsigned) client < PO_N_CLIENTS ? (int) client : 0];
}

const char *
po_client_name(PoClient client)
{
	return facts_of(client)->name;
}

bool
po_client_parse(const char *name, PoClient *client)
{
	for (int i = 0; i < PO_N_CLIENTS; i++)
	{
		if (strcmp(name, facts[i].name) == 0)
		{
			*client = (PoClient) i;
			return true;
		}
	}
	return false;
}

bool
po_client_is_pooler(PoClient client)
{
	return facts_of(client)->is_pooler;
}

/* ---------- input ---------- */

static int
within(int value, int least, int most)
{
	return value < least ? least : value > most ? most : value;
}

static int64_t
within_us(int64_t value, int64_t least, int64_t most)
{
	return value < least ? least : value > most ? most : value;
}

/* NaN is nothing. */
static double
share(double value)
{
	return value > 0 ? (value < 1 ? value : 1) : 0;
}

static void
make_sane(const PoClientInput *from, PoClientInput *in)
{
	*in = *from;
	if ((unsigned) in->client >= PO_N_CLIENTS)
		in->client = PO_CLIENT_PGBOUNCER;
	in->instances = within(in->instances, 1, PO_MAX_INSTANCES);
	in->surge = in->surge > 0 ? fmin(in->surge, MOST_SURGE) : 0;
	in->applications = within(in->applications, 0, MAX_COUNT);
	in->seen = within(in->seen, 0, MAX_COUNT);
	in->seen_least = within(in->seen_least, 0, MAX_COUNT);
	in->behind = within(in->behind, 0, MAX_COUNT);
	in->others = within(in->others, 0, MAX_COUNT);
	in->size = within(in->size, 1, MAX_COUNT);
	in->min = within(in->min, 0, in->size);
	in->busy = within(in->busy, 0, in->min);
	in->max = within(in->max, in->size, MAX_COUNT);
	in->each = facts_of(in->client)->is_pooler ? 0 : within(in->each, 0, in->size);
	for (int i = 0; i < PO_N_CEILINGS; i++)
		in->ceiling[i] = within(in->ceiling[i], PO_UNLIMITED, MAX_COUNT);
	in->guaranteed = within(in->guaranteed, 0, MAX_COUNT);
	in->service_us = in->service_us > 0 ? fmin(in->service_us, MAX_US) : 0;
	in->wait_us = in->wait_us > 0 ? fmin(in->wait_us, MAX_US) : 0;
	in->confidence = share(in->confidence);
	in->leak_probability = share(in->leak_probability);
	in->wait_timeout_us = within_us(in->wait_timeout_us, 0, MAX_US);
	in->target_wait_us = within_us(in->target_wait_us, 0, MAX_US);
	in->idle_us = within_us(in->idle_us, 0, MAX_US);
	in->never_used_us = within_us(in->never_used_us, 0, MAX_US);
	in->idle_in_transaction_us = within_us(in->idle_in_transaction_us, 0, MAX_US);
	in->lifetime_us = within_us(in->lifetime_us, 0, MAX_US);
	in->authentication_timeout_us = within_us(in->authentication_timeout_us, 0, MAX_US);
}

static void
note(PoClientPlan *plan, PoClientRemark remark, bool holds)
{
	if (holds)
		plan->remarks |= UINT32_C(1) << remark;
}

/* ---------- sizes ---------- */

int
po_client_lowest_ceiling(const int ceiling[PO_N_CEILINGS], PoCeiling *by)
{
	int			lowest = PO_UNLIMITED;

	*by = PO_CEILING_SERVER;
	for (int i = 0; i < PO_N_CEILINGS; i++)
	{
		if (ceiling[i] >= 0 && (lowest < 0 || ceiling[i] < lowest))
		{
			lowest = ceiling[i];
			*by = (PoCeiling) i;
		}
	}
	return lowest;
}

static void
divide(const PoClientInput *in, PoClientPlan *plan)
{
	int			most;			/* that fits at the peak */

	/* Either may be more: what is recommended has more reasons than the load. */
	plan->wanted = in->size / in->instances;
	if (in->each > plan->wanted)
		plan->wanted = in->each;
	plan->instances = in->instances;
	plan->peak = in->instances;
	if (!facts_of(in->client)->is_pooler)
	{
		int			seen = (int) ceil(in->instances * in->surge - 1e-6);

		plan->peak += (in->instances + 3) / 4;
		plan->peak_seen = seen > plan->peak;
		if (plan->peak_seen)
			plan->peak = seen;
	}
	plan->ceiling = po_client_lowest_ceiling(in->ceiling, &plan->ceiling_by);
	most = plan->ceiling < 0 ? MAX_COUNT : plan->ceiling / plan->peak;
	if (facts_of(in->client)->opens_one_more && most > 1)
		most--;
	plan->each = within(plan->wanted, 1, most > 1 ? most : 1);
	plan->each_min = within(in->min / in->instances, 0, plan->each);
	plan->each_idle = within((in->min - in->busy) / in->instances, plan->each_min > 0,
							 plan->each_min);
	if (facts_of(in->client)->has_reserve && !in->tried)
		plan->each_reserve = within((in->max - in->size) / in->instances, 0,
									most > plan->each ? most - plan->each : 0);
}

static void
remark_sizes(const PoClientInput *in, PoClientPlan *plan)
{
	int64_t		all = (int64_t) plan->each * in->instances;
	int			ceiling = plan->ceiling < 0 ? MAX_COUNT : plan->ceiling;
	bool		fits = in->instances <= ceiling;

	note(plan, PO_REMARK_REFUSED, ceiling == 0);
	note(plan, PO_REMARK_PROCESSES, ceiling > 0 && !fits);
	note(plan, PO_REMARK_SURGE, fits && plan->peak > ceiling);
	note(plan, PO_REMARK_SIZE, ceiling > 0 && in->size > ceiling);
	note(plan, PO_REMARK_CUT, ceiling > 0 && plan->each < plan->wanted);
	note(plan, PO_REMARK_TWICE, fits && plan->peak <= ceiling && 2 * all > ceiling);
	note(plan, PO_REMARK_FEW, in->instances > in->size);
	note(plan, PO_REMARK_ROUNDED,
		 plan->each == plan->wanted && in->instances <= in->size &&
		 5 * all < 4 * (int64_t) in->size);
	note(plan, PO_REMARK_PARTS, in->instances <= in->size &&
		 (int64_t) plan->wanted * in->instances > in->size);
	note(plan, PO_REMARK_GUARANTEE,
		 in->guaranteed > 0 && (int64_t) plan->each * plan->peak > in->guaranteed);
	note(plan, PO_REMARK_CONFIDENCE, in->confidence < LOW_CONFIDENCE);
}

/*
 * Nobody says which of a tenant's applications the text is for, so it cannot have its part only.
 * That it is the one with most sessions is the least that the others have.
 */
static void
remark_others(const PoClientInput *in, PoClientPlan *plan)
{
	int64_t		most = (int64_t) plan->each * plan->peak;

	/* All of them will share a pooler. */
	if (facts_of(in->client)->is_pooler)
		return;
	note(plan, PO_REMARK_OTHERS, in->others > 0 && plan->ceiling > 0 &&
		 plan->peak <= plan->ceiling && most + in->others > plan->ceiling);
	note(plan, PO_REMARK_SHARED, in->applications > 1);
	note(plan, PO_REMARK_SEEN, in->seen_least > in->instances || in->behind > in->instances);
}

/* ---------- times ---------- */

static int64_t
round_down(int64_t us, int64_t unit_us)
{
	return us / unit_us * unit_us;
}

static int64_t
round_up(int64_t us, int64_t unit_us)
{
	return (us + unit_us - 1) / unit_us * unit_us;
}

static int64_t
shorter_rule(int64_t a, int64_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

/* Of a request to the pool.  Who only waits his turn behind long transactions is not to be
 * turned away. */
static int64_t
patience_us(const PoClientInput *in)
{
	int64_t		target_us = within_us(in->target_wait_us, 0, ACQUIRE_MOST) * ACQUIRE_TARGETS;
	double		trips_us = ACQUIRE_TRIPS * (in->service_us + in->wait_us);

	target_us = within_us(target_us, ACQUIRE_LEAST, ACQUIRE_MOST);
	return (int64_t) fmax((double) target_us, fmin(trips_us, ACQUIRE_LONGEST));
}

static void
plan_logins(const PoClientInput *in, PoClientPlan *plan)
{
	const ClientFacts *f = facts_of(in->client);
	int64_t		queued_us = 0;
	int64_t		least_us;

	if (in->on_full != PO_ON_FULL_REJECT)
	{
		queued_us = in->wait_timeout_us;
		if (in->authentication_timeout_us > 0 && queued_us > in->authentication_timeout_us)
			queued_us = in->authentication_timeout_us;
		note(plan, PO_REMARK_WAIT, in->authentication_timeout_us > 0 &&
			 in->wait_timeout_us >= in->authentication_timeout_us);
	}
	plan->connect_us = round_up(queued_us, PO_US_PER_S) + CONNECT_US;
	plan->acquire_us = round_up(patience_us(in), PO_US_PER_S);
	/* Prisma's wait for the pool has the login in it, and would hide its error (P1001). */
	least_us = plan->connect_us + (in->client == PO_CLIENT_PRISMA ? CONNECT_US : 0);
	if (plan->acquire_us < least_us)
		plan->acquire_us = least_us;
	note(plan, PO_REMARK_CONNECT, f->connect_us > 0 && queued_us >= f->connect_us);

	plan->login_retry_us = plan->ceiling == 0 ? 15 * PO_US_PER_S : PO_US_PER_S;
	/* Whoever has waited in the server's queue need not hurry back into it. */
	plan->backoff_us = queued_us > 0 ? PO_US_PER_S : 100 * PO_US_PER_MS;
	plan->backoff_max_us = queued_us > 0 ? 10 * PO_US_PER_S : 5 * PO_US_PER_S;
}

static int64_t
stretched(int64_t us, double by)
{
	return (int64_t) ((double) us * by);
}

/* So old a connection may be when the client closes it, */
static int64_t
oldest_us(const PoClientInput *in, const PoClientPlan *plan)
{
	return stretched(plan->lifetime_us, facts_of(in->client)->lifetime_stretch) + plan->jitter_us;
}

/* and so long idle. */
static int64_t
longest_idle_us(const PoClientInput *in, const PoClientPlan *plan)
{
	return stretched(plan->idle_us, facts_of(in->client)->idle_stretch) + plan->check_us;
}

static void
plan_lifetime(const PoClientInput *in, PoClientPlan *plan)
{
	const ClientFacts *f = facts_of(in->client);
	int64_t		rule_us = in->lifetime_us;
	int64_t		allowed_us = stretched(rule_us / 5 * 4, 1 / f->lifetime_stretch);

	plan->lifetime_us = f->lifetime_us;
	if (rule_us > 0 && allowed_us < plan->lifetime_us)
		plan->lifetime_us = round_down(allowed_us, f->unit_us);
	if (plan->lifetime_us < f->least_lifetime_us)
		plan->lifetime_us = f->least_lifetime_us;
	plan->jitter_us = f->has_jitter ? round_down(plan->lifetime_us / 10, f->unit_us) : 0;
	note(plan, PO_REMARK_LIFETIME,
		 rule_us > 0 && oldest_us(in, plan) >= rule_us);
}

static void
plan_idle(const PoClientInput *in, PoClientPlan *plan)
{
	const ClientFacts *f = facts_of(in->client);
	int64_t		rule_us = shorter_rule(in->idle_us, in->never_used_us);

	plan->idle_us = f->idle_us;
	plan->check_us = f->check_us;
	note(plan, PO_REMARK_LEAK, in->leak_probability > 0);
	if (rule_us > 0)
	{
		note(plan, PO_REMARK_MIN, plan->each_min > 0);
		plan->each_min = plan->each_idle = 0;
	}
	if (f->idle_us == 0)
	{
		/* Then it must not use one that the server has ended. */
		note(plan, PO_REMARK_IDLE_NONE, rule_us > 0);
		return;
	}
	if (rule_us > 0)
	{
		int64_t		allowed_us = rule_us / 5 * 4;

		if (f->sets_check)
			plan->check_us = round_down(within_us(rule_us / 5, PO_US_PER_S, f->check_us),
										f->unit_us);
		allowed_us = stretched(allowed_us - plan->check_us, 1 / f->idle_stretch);
		if (allowed_us < plan->idle_us)
			plan->idle_us = round_down(allowed_us, f->unit_us);
	}
	/* Some take an idle timeout that is longer than the lifetime for none. */
	if (plan->idle_us > plan->lifetime_us - 2 * PO_US_PER_S)
		plan->idle_us = plan->lifetime_us - 2 * PO_US_PER_S;
	if (plan->idle_us < f->least_idle_us)
		plan->idle_us = f->least_idle_us;
	if (f->sets_check && plan->check_us > plan->idle_us)
		plan->check_us = plan->idle_us;
	note(plan, PO_REMARK_IDLE, rule_us > 0 && longest_idle_us(in, plan) >= rule_us);
}

void
po_client_plan(const PoClientInput *from, PoClientPlan *plan)
{
	PoClientInput in;

	make_sane(from, &in);
	memset(plan, 0, sizeof(*plan));
	divide(&in, plan);
	remark_sizes(&in, plan);
	remark_others(&in, plan);
	plan_logins(&in, plan);
	plan_lifetime(&in, plan);
	plan_idle(&in, plan);
	if (in.idle_in_transaction_us > 0)
	{
		plan->idle_in_transaction_us = round_down(in.idle_in_transaction_us / 5 * 4,
												  facts_of(in.client)->unit_us);
		if (plan->idle_in_transaction_us == 0)
			plan->idle_in_transaction_us = facts_of(in.client)->unit_us;
	}
}

/* ---------- words ---------- */

const char *
po_client_ceiling_name(PoCeiling ceiling)
{
	switch (ceiling)
	{
		case PO_CEILING_QUOTA:
			return "the quota (max_connections)";
		case PO_CEILING_DATABASE_QUOTA:
			return "the quota of the database";
		case PO_CEILING_ROLE_QUOTA:
			return "the quota of the role";
		case PO_CEILING_CLUSTER_QUOTA:
			return "the quota of the cluster";
		case PO_CEILING_DATABASE_LIMIT:
			return "CONNECTION LIMIT of the database";
		case PO_CEILING_ROLE_LIMIT:
			return "CONNECTION LIMIT of the role";
		case PO_CEILING_SERVER:
			return "what the server has for clients";
	}
	return "a limit";
}

bool
po_client_contradicts(PoClientRemark remark)
{
	return remark < PO_REMARK_FEW && remark != PO_REMARK_CUT && remark != PO_REMARK_TWICE &&
		remark != PO_REMARK_MIN && remark != PO_REMARK_CONNECT;
}

/* Of who shares them. */
static void
remark_others_text(const PoClientInput *in, const PoClientPlan *plan, PoClientRemark remark,
				   char *text, size_t size)
{
	if (remark == PO_REMARK_OTHERS)
		snprintf(text, size, "up to %" PRId64 " connections by this text and the %d that other "
				 "applications of this tenant have now are more than %d: %s.",
				 (int64_t) plan->each * plan->peak, in->others, plan->ceiling,
				 po_client_ceiling_name(plan->ceiling_by));
	else if (remark == PO_REMARK_SHARED)
		snprintf(text, size, "this tenant has %d applications, with %d instances, and this text "
				 "gives one of them what is recommended for all; size_per_instance of "
				 "pool_recommendations_client is the part of each.", in->applications, in->seen);
	else if (in->behind > in->seen_least)
		snprintf(text, size, "%d instances are clients of its poolers (cl_instances of "
				 "pool_stats_pooler), and this text is for %d.", in->behind, in->instances);
	else
		snprintf(text, size, "%d instances have sessions now (pool_recommendations_client), and "
				 "this text is for %d: each may get too much.", in->seen_least, in->instances);
}

/* Of the sizes; the rest is in remark_time_text. */
static void
remark_size_text(const PoClientInput *in, const PoClientPlan *plan, PoClientRemark remark,
				 char *text, size_t size)
{
	const char *by = po_client_ceiling_name(plan->ceiling_by);
	int64_t		all = (int64_t) plan->each * plan->instances;

	if (remark == PO_REMARK_REFUSED)
		snprintf(text, size, "%s is 0: every login is refused.", by);
	else if (remark == PO_REMARK_PROCESSES)
		snprintf(text, size, "%d processes need at least one connection each, but %s is %d. "
				 "Put a pooler in between, run fewer processes, or raise it.",
				 plan->instances, by, plan->ceiling);
	else if (remark == PO_REMARK_SURGE)
		snprintf(text, size, "the processes there are (%d) fit, but those while a deploy runs "
				 "(%d) do not: %s is %d. Deploy without surge, put a pooler in between, or "
				 "raise it.",
				 plan->instances, plan->peak, by, plan->ceiling);
	else if (remark == PO_REMARK_SIZE)
		snprintf(text, size, "%d connections are recommended, but %s is %d.",
				 in->size, by, plan->ceiling);
	else if (remark == PO_REMARK_CUT && plan->peak == plan->instances)
		snprintf(text, size, "each process has %d instead of %d connections, so that all stay "
				 "within %d: %s.", plan->each, plan->wanted, plan->ceiling, by);
	else if (remark == PO_REMARK_CUT)
		snprintf(text, size, "each process has %d instead of %d connections, so that a deploy "
				 "with %d processes stays within %d: %s.", plan->each, plan->wanted, plan->peak,
				 plan->ceiling, by);
	else if (remark == PO_REMARK_TWICE)
		snprintf(text, size, "a deploy that runs all processes twice (blue-green) would open up "
				 "to %" PRId64 " connections, but %s is %d.", 2 * all, by, plan->ceiling);
	else if (remark == PO_REMARK_FEW)
		snprintf(text, size, "there are more processes (%d) than connections recommended (%d); "
				 "with a pooler in between they would share them.", plan->instances, in->size);
	else if (remark == PO_REMARK_ROUNDED)
		snprintf(text, size, "divided by %d processes and rounded down, %" PRId64 " of the %d "
				 "connections recommended are used; fewer processes, or a pooler in between, "
				 "would use more.", plan->instances, all, in->size);
	else if (remark == PO_REMARK_PARTS)
		snprintf(text, size, "each process needs %d to keep target_wait at its own part of the "
				 "load, %" PRId64 " together; one pooler for all of them would do with %d.",
				 plan->wanted, (int64_t) plan->wanted * plan->instances, in->size);
	else
		snprintf(text, size, "%d connections are guaranteed; what is beyond is lent, may be "
				 "refused under pressure, and idle ones may be called back.", in->guaranteed);
}

static void
remark_time_text(const PoClientInput *in, const PoClientPlan *plan, PoClientRemark remark,
				 char *text, size_t size)
{
	double		idle_s = (double) shorter_rule(in->idle_us, in->never_used_us) / PO_US_PER_S;
	double		wait_s = (double) in->wait_timeout_us / PO_US_PER_S;
	const ClientFacts *f = facts_of(in->client);

	if (remark == PO_REMARK_IDLE)
		snprintf(text, size, "the server ends sessions idle for %g s, and %s may keep them for "
				 "%g s at least: it will find connections ended. Raise idle and never_used.",
				 idle_s, f->name,
				 (double) longest_idle_us(in, plan) / PO_US_PER_S);
	else if (remark == PO_REMARK_IDLE_NONE)
		snprintf(text, size, "the server ends sessions idle for %g s, and %s has no timeout "
				 "for idle connections: it finds out when it tests one before use.",
				 idle_s, f->name);
	else if (remark == PO_REMARK_MIN)
		snprintf(text, size, "no connection is kept open without work, because the server ends "
				 "sessions idle for %g s.", idle_s);
	else if (remark == PO_REMARK_LIFETIME)
		snprintf(text, size, "the server ends sessions older than %g s, and %s cannot close "
				 "them before %g s. Raise lifetime.", (double) in->lifetime_us / PO_US_PER_S,
				 f->name, (double) oldest_us(in, plan) / PO_US_PER_S);
	else if (remark == PO_REMARK_WAIT)
		snprintf(text, size, "a login may queue for %g s (wait_timeout), but "
				 "authentication_timeout ends it after %g s.", wait_s,
				 (double) in->authentication_timeout_us / PO_US_PER_S);
	else if (remark == PO_REMARK_CONNECT)
		snprintf(text, size, "a login may queue for %g s (wait_timeout): the default of %s, "
				 "%g s, would give up before.", wait_s, f->name,
				 (double) f->connect_us / PO_US_PER_S);
	else if (remark == PO_REMARK_LEAK)
		snprintf(text, size, "the server ends idle sessions that are never used again with a "
				 "probability of %g (leak_probability), which no timeout of a client can "
				 "foresee.", in->leak_probability);
	else
		snprintf(text, size, "confidence is low (%.2f): little is known yet, so the numbers "
				 "follow what is. Ask again when pool_recommendations is surer.",
				 in->confidence);
}

void
po_client_remark(const PoClientInput *from, const PoClientPlan *plan, PoClientRemark remark,
				 char *text, size_t size)
{
	PoClientInput in;

	if (size == 0)
		return;
	make_sane(from, &in);
	if (remark == PO_REMARK_OTHERS || remark == PO_REMARK_SHARED || remark == PO_REMARK_SEEN)
		remark_others_text(&in, plan, remark, text, size);
	else if (remark <= PO_REMARK_TWICE || remark == PO_REMARK_FEW || remark == PO_REMARK_ROUNDED ||
		remark == PO_REMARK_PARTS || remark == PO_REMARK_GUARANTEE)
		remark_size_text(&in, plan, remark, text, size);
	else
		remark_time_text(&in, plan, remark, text, size);
}
