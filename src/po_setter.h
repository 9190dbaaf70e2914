/*
 * po_setter.h
 *		What the functions that change our tables have in common.
 *
 * A setter is one parameterised statement on a table of the extension; what makes a
 * row sound is checked by the table's triggers.
 */
#ifndef PO_SETTER_H
#define PO_SETTER_H

#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"

#define PO_SETTER_MOST	12

/* Its parameters: columns, the key first, in the order of their numbers in the call. */
typedef struct PoSetter
{
	const char *table;
	int			n_keys;
	int			n;
	const char *column[PO_SETTER_MOST];
	Oid			type[PO_SETTER_MOST];
	int			argument[PO_SETTER_MOST];	/* its number; of a key it does not matter */
} PoSetter;

/* ERROR 22023 that names the argument; problem: "must not be ...". */
extern void po_setter_bad_argument(const char *name, const char *problem);

/* A text argument that must not be null. */
extern char *po_setter_text(FunctionCallInfo fcinfo, int i, const char *name);

/*
 * What a trigger function was called with; ERROR 39P01 if it was not as a trigger BEFORE each
 * row, or AFTER each statement of the extension's own table: what it does with that would
 * crash, or put the rows of another table in force.
 */
extern TriggerData *po_setter_row_trigger(FunctionCallInfo fcinfo);
extern TriggerData *po_setter_statement_trigger(FunctionCallInfo fcinfo);

/* Is this the database that pool_optimizer.database names?  Else ERROR 55000; what is
 * changed there goes to the message. */
extern bool po_setter_is_database(void);
extern void po_setter_require_database(const char *what);

/*
 * Everything to be known before a row is changed: that it may be, and that no other
 * setter is at it.  Returns the quoted name of the table beside the function called.
 */
extern char *po_setter_begin(FunctionCallInfo fcinfo, const char *table, const char *what);

/* Inserts or changes the row of these keys; what is NULL keeps what is set.  The row. */
extern Datum po_setter_run(FunctionCallInfo fcinfo, const PoSetter *setter,
						   const char *quoted, const char *const *keys);

/* Runs a statement whose parameters are texts, the keys; the row it returns, or NULL. */
extern Datum po_setter_by_keys(FunctionCallInfo fcinfo, const char *sql, int n_keys,
							   const char *const *keys);

/* The same with any parameters. */
extern Datum po_setter_returning(FunctionCallInfo fcinfo, const char *sql, int n,
								 Oid *types, Datum *values, const char *nulls);

/* "a = $1 AND b = $2", safe against any search_path. */
extern char *po_setter_where(const PoSetter *setter);

/* Is this row there? */
extern bool po_setter_exists(FunctionCallInfo fcinfo, const PoSetter *setter,
							 const char *quoted, const char *const *keys);

/* Takes one field of the row away, and the row when it has no field left; the row as it
 * is then, NULL when it is gone.  assignments: "field = NULL". */
extern Datum po_setter_clear(FunctionCallInfo fcinfo, const PoSetter *setter,
							 const char *quoted, const char *assignments,
							 const char *const *keys);

/* Deletes the row. */
extern Datum po_setter_delete(FunctionCallInfo fcinfo, const PoSetter *setter,
							  const char *quoted, const char *const *keys);

#endif							/* PO_SETTER_H */
