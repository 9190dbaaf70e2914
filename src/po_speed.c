/*
 * po_speed.c
 *		How much a processor gets done at the moment.
 *
 * The work is arithmetic with branches, in registers: it needs no memory, so that it does not
 * depend on what else is in the caches, and no system call.  The sampler has just woken up on
 * some processor, so over some seconds all of them are met.
 */
#include "postgres.h"

#include <math.h>
#include <time.h>

#include "po_shmem.h"
#include "po_speed.h"
#include "po_worker.h"

#define EVERY_US	(100 * PO_US_PER_MS)
#define BURSTS		3			/* of which the middle one counts */
#define ROUNDS		3000		/* of a burst */
#define SMOOTHED	50			/* what is published is a mean of about so many */

/* Of logarithms of speeds. */
typedef struct SpeedSum
{
	double		sum;
	int64		n;
} SpeedSum;

static SpeedSum all;
static SpeedSum *asked;			/* all, when a tenant asked last */
static int	n_asked;
static int64 due = 0;
static double usual;			/* smoothed logarithm, and the most that was */
static double best;

/* Never optimised away. */
static volatile uint32 done;

void
po_speed_attach(int n_tenants)
{
	asked = po_worker_allocate(n_tenants, sizeof(SpeedSum));
	n_asked = n_tenants;
	pg_atomic_write_u64(&po_shared->cpu_speed_ppm, 0);
}

/* ns of CPU time of this process; -1 = not known here. */
static int64
cpu_time(void)
{
#ifdef CLOCK_THREAD_CPUTIME_ID
	struct timespec t;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0)
		return (int64) t.tv_sec * 1000000000 + t.tv_nsec;
#endif
	return -1;
}

static void
work(void)
{
	uint32		x = done;

	for (uint32 i = 0; i < ROUNDS; i++)
	{
		x = x * 1664525 + 1013904223;	/* W. Press et al., Numerical Recipes, 1992 */
		if (x & 0x100)
			x ^= i;
	}
	done = x;
}

static int64
middle(int64 a, int64 b, int64 c)
{
	return Max(Min(a, b), Min(Max(a, b), c));
}

static void
note(double speed)
{
	all.sum += speed;
	all.n++;
	usual += (speed - usual) / Min(all.n, SMOOTHED);
	if (all.n < SMOOTHED)
		return;
	best = all.n == SMOOTHED ? usual : Max(best, usual);
	pg_atomic_write_u64(&po_shared->cpu_speed_ppm, (uint64) (exp(usual - best) * 1e6));
}

void
po_speed_measure(int64 ticks)
{
	int64		at[BURSTS + 1];
	int64		took;

	if (ticks < due)
		return;
	due = ticks + EVERY_US;
	at[0] = cpu_time();
	for (int i = 1; i <= BURSTS; i++)
	{
		work();
		at[i] = cpu_time();
	}
	took = middle(at[1] - at[0], at[2] - at[1], at[3] - at[2]);
	if (at[0] < 0 || took <= 0)
		return;
	note(log(ROUNDS * 1000.0 / took));
}

double
po_speed_since(int tenant)
{
	SpeedSum	before;

	if (tenant < 0 || tenant >= n_asked)
		return 0;
	before = asked[tenant];
	asked[tenant] = all;
	return all.n > before.n ? exp((all.sum - before.sum) / (all.n - before.n)) : 0;
}
