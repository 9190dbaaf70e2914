/*
 * po_repeats.h
 *		What repeats: reads that a cache would have answered, statements called in loops.
 */
#ifndef PO_REPEATS_H
#define PO_REPEATS_H

#include "model/po_finding.h"

/*
 * A cache for each time to live, in one word: which read it is (16 bits of its hash, never 0)
 * and when each of the caches was filled with it.  Times are units of 131 ms, modulo
 * 2^16 (2.4 hours): a word that is older than that may look as if it were not.
 */
#define PO_REREAD_UNIT_SHIFT	17	/* of microseconds */

static inline uint16_t
po_reread_time(int64_t us)
{
	return (uint16_t) ((uint64_t) us >> PO_REREAD_UNIT_SHIFT);
}

/* Adds a value to a hash. */
static inline uint64_t
po_reread_mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
	return hash ^ (hash >> 29);
}

/* Of so many hashes one is in the sample; a power of two. */
#define PO_REREAD_ONE_IN		16
#define PO_SAMPLED_LEAST		128	/* fewer reads say nothing of the sample */

static inline bool
po_reread_is_sampled(uint64_t hash)
{
	return ((hash >> 40) & (PO_REREAD_ONE_IN - 1)) == 0;
}

/*
 * Of a statement: how many of its reads were in the sample lately.  Those outside of it need
 * no look for as long as it will do; so that most need not even that question, some are granted to
 * be skipped, each by one less in skips.
 */
typedef struct PoReadSample
{
	uint32_t	reads;			/* without what was skipped since it was settled */
	uint32_t	sampled;		/* of these */
	uint32_t	granted;
	uint32_t	skips;			/* of these still to come */
} PoReadSample;

/* Has it about as many of the reads as of the hashes?  Of a few frequent ones it may have
 * none, or too many. */
static inline bool
po_read_sample_will_do(const PoReadSample *s)
{
	return s->reads >= PO_SAMPLED_LEAST && s->sampled >= s->reads / (2 * PO_REREAD_ONE_IN) &&
		s->sampled <= s->reads / (PO_REREAD_ONE_IN / 2);
}

/* Takes back what is granted, and brings reads up to what was skipped. */
static inline void
po_read_sample_settle(PoReadSample *s)
{
	s->reads += s->granted - s->skips;
	s->granted = s->skips = 0;
}

/* As many reads outside of the sample, from now on, as it will do for all of them. */
extern void po_read_sample_grant(PoReadSample *s);

/* Not 0, which is an empty word. */
static inline uint16_t
po_reread_tag(uint64_t hash)
{
	return (uint16_t) (hash >> 48) == 0 ? 1 : (uint16_t) (hash >> 48);
}

static inline bool
po_reread_is(uint64_t word, uint16_t tag)
{
	return (uint16_t) word == tag;
}

/* The word of a read that comes first now. */
extern uint64_t po_reread_first(uint16_t tag, uint16_t now);

/* It comes again: which caches have it?  Those that do not are filled. */
extern uint64_t po_reread_again(uint64_t word, uint16_t now, bool hit[PO_N_CACHE_TTLS]);

/* How long (units) ago any cache was filled with it; an empty one is the oldest. */
extern int	po_reread_age(uint64_t word, uint16_t now);

/* Calls of one statement in a row of others. */
typedef struct PoLoop
{
	bool		in_transaction; /* one that its client has begun */
	uint32_t	calls;
	uint32_t	changes;		/* how often there were more, or less, of others between two */
	uint64_t	parent_rows;	/* of the statement before it */
} PoLoop;

/*
 * Is that a loop over the parent's rows?  The statements of a transaction are one
 * client's.  Those of a burst need not be, as a pooler may take turns on the session:
 * there a statement that is merely frequent is told apart by its number, which is not
 * about that of the rows, or by others that come between, now more and now less.
 */
extern bool po_loop_is(const PoLoop *loop, int most_calls);

#endif							/* PO_REPEATS_H */
