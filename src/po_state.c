/*
 * po_state.c
 *		The state file: what outlives a restart.
 *
 * pg_stat/pool_optimizer.stat holds tenants, their statistics and the policies in
 * force, as this build lays them out; another build's file is not read.  It is
 * written whole to a temporary name and renamed, by the sampler once a minute and
 * by the postmaster last of all, and stays when it has been read, so that a crash
 * loses a minute.
 *
 *		header, tenants (PoTenant, PoTenantStats) ..., policies ..., CRC-32C
 *
 * A tenant's structs are mostly zero, so they are written as words: a bitmap of those
 * that are not zero, then these.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/ipc.h"

#include "po_policy_row.h"
#include "po_registry.h"
#include "po_state.h"
#include "po_stats.h"

#define STATE_FILE		PGSTAT_STAT_PERMANENT_DIRECTORY "/pool_optimizer.stat"
#define STATE_TMP_FILE	STATE_FILE ".tmp"
#define STATE_MAGIC		0x504f5354	/* "POST" */
#define STATE_FORMAT	1

/* Structs are read and written as words. */
#define WORDS(type)		((sizeof(type) + sizeof(uint64) - 1) / sizeof(uint64))
#define BITMAP(words)	(((words) + 63) / 64)

typedef union PackedTenant
{
	PoTenant	s;
	uint64		word[WORDS(PoTenant)];
} PackedTenant;

typedef union PackedStats
{
	PoTenantStats s;
	uint64		word[WORDS(PoTenantStats)];
} PackedStats;

/* A tenant of which every word is zero. */
#define LEAST_RECORD \
	((BITMAP(WORDS(PackedTenant)) + BITMAP(WORDS(PackedStats))) * sizeof(uint64))

typedef struct PoStateHeader
{
	uint32		magic;
	uint32		format;
	uint32		tenant_size;	/* sizes tell one build from another */
	uint32		stats_size;
	uint32		policy_size;
	uint32		n_tenants;
	uint32		n_policies;
} PoStateHeader;

/* A file being written or read, with the checksum of all that went through. */
typedef struct PoStream
{
	FILE	   *file;
	pg_crc32c	crc;
	bool		ok;
} PoStream;

static void
put(PoStream *s, const void *bytes, size_t n)
{
	COMP_CRC32C(s->crc, bytes, n);
	s->ok = s->ok && fwrite(bytes, n, 1, s->file) == 1;
}

static bool
get(PoStream *s, void *bytes, size_t n)
{
	s->ok = s->ok && fread(bytes, n, 1, s->file) == 1;
	if (s->ok)
		COMP_CRC32C(s->crc, bytes, n);
	return s->ok;
}

/* The larger of the two, and its bitmap. */
#define MOST_WORDS	WORDS(PackedStats)

static void
put_sparse(PoStream *s, const uint64 *word, int n)
{
	uint64		out[BITMAP(MOST_WORDS) + MOST_WORDS];
	int			used = BITMAP(n);

	memset(out, 0, BITMAP(n) * sizeof(uint64));
	for (int i = 0; i < n; i++)
	{
		if (word[i] == 0)
			continue;
		out[i / 64] |= UINT64CONST(1) << (i % 64);
		out[used++] = word[i];
	}
	put(s, out, used * sizeof(uint64));
}

static bool
get_sparse(PoStream *s, uint64 *word, int n)
{
	uint64		bitmap[BITMAP(MOST_WORDS)];

	if (!get(s, bitmap, BITMAP(n) * sizeof(uint64)))
		return false;
	for (int i = 0; i < n; i++)
	{
		word[i] = 0;
		if ((bitmap[i / 64] & (UINT64CONST(1) << (i % 64))) != 0 &&
			!get(s, &word[i], sizeof(uint64)))
			return false;
	}
	return true;
}

static void
fill_header(PoStateHeader *header, int n_tenants, int n_policies)
{
	memset(header, 0, sizeof(*header));
	header->magic = STATE_MAGIC;
	header->format = STATE_FORMAT;
	header->tenant_size = sizeof(PoTenant);
	header->stats_size = sizeof(PoTenantStats);
	header->policy_size = sizeof(PoPolicy);
	header->n_tenants = n_tenants;
	header->n_policies = n_policies;
}

/* ---------- writing ---------- */

static void
write_all(PoStream *s)
{
	PoStateHeader header;
	PoRegistry	totals;
	PackedTenant tenant;
	PackedStats stats;
	PoPolicy   *policies = palloc(po_shared->n_policies * sizeof(PoPolicy));
	int			n_policies = po_registry_copy_policies(policies, po_shared->n_policies);

	po_registry_copy_totals(&totals);
	fill_header(&header, totals.n_tenants, n_policies);
	put(s, &header, sizeof(header));
	for (int i = 0; i < totals.n_tenants && s->ok; i++)
	{
		/* A free place is written without a name. */
		memset(&tenant, 0, sizeof(tenant));
		memset(&stats, 0, sizeof(stats));
		if (po_registry_copy_tenant(i, &tenant.s))
			po_stats_copy(i, &stats.s);
		put_sparse(s, tenant.word, lengthof(tenant.word));
		put_sparse(s, stats.word, lengthof(stats.word));
	}
	for (int i = 0; i < n_policies && s->ok; i++)
		put(s, &policies[i], sizeof(PoPolicy));
	FIN_CRC32C(s->crc);
	s->ok = s->ok && fwrite(&s->crc, sizeof(s->crc), 1, s->file) == 1;
	pfree(policies);
}

bool
po_state_write(void)
{
	PoStream	s;

	s.ok = true;
	INIT_CRC32C(s.crc);
	s.file = AllocateFile(STATE_TMP_FILE, PG_BINARY_W);
	if (s.file != NULL)
	{
		write_all(&s);
		if (FreeFile(s.file) != 0)
			s.ok = false;
		if (s.ok)
			return durable_rename(STATE_TMP_FILE, STATE_FILE, LOG) == 0;
	}
	ereport(LOG,
			(errcode_for_file_access(),
			 errmsg("could not write file \"%s\": %m", STATE_TMP_FILE)));
	unlink(STATE_TMP_FILE);
	return false;
}

/* ---------- reading ---------- */

/* Everything in the file, in memory of the caller. */
typedef struct StateFile
{
	PoStateHeader header;
	PackedTenant *tenants;
	PackedStats *stats;
	PoPolicy   *policies;
} StateFile;

static void *
allocate(Size n, Size size)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, Max(n, 1) * size,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
}

static void
free_state(StateFile *state)
{
	if (state->tenants != NULL)
		pfree(state->tenants);
	if (state->stats != NULL)
		pfree(state->stats);
	if (state->policies != NULL)
		pfree(state->policies);
}

static const char *
read_header(PoStream *s, PoStateHeader *header)
{
	PoStateHeader expected;
	struct stat st;

	if (!get(s, header, sizeof(*header)))
		return "it is too short";
	fill_header(&expected, header->n_tenants, header->n_policies);
	if (memcmp(&expected, header, sizeof(expected)) != 0)
		return "it is of another version";
	/* Before memory is taken by what a damaged header says. */
	if (fstat(fileno(s->file), &st) != 0 ||
		header->n_tenants > st.st_size / LEAST_RECORD ||
		header->n_policies > st.st_size / sizeof(PoPolicy))
		return "its counts do not fit its size";
	return NULL;
}

/* Reads and checks the whole; a message if it must not be used. */
static const char *
read_all(PoStream *s, StateFile *state)
{
	PoStateHeader *h = &state->header;
	const char *problem = read_header(s, h);
	pg_crc32c	crc;

	if (problem != NULL)
		return problem;
	state->tenants = allocate(h->n_tenants, sizeof(PackedTenant));
	state->stats = allocate(h->n_tenants, sizeof(PackedStats));
	state->policies = allocate(h->n_policies, sizeof(PoPolicy));
	if (state->tenants == NULL || state->stats == NULL || state->policies == NULL)
		return "there is no memory for it";
	for (uint32 i = 0; i < h->n_tenants; i++)
	{
		if (!get_sparse(s, state->tenants[i].word, lengthof(state->tenants[i].word)) ||
			!get_sparse(s, state->stats[i].word, lengthof(state->stats[i].word)))
			return "it is too short";
	}
	if (h->n_policies > 0 && !get(s, state->policies, h->n_policies * sizeof(PoPolicy)))
		return "it is too short";
	FIN_CRC32C(s->crc);
	if (fread(&crc, sizeof(crc), 1, s->file) != 1 || !EQ_CRC32C(crc, s->crc))
		return "its checksum is wrong";
	return NULL;
}

/* Puts those that are sound in force, to the front of the array. */
static void
restore_policies(PoPolicy *policies, int n)
{
	PoPublished published;
	int			n_sound = 0;

	for (int i = 0; i < n; i++)
	{
		PoPolicy	policy = policies[i];
		PoPolicyError error;

		policy.name[PO_NAME_LEN - 1] = '\0';
		if (po_policy_check(&policy, &error))
			policies[n_sound++] = policy;
	}
	/* As old as the file, which whoever reads the table overrides. */
	(void) po_registry_publish(policies, n_sound,
							   pg_atomic_read_u64(&po_shared->changes_requested), &published);
	po_policy_row_tell_published(&published);
}

static void
restore(StateFile *state)
{
	int			n_lost = 0;

	for (uint32 i = 0; i < state->header.n_tenants; i++)
	{
		PoTenant   *tenant = &state->tenants[i].s;
		PoTenantStats *stats = &state->stats[i].s;
		int			index;

		tenant->name[PO_NAME_LEN - 1] = '\0';
		if (tenant->name[0] == '\0')
			continue;
		stats->last_error[sizeof(stats->last_error) - 1] = '\0';
		index = po_registry_restore_tenant(tenant);
		if (index >= 0)
			po_stats_restore(index, stats);
		else
			n_lost++;
	}
	if (n_lost > 0)
		ereport(LOG,
				(errmsg("pool_optimizer.max_tenants is too small for %d tenants of file \"%s\"",
						n_lost, STATE_FILE)));
	restore_policies(state->policies, state->header.n_policies);
}

static void
read_state(void)
{
	PoStream	s;
	StateFile	state;
	const char *problem;

	s.ok = true;
	INIT_CRC32C(s.crc);
	memset(&state, 0, sizeof(state));
	s.file = AllocateFile(STATE_FILE, PG_BINARY_R);
	if (s.file == NULL)
	{
		if (errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m", STATE_FILE),
					 errdetail("pool_optimizer starts without its statistics.")));
		return;
	}
	problem = read_all(&s, &state);
	FreeFile(s.file);
	if (problem == NULL)
		restore(&state);
	else
		ereport(LOG,
				(errmsg("ignoring file \"%s\": %s", STATE_FILE, problem),
				 errdetail("pool_optimizer starts without its statistics; policies come "
						   "back when the table has been read.")));
	free_state(&state);
}

/* Only at a clean exit: after a crash memory is not to be trusted. */
static void
write_at_exit(int code, Datum arg)
{
	(void) arg;
	if (code == 0 && !IsUnderPostmaster)
		(void) po_state_write();
}

void
po_state_startup(void)
{
	if (IsUnderPostmaster)
		return;
	on_shmem_exit(write_at_exit, 0);
	read_state();
}
