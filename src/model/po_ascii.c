/*
 * po_ascii.c
 *		JSON in ASCII, whatever bytes a name has.
 */
#include "model/po_ascii.h"

#include <stdio.h>
#include <string.h>

/* Of how many bytes the character at text is, 0 = it is none; its number. */
static int
decode(const unsigned char *text, uint32_t *character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	int			n = text[0] < 0x80 ? 1 : text[0] >= 0xF8 ? 0 : text[0] >= 0xF0 ? 4 :
		text[0] >= 0xE0 ? 3 : text[0] >= 0xC0 ? 2 : 0;

	if (n <= 1)
	{
		*character = text[0];
		return n;
	}
	*character = text[0] & (0xFFu >> (n + 1));
	for (int i = 1; i < n; i++)
	{
		/* The final NUL is no continuation. */
		if ((text[i] & 0xC0) != 0x80)
			return 0;
		*character = *character << 6 | (text[i] & 0x3F);
	}
	if (*character < least[n] || *character > 0x10FFFF ||
		(*character >= 0xD800 && *character < 0xE000))
		return 0;
	return n;
}

/* One character to out, which has room for 13 bytes; its length. */
static size_t
encode(uint32_t character, bool is_json, char *out)
{
	if (character < 0x80)
	{
		size_t		n = 0;

		if (!is_json && (character == '"' || character == '\\'))
			out[n++] = '\\';
		/* Control characters are in neither; NUL ends the text. */
		if (character < 0x20 || character == 0x7F)
			character = is_json && character < 0x7F ? ' ' : '?';
		out[n++] = (char) character;
		out[n] = '\0';
		return n;
	}
	if (character < 0x10000)
		return (size_t) snprintf(out, 13, "\\u%04x", (unsigned int) character);
	character -= 0x10000;
	return (size_t) snprintf(out, 13, "\\u%04x\\u%04x", 0xD800 + (unsigned int) (character >> 10),
							 0xDC00 + (unsigned int) (character & 0x3FF));
}

/* As much of text as fits; where it ended goes to *rest. */
static size_t
convert(char *to, size_t size, const char *text, bool is_json, const char **rest)
{
	const unsigned char *at = (const unsigned char *) text;
	size_t		used = 0;

	while (*at != '\0')
	{
		char		out[13];
		uint32_t	character;
		int			n = decode(at, &character);
		size_t		length = encode(n == 0 ? '?' : character, is_json, out);

		if (used + length > size)
			break;
		memcpy(to + used, out, length);
		used += length;
		at += n == 0 ? 1 : n;
	}
	*rest = (const char *) at;
	return used;
}

size_t
po_ascii_string(char *to, size_t size, const char *text)
{
	const char *rest;
	size_t		used = 0;

	if (size < 3)
	{
		if (size > 0)
			to[0] = '\0';
		return 0;
	}
	to[used++] = '"';
	used += convert(to + used, size - 3, text, false, &rest);
	to[used++] = '"';
	to[used] = '\0';
	return used;
}

size_t
po_ascii_json(char *to, size_t size, const char *json)
{
	const char *rest;
	size_t		used;

	if (size < 3)
		return po_ascii_string(to, size, "");
	used = convert(to, size - 1, json, true, &rest);
	if (*rest != '\0' || used == 0)
		used = (size_t) snprintf(to, size, "{}");
	to[used] = '\0';
	return used;
}
