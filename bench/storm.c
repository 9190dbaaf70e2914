/*
 * storm.c
 *		Storms of simultaneous logins against a quota: is it exact?
 *
 *		storm [-n logins] [-q quota] [-r rounds] [-s seed] [-t tenant] conninfo admin_conninfo
 *
 * Each round has four parts:
 *		all at once		n logins, nobody leaves: exactly quota get in
 *		come and go		n more logins while sessions leave at random
 *		quiet			the server has counted all that left: of n logins exactly as
 *						many get in as places are free, although it is a storm again
 *		leave			everybody leaves, in any order
 * A session counts as open from the moment libpq knows of it until it is told to
 * leave, which is never longer than in the server: more than quota of them is a
 * quota broken, whatever the server says.  Exits with 1 if anything was not exact.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#define DEADLINE_S	120

typedef struct Login
{
	PGconn	   *conn;
	PostgresPollingStatusType want;
} Login;

static const char *conninfo;
static const char *tenant = "storm";
static PGconn *admin;
static int	quota = 20;

static PGconn **sessions;		/* open ones */
static int	n_open = 0;
static int	max_open = 0;
static long n_admitted = 0;
static long n_refused = 0;
static int	n_wrong = 0;

static void
wrong(const char *what, int expected, int got)
{
	printf("WRONG: %s: %d expected, %d seen\n", what, expected, got);
	n_wrong++;
}

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* One number from the server's view of the tenant; 0 while it is unknown. */
static int
ask(const char *column)
{
	char		sql[256];
	const char *values[] = {tenant};
	PGresult   *result;
	int			n;

	snprintf(sql, sizeof(sql), "SELECT %s FROM pool_stats WHERE tenant = $1", column);
	result = PQexecParams(admin, sql, 1, NULL, values, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		fprintf(stderr, "storm: %s", PQerrorMessage(admin));
		exit(1);
	}
	n = PQntuples(result) == 0 ? 0 : atoi(PQgetvalue(result, 0, 0));
	PQclear(result);
	return n;
}

/* Until those who left have left in the server too. */
static void
wait_until_quiet(void)
{
	double		deadline = now_s() + DEADLINE_S;

	while (ask("sessions + waiting") != n_open)
	{
		if (now_s() > deadline)
		{
			wrong("sessions in a quiet server", n_open, ask("sessions + waiting"));
			return;
		}
		(void) usleep(2000);
	}
}

static void
leave(int i)
{
	PGconn	   *conn = sessions[i];

	sessions[i] = sessions[--n_open];
	PQfinish(conn);
}

static void
come_in(Login *login)
{
	sessions[n_open++] = login->conn;
	login->conn = NULL;
	n_admitted++;
	if (n_open > max_open)
		max_open = n_open;
	if (n_open > quota)
		wrong("open sessions at most", quota, n_open);
}

static void
be_refused(Login *login)
{
	const char *message = PQerrorMessage(login->conn);

	if (strstr(message, "too many connections for tenant") == NULL)
	{
		printf("WRONG: not refused by the quota: %s", message);
		n_wrong++;
	}
	n_refused++;
	PQfinish(login->conn);
	login->conn = NULL;
}

static void
start(Login *login)
{
	login->conn = PQconnectStart(conninfo);
	login->want = PGRES_POLLING_WRITING;
	if (login->conn == NULL || PQstatus(login->conn) == CONNECTION_BAD)
	{
		fprintf(stderr, "storm: %s", login->conn == NULL ? "out of memory\n" :
				PQerrorMessage(login->conn));
		exit(1);
	}
}

/* Goes on with those that can; returns how many are still under way. */
static int
step(Login *logins, struct pollfd *fds, int n)
{
	int			left = 0;

	for (int i = 0; i < n; i++)
	{
		fds[i].fd = logins[i].conn == NULL ? -1 : PQsocket(logins[i].conn);
		fds[i].events = logins[i].want == PGRES_POLLING_READING ? POLLIN : POLLOUT;
		fds[i].revents = 0;
	}
	if (poll(fds, n, 1000) < 0)
		return n;
	for (int i = 0; i < n; i++)
	{
		if (logins[i].conn == NULL)
			continue;
		left++;
		if (fds[i].revents == 0)
			continue;
		logins[i].want = PQconnectPoll(logins[i].conn);
		if (logins[i].want == PGRES_POLLING_OK)
			come_in(&logins[i]);
		else if (logins[i].want == PGRES_POLLING_FAILED)
			be_refused(&logins[i]);
	}
	return left;
}

/* n logins at once; returns how many got in.  With leaving, sessions go meanwhile. */
static int
storm(int n, bool leaving)
{
	Login	   *logins = calloc(n, sizeof(Login));
	struct pollfd *fds = calloc(n, sizeof(struct pollfd));
	long		before = n_admitted;
	double		deadline = now_s() + DEADLINE_S;

	for (int i = 0; i < n; i++)
		start(&logins[i]);
	while (step(logins, fds, n) > 0)
	{
		if (leaving && n_open > 0 && rand() % 2 == 0)
			leave(rand() % n_open);
		if (now_s() > deadline)
		{
			wrong("logins without an answer", 0, n);
			break;
		}
	}
	free(logins);
	free(fds);
	return (int) (n_admitted - before);
}

static void
round_of_storms(int n)
{
	int			room;
	int			admitted;

	admitted = storm(n, false);
	if (admitted != quota)
		wrong("admitted of a storm", quota, admitted);

	(void) storm(n, true);
	/* Some places free, but not all, for the next part. */
	while (n_open > quota / 2)
		leave(rand() % n_open);
	wait_until_quiet();

	room = quota - n_open;
	admitted = storm(n, false);
	if (admitted != room)
		wrong("admitted into the free places", room, admitted);

	while (n_open > 0)
		leave(rand() % n_open);
	wait_until_quiet();
}

int
main(int argc, char **argv)
{
	int			n = 500;
	int			n_rounds = 1;
	int			peak;
	int			option;
	struct rlimit files;

	while ((option = getopt(argc, argv, "n:q:r:s:t:")) != -1)
	{
		switch (option)
		{
			case 'n':
				n = atoi(optarg);
				break;
			case 'q':
				quota = atoi(optarg);
				break;
			case 'r':
				n_rounds = atoi(optarg);
				break;
			case 's':
				srand((unsigned) atoi(optarg));
				break;
			case 't':
				tenant = optarg;
				break;
			default:
				return 2;
		}
	}
	if (optind != argc - 2 || n < quota || quota < 2)
	{
		fprintf(stderr, "usage: storm [-n logins] [-q quota] [-r rounds] [-s seed] "
				"[-t tenant] conninfo admin_conninfo\n");
		return 2;
	}
	conninfo = argv[optind];
	/* A descriptor for each login. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
	{
		files.rlim_cur = files.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &files);
	}
	admin = PQconnectdb(argv[optind + 1]);
	if (PQstatus(admin) != CONNECTION_OK)
	{
		fprintf(stderr, "storm: %s", PQerrorMessage(admin));
		return 1;
	}
	/* All that may be open, and one storm too many. */
	sessions = calloc(quota + n, sizeof(PGconn *));
	for (int i = 0; i < n_rounds; i++)
		round_of_storms(n);

	peak = ask("peak_sessions");
	if (peak != quota)
		wrong("peak_sessions", quota, peak);
	printf("%d rounds, %ld logins: %ld admitted, %ld refused; at most %d open "
		   "(quota %d); %d wrong\n", n_rounds, n_admitted + n_refused, n_admitted, n_refused,
		   max_open, quota, n_wrong);
	PQfinish(admin);
	return n_wrong == 0 ? 0 : 1;
}
