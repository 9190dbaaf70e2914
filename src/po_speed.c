/*
 * po_speed.c
 *		How much a processor gets done at the moment.
 *
 * The work is one half arithmetic with branches, in registers, and one half bytes through a pipe
 * of its own: what a virtual processor loses to its neighbours is often lost in entering the
 * kernel, on which a server lives, so it tells more of how throughput varies than arithmetic
 * alone.  The sampler has just woken up on some processor, so over some seconds all of them are
 * met.
 */
#include "postgres.h"

#include <fcntl.h>
#include <math.h>
#include <time.h>
#include <unistd.h>

#include "storage/fd.h"

#include "model/po_cpu_time.h"
#include "po_proc.h"
#include "po_shmem.h"
#include "po_speed.h"
#include "po_worker.h"

#define EVERY_US	(100 * PO_US_PER_MS)	/* this, and at most the counters of CPU time */
#define READ_SHARE	100			/* of the time, these at most one in so many */
#define BURSTS		3			/* of which the middle one counts */
#define ROUNDS		2000		/* of arithmetic in a burst */
#define BYTES		15			/* through the pipe */
#define SMOOTHED	50			/* what is published is a mean of about so many */

/* Of logarithms of speeds, and CPU time. */
typedef struct SpeedSum
{
	double		sum;
	int64		n;
	PoCpuTime	time;
} SpeedSum;

static SpeedSum all;
static SpeedSum *asked;			/* all, when a tenant asked last */
static int	n_asked;
static int64 due = 0;
static int64 read_due = 0;		/* the counters of CPU time */
static double usual;			/* smoothed logarithm, and the most that was */
static double best;

/* Never optimised away. */
static volatile uint32 done;
static int	ends[2] = {-1, -1};	/* of the pipe, read and write; -1 = there is none */

/* Where it cannot be had, arithmetic has to do. */
static void
open_pipe(void)
{
	ReserveExternalFD();
	if (pipe(ends) == 0)
	{
		/* Never waits, whatever happens. */
		if (pg_set_noblock(ends[0]) && pg_set_noblock(ends[1]))
			return;
		close(ends[0]);
		close(ends[1]);
	}
	ReleaseExternalFD();
	ends[0] = ends[1] = -1;
}

/* With many processors the kernel takes its time to write all that for whoever reads a line. */
static void
read_cpu_time(void)
{
	int64		ticks = po_shmem_monotonic_us();
	char		text[256];

	if (ticks < read_due)
		return;
	if (po_proc_begin("/proc/stat", text, sizeof(text)))
		(void) po_cpu_time_read(text, &all.time);
	read_due = ticks + Max(EVERY_US, READ_SHARE * (po_shmem_monotonic_us() - ticks));
}

void
po_speed_attach(int n_tenants)
{
	open_pipe();
	asked = po_worker_allocate(n_tenants, sizeof(SpeedSum));
	n_asked = n_tenants;
	read_cpu_time();
	for (int i = 0; i < n_tenants; i++)
		asked[i].time = all.time;
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
	char		byte = 0;

	for (uint32 i = 0; i < ROUNDS; i++)
	{
		x = x * 1664525 + 1013904223;	/* W. Press et al., Numerical Recipes, 1992 */
		if (x & 0x100)
			x ^= i;
	}
	done = x;
	for (int i = 0; i < BYTES && ends[0] >= 0; i++)
	{
		if (write(ends[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1)
			break;
	}
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
	read_cpu_time();
	before = asked[tenant];
	asked[tenant] = all;
	if (all.n <= before.n)
		return 0;
	return exp((all.sum - before.sum) / (all.n - before.n)) *
		po_cpu_time_granted(&before.time, &all.time);
}
