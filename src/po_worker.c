/*
 * po_worker.c
 *		What our background workers have in common.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "po_worker.h"

void
po_worker_describe(BackgroundWorker *worker, const char *role, const char *function,
				   int flags, int restart_time)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | flags;
	worker->bgw_start_time = BgWorkerStart_ConsistentState;
	worker->bgw_restart_time = restart_time;
	strlcpy(worker->bgw_library_name, "pool_optimizer", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, function, sizeof(worker->bgw_function_name));
	snprintf(worker->bgw_name, sizeof(worker->bgw_name), "pool_optimizer %s", role);
	strlcpy(worker->bgw_type, worker->bgw_name, sizeof(worker->bgw_type));
}

bool
po_worker_start(const char *role, const char *function, int flags,
				BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;
	MemoryContext before;
	bool		started;

	po_worker_describe(&worker, role, function, flags, BGW_NEVER_RESTART);
	worker.bgw_notify_pid = MyProcPid;
	/* The handle must outlive the caller's round. */
	before = MemoryContextSwitchTo(TopMemoryContext);
	started = RegisterDynamicBackgroundWorker(&worker, handle);
	MemoryContextSwitchTo(before);
	if (!started)
		*handle = NULL;
	return started;
}

bool
po_worker_has_ended(BackgroundWorkerHandle **handle)
{
	pid_t		pid;

	if (*handle == NULL)
		return true;
	if (GetBackgroundWorkerPid(*handle, &pid) != BGWH_STOPPED)
		return false;
	pfree(*handle);
	*handle = NULL;
	return true;
}

void *
po_worker_allocate(Size n, Size size)
{
	return MemoryContextAllocExtended(TopMemoryContext, mul_size(n, size),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}
