/*
 * po_alert_row.c
 *		Rows of the table pool_alert_rules as rules.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "model/po_names.h"
#include "po_alert_row.h"
#include "po_compat.h"
#include "po_policy_row.h"

typedef struct Column
{
	const char *name;
	Oid			type;
	uint32		set;
	size_t		offset;
} Column;

#define FIELD(f)	offsetof(PoAlarmLimit, f)

static const Column columns[] = {
	{"threshold", FLOAT8OID, PO_ALERT_SET_THRESHOLD, FIELD(threshold)},
	{"for_duration", INTERVALOID, PO_ALERT_SET_FOR, FIELD(for_us)},
	{"clear_after", INTERVALOID, PO_ALERT_SET_CLEAR_AFTER, FIELD(clear_after_us)},
	{"hysteresis", FLOAT8OID, PO_ALERT_SET_HYSTERESIS, FIELD(hysteresis)},
	{"enabled", BOOLOID, PO_ALERT_SET_ENABLED, FIELD(enabled)}
};

static const char *const keys[] = {"alert", "tenant", "severity"};

static bool
fail(PoPolicyError *error, const char *field, const char *problem)
{
	error->field = field;
	error->problem = problem;
	return false;
}

/* The tenant first, for messages to show it. */
static bool
read_key(HeapTuple tuple, TupleDesc desc, PoAlertRule *rule, PoPolicyError *error)
{
	char	   *tenant = po_policy_row_text(tuple, desc, "tenant");
	char	   *alert = po_policy_row_text(tuple, desc, "alert");
	char	   *severity = po_policy_row_text(tuple, desc, "severity");

	if (tenant == NULL)
		return fail(error, "tenant", "must not be null");
	po_name_copy(rule->tenant, tenant, sizeof(rule->tenant));
	if (strlen(tenant) >= PO_NAME_LEN)
		return fail(error, "tenant", "must be shorter than 256 bytes");
	if (alert == NULL || !po_alert_parse(alert, &rule->kind))
		return fail(error, "alert", "is not known");
	if (severity == NULL || !po_severity_parse(severity, &rule->severity))
		return fail(error, "severity", "must be warning or critical");
	return true;
}

static void
store(const Column *column, Datum value, PoAlarmLimit *limit)
{
	char	   *at = (char *) limit + column->offset;

	switch (column->type)
	{
		case FLOAT8OID:
			*(double *) at = DatumGetFloat8(value);
			break;
		case INTERVALOID:
			*(int64_t *) at = po_policy_row_interval_us(DatumGetIntervalP(value));
			break;
		case BOOLOID:
			*(bool *) at = DatumGetBool(value);
			break;
	}
}

bool
po_alert_row_read(HeapTuple tuple, TupleDesc desc, PoAlertRule *rule, PoPolicyError *error)
{
	/* Zeros between the fields, too: sets of rules are compared as bytes. */
	memset(rule, 0, sizeof(*rule));
	if (!read_key(tuple, desc, rule, error))
		return false;
	for (int i = 0; i < lengthof(columns); i++)
	{
		int			attribute = po_policy_row_attribute(desc, columns[i].name,
														columns[i].type);
		bool		isnull = true;
		Datum		value = 0;

		if (attribute != 0)
			value = heap_getattr(tuple, attribute, desc, &isnull);
		if (isnull)
			continue;
		store(&columns[i], value, &rule->limit);
		rule->set |= columns[i].set;
	}
	return po_alert_rule_check(rule, error);
}

/* A column gone would look like rules gone. */
static void
check_columns(TupleDesc desc)
{
	const char *missing = NULL;

	for (int i = 0; i < lengthof(keys); i++)
	{
		if (po_policy_row_attribute(desc, keys[i], TEXTOID) == 0)
			missing = keys[i];
	}
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (po_policy_row_attribute(desc, columns[i].name, columns[i].type) == 0)
			missing = columns[i].name;
	}
	if (missing != NULL)
		po_policy_row_fail_missing(missing, PO_ALERT_RULE_TABLE);
}

int
po_alert_row_read_all(Relation table, Snapshot snapshot, PoAlertRule *rules, int max,
					  int *n_bad, char *problem, Size size)
{
	TupleDesc	desc = RelationGetDescr(table);
	TableScanDesc scan;
	HeapTuple	tuple;
	int			n = 0;

	check_columns(desc);
	scan = po_compat_beginscan(table, snapshot);
	*n_bad = 0;
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		PoPolicyError error;
		PoAlertRule rule;

		CHECK_FOR_INTERRUPTS();
		if (!po_alert_row_read(tuple, desc, &rule, &error))
		{
			if ((*n_bad)++ == 0)
				snprintf(problem, size, "alert rule of tenant \"%.*s\": \"%s\" %s",
						 pg_mbcliplen(rule.tenant, (int) strlen(rule.tenant),
									  PO_PART_LEN - 1),
						 rule.tenant, error.field, error.problem);
		}
		else if (n < max)
			rules[n++] = rule;
		else if ((*n_bad)++ == 0)
			snprintf(problem, size, "more than %d alert rules: raise "
					 "pool_optimizer.max_tenants", max);
	}
	table_endscan(scan);
	return n;
}

bool
po_alert_row_is_field(const char *column)
{
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (strcmp(columns[i].name, column) == 0)
			return true;
	}
	return false;
}
