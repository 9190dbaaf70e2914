/*
 * po_forecast.h
 *		When something that grows will be full: "in 40 minutes at this rate".
 *
 * A straight line is fitted to a level over time by least squares, weighed
 * exponentially with tau as time constant (what is old counts less), in continuous time: a
 * level holds from one note to the next, however long that is, so nothing has to be
 * noted while it stays as it is.  Only sums are kept (moments of age and level).
 *
 * The line is believed when it rises, explains most of how the level moved
 * (R^2 >= PO_FORECAST_LEAST_FIT), the rise within what is remembered is worth speaking of,
 * and it has gone on: of the last PO_FORECAST_WINDOWS windows of tau / 16 (four at least)
 * five in eight ended higher than they began, one of the last two among them.  A sawtooth, or
 * a jump (which is a line with R^2 = 0.75 at best), is none.
 */
#ifndef PO_FORECAST_H
#define PO_FORECAST_H

#include "model/po_types.h"

#define PO_FORECAST_LEAST_FIT	0.6
#define PO_FORECAST_LEAST_RISE	3.0		/* levels, within tau or since the start */
#define PO_FORECAST_LEAST_SHARE	0.05	/* and this share of the limit */
#define PO_FORECAST_MOST_S		86400.0 /* later than that is not known */
#define PO_FORECAST_WINDOWS		8

/* All zero is a valid start.  s^k and level, each weighed, integrated over age s. */
typedef struct PoForecast
{
	int64_t		since_us;		/* of the first note; 0 = none */
	int64_t		at_us;			/* up to when sums are complete */
	double		level;			/* since then */
	double		w0;
	double		w1;
	double		w2;
	double		y0;
	double		y1;
	double		yy;
	int64_t		window;			/* number of the one that is open */
	int32_t		n_windows;		/* that have ended, PO_FORECAST_WINDOWS at most */
	uint32_t	rose;			/* a bit for each of these, the last one first */
	double		window_level;	/* when the open one began */
} PoForecast;

/* The level is this from now on. */
extern void po_forecast_note(PoForecast *f, int64_t now_us, double level, int64_t tau_us);

typedef struct PoFit
{
	double		slope;			/* levels per second */
	double		r2;				/* 0..1 */
	double		watched_s;
} PoFit;

/* The line as of now; false while there is none. */
extern bool po_forecast_fit(PoForecast *f, int64_t now_us, int64_t tau_us, PoFit *fit);

/*
 * In how many seconds the level reaches limit; NaN when it does not, is there already, or
 * that is not known: watched for less than least_us, or the line is not believed.
 */
extern double po_forecast_full_in_s(PoForecast *f, int64_t now_us, int64_t tau_us,
									int64_t least_us, double limit);

#endif							/* PO_FORECAST_H */
