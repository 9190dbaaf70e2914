/*
 * po_stats.h
 *		What each tenant did: exact accounting, levels of concurrency, sizing.
 *
 * Every function takes PO_LOCK_STATS for itself and copies in and out.
 */
#ifndef PO_STATS_H
#define PO_STATS_H

#include "po_pooler_table.h"
#include "po_shmem.h"

/* ---------- by the session that owns the slot ---------- */

/* Starts the account of a new session at zero. */
extern void po_stats_begin(int slot);

/* A double's bits. */
static inline double
po_stats_read_double(const pg_atomic_uint64 *from)
{
	uint64		bits = pg_atomic_read_u64((pg_atomic_uint64 *) from);
	double		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* As po_count_own. */
static inline void
po_stats_add_double(pg_atomic_uint64 *to, double value)
{
	double		sum = po_stats_read_double(to) + value;
	uint64		bits;

	memcpy(&bits, &sum, sizeof(bits));
	pg_atomic_write_u64(to, bits);
}

/*
 * One transaction ended: its service time and the gap before it, in microseconds, of
 * which what is negative is not known; gap_us -1 = first of the session.  Takes no lock.
 * Inline, as it is in the path of each query.
 */
static inline void
po_stats_transaction(PoAccount *account, int64 service_us, int64 gap_us, bool rolled_back)
{
	if (service_us >= 0)
	{
		double		seconds = (double) service_us / PO_US_PER_S;

		account->service[po_histogram_bucket(service_us)]++;
		po_count_own(&account->service_us, (uint64) service_us);
		po_stats_add_double(&account->service_sq, seconds * seconds);
	}
	if (gap_us >= 0)
		account->gaps[po_histogram_bucket(gap_us)]++;
	if (rolled_back)
		po_count_own(&account->rollbacks, 1);
	po_count_own(&account->transactions, 1);
}

extern void po_stats_error(PoAccount *account, int sqlstate, TimestampTz at);

/* ---------- by session and sampler ---------- */

/* Adds to the tenant what the account has and the tenant has not yet; was there anything? */
extern bool po_stats_merge(int slot);

extern void po_stats_note_wait(int tenant, int64 wait_us);
extern void po_stats_note_login(int tenant, int64 login_us);
extern void po_stats_note_error(int tenant, const char *error, TimestampTz at);
extern void po_stats_note_terminated(int tenant);
extern void po_stats_note_would_terminate(int tenant);

/* ---------- by the sampler ---------- */

/* One tenant at one sample; dt_us is the time it stands for. */
typedef struct PoObservation
{
	int			tenant;
	int			active;
	int			idle_in_transaction;
	int			waits[PO_N_WAITS];
} PoObservation;

extern void po_stats_observe(const PoObservation *seen, TimestampTz now, int64 dt_us,
							 uint64 tick);

/*
 * Computes the recommendation anew when the policy's interval has passed, and every
 * few seconds as long as too little is known.  Returns after how many microseconds to
 * call again, -1 = not before there is a session again: all is said of a tenant that
 * has none and whose load is forgotten.
 */
extern int64 po_stats_evaluate(int tenant, const PoPolicyFields *policy, int sessions,
							  const PoPoolerDemand *demand, TimestampTz now);

/*
 * Counts what has come since this was asked before, without refusals, and copies what rows
 * of history need.  total, where service may be NULL: the same for all tenants together.
 */
extern void po_stats_take(int tenant, PoHistoryCounts *counts, PoHistogram *service,
						  int *recommended);
/* Without histograms, of n tenants. */
extern void po_stats_take_many(const int *tenants, int n, PoHistoryCounts *counts);
extern void po_stats_take_total(PoHistoryCounts *counts, PoHistogram *service);

/* How many transactions it would count, and the histogram that these are in. */
extern uint64 po_stats_untold(int tenant, PoHistogram *service);

/* A pool of so many stood still (po_standstill.h).  True if that is news. */
extern bool po_stats_note_standstill(int tenant, int size);

/* Takes one termination out of the minute's allowance, which all who end sessions
 * share; false when it is used up. */
extern bool po_stats_take_termination(int64 now);

/* One that was taken then ended nobody. */
extern void po_stats_give_back_termination(int64 taken);

/* The breaker of po_brake.h; note: a session was ended. */
extern bool po_stats_breaker_allows(int tenant, int64 now);
extern void po_stats_breaker_note(int tenant, int64 now, int sessions);
extern PoBreakerEvent po_stats_breaker_check(int tenant, int64 now, int sessions);

/* ---------- by the keeper ---------- */

/*
 * What is usual of tenants in the hour that begins then (us since the history's epoch) and
 * the next one: nothing but what is set in between.
 */
extern void po_stats_begin_season(void);
extern void po_stats_set_season(int tenant, const PoSeason *season);
extern void po_stats_end_season(int64 start);

/* ---------- by anyone ---------- */

/* When the hour begins that is told of, 0 = of none; does it last? */
extern int64 po_stats_season(void);
extern bool po_stats_season_holds(void);

/* Was a recommendation computed before, or is the tenant usually there at this time? */
extern bool po_stats_is_of_interest(int tenant);

extern void po_stats_copy(int tenant, PoTenantStats *stats);
extern int	po_stats_recommended_size(int tenant);
/* What has been counted so far; n_waits: logins that have left the queue. */
typedef struct PoTenantCounts
{
	uint64		transactions;
	uint64		xact_errors;
	uint64		terminated;
	double		service_us;
	uint64		n_waits;
	uint64		waited_us;
	int			recommended_size;
	bool		breaker_open;
} PoTenantCounts;

extern void po_stats_copy_counts(int tenant, PoTenantCounts *counts);

/* What is usual of busy sessions, and by how much the last piece of time was above that. */
typedef struct PoUsual
{
	double		deviations;		/* NaN = not known */
	double		busy;
	int			weeks;			/* that know it of this hour of the week; 0 = of the last day */
} PoUsual;

/* So many were busy on average in a piece of time, and none in so many more after it. */
extern void po_stats_learn_busy(int tenant, double busy, int64 quiet_pieces, PoUsual *usual);
extern void po_stats_copy_gaps(int tenant, PoHistogram *gaps);
extern void po_stats_restore(int tenant, const PoTenantStats *saved);

/* Sets all of it to 0; was is what it had. */
extern void po_stats_reset(int tenant, PoTenantStats *was);

#endif							/* PO_STATS_H */
