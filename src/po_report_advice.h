/*
 * po_report_advice.h
 *		What is wrong now and what to do about it, in words and in SQL.
 */
#ifndef PO_REPORT_ADVICE_H
#define PO_REPORT_ADVICE_H

#include "po_report_types.h"

typedef enum PoGravity
{
	PO_GRAVITY_NOTE,			/* could be better */
	PO_GRAVITY_WARNING,			/* will hurt */
	PO_GRAVITY_CRITICAL,		/* hurts */
} PoGravity;

#define PO_N_GRAVITIES		(PO_GRAVITY_CRITICAL + 1)

#define PO_MAX_FINDINGS		(PO_REPORT_ROWS + 40)	/* alerts, and what rules tell at most */
#define PO_SHOWN_FINDINGS	10

/* All but sql is HTML. */
typedef struct PoFinding
{
	PoGravity	gravity;
	const char *topic;			/* an alert of this name is told by it, too */
	const PoReportTenant *tenant;	/* NULL = the cluster */
	char	   *title;
	char	   *why;
	char	   *what_to_do;		/* NULL = nothing but the SQL */
	char	   *sql;			/* NULL = none */
} PoFinding;

typedef struct PoAdvice
{
	const PoReport *report;
	int			n;
	int			n_more;			/* alike, left out */
	int			n_left_out[PO_N_GRAVITIES];	/* alerts that there was no room for */
	PoFinding	finding[PO_MAX_FINDINGS];	/* the gravest first */
} PoAdvice;

extern void po_report_advise(const PoReport *report, PoAdvice *advice);

#endif							/* PO_REPORT_ADVICE_H */
