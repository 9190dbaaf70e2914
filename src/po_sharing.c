/*
 * po_sharing.c
 *		Each tenant's part of the cluster, in memory of the sampler.
 *
 * The sampler evaluates tenants one by one, each at its own interval.  What each wants is
 * kept here, so that at any moment all wishes are known and nobody has to be asked.
 */
#include "postgres.h"

#include "storage/shmem.h"
#include "utils/memutils.h"

#include "po_cores.h"
#include "po_guc.h"
#include "po_registry.h"
#include "po_sharing.h"
#include "po_worker.h"

static PoCapacity capacity;

void
po_sharing_attach(void)
{
	int			n = po_shared->n_tenants;

	po_capacity_begin(&capacity, n, po_worker_allocate(n, sizeof(PoClaim)),
					  po_worker_allocate(n, sizeof(PoShare)),
					  po_worker_allocate(PO_SHARE_MARKS(n), sizeof(PoShareMark)));
}

/*
 * Connections that clients can have, less the places of logins that may queue, and no more
 * than the cluster's quota.
 */
void
po_sharing_begin(void)
{
	PoRegistry	totals;
	const PoPolicyFields *cluster = &totals.cluster;
	int			connections = po_shared->usable;

	po_registry_copy_totals(&totals);
	if (totals.any_queueing)
		connections -= po_shared->max_waiting;
	if (cluster->max_connections >= 0 &&
		po_mode_lower((PoMode) po_guc_mode, cluster->quota_mode) != PO_MODE_OFF)
		connections = Min(connections, cluster->max_connections);
	po_capacity_set(&capacity, connections, totals.guaranteed_total,
					po_cores_usable());
}

void
po_sharing_evaluate(int tenant, PoEvaluation *e)
{
	/* As it is in force: po_registry_copy_tenant has scaled it. */
	e->guaranteed = e->policy->quota_mode == PO_MODE_OFF ? 0 : e->policy->guaranteed;
	po_capacity_evaluate(&capacity, tenant, po_shmem_monotonic_us(), e);
}

void
po_sharing_forget(int tenant)
{
	po_capacity_forget(&capacity, tenant);
}
