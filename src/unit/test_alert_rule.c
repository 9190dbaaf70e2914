/*
 * test_alert_rule.c
 *		Rules of alerts: what is sound, and which one holds for a tenant.
 */
#include "model/po_alert_rule.h"

#include <stdlib.h>

#include "model/po_names.h"

#include "check.h"

static const PoAlertContext context = {0.8, 0.9, 10};

static PoAlertRule
rule_of(PoAlertKind kind, PoSeverity severity, const char *tenant, double threshold)
{
	PoAlertRule r;

	memset(&r, 0, sizeof(r));
	r.kind = kind;
	r.severity = severity;
	snprintf(r.tenant, sizeof(r.tenant), "%s", tenant);
	if (threshold >= 0)
	{
		r.set = PO_ALERT_SET_THRESHOLD;
		r.limit.threshold = threshold;
	}
	return r;
}

static void
test_names(void)
{
	char		names[1024];
	PoAlertKind kind;
	PoSeverity	severity;

	po_alert_names(names, sizeof(names));
	for (int i = 0; i < PO_N_ALERTS; i++)
	{
		CHECK(po_alert_parse(po_alert_name((PoAlertKind) i), &kind) && (int) kind == i);
		CHECK(strstr(names, po_alert_name((PoAlertKind) i)) != NULL);
	}
	CHECK(!po_alert_parse("", &kind) && !po_alert_parse(NULL, &kind) &&
		  !po_alert_parse("unknown", &kind));
	CHECK_TEXT(po_alert_name((PoAlertKind) PO_N_ALERTS), "unknown");
	CHECK_TEXT(po_alert_name((PoAlertKind) -1), "unknown");
	CHECK(po_severity_parse("warning", &severity) && severity == PO_SEVERITY_WARNING);
	CHECK(po_severity_parse("critical", &severity) && severity == PO_SEVERITY_CRITICAL);
	CHECK(!po_severity_parse("none", &severity) && !po_severity_parse(NULL, &severity));
	CHECK_TEXT(po_severity_name((PoSeverity) 7), "unknown");
	po_alert_names(names, 10);
	CHECK_TEXT(names, "cluster_u");
}

/* One about each finding that can be more than noted, called as it is. */
static void
test_findings(void)
{
	bool		seen[PO_N_ALERTS] = {false};

	for (int i = -1; i <= PO_N_FINDINGS; i++)
	{
		PoAlertKind kind = PO_ALERT_ANOMALY;

		if (!po_alert_of_finding((PoFindingKind) i, &kind))
		{
			CHECK(i < 0 || i == PO_N_FINDINGS || i == PO_FINDING_READ_ONLY ||
				  i == PO_FINDING_SESSION_STATE);
			continue;
		}
		CHECK(kind >= PO_FIRST_FINDING_ALERT && kind < PO_N_ALERTS && !seen[kind]);
		CHECK_TEXT(po_alert_name(kind), po_finding_name((PoFindingKind) i));
		seen[kind] = true;
	}
	for (int i = PO_FIRST_FINDING_ALERT; i < PO_N_ALERTS; i++)
		CHECK(seen[i]);
}

static void
check_refused(const PoAlertRule *rule, const char *field)
{
	PoPolicyError error = {"", ""};

	CHECK(!po_alert_rule_check(rule, &error));
	CHECK_TEXT(error.field, field);
	CHECK(!po_alert_rule_check(rule, NULL));
}

static void
test_check(void)
{
	PoAlertRule r = rule_of(PO_ALERT_REFUSALS, PO_SEVERITY_WARNING, "a@*", 5);
	PoPolicyError error;

	CHECK(po_alert_rule_check(&r, &error));
	r.limit.threshold = -1;
	check_refused(&r, "threshold");
	r.limit.threshold = NAN;
	check_refused(&r, "threshold");
	r.limit.threshold = INFINITY;
	check_refused(&r, "threshold");
	r = rule_of(PO_ALERT_TENANT_UTILIZATION, PO_SEVERITY_WARNING, "a", 1.01);
	check_refused(&r, "threshold");
	r.limit.threshold = 1;
	CHECK(po_alert_rule_check(&r, &error));
	r.severity = PO_SEVERITY_NONE;
	check_refused(&r, "severity");
	r = rule_of((PoAlertKind) PO_N_ALERTS, PO_SEVERITY_WARNING, "*", 1);
	check_refused(&r, "alert");
	r = rule_of(PO_ALERT_REFUSALS, PO_SEVERITY_WARNING, "", 1);
	check_refused(&r, "tenant");
	r = rule_of(PO_ALERT_CLUSTER_UTILIZATION, PO_SEVERITY_WARNING, "a", 1);
	check_refused(&r, "tenant");
	r = rule_of(PO_ALERT_REFUSALS, PO_SEVERITY_WARNING, "a", 1);
	memset(r.tenant, 'x', sizeof(r.tenant));
	check_refused(&r, "tenant");
	r = rule_of(PO_ALERT_REFUSALS, PO_SEVERITY_WARNING, "a", -1);
	r.set = PO_ALERT_SET_FOR;
	r.limit.for_us = -1;
	check_refused(&r, "for_duration");
	r.limit.for_us = INT64_MAX;
	check_refused(&r, "for_duration");
	r.set = PO_ALERT_SET_CLEAR_AFTER;
	r.limit.clear_after_us = -1;
	check_refused(&r, "clear_after");
	r.set = PO_ALERT_SET_HYSTERESIS;
	r.limit.hysteresis = 1.1;
	check_refused(&r, "hysteresis");
	r.limit.hysteresis = NAN;
	check_refused(&r, "hysteresis");
}

static void
test_built_in(void)
{
	PoAlertRules none;
	PoAlarmLimit limit[PO_N_SEVERITIES];

	po_alert_rule_index(&none, NULL, 0);
	po_alert_rule_resolve(&none, PO_ALERT_TENANT_UTILIZATION, "a", &context, limit);
	CHECK(limit[0].enabled && limit[1].enabled && !limit[0].below);
	CHECK_NEAR(limit[0].threshold, 0.8, 0);
	CHECK_NEAR(limit[1].threshold, 0.9, 0);
	po_alert_rule_resolve(&none, PO_ALERT_WAITS, "a", &context, limit);
	CHECK_NEAR(limit[0].threshold, 10, 0);
	CHECK_NEAR(limit[1].threshold, 100, 0);
	for (int i = 0; i < PO_N_ALERTS; i++)
	{
		po_alert_rule_resolve(&none, (PoAlertKind) i, "a", &context, limit);
		CHECK(limit[0].enabled || limit[1].enabled);
		for (int s = 0; s < PO_N_SEVERITIES; s++)
			CHECK(!limit[s].enabled || (limit[s].threshold >= 0 && limit[s].for_us >= 0 &&
										limit[s].clear_after_us >= 0));
	}
}

/* Field by field, the most specific that sets it. */
static void
test_resolve(void)
{
	PoAlertRule rule[5];
	PoAlertRules rules;
	PoAlarmLimit limit[PO_N_SEVERITIES];

	rule[0] = rule_of(PO_ALERT_REFUSALS, PO_SEVERITY_WARNING, "*", 100);
	rule[0].set |= PO_ALERT_SET_FOR;
	rule[0].limit.for_us = 7;
	rule[1] = rule_of(PO_ALERT_REFUSALS, PO_SEVERITY_WARNING, "acme@*", 50);
	rule[1].set |= PO_ALERT_SET_HYSTERESIS;
	rule[1].limit.hysteresis = 0.25;
	rule[2] = rule_of(PO_ALERT_REFUSALS, PO_SEVERITY_WARNING, "acme@db", -1);
	rule[2].set = PO_ALERT_SET_ENABLED;
	rule[3] = rule_of(PO_ALERT_REFUSALS, PO_SEVERITY_CRITICAL, "acme@db", 9);
	rule[4] = rule_of(PO_ALERT_CLUSTER_UTILIZATION, PO_SEVERITY_WARNING, "*", 0.5);
	qsort(rule, 5, sizeof(rule[0]), po_alert_rule_compare);
	po_alert_rule_index(&rules, rule, 5);

	po_alert_rule_resolve(&rules, PO_ALERT_REFUSALS, "other@db", &context, limit);
	CHECK_NEAR(limit[0].threshold, 100, 0);
	CHECK_INT(limit[0].for_us, 7);
	CHECK_NEAR(limit[1].threshold, 30, 0);
	po_alert_rule_resolve(&rules, PO_ALERT_REFUSALS, "acme@x", &context, limit);
	CHECK_NEAR(limit[0].threshold, 50, 0);
	CHECK_NEAR(limit[0].hysteresis, 0.25, 0);
	CHECK_INT(limit[0].for_us, 7);
	CHECK(limit[0].enabled);
	po_alert_rule_resolve(&rules, PO_ALERT_REFUSALS, "acme@db", &context, limit);
	CHECK(!limit[0].enabled);
	CHECK(limit[1].enabled);
	CHECK_NEAR(limit[1].threshold, 9, 0);
	po_alert_rule_resolve(&rules, PO_ALERT_CLUSTER_UTILIZATION, "*", &context, limit);
	CHECK_NEAR(limit[0].threshold, 0.5, 0);
	CHECK_NEAR(limit[1].threshold, 0.9, 0);
	po_alert_rule_resolve(&rules, PO_ALERT_WAITS, "acme@db", &context, limit);
	CHECK_NEAR(limit[0].threshold, 10, 0);
}

/* Against a plain search for the most specific rule that sets the field. */
static void
test_resolve_property(void)
{
	static const char *const names[] = {"*", "a*", "*b", "a*b", "ab", "a", "b", "aab"};

	for (int round = 0; round < 3000; round++)
	{
		PoAlertRule rule[8];
		PoAlertRules rules;
		PoAlarmLimit limit[PO_N_SEVERITIES];
		const char *tenant = names[4 + random_below(4)];
		int			n = random_below(9);
		double		expected = 30;
		int			best = -1;

		for (int i = 0; i < n; i++)
			rule[i] = rule_of(PO_ALERT_REFUSALS, PO_SEVERITY_CRITICAL, names[i],
							  random_below(3) ? i + 100 : -1);
		qsort(rule, n, sizeof(rule[0]), po_alert_rule_compare);
		po_alert_rule_index(&rules, rule, n);
		po_alert_rule_resolve(&rules, PO_ALERT_REFUSALS, tenant, &context, limit);
		for (int i = 0; i < n; i++)
		{
			bool		pattern = po_pattern_is(rule[i].tenant);
			int			rank = pattern ? po_pattern_literal_length(rule[i].tenant) : 1000;

			if (!(rule[i].set & PO_ALERT_SET_THRESHOLD) || rank <= best ||
				!(pattern ? po_pattern_matches(rule[i].tenant, tenant) :
				  strcmp(rule[i].tenant, tenant) == 0))
				continue;
			best = rank;
			expected = rule[i].limit.threshold;
		}
		CHECK_NEAR(limit[1].threshold, expected, 0);
		CHECK_INT(rules.n, n);
	}
}

int
main(void)
{
	test_names();
	test_findings();
	test_check();
	test_built_in();
	test_resolve();
	test_resolve_property();
	return check_end("test_alert_rule");
}
