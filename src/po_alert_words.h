/*
 * po_alert_words.h
 *		What is said of an alert.
 */
#ifndef PO_ALERT_WORDS_H
#define PO_ALERT_WORDS_H

#include "lib/stringinfo.h"

#include "po_pooler_table.h"
#include "po_registry.h"
#include "po_stats.h"

#define PO_N_LARGEST	5

/* Who has the server's connections. */
typedef struct PoUsage
{
	int			usable;			/* by plain clients */
	int			sessions;		/* that we let in, exempt ones included */
	int			waiting;
	int			authenticating;
	int			taken;			/* all of these */
	int			largest[PO_N_LARGEST];	/* tenants, -1 = no more */
	int			count[PO_N_LARGEST];
} PoUsage;

#define PO_N_BLOCKED	6

/* A session idle in a transaction that does harm. */
typedef struct PoIdler
{
	int			pid;
	double		seconds;
	int			waiting_behind; /* requests that wait for its locks */
	int			n_blocked;
	int			blocked[PO_N_BLOCKED];	/* pids of some of those */
	int64		horizon_age;	/* transactions that vacuum must keep for it */
} PoIdler;

/* What was seen of one subject; what an alert is not about is left out. */
typedef struct PoAlertFacts
{
	const PoTenantGlance *tenant;	/* NULL = the cluster's */
	double		value;			/* NaN = there is none */
	PoUsage		usage;			/* cluster_utilization */
	double		refusals;		/* of the last minute */
	double		waits;			/* likewise, and their mean */
	double		wait_ms;
	double		pool_wait_ms;	/* in a pooler; 0 = not */
	const PoPoolerSeen *pooler;
	double		probability;	/* leak_growth, with the sessions of the group */
	int			group_count;
	const char *application;
	const char *address;
	const PoIdler *idler;
	double		busy;			/* anomaly: on average, what is usual, in so many seconds */
	PoUsual		usual;
	double		piece_s;
	double		missed;			/* samples of the last minute */
	const PoFindingRecord *finding; /* about which it is, the dearest of its kind */
} PoAlertFacts;

/* The message, in a sentence without a full stop. */
extern void po_alert_words_message(PoAlertKind kind, const PoAlertFacts *facts,
								   StringInfo message);

/* What it says when it is over after so long; threshold is what it was raised by. */
extern void po_alert_words_cleared(PoAlertKind kind, const PoAlertFacts *facts,
								   double threshold, int64 duration_us, StringInfo message);

/* Further evidence: "name": value pairs, each after a comma, as long as detail is
 * shorter than most. */
extern void po_alert_words_detail(PoAlertKind kind, const PoAlertFacts *facts,
								  StringInfo detail, int most);

/* What to do about it; NULL = nothing to add. */
extern const char *po_alert_words_hint(PoAlertKind kind, const PoAlertFacts *facts);

extern const char *po_alert_words_state(PoAlarmChange change);

#endif							/* PO_ALERT_WORDS_H */
