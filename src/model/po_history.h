/*
 * po_history.h
 *		What a tenant did in a bucket of time: filled, packed, merged.
 *
 * Buckets are counted in whole lengths from Monday 2000-01-03 00:00 UTC, and times are
 * microseconds since then (PO_HISTORY_EPOCH converts the server's).  An open bucket is
 * filled by the sampler, closed into a row, and rows of any lengths are merged into
 * wider buckets by whoever reads.
 *
 * Averages are over the whole bucket, whether or not the tenant was there, as far as the
 * server was watched: so rows that are missing count as zero.
 *
 * Durations.  A row keeps five points of the distribution of its transactions: quantiles,
 * as logarithms.  Merging takes them as the corners of a distribution function that is
 * straight in between, mixes these by their numbers of transactions and reads the
 * quantiles off again; rows that are alike merge into the same.
 */
#ifndef PO_HISTORY_H
#define PO_HISTORY_H

#include "model/po_histogram.h"

/* Of the server's time: from 2000-01-01, a Saturday, to the Monday. */
#define PO_HISTORY_EPOCH	(2 * INT64_C(86400) * PO_US_PER_S)

#define PO_HISTORY_POINTS	5	/* 50, 90, 95, 99 and 100 % */

/* Duration as a logarithm: 1024 steps to each power of two; 0 also = none. */
extern uint16_t po_history_pack_us(double us);
extern double po_history_unpack_us(uint16_t packed);

/* Up to 32767 as it is, above in steps of 8; -1 = none. */
extern uint16_t po_history_pack_count(int count);
extern int	po_history_unpack_count(uint16_t packed);

/* One tenant in one bucket, as rings keep it. */
typedef struct PoHistoryRow
{
	uint32_t	tick;			/* number of the bucket */
	int32_t		tenant;
	uint32_t	transactions;
	uint32_t	rejected;
	uint32_t	errors;
	float		sessions_avg;
	float		busy_avg;
	uint16_t	sessions_first; /* when it began; packed counts from here on */
	uint16_t	sessions_max;
	uint16_t	busy_max;
	uint16_t	waiting_max;
	uint16_t	terminated;
	uint16_t	max_connections;
	uint16_t	recommended;
	uint16_t	service[PO_HISTORY_POINTS];	/* packed us */
} PoHistoryRow;

/* A bucket that is being filled. */
typedef struct PoHistoryOpen
{
	uint32_t	tick;
	bool		used;			/* something happened but sessions that are there */
	int			sessions;		/* now */
	int			sessions_first;
	int			sessions_max;
	int			busy_max;
	int			waiting;
	int			waiting_max;
	uint32_t	transactions;
	uint32_t	rejected;
	uint32_t	errors;
	uint32_t	terminated;
	int64_t		at;				/* up to when sessions_us is complete */
	double		sessions_us;
	double		busy_us;
	uint16_t	service[PO_HISTORY_POINTS];	/* so far, when last looked at */
} PoHistoryOpen;

/* Begins a bucket at a time; sessions and logins that wait stay. */
extern void po_history_begin(PoHistoryOpen *open, uint32_t tick, int64_t at);

/* There are so many since now, and were as many as peak in between. */
extern void po_history_sessions(PoHistoryOpen *open, int sessions, int peak, int64_t now);
extern void po_history_waiting(PoHistoryOpen *open, int waiting, int peak);

/* So many were busy from a time to another. */
extern void po_history_busy(PoHistoryOpen *open, int busy, int64_t from, int64_t to);

typedef struct PoHistoryCounts
{
	uint64_t	transactions;
	uint64_t	rejected;
	uint64_t	errors;
	uint64_t	terminated;
} PoHistoryCounts;

extern void po_history_count(PoHistoryOpen *open, const PoHistoryCounts *counts);

/* Is there anything to tell of it? */
extern bool po_history_is_told(const PoHistoryOpen *open);

/*
 * The row of a bucket that lasted from began to end and was sampled for so much of it:
 * sessions are known at any time, busy ones only when sampled.  Leaves tenant and limits
 * alone.
 */
extern void po_history_close(const PoHistoryOpen *open, int64_t began, int64_t end,
							 int64_t sampled, PoHistoryRow *row);

/*
 * Buckets come in lengths that fit into each other and into those of rings and table: seconds
 * that divide a minute, 1, 5, 10, 15, 20 or 30 minutes, hours that divide a day, days.
 */
extern bool po_history_is_resolution(int64_t us);

/* The five points of what came into a histogram since it was copied; false (and all 0)
 * when nothing did, or more than most by far: then it is not the same any more. */
extern bool po_history_points(const PoHistogram *now, const uint32_t *before, uint64_t most,
							  uint16_t *points);

/* ---------- merging ---------- */

/* A row of any length, as views show it. */
typedef struct PoHistoryValues
{
	double		sessions_avg;
	double		busy_avg;
	int			sessions_max;
	int			busy_max;
	int			waiting_max;
	int			max_connections;	/* -1 = no limit, PO_HISTORY_UNKNOWN */
	int			recommended;	/* 0 = none */
	int64_t		transactions;
	int64_t		rejected;
	int64_t		errors;
	int64_t		terminated;
	uint16_t	service[PO_HISTORY_POINTS];
} PoHistoryValues;

#define PO_HISTORY_UNKNOWN	(-2)

extern void po_history_unpack(const PoHistoryRow *row, PoHistoryValues *values);

/* Adds what comes later; weight is its length, watched or not.  Not the durations. */
extern void po_history_add(PoHistoryValues *to, const PoHistoryValues *from, double weight);

/* After the last: averages over so much watched time. */
extern void po_history_average(PoHistoryValues *values, double watched);

typedef struct PoHistoryPart
{
	int64_t		transactions;
	uint16_t	service[PO_HISTORY_POINTS];
} PoHistoryPart;

/* The points of n distributions mixed. */
extern void po_history_mix(const PoHistoryPart *part, int n, uint16_t *points);

#endif							/* PO_HISTORY_H */
