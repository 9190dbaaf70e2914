/*
 * po_pooler_table.c
 *		What poolers said last; PO_LOCK_POOLERS is taken here and nowhere else.
 */
#include "postgres.h"

#include "model/po_pooler_plan.h"
#include "po_guc.h"
#include "po_pooler_table.h"

/* The tenant's place in po_tenant_pools; NULL = the pool is nobody's. */
static int *
first_of(int tenant)
{
	return tenant >= 0 && tenant < po_shared->n_tenants ? &po_tenant_pools[tenant] : NULL;
}

/* So that an evaluation reads the pools of its tenant alone. */
static void
link_pools(int n_pools)
{
	for (int i = n_pools - 1; i >= 0; i--)
	{
		int		   *first = first_of(po_pools[i].tenant);

		if (first == NULL)
			continue;
		po_pools[i].next = *first;
		*first = i + 1;
	}
}

static void
unlink_pools(int n_pools)
{
	for (int i = 0; i < n_pools; i++)
	{
		int		   *first = first_of(po_pools[i].tenant);

		if (first != NULL)
			*first = 0;
	}
}

/* Those that there are, mostly few. */
static void
copy_texts(PoPoolerTexts *to, const PoPoolerTexts *from)
{
	to->n = from->n;
	memcpy(to->text, from->text, from->n * sizeof(from->text[0]));
}

void
po_pooler_table_publish(const PoPoolerSeen *poolers, int n_poolers,
						const PoPoolSeen *pools, int n_pools, const PoPoolerTexts *texts)
{
	PoPoolers  *table = &po_shared->poolers;

	n_pools = Min(n_pools, po_shared->n_pools);
	LWLockAcquire(po_shmem_lock(PO_LOCK_POOLERS), LW_EXCLUSIVE);
	table->n_poolers = n_poolers;
	if (n_poolers > 0)
		memcpy(table->pooler, poolers, n_poolers * sizeof(PoPoolerSeen));
	unlink_pools(table->n_seen);
	table->n_seen = n_pools;
	if (n_pools > 0)
		memcpy(po_pools, pools, n_pools * sizeof(PoPoolSeen));
	link_pools(n_pools);
	table->texts.n = 0;
	if (texts != NULL)
		copy_texts(&table->texts, texts);
	LWLockRelease(po_shmem_lock(PO_LOCK_POOLERS));
}

void
po_pooler_table_copy(PoPoolerSeen *poolers, int *n_poolers, PoPoolSeen *pools, int *n_pools,
					 PoPoolerTexts *texts)
{
	const PoPoolers *table = &po_shared->poolers;

	LWLockAcquire(po_shmem_lock(PO_LOCK_POOLERS), LW_SHARED);
	*n_poolers = table->n_poolers;
	memcpy(poolers, table->pooler, table->n_poolers * sizeof(PoPoolerSeen));
	*n_pools = table->n_seen;
	memcpy(pools, po_pools, table->n_seen * sizeof(PoPoolSeen));
	if (texts != NULL)
		copy_texts(texts, &table->texts);
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

static int
add_up(int sum, int64 n)
{
	return (int) Min((int64) sum + Max(n, 0), (int64) PG_INT32_MAX);
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

static bool
same_database(const PoPoolSeen *a, const PoPoolSeen *b)
{
	return a->pooler == b->pooler && strcmp(a->pool.database, b->pool.database) == 0;
}

/* What becomes a demand once all pools are added up. */
typedef struct DemandSums
{
	const PoPoolSeen *last;
	double		queued;
	bool		known;			/* that is, of each */
	bool		all_stall;
	int64		servers;
	int			sessions;
	int			obtainable;
	int			n_waiting;		/* pools with clients that wait */
	int			n_poolers;		/* that have pools in use; of the last one, */
	int			pooler;			/* its place */
} DemandSums;

static void
add_use(const PoPoolSeen *seen, PoPoolerDemand *demand, DemandSums *sums)
{
	if (!po_pooler_is_used(&seen->pool))
		return;
	demand->pools++;
	demand->resizable = demand->resizable && seen->problem == PO_RESIZE_OK;
	sums->all_stall = sums->all_stall && seen->obtainable > 0;
	sums->n_waiting += seen->pool.cl_waiting > 0;
	sums->n_poolers += seen->pooler != sums->pooler;
	sums->pooler = seen->pooler;
}

static void
add_pool(const PoPoolSeen *seen, PoPoolerDemand *demand, DemandSums *sums)
{
	const PoPoolerPool *p = &seen->pool;

	demand->clients = add_up(add_up(demand->clients, p->cl_active), p->cl_waiting);
	demand->waiting = add_up(demand->waiting, p->cl_waiting);
	demand->linked = add_up(demand->linked, p->sv_active);
	/* A process may be a client of each of them. */
	demand->instances = Max(demand->instances, seen->least_instances);
	add_use(seen, demand, sums);
	sums->obtainable = add_up(sums->obtainable, seen->obtainable);
	sums->servers += seen->n_servers;
	sums->sessions = Max(sums->sessions, seen->n_sessions);
	sums->known = sums->known && seen->rates.queued >= 0;
	/* The pools of a database follow each other, and have the same waits. */
	if (sums->last == NULL || !same_database(sums->last, seen))
	{
		sums->queued += seen->rates.queued;
		po_pooler_queue_add(&demand->queue, &seen->queue);
	}
	sums->last = seen;
}

void
po_pooler_table_demand(int tenant, PoPoolerDemand *demand)
{
	int64		ticks = po_shmem_monotonic_us();
	const int  *first = first_of(tenant);
	DemandSums	sums = {.known = true, .all_stall = true, .pooler = -1};

	memset(demand, 0, sizeof(*demand));
	demand->queued = -1;
	if (first == NULL)
		return;
	LWLockAcquire(po_shmem_lock(PO_LOCK_POOLERS), LW_SHARED);
	demand->resizable = *first > 0;
	for (int i = *first; i > 0; i = po_pools[i - 1].next)
		add_pool(&po_pools[i - 1], demand, &sums);
	/* As po_resize.c shares sizes out. */
	demand->unit = sums.n_poolers > 1 && po_guc_pgbouncer_include[0] != '\0' ?
		Max(sums.n_waiting, 1) : 1;
	if (sums.known && sums.last != NULL && all_answer(ticks))
	{
		demand->obtainable = sums.all_stall ? sums.obtainable : 0;
		if (sums.servers < sums.sessions)
			demand->others = (int) (sums.sessions - sums.servers);
		else
			demand->queued = sums.queued;
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
