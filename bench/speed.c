/*
 * What does entering the kernel cost at the moment?
 *
 *	speed
 *
 * Virtual processors get more or less done in a second from one moment to the next, and no
 * counter tells.  On each processor that it may use, this does the same little work every 40
 * ms: bytes through a pipe of its own, and through two pipes to another process and back,
 * which are the system calls and the switches that a server, a pooler and their clients live
 * on.  It writes a line each time: seconds since 1970, and the microseconds of CPU time that
 * one round took.  Takes about 1 % of each processor.  Ends when its standard input ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_MS 40
#define OWN 250					/* rounds through a pipe of its own, */
#define ANSWERED 50				/* and to the other process and back */

static void
die(const char *what)
{
	fprintf(stderr, "speed: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double
seconds_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

/* A byte goes into one pipe and is awaited from another, or the same. */
static void
round_trips(int to, int from, int n)
{
	char		byte = 0;

	while (n-- > 0)
		if (write(to, &byte, 1) != 1 || read(from, &byte, 1) != 1)
			die("pipe");
}

static void
answer(int from, int to)
{
	char		byte;

	while (read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1)
		;
	exit(0);
}

/* Returns when standard input has ended, which is looked for in the pauses. */
static void
watch(int to_itself[2], int there, int back)
{
	struct pollfd input = {.fd = STDIN_FILENO,.events = POLLIN};

	while (poll(&input, 1, PERIOD_MS) == 0)
	{
		double		before = seconds_of(CLOCK_THREAD_CPUTIME_ID);

		round_trips(to_itself[1], to_itself[0], OWN);
		round_trips(there, back, ANSWERED);
		printf("%.3f %.4f\n", seconds_of(CLOCK_REALTIME),
			   (seconds_of(CLOCK_THREAD_CPUTIME_ID) - before) * 1e6 / (OWN + ANSWERED));
		fflush(stdout);
	}
}

static void
be_on(int cpu)
{
	cpu_set_t	only;
	int			to_itself[2],
				there[2],
				back[2];

	CPU_ZERO(&only);
	CPU_SET(cpu, &only);
	if (sched_setaffinity(0, sizeof(only), &only) != 0)
		die("sched_setaffinity");
	if (pipe(to_itself) != 0 || pipe(there) != 0 || pipe(back) != 0)
		die("pipe");
	switch (fork())
	{
		case -1:
			die("fork");
			break;
		case 0:
			/* The other ends of them are the parent's alone: so this ends with it. */
			close(there[1]);
			close(back[0]);
			answer(there[0], back[1]);
			break;
		default:
			close(there[0]);
			close(back[1]);
			watch(to_itself, there[1], back[0]);
	}
}

int
main(void)
{
	cpu_set_t	allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		die("sched_getaffinity");
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
	{
		if (!CPU_ISSET(cpu, &allowed))
			continue;
		switch (fork())
		{
			case -1:
				die("fork");
				break;
			case 0:
				be_on(cpu);
				exit(0);
		}
	}
	return 0;
}
