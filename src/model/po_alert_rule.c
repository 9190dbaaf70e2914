/*
 * po_alert_rule.c
 *		Which alerts there are, and the rules by which they are raised.
 *
 * One table says of each alert what it is called and what is built in.
 */
#include "model/po_alert_rule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/po_names.h"

#define DAY_US		(86400 * PO_US_PER_S)
#define NEVER		(-1.0)

/* Where a built-in threshold comes from. */
typedef enum Source
{
	SOURCE_TABLE,				/* below */
	SOURCE_SETTINGS,			/* warning_threshold, critical_threshold */
	SOURCE_TARGET_WAIT			/* the table has multiples of the policy's */
} Source;

typedef struct Kind
{
	const char *name;
	bool		is_share;		/* 0..1: a threshold above 1 is a mistake */
	bool		below;
	Source		source;
	double		threshold[PO_N_SEVERITIES]; /* NEVER = not enabled */
	int			for_s[PO_N_SEVERITIES];
	double		hysteresis;
	int			clear_after_s;
} Kind;

/* All of a Kind but its name. */
#define FINDING		false, false, SOURCE_TABLE, {0, 0}, {60, 60}, 0.3, 300

static const Kind kinds[PO_N_ALERTS] = {
	[PO_ALERT_CLUSTER_UTILIZATION] = {"cluster_utilization", true, false, SOURCE_SETTINGS,
	{0, 0}, {10, 0}, 0.05, 30},
	/* Minutes until it is full. */
	[PO_ALERT_CLUSTER_EXHAUSTION] = {"cluster_exhaustion", false, true, SOURCE_TABLE,
	{60, 15}, {60, 60}, 0.5, 60},
	/* Share of the last minute's samples that were not taken. */
	[PO_ALERT_SAMPLER_LATE] = {"sampler_late", true, false, SOURCE_TABLE,
	{0.1, 0.5}, {0, 0}, 0.1, 60},
	/* Seconds. */
	[PO_ALERT_POOLER_UNREACHABLE] = {"pooler_unreachable", false, false, SOURCE_TABLE,
	{0, NEVER}, {0, 0}, 0, 0},
	[PO_ALERT_TENANT_UTILIZATION] = {"tenant_utilization", true, false, SOURCE_SETTINGS,
	{0, 0}, {10, 10}, 0.05, 30},
	[PO_ALERT_TENANT_EXHAUSTION] = {"tenant_exhaustion", false, true, SOURCE_TABLE,
	{60, 15}, {60, 60}, 0.5, 60},
	[PO_ALERT_REFUSALS] = {"refusals", false, false, SOURCE_TABLE,
	{1, 30}, {0, 0}, 0, 60},
	[PO_ALERT_WAITS] = {"waits", false, false, SOURCE_TARGET_WAIT,
	{1, 10}, {0, 0}, 0.1, 60},
	/* Probability: five windows that grew in a row. */
	[PO_ALERT_LEAK_GROWTH] = {"leak_growth", true, false, SOURCE_TABLE,
	{0.96, NEVER}, {0, 0}, 0, 300},
	/* Seconds, of sessions that do harm. */
	[PO_ALERT_IDLE_IN_TRANSACTION] = {"idle_in_transaction", false, false, SOURCE_TABLE,
	{60, 600}, {0, 0}, 0, 10},
	/* 1 = so it is. */
	[PO_ALERT_TERMINATIONS_NOT_HELPING] = {"terminations_not_helping", true, false,
	SOURCE_TABLE, {1, NEVER}, {0, 0}, 0, 0},
	/* Deviations above what is usual. */
	[PO_ALERT_ANOMALY] = {"anomaly", false, false, SOURCE_TABLE,
	{6, NEVER}, {30, 0}, 0.3, 60},
	/*
	 * Connections spent, by findings of that severity at least: what is worth a warning was
	 * decided when it was found.  A minute, as the first ones rest on little; and what comes every
	 * few minutes is one alert.
	 */
	[PO_ALERT_SLOW_STATEMENT] = {"slow_statement", FINDING},
	[PO_ALERT_N_PLUS_ONE] = {"n_plus_one", FINDING},
	[PO_ALERT_CLIENT_WAIT] = {"client_wait", FINDING},
	[PO_ALERT_UNPAGED_RESULT] = {"unpaged_result", FINDING},
	[PO_ALERT_SEQUENTIAL_SCAN] = {"sequential_scan", FINDING},
	[PO_ALERT_REPEATED_READ] = {"repeated_read", FINDING},
	[PO_ALERT_HOT_ROW] = {"hot_row", FINDING},
	[PO_ALERT_CHURN] = {"churn", FINDING}
};

static const char *const severity_names[] = {"none", "warning", "critical"};

const char *
po_alert_name(PoAlertKind kind)
{
	return (unsigned int) kind < PO_N_ALERTS ? kinds[kind].name : "unknown";
}

bool
po_alert_parse(const char *name, PoAlertKind *kind)
{
	for (int i = 0; name != NULL && i < PO_N_ALERTS; i++)
	{
		if (strcmp(kinds[i].name, name) == 0)
		{
			*kind = (PoAlertKind) i;
			return true;
		}
	}
	return false;
}

bool
po_alert_of_finding(PoFindingKind finding, PoAlertKind *alert)
{
	if ((int) finding >= 0 && finding < PO_FIRST_TENANT_FINDING)
		*alert = (PoAlertKind) (PO_FIRST_FINDING_ALERT + (int) finding);
	else if (finding == PO_FINDING_CHURN)
		*alert = PO_ALERT_CHURN;
	else
		return false;
	return true;
}

const char *
po_severity_name(PoSeverity severity)
{
	return (unsigned int) severity <= PO_SEVERITY_CRITICAL ? severity_names[severity] :
		"unknown";
}

bool
po_severity_parse(const char *name, PoSeverity *severity)
{
	for (int i = PO_SEVERITY_WARNING; name != NULL && i <= PO_SEVERITY_CRITICAL; i++)
	{
		if (strcmp(severity_names[i], name) == 0)
		{
			*severity = (PoSeverity) i;
			return true;
		}
	}
	return false;
}

void
po_alert_names(char *to, size_t size)
{
	size_t		used = 0;

	to[0] = '\0';
	for (int i = 0; i < PO_N_ALERTS && used < size; i++)
		used += (size_t) snprintf(to + used, size - used, "%s%s", i == 0 ? "" : ", ",
								  kinds[i].name);
}

/* ---------- one rule ---------- */

static bool
check_key(const PoAlertRule *rule, PoPolicyError *error)
{
	if ((unsigned int) rule->kind >= PO_N_ALERTS)
		return po_policy_fail(error, "alert", "is not known");
	if (rule->severity != PO_SEVERITY_WARNING && rule->severity != PO_SEVERITY_CRITICAL)
		return po_policy_fail(error, "severity", "must be warning or critical");
	if (memchr(rule->tenant, '\0', PO_NAME_LEN) == NULL)
		return po_policy_fail(error, "tenant", "must be shorter than 256 bytes");
	if (rule->tenant[0] == '\0')
		return po_policy_fail(error, "tenant", "must not be empty");
	if (rule->kind < PO_FIRST_TENANT_ALERT && strcmp(rule->tenant, "*") != 0)
		return po_policy_fail(error, "tenant", "must be * for an alert of the cluster");
	return true;
}

/* NaN is outside every range. */
static bool
check_threshold(const PoAlertRule *rule, PoPolicyError *error)
{
	double		threshold = rule->limit.threshold;

	if (!(threshold >= 0))
		return po_policy_fail(error, "threshold", "must not be negative");
	if (threshold > 1e15)
		return po_policy_fail(error, "threshold", "must not be greater than 1e15");
	if (kinds[rule->kind].is_share && threshold > 1)
		return po_policy_fail(error, "threshold", "must be between 0 and 1 for this alert");
	return true;
}

bool
po_alert_rule_check(const PoAlertRule *rule, PoPolicyError *error)
{
	const PoAlarmLimit *l = &rule->limit;

	if (!check_key(rule, error) ||
		((rule->set & PO_ALERT_SET_THRESHOLD) && !check_threshold(rule, error)))
		return false;
	if ((rule->set & PO_ALERT_SET_FOR) && (l->for_us < 0 || l->for_us > DAY_US))
		return po_policy_fail(error, "for_duration", "must be between 0 and 1 day");
	if ((rule->set & PO_ALERT_SET_CLEAR_AFTER) &&
		(l->clear_after_us < 0 || l->clear_after_us > DAY_US))
		return po_policy_fail(error, "clear_after", "must be between 0 and 1 day");
	if ((rule->set & PO_ALERT_SET_HYSTERESIS) &&
		!(l->hysteresis >= 0 && l->hysteresis <= 1))
		return po_policy_fail(error, "hysteresis", "must be between 0 and 1");
	return true;
}

/* ---------- all rules ---------- */

static int
compare_ints(int a, int b)
{
	return (a > b) - (a < b);
}

int
po_alert_rule_compare(const void *a, const void *b)
{
	const PoAlertRule *rule_a = a;
	const PoAlertRule *rule_b = b;
	int			order = compare_ints((int) rule_a->kind, (int) rule_b->kind);

	if (order == 0)
		order = compare_ints((int) rule_a->severity, (int) rule_b->severity);
	if (order == 0)
		order = compare_ints(po_pattern_is(rule_a->tenant), po_pattern_is(rule_b->tenant));
	if (order == 0)
		order = compare_ints(po_pattern_literal_length(rule_b->tenant),
							 po_pattern_literal_length(rule_a->tenant));
	return order != 0 ? order : strcmp(rule_a->tenant, rule_b->tenant);
}

void
po_alert_rule_index(PoAlertRules *rules, const PoAlertRule *rule, int n)
{
	memset(rules, 0, sizeof(*rules));
	rules->rule = rule;
	rules->n = n;
	for (int i = n - 1; i >= 0; i--)
	{
		int			severity = PO_SEVERITY_INDEX(rule[i].severity);

		rules->first[rule[i].kind][severity] = i;
		rules->count[rule[i].kind][severity]++;
		rules->n_exact[rule[i].kind][severity] += !po_pattern_is(rule[i].tenant);
	}
}

static void
set_built_in(PoAlarmLimit *limit, PoAlertKind kind, int severity, const PoAlertContext *context)
{
	const Kind *k = &kinds[kind];

	memset(limit, 0, sizeof(*limit));
	limit->enabled = k->threshold[severity] != NEVER;
	limit->below = k->below;
	limit->threshold = k->threshold[severity];
	limit->hysteresis = k->hysteresis;
	limit->for_us = k->for_s[severity] * PO_US_PER_S;
	limit->clear_after_us = k->clear_after_s * PO_US_PER_S;
	if (k->source == SOURCE_SETTINGS)
		limit->threshold = severity == 0 ? context->warning_ratio : context->critical_ratio;
	else if (k->source == SOURCE_TARGET_WAIT)
		limit->threshold *= context->target_wait_ms;
}

/* Takes over what from sets and known does not have; what is known then. */
static uint32_t
inherit(PoAlarmLimit *into, uint32_t known, const PoAlertRule *from)
{
	uint32_t	missing = from->set & ~known;

	if (missing & PO_ALERT_SET_ENABLED)
		into->enabled = from->limit.enabled;
	if (missing & PO_ALERT_SET_THRESHOLD)
		into->threshold = from->limit.threshold;
	if (missing & PO_ALERT_SET_FOR)
		into->for_us = from->limit.for_us;
	if (missing & PO_ALERT_SET_CLEAR_AFTER)
		into->clear_after_us = from->limit.clear_after_us;
	if (missing & PO_ALERT_SET_HYSTERESIS)
		into->hysteresis = from->limit.hysteresis;
	return known | from->set;
}

/* The rule of exactly this name, NULL when there is none. */
static const PoAlertRule *
find_exact(const PoAlertRule *rule, int n, PoAlertKind kind, int severity, const char *tenant)
{
	PoAlertRule key;

	/* What has a * is the name of no rule but patterns. */
	if (n == 0 || po_pattern_is(tenant) || strlen(tenant) >= sizeof(key.tenant))
		return NULL;
	key.kind = kind;
	key.severity = (PoSeverity) (PO_SEVERITY_WARNING + severity);
	strcpy(key.tenant, tenant);
	return bsearch(&key, rule, (size_t) n, sizeof(key), po_alert_rule_compare);
}

void
po_alert_rule_resolve(const PoAlertRules *rules, PoAlertKind kind, const char *tenant,
					  const PoAlertContext *context, PoAlarmLimit limit[PO_N_SEVERITIES])
{
	for (int s = 0; s < PO_N_SEVERITIES; s++)
	{
		const PoAlertRule *rule = rules->rule + rules->first[kind][s];
		int			n_exact = rules->n_exact[kind][s];
		const PoAlertRule *exact = find_exact(rule, n_exact, kind, s, tenant);
		uint32_t	known = 0;

		set_built_in(&limit[s], kind, s, context);
		if (exact != NULL)
			known = inherit(&limit[s], known, exact);
		for (int i = n_exact; i < rules->count[kind][s] && known != PO_ALERT_SET_ALL; i++)
		{
			if (po_pattern_matches(rule[i].tenant, tenant))
				known = inherit(&limit[s], known, &rule[i]);
		}
		/* Whoever gives a threshold to what is not looked at by itself wants it to be. */
		if ((known & PO_ALERT_SET_THRESHOLD) && !(known & PO_ALERT_SET_ENABLED))
			limit[s].enabled = true;
		limit[s].enabled = limit[s].enabled && limit[s].threshold != NEVER;
	}
}
