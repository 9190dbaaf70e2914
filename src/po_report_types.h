/*
 * po_report_types.h
 *		What a report tells, as read from the views with the caller's rights.
 *
 * Whatever the caller's role does not see is not there.  Unknown numbers are NaN, unknown
 * texts NULL.  All memory is that of the context in which it was read.
 */
#ifndef PO_REPORT_TYPES_H
#define PO_REPORT_TYPES_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "model/po_types.h"

/* Tenants beyond are left out of tables, and only counted. */
#define PO_REPORT_TENANTS	2000
#define PO_REPORT_ROWS		50		/* of sessions, refusals, alerts */
#define PO_REPORT_BUCKETS	240		/* of the large plot, at most */
#define PO_REPORT_TILES		24		/* small plots */
#define PO_REPORT_COARSE	8		/* columns of the table behind those */
#define PO_REPORT_FOUND		20		/* findings */
#define PO_REPORT_SPENDERS	8		/* tenants whose statements are told, so many of each */
#define PO_REPORT_STATEMENTS 5

/* What history says of one tenant in one window. */
typedef struct PoReportUse
{
	bool		known;			/* history has rows of it */
	double		busy;			/* means, by time */
	double		sessions;
	double		busy_max;
	double		transactions;
	double		rejected;
	double		p95_ms;			/* mean of the buckets' p95, by transactions; NaN = none */
} PoReportUse;

typedef struct PoReportTenant
{
	char	   *name;
	bool		present;		/* in pool_stats; else history alone knows it */
	int			sessions;
	int			active;
	int			idle;
	int			in_transaction;	/* idle in it */
	int			waiting;
	int			quota;			/* -1 = none */
	double		utilization;
	int			peak_sessions;
	int			peak_busy;
	double		rejected;
	double		would_reject;
	double		would_terminate;
	double		transactions;
	double		xact_p95_ms;
	double		wait_p99_ms;
	char	   *mode;
	bool		draining;
	TimestampTz first_seen;

	/* pool_recommendations; size 0 = none */
	int			size;
	int			size_max;
	int			busy_p95;
	int			busy_max;
	double		busy_mean;
	double		confidence;
	char	   *method;
	char	   *reason;

	/* pool_stats_history */
	PoReportUse use;			/* in the window */
	PoReportUse before;			/* in the same window one week before */
	double	   *busy;			/* mean, and most, by bucket; NaN = not known */
	double	   *busy_most;
	double	   *quota_then;		/* NaN = none */
	double	   *size_then;

	/* pool_stats_session */
	int			leaked;
	int			leaked_exempt;	/* of these */
	int			leaked_in_transaction;
	double		leaked_longest_ms;
	int			blocked;		/* sessions waiting behind leaked ones */
	char	   *leak_class;		/* the most frequent */

	/* pool_events, in the window */
	double		refused;
	double		would_be_refused;
	TimestampTz refused_at;		/* last; 0 = never */
	char	   *refused_rule;
	int			refused_limit;
} PoReportTenant;

/* A leaked session. */
typedef struct PoReportLeak
{
	int			pid;
	char	   *tenant;
	char	   *usename;
	char	   *application;
	char	   *address;
	char	   *class;
	char	   *verdict;
	char	   *exempt;
	double		state_ms;
	double		probability;
	double		transactions;
	double		blocks;			/* sessions waiting behind it */
	double		xmin_age;		/* transactions that vacuum cannot clean up after */
} PoReportLeak;

/* Logins refused for one reason. */
typedef struct PoReportRefusal
{
	char	   *tenant;
	bool		would;			/* let in by mode observe */
	char	   *rule;
	char	   *role;
	char	   *database;
	char	   *application;
	char	   *address;
	double		n;
	int			limit;			/* -1 = not told */
	double		waited_ms;		/* longest */
	TimestampTz first;
	TimestampTz last;
} PoReportRefusal;

/* Sessions of one client. */
typedef struct PoReportClient
{
	char	   *tenant;
	char	   *application;
	char	   *address;
	int			sessions;
	int			busy;
	int			in_transaction;
	int			idle;
	double		longest_idle_ms;
} PoReportClient;

typedef struct PoReportAlert
{
	char	   *tenant;
	char	   *alert;
	char	   *severity;
	char	   *message;
	TimestampTz since;
} PoReportAlert;

typedef struct PoReportEvent
{
	TimestampTz at;
	char	   *kind;
	char	   *tenant;
	char	   *reason;
} PoReportEvent;

typedef struct PoReportPooler
{
	char	   *pooler;
	char	   *state;
	char	   *error;
} PoReportPooler;

/* What connections are spent on that need not be. */
typedef struct PoReportFound
{
	char	   *tenant;
	char	   *kind;
	char	   *severity;
	TimestampTz since;
	double		connections;
	char	   *advice;
	char	   *statement;		/* NULL = not known, or not for the reader */
	char	   *queryid;
	bool		acknowledged;
	char	   *reason;			/* of that */
} PoReportFound;

/* A statement of a tenant; with neither text nor queryid: all others, or not for the reader. */
typedef struct PoReportStatement
{
	char	   *tenant;
	char	   *text;
	char	   *queryid;
	double		share;			/* of its tenant's busy time */
	double		calls;
	double		mean_ms;
	double		wait_ms;		/* for the client after it, mean */
} PoReportStatement;

typedef struct PoReportSize
{
	int			size;
	double		utilization;
	double		wait_ms;		/* NaN = not known */
	double		throughput;
} PoReportSize;

typedef struct PoReport
{
	/* asked for */
	TimestampTz now;
	TimestampTz since;			/* now - since_us: events are from here on */
	TimestampTz from;			/* of the plot: the start of a bucket */
	int64		since_us;
	char	   *schema;			/* of the extension, quoted */
	bool		has_alerts;		/* there is a view of them */
	bool		has_statements;	/* and of statements and findings */
	bool		sees_all;
	bool		may_set;		/* policies */

	/* pool_stats_cluster */
	char	   *mode;
	char	   *health;
	int			usable;
	int			sessions;
	int			waiting;
	int			authenticating;
	int			n_tenants;
	double		utilization;
	bool		sampler_runs;
	TimestampTz last_sample;
	double		overflow_logins;
	double		unready_logins;
	double		worker_errors;
	char	   *last_error;
	TimestampTz last_error_at;

	/* Tenants the caller sees, at first those with the most sessions. */
	PoReportTenant *tenant;
	int			n;
	double		n_seen;			/* also those left out */
	double		recommended;	/* sum */

	/* pool_stats_cluster_history, by bucket; or of what the caller sees.  NaN = not known. */
	int64		bucket_us;
	int			n_buckets;
	double		use_s;			/* how long it was watched; 0 = no history */
	double		before_s;		/* of the window to compare with */
	TimestampTz history_from;	/* first row within the report's time; 0 = none */
	TimestampTz before_from;	/* of the window to compare with */
	TimestampTz before_to;
	double	   *sum_sessions;	/* means */
	double	   *sum_peak;
	double	   *sum_busy;
	double	   *sum_rejected;
	double	   *sum_limit;		/* usable connections */

	PoReportLeak *leak;
	int			n_leaks;
	double		n_leaked;		/* also those left out */
	double		n_leaked_exempt;
	PoReportRefusal *refusal;
	int			n_refusals;
	int			n_refusals_left_out;
	PoReportClient *client;
	int			n_clients;
	PoReportAlert *alert;
	int			n_alerts;
	int			n_alerts_left_out;
	int			n_critical_left_out;	/* of these */
	PoReportEvent *event;		/* changes of policies, ends of sessions, last first */
	int			n_events;
	PoReportFound *found;		/* those that are acknowledged last, else the dearest first */
	int			n_found;
	double		n_all_found;	/* also those left out */
	PoReportStatement *statement;	/* by tenant */
	int			n_statements;
	PoReportPooler *pooler;		/* those that do not answer */
	int			n_poolers;
} PoReport;

#endif							/* PO_REPORT_TYPES_H */
