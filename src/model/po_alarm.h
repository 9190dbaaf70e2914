/*
 * po_alarm.h
 *		When an alert is raised, and when it is cleared.
 *
 * An alarm watches one value against two thresholds, of severity warning and of
 * severity critical.  What keeps it from going on and off:
 *
 *	- A threshold is met from the threshold on, and no more only when the value has
 *	  gone back by the hysteresis, a share of the threshold.
 *	- It is raised when a threshold has been met for for_us without a break.
 *	- It is cleared when none has been met for clear_after_us, or for twice as long as
 *	  before (10 s at least) each time that it is raised within PO_ALARM_FLAP_US of
 *	  having been cleared, up to PO_ALARM_HOLD_MOST_US: whatever comes and goes is soon one
 *	  alert that stays.
 *	- Its severity only rises until it is cleared.
 */
#ifndef PO_ALARM_H
#define PO_ALARM_H

#include "model/po_types.h"

#define PO_ALARM_FLAP_US		(600 * PO_US_PER_S)
#define PO_ALARM_HOLD_LEAST_US	(10 * PO_US_PER_S)
#define PO_ALARM_HOLD_MOST_US	(3600 * PO_US_PER_S)

typedef enum PoSeverity
{
	PO_SEVERITY_NONE,
	PO_SEVERITY_WARNING,
	PO_SEVERITY_CRITICAL
} PoSeverity;

#define PO_N_SEVERITIES		2
#define PO_SEVERITY_INDEX(severity)	((int) (severity) - 1)

/* When one severity holds. */
typedef struct PoAlarmLimit
{
	bool		enabled;
	bool		below;			/* the lower, the worse */
	double		threshold;
	double		hysteresis;		/* 0..1 */
	int64_t		for_us;
	int64_t		clear_after_us;
} PoAlarmLimit;

/* All zero is a valid start.  Times are monotonic us, 0 = not so. */
typedef struct PoAlarm
{
	int64_t		met_since[PO_N_SEVERITIES];
	int64_t		unmet_since;	/* none is; while raised */
	int64_t		cleared_at;
	int64_t		hold_us;		/* as it comes and goes; 0 = it does not */
	PoSeverity	raised;
} PoAlarm;

typedef enum PoAlarmChange
{
	PO_ALARM_NOTHING,
	PO_ALARM_RAISED,
	PO_ALARM_ESCALATED,			/* from warning to critical */
	PO_ALARM_CLEARED
} PoAlarmChange;

/*
 * Looks at the present value; NaN = there is none, which meets no threshold.  The limits
 * are by PO_SEVERITY_INDEX.  Without any that is enabled a raised alarm is cleared at
 * once.
 */
extern PoAlarmChange po_alarm_step(PoAlarm *alarm,
								   const PoAlarmLimit limit[PO_N_SEVERITIES],
								   double value, int64_t now_us);

/* The same where each severity looks at a value of its own. */
extern PoAlarmChange po_alarm_step_each(PoAlarm *alarm,
										const PoAlarmLimit limit[PO_N_SEVERITIES],
										const double value[PO_N_SEVERITIES], int64_t now_us);

/* Must po_alarm_step be called although the value stays as it is? */
extern bool po_alarm_is_moving(const PoAlarm *alarm);

#endif							/* PO_ALARM_H */
