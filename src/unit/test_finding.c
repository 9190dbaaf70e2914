/*
 * test_finding.c
 *		What is a finding and what is none, and what holds for any evidence.
 */
#include "model/po_finding.h"

#include <math.h>

#include "check.h"

/* A statement of half a minute's work in five minutes, of a tenant with four times that. */
static const PoStatementEvidence plain = {
	.seconds = 300, .calls = 3000, .busy_s = 30, .wait_s = 3, .lock_s = 0.1, .rows = 3000,
	.plan = PO_PLAN_READS, .reads = 3000
};
static const PoTenantEvidence tenant = {
	.seconds = 300, .held_s = 132, .transactions = 6000, .transaction_s = 132,
	.read_only_s = 40, .sessions = 20, .brief_sessions = 2, .login_s = 0.1
};

static PoFound
judge(PoFindingKind kind, const PoStatementEvidence *s)
{
	PoFound		found;

	po_finding_judge_statement(kind, s, &tenant, &found);
	return found;
}

static PoFound
judge_tenant(PoFindingKind kind, const PoTenantEvidence *t)
{
	PoFound		found;

	po_finding_judge_tenant(kind, t, &found);
	return found;
}

static void
check_nothing(PoFindingKind kind, const PoStatementEvidence *s)
{
	PoFound		found = judge(kind, s);

	CHECK_WITH(found.severity == PO_FOUND_NOTHING, "%s", po_finding_name(kind));
	CHECK_NEAR(found.connections, 0, 0);
}

static void
test_names(void)
{
	char		list[512];
	char		little[20];

	po_finding_names(list, sizeof(list));
	po_finding_names(little, sizeof(little));
	CHECK_TEXT(little, "slow_statement, n_p");
	for (int i = 0; i < PO_N_FINDINGS; i++)
	{
		PoFindingKind kind = PO_FINDING_SESSION_STATE;

		CHECK(po_finding_parse(po_finding_name((PoFindingKind) i), &kind));
		CHECK_INT(kind, i);
		CHECK(strlen(po_finding_name((PoFindingKind) i)) < PO_FINDING_NAME_LEN);
		CHECK(strstr(list, po_finding_name((PoFindingKind) i)) != NULL);
		for (int k = 0; k < i; k++)
			CHECK(strcmp(po_finding_name((PoFindingKind) i), po_finding_name((PoFindingKind) k)) != 0);
	}
	CHECK_TEXT(po_finding_name((PoFindingKind) 99), "unknown");
	CHECK_TEXT(po_finding_name((PoFindingKind) -1), "unknown");
	CHECK_TEXT(po_finding_severity_name(PO_FOUND_CRITICAL), "critical");
	CHECK_TEXT(po_finding_severity_name((PoFindingSeverity) 4), "unknown");
	CHECK_TEXT(po_state_use_name(PO_USE_PREPARED), "prepare");
	CHECK_TEXT(po_state_use_name((PoStateUse) 6), "unknown");
	CHECK(!po_finding_parse("", &(PoFindingKind) {0}));
	CHECK(!po_finding_parse("slow", &(PoFindingKind) {0}));
}

/* A constant load, whoever often it is looked at, has its rate. */
static void
test_window(void)
{
	static const double steps[] = {0.1, 10, 31, 250, 4000};

	for (int i = 0; i < 5; i++)
	{
		double		seconds = 0;
		double		count = 0;
		double		at = 0;

		while (at < 4000)
		{
			double		kept = po_finding_decay(steps[i]);

			at += steps[i];
			count = count * kept + 7 * po_finding_new_seconds(steps[i]);
			seconds = seconds * kept + po_finding_new_seconds(steps[i]);
		}
		CHECK_NEAR(count / seconds, 7, 1e-9);
		CHECK_NEAR(seconds, PO_FINDING_MEMORY_S, 0.01);
	}
	/* The same for one step as for many. */
	CHECK_NEAR(po_finding_new_seconds(60), po_finding_new_seconds(20) +
			   po_finding_decay(20) * po_finding_new_seconds(40), 1e-9);
	CHECK_NEAR(po_finding_new_seconds(1), 1, 0.01);
	CHECK_NEAR(po_finding_decay(-5), 1, 0);
	CHECK_NEAR(po_finding_new_seconds(-5), 0, 0);
	CHECK_NEAR(po_finding_decay(NAN), 1, 0);
	CHECK_NEAR(po_finding_new_seconds(NAN), 0, 0);
}

static void
test_clean(void)
{
	for (int i = 0; i < PO_FIRST_TENANT_FINDING; i++)
		check_nothing((PoFindingKind) i, &plain);
	for (int i = PO_FIRST_TENANT_FINDING; i < PO_N_FINDINGS; i++)
		CHECK_INT(judge_tenant((PoFindingKind) i, &tenant).severity, PO_FOUND_NOTHING);
	/* A kind of the other sort, or none. */
	CHECK_INT(judge(PO_FINDING_CHURN, &plain).severity, PO_FOUND_NOTHING);
	CHECK_INT(judge((PoFindingKind) -1, &plain).severity, PO_FOUND_NOTHING);
	CHECK_INT(judge_tenant(PO_FINDING_HOT_ROW, &tenant).severity, PO_FOUND_NOTHING);
}

static void
test_slow(void)
{
	PoStatementEvidence s = plain;

	s.slow = 40;
	s.slow_s = 24;
	CHECK_INT(judge(PO_FINDING_SLOW_STATEMENT, &s).severity, PO_FOUND_INFO);
	CHECK_NEAR(judge(PO_FINDING_SLOW_STATEMENT, &s).connections, 0.08, 1e-9);
	s.very_slow = 4;
	CHECK_INT(judge(PO_FINDING_SLOW_STATEMENT, &s).severity, PO_FOUND_INFO);
	s.very_slow = 8;
	CHECK_INT(judge(PO_FINDING_SLOW_STATEMENT, &s).severity, PO_FOUND_WARNING);
	/* Because it waits for locks. */
	s.lock_s = 20;
	check_nothing(PO_FINDING_SLOW_STATEMENT, &s);
	/* One in thousands. */
	s = plain;
	s.calls = 30000;
	s.slow = s.very_slow = 1;
	s.slow_s = 20;
	check_nothing(PO_FINDING_SLOW_STATEMENT, &s);
	/* A few in thousands, that cost something; and some that do not. */
	s.slow = 10;
	CHECK_INT(judge(PO_FINDING_SLOW_STATEMENT, &s).severity, PO_FOUND_INFO);
	s.slow_s = 5;
	check_nothing(PO_FINDING_SLOW_STATEMENT, &s);
	/* Many connections full of it. */
	s = plain;
	s.slow = s.very_slow = s.calls = 1500;
	s.slow_s = s.busy_s = 1600;
	CHECK_INT(judge(PO_FINDING_SLOW_STATEMENT, &s).severity, PO_FOUND_CRITICAL);
}

static void
test_n_plus_one(void)
{
	PoStatementEvidence s = plain;

	s.loops = 60;
	s.loop_calls = 2760;
	CHECK_INT(judge(PO_FINDING_N_PLUS_ONE, &s).severity, PO_FOUND_INFO);
	/* 2,700 of 3,000 calls, of 33 s. */
	CHECK_NEAR(judge(PO_FINDING_N_PLUS_ONE, &s).connections, 0.099, 1e-9);
	s.loops = 2;
	check_nothing(PO_FINDING_N_PLUS_ONE, &s);
	s.loops = 60;
	s.loop_calls = 60;
	check_nothing(PO_FINDING_N_PLUS_ONE, &s);
	s.loop_calls = 2760;
	s.busy_s = 3;
	check_nothing(PO_FINDING_N_PLUS_ONE, &s);
}

static void
test_client_wait(void)
{
	PoStatementEvidence s = plain;

	s.wait_s = 60;
	CHECK_INT(judge(PO_FINDING_CLIENT_WAIT, &s).severity, PO_FOUND_INFO);
	CHECK_NEAR(judge(PO_FINDING_CLIENT_WAIT, &s).connections, 0.2, 1e-9);
	s.wait_s = 200;
	CHECK_INT(judge(PO_FINDING_CLIENT_WAIT, &s).severity, PO_FOUND_WARNING);
	s.wait_s = 2000;
	CHECK_INT(judge(PO_FINDING_CLIENT_WAIT, &s).severity, PO_FOUND_CRITICAL);
	/* Round trips, however many. */
	s.calls = 2e6;
	check_nothing(PO_FINDING_CLIENT_WAIT, &s);
	s = plain;
	s.wait_s = 60;
	s.busy_s = 61;
	check_nothing(PO_FINDING_CLIENT_WAIT, &s);
	/* Somebody who went for lunch, once. */
	s.busy_s = 0;
	s.calls = 1;
	check_nothing(PO_FINDING_CLIENT_WAIT, &s);
	/* Nobody has looked for long enough. */
	s.calls = 3000;
	s.seconds = 5;
	check_nothing(PO_FINDING_CLIENT_WAIT, &s);
}

/* Is it what the client does after this statement, or what it does after any? */
static void
test_waits_alike(void)
{
	PoStatementEvidence s = plain;
	PoTenantEvidence t = tenant;
	PoFound		found;

	/* 40 ms, and 0.5 ms after others. */
	s.calls = 1000;
	s.wait_s = 40;
	t.calls = 9000;
	t.wait_s = 44;
	CHECK(!po_finding_waits_alike(&s, &t));
	/* 40 ms each, but after COMMIT. */
	t.calls = 4000;
	t.wait_s = 120;
	CHECK(po_finding_waits_alike(&s, &t));
	po_finding_judge_statement(PO_FINDING_CLIENT_WAIT, &s, &t, &found);
	CHECK_INT(found.severity, PO_FOUND_INFO);
	s.wait_s = 200;
	t.wait_s = 300;
	po_finding_judge_statement(PO_FINDING_CLIENT_WAIT, &s, &t, &found);
	CHECK_INT(found.severity, PO_FOUND_WARNING);
	/* 10 ms each, from a client that has no CPU: no reason to wake anybody. */
	s.calls = 20000;
	t.calls = 40000;
	t.wait_s = 400;
	po_finding_judge_statement(PO_FINDING_CLIENT_WAIT, &s, &t, &found);
	CHECK_INT(found.severity, PO_FOUND_INFO);
	CHECK(found.connections > 0.5);
	/* And where the others do not wait. */
	t.wait_s = 210;
	po_finding_judge_statement(PO_FINDING_CLIENT_WAIT, &s, &t, &found);
	CHECK_INT(found.severity, PO_FOUND_WARNING);
	s.calls = 1000;
	s.wait_s = 40;
	/* There are no others, and none that is known. */
	t.calls = s.calls;
	t.wait_s = s.wait_s;
	CHECK(!po_finding_waits_alike(&s, &t));
	t.calls = t.wait_s = 0;
	CHECK(!po_finding_waits_alike(&s, &t));
	t.calls = t.wait_s = NAN;
	CHECK(!po_finding_waits_alike(&s, &t));
}

static void
test_unpaged(void)
{
	PoStatementEvidence s = plain;

	s.rows = 3000.0 * 2000;
	CHECK_INT(judge(PO_FINDING_UNPAGED_RESULT, &s).severity, PO_FOUND_INFO);
	CHECK_NEAR(judge(PO_FINDING_UNPAGED_RESULT, &s).connections, 29.9 * 0.95 / 300, 1e-9);
	s.plan |= PO_PLAN_LIMITED;
	check_nothing(PO_FINDING_UNPAGED_RESULT, &s);
	s.plan = 0;
	check_nothing(PO_FINDING_UNPAGED_RESULT, &s);
	s.plan = PO_PLAN_READS;
	s.rows = 3000.0 * 999;
	check_nothing(PO_FINDING_UNPAGED_RESULT, &s);
	s.rows = 1e9;
	s.calls = 2;
	check_nothing(PO_FINDING_UNPAGED_RESULT, &s);
}

static void
test_scan(void)
{
	PoStatementEvidence s = plain;

	s.scan_share = 0.9;
	s.scan_rows = 1e6;
	CHECK_INT(judge(PO_FINDING_SEQUENTIAL_SCAN, &s).severity, PO_FOUND_INFO);
	CHECK_NEAR(judge(PO_FINDING_SEQUENTIAL_SCAN, &s).connections, 29.9 * 0.9 / 300, 1e-9);
	s.scan_share = 0.4;
	check_nothing(PO_FINDING_SEQUENTIAL_SCAN, &s);
	s.scan_share = 0.9;
	s.scan_rows = 500;
	check_nothing(PO_FINDING_SEQUENTIAL_SCAN, &s);
	/* Of a tenant that is busy with other things. */
	s.scan_rows = 1e6;
	s.busy_s = 13;
	check_nothing(PO_FINDING_SEQUENTIAL_SCAN, &s);
}

static void
test_repeated(void)
{
	PoStatementEvidence s = plain;

	s.rereads[0] = 900;
	s.rereads[1] = 2400;
	s.rereads[2] = 2900;
	CHECK_INT(judge(PO_FINDING_REPEATED_READ, &s).severity, PO_FOUND_INFO);
	CHECK_INT(judge(PO_FINDING_REPEATED_READ, &s).ttl, 1);
	CHECK_NEAR(judge(PO_FINDING_REPEATED_READ, &s).connections, 29.9 * 0.8 / 300, 1e-9);
	s.rereads[0] = 1500;
	s.busy_s = 60;
	CHECK_INT(judge(PO_FINDING_REPEATED_READ, &s).ttl, 0);
	s.rereads[0] = s.rereads[1] = s.rereads[2] = 1400;
	check_nothing(PO_FINDING_REPEATED_READ, &s);
	s.reads = 19;
	check_nothing(PO_FINDING_REPEATED_READ, &s);
}

static void
test_hot_row(void)
{
	PoStatementEvidence s = plain;

	s.lock_s = 24;
	CHECK_INT(judge(PO_FINDING_HOT_ROW, &s).severity, PO_FOUND_INFO);
	CHECK_NEAR(judge(PO_FINDING_HOT_ROW, &s).connections, 0.08, 1e-9);
	s.lock_s = s.busy_s = 600;
	CHECK_INT(judge(PO_FINDING_HOT_ROW, &s).severity, PO_FOUND_WARNING);
	s.lock_s = s.busy_s = 6000;
	CHECK_INT(judge(PO_FINDING_HOT_ROW, &s).severity, PO_FOUND_CRITICAL);
	/* A migration that locked a table, once. */
	s.calls = 1;
	check_nothing(PO_FINDING_HOT_ROW, &s);
}

static void
test_tenant(void)
{
	PoTenantEvidence t = tenant;

	t.held_s = t.transaction_s = 600;
	t.read_only_s = 450;
	CHECK_INT(judge_tenant(PO_FINDING_READ_ONLY, &t).severity, PO_FOUND_INFO);
	CHECK_NEAR(judge_tenant(PO_FINDING_READ_ONLY, &t).connections, 1.5, 1e-9);
	t.read_only_s = 290;
	CHECK_INT(judge_tenant(PO_FINDING_READ_ONLY, &t).severity, PO_FOUND_NOTHING);
	t.transaction_s = 150;
	t.read_only_s = 140;
	CHECK_INT(judge_tenant(PO_FINDING_READ_ONLY, &t).severity, PO_FOUND_NOTHING);
	/* One backup. */
	t = tenant;
	t.transactions = 1;
	t.transaction_s = t.read_only_s = 300;
	CHECK_INT(judge_tenant(PO_FINDING_READ_ONLY, &t).severity, PO_FOUND_NOTHING);

	t = tenant;
	t.sessions = 400;
	t.brief_sessions = 390;
	t.login_s = 2;
	CHECK_INT(judge_tenant(PO_FINDING_CHURN, &t).severity, PO_FOUND_INFO);
	CHECK_NEAR(judge_tenant(PO_FINDING_CHURN, &t).connections, 2.0 / 300, 1e-9);
	t.sessions = t.brief_sessions = 6000;
	t.login_s = 30;
	CHECK_INT(judge_tenant(PO_FINDING_CHURN, &t).severity, PO_FOUND_WARNING);
	t.brief_sessions = 2900;
	CHECK_INT(judge_tenant(PO_FINDING_CHURN, &t).severity, PO_FOUND_NOTHING);
	t.sessions = t.brief_sessions = 9;
	CHECK_INT(judge_tenant(PO_FINDING_CHURN, &t).severity, PO_FOUND_NOTHING);

	t = tenant;
	t.uses[PO_USE_HELD_CURSOR] = 1;
	CHECK_INT(judge_tenant(PO_FINDING_SESSION_STATE, &t).severity, PO_FOUND_INFO);
	CHECK_NEAR(judge_tenant(PO_FINDING_SESSION_STATE, &t).connections, 0, 0);
}

/* ---------- any evidence ---------- */

static double
any(bool odd)
{
	return odd ? random_odd_double() : random_unit() * pow(10, random_below(6) - 1);
}

static void
any_statement(PoStatementEvidence *s, bool odd)
{
	double	   *number = &s->seconds;

	for (size_t i = 0; i < offsetof(PoStatementEvidence, plan) / sizeof(double); i++)
		number[i] = any(odd);
	s->plan = (unsigned) random_below(4);
	s->scan_share = odd ? random_odd_double() : random_unit();
	s->scan_rows = any(odd);
	if (!odd)
		s->seconds = 20 + random_unit() * 280;
}

static void
any_tenant(PoTenantEvidence *t, bool odd)
{
	double	   *number = &t->seconds;

	for (size_t i = 0; i < sizeof(*t) / sizeof(double); i++)
		number[i] = any(odd);
	if (!odd)
		t->seconds = 20 + random_unit() * 280;
}

static void
check_sound(const PoFound *found)
{
	CHECK(isfinite(found->connections) && found->connections >= 0);
	CHECK(found->severity >= PO_FOUND_NOTHING && found->severity <= PO_FOUND_CRITICAL);
	CHECK(found->ttl >= 0 && found->ttl < PO_N_CACHE_TTLS);
	CHECK(found->severity != PO_FOUND_NOTHING || found->connections == 0);
}

/* Never less after one figure has grown than before. */
static void
check_grows(const PoFound *before, const PoFound *after, const char *what)
{
	CHECK_WITH(after->severity >= before->severity, "%s", what);
	CHECK_WITH(after->connections >= before->connections * (1 - 1e-12), "%s: %g, then %g", what,
			   before->connections, after->connections);
}

/* More of what a kind is about does not make the finding smaller. */
static void
test_monotone(void)
{
	static const size_t about[PO_FIRST_TENANT_FINDING] = {
		offsetof(PoStatementEvidence, slow_s), offsetof(PoStatementEvidence, loop_calls),
		offsetof(PoStatementEvidence, wait_s), offsetof(PoStatementEvidence, rows),
		offsetof(PoStatementEvidence, scan_share), offsetof(PoStatementEvidence, rereads),
		offsetof(PoStatementEvidence, lock_s)
	};

	for (int round = 0; round < 40000; round++)
	{
		PoStatementEvidence s;
		PoStatementEvidence more;
		PoTenantEvidence t;
		PoTenantEvidence more_of_t;

		any_statement(&s, false);
		any_tenant(&t, false);
		for (int i = 0; i < PO_FIRST_TENANT_FINDING; i++)
		{
			PoFound		before;
			PoFound		after;

			more = s;
			*(double *) ((char *) &more + about[i]) *= 1 + random_unit() * 3;
			po_finding_judge_statement((PoFindingKind) i, &s, &t, &before);
			po_finding_judge_statement((PoFindingKind) i, &more, &t, &after);
			/* Of repeated reads the shorter time to live is taken, which may have fewer hits. */
			if (before.ttl == after.ttl)
				check_grows(&before, &after, po_finding_name((PoFindingKind) i));
		}
		for (int i = PO_FIRST_TENANT_FINDING; i < PO_N_FINDINGS; i++)
		{
			PoFound		before;
			PoFound		after;

			more_of_t = t;
			more_of_t.read_only_s *= 1 + random_unit();
			more_of_t.login_s *= 1 + random_unit();
			more_of_t.brief_sessions *= 1 + random_unit();
			more_of_t.uses[0] += 1;
			po_finding_judge_tenant((PoFindingKind) i, &t, &before);
			po_finding_judge_tenant((PoFindingKind) i, &more_of_t, &after);
			check_grows(&before, &after, po_finding_name((PoFindingKind) i));
		}
	}
}

/* A statement does not cost more than it holds. */
static void
test_bounded(void)
{
	int			n_found = 0;

	for (int round = 0; round < 40000; round++)
	{
		PoStatementEvidence s;
		PoTenantEvidence t;
		PoFound		found;

		any_statement(&s, false);
		any_tenant(&t, false);
		s.loop_calls = fmin(s.loop_calls, s.calls);
		for (int i = 0; i < PO_FIRST_TENANT_FINDING; i++)
		{
			po_finding_judge_statement((PoFindingKind) i, &s, &t, &found);
			check_sound(&found);
			n_found += found.severity != PO_FOUND_NOTHING;
			CHECK(found.connections <= (s.busy_s + s.wait_s) / s.seconds * (1 + 1e-9));
		}
	}
	CHECK(n_found > 1000);
}

static bool
is_worse(PoFindingSeverity severity, double connections, PoFindingSeverity then, double before)
{
	PoFound		now = {severity, connections, 0};
	PoFound		acknowledged = {then, before, 0};

	return po_finding_is_worse(&now, &acknowledged);
}

static void
test_worse(void)
{
	PoFindingSeverity severity;

	CHECK(!is_worse(PO_FOUND_WARNING, 1, PO_FOUND_WARNING, 1));
	CHECK(!is_worse(PO_FOUND_WARNING, 1.6, PO_FOUND_WARNING, 1));
	CHECK(is_worse(PO_FOUND_WARNING, 1.61, PO_FOUND_WARNING, 1));
	CHECK(!is_worse(PO_FOUND_INFO, 0.1, PO_FOUND_INFO, 0));
	CHECK(is_worse(PO_FOUND_INFO, 0.11, PO_FOUND_INFO, 0));
	CHECK(is_worse(PO_FOUND_CRITICAL, 1, PO_FOUND_WARNING, 9));
	CHECK(!is_worse(PO_FOUND_INFO, 1, PO_FOUND_WARNING, 9));
	/* What is not known acknowledges nothing. */
	CHECK(is_worse(PO_FOUND_WARNING, NAN, PO_FOUND_WARNING, 1));
	CHECK(is_worse(PO_FOUND_WARNING, 1, PO_FOUND_WARNING, NAN));
	for (int i = PO_FOUND_INFO; i <= PO_FOUND_CRITICAL; i++)
		CHECK(po_finding_severity_parse(po_finding_severity_name((PoFindingSeverity) i),
										&severity) && (int) severity == i);
	CHECK(!po_finding_severity_parse("nothing", &severity));
}

static void
test_odd(void)
{
	for (int round = 0; round < 30000; round++)
	{
		PoStatementEvidence s;
		PoTenantEvidence t;
		PoFound		found;

		any_statement(&s, true);
		any_tenant(&t, true);
		for (int i = -1; i <= PO_N_FINDINGS; i++)
		{
			po_finding_judge_statement((PoFindingKind) i, &s, &t, &found);
			check_sound(&found);
			po_finding_judge_tenant((PoFindingKind) i, &t, &found);
			check_sound(&found);
		}
	}
}

int
main(void)
{
	test_names();
	test_window();
	test_clean();
	test_slow();
	test_n_plus_one();
	test_client_wait();
	test_waits_alike();
	test_unpaged();
	test_scan();
	test_repeated();
	test_hot_row();
	test_tenant();
	test_monotone();
	test_bounded();
	test_worse();
	test_odd();
	return check_end("test_finding");
}
