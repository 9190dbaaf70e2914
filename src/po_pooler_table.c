/*
 * po_pooler_table.c
 *		What poolers said last; PO_LOCK_POOLERS is taken here and nowhere else.
 */
#include "postgres.h"

#include "po_pooler_table.h"

static int
add_up(int sum, int64 n)
{
	return (int) Min((int64) sum + Max(n, 0), (int64) PG_INT32_MAX);
}

static bool
same_database(const PoPoolSeen *a, const PoPoolSeen *b)
{
	return a->pooler == b->pooler && strcmp(a->pool.database, b->pool.database) == 0;
}

/* The pool in that place of the table. */
static void
add_to_sum(int place)
{
	const PoPoolSeen *seen = &po_pools[place];
	const PoPoolerPool *p = &seen->pool;
	PoPoolSum  *sum;

	if (seen->tenant < 0 || seen->tenant >= po_shared->n_tenants)
		return;
	sum = &po_pool_sums[seen->tenant];
	sum->clients = add_up(add_up(sum->clients, p->cl_active), p->cl_waiting);
	sum->waiting = add_up(sum->waiting, p->cl_waiting);
	sum->linked = add_up(sum->linked, p->sv_active);
	sum->n_servers += seen->n_servers;
	sum->n_sessions = Max(sum->n_sessions, seen->n_sessions);
	sum->knows_queue = (sum->last == 0 || sum->knows_queue) && seen->rates.queued >= 0;
	/* The pools of a database follow each other, and have the same waits. */
	if (sum->last == 0 || !same_database(&po_pools[sum->last - 1], seen))
	{
		sum->queued += seen->rates.queued;
		po_pooler_queue_add(&sum->queue, &seen->queue);
	}
	sum->last = place + 1;
}

static void
clear_sum(int place)
{
	int			tenant = po_pools[place].tenant;

	if (tenant >= 0 && tenant < po_shared->n_tenants)
		memset(&po_pool_sums[tenant], 0, sizeof(PoPoolSum));
}

void
po_pooler_table_publish(const PoPoolerSeen *poolers, int n_poolers,
						const PoPoolSeen *pools, int n_pools)
{
	PoPoolers  *table = &po_shared->poolers;

	n_pools = Min(n_pools, po_shared->n_pools);
	LWLockAcquire(po_shmem_lock(PO_LOCK_POOLERS), LW_EXCLUSIVE);
	table->n_poolers = n_poolers;
	if (n_poolers > 0)
		memcpy(table->pooler, poolers, n_poolers * sizeof(PoPoolerSeen));
	for (int i = 0; i < table->n_seen; i++)
		clear_sum(i);
	table->n_seen = n_pools;
	if (n_pools > 0)
		memcpy(po_pools, pools, n_pools * sizeof(PoPoolSeen));
	for (int i = 0; i < n_pools; i++)
		add_to_sum(i);
	LWLockRelease(po_shmem_lock(PO_LOCK_POOLERS));
}

void
po_pooler_table_copy(PoPoolerSeen *poolers, int *n_poolers, PoPoolSeen *pools, int *n_pools)
{
	const PoPoolers *table = &po_shared->poolers;

	LWLockAcquire(po_shmem_lock(PO_LOCK_POOLERS), LW_SHARED);
	*n_poolers = table->n_poolers;
	memcpy(poolers, table->pooler, table->n_poolers * sizeof(PoPoolerSeen));
	*n_pools = table->n_seen;
	memcpy(pools, po_pools, table->n_seen * sizeof(PoPoolSeen));
	LWLockRelease(po_shmem_lock(PO_LOCK_POOLERS));
}

int
po_pooler_table_poolers(PoPoolerSeen *to)
{
	const PoPoolers *table = &po_shared->poolers;
	int			n;

	LWLockAcquire(po_shmem_lock(PO_LOCK_POOLERS), LW_SHARED);
	n = table->n_poolers;
	memcpy(to, table->pooler, n * sizeof(PoPoolerSeen));
	LWLockRelease(po_shmem_lock(PO_LOCK_POOLERS));
	return n;
}

int
po_pooler_table_waits(PoPoolWait *to, int max)
{
	int			n = 0;

	LWLockAcquire(po_shmem_lock(PO_LOCK_POOLERS), LW_SHARED);
	for (int i = 0; i < po_shared->poolers.n_seen && n < max; i++)
	{
		const PoPoolerPool *p = &po_pools[i].pool;
		double		first_ms = p->maxwait * 1000.0 + p->maxwait_us / 1000.0;

		if (po_pools[i].tenant < 0 || p->cl_waiting <= 0)
			continue;
		to[n].tenant = po_pools[i].tenant;
		to[n++].wait_ms = Max(first_ms, po_pools[i].rates.wait_ms);
	}
	LWLockRelease(po_shmem_lock(PO_LOCK_POOLERS));
	return n;
}

/* Have all poolers answered when they should have? */
static bool
all_answer(int64 ticks)
{
	const PoPoolers *table = &po_shared->poolers;

	for (int i = 0; i < table->n_poolers; i++)
	{
		if (table->pooler[i].state != PO_POOLER_OK || ticks > table->pooler[i].next_by)
			return false;
	}
	return true;
}

void
po_pooler_table_demand(int tenant, PoPoolerDemand *demand)
{
	int64		ticks = po_shmem_monotonic_us();
	const PoPoolSum *sum;

	memset(demand, 0, sizeof(*demand));
	demand->queued = -1;
	if (tenant < 0 || tenant >= po_shared->n_tenants)
		return;
	LWLockAcquire(po_shmem_lock(PO_LOCK_POOLERS), LW_SHARED);
	sum = &po_pool_sums[tenant];
	demand->clients = sum->clients;
	demand->waiting = sum->waiting;
	demand->linked = sum->linked;
	demand->queue = sum->queue;
	if (sum->knows_queue && all_answer(ticks))
	{
		if (sum->n_servers < sum->n_sessions)
			demand->others = (int) (sum->n_sessions - sum->n_servers);
		else
			demand->queued = sum->queued;
	}
	LWLockRelease(po_shmem_lock(PO_LOCK_POOLERS));
}

int
po_pooler_table_starving(int64 least_us, int *tenants, int most)
{
	int			n = 0;

	LWLockAcquire(po_shmem_lock(PO_LOCK_POOLERS), LW_SHARED);
	for (int i = 0; i < po_shared->poolers.n_seen && n < most; i++)
	{
		const PoPoolSeen *seen = &po_pools[i];

		if (seen->tenant >= 0 && seen->pool.cl_waiting > 0 &&
			seen->pool.maxwait >= least_us / PO_US_PER_S &&
			(n == 0 || tenants[n - 1] != seen->tenant))
			tenants[n++] = seen->tenant;
	}
	LWLockRelease(po_shmem_lock(PO_LOCK_POOLERS));
	return n;
}

const char *
po_pooler_table_state_name(PoPoolerState state)
{
	switch (state)
	{
		case PO_POOLER_NEW:
			return "new";
		case PO_POOLER_OK:
			return "ok";
		case PO_POOLER_UNREACHABLE:
			return "unreachable";
		case PO_POOLER_REFUSED:
			return "refused";
		case PO_POOLER_UNREADABLE:
			return "unreadable";
	}
	return "unknown";
}
