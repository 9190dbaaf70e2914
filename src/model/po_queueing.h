/*
 * po_queueing.h
 *		The M/M/c queue and its correction for other distributions.
 *
 * Sources: A. K. Erlang (1917) for B and C; the recursion for B as in
 * R. B. Cooper, Introduction to Queueing Theory (1981), eq. 3.3.9;
 * A. O. Allen, Probability, Statistics, and Queueing Theory (1990), eq. 5.80
 * (Allen-Cunneen): Wq(G/G/c) ~ Wq(M/M/c) (ca2 + cs2) / 2;
 * J. D. C. Little (1961): L = lambda W.
 *
 * load is the offered load a = arrival rate x mean service time, in Erlangs.
 * Every function is total: what is NaN, infinite or negative counts as 0, and no
 * result is NaN.
 */
#ifndef PO_QUEUEING_H
#define PO_QUEUEING_H

#include "model/po_types.h"

/* Servers searched at most, which is more than PostgreSQL has connections. */
#define PO_QUEUEING_MAX_SERVERS		262143

/* Probability (0..1) that an arrival finds all servers busy and is lost. */
extern double po_queueing_erlang_b(int servers, double load);

/* Probability (0..1) that an arrival has to wait; 1 when servers <= load. */
extern double po_queueing_erlang_c(int servers, double load);

/*
 * Mean wait in the unit of service; INFINITY when servers <= load.  ca2 and cs2
 * are the squared coefficients of variation of arrivals and service times.
 */
extern double po_queueing_mean_wait(int servers, double load, double service,
									double ca2, double cs2);

/*
 * The most that anybody waits, on average, where no more than so many were ever there at
 * once: those who are too many wait for as long as servers take for one each.
 */
extern double po_queueing_most_wait(int servers, int busy_max, double service);

/*
 * The wait that a share (0..1, less than 1) of all arrivals stays within, those that do
 * not wait among them: P(W > t) = C exp(-t C / Wq), exact for M/M/c, and for others with
 * the mean as corrected (L. Kleinrock, Queueing Systems I, 1975, section 3.5; W. Whitt,
 * Approximations for the GI/G/m queue, 1993, section 4).  INFINITY when servers <= load.
 */
extern double po_queueing_wait_quantile(int servers, double load, double service,
										double ca2, double cs2, double share);

/*
 * The smallest number of servers (>= 1) with a mean wait of at most target;
 * always more than load.
 */
extern int	po_queueing_servers_for_wait(double load, double service, double ca2,
										 double cs2, double target);

/*
 * The load whose number in an infinite system (Poisson, normal approximation
 * a + z sqrt(a)) has the quantile observed: undoes the fluctuation that a
 * queueing formula adds again.  z = 1.645 for 95 %.
 */
extern double po_queueing_load_of_quantile(double quantile, double z);

#endif							/* PO_QUEUEING_H */
