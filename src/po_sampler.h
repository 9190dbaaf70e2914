/*
 * po_sampler.h
 *		The sampler: the worker that looks at all sessions, on from the start.
 */
#ifndef PO_SAMPLER_H
#define PO_SAMPLER_H

#include "postgres.h"

/* In _PG_init: has the postmaster start it, and start it again. */
extern void po_sampler_register(void);

extern PGDLLEXPORT void po_sampler_main(Datum arg);

#endif							/* PO_SAMPLER_H */
