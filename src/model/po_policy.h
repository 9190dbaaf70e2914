/*
 * po_policy.h
 *		Policies: what can be set, what contradicts, which one applies.
 */
#ifndef PO_POLICY_H
#define PO_POLICY_H

#include "model/po_types.h"

/* A bit for each field; what is not set is inherited from a wider pattern. */
#define PO_SET_MAX_CONNECTIONS		(1u << 0)
#define PO_SET_GUARANTEED			(1u << 1)
#define PO_SET_WEIGHT				(1u << 2)
#define PO_SET_ON_FULL				(1u << 3)
#define PO_SET_WAIT_TIMEOUT			(1u << 4)
#define PO_SET_QUOTA_MODE			(1u << 5)
#define PO_SET_IDLE					(1u << 6)
#define PO_SET_IDLE_IN_TRANSACTION	(1u << 7)
#define PO_SET_NEVER_USED			(1u << 8)
#define PO_SET_LIFETIME				(1u << 9)
#define PO_SET_LEAK_PROBABILITY		(1u << 10)
#define PO_SET_TIMEOUTS_MODE		(1u << 11)
#define PO_SET_MIN_SIZE				(1u << 12)
#define PO_SET_MAX_SIZE				(1u << 13)
#define PO_SET_TARGET_WAIT			(1u << 14)
#define PO_SET_SCALE_UP_THRESHOLD	(1u << 15)
#define PO_SET_SCALE_DOWN_THRESHOLD	(1u << 16)
#define PO_SET_SCALE_UP_STEP		(1u << 17)
#define PO_SET_SCALE_DOWN_STEP		(1u << 18)
#define PO_SET_EVALUATION_INTERVAL	(1u << 19)
#define PO_SET_AUTO					(1u << 20)
#define PO_SET_DRAIN				(1u << 21)

/* Those that a scope other than tenant can set. */
#define PO_SET_ANY_SCOPE \
	(PO_SET_MAX_CONNECTIONS | PO_SET_ON_FULL | PO_SET_WAIT_TIMEOUT | PO_SET_QUOTA_MODE)

typedef struct PoPolicyFields
{
	uint32_t	set;
	int32_t		max_connections;	/* PO_UNLIMITED, 0 = refuse all */
	int32_t		guaranteed;
	double		weight;				/* > 0 */
	PoOnFull	on_full;
	int64_t		wait_timeout_us;
	PoMode		quota_mode;
	int64_t		idle_us;			/* of this and the next three, 0 = rule off */
	int64_t		idle_in_transaction_us;
	int64_t		never_used_us;
	int64_t		lifetime_us;
	double		leak_probability;	/* 0..1, 0 = rule off */
	PoMode		timeouts_mode;
	int32_t		min_size;
	int32_t		max_size;
	int64_t		target_wait_us;
	double		scale_up_threshold; /* 0..1, busy share of the pool */
	double		scale_down_threshold;
	int32_t		scale_up_step;		/* 0 = at once */
	int32_t		scale_down_step;
	int64_t		evaluation_interval_us;
	bool		auto_apply;
	int64_t		drain_started_us;	/* PostgreSQL timestamp */
	int64_t		drain_grace_us;
} PoPolicyFields;

typedef struct PoPolicy
{
	PoScope		scope;
	char		name[PO_NAME_LEN];	/* exact, a pattern, or a CIDR */
	PoPolicyFields fields;
} PoPolicy;

/* What holds where no policy sets a field (its set is 0). */
extern void po_policy_defaults(PoPolicyFields *fields);

/*
 * Takes over what from sets and into does not.  Start with po_policy_defaults, then
 * call it from the most specific policy to the widest.
 */
extern void po_policy_inherit(PoPolicyFields *into, const PoPolicyFields *from);

/*
 * Orders by scope, then exact before pattern, then the longer literal part, then
 * the name; for addresses the longer prefix first.  For qsort.
 */
extern int	po_policy_compare(const void *a, const void *b);

typedef struct PoPolicyError
{
	const char *field;			/* the column at fault */
	const char *problem;		/* a sentence fragment: "must not be negative" */
} PoPolicyError;

/* Tells what is wrong (error may be NULL), and is false, so that a check can return it. */
extern bool po_policy_fail(PoPolicyError *error, const char *field, const char *problem);

/*
 * Is one policy sound by itself?  Checks every set field's range, what the scope
 * may set, the name, min_size <= max_size, guaranteed <= max_connections,
 * thresholds' order.  False with the first problem.
 */
extern bool po_policy_check(const PoPolicy *policy, PoPolicyError *error);

/* Names as in SQL; the parse functions return false for any other word. */
extern const char *po_mode_name(PoMode mode);
extern const char *po_scope_name(PoScope scope);
extern const char *po_on_full_name(PoOnFull on_full);
extern bool po_mode_parse(const char *name, PoMode *mode);
extern bool po_scope_parse(const char *name, PoScope *scope);
extern bool po_on_full_parse(const char *name, PoOnFull *on_full);

/* Two fields that contradict across an inherited policy, e.g. guaranteed of the
 * exact name above max_connections of a pattern. */
extern bool po_policy_check_resolved(const PoPolicyFields *fields, PoPolicyError *error);

#endif							/* PO_POLICY_H */
