/*
 * po_history_cells.c
 *		Collects rows of history of any lengths into buckets of one.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "po_history_cells.h"

/* Durations to be mixed, in lists of arrays. */
#define PARTS_PER_CHUNK		12

typedef struct Chunk
{
	struct Chunk *next;
	int			n;
	PoHistoryPart part[PARTS_PER_CHUNK];
} Chunk;

typedef struct CellKey
{
	int64		start;
	int64		length;
	int64		subject;		/* as long as the others, so that there are no holes */
} CellKey;

typedef struct Cell
{
	CellKey		key;
	int64		latest;			/* start of the row whose limits hold */
	double		weight;			/* us of all rows */
	PoHistoryValues values;
	PoHistoryPart first;		/* most have one only */
	Chunk	   *more;
} Cell;

typedef struct Subject
{
	char		name[PO_NAME_LEN];
	int			number;
} Subject;

struct PoHistoryCells
{
	MemoryContext context;
	int64		resolution;
	HTAB	   *cells;
	HTAB	   *subjects;
	const char **names;
	int			n_subjects;
	int			n_names;		/* room */
};

PoHistoryCells *
po_history_cells_create(int64 resolution)
{
	PoHistoryCells *c = palloc0(sizeof(PoHistoryCells));
	HASHCTL		cells;
	HASHCTL		subjects;

	memset(&cells, 0, sizeof(cells));
	memset(&subjects, 0, sizeof(subjects));
	c->context = CurrentMemoryContext;
	c->resolution = resolution;
	cells.keysize = sizeof(CellKey);
	cells.entrysize = sizeof(Cell);
	cells.hcxt = c->context;
	c->cells = hash_create("pool_optimizer history", 1024, &cells,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	subjects.keysize = PO_NAME_LEN;
	subjects.entrysize = sizeof(Subject);
	subjects.hcxt = c->context;
	c->subjects = hash_create("pool_optimizer tenants", 128, &subjects,
							  HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	c->n_names = 128;
	c->names = palloc(c->n_names * sizeof(char *));
	(void) po_history_cells_subject(c, PO_HISTORY_CLUSTER_NAME);
	return c;
}

int
po_history_cells_subject(PoHistoryCells *c, const char *tenant)
{
	bool		found;
	Subject    *subject = hash_search(c->subjects, tenant, HASH_ENTER, &found);

	if (!found)
	{
		if (c->n_subjects == c->n_names)
		{
			c->n_names *= 2;
			c->names = repalloc(c->names, c->n_names * sizeof(char *));
		}
		subject->number = c->n_subjects;
		c->names[c->n_subjects++] = subject->name;
	}
	return subject->number;
}

static void
add_part(PoHistoryCells *c, Cell *cell, const PoHistoryValues *values)
{
	PoHistoryPart *part = &cell->first;

	if (values->transactions <= 0 || values->service[PO_HISTORY_POINTS - 1] == 0)
		return;
	if (part->transactions > 0)
	{
		if (cell->more == NULL || cell->more->n == PARTS_PER_CHUNK)
		{
			Chunk	   *chunk = MemoryContextAlloc(c->context, sizeof(Chunk));

			chunk->next = cell->more;
			chunk->n = 0;
			cell->more = chunk;
		}
		part = &cell->more->part[cell->more->n++];
	}
	part->transactions = values->transactions;
	memcpy(part->service, values->service, sizeof(part->service));
}

/* The multiple of width at or below t. */
static int64
floor_to(int64 t, int64 width)
{
	int64		rest = t % width;

	return t - (rest < 0 ? rest + width : rest);
}

static void
set_key(const PoHistoryCells *c, CellKey *key, int subject, int64 start, int64 length)
{
	bool		is_wider = length > c->resolution;

	key->subject = subject;
	key->start = is_wider ? start : floor_to(start, c->resolution);
	key->length = is_wider ? length : c->resolution;
}

void
po_history_cells_add(PoHistoryCells *c, int subject, int64 start, int64 length,
					 double watched, const PoHistoryValues *values)
{
	CellKey		key;
	Cell	   *cell;
	bool		found;
	int			max_connections;
	int			recommended;

	set_key(c, &key, subject, start, length);
	cell = hash_search(c->cells, &key, HASH_ENTER, &found);
	if (!found)
		memset((char *) cell + sizeof(CellKey), 0, sizeof(Cell) - sizeof(CellKey));
	max_connections = cell->values.max_connections;
	recommended = cell->values.recommended;
	po_history_add(&cell->values, values, watched);
	/* The latest that knows them. */
	if (found && start < cell->latest)
	{
		cell->values.max_connections = max_connections;
		cell->values.recommended = recommended;
	}
	else
		cell->latest = start;
	cell->weight += watched;
	add_part(c, cell, values);
}

/* How long the cluster was watched in a bucket. */
static double
watched_in(PoHistoryCells *c, const CellKey *key)
{
	CellKey		cluster = *key;
	const Cell *cell;

	cluster.subject = 0;
	cell = hash_search(c->cells, &cluster, HASH_FIND, NULL);
	return cell == NULL ? 0 : cell->weight;
}

static void
mix_parts(const Cell *cell, uint16 *points)
{
	PoHistoryPart *parts;
	int			n = cell->first.transactions > 0 ? 1 : 0;

	if (cell->more == NULL)
	{
		po_history_mix(&cell->first, n, points);
		return;
	}
	for (const Chunk *chunk = cell->more; chunk != NULL; chunk = chunk->next)
		n += chunk->n;
	parts = palloc(n * sizeof(PoHistoryPart));
	parts[0] = cell->first;
	n = 1;
	for (const Chunk *chunk = cell->more; chunk != NULL; chunk = chunk->next)
	{
		memcpy(&parts[n], chunk->part, chunk->n * sizeof(PoHistoryPart));
		n += chunk->n;
	}
	po_history_mix(parts, n, points);
	pfree(parts);
}

void
po_history_cells_visit(PoHistoryCells *c, bool of_cluster, int64 since, int64 until,
					   PoHistoryVisitor visit, void *arg)
{
	HASH_SEQ_STATUS scan;
	const Cell *cell;

	hash_seq_init(&scan, c->cells);
	while ((cell = hash_seq_search(&scan)) != NULL)
	{
		PoHistoryBucket bucket;

		CHECK_FOR_INTERRUPTS();
		if ((cell->key.subject == 0) != of_cluster || cell->key.start < since ||
			cell->key.start >= until)
			continue;
		bucket.tenant = c->names[cell->key.subject];
		bucket.start = cell->key.start;
		bucket.length = cell->key.length;
		bucket.values = cell->values;
		bucket.watched = Max(watched_in(c, &cell->key), cell->weight);
		po_history_average(&bucket.values, bucket.watched);
		mix_parts(cell, bucket.values.service);
		visit(&bucket, arg);
	}
}
