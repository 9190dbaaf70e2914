/*
 * po_guc.c
 *		The settings of pool_optimizer: units, bounds, check hooks.
 *
 * Check hooks only check.  Everything is read afresh wherever it is used, so a
 * reload needs no assign hook.
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "model/po_names.h"
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
int			po_guc_warning_threshold = 80;
int			po_guc_critical_threshold = 90;
int			po_guc_max_terminations_per_minute = 600;
bool		po_guc_spare_stateful = true;

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

void
po_inject(const char *point)
{
	char	   *list = pstrdup(injected);
	char	   *state = NULL;
	bool		fail = false;

	for (char *p = strtok_r(list, ",", &state); p != NULL; p = strtok_r(NULL, ",", &state))
		fail = fail || strcmp(p, point) == 0 || strcmp(p, "all") == 0;
	pfree(list);
	if (fail)
		elog(ERROR, "injected at \"%s\"", point);
}
#endif

void
po_guc_define(void)
{
	define_behaviour();
	define_limits();
	define_sizes();
#ifdef PO_INJECT
	define_injection();
#endif
	MarkGUCPrefixReserved("pool_optimizer");
}
