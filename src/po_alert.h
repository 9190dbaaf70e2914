/*
 * po_alert.h
 *		Raises and clears alerts.  All of it is for the sampler.
 */
#ifndef PO_ALERT_H
#define PO_ALERT_H

#include "po_shmem.h"

/* Takes its memory, and takes over the alerts that an earlier sampler has raised. */
extern void po_alert_attach(void);

/* ---------- what the other steps of a round have seen ---------- */

/* A sample was taken, and so many before it were not. */
extern void po_alert_note_sample(int64 ticks, int64 missed);

/* The pass begins; a session of this slot has been idle in its transaction for so long. */
extern void po_alert_begin_pass(void);
extern void po_alert_note_idler(int slot, int tenant, int64 state_us);

/* So many sessions of a tenant were busy for so long. */
extern void po_alert_note_busy(int tenant, int busy, int64 dt_us);

/* Groups are looked at anew; one of a tenant, which the session of slot is of, grows. */
extern void po_alert_begin_growth(void);
extern void po_alert_note_growth(int tenant, int slot, double probability, int count);

/* A finding was seen, at this place of their table. */
extern void po_alert_note_finding(const PoFindingRecord *finding, int place);

/* Terminations of a tenant's sessions were found not to help, or to be worth another try. */
extern void po_alert_note_breaker(int tenant);

/* ---------- the round ---------- */

/*
 * One round: looks at tenants to which something has happened, once a second at the
 * cluster and at tenants that may have an alert, and at all of them, some in each round,
 * when rules, policies or settings have changed.
 */
extern void po_alert_round(int64 ticks);

/* Settings have changed. */
extern void po_alert_reload(void);

#endif							/* PO_ALERT_H */
