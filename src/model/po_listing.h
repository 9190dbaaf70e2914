/*
 * po_listing.h
 *		Which tenants have metrics of their own, and what is left for "(other)".
 *
 * A scraper is given a bounded number of series: those of highest score are listed, the
 * others are summed.  Who is listed changes, and counters must not fall for it: a
 * scraper takes a fall for a restart and adds the whole value once more.
 *
 * Let c be the counters of a tenant, which only grow.  A listed one publishes c - base,
 * where base is c when it was listed, or 0 if nothing of it had been published before.
 * "(other)" publishes the sum of c of all that are not listed, plus an amount that makes
 * up for those who come and go: a tenant that is listed leaves its c there, one that
 * leaves takes its c away.  So no published value falls but by a reset of that very
 * tenant or a restart, and what is counted is counted in one series only.
 */
#ifndef PO_LISTING_H
#define PO_LISTING_H

#include "model/po_types.h"

#define PO_LISTED_MOST		100
#define PO_LISTED_COUNTS	50

/* How long a listed tenant with any load keeps its place. */
#define PO_LISTED_KEEP_US	(300 * PO_US_PER_S)

typedef struct PoCounts
{
	int64_t		count[PO_LISTED_COUNTS];
} PoCounts;

typedef struct PoListed
{
	int			tenant;
	int64_t		since_us;
	PoCounts	base;
} PoListed;

typedef struct PoListing
{
	int			n;
	PoListed	listed[PO_LISTED_MOST];
	PoCounts	other;			/* what makes up for those who come and go */
} PoListing;

typedef struct PoListingChange
{
	int			n_leave;
	int			leave[PO_LISTED_MOST];
	int			n_join;
	int			join[PO_LISTED_MOST];
} PoListingChange;

/*
 * Who is to leave and to join, so that the limit (0..PO_LISTED_MOST) highest are listed.
 * A score below 0 means that there is no such tenant.  Whoever is listed keeps its place
 * for a while, and against one that is not clearly higher.
 */
extern void po_listing_choose(const PoListing *listing, const double *score, int n_tenants,
							  int limit, int64_t now_us, PoListingChange *change);

/* Its place in the listing, -1 if it is not listed. */
extern int	po_listing_find(const PoListing *listing, int tenant);

/*
 * is_summed, one for each tenant, says whether "(other)" has published anything of it; set
 * when it leaves, and by whoever publishes.  Whoever joins brings its counters as they
 * are now, whoever leaves as they were published last.
 */
extern void po_listing_join(PoListing *listing, int tenant, int64_t now_us,
							const PoCounts *counts, const bool *is_summed);
extern void po_listing_leave(PoListing *listing, int tenant, const PoCounts *counts,
							 bool *is_summed);

/* Its counters were set to 0; was is what they had. */
extern void po_listing_reset(PoListing *listing, int tenant, const PoCounts *was,
							 const bool *is_summed);

/* What tenants had at the start: "(other)" begins at 0. */
extern void po_listing_begin(PoListing *listing, int tenant, const PoCounts *counts,
							 bool *is_summed);

/* What the tenant at a place publishes. */
extern void po_listing_publish(const PoListing *listing, int place, const PoCounts *counts,
							   PoCounts *published);

extern void po_counts_add(PoCounts *to, const PoCounts *from);
extern bool po_counts_any(const PoCounts *counts);

#endif							/* PO_LISTING_H */
