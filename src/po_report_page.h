/*
 * po_report_page.h
 *		What every report has: head with style, title, sections, icons, foot.
 */
#ifndef PO_REPORT_PAGE_H
#define PO_REPORT_PAGE_H

#include "lib/stringinfo.h"

#include "po_report_advice.h"

/* Up to and with the title of the page. */
extern void po_report_page_begin(StringInfo out, const PoReport *report);
extern void po_report_page_end(StringInfo out, const PoReport *report);

/* A section with a heading; lead is HTML, "" = none. */
extern void po_report_section_begin(StringInfo out, const char *id, const char *title,
									const char *lead);
extern void po_report_section_end(StringInfo out);

/* The sign of a gravity, which differs in shape and not only in colour; -1 = all is well. */
extern char *po_report_icon(int gravity);
extern const char *po_report_gravity_class(int gravity);

#endif							/* PO_REPORT_PAGE_H */
