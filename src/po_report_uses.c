/*
 * po_report_uses.c
 *		The section of a report about what connections are spent on: findings, and the statements
 *		of those tenants whose statements hold most.
 */
#include "postgres.h"

#include <math.h>

#include "po_guc.h"
#include "po_html.h"
#include "po_report_page.h"
#include "po_report_sections.h"

#define BEGINNING		250		/* of a statement, in characters */

/* ---------- findings ---------- */

static char *
kind_words(const char *kind)
{
	static const char *const words[][2] = {
		{"slow_statement", "slow statement"},
		{"n_plus_one", "one statement for each row of another (N+1)"},
		{"client_wait", "waits for its client in the transaction"},
		{"unpaged_result", "large result, not paged"},
		{"sequential_scan", "sequential scan of a large table"},
		{"repeated_read", "reads the same again and again"},
		{"hot_row", "waits for others&#39; locks"},
		{"read_only", "only reads: a standby could"},
		{"churn", "sessions that come and go"},
		{"session_state", "session state: would break behind a pooler"}
	};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (strcmp(words[i][0], kind) == 0)
			return pstrdup(words[i][1]);
	}
	return po_html_escape(kind);
}

static char *
gravity(const PoReportFound *f)
{
	if (f->acknowledged)
		return psprintf("<p class=\"soft\">acknowledged: %s</p>",
						po_report_or_none(f->reason));
	if (strcmp(f->severity, "critical") != 0 && strcmp(f->severity, "warning") != 0)
		return pstrdup("<p class=\"gravity note\">Note</p>");
	return psprintf("<p class=\"gravity %s\">%s</p>", f->severity, f->severity);
}

static char *
statement_words(const char *text, const char *queryid, const char *otherwise)
{
	if (text != NULL && text[0] != '\0')
		return psprintf("<code>%s</code>", po_html_beginning(text, BEGINNING));
	if (queryid != NULL)
		return psprintf("queryid %s", po_html_escape(queryid));
	return pstrdup(otherwise);
}

static void
write_found(PoHtmlTable *t, const PoReport *r, const PoReportFound *f)
{
	po_html_row(t);
	po_html_cell(t, "%s", po_html_name(f->tenant));
	po_html_cell(t, "%s%s", kind_words(f->kind), gravity(f));
	po_html_cell(t, "%s", f->connections > 0 ? psprintf("%.2f", f->connections) :
				 PO_REPORT_NONE);
	po_html_cell(t, "%s", statement_words(f->statement, f->queryid, PO_REPORT_NONE));
	po_html_cell(t, "%s", po_report_or_none(f->advice));
	po_html_cell(t, "%s", po_html_time(f->since, r->now));
}

static void
write_findings(StringInfo out, const PoReport *r)
{
	PoHtmlTable t;

	po_html_table_begin(&t, out, r->n_found < r->n_all_found ?
						psprintf("What need not be, the dearest %d of %s", r->n_found,
								 po_html_count(r->n_all_found)) :
						"What need not be, the dearest first",
						"Tenant|Finding|#Connections|~Statement|~What to do|-Since");
	for (int i = 0; i < r->n_found; i++)
		write_found(&t, r, &r->found[i]);
	po_html_table_end(&t);
	appendStringInfoString(out, "<p class=\"soft\">Connections: so many are busy with it on "
						   "average. What is to stay as it is can be acknowledged with "
						   "<code>pool_acknowledge</code>; <code>pool_findings</code> has the "
						   "evidence.</p>\n");
}

/* ---------- statements ---------- */

static void
write_statement(PoHtmlTable *t, const PoReportStatement *s)
{
	po_html_row(t);
	po_html_cell(t, "%s", po_html_name(s->tenant));
	po_html_cell(t, "%s", statement_words(s->text, s->queryid, "others, or another role&#39;s"));
	po_html_cell(t, "<svg width=\"100%%\" height=\"16\" aria-hidden=\"true\"><rect "
				 "class=\"active\" width=\"%.1f%%\" height=\"16\"/></svg>",
				 Min(s->share, 1) * 100);
	po_html_cell(t, "%s", po_html_percent(s->share));
	po_html_cell(t, "%s", po_html_count(s->calls));
	po_html_cell(t, "%s", isnan(s->mean_ms) ? PO_REPORT_NONE : po_html_duration(s->mean_ms));
	po_html_cell(t, "%s", s->wait_ms > 0 ? po_html_duration(s->wait_ms) : PO_REPORT_NONE);
}

static void
write_statements(StringInfo out, const PoReport *r)
{
	PoHtmlTable t;

	po_html_table_begin(&t, out, psprintf("Statements that hold connections, of the %d tenants "
										  "that hold most, since they are counted",
										  PO_REPORT_SPENDERS),
						"Tenant|~Statement|=Share of its busy time|#Share|#-Calls|#-Mean|"
						"#-Then waits");
	for (int i = 0; i < r->n_statements; i++)
		write_statement(&t, &r->statement[i]);
	po_html_table_end(&t);
	appendStringInfoString(out, "<p class=\"soft\">Then waits: for its client, idle in the "
						   "transaction, on average. Constants are left out of statements.</p>\n");
}

static const char *
lead(const PoReport *r)
{
	if (!r->has_statements)
		return "The extension in this database is older than the library: see ALTER EXTENSION "
			"pool_optimizer UPDATE.";
	if (!po_guc_track_statements)
		return "Statements are not counted: <code>pool_optimizer.track_statements</code> is off.";
	if (!po_guc_track_findings && r->n_found == 0)
		return "Findings are not looked for: <code>pool_optimizer.track_findings</code> is off.";
	return r->n_found == 0 ? "Nothing was found that need not be." :
		"Long transactions, chatty code and missing indexes are what pools are spent on. Each of "
		"these needs connections that it could do without.";
}

void
po_report_write_uses(StringInfo out, const PoReport *r)
{
	po_report_section_begin(out, "uses", "What uses the connections", lead(r));
	if (r->n_found > 0)
		write_findings(out, r);
	if (r->n_statements > 0)
		write_statements(out, r);
	po_report_section_end(out);
}
