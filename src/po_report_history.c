/*
 * po_report_history.c
 *		What a report tells of the time before; see po_report_history.h.
 *
 * The cluster's history has a row for each bucket in which anybody watched; a tenant has
 * none for those in which it had no session, which are 0.  Where only wider buckets are
 * left than were asked for, a row stands for several of ours.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "model/po_plot.h"
#include "po_report_data.h"
#include "po_report_history.h"
#include "po_report_query.h"

#define WEEK_DAYS		7
#define WEEK_US			(WEEK_DAYS * USECS_PER_DAY)
#define LEAST_RANGE_US	(60 * USECS_PER_SEC)
#define MAX_NARROWED	4

/* A stretch of time, in buckets. */
typedef struct Window
{
	TimestampTz from;
	TimestampTz to;
	int			n;
	double	   *watched_ms;		/* by bucket */
	double		total_ms;		/* of these */
	bool		is_before;		/* to compare with */
} Window;

/* What a row says of a tenant. */
typedef struct Use
{
	double		ms;
	double		sessions;
	double		sessions_max;
	double		busy;
	double		busy_max;
	double		rejected;
	double		transactions;
	double		p95_ms;
	int			quota;
	int			size;
} Use;

static double *
filled(int n, double value)
{
	double	   *array = palloc(Max(n, 1) * sizeof(double));

	for (int i = 0; i < n; i++)
		array[i] = value;
	return array;
}

/* The buckets [*first, *last] that a row stands for; false if it is not of the window. */
static bool
buckets_of(const PoReport *r, const Window *w, TimestampTz start, double ms, int *first,
		   int *last)
{
	if (start < w->from || !(ms > 0) || ms > 1e13)
		return false;
	*first = (int) ((start - w->from) / r->bucket_us);
	*last = (int) ((start - w->from + (int64) (ms * 1000) - 1) / r->bucket_us);
	*last = Min(Max(*first, *last), w->n - 1);
	return *first < w->n;
}

static void
read_rows(PoReport *r, Window *w, const char *sql, PoReportTake take)
{
	Oid			types[] = {INTERVALOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Interval	resolution = {.time = r->bucket_us};
	Datum		values[] = {IntervalPGetDatum(&resolution), TimestampTzGetDatum(w->from),
	TimestampTzGetDatum(w->to)};

	po_report_query(r, sql, lengthof(types), types, values, take, w);
}

/* ---------- the cluster ---------- */

static const char cluster_sql[] =
"SELECT bucket_start, bucket_ms, sessions_avg, sessions_max::float8, busy_avg,"
"  rejected::float8, max_connections"
"  FROM @pool_stats_cluster_history($1, $2, $3)";

static void
take_cluster(PoReportRow *row)
{
	PoReport   *r = row->report;
	Window	   *w = row->arg;
	TimestampTz start = po_report_time(row);
	double		ms = po_report_double(row);
	double		column[4];
	int			limit;
	int			first;
	int			last;

	for (int i = 0; i < lengthof(column); i++)
		column[i] = po_report_double(row);
	limit = po_report_int(row, 0);
	if (!buckets_of(r, w, start, ms, &first, &last))
		return;
	w->total_ms += ms;
	for (int b = first; b <= last; b++)
	{
		w->watched_ms[b] += ms / (last - first + 1);
		if (w->is_before)
			continue;
		r->sum_limit[b] = limit;
		/* Whoever sees one tenant is shown that one. */
		if (!r->sees_all)
			continue;
		r->sum_sessions[b] = column[0];
		r->sum_peak[b] = column[1];
		r->sum_busy[b] = column[2];
		r->sum_rejected[b] = column[3] / (last - first + 1);
	}
	if (!w->is_before && (r->history_from == 0 || start < r->history_from))
		r->history_from = start;
}

/* ---------- tenants ---------- */

static const char tenants_sql[] =
"SELECT bucket_start, bucket_ms, tenant, sessions_avg, sessions_max::float8, busy_avg,"
"  busy_max::float8, rejected::float8, transactions::float8, xact_p95_ms, max_connections,"
"  recommended_size"
"  FROM @pool_stats_history($1, $2, $3, NULL::text)";

static void
add_use(PoReportUse *to, const Use *use)
{
	to->known = true;
	to->sessions += use->sessions * use->ms;
	to->busy += use->busy * use->ms;
	to->busy_max = Max(to->busy_max, use->busy_max);
	to->rejected += use->rejected;
	to->transactions += use->transactions;
	/* Until the end: the sum of p95s, weighed by the transactions that have one. */
	if (!isnan(use->p95_ms) && use->transactions > 0)
		to->p95_ms = (isnan(to->p95_ms) ? 0 : to->p95_ms) + use->p95_ms * use->transactions;
}

static void
begin_buckets(PoReportTenant *t, int n)
{
	t->busy = filled(n, 0);
	t->busy_most = filled(n, 0);
	t->quota_then = filled(n, NAN);
	t->size_then = filled(n, NAN);
}

static void
add_to_buckets(PoReport *r, PoReportTenant *t, const Use *use, int first, int last)
{
	double		share = 1.0 / (last - first + 1);

	if (t != NULL && t->busy == NULL)
		begin_buckets(t, r->n_buckets);
	for (int b = first; b <= last; b++)
	{
		if (!r->sees_all)
		{
			r->sum_sessions[b] += use->sessions;
			r->sum_peak[b] += use->sessions_max;
			r->sum_busy[b] += use->busy;
			r->sum_rejected[b] += use->rejected * share;
		}
		if (t == NULL)
			continue;
		t->busy[b] += use->busy;
		t->busy_most[b] = Max(t->busy_most[b], use->busy_max);
		t->quota_then[b] = use->quota < 0 ? NAN : use->quota;
		t->size_then[b] = use->size == 0 ? NAN : use->size;
	}
}

static void
take_tenant(PoReportRow *row)
{
	PoReport   *r = row->report;
	Window	   *w = row->arg;
	TimestampTz start = po_report_time(row);
	Use			use = {.ms = po_report_double(row)};
	char	   *name = po_report_text(row);
	PoReportTenant *t;
	int			first;
	int			last;

	use.sessions = po_report_number(row);
	use.sessions_max = po_report_number(row);
	use.busy = po_report_number(row);
	use.busy_max = po_report_number(row);
	use.rejected = po_report_number(row);
	use.transactions = po_report_number(row);
	use.p95_ms = po_report_double(row);
	use.quota = po_report_int(row, -1);
	use.size = po_report_int(row, 0);
	if (name == NULL || !buckets_of(r, w, start, use.ms, &first, &last))
		return;
	t = po_report_find_tenant(r, name);
	if (t == NULL)
		t = po_report_add_tenant(r, pstrdup(name));
	if (t != NULL)
		add_use(w->is_before ? &t->before : &t->use, &use);
	if (!w->is_before)
		add_to_buckets(r, t, &use, first, last);
	pfree(name);
}

/* ---------- windows ---------- */

static void
begin_window(PoReport *r, Window *w)
{
	w->n = (int) ((w->to - w->from - 1) / r->bucket_us) + 1;
	w->watched_ms = filled(w->n, 0);
	w->total_ms = 0;
}

static void
read_window(PoReport *r, Window *w)
{
	begin_window(r, w);
	read_rows(r, w, cluster_sql, take_cluster);
	read_rows(r, w, tenants_sql, take_tenant);
}

/* From sums to means. */
static void
finish_use(PoReportUse *use, double total_ms)
{
	if (!use->known || total_ms <= 0)
		return;
	use->sessions /= total_ms;
	use->busy /= total_ms;
	if (use->transactions > 0)
		use->p95_ms /= use->transactions;
}

/* Limits hold until another is known, and the first did before. */
static void
fill_gaps(double *value, int n)
{
	double		last = NAN;

	for (int b = 0; b < n && isnan(last); b++)
		last = value[b];
	for (int b = 0; b < n; b++)
	{
		if (isnan(value[b]))
			value[b] = last;
		last = value[b];
	}
}

/* What nobody watched is not 0, but unknown. */
static void
finish_buckets(PoReport *r, const Window *w)
{
	for (int b = 0; b < r->n_buckets; b++)
	{
		if (w->watched_ms[b] > 0)
			continue;
		r->sum_sessions[b] = r->sum_peak[b] = r->sum_busy[b] = r->sum_rejected[b] = NAN;
		for (int i = 0; i < r->n; i++)
		{
			if (r->tenant[i].busy != NULL)
				r->tenant[i].busy[b] = r->tenant[i].busy_most[b] = NAN;
		}
	}
	fill_gaps(r->sum_limit, r->n_buckets);
	for (int i = 0; i < r->n; i++)
	{
		if (r->tenant[i].busy == NULL)
			continue;
		fill_gaps(r->tenant[i].quota_then, r->n_buckets);
		fill_gaps(r->tenant[i].size_then, r->n_buckets);
	}
}

static void
forget_use(PoReport *r)
{
	for (int i = 0; i < r->n; i++)
	{
		memset(&r->tenant[i].use, 0, sizeof(PoReportUse));
		r->tenant[i].use.p95_ms = NAN;
		r->tenant[i].busy = NULL;
	}
}

/* Reads what is within range, in as many buckets as a plot can show. */
static void
read_use(PoReport *r, int64 range_us, Window *w)
{
	r->bucket_us = po_plot_bucket(range_us, PO_REPORT_BUCKETS);
	r->from = r->now - range_us;
	r->from -= r->from % r->bucket_us;
	w->from = r->from;
	w->to = r->now;
	w->is_before = false;
	r->n_buckets = (int) ((w->to - w->from - 1) / r->bucket_us) + 1;
	r->sum_sessions = filled(r->n_buckets, 0);
	r->sum_peak = filled(r->n_buckets, 0);
	r->sum_busy = filled(r->n_buckets, 0);
	r->sum_rejected = filled(r->n_buckets, 0);
	r->sum_limit = filled(r->n_buckets, NAN);
	r->history_from = 0;
	forget_use(r);
	read_window(r, w);
}

/* By the clocks on the wall, which may have been set forward or back in between. */
static TimestampTz
days_before(TimestampTz at, int days)
{
	Interval	back = {.day = days};

	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
												   TimestampTzGetDatum(at),
												   IntervalPGetDatum(&back)));
}

/*
 * The same hours of the same days, a week before, or as many as what was asked for is long;
 * a bucket that r->from was moved back by does not count.
 */
static void
read_before(PoReport *r, int64 range_us)
{
	int			days = (int) ((range_us - 1) / WEEK_US + 1) * WEEK_DAYS;
	Window		w = {.from = days_before(r->from, days),.to = days_before(r->now, days),
	.is_before = true};

	w.from -= w.from % r->bucket_us;
	r->before_from = w.from;
	r->before_to = w.to;
	read_window(r, &w);
	for (int i = 0; i < r->n; i++)
		finish_use(&r->tenant[i].before, w.total_ms);
	r->before_s = w.total_ms / 1000;
}

void
po_report_read_history(PoReport *r)
{
	Window		w;
	int64		range = r->since_us;

	read_use(r, range, &w);
	/*
	 * Of a young history more can be seen when it has the plot for itself; when it began
	 * is told by buckets, each time shorter ones.
	 */
	for (int i = 0; i < MAX_NARROWED && range > LEAST_RANGE_US && r->history_from != 0 &&
		 r->now - r->history_from < range / 2; i++)
	{
		range = Max(r->now - r->history_from, LEAST_RANGE_US);
		read_use(r, range, &w);
	}
	finish_buckets(r, &w);
	for (int i = 0; i < r->n; i++)
		finish_use(&r->tenant[i].use, w.total_ms);
	r->use_s = w.total_ms / 1000;
	read_before(r, range);
}
