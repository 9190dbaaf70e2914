/*
 * po_worker.h
 *		What our background workers have in common.
 */
#ifndef PO_WORKER_H
#define PO_WORKER_H

#include "postgres.h"

#include "postmaster/bgworker.h"

/* Fills in a worker called "pool_optimizer ROLE"; flags are added to shared memory's. */
extern void po_worker_describe(BackgroundWorker *worker, const char *role,
							   const char *function, int flags, int restart_time);

/* Starts one for once, of which the caller hears; false and NULL without a free slot. */
extern bool po_worker_start(const char *role, const char *function, int flags,
							BackgroundWorkerHandle **handle);

/* Has it ended, or never begun?  Then the handle is freed and NULL. */
extern bool po_worker_has_ended(BackgroundWorkerHandle **handle);

/* n zeroed things of a size, for as long as the process lives; an error without memory. */
extern void *po_worker_allocate(Size n, Size size);

#endif							/* PO_WORKER_H */
