/*
 * po_report_size.c
 *		What other sizes of pools would do: the predicted curves of a report.
 */
#include "postgres.h"

#include <math.h>

#include "po_html.h"
#include "po_report_chart.h"
#include "po_report_data.h"
#include "po_report_page.h"
#include "po_report_sections.h"

#define CURVES			3		/* tenants whose curves are shown */
#define MAX_SIZES		120		/* points of a curve */
#define TABLE_SIZES		40
#define CURVE_HEIGHT	150
/* Waits beyond so many times that of the recommended size would press the rest flat. */
#define WAIT_SPAN		6
#define LEAST_SPAN_MS	1.0

/* What is shown of one tenant. */
typedef struct Curve
{
	const PoReportTenant *tenant;
	PoReportSize size[MAX_SIZES];
	int			n;
	int			every;			/* sizes from one point to the next */
	double		wait[MAX_SIZES];
	double		throughput[MAX_SIZES];
	double		longest;		/* wait that is in the plot */
	int			n_beyond;		/* smallest sizes that wait longer */
} Curve;

/* Where there is most to gain or lose; 0 = nothing is known. */
static double
interest(const PoReportTenant *t)
{
	if (t->size == 0 || !t->present || isnan(t->busy_mean) || t->busy_mean <= 0 ||
		strcmp(t->method, "none") == 0 || strcmp(t->method, "too_little_data") == 0)
		return 0;
	return abs(t->sessions - t->size) * t->confidence + t->busy_mean;
}

static int
choose(const PoReport *r, const PoReportTenant **chosen)
{
	int			n = 0;

	for (int i = 0; i < r->n; i++)
	{
		int			k = Min(n, CURVES);

		if (interest(&r->tenant[i]) <= 0)
			continue;
		for (; k > 0 && interest(chosen[k - 1]) < interest(&r->tenant[i]); k--)
		{
			if (k < CURVES)
				chosen[k] = chosen[k - 1];
		}
		if (k < CURVES)
			chosen[k] = &r->tenant[i];
		n = Min(n + 1, CURVES);
	}
	return n;
}

/* ---------- a curve ---------- */

static const PoReportSize *
at_size(const Curve *c, int size)
{
	int			i = (size + c->every / 2) / c->every - 1;

	return &c->size[Max(0, Min(i, c->n - 1))];
}

static double
x_of(const Curve *c, int size)
{
	double		x = ((double) size / c->every - 0.5) / c->n;

	return Max(0, Min(x, 1));
}

static void
limit_waits(Curve *c)
{
	double		wait = at_size(c, c->tenant->size)->wait_ms;
	double		most = 0;

	c->longest = WAIT_SPAN * Max(isfinite(wait) ? wait : 0, LEAST_SPAN_MS);
	c->n_beyond = 0;
	for (int i = 0; i < c->n; i++)
	{
		double		ms = c->size[i].wait_ms;

		if (ms > c->longest && c->n_beyond == i)
			c->n_beyond = i + 1;
		c->wait[i] = ms > c->longest ? NAN : ms;
		if (!isnan(c->wait[i]))
			most = Max(most, c->wait[i]);
		c->throughput[i] = c->size[i].throughput;
	}
	c->longest = most;
}

static bool
read_curve(PoReport *r, const PoReportTenant *t, Curve *c)
{
	int			max = Min(Max(2 * Max(t->sessions, t->size), 8), 1000);

	c->tenant = t;
	c->every = (max + MAX_SIZES - 1) / MAX_SIZES;
	c->n = po_report_read_what_if(r, t, max, c->every, c->size, MAX_SIZES);
	if (c->n == 0)
		return false;
	limit_waits(c);
	return true;
}

/* ---------- its plots ---------- */

static void
write_marks(PoChart *chart, const Curve *c, const double *value)
{
	const PoReportTenant *t = c->tenant;

	/* Whoever has no session has no size. */
	if (t->sessions > 0)
		po_chart_mark(chart, x_of(c, t->sessions), "today");
	po_chart_mark(chart, x_of(c, t->size), "advice");
	if (t->sessions > 0 && !isnan(value[at_size(c, t->sessions) - c->size]))
		po_chart_dot(chart, x_of(c, t->sessions), value[at_size(c, t->sessions) - c->size],
					 "today");
	if (!isnan(value[at_size(c, t->size) - c->size]))
		po_chart_dot(chart, x_of(c, t->size), value[at_size(c, t->size) - c->size], "advice");
}

static void
write_hints(PoChart *chart, const Curve *c)
{
	for (int i = 0; i < c->n; i++)
		po_chart_hint(chart, i, c->n,
					  psprintf("%s: wait %s, %s transactions/s, %s busy",
							   po_html_counted(c->size[i].size, "connection", "connections"),
							   isnan(c->size[i].wait_ms) ? "not known" :
							   po_html_duration(c->size[i].wait_ms),
							   po_html_count(c->size[i].throughput),
							   po_html_percent(c->size[i].utilization)));
}

static void
write_curve_plot(StringInfo out, const Curve *c, const char *id, const char *what,
				 const double *value, double most, bool shade)
{
	PoChart		chart = {.height = CURVE_HEIGHT};

	appendStringInfo(out, "<div><h4>%s</h4>\n", what);
	po_plot_scale(most, 4, 0, &chart.y);
	po_chart_begin(&chart, out, "", id, psprintf("%s, by size of the pool", what),
				   psprintf("Of %s, predicted for 1 to %d connections. The table below has the "
							"numbers.", po_html_escape(c->tenant->name), c->n * c->every));
	if (shade && c->n_beyond > 0)
		po_chart_shade(&chart, 0, (double) c->n_beyond / c->n);
	po_chart_y_axis(&chart);
	po_chart_size_axis(&chart, c->n, c->every);
	po_chart_line(&chart, value, c->n, "busy");
	write_marks(&chart, c, value);
	write_hints(&chart, c);
	po_chart_end(&chart);
	appendStringInfoString(out, "<p class=\"axis\">connections of the pool</p></div>\n");
}

static void
write_curve_table(StringInfo out, const Curve *c)
{
	PoHtmlTable t;
	int			every = (c->n + TABLE_SIZES - 1) / TABLE_SIZES;

	appendStringInfoString(out, "<details><summary>The numbers of these plots</summary>\n");
	po_html_table_begin(&t, out, psprintf("What pools of %s would do",
										  po_html_escape(c->tenant->name)),
						"Connections|#Busy|#Wait, mean|#Transactions/s");
	for (int i = 0; i < c->n; i++)
	{
		const PoReportSize *s = &c->size[i];

		if ((i + 1) % every != 0 && s != at_size(c, c->tenant->sessions) &&
			s != at_size(c, c->tenant->size))
			continue;
		po_html_row(&t);
		po_html_cell(&t, "%d%s%s", s->size,
					 s->size == c->tenant->sessions ? ", as today" : "",
					 s->size == c->tenant->size ? ", recommended" : "");
		po_html_cell(&t, "%s", po_html_percent(s->utilization));
		po_html_cell(&t, "%s", isnan(s->wait_ms) ? "not known" : po_html_duration(s->wait_ms));
		po_html_cell(&t, "%s", po_html_count(s->throughput));
	}
	po_html_table_end(&t);
	appendStringInfoString(out, "</details>\n");
}

static void
write_curve_key(StringInfo out, const Curve *c)
{
	const PoReportTenant *t = c->tenant;
	const char *pairs[] = {
		"busy", "predicted",
		"advice", psprintf("recommended: %d", t->size),
		"today", psprintf("today: %s", po_html_counted(t->sessions, "session", "sessions")),
		NULL
	};

	po_chart_key(out, "", pairs);
}

static void
write_curve(StringInfo out, const Curve *c, int i)
{
	const PoReportTenant *t = c->tenant;
	double		most = 0;

	for (int k = 0; k < c->n; k++)
		most = Max(most, c->throughput[k]);
	appendStringInfo(out, "<figure class=\"curve\"><figcaption><h3>%s</h3><p>%s; confidence "
					 "%s.</p></figcaption>\n", po_html_name(t->name),
					 po_report_or_none(t->reason), po_html_percent(t->confidence));
	write_curve_key(out, c);
	appendStringInfoString(out, "<div class=\"pair\">\n");
	write_curve_plot(out, c, psprintf("rate%d", i), "Transactions per second", c->throughput,
					 most, false);
	if (c->longest > 0)
		write_curve_plot(out, c, psprintf("wait%d", i), c->n_beyond > 0 ?
						 psprintf("Mean wait for a connection, ms (grey: longer than %s)",
								  po_html_duration(c->longest)) :
						 "Mean wait for a connection, ms", c->wait, c->longest, true);
	else
		appendStringInfoString(out, "<p class=\"soft\">How long clients would wait is not known: "
							   "the pool is what limits them, and the server does not see who "
							   "waits for it.</p>\n");
	appendStringInfoString(out, "</div>\n");
	write_curve_table(out, c);
	appendStringInfoString(out, "</figure>\n");
}

void
po_report_write_what_if(StringInfo out, PoReport *r)
{
	const PoReportTenant *chosen[CURVES];
	int			n = choose(r, chosen);
	int			n_shown = 0;
	Curve	   *c = palloc(sizeof(Curve));

	po_report_section_begin(out, "what-if", "What other sizes would do",
							n == 0 ? "No recommendation rests on enough transactions yet." :
							"If transactions, the load of others and the cores stay as they are. "
							"Shown are the tenants where there is most to gain; "
							"<code>pool_what_if</code> tells of any.");
	for (int i = 0; i < n; i++)
	{
		if (read_curve(r, chosen[i], c))
			write_curve(out, c, n_shown++);
	}
	po_report_section_end(out);
	pfree(c);
}
