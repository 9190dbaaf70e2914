/*
 * po_report.h
 *		The report of pool_report as a page of HTML.
 */
#ifndef PO_REPORT_H
#define PO_REPORT_H

#include "postgres.h"

/* Within a transaction, with the caller's rights; schema is that of the extension. */
extern char *po_report_page(int64 since_us, Oid schema);

#endif							/* PO_REPORT_H */
