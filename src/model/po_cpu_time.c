/*
 * po_cpu_time.c
 *		How much of the CPU time that it wanted this machine got.
 */
#include "model/po_cpu_time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LEAST_GRANTED	0.03	/* less is not to be believed */

bool
po_cpu_time_read(const char *text, PoCpuTime *time)
{
	uint64_t	user;
	uint64_t	nice;
	uint64_t	system;
	uint64_t	irq;
	uint64_t	softirq;
	uint64_t	stolen;

	if (strncmp(text, "cpu ", 4) != 0 ||
		sscanf(text + 4, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %*u %*u"
			   " %" SCNu64 " %" SCNu64 " %" SCNu64,
			   &user, &nice, &system, &irq, &softirq, &stolen) != 6)
		return false;
	time->ran = user + nice + system + irq + softirq;
	time->stolen = stolen;
	return true;
}

double
po_cpu_time_granted(const PoCpuTime *before, const PoCpuTime *now)
{
	double		ran;
	double		stolen;

	if (now->ran <= before->ran || now->stolen <= before->stolen)
		return 1;
	ran = (double) (now->ran - before->ran);
	stolen = (double) (now->stolen - before->stolen);
	return ran >= LEAST_GRANTED * (ran + stolen) ? ran / (ran + stolen) : 1;
}
