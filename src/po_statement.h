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
 * merged and makes room.  role runs it, with or without a text to come.  known: what is known of
 * its plan, seen 0 if nothing is. */
extern PoStatementAccount *po_statement_take(int slot, uint64 queryid, Oid database, Oid role,
											 PoStatementPlan *known);

/* The fewer room is left for texts, the shorter is what a new one may be. */
extern int	po_statement_longest_text(void);

/* Its text, normalised, no longer than that, and the role that ran it; kept if there is
 * none yet. */
extern void po_statement_offer_text(int slot, uint64 queryid, Oid role, const char *text,
									int length);

/* What its plan was seen to be. */
extern void po_statement_offer_plan(int slot, uint64 queryid, const PoStatementPlan *plan);

/* The session, one of few transactions or not, has ended; login_us -1 = not known. */
extern void po_statement_note_session(int slot, bool is_brief, int64 login_us);

/* A statement has ended; bucket: of its duration, PO_BRIEF_BUCKETS if it is to count for
 * none. */
static inline void
po_statement_tell_end(PoStatementSession *session, PoStatementAccount *a, int bucket)
{
	uint32		ends = pg_atomic_read_u32(&session->ends);

	a->used_at = ends;
	session->end[ends % PO_STATEMENT_ENDS] = PO_STATEMENT_END(a->tag, bucket);
	/* Whoever sees the count sees what came before it. */
	pg_write_barrier();
	pg_atomic_write_u32(&session->ends, ends + 1);
}

/* ---------- by session and sampler ---------- */

/* Has any statement ended since the accounts were merged? */
extern bool po_statement_has_news(int slot);

/* Adds to the table what the accounts have and the table has not yet. */
extern void po_statement_merge(int slot);

/* The session's statement was seen waiting for a lock; for so long. */
extern void po_statement_note_lock_wait(int slot, int64 us);

/* That statement was seen waiting for the transaction of another session. */
extern void po_statement_note_blocker(int slot, int blocker);

/* ---------- by anyone ---------- */

extern void po_statement_merge_all(void);

/* Statements are in places 0 to this - 1, some of which may be free. */
extern int	po_statement_n_places(void);

/* False if the place is free.  text, of PO_STATEMENT_TEXT_LEN, may be NULL; "" = none. */
extern bool po_statement_copy(int place, PoStatement *statement, char *text);

/* Wherever it is; false if it is nowhere. */
extern bool po_statement_find(int tenant, uint64 queryid, PoStatement *statement, char *text);

/* What the tenant's statements are that are in no place: those without a queryid, and
 * those that made room. */
extern void po_statement_copy_others(int tenant, PoStatementSums *sums);

/* What all statements of the tenant were counted for since the server's start or a reset, also
 * those that made room; without waits for locks. */
extern void po_statement_copy_totals(int tenant, PoStatementSums *sums);

extern void po_statement_copy_hints(int tenant, PoTenantHints *hints);

/* A sum that changes with what is counted of a place, or of a tenant; read without the lock,
 * so only good to tell whether a look is worth it. */
extern uint64 po_statement_peek(int place);
extern uint64 po_statement_peek_tenant(int tenant);

extern void po_statement_copy_table(PoStatementTable *table);

/* As it was saved; with queryid 0, what is in no place.  Nothing if there is no room. */
extern void po_statement_restore(const PoStatement *saved, const char *text);

extern void po_statement_restore_hints(int tenant, const PoTenantHints *saved);

extern void po_statement_reset(int tenant); /* -1 = all */

#endif							/* PO_STATEMENT_H */
