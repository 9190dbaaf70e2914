/*
 * po_keeper.c
 *		The keeper: a short-lived worker that does what may block.
 *
 * The sampler starts it when a committed change waits to be read, and from time to
 * time in any case, for changes that wake nobody (replay, COMMIT PREPARED, triggers
 * that were disabled).  It reads the tables of policies, of alert rules and of acknowledged
 * findings, puts them in force, writes history and ends, so that it never holds up DROP DATABASE
 * for long.  If it fails, what was in force stays in force.
 */
#include "postgres.h"

#include <limits.h>

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "po_alert_row.h"
#include "po_alert_table.h"
#include "po_compat.h"
#include "po_finding_row.h"
#include "po_finding_table.h"
#include "po_guc.h"
#include "po_history_keep.h"
#include "po_history_table.h"
#include "po_inject.h"
#include "po_keeper.h"
#include "po_notify.h"
#include "po_policy_row.h"
#include "po_registry.h"
#include "po_worker.h"

#define PERIOD_US			(10 * PO_US_PER_S)
#define BACKOFF_MIN_US		(PO_US_PER_S)
#define BACKOFF_MAX_US		(60 * PO_US_PER_S)
#define NOTIFY_EVERY_US		PO_US_PER_S /* whoever listens hears of what came meanwhile */
#define LOCK_TIMEOUT		"2s"

/* ---------- in the sampler ---------- */

static BackgroundWorkerHandle *handle = NULL;
static TimestampTz not_before = 0;
static TimestampTz last_start = 0;
static int64 backoff_us = 0;
static uint64 applied_at_start = 0;
static TimestampTz notify_not_before = 0;
static int64 notify_backoff_us = 0;
static uint64 notified_at_start = 0;
static bool notifies = false;	/* what the one that runs was started for */
static bool reads = false;

static void
back_off(TimestampTz now)
{
	backoff_us = backoff_us == 0 ? BACKOFF_MIN_US : Min(backoff_us * 2, BACKOFF_MAX_US);
	not_before = now + backoff_us;
}

/* Until a keeper is to tell listeners again: each that told none makes it later. */
static void
rest_from_telling(TimestampTz now, bool has_told)
{
	notify_backoff_us = has_told ? 0 :
		Min(Max(notify_backoff_us * 2, BACKOFF_MIN_US), BACKOFF_MAX_US);
	notify_not_before = now + Max(notify_backoff_us, NOTIFY_EVERY_US);
}

/* Has the last one ended?  Then look how. */
static bool
keeper_ended(TimestampTz now)
{
	if (handle == NULL)
		return true;
	if (!po_worker_has_ended(&handle))
		return false;
	if (notifies)
	{
		notifies = false;
		rest_from_telling(now, po_notify_position() != notified_at_start);
	}
	/* Success always applies something: the request counted before it started. */
	if (!reads)
		return true;
	if (pg_atomic_read_u64(&po_shared->changes_applied) > applied_at_start)
		backoff_us = 0;
	else
		back_off(now);
	return true;
}

/* Not yet, unless the clock was set back. */
static bool
is_early(TimestampTz not_yet, TimestampTz now)
{
	return now < not_yet && not_yet - now <= BACKOFF_MAX_US;
}

/* Is there a reason to read the tables? */
static bool
tables_are_due(TimestampTz now)
{
	bool		pending = pg_atomic_read_u64(&po_shared->changes_requested) >
		pg_atomic_read_u64(&po_shared->changes_applied);

	if (backoff_us > 0 && is_early(not_before, now))
		return false;
	if (!pending && now - last_start < PERIOD_US && now >= last_start)
		return false;
	if (!pending)
		pg_atomic_fetch_add_u64(&po_shared->changes_requested, 1);
	return true;
}

void
po_keeper_manage(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!keeper_ended(now))
		return;
	reads = tables_are_due(now);
	notifies = po_notify_is_due() && !is_early(notify_not_before, now);
	if (!reads && !notifies)
		return;
	/* Listeners must not wait for a table that cannot be read. */
	pg_atomic_write_u32(&po_shared->keeper_reads, reads ? 1 : 0);
	applied_at_start = pg_atomic_read_u64(&po_shared->changes_applied);
	notified_at_start = po_notify_position();
	last_start = reads ? now : last_start;
	if (!po_worker_start("keeper", "po_keeper_main", BGWORKER_BACKEND_DATABASE_CONNECTION,
						 &handle))
	{
		po_shmem_set_error("no background worker slot is free for the keeper: raise "
						   "max_worker_processes");
		/* One that was only to tell, of many a minute, must not put off the reading. */
		if (reads)
			back_off(now);
		if (notifies)
			rest_from_telling(now, false);
		notifies = false;
	}
}

void
po_keeper_reload(void)
{
	backoff_us = 0;
	notify_not_before = 0;
	pg_atomic_fetch_add_u64(&po_shared->changes_requested, 1);
}

/* ---------- in the keeper ---------- */

static emit_log_hook_type prev_emit_log_hook = NULL;
static char failure[PO_ERROR_LEN];

/* Remembers what the keeper dies of, be it while it connects. */
static void
remember_failure(ErrorData *edata)
{
	if (edata->elevel >= ERROR && edata->message != NULL)
		snprintf(failure, sizeof(failure), "keeper: %s", edata->message);
	if (prev_emit_log_hook)
		prev_emit_log_hook(edata);
}

static void
on_exit_keeper(int code, Datum arg)
{
	uint32		me = (uint32) MyProcPid;

	(void) code;
	(void) arg;
	(void) pg_atomic_compare_exchange_u32(&po_shared->keeper_pid, &me, 0);
	if (failure[0] != '\0')
		po_shmem_set_error(failure);
}

/* One keeper at a time; one whose sampler has ended may still be at work. */
static void
claim_keeper(void)
{
	uint32		none = 0;

	before_shmem_exit(on_exit_keeper, 0);
	if (!pg_atomic_compare_exchange_u32(&po_shared->keeper_pid, &none, (uint32) MyProcPid))
		proc_exit(1);
}

/* What is read; in the keeper's own memory. */
static PoPolicy *policies = NULL;
static int	n_policies = 0;

/* The same as the last time?  What is wrong with history may follow. */
static bool
is_told(const char *problem)
{
	char		last[PO_ERROR_LEN];
	TimestampTz at;

	po_shmem_get_error(last, sizeof(last), &at);
	return strncmp(last, problem, strlen(problem)) == 0;
}

/* What is wrong with history comes after a problem that is there already. */
static void
add_history_problem(char *problem, Size size, const char *message)
{
	Size		used = strlen(problem);

	snprintf(problem + used, size - used, "%s" PO_HISTORY_TABLE_NAME ": %s",
			 used > 0 ? "; " : "", message);
}

/* Was this told the last time, with something that is wrong with history? */
static bool
history_failed(const char *problem)
{
	char		expected[PO_ERROR_LEN];

	strlcpy(expected, problem, sizeof(expected));
	add_history_problem(expected, sizeof(expected), "");
	return is_told(expected);
}

/* A table of the extension, locked, with a snapshot of its rows that is pushed. */
static Relation
open_table(Oid schema, const char *name)
{
	Oid			relid = get_relname_relid(name, schema);
	Relation	table;

	if (!OidIsValid(relid) || !po_policy_row_is_ours(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" is missing in database \"%s\"", name,
						po_guc_database)));
	table = table_open(relid, AccessShareLock);
	if (table->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", name)));
	/* Not before the lock: rows rewritten while we waited for it would be invisible. */
	PushActiveSnapshot(GetLatestSnapshot());
	return table;
}

static void
close_table(Relation table)
{
	PopActiveSnapshot();
	table_close(table, AccessShareLock);
}

static void
read_table(Oid schema, char *problem, Size size)
{
	Relation	table = open_table(schema, PO_POLICY_TABLE);
	int			n_bad;

	n_policies = po_policy_row_read_all(table, GetActiveSnapshot(), policies,
										po_shared->n_policies, &n_bad, problem, size);
	if (n_bad > 0 && !is_told(problem))
		ereport(LOG,
				(errmsg("pool_optimizer leaves out %d %s: %s", n_bad,
						n_bad == 1 ? "policy" : "policies", problem)));
	close_table(table);
}

/* The rules of alerts; without the extension there are none. */
static void
read_and_publish_rules(char *problem, Size size)
{
	PoAlertRule *rules = MemoryContextAllocHuge(TopMemoryContext, po_shared->n_alert_rules *
												sizeof(PoAlertRule));
	char		own_problem[PO_ERROR_LEN] = "";
	int			n = 0;
	int			n_bad = 0;
	Oid			schema;

	StartTransactionCommand();
	schema = po_history_table_schema();
	if (OidIsValid(schema))
	{
		Relation	table = open_table(schema, PO_ALERT_RULE_TABLE);

		n = po_alert_row_read_all(table, GetActiveSnapshot(), rules,
								  po_shared->n_alert_rules, &n_bad, own_problem,
								  sizeof(own_problem));
		close_table(table);
	}
	CommitTransactionCommand();
	if (n_bad > 0 && problem[0] == '\0')
	{
		strlcpy(problem, own_problem, size);
		if (!is_told(problem))
			ereport(LOG,
					(errmsg("pool_optimizer leaves out %d alert %s: %s", n_bad,
							n_bad == 1 ? "rule" : "rules", own_problem)));
	}
	if (po_alert_table_put_rules(rules, n) && n > 0)
		ereport(LOG,
				(errmsg("pool_optimizer: %d alert %s in force", n,
						n == 1 ? "rule is" : "rules are")));
}

/* What is acknowledged of findings, which alerts leave out. */
static void
read_and_publish_acknowledged(char *problem, Size size)
{
	int			max = po_finding_table->n_findings;
	PoAcknowledged *rows = MemoryContextAllocHuge(TopMemoryContext,
												  max * sizeof(PoAcknowledged));
	int			n = 0;
	int			n_bad = 0;
	Oid			schema;

	StartTransactionCommand();
	schema = po_history_table_schema();
	if (OidIsValid(schema))
	{
		Relation	table = open_table(schema, PO_ACKNOWLEDGED_TABLE);

		n = po_finding_row_read_all(table, GetActiveSnapshot(), rows, max, &n_bad);
		close_table(table);
	}
	CommitTransactionCommand();
	if (n_bad > 0 && problem[0] == '\0')
	{
		snprintf(problem, size, "%d of the acknowledged findings have no room and may be raised "
				 "as alerts: delete what is old from pool_acknowledged, or raise "
				 "pool_optimizer.max_findings", n_bad);
		if (!is_told(problem))
			ereport(LOG, (errmsg("pool_optimizer: %s", problem)));
	}
	po_finding_table_put_acknowledged(rows, n);
}

/*
 * Reads what is in the table; problem "" = all is well.  Without the extension there are
 * no policies; an extension whose table cannot be read well is an error, after which
 * the last ones stay in force.
 */
static void
read_policies(char *problem, Size size)
{
	Oid			schema;
	uint32		found_before = pg_atomic_read_u32(&po_shared->extension_found);

	n_policies = 0;
	problem[0] = '\0';
	StartTransactionCommand();
	schema = po_history_table_schema();
	if (OidIsValid(schema))
		read_table(schema, problem, size);
	else
	{
		snprintf(problem, size, "extension pool_optimizer is not in database \"%s\" "
				 "(pool_optimizer.database): CREATE EXTENSION there to set policies",
				 po_guc_database);
		if (found_before != 1)
			ereport(LOG, (errmsg("pool_optimizer works without policies: %s", problem)));
	}
	pg_atomic_write_u32(&po_shared->extension_found, OidIsValid(schema) ? 2 : 1);
	CommitTransactionCommand();
}

/* What is wrong although policies were put in force; "" = nothing. */
static void
describe_published(const PoPublished *published, char *problem, Size size)
{
	if (problem[0] != '\0')
		return;
	if (published->n_no_room > 0)
		snprintf(problem, size, "policies of %d %s have no effect: they do not fit in "
				 "pool_optimizer.max_tenants", published->n_no_room,
				 published->n_no_room == 1 ? "tenant" : "tenants");
	else if (published->guarantee_scale < 1.0)
		snprintf(problem, size, "the guarantees together exceed the usable connections less "
				 "max_waiting: all are scaled down to %.0f %%",
				 published->guarantee_scale * 100);
}

/* Reads until nothing changed in the meantime; what was requested up to then. */
static uint64
read_and_publish(char *problem, Size size)
{
	PoPublished published;
	uint64		requested;

	do
	{
		CHECK_FOR_INTERRUPTS();
		/* First: what is requested from now on may be missed. */
		requested = pg_atomic_read_u64(&po_shared->changes_requested);
		po_inject("keeper_read");
		read_policies(problem, size);
	} while (!po_registry_publish(policies, n_policies, requested, &published));
	po_inject("keeper_publish");
	po_policy_row_tell_published(&published);
	describe_published(&published, problem, size);
	return requested;
}

/* What ALTER DATABASE ... SET, which the database's owner may do, must not change for
 * us; a setting that this major does not know is skipped. */
static void
fix_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"lock_timeout", LOCK_TIMEOUT},
		/* Policies must not wait for a standby that history waits for. */
		{"synchronous_commit", "local"},
		{"statement_timeout", "0"},
		{"transaction_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"default_transaction_read_only", "off"}
	};

	for (int i = 0; i < lengthof(settings); i++)
	{
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	}
}

/* What goes wrong with it must not keep the tables from being read. */
static void
notify_listeners(void)
{
	MemoryContext context = CurrentMemoryContext;

	pgstat_report_activity(STATE_RUNNING, "notifying listeners");
	PG_TRY();
	{
		po_notify_deliver();
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(context);
		po_shmem_set_error(failure);
		failure[0] = '\0';
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
}

/* What failed is tried again by the next keeper; policies are in force already. */
static void
keep_history(char *problem, Size size)
{
	MemoryContext memory = CurrentMemoryContext;

	PG_TRY();
	{
		po_inject("keeper_history");
		po_history_keep();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(memory);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		add_history_problem(problem, size, error->message);
		if (!is_told(problem))
			ereport(LOG, (errmsg("pool_optimizer could not keep history: %s", error->message)));
		FreeErrorData(error);
		/* A keeper that is to end does, by the next interrupt. */
	}
	PG_END_TRY();
}

void
po_keeper_main(Datum arg)
{
	uint64		requested;
	char		problem[PO_ERROR_LEN];

	(void) arg;
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = remember_failure;
	claim_keeper();

	po_inject("keeper_start");
	BackgroundWorkerInitializeConnection(po_guc_database, NULL, 0);
	fix_settings();
	notify_listeners();
	if (pg_atomic_read_u32(&po_shared->keeper_reads) == 0)
		proc_exit(0);
	pgstat_report_activity(STATE_RUNNING, "reading " PO_POLICY_TABLE);

	policies = MemoryContextAllocHuge(TopMemoryContext,
									  po_shared->n_policies * sizeof(PoPolicy));
	requested = read_and_publish(problem, sizeof(problem));
	/* After the policies, which must not wait for these. */
	pgstat_report_activity(STATE_RUNNING, "reading " PO_ALERT_RULE_TABLE);
	read_and_publish_rules(problem, sizeof(problem));
	pgstat_report_activity(STATE_RUNNING, "reading " PO_ACKNOWLEDGED_TABLE);
	read_and_publish_acknowledged(problem, sizeof(problem));
	/* What is wrong with history is told until it is known to be well again. */
	if (!history_failed(problem))
		po_shmem_set_error(problem);
	pg_atomic_write_u64(&po_shared->changes_applied, requested);
	po_shmem_wake_sampler();
	/* Also while something is wrong with policies: that may last as long as it is meant to. */
	if (pg_atomic_read_u32(&po_shared->extension_found) == 2)
	{
		pgstat_report_activity(STATE_RUNNING, "writing " PO_HISTORY_TABLE_NAME);
		keep_history(problem, sizeof(problem));
		po_shmem_set_error(problem);
	}
	proc_exit(0);
}
