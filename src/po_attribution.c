/*
 * po_attribution.c
 *		Which statement of this session its connection is spent on.
 *
 * Time is not measured here: all of it is there already.  A statement has the time from
 * its message (GetCurrentStatementStartTimestamp) to the next one's of the transaction,
 * or to the transaction's end, less the time that the session was idle in between, which
 * core counts in pgStatTransactionIdleTime and which is the statement's wait for its
 * client.  So the sum over a transaction's statements is its duration, and nothing reads
 * the clock but for several statements in one message.
 *
 * Statements are those that the client sent.  What they run in turn (functions,
 * triggers) is theirs; it is told apart by the portal, with no hook but the one on
 * ExecutorRun.  All is counted in the session's own accounts (PoStatementSession),
 * without a lock.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "tcop/pquery.h"
#include "utils/portal.h"
#include "utils/timestamp.h"

#include "model/po_normalise.h"
#include "po_attribution.h"
#include "po_clock.h"
#include "po_compat.h"
#include "po_evidence.h"
#include "po_guc.h"
#include "po_sample.h"
#include "po_statement.h"

/* Normalising is bounded: so many bytes, and so often. */
#define MOST_SOURCE			65536
#define TEXTS_AT_ONCE		50
#define TEXT_EVERY_US		(100 * PO_US_PER_MS)

static ExecutorRun_hook_type next_run = NULL;	/* the hook before ours, or the executor */

/* Set while this backend is a session that we know. */
static PoStatementSession *mine = NULL;
static int	my_index;
static bool can_be_elsewhere;	/* reading transactions: this is no standby itself */

/* The statement that runs, or ran last in the open transaction. */
static struct
{
	bool		is_open;
	bool		is_new;			/* counts as a call, is no further fetch of one */
	TimestampTz message;
	TimestampTz since;			/* its time begins; 0 = with the transaction */
	int64		before_us;		/* and so much of what was before */
	PgStat_Counter active;		/* core's counters when it began */
	PgStat_Counter idle;
	uint64		rows;
	int			use;			/* PoStateUse that it is if it is a utility statement, -1 = none */
	PoStatementAccount *account;
}			current;

static bool is_running = false; /* whatever else begins now is a part of it */
static bool execute_next = false;	/* EXECUTE: what begins next is no part of it */
static PgStat_Counter idle_at_end = 0;	/* of the last transaction */

static int	texts_left = TEXTS_AT_ONCE;
static TimestampTz texts_at = 0;

/* ---------- the session's accounts ---------- */

static pg_noinline void
tell_odd_end(PoStatementAccount *a, int bucket, int64 busy_us)
{
	po_evidence_end(a, current.is_new, busy_us, current.rows);
	po_statement_tell_end(mine, a, bucket);
}

/* Of the statement that is open; the times are not negative. */
static inline void
count(int64 busy_us, int64 wait_us)
{
	PoStatementAccount *a = current.account;
	int			bucket = PO_BRIEF_BUCKETS;

	if (likely(current.is_new))
	{
		bucket = po_brief_bucket(busy_us);
		po_count_own(&a->calls, 1);
		if (unlikely((uint64) busy_us > pg_atomic_read_u64(&a->max_us)))
			pg_atomic_write_u64(&a->max_us, (uint64) busy_us);
	}
	po_count_own(&a->busy_us, (uint64) busy_us);
	po_count_own(&a->wait_us, (uint64) wait_us);
	po_count_own(&a->rows, current.rows);
	if (unlikely(po_evidence_is_odd(busy_us, current.rows)))
		tell_odd_end(a, bucket, busy_us);
	else
		po_statement_tell_end(mine, a, bucket);
}

static pg_noinline PoStatementAccount *
search_account(uint64 queryid)
{
	PoStatementAccount *a;
	PoStatementPlan known;
	Oid			role;
	int			context;

	if (queryid == 0)
		return &mine->account[PO_STATEMENT_UNKNOWN];
	a = &mine->account[(queryid % PO_STATEMENT_SETS) * PO_STATEMENT_WAYS];
	for (int i = 1; i < PO_STATEMENT_WAYS; i++)
	{
		if (a[i].queryid == queryid)
			return &a[i];
	}
	/* GetUserId wants one that is valid, which at an abort need not be. */
	GetUserIdAndSecContext(&role, &context);
	a = po_statement_take(my_index, queryid, MyDatabaseId, role, &known);
	po_evidence_account_taken(a, &known);
	return a;
}

static inline PoStatementAccount *
find_account(uint64 queryid)
{
	PoStatementAccount *a =
		&mine->account[(queryid % PO_STATEMENT_SETS) * PO_STATEMENT_WAYS];

	return likely(a->queryid == queryid && queryid != 0) ? a : search_account(queryid);
}

/* ---------- texts ---------- */

/* A burst, then so many a second: new statements all the time must cost little. */
static bool
may_offer_text(TimestampTz now)
{
	int64		passed = now - texts_at;

	if (passed < 0 || passed >= TEXT_EVERY_US)
	{
		int64		more = passed < 0 ? 1 : passed / TEXT_EVERY_US;

		texts_left = (int) Min(texts_left + more, TEXTS_AT_ONCE);
		texts_at = now;
	}
	if (texts_left <= 0)
		return false;
	texts_left--;
	return true;
}

static pg_noinline void
offer_text(PoStatementAccount *a, const PlannedStmt *stmt, const char *source)
{
	char		text[PO_STATEMENT_TEXT_LEN];
	const char *from;
	size_t		length;
	int			n;

	if (!may_offer_text(GetCurrentStatementStartTimestamp()))
		return;
	/* Of several in one string, this one; a length of 0 means up to the end. */
	from = source + Max(stmt->stmt_location, 0);
	length = stmt->stmt_location >= 0 && stmt->stmt_len > 0 ? (size_t) stmt->stmt_len :
		strnlen(from, MOST_SOURCE);
	length = po_normalise(from, Min(length, MOST_SOURCE), text, sizeof(text));
	n = po_statement_longest_text();
	if (length >= (size_t) n)
	{
		n = pg_mbcliplen(text, (int) length, n - 3);
		memcpy(text + n, "...", 3);
		n += 3;
	}
	else
		n = (int) length;
	pg_atomic_write_u32(&a->wants_text, 0);
	po_statement_offer_text(my_index, a->queryid, GetUserId(), text, n);
}

/* ---------- from one statement to the next ---------- */

/*
 * Long, or the clock was set: nobody knows how long.  Just below zero where the process was
 * interrupted between two looks at the clock: then that was counted as idle.
 */
static pg_noinline int64
repair(int64 busy_us, int64 *idle_us)
{
	if (*idle_us >= 0 && busy_us + *idle_us >= 0 && !po_clock_was_set())
	{
		*idle_us += Min(busy_us, 0);
		return Max(busy_us, 0);
	}
	current.before_us = 0;
	*idle_us = 0;
	return 0;
}

/*
 * The open statement ends, as another one of its transaction begins.  Up to core's last
 * change to idle the time was its own; what the next message took before its statement
 * began to run (parsing, planning) is the next one's, in before_us.
 */
static void
end_before(TimestampTz message)
{
	TimestampTz since = current.since;
	TimestampTz at = message;
	int64		before_us = current.before_us;
	int64		idle = pgStatTransactionIdleTime - current.idle;
	int64		busy;
	int64		after_us;

	if (since == 0)
	{
		/* The first: what was before its message is its own. */
		since = current.message;
		before_us = since - GetCurrentTransactionStartTimestamp();
	}
	if (unlikely(message == current.message))
		at = GetCurrentTimestamp();
	busy = at - since - idle;
	after_us = busy - (pgStatActiveTime - current.active);
	/* One message, or a client that did not wait for the answer. */
	if (after_us == busy)
		after_us = 0;
	current.since = at;
	current.before_us = Max(after_us, 0);
	busy += before_us - current.before_us;
	if (unlikely(po_clock_is_odd(busy) || po_clock_is_odd(before_us) || idle < 0))
		busy = repair(busy, &idle);
	count(busy, idle);
}

/*
 * The client has waited in a transaction that has no open statement: an aborted one, or
 * what COMMIT AND CHAIN has begun.
 */
static pg_noinline void
wait_without_statement(PgStat_Counter idle)
{
	PoStatementAccount *a = current.account;

	if (a != NULL && idle > idle_at_end)
	{
		po_count_own(&a->wait_us, (uint64) (idle - idle_at_end));
		po_statement_tell_end(mine, a, PO_BRIEF_BUCKETS);
	}
	idle_at_end = idle;
}

static pg_attribute_always_inline PoStatementAccount *
begin(TimestampTz message, uint64 queryid, bool is_new)
{
	PgStat_Counter idle = pgStatTransactionIdleTime;
	PoStatementAccount *a;

	if (current.is_open)
		end_before(message);
	else
	{
		current.since = 0;
		current.before_us = 0;
		if (unlikely(idle > idle_at_end))
		{
			wait_without_statement(idle);
			current.since = message;
		}
		po_evidence_begin(message);
	}
	current.is_open = true;
	current.is_new = is_new;
	current.message = message;
	current.active = pgStatActiveTime;
	current.idle = idle;
	current.rows = 0;
	current.account = a = find_account(queryid);
	pg_atomic_write_u64(&mine->current, queryid);
	is_running = true;
	return a;
}

/* In the path of each query it is in line, and nowhere else. */
static pg_noinline PoStatementAccount *
begin_other(TimestampTz message, uint64 queryid)
{
	return begin(message, queryid, true);
}

/* ---------- hooks ---------- */

/* Is it of the portal that runs, and not of a function that a statement of it calls? */
static inline bool
is_of_portal(const PlannedStmt *stmt)
{
	return ActivePortal != NULL && ActivePortal->stmts != NIL &&
		(linitial(ActivePortal->stmts) == stmt || list_member_ptr(ActivePortal->stmts, stmt));
}

/* A second one in the same message, after the first has run: another statement of the
 * string, or a trigger of the first? */
static pg_noinline bool
is_next_of_message(const PlannedStmt *stmt)
{
	bool		executes = execute_next;

	execute_next = false;
	return is_of_portal(stmt) && (executes || ActivePortal->name[0] == '\0');
}

static inline bool
begin_run(const QueryDesc *query, uint64 count)
{
	TimestampTz message = GetCurrentStatementStartTimestamp();
	const PlannedStmt *stmt = query->plannedstmt;
	bool		is_new = stmt->canSetTag & !query->already_executed;
	PoStatementAccount *a;

	if (message == current.message)
	{
		if (is_running || !is_next_of_message(stmt))
			return false;
	}
	else
	{
		if (!is_of_portal(stmt))
			return false;
		/* If an EXECUTE came before, this is what it executes, and triggers are a part of it. */
		execute_next = false;
	}
	a = begin(message, (uint64) stmt->queryId, is_new);
	if (unlikely(pg_atomic_read_u32(&a->wants_text) != 0))
		offer_text(a, stmt, query->sourceText);
	if (likely(is_new && po_guc_track_findings))
		po_evidence_call(a, query, message, count);
	return true;
}

/* If it fails, is_running is left as it is: it holds for this message only. */
static void
on_run(PO_COMPAT_RUN_PARAMETERS)
{
	if (mine == NULL || !po_guc_track_statements || !begin_run(queryDesc, count))
	{
		next_run(PO_COMPAT_RUN_ARGUMENTS);
		return;
	}
	next_run(PO_COMPAT_RUN_ARGUMENTS);
	is_running = false;
	current.rows += queryDesc->estate->es_processed;
}

static bool
is_begin(const Node *stmt)
{
	return IsA(stmt, TransactionStmt) &&
		(((const TransactionStmt *) stmt)->kind == TRANS_STMT_BEGIN ||
		 ((const TransactionStmt *) stmt)->kind == TRANS_STMT_START);
}

bool
po_attribution_begin_utility(const PlannedStmt *stmt, const char *source,
							 ProcessUtilityContext context)
{
	TimestampTz message;
	uint64		queryid;
	PoStatementAccount *a;

	if (mine == NULL || !po_guc_track_statements || context != PROCESS_UTILITY_TOPLEVEL)
		return false;
	message = GetCurrentStatementStartTimestamp();
	if (message == current.message && is_running)
		return false;
	/* The statement is what it executes, as for pg_stat_statements. */
	execute_next = IsA(stmt->utilityStmt, ExecuteStmt);
	if (execute_next)
		return false;
	if (!current.is_open && IsAbortedTransactionBlockState())
	{
		/* ROLLBACK of what has ended already, and counts for no transaction. */
		wait_without_statement(pgStatTransactionIdleTime);
		return false;
	}
	/* pg_stat_statements hides it from those that come after it. */
	queryid = stmt->queryId != 0 ? (uint64) stmt->queryId : po_sample_my_queryid();
	a = begin_other(message, queryid);
	if (pg_atomic_read_u32(&a->wants_text) != 0)
		offer_text(a, stmt, source);
	current.use = po_evidence_use_of(stmt);
	if (is_begin(stmt->utilityStmt))
		po_evidence_begin_block();
	return true;
}

void
po_attribution_end_utility(const QueryCompletion *completion)
{
	is_running = false;
	if (current.use >= 0)
		po_evidence_used((PoStateUse) current.use, current.account->queryid);
	if (completion == NULL)
		return;
	switch (completion->commandTag)
	{
		case CMDTAG_COPY:
		case CMDTAG_FETCH:
		case CMDTAG_SELECT:
		case CMDTAG_REFRESH_MATERIALIZED_VIEW:
			current.rows += completion->nprocessed;
			break;
		default:
			break;
	}
}

/* ---------- transactions ---------- */

/* No statement is open: one failed before it ran or was only prepared, or a procedure has
 * committed. */
static void
count_without_statement(int64 total, bool aborted)
{
	uint64		queryid = po_sample_my_queryid();

	current.is_new = false;
	current.rows = 0;
	if (GetCurrentStatementStartTimestamp() != current.message || current.account == NULL)
	{
		current.is_new = aborted && queryid != 0;
		current.account = find_account(queryid);
	}
	count(Max(total, 0), 0);
}

/* Has a statement of the transaction failed before it ran?  Then it begins here. */
void
po_attribution_note_failure(void)
{
	TimestampTz message = GetCurrentStatementStartTimestamp();
	uint64		queryid = po_sample_my_queryid();

	if (mine == NULL || !po_guc_track_statements || !current.is_open ||
		message == current.message || message < current.since || queryid == 0 ||
		po_sample_my_idle_us(message) > 0)
		return;
	begin_other(message, queryid);
	is_running = false;
}

/* How long its statement held the connection, and waited for its client, that is open. */
static void
end_open(int64 service_us, TimestampTz end, bool aborted)
{
	int64		total = current.since == 0 ? service_us : end - current.since;
	int64		idle = pgStatTransactionIdleTime - current.idle;

	if (service_us < 0)
		total = current.before_us = 0;
	total = Max(total, 0);
	/* Ended while it waited for its client. */
	if (aborted)
		idle += po_sample_my_idle_us(end);
	idle = Min(Max(idle, 0), total);
	count(total - idle + current.before_us, idle);
}

void
po_attribution_end_transaction(int64 service_us, TimestampTz end, bool aborted, bool wrote)
{
	bool		was_open;

	if (mine == NULL)
		return;
	pg_atomic_write_u64(&mine->current, 0);
	if (!po_guc_track_statements)
	{
		po_evidence_miss_transaction(service_us);
		idle_at_end = pgStatTransactionIdleTime;
		current.is_open = false;
		return;
	}
	po_evidence_count_transaction(service_us, end, !aborted && !wrote && can_be_elsewhere);
	if (po_evidence.in_block)
		po_evidence_end_block();
	if (aborted)
		po_attribution_note_failure();
	was_open = current.is_open;
	idle_at_end = pgStatTransactionIdleTime;
	current.is_open = false;
	if (was_open)
		end_open(service_us, end, aborted);
	else
		count_without_statement(service_us, aborted);
}

void
po_attribution_commit(int64 service_us, TimestampTz end, bool wrote)
{
	PgStat_Counter idle = pgStatTransactionIdleTime;
	int64		total = service_us;

	if (current.since != 0)
		total = end - current.since + current.before_us;
	/* The rule, in a few instructions: without a call, it needs no place for registers. */
	if (likely(current.is_open && idle == current.idle && total >= 0 && !po_evidence.in_block))
	{
		pg_atomic_write_u64(&mine->current, 0);
		po_evidence_count_transaction(service_us, end, !wrote && can_be_elsewhere);
		idle_at_end = idle;
		current.is_open = false;
		count(total, 0);
	}
	else
		po_attribution_end_transaction(service_us, end, false, wrote);
}

/* ---------- sessions ---------- */

void
po_attribution_start(int slot)
{
	my_index = slot;
	memset(&current, 0, sizeof(current));
	mine = po_statement_begin(slot);
	can_be_elsewhere = !RecoveryInProgress();
	po_evidence_start(mine, slot);
	/* Query ids, unless compute_query_id forbids them.  Where nobody asks for them they
	 * cost nothing. */
	if (po_guc_track_statements)
		EnableQueryId();
}

void
po_attribution_stop(void)
{
	if (mine != NULL)
		po_evidence_stop();
	mine = NULL;
	current.is_open = false;
}

void
po_attribution_install(void)
{
	next_run = ExecutorRun_hook != NULL ? ExecutorRun_hook : standard_ExecutorRun;
	ExecutorRun_hook = on_run;
}
