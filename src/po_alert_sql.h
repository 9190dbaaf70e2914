/*
 * po_alert_sql.h
 *		Rules of alerts by SQL, and the views of alerts.
 */
#ifndef PO_ALERT_SQL_H
#define PO_ALERT_SQL_H

/* In _PG_init: what a committed change sets in motion. */
extern void po_alert_sql_install(void);

#endif							/* PO_ALERT_SQL_H */
