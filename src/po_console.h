/*
 * po_console.h
 *		One console of PgBouncer, asked without ever waiting for it beyond a deadline.
 *
 * What an answer may cost is bounded, in time, rows and bytes.  Whatever goes wrong
 * closes the connection and is told as a state and a text that has no secrets.
 */
#ifndef PO_CONSOLE_H
#define PO_CONSOLE_H

#include "po_shmem.h"

#define PO_CONSOLE_DATABASE	"pgbouncer"
#define PO_CONSOLE_MOST_ROWS	20000	/* of one answer */
#define PO_CONSOLE_MOST_US		(5 * PO_US_PER_S)	/* for what a visit asks, and what it applies */

/* Not to be copied. */
typedef struct PoConsole
{
	struct pg_conn *conn;		/* NULL = not connected */
	int64		deadline;		/* of what is going on, monotonic us */
	int64		bytes_left;
	PoPoolerState state;		/* not OK: what went wrong */
	char		error[PO_ERROR_LEN];
} PoConsole;

typedef enum PoAnswer
{
	PO_ANSWER_OK,
	PO_ANSWER_REFUSED,			/* an error; the console can be asked further */
	PO_ANSWER_OTHER_COLUMNS,	/* the same of columns that are missing */
	PO_ANSWER_LOST				/* closed */
} PoAnswer;

/* Begins a visit that may take so long in all; keeps a connection that is there. */
extern void po_console_begin(PoConsole *console, int64 visit_us);

/* Connects if it is not; conninfo is one connection string. */
extern bool po_console_open(PoConsole *console, const char *conninfo, int64 connect_us);

/* Calls take for every row that can be read; *n_bad counts the others. */
typedef void (*PoTakeRecord) (const PoPoolerRecord *record, void *arg);
extern PoAnswer po_console_show(PoConsole *console, PoPoolerCommand command,
								PoTakeRecord take, void *arg, int *n_bad);

/* SET and the like. */
extern PoAnswer po_console_do(PoConsole *console, const char *command);

extern void po_console_close(PoConsole *console);

/* Is it reached by a Unix socket? */
extern bool po_console_is_local(const PoConsole *console);

/* What the console says of its version, "" = nothing. */
extern void po_console_version(const PoConsole *console, char *version, Size size);

/* How to call the pooler of a connection string: host and port, or its service. */
extern void po_console_name(const char *conninfo, char *name, Size size);

#endif							/* PO_CONSOLE_H */
