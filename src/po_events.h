/*
 * po_events.h
 *		Two rings of events: of logins, and of everything else.
 */
#ifndef PO_EVENTS_H
#define PO_EVENTS_H

#include "lib/stringinfo.h"

#include "po_shmem.h"

/*
 * Records an event, of the kinds in PO_EVENTS_ON_REQUEST only if notify_events has it and the
 * rate allows; tenant, reason and detail are copied and clipped.  detail is a
 * JSON object ("" = none); one that does not fit is left out as a whole.
 */
extern void po_events_add(PoEventKind kind, const char *tenant, int pid,
						  const char *reason, const char *detail);

/* What is told as an event and as one line of the server's log. */
typedef struct PoTold
{
	PoEventKind kind;
	const char *tenant;			/* NULL or "" = the cluster's */
	const char *reason;
	const char *detail;			/* of the event; NULL = none */
	const char *log_detail;		/* DETAIL of the line; NULL = none */
	const char *log_hint;		/* HINT of the line; NULL = none */
	bool		heard;			/* listeners hear of it in another way */
} PoTold;

/* Records the event and writes the line, "pool_optimizer: ..." or "pool_optimizer, tenant
 * "...": ...", which no client sees. */
extern void po_events_tell(const PoTold *told);

/* Over a restart: the newest of each ring, most of them at most, oldest first; how many. */
extern int	po_events_save(PoEvent *to, int most);

/* In the postmaster, before anybody else is there: takes back one of these if it is
 * sound.  Listeners do not hear of it, whether or not they did. */
extern void po_events_restore(const PoEvent *event);

/*
 * Copies the oldest event of a ring from *number on (0 = the first) and sets that to the one
 * after it, so that none is left out while others are written; false when there is none.
 */
extern bool po_events_copy(int ring, uint64 *number, PoEvent *event);

/*
 * The next event that listeners are to hear of, by its number in the ring, from *number
 * on; false when there is none.
 */
extern bool po_events_next(int ring, uint64 *number, PoEvent *event);

/* Those of a ring below a number were heard; returns how many were lost before. */
extern uint64 po_events_notified(int ring, uint64 number);

/* How many they have come past, of all rings. */
extern uint64 po_events_position(void);

/* Is there one to hear of?  Nobody is to hear of those so far. */
extern bool po_events_are_pending(void);
extern void po_events_skip(void);

/* Is an event of this kind wanted at all?  Asked where it costs something to find out
 * what would be said. */
extern bool po_events_want(PoEventKind kind);

/*
 * Writes "name": "value" with a leading comma unless first; for details.  Clips
 * nothing: to must have room for 6 bytes per byte of value.
 */
extern void po_events_json_string(StringInfo to, const char *name, const char *value);

#endif							/* PO_EVENTS_H */
