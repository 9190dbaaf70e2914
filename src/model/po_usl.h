/*
 * po_usl.h
 *		The Universal Scalability Law, fitted to sizes of a pool that were measured.
 *
 * N. J. Gunther, Guerrilla Capacity Planning, 2007, eq. 4.31:
 *		X(n) = lambda n / (1 + sigma (n - 1) + kappa n (n - 1))
 * As time per transaction and session it is linear in three coefficients,
 *		n / X(n) = base + serial n + crosstalk n (n - 1)
 * with lambda = 1 / (base + serial), sigma = serial lambda <= 1, kappa = crosstalk lambda;
 * they are found by least squares of the relative errors, each point weighted by the
 * evaluations behind it, none negative.
 *
 * Times are in microseconds.  Every function is total.
 */
#ifndef PO_USL_H
#define PO_USL_H

#include "model/po_types.h"

#define PO_USL_POINTS	16
#define PO_USL_TERMS	3

/* Coefficients, none negative. */
typedef struct PoUsl
{
	double		base_us;
	double		serial_us;
	double		crosstalk_us;
} PoUsl;

/* Sizes measured, ascending, and the columns of a form at each. */
typedef struct PoUslSample
{
	int			n;
	double		size[PO_USL_POINTS];
	double		time_us[PO_USL_POINTS]; /* size / throughput, > 0 */
	double		weight[PO_USL_POINTS];	/* evaluations, > 0 */
	double		term[PO_USL_POINTS][PO_USL_TERMS];
} PoUslSample;

/* With what is known of its coefficients' errors. */
typedef struct PoUslFit
{
	PoUsl		usl;
	double		covariance[PO_USL_TERMS][PO_USL_TERMS];
} PoUslFit;

/* Coefficients for columns given in term[]; without crosstalk the third is 0. */
extern void po_usl_fit_terms(const PoUslSample *sample, bool crosstalk, PoUsl *usl);

/*
 * The law itself, with the covariance of its coefficients.  noise is the relative
 * standard deviation of one evaluation; where the points are farther from the curve than
 * that explains, their distance counts instead.  false with fewer than 3 points.
 */
extern bool po_usl_fit(const PoUslSample *sample, bool crosstalk, double noise,
					   PoUslFit *fit);

/* Time per transaction and session in a pool of so many. */
extern double po_usl_time(const PoUsl *usl, double size);

/* Throughput at a size, in transactions/s, and its relative standard error; 0 and
 * INFINITY when nothing is known. */
extern double po_usl_rate(const PoUslFit *fit, double size, double *error);

#endif							/* PO_USL_H */
