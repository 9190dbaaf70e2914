/*
 * po_shmem.c
 *		Lays out the shared memory; see po_shmem.h for what is in it.
 *
 * One segment, and one for statements, cut into arrays whose sizes depend on settings
 * that need a restart.
 * The pointers below are set by each process (or inherited from the postmaster).
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "po_compat.h"
#include "po_guc.h"
#include "po_shmem.h"

#define TRANCHE		"pool_optimizer"
#define STATEMENTS	"pool_optimizer statements"

#define CELLS_PER_STATEMENT	2	/* on average a text has so many cells */
#define READS_PER_STATEMENT	4	/* a power of two */

PoShared   *po_shared = NULL;
PoSlot	   *po_slots = NULL;
PoWatch    *po_watches = NULL;
PoTenant   *po_tenants = NULL;
PoTenantStats *po_tenant_stats = NULL;
PoCounter  *po_counters = NULL;
int		   *po_tenant_buckets = NULL;
int		   *po_counter_buckets = NULL;
PoPolicySet *po_policy_set = NULL;
PoEvent    *po_events = NULL;
PoPoolSeen *po_pools = NULL;
int		   *po_tenant_pools = NULL;
PoMetricsState *po_metrics_state = NULL;
bool	   *po_metrics_summed = NULL;
PoHistoryRow *po_history_rows[PO_HISTORY_LEVELS];
PoHistoryMember *po_history_members[PO_HISTORY_FINE];
PoHistoryOpen *po_history_open = NULL;
PoClientApplication *po_client_applications = NULL;
PoClientInstance *po_client_instances = NULL;
int		   *po_application_buckets = NULL;
int		   *po_instance_buckets = NULL;
PoAlertRaised *po_alerts = NULL;
PoAlertEntry *po_alert_entries = NULL;
PoAlertRule *po_alert_rules = NULL;
PoStatementTable *po_statement_table = NULL;
PoStatementSession *po_statement_sessions = NULL;
PoStatementSums *po_statement_others = NULL;
PoStatementSums *po_statement_totals = NULL;
PoTenantHints *po_tenant_hints = NULL;
PoStatement *po_statement_places = NULL;
PoStatementText *po_statement_texts = NULL;
PoStatementCell *po_statement_cells = NULL;
int		   *po_statement_buckets = NULL;
int		   *po_statement_text_buckets = NULL;
PoFindingTable *po_finding_table = NULL;
PoFindingRecord *po_findings = NULL;
PoAcknowledged *po_acknowledged = NULL;
pg_atomic_uint64 *po_statement_reads = NULL;

static LWLockPadded *locks = NULL;
static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;
static void (*run_after_startup) (void) = NULL;

/* A fine ring has members for at least so many buckets, all of them busy in each. */
#define LEAST_FINE_BUCKETS	60
#define LEAST_MEMBERS		8
#define MOST_MEMBERS		1024

static void
set_history_sizes(PoShared *s)
{
	static const int per_tenant[PO_HISTORY_LEVELS] = {1, 2, 8};
	const int	setting[PO_HISTORY_LEVELS] = {
		po_guc_history_second_rows, po_guc_history_ten_second_rows, po_guc_history_minute_rows
	};

	for (int i = 0; i < PO_HISTORY_LEVELS; i++)
	{
		PoHistoryLevel *level = &s->history[i];

		level->n_rows = setting[i] >= 0 ? setting[i] :
			(int) Min(Max((int64) s->n_tenants * per_tenant[i], 1000), INT_MAX / 2);
		level->n_members = i == PO_HISTORY_MINUTE ? 0 :
			Min(Max(level->n_rows / LEAST_FINE_BUCKETS, LEAST_MEMBERS), MOST_MEMBERS);
	}
}

/* Sizes as the settings have them; MaxBackends must be known. */
static void
set_sizes(PoShared *s)
{
	s->n_slots = MaxBackends;
	s->n_tenants = po_guc_max_tenants + 1;
	s->n_counters = MaxBackends * PO_N_COUNTED;
	s->n_policies = po_guc_max_tenants + 256;
	s->n_events = po_guc_history_events;
	s->n_pools = po_guc_max_tenants + 256;
	/* More than there can be with sessions, so that some is always free or long gone. */
	s->n_client_applications = po_guc_max_tenants / 2 + MaxBackends;
	s->n_client_instances = po_guc_max_tenants / 2 + 4 * MaxBackends;
	for (s->n_client_buckets = 64; s->n_client_buckets < s->n_client_instances;)
		s->n_client_buckets *= 2;
	s->n_alerts = po_guc_max_tenants / 4 + 64;
	s->n_alert_entries = Max(po_guc_history_events / 4, 64);
	s->n_alert_rules = po_guc_max_tenants / 8 + 64;
	for (s->n_buckets = 64; s->n_buckets < Max(s->n_tenants, s->n_counters);)
		s->n_buckets *= 2;
	set_history_sizes(s);
	s->usable = Max(MaxConnections - po_compat_reserved_connections(), 0);
	s->max_waiting = po_guc_max_waiting >= 0 ? po_guc_max_waiting : MaxConnections / 10;
}

static Size
policy_set_size(const PoShared *s)
{
	return MAXALIGN(add_size(offsetof(PoPolicySet, policy),
							 mul_size(s->n_policies, sizeof(PoPolicy))));
}

#define TAKE(pointer, bytes) \
	do { \
		(pointer) = (void *) (base == NULL ? NULL : base + at); \
		at = add_size(at, CACHELINEALIGN(bytes)); \
	} while (0)

/*
 * Cuts the segment that starts at base.  With base NULL only counts; the pointers
 * are then not meant to be used.
 */
static Size
lay_out(const PoShared *s, char *base)
{
	Size		at = 0;

	at = add_size(at, CACHELINEALIGN(sizeof(PoShared)));
	TAKE(po_slots, mul_size(s->n_slots, sizeof(PoSlot)));
	TAKE(po_watches, mul_size(s->n_slots, sizeof(PoWatch)));
	TAKE(po_tenants, mul_size(s->n_tenants, sizeof(PoTenant)));
	TAKE(po_tenant_stats, mul_size(s->n_tenants, sizeof(PoTenantStats)));
	TAKE(po_counters, mul_size(s->n_counters, sizeof(PoCounter)));
	TAKE(po_tenant_buckets, mul_size(s->n_buckets, sizeof(int)));
	TAKE(po_counter_buckets, mul_size(s->n_buckets, sizeof(int)));
	TAKE(po_events, mul_size(mul_size(PO_N_RINGS, s->n_events), sizeof(PoEvent)));
	TAKE(po_policy_set, policy_set_size(s));
	TAKE(po_pools, mul_size(s->n_pools, sizeof(PoPoolSeen)));
	TAKE(po_tenant_pools, mul_size(s->n_tenants, sizeof(int)));
	TAKE(po_metrics_state, sizeof(PoMetricsState));
	TAKE(po_metrics_summed, mul_size(s->n_tenants, sizeof(bool)));
	for (int i = 0; i < PO_HISTORY_LEVELS; i++)
		TAKE(po_history_rows[i], mul_size(s->history[i].n_rows, sizeof(PoHistoryRow)));
	for (int i = 0; i < PO_HISTORY_FINE; i++)
		TAKE(po_history_members[i],
			 mul_size(s->history[i].n_members, sizeof(PoHistoryMember)));
	TAKE(po_history_open, mul_size(s->n_tenants + 1, sizeof(PoHistoryOpen)));
	TAKE(po_client_applications, mul_size(s->n_client_applications,
										  sizeof(PoClientApplication)));
	TAKE(po_client_instances, mul_size(s->n_client_instances, sizeof(PoClientInstance)));
	TAKE(po_application_buckets, mul_size(s->n_client_buckets, sizeof(int)));
	TAKE(po_instance_buckets, mul_size(s->n_client_buckets, sizeof(int)));
	TAKE(po_alerts, mul_size(s->n_alerts, sizeof(PoAlertRaised)));
	TAKE(po_alert_entries, mul_size(s->n_alert_entries, sizeof(PoAlertEntry)));
	TAKE(po_alert_rules, mul_size(s->n_alert_rules, sizeof(PoAlertRule)));
	return at;
}

static void
set_statement_sizes(PoStatementTable *t)
{
	t->n_statements = po_guc_max_statements;
	t->n_cells = po_guc_max_statements * CELLS_PER_STATEMENT;
	for (t->n_buckets = 64; t->n_buckets < t->n_statements;)
		t->n_buckets *= 2;
	t->n_reads = t->n_buckets * READS_PER_STATEMENT;
}

/* The same for the segment of statements. */
static Size
lay_out_statements(const PoShared *s, const PoStatementTable *t, char *base)
{
	Size		at = 0;

	at = add_size(at, CACHELINEALIGN(sizeof(PoStatementTable)));
	TAKE(po_statement_sessions, mul_size(s->n_slots, sizeof(PoStatementSession)));
	TAKE(po_statement_others, mul_size(s->n_tenants, sizeof(PoStatementSums)));
	TAKE(po_statement_totals, mul_size(s->n_tenants, sizeof(PoStatementSums)));
	TAKE(po_tenant_hints, mul_size(s->n_tenants, sizeof(PoTenantHints)));
	TAKE(po_statement_places, mul_size(t->n_statements, sizeof(PoStatement)));
	TAKE(po_statement_texts, mul_size(t->n_statements, sizeof(PoStatementText)));
	TAKE(po_statement_cells, mul_size(t->n_cells, sizeof(PoStatementCell)));
	TAKE(po_statement_buckets, mul_size(t->n_buckets, sizeof(int)));
	TAKE(po_statement_text_buckets, mul_size(t->n_buckets, sizeof(int)));
	TAKE(po_finding_table, sizeof(PoFindingTable));
	TAKE(po_findings, mul_size(po_guc_max_findings, sizeof(PoFindingRecord)));
	TAKE(po_acknowledged, mul_size(po_guc_max_findings, sizeof(PoAcknowledged)));
	TAKE(po_statement_reads, mul_size(t->n_reads, sizeof(pg_atomic_uint64)));
	return at;
}
#undef TAKE

static void
request(void)
{
	PoShared	sizes;
	PoStatementTable statements;

	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	memset(&sizes, 0, sizeof(sizes));
	memset(&statements, 0, sizeof(statements));
	set_sizes(&sizes);
	set_statement_sizes(&statements);
	RequestAddinShmemSpace(lay_out(&sizes, NULL));
	RequestAddinShmemSpace(lay_out_statements(&sizes, &statements, NULL));
	RequestNamedLWLockTranche(TRANCHE, PO_N_LOCKS);
}

static void
init_slots(void)
{
	for (int i = 0; i < po_shared->n_slots; i++)
	{
		PoSlot	   *slot = &po_slots[i];

		pg_atomic_init_u32(&slot->phase, PO_SLOT_FREE);
		pg_atomic_init_u32(&slot->keeps, 0);
		pg_atomic_init_u64(&slot->account.transactions, 0);
		pg_atomic_init_u64(&slot->account.rollbacks, 0);
		pg_atomic_init_u64(&slot->account.errors, 0);
		pg_atomic_init_u64(&slot->account.service_us, 0);
		pg_atomic_init_u64(&slot->account.service_sq, 0);
		pg_atomic_init_u64(&slot->account.last_error_at, 0);
		pg_atomic_init_u32(&slot->account.last_sqlstate, 0);
		pg_atomic_init_u32(&slot->order.phase, PO_ORDER_NONE);
		slot->tenant = -1;
		for (int c = 0; c < PO_N_COUNTED; c++)
			slot->counter[c] = -1;
		pg_atomic_init_u64(&po_watches[i].state_change, 0);
		pg_atomic_init_u32(&po_watches[i].finding, 0);
	}
}

static void
init_registry(void)
{
	PoRegistry *r = &po_shared->registry;
	TimestampTz now = GetCurrentTimestamp();

	r->guarantee_scale = 1.0;
	r->queue_head = r->queue_tail = -1;
	r->free_tenant = -1;
	r->news = -1;
	r->touched = -1;
	r->generation = 1;
	po_policy_defaults(&r->cluster);
	for (int i = 0; i < po_shared->n_buckets; i++)
		po_tenant_buckets[i] = po_counter_buckets[i] = -1;
	for (int i = 0; i < po_shared->n_counters; i++)
		po_counters[i].next = i + 1 < po_shared->n_counters ? i + 1 : -1;
	r->free_counter = 0;

	/* (other) is there from the start and is in no bucket: nobody can ask for it. */
	strlcpy(po_tenants[PO_TENANT_OTHER].name, PO_TENANT_OTHER_NAME, PO_NAME_LEN);
	po_tenants[PO_TENANT_OTHER].in_use = true;
	po_tenants[PO_TENANT_OTHER].next = -1;
	po_tenants[PO_TENANT_OTHER].first_seen = now;
	po_policy_defaults(&po_tenants[PO_TENANT_OTHER].fields);
	r->n_tenants = 1;
}

static void
init_history(void)
{
	for (int i = 0; i < PO_HISTORY_LEVELS; i++)
		po_shared->history[i].whole = true;
	for (int i = 0; i < PO_HISTORY_FINE; i++)
	{
		for (int j = 0; j < po_shared->history[i].n_members; j++)
			po_history_members[i][j].tenant = -1;
	}
}

static void
init_clients(void)
{
	PoShared   *s = po_shared;

	for (int i = 0; i < s->n_client_applications; i++)
		po_client_applications[i].next = i + 1 < s->n_client_applications ? i + 1 : -1;
	for (int i = 0; i < s->n_client_instances; i++)
		po_client_instances[i].next = i + 1 < s->n_client_instances ? i + 1 : -1;
	for (int i = 0; i < s->n_client_buckets; i++)
		po_application_buckets[i] = po_instance_buckets[i] = -1;
}

static void
init_shared(PoShared *s, const PoShared *sizes, Size size)
{
	memcpy(s, sizes, sizeof(PoShared));
	s->size = size;
	pg_atomic_init_u32(&s->sampler_pid, 0);
	pg_atomic_init_u32(&s->sampler_procno, 0);
	pg_atomic_init_u64(&s->samples, 0);
	pg_atomic_init_u64(&s->missed_samples, 0);
	pg_atomic_init_u64(&s->sample_ns, 0);
	pg_atomic_init_u64(&s->last_sample, 0);
	pg_atomic_init_u64(&s->watched, (uint64) GetCurrentTimestamp());
	pg_atomic_init_u64(&s->last_pass, 0);
	pg_atomic_init_u64(&s->worker_errors, 0);
	pg_atomic_init_u64(&s->cpu_speed_ppm, 0);
	pg_atomic_init_u32(&s->keeper_reads, 1);
	pg_atomic_init_u32(&s->keeper_pid, 0);
	pg_atomic_init_u32(&s->pooler_pid, 0);
	pg_atomic_init_u64(&s->changes_applied, 0);
	pg_atomic_init_u64(&s->history_written, 0);
	pg_atomic_init_u64(&s->season_start, 0);
	pg_atomic_init_u64(&s->seasons, 0);
	pg_atomic_init_u32(&s->extension_found, 0);
	for (int i = 0; i < PO_N_EVENT_KINDS; i++)
	{
		pg_atomic_init_u64(&s->notify_rate[i].taken, 0);
		pg_atomic_init_u64(&s->notify_rate[i].suppressed, 0);
	}
	/* One change is pending from the start: the table has not been read. */
	pg_atomic_init_u64(&s->changes_requested, 1);
}

static void
init_statement_account(PoStatementAccount *a, int index)
{
	a->tag = PO_STATEMENT_TAG(index);
	pg_atomic_init_u64(&a->calls, 0);
	pg_atomic_init_u64(&a->busy_us, 0);
	pg_atomic_init_u64(&a->wait_us, 0);
	pg_atomic_init_u64(&a->rows, 0);
	pg_atomic_init_u64(&a->max_us, 0);
	pg_atomic_init_u32(&a->wants_text, 0);
	pg_atomic_init_u32(&a->hinted, 0);
}

static void
init_statement_hints(PoStatementSession *s)
{
	for (int i = 0; i <= PO_STATEMENT_ACCOUNTS; i++)
	{
		PoHintAccount *h = &s->hint[i];

		pg_atomic_init_u64(&h->slow_us, 0);
		pg_atomic_init_u64(&h->parent, 0);
		pg_atomic_init_u32(&h->slow, 0);
		pg_atomic_init_u32(&h->very_slow, 0);
		pg_atomic_init_u32(&h->loops, 0);
		pg_atomic_init_u32(&h->loop_calls, 0);
		pg_atomic_init_u32(&h->reads, 0);
		for (int ttl = 0; ttl < PO_N_CACHE_TTLS; ttl++)
			pg_atomic_init_u32(&h->rereads[ttl], 0);
	}
	pg_atomic_init_u64(&s->hints.unseen, 0);
	pg_atomic_init_u64(&s->hints.unseen_us, 0);
	pg_atomic_init_u64(&s->hints.not_read_only_us, 0);
	for (int i = 0; i < PO_N_STATE_USES; i++)
	{
		pg_atomic_init_u64(&s->hints.uses[i], 0);
		pg_atomic_init_u64(&s->hints.use_example[i], 0);
	}
}

static void
init_statements(PoStatementTable *t, const PoStatementTable *sizes, Size size)
{
	memcpy(t, sizes, sizeof(PoStatementTable));
	t->size = size;
	po_finding_table->n_findings = po_guc_max_findings;
	t->free_statement = -1;
	t->free_text = t->free_cell = 0;
	t->n_free_cells = t->n_cells;
	for (int i = 0; i < po_shared->n_slots; i++)
	{
		PoStatementSession *s = &po_statement_sessions[i];

		pg_atomic_init_u64(&s->current, 0);
		pg_atomic_init_u32(&s->ends, 0);
		for (int a = 0; a <= PO_STATEMENT_ACCOUNTS; a++)
			init_statement_account(&s->account[a], a);
		init_statement_hints(s);
	}
	for (int i = 0; i < t->n_reads; i++)
		pg_atomic_init_u64(&po_statement_reads[i], 0);
	for (int i = 0; i < t->n_buckets; i++)
		po_statement_buckets[i] = po_statement_text_buckets[i] = -1;
	for (int i = 0; i < t->n_statements; i++)
		po_statement_texts[i].next = i + 1 < t->n_statements ? i + 1 : -1;
	for (int i = 0; i < t->n_cells; i++)
		po_statement_cells[i].next = i + 1 < t->n_cells ? i + 1 : -1;
}

/* After the main segment; under AddinShmemInitLock. */
static void
startup_statements(void)
{
	PoStatementTable sizes;
	Size		size;
	bool		found;

	memset(&sizes, 0, sizeof(sizes));
	set_statement_sizes(&sizes);
	size = lay_out_statements(po_shared, &sizes, NULL);
	po_statement_table = ShmemInitStruct(STATEMENTS, size, &found);
	lay_out_statements(po_shared, found ? po_statement_table : &sizes,
					   (char *) po_statement_table);
	if (found)
		return;
	memset(po_statement_table, 0, size);
	init_statements(po_statement_table, &sizes, size);
}

static void
startup(void)
{
	PoShared	sizes;
	Size		size;
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	memset(&sizes, 0, sizeof(sizes));
	set_sizes(&sizes);
	size = lay_out(&sizes, NULL);

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	po_shared = ShmemInitStruct(TRANCHE, size, &found);
	lay_out(found ? po_shared : &sizes, (char *) po_shared);
	locks = GetNamedLWLockTranche(TRANCHE);
	if (!found)
	{
		memset(po_shared, 0, size);
		init_shared(po_shared, &sizes, size);
		init_slots();
		init_registry();
		init_history();
		init_clients();
	}
	startup_statements();
	LWLockRelease(AddinShmemInitLock);

	if (!found && run_after_startup)
		run_after_startup();
}

void
po_shmem_install(void (*after_startup) (void))
{
	run_after_startup = after_startup;
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup;
}

LWLock *
po_shmem_lock(PoLock lock)
{
	return &locks[lock].lock;
}

bool
po_shmem_is_unlocked(void)
{
	for (int i = 0; i < PO_N_LOCKS; i++)
	{
		if (!LWLockConditionalAcquire(&locks[i].lock, LW_EXCLUSIVE))
			return false;
		LWLockRelease(&locks[i].lock);
	}
	return true;
}

void
po_shmem_require(void)
{
	if (po_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pool_optimizer must be loaded via shared_preload_libraries"),
				 errhint("Add this line to postgresql.conf and restart the server: "
						 "shared_preload_libraries = 'pool_optimizer' "
						 "(after a comma if there are others).")));
}

void
po_shmem_set_error(const char *message)
{
	TimestampTz now = GetCurrentTimestamp();
	char		clipped[PO_ERROR_LEN];

	po_name_copy(clipped, message, sizeof(clipped));
	LWLockAcquire(po_shmem_lock(PO_LOCK_STATUS), LW_EXCLUSIVE);
	memcpy(po_shared->last_error, clipped, sizeof(clipped));
	po_shared->last_error_at = message[0] == '\0' ? 0 : now;
	LWLockRelease(po_shmem_lock(PO_LOCK_STATUS));
}

void
po_shmem_get_error(char *message, Size size, TimestampTz *at)
{
	char		copy[PO_ERROR_LEN];

	LWLockAcquire(po_shmem_lock(PO_LOCK_STATUS), LW_SHARED);
	memcpy(copy, po_shared->last_error, sizeof(copy));
	*at = po_shared->last_error_at;
	LWLockRelease(po_shmem_lock(PO_LOCK_STATUS));
	strlcpy(message, copy, size);
}

void
po_shmem_wake_sampler(void)
{
	uint32		procno = pg_atomic_read_u32(&po_shared->sampler_procno);

	if (procno != 0)
		SetLatch(&GetPGProcByNumber(procno - 1)->procLatch);
}

/*
 * Not instr_time: since 19 that may be the processor's counter, which goes some 0.01 % slower than
 * the clock that people set, differs from process to process by a setting, and jumps when that is
 * changed.
 */
int64
po_shmem_monotonic_us(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64) t.tv_sec * PO_US_PER_S + t.tv_nsec / 1000;
}
