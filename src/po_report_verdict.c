/*
 * po_report_verdict.c
 *		The top of a report: what is wrong and what to do, and the figures of the moment.
 *
 * Who has a minute reads no further.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"

#include "po_guc.h"
#include "po_html.h"
#include "po_report_page.h"
#include "po_report_sections.h"

/* ---------- the verdict ---------- */

static int
count_findings(const PoAdvice *a, PoGravity gravity)
{
	int			n = a->n_left_out[gravity];

	for (int i = 0; i < a->n; i++)
		n += a->finding[i].gravity == gravity ? 1 : 0;
	return n;
}

static const char *
gravity_word(PoGravity gravity)
{
	return gravity == PO_GRAVITY_CRITICAL ? "Act now" : gravity == PO_GRAVITY_WARNING ?
		"Look into it" : "Could be better";
}

static char *
headline(const PoAdvice *a)
{
	int			n_critical = count_findings(a, PO_GRAVITY_CRITICAL);
	int			n_warning = count_findings(a, PO_GRAVITY_WARNING);

	if (n_critical > 1)
		return psprintf("Act now: %s (and %d more)", a->finding[0].title, n_critical - 1);
	if (n_critical > 0)
		return psprintf("Act now: %s", a->finding[0].title);
	if (n_warning > 1)
		return psprintf("%d things to look into", n_warning);
	if (n_warning > 0)
		return psprintf("Look into it: %s", a->finding[0].title);
	return pstrdup("Nothing is wrong");
}

static char *
summary(const PoReport *r)
{
	double		refused = 0;
	int			taken = (int) (r->utilization * r->usable + 0.5);
	StringInfoData out;

	for (int i = 0; i < r->n; i++)
		refused += Max(r->tenant[i].refused, r->tenant[i].use.rejected);
	initStringInfo(&out);
	appendStringInfo(&out, "%d of %d usable connections %s taken. ", taken, r->usable,
					 taken == 1 ? "is" : "are");
	if (refused > 0)
		appendStringInfo(&out, "%s refused in the last %s, and ",
						 po_html_counted((int64) refused, "login was", "logins were"),
						 po_report_since(r));
	else
		appendStringInfo(&out, "No login was refused in the last %s, and ",
						 po_report_since(r));
	if (r->n_leaked > 0)
		appendStringInfo(&out, "%s leaked.",
						 po_html_counted((int64) r->n_leaked, "session is", "sessions are"));
	else
		appendStringInfoString(&out, "no session is leaked.");
	return out.data;
}

/* Where the SQL is to be run, and by whom. */
static void
write_how_to_run(StringInfo out, const PoReport *r)
{
	const char *here = get_database_name(MyDatabaseId);

	appendStringInfoString(out, "<p class=\"lead\">");
	if (RecoveryInProgress())
		appendStringInfoString(out, "This is a standby: run what sets policies on the primary. ");
	else if (here == NULL || strcmp(here, po_guc_database) != 0)
		appendStringInfo(out, "Run what sets policies in database %s. ",
						 po_html_name(po_guc_database));
	if (!r->may_set)
		appendStringInfoString(out, "Your role may not run it: somebody who may has to. ");
	appendStringInfoString(out, "A click on a statement selects all of it.</p>\n");
}

static void
write_finding(StringInfo out, const PoFinding *f)
{
	const char *class = po_report_gravity_class(f->gravity);

	appendStringInfo(out, "<li>%s<div class=\"words\"><p class=\"gravity %s\">%s</p>\n"
					 "<h3>%s</h3>\n",
					 po_report_icon(f->gravity), class, gravity_word(f->gravity), f->title);
	if (f->why != NULL && f->why[0] != '\0')
		appendStringInfo(out, "<p class=\"soft\">%s</p>\n", f->why);
	if (f->what_to_do != NULL)
		appendStringInfo(out, "<p class=\"do\">%s</p>\n", f->what_to_do);
	appendStringInfoString(out, "</div>");
	if (f->sql != NULL)
		appendStringInfo(out, "<pre tabindex=\"0\"><code>%s</code></pre>\n",
						 po_html_escape(f->sql));
	appendStringInfoString(out, "</li>\n");
}

/* What is in no list. */
static void
write_left_out(StringInfo out, const PoReport *r, const PoAdvice *a)
{
	if (a->n_more > 0)
		appendStringInfo(out, "<p class=\"soft\">%s in one of these situations, too; the table "
						 "of all tenants has their figures.</p>\n",
						 po_html_counted(a->n_more, "more tenant is", "more tenants are"));
	if (r->n_alerts_left_out > 0)
		appendStringInfo(out, "<p class=\"soft\">%s not shown here: <code>pool_alerts</code> has "
						 "all of them.</p>\n",
						 po_html_counted(r->n_alerts_left_out, "more alert is",
										 "more alerts are"));
}

static void
write_findings(StringInfo out, const PoReport *r, const PoAdvice *a)
{
	int			shown = Min(a->n, PO_SHOWN_FINDINGS);

	write_how_to_run(out, r);
	appendStringInfoString(out, "<ol class=\"findings\">\n");
	for (int i = 0; i < shown; i++)
		write_finding(out, &a->finding[i]);
	appendStringInfoString(out, "</ol>\n");
	if (a->n > shown)
	{
		appendStringInfo(out, "<details><summary>%d more</summary>\n<ol class=\"findings\">\n",
						 a->n - shown);
		for (int i = shown; i < a->n; i++)
			write_finding(out, &a->finding[i]);
		appendStringInfoString(out, "</ol></details>\n");
	}
	write_left_out(out, r, a);
}

/* ---------- the figures ---------- */

/* How much of the usable connections is taken, and where that begins to be too much. */
static char *
meter(const PoReport *r)
{
	double		taken = 100 * Min(r->utilization, 1);
	double		warning = po_guc_warning_threshold;

	return psprintf("<svg class=\"meter\" width=\"100%%\" height=\"8\" aria-hidden=\"true\">"
					"<rect class=\"track\" width=\"100%%\" height=\"8\" rx=\"2\"/>"
					"<rect class=\"%s\" width=\"%.1f%%\" height=\"8\" rx=\"2\"/>"
					"<line class=\"base\" x1=\"%.0f%%\" x2=\"%.0f%%\" y1=\"0\" y2=\"8\"/></svg>",
					taken >= po_guc_critical_threshold ? "refused" : "change", taken, warning,
					warning);
}

static void
figure(StringInfo out, const char *what, const char *value, const char *note)
{
	appendStringInfo(out, "<div><dt>%s</dt><dd class=\"big\">%s</dd><dd>%s</dd></div>\n", what,
					 value, note);
}

static void
write_figures(StringInfo out, const PoReport *r)
{
	int			active = 0;
	int			in_transaction = 0;
	int			used = 0;
	double		refused = 0;

	for (int i = 0; i < r->n; i++)
	{
		active += r->tenant[i].active;
		in_transaction += r->tenant[i].in_transaction;
		used += r->tenant[i].sessions > 0 ? 1 : 0;
		refused += Max(r->tenant[i].refused, r->tenant[i].use.rejected);
	}
	appendStringInfoString(out, "<dl class=\"figures\">\n");
	figure(out, "Connections", psprintf("%d", (int) (r->utilization * r->usable + 0.5)),
		   psprintf("of %d usable, %s%s", r->usable, po_html_percent(r->utilization), meter(r)));
	figure(out, r->sees_all ? "Busy sessions" : "Busy sessions of yours",
		   psprintf("%d", active + in_transaction),
		   psprintf("%d active, %d idle in a transaction", active, in_transaction));
	figure(out, "Logins that queue", psprintf("%d", r->waiting),
		   psprintf("%d still authenticating", r->authenticating));
	figure(out, "Logins refused", po_html_count(refused),
		   psprintf("in the last %s", po_report_since(r)));
	figure(out, "Leaked sessions", po_html_count(r->n_leaked),
		   psprintf("%d of them exempt", (int) r->n_leaked_exempt));
	figure(out, "Tenants", po_html_count(r->sees_all ? r->n_tenants : r->n),
		   psprintf("%d of them connected", used));
	appendStringInfoString(out, "</dl>\n");
}

static void
write_contents(StringInfo out)
{
	appendStringInfoString(out, "<nav aria-label=\"Sections\"><ul>"
						   "<li><a href=\"#utilization\">Utilization</a></li>"
						   "<li><a href=\"#tenants\">Tenants</a></li>"
						   "<li><a href=\"#what-if\">Sizes</a></li>"
						   "<li><a href=\"#uses\">What uses them</a></li>"
						   "<li><a href=\"#leaks\">Leaks</a></li>"
						   "<li><a href=\"#refusals\">Refusals</a></li>"
						   "<li><a href=\"#holders\">Who holds connections</a></li>"
						   "<li><a href=\"#changes\">Changes</a></li></ul></nav>\n");
}

void
po_report_write_verdict(StringInfo out, const PoReport *r, const PoAdvice *a)
{
	int			worst = a->n == 0 || a->finding[0].gravity == PO_GRAVITY_NOTE ? -1 :
		(int) a->finding[0].gravity;

	appendStringInfo(out, "<section id=\"verdict\" class=\"verdict\" "
					 "aria-labelledby=\"verdict-h\">\n<h2 id=\"verdict-h\" class=\"%s\">%s"
					 "<span>%s.</span></h2>\n<p class=\"lead\">%s</p>\n",
					 po_report_gravity_class(worst), po_report_icon(worst), headline(a),
					 summary(r));
	if (a->n > 0)
		write_findings(out, r, a);
	write_figures(out, r);
	write_contents(out);
	po_report_section_end(out);
}
