/*
 * po_repeats.c
 *		What repeats: reads that a cache would have answered, statements called in loops.
 */
#include "model/po_repeats.h"

#define FILLED(word, ttl)	((uint16_t) ((word) >> (16 * ((ttl) + 1))))

/* In a burst a loop may call others, too, and now and then skip one: so many calls for one
 * change. */
#define STEADY			4

static uint64_t
fill(uint64_t word, int ttl, uint16_t now)
{
	int			shift = 16 * (ttl + 1);

	return (word & ~(UINT64_C(0xFFFF) << shift)) | ((uint64_t) now << shift);
}

uint64_t
po_reread_first(uint16_t tag, uint16_t now)
{
	uint64_t	word = tag;

	for (int i = 0; i < PO_N_CACHE_TTLS; i++)
		word = fill(word, i, now);
	return word;
}

uint64_t
po_reread_again(uint64_t word, uint16_t now, bool hit[PO_N_CACHE_TTLS])
{
	for (int i = 0; i < PO_N_CACHE_TTLS; i++)
	{
		int64_t		age_us = (int64_t) (uint16_t) (now - FILLED(word, i)) << PO_REREAD_UNIT_SHIFT;

		hit[i] = age_us <= po_finding_ttl_s[i] * PO_US_PER_S;
		if (!hit[i])
			word = fill(word, i, now);
	}
	return word;
}

int
po_reread_age(uint64_t word, uint16_t now)
{
	/* The shortest time to live is filled most often. */
	return word == 0 ? INT32_MAX : (uint16_t) (now - FILLED(word, 0));
}

void
po_read_sample_grant(PoReadSample *s)
{
	/* Will not do any more from so many on; before, more reads only make it better. */
	uint32_t	end = (s->sampled + 1) * (2 * PO_REREAD_ONE_IN);

	if (po_read_sample_will_do(s))
		s->granted = s->skips = end - s->reads;
}

bool
po_loop_is(const PoLoop *loop, int most_calls)
{
	if (loop->calls <= (uint32_t) most_calls)
		return false;
	if (loop->in_transaction)
		return true;
	return loop->parent_rows >= (loop->calls + 1) / 2 &&
		loop->parent_rows <= (uint64_t) loop->calls * 2 &&
		(uint64_t) loop->changes * STEADY <= loop->calls;
}
