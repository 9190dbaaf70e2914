/*
 * po_usl.c
 *		The Universal Scalability Law, fitted to sizes of a pool that were measured.
 */
#include "model/po_usl.h"

#include <math.h>
#include <string.h>

#define LEAST_POINTS	3		/* for three coefficients */
#define SINGULAR		1e-10	/* pivot of columns of length 1 */
#define N_TERMS			PO_USL_TERMS

/*
 * Gauss's elimination for the terms in use, by pivots on the diagonal (the matrix is
 * symmetric and not negative): a[][N_TERMS] becomes the solution, inverse the inverse.
 * false when the terms cannot be told apart.
 */
static bool
solve(double a[N_TERMS][N_TERMS + 1], const bool *used, double inverse[N_TERMS][N_TERMS])
{
	memset(inverse, 0, sizeof(double) * N_TERMS * N_TERMS);
	for (int i = 0; i < N_TERMS; i++)
		inverse[i][i] = used[i] ? 1 : 0;
	for (int i = 0; i < N_TERMS; i++)
	{
		double		pivot = a[i][i];

		if (!used[i])
			continue;
		if (!(pivot > SINGULAR))
			return false;
		for (int k = 0; k <= N_TERMS; k++)
			a[i][k] /= pivot;
		for (int k = 0; k < N_TERMS; k++)
			inverse[i][k] /= pivot;
		for (int j = 0; j < N_TERMS; j++)
		{
			double		factor = a[j][i];

			if (!used[j] || j == i)
				continue;
			for (int k = 0; k <= N_TERMS; k++)
				a[j][k] -= factor * a[i][k];
			for (int k = 0; k < N_TERMS; k++)
				inverse[j][k] -= factor * inverse[i][k];
		}
	}
	return true;
}

/* The normal equations of relative errors, columns scaled to length 1. */
static void
normal_equations(const PoUslSample *s, double *length, double a[N_TERMS][N_TERMS + 1])
{
	double		row[N_TERMS + 1];

	for (int i = 0; i < N_TERMS; i++)
	{
		double		squares = 0;

		for (int p = 0; p < s->n; p++)
		{
			double		x = s->term[p][i] / s->time_us[p];

			squares += s->weight[p] * x * x;
		}
		length[i] = sqrt(squares);
	}
	memset(a, 0, sizeof(double) * N_TERMS * (N_TERMS + 1));
	for (int p = 0; p < s->n; p++)
	{
		row[N_TERMS] = 1;
		for (int i = 0; i < N_TERMS; i++)
			row[i] = length[i] > 0 ? s->term[p][i] / s->time_us[p] / length[i] : 0;
		for (int i = 0; i < N_TERMS; i++)
		{
			for (int j = 0; j <= N_TERMS; j++)
				a[i][j] += s->weight[p] * row[i] * row[j];
		}
	}
}

/* What is left of the errors, of which the least is wanted. */
static double
squared_error(const PoUslSample *s, const double *x)
{
	double		sum = 0;

	for (int p = 0; p < s->n; p++)
	{
		double		error = 1;

		for (int i = 0; i < N_TERMS; i++)
			error -= x[i] * s->term[p][i] / s->time_us[p];
		sum += s->weight[p] * error * error;
	}
	return sum;
}

/* A choice of terms that are not 0, and the coefficients it leads to. */
typedef struct Choice
{
	int			n_terms;
	double		x[N_TERMS];
	double		inverse[N_TERMS][N_TERMS];	/* of the normal equations */
	double		error;
} Choice;

/* false when it has no solution, or one with negative coefficients. */
static bool
try_choice(const PoUslSample *s, int terms, Choice *c)
{
	double		a[N_TERMS][N_TERMS + 1];
	double		length[N_TERMS];
	bool		used[N_TERMS];

	c->n_terms = 0;
	for (int i = 0; i < N_TERMS; i++)
	{
		used[i] = (terms >> i & 1) != 0;
		c->n_terms += used[i];
	}
	normal_equations(s, length, a);
	if (!solve(a, used, c->inverse))
		return false;
	for (int i = 0; i < N_TERMS; i++)
	{
		c->x[i] = used[i] ? a[i][N_TERMS] / length[i] : 0;
		if (!(c->x[i] >= 0))
			return false;
		for (int j = 0; j < N_TERMS; j++)
			c->inverse[i][j] = used[i] && used[j] ?
				c->inverse[i][j] / length[i] / length[j] : 0;
	}
	c->error = squared_error(s, c->x);
	return true;
}

/* With three of them every choice of those that are 0 can be tried; one is the solution. */
static void
best_choice(const PoUslSample *s, bool crosstalk, Choice *best)
{
	memset(best, 0, sizeof(*best));
	best->error = squared_error(s, best->x);
	for (int terms = 1; terms < (crosstalk ? 8 : 4); terms++)
	{
		Choice		c;

		if (try_choice(s, terms, &c) && c.error < best->error)
			*best = c;
	}
}

void
po_usl_fit_terms(const PoUslSample *sample, bool crosstalk, PoUsl *usl)
{
	Choice		best;

	best_choice(sample, crosstalk, &best);
	*usl = (PoUsl) {best.x[0], best.x[1], best.x[2]};
}

/* The columns of the law at a size. */
static void
terms_at(double size, double *term)
{
	term[0] = 1;
	term[1] = size;
	term[2] = size * (size - 1);
}

bool
po_usl_fit(const PoUslSample *sample, bool crosstalk, double noise, PoUslFit *fit)
{
	PoUslSample s = *sample;
	Choice		best;
	double		variance = noise * noise;

	memset(fit, 0, sizeof(*fit));
	if (s.n < LEAST_POINTS)
		return false;
	for (int p = 0; p < s.n; p++)
		terms_at(s.size[p], s.term[p]);
	best_choice(&s, crosstalk, &best);
	if (s.n > best.n_terms)
		variance = fmax(variance, best.error / (s.n - best.n_terms));
	fit->usl = (PoUsl) {best.x[0], best.x[1], best.x[2]};
	for (int i = 0; i < N_TERMS; i++)
	{
		for (int j = 0; j < N_TERMS; j++)
			fit->covariance[i][j] = best.inverse[i][j] * variance;
	}
	return true;
}

double
po_usl_time(const PoUsl *usl, double size)
{
	return usl->base_us + usl->serial_us * size + usl->crosstalk_us * size * (size - 1);
}

double
po_usl_rate(const PoUslFit *fit, double size, double *error)
{
	double		us = po_usl_time(&fit->usl, size);
	double		variance = 0;
	double		term[N_TERMS];

	*error = INFINITY;
	if (!(us > 0))
		return 0;
	terms_at(size, term);
	for (int i = 0; i < N_TERMS; i++)
	{
		for (int j = 0; j < N_TERMS; j++)
			variance += term[i] * fit->covariance[i][j] * term[j];
	}
	/* To first order the relative error of 1 / time is that of time. */
	*error = variance > 0 ? sqrt(variance) / us : 0;
	return size * PO_US_PER_S / us;
}
