/*
 * po_alert.c
 *		What somebody should hear of before it hurts.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/json.h"

#include "model/po_alarm.h"
#include "po_alert.h"
#include "po_events.h"
#include "po_guc.h"
#include "po_registry.h"
#include "po_sample.h"

#define N_LARGEST			5

/* Who has the connections. */
typedef struct Usage
{
	int			usable;			/* by plain clients */
	int			sessions;		/* that we let in, exempt ones included */
	int			waiting;
	int			authenticating;
	int			taken;			/* all of these */
	int			largest[N_LARGEST]; /* tenants, -1 = no more */
	int			count[N_LARGEST];
} Usage;

static PoAlarm connections;

static void
look(Usage *u)
{
	PoRegistry	totals;

	po_registry_copy_totals(&totals);
	u->usable = po_shared->usable;
	u->sessions = totals.admitted + totals.exempt;
	u->waiting = totals.waiting;
	u->authenticating = po_sample_authenticating();
	u->taken = u->sessions + u->waiting + u->authenticating;
}

/* Keeps the largest in order. */
static void
rank(Usage *u, int tenant, int count)
{
	int			i = N_LARGEST;

	while (i > 0 && count > u->count[i - 1])
		i--;
	if (i == N_LARGEST)
		return;
	memmove(&u->largest[i + 1], &u->largest[i], (N_LARGEST - i - 1) * sizeof(int));
	memmove(&u->count[i + 1], &u->count[i], (N_LARGEST - i - 1) * sizeof(int));
	u->largest[i] = tenant;
	u->count[i] = count;
}

static void
find_largest(Usage *u)
{
	int		   *count = palloc0(po_shared->n_tenants * sizeof(int));

	for (int i = 0; i < N_LARGEST; i++)
	{
		u->largest[i] = -1;
		u->count[i] = 0;
	}
	for (int i = 0; i < po_shared->n_slots; i++)
	{
		PoIdentityCopy who;

		if (po_registry_copy_session(i, &who))
			count[who.tenant]++;
	}
	for (int i = 0; i < po_shared->n_tenants; i++)
		rank(u, i, count[i]);
	pfree(count);
}

/* The reason and, as JSON, the detail of the event. */
static void
describe(const Usage *u, StringInfo reason, StringInfo detail)
{
	const char *lead = "; most by ";

	appendStringInfo(reason, "%d of %d connections are taken", u->taken, u->usable);
	if (u->authenticating > 0)
		appendStringInfo(reason, ", %d of them still authenticating", u->authenticating);
	appendStringInfo(detail, "{\"taken\": %d, \"usable\": %d, \"sessions\": %d, "
					 "\"waiting\": %d, \"authenticating\": %d, \"tenants\": ", u->taken,
					 u->usable, u->sessions, u->waiting, u->authenticating);
	appendStringInfoChar(detail, '{');
	for (int i = 0; i < N_LARGEST && u->largest[i] >= 0; i++)
	{
		PoTenant	tenant;
		StringInfoData pair;

		if (!po_registry_copy_tenant(u->largest[i], &tenant))
			continue;
		appendStringInfo(reason, "%s\"%s\" (%d)", lead, tenant.name, u->count[i]);
		lead = ", ";
		initStringInfo(&pair);
		escape_json(&pair, tenant.name);
		appendStringInfo(&pair, ": %d", u->count[i]);
		/* Names are long at times; the event has room for so much. */
		if (detail->len + pair.len + 4 < PO_DETAIL_LEN)
			appendStringInfo(detail, "%s%s",
							 detail->data[detail->len - 1] == '{' ? "" : ", ", pair.data);
		pfree(pair.data);
	}
	appendStringInfoString(detail, "}}");
}

static void
tell_raised(Usage *u)
{
	StringInfoData reason;
	StringInfoData detail;
	PoTold		told = {.kind = PO_EVENT_ALERT};

	find_largest(u);
	initStringInfo(&reason);
	initStringInfo(&detail);
	describe(u, &reason, &detail);
	told.reason = reason.data;
	told.detail = detail.data;
	told.log_hint = u->authenticating > u->sessions + u->waiting ?
		"No quota holds before a connection is authenticated: see authentication_timeout, "
		"pg_hba.conf and the network in front." :
		"See pool_stats and pool_stats_session for who they are, and pool_set_quota for "
		"limits.";
	po_events_tell(&told);
}

static void
tell_cleared(const Usage *u)
{
	char		reason[PO_REASON_LEN];
	PoTold		told = {.kind = PO_EVENT_ALERT, .reason = reason};

	snprintf(reason, sizeof(reason), "connections are free again: %d of %d are taken",
			 u->taken, u->usable);
	po_events_tell(&told);
}

void
po_alert_connections(void)
{
	PoAlarmLimit limit[PO_N_SEVERITIES];
	double		clear_at = Min(po_guc_warning_threshold, po_guc_critical_threshold);
	Usage		u;

	look(&u);
	memset(limit, 0, sizeof(limit));
	limit[1].enabled = true;
	limit[1].threshold = po_guc_critical_threshold;
	limit[1].hysteresis = 1.0 - clear_at / po_guc_critical_threshold;
	switch (po_alarm_step(&connections, limit, u.usable == 0 ? 0 : u.taken * 100.0 / u.usable,
						  po_shmem_monotonic_us()))
	{
		case PO_ALARM_NOTHING:
		case PO_ALARM_ESCALATED:
			break;
		case PO_ALARM_RAISED:
			tell_raised(&u);
			break;
		case PO_ALARM_CLEARED:
			tell_cleared(&u);
			break;
	}
}
