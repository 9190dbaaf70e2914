/*
 * po_plot.c
 *		The arithmetic of plots; see po_plot.h.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/po_plot.h"

#define MS_PER_S		1000.0
#define MS_PER_MIN		(60 * MS_PER_S)
#define MS_PER_HOUR		(60 * MS_PER_MIN)
#define MS_PER_DAY		(24 * MS_PER_HOUR)
#define MAX_SPREAD		16

/* ---------- scales ---------- */

/* The least of 1, 2, 5 times a power of ten that is not below. */
static double
round_step(double least)
{
	double		power = pow(10, floor(log10(least)));

	/* The sum of rounding errors must not cost a step. */
	if (power >= least * (1 - 1e-9))
		return power;
	if (2 * power >= least * (1 - 1e-9))
		return 2 * power;
	if (5 * power >= least * (1 - 1e-9))
		return 5 * power;
	return 10 * power;
}

void
po_plot_scale(double max, int max_steps, double least_step, PoScale *scale)
{
	if (!(max > 1e-6))
		max = 1e-6;
	if (max > 1e15)
		max = 1e15;
	if (max_steps < 1)
		max_steps = 1;
	scale->step = round_step(max / max_steps);
	if (least_step > scale->step)
		scale->step = least_step;
	scale->n_steps = (int) ceil(max / scale->step * (1 - 1e-9));
	if (scale->n_steps < 1)
		scale->n_steps = 1;
	scale->top = scale->step * scale->n_steps;
	scale->decimals = scale->step >= 1 ? 0 : (int) -floor(log10(scale->step) + 1e-9);
}

double
po_plot_share(const PoScale *scale, double value)
{
	double		share = value / scale->top;

	return share >= 1 ? 1 : share > 0 ? share : 0;
}

/* ---------- time ---------- */

/* In seconds.  Steps of days are whole weeks from 7 on, so that weeks keep their place. */
static const int64_t time_steps[] = {
	1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
	86400, 2 * 86400, 7 * 86400, 14 * 86400, 28 * 86400, 56 * 86400, 91 * 86400, 182 * 86400,
	364 * 86400, 728 * 86400, 1820 * 86400, 3640 * 86400
};

#define N_TIME_STEPS	((int) (sizeof(time_steps) / sizeof(time_steps[0])))

int64_t
po_plot_time_step(int64_t range_us, int most)
{
	if (most < 1)
		most = 1;
	for (int i = 0; i < N_TIME_STEPS; i++)
	{
		if (time_steps[i] * PO_US_PER_S >= range_us / most)
			return time_steps[i] * PO_US_PER_S;
	}
	return time_steps[N_TIME_STEPS - 1] * PO_US_PER_S;
}

int64_t
po_plot_bucket(int64_t range_us, int most)
{
	static const int bucket_s[] = {
		1, 2, 5, 10, 15, 30, 60, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200
	};

	if (most < 1)
		most = 1;
	for (int i = 0; i < (int) (sizeof(bucket_s) / sizeof(bucket_s[0])); i++)
	{
		if (bucket_s[i] * PO_US_PER_S >= range_us / most)
			return bucket_s[i] * PO_US_PER_S;
	}
	return 86400 * PO_US_PER_S;
}

/* ---------- paths ---------- */

static int
x_of(int i, int n)
{
	return (int) ((2.0 * i + 1) / (2.0 * n) * PO_PLOT_WIDTH + 0.5);
}

static int
y_of(const PoScale *scale, double value)
{
	return PO_PLOT_HEIGHT - (int) (po_plot_share(scale, value) * PO_PLOT_HEIGHT + 0.5);
}

/* Does a line look the same without this point, which has neighbours? */
static bool
is_on_level(const double *value, int i, int first, int last, const PoScale *scale)
{
	return i > first && i < last && y_of(scale, value[i - 1]) == y_of(scale, value[i]) &&
		y_of(scale, value[i + 1]) == y_of(scale, value[i]);
}

/* The last of those without a gap. */
static int
end_of_run(const double *low, const double *high, int first, int n)
{
	int			last = first;

	while (last + 1 < n && !isnan(high[last + 1]) && (low == NULL || !isnan(low[last + 1])))
		last++;
	return last;
}

/* A run of one point is as long as what it stands for. */
static int
single(int i, int n, int y, char *d, int size)
{
	int			half = PO_PLOT_WIDTH / n / 2;
	int			x = x_of(i, n);

	return snprintf(d, (size_t) size, "M%d %dH%d", x - half, y, x + half);
}

int
po_plot_line(const double *value, int n, const PoScale *scale, char *d, int size)
{
	int			length = 0;

	d[0] = '\0';
	if (n < 1 || size < n * PO_PLOT_POINT_LEN + 1)
		return 0;
	for (int first = 0; first < n; first++)
	{
		int			last;

		if (isnan(value[first]))
			continue;
		last = end_of_run(NULL, value, first, n);
		if (last == first)
			length += single(first, n, y_of(scale, value[first]), d + length, size - length);
		for (int i = first; i <= last && last > first; i++)
		{
			if (!is_on_level(value, i, first, last, scale))
				length += snprintf(d + length, (size_t) (size - length), "%c%d %d",
								   i == first ? 'M' : 'L', x_of(i, n), y_of(scale, value[i]));
		}
		first = last;
	}
	return length;
}

int
po_plot_band(const double *low, const double *high, int n, const PoScale *scale, char *d,
			 int size)
{
	int			length = 0;

	d[0] = '\0';
	if (n < 1 || size < 2 * n * PO_PLOT_POINT_LEN + 1)
		return 0;
	for (int first = 0; first < n; first++)
	{
		int			last;

		if (isnan(high[first]) || (low != NULL && isnan(low[first])))
			continue;
		last = end_of_run(low, high, first, n);
		if (last == first)
		{
			length += single(first, n, y_of(scale, high[first]), d + length, size - length);
			length += snprintf(d + length, (size_t) (size - length), "V%dH%dz",
							   low == NULL ? PO_PLOT_HEIGHT : y_of(scale, low[first]),
							   x_of(first, n) - PO_PLOT_WIDTH / n / 2);
			continue;
		}
		for (int i = first; i <= last; i++)
		{
			if (!is_on_level(high, i, first, last, scale))
				length += snprintf(d + length, (size_t) (size - length), "%c%d %d",
								   i == first ? 'M' : 'L', x_of(i, n), y_of(scale, high[i]));
		}
		if (low == NULL)
			length += snprintf(d + length, (size_t) (size - length), "V%dH%dz", PO_PLOT_HEIGHT,
							   x_of(first, n));
		for (int i = last; i >= first && low != NULL; i--)
		{
			if (!is_on_level(low, i, first, last, scale))
				length += snprintf(d + length, (size_t) (size - length), "L%d %d%s", x_of(i, n),
								   y_of(scale, low[i]), i == first ? "z" : "");
		}
		first = last;
	}
	return length;
}

/* ---------- labels ---------- */

static void
sort_indexes(const double *at, int *order, int n)
{
	for (int i = 0; i < n; i++)
	{
		int			j = i;

		for (; j > 0 && at[order[j - 1]] > at[i]; j--)
			order[j] = order[j - 1];
		order[j] = i;
	}
}

/*
 * What is left of each place when the gaps before it are taken away must not fall: pool
 * adjacent violators (M. Ayer et al. 1955), then the bounds.
 */
void
po_plot_spread(double *at, int n, double gap, double low, double high)
{
	int			order[MAX_SPREAD];
	double		sum[MAX_SPREAD];
	int			size[MAX_SPREAD];
	int			n_blocks = 0;
	int			next = 0;

	if (n > MAX_SPREAD)
		n = MAX_SPREAD;
	sort_indexes(at, order, n);
	for (int i = 0; i < n; i++)
	{
		sum[n_blocks] = at[order[i]] - gap * i;
		size[n_blocks++] = 1;
		while (n_blocks > 1 && sum[n_blocks - 2] / size[n_blocks - 2] >
			   sum[n_blocks - 1] / size[n_blocks - 1])
		{
			n_blocks--;
			sum[n_blocks - 1] += sum[n_blocks];
			size[n_blocks - 1] += size[n_blocks];
		}
	}
	for (int i = 0; i < n_blocks; i++)
	{
		double		from = fmax(fmin(sum[i] / size[i], high - gap * (n - 1)), low);

		for (int k = 0; k < size[i]; k++, next++)
			at[order[next]] = from + gap * next;
	}
}

/* ---------- texts ---------- */

/* With a comma between thousands. */
static void
grouped(double whole, char *text, int size)
{
	char		digits[32];
	int			n = snprintf(digits, sizeof(digits), "%.0f", fabs(whole));
	int			out = 0;

	if (size < 1)
		return;
	if (whole < 0 && out + 1 < size)
		text[out++] = '-';
	for (int i = 0; i < n && out + 1 < size; i++)
	{
		if (i > 0 && (n - i) % 3 == 0)
			text[out++] = ',';
		if (out + 1 < size)
			text[out++] = digits[i];
	}
	text[out] = '\0';
}

void
po_plot_count(double value, char *text, int size)
{
	double		magnitude = fabs(value);

	if (isnan(value))
		snprintf(text, (size_t) size, "?");
	else if (isinf(value))
		snprintf(text, (size_t) size, "without end");
	else if (magnitude >= 999.5e9)
		snprintf(text, (size_t) size, "%.3g million million", value / 1e12);
	else if (magnitude >= 999.95e6)
		snprintf(text, (size_t) size, "%.1f thousand million", value / 1e9);
	else if (magnitude >= 999999.5)
		snprintf(text, (size_t) size, "%.1f million", value / 1e6);
	else if (magnitude >= 99.95 || magnitude == floor(magnitude))
		grouped(floor(magnitude + 0.5) * (value < 0 ? -1 : 1), text, size);
	else if (magnitude >= 0.095)
		snprintf(text, (size_t) size, "%.1f", value);
	else
		snprintf(text, (size_t) size, "%.2g", value);
}

/* Two units, the smaller one only when it is not 0. */
static void
two_units(double large, const char *large_unit, double small, const char *small_unit,
		  char *text, int size)
{
	if (small < 1)
		snprintf(text, (size_t) size, "%.0f %s", large, large_unit);
	else
		snprintf(text, (size_t) size, "%.0f %s %.0f %s", large, large_unit, small, small_unit);
}

void
po_plot_duration(double ms, char *text, int size)
{
	double		s = floor(ms / MS_PER_S + 0.5);
	double		min = floor(ms / MS_PER_MIN + 0.5);
	double		hours = floor(ms / MS_PER_HOUR + 0.5);

	if (isnan(ms))
		snprintf(text, (size_t) size, "?");
	else if (isinf(ms) || ms > 1e15)
		snprintf(text, (size_t) size, "without end");
	else if (ms <= 0)
		snprintf(text, (size_t) size, "0 ms");
	else if (ms < 0.995)
		snprintf(text, (size_t) size, "%.2g ms", ms);
	else if (ms < 9.95)
		snprintf(text, (size_t) size, "%.1f ms", ms);
	else if (ms < 999.5)
		snprintf(text, (size_t) size, "%.0f ms", ms);
	else if (ms < 9.95 * MS_PER_S)
		snprintf(text, (size_t) size, "%.1f s", ms / MS_PER_S);
	else if (s < 60)
		snprintf(text, (size_t) size, "%.0f s", s);
	else if (s < 600)
		two_units(floor(s / 60), "min", fmod(s, 60), "s", text, size);
	else if (min < 60)
		snprintf(text, (size_t) size, "%.0f min", min);
	else if (min < 24 * 60)
		two_units(floor(min / 60), "h", fmod(min, 60), "min", text, size);
	else
		two_units(floor(hours / 24), "d", fmod(hours, 24), "h", text, size);
}

void
po_plot_percent(double ratio, char *text, int size)
{
	double		percent = ratio * 100;

	if (isnan(ratio))
		snprintf(text, (size_t) size, "?");
	else if (percent > 0 && percent < 0.1)
		snprintf(text, (size_t) size, "below 0.1 %%");
	else if (percent > 0 && percent < 0.995)
		snprintf(text, (size_t) size, "%.1f %%", percent);
	else if (percent >= 99.5 && percent < 100)
		snprintf(text, (size_t) size, "above 99 %%");
	else
		snprintf(text, (size_t) size, "%.0f %%", percent);
}

void
po_plot_tick(const PoScale *scale, int i, char *text, int size)
{
	double		value = i == scale->n_steps ? scale->top : scale->step * i;

	if (scale->decimals > 0)
		snprintf(text, (size_t) size, "%.*f", scale->decimals, value);
	else if (scale->top >= 1e6)
		snprintf(text, (size_t) size, "%g M", value / 1e6);
	else
		grouped(value, text, size);
}
