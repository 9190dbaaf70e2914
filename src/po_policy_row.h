/*
 * po_policy_row.h
 *		Rows of the table pool_policies as policies.
 */
#ifndef PO_POLICY_ROW_H
#define PO_POLICY_ROW_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "model/po_policy.h"
#include "po_compat.h"
#include "po_registry.h"

#define PO_POLICY_TABLE		"pool_policies"

/*
 * Reads a row by column names and checks it; False with the first problem; a policy in scope
 * address gets its canonical name.
 */
extern bool po_policy_row_read(HeapTuple tuple, TupleDesc desc, PoPolicy *policy,
							   PoPolicyError *error);

/*
 * Reads all rows that a snapshot sees with a plain heap scan: no operator, rule,
 * trigger or row security has a part in it.  Returns how many went to policies (at
 * most max); *n_bad counts those left out, and the first's problem is described in
 * problem.  ERROR 42703 if a column is missing or of another type.
 */
extern int	po_policy_row_read_all(Relation table, Snapshot snapshot, PoPolicy *policies,
								   int max, int *n_bad, char *problem, Size size);

/* Is this relation the extension's own?  One that is only called like it may be anybody's. */
extern bool po_policy_row_is_ours(Oid relid);

/* One LOG line and event that policies were put in force, and an alert if guarantees
 * had to be scaled down. */
extern void po_policy_row_tell_published(const PoPublished *published);

/* The attribute number by name, 0 if it is not there or of another type. */
extern int	po_policy_row_attribute(TupleDesc desc, const char *name, Oid type);

/* ERROR 42703: a table of ours lacks a column, or that is of another type. */
pg_noreturn extern void po_policy_row_fail_missing(const char *column, const char *table);

/* A text column's value, NULL if it is null or there is no such column. */
extern char *po_policy_row_text(HeapTuple tuple, TupleDesc desc, const char *column);

/* Months count 30 days, as in core's comparison of intervals; saturates. */
extern int64 po_policy_row_interval_us(const Interval *interval);

/* Is there such a column that setters can set, other than the key? */
extern bool po_policy_row_is_field(const char *column);

#endif							/* PO_POLICY_ROW_H */
