/*
 * po_history_rings.c
 *		History in shared memory: rings of rows for seconds, tens of seconds and minutes.
 *
 * PO_LOCK_HISTORY is taken here and nowhere else.  Only the sampler writes, so it reads
 * what it wrote without the lock.
 *
 * Nothing is done for a tenant to which nothing happens: sessions that are there are
 * integrated when its bucket is closed.  Minutes are closed some tenants at a time, or
 * earlier where a tenant is touched again.  The finer levels have few members, those that
 * are busiest, and a row of a member only for buckets in which something happened; what its
 * sessions were in between follows from sessions_first of the next row, or from now.
 *
 * Durations of a bucket are what came into the tenant's histogram since it began: of that
 * there is a copy in private memory, of each tenant that runs transactions for the minute,
 * and of each member.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "po_guc.h"
#include "po_history_rings.h"
#include "po_registry.h"
#include "po_worker.h"

#define NEWS_PER_BATCH		64
#define NEWS_PER_ROUND		1024
#define CLOSE_PER_SWEEP		256
#define SWEEP_WITHIN_US		(15 * PO_US_PER_S)
#define COPY_PER_LOCK		1024
#define TAKE_PER_LOCK		32
#define POINTS_EVERY_US		(100 * PO_US_PER_MS)

/* A member makes room for who is so much busier. */
#define BUSIER				2.0f
/* How busy a transaction makes, whatever its duration, in us. */
#define TOUCH_SCORE			1000.0f

static const int64 lengths[PO_HISTORY_LEVELS] = {
	PO_US_PER_S, 10 * PO_US_PER_S, 60 * PO_US_PER_S
};

/* The histogram of service times when a bucket began. */
typedef struct Base
{
	bool		known;
	uint32		service[PO_HISTOGRAM_BUCKETS];
} Base;

/* Whoever is a candidate for a fine level: how busy it was since the last choice. */
typedef struct Window
{
	float	   *score;			/* per tenant */
	int		   *listed;			/* those with a score */
	int			n_listed;
} Window;

/* In the sampler's memory. */
static Base **minute_base;		/* per tenant, then the cluster; NULL = none yet */
static Base *member_base[PO_HISTORY_FINE];
static int *member_of[PO_HISTORY_FINE]; /* per tenant, -1 = no member */
static Window windows[PO_HISTORY_FINE];
static int *moved;				/* tenants with transactions carried over */
static bool *is_moved;
static int	n_moved;
static PoHistogram service;

/* Whose durations in the open minute are to be looked at; the last is the cluster. */
static int *unsure;				/* a queue */
static bool *is_unsure;
static int	first_unsure;
static int	n_unsure;

static inline void
lock_history(void)
{
	LWLockAcquire(po_shmem_lock(PO_LOCK_HISTORY), LW_EXCLUSIVE);
}

static inline void
unlock_history(void)
{
	LWLockRelease(po_shmem_lock(PO_LOCK_HISTORY));
}

static inline PoHistoryLevel *
level_at(int i)
{
	return &po_shared->history[i];
}

int64
po_history_rings_length(int level)
{
	return lengths[level];
}

int64
po_history_rings_now(void)
{
	return GetCurrentTimestamp() - PO_HISTORY_EPOCH;
}

static uint32
tick_of(int level, int64 now)
{
	return (uint32) (Max(now, 0) / lengths[level]);
}

static int64
start_of(int level, uint32 tick)
{
	return (int64) tick * lengths[level];
}

/* The open minute of a tenant, or the cluster's. */
static int
minute_index(int tenant)
{
	return tenant == PO_HISTORY_CLUSTER ? po_shared->n_tenants : tenant;
}

static PoHistoryOpen *
minute_of(int tenant)
{
	return &po_history_open[minute_index(tenant)];
}

/* ---------- private memory ---------- */

static void
set_base(Base *base, const PoHistogram *now)
{
	for (int i = 0; i < PO_HISTOGRAM_BUCKETS; i++)
		base->service[i] = (uint32) now->count[i];
	base->known = true;
}

/* The same where so many of it came since the bucket began: with nothing, if these are all. */
static void
start_base(Base *base, const PoHistogram *now, uint64 came)
{
	memset(base, 0, sizeof(*base));
	base->known = true;
	if (came < po_histogram_total(now))
		set_base(base, now);
}

/* ---------- rows ---------- */

/* Under the lock. */
static void
append(PoHistoryLevel *level, const PoHistoryRow *row)
{
	po_history_rows[level - po_shared->history][level->written % level->n_rows] = *row;
	level->written++;
}

/* Carries over what was counted: into all open buckets of the tenant.  Under the lock. */
static void
count(int tenant, const PoHistoryCounts *counts)
{
	po_history_count(minute_of(tenant), counts);
	for (int i = 0; i < PO_HISTORY_FINE; i++)
	{
		int			m = tenant == PO_HISTORY_CLUSTER ? 0 : member_of[i][tenant];

		if (m >= 0)
			po_history_count(&po_history_members[i][m].open, counts);
	}
}

/* Asks the statistics what some tenants did, and all together. */
static void
take_many(const int *tenants, int n)
{
	PoHistoryCounts counts[TAKE_PER_LOCK];
	PoHistoryCounts total;

	po_stats_take_total(&total, NULL);
	for (int first = 0; first < n; first += TAKE_PER_LOCK)
	{
		int			some = Min(n - first, TAKE_PER_LOCK);

		po_stats_take_many(&tenants[first], some, counts);
		lock_history();
		for (int i = 0; i < some; i++)
			count(tenants[first + i], &counts[i]);
		unlock_history();
	}
	lock_history();
	count(PO_HISTORY_CLUSTER, &total);
	unlock_history();
}

/* What one did; leaves its histogram in "service" and returns its recommended size. */
static int
take_all(int tenant)
{
	PoHistoryCounts counts;
	int			recommended = 0;

	if (tenant == PO_HISTORY_CLUSTER)
		po_stats_take_total(&counts, &service);
	else
		po_stats_take(tenant, &counts, &service, &recommended);
	lock_history();
	count(tenant, &counts);
	unlock_history();
	if (minute_base[minute_index(tenant)] == NULL)
	{
		minute_base[minute_index(tenant)] = po_worker_allocate(1, sizeof(Base));
		start_base(minute_base[minute_index(tenant)], &service, counts.transactions);
	}
	return recommended;
}

/* What is not in the open bucket; tenant >= 0 or the cluster. */
static void
fill_row(int tenant, int recommended, PoHistoryRow *row)
{
	memset(row, 0, sizeof(*row));
	row->tenant = tenant;
	row->recommended = po_history_pack_count(recommended);
	row->max_connections = po_history_pack_count(tenant == PO_HISTORY_CLUSTER ?
												 po_shared->usable :
												 po_registry_max_connections(tenant));
}

void
po_history_rings_attach(void)
{
	int			n_tenants = po_shared->n_tenants;

	minute_base = po_worker_allocate(n_tenants + 1, sizeof(Base *));
	moved = po_worker_allocate(n_tenants, sizeof(int));
	is_moved = po_worker_allocate(n_tenants, sizeof(bool));
	unsure = po_worker_allocate(n_tenants + 1, sizeof(int));
	is_unsure = po_worker_allocate(n_tenants + 1, sizeof(bool));
	for (int i = 0; i < PO_HISTORY_FINE; i++)
	{
		member_base[i] = po_worker_allocate(level_at(i)->n_members, sizeof(Base));
		member_of[i] = po_worker_allocate(n_tenants, sizeof(int));
		windows[i].score = po_worker_allocate(n_tenants, sizeof(float));
		windows[i].listed = po_worker_allocate(n_tenants, sizeof(int));
		for (int t = 0; t < n_tenants; t++)
			member_of[i][t] = -1;
		for (int j = 1; j < level_at(i)->n_members; j++)
		{
			if (po_history_members[i][j].tenant >= 0)
				member_of[i][po_history_members[i][j].tenant] = j;
		}
	}
	/* The first time all that ever came is of this minute. */
	(void) take_all(PO_HISTORY_CLUSTER);
}

/* ---------- minutes ---------- */

/* The durations of the open minute, by what is in "service"; it_ends: the next begins. */
static void
find_points(int tenant, bool it_ends)
{
	PoHistoryOpen *open = minute_of(tenant);
	Base	   *base = minute_base[minute_index(tenant)];
	uint16		points[PO_HISTORY_POINTS];

	(void) po_history_points(&service, base->service, open->transactions, points);
	if (it_ends)
		set_base(base, &service);
	lock_history();
	memcpy(open->service, points, sizeof(points));
	unlock_history();
}

/* In an open minute they are found out for one tenant at a time. */
static void
find_some_points(int64 now)
{
	static int64 next = 0;
	int			tenant;

	if (n_unsure == 0 || (now < next && next - now <= POINTS_EVERY_US))
		return;
	next = now + POINTS_EVERY_US;
	tenant = unsure[first_unsure];
	is_unsure[minute_index(tenant)] = false;
	first_unsure = (first_unsure + 1) % (po_shared->n_tenants + 1);
	n_unsure--;
	if (minute_of(tenant)->tick != level_at(PO_HISTORY_MINUTE)->tick)
		return;
	(void) take_all(tenant);
	find_points(tenant, false);
}

static void
note_unsure(int tenant)
{
	if (is_unsure[minute_index(tenant)])
		return;
	is_unsure[minute_index(tenant)] = true;
	unsure[(first_unsure + n_unsure++) % (po_shared->n_tenants + 1)] = tenant;
}

/*
 * Closes the minute before for a tenant and begins the open one.  The cluster's row
 * waits until all others have been written.
 */
static void
close_minute(int tenant)
{
	PoHistoryLevel *level = level_at(PO_HISTORY_MINUTE);
	PoHistoryOpen *open = minute_of(tenant);
	PoHistoryRow row;

	fill_row(tenant, take_all(tenant), &row);
	find_points(tenant, true);
	lock_history();
	po_history_close(open, level->closing_began, level->closing_end, level->closing_sampled,
					 &row);
	if (tenant == PO_HISTORY_CLUSTER)
		level->total = row;
	else if (po_history_is_told(open))
		append(level, &row);
	po_history_begin(open, level->tick, level->began);
	unlock_history();
}

/* Makes a tenant a member; what it did until now is not of its buckets. */
static void
join(int i, int m, int tenant, uint32 since)
{
	PoHistoryMember *member = &po_history_members[i][m];
	const PoHistoryOpen *minute = minute_of(tenant);

	if (member->tenant >= 0)
		member_of[i][member->tenant] = -1;
	member_of[i][tenant] = m;
	lock_history();
	memset(&member->open, 0, sizeof(member->open));
	member->open.sessions = minute->sessions;
	member->open.waiting = minute->waiting;
	po_history_begin(&member->open, level_at(i)->tick, level_at(i)->began);
	member->tenant = tenant;
	member->since = since;
	member->score = windows[i].score[tenant];
	unlock_history();
}

/*
 * Who comes where nobody was becomes a member at once where there is a free place: as there
 * was nothing in this minute, all of it can be told.  What it has done just now is counted
 * after that.
 */
static void
join_early(int tenant)
{
	int64		begin = start_of(PO_HISTORY_MINUTE, level_at(PO_HISTORY_MINUTE)->tick);
	PoHistogram now;
	uint64		came = po_stats_untold(tenant, &now);

	for (int i = 0; i < PO_HISTORY_FINE; i++)
	{
		int			m;

		if (!level_at(i)->running || member_of[i][tenant] >= 0)
			continue;
		for (m = 1; m < level_at(i)->n_members; m++)
		{
			if (po_history_members[i][m].tenant < 0)
				break;
		}
		if (m == level_at(i)->n_members)
			continue;
		start_base(&member_base[i][m], &now, came);
		join(i, m, tenant, tick_of(i, begin));
	}
}

/* Before anything is added to the open minute of a tenant. */
static PoHistoryOpen *
touch_minute(int tenant)
{
	PoHistoryLevel *level = level_at(PO_HISTORY_MINUTE);
	PoHistoryOpen *open = minute_of(tenant);

	if (open->tick == level->tick && open->at != 0)
		return open;
	if (level->closing && open->at != 0 && open->tick == level->closing_tick)
		close_minute(tenant);
	else
	{
		lock_history();
		po_history_begin(open, level->tick, level->began);
		unlock_history();
		if (open->sessions == 0 && tenant != PO_HISTORY_CLUSTER)
			join_early(tenant);
	}
	return open;
}

/* Up to n tenants. */
static void
sweep(int n)
{
	PoHistoryLevel *level = level_at(PO_HISTORY_MINUTE);
	/* Read without the lock: it only grows. */
	int			n_known = po_shared->registry.n_tenants;
	int			end = (int) Min((int64) level->cursor + n, n_known);

	for (int i = level->cursor; i < end; i++)
	{
		const PoHistoryOpen *open = minute_of(i);

		if (open->at != 0 && open->tick == level->closing_tick &&
			(open->used || open->sessions > 0))
			close_minute(i);
		level->cursor = i + 1;
	}
	if (level->cursor < n_known)
		return;
	lock_history();
	append(level, &level->total);
	level->closing = false;
	unlock_history();
}

void
po_history_rings_sweep(void)
{
	/* However seldom it samples, a minute is closed before the next one ends. */
	int64		rounds = Max(SWEEP_WITHIN_US / PO_US_PER_MS / po_guc_sample_interval, 1);
	int			n_known = po_shared->registry.n_tenants;

	if (level_at(PO_HISTORY_MINUTE)->closing)
		sweep((int) Max(CLOSE_PER_SWEEP, n_known / rounds + 1));
}

/* ---------- fine levels ---------- */

/* Closes the bucket of a member; its durations are in "service". */
static void
close_member(int i, int m, int64 end, int recommended)
{
	PoHistoryLevel *level = level_at(i);
	PoHistoryMember *member = &po_history_members[i][m];
	Base	   *base = &member_base[i][m];
	PoHistoryRow row;
	uint16		points[PO_HISTORY_POINTS] = {0};

	fill_row(member->tenant, recommended, &row);
	if (base->known)
		(void) po_history_points(&service, base->service, member->open.transactions, points);
	set_base(base, &service);
	lock_history();
	memcpy(member->open.service, points, sizeof(points));
	po_history_close(&member->open, level->began, end, level->sampled, &row);
	append(level, &row);
	unlock_history();
}

/* Closes what is open at a fine level, the cluster's row last. */
static void
close_members(int i, int64 end)
{
	PoHistoryLevel *level = level_at(i);
	PoHistoryMember *members = po_history_members[i];

	for (int m = level->n_members - 1; m >= 0; m--)
	{
		if (members[m].tenant < 0 && m > 0)
			continue;
		if (m == 0 || members[m].open.used)
			close_member(i, m, end, take_all(members[m].tenant));
	}
}

static void
begin_members(int i)
{
	PoHistoryLevel *level = level_at(i);
	PoHistoryMember *members = po_history_members[i];

	lock_history();
	for (int m = 0; m < level->n_members; m++)
	{
		if (m == 0 || members[m].tenant >= 0)
			po_history_begin(&members[m].open, level->tick, level->began);
	}
	unlock_history();
}

/* The place that a new member would get: a free one, else that of the least busy. */
static int
least_member(int i)
{
	const PoHistoryMember *members = po_history_members[i];
	int			least = 1;

	for (int m = 1; m < level_at(i)->n_members; m++)
	{
		if (members[m].tenant < 0)
			return m;
		if (members[m].score < members[least].score)
			least = m;
	}
	return least;
}

/* At the end of a bucket of the next level: the busiest become members. */
static void
choose_members(int i)
{
	Window	   *w = &windows[i];
	PoHistoryMember *members = po_history_members[i];
	int			least;

	for (int m = 1; m < level_at(i)->n_members; m++)
	{
		if (members[m].tenant >= 0)
			members[m].score = members[m].score / 2 + w->score[members[m].tenant];
	}
	least = least_member(i);
	for (int l = 0; l < w->n_listed; l++)
	{
		int			tenant = w->listed[l];

		if (member_of[i][tenant] < 0 &&
			(members[least].tenant < 0 || w->score[tenant] > BUSIER * members[least].score))
		{
			(void) take_all(tenant);
			set_base(&member_base[i][least], &service);
			join(i, least, tenant, level_at(i)->tick);
			least = least_member(i);
		}
		w->score[tenant] = 0;
	}
	w->n_listed = 0;
}

static void
add_score(int tenant, float score)
{
	for (int i = 0; i < PO_HISTORY_FINE; i++)
	{
		Window	   *w = &windows[i];

		if (w->score[tenant] == 0)
			w->listed[w->n_listed++] = tenant;
		w->score[tenant] += score;
	}
}

/* The clock was set back: what is open is the last that may be lived again. */
static void
note_lived(void)
{
	PoHistoryLevel *level = level_at(PO_HISTORY_MINUTE);

	lock_history();
	level->lived = Max(level->lived, level->tick);
	level->lived_rows = level->written + po_shared->registry.n_tenants + 1;
	unlock_history();
}

/* Throws out what a level has: the clock was set back, or samples are too far apart. */
static void
restart_fine(int i)
{
	PoHistoryLevel *level = level_at(i);
	PoHistoryMember *members = po_history_members[i];

	lock_history();
	level->start = level->written;
	level->whole = false;
	for (int m = 1; m < level->n_members; m++)
	{
		if (members[m].tenant >= 0)
			member_of[i][members[m].tenant] = -1;
		members[m].tenant = -1;
	}
	level->running = false;
	unlock_history();
}

/* ---------- from bucket to bucket ---------- */

/* Begins the bucket in which now is; since from is it watched. */
static void
begin_bucket(int i, int64 from, int64 now)
{
	PoHistoryLevel *level = level_at(i);

	lock_history();
	level->tick = tick_of(i, now);
	if (level->restored > 0 && level->resumed == 0)
		level->resumed = level->tick;
	level->began = Max(start_of(i, level->tick), Min(from, now));
	level->seen = level->began;
	level->sampled = 0;
	level->running = true;
	unlock_history();
}

/* The end of the open bucket, as far as it was watched before from. */
static int64
watched_end(int i, int64 from)
{
	const PoHistoryLevel *level = level_at(i);
	int64		end = start_of(i, level->tick) + lengths[i];

	return from >= level->seen && from <= end ? end : Min(level->seen, end);
}

static void
next_minute(int64 from, int64 now)
{
	PoHistoryLevel *level = level_at(PO_HISTORY_MINUTE);

	/* The one before is closed to the last row. */
	if (level->closing)
		sweep(po_shared->n_tenants);
	if (level->running)
	{
		lock_history();
		level->closing_tick = level->tick;
		level->closing_began = level->began;
		level->closing_end = watched_end(PO_HISTORY_MINUTE, from);
		level->closing_sampled = level->sampled;
		level->cursor = 0;
		level->closing = true;
		unlock_history();
	}
	begin_bucket(PO_HISTORY_MINUTE, from, now);
	(void) touch_minute(PO_HISTORY_CLUSTER);
}

static void
next_fine(int i, int64 from, int64 now)
{
	PoHistoryLevel *level = level_at(i);
	uint32		next_before = (uint32) (level->tick / (lengths[i + 1] / lengths[i]));
	bool		was_running = level->running;

	if (was_running)
		close_members(i, watched_end(i, from));
	begin_bucket(i, from, now);
	begin_members(i);
	if (!was_running)
	{
		lock_history();
		po_history_members[i][0].tenant = PO_HISTORY_CLUSTER;
		po_history_members[i][0].since = level->tick;
		unlock_history();
		member_base[i][0].known = false;
	}
	else if (tick_of(i + 1, now) != next_before)
		choose_members(i);
}

static bool
is_fine_enough(int i)
{
	return (int64) po_guc_sample_interval * PO_US_PER_MS <= lengths[i];
}

/* What is open at a level, NULL when it is no member. */
static PoHistoryOpen *
open_at(int i, int tenant)
{
	int			m;

	if (i == PO_HISTORY_MINUTE)
		return minute_of(tenant);
	m = tenant == PO_HISTORY_CLUSTER ? 0 : member_of[i][tenant];
	return m < 0 ? NULL : &po_history_members[i][m].open;
}

/* Adds what was busy in a part of a sample to what is open at a level. */
static void
add_busy(int i, const PoObservation *tally, const int *busy, int n, int64 from, int64 to)
{
	int			all = 0;

	if (to <= from)
		return;
	for (int b = 0; b < n && i == PO_HISTORY_MINUTE; b++)
		(void) touch_minute(busy[b]);
	lock_history();
	for (int b = 0; b < n; b++)
	{
		const PoObservation *o = &tally[busy[b]];
		int			n_busy = o->active + o->idle_in_transaction;
		PoHistoryOpen *open = open_at(i, busy[b]);

		all += n_busy;
		if (open != NULL)
			po_history_busy(open, n_busy, from, to);
	}
	po_history_busy(open_at(i, PO_HISTORY_CLUSTER), all, from, to);
	level_at(i)->seen = Max(level_at(i)->seen, to);
	level_at(i)->sampled += to - from;
	unlock_history();
}

/* One sample at one level: ends buckets that are over. */
static void
observe_level(int i, const PoObservation *tally, const int *busy, int n, int64 from, int64 now)
{
	PoHistoryLevel *level = level_at(i);
	int64		end = start_of(i, level->tick) + lengths[i];

	if (level->running && now < start_of(i, level->tick))
	{
		if (i == PO_HISTORY_MINUTE)
			note_lived();
		else
			restart_fine(i);
	}
	if (!level->running || tick_of(i, now) != level->tick)
	{
		if (level->running && from < end && now > end)
			add_busy(i, tally, busy, n, Max(from, level->began), end);
		if (i == PO_HISTORY_MINUTE)
			next_minute(from, now);
		else
			next_fine(i, from, now);
	}
	add_busy(i, tally, busy, n, Max(from, level->began), now);
}

/* ---------- news ---------- */

/* Sessions, waiting logins and refusals, in all that is open for a tenant. */
static void
add_news(PoHistoryOpen *open, const PoTenantNews *news, int64 at)
{
	PoHistoryCounts counts = {0, news->rejected, news->rejected + news->failed, 0};

	po_history_sessions(open, news->sessions, news->sessions_peak, at);
	po_history_waiting(open, news->waiting, news->waiting_peak);
	po_history_count(open, &counts);
}

static void
tell_news(const PoTenantNews *news, int64 at)
{
	PoHistoryOpen *minute = touch_minute(news->tenant);
	PoHistoryCounts counts = {0, news->rejected, news->rejected + news->failed, 0};

	lock_history();
	add_news(minute, news, at);
	for (int i = 0; i < PO_HISTORY_FINE; i++)
	{
		if (member_of[i][news->tenant] >= 0)
			add_news(&po_history_members[i][member_of[i][news->tenant]].open, news, at);
	}
	count(PO_HISTORY_CLUSTER, &counts);
	unlock_history();
	/* Who leaves carries over what it did by itself. */
	po_history_rings_touch(news->tenant);
}

static void
tell_cluster_news(const PoClusterNews *news, int64 at)
{
	lock_history();
	for (int i = 0; i < PO_HISTORY_LEVELS; i++)
	{
		PoHistoryOpen *open = i == PO_HISTORY_MINUTE ? minute_of(PO_HISTORY_CLUSTER) :
			&po_history_members[i][0].open;

		po_history_sessions(open, news->sessions, news->sessions_peak, at);
		po_history_waiting(open, news->waiting, news->waiting_peak);
	}
	unlock_history();
}

/* What came between from and now counts from then on. */
static void
take_news(int64 from)
{
	PoTenantNews news[NEWS_PER_BATCH];
	PoClusterNews cluster;
	int			n = 0;

	for (int all = 0; all < NEWS_PER_ROUND; all += n)
	{
		n = po_registry_take_news(news, NEWS_PER_BATCH, &cluster);
		if (n == 0)
			return;
		for (int i = 0; i < n; i++)
		{
			tell_news(&news[i], from);
			add_score(news[i].tenant, TOUCH_SCORE);
		}
		tell_cluster_news(&cluster, from);
		if (n < NEWS_PER_BATCH)
			return;
	}
}

void
po_history_rings_touch(int tenant)
{
	if (is_moved[tenant])
		return;
	is_moved[tenant] = true;
	moved[n_moved++] = tenant;
}

/* Those whose transactions were carried over have something to tell. */
static void
tell_moved(void)
{
	if (n_moved == 0)
		return;
	for (int i = 0; i < n_moved; i++)
	{
		int			tenant = moved[i];

		(void) touch_minute(tenant);
		/* The first one of a tenant sets what its durations are counted from. */
		if (minute_base[tenant] == NULL)
			(void) take_all(tenant);
		add_score(tenant, TOUCH_SCORE);
		note_unsure(tenant);
	}
	take_many(moved, n_moved);
	note_unsure(PO_HISTORY_CLUSTER);
	/* Only now: after an error on the way all of them are still in the list. */
	for (int i = 0; i < n_moved; i++)
		is_moved[moved[i]] = false;
	n_moved = 0;
}

void
po_history_rings_observe(const PoObservation *tally, const int *busy, int n, int64 now,
						 int64 dt_us)
{
	int64		from = now - dt_us;

	/* What happened since the last sample is of the bucket in which that was. */
	if (level_at(PO_HISTORY_MINUTE)->running)
	{
		take_news(from);
		tell_moved();
		find_some_points(now);
	}
	for (int i = PO_HISTORY_MINUTE; i >= 0; i--)
	{
		if (i == PO_HISTORY_MINUTE || is_fine_enough(i))
			observe_level(i, tally, busy, n, from, now);
		else if (level_at(i)->running)
			restart_fine(i);
	}
	for (int b = 0; b < n; b++)
	{
		const PoObservation *o = &tally[busy[b]];

		add_score(o->tenant, (float) (o->active + o->idle_in_transaction) * (float) dt_us);
	}
}

/* ---------- copying ---------- */

/* A copy under construction. */
typedef struct Copy
{
	PoHistoryLevel level;
	PoHistoryOpen *open;		/* of tenants, or of members as in since */
	int			n_open;
	bool		truncated;		/* there were rows before the first */
} Copy;

/* Room for all that can be there; before the lock, as it may fail. */
static void
prepare_copy(int i, Copy *copy, PoHistoryRing *ring)
{
	const PoHistoryLevel *level = level_at(i);

	memset(copy, 0, sizeof(*copy));
	memset(ring, 0, sizeof(*ring));
	copy->n_open = i == PO_HISTORY_MINUTE ? po_shared->registry.n_tenants + 1 :
		level->n_members;
	copy->open = MemoryContextAllocHuge(CurrentMemoryContext,
										mul_size(copy->n_open, sizeof(PoHistoryOpen)));
	ring->since = palloc0(Max(level->n_members, 1) * sizeof(PoHistorySince));
	ring->row = MemoryContextAllocHuge(CurrentMemoryContext,
									   mul_size((Size) level->n_rows + copy->n_open + 1,
												sizeof(PoHistoryRow)));
}

/* Under the lock: all levels are of one moment. */
static void
copy_open(int i, Copy *copy, PoHistoryRing *ring)
{
	const PoHistoryLevel *level = level_at(i);

	copy->level = *level;
	if (i == PO_HISTORY_MINUTE)
	{
		memcpy(copy->open, po_history_open, (copy->n_open - 1) * sizeof(PoHistoryOpen));
		copy->open[copy->n_open - 1] = *minute_of(PO_HISTORY_CLUSTER);
		return;
	}
	for (int m = 0; m < level->n_members; m++)
	{
		const PoHistoryMember *member = &po_history_members[i][m];

		if (m > 0 && member->tenant < 0)
			continue;
		ring->since[ring->n_since].tenant = m == 0 ? PO_HISTORY_CLUSTER : member->tenant;
		ring->since[ring->n_since].since = member->since;
		copy->open[ring->n_since++] = member->open;
	}
}

/* The rows written until then that have not been overwritten meanwhile. */
static void
copy_rows(int i, Copy *copy, PoHistoryRing *ring)
{
	const uint64 n_rows = copy->level.n_rows;
	uint64		at = copy->level.start;

	while (at < copy->level.written)
	{
		uint64		oldest;
		uint64		end;

		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(po_shmem_lock(PO_LOCK_HISTORY), LW_SHARED);
		oldest = level_at(i)->written > n_rows ? level_at(i)->written - n_rows : 0;
		if (at < oldest)
		{
			at = oldest;
			ring->n = 0;
			copy->truncated = true;
		}
		end = Min(at + COPY_PER_LOCK, copy->level.written);
		for (; at < end; at++)
			ring->row[ring->n++] = po_history_rows[i][at % n_rows];
		LWLockRelease(po_shmem_lock(PO_LOCK_HISTORY));
	}
}

/* The first bucket may lack rows that have been overwritten. */
static void
drop_first_bucket(PoHistoryRing *ring)
{
	int			n = 0;

	while (n < ring->n && ring->row[n].tick == ring->row[0].tick)
		n++;
	ring->n -= n;
	memmove(ring->row, ring->row + n, ring->n * sizeof(PoHistoryRow));
}

/* The row of what is open, as if it had ended. */
static void
add_open_row(const PoHistoryOpen *open, int tenant, int64 began, int64 end, int64 sampled,
			 PoHistoryRing *ring)
{
	PoHistoryRow *row = &ring->row[ring->n++];

	fill_row(tenant, tenant < 0 ? 0 : po_stats_recommended_size(tenant), row);
	po_history_close(open, began, end, sampled, row);
}

static void
add_open_rows(int i, const Copy *copy, PoHistoryRing *ring)
{
	const PoHistoryLevel *level = &copy->level;

	for (int o = 0; o < copy->n_open; o++)
	{
		const PoHistoryOpen *open = &copy->open[o];
		int			tenant = i < PO_HISTORY_FINE ? ring->since[o].tenant :
			o < copy->n_open - 1 ? o : PO_HISTORY_CLUSTER;

		if (open->at == 0 || (tenant != PO_HISTORY_CLUSTER && !po_history_is_told(open)))
			continue;
		if (level->closing && open->tick == level->closing_tick)
			add_open_row(open, tenant, level->closing_began, level->closing_end,
						 level->closing_sampled, ring);
		else if (open->tick == level->tick)
			add_open_row(open, tenant, level->began, level->seen, level->sampled, ring);
	}
	if (level->closing)
		ring->row[ring->n++] = level->total;
}

/*
 * A full ring has lost the oldest rows, and it has all of the buckets after these.  If the clock
 * was set back they may be of buckets that come again later: rows of the first life are there
 * as long as a bucket follows upon a later one.
 */
static uint32
find_complete(const PoHistoryRing *ring, uint32 lived)
{
	uint32		first = ring->n > 0 ? ring->row[0].tick : 0;

	for (int i = 1; i < ring->n; i++)
	{
		if (ring->row[i].tick < ring->row[i - 1].tick)
			return first;
	}
	return Max(first, lived + 1);
}

void
po_history_rings_copy(int finest, PoHistoryRing ring[PO_HISTORY_LEVELS])
{
	Copy		copy[PO_HISTORY_LEVELS];

	for (int i = finest; i < PO_HISTORY_LEVELS; i++)
		prepare_copy(i, &copy[i], &ring[i]);
	LWLockAcquire(po_shmem_lock(PO_LOCK_HISTORY), LW_SHARED);
	for (int i = finest; i < PO_HISTORY_LEVELS; i++)
		copy_open(i, &copy[i], &ring[i]);
	LWLockRelease(po_shmem_lock(PO_LOCK_HISTORY));
	for (int i = finest; i < PO_HISTORY_LEVELS; i++)
	{
		ring[i].running = copy[i].level.running;
		ring[i].tick = copy[i].level.tick;
		ring[i].began = copy[i].level.began;
		ring[i].seen = copy[i].level.seen;
		if (copy[i].level.written - Min(copy[i].level.written, copy[i].level.n_rows) <
			copy[i].level.lived_rows)
			ring[i].lived = copy[i].level.lived;
		ring[i].restored = Max(copy[i].level.restored, copy[i].level.resumed);
		copy_rows(i, &copy[i], &ring[i]);
		ring[i].whole = copy[i].level.whole && !copy[i].truncated;
		if (copy[i].truncated)
			drop_first_bucket(&ring[i]);
		if (copy[i].truncated && copy[i].level.lived > 0)
			ring[i].complete = find_complete(&ring[i], copy[i].level.lived);
		if (i < PO_HISTORY_FINE)
			copy[i].n_open = ring[i].n_since;
		if (ring[i].running)
			add_open_rows(i, &copy[i], &ring[i]);
		pfree(copy[i].open);
	}
}

/* ---------- over a restart ---------- */

static void
free_ring(PoHistoryRing *ring)
{
	pfree(ring->row);
	pfree(ring->since);
}

int
po_history_rings_save(int64 since, PoHistoryRow *to, int most)
{
	PoHistoryRing ring[PO_HISTORY_LEVELS];
	const PoHistoryRing *minutes = &ring[PO_HISTORY_MINUTE];
	uint32		first = since <= 0 ? 0 : tick_of(PO_HISTORY_MINUTE, since);
	int			at = 0;
	int			n = 0;

	po_history_rings_copy(PO_HISTORY_MINUTE, ring);
	if (minutes->n > most)
	{
		/* Whole buckets only. */
		for (at = minutes->n - most; at < minutes->n &&
			 minutes->row[at].tick == minutes->row[minutes->n - most - 1].tick;)
			at++;
	}
	for (; at < minutes->n; at++)
	{
		if (minutes->row[at].tick >= first)
			to[n++] = minutes->row[at];
	}
	free_ring(&ring[PO_HISTORY_MINUTE]);
	return n;
}

/*
 * The last of these may go on in this life, or be lived again if the clock was set back
 * meanwhile.
 */
void
po_history_rings_restore(const PoHistoryRow *row, int n)
{
	PoHistoryLevel *level = level_at(PO_HISTORY_MINUTE);

	lock_history();
	for (int i = Max(n - level->n_rows, 0); i < n; i++)
	{
		po_history_rows[PO_HISTORY_MINUTE][level->written++] = row[i];
		level->restored = Max(level->restored, row[i].tick);
	}
	level->lived = level->restored;
	level->lived_rows = level->written;
	unlock_history();
}
