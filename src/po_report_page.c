/*
 * po_report_page.c
 *		What every report has: head with style, title, sections, icons, foot.
 *
 * The page has no script, and its policy (CSP) lets none run, nor anything be loaded: what
 * somebody might smuggle in as a name would do nothing even if it came in unescaped.
 *
 * Colours: blue for what is open and busy, vermilion for limits, green for recommendations,
 * after the palette of M. Okabe and K. Ito (2008), which colour-blind people can tell apart;
 * and each kind of line has its own dashes, so that none is told by colour alone.  Text has a
 * contrast of at least 4.5 : 1 to what is behind it, light and dark.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/guc.h"

#include "po_html.h"
#include "po_report_page.h"

/* ---------- style ---------- */

static const char colours[] =
":root {\n"
"  color-scheme: light dark;\n"
"  --page: #fbfaf8; --card: #ffffff; --ink: #1b2228; --soft: #56616b; --rule: #d5d9dd;\n"
"  --grid: #e6e8ea; --code: #f3f2ef; --link: #0b5c9c;\n"
"  --open: #3d85bd; --open-text: #2a6b9f; --open-fill: #cfe2f1;\n"
"  --busy: #10406b; --busy-fill: #a9c8e2;\n"
"  --limit: #b8430b; --advice: #00705b; --refused: #b8430b; --stuck: #d08a1d;\n"
"  --critical: #a8201a; --critical-fill: #fcf0ee; --warning: #835300; --warning-fill: #fcf5e3;\n"
"  --note: #31587c; --note-fill: #eef4f9; --good: #17663a; --good-fill: #edf6ef;\n"
"}\n"
"@media screen and (prefers-color-scheme: dark) {\n"
"  :root {\n"
"    --page: #13171b; --card: #1a2026; --ink: #e6e9ec; --soft: #a2adb7; --rule: #363f48;\n"
"    --grid: #2a323a; --code: #20272e; --link: #82bff0;\n"
"    --open: #5ba3d9; --open-text: #6db0e2; --open-fill: #24445e;\n"
"    --busy: #c3dff5; --busy-fill: #3c6385;\n"
"    --limit: #ff8f5e; --advice: #4fc8ab; --refused: #ff8f5e; --stuck: #e0a743;\n"
"    --critical: #ff8b80; --critical-fill: #2e1c1c; --warning: #eab64a; --warning-fill: #2b2417;\n"
"    --note: #93bfe6; --note-fill: #1a2631; --good: #74cc95; --good-fill: #18271e;\n"
"  }\n"
"}\n";

static const char text_style[] =
"* { box-sizing: border-box; }\n"
"html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }\n"
"body { margin: 0; background: var(--page); color: var(--ink);\n"
"  font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif; }\n"
".wrap { max-width: 1120px; margin: 0 auto; padding: 28px 24px 40px; }\n"
"h1, h2, h3, h4, p { margin: 0; overflow-wrap: anywhere; }\n"
"h1 { font-size: 1.05rem; font-weight: 600; }\n"
"h2 { font-size: 1.35rem; font-weight: 650; line-height: 1.3; letter-spacing: -.01em; }\n"
"h3 { font-size: 1rem; font-weight: 650; line-height: 1.4; }\n"
"h4 { font-size: .875rem; font-weight: 650; line-height: 1.35; }\n"
"a { color: var(--link); text-underline-offset: 2px; }\n"
"bdi { overflow-wrap: anywhere; }\n"
":focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }\n"
".soft, .lead, .where, figcaption p, footer { color: var(--soft); }\n"
".where { font-size: .875rem; }\n"
".lead { max-width: 54em; margin-top: 4px; }\n"
".skip { position: absolute; left: -999em; }\n"
".skip:focus { left: 16px; top: 8px; background: var(--card); padding: 6px 12px; z-index: 1; }\n"
"nav ul { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 20px 0 0; padding: 0;\n"
"  list-style: none; font-size: .875rem; }\n"
"section { margin-top: 44px; border-top: 1px solid var(--rule); padding-top: 20px; }\n"
"footer { margin-top: 44px; border-top: 1px solid var(--rule); padding-top: 16px;\n"
"  font-size: .8125rem; }\n"
"footer p { max-width: 60em; margin-bottom: 8px; }\n"
"code, pre { font: .8125rem/1.55 ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono',\n"
"  monospace; }\n"
"pre { margin: 8px 0 0; padding: 10px 12px; background: var(--code); border-radius: 6px;\n"
"  white-space: pre-wrap; overflow-wrap: anywhere; -webkit-user-select: all; user-select: all; }\n";

static const char verdict_style[] =
".verdict { margin-top: 24px; border: 0; padding: 0; }\n"
".verdict > h2 { display: flex; gap: 14px; align-items: flex-start; padding: 16px 20px;\n"
"  font-size: 1.5rem; border-radius: 10px; }\n"
".verdict .icon { flex: none; width: 32px; height: 32px; margin-top: 2px; }\n"
".critical { color: var(--critical); } .warning { color: var(--warning); }\n"
".note { color: var(--note); } .good { color: var(--good); }\n"
"h2.critical { background: var(--critical-fill); }\n"
"h2.warning { background: var(--warning-fill); }\n"
"h2.note { background: var(--note-fill); } h2.good { background: var(--good-fill); }\n"
".verdict > .lead { margin: 14px 0 0; }\n"
".findings { margin: 18px 0 0; padding: 0; list-style: none; }\n"
".findings > li { display: grid; grid-template-columns: 22px minmax(0, 1fr); gap: 8px 14px;\n"
"  padding: 16px 0; border-top: 1px solid var(--rule); }\n"
".findings .icon { width: 22px; height: 22px; margin-top: 1px; }\n"
".findings pre { grid-column: 2; align-self: start; margin: 0; }\n"
".findings .do { margin-top: 6px; }\n"
".gravity { font-size: .75rem; font-weight: 650; letter-spacing: .04em;\n"
"  text-transform: uppercase; }\n"
".figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr));\n"
"  gap: 18px 28px; margin: 32px 0 0; }\n"
".figures div { border-top: 2px solid var(--rule); padding-top: 8px; }\n"
".figures dt { font-size: .8125rem; color: var(--soft); }\n"
".figures dd { margin: 0; font-size: .8125rem; color: var(--soft); }\n"
".figures dd.big { font-size: 1.6rem; line-height: 1.25; font-weight: 650; color: var(--ink);\n"
"  font-variant-numeric: tabular-nums; }\n";

static const char plot_style[] =
"figure { margin: 20px 0 0; }\n"
"figcaption p { max-width: 46em; font-size: .875rem; }\n"
".plot { padding: 12px 4px 0 44px; }\n"
".plot svg { display: block; overflow: visible; }\n"
"svg text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }\n"
"text.y { text-anchor: end; } text.x { text-anchor: middle; }\n"
"text.first { text-anchor: start; } text.last { text-anchor: end; }\n"
"text.end { display: none; font-weight: 600; }\n"
".grid { stroke: var(--grid); } .base, .tick { stroke: var(--soft); }\n"
".plot path, .plot line { fill: none; vector-effect: non-scaling-stroke; }\n"
".open { stroke: var(--open); stroke-width: 1.75; stroke-linejoin: round; }\n"
".busy { stroke: var(--busy); stroke-width: 2; stroke-linejoin: round; }\n"
".plot path.peak { fill: var(--open-fill); stroke: none; }\n"
".plot path.most { fill: var(--busy-fill); stroke: none; }\n"
"line.peak { stroke: var(--open-fill); stroke-width: 10; }\n"
"line.most { stroke: var(--busy-fill); stroke-width: 10; }\n"
".limit { stroke: var(--limit); stroke-width: 2; }\n"
".advice { stroke: var(--advice); stroke-width: 2; stroke-dasharray: 7 4; }\n"
".threshold { stroke: var(--soft); stroke-width: 1.25; stroke-dasharray: 1.5 4; }\n"
".today { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 3 3; }\n"
"circle.today { fill: var(--ink); stroke: var(--page); stroke-dasharray: none; }\n"
"circle.advice { fill: var(--advice); stroke: var(--page); stroke-width: 1.5;\n"
"  stroke-dasharray: none; }\n"
"rect.refused { fill: var(--refused); }\n"
"rect.active { fill: var(--busy); } rect.stuck { fill: var(--stuck); }\n"
"rect.idle { fill: var(--open-fill); stroke: var(--open); stroke-width: 1; }\n"
"rect.change { fill: var(--open); } rect.track { fill: var(--grid); }\n"
"rect.shade { fill: var(--grid); }\n"
"rect.hint { fill: transparent; } rect.hint:hover { fill: var(--ink); fill-opacity: .1; }\n"
"text.open { fill: var(--open-text); stroke: none; }\n"
"text.busy { fill: var(--busy); stroke: none; }\n"
"text.limit { fill: var(--limit); stroke: none; }\n"
"text.advice { fill: var(--advice); stroke: none; }\n"
"text.threshold, text.today, text.peak { fill: var(--soft); stroke: none; }\n"
".unit { margin: 10px 0 -6px 24px; font-size: .75rem; color: var(--soft); }\n"
".meter { display: block; margin-top: 6px; }\n"
".key { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 10px 0 0; padding: 0;\n"
"  list-style: none; font-size: .8125rem; color: var(--soft); }\n"
".key svg { vertical-align: -1px; margin-right: 3px; }\n"
".tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(230px, 100%), 1fr));\n"
"  gap: 26px 30px; margin-top: 18px; }\n"
/* So that plots are level whatever the names' lengths are. */
".tiles figure { margin: 0; min-width: 0; display: grid; grid-template-rows: subgrid;\n"
"  grid-row: span 3; row-gap: 0; align-content: start; }\n"
".tiles h3 { font-size: .875rem; line-height: 1.35; }\n"
".tiles .plot { padding: 6px 0 0 26px; }\n"
".tiles svg text { font-size: 11px; }\n"
".facts { margin-top: 4px; font-size: .8125rem; line-height: 1.4; color: var(--soft);\n"
"  font-variant-numeric: tabular-nums; }\n"
".facts b { color: var(--ink); font-weight: 600; }\n"
".pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(380px, 100%), 1fr));\n"
"  gap: 8px 36px; }\n"
".axis { font-size: .75rem; color: var(--soft); text-align: right; }\n"
".pair > div { min-width: 0; } .pair h4 { margin-top: 12px; }\n";

static const char table_style[] =
".scroll { overflow-x: auto; margin-top: 14px; }\n"
"table { border-collapse: collapse; width: 100%; font-size: .875rem; line-height: 1.4; }\n"
"caption { text-align: left; font-size: .8125rem; color: var(--soft); padding-bottom: 4px; }\n"
"th, td { text-align: left; vertical-align: top; padding: 6px 14px 6px 0; font-weight: 400;\n"
"  border-bottom: 1px solid var(--grid); }\n"
"thead th { color: var(--soft); font-size: .8125rem; font-weight: 600; vertical-align: bottom;\n"
"  border-bottom-color: var(--rule); }\n"
"tbody th { min-width: 9.5em; font-weight: 600; }\n"
".n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }\n"
".bar { min-width: 150px; width: 30%; }\n"
".q { min-width: 17em; } td code { overflow-wrap: anywhere; }\n"
".mid { display: block; text-align: center; }\n"
".scroll + .scroll { margin-top: 30px; }\n"
".scroll + p { margin-top: 8px; } .scroll + p + .scroll { margin-top: 30px; }\n"
".bar svg { display: block; margin-top: 3px; }\n"
"details { margin-top: 12px; }\n"
"summary { cursor: pointer; color: var(--link); font-size: .875rem; width: fit-content; }\n";

static const char media_style[] =
"@media (min-width: 960px) {\n"
"  .findings > li { grid-template-columns: 22px minmax(0, 10fr) minmax(0, 11fr); }\n"
"  .findings pre { grid-column: 3; margin-left: 18px; }\n"
"}\n"
"@media (min-width: 700px) {\n"
"  .plot.wide { padding-right: 132px; }\n"
"  .wide text.end { display: inline; }\n"
"  .key.narrow { display: none; }\n"
"}\n"
"@media (max-width: 699px) {\n"
"  .wrap { padding: 18px 16px 32px; }\n"
"  .alt, th.x, td.x { display: none; }\n"
"  .verdict > h2 { font-size: 1.3rem; padding: 14px 16px; }\n"
"  .plot { padding-left: 36px; }\n"
"  section { margin-top: 34px; }\n"
"}\n"
"@media print {\n"
"  @page { margin: 14mm; }\n"
"  body { font-size: 10.5pt; background: none; }\n"
"  .wrap { max-width: none; padding: 0; }\n"
"  nav, .skip, details:not([open]) { display: none; }\n"
"  .verdict > h2, rect, path, line, circle { print-color-adjust: exact;\n"
"    -webkit-print-color-adjust: exact; }\n"
"  figure, .findings > li, tr, .figures { break-inside: avoid; }\n"
"  h2, h3, caption { break-after: avoid; }\n"
"}\n";

/* ---------- icons ---------- */

static const char icons[] =
"<svg width=\"0\" height=\"0\" aria-hidden=\"true\" style=\"position:absolute\"><defs>\n"
"<symbol id=\"i-critical\" viewBox=\"0 0 24 24\"><path fill=\"currentColor\" "
"d=\"M7.4 1h9.2L23 7.4v9.2L16.6 23H7.4L1 16.6V7.4zM10.7 6l.4 8h1.8l.4-8zm.1 10v2.4h2.4V16z\" "
"fill-rule=\"evenodd\"/></symbol>\n"
"<symbol id=\"i-warning\" viewBox=\"0 0 24 24\"><path fill=\"currentColor\" "
"d=\"M12 1.5 23.5 22H.5zM10.8 8.5l.4 7h1.6l.4-7zm.1 8.7v2.2h2.2v-2.2z\" "
"fill-rule=\"evenodd\"/></symbol>\n"
"<symbol id=\"i-note\" viewBox=\"0 0 24 24\"><path fill=\"currentColor\" "
"d=\"M12 1a11 11 0 1 1 0 22 11 11 0 0 1 0-22zM10.8 6v2.4h2.4V6zm0 4.4V18h2.4v-7.6z\" "
"fill-rule=\"evenodd\"/></symbol>\n"
"<symbol id=\"i-good\" viewBox=\"0 0 24 24\"><path fill=\"currentColor\" "
"d=\"M12 1a11 11 0 1 1 0 22 11 11 0 0 1 0-22zm5 6.2-6.6 7.2-3.3-3.1-1.5 1.6 4.9 4.6 "
"8.1-8.9z\" fill-rule=\"evenodd\"/></symbol>\n"
"</defs></svg>\n";

const char *
po_report_gravity_class(int gravity)
{
	static const char *const names[] = {"good", "note", "warning", "critical"};

	return names[gravity + 1];
}

char *
po_report_icon(int gravity)
{
	const char *name = po_report_gravity_class(gravity);

	return psprintf("<svg class=\"icon %s\" viewBox=\"0 0 24 24\" aria-hidden=\"true\">"
					"<use href=\"#i-%s\"/></svg>", name, name);
}

/* ---------- page ---------- */

static const char *
cluster(void)
{
	const char *name = GetConfigOption("cluster_name", true, false);

	return name != NULL && name[0] != '\0' ? psprintf("%s &#183; ", po_html_escape(name)) : "";
}

static void
write_title(StringInfo out, const PoReport *r)
{
	appendStringInfo(out, "<header>\n<p class=\"where\">%sPostgreSQL %s%s &#183; port %s &#183; "
					 "pool_optimizer %s, mode %s</p>\n", cluster(),
					 po_html_escape(GetConfigOption("server_version", false, false)),
					 RecoveryInProgress() ? ", a standby" : "",
					 po_html_escape(GetConfigOption("port", false, false)), PO_VERSION, r->mode);
	appendStringInfo(out, "<h1>Connections, %s to %s</h1>\n", po_html_time(r->since, r->now),
					 po_html_time(r->now, r->now));
	appendStringInfo(out, "<p class=\"where\">Times are those of %s. As role %s sees it%s.</p>\n",
					 po_html_escape(pg_get_timezone_name(session_timezone)),
					 po_html_name(GetUserNameFromId(GetUserId(), true)),
					 r->sees_all ? "" : ": its own tenant, and what is told to everybody");
	appendStringInfoString(out, "</header>\n");
}

void
po_report_page_begin(StringInfo out, const PoReport *r)
{
	appendStringInfoString(out,
						   "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
						   "<meta charset=\"utf-8\">\n"
						   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
						   "'none'; style-src 'unsafe-inline'; base-uri 'none'; "
						   "form-action 'none'\">\n"
						   "<meta name=\"viewport\" content=\"width=device-width, "
						   "initial-scale=1\">\n"
						   "<meta name=\"color-scheme\" content=\"light dark\">\n"
						   "<meta name=\"robots\" content=\"noindex\">\n"
						   "<meta name=\"referrer\" content=\"no-referrer\">\n");
	appendStringInfo(out, "<title>%sconnections, %s</title>\n<style>\n", cluster(),
					 po_html_time_text(r->now, PO_TIME_FULL));
	appendStringInfoString(out, colours);
	appendStringInfoString(out, text_style);
	appendStringInfoString(out, verdict_style);
	appendStringInfoString(out, plot_style);
	appendStringInfoString(out, table_style);
	appendStringInfoString(out, media_style);
	appendStringInfoString(out, "</style>\n</head>\n<body>\n"
						   "<a class=\"skip\" href=\"#verdict\">Skip to the verdict</a>\n");
	appendStringInfoString(out, icons);
	appendStringInfoString(out, "<div class=\"wrap\">\n");
	write_title(out, r);
	appendStringInfoString(out, "<main>\n");
}

void
po_report_section_begin(StringInfo out, const char *id, const char *title, const char *lead)
{
	appendStringInfo(out, "<section id=\"%s\" aria-labelledby=\"%s-h\">\n<h2 id=\"%s-h\">%s</h2>\n",
					 id, id, id, title);
	if (lead[0] != '\0')
		appendStringInfo(out, "<p class=\"lead\">%s</p>\n", lead);
}

void
po_report_section_end(StringInfo out)
{
	appendStringInfoString(out, "</section>\n");
}

void
po_report_page_end(StringInfo out, const PoReport *r)
{
	appendStringInfoString(out, "</main>\n<footer>\n"
						   "<p>A tenant is whose session it is, by the template in "
						   "pool_optimizer.tenant. Busy is what executes a statement or is in a "
						   "transaction. Means are by time. A gap in a line is time that nobody "
						   "watched. Leaked is what a policy, or a built-in threshold, takes for "
						   "forgotten.</p>\n");
	appendStringInfo(out, "<p>Written by pool_report of pool_optimizer %s from pool_stats, "
					 "pool_stats_history, pool_stats_statement, pool_findings, "
					 "pool_recommendations, pool_events and pool_alerts%s.</p>\n</footer>\n"
					 "</div>\n</body>\n</html>\n", PO_VERSION,
					 r->sees_all ? "" : ", which show this role its own tenant only");
}
