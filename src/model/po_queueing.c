/*
 * po_queueing.c
 *		The M/M/c queue and its correction for other distributions.
 *
 * All rest on Erlang's B, whose recursion over the number of servers needs no
 * factorials and cannot overflow.  It is at most PO_QUEUEING_MAX_SERVERS steps.
 */
#include "model/po_queueing.h"

#include <math.h>

static double
sane(double x)
{
	return isfinite(x) && x > 0 ? x : 0;
}

static int
sane_servers(int servers)
{
	if (servers < 0)
		return 0;
	return servers < PO_QUEUEING_MAX_SERVERS ? servers : PO_QUEUEING_MAX_SERVERS;
}

/* From B of one server less to B of this number. */
static double
next_b(double b, int servers, double load)
{
	return load * b / (servers + load * b);
}

double
po_queueing_erlang_b(int servers, double load)
{
	double		b = 1;

	load = sane(load);
	servers = sane_servers(servers);
	for (int k = 1; k <= servers && b > 0; k++)
		b = next_b(b, k, load);
	return b;
}

/* C from B, where servers > load. */
static double
c_of_b(double b, int servers, double load)
{
	return fmin(b * servers / (servers - load * (1 - b)), 1);
}

double
po_queueing_erlang_c(int servers, double load)
{
	load = sane(load);
	servers = sane_servers(servers);
	if (servers <= load)
		return 1;
	return c_of_b(po_queueing_erlang_b(servers, load), servers, load);
}

/*
 * The mean wait where servers > load; factor is the mean of the two squared
 * coefficients of variation.  The zeros go first, as 0 times infinity is NaN.
 */
static double
wait_of_b(double b, int servers, double load, double service, double factor)
{
	double		c = c_of_b(b, servers, load);

	if (c <= 0 || service <= 0 || factor <= 0)
		return 0;
	return c * service / (servers - load) * factor;
}

double
po_queueing_mean_wait(int servers, double load, double service, double ca2, double cs2)
{
	load = sane(load);
	servers = sane_servers(servers);
	if (servers <= load)
		return INFINITY;
	return wait_of_b(po_queueing_erlang_b(servers, load), servers, load,
					 sane(service), sane(ca2) / 2 + sane(cs2) / 2);
}

double
po_queueing_most_wait(int servers, int busy_max, double service)
{
	servers = sane_servers(servers);
	return sane(service) * fmax(busy_max - servers, 0) / servers;
}

double
po_queueing_wait_quantile(int servers, double load, double service, double ca2, double cs2,
						  double share)
{
	double		c = po_queueing_erlang_c(servers, load);
	double		mean = po_queueing_mean_wait(servers, load, service, ca2, cs2);
	double		rest = share < 1 ? 1 - sane(share) : 0;

	if (isinf(mean) || c <= rest || mean <= 0)
		return isinf(mean) ? INFINITY : 0;
	return rest > 0 ? log(c / rest) * mean / c : INFINITY;
}

int
po_queueing_servers_for_wait(double load, double service, double ca2, double cs2,
							 double target)
{
	double		factor = sane(ca2) / 2 + sane(cs2) / 2;
	double		b;
	int			servers;

	load = sane(load);
	service = sane(service);
	target = sane(target);
	if (load >= PO_QUEUEING_MAX_SERVERS)
		return PO_QUEUEING_MAX_SERVERS;

	servers = (int) load + 1;
	b = po_queueing_erlang_b(servers, load);
	while (servers < PO_QUEUEING_MAX_SERVERS &&
		   wait_of_b(b, servers, load, service, factor) > target)
	{
		servers++;
		b = next_b(b, servers, load);
	}
	return servers;
}

/*
 * With x = sqrt(a), x^2 + z x = quantile; the root is written so that nothing
 * cancels and no square overflows.
 */
double
po_queueing_load_of_quantile(double quantile, double z)
{
	double		root = sqrt(sane(quantile));
	double		x;

	z = sane(z);
	if (root <= 0)
		return 0;
	x = 2 * root / (z + hypot(z, 2 * root)) * root;
	return x * x;
}
