/*
 * po_report_data.h
 *		What a report tells of now.
 */
#ifndef PO_REPORT_DATA_H
#define PO_REPORT_DATA_H

#include "po_report_types.h"

/* Reads all but history; within SPI.  The caller sets now, since_us and schema. */
extern void po_report_read(PoReport *report);

/* pool_what_if at every, 2 * every ... max_size, at most n; 0 if the tenant has gone. */
extern int	po_report_read_what_if(PoReport *report, const PoReportTenant *t, int max_size,
								   int every, PoReportSize *sizes, int n);

/* NULL when there is none. */
extern PoReportTenant *po_report_find_tenant(const PoReport *report, const char *name);

/* That one, or a new one of which nothing is known but the name; NULL when there are too many. */
extern PoReportTenant *po_report_add_tenant(PoReport *report, char *name);

#endif							/* PO_REPORT_DATA_H */
