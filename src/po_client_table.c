/*
 * po_client_table.c
 *		Which instances of which applications have sessions, and had before.
 *
 * PO_LOCK_CLIENTS is taken here and nowhere else.  Applications and instances are
 * arrays with hash chains; a free place is one that is not in use, and the next to be
 * used is found by a hand that goes around.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "po_client_table.h"

#define REMEMBERED_US		(INT64CONST(86400) * PO_US_PER_S)
#define FORGET_AT_ONCE		16	/* places looked at in a flush */

/* Private memory of the sampler. */
static int *instance_of = NULL; /* per slot, -1 = none */
static double *busy_us;			/* per application, not told yet */
static bool *is_touched;		/* is it among these? */
static int *touched;
static int	n_touched = 0;
static int	application_hand = 0;	/* where the next one to make room is looked for */
static int	instance_hand = 0;
static int	forget_hand = 0;

static inline int *
bucket_of(int *buckets, uint64 key)
{
	return &buckets[key & (uint64) (po_shared->n_client_buckets - 1)];
}

static inline void
lock_clients(LWLockMode mode)
{
	LWLockAcquire(po_shmem_lock(PO_LOCK_CLIENTS), mode);
}

static inline void
unlock_clients(void)
{
	LWLockRelease(po_shmem_lock(PO_LOCK_CLIENTS));
}

/* ---------- places ---------- */

static void
free_instance(int i)
{
	PoClientInstance *in = &po_client_instances[i];
	int		   *link = bucket_of(po_instance_buckets, in->key);

	while (*link != i)
		link = &po_client_instances[*link].next;
	*link = in->next;
	if (in->before >= 0)
		po_client_instances[in->before].after = in->after;
	else
		po_client_applications[in->application].first_instance = in->after;
	if (in->after >= 0)
		po_client_instances[in->after].before = in->before;
	in->in_use = false;
	in->next = po_shared->clients.free_instance;
	po_shared->clients.free_instance = i;
}

/* Its instances, none of which has sessions, go with it. */
static void
free_application(int i)
{
	PoClientApplication *a = &po_client_applications[i];
	int		   *link = bucket_of(po_application_buckets, a->key);

	while (a->first_instance >= 0)
		free_instance(a->first_instance);
	while (*link != i)
		link = &po_client_applications[*link].next;
	*link = a->next;
	a->in_use = false;
	a->next = po_shared->clients.free_application;
	po_shared->clients.free_application = i;
}

/* A free place.  If there is none, one without sessions makes room: the next of them,
 * which has been there for long.  -1: there is none, which cannot be. */
static int
place_for_instance(void)
{
	int			n = po_shared->n_client_instances;
	int			i = po_shared->clients.free_instance;

	for (int looked = 0; i < 0 && looked < n; looked++)
	{
		if (po_client_instances[instance_hand].sessions == 0)
			free_instance(instance_hand);
		instance_hand = (instance_hand + 1) % n;
		i = po_shared->clients.free_instance;
	}
	if (i >= 0)
		po_shared->clients.free_instance = po_client_instances[i].next;
	return i;
}

static int
place_for_application(void)
{
	int			n = po_shared->n_client_applications;
	int			i = po_shared->clients.free_application;

	for (int looked = 0; i < 0 && looked < n; looked++)
	{
		if (po_client_applications[application_hand].live == 0)
			free_application(application_hand);
		application_hand = (application_hand + 1) % n;
		i = po_shared->clients.free_application;
	}
	if (i >= 0)
		po_shared->clients.free_application = po_client_applications[i].next;
	return i;
}

/* ---------- finding ---------- */

static int
find_application(uint64 key, int tenant, const char *name)
{
	int			i = *bucket_of(po_application_buckets, key);

	for (; i >= 0; i = po_client_applications[i].next)
	{
		const PoClientApplication *a = &po_client_applications[i];

		if (a->key == key && a->tenant == tenant && strcmp(a->name, name) == 0)
			break;
	}
	return i;
}

static int
take_application(int tenant, const char *name, TimestampTz now)
{
	uint64		key = hash_bytes_extended((const unsigned char *) name, (int) strlen(name),
										  (uint64) tenant);
	int			i = find_application(key, tenant, name);
	PoClientApplication *a;
	int		   *bucket = bucket_of(po_application_buckets, key);

	if (i >= 0 || (i = place_for_application()) < 0)
		return i;
	a = &po_client_applications[i];
	memset(a, 0, sizeof(*a));
	a->in_use = true;
	a->key = key;
	a->tenant = tenant;
	a->first_seen = now;
	a->first_instance = -1;
	strlcpy(a->name, name, sizeof(a->name));
	a->next = *bucket;
	*bucket = i;
	/* What an application that was here before had in private memory is not its. */
	busy_us[i] = 0;
	return i;
}

/* What makes an instance the one it is. */
typedef struct Identity
{
	char		family[PO_PART_LEN];
	PoToldBy		told;
	uint32		address;
	uint64		key;
} Identity;

static void
identify(const PoSlot *slot, Identity *who)
{
	bool		own_name = po_instances_family(slot->application, who->family);

	who->told = slot->client_pid != 0 ? PO_TOLD_BY_PROCESS :
		own_name ? PO_TOLD_BY_NAME : PO_TOLD_BY_ADDRESS;
	who->address = hash_bytes((const unsigned char *) slot->address,
							  (int) strlen(slot->address));
	who->key = hash_bytes_extended((const unsigned char *) slot->application,
								   (int) strlen(slot->application), (uint64) slot->tenant);
	who->key = hash_bytes_extended((const unsigned char *) slot->address,
								   (int) strlen(slot->address), who->key);
	who->key = hash_combine64(who->key, (uint64) slot->client_pid);
}

static int
take_instance(int application, const Identity *who)
{
	int		   *bucket = bucket_of(po_instance_buckets, who->key);
	PoClientApplication *a = &po_client_applications[application];
	PoClientInstance *in;
	int			i;

	for (i = *bucket; i >= 0; i = po_client_instances[i].next)
	{
		if (po_client_instances[i].key == who->key &&
			po_client_instances[i].application == application)
			return i;
	}
	i = place_for_instance();
	if (i < 0)
		return i;
	in = &po_client_instances[i];
	memset(in, 0, sizeof(*in));
	in->in_use = true;
	in->key = who->key;
	in->application = application;
	in->address = who->address;
	in->told = (uint8) who->told;
	in->next = *bucket;
	*bucket = i;
	in->before = -1;
	in->after = a->first_instance;
	if (in->after >= 0)
		po_client_instances[in->after].before = i;
	a->first_instance = i;
	return i;
}

/* ---------- by the sampler ---------- */

/* Brings the means up to now; live is to be changed after this only. */
static void
pass(int i, int64 ticks)
{
	PoClientApplication *a = &po_client_applications[i];

	po_presence_pass(&a->presence, a->live, busy_us[i], ticks, a->memory_us);
	busy_us[i] = 0;
}

void
po_client_table_attach(void)
{
	MemoryContext context = TopMemoryContext;

	instance_of = MemoryContextAllocHuge(context, po_shared->n_slots * sizeof(int));
	busy_us = MemoryContextAllocExtended(context,
										 po_shared->n_client_applications * sizeof(double),
										 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	is_touched = MemoryContextAllocExtended(context, po_shared->n_client_applications,
											MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	touched = MemoryContextAllocHuge(context, po_shared->n_client_applications * sizeof(int));
	for (int i = 0; i < po_shared->n_slots; i++)
		instance_of[i] = -1;
	lock_clients(LW_EXCLUSIVE);
	for (int i = 0; i < po_shared->n_client_instances; i++)
		po_client_instances[i].sessions = 0;
	for (int i = 0; i < po_shared->n_client_applications; i++)
		po_client_applications[i].live = po_client_applications[i].sessions = 0;
	unlock_clients();
}

void
po_client_table_enter(int slot, int64 ticks, TimestampTz now, int64 memory_us)
{
	const PoSlot *s = &po_slots[slot];
	Identity	who;
	int			application;
	int			instance;

	identify(s, &who);
	lock_clients(LW_EXCLUSIVE);
	application = take_application(s->tenant, who.family, now);
	instance = application < 0 ? -1 : take_instance(application, &who);
	if (instance >= 0)
	{
		PoClientApplication *a = &po_client_applications[application];
		PoClientInstance *in = &po_client_instances[instance];

		a->memory_us = memory_us;
		pass(application, ticks);
		a->sessions++;
		if (in->sessions++ == 0)
			a->live++;
		in->last_seen = ticks;
		if (po_overlap_note(&a->overlap, a->live, ticks))
			a->peak_at = now;
	}
	unlock_clients();
	instance_of[slot] = instance;
}

void
po_client_table_leave(int slot, int64 ticks)
{
	int			instance = instance_of[slot];
	PoClientInstance *in;
	PoClientApplication *a;

	if (instance < 0)
		return;
	instance_of[slot] = -1;
	in = &po_client_instances[instance];
	lock_clients(LW_EXCLUSIVE);
	a = &po_client_applications[in->application];
	pass(in->application, ticks);
	/* The peak of a week that has begun meanwhile. */
	(void) po_overlap_note(&a->overlap, a->live, ticks);
	a->sessions--;
	in->last_seen = ticks;
	if (--in->sessions == 0)
		a->live--;
	unlock_clients();
}

void
po_client_table_busy(int slot, int64 us)
{
	int			instance = instance_of[slot];
	int			i;

	if (instance < 0)
		return;
	/* Written by this process alone. */
	i = po_client_instances[instance].application;
	if (!is_touched[i])
	{
		is_touched[i] = true;
		touched[n_touched++] = i;
	}
	busy_us[i] += us;
}

static void
forget_some(int64 ticks)
{
	for (int n = 0; n < FORGET_AT_ONCE; n++)
	{
		PoClientInstance *in = &po_client_instances[forget_hand];

		if (in->in_use && in->sessions == 0 && ticks - in->last_seen > REMEMBERED_US)
			free_instance(forget_hand);
		forget_hand = (forget_hand + 1) % po_shared->n_client_instances;
	}
}

void
po_client_table_flush(int64 ticks)
{
	lock_clients(LW_EXCLUSIVE);
	for (int i = 0; i < n_touched; i++)
	{
		/* Its place may have been given to another one, which has not been busy yet. */
		if (po_client_applications[touched[i]].in_use)
			pass(touched[i], ticks);
		is_touched[touched[i]] = false;
	}
	n_touched = 0;
	forget_some(ticks);
	unlock_clients();
}

/* ---------- by anyone ---------- */

static int
compare_seen(const void *left, const void *right)
{
	const PoClientSeen *a = left;
	const PoClientSeen *b = right;

	if (a->tenant != b->tenant)
		return a->tenant < b->tenant ? -1 : 1;
	return strcmp(a->application, b->application);
}

/* By application, then those with sessions first, then by address. */
static int
compare_instances(const void *left, const void *right)
{
	const PoClientInstance *a = left;
	const PoClientInstance *b = right;

	if (a->application != b->application)
		return a->application < b->application ? -1 : 1;
	if ((a->sessions > 0) != (b->sessions > 0))
		return a->sessions > 0 ? -1 : 1;
	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	return 0;
}

/* Adds n instances of one application, ordered as above. */
static void
add_instances(PoClientSeen *seen, const PoClientInstance *instance, int n, int64 ticks)
{
	for (int i = 0; i < n; i++)
	{
		const PoClientInstance *in = &instance[i];
		bool		counts = in->sessions > 0 || seen->live == 0;

		if (in->sessions == 0 && ticks - in->last_seen > REMEMBERED_US)
			continue;
		seen->seen++;
		if (!counts)
			continue;
		if (seen->addresses == 0 || in->address != instance[i - 1].address)
			seen->addresses++;
		seen->most_sessions = Max(seen->most_sessions, in->sessions);
		seen->told = Max(seen->told, (PoToldBy) in->told);
	}
}

static void
fill_seen(const PoClientApplication *a, int64 ticks, PoClientSeen *seen)
{
	PoPresence	presence = a->presence;

	memset(seen, 0, sizeof(*seen));
	seen->tenant = a->tenant;
	strlcpy(seen->application, a->name, sizeof(seen->application));
	seen->sessions = a->sessions;
	seen->live = a->live;
	seen->peak = po_overlap_most(&a->overlap, a->live, ticks);
	seen->peak_at = a->peak_at;
	seen->first_seen = a->first_seen;
	/* Nothing was busy since the last flush that was told of, but time has passed. */
	if (presence.us == 0 || ticks - presence.at > 2 * PO_US_PER_S)
		po_presence_pass(&presence, a->live, 0, ticks, a->memory_us);
	seen->usual = po_presence_live(&presence);
	seen->busy = po_presence_busy(&presence);
}

PoClientSeen *
po_client_table_copy(int *n)
{
	int			n_applications = po_shared->n_client_applications;
	int			n_instances = po_shared->n_client_instances;
	Size		application_bytes = mul_size(n_applications, sizeof(PoClientApplication));
	Size		instance_bytes = mul_size(n_instances, sizeof(PoClientInstance));
	MemoryContext context = CurrentMemoryContext;
	PoClientApplication *applications = MemoryContextAllocHuge(context, application_bytes);
	PoClientInstance *instances = MemoryContextAllocHuge(context, instance_bytes);
	PoClientSeen *seen = MemoryContextAllocHuge(context, n_applications * sizeof(PoClientSeen));
	int64		ticks;
	int			used = 0;
	int			at = 0;

	lock_clients(LW_SHARED);
	memcpy(applications, po_client_applications, application_bytes);
	memcpy(instances, po_client_instances, instance_bytes);
	unlock_clients();
	ticks = po_shmem_monotonic_us();

	for (int i = 0; i < n_instances; i++)
	{
		if (instances[i].in_use)
			instances[used++] = instances[i];
	}
	qsort(instances, used, sizeof(PoClientInstance), compare_instances);
	*n = 0;
	for (int i = 0; i < n_applications; i++)
	{
		int			first = at;

		while (at < used && instances[at].application == i)
			at++;
		if (!applications[i].in_use)
			continue;
		fill_seen(&applications[i], ticks, &seen[*n]);
		add_instances(&seen[*n], instances + first, at - first, ticks);
		/* What has not been here for a day is gone. */
		if (seen[*n].seen > 0)
			(*n)++;
	}
	pfree(applications);
	pfree(instances);
	qsort(seen, *n, sizeof(PoClientSeen), compare_seen);
	return seen;
}

void
po_client_table_reset(int tenant)
{
	int64		ticks = po_shmem_monotonic_us();
	TimestampTz now = GetCurrentTimestamp();

	lock_clients(LW_EXCLUSIVE);
	for (int i = 0; i < po_shared->n_client_applications; i++)
	{
		PoClientApplication *a = &po_client_applications[i];

		if (!a->in_use || (tenant >= 0 && a->tenant != tenant))
			continue;
		memset(&a->presence, 0, sizeof(a->presence));
		a->presence.at = ticks;
		memset(&a->overlap, 0, sizeof(a->overlap));
		(void) po_overlap_note(&a->overlap, a->live, ticks);
		a->first_seen = a->peak_at = now;
	}
	for (int i = 0; i < po_shared->n_client_instances; i++)
	{
		PoClientInstance *in = &po_client_instances[i];

		if (in->in_use && in->sessions == 0 &&
			(tenant < 0 || po_client_applications[in->application].tenant == tenant))
			free_instance(i);
	}
	unlock_clients();
}
