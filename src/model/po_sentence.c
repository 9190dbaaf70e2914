/*
 * po_sentence.c
 *		A sentence that is put together piece by piece in a buffer of fixed size.
 */
#include "model/po_sentence.h"

#include <stdarg.h>
#include <stdio.h>

void
po_say(PoSentence *s, const char *format,...)
{
	va_list		args;
	int			n;

	va_start(args, format);
	n = vsnprintf(s->text + s->used, s->size - s->used, format, args);
	va_end(args);
	if (n < 0)
		s->text[s->used] = '\0';
	else if ((size_t) n < s->size - s->used)
		s->used += (size_t) n;
	else
		s->used = s->size - 1;
}

const char *
po_plural(double n)
{
	return n == 1 ? "" : "s";
}
