/*
 * po_finding_table.c
 *		The table of findings.
 *
 * PO_LOCK_FINDINGS is taken here and nowhere else.  The table has a fixed size; when it is full,
 * a finding that costs more takes the place of the one that costs least.
 */
#include "postgres.h"

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
