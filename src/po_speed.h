/*
 * po_speed.h
 *		How much a processor gets done at the moment.
 *
 * A virtual processor gets less done while others use the machine that it shares; how long it
 * waits for them is counted, where the host tells, but not how slow it is.  What was measured
 * at one time can then not be compared to what was measured at another one; with this, the
 * search for a size (po_search.h) takes it out.
 *
 * All of it is memory of the sampler alone, but for po_shared->cpu_speed_ppm.
 */
#ifndef PO_SPEED_H
#define PO_SPEED_H

#include "postgres.h"

/* Before the others: remembers for so many tenants when they asked. */
extern void po_speed_attach(int n_tenants);

/*
 * Does some work and notes the CPU time that it took: about 50 us of it, and no more often
 * than ten times a second.  Publishes a mean of some seconds, as a part of the best there was.
 * ticks are us of a clock that is never set.
 */
extern void po_speed_measure(int64 ticks);

/*
 * Mean speed (geometric) since the tenant's call before: work for each us of CPU time, times the
 * share that was granted of what was wanted (po_cpu_time.h), which says something only beside
 * another one of this.  0 = unknown.
 */
extern double po_speed_since(int tenant);

#endif							/* PO_SPEED_H */
