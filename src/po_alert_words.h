/*
 * po_alert_words.h
 *		What is said of an alert.
 */
#ifndef PO_ALERT_WORDS_H
#define PO_ALERT_WORDS_H

#include "lib/stringinfo.h"

#include "po_registry.h"
#include "po_shmem.h"

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

/* What was seen of one subject; what an alert is not about is left out. */
typedef struct PoAlertFacts
{
	const PoTenantGlance *tenant;	/* NULL = the cluster's */
	double		value;			/* NaN = there is none */
	PoUsage		usage;			/* cluster_utilization */
	double		refusals;		/* of the last minute */
	double		waits;			/* likewise, and their mean */
	double		wait_ms;
} PoAlertFacts;

/* The message, in a sentence without a full stop. */
extern void po_alert_words_message(PoAlertKind kind, const PoAlertFacts *facts,
								   StringInfo message);

/* What it says when it is over after so long. */
extern void po_alert_words_cleared(PoAlertKind kind, const PoAlertFacts *facts,
								   int64 duration_us, StringInfo message);

/* Further evidence: "name": value pairs, each after a comma, as long as detail is
 * shorter than most. */
extern void po_alert_words_detail(PoAlertKind kind, const PoAlertFacts *facts,
								  StringInfo detail, int most);

/* What to do about it; NULL = nothing to add. */
extern const char *po_alert_words_hint(PoAlertKind kind, const PoAlertFacts *facts);

extern const char *po_alert_words_state(PoAlarmChange change);

#endif							/* PO_ALERT_WORDS_H */
