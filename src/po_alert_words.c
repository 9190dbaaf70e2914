/*
 * po_alert_words.c
 *		What is said of an alert.
 */
#include "postgres.h"

#include "utils/json.h"

#include "po_alert_words.h"
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

void
po_alert_words_message(PoAlertKind kind, const PoAlertFacts *facts, StringInfo message)
{
	const PoTenantGlance *t = facts->tenant;

	switch (kind)
	{
		case PO_ALERT_CLUSTER_UTILIZATION:
			usage_message(&facts->usage, message);
			break;
		case PO_ALERT_TENANT_UTILIZATION:
			appendStringInfo(message, "%d of %d connections are in use (%.0f %%)", t->used,
							 t->max_connections, facts->value * 100);
			break;
		case PO_ALERT_REFUSALS:
			appendStringInfo(message, "%.0f %s refused in the last minute", facts->refusals,
							 facts->refusals == 1 ? "login was" : "logins were");
			break;
		case PO_ALERT_WAITS:
			appendStringInfo(message, "%.0f %s waited %.0f ms on average in the last minute, "
							 "the target is %.0f ms", facts->waits,
							 facts->waits == 1 ? "login" : "logins", facts->wait_ms,
							 t->target_wait_us / 1000.0);
			break;
	}
}

void
po_alert_words_cleared(PoAlertKind kind, const PoAlertFacts *facts, int64 duration_us,
					   StringInfo message)
{
	if (kind == PO_ALERT_CLUSTER_UTILIZATION)
		appendStringInfo(message, "connections are free again: %d of %d are taken",
						 facts->usage.taken, facts->usage.usable);
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

void
po_alert_words_detail(PoAlertKind kind, const PoAlertFacts *facts, StringInfo detail,
					  int most)
{
	const PoTenantGlance *t = facts->tenant;

	switch (kind)
	{
		case PO_ALERT_CLUSTER_UTILIZATION:
			usage_detail(&facts->usage, detail, most);
			break;
		case PO_ALERT_TENANT_UTILIZATION:
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
	}
}

const char *
po_alert_words_hint(PoAlertKind kind, const PoAlertFacts *facts)
{
	const PoUsage *u = &facts->usage;

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
