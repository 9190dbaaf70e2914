/*
 * test_admission.c
 *		Single rules, their combination, and what must hold over many logins.
 */
#include "model/po_admission.h"

#include "check.h"

/* No rule of any kind: everyone comes in. */
static PoAdmissionInput
open_door(void)
{
	PoAdmissionInput in;

	memset(&in, 0, sizeof(in));
	for (int i = 0; i < PO_N_SCOPES; i++)
	{
		in.quota[i].max_connections = PO_UNLIMITED;
		in.quota[i].mode = PO_MODE_ENFORCE;
		in.quota[i].on_full = PO_ON_FULL_REJECT;
		in.quota[i].wait_timeout_us = 5 * PO_US_PER_S;
	}
	in.room_enforced = 100;
	in.room_observed = 100;
	return in;
}

static PoOutcome
outcome_of(const PoAdmissionInput *in)
{
	PoAdmission out;

	po_admission_decide(in, &out);
	return out.outcome;
}

static void
test_admission_open(void)
{
	PoAdmissionInput in = open_door();
	PoAdmission out;

	po_admission_decide(&in, &out);
	CHECK_INT(out.outcome, PO_OUTCOME_ADMIT);
	CHECK_INT(out.wait_timeout_us, 0);
	for (int i = 0; i < PO_N_RULES; i++)
		CHECK(!out.result[i].checked && out.result[i].passes);
}

static void
test_admission_quota(void)
{
	for (int scope = 0; scope < PO_N_SCOPES; scope++)
	{
		PoAdmissionInput in = open_door();
		PoQuota    *quota = &in.quota[scope];
		PoAdmission out;

		quota->max_connections = 3;
		quota->used = 2;
		po_admission_decide(&in, &out);
		CHECK_INT(out.outcome, PO_OUTCOME_ADMIT);
		CHECK(out.result[po_rule_of_scope((PoScope) scope)].checked);
		CHECK_INT(out.result[po_rule_of_scope((PoScope) scope)].limit, 3);

		quota->used = 3;
		po_admission_decide(&in, &out);
		CHECK_INT(out.outcome, PO_OUTCOME_REJECT);
		CHECK_INT(out.rule, po_rule_of_scope((PoScope) scope));
		CHECK(!out.result[out.rule].passes);
		CHECK_INT(out.result[out.rule].used, 3);

		quota->on_full = PO_ON_FULL_WAIT;
		po_admission_decide(&in, &out);
		CHECK_INT(out.outcome, PO_OUTCOME_WAIT);
		CHECK_INT(out.wait_timeout_us, 5 * PO_US_PER_S);
		quota->on_full = PO_ON_FULL_EVICT_IDLE;
		CHECK_INT(outcome_of(&in), PO_OUTCOME_EVICT_IDLE);
		quota->max_connections = 0;
		CHECK_INT(outcome_of(&in), PO_OUTCOME_REJECT);
		quota->mode = PO_MODE_OBSERVE;
		CHECK_INT(outcome_of(&in), PO_OUTCOME_WOULD_REJECT);
		quota->mode = PO_MODE_OFF;
		po_admission_decide(&in, &out);
		CHECK_INT(out.outcome, PO_OUTCOME_ADMIT);
		CHECK(!out.result[po_rule_of_scope((PoScope) scope)].checked);
	}
}

static void
test_admission_drain(void)
{
	PoAdmissionInput in = open_door();
	PoAdmission out;

	in.draining = true;
	in.quota[PO_SCOPE_TENANT].on_full = PO_ON_FULL_WAIT;
	in.quota[PO_SCOPE_TENANT].used = 7;
	po_admission_decide(&in, &out);
	CHECK_INT(out.outcome, PO_OUTCOME_REJECT);
	CHECK_INT(out.rule, PO_RULE_DRAIN);
	CHECK_INT(out.result[PO_RULE_DRAIN].used, 7);
	CHECK_INT(out.result[PO_RULE_DRAIN].limit, 0);
	in.quota[PO_SCOPE_TENANT].mode = PO_MODE_OBSERVE;
	CHECK_INT(outcome_of(&in), PO_OUTCOME_WOULD_REJECT);
	in.quota[PO_SCOPE_TENANT].mode = PO_MODE_OFF;
	po_admission_decide(&in, &out);
	CHECK_INT(out.outcome, PO_OUTCOME_ADMIT);
	CHECK(out.result[PO_RULE_DRAIN].checked && !out.result[PO_RULE_DRAIN].passes);
}

static void
test_admission_burst(void)
{
	PoAdmissionInput in = open_door();
	PoAdmission out;

	in.quota[PO_SCOPE_TENANT].used = 4;
	in.room_enforced = 0;
	in.room_observed = 0;
	CHECK_INT(outcome_of(&in), PO_OUTCOME_ADMIT);
	in.any_guarantee = true;
	po_admission_decide(&in, &out);
	CHECK_INT(out.outcome, PO_OUTCOME_REJECT);
	CHECK_INT(out.rule, PO_RULE_BURST);
	CHECK_INT(out.result[PO_RULE_BURST].limit, 4);

	in.guaranteed = 5;
	po_admission_decide(&in, &out);
	CHECK_INT(out.outcome, PO_OUTCOME_ADMIT);
	CHECK_INT(out.result[PO_RULE_BURST].limit, 5);

	in.guaranteed = 4;
	in.room_enforced = 3;
	in.room_observed = 3;
	po_admission_decide(&in, &out);
	CHECK_INT(out.outcome, PO_OUTCOME_ADMIT);
	CHECK_INT(out.result[PO_RULE_BURST].limit, 7);

	in.room_observed = -2;
	CHECK_INT(outcome_of(&in), PO_OUTCOME_WOULD_REJECT);
	in.room_enforced = 0;
	in.quota[PO_SCOPE_TENANT].on_full = PO_ON_FULL_EVICT_IDLE;
	CHECK_INT(outcome_of(&in), PO_OUTCOME_EVICT_IDLE);
	in.quota[PO_SCOPE_TENANT].mode = PO_MODE_OBSERVE;
	CHECK_INT(outcome_of(&in), PO_OUTCOME_WOULD_REJECT);
	in.quota[PO_SCOPE_TENANT].mode = PO_MODE_OFF;
	CHECK_INT(outcome_of(&in), PO_OUTCOME_ADMIT);
}

/* Several rules fail: the worst outcome, the first rule with it, the shortest wait. */
static void
test_admission_worst(void)
{
	PoAdmissionInput in = open_door();
	PoAdmission out;

	for (int i = 0; i < PO_N_SCOPES; i++)
	{
		in.quota[i].max_connections = 1;
		in.quota[i].used = 1;
		in.quota[i].on_full = PO_ON_FULL_EVICT_IDLE;
		in.quota[i].wait_timeout_us = (9 - i) * PO_US_PER_S;
	}
	po_admission_decide(&in, &out);
	CHECK_INT(out.outcome, PO_OUTCOME_EVICT_IDLE);
	CHECK_INT(out.rule, PO_RULE_TENANT);
	CHECK_INT(out.wait_timeout_us, 4 * PO_US_PER_S);

	in.quota[PO_SCOPE_ROLE].on_full = PO_ON_FULL_WAIT;
	in.quota[PO_SCOPE_CLUSTER].mode = PO_MODE_OBSERVE;
	po_admission_decide(&in, &out);
	CHECK_INT(out.outcome, PO_OUTCOME_WAIT);
	CHECK_INT(out.rule, PO_RULE_ROLE);
	CHECK_INT(out.wait_timeout_us, 5 * PO_US_PER_S);

	in.quota[PO_SCOPE_DATABASE].wait_timeout_us = -1;
	po_admission_decide(&in, &out);
	CHECK_INT(out.wait_timeout_us, 0);

	in.quota[PO_SCOPE_ADDRESS].on_full = PO_ON_FULL_REJECT;
	in.quota[PO_SCOPE_APPLICATION].on_full = PO_ON_FULL_REJECT;
	po_admission_decide(&in, &out);
	CHECK_INT(out.outcome, PO_OUTCOME_REJECT);
	CHECK_INT(out.rule, PO_RULE_ADDRESS);
}

/* Whatever is thrown at it: at a limit in enforce mode nobody comes in. */
static void
test_admission_random(void)
{
	for (int round = 0; round < 200000; round++)
	{
		PoAdmissionInput in = open_door();
		PoAdmission out;
		PoOutcome	worst = PO_OUTCOME_ADMIT;
		bool		full = false;

		for (int i = 0; i < PO_N_SCOPES; i++)
		{
			PoQuota    *q = &in.quota[i];

			q->used = round % 2 ? random_below(5) : random_odd_int();
			q->max_connections = round % 2 ? random_below(6) - 1 : random_odd_int();
			q->mode = (PoMode) (random_below(8) == 0 ? random_odd_int() : random_below(3));
			q->on_full = (PoOnFull) (random_below(8) == 0 ? random_odd_int() : random_below(3));
			q->wait_timeout_us = random_odd_int64();
			full = full || (q->mode == PO_MODE_ENFORCE && q->max_connections >= 0 &&
							q->used >= q->max_connections);
		}
		in.draining = random_below(10) == 0;
		in.any_guarantee = random_below(2);
		in.guaranteed = random_odd_int();
		in.room_enforced = random_odd_int();
		in.room_observed = random_odd_int();

		po_admission_decide(&in, &out);
		CHECK(!full || out.outcome > PO_OUTCOME_WOULD_REJECT);
		CHECK(out.wait_timeout_us >= 0);
		for (int i = 0; i < PO_N_RULES; i++)
		{
			const PoRuleResult *r = &out.result[i];

			if (r->outcome > worst)
				worst = r->outcome;
			CHECK(!r->passes || r->outcome == PO_OUTCOME_ADMIT);
			CHECK(r->checked || r->passes);
			CHECK(r->mode != PO_MODE_OBSERVE || r->outcome <= PO_OUTCOME_WOULD_REJECT);
		}
		CHECK(out.outcome == worst);
		CHECK(out.outcome == PO_OUTCOME_ADMIT || out.result[out.rule].outcome == worst);
	}
}

#define N_TENANTS	5
#define SLOTS		30

/* A cluster in little: the input for one tenant, as the server would compute it. */
static PoAdmissionInput
input_for(int tenant, const int *used, const int *guaranteed, const int *max)
{
	PoAdmissionInput in = open_door();

	in.any_guarantee = true;
	in.guaranteed = guaranteed[tenant];
	in.quota[PO_SCOPE_TENANT].used = used[tenant];
	in.quota[PO_SCOPE_TENANT].max_connections = max[tenant];
	in.room_enforced = SLOTS;
	for (int i = 0; i < N_TENANTS; i++)
	{
		in.room_enforced -= used[i];
		if (i != tenant)
			in.room_enforced -= po_admission_unused(guaranteed[i], used[i]);
	}
	in.room_observed = in.room_enforced;
	return in;
}

/*
 * Logins and logouts in any order: never more than the slots, never above a
 * maximum, and whoever is below its guarantee comes in.
 */
static void
test_admission_guarantees_hold(void)
{
	const int	guaranteed[N_TENANTS] = {8, 5, 0, 10, 2};
	const int	max[N_TENANTS] = {12, PO_UNLIMITED, PO_UNLIMITED, 10, 6};
	int			used[N_TENANTS] = {0};

	for (int round = 0; round < 100000; round++)
	{
		int			tenant = random_below(N_TENANTS);
		int			all = 0;

		if (random_below(3) == 0)
			used[tenant] -= used[tenant] > 0;
		else
		{
			PoAdmissionInput in = input_for(tenant, used, guaranteed, max);
			bool		admitted = outcome_of(&in) == PO_OUTCOME_ADMIT;

			CHECK(admitted || used[tenant] >= guaranteed[tenant]);
			CHECK(!admitted || max[tenant] < 0 || used[tenant] < max[tenant]);
			/* no free slot refused */
			CHECK(admitted || in.room_enforced < 1 || used[tenant] == max[tenant]);
			used[tenant] += admitted;
		}
		for (int i = 0; i < N_TENANTS; i++)
			all += used[i];
		CHECK(all <= SLOTS);
	}
}

static void
test_admission_unused(void)
{
	CHECK_INT(po_admission_unused(5, 3), 2);
	CHECK_INT(po_admission_unused(5, 5), 0);
	CHECK_INT(po_admission_unused(5, 9), 0);
	CHECK_INT(po_admission_unused(0, 0), 0);
	CHECK_INT(po_admission_unused(-4, 0), 0);
	CHECK_INT(po_admission_unused(INT_MAX, INT_MIN), INT_MAX);
	CHECK_INT(po_admission_unused(INT_MIN, INT_MAX), 0);
}

static void
test_outcome_names(void)
{
	CHECK_TEXT(po_outcome_name(PO_OUTCOME_ADMIT), "admit");
	CHECK_TEXT(po_outcome_name(PO_OUTCOME_WOULD_REJECT), "would_reject");
	CHECK_TEXT(po_outcome_name(PO_OUTCOME_EVICT_IDLE), "evict_idle");
	CHECK_TEXT(po_outcome_name(PO_OUTCOME_WAIT), "wait");
	CHECK_TEXT(po_outcome_name(PO_OUTCOME_REJECT), "reject");
	CHECK_TEXT(po_outcome_name((PoOutcome) 42), "unknown");
}

int
main(void)
{
	test_admission_open();
	test_admission_quota();
	test_admission_drain();
	test_admission_burst();
	test_admission_worst();
	test_admission_random();
	test_admission_guarantees_hold();
	test_admission_unused();
	test_outcome_names();
	return check_end("test_admission");
}
