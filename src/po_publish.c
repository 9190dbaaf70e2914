/*
 * po_publish.c
 *		The functions behind the views, and those that act on sessions.
 *
 * Columns are declared by the install script; each function here fills an array in
 * their order.  Whoever lacks pg_read_all_stats sees the rows of its own tenant.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "pgstat.h"
#include "postmaster/postmaster.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inet.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "model/po_admission.h"
#include "model/po_curve.h"
#include "model/po_pooler_plan.h"
#include "po_act.h"
#include "po_alert_table.h"
#include "po_client_config.h"
#include "po_client_table.h"
#include "po_compat.h"
#include "po_events.h"
#include "po_guc.h"
#include "po_health.h"
#include "po_history_read.h"
#include "po_judge.h"
#include "po_metrics.h"
#include "po_policy_row.h"
#include "po_policy_rls.h"
#include "po_pooler_table.h"
#include "po_profile_table.h"
#include "po_registry.h"
#include "po_report.h"
#include "po_session.h"
#include "po_setter.h"
#include "po_finding_table.h"
#include "po_statement.h"
#include "po_statement_text.h"
#include "po_stats.h"
#include "po_view.h"

PG_FUNCTION_INFO_V1(pool_stats_1_0);
PG_FUNCTION_INFO_V1(pool_stats_cluster_1_0);
PG_FUNCTION_INFO_V1(pool_stats_session_1_0);
PG_FUNCTION_INFO_V1(pool_recommendations_1_0);
PG_FUNCTION_INFO_V1(pool_events_1_0);
PG_FUNCTION_INFO_V1(pool_alerts_1_0);
PG_FUNCTION_INFO_V1(pool_alerts_history_1_0);
PG_FUNCTION_INFO_V1(pool_stats_pooler_1_0);
PG_FUNCTION_INFO_V1(pool_stats_statement_1_0);
PG_FUNCTION_INFO_V1(pool_health_1_0);
PG_FUNCTION_INFO_V1(pool_metrics_1_0);
PG_FUNCTION_INFO_V1(pool_metrics_cluster_1_0);
PG_FUNCTION_INFO_V1(pool_metrics_alert_1_0);
PG_FUNCTION_INFO_V1(pool_metrics_finding_1_0);
PG_FUNCTION_INFO_V1(pool_metrics_tenant_1_0);
PG_FUNCTION_INFO_V1(pool_metrics_pooler_1_0);
PG_FUNCTION_INFO_V1(pool_stats_history_1_0);
PG_FUNCTION_INFO_V1(pool_stats_cluster_history_1_0);
PG_FUNCTION_INFO_V1(pool_stats_profile_1_0);
PG_FUNCTION_INFO_V1(pool_explain_admission_1_0);
PG_FUNCTION_INFO_V1(pool_what_if_1_0);
PG_FUNCTION_INFO_V1(pool_client_config_1_0);
PG_FUNCTION_INFO_V1(pool_recommendations_client_1_0);
PG_FUNCTION_INFO_V1(pool_report_1_0);
PG_FUNCTION_INFO_V1(pool_sync_1_0);
PG_FUNCTION_INFO_V1(pool_terminate_leaked_1_0);
PG_FUNCTION_INFO_V1(pool_reset_stats_1_0);

#define ANSWER_WITHIN_MS	5000

/* ---------- rows ---------- */

#define MAX_COLUMNS		40

/* One row being filled, column by column. */
typedef struct Row
{
	Tuplestorestate *store;
	TupleDesc	desc;
	int			n;
	Datum		values[MAX_COLUMNS];
	bool		nulls[MAX_COLUMNS];
} Row;

static void
begin_rows(FunctionCallInfo fcinfo, Row *row)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	po_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	row->store = rsinfo->setResult;
	row->desc = rsinfo->setDesc;
	row->n = 0;
}

static void
end_row(Row *row)
{
	/* The install script and this library must be of one mind. */
	if (row->n != row->desc->natts)
		elog(ERROR, "row has %d columns, the function declares %d", row->n, row->desc->natts);
	tuplestore_putvalues(row->store, row->desc, row->values, row->nulls);
	row->n = 0;
}

static void
add(Row *row, Datum value, bool isnull)
{
	Assert(row->n < MAX_COLUMNS);
	row->values[row->n] = value;
	row->nulls[row->n++] = isnull;
}

static void
add_null(Row *row)
{
	add(row, (Datum) 0, true);
}

static void
add_int(Row *row, int value)
{
	add(row, Int32GetDatum(value), false);
}

static void
add_count(Row *row, uint64 value)
{
	add(row, Int64GetDatum((int64) Min(value, (uint64) PG_INT64_MAX)), false);
}

static void
add_double(Row *row, double value)
{
	add(row, Float8GetDatum(value), false);
}

static void
add_bool(Row *row, bool value)
{
	add(row, BoolGetDatum(value), false);
}

/* 0 = never, NULL. */
static void
add_time(Row *row, TimestampTz value)
{
	add(row, TimestampTzGetDatum(value), value == 0);
}

static void
add_text(Row *row, const char *text)
{
	if (text == NULL)
		add_null(row);
	else
		add(row, CStringGetTextDatum(po_view_printable(text)), false);
}

/* ---------- who may see what ---------- */

static void
deny_other_tenant(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for another tenant"),
			 errdetail("Only roles with privileges of pg_read_all_stats may look at tenants "
					   "other than their own.")));
}

/* Its index.  First the right, so that nobody learns whether another tenant exists. */
static int
find_visible_tenant(const char *name)
{
	int			tenant = po_registry_find_tenant(name);

	if (!po_view_sees_tenant(tenant))
		deny_other_tenant();
	if (tenant < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("tenant \"%s\" does not exist", name),
				 errhint("The names are in pool_stats.")));
	return tenant;
}

/* ---------- pool_stats ---------- */

static void
add_times(Row *row, const PoTenantStats *s)
{
	static const double quantiles[] = {0.50, 0.95, 0.99};
	PoHistogram waits;

	po_histogram_widen(&s->waits, &waits);
	if (s->transactions == 0)
	{
		for (int i = 0; i < 4; i++)
			add_null(row);
	}
	else
	{
		add_double(row, s->service_us / s->transactions / PO_US_PER_MS);
		for (int i = 0; i < lengthof(quantiles); i++)
			add_double(row, po_histogram_quantile(&s->service, quantiles[i]) / PO_US_PER_MS);
	}
	if (po_histogram_total(&waits) == 0)
		add_null(row);
	else
		add_double(row, po_histogram_quantile(&waits, 0.99) / PO_US_PER_MS);
}

static void
put_tenant(Row *row, const PoTenant *t, const PoTenantStats *s)
{
	bool		current = s->counts_tick >= pg_atomic_read_u64(&po_shared->samples);
	int			active = current ? s->active : 0;
	int			in_transaction = current ? s->idle_in_transaction : 0;
	int			sessions = t->used + t->exempt;

	add_text(row, t->name);
	add_int(row, sessions);
	add_int(row, active);
	add_int(row, Max(sessions - active - in_transaction, 0));
	add_int(row, in_transaction);
	add_int(row, t->waiting);
	add_int(row, t->fields.max_connections);
	add_int(row, t->fields.guaranteed);
	add_double(row, po_health_utilization(t->used, t->fields.max_connections));
	add_int(row, t->peak_sessions);
	add_int(row, s->peak_busy);
	add_count(row, t->admitted);
	add_count(row, t->rejected);
	add_count(row, t->would_reject);
	add_count(row, s->terminated);
	add_count(row, s->would_terminate);
	add_count(row, s->transactions);
	add_count(row, s->rollbacks);
	add_count(row, t->rejected + s->terminated + t->failed_logins + s->xact_errors);
	add_text(row, po_view_sees_all() && s->last_error_at != 0 ? s->last_error : NULL);
	add_time(row, s->last_error_at);
	add_times(row, s);
	if (s->recommendation.size > 0)
		add_int(row, s->recommendation.size);
	else
		add_null(row);
	add_time(row, t->first_seen);
	add_time(row, t->last_used);
	add_text(row, po_mode_name(po_mode_lower((PoMode) po_guc_mode, t->fields.quota_mode)));
	add_int(row, t->exempt);
	add_bool(row, (t->fields.set & PO_SET_DRAIN) != 0);
	end_row(row);
}

Datum
pool_stats_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	int			n;

	begin_rows(fcinfo, &row);
	n = po_view_tenant_count();
	for (int i = 0; i < n; i++)
	{
		PoTenant	t;
		PoTenantStats s;

		CHECK_FOR_INTERRUPTS();
		if (!po_view_sees_tenant(i) || !po_registry_copy_tenant(i, &t) || !po_view_is_shown(i, &t))
			continue;
		po_stats_copy(i, &s);
		put_tenant(&row, &t, &s);
	}
	return (Datum) 0;
}

/* ---------- pool_stats_cluster ---------- */

static void
add_pid(Row *row, pg_atomic_uint32 *pid)
{
	uint32		value = pg_atomic_read_u32(pid);

	add(row, Int32GetDatum((int32) value), value == 0);
}

Datum
pool_stats_cluster_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	PoHealth	h;
	const PoRegistry *r = &h.totals;
	PoStatementTable statements;
	char		error[PO_ERROR_LEN];
	TimestampTz error_at;
	TimestampTz last_sample;
	uint64		samples;

	begin_rows(fcinfo, &row);
	po_health_read(&h);
	po_shmem_get_error(error, sizeof(error), &error_at);
	samples = pg_atomic_read_u64(&po_shared->samples);
	last_sample = (TimestampTz) pg_atomic_read_u64(&po_shared->last_sample);

	add_text(&row, po_mode_name((PoMode) po_guc_mode));
	add_int(&row, po_shared->usable);
	add_int(&row, r->admitted + r->exempt);
	add_int(&row, r->waiting);
	add_int(&row, h.authenticating);
	add_double(&row, h.utilization);
	add_text(&row, po_health_name(h.level));
	add_int(&row, r->n_tenants - 1 - r->n_free_tenants);
	add_int(&row, r->guaranteed_total);
	add_pid(&row, &po_shared->sampler_pid);
	add_pid(&row, &po_shared->keeper_pid);
	add_time(&row, last_sample);
	add_count(&row, samples);
	add_count(&row, pg_atomic_read_u64(&po_shared->missed_samples));
	if (samples == 0)
		add_null(&row);
	else
		add_double(&row, pg_atomic_read_u64(&po_shared->sample_ns) / 1000.0 / samples);
	add_count(&row, r->generation);
	add_count(&row, r->overflow_logins);
	add_count(&row, r->unready);
	add_count(&row, pg_atomic_read_u64(&po_shared->worker_errors));
	add_text(&row, po_view_sees_all() && error[0] != '\0' ? error : NULL);
	if (po_view_sees_all())
		add_time(&row, error_at);
	else
		add_null(&row);
	add_count(&row, po_shared->size);
	po_statement_copy_table(&statements);
	add_int(&row, statements.n_in_use);
	add_count(&row, statements.evicted);
	add_count(&row, statements.size);
	end_row(&row);
	return (Datum) 0;
}

/* ---------- pool_health ---------- */

Datum
pool_health_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	PoHealth	h;

	begin_rows(fcinfo, &row);
	po_health_read(&h);
	add_text(&row, po_health_name(h.level));
	add_text(&row, po_health_reason(&h));
	add_double(&row, h.utilization);
	add_int(&row, Max(po_shared->usable - h.taken, 0));
	add_bool(&row, RecoveryInProgress());
	end_row(&row);
	return (Datum) 0;
}

/* ---------- pool_metrics ---------- */

Datum
pool_metrics_1_0(PG_FUNCTION_ARGS)
{
	po_shmem_require();
	PG_RETURN_TEXT_P(cstring_to_text(po_metrics_text()));
}

static void
add_array(Row *row, Datum *values, int n, Oid type)
{
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	add(row, PointerGetDatum(construct_array(values, n, type, length, by_value, align)), false);
}

static void
add_histogram(Row *row, const PoMetricsHistogram *h)
{
	Datum		bounds[PO_METRICS_BOUNDS];
	Datum		counts[PO_METRICS_BOUNDS];

	for (int i = 0; i < h->n; i++)
	{
		bounds[i] = Float8GetDatum(h->bound[i]);
		counts[i] = Int64GetDatum(h->cumulative[i]);
	}
	add_array(row, bounds, h->n, FLOAT8OID);
	add_array(row, counts, h->n, INT8OID);
	add_double(row, h->sum);
	add(row, Int64GetDatum(h->cumulative[h->n]), false);
}

static Datum
put_metrics(FunctionCallInfo fcinfo, PoMetricsFamily family)
{
	Row			row;
	PoMetricsRow *rows;
	int			n;

	begin_rows(fcinfo, &row);
	rows = po_metrics_rows(family, &n);
	for (int i = 0; i < n; i++)
	{
		if (rows[i].label != NULL)
			add_text(&row, rows[i].label);
		if (rows[i].severity != NULL)
			add_text(&row, rows[i].severity);
		for (int v = 0; v < rows[i].n_values; v++)
			add(&row, Float8GetDatum(rows[i].value[v]), isnan(rows[i].value[v]));
		for (int h = 0; h < rows[i].n_histograms; h++)
			add_histogram(&row, &rows[i].histogram[h]);
		end_row(&row);
	}
	return (Datum) 0;
}

Datum
pool_metrics_cluster_1_0(PG_FUNCTION_ARGS)
{
	return put_metrics(fcinfo, PO_METRICS_CLUSTER);
}

Datum
pool_metrics_alert_1_0(PG_FUNCTION_ARGS)
{
	return put_metrics(fcinfo, PO_METRICS_ALERT);
}

Datum
pool_metrics_finding_1_0(PG_FUNCTION_ARGS)
{
	return put_metrics(fcinfo, PO_METRICS_FINDING);
}

Datum
pool_metrics_tenant_1_0(PG_FUNCTION_ARGS)
{
	return put_metrics(fcinfo, PO_METRICS_TENANT);
}

Datum
pool_metrics_pooler_1_0(PG_FUNCTION_ARGS)
{
	return put_metrics(fcinfo, PO_METRICS_POOLER);
}

/* ---------- pool_stats_statement ---------- */

/* Those of the tenants that are shown. */
typedef struct Statements
{
	Row			row;
	int			n_tenants;
	char	  **name;			/* of each tenant, NULL = not shown */
	double	   *total_us;		/* of each tenant */
	HTAB	   *texts;
	bool		with_texts;
} Statements;

/* Time in which a connection was held. */
static double
held_us(const PoStatementSums *s)
{
	return (double) s->busy_us + (double) s->wait_us;
}

static void
begin_statements(Statements *all)
{
	int			n = po_view_tenant_count();

	all->n_tenants = n;
	all->name = palloc0(n * sizeof(char *));
	all->total_us = palloc0(n * sizeof(double));
	for (int i = 0; i < n; i++)
	{
		PoTenant	t;
		PoStatementSums others;

		CHECK_FOR_INTERRUPTS();
		if (!po_view_sees_tenant(i) || !po_registry_copy_tenant(i, &t))
			continue;
		all->name[i] = pstrdup(t.name);
		po_statement_copy_others(i, &others);
		all->total_us[i] = held_us(&others);
	}
	for (int i = 0; i < po_statement_n_places(); i++)
	{
		PoStatement s;

		CHECK_FOR_INTERRUPTS();
		if (po_statement_copy(i, &s, NULL) && s.tenant < n)
			all->total_us[s.tenant] += held_us(&s.sums);
	}
}

static void
add_sums(Statements *all, int tenant, const PoStatementSums *s)
{
	Row		   *row = &all->row;
	double		total = all->total_us[tenant];

	add_count(row, s->calls);
	add_double(row, (double) s->busy_us / PO_US_PER_MS);
	add_double(row, held_us(s) / PO_US_PER_S);
	/* It has grown since the total was taken. */
	add_double(row, total > 0 ? Min(held_us(s) / total, 1.0) : 0);
	add_double(row, (double) s->wait_us / PO_US_PER_MS);
	add_double(row, (double) s->lock_us / PO_US_PER_MS);
	if (s->calls == 0)
		add_null(row);
	else
		add_double(row, (double) s->busy_us / s->calls / PO_US_PER_MS);
}

/* The queryid of what ran before a statement, is waited for, or an alert is about, as in
 * pool_findings: not that of another role or tenant. */
static void
add_visible_queryid(Row *row, int tenant, uint64 queryid)
{
	char		text[PO_STATEMENT_TEXT_LEN];
	PoStatement other;

	if (queryid == 0 ||
		(!po_view_sees_all() && (!po_statement_find(tenant, queryid, &other, text) ||
								 !po_view_sees_statement(other.role))))
		add_null(row);
	else
		add(row, Int64GetDatum((int64) queryid), false);
}

/* What hints at waste in it; other statements and its tables only to those who may read it. */
static void
add_hints(Row *row, const PoStatement *s, bool is_shown)
{
	const PoStatementHints *h = &s->hints;
	bool		has_scan = is_shown && OidIsValid(s->plan.scan_table);
	/* The own tenant may have run the same, which says nothing of who runs it elsewhere. */
	bool		shows_blocker = is_shown && (!s->blocker_is_foreign || po_view_sees_all());

	add_count(row, h->slow);
	add_count(row, h->very_slow);
	add_count(row, h->loops);
	add_count(row, h->loop_calls);
	add_visible_queryid(row, s->tenant, is_shown ? s->parent : 0);
	add(row, Float8GetDatum(h->reads == 0 ? 0 : (double) h->rereads[PO_N_CACHE_TTLS - 1] /
							h->reads), h->reads == 0);
	add_visible_queryid(row, s->tenant, shows_blocker ? s->blocker : 0);
	add(row, ObjectIdGetDatum(s->plan.scan_table), !has_scan || s->database != MyDatabaseId);
}

static void
put_statement(Statements *all, const PoStatement *s, const char *text)
{
	Row		   *row = &all->row;
	bool		is_shown = po_view_sees_statement(s->role);

	add_text(row, all->name[s->tenant]);
	add(row, Int64GetDatum((int64) s->queryid), !is_shown);
	add_sums(all, s->tenant, &s->sums);
	if (s->sums.calls == 0)
	{
		add_null(row);
		add_null(row);
	}
	else
	{
		add_double(row, po_brief_quantile(&s->durations, 0.99, (int64) s->max_us) /
				   PO_US_PER_MS);
		add_double(row, (double) s->max_us / PO_US_PER_MS);
	}
	add_count(row, s->sums.rows);
	add_time(row, s->first_seen);
	add_time(row, s->last_seen);
	add_text(row, !is_shown || !all->with_texts ? NULL :
			 po_statement_text_find(all->texts, s->queryid, s->database, text));
	add_hints(row, s, is_shown);
	end_row(row);
}

/* All that is in no row of its own. */
static void
put_other_statements(Statements *all, int tenant)
{
	Row		   *row = &all->row;
	PoStatementSums s;

	po_statement_copy_others(tenant, &s);
	if (s.calls + s.busy_us + s.wait_us + s.lock_us == 0)
		return;
	add_text(row, all->name[tenant]);
	add_null(row);
	add_sums(all, tenant, &s);
	add_null(row);
	add_null(row);
	add_count(row, s.rows);
	for (int i = 0; i < 11; i++)
		add_null(row);
	end_row(row);
}

Datum
pool_stats_statement_1_0(PG_FUNCTION_ARGS)
{
	Statements	all;

	memset(&all, 0, sizeof(all));
	begin_rows(fcinfo, &all.row);
	all.with_texts = !PG_ARGISNULL(0) && PG_GETARG_BOOL(0);
	if (all.with_texts)
		all.texts = po_statement_text_load(!po_view_sees_all());
	po_statement_merge_all();
	begin_statements(&all);
	for (int i = 0; i < po_statement_n_places(); i++)
	{
		PoStatement s;
		char		text[PO_STATEMENT_TEXT_LEN];

		CHECK_FOR_INTERRUPTS();
		if (po_statement_copy(i, &s, text) && s.tenant < all.n_tenants &&
			all.name[s.tenant] != NULL)
			put_statement(&all, &s, text);
	}
	for (int i = 0; i < all.n_tenants; i++)
	{
		if (all.name[i] != NULL)
			put_other_statements(&all, i);
	}
	return (Datum) 0;
}

/* ---------- pool_stats_session ---------- */

static const char *
verdict_name(PoVerdict verdict)
{
	switch (verdict)
	{
		case PO_VERDICT_KEEP:
			return "keep";
		case PO_VERDICT_EXEMPT:
			return "exempt";
		case PO_VERDICT_WOULD_TERMINATE:
			return "would_terminate";
		case PO_VERDICT_TERMINATE:
			return "terminate";
		case PO_VERDICT_RATE_LIMITED:
			return "rate_limited";
		case PO_VERDICT_BREAKER_OPEN:
			return "breaker_open";
	}
	return "unknown";
}

/* As the role may see it in pg_stat_activity. */
static bool
sees_detail(const PoSeen *seen)
{
	return po_view_sees_all() ||
		(OidIsValid(seen->role) && has_privs_of_role(GetUserId(), seen->role));
}

static void
add_address(Row *row, const char *address)
{
	if (strcmp(address, "[local]") == 0)
		add_null(row);
	else
		add(row, DirectFunctionCall1(inet_in, CStringGetDatum(address)), false);
}

static void
put_session(Row *row, int slot, const PoIdentityCopy *who, const PoSeen *seen)
{
	PoTenant	t;
	PoJudgement j;
	PoHoldings	holdings;
	PoExempt	exempt;
	PoVerdict	verdict = PO_VERDICT_KEEP;
	PoClass		class;
	char		application[NAMEDATALEN];
	bool		detail = sees_detail(seen);
	TimestampTz now = GetCurrentTimestamp();

	if (!po_registry_copy_tenant(who->tenant, &t))
		return;
	po_judge_session(slot, seen, &t.fields, &j);
	exempt = po_judge_exempt(slot, seen, &holdings);
	if (exempt == PO_EXEMPT_SELF)
		exempt = PO_EXEMPT_NO;	/* true of the caller only */
	class = j.finding.class;
	(void) po_judge_found(slot, seen, &class, &verdict);
	po_sample_application(slot, application, sizeof(application));

	add_int(row, seen->pid);
	add_text(row, t.name);
	if (!detail)
	{
		while (row->n < row->desc->natts)
			add_null(row);
		row->n = row->desc->natts;
		row->values[11] = CStringGetTextDatum(po_class_name(class));
		row->nulls[11] = false;
		end_row(row);
		return;
	}
	add_text(row, who->database);
	add_text(row, who->role);
	add_text(row, application);
	add_address(row, who->address);
	add_time(row, seen->backend_start);
	add_text(row, seen->state == PO_STATE_UNKNOWN ? NULL : po_state_name(seen->state));
	add_double(row, (double) j.facts.state_us / PO_US_PER_MS);
	if (seen->xact_start == 0)
		add_null(row);
	else
		add_double(row, (double) Min(Max(now - seen->xact_start, 0), j.facts.age_us) /
				   PO_US_PER_MS);
	add_count(row, j.facts.transactions);
	add_text(row, po_class_name(class));
	add_double(row, j.leak_probability);
	add_text(row, po_judge_exempt_name(exempt));
	add_text(row, verdict_name(exempt != PO_EXEMPT_NO ? PO_VERDICT_EXEMPT : verdict));
	end_row(row);
}

Datum
pool_stats_session_1_0(PG_FUNCTION_ARGS)
{
	Row			row;

	begin_rows(fcinfo, &row);
	for (int i = 0; i < po_shared->n_slots; i++)
	{
		PoIdentityCopy who;
		PoSeen		seen;

		CHECK_FOR_INTERRUPTS();
		if (po_registry_copy_session(i, &who) && po_view_sees_tenant(who.tenant) &&
			po_sample_read(i, &seen) && seen.pid == who.pid)
			put_session(&row, i, &who, &seen);
	}
	return (Datum) 0;
}

/* ---------- pool_recommendations ---------- */

static void
put_recommendation(Row *row, const PoTenant *t, const PoTenantStats *s)
{
	PoRecommendation copy = s->recommendation;
	const PoRecommendation *r = &copy;
	char		reason[PO_RECOMMEND_REASON_LEN];
	int			sessions = t->used + t->exempt;

	/* Not computed yet: what is stays. */
	if (s->computed_at == 0)
		copy.size = copy.min = copy.max = copy.target = sessions;
	po_recommend_reason(r, &s->input, &t->fields, &s->search, reason, sizeof(reason));
	add_text(row, t->name);
	add_int(row, sessions);
	add_int(row, r->min);
	add_int(row, r->size);
	add_int(row, r->max);
	add_int(row, r->busy_p50);
	add_int(row, r->busy_p95);
	add_int(row, r->busy_max);
	add_double(row, s->input.arrival_rate);
	add_double(row, s->input.service_us / PO_US_PER_MS);
	add_text(row, po_bottleneck_name(r->bottleneck));
	add_double(row, r->predicted_wait_us / PO_US_PER_MS);
	add_double(row, r->confidence);
	add_text(row, po_method_name(r->method));
	add_text(row, reason);
	add_time(row, s->computed_at);
	add_double(row, r->busy_mean);
	add_int(row, r->target);
	add_double(row, r->predicted_p95_us / PO_US_PER_MS);
	if (s->input.allotted > 0)
		add_int(row, s->input.allotted);
	else
		add_null(row);
	if (s->input.warmup.login_us > 0)
		add_double(row, (double) s->input.warmup.login_us / PO_US_PER_MS);
	else
		add_null(row);
	add_int(row, s->input.warmup.rise);
	end_row(row);
}

Datum
pool_recommendations_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	int			n;

	begin_rows(fcinfo, &row);
	n = po_view_tenant_count();
	for (int i = 0; i < n; i++)
	{
		PoTenant	t;
		PoTenantStats s;

		CHECK_FOR_INTERRUPTS();
		if (!po_view_sees_tenant(i) || !po_registry_copy_tenant(i, &t) || !po_view_is_shown(i, &t))
			continue;
		po_stats_copy(i, &s);
		put_recommendation(&row, &t, &s);
	}
	return (Datum) 0;
}

/* ---------- pool_events ---------- */

static Datum
event_detail(const PoEvent *event)
{
	return DirectFunctionCall1(jsonb_in,
							   CStringGetDatum(event->detail[0] == '\0' ? "{}" :
											   po_view_printable(event->detail)));
}

static void
put_event(Row *row, const PoEvent *event, const char *my_tenant)
{
	/* Of its own tenant one sees what happened, of other sessions not who they are. */
	bool		hide = my_tenant != NULL &&
		(event->pid != MyProcPid || event->at < MyStartTimestamp);

	if (my_tenant != NULL && strcmp(event->tenant, my_tenant) != 0)
		return;
	add_time(row, event->at);
	add_text(row, po_event_kind_name(event->kind));
	add_text(row, event->tenant[0] == '\0' ? NULL : event->tenant);
	add(row, Int32GetDatum(event->pid), event->pid == 0 || hide);
	add_text(row, event->reason);
	if (hide)
		add_null(row);
	else
		add(row, event_detail(event), false);
	end_row(row);
}

Datum
pool_events_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	PoTenant	mine;
	PoEvent		event;
	const char *my_tenant = NULL;

	begin_rows(fcinfo, &row);
	if (!po_view_sees_all())
	{
		if (!po_registry_copy_tenant(po_session_my_tenant(), &mine))
			return (Datum) 0;
		my_tenant = mine.name;
	}
	for (int ring = 0; ring < PO_N_RINGS; ring++)
	{
		uint64		number = 0;

		/* No more than there were, however many are written meanwhile. */
		for (int i = 0; i < po_shared->n_events && po_events_copy(ring, &number, &event); i++)
		{
			CHECK_FOR_INTERRUPTS();
			put_event(&row, &event, my_tenant);
		}
	}
	return (Datum) 0;
}

/* ---------- pool_alerts ---------- */

/* The name of whose alert it is, NULL = the cluster's; false when the caller may not see
 * it, or the tenant is another one by now. */
static bool
alert_is_visible(const PoAlertRecord *alert, PoTenant *tenant, const char **name)
{
	*name = NULL;
	if (alert->tenant < 0)
		return po_view_sees_all();
	if (!po_view_sees_tenant(alert->tenant) || !po_registry_copy_tenant(alert->tenant, tenant) ||
		tenant->hash != alert->subject)
		return false;
	*name = tenant->name;
	return true;
}

static void
put_alert(Row *row, const PoAlertRecord *alert)
{
	PoTenant	tenant;
	const char *name;

	if (!alert_is_visible(alert, &tenant, &name))
		return;
	add_text(row, name);
	add_text(row, po_alert_name(alert->kind));
	add_text(row, po_severity_name(alert->severity));
	add_time(row, alert->since);
	add_double(row, alert->value);
	add_double(row, alert->threshold);
	add_text(row, alert->message);
	add_count(row, alert->id);
	add_visible_queryid(row, alert->tenant, alert->queryid);
	end_row(row);
}

Datum
pool_alerts_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	PoAlertRecord *alerts;

	begin_rows(fcinfo, &row);
	alerts = palloc_extended(po_shared->n_alerts * sizeof(PoAlertRecord), MCXT_ALLOC_HUGE);
	(void) po_alert_table_copy(alerts, NULL);
	for (int i = 0; i < po_shared->n_alerts; i++)
	{
		if (alerts[i].id != 0)
			put_alert(&row, &alerts[i]);
	}
	return (Datum) 0;
}

/* cleared_at 0 = raised now. */
static void
put_alert_history(Row *row, const PoAlertRecord *alert, TimestampTz cleared_at)
{
	PoTenant	tenant;
	const char *name;
	TimestampTz end = cleared_at == 0 ? GetCurrentTimestamp() : cleared_at;

	if (!alert_is_visible(alert, &tenant, &name))
		return;
	add_text(row, name);
	add_text(row, po_alert_name(alert->kind));
	add_text(row, po_severity_name(alert->severity));
	add_time(row, alert->since);
	add_time(row, cleared_at);
	add_double(row, (double) Max(end - alert->since, 0) / PO_US_PER_MS);
	add_double(row, alert->worst);
	add_double(row, alert->threshold);
	add_text(row, alert->message);
	add_count(row, alert->id);
	add_visible_queryid(row, alert->tenant, alert->queryid);
	end_row(row);
}

Datum
pool_alerts_history_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	PoAlertEntry *entries;
	PoAlertRecord *alerts;
	int			n;

	begin_rows(fcinfo, &row);
	entries = palloc_extended(po_shared->n_alert_entries * sizeof(PoAlertEntry),
							  MCXT_ALLOC_HUGE);
	alerts = palloc_extended(po_shared->n_alerts * sizeof(PoAlertRecord), MCXT_ALLOC_HUGE);
	n = po_alert_table_copy(alerts, entries);
	for (int i = 0; i < n; i++)
	{
		if (entries[i].change == PO_ALARM_CLEARED)
			put_alert_history(&row, &entries[i].record, entries[i].at);
	}
	for (int i = 0; i < po_shared->n_alerts; i++)
	{
		if (alerts[i].id != 0)
			put_alert_history(&row, &alerts[i], 0);
	}
	return (Datum) 0;
}

/* ---------- pool_stats_pooler ---------- */

/* -1 = not known. */
static void
add_known(Row *row, double value)
{
	add(row, Float8GetDatum(value), value < 0);
}

static void
add_known_int(Row *row, int value)
{
	add(row, Int32GetDatum(value), value < 0);
}

static void
put_pool(Row *row, const PoPoolSeen *seen)
{
	const PoPoolerPool *p = &seen->pool;
	PoTenant	tenant;

	add_text(row, p->database);
	add_text(row, p->user);
	add_text(row, po_registry_copy_tenant(seen->tenant, &tenant) ? tenant.name : NULL);
	add_text(row, p->pool_mode[0] == '\0' ? NULL : p->pool_mode);
	add_known_int(row, seen->pool_size);
	add_known_int(row, seen->min_pool_size);
	add_known_int(row, seen->reserve_pool_size);
	add(row, Int64GetDatum(p->cl_active), false);
	add(row, Int64GetDatum(p->cl_waiting), false);
	add(row, Int64GetDatum(p->sv_active), false);
	add(row, Int64GetDatum(p->sv_idle), false);
	add(row, Int64GetDatum(p->sv_used), false);
	add_double(row, p->maxwait * 1000.0 + p->maxwait_us / 1000.0);
	/* These are of all users of the database: others' load. */
	add_known(row, po_view_sees_all() ? seen->rates.xacts : -1);
	add_known(row, po_view_sees_all() ? seen->rates.queries : -1);
	add_known(row, po_view_sees_all() ? seen->rates.xact_ms : -1);
	add_known(row, po_view_sees_all() ? seen->rates.wait_ms : -1);
}

#define POOL_COLUMNS	17

/* pool NULL = the pooler alone. */
static void
put_pooler(Row *row, const PoPoolerSeen *pooler, const PoPoolSeen *pool, const char *callers)
{
	add_text(row, pooler->name);
	if (pool != NULL)
		put_pool(row, pool);
	else
	{
		for (int i = 0; i < POOL_COLUMNS; i++)
			add_null(row);
	}
	add_time(row, pooler->seen_at);
	add_text(row, po_pooler_table_state_name(pooler->state));
	add_text(row, po_view_sees_all() && pooler->error[0] != '\0' ? pooler->error : NULL);
	add_text(row, pooler->version[0] == '\0' ? NULL : pooler->version);
	add_known_int(row, pool != NULL && pool->obtainable > 0 ? pool->obtainable : -1);
	add_text(row, pool == NULL ? NULL :
			 po_pooler_problem_text((PoResizeProblem) pool->problem));
	add_known_int(row, pool == NULL ? -1 : pool->instances);
	/* What others in its tenant call themselves is nothing for a plain role. */
	add_text(row, po_view_sees_all() ? callers : NULL);
	end_row(row);
}

Datum
pool_stats_pooler_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	PoPoolerSeen poolers[PO_POOLER_MOST];
	PoPoolSeen *pools;
	PoPoolerTexts *texts;
	int			n_poolers;
	int			n_pools;

	begin_rows(fcinfo, &row);
	pools = palloc(po_shared->n_pools * sizeof(PoPoolSeen));
	texts = palloc(sizeof(PoPoolerTexts));
	po_pooler_table_copy(poolers, &n_poolers, pools, &n_pools, texts);
	for (int i = 0; i < n_poolers; i++)
	{
		bool		has_pools = false;

		for (int j = 0; j < n_pools; j++)
		{
			if (pools[j].pooler != i)
				continue;
			has_pools = true;
			if (po_view_sees_tenant(pools[j].tenant))
				put_pooler(&row, &poolers[i], &pools[j],
						   pools[j].text > 0 ? texts->text[pools[j].text - 1] : NULL);
		}
		if (!has_pools && po_view_sees_all())
			put_pooler(&row, &poolers[i], NULL, NULL);
	}
	return (Datum) 0;
}

/* ---------- pool_stats_history ---------- */

/* Without a beginning, so many buckets. */
#define DEFAULT_BUCKETS		1440
#define MOST_RESOLUTION_US	(366 * USECS_PER_DAY)

/* The history's time of an argument; infinite is as far as there is anything. */
static int64
history_time(TimestampTz t)
{
	if (TIMESTAMP_NOT_FINITE(t))
		return TIMESTAMP_IS_NOBEGIN(t) ? PG_INT64_MIN : PG_INT64_MAX;
	return t - PO_HISTORY_EPOCH;
}

/* Arguments resolution, since and until. */
static void
history_query(FunctionCallInfo fcinfo, PoHistoryQuery *query)
{
	TimestampTz now = GetCurrentTimestamp();

	memset(query, 0, sizeof(*query));
	if (PG_ARGISNULL(0))
		po_setter_bad_argument("resolution", "must not be null");
	query->resolution = po_policy_row_interval_us(PG_GETARG_INTERVAL_P(0));
	if (query->resolution > MOST_RESOLUTION_US ||
		!po_history_is_resolution(query->resolution))
		po_setter_bad_argument("resolution", "must be seconds that divide a minute, 1, 5, "
								   "10, 15, 20 or 30 minutes, hours that divide a day, or up "
								   "to 366 days");
	query->since = history_time(PG_ARGISNULL(1) ? now : PG_GETARG_TIMESTAMPTZ(1));
	if (PG_ARGISNULL(1))
		query->since -= DEFAULT_BUCKETS * query->resolution;
	/* The bucket in which that is is wanted whole. */
	if (query->since > PG_INT64_MIN + query->resolution)
		query->since -= (query->since % query->resolution + query->resolution) %
			query->resolution;
	query->until = PG_ARGISNULL(2) ? PG_INT64_MAX : history_time(PG_GETARG_TIMESTAMPTZ(2));
}

static void
add_durations(Row *row, const PoHistoryValues *v)
{
	static const int shown[] = {0, 2, 3};

	for (int i = 0; i < lengthof(shown); i++)
	{
		double		us = po_history_unpack_us(v->service[shown[i]]);

		add(row, Float8GetDatum(us / PO_US_PER_MS), v->service[PO_HISTORY_POINTS - 1] == 0);
	}
}

static void
put_history(const PoHistoryBucket *bucket, void *arg)
{
	Row		   *row = arg;
	const PoHistoryValues *v = &bucket->values;

	add_time(row, bucket->start + PO_HISTORY_EPOCH);
	add_double(row, (double) bucket->length / PO_US_PER_MS);
	add_text(row, bucket->tenant);
	add_double(row, v->sessions_avg);
	add_int(row, v->sessions_max);
	add_double(row, v->busy_avg);
	add_int(row, v->busy_max);
	add_count(row, v->rejected);
	add_count(row, v->terminated);
	add_count(row, v->transactions);
	add_durations(row, v);
	add_int(row, v->waiting_max);
	add_count(row, v->errors);
	add_int(row, v->max_connections);
	add(row, Int32GetDatum(v->recommended), v->recommended <= 0);
	end_row(row);
}

/* For which tenant (an argument), NULL = all; false when there is none that the caller may see. */
static bool
history_tenant(FunctionCallInfo fcinfo, int argument, const char **tenant)
{
	PoTenant	mine;

	*tenant = PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));
	if (*tenant != NULL && (*tenant)[0] == '\0')
		po_setter_bad_argument("for_tenant", "must not be empty");
	if (po_view_sees_all())
		return true;
	if (!po_registry_copy_tenant(po_session_my_tenant(), &mine))
		mine.name[0] = '\0';
	if (*tenant != NULL && strcmp(*tenant, mine.name) != 0)
		deny_other_tenant();
	*tenant = pstrdup(mine.name);
	return mine.name[0] != '\0';
}

Datum
pool_stats_history_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	PoHistoryQuery query;

	begin_rows(fcinfo, &row);
	history_query(fcinfo, &query);
	if (history_tenant(fcinfo, 3, &query.tenant))
		po_history_read(&query, put_history, &row);
	return (Datum) 0;
}

/* What all tenants did together is for those who may see each. */
static void
put_cluster_history(const PoHistoryBucket *bucket, void *arg)
{
	Row		   *row = arg;
	const PoHistoryValues *v = &bucket->values;
	bool		hide = !po_view_sees_all();
	int			usable = Max(v->max_connections, 1);

	add_time(row, bucket->start + PO_HISTORY_EPOCH);
	add_double(row, (double) bucket->length / PO_US_PER_MS);
	add_double(row, v->sessions_avg);
	add_int(row, v->sessions_max);
	add_double(row, Min((double) (v->sessions_max + v->waiting_max) / usable, 1.0));
	add_int(row, v->waiting_max);
	add_int(row, v->max_connections);
	add(row, Float8GetDatum(v->busy_avg), hide);
	add(row, Int32GetDatum(v->busy_max), hide);
	add(row, Int64GetDatum(v->rejected), hide);
	add(row, Int64GetDatum(v->terminated), hide);
	add(row, Int64GetDatum(v->errors), hide);
	add(row, Int64GetDatum(v->transactions), hide);
	add_durations(row, v);
	for (int i = row->n - 3; i < row->n; i++)
		row->nulls[i] = row->nulls[i] || hide;
	end_row(row);
}

Datum
pool_stats_cluster_history_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	PoHistoryQuery query;

	begin_rows(fcinfo, &row);
	history_query(fcinfo, &query);
	query.tenant = PO_HISTORY_CLUSTER_NAME;
	po_history_read(&query, put_cluster_history, &row);
	return (Datum) 0;
}

/* ---------- pool_stats_profile ---------- */

static void
put_profile(const PoProfileRow *profile, void *arg)
{
	Row		   *row = arg;

	add_text(row, profile->tenant);
	add_int(row, profile->hour);
	add_double(row, profile->profile.busy_mean);
	add_double(row, profile->profile.busy_p95);
	add_int(row, profile->profile.weeks);
	add_text(row, profile->time_zone);
	add_time(row, profile->computed_at);
	end_row(row);
}

Datum
pool_stats_profile_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	const char *tenant;

	begin_rows(fcinfo, &row);
	if (history_tenant(fcinfo, 0, &tenant))
		po_profile_table_read(tenant, put_profile, &row);
	return (Datum) 0;
}

/* ---------- pool_explain_admission ---------- */

typedef struct Explanation
{
	PoIdentity	who;
	char	   *role;			/* as core knows it: who.role has no control characters */
	char		address[PO_PART_LEN];
	char		tenant[PO_NAME_LEN];
} Explanation;

/* Text of an argument, clipped like the real thing; fallback when NULL. */
static char *
part_argument(FunctionCallInfo fcinfo, int i, const char *fallback)
{
	const char *given = PG_ARGISNULL(i) ? fallback :
		text_to_cstring(PG_GETARG_TEXT_PP(i));
	char	   *part = palloc(PO_PART_LEN);

	po_name_copy(part, given, PO_PART_LEN);
	return part;
}

static void
address_argument(FunctionCallInfo fcinfo, int i, char *address)
{
	PoCidr		cidr;
	char	   *text;

	strlcpy(address, "[local]", PO_PART_LEN);
	if (PG_ARGISNULL(i))
		return;
	text = DatumGetCString(DirectFunctionCall1(inet_out, PG_GETARG_DATUM(i)));
	if (!po_cidr_parse(text, &cidr) || (cidr.family == 4 && cidr.bits != 32) ||
		(cidr.family == 6 && cidr.bits != 128))
		po_setter_bad_argument("address", "must be one address, without a netmask");
	po_cidr_print(&cidr, address, PO_PART_LEN);
}

static void
read_explanation(FunctionCallInfo fcinfo, Explanation *e)
{
	const PoSlot *mine = po_session_my_slot() < 0 ? NULL : &po_slots[po_session_my_slot()];

	e->who.database = part_argument(fcinfo, 0, get_database_name(MyDatabaseId));
	e->role = PG_ARGISNULL(1) ? GetUserNameFromId(GetSessionUserId(), false) :
		text_to_cstring(PG_GETARG_TEXT_PP(1));
	truncate_identifier(e->role, (int) strlen(e->role), false);
	e->who.role = part_argument(fcinfo, 1, e->role);
	e->who.application = part_argument(fcinfo, 2, mine == NULL ? "" : mine->application);
	if (e->who.application[0] == '\0')
		e->who.application = "[unknown]";
	address_argument(fcinfo, 3, e->address);
	e->who.address = e->address;
	e->who.label = part_argument(fcinfo, 4, mine == NULL ? "" : mine->label);
	po_template_expand(po_guc_tenant, &e->who, e->tenant, sizeof(e->tenant));
}

/* Why a role is exempt, NULL if it is not; an error if there is no such role. */
static const char *
exemption_of(const char *role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHNAME, CStringGetDatum(role));
	bool		superuser;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", role)));
	superuser = ((Form_pg_authid) GETSTRUCT(tuple))->rolsuper;
	ReleaseSysCache(tuple);
	if (superuser)
		return "superusers are exempt: admitted without taking quota";
	if (po_guc_role_is_exempt(role))
		return "the role is in pool_optimizer.exempt_roles: admitted without taking quota";
	return NULL;
}

static const char *
rule_reason(PoRule rule, const PoRuleResult *r, const PoExplained *x, bool told_used)
{
	if (rule == PO_RULE_DRAIN)
		return "the tenant is being drained";
	if (r->limit < 0)
		return "no quota is set";
	if (r->mode == PO_MODE_OFF)
		return "the mode is off: the quota is not looked at";
	if (rule == PO_RULE_BURST)
	{
		if (r->passes && r->used < x->guaranteed)
			return psprintf("%d of %d guaranteed connections are in use", r->used,
							x->guaranteed);
		return r->passes ?
			psprintf("beyond its guarantee of %d, but there is room besides the unused "
					 "guarantees of others", x->guaranteed) :
			psprintf("beyond its guarantee of %d, and what is left is guaranteed to others",
					 x->guaranteed);
	}
	if (!told_used)
		return r->passes ? "the quota has room" : "the quota is used up";
	if (r->passes)
		return psprintf("%d of %d connections are in use", r->used, r->limit);
	if (r->mode == PO_MODE_OBSERVE)
		return psprintf("the quota of %d is used up; mode is observe, so it is let in and "
						"counted", r->limit);
	return psprintf("the quota of %d is used up", r->limit);
}

/* The tenant and the cluster are always told, the others when they have a rule. */
static bool
rule_is_told(PoRule rule, const PoRuleResult *r)
{
	return r->checked || rule == PO_RULE_TENANT || rule == PO_RULE_CLUSTER ||
		(r->mode == PO_MODE_OFF && r->limit >= 0 && rule < PO_RULE_BURST &&
		 rule != PO_RULE_DRAIN);
}

/* A plain role is told of those that hold for itself, as in pool_policies. */
static bool
rule_is_visible(PoRule rule, const char *key)
{
	switch (rule)
	{
		case PO_RULE_DATABASE:
			return po_view_sees_all() || po_policy_rls_is_mine(PO_SCOPE_DATABASE, key);
		case PO_RULE_ROLE:
			return po_view_sees_all() || po_policy_rls_is_mine(PO_SCOPE_ROLE, key);
		case PO_RULE_ADDRESS:
			return po_view_sees_all() || po_policy_rls_is_mine(PO_SCOPE_ADDRESS, key);
		case PO_RULE_APPLICATION:
			return po_view_sees_all() || po_policy_rls_is_mine(PO_SCOPE_APPLICATION, key);
		default:
			return true;
	}
}

static void
put_rule(Row *row, PoRule rule, const PoExplained *x)
{
	static const char *const scopes[PO_N_RULES] = {
		"drain", "tenant", "database", "role", "address", "application", "cluster",
		"guarantees"
	};
	PoRuleResult r = x->admission.result[rule];
	bool		own = rule == PO_RULE_TENANT || rule == PO_RULE_DRAIN || rule == PO_RULE_BURST;
	bool		told_used = own || po_view_sees_all();	/* others are counted there, too */

	if (!rule_is_told(rule, &r) || !rule_is_visible(rule, x->key[rule]))
		return;
	if (!r.checked)
	{
		if (r.mode != PO_MODE_OFF)
			r.limit = PO_UNLIMITED;
		r.passes = true;
		r.outcome = PO_OUTCOME_ADMIT;
	}
	if ((x->queue_full || x->admission.wait_timeout_us == 0) &&
		(r.outcome == PO_OUTCOME_WAIT || r.outcome == PO_OUTCOME_EVICT_IDLE))
		r.outcome = PO_OUTCOME_REJECT;
	add_text(row, scopes[rule]);
	add_text(row, x->key[rule]);
	add(row, Int32GetDatum(r.used), !told_used);
	add_int(row, r.limit);
	if (rule == PO_RULE_TENANT || rule == PO_RULE_BURST)
		add_int(row, x->guaranteed);
	else
		add_null(row);
	add_bool(row, r.passes);
	add_text(row, po_outcome_name(r.outcome));
	add_text(row, rule_reason(rule, &r, x, told_used));
	end_row(row);
}

static void
put_exempt(Row *row, const Explanation *e, const char *reason)
{
	add_text(row, "exempt");
	add_text(row, e->tenant);
	add_null(row);
	add_null(row);
	add_null(row);
	add_bool(row, true);
	add_text(row, po_outcome_name(PO_OUTCOME_ADMIT));
	add_text(row, reason);
	end_row(row);
}

Datum
pool_explain_admission_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	Explanation e;
	PoExplained x;
	const char *exempt;

	begin_rows(fcinfo, &row);
	read_explanation(fcinfo, &e);
	if (!po_view_sees_all() && (po_session_my_tenant() < 0 ||
						po_registry_find_tenant(e.tenant) != po_session_my_tenant()))
		deny_other_tenant();
	exempt = exemption_of(e.role);
	if (exempt != NULL)
	{
		put_exempt(&row, &e, exempt);
		return (Datum) 0;
	}
	po_registry_explain(&e.who, e.tenant,
						po_compat_may_use_reserved(get_role_oid(e.role, false)), &x);
	for (int i = 0; i < PO_N_RULES; i++)
		put_rule(&row, (PoRule) i, &x);
	return (Datum) 0;
}

/* ---------- pool_what_if ---------- */

#define ALL_WANT			0.9
#define MOST_WHAT_IF			10000
#define MOST_WHAT_IF_DEFAULT	1000

/* Up to twice the size that is or should be. */
static int
default_what_if(const PoTenant *t, const PoTenantStats *s)
{
	int64		size = Max(t->used + t->exempt, s->recommendation.size);

	return (int) Min(Max(2 * size, 1), MOST_WHAT_IF_DEFAULT);
}

static void
put_size(Row *row, int size, const PoCurvePoint *p, double measured)
{
	add_int(row, size);
	add_double(row, p->utilization);
	if (p->wait_known)
		add_double(row, p->wait_us / PO_US_PER_MS);
	else
		add_null(row);
	add_double(row, p->throughput);
	if (measured > 0)
		add_double(row, measured);
	else
		add_null(row);
	end_row(row);
}

/*
 * Clients that want a connection all the time; 0 = not known.  Poolers count idle clients
 * with those they serve, so only where nearly all have one or wait for one is it known.
 */
static int
wanting_clients(int tenant)
{
	PoPoolerDemand demand;
	int			wanting;

	po_pooler_table_demand(tenant, &demand);
	wanting = demand.linked + demand.waiting;
	return demand.waiting > 0 && wanting >= ALL_WANT * demand.clients ? wanting : 0;
}

Datum
pool_what_if_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	PoTenant	t;
	PoTenantStats s;
	PoCurve		curve;
	int			tenant;
	int			n;

	begin_rows(fcinfo, &row);
	if (PG_ARGISNULL(0))
		po_setter_bad_argument("tenant", "must not be null");
	if (!PG_ARGISNULL(1) && (PG_GETARG_INT32(1) < 1 || PG_GETARG_INT32(1) > MOST_WHAT_IF))
		po_setter_bad_argument("max_size", "must be between 1 and 10000");
	tenant = find_visible_tenant(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (!po_registry_copy_tenant(tenant, &t))
		return (Datum) 0;		/* gone just now */
	po_stats_copy(tenant, &s);
	n = PG_ARGISNULL(1) ? default_what_if(&t, &s) : PG_GETARG_INT32(1);
	po_curve_fit(&s.input, s.recommendation.load, &s.search, wanting_clients(tenant), &curve);
	for (int size = 1; size <= n; size++)
	{
		PoCurvePoint point;

		CHECK_FOR_INTERRUPTS();
		po_curve_at(&curve, size, &point);
		put_size(&row, size, &point, po_search_rate(&s.search, size));
	}
	return (Datum) 0;
}

/* ---------- pool_client_config ---------- */

/* The part that all sessions of the tenant share; NULL if there is none. */
static const char *
shared_part(int tenant, bool is_role)
{
	char	   *found = NULL;

	for (int i = 0; i < po_shared->n_slots; i++)
	{
		PoIdentityCopy who;
		const char *part;

		if (!po_registry_copy_session(i, &who) || who.tenant != tenant)
			continue;
		part = is_role ? who.role : who.database;
		if (found == NULL)
			found = pstrdup(part);
		else if (strcmp(found, part) != 0)
			return NULL;
	}
	return found;
}

/* CONNECTION LIMIT, PO_UNLIMITED when there is none. */
static int
limit_of_role(const char *name)
{
	HeapTuple	tuple = SearchSysCache1(AUTHNAME, CStringGetDatum(name));
	int			limit = PO_UNLIMITED;

	if (HeapTupleIsValid(tuple))
	{
		limit = ((Form_pg_authid) GETSTRUCT(tuple))->rolconnlimit;
		ReleaseSysCache(tuple);
	}
	return Max(limit, PO_UNLIMITED);
}

static int
limit_of_database(const char *name)
{
	Oid			database = get_database_oid(name, true);
	HeapTuple	tuple;
	int			limit = PO_UNLIMITED;

	if (!OidIsValid(database))
		return limit;
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	if (HeapTupleIsValid(tuple))
	{
		limit = ((Form_pg_database) GETSTRUCT(tuple))->datconnlimit;
		ReleaseSysCache(tuple);
	}
	return Max(limit, PO_UNLIMITED);
}

/* By the default template; with several @, where both parts exist. */
static void
split_name(const char *name, PoClientSubject *subject)
{
	int			n = 0;
	bool		only = strchr(name, '@') == strrchr(name, '@');

	if (strcmp(po_guc_tenant, "%u@%d") != 0)
		return;
	for (const char *at = strchr(name, '@'); at != NULL; at = strchr(at + 1, '@'))
	{
		char	   *role = pnstrdup(name, at - name);

		if (!only && (!OidIsValid(get_role_oid(role, true)) ||
					  !OidIsValid(get_database_oid(at + 1, true))))
			continue;
		n++;
		subject->role = role;
		subject->database = pstrdup(at + 1);
	}
	if (n != 1)
		subject->role = subject->database = NULL;
}

/* Quotas that count others as well, and core's limits. */
static void
fill_ceilings(const PoTenant *t, PoClientSubject *subject)
{
	int		   *ceiling = subject->in.ceiling;

	for (int i = 0; i < PO_N_CEILINGS; i++)
		ceiling[i] = PO_UNLIMITED;
	if (po_mode_lower((PoMode) po_guc_mode, t->fields.quota_mode) != PO_MODE_OFF)
		ceiling[PO_CEILING_QUOTA] = t->fields.max_connections;
	ceiling[PO_CEILING_SERVER] = po_shared->usable;
	if (subject->role != NULL)
		ceiling[PO_CEILING_ROLE_LIMIT] = limit_of_role(subject->role);
	if (subject->database != NULL)
		ceiling[PO_CEILING_DATABASE_LIMIT] = limit_of_database(subject->database);
	if (subject->role != NULL && subject->database != NULL)
	{
		PoIdentity	who = {subject->role, subject->database, "[unknown]", "[local]", ""};
		PoExplained x;
		const PoRuleResult *r = x.admission.result;

		po_registry_explain(&who, t->name, false, &x);
		if (r[PO_RULE_DATABASE].checked)
			ceiling[PO_CEILING_DATABASE_QUOTA] = r[PO_RULE_DATABASE].limit;
		if (r[PO_RULE_ROLE].checked)
			ceiling[PO_CEILING_ROLE_QUOTA] = r[PO_RULE_ROLE].limit;
		if (r[PO_RULE_CLUSTER].checked)
			ceiling[PO_CEILING_CLUSTER_QUOTA] = r[PO_RULE_CLUSTER].limit;
	}
}

/* Not computed yet: what is, within what the policy says. */
static int
present_size(const PoTenant *t)
{
	const PoPolicyFields *f = &t->fields;
	int			size = t->used + t->exempt;

	if (f->max_connections >= 0)
		size = Min(size, f->max_connections);
	if (f->max_size >= 0)
		size = Min(size, f->max_size);
	return Max(size, Max(f->min_size, 1));
}

/* What sizes of its clients rest on. */
static void
begin_tenant(const PoTenant *t, const PoTenantStats *s, PoInstancesTenant *of)
{
	int			highest;

	memset(of, 0, sizeof(*of));
	of->recommendation = &s->recommendation;
	of->input = &s->input;
	of->target_wait_us = t->fields.target_wait_us;
	po_recommend_bounds(&t->fields, &of->min_size, &highest);
}

/* What each of so many processes needs for its own part of the load; 0 = nobody can tell, or
 * that is not what counts. */
static int
size_of_process(const PoTenant *t, const PoTenantStats *s, int instances)
{
	PoInstancesTenant of;
	PoInstanceRule rule;
	int			each;

	begin_tenant(t, s, &of);
	each = po_instances_each(&of, 1, instances, 1, &rule);
	return rule == PO_INSTANCE_LOAD ? each : 0;
}

/* Is it only the session that asks? */
static bool
is_asking(const PoClientSeen *seen)
{
	int			slot = po_session_my_slot();
	char		mine[PO_PART_LEN];

	if (slot < 0 || seen->sessions != 1)
		return false;
	(void) po_instances_family(po_slots[slot].application, mine);
	return strcmp(seen->application, mine) == 0;
}

/* Who of the tenant has sessions, and how many times the usual instances were there at once, of
 * its busiest application. */
static void
fill_seen(int tenant, PoClientInput *in)
{
	int			n;
	const PoClientSeen *seen = po_client_table_copy(&n);
	const PoClientSeen *busiest = NULL;
	int			sessions = 0;
	int			most = 0;

	for (int i = 0; i < n; i++)
	{
		if (seen[i].tenant != tenant)
			continue;
		if (busiest == NULL || seen[i].busy > busiest->busy)
			busiest = &seen[i];
		if (seen[i].live == 0 || is_asking(&seen[i]))
			continue;
		in->seen_least = in->applications == 0 ? seen[i].live : Min(in->seen_least, seen[i].live);
		in->applications++;
		in->seen += seen[i].live;
		sessions += seen[i].sessions;
		most = Max(most, seen[i].sessions);
	}
	in->others = sessions - most;
	in->surge = busiest == NULL ? 0 : busiest->peak / Max(rint(busiest->usual), 1);
}

static void
fill_input(int tenant, const PoTenant *t, const PoTenantStats *s, PoClientInput *in)
{
	const PoRecommendation *r = &s->recommendation;
	const PoPolicyFields *f = &t->fields;
	PoPoolerDemand demand;

	fill_seen(tenant, in);
	po_pooler_table_demand(tenant, &demand);
	in->behind = demand.instances;
	if (s->computed_at == 0)
		in->size = in->min = in->max = present_size(t);
	else
	{
		in->size = r->size;
		in->min = r->min;
		in->busy = r->busy_p50;
		in->max = r->max;
		in->each = size_of_process(t, s, in->instances);
		in->tried = r->method == PO_METHOD_THROUGHPUT || r->method == PO_METHOD_TRYING;
		in->service_us = s->input.service_us;
		in->wait_us = r->predicted_wait_us;
		in->confidence = r->confidence;
	}
	in->guaranteed = f->guaranteed;
	in->on_full = f->on_full;
	in->wait_timeout_us = f->wait_timeout_us;
	in->target_wait_us = f->target_wait_us;
	in->authentication_timeout_us = AuthenticationTimeout * PO_US_PER_S;
	if (po_mode_lower((PoMode) po_guc_mode, f->timeouts_mode) == PO_MODE_OFF)
		return;
	in->idle_us = f->idle_us;
	in->never_used_us = f->never_used_us;
	in->idle_in_transaction_us = f->idle_in_transaction_us;
	in->lifetime_us = f->lifetime_us;
	in->leak_probability = f->leak_probability;
}

/* Does it have a quota or timeouts that are not enforced yet? */
static bool
is_observed(const PoTenant *t, const PoClientInput *in)
{
	const PoPolicyFields *f = &t->fields;
	bool		has_rules = in->idle_us > 0 || in->never_used_us > 0 ||
		in->idle_in_transaction_us > 0 || in->lifetime_us > 0;

	return (f->max_connections >= 0 &&
			po_mode_lower((PoMode) po_guc_mode, f->quota_mode) == PO_MODE_OBSERVE) ||
		(has_rules &&
		 po_mode_lower((PoMode) po_guc_mode, f->timeouts_mode) == PO_MODE_OBSERVE);
}

/* The arguments, checked; the tenant's index. */
static int
client_config_arguments(FunctionCallInfo fcinfo, PoClientInput *in)
{
	if (PG_ARGISNULL(0))
		po_setter_bad_argument("tenant", "must not be null");
	if (PG_ARGISNULL(1))
		po_setter_bad_argument("client", "must not be null");
	memset(in, 0, sizeof(*in));
	if (!po_client_parse(text_to_cstring(PG_GETARG_TEXT_PP(1)), &in->client))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("client \"%s\" is not known", text_to_cstring(PG_GETARG_TEXT_PP(1))),
				 errhint("It must be one of %s.", po_client_config_names())));
	in->instances = PG_ARGISNULL(2) ? 1 : PG_GETARG_INT32(2);
	if (in->instances < 1 || in->instances > PO_MAX_INSTANCES)
		po_setter_bad_argument("instances", "must be between 1 and 100000");
	return find_visible_tenant(text_to_cstring(PG_GETARG_TEXT_PP(0)));
}

Datum
pool_client_config_1_0(PG_FUNCTION_ARGS)
{
	PoClientSubject subject;
	PoTenant	t;
	PoTenantStats s;
	char		reason[PO_RECOMMEND_REASON_LEN];
	int			tenant;

	po_shmem_require();
	memset(&subject, 0, sizeof(subject));
	tenant = client_config_arguments(fcinfo, &subject.in);
	if (!po_registry_copy_tenant(tenant, &t))
		PG_RETURN_NULL();		/* gone just now */
	po_stats_copy(tenant, &s);
	po_recommend_reason(&s.recommendation, &s.input, &t.fields, &s.search, reason, sizeof(reason));
	split_name(t.name, &subject);
	if (subject.role == NULL)
		subject.role = shared_part(tenant, true);
	if (subject.database == NULL)
		subject.database = shared_part(tenant, false);
	fill_input(tenant, &t, &s, &subject.in);
	subject.observed = is_observed(&t, &subject.in);
	fill_ceilings(&t, &subject);
	subject.tenant = po_view_printable(t.name);
	subject.role = subject.role == NULL ? NULL : po_view_printable(subject.role);
	subject.database = subject.database == NULL ? NULL : po_view_printable(subject.database);
	subject.reason = po_view_printable(reason);
	subject.port = PostPortNumber;
	PG_RETURN_TEXT_P(cstring_to_text(po_client_config_text(&subject)));
}

/* ---------- pool_recommendations_client ---------- */

static void
fill_application(const PoClientSeen *seen, PoApplication *a)
{
	memset(a, 0, sizeof(*a));
	a->sessions = seen->sessions;
	a->most_sessions = seen->most_sessions;
	a->live = seen->live;
	a->usual = seen->usual;
	a->peak = seen->peak;
	a->addresses = seen->addresses;
	a->told = seen->told;
	a->busy = seen->busy;
}

static void
fill_tenant(int tenant, const PoTenant *t, PoTenantStats *s, PoInstancesTenant *of)
{
	PoClientSubject subject;
	PoPoolerDemand demand;

	po_stats_copy(tenant, s);
	begin_tenant(t, s, of);
	po_pooler_table_demand(tenant, &demand);
	of->has_pooler = demand.clients + demand.linked > 0;

	memset(&subject, 0, sizeof(subject));
	split_name(t->name, &subject);
	fill_ceilings(t, &subject);
	of->ceiling = po_client_lowest_ceiling(subject.in.ceiling, &of->ceiling_by);
}

/* What others in its tenant call themselves is nothing for a plain role. */
static bool
sees_application(const char *application)
{
	int			slot = po_session_my_slot();
	char		mine[PO_PART_LEN];

	if (po_view_sees_all())
		return true;
	if (slot < 0)
		return false;
	(void) po_instances_family(po_slots[slot].application, mine);
	return strcmp(application, mine) == 0;
}

static void
put_client(Row *row, const PoTenant *t, const PoInstancesTenant *of, const PoClientSeen *seen,
		   const PoApplication *a)
{
	char		reason[PO_RECOMMEND_REASON_LEN];

	po_instances_reason(of, a, reason, sizeof(reason));
	add_text(row, t->name);
	add_text(row, sees_application(seen->application) ? seen->application : NULL);
	add_int(row, seen->live);
	add_int(row, seen->seen);
	add_int(row, seen->peak);
	add_int(row, a->each);
	add_int(row, a->each_min);
	add_int(row, seen->sessions);
	add_int(row, seen->most_sessions);
	add_int(row, seen->addresses);
	add_double(row, seen->busy);
	add_text(row, po_told_by_name(seen->told));
	add_text(row, po_instances_rule_name(of, a));
	add_double(row, a->confidence);
	add_text(row, reason);
	add_time(row, seen->peak_at);
	add_time(row, seen->first_seen);
	end_row(row);
}

/* All applications of one tenant, as they share what it has. */
static void
put_clients(Row *row, int tenant, const PoClientSeen *seen, int n)
{
	PoTenant	t;
	PoTenantStats s;
	PoInstancesTenant of;
	PoApplication *application;

	if (!po_view_sees_tenant(tenant) || !po_registry_copy_tenant(tenant, &t))
		return;
	fill_tenant(tenant, &t, &s, &of);
	application = palloc(n * sizeof(PoApplication));
	for (int i = 0; i < n; i++)
		fill_application(&seen[i], &application[i]);
	po_instances_plan(&of, application, n);
	for (int i = 0; i < n; i++)
		put_client(row, &t, &of, &seen[i], &application[i]);
	pfree(application);
}

Datum
pool_recommendations_client_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	PoClientSeen *seen;
	int			n;

	begin_rows(fcinfo, &row);
	seen = po_client_table_copy(&n);
	for (int first = 0, end; first < n; first = end)
	{
		CHECK_FOR_INTERRUPTS();
		for (end = first + 1; end < n && seen[end].tenant == seen[first].tenant;)
			end++;
		put_clients(&row, seen[first].tenant, seen + first, end - first);
	}
	return (Datum) 0;
}

/* ---------- pool_report ---------- */

Datum
pool_report_1_0(PG_FUNCTION_ARGS)
{
	int64		since_us;

	po_shmem_require();
	if (PG_ARGISNULL(0))
		po_setter_bad_argument("since", "must not be null");
	since_us = po_policy_row_interval_us(PG_GETARG_INTERVAL_P(0));
	if (since_us < USECS_PER_MINUTE || since_us > 366 * USECS_PER_DAY)
		po_setter_bad_argument("since", "must be between 1 minute and 366 days");
	PG_RETURN_TEXT_P(cstring_to_text(po_report_page(since_us,
													get_func_namespace(fcinfo->flinfo->fn_oid))));
}

/* ---------- pool_sync ---------- */

Datum
pool_sync_1_0(PG_FUNCTION_ARGS)
{
	Interval   *timeout;
	int64		timeout_us;
	uint64		wanted;
	TimestampTz deadline;

	po_shmem_require();
	if (PG_ARGISNULL(0))
		po_setter_bad_argument("timeout", "must not be null");
	timeout = PG_GETARG_INTERVAL_P(0);
	timeout_us = po_policy_row_interval_us(timeout);
	if (timeout_us < 0)
		po_setter_bad_argument("timeout", "must not be negative");
	deadline = po_shmem_monotonic_us() + Min(timeout_us, USECS_PER_DAY);
	wanted = pg_atomic_add_fetch_u64(&po_shared->changes_requested, 1);
	for (;;)
	{
		long		left;

		if (pg_atomic_read_u64(&po_shared->changes_applied) >= wanted)
			PG_RETURN_BOOL(true);
		left = (long) ((deadline - po_shmem_monotonic_us() + 999) / 1000);
		if (left <= 0)
			PG_RETURN_BOOL(false);
		po_shmem_wake_sampler();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(left, 10), po_compat_wait_event("PoolOptimizerSync"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* ---------- pool_terminate_leaked ---------- */

/* A leaked session that the function found. */
typedef struct Leaked
{
	int			slot;
	PoSeen		seen;
	PoClass		class;
	bool		exempt;
	bool		ordered;
	bool		ended;
	char		reason[PO_REASON_LEN];
	char		detail[PO_DETAIL_LEN];
} Leaked;

/* Fills in a session's entry; false if it is no leak. */
static bool
judge_leak(int slot, const char *pattern, Leaked *leaked)
{
	PoIdentityCopy who;
	PoTenant	t;
	PoJudgement j;
	PoHoldings	holdings;
	PoExempt	exempt;

	if (!po_registry_copy_session(slot, &who) || !po_view_sees_tenant(who.tenant) ||
		!po_registry_copy_tenant(who.tenant, &t) ||
		!po_pattern_matches(pattern, t.name) || !po_sample_read(slot, &leaked->seen) ||
		leaked->seen.pid != who.pid)
		return false;
	po_judge_session(slot, &leaked->seen, &t.fields, &j);
	if (!PO_CLASS_IS_LEAK(j.finding.class))
		return false;
	exempt = po_judge_exempt(slot, &leaked->seen, &holdings);
	/* The sampler, which has no catalog, knows of the login only. */
	if (exempt == PO_EXEMPT_NO && superuser_arg(leaked->seen.role))
		exempt = PO_EXEMPT_SUPERUSER;
	leaked->slot = slot;
	leaked->class = j.finding.class;
	leaked->exempt = exempt != PO_EXEMPT_NO;
	leaked->ordered = leaked->ended = false;
	po_judge_reason(&j, leaked->reason, sizeof(leaked->reason));
	po_judge_detail(slot, &j, &holdings, leaked->detail, sizeof(leaked->detail));
	if (leaked->exempt)
		snprintf(leaked->reason + strlen(leaked->reason),
				 sizeof(leaked->reason) - strlen(leaked->reason), "; exempt: %s",
				 po_judge_exempt_name(exempt));
	return true;
}

static void
end_leaked(Leaked *leaked)
{
	PoTarget	target;
	int64		now = po_shmem_monotonic_us();

	if (leaked->exempt)
		return;
	if (!po_stats_take_termination(now))
	{
		strlcat(leaked->reason, "; spared: max_terminations_per_minute reached",
				sizeof(leaked->reason));
		return;
	}
	memset(&target, 0, sizeof(target));
	target.slot = leaked->slot;
	target.pid = leaked->seen.pid;
	target.backend_start = leaked->seen.backend_start;
	target.state_change = leaked->seen.state_change;
	target.in_client_read = leaked->class == PO_CLASS_STUCK_IN_CLIENT_READ;
	target.reason = leaked->reason;
	target.detail = leaked->detail;
	leaked->ordered = po_act_order(&target);
	if (!leaked->ordered)
		po_stats_give_back_termination(now);
}

/* Has it gone, or accepted to?  NULL-safe against a new session in the slot. */
static bool
has_ended(const Leaked *leaked)
{
	PoSeen		seen;

	return po_act_order_phase(leaked->slot) == PO_ORDER_ACCEPTED ||
		!po_sample_read(leaked->slot, &seen) || seen.pid != leaked->seen.pid ||
		seen.backend_start != leaked->seen.backend_start;
}

/* Every order is answered in a moment, unless its session is stopped. */
static void
await_answers(Leaked *leaked, int n)
{
	int64		deadline = po_shmem_monotonic_us() + ANSWER_WITHIN_MS * PO_US_PER_MS;

	for (int i = 0; i < n; i++)
	{
		while (leaked[i].ordered && !leaked[i].ended)
		{
			leaked[i].ended = has_ended(&leaked[i]);
			if (leaked[i].ended || po_shmem_monotonic_us() > deadline ||
				po_act_order_phase(leaked[i].slot) == PO_ORDER_DECLINED)
				break;
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 5,
							 po_compat_wait_event("PoolOptimizerTerminate"));
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
}

Datum
pool_terminate_leaked_1_0(PG_FUNCTION_ARGS)
{
	Row			row;
	Leaked	   *leaked;
	int			n = 0;
	char	   *pattern;
	bool		dry_run = PG_ARGISNULL(1) || PG_GETARG_BOOL(1);

	begin_rows(fcinfo, &row);
	if (PG_ARGISNULL(0))
		po_setter_bad_argument("tenant", "must not be null; '*' means every tenant");
	pattern = text_to_cstring(PG_GETARG_TEXT_PP(0));
	/* First, so that nobody learns whether another tenant exists. */
	if (!po_view_sees_all() && !po_pattern_is(pattern) &&
		(po_session_my_tenant() < 0 ||
		 po_registry_find_tenant(pattern) != po_session_my_tenant()))
		deny_other_tenant();
	if (!po_pattern_is(pattern) && po_registry_find_tenant(pattern) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("tenant \"%s\" does not exist", pattern),
				 errhint("The names are in pool_stats.")));
	leaked = palloc(po_shared->n_slots * sizeof(Leaked));
	for (int i = 0; i < po_shared->n_slots; i++)
		n += judge_leak(i, pattern, &leaked[n]) ? 1 : 0;
	for (int i = 0; i < n && !dry_run; i++)
		end_leaked(&leaked[i]);
	await_answers(leaked, n);
	for (int i = 0; i < n; i++)
	{
		add_int(&row, leaked[i].seen.pid);
		add_text(&row, po_class_name(leaked[i].class));
		add_text(&row, leaked[i].reason);
		add_bool(&row, leaked[i].ended);
		end_row(&row);
	}
	return (Datum) 0;
}

/* ---------- pool_reset_stats ---------- */

Datum
pool_reset_stats_1_0(PG_FUNCTION_ARGS)
{
	char	   *name;
	int			tenant;
	int			n;

	po_shmem_require();
	if (PG_ARGISNULL(0))
	{
		n = po_view_tenant_count();
		for (int i = 0; i < n; i++)
			po_metrics_reset_tenant(i);
		po_client_table_reset(-1);
		po_statement_reset(-1);
		po_finding_table_reset(-1);
		PG_RETURN_VOID();
	}
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	tenant = po_registry_find_tenant(name);
	if (tenant < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("tenant \"%s\" does not exist", name),
				 errhint("The names are in pool_stats.")));
	po_metrics_reset_tenant(tenant);
	po_client_table_reset(tenant);
	po_statement_reset(tenant);
	po_finding_table_reset(tenant);
	PG_RETURN_VOID();
}
