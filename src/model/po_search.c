/*
 * po_search.c
 *		The smallest pool that keeps near-best throughput, found by trying.
 */
#include "model/po_search.h"

#include <math.h>
#include <string.h>

#include "model/po_queueing.h"

#define NEAR_BEST			0.97	/* above the 95 % promised by what measuring may be off */
#define SURELY_NEAR			0.985	/* less, and a little larger one is the safer choice */
#define LITTLE_LARGER		1.25	/* with n <= 1.5 n* still, as sizes are told apart by 1.2 */
#define JUST_FAILED			0.94
#define FULL_BEST			0.9		/* so far from the best it may be off */
#define FIGHTING_BEST		0.7		/* and that more sessions for the CPUs do may be so much less */
#define CROWDED				2.0		/* times those who use up the CPUs */
#define GROWING_PAYS		1.03	/* a larger pool has to bring so much */
#define STEP				1.5
#define MOST_STEP			4.0		/* into the unknown at once */
#define FINE_ENOUGH			1.2		/* ratio of the bracket's ends */
#define WIDE_GAP			2.0		/* ratio of sizes between which a peak may hide */
#define FALLING_GAP			1.5		/* where the larger one does less */

#define LEAST_N				2		/* evaluations of a size */
#define MOST_N				5
#define MOST_N_SURPRISING	6
#define MOST_N_SETTLED		20
#define LEAST_NOISE			0.01	/* relative, of one evaluation */
#define MAX_BIAS			0.7
#define MOST_BIAS			0.04	/* of a mean, whatever its error */
#define MOST_FREEDOM		60		/* evaluations that tell how they differ */
#define POWER_SPREAD		1.0		/* of elasticities, as far as one knows before */
#define MOST_POWER			2.0
#define MOST_FASTER			2.0		/* a logarithm; more is no speed, but a fault */
#define MOST_MORE			2.0		/* a logarithm, too; more is another workload */
#define LEAST_RATE			1e-9	/* less is none: its square is to be a number */
#define MOST_HIDDEN			1.05	/* a peak between points, at most */
#define LEAST_TRANSACTIONS	20.0	/* in an evaluation that tells anything */

#define MOST_EVALUATIONS	60
#define ODD_RATE			0.25
#define ODD_SHARE			0.5		/* sum of absolute differences */
#define LEARN_SHARE			0.125
#define IN_A_ROW			3
#define MOST_REFUSED		6		/* evaluations that a size may take to come */
#define FIRST_REST			120		/* evaluations */
#define FIRST_REST_BELOW_ROOM	30
#define MOST_REST			1920
#define LEAST_FOLLOWED		3		/* sizes that somebody has set */
#define MOST_SIZE			262143
#define CPU_USED_UP			0.9
#define CROWDED_CPU			1.5
#define CROWDED_LOCK		0.3
#define MOST_LOCK			0.5		/* more waiters are no help then, it seems */
#define CROWDED_IO			0.5		/* they may wait for each other's reads and writes */
#define LEAST_CROWD			4		/* sessions */
#define BUSY				0.8
#define LEAST_BUSY			0.5		/* of a pool whose clients have to wait */
#define MORE_WAITING		2.0		/* times those of before */
#define USUAL_QUEUES		10		/* evaluations that tell how many usually wait */
#define MORE_CLIENTS		1.05	/* fewer are served well enough by what is there */
#define LEAST_CHANGE		0.05	/* of what a size does, in a slow one */
#define FEW_WAITING			2.0
#define BURST_WAITING		8.0		/* random arrivals at a small pool may be as many */
#define FEW_BESIDE			0.25	/* of those at work */
#define FEW_LOST			0.03	/* of the throughput, by those who wait */
#define ABANDONED			30		/* evaluations after which a search is not going on */
#define SLACK				0.7		/* less of it busy is too little for a search */
#define SPARE				0.9		/* less of it busy is not all of it */
#define USED_UP				0.98
#define SURE				2.0		/* standard errors */
#define MOST_LATE			4		/* evaluations that a changed wait takes to be believed */
#define MOST_IDLE			0.5		/* of all clients */
#define HALF_IDLE			0.5
#define FEW_IDLE			0.1

bool
po_search_is_unsure(const PoSearch *search)
{
	return search->phase == PO_SEARCH_NONE && search->limited > 0;
}

bool
po_search_has_measured(const PoSearch *search)
{
	for (int i = 0; i < search->n_points && i < PO_SEARCH_POINTS; i++)
	{
		if (search->point[i].n >= LEAST_N)
			return true;
	}
	return false;
}

void
po_search_reset(PoSearch *search)
{
	memset(search, 0, sizeof(*search));
}

/* ---------- the input ---------- */

static double
sane(double x, double most)
{
	return x > 0 ? fmin(x, most) : 0;
}

static int
clamp(double size, int lowest, int highest)
{
	return size <= lowest ? lowest : size >= highest ? highest : (int) size;
}

static void
read_seen(const PoSearchSeen *from, PoSearchSeen *seen)
{
	*seen = *from;
	seen->size = clamp(from->size, 0, MOST_SIZE);
	seen->rate = sane(from->rate, 1e12);
	seen->served = fmax(sane(from->served, 1e12), seen->rate);
	seen->transactions = sane(from->transactions, 1e18);
	seen->speed = sane(from->speed, 1e12);
	seen->busy = sane(from->busy, MOST_SIZE);
	for (int i = 0; i < PO_N_WAITS; i++)
		seen->share[i] = sane(from->share[i], 1);
	seen->demand = clamp(from->demand, 0, MOST_SIZE);
	seen->waiting = clamp(from->waiting, 0, MOST_SIZE);
	seen->queued = from->queued >= 0 ? fmin(from->queued, MOST_SIZE) : -1;
	seen->idle = clamp(from->idle, -1, MOST_SIZE);
	seen->target_us = sane(from->target_us, 1e15);
	seen->unit = clamp(from->unit, 1, MOST_SIZE);
	seen->cores = clamp(from->cores, 0, MOST_SIZE);
	seen->lowest = clamp(from->lowest, 1, MOST_SIZE);
	seen->highest = clamp(from->highest, seen->lowest, MOST_SIZE);
}

double
po_search_knee(const PoSearchSeen *from)
{
	PoSearchSeen seen;
	double		on_cpu;
	double		off_cpu;

	read_seen(from, &seen);
	if (seen.size == 0 || seen.cores == 0 || seen.busy <= 0)
		return 0;
	on_cpu = seen.busy * seen.share[PO_WAIT_CPU];
	off_cpu = seen.busy * (seen.share[PO_WAIT_IO] + seen.share[PO_WAIT_CLIENT] +
						   seen.share[PO_WAIT_OTHER]);
	if (seen.share[PO_WAIT_LOCK] > MOST_LOCK)
		return on_cpu + off_cpu + 1;
	if (on_cpu >= CPU_USED_UP * seen.cores)
		return seen.cores + off_cpu;
	return fmin((double) seen.size * seen.cores / fmax(on_cpu, 1e-6), MOST_SIZE);
}

/* So many may wait beside those at work. */
static double
few_waiting(const PoSearchSeen *seen)
{
	return fmax(FEW_WAITING, FEW_BESIDE * seen->busy);
}

/*
 * Clients hardly wait.  What those of a closed system lose by it is the part of them that
 * waits (each of N does 1 / (think + wait + service), and by Little's law N of them is
 * rate x that: P. Denning and J. Buzen 1978, eq. 4.4); those of an open one lose nothing.
 * Many may be connected and do nothing, so they are few beside those at work, too.
 */
static bool
hardly_wait(const PoSearchSeen *seen)
{
	return seen->queued >= 0 && seen->demand > 0 &&
		seen->queued <= FEW_LOST * seen->demand &&
		seen->queued <= few_waiting(seen) &&
		seen->queued * PO_US_PER_S <= seen->target_us * seen->served;
}

static bool
is_full(const PoSearchSeen *seen, double threshold)
{
	return seen->busy >= threshold * seen->size ||
		(seen->waiting > 0 && seen->busy >= LEAST_BUSY * seen->size) ||
		seen->waiting >= seen->size;
}

/*
 * Nearly all sessions are at work all of the time, for clients who want nothing but that, and wait
 * for the disk: how many it serves at once is not to be seen.
 */
static bool
may_crowd_disk(const PoSearchSeen *seen)
{
	return seen->share[PO_WAIT_IO] > CROWDED_IO && seen->busy > LEAST_CROWD &&
		seen->busy >= BUSY * seen->size && seen->demand > 0 && seen->idle >= 0 &&
		seen->idle <= FEW_IDLE * seen->demand;
}

bool
po_search_is_unhindered(const PoSearchSeen *from)
{
	PoSearchSeen seen;

	read_seen(from, &seen);
	return hardly_wait(&seen);
}

bool
po_search_is_limited(const PoSearchSeen *from, double threshold)
{
	PoSearchSeen seen;

	read_seen(from, &seen);
	if (seen.size == 0 || seen.busy <= 0)
		return false;
	return (is_full(&seen, threshold) && !hardly_wait(&seen)) ||
		(seen.cores > 0 && seen.busy * seen.share[PO_WAIT_CPU] > CROWDED_CPU * seen.cores) ||
		(seen.busy > 2 && seen.share[PO_WAIT_LOCK] > CROWDED_LOCK) || may_crowd_disk(&seen);
}

/* ---------- points ---------- */

/* The index of a size, or of where it would be. */
static int
place_of(const PoSearch *s, int size)
{
	int			i = 0;

	while (i < s->n_points && s->point[i].size < size)
		i++;
	return i;
}

static const PoSearchPoint *
find(const PoSearch *s, int size)
{
	int			i = place_of(s, size);

	return i < s->n_points && s->point[i].size == size ? &s->point[i] : NULL;
}

/* NULL when there is no room for one more size. */
static PoSearchPoint *
find_or_add(PoSearch *s, int size)
{
	int			i = place_of(s, size);

	if (i < s->n_points && s->point[i].size == size)
		return &s->point[i];
	if (s->n_points >= PO_SEARCH_POINTS)
		return NULL;
	memmove(&s->point[i + 1], &s->point[i], (size_t) (s->n_points - i) * sizeof(s->point[0]));
	memset(&s->point[i], 0, sizeof(s->point[0]));
	s->point[i].size = size;
	s->n_points++;
	return &s->point[i];
}

/*
 * Throughput is in proportion to which power of the machine's speed?  What evaluations of the
 * same size say, drawn to 0 as long as they say little.
 */
static double
elasticity(const PoSearchNoise *n)
{
	double		variance = n->freedom > 0 ? n->rate2 / n->freedom : 0;
	double		little = fmax(variance, LEAST_NOISE * LEAST_NOISE) / (POWER_SPREAD * POWER_SPREAD);

	return fmin(fmax(n->both / (n->speed2 + little), 0), MOST_POWER);
}

/* Of the machine, over all that was measured, as PoSearchPoint.faster. */
static double
mean_speed(const PoSearch *s)
{
	double		sum = 0;
	int			n = 0;

	for (int i = 0; i < s->n_points; i++)
	{
		sum += s->point[i].n * s->point[i].faster;
		n += s->point[i].n;
	}
	return n > 0 ? sum / n : 0;
}

/*
 * What would have been measured at the mean speed: that is a control variate (S. Lavenberg
 * and P. Welch 1981), with the power as its coefficient; slower is a logarithm.
 */
static double
at_mean_speed(double rate, double power, double slower)
{
	return rate * exp(power * slower);
}

/* 0 when nobody can tell. */
static double
speed_of(const PoSearch *s, const PoSearchSeen *seen)
{
	if (seen->speed <= 0 || s->reference <= 0)
		return 0;
	return fmin(fmax(log(seen->speed / s->reference), -MOST_FASTER), MOST_FASTER);
}

static void
note_noise(PoSearchNoise *n, const PoSearchPoint *p, double rate, double faster)
{
	double		weight = (double) p->n / (p->n + 1);
	double		more = fmin(fmax(log(rate / p->rate), -MOST_MORE), MOST_MORE);
	double		off = faster - p->faster;

	if (n->freedom >= MOST_FREEDOM)
	{
		double		kept = 1 - 1.0 / MOST_FREEDOM;

		n->freedom *= kept;
		n->rate2 *= kept;
		n->speed2 *= kept;
		n->both *= kept;
	}
	n->freedom++;
	n->rate2 += weight * more * more;
	n->speed2 += weight * off * off;
	n->both += weight * more * off;
}

static bool
has_room(const PoSearchSeen *seen)
{
	return !seen->saturated && seen->busy < SLACK * seen->size;
}

/* Does the pooler tell that clients wait for longer than they should? */
static bool
is_late(const PoSearchSeen *seen)
{
	return seen->queued * PO_US_PER_S > seen->target_us * seen->served;
}

/* How long clients waited at the size, and how many wanted nothing; p->n counts this one. */
static void
add_clients(PoSearchPoint *p, const PoSearchSeen *seen)
{
	if (seen->queued < 0 || seen->idle < 0)
	{
		p->late = 0;
		p->idle = -1;
		return;
	}
	p->late = (int8_t) clamp(p->late + (is_late(seen) ? 1 : -1), -MOST_LATE, MOST_LATE);
	if (p->n == 1 || p->idle < 0)
		p->idle = (float) seen->idle;
	else
		p->idle += ((float) seen->idle - p->idle) / p->n;
}

/* The oldest of many evaluations fade, so that a slow drift is followed. */
static void
add_rate(PoSearch *s, PoSearchPoint *p, const PoSearchSeen *seen)
{
	double		speed;
	double		power;
	double		usual;

	if (s->reference <= 0)
		s->reference = seen->speed;
	speed = speed_of(s, seen);
	if (p->n > 0 && p->rate > LEAST_RATE && seen->rate > LEAST_RATE)
		note_noise(&s->noise, p, seen->rate, speed);
	if (p->n < MOST_N_SETTLED)
		p->n++;
	p->rate += (seen->rate - p->rate) / p->n;
	p->faster += (float) (speed - p->faster) / p->n;
	p->used += (float) (fmin(seen->busy / seen->size, 1) - p->used) / p->n;
	add_clients(p, seen);
	p->room = has_room(seen);
	p->spare = !seen->saturated && seen->busy < SPARE * seen->size;
	power = elasticity(&s->noise);
	usual = mean_speed(s);
	for (int i = 0; i < s->n_points; i++)
		s->point[i].mean = at_mean_speed(s->point[i].rate, power, usual - s->point[i].faster);
}

/* More is asked now than when these larger ones did no more than that. */
static void
forget_room(PoSearch *s, int size, double rate)
{
	while (s->n_points > 0)
	{
		const PoSearchPoint *top = &s->point[s->n_points - 1];

		if (top->size <= size || !top->room || top->mean >= rate)
			return;
		s->n_points--;
	}
}

double
po_search_rate(const PoSearch *s, int size)
{
	const PoSearchPoint *p = find(s, size);

	return p != NULL ? p->mean : 0;
}

/*
 * Relative standard deviation of one evaluation, from all sizes together, at the mean speed.
 */
static double
noise(const PoSearch *s)
{
	const PoSearchNoise *n = &s->noise;
	double		power = elasticity(n);
	double		left = n->rate2 - 2 * power * n->both + power * power * n->speed2;

	return n->freedom > 0 ? fmax(sqrt(fmax(left, 0) / n->freedom), LEAST_NOISE) : LEAST_NOISE;
}

/*
 * The best may lie between sizes that were tried: the peak of the parabola, over the
 * logarithm of the size, through a point and its neighbours; 0 without them.
 */
static double
peak_near(const PoSearch *s, const PoSearchPoint *best)
{
	int			i = (int) (best - s->point);
	double		x0;
	double		x2;
	double		y0;
	double		y2;
	double		a;
	double		b;

	if (i == 0 || i + 1 >= s->n_points || best[-1].n < LEAST_N || best[1].n < LEAST_N)
		return 0;
	x0 = log((double) best[-1].size / best->size);
	x2 = log((double) best[1].size / best->size);
	y0 = best[-1].mean - best->mean;
	y2 = best[1].mean - best->mean;
	a = (y0 / x0 - y2 / x2) / (x0 - x2);
	b = y0 / x0 - a * x0;
	return a < 0 ? fmin(best->mean - b * b / (4 * a), best->mean * MOST_HIDDEN) : 0;
}

/* The largest of several means is too large by about so much of its error. */
static double
best_but(const PoSearch *s, const PoSearchPoint *but)
{
	const PoSearchPoint *best = NULL;
	int			n = 0;

	for (int i = 0; i < s->n_points; i++)
	{
		const PoSearchPoint *p = &s->point[i];

		if (p == but || p->n < LEAST_N)
			continue;
		n++;
		if (best == NULL || p->mean > best->mean)
			best = p;
	}
	if (best == NULL)
		return 0;
	return fmax(best->mean, peak_near(s, best)) *
		(1 - (n > 2 ? fmin(MAX_BIAS * noise(s) / sqrt(best->n), MOST_BIAS) : 0));
}

double
po_search_best(const PoSearch *s)
{
	return best_but(s, NULL);
}

/* Has a size been measured well enough to decide by it? */
static bool
is_sure(const PoSearch *s, const PoSearchPoint *p)
{
	double		best = best_but(s, p);
	double		error = noise(s) / sqrt(p->n);

	if (p->n < LEAST_N || p->n >= MOST_N || best <= 0 || p->mean <= 0)
		return p->n >= LEAST_N;
	return fabs(p->mean / best - NEAR_BEST) > error &&
		fabs(best / p->mean - NEAR_BEST) > error;
}

void
po_search_sample(const PoSearch *s, PoUslSample *sample)
{
	int			n = s->n_points < PO_SEARCH_POINTS ? s->n_points : PO_SEARCH_POINTS;

	memset(sample, 0, sizeof(*sample));
	for (int i = 0; i < n; i++)
	{
		const PoSearchPoint *p = &s->point[i];

		if (p->size < 1 || p->size > MOST_SIZE || p->n < 1 ||
			!(p->mean >= 1e-12 && p->mean <= 1e12) ||
			(sample->n > 0 && p->size <= sample->size[sample->n - 1]))
			continue;
		sample->size[sample->n] = p->size;
		sample->time_us[sample->n] = p->size * PO_US_PER_S / p->mean;
		sample->weight[sample->n] = p->n;
		sample->n++;
	}
}

/* ---------- where next ---------- */

/*
 * Sizes that were left before enough was seen of them, as a bound changed, say: what they seemed
 * to do is no reason for anything, and they may be tried again.
 */
static void
forget_unsure(PoSearch *s)
{
	int			kept = 0;

	for (int i = 0; i < s->n_points; i++)
	{
		if (s->point[i].n >= LEAST_N)
			s->point[kept++] = s->point[i];
	}
	/* All of it would be nothing to go on from. */
	if (kept > 0)
		s->n_points = kept;
}

/* What the points, all of them sure, say. */
typedef struct Bracket
{
	int			failing;		/* largest size below that is not near the best; 0 = none */
	int			near;			/* smallest size near the best */
	int			top;			/* largest size tried */
	bool		flat;			/* the largest did not pay */
} Bracket;

/*
 * Does a backlog of clients that come whatever the pool does make up for what it does less than a
 * larger one?  In a closed system clients that want nothing are in proportion to throughput
 * (Little: each thinks for so long); in one with a backlog there are none of them, as all wait,
 * while with a larger pool nobody does.  Only where most want nothing then, and much of that pool
 * is free: who is on the way between client and pooler looks as if he wanted nothing, too.
 */
static bool
has_backlog(const PoSearch *s, int i)
{
	const PoSearchPoint *p = &s->point[i];

	if (p->late <= 0 || p->idle < 0 || p->rate <= 0)
		return false;
	for (int j = i + 1; j < s->n_points; j++)
	{
		const PoSearchPoint *q = &s->point[j];

		if (q->n >= LEAST_N && q->room && q->late < 0 && q->idle >= MOST_IDLE * s->demand &&
			p->idle / p->rate < HALF_IDLE * q->idle / q->rate)
			return true;
	}
	return false;
}

/* The next larger size of which not all was busy; NULL if there is none. */
static const PoSearchPoint *
spare_above(const PoSearch *s, int size)
{
	for (int i = 0; i < s->n_points; i++)
	{
		const PoSearchPoint *p = &s->point[i];

		if (p->size > size && p->n >= LEAST_N && p->spare && p->rate > LEAST_RATE)
			return p;
	}
	return NULL;
}

/*
 * The same where nobody tells who waits or wants nothing: a larger one was not used up, so that
 * clients come whatever the pool does.  This one was, or by queueing theory they would wait for
 * it for longer than they should.
 */
static bool
has_queue(const PoSearch *s, int i)
{
	const PoSearchPoint *p = &s->point[i];
	const PoSearchPoint *larger = s->unseen ? spare_above(s, p->size) : NULL;
	double		load;

	if (larger == NULL)
		return false;
	load = (double) larger->used * larger->size;
	return p->used >= USED_UP ||
		po_queueing_mean_wait(p->size, load, load / larger->rate * PO_US_PER_S, 1, 1) >
		s->target_us;
}

/* The index of the size that did most. */
static int
largest_mean(const PoSearch *s)
{
	int			largest = 0;

	for (int i = 1; i < s->n_points; i++)
	{
		if (s->point[i].mean > s->point[largest].mean)
			largest = i;
	}
	return largest;
}

static void
read_points(const PoSearch *s, Bracket *b)
{
	const PoSearchPoint *top = &s->point[s->n_points - 1];
	double		best = po_search_best(s);
	int			largest = largest_mean(s);
	int			i;

	/* The best itself may be hidden between points: then the best of these. */
	for (i = 0; i < largest && s->point[i].mean < NEAR_BEST * best;)
		i++;
	/* With far more sessions than use up the CPUs it does not do less for being small. */
	while (i > 0 && s->crowded > 0 && s->point[i - 1].size >= s->crowded &&
		   s->point[i - 1].mean >= FULL_BEST * best)
		i--;
	while (has_backlog(s, i) || has_queue(s, i))
		i++;
	b->near = s->point[i].size;
	b->failing = i > 0 ? s->point[i - 1].size : 0;
	b->top = top->size;
	b->flat = false;
	/* Against one that is smaller by enough to tell. */
	for (i = s->n_points - 2; i >= 0; i--)
	{
		if (s->point[i].size * FINE_ENOUGH > top->size)
			continue;
		b->flat = top->mean < GROWING_PAYS * s->point[i].mean;
		break;
	}
}

/* Does nothing that was tried say that larger ones would not do more? */
static bool
is_growing(const Bracket *b)
{
	return b->near * FINE_ENOUGH >= b->top && !b->flat;
}

/* As demand grows there may be more sizes than there is room for: the smallest says least. */
static void
make_room(PoSearch *s, const Bracket *b)
{
	if (s->n_points < PO_SEARCH_POINTS || !is_growing(b))
		return;
	s->n_points--;
	memmove(&s->point[0], &s->point[1], (size_t) s->n_points * sizeof(s->point[0]));
}

static int
size_above(int top, const PoSearchSeen *seen, int limit)
{
	double		next = fmax(ceil(top * STEP), top + 1);
	double		knee = seen->size == top ? po_search_knee(seen) : 0;

	return clamp(fmax(next, fmin(knee, top * MOST_STEP)), seen->lowest, limit);
}

/*
 * Will a larger pool pay?  Not where the law fitted to what was seen says that even with
 * its error it will not; with locks it may say that less gets done.
 */
static bool
growth_is_vain(const PoSearch *s, const PoSearchSeen *seen, int next)
{
	PoUslSample sample;
	PoUslFit	fit;
	double		error;
	double		rate;

	po_search_sample(s, &sample);
	if (!po_usl_fit(&sample, seen->share[PO_WAIT_LOCK] > 0, noise(s), &fit))
		return false;
	rate = po_usl_rate(&fit, next, &error);
	return rate * (1 + SURE * error) < GROWING_PAYS * po_search_best(s);
}

static bool
is_without_locks(const PoSearchSeen *seen)
{
	return seen->share[PO_WAIT_LOCK] <= CROWDED_LOCK / 2;
}

/*
 * So many that what is used up now will be, still: those who wait for a lock or a CPU do
 * nothing, so they are left out at once, however many.  How many are off the CPU varies (as
 * a Poisson number, say), and they may all come at once.  0 = nothing is used up.
 */
static double
enough_for_all(const PoSearchSeen *seen)
{
	double		knee = po_search_knee(seen);

	if (knee <= 0 || knee > seen->size)
		return 0;
	if (seen->share[PO_WAIT_LOCK] <= MOST_LOCK)
		knee += sqrt(fmax(knee - seen->cores, 0));
	return ceil(knee - 0.05);
}

static int
size_below(int near, const PoSearchSeen *seen)
{
	double		next = fmin(floor(near / STEP), near - 1);
	double		enough = seen->size == near ? enough_for_all(seen) : 0;

	if (enough > 0)
		next = fmin(next, enough);
	/* Work that comes anyhow needs those who are at it; not where fewer were seen to do it. */
	if (!seen->saturated && seen->busy < near)
		next = fmax(next, ceil(seen->busy));
	return clamp(next, seen->lowest, near);
}

/*
 * The peak may be between the smallest good size and its neighbour above, when they
 * are far apart; 0 when they are not.
 */
static int
size_within(const PoSearch *s, int near)
{
	int			i = place_of(s, near);
	const PoSearchPoint *above = &s->point[i + 1];
	double		gap;

	if (i + 1 >= s->n_points || (s->full > 0 && near >= s->full))
		return 0;				/* there is no more to be had */
	gap = above->mean < NEAR_BEST * po_search_best(s) ? FALLING_GAP : WIDE_GAP;
	if (above->size < near * gap || above->size - near < 2)
		return 0;
	return (int) floor(sqrt((double) near * above->size) + 0.5);
}

/* Larger ones are of no use: not allowed, or nobody would want them. */
static int
largest_useful(const PoSearch *s, const PoSearchSeen *seen)
{
	return s->demand > 0 ? clamp(s->demand, seen->lowest, seen->highest) : seen->highest;
}

/*
 * The only size seen is the largest allowed, its sessions are busy, and nothing they use
 * is used up: then throughput is in proportion to size, and a smaller one would lose.
 */
static bool
is_too_small(const PoSearch *s, const PoSearchSeen *seen, int limit)
{
	return s->n_points == 1 && seen->size >= limit && seen->busy >= BUSY * seen->size &&
		seen->share[PO_WAIT_LOCK] <= CROWDED_LOCK && seen->share[PO_WAIT_IO] <= CROWDED_IO &&
		po_search_knee(seen) >= FINE_ENOUGH * seen->size;
}

/*
 * The larger one does more by more than it is larger, which no closed system does: the smaller one
 * was measured while clients took longer.
 */
static bool
is_out_of_date(const PoSearch *s, const PoSearchPoint *p, const PoSearchPoint *larger)
{
	double		error = noise(s) * sqrt(1.0 / p->n + 1.0 / larger->n);

	return larger->mean * p->size > (1 + SURE * error) * p->mean * larger->size;
}

/*
 * What was measured at different times may differ by what the machine did meanwhile, or clients.
 * Before a size is settled on, the smaller one is measured again that only just failed, or of
 * which it is hard to believe.
 */
static bool
again_below(const PoSearch *s, const PoSearchSeen *seen, const Bracket *b)
{
	const PoSearchPoint *p;
	double		enough = enough_for_all(seen);

	if (b->failing == 0)
		return false;
	p = &s->point[place_of(s, b->failing)];
	if (!p->doubted && is_out_of_date(s, p, p + 1))
		return true;
	return p->n < 2 * LEAST_N &&
		(p->mean >= JUST_FAILED * po_search_best(s) ||
		 (is_without_locks(seen) && enough > 0 && enough <= b->failing));
}

/*
 * The next larger size than the best did less, by more than what sessions fight for explains: that
 * was before clients or server became faster, or while something was in the way.
 */
static int
again_above(const PoSearch *s, const PoSearchSeen *seen)
{
	int			i = largest_mean(s);
	const PoSearchPoint *p = &s->point[i];
	const PoSearchPoint *above = p + 1;
	bool		fight;

	if (i + 1 >= s->n_points || above->doubted || above->room ||
		above->size > largest_useful(s, seen) || !is_without_locks(seen))
		return 0;
	fight = s->full > 0 && above->size >= s->full;
	return above->mean < (fight ? FIGHTING_BEST : FULL_BEST) * p->mean ? above->size : 0;
}

/*
 * The smallest size tried has failed, but by so little that it may be what measuring is off:
 * then a smaller one tells more than another one in between, as it fails by far or does not.
 */
static bool
has_hardly_failed(const PoSearch *s, const Bracket *b)
{
	const PoSearchPoint *p = &s->point[0];
	double		best = po_search_best(s);

	return b->failing == p->size &&
		p->mean >= fmin(JUST_FAILED, NEAR_BEST - noise(s) / sqrt(p->n)) * best;
}

/* It has tried for so long, or so many, that it has to come to an end. */
static bool
is_worn_out(const PoSearch *s)
{
	return s->evaluations >= MOST_EVALUATIONS || s->n_points >= PO_SEARCH_POINTS;
}

/* The next size that would tell something, whatever the bounds; 0 when nothing would. */
static int
next_to_try(const PoSearch *s, const PoSearchSeen *seen, const Bracket *b, int limit)
{
	if (!is_worn_out(s))
	{
		bool		look_below = s->n_points == 1 && b->near > seen->lowest &&
			(po_search_knee(seen) <= FINE_ENOUGH * b->near ||
			 seen->share[PO_WAIT_LOCK] > MOST_LOCK);
		int			above = size_above(b->top, seen, limit);
		int			below = size_below(b->near, seen);

		if (!b->flat && !look_below && b->top < limit && !growth_is_vain(s, seen, above))
			return above;
		if (b->failing == 0 && below < b->near && !is_too_small(s, seen, limit))
			return below;
		if (has_hardly_failed(s, b) && size_below(b->failing, seen) < b->failing)
			return size_below(b->failing, seen);
		if (b->failing > 0 && b->near - b->failing > 1 &&
			b->near > FINE_ENOUGH * b->failing)
			return (int) floor(sqrt((double) b->failing * b->near) + 0.5);
		if (size_within(s, b->near) > 0)
			return size_within(s, b->near);
	}
	if (s->evaluations >= MOST_EVALUATIONS)
		return 0;
	return again_below(s, seen, b) ? b->failing : again_above(s, seen);
}

/*
 * What was measured before a bound changed may ask for a size that is not allowed any more;
 * the nearest one that is has been measured.
 */
static bool
is_out_of_reach(const PoSearchSeen *seen, int size)
{
	int			allowed = clamp(size, seen->lowest, seen->highest);

	return allowed != size && allowed == seen->size;
}

static bool
is_measured(const PoSearch *s, int size)
{
	const PoSearchPoint *p = find(s, size);

	return p != NULL && p->n >= LEAST_N;
}

/* The next multiple, if that is allowed. */
static int
raised(int size, const PoSearchSeen *seen)
{
	return size <= seen->highest - seen->unit ? size + seen->unit : size;
}

/*
 * As near to it as can be had, in the direction it is meant; 0 when that would tell nothing
 * new.
 */
static int
in_units(const PoSearch *s, const PoSearchSeen *seen, int next)
{
	int			size = next / seen->unit * seen->unit;

	if (next <= 0 || size == next || is_measured(s, next))
		return next;
	if (next > seen->size || size == 0)
		size = raised(size, seen);
	return is_measured(s, size) ? 0 : size;
}

/* Asked for, it did not come, though whoever sets sizes does that. */
static bool
cannot_come(const PoSearch *s, const PoSearchSeen *seen, int next)
{
	return s->refused >= MOST_REFUSED && next == s->asked && next != seen->size &&
		s->n_points > 1;
}

/* What the time of another size goes to, and how much that usually does, says nothing of this. */
static void
forget_settled(PoSearch *s)
{
	memset(s->share, 0, sizeof(s->share));
	s->usual = 0;
	s->odd = 0;
}

/* How many usually wait has to be seen anew. */
static void
forget_queue(PoSearch *s)
{
	s->queue = 0;
	s->queues = s->longer = 0;
}

/* Watches from now on what the size that it has does. */
static void
rest(PoSearch *s)
{
	s->phase = PO_SEARCH_SETTLED;
	s->evaluations = 0;
	s->again = false;
	forget_queue(s);
}

static int
settle(PoSearch *s, const PoSearchSeen *seen, int size, int limit)
{
	if (size % seen->unit != 0)
		size = raised(size / seen->unit * seen->unit, seen);
	if (size != s->settled)
		forget_settled(s);
	rest(s);
	s->uncut = 0;
	s->limit = limit;
	s->all_of_demand = limit < seen->highest;
	s->settled = size;
	return size;
}

/*
 * The size to settle on.  Only just near the best may be what measuring is off: then the next
 * larger one, if it was measured, is hardly larger and did more.  One too small loses
 * throughput at once, one a little too large does not.  What it had settled on before is as good
 * as its neighbour, unless that is clear by now.
 */
static int
safe_choice(const PoSearch *s, const PoSearchSeen *seen, int near)
{
	int			i = place_of(s, near);
	const PoSearchPoint *p = &s->point[i];
	const PoSearchPoint *next = p + 1;

	if (i + 1 >= s->n_points || p->size != near || next->n < LEAST_N ||
		next->size > LITTLE_LARGER * near || next->size > largest_useful(s, seen) ||
		(s->crowded > 0 && near >= s->crowded) || seen->unit > 1)
		return near;
	if (s->settled == near || s->settled == next->size)
		return s->settled;
	return p->mean < SURELY_NEAR * po_search_best(s) && next->mean > p->mean ? next->size : near;
}

/* Measures it again: anew when what it did is hard to believe, else to know it better. */
static void
doubt(PoSearch *s, const Bracket *b, int size)
{
	PoSearchPoint *p = &s->point[place_of(s, size)];

	p->doubted = true;
	if (size < b->near && !is_out_of_date(s, p, p + 1))
		return;
	p->n = 0;
	p->late = 0;
	p->rate = p->mean = 0;
}

/* The next size to try, or the one to settle on. */
static int
where_next(PoSearch *s, const PoSearchSeen *seen)
{
	int			limit = seen->saturated ? largest_useful(s, seen) :
		clamp(seen->size, seen->lowest, largest_useful(s, seen));
	int			next;
	Bracket		b;

	forget_unsure(s);
	read_points(s, &b);
	if (limit < seen->highest)
		make_room(s, &b);
	next = in_units(s, seen, next_to_try(s, seen, &b, limit));
	/* When none larger can be had, there may be something to find out about smaller ones. */
	if (next > b.top && cannot_come(s, seen, next))
		next = in_units(s, seen, next_to_try(s, seen, &b, b.top));
	if (next > 0 && !is_out_of_reach(seen, next) && !cannot_come(s, seen, next))
	{
		if (is_measured(s, next))
			doubt(s, &b, next);
		return next;
	}
	next = safe_choice(s, seen, b.near);
	/* As demand grew all the time, say: it would have paid, but this has to end some day. */
	if (is_worn_out(s) && is_growing(&b) && b.top < limit && limit < seen->highest)
		limit = next;
	return settle(s, seen, next, limit);
}

/* ---------- an evaluation ---------- */

static void
begin(PoSearch *s)
{
	bool		was_slack = s->was_slack;

	po_search_reset(s);
	s->was_slack = was_slack;
	s->phase = PO_SEARCH_TRYING;
}

/*
 * Much of the pool is not used, and not for lack of CPU or locks; or the search would not have
 * begun, had it been known how few wait.
 */
static bool
is_slack(const PoSearch *s, const PoSearchSeen *seen)
{
	return has_room(seen) ||
		(!seen->saturated && s->blind && s->n_points <= 1 && hardly_wait(seen));
}

/*
 * The pool is not the limit: queueing theory knows how large it has to be.  If that is
 * tight, clients wait now and then, so next time it takes more than a moment of it.  What was
 * found is kept for then, as long as it is not seen to be wrong: a pause is no other workload.
 */
static void
stop(PoSearch *s, bool is_known)
{
	if (!is_known)
		po_search_reset(s);
	s->phase = PO_SEARCH_NONE;
	s->probe = s->asked = s->awaited = s->refused = 0;
	s->limited = s->slack = 0;
	s->was_slack = true;
}

/* Does what is done now lie between what the sizes next to this one did? */
static bool
fits_known(const PoSearch *s, const PoSearchSeen *seen)
{
	int			i = place_of(s, seen->size);
	int			above = i < s->n_points ? i : s->n_points - 1;
	int			below = s->point[above].size <= seen->size ? above : above - 1;
	double		most = s->point[above].mean;
	double		least = 0;

	if (below >= 0)
	{
		least = fmin(most, s->point[below].mean);
		most = fmax(most, s->point[below].mean);
	}
	return seen->rate >= (1 - ODD_RATE) * least && seen->rate <= (1 + ODD_RATE) * most;
}

/*
 * On what was found before the pause; looks again before long, and after several short bursts as
 * after one.
 */
static void
settle_again(PoSearch *s)
{
	int			evaluations = s->evaluations;

	rest(s);
	s->evaluations = evaluations;
	s->resumed = true;
	s->probe = s->settled;
	s->odd = s->strays = s->demand = 0;
	if (s->rest == 0 || s->rest >= FIRST_REST)
		s->rest = FIRST_REST_BELOW_ROOM;
	memset(&s->few, 0, sizeof(s->few));
}

/* The pool is the limit, for the first time or again: then what was found before may hold. */
static void
resume(PoSearch *s, const PoSearchSeen *seen)
{
	if (s->n_points <= 1 || !fits_known(s, seen))
		begin(s);
	else
		settle_again(s);
	s->blind = seen->queued < 0;
	s->seen_size = seen->size;
}

/*
 * Far from what its size was measured to do, whatever the machine's speed does to it: as long as
 * that was the same all the time, nobody knows.  Not where it was not measured.  -1: it does
 * less, 1: more.
 */
static int
odd_side(const PoSearch *s, const PoSearchSeen *seen)
{
	const PoSearchPoint *p = find(s, seen->size);
	double		one = seen->rate;
	double		other;

	if (p == NULL || p->rate <= 0)
		return 0;
	other = at_mean_speed(one, MOST_POWER, p->faster - speed_of(s, seen));
	if (fmax(one, other) < (1 - ODD_RATE) * p->rate)
		return -1;
	return fmin(one, other) > (1 + ODD_RATE) * p->rate ? 1 : 0;
}

static bool
is_odd_rate(const PoSearch *s, const PoSearchSeen *seen)
{
	return odd_side(s, seen) != 0;
}

/*
 * Much of it seems not to be used, and yet a smaller one was measured to do less, of the work
 * that is there: a connection that the pooler has linked to a client is in use while the
 * server waits for neither of them, between two statements and on their way.  Without one that
 * tells who waits, busy is what is needed.
 */
static bool
needs_its_size(const PoSearch *s, const PoSearchSeen *seen)
{
	const PoSearchPoint *p = find(s, s->probe);
	const PoSearchPoint *below;

	if (s->phase != PO_SEARCH_SETTLED || seen->size != s->probe || seen->queued < 0 ||
		is_odd_rate(s, seen))
		return false;
	if (p == NULL || p == s->point)
		return false;
	below = p - 1;
	return below->n >= LEAST_N &&
		((below->mean < p->mean && below->mean < NEAR_BEST * po_search_best(s)) ||
		 has_backlog(s, (int) (below - s->point)));
}

/*
 * How little it is what was measured: 2 by its rate, 1 by what its time goes to alone,
 * which rests on a few samples.
 */
static int
oddness(const PoSearch *s, const PoSearchSeen *seen)
{
	double		moved = 0;

	for (int i = 0; i < PO_N_WAITS; i++)
		moved += fabs(seen->share[i] - s->share[i]);
	if (po_search_rate(s, seen->size) <= 0)
		return 0;
	return is_odd_rate(s, seen) ? 2 : moved > ODD_SHARE ? 1 : 0;
}

static bool
knows_share(const PoSearch *s)
{
	double		known = 0;

	for (int i = 0; i < PO_N_WAITS; i++)
		known += s->share[i];
	return known > 0;
}

static void
learn_share(PoSearch *s, const PoSearchSeen *seen, double weight)
{
	for (int i = 0; i < PO_N_WAITS; i++)
		s->share[i] += (seen->share[i] - s->share[i]) * weight;
}

/* Of the neighbours, if any, that it may have now, the one seen less often. */
static const PoSearchPoint *
neighbour(const PoSearch *s, const PoSearchSeen *seen)
{
	int			i = place_of(s, s->probe);
	const PoSearchPoint *above = i + 1 < s->n_points ? &s->point[i + 1] : NULL;
	const PoSearchPoint *below = i > 0 ? &s->point[i - 1] : NULL;

	if (above != NULL && above->size > largest_useful(s, seen))
		above = NULL;
	if (below != NULL && below->size < seen->lowest)
		below = NULL;
	if (above != NULL && above->room)
		return above;
	return above == NULL || (below != NULL && below->n < above->n) ? below : above;
}

/*
 * The next larger size tried did no more as no more was asked of it, so what it can do is not
 * known; while that settled on, being full, would not show that more is asked.
 */
static bool
is_below_room(const PoSearch *s, const PoSearchPoint *p)
{
	return s->limited >= IN_A_ROW && p != NULL && p->size > s->probe && p->room;
}

/*
 * What the size settled on does may have become more or less, too slowly to be another workload:
 * the others would do that much more or less by now.  How much it was is known when it had been
 * measured well; the size that was chosen is one that seemed to do more than it does.
 */
static void
follow_change(PoSearch *s)
{
	const PoSearchPoint *settled = find(s, s->probe);
	double		change;

	if (settled == NULL || s->usual <= 0)
		return;
	change = fmin(fmax(settled->mean / s->usual, 1 - ODD_RATE), 1 + ODD_RATE);
	if (fabs(change - 1) < LEAST_CHANGE)
		return;
	for (int i = 0; i < s->n_points; i++)
	{
		PoSearchPoint *p = &s->point[i];

		if (p == settled)
			continue;
		p->rate *= change;
		p->mean *= change;
		p->n = (int16_t) (p->n < LEAST_N ? p->n : LEAST_N);
	}
	s->usual = settled->mean;
}

/* Rested for long enough: looks again, where sizes are set as it asks for. */
static void
look_again(PoSearch *s, const PoSearchSeen *seen)
{
	const PoSearchPoint *p;

	follow_change(s);
	p = neighbour(s, seen);
	s->evaluations = 0;
	s->rest = s->rest < MOST_REST / 2 ? 2 * s->rest : MOST_REST;
	if (p == NULL || (s->n_points < LEAST_FOLLOWED && !is_below_room(s, p)))
		return;
	s->phase = PO_SEARCH_TRYING;
	s->again = true;
	s->probe = p->size;
}

/*
 * A pool that is full does no more however many come, so that its rate tells nothing of it;
 * but more of them wait than when it had settled.
 */
static bool
has_more_waiting(PoSearch *s, const PoSearchSeen *seen)
{
	if (seen->queued < 0 || seen->size != s->probe)
		return false;
	if (s->queues < USUAL_QUEUES)
	{
		s->queue = fmax(s->queue, seen->queued);
		s->queues++;
		return false;
	}
	if (seen->saturated && seen->queued > MORE_WAITING * s->queue + few_waiting(seen))
		s->longer++;
	else
		s->longer = 0;
	return s->longer >= IN_A_ROW;
}

/*
 * The same where nobody tells who waits: all of it is busy by now, and a larger one was not.
 */
static bool
has_become_full(PoSearch *s, const PoSearchSeen *seen)
{
	if (seen->queued >= 0 || seen->size != s->probe)
		return false;
	s->longer = seen->busy >= USED_UP * seen->size && spare_above(s, s->probe) != NULL ?
		s->longer + 1 : 0;
	return s->longer >= IN_A_ROW;
}

/*
 * The largest useful size for which a search that ended at its limit goes on.  With one size known
 * nothing was ever tried: it was a bad moment that decided.  Where each client got one of its own
 * as all of them paid, a few more clients will pay as well; what a bound is changes all the time.
 */
static double
worth_going_on(const PoSearch *s)
{
	Bracket		b;

	if (s->n_points <= 1)
		return s->limit + 1;
	/* It has to be worth it, unless more was seen to be. */
	if (!s->all_of_demand)
		return s->uncut > 0 ? fmin(s->limit * STEP, s->uncut) : s->limit * STEP;
	read_points(s, &b);
	return b.flat ? s->limit * STEP : fmax(s->limit + 1, s->limit * MORE_CLIENTS);
}

/*
 * Is it another workload by now, as several evaluations in a row say?  Less in one and more in the
 * next is noise.
 */
static bool
has_become_odd(PoSearch *s, const PoSearchSeen *seen, int odd)
{
	int			side = odd_side(s, seen);

	if (side * s->side < 0)
		s->odd = 0;
	if (side != 0)
		s->side = side;
	s->odd += odd;
	return s->odd >= 2 * IN_A_ROW;
}

/*
 * Settled: goes on as long as the workload is the one that was measured, and goes up
 * again when it may have more than when it stopped.
 */
static void
watch(PoSearch *s, const PoSearchSeen *seen)
{
	PoSearchPoint *p;
	int			odd;

	if (s->probe >= s->limit && s->limited >= IN_A_ROW &&
		largest_useful(s, seen) >= worth_going_on(s))
	{
		s->phase = PO_SEARCH_TRYING;
		s->evaluations = 0;
		forget_room(s, s->probe, INFINITY);
		return;
	}
	if (has_more_waiting(s, seen) || has_become_full(s, seen))
	{
		begin(s);
		return;
	}
	if (seen->size != s->probe)
		return;					/* nobody has set it yet */
	if (!knows_share(s))
		learn_share(s, seen, 1);
	odd = oddness(s, seen);
	if (odd > 0)
	{
		if (!has_become_odd(s, seen, odd))
			return;
		if (seen->saturated)
			begin(s);
		else
			stop(s, false);
		return;
	}
	s->odd = s->side = 0;
	s->resumed = false;
	learn_share(s, seen, LEARN_SHARE);
	p = find_or_add(s, seen->size);
	if (p != NULL)
		add_rate(s, p, seen);
	if (p != NULL && s->usual <= 0 && p->n >= MOST_N_SETTLED / 2)
		s->usual = p->mean;
	if (s->rest == 0)
		s->rest = is_below_room(s, neighbour(s, seen)) ? FIRST_REST_BELOW_ROOM : FIRST_REST;
	if (++s->evaluations >= s->rest)
		look_again(s, seen);
}

/* True while it looks again and does not know yet; begins anew when all is different. */
static bool
is_looking_again(PoSearch *s, const PoSearchSeen *seen)
{
	if (!s->again)
		return false;
	/* Nobody sets it: then not. */
	if (seen->size != s->probe)
	{
		if (++s->evaluations > IN_A_ROW)
		{
			s->probe = settle(s, seen, s->settled, s->limit);
			s->odd = 0;
		}
		return true;
	}
	if (is_odd_rate(s, seen))
	{
		if (++s->odd < IN_A_ROW)
			return true;
		begin(s);
	}
	s->again = false;
	s->odd = 0;
	return false;
}

/* That fewer do less is hard to believe where even they are more than the knee. */
static bool
is_surprising(const PoSearch *s, const PoSearchSeen *seen, const PoSearchPoint *p)
{
	double		enough = enough_for_all(seen);
	bool		sure = is_without_locks(seen);

	return p->n < (sure ? MOST_N_SURPRISING : MOST_N) && enough > 0 &&
		seen->size >= enough * (sure ? 1 : FINE_ENOUGH) &&
		p->mean < NEAR_BEST * best_but(s, p) && place_of(s, p->size) + 1 < s->n_points;
}

/* The least sizes of those with which the CPUs are used up, see full and crowded. */
static void
note_cpu(PoSearch *s, const PoSearchSeen *seen)
{
	double		enough;

	if (seen->cores == 0 || seen->busy * seen->share[PO_WAIT_CPU] < CPU_USED_UP * seen->cores ||
		!is_without_locks(seen))
		return;
	if (s->full == 0 || seen->size < s->full)
		s->full = seen->size;
	enough = enough_for_all(seen);
	if (enough > 0 && seen->size >= CROWDED * enough &&
		(s->crowded == 0 || seen->size < s->crowded))
		s->crowded = seen->size;
}

/*
 * For a moment less was asked: much of it was not used, nobody waited, and less got done than
 * by others.  That says nothing of the size; if it stays so, it is the workload.
 */
static bool
is_pause(const PoSearch *s, const PoSearchSeen *seen)
{
	double		best = 0;

	for (int i = 0; i < s->n_points; i++)
		best = fmax(best, s->point[i].rate);
	return has_room(seen) && s->slack <= IN_A_ROW && seen->rate < FULL_BEST * best;
}

/*
 * One evaluation far from what its size was seen to do, as with a stall of half a minute, is left
 * out.  With a second one in a row it was the earlier ones that something was in the way of.
 */
static bool
is_stray(PoSearch *s, const PoSearchSeen *seen)
{
	int			side = odd_side(s, seen);

	s->strays = side == 0 ? 0 : side == s->side ? s->strays + 1 : 1;
	s->side = side;
	if (s->strays < 2)
		return s->strays > 0;
	s->strays = 0;
	s->point[place_of(s, seen->size)].n = 0;	/* so that this one is its first */
	return false;
}

static void
try(PoSearch *s, const PoSearchSeen *seen)
{
	bool		asked;
	PoSearchPoint *p;

	if (is_looking_again(s, seen))
		return;
	asked = s->probe == 0 || s->probe == seen->size;
	/*
	 * One that lasts for a moment is none: a pooler on its way closes all and opens them again
	 * one by one.  That nobody sets what was asked for does not bring it to its end; that it
	 * became another one does, as with sessions besides the pool.
	 */
	if ((!asked && s->stays < IN_A_ROW) || is_pause(s, seen))
		return;
	if (asked || (s->asked_at != seen->size && s->n_points > 1))
		s->evaluations++;
	if (is_stray(s, seen))
		return;
	p = find_or_add(s, seen->size);
	if (p == NULL)
	{
		s->phase = PO_SEARCH_SETTLED;
		s->probe = where_next(s, seen);
		return;
	}
	add_rate(s, p, seen);
	forget_room(s, p->size, (1 - ODD_RATE) * p->mean);
	note_cpu(s, seen);
	if (is_sure(s, p) && !is_surprising(s, seen, p))
		s->probe = where_next(s, seen);
}

/*
 * The size wanted, as the bounds of the moment allow.  One settled on that they cut is no more
 * what the points say, so it goes up again when it may, see watch.
 */
static int
asked_for(PoSearch *s, const PoSearchSeen *seen)
{
	if (s->phase == PO_SEARCH_SETTLED && s->probe > seen->highest)
	{
		s->uncut = s->probe > s->uncut ? s->probe : s->uncut;
		s->limit = s->settled = seen->highest;
		s->all_of_demand = false;
		forget_queue(s);
		forget_settled(s);
	}
	s->probe = clamp(s->probe > 0 ? s->probe : seen->size, seen->lowest, seen->highest);
	if (s->probe != s->asked)
	{
		s->asked_at = seen->size;
		s->refused = 0;
		s->awaited = seen->size != s->probe ? IN_A_ROW : 0;
		s->arrivals = 0;
	}
	s->asked = s->probe;
	return s->probe;
}

/* Nothing was tried yet but the size it began with, of which too little is known. */
static bool
has_only_begun(const PoSearch *s)
{
	return s->phase == PO_SEARCH_TRYING && !s->again &&
		(s->n_points == 0 || (s->n_points == 1 && s->probe == s->point[0].size));
}

/*
 * Others come, too: what the first of them did is not to be what all are kept to.  A few more
 * are not waited for, as a pooler may open its connections one by one for long: that is the
 * size it began with, nearly.
 */
static bool
takes_in_more(PoSearch *s, int size)
{
	if (s->n_points == 0 || size > FINE_ENOUGH * s->point[0].size)
		return false;
	s->point[0].size = s->probe = size;
	return true;
}

bool
po_search_arrives(PoSearch *s, int size)
{
	if (s->awaited <= 0 || size <= 0 || size == s->seen_size)
		return false;
	if (size == s->asked && s->arrivals < IN_A_ROW)
	{
		s->arrivals++;
		s->seen_size = size;
		s->stays = 0;
		return true;
	}
	/* It only passed by, as when sessions besides the pool come and go. */
	if (s->seen_size == s->asked)
		s->seen_size = size;
	return false;
}

/*
 * Has seen enough transactions to tell anything, or has by now, with those of the evaluations
 * just before it: then it becomes all of these.  Only while sessions are at work, or a single one
 * nearly all of the time: that nobody comes at night says nothing of what the pool does in the
 * morning.
 */
static bool
has_enough(PoSearch *s, PoSearchSeen *seen)
{
	PoSearchFew *few = &s->few;

	if (seen->transactions >= LEAST_TRANSACTIONS || (seen->busy < 1 && !seen->saturated))
	{
		memset(few, 0, sizeof(*few));
		return seen->transactions >= LEAST_TRANSACTIONS;
	}
	/* One of unknown speed makes all of them so. */
	few->speed = seen->speed > 0 && (few->n == 0 || few->speed > 0) ?
		few->speed + seen->speed : 0;
	few->n++;
	few->transactions += seen->transactions;
	few->rate += seen->rate;
	few->served += seen->served;
	few->busy += seen->busy;
	for (int i = 0; i < PO_N_WAITS; i++)
		few->share[i] += seen->busy * seen->share[i];
	if (few->transactions < LEAST_TRANSACTIONS)
		return false;
	seen->transactions = few->transactions;
	seen->rate = few->rate / few->n;
	seen->served = few->served / few->n;
	seen->speed = few->speed / few->n;
	seen->busy = few->busy / few->n;
	for (int i = 0; i < PO_N_WAITS; i++)
		seen->share[i] = few->share[i] / few->busy;
	memset(few, 0, sizeof(*few));
	return true;
}

/* So many wait for the little there is that it is no moment's queue: bursts may be short. */
static bool
is_burst(const PoSearchSeen *seen)
{
	return seen->queued > fmax(seen->size, BURST_WAITING);
}

/* In the middle of it all have gone, or want so little that there is nothing to go on. */
static bool
is_abandoned(PoSearch *s, bool nothing_to_go_on)
{
	if (s->phase != PO_SEARCH_TRYING || !nothing_to_go_on)
		s->gone = 0;
	else if (s->gone < ABANDONED)
		s->gone++;
	return s->gone >= ABANDONED;
}

/* What was found before a pause is not kept when it did not fit after that. */
static void
note_slack(PoSearch *s, const PoSearchSeen *seen)
{
	s->slack = is_slack(s, seen) && !needs_its_size(s, seen) ? s->slack + 1 : 0;
	if (s->slack >= IN_A_ROW && (s->phase == PO_SEARCH_SETTLED || s->n_points <= 1))
		stop(s, s->phase == PO_SEARCH_SETTLED && s->n_points > 1 &&
			 !(s->resumed && s->odd > 0));
	if (is_abandoned(s, s->slack > 0))
		stop(s, false);
}

int
po_search_step(PoSearch *s, const PoSearchSeen *from)
{
	PoSearchSeen seen;
	bool		moved;

	read_seen(from, &seen);
	if (s->awaited > 0)
		s->awaited--;
	if (seen.size == 0)
	{
		if (is_abandoned(s, true))
			stop(s, false);
		return s->phase == PO_SEARCH_NONE ? 0 : asked_for(s, &seen);
	}
	moved = seen.size != s->seen_size;
	s->seen_size = seen.size;
	s->stays = moved ? 0 : s->stays < IN_A_ROW ? s->stays + 1 : IN_A_ROW;

	s->refused = seen.followed && !moved && seen.size != s->asked ?
		(s->refused < MOST_REFUSED ? s->refused + 1 : MOST_REFUSED) : 0;

	s->limited = seen.saturated ? (s->limited < IN_A_ROW ? s->limited + 1 : IN_A_ROW) : 0;
	note_slack(s, &seen);
	if (has_only_begun(s) && seen.size > s->probe)
	{
		if (takes_in_more(s, seen.size))
			moved = false;
		else
		{
			s->phase = PO_SEARCH_NONE;
			s->probe = s->n_points = 0;
		}
	}
	if (s->phase == PO_SEARCH_NONE)
	{
		if (s->limited < (s->was_slack && !is_burst(&seen) ? IN_A_ROW : 1))
			return 0;
		resume(s, &seen);
		moved = false;
	}
	if (s->demand < seen.demand)
		s->demand = seen.demand;
	s->unseen = seen.queued < 0;
	s->target_us = seen.target_us;
	/* In part the work of the size before, or too little of it; or it was but a bad moment that
	 * the search began in. */
	if (moved || (has_only_begun(s) && s->slack > 0))
	{
		memset(&s->few, 0, sizeof(s->few));
		s->strays = 0;
		return asked_for(s, &seen);
	}
	/* Nor does a time in which all of it failed tell anything of any size. */
	if (!has_enough(s, &seen) || seen.rate <= LEAST_RATE)
		return asked_for(s, &seen);
	if (s->phase == PO_SEARCH_SETTLED)
		watch(s, &seen);
	if (s->phase == PO_SEARCH_TRYING)
		try(s, &seen);
	return asked_for(s, &seen);
}
