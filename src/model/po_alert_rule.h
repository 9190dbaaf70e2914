/*
 * po_alert_rule.h
 *		Which alerts there are, and the rules by which they are raised.
 *
 * A rule is of one alert, one severity and the tenants that a name or pattern
 * matches ('*' for alerts of the cluster).  What it leaves open is inherited, field by
 * field, from the next wider pattern, and at last from what is built in.
 */
#ifndef PO_ALERT_RULE_H
#define PO_ALERT_RULE_H

#include "model/po_alarm.h"
#include "model/po_finding.h"
#include "model/po_policy.h"

/* Those of the cluster first, those about findings last. */
typedef enum PoAlertKind
{
	PO_ALERT_CLUSTER_UTILIZATION,
	PO_ALERT_CLUSTER_EXHAUSTION,
	PO_ALERT_SAMPLER_LATE,
	PO_ALERT_POOLER_UNREACHABLE,
	PO_ALERT_TENANT_UTILIZATION,
	PO_ALERT_TENANT_EXHAUSTION,
	PO_ALERT_REFUSALS,
	PO_ALERT_WAITS,
	PO_ALERT_LEAK_GROWTH,
	PO_ALERT_IDLE_IN_TRANSACTION,
	PO_ALERT_TERMINATIONS_NOT_HELPING,
	PO_ALERT_ANOMALY,
	PO_ALERT_SLOW_STATEMENT,
	PO_ALERT_N_PLUS_ONE,
	PO_ALERT_CLIENT_WAIT,
	PO_ALERT_UNPAGED_RESULT,
	PO_ALERT_SEQUENTIAL_SCAN,
	PO_ALERT_REPEATED_READ,
	PO_ALERT_HOT_ROW,
	PO_ALERT_CHURN
} PoAlertKind;

#define PO_N_ALERTS				20
#define PO_FIRST_TENANT_ALERT	PO_ALERT_TENANT_UTILIZATION
#define PO_N_TENANT_ALERTS		(PO_N_ALERTS - PO_FIRST_TENANT_ALERT)
#define PO_FIRST_FINDING_ALERT	PO_ALERT_SLOW_STATEMENT
#define PO_N_FINDING_ALERTS		(PO_N_ALERTS - PO_FIRST_FINDING_ALERT)

/* A bit for each field of a rule. */
#define PO_ALERT_SET_ENABLED		(1u << 0)
#define PO_ALERT_SET_THRESHOLD		(1u << 1)
#define PO_ALERT_SET_FOR			(1u << 2)
#define PO_ALERT_SET_CLEAR_AFTER	(1u << 3)
#define PO_ALERT_SET_HYSTERESIS		(1u << 4)
#define PO_ALERT_SET_ALL			((1u << 5) - 1)

typedef struct PoAlertRule
{
	PoAlertKind kind;
	PoSeverity	severity;
	char		tenant[PO_NAME_LEN];	/* exact or a pattern */
	uint32_t	set;
	PoAlarmLimit limit;			/* its "below" is that of the kind */
} PoAlertRule;

/* Rules sorted by po_alert_rule_compare, and where those of each alert are. */
typedef struct PoAlertRules
{
	const PoAlertRule *rule;
	int			n;
	int			first[PO_N_ALERTS][PO_N_SEVERITIES];
	int			count[PO_N_ALERTS][PO_N_SEVERITIES];
	int			n_exact[PO_N_ALERTS][PO_N_SEVERITIES];	/* come first; no patterns */
} PoAlertRules;

/* What built-in thresholds come from. */
typedef struct PoAlertContext
{
	double		warning_ratio;	/* the settings, 0..1 */
	double		critical_ratio;
	double		target_wait_ms; /* of the tenant's policy */
} PoAlertContext;

/* Names as in SQL; parse is false for any other word. */
extern const char *po_alert_name(PoAlertKind kind);
extern bool po_alert_parse(const char *name, PoAlertKind *kind);
extern const char *po_severity_name(PoSeverity severity);
extern bool po_severity_parse(const char *name, PoSeverity *severity);

/* The alert about findings of a kind, which is called as it is; false if there is none, as for
 * those that are never more than noted. */
extern bool po_alert_of_finding(PoFindingKind finding, PoAlertKind *alert);

/* For messages: "cluster_utilization, tenant_utilization, ...". */
extern void po_alert_names(char *to, size_t size);

/* Is a rule sound by itself?  False with the first problem. */
extern bool po_alert_rule_check(const PoAlertRule *rule, PoPolicyError *error);

/* By alert, severity, then the more specific first.  For qsort. */
extern int	po_alert_rule_compare(const void *a, const void *b);

/* Finds where those of each alert are; the array stays the caller's. */
extern void po_alert_rule_index(PoAlertRules *rules, const PoAlertRule *rule, int n);

/* The limits that hold for a tenant ("*" for the cluster), by PO_SEVERITY_INDEX. */
extern void po_alert_rule_resolve(const PoAlertRules *rules, PoAlertKind kind,
								  const char *tenant, const PoAlertContext *context,
								  PoAlarmLimit limit[PO_N_SEVERITIES]);

#endif							/* PO_ALERT_RULE_H */
