/*
 * po_judge.c
 *		What a session is and whether it may be ended.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "po_events.h"
#include "po_guc.h"
#include "po_judge.h"
#include "po_stats.h"

#define MOST_PROBABLE	0.9999

/* What the sampler knows of the session, NULL if it has not seen it yet. */
static const PoWatch *
watch_of_session(int slot, const PoSeen *seen)
{
	const PoWatch *w = &po_watches[slot];

	return w->seen && w->pid == seen->pid && w->backend_start == seen->backend_start ? w : NULL;
}

/* The same for the state it is in. */
static const PoWatch *
watch_of_state(int slot, const PoSeen *seen)
{
	const PoWatch *w = watch_of_session(slot, seen);

	if (w == NULL ||
		pg_atomic_read_u64((pg_atomic_uint64 *) &w->state_change) != (uint64) seen->state_change)
		return NULL;
	return w;
}

int64
po_judge_new_age(int64 wall_us, int64 ticks)
{
	int64		last_pass = (int64) pg_atomic_read_u64(&po_shared->last_pass);

	if (last_pass > 0 && last_pass <= ticks)
		wall_us = Min(wall_us, ticks - last_pass);
	return Max(wall_us, 0);
}

static void
gather_facts(int slot, const PoSeen *seen, PoSessionFacts *facts)
{
	const PoWatch *session = watch_of_session(slot, seen);
	const PoWatch *state = watch_of_state(slot, seen);
	TimestampTz now = GetCurrentTimestamp();
	int64		ticks = po_shmem_monotonic_us();

	memset(facts, 0, sizeof(*facts));
	facts->state = seen->state;
	facts->transactions = pg_atomic_read_u64(&po_slots[slot].account.transactions);
	facts->age_us = session == NULL ? po_judge_new_age(now - seen->backend_start, ticks) :
		session->start_before + Max(ticks - session->start_seen_at, 0);
	facts->state_us = state == NULL ? po_judge_new_age(now - seen->state_change, ticks) :
		state->state_before + Max(ticks - state->state_seen_at, 0);
	if (state == NULL)
		return;
	facts->growth_probability = state->growth_probability;
	if (state->client_read_since != 0 && seen->state == PO_STATE_ACTIVE)
		facts->client_read_us = Max(ticks - state->client_read_since, 0);
}

int64
po_judge_state_us(int slot, const PoSeen *seen)
{
	PoSessionFacts facts;

	gather_facts(slot, seen, &facts);
	return facts.state_us;
}

void
po_judge_session(int slot, const PoSeen *seen, const PoPolicyFields *policy,
				 PoJudgement *judgement)
{
	PoLeakLimits limits;
	PoHistogram gaps;
	int			tenant = *(volatile int *) &po_slots[slot].tenant;
	bool		idle = seen->state == PO_STATE_IDLE && tenant >= 0;

	memset(judgement, 0, sizeof(*judgement));
	gather_facts(slot, seen, &judgement->facts);
	judgement->mode = po_mode_lower((PoMode) po_guc_mode, policy->timeouts_mode);
	po_leak_limits(policy, &limits);
	if (idle)
	{
		po_stats_copy_gaps(tenant, &gaps);
		judgement->gaps = po_histogram_total(&gaps);
		judgement->gap_p99_us = po_histogram_quantile(&gaps, 0.99);
		/* 1 is what rules say; an estimate is never that sure. */
		judgement->leak_probability =
			Min(po_leak_probability(&gaps, judgement->facts.state_us), MOST_PROBABLE);
	}
	po_leak_classify(&judgement->facts, &limits, idle ? &gaps : NULL, &judgement->finding);
	if (PO_CLASS_IS_LEAK(judgement->finding.class) &&
		judgement->finding.class != PO_CLASS_BEYOND_NORM &&
		judgement->finding.class != PO_CLASS_GROWTH)
		judgement->leak_probability = 1.0;	/* a rule says so */
	else
		judgement->leak_probability = Max(judgement->leak_probability,
										  judgement->facts.growth_probability);
	if (judgement->finding.detect_only)
		judgement->mode = po_mode_lower(judgement->mode, PO_MODE_OBSERVE);
}

PoExempt
po_judge_exempt(int slot, const PoSeen *seen, PoHoldings *holdings)
{
	const PoSlot *s = &po_slots[slot];
	PoSlotPhase phase = (PoSlotPhase) pg_atomic_read_u32((pg_atomic_uint32 *) &s->phase);
	uint32		keeps = pg_atomic_read_u32((pg_atomic_uint32 *) &s->keeps);

	memset(holdings, 0, sizeof(*holdings));
	if ((phase != PO_SLOT_ADMITTED && phase != PO_SLOT_EXEMPT) || s->pid != seen->pid)
		return PO_EXEMPT_UNKNOWN;
	if (s->exempt != PO_EXEMPT_NO)
		return s->exempt;
	if (po_guc_role_is_exempt(s->role))
		return PO_EXEMPT_ROLE;
	if (seen->pid == MyProcPid)
		return PO_EXEMPT_SELF;
	po_sample_holdings(s->procno, seen->pid, holdings);
	if (!holdings->valid || seen->state == PO_STATE_UNKNOWN)
		return PO_EXEMPT_UNKNOWN;
	if (keeps & PO_KEEPS_BACKUP)
		return PO_EXEMPT_BACKUP;
	if (!po_guc_spare_stateful)
		return PO_EXEMPT_NO;
	if (keeps & PO_KEEPS_LISTEN)
		return PO_EXEMPT_LISTEN;
	if (keeps & PO_KEEPS_HELD_CURSOR)
		return PO_EXEMPT_HELD_CURSOR;
	if (holdings->temp_namespace)
		return PO_EXEMPT_TEMP_TABLE;
	/* In a transaction, its own advisory locks are not told from the session's. */
	if (holdings->advisory_locks > 0)
		return PO_EXEMPT_ADVISORY_LOCK;
	return PO_EXEMPT_NO;
}

const char *
po_judge_exempt_name(PoExempt exempt)
{
	static const char *const names[] = {
		NULL, "superuser", "exempt_role", "replication", "self", "unknown", "backup",
		"listen", "held_cursor", "temp_table", "advisory_lock"
	};

	return exempt >= 0 && exempt < lengthof(names) ? names[exempt] : "unknown";
}

void
po_judge_reason(const PoJudgement *judgement, char *reason, Size size)
{
	double		seconds = judgement->facts.state_us / 1e6;
	double		limit = judgement->finding.limit_us / 1e6;

	switch (judgement->finding.class)
	{
		case PO_CLASS_IDLE_IN_TRANSACTION:
			snprintf(reason, size, "idle in transaction for %.3g s, limit %.3g s",
					 seconds, limit);
			break;
		case PO_CLASS_ABORTED_IN_TRANSACTION:
			snprintf(reason, size, "in an aborted transaction for %.3g s, limit %.3g s",
					 seconds, limit);
			break;
		case PO_CLASS_STUCK_IN_CLIENT_READ:
			snprintf(reason, size, "a statement has waited for its client for %.3g s "
					 "without progress, limit %.3g s",
					 judgement->facts.client_read_us / 1e6, limit);
			break;
		case PO_CLASS_IDLE_TOO_LONG:
			snprintf(reason, size, "idle for %.3g s, limit %.3g s", seconds, limit);
			break;
		case PO_CLASS_NEVER_USED:
			snprintf(reason, size, "connected for %.3g s and never used, limit %.3g s",
					 judgement->facts.age_us / 1e6, limit);
			break;
		case PO_CLASS_LIFETIME:
			snprintf(reason, size, "connected for %.3g s, lifetime %.3g s",
					 judgement->facts.age_us / 1e6, limit);
			break;
		case PO_CLASS_BEYOND_NORM:
			snprintf(reason, size, "idle for %.3g s, while 99 %% of its tenant's gaps end "
					 "within %.3g s: %.2f %% likely never to be used again",
					 seconds, judgement->gap_p99_us / 1e6,
					 judgement->leak_probability * 100);
			break;
		case PO_CLASS_GROWTH:
			snprintf(reason, size, "one of a group that is opened, not reused and growing "
					 "(probability of a leak %.3g), idle for %.3g s",
					 judgement->facts.growth_probability, seconds);
			break;
		default:
			snprintf(reason, size, "idle for %.3g s", seconds);
			break;
	}
}

void
po_judge_detail(int slot, const PoJudgement *judgement, const PoHoldings *holdings,
				char *detail, Size size)
{
	const PoSlot *s = &po_slots[slot];
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	po_events_json_string(&json, "class", po_class_name(judgement->finding.class));
	po_events_json_string(&json, "role", s->role);
	po_events_json_string(&json, "database", s->database);
	po_events_json_string(&json, "application", s->application);
	po_events_json_string(&json, "address", s->address);
	appendStringInfo(&json, ", \"state_ms\": " INT64_FORMAT ", \"limit_ms\": " INT64_FORMAT
					 ", \"transactions\": " UINT64_FORMAT ", \"leak_probability\": %.4f",
					 judgement->facts.state_us / 1000, judgement->finding.limit_us / 1000,
					 judgement->facts.transactions, judgement->leak_probability);
	if (judgement->gaps > 0)
		appendStringInfo(&json, ", \"gaps\": " UINT64_FORMAT ", \"gap_p99_ms\": %.3f",
						 judgement->gaps, judgement->gap_p99_us / 1000);
	if (holdings->locks > 0 || holdings->xmin_age > 0)
		appendStringInfo(&json, ", \"locks\": %d, \"waiting_behind\": %d, \"xmin_age\": "
						 INT64_FORMAT, holdings->locks, holdings->waiting_behind,
						 holdings->xmin_age);
	appendStringInfoChar(&json, '}');
	strlcpy(detail, (Size) json.len < size ? json.data : "{}", size);
	pfree(json.data);
}

bool
po_judge_found(int slot, const PoSeen *seen, PoClass *class, PoVerdict *verdict)
{
	PoWatch    *w = &po_watches[slot];
	uint32		finding;

	if (w->pid != seen->pid ||
		pg_atomic_read_u64(&w->state_change) != (uint64) seen->state_change)
		return false;
	finding = pg_atomic_read_u32(&w->finding);
	*class = PO_FINDING_CLASS(finding);
	*verdict = PO_FINDING_VERDICT(finding);
	return pg_atomic_read_u64(&w->state_change) == (uint64) seen->state_change;
}
