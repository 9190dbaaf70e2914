/*
 * po_metrics.h
 *		What monitoring systems are told, as rows and as text of Prometheus.
 *
 * Takes PO_LOCK_METRICS.  A role without pg_read_all_stats gets the cluster's figures that
 * pool_stats_cluster shows it, and those of its own tenant.
 */
#ifndef PO_METRICS_H
#define PO_METRICS_H

#include "postgres.h"

#define PO_METRICS_VALUES		32
#define PO_METRICS_BOUNDS		20
#define PO_METRICS_HISTOGRAMS	2

/* Metrics with the same labels, whose names begin alike. */
typedef enum PoMetricsFamily
{
	PO_METRICS_BUILD,
	PO_METRICS_CLUSTER,
	PO_METRICS_ALERT,
	PO_METRICS_FINDING,
	PO_METRICS_TENANT,
	PO_METRICS_POOLER
} PoMetricsFamily;

#define PO_N_METRICS_FAMILIES	6

typedef struct PoMetricsHistogram
{
	int			n;				/* bounds */
	double		bound[PO_METRICS_BOUNDS];	/* s */
	int64		cumulative[PO_METRICS_BOUNDS + 1];	/* the last: all */
	double		sum;			/* s */
} PoMetricsHistogram;

typedef struct PoMetricsRow
{
	const char *label;			/* its value; NULL when the family has none */
	const char *severity;		/* of alerts and findings, their second label; else NULL */
	int			n_values;
	double		value[PO_METRICS_VALUES];	/* NaN = not known, or not for the caller */
	int			n_histograms;
	PoMetricsHistogram histogram[PO_METRICS_HISTOGRAMS];
} PoMetricsRow;

/* palloc'd; no two have the same labels.  Columns of the SQL functions are in this order:
 * the labels, the values, and of each histogram its bounds, counts, sum and total. */
extern PoMetricsRow *po_metrics_rows(PoMetricsFamily family, int *n_rows);

/* All families in text format 0.0.4; palloc'd. */
extern char *po_metrics_text(void);

/* Sets a tenant's statistics to 0 without a fall of what others publish. */
extern void po_metrics_reset_tenant(int tenant);

/* In the postmaster, once the state file has been read. */
extern void po_metrics_startup(void);

#endif							/* PO_METRICS_H */
