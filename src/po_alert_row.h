/*
 * po_alert_row.h
 *		Rows of the table pool_alert_rules as rules.
 */
#ifndef PO_ALERT_ROW_H
#define PO_ALERT_ROW_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "model/po_alert_rule.h"

#define PO_ALERT_RULE_TABLE		"pool_alert_rules"

/* Reads a row by column names and checks it; false with the first problem. */
extern bool po_alert_row_read(HeapTuple tuple, TupleDesc desc, PoAlertRule *rule,
							  PoPolicyError *error);

/* As po_policy_row_read_all. */
extern int	po_alert_row_read_all(Relation table, Snapshot snapshot, PoAlertRule *rules,
								  int max, int *n_bad, char *problem, Size size);

/* Is there such a column other than the key? */
extern bool po_alert_row_is_field(const char *column);

#endif							/* PO_ALERT_ROW_H */
