/*
 * po_brake.h
 *		What stops terminations: the rate limit and the circuit breaker.
 */
#ifndef PO_BRAKE_H
#define PO_BRAKE_H

#include "model/po_types.h"

#define PO_RATE_SECONDS		60

/*
 * Counts over the last minute in slots of 61/60 s, so that no rolling minute can hold
 * more than the limit; all zero is a valid start.
 */
typedef struct PoRate
{
	int64_t		second[PO_RATE_SECONDS];	/* which slot of time a count is of */
	int32_t		count[PO_RATE_SECONDS];
} PoRate;

/* How many happened in the 60 seconds up to now_us (the current one included). */
extern int	po_rate_last_minute(const PoRate *rate, int64_t now_us);

/* Takes one if fewer than limit happened in the last minute. */
extern bool po_rate_take(PoRate *rate, int64_t now_us, int limit);

/* Gives back one that was taken then and not used. */
extern void po_rate_give_back(PoRate *rate, int64_t taken_us);

/*
 * Per tenant.  Terminations that are answered by as many new sessions achieve
 * nothing but errors for clients: when PO_BREAKER_MIN or more within a window of
 * PO_BREAKER_WINDOW_US have not lowered the number of sessions, it opens for
 * PO_BREAKER_OPEN_US, then starts over.  A leak as fast as it is reclaimed looks the
 * same (counts cannot tell who logs in because of a termination), so it opens for no
 * longer than that leak may grow unattended.
 */
#define PO_BREAKER_MIN			10
#define PO_BREAKER_WINDOW_US	(60 * PO_US_PER_S)
#define PO_BREAKER_OPEN_US		(60 * PO_US_PER_S)

typedef struct PoBreaker
{
	int64_t		window_start_us;
	int32_t		sessions_at_start;
	int32_t		terminations;
	int64_t		open_until_us;	/* 0 = closed */
} PoBreaker;

typedef enum PoBreakerEvent
{
	PO_BREAKER_NOTHING,
	PO_BREAKER_OPENED,
	PO_BREAKER_CLOSED
} PoBreakerEvent;

/* May a session be ended?  Call po_breaker_note when it was. */
extern bool po_breaker_allows(const PoBreaker *b, int64_t now_us);
extern void po_breaker_note(PoBreaker *b, int64_t now_us, int sessions);

/* Looks at the present number of sessions; tells when it opens or closes. */
extern PoBreakerEvent po_breaker_check(PoBreaker *b, int64_t now_us, int sessions);

#endif							/* PO_BRAKE_H */
