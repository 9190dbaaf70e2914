/*
 * po_sharing.h
 *		Each tenant's part of the cluster, in memory of the sampler.
 *
 * The arithmetic is that of po_capacity.h.  No lock is held here but for a moment to copy
 * what there is.
 */
#ifndef PO_SHARING_H
#define PO_SHARING_H

#include "model/po_capacity.h"
#include "po_shmem.h"

/* At the start of the sampler: nobody wants anything yet. */
extern void po_sharing_attach(void);

/* Before evaluations: reads what there is to share now. */
extern void po_sharing_begin(void);

/* Sizes a tenant, e->guaranteed apart, which is filled in here. */
extern void po_sharing_evaluate(int tenant, PoEvaluation *e);

/* It is gone, or nothing is said of it any more. */
extern void po_sharing_forget(int tenant);

#endif							/* PO_SHARING_H */
