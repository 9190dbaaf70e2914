/*
 * po_session.c
 *		What runs in client backends: admission at login, accounting at the end of
 *		each transaction, release at exit.
 *
 * The login hook reads shared memory and the role's rows of pg_authid and, where connections are
 * reserved for roles, pg_auth_members; whatever fails in
 * it lets the session in, uncounted.  Nothing in the query path takes a lock.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "common/ip.h"
#include "lib/stringinfo.h"
#include "libpq/auth.h"
#include "libpq/libpq.h"
#include "libpq/libpq-be.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "postmaster/postmaster.h"
#include "replication/walsender.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "model/po_admission.h"
#include "po_act.h"
#include "po_attribution.h"
#include "po_clock.h"
#include "po_compat.h"
#include "po_events.h"
#include "po_guc.h"
#include "po_inject.h"
#include "po_registry.h"
#include "po_sample.h"
#include "po_session.h"
#include "po_statement.h"
#include "po_stats.h"

#define MAX_HELD_CURSORS	8
#define BRIEF_SESSION		5	/* a session of so many transactions, or fewer */
#define MESSAGE_LEN			(PO_NAME_LEN + 96)	/* a sentence with a name of any length */

static ClientAuthentication_hook_type prev_ClientAuthentication_hook = NULL;
static ProcessUtility_hook_type prev_ProcessUtility_hook = NULL;
static emit_log_hook_type prev_emit_log_hook = NULL;

/* Set while this backend is a session that we know. */
static PoSlot *my_slot = NULL;
static char my_tenant_name[PO_NAME_LEN];
static int64 admitted_at = 0;	/* monotonic us; 0 = not yet */

/* Of the login that is not over yet. */
static int64 queued_us = 0;
static int64 login_us = -1;		/* once it is over */

/* Of the query path. */
static TimestampTz last_end = 0;
static bool user_rollback = false;
static int	pending_sqlstate = 0;

/* State that transaction pooling and reclaiming must not break. */
static bool unlisten_pending = false;
static int	n_held_cursors = 0;
static bool held_overflow = false;
static char held_cursor[MAX_HELD_CURSORS][NAMEDATALEN];

int
po_session_my_slot(void)
{
	return my_slot == NULL ? -1 : (int) (my_slot - po_slots);
}

int
po_session_my_tenant(void)
{
	return my_slot == NULL ? -1 : my_slot->tenant;
}

/* ---------- who is it ---------- */

/* The label given at connect, NULL without one; the string lives in the Port's
 * memory or the current context. */
static const char *
connect_label(const Port *port)
{
	const char *label = NULL;

	if (port->cmdline_options != NULL)
	{
		char	  **argv = palloc((strlen(port->cmdline_options) + 3) * sizeof(char *));
		int			argc = 0;

		pg_split_opts(argv, &argc, port->cmdline_options);
		label = po_label_in_options((const char *const *) argv, argc);
	}
	/* A list of names and values in turn; core applies them after the options. */
	for (int i = 0; i + 1 < list_length(port->guc_options); i += 2)
	{
		if (pg_strcasecmp(list_nth(port->guc_options, i), "pool_optimizer.label") == 0)
			label = list_nth(port->guc_options, i + 1);
	}
	return label;
}

/* The numeric address, "[local]" for a socket; never a name look-up. */
static void
connect_address(const Port *port, PoSlot *slot)
{
	char		host[NI_MAXHOST] = "";
	char	   *zone;

	memset(&slot->cidr, 0, sizeof(slot->cidr));
	strlcpy(slot->address, "[local]", sizeof(slot->address));
	if (port->raddr.addr.ss_family == AF_UNIX ||
		pg_getnameinfo_all(&port->raddr.addr, port->raddr.salen, host, sizeof(host),
						   NULL, 0, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return;
	zone = strchr(host, '%');
	if (zone != NULL)
		*zone = '\0';
	if (po_cidr_parse(host, &slot->cidr))
		po_cidr_print(&slot->cidr, slot->address, sizeof(slot->address));
}

/* The process at the other end, which only a socket of this machine tells; 0 = unknown,
 * as when it is in another container. */
static int
connect_pid(const Port *port)
{
#ifdef SO_PEERCRED
	struct ucred peer;
	socklen_t	len = sizeof(peer);

	if (port->raddr.addr.ss_family == AF_UNIX &&
		getsockopt(port->sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		return (int) peer.pid;
#endif
	return 0;
}

/* False if there is no such role: core will refuse. */
static bool
role_exemption(const char *role, PoSlot *slot)
{
	HeapTuple	tuple = SearchSysCache1(AUTHNAME, CStringGetDatum(role));
	Oid			oid;

	if (!HeapTupleIsValid(tuple))
		return false;
	oid = ((Form_pg_authid) GETSTRUCT(tuple))->oid;
	if (((Form_pg_authid) GETSTRUCT(tuple))->rolsuper)
		slot->exempt = PO_EXEMPT_SUPERUSER;
	else if (po_guc_role_is_exempt(role))
		slot->exempt = PO_EXEMPT_ROLE;
	else
		slot->exempt = PO_EXEMPT_NO;
	ReleaseSysCache(tuple);
	slot->may_use_reserved = slot->exempt == PO_EXEMPT_NO && po_compat_may_use_reserved(oid);
	return true;
}

/* Fills in the slot and the tenant's name; false if core will refuse anyway. */
static bool
identify(const Port *port, PoSlot *slot, char *tenant_name)
{
	const char *application = port->application_name;
	PoIdentity	who;

	if (!role_exemption(port->user_name, slot))
		return false;
	slot->pid = MyProcPid;
	slot->procno = po_compat_my_procno();
	slot->backend_start = MyStartTimestamp;
	po_name_copy(slot->role, port->user_name, PO_PART_LEN);
	po_name_copy(slot->database, port->database_name, PO_PART_LEN);
	if (application == NULL || application[0] == '\0')
		application = "[unknown]";
	po_name_copy(slot->application, application, PO_PART_LEN);
	po_name_copy(slot->label, connect_label(port), PO_PART_LEN);
	connect_address(port, slot);
	slot->client_pid = connect_pid(port);
	pg_atomic_write_u32(&slot->keeps, 0);
	pg_atomic_write_u32(&slot->order.phase, PO_ORDER_NONE);

	who.role = slot->role;
	who.database = slot->database;
	who.application = slot->application;
	who.address = slot->address;
	who.label = slot->label;
	po_template_expand(po_guc_tenant, &who, tenant_name, PO_NAME_LEN);
	return true;
}

/* ---------- telling of sessions ---------- */

/* Who it is, as the beginning of a JSON object. */
static void
identity_detail(StringInfo detail)
{
	initStringInfo(detail);
	appendStringInfoChar(detail, '{');
	po_events_json_string(detail, "role", my_slot->role);
	po_events_json_string(detail, "database", my_slot->database);
	po_events_json_string(detail, "application", my_slot->application);
	po_events_json_string(detail, "address", my_slot->address);
}

static void
tell_login(PoEventKind kind, const char *reason)
{
	StringInfoData detail;

	identity_detail(&detail);
	appendStringInfoChar(&detail, '}');
	po_events_add(kind, my_tenant_name, MyProcPid, reason, detail.data);
	pfree(detail.data);
}

static void
tell_tenant(const PoTicket *ticket)
{
	(void) ticket;
	tell_login(PO_EVENT_TENANT, "first login of this tenant");
}

static void
tell_connect(const PoTicket *ticket)
{
	(void) ticket;
	tell_login(PO_EVENT_CONNECT, "connected");
}

static void
tell_disconnect(void)
{
	StringInfoData detail;
	char		reason[PO_REASON_LEN];
	double		seconds = (double) (po_shmem_monotonic_us() - admitted_at) / PO_US_PER_S;

	snprintf(reason, sizeof(reason), "disconnected after %.1f s and " UINT64_FORMAT
			 " transactions", seconds, pg_atomic_read_u64(&my_slot->account.transactions));
	identity_detail(&detail);
	appendStringInfo(&detail, ", \"duration_ms\": %.0f, \"transactions\": " UINT64_FORMAT "}",
					 seconds * 1000, pg_atomic_read_u64(&my_slot->account.transactions));
	po_events_add(PO_EVENT_DISCONNECT, my_tenant_name, MyProcPid, reason, detail.data);
	pfree(detail.data);
}

/* At the end of a transaction, where nothing may fail: no memory is taken. */
static void
tell_error(int sqlstate)
{
	char		reason[PO_REASON_LEN];
	char		detail[64];

	if (sqlstate == 0)
		strlcpy(reason, "transaction ended by an error", sizeof(reason));
	else
		snprintf(reason, sizeof(reason), "transaction ended by SQLSTATE %s",
				 unpack_sql_state(sqlstate));
	snprintf(detail, sizeof(detail), "{\"sqlstate\": \"%s\"}",
			 sqlstate == 0 ? "" : unpack_sql_state(sqlstate));
	po_events_add(PO_EVENT_ERROR, my_tenant_name, MyProcPid, reason, detail);
}

/* ---------- leaving ---------- */

/* The session ends because it was ordered to: tell why. */
static void
report_end(int tenant)
{
	PoTenant	copy;

	if (!po_registry_copy_tenant(tenant, &copy))
		return;
	po_events_add(PO_EVENT_TERMINATE, copy.name, MyProcPid, my_slot->order.reason,
				  my_slot->order.detail);
	po_stats_note_terminated(tenant);
	po_stats_note_error(tenant, my_slot->order.reason, GetCurrentTimestamp());
	ereport(LOG_SERVER_ONLY,
			(errmsg("pool_optimizer ended a session of tenant \"%s\": %s",
					copy.name, my_slot->order.reason),
			 errdetail_log("%s", my_slot->order.detail)));
}

/* Is the login over?  A part of it are event triggers on login (17), in a transaction of their
 * own, which may refuse it. */
static bool
is_logged_in(void)
{
	return IsNormalProcessingMode() && po_sample_has_begun();
}

/* Was admitted by us and then refused by core, which checks more after our hook? */
static bool
login_failed(void)
{
	PoSlotPhase phase = (PoSlotPhase) pg_atomic_read_u32(&my_slot->phase);

	return !is_logged_in() &&
		(phase == PO_SLOT_ADMITTED || phase == PO_SLOT_EXEMPT);
}

/* on_shmem_exit, so that the last transaction's abort has been accounted. */
static void
account_exit(int code, Datum arg)
{
	int			slot = po_session_my_slot();

	(void) code;
	(void) arg;
	if (slot < 0)
		return;
	po_inject("exit");
	po_stats_merge(slot);
	po_attribution_stop();
	po_statement_merge(slot);
	if (my_slot->tenant < 0)
		return;
	if (po_guc_track_statements && admitted_at != 0 && !login_failed())
		po_statement_note_session(slot, pg_atomic_read_u64(&my_slot->account.transactions) <=
								  BRIEF_SESSION, login_us);
	if (admitted_at != 0 && po_events_want(PO_EVENT_DISCONNECT))
		tell_disconnect();
	if (po_act_was_ordered())
		report_end(my_slot->tenant);
	else if (login_failed())
	{
		po_stats_note_error(my_slot->tenant, "login refused by the server after admission",
							GetCurrentTimestamp());
		if (po_events_want(PO_EVENT_ERROR))
			po_events_add(PO_EVENT_ERROR, my_tenant_name, MyProcPid,
						  "login refused by the server after admission", "");
	}
}

/* Registered before account_exit and so called after it, even if that fails. */
static void
release_exit(int code, Datum arg)
{
	int			slot = po_session_my_slot();
	bool		failed;

	(void) code;
	(void) arg;
	if (slot < 0)
		return;
	failed = login_failed();
	my_slot = NULL;
	po_registry_release(slot, failed);
}

/* ---------- refusing ---------- */

static void
rejection_detail(const PoTicket *ticket, int64 waited_ms, StringInfo detail)
{
	const PoRuleResult *r = &ticket->admission.result[ticket->admission.rule];
	static const char *const rule_names[PO_N_RULES] = {
		"drain", "tenant", "database", "role", "address", "application", "cluster",
		"guarantees"
	};

	appendStringInfoChar(detail, '{');
	po_events_json_string(detail, "rule", rule_names[ticket->admission.rule]);
	appendStringInfo(detail, ", \"used\": %d, \"limit\": %d, \"waited_ms\": " INT64_FORMAT,
					 r->used, r->limit, waited_ms);
	po_events_json_string(detail, "role", my_slot->role);
	po_events_json_string(detail, "database", my_slot->database);
	po_events_json_string(detail, "application", my_slot->application);
	po_events_json_string(detail, "address", my_slot->address);
	appendStringInfoChar(detail, '}');
}

/* One line that names the rule, in core's wording. */
static void
rejection_message(const PoTicket *ticket, char *text, size_t size)
{
	switch (ticket->admission.rule)
	{
		case PO_RULE_DRAIN:
			snprintf(text, size, "tenant \"%s\" is being drained", ticket->tenant_name);
			break;
		case PO_RULE_TENANT:
		case PO_RULE_BURST:
			snprintf(text, size, "too many connections for tenant \"%s\"", ticket->tenant_name);
			break;
		case PO_RULE_DATABASE:
			snprintf(text, size, "too many connections for database \"%s\"", my_slot->database);
			break;
		case PO_RULE_ROLE:
			snprintf(text, size, "too many connections for role \"%s\"", my_slot->role);
			break;
		case PO_RULE_ADDRESS:
			snprintf(text, size, "too many connections from address %s", my_slot->address);
			break;
		case PO_RULE_APPLICATION:
			snprintf(text, size, "too many connections for application \"%s\"",
					 my_slot->application);
			break;
		case PO_RULE_CLUSTER:
			snprintf(text, size, "sorry, too many clients already");
			break;
	}
}

static void
note_rejection(PoEventKind kind, const PoTicket *ticket, const char *message, int64 waited_ms)
{
	StringInfoData detail;

	initStringInfo(&detail);
	rejection_detail(ticket, waited_ms, &detail);
	po_events_add(kind, ticket->tenant_name, MyProcPid, message, detail.data);
	if (kind == PO_EVENT_REJECT)
		po_stats_note_error(ticket->tenant, message, GetCurrentTimestamp());
	pfree(detail.data);
}

/* Never comes back. */
static void
refuse(const PoTicket *ticket, int64 waited_ms)
{
	const PoRuleResult *r = &ticket->admission.result[ticket->admission.rule];
	PoRule		rule = ticket->admission.rule;
	char		message[MESSAGE_LEN];
	char		waited[96] = "";

	rejection_message(ticket, message, sizeof(message));
	note_rejection(PO_EVENT_REJECT, ticket, message, waited_ms);
	if (waited_ms > 0)
		snprintf(waited, sizeof(waited), " after waiting " INT64_FORMAT " ms", waited_ms);
	else if (ticket->entry == PO_ENTRY_QUEUE_FULL)
		snprintf(waited, sizeof(waited), ", and %d logins wait already",
				 po_shared->max_waiting);
	else if (ticket->entry == PO_ENTRY_NO_ROOM)
		strlcpy(waited, ", and no connection to the server is left to wait on",
				sizeof(waited));

	if (rule == PO_RULE_DRAIN)
		ereport(FATAL,
				(errcode(ERRCODE_TOO_MANY_CONNECTIONS),
				 errmsg("%s", message),
				 errdetail("New connections are refused until pool_resume is called."),
				 errhint("Connect elsewhere, or retry after the maintenance.")));
	if (rule == PO_RULE_BURST)
		ereport(FATAL,
				(errcode(ERRCODE_TOO_MANY_CONNECTIONS),
				 errmsg("%s", message),
				 errdetail("%d connections are in use%s; what is left is guaranteed "
						   "to other tenants.", r->used, waited),
				 errhint("Close idle connections, or retry after some seconds.")));
	ereport(FATAL,
			(errcode(ERRCODE_TOO_MANY_CONNECTIONS),
			 errmsg("%s", message),
			 errdetail("%d of %d connections are in use%s.", r->used, r->limit, waited),
			 r->limit == 0 ?
			 errhint("The quota is 0: no connection is allowed until an administrator "
					 "raises max_connections with pool_set_quota.") :
			 errhint("Close idle connections or use a smaller pool, and retry after some "
					 "seconds; an administrator can raise max_connections with "
					 "pool_set_quota.")));
}

/* ---------- waiting ---------- */

/* A login that waits must not hold back vacuum. */
static void
let_go_of_snapshot(void)
{
	(void) GetCatalogSnapshot(AuthIdRelationId);
	InvalidateCatalogSnapshot();
}

/* Core gives up on logins after authentication_timeout; be done before.  By the monotonic
 * clock, so that setting the clock neither ends nor prolongs a wait. */
static int64
wait_deadline(int64 now, int64 wait_timeout_us)
{
	int64		core_us = (int64) AuthenticationTimeout * PO_US_PER_S;
	int64		used_us = Max(GetCurrentTimestamp() - MyStartTimestamp, 0);
	int64		left_us = core_us - Min(core_us / 4, PO_US_PER_S) - used_us;

	return now + Min(wait_timeout_us, left_us);
}

/* Waits until the place is handed over; false when it was not. */
static bool
wait_for_place(int64 deadline)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = po_compat_wait_event("PoolOptimizerQueue");
	for (;;)
	{
		PoSlotPhase phase = (PoSlotPhase) pg_atomic_read_u32(&my_slot->phase);
		long		remaining;

		if (phase != PO_SLOT_QUEUED)
			return phase == PO_SLOT_ADMITTED;
		remaining = (long) ((deadline - po_shmem_monotonic_us() + 999) / 1000);
		if (remaining <= 0)
			return !po_registry_leave_queue(po_session_my_slot());
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(remaining, 500), wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		/* The exit callback gives back what is held. */
		if (WaitEventSetCanReportClosed() && !pq_check_connection())
			ereport(FATAL,
					(errcode(ERRCODE_CONNECTION_FAILURE),
					 errmsg("connection to client lost")));
	}
}

static void
queue(PoTicket *ticket)
{
	int64		start = po_shmem_monotonic_us();
	int64		waited_us;
	bool		admitted;

	let_go_of_snapshot();
	po_compat_stop_transaction_timeout();
	if (ticket->admission.outcome == PO_OUTCOME_EVICT_IDLE)
		po_shmem_wake_sampler();
	admitted = wait_for_place(wait_deadline(start, ticket->admission.wait_timeout_us));
	waited_us = po_shmem_monotonic_us() - start;
	queued_us = waited_us;
	po_stats_note_wait(ticket->tenant, waited_us);
	if (!admitted)
	{
		po_registry_count_rejection(ticket->tenant);
		po_registry_decide_again(po_session_my_slot(), &ticket->admission);
		refuse(ticket, Max(waited_us / PO_US_PER_MS, 1));
	}
	po_compat_restart_transaction_timeout();
}

/* ---------- login ---------- */

/* Our trouble is not the client's, who must not even hear of it: an error message
 * would end the login. */
static void
swallow_error(MemoryContext context, const char *consequence)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	ereport(LOG_SERVER_ONLY,
			(errmsg("pool_optimizer %s: %s", consequence,
					error->message == NULL ? "" : error->message)));
	FreeErrorData(error);
}

/* Fills the slot; false means let in without us. */
static bool
prepare(const Port *port, char *tenant_name)
{
	PoSlot	   *slot = &po_slots[po_compat_my_slot()];
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = false;

	PG_TRY();
	{
		po_inject("login");
		ok = identify(port, slot, tenant_name);
	}
	PG_CATCH();
	{
		po_registry_count_unready();
		swallow_error(context, "lets a login in unseen");
		ok = false;
	}
	PG_END_TRY();
	if (ok)
		my_slot = slot;
	return ok;
}

/* What is only told must not keep anybody out. */
static void
tell(void (*message) (const PoTicket *), const PoTicket *ticket)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		po_inject("tell");
		message(ticket);
	}
	PG_CATCH();
	{
		swallow_error(context, "could not tell about a login");
	}
	PG_END_TRY();
}

static void
log_first_overflow(const PoTicket *ticket)
{
	(void) ticket;
	ereport(LOG_SERVER_ONLY,
			(errmsg("pool_optimizer knows %d tenants, further ones are accounted as \"%s\"",
					po_shared->n_tenants - 1, PO_TENANT_OTHER_NAME),
			 errhint("Raise pool_optimizer.max_tenants (needs a restart), or use a template "
					 "in pool_optimizer.tenant with fewer different results.")));
}

static void
log_would_reject(const PoTicket *ticket)
{
	const PoRuleResult *r = &ticket->admission.result[ticket->admission.rule];
	char		message[MESSAGE_LEN];

	rejection_message(ticket, message, sizeof(message));
	note_rejection(PO_EVENT_WOULD_REJECT, ticket, message, 0);
	ereport(LOG_SERVER_ONLY,
			(errmsg("pool_optimizer would refuse this login: %s", message),
			 errdetail_log("%d in use, limit %d; the mode is observe.", r->used, r->limit)));
}

static void
login(const Port *port)
{
	PoTicket	ticket;
	char		tenant_name[PO_NAME_LEN];
	int			slot;

	if (!prepare(port, tenant_name))
		return;
	slot = po_session_my_slot();
	po_clock_start();
	on_shmem_exit(release_exit, 0);
	on_shmem_exit(account_exit, 0);
	po_stats_begin(slot);
	po_attribution_start(slot);
	po_act_install_handler(my_slot);
	po_registry_enter(slot, tenant_name, &ticket);
	strlcpy(my_tenant_name, ticket.tenant_name, sizeof(my_tenant_name));
	if (ticket.overflowed)
		tell(log_first_overflow, &ticket);
	if (ticket.is_new && po_events_want(PO_EVENT_TENANT))
		tell(tell_tenant, &ticket);
	switch (ticket.entry)
	{
		case PO_ENTRY_ADMITTED:
			if (ticket.admission.outcome == PO_OUTCOME_WOULD_REJECT)
				tell(log_would_reject, &ticket);
			break;
		case PO_ENTRY_QUEUED:
			queue(&ticket);
			break;
		case PO_ENTRY_QUEUE_FULL:
		case PO_ENTRY_NO_ROOM:
		case PO_ENTRY_REJECTED:
			refuse(&ticket, 0);
			break;
	}
	admitted_at = po_shmem_monotonic_us();
	if (po_events_want(PO_EVENT_CONNECT))
		tell(tell_connect, &ticket);
}

static void
on_authentication(Port *port, int status)
{
	if (prev_ClientAuthentication_hook)
		prev_ClientAuthentication_hook(port, status);
	if (status == STATUS_OK && po_shared != NULL && !am_walsender)
		login(port);
}

/* ---------- accounting ---------- */

/* Which of the noted cursors are still there? */
static void
recheck_held_cursors(void)
{
	int			kept = 0;

	for (int i = 0; i < n_held_cursors; i++)
	{
		if (GetPortalByName(held_cursor[i]) == NULL)
			continue;
		if (kept != i)
			memcpy(held_cursor[kept], held_cursor[i], NAMEDATALEN);
		kept++;
	}
	n_held_cursors = kept;
	if (kept == 0 && !held_overflow)
		pg_atomic_fetch_and_u32(&my_slot->keeps, ~PO_KEEPS_HELD_CURSOR);
}

static void
recheck_kept_state(bool committed)
{
	if (n_held_cursors > 0 || (pg_atomic_read_u32(&my_slot->keeps) & PO_KEEPS_HELD_CURSOR))
		recheck_held_cursors();
	if (unlisten_pending && committed)
		pg_atomic_fetch_and_u32(&my_slot->keeps, ~PO_KEEPS_LISTEN);
	unlisten_pending = false;
	if ((pg_atomic_read_u32(&my_slot->keeps) & PO_KEEPS_BACKUP) &&
		get_backup_status() == SESSION_BACKUP_NONE)
		pg_atomic_fetch_and_u32(&my_slot->keeps, ~PO_KEEPS_BACKUP);
}

static void
account_error(TimestampTz at)
{
	bool		is_error = !user_rollback && !proc_exit_inprogress &&
		(pending_sqlstate != 0 || !po_compat_errors_are_logged());

	if (!is_error)
		return;
	po_stats_error(&my_slot->account, pending_sqlstate, at);
	if (po_events_want(PO_EVENT_ERROR))
		tell_error(pending_sqlstate);
}

/*
 * How long it took, from the fork of the process (which follows the connection at once)
 * to the transaction that prepares the session for its first command.  The client's part
 * is in it, the time in our queue is not, nor event triggers.
 */
static void
note_login(void)
{
	if (login_us >= 0)
		return;
	login_us = GetCurrentTimestamp() - MyStartTimestamp - queued_us;
	po_stats_note_login(my_slot->tenant, login_us);
}

static inline bool
has_written(void)
{
	return TransactionIdIsValid(GetTopTransactionIdIfAny());
}

/* What was noted while it ran. */
static inline void
forget_transaction(TimestampTz end)
{
	last_end = end;
	user_rollback = false;
	pending_sqlstate = 0;
}

static pg_noinline void
account_odd(TimestampTz start, TimestampTz end, bool aborted)
{
	int64		service_us = end - start;
	int64		gap_us = last_end == 0 ? 0 : start - last_end;

	if ((po_clock_is_odd(service_us) || po_clock_is_odd(gap_us)) && po_clock_was_set())
	{
		service_us = gap_us = -1;	/* nobody knows */
		po_clock_forget();
	}
	else
		gap_us = last_end == 0 ? -1 : Max(gap_us, 0);
	po_stats_transaction(&my_slot->account, service_us, gap_us, aborted);
	po_attribution_end_transaction(service_us, end, aborted, has_written());
	if (aborted)
		account_error(end);
	if (pg_atomic_read_u32(&my_slot->keeps) != 0)
		recheck_kept_state(!aborted);
	forget_transaction(end);
}

/* The path of each query has only what all transactions need that end well. */
static pg_noinline void
account_commit(void)
{
	TimestampTz start = GetCurrentTransactionStartTimestamp();
	TimestampTz end = GetCurrentTransactionStopTimestamp();
	int64		service_us = end - start;
	int64		gap_us = start - last_end;	/* if it is not the first */

	if (unlikely(po_clock_is_odd(service_us) || po_clock_is_odd(gap_us) ||
				 pg_atomic_read_u32(&my_slot->keeps) != 0))
		account_odd(start, end, false);
	else
	{
		po_stats_transaction(&my_slot->account, service_us, gap_us, false);
		forget_transaction(end);
		po_attribution_commit(service_us, end, has_written());
	}
}

static pg_noinline void
account_other_end(bool aborted)
{
	account_odd(GetCurrentTransactionStartTimestamp(), GetCurrentTransactionStopTimestamp(),
				aborted);
}

/* The transactions of the login itself do not count. */
static void
on_transaction_end(XactEvent event, void *arg)
{
	(void) arg;
	if (event == XACT_EVENT_COMMIT)
	{
		if (my_slot == NULL)
			return;
		if (likely(last_end != 0) || is_logged_in())
			account_commit();
		else
			note_login();
	}
	else if ((event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE) && my_slot != NULL &&
			 is_logged_in())
		account_other_end(event == XACT_EVENT_ABORT);
}

/* An UNLISTEN that is rolled back to a savepoint has not happened; that one before it
 * did is forgotten, too, spares the session for longer, which is the safe side. */
static void
on_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
					  void *arg)
{
	(void) mine;
	(void) parent;
	(void) arg;
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	unlisten_pending = false;
	po_attribution_note_failure();
}

static void
note_declared_cursor(const DeclareCursorStmt *stmt)
{
	if ((stmt->options & CURSOR_OPT_HOLD) == 0)
		return;
	pg_atomic_fetch_or_u32(&my_slot->keeps, PO_KEEPS_HELD_CURSOR);
	if (n_held_cursors < MAX_HELD_CURSORS)
		strlcpy(held_cursor[n_held_cursors++], stmt->portalname, NAMEDATALEN);
	else
		held_overflow = true;
}

/*
 * Before it runs, which may free the statement: the session may hold such state from now
 * on.  Returns what it lets go of when the statement succeeds: PO_KEEPS_* bits.
 */
static uint32
note_statement(const Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_TransactionStmt:
			user_rollback = ((const TransactionStmt *) stmt)->kind == TRANS_STMT_ROLLBACK &&
				!IsAbortedTransactionBlockState();
			return 0;
		case T_ListenStmt:
			pg_atomic_fetch_or_u32(&my_slot->keeps, PO_KEEPS_LISTEN);
			unlisten_pending = false;
			return 0;
		case T_DeclareCursorStmt:
			note_declared_cursor((const DeclareCursorStmt *) stmt);
			return 0;
		case T_UnlistenStmt:
			return ((const UnlistenStmt *) stmt)->conditionname == NULL ? PO_KEEPS_LISTEN : 0;
		case T_ClosePortalStmt:
			return ((const ClosePortalStmt *) stmt)->portalname == NULL ?
				PO_KEEPS_HELD_CURSOR : 0;
		case T_DiscardStmt:
			return ((const DiscardStmt *) stmt)->target == DISCARD_ALL ?
				PO_KEEPS_LISTEN | PO_KEEPS_HELD_CURSOR : 0;
		default:
			return 0;
	}
}

static void
on_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
		   ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	uint32		let_go = 0;
	bool		is_ours = false;

	if (my_slot != NULL)
	{
		let_go = note_statement(pstmt->utilityStmt);
		is_ours = po_attribution_begin_utility(pstmt, queryString, context);
	}
	if (prev_ProcessUtility_hook)
		prev_ProcessUtility_hook(pstmt, queryString, readOnlyTree, context, params,
								 queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params,
								queryEnv, dest, qc);
	if (is_ours)
		po_attribution_end_utility(qc);
	if (let_go == 0)
		return;
	/* Takes effect at COMMIT, see recheck_kept_state. */
	if (let_go & PO_KEEPS_LISTEN & pg_atomic_read_u32(&my_slot->keeps))
		unlisten_pending = true;
	if (let_go & PO_KEEPS_HELD_CURSOR)
		held_overflow = false;
}

/* The only place that knows which error ends the transaction. */
static void
on_log(ErrorData *edata)
{
	if (my_slot != NULL && edata->elevel >= ERROR)
		pending_sqlstate = edata->sqlerrcode;
	if (prev_emit_log_hook)
		prev_emit_log_hook(edata);
}

void
po_session_install(void)
{
	prev_ClientAuthentication_hook = ClientAuthentication_hook;
	ClientAuthentication_hook = on_authentication;
	prev_ProcessUtility_hook = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = on_log;
	po_attribution_install();
	RegisterXactCallback(on_transaction_end, NULL);
	RegisterSubXactCallback(on_subtransaction_end, NULL);
}
