/*
 * po_packing.c
 *		The state file's bytes: a header, and records of words that are mostly zero.
 *
 * What is read may be damaged in any way: nothing is believed before it was
 * compared with the bytes that there are.
 */
#include "model/po_packing.h"

#include <string.h>

void
po_packing_header(PoPackingHeader *header, uint32_t tenant_size, uint32_t stats_size,
				  uint32_t policy_size)
{
	memset(header, 0, sizeof(*header));
	header->magic = PO_PACKING_MAGIC;
	header->format = PO_PACKING_FORMAT;
	header->tenant_size = tenant_size;
	header->stats_size = stats_size;
	header->policy_size = policy_size;
}

int
po_packing_pack(const uint64_t *word, int n, uint64_t *out)
{
	int			used = PO_PACKING_BITMAP(n);

	memset(out, 0, used * sizeof(uint64_t));
	for (int i = 0; i < n; i++)
	{
		if (word[i] == 0)
			continue;
		out[i / 64] |= UINT64_C(1) << (i % 64);
		out[used++] = word[i];
	}
	return used;
}

bool
po_packing_read(PoPackingReader *in, void *bytes, size_t n)
{
	if (n > in->size - in->read)
		return false;
	if (n > 0)
		memcpy(bytes, in->bytes + in->read, n);
	in->read += n;
	return true;
}

/* The fewest bytes of a struct of so many: every word zero. */
static size_t
least_packed(uint32_t size)
{
	return PO_PACKING_BITMAP(PO_PACKING_WORDS((size_t) size)) * sizeof(uint64_t);
}

static size_t
least_record(const PoPackingHeader *header)
{
	return least_packed(header->tenant_size) + least_packed(header->stats_size);
}

/* May there be so many, of so many bytes at least? */
static bool
fits(uint32_t n, size_t least, size_t size)
{
	return n == 0 || (least > 0 && n <= size / least);
}

PoPackingError
po_packing_read_header(PoPackingReader *in, PoPackingHeader *header)
{
	PoPackingHeader seen;

	if (!po_packing_read(in, &seen, sizeof(seen)))
		return PO_PACKING_TOO_SHORT;
	header->n_tenants = seen.n_tenants;
	header->n_policies = seen.n_policies;
	header->n_alerts = seen.n_alerts;
	header->n_rules = seen.n_rules;
	header->n_events = seen.n_events;
	header->n_minutes = seen.n_minutes;
	header->n_statements = seen.n_statements;
	header->n_findings = seen.n_findings;
	if (memcmp(&seen, header, sizeof(seen)) != 0)
		return PO_PACKING_OTHER_VERSION;
	/* Before memory is taken by what a damaged header says. */
	if (!fits(seen.n_tenants, least_record(header), in->size) ||
		!fits(seen.n_policies, header->policy_size, in->size) ||
		!fits(seen.n_alerts, least_packed(header->alert_size), in->size) ||
		!fits(seen.n_rules, header->rule_size, in->size) ||
		!fits(seen.n_events, least_packed(header->event_size), in->size) ||
		!fits(seen.n_minutes, header->minute_size, in->size) ||
		!fits(seen.n_statements, least_packed(header->statement_size), in->size) ||
		!fits(seen.n_findings, least_packed(header->finding_size), in->size))
		return PO_PACKING_WRONG_COUNTS;
	return PO_PACKING_OK;
}

bool
po_packing_unpack(PoPackingReader *in, uint64_t *word, int n)
{
	/* Where the bitmap is; it stays where it is, so that n has no limit. */
	size_t		bitmap = in->read;
	uint64_t	bits = 0;

	if (PO_PACKING_BITMAP((size_t) n) * sizeof(bits) > in->size - in->read)
		return false;
	in->read += PO_PACKING_BITMAP((size_t) n) * sizeof(bits);
	for (int i = 0; i < n; i++)
	{
		if (i % 64 == 0)
			memcpy(&bits, in->bytes + bitmap + (size_t) (i / 64) * sizeof(bits), sizeof(bits));
		word[i] = 0;
		if ((bits & (UINT64_C(1) << (i % 64))) != 0 &&
			!po_packing_read(in, &word[i], sizeof(word[i])))
			return false;
	}
	return true;
}
