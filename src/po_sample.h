/*
 * po_sample.h
 *		Reads what core publishes of a session: its entry in the backend status
 *		array, and its PGPROC.
 */
#ifndef PO_SAMPLE_H
#define PO_SAMPLE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "model/po_types.h"

typedef struct PoSeen
{
	int			pid;
	PoState		state;
	TimestampTz backend_start;
	TimestampTz state_change;
	Oid			role;			/* that logged in */
	TimestampTz xact_start;		/* 0 = in no transaction */
	int			changecount;	/* of the entry when it was read; even */
} PoSeen;

/*
 * Reads the status of the client backend in a slot; false if there is none (or it
 * is still logging in; changecount is filled in).  For any process that has MyBEEntry.
 */
extern bool po_sample_read(int slot, PoSeen *seen);

/* The same in one look, for whoever must not be interrupted: false also if the entry changed
 * meanwhile. */
extern bool po_sample_try(int slot, PoSeen *seen);

/*
 * What the sampler remembers of a slot to see at a glance that nothing has changed:
 * core's changecount moves with every change of an entry, also across its users.
 */
typedef struct PoGlance
{
	int			changecount;	/* odd = never seen */
	int64		quiet_until;	/* need not be looked at before, monotonic us; 0 = always */
} PoGlance;

/*
 * Which slots have to be looked at: fills slots and returns how many.  Reads one
 * word per slot, which sits in one cache line.
 */
extern int	po_sample_changed(const PoGlance *glances, int n_slots, int64 ticks, int *slots);

/* Of the calling session: the queryid that core shows, 0 if none; for how long it has been
 * idle in a transaction at a time, 0 if it is not. */
extern uint64 po_sample_my_queryid(void);
extern int64 po_sample_my_idle_us(TimestampTz at);

/* Of the calling session: has it told of any state yet?  The first is that it is idle. */
extern bool po_sample_has_begun(void);

/* Its present application_name. */
extern void po_sample_application(int slot, char *application, Size size);

/* Bytes that its COPY has processed, -1 when it runs none. */
extern int64 po_sample_copy_progress(int slot);

/* What the session waits for, by the index of its PGPROC. */
extern PoWait po_sample_wait(int procno);
extern bool po_sample_in_client_read(int procno);
extern bool po_sample_in_client_write(int procno);
extern bool po_sample_in_lock(int procno);	/* of a row, a relation, ... */

/* What it holds that others, or it itself, would miss. */
typedef struct PoHoldings
{
	bool		valid;			/* the PGPROC is still that of pid */
	bool		temp_namespace; /* has used temporary tables */
	int			locks;
	int			advisory_locks;
	int			waiting_behind; /* requests that wait for locks it holds */
	int64		xmin_age;		/* transactions; 0 = holds none */
} PoHoldings;

/*
 * Connections that hold a slot of core but are none of ours: still authenticating (or
 * let in unseen).  One that has not sent its startup packet holds no slot yet.
 */
extern int	po_sample_authenticating(void);

/* Takes each lock manager partition's lock for a moment, shared. */
extern void po_sample_holdings(int procno, int pid, PoHoldings *holdings);

/* What a session does to others, at the same price. */
typedef struct PoHarm
{
	bool		valid;			/* the PGPROC is still that of pid */
	int			waiting_behind;
	int			n_blocked;		/* of those as many as there is room for, by pid */
	int64		horizon_age;	/* transactions since the oldest that vacuum keeps for it */
} PoHarm;

extern void po_sample_harm(int procno, int pid, PoHarm *harm, int *blocked, int max);

/*
 * The slot of the session whose transaction that process waits for, -1 if it does not, or
 * that is none of ours.  Of several that hold the lock, one.
 */
extern int	po_sample_blocker(int procno);

#endif							/* PO_SAMPLE_H */
