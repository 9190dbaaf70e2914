/*
 * po_client_size.h
 *		From a recommended pool to what each process of a pooler or driver is told.
 *
 * A pool is recommended for a tenant, but most limits hold for one process of its
 * client: they are divided by the processes there are, such that the sum stays below
 * every limit also while a deploy has more of them.  Timeouts are chosen such that the
 * client lets go of a connection before a rule of the server ends it, and that no login
 * is given up while the server still queues it.
 */
#ifndef PO_CLIENT_SIZE_H
#define PO_CLIENT_SIZE_H

#include "model/po_types.h"

typedef enum PoClient
{
	PO_CLIENT_PGBOUNCER,
	PO_CLIENT_ODYSSEY,
	PO_CLIENT_PGDOG,
	PO_CLIENT_PRISMA,
	PO_CLIENT_HIKARICP,
	PO_CLIENT_NODE_POSTGRES,
	PO_CLIENT_SQLALCHEMY,
	PO_CLIENT_PGX,
	PO_CLIENT_NPGSQL
} PoClient;

#define PO_N_CLIENTS		9
#define PO_MAX_INSTANCES	100000

/* What limits the connections of a tenant; of two alike the first is told. */
typedef enum PoCeiling
{
	PO_CEILING_QUOTA,			/* scope tenant */
	PO_CEILING_DATABASE_QUOTA,
	PO_CEILING_ROLE_QUOTA,
	PO_CEILING_CLUSTER_QUOTA,
	PO_CEILING_DATABASE_LIMIT,	/* ALTER DATABASE ... CONNECTION LIMIT */
	PO_CEILING_ROLE_LIMIT,
	PO_CEILING_SERVER			/* what clients can use of max_connections */
} PoCeiling;

#define PO_N_CEILINGS		7

typedef struct PoClientInput
{
	PoClient	client;
	int			instances;		/* processes of it, */
	double		surge;			/* and how many times as many were seen at once; 0 = unknown */
	int			applications;	/* of the tenant that have sessions now; 0 = unknown */
	int			seen;			/* their instances, */
	int			seen_least;		/* those of the one that has fewest, */
	int			behind;			/* the same of those behind its poolers, */
	int			others;			/* and sessions of all but the one that has most */
	int			size;			/* recommended, for all of them */
	int			min;
	int			busy;			/* of these, half of the time; 0 = unknown */
	int			max;
	int			each;			/* that a driver's process needs for its own part of the load, see
								 * po_instances_each; 0 = size / instances */
	bool		tried;			/* larger ones were, and did no more */
	double		service_us;		/* mean of a transaction, and of its wait for a connection; */
	double		wait_us;		/* 0 = unknown */
	double		confidence;
	int			ceiling[PO_N_CEILINGS]; /* PO_UNLIMITED = none */
	int			guaranteed;
	PoOnFull	on_full;
	int64_t		wait_timeout_us;
	int64_t		target_wait_us;
	int64_t		idle_us;		/* of this and the next four, 0 = rule off */
	int64_t		never_used_us;
	int64_t		idle_in_transaction_us;
	int64_t		lifetime_us;
	double		leak_probability;
	int64_t		authentication_timeout_us;
} PoClientInput;

/* What does not fit together, or should be known. */
typedef enum PoClientRemark
{
	PO_REMARK_REFUSED,			/* a limit is 0 */
	PO_REMARK_PROCESSES,		/* more processes than connections are allowed */
	PO_REMARK_SURGE,			/* the same while a deploy has more of them */
	PO_REMARK_SIZE,				/* more is recommended than is allowed */
	PO_REMARK_OTHERS,			/* with what other applications have it is more than is allowed */
	PO_REMARK_CUT,				/* each has less, so that a deploy fits */
	PO_REMARK_TWICE,			/* twice as many processes would not fit */
	PO_REMARK_IDLE,				/* the server ends idle ones first */
	PO_REMARK_IDLE_NONE,		/* the client has no timeout for idle ones */
	PO_REMARK_MIN,				/* nothing is kept warm because of that rule */
	PO_REMARK_LIFETIME,			/* the server ends old ones first */
	PO_REMARK_WAIT,				/* wait_timeout is beyond authentication_timeout */
	PO_REMARK_CONNECT,			/* the client's default gives up a queued login */
	PO_REMARK_FEW,				/* more processes than connections are recommended */
	PO_REMARK_ROUNDED,			/* a good part is lost in the division */
	PO_REMARK_PARTS,			/* separate pools need more than one for all would */
	PO_REMARK_SHARED,			/* one of several applications is told what is for all */
	PO_REMARK_SEEN,				/* there are more processes than that */
	PO_REMARK_GUARANTEE,		/* what is beyond the guarantee is lent */
	PO_REMARK_LEAK,				/* idle ones may be ended by their probability */
	PO_REMARK_CONFIDENCE
} PoClientRemark;

#define PO_N_REMARKS		(PO_REMARK_CONFIDENCE + 1)

typedef struct PoClientPlan
{
	int			instances;
	int			peak;			/* processes while a deploy runs, */
	bool		peak_seen;		/* as one was seen */
	int			wanted;			/* connections of one process, whatever they all may have */
	int			each;			/* and as that allows, at least 1 */
	int			each_min;		/* of those, kept open without work; */
	int			each_idle;		/* for clients that keep so many beside those at work */
	int			each_reserve;	/* beyond each, for poolers that have such a thing */
	int			ceiling;		/* PO_UNLIMITED = none */
	PoCeiling	ceiling_by;
	int64_t		connect_us;		/* to give up a login */
	int64_t		acquire_us;		/* to give up waiting for the pool */
	int64_t		idle_us;		/* to close an idle connection; 0 = the client cannot */
	int64_t		check_us;		/* how often the client looks for those; 0 = at once */
	int64_t		lifetime_us;
	int64_t		jitter_us;		/* of the lifetime; 0 = the client has none */
	int64_t		idle_in_transaction_us; /* 0 = no rule */
	int64_t		login_retry_us; /* of a pooler, after a refusal */
	int64_t		backoff_us;		/* of a driver: the first pause after a refusal, */
	int64_t		backoff_max_us; /* which doubles up to here */
	uint32_t	remarks;		/* a bit for each PoClientRemark */
} PoClientPlan;

/*
 * The rules:
 *	1. a deploy is taken to surge by a quarter of the processes, rounded up, the
 *	   default of Kubernetes (maxSurge), or by what was seen, if that is more, up to twice as
 *	   many; where they were not seen, these are only remarked upon.  Poolers are not: while
 *	   two overlap, clients queue in them instead of being refused;
 *	2. each pooler has size / instances, rounded down but at least 1; so has each process of
 *	   a driver, or what its own part of the load needs, where that is known (separate pools
 *	   cannot lend each other a connection); and no more than the lowest ceiling / processes
 *	   at the peak;
 *	3. an idle connection is closed by the client after 4/5 of what the server's rules
 *	   (idle, never_used) allow, less the time between two looks; none is kept open
 *	   without work when there is such a rule;
 *	4. a connection lives 4/5 of what the rule lifetime allows; a client that may keep it for
 *	   longer than it is told, idle or old, is told less;
 *	5. a login is given up 5 s after the server would have ended its wait, and a request to
 *	   the pool after 100 x target_wait (5 s to a minute), or four times what transactions
 *	   take with their waits now, if that is more (up to ten minutes), and not before the
 *	   login; Prisma's 5 s after it;
 *	6. a pooler that has such a thing may go up to max when its clients wait, unless it was
 *	   tried what more would do.
 * Input out of range is brought into it.
 */
extern void po_client_plan(const PoClientInput *in, PoClientPlan *plan);

extern const char *po_client_name(PoClient client);
extern bool po_client_parse(const char *name, PoClient *client);

/* Does it stand between clients and the server? */
extern bool po_client_is_pooler(PoClient client);

/* Is it a contradiction, or just to be known? */
extern bool po_client_contradicts(PoClientRemark remark);

/* Writes the remark, one or two sentences, into text (at most size - 1 bytes). */
extern void po_client_remark(const PoClientInput *in, const PoClientPlan *plan,
							 PoClientRemark remark, char *text, size_t size);

/* The lowest of them, PO_UNLIMITED if there is none. */
extern int	po_client_lowest_ceiling(const int ceiling[PO_N_CEILINGS], PoCeiling *by);

/* "the quota (max_connections)" and so on. */
extern const char *po_client_ceiling_name(PoCeiling ceiling);

#endif							/* PO_CLIENT_SIZE_H */
