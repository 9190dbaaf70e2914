/*
 * po_profile.h
 *		What is usual in an hour of the week: from pieces of that hour in the last weeks.
 *
 * Pieces in which the server was watched and a tenant has no value count as 0, but not weeks
 * before the first in which it has one: it was not there yet, and would only look smaller
 * than it is.
 */
#ifndef PO_PROFILE_H
#define PO_PROFILE_H

#include "model/po_types.h"

#define PO_PROFILE_HOURS	168
#define PO_PROFILE_WEEKS	8	/* looked back at */
#define PO_PROFILE_LEAST	2	/* weeks, before that nothing is usual */

/* A piece of the hour: so many busy on average, week 0 is the last one. */
typedef struct PoProfileValue
{
	int			week;
	float		busy;
} PoProfileValue;

typedef struct PoProfile
{
	double		busy_mean;
	double		busy_p95;		/* of the pieces, the least that 95 % do not exceed */
	int			weeks;			/* in which the server was watched, since the tenant's first */
} PoProfile;

/* pieces: of each week, in which the server was watched.  Sorts value, by what is busy. */
extern void po_profile_make(PoProfileValue *value, int n, const int pieces[PO_PROFILE_WEEKS],
							PoProfile *profile);

/* What is kept ready in an hour for it and the next one. */
typedef struct PoSeason
{
	float		busy;			/* sessions; 0 = nothing is known */
	uint8_t		weeks;
	uint8_t		is_next;		/* 0 = of this hour, else of the next one */
} PoSeason;

/* Takes the larger of what is known. */
extern void po_profile_add(PoSeason *season, const PoProfile *profile, bool is_next);

/* Whole sessions of it. */
extern int	po_profile_sessions(const PoSeason *season);

#endif							/* PO_PROFILE_H */
