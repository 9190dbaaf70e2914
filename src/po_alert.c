/*
 * po_alert.c
 *		Raises and clears alerts.
 *
 * What is watched of each tenant is in memory of the sampler's own; what is raised
 * is in shared memory (po_alert_table.c) and so outlives the sampler.  A round looks
 * at a bounded number of tenants: those that the registry says somebody has come to or
 * gone from, and those on the list, which is looked at once a second.  On the list
 * is who was touched in the last second, and whoever's value meets a threshold.  What other
 * steps of the round see is noted as they see it.
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "model/po_forecast.h"
#include "model/po_recent.h"
#include "po_alert.h"
#include "po_alert_table.h"
#include "po_alert_words.h"
#include "po_events.h"
#include "po_finding_table.h"
#include "po_guc.h"
#include "po_pooler_table.h"
#include "po_sample.h"
#include "po_stats.h"
#include "po_worker.h"

#define SECOND_US			PO_US_PER_S
#define TENANTS_PER_ROUND	128		/* of each kind of look */
#define RULES_WITHIN_US		(30 * PO_US_PER_S)	/* then without any that can be read */
#define MOST_POOL_WAITS		256
#define FULL_TOLD_EVERY_US	(60 * PO_US_PER_S)
#define IDLERS_PER_SECOND	32
#define IDLER_LEAST_US		PO_US_PER_S
#define HORIZON_LEAST		2		/* its own transaction holds back itself */

/* In samples, so that all of it is faster where more are taken. */
#define FORECAST_SAMPLES	6000	/* time constant: 10 min with 100 ms */
#define FORECAST_LEAST		1200
#define FORECAST_STAYS_US	(600 * PO_US_PER_S)
#define PIECE_SAMPLES		100		/* a piece of time for what is usual: 10 s */

/* What was not found again for so long is over: two minutes, and three rounds in any case. */
#define FINDING_SAMPLES		1200
#define FINDING_LEAST_US	(15 * PO_US_PER_S)

/* Who has just begun to look finds nothing before that. */
#define FINDING_FIRST_US	(30 * PO_US_PER_S)

/* One alert of one subject. */
typedef struct Watched
{
	PoAlarm		alarm;
	int			place;			/* in the table + 1; 0 = not raised */
	double		shown;			/* value and threshold as they are in the table, */
	double		shown_threshold;
	uint32		shown_message;	/* and a hash of the message */
	double		worst;
} Watched;

/* A group of its sessions that grows; of the round of groups with that number. */
typedef struct Growth
{
	uint64		round;
	double		probability;
	int			count;
	int			slot;
} Growth;

typedef struct TenantWatch
{
	uint32		hash;			/* of its name: places of tenants are used again; 0 = nobody */
	Watched		alert[PO_N_TENANT_ALERTS];
	bool		listed;
	uint64		rejected;		/* as of the last look */
	uint64		n_waits;
	uint64		waited_us;
	PoRecent	refusals;
	PoRecent	waits;
	PoRecent	waits_us;
	double		pool_wait_ms;	/* behind a pooler, as of that second */
	uint64		pool_wait_second;
	PoForecast	forecast;
	Growth		growth;
	PoIdler		idler;			/* the worst one, as of that second; idle since then */
	uint64		idler_second;
	int64		idler_since;
	int64		piece;			/* of watched time, see PIECE_SAMPLES; 0 = none yet, */
	int64		piece_length;	/* which it is by pieces of so many us */
	double		piece_busy_us;
	double		busy;			/* in the last piece that is over */
	PoUsual		usual;
	int			finding[PO_N_FINDING_ALERTS];	/* place of the dearest + 1, 0 = none */
} TenantWatch;

/* A pooler is known by the hash of its name. */
typedef struct PoolerWatch
{
	uint32		subject;		/* 0 = free */
	Watched		watched;
	int64		bad_since;		/* monotonic us; 0 = it is not */
	bool		seen;
} PoolerWatch;

/* A session that is idle in its transaction. */
typedef struct IdlerSeen
{
	int			slot;
	int			tenant;
	int64		state_us;
} IdlerSeen;

static TenantWatch *watches;	/* per tenant */
static Watched cluster[PO_FIRST_TENANT_ALERT];	/* without PO_ALERT_POOLER_UNREACHABLE */
static PoolerWatch poolers[PO_POOLER_MOST];
static PoForecast cluster_forecast;
static PoRecent samples_taken;
static PoRecent samples_missed;
static PoTenantGlance *glances;
static int *list;				/* tenants to look at in this second */
static int *next_list;
static int	n_list = 0;
static int	n_next_list = 0;
static int	list_at = 0;		/* how far it has been looked at */
static int	sweep_at = 0;		/* the next of all tenants; -1 = they have been looked at */
static IdlerSeen *idlers;		/* of the last pass */
static int	n_idlers = 0;
static int	idler_at = 0;		/* the next one to look at, when there are many */
static uint64 growth_round = 1;
static uint64 second = 1;		/* counts them */
static int64 second_at = 0;		/* when the next one begins */
static int64 attached_at = 0;
static int64 now = 0;			/* monotonic us, of this round */
static int64 full_told_at = 0;	/* when it was last told that the table is full */

static PoAlertRule *rule_copy;
static PoAlertRules rules;
static uint32 seen_rules = 0;	/* generations that rules and policies are of */
static uint32 seen_policies = 0;
static PoAcknowledged *acknowledged;
static int	n_acknowledged = 0;
static uint32 seen_acknowledged = 0;

/* ---------- telling ---------- */

static double
or_zero(double value)
{
	return isfinite(value) ? value : 0;
}

static void
begin_detail(StringInfo detail, PoAlarmChange change, const PoAlertRecord *record)
{
	initStringInfo(detail);
	appendStringInfoChar(detail, '{');
	po_events_json_string(detail, "alert", po_alert_name(record->kind));
	po_events_json_string(detail, "state", po_alert_words_state(change));
	po_events_json_string(detail, "severity", po_severity_name(record->severity));
	appendStringInfo(detail, ", \"id\": " UINT64_FORMAT ", \"value\": %.6g, "
					 "\"threshold\": %.6g", record->id, or_zero(record->value),
					 or_zero(record->threshold));
}

static void
tell(PoAlarmChange change, const PoAlertRecord *record, const PoAlertFacts *facts)
{
	PoTold		told = {.kind = PO_EVENT_ALERT, .heard = true};
	StringInfoData reason;
	StringInfoData detail;
	char		log_detail[160];

	initStringInfo(&reason);
	begin_detail(&detail, change, record);
	snprintf(log_detail, sizeof(log_detail), "Alert %s, %s, %s: value %.6g, threshold %.6g%s.",
			 po_alert_name(record->kind), po_severity_name(record->severity),
			 po_alert_words_state(change), record->value, record->threshold,
			 record->queryid == 0 ? "" : psprintf(", queryid " INT64_FORMAT,
												  (int64) record->queryid));
	if (change == PO_ALARM_CLEARED)
	{
		int64		duration = Max(GetCurrentTimestamp() - record->since, 0);

		if (record->tenant >= 0 && facts->tenant == NULL)
			appendStringInfoString(&reason, "of a tenant that is not known any more: ");
		po_alert_words_cleared(record->kind, facts, record->threshold, duration, &reason);
		appendStringInfo(&detail, ", \"duration_ms\": " INT64_FORMAT, duration / 1000);
	}
	else
	{
		po_alert_words_message(record->kind, facts, &reason);
		po_alert_words_detail(record->kind, facts, &detail, PO_DETAIL_LEN - 2);
		told.log_hint = po_alert_words_hint(record->kind, facts);
	}
	appendStringInfoChar(&detail, '}');
	told.tenant = facts->tenant == NULL ? "" : facts->tenant->name;
	told.reason = reason.data;
	told.detail = detail.data;
	told.log_detail = log_detail;
	po_events_tell(&told);
	pfree(reason.data);
	pfree(detail.data);
}

/* Never 0. */
static uint32
hash_pooler(const char *name)
{
	return Max(hash_bytes((const unsigned char *) name, (int) strlen(name)), 1);
}

static void
fill_record(const Watched *w, PoAlertKind kind, const PoAlertFacts *facts,
			double threshold, PoAlertRecord *record)
{
	StringInfoData message;

	memset(record, 0, sizeof(*record));
	record->kind = kind;
	record->severity = w->alarm.raised;
	record->tenant = facts->tenant == NULL ? -1 : facts->tenant->tenant;
	record->subject = facts->tenant != NULL ? facts->tenant->hash :
		facts->pooler != NULL ? hash_pooler(facts->pooler->name) : 0;
	record->value = facts->value;
	record->worst = w->worst;
	record->threshold = threshold;
	record->queryid = facts->finding == NULL ? 0 : facts->finding->queryid;
	initStringInfo(&message);
	po_alert_words_message(kind, facts, &message);
	po_name_copy(record->message, message.data, sizeof(record->message));
	pfree(message.data);
}

/* ---------- one alert ---------- */

static void
tell_full(void)
{
	if (full_told_at != 0 && now - full_told_at < FULL_TOLD_EVERY_US)
		return;
	full_told_at = now;
	ereport(LOG,
			(errmsg("pool_optimizer has no room for more than %d alerts at a time",
					po_shared->n_alerts)));
}

static void
raise_alert(Watched *w, PoAlertRecord *record, const PoAlertFacts *facts)
{
	int			place = po_alert_table_raise(record);

	if (place < 0)
	{
		/* It is raised as soon as there is a place. */
		w->alarm.raised = PO_SEVERITY_NONE;
		tell_full();
		return;
	}
	w->place = place + 1;
	tell(PO_ALARM_RAISED, record, facts);
}

static void
clear_alert(Watched *w, const PoAlertFacts *facts)
{
	PoAlertRecord record;
	int			place = w->place - 1;

	w->place = 0;
	/* An error came between the decision and the deed. */
	if (place < 0)
		return;
	po_alert_table_clear(place, &record);
	tell(PO_ALARM_CLEARED, &record, facts);
}

/* Looks at one alert of one subject by what was seen of it. */
static void
consider(Watched *w, PoAlertKind kind, const PoAlertFacts *facts)
{
	PoAlertContext context = {po_guc_warning_threshold / 100.0,
	po_guc_critical_threshold / 100.0, 0};
	PoAlarmLimit limit[PO_N_SEVERITIES];
	double		value[PO_N_SEVERITIES] = {facts->value, facts->value};
	PoAlarmChange change;
	PoAlertRecord record;
	double		threshold;
	uint32		message;

	if (facts->tenant != NULL)
		context.target_wait_ms = facts->tenant->target_wait_us / 1000.0;
	po_alert_rule_resolve(&rules, kind, facts->tenant == NULL ? "*" : facts->tenant->name,
						  &context, limit);
	/* An alert is not graver than what it is about. */
	if (facts->finding != NULL && facts->finding->severity < PO_FOUND_CRITICAL)
		value[PO_SEVERITY_INDEX(PO_SEVERITY_CRITICAL)] = NAN;
	change = po_alarm_step_each(&w->alarm, limit, value, now);
	if (change == PO_ALARM_CLEARED)
	{
		clear_alert(w, facts);
		return;
	}
	if (w->alarm.raised == PO_SEVERITY_NONE || isnan(facts->value))
		return;
	threshold = limit[PO_SEVERITY_INDEX(w->alarm.raised)].threshold;
	if (w->place == 0)
		change = PO_ALARM_RAISED;
	if (change == PO_ALARM_RAISED || (limit[0].below ? facts->value < w->worst :
									  facts->value > w->worst))
		w->worst = facts->value;
	fill_record(w, kind, facts, threshold, &record);
	/* It may say more than the value does: how many sessions have leaked by now, say. */
	message = hash_bytes((const unsigned char *) record.message, (int) strlen(record.message));
	if (change == PO_ALARM_NOTHING && w->shown == facts->value &&
		w->shown_threshold == threshold && w->shown_message == message)
		return;
	w->shown = facts->value;
	w->shown_threshold = threshold;
	w->shown_message = message;
	if (change == PO_ALARM_RAISED)
		raise_alert(w, &record, facts);
	else
		po_alert_table_update(w->place - 1, &record, change == PO_ALARM_ESCALATED);
	if (change == PO_ALARM_ESCALATED)
		tell(change, &record, facts);
}

/* ---------- a tenant ---------- */

/* How much a counter has grown; one that was set back starts at 0. */
static uint64
growth(uint64 *seen, uint64 counter)
{
	uint64		before = counter < *seen ? 0 : *seen;

	*seen = counter;
	return counter - before;
}

static double
utilization_of(const PoTenantGlance *g)
{
	if (g->max_connections < 0 || g->mode == PO_MODE_OFF)
		return NAN;
	if (g->max_connections == 0)
		return g->used == 0 ? NAN : 1.0;
	return (double) g->used / g->max_connections;
}

static void
count_events(TenantWatch *w, const PoTenantGlance *g, PoTenantCounts *c)
{
	uint64		refused = growth(&w->rejected, g->rejected);
	uint64		waited;

	if (refused > 0)
		po_recent_add(&w->refusals, now, (double) refused);
	po_stats_copy_counts(g->tenant, c);
	waited = growth(&w->n_waits, c->n_waits);
	if (waited > 0)
	{
		po_recent_add(&w->waits, now, (double) waited);
		po_recent_add(&w->waits_us, now, (double) growth(&w->waited_us, c->waited_us));
	}
	w->waited_us = c->waited_us;
}

/* Long enough watched to say that there is no forecast?  Before that one that was raised
 * before a restart stays. */
static bool
is_known(const PoForecast *f)
{
	int64		least_us = FORECAST_LEAST * po_guc_sample_interval * PO_US_PER_MS;

	return now - f->since_us >= Min(least_us, FORECAST_STAYS_US);
}

/* In minutes, as of a level that is noted now. */
static double
forecast(PoForecast *f, double level, double limit)
{
	int64		sample_us = po_guc_sample_interval * PO_US_PER_MS;

	po_forecast_note(f, now, level, FORECAST_SAMPLES * sample_us);
	return po_forecast_full_in_s(f, now, FORECAST_SAMPLES * sample_us,
								 FORECAST_LEAST * sample_us, limit) / 60;
}

static void
look_at_load(TenantWatch *w, const PoTenantGlance *g, PoAlertFacts *facts)
{
	Watched    *alert = w->alert - PO_FIRST_TENANT_ALERT;
	double		full_in;

	facts->value = utilization_of(g);
	consider(&alert[PO_ALERT_TENANT_UTILIZATION], PO_ALERT_TENANT_UTILIZATION, facts);
	full_in = forecast(&w->forecast, g->used, g->max_connections);
	facts->value = isnan(utilization_of(g)) ? NAN : full_in;
	if (is_known(&w->forecast))
		consider(&alert[PO_ALERT_TENANT_EXHAUSTION], PO_ALERT_TENANT_EXHAUSTION, facts);
	facts->value = facts->refusals = po_recent_sum(&w->refusals, now);
	consider(&alert[PO_ALERT_REFUSALS], PO_ALERT_REFUSALS, facts);
	facts->waits = po_recent_sum(&w->waits, now);
	facts->value = NAN;
	if (facts->waits > 0)
		facts->value = po_recent_sum(&w->waits_us, now) / facts->waits / 1000;
	facts->pool_wait_ms = second - w->pool_wait_second <= 1 ? w->pool_wait_ms : 0;
	if (facts->pool_wait_ms > 0)
		facts->value = fmax(facts->value, facts->pool_wait_ms);
	facts->wait_ms = facts->value;
	consider(&alert[PO_ALERT_WAITS], PO_ALERT_WAITS, facts);
}

/*
 * Ends the piece of time that is over; those without a note since then were quiet.  It is time
 * that was watched: of what a late sampler missed nothing is known, nor that it was quiet.
 */
static void
end_piece(TenantWatch *w, int tenant)
{
	int64		length = PIECE_SAMPLES * po_guc_sample_interval * PO_US_PER_MS;
	int64		piece = (int64) pg_atomic_read_u64(&po_shared->watched) / length;

	if (piece == w->piece)
		return;
	/* After a change of sample_interval pieces are others, and between two numbers is no time. */
	if (w->piece_length == length && piece > w->piece)
	{
		double		busy = w->piece_busy_us / (double) length;
		int64		quiet = piece - w->piece - 1;

		po_stats_learn_busy(tenant, busy, quiet, &w->usual);
		w->busy = quiet > 0 ? 0 : busy;
	}
	w->piece = piece;
	w->piece_length = length;
	w->piece_busy_us = 0;
}

static void
look_at_growth(TenantWatch *w, const PoTenantGlance *g, PoAlertFacts *facts)
{
	Watched    *alert = &w->alert[PO_ALERT_LEAK_GROWTH - PO_FIRST_TENANT_ALERT];
	PoIdentityCopy who;

	facts->value = NAN;
	facts->application = facts->address = "";
	if (w->growth.round == growth_round)
	{
		facts->value = facts->probability = w->growth.probability;
		facts->group_count = w->growth.count;
		/* The session that told of the group may have gone, its slot be another tenant's. */
		if (po_registry_copy_session(w->growth.slot, &who) && who.tenant == g->tenant)
		{
			facts->application = who.application;
			facts->address = who.address;
		}
	}
	consider(alert, PO_ALERT_LEAK_GROWTH, facts);
}

/* How many seconds it takes to look at all of them: many are looked at in turn. */
static uint64
idler_turns(void)
{
	return 2 + n_idlers / IDLERS_PER_SECOND;
}

static void
look_at_habits(TenantWatch *w, const PoTenantGlance *g, bool breaker_open, PoAlertFacts *facts)
{
	Watched    *alert = w->alert - PO_FIRST_TENANT_ALERT;

	look_at_growth(w, g, facts);

	facts->idler = &w->idler;
	facts->value = w->idler_second != 0 && second - w->idler_second <= idler_turns() ?
		w->idler.seconds : NAN;
	consider(&alert[PO_ALERT_IDLE_IN_TRANSACTION], PO_ALERT_IDLE_IN_TRANSACTION, facts);

	facts->value = breaker_open ? 1 : 0;
	consider(&alert[PO_ALERT_TERMINATIONS_NOT_HELPING], PO_ALERT_TERMINATIONS_NOT_HELPING,
			 facts);

	end_piece(w, g->tenant);
	facts->busy = w->busy;
	facts->usual = w->usual;
	facts->piece_s = PIECE_SAMPLES * po_guc_sample_interval / 1000.0;
	facts->value = w->usual.deviations;
	consider(&alert[PO_ALERT_ANOMALY], PO_ALERT_ANOMALY, facts);
}

static void
put_on_list(int tenant)
{
	if (watches[tenant].listed)
		return;
	watches[tenant].listed = true;
	next_list[n_next_list++] = tenant;
}

/* ---------- findings ---------- */

static int64
finding_stays_us(void)
{
	return Max(FINDING_SAMPLES * po_guc_sample_interval * PO_US_PER_MS, FINDING_LEAST_US);
}

/*
 * What is acknowledged is taken over from the keeper.  False as long as it has not been read,
 * but not for ever.
 */
static bool
have_acknowledged(void)
{
	uint32		generation = po_finding_table_acknowledged_generation();

	if (generation == 0)
		return now - attached_at >= RULES_WITHIN_US;
	if (generation != seen_acknowledged)
		seen_acknowledged = po_finding_table_copy_acknowledged(acknowledged, &n_acknowledged);
	return true;
}

/* Is a finding worth an alert of this tenant? */
static bool
is_alarming(const PoFindingRecord *f, const PoTenantGlance *g)
{
	return f->tenant == g->tenant && f->subject == g->hash &&
		f->severity >= PO_FOUND_WARNING && now - f->seen_ticks <= finding_stays_us() &&
		!po_finding_table_acknowledges(acknowledged, n_acknowledged, f, g->name);
}

/* The finding at a place, if it is still one of this alert. */
static bool
copy_alarming(int place, PoAlertKind kind, const PoTenantGlance *g, PoFindingRecord *f)
{
	PoAlertKind its_kind;

	return place >= 0 && po_finding_table_copy(place, f) &&
		po_alert_of_finding(f->kind, &its_kind) && its_kind == kind && is_alarming(f, g);
}

void
po_alert_note_finding(const PoFindingRecord *finding, int place)
{
	PoTenantGlance g;
	PoFindingRecord other;
	PoAlertKind kind;
	int		   *dearest;

	if (finding->severity < PO_FOUND_WARNING || !po_alert_of_finding(finding->kind, &kind) ||
		!have_acknowledged() || !po_registry_glance(finding->tenant, &g) ||
		!is_alarming(finding, &g))
		return;
	dearest = &watches[finding->tenant].finding[kind - PO_FIRST_FINDING_ALERT];
	if (*dearest != place + 1 && copy_alarming(*dearest - 1, kind, &g, &other) &&
		other.connections >= finding->connections)
		return;
	*dearest = place + 1;
	put_on_list(finding->tenant);
}

/*
 * One alert for all findings of a kind, as they have one cause as a rule: a release, a table that
 * has grown.  A page for each statement would be a hundred.
 */
static void
look_at_findings(TenantWatch *w, const PoTenantGlance *g, PoAlertFacts *facts)
{
	if (!have_acknowledged())
		return;
	for (int i = 0; i < PO_N_FINDING_ALERTS; i++)
	{
		PoAlertKind kind = (PoAlertKind) (PO_FIRST_FINDING_ALERT + i);
		Watched    *alert = &w->alert[kind - PO_FIRST_TENANT_ALERT];
		PoFindingRecord f;
		bool		found;

		if (w->finding[i] == 0 && !po_alarm_is_moving(&alert->alarm))
			continue;
		found = copy_alarming(w->finding[i] - 1, kind, g, &f);
		if (!found)
			w->finding[i] = 0;
		if (!found && now - attached_at <= FINDING_FIRST_US + finding_stays_us())
			continue;
		facts->finding = found ? &f : NULL;
		facts->value = found ? f.connections : NAN;
		consider(alert, kind, facts);
	}
	facts->finding = NULL;
}

/* Whoever had this place is not known any more: its alerts are over. */
static void
forget(TenantWatch *w)
{
	PoAlertFacts facts;
	bool		listed = w->listed;

	memset(&facts, 0, sizeof(facts));
	for (int i = 0; i < PO_N_TENANT_ALERTS; i++)
		clear_alert(&w->alert[i], &facts);
	memset(w, 0, sizeof(*w));
	w->listed = listed;
	w->usual.deviations = NAN;
}

static void
look_at_tenant(const PoTenantGlance *g)
{
	TenantWatch *w = &watches[g->tenant];
	PoAlertFacts facts;
	PoTenantCounts counts;

	if (w->hash != g->hash && w->hash != 0)
		forget(w);
	w->hash = g->hash;
	memset(&facts, 0, sizeof(facts));
	facts.tenant = g;
	count_events(w, g, &counts);
	look_at_load(w, g, &facts);
	look_at_habits(w, g, counts.breaker_open, &facts);
	look_at_findings(w, g, &facts);
}

static bool
is_moving(const TenantWatch *w)
{
	for (int i = 0; i < PO_N_TENANT_ALERTS; i++)
	{
		if (po_alarm_is_moving(&w->alert[i].alarm))
			return true;
	}
	return false;
}

/* ---------- which tenants ---------- */

static void
look_at_touched(void)
{
	int			n = po_registry_take_touched(glances, TENANTS_PER_ROUND);

	for (int i = 0; i < n; i++)
	{
		int			tenant = glances[i].tenant;

		look_at_tenant(&glances[i]);
		/* Once more in a second: a wait is counted after its login was let in. */
		put_on_list(tenant);
	}
}

/* Whoever is there, and again in a second if that may be needed. */
static void
look_at_place(int tenant)
{
	TenantWatch *w = &watches[tenant];

	if (po_registry_glance(tenant, &glances[0]))
		look_at_tenant(&glances[0]);
	else if (w->hash != 0)
		forget(w);
	if (is_moving(w))
		put_on_list(tenant);
}

static void
look_at_list(void)
{
	for (int i = 0; i < TENANTS_PER_ROUND && list_at < n_list; i++)
	{
		int			tenant = list[list_at++];

		watches[tenant].listed = false;
		look_at_place(tenant);
	}
}

static void
sweep(void)
{
	/* Read without the lock: it only grows. */
	int			n = po_shared->registry.n_tenants;

	for (int i = 0; i < TENANTS_PER_ROUND && sweep_at >= 0; i++)
	{
		int			tenant = sweep_at;

		sweep_at = sweep_at + 1 < n ? sweep_at + 1 : -1;
		look_at_place(tenant);
	}
}

static void
begin_second(void)
{
	int		   *swap = list;

	/* What is left of the last one comes first, in this one. */
	if (list_at < n_list)
		return;
	list = next_list;
	n_list = n_next_list;
	next_list = swap;
	n_next_list = 0;
	list_at = 0;
}

/* ---------- what other steps have seen ---------- */

void
po_alert_note_sample(int64 ticks, int64 missed)
{
	po_recent_add(&samples_taken, ticks, 1);
	if (missed > 0)
		po_recent_add(&samples_missed, ticks, (double) missed);
}

void
po_alert_begin_pass(void)
{
	n_idlers = 0;
}

void
po_alert_note_idler(int slot, int tenant, int64 state_us)
{
	if (state_us < IDLER_LEAST_US)
		return;
	idlers[n_idlers].slot = slot;
	idlers[n_idlers].tenant = tenant;
	idlers[n_idlers++].state_us = state_us;
}

void
po_alert_note_busy(int tenant, int busy, int64 dt_us)
{
	TenantWatch *w = &watches[tenant];
	int64		before = w->piece;

	end_piece(w, tenant);
	w->piece_busy_us += (double) busy * (double) dt_us;
	if (before != w->piece)
		put_on_list(tenant);
}

void
po_alert_begin_growth(void)
{
	growth_round++;
}

void
po_alert_note_growth(int tenant, int slot, double probability, int count)
{
	Growth	   *g = &watches[tenant].growth;

	if (g->round == growth_round && g->probability >= probability)
		return;
	g->round = growth_round;
	g->probability = probability;
	g->count = count;
	g->slot = slot;
	put_on_list(tenant);
}

void
po_alert_note_breaker(int tenant)
{
	put_on_list(tenant);
}

/* Does it harm anybody?  Then it may be the worst one of its tenant. */
static void
look_at_idler(const IdlerSeen *seen)
{
	TenantWatch *w = &watches[seen->tenant];
	PoIdentityCopy who;
	PoIdler		idler;
	PoHarm		harm;

	if (!po_registry_copy_session(seen->slot, &who) || who.tenant != seen->tenant)
		return;
	memset(&idler, 0, sizeof(idler));
	po_sample_harm(who.procno, who.pid, &harm, idler.blocked, PO_N_BLOCKED);
	if (!harm.valid || (harm.waiting_behind == 0 && harm.horizon_age < HORIZON_LEAST))
		return;
	idler.pid = who.pid;
	idler.seconds = (double) seen->state_us / PO_US_PER_S;
	idler.waiting_behind = harm.waiting_behind;
	idler.n_blocked = harm.n_blocked;
	idler.horizon_age = harm.horizon_age;
	/* One that is not looked at in this second may be there still. */
	if (w->idler_second != 0 && second - w->idler_second <= idler_turns() &&
		w->idler.pid != idler.pid && w->idler_since <= now - seen->state_us)
		return;
	w->idler = idler;
	w->idler_second = second;
	w->idler_since = now - seen->state_us;
	put_on_list(seen->tenant);
}

static void
look_at_idlers(void)
{
	int			n = Min(n_idlers, IDLERS_PER_SECOND);

	for (int i = 0; i < n; i++)
	{
		idler_at = idler_at + 1 < n_idlers ? idler_at + 1 : 0;
		look_at_idler(&idlers[idler_at]);
	}
}

/* What clients wait for in poolers, once it is known that there are any. */
static void
look_at_pools(void)
{
	static PoPoolWait *waits = NULL;
	int			n;

	if (waits == NULL)
		waits = MemoryContextAlloc(TopMemoryContext, MOST_POOL_WAITS * sizeof(PoPoolWait));
	n = po_pooler_table_waits(waits, MOST_POOL_WAITS);
	for (int i = 0; i < n; i++)
	{
		TenantWatch *w = &watches[waits[i].tenant];

		if (w->pool_wait_second == second && w->pool_wait_ms >= waits[i].wait_ms)
			continue;
		w->pool_wait_ms = waits[i].wait_ms;
		w->pool_wait_second = second;
		put_on_list(waits[i].tenant);
	}
}

/* ---------- the cluster ---------- */

static void
look_at_usage(PoUsage *u)
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
rank(PoUsage *u, int tenant, int count)
{
	int			i = PO_N_LARGEST;

	while (i > 0 && count > u->count[i - 1])
		i--;
	if (i == PO_N_LARGEST)
		return;
	memmove(&u->largest[i + 1], &u->largest[i], (PO_N_LARGEST - i - 1) * sizeof(int));
	memmove(&u->count[i + 1], &u->count[i], (PO_N_LARGEST - i - 1) * sizeof(int));
	u->largest[i] = tenant;
	u->count[i] = count;
}

static void
find_largest(PoUsage *u)
{
	int		   *count = palloc0(po_shared->n_tenants * sizeof(int));

	for (int i = 0; i < PO_N_LARGEST; i++)
		u->largest[i] = -1;
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

static void
look_at_connections(void)
{
	PoAlertFacts facts;
	PoUsage    *u = &facts.usage;
	double		used;

	memset(&facts, 0, sizeof(facts));
	look_at_usage(u);
	used = u->usable == 0 ? 0 : (double) u->taken / u->usable;
	/* Who has them is found only when somebody is to hear of it. */
	if (used * 100 >= Min(po_guc_warning_threshold, po_guc_critical_threshold) ||
		cluster[PO_ALERT_CLUSTER_UTILIZATION].place != 0)
		find_largest(u);
	else
		memset(u->largest, -1, sizeof(u->largest));
	facts.value = used;
	consider(&cluster[PO_ALERT_CLUSTER_UTILIZATION], PO_ALERT_CLUSTER_UTILIZATION, &facts);
	facts.value = forecast(&cluster_forecast, u->taken, u->usable);
	if (is_known(&cluster_forecast))
		consider(&cluster[PO_ALERT_CLUSTER_EXHAUSTION], PO_ALERT_CLUSTER_EXHAUSTION, &facts);
}

static void
look_at_sampler(void)
{
	PoAlertFacts facts;
	/* Of all of the minute: a sampler that has just begun has taken few. */
	double		due = (double) (PO_RECENT_SLOTS * PO_RECENT_SLOT_US) /
		(po_guc_sample_interval * PO_US_PER_MS);

	memset(&facts, 0, sizeof(facts));
	facts.missed = po_recent_sum(&samples_missed, now);
	facts.value = facts.missed /
		fmax(due, po_recent_sum(&samples_taken, now) + facts.missed);
	consider(&cluster[PO_ALERT_SAMPLER_LATE], PO_ALERT_SAMPLER_LATE, &facts);
}

/* NULL when there is no room, which cannot be. */
static PoolerWatch *
pooler_watch(uint32 subject)
{
	PoolerWatch *unused = NULL;

	for (int i = 0; i < PO_POOLER_MOST; i++)
	{
		if (poolers[i].subject == subject)
			return &poolers[i];
		if (poolers[i].subject == 0)
			unused = &poolers[i];
	}
	if (unused != NULL)
	{
		memset(unused, 0, sizeof(*unused));
		unused->subject = subject;
	}
	return unused;
}

static void
look_at_pooler(const PoPoolerSeen *seen)
{
	PoolerWatch *p = pooler_watch(hash_pooler(seen->name));
	PoAlertFacts facts;
	bool		bad = seen->state != PO_POOLER_OK && seen->state != PO_POOLER_NEW;

	if (p == NULL)
		return;
	memset(&facts, 0, sizeof(facts));
	p->seen = true;
	if (!bad)
		p->bad_since = 0;
	else if (p->bad_since == 0)
		p->bad_since = now;
	facts.pooler = seen;
	facts.value = bad ? (double) (now - p->bad_since) / PO_US_PER_S : NAN;
	/* Not asked yet is neither. */
	if (seen->state != PO_POOLER_NEW)
		consider(&p->watched, PO_ALERT_POOLER_UNREACHABLE, &facts);
}

/* Those that are not in the setting any more have no alert. */
static void
look_at_poolers(void)
{
	PoPoolerSeen seen[PO_POOLER_MOST];
	PoAlertFacts facts;
	int			n = po_pooler_table_poolers(seen);

	for (int i = 0; i < PO_POOLER_MOST; i++)
		poolers[i].seen = false;
	for (int i = 0; i < n; i++)
		look_at_pooler(&seen[i]);
	memset(&facts, 0, sizeof(facts));
	facts.value = NAN;
	for (int i = 0; i < PO_POOLER_MOST; i++)
	{
		PoolerWatch *p = &poolers[i];

		if (p->subject == 0 || p->seen)
			continue;
		p->bad_since = 0;
		if (p->watched.place != 0)
			consider(&p->watched, PO_ALERT_POOLER_UNREACHABLE, &facts);
		else
			p->subject = 0;
	}
}

static void
look_at_cluster(void)
{
	second++;
	look_at_connections();
	look_at_sampler();
	look_at_poolers();
	look_at_idlers();
	look_at_pools();
}

/* ---------- rules ---------- */

/* False as long as they have not been read, but not for ever. */
static bool
have_rules(void)
{
	uint32		generation = po_alert_table_rules_generation();
	int			n;

	if (generation == 0)
		return now - attached_at >= RULES_WITHIN_US;
	if (generation != seen_rules)
	{
		seen_rules = po_alert_table_copy_rules(rule_copy, &n);
		po_alert_rule_index(&rules, rule_copy, n);
		sweep_at = 0;
	}
	return true;
}

static void
notice_policies(void)
{
	uint32		generation = po_shared->registry.generation;

	if (generation == seen_policies)
		return;
	seen_policies = generation;
	sweep_at = 0;
}

void
po_alert_reload(void)
{
	sweep_at = 0;
}

/* ---------- for the sampler ---------- */

void
po_alert_round(int64 ticks)
{
	now = ticks;
	if (!have_rules())
		return;
	notice_policies();
	look_at_touched();
	sweep();
	if (now >= second_at || second_at - now > SECOND_US)
	{
		second_at = now + SECOND_US;
		look_at_cluster();
		begin_second();
	}
	look_at_list();
}

/* What an earlier sampler has raised goes on. */
static void
take_over(int place, const PoAlertRecord *record)
{
	PoTenantGlance g;
	Watched    *w;

	if (record->kind == PO_ALERT_POOLER_UNREACHABLE && pooler_watch(record->subject) != NULL)
		w = &pooler_watch(record->subject)->watched;
	else if (record->kind < PO_FIRST_TENANT_ALERT)
		w = &cluster[record->kind];
	else if (po_registry_glance(record->tenant, &g) && g.hash == record->subject)
	{
		w = &watches[record->tenant].alert[record->kind - PO_FIRST_TENANT_ALERT];
		put_on_list(record->tenant);
	}
	else
	{
		PoAlertRecord gone;

		po_alert_table_clear(place, &gone);
		return;
	}
	w->place = place + 1;
	w->alarm.raised = record->severity;
	w->shown = NAN;
	w->worst = record->worst;
}

void
po_alert_attach(void)
{
	int			n_tenants = po_shared->n_tenants;
	PoAlertRecord *records = po_worker_allocate(po_shared->n_alerts, sizeof(PoAlertRecord));

	watches = po_worker_allocate(n_tenants, sizeof(TenantWatch));
	glances = po_worker_allocate(TENANTS_PER_ROUND, sizeof(PoTenantGlance));
	list = po_worker_allocate(n_tenants, sizeof(int));
	next_list = po_worker_allocate(n_tenants, sizeof(int));
	idlers = po_worker_allocate(po_shared->n_slots, sizeof(IdlerSeen));
	rule_copy = po_worker_allocate(po_shared->n_alert_rules, sizeof(PoAlertRule));
	acknowledged = po_worker_allocate(po_finding_table->n_findings, sizeof(PoAcknowledged));
	po_alert_rule_index(&rules, rule_copy, 0);
	attached_at = po_shmem_monotonic_us();
	/* What was counted before us is no news. */
	for (int i = 0; i < n_tenants; i++)
	{
		PoTenantCounts counts;

		watches[i].usual.deviations = NAN;
		if (!po_registry_glance(i, &glances[0]))
			continue;
		po_stats_copy_counts(i, &counts);
		watches[i].hash = glances[0].hash;
		watches[i].rejected = glances[0].rejected;
		watches[i].n_waits = counts.n_waits;
		watches[i].waited_us = counts.waited_us;
	}
	(void) po_alert_table_copy(records, NULL);
	for (int i = 0; i < po_shared->n_alerts; i++)
	{
		if (records[i].id != 0)
			take_over(i, &records[i]);
	}
	pfree(records);
}
