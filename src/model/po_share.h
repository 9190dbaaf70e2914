/*
 * po_share.h
 *		Weighted max-min fair shares of a budget of connections.
 *
 * D. Bertsekas and R. Gallager, Data Networks (2nd ed. 1992), section 6.5.2: nobody's
 * share per weight can be raised but by lowering that of somebody who has no more.  It is
 * found by filling water: everyone has weight x level, but no less than their floor and no
 * more than they can use.
 *
 * Whole connections come from the level by rounding to nearest, where the level is such
 * that they sum up (the divisor method of F. Webster; M. Balinski and P. Young, Fair
 * Representation, 1982).  The method of largest remainders is the better known one, but
 * with it a larger budget may take a connection away from someone (the Alabama paradox);
 * with a divisor it never does, nor does a lower demand of anybody else.
 */
#ifndef PO_SHARE_H
#define PO_SHARE_H

#include "model/po_types.h"

typedef struct PoShare
{
	/* in */
	double		weight;			/* not above 0: 1 */
	int			floor;			/* kept for the tenant whether or not it wants them */
	int			ceiling;		/* PO_UNLIMITED = none; a higher floor wins */
	int			demand;			/* PO_UNLIMITED = as many as there are */
	/* out */
	int			share;
} PoShare;

typedef enum PoShareOutcome
{
	PO_SHARE_ENOUGH,			/* everyone has all they want */
	PO_SHARE_CONTENDED,			/* floors are kept, the rest is shared */
	PO_SHARE_FLOORS_UNUSED_CUT, /* no more than what is wanted of each floor is kept whole */
	PO_SHARE_FLOORS_CUT			/* not even that */
} PoShareOutcome;

/* Memory to work with: two for each tenant. */
typedef struct PoShareMark
{
	double		level;
	int64_t		tie;			/* the order of those on one level */
} PoShareMark;

#define PO_SHARE_MARKS(n)	(2 * (size_t) (n))

/*
 * Sets the share of each of n tenants.  The rules:
 *	1. shares sum to the budget, or, when that is less, to what is wanted in total; a
 *	   tenant wants the lower of its demand and ceiling, but no less than its floor;
 *	2. floors first; when the budget is less than their sum, what is wanted of them first,
 *	   in each case shared by weight with the floor as the most one gets;
 *	3. the rest by weight, up to what each wants;
 *	4. of equals, who comes first in the array gets the odd connection.
 * No share falls when the budget rises.  The same input always gives the same shares.
 * O(n log n) at most, and mostly O(n); input out of range is brought into it.
 */
extern PoShareOutcome po_share(PoShare *share, int n, int budget, PoShareMark *marks);

#endif							/* PO_SHARE_H */
