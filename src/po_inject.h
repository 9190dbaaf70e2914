/*
 * po_inject.h
 *		Errors on demand, to test that none escapes, and pauses, to test what happens between two
 *		steps: make PROFILE=-DPO_INJECT.
 *
 * Then setting pool_optimizer.inject lists the points that fail or wait, and there is
 * nothing of this in any other build.
 */
#ifndef PO_INJECT_H
#define PO_INJECT_H

#ifdef PO_INJECT
/* ERROR (XX000) if the setting lists this point, or "all". */
extern void po_inject(const char *point);

/* For workers: waits until the setting does not list this point any more ("all" is not meant). */
extern void po_inject_pause(const char *point);
#define PO_RARELY_S			1
#else
#define po_inject(point)	((void) 0)
#define po_inject_pause(point)	((void) 0)
#define PO_RARELY_S			60	/* between what the sampler does rarely */
#endif

#endif							/* PO_INJECT_H */
