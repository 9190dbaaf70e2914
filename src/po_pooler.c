/*
 * po_pooler.c
 *		The worker that visits PgBouncers.
 *
 * A dynamic worker, attached to no database, started by the sampler while
 * pool_optimizer.pgbouncer_conninfo names anybody.  Every 20 samples (2 s) it asks each
 * console what pools there are, whose they are, and how they do (po_console.c), shows
 * that (po_pooler_table.c) and resizes where policies say so (po_resize.c).  It keeps its
 * connections, so that no PgBouncer logs a login every time.
 *
 * A pool belongs to the tenant of the sessions that its server connections are: SHOW
 * SERVERS has their process ids.  So a pool of another server with the same names is
 * nobody's, and every template of tenants' names works.
 */
#include "postgres.h"

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "po_compat.h"
#include "po_guc.h"
#include "po_inject.h"
#include "po_pooler.h"
#include "po_pooler_table.h"
#include "po_registry.h"
#include "po_resize.h"
#include "po_worker.h"

#define VISIT_EVERY_SAMPLES	20
#define VISIT_RARELY_US		(10 * PO_US_PER_S)
#define CONNECT_MOST_US		(2 * PO_US_PER_S)
#define LET_GO_MOST_US		PO_US_PER_S
#define BACKOFF_MIN_US		PO_US_PER_S
#define BACKOFF_MAX_US		(60 * PO_US_PER_S)
#define ACTIVE_VISITS		8
#define USUAL_RETRY_US		(15 * PO_US_PER_S)
#define MOST_RETRY_S		3600.0
#define RARE_EVERY_VISITS	5	/* who its clients are, and its configuration */
#define MOST_CLIENTS		5000	/* of a PgBouncer; of more it is not asked who they are */
#define MORE_CLIENTS		100		/* that came since they were counted, or are at its console */
/* Databases, and users: configured ones, of which few may be in use.  Those of an answer, and
 * of one before that are not forgotten yet. */
#define MOST_CONFIGURED		(2 * PO_CONSOLE_MOST_ROWS)

/* ---------- in the sampler ---------- */

static BackgroundWorkerHandle *handle = NULL;
static int64 not_before = 0;	/* monotonic us */
static int64 start_backoff_us = 0;

void
po_pooler_manage(void)
{
	int64		ticks;

	if (handle == NULL && po_guc_pgbouncer_conninfo[0] == '\0')
		return;
	if (!po_worker_has_ended(&handle) || po_guc_pgbouncer_conninfo[0] == '\0')
		return;
	ticks = po_shmem_monotonic_us();
	if (ticks < not_before)
		return;
	/* One that ran for longer than that is started again soon. */
	start_backoff_us = start_backoff_us == 0 || ticks - not_before > BACKOFF_MAX_US ?
		BACKOFF_MIN_US : Min(start_backoff_us * 2, BACKOFF_MAX_US);
	not_before = ticks + start_backoff_us;
	if (!po_worker_start("pooler", "po_pooler_main", 0, &handle))
		po_shmem_set_error("no background worker slot is free for visits of PgBouncer: raise "
						   "max_worker_processes");
}

void
po_pooler_reload(void)
{
	start_backoff_us = 0;
	not_before = 0;
}

/* ---------- whom to visit ---------- */

static PoVisitedPooler poolers[PO_POOLER_MOST];
static int	n_poolers = 0;
static char *visited_list = NULL;	/* the setting that they are from */

static HTAB *
create_table(MemoryContext context, const char *name, Size key, Size entry, int flags)
{
	HASHCTL		control;

	memset(&control, 0, sizeof(control));
	control.keysize = key;
	control.entrysize = entry;
	control.hcxt = context;
	return hash_create(name, 64, &control, HASH_ELEM | HASH_CONTEXT | flags);
}

static void
forget_pooler(PoVisitedPooler *p)
{
	po_resize_let_go(p, LET_GO_MOST_US);
	po_console_close(&p->console);
	MemoryContextDelete(p->context);
	memset(p, 0, sizeof(*p));
}

static void
add_pooler(const char *list, const PoPoolerEntry *entry)
{
	PoVisitedPooler *p = &poolers[n_poolers++];

	p->context = AllocSetContextCreate(TopMemoryContext, "pool_optimizer pooler",
									   ALLOCSET_DEFAULT_SIZES);
	p->conninfo = MemoryContextAllocZero(p->context, entry->length + 1);
	memcpy(p->conninfo, list + entry->start, entry->length);
	po_console_name(p->conninfo, p->seen.name, sizeof(p->seen.name));
	p->pools = create_table(p->context, "pools", sizeof(PoPoolKey), sizeof(PoVisitedPool),
							HASH_BLOBS);
	p->databases = create_table(p->context, "databases", PO_PART_LEN,
								sizeof(PoVisitedDatabase), HASH_STRINGS);
	p->users = create_table(p->context, "users", PO_PART_LEN, sizeof(PoVisitedUser),
							HASH_STRINGS);
	p->has_user_sizes = true;
	p->config.login_retry_us = USUAL_RETRY_US;
	p->added_at = po_shmem_monotonic_us();
}

/* Moves one of those before to its new place, with all that is known of it; false when it was
 * not among them. */
static bool
keep_pooler(PoVisitedPooler *before, int n_before, const char *list, const PoPoolerEntry *entry)
{
	for (int i = 0; i < n_before; i++)
	{
		if (before[i].conninfo == NULL || strlen(before[i].conninfo) != entry->length ||
			memcmp(before[i].conninfo, list + entry->start, entry->length) != 0)
			continue;
		poolers[n_poolers++] = before[i];
		memset(&before[i], 0, sizeof(before[i]));
		return true;
	}
	return false;
}

/* Those who cannot be reached may be, now; and the include file may be another one. */
static void
retry_poolers(void)
{
	for (int i = 0; i < n_poolers; i++)
	{
		poolers[i].obeys_file = false;
		if (poolers[i].backoff_us > 0)
			poolers[i].backoff_us = poolers[i].due = 0;
	}
}

/* Settings have been read again. */
static void
find_poolers(void)
{
	static PoVisitedPooler before[PO_POOLER_MOST];
	PoPoolerEntry entry[PO_POOLER_MOST];
	int			n_before = n_poolers;
	int			n;

	if (visited_list == NULL || strcmp(visited_list, po_guc_pgbouncer_conninfo) != 0)
	{
		memcpy(before, poolers, sizeof(before));
		memset(poolers, 0, sizeof(poolers));
		n_poolers = 0;
		if (visited_list != NULL)
			pfree(visited_list);
		visited_list = MemoryContextStrdup(TopMemoryContext, po_guc_pgbouncer_conninfo);
		n = po_pooler_split(visited_list, entry);
		for (int i = 0; i < n; i++)
		{
			if (!keep_pooler(before, n_before, visited_list, &entry[i]))
				add_pooler(visited_list, &entry[i]);
		}
		for (int i = 0; i < n_before; i++)
		{
			if (before[i].conninfo != NULL)
				forget_pooler(&before[i]);
		}
	}
	retry_poolers();
}

/* ---------- what they say ---------- */

/* Who takes the records of an answer. */
typedef struct Taker
{
	PoVisitedPooler *pooler;
	int64		ticks;
	struct SessionPid *pids;	/* sorted */
	int			n_pids;
	int		   *n_sessions;		/* of each tenant */
	PoPoolerCaller *callers;
	int			n_callers;
	int			most_callers;
	PoVisitedConfig config;
} Taker;

typedef struct SessionPid
{
	int			pid;
	int			slot;
} SessionPid;

/* An entry that is new, or there already; NULL when there are so many. */
static void *
enter(PoVisitedPooler *p, HTAB *table, int most, const void *key, Size entry_size)
{
	bool		found;
	char	   *entry;
	Size		key_size = table == p->pools ? sizeof(PoPoolKey) : PO_PART_LEN;

	if (hash_get_num_entries(table) >= most)
		entry = hash_search(table, key, HASH_FIND, &found);
	else
		entry = hash_search(table, key, HASH_ENTER, &found);
	if (entry == NULL)
		p->n_left_out++;
	else if (!found)
		memset(entry + key_size, 0, entry_size - key_size);
	return entry;
}

static void
take_database(const PoPoolerRecord *record, void *arg)
{
	PoVisitedPooler *p = ((Taker *) arg)->pooler;
	PoVisitedDatabase *d;

	d = enter(p, p->databases, MOST_CONFIGURED, record->database.name, sizeof(*d));
	if (d == NULL)
		return;
	d->now = record->database;
	d->visit = p->visit;
	d->stuck = 0;
	/* Until the statistics tell. */
	d->rates.queued = -1;
}

static void
take_user(const PoPoolerRecord *record, void *arg)
{
	PoVisitedPooler *p = ((Taker *) arg)->pooler;
	PoVisitedUser *u;

	if (record->user.pool_size < 0)
		return;
	u = enter(p, p->users, MOST_CONFIGURED, record->user.name, sizeof(*u));
	if (u == NULL)
		return;
	u->pool_size = (int) Min(record->user.pool_size, PG_INT32_MAX);
	u->visit = p->visit;
}

/* Its clients that have been waiting since before the statistics of the last visit. */
static void
count_stuck(const PoPoolerPool *pool, const Taker *taker)
{
	PoVisitedDatabase *d;
	double		longest_us = (double) pool->maxwait * PO_US_PER_S + (double) pool->maxwait_us;

	d = hash_search(taker->pooler->databases, pool->database, HASH_FIND, NULL);
	if (d != NULL && d->stats_at != 0 && pool->cl_waiting > 0 &&
		longest_us > (double) (taker->ticks - d->stats_at))
		d->stuck += Min(pool->cl_waiting, PG_INT32_MAX);
}

static void
take_pool(const PoPoolerRecord *record, void *arg)
{
	PoVisitedPooler *p = ((Taker *) arg)->pooler;
	PoPoolKey	key;
	PoVisitedPool *pool;

	if (strcmp(record->pool.database, PO_CONSOLE_DATABASE) == 0)
		return;
	/* po_pooler_read has put zeros behind the names. */
	memcpy(key.database, record->pool.database, sizeof(key.database));
	memcpy(key.user, record->pool.user, sizeof(key.user));
	pool = enter(p, p->pools, po_shared->n_pools, &key, sizeof(*pool));
	if (pool == NULL)
		return;
	if (pool->visit == 0)
		pool->tenant = pool->callers.instances = -1;
	pool->active += ((double) record->pool.sv_active - pool->active) /
		(pool->visit == 0 ? 1 : ACTIVE_VISITS);
	pool->now = record->pool;
	pool->visit = p->visit;
	pool->n_servers = pool->n_matched = 0;
	count_stuck(&record->pool, arg);
}

static void
take_stats(const PoPoolerRecord *record, void *arg)
{
	Taker	   *taker = arg;
	PoVisitedDatabase *d;

	d = hash_search(taker->pooler->databases, record->stats.database, HASH_FIND, NULL);
	if (d == NULL)
		return;
	po_pooler_rates(d->stats_at == 0 ? NULL : &d->stats, &record->stats,
					taker->ticks - d->stats_at, d->stuck, &d->rates);
	po_pooler_queue_pass(&d->queue, d->rates.queued, taker->ticks - d->stats_at, taker->ticks);
	d->stats = record->stats;
	d->stats_at = taker->ticks;
}

/* ---------- whose pools ---------- */

static int
compare_pids(const void *a, const void *b)
{
	int			one = ((const SessionPid *) a)->pid;
	int			other = ((const SessionPid *) b)->pid;

	return one < other ? -1 : one > other;
}

static void
list_pids(Taker *taker)
{
	taker->pids = palloc(po_shared->n_slots * sizeof(SessionPid));
	taker->n_pids = 0;
	taker->n_sessions = palloc0(po_shared->n_tenants * sizeof(int));
	for (int i = 0; i < po_shared->n_slots; i++)
	{
		uint32		phase = pg_atomic_read_u32(&po_slots[i].phase);
		int			tenant = *(volatile int *) &po_slots[i].tenant;

		if (phase != PO_SLOT_ADMITTED && phase != PO_SLOT_EXEMPT)
			continue;
		if (tenant >= 0 && tenant < po_shared->n_tenants)
			taker->n_sessions[tenant]++;
		/* Whether that is still so is looked at for those that count. */
		taker->pids[taker->n_pids].pid = po_slots[i].pid;
		taker->pids[taker->n_pids++].slot = i;
	}
	qsort(taker->pids, taker->n_pids, sizeof(SessionPid), compare_pids);
}

/* The role that a pool's connections have on its server. */
static const char *
server_role(const PoVisitedPool *pool, const PoPoolerDatabase *database)
{
	return database->force_user[0] != '\0' ? database->force_user : pool->key.user;
}

/* A server connection: is it one of our sessions?  Then its tenant is the pool's. */
static void
take_server(const PoPoolerRecord *record, void *arg)
{
	Taker	   *taker = arg;
	PoPoolKey	key;
	PoVisitedPool *pool;
	const PoPoolerDatabase *database;
	SessionPid	wanted;
	SessionPid *found;
	PoIdentityCopy who;
	PoTenant	tenant;

	memcpy(key.database, record->server.database, sizeof(key.database));
	memcpy(key.user, record->server.user, sizeof(key.user));
	pool = hash_search(taker->pooler->pools, &key, HASH_FIND, NULL);
	database = po_resize_database(taker->pooler, key.database);
	if (pool == NULL || database == NULL || record->server.remote_pid <= 0 ||
		record->server.remote_pid > PG_INT32_MAX)
		return;
	pool->n_servers++;
	/* One is enough for a pool that was ours, see match_pools. */
	if (pool->is_ours && pool->n_matched > 0)
		return;
	wanted.pid = (int) record->server.remote_pid;
	found = bsearch(&wanted, taker->pids, taker->n_pids, sizeof(SessionPid), compare_pids);
	if (found == NULL || !po_registry_copy_session(found->slot, &who) ||
		who.pid != wanted.pid || strcmp(who.database, database->dbname) != 0 ||
		strcmp(who.role, server_role(pool, database)) != 0 ||
		!po_registry_copy_tenant(who.tenant, &tenant))
		return;
	/* The first of them decides whose it is. */
	if (pool->n_matched++ > 0)
		return;
	pool->tenant = who.tenant;
	strlcpy(pool->tenant_name, tenant.name, sizeof(pool->tenant_name));
}

/* A pool without connections is the tenant's that it was, or that its names give. */
static void
match_by_name(const PoVisitedPooler *p, PoVisitedPool *pool)
{
	const PoPoolerDatabase *database = po_resize_database(p, pool->key.database);
	PoIdentity	who = {0};

	if (pool->n_servers > 0 || pool->tenant >= 0 || database == NULL ||
		!po_pooler_template_fits(po_guc_tenant))
		return;
	who.role = server_role(pool, database);
	who.database = database->dbname;
	po_template_expand(po_guc_tenant, &who, pool->tenant_name, sizeof(pool->tenant_name));
	pool->tenant = po_registry_find_tenant(pool->tenant_name);
	pool->is_ours = false;
}

/*
 * Forgets what is not there any more, and tenants that have gone.  A session of another server,
 * say a standby with the same roles and databases, may happen to have the pid of one of ours:
 * a pool is ours when that is so of most of its connections.
 */
static void
match_pools(PoVisitedPooler *p, const Taker *taker)
{
	HASH_SEQ_STATUS status;
	PoVisitedPool *pool;
	PoTenant	tenant;

	hash_seq_init(&status, p->pools);
	while ((pool = hash_seq_search(&status)) != NULL)
	{
		if (pool->visit != p->visit)
		{
			(void) hash_search(p->pools, &pool->key, HASH_REMOVE, NULL);
			continue;
		}
		pool->was_ours = false;
		if (pool->n_servers > 0)
		{
			pool->is_ours = pool->n_matched > (pool->is_ours ? 0 : pool->n_servers / 2);
			if (!pool->is_ours)
				pool->tenant = -1;
		}
		if (pool->tenant >= 0 && (!po_registry_copy_tenant(pool->tenant, &tenant) ||
								  strcmp(tenant.name, pool->tenant_name) != 0))
		{
			pool->tenant = -1;
			pool->is_ours = false;
		}
		match_by_name(p, pool);
		pool->n_sessions = pool->tenant < 0 ? 0 : taker->n_sessions[pool->tenant];
	}
}

static void
forget_old(PoVisitedPooler *p)
{
	HASH_SEQ_STATUS status;
	PoVisitedDatabase *d;
	PoVisitedUser *u;

	hash_seq_init(&status, p->databases);
	while ((d = hash_seq_search(&status)) != NULL)
	{
		if (d->visit != p->visit)
			(void) hash_search(p->databases, d->name, HASH_REMOVE, NULL);
	}
	hash_seq_init(&status, p->users);
	while ((u = hash_seq_search(&status)) != NULL)
	{
		if (u->visit != p->visit)
			(void) hash_search(p->users, u->name, HASH_REMOVE, NULL);
	}
}

/* ---------- a visit ---------- */

/* Asks for one of the answers that there must be. */
static bool
show(PoVisitedPooler *p, PoPoolerCommand command, PoTakeRecord take, Taker *taker)
{
	PoAnswer	answer = po_console_show(&p->console, command, take, taker, &p->n_left_out);

	if (answer == PO_ANSWER_OK)
		return true;
	if (answer == PO_ANSWER_REFUSED)
		p->console.state = PO_POOLER_REFUSED;
	else if (answer == PO_ANSWER_OTHER_COLUMNS)
	{
		p->console.state = PO_POOLER_UNREADABLE;
		snprintf(p->console.error, sizeof(p->console.error),
				 "the answer to %s lacks columns that PgBouncer's has",
				 po_pooler_command(command));
	}
	po_console_close(&p->console);
	return false;
}

/* Older ones tell no sizes of users, which they do not know. */
static bool
show_users(PoVisitedPooler *p, Taker *taker)
{
	int			n_bad = 0;

	if (!p->has_user_sizes)
		return true;
	/* One that cannot be read has no pool, either: that would be missing among these. */
	switch (po_console_show(&p->console, PO_POOLER_USERS, take_user, taker, &n_bad))
	{
		case PO_ANSWER_OK:
			return true;
		case PO_ANSWER_LOST:
			return false;
		default:
			p->has_user_sizes = false;
			return true;
	}
}

static void
take_client(const PoPoolerRecord *record, void *arg)
{
	Taker	   *taker = arg;
	const PoPoolerDatabase *database = po_resize_database(taker->pooler, record->client.database);
	PoPoolerCaller *caller;

	if (taker->n_callers == taker->most_callers)
		return;
	caller = &taker->callers[taker->n_callers++];
	po_pooler_caller(&record->client, caller);
	/* Who logs in is told, and which user's the pool is follows from that. */
	if (database != NULL && database->force_user[0] != '\0')
		memcpy(caller->user, database->force_user, sizeof(caller->user));
}

static int64
count_clients(const PoVisitedPooler *p)
{
	HASH_SEQ_STATUS status;
	const PoVisitedPool *pool;
	int64		clients = 0;

	hash_seq_init(&status, p->pools);
	while ((pool = hash_seq_search(&status)) != NULL)
	{
		clients += Min(pool->now.cl_active, PG_INT32_MAX);
		clients += Min(pool->now.cl_waiting, PG_INT32_MAX);
	}
	return clients;
}

/* instances: 0, or -1 for that nobody knows. */
static void
forget_callers(const PoVisitedPooler *p, int instances)
{
	HASH_SEQ_STATUS status;
	PoVisitedPool *pool;

	hash_seq_init(&status, p->pools);
	while ((pool = hash_seq_search(&status)) != NULL)
	{
		memset(&pool->callers, 0, sizeof(pool->callers));
		pool->callers.instances = instances;
	}
}

static void
count_callers(const PoVisitedPooler *p, Taker *taker)
{
	qsort(taker->callers, taker->n_callers, sizeof(PoPoolerCaller), po_pooler_compare_callers);
	for (int i = 0; i < taker->n_callers;)
	{
		const PoPoolerCaller *first = &taker->callers[i];
		PoPoolerCallers callers;
		PoPoolKey	key;
		PoVisitedPool *pool;

		memcpy(key.database, first->database, sizeof(key.database));
		memcpy(key.user, first->user, sizeof(key.user));
		i += po_pooler_count_callers(first, taker->n_callers - i, &callers);
		pool = hash_search(p->pools, &key, HASH_FIND, NULL);
		if (pool != NULL)
			pool->callers = callers;
	}
}

/*
 * Who its clients are.  That has no bound, and PgBouncer does nothing else while it answers, so
 * it is asked now and then, and not when there are many.  Nothing rests on it.
 */
static bool
show_clients(PoVisitedPooler *p, Taker *taker)
{
	int64		clients = count_clients(p);
	int			n_bad = 0;
	PoAnswer	answer;

	if (clients > MOST_CLIENTS)
	{
		forget_callers(p, -1);
		return true;
	}
	taker->most_callers = (int) clients + MORE_CLIENTS;
	taker->callers = palloc(taker->most_callers * sizeof(PoPoolerCaller));
	answer = po_console_show(&p->console, PO_POOLER_CLIENTS, take_client, taker, &n_bad);
	forget_callers(p, answer == PO_ANSWER_OK ? 0 : -1);
	if (answer == PO_ANSWER_OK)
		count_callers(p, taker);
	return answer != PO_ANSWER_LOST;
}

static void
take_config(const PoPoolerRecord *record, void *arg)
{
	PoVisitedConfig *config = &((Taker *) arg)->config;
	double		retry_s;

	if (strcmp(record->config.key, "auth_user") == 0)
		strlcpy(config->auth_user, record->config.value, sizeof(config->auth_user));
	if (strcmp(record->config.key, "so_reuseport") == 0)
		config->shares_port = atoi(record->config.value) != 0;
	if (strcmp(record->config.key, "server_login_retry") != 0)
		return;
	retry_s = strtod(record->config.value, NULL);
	config->login_retry_us = retry_s > 0 ? (int64) (Min(retry_s, MOST_RETRY_S) * PO_US_PER_S) : 0;
}

/* What seldom changes, and can by RELOAD; nothing that it has to answer.  What was known holds
 * until it has. */
static bool
ask_config(PoVisitedPooler *p, Taker *taker)
{
	int			n_bad = 0;
	PoAnswer	answer;

	memset(&taker->config, 0, sizeof(taker->config));
	taker->config.login_retry_us = USUAL_RETRY_US;
	answer = po_console_show(&p->console, PO_POOLER_CONFIG, take_config, taker, &n_bad);
	if (answer == PO_ANSWER_OK)
		p->config = taker->config;
	p->reloaded = p->reloaded && answer != PO_ANSWER_OK;
	return answer != PO_ANSWER_LOST;
}

static bool
ask_all(PoVisitedPooler *p)
{
	Taker		taker = {.pooler = p};
	bool		is_new = p->console.conn == NULL;
	bool		ask_rare;

	p->visit++;
	ask_rare = is_new || p->visit % RARE_EVERY_VISITS == 0;
	p->n_left_out = 0;
	po_console_begin(&p->console, PO_CONSOLE_MOST_US);
	if (is_new)
		p->has_user_sizes = true;
	if (!po_console_open(&p->console, p->conninfo, CONNECT_MOST_US))
		return false;
	po_console_version(&p->console, p->seen.version, sizeof(p->seen.version));
	if (!show(p, PO_POOLER_DATABASES, take_database, &taker) || !show_users(p, &taker))
		return false;
	forget_old(p);
	taker.ticks = po_shmem_monotonic_us();
	if (!show(p, PO_POOLER_POOLS, take_pool, &taker) ||
		!show(p, PO_POOLER_STATS, take_stats, &taker))
		return false;
	list_pids(&taker);
	if (!show(p, PO_POOLER_SERVERS, take_server, &taker))
		return false;
	match_pools(p, &taker);
	if (ask_rare && !show_clients(p, &taker))
		return false;
	return !(ask_rare || p->reloaded) || ask_config(p, &taker);
}

/*
 * It may be another one when it is back.  What was done to its pools holds all the same: when
 * they were changed, what was told, and which connections are to be let go.
 */
static void
forget_pools(PoVisitedPooler *p)
{
	HASH_SEQ_STATUS status;
	PoVisitedDatabase *d;
	PoVisitedPool *pool;

	hash_seq_init(&status, p->pools);
	while ((pool = hash_seq_search(&status)) != NULL)
	{
		pool->was_ours = pool->was_ours || pool->is_ours;
		pool->tenant = -1;
		pool->is_ours = false;
		pool->n_over = pool->set_to = 0;
		memset(&pool->stall, 0, sizeof(pool->stall));
		pool->told_stall = 0;
	}
	hash_seq_init(&status, p->databases);
	while ((d = hash_seq_search(&status)) != NULL)
		(void) hash_search(p->databases, d->name, HASH_REMOVE, NULL);
}

static void
visit(int which)
{
	PoVisitedPooler *p = &poolers[which];
	bool		well = ask_all(p);
	int64		ticks;

	if (well)
	{
		p->seen.state = PO_POOLER_OK;
		p->seen.error[0] = '\0';
		p->seen.seen_at = GetCurrentTimestamp();
		if (p->n_left_out > 0)
			snprintf(p->seen.error, sizeof(p->seen.error), "%d rows of its answers were left "
					 "out: they are too many, or not as they should be", p->n_left_out);
		/* Anything it fails at is told there. */
		well = po_resize_pooler(poolers, n_poolers, which);
	}
	ticks = po_shmem_monotonic_us();
	if (!well)
	{
		p->seen.state = p->console.state == PO_POOLER_OK ? PO_POOLER_UNREACHABLE :
			p->console.state;
		strlcpy(p->seen.error, p->console.error, sizeof(p->seen.error));
		p->backoff_us = p->backoff_us == 0 ? BACKOFF_MIN_US :
			Min(p->backoff_us * 2, BACKOFF_MAX_US);
		p->due = ticks + p->backoff_us;
		forget_pools(p);
	}
	else
	{
		p->backoff_us = 0;
		p->due = ticks + Min((int64) po_guc_sample_interval * PO_US_PER_MS *
							 VISIT_EVERY_SAMPLES, VISIT_RARELY_US);
		p->seen.next_by = p->due + PO_CONSOLE_MOST_US;
	}
}

/* ---------- showing ---------- */

static void
fill_pool(const PoVisitedPooler *p, const PoVisitedPool *pool, PoPoolSeen *seen)
{
	const PoVisitedDatabase *d = hash_search(p->databases, pool->key.database, HASH_FIND,
											 NULL);

	memset(seen, 0, sizeof(*seen));
	seen->pool = pool->now;
	seen->tenant = pool->tenant;
	seen->pool_size = po_resize_pool_size(p, pool);
	seen->min_pool_size = seen->reserve_pool_size = -1;
	seen->n_servers = pool->n_servers;
	seen->n_sessions = pool->n_sessions;
	seen->obtainable = pool->stall.obtainable;
	seen->problem = (uint8) pool->problem;
	seen->instances = pool->callers.instances;
	seen->least_instances = pool->callers.least;
	seen->rates.xacts = seen->rates.queries = seen->rates.xact_ms = seen->rates.wait_ms = -1;
	seen->rates.queued = -1;
	if (d == NULL)
		return;
	seen->min_pool_size = (int) Min(d->now.min_pool_size, PG_INT32_MAX);
	seen->reserve_pool_size = (int) Min(d->now.reserve_pool_size, PG_INT32_MAX);
	if (d->stats_at != 0)
		seen->rates = d->rates;
	seen->queue = d->queue;
	/* There may be pools that nobody knows of. */
	if (p->n_left_out > 0)
		seen->rates.queued = -1;
}

/* As po_pooler_table_demand wants them. */
static int
compare_pools(const void *a, const void *b)
{
	const PoPoolSeen *one = a;
	const PoPoolSeen *other = b;
	int			order;

	if (one->pooler != other->pooler)
		return one->pooler < other->pooler ? -1 : 1;
	order = strcmp(one->pool.database, other->pool.database);
	return order != 0 ? order : strcmp(one->pool.user, other->pool.user);
}

/* The place of its text + 1; 0 = there is none, or no room. */
static int
add_callers(const PoVisitedPool *pool, PoPoolerTexts *texts)
{
	if (pool->callers.text[0] == '\0' || texts->n == PO_POOLER_TEXTS)
		return 0;
	memcpy(texts->text[texts->n], pool->callers.text, sizeof(texts->text[0]));
	return ++texts->n;
}

static void
publish(void)
{
	PoPoolerSeen seen[PO_POOLER_MOST];
	int			room = po_shared->n_pools;
	PoPoolSeen *pools = palloc(room * sizeof(PoPoolSeen));
	PoPoolerTexts *texts = palloc(sizeof(PoPoolerTexts));
	int			n = 0;
	bool		is_full = false;

	texts->n = 0;
	for (int i = 0; i < n_poolers; i++)
	{
		HASH_SEQ_STATUS status;
		const PoVisitedPool *pool;

		seen[i] = poolers[i].seen;
		if (seen[i].state != PO_POOLER_OK)
			continue;
		hash_seq_init(&status, poolers[i].pools);
		while ((pool = hash_seq_search(&status)) != NULL)
		{
			is_full = is_full || n == room;
			if (n == room)
				continue;
			fill_pool(&poolers[i], pool, &pools[n]);
			pools[n].text = add_callers(pool, texts);
			pools[n++].pooler = i;
		}
	}
	/* Those without room may be anybody's. */
	for (int i = 0; i < n && is_full; i++)
		pools[i].rates.queued = -1;
	qsort(pools, n, sizeof(PoPoolSeen), compare_pools);
	po_pooler_table_publish(seen, n_poolers, pools, n, texts);
	pfree(texts);
	pfree(pools);
}

/* ---------- the worker ---------- */

static void
on_exit_pooler(int code, Datum arg)
{
	uint32		me = (uint32) MyProcPid;

	(void) code;
	(void) arg;
	if (pg_atomic_compare_exchange_u32(&po_shared->pooler_pid, &me, 0))
		po_pooler_table_publish(NULL, 0, NULL, 0, NULL);
}

/* One at a time; that of a sampler that has ended goes on. */
static void
claim(void)
{
	uint32		none = 0;

	before_shmem_exit(on_exit_pooler, 0);
	if (!pg_atomic_compare_exchange_u32(&po_shared->pooler_pid, &none, (uint32) MyProcPid))
		proc_exit(1);
}

/* Visits those that are due; when the next one is. */
static int64
visit_due(MemoryContext round)
{
	int64		next = PG_INT64_MAX;

	for (int i = 0; i < n_poolers && !ConfigReloadPending; i++)
	{
		if (poolers[i].due <= po_shmem_monotonic_us())
		{
			MemoryContextSwitchTo(round);
			visit(i);
			publish();
			MemoryContextSwitchTo(TopMemoryContext);
			MemoryContextReset(round);
		}
		next = Min(next, poolers[i].due);
	}
	return next;
}

void
po_pooler_main(Datum arg)
{
	MemoryContext round;
	uint32		wait_event;

	(void) arg;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	claim();
	wait_event = po_compat_wait_event("PoolOptimizerPoolerIdle");
	round = AllocSetContextCreate(TopMemoryContext, "pool_optimizer visit",
								  ALLOCSET_DEFAULT_SIZES);
	find_poolers();
	publish();
	while (n_poolers > 0)
	{
		int64		left_us;

		po_inject("pooler_visit");
		left_us = visit_due(round) - po_shmem_monotonic_us();
		if (left_us > 0 && !ConfigReloadPending)
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 (long) Min(left_us / 1000 + 1, 60000), wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			find_poolers();
			publish();
		}
	}
	proc_exit(0);
}
