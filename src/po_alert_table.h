/*
 * po_alert_table.h
 *		The alerts that are raised, what was told of them, and the rules in force.
 *
 * Every function takes PO_LOCK_ALERTS for itself and copies in and out.  The
 * sampler alone raises and clears; what it tells of that goes to a ring, from which
 * the keeper delivers to listeners.
 */
#ifndef PO_ALERT_TABLE_H
#define PO_ALERT_TABLE_H

#include "po_shmem.h"

/* ---------- by the sampler ---------- */

/*
 * Raises an alert: gives it an id and a place, and tells so.  The place, -1 when there
 * is none: then nothing has happened.  The cluster's find a place when tenants' do not.
 */
extern int	po_alert_table_raise(PoAlertRecord *record);

/* How it is by now; told when it has escalated.  Sets id and since. */
extern void po_alert_table_update(int place, PoAlertRecord *record, bool escalated);

/* It is over; record becomes what is told of it. */
extern void po_alert_table_clear(int place, PoAlertRecord *record);

/* Nobody is to hear of what was told so far, or everybody again of what is raised. */
extern void po_alert_table_skip(void);
extern void po_alert_table_tell_again(void);

/* ---------- by the keeper ---------- */

/* The next entry that was not delivered, by its number, from *number on; false when
 * there is none. */
extern bool po_alert_table_next(uint64 *number, PoAlertEntry *entry);

/* Entries below a number have been delivered; how many were lost before. */
extern uint64 po_alert_table_delivered(uint64 number);

/* Puts rules in force, sorted here; true if they differ from what was. */
extern bool po_alert_table_put_rules(PoAlertRule *rules, int n);

/* ---------- state file ---------- */

/* An alert that is raised, or an entry of what was told. */
typedef struct PoAlertSaved
{
	PoAlertEntry entry;			/* PO_ALARM_NOTHING = it is raised */
	bool		delivered;		/* of an entry */
	uint64		worst_queryid;
	char		worst_message[PO_ALERT_MESSAGE_LEN];
	char		tenant[PO_NAME_LEN];	/* for whoever saves and restores */
} PoAlertSaved;

/* Fills all but tenants' names; to has room for n_alerts and n_alert_entries together. */
extern int	po_alert_table_save(PoAlertSaved *to);

/* Puts back what is sound; places and hashes of tenants are those of now. */
extern void po_alert_table_restore(const PoAlertSaved *from, int n);

/* ---------- by anyone ---------- */

/* How many entries have been delivered. */
extern uint64 po_alert_table_position(void);

/* Is there something to deliver? */
extern bool po_alert_table_is_pending(void);

/*
 * Alerts raised, place by place: those that are free have id 0.  And, unless entries is
 * NULL, what was told, the oldest first; how many that are.  There must be room for
 * n_alerts and n_alert_entries of PoShared.
 */
extern int	po_alert_table_copy(PoAlertRecord *alerts, PoAlertEntry *entries);

/* Rules in force; to has room for n_alert_rules.  Their generation, 0 = not read yet. */
extern uint32 po_alert_table_copy_rules(PoAlertRule *to, int *n);
extern uint32 po_alert_table_rules_generation(void);

#endif							/* PO_ALERT_TABLE_H */
