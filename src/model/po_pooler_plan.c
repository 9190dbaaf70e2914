/*
 * po_pooler_plan.c
 *		How far to resize a pool at a time, whether it gets there, and where to write it.
 */
#include "model/po_pooler_plan.h"

#include <stdio.h>
#include <string.h>

#define NEARLY			8
#define STALLED_FOR_US		(3600 * PO_US_PER_S)

int
po_pooler_share(int size, int n, int index)
{
	int			share;

	if (n <= 1 || size <= 1)
		return size;
	share = size / n + (index < size % n);
	return share > 1 ? share : 1;
}

/* Those whose clients wait want all there is, and so does the one at that place (-1 = no more);
 * others want what they have. */
static void
share_out(int size, const PoPoolerUse *use, int n, int place, PoShare *shares,
		  PoShareMark *marks)
{
	for (int i = 0; i < n; i++)
		shares[i] = (PoShare) {1, 1, PO_UNLIMITED,
			use[i].waits || i == place ? PO_UNLIMITED : use[i].open, 0};
	(void) po_share(shares, n, size, marks);
}

int
po_pooler_part(int size, int from, const PoPoolerUse *use, int n, int index,
			   PoShare *shares, PoShareMark *marks)
{
	int			equal = po_pooler_share(size, n, index);
	int			most;			/* if its clients waited, too */
	int			least;

	if (n <= 1)
		return size;
	share_out(size, use, n, index, shares, marks);
	most = shares[index].share > 1 ? shares[index].share : 1;
	if (use[index].waits)
		return most;
	least = use[index].open > equal ? use[index].open : equal;
	if (least > most)
		least = most;
	return from < least ? least : from > most ? most : from;
}

int
po_pooler_common(int size, const PoPoolerUse *use, int n, PoShare *shares, PoShareMark *marks)
{
	int			common = 0;		/* the least of those who wait */
	bool		any_waits = false;
	int			largest = 0;	/* place of the one that has most */

	for (int i = 0; i < n; i++)
	{
		any_waits = any_waits || use[i].waits;
		if (use[i].open > use[largest].open)
			largest = i;
	}
	share_out(size, use, n, any_waits ? -1 : largest, shares, marks);
	if (!any_waits)
		common = shares[largest].share;
	for (int i = 0; i < n; i++)
	{
		if (use[i].waits && (common == 0 || shares[i].share < common))
			common = shares[i].share;
	}
	return common > 1 ? common : 1;
}

int
po_pooler_pooled(int sessions, int others)
{
	return others > 0 && others < sessions - others ? sessions - others : sessions;
}

int
po_pooler_next_size(int current, int wanted, int step_up, int step_down)
{
	if (wanted < 1)
		wanted = 1;
	/* No limit so far: nothing to go on from. */
	if (current < 1)
		return wanted;
	if (step_up > 0 && wanted > current && wanted - current > step_up)
		return current + step_up;
	if (step_down > 0 && wanted < current && current - wanted > step_down)
		return current - step_down;
	return wanted;
}

bool
po_pooler_is_near(int64_t open, int wanted)
{
	int64_t		off = open > wanted ? open - wanted : wanted - open;

	return off * NEARLY <= wanted;
}

bool
po_pooler_min_differs(int current, int wanted)
{
	return current >= 0 && (wanted - current > current / 4 || wanted < current - current / 2);
}

/* ---------- pools that get no more connections ---------- */

bool
po_pooler_stalls(PoPoolerStall *stall, int open, bool wants_more, bool works, int64_t now_us,
				 int64_t patience_us)
{
	bool		was_known = stall->obtainable > 0;
	int64_t		passed = stall->last > 0 && now_us > stall->last ? now_us - stall->last : 0;

	stall->last = now_us;
	if (!works && stall->since > 0)
		stall->since += passed;

	if (was_known && (open > stall->obtainable || (!wants_more && now_us >= stall->until)))
		{
		stall->obtainable = 0;
		stall->since = 0;
	}
	if (!wants_more)
	{
		stall->since = 0;
		return false;
	}
	/* Connections that end and are opened again are no growth. */
	if (stall->since == 0 || open > stall->most || now_us < stall->since)
	{
		stall->since = now_us;
		stall->most = open;
	}
	if (stall->obtainable > 0)
		stall->until = now_us + STALLED_FOR_US;
	else if (open > 0 && now_us - stall->since >= patience_us)
	{
		stall->obtainable = stall->most;
		stall->until = now_us + STALLED_FOR_US;
	}
	return stall->obtainable > 0 && !was_known;
}

/* ---------- what is in the way ---------- */

#define INCLUDE		"pool_optimizer.pgbouncer_include"
#define BETWEEN		"put its entry between the marks of a file " INCLUDE

const char *
po_pooler_problem_text(PoResizeProblem problem)
{
	switch (problem)
	{
		case PO_RESIZE_OK:
			break;
		case PO_RESIZE_SESSION_MODE:
			return "its pool_mode is session, and sizes are recommended for transaction mode";
		case PO_RESIZE_ONE_OF_MANY:
			return "with so_reuseport this is one of several processes: name each one in "
				"pool_optimizer.pgbouncer_conninfo by its own Unix socket, or by a port of its own "
				"without so_reuseport";
		case PO_RESIZE_OTHERS:
			return "there are others, and SET would change them all: " BETWEEN;
		case PO_RESIZE_OWN_SIZE:
			return "it has a pool_size of its own: " BETWEEN;
		case PO_RESIZE_SET_IGNORED:
			return "SET default_pool_size had no effect on it";
		case PO_RESIZE_FILE_IGNORED:
			return "what was set had no effect on it: does PgBouncer %include " INCLUDE
				", after all other entries?";
		case PO_RESIZE_REFUSED:
			return "PgBouncer refused the command";
		case PO_RESIZE_FILE_UNOPENED:
			return "the file " INCLUDE " cannot be opened";
		case PO_RESIZE_FILE_UNREAD:
			return "the file " INCLUDE " cannot be read";
		case PO_RESIZE_FILE_IRREGULAR:
			return INCLUDE " is no regular file of reasonable size";
		case PO_RESIZE_FILE_ACL:
			return INCLUDE " has an ACL, which would be lost: let its owner or its group have the "
				"rights";
		case PO_RESIZE_FILE_UNCREATED:
			return "no file can be created beside " INCLUDE;
		case PO_RESIZE_FILE_UNWRITTEN:
			return "a file of the same owner cannot be written beside " INCLUDE;
		case PO_RESIZE_FILE_CHANGED:
			return INCLUDE " has changed meanwhile, or is a link";
		case PO_RESIZE_FILE_UNREPLACED:
			return INCLUDE " cannot be replaced";
		case PO_RESIZE_ENTRY_TWICE:
			return "its entry is there twice between the marks of " INCLUDE;
		case PO_RESIZE_ENTRY_MALFORMED:
			return "its entry in " INCLUDE " is not made of key=value";
		case PO_RESIZE_ENTRY_TOO_LONG:
			return "its entry in " INCLUDE " is too long";
		case PO_RESIZE_ENTRY_SHARED:
			return "its entry in " INCLUDE " is also that of other pools: it takes one of its own";
		case PO_RESIZE_ENTRY_UNSEEN:
			return "a PgBouncer of pool_optimizer.pgbouncer_conninfo has not been read yet, whose "
				"pools may have its entry in " INCLUDE;
	}
	return NULL;
}

/* ---------- the include file ---------- */

/* A run of bytes of the text. */
typedef struct Span
{
	const char *start;
	const char *end;
} Span;

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static Span
trim(Span s)
{
	while (s.start < s.end && is_blank(*s.start))
		s.start++;
	while (s.start < s.end && is_blank(s.end[-1]))
		s.end--;
	return s;
}

static bool
equals(Span s, const char *text)
{
	size_t		length = strlen(text);

	return (size_t) (s.end - s.start) == length && memcmp(s.start, text, length) == 0;
}

/* The next line of the text, without its end; moves *at beyond that. */
static Span
next_line(const char **at, const char *end)
{
	Span		line;
	const char *newline = memchr(*at, '\n', (size_t) (end - *at));

	line.start = *at;
	line.end = newline == NULL ? end : newline;
	*at = newline == NULL ? end : newline + 1;
	return line;
}

/* Is it a comment that says just this? */
static bool
is_mark(Span line, const char *words)
{
	line = trim(line);
	if (line.start == line.end || (*line.start != ';' && *line.start != '#'))
		return false;
	line.start++;
	return equals(trim(line), words);
}

/* Reads the name before '='; *rest is what follows that.  From 1.25 on PgBouncer takes names that
 * are no plain word in single quotes, which cannot be part of them. */
static bool
entry_is(Span line, const char *name, Span *rest)
{
	size_t		length = strlen(name);
	const char *c;
	bool		quoted;

	line = trim(line);
	c = line.start;
	quoted = c < line.end && *c == '\'';
	c += quoted;
	if ((size_t) (line.end - c) < length + quoted || memcmp(c, name, length) != 0)
		return false;
	c += length;
	if (quoted && *c++ != '\'')
		return false;
	while (c < line.end && is_blank(*c))
		c++;
	if (c == line.end || *c != '=')
		return false;
	rest->start = c + 1;
	rest->end = line.end;
	return true;
}

/* ---------- values of an entry ---------- */

typedef struct Output
{
	char	   *to;
	size_t		room;
	size_t		length;
	bool		overflowed;
} Output;

static void
put(Output *out, const char *bytes, size_t n)
{
	if (out->overflowed || n > out->room - out->length)
	{
		out->overflowed = true;
		return;
	}
	memcpy(out->to + out->length, bytes, n);
	out->length += n;
}

static void
put_span(Output *out, Span s)
{
	put(out, s.start, (size_t) (s.end - s.start));
}

/* What follows the value in quotes at c, in which these stand doubled; NULL when it is not
 * closed. */
static const char *
skip_quoted(const char *c, const char *end)
{
	for (c++; c < end; c++)
	{
		if (*c != '\'')
			continue;
		if (c + 1 == end || c[1] != '\'')
			return c + 1;
		c++;
	}
	return NULL;
}

/* Takes "key = value" off the front of s; false when there is something else. */
static bool
take_pair(Span *s, Span *key, Span *value)
{
	const char *c = s->start;

	key->start = c;
	while (c < s->end && !is_blank(*c) && *c != '=')
		c++;
	key->end = c;
	while (c < s->end && is_blank(*c))
		c++;
	if (key->start == key->end || c == s->end || *c != '=')
		return false;
	c++;
	while (c < s->end && is_blank(*c))
		c++;
	value->start = c;
	if (c < s->end && *c == '\'')
	{
		c = skip_quoted(c, s->end);
		if (c == NULL || (c < s->end && !is_blank(*c)))
			return false;
	}
	else
	{
		while (c < s->end && !is_blank(*c))
			c++;
	}
	value->end = c;
	s->start = c;
	/* What we would add after an empty one would become its value. */
	return value->start < c;
}

/* Copies the values with one changed wherever it is set; adds it when it is not. */
static bool
put_values(Output *out, Span values, const PoIniChange *change)
{
	char		size[32];
	char		min[32];
	bool		has_size = false;
	bool		has_min = change->min_pool_size < 0;
	Span		key;
	Span		value;
	const char *copied = values.start;
	Span		rest = values;
	Span		between;

	snprintf(size, sizeof(size), "%d", change->pool_size);
	snprintf(min, sizeof(min), "%d", change->min_pool_size);
	while (rest = trim(rest), rest.start < rest.end)
	{
		bool		is_size;

		if (!take_pair(&rest, &key, &value))
			return false;
		is_size = equals(key, "pool_size");
		if (!is_size && !(change->min_pool_size >= 0 && equals(key, "min_pool_size")))
			continue;
		has_size = has_size || is_size;
		has_min = has_min || !is_size;
		between.start = copied;
		between.end = value.start;
		put_span(out, between);
		put(out, is_size ? size : min, strlen(is_size ? size : min));
		copied = value.end;
	}
	/* Blanks and a carriage return at the end stay there. */
	between.start = copied;
	between.end = rest.end > copied ? rest.end : copied;
	put_span(out, between);
	if (!has_size)
	{
		put(out, " pool_size=", 11);
		put(out, size, strlen(size));
	}
	if (!has_min)
	{
		put(out, " min_pool_size=", 15);
		put(out, min, strlen(min));
	}
	between.start = between.end;
	between.end = values.end;
	put_span(out, between);
	return true;
}

static const char *const section_names[] = {
	[PO_INI_DATABASES] = "[databases]",
	[PO_INI_USERS] = "[users]"
};

PoIniResult
po_pooler_edit_ini(const char *text, size_t length, const PoIniChange *change, char *to,
				   size_t room, size_t *to_length)
{
	const char *at = text;
	const char *end = text + length;
	bool		in_section = false;
	bool		in_marks = false;
	bool		found = false;
	Output		out = {to, room, 0, false};

	while (at < end)
	{
		Span		whole;
		Span		line;
		Span		values;

		whole.start = at;
		line = next_line(&at, end);
		whole.end = at;
		if (is_mark(line, "pool_optimizer begin"))
			in_marks = true;
		else if (is_mark(line, "pool_optimizer end"))
			in_marks = false;
		else if (trim(line).start < line.end && *trim(line).start == '[')
			in_section = equals(trim(line), section_names[change->section]);
		else if (in_marks && in_section && entry_is(line, change->name, &values))
		{
			if (found)
				return PO_INI_TWICE;
			found = true;
			put(&out, line.start, (size_t) (values.start - line.start));
			if (!put_values(&out, values, change))
				return PO_INI_MALFORMED;
			/* trim has left the line's end to us. */
			put(&out, values.end, (size_t) (whole.end - values.end));
			continue;
		}
		put_span(&out, whole);
	}
	if (out.overflowed)
		return PO_INI_NO_ROOM;
	*to_length = out.length;
	return found ? PO_INI_OK : PO_INI_NOT_FOUND;
}
