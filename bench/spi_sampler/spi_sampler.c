/*
 * spi_sampler.c
 *		The usual way to watch sessions: a worker that selects from pg_stat_activity.
 *
 * A yardstick for bench/run.  It does what such workers do as cheaply as it can be
 * done by SQL: the statement is planned once, and names only the columns that a
 * decision about a session needs.
 *
 * local_sampler reads the same without SQL, through core's interface for modules,
 * which copies every entry.  bare_sampler wakes up as often and does nothing: what it
 * costs is the part of any sampler that no code can save.
 *
 * All tell how many passes they have made in their own application_name, which
 * costs next to nothing and needs no SQL objects.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

PG_MODULE_MAGIC;

#if PG_VERSION_NUM < 160000
#define pgstat_get_local_beentry_by_index pgstat_fetch_stat_local_beentry
#endif

static int	interval_ms = 100;

static const char query[] =
"SELECT pid, datname, usename, application_name, client_addr, backend_start, xact_start, "
"state_change, wait_event_type, wait_event, state "
"FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'";

void		_PG_init(void);
PGDLLEXPORT void spi_sampler_main(Datum arg);
PGDLLEXPORT void local_sampler_main(Datum arg);
PGDLLEXPORT void bare_sampler_main(Datum arg);

static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

static SPIPlanPtr
prepare(void)
{
	SPIPlanPtr	plan;

	begin();
	plan = SPI_prepare(query, 0, NULL);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "cannot prepare: %s", SPI_result_code_string(SPI_result));
	end();
	return plan;
}

static void
attach(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection("postgres", NULL, 0);
}

/* The n-th pass is over: tell it, and wait for the next. */
static void
wait_for_next(long n)
{
	char		passes[32];

	snprintf(passes, sizeof(passes), "%ld", n);
	pgstat_report_appname(passes);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 interval_ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

void
spi_sampler_main(Datum arg)
{
	SPIPlanPtr	plan;

	(void) arg;
	attach();
	plan = prepare();
	for (long n = 1;; n++)
	{
		begin();
		if (SPI_execute_plan(plan, NULL, NULL, true, 0) != SPI_OK_SELECT)
			elog(ERROR, "cannot read pg_stat_activity");
		end();
		wait_for_next(n);
	}
}

void
local_sampler_main(Datum arg)
{
	(void) arg;
	attach();
	for (long n = 1;; n++)
	{
		volatile int n_idle = 0;

		pgstat_clear_snapshot();
		for (int i = 1; i <= pgstat_fetch_stat_numbackends(); i++)
			n_idle += pgstat_get_local_beentry_by_index(i)->backendStatus.st_state == STATE_IDLE;
		wait_for_next(n);
	}
}

void
bare_sampler_main(Datum arg)
{
	(void) arg;
	attach();
	for (long n = 1;; n++)
		wait_for_next(n);
}

static void
register_worker(const char *name, const char *function)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "spi_sampler", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, function, sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, name, sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, name, sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

void
_PG_init(void)
{
	DefineCustomIntVariable("spi_sampler.interval", "Time between two passes.", NULL,
							&interval_ms, 100, 1, 60000, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	register_worker("spi_sampler", "spi_sampler_main");
	register_worker("local_sampler", "local_sampler_main");
	register_worker("bare_sampler", "bare_sampler_main");
}
