/*
 * po_alarm.c
 *		When an alert is raised, and when it is cleared.
 */
#include "model/po_alarm.h"

#include <math.h>

static int64_t
larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* A clock that was set back must not make anything last for ever. */
static int64_t
elapsed(int64_t since_us, int64_t now_us)
{
	int64_t		us;

	if (now_us < since_us)
		return 0;
	return __builtin_sub_overflow(now_us, since_us, &us) ? INT64_MAX : us;
}

/* Time 0 says "not so". */
static int64_t
moment(int64_t now_us)
{
	return now_us == 0 ? 1 : now_us;
}

static bool
is_met(const PoAlarmLimit *limit, double value, bool was_met)
{
	double		margin = was_met ? limit->threshold * limit->hysteresis : 0;

	/* A comparison with NaN is false. */
	if (!limit->enabled)
		return false;
	return limit->below ? value <= limit->threshold + margin :
		value >= limit->threshold - margin;
}

/* The worst severity that has been met for long enough. */
static PoSeverity
look(PoAlarm *alarm, const PoAlarmLimit *limit, const double *value, int64_t now_us)
{
	PoSeverity	worst = PO_SEVERITY_NONE;

	for (int i = 0; i < PO_N_SEVERITIES; i++)
	{
		int64_t    *since = &alarm->met_since[i];

		if (!is_met(&limit[i], value[i], *since != 0))
		{
			*since = 0;
			continue;
		}
		if (*since == 0 || *since > now_us)
			*since = moment(now_us);
		if (elapsed(*since, now_us) >= limit[i].for_us)
			worst = (PoSeverity) (PO_SEVERITY_WARNING + i);
	}
	return worst;
}

/* One that comes back soon is held for longer. */
static void
set_hold(PoAlarm *alarm, int64_t clear_after_us, int64_t now_us)
{
	int64_t		before = larger(alarm->hold_us, clear_after_us);

	if (alarm->cleared_at == 0 || elapsed(alarm->cleared_at, now_us) >= PO_ALARM_FLAP_US)
		alarm->hold_us = 0;
	else if (before >= PO_ALARM_HOLD_MOST_US / 2)
		alarm->hold_us = PO_ALARM_HOLD_MOST_US;
	else
		alarm->hold_us = larger(2 * before, PO_ALARM_HOLD_LEAST_US);
}

static PoAlarmChange
rise(PoAlarm *alarm, PoSeverity to, int64_t clear_after_us, int64_t now_us)
{
	PoAlarmChange change = PO_ALARM_ESCALATED;

	if (alarm->raised == PO_SEVERITY_NONE)
	{
		set_hold(alarm, clear_after_us, now_us);
		change = PO_ALARM_RAISED;
	}
	alarm->raised = to;
	alarm->unmet_since = 0;
	return change;
}

static PoAlarmChange
maybe_clear(PoAlarm *alarm, bool any_enabled, int64_t clear_after_us, int64_t now_us)
{
	int64_t		hold_us = larger(alarm->hold_us, clear_after_us);

	if (alarm->unmet_since == 0 || alarm->unmet_since > now_us)
		alarm->unmet_since = moment(now_us);
	if (any_enabled && elapsed(alarm->unmet_since, now_us) < hold_us)
		return PO_ALARM_NOTHING;
	alarm->raised = PO_SEVERITY_NONE;
	alarm->unmet_since = 0;
	alarm->cleared_at = moment(now_us);
	return PO_ALARM_CLEARED;
}

PoAlarmChange
po_alarm_step(PoAlarm *alarm, const PoAlarmLimit limit[PO_N_SEVERITIES], double value,
			  int64_t now_us)
{
	const double each[PO_N_SEVERITIES] = {value, value};

	return po_alarm_step_each(alarm, limit, each, now_us);
}

PoAlarmChange
po_alarm_step_each(PoAlarm *alarm, const PoAlarmLimit limit[PO_N_SEVERITIES],
				   const double value[PO_N_SEVERITIES], int64_t now_us)
{
	PoSeverity	worst = look(alarm, limit, value, now_us);
	bool		any_enabled = limit[0].enabled || limit[1].enabled;
	bool		any_met = alarm->met_since[0] != 0 || alarm->met_since[1] != 0;

	if (worst > alarm->raised)
		return rise(alarm, worst, limit[PO_SEVERITY_INDEX(worst)].clear_after_us, now_us);
	if (alarm->raised == PO_SEVERITY_NONE)
		return PO_ALARM_NOTHING;
	if (!any_met)
		return maybe_clear(alarm, any_enabled,
						   limit[PO_SEVERITY_INDEX(alarm->raised)].clear_after_us, now_us);
	alarm->unmet_since = 0;
	return PO_ALARM_NOTHING;
}

bool
po_alarm_is_moving(const PoAlarm *alarm)
{
	return alarm->raised != PO_SEVERITY_NONE || alarm->met_since[0] != 0 ||
		alarm->met_since[1] != 0;
}
