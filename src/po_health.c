/*
 * po_health.c
 *		How full the cluster is, and whether anybody watches it.
 */
#include "postgres.h"

#include "po_guc.h"
#include "po_health.h"
#include "po_sample.h"

#define STALE_AFTER_US		(5 * PO_US_PER_S)
#define STALE_INTERVALS		20

double
po_health_utilization(int used, int limit)
{
	if (limit < 0)
		limit = po_shared->usable;
	if (limit == 0)
		return used > 0 ? 1.0 : 0.0;
	return Min((double) used / limit, 1.0);
}

static PoHealthLevel
level_of(const PoHealth *h)
{
	if (!h->is_sampled || h->utilization * 100 >= po_guc_critical_threshold)
		return PO_HEALTH_CRITICAL;
	return h->utilization * 100 >= po_guc_warning_threshold ?
		PO_HEALTH_WARNING : PO_HEALTH_HEALTHY;
}

void
po_health_read(PoHealth *h)
{
	int64		stale = Max(STALE_AFTER_US,
							STALE_INTERVALS * (int64) po_guc_sample_interval * PO_US_PER_MS);
	int64		last_pass = (int64) pg_atomic_read_u64(&po_shared->last_pass);

	po_registry_copy_totals(&h->totals);
	h->authenticating = po_sample_authenticating();
	h->taken = h->totals.admitted + h->totals.exempt + h->totals.waiting + h->authenticating;
	h->utilization = po_health_utilization(h->taken, po_shared->usable);
	h->sample_age_us = Max(po_shmem_monotonic_us() - last_pass, 0);
	h->is_sampled = pg_atomic_read_u32(&po_shared->sampler_pid) != 0 &&
		h->sample_age_us <= stale;
	h->level = level_of(h);
}

const char *
po_health_name(PoHealthLevel level)
{
	switch (level)
	{
		case PO_HEALTH_HEALTHY:
			return "healthy";
		case PO_HEALTH_WARNING:
			return "warning";
		case PO_HEALTH_CRITICAL:
			return "critical";
	}
	return "unknown";
}

char *
po_health_reason(const PoHealth *h)
{
	if (pg_atomic_read_u32(&po_shared->sampler_pid) == 0)
		return pstrdup("the sampler does not run");
	if (!h->is_sampled)
		return psprintf("the last look at the sessions was %.1f s ago",
						(double) h->sample_age_us / PO_US_PER_S);
	return psprintf("%d of %d connections are taken", h->taken, po_shared->usable);
}
