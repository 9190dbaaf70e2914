/*
 * po_html.h
 *		What goes into an HTML page: text of others, names, times, numbers, SQL.
 *
 * The page is ASCII: all other characters are references (&#x65E5;), so that it is right
 * whatever the encodings of database and client are.  Whatever has not been written by us
 * comes in by po_html_text only.
 */
#ifndef PO_HTML_H
#define PO_HTML_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

/* Text as text, also within quotes; what is treacherous by its number.  NULL = nothing. */
extern void po_html_text(StringInfo out, const char *text);

/* The same, palloc'd, for %s. */
extern char *po_html_escape(const char *text);

/* So many characters of it at most, with ... where there are more. */
extern char *po_html_beginning(const char *text, int most);

/* A name, which begins in no direction but its own: <bdi>...</bdi>. */
extern char *po_html_name(const char *name);

/* <time>: "Tue 14 Nov, 14:05", with the year unless it is now's; in the session's zone. */
extern char *po_html_time(TimestampTz at, TimestampTz now);

/* How to write it. */
typedef enum PoTimeForm
{
	PO_TIME_FULL,				/* Tue 14 Nov, 14:05 */
	PO_TIME_DAY,				/* Tue 14 */
	PO_TIME_DATE,				/* 14 Nov */
	PO_TIME_YEAR,				/* Nov 2026 */
	PO_TIME_MINUTE,				/* 14:05 */
	PO_TIME_SECOND				/* 14:05:30 */
} PoTimeForm;

extern char *po_html_time_text(TimestampTz at, PoTimeForm form);

/* Numbers as po_plot.h writes them, palloc'd; escaped, though there is nothing to escape. */
extern char *po_html_count(double value);
extern char *po_html_duration(double ms);
extern char *po_html_percent(double ratio);

/* "1 session", "1,234 sessions". */
extern char *po_html_counted(int64 n, const char *one, const char *many);

/* A literal of SQL, still to be escaped. */
extern char *po_html_sql_literal(const char *text);

#define PO_HTML_MAX_COLUMNS	16

/* A table that is being written, row by row and cell by cell. */
typedef struct PoHtmlTable
{
	StringInfo	out;
	int			n_columns;
	int			column;			/* of the next cell; -1 = in no row */
	const char *class[PO_HTML_MAX_COLUMNS];
} PoHtmlTable;

/*
 * As wide as it needs, in a frame that scrolls.  caption is HTML without tags, as it becomes
 * the name of the frame, too.  columns are headings separated by '|',
 * plain text of ours; one that begins with '#' is of numbers, with '-' it is left out where
 * room is scarce, with '=' it is a bar, with '~' it is of sentences; in this
 * order.  The first is what a row is about.
 */
extern void po_html_table_begin(PoHtmlTable *t, StringInfo out, const char *caption,
								const char *columns);
extern void po_html_row(PoHtmlTable *t);
extern void po_html_cell(PoHtmlTable *t, const char *format,...) pg_attribute_printf(2, 3);
extern void po_html_table_end(PoHtmlTable *t);

#endif							/* PO_HTML_H */
