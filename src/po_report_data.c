/*
 * po_report_data.c
 *		What a report tells of now, as read from the views; see po_report_data.h.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "po_report_data.h"
#include "po_report_query.h"

static void
query_from(PoReport *report, const char *sql, PoReportTake take)
{
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		values[] = {TimestampTzGetDatum(report->since)};

	po_report_query(report, sql, 1, types, values, take, NULL);
}

/* ---------- the cluster ---------- */

static const char cluster_sql[] =
"SELECT coalesce(mode, ''), coalesce(health, ''), max_connections, sessions, waiting,"
"  authenticating, tenants, utilization,"
"  sampler_pid IS NOT NULL, last_sample, overflow_logins::float8, unready_logins::float8,"
"  worker_errors::float8, last_error, last_error_at,"
"  pg_has_role('pg_read_all_stats', 'USAGE'), has_function_privilege($1, 'EXECUTE')"
"  FROM @pool_stats_cluster";

#define SETTER "pool_set_timeouts(text, interval, interval, interval, interval, float8, text)"

static void
take_cluster(PoReportRow *row)
{
	PoReport   *r = row->report;

	r->mode = po_report_text(row);
	r->health = po_report_text(row);
	r->usable = po_report_int(row, 0);
	r->sessions = po_report_int(row, 0);
	r->waiting = po_report_int(row, 0);
	r->authenticating = po_report_int(row, 0);
	r->n_tenants = po_report_int(row, 0);
	r->utilization = po_report_double(row);
	r->sampler_runs = po_report_bool(row);
	r->last_sample = po_report_time(row);
	r->overflow_logins = po_report_number(row);
	r->unready_logins = po_report_number(row);
	r->worker_errors = po_report_number(row);
	r->last_error = po_report_text(row);
	r->last_error_at = po_report_time(row);
	r->sees_all = po_report_bool(row);
	r->may_set = po_report_bool(row);
}

/* The function goes as a parameter: a schema's name may have a quote in it. */
static void
read_cluster(PoReport *r)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(psprintf("%s." SETTER, r->schema))};

	po_report_query(r, cluster_sql, lengthof(types), types, values, take_cluster, NULL);
}

/* ---------- tenants ---------- */

static const char tenants_sql[] =
"SELECT s.tenant, s.sessions, s.active, s.idle, s.idle_in_transaction, s.waiting,"
"  s.max_connections, s.utilization, s.peak_sessions, s.peak_busy, s.rejected::float8,"
"  s.would_reject::float8, s.would_terminate::float8, s.transactions::float8, s.xact_p95_ms,"
"  s.wait_p99_ms, s.mode, s.draining, s.first_seen, r.recommended_size, r.recommended_max,"
"  r.busy_p95, r.busy_max, r.busy_mean, r.confidence, r.method, r.reason,"
"  (count(*) OVER ())::float8"
"  FROM @pool_stats s LEFT JOIN @pool_recommendations r"
"    ON r.tenant = s.tenant AND r.computed_at IS NOT NULL"
"  ORDER BY s.sessions DESC, r.busy_mean DESC NULLS LAST, s.transactions DESC,"
"    s.tenant COLLATE \"C\""
"  LIMIT $1";

typedef struct TenantEntry
{
	char		name[PO_NAME_LEN];
	int			i;
} TenantEntry;

static HTAB *tenant_index = NULL;	/* of the report that is being read */

PoReportTenant *
po_report_add_tenant(PoReport *r, char *name)
{
	PoReportTenant *t;
	TenantEntry *entry;
	bool		found;

	if (r->n == PO_REPORT_TENANTS)
		return NULL;
	entry = hash_search(tenant_index, name, HASH_ENTER, &found);
	if (found)
		return &r->tenant[entry->i];
	entry->i = r->n;
	t = &r->tenant[r->n++];
	t->name = name;
	t->quota = -1;
	t->busy_mean = t->confidence = t->xact_p95_ms = t->wait_p99_ms = NAN;
	t->use.p95_ms = t->before.p95_ms = NAN;
	return t;
}

PoReportTenant *
po_report_find_tenant(const PoReport *r, const char *name)
{
	TenantEntry *entry;

	if (name == NULL)
		return NULL;
	entry = hash_search(tenant_index, name, HASH_FIND, NULL);
	return entry == NULL ? NULL : &r->tenant[entry->i];
}

static void
take_recommendation(PoReportRow *row, PoReportTenant *t)
{
	t->size = po_report_int(row, 0);
	t->size_max = po_report_int(row, 0);
	t->busy_p95 = po_report_int(row, 0);
	t->busy_max = po_report_int(row, 0);
	t->busy_mean = po_report_double(row);
	t->confidence = po_report_double(row);
	t->method = po_report_text(row);
	if (t->method == NULL)
		t->size = 0;
	t->reason = po_report_text(row);
	row->report->recommended += t->size;
}

static void
take_tenant(PoReportRow *row)
{
	char	   *name = po_report_text(row);
	PoReportTenant *t = name == NULL ? NULL : po_report_add_tenant(row->report, name);

	if (t == NULL)
		return;
	t->present = true;
	t->sessions = po_report_int(row, 0);
	t->active = po_report_int(row, 0);
	t->idle = po_report_int(row, 0);
	t->in_transaction = po_report_int(row, 0);
	t->waiting = po_report_int(row, 0);
	t->quota = po_report_int(row, -1);
	t->utilization = po_report_double(row);
	t->peak_sessions = po_report_int(row, 0);
	t->peak_busy = po_report_int(row, 0);
	t->rejected = po_report_number(row);
	t->would_reject = po_report_number(row);
	t->would_terminate = po_report_number(row);
	t->transactions = po_report_number(row);
	t->xact_p95_ms = po_report_double(row);
	t->wait_p99_ms = po_report_double(row);
	t->mode = po_report_text(row);
	t->draining = po_report_bool(row);
	t->first_seen = po_report_time(row);
	take_recommendation(row, t);
	row->report->n_seen = po_report_number(row);
}

static void
read_tenants(PoReport *r)
{
	HASHCTL		control = {.keysize = PO_NAME_LEN, .entrysize = sizeof(TenantEntry),
	.hcxt = CurrentMemoryContext};
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(PO_REPORT_TENANTS)};

	tenant_index = hash_create("tenants of a report", 256, &control,
							   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	r->tenant = palloc0(PO_REPORT_TENANTS * sizeof(PoReportTenant));
	po_report_query(r, tenants_sql, 1, types, values, take_tenant, NULL);
}

/* ---------- sessions ---------- */

static const char leaks_sql[] =
"WITH waiting AS MATERIALIZED ("
"  SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' ORDER BY pid LIMIT 100),"
" blocker AS MATERIALIZED ("
"  SELECT b AS pid, count(DISTINCT w.pid)::float8 AS n"
"    FROM waiting w, unnest(pg_blocking_pids(w.pid)) b GROUP BY b)"
"SELECT s.pid, s.tenant, s.usename, s.application_name, host(s.client_addr), s.class, s.verdict,"
"  s.exempt, s.state_ms, s.leak_probability, s.transactions::float8, b.n,"
"  age(a.backend_xmin)::float8"
"  FROM @pool_stats_session s LEFT JOIN blocker b ON b.pid = s.pid"
"    LEFT JOIN pg_stat_activity a ON a.pid = s.pid"
"  WHERE s.class IN ('idle_in_transaction', 'aborted_in_transaction', 'idle_too_long',"
"    'never_used', 'stuck_in_client_read', 'lifetime', 'beyond_norm', 'growth')"
"  ORDER BY b.n DESC NULLS LAST, s.state_ms DESC NULLS LAST, s.pid";

static void
count_leak(PoReport *r, const PoReportLeak *leak)
{
	PoReportTenant *t = po_report_find_tenant(r, leak->tenant);

	r->n_leaked++;
	if (leak->exempt != NULL)
		r->n_leaked_exempt++;
	if (t == NULL)
		return;
	t->leaked++;
	if (leak->exempt != NULL)
		t->leaked_exempt++;
	if (leak->class[0] != '\0' && strstr(leak->class, "in_transaction") != NULL)
		t->leaked_in_transaction++;
	if (t->leak_class == NULL)
		t->leak_class = leak->class;
	t->blocked += (int) leak->blocks;
	t->leaked_longest_ms = fmax(t->leaked_longest_ms, leak->state_ms);
}

static void
take_leak(PoReportRow *row)
{
	PoReport   *r = row->report;
	PoReportLeak leak;

	leak.pid = po_report_int(row, 0);
	leak.tenant = po_report_text(row);
	leak.usename = po_report_text(row);
	leak.application = po_report_text(row);
	leak.address = po_report_text(row);
	leak.class = po_report_text(row);
	leak.verdict = po_report_text(row);
	leak.exempt = po_report_text(row);
	leak.state_ms = po_report_double(row);
	leak.probability = po_report_double(row);
	leak.transactions = po_report_double(row);
	leak.blocks = po_report_number(row);
	leak.xmin_age = po_report_double(row);
	count_leak(r, &leak);
	if (r->n_leaks < PO_REPORT_ROWS)
		r->leak[r->n_leaks++] = leak;
}

static const char clients_sql[] =
"SELECT tenant, application_name, host(client_addr), count(*)::int4,"
"  (count(*) FILTER (WHERE state IN ('active', 'fastpath function call')))::int4,"
"  (count(*) FILTER (WHERE state LIKE 'idle in transaction%'))::int4,"
"  (count(*) FILTER (WHERE state = 'idle'))::int4,"
"  max(state_ms) FILTER (WHERE state = 'idle')"
"  FROM @pool_stats_session GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT $1";

static void
take_client(PoReportRow *row)
{
	PoReportClient *c = &row->report->client[row->report->n_clients++];

	c->tenant = po_report_text(row);
	c->application = po_report_text(row);
	c->address = po_report_text(row);
	c->sessions = po_report_int(row, 0);
	c->busy = po_report_int(row, 0);
	c->in_transaction = po_report_int(row, 0);
	c->idle = po_report_int(row, 0);
	c->longest_idle_ms = po_report_double(row);
}

static void
read_sessions(PoReport *r)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(PO_REPORT_ROWS)};

	r->leak = palloc(PO_REPORT_ROWS * sizeof(PoReportLeak));
	po_report_query(r, leaks_sql, 0, NULL, NULL, take_leak, NULL);
	r->client = palloc(PO_REPORT_ROWS * sizeof(PoReportClient));
	po_report_query(r, clients_sql, 1, types, values, take_client, NULL);
}

/* ---------- events and alerts ---------- */

/* A detail that was too long is {}; one that is not ours to see is NULL. */
static const char refusals_sql[] =
"SELECT tenant, kind = 'would_reject', detail ->> 'rule', detail ->> 'role',"
"  detail ->> 'database', detail ->> 'application', detail ->> 'address', count(*)::float8,"
"  max((detail ->> 'limit')::int4), max((detail ->> 'waited_ms')::float8), min(at), max(at)"
"  FROM @pool_events WHERE kind IN ('reject', 'would_reject') AND at >= $1"
"  GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 2, 8 DESC, 12 DESC, 1";

static void
count_refusal(PoReport *r, const PoReportRefusal *refusal)
{
	PoReportTenant *t = po_report_find_tenant(r, refusal->tenant);

	if (t == NULL)
		return;
	if (refusal->would)
	{
		t->would_be_refused += refusal->n;
		return;
	}
	/* The most frequent comes first. */
	if (t->refused == 0)
	{
		t->refused_rule = refusal->rule;
		t->refused_limit = refusal->limit;
	}
	t->refused += refusal->n;
	t->refused_at = Max(t->refused_at, refusal->last);
}

static void
take_refusal(PoReportRow *row)
{
	PoReport   *r = row->report;
	PoReportRefusal refusal;

	refusal.tenant = po_report_text(row);
	refusal.would = po_report_bool(row);
	refusal.rule = po_report_text(row);
	refusal.role = po_report_text(row);
	refusal.database = po_report_text(row);
	refusal.application = po_report_text(row);
	refusal.address = po_report_text(row);
	refusal.n = po_report_number(row);
	refusal.limit = po_report_int(row, -1);
	refusal.waited_ms = po_report_number(row);
	refusal.first = po_report_time(row);
	refusal.last = po_report_time(row);
	count_refusal(r, &refusal);
	if (r->n_refusals < PO_REPORT_ROWS)
		r->refusal[r->n_refusals++] = refusal;
	else
		r->n_refusals_left_out++;
}

static const char alerts_sql[] =
"SELECT tenant, coalesce(alert, ''), coalesce(severity, ''), coalesce(message, ''), since"
"  FROM @pool_alerts"
"  ORDER BY severity = 'critical' DESC, since DESC";

static void
take_alert(PoReportRow *row)
{
	PoReport   *r = row->report;
	PoReportAlert alert;

	alert.tenant = po_report_text(row);
	alert.alert = po_report_text(row);
	alert.severity = po_report_text(row);
	alert.message = po_report_text(row);
	alert.since = po_report_time(row);
	if (r->n_alerts < PO_REPORT_ROWS)
	{
		r->alert[r->n_alerts++] = alert;
		return;
	}
	r->n_alerts_left_out++;
	if (strcmp(alert.severity, "critical") == 0)
		r->n_critical_left_out++;
}

static const char events_sql[] =
"SELECT at, kind, tenant, reason FROM @pool_events"
"  WHERE kind IN ('policy', 'resize', 'would_resize') AND tenant IS NOT NULL AND at >= $1"
"  ORDER BY at DESC LIMIT 20";

static void
take_event(PoReportRow *row)
{
	PoReportEvent *e = &row->report->event[row->report->n_events++];

	e->at = po_report_time(row);
	e->kind = po_report_text(row);
	e->tenant = po_report_text(row);
	e->reason = po_report_text(row);
}

static const char poolers_sql[] =
"SELECT DISTINCT pooler, state, error FROM @pool_stats_pooler"
"  WHERE state NOT IN ('ok', 'new') ORDER BY 1 LIMIT $1";

static void
take_pooler(PoReportRow *row)
{
	PoReportPooler *p = &row->report->pooler[row->report->n_poolers++];

	p->pooler = po_report_text(row);
	p->state = po_report_text(row);
	p->error = po_report_text(row);
}

static void
read_told(PoReport *r)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(PO_REPORT_ROWS)};

	r->refusal = palloc(PO_REPORT_ROWS * sizeof(PoReportRefusal));
	query_from(r, refusals_sql, take_refusal);
	r->event = palloc(PO_REPORT_ROWS * sizeof(PoReportEvent));
	query_from(r, events_sql, take_event);
	r->alert = palloc(PO_REPORT_ROWS * sizeof(PoReportAlert));
	if (r->has_alerts)
		po_report_query(r, alerts_sql, 0, NULL, NULL, take_alert, NULL);
	r->pooler = palloc(PO_REPORT_ROWS * sizeof(PoReportPooler));
	po_report_query(r, poolers_sql, 1, types, values, take_pooler, NULL);
}

/* ---------- statements and findings ---------- */

/* Whoever may not read a statement has neither its text nor its queryid from these views. */
static const char findings_sql[] =
"SELECT tenant, kind, severity, since, connections_spent, advice,"
"  evidence ->> 'statement', queryid::text, acknowledged, acknowledged_reason,"
"  (count(*) OVER ())::float8"
"  FROM @pool_findings"
"  ORDER BY acknowledged, connections_spent DESC, tenant COLLATE \"C\", kind, queryid LIMIT $1";

static void
take_found(PoReportRow *row)
{
	PoReportFound *f = &row->report->found[row->report->n_found++];

	f->tenant = po_report_text(row);
	f->kind = po_report_text(row);
	f->severity = po_report_text(row);
	f->since = po_report_time(row);
	f->connections = po_report_number(row);
	f->advice = po_report_text(row);
	f->statement = po_report_text(row);
	f->queryid = po_report_text(row);
	f->acknowledged = po_report_bool(row);
	f->reason = po_report_text(row);
	row->report->n_all_found = po_report_number(row);
}

static const char statements_sql[] =
"WITH s AS MATERIALIZED ("
"  SELECT tenant, queryid, calls, connection_seconds, share, mean_ms, client_wait_ms,"
"    query FROM @pool_stats_statement),"
" t AS (SELECT tenant, sum(connection_seconds) AS spent FROM s"
"    GROUP BY 1 HAVING sum(connection_seconds) > 0 ORDER BY 2 DESC, tenant COLLATE \"C\" LIMIT $1),"
" n AS (SELECT s.*, t.spent, row_number() OVER"
"    (PARTITION BY s.tenant ORDER BY connection_seconds DESC, queryid) AS place"
"    FROM s JOIN t ON t.tenant = s.tenant)"
"SELECT tenant, query, queryid::text, share, calls::float8, mean_ms,"
"  client_wait_ms / nullif(calls, 0)"
"  FROM n WHERE place <= $2 AND share >= 0.01"
"  ORDER BY spent DESC, tenant COLLATE \"C\", place";

static void
take_statement(PoReportRow *row)
{
	PoReportStatement *s = &row->report->statement[row->report->n_statements++];

	s->tenant = po_report_text(row);
	s->text = po_report_text(row);
	s->queryid = po_report_text(row);
	s->share = po_report_number(row);
	s->calls = po_report_number(row);
	s->mean_ms = po_report_double(row);
	s->wait_ms = po_report_double(row);
}

static void
read_statements(PoReport *r)
{
	Oid			types[] = {INT4OID, INT4OID};
	Datum		most_found[] = {Int32GetDatum(PO_REPORT_FOUND)};
	Datum		most[] = {Int32GetDatum(PO_REPORT_SPENDERS),
	Int32GetDatum(PO_REPORT_STATEMENTS)};

	if (!r->has_statements)
		return;
	r->found = palloc(PO_REPORT_FOUND * sizeof(PoReportFound));
	po_report_query(r, findings_sql, 1, types, most_found, take_found, NULL);
	r->statement = palloc(PO_REPORT_SPENDERS * PO_REPORT_STATEMENTS *
						  sizeof(PoReportStatement));
	po_report_query(r, statements_sql, 2, types, most, take_statement, NULL);
}

void
po_report_read(PoReport *r)
{
	r->since = r->now - r->since_us;
	read_cluster(r);
	read_tenants(r);
	read_sessions(r);
	read_told(r);
	read_statements(r);
}

/* ---------- what if ---------- */

static const char what_if_sql[] =
"SELECT size, utilization, wait_ms, throughput FROM @pool_what_if($1, $2)"
"  WHERE size % $3 = 0 ORDER BY size";

static PoReportSize *next_size;
static int	n_sizes_left;

static void
take_size(PoReportRow *row)
{
	if (n_sizes_left-- <= 0)
		return;
	next_size->size = po_report_int(row, 0);
	next_size->utilization = po_report_double(row);
	next_size->wait_ms = po_report_double(row);
	next_size->throughput = po_report_double(row);
	next_size++;
}

static void
query_what_if(PoReport *r, const PoReportTenant *t, int max_size, int every)
{
	Oid			types[] = {TEXTOID, INT4OID, INT4OID};
	Datum		values[] = {CStringGetTextDatum(t->name), Int32GetDatum(max_size),
	Int32GetDatum(every)};

	po_report_query(r, what_if_sql, lengthof(types), types, values, take_size, NULL);
}

/* A tenant may go at any moment, which is no reason to fail; all else is. */
int
po_report_read_what_if(PoReport *r, const PoReportTenant *t, int max_size, int every,
					   PoReportSize *sizes, int n)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	next_size = sizes;
	n_sizes_left = n;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		query_what_if(r, t, max_size, every);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode != ERRCODE_UNDEFINED_OBJECT)
			ReThrowError(error);
		FreeErrorData(error);
		next_size = sizes;
	}
	PG_END_TRY();
	return (int) (next_size - sizes);
}
