/*
 * po_judge.h
 *		What a session is and whether it may be ended: the same answer for the
 *		sampler, for pool_stats_session and for pool_terminate_leaked.
 */
#ifndef PO_JUDGE_H
#define PO_JUDGE_H

#include "model/po_leak.h"
#include "po_sample.h"
#include "po_shmem.h"

typedef struct PoJudgement
{
	PoFinding	finding;
	double		leak_probability;
	PoMode		mode;			/* in force for timeouts */
	PoSessionFacts facts;
	uint64		gaps;			/* the probability rests on so many */
	double		gap_p99_us;
} PoJudgement;

/*
 * Judges the session seen in a slot by its tenant's policy and habits.
 */
extern void po_judge_session(int slot, const PoSeen *seen, const PoPolicyFields *policy,
							 PoJudgement *judgement);

/*
 * How old is what the wall clock puts so many microseconds back and the sampler has not
 * seen yet?  At most as old as its last pass: a step of the clock makes nobody look idle.
 */
extern int64 po_judge_new_age(int64 wall_us, int64 ticks);

/* What the sampler found of it, if it is about the state seen now. */
extern bool po_judge_found(int slot, const PoSeen *seen, PoClass *class, PoVerdict *verdict);

/* How long the session has been in the state it was seen in, in microseconds. */
extern int64 po_judge_state_us(int slot, const PoSeen *seen);

/*
 * Why it must not be ended, PO_EXEMPT_NO if it may.  Fills holdings with what the
 * last rung of the ladder looked at.
 */
extern PoExempt po_judge_exempt(int slot, const PoSeen *seen, PoHoldings *holdings);

extern const char *po_judge_exempt_name(PoExempt exempt);	/* NULL for none */

/* One sentence, and the evidence as a JSON object. */
extern void po_judge_reason(const PoJudgement *judgement, char *reason, Size size);
extern void po_judge_detail(int slot, const PoJudgement *judgement,
							const PoHoldings *holdings, char *detail, Size size);

#endif							/* PO_JUDGE_H */
