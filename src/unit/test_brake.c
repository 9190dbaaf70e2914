/*
 * test_brake.c
 *		The rate limit against a list of all that was taken, and the breaker.
 */
#include "model/po_brake.h"

#include "check.h"

#define MINUTE	(60 * PO_US_PER_S)

static void
test_rate_known(void)
{
	PoRate		rate = {{0}, {0}};

	CHECK_INT(po_rate_last_minute(&rate, 0), 0);
	for (int i = 0; i < 5; i++)
		CHECK(po_rate_take(&rate, 0, 5));
	CHECK(!po_rate_take(&rate, 0, 5));
	CHECK(!po_rate_take(&rate, 59 * PO_US_PER_S, 5));
	CHECK_INT(po_rate_last_minute(&rate, 59 * PO_US_PER_S), 5);
	CHECK(!po_rate_take(&rate, MINUTE, 5));
	CHECK(po_rate_take(&rate, MINUTE + 2 * PO_US_PER_S, 5));
	CHECK_INT(po_rate_last_minute(&rate, MINUTE + 2 * PO_US_PER_S), 1);
	CHECK(!po_rate_take(&rate, MINUTE, 0));
	CHECK(!po_rate_take(&rate, MINUTE, -1));
	CHECK(!po_rate_take(&rate, MINUTE, INT_MIN));
}

static void
test_rate_given_back(void)
{
	PoRate		rate = {{0}, {0}};

	CHECK(po_rate_take(&rate, MINUTE, 2));
	CHECK(po_rate_take(&rate, MINUTE, 2));
	po_rate_give_back(&rate, 2 * MINUTE);	/* none was taken then */
	CHECK_INT(po_rate_last_minute(&rate, MINUTE), 2);
	po_rate_give_back(&rate, MINUTE);
	CHECK(po_rate_take(&rate, MINUTE, 2));
	CHECK(!po_rate_take(&rate, MINUTE, 2));
	for (int i = 0; i < 3; i++)
		po_rate_give_back(&rate, MINUTE);
	CHECK_INT(po_rate_last_minute(&rate, MINUTE), 0);
}

#define MOST_TAKEN	100000

/* No rolling minute has more than limit, and after 61 s all is forgotten. */
static void
test_rate_never_exceeded(void)
{
	static int64_t taken[MOST_TAKEN];

	for (int round = 0; round < 40; round++)
	{
		PoRate		rate = {{0}, {0}};
		int			limit = 1 + random_below(round % 2 ? 5 : 600);
		int64_t		now = random_odd_int64() / 4 - MINUTE;
		int			n = 0;

		for (int step = 0; step < 3000; step++)
		{
			now += random_magnitude() % (round % 3 ? PO_US_PER_S : 30 * PO_US_PER_S);
			if (po_rate_take(&rate, now, limit))
				taken[n++] = now;
			else
			{
				/* refused for a reason: so many within 61.1 s */
				CHECK(n >= limit && now - taken[n - limit] < 61100 * PO_US_PER_MS);
			}
			CHECK(n <= limit || taken[n - 1] - taken[n - 1 - limit] > MINUTE);
			CHECK(po_rate_last_minute(&rate, now) <= limit);
		}
	}
}

static void
test_rate_clock_set_back(void)
{
	PoRate		rate = {{0}, {0}};
	int64_t		now = 1000 * MINUTE;

	for (int i = 0; i < 3; i++)
		CHECK(po_rate_take(&rate, now, 3));
	CHECK(!po_rate_take(&rate, now - 30 * PO_US_PER_S, 3));
	CHECK(po_rate_take(&rate, now - 10 * MINUTE, 3));
}

static void
test_rate_damaged(void)
{
	for (int round = 0; round < 3000; round++)
	{
		PoRate		rate;
		int			n;

		random_fill(&rate, sizeof(rate));
		for (int i = 0; i < PO_RATE_SECONDS; i++)
		{
			if (random_below(2))
				rate.second[i] = random_below(60);
			if (random_below(4) == 0)
				rate.count[i] = INT32_MAX;
		}
		n = po_rate_last_minute(&rate, random_below(60) * PO_US_PER_S);
		CHECK(n >= 0);
		(void) po_rate_take(&rate, random_odd_int64(), random_odd_int());
		CHECK(po_rate_last_minute(&rate, INT64_MAX) >= 0);
		CHECK(po_rate_last_minute(&rate, INT64_MIN) >= 0);
	}
}

static void
note(PoBreaker *b, int64_t now, int n, int sessions)
{
	while (n-- > 0)
		po_breaker_note(b, now, sessions);
}

static void
test_breaker_opens(void)
{
	PoBreaker	b = {0, 0, 0, 0};
	int64_t		now = 1000 * MINUTE;

	CHECK(po_breaker_allows(&b, now));
	note(&b, now, PO_BREAKER_MIN, 20);
	/* those terminated need a moment */
	CHECK_INT(po_breaker_check(&b, now, 20), PO_BREAKER_NOTHING);
	now += 5 * PO_US_PER_S;
	CHECK(po_breaker_allows(&b, now));
	CHECK_INT(po_breaker_check(&b, now, 20), PO_BREAKER_OPENED);
	CHECK(!po_breaker_allows(&b, now));
	CHECK_INT(po_breaker_check(&b, now, 20), PO_BREAKER_NOTHING);
	now += PO_BREAKER_OPEN_US - 1;
	CHECK(!po_breaker_allows(&b, now));
	CHECK_INT(po_breaker_check(&b, now, 0), PO_BREAKER_NOTHING);
	now += 1;
	CHECK(po_breaker_allows(&b, now));
	CHECK_INT(po_breaker_check(&b, now, 20), PO_BREAKER_CLOSED);
	CHECK_INT(po_breaker_check(&b, now, 20), PO_BREAKER_NOTHING);
	CHECK_INT(b.terminations, 0);
}

static void
test_breaker_stays_closed(void)
{
	PoBreaker	b = {0, 0, 0, 0};
	int64_t		now = 1000 * MINUTE;

	/* it helped */
	note(&b, now, 50, 60);
	CHECK_INT(po_breaker_check(&b, now + 5 * PO_US_PER_S, 59), PO_BREAKER_NOTHING);
	/* too few */
	memset(&b, 0, sizeof(b));
	note(&b, now, PO_BREAKER_MIN - 1, 60);
	CHECK_INT(po_breaker_check(&b, now + 5 * PO_US_PER_S, 60), PO_BREAKER_NOTHING);
	/* too slow */
	memset(&b, 0, sizeof(b));
	for (int i = 0; i < 100; i++)
	{
		note(&b, now, 1, 60);
		now += PO_BREAKER_WINDOW_US / (PO_BREAKER_MIN - 2);
		CHECK_INT(po_breaker_check(&b, now, 60), PO_BREAKER_NOTHING);
	}
}

static void
test_breaker_clock_set_back(void)
{
	PoBreaker	b = {0, 0, 0, 0};
	int64_t		now = 1000 * MINUTE;

	note(&b, now, 10, 20);
	CHECK_INT(po_breaker_check(&b, now + 5 * PO_US_PER_S, 20), PO_BREAKER_OPENED);
	now -= 500 * MINUTE;
	CHECK_INT(po_breaker_check(&b, now, 20), PO_BREAKER_NOTHING);
	CHECK(!po_breaker_allows(&b, now));
	CHECK_INT(po_breaker_check(&b, now + PO_BREAKER_OPEN_US, 20), PO_BREAKER_CLOSED);

	note(&b, now, 9, 20);
	note(&b, now - MINUTE, 1, 20);
	CHECK_INT(b.terminations, 1);
}

/* From whatever state, it is closed again within one opening. */
static void
test_breaker_damaged(void)
{
	for (int round = 0; round < 20000; round++)
	{
		PoBreaker	b;
		int64_t		now = random_odd_int64();

		b.window_start_us = random_odd_int64();
		b.sessions_at_start = random_odd_int();
		b.terminations = random_odd_int();
		b.open_until_us = random_odd_int64();
		(void) po_breaker_allows(&b, now);
		(void) po_breaker_check(&b, now, random_odd_int());
		if (now < INT64_MAX - PO_BREAKER_OPEN_US)
			CHECK(po_breaker_allows(&b, now + PO_BREAKER_OPEN_US));
		po_breaker_note(&b, now, random_odd_int());
		CHECK(b.terminations >= 1);
	}
}

int
main(void)
{
	test_rate_known();
	test_rate_given_back();
	test_rate_never_exceeded();
	test_rate_clock_set_back();
	test_rate_damaged();
	test_breaker_opens();
	test_breaker_stays_closed();
	test_breaker_clock_set_back();
	test_breaker_damaged();
	return check_end("test_brake");
}
