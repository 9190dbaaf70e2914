/*
 * po_view.c
 *		What all views need: who may see what, and text that any database can show.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"

#include "po_session.h"
#include "po_view.h"

bool
po_view_sees_all(void)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

bool
po_view_sees_tenant(int tenant)
{
	return po_view_sees_all() || (tenant >= 0 && tenant == po_session_my_tenant());
}

bool
po_view_sees_statement(Oid role)
{
	return po_view_sees_all() || (OidIsValid(role) && role == GetUserId());
}

int
po_view_tenant_count(void)
{
	PoRegistry	totals;

	po_registry_copy_totals(&totals);
	return totals.n_tenants;
}

bool
po_view_is_shown(int i, const PoTenant *t)
{
	return i != PO_TENANT_OTHER || t->admitted + t->rejected > 0;
}

char *
po_view_printable(const char *text)
{
	char	   *copy = pstrdup(text);
	/* What leaves a database SQL_ASCII is checked against the client's. */
	int			encoding = GetDatabaseEncoding() == PG_SQL_ASCII ?
		pg_get_client_encoding() : GetDatabaseEncoding();

	if (pg_verify_mbstr(encoding, copy, (int) strlen(copy), true))
		return copy;
	for (char *c = copy; *c != '\0'; c++)
	{
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	}
	return copy;
}
