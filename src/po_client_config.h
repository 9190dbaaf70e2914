/*
 * po_client_config.h
 *		A pool's sizes and timeouts as text for a pooler or driver.
 */
#ifndef PO_CLIENT_CONFIG_H
#define PO_CLIENT_CONFIG_H

#include "postgres.h"

#include "model/po_client_size.h"

/* Names in the encoding of the database. */
typedef struct PoClientSubject
{
	const char *tenant;
	const char *role;			/* NULL = not known, or several */
	const char *database;		/* the same */
	int			port;			/* of this server */
	const char *reason;			/* of the recommendation */
	bool		observed;		/* some of its policy is in mode observe */
	PoClientInput in;
} PoClientSubject;

/* The text to paste; palloc'd. */
extern char *po_client_config_text(const PoClientSubject *subject);

/* "pgbouncer, odyssey, ..."; palloc'd. */
extern char *po_client_config_names(void);

#endif							/* PO_CLIENT_CONFIG_H */
