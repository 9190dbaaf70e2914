/*
 * po_profile_table.c
 *		The table pool_history_profile: what is usual in each hour of the week.
 *
 * Each hour is computed anew before it comes, as the next one, and when it has come; those that
 * are missing, of another time zone, or a week old, when there is nothing else to do.  A row of the
 * cluster, without a name, says of each hour that it was computed, and when.  Hours are those of
 * the setting timezone as the keeper sees it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "po_history_table.h"
#include "po_profile_table.h"
#include "po_registry.h"
#include "po_stats.h"

#define HOUR_US			(3600 * PO_US_PER_S)
#define OLD_US			(8 * 24 * HOUR_US)	/* older than an hour of a week ago can be */
#define FETCHED_ROWS	1000
#define PIECES			12		/* of an hour, in pool_history */

static const PoHistoryColumn columns[] = {
	{"tenant", TEXTOID},
	{"hour_of_week", INT4OID},
	{"busy_mean", FLOAT4OID},
	{"busy_p95", FLOAT4OID},
	{"weeks", INT4OID},
	{"time_zone", TEXTOID},
	{"computed_at", TIMESTAMPTZOID}
};

static bool
open_profile(int elevel, PoHistoryTable *table)
{
	return po_history_table_open_named("pool_history_profile", columns, lengthof(columns),
									   elevel, table);
}

static const char *
time_zone(void)
{
	return GetConfigOption("TimeZone", false, false);
}

/* ---------- which hours ---------- */

/* Hours of the week as of now. */
typedef struct Week
{
	TimestampTz start;			/* of this hour */
	int			hour;			/* which it is */
	bool		is_due[PO_PROFILE_HOURS];
	bool		is_read_only;	/* for the keeper: another server's writes it */
} Week;

static int64
number_of(int row, int column, bool *is_null)
{
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
									   column, is_null));
}

/* Is an hour to be computed that was computed then? */
static bool
is_old(const Week *week, int hour, TimestampTz computed_at)
{
	TimestampTz now = GetCurrentTimestamp();

	if (computed_at > now || now - computed_at > OLD_US)
		return true;
	return computed_at < week->start &&
		(hour == week->hour || hour == (week->hour + 1) % PO_PROFILE_HOURS);
}

static void
read_week(PoHistoryTable *table, Week *week)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(time_zone())};
	bool		is_null;

	memset(week, 0, sizeof(*week));
	if (SPI_execute("SELECT pg_catalog.date_trunc('hour', l) AT TIME ZONE "
					"pg_catalog.current_setting('timezone'), (24 * (extract(isodow FROM l) - 1) "
					"+ extract(hour FROM l))::int8 FROM (SELECT pg_catalog.clock_timestamp() "
					"AT TIME ZONE pg_catalog.current_setting('timezone') AS l) AS n",
					true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not tell the hour of the week");
	week->start = number_of(0, 1, &is_null);
	week->hour = (int) number_of(0, 2, &is_null) % PO_PROFILE_HOURS;
	for (int i = 0; i < PO_PROFILE_HOURS; i++)
		week->is_due[i] = true;
	if (SPI_execute_with_args(psprintf("SELECT hour_of_week::int8, computed_at FROM %s WHERE "
									   "tenant = '' AND time_zone = $1 AND hour_of_week "
									   "BETWEEN 0 AND 167", table->name), 1, types, values, NULL,
							  true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read %s", table->name);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int			hour = (int) number_of((int) i, 1, &is_null);
		TimestampTz at = number_of((int) i, 2, &is_null);

		week->is_due[hour] = is_null || is_old(week, hour, at);
	}
}

/* ---------- computing ---------- */

typedef struct Computing
{
	int			pieces[PO_PROFILE_WEEKS];	/* of the cluster, which comes first */
	char	   *tenant;			/* whose values these are; NULL = nobody's yet */
	int			n;
	PoProfileValue value[PO_PROFILE_WEEKS * PIECES];
	PoProfileRow *row;
	int			n_rows;
	int			room;
	MemoryContext context;
} Computing;

static void
end_tenant(Computing *c)
{
	PoProfileRow *row;

	if (c->tenant == NULL)
		return;
	if (c->n_rows == c->room)
	{
		c->room *= 2;
		c->row = repalloc_huge(c->row, c->room * sizeof(PoProfileRow));
	}
	row = &c->row[c->n_rows++];
	row->tenant = c->tenant;
	po_profile_make(c->value, c->n, c->pieces, &row->profile);
	c->tenant = NULL;
	c->n = 0;
}

static void
add_piece(Computing *c, const char *tenant, int week, float busy)
{
	if (c->tenant == NULL || strcmp(c->tenant, tenant) != 0)
	{
		end_tenant(c);
		c->tenant = MemoryContextStrdup(c->context, tenant);
	}
	if (tenant[0] == '\0')
		c->pieces[week]++;
	if (c->n < lengthof(c->value))
	{
		c->value[c->n].week = week;
		c->value[c->n++].busy = busy;
	}
}

static void
add_tuple(Computing *c, HeapTuple tuple, TupleDesc desc)
{
	bool		null[3];
	Datum		tenant = SPI_getbinval(tuple, desc, 1, &null[0]);
	Datum		week = SPI_getbinval(tuple, desc, 2, &null[1]);
	Datum		busy = SPI_getbinval(tuple, desc, 3, &null[2]);
	char	   *name;

	if (null[0] || null[1] || null[2])
		return;
	name = TextDatumGetCString(tenant);
	add_piece(c, name, DatumGetInt32(week), DatumGetFloat4(busy));
	pfree(name);
}

/*
 * The pieces of an hour in the last weeks in which it has ended, tenant by tenant.  By the wall
 * clock of the time zone, so that nine stays nine when summer begins.
 */
static void
read_pieces(PoHistoryTable *history, int hour, Computing *c)
{
	Oid			types[] = {INT4OID, INT4OID};
	Datum		values[] = {Int32GetDatum(hour), Int32GetDatum(PO_PROFILE_WEEKS)};
	Portal		portal;
	char	   *query =
		psprintf("SELECT h.tenant, w.w, h.busy_avg FROM (SELECT w, (l.first - w * interval "
				 "'7 days') AT TIME ZONE pg_catalog.current_setting('timezone') AS t FROM (SELECT "
				 "s.first - CASE WHEN s.first + interval '1 hour' > s.now THEN interval '7 days' "
				 "ELSE interval '0' END AS first FROM (SELECT n.now, pg_catalog.date_trunc('week', "
				 "n.now) + $1 * interval '1 hour' AS first FROM (SELECT "
				 "pg_catalog.clock_timestamp() AT TIME ZONE pg_catalog.current_setting('timezone') "
				 "AS now) AS n) AS s) AS l, pg_catalog.generate_series(0, $2 - 1) AS w) AS w, "
				 "LATERAL (SELECT * FROM %s AS h WHERE h.bucket_start >= w.t AND "
				 "h.bucket_start < w.t + interval '1 hour') AS h ORDER BY h.tenant, w.w",
				 history->name);

	portal = SPI_cursor_open_with_args(NULL, query, lengthof(types), types, values, NULL, true, 0);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCHED_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
			add_tuple(c, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	end_tenant(c);
}

static void
write_row(PoHistoryTable *table, SPIPlanPtr plan, int hour, const char *tenant,
		  const PoProfile *profile, TimestampTz now)
{
	Datum		values[] = {
		CStringGetTextDatum(tenant), Int32GetDatum(hour),
		Float4GetDatum((float4) profile->busy_mean), Float4GetDatum((float4) profile->busy_p95),
		Int32GetDatum(profile->weeks), CStringGetTextDatum(time_zone()),
		TimestampTzGetDatum(now)
	};

	if (SPI_execute_plan(plan, values, NULL, false, 0) < 0)
		elog(ERROR, "could not write %s", table->name);
}

static void
write_rows(PoHistoryTable *table, int hour, const Computing *c)
{
	TimestampTz now = GetCurrentTimestamp();
	Oid			types[lengthof(columns)];
	Oid			old_types[] = {INT4OID, TIMESTAMPTZOID};
	Datum		old_values[] = {Int32GetDatum(hour), TimestampTzGetDatum(now)};
	PoProfile	none = {0, 0, 0};
	SPIPlanPtr	plan;

	for (int i = 0; i < lengthof(columns); i++)
		types[i] = columns[i].type;
	plan = SPI_prepare(psprintf("INSERT INTO %s (tenant, hour_of_week, busy_mean, busy_p95, "
								"weeks, time_zone, computed_at) VALUES ($1, $2, $3, $4, $5, $6, "
								"$7) ON CONFLICT (tenant, hour_of_week) DO UPDATE SET (busy_mean, "
								"busy_p95, weeks, time_zone, computed_at) = ROW "
								"(excluded.busy_mean, excluded.busy_p95, excluded.weeks, "
								"excluded.time_zone, excluded.computed_at)", table->name),
					   lengthof(types), types);
	if (plan == NULL)
		elog(ERROR, "could not write %s", table->name);
	/* The mark, also if nothing was watched; else it comes again with what was. */
	write_row(table, plan, hour, "", &none, now);
	for (int i = 0; i < c->n_rows; i++)
		write_row(table, plan, hour, c->row[i].tenant, &c->row[i].profile, now);
	if (SPI_execute_with_args(psprintf("DELETE FROM %s WHERE hour_of_week = $1 AND "
									   "computed_at <> $2", table->name), lengthof(old_types),
							  old_types, old_values, NULL, false, 0) < 0)
		elog(ERROR, "could not prune %s", table->name);
}

/* In a transaction of its own; false when there is nothing to compute from. */
static bool
compute_hour(int hour)
{
	PoHistoryTable table;
	Computing	c;

	memset(&c, 0, sizeof(c));
	StartTransactionCommand();
	c.context = CurrentMemoryContext;
	c.room = 128;
	c.row = palloc(c.room * sizeof(PoProfileRow));
	if (!po_history_table_open(PO_HISTORY_TABLE, ERROR, &table))
	{
		CommitTransactionCommand();
		return false;
	}
	read_pieces(&table, hour, &c);
	po_history_table_close(&table);
	if (open_profile(ERROR, &table))
	{
		write_rows(&table, hour, &c);
		po_history_table_close(&table);
	}
	CommitTransactionCommand();
	return true;
}

/* ---------- telling the recommendation ---------- */

typedef struct Known
{
	int			index;			/* of the tenant */
	PoSeason	season;
} Known;

static void
add_known(Known *known, int *n, int hour, HeapTuple tuple, TupleDesc desc)
{
	bool		null[5];
	Datum		tenant = SPI_getbinval(tuple, desc, 1, &null[0]);
	Datum		at = SPI_getbinval(tuple, desc, 2, &null[1]);
	Datum		mean = SPI_getbinval(tuple, desc, 3, &null[2]);
	Datum		p95 = SPI_getbinval(tuple, desc, 4, &null[3]);
	Datum		weeks = SPI_getbinval(tuple, desc, 5, &null[4]);
	PoProfile	profile;
	char	   *name;
	int			index;

	if (null[0] || null[1] || null[2] || null[3] || null[4])
		return;
	name = TextDatumGetCString(tenant);
	index = po_registry_find_tenant(name);
	pfree(name);
	if (index < 0)
		return;
	/* Rows come in the order of names. */
	if (*n == 0 || known[*n - 1].index != index)
	{
		memset(&known[*n], 0, sizeof(Known));
		known[(*n)++].index = index;
	}
	profile.busy_mean = DatumGetFloat4(mean);
	profile.busy_p95 = DatumGetFloat4(p95);
	profile.weeks = DatumGetInt32(weeks);
	po_profile_add(&known[*n - 1].season, &profile, DatumGetInt32(at) != hour);
}

static void
tell_season(PoHistoryTable *table, const Week *week)
{
	Oid			types[] = {INT4OID, INT4OID, TEXTOID};
	Datum		values[] = {
		Int32GetDatum(week->hour), Int32GetDatum((week->hour + 1) % PO_PROFILE_HOURS),
		CStringGetTextDatum(time_zone())
	};
	Known	   *known;
	int			n = 0;

	if (SPI_execute_with_args(psprintf("SELECT tenant, hour_of_week, busy_mean, busy_p95, weeks "
									   "FROM %s WHERE hour_of_week IN ($1, $2) AND time_zone = $3 "
									   "AND tenant <> '' ORDER BY tenant", table->name),
							  lengthof(types), types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read %s", table->name);
	known = palloc_extended((SPI_processed + 1) * sizeof(Known), MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < SPI_processed; i++)
		add_known(known, &n, week->hour, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	po_stats_begin_season();
	for (int i = 0; i < n; i++)
		po_stats_set_season(known[i].index, &known[i].season);
	po_stats_end_season(week->start - PO_HISTORY_EPOCH);
}

/* ---------- keeping ---------- */

static bool
look(Week *week, bool tell)
{
	PoHistoryTable table;
	bool		found;

	StartTransactionCommand();
	found = open_profile(ERROR, &table);
	if (found)
	{
		read_week(&table, week);
		week->is_read_only = table.is_subscribed || RecoveryInProgress();
		if (tell)
			tell_season(&table, week);
		po_history_table_close(&table);
	}
	CommitTransactionCommand();
	return found;
}

void
po_profile_table_keep(bool (*go_on) (void))
{
	bool		is_new = false;
	Week		week;

	if (!look(&week, false))
		return;
	for (int i = 0; i < PO_PROFILE_HOURS && !week.is_read_only; i++)
	{
		int			hour = (week.hour + i) % PO_PROFILE_HOURS;

		if (!week.is_due[hour])
			continue;
		if (i > 1 && !go_on())
			break;
		CHECK_FOR_INTERRUPTS();
		if (!compute_hour(hour))
			return;
		is_new = is_new || i <= 1;
	}
	if (is_new || po_stats_season() != week.start - PO_HISTORY_EPOCH)
		(void) look(&week, true);
}

/* ---------- by anyone ---------- */

typedef struct HourVisit
{
	void		(*visit) (const PoProfileRow *row, void *arg);
	void	   *arg;
} HourVisit;

static void
visit_tuple(HeapTuple tuple, TupleDesc desc, void *arg)
{
	const HourVisit *hour = arg;
	PoProfileRow row;
	Datum		value[lengthof(columns)];
	bool		null[lengthof(columns)];

	heap_deform_tuple(tuple, desc, value, null);
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (null[i])
			return;
	}
	row.tenant = TextDatumGetCString(value[0]);
	row.hour = DatumGetInt32(value[1]);
	row.profile.busy_mean = DatumGetFloat4(value[2]);
	row.profile.busy_p95 = DatumGetFloat4(value[3]);
	row.profile.weeks = DatumGetInt32(value[4]);
	row.time_zone = TextDatumGetCString(value[5]);
	row.computed_at = DatumGetTimestampTz(value[6]);
	hour->visit(&row, hour->arg);
}

void
po_profile_table_read(const char *tenant, void (*visit) (const PoProfileRow *row, void *arg),
					  void *arg)
{
	Oid			types[] = {TEXTOID};
	Datum		values[1];
	PoHistoryTable table;
	Portal		portal;
	HourVisit	hour = {visit, arg};

	if (!open_profile(WARNING, &table))
		return;
	values[0] = tenant == NULL ? (Datum) 0 : CStringGetTextDatum(tenant);
	portal = SPI_cursor_open_with_args(NULL, psprintf("SELECT tenant, hour_of_week, busy_mean, "
													  "busy_p95, weeks, time_zone, computed_at "
													  "FROM %s WHERE tenant %s", table.name,
													  tenant == NULL ? "<> ''" : "= $1"),
									   tenant == NULL ? 0 : 1, types, values, NULL, true, 0);
	po_history_table_visit(&table, portal, visit_tuple, &hour);
	po_history_table_close(&table);
}
