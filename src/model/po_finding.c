/*
 * po_finding.c
 *		Findings: what connections are spent on that need not be.
 *
 * A finding must cost something and must have been seen several times: one slow report, one
 * migration that locks a table, one look of somebody at a large table are none.  All
 * thresholds are here.  A comparison with NaN is false, so what is not known finds nothing.
 */
#include "model/po_finding.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const int	po_finding_ttl_s[PO_N_CACHE_TTLS] = {1, 10, 60};

/* Before that chance rules. */
#define LEAST_SECONDS		10.0

/* A twentieth of a connection: twenty such would cost one. */
#define LEAST_CONNECTIONS	0.05

/* Less of a tenant's time makes no difference to its pool. */
#define LEAST_SHARE			0.05

/* Seen several times: of five calls in five minutes this many are left in the window. */
#define LEAST_CALLS			3.0

/*
 * Half a connection is what decides which whole number a pool is rounded to.  Five, if they are
 * also a quarter of what the tenant holds, are what pools are full of in an incident.
 */
#define WARNING_CONNECTIONS		0.5
#define CRITICAL_CONNECTIONS	5.0
#define CRITICAL_SHARE			0.25

/*
 * Beyond a round trip within a region (0.5 to 2 ms) and the work of an ORM between two
 * statements: whoever waits this long does something else, or is far away.
 */
#define THINKING_S			0.005

/* Far away or starved, it is slow after each statement; BEGIN and COMMIT have half of a share. */
#define ALIKE				3.0

/* Between cities it is less than that; no code is to blame for it, and nobody need be woken. */
#define FAR_S				0.02

/* Slow calls are a trait of the statement if they are one in a hundred, or dear. */
#define SLOW_SHARE			0.01

/* A fifth of slow calls beyond the second limit is no outlier. */
#define VERY_SLOW_SHARE		0.2

/* Ten pages and more, nobody reads. */
#define MANY_ROWS			1000.0

/* A scan of fewer rows takes about a millisecond, and an index does not make it faster. */
#define LARGE_TABLE			10000.0
#define SCAN_SHARE			0.5
#define SCAN_BUSY_SHARE		0.1

/* Reads looked at; and every second one found in a cache, which has to be kept up after all. */
#define LEAST_READS			20.0
#define CACHE_HITS			0.5
#define CACHE_SHARE			0.1

/* A standby is a machine: it must take half of the work, and half a connection. */
#define READ_ONLY_SHARE		0.5
#define READ_ONLY_CONNECTIONS	0.5

/* A login costs a process (1 to 5 ms of a CPU), so one a second is worth a pool. */
#define LEAST_SESSIONS		10.0
#define BRIEF_SHARE			0.5
#define MANY_LOGINS			1.0		/* per second */
#define TOO_MANY_LOGINS		10.0

static const char *const names[PO_N_FINDINGS] = {
	"slow_statement", "n_plus_one", "client_wait", "unpaged_result", "sequential_scan",
	"repeated_read", "hot_row", "read_only", "churn", "session_state"
};

static const char *const severities[] = {"nothing", "info", "warning", "critical"};

static const char *const uses[PO_N_STATE_USES] = {
	"listen", "advisory_lock", "set", "temp_table", "held_cursor", "prepare"
};

/* ---------- names ---------- */

static const char *
name_in(const char *const *list, int n, int i)
{
	return i >= 0 && i < n ? list[i] : "unknown";
}

const char *
po_finding_name(PoFindingKind kind)
{
	return name_in(names, PO_N_FINDINGS, (int) kind);
}

const char *
po_finding_severity_name(PoFindingSeverity severity)
{
	return name_in(severities, sizeof(severities) / sizeof(severities[0]), (int) severity);
}

const char *
po_state_use_name(PoStateUse use)
{
	return name_in(uses, PO_N_STATE_USES, (int) use);
}

bool
po_finding_parse(const char *name, PoFindingKind *kind)
{
	for (int i = 0; i < PO_N_FINDINGS; i++)
	{
		if (strcmp(name, names[i]) == 0)
		{
			*kind = (PoFindingKind) i;
			return true;
		}
	}
	return false;
}

bool
po_finding_severity_parse(const char *name, PoFindingSeverity *severity)
{
	for (int i = PO_FOUND_INFO; i <= PO_FOUND_CRITICAL; i++)
	{
		if (strcmp(name, severities[i]) == 0)
		{
			*severity = (PoFindingSeverity) i;
			return true;
		}
	}
	return false;
}

void
po_finding_names(char *list, size_t size)
{
	size_t		used = 0;

	list[0] = '\0';
	for (int i = 0; i < PO_N_FINDINGS && used < size; i++)
	{
		int			n = snprintf(list + used, size - used, "%s%s", i == 0 ? "" : ", ", names[i]);

		used += n > 0 ? (size_t) n : 0;
	}
}

/* ---------- windows ---------- */

double
po_finding_decay(double seconds)
{
	return seconds > 0 ? exp(-seconds / PO_FINDING_MEMORY_S) : 1;
}

double
po_finding_new_seconds(double elapsed)
{
	return elapsed > 0 ? -PO_FINDING_MEMORY_S * expm1(-elapsed / PO_FINDING_MEMORY_S) : 0;
}

/* ---------- common ---------- */

/* A count that can be reckoned with; 1e15 is more than any has. */
static double
count_of(double value)
{
	return value > 0 ? fmin(value, 1e15) : 0;
}

/* 0 when there is nothing to divide by. */
static double
ratio(double part, double whole)
{
	part = count_of(part);
	whole = count_of(whole);
	return whole > 0 ? part / whole : 0;
}

/* Where parts are counted apart from the whole, chance makes one larger. */
static double
share_of(double part, double whole)
{
	return fmin(ratio(part, whole), 1);
}

/* Held for so many seconds within the window. */
static double
connections_of(double held_s, double seconds)
{
	return seconds >= LEAST_SECONDS ? ratio(held_s, seconds) : 0;
}

static PoFindingSeverity
severity_of(double connections, double share)
{
	if (connections >= CRITICAL_CONNECTIONS && share >= CRITICAL_SHARE)
		return PO_FOUND_CRITICAL;
	return connections >= WARNING_CONNECTIONS ? PO_FOUND_WARNING : PO_FOUND_INFO;
}

/* Found if held_s is worth it. */
static void
found_by_cost(double held_s, const PoStatementEvidence *s, const PoTenantEvidence *t,
			  double least_share, PoFound *found)
{
	double		connections = connections_of(held_s, s->seconds);
	double		share = share_of(held_s, t->held_s);

	if (connections < LEAST_CONNECTIONS || share < least_share)
		return;
	found->connections = connections;
	found->severity = severity_of(connections, share);
}

static double
held_of(const PoStatementEvidence *s)
{
	return count_of(s->busy_s) + count_of(s->wait_s);
}

/* Busy, but not waiting for others. */
static double
working_of(const PoStatementEvidence *s)
{
	return count_of(count_of(s->busy_s) - count_of(s->lock_s));
}

/* ---------- acknowledged ---------- */

/* A cost varies from one window to the next; half as much again is no variation. */
#define WORSE_TIMES			1.5
#define WORSE_CONNECTIONS	0.1

bool
po_finding_is_worse(const PoFound *now, const PoFound *acknowledged)
{
	return now->severity > acknowledged->severity ||
		!(now->connections <= WORSE_TIMES * acknowledged->connections + WORSE_CONNECTIONS);
}

/* ---------- statements ---------- */

/* What is slow because it waits for locks is a hot row's. */
static void
judge_slow(const PoStatementEvidence *s, const PoTenantEvidence *t, PoFound *found)
{
	double		slow_s = fmin(count_of(s->slow_s), held_of(s));

	if (!(s->slow >= LEAST_CALLS) || ratio(s->lock_s, slow_s) >= 0.5)
		return;
	if (share_of(s->slow, s->calls) < SLOW_SHARE &&
		share_of(slow_s, t->held_s) < LEAST_SHARE)
		return;
	found->connections = connections_of(slow_s, s->seconds);
	if (found->connections < LEAST_CONNECTIONS)
	{
		found->connections = 0;
		return;
	}
	found->severity = PO_FOUND_INFO;
	if (share_of(s->very_slow, s->slow) >= VERY_SLOW_SHARE && s->very_slow >= LEAST_CALLS)
		found->severity = severity_of(fmax(found->connections, WARNING_CONNECTIONS),
									  share_of(slow_s, t->held_s));
}

/* One query would be one call of each loop. */
static void
judge_n_plus_one(const PoStatementEvidence *s, const PoTenantEvidence *t, PoFound *found)
{
	double		saved = count_of(count_of(s->loop_calls) - count_of(s->loops));

	if (s->loops >= LEAST_CALLS)
		found_by_cost(held_of(s) * share_of(saved, s->calls), s, t, LEAST_SHARE, found);
}

bool
po_finding_waits_alike(const PoStatementEvidence *s, const PoTenantEvidence *t)
{
	double		others = ratio(count_of(t->wait_s) - count_of(s->wait_s),
							   count_of(t->calls) - count_of(s->calls));

	return ratio(s->wait_s, s->calls) < ALIKE * others;
}

static void
judge_client_wait(const PoStatementEvidence *s, const PoTenantEvidence *t, PoFound *found)
{
	double		mean_s = ratio(s->wait_s, s->calls);

	if (s->calls < LEAST_CALLS || mean_s < THINKING_S || s->wait_s <= count_of(s->busy_s))
		return;
	found_by_cost(s->wait_s, s, t, LEAST_SHARE, found);
	if (found->severity > PO_FOUND_INFO && mean_s < FAR_S && po_finding_waits_alike(s, t))
		found->severity = PO_FOUND_INFO;
}

/* A page would still cost something. */
static void
judge_unpaged(const PoStatementEvidence *s, const PoTenantEvidence *t, PoFound *found)
{
	double		rows = ratio(s->rows, s->calls);

	if ((s->plan & PO_PLAN_READS) == 0 || (s->plan & PO_PLAN_LIMITED) != 0 ||
		!(s->calls >= LEAST_CALLS) || rows < MANY_ROWS)
		return;
	found_by_cost(working_of(s) * (1 - PO_FINDING_PAGE_ROWS / rows), s, t, LEAST_SHARE, found);
}

static void
judge_scan(const PoStatementEvidence *s, const PoTenantEvidence *t, PoFound *found)
{
	if (s->scan_share >= SCAN_SHARE && s->scan_rows >= LARGE_TABLE && s->calls >= LEAST_CALLS &&
		share_of(working_of(s), t->held_s) >= SCAN_BUSY_SHARE)
		found_by_cost(working_of(s) * fmin(s->scan_share, 1), s, t, LEAST_SHARE, found);
}

/* The shortest time to live that is good enough: the fresher, the easier to agree to. */
static void
judge_repeated(const PoStatementEvidence *s, const PoTenantEvidence *t, PoFound *found)
{
	if (!(s->reads >= LEAST_READS))
		return;
	for (int i = 0; i < PO_N_CACHE_TTLS; i++)
	{
		double		hits = share_of(s->rereads[i], s->reads);

		if (hits < CACHE_HITS)
			continue;
		found->ttl = i;
		found_by_cost(working_of(s) * hits, s, t, CACHE_SHARE, found);
		return;
	}
}

static void
judge_hot_row(const PoStatementEvidence *s, const PoTenantEvidence *t, PoFound *found)
{
	if (s->calls >= LEAST_CALLS)
		found_by_cost(fmin(count_of(s->lock_s), count_of(s->busy_s)), s, t, LEAST_SHARE, found);
}

static void
clear(PoFound *found)
{
	found->severity = PO_FOUND_NOTHING;
	found->connections = 0;
	found->ttl = 0;
}

void
po_finding_judge_statement(PoFindingKind kind, const PoStatementEvidence *s,
						   const PoTenantEvidence *t, PoFound *found)
{
	static void (*const judges[PO_FIRST_TENANT_FINDING]) (const PoStatementEvidence *,
														  const PoTenantEvidence *,
														  PoFound *) =
	{
		judge_slow, judge_n_plus_one, judge_client_wait, judge_unpaged, judge_scan,
		judge_repeated, judge_hot_row
	};

	clear(found);
	if ((int) kind >= 0 && kind < PO_FIRST_TENANT_FINDING)
		judges[kind] (s, t, found);
}

/* ---------- tenants ---------- */

static void
judge_read_only(const PoTenantEvidence *t, PoFound *found)
{
	double		read_only_s = fmin(count_of(t->read_only_s), count_of(t->transaction_s));
	double		connections = connections_of(read_only_s, t->seconds);

	if (connections < READ_ONLY_CONNECTIONS || !(t->transactions >= LEAST_READS) ||
		share_of(read_only_s, t->transaction_s) < READ_ONLY_SHARE)
		return;
	/* Nothing is wrong with reading. */
	found->connections = connections;
	found->severity = PO_FOUND_INFO;
}

static void
judge_churn(const PoTenantEvidence *t, PoFound *found)
{
	double		connections = connections_of(t->login_s, t->seconds);
	double		logins = connections_of(t->brief_sessions, t->seconds);

	if (!(t->sessions >= LEAST_SESSIONS) ||
		share_of(t->brief_sessions, t->sessions) < BRIEF_SHARE ||
		(connections < LEAST_CONNECTIONS && logins < MANY_LOGINS))
		return;
	found->connections = connections;
	found->severity = severity_of(connections, share_of(t->login_s, t->held_s));
	if (found->severity == PO_FOUND_INFO && logins >= TOO_MANY_LOGINS)
		found->severity = PO_FOUND_WARNING;
}

/* Costs nothing, until somebody moves the tenant behind a pooler. */
static void
judge_session_state(const PoTenantEvidence *t, PoFound *found)
{
	for (int i = 0; i < PO_N_STATE_USES; i++)
	{
		if (t->uses[i] > 0)
			found->severity = PO_FOUND_INFO;
	}
}

void
po_finding_judge_tenant(PoFindingKind kind, const PoTenantEvidence *t, PoFound *found)
{
	clear(found);
	if (kind == PO_FINDING_READ_ONLY)
		judge_read_only(t, found);
	else if (kind == PO_FINDING_CHURN)
		judge_churn(t, found);
	else if (kind == PO_FINDING_SESSION_STATE)
		judge_session_state(t, found);
}
