/*
 * po_guc.c
 *		The settings of pool_optimizer: units, bounds, check hooks.
 *
 * Check hooks only check.  Everything is read afresh wherever it is used, so a
 * reload needs no assign hook, but for what core has to be told.
 */
#include "postgres.h"

#include <limits.h>

#include "libpq-fe.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "tcop/pquery.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "model/po_listing.h"
#include "model/po_event_kind.h"
#include "model/po_names.h"
#include "model/po_pooler_rows.h"
#include "po_compat.h"
#include "po_guc.h"
#include "po_inject.h"

int			po_guc_mode = PO_MODE_OBSERVE;
char	   *po_guc_tenant = NULL;
char	   *po_guc_database = NULL;
char	   *po_guc_label = NULL;
char	   *po_guc_exempt_roles = NULL;
int			po_guc_sample_interval = 100;
int			po_guc_max_tenants = 1000;
int			po_guc_max_waiting = -1;
int			po_guc_history_events = 1000;
int			po_guc_metrics_tenants = 20;
int			po_guc_history_second_rows = -1;
int			po_guc_history_ten_second_rows = -1;
int			po_guc_history_minute_rows = -1;
int			po_guc_history_retention = 90 * 24 * 60;
int			po_guc_warning_threshold = 80;
int			po_guc_critical_threshold = 90;
int			po_guc_max_terminations_per_minute = 600;
bool		po_guc_spare_stateful = true;
bool		po_guc_track_statements = true;
bool		po_guc_track_findings = true;
int			po_guc_max_statements = 5000;
int			po_guc_max_findings = 1000;
int			po_guc_slow_statement = 500;
int			po_guc_very_slow_statement = 1000;
int			po_guc_loop_calls = 10;
int64		po_guc_slow_us;
uint64		po_guc_wide_rows;
char	   *po_guc_pgbouncer_conninfo = NULL;
char	   *po_guc_pgbouncer_include = NULL;
char	   *po_guc_notify_channel = NULL;
int			po_guc_notify_rate = 60;
uint32		po_guc_notify_kinds = 0;
int			po_guc_log_interval = 0;
static char *notify_events = NULL;

static const struct config_enum_entry mode_options[] = {
	{"off", PO_MODE_OFF, false},
	{"observe", PO_MODE_OBSERVE, false},
	{"enforce", PO_MODE_ENFORCE, false},
	{NULL, 0, false}
};

static bool
check_tenant(char **newval, void **extra, GucSource source)
{
	char		escape = '\0';

	(void) extra;
	(void) source;
	switch (po_template_check(*newval, &escape))
	{
		case PO_TEMPLATE_OK:
			return true;
		case PO_TEMPLATE_EMPTY:
			GUC_check_errdetail("The template must not be empty.");
			break;
		case PO_TEMPLATE_TRAILING:
			GUC_check_errdetail("The template ends in \"%%\" without a letter.");
			break;
		case PO_TEMPLATE_UNKNOWN:
			GUC_check_errdetail("The template has the unknown escape \"%%%c\".", escape);
			break;
	}
	GUC_check_errhint("Escapes are %%u (role), %%d (database), %%a (application_name), "
					  "%%h (client address), %%L (label) and %%%%.");
	return false;
}

static bool
check_database(char **newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if (**newval == '\0')
	{
		GUC_check_errdetail("A database name is needed.");
		return false;
	}
	return true;
}

static bool
check_exempt_roles(char **newval, void **extra, GucSource source)
{
	char	   *list = pstrdup(*newval);
	List	   *names = NIL;
	bool		ok = SplitIdentifierString(list, ',', &names);

	(void) extra;
	(void) source;
	if (!ok)
		GUC_check_errdetail("List syntax is invalid.");
	list_free(names);
	pfree(list);
	return ok;
}

/* What is wrong with one connection string, NULL if nothing is; never its text, nor
 * libpq's message, which quotes from it. */
static const char *
conninfo_problem(const char *list, const PoPoolerEntry *entry)
{
	char	   *text = pnstrdup(list + entry->start, entry->length);
	PQconninfoOption *options = PQconninfoParse(text, NULL);
	const char *problem = NULL;

	pfree(text);
	if (options == NULL)
		return "it is not a connection string of libpq";
	for (PQconninfoOption *o = options; o->keyword != NULL; o++)
	{
		if (o->val != NULL && (po_pooler_option_is_secret(o->keyword) ||
							   (o->dispchar != NULL && o->dispchar[0] == '*')))
			problem = "it has a password or another secret";
	}
	PQconninfoFree(options);
	return problem;
}

static const char *
conninfo_list_problem(const char *list, int *at)
{
	PoPoolerEntry entry[PO_POOLER_MOST];
	int			n = po_pooler_split(list, entry);
	const char *problem = NULL;

	*at = 0;
	if (n < 0)
		return "there are more than 16, or a quote is not closed";
	for (int i = 0; i < n && problem == NULL; i++)
	{
		problem = conninfo_problem(list, &entry[i]);
		*at = i + 1;
	}
	return problem;
}

#define CONNINFO		"pool_optimizer.pgbouncer_conninfo"
#define CONNINFO_HINT	"Passwords belong in a file: see passfile= and service= of libpq."

/* It runs as a statement of its own or fails, so the portal is its. */
static bool
is_alter_system(void)
{
	return ActivePortal != NULL && ActivePortal->commandTag == CMDTAG_ALTER_SYSTEM;
}

/*
 * Core's own message would quote the value, and the log the statement, ALTER SYSTEM, which
 * only an error of our own can hide.  Nobody else may get one: pg_file_settings would fail, and
 * a walsender reads settings again while it is at its command.
 */
static bool
check_conninfo(char **newval, void **extra, GucSource source)
{
	int			at;
	const char *problem = conninfo_list_problem(*newval, &at);

	(void) extra;
	(void) source;
	if (problem == NULL)
		return true;
	if (is_alter_system())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for parameter \"%s\"", CONNINFO),
				 errdetail("Connection string %d: %s.", at, problem),
				 errhint(CONNINFO_HINT),
				 errhidestmt(true)));
	GUC_check_errmsg("invalid value for parameter \"%s\"", CONNINFO);
	GUC_check_errdetail("Connection string %d: %s.", at, problem);
	GUC_check_errhint(CONNINFO_HINT);
	return false;
}

static bool
check_include(char **newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if (**newval == '\0')
		return true;
	if (!is_absolute_path(*newval))
		GUC_check_errdetail("An absolute path is needed.");
	else if (strlen(*newval) > PO_INCLUDE_MOST)
		GUC_check_errdetail("The path is longer than %d bytes.", PO_INCLUDE_MOST);
	else
		return true;
	return false;
}

/* Sessions that were there before a reload; new ones see to it at login.  The postmaster
 * must not: all would inherit it, wanted or not. */
static void
assign_track_statements(bool newval, void *extra)
{
	(void) extra;
	if (newval && IsUnderPostmaster)
		EnableQueryId();
}

static void
assign_slow_statement(int newval, void *extra)
{
	(void) extra;
	po_guc_slow_us = (int64) newval * PO_US_PER_MS;
}

static void
assign_loop_calls(int newval, void *extra)
{
	(void) extra;
	po_guc_wide_rows = (uint64) newval / 2;
}

static bool
check_rows(int *newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if (*newval < 0 || *newval >= PO_GUC_LEAST_ROWS)
		return true;
	GUC_check_errdetail("At least %d, or -1, is needed.", PO_GUC_LEAST_ROWS);
	return false;
}

static bool
check_channel(char **newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if (strlen(*newval) < NAMEDATALEN)
		return true;
	GUC_check_errdetail("The name of a channel must be shorter than %d bytes.", NAMEDATALEN);
	return false;
}

/* As bits, since it is asked at the end of every transaction that fails. */
static bool
check_notify_events(char **newval, void **extra, GucSource source)
{
	uint32		kinds;
	uint32	   *kept;
	const char *bad;
	int			length;

	(void) source;
	if (!po_event_kinds_parse(*newval, &kinds, &bad, &length))
	{
		GUC_check_errdetail("There is no kind of event \"%.*s\".", Min(length, NAMEDATALEN), bad);
		GUC_check_errhint("Kinds are connect, disconnect, error, tenant, reject, would_reject, "
						  "terminate, would_terminate, policy, resize and would_resize; alerts "
						  "are always told.");
		return false;
	}
	kept = po_compat_guc_malloc(sizeof(*kept));
	if (kept == NULL)
		return false;
	*kept = kinds;
	*extra = kept;
	return true;
}

static void
assign_notify_events(const char *newval, void *extra)
{
	(void) newval;
	po_guc_notify_kinds = *(uint32 *) extra;
}

bool
po_guc_role_is_exempt(const char *role)
{
	char	   *list;
	List	   *names = NIL;
	ListCell   *cell;
	bool		found = false;

	if (po_guc_exempt_roles == NULL || po_guc_exempt_roles[0] == '\0')
		return false;
	list = pstrdup(po_guc_exempt_roles);
	if (SplitIdentifierString(list, ',', &names))
	{
		foreach(cell, names)
			found = found || strcmp((char *) lfirst(cell), role) == 0;
	}
	list_free(names);
	pfree(list);
	return found;
}

/* Who sees and decides what. */
static void
define_behaviour(void)
{
	DefineCustomEnumVariable("pool_optimizer.mode",
							 "What may be done about quotas and timeouts.",
							 "\"observe\" decides, counts and logs, but touches nothing; "
							 "\"enforce\" refuses logins and ends sessions.",
							 &po_guc_mode, PO_MODE_OBSERVE, mode_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("pool_optimizer.tenant",
							   "Template that computes a session's tenant at login.",
							   "Escapes: %u role, %d database, %a application_name, "
							   "%h client address, %L label, %%.",
							   &po_guc_tenant, "%u@%d",
							   PGC_SIGHUP, 0, check_tenant, NULL, NULL);
	DefineCustomStringVariable("pool_optimizer.label",
							   "Label of this session for %L of pool_optimizer.tenant.",
							   "Can be set at connect only, with options='-c "
							   "pool_optimizer.label=...'.",
							   &po_guc_label, "",
							   PGC_BACKEND, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("pool_optimizer.database",
							   "Database whose table pool_policies holds the policies.",
							   NULL, &po_guc_database, "postgres",
							   PGC_SIGHUP, 0, check_database, NULL, NULL);
	DefineCustomStringVariable("pool_optimizer.exempt_roles",
							   "Roles that are never refused, queued or ended.",
							   "Comma-separated names of login roles.",
							   &po_guc_exempt_roles, "",
							   PGC_SIGHUP, GUC_LIST_INPUT, check_exempt_roles, NULL, NULL);
	DefineCustomBoolVariable("pool_optimizer.spare_stateful",
							 "Ends no session that holds LISTEN, session advisory locks, "
							 "temporary tables or held cursors.",
							 NULL, &po_guc_spare_stateful, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("pool_optimizer.track_statements",
							 "Attributes the time of connections to statements.",
							 "For pool_stats_statement.",
							 &po_guc_track_statements, true,
							 PGC_SIGHUP, 0, NULL, assign_track_statements, NULL);
}

/* What is found waste in statements. */
static void
define_findings(void)
{
	DefineCustomBoolVariable("pool_optimizer.track_findings",
							 "Looks for what connections are spent on that need not be.",
							 "For pool_findings; needs pool_optimizer.track_statements.",
							 &po_guc_track_findings, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.slow_statement",
							"Statements that take at least so long are slow.",
							NULL, &po_guc_slow_statement, 500, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, assign_slow_statement, NULL);
	DefineCustomIntVariable("pool_optimizer.very_slow_statement",
							"Statements that take at least so long are very slow.",
							NULL, &po_guc_very_slow_statement, 1000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.loop_calls",
							"Calls of a statement in one transaction, or one burst of a "
							"session, that are not yet a loop.",
							NULL, &po_guc_loop_calls, 10, 1, 1000000,
							PGC_SIGHUP, 0, NULL, assign_loop_calls, NULL);
}

static void
define_limits(void)
{
	DefineCustomIntVariable("pool_optimizer.sample_interval",
							"Time between two looks at all sessions.",
							NULL, &po_guc_sample_interval, 100, 10, 60000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.max_terminations_per_minute",
							"Sessions ended in any minute at most.",
							NULL, &po_guc_max_terminations_per_minute, 600, 0, 1000000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.warning_threshold",
							"Share of usable connections in use, in percent, from which "
							"health is \"warning\".",
							NULL, &po_guc_warning_threshold, 80, 1, 100,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.critical_threshold",
							"Share of usable connections in use, in percent, from which "
							"health is \"critical\" and lent connections are called back.",
							NULL, &po_guc_critical_threshold, 90, 1, 100,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.metrics_tenants",
							"Tenants with metrics of their own in pool_metrics() at most.",
							"Those of the highest load; the others are summed in \"(other)\".",
							&po_guc_metrics_tenants, 20, 0, PO_LISTED_MOST,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static void
define_poolers(void)
{
	DefineCustomStringVariable(CONNINFO,
							   "Consoles of PgBouncer to read from, and to set pool sizes at.",
							   "Connection strings of libpq, separated by \";\", without "
							   "passwords.",
							   &po_guc_pgbouncer_conninfo, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_conninfo, NULL, NULL);
	DefineCustomStringVariable("pool_optimizer.pgbouncer_include",
							   "File of PgBouncer's configuration in which pool sizes may be "
							   "changed.",
							   "An absolute path; only entries between the marks are touched.",
							   &po_guc_pgbouncer_include, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_include, NULL, NULL);
}

static void
define_telling(void)
{
	DefineCustomStringVariable("pool_optimizer.notify_channel",
							   "Channel on which alerts and events are told with NOTIFY.",
							   "In the database of pool_optimizer.database; empty = none. "
							   "Whoever knows it can listen.",
							   &po_guc_notify_channel, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_channel, NULL, NULL);
	DefineCustomStringVariable("pool_optimizer.notify_events",
							   "Kinds of events that are recorded, if they are not anyway, and "
							   "told with NOTIFY besides alerts.",
							   "A comma-separated list: connect, disconnect, error, tenant, or "
							   "any other kind of pool_events.",
							   &notify_events, "",
							   PGC_SIGHUP, 0, check_notify_events, assign_notify_events, NULL);
	DefineCustomIntVariable("pool_optimizer.notify_rate",
							"Events of each kind told with NOTIFY in a minute at most.",
							"Alerts are not counted.",
							&po_guc_notify_rate, 60, 1, 1000000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.log_interval",
							"Time between two summary lines of each busy tenant in the "
							"server's log.",
							"0 = none.",
							&po_guc_log_interval, 0, 0, 86400000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

/* What sizes shared memory. */
static void
define_sizes(void)
{
	DefineCustomIntVariable("pool_optimizer.max_tenants",
							"Tenants told apart at most; further ones share \"(other)\".",
							NULL, &po_guc_max_tenants, 1000, 10, 1000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.max_waiting",
							"Logins that may wait for a slot at the same time.",
							"-1 means a tenth of max_connections.",
							&po_guc_max_waiting, -1, -1, INT_MAX / 2,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.history_events",
							"Events kept in shared memory, of logins and of all else each.",
							NULL, &po_guc_history_events, 1000, 16, 1000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.max_statements",
							"Statements kept apart at most, of all tenants together.",
							"Those used least make room.",
							&po_guc_max_statements, 5000, 100, 1000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.max_findings",
							"Findings kept at most, of all tenants together.",
							"The dearest stay.",
							&po_guc_max_findings, 1000, 100, 100000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

/* Rows: of one tenant, for one bucket of time. */
static void
define_history_sizes(void)
{
	DefineCustomIntVariable("pool_optimizer.history_second_rows",
							"Rows of history kept in shared memory for each second.",
							"-1 means one for each of max_tenants, and 1000 at least.",
							&po_guc_history_second_rows, -1, -1, 100000000,
							PGC_POSTMASTER, 0, check_rows, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.history_ten_second_rows",
							"Rows of history kept in shared memory for each ten seconds.",
							"-1 means two for each of max_tenants, and 1000 at least.",
							&po_guc_history_ten_second_rows, -1, -1, 100000000,
							PGC_POSTMASTER, 0, check_rows, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.history_minute_rows",
							"Rows of history kept in shared memory for each minute.",
							"-1 means eight for each of max_tenants, and 1000 at least.",
							&po_guc_history_minute_rows, -1, -1, 100000000,
							PGC_POSTMASTER, 0, check_rows, NULL, NULL);
	DefineCustomIntVariable("pool_optimizer.history_retention",
							"How long the table pool_history keeps a bucket.",
							"-1 means for ever, 0 that nothing is written.",
							&po_guc_history_retention, 90 * 24 * 60, -1, 100 * 366 * 24 * 60,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
}

#ifdef PO_INJECT
static char *injected = NULL;

static void
define_injection(void)
{
	DefineCustomStringVariable("pool_optimizer.inject",
							   "Points of the code that fail, for tests.",
							   "A comma-separated list; \"all\" means all.",
							   &injected, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static bool
is_injected(const char *point)
{
	char	   *list = pstrdup(injected);
	char	   *state = NULL;
	bool		found = false;

	for (char *p = strtok_r(list, ",", &state); p != NULL; p = strtok_r(NULL, ",", &state))
		found = found || strcmp(p, point) == 0;
	pfree(list);
	return found;
}

void
po_inject(const char *point)
{
	if (is_injected(point) || is_injected("all"))
		elog(ERROR, "injected at \"%s\"", point);
}

void
po_inject_pause(const char *point)
{
	if (!is_injected(point))
		return;
	elog(LOG, "paused at \"%s\"", point);
	while (is_injected(point))
	{
		pg_usleep(1000);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
	/* The rest of what a reload does is left to the worker's loop. */
	ConfigReloadPending = true;
}
#endif

void
po_guc_define(void)
{
	define_behaviour();
	define_findings();
	define_limits();
	define_poolers();
	define_telling();
	define_sizes();
	define_history_sizes();
#ifdef PO_INJECT
	define_injection();
#endif
	MarkGUCPrefixReserved("pool_optimizer");
}
