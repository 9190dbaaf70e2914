/*
 * report.c
 *		What comes out: convergence, fairness, regret, cost, oscillation.
 */
#include "sim.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

/* A size is right from 0.8 to 1.5 of the need, with one connection to spare. */
#define BAND_BELOW		0.8
#define BAND_ABOVE		1.5
#define LARGE			4		/* needs from which that one to spare would forgive much */

#define REVERSAL		30		/* intervals */

static const char *const kind_names[N_KINDS] = {"web", "locking", "batch"};

int64_t
clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

double
cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

void
note_cost(PoHistogram *h, int64_t start)
{
	h->count[po_histogram_bucket(clock_ns() - start)]++;
}

/* ---------- each decision ---------- */

/* A change by more than one against the last one, within 30 evaluations. */
static bool
is_reversal(int change, int64_t now, int *direction, int64_t *changed)
{
	int			before = *direction;
	int64_t		when = *changed;

	if (change >= -1 && change <= 1)
		return false;
	*direction = change > 0 ? 1 : -1;
	*changed = now;
	return before != 0 && before != *direction && now - when <= REVERSAL;
}

/*
 * In the report convergence is of those who had what they asked for: with less nobody
 * can know how much more would be good.
 */
void
note_decision(Report *report, Tenant *t, int before, int intervals, int64_t now)
{
	const PoRecommendation *r = &t->r;
	int			size = r->size;

	if (!isfinite(r->confidence) || !isfinite(r->predicted_wait_us) || !isfinite(r->load) ||
		r->confidence < 0 || r->confidence > 1 || r->min > size || size > r->max || size < 1)
		report->broken++;
	report->all_evaluations[t->kind] += intervals;
	if (before > 0)
		report->reversals[t->kind] += is_reversal(size - before, now, &t->direction, &t->changed);
	if (t->last_need > 0)
		report->need_reversals[t->kind] +=
			is_reversal(t->need - t->last_need, now, &t->need_direction, &t->need_changed);
	t->last_need = t->need;
	if (t->cut || t->bounded || r->clamped_share)
		return;
	report->evaluations[t->kind] += intervals;
	if (t->need >= LARGE)
	{
		report->large_evaluations[t->kind] += intervals;
		if (size >= BAND_BELOW * t->need && size <= BAND_ABOVE * t->need)
			report->large_in_band[t->kind] += intervals;
	}
	if (size >= BAND_BELOW * t->need - 1 && size <= BAND_ABOVE * t->need + 1)
	{
		report->in_band[t->kind] += intervals;
		if (t->off_band > 0)
			report->episode[t->kind].count[po_histogram_bucket(t->off_band)]++;
		t->off_band = 0;
		return;
	}
	t->off_band += intervals;
	if (t->off_band > report->longest[t->kind])
		report->longest[t->kind] = t->off_band;
}

/* ---------- each sharing ---------- */

static int
above_zero(int x)
{
	return x > 0 ? x : 0;
}

/* Sum and floors hold. */
void
check_shares(Report *report, const PoShare *share, int n, PoShareOutcome outcome)
{
	int64_t		sum = 0;
	int64_t		wanted = 0;

	for (int i = 0; i < n; i++)
	{
		int			most = share[i].ceiling >= 0 && share[i].ceiling < share[i].demand ?
			share[i].ceiling : share[i].demand;

		if (share[i].share < share[i].floor && outcome <= PO_SHARE_CONTENDED)
			report->broken++;
		sum += share[i].share;
		wanted += most > share[i].floor ? most : share[i].floor;
	}
	if (sum != (wanted < report->budget ? wanted : report->budget))
		report->broken++;
}

/* What a tenant adds to the sums of the moment, as it was noted. */
static void
add_state(Report *report, const Tenant *t, int sign)
{
	int			need = t->noted_need;
	int			granted = t->noted_granted;
	int			floor = t->policy.guaranteed;

	report->now.needed += sign * need;
	report->now.unmet += sign * above_zero(need - granted);
	/* A guarantee is kept free by order, not by mistake. */
	report->now.spare += sign * above_zero(granted - (need > floor ? need : floor));
	report->now.kept += sign * (granted > floor ? granted : floor);
	report->now.static_unmet += sign * above_zero(need - t->fixed);
	report->now.static_spare += sign * above_zero(t->fixed - need);
}

/* Need or connections of a tenant have changed. */
void
note_state(Report *report, Tenant *t)
{
	if (t->noted && t->need == t->noted_need && t->granted == t->noted_granted)
		return;
	if (t->noted)
		add_state(report, t, -1);
	t->noted = true;
	t->noted_need = t->need;
	t->noted_granted = t->granted;
	add_state(report, t, 1);
	report->digest = (report->digest ^ (uint64_t) t->granted) * UINT64_C(0x100000001B3);
}

/* Connections that nobody has, and those that others have too much. */
void
note_interval(Report *report, bool contended)
{
	double		room = (double) (report->budget - report->now.kept);
	double		unmet = (double) report->now.unmet;

	if (room < 0)
		report->broken++;
	report->intervals++;
	report->contended += contended;
	report->needed += (double) report->now.needed;
	report->unmet += unmet;
	report->regret += fmin(unmet, fmax(room, 0) + (double) report->now.spare);
	report->idle_room += fmin(unmet, fmax(room, 0));
	report->static_regret += fmin((double) report->now.static_unmet,
								  (double) report->now.static_spare);
}

/*
 * The index of R. Jain, D. Chiu and W. Hawe (1984) of what each got to what the max-min
 * fair share by true needs would be: 1 when all are treated alike.
 */
void
note_fairness(Report *report, const Tenant *tenants, PoShare *work, int n, PoShareMark *marks)
{
	double		sum[2] = {0, 0};
	double		squares[2] = {0, 0};
	int			counted = 0;

	for (int i = 0; i < n; i++)
	{
		const PoPolicyFields *p = &tenants[i].policy;

		work[i] = (PoShare) {p->weight, p->guaranteed, p->max_connections, tenants[i].need, 0};
	}
	po_share(work, n, report->budget, marks);
	for (int i = 0; i < n; i++)
	{
		double		fixed = tenants[i].fixed;
		double		ideal = work[i].share < tenants[i].need ? work[i].share : tenants[i].need;
		double		part[2];

		if (ideal <= 0)
			continue;
		/* What is beyond the need is waste, counted as such, and no injustice. */
		part[0] = fmin(tenants[i].granted / ideal, 1);
		part[1] = fmin(fixed / ideal, 1);
		for (int k = 0; k < 2; k++)
		{
			sum[k] += part[k];
			squares[k] += part[k] * part[k];
		}
		counted++;
	}
	if (counted == 0 || squares[0] <= 0)
		return;
	sum[0] = sum[0] * sum[0] / (counted * squares[0]);
	report->jain_sum += sum[0];
	report->jain_least = fmin(report->jain_least, sum[0]);
	if (squares[1] > 0)
		report->static_jain_sum += sum[1] * sum[1] / (counted * squares[1]);
	report->jain_n++;
}

/* ---------- the end ---------- */

static double
percent(double part, double whole)
{
	return whole > 0 ? 100 * part / whole : 0;
}

static double
per_day(int64_t count, int64_t evaluations)
{
	return evaluations > 0 ? (double) count * DAY_S / INTERVAL_S / (double) evaluations : 0;
}

static void
print_kinds(const Report *r)
{
	printf("| tenants | evaluations | had all they asked for | in the band"
		   " | of needs of %d and more, none to spare | episodes outside | median | 95 %% | longest"
		   " | reversals a day | of the need itself |\n"
		   "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n", LARGE);
	for (int k = 0; k < N_KINDS; k++)
		printf("| %s | %" PRId64 " | %.1f %% | %.1f %% | %.1f %% | %" PRIu64 " | %.0f | %.0f | %" PRId64
			   " | %.2f | %.2f |\n",
			   kind_names[k], r->all_evaluations[k],
			   percent((double) r->evaluations[k], (double) r->all_evaluations[k]),
			   percent((double) r->in_band[k], (double) r->evaluations[k]),
			   percent((double) r->large_in_band[k], (double) r->large_evaluations[k]),
			   po_histogram_total(&r->episode[k]),
			   po_histogram_quantile(&r->episode[k], 0.5),
			   po_histogram_quantile(&r->episode[k], 0.95), r->longest[k],
			   per_day(r->reversals[k], r->all_evaluations[k]),
			   per_day(r->need_reversals[k], r->all_evaluations[k]));
}

static void
print_cost(const char *what, const PoHistogram *h)
{
	printf("| %s | %.0f | %.0f |\n", what, po_histogram_quantile(h, 0.5),
		   po_histogram_quantile(h, 0.99));
}

void
print_report(const Report *r, const Options *o)
{
	printf("# %d tenants, %d days, seed %" PRIu64 "\n\n"
		   "%d connections (%.2f of the need at the peak), %.0f cores.  %.0f evaluations in %.1f s\n"
		   "of CPU time: %s\n\n", o->tenants, o->days, o->seed, r->budget, o->scarcity, r->cores,
		   (double) r->visits, r->seconds,
		   o->exact ? "every tenant, every minute." :
		   "a tenant whose size cannot change is passed over, up to an hour.");
	printf("## Convergence and oscillation\n\n"
		   "A size is in the band from %.1f to %.1f of the need, give or take one; episodes\n"
		   "outside it in evaluations of %d s; both only while a tenant has what was asked for.\n"
		   "A reversal is a change by more than one against the one before, within 30\n"
		   "evaluations.\n\n", BAND_BELOW, BAND_ABOVE, INTERVAL_S);
	print_kinds(r);
	printf("\n## Fairness and regret\n\n"
		   "| | shared | fixed split by weight |\n|---|---:|---:|\n");
	if (r->jain_n > 0)
		printf("| Jain's index, mean while contended | %.4f | %.4f |\n"
			   "| Jain's index, least | %.4f | |\n", r->jain_sum / r->jain_n,
			   r->static_jain_sum / r->jain_n, r->jain_least);
	printf("| quota regret: need not met though there was room | %.2f %% | %.2f %% |\n"
		   "| - of that, room that nobody had | %.2f %% | |\n"
		   "| need not met in all | %.2f %% | |\n"
		   "| time contended | %.1f %% | |\n"
		   "| time in which the server was full | %.1f %% | |\n",
		   percent(r->regret, r->needed), percent(r->static_regret, r->needed),
		   percent(r->idle_room, r->needed), percent(r->unmet, r->needed),
		   percent((double) r->contended, (double) r->intervals),
		   percent((double) r->rationed, (double) r->intervals));
	printf("\n## Cost\n\n| ns | median | 99 %% |\n|---|---:|---:|\n");
	print_cost("a decision for one tenant, with sharing where it is due", &r->decision_ns);
	print_cost("cutting all tenants to the connections there are", &r->share_ns);
	printf("| CPU time of all to the number of evaluations, the world included | %.0f | |\n",
		   r->seconds * 1e9 / fmax((double) r->visits, 1));
	printf("\nInvariants broken: %" PRId64 ". Digest %016" PRIx64 ".\n", r->broken, r->digest);
}

static int
bound(const char *what, double value, double least, double most)
{
	if (value >= least && value <= most)
		return 0;
	printf("FAILED: %s is %.4g, not from %g to %g\n", what, value, least, most);
	return 1;
}

/* No bound is of time: that depends on who else uses the machine. */
int
check_report(const Report *r, bool ample)
{
	/* By kind; a search for a size takes steps, and goes on after each failure. */
	static const double least_in_band[N_KINDS] = {98, 60, 60};
	static const double most_reversals[N_KINDS] = {1, 25, 40};
	int			failed = bound("number of invariants broken", (double) r->broken, 0, 0);

	for (int k = 0; k < N_KINDS && ample; k++)
	{
		failed += bound("percent in the band", percent((double) r->in_band[k],
													   (double) r->evaluations[k]),
						least_in_band[k], 100);
		failed += bound("median of an episode", po_histogram_quantile(&r->episode[k], 0.5),
						0, 10);
		failed += bound("95 % of an episode", po_histogram_quantile(&r->episode[k], 0.95),
						0, 60);
		failed += bound("reversals a day", per_day(r->reversals[k], r->all_evaluations[k]),
						0, most_reversals[k]);
	}
	if (ample)
		return failed > 0;
	failed += bound("times that connections were short", (double) r->jain_n, 1, INFINITY);
	failed += bound("Jain's index", r->jain_sum / fmax((double) r->jain_n, 1), 0.98, 1);
	failed += bound("the least of Jain's index", r->jain_least, 0.9, 1);
	failed += bound("percent of need not met with room", percent(r->regret, r->needed), 0, 4);
	failed += bound("regret to that of a fixed split", r->regret,
					0, r->static_regret > 0 ? r->static_regret / 3 : INFINITY);
	return failed > 0;
}
