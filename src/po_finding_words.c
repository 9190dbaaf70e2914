/*
 * po_finding_words.c
 *		What is said of a finding: its evidence, and what to do.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "po_finding_words.h"

/* Of a statement's text within a sentence. */
#define SHORT_TEXT		100

/* ---------- numbers ---------- */

static double
ratio(double part, double whole)
{
	return whole > 0 && part > 0 ? part / whole : 0;
}

static double
mean_ms(double seconds, double calls)
{
	return ratio(seconds, calls) * 1000;
}

/* ---------- evidence ---------- */

static void
add_key(StringInfo to, const char *key)
{
	appendStringInfo(to, "%s\"%s\": ", to->len > 1 ? ", " : "", key);
}

static void
add_number(StringInfo to, const char *key, double value, int digits)
{
	add_key(to, key);
	/* JSON has no others; those of a planner's estimates may be. */
	if (isfinite(value))
		appendStringInfo(to, "%.*f", digits, value);
	else
		appendStringInfoString(to, "null");
}

static void
add_text(StringInfo to, const char *key, const char *value)
{
	if (value == NULL)
		return;
	add_key(to, key);
	escape_json(to, value);
}

/* As text: not all readers of JSON have 64 bits. */
static void
add_queryid(StringInfo to, const char *key, uint64 queryid)
{
	if (queryid == 0)
		return;
	add_key(to, key);
	appendStringInfo(to, "\"" INT64_FORMAT "\"", (int64) queryid);
}

static void
add_statement(StringInfo to, const PoFindingFacts *facts)
{
	const PoStatementEvidence *s = &facts->f->s;

	add_text(to, "statement", facts->statement);
	add_number(to, "window_seconds", s->seconds, 1);
	add_number(to, "calls", s->calls, 1);
	add_number(to, "busy_seconds", s->busy_s, 3);
	add_number(to, "mean_ms", mean_ms(s->busy_s, s->calls), 3);
	add_number(to, "share", Min(ratio(s->busy_s + s->wait_s, facts->f->t.held_s), 1), 3);
}

static void
add_hit_rates(StringInfo to, const PoStatementEvidence *s, int ttl)
{
	add_number(to, "reads", s->reads, 1);
	add_number(to, "ttl_seconds", po_finding_ttl_s[ttl], 0);
	add_number(to, "hit_rate", Min(ratio(s->rereads[ttl], s->reads), 1), 3);
	for (int i = 0; i < PO_N_CACHE_TTLS; i++)
	{
		char		key[32];

		snprintf(key, sizeof(key), "hit_rate_%d_seconds", po_finding_ttl_s[i]);
		add_number(to, key, Min(ratio(s->rereads[i], s->reads), 1), 3);
	}
}

static void
add_scan(StringInfo to, const PoFindingFacts *facts)
{
	const PoStatementPlan *plan = &facts->f->plan;

	add_text(to, "database", facts->database);
	add_text(to, "table", facts->table);
	add_text(to, "columns", facts->columns);
	add_number(to, "table_rows", plan->scan_rows, 0);
	add_number(to, "scan_cost_share", plan->scan_share, 3);
}

static void
add_of_statement(StringInfo to, const PoFindingFacts *facts)
{
	const PoFindingRecord *f = facts->f;
	const PoStatementEvidence *s = &f->s;

	add_statement(to, facts);
	switch (f->kind)
	{
		case PO_FINDING_SLOW_STATEMENT:
			add_number(to, "slow_calls", s->slow, 1);
			add_number(to, "very_slow_calls", s->very_slow, 1);
			add_number(to, "slow_seconds", s->slow_s, 3);
			if (facts->p99_ms > 0)
				add_number(to, "p99_ms", facts->p99_ms, 1);
			break;
		case PO_FINDING_N_PLUS_ONE:
			add_number(to, "loops", s->loops, 1);
			add_number(to, "calls_per_loop", ratio(s->loop_calls, s->loops), 1);
			add_queryid(to, "parent_queryid", facts->parent);
			add_text(to, "parent_statement", facts->parent_statement);
			break;
		case PO_FINDING_CLIENT_WAIT:
			add_number(to, "client_wait_seconds", s->wait_s, 3);
			add_number(to, "client_wait_mean_ms", mean_ms(s->wait_s, s->calls), 3);
			add_number(to, "others_wait_mean_ms", mean_ms(f->t.wait_s - s->wait_s,
														  f->t.calls - s->calls), 3);
			break;
		case PO_FINDING_UNPAGED_RESULT:
			add_number(to, "rows", s->rows, 0);
			add_number(to, "rows_per_call", ratio(s->rows, s->calls), 1);
			break;
		case PO_FINDING_SEQUENTIAL_SCAN:
			add_scan(to, facts);
			break;
		case PO_FINDING_REPEATED_READ:
			add_hit_rates(to, s, f->ttl);
			break;
		default:
			add_number(to, "lock_wait_seconds", s->lock_s, 3);
			add_number(to, "lock_wait_mean_ms", mean_ms(s->lock_s, s->calls), 3);
			add_queryid(to, "blocker_queryid", facts->blocker);
			add_text(to, "blocker_statement", facts->blocker_statement);
			break;
	}
}

static void
add_of_tenant(StringInfo to, const PoFindingFacts *facts)
{
	const PoFindingRecord *f = facts->f;
	const PoTenantEvidence *t = &f->t;

	add_number(to, "window_seconds", t->seconds, 1);
	if (f->kind == PO_FINDING_READ_ONLY)
	{
		add_number(to, "transactions", t->transactions, 1);
		add_number(to, "transaction_seconds", t->transaction_s, 3);
		add_number(to, "read_only_seconds", t->read_only_s, 3);
		add_number(to, "read_only_share", Min(ratio(t->read_only_s, t->transaction_s), 1), 3);
	}
	else if (f->kind == PO_FINDING_CHURN)
	{
		add_number(to, "sessions", t->sessions, 1);
		add_number(to, "brief_sessions", t->brief_sessions, 1);
		add_number(to, "sessions_per_second", ratio(t->sessions, t->seconds), 3);
		add_number(to, "login_seconds", t->login_s, 3);
		add_number(to, "login_mean_ms", mean_ms(t->login_s, t->brief_sessions), 3);
	}
	else
	{
		for (int i = 0; i < PO_N_STATE_USES; i++)
		{
			char		key[64];

			if (t->uses[i] <= 0)
				continue;
			snprintf(key, sizeof(key), "%s_uses", po_state_use_name((PoStateUse) i));
			add_number(to, key, t->uses[i], 0);
			snprintf(key, sizeof(key), "%s_queryid", po_state_use_name((PoStateUse) i));
			if (facts->shows_examples)
				add_queryid(to, key, f->use_example[i]);
		}
	}
}

char *
po_finding_words_evidence(const PoFindingFacts *facts)
{
	StringInfoData to;

	initStringInfo(&to);
	appendStringInfoChar(&to, '{');
	if (facts->f->kind < PO_FIRST_TENANT_FINDING)
		add_of_statement(&to, facts);
	else
		add_of_tenant(&to, facts);
	appendStringInfoChar(&to, '}');
	return to.data;
}

/* ---------- advice ---------- */

/* The beginning of a statement, on one line. */
static void
append_short(StringInfo to, const char *text)
{
	int			length = (int) strlen(text);
	int			n = pg_mbcliplen(text, length, SHORT_TEXT);

	appendStringInfoChar(to, '"');
	for (int i = 0; i < n; i++)
		appendStringInfoChar(to, (unsigned char) text[i] < ' ' ? ' ' : text[i]);
	appendStringInfoString(to, n < length ? "...\"" : "\"");
}

static void
advise_slow(const PoFindingFacts *facts, StringInfo to)
{
	const PoStatementEvidence *s = &facts->f->s;

	appendStringInfo(to, "It is slow in %.0f %% of its calls, with %.0f ms each: make it cheaper "
					 "where EXPLAIN (ANALYZE, BUFFERS) shows the time, and bound the rest for "
					 "its role (ALTER ROLE ... SET statement_timeout).",
					 Min(ratio(s->slow, s->calls), 1) * 100, mean_ms(s->slow_s, s->slow));
}

static void
advise_n_plus_one(const PoFindingFacts *facts, StringInfo to)
{
	const PoStatementEvidence *s = &facts->f->s;

	appendStringInfo(to, "It runs %.0f times in a row", ratio(s->loop_calls, s->loops));
	if (facts->parent_statement != NULL)
	{
		appendStringInfoString(to, " after ");
		append_short(to, facts->parent_statement);
		appendStringInfoString(to, ": have that one fetch all by a JOIN");
	}
	else
		appendStringInfoString(to, ": fetch all by a JOIN in the statement before it");
	appendStringInfoString(to, ", or call this once with all keys (WHERE ... = ANY($1)).");
}

static void
advise_client_wait(const PoFindingFacts *facts, StringInfo to)
{
	const PoStatementEvidence *s = &facts->f->s;

	appendStringInfo(to, "After it the transaction waits %.0f ms for its client",
					 mean_ms(s->wait_s, s->calls));
	if (po_finding_waits_alike(s, &facts->f->t))
		appendStringInfoString(to, ", which is about as slow after others: it is far away or short "
							   "of CPU, so have it closer and faster, and fewer statements in a "
							   "transaction");
	else
		appendStringInfoString(to, ": call other services and compute before BEGIN or after "
							   "COMMIT");
	appendStringInfo(to, "; SELECT pool_set_timeouts(%s, idle_in_transaction => '1 min') bounds "
					 "the worst.", quote_literal_cstr(facts->tenant));
}

static void
advise_unpaged(const PoFindingFacts *facts, StringInfo to)
{
	const PoStatementEvidence *s = &facts->f->s;

	appendStringInfo(to, "It returns %.0f rows per call: read pages, each going on after the last "
					 "key of the one before (WHERE key > $1 ORDER BY key LIMIT %d).",
					 ratio(s->rows, s->calls), PO_FINDING_PAGE_ROWS);
}

static void
advise_scan(const PoFindingFacts *facts, StringInfo to)
{
	const PoStatementPlan *plan = &facts->f->plan;

	if (facts->columns != NULL)
		appendStringInfo(to, "Try CREATE INDEX CONCURRENTLY ON %s (%s); the sequential scan of its "
						 "%.0f rows is %.0f %% of what the statement costs.", facts->table,
						 facts->columns, plan->scan_rows, plan->scan_share * 100);
	else if (facts->table != NULL)
		appendStringInfo(to, "It reads all %.0f rows of %s: add a condition with an index for it "
						 "(CREATE INDEX CONCURRENTLY), or keep the result (CREATE MATERIALIZED "
						 "VIEW).", plan->scan_rows, facts->table);
	else if (facts->database != NULL)
		appendStringInfo(to, "It reads all %.0f rows of a table: ask in database \"%s\" for the "
						 "names, and create the index with CREATE INDEX CONCURRENTLY.",
						 plan->scan_rows, facts->database);
	else
		appendStringInfo(to, "It reads all %.0f rows of a table: create an index for its condition "
						 "with CREATE INDEX CONCURRENTLY.", plan->scan_rows);
}

static void
advise_repeated(const PoFindingFacts *facts, StringInfo to)
{
	const PoFindingRecord *f = facts->f;

	appendStringInfo(to, "Keep its result in the application: a cache with a time to live of %d s "
					 "would have answered %.0f %% of its calls.", po_finding_ttl_s[f->ttl],
					 Min(ratio(f->s.rereads[f->ttl], f->s.reads), 1) * 100);
}

static void
advise_hot_row(const PoFindingFacts *facts, StringInfo to)
{
	const PoStatementEvidence *s = &facts->f->s;

	appendStringInfo(to, "It waits %.0f ms per call for locks of other transactions",
					 mean_ms(s->lock_s, s->calls));
	if (facts->blocker_statement != NULL)
	{
		appendStringInfoString(to, ", of which one had come to ");
		append_short(to, facts->blocker_statement);
	}
	appendStringInfoString(to, ": change the row last before COMMIT, spread it over several rows "
						   "that are summed up, or take work from a queue with FOR UPDATE SKIP "
						   "LOCKED.");
}

static void
advise_read_only(const PoFindingFacts *facts, StringInfo to)
{
	const PoTenantEvidence *t = &facts->f->t;

	appendStringInfo(to, "%.0f %% of its time is in transactions that write nothing: connect those "
					 "to a standby (target_session_attrs=prefer-standby), with "
					 "default_transaction_read_only = on to be sure.",
					 Min(ratio(t->read_only_s, t->transaction_s), 1) * 100);
}

static void
advise_churn(const PoFindingFacts *facts, StringInfo to)
{
	const PoTenantEvidence *t = &facts->f->t;

	appendStringInfo(to, "%.2f sessions a second come and are gone after a handful of "
					 "transactions: keep them in a pool in the application, or put PgBouncer in "
					 "front (SELECT pool_client_config(%s, 'pgbouncer')).",
					 ratio(t->sessions, t->seconds), quote_literal_cstr(facts->tenant));
}

static void
advise_session_state(const PoFindingFacts *facts, StringInfo to)
{
	static const char *const instead[PO_N_STATE_USES] = {
		"LISTEN (give it a connection of its own, beside the pooler)",
		"session advisory locks (use pg_advisory_xact_lock)",
		"SET (use SET LOCAL in the transaction, or ALTER ROLE ... SET)",
		"temporary tables (create them ON COMMIT DROP and use them in one transaction)",
		"cursors WITH HOLD (read them to the end within the transaction)",
		"PREPARE by SQL (use the driver's, with max_prepared_statements of PgBouncer 1.21)"
	};
	const char *lead = "";

	appendStringInfoString(to, "Would break behind a pooler in transaction mode: ");
	for (int i = 0; i < PO_N_STATE_USES; i++)
	{
		if (facts->f->t.uses[i] <= 0)
			continue;
		appendStringInfo(to, "%s%s", lead, instead[i]);
		lead = "; ";
	}
	appendStringInfoChar(to, '.');
}

char *
po_finding_words_advice(const PoFindingFacts *facts)
{
	static void (*const advise[PO_N_FINDINGS]) (const PoFindingFacts *, StringInfo) =
	{
		advise_slow, advise_n_plus_one, advise_client_wait, advise_unpaged, advise_scan,
		advise_repeated, advise_hot_row, advise_read_only, advise_churn, advise_session_state
	};
	StringInfoData to;

	initStringInfo(&to);
	advise[facts->f->kind] (facts, &to);
	return to.data;
}

/* ---------- for logs and listeners ---------- */

void
po_finding_words_message(const PoFindingRecord *f, StringInfo message)
{
	const PoStatementEvidence *s = &f->s;

	appendStringInfo(message, "%.2f %s spent on ", f->connections,
					 f->connections == 1 ? "connection is" : "connections are");
	switch (f->kind)
	{
		case PO_FINDING_SLOW_STATEMENT:
			appendStringInfo(message, "a statement that is slow in %.0f %% of its calls, with "
							 "%.0f ms each", Min(ratio(s->slow, s->calls), 1) * 100,
							 mean_ms(s->slow_s, s->slow));
			break;
		case PO_FINDING_N_PLUS_ONE:
			appendStringInfo(message, "a statement that runs %.0f times in a row",
							 ratio(s->loop_calls, s->loops));
			break;
		case PO_FINDING_CLIENT_WAIT:
			appendStringInfo(message, "waiting for clients in their transactions, %.0f ms after "
							 "each call of a statement", mean_ms(s->wait_s, s->calls));
			break;
		case PO_FINDING_UNPAGED_RESULT:
			appendStringInfo(message, "a statement that returns %.0f rows per call",
							 ratio(s->rows, s->calls));
			break;
		case PO_FINDING_SEQUENTIAL_SCAN:
			appendStringInfo(message, "a statement that reads all %.0f rows of a table",
							 f->plan.scan_rows);
			break;
		case PO_FINDING_REPEATED_READ:
			appendStringInfo(message, "a statement that repeats itself: %.0f %% of its calls "
							 "within %d s", Min(ratio(s->rereads[f->ttl], s->reads), 1) * 100,
							 po_finding_ttl_s[f->ttl]);
			break;
		case PO_FINDING_HOT_ROW:
			appendStringInfo(message, "waiting for locks of other transactions, %.0f ms in each "
							 "call of a statement", mean_ms(s->lock_s, s->calls));
			break;
		default:
			appendStringInfo(message, "logins: %.2f sessions a second come and are gone after a "
							 "handful of transactions", ratio(f->t.sessions, f->t.seconds));
			break;
	}
}

char *
po_finding_words_bare_advice(const PoFindingRecord *finding, const char *tenant)
{
	PoFindingFacts facts;

	memset(&facts, 0, sizeof(facts));
	facts.f = finding;
	facts.tenant = tenant;
	return po_finding_words_advice(&facts);
}

char *
po_finding_words_acknowledge(const PoFindingRecord *finding, const char *tenant)
{
	StringInfoData to;

	initStringInfo(&to);
	appendStringInfo(&to, "SELECT pool_acknowledge(%s, '%s', ", quote_literal_cstr(tenant),
					 po_finding_name(finding->kind));
	if (finding->queryid != 0)
		appendStringInfo(&to, INT64_FORMAT ", ", (int64) finding->queryid);
	appendStringInfoString(&to, "reason => '...')");
	return to.data;
}
