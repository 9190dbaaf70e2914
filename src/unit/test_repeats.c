/*
 * test_repeats.c
 *		What a cache would have had, against caches that are simulated; which loops are some.
 */
#include "model/po_repeats.h"

#include "check.h"

#define UNIT_US		(INT64_C(1) << PO_REREAD_UNIT_SHIFT)

static void
check_hits(uint64_t *word, int64_t at_us, bool one, bool ten, bool sixty)
{
	bool		hit[PO_N_CACHE_TTLS];

	*word = po_reread_again(*word, po_reread_time(at_us), hit);
	CHECK_INT(hit[0], one);
	CHECK_INT(hit[1], ten);
	CHECK_INT(hit[2], sixty);
}

static void
test_known(void)
{
	uint64_t	word = po_reread_first(po_reread_tag(UINT64_C(0xABCD) << 48), 0);

	CHECK_INT(po_reread_is(word, 0xABCD), true);
	CHECK_INT(po_reread_is(word, 0xABCE), false);
	CHECK_INT(po_reread_tag(5), 1);
	CHECK_INT(po_reread_is(0, po_reread_tag(5)), false);
	check_hits(&word, 0, true, true, true);
	check_hits(&word, 5 * PO_US_PER_S, false, true, true);
	/* Filled 5 s after the others, that of a second has it for so long. */
	check_hits(&word, 5 * PO_US_PER_S + 5 * UNIT_US, true, true, true);
	/* A result is kept from when it was filled in, not from when it was used last. */
	check_hits(&word, 11 * PO_US_PER_S, false, false, true);
	check_hits(&word, 20 * PO_US_PER_S, false, true, true);
	check_hits(&word, 59 * PO_US_PER_S, false, false, true);
	check_hits(&word, 61 * PO_US_PER_S, false, true, false);
	check_hits(&word, 61 * PO_US_PER_S, true, true, true);
	CHECK_INT(po_reread_is(word, 0xABCD), true);
	CHECK_INT(po_reread_age(word, po_reread_time(61 * PO_US_PER_S + 3 * UNIT_US)), 3);
	CHECK_INT(po_reread_age(0, 77), INT32_MAX);
}

/* At random times, also beyond where they wrap. */
static void
test_simulated(void)
{
	for (int round = 0; round < 200; round++)
	{
		int64_t		at = (int64_t) random_below(1000000) * UNIT_US;
		int64_t		filled[PO_N_CACHE_TTLS];
		uint64_t	word = po_reread_first(7, po_reread_time(at));

		for (int i = 0; i < PO_N_CACHE_TTLS; i++)
			filled[i] = at;
		for (int n = 0; n < 100; n++)
		{
			bool		hit[PO_N_CACHE_TTLS];

			at += (int64_t) random_below(random_below(700) + 1) * UNIT_US;
			word = po_reread_again(word, po_reread_time(at), hit);
			for (int i = 0; i < PO_N_CACHE_TTLS; i++)
			{
				CHECK_INT(hit[i], at - filled[i] <= po_finding_ttl_s[i] * PO_US_PER_S);
				if (!hit[i])
					filled[i] = at;
			}
		}
	}
}

/* What is skipped is what would not have been looked at: beside one that is asked each time. */
static void
check_sample(uint32_t one_in)
{
	PoReadSample asked = {0};
	PoReadSample skipping = {0};

	for (int n = 0; n < 20000; n++)
	{
		bool		sampled = one_in > 0 && random_below(one_in) == 0;
		bool		skip = !sampled && po_read_sample_will_do(&asked);

		if (!sampled && skipping.skips > 0)
		{
			CHECK_INT(skip, true);
			skipping.skips--;
		}
		else
		{
			po_read_sample_settle(&skipping);
			CHECK_INT(skip, !sampled && po_read_sample_will_do(&skipping));
			skipping.reads++;
			skipping.sampled += sampled;
		}
		asked.reads++;
		asked.sampled += sampled;
		if (!skip && asked.reads >= 256)
		{
			asked.reads /= 2;
			asked.sampled /= 2;
			skipping.reads /= 2;
			skipping.sampled /= 2;
		}
		if (skipping.granted == 0)
		{
			po_read_sample_grant(&skipping);
			CHECK_INT(skipping.skips > 0, po_read_sample_will_do(&asked));
		}
		CHECK_INT(skipping.reads + skipping.granted - skipping.skips, asked.reads);
		CHECK_INT(skipping.sampled, asked.sampled);
	}
}

static void
test_sample(void)
{
	int			in_sample = 0;

	check_sample(0);
	check_sample(1);
	check_sample(3);
	check_sample(PO_REREAD_ONE_IN);
	check_sample(31);
	check_sample(80);
	for (uint64_t key = 0; key < 8000; key++)
		in_sample += po_reread_is_sampled(po_reread_mix(0, key));
	CHECK_INT(in_sample > 400 && in_sample < 600, true);
}

static bool
in_burst(uint32_t calls, uint32_t changes, uint64_t rows)
{
	PoLoop		loop = {false, calls, changes, rows};

	return po_loop_is(&loop, 10);
}

static void
test_loops(void)
{
	PoLoop		loop = {true, 10, 5000, 0};

	CHECK_INT(po_loop_is(&loop, 10), false);
	loop.calls = 11;
	CHECK_INT(po_loop_is(&loop, 10), true);
	CHECK_INT(in_burst(10, 0, 10), false);
	CHECK_INT(in_burst(20, 0, 20), true);
	CHECK_INT(in_burst(20, 0, 10), true);
	CHECK_INT(in_burst(20, 0, 9), false);
	CHECK_INT(in_burst(20, 0, 40), true);
	CHECK_INT(in_burst(20, 0, 41), false);
	CHECK_INT(in_burst(21, 0, 10), false);
	CHECK_INT(in_burst(20, 5, 20), true);
	CHECK_INT(in_burst(20, 6, 20), false);
	CHECK_INT(in_burst(UINT32_MAX, UINT32_MAX / 4, UINT32_MAX), true);
	CHECK_INT(in_burst(UINT32_MAX, UINT32_MAX, UINT32_MAX), false);
	CHECK_INT(in_burst(20, 0, 0), false);
}

int
main(void)
{
	test_known();
	test_simulated();
	test_sample();
	test_loops();
	return check_end("test_repeats");
}
