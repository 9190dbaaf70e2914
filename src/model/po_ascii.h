/*
 * po_ascii.h
 *		JSON in ASCII, whatever bytes a name has.
 *
 * Names come from databases and clients of any encoding.  What goes to listeners is
 * ASCII: a character that their encoding does not have would be an error of theirs.
 */
#ifndef PO_ASCII_H
#define PO_ASCII_H

#include "model/po_types.h"

/* The most bytes that so many can become, with quotes and the final NUL. */
#define PO_ASCII_ROOM(bytes)	((bytes) * 6 + 3)

/*
 * Writes text as a JSON string with its quotes.  Characters beyond ASCII are written as
 * \uXXXX, in pairs beyond the BMP; a byte that is no UTF-8 as "?".  Returns the length;
 * never writes more than size bytes: what does not fit is left out at a character.
 */
extern size_t po_ascii_string(char *to, size_t size, const char *text);

/* The same for a text that is JSON already: only what is beyond ASCII is changed.  One
 * that does not fit becomes "{}". */
extern size_t po_ascii_json(char *to, size_t size, const char *json);

#endif							/* PO_ASCII_H */
