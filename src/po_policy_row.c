/*
 * po_policy_row.c
 *		Rows of the table pool_policies as policies.
 *
 * The columns are a table here, so that a new one is one line.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "model/po_names.h"
#include "po_compat.h"
#include "po_events.h"
#include "po_policy_row.h"

typedef enum PoKind
{
	KIND_INT,
	KIND_DOUBLE,
	KIND_INTERVAL,
	KIND_BOOL,
	KIND_TIMESTAMP,
	KIND_MODE,
	KIND_ON_FULL
} PoKind;

typedef struct PoColumn
{
	const char *name;
	Oid			type;
	PoKind		kind;
	uint32		set;
	size_t		offset;
} PoColumn;

#define FIELD(f)	offsetof(PoPolicyFields, f)

/* Of a drain that says none: what pool_drain gives by default. */
#define DEFAULT_GRACE_US	(30 * USECS_PER_SEC)

static const PoColumn columns[] = {
	{"max_connections", INT4OID, KIND_INT, PO_SET_MAX_CONNECTIONS, FIELD(max_connections)},
	{"guaranteed", INT4OID, KIND_INT, PO_SET_GUARANTEED, FIELD(guaranteed)},
	{"weight", FLOAT8OID, KIND_DOUBLE, PO_SET_WEIGHT, FIELD(weight)},
	{"on_full", TEXTOID, KIND_ON_FULL, PO_SET_ON_FULL, FIELD(on_full)},
	{"wait_timeout", INTERVALOID, KIND_INTERVAL, PO_SET_WAIT_TIMEOUT, FIELD(wait_timeout_us)},
	{"quota_mode", TEXTOID, KIND_MODE, PO_SET_QUOTA_MODE, FIELD(quota_mode)},
	{"idle", INTERVALOID, KIND_INTERVAL, PO_SET_IDLE, FIELD(idle_us)},
	{"idle_in_transaction", INTERVALOID, KIND_INTERVAL, PO_SET_IDLE_IN_TRANSACTION,
	FIELD(idle_in_transaction_us)},
	{"never_used", INTERVALOID, KIND_INTERVAL, PO_SET_NEVER_USED, FIELD(never_used_us)},
	{"lifetime", INTERVALOID, KIND_INTERVAL, PO_SET_LIFETIME, FIELD(lifetime_us)},
	{"leak_probability", FLOAT8OID, KIND_DOUBLE, PO_SET_LEAK_PROBABILITY,
	FIELD(leak_probability)},
	{"timeouts_mode", TEXTOID, KIND_MODE, PO_SET_TIMEOUTS_MODE, FIELD(timeouts_mode)},
	{"min_size", INT4OID, KIND_INT, PO_SET_MIN_SIZE, FIELD(min_size)},
	{"max_size", INT4OID, KIND_INT, PO_SET_MAX_SIZE, FIELD(max_size)},
	{"target_wait", INTERVALOID, KIND_INTERVAL, PO_SET_TARGET_WAIT, FIELD(target_wait_us)},
	{"scale_up_threshold", FLOAT8OID, KIND_DOUBLE, PO_SET_SCALE_UP_THRESHOLD,
	FIELD(scale_up_threshold)},
	{"scale_down_threshold", FLOAT8OID, KIND_DOUBLE, PO_SET_SCALE_DOWN_THRESHOLD,
	FIELD(scale_down_threshold)},
	{"scale_up_step", INT4OID, KIND_INT, PO_SET_SCALE_UP_STEP, FIELD(scale_up_step)},
	{"scale_down_step", INT4OID, KIND_INT, PO_SET_SCALE_DOWN_STEP, FIELD(scale_down_step)},
	{"evaluation_interval", INTERVALOID, KIND_INTERVAL, PO_SET_EVALUATION_INTERVAL,
	FIELD(evaluation_interval_us)},
	{"auto", BOOLOID, KIND_BOOL, PO_SET_AUTO, FIELD(auto_apply)},
	{"drain_started_at", TIMESTAMPTZOID, KIND_TIMESTAMP, PO_SET_DRAIN, FIELD(drain_started_us)},
	{"drain_grace", INTERVALOID, KIND_INTERVAL, 0, FIELD(drain_grace_us)}
};

int
po_policy_row_attribute(TupleDesc desc, const char *name, Oid type)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);

		if (!a->attisdropped && strcmp(NameStr(a->attname), name) == 0)
			return a->atttypid == type && !po_compat_is_virtual(a) ? i + 1 : 0;
	}
	return 0;
}

void
po_policy_row_fail_missing(const char *column, const char *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of table \"%s\" is missing or of another type", column,
					table)));
}

int64
po_policy_row_interval_us(const Interval *interval)
{
	double		us = (double) interval->time +
		((double) interval->day + 30.0 * interval->month) * USECS_PER_DAY;

	if (us > 1e18)
		return INT64CONST(1000000000000000000);
	if (us < -1e18)
		return -INT64CONST(1000000000000000000);
	return interval->time +
		((int64) interval->day + INT64CONST(30) * interval->month) * USECS_PER_DAY;
}

static bool
store(const PoColumn *column, Datum value, PoPolicyFields *fields, PoPolicyError *error)
{
	char	   *at = (char *) fields + column->offset;

	error->field = column->name;
	switch (column->kind)
	{
		case KIND_INT:
			*(int32_t *) at = DatumGetInt32(value);
			break;
		case KIND_DOUBLE:
			*(double *) at = DatumGetFloat8(value);
			break;
		case KIND_INTERVAL:
			*(int64_t *) at = po_policy_row_interval_us(DatumGetIntervalP(value));
			break;
		case KIND_BOOL:
			*(bool *) at = DatumGetBool(value);
			break;
		case KIND_TIMESTAMP:
			*(int64_t *) at = DatumGetTimestampTz(value);
			break;
		case KIND_MODE:
			error->problem = "must be off, observe or enforce";
			if (!po_mode_parse(TextDatumGetCString(value), (PoMode *) at))
				return false;
			break;
		case KIND_ON_FULL:
			error->problem = "must be reject, wait or evict_idle";
			if (!po_on_full_parse(TextDatumGetCString(value), (PoOnFull *) at))
				return false;
			break;
	}
	fields->set |= column->set;
	return true;
}

char *
po_policy_row_text(HeapTuple tuple, TupleDesc desc, const char *column)
{
	int			attribute = po_policy_row_attribute(desc, column, TEXTOID);
	bool		isnull = true;
	Datum		value = 0;

	if (attribute != 0)
		value = heap_getattr(tuple, attribute, desc, &isnull);
	return isnull ? NULL : TextDatumGetCString(value);
}

/* Reads scope and name, the key; the name first, for messages to show it. */
static bool
read_key(HeapTuple tuple, TupleDesc desc, PoPolicy *policy, PoPolicyError *error)
{
	char	   *name = po_policy_row_text(tuple, desc, "tenant");
	char	   *scope = po_policy_row_text(tuple, desc, "scope");

	error->field = "tenant";
	error->problem = "must not be null";
	if (name == NULL)
		return false;
	po_name_copy(policy->name, name, sizeof(policy->name));
	error->field = "scope";
	error->problem = "must be tenant, database, role, address, application or cluster";
	if (scope == NULL || !po_scope_parse(scope, &policy->scope))
		return false;
	error->field = "tenant";
	error->problem = "must be shorter than 256 bytes";
	return strlen(name) < PO_NAME_LEN;
}

static void
canonical_address(PoPolicy *policy)
{
	PoCidr		cidr;
	char		text[PO_PART_LEN];

	if (!po_cidr_parse(policy->name, &cidr))
		return;
	po_cidr_print(&cidr, text, sizeof(text));
	/* The rest of the name must be zero: sets of policies are compared as bytes. */
	memset(policy->name, 0, sizeof(policy->name));
	strlcpy(policy->name, text, sizeof(policy->name));
}

bool
po_policy_row_read(HeapTuple tuple, TupleDesc desc, PoPolicy *policy, PoPolicyError *error)
{
	memset(policy, 0, sizeof(*policy));
	if (!read_key(tuple, desc, policy, error))
		return false;
	/* None would end everybody at once. */
	policy->fields.drain_grace_us = DEFAULT_GRACE_US;
	for (int i = 0; i < lengthof(columns); i++)
	{
		int			attribute = po_policy_row_attribute(desc, columns[i].name, columns[i].type);
		bool		isnull = true;
		Datum		value = 0;

		if (attribute != 0)
			value = heap_getattr(tuple, attribute, desc, &isnull);
		if (!isnull && !store(&columns[i], value, &policy->fields, error))
			return false;
	}
	if (!po_policy_check(policy, error))
		return false;
	if (policy->scope == PO_SCOPE_ADDRESS)
		canonical_address(policy);
	return true;
}

/* A column gone would look like policies gone, and quotas would not hold any more. */
static void
check_columns(TupleDesc desc)
{
	static const char *const keys[] = {"scope", "tenant"};
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
		po_policy_row_fail_missing(missing, PO_POLICY_TABLE);
}

/* Which policy is bad, and why; of a long name the beginning, for that to fit. */
static void
describe_bad(const PoPolicy *policy, const PoPolicyError *error, char *problem, Size size)
{
	snprintf(problem, size, "policy of %s \"%.*s\": \"%s\" %s", po_scope_name(policy->scope),
			 pg_mbcliplen(policy->name, (int) strlen(policy->name), PO_PART_LEN - 1),
			 policy->name, error->field, error->problem);
}

int
po_policy_row_read_all(Relation table, Snapshot snapshot, PoPolicy *policies, int max,
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
		PoPolicy	policy;

		CHECK_FOR_INTERRUPTS();
		if (!po_policy_row_read(tuple, desc, &policy, &error))
		{
			if ((*n_bad)++ == 0)
				describe_bad(&policy, &error, problem, size);
		}
		else if (n < max)
			policies[n++] = policy;
		else if ((*n_bad)++ == 0)
			snprintf(problem, size, "more than %d policies: raise pool_optimizer.max_tenants",
					 max);
	}
	table_endscan(scan);
	return n;
}

bool
po_policy_row_is_field(const char *column)
{
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (strcmp(columns[i].name, column) == 0)
			return true;
	}
	return false;
}

bool
po_policy_row_is_ours(Oid relid)
{
	Oid			extension = get_extension_oid("pool_optimizer", true);

	/* Where there is no such extension, what is of none is not of ours. */
	return OidIsValid(extension) &&
		getExtensionOfObject(RelationRelationId, relid) == extension;
}

void
po_policy_row_tell_published(const PoPublished *published)
{
	char		reason[PO_REASON_LEN];
	PoTold		told = {.kind = PO_EVENT_POLICY, .reason = reason};

	if (!published->changed)
		return;
	snprintf(reason, sizeof(reason), "%d %s in force (generation %u)",
			 published->n_policies, published->n_policies == 1 ? "policy is" : "policies are",
			 published->generation);
	po_events_tell(&told);
	if (published->guarantee_scale >= 1.0)
		return;
	snprintf(reason, sizeof(reason), "the guarantees together exceed the usable connections "
			 "less max_waiting: all are scaled down to %.0f %%",
			 published->guarantee_scale * 100);
	told.kind = PO_EVENT_ALERT;
	po_events_tell(&told);
}
