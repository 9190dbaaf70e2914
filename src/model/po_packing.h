/*
 * po_packing.h
 *		The state file's bytes: a header, and records of words that are mostly zero.
 *
 *		header, (tenant, statistics) ..., policies ..., alerts ..., rules ..., events ...,
 *		minutes of history ..., statements ..., findings ..., checksum
 *
 * A tenant and its statistics, an alert, an event, a statement, and a finding, are each written
 * as words: a bitmap of those that are not zero, then these.  Policies, rules and minutes are
 * written as they are.
 * Words are in the order of the machine, which the header's magic number gives away.
 */
#ifndef PO_PACKING_H
#define PO_PACKING_H

#include "model/po_types.h"

#define PO_PACKING_MAGIC	0x504f5354	/* "POST" */
#define PO_PACKING_FORMAT	6

/* The words of a struct of so many bytes, the bitmap of so many words, and the most
 * that these can take. */
#define PO_PACKING_WORDS(size)	(((size) + sizeof(uint64_t) - 1) / sizeof(uint64_t))
#define PO_PACKING_BITMAP(words)	(((words) + 63) / 64)
#define PO_PACKING_ROOM(words)	(PO_PACKING_BITMAP(words) + (words))

typedef struct PoPackingHeader
{
	uint32_t	magic;
	uint32_t	format;
	uint32_t	tenant_size;	/* sizes tell one build from another */
	uint32_t	stats_size;
	uint32_t	policy_size;
	uint32_t	n_tenants;
	uint32_t	n_policies;
	uint32_t	alert_size;		/* of this and the next, 0 = there are none in such files */
	uint32_t	rule_size;
	uint32_t	event_size;
	uint32_t	minute_size;
	uint32_t	statement_size;
	uint32_t	n_alerts;
	uint32_t	n_rules;
	uint32_t	n_events;
	uint32_t	n_minutes;
	uint32_t	n_statements;
	uint32_t	finding_size;
	uint32_t	n_findings;
} PoPackingHeader;

typedef enum PoPackingError
{
	PO_PACKING_OK,
	PO_PACKING_TOO_SHORT,
	PO_PACKING_OTHER_VERSION,
	PO_PACKING_WRONG_COUNTS		/* more than the bytes that are left can hold */
} PoPackingError;

/* A file in memory, and how much of it was read. */
typedef struct PoPackingReader
{
	const unsigned char *bytes;
	size_t		size;
	size_t		read;
} PoPackingReader;

/* The header of a file of structs of these sizes; the other sizes, which are 0, may be
 * filled in. */
extern void po_packing_header(PoPackingHeader *header, uint32_t tenant_size,
							  uint32_t stats_size, uint32_t policy_size);

/* Packs n words; out has room for PO_PACKING_ROOM(n).  Returns how many it took. */
extern int	po_packing_pack(const uint64_t *word, int n, uint64_t *out);

/*
 * Reads a header, which but for its counts must be *header, and takes over the counts.
 * With PO_PACKING_OK they fit the size of the file: a record takes at least the bytes
 * of its bitmaps.
 */
extern PoPackingError po_packing_read_header(PoPackingReader *in, PoPackingHeader *header);

/* Reads n words as packed; false when the file ends before. */
extern bool po_packing_unpack(PoPackingReader *in, uint64_t *word, int n);

/* Reads bytes as they are; false when the file ends before. */
extern bool po_packing_read(PoPackingReader *in, void *bytes, size_t n);

#endif							/* PO_PACKING_H */
