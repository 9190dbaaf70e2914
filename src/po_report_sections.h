/*
 * po_report_sections.h
 *		The sections of a report, in the order of the page.
 */
#ifndef PO_REPORT_SECTIONS_H
#define PO_REPORT_SECTIONS_H

#include "lib/stringinfo.h"

#include "po_report_advice.h"

/* po_report_verdict.c: what is wrong and what to do; the figures of the moment. */
extern void po_report_write_verdict(StringInfo out, const PoReport *r, const PoAdvice *a);

/* po_report_past.c: what history says. */
extern void po_report_write_utilization(StringInfo out, const PoReport *r);
extern void po_report_write_tenants(StringInfo out, const PoReport *r);
extern void po_report_write_changes(StringInfo out, const PoReport *r);

/* po_report_size.c: the predicted curves. */
extern void po_report_write_what_if(StringInfo out, PoReport *r);

/* po_report_uses.c: what connections are spent on, and what of it need not be. */
extern void po_report_write_uses(StringInfo out, const PoReport *r);

/* po_report_now.c: who is there, and who was kept out. */
extern void po_report_write_leaks(StringInfo out, const PoReport *r);
extern void po_report_write_refusals(StringInfo out, const PoReport *r);
extern void po_report_write_holders(StringInfo out, const PoReport *r);

/* For a text that is not known, or not to be seen. */
#define PO_REPORT_NONE	"&#8211;"

/* The text escaped, or that. */
extern char *po_report_or_none(const char *text);

/* How long the report looks back: "24 hours", "7 days", "2 h 5 min". */
extern char *po_report_since(const PoReport *r);

/* When history begins, if that is within the report's time; else "". */
extern char *po_report_history_note(const PoReport *r);

#endif							/* PO_REPORT_SECTIONS_H */
