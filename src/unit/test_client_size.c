/*
 * test_client_size.c
 *		What each process gets: examples by hand, then what must hold for any input.
 */
#include "model/po_client_size.h"

#include "check.h"

#define S(n)	((int64_t) (n) * PO_US_PER_S)

/* Twenty connections for a tenant that may have forty of a hundred; no rules. */
static PoClientInput
plain(PoClient client, int instances)
{
	PoClientInput in;

	memset(&in, 0, sizeof(in));
	in.client = client;
	in.instances = instances;
	in.size = 20;
	in.min = 8;
	in.max = 30;
	in.confidence = 0.9;
	for (int i = 0; i < PO_N_CEILINGS; i++)
		in.ceiling[i] = PO_UNLIMITED;
	in.ceiling[PO_CEILING_QUOTA] = 40;
	in.ceiling[PO_CEILING_SERVER] = 97;
	in.wait_timeout_us = S(5);
	in.target_wait_us = 10 * PO_US_PER_MS;
	in.authentication_timeout_us = S(60);
	return in;
}

static uint32_t
bit(PoClientRemark remark)
{
	return UINT32_C(1) << remark;
}

static void
test_names(void)
{
	PoClient	client;

	for (int i = 0; i < PO_N_CLIENTS; i++)
	{
		CHECK(po_client_parse(po_client_name((PoClient) i), &client));
		CHECK_INT(client, i);
	}
	CHECK(!po_client_parse("PgBouncer", &client));
	CHECK(!po_client_parse("", &client));
	CHECK(po_client_is_pooler(PO_CLIENT_PGDOG));
	CHECK(!po_client_is_pooler(PO_CLIENT_PRISMA));
}

static void
test_division(void)
{
	PoClientInput in = plain(PO_CLIENT_HIKARICP, 4);
	PoClientPlan plan;

	/* 20 / 4, and 5 at a deploy with 5 of them are 25 of 40. */
	po_client_plan(&in, &plan);
	CHECK_INT(plan.peak, 5);
	CHECK_INT(plan.each, 5);
	CHECK_INT(plan.each_min, 2);
	CHECK_INT(plan.each_reserve, 0);
	CHECK_INT(plan.ceiling, 40);
	CHECK_INT(plan.ceiling_by, PO_CEILING_QUOTA);
	CHECK_INT(plan.remarks, 0);

	/* Seven were seen where four usually are: 7 x 5 are 35; of twice as many, as of any more, each has
	 * less: 8 x 5 are 40, but a quota of 39 is 4 each. */
	in.surge = 7.0 / 4;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.peak, 7);
	CHECK(plan.peak_seen);
	CHECK_INT(plan.each, 5);
	in.surge = 40;
	in.ceiling[PO_CEILING_QUOTA] = 39;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.peak, 8);
	CHECK_INT(plan.each, 4);
	CHECK_INT(plan.remarks, UINT32_C(1) << PO_REMARK_CUT);
	in.surge = 1.2;
	in.ceiling[PO_CEILING_QUOTA] = 40;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.peak, 5);
	CHECK(!plan.peak_seen);

	/* One alone: two at a deploy, exactly what is allowed. */
	in.instances = 1;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.peak, 2);
	CHECK_INT(plan.each, 20);
	CHECK_INT(plan.remarks, 0);

	/* The quota as large as the pool: 20 / 4 = 5 would be 25 at a deploy. */
	in.instances = 4;
	in.ceiling[PO_CEILING_QUOTA] = 20;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each, 4);
	CHECK_INT(plan.remarks, bit(PO_REMARK_CUT) | bit(PO_REMARK_TWICE));

	/* Without any limit nothing is cut. */
	in.ceiling[PO_CEILING_QUOTA] = in.ceiling[PO_CEILING_SERVER] = PO_UNLIMITED;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each, 5);
	CHECK_INT(plan.ceiling, PO_UNLIMITED);
	CHECK_INT(plan.remarks, 0);

	/* The lowest counts, and the first of two alike is named. */
	in.ceiling[PO_CEILING_ROLE_LIMIT] = 30;
	in.ceiling[PO_CEILING_DATABASE_QUOTA] = 30;
	in.ceiling[PO_CEILING_SERVER] = 97;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.ceiling, 30);
	CHECK_INT(plan.ceiling_by, PO_CEILING_DATABASE_QUOTA);
}

/* What a client does beyond what it is told. */
static void
test_habits(void)
{
	PoClientInput in = plain(PO_CLIENT_PGDOG, 4);
	PoClientPlan plan;

	/* Opens one more when all are in use. */
	in.ceiling[PO_CEILING_QUOTA] = 20;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each, 4);
	in.client = PO_CLIENT_ODYSSEY;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each, 5);

	/* Keeps so many beside those at work: 8 to keep open, of which 5 are. */
	in = plain(PO_CLIENT_HIKARICP, 1);
	in.busy = 5;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each_min, 8);
	CHECK_INT(plan.each_idle, 3);
	in.busy = 8;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each_idle, 1);

	/* Closes one by one, each server_lifetime / pool_size. */
	in = plain(PO_CLIENT_PGBOUNCER, 1);
	in.lifetime_us = S(1000);
	po_client_plan(&in, &plan);
	CHECK_INT(plan.lifetime_us / PO_US_PER_S, 400);
	/* Those that were idle for half of the time that is set: (240 - 10) / 1.5. */
	in = plain(PO_CLIENT_NPGSQL, 1);
	in.idle_us = S(300);
	po_client_plan(&in, &plan);
	CHECK_INT(plan.check_us / PO_US_PER_S, 10);
	CHECK_INT(plan.idle_us / PO_US_PER_S, 153);
	CHECK_INT(plan.remarks & bit(PO_REMARK_IDLE), 0);
}

/* 7 for all, of which each of four processes would have one; 3 keep the wait target. */
static void
test_parts(void)
{
	PoClientInput in = plain(PO_CLIENT_HIKARICP, 4);
	PoClientPlan plan;
	char		text[400];

	in.size = 7;
	in.min = 4;
	in.each = 3;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each, 3);
	CHECK_INT(plan.each_min, 1);
	CHECK_INT(plan.remarks, bit(PO_REMARK_PARTS));
	po_client_remark(&in, &plan, PO_REMARK_PARTS, text, sizeof(text));
	CHECK_TEXT(text, "each process needs 3 to keep target_wait at its own part of the load, 12 "
			   "together; one pooler for all of them would do with 7.");

	/* Together, while a deploy runs, they stay below what is allowed. */
	in.ceiling[PO_CEILING_QUOTA] = 14;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each, 2);
	CHECK_INT(plan.remarks, bit(PO_REMARK_CUT) | bit(PO_REMARK_TWICE) | bit(PO_REMARK_PARTS));
	po_client_remark(&in, &plan, PO_REMARK_CUT, text, sizeof(text));
	CHECK_TEXT(text, "each process has 2 instead of 3 connections, so that a deploy with 5 "
			   "processes stays within 14: the quota (max_connections).");

	po_client_remark(&in, &plan, PO_REMARK_PARTS, text, sizeof(text));
	CHECK_TEXT(text, "each process needs 3 to keep target_wait at its own part of the load, 12 "
			   "together; one pooler for all of them would do with 7.");

	/* Its part of the size is more, as that is for bursts and hours to come, too. */
	in.ceiling[PO_CEILING_QUOTA] = 40;
	in.size = 20;
	in.each = 3;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each, 5);
	CHECK_INT(plan.remarks, 0);
	/* Poolers share, as auto has it. */
	in.client = PO_CLIENT_PGBOUNCER;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each, 5);
}

static void
test_reserve(void)
{
	PoClientInput in = plain(PO_CLIENT_PGBOUNCER, 2);
	PoClientPlan plan;

	/* (30 - 20) / 2; poolers are not doubled. */
	po_client_plan(&in, &plan);
	CHECK_INT(plan.peak, 2);
	CHECK_INT(plan.each, 10);
	CHECK_INT(plan.each_reserve, 5);
	in.ceiling[PO_CEILING_QUOTA] = 27;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each, 10);
	CHECK_INT(plan.each_reserve, 3);
	/* More was tried, and did no more. */
	in.tried = true;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each, 10);
	CHECK_INT(plan.each_reserve, 0);
}

static void
test_size_remarks(void)
{
	PoClientInput in = plain(PO_CLIENT_PGX, 50);
	PoClientPlan plan;

	po_client_plan(&in, &plan);
	CHECK_INT(plan.each, 1);
	CHECK_INT(plan.remarks, bit(PO_REMARK_PROCESSES) | bit(PO_REMARK_FEW));

	in.instances = 36;			/* 45 while a deploy runs */
	po_client_plan(&in, &plan);
	CHECK_INT(plan.remarks, bit(PO_REMARK_SURGE) | bit(PO_REMARK_FEW));

	in.instances = 2;
	in.ceiling[PO_CEILING_QUOTA] = 0;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each, 1);
	CHECK_INT(plan.login_retry_us, S(15));
	CHECK(plan.remarks & bit(PO_REMARK_REFUSED));
	CHECK(!(plan.remarks & bit(PO_REMARK_PROCESSES)));

	in.ceiling[PO_CEILING_QUOTA] = 15;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.each, 5);
	CHECK(plan.remarks & bit(PO_REMARK_SIZE));

	/* 20 / 11 = 1: nine of twenty are lost. */
	in = plain(PO_CLIENT_PGX, 11);
	po_client_plan(&in, &plan);
	CHECK_INT(plan.remarks, bit(PO_REMARK_ROUNDED));

	in = plain(PO_CLIENT_PGX, 4);
	in.guaranteed = 24;
	in.confidence = NAN;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.remarks, bit(PO_REMARK_GUARANTEE) | bit(PO_REMARK_CONFIDENCE));
}

/* Twenty for a tenant of which two applications have sessions. */
static void
test_others(void)
{
	PoClientInput in = plain(PO_CLIENT_PGX, 4);
	PoClientPlan plan;
	char		text[400];

	in.applications = 2;
	in.seen = 6;
	in.seen_least = 2;
	in.others = 15;				/* 25 at a deploy, and these, are 40 */
	po_client_plan(&in, &plan);
	CHECK_INT(plan.remarks, bit(PO_REMARK_SHARED));
	po_client_remark(&in, &plan, PO_REMARK_SHARED, text, sizeof(text));
	CHECK_TEXT(text, "this tenant has 2 applications, with 6 instances, and this text gives one "
			   "of them what is recommended for all; size_per_instance of "
			   "pool_recommendations_client is the part of each.");
	in.others = 16;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.remarks, bit(PO_REMARK_SHARED) | bit(PO_REMARK_OTHERS));
	CHECK(po_client_contradicts(PO_REMARK_OTHERS));
	CHECK(!po_client_contradicts(PO_REMARK_SHARED) && !po_client_contradicts(PO_REMARK_SEEN));
	po_client_remark(&in, &plan, PO_REMARK_OTHERS, text, sizeof(text));
	CHECK_TEXT(text, "up to 25 connections by this text and the 16 that other applications of "
			   "this tenant have now are more than 40: the quota (max_connections).");
	/* All of them go through a pooler. */
	in.client = PO_CLIENT_PGBOUNCER;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.remarks, 0);

	/* One application, with more instances than one says. */
	in = plain(PO_CLIENT_PGX, 1);
	in.applications = 1;
	in.seen = in.seen_least = 4;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.remarks, bit(PO_REMARK_SEEN));
	po_client_remark(&in, &plan, PO_REMARK_SEEN, text, sizeof(text));
	CHECK_TEXT(text, "4 instances have sessions now (pool_recommendations_client), and this text "
			   "is for 1: each may get too much.");

	/* A pooler is the one that has sessions, and tells who is behind it. */
	in.seen = in.seen_least = 1;
	in.behind = 3;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.remarks, bit(PO_REMARK_SEEN));
	po_client_remark(&in, &plan, PO_REMARK_SEEN, text, sizeof(text));
	CHECK_TEXT(text, "3 instances are clients of its poolers (cl_instances of pool_stats_pooler), "
			   "and this text is for 1.");
	in.instances = 3;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.remarks & bit(PO_REMARK_SEEN), 0);
}

static void
test_logins(void)
{
	PoClientInput in = plain(PO_CLIENT_PRISMA, 2);
	PoClientPlan plan;

	/* Prisma waits for the pool while it logs in: the error of the login is to come first. */
	po_client_plan(&in, &plan);
	CHECK_INT(plan.connect_us, S(5));
	CHECK_INT(plan.acquire_us, S(10));
	CHECK_INT(plan.backoff_us, 100 * PO_US_PER_MS);

	/* Queued for 20 s: longer than Prisma would wait by itself. */
	in.on_full = PO_ON_FULL_WAIT;
	in.wait_timeout_us = S(20);
	po_client_plan(&in, &plan);
	CHECK_INT(plan.connect_us, S(25));
	CHECK_INT(plan.acquire_us, S(30));
	CHECK_INT(plan.backoff_us, S(1));
	CHECK_INT(plan.remarks, bit(PO_REMARK_CONNECT));

	/* The server gives up first. */
	in.client = PO_CLIENT_NODE_POSTGRES;
	in.on_full = PO_ON_FULL_EVICT_IDLE;
	in.wait_timeout_us = S(600);
	po_client_plan(&in, &plan);
	CHECK_INT(plan.connect_us, S(65));
	CHECK_INT(plan.acquire_us, S(65));
	CHECK_INT(plan.remarks, bit(PO_REMARK_WAIT));

	in = plain(PO_CLIENT_NODE_POSTGRES, 2);
	in.target_wait_us = 123 * PO_US_PER_MS;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.acquire_us, S(13));
	in.target_wait_us = S(600);
	po_client_plan(&in, &plan);
	CHECK_INT(plan.acquire_us, S(60));

	/* Reports of 20 s that wait for each other. */
	in.target_wait_us = 10 * PO_US_PER_MS;
	in.service_us = S(20);
	in.wait_us = 20.1 * PO_US_PER_S;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.acquire_us, S(161));
	in.wait_us = INFINITY;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.acquire_us, S(600));
	in.service_us = in.wait_us = NAN;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.acquire_us, S(5));
}

static void
test_idle_rules(void)
{
	PoClientInput in = plain(PO_CLIENT_HIKARICP, 2);
	PoClientPlan plan;

	/* Four fifths of 5 min, less the half minute between two looks. */
	in.idle_us = S(300);
	po_client_plan(&in, &plan);
	CHECK_INT(plan.idle_us, S(210));
	CHECK_INT(plan.each_min, 0);
	CHECK_INT(plan.remarks, bit(PO_REMARK_MIN));

	/* The shorter rule counts; HikariCP takes no less than 10 s. */
	in.never_used_us = S(40);
	po_client_plan(&in, &plan);
	CHECK_INT(plan.idle_us, S(10));
	CHECK(plan.remarks & bit(PO_REMARK_IDLE));

	in.client = PO_CLIENT_PGX;	/* which can look every 8 s */
	po_client_plan(&in, &plan);
	CHECK_INT(plan.check_us, S(8));
	CHECK_INT(plan.idle_us, S(24));
	CHECK(!(plan.remarks & bit(PO_REMARK_IDLE)));

	in.client = PO_CLIENT_SQLALCHEMY;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.idle_us, 0);
	CHECK(plan.remarks & bit(PO_REMARK_IDLE_NONE));

	in = plain(PO_CLIENT_HIKARICP, 2);
	in.lifetime_us = S(100);
	in.leak_probability = 0.99;
	po_client_plan(&in, &plan);
	CHECK_INT(plan.lifetime_us, S(80));
	CHECK_INT(plan.idle_us, S(78));
	CHECK_INT(plan.remarks, bit(PO_REMARK_LEAK));
	in.lifetime_us = S(30);
	po_client_plan(&in, &plan);
	CHECK_INT(plan.lifetime_us, S(30));
	CHECK(plan.remarks & bit(PO_REMARK_LIFETIME));

	in = plain(PO_CLIENT_PGBOUNCER, 2);
	in.idle_in_transaction_us = S(10);
	po_client_plan(&in, &plan);
	CHECK_INT(plan.idle_in_transaction_us, S(8));
	in.idle_in_transaction_us = S(1);
	po_client_plan(&in, &plan);
	CHECK_INT(plan.idle_in_transaction_us, S(1));
}

static void
test_remark_texts(void)
{
	PoClientInput in = plain(PO_CLIENT_PGX, 50);
	PoClientPlan plan;
	char		text[512];

	po_client_plan(&in, &plan);
	po_client_remark(&in, &plan, PO_REMARK_PROCESSES, text, sizeof(text));
	CHECK_TEXT(text, "50 processes need at least one connection each, but the quota "
			   "(max_connections) is 40. Put a pooler in between, run fewer processes, or "
			   "raise it.");
	po_client_remark(&in, &plan, PO_REMARK_PROCESSES, text, 4);
	CHECK_TEXT(text, "50 ");
	CHECK(po_client_contradicts(PO_REMARK_IDLE));
	CHECK(!po_client_contradicts(PO_REMARK_CONFIDENCE));
}

static PoClientInput
any_input(void)
{
	PoClientInput in;

	random_fill(&in, sizeof(in));
	in.client = (PoClient) random_below(PO_N_CLIENTS);
	in.instances = random_odd_int();
	in.surge = random_odd_double();
	in.applications = random_odd_int();
	in.seen = random_odd_int();
	in.seen_least = random_odd_int();
	in.others = random_odd_int();
	in.size = random_odd_int();
	in.min = random_odd_int();
	in.max = random_odd_int();
	in.busy = random_odd_int();
	in.each = random_odd_int();
	in.tried = random_below(2) != 0;
	in.service_us = random_odd_double();
	in.wait_us = random_odd_double();
	in.confidence = random_odd_double();
	in.leak_probability = random_odd_double();
	for (int i = 0; i < PO_N_CEILINGS; i++)
		in.ceiling[i] = random_below(2) ? random_odd_int() : PO_UNLIMITED;
	in.guaranteed = random_odd_int();
	in.on_full = (PoOnFull) random_below(3);
	in.wait_timeout_us = random_odd_int64();
	in.target_wait_us = random_odd_int64();
	in.idle_us = random_odd_int64();
	in.never_used_us = random_odd_int64();
	in.idle_in_transaction_us = random_odd_int64();
	in.lifetime_us = random_odd_int64();
	in.authentication_timeout_us = random_odd_int64();
	return in;
}

static void
check_sizes(const PoClientInput *in, const PoClientPlan *plan)
{
	int64_t		peak = (int64_t) plan->peak * (plan->each + plan->each_reserve);
	bool		too_many = (plan->remarks & (bit(PO_REMARK_REFUSED) | bit(PO_REMARK_PROCESSES) |
											 bit(PO_REMARK_SURGE))) != 0;

	CHECK_WITH(plan->each >= 1 && plan->each_min >= 0 && plan->each_min <= plan->each &&
			   plan->each_reserve >= 0, "each %d min %d", plan->each, plan->each_min);
	CHECK_WITH(plan->peak > plan->instances || (po_client_is_pooler(in->client) &&
												  plan->peak == plan->instances),
			   "peak %d", plan->peak);
	/* Never more than what is allowed, unless that is said. */
	CHECK_WITH(plan->ceiling < 0 || peak <= plan->ceiling || too_many,
			   "%lld at the peak, %d allowed", (long long) peak, plan->ceiling);
	/* Nor with what others have. */
	CHECK_WITH(plan->ceiling < 0 || in->others <= 0 || too_many ||
			   po_client_is_pooler(in->client) ||
			   (int64_t) plan->peak * plan->each + in->others <= plan->ceiling ||
			   plan->remarks & bit(PO_REMARK_OTHERS), "%d of others", in->others);
	/* Never more than recommended, but for the one that each must have, or its part. */
	CHECK_WITH(plan->each == 1 || (int64_t) plan->each * plan->instances <= in->size ||
			   (plan->each <= in->each && !po_client_is_pooler(in->client)),
			   "%d x %d of %d", plan->instances, plan->each, in->size);
}

static void
check_times(const PoClientInput *in, const PoClientPlan *plan)
{
	int64_t		idle_us = in->idle_us > 0 ? in->idle_us : INT64_MAX;

	if (in->never_used_us > 0 && in->never_used_us < idle_us)
		idle_us = in->never_used_us;
	CHECK_WITH(plan->connect_us >= S(5) && plan->acquire_us >= plan->connect_us,
			   "connect %lld", (long long) plan->connect_us);
	CHECK(in->client != PO_CLIENT_PRISMA || plan->acquire_us >= plan->connect_us + S(5));
	/* The client lets go before the server ends it, or it is said that it does not. */
	CHECK_WITH((double) plan->idle_us * (in->client == PO_CLIENT_NPGSQL ? 1.5 : 1) +
			   (double) plan->check_us < (double) idle_us ||
			   plan->remarks & (bit(PO_REMARK_IDLE) | bit(PO_REMARK_IDLE_NONE)),
			   "idle %lld + %lld, rule %lld", (long long) plan->idle_us,
			   (long long) plan->check_us, (long long) idle_us);
	CHECK_WITH(in->lifetime_us <= 0 || plan->remarks & bit(PO_REMARK_LIFETIME) ||
			   plan->lifetime_us * (in->client == PO_CLIENT_PGBOUNCER ? 2 : 1) +
			   plan->jitter_us < in->lifetime_us, "lifetime %lld", (long long) plan->lifetime_us);
	CHECK(plan->each_idle >= (plan->each_min > 0) && plan->each_idle <= plan->each_min);
	CHECK_WITH(idle_us == INT64_MAX || plan->each_min == 0, "min %d", plan->each_min);
	CHECK(plan->lifetime_us > 0 && plan->jitter_us >= 0 && plan->check_us >= 0);
	CHECK(plan->idle_us == 0 || plan->idle_us >= PO_US_PER_S);
}

static void
test_properties(void)
{
	for (int i = 0; i < 200000; i++)
	{
		PoClientInput in = any_input();
		PoClientPlan plan;
		PoClientPlan more;
		char		text[400];

		po_client_plan(&in, &plan);
		check_sizes(&in, &plan);
		check_times(&in, &plan);
		for (int remark = 0; remark < PO_N_REMARKS; remark++)
		{
			memset(text, 1, sizeof(text));
			po_client_remark(&in, &plan, (PoClientRemark) remark, text, sizeof(text));
			CHECK_WITH(strlen(text) > 20 && text[strlen(text) - 1] == '.',
					   "remark %d: %s", remark, text);
		}

		/* With more processes each has no more. */
		if (in.instances < 0 || in.instances >= PO_MAX_INSTANCES)
			continue;
		in.instances++;
		po_client_plan(&in, &more);
		CHECK_WITH(more.each <= plan.each, "%d, then %d", plan.each, more.each);
	}
}

int
main(void)
{
	test_names();
	test_division();
	test_habits();
	test_parts();
	test_reserve();
	test_size_remarks();
	test_others();
	test_logins();
	test_idle_rules();
	test_remark_texts();
	test_properties();
	return check_end("test_client_size");
}
