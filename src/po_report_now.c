/*
 * po_report_now.c
 *		Sections of a report about those who are there, and those who were kept out.
 */
#include "postgres.h"

#include <math.h>

#include "po_guc.h"
#include "po_html.h"
#include "po_report_chart.h"
#include "po_report_page.h"
#include "po_report_sections.h"

#define REFUSED_HEIGHT	110
#define HOLDERS			15
#define CLIENTS			15

/* ---------- leaks ---------- */

static const char *
leak_words(const char *class)
{
	static const char *const words[][2] = {
		{"idle_in_transaction", "idle in a transaction"},
		{"aborted_in_transaction", "in a failed transaction, without a ROLLBACK"},
		{"idle_too_long", "idle for too long"},
		{"never_used", "never used"},
		{"stuck_in_client_read", "stuck reading from its client"},
		{"lifetime", "older than its lifetime"},
		{"beyond_norm", "idle for longer than its tenant&#39;s sessions ever are"},
		{"growth", "one of a group that keeps growing"}
	};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (strcmp(words[i][0], class) == 0)
			return words[i][1];
	}
	return po_html_escape(class);
}

static char *
verdict_words(const PoReportLeak *leak)
{
	static const char *const words[][2] = {
		{"keep", "no policy ends it"},
		{"would_terminate", "observed only, not ended"},
		{"terminate", "is being ended"},
		{"rate_limited", "to be ended; the limit per minute is used up"},
		{"breaker_open", "left alone: ending them has not helped"}
	};

	if (leak->exempt != NULL)
		return psprintf("exempt: %s", po_html_escape(leak->exempt));
	for (int i = 0; i < lengthof(words) && leak->verdict != NULL; i++)
	{
		if (strcmp(words[i][0], leak->verdict) == 0)
			return pstrdup(words[i][1]);
	}
	return po_report_or_none(leak->verdict);
}

static char *
evidence(const PoReportLeak *leak)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "%s", isnan(leak->transactions) ? PO_REPORT_NONE :
					 leak->transactions == 0 ? "not one transaction" :
					 po_html_counted((int64) leak->transactions, "transaction before",
									 "transactions before"));
	if (leak->probability < 1)
		appendStringInfo(&out, "; %s sure", po_html_percent(leak->probability));
	if (leak->blocks > 0)
		appendStringInfo(&out, "; <strong>%s behind it</strong>",
						 po_html_counted((int64) leak->blocks, "session waits",
										 "sessions wait"));
	if (leak->xmin_age > 0)
		appendStringInfo(&out, "; holds vacuum back by %s",
						 po_html_counted((int64) leak->xmin_age, "transaction",
										 "transactions"));
	return out.data;
}

static void
write_leak(PoHtmlTable *t, const PoReportLeak *leak)
{
	po_html_row(t);
	po_html_cell(t, "%s", po_html_name(leak->tenant));
	po_html_cell(t, "%d", leak->pid);
	po_html_cell(t, "%s", leak_words(leak->class));
	po_html_cell(t, "%s", isnan(leak->state_ms) ? PO_REPORT_NONE :
				 po_html_duration(leak->state_ms));
	po_html_cell(t, "%s", evidence(leak));
	po_html_cell(t, "%s", po_report_or_none(leak->application));
	po_html_cell(t, "%s", leak->address != NULL ? po_html_escape(leak->address) :
				 leak->usename == NULL ? PO_REPORT_NONE : "[local]");
	po_html_cell(t, "%s", verdict_words(leak));
}

void
po_report_write_leaks(StringInfo out, const PoReport *r)
{
	PoHtmlTable t;

	po_report_section_begin(out, "leaks", "Leaked sessions, and what says so",
							r->n_leaked > 0 ? "" : "No session is leaked.");
	if (r->n_leaks > 0)
	{
		po_html_table_begin(&t, out, r->n_leaks < r->n_leaked ?
							psprintf("The worst %d of %s", r->n_leaks,
									 po_html_count(r->n_leaked)) : "The worst first",
							"Tenant|#Process|Is|#For|Evidence|Application|-From|Verdict");
		for (int i = 0; i < r->n_leaks; i++)
			write_leak(&t, &r->leak[i]);
		po_html_table_end(&t);
	}
	po_report_section_end(out);
}

/* ---------- refusals ---------- */

static const char *
rule_words(const char *rule)
{
	static const char *const words[][2] = {
		{"drain", "it is being drained"},
		{"tenant", "its quota was full"},
		{"database", "its database&#39;s quota was full"},
		{"role", "its role&#39;s quota was full"},
		{"address", "its address&#39; quota was full"},
		{"application", "its application&#39;s quota was full"},
		{"cluster", "the quota of the cluster was full"},
		{"guarantees", "what was left is guaranteed to others"}
	};

	for (int i = 0; i < lengthof(words) && rule != NULL; i++)
	{
		if (strcmp(words[i][0], rule) == 0)
			return words[i][1];
	}
	return po_report_or_none(rule);
}

static void
write_refusal(PoHtmlTable *t, const PoReport *r, const PoReportRefusal *e)
{
	po_html_row(t);
	po_html_cell(t, "%s", e->tenant == NULL ? PO_REPORT_NONE : po_html_name(e->tenant));
	po_html_cell(t, "%s", po_html_count(e->n));
	po_html_cell(t, "%s%s%s%s", e->would ? "let in by mode observe, but " : "",
				 rule_words(e->rule), e->limit < 0 ? "" : psprintf(": %d", e->limit),
				 e->waited_ms > 0 ? psprintf(", after waiting %s",
											 po_html_duration(e->waited_ms)) : "");
	po_html_cell(t, "%s", po_report_or_none(e->role));
	po_html_cell(t, "%s", po_report_or_none(e->application));
	po_html_cell(t, "%s", po_report_or_none(e->address));
	po_html_cell(t, "%s", po_html_time(e->last, r->now));
}

static void
write_refusal_table(StringInfo out, const PoReport *r)
{
	PoHtmlTable t;

	po_html_table_begin(&t, out, r->n_refusals_left_out == 0 ?
						"By reason and client, the most frequent first" :
						psprintf("By reason and client, the %d most frequent of %d",
								 r->n_refusals, r->n_refusals + r->n_refusals_left_out),
						"Tenant|#Logins|Because|Role|Application|-From|-Last");
	for (int i = 0; i < r->n_refusals; i++)
		write_refusal(&t, r, &r->refusal[i]);
	po_html_table_end(&t);
	appendStringInfo(out, "<p class=\"soft\">From the last %d events that are kept of logins; "
					 "the plot counts all.</p>\n", po_guc_history_events);
}

static void
write_refusal_numbers(StringInfo out, const PoReport *r)
{
	PoHtmlTable t;

	appendStringInfoString(out, "<details><summary>The numbers of this plot</summary>\n");
	po_html_table_begin(&t, out, "When logins were refused", "From|#Logins refused");
	for (int b = 0; b < r->n_buckets; b++)
	{
		if (!(r->sum_rejected[b] > 0))
			continue;
		po_html_row(&t);
		po_html_cell(&t, "%s", po_html_time_text(r->from + b * r->bucket_us, PO_TIME_FULL));
		po_html_cell(&t, "%s", po_html_count(r->sum_rejected[b]));
	}
	po_html_table_end(&t);
	appendStringInfoString(out, "</details>\n");
}

static void
write_refusal_plot(StringInfo out, const PoReport *r, double most)
{
	PoChart		c = {.height = REFUSED_HEIGHT};
	TimestampTz end = r->from + r->n_buckets * r->bucket_us;

	appendStringInfo(out, "<figure><figcaption><h3>Logins refused, per %s</h3></figcaption>\n",
					 po_html_duration(r->bucket_us / 1000.0));
	po_plot_scale(most, 3, 1, &c.y);
	po_chart_begin(&c, out, "", "refused", "Logins refused over time",
				   psprintf("At most %s in a bar. The table below has the numbers.",
							po_html_count(most)));
	po_chart_y_axis(&c);
	po_chart_time_axis(&c, r->from, end);
	po_chart_bars(&c, r->sum_rejected, r->n_buckets, "refused");
	po_chart_end(&c);
	write_refusal_numbers(out, r);
	appendStringInfoString(out, "</figure>\n");
}

void
po_report_write_refusals(StringInfo out, const PoReport *r)
{
	double		most = 0;
	double		sum = 0;

	for (int b = 0; b < r->n_buckets && r->use_s > 0; b++)
	{
		if (isnan(r->sum_rejected[b]))
			continue;
		most = Max(most, r->sum_rejected[b]);
		sum += r->sum_rejected[b];
	}
	po_report_section_begin(out, "refusals", "Refused logins, who and why",
							sum == 0 && r->n_refusals == 0 ? "No login was refused." : "");
	if (sum > 0)
		write_refusal_plot(out, r, most);
	if (r->n_refusals > 0)
		write_refusal_table(out, r);
	po_report_section_end(out);
}

/* ---------- holders ---------- */

/* What holds connections, in the widths of the largest. */
static char *
holder_bar(int active, int in_transaction, int idle, double most)
{
	double		a = 99.5 * active / most;
	double		b = 99.5 * in_transaction / most;
	double		c = 99.5 * idle / most;

	return psprintf("<svg width=\"100%%\" height=\"16\" aria-hidden=\"true\">"
					"<rect class=\"active\" width=\"%.2f%%\" height=\"16\"/>"
					"<rect class=\"stuck\" x=\"%.2f%%\" width=\"%.2f%%\" height=\"16\"/>"
					"<rect class=\"idle\" x=\"%.2f%%\" y=\".5\" width=\"%.2f%%\" height=\"15\"/>"
					"</svg>", a, a, b, a + b, c);
}

static void
write_holders_key(StringInfo out)
{
	static const char *const kinds[][2] = {
		{"active", "active"}, {"stuck", "idle in a transaction"}, {"idle", "idle"}
	};

	appendStringInfoString(out, "<ul class=\"key\">");
	for (int i = 0; i < lengthof(kinds); i++)
		appendStringInfo(out, "<li><svg width=\"14\" height=\"12\" aria-hidden=\"true\"><rect "
						 "class=\"%s\" x=\"1\" y=\"1\" width=\"12\" height=\"10\"/></svg> %s</li>",
						 kinds[i][0], kinds[i][1]);
	appendStringInfoString(out, "</ul>\n");
}

/* Tenants are in the order of their sessions. */
static void
write_holding_tenants(StringInfo out, const PoReport *r)
{
	PoHtmlTable t;
	int			others = 0;
	int			n_others = 0;

	po_html_table_begin(&t, out, "By tenant", "Tenant|=Sessions|#Sessions|#Active|"
						"#In a transaction|#Idle|#-Quota");
	for (int i = 0; i < r->n; i++)
	{
		const PoReportTenant *x = &r->tenant[i];

		if (x->sessions == 0)
			continue;
		if (i >= HOLDERS)
		{
			others += x->sessions;
			n_others++;
			continue;
		}
		po_html_row(&t);
		po_html_cell(&t, "%s", po_html_name(x->name));
		po_html_cell(&t, "%s", holder_bar(x->active, x->in_transaction, x->idle,
										  r->tenant[0].sessions));
		po_html_cell(&t, "%d", x->sessions);
		po_html_cell(&t, "%d", x->active);
		po_html_cell(&t, "%d", x->in_transaction);
		po_html_cell(&t, "%d", x->idle);
		po_html_cell(&t, "%s", x->quota < 0 ? PO_REPORT_NONE : psprintf("%d", x->quota));
	}
	po_html_table_end(&t);
	if (n_others > 0)
		appendStringInfo(out, "<p class=\"soft\">%s more of %s.</p>\n",
						 po_html_counted(others, "session", "sessions"),
						 po_html_counted(n_others, "other tenant", "other tenants"));
}

static void
write_holding_clients(StringInfo out, const PoReport *r)
{
	PoHtmlTable t;

	po_html_table_begin(&t, out, "By client, the largest first",
						"Tenant|Application|From|#Sessions|#Active|#In a transaction|#Idle|"
						"#-Longest idle");
	for (int i = 0; i < Min(r->n_clients, CLIENTS); i++)
	{
		const PoReportClient *c = &r->client[i];

		po_html_row(&t);
		po_html_cell(&t, "%s", c->tenant == NULL ? PO_REPORT_NONE : po_html_name(c->tenant));
		po_html_cell(&t, "%s", po_report_or_none(c->application));
		po_html_cell(&t, "%s", c->address == NULL ? "[local]" : po_html_escape(c->address));
		po_html_cell(&t, "%d", c->sessions);
		po_html_cell(&t, "%d", c->busy);
		po_html_cell(&t, "%d", c->in_transaction);
		po_html_cell(&t, "%d", c->idle);
		po_html_cell(&t, "%s", isnan(c->longest_idle_ms) ? PO_REPORT_NONE :
					 po_html_duration(c->longest_idle_ms));
	}
	po_html_table_end(&t);
}

void
po_report_write_holders(StringInfo out, const PoReport *r)
{
	bool		any = r->n > 0 && r->tenant[0].sessions > 0;

	po_report_section_begin(out, "holders", "Who holds connections",
							any ? "" : "Nobody is connected.");
	if (any)
	{
		write_holders_key(out);
		write_holding_tenants(out, r);
	}
	if (r->n_clients > 0)
		write_holding_clients(out, r);
	po_report_section_end(out);
}
