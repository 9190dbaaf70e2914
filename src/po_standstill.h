/*
 * po_standstill.h
 *		Pools that stand still because their clients wait for each other.
 *
 * A client that needs several connections at once, and has some of them, waits for the
 * others with its transactions open.  If enough clients do, all connections of a pool are
 * held by clients that wait for one more, and nobody goes on.  A pool is safe from that if
 * it has threads x (connections each of them needs - 1) + 1 (HikariCP, "About Pool Sizing").
 *
 * The server sees neither threads nor what they need.  What it can see, together with the
 * poolers, is the standstill itself: every session of a tenant idle in a transaction, none of
 * them having done anything for STANDSTILL_US, and a client that has waited at the pooler for
 * as long.  Whatever the cause, that size was too small, so more is the floor for some time.
 * Pools within the clients' own processes show nothing of those who wait: there the policy's
 * min_size is what one can set.
 */
#ifndef PO_STANDSTILL_H
#define PO_STANDSTILL_H

#include "po_shmem.h"

/* By the sampler, rarely: looks at tenants for whose connections clients have waited long. */
extern void po_standstill_check(int64 ticks);

#endif							/* PO_STANDSTILL_H */
