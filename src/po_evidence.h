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

#include "model/po_repeats.h"
#include "po_guc.h"

/* Names that no other library asks for are reached with fewer instructions.  16 and later hide
 * all that is not marked. */
#ifdef __GNUC__
#pragma GCC visibility push(hidden)
#endif

/* Transactions without BEGIN that are so close to each other are of one burst. */
#define PO_BURST_GAP_US		(5 * PO_US_PER_MS)

/* Of a statement: its calls in the transaction or burst, and what its plan says. */
typedef struct PoRun
{
	/* That its calls are of; 0 = of none.  Aligned so that a run is found by a shift. */
	uint32		burst pg_attribute_aligned(128);
	uint32		calls;
	uint32		limit;			/* calls at which to look at them */
	uint32		flags;			/* PO_PLAN_READS, PO_PLAN_USE(...) */
	TimestampTz look_at;		/* when to look at the plan */
	uint64		parent;			/* queryid of what ran before the first of them; 0 = nothing */
	uint64		parent_rows;
	uint32		end;			/* the session's ends, when the last of them began, */
	uint32		gap;			/* and since the one before it; */
	uint32		changes;		/* how often that has changed */
	PoReadSample sample;
	Oid			key_type;		/* of the last parameter, by which the sample is told */
	Oid			user;			/* whose reads base is of */
	uint64		base;			/* hash of what all reads of the statement have in common */
} PoRun;

/* What is known of the calls in a burst. */
typedef enum PoBurstSoFar
{
	PO_BURST_EMPTY,				/* there was none */
	PO_BURST_LONE,				/* one, and it is no more than noted in lone, lone_end */
	PO_BURST_COUNTED			/* all is in the runs */
} PoBurstSoFar;

typedef struct PoEvidence
{
	PoRun	   *run;			/* of each account */
	PoStatementSession *session;
	int			slot;
	uint32		burst;			/* number of it, odd */
	PoBurstSoFar so_far;
	uint32		lone_end;		/* as PoRun's end */
	const PoStatementAccount *lone;
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
} PoEvidence;

extern PoEvidence po_evidence;

extern void po_evidence_start(PoStatementSession *session, int slot);
extern void po_evidence_stop(void);

/* The account is another statement's from now on. */
extern void po_evidence_account_taken(const PoStatementAccount *a, const PoStatementPlan *known);

/* What is rare of the functions below. */
extern void po_evidence_end_burst(void);
extern void po_evidence_slow(const PoStatementAccount *a, int64 busy_us);
extern void po_evidence_wide(const PoStatementAccount *a, uint64 rows);
extern void po_evidence_next_call(PoRun *run, const PoStatementAccount *a);
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

static inline void
po_evidence_new_burst(void)
{
	if (unlikely(po_evidence.so_far == PO_BURST_COUNTED))
		po_evidence_end_burst();
	po_evidence.so_far = PO_BURST_EMPTY;
	po_evidence.burst += 2;
}

/* A transaction begins with a statement whose message came then. */
static inline void
po_evidence_begin(TimestampTz message)
{
	if (message - po_evidence.ended >= PO_BURST_GAP_US)
		po_evidence_new_burst();
}

/* Is it a read outside of the sample, of which nothing but their number matters? */
static inline bool
po_evidence_skips(PoRun *run, const ParamListInfoData *params)
{
	const ParamExternData *p;

	if (run->sample.skips == 0 || params == NULL || params->numParams == 0 ||
		params->paramFetch != NULL)
		return false;
	p = &params->params[params->numParams - 1];
	if (p->ptype != run->key_type || p->isnull ||
		po_reread_is_sampled(po_reread_mix(0, (uint64) p->value)))
		return false;
	run->sample.skips--;
	return true;
}

/* A call of a statement is about to run; count: rows asked for. */
static inline void
po_evidence_call(const PoStatementAccount *a, const QueryDesc *query, TimestampTz message,
				 uint64 count)
{
	PoRun	   *run = po_evidence_run(a);
	uint32		ends = pg_atomic_read_u32(&po_evidence.session->ends);

	if (po_evidence.so_far == PO_BURST_EMPTY)
	{
		/* If it stays the only one of its burst it is no loop: it is counted in its run when
		 * another one comes. */
		po_evidence.so_far = PO_BURST_LONE;
		po_evidence.lone = a;
		po_evidence.lone_end = ends;
	}
	else if (run->burst == po_evidence.burst && ends - run->end == run->gap &&
			 run->calls + 1 < run->limit)
	{
		/* As the one before it. */
		run->end = ends;
		run->calls++;
		po_evidence.last = unconstify(PoStatementAccount *, a);
	}
	else
		po_evidence_next_call(run, a);
	if (unlikely(message >= run->look_at))
		po_evidence_look(run, a, query, count);
	if (!po_evidence_skips(run, query->params) && run->flags != 0)
		po_evidence_flagged(run, a, query);
}

/* A statement has ended: is it to be told of by po_evidence_end? */
static inline bool
po_evidence_is_odd(int64 busy_us, uint64 rows)
{
	return busy_us >= po_guc_slow_us || rows > po_guc_wide_rows;
}

static inline void
po_evidence_end(const PoStatementAccount *a, bool is_call, int64 busy_us, uint64 rows)
{
	if (busy_us >= po_guc_slow_us && is_call)
		po_evidence_slow(a, busy_us);
	if (rows > po_guc_wide_rows)
		po_evidence_wide(a, rows);
}

/* A transaction has ended that nothing was looked for in. */
static inline void
po_evidence_miss_transaction(int64 held_us)
{
	PoSessionHints *h = &po_evidence.session->hints;

	po_count_own(&h->unseen, 1);
	po_count_own(&h->unseen_us, (uint64) Max(held_us, 0));
}

/* A transaction has ended, before its last statement is counted. */
static inline void
po_evidence_count_transaction(int64 held_us, TimestampTz end, bool is_read_only)
{
	po_evidence.ended = end;
	if (unlikely(!po_guc_track_findings))
		po_evidence_miss_transaction(held_us);
	else if (unlikely(!is_read_only))
		po_count_own(&po_evidence.session->hints.not_read_only_us, (uint64) Max(held_us, 0));
}

#ifdef __GNUC__
#pragma GCC visibility pop
#endif

#endif							/* PO_EVIDENCE_H */
