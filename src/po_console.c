/*
 * po_console.c
 *		One console of PgBouncer, asked without ever waiting for it beyond a deadline.
 */
#include "postgres.h"

#include <sys/ioctl.h>

#include "libpq-fe.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"

#include "po_compat.h"
#include "po_console.h"

#define MOST_BYTES		(INT64CONST(16) * 1024 * 1024)	/* of one visit */
#define MOST_OPTIONS	100

/* ---------- failing ---------- */

/* The first line, without what a terminal or a log would stumble over. */
static void
set_error(PoConsole *c, const char *message)
{
	char		line[PO_ERROR_LEN];

	strlcpy(line, message, sizeof(line));
	line[strcspn(line, "\r\n")] = '\0';
	po_name_copy(c->error, line, sizeof(c->error));
	for (char *p = c->error; *p != '\0'; p++)
	{
		if (IS_HIGHBIT_SET(*p))
			*p = '?';
	}
}

static void
fail(PoConsole *c, PoPoolerState state, const char *message)
{
	set_error(c, message);
	c->state = state;
	po_console_close(c);
}

/* What libpq says; an error that the other side has sent begins with its severity. */
static void
fail_as_told(PoConsole *c)
{
	const char *message = PQerrorMessage(c->conn);

	fail(c, strstr(message, "FATAL:") != NULL || strstr(message, "ERROR:") != NULL ||
		 strstr(message, "no password supplied") != NULL ?
		 PO_POOLER_REFUSED : PO_POOLER_UNREACHABLE, message);
}

void
po_console_close(PoConsole *c)
{
	if (c->conn == NULL)
		return;
	PQfinish(c->conn);
	c->conn = NULL;
	ReleaseExternalFD();
}

/* ---------- waiting ---------- */

/* Waits for the socket, until the deadline; false then. */
static bool
wait_for(PoConsole *c, int events, int64 deadline)
{
	static uint32 wait_event = 0;
	int64		left = deadline - po_shmem_monotonic_us();
	int			happened;

	CHECK_FOR_INTERRUPTS();
	if (left <= 0 || PQsocket(c->conn) < 0)
		return false;
	if (wait_event == 0)
		wait_event = po_compat_wait_event("PoolOptimizerPooler");
	happened = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH |
								 events, PQsocket(c->conn), (long) (left / 1000 + 1),
								 wait_event);
	/* The caller's loop looks at why. */
	if (happened & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return true;
}

static int
bytes_to_read(int socket)
{
	int			n = 0;

	return ioctl(socket, FIONREAD, &n) == 0 ? n : 0;
}

/* Takes in what has come; counts it, as libpq keeps whatever it is sent. */
static bool
take_in(PoConsole *c)
{
	int			before = bytes_to_read(PQsocket(c->conn));

	if (!PQconsumeInput(c->conn))
	{
		fail_as_told(c);
		return false;
	}
	c->bytes_left -= Max(before - bytes_to_read(PQsocket(c->conn)), 1);
	if (c->bytes_left > 0)
		return true;
	fail(c, PO_POOLER_UNREADABLE, "the answer is too long");
	return false;
}

/* Until libpq has a result, or knows that there is none. */
static bool
wait_for_result(PoConsole *c)
{
	int			unsent;

	while ((unsent = PQflush(c->conn)) != 0 || PQisBusy(c->conn))
	{
		if (unsent < 0)
		{
			fail_as_told(c);
			return false;
		}
		if (!wait_for(c, WL_SOCKET_READABLE | (unsent > 0 ? WL_SOCKET_WRITEABLE : 0),
					  c->deadline))
		{
			fail(c, PO_POOLER_UNREACHABLE, "it does not answer in time");
			return false;
		}
		if (!take_in(c))
			return false;
	}
	return true;
}

/* ---------- connecting ---------- */

static void
ignore_notice(void *arg, const PGresult *result)
{
	(void) arg;
	(void) result;
}

/* The options of a connection string, then ours, of which the last counts. */
static struct pg_conn *
start_connect(const char *conninfo)
{
	const char *keyword[MOST_OPTIONS + 8];
	const char *value[MOST_OPTIONS + 8];
	int			n = 0;
	bool		has_dbname = false;
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	struct pg_conn *conn;

	if (options == NULL)
		return NULL;
	for (PQconninfoOption *o = options; o->keyword != NULL && n < MOST_OPTIONS; o++)
	{
		if (o->val == NULL || o->val[0] == '\0')
			continue;
		has_dbname = has_dbname || strcmp(o->keyword, "dbname") == 0 ||
			strcmp(o->keyword, "service") == 0;
		keyword[n] = o->keyword;
		value[n++] = o->val;
	}
	if (!has_dbname)
	{
		keyword[n] = "dbname";
		value[n++] = PO_CONSOLE_DATABASE;
	}
	keyword[n] = "fallback_application_name";
	value[n++] = "pool_optimizer";
	/* Asking for tickets would block; the console knows none. */
	keyword[n] = "gssencmode";
	value[n++] = "disable";
	keyword[n] = NULL;
	value[n] = NULL;
	conn = PQconnectStartParams(keyword, value, 0);
	PQconninfoFree(options);
	return conn;
}

static bool
finish_connect(PoConsole *c, int64 deadline)
{
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;

	for (;;)
	{
		if (next == PGRES_POLLING_OK)
			return true;
		if (next == PGRES_POLLING_FAILED || PQstatus(c->conn) == CONNECTION_BAD)
		{
			fail_as_told(c);
			return false;
		}
		if (!wait_for(c, next == PGRES_POLLING_READING ? WL_SOCKET_READABLE :
					  WL_SOCKET_WRITEABLE, deadline))
		{
			fail(c, PO_POOLER_UNREACHABLE, "it does not let us in in time");
			return false;
		}
		c->bytes_left -= Max(bytes_to_read(PQsocket(c->conn)), 1);
		if (c->bytes_left <= 0)
		{
			fail(c, PO_POOLER_UNREADABLE, "the answer is too long");
			return false;
		}
		next = PQconnectPoll(c->conn);
	}
}

void
po_console_begin(PoConsole *c, int64 visit_us)
{
	c->deadline = po_shmem_monotonic_us() + visit_us;
	c->bytes_left = MOST_BYTES;
	c->state = PO_POOLER_OK;
	c->error[0] = '\0';
}

bool
po_console_open(PoConsole *c, const char *conninfo, int64 connect_us)
{
	if (c->conn != NULL)
		return true;
	if (!AcquireExternalFD())
	{
		c->state = PO_POOLER_UNREACHABLE;
		set_error(c, "no file descriptor is free");
		return false;
	}
	c->conn = start_connect(conninfo);
	if (c->conn == NULL)
	{
		ReleaseExternalFD();
		c->state = PO_POOLER_UNREACHABLE;
		set_error(c, "no memory is free");
		return false;
	}
	PQsetNoticeReceiver(c->conn, ignore_notice, NULL);
	if (!finish_connect(c, Min(c->deadline, po_shmem_monotonic_us() + connect_us)))
		return false;
	if (PQsetnonblocking(c->conn, 1) == 0)
		return true;
	fail_as_told(c);
	return false;
}

/* ---------- asking ---------- */

/* What a row is read with. */
typedef struct Reading
{
	PoPoolerCommand command;
	PoTakeRecord take;			/* NULL = no rows are expected */
	void	   *arg;
	int			n_rows;
	int			n_bad;
	int			n_columns;		/* of all rows; 0 = none has come */
	bool		complete;		/* there is but one set of rows in an answer */
	PoPoolerBinding binding;
} Reading;

/* With the first row; all others are to be like that. */
static bool
bind_columns(Reading *r, const PGresult *result)
{
	const char *names[PO_POOLER_MOST_COLUMNS];
	int			n = PQnfields(result);

	if (r->n_columns > 0)
		return n == r->n_columns;
	if (n < 1 || n > PO_POOLER_MOST_COLUMNS)
		return false;
	for (int i = 0; i < n; i++)
		names[i] = PQfname(result, i);
	r->n_columns = n;
	return po_pooler_bind(r->command, names, n, &r->binding);
}

static void
read_rows(Reading *r, const PGresult *result)
{
	const char *values[PO_POOLER_MOST_COLUMNS];
	PoPoolerRecord record;

	for (int row = 0; row < PQntuples(result); row++)
	{
		r->n_rows++;
		for (int i = 0; i < r->n_columns; i++)
			values[i] = PQgetisnull(result, row, i) ? NULL : PQgetvalue(result, row, i);
		if (po_pooler_read(&r->binding, values, &record))
			r->take(&record, r->arg);
		else
			r->n_bad++;
	}
}

/* One result; what it means for the answer as a whole. */
static PoAnswer
take_result(PoConsole *c, const PGresult *result, Reading *r)
{
	switch (PQresultStatus(result))
	{
		case PGRES_SINGLE_TUPLE:
		case PGRES_TUPLES_OK:
			if (r->take == NULL)
				return PO_ANSWER_OK;
			if (r->complete || !bind_columns(r, result))
				return PO_ANSWER_OTHER_COLUMNS;
			r->complete = PQresultStatus(result) == PGRES_TUPLES_OK;
			read_rows(r, result);
			return PO_ANSWER_OK;
		case PGRES_COMMAND_OK:
			/* Rows are what was asked for. */
			return r->take == NULL ? PO_ANSWER_OK : PO_ANSWER_OTHER_COLUMNS;
		case PGRES_FATAL_ERROR:
			set_error(c, PQresultErrorMessage(result));
			return PO_ANSWER_REFUSED;
		default:
			return PO_ANSWER_OTHER_COLUMNS;
	}
}

static PoAnswer
take_answer(PoConsole *c, Reading *r)
{
	PoAnswer	answer = PO_ANSWER_OK;
	PGresult   *result;

	for (;;)
	{
		if (!wait_for_result(c))
			return PO_ANSWER_LOST;
		result = PQgetResult(c->conn);
		if (result == NULL)
			break;
		if (answer == PO_ANSWER_OK)
			answer = take_result(c, result, r);
		else
			r->n_rows++;
		PQclear(result);
		if (r->n_rows > PO_CONSOLE_MOST_ROWS)
		{
			fail(c, PO_POOLER_UNREADABLE, "the answer has too many rows");
			return PO_ANSWER_LOST;
		}
	}
	/* A copy in progress, say, gives results without end. */
	if (PQstatus(c->conn) == CONNECTION_BAD || PQtransactionStatus(c->conn) == PQTRANS_ACTIVE)
	{
		if (c->error[0] != '\0')
			fail(c, PO_POOLER_UNREACHABLE, pstrdup(c->error));
		else
			fail(c, PO_POOLER_UNREADABLE, "the answer is none");
		return PO_ANSWER_LOST;
	}
	return answer;
}

static PoAnswer
ask(PoConsole *c, const char *command, Reading *r)
{
	c->error[0] = '\0';
	if (!PQsendQuery(c->conn, command))
	{
		fail_as_told(c);
		return PO_ANSWER_LOST;
	}
	(void) PQsetSingleRowMode(c->conn);
	return take_answer(c, r);
}

PoAnswer
po_console_show(PoConsole *c, PoPoolerCommand command, PoTakeRecord take, void *arg,
				int *n_bad)
{
	Reading		r;
	PoAnswer	answer;

	memset(&r, 0, sizeof(r));
	r.command = command;
	r.take = take;
	r.arg = arg;
	answer = ask(c, po_pooler_command(command), &r);
	*n_bad += r.n_bad;
	return answer;
}

PoAnswer
po_console_do(PoConsole *c, const char *command)
{
	Reading		r;

	memset(&r, 0, sizeof(r));
	return ask(c, command, &r);
}

bool
po_console_is_local(const PoConsole *c)
{
	const char *host = c->conn == NULL ? NULL : PQhost(c->conn);

	/* '@' as in abstract names. */
	return host != NULL && (host[0] == '/' || host[0] == '@');
}

/* ---------- names ---------- */

void
po_console_version(const PoConsole *c, char *version, Size size)
{
	const char *told = c->conn == NULL ? NULL :
		PQparameterStatus(c->conn, "server_version");

	po_name_copy(version, told == NULL ? "" : told, size);
	/* "1.18.0/bouncer" */
	version[strcspn(version, "/")] = '\0';
}

static const char *
option(const PQconninfoOption *options, const char *keyword)
{
	for (const PQconninfoOption *o = options; o->keyword != NULL; o++)
	{
		if (strcmp(o->keyword, keyword) == 0 && o->val != NULL && o->val[0] != '\0')
			return o->val;
	}
	return NULL;
}

void
po_console_name(const char *conninfo, char *name, Size size)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	const char *host = options == NULL ? NULL : option(options, "host");
	const char *port = options == NULL ? NULL : option(options, "port");
	const char *service = options == NULL ? NULL : option(options, "service");
	char		text[512];

	if (host == NULL && options != NULL)
		host = option(options, "hostaddr");
	if (host == NULL && service != NULL)
		snprintf(text, sizeof(text), "service=%s", service);
	else
		snprintf(text, sizeof(text), "%s:%s", host == NULL ? "local" : host,
				 port == NULL ? DEF_PGPORT_STR : port);
	po_name_copy(name, text, size);
	if (options != NULL)
		PQconninfoFree(options);
}
