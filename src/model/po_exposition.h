/*
 * po_exposition.h
 *		Values as the Prometheus text format 0.0.4 wants them.
 *
 * See https://prometheus.io/docs/instrumenting/exposition_formats/.
 */
#ifndef PO_EXPOSITION_H
#define PO_EXPOSITION_H

#include "model/po_histogram.h"

/* A label's value between its quotes: backslash, quote and line feed are escaped.
 * to has room for twice the text and a NUL. */
extern void po_exposition_escape(char *to, const char *text);

#define PO_EXPOSITION_NUMBER_LEN	32

/* The shortest that reads back as the same. */
extern void po_exposition_number(char to[PO_EXPOSITION_NUMBER_LEN], double value);

/*
 * A histogram of durations with fewer buckets: cumulative[i] is how many were shorter
 * than 2^(first + i) us, for n of them, and cumulative[n] how many there are.  These
 * bounds are among those of PoHistogram, so nothing is estimated.
 */
extern void po_exposition_fold(const PoHistogram *h, int first, int n, int64_t *cumulative);

/* Of bucket i, in seconds. */
extern double po_exposition_bound(int first, int i);

#endif							/* PO_EXPOSITION_H */
