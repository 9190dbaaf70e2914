/*
 * po_profile_table.h
 *		The table pool_history_profile: what is usual in each hour of the week.
 */
#ifndef PO_PROFILE_TABLE_H
#define PO_PROFILE_TABLE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "model/po_profile.h"

/*
 * In the keeper, in short transactions of its own: brings hours up to date, this one and the next
 * first, and tells the recommendation what is usual in these two.  On a standby it only
 * tells.  Stops early when go_on says no.
 */
extern void po_profile_table_keep(bool (*go_on) (void));

/* A row, as it is told. */
typedef struct PoProfileRow
{
	const char *tenant;
	int			hour;			/* of the week: 0 = from Monday 0:00 on */
	PoProfile	profile;
	const char *time_zone;		/* that hours are of */
	TimestampTz computed_at;
} PoProfileRow;

/* Visits the rows of a tenant (NULL = of all), as the caller. */
extern void po_profile_table_read(const char *tenant,
								  void (*visit) (const PoProfileRow *row, void *arg),
								  void *arg);

#endif							/* PO_PROFILE_TABLE_H */
