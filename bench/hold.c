/*
 * hold.c
 *		Opens many sessions, each with one statement behind it, and holds them.
 *
 *		hold [-c] [-j jobs] [-m names] [-n sessions] [-o offset] [-p prefix] conninfo
 *
 * Session i has the application name prefix || ((offset + i) % names).  With -c each
 * session ends at once and the program ends when all have been there; otherwise it
 * prints "ready" and holds them until its standard input ends.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

static const char *conninfo;
static const char *prefix = "t";
static int	n_names = 1;
static bool churn = false;

static PGconn *
open_session(int i)
{
	char		name[64];
	const char *keys[] = {"dbname", "application_name", NULL};
	const char *values[] = {conninfo, name, NULL};
	PGconn	   *conn;
	PGresult   *result;

	snprintf(name, sizeof(name), "%s%d", prefix, i % n_names);
	conn = PQconnectdbParams(keys, values, 1);
	if (PQstatus(conn) != CONNECTION_OK)
	{
		fprintf(stderr, "hold: %s", PQerrorMessage(conn));
		exit(1);
	}
	if (churn)
		return conn;
	result = PQexec(conn, "SELECT 1");
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		fprintf(stderr, "hold: %s", PQerrorMessage(conn));
		exit(1);
	}
	PQclear(result);
	return conn;
}

/* Sessions job, job + n_jobs, ... below n, from offset on. */
static void
come_and_go(int job, int n_jobs, int n, int offset)
{
	for (int i = job; i < n; i += n_jobs)
		PQfinish(open_session(offset + i));
}

static int
churn_in_parallel(int n_jobs, int n, int offset)
{
	int			failed = 0;
	int			status;

	for (int job = 0; job < n_jobs; job++)
	{
		pid_t		pid = fork();

		if (pid < 0)
		{
			perror("hold: fork");
			return 1;
		}
		if (pid == 0)
		{
			come_and_go(job, n_jobs, n, offset);
			exit(0);
		}
	}
	while (wait(&status) > 0)
		failed |= status != 0;
	return failed;
}

static void
hold(int n, int offset)
{
	struct rlimit files;

	/* A descriptor for each session. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
	{
		files.rlim_cur = files.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &files);
	}
	for (int i = 0; i < n; i++)
		(void) open_session(offset + i);
	printf("ready\n");
	fflush(stdout);
	while (getchar() != EOF)
		;
}

int
main(int argc, char **argv)
{
	int			n = 1;
	int			offset = 0;
	int			n_jobs = 1;
	int			option;

	while ((option = getopt(argc, argv, "cj:m:n:o:p:")) != -1)
	{
		switch (option)
		{
			case 'c':
				churn = true;
				break;
			case 'j':
				n_jobs = atoi(optarg);
				break;
			case 'm':
				n_names = atoi(optarg);
				break;
			case 'n':
				n = atoi(optarg);
				break;
			case 'o':
				offset = atoi(optarg);
				break;
			case 'p':
				prefix = optarg;
				break;
			default:
				return 2;
		}
	}
	if (optind != argc - 1 || n_names < 1 || n_jobs < 1)
	{
		fprintf(stderr, "usage: hold [-c] [-j jobs] [-m names] [-n sessions] [-o offset] "
				"[-p prefix] conninfo\n");
		return 2;
	}
	conninfo = argv[optind];
	if (churn)
		return churn_in_parallel(n_jobs, n, offset);
	hold(n, offset);
	return 0;
}
