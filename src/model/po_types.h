/*
 * po_types.h
 *		The vocabulary of pool_optimizer, in plain C.
 *
 * Nothing here or in any other file of src/model includes a server header,
 * allocates memory, reads a clock or writes a log: time comes in as int64_t
 * microseconds, memory comes from the caller and failures go out as an enum.
 *
 *	- A tenant is a name computed from a session by a template.
 *	- A session is one client backend.
 *	- A policy is a row that sets some fields for the names it matches.
 *	- A scope says what a quota counts.
 *	- Busy is a session that executes a statement or is in a transaction.
 */
#ifndef PO_TYPES_H
#define PO_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes including the terminating NUL. */
#define PO_NAME_LEN		256		/* name of a tenant, and of a pattern */
#define PO_PART_LEN		64		/* role, database, application, label, address */

#define PO_UNLIMITED	(-1)

#define PO_US_PER_MS	INT64_C(1000)
#define PO_US_PER_S		INT64_C(1000000)

/* Ordered: the one in force is the lower of two. */
typedef enum PoMode
{
	PO_MODE_OFF,
	PO_MODE_OBSERVE,
	PO_MODE_ENFORCE
} PoMode;

typedef enum PoScope
{
	PO_SCOPE_TENANT,
	PO_SCOPE_DATABASE,
	PO_SCOPE_ROLE,
	PO_SCOPE_ADDRESS,
	PO_SCOPE_APPLICATION,
	PO_SCOPE_CLUSTER
} PoScope;

#define PO_N_SCOPES		6

typedef enum PoOnFull
{
	PO_ON_FULL_REJECT,
	PO_ON_FULL_WAIT,
	PO_ON_FULL_EVICT_IDLE
} PoOnFull;

typedef enum PoState
{
	PO_STATE_UNKNOWN,			/* track_activities is off, or not reported yet */
	PO_STATE_IDLE,
	PO_STATE_ACTIVE,
	PO_STATE_IDLE_IN_TRANSACTION,
	PO_STATE_ABORTED_IN_TRANSACTION
} PoState;

/* What the time of a busy session goes to. */
typedef enum PoWait
{
	PO_WAIT_CPU,
	PO_WAIT_IO,
	PO_WAIT_LOCK,
	PO_WAIT_CLIENT,
	PO_WAIT_OTHER
} PoWait;

#define PO_N_WAITS		5

/* What a session was found to be; from PO_CLASS_IDLE_IN_TRANSACTION on, a leak. */
typedef enum PoClass
{
	PO_CLASS_UNKNOWN,
	PO_CLASS_BUSY,
	PO_CLASS_IDLE,
	PO_CLASS_SURPLUS,
	PO_CLASS_IDLE_IN_TRANSACTION,
	PO_CLASS_ABORTED_IN_TRANSACTION,
	PO_CLASS_IDLE_TOO_LONG,
	PO_CLASS_NEVER_USED,
	PO_CLASS_STUCK_IN_CLIENT_READ,
	PO_CLASS_LIFETIME,
	PO_CLASS_BEYOND_NORM,
	PO_CLASS_GROWTH
} PoClass;

#define PO_CLASS_IS_LEAK(c)		((c) >= PO_CLASS_IDLE_IN_TRANSACTION)

static inline PoMode
po_mode_lower(PoMode a, PoMode b)
{
	return a < b ? a : b;
}

#endif							/* PO_TYPES_H */
