/*
 * po_normalise.h
 *		The text of a statement without its constants, comments and line breaks.
 *
 * It is for people to read, and never has a constant of anybody's data: every literal
 * becomes a parameter, numbered on from those that the statement has itself.  Where the
 * settings of the session decide what is a literal, the text ends before it.
 */
#ifndef PO_NORMALISE_H
#define PO_NORMALISE_H

#include "model/po_types.h"

/*
 * Writes the normalised text of length bytes of sql (any encoding in which the bytes of
 * other than ASCII characters have the high bit set) to out, of size bytes, with a
 * NUL; returns its length.  What does not fit is cut, maybe within a character.
 */
extern size_t po_normalise(const char *sql, size_t length, char *out, size_t size);

#endif							/* PO_NORMALISE_H */
