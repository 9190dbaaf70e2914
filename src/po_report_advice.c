/*
 * po_report_advice.c
 *		What is wrong now and what to do about it; see po_report_advice.h.
 *
 * Each rule looks for one kind of trouble.  Of many tenants in the same trouble the worst
 * few are told by name, and how many more there are.  Whatever is advised can be run as it
 * stands, by a role that may, in the database of the policies.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "model/po_alert_rule.h"
#include "model/po_plot.h"
#include "po_guc.h"
#include "po_html.h"
#include "po_report_advice.h"
#include "po_report_data.h"

#define LINE_LEN			44		/* of a call, that is read in one line */
#define WORST				3		/* tenants that one rule tells of by name */
#define CONFIDENT			0.5
#define STALE_US			(5 * USECS_PER_SEC)
#define STALE_SAMPLES		20
#define LATELY_US			(15 * USECS_PER_MINUTE)

/* ---------- findings ---------- */

static PoFinding *
add(PoAdvice *a, PoGravity gravity, const char *topic, const PoReportTenant *t)
{
	PoFinding  *f;

	/* There is room for all that is looked for below. */
	Assert(a->n < PO_MAX_FINDINGS);
	f = &a->finding[a->n < PO_MAX_FINDINGS ? a->n++ : PO_MAX_FINDINGS - 1];
	memset(f, 0, sizeof(*f));
	f->gravity = gravity;
	f->topic = topic;
	f->tenant = t;
	return f;
}

/* How bad a kind of trouble is for a tenant; 0 = it is not in it. */
typedef double (*Trouble) (const PoReport *r, const PoReportTenant *t);
typedef void (*Tell) (PoAdvice *a, const PoReportTenant *t);

/* Tells of the worst few. */
static void
tell_worst(PoAdvice *a, Trouble trouble, Tell tell)
{
	const PoReport *r = a->report;
	const PoReportTenant *worst[WORST];
	double		how_bad[WORST] = {0};
	int			n = 0;

	for (int i = 0; i < r->n; i++)
	{
		double		bad = r->tenant[i].present ? trouble(r, &r->tenant[i]) : 0;
		int			k = Min(n, WORST);

		if (!(bad > 0))
			continue;
		n++;
		for (; k > 0 && how_bad[k - 1] < bad; k--)
		{
			if (k < WORST)
			{
				worst[k] = worst[k - 1];
				how_bad[k] = how_bad[k - 1];
			}
		}
		if (k < WORST)
		{
			worst[k] = &r->tenant[i];
			how_bad[k] = bad;
		}
	}
	for (int i = 0; i < Min(n, WORST); i++)
		tell(a, worst[i]);
	a->n_more += Max(n - WORST, 0);
}

/* Functions that take patterns would take it for one. */
static bool
is_exact(const PoReportTenant *t)
{
	return strchr(t->name, '*') == NULL && strcmp(t->name, "(other)") != 0;
}

static const char *
literal(const PoReportTenant *t)
{
	return po_html_sql_literal(t->name);
}

/* A call for a tenant, in two lines when it is long. */
static char *
call(const char *function, const PoReportTenant *t, const char *arguments)
{
	const char *name = literal(t);
	bool		is_long = strlen(function) + strlen(name) + strlen(arguments) > LINE_LEN;

	return psprintf("SELECT %s(%s,%s%s);", function, name, is_long ? "\n    " : " ", arguments);
}

static char *
quota_call(const PoReportTenant *t, int max_connections)
{
	return call("pool_set_quota", t, psprintf("max_connections => %d", max_connections));
}

static char *
sessions_of(const PoReportTenant *t)
{
	return psprintf("It has %s now: %d active, %d idle in a transaction, %d idle.",
					po_html_counted(t->sessions, "session", "sessions"), t->active,
					t->in_transaction, t->idle);
}

/* Does its recommended size rest on enough? */
static bool
is_sure(const PoReportTenant *t)
{
	return t->size > 0 && t->confidence >= CONFIDENT;
}

static int
busy_now(const PoReportTenant *t)
{
	return t->active + t->in_transaction;
}

/* What it can be seen to need at once: what was recommended may be of a quieter time. */
static int
needs(const PoReportTenant *t)
{
	return Max(Max(Max(t->size, t->size_max), Max(t->busy_max, 1)), busy_now(t));
}

/* ---------- pool_optimizer itself ---------- */

static void
advise_sampler(PoAdvice *a)
{
	const PoReport *r = a->report;
	int64		stale_us = Max(STALE_US, STALE_SAMPLES * po_guc_sample_interval * 1000L);
	PoFinding  *f;

	if (r->sampler_runs && r->now - r->last_sample <= stale_us)
		return;
	f = add(a, PO_GRAVITY_CRITICAL, "sampler", NULL);
	f->title = r->last_sample == 0 ? pstrdup("Nobody looks at the sessions") :
		psprintf("Nobody has looked at the sessions since %s",
				 po_html_time(r->last_sample, r->now));
	f->why = psprintf("The sampler of pool_optimizer %s. Quotas hold all the same, but nothing is "
					  "reclaimed, and what this page says of busy and leaked sessions is old.",
					  r->sampler_runs ? "is late" : "does not run");
	f->what_to_do = "It is started again a second after it has ended. If it keeps ending, "
		"the server&#39;s log says why.";
	f->sql = "SELECT sampler_pid, last_sample, worker_errors, last_error\n"
		"  FROM pool_stats_cluster;";
}

static void
advise_errors(PoAdvice *a)
{
	const PoReport *r = a->report;
	PoFinding  *f;

	if (r->last_error != NULL)
	{
		f = add(a, PO_GRAVITY_WARNING, "error", NULL);
		f->title = "pool_optimizer reports an error";
		f->why = psprintf("%s, since %s.", po_html_escape(r->last_error),
						  po_html_time(r->last_error_at, r->now));
		f->what_to_do = "Until it is mended, the last policies stay in force.";
		f->sql = "SELECT last_error, last_error_at, worker_errors FROM pool_stats_cluster;";
	}
	if (r->overflow_logins > 0)
	{
		f = add(a, PO_GRAVITY_WARNING, "overflow", NULL);
		f->title = "There are more tenants than can be told apart";
		f->why = psprintf("%s went to <bdi>(other)</bdi>, where no quota of their own holds.",
						  po_html_counted((int64) r->overflow_logins, "login", "logins"));
		f->what_to_do = "Needs a restart of the server.";
		f->sql = psprintf("ALTER SYSTEM SET pool_optimizer.max_tenants = %d;",
						  Min(po_guc_max_tenants, 500000) * 2);
	}
	if (r->unready_logins > 0)
	{
		f = add(a, PO_GRAVITY_WARNING, "unready", NULL);
		f->title = psprintf("%s let in without being counted",
							po_html_counted((int64) r->unready_logins, "login was",
											"logins were"));
		f->why = "Something failed on our side, which is no reason to keep a client out.";
		f->what_to_do = "The server&#39;s log says what: look for &#8220;pool_optimizer lets a "
			"login in unseen&#8221;.";
	}
	for (int i = 0; i < Min(r->n_poolers, WORST); i++)
	{
		const PoReportPooler *p = &r->pooler[i];

		f = add(a, PO_GRAVITY_WARNING, "pooler", NULL);
		f->title = psprintf("PgBouncer %s is %s", po_html_name(p->pooler),
							po_html_escape(p->state));
		f->why = p->error == NULL ? "Its console does not answer, so its pools are not known." :
			psprintf("Its console says: %s", po_html_escape(p->error));
		f->sql = "SELECT pooler, state, error, seen_at FROM pool_stats_pooler\n"
			"  WHERE state <> 'ok';";
	}
}

/* ---------- the cluster ---------- */

static const PoReportTenant *
largest_tenant(const PoReport *r)
{
	return r->sees_all && r->n > 0 && r->tenant[0].sessions > 0 ? &r->tenant[0] : NULL;
}

/* Of one that is busy, or that no quota can be advised for. */
static void
advise_pooler(const PoReport *r, const PoReportTenant *t, PoFinding *f)
{
	const char *in_use = busy_now(t) * 2 >= t->sessions ? "Its sessions are in use. " : "";

	if (t->size == 0)
		f->what_to_do = psprintf("%sHow many it needs is not known yet.", in_use);
	else
		f->what_to_do = psprintf("%sA pooler in transaction mode needs %s for all tenants "
								 "together.", in_use,
								 po_html_counted((int64) r->recommended, "connection",
												 "connections"));
	f->sql = "SELECT tenant, current_size, recommended_size, busy_max, reason\n"
		"  FROM pool_recommendations ORDER BY current_size DESC;";
}

static void
advise_largest(const PoReport *r, const PoReportTenant *t, PoFinding *f)
{
	int			limit = Max(needs(t), t->peak_busy);

	f->why = psprintf("%s has %s of them: %d active, %d idle in a transaction, %d idle.",
					  po_html_name(t->name), po_html_count(t->sessions), t->active,
					  t->in_transaction, t->idle);
	if (r->n_leaked > r->n_leaked_exempt)
	{
		f->what_to_do = psprintf("End %s first.",
								 po_html_counted((int64) (r->n_leaked - r->n_leaked_exempt),
												 "leaked session", "leaked sessions"));
		f->sql = "SELECT * FROM pool_terminate_leaked('*', dry_run => false);";
	}
	else if (t->size > 0 && limit < t->sessions && is_exact(t))
	{
		f->what_to_do = psprintf("It never had more than %d busy at once: hold it to that%s.",
								 limit, strcmp(r->mode, "enforce") == 0 ? "" :
								 " (it is only observed until pool_optimizer.mode is enforce)");
		f->sql = call("pool_set_quota", t,
					  psprintf("max_connections => %d, on_full => 'wait'", limit));
	}
	else
		advise_pooler(r, t, f);
}

static void
advise_full(PoAdvice *a)
{
	const PoReport *r = a->report;
	const PoReportTenant *t = largest_tenant(r);
	int			taken = (int) (r->utilization * r->usable + 0.5);
	PoFinding  *f;

	if (r->utilization * 100 < po_guc_warning_threshold)
		return;
	f = add(a, r->utilization * 100 < po_guc_critical_threshold ? PO_GRAVITY_WARNING :
			PO_GRAVITY_CRITICAL, "cluster_utilization", NULL);
	f->title = psprintf("%d of %d usable connections are taken (%s)", taken, r->usable,
						po_html_percent(r->utilization));
	f->why = "Whoever comes when none is left is refused by the server.";
	if (t != NULL)
		advise_largest(r, t, f);
}

static void
advise_authenticating(PoAdvice *a)
{
	const PoReport *r = a->report;
	PoFinding  *f;

	if (r->authenticating < Max(5, r->usable / 20))
		return;
	f = add(a, PO_GRAVITY_WARNING, "authenticating", NULL);
	f->title = psprintf("%d connections hold a place without having logged in",
						r->authenticating);
	f->why = "No quota holds for a connection that is still authenticating.";
	f->what_to_do = "Shorten authentication_timeout, and narrow pg_hba.conf or the network "
		"in front of the server. pool_events says who has the connections.";
	f->sql = "SELECT at, reason, detail FROM pool_events\n"
		"  WHERE kind = 'alert' AND reason LIKE '%connections are taken%' ORDER BY at DESC;";
}

/* ---------- refusals and waits ---------- */

static double
is_refused(const PoReport *r, const PoReportTenant *t)
{
	return Max(t->refused, t->use.rejected);
}

static bool
is_refused_lately(const PoReport *r, const PoReportTenant *t)
{
	return t->refused_at != 0 && r->now - t->refused_at < LATELY_US;
}

static const char *
refusal_cause(const PoReportTenant *t)
{
	static const char *const scopes[] = {"database", "role", "address", "application"};
	const char *rule = t->refused_rule == NULL ? "" : t->refused_rule;

	if (strcmp(rule, "tenant") == 0)
		return psprintf("Its quota of %d was full.", t->refused_limit);
	if (strcmp(rule, "cluster") == 0)
		return psprintf("The quota of the whole cluster, %d, was full.", t->refused_limit);
	if (strcmp(rule, "guarantees") == 0)
		return "What was left is guaranteed to others.";
	if (strcmp(rule, "drain") == 0)
		return "It is being drained.";
	for (int i = 0; i < lengthof(scopes); i++)
	{
		if (strcmp(rule, scopes[i]) == 0)
			return psprintf("A quota of its %s, %d, was full.", rule, t->refused_limit);
	}
	return "";
}

/* For a quota of its own that was full. */
static void
advise_refused(const PoReportTenant *t, PoFinding *f)
{
	int			more = needs(t);
	bool		is_idle = t->sessions > 0 && t->idle * 2 >= t->sessions;

	/* Somebody has acted already: a number from before may be less than theirs. */
	if (t->quota < 0)
		f->what_to_do = "The quota was lifted since: now it has none.";
	else if (t->quota > t->refused_limit)
		f->what_to_do = psprintf("The quota was raised since: now it is %d.", t->quota);
	else if (t->leaked > t->leaked_exempt)
	{
		f->what_to_do = psprintf("%d of its sessions are leaked: end them, and there is room.",
								 t->leaked - t->leaked_exempt);
		f->sql = call("* FROM pool_terminate_leaked", t, "dry_run => false");
	}
	else if (is_sure(t) && more > t->quota)
	{
		f->what_to_do = psprintf("%d would be enough for what was busy at once.", more);
		f->sql = quota_call(t, more);
	}
	else if (is_sure(t) && is_idle)
	{
		f->what_to_do = psprintf("Its sessions are mostly idle: pools of %d in all would do. This "
								 "is what to set in the client:", t->size);
		f->sql = call("pool_client_config", t, "'pgbouncer'");
	}
	else if (is_idle)
	{
		f->what_to_do = "Its sessions are mostly idle: let a login end the one that has been idle "
			"for the longest, and look for clients with pools that are too large.";
		f->sql = call("pool_set_quota", t, "on_full => 'evict_idle'");
	}
	else
	{
		f->what_to_do = "Let logins wait for a place for a moment instead of refusing them.";
		f->sql = call("pool_set_quota", t, "on_full => 'wait', wait_timeout => '5 s'");
	}
}

static void
tell_refused(PoAdvice *a, const PoReportTenant *t)
{
	const PoReport *r = a->report;
	PoFinding  *f = add(a, is_refused_lately(r, t) ? PO_GRAVITY_CRITICAL : PO_GRAVITY_WARNING,
						"refusals", t);

	f->title = psprintf("%s of %s %s refused",
						po_html_counted((int64) is_refused(r, t), "login", "logins"),
						po_html_name(t->name), is_refused(r, t) == 1 ? "was" : "were");
	f->why = psprintf("%s%s%s %s", t->refused_at == 0 ? "" : "The last one at ",
					  t->refused_at == 0 ? "" :
					  psprintf("%s. ", po_html_time(t->refused_at, r->now)),
					  refusal_cause(t), sessions_of(t));
	if (t->draining)
		f->sql = psprintf("SELECT pool_resume(%s);", literal(t));
	else if (!is_exact(t))
		f->what_to_do = "Its name is one that policies cannot be set for exactly.";
	else if (t->refused_rule != NULL && strcmp(t->refused_rule, "tenant") == 0)
		advise_refused(t, f);
	else
		f->sql = psprintf("SELECT at, reason, detail FROM pool_events\n"
						  "  WHERE kind = 'reject' AND tenant = %s\n  ORDER BY at DESC;",
						  literal(t));
}

static double
has_waiting(const PoReport *r, const PoReportTenant *t)
{
	return t->waiting;
}

static void
tell_waiting(PoAdvice *a, const PoReportTenant *t)
{
	PoFinding  *f = add(a, PO_GRAVITY_WARNING, "waits", t);

	f->title = psprintf("%s of %s %s for a place",
						po_html_counted(t->waiting, "login", "logins"), po_html_name(t->name),
						t->waiting == 1 ? "queues" : "queue");
	f->why = psprintf("%s%s", sessions_of(t), isnan(t->wait_p99_ms) ? "" :
					  psprintf(" 99 %% of those that queued waited less than %s.",
							   po_html_duration(t->wait_p99_ms)));
	if (is_exact(t) && needs(t) > t->quota && t->quota >= 0)
		f->sql = quota_call(t, needs(t));
	else
		f->sql = psprintf("SELECT pid, state, state_ms, class FROM pool_stats_session\n"
						  "  WHERE tenant = %s\n  ORDER BY state_ms DESC;", literal(t));
}

/* ---------- leaks ---------- */

static double
has_leaks(const PoReport *r, const PoReportTenant *t)
{
	return t->leaked + 100.0 * t->blocked;
}

/* What would have ended them in time. */
static const char *
preventive(const PoReportTenant *t)
{
	const char *class = t->leak_class == NULL ? "" : t->leak_class;
	const char *limit = NULL;

	if (strstr(class, "in_transaction") != NULL || strcmp(class, "stuck_in_client_read") == 0)
		limit = "idle_in_transaction => '5 min'";
	else if (strcmp(class, "never_used") == 0)
		limit = "never_used => '10 min'";
	else if (strcmp(class, "idle_too_long") == 0)
		limit = "idle => '1 h'";
	if (limit == NULL || !is_exact(t))
		return "";
	return psprintf("\n-- and whenever it happens again\n%s",
					call("pool_set_timeouts", t, limit));
}

static void
tell_leaks(PoAdvice *a, const PoReportTenant *t)
{
	const PoReport *r = a->report;
	bool		hurts = t->blocked > 0 || r->utilization * 100 >= po_guc_warning_threshold ||
		is_refused_lately(r, t);
	PoFinding  *f = add(a, hurts ? PO_GRAVITY_CRITICAL : PO_GRAVITY_WARNING, "leaks", t);
	StringInfoData why;

	f->title = psprintf("%s of %s %s leaked", po_html_counted(t->leaked, "session", "sessions"),
						po_html_name(t->name), t->leaked == 1 ? "is" : "are");
	initStringInfo(&why);
	if (t->leaked_in_transaction > 0)
		appendStringInfo(&why, "%d with a transaction left open. ", t->leaked_in_transaction);
	if (t->leaked_longest_ms > 0)
		appendStringInfo(&why, "The longest has been like that for %s. ",
						 po_html_duration(t->leaked_longest_ms));
	if (t->blocked > 0)
		appendStringInfo(&why, "%s for their locks. ",
						 po_html_counted(t->blocked, "session waits", "sessions wait"));
	if (t->leaked_exempt > 0)
		appendStringInfo(&why, "%d of them are exempt and never ended.", t->leaked_exempt);
	f->why = why.data;
	if (t->leaked == t->leaked_exempt || strchr(t->name, '*') != NULL)
		return;
	f->what_to_do = "Ends those that have not gone back to work in the meantime. "
		"<a href=\"#leaks\">Where they come from</a>";
	f->sql = psprintf("%s%s", call("* FROM pool_terminate_leaked", t, "dry_run => false"),
					  preventive(t));
}

/* ---------- sizes ---------- */

static double
is_near_quota(const PoReport *r, const PoReportTenant *t)
{
	return t->quota > 0 && is_refused(r, t) == 0 &&
		t->utilization * 100 >= po_guc_critical_threshold ? t->utilization : 0;
}

static void
tell_near_quota(PoAdvice *a, const PoReportTenant *t)
{
	PoFinding  *f = add(a, PO_GRAVITY_WARNING, "tenant_utilization", t);

	f->title = psprintf("%s uses %s of its quota of %d", po_html_name(t->name),
						po_html_percent(t->utilization), t->quota);
	f->why = psprintf("%s None has been refused yet.", sessions_of(t));
	if (is_exact(t) && needs(t) > t->quota)
		f->sql = quota_call(t, needs(t));
	else if (is_sure(t))
		f->sql = call("pool_client_config", t, "'pgbouncer'");
}

static double
is_short(const PoReport *r, const PoReportTenant *t)
{
	return t->quota >= 0 && t->size > t->quota && is_sure(t) && is_exact(t) ?
		t->size - t->quota : 0;
}

static void
tell_short(PoAdvice *a, const PoReportTenant *t)
{
	PoFinding  *f = add(a, PO_GRAVITY_WARNING, "size", t);

	f->title = psprintf("%s needs a pool of %d, its quota is %d", po_html_name(t->name),
						t->size, t->quota);
	f->why = po_html_escape(t->reason);
	f->sql = quota_call(t, needs(t));
}

static double
is_oversized(const PoReport *r, const PoReportTenant *t)
{
	return is_sure(t) && is_exact(t) && t->sessions >= 2 * needs(t) + 3 ?
		t->sessions - needs(t) : 0;
}

static void
tell_oversized(PoAdvice *a, const PoReportTenant *t)
{
	PoFinding  *f = add(a, PO_GRAVITY_NOTE, "size", t);

	f->title = psprintf("%s keeps %d sessions open, and needs %d", po_html_name(t->name),
						t->sessions, needs(t));
	f->why = po_html_escape(t->reason);
	f->what_to_do = "What to set in a pooler (or another client, see pool_client_config):";
	f->sql = call("pool_client_config", t, "'pgbouncer'");
}

/* ---------- modes ---------- */

static void
advise_mode(PoAdvice *a)
{
	const PoReport *r = a->report;
	double		refused = 0;
	double		ended = 0;
	PoFinding  *f;

	for (int i = 0; i < r->n; i++)
	{
		refused += r->tenant[i].would_reject;
		ended += r->tenant[i].would_terminate;
	}
	if (strcmp(r->mode, "enforce") == 0 || (refused == 0 && ended == 0))
		return;
	f = add(a, PO_GRAVITY_NOTE, "mode", NULL);
	f->title = psprintf("Quotas and timeouts are only watched: the mode is %s", r->mode);
	f->why = psprintf("With enforce, %s refused and %s ended so far.",
					  po_html_counted((int64) refused, "login would have been",
									  "logins would have been"),
					  po_html_counted((int64) ended, "session", "sessions"));
	f->sql = "ALTER SYSTEM SET pool_optimizer.mode = 'enforce';\nSELECT pg_reload_conf();";
}

static double
is_drained(const PoReport *r, const PoReportTenant *t)
{
	return t->draining && is_refused(r, t) == 0 ? 1 + t->sessions : 0;
}

static void
tell_drained(PoAdvice *a, const PoReportTenant *t)
{
	PoFinding  *f = add(a, PO_GRAVITY_NOTE, "drain", t);

	f->title = psprintf("%s is being drained", po_html_name(t->name));
	f->why = psprintf("New logins are refused until it is resumed. %s", sessions_of(t));
	f->sql = psprintf("SELECT pool_resume(%s);", literal(t));
}

/* ---------- alerts ---------- */

/* What rules call that an alert is about; most call it as the alert is called. */
static const char *
topic_of(const PoReportAlert *alert)
{
	static const char *const topics[][2] = {
		{"idle_in_transaction", "leaks"}, {"leak_growth", "leaks"},
		{"pooler_unreachable", "pooler"}, {"sampler_late", "sampler"}
	};

	for (int i = 0; i < lengthof(topics); i++)
	{
		if (strcmp(topics[i][0], alert->alert) == 0)
			return topics[i][1];
	}
	return alert->alert;
}

/* The finding of a rule that tells the same. */
static PoFinding *
find_finding(PoAdvice *a, int n_rules, const PoReportAlert *alert)
{
	const PoReportTenant *t = po_report_find_tenant(a->report, alert->tenant);

	for (int i = 0; i < n_rules; i++)
	{
		if (a->finding[i].tenant == t && strcmp(a->finding[i].topic, topic_of(alert)) == 0)
			return &a->finding[i];
	}
	return NULL;
}

static bool
is_about_finding(const char *alert)
{
	PoAlertKind kind;

	return po_alert_parse(alert, &kind) && kind >= PO_FIRST_FINDING_ALERT;
}

/* An alert that a rule has told already lends it its time and gravity. */
static void
advise_alerts(PoAdvice *a)
{
	const PoReport *r = a->report;
	int			n_rules = a->n;

	a->n_left_out[PO_GRAVITY_CRITICAL] += r->n_critical_left_out;
	a->n_left_out[PO_GRAVITY_WARNING] += r->n_alerts_left_out - r->n_critical_left_out;
	for (int i = 0; i < r->n_alerts; i++)
	{
		const PoReportAlert *alert = &r->alert[i];
		PoGravity	gravity = strcmp(alert->severity, "critical") == 0 ? PO_GRAVITY_CRITICAL :
			PO_GRAVITY_WARNING;
		PoFinding  *f = find_finding(a, n_rules, alert);
		char	   *since = psprintf("Alert <code>%s</code> since %s.",
									 po_html_escape(alert->alert),
									 po_html_time(alert->since, r->now));

		if (f != NULL)
		{
			f->gravity = Max(f->gravity, gravity);
			f->why = psprintf("%s %s", f->why, since);
			continue;
		}
		f = add(a, gravity, "alert", po_report_find_tenant(r, alert->tenant));
		f->title = alert->tenant == NULL ? po_html_escape(alert->message) :
			psprintf("%s: %s", po_html_name(alert->tenant), po_html_escape(alert->message));
		f->why = since;
		if (is_about_finding(alert->alert))
			f->what_to_do = "What to change is under <a href=\"#uses\">what uses the "
				"connections</a>.";
	}
}

/* The gravest first, else as they were found. */
static void
sort_findings(PoAdvice *a)
{
	for (int i = 1; i < a->n; i++)
	{
		PoFinding	f = a->finding[i];
		int			k = i;

		for (; k > 0 && a->finding[k - 1].gravity < f.gravity; k--)
			a->finding[k] = a->finding[k - 1];
		a->finding[k] = f;
	}
}

void
po_report_advise(const PoReport *report, PoAdvice *a)
{
	memset(a, 0, sizeof(*a));
	a->report = report;
	advise_sampler(a);
	advise_full(a);
	advise_authenticating(a);
	tell_worst(a, is_refused, tell_refused);
	tell_worst(a, has_waiting, tell_waiting);
	tell_worst(a, has_leaks, tell_leaks);
	tell_worst(a, is_short, tell_short);
	tell_worst(a, is_near_quota, tell_near_quota);
	advise_errors(a);
	advise_alerts(a);
	tell_worst(a, is_oversized, tell_oversized);
	tell_worst(a, is_drained, tell_drained);
	advise_mode(a);
	sort_findings(a);
}
