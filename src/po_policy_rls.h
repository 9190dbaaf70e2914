/*
 * po_policy_rls.h
 *		Who may see which policy.
 */
#ifndef PO_POLICY_RLS_H
#define PO_POLICY_RLS_H

#include "postgres.h"

#include "model/po_policy.h"

/* In _PG_init. */
extern void po_policy_rls_install(void);

/* Does a policy of this name (or pattern, or CIDR) hold for the calling session? */
extern bool po_policy_rls_is_mine(PoScope scope, const char *name);

#endif							/* PO_POLICY_RLS_H */
