/*
 * po_alert_words.c
 *		What is said of an alert.
 */
#include "postgres.h"

#include "utils/json.h"

#include "po_alert_words.h"
#include "po_finding_words.h"
#include "po_registry.h"

static void
usage_message(const PoUsage *u, StringInfo message)
{
	const char *lead = "; most by ";

	appendStringInfo(message, "%d of %d connections are taken", u->taken, u->usable);
	if (u->authenticating > 0)
		appendStringInfo(message, ", %d of them still authenticating", u->authenticating);
	for (int i = 0; i < PO_N_LARGEST && u->largest[i] >= 0; i++)
	{
		PoTenant	tenant;

		if (!po_registry_copy_tenant(u->largest[i], &tenant))
			continue;
		appendStringInfo(message, "%s\"%s\" (%d)", lead, tenant.name, u->count[i]);
		lead = ", ";
	}
}

static void
append_minutes(StringInfo to, double minutes)
{
	if (minutes < 1)
		appendStringInfo(to, "%.0f seconds", minutes * 60);
	else if (minutes < 120)
		appendStringInfo(to, "%.0f minutes", minutes);
	else
		appendStringInfo(to, "%.1f hours", minutes / 60);
}

static void
idler_message(const PoIdler *i, StringInfo message)
{
	appendStringInfo(message, "session %d has been idle in its transaction for %.0f s", i->pid,
					 i->seconds);
	/* Which ones is in the detail: they may be another tenant's, and its own reads this. */
	if (i->waiting_behind > 0)
		appendStringInfo(message, "; %d %s behind its locks", i->waiting_behind,
						 i->waiting_behind == 1 ? "session waits" : "sessions wait");
	if (i->horizon_age > 0)
		appendStringInfo(message, "; vacuum is held back by " INT64_FORMAT " transactions",
						 i->horizon_age);
}

static void
wait_message(const PoAlertFacts *facts, StringInfo message)
{
	if (facts->pool_wait_ms >= facts->wait_ms)
		appendStringInfo(message, "clients of PgBouncer wait %.0f ms for a connection",
						 facts->wait_ms);
	else
		appendStringInfo(message, "%.0f %s waited %.0f ms on average in the last minute",
						 facts->waits, facts->waits == 1 ? "login" : "logins",
						 facts->wait_ms);
	appendStringInfo(message, ", the target is %.0f ms",
					 facts->tenant->target_wait_us / 1000.0);
}

static const char *
pooler_says(PoPoolerState state)
{
	switch (state)
	{
		case PO_POOLER_REFUSED:
			return "refuses us";
		case PO_POOLER_UNREADABLE:
			return "answers what is not understood";
		default:
			return "cannot be reached";
	}
}

static void
cluster_message(PoAlertKind kind, const PoAlertFacts *facts, StringInfo message)
{
	switch (kind)
	{
		case PO_ALERT_CLUSTER_UTILIZATION:
			usage_message(&facts->usage, message);
			break;
		case PO_ALERT_CLUSTER_EXHAUSTION:
			appendStringInfoString(message, "full in ");
			append_minutes(message, facts->value);
			appendStringInfo(message, " at this rate: %d of %d connections are taken",
							 facts->usage.taken, facts->usage.usable);
			break;
		case PO_ALERT_SAMPLER_LATE:
			appendStringInfo(message, "the sampler is late: %.0f samples (%.0f %%) of the last "
							 "minute were not taken", facts->missed, facts->value * 100);
			break;
		case PO_ALERT_POOLER_UNREACHABLE:
			appendStringInfo(message, "PgBouncer %s %s", facts->pooler->name,
							 pooler_says(facts->pooler->state));
			break;
		default:
			break;
	}
}

void
po_alert_words_message(PoAlertKind kind, const PoAlertFacts *facts, StringInfo message)
{
	const PoTenantGlance *t = facts->tenant;

	switch (kind)
	{
		case PO_ALERT_TENANT_UTILIZATION:
			appendStringInfo(message, "%d of %d connections are in use (%.0f %%)", t->used,
							 t->max_connections, facts->value * 100);
			break;
		case PO_ALERT_TENANT_EXHAUSTION:
			appendStringInfoString(message, "full in ");
			append_minutes(message, facts->value);
			appendStringInfo(message, " at this rate: %d of %d connections are in use",
							 t->used, t->max_connections);
			break;
		case PO_ALERT_REFUSALS:
			appendStringInfo(message, "%.0f %s refused in the last minute", facts->refusals,
							 facts->refusals == 1 ? "login was" : "logins were");
			break;
		case PO_ALERT_WAITS:
			wait_message(facts, message);
			break;
		case PO_ALERT_LEAK_GROWTH:
			appendStringInfo(message, "growth: one application opens sessions that are not "
							 "reused, %d by now (probability of a leak %.2f)",
							 facts->group_count, facts->probability);
			break;
		case PO_ALERT_IDLE_IN_TRANSACTION:
			idler_message(facts->idler, message);
			break;
		case PO_ALERT_TERMINATIONS_NOT_HELPING:
			appendStringInfo(message, "ending sessions has not lowered their number (%d now): "
							 "leaks of this tenant are left alone for %d s",
							 t->used + t->exempt, (int) (PO_BREAKER_OPEN_US / PO_US_PER_S));
			break;
		case PO_ALERT_ANOMALY:
			appendStringInfo(message, "%.1f sessions were busy on average in the last %.0f s, "
							 "usual are %.1f%s: %.1f deviations more", facts->busy,
							 facts->piece_s, facts->usual.busy, facts->usual.weeks > 0 ?
							 " at this time of the week" : "", facts->value);
			break;
		default:
			if (kind >= PO_FIRST_FINDING_ALERT)
				po_finding_words_message(facts->finding, message);
			else
				cluster_message(kind, facts, message);
			break;
	}
}

/* That it is better is said where it is: it may be over because its rule has changed. */
void
po_alert_words_cleared(PoAlertKind kind, const PoAlertFacts *facts, double threshold,
					   int64 duration_us, StringInfo message)
{
	if (kind == PO_ALERT_CLUSTER_UTILIZATION && facts->value < threshold)
		appendStringInfo(message, "connections are free again: %d of %d are taken",
						 facts->usage.taken, facts->usage.usable);
	else if (kind == PO_ALERT_TERMINATIONS_NOT_HELPING && facts->value < 1)
		appendStringInfoString(message, "leaked sessions are ended again");
	else if (kind == PO_ALERT_POOLER_UNREACHABLE && facts->pooler != NULL &&
			 facts->pooler->state == PO_POOLER_OK)
		appendStringInfo(message, "PgBouncer %s answers again", facts->pooler->name);
	else
		appendStringInfo(message, "%s is over after %.0f s", po_alert_name(kind),
						 duration_us / 1e6);
}

/* Names are long at times: what does not fit is left out. */
static void
usage_detail(const PoUsage *u, StringInfo detail, int most)
{
	appendStringInfo(detail, ", \"taken\": %d, \"usable\": %d, \"sessions\": %d, "
					 "\"waiting\": %d, \"authenticating\": %d, \"tenants\": {", u->taken,
					 u->usable, u->sessions, u->waiting, u->authenticating);
	for (int i = 0; i < PO_N_LARGEST && u->largest[i] >= 0; i++)
	{
		PoTenant	tenant;
		StringInfoData pair;

		if (!po_registry_copy_tenant(u->largest[i], &tenant))
			continue;
		initStringInfo(&pair);
		escape_json(&pair, tenant.name);
		appendStringInfo(&pair, ": %d", u->count[i]);
		if (detail->len + pair.len + 4 < most)
			appendStringInfo(detail, "%s%s",
							 detail->data[detail->len - 1] == '{' ? "" : ", ", pair.data);
		pfree(pair.data);
	}
	appendStringInfoChar(detail, '}');
}

static void
idler_detail(const PoIdler *i, StringInfo detail)
{
	appendStringInfo(detail, ", \"pid\": %d, \"waiting_behind\": %d, \"horizon_age\": "
					 INT64_FORMAT ", \"blocked\": [", i->pid, i->waiting_behind,
					 i->horizon_age);
	for (int k = 0; k < i->n_blocked; k++)
		appendStringInfo(detail, "%s%d", k == 0 ? "" : ", ", i->blocked[k]);
	appendStringInfoChar(detail, ']');
}

/* A name, if there is room for it. */
static void
name_detail(StringInfo detail, const char *name, const char *value, int most)
{
	StringInfoData pair;

	initStringInfo(&pair);
	appendStringInfo(&pair, ", \"%s\": ", name);
	escape_json(&pair, value);
	if (detail->len + pair.len < most)
		appendStringInfoString(detail, pair.data);
	pfree(pair.data);
}

static void
cluster_detail(PoAlertKind kind, const PoAlertFacts *facts, StringInfo detail, int most)
{
	const PoPoolerSeen *p = facts->pooler;

	switch (kind)
	{
		case PO_ALERT_CLUSTER_UTILIZATION:
			usage_detail(&facts->usage, detail, most);
			break;
		case PO_ALERT_CLUSTER_EXHAUSTION:
			appendStringInfo(detail, ", \"taken\": %d, \"usable\": %d", facts->usage.taken,
							 facts->usage.usable);
			break;
		case PO_ALERT_POOLER_UNREACHABLE:
			name_detail(detail, "pooler", p->name, most);
			name_detail(detail, "pooler_state", po_pooler_table_state_name(p->state), most);
			if (p->error[0] != '\0')
				name_detail(detail, "error", p->error, most);
			break;
		default:
			break;
	}
}

void
po_alert_words_detail(PoAlertKind kind, const PoAlertFacts *facts, StringInfo detail,
					  int most)
{
	const PoTenantGlance *t = facts->tenant;

	switch (kind)
	{
		case PO_ALERT_TENANT_UTILIZATION:
		case PO_ALERT_TENANT_EXHAUSTION:
			appendStringInfo(detail, ", \"used\": %d, \"max_connections\": %d", t->used,
							 t->max_connections);
			break;
		case PO_ALERT_REFUSALS:
			appendStringInfo(detail, ", \"used\": %d, \"max_connections\": %d, "
							 "\"refused\": " UINT64_FORMAT, t->used, t->max_connections,
							 t->rejected);
			break;
		case PO_ALERT_WAITS:
			appendStringInfo(detail, ", \"waits\": %.0f, \"target_wait_ms\": %.3f",
							 facts->waits, t->target_wait_us / 1000.0);
			break;
		case PO_ALERT_LEAK_GROWTH:
			appendStringInfo(detail, ", \"sessions\": %d", facts->group_count);
			name_detail(detail, "application", facts->application, most);
			name_detail(detail, "address", facts->address, most);
			break;
		case PO_ALERT_IDLE_IN_TRANSACTION:
			idler_detail(facts->idler, detail);
			break;
		case PO_ALERT_ANOMALY:
			appendStringInfo(detail, ", \"busy\": %.3f, \"usual\": %.3f", facts->busy,
							 facts->usual.busy);
			break;
		default:
			cluster_detail(kind, facts, detail, most);
			break;
	}
}

const char *
po_alert_words_hint(PoAlertKind kind, const PoAlertFacts *facts)
{
	const PoUsage *u = &facts->usage;

	if (kind >= PO_FIRST_FINDING_ALERT)
		return psprintf("%s If it is to stay: %s.",
						po_finding_words_bare_advice(facts->finding, facts->tenant->name),
						po_finding_words_acknowledge(facts->finding, facts->tenant->name));
	if (kind == PO_ALERT_IDLE_IN_TRANSACTION)
		return "pool_stats_session and pg_stat_activity tell who it is; pool_set_timeouts ends "
			"such sessions by itself.";
	if (kind == PO_ALERT_CLUSTER_UTILIZATION)
		return u->authenticating > u->sessions + u->waiting ?
			"No quota holds before a connection is authenticated: see "
			"authentication_timeout, pg_hba.conf and the network in front." :
			"See pool_stats and pool_stats_session for who they are, and pool_set_quota for "
			"limits.";
	return NULL;
}

const char *
po_alert_words_state(PoAlarmChange change)
{
	switch (change)
	{
		case PO_ALARM_RAISED:
			return "raised";
		case PO_ALARM_ESCALATED:
			return "escalated";
		case PO_ALARM_CLEARED:
			return "cleared";
		case PO_ALARM_NOTHING:
			break;
	}
	return "unknown";
}
