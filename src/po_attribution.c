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

static ExecutorRun_hook_type prev_ExecutorRun_hook = NULL;

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

/* Of the statement that is open; the times are not negative. */
static inline void
count(int64 busy_us, int64 wait_us)
{
	PoStatementAccount *a = current.account;
	int			bucket = PO_BRIEF_BUCKETS;

	if (likely(current.is_new))
	{
		bucket = po_brief_bucket(busy_us);
		po_evidence_add(&a->calls, 1);
		if (unlikely((uint64) busy_us > pg_atomic_read_u64(&a->max_us)))
			pg_atomic_write_u64(&a->max_us, (uint64) busy_us);
	}
	po_evidence_add(&a->busy_us, (uint64) busy_us);
	po_evidence_add(&a->wait_us, (uint64) wait_us);
	po_evidence_add(&a->rows, current.rows);
	po_evidence_end(a, current.is_new, busy_us, current.rows);
	po_statement_tell_end(mine, a, bucket);
}

static pg_noinline PoStatementAccount *
search_account(uint64 queryid)
{
	PoStatementAccount *a;
	PoStatementPlan known;

	if (queryid == 0)
		return &mine->account[PO_STATEMENT_UNKNOWN];
	a = &mine->account[(queryid % PO_STATEMENT_SETS) * PO_STATEMENT_WAYS];
	for (int i = 1; i < PO_STATEMENT_WAYS; i++)
	{
		if (a[i].queryid == queryid)
			return &a[i];
	}
	a = po_statement_take(my_index, queryid, MyDatabaseId, &known);
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

	if (stmt == NULL || !may_offer_text(GetCurrentStatementStartTimestamp()))
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
		po_evidence_add(&a->wait_us, (uint64) (idle - idle_at_end));
		po_statement_tell_end(mine, a, PO_BRIEF_BUCKETS);
	}
	idle_at_end = idle;
}

static inline void
begin(TimestampTz message, uint64 queryid, const PlannedStmt *stmt, const char *source,
	  bool is_new)
{
	PgStat_Counter idle = pgStatTransactionIdleTime;

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
	current.account = find_account(queryid);
	pg_atomic_write_u64(&mine->current, queryid);
	is_running = true;
	if (pg_atomic_read_u32(&current.account->wants_text) != 0)
		offer_text(current.account, stmt, source);
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

	if (message == current.message)
	{
		if (is_running || !is_next_of_message(stmt))
			return false;
	}
	else if (!is_of_portal(stmt))
		return false;
	begin(message, (uint64) stmt->queryId, stmt, query->sourceText,
		  stmt->canSetTag && !query->already_executed);
	if (likely(current.is_new && po_guc_track_findings))
		po_evidence_call(current.account, query, message, count);
	return true;
}

/* If it fails, is_running is left as it is: it holds for this message only. */
static void
on_run(PO_COMPAT_RUN_PARAMETERS)
{
	bool		is_ours = mine != NULL && po_guc_track_statements && begin_run(queryDesc, count);

	if (prev_ExecutorRun_hook)
		prev_ExecutorRun_hook(PO_COMPAT_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(PO_COMPAT_RUN_ARGUMENTS);
	if (is_ours)
	{
		is_running = false;
		current.rows += queryDesc->estate->es_processed;
	}
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
	begin(message, queryid, stmt, source, true);
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
	begin(message, queryid, NULL, NULL, true);
	is_running = false;
}

static pg_noinline void
end_odd(int64 service_us, TimestampTz end, bool aborted)
{
	bool		is_first;
	int64		idle;
	int64		total;

	if (aborted)
		po_attribution_note_failure();
	is_first = !current.is_open || current.since == 0;
	idle = pgStatTransactionIdleTime - current.idle;
	total = is_first ? service_us : end - current.since;
	if (service_us < 0)
		total = current.before_us = 0;
	total = Max(total, 0);
	if (!po_guc_track_statements)
		current.is_open = false;
	else if (!current.is_open)
		count_without_statement(total, aborted);
	else
	{
		current.is_open = false;
		/* Ended while it waited for its client. */
		if (aborted)
			idle += po_sample_my_idle_us(end);
		idle = Min(Max(idle, 0), total);
		count(total - idle + current.before_us, idle);
	}
}

void
po_attribution_end_transaction(int64 service_us, TimestampTz end, bool aborted)
{
	PgStat_Counter idle = pgStatTransactionIdleTime;
	int64		total = service_us;

	if (mine == NULL)
		return;
	pg_atomic_write_u64(&mine->current, 0);
	if (likely(po_guc_track_statements))
	{
		if (likely(po_guc_track_findings))
			po_evidence_count_transaction(Max(service_us, 0), end, !aborted && can_be_elsewhere &&
										  !TransactionIdIsValid(GetTopTransactionIdIfAny()));
		po_evidence_end_transaction();
	}
	idle_at_end = idle;
	if (current.since != 0)
		total = end - current.since + current.before_us;
	/* The rule, in a few instructions. */
	if (likely(current.is_open && idle == current.idle && total >= 0 && service_us >= 0 &&
			   !aborted))
	{
		current.is_open = false;
		count(total, 0);
	}
	else
		end_odd(service_us, end, aborted);
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
}

void
po_attribution_install(void)
{
	prev_ExecutorRun_hook = ExecutorRun_hook;
	ExecutorRun_hook = on_run;
}
