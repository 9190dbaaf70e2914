/*
 * po_guc.h
 *		The settings of pool_optimizer; docs/reference.md tells what they do.
 */
#ifndef PO_GUC_H
#define PO_GUC_H

#include "postgres.h"

#include "model/po_types.h"

/* No other library asks for these; see po_evidence.h. */
#ifdef __GNUC__
#pragma GCC visibility push(hidden)
#endif

extern int	po_guc_mode;		/* PoMode */
extern char *po_guc_tenant;
extern char *po_guc_database;
extern char *po_guc_label;
extern char *po_guc_exempt_roles;
extern int	po_guc_sample_interval; /* ms */
extern int	po_guc_max_tenants;
extern int	po_guc_max_waiting; /* -1 = a tenth of max_connections */
extern int	po_guc_history_events;
extern int	po_guc_metrics_tenants;
/* Of rings of history; -1 = by max_tenants. */
extern int	po_guc_history_second_rows;
extern int	po_guc_history_ten_second_rows;
extern int	po_guc_history_minute_rows;
extern int	po_guc_history_retention;	/* min; -1 = for ever */
extern int	po_guc_warning_threshold;	/* percent */
extern int	po_guc_critical_threshold;	/* percent */
extern int	po_guc_max_terminations_per_minute;
extern bool po_guc_spare_stateful;
extern bool po_guc_track_statements;
extern bool po_guc_track_findings;
extern int	po_guc_max_statements;
extern int	po_guc_max_findings;
extern int	po_guc_slow_statement;	/* ms */
extern int	po_guc_very_slow_statement; /* ms */
extern int	po_guc_loop_calls;

/* What follows from them, for the path of each query: from so long a statement is slow, with
 * more rows others may go through them. */
extern int64 po_guc_slow_us;
extern uint64 po_guc_wide_rows;

extern char *po_guc_pgbouncer_conninfo;
/* Bytes of that path at most: a name beside it has to fit in MAXPGPATH. */
#define PO_INCLUDE_MOST		(MAXPGPATH - 32)
extern char *po_guc_pgbouncer_include;
extern char *po_guc_notify_channel; /* "" = none */
extern int	po_guc_notify_rate; /* of a kind in a minute */
extern uint32 po_guc_notify_kinds;	/* PO_EVENT_BITs */
extern int	po_guc_log_interval;	/* ms, 0 = off */

/* The least of those. */
#define PO_GUC_LEAST_ROWS	100

extern void po_guc_define(void);

/* Is the role named in pool_optimizer.exempt_roles? */
extern bool po_guc_role_is_exempt(const char *role);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif

#endif							/* PO_GUC_H */
