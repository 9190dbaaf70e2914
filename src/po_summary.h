/*
 * po_summary.h
 *		A regular line of the server's log for each busy tenant.  For the sampler.
 */
#ifndef PO_SUMMARY_H
#define PO_SUMMARY_H

#include "po_shmem.h"

/* So many sessions of a tenant were busy for so long. */
extern void po_summary_note_busy(int tenant, int busy, int64 dt_us);

/* Once per round: writes lines when log_interval has passed, some in each round. */
extern void po_summary_round(int64 ticks);

#endif							/* PO_SUMMARY_H */
