/*
 * po_policy_sql.h
 *		Changing policies by SQL.
 */
#ifndef PO_POLICY_SQL_H
#define PO_POLICY_SQL_H

/* In _PG_init: what a committed change sets in motion. */
extern void po_policy_sql_install(void);

#endif							/* PO_POLICY_SQL_H */
