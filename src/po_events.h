/*
 * po_events.h
 *		Two rings of events: of logins, and of everything else.
 */
#ifndef PO_EVENTS_H
#define PO_EVENTS_H

#include "po_shmem.h"

/*
 * Records an event; tenant, reason and detail are copied and clipped.  detail is a
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
} PoTold;

/* Records the event and writes the line, "pool_optimizer: ..." or "pool_optimizer, tenant
 * "...": ...", which no client sees. */
extern void po_events_tell(const PoTold *told);

/* Copies the i-th oldest event of a ring; false when there is none. */
extern bool po_events_copy(int ring, int i, PoEvent *event);

extern const char *po_events_kind_name(PoEventKind kind);

/*
 * Writes "name": "value" with a leading comma unless first; for details.  Clips
 * nothing: to must have room for 6 bytes per byte of value.
 */
extern void po_events_json_string(StringInfo to, const char *name, const char *value);

#endif							/* PO_EVENTS_H */
