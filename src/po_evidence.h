/*
 * po_evidence.h
 *		What hints at waste in the statements of this session: slow ones, loops, reads that
 *		repeat others, use of the session's state.
 *
 * The session's own; po_attribution.c tells of each statement.  What is in line here is in
 * the query path.
 */
#ifndef PO_EVIDENCE_H
#define PO_EVIDENCE_H

#include "po_shmem.h"

#include "executor/execdesc.h"
#include "nodes/plannodes.h"

#include "po_guc.h"

/* Transactions without BEGIN that are so close to each other are of one burst. */
#define PO_BURST_GAP_US		(5 * PO_US_PER_MS)

/* Of a statement: its calls in the transaction or burst, and what its plan says. */
typedef struct PoRun
{
	uint32		burst;			/* that its calls are of; 0 = of none */
	uint32		calls;
	uint32		limit;			/* calls at which to look at them */
	uint32		flags;			/* PO_PLAN_READS, PO_PLAN_USE(...) */
	TimestampTz look_at;		/* when to look at the plan */
	uint64		parent;			/* queryid of what ran before the first of them; 0 = nothing */
	uint64		parent_rows;
	uint32		end;			/* the session's ends, when the last of them began, */
	uint32		gap;			/* and since the one before it; */
	uint32		changes;		/* how often that has changed */
	uint32		reads;			/* lately, */
	uint32		sampled;		/* of these in the sample of hashes */
	Oid			user;			/* whose reads base is of */
	uint64		base;			/* hash of what all reads of the statement have in common */
	const char *source;			/* of a prepared statement, */
	uint64		source_hash;	/* and its hash */
} PoRun;

typedef struct PoEvidence
{
	PoStatementSession *session;
	int			slot;
	uint32		burst;			/* from 1 */
	bool		in_block;		/* the client has begun a transaction */
	TimestampTz ended;			/* the last transaction */
	PoStatementAccount *last;	/* what ran last */
	uint32		over;			/* accounts with a run over the limit, in a burst */
	uint32		children;		/* accounts whose run follows a statement with many rows */
	uint64		wide;			/* the last such: queryid, */
	uint64		wide_rows;
	uint32		wide_burst;
	uint64		seed;			/* of hashes of reads; 0 = not known yet */
	uint32		setups;			/* ends of statements that set the session up */
	PoRun		run[PO_STATEMENT_ACCOUNTS + 1];
} PoEvidence;

extern PoEvidence po_evidence;

extern void po_evidence_start(PoStatementSession *session, int slot);
extern void po_evidence_stop(void);

/* The account is another statement's from now on. */
extern void po_evidence_account_taken(const PoStatementAccount *a, const PoStatementPlan *known);

/* What is rare of the functions below. */
extern void po_evidence_new_burst(void);
extern void po_evidence_slow(const PoStatementAccount *a, int64 busy_us);
extern void po_evidence_wide(const PoStatementAccount *a, uint64 rows);
extern void po_evidence_first_call(PoRun *run, const PoStatementAccount *a);
extern void po_evidence_over(PoRun *run, const PoStatementAccount *a);
extern void po_evidence_look(PoRun *run, const PoStatementAccount *a, const QueryDesc *query,
							 uint64 count);
extern void po_evidence_flagged(PoRun *run, const PoStatementAccount *a, const QueryDesc *query);

/* BEGIN, and the end of a transaction. */
extern void po_evidence_begin_block(void);
extern void po_evidence_end_block(void);

/* A utility statement, before it runs: how it uses the session's state, -1 = not; and when it
 * has succeeded.  May the statement be gone then. */
extern int	po_evidence_use_of(const PlannedStmt *stmt);
extern void po_evidence_used(PoStateUse use, uint64 queryid);

static inline PoRun *
po_evidence_run(const PoStatementAccount *a)
{
	return &po_evidence.run[a->tag >> 8];
}

/* One writer: a plain store is enough. */
static inline void
po_evidence_add32(pg_atomic_uint32 *to, uint32 n)
{
	pg_atomic_write_u32(to, pg_atomic_read_u32(to) + n);
}

static inline void
po_evidence_add(pg_atomic_uint64 *to, uint64 n)
{
	pg_atomic_write_u64(to, pg_atomic_read_u64(to) + n);
}

/* A transaction begins with a statement whose message came then. */
static inline void
po_evidence_begin(TimestampTz message)
{
	if (po_guc_track_findings && message - po_evidence.ended >= PO_BURST_GAP_US)
		po_evidence_new_burst();
}

/* A call of a statement is about to run; count: rows asked for. */
static inline void
po_evidence_call(const PoStatementAccount *a, const QueryDesc *query, TimestampTz message,
				 uint64 count)
{
	PoRun	   *run = po_evidence_run(a);
	uint32		ends = pg_atomic_read_u32(&po_evidence.session->ends);

	if (unlikely(run->burst != po_evidence.burst))
		po_evidence_first_call(run, a);
	else if (unlikely(ends - run->end != run->gap))
	{
		run->gap = ends - run->end;
		run->changes++;
	}
	run->end = ends;
	if (unlikely(++run->calls >= run->limit))
		po_evidence_over(run, a);
	if (unlikely(message >= run->look_at))
		po_evidence_look(run, a, query, count);
	if (run->flags != 0)
		po_evidence_flagged(run, a, query);
	po_evidence.last = unconstify(PoStatementAccount *, a);
}

/* A statement has ended. */
static inline void
po_evidence_end(const PoStatementAccount *a, bool is_call, int64 busy_us, uint64 rows)
{
	if (unlikely(!po_guc_track_findings))
		return;
	if (unlikely(busy_us >= (int64) po_guc_slow_statement * PO_US_PER_MS) && is_call)
		po_evidence_slow(a, busy_us);
	if (unlikely(rows > (uint64) po_guc_loop_calls / 2))
		po_evidence_wide(a, rows);
}

/* A transaction has ended, before its last statement is counted. */
static inline void
po_evidence_count_transaction(int64 held_us, TimestampTz end, bool is_read_only)
{
	PoSessionHints *h = &po_evidence.session->hints;

	po_evidence_add(&h->transactions, 1);
	po_evidence_add(&h->held_us, (uint64) held_us);
	if (is_read_only)
		po_evidence_add(&h->read_only_us, (uint64) held_us);
	po_evidence.ended = end;
}

static inline void
po_evidence_end_transaction(void)
{
	if (unlikely(po_evidence.in_block))
		po_evidence_end_block();
}

#endif							/* PO_EVIDENCE_H */
