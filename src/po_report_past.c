/*
 * po_report_past.c
 *		Sections of a report that history fills: utilization, tenants, changes.
 */
#include "postgres.h"

#include <math.h>

#include "po_guc.h"
#include "po_html.h"
#include "po_report_chart.h"
#include "po_report_page.h"
#include "po_report_sections.h"

#define PLOT_HEIGHT		260
#define TILE_HEIGHT		64
#define CHANGED			12		/* tenants told as changed */
#define CHANGED_LEAST	0.05	/* busy sessions; less is noise */

static TimestampTz
bucket_start(const PoReport *r, int b)
{
	return r->from + b * r->bucket_us;
}

static TimestampTz
plot_end(const PoReport *r)
{
	return bucket_start(r, r->n_buckets);
}

static double
highest(const double *value, int n, double least)
{
	for (int i = 0; i < n; i++)
		least = isnan(value[i]) ? least : Max(least, value[i]);
	return least;
}

static double
last_known(const double *value, int n)
{
	while (n > 0 && isnan(value[n - 1]))
		n--;
	return n == 0 ? NAN : value[n - 1];
}

/* ---------- utilization ---------- */

/* The lines across: of the cluster, or of the one tenant that the role sees. */
typedef struct Limits
{
	int			quota;			/* -1 = none */
	const double *quota_then;
	double		size;			/* 0 = none */
	const char *quota_name;
	const char *size_name;
} Limits;

static Limits
limits_of(const PoReport *r)
{
	Limits		l = {r->usable, r->sum_limit, r->recommended, "usable", "recommended"};

	if (!r->sees_all)
	{
		l.quota = r->n == 1 && r->tenant[0].busy != NULL ? r->tenant[0].quota : -1;
		l.quota_then = l.quota < 0 ? NULL : r->tenant[0].quota_then;
		l.quota_name = "quota";
	}
	/* A sum of some of them would say nothing. */
	if (r->n < r->n_seen)
		l.size = 0;
	return l;
}

static char *
describe_use(const PoReport *r)
{
	int			most = -1;

	for (int b = 0; b < r->n_buckets; b++)
	{
		if (!isnan(r->sum_peak[b]) && (most < 0 || r->sum_peak[b] > r->sum_peak[most]))
			most = b;
	}
	if (most < 0)
		return pstrdup("");
	return psprintf("At most %s open at about %s, and %s busy on average then.",
					po_html_counted((int64) r->sum_peak[most], "session was",
									"sessions were"),
					po_html_time(bucket_start(r, most), r->now),
					po_html_count(r->sum_busy[most]));
}

static void
write_use_lines(PoChart *c, const PoReport *r, const Limits *l)
{
	po_chart_band(c, r->sum_sessions, r->sum_peak, r->n_buckets, "peak");
	po_chart_line(c, r->sum_sessions, r->n_buckets, "open");
	po_chart_line(c, r->sum_busy, r->n_buckets, "busy");
	if (r->sees_all)
	{
		po_chart_rule(c, r->usable * po_guc_warning_threshold / 100.0, "threshold",
					  psprintf("%d %% warning", po_guc_warning_threshold));
		po_chart_rule(c, r->usable * po_guc_critical_threshold / 100.0, "threshold",
					  psprintf("%d %% critical", po_guc_critical_threshold));
	}
	if (l->size > 0)
		po_chart_rule(c, l->size, "advice", psprintf("%s %s", po_html_count(l->size),
													 l->size_name));
	if (l->quota >= 0)
	{
		po_chart_line(c, l->quota_then, r->n_buckets, "limit");
		po_chart_label(c, l->quota, "limit", psprintf("%s %s", po_html_count(l->quota),
													  l->quota_name));
	}
	po_chart_label(c, last_known(r->sum_peak, r->n_buckets), "peak", "open, at most");
	po_chart_label(c, last_known(r->sum_sessions, r->n_buckets), "open", "open, mean");
	po_chart_label(c, last_known(r->sum_busy, r->n_buckets), "busy", "busy, mean");
}

static void
write_use_hints(PoChart *c, const PoReport *r)
{
	for (int b = 0; b < r->n_buckets; b++)
	{
		if (isnan(r->sum_sessions[b]))
			continue;
		po_chart_hint(c, b, r->n_buckets,
					  psprintf("%s: %s open, at most %s; %s busy",
							   po_html_time_text(bucket_start(r, b), PO_TIME_FULL),
							   po_html_count(r->sum_sessions[b]), po_html_count(r->sum_peak[b]),
							   po_html_count(r->sum_busy[b])));
	}
}

static void
write_use_plot(StringInfo out, const PoReport *r, const Limits *l)
{
	PoChart		c = {.height = PLOT_HEIGHT};
	double		most = highest(r->sum_peak, r->n_buckets, Max(l->quota, l->size));

	if (l->quota >= 0)
		most = highest(l->quota_then, r->n_buckets, most);

	po_plot_scale(most, 5, 1, &c.y);
	po_chart_begin(&c, out, " wide", "use", "Sessions over time",
				   psprintf("Open and busy sessions, against what is %s and recommended. %s The "
							"table below has the numbers.", l->quota_name, describe_use(r)));
	po_chart_y_axis(&c);
	po_chart_time_axis(&c, r->from, plot_end(r));
	write_use_lines(&c, r, l);
	write_use_hints(&c, r);
	po_chart_end(&c);
}

static void
write_use_key(StringInfo out, const PoReport *r, const Limits *l)
{
	const char *pairs[13];
	int			n = 0;

	pairs[n++] = "open";
	pairs[n++] = "open sessions, mean";
	pairs[n++] = "peak";
	pairs[n++] = "open sessions, at most";
	pairs[n++] = "busy";
	pairs[n++] = "busy sessions, mean";
	if (l->quota >= 0)
	{
		pairs[n++] = "limit";
		pairs[n++] = psprintf("%s: %d", l->quota_name, l->quota);
	}
	if (l->size > 0)
	{
		pairs[n++] = "advice";
		pairs[n++] = psprintf("recommended: %s", po_html_count(l->size));
	}
	if (r->sees_all)
	{
		pairs[n++] = "threshold";
		pairs[n++] = psprintf("warning and critical, %d and %d %%", po_guc_warning_threshold,
							  po_guc_critical_threshold);
	}
	pairs[n] = NULL;
	po_chart_key(out, " narrow", pairs);
}

static void
write_use_table(StringInfo out, const PoReport *r)
{
	PoHtmlTable t;

	appendStringInfoString(out, "<details><summary>The numbers of this plot</summary>\n");
	po_html_table_begin(&t, out, psprintf("Sessions, in steps of %s",
										  po_html_duration(r->bucket_us / 1000.0)),
						"From|#Open, mean|#Open, at most|#Busy, mean|#Logins refused");
	for (int b = 0; b < r->n_buckets; b++)
	{
		if (isnan(r->sum_sessions[b]))
			continue;
		po_html_row(&t);
		po_html_cell(&t, "%s", po_html_time_text(bucket_start(r, b), PO_TIME_FULL));
		po_html_cell(&t, "%s", po_html_count(r->sum_sessions[b]));
		po_html_cell(&t, "%s", po_html_count(r->sum_peak[b]));
		po_html_cell(&t, "%s", po_html_count(r->sum_busy[b]));
		po_html_cell(&t, "%s", po_html_count(r->sum_rejected[b]));
	}
	po_html_table_end(&t);
	appendStringInfoString(out, "</details>\n");
}

void
po_report_write_utilization(StringInfo out, const PoReport *r)
{
	Limits		l = limits_of(r);

	po_report_section_begin(out, "utilization", "Utilization over time",
							psprintf("Sessions%s. %s %s", r->sees_all ? " of all tenants" :
									 " of your tenant", r->use_s > 0 ? describe_use(r) : "",
									 po_report_history_note(r)));
	if (r->use_s > 0)
	{
		appendStringInfoString(out, "<figure>\n");
		write_use_key(out, r, &l);
		appendStringInfoString(out, "<p class=\"unit\">sessions</p>\n");
		write_use_plot(out, r, &l);
		write_use_table(out, r);
		appendStringInfoString(out, "</figure>\n");
	}
	po_report_section_end(out);
}

/* ---------- tenants ---------- */

static int
compare_use(const void *a, const void *b)
{
	const PoReportTenant *x = *(const PoReportTenant *const *) a;
	const PoReportTenant *y = *(const PoReportTenant *const *) b;

	if (x->use.busy != y->use.busy)
		return x->use.busy > y->use.busy ? -1 : 1;
	if (x->sessions != y->sessions)
		return x->sessions > y->sessions ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* All, those that were busiest first. */
static const PoReportTenant **
by_use(const PoReport *r)
{
	const PoReportTenant **order = palloc(Max(r->n, 1) * sizeof(PoReportTenant *));

	for (int i = 0; i < r->n; i++)
		order[i] = &r->tenant[i];
	qsort(order, r->n, sizeof(PoReportTenant *), compare_use);
	return order;
}

static char *
facts(const PoReportTenant *t)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "now <b>%d</b> of %s &#183; at most <b>%s</b>",
					 t->active + t->in_transaction,
					 po_html_counted(t->sessions, "session", "sessions"),
					 po_html_count(t->use.busy_max));
	if (t->size > 0)
		appendStringInfo(&out, " &#183; recommended <b>%d</b>", t->size);
	if (t->quota >= 0)
		appendStringInfo(&out, " &#183; quota <b>%d</b>", t->quota);
	return out.data;
}

static void
write_tile(StringInfo out, const PoReport *r, const PoReportTenant *t, int i)
{
	PoChart		c = {.height = TILE_HEIGHT};
	double		most = highest(t->size_then, r->n_buckets,
							   highest(t->busy_most, r->n_buckets, 1));
	/* One far above would press everything else flat. */
	double		limit = highest(t->quota_then, r->n_buckets, 0);
	bool		quota = limit > 0 && limit <= 2 * most;

	po_plot_scale(quota ? Max(most, limit) : most, 2, 1, &c.y);
	appendStringInfo(out, "<figure class=\"tile\"><figcaption><h3>%s</h3></figcaption>\n",
					 po_html_name(t->name));
	po_chart_begin(&c, out, "", psprintf("tile%d", i),
				   psprintf("Busy sessions of %s", po_html_escape(t->name)),
				   psprintf("From 0 to %s.", po_html_count(t->use.busy_max)));
	po_chart_y_axis(&c);
	po_chart_ends(&c, po_html_time_text(r->from, PO_TIME_FULL), "now");
	po_chart_band(&c, NULL, t->busy_most, r->n_buckets, "most");
	po_chart_line(&c, t->busy, r->n_buckets, "busy");
	if (quota)
		po_chart_line(&c, t->quota_then, r->n_buckets, "limit");
	/* Its dashes let the other line be seen where both are one. */
	po_chart_line(&c, t->size_then, r->n_buckets, "advice");
	po_chart_end(&c);
	appendStringInfo(out, "<p class=\"facts\">%s</p></figure>\n", facts(t));
}

static void
write_tiles(StringInfo out, const PoReport *r, const PoReportTenant **order)
{
	static const char *const key[] = {
		"busy", "busy sessions, mean", "most", "at most", "advice", "recommended size",
		"limit", "quota, unless far above", NULL
	};

	po_chart_key(out, "", key);
	appendStringInfoString(out, "<div class=\"tiles\">\n");
	for (int i = 0; i < Min(r->n, PO_REPORT_TILES); i++)
	{
		if (order[i]->busy != NULL)
			write_tile(out, r, order[i], i);
	}
	appendStringInfoString(out, "</div>\n");
}

/* Buckets joined so that a table can hold them: the mean of those that are known. */
static double
coarse_mean(const PoReport *r, const double *value, int k)
{
	double		sum = 0;
	int			n = 0;

	for (int b = k * r->n_buckets / PO_REPORT_COARSE;
		 b < (k + 1) * r->n_buckets / PO_REPORT_COARSE; b++)
	{
		if (isnan(value[b]))
			continue;
		sum += value[b];
		n++;
	}
	return n == 0 ? NAN : sum / n;
}

static void
write_tile_table(StringInfo out, const PoReport *r, const PoReportTenant **order)
{
	StringInfoData columns;
	PoHtmlTable t;

	initStringInfo(&columns);
	appendStringInfoString(&columns, "Tenant");
	for (int k = 0; k < PO_REPORT_COARSE; k++)
		appendStringInfo(&columns, "|#%s", po_html_time_text(
							 bucket_start(r, k * r->n_buckets / PO_REPORT_COARSE), PO_TIME_FULL));
	appendStringInfoString(out, "<details><summary>The numbers of these plots</summary>\n");
	po_html_table_begin(&t, out, "Busy sessions, mean from each time to the next", columns.data);
	for (int i = 0; i < Min(r->n, PO_REPORT_TILES); i++)
	{
		if (order[i]->busy == NULL)
			continue;
		po_html_row(&t);
		po_html_cell(&t, "%s", po_html_name(order[i]->name));
		for (int k = 0; k < PO_REPORT_COARSE; k++)
			po_html_cell(&t, "%s", po_html_count(coarse_mean(r, order[i]->busy, k)));
	}
	po_html_table_end(&t);
	appendStringInfoString(out, "</details>\n");
}

static void
write_tenant_row(PoHtmlTable *table, const PoReportTenant *t)
{
	po_html_row(table);
	po_html_cell(table, "%s", po_html_name(t->name));
	po_html_cell(table, "%d", t->sessions);
	po_html_cell(table, "%s", t->use.known ? po_html_count(t->use.busy) : PO_REPORT_NONE);
	po_html_cell(table, "%s", t->use.known ? po_html_count(t->use.busy_max) : PO_REPORT_NONE);
	po_html_cell(table, "%s", t->quota < 0 ? PO_REPORT_NONE : psprintf("%d", t->quota));
	po_html_cell(table, "%s", t->size == 0 ? PO_REPORT_NONE : psprintf("%d", t->size));
	po_html_cell(table, "%s", t->use.known ? po_html_count(t->use.transactions) :
				 PO_REPORT_NONE);
	po_html_cell(table, "%s", isnan(t->xact_p95_ms) ? PO_REPORT_NONE :
				 po_html_duration(t->xact_p95_ms));
	po_html_cell(table, "%s", po_html_count(Max(t->refused, t->use.rejected)));
	po_html_cell(table, "%d", t->leaked);
}

static void
write_all_tenants(StringInfo out, const PoReport *r, const PoReportTenant **order)
{
	PoHtmlTable t;

	appendStringInfo(out, "<details><summary>All tenants: %s</summary>\n",
					 po_html_count(r->n));
	po_html_table_begin(&t, out, "Tenants, the busiest first",
						"Tenant|#Sessions|#Busy, mean|#-Busy, at most|#Quota|#Recommended|"
						"#-Transactions|#-p95|#Refused|#Leaked");
	for (int i = 0; i < r->n; i++)
		write_tenant_row(&t, order[i]);
	po_html_table_end(&t);
	if (r->n < r->n_seen)
		appendStringInfo(out, "<p class=\"soft\">Those with the most sessions of %s.</p>\n",
						 po_html_count(r->n_seen));
	appendStringInfoString(out, "</details>\n");
}

void
po_report_write_tenants(StringInfo out, const PoReport *r)
{
	const PoReportTenant **order = by_use(r);
	char	   *which = r->n > PO_REPORT_TILES ?
		psprintf("The %d busiest of %s tenants; ", PO_REPORT_TILES, po_html_count(r->n_seen)) :
		"";

	po_report_section_begin(out, "tenants", "Busy sessions by tenant",
							r->n == 0 ? "No tenant has been seen yet." : r->use_s > 0 ?
							psprintf("%s%sach plot has its own scale. %s", which,
									 which[0] == '\0' ? "E" : "e", po_report_history_note(r)) :
							"There is no history yet.");
	if (r->use_s > 0 && r->n > 0)
	{
		write_tiles(out, r, order);
		write_tile_table(out, r, order);
	}
	if (r->n > 0)
		write_all_tenants(out, r, order);
	po_report_section_end(out);
}

/* ---------- changes ---------- */

static double
change_of(const PoReportTenant *t)
{
	return t->use.busy - t->before.busy;
}

static int
compare_changes(const void *a, const void *b)
{
	const PoReportTenant *x = *(const PoReportTenant *const *) a;
	const PoReportTenant *y = *(const PoReportTenant *const *) b;
	double		by_x = fabs(change_of(x));
	double		by_y = fabs(change_of(y));

	return by_x != by_y ? (by_x > by_y ? -1 : 1) : strcmp(x->name, y->name);
}

static char *
from_to(char *before, char *now)
{
	return psprintf("%s &#8594; %s", before, now);
}

/* From the middle: to the right what grew. */
static char *
change_bar(double change, double most)
{
	double		width = 48 * fabs(change) / most;

	return psprintf("<svg width=\"100%%\" height=\"14\" aria-hidden=\"true\"><line class=\"base\" "
					"x1=\"50%%\" x2=\"50%%\" y1=\"0\" y2=\"14\"/><rect class=\"change\" "
					"x=\"%.1f%%\" y=\"2\" width=\"%.1f%%\" height=\"10\"/></svg>",
					change < 0 ? 50 - width : 50, width);
}

static void
write_change(PoHtmlTable *table, const PoReport *r, const PoReportTenant *t, double most)
{
	po_html_row(table);
	po_html_cell(table, "%s%s", po_html_name(t->name), !t->before.known ? " (new)" :
				 !t->use.known ? " (gone)" : "");
	po_html_cell(table, "%s", from_to(po_html_count(t->before.busy), po_html_count(t->use.busy)));
	po_html_cell(table, "%s", change_bar(change_of(t), most));
	po_html_cell(table, "%s", from_to(po_html_count(t->before.transactions / r->before_s),
									  po_html_count(t->use.transactions / r->use_s)));
	po_html_cell(table, "%s", from_to(po_html_duration(t->before.p95_ms),
									  po_html_duration(t->use.p95_ms)));
	po_html_cell(table, "%s", from_to(po_html_count(t->before.rejected),
									  po_html_count(t->use.rejected)));
}

static void
write_changed_tenants(StringInfo out, const PoReport *r)
{
	const PoReportTenant **order = by_use(r);
	PoHtmlTable t;

	qsort(order, r->n, sizeof(PoReportTenant *), compare_changes);
	if (r->n == 0 || fabs(change_of(order[0])) < CHANGED_LEAST)
	{
		appendStringInfoString(out, "<p>No tenant is busier or less busy than it was then.</p>\n");
		return;
	}
	po_html_table_begin(&t, out, "Means of both times; what changed most comes first",
						"Tenant|#Busy sessions|=<span class=\"mid\">less &#183; more</span>|"
						"#Transactions/s|#-p95|#Refused");
	for (int i = 0; i < Min(r->n, CHANGED); i++)
	{
		if (fabs(change_of(order[i])) >= CHANGED_LEAST)
			write_change(&t, r, order[i], fabs(change_of(order[0])));
	}
	po_html_table_end(&t);
}

static void
write_events(StringInfo out, const PoReport *r)
{
	PoHtmlTable t;

	if (r->n_events == 0)
		return;
	appendStringInfoString(out, "<h3 style=\"margin-top:24px\">What was changed</h3>\n");
	po_html_table_begin(&t, out, "Policies and pools, the latest first",
						"When|What|Tenant|Why");
	for (int i = 0; i < r->n_events; i++)
	{
		const PoReportEvent *e = &r->event[i];

		po_html_row(&t);
		po_html_cell(&t, "%s", po_html_time(e->at, r->now));
		po_html_cell(&t, "%s", po_report_or_none(e->kind));
		po_html_cell(&t, "%s", e->tenant == NULL ? PO_REPORT_NONE : po_html_name(e->tenant));
		po_html_cell(&t, "%s", po_report_or_none(e->reason));
	}
	po_html_table_end(&t);
}

void
po_report_write_changes(StringInfo out, const PoReport *r)
{
	char	   *then = psprintf("%s to %s", po_html_time(r->before_from, r->now),
								po_html_time(r->before_to, r->now));

	po_report_section_begin(out, "changes", "Changes since last week",
							r->before_s > 0 && r->use_s > 0 ?
							psprintf("Now against the same hours of %s.%s", then,
									 r->before_s > 0.9 * (r->before_to - r->before_from) / 1e6 ?
									 "" : " History has only a part of that time.") :
							psprintf("There is no history of %s to compare with. %s", then,
									 r->use_s > 0 ? po_report_history_note(r) : ""));
	if (r->before_s > 0 && r->use_s > 0)
		write_changed_tenants(out, r);
	write_events(out, r);
	po_report_section_end(out);
}
