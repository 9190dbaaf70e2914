/*
 * po_sentence.h
 *		A sentence that is put together piece by piece in a buffer of fixed size.
 */
#ifndef PO_SENTENCE_H
#define PO_SENTENCE_H

#include <stddef.h>

typedef struct PoSentence
{
	char	   *text;
	size_t		size;			/* > 0 */
	size_t		used;
} PoSentence;

/* Appends; what does not fit is cut off, and the text is always terminated. */
extern void po_say(PoSentence *s, const char *format,...)
__attribute__((format(printf, 2, 3)));

/* "s" for a noun, unless it is one. */
extern const char *po_plural(double n);

#endif							/* PO_SENTENCE_H */
