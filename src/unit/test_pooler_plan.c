/*
 * test_pooler_plan.c
 *		Sizes move by steps and arrive; the include file changes in one value only.
 */
#include "model/po_pooler_plan.h"

#include "check.h"

static void
test_share(void)
{
	CHECK_INT(po_pooler_share(10, 1, 0), 10);
	CHECK_INT(po_pooler_share(10, 2, 1), 5);
	CHECK_INT(po_pooler_share(11, 2, 0), 6);
	CHECK_INT(po_pooler_share(11, 2, 1), 5);
	CHECK_INT(po_pooler_share(1, 3, 2), 1);
	CHECK_INT(po_pooler_share(INT_MAX, 2, 0), INT_MAX / 2 + 1);
	for (int size = 1; size <= 50; size++)
	{
		for (int n = 1; n <= 12; n++)
		{
			int			sum = 0;

			for (int i = 0; i < n; i++)
				sum += po_pooler_share(size, n, i);
			CHECK_WITH(sum == (size > n ? size : n), "%d by %d: %d", size, n, sum);
		}
	}
}

static int
part(int size, int from, int index, PoPoolerUse a, PoPoolerUse b)
{
	PoPoolerUse use[2] = {a, b};
	PoShare		shares[2];
	PoShareMark marks[PO_SHARE_MARKS(2)];

	return po_pooler_part(size, from, use, 2, index, shares, marks);
}

/* A pool that does the work, and one that a health check connects to now and then. */
static void
test_part(void)
{
	PoPoolerUse works = {20, true};
	PoPoolerUse checks = {1, false};

	/* What there is in all stays as it is. */
	CHECK_INT(part(21, 20, 0, works, checks), 20);
	/* What is asked for is there then, whoever has it; a size alone is no connection. */
	CHECK_INT(part(48, 20, 0, works, checks), 47);
	CHECK_INT(part(48, 20, 1, works, checks), 24);
	/* A moment in which nobody waits changes nothing. */
	works = (PoPoolerUse) {46, false};
	CHECK_INT(part(48, 47, 0, works, checks), 47);
	/* Less is asked for. */
	CHECK_INT(part(12, 47, 0, works, checks), 11);
	/* The other one has clients, too. */
	works.waits = checks.waits = true;
	CHECK_INT(part(48, 47, 0, works, checks), 24);
	CHECK_INT(part(49, 24, 0, works, checks), 25);
	CHECK_INT(part(49, 24, 1, works, checks), 24);
	/* They read one file: the same for both, of which one does not use it. */
	{
		PoPoolerUse use[2] = {{10, true}, {1, false}};
		PoShare		shares[2];
		PoShareMark marks[PO_SHARE_MARKS(2)];

		CHECK_INT(po_pooler_common(18, use, 2, shares, marks), 17);
		use[1].waits = true;
		CHECK_INT(po_pooler_common(18, use, 2, shares, marks), 9);
		CHECK_INT(po_pooler_common(19, use, 2, shares, marks), 9);
		use[0].waits = use[1].waits = false;
		CHECK_INT(po_pooler_common(7, use, 2, shares, marks), 6);
		use[0].open = 19;
		CHECK_INT(po_pooler_common(20, use, 2, shares, marks), 19);
		CHECK_INT(po_pooler_common(1, use, 2, shares, marks), 1);
	}
	/* At least 1 each. */
	CHECK_INT(part(1, 24, 0, works, checks), 1);
	CHECK_INT(part(1, 24, 1, works, checks), 1);
	for (int i = 0; i < 5000; i++)
	{
		PoPoolerUse use[6];
		PoShare		shares[6];
		PoShareMark marks[PO_SHARE_MARKS(6)];
		int			n = 1 + random_below(6);
		int			size = 1 + random_below(100);
		int			open = 0;

		for (int p = 0; p < n; p++)
			use[p] = (PoPoolerUse) {random_below(40), random_below(2) != 0};
		for (int p = 0; p < n; p++)
		{
			int			from = random_below(100);
			int			to = po_pooler_part(size, from, use, n, p, shares, marks);

			CHECK_WITH(to >= 1 && to <= size, "%d of %d", to, size);
			open += use[p].waits || to < use[p].open ? to : use[p].open;
		}
		CHECK_WITH(open <= size + n, "%d of %d, %d pools", open, size, n);
	}
}

static void
test_pooled(void)
{
	CHECK_INT(po_pooler_pooled(21, 0), 21);
	CHECK_INT(po_pooler_pooled(21, 1), 20);
	CHECK_INT(po_pooler_pooled(21, 10), 11);
	/* Then the pools are what is besides. */
	CHECK_INT(po_pooler_pooled(21, 11), 21);
	CHECK_INT(po_pooler_pooled(1, 1), 1);
	CHECK_INT(po_pooler_pooled(0, 5), 0);
	CHECK_INT(po_pooler_pooled(3, INT_MAX), 3);
	CHECK_INT(po_pooler_pooled(3, -1), 3);
}

static void
test_min_differs(void)
{
	CHECK(po_pooler_min_differs(0, 1) && !po_pooler_min_differs(0, 0));
	CHECK(!po_pooler_min_differs(10, 12) && po_pooler_min_differs(10, 13));
	CHECK(!po_pooler_min_differs(10, 5) && po_pooler_min_differs(10, 4));
	CHECK(po_pooler_min_differs(1, 0) && !po_pooler_min_differs(1, 1));
	CHECK(!po_pooler_min_differs(-1, 5) && !po_pooler_min_differs(-1, 0));
	/* What was set because it differed is left alone when it wanders by one. */
	for (int wanted = 2; wanted < 100; wanted++)
		CHECK(!po_pooler_min_differs(wanted, wanted - 1) || wanted < 3);
}

#define S		PO_US_PER_S

/* Full, wanting more and not getting it; told once, until it has more. */
static void
test_stalls(void)
{
	PoPoolerStall stall = {0};
	int64_t		now = 1000 * S;

	/* Growing, however slowly, it does not. */
	for (int open = 1; open < 20; open++)
		CHECK(!po_pooler_stalls(&stall, open, true, true, now += 9 * S, 10 * S));
	CHECK(!po_pooler_stalls(&stall, 19, true, true, now += 9 * S, 10 * S));
	/* One that ends and comes back is no growth. */
	CHECK(!po_pooler_stalls(&stall, 18, true, true, now + S / 2, 10 * S));
	CHECK(po_pooler_stalls(&stall, 18, true, true, now += S, 10 * S));
	CHECK_INT(stall.obtainable, 19);
	CHECK(!po_pooler_stalls(&stall, 19, true, true, now += S, 10 * S));
	/* Its size was set to that: remembered for an hour from then. */
	CHECK(!po_pooler_stalls(&stall, 19, false, true, now += 3599 * S, 10 * S));
	CHECK_INT(stall.obtainable, 19);
	CHECK(!po_pooler_stalls(&stall, 19, false, true, now += S, 10 * S));
	CHECK_INT(stall.obtainable, 0);
	/* It was tried again, in vain, for hours. */
	CHECK(!po_pooler_stalls(&stall, 19, true, true, now += S, 10 * S));
	CHECK(po_pooler_stalls(&stall, 19, true, true, now += 10 * S, 10 * S));
	for (int i = 0; i < 10; i++)
	{
		CHECK(!po_pooler_stalls(&stall, 19, true, true, now += 3000 * S, 10 * S));
		CHECK_INT(stall.obtainable, 19);
	}
	/* Somebody has raised what was in the way. */
	CHECK(!po_pooler_stalls(&stall, 20, true, true, now += S, 10 * S));
	CHECK_INT(stall.obtainable, 0);
	CHECK(!po_pooler_stalls(&stall, 20, true, true, now += 9 * S, 10 * S));
	CHECK(po_pooler_stalls(&stall, 20, true, true, now += S, 10 * S));

	/* A moment in which nobody waits: it was enough. */
	memset(&stall, 0, sizeof(stall));
	CHECK(!po_pooler_stalls(&stall, 5, true, true, now += S, 10 * S));
	CHECK(!po_pooler_stalls(&stall, 5, false, true, now += 9 * S, 10 * S));
	CHECK(!po_pooler_stalls(&stall, 5, true, true, now += 9 * S, 10 * S));
	CHECK(!po_pooler_stalls(&stall, 5, true, true, now += 9 * S, 10 * S));
	/* Without any it is a server that is down, or a wrong password, and no size. */
	memset(&stall, 0, sizeof(stall));
	for (int i = 0; i < 100; i++)
		CHECK(!po_pooler_stalls(&stall, 0, true, true, now += 9 * S, 10 * S));
	CHECK_INT(stall.obtainable, 0);
	/* Nothing gets done, as in a PAUSE: that time does not count. */
	memset(&stall, 0, sizeof(stall));
	CHECK(!po_pooler_stalls(&stall, 5, true, true, now += S, 10 * S));
	CHECK(!po_pooler_stalls(&stall, 5, true, true, now += 5 * S, 10 * S));
	for (int i = 0; i < 10; i++)
		CHECK(!po_pooler_stalls(&stall, 5, true, false, now += 5 * S, 10 * S));
	CHECK(!po_pooler_stalls(&stall, 5, true, true, now += 4 * S, 10 * S));
	CHECK(po_pooler_stalls(&stall, 5, true, true, now += S, 10 * S));
	memset(&stall, 0, sizeof(stall));
	/* A clock that was set back. */
	CHECK(!po_pooler_stalls(&stall, 3, true, true, 5 * S, 10 * S));
	CHECK(po_pooler_stalls(&stall, 3, true, true, 15 * S, 10 * S));
}

static void
test_is_near(void)
{
	CHECK(po_pooler_is_near(7, 7) && !po_pooler_is_near(6, 7) && !po_pooler_is_near(8, 7));
	CHECK(po_pooler_is_near(7, 8) && po_pooler_is_near(9, 8) && !po_pooler_is_near(10, 8));
	CHECK(po_pooler_is_near(36, 32) && !po_pooler_is_near(37, 32));
	CHECK(!po_pooler_is_near(INT64_MAX / 16, 1) && !po_pooler_is_near(0, INT_MAX));
}

static void
test_problem_text(void)
{
	CHECK(po_pooler_problem_text(PO_RESIZE_OK) == NULL);
	for (int i = PO_RESIZE_OK + 1; i <= PO_RESIZE_ENTRY_UNSEEN; i++)
		CHECK(strlen(po_pooler_problem_text((PoResizeProblem) i)) > 10);
	CHECK(po_pooler_problem_text((PoResizeProblem) 255) == NULL);
	CHECK(strstr(po_pooler_problem_text(PO_RESIZE_ONE_OF_MANY), "its own Unix socket") != NULL);
}

static void
test_next_size(void)
{
	CHECK_INT(po_pooler_next_size(10, 20, 0, 0), 20);
	CHECK_INT(po_pooler_next_size(10, 20, 4, 1), 14);
	CHECK_INT(po_pooler_next_size(10, 12, 4, 1), 12);
	CHECK_INT(po_pooler_next_size(10, 3, 4, 2), 8);
	CHECK_INT(po_pooler_next_size(10, 3, 4, 0), 3);
	CHECK_INT(po_pooler_next_size(10, 10, 1, 1), 10);
	/* No limit, and never to none. */
	CHECK_INT(po_pooler_next_size(0, 5, 1, 1), 5);
	CHECK_INT(po_pooler_next_size(3, 0, 0, 0), 1);
	CHECK_INT(po_pooler_next_size(3, -7, 0, 0), 1);
	CHECK_INT(po_pooler_next_size(INT_MAX, 1, 1, INT_MAX), 1);
	CHECK_INT(po_pooler_next_size(1, INT_MAX, INT_MAX, 1), INT_MAX);
	/* Whatever the steps: never past the aim, and there at last. */
	for (int i = 0; i < 2000; i++)
	{
		int			size = 1 + random_below(100);
		int			wanted = 1 + random_below(100);
		int			up = random_below(10);
		int			down = random_below(10);
		int			n = 0;

		while (size != wanted && n++ < 200)
		{
			int			next = po_pooler_next_size(size, wanted, up, down);

			CHECK(next != size && (next < size) == (wanted < size));
			CHECK(wanted < size ? next >= wanted : next <= wanted);
			size = next;
		}
		CHECK_INT(size, wanted);
	}
}

/* NULL: only the result counts. */
static void
check_edit(const char *text, PoIniSection section, const char *name, int size, int min,
		   PoIniResult want, const char *result)
{
	char		to[4096];
	size_t		length = 0;
	PoIniChange change = {section, name, size, min};
	PoIniResult got = po_pooler_edit_ini(text, strlen(text), &change, to, sizeof(to) - 1,
										 &length);

	CHECK_WITH(got == want, "%d, not %d for \"%s\" in \"%s\"", got, want, name, text);
	if (got != PO_INI_OK || result == NULL)
		return;
	to[length] = '\0';
	CHECK_TEXT(to, result);
}

#define BEGIN	"; pool_optimizer begin\n"
#define END		"; pool_optimizer end\n"

static void
test_edit(void)
{
	static const char app[] =
		"[databases]\nother = host=x pool_size=3\n" BEGIN
		"app = host=a password='p ''q= pool_size=1' pool_size = 9\r\n"
		"  web=host=b  \n" END "last = host=c\n";

	check_edit(app, PO_INI_DATABASES, "app", 12, -1, PO_INI_OK,
			   "[databases]\nother = host=x pool_size=3\n" BEGIN
			   "app = host=a password='p ''q= pool_size=1' pool_size = 12\r\n"
			   "  web=host=b  \n" END "last = host=c\n");
	check_edit(app, PO_INI_DATABASES, "app", 12, 3, PO_INI_OK,
			   "[databases]\nother = host=x pool_size=3\n" BEGIN
			   "app = host=a password='p ''q= pool_size=1' pool_size = 12 min_pool_size=3\r\n"
			   "  web=host=b  \n" END "last = host=c\n");
	check_edit(app, PO_INI_DATABASES, "web", 5, -1, PO_INI_OK,
			   "[databases]\nother = host=x pool_size=3\n" BEGIN
			   "app = host=a password='p ''q= pool_size=1' pool_size = 9\r\n"
			   "  web=host=b pool_size=5  \n" END "last = host=c\n");
	/* Not ours, not there, not that section. */
	check_edit(app, PO_INI_DATABASES, "other", 5, -1, PO_INI_NOT_FOUND, NULL);
	check_edit(app, PO_INI_DATABASES, "last", 5, -1, PO_INI_NOT_FOUND, NULL);
	check_edit(app, PO_INI_DATABASES, "ap", 5, -1, PO_INI_NOT_FOUND, NULL);
	check_edit(app, PO_INI_DATABASES, "application", 5, -1, PO_INI_NOT_FOUND, NULL);
	check_edit(app, PO_INI_USERS, "app", 5, -1, PO_INI_NOT_FOUND, NULL);
	check_edit("", PO_INI_USERS, "app", 5, -1, PO_INI_NOT_FOUND, NULL);
}

static void
test_edit_users(void)
{
	check_edit("[databases]\n" BEGIN "web = host=a\n" END "[users]\n#pool_optimizer begin\n"
			   "web =\nweb2 = pool_mode=session pool_size='4'", PO_INI_USERS, "web", 8, -1,
			   PO_INI_OK,
			   "[databases]\n" BEGIN "web = host=a\n" END "[users]\n#pool_optimizer begin\n"
			   "web = pool_size=8\nweb2 = pool_mode=session pool_size='4'");
	check_edit("[users]\n" BEGIN "web2 = pool_mode=session pool_size='4'", PO_INI_USERS,
			   "web2", 8, -1, PO_INI_OK,
			   "[users]\n" BEGIN "web2 = pool_mode=session pool_size=8");
}

static void
test_edit_odd(void)
{
	/* Names in quotes: single ones, which nothing can stand for within. */
	check_edit("[databases]\n" BEGIN "'my \"db\"' = host=a\n", PO_INI_DATABASES, "my \"db\"", 2, -1,
			   PO_INI_OK, "[databases]\n" BEGIN "'my \"db\"' = host=a pool_size=2\n");
	check_edit("[databases]\n" BEGIN " 'plain'= host=a\n", PO_INI_DATABASES, "plain", 2, -1,
			   PO_INI_OK, "[databases]\n" BEGIN " 'plain'= host=a pool_size=2\n");
	check_edit("[databases]\n" BEGIN "'my=db' = host=a\n", PO_INI_DATABASES, "my=db", 2, -1,
			   PO_INI_OK, "[databases]\n" BEGIN "'my=db' = host=a pool_size=2\n");
	check_edit("[databases]\n" BEGIN "'my db = host=a\n", PO_INI_DATABASES, "my db", 2, -1,
			   PO_INI_NOT_FOUND, NULL);
	check_edit("[databases]\n" BEGIN "'my db", PO_INI_DATABASES, "my db", 2, -1,
			   PO_INI_NOT_FOUND, NULL);
	check_edit("[databases]\n" BEGIN "'my d' = host=a\n", PO_INI_DATABASES, "my db", 2, -1,
			   PO_INI_NOT_FOUND, NULL);
	check_edit("[databases]\n" BEGIN "'it''s' = host=a\n", PO_INI_DATABASES, "it's", 2, -1,
			   PO_INI_NOT_FOUND, NULL);
	/* Double ones are a syntax error to PgBouncer. */
	check_edit("[databases]\n" BEGIN "\"my db\" = host=a\n", PO_INI_DATABASES, "my db", 2, -1,
			   PO_INI_NOT_FOUND, NULL);
	/* Twice, also in two regions. */
	check_edit("[databases]\n" BEGIN "a = host=a\n" END BEGIN "a = host=b\n", PO_INI_DATABASES,
			   "a", 2, -1, PO_INI_TWICE, NULL);
	/* No key and value. */
	check_edit("[databases]\n" BEGIN "a = host\n", PO_INI_DATABASES, "a", 2, -1,
			   PO_INI_MALFORMED, NULL);
	check_edit("[databases]\n" BEGIN "a = host='x\n", PO_INI_DATABASES, "a", 2, -1,
			   PO_INI_MALFORMED, NULL);
	check_edit("[databases]\n" BEGIN "a = =x\n", PO_INI_DATABASES, "a", 2, -1,
			   PO_INI_MALFORMED, NULL);
	/* Set twice: PgBouncer takes the last, so both. */
	check_edit("[databases]\n" BEGIN "a=pool_size=1 pool_size=2", PO_INI_DATABASES, "a", 7, -1,
			   PO_INI_OK, "[databases]\n" BEGIN "a=pool_size=7 pool_size=7");
	/* Commented out. */
	check_edit("[databases]\n" BEGIN ";a = host=x\n", PO_INI_DATABASES, "a", 7, -1,
			   PO_INI_NOT_FOUND, NULL);
}

static void
test_edit_room(void)
{
	static const char text[] = "[databases]\n" BEGIN "a = host=x\n" END;
	char		to[sizeof(text) + 20];
	size_t		length;
	PoIniChange change = {PO_INI_DATABASES, "a", 10, -1};

	CHECK_INT(po_pooler_edit_ini(text, strlen(text), &change, to, strlen(text) + 12, &length),
			  PO_INI_NO_ROOM);
	CHECK_INT(po_pooler_edit_ini(text, strlen(text), &change, to, strlen(text) + 13, &length),
			  PO_INI_OK);
	CHECK_INT(length, strlen(text) + 13);
}

int
main(void)
{
	test_share();
	test_part();
	test_pooled();
	test_min_differs();
	test_stalls();
	test_is_near();
	test_problem_text();
	test_next_size();
	test_edit();
	test_edit_users();
	test_edit_odd();
	test_edit_room();
	return check_end("test_pooler_plan");
}
