/*
 * test_ascii.c
 *		JSON in ASCII: what comes out reads back as what went in, whatever that is.
 */
#include "model/po_ascii.h"

#include <stdlib.h>

#include "check.h"

static void
check_string(const char *text, const char *expected)
{
	char		out[200];

	CHECK_INT(po_ascii_string(out, sizeof(out), text), (long long) strlen(expected));
	CHECK_TEXT(out, expected);
}

static void
test_known(void)
{
	char		out[64];

	check_string("", "\"\"");
	check_string("a@b", "\"a@b\"");
	check_string("a\"b\\c", "\"a\\\"b\\\\c\"");
	check_string("<script>", "\"<script>\"");
	check_string("\xc3\xa9", "\"\\u00e9\"");
	check_string("\xe2\x82\xac", "\"\\u20ac\"");
	check_string("\xf0\x9f\x98\x80", "\"\\ud83d\\ude00\"");
	check_string("\n\t\x7f", "\"???\"");
	/* No UTF-8: alone, cut, overlong, a surrogate, beyond the last. */
	check_string("\xe9x", "\"?x\"");
	check_string("x\xe2\x82", "\"x??\"");
	check_string("\xc0\xaf", "\"??\"");
	check_string("\xed\xa0\x80", "\"???\"");
	check_string("\xf4\x90\x80\x80", "\"????\"");
	check_string("\xff", "\"?\"");
	CHECK_INT(po_ascii_json(out, sizeof(out), "{\"a\": \"\xc3\xa9\\n\"}"), 17);
	CHECK_TEXT(out, "{\"a\": \"\\u00e9\\n\"}");
	CHECK_INT(po_ascii_json(out, 10, "{\"a\": \"\xc3\xa9\"}"), 2);
	CHECK_TEXT(out, "{}");
	CHECK_INT(po_ascii_json(out, 10, ""), 2);
	CHECK_INT(po_ascii_string(out, 2, "x"), 0);
	CHECK_INT(po_ascii_string(out, 3, "x"), 2);
	CHECK_TEXT(out, "\"\"");
	/* Cut at a character, not within one. */
	CHECK_INT(po_ascii_string(out, 12, "ab\xf0\x9f\x98\x80"), 4);
	CHECK_TEXT(out, "\"ab\"");
}

/* What a reader of JSON makes of it; only what is written here. */
static size_t
read_back(const char *json, char *to)
{
	size_t		n = 0;
	const char *at = json + 1;

	while (*at != '"')
	{
		uint32_t	c = (unsigned char) *at++;

		if (c == '\\' && *at != 'u')
			c = (unsigned char) *at++;
		else if (c == '\\')
		{
			c = (uint32_t) strtoul((char[5]) {at[1], at[2], at[3], at[4], 0}, NULL, 16);
			at += 5;
			if (c >= 0xD800 && c < 0xDC00)
			{
				uint32_t	low = (uint32_t) strtoul((char[5]) {at[2], at[3], at[4], at[5], 0},
													 NULL, 16);

				CHECK(at[0] == '\\' && at[1] == 'u' && low >= 0xDC00 && low < 0xE000);
				c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
				at += 6;
			}
		}
		if (c < 0x80)
			to[n++] = (char) c;
		else if (c < 0x800)
		{
			to[n++] = (char) (0xC0 | c >> 6);
			to[n++] = (char) (0x80 | (c & 0x3F));
		}
		else if (c < 0x10000)
		{
			to[n++] = (char) (0xE0 | c >> 12);
			to[n++] = (char) (0x80 | (c >> 6 & 0x3F));
			to[n++] = (char) (0x80 | (c & 0x3F));
		}
		else
		{
			to[n++] = (char) (0xF0 | c >> 18);
			to[n++] = (char) (0x80 | (c >> 12 & 0x3F));
			to[n++] = (char) (0x80 | (c >> 6 & 0x3F));
			to[n++] = (char) (0x80 | (c & 0x3F));
		}
	}
	to[n] = '\0';
	return n;
}

static size_t
put_character(uint32_t c, char *to)
{
	char		json[16];
	char		wide[20];

	/* By way of the reader: it is the plainer of the two. */
	if (c < 0x10000)
		snprintf(json, sizeof(json), "\\u%04x", (unsigned int) c);
	else
		snprintf(json, sizeof(json), "\\u%04x\\u%04x",
				 0xD800 + (unsigned int) ((c - 0x10000) >> 10),
				 0xDC00 + (unsigned int) ((c - 0x10000) & 0x3FF));
	snprintf(wide, sizeof(wide), "\"%s\"", json);
	return read_back(wide, to);
}

static void
test_round_trip(void)
{
	for (int round = 0; round < 20000; round++)
	{
		char		text[300];
		char		out[PO_ASCII_ROOM(300)];
		char		again[400];
		size_t		n = 0;

		for (int i = random_below(40); i > 0; i--)
		{
			uint32_t	c = (uint32_t) (random_below(4) ? random_below(0x110000) :
										random_below(0x100));

			if (c < 0x20 || c == 0x7F || (c >= 0xD800 && c < 0xE000))
				continue;
			n += put_character(c, text + n);
		}
		text[n] = '\0';
		(void) po_ascii_string(out, sizeof(out), text);
		for (const char *p = out; *p != '\0'; p++)
			CHECK(*p >= 0x20 && *p < 0x7F);
		(void) read_back(out, again);
		CHECK_TEXT(again, text);
	}
}

/* Any bytes and any room: ASCII, ended, and never beyond its end. */
static void
test_any_bytes(void)
{
	for (int round = 0; round < 20000; round++)
	{
		size_t		n = (size_t) random_below(40);
		size_t		size = (size_t) random_below(60);
		char	   *text = malloc(n + 1);
		char	   *out = malloc(size + 1);
		size_t		used;

		random_fill(text, n);
		text[n] = '\0';
		used = round % 2 ? po_ascii_string(out, size, text) : po_ascii_json(out, size, text);
		CHECK(size == 0 || (used < size && out[used] == '\0' && strlen(out) == used));
		for (size_t i = 0; size > 0 && i < used; i++)
			CHECK(out[i] >= 0x20 && out[i] < 0x7F);
		free(text);
		free(out);
	}
}

int
main(void)
{
	test_known();
	test_round_trip();
	test_any_bytes();
	return check_end("test_ascii");
}
