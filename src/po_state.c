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
 */
#include "postgres.h"

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
	PoTenant	tenant;
	PoTenantStats stats;
	PoPolicy   *policies = palloc(po_shared->n_policies * sizeof(PoPolicy));
	int			n_policies = po_registry_copy_policies(policies, po_shared->n_policies);

	po_registry_copy_totals(&totals);
	fill_header(&header, totals.n_tenants, n_policies);
	put(s, &header, sizeof(header));
	for (int i = 0; i < totals.n_tenants && s->ok; i++)
	{
		/* A free place is written without a name. */
		if (!po_registry_copy_tenant(i, &tenant))
			memset(&tenant, 0, sizeof(tenant));
		po_stats_copy(i, &stats);
		put(s, &tenant, sizeof(tenant));
		put(s, &stats, sizeof(stats));
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

/* Reads everything into memory of the caller; a message if it must not be used. */
static const char *
read_all(PoStream *s, PoStateHeader *header, char **body)
{
	PoStateHeader expected;
	Size		size;
	pg_crc32c	crc;

	if (!get(s, header, sizeof(*header)))
		return "it is too short";
	fill_header(&expected, header->n_tenants, header->n_policies);
	if (memcmp(&expected, header, sizeof(expected)) != 0)
		return "it is of another version";
	if (header->n_tenants > 10000000 || header->n_policies > 10000000)
		return "its counts are impossible";
	size = header->n_tenants * (sizeof(PoTenant) + sizeof(PoTenantStats)) +
		header->n_policies * sizeof(PoPolicy);
	*body = MemoryContextAllocExtended(CurrentMemoryContext, Max(size, 1),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (*body == NULL)
		return "there is no memory for it";
	if (size > 0 && !get(s, *body, size))
		return "it is too short";
	FIN_CRC32C(s->crc);
	if (fread(&crc, sizeof(crc), 1, s->file) != 1 || !EQ_CRC32C(crc, s->crc))
		return "its checksum is wrong";
	return NULL;
}

static void
restore_policies(const char *body, int n)
{
	PoPolicy   *policies = palloc_extended(Max(n, 1) * sizeof(PoPolicy),
										   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	PoPublished published;
	int			n_sound = 0;

	for (int i = 0; i < n; i++)
	{
		PoPolicy   *policy = &policies[n_sound];
		PoPolicyError error;

		memcpy(policy, body + i * sizeof(PoPolicy), sizeof(*policy));
		policy->name[PO_NAME_LEN - 1] = '\0';
		n_sound += po_policy_check(policy, &error) ? 1 : 0;
	}
	/* As old as the file, which whoever reads the table overrides. */
	(void) po_registry_publish(policies, n_sound,
							   pg_atomic_read_u64(&po_shared->changes_requested), &published);
	po_policy_row_tell_published(&published);
	pfree(policies);
}

static void
restore(const PoStateHeader *header, const char *body)
{
	PoTenant	tenant;
	PoTenantStats stats;
	int			n_lost = 0;

	for (uint32 i = 0; i < header->n_tenants; i++)
	{
		int			index;

		memcpy(&tenant, body, sizeof(tenant));
		memcpy(&stats, body + sizeof(tenant), sizeof(stats));
		body += sizeof(tenant) + sizeof(stats);
		tenant.name[PO_NAME_LEN - 1] = '\0';
		if (tenant.name[0] == '\0')
			continue;
		stats.last_error[sizeof(stats.last_error) - 1] = '\0';
		index = po_registry_restore_tenant(&tenant);
		if (index >= 0)
			po_stats_restore(index, &stats);
		else
			n_lost++;
	}
	if (n_lost > 0)
		ereport(LOG,
				(errmsg("pool_optimizer.max_tenants is too small for %d tenants of file \"%s\"",
						n_lost, STATE_FILE)));
	restore_policies(body, header->n_policies);
}

static void
read_state(void)
{
	PoStream	s;
	PoStateHeader header;
	char	   *body = NULL;
	const char *problem;

	s.ok = true;
	INIT_CRC32C(s.crc);
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
	problem = read_all(&s, &header, &body);
	FreeFile(s.file);
	if (problem == NULL)
		restore(&header, body);
	else
		ereport(LOG,
				(errmsg("ignoring file \"%s\": %s", STATE_FILE, problem),
				 errdetail("pool_optimizer starts without its statistics; policies come "
						   "back when the table has been read.")));
	if (body != NULL)
		pfree(body);
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
