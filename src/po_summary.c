/*
 * po_summary.c
 *		A regular line of the server's log for each busy tenant.
 *
 * All it needs to know of a tenant is what there was at its last line, in memory of the
 * sampler's own that is taken when log_interval is first set.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "po_guc.h"
#include "po_registry.h"
#include "po_stats.h"
#include "po_summary.h"

#define TENANTS_PER_ROUND	64

typedef struct Summary
{
	PoTenantCounts counts;		/* as of the last line */
	uint64		rejected;
	double		busy_us;		/* sum over sessions, since */
	int			most_busy;
} Summary;

static Summary *summaries = NULL;	/* per tenant */
static int64 begun_at = 0;		/* of the interval; 0 = none has begun */
static double interval_s = 0;	/* how long the one was that is written of */
static int	next_tenant = -1;	/* to write of; -1 = the interval goes on */
static bool is_first = false;	/* only to see what there is */

void
po_summary_note_busy(int tenant, int busy, int64 dt_us)
{
	if (begun_at == 0)
		return;
	summaries[tenant].busy_us += (double) busy * (double) dt_us;
	summaries[tenant].most_busy = Max(summaries[tenant].most_busy, busy);
}

/* Counters that were set back count from 0. */
static uint64
since(uint64 now, uint64 before)
{
	return now < before ? now : now - before;
}

static void
write_line(const Summary *s, const PoTenantGlance *g, const PoTenantCounts *c)
{
	uint64		transactions = since(c->transactions, s->counts.transactions);
	double		service_us = c->service_us < s->counts.service_us ? c->service_us :
		c->service_us - s->counts.service_us;
	uint64		errors = since(c->xact_errors, s->counts.xact_errors);
	uint64		refused = since(g->rejected, s->rejected);
	uint64		ended = since(c->terminated, s->counts.terminated);

	if (transactions + errors + refused + ended == 0 && s->busy_us <= 0)
		return;
	ereport(LOG,
			(errmsg("pool_optimizer, tenant \"%s\", last %.0f s: %d sessions, %.1f busy on "
					"average and %d at most, " UINT64_FORMAT " transactions (%.1f/s, %.1f ms on "
					"average), " UINT64_FORMAT " errors, " UINT64_FORMAT " refused, "
					UINT64_FORMAT " ended, recommended size %d", g->name, interval_s,
					g->used + g->exempt, s->busy_us / (interval_s * PO_US_PER_S), s->most_busy,
					transactions, (double) transactions / interval_s,
					transactions == 0 ? 0 : service_us / transactions / PO_US_PER_MS,
					errors, refused, ended, c->recommended_size)));
}

/* Writes of the next tenant, and begins its interval. */
static void
summarize(int tenant)
{
	Summary    *s = &summaries[tenant];
	PoTenantGlance g;
	PoTenantCounts counts;

	if (!po_registry_glance(tenant, &g))
		return;
	po_stats_copy_counts(tenant, &counts);
	if (!is_first)
		write_line(s, &g, &counts);
	s->counts = counts;
	s->rejected = g.rejected;
	s->busy_us = 0;
	s->most_busy = 0;
}

static void
begin(int64 ticks)
{
	if (summaries == NULL)
		summaries = MemoryContextAllocExtended(TopMemoryContext,
											   mul_size(po_shared->n_tenants, sizeof(Summary)),
											   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	is_first = begun_at == 0;
	interval_s = Max((double) (ticks - begun_at) / PO_US_PER_S, 0.001);
	begun_at = ticks;
	next_tenant = 0;
}

void
po_summary_round(int64 ticks)
{
	/* Read without the lock: it only grows. */
	int			n = po_shared->registry.n_tenants;

	if (po_guc_log_interval == 0)
	{
		begun_at = 0;
		next_tenant = -1;
		return;
	}
	if (next_tenant < 0 &&
		(begun_at == 0 || ticks - begun_at >= po_guc_log_interval * PO_US_PER_MS))
		begin(ticks);
	for (int i = 0; i < TENANTS_PER_ROUND && next_tenant >= 0; i++)
	{
		summarize(next_tenant);
		next_tenant = next_tenant + 1 < n ? next_tenant + 1 : -1;
	}
}
