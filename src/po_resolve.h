/*
 * po_resolve.h
 *		Which policies of a set apply to a name.
 *
 * Takes no lock: whoever calls keeps the set still.
 */
#ifndef PO_RESOLVE_H
#define PO_RESOLVE_H

#include "po_shmem.h"

/* Notes where each scope begins in a sorted set. */
extern void po_resolve_index(PoPolicySet *set);

/* Is it this very set (sorted, too)? */
extern bool po_resolve_same(const PoPolicySet *set, const PoPolicy *policies, int n);

/* NULL when there is none. */
extern const PoPolicy *po_resolve_find_exact(const PoPolicySet *set, PoScope scope,
											 const char *name);

/* Fields that hold for a name in any scope but address. */
extern void po_resolve_name(const PoPolicySet *set, PoScope scope, const char *name,
							PoPolicyFields *fields);

/* Fields that hold for what an address is counted as. */
extern void po_resolve_address(const PoPolicySet *set, const char *key,
							   PoPolicyFields *fields);

/*
 * What an address is counted as: the CIDR of the policy that sets its limit, else
 * itself.  key has PO_PART_LEN bytes.
 */
extern void po_resolve_address_key(const PoPolicySet *set, const char *address,
								   const PoCidr *cidr, char *key);

#endif							/* PO_RESOLVE_H */
