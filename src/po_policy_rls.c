/*
 * po_policy_rls.c
 *		Who may see which policy, and which rule of an alert.
 *
 * Row-level security on pool_policies and pool_alert_rules lets a plain role see what
 * holds for itself.
 * Core's row security has side channels: comparisons of text are leakproof, so they
 * may become conditions of an index scan, before the policy is asked, and EXPLAIN
 * ANALYZE or the counters of the index then tell whether a hidden name is there.
 * Names of others must not come out, so whoever sees only some rows gets no index.
 * (Estimates are dumb because the columns have no statistics, see the install script.)
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "nodes/pathnodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "model/po_names.h"
#include "po_alert_row.h"
#include "po_compat.h"
#include "po_finding_row.h"
#include "po_policy_rls.h"
#include "po_policy_row.h"
#include "po_registry.h"
#include "po_session.h"

PG_FUNCTION_INFO_V1(pool_policy_visible_1_0);
PG_FUNCTION_INFO_V1(pool_alert_rule_visible_1_0);


bool
po_policy_rls_is_mine(PoScope scope, const char *name)
{
	const PoSlot *slot;
	PoTenant	tenant;
	PoCidr		cidr;

	if (po_shared == NULL || po_session_my_slot() < 0)
		return false;
	slot = &po_slots[po_session_my_slot()];
	switch (scope)
	{
		case PO_SCOPE_TENANT:
			return po_registry_copy_tenant(slot->tenant, &tenant) &&
				po_pattern_matches(name, tenant.name);
		case PO_SCOPE_DATABASE:
			return po_pattern_matches(name, slot->database);
		case PO_SCOPE_ROLE:
			return po_pattern_matches(name, slot->role);
		case PO_SCOPE_APPLICATION:
			return po_pattern_matches(name, slot->application);
		case PO_SCOPE_ADDRESS:
			return strcmp(name, "*") == 0 ||
				(po_cidr_parse(name, &cidr) && po_cidr_contains(&cidr, &slot->cidr));
		case PO_SCOPE_CLUSTER:
			return true;
	}
	return false;
}

/* May the caller see every row of the table, as he may change it or see everything? */
static bool
sees_all_of(FunctionCallInfo fcinfo, const char *table)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	Oid			relid = get_relname_relid(table, schema);

	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		(OidIsValid(relid) &&
		 pg_class_aclmask(relid, GetUserId(), ACL_INSERT | ACL_UPDATE | ACL_DELETE,
						  ACLMASK_ANY) != 0);
}

Datum
pool_policy_visible_1_0(PG_FUNCTION_ARGS)
{
	PoScope		scope;

	if (sees_all_of(fcinfo, PO_POLICY_TABLE))
		PG_RETURN_BOOL(true);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) ||
		!po_scope_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &scope))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(po_policy_rls_is_mine(scope, text_to_cstring(PG_GETARG_TEXT_PP(1))));
}

Datum
pool_alert_rule_visible_1_0(PG_FUNCTION_ARGS)
{
	if (sees_all_of(fcinfo, PO_ALERT_RULE_TABLE))
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(!PG_ARGISNULL(0) &&
				   po_policy_rls_is_mine(PO_SCOPE_TENANT,
										 text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* ---------- no index ---------- */

static po_compat_relation_hook_type prev_relation_hook = NULL;

static bool
is_table_of_names(Oid relid)
{
	char	   *name = get_rel_name(relid);

	return name != NULL &&
		(strcmp(name, PO_POLICY_TABLE) == 0 || strcmp(name, PO_ALERT_RULE_TABLE) == 0 ||
		 strcmp(name, PO_ACKNOWLEDGED_TABLE) == 0) && po_policy_row_is_ours(relid);
}

PO_COMPAT_RELATION_HOOK(hide_indexes)
{
	RangeTblEntry *entry = po_compat_hooked_entry;

	po_compat_call_relation_hook(prev_relation_hook);
	/* Almost no relation has such conditions, so almost always this is all. */
	if (entry->securityQuals != NIL && is_table_of_names(entry->relid))
		rel->indexlist = NIL;
}

void
po_policy_rls_install(void)
{
	prev_relation_hook = po_compat_relation_hook;
	po_compat_relation_hook = hide_indexes;
}
