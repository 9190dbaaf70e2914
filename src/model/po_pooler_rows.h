/*
 * po_pooler_rows.h
 *		What PgBouncer's console says: columns found by name, rows, whom to ask.
 *
 * Which columns there are, and in what order, differs by version of PgBouncer.
 */
#ifndef PO_POOLER_ROWS_H
#define PO_POOLER_ROWS_H

#include "model/po_types.h"

#define PO_POOLER_MOST				16	/* poolers */
#define PO_POOLER_MOST_COLUMNS		64	/* of an answer */
#define PO_POOLER_MOST_FIELDS		16	/* that are read of it */
#define PO_POOLER_MODE_LEN			16
#define PO_POOLER_VALUE_LEN			64

typedef enum PoPoolerCommand
{
	PO_POOLER_POOLS,
	PO_POOLER_DATABASES,
	PO_POOLER_STATS,
	PO_POOLER_SERVERS,
	PO_POOLER_USERS,
	PO_POOLER_CONFIG,
	PO_POOLER_CLIENTS
} PoPoolerCommand;

typedef struct PoPoolerPool
{
	char		database[PO_PART_LEN];	/* as PgBouncer calls it */
	char		user[PO_PART_LEN];
	int64_t		cl_active;
	int64_t		cl_waiting;
	int64_t		sv_active;
	int64_t		sv_idle;
	int64_t		sv_used;
	int64_t		sv_tested;
	int64_t		sv_login;
	int64_t		maxwait;		/* s */
	int64_t		maxwait_us;		/* the fraction of it */
	char		pool_mode[PO_POOLER_MODE_LEN];
} PoPoolerPool;

/* Connections that have logged in. */
extern int64_t po_pooler_open(const PoPoolerPool *pool);

/* Does it have clients or connections? */
extern bool po_pooler_is_used(const PoPoolerPool *pool);

typedef struct PoPoolerDatabase
{
	char		name[PO_PART_LEN];
	char		dbname[PO_PART_LEN];	/* the server's */
	char		force_user[PO_PART_LEN];	/* "" = the client's */
	int64_t		pool_size;
	int64_t		min_pool_size;
	int64_t		reserve_pool_size;
	int64_t		paused;
	int64_t		disabled;
} PoPoolerDatabase;

/* Totals since PgBouncer has started; all but the first -1 when not told. */
typedef struct PoPoolerStats
{
	char		database[PO_PART_LEN];
	int64_t		assignments;	/* of a server connection to a client */
	int64_t		xacts;
	int64_t		queries;
	int64_t		xact_us;
	int64_t		wait_us;
} PoPoolerStats;

typedef struct PoPoolerServer
{
	char		database[PO_PART_LEN];
	char		user[PO_PART_LEN];
	int64_t		remote_pid;
} PoPoolerServer;

typedef struct PoPoolerClient
{
	char		database[PO_PART_LEN];
	char		user[PO_PART_LEN];
	char		state[PO_POOLER_MODE_LEN];
	char		addr[PO_PART_LEN];	/* or "unix"; these three may be clipped */
	char		application_name[PO_PART_LEN];	/* "" = none, or not told */
	int64_t		remote_pid;		/* by a Unix socket; 0 = not told */
} PoPoolerClient;

typedef struct PoPoolerUser
{
	char		name[PO_PART_LEN];
	int64_t		pool_size;		/* -1 = none of its own */
} PoPoolerUser;

typedef struct PoPoolerConfig
{
	char		key[PO_POOLER_VALUE_LEN];
	char		value[PO_POOLER_VALUE_LEN]; /* clipped */
} PoPoolerConfig;

/* Room for any of these. */
typedef union PoPoolerRecord
{
	PoPoolerPool pool;
	PoPoolerDatabase database;
	PoPoolerStats stats;
	PoPoolerServer server;
	PoPoolerClient client;
	PoPoolerUser user;
	PoPoolerConfig config;
} PoPoolerRecord;

/* Where each field is in an answer. */
typedef struct PoPoolerBinding
{
	PoPoolerCommand command;
	int			at[PO_POOLER_MOST_FIELDS];	/* column, -1 = not there */
} PoPoolerBinding;

/* The words of the console. */
extern const char *po_pooler_command(PoPoolerCommand command);

/* False when a column is missing without which the answer says nothing. */
extern bool po_pooler_bind(PoPoolerCommand command, const char *const *names, int n_names,
						   PoPoolerBinding *binding);

/* Reads a row, NULL = null.  False for one that makes no sense (a name that is too long,
 * a number that is none); the record is then not to be used. */
extern bool po_pooler_read(const PoPoolerBinding *binding, const char *const *values,
						   PoPoolerRecord *record);

/* One of a list of connection strings: where it begins, how long it is. */
typedef struct PoPoolerEntry
{
	size_t		start;
	size_t		length;
} PoPoolerEntry;

/*
 * Splits at each ';' that is not quoted ('...', or after a backslash; a URI knows no
 * quotes); blanks around an entry and empty entries do not count.  Their number, or -1
 * when there are more than PO_POOLER_MOST or a quote is not closed.
 */
extern int	po_pooler_split(const char *list, PoPoolerEntry entry[PO_POOLER_MOST]);

/* Does a (checked) template of tenants' names need no more than role and database? */
extern bool po_pooler_template_fits(const char *template);

/* May a connection string name this option, or is it a secret? */
extern bool po_pooler_option_is_secret(const char *keyword);

/* What happened between two answers; -1 where that cannot be known. */
typedef struct PoPoolerRates
{
	double		xacts;			/* per second */
	double		queries;
	double		xact_ms;		/* mean */
	double		wait_ms;
	double		queued;			/* mean number of clients that waited for a connection */
} PoPoolerRates;

/*
 * before NULL = there was none.  A wait is counted when it ends; so stuck, the clients that
 * have waited for longer than elapsed_us and still do, are the least that queued was.
 */
extern void po_pooler_rates(const PoPoolerStats *before, const PoPoolerStats *now,
							int64_t elapsed_us, int64_t stuck, PoPoolerRates *rates);

/* Sums since a pooler was first asked, of one database or more. */
typedef struct PoPoolerQueue
{
	double		waited_us;		/* clients x time they waited */
	double		known_us;		/* time that is known of, of each */
	int64_t		since;			/* sum of when each began, so that others are told from them */
	int			n;				/* databases */
} PoPoolerQueue;

/* Takes in what was seen of one database in elapsed_us, until now (us of any clock). */
extern void po_pooler_queue_pass(PoPoolerQueue *queue, double queued, int64_t elapsed_us,
								 int64_t now);
extern void po_pooler_queue_add(PoPoolerQueue *sum, const PoPoolerQueue *queue);

/* Have they answered between before and now, and are they the same? */
extern bool po_pooler_queue_has_grown(const PoPoolerQueue *before, const PoPoolerQueue *now);

/* The mean number of clients that waited in between, if they have. */
extern double po_pooler_queue_mean(const PoPoolerQueue *before, const PoPoolerQueue *now);

#endif							/* PO_POOLER_ROWS_H */
