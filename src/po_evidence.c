/*
 * po_evidence.c
 *		What hints at waste in the statements of this session.
 *
 * A loop is a statement that is called too often in one transaction, or in a burst of
 * transactions of one statement each (po_loop_is).  In a transaction each call counts at
 * once.  A burst is judged when it ends, or when the statement whose rows it goes
 * through is called again, since it may be another client's then.
 *
 * Of reads the hash is looked for in a table that all sessions share; it is too small for
 * all reads, and hashing and looking cost.  So only those with a sixteenth of all hashes are
 * counted, by all sessions the same, unless there are so few different ones that these are
 * not about a sixteenth of the reads.  It is the hash of the last parameter where that is a
 * whole number: then most reads need not be hashed at all.
 *
 * What is counted is in words of the session's that po_statement.c merges with what is
 * counted of its statements, when the next one has ended.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "model/po_repeats.h"
#include "po_compat.h"
#include "po_evidence.h"
#include "po_plan_look.h"
#include "po_statement.h"

#define LOOK_EVERY_US		(10 * PO_US_PER_S)

/* A text or parameter that is longer is no key of a cache. */
#define LONGEST_KEY			16384

#define READ_WAYS			4
#define MOST_REMEMBERED		256	/* reads of a statement, for how many are sampled */

PoEvidence	po_evidence;
static PoRun runs[PO_STATEMENT_ACCOUNTS + 1];

static inline uint32
bit_of(const PoStatementAccount *a)
{
	int			account = PO_STATEMENT_END_ACCOUNT(a->tag);

	return account < PO_STATEMENT_ACCOUNTS ? UINT32_C(1) << account : 0;
}

static inline PoHintAccount *
hint_of(const PoStatementAccount *a)
{
	return &po_evidence.session->hint[PO_STATEMENT_END_ACCOUNT(a->tag)];
}

/* What was counted is to be merged. */
static void
tell_hint(const PoStatementAccount *a)
{
	PoStatementAccount *account = unconstify(PoStatementAccount *, a);

	/* Whoever sees the count of changes sees them. */
	pg_write_barrier();
	po_count_own32(&account->hinted, 1);
}

/* ---------- slow ones ---------- */

void
po_evidence_slow(const PoStatementAccount *a, int64 busy_us)
{
	PoHintAccount *h = hint_of(a);

	if (!po_guc_track_findings)
		return;
	po_count_own32(&h->slow, 1);
	po_count_own(&h->slow_us, (uint64) busy_us);
	if (busy_us >= (int64) po_guc_very_slow_statement * PO_US_PER_MS)
		po_count_own32(&h->very_slow, 1);
	tell_hint(a);
}

/* ---------- loops ---------- */

static void
count_loop(const PoRun *run, const PoStatementAccount *a, uint32 loops, uint32 calls)
{
	PoHintAccount *h = hint_of(a);

	po_count_own32(&h->loops, loops);
	po_count_own32(&h->loop_calls, calls);
	pg_atomic_write_u64(&h->parent, run->parent);
	tell_hint(a);
}

/* A run of a burst is over. */
static void
finish(int account)
{
	PoStatementAccount *a = &po_evidence.session->account[account];
	PoRun	   *run = &po_evidence.run[account];
	PoLoop		loop = {
		.calls = run->calls,
		.changes = run->changes > 0 ? run->changes - 1 : 0, /* the first is none */
		.parent_rows = run->parent_rows
	};

	run->burst = 0;
	if (!po_loop_is(&loop, po_guc_loop_calls))
		return;
	count_loop(run, a, 1, run->calls);
	/* Merged by its next end, and that may be long ago. */
	po_statement_tell_end(po_evidence.session, a, PO_BRIEF_BUCKETS);
}

static void
finish_all(void)
{
	uint32		over = po_evidence.over;

	po_evidence.over = 0;
	for (int i = 0; over != 0; i++, over >>= 1)
	{
		if (over & 1)
			finish(i);
	}
}

void
po_evidence_end_burst(void)
{
	if (po_evidence.over != 0)
		finish_all();
	po_evidence.children = 0;
}

void
po_evidence_begin_block(void)
{
	if (po_evidence.in_block || !po_guc_track_findings)
		return;
	po_evidence_new_burst();
	po_evidence.in_block = true;
}

void
po_evidence_end_block(void)
{
	po_evidence.in_block = false;
	po_evidence_new_burst();
}

/* Of the statement in this burst. */
static void
first_call(PoRun *run, const PoStatementAccount *a)
{
	const PoStatementAccount *last = po_evidence.last;

	run->burst = po_evidence.burst;
	run->calls = 0;
	run->limit = (uint32) po_guc_loop_calls + 1;
	run->gap = 0;
	run->changes = 0;
	run->parent = 0;
	run->parent_rows = 0;
	if (po_evidence.wide_burst == po_evidence.burst && po_evidence.wide != a->queryid)
	{
		run->parent = po_evidence.wide;
		run->parent_rows = po_evidence.wide_rows;
		po_evidence.children |= bit_of(a);
	}
	else if (last != NULL && last != a && po_evidence_run(last)->burst == po_evidence.burst)
		run->parent = last->queryid;
}

static void
over(PoRun *run, const PoStatementAccount *a)
{
	if (a->queryid == 0 || run->calls >= PG_UINT32_MAX / 2)
		run->limit = PG_UINT32_MAX;
	else if (po_evidence.in_block)
	{
		bool		is_first = run->calls == (uint32) po_guc_loop_calls + 1;

		count_loop(run, a, is_first ? 1 : 0, is_first ? run->calls : 1);
		run->limit = run->calls + 1;
	}
	else
	{
		po_evidence.over |= bit_of(a);
		run->limit = PG_UINT32_MAX;
	}
}

static void
count_call(PoRun *run, const PoStatementAccount *a, uint32 ends)
{
	if (run->burst != po_evidence.burst)
		first_call(run, a);
	else if (ends - run->end != run->gap)
	{
		run->gap = ends - run->end;
		run->changes++;
	}
	run->end = ends;
	if (++run->calls >= run->limit)
		over(run, a);
	po_evidence.last = unconstify(PoStatementAccount *, a);
}

/* What comes now is not all that the burst has. */
static void
count_lone(void)
{
	const PoStatementAccount *lone =
		po_evidence.so_far == PO_BURST_LONE ? po_evidence.lone : NULL;

	po_evidence.so_far = PO_BURST_COUNTED;
	if (lone != NULL)
		count_call(po_evidence_run(lone), lone, po_evidence.lone_end);
}

void
po_evidence_next_call(PoRun *run, const PoStatementAccount *a)
{
	count_lone();
	count_call(run, a, pg_atomic_read_u32(&po_evidence.session->ends));
}

/* It has returned many rows: what comes now may go through them. */
void
po_evidence_wide(const PoStatementAccount *a, uint64 rows)
{
	uint32		children = po_evidence.in_block ? 0 : po_evidence.children;

	if (a->queryid == 0 || !po_guc_track_findings)
		return;
	/* A utility statement is no call, but it precedes others. */
	if (po_evidence.so_far != PO_BURST_LONE || po_evidence.lone != a)
		count_lone();
	for (int i = 0; children != 0; i++, children >>= 1)
	{
		if ((children & 1) == 0 || po_evidence.run[i].parent != a->queryid)
			continue;
		finish(i);
		po_evidence.children &= ~(UINT32_C(1) << i);
		po_evidence.over &= ~(UINT32_C(1) << i);
	}
	po_evidence.wide = a->queryid;
	po_evidence.wide_rows = rows;
	po_evidence.wide_burst = po_evidence.burst;
}

/* ---------- reads that repeat others ---------- */

static uint64
seed(void)
{
	if (po_evidence.seed == 0)
		po_evidence.seed = 1 | po_reread_mix(po_reread_mix(1, MyDatabaseId),
											 (uint64) po_slots[po_evidence.slot].tenant);
	return po_evidence.seed;
}

/* Typical lengths, without a look at the catalog. */
static int
length_of_type(Oid type, bool *by_value)
{
	*by_value = true;
	switch (type)
	{
		case INT4OID:
		case INT8OID:
		case INT2OID:
		case BOOLOID:
		case OIDOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case FLOAT8OID:
			return sizeof(Datum);
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NUMERICOID:
		case JSONBOID:
			*by_value = false;
			return -1;
		case UUIDOID:
			*by_value = false;
			return 16;
		default:
			*by_value = get_typbyval(type);
			return get_typlen(type);
	}
}

/* False if it is too long, or nobody knows what it is. */
static bool
add_value(const ParamExternData *p, uint64 *hash)
{
	bool		by_value;
	int			length;
	const void *bytes = DatumGetPointer(p->value);

	if (p->isnull)
	{
		*hash = po_reread_mix(*hash, 0x5555);
		return true;
	}
	length = length_of_type(p->ptype, &by_value);
	if (by_value)
	{
		*hash = po_reread_mix(*hash, (uint64) p->value);
		return length > 0;
	}
	if (length == -1)
	{
		if (VARATT_IS_EXTERNAL(bytes) || VARATT_IS_COMPRESSED(bytes))
			return false;
		length = (int) VARSIZE_ANY_EXHDR(bytes);
		bytes = VARDATA_ANY(bytes);
	}
	else if (length == -2)
		length = (int) strnlen(bytes, LONGEST_KEY + 1);
	else if (length == 0)
		return false;
	if (length > LONGEST_KEY)
		return false;
	*hash = po_reread_mix(*hash, hash_bytes_extended(bytes, length, (uint64) length));
	return true;
}

/* Of this statement among those of its string.  Statements with one query id have different
 * constants, and where a text is says nothing: that of a portal is a copy of its own. */
static pg_noinline bool
add_text(const PlannedStmt *stmt, const char *source, uint64 *hash)
{
	const char *from = source + Max(stmt->stmt_location, 0);
	int			length = stmt->stmt_location >= 0 && stmt->stmt_len > 0 ? stmt->stmt_len :
		(int) strnlen(from, LONGEST_KEY + 1);

	if (length > LONGEST_KEY)
		return false;
	*hash = po_reread_mix(*hash, hash_bytes_extended((const unsigned char *) from, length, 0));
	return true;
}

static bool
hash_read(PoRun *run, const PoStatementAccount *a, const QueryDesc *query, uint64 *hash)
{
	const ParamListInfoData *params = query->params;

	if (unlikely(run->user != GetUserId()))
	{
		run->user = GetUserId();
		run->base = po_reread_mix(po_reread_mix(seed(), a->queryid), run->user);
	}
	*hash = run->base;
	if (!add_text(query->plannedstmt, query->sourceText, hash))
		return false;
	if (params == NULL)
		return true;
	if (params->paramFetch != NULL)
		return false;
	for (int i = 0; i < params->numParams; i++)
	{
		if (!add_value(&params->params[i], hash))
			return false;
	}
	return true;
}

/* Which caches would have had it?  Who loses a race against another session has counted all
 * the same. */
static void
look_up(uint64 hash, uint16 now, bool hit[PO_N_CACHE_TTLS])
{
	uint64		set = hash & (uint64) (po_statement_table->n_reads - 1) & ~(uint64) (READ_WAYS - 1);
	uint16		tag = po_reread_tag(hash);
	pg_atomic_uint64 *oldest = NULL;
	uint64		oldest_word = 0;
	int			oldest_age = -1;

	for (int i = 0; i < READ_WAYS; i++)
	{
		pg_atomic_uint64 *at = &po_statement_reads[set + i];
		uint64		word = pg_atomic_read_u64(at);
		uint64		again;

		if (po_reread_is(word, tag))
		{
			again = po_reread_again(word, now, hit);
			if (again != word)
				(void) pg_atomic_compare_exchange_u64(at, &word, again);
			return;
		}
		if (po_reread_age(word, now) > oldest_age)
		{
			oldest = at;
			oldest_word = word;
			oldest_age = po_reread_age(word, now);
		}
	}
	(void) pg_atomic_compare_exchange_u64(oldest, &oldest_word, po_reread_first(tag, now));
}

static void
count_read(PoRun *run, const PoStatementAccount *a, uint64 hash)
{
	PoHintAccount *h = hint_of(a);
	bool		hit[PO_N_CACHE_TTLS] = {false};

	look_up(hash, po_reread_time(GetCurrentStatementStartTimestamp()), hit);
	po_count_own32(&h->reads, 1);
	for (int i = 0; i < PO_N_CACHE_TTLS; i++)
	{
		if (hit[i])
			po_count_own32(&h->rereads[i], 1);
	}
	tell_hint(a);
	if (run->sample.reads >= MOST_REMEMBERED)
	{
		run->sample.reads /= 2;
		run->sample.sampled /= 2;
	}
}

/* Is the read one of the sample?  1 or 0; -1 if its last parameter does not say. */
static inline int
sampled_by_parameter(PoRun *run, const ParamListInfoData *params)
{
	const ParamExternData *p;

	if (params == NULL || params->numParams == 0 || params->paramFetch != NULL)
		return -1;
	p = &params->params[params->numParams - 1];
	if (p->isnull || (p->ptype != INT4OID && p->ptype != INT8OID))
		return -1;
	run->key_type = p->ptype;
	return po_reread_is_sampled(po_reread_mix(0, (uint64) p->value));
}

static void
hash_and_count(PoRun *run, const PoStatementAccount *a, const QueryDesc *query, int sampled)
{
	uint64		hash;

	if (!hash_read(run, a, query, &hash))
		return;
	if (sampled < 0)
		sampled = po_reread_is_sampled(hash);
	run->sample.reads++;
	run->sample.sampled += (uint32) sampled;
	if (sampled || !po_read_sample_will_do(&run->sample))
		count_read(run, a, hash);
}

static void
note_read(PoRun *run, const PoStatementAccount *a, const QueryDesc *query)
{
	int			sampled = sampled_by_parameter(run, query->params);

	po_read_sample_settle(&run->sample);
	if (sampled == 0 && po_read_sample_will_do(&run->sample))
		run->sample.reads++;
	else
		hash_and_count(run, a, query, sampled);
	/* Where other uses are counted, too, each call is looked at. */
	if (sampled >= 0 && (run->flags & PO_PLAN_USES) == 0)
		po_read_sample_grant(&run->sample);
}

/* ---------- plans ---------- */

static void
set_run(PoRun *run, const PoStatementPlan *plan, TimestampTz now)
{
	run->flags = plan->flags & (PO_PLAN_READS | PO_PLAN_USES);
	run->look_at = plan->seen == 0 || plan->seen > now ? 0 : plan->seen + LOOK_EVERY_US;
}

void
po_evidence_account_taken(const PoStatementAccount *a, const PoStatementPlan *known)
{
	PoRun	   *run = po_evidence_run(a);

	po_evidence.over &= ~bit_of(a);
	po_evidence.children &= ~bit_of(a);
	if (po_evidence.last == a)
		po_evidence.last = NULL;
	if (po_evidence.lone == a)
		po_evidence.lone = NULL;
	memset(run, 0, sizeof(*run));
	set_run(run, known, GetCurrentStatementStartTimestamp());
}

void
po_evidence_look(PoRun *run, const PoStatementAccount *a, const QueryDesc *query, uint64 count)
{
	PoStatementPlan plan;

	run->look_at = PG_INT64_MAX;
	po_read_sample_settle(&run->sample);
	run->flags = 0;
	if (a->queryid == 0 || query->planstate == NULL)
		return;
	po_plan_look(query, count, &plan);
	plan.seen = GetCurrentStatementStartTimestamp();
	set_run(run, &plan, plan.seen);
	po_statement_offer_plan(po_evidence.slot, a->queryid, &plan);
}

void
po_evidence_flagged(PoRun *run, const PoStatementAccount *a, const QueryDesc *query)
{
	if (run->flags & PO_PLAN_READS)
		note_read(run, a, query);
	if ((run->flags & PO_PLAN_USES) == 0)
		return;
	for (int i = 0; i < PO_N_STATE_USES; i++)
	{
		if (run->flags & PO_PLAN_USE(i))
			po_evidence_used((PoStateUse) i, a->queryid);
	}
}

/* ---------- the session's state ---------- */

/* What a pooler brings along to another server connection. */
static bool
is_tracked_by_poolers(const char *name)
{
	static const char *const tracked[] = {
		"client_encoding", "DateStyle", "TimeZone", "IntervalStyle",
		"standard_conforming_strings", "application_name"
	};

	for (int i = 0; i < lengthof(tracked); i++)
	{
		if (pg_strcasecmp(name, tracked[i]) == 0)
			return true;
	}
	return false;
}

static bool
is_lasting_set(const VariableSetStmt *stmt)
{
	if (stmt->is_local || stmt->kind == VAR_RESET || stmt->kind == VAR_RESET_ALL ||
		stmt->name == NULL || is_tracked_by_poolers(stmt->name))
		return false;
	/* SET TRANSACTION; that of SESSION CHARACTERISTICS lasts. */
	return stmt->kind != VAR_SET_MULTI || strcmp(stmt->name, "SESSION CHARACTERISTICS") == 0;
}

static bool
is_lasting_table(const RangeVar *table, OnCommitAction on_commit)
{
	bool		is_temporary = table->relpersistence == RELPERSISTENCE_TEMP ||
		(table->schemaname != NULL && strcmp(table->schemaname, "pg_temp") == 0);

	return is_temporary && on_commit != ONCOMMIT_DROP;
}

/* Drivers set their sessions up when they connect, which a pooler can do as well. */
static bool
is_setup(const Node *stmt)
{
	return IsA(stmt, VariableSetStmt) || IsA(stmt, VariableShowStmt) ||
		IsA(stmt, TransactionStmt);
}

int
po_evidence_use_of(const PlannedStmt *planned)
{
	const Node *stmt = planned->utilityStmt;
	bool		has_worked = pg_atomic_read_u32(&po_evidence.session->ends) !=
		po_evidence.setups;

	if (!po_guc_track_findings)
		return -1;
	if (!has_worked && is_setup(stmt))
		po_evidence.setups++;
	switch (nodeTag(stmt))
	{
		case T_ListenStmt:
			return PO_USE_LISTEN;
		case T_PrepareStmt:
			return PO_USE_PREPARED;
		case T_VariableSetStmt:
			return has_worked && is_lasting_set((const VariableSetStmt *) stmt) ? PO_USE_SET : -1;
		case T_DeclareCursorStmt:
			return ((const DeclareCursorStmt *) stmt)->options & CURSOR_OPT_HOLD ?
				PO_USE_HELD_CURSOR : -1;
		case T_CreateStmt:
			return is_lasting_table(((const CreateStmt *) stmt)->relation,
									((const CreateStmt *) stmt)->oncommit) ? PO_USE_TEMP_TABLE : -1;
		case T_CreateTableAsStmt:
			return is_lasting_table(((const CreateTableAsStmt *) stmt)->into->rel,
									((const CreateTableAsStmt *) stmt)->into->onCommit) ?
				PO_USE_TEMP_TABLE : -1;
		default:
			return -1;
	}
}

void
po_evidence_used(PoStateUse use, uint64 queryid)
{
	PoSessionHints *h = &po_evidence.session->hints;

	pg_atomic_write_u64(&h->use_example[use], queryid);
	pg_write_barrier();
	po_count_own(&h->uses[use], 1);
}

/* ---------- sessions ---------- */

void
po_evidence_start(PoStatementSession *session, int slot)
{
	memset(&po_evidence, 0, sizeof(po_evidence));
	memset(runs, 0, sizeof(runs));
	po_evidence.run = runs;
	po_evidence.session = session;
	po_evidence.slot = slot;
	po_evidence.burst = 1;		/* odd, so that it is never 0 */
}

void
po_evidence_stop(void)
{
	if (po_evidence.session != NULL)
		finish_all();
}
