/*
 * po_session.h
 *		What runs in client backends: admission at login, accounting at the end of
 *		each transaction, release at exit.
 */
#ifndef PO_SESSION_H
#define PO_SESSION_H

#include "postgres.h"

/* Hooks of _PG_init. */
extern void po_session_install(void);

/* The calling backend's tenant, -1 when it has none. */
extern int	po_session_my_tenant(void);

/* Its slot, -1 when it has none. */
extern int	po_session_my_slot(void);

#endif							/* PO_SESSION_H */
