/*
 * test_warmup.c
 *		Rises of demand within a login's time: known courses, and what must hold for any.
 */
#include "check.h"
#include "model/po_warmup.h"

#include <stdlib.h>

#define MS(n)		((n) * PO_US_PER_MS)
#define SAMPLE		MS(100)

static void
courses(PoWarmup *w, const int *busy, int n, int64_t *now, int64_t sample)
{
	for (int i = 0; i < n; i++)
	{
		*now += sample;
		po_warmup_observe(w, busy[i], false, *now, sample);
	}
}

static PoWarmupDemand
read_of(const PoWarmup *w)
{
	PoWarmupDemand d;

	po_warmup_read(w, SAMPLE, &d);
	return d;
}

/* ---------- logins ---------- */

static void
test_logins(void)
{
	PoWarmup	w;

	memset(&w, 0, sizeof(w));
	CHECK_INT(read_of(&w).login_us, 0);
	for (int i = 0; i < 99; i++)
		po_warmup_add_login(&w, MS(5));
	po_warmup_add_login(&w, MS(5000));
	CHECK(w.login_us >= MS(5) && w.login_us <= MS(5) * 3 / 2);
	po_warmup_add_login(&w, -1);
	po_warmup_add_login(&w, INT64_MAX);
	po_warmup_add_login(&w, INT64_MIN);
	CHECK(w.login_us <= MS(5) * 3 / 2);
	/* Every length is within its bucket, of which none is wider than half. */
	for (int64_t us = 1; us < 600 * PO_US_PER_S; us = us * 9 / 8 + 1)
	{
		memset(&w, 0, sizeof(w));
		po_warmup_add_login(&w, us);
		if (us < 66 * PO_US_PER_S)
			CHECK_WITH(w.login_us >= us && (w.login_us <= us * 3 / 2 || us < 256),
					   "a login of %lld us is read as %lld", (long long) us,
					   (long long) w.login_us);
	}
	/* What was long ago is forgotten. */
	memset(&w, 0, sizeof(w));
	for (int i = 0; i < 60000; i++)
		po_warmup_add_login(&w, MS(400));
	for (int i = 0; i < 2000000; i++)
		po_warmup_add_login(&w, MS(2));
	CHECK(w.login_us <= MS(3));
}

/* ---------- rises ---------- */

static void
test_steady(void)
{
	PoWarmup	w;
	int64_t		now = 0;
	int			level[1000];

	memset(&w, 0, sizeof(w));
	po_warmup_add_login(&w, MS(30));
	for (int i = 0; i < 1000; i++)
		level[i] = 7;
	courses(&w, level, 1000, &now, SAMPLE);
	/* It began once. */
	CHECK_INT(read_of(&w).rise, 7);
	memset(w.rise, 0, sizeof(w.rise));
	courses(&w, level, 1000, &now, SAMPLE);
	CHECK_INT(read_of(&w).rise, 0);
	CHECK_INT(read_of(&w).span_us, SAMPLE);
}

/* On and off: 20 busy for 2 s of 5, among noise of one more or less. */
static void
test_bursts(void)
{
	PoWarmup	w;
	int64_t		now = 0;
	PoWarmupDemand d;

	memset(&w, 0, sizeof(w));
	for (int i = 0; i < 100; i++)
		po_warmup_add_login(&w, MS(30));
	for (int round = 0; round < 200; round++)
	{
		for (int i = 0; i < 50; i++)
		{
			int			busy = (i < 20 ? 20 : 1) + i % 2;

			now += SAMPLE;
			po_warmup_observe(&w, busy, false, now, SAMPLE);
		}
	}
	d = read_of(&w);
	CHECK(d.rise >= 19 && d.rise <= 24);
	CHECK_INT(po_warmup_open(&d, 1, MS(10)), 1 + d.rise);
	/* Who may wait for a login need not have more open. */
	CHECK_INT(po_warmup_open(&d, 1, d.login_us), 1);
	CHECK_INT(po_warmup_open(&d, 1, d.login_us - 1), 1 + d.rise);
}

/* A ramp of one a second is no rise for logins of 30 ms, but it is for those of 10 s. */
static void
test_ramp(void)
{
	static const int64_t login[] = {MS(30), MS(300), MS(3000), MS(10000)};
	int			before = 0;

	for (int l = 0; l < 4; l++)
	{
		PoWarmup	w;
		int64_t		now = 0;
		int			rise;
		int			least;

		memset(&w, 0, sizeof(w));
		po_warmup_add_login(&w, login[l]);
		for (int i = 0; i < 6000; i++)
		{
			now += SAMPLE;
			po_warmup_observe(&w, i / 10, false, now, SAMPLE);
		}
		rise = read_of(&w).rise;
		least = (int) (login[l] / PO_US_PER_S);
		CHECK_WITH(rise >= least && rise >= 1, "logins of %lld ms: a rise of %d",
				   (long long) login[l] / 1000, rise);
		CHECK_WITH(rise <= 2 * (least + 2), "logins of %lld ms: a rise of %d",
				   (long long) login[l] / 1000, rise);
		CHECK(rise >= before);
		before = rise;
	}
}

static void
test_quiet(void)
{
	PoWarmup	w;

	memset(&w, 0, sizeof(w));
	po_warmup_add_login(&w, MS(30));
	/* Two at work; nobody; two again: each time it is a rise by two. */
	po_warmup_observe(&w, 2, true, SAMPLE, SAMPLE);
	po_warmup_observe(&w, 2, true, 100 * SAMPLE, SAMPLE);
	po_warmup_observe(&w, 2, true, 200 * SAMPLE, SAMPLE);
	po_warmup_observe(&w, 2, false, 201 * SAMPLE, SAMPLE);
	CHECK_INT(w.rise[1], 3);
	CHECK_INT(read_of(&w).rise, 2);
	po_warmup_restart(&w);
	CHECK_INT(read_of(&w).rise, 2);
}

/* Every rise ends up in a bucket that is not far above it. */
static void
test_sizes(void)
{
	for (int n = 1; n < 2000; n++)
	{
		PoWarmup	w;
		int			rise;

		memset(&w, 0, sizeof(w));
		po_warmup_add_login(&w, MS(30));
		po_warmup_observe(&w, n, true, SAMPLE, SAMPLE);
		po_warmup_observe(&w, n, false, 2 * SAMPLE, SAMPLE);
		rise = read_of(&w).rise;
		CHECK_WITH(rise >= n && rise <= n * 3 / 2 && (n > 8 || rise == n),
				   "a rise of %d is read as %d", n, rise);
	}
}

/* ---------- any input ---------- */

static void
test_any(void)
{
	for (int seed = 0; seed < 2000; seed++)
	{
		PoWarmup	w;
		PoWarmupDemand d;
		int64_t		now = random_magnitude() / 4 * (seed % 3 - 1);
		int			most = 0;

		memset(&w, 0, sizeof(w));
		if (seed % 4 == 0)
		{
			/* From a damaged file. */
			random_fill(&w, sizeof(w));
			po_warmup_restart(&w);
		}
		for (int i = 0; i < 50; i++)
		{
			int			busy = (int) (random_bits() % 40) - 2;

			now += (int64_t) (random_bits() % 1000000) - 100000;
			po_warmup_observe(&w, busy, random_bits() % 8 == 0, now,
							  (int64_t) (random_bits() % 200000) - 10);
			po_warmup_add_login(&w, (int64_t) (random_bits() % 4000000) - 100);
			most = busy > most ? busy : most;
		}
		po_warmup_read(&w, SAMPLE, &d);
		CHECK(d.login_us >= 0 && d.span_us >= SAMPLE && d.rise >= 0);
		CHECK(seed % 4 == 0 || d.rise <= most * 3 / 2);
		for (int busy = -1; busy < 10; busy++)
		{
			int			open = po_warmup_open(&d, busy, MS(10));

			CHECK((open == -1) == (d.rise == 0 || d.login_us == 0));
			CHECK(open <= 2 * 262143);
			CHECK(open <= po_warmup_open(&d, busy + 1, MS(10)));
			CHECK(open >= po_warmup_open(&d, busy, MS(20)));
		}
		CHECK(po_warmup_open(&d, INT_MAX, INT64_MAX) <= 262143);
	}
}

int
main(void)
{
	test_logins();
	test_steady();
	test_bursts();
	test_ramp();
	test_quiet();
	test_sizes();
	test_any();
	return check_end("test_warmup");
}
