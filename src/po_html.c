/*
 * po_html.c
 *		What goes into an HTML page; see po_html.h.
 */
#include "postgres.h"

#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "model/po_plot.h"
#include "po_html.h"
#include "po_text.h"

/* ---------- text ---------- */

/* So many characters at most; where there are more, ... stands for them. */
static void
write_text(StringInfo out, const char *text, int most)
{
	const char *utf8 = text == NULL ? "" : po_text_utf8(text);

	for (int i = 0; *utf8 != '\0'; i++)
	{
		pg_wchar	c;

		if (i == most)
		{
			appendStringInfoString(out, "...");
			return;
		}
		c = po_text_next(&utf8);
		if (c == '&')
			appendStringInfoString(out, "&amp;");
		else if (c == '<')
			appendStringInfoString(out, "&lt;");
		else if (c == '>')
			appendStringInfoString(out, "&gt;");
		else if (c == '"')
			appendStringInfoString(out, "&quot;");
		else if (c == '\'')
			appendStringInfoString(out, "&#39;");
		else if (c == '\n')
			appendStringInfoChar(out, '\n');
		else if (po_text_is_treacherous(c))
			appendStringInfo(out, "&#x27E8;U+%04X&#x27E9;", c);
		else if (c > 0x7E)
			appendStringInfo(out, "&#x%X;", c);
		else
			appendStringInfoChar(out, (char) c);
	}
}

void
po_html_text(StringInfo out, const char *text)
{
	write_text(out, text, -1);
}

char *
po_html_escape(const char *text)
{
	return po_html_beginning(text, -1);
}

char *
po_html_beginning(const char *text, int most)
{
	StringInfoData out;

	initStringInfo(&out);
	write_text(&out, text, most);
	return out.data;
}

/* Where a line must end within it, it does so after an @. */
char *
po_html_name(const char *name)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, "<bdi>");
	for (const char *c = po_html_escape(name); *c != '\0'; c++)
	{
		appendStringInfoChar(&out, *c);
		if (*c == '@' && c[1] != '\0')
			appendStringInfoString(&out, "<wbr>");
	}
	appendStringInfoString(&out, "</bdi>");
	return out.data;
}

/* ---------- SQL ---------- */

static bool
needs_numbers(const char *text)
{
	const char *utf8 = po_text_utf8(text);

	if (GetDatabaseEncoding() == PG_SQL_ASCII)
	{
		for (const char *c = text; *c != '\0'; c++)
		{
			if (IS_HIGHBIT_SET(*c))
				return true;
		}
	}
	while (*utf8 != '\0')
	{
		if (po_text_is_treacherous(po_text_next(&utf8)))
			return true;
	}
	return false;
}

/*
 * What a reader cannot see is written by its number: as a character where the server knows
 * which it is, else (SQL_ASCII) as bytes.
 */
char *
po_html_sql_literal(const char *text)
{
	StringInfoData out;
	bool		bytes = GetDatabaseEncoding() == PG_SQL_ASCII;
	const char *c = bytes ? text : po_text_utf8(text);

	if (!needs_numbers(text))
		return quote_literal_cstr(text);
	initStringInfo(&out);
	appendStringInfoString(&out, "E'");
	while (*c != '\0')
	{
		pg_wchar	ch = bytes ? (unsigned char) *c++ : po_text_next(&c);

		if (ch == '\'' || ch == '\\')
			appendStringInfo(&out, "%c%c", (char) ch, (char) ch);
		else if (ch >= 0x20 && ch <= 0x7E)
			appendStringInfoChar(&out, (char) ch);
		else if (bytes)
			appendStringInfo(&out, "\\x%02X", ch);
		else
			appendStringInfo(&out, ch <= 0xFFFF ? "\\u%04X" : "\\U%08X", ch);
	}
	appendStringInfoChar(&out, '\'');
	return out.data;
}

/* ---------- times ---------- */

static const char *const week_days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const month_names[] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
};

/* False for infinity, and for times that have no calendar. */
static bool
split_time(TimestampTz at, struct pg_tm *tm, int *zone)
{
	fsec_t		fsec;

	return !TIMESTAMP_NOT_FINITE(at) && timestamp2tm(at, zone, tm, &fsec, NULL, NULL) == 0;
}

char *
po_html_time_text(TimestampTz at, PoTimeForm form)
{
	struct pg_tm tm;
	int			zone;
	const char *day;
	const char *month;

	if (!split_time(at, &tm, &zone))
		return pstrdup("?");
	day = week_days[j2day(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday))];
	month = month_names[tm.tm_mon - 1];
	switch (form)
	{
		case PO_TIME_DAY:
			return psprintf("%s %d", day, tm.tm_mday);
		case PO_TIME_DATE:
			return psprintf("%d %s", tm.tm_mday, month);
		case PO_TIME_YEAR:
			return psprintf("%s %d", month, tm.tm_year);
		case PO_TIME_MINUTE:
			return psprintf("%02d:%02d", tm.tm_hour, tm.tm_min);
		case PO_TIME_SECOND:
			return psprintf("%02d:%02d:%02d", tm.tm_hour, tm.tm_min, tm.tm_sec);
		case PO_TIME_FULL:
			break;
	}
	return psprintf("%s %d %s, %02d:%02d", day, tm.tm_mday, month, tm.tm_hour, tm.tm_min);
}

char *
po_html_time(TimestampTz at, TimestampTz now)
{
	struct pg_tm tm;
	struct pg_tm today;
	int			zone;
	int			zone_now;
	char	   *year = "";

	if (!split_time(at, &tm, &zone) || !split_time(now, &today, &zone_now))
		return pstrdup("?");
	if (tm.tm_year != today.tm_year)
		year = psprintf(" %d", tm.tm_year);
	/* Zones count west of Greenwich. */
	return psprintf("<time datetime=\"%04d-%02d-%02dT%02d:%02d:%02d%c%02d:%02d\">%s%s</time>",
					tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
					zone > 0 ? '-' : '+', abs(zone) / SECS_PER_HOUR,
					abs(zone) % SECS_PER_HOUR / SECS_PER_MINUTE,
					po_html_time_text(at, PO_TIME_FULL), year);
}

/* ---------- numbers ---------- */

static char *
number(void (*write) (double, char *, int), double value)
{
	char	   *text = palloc(PO_PLOT_TEXT_LEN);

	write(value, text, PO_PLOT_TEXT_LEN);
	return text;
}

char *
po_html_count(double value)
{
	return number(po_plot_count, value);
}

char *
po_html_duration(double ms)
{
	return number(po_plot_duration, ms);
}

char *
po_html_percent(double ratio)
{
	return number(po_plot_percent, ratio);
}

char *
po_html_counted(int64 n, const char *one, const char *many)
{
	return psprintf("%s %s", po_html_count((double) n), n == 1 ? one : many);
}

/* ---------- tables ---------- */

/* By the marks before a heading; moves on to it. */
static const char *
column_class(const char **heading)
{
	int			kind = 0;

	for (;; (*heading)++)
	{
		if (**heading == '#')
			kind |= 1;
		else if (**heading == '-')
			kind |= 2;
		else if (**heading == '=')
			kind |= 4;
		else if (**heading == '~')
			kind |= 8;
		else
			break;
	}
	return kind == 0 ? "" : kind == 1 ? " class=\"n\"" : kind == 2 ? " class=\"x\"" :
		kind == 3 ? " class=\"n x\"" : kind == 8 ? " class=\"q\"" : " class=\"bar\"";
}

void
po_html_table_begin(PoHtmlTable *t, StringInfo out, const char *caption, const char *columns)
{
	t->out = out;
	t->n_columns = 0;
	t->column = -1;
	/* Who has no mouse scrolls with the keyboard, which needs the focus. */
	appendStringInfo(out, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
					 "aria-label=\"%s\">\n<table><caption>%s</caption>\n<thead><tr>",
					 caption, caption);
	while (*columns != '\0' && t->n_columns < PO_HTML_MAX_COLUMNS)
	{
		const char *class = column_class(&columns);
		int			length = (int) strcspn(columns, "|");

		t->class[t->n_columns++] = class;
		appendStringInfo(out, "<th scope=\"col\"%s>%.*s</th>", class, length, columns);
		columns += length + (columns[length] == '|' ? 1 : 0);
	}
	appendStringInfoString(out, "</tr></thead>\n<tbody>\n");
}

void
po_html_row(PoHtmlTable *t)
{
	appendStringInfoString(t->out, t->column < 0 ? "<tr>" : "</tr>\n<tr>");
	t->column = 0;
}

void
po_html_cell(PoHtmlTable *t, const char *format,...)
{
	const char *tag = t->column == 0 ? "th" : "td";

	Assert(t->column >= 0 && t->column < t->n_columns);
	appendStringInfo(t->out, "<%s%s%s>", tag, t->column == 0 ? " scope=\"row\"" : "",
					 t->class[t->column]);
	for (;;)
	{
		va_list		args;
		int			missing;

		va_start(args, format);
		missing = appendStringInfoVA(t->out, format, args);
		va_end(args);
		if (missing == 0)
			break;
		enlargeStringInfo(t->out, missing);
	}
	appendStringInfo(t->out, "</%s>", tag);
	t->column++;
}

void
po_html_table_end(PoHtmlTable *t)
{
	appendStringInfo(t->out, "%s</tbody></table></div>\n", t->column < 0 ? "" : "</tr>\n");
}
