/*
 * fuzz_search.c
 *		Fuzzing the search for a size: evaluations in any order, searches out of any file,
 *		and the fits that rest on them.
 */
#include "model/po_curve.h"
#include "model/po_search.h"

#include "fuzz.h"

#define MOST			262143

static void
read_seen(FuzzReader *in, PoSearchSeen *seen)
{
	uint8_t		flags = (uint8_t) fuzz_take(in, 1);

	memset(seen, 0, sizeof(*seen));
	seen->size = fuzz_int(in);
	seen->saturated = flags & 1;
	seen->rate = fuzz_double(in);
	seen->transactions = flags & 2 ? fuzz_double(in) : 1000;
	seen->busy = flags & 4 ? fuzz_double(in) : seen->size;
	for (int i = 0; i < PO_N_WAITS; i++)
		seen->share[i] = flags & 8 ? fuzz_double(in) : i == (flags >> 4) % PO_N_WAITS;
	seen->demand = fuzz_int(in);
	seen->waiting = fuzz_int(in);
	seen->cores = fuzz_int(in);
	seen->lowest = fuzz_int(in);
	seen->highest = fuzz_int(in);
	seen->queued = fuzz_double(in);
	seen->speed = fuzz_double(in);
	seen->target_us = fuzz_double(in);
	seen->unit = fuzz_int(in);
	seen->idle = fuzz_int(in);
}

static void
check_unhindered(const PoSearchSeen *seen)
{
	PoSearchSeen more = *seen;

	if (!(seen->queued >= 0))
	{
		must(!po_search_is_unhindered(seen), "what is unknown says nothing");
		return;
	}
	more.queued = 2 * seen->queued + 0.1;
	must(!po_search_is_unhindered(&more) || po_search_is_unhindered(seen),
		 "more who wait hinder no less");
	more = *seen;
	more.queued = -1;
	must(!po_search_is_limited(seen, 0.8) || po_search_is_limited(&more, 0.8),
		 "only who hardly waits makes a pool no limit");
}

static void
check_search(const PoSearch *s)
{
	must(s->n_points >= 0 && s->n_points <= PO_SEARCH_POINTS, "there is room for its points");
	must((unsigned) s->phase <= PO_SEARCH_SETTLED, "it is in a phase");
	must(s->probe >= 0 && s->probe <= MOST, "the size wanted is one");
	must(isfinite(po_search_best(s)) && po_search_best(s) >= 0, "the best rate is a number");
	for (int i = 0; i < s->n_points; i++)
	{
		must(i == 0 || s->point[i - 1].size < s->point[i].size, "points are in order");
		must(isfinite(s->point[i].mean) && isfinite(s->point[i].rate) && s->point[i].mean >= 0 &&
			 s->point[i].rate >= 0 && isfinite(s->point[i].faster), "points are numbers");
	}
	must(isfinite(s->noise.rate2) && isfinite(s->noise.speed2) && isfinite(s->noise.both) &&
		 s->noise.rate2 >= 0 && s->noise.speed2 >= 0, "what differs is a number");
}

/* Bounds as po_search reads them. */
static void
check_size(int size, const PoSearchSeen *seen)
{
	int			lowest = seen->lowest < 1 ? 1 : seen->lowest > MOST ? MOST : seen->lowest;
	int			highest = seen->highest > MOST ? MOST : seen->highest;

	must(size == 0 || (size >= lowest && size <= (highest > lowest ? highest : lowest)),
		 "a size is within its bounds");
}

/* What a curve promises (po_curve.h): nothing is NaN, and more connections do no harm where
 * no lock is waited for; where the pool is not the limit nobody waits longer for them. */
static void
check_curve(const PoSearch *search, const PoSearchSeen *seen)
{
	PoSizingInput in = {0};
	PoCurve		curve;
	PoCurvePoint before = {1, true, INFINITY, 0};

	in.arrival_rate = seen->rate;
	in.service_us = seen->transactions;
	in.arrival_cv2 = seen->busy;
	in.service_cv2 = seen->share[0];
	in.cores = seen->cores;
	in.sessions = seen->size;
	memcpy(in.wait_share, seen->share, sizeof(in.wait_share));
	po_curve_fit(&in, seen->busy, search, seen->demand, &curve);
	for (int size = 1; size < 5000; size += 1 + size / 3)
	{
		PoCurvePoint p;

		po_curve_at(&curve, size, &p);
		must(p.utilization >= 0 && p.utilization <= 1, "utilization is a share");
		must(isfinite(p.throughput) && p.throughput >= 0, "throughput is a number");
		must(p.wait_us >= 0, "a wait is a number");
		must(in.wait_share[PO_WAIT_LOCK] > 0 || p.throughput >= before.throughput * (1 - 1e-9),
			 "throughput falls for no reason");
		must(curve.kind != PO_CURVE_OPEN ||
			 (p.wait_us <= before.wait_us * (1 + 1e-6) + 1e-9 &&
			  p.utilization <= before.utilization), "nobody waits longer for more connections");
		before = p;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	FuzzReader	in = {bytes, size, 0};
	PoSearch	search;
	PoSearch	again;
	PoSearchSeen seen = {0};
	bool		obeyed = fuzz_take(&in, 1) & 1;
	int			next = 0;

	po_search_reset(&search);
	while (in.read < in.size)
	{
		read_seen(&in, &seen);
		/* Somebody sets the sizes that it asks for. */
		if (obeyed && next > 0)
			seen.size = next;
		again = search;
		(void) po_search_is_limited(&seen, fuzz_double(&in));
		check_unhindered(&seen);
		next = po_search_step(&search, &seen);
		check_size(next, &seen);
		check_search(&search);
		must(po_search_step(&again, &seen) == next && memcmp(&again, &search, sizeof(again)) == 0,
			 "the same evaluation has the same effect");
		must(po_search_knee(&seen) >= 0 && isfinite(po_search_knee(&seen)), "the knee is a number");
	}
	check_curve(&search, &seen);
	return 0;
}

/* Flags: 0 saturated, 1 transactions, 2 busy, 3 shares given; then which wait.  The last
 * four: how many wait, the machine's speed, how long they may, and the threshold. */
#define EVALUATION_WITH(flags, size, rate) \
	flags size rate "\x40\x00\x04\x01\x64" "\xF8\x20\x00" "\x10"
#define EVALUATION(size, rate) EVALUATION_WITH("\x01", size, rate)

static const FuzzSeed seeds[] = {
	SEED("\x01" EVALUATION("\x14", "\x3F") EVALUATION("\x14", "\x3E") EVALUATION("\x14", "\x3F")
	EVALUATION("\x14", "\x30") EVALUATION("\x14", "\x31") EVALUATION("\x14", "\x31")
	EVALUATION("\x14", "\x3C") EVALUATION("\x14", "\x3C") EVALUATION("\x14", "\x3B")
	EVALUATION("\x14", "\x3F") EVALUATION("\x14", "\x3F") EVALUATION("\x14", "\x3F")),
	SEED("\x00" EVALUATION("\x02", "\x10") EVALUATION("\x02", "\x11") EVALUATION("\x04", "\x20")
	EVALUATION("\x04", "\x21") EVALUATION("\x08", "\x30") EVALUATION("\x08", "\x31")
	EVALUATION("\x10", "\x33") EVALUATION("\x10", "\x33") EVALUATION("\x20", "\x32")
	EVALUATION("\x20", "\x31")),
	/* locks */
	SEED("\x01" EVALUATION_WITH("\x21", "\x14", "\x3F") EVALUATION_WITH("\x21", "\x14", "\x3F")
	EVALUATION_WITH("\x31", "\x14", "\x3F")),
	/* numbers that are none */
	SEED("\x00" "\x0F\xFF\xF8\xF9\xFB" "\xF8\xF9\xFA\xFB\xFC" "\xFF\xF8\xFF\xF8\xFF\xF8"),
	SEED("\x01" "\x0F\x05\xDF\xFF\xDF\xFF\x02" "\x40\x80\x40\x40\x40\x20\x40\x10\x40\x10"
	"\x20\x00\x08\x02\x30\x10"),
	/* nothing waits for it */
	SEED("\x00" "\x00\x14\x10\x00\x00\x04\x01\x64\x40\xCC"),
};

FUZZ_MAIN("fuzz_search", seeds)
