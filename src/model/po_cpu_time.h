/*
 * po_cpu_time.h
 *		How much of the CPU time that it wanted this machine got.
 *
 * A virtual machine's host lets it wait while others run; Linux counts that as "steal", the
 * eighth number of the first line of /proc/stat (proc(5)), where the hypervisor tells.
 */
#ifndef PO_CPU_TIME_H
#define PO_CPU_TIME_H

#include "model/po_types.h"

/* Of all processors since the machine started, in ticks. */
typedef struct PoCpuTime
{
	uint64_t	ran;			/* without idle time */
	uint64_t	stolen;
} PoCpuTime;

/* Reads the beginning of /proc/stat, NUL-terminated; false if it is not that, or tells no steal. */
extern bool po_cpu_time_read(const char *text, PoCpuTime *time);

/*
 * The share (0..1) of the time wanted between the two that there was; 1 when nothing is known, as
 * when the counters were set back, or leaped when the machine was moved to another host.
 */
extern double po_cpu_time_granted(const PoCpuTime *before, const PoCpuTime *now);

#endif							/* PO_CPU_TIME_H */
