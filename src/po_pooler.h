/*
 * po_pooler.h
 *		The worker that visits PgBouncers.
 */
#ifndef PO_POOLER_H
#define PO_POOLER_H

#include "postgres.h"

/* Called by the sampler in every round: starts the worker when there is somebody to
 * visit, and notices when it has ended. */
extern void po_pooler_manage(void);

/* Settings have changed, and maybe what stood in the worker's way. */
extern void po_pooler_reload(void);

/* Entry point of the worker. */
extern PGDLLEXPORT void po_pooler_main(Datum arg);

#endif							/* PO_POOLER_H */
