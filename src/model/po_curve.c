/*
 * po_curve.c
 *		What a tenant's pool would do at other sizes: the curve behind pool_what_if.
 */
#include "model/po_curve.h"

#include <math.h>
#include <string.h>

#include "model/po_queueing.h"
#include "model/po_usl.h"

#define LEAST_POINTS	3		/* for three coefficients */
#define MOST_RATE		1e12
#define MOST_US			1e15	/* 31 years */

static double
sane(double x, double most)
{
	return x > 0 ? fmin(x, most) : 0;
}

/* ---------- the pool is the limit ---------- */

/* Time per transaction and session in the second form. */
static double
knee_time(const PoUsl *f, double size)
{
	return fmax(f->base_us, f->serial_us * size) + f->crosstalk_us * size * (size - 1);
}

static double
time_at(const PoCurve *c, double size)
{
	double		us = (1 - c->sharpness) * po_usl_time(&c->usl, size) +
		c->sharpness * knee_time(&c->knee, size);

	return fmax(us, c->least_us);
}

static double
limited_rate(const PoCurve *c, double size)
{
	double		us = time_at(c, size);

	return sane(us > 0 ? fmin(size * PO_US_PER_S / us, c->ceiling) : 0, MOST_RATE);
}

static double
error_of(const PoCurve *c, const PoUslSample *s)
{
	double		sum = 0;

	for (int p = 0; p < s->n; p++)
	{
		double		error = 1 - limited_rate(c, s->size[p]) * s->time_us[p] /
			(s->size[p] * PO_US_PER_S);

		sum += s->weight[p] * error * error;
	}
	return sum;
}

/* Contention from the start, or behind the first `before` points only. */
static void
fit_form(const PoUslSample *from, bool usl, int before, bool crosstalk, PoUsl *form)
{
	PoUslSample s = *from;

	for (int p = 0; p < s.n; p++)
	{
		s.term[p][0] = usl || p < before ? 1 : 0;
		s.term[p][1] = usl || p >= before ? s.size[p] : 0;
		s.term[p][2] = s.size[p] * (s.size[p] - 1);
	}
	po_usl_fit_terms(&s, crosstalk, form);
}

/* The share of the knee in the mean of both that has the least squared error. */
static double
best_sharpness(const PoUslSample *s, const PoUsl *usl, const PoUsl *knee)
{
	double		product = 0;
	double		squares = 0;

	for (int p = 0; p < s->n; p++)
	{
		double		error = 1 - po_usl_time(usl, s->size[p]) / s->time_us[p];
		double		gain = error - 1 + knee_time(knee, s->size[p]) / s->time_us[p];

		product += s->weight[p] * error * gain;
		squares += s->weight[p] * gain * gain;
	}
	return squares > 0 ? fmin(sane(product, squares) / squares, 1) : 0;
}

static void
fit_points(const PoUslSample *s, bool crosstalk, PoCurve *c)
{
	PoCurve		best = *c;
	double		least_error;

	best.kind = PO_CURVE_FITTED;
	best.sharpness = 0;
	fit_form(s, true, 0, crosstalk, &best.usl);
	least_error = error_of(&best, s);
	*c = best;
	for (int before = 1; before <= s->n; before++)
	{
		double		error;

		fit_form(s, false, before, crosstalk, &best.knee);
		best.sharpness = best_sharpness(s, &best.usl, &best.knee);
		error = error_of(&best, s);
		if (error < least_error)
		{
			least_error = error;
			*c = best;
		}
	}
}

/* Through one point or two: the bounds times the mean of measured / bound. */
static void
scale_bounds(const PoUslSample *s, PoCurve *c)
{
	double		sum = 0;
	double		weights = 0;
	double		factor;

	for (int p = 0; p < s->n; p++)
	{
		double		bound = limited_rate(c, s->size[p]);

		if (bound <= 0)
			continue;
		sum += s->weight[p] * (s->size[p] * PO_US_PER_S / s->time_us[p]) / bound;
		weights += s->weight[p];
	}
	if (weights <= 0)
		return;
	factor = sum / weights;
	c->knee.base_us = sane(c->knee.base_us / factor, MOST_US);
	c->ceiling = c->ceiling * factor;
}

/* The asymptotic bounds, from the parts of the service time. */
static void
set_bounds(const PoSizingInput *in, const double *share, PoCurve *c)
{
	double		cores = in->cores > 0 ? in->cores : 0;
	double		cpu_us = c->service_us * share[PO_WAIT_CPU];
	double		known = 0;

	for (int i = 0; i < PO_N_WAITS; i++)
		known += share[i];
	c->sharpness = 1;
	c->ceiling = INFINITY;
	c->knee.base_us = c->service_us;
	if (known <= 0)
		return;
	if (cores > 0 && c->rate > 0)
		cpu_us = fmin(cpu_us, cores / c->rate * PO_US_PER_S);
	if (cores > 0 && cpu_us > 0)
		c->ceiling = cores * PO_US_PER_S / cpu_us;
	c->knee.base_us = cpu_us + c->service_us *
		(share[PO_WAIT_IO] + share[PO_WAIT_CLIENT] + share[PO_WAIT_OTHER]);
	if (c->knee.base_us <= 0)
		c->knee.base_us = c->service_us;	/* all of it is locks: nothing better is known */
}

static void
fit_limited(const PoSizingInput *in, const PoSearch *search, PoCurve *c)
{
	double		share[PO_N_WAITS];
	PoUslSample s;

	for (int i = 0; i < PO_N_WAITS; i++)
		share[i] = sane(in->wait_share[i], 1);
	set_bounds(in, share, c);
	po_search_sample(search, &s);
	c->kind = PO_CURVE_BOUNDS;
	if (s.n < LEAST_POINTS)
	{
		scale_bounds(&s, c);
		return;
	}
	c->least_us = c->knee.base_us;
	for (int p = 0; p < s.n; p++)
	{
		c->least_us = fmin(c->least_us, s.time_us[p]);
		c->ceiling = fmax(c->ceiling, s.size[p] * PO_US_PER_S / s.time_us[p]);
	}
	fit_points(&s, share[PO_WAIT_LOCK] > 0, c);
}

/* ---------- the curve ---------- */

void
po_curve_fit(const PoSizingInput *in, double load, const PoSearch *search, int demand,
			 PoCurve *c)
{
	memset(c, 0, sizeof(*c));
	c->rate = sane(in->arrival_rate, MOST_RATE);
	c->service_us = sane(in->service_us, MOST_US);
	c->arrival_cv2 = sane(in->arrival_cv2, 1e9);
	c->service_cv2 = sane(in->service_cv2, 1e9);
	c->demand = demand > 0 ? demand : 0;
	c->load = sane(in->busy.mean, PO_QUEUEING_MAX_SERVERS);
	if (c->load <= 0)
		c->load = sane(c->rate * c->service_us / PO_US_PER_S, PO_QUEUEING_MAX_SERVERS);
	if (c->service_us <= 0 && c->rate > 0)
		c->service_us = fmin(c->load / c->rate * PO_US_PER_S, MOST_US);
	c->busy_max = po_recommend_most_busy(in);
	c->burst_load = fmax(c->load, sane(load, PO_QUEUEING_MAX_SERVERS));
	if (search != NULL && search->phase != PO_SEARCH_NONE)
	{
		fit_limited(in, search, c);
		if (time_at(c, 1) > 0)
			return;
	}
	c->kind = c->load > 0 ? PO_CURVE_OPEN : PO_CURVE_NONE;
}

static void
open_at(const PoCurve *c, int size, PoCurvePoint *p)
{
	p->utilization = fmin(c->load / size, 1);
	p->throughput = c->rate * fmin(size / c->load, 1);
	p->wait_us = po_queueing_mean_wait(size, c->burst_load, c->service_us, c->arrival_cv2,
									   c->service_cv2);
	if (c->busy_max > 0)
		p->wait_us = fmin(p->wait_us, po_queueing_most_wait(size, c->busy_max, c->service_us));
}

static void
limited_at(const PoCurve *c, int size, PoCurvePoint *p)
{
	int			busy = c->demand > 0 && c->demand < size ? c->demand : size;

	p->utilization = (double) busy / size;
	p->throughput = limited_rate(c, busy);
	p->wait_known = c->demand > 0;
	if (busy < c->demand)
		p->wait_us = p->throughput > 0 ?
			(c->demand - busy) / p->throughput * PO_US_PER_S : INFINITY;
}

void
po_curve_at(const PoCurve *c, int size, PoCurvePoint *p)
{
	memset(p, 0, sizeof(*p));
	p->wait_known = true;
	if (size < 1)
		size = 1;
	if (c->kind == PO_CURVE_OPEN)
		open_at(c, size, p);
	else if (c->kind != PO_CURVE_NONE)
		limited_at(c, size, p);
}
