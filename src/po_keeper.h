/*
 * po_keeper.h
 *		The keeper: a short-lived worker that does what may block.
 */
#ifndef PO_KEEPER_H
#define PO_KEEPER_H

#include "postgres.h"

/* Called by the sampler in every round: starts a keeper when there is work for
 * one, and notices how the last one ended. */
extern void po_keeper_manage(void);

/* Settings have changed, and maybe what stood in the keeper's way: try now. */
extern void po_keeper_reload(void);

/* Entry point of the worker. */
extern PGDLLEXPORT void po_keeper_main(Datum arg);

#endif							/* PO_KEEPER_H */
