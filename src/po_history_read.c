/*
 * po_history_read.c
 *		History at a resolution: rings, and beyond them the table, as one.
 *
 * Each moment is told once, by the finest that has it and is not finer than wanted.  For a
 * member of a fine level that is the level from the bucket on in which it became one, and
 * in which the ring begins; both are rounded up to whole buckets of the level above, so
 * that they meet.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "po_history_read.h"
#include "po_history_rings.h"
#include "po_registry.h"

typedef struct Reading
{
	const PoHistoryQuery *query;
	PoHistoryCells *cells;
	int			finest;
	PoHistoryRing ring[PO_HISTORY_LEVELS];
	int64		ring_begin[PO_HISTORY_LEVELS];	/* complete from here on */
	int64		seam;			/* the table tells what is before */
	int64		ring_end;		/* up to which the open buckets are watched */
	int		   *subject;		/* number by tenant; -1 = not named yet, -2 = not wanted */
	int			n_subjects;
	PoHistoryVisitor visit;
	void	   *arg;
} Reading;

#define NOT_NAMED	(-1)
#define NOT_WANTED	(-2)

/* Do rows of a level and buckets fit into each other? */
static bool
fits(const Reading *r, int level)
{
	int64		length = po_history_rings_length(level);

	return r->query->resolution % length == 0 || length % r->query->resolution == 0;
}

static bool
is_of_cluster(const PoHistoryQuery *query)
{
	return query->tenant != NULL && strcmp(query->tenant, PO_HISTORY_CLUSTER_NAME) == 0;
}

/* ---------- who ---------- */

/* The number of a tenant by its index, < 0 when it is not wanted. */
static int
subject_of(Reading *r, int tenant)
{
	PoTenant	copy;

	if (tenant == PO_HISTORY_CLUSTER)
		return 0;
	if (tenant < 0 || tenant >= r->n_subjects)
		return NOT_WANTED;
	if (r->subject[tenant] == NOT_NAMED)
	{
		r->subject[tenant] = NOT_WANTED;
		if (po_registry_copy_tenant(tenant, &copy) &&
			(r->query->tenant == NULL || strcmp(r->query->tenant, copy.name) == 0))
			r->subject[tenant] = po_history_cells_subject(r->cells, copy.name);
	}
	return r->subject[tenant];
}

/* ---------- when ---------- */

static int64
round_up(int64 t, int64 width)
{
	return (t + width - 1) / width * width;
}

/* From when on a ring is complete: its first bucket. */
static int64
find_ring_begin(const PoHistoryRing *ring, int level)
{
	uint32		first = ring->tick;

	for (int i = 0; i < ring->n; i++)
		first = Min(first, ring->row[i].tick);
	return (int64) Max(first, ring->complete) * po_history_rings_length(level);
}

/* From when on a fine level can be told: there is nothing before, or a whole bucket above. */
static int64
level_begin(const Reading *r, int level)
{
	int64		above = po_history_rings_length(level + 1);
	int64		begin = r->ring_begin[level];
	uint32		lived = r->ring[PO_HISTORY_MINUTE].lived;

	/* The clock was set back: minutes tell of the time that was lived twice. */
	if (lived > 0)
		return Max(round_up(begin, above),
				   ((int64) lived + 1) * po_history_rings_length(PO_HISTORY_MINUTE));
	if (r->ring[level].whole && r->ring[level + 1].whole &&
		begin / above * above == r->ring_begin[level + 1])
		return begin / above * above;
	return round_up(begin, above);
}

/* From when on a tenant is told by it; PG_INT64_MAX = never. */
static int64
member_begin(const Reading *r, int level, int tenant)
{
	const PoHistoryRing *ring = &r->ring[level];

	for (int i = 0; i < ring->n_since; i++)
	{
		int64		since = (int64) ring->since[i].since * po_history_rings_length(level);

		if (ring->since[i].tenant == tenant)
			return Max(level_begin(r, level),
					   round_up(since, po_history_rings_length(level + 1)));
	}
	return PG_INT64_MAX;
}

/* Where each fine level begins for a tenant; it ends where the next finer one begins, and
 * the minutes where the first of both begins. */
static void
find_begins(const Reading *r, int tenant, int64 begin[PO_HISTORY_FINE])
{
	for (int l = 0; l < PO_HISTORY_FINE; l++)
		begin[l] = l >= r->finest && r->ring[l].running && fits(r, l) ?
			member_begin(r, l, tenant) : PG_INT64_MAX;
	/* Ten seconds that begin later than the seconds are not needed; these then have to
	 * begin with a whole minute. */
	if (begin[0] < begin[1])
	{
		begin[0] = round_up(begin[0], po_history_rings_length(PO_HISTORY_MINUTE));
		begin[1] = Max(begin[0], begin[1]);
	}
}

/* ---------- rows ---------- */

static void
add_row(Reading *r, int level, int subject, const PoHistoryRow *row)
{
	int64		length = po_history_rings_length(level);
	int64		start = (int64) row->tick * length;
	PoHistoryValues values;

	if (start < r->seam)
		return;
	/* The open bucket so far. */
	if (row->tick == r->ring[level].tick)
		length = Max(r->ring[level].seen - start, 1);
	po_history_unpack(row, &values);
	po_history_cells_add(r->cells, subject, start, length, (double) length, &values);
}

static int
compare_rows(const void *a, const void *b)
{
	const PoHistoryRow *x = a;
	const PoHistoryRow *y = b;

	if (x->tenant != y->tenant)
		return x->tenant < y->tenant ? -1 : 1;
	return x->tick < y->tick ? -1 : x->tick > y->tick;
}

/* The rows of a tenant in a sorted ring. */
static const PoHistoryRow *
rows_of(const PoHistoryRing *ring, int tenant, int *n)
{
	int			low = 0;
	int			high = ring->n;
	int			end;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (ring->row[middle].tenant < tenant)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < ring->n && ring->row[end].tenant == tenant;)
		end++;
	*n = end - low;
	return &ring->row[low];
}

/*
 * The buckets of a member of a fine level, from the last to the first.  Where it has no
 * row nothing happened, and its sessions are those with which its next row began.
 */
static void
add_member(Reading *r, int level, int tenant, int64 begin, int64 end)
{
	const PoHistoryRing *ring = &r->ring[level];
	int64		length = po_history_rings_length(level);
	int			subject = subject_of(r, tenant);
	int			n_watched;
	int			n_rows;
	const PoHistoryRow *watched = rows_of(ring, PO_HISTORY_CLUSTER, &n_watched);
	const PoHistoryRow *row = rows_of(ring, tenant, &n_rows);
	PoHistoryRow quiet;
	int			at = n_rows - 1;

	memset(&quiet, 0, sizeof(quiet));
	if (n_rows == 0 || subject < 0)
		return;
	quiet.max_connections = row[at].max_connections;
	for (int i = n_watched - 1; i >= 0; i--)
	{
		int64		start = (int64) watched[i].tick * length;
		bool		is_told = start >= begin && start < end;

		while (at >= 0 && row[at].tick > watched[i].tick)
			at--;
		if (at >= 0 && row[at].tick == watched[i].tick)
		{
			if (is_told)
				add_row(r, level, subject, &row[at]);
			quiet.sessions_first = quiet.sessions_max = row[at].sessions_first;
			quiet.sessions_avg = (float) po_history_unpack_count(row[at].sessions_first);
			quiet.max_connections = row[at].max_connections;
			quiet.recommended = row[at].recommended;
			at--;
		}
		else if (is_told && quiet.sessions_max > 0)
		{
			quiet.tick = watched[i].tick;
			add_row(r, level, subject, &quiet);
		}
	}
}

static void
add_fine(Reading *r, int level)
{
	const PoHistoryRing *ring = &r->ring[level];

	for (int i = 0; i < ring->n_since && ring->running; i++)
	{
		int			tenant = ring->since[i].tenant;
		int64		begin[PO_HISTORY_FINE];

		CHECK_FOR_INTERRUPTS();
		find_begins(r, tenant, begin);
		add_member(r, level, tenant, begin[level],
				   level > 0 ? begin[level - 1] : PG_INT64_MAX);
	}
}

static void
add_minutes(Reading *r)
{
	const PoHistoryRing *ring = &r->ring[PO_HISTORY_MINUTE];
	int64		end = PG_INT64_MAX;
	int			tenant = PO_HISTORY_CLUSTER - 1;
	int			subject = NOT_WANTED;

	for (int i = 0; i < ring->n; i++)
	{
		const PoHistoryRow *row = &ring->row[i];
		int64		start = (int64) row->tick * po_history_rings_length(PO_HISTORY_MINUTE);
		int64		begin[PO_HISTORY_FINE];

		CHECK_FOR_INTERRUPTS();
		if (row->tenant != tenant)
		{
			tenant = row->tenant;
			subject = subject_of(r, tenant);
			find_begins(r, tenant, begin);
			end = Min(begin[0], begin[1]);
		}
		/* A clock that was ahead has left minutes of the future. */
		if (subject >= 0 && start < end && start <= ring->seen)
			add_row(r, PO_HISTORY_MINUTE, subject, row);
	}
}

static void
read_rings(Reading *r)
{
	for (int l = r->finest; l < PO_HISTORY_LEVELS; l++)
		qsort(r->ring[l].row, r->ring[l].n, sizeof(PoHistoryRow), compare_rows);
	for (int l = r->finest; l < PO_HISTORY_FINE; l++)
		add_fine(r, l);
	add_minutes(r);
}

/* ---------- tables ---------- */

/* Nothing is to be merged with a row that is as long as a bucket, or longer. */
static void
add_table_row(const PoHistoryBucket *row, void *arg)
{
	Reading    *r = arg;
	const PoHistoryQuery *q = r->query;

	if (row->length < q->resolution || q->source != PO_HISTORY_FROM_ALL)
		po_history_cells_add(r->cells, po_history_cells_subject(r->cells, row->tenant),
							 row->start, row->length, row->watched, &row->values);
	else if (is_of_cluster(q) == (row->tenant[0] == '\0') && row->start < q->until)
		r->visit(row, r->arg);
}

static void
read_table(Reading *r, PoHistoryTableKind kind, int elevel, int64 since, int64 until)
{
	const PoHistoryQuery *q = r->query;
	PoHistoryTable table;

	/* All of the last bucket that is wanted. */
	if (q->until <= PG_INT64_MAX - q->resolution)
		until = Min(until, q->until + q->resolution);
	if (since >= until || !po_history_table_open(kind, elevel, &table))
		return;
	po_history_table_read(&table, q->tenant, since, until, add_table_row, r);
	po_history_table_close(&table);
}

/* Up to when a table has complete buckets that begin before. */
static int64
table_end(PoHistoryTableKind kind, int64 before)
{
	PoHistoryTable table;
	int64		end;

	if (!po_history_table_open(kind, WARNING, &table))
		return PO_HISTORY_NEVER;
	end = po_history_table_end(&table, before);
	po_history_table_close(&table);
	return end;
}

/* From when on the rings are preferred to a table.  What is of the state file is as old as that,
 * so that what the table has is better. */
static int64
rings_begin(const Reading *r)
{
	const PoHistoryRing *minutes = &r->ring[PO_HISTORY_MINUTE];
	int64		begin = r->ring_begin[PO_HISTORY_MINUTE];

	if (!minutes->running)
		return PG_INT64_MAX;
	if (minutes->restored > 0)
		begin = Max(begin, ((int64) minutes->restored + 1) *
					po_history_rings_length(PO_HISTORY_MINUTE));
	return round_up(begin, PO_HISTORY_TABLE_LENGTH);
}

/*
 * The rings tell from the first bucket of the table on that they have all of; what the table has
 * not, although they begin in it, they tell as far as they have it.  Tells what is before, by
 * the longest buckets that fit: each table up to where the one before has told.
 * On a standby the tables are of the server that it follows.
 */
static void
read_tables(Reading *r)
{
	const PoHistoryQuery *q = r->query;
	int64		begin = rings_begin(r);
	int64		told = q->since;

	if (told >= begin)
		return;
	r->seam = table_end(PO_HISTORY_TABLE, begin);
	for (int i = PO_HISTORY_TABLES - 1; i >= 0; i--)
	{
		PoHistoryTableKind kind = (PoHistoryTableKind) i;
		int64		length = po_history_table_length(kind);
		int64		end = r->seam;

		if (kind != PO_HISTORY_TABLE)
		{
			if (q->resolution % length != 0 || end < PG_INT64_MIN + length)
				continue;
			end = table_end(kind, end - length + 1);
		}
		read_table(r, kind, WARNING, told, end);
		told = Max(told, end);
	}
}

/* ---------- the whole ---------- */

/* The finest level that is not finer than needed. */
static int
finest_level(const Reading *r)
{
	int			level = PO_HISTORY_MINUTE;

	while (level > 0 && (r->query->resolution < po_history_rings_length(level) ||
						 !fits(r, level)))
		level--;
	return level;
}

/* The bucket that is open ends now. */
static void
tell(const PoHistoryBucket *bucket, void *arg)
{
	const Reading *r = arg;
	PoHistoryBucket told = *bucket;

	if (told.start < r->ring_end)
		told.length = Min(told.length, r->ring_end - told.start);
	r->visit(&told, r->arg);
}

static void
read_sources(Reading *r)
{
	r->seam = PO_HISTORY_NEVER;
	if (r->query->source == PO_HISTORY_FROM_TABLE)
	{
		read_table(r, r->query->table, ERROR, r->query->since, r->query->until);
		return;
	}
	po_history_rings_copy(r->finest, r->ring);
	/* After the copy, so that there is nobody in it who is not counted. */
	r->n_subjects = po_shared->registry.n_tenants;
	r->subject = palloc(r->n_subjects * sizeof(int));
	for (int i = 0; i < r->n_subjects; i++)
		r->subject[i] = NOT_NAMED;
	for (int l = r->finest; l < PO_HISTORY_LEVELS; l++)
		r->ring_begin[l] = find_ring_begin(&r->ring[l], l);
	r->ring_end = r->ring[PO_HISTORY_MINUTE].seen;
	if (r->query->source == PO_HISTORY_FROM_ALL)
		read_tables(r);
	if (r->ring[PO_HISTORY_MINUTE].running)
		read_rings(r);
}

void
po_history_read(const PoHistoryQuery *query, PoHistoryVisitor visit, void *arg)
{
	Reading		r;

	memset(&r, 0, sizeof(r));
	r.query = query;
	r.visit = visit;
	r.arg = arg;
	r.finest = finest_level(&r);
	r.cells = po_history_cells_create(query->resolution);
	read_sources(&r);
	po_history_cells_visit(r.cells, is_of_cluster(query), query->since, query->until, tell, &r);
	if (query->with_cluster)
		po_history_cells_visit(r.cells, true, query->since, query->until, tell, &r);
}

void
po_history_read_extent(PoHistoryExtent *extent)
{
	PoHistoryRing ring[PO_HISTORY_LEVELS];
	const PoHistoryRing *minutes = &ring[PO_HISTORY_MINUTE];

	memset(ring, 0, sizeof(ring));
	po_history_rings_copy(PO_HISTORY_MINUTE, ring);
	extent->running = minutes->running;
	extent->begin = find_ring_begin(minutes, PO_HISTORY_MINUTE);
	extent->end = (int64) minutes->tick * po_history_rings_length(PO_HISTORY_MINUTE);
}

int64
po_history_read_next(int64 from)
{
	int64		length = po_history_rings_length(PO_HISTORY_MINUTE);
	PoHistoryRing ring[PO_HISTORY_LEVELS];
	const PoHistoryRing *minutes = &ring[PO_HISTORY_MINUTE];
	int64		next;

	memset(ring, 0, sizeof(ring));
	po_history_rings_copy(PO_HISTORY_MINUTE, ring);
	next = Max(from, (int64) minutes->tick * length);
	for (int i = 0; i < minutes->n; i++)
	{
		int64		start = (int64) minutes->row[i].tick * length;

		if (start >= from)
			next = Min(next, start);
	}
	return next;
}
