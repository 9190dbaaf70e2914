/*
 * po_notify.c
 *		Tells listeners of alerts and events, with NOTIFY.
 *
 * What is to be told stays in its ring until the transaction that told it is committed.
 * A keeper that ends in between leaves it to the next one: a notification comes at
 * least once, and by "id" and "state" of an alert one knows it again.
 *
 * All of it is ASCII (po_ascii.h), and far below the 8000 bytes that a payload may have:
 * a name can have 255 bytes, which are 1533 at most as JSON, a detail 511.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/async.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "model/po_ascii.h"
#include "po_alert_table.h"
#include "po_alert_words.h"
#include "po_events.h"
#include "po_finding_table.h"
#include "po_finding_words.h"
#include "po_guc.h"
#include "po_inject.h"
#include "po_notify.h"
#include "po_registry.h"

#define BATCH	100				/* notifications in a transaction */

/* ---------- in the sampler ---------- */

static bool
is_possible(void)
{
	return po_guc_notify_channel[0] != '\0' && !RecoveryInProgress();
}

bool
po_notify_is_waiting(void)
{
	return is_possible() && (po_alert_table_is_pending() || po_events_are_pending());
}

bool
po_notify_is_due(void)
{
	static bool was_possible = true;
	bool		possible = is_possible();

	if (!possible)
	{
		po_alert_table_skip();
		po_events_skip();
	}
	else if (!was_possible)
		po_alert_table_tell_again();
	was_possible = possible;
	return po_notify_is_waiting();
}

uint64
po_notify_position(void)
{
	return po_alert_table_position() + po_events_position();
}

/* ---------- what is said ---------- */

static void
add_string(StringInfo to, const char *name, const char *value)
{
	char		text[PO_ASCII_ROOM(PO_DETAIL_LEN)];

	appendStringInfo(to, "%s\"%s\":", to->len > 1 ? "," : "", name);
	if (value == NULL)
		appendStringInfoString(to, "null");
	else
	{
		(void) po_ascii_string(text, sizeof(text), value);
		appendStringInfoString(to, text);
	}
}

static void
add_number(StringInfo to, const char *name, double value)
{
	/* JSON has no infinity. */
	appendStringInfo(to, ",\"%s\":%.15g", name, isfinite(value) ? value : 0);
}

/* In UTC, whatever TimeZone is in this database. */
static void
add_time(StringInfo to, const char *name, TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;
	char		text[64];

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		return;
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year, tm.tm_mon,
			 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
	add_string(to, name, text);
}

/* Which statement it is, what to do, and how to be left in peace: of a finding that is there. */
static void
add_finding(StringInfo to, const PoAlertRecord *a, const char *tenant)
{
	PoFindingKind kind = PO_FINDING_CHURN;
	PoFindingRecord f;
	char	   *acknowledge;

	/* As text: not all readers of JSON have 64 bits. */
	if (a->queryid != 0)
		add_string(to, "queryid", psprintf(INT64_FORMAT, (int64) a->queryid));
	if (tenant == NULL || !po_finding_parse(po_alert_name(a->kind), &kind) ||
		!po_finding_table_find(a->tenant, kind, a->queryid, &f) || f.subject != a->subject)
		return;
	add_string(to, "advice", po_finding_words_bare_advice(&f, tenant));
	acknowledge = po_finding_words_acknowledge(&f, tenant);
	/* A part of it would be of no use. */
	if (strlen(acknowledge) < PO_DETAIL_LEN)
		add_string(to, "acknowledge", acknowledge);
}

static void
put_alert(StringInfo to, const PoAlertEntry *entry)
{
	const PoAlertRecord *a = &entry->record;
	PoTenant	tenant;
	const char *name = NULL;

	if (a->tenant >= 0)
		name = po_registry_copy_tenant(a->tenant, &tenant) && tenant.hash == a->subject ?
			tenant.name : "";
	resetStringInfo(to);
	appendStringInfoString(to, "{\"kind\":\"alert\"");
	appendStringInfo(to, ",\"id\":" UINT64_FORMAT, a->id);
	add_string(to, "state", po_alert_words_state(entry->change));
	add_string(to, "alert", po_alert_name(a->kind));
	add_string(to, "severity", po_severity_name(a->severity));
	add_string(to, "tenant", name);
	add_number(to, "value", a->value);
	add_number(to, "threshold", a->threshold);
	add_string(to, "message", a->message);
	add_time(to, "since", a->since);
	add_time(to, "at", entry->at);
	if (entry->change == PO_ALARM_CLEARED)
		appendStringInfo(to, ",\"duration_ms\":" INT64_FORMAT,
						 Max(entry->at - a->since, 0) / 1000);
	else if (a->kind >= PO_FIRST_FINDING_ALERT)
		add_finding(to, a, name);
	appendStringInfoChar(to, '}');
}

static void
put_event(StringInfo to, const PoEvent *event)
{
	uint64		suppressed =
		pg_atomic_exchange_u64(&po_shared->notify_rate[event->kind].suppressed, 0);
	char		detail[PO_ASCII_ROOM(PO_DETAIL_LEN)];

	resetStringInfo(to);
	appendStringInfoChar(to, '{');
	add_string(to, "kind", po_event_kind_name(event->kind));
	add_string(to, "tenant", event->tenant[0] == '\0' ? NULL : event->tenant);
	if (event->pid != 0)
		appendStringInfo(to, ",\"pid\":%d", event->pid);
	add_string(to, "reason", event->reason);
	add_time(to, "at", event->at);
	(void) po_ascii_json(detail, sizeof(detail),
						 event->detail[0] == '\0' ? "{}" : event->detail);
	appendStringInfo(to, ",\"detail\":%s", detail);
	if (suppressed > 0)
		appendStringInfo(to, ",\"suppressed\":" UINT64_FORMAT, suppressed);
	appendStringInfoChar(to, '}');
}

/* ---------- in the keeper ---------- */

/* How far a batch has come: in the alerts, and in each ring of events. */
typedef struct Progress
{
	uint64		alerts;
	uint64		events[PO_N_RINGS];
	int			n;
} Progress;

static void
notify(StringInfo payload, Progress *p)
{
	Async_Notify(po_guc_notify_channel, payload->data);
	p->n++;
}

static void
notify_batch(Progress *p, StringInfo payload)
{
	PoAlertEntry entry;
	PoEvent		event;

	p->n = 0;
	for (; p->n < BATCH && po_alert_table_next(&p->alerts, &entry); p->alerts++)
	{
		put_alert(payload, &entry);
		notify(payload, p);
	}
	for (int i = 0; i < PO_N_RINGS; i++)
	{
		for (; p->n < BATCH && po_events_next(i, &p->events[i], &event); p->events[i]++)
		{
			put_event(payload, &event);
			notify(payload, p);
		}
	}
}

/* What is committed has been told.  What was lost before is told with the next batch. */
static void
note_progress(const Progress *p)
{
	uint64		lost = po_alert_table_delivered(p->alerts);
	uint64		lost_events = 0;

	for (int i = 0; i < PO_N_RINGS; i++)
		lost_events += po_events_notified(i, p->events[i]);
	if (lost + lost_events > 0)
		ereport(LOG,
				(errmsg("pool_optimizer could not tell listeners in time: " UINT64_FORMAT
						" changes of alerts and up to " UINT64_FORMAT " events are lost to them",
						lost, lost_events)));
}

void
po_notify_deliver(void)
{
	Progress	p;
	StringInfoData payload;
	MemoryContext context = CurrentMemoryContext;

	memset(&p, 0, sizeof(p));
	if (!is_possible())
		return;
	initStringInfo(&payload);
	do
	{
		CHECK_FOR_INTERRUPTS();
		po_inject("notify_start");
		StartTransactionCommand();
		notify_batch(&p, &payload);
		CommitTransactionCommand();
		MemoryContextSwitchTo(context);
		po_inject("notify_end");
		note_progress(&p);
	} while (p.n > 0);
	pfree(payload.data);
}
