/*
 * po_admission.h
 *		Whether one more session may come in: arithmetic only.
 *
 * Whoever calls holds the counters still; taking them is the caller's part.
 */
#ifndef PO_ADMISSION_H
#define PO_ADMISSION_H

#include "model/po_types.h"

/* The rules, in the order they are checked and told. */
typedef enum PoRule
{
	PO_RULE_DRAIN,				/* the tenant is being drained */
	PO_RULE_TENANT,				/* a quota, by scope */
	PO_RULE_DATABASE,
	PO_RULE_ROLE,
	PO_RULE_ADDRESS,
	PO_RULE_APPLICATION,
	PO_RULE_CLUSTER,
	PO_RULE_BURST				/* room beyond the unused guarantees of others */
} PoRule;

#define PO_N_RULES		8

static inline PoRule
po_rule_of_scope(PoScope scope)
{
	return (PoRule) (PO_RULE_TENANT + (int) scope);
}

typedef enum PoOutcome
{
	PO_OUTCOME_ADMIT,
	PO_OUTCOME_WOULD_REJECT,	/* observe: let in and counted */
	PO_OUTCOME_EVICT_IDLE,		/* queue, and have an idle session ended */
	PO_OUTCOME_WAIT,			/* queue */
	PO_OUTCOME_REJECT
} PoOutcome;

typedef struct PoQuota
{
	int			used;			/* sessions admitted, without the one that asks */
	int			max_connections;	/* PO_UNLIMITED = no quota */
	PoMode		mode;
	PoOnFull	on_full;
	int64_t		wait_timeout_us;
} PoQuota;

typedef struct PoAdmissionInput
{
	PoQuota		quota[PO_N_SCOPES];
	bool		draining;
	int			guaranteed;		/* of the tenant */
	bool		any_guarantee;	/* of anyone; else the burst rule is not checked */
	/*
	 * Slots that clients may use, without those taken by admitted, exempt and
	 * queued sessions and without the unused guarantees of other tenants: those
	 * in enforce mode, and those in observe or enforce.  May be negative.
	 */
	int			room_enforced;
	int			room_observed;
} PoAdmissionInput;

typedef struct PoRuleResult
{
	bool		checked;		/* is there such a rule for this session? */
	bool		passes;
	int			used;
	int			limit;
	PoMode		mode;
	PoOutcome	outcome;		/* PO_OUTCOME_ADMIT if it passes */
	int64_t		wait_timeout_us;
} PoRuleResult;

typedef struct PoAdmission
{
	PoOutcome	outcome;		/* the worst of all rules */
	PoRule		rule;			/* the first rule with that outcome */
	int64_t		wait_timeout_us;	/* the shortest among rules that queue */
	PoRuleResult result[PO_N_RULES];
} PoAdmission;

extern void po_admission_decide(const PoAdmissionInput *in, PoAdmission *out);

/*
 * What one tenant's guarantee keeps free: guaranteed - used, not below 0.
 */
extern int	po_admission_unused(int guaranteed, int used);

extern const char *po_outcome_name(PoOutcome outcome);	/* admit, would_reject, ... */

#endif							/* PO_ADMISSION_H */
