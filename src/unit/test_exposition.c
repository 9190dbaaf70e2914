/*
 * test_exposition.c
 *		Escapes, numbers and buckets of the Prometheus text format.
 */
#include "model/po_exposition.h"

#include <stdlib.h>

#include "check.h"

static const char *
escaped(const char *text)
{
	static char to[600];

	po_exposition_escape(to, text);
	return to;
}

static void
test_escape(void)
{
	CHECK_TEXT(escaped(""), "");
	CHECK_TEXT(escaped("app@db"), "app@db");
	CHECK_TEXT(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
	CHECK_TEXT(escaped("\\n"), "\\\\n");
	CHECK_TEXT(escaped("{}='%s' <script>\r\t\x01"), "{}='%s' <script>\r\t\x01");
	CHECK_TEXT(escaped("\xC3\xA4\xE2\x98\x83"), "\xC3\xA4\xE2\x98\x83");
}

/* Whatever the name, it reads back as it was, and ends neither the value nor the line. */
static void
test_escape_reads_back(void)
{
	static const char letters[] = "\\\"\nn a{},=";

	for (int run = 0; run < 5000; run++)
	{
		char		text[256];
		char		back[256];
		const char *from;
		int			n = random_below((int) sizeof(text));
		int			m = 0;

		for (int i = 0; i < n; i++)
			text[i] = letters[random_below((int) sizeof(letters) - 1)];
		text[n] = '\0';
		from = escaped(text);
		CHECK(strlen(from) <= 2 * strlen(text));
		for (; *from != '\0'; from++)
		{
			CHECK(*from != '\n' && *from != '"');
			if (*from == '\\')
			{
				from++;
				back[m++] = *from == 'n' ? '\n' : *from;
			}
			else
				back[m++] = *from;
		}
		back[m] = '\0';
		CHECK_TEXT(back, text);
	}
}

static const char *
number(double value)
{
	static char to[PO_EXPOSITION_NUMBER_LEN];

	po_exposition_number(to, value);
	return to;
}

static void
test_number(void)
{
	CHECK_TEXT(number(0), "0");
	CHECK_TEXT(number(42), "42");
	CHECK_TEXT(number(0.1), "0.1");
	CHECK_TEXT(number(-0.000128), "-0.000128");
	CHECK_TEXT(number(67.108864), "67.108864");
	CHECK_TEXT(number(123456789012345.0), "123456789012345");
	CHECK_TEXT(number(9007199254740993.0), "9007199254740992");
	CHECK_TEXT(number(INFINITY), "+Inf");
	CHECK_TEXT(number(-INFINITY), "-Inf");
	CHECK_TEXT(number(NAN), "NaN");
	for (int run = 0; run < 20000; run++)
	{
		double		value = random_odd_double();

		if (!isnan(value) && !isinf(value))
			CHECK(strtod(number(value), NULL) == value);
	}
}

static void
test_fold(void)
{
	PoHistogram h;
	int64_t		cumulative[21];

	memset(&h, 0, sizeof(h));
	h.count[po_histogram_bucket(0)] = 1;
	h.count[po_histogram_bucket(127)] += 2;
	h.count[po_histogram_bucket(128)] += 4;
	h.count[po_histogram_bucket(255)] += 8;
	h.count[po_histogram_bucket(67108863)] += 16;
	h.count[po_histogram_bucket(67108864)] += 32;
	h.count[PO_HISTOGRAM_BUCKETS - 1] += 64;
	po_exposition_fold(&h, 7, 20, cumulative);
	CHECK_INT(cumulative[0], 3);
	CHECK_INT(cumulative[1], 15);
	CHECK_INT(cumulative[18], 15);
	CHECK_INT(cumulative[19], 31);
	CHECK_INT(cumulative[20], 127);
	CHECK_NEAR(po_exposition_bound(7, 0), 0.000128, 0);
	CHECK_NEAR(po_exposition_bound(7, 19), 67.108864, 0);
}

/* Each value is in the buckets it must be in, and no bucket has fewer than the one before. */
static void
test_fold_is_exact(void)
{
	for (int run = 0; run < 200; run++)
	{
		PoHistogram h;
		int64_t		cumulative[21];
		int64_t		expected[21];

		memset(&h, 0, sizeof(h));
		memset(expected, 0, sizeof(expected));
		for (int i = 0; i < 100; i++)
		{
			int64_t		us = random_odd_int64();

			h.count[po_histogram_bucket(us)]++;
			for (int b = 0; b < 20; b++)
				expected[b] += us < (INT64_C(1) << (7 + b)) ? 1 : 0;
			expected[20]++;
		}
		po_exposition_fold(&h, 7, 20, cumulative);
		for (int b = 0; b <= 20; b++)
			CHECK_INT(cumulative[b], expected[b]);
	}
}

int
main(void)
{
	test_escape();
	test_escape_reads_back();
	test_number();
	test_fold();
	test_fold_is_exact();
	return check_end("test_exposition");
}
