/*
 * po_normalise.c
 *		The text of a statement without its constants, comments and line breaks.
 *
 * A lexer of its own, as core's needs a server and says nothing of comments.  It errs
 * on the safe side: what might be a part of a literal is not written.
 */
#include "model/po_normalise.h"

#include <stdio.h>
#include <string.h>

#define LIST_SHOWN	3			/* values of a list; the others become "..." */

typedef enum Kind
{
	KIND_END,
	KIND_SPACE,					/* comments are space */
	KIND_WORD,					/* identifiers and keywords, also in double quotes */
	KIND_VALUE,					/* a literal */
	KIND_PARAMETER,
	KIND_OTHER,					/* one character */
	KIND_UNSURE					/* where the literal ends depends on settings */
} Kind;

typedef struct Input
{
	const char *sql;
	size_t		length;
	size_t		at;
} Input;

typedef struct Output
{
	char	   *text;
	size_t		size;
	size_t		used;
	bool		is_full;
} Output;

/* ---------- reading ---------- */

/* NUL beyond the end, which stands for nothing in SQL. */
static char
peek(const Input *in, size_t ahead)
{
	return ahead < in->length - in->at ? in->sql[in->at + ahead] : '\0';
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
begins_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		((unsigned char) c & 0x80) != 0;
}

static bool
continues_word(char c)
{
	return begins_word(c) || is_digit(c) || c == '$';
}

static void
skip_line(Input *in)
{
	while (in->at < in->length && in->sql[in->at] != '\n' && in->sql[in->at] != '\r')
		in->at++;
}

/* Such comments nest. */
static void
skip_comment(Input *in)
{
	int			depth = 0;

	do
	{
		if (peek(in, 0) == '/' && peek(in, 1) == '*')
		{
			depth++;
			in->at += 2;
		}
		else if (peek(in, 0) == '*' && peek(in, 1) == '/')
		{
			depth--;
			in->at += 2;
		}
		else
			in->at++;
	} while (depth > 0 && in->at < in->length);
}

static bool
skip_space(Input *in)
{
	size_t		from = in->at;

	for (;;)
	{
		if (in->at < in->length && is_space(in->sql[in->at]))
			in->at++;
		else if (peek(in, 0) == '-' && peek(in, 1) == '-')
			skip_line(in);
		else if (peek(in, 0) == '/' && peek(in, 1) == '*')
			skip_comment(in);
		else
			return in->at > from;
	}
}

/* Up to and with the quote that ends it; the first one has been read. */
static void
skip_quoted(Input *in, char quote)
{
	while (in->at < in->length)
	{
		if (in->sql[in->at++] != quote)
			continue;
		if (peek(in, 0) != quote)
			return;
		in->at++;
	}
}

static void
skip_escaped(Input *in)
{
	while (in->at < in->length)
	{
		char		c = in->sql[in->at++];

		if (c == '\\' && in->at < in->length)
			in->at++;
		else if (c == '\'')
		{
			if (peek(in, 0) != '\'')
				return;
			in->at++;
		}
	}
}

/* A plain string: whether a backslash escapes the quote after it is a setting. */
static Kind
read_string(Input *in)
{
	size_t		from = in->at;
	bool		odd = false;	/* backslashes just before */

	skip_quoted(in, '\'');
	for (size_t i = from; i < in->at; i++)
	{
		if (in->sql[i] == '\'' && odd)
			return KIND_UNSURE;
		odd = in->sql[i] == '\\' && !odd;
	}
	return KIND_VALUE;
}

/* "$tag$ ... $tag$", a parameter, or a dollar sign. */
static Kind
read_dollar(Input *in)
{
	size_t		from = in->at++;
	size_t		tag;

	if (is_digit(peek(in, 0)))
	{
		while (is_digit(peek(in, 0)))
			in->at++;
		return KIND_PARAMETER;
	}
	while (begins_word(peek(in, 0)) || (in->at > from + 1 && is_digit(peek(in, 0))))
		in->at++;
	if (peek(in, 0) != '$')
	{
		in->at = from + 1;
		return KIND_OTHER;
	}
	tag = ++in->at - from;
	while (in->at < in->length)
	{
		if (in->sql[in->at] == '$' && in->length - in->at >= tag &&
			memcmp(in->sql + in->at, in->sql + from, tag) == 0)
		{
			in->at += tag;
			return KIND_VALUE;
		}
		in->at++;
	}
	return KIND_VALUE;
}

/* Takes more than is a number: letters that touch it are of no use to a reader. */
static Kind
read_number(Input *in)
{
	bool		radix = peek(in, 0) == '0' && begins_word(peek(in, 1));

	while (in->at < in->length)
	{
		char		c = in->sql[in->at];

		if (!radix && (c == 'e' || c == 'E') && (peek(in, 1) == '+' || peek(in, 1) == '-'))
			in->at++;
		else if (!continues_word(c) && c != '.')
			break;
		in->at++;
	}
	return KIND_VALUE;
}

static bool
is_word(const char *word, size_t n, const char *lower)
{
	if (strlen(lower) != n)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		if ((word[i] | 0x20) != lower[i])
			return false;
	}
	return true;
}

/* A word, or a string with a letter before its quote. */
static Kind
read_word(Input *in)
{
	size_t		from = in->at;
	size_t		n;

	while (in->at < in->length && continues_word(in->sql[in->at]))
		in->at++;
	n = in->at - from;
	if (n == 1 && peek(in, 0) == '\'' && strchr("eEbBxXnN", in->sql[from]) != NULL)
	{
		in->at++;
		if (is_word(in->sql + from, n, "e"))
			skip_escaped(in);
		else
			return read_string(in);
		return KIND_VALUE;
	}
	if (is_word(in->sql + from, n, "u") && peek(in, 0) == '&' && peek(in, 1) == '\'')
	{
		in->at += 2;
		skip_quoted(in, '\'');
		return KIND_VALUE;
	}
	return is_word(in->sql + from, n, "true") || is_word(in->sql + from, n, "false") ?
		KIND_VALUE : KIND_WORD;
}

static Kind
next_token(Input *in, size_t *from)
{
	char		c;

	*from = in->at;
	if (skip_space(in))
		return KIND_SPACE;
	if (in->at >= in->length)
		return KIND_END;
	c = in->sql[in->at];
	if (begins_word(c))
		return read_word(in);
	if (is_digit(c) || (c == '.' && is_digit(peek(in, 1))))
		return read_number(in);
	if (c == '$')
		return read_dollar(in);
	in->at++;
	if (c == '\'')
		return read_string(in);
	if (c != '"')
		return KIND_OTHER;
	skip_quoted(in, '"');
	return KIND_WORD;
}

/* ---------- writing ---------- */

static void
put(Output *out, const char *bytes, size_t n)
{
	size_t		room = out->size - 1 - out->used;

	if (n > room)
	{
		n = room;
		out->is_full = true;
	}
	memcpy(out->text + out->used, bytes, n);
	out->used += n;
}

static void
put_parameter(Output *out, unsigned long number)
{
	char		text[32];

	put(out, text, (size_t) snprintf(text, sizeof(text), "$%lu", number));
}

/* Where to number on from. */
static unsigned long
last_parameter(Input in)
{
	unsigned long last = 0;
	size_t		from;
	Kind		kind;

	while ((kind = next_token(&in, &from)) != KIND_END && kind != KIND_UNSURE)
	{
		unsigned long number = 0;

		if (kind != KIND_PARAMETER)
			continue;
		for (size_t i = from + 1; i < in.at && number < 100000; i++)
			number = number * 10 + (unsigned long) (in.sql[i] - '0');
		if (number > last)
			last = number;
	}
	return last;
}

/* A list of values: how many there were, and what is held back after the last shown. */
typedef struct List
{
	int			n;
	bool		comma;			/* the last token, without space, was one */
	bool		space;			/* before the next token */
} List;

/* Before a token other than space; false if it must not be written. */
static bool
begin_token(Output *out, List *list, bool is_value)
{
	bool		hidden = is_value && list->comma && list->n >= LIST_SHOWN;

	if (list->comma && hidden && list->n == LIST_SHOWN)
		put(out, ", ...", 5);
	else if (list->comma && !hidden)
		put(out, ",", 1);
	if (list->space && !hidden && out->used > 0)
		put(out, " ", 1);
	if (!is_value || !list->comma)
		list->n = 0;
	list->n += is_value;
	list->comma = list->space = false;
	return !hidden;
}

size_t
po_normalise(const char *sql, size_t length, char *out_text, size_t size)
{
	Input		in = {sql, length, 0};
	Output		out = {out_text, size, 0, false};
	List		list = {0, false, false};
	unsigned long number;
	size_t		from;

	if (size == 0)
		return 0;
	number = last_parameter(in);
	while (!out.is_full)
	{
		Kind		kind = next_token(&in, &from);
		bool		is_value = kind == KIND_VALUE || kind == KIND_PARAMETER;

		if (kind == KIND_END)
			break;
		if (kind == KIND_SPACE)
			list.space = true;
		else if (kind == KIND_OTHER && sql[from] == ',' && list.n > 0 && !list.comma)
		{
			list.comma = true;
			list.space = false;
		}
		else if (begin_token(&out, &list, is_value))
		{
			if (kind == KIND_VALUE || kind == KIND_UNSURE)
				put_parameter(&out, ++number);
			else
				put(&out, sql + from, in.at - from);
		}
		if (kind == KIND_UNSURE)
		{
			put(&out, " ...", 4);
			break;
		}
	}
	while (out.used > 0 && (out_text[out.used - 1] == ';' || out_text[out.used - 1] == ' '))
		out.used--;
	out_text[out.used] = '\0';
	return out.used;
}
