/*
 * po_event_kind.h
 *		What an event is about, and lists of that as a setting has them.
 */
#ifndef PO_EVENT_KIND_H
#define PO_EVENT_KIND_H

#include "model/po_types.h"

typedef enum PoEventKind
{
	PO_EVENT_REJECT,
	PO_EVENT_WOULD_REJECT,
	PO_EVENT_TERMINATE,
	PO_EVENT_WOULD_TERMINATE,
	PO_EVENT_ALERT,
	PO_EVENT_POLICY,
	PO_EVENT_RESIZE,
	PO_EVENT_WOULD_RESIZE,
	PO_EVENT_CONNECT,			/* this and the next are recorded only if asked for */
	PO_EVENT_DISCONNECT,
	PO_EVENT_ERROR,
	PO_EVENT_TENANT				/* first login of a tenant */
} PoEventKind;

#define PO_N_EVENT_KINDS		12
#define PO_EVENT_BIT(kind)		(1u << (int) (kind))
#define PO_EVENTS_ON_REQUEST \
	(PO_EVENT_BIT(PO_EVENT_CONNECT) | PO_EVENT_BIT(PO_EVENT_DISCONNECT) | \
	 PO_EVENT_BIT(PO_EVENT_ERROR) | PO_EVENT_BIT(PO_EVENT_TENANT))

extern const char *po_event_kind_name(PoEventKind kind);

/*
 * Reads a list of kinds, separated by commas and blanks, as PO_EVENT_BITs.  False if
 * there is another word in it (or "alert", which is not asked for by this list); where it
 * is goes to *bad and *length.
 */
extern bool po_event_kinds_parse(const char *list, uint32_t *kinds, const char **bad,
								 int *length);

#endif							/* PO_EVENT_KIND_H */
