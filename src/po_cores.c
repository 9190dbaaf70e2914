/*
 * po_cores.c
 *		Processors that the server may use, which in a container are not all there are.
 */
#include "postgres.h"

#include <sched.h>
#include <unistd.h>

#include "model/po_cpu_limit.h"
#include "po_cores.h"
#include "po_proc.h"
#include "po_shmem.h"

#define EVERY_US		(60 * PO_US_PER_S)
#define MOST_LEVELS		32			/* of control groups */

/* Those that it may run on. */
static int
processors(void)
{
#ifdef CPU_COUNT
	cpu_set_t	set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return CPU_COUNT(&set);
#endif
	return (int) sysconf(_SC_NPROCESSORS_ONLN);
}

/* What one control group may use up; 0 = no limit. */
static double
limit_of_group(bool version_1, const char *path)
{
	char		file[MAXPGPATH];
	char		text[64];
	char		period[64];

	if (!version_1)
	{
		snprintf(file, sizeof(file), "/sys/fs/cgroup%s/cpu.max", path);
		return po_proc_begin(file, text, sizeof(text)) ? po_cpu_limit_of_max(text) : 0;
	}
	snprintf(file, sizeof(file), "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", path);
	if (!po_proc_begin(file, text, sizeof(text)))
		return 0;
	snprintf(file, sizeof(file), "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", path);
	return po_proc_begin(file, period, sizeof(period)) ? po_cpu_limit_of_quota(text, period) : 0;
}

/* The lowest of its control group and those above. */
static double
lowest_limit(void)
{
	char		lines[4096];
	char		path[MAXPGPATH / 2];
	bool		version_1;
	double		lowest = 0;

	if (!po_proc_begin("/proc/self/cgroup", lines, sizeof(lines)) ||
		!po_cpu_limit_find(lines, &version_1, path, sizeof(path)))
		return 0;
	for (int i = 0; i < MOST_LEVELS; i++)
	{
		double		limit = limit_of_group(version_1, path);

		if (limit > 0 && (lowest <= 0 || limit < lowest))
			lowest = limit;
		if (!po_cpu_limit_up(path))
			break;
	}
	return lowest;
}

int
po_cores_usable(void)
{
	static int	cores = 0;
	static int64 due = 0;
	int64		ticks = po_shmem_monotonic_us();

	if (cores == 0 || ticks >= due)
	{
		cores = po_cpu_limit_cores(processors(), lowest_limit());
		due = ticks + EVERY_US;
	}
	return cores;
}
