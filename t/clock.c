/*
 * clock.c
 *		A wall clock that a test can set; preloaded into the server by 033_clock.pl.
 *
 * The file that CLOCK_FILE names holds an int64: by so many seconds the clock is ahead.
 * All processes see a change at once.  Only the wall clock is changed.  What libfaketime
 * would do, but it opens its file at each look at the clock and is not safe in signal
 * handlers: a process forked by one (as the postmaster of PostgreSQL 15 does) goes on
 * with the real time.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead = NULL;

__attribute__((constructor)) static void
attach(void)
{
	const char *path = getenv("CLOCK_FILE");
	int			fd = path == NULL ? -1 : open(path, O_RDONLY);
	void	   *mapped;

	if (fd < 0)
		return;
	mapped = mmap(NULL, sizeof(*ahead), PROT_READ, MAP_SHARED, fd, 0);
	if (mapped != MAP_FAILED)
		ahead = mapped;
	close(fd);
}

int
clock_gettime(clockid_t clock, struct timespec *t)
{
	int			result = (int) syscall(SYS_clock_gettime, clock, t);

	if (result == 0 && ahead != NULL &&
		(clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		t->tv_sec += *ahead;
	return result;
}

int
gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	struct timespec now;

	(void) zone;
	(void) clock_gettime(CLOCK_REALTIME, &now);
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *t)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_REALTIME, &now);
	if (t != NULL)
		*t = now.tv_sec;
	return now.tv_sec;
}
