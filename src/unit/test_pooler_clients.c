/*
 * test_pooler_clients.c
 *		Clients of a pool are counted by application and instance, whatever they call themselves.
 */
#include "model/po_pooler_clients.h"

#include <stdlib.h>

#include "check.h"

#define N(array) ((int) (sizeof(array) / sizeof((array)[0])))

static PoPoolerCaller
caller(const char *user, const char *state, const char *addr, const char *application)
{
	PoPoolerClient client;
	PoPoolerCaller result;

	memset(&client, 0, sizeof(client));
	snprintf(client.database, sizeof(client.database), "shop");
	snprintf(client.user, sizeof(client.user), "%s", user);
	snprintf(client.state, sizeof(client.state), "%s", state);
	snprintf(client.addr, sizeof(client.addr), "%s", addr);
	snprintf(client.application_name, sizeof(client.application_name), "%s", application);
	memset(&result, 'x', sizeof(result));
	po_pooler_caller(&client, &result);
	return result;
}

static void
sort(PoPoolerCaller *callers, int n)
{
	qsort(callers, (size_t) n, sizeof(PoPoolerCaller), po_pooler_compare_callers);
}

static void
test_pools(void)
{
	PoPoolerCaller c[] = {
		caller("web", "active", "10.0.0.1", "rails"),
		caller("cron", "active", "10.0.0.1", "rails"),
		caller("web", "waiting", "10.0.0.2", "rails"),
		caller("web", "active", "10.0.0.2", "rails"),
		caller("web", "waiting_login", "10.0.0.2", ""),
		/* One address, as behind a load balancer; two processes by their names. */
		caller("web", "active", "10.0.0.9", "job-4711"),
		caller("web", "waiting_cancel_req", "10.0.0.9", "job-4712"),
		caller("web", "active", "10.0.0.9", "job-4712"),
	};
	PoPoolerCallers of;

	sort(c, N(c));
	CHECK_TEXT(c[0].user, "cron");
	CHECK_INT(po_pooler_count_callers(c, N(c), &of), 1);
	CHECK_INT(of.instances, 1);
	CHECK_TEXT(of.text, "rails: 1 client of 1 instance");

	CHECK_INT(po_pooler_count_callers(c + 1, N(c) - 1, &of), 7);
	CHECK_INT(of.instances, 2 + 1 + 2);
	CHECK_INT(of.least, 1);
	CHECK_TEXT(of.text, "rails: 3 clients of 2 instances, 1 waits; (no name): 1 client of 1 instance, "
			   "1 waits; job-#: 3 clients of 2 instances");

	/* None at all. */
	CHECK_INT(po_pooler_count_callers(c, 0, &of), 0);
	CHECK_INT(of.instances, 0);
	CHECK_TEXT(of.text, "");
}

/* Those whose clients wait come first, then the largest; the rest is a number. */
static void
test_order(void)
{
	PoPoolerCaller c[10];
	PoPoolerCallers of;

	for (int i = 0; i < N(c); i++)
	{
		static const char *const names[] = {"a", "b", "c", "d", "e"};

		/* One of a, b and c, four of d, three of e, one of which waits. */
		c[i] = caller("web", i == 9 ? "waiting" : "active", "::1", names[i < 3 ? i : i < 7 ? 3 : 4]);
	}
	sort(c, N(c));
	CHECK_INT(po_pooler_count_callers(c, N(c), &of), N(c));
	CHECK_INT(of.instances, 5);
	CHECK_TEXT(of.text, "e: 3 clients of 1 instance, 1 waits; d: 4 clients of 1 instance; "
			   "a: 1 client of 1 instance; 2 more");
}

/* By a Unix socket there is one address: processes are told apart by their ids, if there are
 * any. */
static void
test_unix(void)
{
	static const struct
	{
		const char *addr;
		const char *application;
		int			pid;
	} told[] = {
		{"unix", "rails", 100}, {"unix", "rails", 100}, {"unix", "rails", 101},
		{"unix(102)", "rails", 102}, {"unix", "rails", 0}, {"unix", "job-4711", 103},
		/* Of one address by TCP it is none of the client's. */
		{"10.0.0.1", "rails", 104}, {"10.0.0.1", "rails", 105},
	};
	PoPoolerCaller c[N(told)];
	PoPoolerCallers of;

	for (int i = 0; i < N(told); i++)
	{
		PoPoolerClient client;

		memset(&client, 0, sizeof(client));
		snprintf(client.addr, sizeof(client.addr), "%s", told[i].addr);
		snprintf(client.application_name, sizeof(client.application_name), "%s",
				 told[i].application);
		client.remote_pid = told[i].pid;
		po_pooler_caller(&client, &c[i]);
	}
	sort(c, N(c));
	CHECK_INT(po_pooler_count_callers(c, N(c), &of), N(c));
	CHECK_TEXT(of.text, "rails: 7 clients of 5 instances; job-#: 1 client of 1 instance");
}

/* What a client calls itself ends in a view: as the server takes names in. */
static void
test_names(void)
{
	PoPoolerCaller c[4];
	PoPoolerCallers of;
	char		longest[PO_PART_LEN];

	c[0] = caller("web", "active", "unix", "100% \n\x1b[2Jw\xc3\xb6rk");
	CHECK_TEXT(c[0].family, "#% ??[#Jw??rk");
	memset(longest, 'n', sizeof(longest));
	longest[PO_PART_LEN - 1] = '\0';
	for (int i = 0; i < N(c); i++)
	{
		longest[0] = (char) ('a' + i);
		c[i] = caller("web", "waiting", "unix", longest);
	}
	CHECK_INT(po_pooler_count_callers(c, N(c), &of), N(c));
	CHECK(strlen(of.text) == PO_CALLERS_TEXT_LEN - 1);
}

int
main(void)
{
	test_pools();
	test_order();
	test_unix();
	test_names();
	return check_end("test_pooler_clients");
}
