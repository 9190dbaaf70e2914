/*
 * po_text.c
 *		Text of others, character by character; see po_text.h.
 */
#include "postgres.h"

#include "catalog/namespace.h"

#include "po_text.h"

/*
 * From an encoding that is neither UTF-8 nor unknown.  Some have bytes that stand for no
 * character (0x81 of WIN1252), where pg_server_to_any would fail.
 */
static char *
convert(const char *text)
{
	int			encoding = GetDatabaseEncoding();
	Oid			proc = FindDefaultConversionProc(encoding, PG_UTF8);
	int			left = (int) strlen(text);
	int			size = left * MAX_CONVERSION_GROWTH + 1;
	char	   *to = palloc(size);
	int			length = 0;

	if (!OidIsValid(proc))
		elog(ERROR, "no conversion from %s to UTF8", GetDatabaseEncodingName());
	for (;;)
	{
		int			done = pg_do_encoding_conversion_buf(proc, encoding, PG_UTF8,
														 (unsigned char *) unconstify(char *, text),
														 left, (unsigned char *) to + length,
														 size - length, true);

		length += (int) strlen(to + length);
		if (done >= left)
			return to;
		done += Min(pg_encoding_mblen(encoding, text + done), left - done);
		text += done;
		left -= done;
		to[length++] = '?';
	}
}

char *
po_text_utf8(const char *text)
{
	char	   *copy;

	if (GetDatabaseEncoding() != PG_SQL_ASCII && GetDatabaseEncoding() != PG_UTF8)
		return convert(text);
	/* Also in a database of UTF-8: a role's name may come from one of another encoding. */
	copy = pstrdup(text);
	if (pg_verify_mbstr(PG_UTF8, copy, (int) strlen(copy), true))
		return copy;
	for (char *c = copy; *c != '\0'; c++)
	{
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	}
	return copy;
}

pg_wchar
po_text_next(const char **utf8)
{
	pg_wchar	c = utf8_to_unicode((const unsigned char *) *utf8);

	*utf8 += pg_encoding_mblen(PG_UTF8, *utf8);
	return c;
}

bool
po_text_is_treacherous(pg_wchar c)
{
	return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x061C || c == 0x180E ||
		(c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
		(c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF0 && c <= 0xFFFB) ||
		(c >= 0xE0000 && c <= 0xE0FFF);
}
