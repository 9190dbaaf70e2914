/*
 * po_forecast.c
 *		When something that grows will be full.
 *
 * With weight w(s) = exp(-s / tau) of age s, moving on by d makes every age s + d, so
 *
 *		w1' = e (w1 + d w0) + I1,  w2' = e (w2 + 2 d w1 + d^2 w0) + I2,  e = exp(-d / tau)
 *
 * with Ik the integral of s^k w(s) over the new piece, 0 to d; the same for the sums
 * with the level, which is constant in that piece.
 */
#include "model/po_forecast.h"

#include <math.h>
#include <string.h>

/* Integrals of s^k exp(-s / tau) from 0 to d; by series where they would cancel. */
static void
piece(double d, double tau, double integral[3])
{
	double		x = d / tau;
	double		e = exp(-x);

	if (x < 1e-3)
	{
		integral[0] = d * (1 - x / 2);
		integral[1] = d * d * (0.5 - x / 3);
		integral[2] = d * d * d * (1.0 / 3 - x / 4);
		return;
	}
	integral[0] = tau * (1 - e);
	integral[1] = tau * tau * (1 - e * (1 + x));
	integral[2] = tau * tau * tau * (2 - e * (x * x + 2 * x + 2));
}

static int64_t
window_of(int64_t now_us, int64_t tau_us)
{
	int64_t		length = tau_us / (2 * PO_FORECAST_WINDOWS);

	return now_us / (length > 0 ? length : 1);
}

static void
start(PoForecast *f, int64_t now_us, double level, int64_t tau_us)
{
	memset(f, 0, sizeof(*f));
	f->since_us = f->at_us = now_us == 0 ? 1 : now_us;
	f->level = f->window_level = level;
	f->window = window_of(now_us, tau_us);
}

/* Ends the windows that are over.  In all but the first the level stayed as it is. */
static void
end_windows(PoForecast *f, int64_t now_us, int64_t tau_us)
{
	int64_t		window = window_of(now_us, tau_us);

	/* Of another length, as tau is another one. */
	if (window < f->window)
	{
		f->n_windows = 0;
		f->rose = 0;
	}
	for (int i = 0; i <= PO_FORECAST_WINDOWS && f->window < window; i++)
	{
		f->rose = (f->rose << 1 | (f->level > f->window_level)) &
			((1u << PO_FORECAST_WINDOWS) - 1);
		f->n_windows += f->n_windows < PO_FORECAST_WINDOWS;
		f->window_level = f->level;
		f->window++;
	}
	f->window = window;
}

static bool
goes_on(const PoForecast *f)
{
	int			n = 0;

	for (uint32_t bits = f->rose; bits != 0; bits &= bits - 1)
		n++;
	return f->n_windows >= PO_FORECAST_WINDOWS / 2 && (f->rose & 3) != 0 &&
		n * 8 >= f->n_windows * 5;
}

static void
advance(PoForecast *f, int64_t now_us, int64_t tau_us)
{
	double		tau = (double) (tau_us > 0 ? tau_us : 1) / PO_US_PER_S;
	double		d = ((double) now_us - (double) f->at_us) / PO_US_PER_S;
	double		e = exp(-d / tau);
	double		i[3];

	end_windows(f, now_us, tau_us);
	piece(d, tau, i);
	f->w2 = e * (f->w2 + 2 * d * f->w1 + d * d * f->w0) + i[2];
	f->w1 = e * (f->w1 + d * f->w0) + i[1];
	f->w0 = e * f->w0 + i[0];
	f->y1 = e * (f->y1 + d * f->y0) + f->level * i[1];
	f->y0 = e * f->y0 + f->level * i[0];
	f->yy = e * f->yy + f->level * f->level * i[0];
	f->at_us = now_us;
}

/* Without a start, with a clock that was set back, or sums that are damaged: begin. */
static bool
is_sound(const PoForecast *f, int64_t now_us)
{
	return f->since_us != 0 && now_us >= f->at_us && f->at_us >= f->since_us &&
		f->n_windows >= 0 && f->n_windows <= PO_FORECAST_WINDOWS &&
		isfinite(f->w0 + f->w1 + f->w2 + f->y0 + f->y1 + f->yy + f->level);
}

void
po_forecast_note(PoForecast *f, int64_t now_us, double level, int64_t tau_us)
{
	if (!is_sound(f, now_us))
	{
		start(f, now_us, level, tau_us);
		return;
	}
	advance(f, now_us, tau_us);
	f->level = level;
}

bool
po_forecast_fit(PoForecast *f, int64_t now_us, int64_t tau_us, PoFit *fit)
{
	double		ages;
	double		levels;
	double		both;

	memset(fit, 0, sizeof(*fit));
	if (!is_sound(f, now_us))
		return false;
	advance(f, now_us, tau_us);
	ages = f->w0 * f->w2 - f->w1 * f->w1;
	levels = f->w0 * f->yy - f->y0 * f->y0;
	both = f->w0 * f->y1 - f->w1 * f->y0;
	/* A level that did not move has no line; what is left is the error of rounding. */
	if (!(ages > 0) || !(levels > 1e-9 * f->w0 * f->yy))
		return false;
	fit->slope = -both / ages;
	fit->r2 = fmin(both / ages * both / levels, 1.0);
	fit->watched_s = ((double) now_us - (double) f->since_us) / PO_US_PER_S;
	return isfinite(fit->slope) && isfinite(fit->r2);
}

double
po_forecast_full_in_s(PoForecast *f, int64_t now_us, int64_t tau_us, int64_t least_us,
					  double limit)
{
	PoFit		fit;
	double		remembered_s;
	double		left_s;

	if (!po_forecast_fit(f, now_us, tau_us, &fit) || f->level >= limit ||
		fit.watched_s * PO_US_PER_S < (double) least_us ||
		fit.r2 < PO_FORECAST_LEAST_FIT || fit.slope <= 0 || !goes_on(f))
		return NAN;
	remembered_s = fmin(fit.watched_s, (double) tau_us / PO_US_PER_S);
	if (fit.slope * remembered_s < fmax(PO_FORECAST_LEAST_RISE,
										PO_FORECAST_LEAST_SHARE * limit))
		return NAN;
	left_s = (limit - f->level) / fit.slope;
	return left_s <= PO_FORECAST_MOST_S ? left_s : NAN;
}
