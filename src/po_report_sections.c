/*
 * po_report_sections.c
 *		What several sections of a report say.
 */
#include "postgres.h"

#include "po_html.h"
#include "po_report_sections.h"

char *
po_report_or_none(const char *text)
{
	return text == NULL || text[0] == '\0' ? pstrdup(PO_REPORT_NONE) : po_html_escape(text);
}

char *
po_report_history_note(const PoReport *r)
{
	if (r->use_s == 0)
		return pstrdup("There is no history yet.");
	if (r->history_from - r->since <= 2 * r->bucket_us)
		return pstrdup("");
	return psprintf("History begins at %s.", po_html_time(r->history_from, r->now));
}

char *
po_report_since(const PoReport *r)
{
	if (r->since_us % USECS_PER_DAY == 0 && r->since_us > USECS_PER_DAY)
		return psprintf("%d days", (int) (r->since_us / USECS_PER_DAY));
	if (r->since_us % USECS_PER_HOUR == 0 && r->since_us > USECS_PER_HOUR &&
		r->since_us <= 2 * USECS_PER_DAY)
		return psprintf("%d hours", (int) (r->since_us / USECS_PER_HOUR));
	return po_html_duration(r->since_us / 1000.0);
}
