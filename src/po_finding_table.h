/*
 * po_finding_table.h
 *		The table of findings.
 *
 * Every function takes PO_LOCK_FINDINGS for itself and copies in and out.
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

/* ---------- by anyone ---------- */

extern void po_finding_table_reset(int tenant); /* -1 = all */

/* By the state file, before there is a sampler. */
extern void po_finding_table_restore(const PoFindingRecord *saved);

#endif							/* PO_FINDING_TABLE_H */
