/*
 * po_finding_table.c
 *		The table of findings, and what of them is acknowledged.
 *
 * PO_LOCK_FINDINGS is taken here and nowhere else.  The table has a fixed size; when it is full,
 * a finding that costs more takes the place of the one that costs least.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/timestamp.h"

#include "po_finding_table.h"

static void
lock_findings(LWLockMode mode)
{
	LWLockAcquire(po_shmem_lock(PO_LOCK_FINDINGS), mode);
}

static void
unlock_findings(void)
{
	LWLockRelease(po_shmem_lock(PO_LOCK_FINDINGS));
}

static bool
is_about(const PoFindingRecord *f, int tenant, PoFindingKind kind, uint64 queryid)
{
	return f->in_use && f->tenant == tenant && f->kind == kind && f->queryid == queryid;
}

static int
find(int tenant, PoFindingKind kind, uint64 queryid)
{
	for (int i = 0; i < po_finding_table->used; i++)
	{
		if (is_about(&po_findings[i], tenant, kind, queryid))
			return i;
	}
	return -1;
}

int
po_finding_table_n_places(void)
{
	/* A word is read whole, and it only grows. */
	return *(volatile int *) &po_finding_table->used;
}

bool
po_finding_table_copy(int place, PoFindingRecord *finding)
{
	lock_findings(LW_SHARED);
	memcpy(finding, &po_findings[place], sizeof(*finding));
	unlock_findings();
	return finding->in_use;
}

bool
po_finding_table_find(int tenant, PoFindingKind kind, uint64 queryid, PoFindingRecord *finding)
{
	int			place;

	lock_findings(LW_SHARED);
	place = find(tenant, kind, queryid);
	if (place >= 0)
		memcpy(finding, &po_findings[place], sizeof(*finding));
	unlock_findings();
	return place >= 0;
}

/* ---------- by the sampler ---------- */

/* A free place, or that of the cheapest if it is cheaper than this; -1 = none. */
static int
room_for(const PoFindingRecord *finding)
{
	PoFindingTable *t = po_finding_table;
	int			least = -1;

	for (int i = 0; i < t->used; i++)
	{
		if (!po_findings[i].in_use)
			return i;
		if (least < 0 || po_findings[i].connections < po_findings[least].connections)
			least = i;
	}
	if (t->used < t->n_findings)
		return t->used++;
	t->dropped++;
	return po_findings[least].connections < finding->connections ? least : -1;
}

void
po_finding_table_note(const PoFindingRecord *finding, int *place)
{
	TimestampTz since = finding->last_seen;
	int			i = *place;

	lock_findings(LW_EXCLUSIVE);
	if (i < 0 || i >= po_finding_table->used ||
		!is_about(&po_findings[i], finding->tenant, finding->kind, finding->queryid))
		i = find(finding->tenant, finding->kind, finding->queryid);
	if (i >= 0 && po_findings[i].subject == finding->subject)
		since = po_findings[i].since;
	else if (i < 0)
		i = room_for(finding);
	if (i >= 0)
	{
		memcpy(&po_findings[i], finding, sizeof(*finding));
		po_findings[i].since = since;
		po_findings[i].in_use = true;
	}
	unlock_findings();
	*place = i;
}

void
po_finding_table_forget(int place, int64 seen_ticks)
{
	lock_findings(LW_EXCLUSIVE);
	if (po_findings[place].seen_ticks == seen_ticks)
		po_findings[place].in_use = false;
	unlock_findings();
}

/* ---------- acknowledgements ---------- */

uint64
po_finding_table_hash(const char *tenant)
{
	return hash_bytes_extended((const unsigned char *) tenant, (int) strlen(tenant), 0);
}

static int
compare_uint64(uint64 a, uint64 b)
{
	return (a > b) - (a < b);
}

static int
compare_acknowledged(const void *a, const void *b)
{
	const PoAcknowledged *row_a = a;
	const PoAcknowledged *row_b = b;
	int			order = compare_uint64(row_a->tenant, row_b->tenant);

	if (order == 0)
		order = compare_uint64(row_a->queryid, row_b->queryid);
	return order != 0 ? order : compare_uint64(row_a->kind, row_b->kind);
}

void
po_finding_table_put_acknowledged(PoAcknowledged *rows, int n)
{
	PoFindingTable *t = po_finding_table;

	n = Min(n, t->n_findings);
	qsort(rows, n, sizeof(PoAcknowledged), compare_acknowledged);
	lock_findings(LW_EXCLUSIVE);
	if (t->acknowledged_generation == 0 || n != t->n_acknowledged ||
		memcmp(rows, po_acknowledged, n * sizeof(PoAcknowledged)) != 0)
	{
		memcpy(po_acknowledged, rows, n * sizeof(PoAcknowledged));
		t->n_acknowledged = n;
		t->acknowledged_generation++;
	}
	unlock_findings();
}

uint32
po_finding_table_copy_acknowledged(PoAcknowledged *to, int *n)
{
	uint32		generation;

	lock_findings(LW_SHARED);
	*n = po_finding_table->n_acknowledged;
	memcpy(to, po_acknowledged, *n * sizeof(PoAcknowledged));
	generation = po_finding_table->acknowledged_generation;
	unlock_findings();
	return generation;
}

uint32
po_finding_table_acknowledged_generation(void)
{
	/* A word is read whole. */
	return *(volatile uint32 *) &po_finding_table->acknowledged_generation;
}

bool
po_finding_table_acknowledges(const PoAcknowledged *rows, int n,
							  const PoFindingRecord *finding, const char *tenant)
{
	PoFound		now = {finding->severity, finding->connections, 0};
	PoFound		then;
	PoAcknowledged key;
	const PoAcknowledged *row;

	memset(&key, 0, sizeof(key));
	key.tenant = po_finding_table_hash(tenant);
	key.queryid = finding->queryid;
	key.kind = finding->kind;
	row = n == 0 ? NULL : bsearch(&key, rows, n, sizeof(key), compare_acknowledged);
	if (row == NULL || (row->until != 0 && row->until <= GetCurrentTimestamp()))
		return false;
	then.severity = row->severity;
	then.connections = row->connections;
	return !po_finding_is_worse(&now, &then);
}

/* ---------- by anyone ---------- */

void
po_finding_table_reset(int tenant)
{
	lock_findings(LW_EXCLUSIVE);
	for (int i = 0; i < po_finding_table->used; i++)
	{
		if (tenant < 0 || po_findings[i].tenant == tenant)
			po_findings[i].in_use = false;
	}
	unlock_findings();
}

void
po_finding_table_restore(const PoFindingRecord *saved)
{
	lock_findings(LW_EXCLUSIVE);
	if (po_finding_table->used < po_finding_table->n_findings)
		memcpy(&po_findings[po_finding_table->used++], saved, sizeof(*saved));
	unlock_findings();
}
