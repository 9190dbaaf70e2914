/*
 * po_cpu_limit.h
 *		How many processors a control group of Linux may use up.
 *
 * A container has all processors of its machine to run on, but a quota of their time:
 * "--cpus 2" of Docker and limits.cpu of Kubernetes are one (Documentation/admin-guide/
 * cgroup-v2.rst, cpu.max; Documentation/scheduler/sched-bwc.rst of the kernel).
 */
#ifndef PO_CPU_LIMIT_H
#define PO_CPU_LIMIT_H

#include "model/po_types.h"

/*
 * Which of the lines of /proc/self/cgroup tells of CPU time: that of version 1 with "cpu" among
 * its controllers, else that of version 2.  Copies its path, "" for the topmost; false when
 * there is none, or it is too long.
 */
extern bool po_cpu_limit_find(const char *lines, bool *version_1, char *path, size_t size);

/* Makes a path that of the group above; false when it was the topmost. */
extern bool po_cpu_limit_up(char *path);

/* Processors by cpu.max ("200000 100000"), or by cpu.cfs_quota_us and cpu.cfs_period_us; 0 =
 * there is no limit, or it cannot be read. */
extern double po_cpu_limit_of_max(const char *text);
extern double po_cpu_limit_of_quota(const char *quota, const char *period);

/* The nearest number of processors, 1..processors; limit 0 = none. */
extern int	po_cpu_limit_cores(int processors, double limit);

#endif							/* PO_CPU_LIMIT_H */
