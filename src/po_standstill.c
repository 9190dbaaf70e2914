/*
 * po_standstill.c
 *		Pools that stand still because their clients wait for each other.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "po_events.h"
#include "po_pooler_table.h"
#include "po_registry.h"
#include "po_stats.h"
#include "po_standstill.h"

#define STANDSTILL_US	(10 * PO_US_PER_S)
#define MOST_TENANTS	16		/* looked at, at a time */

/*
 * How many sessions a tenant has, if none of them does anything; 0 if one does.  Reads what the
 * sampler keeps of them.
 */
static int
still_sessions(int tenant, int64 ticks)
{
	int			n = 0;

	for (int i = 0; i < po_shared->n_slots; i++)
	{
		const PoWatch *w = &po_watches[i];
		uint32		phase = pg_atomic_read_u32(&po_slots[i].phase);

		if (*(volatile int *) &po_slots[i].tenant != tenant ||
			(phase != PO_SLOT_ADMITTED && phase != PO_SLOT_EXEMPT))
			continue;
		if (!w->seen || w->pid != po_slots[i].pid || w->state != PO_STATE_IDLE_IN_TRANSACTION ||
			w->state_before + ticks - w->state_seen_at < STANDSTILL_US)
			return 0;
		n++;
	}
	return n;
}

static void
tell(int tenant, int n, int waiting)
{
	PoTenant	t;
	char		reason[PO_REASON_LEN];
	char		detail[PO_DETAIL_LEN];

	if (!po_registry_copy_tenant(tenant, &t))
		return;
	snprintf(reason, sizeof(reason), "standstill: %d session%s, all idle in transaction for %d s, "
			 "while %d client%s wait%s at the pooler, as happens when clients need several "
			 "connections at once", n, n == 1 ? "" : "s", (int) (STANDSTILL_US / PO_US_PER_S),
			 waiting, waiting == 1 ? "" : "s", waiting == 1 ? "s" : "");
	snprintf(detail, sizeof(detail), "{\"sessions\": %d, \"waiting\": %d}", n, waiting);
	po_events_add(PO_EVENT_ALERT, t.name, 0, reason, detail);
	ereport(LOG,
			(errmsg("pool_optimizer, tenant \"%s\": %s", t.name, reason),
			 errhint("A pool needs more than the number of threads times one less than the "
					 "connections each needs at once; min_size of pool_set_sizing can say so.")));
}

void
po_standstill_check(int64 ticks)
{
	int			tenants[MOST_TENANTS];
	int			n = po_pooler_table_starving(STANDSTILL_US, tenants, MOST_TENANTS);

	for (int i = 0; i < n; i++)
	{
		int			size = still_sessions(tenants[i], ticks);
		PoPoolerDemand demand;

		if (size == 0)
			continue;
		po_pooler_table_demand(tenants[i], &demand);
		/* More than there are clients would be of no use. */
		if (demand.clients > size && po_stats_note_standstill(tenants[i], size))
			tell(tenants[i], size, demand.waiting);
	}
}
