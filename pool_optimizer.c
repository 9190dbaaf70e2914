/*
 * pool_optimizer.c
 *		Loads the module: settings, shared memory, hooks, the sampler.
 *
 * Who runs what:
 *		client backends		po_session.c (login, end of transaction, exit), the
 *							order handler of po_act.c, SQL functions
 *		sampler				po_sampler.c: collect, reclaim, account, recommend
 *		keeper				po_keeper.c: reads pool_policies when they changed
 *		pooler's visitor	po_pooler.c: asks PgBouncers, resizes their pools
 *		postmaster			po_state.c: reads the state file at start, writes it at
 *							a clean stop
 * What they share and under which lock is said in po_shmem.h.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "po_compat.h"
#include "po_guc.h"
#include "po_metrics.h"
#include "po_policy_rls.h"
#include "po_sampler.h"
#include "po_session.h"
#include "po_shmem.h"
#include "po_state.h"

#ifdef PG_MODULE_MAGIC_EXT
PG_MODULE_MAGIC_EXT(.name = "pool_optimizer", .version = PO_VERSION);
#else
PG_MODULE_MAGIC;
#endif

/* Shared memory has been laid out. */
static void
after_startup(void)
{
	if (IsUnderPostmaster)
		return;
	po_state_startup();
	po_metrics_startup();
}

void
_PG_init(void)
{
	/* Created or called without shared_preload_libraries: the functions say so. */
	if (!process_shared_preload_libraries_in_progress)
		return;
	po_guc_define();
	po_shmem_install(after_startup);
	po_session_install();
	po_policy_rls_install();
	po_sampler_register();
}
