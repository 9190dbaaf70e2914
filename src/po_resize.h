/*
 * po_resize.h
 *		Applies recommended sizes to the pools of PgBouncers, where policies say so.
 */
#ifndef PO_RESIZE_H
#define PO_RESIZE_H

#include "utils/hsearch.h"

#include "model/po_pooler_plan.h"
#include "po_console.h"

typedef struct PoPoolKey
{
	char		database[PO_PART_LEN];
	char		user[PO_PART_LEN];
} PoPoolKey;

/* What is known of a pool from visit to visit; in the memory of the worker, as all here. */
typedef struct PoVisitedPool
{
	PoPoolKey	key;
	uint64		visit;			/* in which it was seen last */
	PoPoolerPool now;
	/* Whose it is. */
	int			tenant;			/* -1 = nobody's, or of another server */
	char		tenant_name[PO_NAME_LEN];
	bool		is_ours;		/* its connections are sessions of ours */
	bool		was_ours;		/* they were when its pooler fell silent; tenant_name holds */
	int			n_servers;		/* in this visit */
	int			n_matched;		/* of these, sessions of ours; no more than one is looked for in a
								 * pool that was ours */
	int			n_sessions;		/* of its tenant, then */
	int			pooler;			/* its place, and */
	struct PoVisitedPool *next; /* of its tenant, as of the visit at work */
	double		active;			/* sv_active, mean of the last visits */
	/* What was done. */
	int64		changed_at;		/* monotonic us; 0 = never */
	TimestampTz evaluation;		/* that it rested on */
	int			set_to;			/* to be seen at the next visit, 0 = nothing */
	bool		set_by_default; /* with SET */
	bool		set_in_file;	/* in the include file, and it was another one before */
	int			set_min;		/* min_pool_size with that, -1 = none */
	int64		deaf_at;		/* SET had no effect; monotonic us, 0 = never */
	int64		min_deaf_at;	/* the same for min_pool_size, wherever it was set */
	int64		file_deaf_at;	/* the same for the include file, */
	int			file_deaf_size; /* of the pool then, */
	time_t		file_deaf_mtime;	/* of the file */
	int			told_to;		/* dry run: what was told last */
	int			told_min;		/* and of min_pool_size, plus 1 */
	PoResizeProblem problem;	/* what keeps "auto" from it */
	char		told_problem[PO_REASON_LEN];
	PoPoolerStall stall;
	int			told_stall;		/* connections that were told last */
	PoPoolerCallers callers;	/* of the last time that was asked */
	bool		may_reconnect;	/* was made smaller */
	int			n_over;			/* visits that saw more connections than it may have */
} PoVisitedPool;

typedef struct PoVisitedDatabase
{
	char		name[PO_PART_LEN];
	uint64		visit;
	PoPoolerDatabase now;
	PoPoolerStats stats;
	int64		stats_at;		/* monotonic us; 0 = never */
	int64		stuck;			/* clients that have waited since before that, in this visit */
	PoPoolerRates rates;
	PoPoolerQueue queue;
} PoVisitedDatabase;

/* Only those with a size of their own. */
typedef struct PoVisitedUser
{
	char		name[PO_PART_LEN];
	uint64		visit;
	int			pool_size;
} PoVisitedUser;

/* What SET has made of default_pool_size and min_pool_size, for one pool. */
typedef struct PoVisitedDefault
{
	bool		active;			/* there is something to give back */
	int			size;
	int			min;
	int			size_tried;		/* was sent, and got no answer; else the same as size */
	int			min_tried;
	int			was;			/* before */
	int			min_was;
	PoPoolKey	pool;
} PoVisitedDefault;

/* Of its configuration, as it was told last. */
typedef struct PoVisitedConfig
{
	int64		login_retry_us; /* after a login that failed */
	char		auth_user[PO_POOLER_VALUE_LEN]; /* "" = none */
	bool		shares_port;	/* so_reuseport: of several processes, which the kernel chooses */
} PoVisitedConfig;

typedef struct PoVisitedPooler
{
	char	   *conninfo;
	MemoryContext context;		/* of this and the hash tables */
	PoConsole	console;
	PoPoolerSeen seen;
	uint64		visit;			/* counts them */
	int64		added_at;		/* monotonic us */
	int64		due;			/* monotonic us */
	int64		backoff_us;		/* 0 = all is well */
	HTAB	   *pools;
	HTAB	   *databases;
	HTAB	   *users;
	PoVisitedDefault default_set;
	bool		has_user_sizes; /* from 1.23 on */
	PoVisitedConfig config;
	bool		reloaded;		/* by us, since that was asked */
	bool		reload_refused; /* when it was asked last */
	bool		obeys_file;		/* a size in the include file came into force, since settings were
								 * read last */
	int			n_left_out;		/* rows, in this visit */
} PoVisitedPooler;

/* The size that holds for a pool, -1 = not known. */
extern int	po_resize_pool_size(const PoVisitedPooler *pooler, const PoVisitedPool *pool);
extern const PoPoolerDatabase *po_resize_database(const PoVisitedPooler *pooler,
												  const char *name);

/*
 * After a good visit of poolers[which]: resizes those of its pools whose tenants' policies
 * have "auto", or tells what it would do.  False when the console was lost over it.
 */
extern bool po_resize_pooler(PoVisitedPooler *poolers, int n, int which);

/* Before a pooler is visited no more: gives back what was SET, if that takes no longer. */
extern void po_resize_let_go(PoVisitedPooler *pooler, int64 visit_us);

#endif							/* PO_RESIZE_H */
