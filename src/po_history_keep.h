/*
 * po_history_keep.h
 *		Keeps history: from the minutes in shared memory into the tables pool_history,
 *		pool_history_hour and pool_history_day.
 */
#ifndef PO_HISTORY_KEEP_H
#define PO_HISTORY_KEEP_H

/*
 * Writes the buckets that have ended since the last time and prunes old ones, in short
 * transactions of its own; in the keeper.  Does nothing on a standby or without the extension.
 */
extern void po_history_keep(void);

#endif							/* PO_HISTORY_KEEP_H */
