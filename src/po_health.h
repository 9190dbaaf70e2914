/*
 * po_health.h
 *		How full the cluster is, and whether anybody watches it: the same answer for
 *		pool_stats_cluster, pool_health and pool_metrics.
 */
#ifndef PO_HEALTH_H
#define PO_HEALTH_H

#include "po_registry.h"

typedef enum PoHealthLevel
{
	PO_HEALTH_HEALTHY,
	PO_HEALTH_WARNING,
	PO_HEALTH_CRITICAL
} PoHealthLevel;

typedef struct PoHealth
{
	PoRegistry	totals;
	int			authenticating;
	int			taken;			/* sessions, those that wait or authenticate included */
	double		utilization;	/* 0..1 */
	int64		sample_age_us;	/* since the sampler began its last look at all */
	bool		is_sampled;		/* a sampler runs and is not late */
	PoHealthLevel level;
} PoHealth;

extern void po_health_read(PoHealth *health);

extern const char *po_health_name(PoHealthLevel level);

/* The reason for the level in a sentence; palloc'd. */
extern char *po_health_reason(const PoHealth *health);

/* Share (0..1) of a limit in use, of the usable connections if there is none. */
extern double po_health_utilization(int used, int limit);

#endif							/* PO_HEALTH_H */
