/*
 * po_view.h
 *		What all views need: who may see what, and text that any database can show.
 *
 * For client backends, in a transaction.
 */
#ifndef PO_VIEW_H
#define PO_VIEW_H

#include "po_registry.h"

/* Has the calling role pg_read_all_stats?  Else it sees its own tenant only. */
extern bool po_view_sees_all(void);
extern bool po_view_sees_tenant(int tenant);

/* Of a tenant that it sees: what another role has run (InvalidOid = nobody knows who, so maybe
 * another) is not for everybody; nor is its queryid, by which a guess could be confirmed. */
extern bool po_view_sees_statement(Oid role);

/* Tenants are at 0 to this - 1: what comes later is not shown. */
extern int	po_view_tenant_count(void);

/* (other) is of interest only once somebody is in it. */
extern bool po_view_is_shown(int i, const PoTenant *t);

/* Names come from other databases and from clients: what is not valid in this
 * database's encoding is shown as '?'.  palloc'd. */
extern char *po_view_printable(const char *text);

#endif							/* PO_VIEW_H */
