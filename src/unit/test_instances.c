/*
 * test_instances.c
 *		Names of applications, presence over time, and sizes for instances of direct clients.
 */
#include "check.h"
#include "model/po_instances.h"

#include <stdlib.h>

#include "model/po_queueing.h"

#define S(n)		((n) * PO_US_PER_S)
#define MEMORY		S(1800)

/* ---------- names ---------- */

static void
check_family(const char *application, const char *family, bool own)
{
	char		text[PO_PART_LEN];

	CHECK_INT(po_instances_family(application, text), own);
	CHECK_TEXT(text, family);
}

static void
test_families(void)
{
	check_family("", "", false);
	check_family("web", "web", false);
	check_family("[unknown]", "[unknown]", false);
	check_family("PostgreSQL JDBC Driver", "PostgreSQL JDBC Driver", false);
	/* Small numbers may be a version, or another application. */
	check_family("app1", "app1", false);
	check_family("api-v2.13", "api-v2.13", false);
	check_family("h26 s3cache", "h26 s3cache", false);
	check_family("h264 s3cache", "h# s#cache", true);
	/* Process ids, and pods of Kubernetes. */
	check_family("puma: cluster worker 0: 4711 [shop]", "puma: cluster worker #: # [shop]", true);
	check_family("sidekiq 6.5 shop [0 of 10 busy]", "sidekiq 6.5 shop [0 of 10 busy]", false);
	check_family("web-7d9f8c6b5-x2x4z", "web-#-#", true);
	check_family("12345", "#", true);
	check_family("worker1234", "worker#", true);
	check_family("\xe6\xbc\xa2 123", "\xe6\xbc\xa2 #", true);
	check_family("a1b2c3", "#", true);
	/* 63 bytes is what an application_name has at most. */
	check_family("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1234",
				 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx#", true);
}

static void
test_family_any(void)
{
	static const char some[] = "a9-Z 0.:[]#b17%\xc3\xa4";

	for (int round = 0; round < 20000; round++)
	{
		char		name[200];
		char		family[PO_PART_LEN + 1];
		char		again[PO_PART_LEN];
		int			n = random_below(sizeof(name));

		for (int i = 0; i < n; i++)
			name[i] = some[random_below(sizeof(some) - 1)];
		name[n] = '\0';
		family[PO_PART_LEN] = 'x';
		(void) po_instances_family(name, family);
		CHECK(family[PO_PART_LEN] == 'x' && strlen(family) <= strlen(name));
		/* It is nobody's own any more. */
		CHECK(!po_instances_family(family, again));
		CHECK_TEXT(again, family);
	}
}

/* ---------- presence ---------- */

static void
test_presence(void)
{
	PoPresence	p;
	int64_t		now = S(1000);

	memset(&p, 0, sizeof(p));
	CHECK_NEAR(po_presence_busy(&p), 0, 0);
	CHECK_NEAR(po_presence_live(&p), 0, 0);
	po_presence_pass(&p, 0, 0, now, MEMORY);
	/* Four instances with three sessions busy, from the first second on. */
	for (int i = 0; i < 60; i++)
	{
		now += S(1);
		po_presence_pass(&p, 4, 3 * S(1), now, MEMORY);
		CHECK_NEAR(po_presence_busy(&p), 3, 1e-6);
		CHECK_NEAR(po_presence_live(&p), 4, 1e-6);
	}
	/* A deploy of two minutes among two hours counts little. */
	for (int i = 0; i < 7200; i++)
	{
		now += S(1);
		po_presence_pass(&p, i < 7000 || i >= 7120 ? 4 : 8, 3 * S(1), now, MEMORY);
	}
	CHECK_NEAR(po_presence_live(&p), 4, 0.4);
	/* At night nobody is there: the load is forgotten, the number of instances is not. */
	po_presence_pass(&p, 0, 0, now + S(36000), MEMORY);
	CHECK_NEAR(po_presence_busy(&p), 0, 1e-6);
	CHECK_NEAR(po_presence_live(&p), 4, 0.4);
	/* A clock that goes back does nothing. */
	po_presence_pass(&p, 100, S(1000), now, MEMORY);
	CHECK_NEAR(po_presence_live(&p), 4, 0.4);
	/* In one step or in many, the same. */
	memset(&p, 0, sizeof(p));
	po_presence_pass(&p, 0, 0, S(1), MEMORY);
	po_presence_pass(&p, 2, 5 * S(100), S(101), MEMORY);
	CHECK_NEAR(po_presence_busy(&p), 5, 1e-6);
	CHECK_NEAR(po_presence_live(&p), 2, 1e-6);
}

static void
test_overlap(void)
{
	PoOverlap	o;
	int64_t		now = S(1000);

	memset(&o, 0, sizeof(o));
	CHECK_INT(po_overlap_most(&o, 0, now), 0);
	CHECK(po_overlap_note(&o, 4, now));
	CHECK(!po_overlap_note(&o, 4, now));
	CHECK(po_overlap_note(&o, 6, now + S(60)));
	CHECK(!po_overlap_note(&o, 4, now + S(120)));
	CHECK_INT(po_overlap_most(&o, 4, now + S(120)), 6);
	/* Next week it is still known, the week after it is not. */
	CHECK_INT(po_overlap_most(&o, 4, now + PO_OVERLAP_WEEK_US + S(60)), 6);
	CHECK(!po_overlap_note(&o, 4, now + PO_OVERLAP_WEEK_US + S(60)));
	CHECK_INT(po_overlap_most(&o, 4, now + 2 * PO_OVERLAP_WEEK_US), 6);
	CHECK_INT(po_overlap_most(&o, 4, now + 2 * PO_OVERLAP_WEEK_US + S(120)), 4);
	CHECK_INT(po_overlap_most(&o, 1, now + 40 * PO_OVERLAP_WEEK_US), 1);
}

/* ---------- sizes ---------- */

static PoRecommendation recommendation;
static PoSizingInput input;

static PoInstancesTenant
tenant(PoMethod method, int size, double load)
{
	PoInstancesTenant t;

	memset(&t, 0, sizeof(t));
	memset(&recommendation, 0, sizeof(recommendation));
	memset(&input, 0, sizeof(input));
	recommendation.method = method;
	recommendation.size = recommendation.max = size;
	recommendation.min = size / 2;
	recommendation.load = load;
	recommendation.confidence = 0.8;
	input.service_us = 10000;
	input.service_cv2 = input.arrival_cv2 = 1;
	t.recommendation = &recommendation;
	t.input = &input;
	t.target_wait_us = 10000;
	t.ceiling = PO_UNLIMITED;
	return t;
}

static PoApplication
application(double usual, int peak, double busy)
{
	PoApplication a;

	memset(&a, 0, sizeof(a));
	a.usual = usual;
	a.live = (int) usual;
	a.peak = peak;
	a.addresses = a.live;
	a.sessions = 4 * a.live;
	a.most_sessions = 4;
	a.busy = busy;
	a.told = PO_TOLD_BY_ADDRESS;
	return a;
}

#define CHECK_REASON(t, a, part) \
	do { \
		char		text[1000]; \
		po_instances_reason(&(t), &(a), text, sizeof(text)); \
		if (getenv("PO_SHOW_REASONS") != NULL) \
			printf("  %s\n", text); \
		CHECK_WITH(strstr(text, (part)) != NULL, "%s", text); \
	} while (0)

/* 6 Erlang in 4 instances: 1.5 each, for which M/M/3 has Wq = 0.158 services. */
static void
test_by_load(void)
{
	PoInstancesTenant t = tenant(PO_METHOD_QUEUEING, 8, 6);
	PoApplication a = application(4, 6, 6);

	po_instances_plan(&t, &a, 1);
	CHECK_INT(a.instances, 4);
	CHECK_INT(a.overlap, 6);
	CHECK_INT(a.each, po_queueing_servers_for_wait(1.5, 10000, 1, 1, 10000));
	CHECK_INT(a.each, 3);
	CHECK_INT(a.each_min, 1);
	CHECK_TEXT(po_instances_rule_name(&t, &a), "load");
	CHECK_NEAR(a.confidence, 0.64, 1e-9);
	CHECK_REASON(t, a, "3 connections keep the wait target for the part of one of 4 instances");
	CHECK_REASON(t, a, "as many as 6 were there at once");
	CHECK_REASON(t, a, "each address is taken for one instance");

	/* Many small ones: one each, and a pooler would be better. */
	a = application(40, 40, 6);
	po_instances_plan(&t, &a, 1);
	CHECK_INT(a.each, 1);
	CHECK_INT(a.overlap, 50);
	CHECK_REASON(t, a, "40 together, where one pooler for all of the tenant would do with 8");
	CHECK_REASON(t, a, "no overlap of old and new instances was seen yet");

	/* One address may hide anything. */
	a = application(1, 1, 6);
	po_instances_plan(&t, &a, 1);
	CHECK_INT(a.each, 8);
	CHECK_REASON(t, a, "8 connections, the recommended size: one instance has all of the load");
	CHECK_NEAR(a.confidence, 0.4, 1e-9);
	CHECK_REASON(t, a, "cannot be told apart");
	a.told = PO_TOLD_BY_PROCESS;
	po_instances_plan(&t, &a, 1);
	CHECK_NEAR(a.confidence, 0.8, 1e-9);
	CHECK_REASON(t, a, "by their process ids");
}

/* The pool is the limit: what all have together counts, divided by their load. */
static void
test_recommended(void)
{
	PoInstancesTenant t = tenant(PO_METHOD_THROUGHPUT, 12, 12);
	PoApplication a[2] = {application(3, 3, 9), application(2, 2, 3)};

	po_instances_plan(&t, a, 2);
	CHECK_INT(a[0].each, 3);
	CHECK_INT(a[1].each, 1);
	CHECK_TEXT(po_instances_rule_name(&t, &a[0]), "recommended_size");
	CHECK_REASON(t, a[0], "their part of the 12 recommended for all");
	/* Nobody was busy: by sessions. */
	a[0].busy = a[1].busy = 0;
	po_instances_plan(&t, a, 2);
	CHECK_INT(a[0].each, 2);
	CHECK_INT(a[1].each, 2);
	/* Nothing known. */
	t = tenant(PO_METHOD_TOO_LITTLE_DATA, 12, 0);
	po_instances_plan(&t, a, 2);
	CHECK_INT(a[0].each, 4);
	CHECK_TEXT(po_instances_rule_name(&t, &a[0]), "present");
	CHECK(a[0].confidence <= 0.2);
}

/* A size that was cut is divided, though the load asks for more; one that has other reasons than the
 * load is, too, if that is more. */
static void
test_not_by_load(void)
{
	PoInstancesTenant t = tenant(PO_METHOD_QUEUEING, 8, 12);
	PoApplication a = application(4, 4, 12);

	po_instances_plan(&t, &a, 1);
	CHECK_INT(a.each, 4);
	recommendation.clamped_share = true;
	po_instances_plan(&t, &a, 1);
	CHECK_INT(a.each, 2);
	CHECK_TEXT(po_instances_rule_name(&t, &a), "recommended_size");
	CHECK_REASON(t, a, "which is less than the load needs");

	t = tenant(PO_METHOD_QUEUEING, 20, 0.2);
	recommendation.min = 20;
	po_instances_plan(&t, &a, 1);
	CHECK_INT(a.each, 5);
	CHECK_INT(a.each_min, 5);
	CHECK_REASON(t, a, "more reasons than the load");
	t = tenant(PO_METHOD_TOO_LITTLE_DATA, 20, 0);
	po_instances_plan(&t, &a, 1);
	CHECK_INT(a.each, 4);
	recommendation.seasonal = true;
	po_instances_plan(&t, &a, 1);
	CHECK_INT(a.each, 5);
}

/*
 * Three threads in each of two processes that need three connections at once: seven each, so
 * 14, whatever the load.  It divides as the load does, and what is there is a limit still.
 */
static void
test_least(void)
{
	PoInstancesTenant t = tenant(PO_METHOD_QUEUEING, 4, 2);
	PoApplication a = application(2, 2, 2);
	PoApplication two[2] = {application(2, 2, 1.5), application(1, 1, 0.5)};

	po_instances_plan(&t, &a, 1);
	CHECK_WITH(a.each < 7, "%d", a.each);
	t = tenant(PO_METHOD_QUEUEING, 14, 2);
	recommendation.clamped_min = true;
	t.min_size = 14;
	po_instances_plan(&t, &a, 1);
	CHECK_INT(a.each, 7);
	CHECK_TEXT(po_instances_rule_name(&t, &a), "min_size");
	CHECK_REASON(t, a, "7 connections for each of 2 instances: their part of the 14 that min_size");
	po_instances_plan(&t, two, 2);
	CHECK_INT(two[0].each, 6);
	CHECK_INT(two[1].each, 4);
	t.ceiling = 8;
	po_instances_plan(&t, &a, 1);
	CHECK_TEXT(po_instances_rule_name(&t, &a), "quota");
	CHECK(a.each * a.overlap <= 8);
	/* Too little known, too. */
	t = tenant(PO_METHOD_TOO_LITTLE_DATA, 1, 0);
	t.min_size = 14;
	po_instances_plan(&t, &a, 1);
	CHECK_INT(a.each, 7);
}

static void
test_ceiling(void)
{
	PoInstancesTenant t = tenant(PO_METHOD_QUEUEING, 20, 12);
	PoApplication a = application(4, 8, 12);

	t.ceiling = 24;
	t.ceiling_by = PO_CEILING_QUOTA;
	po_instances_plan(&t, &a, 1);
	CHECK_INT(a.each, 3);
	CHECK_TEXT(po_instances_rule_name(&t, &a), "quota");
	CHECK_REASON(t, a, "so that 8 instances at once stay below 24, the quota (max_connections)");
	t.ceiling = 7;
	po_instances_plan(&t, &a, 1);
	CHECK_INT(a.each, 1);
	CHECK_TEXT(po_instances_rule_name(&t, &a), "one_each");
	CHECK_REASON(t, a, "do not fit into 7");
	t.ceiling = 0;
	po_instances_plan(&t, &a, 1);
	CHECK_INT(a.each, 1);
	t.ceiling = PO_UNLIMITED;
	t.has_pooler = true;
	po_instances_plan(&t, &a, 1);
	CHECK_REASON(t, a, "see pool_stats_pooler");
}

/* Twenty workers have one each, whatever is cut: the others have what is left. */
static void
test_ceiling_beside_ones(void)
{
	PoInstancesTenant t = tenant(PO_METHOD_QUEUEING, 33, 30);
	PoApplication a[2] = {application(20, 25, 8), application(4, 5, 22)};

	po_instances_plan(&t, a, 2);
	CHECK_INT(a[0].each, 1);
	CHECK_INT(a[1].each, 7);
	t.ceiling = 40;
	po_instances_plan(&t, a, 2);
	CHECK_INT(a[0].each, 1);
	CHECK_INT(a[1].each, 3);
	CHECK_TEXT(po_instances_rule_name(&t, &a[0]), "load");
	CHECK_TEXT(po_instances_rule_name(&t, &a[1]), "quota");
	t.ceiling = 30;
	po_instances_plan(&t, a, 2);
	CHECK_INT(a[1].each, 1);
	CHECK_TEXT(po_instances_rule_name(&t, &a[1]), "quota");
	t.ceiling = 29;
	po_instances_plan(&t, a, 2);
	CHECK_TEXT(po_instances_rule_name(&t, &a[0]), "one_each");
}

/* ---------- any input ---------- */

static PoApplication
any_application(bool damaged)
{
	PoApplication a;

	if (damaged)
	{
		random_fill(&a, sizeof(a));
		a.usual = random_odd_double();
		a.busy = random_odd_double();
		a.told = (PoToldBy) (random_bits() % 5);
		return a;
	}
	a = application(random_unit() * 20, random_below(30), random_unit() * 10);
	a.told = (PoToldBy) random_below(3);
	return a;
}

static void
test_any(void)
{
	for (int round = 0; round < 20000; round++)
	{
		bool		damaged = round % 2 == 0;
		int			n = 1 + random_below(5);
		PoApplication a[5];
		PoInstancesTenant t = tenant((PoMethod) random_below(8), 1 + random_below(60),
									 random_unit() * 50);
		double		all = 0;
		double		least = 0;

		t.ceiling = random_below(3) ? random_below(200) : PO_UNLIMITED;
		t.ceiling_by = (PoCeiling) random_below(PO_N_CEILINGS);
		t.min_size = random_odd_int();
		if (damaged)
		{
			recommendation.load = random_odd_double();
			recommendation.confidence = random_odd_double();
			recommendation.size = (int) random_bits();
			recommendation.min = (int) random_bits();
			input.service_us = random_odd_double();
			input.service_cv2 = random_odd_double();
			t.target_wait_us = (int64_t) random_bits();
		}
		for (int i = 0; i < n; i++)
			a[i] = any_application(damaged);
		po_instances_plan(&t, a, n);
		for (int i = 0; i < n; i++)
		{
			char		text[300];
			size_t		size = (size_t) random_below(sizeof(text)) + 1;

			CHECK(a[i].each >= 1 && a[i].each_min >= 0 && a[i].each_min <= a[i].each);
			CHECK(a[i].instances >= 1 && a[i].overlap >= a[i].instances);
			CHECK(a[i].confidence >= 0 && a[i].confidence <= 1);
			CHECK(po_instances_rule_name(&t, &a[i])[0] != '\0');
			memset(text, 'x', sizeof(text));
			po_instances_reason(&t, &a[i], text, size);
			CHECK(strlen(text) < size && (size == sizeof(text) || text[size] == 'x'));
			all += (double) a[i].each * a[i].overlap;
			least += a[i].overlap;
		}
		/* Together they fit, as far as one each does. */
		if (t.ceiling >= 0)
			CHECK_WITH(all <= t.ceiling || all <= least, "%g of %d, least %g", all, t.ceiling, least);
		for (int i = 0; i < n && t.ceiling >= 0 && all > t.ceiling; i++)
			CHECK(a[i].each == 1 && a[i].rule == PO_INSTANCE_ONE);
	}
}

/* More load never asks for less, more instances never for more each. */
static void
test_monotone(void)
{
	for (int instances = 1; instances < 40; instances++)
	{
		int			before = 0;

		for (double load = 0.1; load < 40; load *= 1.3)
		{
			PoInstancesTenant t = tenant(PO_METHOD_QUEUEING, 60, load);
			PoApplication a = application(instances, instances, load);
			PoApplication more = application(instances + 1, instances + 1, load);

			po_instances_plan(&t, &a, 1);
			po_instances_plan(&t, &more, 1);
			CHECK(a.each >= before && more.each <= a.each);
			before = a.each;
			for (int least = 1; least < 200; least += 1 + least / 2)
			{
				int			each = a.each;

				t.min_size = least;
				po_instances_plan(&t, &a, 1);
				CHECK_WITH(a.each >= each && a.each * instances >= least, "%d", a.each);
			}
		}
	}
}

int
main(void)
{
	test_families();
	test_family_any();
	test_presence();
	test_overlap();
	test_by_load();
	test_recommended();
	test_not_by_load();
	test_least();
	test_ceiling();
	test_ceiling_beside_ones();
	test_any();
	test_monotone();
	return check_end("test_instances");
}
