/*
 * po_history_table.h
 *		The tables pool_history, pool_history_hour and pool_history_day: where they are, and
 *		what they hold.
 *
 * Times are microseconds since the history's epoch (model/po_history.h).
 */
#ifndef PO_HISTORY_TABLE_H
#define PO_HISTORY_TABLE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/portal.h"

#include "po_history_cells.h"

/* By the length of their buckets: each is summed up from the one before, for questions about
 * long times. */
typedef enum PoHistoryTableKind
{
	PO_HISTORY_TABLE,			/* five minutes */
	PO_HISTORY_TABLE_HOUR,
	PO_HISTORY_TABLE_DAY
} PoHistoryTableKind;

#define PO_HISTORY_TABLES			3
#define PO_HISTORY_TABLE_LENGTH		(5 * 60 * PO_US_PER_S)

/* What all problems with one begin with; the name of the first. */
#define PO_HISTORY_TABLE_NAME		"pool_history"

/* No bucket in it. */
#define PO_HISTORY_NEVER			PG_INT64_MIN

/* us of a bucket */
extern int64 po_history_table_length(PoHistoryTableKind kind);

/* The schema of our extension in this database, InvalidOid without it. */
extern Oid	po_history_table_schema(void);

/*
 * Statements on a table: between these the caller is its owner, with a search_path that nobody
 * else has a say in, and sees what is committed by now.  An error in between ends it, too.
 */
typedef struct PoHistoryTable
{
	char	   *name;			/* quoted, with its schema */
	int64		length;			/* us of a bucket */
	bool		is_subscribed;	/* a subscription writes it, so nobody else must */
	Oid			owner;
	Oid			user;			/* the caller */
	int			sec_context;
	int			guc_level;
} PoHistoryTable;

/* False without the extension; also, if elevel is less than ERROR, when there is no table that is
 * ours and has the columns that it was made with. */
extern bool po_history_table_open(PoHistoryTableKind kind, int elevel, PoHistoryTable *table);

/* The same for another table of ours, with these columns at least. */
typedef struct PoHistoryColumn
{
	const char *name;
	Oid			type;
} PoHistoryColumn;

extern bool po_history_table_open_named(const char *name, const PoHistoryColumn *column,
										int n_columns, int elevel, PoHistoryTable *table);

/*
 * Fetches all rows of a cursor and closes it.  visit is called as the caller, since whoever is told
 * looks at who asks; what it leaves in memory goes with each thousand rows.
 */
typedef void (*PoTupleVisitor) (HeapTuple tuple, TupleDesc desc, void *arg);

extern void po_history_table_visit(const PoHistoryTable *table, Portal portal,
								   PoTupleVisitor visit, void *arg);

extern void po_history_table_close(PoHistoryTable *table);

extern TimestampTz po_history_table_time(int64 t);

/* When the last complete bucket that begins before a time ends. */
extern int64 po_history_table_end(PoHistoryTable *table, int64 before);

/* When the first one from a time on begins. */
extern int64 po_history_table_begin(PoHistoryTable *table, int64 from);

/* Visits, as the caller, the buckets that begin from since on and before until, of a tenant
 * (NULL = of all) and of the cluster. */
extern void po_history_table_read(PoHistoryTable *table, const char *tenant, int64 since,
								  int64 until, PoHistoryVisitor visit, void *arg);

/* Writes rows, each again if it is there already. */
extern void po_history_table_write(PoHistoryTable *table, const PoHistoryBucket *row, int n);

/* Deletes up to so many rows of the oldest bucket if it ended before; how many. */
extern int	po_history_table_prune(PoHistoryTable *table, int64 before, int most);

#endif							/* PO_HISTORY_TABLE_H */
