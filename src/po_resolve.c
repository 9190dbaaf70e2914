/*
 * po_resolve.c
 *		Which policies of a set apply to a name.
 *
 * Takes no lock: whoever calls keeps the set still.
 */
#include "postgres.h"

#include "po_resolve.h"

const PoPolicy *
po_resolve_find_exact(const PoPolicySet *set, PoScope scope, const char *name)
{
	PoPolicy	key;

	memset(&key, 0, sizeof(key));
	key.scope = scope;
	strlcpy(key.name, name, sizeof(key.name));
	return bsearch(&key, set->policy + set->first[scope], set->n_exact[scope],
				   sizeof(PoPolicy), po_policy_compare);
}

void
po_resolve_name(const PoPolicySet *set, PoScope scope, const char *name, PoPolicyFields *fields)
{
	const PoPolicy *exact;
	int			first = set->first[scope];

	po_policy_defaults(fields);
	/* A pattern is not a name, even if somebody is called like one. */
	exact = po_pattern_is(name) && scope != PO_SCOPE_CLUSTER ? NULL :
		po_resolve_find_exact(set, scope, name);
	if (exact != NULL)
		po_policy_inherit(fields, &exact->fields);
	for (int i = first + set->n_exact[scope]; i < first + set->n_scope[scope]; i++)
	{
		if (po_pattern_matches(set->policy[i].name, name))
			po_policy_inherit(fields, &set->policy[i].fields);
	}
}

/* Does an address policy hold for all of a CIDR? */
static bool
address_policy_matches(const PoPolicy *policy, const PoCidr *cidr)
{
	PoCidr		of_policy;

	if (strcmp(policy->name, "*") == 0)
		return true;
	return po_cidr_parse(policy->name, &of_policy) &&
		of_policy.bits <= cidr->bits && po_cidr_contains(&of_policy, cidr);
}

void
po_resolve_address(const PoPolicySet *set, const char *key, PoPolicyFields *fields)
{
	int			first = set->first[PO_SCOPE_ADDRESS];
	PoCidr		cidr;

	po_policy_defaults(fields);
	if (!po_cidr_parse(key, &cidr))
		return;
	for (int i = first; i < first + set->n_scope[PO_SCOPE_ADDRESS]; i++)
	{
		if (address_policy_matches(&set->policy[i], &cidr))
			po_policy_inherit(fields, &set->policy[i].fields);
	}
}

void
po_resolve_address_key(const PoPolicySet *set, const char *address, const PoCidr *cidr, char *key)
{
	int			first = set->first[PO_SCOPE_ADDRESS];

	for (int i = first; i < first + set->n_scope[PO_SCOPE_ADDRESS]; i++)
	{
		const PoPolicy *policy = &set->policy[i];

		if ((policy->fields.set & PO_SET_MAX_CONNECTIONS) == 0 ||
			!address_policy_matches(policy, cidr))
			continue;
		if (strcmp(policy->name, "*") != 0)
			address = policy->name;
		break;
	}
	strlcpy(key, address, PO_PART_LEN);
}

void
po_resolve_index(PoPolicySet *set)
{
	memset(set->first, 0, sizeof(set->first));
	memset(set->n_exact, 0, sizeof(set->n_exact));
	memset(set->n_scope, 0, sizeof(set->n_scope));
	for (int i = set->n - 1; i >= 0; i--)
	{
		PoScope		scope = set->policy[i].scope;

		set->first[scope] = i;
		set->n_scope[scope]++;
		if (!po_pattern_is(set->policy[i].name) || scope == PO_SCOPE_CLUSTER)
			set->n_exact[scope]++;
	}
}

bool
po_resolve_same(const PoPolicySet *set, const PoPolicy *policies, int n)
{
	return set->n == n && memcmp(set->policy, policies, n * sizeof(PoPolicy)) == 0;
}
