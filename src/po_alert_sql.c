/*
 * po_alert_sql.c
 *		Changing the rules of alerts by SQL: the setters, and the table's triggers.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "model/po_names.h"
#include "po_alert_row.h"
#include "po_change.h"
#include "po_setter.h"
#include "po_shmem.h"

PG_FUNCTION_INFO_V1(pool_set_alert_1_0);
PG_FUNCTION_INFO_V1(pool_drop_alert_1_0);
PG_FUNCTION_INFO_V1(pool_alert_rules_check_1_0);
PG_FUNCTION_INFO_V1(pool_alert_rules_changed_1_0);

#define RULES	"alert rules"	/* in messages */

/* ---------- setters ---------- */

static const PoSetter rule_setter = {
	PO_ALERT_RULE_TABLE, 3, 8,
	{"alert", "severity", "tenant", "threshold", "for_duration", "clear_after", "hysteresis",
	"enabled"},
	{TEXTOID, TEXTOID, TEXTOID, FLOAT8OID, INTERVALOID, INTERVALOID, FLOAT8OID, BOOLOID},
	{0, 1, 2, 3, 4, 5, 6, 7}
};

/* The first three arguments of both functions, checked. */
static void
read_keys(FunctionCallInfo fcinfo, const char *keys[3])
{
	PoAlertKind kind;
	PoSeverity	severity;
	char	   *tenant;

	keys[0] = po_setter_text(fcinfo, 0, "alert");
	keys[1] = po_setter_text(fcinfo, 1, "severity");
	keys[2] = tenant = po_setter_text(fcinfo, 2, "tenant");
	if (!po_alert_parse(keys[0], &kind))
	{
		char		names[512];

		po_alert_names(names, sizeof(names));
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"alert\" is not known: \"%s\"", keys[0]),
				 errhint("It must be one of %s.", names)));
	}
	if (!po_severity_parse(keys[1], &severity))
		po_setter_bad_argument("severity", "must be warning or critical");
	if (strlen(tenant) >= PO_NAME_LEN)
		po_setter_bad_argument("tenant", "must be shorter than 256 bytes");
	keys[2] = palloc(PO_NAME_LEN);
	po_name_copy((char *) keys[2], tenant, PO_NAME_LEN);
}

Datum
pool_set_alert_1_0(PG_FUNCTION_ARGS)
{
	const char *keys[3];

	read_keys(fcinfo, keys);
	return po_setter_run(fcinfo, &rule_setter,
						 po_setter_begin(fcinfo, PO_ALERT_RULE_TABLE, RULES), keys);
}

Datum
pool_drop_alert_1_0(PG_FUNCTION_ARGS)
{
	const char *keys[3];
	char	   *field = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	bool		if_exists = !PG_ARGISNULL(4) && PG_GETARG_BOOL(4);
	char	   *table;

	read_keys(fcinfo, keys);
	if (field != NULL && !po_alert_row_is_field(field))
		po_setter_bad_argument("field", psprintf("must be a column of %s, not \"%s\"",
												 PO_ALERT_RULE_TABLE, field));
	table = po_setter_begin(fcinfo, PO_ALERT_RULE_TABLE, RULES);
	if (!po_setter_exists(fcinfo, &rule_setter, table, keys))
	{
		ereport(if_exists ? NOTICE : ERROR,
				(errcode(if_exists ? ERRCODE_SUCCESSFUL_COMPLETION : ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no rule of alert %s, severity %s, for tenant \"%s\"%s",
						keys[0], keys[1], keys[2], if_exists ? ", skipping" : "")));
		PG_RETURN_NULL();
	}
	if (field == NULL)
		return po_setter_delete(fcinfo, &rule_setter, table, keys);
	return po_setter_clear(fcinfo, &rule_setter, table,
						   psprintf("%s = NULL", quote_identifier(field)), keys);
}

/* ---------- triggers ---------- */

/* BEFORE each row: is it sound by itself? */
Datum
pool_alert_rules_check_1_0(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = po_setter_row_trigger(fcinfo);
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
		trigger->tg_newtuple : trigger->tg_trigtuple;
	PoAlertRule rule;
	PoPolicyError error;
	bool		sound = po_alert_row_read(row, RelationGetDescr(trigger->tg_relation), &rule,
										  &error);

	/* Elsewhere it is not in force: it may go, and that is no change of what is. */
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) && !po_setter_is_database())
		return PointerGetDatum(row);
	/* Not where it was only created, as by pg_restore before the restart. */
	if (po_shared != NULL)
		po_setter_require_database(RULES);
	if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event) && !sound)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("alert rule of tenant \"%s\": \"%s\" %s", rule.tenant, error.field,
						error.problem)));
	if (sound)
		po_change_note(strcmp(rule.tenant, "*") == 0 ? "" : rule.tenant,
					   psprintf("rule of alert %s, severity %s, for tenant \"%s\"",
								po_alert_name(rule.kind), po_severity_name(rule.severity),
								rule.tenant), TRIGGER_FIRED_BY_DELETE(trigger->tg_event));
	return PointerGetDatum(row);
}

/* AFTER each statement: are they too many, and has the keeper read them at COMMIT. */
Datum
pool_alert_rules_changed_1_0(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = po_setter_statement_trigger(fcinfo);
	PoAlertRule *rules;
	int			n;
	int			n_bad;
	char		problem[PO_ERROR_LEN] = "";

	if (po_shared == NULL)
		return PointerGetDatum(NULL);
	/* As in pool_policies_changed. */
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		po_setter_require_database(RULES);
	if (!po_setter_is_database())
		return PointerGetDatum(NULL);
	po_change_read_tables();
	rules = palloc_extended(po_shared->n_alert_rules * sizeof(PoAlertRule), MCXT_ALLOC_HUGE);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	n = po_alert_row_read_all(trigger->tg_relation, GetActiveSnapshot(), rules,
							  po_shared->n_alert_rules, &n_bad, problem, sizeof(problem));
	PopActiveSnapshot();
	pfree(rules);
	if (n_bad > 0 && n >= po_shared->n_alert_rules)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many alert rules"),
				 errdetail("There is room for %d.", po_shared->n_alert_rules),
				 errhint("Raise pool_optimizer.max_tenants (needs a restart), or use "
						 "patterns.")));
	return PointerGetDatum(NULL);
}
