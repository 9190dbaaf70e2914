/*
 * po_pooler_clients.h
 *		Who the clients of a pool are: applications, and processes of them.
 *
 * A pooler stands between the server and those who use it: the server sees the pooler's address
 * and process alone.  Its console has one row for each client, and these are counted here, told
 * apart as direct ones are (po_instances.h).
 */
#ifndef PO_POOLER_CLIENTS_H
#define PO_POOLER_CLIENTS_H

#include "model/po_pooler_rows.h"

/* One client, of one of the pools. */
typedef struct PoPoolerCaller
{
	char		database[PO_PART_LEN];
	char		user[PO_PART_LEN];
	char		family[PO_PART_LEN];	/* its application */
	char		instance[PO_PART_LEN];	/* what tells it from others of that application */
	bool		waiting;		/* for a server connection */
} PoPoolerCaller;

#define PO_CALLERS_TEXT_LEN	256

/* Those of one pool. */
typedef struct PoPoolerCallers
{
	int			instances;		/* of all applications; -1 = not known */
	int			least;			/* of the application that has fewest */
	char		text[PO_CALLERS_TEXT_LEN];	/* the largest of them, printable ASCII */
} PoPoolerCallers;

/* Reads what the console says of a client. */
extern void po_pooler_caller(const PoPoolerClient *client, PoPoolerCaller *caller);

/* So that those of a pool, of an application and of an instance of it stand together. */
extern int	po_pooler_compare_callers(const void *a, const void *b);

/* Counts those of the pool that the first belongs to, of n that are sorted so; how many they
 * are. */
extern int	po_pooler_count_callers(const PoPoolerCaller *caller, int n, PoPoolerCallers *callers);

#endif							/* PO_POOLER_CLIENTS_H */
