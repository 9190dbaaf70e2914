/*
 * po_clock.h
 *		Has the wall clock been set while this session was busy?
 */
#ifndef PO_CLOCK_H
#define PO_CLOCK_H

#include "model/po_types.h"

#define PO_CLOCK_SET_US		PO_US_PER_S /* a smaller step is not noticed */

/* Only then can the clock have been set by more than that while it lasted. */
static inline bool
po_clock_is_odd(int64_t us)
{
	return us < 0 || us > PO_CLOCK_SET_US;
}

/* Begins to watch. */
extern void po_clock_start(void);

/* Has it been set since the start, or since po_clock_forget? */
extern bool po_clock_was_set(void);
extern void po_clock_forget(void);

#endif							/* PO_CLOCK_H */
