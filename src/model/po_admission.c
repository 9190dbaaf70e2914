/*
 * po_admission.c
 *		Whether one more session may come in: arithmetic only.
 *
 * Modes and words may come from a damaged file: an unknown mode counts as off, an
 * unknown on_full as reject.
 */
#include "model/po_admission.h"

#include <limits.h>
#include <string.h>

static PoMode
sane_mode(PoMode mode)
{
	return (unsigned int) mode <= PO_MODE_ENFORCE ? mode : PO_MODE_OFF;
}

/* What a rule that does not pass leads to, in a mode that is not off. */
static PoOutcome
failing_outcome(PoMode mode, const PoQuota *quota)
{
	if (mode == PO_MODE_OBSERVE)
		return PO_OUTCOME_WOULD_REJECT;

	/* no session can ever leave room under a limit of 0 */
	if (quota->max_connections == 0)
		return PO_OUTCOME_REJECT;
	if (quota->on_full == PO_ON_FULL_WAIT)
		return PO_OUTCOME_WAIT;
	if (quota->on_full == PO_ON_FULL_EVICT_IDLE)
		return PO_OUTCOME_EVICT_IDLE;
	return PO_OUTCOME_REJECT;
}

static int64_t
sane_timeout(int64_t timeout_us)
{
	return timeout_us > 0 ? timeout_us : 0;
}

/* The mode off lets even a draining tenant's sessions in. */
static void
decide_drain(const PoAdmissionInput *in, PoRuleResult *r)
{
	const PoQuota *quota = &in->quota[PO_SCOPE_TENANT];

	r->checked = in->draining;
	r->passes = !in->draining;
	r->used = quota->used;
	r->limit = 0;
	r->mode = sane_mode(quota->mode);
	if (in->draining && r->mode == PO_MODE_OBSERVE)
		r->outcome = PO_OUTCOME_WOULD_REJECT;
	if (in->draining && r->mode == PO_MODE_ENFORCE)
		r->outcome = PO_OUTCOME_REJECT;
}

static void
decide_quota(const PoQuota *quota, PoRuleResult *r)
{
	r->mode = sane_mode(quota->mode);
	r->checked = quota->max_connections >= 0 && r->mode != PO_MODE_OFF;
	r->passes = !r->checked || quota->used < quota->max_connections;
	r->used = quota->used;
	r->limit = quota->max_connections >= 0 ? quota->max_connections : PO_UNLIMITED;
	if (!r->passes)
		r->outcome = failing_outcome(r->mode, quota);
	r->wait_timeout_us = sane_timeout(quota->wait_timeout_us);
}

/* How many sessions the tenant may have: its guarantee, or more while there is room. */
static int
burst_limit(int used, int guaranteed, int room)
{
	int64_t		limit = (int64_t) used + (room > 0 ? room : 0);

	if (limit < guaranteed)
		limit = guaranteed;
	return limit < INT_MAX ? (int) limit : INT_MAX;
}

/*
 * Where only guarantees in observe mode take the room, no more than observing
 * is called for.
 */
static void
decide_burst(const PoAdmissionInput *in, PoRuleResult *r)
{
	const PoQuota *quota = &in->quota[PO_SCOPE_TENANT];
	int			room = in->room_observed < in->room_enforced ?
		in->room_observed : in->room_enforced;

	r->mode = sane_mode(quota->mode);
	r->checked = in->any_guarantee && r->mode != PO_MODE_OFF;
	r->passes = !r->checked || quota->used < in->guaranteed || room >= 1;
	r->used = quota->used;
	r->limit = burst_limit(quota->used, in->guaranteed, room);
	if (!r->passes && in->room_enforced >= 1)
		r->mode = po_mode_lower(r->mode, PO_MODE_OBSERVE);
	if (!r->passes)
		r->outcome = failing_outcome(r->mode, quota);
	r->wait_timeout_us = sane_timeout(quota->wait_timeout_us);
}

static bool
queues(PoOutcome outcome)
{
	return outcome == PO_OUTCOME_WAIT || outcome == PO_OUTCOME_EVICT_IDLE;
}

/* When all pass, rule stays the first of all and means nothing. */
void
po_admission_decide(const PoAdmissionInput *in, PoAdmission *out)
{
	bool		any_queues = false;

	memset(out, 0, sizeof(*out));
	decide_drain(in, &out->result[PO_RULE_DRAIN]);
	for (int scope = 0; scope < PO_N_SCOPES; scope++)
		decide_quota(&in->quota[scope], &out->result[po_rule_of_scope((PoScope) scope)]);
	decide_burst(in, &out->result[PO_RULE_BURST]);

	for (int rule = 0; rule < PO_N_RULES; rule++)
	{
		const PoRuleResult *r = &out->result[rule];

		if (r->outcome > out->outcome)
		{
			out->outcome = r->outcome;
			out->rule = (PoRule) rule;
		}
		if (queues(r->outcome))
		{
			if (!any_queues || r->wait_timeout_us < out->wait_timeout_us)
				out->wait_timeout_us = r->wait_timeout_us;
			any_queues = true;
		}
	}
}

int
po_admission_unused(int guaranteed, int used)
{
	if (used < 0)
		used = 0;
	return guaranteed > used ? guaranteed - used : 0;
}

const char *
po_outcome_name(PoOutcome outcome)
{
	switch (outcome)
	{
		case PO_OUTCOME_ADMIT:
			return "admit";
		case PO_OUTCOME_WOULD_REJECT:
			return "would_reject";
		case PO_OUTCOME_EVICT_IDLE:
			return "evict_idle";
		case PO_OUTCOME_WAIT:
			return "wait";
		case PO_OUTCOME_REJECT:
			return "reject";
	}
	return "unknown";
}
