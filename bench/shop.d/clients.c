/*
 * clients.c
 *		Many clients of a database that ask, think, and ask again; each with a connection of its
 *		own, which it makes when it needs it and has none.
 *
 *		clients SECONDS WARM_UP < plan
 *
 * The plan (bench/shop writes it from pgbench scripts) is lines of words; those of a script
 * belong to the service before them:
 *
 *		service NAME CLIENTS THINK_SECONDS ONCE CONNINFO...		(ONCE: 1 = a login for each request)
 *		script WEIGHT
 *		random VARIABLE LEAST MOST
 *		linear VARIABLE OF TIMES PLUS		(VARIABLE = OF * TIMES + PLUS)
 *		sleep MICROSECONDS
 *		query RESULT PARAMETERS VARIABLE... SQL		(RESULT: a variable, or -1)
 *
 * pgbench is no use for it: it gives up when it is refused.  Prints for each service: requests
 * that were done, refused connections, other failures, and the 50 %, 95 % and 99 % points of
 * the time (ms) from when a request was due to its end; warming up does not count.
 */
#define _GNU_SOURCE				/* ppoll */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

#define MOST_SERVICES	8
#define MOST_SCRIPTS	8
#define MOST_STEPS		100
#define MOST_VARIABLES	16
#define MOST_PARAMETERS	8
#define MOST_CLIENTS	4000
#define LOGIN_SECONDS	30

typedef enum StepKind
{
	STEP_RANDOM, STEP_LINEAR, STEP_SLEEP, STEP_QUERY
} StepKind;

typedef struct Step
{
	StepKind	kind;
	int			variable;		/* that is set; of a query, by its first field, or -1 */
	int			of;
	long		a, b;
	char	   *sql;
	int			n_parameters;
	int			parameter[MOST_PARAMETERS];
} Step;

typedef struct Script
{
	double		weight;
	int			n_steps;
	Step		step[MOST_STEPS];
} Script;

typedef struct Service
{
	char		name[64];
	char		conninfo[512];
	int			clients;
	double		think_s;
	int			once;
	double		weights;
	int			n_scripts;
	Script		script[MOST_SCRIPTS];
	long		done, refused, failed, let_in;
	double	   *latency;
	long		room;
} Service;

typedef enum State
{
	THINKING,					/* until due */
	CONNECTING,
	SLEEPING,					/* in a script, until due */
	ASKING
} State;

typedef struct Client
{
	Service    *service;
	const Script *script;
	PGconn	   *connection;
	PostgresPollingStatusType wants;
	State		state;
	bool		was_let_in;
	int			at;				/* step */
	double		due;
	double		began;			/* when the request was due */
	double		login_ends;
	long		variable[MOST_VARIABLES];
	struct pollfd *polled;
} Client;

static Service service[MOST_SERVICES];
static int	n_services;
static Client client[MOST_CLIENTS];
static struct pollfd polled[MOST_CLIENTS];
static int	n_clients;
static double counts_from;

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "clients: %s: %s\n", what, why);
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static double
uniform(void)
{
	return drand48();
}

/* ---------- the plan ---------- */

static void
read_query(Step *step, char *rest)
{
	int			used;

	if (sscanf(rest, "%d %d%n", &step->variable, &step->n_parameters, &used) != 2 ||
		step->n_parameters > MOST_PARAMETERS || step->variable >= MOST_VARIABLES)
		die("query", rest);
	rest += used;
	for (int i = 0; i < step->n_parameters; i++)
	{
		if (sscanf(rest, "%d%n", &step->parameter[i], &used) != 1)
			die("parameter", rest);
		rest += used;
	}
	step->sql = strdup(rest + 1);
}

static void
read_service(char *rest)
{
	Service    *s = &service[n_services++];
	int			used;

	if (n_services > MOST_SERVICES ||
		sscanf(rest, "%63s %d %lf %d %n", s->name, &s->clients, &s->think_s, &s->once,
			   &used) != 4)
		die("service", rest);
	snprintf(s->conninfo, sizeof(s->conninfo), "%s", rest + used);
}

static void
read_step(Script *script, const char *word, char *rest)
{
	Step	   *step = &script->step[script->n_steps++];
	int			n = 0;

	if (script->n_steps > MOST_STEPS)
		die("too many steps", rest);
	if (strcmp(word, "random") == 0)
	{
		step->kind = STEP_RANDOM;
		n = sscanf(rest, "%d %ld %ld", &step->variable, &step->a, &step->b) == 3;
	}
	else if (strcmp(word, "linear") == 0)
	{
		step->kind = STEP_LINEAR;
		n = sscanf(rest, "%d %d %ld %ld", &step->variable, &step->of, &step->a, &step->b) == 4;
	}
	else if (strcmp(word, "sleep") == 0)
	{
		step->kind = STEP_SLEEP;
		n = sscanf(rest, "%ld", &step->a) == 1;
	}
	else if (strcmp(word, "query") == 0)
	{
		step->kind = STEP_QUERY;
		read_query(step, rest);
		n = 1;
	}
	if (n != 1 || step->variable >= MOST_VARIABLES || step->of >= MOST_VARIABLES)
		die(word, rest);
}

static void
read_plan(void)
{
	char		line[16384];

	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		char		word[16];
		int			used;
		Service    *s = n_services > 0 ? &service[n_services - 1] : NULL;

		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%15s %n", word, &used) != 1)
			continue;
		if (strcmp(word, "service") == 0)
			read_service(line + used);
		else if (s == NULL)
			die("no service yet", line);
		else if (strcmp(word, "script") == 0)
		{
			if (s->n_scripts == MOST_SCRIPTS)
				die("too many scripts", s->name);
			s->script[s->n_scripts].weight = atof(line + used);
			s->weights += s->script[s->n_scripts++].weight;
		}
		else if (s->n_scripts == 0)
			die("no script yet", line);
		else
			read_step(&s->script[s->n_scripts - 1], word, line + used);
	}
}

/* ---------- clients ---------- */

static void
think(Client *c, double t)
{
	c->state = THINKING;
	c->due = t - log(1 - uniform()) * c->service->think_s;
}

static void
ignore_notice(void *arg, const PGresult *result)
{
	(void) arg;
	(void) result;
}

/* It was refused, or something failed. */
static void
give_up(Client *c, double t, long *counter)
{
	if (c->began >= counts_from)
		(*counter)++;
	PQfinish(c->connection);
	c->connection = NULL;
	think(c, t);
}

static void
note_done(Client *c, double t)
{
	Service    *s = c->service;

	if (c->began >= counts_from)
	{
		if (s->done == s->room)
		{
			s->room = s->room * 2 + 1024;
			s->latency = realloc(s->latency, s->room * sizeof(double));
			if (s->latency == NULL)
				die("memory", "none is left");
		}
		s->latency[s->done++] = t - c->began;
		if (!c->was_let_in)
			s->let_in++;
		c->was_let_in = true;
	}
	if (s->once)
	{
		PQfinish(c->connection);
		c->connection = NULL;
	}
	think(c, t);
}

static bool
ask(Client *c, const Step *step)
{
	char		text[MOST_PARAMETERS][24];
	const char *value[MOST_PARAMETERS];

	for (int i = 0; i < step->n_parameters; i++)
	{
		snprintf(text[i], sizeof(text[i]), "%ld", c->variable[step->parameter[i]]);
		value[i] = text[i];
	}
	c->state = ASKING;
	return PQsendQueryParams(c->connection, step->sql, step->n_parameters, NULL, value, NULL,
							 NULL, 0) != 0;
}

/* Goes on with the script until something has to be waited for. */
static void
go_on(Client *c, double t)
{
	while (c->at < c->script->n_steps)
	{
		const Step *step = &c->script->step[c->at++];

		switch (step->kind)
		{
			case STEP_RANDOM:
				c->variable[step->variable] = step->a +
					(long) (uniform() * (double) (step->b - step->a + 1));
				break;
			case STEP_LINEAR:
				c->variable[step->variable] = c->variable[step->of] * step->a + step->b;
				break;
			case STEP_SLEEP:
				c->state = SLEEPING;
				c->due = t + step->a / 1e6;
				return;
			case STEP_QUERY:
				if (!ask(c, step))
					give_up(c, t, &c->service->failed);
				return;
		}
	}
	note_done(c, t);
}

static void
begin_request(Client *c, double t)
{
	Service    *s = c->service;
	double		pick = uniform() * s->weights;
	int			i = 0;

	while (i < s->n_scripts - 1 && (pick -= s->script[i].weight) >= 0)
		i++;
	c->script = &s->script[i];
	c->at = 0;
	c->began = c->due;
	if (c->connection != NULL)
	{
		go_on(c, t);
		return;
	}
	c->connection = PQconnectStart(s->conninfo);
	c->state = CONNECTING;
	c->wants = PGRES_POLLING_WRITING;
	c->login_ends = t + LOGIN_SECONDS;
	if (c->connection == NULL || PQstatus(c->connection) == CONNECTION_BAD)
		give_up(c, t, &s->refused);
	else
		(void) PQsetNoticeReceiver(c->connection, ignore_notice, NULL);
}

static void
connect_on(Client *c, double t)
{
	c->wants = PQconnectPoll(c->connection);
	if (c->wants == PGRES_POLLING_FAILED)
		give_up(c, t, &c->service->refused);
	else if (c->wants == PGRES_POLLING_OK)
		go_on(c, t);
}

static void
take_answer(Client *c, double t)
{
	PGresult   *result;

	if (!PQconsumeInput(c->connection))
	{
		give_up(c, t, &c->service->failed);
		return;
	}
	while (!PQisBusy(c->connection))
	{
		const Step *step = &c->script->step[c->at - 1];
		ExecStatusType status;

		result = PQgetResult(c->connection);
		if (result == NULL)
		{
			go_on(c, t);
			return;
		}
		status = PQresultStatus(result);
		if (step->variable >= 0 && status == PGRES_TUPLES_OK && PQntuples(result) > 0)
			c->variable[step->variable] = atol(PQgetvalue(result, 0, 0));
		PQclear(result);
		if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		{
			fprintf(stderr, "clients: %s: %s", c->service->name, PQerrorMessage(c->connection));
			give_up(c, t, &c->service->failed);
			return;
		}
	}
}

/* ---------- the loop ---------- */

/* Whose sockets are waited for; returns how many, and until when. */
static int
prepare_poll(double *until)
{
	int			n = 0;

	for (Client *c = client; c < client + n_clients; c++)
	{
		c->polled = NULL;
		if (c->state == THINKING || c->state == SLEEPING)
		{
			*until = fmin(*until, c->due);
			continue;
		}
		polled[n].fd = PQsocket(c->connection);
		polled[n].events = c->state == CONNECTING && c->wants == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
		polled[n].revents = 0;
		c->polled = &polled[n++];
	}
	return n;
}

static void
serve(Client *c, double t)
{
	bool		ready = c->polled != NULL && c->polled->revents != 0;

	switch (c->state)
	{
		case THINKING:
			if (t >= c->due)
				begin_request(c, t);
			break;
		case SLEEPING:
			if (t >= c->due)
				go_on(c, t);
			break;
		case CONNECTING:
			if (ready)
				connect_on(c, t);
			else if (t >= c->login_ends)
				give_up(c, t, &c->service->refused);
			break;
		case ASKING:
			if (ready)
				take_answer(c, t);
			break;
	}
}

static void
run(double end)
{
	double		t = now();

	while (t < end)
	{
		double		until = fmin(end, t + 1);
		int			n = prepare_poll(&until);
		struct timespec wait;
		double		left = fmax(0, until - now());

		wait.tv_sec = (time_t) left;
		wait.tv_nsec = (long) ((left - (double) wait.tv_sec) * 1e9);
		if (ppoll(polled, n, &wait, NULL) < 0 && errno != EINTR)
			die("ppoll", strerror(errno));
		t = now();
		for (Client *c = client; c < client + n_clients; c++)
			serve(c, t);
	}
}

/* ---------- results ---------- */

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
point_ms(const Service *s, double p)
{
	return s->done > 0 ? 1000 * s->latency[(long) ((double) (s->done - 1) * p)] : 0;
}

static void
print_result(Service *s)
{
	qsort(s->latency, s->done, sizeof(double), compare);
	printf("%s %d %ld %ld %ld %ld %.2f %.2f %.2f\n", s->name, s->clients, s->let_in, s->done,
		   s->refused, s->failed, point_ms(s, 0.5), point_ms(s, 0.95), point_ms(s, 0.99));
}

/* All that were done, whichever service's. */
static void
print_total(void)
{
	Service		all = {.name = "all"};

	for (Service *s = service; s < service + n_services; s++)
		all.done += s->done;
	all.latency = malloc((all.done + 1) * sizeof(double));
	if (all.latency == NULL)
		die("memory", "none is left");
	all.done = 0;
	for (Service *s = service; s < service + n_services; s++)
	{
		if (s->done > 0)
			memcpy(all.latency + all.done, s->latency, s->done * sizeof(double));
		all.done += s->done;
		all.clients += s->clients;
		all.let_in += s->let_in;
		all.refused += s->refused;
		all.failed += s->failed;
	}
	print_result(&all);
}

int
main(int argc, char **argv)
{
	double		start;

	if (argc != 3)
		die("usage", "clients SECONDS WARM_UP < plan");
	srand48(1);
	read_plan();
	start = now();
	counts_from = start + atof(argv[2]);
	for (Service *s = service; s < service + n_services; s++)
	{
		for (int i = 0; i < s->clients && n_clients < MOST_CLIENTS; i++)
		{
			Client	   *c = &client[n_clients++];

			c->service = s;
			think(c, start);
		}
	}
	run(start + atof(argv[1]));
	for (Service *s = service; s < service + n_services; s++)
		print_result(s);
	print_total();
	return 0;
}
