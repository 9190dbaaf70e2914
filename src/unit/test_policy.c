/*
 * test_policy.c
 *		What a policy may say, how policies inherit, and their order.
 */
#include "model/po_policy.h"

#include <stdlib.h>

#include "model/po_names.h"

#include "check.h"

#define ALL_BITS	((PO_SET_DRAIN << 1) - 1)
#define MOST		262143
#define DAY			(86400 * PO_US_PER_S)

static PoPolicy
policy_named(PoScope scope, const char *name)
{
	PoPolicy	p;

	memset(&p, 0, sizeof(p));
	p.scope = scope;
	snprintf(p.name, sizeof(p.name), "%s", name);
	po_policy_defaults(&p.fields);
	return p;
}

static void
check_policy_at(const PoPolicy *policy, const char *field, const char *problem, int line)
{
	PoPolicyError error = {"", ""};
	bool		sound = po_policy_check(policy, &error);

	check_text_at(sound ? "" : error.field, field, __FILE__, line, "field");
	check_that(strstr(error.problem, problem) != NULL, __FILE__, line,
			   "the problem is \"%s\", not \"%s\"", error.problem, problem);
	check_that(po_policy_check(policy, NULL) == sound, __FILE__, line, "without an error");
}

#define CHECK_POLICY(policy, field, problem) \
	check_policy_at(&(policy), (field), (problem), __LINE__)

static void
test_policy_defaults(void)
{
	PoPolicy	p = policy_named(PO_SCOPE_TENANT, "acme");

	CHECK_INT(p.fields.set, 0);
	CHECK_INT(p.fields.max_connections, PO_UNLIMITED);
	CHECK_INT(p.fields.max_size, PO_UNLIMITED);
	CHECK_INT(p.fields.wait_timeout_us, 5 * PO_US_PER_S);
	CHECK_NEAR(p.fields.weight, 1, 0);
	CHECK_INT(p.fields.quota_mode, PO_MODE_ENFORCE);
	p.fields.set = ALL_BITS;
	CHECK_POLICY(p, "", "");
	CHECK(po_policy_check_resolved(&p.fields, NULL));
}

/* One field at a time: the last value that is allowed and the first that is not. */
#define CHECK_FIELD(member, bit, good, bad, column, problem) \
	do { \
		PoPolicy	p = policy_named(PO_SCOPE_TENANT, "acme"); \
		p.fields.set = (bit); \
		p.fields.member = (good); \
		CHECK_POLICY(p, "", ""); \
		p.fields.member = (bad); \
		CHECK_POLICY(p, (column), (problem)); \
		p.fields.set = 0; \
		CHECK_POLICY(p, "", ""); \
	} while (0)

static void
test_policy_quota_ranges(void)
{
	CHECK_FIELD(max_connections, PO_SET_MAX_CONNECTIONS, -1, -2, "max_connections", "-1");
	CHECK_FIELD(max_connections, PO_SET_MAX_CONNECTIONS, MOST, MOST + 1, "max_connections",
				"must not be greater than 262143");
	CHECK_FIELD(guaranteed, PO_SET_GUARANTEED, 0, -1, "guaranteed", "must not be negative");
	CHECK_FIELD(guaranteed, PO_SET_GUARANTEED, MOST, INT_MAX, "guaranteed", "262143");
	CHECK_FIELD(weight, PO_SET_WEIGHT, 1e-9, 0, "weight", "greater than 0");
	CHECK_FIELD(weight, PO_SET_WEIGHT, 1e6, 1000001, "weight", "1000000");
	CHECK_FIELD(weight, PO_SET_WEIGHT, 1, NAN, "weight", "greater than 0");
	CHECK_FIELD(weight, PO_SET_WEIGHT, 1, INFINITY, "weight", "1000000");
	CHECK_FIELD(on_full, PO_SET_ON_FULL, PO_ON_FULL_EVICT_IDLE, (PoOnFull) 3, "on_full",
				"must be reject");
	CHECK_FIELD(on_full, PO_SET_ON_FULL, PO_ON_FULL_WAIT, (PoOnFull) -1, "on_full", "reject");
	CHECK_FIELD(wait_timeout_us, PO_SET_WAIT_TIMEOUT, 0, -1, "wait_timeout", "negative");
	CHECK_FIELD(wait_timeout_us, PO_SET_WAIT_TIMEOUT, DAY, DAY + 1, "wait_timeout", "1 day");
	CHECK_FIELD(quota_mode, PO_SET_QUOTA_MODE, PO_MODE_OFF, (PoMode) 99, "quota_mode", "off");
}

static void
test_policy_timeout_ranges(void)
{
	CHECK_FIELD(idle_us, PO_SET_IDLE, 3650 * DAY, INT64_MAX, "idle", "10 years");
	CHECK_FIELD(idle_us, PO_SET_IDLE, 0, INT64_MIN, "idle", "negative");
	CHECK_FIELD(idle_in_transaction_us, PO_SET_IDLE_IN_TRANSACTION, 1, -1,
				"idle_in_transaction", "negative");
	CHECK_FIELD(never_used_us, PO_SET_NEVER_USED, 1, -1, "never_used", "negative");
	CHECK_FIELD(lifetime_us, PO_SET_LIFETIME, 1, -1, "lifetime", "negative");
	CHECK_FIELD(leak_probability, PO_SET_LEAK_PROBABILITY, 1, 1.0001, "leak_probability",
				"between 0 and 1");
	CHECK_FIELD(leak_probability, PO_SET_LEAK_PROBABILITY, 0, NAN, "leak_probability", "0");
	CHECK_FIELD(timeouts_mode, PO_SET_TIMEOUTS_MODE, PO_MODE_OBSERVE, (PoMode) 3,
				"timeouts_mode", "observe");
	CHECK_FIELD(drain_grace_us, PO_SET_DRAIN, 0, -1, "drain_grace", "negative");
}

static void
test_policy_sizing_ranges(void)
{
	CHECK_FIELD(min_size, PO_SET_MIN_SIZE, 0, -1, "min_size", "negative");
	CHECK_FIELD(max_size, PO_SET_MAX_SIZE, -1, 0, "max_size", "-1 for no limit");
	CHECK_FIELD(max_size, PO_SET_MAX_SIZE, 1, -2, "max_size", "-1 for no limit");
	CHECK_FIELD(max_size, PO_SET_MAX_SIZE, MOST, MOST + 1, "max_size", "262143");
	CHECK_FIELD(target_wait_us, PO_SET_TARGET_WAIT, 1, 0, "target_wait", "greater than 0");
	CHECK_FIELD(target_wait_us, PO_SET_TARGET_WAIT, 3600 * PO_US_PER_S, 3601 * PO_US_PER_S,
				"target_wait", "1 hour");
	CHECK_FIELD(scale_up_threshold, PO_SET_SCALE_UP_THRESHOLD, 1, 1.1, "scale_up_threshold",
				"between");
	CHECK_FIELD(scale_down_threshold, PO_SET_SCALE_DOWN_THRESHOLD, 0, -0.1,
				"scale_down_threshold", "between");
	CHECK_FIELD(scale_up_step, PO_SET_SCALE_UP_STEP, MOST, -1, "scale_up_step", "negative");
	CHECK_FIELD(scale_down_step, PO_SET_SCALE_DOWN_STEP, 0, MOST + 1, "scale_down_step",
				"262143");
	CHECK_FIELD(evaluation_interval_us, PO_SET_EVALUATION_INTERVAL, PO_US_PER_S,
				PO_US_PER_S - 1, "evaluation_interval", "1 s");
	CHECK_FIELD(evaluation_interval_us, PO_SET_EVALUATION_INTERVAL, DAY, DAY + 1,
				"evaluation_interval", "1 day");
}

/* Together in one policy, and apart but merged. */
static void
test_policy_pairs(void)
{
	PoPolicy	p = policy_named(PO_SCOPE_TENANT, "acme");
	PoPolicyError error;

	p.fields.set = PO_SET_GUARANTEED | PO_SET_MAX_CONNECTIONS;
	p.fields.guaranteed = 5;
	CHECK_POLICY(p, "", "");
	p.fields.max_connections = 5;
	CHECK_POLICY(p, "", "");
	p.fields.max_connections = 4;
	CHECK_POLICY(p, "guaranteed", "lower it or raise max_connections");
	p.fields.set = PO_SET_GUARANTEED;
	CHECK_POLICY(p, "", "");
	CHECK(!po_policy_check_resolved(&p.fields, &error));
	CHECK_TEXT(error.field, "guaranteed");

	p = policy_named(PO_SCOPE_TENANT, "*");
	p.fields.set = PO_SET_MIN_SIZE | PO_SET_MAX_SIZE;
	p.fields.min_size = 9;
	CHECK_POLICY(p, "", "");
	p.fields.max_size = 8;
	CHECK_POLICY(p, "min_size", "must not be greater than max_size");

	p = policy_named(PO_SCOPE_TENANT, "*");
	p.fields.set = PO_SET_SCALE_UP_THRESHOLD;
	p.fields.scale_up_threshold = 0.3;
	CHECK_POLICY(p, "", "");
	CHECK(!po_policy_check_resolved(&p.fields, &error));
	CHECK_TEXT(error.field, "scale_down_threshold");
	p.fields.set |= PO_SET_SCALE_DOWN_THRESHOLD;
	CHECK_POLICY(p, "scale_down_threshold", "must be less than scale_up_threshold");
}

static void
test_policy_names(void)
{
	PoPolicy	p = policy_named(PO_SCOPE_TENANT, "");

	CHECK_POLICY(p, "tenant", "must not be empty");
	memset(p.name, 'x', sizeof(p.name));
	CHECK_POLICY(p, "tenant", "256");
	p = policy_named(PO_SCOPE_CLUSTER, "*");
	CHECK_POLICY(p, "", "");
	p = policy_named(PO_SCOPE_CLUSTER, "main");
	CHECK_POLICY(p, "tenant", "must be *");
	p = policy_named(PO_SCOPE_ADDRESS, "*");
	CHECK_POLICY(p, "", "");
	p = policy_named(PO_SCOPE_ADDRESS, "[local]");
	CHECK_POLICY(p, "", "");
	p = policy_named(PO_SCOPE_ADDRESS, "10.0.0.0/8");
	CHECK_POLICY(p, "", "");
	p = policy_named(PO_SCOPE_ADDRESS, "10.*");
	CHECK_POLICY(p, "tenant", "CIDR");
	p = policy_named(PO_SCOPE_ADDRESS, "10.0.0.1/8");
	CHECK_POLICY(p, "tenant", "CIDR");
	p = policy_named((PoScope) 6, "x");
	CHECK_POLICY(p, "scope", "must be tenant");
	p = policy_named((PoScope) -1, "x");
	CHECK_POLICY(p, "scope", "must be tenant");
}

static void
test_policy_scopes(void)
{
	PoPolicy	p = policy_named(PO_SCOPE_ROLE, "app*");

	p.fields.set = PO_SET_ANY_SCOPE;
	CHECK_POLICY(p, "", "");
	for (uint32_t bit = 1; bit <= PO_SET_DRAIN; bit <<= 1)
	{
		p.fields.set = bit;
		CHECK(po_policy_check(&p, NULL) == ((bit & PO_SET_ANY_SCOPE) != 0));
	}
	p.fields.set = PO_SET_ANY_SCOPE | PO_SET_LIFETIME | PO_SET_AUTO;
	CHECK_POLICY(p, "lifetime", "scope tenant only");

	p = policy_named(PO_SCOPE_TENANT, "app*");
	p.fields.set = PO_SET_GUARANTEED;
	CHECK_POLICY(p, "", "");
	p.fields.guaranteed = 1;
	CHECK_POLICY(p, "guaranteed", "exact name");
}

static void
test_policy_inherit(void)
{
	PoPolicyFields merged;
	PoPolicyFields exact;
	PoPolicyFields wide;

	po_policy_defaults(&merged);
	po_policy_defaults(&exact);
	po_policy_defaults(&wide);
	exact.set = PO_SET_MAX_CONNECTIONS;
	exact.max_connections = 7;
	exact.weight = 3;			/* not set */
	wide.set = PO_SET_MAX_CONNECTIONS | PO_SET_LIFETIME | PO_SET_DRAIN | PO_SET_AUTO;
	wide.max_connections = 9;
	wide.lifetime_us = 11;
	wide.drain_started_us = 12;
	wide.drain_grace_us = 13;
	wide.auto_apply = true;

	po_policy_inherit(&merged, &exact);
	po_policy_inherit(&merged, &wide);
	CHECK_INT(merged.set, PO_SET_MAX_CONNECTIONS | PO_SET_LIFETIME | PO_SET_DRAIN | PO_SET_AUTO);
	CHECK_INT(merged.max_connections, 7);
	CHECK_NEAR(merged.weight, 1, 0);
	CHECK_INT(merged.lifetime_us, 11);
	CHECK_INT(merged.drain_started_us, 12);
	CHECK_INT(merged.drain_grace_us, 13);
	CHECK(merged.auto_apply);
	CHECK_INT(merged.idle_us, 0);
}

/* Every field has its bit: taken with it, and not without it. */
static void
test_policy_inherit_every_field(void)
{
	for (uint32_t bit = 1; bit <= PO_SET_DRAIN; bit <<= 1)
	{
		PoPolicyFields from;
		PoPolicyFields into;
		PoPolicyFields before;
		size_t		changed = 0;

		memset(&from, 0x01, sizeof(from));
		memset(&into, 0, sizeof(into));
		from.set = bit;
		po_policy_inherit(&into, &from);
		CHECK_INT(into.set, bit);
		for (size_t i = sizeof(into.set); i < sizeof(into); i++)
			changed += ((unsigned char *) &into)[i] != 0;
		CHECK(changed == 1 || changed == 4 || changed == 8 ||
			  (changed == 16 && bit == PO_SET_DRAIN));

		memset(&from, 0x02, offsetof(PoPolicyFields, auto_apply));
		from.set = bit;
		before = into;
		po_policy_inherit(&into, &from);
		CHECK(memcmp(&into, &before, sizeof(into)) == 0);
	}
}

static void
test_policy_compare_known(void)
{
	/* in order */
	static const struct
	{
		PoScope		scope;
		const char *name;
	}			sorted[] = {
		{PO_SCOPE_TENANT, "alice@shop"}, {PO_SCOPE_TENANT, "bob@shop"},
		{PO_SCOPE_TENANT, "zed"}, {PO_SCOPE_TENANT, "alice@*"}, {PO_SCOPE_TENANT, "*@shop"},
		{PO_SCOPE_TENANT, "*"}, {PO_SCOPE_DATABASE, "shop"}, {PO_SCOPE_ADDRESS, "[local]"},
		{PO_SCOPE_ADDRESS, "2001:db8::/64"}, {PO_SCOPE_ADDRESS, "10.1.2.3"},
		{PO_SCOPE_ADDRESS, "10.1.0.0/16"}, {PO_SCOPE_ADDRESS, "10.0.0.0/8"},
		{PO_SCOPE_ADDRESS, "0.0.0.0/0"}, {PO_SCOPE_ADDRESS, "*"}, {PO_SCOPE_CLUSTER, "*"}
	};
	const int	n = (int) (sizeof(sorted) / sizeof(sorted[0]));

	for (int i = 0; i < n; i++)
	{
		PoPolicy	a = policy_named(sorted[i].scope, sorted[i].name);

		for (int j = 0; j < n; j++)
		{
			PoPolicy	b = policy_named(sorted[j].scope, sorted[j].name);
			int			order = po_policy_compare(&a, &b);

			CHECK_WITH((order > 0) - (order < 0) == (i > j) - (i < j), "%s, %s", a.name, b.name);
		}
	}
}

static void
random_policy(PoPolicy *p)
{
	static const char *const names[] = {
		"*", "a", "b", "ab", "a*", "*a", "*ab", "ab*", "a*b", "10.0.0.0/8", "10.0.0.1",
		"::/0", "::1", "[local]", ""
	};

	if (random_below(10) == 0)
		random_fill(p, sizeof(*p));
	else
		*p = policy_named((PoScope) random_below(PO_N_SCOPES + 1), names[random_below(15)]);
}

/* An order at all, also of damaged policies: qsort must not be led astray. */
static void
test_policy_compare_is_order(void)
{
	static PoPolicy p[3];

	for (int round = 0; round < 50000; round++)
	{
		for (int i = 0; i < 3; i++)
			random_policy(&p[i]);
		CHECK_INT(po_policy_compare(&p[0], &p[0]), 0);
		CHECK((po_policy_compare(&p[0], &p[1]) < 0) == (po_policy_compare(&p[1], &p[0]) > 0));
		if (po_policy_compare(&p[0], &p[1]) <= 0 && po_policy_compare(&p[1], &p[2]) <= 0)
			CHECK(po_policy_compare(&p[0], &p[2]) <= 0);
	}
}

static void
test_policy_damaged(void)
{
	for (int round = 0; round < 20000; round++)
	{
		PoPolicy	p;
		PoPolicyFields merged;
		PoPolicyError error = {NULL, NULL};

		random_fill(&p, sizeof(p));
		if (random_below(2))
		{
			p.scope = PO_SCOPE_TENANT;
			p.name[3] = '\0';
		}
		CHECK(po_policy_check(&p, &error) || (error.field != NULL && error.problem != NULL));
		(void) po_policy_check_resolved(&p.fields, &error);
		po_policy_defaults(&merged);
		po_policy_inherit(&merged, &p.fields);
		CHECK((merged.set & ~ALL_BITS) == 0);
	}
}

static void
test_policy_words(void)
{
	PoMode		mode = PO_MODE_OFF;
	PoScope		scope = PO_SCOPE_TENANT;
	PoOnFull	on_full = PO_ON_FULL_REJECT;

	for (int i = 0; i <= PO_MODE_ENFORCE; i++)
		CHECK(po_mode_parse(po_mode_name((PoMode) i), &mode) && (int) mode == i);
	for (int i = 0; i < PO_N_SCOPES; i++)
		CHECK(po_scope_parse(po_scope_name((PoScope) i), &scope) && (int) scope == i);
	for (int i = 0; i <= PO_ON_FULL_EVICT_IDLE; i++)
		CHECK(po_on_full_parse(po_on_full_name((PoOnFull) i), &on_full) && (int) on_full == i);
	CHECK_TEXT(po_mode_name(PO_MODE_OBSERVE), "observe");
	CHECK_TEXT(po_scope_name(PO_SCOPE_APPLICATION), "application");
	CHECK_TEXT(po_on_full_name(PO_ON_FULL_EVICT_IDLE), "evict_idle");
	CHECK_TEXT(po_mode_name((PoMode) 77), "unknown");
	CHECK_TEXT(po_scope_name((PoScope) -1), "unknown");
	CHECK(!po_mode_parse("on", &mode) && !po_mode_parse("", &mode));
	CHECK(!po_mode_parse(NULL, &mode) && !po_mode_parse("Off", &mode));
	CHECK(!po_scope_parse("unknown", &scope) && !po_on_full_parse("evict", &on_full));
}

int
main(void)
{
	test_policy_defaults();
	test_policy_quota_ranges();
	test_policy_timeout_ranges();
	test_policy_sizing_ranges();
	test_policy_pairs();
	test_policy_names();
	test_policy_scopes();
	test_policy_inherit();
	test_policy_inherit_every_field();
	test_policy_compare_known();
	test_policy_compare_is_order();
	test_policy_damaged();
	test_policy_words();
	return check_end("test_policy");
}
