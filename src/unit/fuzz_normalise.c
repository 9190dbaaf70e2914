/*
 * fuzz_normalise.c
 *		Fuzzing what reads statements: whatever clients send, up to broken off anywhere.
 */
#include "model/po_normalise.h"

#include "fuzz.h"

/* Up to and with the quote that ends a name; the one that begins it has been read. */
static const char *
skip_name(const char *text)
{
	while (*text != '\0')
	{
		if (*text++ != '"')
			continue;
		if (*text != '"')
			break;
		text++;
	}
	return text;
}

static bool
continues_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '$' || ((unsigned char) c & 0x80) != 0;
}

/* No literal, no comment, no line break, wherever a name does not say otherwise. */
static void
must_be_normal(const char *text)
{
	char		before = ' ';

	while (*text != '\0')
	{
		char		c = *text++;

		if (c == '"')
		{
			text = skip_name(text);
			before = '"';
			continue;
		}
		must(c != '\'', "no string");
		must(c < '\t' || c > '\r', "no line break");
		must(!(c == '-' && *text == '-') && !(c == '/' && *text == '*'), "no comment");
		must(!(c >= '0' && c <= '9') || continues_word(before), "no number");
		before = c;
	}
}

/* The input: the size of what there is room for, and the statement. */
int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	size_t		room;
	size_t		length;
	char	   *text;
	char	   *longer;

	if (size < 2)
		return 0;
	room = bytes[0] + (size_t) bytes[1] * 8;
	text = malloc(room > 0 ? room : 1);
	longer = malloc(8 * size + 64);
	must(text != NULL && longer != NULL, "there is memory");
	length = po_normalise((const char *) bytes + 2, size - 2, text, room);
	must(room == 0 ? length == 0 : length < room, "it fits");
	must(room == 0 || text[length] == '\0', "it ends");
	length = po_normalise((const char *) bytes + 2, size - 2, longer, 8 * size + 64);
	must(length < 8 * size + 63, "there was room enough");
	/* In SQL there is no zero byte. */
	if (memchr(bytes + 2, '\0', size - 2) == NULL)
		must_be_normal(longer);
	free(text);
	free(longer);
	return 0;
}

static const FuzzSeed seeds[] = {
	SEED("\x40\x01SELECT a, 'b', 1.5e+3, E'c\\'d', $$e$$, $t$f$t$, $1, x'0F' FROM g"),
	SEED("\xFF\xFFSELECT \"a\"\"b\" /* c /* d */ */ -- e\n FROM f WHERE g IN (1, 2, 3, 4)"),
	SEED("\x10\x00INSERT INTO a VALUES ('b''c', NULL, true), (-1, .5, 0x1F);"),
	SEED("\xFF\xFFSELECT 'it\\'s', U&'d!0061' UESCAPE '!', n'a'\n'b'"),
	SEED("\xFF\xFF" "caf\xC3\xA9 = $12345678901234567890 AND a$b$ = 1_000::int[]"),
	SEED("\x00\x00SELECT 1"),
};

FUZZ_MAIN("fuzz_normalise", seeds)
