/*
 * po_exposition.c
 *		Values as the Prometheus text format 0.0.4 wants them.
 */
#include "model/po_exposition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
po_exposition_escape(char *to, const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (*text == '\\' || *text == '"' || *text == '\n')
			*to++ = '\\';
		*to++ = *text == '\n' ? 'n' : *text;
	}
	*to = '\0';
}

void
po_exposition_number(char to[PO_EXPOSITION_NUMBER_LEN], double value)
{
	if (isnan(value))
		strcpy(to, "NaN");
	else if (isinf(value))
		strcpy(to, value > 0 ? "+Inf" : "-Inf");
	else
	{
		for (int digits = 15; digits <= 17; digits++)
		{
			snprintf(to, PO_EXPOSITION_NUMBER_LEN, "%.*g", digits, value);
			if (strtod(to, NULL) == value)
				break;
		}
	}
}

void
po_exposition_fold(const PoHistogram *h, int first, int n, int64_t *cumulative)
{
	int			bucket = 0;
	uint64_t	total = 0;

	for (int i = 0; i < n; i++)
	{
		int			end = po_histogram_bucket(INT64_C(1) << (first + i));

		for (; bucket < end; bucket++)
			total += h->count[bucket];
		cumulative[i] = (int64_t) total;
	}
	for (; bucket < PO_HISTOGRAM_BUCKETS; bucket++)
		total += h->count[bucket];
	cumulative[n] = (int64_t) total;
}

double
po_exposition_bound(int first, int i)
{
	return (double) (INT64_C(1) << (first + i)) / (double) PO_US_PER_S;
}
