/*
 * po_policy.c
 *		Policies: what can be set, what contradicts, which one applies.
 *
 * One table says of each field which bit marks it, what its column is called and
 * what it may be.  Policies may come from a damaged file: names are read within
 * their array only, and fields are copied as bytes.
 */
#include "model/po_policy.h"

#include <float.h>
#include <limits.h>
#include <string.h>

#include "model/po_names.h"

#define MAX_COUNT	262143
#define DAY_US		(86400 * PO_US_PER_S)
#define FINITE_US	(100000.0 * YEARS_US / 10)	/* 100,000 years: no infinite timestamp */
#define YEARS_US	(3653 * DAY_US)

typedef enum FieldType
{
	FIELD_UNCHECKED,
	FIELD_COUNT,				/* int32_t */
	FIELD_DURATION,				/* int64_t, us */
	FIELD_NUMBER,				/* double */
	FIELD_WORD					/* an enum */
} FieldType;

typedef struct FieldRule
{
	uint32_t	bit;
	const char *column;
	size_t		offset;
	size_t		size;
	FieldType	type;
	double		lowest;
	double		highest;
	const char *too_low;
	const char *too_high;
} FieldRule;

#define FIELD(member) \
	offsetof(PoPolicyFields, member), sizeof(((PoPolicyFields *) NULL)->member)

#define NEGATIVE		"must not be negative"
#define TOO_MANY		"must not be greater than 262143"
#define OVER_A_DAY		"must not be longer than 1 day"
#define OVER_YEARS		"must not be longer than 10 years"
#define NO_SHARE		"must be between 0 and 1"
#define NO_MODE			"must be off, observe or enforce"
#define NO_ON_FULL		"must be reject, wait or evict_idle"

static const FieldRule field_rules[] = {
	{PO_SET_MAX_CONNECTIONS, "max_connections", FIELD(max_connections), FIELD_COUNT,
	-1, MAX_COUNT, "must be -1 (no limit) or more", TOO_MANY},
	{PO_SET_GUARANTEED, "guaranteed", FIELD(guaranteed), FIELD_COUNT,
	0, MAX_COUNT, NEGATIVE, TOO_MANY},
	{PO_SET_WEIGHT, "weight", FIELD(weight), FIELD_NUMBER,
	DBL_MIN, 1e6, "must be greater than 0", "must not be greater than 1000000"},
	{PO_SET_ON_FULL, "on_full", FIELD(on_full), FIELD_WORD,
	0, PO_ON_FULL_EVICT_IDLE, NO_ON_FULL, NO_ON_FULL},
	{PO_SET_WAIT_TIMEOUT, "wait_timeout", FIELD(wait_timeout_us), FIELD_DURATION,
	0, DAY_US, NEGATIVE, OVER_A_DAY},
	{PO_SET_QUOTA_MODE, "quota_mode", FIELD(quota_mode), FIELD_WORD,
	0, PO_MODE_ENFORCE, NO_MODE, NO_MODE},
	{PO_SET_IDLE, "idle", FIELD(idle_us), FIELD_DURATION,
	0, YEARS_US, NEGATIVE, OVER_YEARS},
	{PO_SET_IDLE_IN_TRANSACTION, "idle_in_transaction", FIELD(idle_in_transaction_us),
	FIELD_DURATION, 0, YEARS_US, NEGATIVE, OVER_YEARS},
	{PO_SET_NEVER_USED, "never_used", FIELD(never_used_us), FIELD_DURATION,
	0, YEARS_US, NEGATIVE, OVER_YEARS},
	{PO_SET_LIFETIME, "lifetime", FIELD(lifetime_us), FIELD_DURATION,
	0, YEARS_US, NEGATIVE, OVER_YEARS},
	{PO_SET_LEAK_PROBABILITY, "leak_probability", FIELD(leak_probability), FIELD_NUMBER,
	0, 1, NO_SHARE, NO_SHARE},
	{PO_SET_TIMEOUTS_MODE, "timeouts_mode", FIELD(timeouts_mode), FIELD_WORD,
	0, PO_MODE_ENFORCE, NO_MODE, NO_MODE},
	{PO_SET_MIN_SIZE, "min_size", FIELD(min_size), FIELD_COUNT,
	0, MAX_COUNT, NEGATIVE, TOO_MANY},
	{PO_SET_MAX_SIZE, "max_size", FIELD(max_size), FIELD_COUNT,
	-1, MAX_COUNT, "must be greater than 0, or -1 for no limit", TOO_MANY},
	{PO_SET_TARGET_WAIT, "target_wait", FIELD(target_wait_us), FIELD_DURATION,
	1, 3600 * PO_US_PER_S, "must be greater than 0", "must not be longer than 1 hour"},
	{PO_SET_SCALE_UP_THRESHOLD, "scale_up_threshold", FIELD(scale_up_threshold),
	FIELD_NUMBER, 0, 1, NO_SHARE, NO_SHARE},
	{PO_SET_SCALE_DOWN_THRESHOLD, "scale_down_threshold", FIELD(scale_down_threshold),
	FIELD_NUMBER, 0, 1, NO_SHARE, NO_SHARE},
	{PO_SET_SCALE_UP_STEP, "scale_up_step", FIELD(scale_up_step), FIELD_COUNT,
	0, MAX_COUNT, NEGATIVE, TOO_MANY},
	{PO_SET_SCALE_DOWN_STEP, "scale_down_step", FIELD(scale_down_step), FIELD_COUNT,
	0, MAX_COUNT, NEGATIVE, TOO_MANY},
	{PO_SET_EVALUATION_INTERVAL, "evaluation_interval", FIELD(evaluation_interval_us),
	FIELD_DURATION, PO_US_PER_S, DAY_US, "must not be shorter than 1 s", OVER_A_DAY},
	{PO_SET_AUTO, "auto", FIELD(auto_apply), FIELD_UNCHECKED, 0, 0, NULL, NULL},
	{PO_SET_DRAIN, "drain_started_at", FIELD(drain_started_us),
	FIELD_DURATION, -FINITE_US, FINITE_US, "must be finite", "must be finite"},
	{PO_SET_DRAIN, "drain_grace", FIELD(drain_grace_us), FIELD_DURATION,
	0, YEARS_US, NEGATIVE, OVER_YEARS},
};

#define N_FIELD_RULES	((int) (sizeof(field_rules) / sizeof(field_rules[0])))

/* In the order of their enums. */
static const char *const mode_names[] = {"off", "observe", "enforce"};
static const char *const on_full_names[] = {"reject", "wait", "evict_idle"};
static const char *const scope_names[] = {
	"tenant", "database", "role", "address", "application", "cluster"
};

#define LENGTH_OF(names)	((int) (sizeof(names) / sizeof((names)[0])))

void
po_policy_defaults(PoPolicyFields *fields)
{
	memset(fields, 0, sizeof(*fields));
	fields->max_connections = PO_UNLIMITED;
	fields->weight = 1;
	fields->on_full = PO_ON_FULL_REJECT;
	fields->wait_timeout_us = 5 * PO_US_PER_S;
	fields->quota_mode = PO_MODE_ENFORCE;
	fields->timeouts_mode = PO_MODE_ENFORCE;
	fields->min_size = 1;
	fields->max_size = PO_UNLIMITED;
	fields->target_wait_us = 10 * PO_US_PER_MS;
	fields->scale_up_threshold = 0.8;
	fields->scale_down_threshold = 0.3;
	fields->evaluation_interval_us = 60 * PO_US_PER_S;
}

void
po_policy_inherit(PoPolicyFields *into, const PoPolicyFields *from)
{
	uint32_t	missing = from->set & ~into->set;

	for (int i = 0; i < N_FIELD_RULES; i++)
	{
		const FieldRule *rule = &field_rules[i];

		if (missing & rule->bit)
		{
			memcpy((char *) into + rule->offset, (const char *) from + rule->offset,
				   rule->size);
			into->set |= rule->bit;
		}
	}
}

static int
compare_ints(int a, int b)
{
	return (a > b) - (a < b);
}

/* A copy that surely ends, also of a name from a damaged file. */
static void
copy_name(char copy[PO_NAME_LEN + 1], const PoPolicy *policy)
{
	memcpy(copy, policy->name, PO_NAME_LEN);
	copy[PO_NAME_LEN] = '\0';
}

/* How specific an address is: a socket, then by length of the prefix, then '*'. */
static int
address_rank(const char *name)
{
	PoCidr		cidr;

	if (!po_cidr_parse(name, &cidr))
		return -1;
	return cidr.family == 0 ? 129 : cidr.bits;
}

int
po_policy_compare(const void *a, const void *b)
{
	const PoPolicy *policy_a = a;
	const PoPolicy *policy_b = b;
	char		name_a[PO_NAME_LEN + 1];
	char		name_b[PO_NAME_LEN + 1];
	int			order = compare_ints((int) policy_a->scope, (int) policy_b->scope);

	if (order != 0)
		return order;
	copy_name(name_a, policy_a);
	copy_name(name_b, policy_b);
	if (policy_a->scope == PO_SCOPE_ADDRESS)
		order = compare_ints(address_rank(name_b), address_rank(name_a));
	else
	{
		order = compare_ints(po_pattern_is(name_a), po_pattern_is(name_b));
		if (order == 0)
			order = compare_ints(po_pattern_literal_length(name_b),
								 po_pattern_literal_length(name_a));
	}
	return order != 0 ? order : strcmp(name_a, name_b);
}

bool
po_policy_fail(PoPolicyError *error, const char *field, const char *problem)
{
	if (error != NULL)
	{
		error->field = field;
		error->problem = problem;
	}
	return false;
}

static bool
check_name(const PoPolicy *policy, PoPolicyError *error)
{
	PoCidr		cidr;

	if (memchr(policy->name, '\0', PO_NAME_LEN) == NULL)
		return po_policy_fail(error, "tenant", "must be shorter than 256 bytes");
	if (policy->name[0] == '\0')
		return po_policy_fail(error, "tenant", "must not be empty");
	if (policy->scope == PO_SCOPE_CLUSTER && strcmp(policy->name, "*") != 0)
		return po_policy_fail(error, "tenant", "must be * in scope cluster");
	if (policy->scope == PO_SCOPE_ADDRESS && strcmp(policy->name, "*") != 0 &&
		!po_cidr_parse(policy->name, &cidr))
		return po_policy_fail(error, "tenant",
							  "must be an address, a CIDR without bits beyond its prefix, "
							  "[local] or * in scope address");
	return true;
}

static double
field_value(const PoPolicyFields *fields, const FieldRule *rule)
{
	const char *from = (const char *) fields + rule->offset;
	int32_t		count;
	int64_t		duration;
	double		number;
	unsigned int word;

	switch (rule->type)
	{
		case FIELD_COUNT:
			memcpy(&count, from, sizeof(count));
			return count;
		case FIELD_DURATION:
			memcpy(&duration, from, sizeof(duration));
			return (double) duration;
		case FIELD_NUMBER:
			memcpy(&number, from, sizeof(number));
			return number;
		case FIELD_WORD:
			memcpy(&word, from, sizeof(word));
			return word;
		case FIELD_UNCHECKED:
			break;
	}
	return 0;
}

/* NaN is outside every range. */
static bool
check_ranges(const PoPolicyFields *fields, PoPolicyError *error)
{
	for (int i = 0; i < N_FIELD_RULES; i++)
	{
		const FieldRule *rule = &field_rules[i];
		double		value = field_value(fields, rule);

		if (!(fields->set & rule->bit) || rule->type == FIELD_UNCHECKED)
			continue;
		if (!(value >= rule->lowest))
			return po_policy_fail(error, rule->column, rule->too_low);
		if (value > rule->highest)
			return po_policy_fail(error, rule->column, rule->too_high);
		if (rule->bit == PO_SET_MAX_SIZE && value == 0)
			return po_policy_fail(error, rule->column, rule->too_low);
	}
	return true;
}

/* Fields against each other, where both are among those known. */
static bool
check_pairs(const PoPolicyFields *fields, uint32_t known, PoPolicyError *error)
{
	uint32_t	quota = PO_SET_GUARANTEED | PO_SET_MAX_CONNECTIONS;
	uint32_t	sizes = PO_SET_MIN_SIZE | PO_SET_MAX_SIZE;
	uint32_t	thresholds = PO_SET_SCALE_UP_THRESHOLD | PO_SET_SCALE_DOWN_THRESHOLD;

	if ((known & quota) == quota && fields->max_connections >= 0 &&
		fields->guaranteed > fields->max_connections)
		return po_policy_fail(error, "guaranteed",
							  "must not be greater than max_connections: "
							  "lower it or raise max_connections");
	if ((known & sizes) == sizes && fields->max_size >= 0 &&
		fields->min_size > fields->max_size)
		return po_policy_fail(error, "min_size",
							  "must not be greater than max_size: lower it or raise max_size");
	if ((known & thresholds) == thresholds &&
		!(fields->scale_down_threshold < fields->scale_up_threshold))
		return po_policy_fail(error, "scale_down_threshold",
							  "must be less than scale_up_threshold: "
							  "lower it or raise scale_up_threshold");
	return true;
}

static bool
check_scope(const PoPolicy *policy, PoPolicyError *error)
{
	uint32_t	wrong = policy->fields.set & ~PO_SET_ANY_SCOPE;

	if ((unsigned int) policy->scope >= PO_N_SCOPES)
		return po_policy_fail(error, "scope",
							  "must be tenant, database, role, address, application or cluster");
	if (policy->scope == PO_SCOPE_TENANT)
		return true;
	for (int i = 0; i < N_FIELD_RULES; i++)
	{
		if (wrong & field_rules[i].bit)
			return po_policy_fail(error, field_rules[i].column, "can be set in scope tenant only");
	}
	return true;
}

bool
po_policy_check(const PoPolicy *policy, PoPolicyError *error)
{
	const PoPolicyFields *fields = &policy->fields;

	if (!check_scope(policy, error) || !check_name(policy, error) ||
		!check_ranges(fields, error))
		return false;
	if ((fields->set & PO_SET_GUARANTEED) && fields->guaranteed > 0 &&
		po_pattern_is(policy->name))
		return po_policy_fail(error, "guaranteed",
							  "can be set for the exact name of a tenant only, not for a pattern");
	return check_pairs(fields, fields->set, error);
}

bool
po_policy_check_resolved(const PoPolicyFields *fields, PoPolicyError *error)
{
	return check_pairs(fields, UINT32_MAX, error);
}

static const char *
name_of(const char *const *names, int n, unsigned int value)
{
	return value < (unsigned int) n ? names[value] : "unknown";
}

/* The position of name, or -1. */
static int
position_of(const char *const *names, int n, const char *name)
{
	for (int i = 0; name != NULL && i < n; i++)
	{
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return -1;
}

const char *
po_mode_name(PoMode mode)
{
	return name_of(mode_names, LENGTH_OF(mode_names), (unsigned int) mode);
}

const char *
po_scope_name(PoScope scope)
{
	return name_of(scope_names, LENGTH_OF(scope_names), (unsigned int) scope);
}

const char *
po_on_full_name(PoOnFull on_full)
{
	return name_of(on_full_names, LENGTH_OF(on_full_names), (unsigned int) on_full);
}

bool
po_mode_parse(const char *name, PoMode *mode)
{
	int			i = position_of(mode_names, LENGTH_OF(mode_names), name);

	if (i >= 0)
		*mode = (PoMode) i;
	return i >= 0;
}

bool
po_scope_parse(const char *name, PoScope *scope)
{
	int			i = position_of(scope_names, LENGTH_OF(scope_names), name);

	if (i >= 0)
		*scope = (PoScope) i;
	return i >= 0;
}

bool
po_on_full_parse(const char *name, PoOnFull *on_full)
{
	int			i = position_of(on_full_names, LENGTH_OF(on_full_names), name);

	if (i >= 0)
		*on_full = (PoOnFull) i;
	return i >= 0;
}
