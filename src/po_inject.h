/*
 * po_inject.h
 *		Errors on demand, to test that none escapes: make PROFILE=-DPO_INJECT.
 *
 * Then setting pool_optimizer.inject lists the points that fail, and there is
 * nothing of this in any other build.
 */
#ifndef PO_INJECT_H
#define PO_INJECT_H

#ifdef PO_INJECT
/* ERROR (XX000) if the setting lists this point, or "all". */
extern void po_inject(const char *point);
#define PO_RARELY_S			1
#else
#define po_inject(point)	((void) 0)
#define PO_RARELY_S			60	/* between what the sampler does rarely */
#endif

#endif							/* PO_INJECT_H */
