/*
 * po_report_history.h
 *		What a report tells of the time before.
 */
#ifndef PO_REPORT_HISTORY_H
#define PO_REPORT_HISTORY_H

#include "po_report_types.h"

/* After po_report_read; within SPI. */
extern void po_report_read_history(PoReport *report);

#endif							/* PO_REPORT_HISTORY_H */
