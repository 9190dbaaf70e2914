/*
 * test_pooler_rows.c
 *		The console's answers of several versions are read alike, nonsense is refused,
 *		lists of connection strings are split where they should be.
 */
#include "model/po_pooler_rows.h"

#include "check.h"

#define N(array) ((int) (sizeof(array) / sizeof((array)[0])))

static void
test_pools(void)
{
	static const char *const names[] = {"database", "user", "cl_active", "cl_waiting",
		"cl_active_cancel_req", "sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login",
	"maxwait", "maxwait_us", "pool_mode", "load_balance_hosts"};
	static const char *const values[] = {"app", "web", "3", "20", "0", "5", "1", "2", "0", "1",
	"2", "345", "transaction", NULL};
	/* The same in another order, some missing. */
	static const char *const other[] = {"sv_idle", "sv_active", "cl_waiting", "new_one",
	"cl_active", "user", "database"};
	static const char *const other_values[] = {"1", "5", "20", "x", "3", "web", "app"};
	PoPoolerBinding b;
	PoPoolerRecord r;

	CHECK(po_pooler_bind(PO_POOLER_POOLS, names, N(names), &b));
	CHECK(po_pooler_read(&b, values, &r));
	CHECK_TEXT(r.pool.database, "app");
	CHECK_TEXT(r.pool.user, "web");
	CHECK_INT(r.pool.cl_active, 3);
	CHECK_INT(r.pool.cl_waiting, 20);
	CHECK_INT(r.pool.sv_active, 5);
	CHECK_INT(r.pool.sv_idle, 1);
	CHECK_INT(r.pool.sv_used, 2);
	CHECK_INT(r.pool.sv_login, 1);
	CHECK_INT(r.pool.maxwait, 2);
	CHECK_INT(r.pool.maxwait_us, 345);
	CHECK_TEXT(r.pool.pool_mode, "transaction");

	CHECK(po_pooler_bind(PO_POOLER_POOLS, other, N(other), &b));
	CHECK(po_pooler_read(&b, other_values, &r));
	CHECK_INT(r.pool.cl_waiting, 20);
	CHECK_INT(r.pool.sv_used, 0);
	CHECK_TEXT(r.pool.pool_mode, "");
	CHECK(!po_pooler_bind(PO_POOLER_POOLS, other, N(other) - 1, &b));
	CHECK(!po_pooler_bind(PO_POOLER_POOLS, names, 0, &b));
	CHECK(!po_pooler_bind(PO_POOLER_POOLS, names, PO_POOLER_MOST_COLUMNS + 1, &b));
}

/* 1.18 says reserve_pool, 1.24 reserve_pool_size. */
static void
test_databases(void)
{
	static const char *const old[] = {"name", "host", "port", "database", "force_user",
	"pool_size", "min_pool_size", "reserve_pool", "pool_mode"};
	static const char *const new[] = {"name", "host", "port", "database", "force_user",
	"pool_size", "min_pool_size", "reserve_pool_size", "server_lifetime"};
	static const char *const values[] = {"app", "127.0.0.1", "5432", "shop", NULL, "9", "2",
	"4", NULL};
	PoPoolerBinding b;
	PoPoolerRecord r;

	for (int i = 0; i < 2; i++)
	{
		CHECK(po_pooler_bind(PO_POOLER_DATABASES, i == 0 ? old : new, N(old), &b));
		CHECK(po_pooler_read(&b, values, &r));
		CHECK_TEXT(r.database.name, "app");
		CHECK_TEXT(r.database.dbname, "shop");
		CHECK_TEXT(r.database.force_user, "");
		CHECK_INT(r.database.pool_size, 9);
		CHECK_INT(r.database.min_pool_size, 2);
		CHECK_INT(r.database.reserve_pool_size, 4);
	}
}

/* Users have a pool size from 1.23 on only. */
static void
test_users(void)
{
	static const char *const old[] = {"name", "pool_mode"};
	static const char *const new[] = {"name", "pool_size", "pool_mode"};
	static const char *const unset[] = {"web", NULL, NULL};
	static const char *const set[] = {"web", "        7", NULL};
	PoPoolerBinding b;
	PoPoolerRecord r;

	CHECK(!po_pooler_bind(PO_POOLER_USERS, old, N(old), &b));
	CHECK(po_pooler_bind(PO_POOLER_USERS, new, N(new), &b));
	CHECK(po_pooler_read(&b, unset, &r));
	CHECK_INT(r.user.pool_size, -1);
	CHECK(po_pooler_read(&b, set, &r));
	CHECK_INT(r.user.pool_size, 7);
}

/* Names of applications may be as long as anybody likes; before 1.18 there are none. */
static void
test_clients(void)
{
	static const char *const names[] = {"type", "user", "database", "state", "addr", "port", "link",
	"remote_pid", "application_name"};
	static char long_name[3 * PO_PART_LEN];
	const char *values[] = {"C", "web", "app", "waiting", "10.0.0.7", "4711", "", "815", long_name};
	PoPoolerBinding b;
	PoPoolerRecord r;

	memset(long_name, 'a', sizeof(long_name) - 1);
	CHECK(po_pooler_bind(PO_POOLER_CLIENTS, names, N(names), &b));
	CHECK(po_pooler_read(&b, values, &r));
	CHECK_TEXT(r.client.database, "app");
	CHECK_TEXT(r.client.user, "web");
	CHECK_TEXT(r.client.state, "waiting");
	CHECK_TEXT(r.client.addr, "10.0.0.7");
	CHECK_INT(strlen(r.client.application_name), PO_PART_LEN - 1);
	CHECK_INT(r.client.remote_pid, 815);
	CHECK(po_pooler_bind(PO_POOLER_CLIENTS, names, N(names) - 1, &b));
	CHECK(po_pooler_read(&b, values, &r));
	CHECK_TEXT(r.client.application_name, "");
	CHECK(!po_pooler_bind(PO_POOLER_CLIENTS, names, 4, &b));
}

static void
test_nonsense(void)
{
	static const char *const names[] = {"database", "user", "remote_pid"};
	static const char *const bad[] = {"", "-", "1x", "x", " ", "1 ", "- 1", "+1", "1.5", "--1"};
	static char long_name[PO_PART_LEN + 1];
	const char *values[] = {"app", "web", "17"};
	PoPoolerBinding b;
	PoPoolerRecord r;

	CHECK(po_pooler_bind(PO_POOLER_SERVERS, names, N(names), &b));
	CHECK(po_pooler_read(&b, values, &r));
	CHECK_INT(r.server.remote_pid, 17);
	for (int i = 1; i < N(bad); i++)
	{
		values[2] = bad[i];
		CHECK_WITH(!po_pooler_read(&b, values, &r), "\"%s\"", bad[i]);
	}
	values[2] = "99999999999999999999999999";
	CHECK(po_pooler_read(&b, values, &r));
	CHECK(r.server.remote_pid > INT64_C(9000000000000000000));
	values[2] = "-5";
	CHECK(po_pooler_read(&b, values, &r));
	CHECK_INT(r.server.remote_pid, -5);

	memset(long_name, 'a', PO_PART_LEN - 1);
	values[0] = long_name;
	CHECK(po_pooler_read(&b, values, &r));
	long_name[PO_PART_LEN - 1] = 'a';
	CHECK(!po_pooler_read(&b, values, &r));
	values[0] = "";
	CHECK(!po_pooler_read(&b, values, &r));
	values[0] = NULL;
	CHECK(!po_pooler_read(&b, values, &r));
}

static void
check_split(const char *list, int n, const char *const *want)
{
	PoPoolerEntry entry[PO_POOLER_MOST];

	CHECK_INT(po_pooler_split(list, entry), n);
	for (int i = 0; i < n; i++)
		CHECK_WITH(entry[i].length == strlen(want[i]) &&
				   memcmp(list + entry[i].start, want[i], entry[i].length) == 0,
				   "%d of \"%s\"", i, list);
}

static void
test_split(void)
{
	static const char *const two[] = {"host=a port=1", "host=b"};
	static const char *const quoted[] = {"user='a;b' host=c", "user=x\\;y"};
	static const char *const uris[] = {"postgresql://u'@h/db", "postgres://h"};
	PoPoolerEntry entry[PO_POOLER_MOST];

	check_split("", 0, NULL);
	check_split(" ; ;; ", 0, NULL);
	check_split("host=a port=1;host=b", 2, two);
	check_split("; host=a port=1 ;\n host=b\t;", 2, two);
	check_split("user='a;b' host=c;user=x\\;y", 2, quoted);
	check_split("postgresql://u'@h/db;postgres://h", 2, uris);
	CHECK_INT(po_pooler_split("user='a;b", entry), -1);
	CHECK_INT(po_pooler_split("a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p", entry), 16);
	CHECK_INT(po_pooler_split("a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;q", entry), -1);
}

static void
test_words(void)
{
	CHECK(po_pooler_template_fits("%u@%d"));
	CHECK(po_pooler_template_fits("all"));
	CHECK(po_pooler_template_fits("%%u/%d"));
	CHECK(!po_pooler_template_fits("%u@%d/%a"));
	CHECK(!po_pooler_template_fits("%h"));
	CHECK(!po_pooler_template_fits("%L"));

	CHECK(po_pooler_option_is_secret("password"));
	CHECK(po_pooler_option_is_secret("sslpassword"));
	CHECK(po_pooler_option_is_secret("oauth_client_secret"));
	CHECK(po_pooler_option_is_secret("scram_client_key"));
	CHECK(!po_pooler_option_is_secret("passfile"));
	CHECK(!po_pooler_option_is_secret("service"));
	CHECK(!po_pooler_option_is_secret("sslkey"));
}

static void
test_rates(void)
{
	PoPoolerStats before = {"app", -1, 100, 200, 5000, 1000};
	PoPoolerStats now = {"app", -1, 150, 300, 105000, 51000};
	PoPoolerRates r;

	po_pooler_rates(NULL, &now, 2000000, 9, &r);
	CHECK(r.xacts == -1 && r.queries == -1 && r.xact_ms == -1 && r.wait_ms == -1);
	CHECK(r.queued == -1);
	po_pooler_rates(&before, &now, 2000000, 0, &r);
	CHECK_NEAR(r.xacts, 25, 1e-9);
	CHECK_NEAR(r.queries, 50, 1e-9);
	CHECK_NEAR(r.xact_ms, 2, 1e-9);
	CHECK_NEAR(r.wait_ms, 1, 1e-9);
	CHECK_NEAR(r.queued, 0.025, 1e-9);
	/* Assignments, where they are counted, are what clients wait for. */
	before.assignments = 0;
	now.assignments = 10;
	po_pooler_rates(&before, &now, 2000000, 0, &r);
	CHECK_NEAR(r.wait_ms, 5, 1e-9);
	/* Nothing happened: no mean, and nobody waited. */
	po_pooler_rates(&now, &now, 2000000, 0, &r);
	CHECK(r.xacts == 0 && r.xact_ms == -1 && r.wait_ms == -1 && r.queued == 0);
	/* PgBouncer has begun anew. */
	po_pooler_rates(&now, &before, 2000000, 9, &r);
	CHECK(r.xacts == -1 && r.queries == -1 && r.xact_ms == -1 && r.wait_ms == -1);
	CHECK(r.queued == -1);
	po_pooler_rates(&before, &now, 0, 9, &r);
	CHECK(r.xacts == -1 && r.queued == -1);
	po_pooler_rates(&before, &now, -1, 9, &r);
	CHECK(r.queued == -1);
}

/* The mean of an evaluation, not of the last answer in it. */
static void
test_queue_mean(void)
{
	PoPoolerQueue none = {0, 0, 0, 0};
	PoPoolerQueue before = none;
	PoPoolerQueue now;

	po_pooler_queue_pass(&before, -1, 1000, 7);
	CHECK(before.n == 1 && before.known_us <= 0);
	po_pooler_queue_pass(&before, 8, 2000000, 2000007);
	now = before;
	CHECK(!po_pooler_queue_has_grown(&before, &now));
	po_pooler_queue_pass(&now, -1, 5000000, 7000007);
	CHECK(!po_pooler_queue_has_grown(&before, &now));
	po_pooler_queue_pass(&now, 2, 3000000, 10000007);
	po_pooler_queue_pass(&now, 3, 0, 10000007);
	po_pooler_queue_pass(&now, 6, 1000000, 11000007);
	CHECK(po_pooler_queue_has_grown(&before, &now));
	CHECK_NEAR(po_pooler_queue_mean(&before, &now), 3, 1e-9);
	CHECK(!po_pooler_queue_has_grown(&none, &now) && !po_pooler_queue_has_grown(&now, &before));
	/* Another pooler that has waited for longer in more time. */
	now.since++;
	CHECK(!po_pooler_queue_has_grown(&before, &now));
	now = before;
	now.known_us = before.waited_us = NAN;
	CHECK(!po_pooler_queue_has_grown(&before, &now));
}

/* Two databases, 3 and 5 waiting. */
static void
test_queue_sum(void)
{
	PoPoolerQueue one = {0, 0, 0, 0};
	PoPoolerQueue other = {0, 0, 0, 0};
	PoPoolerQueue before = {0, 0, 0, 0};
	PoPoolerQueue now = {0, 0, 0, 0};

	po_pooler_queue_pass(&one, -1, 0, 10);
	po_pooler_queue_pass(&other, -1, 0, INT64_MAX);
	po_pooler_queue_add(&before, &one);
	po_pooler_queue_add(&before, &other);
	po_pooler_queue_pass(&one, 3, 2000000, 2000010);
	po_pooler_queue_pass(&other, 5, 2000000, INT64_MAX);
	po_pooler_queue_add(&now, &one);
	po_pooler_queue_add(&now, &other);
	CHECK_INT(now.n, 2);
	CHECK(po_pooler_queue_has_grown(&before, &now));
	CHECK_NEAR(po_pooler_queue_mean(&before, &now), 8, 1e-9);
	CHECK(!po_pooler_queue_has_grown(&one, &now));
}

/* How many wait: what has ended counts, and whoever waits all the time. */
static void
test_queued(void)
{
	PoPoolerStats before = {"app", 0, 100, 200, 5000, 1000};
	PoPoolerStats now = {"app", 10, 150, 300, 105000, 7001000};
	PoPoolerRates r;

	po_pooler_rates(&before, &now, 2000000, 0, &r);
	CHECK_NEAR(r.queued, 3.5, 1e-9);
	po_pooler_rates(&before, &now, 2000000, 3, &r);
	CHECK_NEAR(r.queued, 3.5, 1e-9);
	po_pooler_rates(&before, &now, 2000000, 4, &r);
	CHECK_NEAR(r.queued, 4, 1e-9);
	po_pooler_rates(&now, &now, 2000000, INT64_MAX, &r);
	CHECK(isfinite(r.queued) && r.queued > 9e18);
	po_pooler_rates(&now, &now, 2000000, -5, &r);
	CHECK(r.queued == 0);
	/* Not told, before or now: not even those stuck make it known. */
	before.wait_us = -1;
	po_pooler_rates(&before, &now, 2000000, 4, &r);
	CHECK(r.queued == -1 && r.wait_ms == -1);
	before.wait_us = now.wait_us;
	now.wait_us = -1;
	po_pooler_rates(&before, &now, 2000000, 4, &r);
	CHECK(r.queued == -1 && r.wait_ms == -1);
	before.wait_us = 0;
	now.wait_us = INT64_MAX;
	po_pooler_rates(&before, &now, 1, 0, &r);
	CHECK(isfinite(r.queued) && r.queued > 9e18);
}

int
main(void)
{
	test_pools();
	test_databases();
	test_users();
	test_clients();
	test_nonsense();
	test_split();
	test_words();
	test_rates();
	test_queue_mean();
	test_queue_sum();
	test_queued();
	return check_end("test_pooler_rows");
}
