/*
 * po_pooler_plan.h
 *		How far to resize a pool at a time, and where to write it.
 */
#ifndef PO_POOLER_PLAN_H
#define PO_POOLER_PLAN_H

#include "model/po_types.h"

/*
 * The part of a recommended size that the pool of that index (0 .. n - 1) gets, of n of one
 * tenant: together just that size, as another one would tell nothing of it (po_search.h), but
 * at least 1 each.
 */
extern int	po_pooler_share(int size, int n, int index);

/*
 * How many of a tenant's sessions are those of its pools: sizes are tried by these.  others is
 * how many were not, when a pooler was asked last; they are left out as long as they are the
 * fewer, 0 else.
 */
extern int	po_pooler_pooled(int sessions, int others);

/* The size to set now on the way to wanted; a step of 0 means at once.  At least 1: 0
 * means no limit to newer PgBouncers, and no connection at all to older ones. */
extern int	po_pooler_next_size(int current, int wanted, int step_up, int step_down);

/* Is what a pool keeps open so far from what it should that a change is worth its while?  More
 * by over a quarter, or less than half; not when it is not known (< 0). */
extern bool po_pooler_min_differs(int current, int wanted);

/* ---------- the include file ---------- */

typedef enum PoIniSection
{
	PO_INI_DATABASES,
	PO_INI_USERS
} PoIniSection;

typedef enum PoIniResult
{
	PO_INI_OK,
	PO_INI_NOT_FOUND,			/* no such entry between the marks */
	PO_INI_TWICE,
	PO_INI_MALFORMED,			/* the entry is not key=value */
	PO_INI_NO_ROOM
} PoIniResult;

typedef struct PoIniChange
{
	PoIniSection section;
	const char *name;
	int			pool_size;
	int			min_pool_size;	/* -1 = leave as it is */
} PoIniChange;

/*
 * Copies the text of a configuration file with pool_size (and min_pool_size) of one
 * entry changed, or added to its end; nothing else is touched.  The entry must be
 * between lines "; pool_optimizer begin" and "; pool_optimizer end", and be the only one of
 * its name and section there.  to gets at most room bytes, without a terminating NUL.
 */
extern PoIniResult po_pooler_edit_ini(const char *text, size_t length,
									  const PoIniChange *change, char *to, size_t room,
									  size_t *to_length);

#endif							/* PO_POOLER_PLAN_H */
