/*
 * po_report_data.c
 *		What a report tells, as read from the views; see po_report_data.h.
 *
 * Statements name our objects as @name, which becomes schema.name; all else is found in
 * pg_catalog, as pool_report sets search_path.  A statement and the function that takes its
 * row list the columns in one order.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "model/po_plot.h"
#include "po_report_data.h"

#define FETCH_ROWS			5000
#define MAX_ARGUMENTS		3

/* ---------- statements ---------- */

/* A row of a result, taken column by column; and what it is taken for. */
typedef struct Row
{
	PoReport   *report;
	HeapTuple	tuple;
	TupleDesc	desc;
	int			column;			/* the last that was taken */
} Row;

typedef void (*TakeRow) (Row *row);

static Datum
take(Row *row, Oid type, bool *isnull)
{
	row->column++;
	/* Statement and code must be of one mind. */
	if (SPI_gettypeid(row->desc, row->column) != type)
		elog(ERROR, "column %d of a report is of type %u, not %u", row->column,
			 SPI_gettypeid(row->desc, row->column), type);
	return SPI_getbinval(row->tuple, row->desc, row->column, isnull);
}

static int
take_int(Row *row, int otherwise)
{
	bool		isnull;
	Datum		value = take(row, INT4OID, &isnull);

	return isnull ? otherwise : DatumGetInt32(value);
}

static double
take_double(Row *row)
{
	bool		isnull;
	Datum		value = take(row, FLOAT8OID, &isnull);

	return isnull ? NAN : DatumGetFloat8(value);
}

/* A count, which is 0 where there is none. */
static double
take_count(Row *row)
{
	double		value = take_double(row);

	return isnan(value) ? 0 : value;
}

static bool
take_bool(Row *row)
{
	bool		isnull;
	Datum		value = take(row, BOOLOID, &isnull);

	return !isnull && DatumGetBool(value);
}

static TimestampTz
take_time(Row *row)
{
	bool		isnull;
	Datum		value = take(row, TIMESTAMPTZOID, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

static char *
take_text(Row *row)
{
	bool		isnull;
	Datum		value = take(row, TEXTOID, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* With our schema for each @. */
static char *
statement(const PoReport *report, const char *sql)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *c = sql; *c != '\0'; c++)
	{
		if (*c == '@')
			appendStringInfo(&out, "%s.", report->schema);
		else
			appendStringInfoChar(&out, *c);
	}
	return out.data;
}

/* Has each row of a statement taken. */
static void
query(PoReport *report, const char *sql, int n, Oid *types, Datum *values, TakeRow take_row)
{
	MemoryContext context = CurrentMemoryContext;
	Row			row = {.report = report};
	Portal		portal;

	portal = SPI_cursor_open_with_args(NULL, statement(report, sql), n, types, values, NULL,
									   true, 0);
	do
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		MemoryContextSwitchTo(context);
		row.desc = SPI_tuptable->tupdesc;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			row.tuple = SPI_tuptable->vals[i];
			row.column = 0;
			take_row(&row);
		}
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	} while (SPI_processed == FETCH_ROWS);
	SPI_cursor_close(portal);
}

static void
query_from(PoReport *report, const char *sql, TakeRow take_row)
{
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		values[] = {TimestampTzGetDatum(report->since)};

	query(report, sql, 1, types, values, take_row);
}

/* ---------- the cluster ---------- */

static const char cluster_sql[] =
"SELECT mode, health, max_connections, sessions, waiting, authenticating, tenants, utilization,"
"  sampler_pid IS NOT NULL, last_sample, overflow_logins::float8, unready_logins::float8,"
"  worker_errors::float8, last_error, last_error_at,"
"  pg_has_role('pg_read_all_stats', 'USAGE'),"
"  has_function_privilege("
"    '@pool_set_timeouts(text, interval, interval, interval, interval, float8, text)', 'EXECUTE')"
"  FROM @pool_stats_cluster";

static void
take_cluster(Row *row)
{
	PoReport   *r = row->report;

	r->mode = take_text(row);
	r->health = take_text(row);
	r->usable = take_int(row, 0);
	r->sessions = take_int(row, 0);
	r->waiting = take_int(row, 0);
	r->authenticating = take_int(row, 0);
	r->n_tenants = take_int(row, 0);
	r->utilization = take_double(row);
	r->sampler_runs = take_bool(row);
	r->last_sample = take_time(row);
	r->overflow_logins = take_count(row);
	r->unready_logins = take_count(row);
	r->worker_errors = take_count(row);
	r->last_error = take_text(row);
	r->last_error_at = take_time(row);
	r->sees_all = take_bool(row);
	r->may_set = take_bool(row);
}

/* ---------- tenants ---------- */

static const char tenants_sql[] =
"SELECT s.tenant, s.sessions, s.active, s.idle, s.idle_in_transaction, s.waiting,"
"  s.max_connections, s.utilization, s.peak_sessions, s.rejected::float8,"
"  s.would_reject::float8, s.would_terminate::float8, s.transactions::float8, s.xact_p95_ms,"
"  s.wait_p99_ms, s.mode, s.draining, s.first_seen, r.recommended_size, r.recommended_max,"
"  r.busy_p95, r.busy_max, r.busy_mean, r.confidence, r.method, r.reason,"
"  (count(*) OVER ())::float8"
"  FROM @pool_stats s LEFT JOIN @pool_recommendations r"
"    ON r.tenant = s.tenant AND r.computed_at IS NOT NULL"
"  ORDER BY s.sessions DESC, r.busy_mean DESC NULLS LAST, s.transactions DESC,"
"    s.tenant COLLATE \"C\""
"  LIMIT $1";

typedef struct TenantEntry
{
	char		name[PO_NAME_LEN];
	int			i;
} TenantEntry;

static HTAB *tenant_index = NULL;	/* of the report that is being read */

static PoReportTenant *
add_tenant(PoReport *r, char *name)
{
	PoReportTenant *t;
	TenantEntry *entry;
	bool		found;

	if (r->n == PO_REPORT_TENANTS)
		return NULL;
	entry = hash_search(tenant_index, name, HASH_ENTER, &found);
	if (found)
		return &r->tenant[entry->i];
	entry->i = r->n;
	t = &r->tenant[r->n++];
	t->name = name;
	t->quota = -1;
	t->busy_mean = t->confidence = t->xact_p95_ms = t->wait_p99_ms = NAN;
	t->use.p95_ms = t->before.p95_ms = NAN;
	return t;
}

PoReportTenant *
po_report_find_tenant(const PoReport *r, const char *name)
{
	TenantEntry *entry;

	if (name == NULL)
		return NULL;
	entry = hash_search(tenant_index, name, HASH_FIND, NULL);
	return entry == NULL ? NULL : &r->tenant[entry->i];
}

static void
take_recommendation(Row *row, PoReportTenant *t)
{
	t->size = take_int(row, 0);
	t->size_max = take_int(row, 0);
	t->busy_p95 = take_int(row, 0);
	t->busy_max = take_int(row, 0);
	t->busy_mean = take_double(row);
	t->confidence = take_double(row);
	t->method = take_text(row);
	t->reason = take_text(row);
	row->report->recommended += t->size;
}

static void
take_tenant(Row *row)
{
	PoReportTenant *t = add_tenant(row->report, take_text(row));

	if (t == NULL)
		return;
	t->present = true;
	t->sessions = take_int(row, 0);
	t->active = take_int(row, 0);
	t->idle = take_int(row, 0);
	t->in_transaction = take_int(row, 0);
	t->waiting = take_int(row, 0);
	t->quota = take_int(row, -1);
	t->utilization = take_double(row);
	t->peak_sessions = take_int(row, 0);
	t->rejected = take_count(row);
	t->would_reject = take_count(row);
	t->would_terminate = take_count(row);
	t->transactions = take_count(row);
	t->xact_p95_ms = take_double(row);
	t->wait_p99_ms = take_double(row);
	t->mode = take_text(row);
	t->draining = take_bool(row);
	t->first_seen = take_time(row);
	take_recommendation(row, t);
	row->report->n_seen = take_count(row);
}

static void
read_tenants(PoReport *r)
{
	HASHCTL		control = {.keysize = PO_NAME_LEN, .entrysize = sizeof(TenantEntry),
	.hcxt = CurrentMemoryContext};
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(PO_REPORT_TENANTS)};

	tenant_index = hash_create("tenants of a report", 256, &control,
							   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	r->tenant = palloc0(PO_REPORT_TENANTS * sizeof(PoReportTenant));
	query(r, tenants_sql, 1, types, values, take_tenant);
}

/* ---------- history ---------- */

static const char history_sql[] =
"SELECT bucket_start, bucket_ms, tenant, sessions_avg, sessions_max::float8, busy_avg,"
"  busy_max::float8, rejected::float8, transactions::float8, xact_p95_ms"
"  FROM @pool_stats_history($1) WHERE bucket_start >= $2 AND bucket_start < $3";

/* How long each stretch of time was watched, as some tenants have no row for it. */
typedef struct Window
{
	TimestampTz from;
	TimestampTz to;
	double	   *watched_ms;		/* by stretch of resolution_us */
	double	   *peak;			/* sum of the tenants' most sessions in it */
	int			n;
	double		total_ms;
	bool		compare;		/* into before, not use, and no buckets */
} Window;

static Window *window = NULL;	/* that is being read */

static double *
filled(int n, double value)
{
	double	   *array = palloc(Max(n, 1) * sizeof(double));

	for (int i = 0; i < n; i++)
		array[i] = value;
	return array;
}

/* Weighs as long as it was watched; 0 where the row is of no use. */
static double
watched(Row *row, TimestampTz start, double ms)
{
	int			i = (int) ((start - window->from) / row->report->resolution_us);

	if (start < window->from || i >= window->n || !(ms > 0) || ms > 1e12)
		return 0;
	if (window->watched_ms[i] < ms)
	{
		window->total_ms += ms - window->watched_ms[i];
		window->watched_ms[i] = ms;
	}
	return ms;
}

static void
add_use(PoReportUse *use, double ms, const double *column)
{
	double		transactions = column[5];

	use->known = true;
	use->sessions += column[0] * ms;
	use->busy += column[2] * ms;
	use->busy_max = Max(use->busy_max, column[3]);
	use->rejected += column[4];
	/* Until the end: the sum of p95s, weighed by the transactions that have one. */
	if (!isnan(column[6]) && transactions > 0)
		use->p95_ms = (isnan(use->p95_ms) ? 0 : use->p95_ms) + column[6] * transactions;
	use->transactions += transactions;
}

static void
add_to_bucket(PoReport *r, PoReportTenant *t, TimestampTz start, double ms,
			  const double *column)
{
	int			b = (int) ((start - r->from) / r->bucket_us);

	if (b < 0 || b >= r->n_buckets)
		return;
	r->sum_sessions[b] += column[0] * ms;
	r->sum_busy[b] += column[2] * ms;
	r->sum_rejected[b] += column[4];
	if (t == NULL)
		return;
	if (t->busy == NULL)
	{
		t->busy = filled(r->n_buckets, 0);
		t->busy_most = filled(r->n_buckets, 0);
	}
	t->busy[b] += column[2] * ms;
	t->busy_most[b] = Max(t->busy_most[b], column[3]);
}

static void
take_history(Row *row)
{
	PoReport   *r = row->report;
	TimestampTz start = take_time(row);
	double		ms = watched(row, start, take_double(row));
	char	   *name = take_text(row);
	PoReportTenant *t;
	double		column[7];

	for (int i = 0; i < lengthof(column); i++)
		column[i] = i < 6 ? take_count(row) : take_double(row);
	if (ms == 0 || name == NULL)
		return;
	window->peak[(start - window->from) / r->resolution_us] += column[1];
	t = po_report_find_tenant(r, name);
	if (t == NULL)
		t = add_tenant(r, pstrdup(name));
	if (t != NULL)
		add_use(window->compare ? &t->before : &t->use, ms, column);
	if (!window->compare)
		add_to_bucket(r, t, start, ms, column);
	if (!window->compare && (r->history_from == 0 || start < r->history_from))
		r->history_from = start;
	pfree(name);
}

static void
read_window(PoReport *r, Window *w)
{
	Oid			types[] = {INTERVALOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Interval	resolution = {.time = r->resolution_us};
	Datum		values[] = {IntervalPGetDatum(&resolution), TimestampTzGetDatum(w->from),
	TimestampTzGetDatum(w->to)};

	w->n = (int) ((w->to - w->from) / r->resolution_us) + 1;
	w->watched_ms = filled(w->n, 0);
	w->peak = filled(w->n, 0);
	w->total_ms = 0;
	window = w;
	query(r, history_sql, lengthof(types), types, values, take_history);
}

/* From sums to means. */
static void
finish_use(PoReportUse *use, double total_ms)
{
	if (!use->known)
		return;
	use->sessions /= total_ms;
	use->busy /= total_ms;
	if (use->transactions > 0)
		use->p95_ms /= use->transactions;
}

/* How long a bucket was watched, and the most sessions there can have been in it. */
static double
sum_bucket(const PoReport *r, const Window *w, int b, double *peak)
{
	int			per = (int) (r->bucket_us / r->resolution_us);
	double		ms = 0;

	*peak = 0;
	for (int i = b * per; i < (b + 1) * per && i < w->n; i++)
	{
		ms += w->watched_ms[i];
		*peak = Max(*peak, w->peak[i]);
	}
	return ms;
}

static void
finish_buckets(PoReport *r, const Window *w)
{
	for (int b = 0; b < r->n_buckets; b++)
	{
		double		ms = sum_bucket(r, w, b, &r->sum_peak[b]);

		if (ms == 0)
			r->sum_peak[b] = r->sum_rejected[b] = NAN;
		r->sum_sessions[b] = ms == 0 ? NAN : r->sum_sessions[b] / ms;
		r->sum_busy[b] = ms == 0 ? NAN : r->sum_busy[b] / ms;
		for (int i = 0; i < r->n; i++)
		{
			PoReportTenant *t = &r->tenant[i];

			if (t->busy == NULL)
				continue;
			t->busy[b] = ms == 0 ? NAN : t->busy[b] / ms;
			if (ms == 0)
				t->busy_most[b] = NAN;
		}
	}
}

/* Sets range, resolution and buckets so that the plot has as many points as it can show. */
static void
choose_buckets(PoReport *r, int64 range_us)
{
	static const int64 resolutions[] = {1, 10, 60, 300};	/* s, as history keeps them */
	int			i = 0;

	while (i < lengthof(resolutions) - 1 &&
		   range_us / (resolutions[i] * USECS_PER_SEC) > PO_REPORT_BUCKETS)
		i++;
	r->resolution_us = resolutions[i] * USECS_PER_SEC;
	r->bucket_us = po_plot_bucket(range_us, r->resolution_us, PO_REPORT_BUCKETS);
	r->from = r->now - range_us;
	r->from -= r->from % r->bucket_us;
	r->n_buckets = (int) ((r->now - r->from) / r->bucket_us) + 1;
	r->sum_sessions = filled(r->n_buckets, 0);
	r->sum_peak = filled(r->n_buckets, 0);
	r->sum_busy = filled(r->n_buckets, 0);
	r->sum_rejected = filled(r->n_buckets, 0);
	r->history_from = 0;
}

static void
forget_use(PoReport *r)
{
	for (int i = 0; i < r->n; i++)
	{
		memset(&r->tenant[i].use, 0, sizeof(PoReportUse));
		r->tenant[i].use.p95_ms = NAN;
		r->tenant[i].busy = r->tenant[i].busy_most = NULL;
	}
}

static void
read_use(PoReport *r, Window *w)
{
	w->from = r->from;
	w->to = r->now;
	w->compare = false;
	forget_use(r);
	read_window(r, w);
}

static void
read_history(PoReport *r)
{
	Window		w;
	int64		range = r->since_us;

	choose_buckets(r, range);
	read_use(r, &w);
	/* Of a young history more can be seen when it has the plot for itself. */
	if (r->history_from != 0 && r->now - r->history_from < range / 2)
	{
		choose_buckets(r, Max(r->now - r->history_from, 60 * USECS_PER_SEC));
		read_use(r, &w);
	}
	finish_buckets(r, &w);
	for (int i = 0; i < r->n; i++)
		finish_use(&r->tenant[i].use, w.total_ms);
	r->has_history = r->history_from != 0;
	if (r->has_history)
		r->history_from = Max(r->history_from, r->from);
}

/* The same hours of the same days, one week before (or as many as the window is long). */
static void
read_before(PoReport *r)
{
	int64		week = 7 * USECS_PER_DAY;
	int64		back = ((r->now - r->from - 1) / week + 1) * week;
	Window		w = {.from = r->from - back,.to = r->now - back,.compare = true};

	r->before_from = w.from;
	r->before_to = w.to;
	/* What history keeps of a week ago is no finer. */
	r->resolution_us = Max(r->resolution_us, 300 * USECS_PER_SEC);
	w.from -= w.from % r->resolution_us;
	read_window(r, &w);
	for (int i = 0; i < r->n; i++)
		finish_use(&r->tenant[i].before, w.total_ms);
	r->has_before = w.total_ms > 0;
}

/* ---------- sessions ---------- */

static const char leaks_sql[] =
"WITH waiting AS MATERIALIZED ("
"  SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' ORDER BY pid LIMIT 100),"
" blocker AS MATERIALIZED ("
"  SELECT b AS pid, count(DISTINCT w.pid)::float8 AS n"
"    FROM waiting w, unnest(pg_blocking_pids(w.pid)) b GROUP BY b)"
"SELECT s.pid, s.tenant, s.usename, s.application_name, host(s.client_addr), s.class, s.verdict,"
"  s.exempt, s.state_ms, s.leak_probability, s.transactions::float8, b.n,"
"  age(a.backend_xmin)::float8"
"  FROM @pool_stats_session s LEFT JOIN blocker b ON b.pid = s.pid"
"    LEFT JOIN pg_stat_activity a ON a.pid = s.pid"
"  WHERE s.class IN ('idle_in_transaction', 'aborted_in_transaction', 'idle_too_long',"
"    'never_used', 'stuck_in_client_read', 'lifetime', 'beyond_norm', 'growth')"
"  ORDER BY b.n DESC NULLS LAST, s.state_ms DESC NULLS LAST, s.pid";

static void
count_leak(PoReport *r, const PoReportLeak *leak)
{
	PoReportTenant *t = po_report_find_tenant(r, leak->tenant);

	r->n_leaked++;
	if (leak->exempt != NULL)
		r->n_leaked_exempt++;
	if (t == NULL)
		return;
	t->leaked++;
	if (leak->exempt != NULL)
		t->leaked_exempt++;
	if (leak->class[0] != '\0' && strstr(leak->class, "in_transaction") != NULL)
		t->leaked_in_transaction++;
	if (t->leak_class == NULL)
		t->leak_class = leak->class;
	t->blocked += (int) leak->blocks;
	t->leaked_longest_ms = fmax(t->leaked_longest_ms, leak->state_ms);
}

static void
take_leak(Row *row)
{
	PoReport   *r = row->report;
	PoReportLeak leak;

	leak.pid = take_int(row, 0);
	leak.tenant = take_text(row);
	leak.usename = take_text(row);
	leak.application = take_text(row);
	leak.address = take_text(row);
	leak.class = take_text(row);
	leak.verdict = take_text(row);
	leak.exempt = take_text(row);
	leak.state_ms = take_double(row);
	leak.probability = take_double(row);
	leak.transactions = take_double(row);
	leak.blocks = take_count(row);
	leak.xmin_age = take_double(row);
	count_leak(r, &leak);
	if (r->n_leaks < PO_REPORT_ROWS)
		r->leak[r->n_leaks++] = leak;
}

static const char clients_sql[] =
"SELECT tenant, application_name, host(client_addr), count(*)::int4,"
"  (count(*) FILTER (WHERE state IN ('active', 'fastpath function call')))::int4,"
"  (count(*) FILTER (WHERE state LIKE 'idle in transaction%'))::int4,"
"  (count(*) FILTER (WHERE state = 'idle'))::int4,"
"  max(state_ms) FILTER (WHERE state = 'idle')"
"  FROM @pool_stats_session GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT $1";

static void
take_client(Row *row)
{
	PoReportClient *c = &row->report->client[row->report->n_clients++];

	c->tenant = take_text(row);
	c->application = take_text(row);
	c->address = take_text(row);
	c->sessions = take_int(row, 0);
	c->busy = take_int(row, 0);
	c->in_transaction = take_int(row, 0);
	c->idle = take_int(row, 0);
	c->longest_idle_ms = take_double(row);
}

static void
read_sessions(PoReport *r)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(PO_REPORT_ROWS)};

	r->leak = palloc(PO_REPORT_ROWS * sizeof(PoReportLeak));
	query(r, leaks_sql, 0, NULL, NULL, take_leak);
	r->client = palloc(PO_REPORT_ROWS * sizeof(PoReportClient));
	query(r, clients_sql, 1, types, values, take_client);
}

/* ---------- events and alerts ---------- */

/* A detail that was too long is {}; one that is not ours to see is NULL. */
static const char refusals_sql[] =
"SELECT tenant, kind = 'would_reject', detail ->> 'rule', detail ->> 'role',"
"  detail ->> 'database', detail ->> 'application', detail ->> 'address', count(*)::float8,"
"  max((detail ->> 'limit')::int4), max((detail ->> 'waited_ms')::float8), min(at), max(at)"
"  FROM @pool_events WHERE kind IN ('reject', 'would_reject') AND at >= $1"
"  GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 2, 8 DESC, 12 DESC, 1";

static void
count_refusal(PoReport *r, const PoReportRefusal *refusal)
{
	PoReportTenant *t = po_report_find_tenant(r, refusal->tenant);

	if (t == NULL)
		return;
	if (refusal->would)
	{
		t->would_be_refused += refusal->n;
		return;
	}
	/* The most frequent comes first. */
	if (t->refused == 0)
	{
		t->refused_rule = refusal->rule;
		t->refused_limit = refusal->limit;
	}
	t->refused += refusal->n;
	t->refused_at = Max(t->refused_at, refusal->last);
}

static void
take_refusal(Row *row)
{
	PoReport   *r = row->report;
	PoReportRefusal refusal;

	refusal.tenant = take_text(row);
	refusal.would = take_bool(row);
	refusal.rule = take_text(row);
	refusal.role = take_text(row);
	refusal.database = take_text(row);
	refusal.application = take_text(row);
	refusal.address = take_text(row);
	refusal.n = take_count(row);
	refusal.limit = take_int(row, -1);
	refusal.waited_ms = take_count(row);
	refusal.first = take_time(row);
	refusal.last = take_time(row);
	count_refusal(r, &refusal);
	if (r->n_refusals < PO_REPORT_ROWS)
		r->refusal[r->n_refusals++] = refusal;
	else
		r->n_refusals_left_out++;
}

static const char alerts_sql[] =
"SELECT tenant, alert, severity, message, since FROM @pool_alerts"
"  ORDER BY severity = 'critical' DESC, since DESC LIMIT $1";

static void
take_alert(Row *row)
{
	PoReportAlert *a = &row->report->alert[row->report->n_alerts++];

	a->tenant = take_text(row);
	a->alert = take_text(row);
	a->severity = take_text(row);
	a->message = take_text(row);
	a->since = take_time(row);
}

static const char events_sql[] =
"SELECT at, kind, tenant, reason FROM @pool_events"
"  WHERE kind IN ('policy', 'resize', 'would_resize') AND tenant IS NOT NULL AND at >= $1"
"  ORDER BY at DESC LIMIT 20";

static void
take_event(Row *row)
{
	PoReportEvent *e = &row->report->event[row->report->n_events++];

	e->at = take_time(row);
	e->kind = take_text(row);
	e->tenant = take_text(row);
	e->reason = take_text(row);
}

static const char poolers_sql[] =
"SELECT DISTINCT pooler, state, error FROM @pool_stats_pooler"
"  WHERE state NOT IN ('ok', 'new') ORDER BY 1 LIMIT $1";

static void
take_pooler(Row *row)
{
	PoReportPooler *p = &row->report->pooler[row->report->n_poolers++];

	p->pooler = take_text(row);
	p->state = take_text(row);
	p->error = take_text(row);
}

static void
read_told(PoReport *r)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(PO_REPORT_ROWS)};

	r->refusal = palloc(PO_REPORT_ROWS * sizeof(PoReportRefusal));
	query_from(r, refusals_sql, take_refusal);
	r->event = palloc(PO_REPORT_ROWS * sizeof(PoReportEvent));
	query_from(r, events_sql, take_event);
	r->alert = palloc(PO_REPORT_ROWS * sizeof(PoReportAlert));
	query(r, alerts_sql, 1, types, values, take_alert);
	r->pooler = palloc(PO_REPORT_ROWS * sizeof(PoReportPooler));
	query(r, poolers_sql, 1, types, values, take_pooler);
}

void
po_report_read(PoReport *r)
{
	r->since = r->now - r->since_us;
	query(r, cluster_sql, 0, NULL, NULL, take_cluster);
	read_tenants(r);
	read_sessions(r);
	read_told(r);
	read_history(r);
	read_before(r);
}

/* ---------- what if ---------- */

static const char what_if_sql[] =
"SELECT size, utilization, wait_ms, throughput FROM @pool_what_if($1, $2)"
"  WHERE size % $3 = 0 ORDER BY size";

static PoReportSize *next_size;
static int	n_sizes_left;

static void
take_size(Row *row)
{
	if (n_sizes_left-- <= 0)
		return;
	next_size->size = take_int(row, 0);
	next_size->utilization = take_double(row);
	next_size->wait_ms = take_double(row);
	next_size->throughput = take_double(row);
	next_size++;
}

static void
query_what_if(PoReport *r, const PoReportTenant *t, int max_size, int every)
{
	Oid			types[] = {TEXTOID, INT4OID, INT4OID};
	Datum		values[] = {CStringGetTextDatum(t->name), Int32GetDatum(max_size),
	Int32GetDatum(every)};

	query(r, what_if_sql, lengthof(types), types, values, take_size);
}

/* A tenant may go at any moment, which is no reason to fail; all else is. */
int
po_report_read_what_if(PoReport *r, const PoReportTenant *t, int max_size, int every,
					   PoReportSize *sizes, int n)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	next_size = sizes;
	n_sizes_left = n;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		query_what_if(r, t, max_size, every);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode != ERRCODE_UNDEFINED_OBJECT)
			ReThrowError(error);
		FreeErrorData(error);
		next_size = sizes;
	}
	PG_END_TRY();
	return (int) (next_size - sizes);
}
