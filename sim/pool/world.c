/*
 * world.c
 *		Discrete events of one pool.
 *
 * Processors are shared by all who have work (processor sharing): each gets min(1, cores /
 * at work) of one.  A job is finished when the shared "virtual time" has advanced by its work,
 * so one heap by virtual time holds all of them however their number changes.  Everything
 * else that ends by itself is in a heap by time.
 */
#include "world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WANDER_US	1e6			/* the machine's speed changes so often */
#define SPEED_ERROR	0.04		/* relative, of what is seen of it */

typedef enum ClientState
{
	CLIENT_AWAY,				/* idle, or its turn has not come */
	CLIENT_OUTSIDE,				/* works without a connection */
	CLIENT_QUEUED,				/* for a connection */
	CLIENT_CPU,
	CLIENT_WORK,
	CLIENT_THINK,
	CLIENT_IO,
	CLIENT_BLOCKED
} ClientState;

typedef struct Client
{
	ClientState state;
	const Script *script;
	int			step;
	int			row;			/* that it has locked or waits for; -1 = none */
	double		began;			/* when it got its connection */
	double		due;			/* virtual time or time at which the state ends */
	struct Client *next;		/* in a queue */
} Client;

typedef struct Queue
{
	Client	   *first;
	Client	   *last;
	int			n;
} Queue;

typedef struct Heap
{
	Client	   *at[MOST_CLIENTS];
	int			n;
} Heap;

typedef struct Row
{
	Client	   *holder;
	Queue		waiters;
} Row;

struct World
{
	Workload	w;
	Workload	former;			/* of transactions that began before a change */
	int			cores;
	double		noise;
	double		drift;
	uint64_t	random;
	double		now;
	double		virtual;
	double		speed;
	double		jitter;			/* logarithms of what speed is the product of */
	double		trend;
	double		wander_at;
	double		arrival_at;
	int			backlog;		/* arrivals that found all clients at work */
	int			size;
	int			in_use;
	int			opened;
	Client		client[MOST_CLIENTS];
	Heap		jobs;			/* by virtual time */
	Heap		timers;			/* by time */
	Queue		pool;
	Queue		disk;			/* who waits for it, */
	int			at_disk;		/* and how many it serves */
	Queue		resting;		/* clients of an open workload, with nothing to do */
	Row			row[64];
	int			count[CLIENT_BLOCKED + 1];	/* clients in each state */
	Seen		seen;
};

/* ---------- chance ---------- */

/* xorshift64*: G. Marsaglia 2003, S. Vigna 2016 */
static double
unit(World *o)
{
	o->random ^= o->random >> 12;
	o->random ^= o->random << 25;
	o->random ^= o->random >> 27;
	return (double) ((o->random * UINT64_C(2685821657736338717)) >> 11) / 9007199254740992.0;
}

static double
exponential(World *o)
{
	return -log(1 - unit(o));
}

/* Work varies (Erlang, k = 4), sleeping does not. */
static double
varied(World *o, double mean)
{
	return mean * (exponential(o) + exponential(o) + exponential(o) + exponential(o)) / 4;
}

static double
gauss(World *o)
{
	return sqrt(2 * exponential(o)) * cos(6.283185307179586 * unit(o));
}

/* ---------- queues and heaps ---------- */

static void
put(Queue *q, Client *c)
{
	c->next = NULL;
	if (q->n++ == 0)
		q->first = c;
	else
		q->last->next = c;
	q->last = c;
}

static Client *
take(Queue *q)
{
	Client	   *c = q->first;

	q->first = c->next;
	q->n--;
	return c;
}

static void
push(Heap *h, Client *c)
{
	int			i = h->n++;

	for (; i > 0 && h->at[(i - 1) / 2]->due > c->due; i = (i - 1) / 2)
		h->at[i] = h->at[(i - 1) / 2];
	h->at[i] = c;
}

static Client *
pop(Heap *h)
{
	Client	   *top = h->at[0];
	Client	   *last = h->at[--h->n];
	int			i = 0;

	for (int child = 1; child < h->n; child = 2 * i + 1)
	{
		if (child + 1 < h->n && h->at[child + 1]->due < h->at[child]->due)
			child++;
		if (last->due <= h->at[child]->due)
			break;
		h->at[i] = h->at[child];
		i = child;
	}
	h->at[i] = last;
	return top;
}

/* ---------- what a client does ---------- */

static void
enter(World *o, Client *c, ClientState state)
{
	o->count[c->state]--;
	o->count[state]++;
	c->state = state;
}

static void
work(World *o, Client *c, ClientState state, double us)
{
	int			sessions = o->count[CLIENT_CPU] + 1;
	double		more = 1 + o->w.crowd * fmax(sessions - o->cores, 0);

	if (c->row >= 0)
		more += o->w.herd * o->row[c->row].waiters.n;
	c->due = o->virtual + varied(o, us) * more;
	enter(o, c, state);
	push(&o->jobs, c);
}

static void
sleep_for(World *o, Client *c, ClientState state, double us)
{
	c->due = o->now + us;
	enter(o, c, state);
	push(&o->timers, c);
}

static void go_on(World *o, Client *c);

static void
lock_row(World *o, Client *c, int rows)
{
	Row		   *row;

	c->row = (int) (unit(o) * rows);
	row = &o->row[c->row];
	if (row->holder == NULL)
	{
		row->holder = c;
		go_on(o, c);
		return;
	}
	put(&row->waiters, c);
	enter(o, c, CLIENT_BLOCKED);
}

static void
unlock_row(World *o, Client *c)
{
	Row		   *row = &o->row[c->row];

	c->row = -1;
	row->holder = row->waiters.n > 0 ? take(&row->waiters) : NULL;
	if (row->holder != NULL)
		go_on(o, row->holder);
}

static void
read_disk(World *o, Client *c)
{
	if (o->at_disk >= DISK_SERVES)
	{
		put(&o->disk, c);
		enter(o, c, CLIENT_IO);
		return;
	}
	o->at_disk++;
	sleep_for(o, c, CLIENT_IO, varied(o, c->script->step[c->step].amount));
}

static void
leave_disk(World *o)
{
	o->at_disk--;
	if (o->disk.n > 0)
		read_disk(o, take(&o->disk));
}

static void
serve(World *o, Client *c)
{
	o->in_use++;
	if (o->in_use > o->opened)
		o->opened = o->in_use;
	c->began = o->now;
	c->step = -1;
	go_on(o, c);
}

static void
ask(World *o, Client *c)
{
	if (o->in_use < o->size && o->pool.n == 0)
	{
		serve(o, c);
		return;
	}
	put(&o->pool, c);
	enter(o, c, CLIENT_QUEUED);
}

static void
start(World *o, Client *c)
{
	c->script = &o->w.script[o->w.script[1].weight > 0 && unit(o) < o->w.script[1].weight];
	if (c->script->outside > 0)
		work(o, c, CLIENT_OUTSIDE, c->script->outside);
	else
		ask(o, c);
}

static void
rest(World *o, Client *c)
{
	if (o->w.rate > 0 && o->backlog == 0)
	{
		enter(o, c, CLIENT_AWAY);
		put(&o->resting, c);
		return;
	}
	if (o->w.rate > 0)
		o->backlog--;
	if (o->w.script[0].pause > 0)
		sleep_for(o, c, CLIENT_AWAY, o->w.script[0].pause);
	else
		start(o, c);
}

static void
finish(World *o, Client *c)
{
	double		took = o->now - c->began;

	o->seen.done++;
	o->seen.service += took;
	o->seen.service_sq += took * took;
	if (c->row >= 0)
		unlock_row(o, c);
	o->in_use--;
	if (o->opened > o->size)
		o->opened = o->size > o->in_use ? o->size : o->in_use;
	while (o->pool.n > 0 && o->in_use < o->size)
		serve(o, take(&o->pool));
	rest(o, c);
}

static void
go_on(World *o, Client *c)
{
	const Step *step = &c->script->step[++c->step];

	switch (step->kind)
	{
		case STEP_END:
			finish(o, c);
			break;
		case STEP_CPU:
			work(o, c, CLIENT_CPU, step->amount);
			break;
		case STEP_CLIENT:
			work(o, c, CLIENT_WORK, step->amount);
			break;
		case STEP_THINK:
			sleep_for(o, c, CLIENT_THINK, step->amount);
			break;
		case STEP_IO:
			sleep_for(o, c, CLIENT_IO, varied(o, step->amount));
			break;
		case STEP_DISK:
			read_disk(o, c);
			break;
		case STEP_LOCK:
			lock_row(o, c, (int) step->amount);
			break;
	}
}

static void
end_state(World *o, Client *c)
{
	if (c->state == CLIENT_AWAY)
		start(o, c);
	else if (c->state == CLIENT_OUTSIDE)
		ask(o, c);
	else
	{
		if (c->state == CLIENT_IO && c->script->step[c->step].kind == STEP_DISK)
			leave_disk(o);
		go_on(o, c);
	}
}

/* ---------- time ---------- */

static void
sample(World *o)
{
	Seen	   *s = &o->seen;
	int			busy = o->in_use;

	s->samples++;
	s->waits[PO_WAIT_CPU] += o->count[CLIENT_CPU];
	s->waits[PO_WAIT_CLIENT] += o->count[CLIENT_WORK] + o->count[CLIENT_THINK];
	s->waits[PO_WAIT_IO] += o->count[CLIENT_IO];
	s->waits[PO_WAIT_LOCK] += o->count[CLIENT_BLOCKED];
	s->busy[busy]++;
}

static void
arrive(World *o)
{
	o->arrival_at = o->now + exponential(o) * 1e6 / o->w.rate;
	if (o->resting.n > 0)
		start(o, take(&o->resting));
	else
		o->backlog++;
}

/* First order autoregression: 1 - kept of it is new each second. */
static double
wandered(World *o, double from, double kept, double deviation)
{
	return deviation <= 0 ? 0 : from * kept + deviation * sqrt(1 - kept * kept) * gauss(o);
}

static void
wander(World *o)
{
	o->jitter = wandered(o, o->jitter, 0.75, o->noise);
	o->trend = wandered(o, o->trend, 0.97, o->drift);
	o->speed = exp(o->jitter + o->trend);
	o->wander_at = o->now + WANDER_US;
}

static void
pass(World *o, double until)
{
	int			n = o->jobs.n;

	if (n > 0)
		o->virtual += (until - o->now) * o->speed * fmin(1, (double) o->cores / n);
	o->seen.speed += o->speed * (until - o->now);
	o->seen.queued += o->pool.n * (until - o->now);
	o->now = until;
}

void
world_run(World *o, double us, double sample_us, Seen *seen)
{
	double		end = o->now + us;
	double		sample_at = o->now + sample_us;

	memset(&o->seen, 0, sizeof(o->seen));
	for (;;)
	{
		double		at = fmin(end, fmin(sample_at, o->wander_at));
		double		job_at = INFINITY;

		if (o->w.rate > 0)
			at = fmin(at, o->arrival_at);
		if (o->timers.n > 0)
			at = fmin(at, o->timers.at[0]->due);
		if (o->jobs.n > 0)
			job_at = o->now + fmax(o->jobs.at[0]->due - o->virtual, 0) /
				(o->speed * fmin(1, (double) o->cores / o->jobs.n));
		if (job_at <= at)
		{
			pass(o, job_at);
			o->virtual = fmax(o->virtual, o->jobs.at[0]->due);
			end_state(o, pop(&o->jobs));
			continue;
		}
		pass(o, at);
		if (o->timers.n > 0 && o->timers.at[0]->due <= o->now)
			end_state(o, pop(&o->timers));
		else if (at == sample_at)
		{
			sample(o);
			sample_at += sample_us;
		}
		else if (at == o->wander_at)
			wander(o);
		else if (o->w.rate > 0 && at == o->arrival_at)
			arrive(o);
		else
			break;
	}
	*seen = o->seen;
	seen->elapsed = us;
	seen->clients = o->w.clients;
	seen->waiting = o->pool.n;
	seen->queued /= us;
	seen->idle = o->w.clients - o->pool.n - o->in_use;
	seen->speed = seen->speed / us * exp(SPEED_ERROR * gauss(o));
	seen->sessions = o->opened;
}

void
world_resize(World *o, int size)
{
	o->size = size;
	if (o->opened > size)
		o->opened = size > o->in_use ? size : o->in_use;
	while (o->pool.n > 0 && o->in_use < o->size)
		serve(o, take(&o->pool));
}

/* Those at work keep pointers into w, so the former one stays beside the new one. */
void
world_change(World *o, const Workload *w)
{
	o->former = o->w;
	for (int i = 0; i < MOST_CLIENTS; i++)
	{
		Client	   *c = &o->client[i];

		if (c->script != NULL)
			c->script = &o->former.script[c->script - o->w.script];
	}
	o->w = *w;
	o->arrival_at = o->now;
	while (w->rate <= 0 && o->resting.n > 0)
		rest(o, take(&o->resting));
}

World *
world_new(const Workload *w, int cores, double noise, double drift, uint64_t seed)
{
	World	   *o = calloc(1, sizeof(*o));

	if (o == NULL)
		abort();
	o->w = *w;
	o->cores = cores;
	o->noise = noise;
	o->drift = drift;
	o->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	o->speed = 1;
	o->wander_at = WANDER_US;
	o->size = 1;
	o->count[CLIENT_AWAY] = w->clients;
	for (int i = 0; i < w->clients; i++)
	{
		Client	   *c = &o->client[i];

		c->row = -1;
		if (w->rate > 0)
			put(&o->resting, c);
		else
			sleep_for(o, c, CLIENT_AWAY, unit(o) * fmax(w->script[0].pause, 1000));
	}
	return o;
}

void
world_free(World *o)
{
	free(o);
}
