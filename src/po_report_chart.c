/*
 * po_report_chart.c
 *		Plots as inline SVG; see po_report_chart.h.
 */
#include "postgres.h"

#include <math.h>

#include "pgtime.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "po_html.h"
#include "po_report_chart.h"

#define LABEL_GAP		15		/* px, between lines of text */
#define MAX_TICKS		9
#define MAX_TICKS_WITH_SECONDS	6
#define AXIS_HEIGHT		22

/* ---------- frame ---------- */

void
po_chart_begin(PoChart *c, StringInfo out, const char *class, const char *id,
			   const char *title, const char *description)
{
	c->out = out;
	c->n_labels = 0;
	appendStringInfo(out, "<div class=\"plot%s\"><svg role=\"img\" width=\"100%%\" height=\"%d\" "
					 "aria-labelledby=\"%s-t %s-d\"><title id=\"%s-t\">%s</title>"
					 "<desc id=\"%s-d\">%s</desc>\n",
					 class, c->height + AXIS_HEIGHT, id, id, id, title, id, description);
}

/* Labels last, as they must not be hidden, and together, as they must not meet. */
void
po_chart_end(PoChart *c)
{
	po_plot_spread(c->label_y, c->n_labels, LABEL_GAP, 4, c->height - 4);
	for (int i = 0; i < c->n_labels; i++)
		appendStringInfo(c->out, "<text class=\"end %s\" x=\"100%%\" dx=\"8\" y=\"%.1f\" "
						 "dy=\".32em\">%s</text>\n", c->label_class[i], c->label_y[i],
						 c->label[i]);
	appendStringInfoString(c->out, "</svg></div>\n");
}

static double
y_px(const PoChart *c, double value)
{
	return c->height * (1 - po_plot_share(&c->y, value));
}

/* ---------- axes ---------- */

void
po_chart_y_axis(PoChart *c)
{
	for (int i = 0; i <= c->y.n_steps; i++)
	{
		char		text[PO_PLOT_TEXT_LEN];
		double		y = y_px(c, c->y.step * i);

		po_plot_tick(&c->y, i, text, sizeof(text));
		appendStringInfo(c->out, "<line class=\"%s\" x1=\"0\" x2=\"100%%\" y1=\"%.1f\" "
						 "y2=\"%.1f\"/><text class=\"y\" x=\"0\" dx=\"-8\" y=\"%.1f\" "
						 "dy=\".32em\">%s</text>\n",
						 i == 0 ? "base" : "grid", y, y, y, text);
	}
}

/* Every other tick is left out where there is little room; a text at the right edge, unless it is
 * a digit or two, ends where its tick is. */
static void
x_tick(PoChart *c, double x, int i, const char *text)
{
	appendStringInfo(c->out, "<line class=\"tick\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%d\" "
					 "y2=\"%d\"/><text class=\"x%s%s\" x=\"%.2f%%\" y=\"%d\">%s</text>\n",
					 100 * x, 100 * x, c->height, c->height + 4, i % 2 == 0 ? "" : " alt",
					 x > 0.95 && strlen(text) > 2 ? " last" : "",
					 100 * x, c->height + 18, text);
}

/* As clocks on the wall show it, as if that were UTC. */
static int64
wall_clock(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			zone;

	if (timestamp2tm(at, &zone, &tm, &fsec, NULL, NULL) != 0)
		return at;
	return at - zone * USECS_PER_SEC;
}

static TimestampTz
from_wall_clock(int64 wall)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(wall, NULL, &tm, &fsec, NULL, NULL) != 0)
		return wall;
	return wall + DetermineTimeZoneOffset(&tm, session_timezone) * USECS_PER_SEC;
}

static char *
tick_text(TimestampTz at, int64 wall, int64 step)
{
	if (step >= 56 * USECS_PER_DAY)
		return po_html_time_text(at, PO_TIME_YEAR);
	if (step >= 7 * USECS_PER_DAY)
		return po_html_time_text(at, PO_TIME_DATE);
	if (wall % USECS_PER_DAY == 0)
		return po_html_time_text(at, PO_TIME_DAY);
	return po_html_time_text(at, step < USECS_PER_MINUTE ? PO_TIME_SECOND : PO_TIME_MINUTE);
}

void
po_chart_time_axis(PoChart *c, TimestampTz from, TimestampTz to)
{
	int64		step = po_plot_time_step(to - from, MAX_TICKS);
	int64		wall = wall_clock(from);

	/* Seconds take more room, above all where the last one ends at the edge. */
	if (step < USECS_PER_MINUTE)
		step = po_plot_time_step(to - from, MAX_TICKS_WITH_SECONDS);
	wall += step - 1 - (wall + step - 1) % step;
	for (int i = 0; i < 2 * MAX_TICKS; i++, wall += step)
	{
		TimestampTz at = from_wall_clock(wall);

		if (at > to)
			break;
		if (at >= from)
			x_tick(c, (double) (at - from) / (to - from), i, tick_text(at, wall, step));
	}
}

/* Values stand for every, 2 * every ... up to n * every; nobody has a pool of 0. */
void
po_chart_size_axis(PoChart *c, int n, int every)
{
	PoScale		x;
	int			last = n * every;

	po_plot_scale(last, MAX_TICKS, every, &x);
	for (int i = 0; i * x.step <= last; i++)
	{
		double		size = i == 0 ? every : i * x.step;

		/* So near to the first that the two would be one word. */
		if (i == 1 && (size - every) / last < 0.06)
			continue;
		x_tick(c, (size / every - 0.5) / n, i, po_html_count(size));
	}
}

void
po_chart_ends(PoChart *c, const char *left, const char *right)
{
	appendStringInfo(c->out, "<text class=\"first\" x=\"0\" y=\"%d\">%s</text>"
					 "<text class=\"last\" x=\"100%%\" y=\"%d\">%s</text>\n",
					 c->height + 15, left, c->height + 15, right);
}

/* ---------- what is shown ---------- */

static void
path(PoChart *c, const char *class, const char *d)
{
	appendStringInfo(c->out, "<svg width=\"100%%\" height=\"%d\" viewBox=\"0 0 %d %d\" "
					 "preserveAspectRatio=\"none\"><path class=\"%s\" d=\"%s\"/></svg>\n",
					 c->height, PO_PLOT_WIDTH, PO_PLOT_HEIGHT, class, d);
}

void
po_chart_line(PoChart *c, const double *value, int n, const char *class)
{
	int			size = n * PO_PLOT_POINT_LEN + 1;
	char	   *d = palloc(size);

	if (po_plot_line(value, n, &c->y, d, size) > 0)
		path(c, class, d);
	pfree(d);
}

void
po_chart_band(PoChart *c, const double *low, const double *high, int n, const char *class)
{
	int			size = 2 * n * PO_PLOT_POINT_LEN + 1;
	char	   *d = palloc(size);

	if (po_plot_band(low, high, n, &c->y, d, size) > 0)
		path(c, class, d);
	pfree(d);
}

void
po_chart_bars(PoChart *c, const double *value, int n, const char *class)
{
	for (int i = 0; i < n; i++)
	{
		double		height = isnan(value[i]) ? 0 : c->height - y_px(c, value[i]);

		/* One that is there is to be seen. */
		if (value[i] > 0)
			appendStringInfo(c->out, "<rect class=\"%s\" x=\"%.2f%%\" y=\"%.1f\" "
							 "width=\"%.2f%%\" height=\"%.1f\"/>\n", class, 100.0 * i / n,
							 c->height - Max(height, 2), 100.0 / n, Max(height, 2));
	}
}

void
po_chart_rule(PoChart *c, double value, const char *class, const char *label)
{
	double		y = y_px(c, value);

	appendStringInfo(c->out, "<line class=\"%s\" x1=\"0\" x2=\"100%%\" y1=\"%.1f\" "
					 "y2=\"%.1f\"/>\n", class, y, y);
	if (label != NULL)
		po_chart_label(c, value, class, label);
}

void
po_chart_label(PoChart *c, double value, const char *class, const char *label)
{
	if (isnan(value) || c->n_labels == PO_CHART_LABELS)
		return;
	c->label_y[c->n_labels] = y_px(c, value);
	c->label_class[c->n_labels] = class;
	c->label[c->n_labels++] = pstrdup(label);
}

void
po_chart_mark(PoChart *c, double x, const char *class)
{
	appendStringInfo(c->out, "<line class=\"%s\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"0\" "
					 "y2=\"%d\"/>\n", class, 100 * x, 100 * x, c->height);
}

void
po_chart_dot(PoChart *c, double x, double value, const char *class)
{
	appendStringInfo(c->out, "<circle class=\"%s\" cx=\"%.2f%%\" cy=\"%.1f\" r=\"4\"/>\n",
					 class, 100 * x, y_px(c, value));
}

void
po_chart_shade(PoChart *c, double from, double to)
{
	appendStringInfo(c->out, "<rect class=\"shade\" x=\"%.2f%%\" y=\"0\" width=\"%.2f%%\" "
					 "height=\"%d\"/>\n", 100 * from, 100 * (to - from), c->height);
}

void
po_chart_hint(PoChart *c, int i, int n, const char *text)
{
	appendStringInfo(c->out, "<rect class=\"hint\" x=\"%.2f%%\" y=\"0\" width=\"%.2f%%\" "
					 "height=\"%d\"><title>%s</title></rect>\n", 100.0 * i / n, 100.0 / n,
					 c->height, text);
}

/* ---------- key ---------- */

void
po_chart_key(StringInfo out, const char *class, const char *const *pairs)
{
	appendStringInfo(out, "<ul class=\"key%s\">", class);
	for (; *pairs != NULL; pairs += 2)
		appendStringInfo(out, "<li><svg width=\"26\" height=\"12\" aria-hidden=\"true\">"
						 "<line class=\"%s\" x1=\"1\" x2=\"25\" y1=\"6\" y2=\"6\"/></svg> %s</li>",
						 pairs[0], pairs[1]);
	appendStringInfoString(out, "</ul>\n");
}
