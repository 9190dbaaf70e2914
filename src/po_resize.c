/*
 * po_resize.c
 *		Applies recommended sizes to the pools of PgBouncers, where policies say so.
 *
 * PgBouncer knows three places for a size: default_pool_size, which SET changes until
 * the next RELOAD, and pool_size of an entry in [databases] or [users], which is in its
 * configuration only.  An entry given a second time replaces the first one as a whole,
 * password and all, so we never write entries: we change a number in those that the
 * operator has put between our marks of the include file.
 *
 * A place is used only if it decides about one pool, so that nobody else's changes.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/xattr.h>
#endif
#include <unistd.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include "po_events.h"
#include "po_guc.h"
#include "po_registry.h"
#include "po_resize.h"
#include "po_stats.h"

#define LEAST_CONFIDENCE	0.2 /* "too little data" has no more */
#define MOST_INCLUDE_BYTES	(4 * 1024 * 1024)
#define ROOM_FOR_VALUES		256
#define VISITS_OVER			2
#define DEAF_US				(3600 * PO_US_PER_S)
#define STALL_RETRIES		3
#define LEAST_STALL_US		(5 * PO_US_PER_S)
#define MOST_STALL_US		(300 * PO_US_PER_S)
#define LEAST_MAJOR_FOR_USERS	1
#define LEAST_MINOR_FOR_USERS	26

typedef enum Place
{
	PLACE_NONE,
	PLACE_DEFAULT,
	PLACE_DATABASE,
	PLACE_USER
} Place;

static const char *const place_names[] = {
	[PLACE_NONE] = "nowhere",
	[PLACE_DEFAULT] = "SET default_pool_size",
	[PLACE_DATABASE] = "[databases]",
	[PLACE_USER] = "[users]"
};

/* A pool that is to have another size. */
typedef struct Change
{
	PoVisitedPool *pool;
	PoMode		mode;
	int			from;
	int			to;				/* the same when only the next is to change, see is_min_only */
	int			min;			/* least size to keep warm */
	int			min_from;		/* -1 = not known */
	Place		place;
	bool		written;		/* the text of the include file was changed for it */
	TimestampTz evaluation;		/* that it rests on */
} Change;

/* The size stays, and what is kept open of it changes. */
static bool
is_min_only(const Change *c)
{
	return c->from == c->to;
}

/* The include file as it was read, and as it is to be. */
typedef struct Include
{
	bool		read;
	struct stat st;
	char	   *text;
	size_t		length;
	bool		changed;
} Include;

/* One pooler at work. */
typedef struct Work
{
	PoVisitedPooler *poolers;
	int			n_poolers;
	PoVisitedPooler *pooler;
	int64		ticks;			/* monotonic us */
	PoVisitedPool **first;		/* of each tenant's pools in use, of all poolers that answer */
	int			n_silent;		/* poolers that do not */
	int			default_pool_size;	/* in its configuration; -1 = not asked yet */
	int			default_min_pool_size;
	Include		include;
	Change	   *changes;		/* through the include file */
	int			n_changes;
} Work;

/* ---------- looking ---------- */

const PoPoolerDatabase *
po_resize_database(const PoVisitedPooler *pooler, const char *name)
{
	const PoVisitedDatabase *found = hash_search(pooler->databases, name, HASH_FIND, NULL);

	return found == NULL ? NULL : &found->now;
}

static int
user_pool_size(const PoVisitedPooler *pooler, const char *user)
{
	const PoVisitedUser *found = hash_search(pooler->users, user, HASH_FIND, NULL);

	return found == NULL ? -1 : found->pool_size;
}

int
po_resize_pool_size(const PoVisitedPooler *pooler, const PoVisitedPool *pool)
{
	int			size = user_pool_size(pooler, pool->key.user);
	const PoPoolerDatabase *database = po_resize_database(pooler, pool->key.database);

	if (size >= 0)
		return size;
	return database == NULL ? -1 : (int) Min(database->pool_size, PG_INT32_MAX);
}

/* That holds for a pool, -1 = not known. */
static int
min_pool_size(const PoVisitedPooler *pooler, const PoVisitedPool *pool)
{
	const PoPoolerDatabase *database = po_resize_database(pooler, pool->key.database);

	return database == NULL ? -1 : (int) Min(database->min_pool_size, PG_INT32_MAX);
}

/* In use, and of the database and the user if these are named? */
static bool
is_used_by(const PoVisitedPool *pool, const char *database, const char *user)
{
	return po_pooler_is_used(&pool->now) &&
		(database == NULL || strcmp(pool->key.database, database) == 0) &&
		(user == NULL || strcmp(pool->key.user, user) == 0);
}

/* Does PgBouncer ask there whether logins of others are right?  Such a pool comes and goes with
 * these, and has all the connections it needs. */
static bool
asks_for_logins(const PoVisitedPooler *pooler, const PoVisitedPool *pool)
{
	const char *auth_user = pooler->config.auth_user;

	return auth_user[0] != '\0' && strcmp(pool->key.user, auth_user) == 0;
}

/* Are others than this pool of its pooler in use?  Of one database or user only if named. */
static bool
has_others(const PoVisitedPooler *pooler, const PoVisitedPool *one, const char *database,
		   const char *user)
{
	HASH_SEQ_STATUS status;
	const PoVisitedPool *pool;

	hash_seq_init(&status, pooler->pools);
	while ((pool = hash_seq_search(&status)) != NULL)
	{
		if (pool == one || asks_for_logins(pooler, pool) || !is_used_by(pool, database, user))
			continue;
		hash_seq_term(&status);
		return true;
	}
	return false;
}

/* Has a pooler a pool of another tenant there?  One that is silent now is likely to have what
 * it had. */
static bool
has_other_tenant(const PoVisitedPooler *pooler, const PoVisitedPool *one, const char *database,
				 const char *user)
{
	HASH_SEQ_STATUS status;
	const PoVisitedPool *pool;

	hash_seq_init(&status, pooler->pools);
	while ((pool = hash_seq_search(&status)) != NULL)
	{
		if (!(pool->is_ours || pool->was_ours) || asks_for_logins(pooler, pool) ||
			!is_used_by(pool, database, user) ||
			strcmp(pool->tenant_name, one->tenant_name) == 0)
			continue;
		hash_seq_term(&status);
		return true;
	}
	return false;
}

/*
 * Does an entry decide about this pool alone?  Other poolers may read the same include file:
 * those of the same tenant are to have the same size there, but no other's pool is.  What
 * pools a pooler has that was never read nobody knows; but one that is down for good does not
 * hold up the others for ever.
 */
static PoResizeProblem
who_shares(const Work *w, const PoVisitedPool *one, const char *database, const char *user)
{
	PoResizeProblem problem = PO_RESIZE_OK;

	if (has_others(w->pooler, one, database, user))
		return PO_RESIZE_ENTRY_SHARED;
	for (int i = 0; i < w->n_poolers; i++)
	{
		const PoVisitedPooler *pooler = &w->poolers[i];

		if (pooler == w->pooler)
			continue;
		if (has_other_tenant(pooler, one, database, user))
			return PO_RESIZE_ENTRY_SHARED;
		if (pooler->seen.seen_at == 0 && w->ticks - pooler->added_at < DEAF_US)
			problem = PO_RESIZE_ENTRY_UNSEEN;
	}
	return problem;
}

/* The pools, of all poolers, among which a tenant's size is to be shared. */
typedef struct Shares
{
	int			n;
	int			index;			/* of the one that is asked about */
	int			n_poolers;		/* that have such pools */
	int			n_silent;		/* poolers that do not answer, and may have more */
	int64		n_servers;		/* connections of these pools */
	int			room;			/* for so many of the next */
	PoPoolerUse *use;			/* of each */
	bool		all_alike;		/* they read one file, so none can have more than another */
} Shares;

static void
note_use(Shares *shares, const PoVisitedPool *pool)
{
	if (shares->n == shares->room)
	{
		shares->room = shares->room == 0 ? 8 : 2 * shares->room;
		shares->use = shares->use == NULL ? palloc(shares->room * sizeof(PoPoolerUse)) :
			repalloc(shares->use, shares->room * sizeof(PoPoolerUse));
	}
	shares->use[shares->n++] = (PoPoolerUse) {pool->n_servers,
		pool->now.cl_waiting > 0 && pool->stall.obtainable == 0};
	shares->n_servers += pool->n_servers;
}

/* So that nobody looks through all pools for each of them. */
static void
link_tenants(Work *w)
{
	w->first = palloc0(po_shared->n_tenants * sizeof(PoVisitedPool *));
	for (int i = w->n_poolers - 1; i >= 0; i--)
	{
		HASH_SEQ_STATUS status;
		PoVisitedPool *pool;

		if (w->poolers[i].seen.state != PO_POOLER_OK)
		{
			w->n_silent++;
			continue;
		}
		hash_seq_init(&status, w->poolers[i].pools);
		while ((pool = hash_seq_search(&status)) != NULL)
		{
			if (pool->tenant < 0 || !pool->is_ours || !po_pooler_is_used(&pool->now))
				continue;
			pool->pooler = i;
			pool->next = w->first[pool->tenant];
			w->first[pool->tenant] = pool;
		}
	}
}

static void
count_tenant(const Work *w, const PoVisitedPool *one, Shares *shares)
{
	int			pooler = -1;

	memset(shares, 0, sizeof(*shares));
	shares->n_silent = w->n_silent;
	for (const PoVisitedPool *pool = w->first[one->tenant]; pool != NULL; pool = pool->next)
	{
		if (pool == one)
			shares->index = shares->n;
		shares->n_poolers += pool->pooler != pooler;
		pooler = pool->pooler;
		note_use(shares, pool);
	}
	shares->all_alike = shares->n_poolers > 1 && po_guc_pgbouncer_include[0] != '\0';
}

/* The part of it that a pool is to have. */
static int
share_of(const Shares *shares, int size, int from)
{
	PoShare    *memory;
	PoShareMark *marks;
	int			part;

	memory = palloc(shares->n * sizeof(PoShare));
	marks = palloc(PO_SHARE_MARKS(shares->n) * sizeof(PoShareMark));
	part = shares->all_alike ?
		po_pooler_common(size, shares->use, shares->n, memory, marks) :
		po_pooler_part(size, from, shares->use, shares->n, shares->index, memory, marks);
	pfree(memory);
	pfree(marks);
	return part;
}

/* What a pool is to have of the tenant's size. */
static int
part_of(const Shares *shares, int size, int from, const PoTenant *tenant)
{
	int			part = share_of(shares, size, from);
	int64		unseen = (int64) tenant->used + tenant->exempt - shares->n_servers;

	if (shares->n_silent == 0 || part <= from || unseen <= 0)
		return part;
	/* A pooler that does not tell us may serve its clients all the same: no pool grows by the
	 * connections that it may have. */
	part = share_of(shares, (int) Max(size - unseen, 1), from);
	return Max(part, from);
}

/*
 * What it is to keep open of the tenant's least: those who have the clients do.  One that is kept
 * open without any would be taken for used, and kept open for that.
 */
static int
min_of(const Shares *shares, const PoVisitedPool *pool, int min)
{
	const PoPoolerUse *use;
	int64		part;

	if (shares->n <= 1 || shares->all_alike || shares->n_servers <= 0)
		return po_pooler_share(min, shares->n, shares->n - 1);
	use = &shares->use[shares->index];
	part = (int64) min * use->open / shares->n_servers;
	return (int) (use->waits ? part : Min(part, (int64) (pool->active + 0.5)));
}

/* ---------- telling ---------- */

static void
describe(const Work *w, const PoVisitedPool *pool, StringInfo detail)
{
	initStringInfo(detail);
	appendStringInfoChar(detail, '{');
	po_events_json_string(detail, "pooler", w->pooler->seen.name);
	po_events_json_string(detail, "database", pool->key.database);
	po_events_json_string(detail, "user", pool->key.user);
}

/* Ends the detail that describe began. */
static void
tell(const PoVisitedPool *pool, PoEventKind kind, const char *reason, StringInfo detail)
{
	PoTold		told = {.kind = kind, .tenant = pool->tenant_name, .reason = reason};

	appendStringInfoChar(detail, '}');
	told.detail = detail->data;
	po_events_tell(&told);
	pfree(detail->data);
}

static void
tell_change(const Work *w, const Change *c, PoEventKind kind, const char *how)
{
	bool		min_only = is_min_only(c);
	int			from = min_only ? c->min_from : c->from;
	int			to = min_only ? c->min : c->to;
	const char *prefix = min_only ? "min_" : "";
	char		reason[PO_REASON_LEN];
	StringInfoData detail;

	snprintf(reason, sizeof(reason), "PgBouncer %s: %s%s %d -> %d (%s)", w->pooler->seen.name,
			 min_only ? "min_pool_size " : "pool ",
			 kind != PO_EVENT_RESIZE ? (min_only ? "would be set" : "would be resized") :
			 min_only ? "set" : "resized", from, to, how);
	describe(w, c->pool, &detail);
	appendStringInfo(&detail, ", \"%sfrom\": %d, \"%sto\": %d", prefix, from, prefix, to);
	po_events_json_string(&detail, "how", how);
	tell(c->pool, kind, reason, &detail);
}

/* Once, until something else is in the way.  text NULL = that of the problem. */
static void
tell_problem(const Work *w, PoVisitedPool *pool, PoResizeProblem problem, const char *text)
{
	char		reason[PO_REASON_LEN];
	StringInfoData detail;

	pool->problem = problem;
	snprintf(reason, sizeof(reason), "PgBouncer %s: pool not resized: %s",
			 w->pooler->seen.name, text != NULL ? text : po_pooler_problem_text(problem));
	if (strcmp(reason, pool->told_problem) == 0)
		return;
	strlcpy(pool->told_problem, reason, sizeof(pool->told_problem));
	describe(w, pool, &detail);
	tell(pool, PO_EVENT_ALERT, reason, &detail);
}

static void
forget_problem(PoVisitedPool *pool)
{
	pool->problem = PO_RESIZE_OK;
	pool->told_problem[0] = '\0';
}

/* A change was tried, and is not to be tried again for a while. */
static void
note_tried(const Work *w, const Change *c)
{
	PoVisitedPool *pool = c->pool;

	pool->changed_at = w->ticks;
	pool->evaluation = c->evaluation;
}

static void
note_done(const Work *w, const Change *c)
{
	PoVisitedPool *pool = c->pool;

	note_tried(w, c);
	pool->set_to = c->to;
	pool->set_min = c->place == PLACE_USER ? -1 : c->min;
	pool->set_by_default = c->place == PLACE_DEFAULT;
	pool->set_in_file = c->place != PLACE_DEFAULT && !is_min_only(c);
	if (!is_min_only(c))
		pool->may_reconnect = c->to < c->from;
	pool->n_over = 0;
	/* What the file says already was told when it was written. */
	if (c->place == PLACE_DEFAULT || c->written)
		tell_change(w, c, PO_EVENT_RESIZE, place_names[c->place]);
}

/* ---------- what it does not get ---------- */

/* Does it want another connection, and may have one by its size?  0 = no limit. */
static bool
wants_more(const PoVisitedPool *pool, int open, int size)
{
	return pool->now.cl_waiting > 0 && (size == 0 || open < size);
}

/* Were transactions done since the last visit?  All may be paused, of which SHOW DATABASES tells
 * nothing. */
static bool
works(const Work *w, const PoVisitedPool *pool)
{
	const PoVisitedDatabase *d = hash_search(w->pooler->databases, pool->key.database, HASH_FIND,
											 NULL);

	return d != NULL && d->rates.xacts != 0;
}

/* Its new connections are refused by us, which everybody knows. */
static bool
is_drained(const PoVisitedPool *pool)
{
	PoTenant	tenant;

	return po_registry_copy_tenant(pool->tenant, &tenant) && tenant.fields.drain_started_us != 0;
}

/* PgBouncer does not try again before login_retry_us, so it takes a few of these to tell. */
static int64
stall_patience(const Work *w)
{
	int64		patience_us = STALL_RETRIES * w->pooler->config.login_retry_us;

	return Min(Max(patience_us, LEAST_STALL_US), MOST_STALL_US);
}

/*
 * Its clients wait, its size allows more connections, and yet there are none: to all who look
 * at its size it seems larger than it is.
 */
static void
watch_stall(const Work *w, PoVisitedPool *pool)
{
	const PoPoolerPool *p = &pool->now;
	int			open = (int) Min(po_pooler_open(p), PG_INT32_MAX);
	int			size = po_resize_pool_size(w->pooler, pool);
	char		of[32] = "";
	char		reason[PO_REASON_LEN];
	StringInfoData detail;

	if (!pool->is_ours || is_drained(pool))
	{
		memset(&pool->stall, 0, sizeof(pool->stall));
		return;
	}
	if (open > pool->told_stall)
		pool->told_stall = 0;
	if (!po_pooler_stalls(&pool->stall, open, wants_more(pool, open, size), works(w, pool),
						  w->ticks, stall_patience(w)) ||
		pool->told_stall == pool->stall.obtainable)
		return;
	pool->told_stall = pool->stall.obtainable;
	if (size > 0)
		snprintf(of, sizeof(of), " of %d", size);
	snprintf(reason, sizeof(reason), "PgBouncer %s: %d clients wait, but the pool has got no more "
			 "than %d%s connections: " PO_OBTAINABLE_CAUSES, w->pooler->seen.name,
			 (int) Min(p->cl_waiting, PG_INT32_MAX), pool->stall.obtainable, of);
	describe(w, pool, &detail);
	appendStringInfo(&detail, ", \"pool_size\": %d, \"obtainable\": %d, \"waiting\": " INT64_FORMAT,
					 size, pool->stall.obtainable, p->cl_waiting);
	tell(pool, PO_EVENT_ALERT, reason, &detail);
}

/* ---------- deciding ---------- */

/* Has something had no effect, and not long ago? */
static bool
is_deaf(const Work *w, int64 since)
{
	return since != 0 && w->ticks - since < DEAF_US;
}

/* Is what is recommended known well enough to act on?  The size of a pool that nobody
 * uses is left for when somebody does. */
static bool
is_sure(const PoRecommendation *r)
{
	return r->size > 0 && r->confidence > LEAST_CONFIDENCE && r->method != PO_METHOD_NONE &&
		r->method != PO_METHOD_TOO_LITTLE_DATA && r->method != PO_METHOD_IDLE;
}

/* Do policies say that this pool is to be resized?  What is summed up as "(other)" is of many
 * tenants, of which nobody knows what each one needs. */
static bool
is_automatic(const PoVisitedPool *pool, PoTenant *tenant, PoMode *mode)
{
	if (!pool->is_ours || pool->tenant < 0 || pool->tenant == PO_TENANT_OTHER ||
		!po_registry_copy_tenant(pool->tenant, tenant) || !tenant->fields.auto_apply ||
		tenant->fields.drain_started_us != 0)
		return false;
	*mode = Min((PoMode) po_guc_mode, tenant->fields.quota_mode);
	return true;
}

/*
 * With several pools, what each of them uses at the moment is not worth a change: all together
 * have what they should, or nearly; the search takes it for that, too (po_stats.c).
 */
static bool
is_near_enough(const Shares *shares, const PoRecommendation *r, int least, int from, int part)
{
	/* 0 = no limit, which is not what anybody recommends. */
	if (shares->n <= 1 || from < 1)
		return false;
	if (r->method < PO_METHOD_SATURATED)
		return abs(part - from) <= from / 4;
	/* Bounds are bounds. */
	if (((r->clamped_max || r->clamped_share) && shares->n_servers > r->size) ||
		shares->n_servers < least)
		return false;
	/* Not the size, which a step may have cut. */
	return po_pooler_is_near(shares->n_servers, r->target);
}

/* Fills a change with all but its place; false when there is none to be made. */
static bool
decide(const Work *w, PoVisitedPool *pool, Change *c)
{
	PoTenant	tenant;
	static PoTenantStats stats;
	const PoPolicyFields *policy = &tenant.fields;
	Shares		shares;
	bool		sure;
	int			part;

	memset(c, 0, sizeof(*c));
	if (!is_automatic(pool, &tenant, &c->mode) || c->mode == PO_MODE_OFF)
	{
		forget_problem(pool);
		return false;
	}
	c->pool = pool;
	c->from = po_resize_pool_size(w->pooler, pool);
	if (!po_pooler_is_used(&pool->now) || c->from < 0)
		return false;
	if (pool->changed_at != 0 && w->ticks - pool->changed_at < policy->evaluation_interval_us)
		return false;
	po_stats_copy(pool->tenant, &stats);
	sure = is_sure(&stats.recommendation);
	/* What weeks have shown is known, however quiet it is just before its hour. */
	if ((!sure && !stats.recommendation.seasonal) || stats.evaluated_at == pool->evaluation)
		return false;
	count_tenant(w, pool, &shares);
	part = part_of(&shares, stats.recommendation.size, c->from, &tenant);
	if (is_near_enough(&shares, &stats.recommendation, policy->min_size, c->from, part))
		part = c->from;
	c->to = po_pooler_next_size(c->from, part, policy->scale_up_step, policy->scale_down_step);
	/* Less than it may have brings nothing to a pool that gets no more, and would hide when it
	 * does. */
	if (!sure || stats.recommendation.clamped_pooler)
		c->to = Max(c->to, c->from);
	c->min = Min(min_of(&shares, pool, stats.recommendation.min), c->to);
	if (shares.use != NULL)
		pfree(shares.use);
	c->min_from = min_pool_size(w->pooler, pool);
	c->evaluation = stats.evaluated_at;
	if (!is_min_only(c))
		return true;
	pool->told_to = 0;
	forget_problem(pool);
	return !is_deaf(w, pool->min_deaf_at) && po_pooler_min_differs(c->min_from, c->min);
}

/* ---------- the include file ---------- */

/* Does it give rights to others than its owner and its group? */
static bool
has_acl(int fd)
{
#ifdef __linux__
	return fgetxattr(fd, "system.posix_acl_access", NULL, 0) > 0;
#else
	(void) fd;
	return false;
#endif
}

static PoResizeProblem
read_include(Include *file)
{
	/* To open a pipe would wait for whoever writes into it. */
	int			fd = OpenTransientFile(po_guc_pgbouncer_include,
									   O_RDONLY | O_NONBLOCK | PG_BINARY);
	ssize_t		n;
	PoResizeProblem problem = PO_RESIZE_OK;

	if (fd < 0)
		return PO_RESIZE_FILE_UNOPENED;
	if (fstat(fd, &file->st) != 0 || !S_ISREG(file->st.st_mode) ||
		file->st.st_size > MOST_INCLUDE_BYTES)
		problem = PO_RESIZE_FILE_IRREGULAR;
	/* What it would be replaced with has none, and its mode is not what it says. */
	else if (has_acl(fd))
		problem = PO_RESIZE_FILE_ACL;
	else
	{
		file->text = palloc(file->st.st_size + 1);
		n = read(fd, file->text, file->st.st_size);
		if (n != file->st.st_size)
		{
			pfree(file->text);
			problem = PO_RESIZE_FILE_UNREAD;
		}
		else
			file->length = n;
	}
	CloseTransientFile(fd);
	file->read = problem == PO_RESIZE_OK;
	return problem;
}

/* Makes one change to the text, or only looks whether it could be made. */
static PoIniResult
edit_include(Include *file, PoIniSection section, const char *name, Change *c, bool keep)
{
	Size		room = file->length + ROOM_FOR_VALUES;
	char	   *text = palloc(room);
	size_t		length;
	PoIniChange change = {section, name, c->to, section == PO_INI_USERS ? -1 : c->min};
	PoIniResult result = po_pooler_edit_ini(file->text, file->length, &change, text, room,
											&length);

	if (result != PO_INI_OK || !keep)
	{
		pfree(text);
		return result;
	}
	c->written = length != file->length || memcmp(text, file->text, length) != 0;
	file->changed = file->changed || c->written;
	pfree(file->text);
	file->text = text;
	file->length = length;
	return result;
}

static bool
write_file(int fd, const Include *file)
{
	/* As it was: PgBouncer must be able to read it, and nobody else its passwords. */
	if (fchmod(fd, file->st.st_mode & 07777) != 0)
		return false;
	if ((file->st.st_uid != geteuid() || file->st.st_gid != getegid()) &&
		fchown(fd, file->st.st_uid, file->st.st_gid) != 0)
		return false;
	return write(fd, file->text, file->length) == (ssize_t) file->length;
}

static bool
is_same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool
is_untouched(const struct stat *before, const struct stat *now)
{
	return now->st_dev == before->st_dev && now->st_ino == before->st_ino &&
		now->st_size == before->st_size && is_same_time(now->st_mtim, before->st_mtim) &&
		is_same_time(now->st_ctim, before->st_ctim);
}

/* Replaces the file as a whole, unless somebody else has changed it since we read it. */
static PoResizeProblem
write_include(const Include *file)
{
	char		path[MAXPGPATH];
	struct stat st;
	int			fd;
	bool		written;

	/* What another server may be writing at the moment is left alone, but not what we left. */
	snprintf(path, sizeof(path), "%s.pool_optimizer.%d", po_guc_pgbouncer_include,
			 PostPortNumber);
	(void) unlink(path);
	fd = OpenTransientFilePerm(path, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY, 0600);
	if (fd < 0)
		return PO_RESIZE_FILE_UNCREATED;
	written = write_file(fd, file);
	if (CloseTransientFile(fd) != 0 || !written)
	{
		(void) unlink(path);
		return PO_RESIZE_FILE_UNWRITTEN;
	}
	if (lstat(po_guc_pgbouncer_include, &st) != 0 || !S_ISREG(st.st_mode) ||
		!is_untouched(&file->st, &st))
	{
		(void) unlink(path);
		return PO_RESIZE_FILE_CHANGED;
	}
	if (durable_rename(path, po_guc_pgbouncer_include, LOG) == 0)
		return PO_RESIZE_OK;
	(void) unlink(path);
	return PO_RESIZE_FILE_UNREPLACED;
}

/* ---------- where ---------- */

static PoResizeProblem
problem_of(PoIniResult result)
{
	switch (result)
	{
		case PO_INI_TWICE:
			return PO_RESIZE_ENTRY_TWICE;
		case PO_INI_MALFORMED:
			return PO_RESIZE_ENTRY_MALFORMED;
		case PO_INI_NO_ROOM:
			return PO_RESIZE_ENTRY_TOO_LONG;
		default:
			return PO_RESIZE_OK;
	}
}

/* 1.24.1 gives the size in an entry of [users] to other users, too, when it reloads. */
static bool
may_size_users(const PoVisitedPooler *pooler)
{
	int			major = 0;
	int			minor = 0;

	return pooler->has_user_sizes &&
		sscanf(pooler->seen.version, "%d.%d", &major, &minor) == 2 &&
		(major > LEAST_MAJOR_FOR_USERS ||
		 (major == LEAST_MAJOR_FOR_USERS && minor >= LEAST_MINOR_FOR_USERS));
}

static void
take_config(const PoPoolerRecord *record, void *arg)
{
	Work	   *w = arg;

	if (strcmp(record->config.key, "default_pool_size") == 0)
		w->default_pool_size = atoi(record->config.value);
	else if (strcmp(record->config.key, "min_pool_size") == 0)
		w->default_min_pool_size = atoi(record->config.value);
}

static void
ask_config(Work *w)
{
	int			n_bad = 0;

	if (w->default_pool_size >= 0)
		return;
	w->default_pool_size = w->default_min_pool_size = 0;
	(void) po_console_show(&w->pooler->console, PO_POOLER_CONFIG, take_config, w, &n_bad);
}

static bool
console_is_lost(const Work *w)
{
	return w->pooler->console.conn == NULL;
}

/* Is what SET now there by us?  Else its configuration was read again, or somebody else has
 * set it.  Of a command that got no answer either may be so. */
static bool
is_still_set(Work *w)
{
	PoVisitedDefault *set = &w->pooler->default_set;

	if (!set->active ||
		(w->default_pool_size != set->size && w->default_pool_size != set->size_tried) ||
		(w->default_min_pool_size != set->min && w->default_min_pool_size != set->min_tried))
		return false;
	set->size = set->size_tried = w->default_pool_size;
	set->min = set->min_tried = w->default_min_pool_size;
	return true;
}

/* Is that size what we have SET? */
static bool
is_set_by_us(Work *w, int size)
{
	const PoVisitedDefault *set = &w->pooler->default_set;

	if (!set->active || size != set->size)
		return false;
	ask_config(w);
	return is_still_set(w);
}

static bool
others_obey_file(const Work *w)
{
	for (int i = 0; i < w->n_poolers; i++)
	{
		if (&w->poolers[i] != w->pooler && w->poolers[i].obeys_file)
			return true;
	}
	return false;
}

/*
 * Has the file had no effect on this pool, and is all still as it was then, but for what we have
 * SET?  Each try is a RELOAD, which takes back what anybody has SET.  A file that others read is
 * changed for these all the time; the pool's own has an entry of the same name elsewhere.
 */
static bool
is_deaf_to_file(Work *w, const PoVisitedPool *pool, int size)
{
	bool		by_us;

	if (pool->file_deaf_at == 0)
		return false;
	by_us = is_set_by_us(w, size);
	if (!by_us && size != pool->file_deaf_size)
		return false;
	return others_obey_file(w) ||
		((by_us || is_deaf(w, pool->file_deaf_at)) &&
		 w->include.st.st_mtime == pool->file_deaf_mtime);
}

/* An entry, if there is one: in mode observe, and when it is others', too, that is all. */
static PoResizeProblem
place_in_entry(Work *w, Change *c, PoIniSection section)
{
	const PoPoolKey *key = &c->pool->key;
	bool		of_user = section == PO_INI_USERS;
	PoResizeProblem shared = who_shares(w, c->pool, of_user ? NULL : key->database,
										of_user ? key->user : NULL);
	PoIniResult result;

	result = edit_include(&w->include, section, of_user ? key->user : key->database, c,
						  shared == PO_RESIZE_OK && c->mode == PO_MODE_ENFORCE);
	if (result != PO_INI_OK)
		return problem_of(result);
	if (shared == PO_RESIZE_OK)
		c->place = of_user ? PLACE_USER : PLACE_DATABASE;
	return shared;
}

static bool
is_shared(PoResizeProblem problem)
{
	return problem == PO_RESIZE_ENTRY_SHARED || problem == PO_RESIZE_ENTRY_UNSEEN;
}

static PoResizeProblem
place_in_include(Work *w, Change *c)
{
	PoResizeProblem problem = w->include.read ? PO_RESIZE_OK : read_include(&w->include);
	PoResizeProblem in_database;

	if (problem != PO_RESIZE_OK)
		return problem;
	if (is_deaf_to_file(w, c->pool, c->from))
		return PO_RESIZE_FILE_IGNORED;
	/* Users have no min_pool_size. */
	if (!is_min_only(c) && may_size_users(w->pooler))
		problem = place_in_entry(w, c, PO_INI_USERS);
	if (c->place != PLACE_NONE || (problem != PO_RESIZE_OK && !is_shared(problem)) ||
		user_pool_size(w->pooler, c->pool->key.user) >= 0)
		return problem;
	in_database = place_in_entry(w, c, PO_INI_DATABASES);
	return c->place != PLACE_NONE || in_database != PO_RESIZE_OK ? in_database : problem;
}

/*
 * May min_pool_size be SET for this pool?  Not where others would open connections by it that
 * nobody asked for: pools of databases with a user of their own, since PgBouncer 1.21 whether
 * anybody uses them or not, and those where logins are asked for.
 */
static bool
may_set_min(const PoVisitedPooler *pooler, const PoVisitedPool *pool)
{
	HASH_SEQ_STATUS status;
	const PoVisitedDatabase *d;

	if (pooler->config.auth_user[0] != '\0')
		return false;
	hash_seq_init(&status, pooler->databases);
	while ((d = hash_seq_search(&status)) != NULL)
	{
		if (d->now.force_user[0] == '\0' || strcmp(d->name, pool->key.database) == 0 ||
			strcmp(d->name, PO_CONSOLE_DATABASE) == 0)
			continue;
		hash_seq_term(&status);
		return false;
	}
	return true;
}

/* SET, when that decides about this pool and no other that is in use. */
static PoResizeProblem
place_in_default(Work *w, Change *c)
{
	if (has_others(w->pooler, c->pool, NULL, NULL))
		return PO_RESIZE_OTHERS;
	ask_config(w);
	if (w->default_pool_size != c->from || user_pool_size(w->pooler, c->pool->key.user) >= 0 ||
		is_deaf(w, c->pool->deaf_at))
		return PO_RESIZE_OWN_SIZE;
	if (!may_set_min(w->pooler, c->pool))
	{
		if (is_min_only(c))
			return PO_RESIZE_OTHERS;
		c->min = -1;
	}
	c->place = PLACE_DEFAULT;
	return PO_RESIZE_OK;
}

/* ---------- doing ---------- */

/* What was sent and got no answer may hold or not, see is_still_set. */
static PoAnswer
set_one(Work *w, const char *name, int to, int *now, int *tried)
{
	char		command[64];
	PoAnswer	answer;

	snprintf(command, sizeof(command), "SET %s = %d", name, to);
	*tried = to;
	answer = po_console_do(&w->pooler->console, command);
	if (answer == PO_ANSWER_OK)
		*now = to;
	else if (answer != PO_ANSWER_LOST)
		*tried = *now;
	return answer;
}

/* False when it was refused, or the console lost.  min_pool_size must never be above the size;
 * -1 = it stays. */
static bool
set_default(Work *w, int to, int to_min)
{
	PoVisitedDefault *set = &w->pooler->default_set;
	bool		min_first = set->min > to;
	PoAnswer	answer = PO_ANSWER_OK;

	if (to_min >= 0 && min_first)
		answer = set_one(w, "min_pool_size", to_min, &set->min, &set->min_tried);
	if (answer == PO_ANSWER_OK)
		answer = set_one(w, "default_pool_size", to, &set->size, &set->size_tried);
	if (answer == PO_ANSWER_OK && to_min >= 0 && !min_first)
		answer = set_one(w, "min_pool_size", to_min, &set->min, &set->min_tried);
	w->default_pool_size = set->size;
	w->default_min_pool_size = set->min;
	return answer == PO_ANSWER_OK;
}

static void
tell_refused(Work *w, const Change *c)
{
	char	   *problem = psprintf("it says \"%s\"", w->pooler->console.error);

	note_tried(w, c);
	if (!console_is_lost(w))
		tell_problem(w, c->pool, PO_RESIZE_REFUSED, problem);
	pfree(problem);
}

static void
apply_default(Work *w, Change *c)
{
	PoVisitedDefault *set = &w->pooler->default_set;

	if (!is_still_set(w))
	{
		set->active = true;
		set->was = set->size = set->size_tried = w->default_pool_size;
		set->min_was = set->min = set->min_tried = w->default_min_pool_size;
	}
	set->pool = c->pool->key;
	if (set_default(w, c->to, c->min))
		note_done(w, c);
	else
		tell_refused(w, c);
}

static bool
reload(Work *w)
{
	bool		done = po_console_do(&w->pooler->console, "RELOAD") == PO_ANSWER_OK;

	w->pooler->reload_refused = !done && !console_is_lost(w);
	w->pooler->reloaded = w->pooler->reloaded || done;
	/* What was SET has gone with it. */
	if (done)
		memset(&w->pooler->default_set, 0, sizeof(w->pooler->default_set));
	return done;
}

/* It is in the file, and comes into force whoever has that read. */
static void
note_written(const Work *w, const Change *c)
{
	char	   *how = psprintf("%s, not yet in force", place_names[c->place]);

	if (!is_min_only(c))
		c->pool->may_reconnect = c->to < c->from;
	tell_change(w, c, PO_EVENT_RESIZE, how);
	pfree(how);
}

/* All that was changed in the text of the include file, at once. */
static void
apply_include(Work *w)
{
	/* Nothing is written for one that does not read it. */
	bool		may_write = !w->pooler->reload_refused || reload(w);
	bool		write = may_write && w->include.changed;
	PoResizeProblem problem = write ? write_include(&w->include) : PO_RESIZE_OK;
	/* Without a change, too: PgBouncer has not read what is there. */
	bool		reloaded = may_write && problem == PO_RESIZE_OK && reload(w);

	for (int i = 0; i < w->n_changes; i++)
	{
		Change	   *c = &w->changes[i];

		if (reloaded)
			note_done(w, c);
		else if (problem == PO_RESIZE_OK)
		{
			if (write && c->written)
				note_written(w, c);
			tell_refused(w, c);
		}
		else
		{
			note_tried(w, c);
			tell_problem(w, c->pool, problem, NULL);
		}
	}
}

static void
find_place(Work *w, Change *c)
{
	PoResizeProblem problem = PO_RESIZE_OK;
	PoResizeProblem in_default;
	bool		has_include = po_guc_pgbouncer_include[0] != '\0';

	/* There a connection is a client's until it leaves, however little that does. */
	if (strcmp(c->pool->now.pool_mode, "session") == 0)
		problem = PO_RESIZE_SESSION_MODE;
	/* What the others have nobody knows, and each would have the size. */
	else if (w->pooler->config.shares_port && !po_console_is_local(&w->pooler->console))
		problem = PO_RESIZE_ONE_OF_MANY;
	else if (has_include)
		problem = place_in_include(w, c);
	if (c->place == PLACE_NONE && (problem == PO_RESIZE_OK || is_shared(problem) ||
								   problem == PO_RESIZE_FILE_IGNORED))
	{
		in_default = place_in_default(w, c);
		/* To put its entry there does not help one that is there already. */
		if (problem == PO_RESIZE_OK || c->place != PLACE_NONE)
			problem = in_default;
	}
	if (problem == PO_RESIZE_OK || console_is_lost(w))
		return;
	/* Without a place for min_pool_size, the size is all that can be set. */
	if (!is_min_only(c))
		tell_problem(w, c->pool, problem, NULL);
	note_tried(w, c);
}

/* In mode observe nothing is touched; each size is told once. */
static bool
is_told(const Change *c)
{
	return is_min_only(c) ? c->pool->told_min == c->min + 1 : c->pool->told_to == c->to;
}

static void
tell_dry_run(Work *w, Change *c)
{
	if (is_min_only(c))
		c->pool->told_min = c->min + 1;
	else
		c->pool->told_to = c->to;
	tell_change(w, c, PO_EVENT_WOULD_RESIZE, place_names[c->place]);
}

static void
resize_pool(Work *w, PoVisitedPool *pool)
{
	Change		c;

	if (!decide(w, pool, &c))
		return;
	if (c.mode == PO_MODE_OBSERVE && is_told(&c))
		return;
	find_place(w, &c);
	if (c.mode == PO_MODE_OBSERVE)
	{
		if (c.place != PLACE_NONE)
		{
			forget_problem(pool);
			tell_dry_run(w, &c);
		}
	}
	else if (c.place == PLACE_DEFAULT)
		apply_default(w, &c);
	else if (c.place != PLACE_NONE)
		w->changes[w->n_changes++] = c;
}

/* ---------- afterwards ---------- */

/* SET again what was there before, unless that was changed since. */
static void
give_back_default(Work *w)
{
	PoVisitedDefault *set = &w->pooler->default_set;
	Change		c = {.to = set->was, .min = set->min_was};

	ask_config(w);
	if (console_is_lost(w))
		return;
	if (is_still_set(w))
	{
		c.from = set->size;
		c.min_from = set->min;
		if (set_default(w, set->was, set->min_was))
		{
			c.pool = hash_search(w->pooler->pools, &set->pool, HASH_FIND, NULL);
			if (c.pool != NULL && c.pool->tenant >= 0)
				tell_change(w, &c, PO_EVENT_RESIZE, "SET default_pool_size back");
		}
		else if (console_is_lost(w))
			return;				/* when it is there again */
	}
	memset(set, 0, sizeof(*set));
}

/* Others than the pool for which the default was changed are in use now. */
static void
spare_others(Work *w)
{
	const PoVisitedDefault *set = &w->pooler->default_set;
	const PoVisitedPool *own;

	if (!set->active)
		return;
	own = hash_search(w->pooler->pools, &set->pool, HASH_FIND, NULL);
	if (has_others(w->pooler, own, NULL, NULL))
		give_back_default(w);
}

static void
note_deaf_to_file(const Work *w, PoVisitedPool *pool, int size)
{
	struct stat st;

	pool->file_deaf_at = w->ticks;
	pool->file_deaf_size = size;
	pool->file_deaf_mtime = stat(po_guc_pgbouncer_include, &st) == 0 ? st.st_mtime : 0;
	tell_problem(w, pool, PO_RESIZE_FILE_IGNORED, NULL);
}

/* RELOAD has taken back what SET did; or nobody says. */
static bool
is_taken_back(Work *w)
{
	ask_config(w);
	return console_is_lost(w) || !is_still_set(w);
}

static void
note_effect(const Work *w, PoVisitedPool *pool)
{
	forget_problem(pool);
	if (!pool->set_in_file)
		return;
	pool->file_deaf_at = 0;
	w->pooler->obeys_file = true;
}

/* Has it become what we set? */
static void
check_effect(Work *w, PoVisitedPool *pool)
{
	int			size = po_resize_pool_size(w->pooler, pool);
	int			min = min_pool_size(w->pooler, pool);

	if (pool->set_to == 0)
		return;
	if (size != pool->set_to && pool->set_by_default && is_taken_back(w))
	{
		pool->set_to = 0;
		return;
	}
	/* Its entry may have one of its own, which SET does not change. */
	if (pool->set_min >= 0 && min >= 0 && min != pool->set_min)
		pool->min_deaf_at = w->ticks;
	if (size == pool->set_to)
		note_effect(w, pool);
	else if (pool->set_by_default)
	{
		pool->deaf_at = w->ticks;
		tell_problem(w, pool, PO_RESIZE_SET_IGNORED, NULL);
		give_back_default(w);
	}
	else
		note_deaf_to_file(w, pool, size);
	pool->set_to = 0;
}

/* Is a connection of any of the database's pools logging in? */
static bool
any_logs_in(const PoVisitedPooler *pooler, const char *database)
{
	HASH_SEQ_STATUS status;
	const PoVisitedPool *pool;

	hash_seq_init(&status, pooler->pools);
	while ((pool = hash_seq_search(&status)) != NULL)
	{
		if (pool->now.sv_login > 0 && strcmp(pool->key.database, database) == 0)
		{
			hash_seq_term(&status);
			return true;
		}
	}
	return false;
}

/*
 * PgBouncer closes what is too much only where it is idle, which in a pool with waiting
 * clients is never the case.  RECONNECT closes each connection when its transaction has
 * ended, and those beyond the size are not opened again; no client notices.
 */
static void
let_go_surplus(const Work *w, PoVisitedPool *pool)
{
	const PoPoolerPool *p = &pool->now;
	const PoPoolerDatabase *database = po_resize_database(w->pooler, pool->key.database);
	int64		open = po_pooler_open(p) + p->sv_login;
	int			size = po_resize_pool_size(w->pooler, pool);
	StringInfoData command;
	Change		c = {.pool = pool, .from = (int) Min(open, PG_INT32_MAX), .to = size};
	PoTenant	tenant;
	PoMode		mode;

	if (!pool->may_reconnect || database == NULL || strcmp(p->pool_mode, "session") == 0)
		return;
	if (!is_automatic(pool, &tenant, &mode) || mode != PO_MODE_ENFORCE)
		return;
	/* One that is logging in would be closed as failed, and clients turned away for
	 * server_login_retry. */
	if (any_logs_in(w->pooler, pool->key.database))
		return;
	if (size <= 0 || open <= size + database->reserve_pool_size)
	{
		pool->n_over = 0;
		return;
	}
	/* It would close those of all the database's pools; without it they go when they are idle. */
	if (++pool->n_over < VISITS_OVER || has_others(w->pooler, pool, pool->key.database, NULL))
		return;
	pool->may_reconnect = false;
	initStringInfo(&command);
	appendStringInfoString(&command, "RECONNECT \"");
	for (const char *s = pool->key.database; *s != '\0'; s++)
		appendStringInfo(&command, *s == '"' ? "\"\"" : "%c", *s);
	appendStringInfoChar(&command, '"');
	if (po_console_do(&w->pooler->console, command.data) == PO_ANSWER_OK)
		tell_change(w, &c, PO_EVENT_RESIZE, "RECONNECT");
	else if (!console_is_lost(w))
		tell_problem(w, pool, PO_RESIZE_REFUSED, w->pooler->console.error);
	pfree(command.data);
}

/* As long as some were never asked, nobody knows how many pools a tenant has. */
static bool
all_were_asked(const PoVisitedPooler *poolers, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (poolers[i].seen.state == PO_POOLER_NEW)
			return false;
	}
	return true;
}

bool
po_resize_pooler(PoVisitedPooler *poolers, int n, int which)
{
	Work		w = {.poolers = poolers, .n_poolers = n, .pooler = &poolers[which]};
	HASH_SEQ_STATUS status;
	PoVisitedPool *pool;
	bool		may_resize = all_were_asked(poolers, n);

	w.ticks = po_shmem_monotonic_us();
	w.default_pool_size = -1;
	link_tenants(&w);
	spare_others(&w);
	w.changes = palloc((hash_get_num_entries(w.pooler->pools) + 1) * sizeof(Change));
	hash_seq_init(&status, w.pooler->pools);
	while ((pool = hash_seq_search(&status)) != NULL)
	{
		const PoPoolerDatabase *database = po_resize_database(w.pooler, pool->key.database);

		CHECK_FOR_INTERRUPTS();
		if (console_is_lost(&w) || database == NULL)
			continue;
		if (database->paused != 0 || database->disabled != 0)
		{
			pool->stall.since = 0;
			forget_problem(pool);
			continue;
		}
		watch_stall(&w, pool);
		check_effect(&w, pool);
		let_go_surplus(&w, pool);
		if (may_resize)
			resize_pool(&w, pool);
	}
	if (w.n_changes > 0 && !console_is_lost(&w))
	{
		/* However long the answers took, and what followed from them. */
		po_console_begin(&w.pooler->console, PO_CONSOLE_MOST_US);
		apply_include(&w);
	}
	return !console_is_lost(&w);
}

void
po_resize_let_go(PoVisitedPooler *pooler, int64 visit_us)
{
	Work		w = {.poolers = pooler, .n_poolers = 1, .pooler = pooler};

	if (!pooler->default_set.active)
		return;
	w.ticks = po_shmem_monotonic_us();
	w.default_pool_size = -1;
	po_console_begin(&pooler->console, visit_us);
	if (po_console_open(&pooler->console, pooler->conninfo, visit_us))
		give_back_default(&w);
}
