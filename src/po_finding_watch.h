/*
 * po_finding_watch.h
 *		Looks for findings in what was counted of statements and tenants.
 *
 * For the sampler.
 */
#ifndef PO_FINDING_WATCH_H
#define PO_FINDING_WATCH_H

#include "po_shmem.h"

extern void po_finding_watch_attach(void);

/* A part of a round, which costs the same whatever there is to look at. */
extern void po_finding_watch_pass(int64 ticks);

#endif							/* PO_FINDING_WATCH_H */
