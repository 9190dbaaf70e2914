/*
 * po_report_chart.h
 *		Plots as inline SVG that keep their letters at any width.
 *
 * A path is drawn in a box of its own units that is stretched to the plot's width
 * (preserveAspectRatio none, strokes not scaled); what is text or a mark is placed by per
 * cent from left and by pixels from above.  So one SVG is right on a telephone, a screen and
 * paper, without a script.
 */
#ifndef PO_REPORT_CHART_H
#define PO_REPORT_CHART_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

#include "model/po_plot.h"

#define PO_CHART_LABELS	8

/* Its fields are set by po_chart_begin; y by the caller before. */
typedef struct PoChart
{
	StringInfo	out;
	int			height;			/* px, without the axis */
	PoScale		y;
	int			n_labels;		/* of lines, on the right */
	double		label_y[PO_CHART_LABELS];
	const char *label_class[PO_CHART_LABELS];
	char	   *label[PO_CHART_LABELS];
} PoChart;

/*
 * class is " wide" for one with labels on the right, else "".  id is unlike any other; title
 * and description are HTML, for those who do not see it.
 */
extern void po_chart_begin(PoChart *c, StringInfo out, const char *class, const char *id,
						   const char *title, const char *description);
extern void po_chart_end(PoChart *c);

/* Lines across with numbers on the left. */
extern void po_chart_y_axis(PoChart *c);

/* Ticks where clocks and calendars have them. */
extern void po_chart_time_axis(PoChart *c, TimestampTz from, TimestampTz to);

/* Ticks of sizes: every, 2 * every ... n * every. */
extern void po_chart_size_axis(PoChart *c, int n, int every);

/* Instead of an axis: what is at both ends. */
extern void po_chart_ends(PoChart *c, const char *left, const char *right);

extern void po_chart_line(PoChart *c, const double *value, int n, const char *class);
extern void po_chart_band(PoChart *c, const double *low, const double *high, int n,
						  const char *class);
/* One bar for each value. */
extern void po_chart_bars(PoChart *c, const double *value, int n, const char *class);

/* A line across at a value, with a label (HTML) on the right unless NULL. */
extern void po_chart_rule(PoChart *c, double value, const char *class, const char *label);

/* A label on the right for what ends there. */
extern void po_chart_label(PoChart *c, double value, const char *class, const char *label);

/* A line from top to bottom at x (0..1). */
extern void po_chart_mark(PoChart *c, double x, const char *class);

/* A dot. */
extern void po_chart_dot(PoChart *c, double x, double value, const char *class);

/* What is behind a range of x, both 0..1. */
extern void po_chart_shade(PoChart *c, double from, double to);

/* What is told when the pointer is in the i-th of n columns (HTML). */
extern void po_chart_hint(PoChart *c, int i, int n, const char *text);

/*
 * A key: pairs of class of line and HTML, ended by NULL.  class is " narrow" for one that is
 * shown where there is no room for labels, else "".
 */
extern void po_chart_key(StringInfo out, const char *class, const char *const *pairs);

#endif							/* PO_REPORT_CHART_H */
