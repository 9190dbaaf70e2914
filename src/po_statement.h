/*
 * po_statement.h
 *		The table of statements: what each tenant's connections are spent on.
 *
 * Every function takes PO_LOCK_STATEMENTS for itself and copies in and out.
 */
#ifndef PO_STATEMENT_H
#define PO_STATEMENT_H

#include "po_shmem.h"

/* ---------- by the session that owns the slot ---------- */

/* Starts the accounts of a new session at zero. */
extern PoStatementSession *po_statement_begin(int slot);

/* An account for a queryid (not 0) that has none: the least recently used of its set is
 * merged and makes room. */
extern PoStatementAccount *po_statement_take(int slot, uint64 queryid, Oid database);

/* The fewer room is left for texts, the shorter is what a new one may be. */
extern int	po_statement_longest_text(void);

/* Its text, normalised, no longer than that, and the role that ran it; kept if there is
 * none yet. */
extern void po_statement_offer_text(int slot, uint64 queryid, Oid role, const char *text,
									int length);

/* ---------- by session and sampler ---------- */

/* Has any statement ended since the accounts were merged? */
extern bool po_statement_has_news(int slot);

/* Adds to the table what the accounts have and the table has not yet. */
extern void po_statement_merge(int slot);

/* The session's statement was seen waiting for a lock; for so long. */
extern void po_statement_note_lock_wait(int slot, int64 us);

/* ---------- by anyone ---------- */

extern void po_statement_merge_all(void);

/* Statements are in places 0 to this - 1, some of which may be free. */
extern int	po_statement_n_places(void);

/* False if the place is free.  text, of PO_STATEMENT_TEXT_LEN, may be NULL; "" = none. */
extern bool po_statement_copy(int place, PoStatement *statement, char *text);

/* What the tenant's statements are that are in no place: those without a queryid, and
 * those that made room. */
extern void po_statement_copy_others(int tenant, PoStatementSums *sums);

extern void po_statement_copy_table(PoStatementTable *table);

/* As it was saved; with queryid 0, what is in no place.  Nothing if there is no room. */
extern void po_statement_restore(const PoStatement *saved, const char *text);

extern void po_statement_reset(int tenant); /* -1 = all */

#endif							/* PO_STATEMENT_H */
