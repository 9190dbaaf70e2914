/*
 * adversary.c
 *		Hundreds of sessions that wake up at random moments; run by 032_never_wrong.pl.
 *
 *		adversary socket group...
 *
 * where a group is role:kind:sessions:rest_min_ms:rest_max_ms:pause_ms.  Each session
 * rests for a random time, sends a transaction picked at random, and so on; one that
 * is refused or ended comes back after a random pause.  Kinds:
 *
 *		p	plain: may be ended while idle, never within a transaction
 *		t	a rule for transactions applies: may be ended when idle in one
 *		e	exempt from its login on
 *		l, a, m, c	exempt while it listens, holds an advisory lock, has a
 *			temporary table (for good), holds a cursor WITH HOLD; it lets go of that and
 *			takes it again
 *
 * It speaks the protocol itself (trust authentication only), so it knows for each
 * message of the server what it had sent and what had been answered.  Stops when its
 * standard input ends, prints one line of counts, and one line beginning with WRONG
 * for whatever a client must not see.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BUFFER		16384
#define STOP_WITHIN	120.0

/*
 * Steps of a transaction; the first letter says how:
 *		Q	simple query		X	extended query		F	simple, may fail
 *		P	two simple queries in one packet
 *		W	rest				C	COPY, answered by the request for data
 *		D	its data and end
 */
static const char *const transactions[][7] = {
	{"QSELECT 1"},
	{"XSELECT 2"},
	{"QSELECT pg_sleep(0.004)"},
	{"PSELECT 3"},
	{"QINSERT INTO work VALUES (1, 'begin'); SELECT pg_sleep(0.002); "
	"INSERT INTO work VALUES (1, 'end')"},
	{"QBEGIN", "QINSERT INTO work VALUES (2, 'begin')", "W",
	"XINSERT INTO work VALUES (2, 'end')", "QCOMMIT"},
	{"XBEGIN", "W", "XCOMMIT"},
	{"QBEGIN", "FSELECT 1 / 0", "W", "QROLLBACK"},
	{"CCOPY work FROM STDIN", "W", "D"},
};

#define N_TRANSACTIONS	(sizeof(transactions) / sizeof(transactions[0]))
#define N_STEPS			(sizeof(transactions[0]) / sizeof(transactions[0][0]))

typedef struct Group
{
	char		role[64];
	char		kind;
	int			sessions;
	int			rest_min;
	int			rest_max;
	int			pause;
} Group;

typedef enum Phase
{
	AWAY,						/* comes back at wake */
	LOGIN,
	RESTS,						/* until wake; the server waits for it */
	SENT						/* waits for the server */
} Phase;

typedef struct Session
{
	const Group *group;
	int			fd;
	Phase		phase;
	double		wake;
	const char *const *step;	/* next one of the transaction; NULL = none */
	int			steps_left;
	int			due;			/* ReadyForQuery still to come */
	bool		answered;		/* something, of what was sent last */
	bool		may_fail;
	bool		copying;
	char		status;			/* of the last ReadyForQuery: I, T, E */
	bool		setting_up;		/* the statement that makes it exempt was sent */
	bool		letting_go;
	bool		is_exempt;
	bool		leaving;
	char		sqlstate[6];	/* of a FATAL error */
	char		in[BUFFER];
	size_t		n_in;
} Session;

static const char *path;
static Group *groups;
static Session *sessions;
static int	n_sessions = 0;
static bool stopping = false;

static long logins = 0;
static long refused = 0;
static long ended = 0;
static long in_transaction = 0;
static long lost = 0;
static long statements = 0;
static long rests_in_transaction = 0;
static long exemptions = 0;
static long n_wrong = 0;

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static double
random_s(int min_ms, int max_ms)
{
	return (min_ms + (max_ms - min_ms) * drand48()) / 1000;
}

static void
wrong(const Session *s, const char *what, const char *detail)
{
	n_wrong++;
	if (n_wrong <= 20)
		printf("WRONG: %s (%c): %s %s\n", s->group->role, s->group->kind, what, detail);
}

/* ---------- sending ---------- */

static size_t
put_message(char *out, char type, const void *body, size_t n)
{
	uint32_t	length = htonl((uint32_t) n + 4);

	out[0] = type;
	memcpy(out + 1, &length, 4);
	memcpy(out + 5, body, n);
	return n + 5;
}

/* All of these are small; a server that is gone is noticed when reading. */
static void
send_bytes(Session *s, const char *bytes, size_t n)
{
	(void) send(s->fd, bytes, n, MSG_NOSIGNAL);
}

static void
send_query(Session *s, const char *sql, int copies)
{
	char		out[1024];
	size_t		n = 0;

	for (int i = 0; i < copies; i++)
		n += put_message(out + n, 'Q', sql, strlen(sql) + 1);
	s->due = copies;
	send_bytes(s, out, n);
}

static void
send_extended(Session *s, const char *sql)
{
	char		out[1024];
	char		parse[512] = "";
	size_t		n = 0;
	size_t		length = strlen(sql) + 1;

	/* Unnamed statement and portal, no parameters. */
	memcpy(parse + 1, sql, length);
	memset(parse + 1 + length, 0, 2);
	n += put_message(out + n, 'P', parse, 1 + length + 2);
	n += put_message(out + n, 'B', "\0\0\0\0\0\0\0", 8);
	n += put_message(out + n, 'E', "\0\0\0\0", 5);
	n += put_message(out + n, 'S', "", 0);
	s->due = 1;
	send_bytes(s, out, n);
}

static void
send_copy(Session *s)
{
	static const char rows[] = "3\tbegin\n3\tend\n";
	char		out[128];
	size_t		n = put_message(out, 'd', rows, sizeof(rows) - 1);

	n += put_message(out + n, 'c', "", 0);
	s->copying = false;
	s->due = 1;
	send_bytes(s, out, n);
}

/* ---------- one session ---------- */

static void
rest(Session *s, double now)
{
	s->phase = RESTS;
	s->wake = now + random_s(s->group->rest_min, s->group->rest_max);
}

static void
go_away(Session *s, double now)
{
	close(s->fd);
	s->fd = -1;
	s->phase = AWAY;
	s->wake = now + random_s(0, s->group->pause);
}

static void
come_back(Session *s, double now)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char		body[256];
	char		out[300];
	uint32_t	number = htonl(196608);
	size_t		n = 4;

	s->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	/* A full listen queue answers EAGAIN only to who does not wait. */
	if (s->fd < 0 || connect(s->fd, (struct sockaddr *) &address, sizeof(address)) != 0)
	{
		wrong(s, "cannot connect:", strerror(errno));
		go_away(s, now + 1);
		return;
	}
	(void) fcntl(s->fd, F_SETFL, O_NONBLOCK);
	s->phase = LOGIN;
	s->step = NULL;
	s->due = 1;
	s->n_in = 0;
	s->status = 'I';
	s->sqlstate[0] = '\0';
	s->answered = s->may_fail = s->copying = s->leaving = false;
	s->setting_up = s->letting_go = s->is_exempt = false;
	memcpy(body, &number, 4);
	n += (size_t) snprintf(body + n, sizeof(body) - n, "user%c%s%cdatabase%cpostgres%c", 0,
						   s->group->role, 0, 0, 0) + 1;
	number = htonl((uint32_t) n + 4);
	memcpy(out, &number, 4);
	memcpy(out + 4, body, n);
	send_bytes(s, out, n + 4);
}

static const char *
exempting_statement(char kind, bool let_go)
{
	switch (kind)
	{
		case 'l':
			return let_go ? "UNLISTEN *" : "LISTEN news";
		case 'a':
			return let_go ? "SELECT pg_advisory_unlock_shared(7)" :
				"SELECT pg_advisory_lock_shared(7)";
		case 'm':
			return let_go ? NULL : "CREATE TEMP TABLE mine (a int)";
		case 'c':
			return let_go ? "CLOSE c" : "DECLARE c CURSOR WITH HOLD FOR SELECT 1";
		default:
			return NULL;
	}
}

/* Becomes exempt, or ceases to be; false if nothing was sent. */
static bool
change_exemption(Session *s)
{
	const char *sql;

	if (s->is_exempt && drand48() > 0.2)
		return false;
	sql = exempting_statement(s->group->kind, s->is_exempt);
	if (sql == NULL)
		return false;
	if (s->is_exempt)
		s->letting_go = true;
	else
		s->setting_up = true;
	s->is_exempt = false;
	send_query(s, sql, 1);
	return true;
}

/* Sends what comes next, or rests, or leaves. */
static void
act(Session *s, double now)
{
	const char *step;

	s->answered = false;
	s->may_fail = false;
	s->phase = SENT;
	statements++;
	if (s->step == NULL || s->steps_left == 0 || s->step[0] == NULL)
	{
		if (stopping)
		{
			char		out[8];

			s->leaving = true;
			send_bytes(s, out, put_message(out, 'X', "", 0));
			return;
		}
		if (change_exemption(s))
			return;
		s->step = transactions[(size_t) (drand48() * N_TRANSACTIONS)];
		s->steps_left = N_STEPS;
	}
	step = *s->step++;
	s->steps_left--;
	switch (step[0])
	{
		case 'W':
			rests_in_transaction++;
			rest(s, now);
			break;
		case 'X':
			send_extended(s, step + 1);
			break;
		case 'D':
			send_copy(s);
			break;
		default:
			s->may_fail = step[0] == 'F';
			send_query(s, step + 1, step[0] == 'P' ? 2 : 1);
			break;
	}
}

/* Is the transaction over?  Then a rest, else on with it. */
static void
go_on(Session *s, double now)
{
	if (s->step != NULL && s->steps_left > 0 && s->step[0] != NULL)
		act(s, now);
	else
		rest(s, now);
}

static void
ready(Session *s, char status, double now)
{
	bool		was_login = s->phase == LOGIN;

	s->status = status;
	if (--s->due > 0)
	{
		s->answered = true;
		return;
	}
	if (was_login)
	{
		logins++;
		s->is_exempt = s->group->kind == 'e';
	}
	if (s->setting_up)
	{
		s->is_exempt = true;
		exemptions++;
	}
	s->setting_up = s->letting_go = false;
	/* Those that become exempt do so at once, before a limit is reached. */
	if (was_login && strchr("lamc", s->group->kind) != NULL)
		act(s, now);
	else
		go_on(s, now);
}

static void
error(Session *s, const char *body, size_t n)
{
	const char *severity = "";
	const char *code = "";
	const char *message = "";

	for (size_t i = 0; i < n && body[i] != '\0'; i += strlen(body + i) + 1)
	{
		if (body[i] == 'V')
			severity = body + i + 1;
		else if (body[i] == 'C')
			code = body + i + 1;
		else if (body[i] == 'M')
			message = body + i + 1;
	}
	if (strcmp(severity, "FATAL") == 0)
		snprintf(s->sqlstate, sizeof(s->sqlstate), "%s", code);
	else if (!s->may_fail)
		wrong(s, "saw an error:", message);
}

/* The server has closed the connection. */
static void
closed(Session *s, double now)
{
	bool		in_one = s->status != 'I' || s->copying;

	if (s->phase == LOGIN)
	{
		if (strcmp(s->sqlstate, "53300") == 0)
			refused++;
		else
			wrong(s, "login failed with", s->sqlstate);
	}
	else if (!s->leaving || s->sqlstate[0] != '\0')
	{
		ended++;
		in_transaction += in_one ? 1 : 0;
		lost += s->phase == SENT && !s->leaving ? 1 : 0;
		if (s->is_exempt)
			wrong(s, "ended while exempt", s->sqlstate);
		if (in_one && s->group->kind != 't')
			wrong(s, "ended within a transaction", s->sqlstate);
		if (s->phase == SENT && s->answered)
			wrong(s, "ended after a part of the answer", s->sqlstate);
		if (strcmp(s->sqlstate, "57P01") != 0)
			wrong(s, "ended with", s->sqlstate);
	}
	go_away(s, now);
	if (stopping)
		s->wake = 1e18;
}

static void
take_message(Session *s, char type, const char *body, size_t n, double now)
{
	if (type == 'Z')
		ready(s, body[0], now);
	else if (type == 'E')
		error(s, body, n);
	else if (type == 'G')
	{
		s->copying = true;
		go_on(s, now);
	}
	else if (strchr("CDT1", type) != NULL)
		s->answered = true;
}

static void
receive(Session *s, double now)
{
	ssize_t		n = recv(s->fd, s->in + s->n_in, sizeof(s->in) - s->n_in, 0);
	size_t		at = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
	{
		closed(s, now);
		return;
	}
	s->n_in += (size_t) n;
	while (s->n_in - at >= 5)
	{
		uint32_t	length;

		memcpy(&length, s->in + at + 1, 4);
		length = ntohl(length);
		if (s->n_in - at < 1 + (size_t) length)
			break;
		take_message(s, s->in[at], s->in + at + 5, length - 4, now);
		at += 1 + (size_t) length;
	}
	memmove(s->in, s->in + at, s->n_in - at);
	s->n_in -= at;
}

/* ---------- all of them ---------- */

static bool
run_once(struct pollfd *polled)
{
	double		now = now_s();
	double		next = now + 0.05;
	int			n_open = 0;

	for (int i = 0; i < n_sessions; i++)
	{
		Session    *s = &sessions[i];

		if (s->phase == AWAY && now >= s->wake && !stopping)
			come_back(s, now);
		else if (s->phase == RESTS && (now >= s->wake || (stopping && s->status == 'I')))
			act(s, now);
		if ((s->phase == AWAY || s->phase == RESTS) && s->wake < next)
			next = s->wake;
		polled[i + 1].fd = s->fd;
		polled[i + 1].events = POLLIN;
		polled[i + 1].revents = 0;
		n_open += s->fd >= 0 ? 1 : 0;
	}
	polled[0].fd = stopping ? -1 : STDIN_FILENO;
	polled[0].events = POLLIN;
	polled[0].revents = 0;
	(void) poll(polled, (nfds_t) n_sessions + 1, next > now ? (int) ((next - now) * 1000) + 1 : 0);
	now = now_s();
	for (int i = 0; i < n_sessions; i++)
	{
		if (sessions[i].fd >= 0 && polled[i + 1].revents != 0)
			receive(&sessions[i], now);
	}
	if (polled[0].revents != 0)
		stopping = true;
	return n_open > 0 || !stopping;
}

static void
parse_group(Group *g, char *text)
{
	if (sscanf(text, "%63[^:]:%c:%d:%d:%d:%d", g->role, &g->kind, &g->sessions, &g->rest_min,
			   &g->rest_max, &g->pause) != 6)
	{
		fprintf(stderr, "adversary: bad group \"%s\"\n", text);
		exit(2);
	}
	n_sessions += g->sessions;
}

static void
make_sessions(int n_groups)
{
	double		now = now_s();
	int			k = 0;

	sessions = calloc((size_t) n_sessions, sizeof(Session));
	for (int i = 0; i < n_groups; i++)
	{
		for (int j = 0; j < groups[i].sessions; j++, k++)
		{
			sessions[k].group = &groups[i];
			sessions[k].fd = -1;
			sessions[k].wake = now + random_s(0, groups[i].pause);
		}
	}
}

int
main(int argc, char **argv)
{
	struct rlimit files;
	struct pollfd *polled;
	double		deadline = 0;

	if (argc < 3)
	{
		fprintf(stderr, "usage: adversary socket role:kind:sessions:rest_min_ms:rest_max_ms"
				":pause_ms...\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
	{
		files.rlim_cur = files.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &files);
	}
	path = argv[1];
	groups = calloc((size_t) argc, sizeof(Group));
	for (int i = 2; i < argc; i++)
		parse_group(&groups[i - 2], argv[i]);
	srand48((long) time(NULL) ^ getpid());
	make_sessions(argc - 2);
	polled = calloc((size_t) n_sessions + 1, sizeof(struct pollfd));
	while (run_once(polled))
	{
		if (stopping && deadline == 0)
			deadline = now_s() + STOP_WITHIN;
		if (stopping && now_s() > deadline)
		{
			printf("WRONG: sessions are stuck\n");
			break;
		}
	}
	printf("statements=%ld logins=%ld refused=%ld ended=%ld in_transaction=%ld lost=%ld "
		   "rests_in_transaction=%ld exemptions=%ld wrong=%ld\n", statements, logins, refused,
		   ended, in_transaction, lost, rests_in_transaction, exemptions, n_wrong);
	return 0;
}
