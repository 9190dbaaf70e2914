/*
 * po_client_table.h
 *		Which instances of which applications have sessions, and had before.
 *
 * Kept by the sampler: a session is noticed when it is first and no more seen, and in
 * between only what is busy costs anything.  An instance is remembered for a day after
 * its last session, an application as long as there is room; those longest gone make
 * room for new ones, and nobody who is there has to, as there are more places than
 * sessions.  All of it starts empty with the server.
 *
 * Every function takes PO_LOCK_CLIENTS for itself and copies in and out.
 */
#ifndef PO_CLIENT_TABLE_H
#define PO_CLIENT_TABLE_H

#include "po_shmem.h"

/* ---------- by the sampler ---------- */

/* It has seen no session yet. */
extern void po_client_table_attach(void);

/* A session of the slot is there; memory_us: how long its busy time is to count. */
extern void po_client_table_enter(int slot, int64 ticks, TimestampTz now, int64 memory_us);

/* It has gone; does nothing when it was not there. */
extern void po_client_table_leave(int slot, int64 ticks);

/* It was busy for so long.  Takes no lock. */
extern void po_client_table_busy(int slot, int64 busy_us);

/* Tells of busy time what has not been told yet, and forgets some that are long gone. */
extern void po_client_table_flush(int64 ticks);

/* ---------- by anyone ---------- */

/* An application as it is now. */
typedef struct PoClientSeen
{
	int			tenant;
	char		application[PO_PART_LEN];
	int			sessions;
	int			most_sessions;	/* of one instance */
	int			live;			/* instances with sessions */
	int			seen;			/* instances of the last day */
	int			addresses;		/* of those with sessions; without, of the last day */
	int			peak;			/* most instances at once, in one to two weeks */
	TimestampTz peak_at;
	TimestampTz first_seen;
	double		usual;			/* instances, on average while there are any */
	double		busy;			/* sessions, on average */
	PoToldBy		told;
} PoClientSeen;

/* All of them, ordered by tenant and name, in memory of the current context. */
extern PoClientSeen *po_client_table_copy(int *n);

/* Forgets a tenant's past, -1 = that of all: what is now remains. */
extern void po_client_table_reset(int tenant);

#endif							/* PO_CLIENT_TABLE_H */
