/*
 * po_reclaim.h
 *		Carrying out what the sampler found: leaks, surplus, evictions.
 *
 * Runs in the sampler only.
 */
#ifndef PO_RECLAIM_H
#define PO_RECLAIM_H

#include "po_judge.h"

/* A leak that a policy in enforce mode says to end, or one to report. */
typedef struct PoCandidate
{
	int			slot;
	PoSeen		seen;
	PoJudgement judgement;
	PoHoldings	holdings;
	PoDamage	damage;
} PoCandidate;

extern void po_reclaim_attach(void);

/* Ends (or only reports) leaked sessions, those that do most damage first. */
extern void po_reclaim_leaks(PoCandidate *candidates, int n);

/*
 * Ends what is over a quota, draining, called back, or in the way of a login that
 * may evict.  scan: the policies have changed, so look at every tenant.
 */
extern void po_reclaim_surplus(bool scan);

#endif							/* PO_RECLAIM_H */
