/*
 * po_statement.c
 *		The table of statements: what each tenant's connections are spent on.
 *
 * PO_LOCK_STATEMENTS is taken here and nowhere else.  Sessions count into accounts of
 * their own without any lock; the sampler, whoever reads, and at exit the session
 * itself carry over the difference to what was carried over before (as in po_stats.c).
 *
 * Table and texts have fixed sizes.  When a new statement finds no place, the least
 * used of the next few makes room, and its sums go to the tenant's others, so that sums
 * over all rows stay what they are.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/timestamp.h"

#include "po_statement.h"

/* Looked at when room is needed. */
#define CANDIDATES		32

/* What is used is forgotten by half in this time. */
#define HALF_LIFE_US	(600 * PO_US_PER_S)

#define NOT_FOUND		(-1)

static inline void
lock_statements(void)
{
	LWLockAcquire(po_shmem_lock(PO_LOCK_STATEMENTS), LW_EXCLUSIVE);
}

static inline void
unlock_statements(void)
{
	LWLockRelease(po_shmem_lock(PO_LOCK_STATEMENTS));
}

/* ---------- texts ---------- */

static bool
text_is(const PoStatementText *t, const char *text, int length)
{
	int			cell = t->first;

	if (t->length != length)
		return false;
	for (int at = 0; at < length; at += PO_STATEMENT_CELL_LEN)
	{
		if (memcmp(po_statement_cells[cell].bytes, text + at,
				   Min(length - at, PO_STATEMENT_CELL_LEN)) != 0)
			return false;
		cell = po_statement_cells[cell].next;
	}
	return true;
}

static int *
text_bucket(uint64 hash)
{
	return &po_statement_text_buckets[hash & (po_statement_table->n_buckets - 1)];
}

static int
find_text(uint64 hash, const char *text, int length)
{
	int			i = *text_bucket(hash);

	for (; i >= 0; i = po_statement_texts[i].next)
	{
		if (po_statement_texts[i].hash == hash &&
			text_is(&po_statement_texts[i], text, length))
			return i;
	}
	return NOT_FOUND;
}

/* There are as many texts as statements, so a place is free; cells may be none. */
static int
add_text(uint64 hash, const char *text, int length)
{
	PoStatementTable *table = po_statement_table;
	int			n_cells = (length + PO_STATEMENT_CELL_LEN - 1) / PO_STATEMENT_CELL_LEN;
	int			i = table->free_text;
	PoStatementText *t;
	int		   *link;

	if (i < 0 || n_cells > table->n_free_cells)
		return NOT_FOUND;
	t = &po_statement_texts[i];
	table->free_text = t->next;
	t->hash = hash;
	t->references = 0;
	t->length = length;
	link = &t->first;
	for (int at = 0; at < length; at += PO_STATEMENT_CELL_LEN)
	{
		PoStatementCell *cell = &po_statement_cells[table->free_cell];

		*link = table->free_cell;
		table->free_cell = cell->next;
		memcpy(cell->bytes, text + at, Min(length - at, PO_STATEMENT_CELL_LEN));
		link = &cell->next;
	}
	*link = -1;
	table->n_free_cells -= n_cells;
	t->next = *text_bucket(hash);
	*text_bucket(hash) = i;
	return i;
}

static void
free_text(int i)
{
	PoStatementTable *table = po_statement_table;
	PoStatementText *t = &po_statement_texts[i];
	int		   *link = text_bucket(t->hash);
	int			cell = t->first;

	while (*link != i)
		link = &po_statement_texts[*link].next;
	*link = t->next;
	while (cell >= 0)
	{
		int			next = po_statement_cells[cell].next;

		po_statement_cells[cell].next = table->free_cell;
		table->free_cell = cell;
		table->n_free_cells++;
		cell = next;
	}
	t->next = table->free_text;
	table->free_text = i;
}

static void
drop_text(PoStatement *s)
{
	if (s->text >= 0 && --po_statement_texts[s->text].references == 0)
		free_text(s->text);
	s->text = -1;
}

static void
set_text(PoStatement *s, const char *text, int length)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) text, length, 0);
	int			i = find_text(hash, text, length);

	if (i < 0)
		i = add_text(hash, text, length);
	if (i < 0)
		return;
	po_statement_texts[i].references++;
	drop_text(s);
	s->text = i;
}

static void
copy_text(int i, char *text)
{
	int			length = i < 0 ? 0 : po_statement_texts[i].length;
	int			cell = i < 0 ? -1 : po_statement_texts[i].first;

	for (int at = 0; at < length; at += PO_STATEMENT_CELL_LEN)
	{
		memcpy(text + at, po_statement_cells[cell].bytes,
			   Min(length - at, PO_STATEMENT_CELL_LEN));
		cell = po_statement_cells[cell].next;
	}
	text[length] = '\0';
}

int
po_statement_longest_text(void)
{
	const PoStatementTable *t = po_statement_table;
	int			left = *(volatile int *) &t->n_free_cells;
	int			n = left > t->n_cells / 2 ? 9 : left > t->n_cells / 4 ? 4 :
		left > t->n_cells / 16 ? 2 : 1;

	return Min(n * PO_STATEMENT_CELL_LEN, PO_STATEMENT_TEXT_LEN - 1);
}

/* ---------- places ---------- */

static int *
bucket_of(int tenant, uint64 queryid)
{
	uint64		hash = (queryid + (uint64) tenant) * UINT64CONST(0x9E3779B97F4A7C15);

	return &po_statement_buckets[(hash >> 32) & (po_statement_table->n_buckets - 1)];
}

static PoStatement *
find(int tenant, uint64 queryid)
{
	int			i = *bucket_of(tenant, queryid);

	for (; i >= 0; i = po_statement_places[i].next)
	{
		if (po_statement_places[i].queryid == queryid && po_statement_places[i].tenant == tenant)
			return &po_statement_places[i];
	}
	return NULL;
}

static void
add_sums(PoStatementSums *to, const PoStatementSums *n)
{
	to->calls += n->calls;
	to->busy_us += n->busy_us;
	to->wait_us += n->wait_us;
	to->lock_us += n->lock_us;
	to->rows += n->rows;
}

/* Takes a statement off its bucket; the place is the caller's. */
static void
take_out(PoStatement *s)
{
	int			me = (int) (s - po_statement_places);
	int		   *link = bucket_of(s->tenant, s->queryid);

	while (*link != me)
		link = &po_statement_places[*link].next;
	*link = s->next;
	drop_text(s);
	s->in_use = false;
	po_statement_table->n_in_use--;
}

static uint64
use_of(const PoStatement *s, TimestampTz now)
{
	int64		age = now - s->last_seen;

	return s->use >> (age <= 0 ? 0 : Min(age / HALF_LIFE_US, 63));
}

/* The least used of the next few. */
static PoStatement *
make_room(TimestampTz now)
{
	PoStatementTable *table = po_statement_table;
	PoStatement *least = NULL;
	uint64		least_use = 0;

	for (int i = 0; i < CANDIDATES; i++)
	{
		PoStatement *s = &po_statement_places[table->hand];
		uint64		use = use_of(s, now);

		if (++table->hand >= table->n_places)
			table->hand = 0;
		if (s->in_use && (least == NULL || use < least_use))
		{
			least = s;
			least_use = use;
		}
	}
	/* All places are in use, or there would be no need. */
	Assert(least != NULL);
	add_sums(&po_statement_others[least->tenant], &least->sums);
	take_out(least);
	table->evicted++;
	return least;
}

static PoStatement *
place_for_statement(TimestampTz now)
{
	PoStatementTable *table = po_statement_table;
	int			i = table->free_statement;

	if (i >= 0)
	{
		table->free_statement = po_statement_places[i].next;
		return &po_statement_places[i];
	}
	if (table->n_places < table->n_statements)
		return &po_statement_places[table->n_places++];
	return make_room(now);
}

static PoStatement *
find_or_add(int tenant, uint64 queryid, TimestampTz now)
{
	PoStatement *s = find(tenant, queryid);
	int		   *bucket = bucket_of(tenant, queryid);

	if (s != NULL)
		return s;
	s = place_for_statement(now);
	memset(s, 0, sizeof(*s));
	s->queryid = queryid;
	s->tenant = tenant;
	s->in_use = true;
	s->text = -1;
	s->first_seen = s->last_seen = now;
	s->next = *bucket;
	*bucket = (int) (s - po_statement_places);
	po_statement_table->n_in_use++;
	return s;
}

/* ---------- merging ---------- */

/* What has come since *before, which is brought up to now. */
static inline uint64
difference(pg_atomic_uint64 *now, uint64 *before)
{
	uint64		value = pg_atomic_read_u64(now);
	uint64		d = value - *before;

	*before = value;
	return d;
}

static inline uint32
difference32(pg_atomic_uint32 *now, uint32 *before)
{
	uint32		value = pg_atomic_read_u32(now);
	uint32		d = value - *before;

	*before = value;
	return d;
}

/* What *merged is behind, which it then is not.  The words that make up now are not read at
 * once, so it may seem to go back: then nothing, until it has caught up. */
static inline uint64
growth(uint64 now, uint64 *merged)
{
	int64		d = (int64) (now - *merged);

	if (d <= 0)
		return 0;
	*merged = now;
	return (uint64) d;
}

static void
merge_hints(PoHintAccount *a, PoHintMerged *m, PoStatement *s)
{
	PoStatementHints *to = &s->hints;
	uint32		loops = difference32(&a->loops, &m->loops);

	to->slow += difference32(&a->slow, &m->slow);
	to->very_slow += difference32(&a->very_slow, &m->very_slow);
	to->slow_us += difference(&a->slow_us, &m->slow_us);
	to->loops += loops;
	to->loop_calls += difference32(&a->loop_calls, &m->loop_calls);
	to->reads += difference32(&a->reads, &m->reads);
	for (int i = 0; i < PO_N_CACHE_TTLS; i++)
		to->rereads[i] += difference32(&a->rereads[i], &m->rereads[i]);
	if (loops > 0)
		s->parent = pg_atomic_read_u64(&a->parent);
}

static void
merge_session_hints(PoStatementSession *session, int slot, int tenant)
{
	PoTenantHints *to = &po_tenant_hints[tenant];
	PoSessionHints *from = &session->hints;
	PoSessionMerged *m = &session->merged_hints;
	PoAccount  *all = &po_slots[slot].account;
	uint64		held_us = pg_atomic_read_u64(&all->service_us) -
		pg_atomic_read_u64(&from->unseen_us);

	to->transactions += growth(pg_atomic_read_u64(&all->transactions) -
							   pg_atomic_read_u64(&from->unseen), &m->transactions);
	to->held_us += growth(held_us, &m->held_us);
	to->read_only_us += growth(held_us - pg_atomic_read_u64(&from->not_read_only_us),
							   &m->read_only_us);
	for (int i = 0; i < PO_N_STATE_USES; i++)
	{
		uint64		n = difference(&from->uses[i], &m->uses[i]);

		to->uses[i] += n;
		if (n > 0)
			to->use_example[i] = pg_atomic_read_u64(&from->use_example[i]);
	}
}

/* Where the account's statement is now, NULL for those without a queryid. */
static PoStatement *
merge_account(PoStatementSession *session, int tenant, int account, TimestampTz now)
{
	PoStatementAccount *a = &session->account[account];
	PoStatementMerged *m = &session->merged[account];
	PoStatementSums d;
	PoStatement *s;
	bool		hinted = difference32(&a->hinted, &m->hinted) != 0;

	/* Whoever sees the count of changes sees what came before it. */
	pg_read_barrier();
	memset(&d, 0, sizeof(d));
	d.calls = difference(&a->calls, &m->calls);
	d.busy_us = difference(&a->busy_us, &m->busy_us);
	d.wait_us = difference(&a->wait_us, &m->wait_us);
	d.rows = difference(&a->rows, &m->rows);
	add_sums(&po_statement_totals[tenant], &d);
	if (a->queryid == 0)
	{
		add_sums(&po_statement_others[tenant], &d);
		return NULL;
	}
	s = find_or_add(tenant, a->queryid, now);
	s->use = use_of(s, now) + d.calls + (d.busy_us + d.wait_us) / PO_US_PER_MS;
	s->last_seen = now;
	add_sums(&s->sums, &d);
	s->max_us = Max(s->max_us, pg_atomic_read_u64(&a->max_us));
	if (hinted)
		merge_hints(&session->hint[account], &session->merged_hint[account], s);
	if (!OidIsValid(s->database))
		s->database = session->database;
	if (!OidIsValid(s->role))
		s->role = a->role;
	if (s->text < 0)
		pg_atomic_write_u32(&a->wants_text, 1);
	return s;
}

static void
merge(int slot, TimestampTz now)
{
	PoStatementSession *session = &po_statement_sessions[slot];
	PoStatement *place[PO_STATEMENT_ACCOUNTS + 1] = {NULL};
	bool		done[PO_STATEMENT_ACCOUNTS + 1] = {false};
	int			tenant = *(volatile int *) &po_slots[slot].tenant;
	uint32		ends = pg_atomic_read_u32(&session->ends);
	uint32		first = session->merged_ends;

	if (tenant < 0 || ends == first)
		return;
	session->merged_ends = ends;
	pg_read_barrier();
	merge_session_hints(session, slot, tenant);
	if (ends - first > PO_STATEMENT_ENDS)
	{
		/* Nobody knows which ones ended before those that are left. */
		first = ends - PO_STATEMENT_ENDS;
		for (int i = 0; i <= PO_STATEMENT_ACCOUNTS; i++)
		{
			if (i == PO_STATEMENT_UNKNOWN || session->account[i].queryid != 0)
				place[i] = merge_account(session, tenant, i, now);
			done[i] = true;
		}
	}
	for (uint32 i = first; i != ends; i++)
	{
		uint16		end = session->end[i % PO_STATEMENT_ENDS];
		int			account = Min(PO_STATEMENT_END_ACCOUNT(end), PO_STATEMENT_UNKNOWN);

		if (!done[account])
			place[account] = merge_account(session, tenant, account, now);
		done[account] = true;
		/* Another one may have had to make room for a later one. */
		if (place[account] != NULL &&
			place[account]->queryid == session->account[account].queryid)
			po_brief_add(&place[account]->durations, PO_STATEMENT_END_BUCKET(end));
	}
}

bool
po_statement_has_news(int slot)
{
	PoStatementSession *session = &po_statement_sessions[slot];

	return pg_atomic_read_u32(&session->ends) !=
		*(volatile uint32 *) &session->merged_ends;
}

void
po_statement_merge(int slot)
{
	TimestampTz now = GetCurrentTimestamp();

	lock_statements();
	merge(slot, now);
	unlock_statements();
}

void
po_statement_merge_all(void)
{
	for (int i = 0; i < po_shared->n_slots; i++)
	{
		if (pg_atomic_read_u32(&po_slots[i].phase) != PO_SLOT_FREE && po_statement_has_news(i))
			po_statement_merge(i);
	}
}

void
po_statement_note_lock_wait(int slot, int64 us)
{
	PoStatementSession *session = &po_statement_sessions[slot];
	TimestampTz now = GetCurrentTimestamp();
	int			tenant = *(volatile int *) &po_slots[slot].tenant;
	uint64		queryid = pg_atomic_read_u64(&session->current);

	if (tenant < 0 || us <= 0)
		return;
	lock_statements();
	if (queryid == 0)
		po_statement_others[tenant].lock_us += (uint64) us;
	else
	{
		PoStatement *s = find_or_add(tenant, queryid, now);

		s->sums.lock_us += (uint64) us;
		s->last_seen = now;
	}
	unlock_statements();
}

void
po_statement_note_blocker(int slot, int blocker)
{
	int			tenant = *(volatile int *) &po_slots[slot].tenant;
	uint64		queryid = pg_atomic_read_u64(&po_statement_sessions[slot].current);
	uint64		other = pg_atomic_read_u64(&po_statement_sessions[blocker].current);
	bool		is_foreign = *(volatile int *) &po_slots[blocker].tenant != tenant;
	PoStatement *s;

	if (tenant < 0 || queryid == 0 || other == 0)
		return;
	lock_statements();
	s = find(tenant, queryid);
	if (s != NULL)
	{
		s->blocker = other;
		s->blocker_is_foreign = is_foreign;
	}
	unlock_statements();
}

/* ---------- the session's own ---------- */

static void
clear_hints(PoHintAccount *h, PoHintMerged *m)
{
	pg_atomic_write_u64(&h->slow_us, 0);
	pg_atomic_write_u64(&h->parent, 0);
	pg_atomic_write_u32(&h->slow, 0);
	pg_atomic_write_u32(&h->very_slow, 0);
	pg_atomic_write_u32(&h->loops, 0);
	pg_atomic_write_u32(&h->loop_calls, 0);
	pg_atomic_write_u32(&h->reads, 0);
	for (int i = 0; i < PO_N_CACHE_TTLS; i++)
		pg_atomic_write_u32(&h->rereads[i], 0);
	memset(m, 0, sizeof(*m));
}

static void
clear_session_hints(PoSessionHints *h, PoSessionMerged *m)
{
	pg_atomic_write_u64(&h->unseen, 0);
	pg_atomic_write_u64(&h->unseen_us, 0);
	pg_atomic_write_u64(&h->not_read_only_us, 0);
	for (int i = 0; i < PO_N_STATE_USES; i++)
	{
		pg_atomic_write_u64(&h->uses[i], 0);
		pg_atomic_write_u64(&h->use_example[i], 0);
	}
	memset(m, 0, sizeof(*m));
}

static void
clear_account(PoStatementSession *session, int account)
{
	PoStatementAccount *a = &session->account[account];
	PoStatementMerged *m = &session->merged[account];

	clear_hints(&session->hint[account], &session->merged_hint[account]);
	pg_atomic_write_u32(&a->hinted, 0);
	pg_atomic_write_u64(&a->calls, 0);
	pg_atomic_write_u64(&a->busy_us, 0);
	pg_atomic_write_u64(&a->wait_us, 0);
	pg_atomic_write_u64(&a->rows, 0);
	pg_atomic_write_u64(&a->max_us, 0);
	pg_atomic_write_u32(&a->wants_text, 0);
	a->queryid = 0;
	a->role = InvalidOid;
	a->used_at = 0;
	memset(m, 0, sizeof(*m));
}

PoStatementSession *
po_statement_begin(int slot)
{
	PoStatementSession *session = &po_statement_sessions[slot];

	lock_statements();
	pg_atomic_write_u64(&session->current, 0);
	pg_atomic_write_u32(&session->ends, 0);
	session->merged_ends = 0;
	session->database = InvalidOid;
	for (int i = 0; i <= PO_STATEMENT_ACCOUNTS; i++)
		clear_account(session, i);
	clear_session_hints(&session->hints, &session->merged_hints);
	unlock_statements();
	return session;
}

PoStatementAccount *
po_statement_take(int slot, uint64 queryid, Oid database, Oid role, PoStatementPlan *plan)
{
	PoStatementSession *session = &po_statement_sessions[slot];
	int			tenant = po_slots[slot].tenant;
	int			first = (int) (queryid % PO_STATEMENT_SETS) * PO_STATEMENT_WAYS;
	int			oldest = first;
	uint32		ends = pg_atomic_read_u32(&session->ends);
	TimestampTz now = GetCurrentTimestamp();
	PoStatement *known;
	PoStatementAccount *a;

	for (int i = first; i < first + PO_STATEMENT_WAYS; i++)
	{
		if (session->account[i].queryid == 0)
		{
			oldest = i;
			break;
		}
		if (ends - session->account[i].used_at > ends - session->account[oldest].used_at)
			oldest = i;
	}
	a = &session->account[oldest];
	memset(plan, 0, sizeof(*plan));
	lock_statements();
	merge(slot, now);
	clear_account(session, oldest);
	a->queryid = queryid;
	a->role = role;
	a->used_at = ends;
	session->database = database;
	known = tenant < 0 ? NULL : find(tenant, queryid);
	pg_atomic_write_u32(&a->wants_text, known == NULL || known->text < 0);
	if (known != NULL)
		*plan = known->plan;
	unlock_statements();
	return a;
}

void
po_statement_offer_text(int slot, uint64 queryid, Oid role, const char *text, int length)
{
	int			tenant = po_slots[slot].tenant;
	TimestampTz now = GetCurrentTimestamp();
	PoStatement *s;

	if (tenant < 0 || length <= 0)
		return;
	lock_statements();
	s = find_or_add(tenant, queryid, now);
	if (!OidIsValid(s->database))
		s->database = po_statement_sessions[slot].database;
	if (s->text < 0)
	{
		set_text(s, text, length);
		s->role = role;
	}
	unlock_statements();
}

void
po_statement_offer_plan(int slot, uint64 queryid, const PoStatementPlan *plan)
{
	int			tenant = po_slots[slot].tenant;
	TimestampTz now = GetCurrentTimestamp();
	PoStatement *s;

	if (tenant < 0 || queryid == 0)
		return;
	lock_statements();
	s = find_or_add(tenant, queryid, now);
	/* The table's Oid is of that database. */
	if (!OidIsValid(s->database))
		s->database = po_statement_sessions[slot].database;
	if (s->database == po_statement_sessions[slot].database)
		s->plan = *plan;
	unlock_statements();
}

void
po_statement_note_session(int slot, bool is_brief, int64 login_us)
{
	int			tenant = po_slots[slot].tenant;
	PoTenantHints *hints;

	if (tenant < 0)
		return;
	hints = &po_tenant_hints[tenant];
	lock_statements();
	hints->sessions++;
	if (is_brief)
	{
		hints->brief_sessions++;
		hints->login_us += (uint64) Max(login_us, 0);
	}
	unlock_statements();
}

/* ---------- copying ---------- */

int
po_statement_n_places(void)
{
	/* It only grows, and a word is read whole. */
	return *(volatile int *) &po_statement_table->n_places;
}

bool
po_statement_copy(int place, PoStatement *statement, char *text)
{
	const PoStatement *s = &po_statement_places[place];
	bool		found;

	LWLockAcquire(po_shmem_lock(PO_LOCK_STATEMENTS), LW_SHARED);
	found = place < po_statement_table->n_places && s->in_use;
	if (found)
	{
		memcpy(statement, s, sizeof(*s));
		if (text != NULL)
			copy_text(s->text, text);
	}
	LWLockRelease(po_shmem_lock(PO_LOCK_STATEMENTS));
	return found;
}

bool
po_statement_find(int tenant, uint64 queryid, PoStatement *statement, char *text)
{
	const PoStatement *s;

	LWLockAcquire(po_shmem_lock(PO_LOCK_STATEMENTS), LW_SHARED);
	s = find(tenant, queryid);
	if (s != NULL)
	{
		memcpy(statement, s, sizeof(*s));
		copy_text(s->text, text);
	}
	LWLockRelease(po_shmem_lock(PO_LOCK_STATEMENTS));
	return s != NULL;
}

void
po_statement_copy_others(int tenant, PoStatementSums *sums)
{
	LWLockAcquire(po_shmem_lock(PO_LOCK_STATEMENTS), LW_SHARED);
	memcpy(sums, &po_statement_others[tenant], sizeof(*sums));
	LWLockRelease(po_shmem_lock(PO_LOCK_STATEMENTS));
}

void
po_statement_copy_totals(int tenant, PoStatementSums *sums)
{
	LWLockAcquire(po_shmem_lock(PO_LOCK_STATEMENTS), LW_SHARED);
	memcpy(sums, &po_statement_totals[tenant], sizeof(*sums));
	LWLockRelease(po_shmem_lock(PO_LOCK_STATEMENTS));
}

void
po_statement_copy_hints(int tenant, PoTenantHints *hints)
{
	LWLockAcquire(po_shmem_lock(PO_LOCK_STATEMENTS), LW_SHARED);
	memcpy(hints, &po_tenant_hints[tenant], sizeof(*hints));
	LWLockRelease(po_shmem_lock(PO_LOCK_STATEMENTS));
}

static uint64
peek_sums(const volatile PoStatementSums *sums)
{
	return sums->calls + sums->busy_us + sums->wait_us + sums->lock_us;
}

uint64
po_statement_peek(int place)
{
	const volatile PoStatement *s = &po_statement_places[place];

	return s->in_use ? (peek_sums(&s->sums) + s->hints.loops + s->hints.reads) ^ s->queryid : 0;
}

uint64
po_statement_peek_tenant(int tenant)
{
	const volatile PoTenantHints *h = &po_tenant_hints[tenant];
	uint64		sum = peek_sums(&po_statement_totals[tenant]) + h->transactions + h->held_us +
		h->sessions + h->login_us;

	for (int i = 0; i < PO_N_STATE_USES; i++)
		sum += h->uses[i];
	return sum;
}

void
po_statement_copy_table(PoStatementTable *table)
{
	LWLockAcquire(po_shmem_lock(PO_LOCK_STATEMENTS), LW_SHARED);
	memcpy(table, po_statement_table, sizeof(*table));
	LWLockRelease(po_shmem_lock(PO_LOCK_STATEMENTS));
}

void
po_statement_restore(const PoStatement *saved, const char *text)
{
	PoStatementTable *table = po_statement_table;
	int			length = (int) strlen(text);
	TimestampTz now = GetCurrentTimestamp();

	lock_statements();
	if (saved->queryid == 0)
		add_sums(&po_statement_others[saved->tenant], &saved->sums);
	else if (table->n_places < table->n_statements || table->free_statement >= 0 ||
			 find(saved->tenant, saved->queryid) != NULL)
	{
		PoStatement *s = find_or_add(saved->tenant, saved->queryid, now);

		s->role = saved->role;
		s->database = saved->database;
		s->sums = saved->sums;
		s->max_us = saved->max_us;
		s->use = saved->use;
		s->first_seen = saved->first_seen;
		/* The clock may have been set back since it was written. */
		s->last_seen = Min(saved->last_seen, now);
		s->durations = saved->durations;
		s->hints = saved->hints;
		s->plan = saved->plan;
		s->parent = saved->parent;
		s->blocker = saved->blocker;
		s->blocker_is_foreign = saved->blocker_is_foreign;
		if (length > 0 && s->text < 0)
			set_text(s, text, length);
	}
	else
		add_sums(&po_statement_others[saved->tenant], &saved->sums);
	unlock_statements();
}

void
po_statement_restore_hints(int tenant, const PoTenantHints *saved)
{
	lock_statements();
	memcpy(&po_tenant_hints[tenant], saved, sizeof(*saved));
	unlock_statements();
}

void
po_statement_reset(int tenant)
{
	PoStatementTable *table = po_statement_table;

	/* What is not merged yet is of before, too. */
	po_statement_merge_all();
	lock_statements();
	for (int i = 0; i < table->n_places; i++)
	{
		PoStatement *s = &po_statement_places[i];

		if (!s->in_use || (tenant >= 0 && s->tenant != tenant))
			continue;
		take_out(s);
		s->next = table->free_statement;
		table->free_statement = i;
	}
	for (int i = 0; i < po_shared->n_tenants; i++)
	{
		if (tenant < 0 || i == tenant)
		{
			memset(&po_statement_others[i], 0, sizeof(PoStatementSums));
			memset(&po_statement_totals[i], 0, sizeof(PoStatementSums));
			memset(&po_tenant_hints[i], 0, sizeof(PoTenantHints));
		}
	}
	unlock_statements();
}
