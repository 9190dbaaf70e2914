/*
 * test_alarm.c
 *		When an alert is raised and cleared: once each, however the value comes and goes.
 */
#include "model/po_alarm.h"

#include "check.h"

#define S	PO_US_PER_S

static const PoAlarm fresh;

/* 80 % and 90 %, 5 % of hysteresis, both after 10 s, cleared after 30 s. */
static void
usual_limits(PoAlarmLimit limit[PO_N_SEVERITIES])
{
	memset(limit, 0, PO_N_SEVERITIES * sizeof(*limit));
	for (int i = 0; i < PO_N_SEVERITIES; i++)
	{
		limit[i].enabled = true;
		limit[i].threshold = i == 0 ? 0.8 : 0.9;
		limit[i].hysteresis = 0.05;
		limit[i].for_us = 10 * S;
		limit[i].clear_after_us = 30 * S;
	}
}

static void
test_for_duration(void)
{
	PoAlarm		a = fresh;
	PoAlarmLimit limit[PO_N_SEVERITIES];

	usual_limits(limit);
	CHECK_INT(po_alarm_step(&a, limit, 0.79, 1 * S), PO_ALARM_NOTHING);
	CHECK(!po_alarm_is_moving(&a));
	CHECK_INT(po_alarm_step(&a, limit, 0.80, 2 * S), PO_ALARM_NOTHING);
	CHECK(po_alarm_is_moving(&a));
	/* A break starts it anew. */
	CHECK_INT(po_alarm_step(&a, limit, 0.70, 11 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 0.80, 12 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 0.80, 12 * S + 9999999), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 0.80, 22 * S), PO_ALARM_RAISED);
	CHECK_INT(a.raised, PO_SEVERITY_WARNING);
	CHECK_INT(po_alarm_step(&a, limit, 0.85, 23 * S), PO_ALARM_NOTHING);
}

/* A severity whose value is not known is not met, whatever the other's is. */
static void
test_each(void)
{
	PoAlarm		a = fresh;
	PoAlarmLimit limit[PO_N_SEVERITIES];
	double		value[PO_N_SEVERITIES] = {0.95, NAN};

	usual_limits(limit);
	limit[0].for_us = limit[1].for_us = 0;
	CHECK_INT(po_alarm_step_each(&a, limit, value, 1 * S), PO_ALARM_RAISED);
	CHECK_INT(a.raised, PO_SEVERITY_WARNING);
	value[1] = 0.95;
	CHECK_INT(po_alarm_step_each(&a, limit, value, 2 * S), PO_ALARM_ESCALATED);
	value[1] = NAN;
	CHECK_INT(po_alarm_step_each(&a, limit, value, 3 * S), PO_ALARM_NOTHING);
	CHECK_INT(a.raised, PO_SEVERITY_CRITICAL);
	value[0] = NAN;
	CHECK_INT(po_alarm_step_each(&a, limit, value, 4 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step_each(&a, limit, value, 34 * S), PO_ALARM_CLEARED);
}

static void
test_escalates_once(void)
{
	PoAlarm		a = fresh;
	PoAlarmLimit limit[PO_N_SEVERITIES];

	usual_limits(limit);
	limit[0].for_us = limit[1].for_us = 0;
	CHECK_INT(po_alarm_step(&a, limit, 0.85, 1 * S), PO_ALARM_RAISED);
	CHECK_INT(po_alarm_step(&a, limit, 0.95, 2 * S), PO_ALARM_ESCALATED);
	CHECK_INT(po_alarm_step(&a, limit, 0.81, 3 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 0.95, 4 * S), PO_ALARM_NOTHING);
	CHECK_INT(a.raised, PO_SEVERITY_CRITICAL);
	/* Straight to critical is raised once. */
	memset(&a, 0, sizeof(a));
	CHECK_INT(po_alarm_step(&a, limit, 0.95, 1 * S), PO_ALARM_RAISED);
	CHECK_INT(a.raised, PO_SEVERITY_CRITICAL);
}

static void
test_hysteresis_and_hold(void)
{
	PoAlarm		a = fresh;
	PoAlarmLimit limit[PO_N_SEVERITIES];

	usual_limits(limit);
	limit[0].for_us = 0;
	limit[1].enabled = false;
	CHECK_INT(po_alarm_step(&a, limit, 0.80, 1 * S), PO_ALARM_RAISED);
	/* Within the hysteresis it goes on, for whatever time. */
	CHECK_INT(po_alarm_step(&a, limit, 0.77, 2 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 0.77, 900 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 0.75, 1000 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 0.75, 1029 * S), PO_ALARM_NOTHING);
	/* Met again: the hold starts anew; below the threshold it is not met again. */
	CHECK_INT(po_alarm_step(&a, limit, 0.80, 1029 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 0.75, 1031 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 0.79, 1040 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, NAN, 1061 * S), PO_ALARM_CLEARED);
	CHECK(!po_alarm_is_moving(&a));
	CHECK_INT(po_alarm_step(&a, limit, 0.75, 1062 * S), PO_ALARM_NOTHING);
}

static void
test_below(void)
{
	PoAlarm		a = fresh;
	PoAlarmLimit limit[PO_N_SEVERITIES];

	memset(limit, 0, sizeof(limit));
	for (int i = 0; i < PO_N_SEVERITIES; i++)
	{
		limit[i].enabled = limit[i].below = true;
		limit[i].threshold = i == 0 ? 60 : 15;
		limit[i].hysteresis = 0.5;
	}
	CHECK_INT(po_alarm_step(&a, limit, NAN, 1 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 61, 1 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 60, 2 * S), PO_ALARM_RAISED);
	CHECK_INT(po_alarm_step(&a, limit, 90, 3 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 15, 4 * S), PO_ALARM_ESCALATED);
	CHECK_INT(po_alarm_step(&a, limit, 91, 5 * S), PO_ALARM_CLEARED);
}

static void
test_disabled(void)
{
	PoAlarm		a = fresh;
	PoAlarmLimit limit[PO_N_SEVERITIES];

	usual_limits(limit);
	limit[0].for_us = 0;
	CHECK_INT(po_alarm_step(&a, limit, 0.85, 1 * S), PO_ALARM_RAISED);
	/* Nobody wants to hear of it any more. */
	limit[0].enabled = limit[1].enabled = false;
	CHECK_INT(po_alarm_step(&a, limit, 0.85, 2 * S), PO_ALARM_CLEARED);
	CHECK_INT(po_alarm_step(&a, limit, 0.99, 90 * S), PO_ALARM_NOTHING);
}

static void
test_clock_set_back(void)
{
	PoAlarm		a = fresh;
	PoAlarmLimit limit[PO_N_SEVERITIES];
	int64_t		late = 1000000 * S;

	usual_limits(limit);
	CHECK_INT(po_alarm_step(&a, limit, 0.85, late), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 0.85, 5 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 0.85, 15 * S), PO_ALARM_RAISED);
	CHECK_INT(po_alarm_step(&a, limit, 0.1, late), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 0.1, 20 * S), PO_ALARM_NOTHING);
	CHECK_INT(po_alarm_step(&a, limit, 0.1, 50 * S), PO_ALARM_CLEARED);
}

/* However long it is on and off, an hour of it is told a few times only. */
static void
test_flapping_is_not_told(void)
{
	static const int periods[] = {1, 2, 5, 10, 31, 45, 60, 90, 120, 300, 599};

	for (size_t p = 0; p < sizeof(periods) / sizeof(periods[0]); p++)
	{
		for (int clear_after = 0; clear_after <= 60; clear_after += 30)
		{
			PoAlarm		a = fresh;
			PoAlarmLimit limit[PO_N_SEVERITIES];
			int			n_raised = 0;
			int			n_late = 0;

			usual_limits(limit);
			for (int i = 0; i < PO_N_SEVERITIES; i++)
			{
				limit[i].for_us = 0;
				limit[i].clear_after_us = clear_after * S;
			}
			for (int t = 0; t < 12 * 3600; t++)
			{
				double		value = t / periods[p] % 2 == 0 ? 0.95 : 0.1;

				if (po_alarm_step(&a, limit, value, (t + 1) * S) == PO_ALARM_RAISED)
				{
					n_raised++;
					n_late += t > 3 * 3600;
				}
			}
			CHECK_WITH(n_raised >= 1 && n_raised <= 8, "%d times, period %d, hold %d",
					   n_raised, periods[p], clear_after);
			CHECK_INT(n_late, 0);
		}
	}
}

/* What is not flapping is told each time, and is not held for long. */
static void
test_rare_ones_are_told(void)
{
	PoAlarm		a = fresh;
	PoAlarmLimit limit[PO_N_SEVERITIES];
	int64_t		now = 0;

	usual_limits(limit);
	limit[0].for_us = 0;
	for (int i = 0; i < 50; i++)
	{
		now += 1000 * S;
		CHECK_INT(po_alarm_step(&a, limit, 0.85, now), PO_ALARM_RAISED);
		now += 10 * S;
		CHECK_INT(po_alarm_step(&a, limit, 0.1, now), PO_ALARM_NOTHING);
		now += 30 * S;
		CHECK_INT(po_alarm_step(&a, limit, 0.1, now), PO_ALARM_CLEARED);
	}
}

/* Raised, then escalated at most, then cleared; never raised by a value that never met. */
static void
test_any_values(void)
{
	for (int round = 0; round < 2000; round++)
	{
		PoAlarm		a;
		PoAlarmLimit limit[PO_N_SEVERITIES];
		int64_t		now = random_odd_int64() / 4;
		bool		raised = false;
		bool		escalated = false;

		memset(&a, 0, sizeof(a));
		for (int i = 0; i < PO_N_SEVERITIES; i++)
		{
			limit[i].enabled = random_below(4) > 0;
			limit[i].below = round % 2;
			limit[i].threshold = random_odd_double();
			limit[i].hysteresis = random_unit();
			limit[i].for_us = random_below(3) * S;
			limit[i].clear_after_us = random_magnitude() % (100 * S);
		}
		for (int step = 0; step < 200; step++)
		{
			double		value = random_odd_double();
			PoAlarmChange change;

			now += random_magnitude() % (10 * S);
			change = po_alarm_step(&a, limit, value, now);
			CHECK(change != PO_ALARM_RAISED || !raised);
			CHECK(change != PO_ALARM_CLEARED || raised);
			CHECK(change != PO_ALARM_ESCALATED || (raised && !escalated));
			if (change == PO_ALARM_RAISED)
			{
				raised = true;
				escalated = a.raised == PO_SEVERITY_CRITICAL;
				CHECK(limit[PO_SEVERITY_INDEX(a.raised)].enabled);
				CHECK(!isnan(value));
			}
			else if (change == PO_ALARM_ESCALATED)
				escalated = true;
			else if (change == PO_ALARM_CLEARED)
				raised = escalated = false;
			CHECK((a.raised != PO_SEVERITY_NONE) == raised);
		}
	}
}

/* Any bytes: the state outlives a restart in a file. */
static void
test_damaged(void)
{
	for (int round = 0; round < 5000; round++)
	{
		PoAlarm		a;
		PoAlarmLimit limit[PO_N_SEVERITIES];

		usual_limits(limit);
		random_fill(&a, sizeof(a));
		a.raised = (PoSeverity) random_below(3);
		(void) po_alarm_step(&a, limit, random_odd_double(), random_odd_int64());
		CHECK(a.raised >= PO_SEVERITY_NONE && a.raised <= PO_SEVERITY_CRITICAL);
	}
}

int
main(void)
{
	test_for_duration();
	test_each();
	test_escalates_once();
	test_hysteresis_and_hold();
	test_below();
	test_disabled();
	test_clock_set_back();
	test_flapping_is_not_told();
	test_rare_ones_are_told();
	test_any_values();
	test_damaged();
	return check_end("test_alarm");
}
