/*
 * po_history_keep.c
 *		Keeps history: from the minutes in shared memory into the table pool_history, from
 *		there into pool_history_hour, and from there into pool_history_day.
 *
 * What is written follows from the tables themselves: the buckets after the last complete one, so
 * that a restart, a promotion, another database or DROP EXTENSION need nothing done.
 * Only a clock that was set back is remembered (history_written): the buckets that are
 * lived again are then written again, as the rings merge them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "po_guc.h"
#include "po_history_keep.h"
#include "po_history_read.h"
#include "po_history_rings.h"
#include "po_history_table.h"
#include "po_notify.h"
#include "po_profile_table.h"
#include "po_shmem.h"
#include "po_view.h"

/* Of one transaction, and of one keeper: the next one goes on. */
#define ROWS_PER_BATCH		1000
#define PRUNED_PER_KEEPER	100

/* What a subscription brings is written by the keeper of its publisher alone: rows of two would
 * have the same keys, and end the subscription. */
static bool
begin(PoHistoryTableKind kind, PoHistoryTable *table)
{
	StartTransactionCommand();
	if (po_history_table_open(kind, ERROR, table))
	{
		if (!table->is_subscribed)
			return true;
		po_history_table_close(table);
	}
	CommitTransactionCommand();
	return false;
}

static void
commit(PoHistoryTable *table)
{
	po_history_table_close(table);
	CommitTransactionCommand();
}

/*
 * Policies and listeners must not wait for history; the next keeper, which tells them first,
 * goes on.  Something may always wait, so whoever asks this has done a piece before.
 */
static bool
others_wait(void)
{
	return pg_atomic_read_u64(&po_shared->changes_requested) >
		pg_atomic_read_u64(&po_shared->changes_applied) || po_notify_is_waiting();
}

/* For what can wait: a second of each keeper, and one piece at least. */
static bool
is_free(void)
{
	static instr_time begun;
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	if (INSTR_TIME_IS_ZERO(begun))
	{
		begun = now;
		return true;
	}
	INSTR_TIME_SUBTRACT(now, begun);
	return !others_wait() && INSTR_TIME_GET_DOUBLE(now) < 1;
}

/* ---------- writing ---------- */

typedef struct Bucket
{
	int			n;
	int			room;
	PoHistoryBucket *row;
} Bucket;

static void
collect(const PoHistoryBucket *row, void *arg)
{
	Bucket	   *bucket = arg;

	if (bucket->n == bucket->room)
	{
		bucket->room *= 2;
		bucket->row = repalloc_huge(bucket->row, bucket->room * sizeof(PoHistoryBucket));
	}
	bucket->row[bucket->n] = *row;
	bucket->row[bucket->n++].tenant = po_view_printable(row->tenant);
}

static bool
write_rows(PoHistoryTableKind kind, const PoHistoryBucket *row, int n)
{
	PoHistoryTable table;

	for (int at = 0; at < n; at += ROWS_PER_BATCH)
	{
		CHECK_FOR_INTERRUPTS();
		if (!begin(kind, &table))
			return false;
		po_history_table_write(&table, &row[at], Min(ROWS_PER_BATCH, n - at));
		commit(&table);
	}
	return true;
}

/* A bucket, tenants first: with the cluster's row it is complete.  n_rows may be NULL. */
static bool
write_bucket(PoHistoryTableKind kind, int64 start, int *n_rows)
{
	int64		length = po_history_table_length(kind);
	MemoryContext memory = AllocSetContextCreate(TopMemoryContext, "pool_optimizer bucket",
												 ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = CurrentMemoryContext;	/* a transaction's would go with it */
	PoHistoryQuery query;
	Bucket		bucket = {0, 256, NULL};
	bool		is_written;

	memset(&query, 0, sizeof(query));
	query.resolution = length;
	query.since = start;
	query.until = start + length;
	query.with_cluster = true;
	query.source = kind == PO_HISTORY_TABLE ? PO_HISTORY_FROM_RINGS : PO_HISTORY_FROM_TABLE;
	if (kind != PO_HISTORY_TABLE)
	{
		query.table = kind - 1;
		StartTransactionCommand();
	}
	MemoryContextSwitchTo(memory);
	bucket.row = palloc(bucket.room * sizeof(PoHistoryBucket));
	po_history_read(&query, collect, &bucket);
	if (kind != PO_HISTORY_TABLE)
		CommitTransactionCommand();
	MemoryContextSwitchTo(memory);
	is_written = write_rows(kind, bucket.row, bucket.n);
	if (n_rows != NULL)
		*n_rows = bucket.n;
	MemoryContextSwitchTo(before);
	MemoryContextDelete(memory);
	return is_written;
}

static int64
floor_to(int64 t, int64 length)
{
	return t - (t % length + length) % length;
}

/* The last complete bucket that begins before ends so; PG_INT64_MAX = there is no table. */
static int64
table_end(PoHistoryTableKind kind, int64 before)
{
	PoHistoryTable table;
	int64		end;

	if (!begin(kind, &table))
		return PG_INT64_MAX;
	end = po_history_table_end(&table, before);
	commit(&table);
	return end;
}

/* From when on there is something to be written. */
static int64
find_start(const PoHistoryExtent *rings, int64 end)
{
	int64		written = (int64) pg_atomic_read_u64(&po_shared->history_written);
	int64		from = Max(table_end(PO_HISTORY_TABLE, end),
						   floor_to(rings->begin, PO_HISTORY_TABLE_LENGTH));

	/* What would be pruned at once is not written. */
	if (po_guc_history_retention > 0)
		from = Max(from, floor_to(end - po_guc_history_retention * USECS_PER_MINUTE,
								  PO_HISTORY_TABLE_LENGTH));
	if (written == 0 || written == end)
		return from;
	/* The clock was set back: what is lived again, if the rings have all of it. */
	if (written > end)
		written = end - PO_HISTORY_TABLE_LENGTH;
	return Min(from, floor_to(Max(written, rings->begin + PO_HISTORY_TABLE_LENGTH - 1),
							  PO_HISTORY_TABLE_LENGTH));
}

/* The first bucket from a time on that the table before has something of; PG_INT64_MAX = none. */
static int64
next_sum(PoHistoryTableKind kind, int64 from)
{
	PoHistoryTable table;
	int64		first;

	if (!begin(kind - 1, &table))
		return PG_INT64_MAX;
	first = po_history_table_begin(&table, from);
	commit(&table);
	return first == PO_HISTORY_NEVER ? PG_INT64_MAX :
		floor_to(first, po_history_table_length(kind));
}

/*
 * Sums of the buckets of the table before that have ended by then; those with something that was
 * written from a time on again.  Up to when there are all.  Those that nothing is known of are
 * left out: they have no row to tell the next keeper that this one was there.
 */
static int64
write_sums(PoHistoryTableKind kind, int64 changed, int64 until)
{
	int64		length = po_history_table_length(kind);
	int64		end = floor_to(until, length);
	int64		from = table_end(kind, end);

	/* Most of the time. */
	if (from >= end && changed >= end)
		return end;
	from = next_sum(kind, Min(from, floor_to(changed, length)));
	for (int64 at = from; at < end; at = next_sum(kind, at + length))
	{
		if (!write_bucket(kind, at, NULL))
			return at;
		if (others_wait())
			return at + length;
	}
	return end;
}

static void
write_ended(void)
{
	PoHistoryExtent rings;
	int64		end;
	int64		from;
	int64		next;

	po_history_read_extent(&rings);
	if (!rings.running)
		return;
	end = floor_to(rings.end, PO_HISTORY_TABLE_LENGTH);
	from = find_start(&rings, end);
	for (int64 at = from; at < end; at = next)
	{
		int			n_rows;

		if (!write_bucket(PO_HISTORY_TABLE, at, &n_rows))
			return;
		next = at + PO_HISTORY_TABLE_LENGTH;
		/*
		 * Months without a row are gone over in one step, and others wait until there is one:
		 * nothing else tells how far one has come.
		 */
		if (n_rows == 0)
			next = Min(end, floor_to(po_history_read_next(next), PO_HISTORY_TABLE_LENGTH));
		pg_atomic_write_u64(&po_shared->history_written, (uint64) next);
		if (n_rows > 0 && others_wait())
			return;
	}
	pg_atomic_write_u64(&po_shared->history_written, (uint64) end);
	for (int kind = PO_HISTORY_TABLE + 1; kind < PO_HISTORY_TABLES; kind++)
		end = write_sums((PoHistoryTableKind) kind, from, end);
}

/* ---------- pruning ---------- */

static void
prune(PoHistoryTableKind kind)
{
	int64		before = GetCurrentTimestamp() - PO_HISTORY_EPOCH -
		po_guc_history_retention * USECS_PER_MINUTE;

	for (int i = 0; i < PRUNED_PER_KEEPER; i++)
	{
		PoHistoryTable table;
		int			n;

		CHECK_FOR_INTERRUPTS();
		if (!begin(kind, &table))
			return;
		n = po_history_table_prune(&table, before, ROWS_PER_BATCH);
		commit(&table);
		if (n == 0 || others_wait())
			return;
	}
}

void
po_history_keep(void)
{
	if (RecoveryInProgress())
	{
		po_profile_table_keep(is_free);
		return;
	}
	if (po_guc_history_retention != 0)
		write_ended();
	for (int kind = 0; po_guc_history_retention >= 0 && kind < PO_HISTORY_TABLES; kind++)
		prune((PoHistoryTableKind) kind);
	po_profile_table_keep(is_free);
}
