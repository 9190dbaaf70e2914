/*
 * test_listing.c
 *		Who is listed, and that no published counter falls for it.
 */
#include "model/po_listing.h"

#include "check.h"

#define N_TENANTS	30
#define S(n)		((int64_t) (n) * PO_US_PER_S)

/* A listing, and the tenants' true counters. */
typedef struct World
{
	PoListing	listing;
	PoCounts	counts[N_TENANTS];
	bool		is_summed[N_TENANTS];
	double		score[N_TENANTS];
	int64_t		now_us;
	/* As published last: per tenant (of those listed then), and the others. */
	bool		was_listed[N_TENANTS];
	int64_t		was[N_TENANTS];
	int64_t		was_other;
	/* The sum of what a scraper has seen grow. */
	int64_t		seen;
	int64_t		happened;
} World;

static World w;

static void scrape(void);

static void
grow(int tenant, int n)
{
	w.counts[tenant].count[0] += n;
	w.happened += n;
}

static void
rearrange(int limit)
{
	PoListingChange change;

	po_listing_choose(&w.listing, w.score, N_TENANTS, limit, w.now_us, &change);
	for (int i = 0; i < change.n_leave; i++)
		po_listing_leave(&w.listing, change.leave[i], &w.counts[change.leave[i]], w.is_summed);
	for (int i = 0; i < change.n_join; i++)
		po_listing_join(&w.listing, change.join[i], w.now_us, &w.counts[change.join[i]],
						w.is_summed);
}

/* As a scrape does it: newcomers that fit in before, the rest after; meanwhile life goes on. */
static void
scrape_and_rearrange(int limit)
{
	PoListingChange change;
	PoCounts	told[N_TENANTS];

	po_listing_choose(&w.listing, w.score, N_TENANTS, limit, w.now_us, &change);
	for (int i = 0; i < change.n_join; i++)
	{
		int			who = change.join[i];

		if (!w.is_summed[who] && w.listing.n < limit)
			po_listing_join(&w.listing, who, w.now_us, &w.counts[who], w.is_summed);
	}
	po_listing_choose(&w.listing, w.score, N_TENANTS, limit, w.now_us, &change);
	memcpy(told, w.counts, sizeof(told));
	scrape();
	for (int i = 0; i < N_TENANTS; i++)
		grow(i, random_below(3) * random_below(100));
	for (int i = 0; i < change.n_leave; i++)
		po_listing_leave(&w.listing, change.leave[i], &told[change.leave[i]], w.is_summed);
	for (int i = 0; i < change.n_join; i++)
		po_listing_join(&w.listing, change.join[i], w.now_us, &w.counts[change.join[i]],
						w.is_summed);
}

static bool
is_listed(int tenant)
{
	return po_listing_find(&w.listing, tenant) >= 0;
}

/* What all would be told; only the first counter. */
static void
publish(int64_t value[N_TENANTS], int64_t *other)
{
	PoCounts	sum = w.listing.other;

	for (int i = 0; i < N_TENANTS; i++)
	{
		int			place = po_listing_find(&w.listing, i);
		PoCounts	published;

		value[i] = -1;
		if (place < 0)
		{
			po_counts_add(&sum, &w.counts[i]);
			w.is_summed[i] = w.is_summed[i] || po_counts_any(&w.counts[i]);
			continue;
		}
		po_listing_publish(&w.listing, place, &w.counts[i], &published);
		value[i] = published.count[0];
	}
	*other = sum.count[0];
}

static int64_t
published(int tenant)
{
	int64_t		value[N_TENANTS];
	int64_t		other;

	publish(value, &other);
	return tenant < 0 ? other : value[tenant];
}

static void
test_fills(void)
{
	memset(&w, 0, sizeof(w));
	for (int i = 0; i < N_TENANTS; i++)
		w.score[i] = i;
	w.score[29] = -1;			/* there is none */
	rearrange(0);
	CHECK_INT(w.listing.n, 0);
	rearrange(5);
	CHECK_INT(w.listing.n, 5);
	for (int i = 0; i < N_TENANTS; i++)
		CHECK_INT(is_listed(i), i >= 24 && i < 29);
	/* Ties: the first. */
	memset(&w, 0, sizeof(w));
	rearrange(5);
	CHECK(is_listed(0) && is_listed(4) && !is_listed(5));
	/* More places than tenants. */
	rearrange(PO_LISTED_MOST);
	CHECK_INT(w.listing.n, N_TENANTS);
	/* A lowered limit: the lowest go. */
	w.score[3] = w.score[7] = 1;
	rearrange(2);
	CHECK(w.listing.n == 2 && is_listed(3) && is_listed(7));
}

static void
test_keeps(void)
{
	memset(&w, 0, sizeof(w));
	for (int i = 0; i < N_TENANTS; i++)
		w.score[i] = i < 3 ? 4 : 1;
	rearrange(3);
	/* Much higher, but too early. */
	w.score[9] = 100;
	w.now_us = PO_LISTED_KEEP_US - 1;
	rearrange(3);
	CHECK(!is_listed(9));
	/* Unless somebody does nothing at all. */
	w.score[1] = 0;
	rearrange(3);
	CHECK(is_listed(9) && !is_listed(1));
	/* Not clearly higher. */
	w.now_us += PO_LISTED_KEEP_US;
	w.score[10] = 5.4;
	rearrange(3);
	CHECK(!is_listed(10) && is_listed(0) && is_listed(2));
	w.score[10] = 5.6;
	rearrange(3);
	CHECK(is_listed(10) && w.listing.n == 3 && is_listed(0) != is_listed(2));
	/* Gone: at once. */
	w.score[10] = -1;
	rearrange(3);
	CHECK(!is_listed(10) && w.listing.n == 3);
}

static void
test_counts(void)
{
	memset(&w, 0, sizeof(w));
	/* Before the start, and since. */
	w.counts[0].count[0] = 1000;
	po_listing_begin(&w.listing, 0, &w.counts[0], w.is_summed);
	CHECK_INT(published(-1), 0);
	w.counts[0].count[0] += 5;
	w.counts[1].count[0] += 7;	/* new, never told */
	CHECK_INT(published(-1), 12);
	w.counts[2].count[0] += 3;
	w.score[0] = 2;
	w.score[2] = 1;
	rearrange(2);
	/* The new one with all it has done, the other one from now on. */
	CHECK_INT(published(2), 3);
	CHECK_INT(published(0), 0);
	CHECK_INT(published(-1), 12);
	w.counts[0].count[0] += 4;
	CHECK_INT(published(0), 4);
	CHECK_INT(published(-1), 12);
	/* Leaves, goes on, comes back. */
	w.score[0] = -1;
	rearrange(2);
	CHECK_INT(published(-1), 12);
	w.counts[0].count[0] += 2;
	CHECK_INT(published(-1), 14);
	w.score[0] = 3;
	w.score[1] = -1;
	rearrange(2);
	CHECK_INT(published(0), 0);
	CHECK_INT(published(-1), 14);
	/* Reset, listed and not. */
	po_listing_reset(&w.listing, 0, &w.counts[0], w.is_summed);
	memset(&w.counts[0], 0, sizeof(PoCounts));
	w.counts[0].count[0] += 1;
	CHECK_INT(published(0), 1);
	CHECK_INT(published(-1), 14);
	po_listing_reset(&w.listing, 1, &w.counts[1], w.is_summed);
	memset(&w.counts[1], 0, sizeof(PoCounts));
	CHECK_INT(published(-1), 14);
	w.counts[1].count[0] += 1;
	CHECK_INT(published(-1), 15);
}

/* A scraper adds up: the difference, or all of it after a fall or a new series. */
static void
scrape(void)
{
	int64_t		value[N_TENANTS];
	int64_t		other;

	publish(value, &other);
	CHECK_WITH(other >= w.was_other, "other fell from %lld to %lld",
			   (long long) w.was_other, (long long) other);
	w.seen += other - w.was_other;
	w.was_other = other;
	for (int i = 0; i < N_TENANTS; i++)
	{
		bool		goes_on = w.was_listed[i] && value[i] >= w.was[i];

		if (value[i] >= 0)
			w.seen += goes_on ? value[i] - w.was[i] : value[i];
		w.was_listed[i] = value[i] >= 0;
		w.was[i] = value[i];
	}
}

static void
begin_world(void)
{
	memset(&w, 0, sizeof(w));
	for (int i = 0; i < N_TENANTS; i++)
	{
		w.counts[i].count[0] = random_below(2) * random_below(1000000);
		if (w.counts[i].count[0] > 0)
			po_listing_begin(&w.listing, i, &w.counts[i], w.is_summed);
		w.score[i] = random_below(20) - 2;
	}
	if (random_below(2))
		rearrange(random_below(10));
}

/* A reset hides from a scraper what its tenant did since the last look, and that it was
 * one if more has come before the next: so here each is looked at before and after. */
static void
reset(int tenant)
{
	scrape();
	po_listing_reset(&w.listing, tenant, &w.counts[tenant], w.is_summed);
	w.counts[tenant].count[0] = 0;
	scrape();
}

/* Whatever comes and goes: nothing falls, and the sum of all is what happened. */
static void
test_nothing_falls(void)
{
	for (int run = 0; run < 200; run++)
	{
		begin_world();
		for (int step = 0; step < 300; step++)
		{
			int			who = random_below(N_TENANTS);

			switch (random_below(5))
			{
				case 0:
					w.score[who] = random_below(20) - 2;
					break;
				case 1:
					w.now_us += S(random_below(200));
					scrape_and_rearrange(random_below(10));
					break;
				case 2:
					reset(who);
					break;
				case 3:
					scrape();
					break;
				default:
					grow(who, random_below(1000));
			}
		}
		scrape();
		CHECK_WITH(w.seen == w.happened, "run %d: %lld seen, %lld happened", run,
				   (long long) w.seen, (long long) w.happened);
	}
}

static void
test_odd(void)
{
	PoListingChange change;

	memset(&w, 0, sizeof(w));
	for (int run = 0; run < 2000; run++)
	{
		int			limit = random_below(12);

		for (int i = 0; i < N_TENANTS; i++)
			w.score[i] = random_odd_double();
		w.now_us = random_magnitude() / 4;
		po_listing_choose(&w.listing, w.score, N_TENANTS, limit, w.now_us, &change);
		CHECK(w.listing.n - change.n_leave + change.n_join <= limit);
		rearrange(limit);
		CHECK(w.listing.n <= limit);
	}
}

int
main(void)
{
	test_fills();
	test_keeps();
	test_counts();
	test_nothing_falls();
	test_odd();
	return check_end("test_listing");
}
