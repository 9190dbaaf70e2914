/*
 * po_pooler_plan.h
 *		How far to resize a pool at a time, whether it gets there, and where to write it.
 */
#ifndef PO_POOLER_PLAN_H
#define PO_POOLER_PLAN_H

#include "model/po_share.h"

/*
 * The part of a recommended size that the pool of that index (0 .. n - 1) gets, of n of one
 * tenant: together just that size, as another one would tell nothing of it (po_search.h), but
 * at least 1 each.
 */
extern int	po_pooler_share(int size, int n, int index);

/* One of a tenant's pools. */
typedef struct PoPoolerUse
{
	int			open;			/* connections that it has */
	bool		waits;			/* its clients wait for more, and it can get them */
} PoPoolerUse;

/*
 * The same where pools may have different sizes: those whose clients do not wait keep what
 * they use, and the others have the rest (max-min fair shares), so that all together have as
 * many connections as were asked for, whoever has the clients.  A size is but the most that a
 * pool may open: one that does not use it keeps the one it has (from), between an equal part
 * and what it would get if its clients waited.  shares and marks are memory to work with.
 */
extern int	po_pooler_part(int size, int from, const PoPoolerUse *use, int n, int index,
						   PoShare *shares, PoShareMark *marks);

/*
 * The same where all of them have the same size: such that those whose clients wait (the one
 * that has most, if none do at the moment) have what the others leave, rounded down.
 */
extern int	po_pooler_common(int size, const PoPoolerUse *use, int n, PoShare *shares,
							 PoShareMark *marks);

/* Have all pools together so many connections that a change of one of them would tell little?
 * An eighth more or less; with few connections none. */
extern bool po_pooler_is_near(int64_t open, int wanted);

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

/* ---------- pools that get no more connections ---------- */

/* What is known of it from visit to visit; all zero at first. */
typedef struct PoPoolerStall
{
	int64_t		since;			/* us: it has wanted more, and got none; 0 = it does not */
	int64_t		last;			/* us: visit before */
	int			most;			/* connections that it had meanwhile */
	int			obtainable;		/* connections that it gets; 0 = as many as it may have */
	int64_t		until;			/* us: for so long that is taken for true */
} PoPoolerStall;

/*
 * open of its connections have logged in, and wants_more says that clients wait for one while
 * its size allows another; while nothing gets done (works) it may be paused, and that time does
 * not count.  A pool that goes on wanting more for patience_us, and has never had
 * more than in the beginning, gets no more: a CONNECTION LIMIT, say, or max_db_connections is
 * in the way, of which its console tells nothing.  That is forgotten when it has more, and
 * an hour after it has stopped wanting any, as it can be tried again then.  True when it has
 * just come to be known.
 */
extern bool po_pooler_stalls(PoPoolerStall *stall, int open, bool wants_more, bool works,
							 int64_t now_us, int64_t patience_us);

/* ---------- what is in the way ---------- */

typedef enum PoResizeProblem
{
	PO_RESIZE_OK,
	PO_RESIZE_SESSION_MODE,
	PO_RESIZE_ONE_OF_MANY,		/* processes of PgBouncer that share a port */
	PO_RESIZE_OTHERS,			/* SET would change other pools, too */
	PO_RESIZE_OWN_SIZE,			/* its size is in the configuration, where we may not write */
	PO_RESIZE_SET_IGNORED,
	PO_RESIZE_FILE_IGNORED,
	PO_RESIZE_REFUSED,			/* the console answers with an error */
	PO_RESIZE_FILE_UNOPENED,
	PO_RESIZE_FILE_UNREAD,
	PO_RESIZE_FILE_IRREGULAR,
	PO_RESIZE_FILE_ACL,
	PO_RESIZE_FILE_UNCREATED,
	PO_RESIZE_FILE_UNWRITTEN,
	PO_RESIZE_FILE_CHANGED,
	PO_RESIZE_FILE_UNREPLACED,
	PO_RESIZE_ENTRY_TWICE,
	PO_RESIZE_ENTRY_MALFORMED,
	PO_RESIZE_ENTRY_TOO_LONG,
	PO_RESIZE_ENTRY_SHARED,		/* it is also that of others */
	PO_RESIZE_ENTRY_UNSEEN		/* nobody knows whether it is */
} PoResizeProblem;

/* For people; NULL for PO_RESIZE_OK and what is none. */
extern const char *po_pooler_problem_text(PoResizeProblem problem);

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
