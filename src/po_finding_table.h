/*
 * po_finding_table.h
 *		The table of findings, and what of them is acknowledged.
 *
 * Every function that needs PO_LOCK_FINDINGS takes it for itself and copies in and out.
 */
#ifndef PO_FINDING_TABLE_H
#define PO_FINDING_TABLE_H

#include "po_shmem.h"

/* Findings are in places 0 to this - 1, some of which may be free. */
extern int	po_finding_table_n_places(void);

/* False if the place is free. */
extern bool po_finding_table_copy(int place, PoFindingRecord *finding);

/* The finding of this tenant, kind and statement (0 = none); false if there is none. */
extern bool po_finding_table_find(int tenant, PoFindingKind kind, uint64 queryid,
								  PoFindingRecord *finding);

/* ---------- by the sampler ---------- */

/*
 * It was seen: all but since is taken from it.  place: where it was before or -1, and where
 * it is now, -1 if there is no room.  Only the first time all places are looked at.
 */
extern void po_finding_table_note(const PoFindingRecord *finding, int *place);

/* Frees the place if it has been seen there last at seen_ticks. */
extern void po_finding_table_forget(int place, int64 seen_ticks);

/* ---------- acknowledgements ---------- */

extern uint64 po_finding_table_hash(const char *tenant);

/* By the keeper: puts them in force, sorted here. */
extern void po_finding_table_put_acknowledged(PoAcknowledged *rows, int n);

/* Those in force, sorted for po_finding_table_acknowledges; to has room for n_findings.  Their
 * generation, 0 = not read yet. */
extern uint32 po_finding_table_copy_acknowledged(PoAcknowledged *to, int *n);
extern uint32 po_finding_table_acknowledged_generation(void);

/* Is this finding acknowledged by one of them, and not worse since? */
extern bool po_finding_table_acknowledges(const PoAcknowledged *rows, int n,
										  const PoFindingRecord *finding, const char *tenant);

/* ---------- by anyone ---------- */

extern void po_finding_table_reset(int tenant); /* -1 = all */

/* By the state file, before there is a sampler. */
extern void po_finding_table_restore(const PoFindingRecord *saved);

#endif							/* PO_FINDING_TABLE_H */
