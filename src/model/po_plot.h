/*
 * po_plot.h
 *		The arithmetic of plots: scales, ticks, paths, and numbers as people read them.
 *
 * Values that are not known are NaN: a line has a gap there, it never goes on as if
 * nothing was.  Texts are ASCII and are cut at the end of their buffer.
 */
#ifndef PO_PLOT_H
#define PO_PLOT_H

#include "model/po_types.h"

/* Paths are drawn in a box of so many units, y downwards, and stretched to their place. */
#define PO_PLOT_WIDTH	4000
#define PO_PLOT_HEIGHT	1000

/* Enough for each point of a line, and twice that for a band. */
#define PO_PLOT_POINT_LEN	24
#define PO_PLOT_TEXT_LEN	32

/* From 0 to top, with a tick at each step. */
typedef struct PoScale
{
	double		top;
	double		step;
	int			n_steps;
	int			decimals;		/* that the ticks need */
} PoScale;

/*
 * The least round scale (steps of 1, 2 or 5 times a power of ten) that reaches max, with
 * at most max_steps steps; a step is not less than least_step (1 for what is counted).
 */
extern void po_plot_scale(double max, int max_steps, double least_step, PoScale *scale);

/* Where a value is: 0 at the bottom, 1 at the top; within that whatever comes. */
extern double po_plot_share(const PoScale *scale, double value);

/* A span that clocks or calendars know (1, 2, 5 s ... 7 days), at least range / most. */
extern int64_t po_plot_time_step(int64_t range_us, int most);

/*
 * How much time one point of a plot stands for: of the lengths in which history tells
 * (seconds that divide a minute, minutes that divide an hour but 2 and 3, hours that divide a
 * day), the least that is at least range / most; a day at most.
 */
extern int64_t po_plot_bucket(int64_t range_us, int most);

/*
 * The d of a path through values at even distances.  size must be at least
 * n * PO_PLOT_POINT_LEN + 1, or there is nothing.  Returns the length.
 */
extern int	po_plot_line(const double *value, int n, const PoScale *scale, char *d, int size);

/* The area between two lines (or above 0: low NULL); size twice as much. */
extern int	po_plot_band(const double *low, const double *high, int n, const PoScale *scale,
						 char *d, int size);

/*
 * Moves n places, given in any order, as little as needed (in the sense of least squares)
 * so that neighbours are gap apart, and all between low and high if there is room; their
 * order stays.
 */
extern void po_plot_spread(double *at, int n, double gap, double low, double high);

/* "1,234", "2.5", "12.3 million"; a question mark for NaN. */
extern void po_plot_count(double value, char *text, int size);

/* "0.25 ms", "4.2 s", "3 min", "2 h 5 min", "4 d 3 h"; "without end" for infinity. */
extern void po_plot_duration(double ms, char *text, int size);

/* "46 %"; what is not quite 0 or 100 does not say so. */
extern void po_plot_percent(double ratio, char *text, int size);

/* A tick of a scale. */
extern void po_plot_tick(const PoScale *scale, int i, char *text, int size);

#endif							/* PO_PLOT_H */
