/*
 * po_finding_watch.c
 *		Looks for findings in what was counted of statements and tenants.
 *
 * Counters only grow.  For each statement and each tenant there is a window in this process's
 * own memory: what was added to the counters, the older the less (see po_finding.h).  A round
 * goes by all tenants, all statements and all findings, a few in each pass of the sampler; of
 * most only a word is read, as nothing has happened.
 *
 * A window is judged when it is looked at the next time, so that its tenant's window has the
 * other statements of that time, too.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "po_alert.h"
#include "po_finding_table.h"
#include "po_finding_watch.h"
#include "po_guc.h"
#include "po_registry.h"
#include "po_statement.h"

#define ROUND_US		(5 * PO_US_PER_S)

/* In one pass: glanced at, and really looked at. */
#define GLANCES			64
#define LOOKS			16

/* Of findings that have no place yet; each looks through the whole table. */
#define NEWCOMERS		4

/* Not seen for so long, it is gone.  Uses of a session's state are seen when it begins, which
 * may be rare. */
#define KEPT_US			(3600 * PO_US_PER_S)
#define USES_KEPT_US	(7 * 24 * 3600 * PO_US_PER_S)

#define N_OF_STATEMENT	PO_FIRST_TENANT_FINDING
#define N_OF_TENANT		(PO_N_FINDINGS - PO_FIRST_TENANT_FINDING)

typedef struct StatementWindow
{
	uint64		queryid;		/* 0 = free */
	TimestampTz first_seen;
	int			tenant;
	bool		pending;		/* has something that was not judged */
	uint64		peeked;
	int64		at;				/* up to when it is complete, monotonic us */
	PoStatementSums sums;		/* counters as of then */
	PoStatementHints hints;
	PoStatementEvidence s;
	int			finding[N_OF_STATEMENT];	/* its place, -1 = none */
} StatementWindow;

typedef struct TenantWindow
{
	bool		known;
	uint32		hash;			/* of its name */
	bool		pending;
	uint64		peeked;
	int64		at;
	int64		begun;			/* when its statistics were set back, else when we came */
	TimestampTz begun_at;
	PoStatementSums totals;
	PoTenantHints hints;
	double		told_uses;
	PoTenantEvidence t;
	int			finding[N_OF_TENANT];
} TenantWindow;

static StatementWindow *statements = NULL;
static TenantWindow *tenants = NULL;
static int	n_statements = 0;	/* windows that are initialised */
static int	n_tenants = 0;

static TimestampTz attached_at;
static int64 attached_ticks;
static int64 now_ticks;
static int64 round_due;
static bool is_seeking;			/* in this round */
static bool in_first_round;
static int	cursor;				/* -1 = between rounds */
static int	newcomers;			/* in this pass */

/* ---------- windows ---------- */

static double
since(uint64 now, uint64 before)
{
	return now > before ? (double) (now - before) : 0;
}

static double
seconds_since(uint64 now_us, uint64 before_us)
{
	return since(now_us, before_us) / PO_US_PER_S;
}

static double
elapsed_since(int64 before)
{
	return now_ticks > before ? (double) (now_ticks - before) / PO_US_PER_S : 0;
}

/* Brings counters that are doubles up to now; the first of them is the window's length. */
static void
forward(double *number, int n, int64 *at)
{
	double		elapsed = elapsed_since(*at);
	double		kept = po_finding_decay(elapsed);

	for (int i = 0; i < n; i++)
		number[i] *= kept;
	number[0] += po_finding_new_seconds(elapsed);
	*at = now_ticks;
}

static void
forward_statement(StatementWindow *w)
{
	forward(&w->s.seconds, offsetof(PoStatementEvidence, plan) / sizeof(double), &w->at);
}

static void
forward_tenant(TenantWindow *w)
{
	forward(&w->t.seconds, offsetof(PoTenantEvidence, uses) / sizeof(double), &w->at);
}

static void
start_statement(StatementWindow *w, const PoStatement *s)
{
	const TenantWindow *tenant = &tenants[s->tenant];
	int64		begun = tenant->known ? tenant->begun : attached_ticks;
	TimestampTz begun_at = tenant->known ? tenant->begun_at : attached_at;

	memset(w, 0, sizeof(*w));
	w->queryid = s->queryid;
	w->tenant = s->tenant;
	w->first_seen = s->first_seen;
	w->at = now_ticks;
	w->s.seconds = po_finding_new_seconds(elapsed_since(begun));
	for (int i = 0; i < N_OF_STATEMENT; i++)
		w->finding[i] = -1;
	/* Nobody knows when that was. */
	if (s->first_seen < begun_at)
	{
		w->sums = s->sums;
		w->hints = s->hints;
	}
}

static bool
is_same_statement(const StatementWindow *w, const PoStatement *s)
{
	return w->queryid == s->queryid && w->tenant == s->tenant &&
		w->first_seen == s->first_seen && s->sums.calls >= w->sums.calls;
}

static void
add_statement(StatementWindow *w, const PoStatement *s)
{
	PoStatementEvidence *e = &w->s;
	const PoStatementHints *h = &s->hints;

	forward_statement(w);
	e->calls += since(s->sums.calls, w->sums.calls);
	e->busy_s += seconds_since(s->sums.busy_us, w->sums.busy_us);
	e->wait_s += seconds_since(s->sums.wait_us, w->sums.wait_us);
	e->lock_s += seconds_since(s->sums.lock_us, w->sums.lock_us);
	e->rows += since(s->sums.rows, w->sums.rows);
	e->slow += since(h->slow, w->hints.slow);
	e->very_slow += since(h->very_slow, w->hints.very_slow);
	e->slow_s += seconds_since(h->slow_us, w->hints.slow_us);
	e->loops += since(h->loops, w->hints.loops);
	e->loop_calls += since(h->loop_calls, w->hints.loop_calls);
	e->reads += since(h->reads, w->hints.reads);
	for (int i = 0; i < PO_N_CACHE_TTLS; i++)
		e->rereads[i] += since(h->rereads[i], w->hints.rereads[i]);
	w->sums = s->sums;
	w->hints = s->hints;
}

static double
uses_of(const PoTenantEvidence *t)
{
	double		sum = 0;

	for (int i = 0; i < PO_N_STATE_USES; i++)
		sum += t->uses[i];
	return sum;
}

static void
start_tenant(TenantWindow *w, uint32 hash, const PoStatementSums *totals,
			 const PoTenantHints *hints, bool from_zero)
{
	bool		is_set_back = w->known && w->hash == hash;

	memset(w, 0, sizeof(*w));
	w->known = true;
	w->hash = hash;
	w->at = now_ticks;
	/* It did nothing since we came, or is said to have done nothing before now. */
	w->begun = is_set_back ? now_ticks : attached_ticks;
	w->begun_at = is_set_back ? GetCurrentTimestamp() : attached_at;
	w->t.seconds = po_finding_new_seconds(elapsed_since(w->begun));
	for (int i = 0; i < N_OF_TENANT; i++)
		w->finding[i] = -1;
	if (from_zero)
		return;
	w->totals = *totals;
	w->hints = *hints;
	for (int i = 0; i < PO_N_STATE_USES; i++)
		w->told_uses += (double) hints->uses[i];
}

static void
add_tenant(TenantWindow *w, const PoStatementSums *totals, const PoTenantHints *h)
{
	PoTenantEvidence *t = &w->t;

	forward_tenant(w);
	t->held_s += seconds_since(totals->busy_us + totals->wait_us,
							   w->totals.busy_us + w->totals.wait_us);
	t->transactions += since(h->transactions, w->hints.transactions);
	t->transaction_s += seconds_since(h->held_us, w->hints.held_us);
	t->read_only_s += seconds_since(h->read_only_us, w->hints.read_only_us);
	t->sessions += since(h->sessions, w->hints.sessions);
	t->brief_sessions += since(h->brief_sessions, w->hints.brief_sessions);
	t->login_s += seconds_since(h->login_us, w->hints.login_us);
	t->calls += since(totals->calls, w->totals.calls);
	t->wait_s += seconds_since(totals->wait_us, w->totals.wait_us);
	for (int i = 0; i < PO_N_STATE_USES; i++)
		t->uses[i] = (double) h->uses[i];
	w->totals = *totals;
	w->hints = *h;
}

/* ---------- judging ---------- */

/* False when the tenant is not there any more, or there is no place for what is new. */
static bool
note(PoFindingRecord *f, const PoFound *found, const TenantWindow *tenant, int *place)
{
	if (*place < 0 && newcomers++ >= NEWCOMERS)
		return false;
	f->severity = found->severity;
	f->connections = found->connections;
	f->ttl = found->ttl;
	f->t = tenant->t;
	f->subject = tenant->hash;
	f->last_seen = GetCurrentTimestamp();
	f->seen_ticks = now_ticks;
	po_finding_table_note(f, place);
	if (*place >= 0)
		po_alert_note_finding(f, *place);
	return true;
}

static void
judge_statement(StatementWindow *w, const PoStatement *s)
{
	const TenantWindow *tenant = &tenants[s->tenant];
	PoStatementEvidence e = w->s;

	e.plan = s->plan.flags;
	e.scan_share = s->plan.scan_share;
	e.scan_rows = s->plan.scan_rows;
	for (int i = 0; i < N_OF_STATEMENT; i++)
	{
		PoFound		found;
		PoFindingRecord	f;

		po_finding_judge_statement((PoFindingKind) i, &e, &tenant->t, &found);
		if (found.severity == PO_FOUND_NOTHING)
			continue;
		memset(&f, 0, sizeof(f));
		f.kind = (PoFindingKind) i;
		f.tenant = s->tenant;
		f.queryid = s->queryid;
		f.s = e;
		f.plan = s->plan;
		f.parent = s->parent;
		f.blocker = s->blocker;
		f.blocker_is_foreign = s->blocker_is_foreign;
		(void) note(&f, &found, tenant, &w->finding[i]);
	}
}

static void
judge_tenant(TenantWindow *w, int tenant)
{
	for (int i = 0; i < N_OF_TENANT; i++)
	{
		PoFindingKind kind = (PoFindingKind) (PO_FIRST_TENANT_FINDING + i);
		PoFound		found;
		PoFindingRecord	f;

		po_finding_judge_tenant(kind, &w->t, &found);
		/* All uses so far are in the evidence: seen is only what is new. */
		if (found.severity == PO_FOUND_NOTHING ||
			(kind == PO_FINDING_SESSION_STATE && uses_of(&w->t) == w->told_uses))
			continue;
		memset(&f, 0, sizeof(f));
		f.kind = kind;
		f.tenant = tenant;
		memcpy(f.use_example, w->hints.use_example, sizeof(f.use_example));
		if (note(&f, &found, w, &w->finding[i]) && kind == PO_FINDING_SESSION_STATE)
			w->told_uses = uses_of(&w->t);
	}
}

/* ---------- a round ---------- */

/* Has anything been counted, or is something left to be judged? */
static bool
look_at_tenant(int tenant)
{
	TenantWindow *w = &tenants[tenant];
	uint64		peeked = po_statement_peek_tenant(tenant);
	PoTenantGlance glance;
	PoStatementSums totals;
	PoTenantHints hints;

	if (w->known && w->peeked == peeked && !w->pending)
		return false;
	if (!po_registry_glance(tenant, &glance))
	{
		w->known = false;
		return true;
	}
	po_statement_copy_totals(tenant, &totals);
	po_statement_copy_hints(tenant, &hints);
	/* Set back, or another one has its place. */
	if (!w->known || w->hash != glance.hash || hints.transactions < w->hints.transactions ||
		hints.sessions < w->hints.sessions || totals.busy_us < w->totals.busy_us)
		start_tenant(w, glance.hash, &totals, &hints, !w->known && !in_first_round);
	if (w->pending)
		judge_tenant(w, tenant);
	w->pending = w->peeked != peeked;
	w->peeked = peeked;
	add_tenant(w, &totals, &hints);
	return true;
}

static bool
look_at_statement(int place)
{
	StatementWindow *w = &statements[place];
	uint64		peeked = po_statement_peek(place);
	PoStatement s;

	if (w->peeked == peeked && !w->pending)
		return false;
	if (!po_statement_copy(place, &s, NULL) || s.tenant < 0 || s.tenant >= n_tenants)
	{
		w->queryid = w->peeked = 0;
		w->pending = false;
		return true;
	}
	if (!is_same_statement(w, &s))
		start_statement(w, &s);
	if (w->pending && tenants[s.tenant].known)
		judge_statement(w, &s);
	w->pending = w->peeked != peeked;
	w->peeked = peeked;
	add_statement(w, &s);
	return true;
}

/* Not seen for long, or its tenant's place is another one's. */
static bool
look_at_finding(int place)
{
	PoFindingRecord	f;
	PoTenantGlance glance;
	int64		kept;

	if (!po_finding_table_copy(place, &f))
		return false;
	kept = f.kind == PO_FINDING_SESSION_STATE ? USES_KEPT_US : KEPT_US;
	if (now_ticks - f.seen_ticks > kept || !po_registry_glance(f.tenant, &glance) ||
		glance.hash != f.subject)
		po_finding_table_forget(place, f.seen_ticks);
	return true;
}

/* What was counted before is not looked at. */
static void
begin_anew(int64 ticks)
{
	n_statements = n_tenants = 0;
	attached_at = GetCurrentTimestamp();
	attached_ticks = ticks;
	in_first_round = true;
}

/* There may be more than when the sampler began. */
static void
initialise_windows(int n_all_tenants, int n_places)
{
	for (; n_tenants < n_all_tenants; n_tenants++)
		memset(&tenants[n_tenants], 0, sizeof(TenantWindow));
	for (; n_statements < n_places; n_statements++)
		memset(&statements[n_statements], 0, sizeof(StatementWindow));
}

void
po_finding_watch_pass(int64 ticks)
{
	int			n_all_tenants = po_shared->registry.n_tenants;
	int			n_places = po_statement_n_places();
	int			n_findings = po_finding_table_n_places();
	int			looks = 0;

	if (cursor < 0 && ticks < round_due)
		return;
	now_ticks = ticks;
	newcomers = 0;
	if (cursor < 0)
	{
		round_due = ticks + ROUND_US;
		cursor = 0;
		is_seeking = po_guc_track_findings;
		if (is_seeking)
			initialise_windows(n_all_tenants, n_places);
		else
			begin_anew(ticks);
	}
	/* What came in the meantime is looked at in the next round. */
	for (int i = 0; i < GLANCES && looks < LOOKS; i++)
	{
		int			at = cursor++;

		if (at < n_tenants)
			looks += look_at_tenant(at);
		else if ((at -= n_tenants) < n_statements)
			looks += look_at_statement(at);
		else if ((at -= n_statements) < n_findings)
			looks += look_at_finding(at);
		else
		{
			cursor = -1;
			in_first_round = !is_seeking;
			return;
		}
	}
}

static void *
allocate(Size n, Size size)
{
	return MemoryContextAllocExtended(TopMemoryContext, mul_size(n, size), MCXT_ALLOC_HUGE);
}

void
po_finding_watch_attach(void)
{
	/* Not zeroed: most of it is never used. */
	statements = allocate(po_statement_table->n_statements, sizeof(StatementWindow));
	tenants = allocate(po_shared->n_tenants, sizeof(TenantWindow));
	now_ticks = po_shmem_monotonic_us();
	begin_anew(now_ticks);
	round_due = 0;
	cursor = -1;
}
