/*
 * po_event_kind.c
 *		What an event is about, and lists of that as a setting has them.
 */
#include "model/po_event_kind.h"

#include <string.h>

/* In the order of the enum. */
static const char *const names[PO_N_EVENT_KINDS] = {
	"reject", "would_reject", "terminate", "would_terminate", "alert", "policy", "resize",
	"would_resize", "connect", "disconnect", "error", "tenant"
};

#define SEPARATORS	", \t\n\r"

const char *
po_event_kind_name(PoEventKind kind)
{
	return (unsigned int) kind < PO_N_EVENT_KINDS ? names[kind] : "unknown";
}

bool
po_event_kinds_parse(const char *list, uint32_t *kinds, const char **bad, int *length)
{
	*kinds = 0;
	for (const char *word = list + strspn(list, SEPARATORS); *word != '\0';)
	{
		size_t		n = strcspn(word, SEPARATORS);
		int			found = -1;

		for (int i = 0; i < PO_N_EVENT_KINDS; i++)
		{
			if (strlen(names[i]) == n && memcmp(names[i], word, n) == 0)
				found = i;
		}
		if (found < 0 || found == PO_EVENT_ALERT)
		{
			*bad = word;
			*length = (int) n;
			return false;
		}
		*kinds |= PO_EVENT_BIT(found);
		word += n;
		word += strspn(word, SEPARATORS);
	}
	return true;
}
