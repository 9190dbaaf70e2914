/*
 * po_listing.c
 *		Which tenants have metrics of their own, and what is left for "(other)".
 */
#include "model/po_listing.h"

#include <string.h>

/* A newcomer must be higher than whom it displaces by so much. */
#define HIGHER_FACTOR	1.25
#define HIGHER_BY		0.5

void
po_counts_add(PoCounts *to, const PoCounts *from)
{
	for (int i = 0; i < PO_LISTED_COUNTS; i++)
		to->count[i] += from->count[i];
}

bool
po_counts_any(const PoCounts *counts)
{
	for (int i = 0; i < PO_LISTED_COUNTS; i++)
	{
		if (counts->count[i] != 0)
			return true;
	}
	return false;
}

static void
subtract(PoCounts *from, const PoCounts *what)
{
	for (int i = 0; i < PO_LISTED_COUNTS; i++)
		from->count[i] -= what->count[i];
}

int
po_listing_find(const PoListing *l, int tenant)
{
	for (int i = 0; i < l->n; i++)
	{
		if (l->listed[i].tenant == tenant)
			return i;
	}
	return -1;
}

/* ---------- who is listed ---------- */

/* Those listed that stay, while it is being decided. */
typedef struct Staying
{
	int			n;
	const PoListed *listed[PO_LISTED_MOST];
} Staying;

static double
score_of(const double *score, int n_tenants, int tenant)
{
	return tenant >= 0 && tenant < n_tenants ? score[tenant] : -1;
}

/* The lowest of those that may be displaced, -1 if none may. */
static int
lowest(const Staying *s, const double *score, bool any, int64_t now_us)
{
	int			found = -1;

	for (int i = 0; i < s->n; i++)
	{
		const PoListed *who = s->listed[i];
		double		its = score[who->tenant];

		if (!any && its > 0 && now_us - who->since_us < PO_LISTED_KEEP_US)
			continue;
		if (found < 0 || its < score[s->listed[found]->tenant])
			found = i;
	}
	return found;
}

static void
let_go(Staying *s, int place, PoListingChange *change)
{
	change->leave[change->n_leave++] = s->listed[place]->tenant;
	s->listed[place] = s->listed[--s->n];
}

/* The highest that are not listed, in order, at most max. */
static int
find_highest(const PoListing *l, const double *score, int n_tenants, int max, int *highest)
{
	int			n = 0;

	for (int i = 0; i < n_tenants; i++)
	{
		int			at = n;

		if (!(score[i] >= 0) || (n == max && (n == 0 || score[i] <= score[highest[n - 1]])) ||
			po_listing_find(l, i) >= 0)
			continue;
		while (at > 0 && score[i] > score[highest[at - 1]])
			at--;
		if (n < max)
			n++;
		memmove(&highest[at + 1], &highest[at], (n - 1 - at) * sizeof(int));
		highest[at] = i;
	}
	return n;
}

void
po_listing_choose(const PoListing *l, const double *score, int n_tenants, int limit,
				  int64_t now_us, PoListingChange *change)
{
	Staying		stay;
	int			highest[PO_LISTED_MOST];
	int			n_highest;
	int			place;

	stay.n = 0;
	change->n_leave = change->n_join = 0;
	for (int i = 0; i < l->n; i++)
	{
		const PoListed *who = &l->listed[i];

		if (score_of(score, n_tenants, who->tenant) >= 0)
			stay.listed[stay.n++] = who;
		else
			change->leave[change->n_leave++] = who->tenant;
	}
	while (stay.n > limit)
		let_go(&stay, lowest(&stay, score, true, now_us), change);
	n_highest = find_highest(l, score, n_tenants, limit, highest);
	for (int i = 0; i < n_highest; i++)
	{
		if (stay.n + change->n_join >= limit)
		{
			place = lowest(&stay, score, false, now_us);
			if (place < 0 || score[highest[i]] <=
				score[stay.listed[place]->tenant] * HIGHER_FACTOR + HIGHER_BY)
				break;
			let_go(&stay, place, change);
		}
		change->join[change->n_join++] = highest[i];
	}
}

/* ---------- what is counted ---------- */

void
po_listing_join(PoListing *l, int tenant, int64_t now_us, const PoCounts *counts,
				const bool *is_summed)
{
	PoListed   *who;

	if (l->n >= PO_LISTED_MOST || po_listing_find(l, tenant) >= 0)
		return;
	who = &l->listed[l->n++];
	who->tenant = tenant;
	who->since_us = now_us;
	memset(&who->base, 0, sizeof(who->base));
	if (!is_summed[tenant])
		return;
	who->base = *counts;
	po_counts_add(&l->other, counts);
}

void
po_listing_leave(PoListing *l, int tenant, const PoCounts *counts, bool *is_summed)
{
	int			place = po_listing_find(l, tenant);

	if (place < 0)
		return;
	l->listed[place] = l->listed[--l->n];
	subtract(&l->other, counts);
	is_summed[tenant] = true;
}

void
po_listing_reset(PoListing *l, int tenant, const PoCounts *was, const bool *is_summed)
{
	int			place = po_listing_find(l, tenant);

	if (place >= 0)
		memset(&l->listed[place].base, 0, sizeof(PoCounts));
	else if (is_summed[tenant])
		po_counts_add(&l->other, was);
}

void
po_listing_begin(PoListing *l, int tenant, const PoCounts *counts, bool *is_summed)
{
	subtract(&l->other, counts);
	is_summed[tenant] = true;
}

void
po_listing_publish(const PoListing *l, int place, const PoCounts *counts, PoCounts *published)
{
	const PoCounts *base = &l->listed[place].base;

	for (int i = 0; i < PO_LISTED_COUNTS; i++)
		published->count[i] = counts->count[i] > base->count[i] ?
			counts->count[i] - base->count[i] : 0;
}
