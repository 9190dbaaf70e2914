/*
 * world.h
 *		One pool of connections in discrete events: clients that queue for it, processors
 *		that are shared, rows that are locked, and what the sampler would see of it.
 *
 * Durations are in us, rates in transactions/s.
 */
#ifndef WORLD_H
#define WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "model/po_types.h"

#define MOST_CLIENTS	512
#define MOST_STEPS		16
#define DISK_SERVES		12

typedef enum StepKind
{
	STEP_END,
	STEP_CPU,					/* work in the server */
	STEP_CLIENT,				/* work of the client while it holds the connection */
	STEP_THINK,					/* the client does nothing, or something elsewhere */
	STEP_IO,					/* the disk, or anything else off the CPU */
	STEP_DISK,					/* one that serves so many at once, DISK_SERVES */
	STEP_LOCK					/* one of so many rows, until the transaction ends */
} StepKind;

typedef struct Step
{
	StepKind	kind;
	double		amount;			/* us, or rows */
} Step;

/* A transaction; a workload has one kind or two. */
typedef struct Script
{
	double		weight;			/* share of the transactions */
	double		outside;		/* us of CPU without a connection: client and pooler */
	double		pause;			/* us of idleness before it */
	Step		step[MOST_STEPS];
} Script;

typedef struct Workload
{
	const char *name;
	const char *about;
	int			clients;
	double		rate;			/* that arrive; 0 = as many as the clients can */
	double		crowd;			/* work grows by this share for each session beyond the CPUs */
	double		herd;			/* and by this one for each that waits for the same row */
	Script		script[2];
} Workload;

/* What there was to see since it was last asked. */
typedef struct Seen
{
	double		elapsed;		/* us */
	double		done;			/* transactions that left */
	double		service;		/* us in all of these while they held a connection */
	double		service_sq;
	int			samples;
	int			waits[PO_N_WAITS];	/* sessions so seen, sum over the samples */
	int			busy[MOST_CLIENTS + 1]; /* samples with so many busy */
	int			clients;		/* all that there are */
	int			waiting;		/* those without a connection, now */
	double		queued;			/* and their mean number */
	int			idle;			/* those that neither wait nor have one, now */
	double		speed;			/* of the machine, as far as one can tell */
	int			sessions;		/* that the pooler keeps open */
} Seen;

typedef struct World World;

/*
 * noise, drift: relative standard deviations of the machine's speed, as it wanders within
 * seconds and within half a minute.
 */
extern World *world_new(const Workload *w, int cores, double noise, double drift, uint64_t seed);
extern void world_free(World *world);

/* The pool's size from now on; what is in use stays until it is given back. */
extern void world_resize(World *world, int size);

/* Another load from now on, by those who are there; they finish what they have begun. */
extern void world_change(World *world, const Workload *w);

/* Lets time pass. */
extern void world_run(World *world, double us, double sample_us, Seen *seen);

#endif							/* WORLD_H */
