/*
 * po_brake.c
 *		What stops terminations: the rate limit and the circuit breaker.
 */
#include "model/po_brake.h"

#include <limits.h>
#include <string.h>

/*
 * The ring counts per slot of a little more than a second, so that the slots
 * before the present one (59 of them) cover a whole minute: what was taken
 * within any 60 s never exceeds the limit.  A count lasts 60 to 61 s.
 */
#define RATE_SLOT_US \
	((60 * PO_US_PER_S + PO_RATE_SECONDS - 2) / (PO_RATE_SECONDS - 1))

/*
 * Terminated sessions need a moment to be gone; without it a first burst of
 * terminations would look as if it had achieved nothing.
 */
#define BREAKER_SETTLE_US	(2 * PO_US_PER_S)

/* Rounds towards minus infinity. */
static int64_t
slot_number(int64_t now_us)
{
	return now_us / RATE_SLOT_US - (now_us % RATE_SLOT_US < 0 ? 1 : 0);
}

static int
slot_index(int64_t slot)
{
	int			index = (int) (slot % PO_RATE_SECONDS);

	return index < 0 ? index + PO_RATE_SECONDS : index;
}

/*
 * Counts that a clock set back has put into the coming minute are counted too;
 * what is farther off is void.
 */
int
po_rate_last_minute(const PoRate *rate, int64_t now_us)
{
	int64_t		now = slot_number(now_us);
	int64_t		sum = 0;

	for (int i = 0; i < PO_RATE_SECONDS; i++)
	{
		bool		recent = rate->second[i] > now - PO_RATE_SECONDS &&
			rate->second[i] < now + PO_RATE_SECONDS;

		if (recent && rate->count[i] > 0)
			sum += rate->count[i];
	}
	return sum < INT_MAX ? (int) sum : INT_MAX;
}

bool
po_rate_take(PoRate *rate, int64_t now_us, int limit)
{
	int64_t		now = slot_number(now_us);
	int			i = slot_index(now);

	if (po_rate_last_minute(rate, now_us) >= limit)
		return false;
	if (rate->second[i] != now || rate->count[i] < 0)
	{
		rate->second[i] = now;
		rate->count[i] = 0;
	}
	rate->count[i]++;
	return true;
}

void
po_rate_give_back(PoRate *rate, int64_t taken_us)
{
	int64_t		taken = slot_number(taken_us);
	int			i = slot_index(taken);

	if (rate->second[i] == taken && rate->count[i] > 0)
		rate->count[i]--;
}

/* Microseconds from start to now, or -1 if the clock was set back. */
static int64_t
elapsed(int64_t start_us, int64_t now_us)
{
	if (now_us < start_us)
		return -1;
	if (start_us < 0 && now_us > INT64_MAX + start_us)
		return INT64_MAX;
	return now_us - start_us;
}

static bool
window_is_over(const PoBreaker *b, int64_t now_us)
{
	int64_t		age = elapsed(b->window_start_us, now_us);

	return b->terminations <= 0 || age < 0 || age > PO_BREAKER_WINDOW_US;
}

bool
po_breaker_allows(const PoBreaker *b, int64_t now_us)
{
	return b->open_until_us == 0 || now_us >= b->open_until_us;
}

void
po_breaker_note(PoBreaker *b, int64_t now_us, int sessions)
{
	if (window_is_over(b, now_us))
	{
		b->window_start_us = now_us;
		b->sessions_at_start = sessions;
		b->terminations = 0;
	}
	if (b->terminations < INT32_MAX)
		b->terminations++;
}

PoBreakerEvent
po_breaker_check(PoBreaker *b, int64_t now_us, int sessions)
{
	int64_t		latest = now_us < INT64_MAX - PO_BREAKER_OPEN_US ?
		now_us + PO_BREAKER_OPEN_US : INT64_MAX;

	if (b->open_until_us != 0)
	{
		if (po_breaker_allows(b, now_us))
		{
			memset(b, 0, sizeof(*b));
			return PO_BREAKER_CLOSED;
		}
		/* a clock set back must not leave it open for longer */
		if (b->open_until_us > latest)
			b->open_until_us = latest;
		return PO_BREAKER_NOTHING;
	}

	if (window_is_over(b, now_us))
	{
		b->terminations = 0;
		return PO_BREAKER_NOTHING;
	}
	if (b->terminations < PO_BREAKER_MIN || sessions < b->sessions_at_start ||
		elapsed(b->window_start_us, now_us) < BREAKER_SETTLE_US)
		return PO_BREAKER_NOTHING;

	memset(b, 0, sizeof(*b));
	b->open_until_us = latest != 0 ? latest : 1;
	return PO_BREAKER_OPENED;
}
