/*
 * po_state.c
 *		The state file: what outlives a restart.
 *
 * pg_stat/pool_optimizer.stat holds tenants, their statistics and statements, and the
 * policies in force, as this build lays them out; another build's file is not read.  It is
 * written whole to a temporary name and renamed, by the sampler once a minute and
 * by the postmaster last of all at a clean stop, and stays when it has been read, so that a crash
 * loses a minute.
 *
 *		header, tenants (PoTenant, PoTenantStats) ..., policies ..., alerts raised and
 *		told ..., rules of alerts ..., events ..., minutes of history that are in no table
 *		yet ..., statements (PoStatement and text) ..., findings ..., CRC-32C
 *
 * How that is packed, and everything that believes what was read, is in po_packing.h.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/ipc.h"

#include "model/po_packing.h"
#include "po_alert_table.h"
#include "po_events.h"
#include "po_finding_table.h"
#include "po_history_rings.h"
#include "po_inject.h"
#include "po_policy_row.h"
#include "po_registry.h"
#include "po_state.h"
#include "po_statement.h"
#include "po_stats.h"

#define STATE_FILE		PGSTAT_STAT_PERMANENT_DIRECTORY "/pool_optimizer.stat"
#define STATE_TMP_FILE	STATE_FILE ".tmp"

/* So that a file that is written each minute stays small whatever the settings are. */
#define MOST_EVENTS		5000	/* of each ring */
#define MOST_MINUTES	16384	/* rows: eight minutes of 2,000 tenants */

/* So that names that are used no more leave room for others. */
#define FORGOTTEN_AFTER_DAYS	90

/* Structs are read and written as words. */
typedef union PackedTenant
{
	PoTenant	s;
	uint64		word[PO_PACKING_WORDS(sizeof(PoTenant))];
} PackedTenant;

typedef union PackedStats
{
	PoTenantStats s;
	uint64		word[PO_PACKING_WORDS(sizeof(PoTenantStats))];
} PackedStats;

typedef union PackedAlert
{
	PoAlertSaved s;
	uint64		word[PO_PACKING_WORDS(sizeof(PoAlertSaved))];
} PackedAlert;

typedef union PackedEvent
{
	PoEvent		s;
	uint64		word[PO_PACKING_WORDS(sizeof(PoEvent))];
} PackedEvent;

/* Its tenant is the place of that in the file.  Without a queryid it is what the tenant's
 * statements are that are in no place.  A free place has the tenant -1. */
typedef struct SavedStatement
{
	PoStatement s;
	union
	{
		char		text[PO_STATEMENT_TEXT_LEN];
		PoTenantHints hints;	/* where there is no queryid */
	};
} SavedStatement;

typedef union PackedStatement
{
	SavedStatement s;
	uint64		word[PO_PACKING_WORDS(sizeof(SavedStatement))];
} PackedStatement;

/* Its tenant likewise; a free place has the severity PO_FOUND_NOTHING. */
typedef union PackedFinding
{
	PoFindingRecord s;
	uint64		word[PO_PACKING_WORDS(sizeof(PoFindingRecord))];
} PackedFinding;

static void
fill_header(PoPackingHeader *header)
{
	po_packing_header(header, sizeof(PoTenant), sizeof(PoTenantStats), sizeof(PoPolicy));
	header->alert_size = sizeof(PoAlertSaved);
	header->rule_size = sizeof(PoAlertRule);
	header->event_size = sizeof(PoEvent);
	header->minute_size = sizeof(PoHistoryRow);
	header->statement_size = sizeof(SavedStatement);
	header->finding_size = sizeof(PoFindingRecord);
}

/* ---------- writing ---------- */

/* A file being written, with the checksum of all that went through. */
typedef struct PoStream
{
	FILE	   *file;
	pg_crc32c	crc;
	int			error;			/* errno of what failed first */
} PoStream;

static void
put(PoStream *s, const void *bytes, size_t n)
{
	COMP_CRC32C(s->crc, bytes, n);
	if (s->error == 0 && fwrite(bytes, n, 1, s->file) != 1)
		s->error = errno;
}

/* The largest of all. */
#define MOST_WORDS	PO_PACKING_WORDS(sizeof(PackedStats))

static void
put_packed(PoStream *s, const uint64 *word, int n)
{
	uint64		packed[PO_PACKING_ROOM(MOST_WORDS)];
	int			used = po_packing_pack(word, n, packed);

	put(s, packed, used * sizeof(uint64));
}

/* What is written besides tenants; in memory of the caller. */
typedef struct Copies
{
	PoPolicy   *policies;
	int			n_policies;
	PoAlertSaved *alerts;
	int			n_alerts;
	PoAlertRule *rules;
	int			n_rules;
	PoEvent    *events;
	int			n_events;
	PoHistoryRow *minutes;
	int			n_minutes;
} Copies;

static void *
allocate_copy(Size n, Size size)
{
	return MemoryContextAllocHuge(CurrentMemoryContext, mul_size(Max(n, 1), size));
}

static void
copy_all(Copies *c)
{
	PoTenant	tenant;

	c->policies = allocate_copy(po_shared->n_policies, sizeof(PoPolicy));
	c->n_policies = po_registry_copy_policies(c->policies, po_shared->n_policies);
	c->alerts = allocate_copy(po_shared->n_alerts + po_shared->n_alert_entries,
							  sizeof(PoAlertSaved));
	c->n_alerts = po_alert_table_save(c->alerts);
	for (int i = 0; i < c->n_alerts; i++)
	{
		const PoAlertRecord *r = &c->alerts[i].entry.record;

		/* Places differ after a restart: a tenant is known by its name. */
		if (r->tenant >= 0 && po_registry_copy_tenant(r->tenant, &tenant) &&
			tenant.hash == r->subject)
			strlcpy(c->alerts[i].tenant, tenant.name, PO_NAME_LEN);
	}
	c->rules = allocate_copy(po_shared->n_alert_rules, sizeof(PoAlertRule));
	/* As long as they have not been read there are none to speak of. */
	if (po_alert_table_copy_rules(c->rules, &c->n_rules) == 0)
		c->n_rules = 0;
}

static void
copy_past(Copies *c)
{
	int			most = Min(MOST_EVENTS, po_shared->n_events);

	c->events = allocate_copy(PO_N_RINGS * most, sizeof(PoEvent));
	c->n_events = po_events_save(c->events, most);
	c->minutes = allocate_copy(MOST_MINUTES, sizeof(PoHistoryRow));
	c->n_minutes =
		po_history_rings_save((int64) pg_atomic_read_u64(&po_shared->history_written),
							  c->minutes, MOST_MINUTES);
}

static void
free_copies(Copies *c)
{
	pfree(c->policies);
	pfree(c->alerts);
	pfree(c->rules);
	pfree(c->events);
	pfree(c->minutes);
}

static void
write_copies(PoStream *s, const Copies *c)
{
	PackedAlert alert;
	PackedEvent event;

	for (int i = 0; i < c->n_policies && s->error == 0; i++)
		put(s, &c->policies[i], sizeof(PoPolicy));
	for (int i = 0; i < c->n_alerts && s->error == 0; i++)
	{
		memset(&alert, 0, sizeof(alert));
		alert.s = c->alerts[i];
		put_packed(s, alert.word, lengthof(alert.word));
	}
	for (int i = 0; i < c->n_rules && s->error == 0; i++)
		put(s, &c->rules[i], sizeof(PoAlertRule));
	for (int i = 0; i < c->n_events && s->error == 0; i++)
	{
		memset(&event, 0, sizeof(event));
		event.s = c->events[i];
		put_packed(s, event.word, lengthof(event.word));
	}
	for (int i = 0; i < c->n_minutes && s->error == 0; i++)
		put(s, &c->minutes[i], sizeof(PoHistoryRow));
}

static void
put_tenants(PoStream *s, int n_tenants)
{
	PackedTenant tenant;
	PackedStats stats;

	for (int i = 0; i < n_tenants && s->error == 0; i++)
	{
		/* A free place is written without a name. */
		memset(&tenant, 0, sizeof(tenant));
		memset(&stats, 0, sizeof(stats));
		if (po_registry_copy_tenant(i, &tenant.s))
			po_stats_copy(i, &stats.s);
		put_packed(s, tenant.word, lengthof(tenant.word));
		put_packed(s, stats.word, lengthof(stats.word));
	}
}

/* First one for each tenant, of what is in no place; those of unknown tenants are left out. */
static void
put_statements(PoStream *s, int n_tenants, int n_places)
{
	PackedStatement statement;

	for (int i = 0; i < n_tenants && s->error == 0; i++)
	{
		memset(&statement, 0, sizeof(statement));
		statement.s.s.tenant = i;
		po_statement_copy_others(i, &statement.s.s.sums);
		po_statement_copy_hints(i, &statement.s.hints);
		put_packed(s, statement.word, lengthof(statement.word));
	}
	for (int i = 0; i < n_places && s->error == 0; i++)
	{
		memset(&statement, 0, sizeof(statement));
		if (!po_statement_copy(i, &statement.s.s, statement.s.text) ||
			statement.s.s.tenant >= n_tenants)
		{
			/* All zeros would be what (other) has in no place. */
			memset(&statement, 0, sizeof(statement));
			statement.s.s.tenant = -1;
		}
		put_packed(s, statement.word, lengthof(statement.word));
	}
}

/* Those of tenants that have given up their place are left out. */
static void
put_findings(PoStream *s, int n_tenants, int n_places)
{
	PackedFinding finding;
	PoTenantGlance tenant;

	for (int i = 0; i < n_places && s->error == 0; i++)
	{
		memset(&finding, 0, sizeof(finding));
		if (!po_finding_table_copy(i, &finding.s) || finding.s.tenant >= n_tenants ||
			!po_registry_glance(finding.s.tenant, &tenant) ||
			tenant.hash != finding.s.subject)
			memset(&finding, 0, sizeof(finding));
		put_packed(s, finding.word, lengthof(finding.word));
	}
}

static void
write_all(PoStream *s, const Copies *c)
{
	PoPackingHeader header;
	PoRegistry	totals;
	int			n_places = po_statement_n_places();
	int			n_findings = po_finding_table_n_places();
	pg_crc32c	crc;

	po_registry_copy_totals(&totals);
	fill_header(&header);
	header.n_tenants = totals.n_tenants;
	header.n_policies = c->n_policies;
	header.n_alerts = c->n_alerts;
	header.n_rules = c->n_rules;
	header.n_events = c->n_events;
	header.n_minutes = c->n_minutes;
	header.n_statements = totals.n_tenants + n_places;
	header.n_findings = n_findings;
	put(s, &header, sizeof(header));
	put_tenants(s, totals.n_tenants);
	write_copies(s, c);
	put_statements(s, totals.n_tenants, n_places);
	put_findings(s, totals.n_tenants, n_findings);
	crc = s->crc;
	FIN_CRC32C(crc);
	put(s, &crc, sizeof(crc));
}

/* durable_rename opens what it replaces, and gives up when it cannot. */
static bool
put_in_place(void)
{
	struct stat st;

	/* Nothing is lost that could have been read. */
	if (lstat(STATE_FILE, &st) == 0 &&
		(!S_ISREG(st.st_mode) || access(STATE_FILE, R_OK | W_OK) != 0))
		(void) unlink(STATE_FILE);
	return durable_rename(STATE_TMP_FILE, STATE_FILE, LOG) == 0;
}

bool
po_state_write(void)
{
	PoStream	s;
	Copies		copies;

	/* Before the file is open: nothing would close it after an error. */
	copy_all(&copies);
	copy_past(&copies);
	po_inject("state_write");
	INIT_CRC32C(s.crc);
	s.file = AllocateFile(STATE_TMP_FILE, PG_BINARY_W);
	s.error = s.file == NULL ? errno : 0;
	if (s.file != NULL)
	{
		write_all(&s, &copies);
		if (FreeFile(s.file) != 0 && s.error == 0)
			s.error = errno;
	}
	free_copies(&copies);
	if (s.error == 0 && put_in_place())
		return true;
	if (s.error != 0)
	{
		errno = s.error;
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", STATE_TMP_FILE)));
	}
	/* What was written before stays. */
	unlink(STATE_TMP_FILE);
	return false;
}

/* ---------- reading ---------- */

/* Everything in the file, and the file, in memory of the caller. */
typedef struct StateFile
{
	PoPackingReader in;
	PoPackingHeader header;
	unsigned char *bytes;
	PackedTenant *tenants;
	PackedStats *stats;
	PoPolicy   *policies;
	PackedAlert *alerts;
	PoAlertRule *rules;
	PackedEvent *events;
	PoHistoryRow *minutes;
	PackedStatement *statements;
	PackedFinding *findings;
	int		   *places;			/* of tenants, by their number in the file; -1 = none */
} StateFile;

static const char too_short[] = "it is too short";
static const char no_memory[] = "there is no memory for it";
static const char unreadable[] = "";	/* errno says why */

static void *
allocate(Size n, Size size)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, Max(n, 1) * size,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
}

static void
free_state(StateFile *state)
{
	if (state->bytes != NULL)
		pfree(state->bytes);
	if (state->tenants != NULL)
		pfree(state->tenants);
	if (state->stats != NULL)
		pfree(state->stats);
	if (state->policies != NULL)
		pfree(state->policies);
	if (state->alerts != NULL)
		pfree(state->alerts);
	if (state->rules != NULL)
		pfree(state->rules);
	if (state->events != NULL)
		pfree(state->events);
	if (state->minutes != NULL)
		pfree(state->minutes);
	if (state->statements != NULL)
		pfree(state->statements);
	if (state->findings != NULL)
		pfree(state->findings);
	if (state->places != NULL)
		pfree(state->places);
}

static const char *
load(FILE *file, StateFile *state)
{
	struct stat st;

	if (fstat(fileno(file), &st) != 0)
		return unreadable;
	state->bytes = allocate(st.st_size, 1);
	if (state->bytes == NULL)
		return no_memory;
	errno = 0;
	if (st.st_size > 0 && fread(state->bytes, st.st_size, 1, file) != 1)
		return ferror(file) ? unreadable : too_short;
	state->in.bytes = state->bytes;
	state->in.size = st.st_size;
	return NULL;
}

static const char *
read_header(StateFile *state)
{
	fill_header(&state->header);
	switch (po_packing_read_header(&state->in, &state->header))
	{
		case PO_PACKING_OK:
			break;
		case PO_PACKING_TOO_SHORT:
			return too_short;
		case PO_PACKING_OTHER_VERSION:
			return "it is of another version";
		case PO_PACKING_WRONG_COUNTS:
			return "its counts do not fit its size";
	}
	return NULL;
}

/* The checksum is the last of the file. */
static bool
checksum_fits(const PoPackingReader *in)
{
	pg_crc32c	crc;
	pg_crc32c	expected;

	if (in->size < sizeof(crc))
		return false;
	INIT_CRC32C(expected);
	COMP_CRC32C(expected, in->bytes, in->size - sizeof(crc));
	FIN_CRC32C(expected);
	memcpy(&crc, in->bytes + in->size - sizeof(crc), sizeof(crc));
	return EQ_CRC32C(crc, expected);
}

static bool
allocate_all(StateFile *state)
{
	const PoPackingHeader *h = &state->header;

	state->tenants = allocate(h->n_tenants, sizeof(PackedTenant));
	state->stats = allocate(h->n_tenants, sizeof(PackedStats));
	state->policies = allocate(h->n_policies, sizeof(PoPolicy));
	state->alerts = allocate(h->n_alerts, sizeof(PackedAlert));
	state->rules = allocate(h->n_rules, sizeof(PoAlertRule));
	state->events = allocate(h->n_events, sizeof(PackedEvent));
	state->minutes = allocate(h->n_minutes, sizeof(PoHistoryRow));
	state->statements = allocate(h->n_statements, sizeof(PackedStatement));
	state->findings = allocate(h->n_findings, sizeof(PackedFinding));
	state->places = allocate(h->n_tenants, sizeof(int));
	return state->tenants != NULL && state->stats != NULL && state->policies != NULL &&
		state->alerts != NULL && state->rules != NULL && state->events != NULL &&
		state->minutes != NULL && state->statements != NULL && state->findings != NULL &&
		state->places != NULL;
}

/* Reads and checks the whole; a message if it must not be used. */
static const char *
read_all(FILE *file, StateFile *state)
{
	PoPackingReader *in = &state->in;
	PoPackingHeader *h = &state->header;
	const char *problem = load(file, state);

	if (problem == NULL)
		problem = read_header(state);
	/* Before memory is taken by what a damaged header says. */
	if (problem == NULL && !checksum_fits(in))
		problem = "its checksum is wrong";
	if (problem != NULL)
		return problem;
	if (!allocate_all(state))
		return no_memory;
	for (uint32 i = 0; i < h->n_tenants; i++)
	{
		if (!po_packing_unpack(in, state->tenants[i].word, lengthof(state->tenants[i].word)) ||
			!po_packing_unpack(in, state->stats[i].word, lengthof(state->stats[i].word)))
			return too_short;
	}
	if (!po_packing_read(in, state->policies, h->n_policies * sizeof(PoPolicy)))
		return too_short;
	for (uint32_t i = 0; i < h->n_alerts; i++)
	{
		if (!po_packing_unpack(in, state->alerts[i].word, lengthof(state->alerts[i].word)))
			return too_short;
	}
	if (!po_packing_read(in, state->rules, h->n_rules * sizeof(PoAlertRule)))
		return too_short;
	for (uint32 i = 0; i < h->n_events; i++)
	{
		if (!po_packing_unpack(in, state->events[i].word, lengthof(state->events[i].word)))
			return too_short;
	}
	if (!po_packing_read(in, state->minutes, h->n_minutes * sizeof(PoHistoryRow)))
		return too_short;
	for (uint32 i = 0; i < h->n_statements; i++)
	{
		if (!po_packing_unpack(in, state->statements[i].word,
							   lengthof(state->statements[i].word)))
			return too_short;
	}
	for (uint32 i = 0; i < h->n_findings; i++)
	{
		if (!po_packing_unpack(in, state->findings[i].word,
							   lengthof(state->findings[i].word)))
			return too_short;
	}
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

/* The rules that are sound, to the front of the array; then the alerts. */
static void
restore_alerts(StateFile *state)
{
	int			n_rules = 0;
	int			n = 0;
	PoAlertSaved *alerts = allocate(state->header.n_alerts, sizeof(PoAlertSaved));

	for (uint32 i = 0; i < state->header.n_rules; i++)
	{
		if (po_alert_rule_check(&state->rules[i], NULL))
			state->rules[n_rules++] = state->rules[i];
	}
	/* Without any it is better to wait for the table than to believe so. */
	if (n_rules > 0)
		(void) po_alert_table_put_rules(state->rules, n_rules);
	for (uint32 i = 0; alerts != NULL && i < state->header.n_alerts; i++)
	{
		PoAlertSaved *saved = &state->alerts[i].s;
		PoAlertRecord *r = &saved->entry.record;
		PoTenantGlance g;

		saved->tenant[PO_NAME_LEN - 1] = '\0';
		if (r->tenant >= 0)
		{
			r->tenant = po_registry_find_tenant(saved->tenant);
			if (!po_registry_glance(r->tenant, &g))
				continue;
			r->subject = g.hash;
		}
		alerts[n++] = *saved;
	}
	po_alert_table_restore(alerts, n);
	if (alerts != NULL)
		pfree(alerts);
}

/* First of all, as what is told from now on comes after. */
static void
restore_events(StateFile *state)
{
	for (uint32 i = 0; i < state->header.n_events; i++)
		po_events_restore(&state->events[i].s);
}

/* With the places that tenants have now. */
static void
restore_minutes(StateFile *state)
{
	int			n = 0;

	for (uint32 i = 0; i < state->header.n_minutes; i++)
	{
		PoHistoryRow row = state->minutes[i];

		if (row.tenant != PO_HISTORY_CLUSTER)
		{
			if (row.tenant < 0 || row.tenant >= (int) state->header.n_tenants ||
				state->places[row.tenant] < 0)
				continue;
			row.tenant = state->places[row.tenant];
		}
		state->minutes[n++] = row;
	}
	po_history_rings_restore(state->minutes, n);
}

static void
restore_statements(StateFile *state)
{
	for (uint32 i = 0; i < state->header.n_statements; i++)
	{
		SavedStatement *saved = &state->statements[i].s;
		int			tenant = saved->s.tenant;

		if (tenant < 0 || (uint32) tenant >= state->header.n_tenants ||
			state->places[tenant] < 0)
			continue;
		saved->s.tenant = state->places[tenant];
		if (saved->s.queryid == 0)
		{
			po_statement_restore(&saved->s, "");
			po_statement_restore_hints(saved->s.tenant, &saved->hints);
			continue;
		}
		saved->text[PO_STATEMENT_TEXT_LEN - 1] = '\0';
		po_statement_restore(&saved->s, saved->text);
	}
}

/* Windows begin anew, so what goes on is seen again in a while. */
static void
restore_findings(StateFile *state)
{
	for (uint32 i = 0; i < state->header.n_findings; i++)
	{
		PoFindingRecord *f = &state->findings[i].s;
		PoTenantGlance tenant;

		if (f->severity <= PO_FOUND_NOTHING || f->severity > PO_FOUND_CRITICAL ||
			(uint32) f->kind >= PO_N_FINDINGS || (uint32) f->ttl >= PO_N_CACHE_TTLS ||
			f->tenant < 0 || (uint32) f->tenant >= state->header.n_tenants ||
			!po_registry_glance(state->places[f->tenant], &tenant))
			continue;
		f->tenant = tenant.tenant;
		f->subject = tenant.hash;
		f->seen_ticks = po_shmem_monotonic_us();
		po_finding_table_restore(f);
	}
}

/* Who was used last before this may be forgotten.  Seen from the file: the server may have been
 * down for long, and the clock may be wrong. */
static TimestampTz
forgotten_before(const StateFile *state)
{
	TimestampTz newest = 0;

	for (uint32 i = 0; i < state->header.n_tenants; i++)
		newest = Max(newest, state->tenants[i].s.last_used);
	return newest - FORGOTTEN_AFTER_DAYS * USECS_PER_DAY;
}

/* Not one that was in use when the file was written, nor one that a policy names: such a tenant has
 * its place by now. */
static bool
is_forgotten(const PoTenant *tenant, TimestampTz before)
{
	return tenant->last_used < before && tenant->used + tenant->exempt == 0 &&
		po_registry_find_tenant(tenant->name) < 0;
}

static void
restore_tenants(StateFile *state)
{
	TimestampTz before = forgotten_before(state);
	int			n_lost = 0;
	int			n_forgotten = 0;

	for (uint32 i = 0; i < state->header.n_tenants; i++)
	{
		PoTenant   *tenant = &state->tenants[i].s;
		PoTenantStats *stats = &state->stats[i].s;
		int			index;

		tenant->name[PO_NAME_LEN - 1] = '\0';
		state->places[i] = -1;
		if (tenant->name[0] == '\0')
			continue;
		if (is_forgotten(tenant, before))
		{
			n_forgotten++;
			continue;
		}
		stats->last_error[sizeof(stats->last_error) - 1] = '\0';
		index = po_registry_restore_tenant(tenant);
		state->places[i] = index;
		if (index >= 0)
			po_stats_restore(index, stats);
		else
			n_lost++;
	}
	if (n_lost > 0)
		ereport(LOG,
				(errmsg("pool_optimizer.max_tenants is too small for %d tenants of file \"%s\"",
						n_lost, STATE_FILE)));
	if (n_forgotten > 0)
		ereport(LOG,
				(errmsg("pool_optimizer forgets %d tenants that were not used for %d days",
						n_forgotten, FORGOTTEN_AFTER_DAYS)));
}

/* Policies before tenants, so that those that they name have their places. */
static void
restore(StateFile *state)
{
	restore_events(state);
	restore_policies(state->policies, state->header.n_policies);
	restore_tenants(state);
	restore_alerts(state);
	restore_minutes(state);
	restore_statements(state);
	restore_findings(state);
}

static void
tell_unusable(const char *problem)
{
	const char *detail = "pool_optimizer starts without its statistics; policies come back "
		"when the table has been read.";

	if (problem == unreadable)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m", STATE_FILE),
				 errdetail_internal("%s", detail)));
	else
		ereport(LOG,
				(errmsg("ignoring file \"%s\": %s", STATE_FILE, problem),
				 errdetail_internal("%s", detail)));
}

/* Is there anything?  A link to nowhere is, and a pipe must not even be opened. */
static bool
is_there(const char **problem)
{
	struct stat st;

	*problem = NULL;
	if (lstat(STATE_FILE, &st) != 0 && errno == ENOENT)
		return false;
	if (stat(STATE_FILE, &st) != 0)
		*problem = unreadable;
	else if (!S_ISREG(st.st_mode))
		*problem = "it is not a regular file";
	return true;
}

static void
read_state(void)
{
	FILE	   *file;
	StateFile	state;
	const char *problem;

	if (!is_there(&problem))
		return;
	memset(&state, 0, sizeof(state));
	file = problem == NULL ? AllocateFile(STATE_FILE, PG_BINARY_R) : NULL;
	if (file != NULL)
		problem = read_all(file, &state);
	else if (problem == NULL)
		problem = unreadable;
	if (problem != NULL)
		tell_unusable(problem);
	if (file != NULL)
		FreeFile(file);
	if (problem == NULL)
		restore(&state);
	free_state(&state);
}

/*
 * An immediate stop ends processes wherever they are, also while they hold a lock, for
 * which the postmaster cannot wait, or are about to hand one over; what it guards may
 * be half changed.  To the postmaster's exit it looks like any other stop, but the
 * workers have not been able to say that they left.
 */
static bool
was_cut_off(void)
{
	return pg_atomic_read_u32(&po_shared->sampler_pid) != 0 ||
		pg_atomic_read_u32(&po_shared->keeper_pid) != 0 || !po_shmem_is_unlocked();
}

/* Only at a clean exit: after a crash memory is not to be trusted. */
static void
write_at_exit(int code, Datum arg)
{
	(void) arg;
	if (code != 0 || IsUnderPostmaster)
		return;
	if (!was_cut_off())
		(void) po_state_write();
	else
		ereport(LOG,
				(errmsg("pool_optimizer does not save its last statistics: processes were "
						"ended in the middle of their work"),
				 errdetail("Those of the last minute are lost.")));
}

void
po_state_startup(void)
{
	on_shmem_exit(write_at_exit, 0);
	read_state();
}
