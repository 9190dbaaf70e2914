/*
 * po_finding.h
 *		Findings: what connections are spent on that need not be, and what would keep a tenant
 *		from sharing them.
 *
 * Judged from what was counted of a statement or of a tenant within a window.  Costs are
 * connections that are busy on average (Little 1961, L = lambda W: so many calls a second times the
 * seconds that each holds a connection).
 */
#ifndef PO_FINDING_H
#define PO_FINDING_H

#include "model/po_types.h"

/* Those of a statement first. */
typedef enum PoFindingKind
{
	PO_FINDING_SLOW_STATEMENT,
	PO_FINDING_N_PLUS_ONE,
	PO_FINDING_CLIENT_WAIT,
	PO_FINDING_UNPAGED_RESULT,
	PO_FINDING_SEQUENTIAL_SCAN,
	PO_FINDING_REPEATED_READ,
	PO_FINDING_HOT_ROW,
	PO_FINDING_READ_ONLY,
	PO_FINDING_CHURN,
	PO_FINDING_SESSION_STATE
} PoFindingKind;

#define PO_N_FINDINGS			10
#define PO_FIRST_TENANT_FINDING	PO_FINDING_READ_ONLY

/* What of a session's state would break under transaction pooling. */
typedef enum PoStateUse
{
	PO_USE_LISTEN,
	PO_USE_ADVISORY_LOCK,		/* of the session */
	PO_USE_SET,					/* without LOCAL */
	PO_USE_TEMP_TABLE,
	PO_USE_HELD_CURSOR,
	PO_USE_PREPARED				/* by SQL: PREPARE */
} PoStateUse;

#define PO_N_STATE_USES			6

/* Times (s) for which a cache would keep a result. */
#define PO_N_CACHE_TTLS			3
extern const int po_finding_ttl_s[PO_N_CACHE_TTLS];	/* 1, 10, 60 */

/* What a statement is, by its plan. */
#define PO_PLAN_READS			(1u << 0)	/* SELECT that locks no rows */
#define PO_PLAN_LIMITED			(1u << 1)	/* LIMIT, FETCH FIRST, or one row by aggregation */

/* Counters of one statement; those of a window may be fractions, as older ones weigh less. */
typedef struct PoStatementEvidence
{
	double		seconds;		/* the window's */
	double		calls;
	double		busy_s;
	double		wait_s;			/* for the client, in the transaction after it */
	double		lock_s;			/* of busy_s */
	double		rows;
	double		slow;			/* calls of at least slow_statement, very_slow among them */
	double		very_slow;
	double		slow_s;			/* that slow ones took */
	double		loops;			/* transactions or bursts that called it too often */
	double		loop_calls;		/* in these */
	double		reads;			/* of which it was known whether they repeat others */
	double		rereads[PO_N_CACHE_TTLS];	/* that a cache of that time to live would have had */
	unsigned int plan;			/* PO_PLAN_... */
	double		scan_share;		/* of the plan's cost (0..1) is the sequential scan of a table */
	double		scan_rows;		/* that has so many rows */
} PoStatementEvidence;

/* Counters of one tenant. */
typedef struct PoTenantEvidence
{
	double		seconds;
	double		held_s;			/* busy and waiting for the client, of all statements */
	double		transactions;
	double		transaction_s;	/* that they held connections */
	double		read_only_s;	/* of transaction_s, by those that wrote nothing */
	double		sessions;		/* that have ended */
	double		brief_sessions;	/* of few transactions */
	double		login_s;		/* that the logins of these took */
	double		calls;			/* of all statements */
	double		wait_s;			/* for clients after them */
	double		uses[PO_N_STATE_USES];	/* statements so far, not of the window */
} PoTenantEvidence;

typedef enum PoFindingSeverity
{
	PO_FOUND_NOTHING,
	PO_FOUND_INFO,
	PO_FOUND_WARNING,
	PO_FOUND_CRITICAL
} PoFindingSeverity;

typedef struct PoFound
{
	PoFindingSeverity severity;
	double		connections;	/* spent on it, on average */
	int			ttl;			/* PO_FINDING_REPEATED_READ: which of po_finding_ttl_s */
} PoFound;

/* Rows of a page; what is more is too many for one. */
#define PO_FINDING_PAGE_ROWS	100

#define PO_FINDING_NAME_LEN		32

extern const char *po_finding_name(PoFindingKind kind);
extern const char *po_finding_severity_name(PoFindingSeverity severity);
extern const char *po_state_use_name(PoStateUse use);
extern bool po_finding_parse(const char *name, PoFindingKind *kind);

extern bool po_finding_severity_parse(const char *name, PoFindingSeverity *severity);

/* "a, b, c", cut off when there is no room. */
extern void po_finding_names(char *names, size_t size);

/*
 * A window that forgets: what was counted t seconds ago has the weight exp(-t / PO_FINDING_
 * MEMORY_S).  A constant load counted for ever has in it what it counts in that time.
 */
#define PO_FINDING_MEMORY_S		300.0

/* What is left of a window's counters after so many seconds. */
extern double po_finding_decay(double seconds);

/* The window's own length, when it was decay(elapsed) * before + this. */
extern double po_finding_new_seconds(double elapsed);

/* Judges one kind of a statement of a tenant, whose evidence is of the same window. */
extern void po_finding_judge_statement(PoFindingKind kind, const PoStatementEvidence *s,
									   const PoTenantEvidence *t, PoFound *found);

/* Is it worse than when it was acknowledged?  View pool_findings says the same in SQL. */
extern bool po_finding_is_worse(const PoFound *now, const PoFound *acknowledged);

/* Does the client let the other statements wait about as long? */
extern bool po_finding_waits_alike(const PoStatementEvidence *s, const PoTenantEvidence *t);

/* Judges one kind of a tenant. */
extern void po_finding_judge_tenant(PoFindingKind kind, const PoTenantEvidence *t,
									PoFound *found);

#endif							/* PO_FINDING_H */
