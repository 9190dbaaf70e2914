/*
 * po_compat.h
 *		Every difference between the supported majors of PostgreSQL, 15 to 19.
 *
 * Code is written for the newest API, older majors adapt here; this is the only
 * file with PG_VERSION_NUM.
 */
#ifndef PO_COMPAT_H
#define PO_COMPAT_H

#include "postgres.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/backend_status.h"
#include "utils/catcache.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"				/* a part of postgres.h before */
#endif

#if PG_VERSION_NUM < 150000
#error "pool_optimizer needs PostgreSQL 15 or later"
#endif

/* 16: core declares _PG_init. */
#if PG_VERSION_NUM < 160000
extern PGDLLEXPORT void _PG_init(void);
#endif

/* 18: noreturn comes first. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 19: pqsignal takes handlers of another type. */
#if PG_VERSION_NUM < 190000
#define PG_SIG_IGN SIG_IGN
#endif

/* 16: connections reserved for more than superusers. */
static inline int
po_compat_reserved_connections(void)
{
#if PG_VERSION_NUM >= 160000
	return SuperuserReservedConnections + ReservedConnections;
#else
	return ReservedBackends;
#endif
}

/* Those of them that a role may use that has the privileges of pg_use_reserved_connections. */
static inline int
po_compat_connections_for_roles(void)
{
#if PG_VERSION_NUM >= 160000
	return ReservedConnections;
#else
	return 0;
#endif
}

/*
 * Is it such a role?  Not by core's has_privs_of_role, which remembers for the rest of the session
 * what it finds, and at the login does not know yet whether the role owns the database.
 */
static inline bool
po_compat_may_use_reserved(Oid role)
{
#if PG_VERSION_NUM >= 160000
	List	   *roles = list_make1_oid(role);
	ListCell   *cell;

	if (ReservedConnections == 0)
		return false;
	foreach(cell, roles)
	{
		CatCList   *members = SearchSysCacheList1(AUTHMEMMEMROLE,
												  ObjectIdGetDatum(lfirst_oid(cell)));

		for (int i = 0; i < members->n_members; i++)
		{
			Form_pg_auth_members m =
				(Form_pg_auth_members) GETSTRUCT(&members->members[i]->tuple);

			if (m->inherit_option)
				roles = list_append_unique_oid(roles, m->roleid);
		}
		ReleaseCatCacheList(members);
	}
	return list_member_oid(roles, ROLE_PG_USE_RESERVED_CONNECTIONS);
#else
	(void) role;
	return false;
#endif
}

/* 17: backend ids, from 1, become process numbers, from 0. */
static inline int
po_compat_my_slot(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyBackendId - 1;
#endif
}

static inline int
po_compat_my_procno(void)
{
#if PG_VERSION_NUM >= 170000
	return GetNumberFromPGProc(MyProc);
#else
	return MyProc->pgprocno;
#endif
}

/* 19: flags for the scan. */
static inline TableScanDesc
po_compat_beginscan(Relation rel, Snapshot snapshot)
{
#if PG_VERSION_NUM >= 190000
	return table_beginscan(rel, snapshot, 0, NULL, 0);
#else
	return table_beginscan(rel, snapshot, 0, NULL);
#endif
}

/* 16: what a check hook keeps is allocated in the memory of settings. */
static inline void *
po_compat_guc_malloc(Size size)
{
#if PG_VERSION_NUM >= 160000
	return guc_malloc(LOG, size);
#else
	return malloc(size);
#endif
}

/* 18: a column may be generated when it is read; nothing of it is in the tuple. */
#if PG_VERSION_NUM >= 180000
#define po_compat_is_virtual(attribute) \
	((attribute)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define po_compat_is_virtual(attribute) false
#endif

/* 18: STATE_STARTING. */
static inline bool
po_compat_is_starting(BackendState state)
{
#if PG_VERSION_NUM >= 180000
	return state == STATE_STARTING;
#else
	(void) state;
	return false;
#endif
}

/* 16: jumbling has a header of its own. */
#if PG_VERSION_NUM >= 160000
#include "nodes/queryjumble.h"
#else
#include "utils/queryjumble.h"
#endif

/* 18: without execute_once. */
#if PG_VERSION_NUM >= 180000
#define PO_COMPAT_RUN_PARAMETERS \
	QueryDesc *queryDesc, ScanDirection direction, uint64 count
#define PO_COMPAT_RUN_ARGUMENTS		queryDesc, direction, count
#else
#define PO_COMPAT_RUN_PARAMETERS \
	QueryDesc *queryDesc, ScanDirection direction, uint64 count, bool execute_once
#define PO_COMPAT_RUN_ARGUMENTS		queryDesc, direction, count, execute_once
#endif

/* 17: named wait events; the name is looked up once per process. */
#if PG_VERSION_NUM < 170000
#include "utils/wait_event.h"
#define po_compat_wait_event(name) PG_WAIT_EXTENSION
#else
#include "utils/wait_event.h"
#define po_compat_wait_event(name) WaitEventExtensionNew(name)
#endif

/* 17: transactions may be limited in time.  The login hook runs within one. */
static inline void
po_compat_stop_transaction_timeout(void)
{
#if PG_VERSION_NUM >= 170000
	if (TransactionTimeout > 0)
		disable_timeout(TRANSACTION_TIMEOUT, false);
#endif
}

/* It has its whole time from now on. */
static inline void
po_compat_restart_transaction_timeout(void)
{
#if PG_VERSION_NUM >= 170000
	if (TransactionTimeout > 0)
		enable_timeout_after(TRANSACTION_TIMEOUT, TransactionTimeout);
#endif
}

/* 17 and 19: the class of waits for a buffer has another name each. */
#if PG_VERSION_NUM >= 190000
#define PO_COMPAT_WAIT_BUFFER PG_WAIT_BUFFER
#elif PG_VERSION_NUM >= 170000
#define PO_COMPAT_WAIT_BUFFER PG_WAIT_BUFFERPIN
#else
#define PO_COMPAT_WAIT_BUFFER PG_WAIT_BUFFER_PIN
#endif

/* 19: log_min_messages is an array by type of process. */
static inline bool
po_compat_errors_are_logged(void)
{
#if PG_VERSION_NUM >= 190000
	return log_min_messages[MyBackendType] <= ERROR;
#else
	return log_min_messages <= ERROR;
#endif
}

/* 19: the hook that sees what the planner knows of a relation is another one. */
#if PG_VERSION_NUM >= 190000
#include "optimizer/pathnode.h"
#define po_compat_relation_hook			build_simple_rel_hook
#define po_compat_relation_hook_type	build_simple_rel_hook_type
#define PO_COMPAT_RELATION_HOOK(name) \
static void \
name(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte)
#define po_compat_hooked_entry			(rte)
#define po_compat_call_relation_hook(previous) \
	do { \
		if (previous) \
			(previous) (root, rel, rte); \
	} while (0)
#else
#include "optimizer/plancat.h"
#include "parser/parsetree.h"
#define po_compat_relation_hook			get_relation_info_hook
#define po_compat_relation_hook_type	get_relation_info_hook_type
#define PO_COMPAT_RELATION_HOOK(name) \
static void \
name(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
#define po_compat_hooked_entry			planner_rt_fetch(rel->relid, root)
#define po_compat_call_relation_hook(previous) \
	do { \
		if (previous) \
			(previous) (root, relid, inhparent, rel); \
	} while (0)
#endif

/* 16: SHM_QUEUE becomes dlist. */
#if PG_VERSION_NUM >= 160000
#define po_compat_foreach_proclock(proclock, proc, partition) \
	for (dlist_node *po_n_ = (proc)->myProcLocks[partition].head.next; \
		 po_n_ != NULL && po_n_ != &(proc)->myProcLocks[partition].head && \
		 ((proclock) = dlist_container(PROCLOCK, procLink, po_n_)) != NULL; \
		 po_n_ = po_n_->next)
#else
#include "storage/shmem.h"
#define po_compat_foreach_proclock(proclock, proc, partition) \
	for ((proclock) = (PROCLOCK *) \
			SHMQueueNext(&(proc)->myProcLocks[partition], &(proc)->myProcLocks[partition], \
						 offsetof(PROCLOCK, procLink)); \
		 (proclock) != NULL; \
		 (proclock) = (PROCLOCK *) \
			SHMQueueNext(&(proc)->myProcLocks[partition], &(proclock)->procLink, \
						 offsetof(PROCLOCK, procLink)))
#endif

/* The same for the PROCLOCKs of a lock. */
#if PG_VERSION_NUM >= 160000
#define po_compat_foreach_holder(proclock, lock) \
	for (dlist_node *po_n_ = (lock)->procLocks.head.next; \
		 po_n_ != NULL && po_n_ != &(lock)->procLocks.head && \
		 ((proclock) = dlist_container(PROCLOCK, lockLink, po_n_)) != NULL; \
		 po_n_ = po_n_->next)
#else
#define po_compat_foreach_holder(proclock, lock) \
	for ((proclock) = (PROCLOCK *) \
			SHMQueueNext(&(lock)->procLocks, &(lock)->procLocks, offsetof(PROCLOCK, lockLink)); \
		 (proclock) != NULL; \
		 (proclock) = (PROCLOCK *) \
			SHMQueueNext(&(lock)->procLocks, &(proclock)->lockLink, \
						 offsetof(PROCLOCK, lockLink)))
#endif

/* 17: as in po_compat_my_slot, of another process; no slot if it is -1 or too large. */
static inline int
po_compat_slot_of(const PGPROC *proc)
{
#if PG_VERSION_NUM >= 170000
	return GetNumberFromPGProc(proc);
#else
	return proc->backendId - 1;
#endif
}

#endif							/* PO_COMPAT_H */
