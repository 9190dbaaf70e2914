/*
 * test_queueing.c
 *		Erlang's formulas against tables, closed forms and the sums themselves.
 */
#include "model/po_queueing.h"

#include "check.h"

/*
 * Offered load at which 1 % of calls are lost, from the tables of Erlang B as
 * printed in every book on traffic engineering (e.g. R. B. Cooper 1981, T. Frank
 * and others; ITU-D Teletraffic Engineering Handbook).
 */
static void
test_erlang_b_tables(void)
{
	static const struct
	{
		int			servers;
		double		load;
	}			one_percent[] = {
		{1, 0.0101}, {2, 0.1526}, {5, 1.3608}, {10, 4.4612}, {20, 12.031},
		{30, 20.337}, {50, 37.901}, {100, 84.064}
	};

	for (size_t i = 0; i < sizeof(one_percent) / sizeof(one_percent[0]); i++)
		CHECK_NEAR(po_queueing_erlang_b(one_percent[i].servers, one_percent[i].load),
				   0.01, 2e-5);

	CHECK_NEAR(po_queueing_erlang_b(10, 5), 0.018385, 5e-7);
	CHECK_NEAR(po_queueing_erlang_b(1, 1), 0.5, 1e-12);
	CHECK_NEAR(po_queueing_erlang_b(2, 1), 0.2, 1e-12);
	CHECK_NEAR(po_queueing_erlang_b(3, 1), 1.0 / 16, 1e-12);
	CHECK_NEAR(po_queueing_erlang_b(0, 3), 1, 0);
	CHECK_NEAR(po_queueing_erlang_b(3, 0), 0, 0);
}

/* B as defined: a^c/c! over the sum of a^k/k!. */
static double
erlang_b_by_sum(int servers, double load)
{
	long double term = 1;
	long double sum = 1;

	for (int k = 1; k <= servers; k++)
	{
		term *= load / k;
		sum += term;
	}
	return (double) (term / sum);
}

static void
test_erlang_against_sums(void)
{
	for (int servers = 1; servers <= 60; servers++)
	{
		for (double load = 0.1; load < 50; load *= 1.3)
		{
			double		b = erlang_b_by_sum(servers, load);
			double		rho = load / servers;
			double		c = rho >= 1 ? 1 : b / (1 - rho + rho * b);

			CHECK_NEAR(po_queueing_erlang_b(servers, load), b, 1e-12);
			CHECK_NEAR(po_queueing_erlang_c(servers, load), c, 1e-12);
		}
	}
}

/* D. Gross et al., Fundamentals of Queueing Theory: M/M/1 and M/M/2 in closed form. */
static void
test_erlang_c_known(void)
{
	CHECK_NEAR(po_queueing_erlang_c(1, 0.7), 0.7, 1e-12);
	CHECK_NEAR(po_queueing_erlang_c(2, 1), 1.0 / 3, 1e-12);
	CHECK_NEAR(po_queueing_erlang_c(8, 6), 0.35698, 5e-6);
	CHECK_NEAR(po_queueing_erlang_c(7, 6), 0.6138, 5e-5);
	CHECK_NEAR(po_queueing_erlang_c(5, 4), 0.5541, 5e-5);
	CHECK_NEAR(po_queueing_erlang_c(4, 4), 1, 0);
	CHECK_NEAR(po_queueing_erlang_c(3, 4), 1, 0);
	CHECK_NEAR(po_queueing_erlang_c(0, 0), 1, 0);
	CHECK_NEAR(po_queueing_erlang_c(1, 0), 0, 0);
}

static void
test_mean_wait_known(void)
{
	/* M/M/1: rho / (1 - rho) services; M/D/1: half of it (Pollaczek, Khinchine) */
	CHECK_NEAR(po_queueing_mean_wait(1, 0.8, 100, 1, 1), 400, 1e-9);
	CHECK_NEAR(po_queueing_mean_wait(1, 0.8, 100, 1, 0), 200, 1e-9);
	/* M/M/2, load 1: C = 1/3, so a third of a service */
	CHECK_NEAR(po_queueing_mean_wait(2, 1, 30, 1, 1), 10, 1e-9);
	/* the example of the design: 12 clients half busy, 50 ms each */
	CHECK_NEAR(po_queueing_mean_wait(7, 6, 50, 1, 0), 15.3, 0.06);
	CHECK_NEAR(po_queueing_mean_wait(8, 6, 50, 1, 0), 4.5, 0.06);
	CHECK_INT(po_queueing_servers_for_wait(6, 50, 1, 0, 10), 8);
	CHECK_INT(po_queueing_servers_for_wait(6, 50, 1, 0, 20), 7);
	/* with 8, C = 0.3570 and those who wait do so for 12.5 ms: 12.5 ln(0.3570 / 0.05) */
	CHECK_NEAR(po_queueing_wait_quantile(8, 6, 50, 1, 0, 0.95), 24.57, 0.01);
	CHECK_NEAR(po_queueing_wait_quantile(8, 6, 50, 1, 0, 0.5), 0, 0);
	CHECK_NEAR(po_queueing_wait_quantile(6, 6, 50, 1, 0, 0.95), INFINITY, 0);
	CHECK_NEAR(po_queueing_wait_quantile(8, 6, 50, 1, 0, 1), INFINITY, 0);

	CHECK_NEAR(po_queueing_mean_wait(3, 3, 1, 1, 1), INFINITY, 0);
	CHECK_NEAR(po_queueing_mean_wait(3, 2, 0, 1, 1), 0, 0);
	CHECK_NEAR(po_queueing_mean_wait(3, 2, 1, 0, 0), 0, 0);
}

/* The mean of the distribution is the mean: the area under P(W > t), by quantiles. */
static void
test_quantiles_have_the_mean(void)
{
	for (int round = 0; round < 100; round++)
	{
		int			servers = 2 + random_below(50);
		double		load = servers * (0.3 + 0.65 * random_unit());
		double		cs2 = random_unit() * 4;
		double		mean = po_queueing_mean_wait(servers, load, 7, 1, cs2);
		double		sum = 0;
		const int	steps = 20000;

		for (int i = 0; i < steps; i++)
			sum += po_queueing_wait_quantile(servers, load, 7, 1, cs2, (i + 0.5) / steps);
		CHECK_NEAR(sum / steps, mean, 0.02 * mean + 1e-4);
	}
}

static void
test_queueing_monotone(void)
{
	for (int round = 0; round < 2000; round++)
	{
		int			servers = 1 + random_below(300);
		double		load = random_unit() * servers * 1.2;
		double		more = load * (1 + random_unit() / 10);

		CHECK(po_queueing_erlang_b(servers, more) >=
			  po_queueing_erlang_b(servers, load) - 1e-15);
		CHECK(po_queueing_erlang_c(servers, more) >=
			  po_queueing_erlang_c(servers, load) - 1e-12);
		CHECK(po_queueing_erlang_b(servers + 1, load) <=
			  po_queueing_erlang_b(servers, load));
		CHECK(po_queueing_erlang_c(servers + 1, load) <=
			  po_queueing_erlang_c(servers, load));
		CHECK(po_queueing_erlang_c(servers, load) >=
			  po_queueing_erlang_b(servers, load) - 1e-15);
		CHECK(po_queueing_mean_wait(servers + 1, load, 5, 1, 1) <=
			  po_queueing_mean_wait(servers, load, 5, 1, 1));
	}
}

static void
test_servers_for_wait(void)
{
	for (int round = 0; round < 2000; round++)
	{
		double		load = exp(random_unit() * 9 - 3);
		double		service = exp(random_unit() * 10);
		double		ca2 = random_unit() * 3;
		double		cs2 = random_unit() * 3;
		double		target = service * exp(-random_unit() * 8);
		int			n = po_queueing_servers_for_wait(load, service, ca2, cs2, target);

		CHECK(n > load);
		CHECK(po_queueing_mean_wait(n, load, service, ca2, cs2) <= target * (1 + 1e-9));
		CHECK(n - 1 <= load ||
			  po_queueing_mean_wait(n - 1, load, service, ca2, cs2) >= target * (1 - 1e-9));
	}
	CHECK_INT(po_queueing_servers_for_wait(0, 5, 1, 1, 1), 1);
	CHECK_INT(po_queueing_servers_for_wait(1, 5, 1, 1, 1e9), 2);
	CHECK_INT(po_queueing_servers_for_wait(1e9, 5, 1, 1, 1), PO_QUEUEING_MAX_SERVERS);
	CHECK_INT(po_queueing_servers_for_wait(PO_QUEUEING_MAX_SERVERS - 0.5, 5, 1, 1, 0),
			  PO_QUEUEING_MAX_SERVERS);
	CHECK_INT(po_queueing_servers_for_wait(200000.5, 5, 1, 1, 1e12), 200001);
}

static void
test_load_of_quantile(void)
{
	/* 16 + 1.645 * 4 */
	CHECK_NEAR(po_queueing_load_of_quantile(22.58, 1.645), 16, 1e-9);
	CHECK_NEAR(po_queueing_load_of_quantile(9, 0), 9, 1e-12);
	for (int round = 0; round < 2000; round++)
	{
		double		quantile = exp(random_unit() * 30 - 10);
		double		z = random_unit() * 4;
		double		load = po_queueing_load_of_quantile(quantile, z);

		CHECK(load <= quantile * (1 + 1e-12));
		CHECK_NEAR((load + z * sqrt(load)) / quantile, 1, 1e-9);
		CHECK(po_queueing_load_of_quantile(quantile * 1.01, z) >= load);
	}
}

/* Every function for whatever arguments: a number within its bounds. */
static void
test_queueing_total(void)
{
	for (int round = 0; round < 3000; round++)
	{
		int			servers = random_odd_int();
		double		load = random_odd_double();
		double		service = random_odd_double();
		double		ca2 = random_odd_double();
		double		cs2 = random_odd_double();
		double		target = random_odd_double();
		double		b = po_queueing_erlang_b(servers, load);
		double		c = po_queueing_erlang_c(servers, load);
		double		wait = po_queueing_mean_wait(servers, load, service, ca2, cs2);
		double		quantile;
		int			n = 1;

		CHECK_WITH(b >= 0 && b <= 1, "B(%d, %g) = %g", servers, load, b);
		CHECK_WITH(c >= 0 && c <= 1, "C(%d, %g) = %g", servers, load, c);
		quantile = po_queueing_wait_quantile(servers, load, service, ca2, cs2, target);
		CHECK_WITH(quantile >= 0, "quantile(%d, %g, %g, %g, %g, %g) = %g", servers, load,
				   service, ca2, cs2, target, quantile);
		CHECK_WITH(wait >= 0, "wait(%d, %g, %g, %g, %g) = %g", servers, load, service,
				   ca2, cs2, wait);
		/* without end it is not slow, only 1e5 steps at most: sometimes is enough */
		if (round % 10 == 0)
			n = po_queueing_servers_for_wait(load, service, ca2, cs2, target);
		CHECK(n >= 1 && n <= PO_QUEUEING_MAX_SERVERS);
		load = po_queueing_load_of_quantile(random_odd_double(), random_odd_double());
		CHECK(load >= 0 && isfinite(load));
	}
}

int
main(void)
{
	test_erlang_b_tables();
	test_erlang_against_sums();
	test_erlang_c_known();
	test_mean_wait_known();
	test_quantiles_have_the_mean();
	test_queueing_monotone();
	test_servers_for_wait();
	test_load_of_quantile();
	test_queueing_total();
	return check_end("test_queueing");
}
