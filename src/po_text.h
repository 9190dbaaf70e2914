/*
 * po_text.h
 *		Text of others, character by character: names may hold what ends a line somewhere, or
 *		turns around what is read.
 */
#ifndef PO_TEXT_H
#define PO_TEXT_H

#include "postgres.h"

#include "mb/pg_wchar.h"

/* As valid UTF-8; what cannot be said in it as '?'.  palloc'd. */
extern char *po_text_utf8(const char *text);

/* The next character of valid UTF-8; moves on. */
extern pg_wchar po_text_next(const char **utf8);

/* Would it end a line somewhere, or turn around what is read? */
extern bool po_text_is_treacherous(pg_wchar c);

#endif							/* PO_TEXT_H */
