/*
 * po_alert.h
 *		Raises and clears alerts.  All of it is for the sampler.
 */
#ifndef PO_ALERT_H
#define PO_ALERT_H

#include "po_shmem.h"

/* Takes its memory, and takes over the alerts that an earlier sampler has raised. */
extern void po_alert_attach(void);

/*
 * One round: looks at tenants to which something has happened, once a second at the
 * cluster and at tenants that may have an alert, and at all of them, some in each round,
 * when rules, policies or settings have changed.
 */
extern void po_alert_round(int64 ticks);

/* Settings have changed. */
extern void po_alert_reload(void);

#endif							/* PO_ALERT_H */
