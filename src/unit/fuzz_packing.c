/*
 * fuzz_packing.c
 *		Fuzzing what reads the state file: headers, packed records, and files cut or
 *		changed anywhere.
 */
#include "model/po_packing.h"

#include "fuzz.h"

/* The input: three sizes of structs, two counts, whether the header is part of the
 * input too, and then the file or what follows its header. */
#define N_SHAPE		6

static void
read_record(PoPackingReader *in, int n)
{
	uint64_t   *word = malloc((n + 1) * sizeof(uint64_t));
	uint64_t   *again = malloc((n + 1) * sizeof(uint64_t));
	uint64_t   *packed = malloc((PO_PACKING_ROOM(n) + 1) * sizeof(uint64_t));
	size_t		before = in->read;
	PoPackingReader back;

	must(word != NULL && again != NULL && packed != NULL, "there is memory");
	if (po_packing_unpack(in, word, n))
	{
		back.bytes = (unsigned char *) packed;
		back.size = po_packing_pack(word, n, packed) * sizeof(uint64_t);
		back.read = 0;
		must(back.size <= PO_PACKING_ROOM(n) * sizeof(uint64_t), "it fits the room promised");
		must(back.size <= in->read - before, "packing again takes no more");
		must(po_packing_unpack(&back, again, n) && back.read == back.size,
			 "what is packed can be read");
		must(memcmp(word, again, n * sizeof(uint64_t)) == 0, "and reads the same");
	}
	else
		must(in->size - in->read < PO_PACKING_ROOM(n) * sizeof(uint64_t),
			 "a record is refused only where the file ends");
	must(in->read >= before && in->read <= in->size, "reading stays within the file");
	free(word);
	free(again);
	free(packed);
}

/* As po_state.c does. */
static void
read_file(PoPackingReader *in, PoPackingHeader *header)
{
	PoPackingError error = po_packing_read_header(in, header);
	unsigned char policy[256];

	must(in->read <= in->size, "reading stays within the file");
	if (error != PO_PACKING_OK)
		return;
	must(header->n_tenants <= in->size && header->n_policies <= in->size &&
		 header->n_alerts <= in->size && header->n_rules <= in->size &&
		 header->n_events <= in->size && header->n_minutes <= in->size &&
		 header->n_statements <= in->size && header->n_findings <= in->size,
		 "counts are no more than bytes");
	for (uint32_t i = 0; i < header->n_tenants; i++)
	{
		read_record(in, PO_PACKING_WORDS(header->tenant_size));
		read_record(in, PO_PACKING_WORDS(header->stats_size));
	}
	for (uint32_t i = 0; i < header->n_policies; i++)
	{
		size_t		left = in->size - in->read;

		must(po_packing_read(in, policy, header->policy_size) == (left >= header->policy_size),
			 "a policy is read if it is there");
	}
	for (uint32_t i = 0; i < header->n_alerts; i++)
		read_record(in, PO_PACKING_WORDS(header->alert_size));
	for (uint32_t i = 0; i < header->n_rules; i++)
		(void) po_packing_read(in, policy, header->rule_size);
	for (uint32_t i = 0; i < header->n_events; i++)
		read_record(in, PO_PACKING_WORDS(header->event_size));
	for (uint32_t i = 0; i < header->n_minutes; i++)
		(void) po_packing_read(in, policy, header->minute_size);
	for (uint32_t i = 0; i < header->n_statements; i++)
		read_record(in, PO_PACKING_WORDS(header->statement_size));
	for (uint32_t i = 0; i < header->n_findings; i++)
		read_record(in, PO_PACKING_WORDS(header->finding_size));
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	PoPackingHeader header;
	PoPackingReader in;
	unsigned char *file;

	if (size < N_SHAPE)
		return 0;
	/* No struct is empty. */
	po_packing_header(&header, bytes[0] + 1, bytes[1] * 8 + 1, bytes[2] + 1);
	header.n_tenants = bytes[3];
	header.n_policies = bytes[4];
	if (bytes[5] & 2)
	{
		header.alert_size = bytes[1] + 1;
		header.n_alerts = bytes[4];
	}
	if (bytes[5] & 4)
	{
		header.rule_size = bytes[2] + 1;
		header.n_rules = bytes[3];
	}
	if (bytes[5] & 8)
	{
		header.event_size = bytes[1] + 1;
		header.n_events = bytes[3];
	}
	if (bytes[5] & 16)
	{
		header.minute_size = bytes[2] + 1;
		header.n_minutes = bytes[4];
	}
	if (bytes[5] & 32)
	{
		header.statement_size = bytes[1] * 8 + 1;
		header.n_statements = bytes[3];
	}
	if (bytes[5] & 64)
	{
		header.finding_size = bytes[1] * 4 + 1;
		header.n_findings = bytes[4];
	}
	in.size = size - N_SHAPE;
	in.read = 0;
	if (bytes[5] & 1)
		in.size += sizeof(header);
	file = malloc(in.size > 0 ? in.size : 1);
	must(file != NULL, "there is memory");
	if (bytes[5] & 1)
		memcpy(file, &header, sizeof(header));
	memcpy(file + (in.size - (size - N_SHAPE)), bytes + N_SHAPE, size - N_SHAPE);
	in.bytes = file;
	read_file(&in, &header);
	free(file);
	return 0;
}

static const FuzzSeed seeds[] = {
	/* one tenant, of one word each; a policy of 4 bytes */
	SEED("\x07\x00\x03\x01\x01\x01"
	"\x01\0\0\0\0\0\0\0" "TENANT!!" "\x01\0\0\0\0\0\0\0" "STATS..." "POLY"),
	/* every word zero */
	SEED("\xFF\x0F\x00\x02\x00\x01"
	"\0\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0"),
	/* alerts of two words, rules of four bytes */
	SEED("\x07\x0F\x03\x01\x02\x07"
	"\x01\0\0\0\0\0\0\0" "TENANT!!" "\x01\0\0\0\0\0\0\0" "STATS..." "POLYPOLY"
	"\x02\0\0\0\0\0\0\0" "ALERT..." "\0\0\0\0\0\0\0\0" "RULE"),
	/* two tenants, and two statements of two words */
	SEED("\x07\x01\x03\x02\x00\x21"
	"\0\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0"
	"\x02\0\0\0\0\0\0\0" "STATEMEN" "\0\0\0\0\0\0\0\0"),
	/* 100 words: a bitmap of two words */
	SEED("\x00\x64\x00\x01\x00\x01"
	"\0\0\0\0\0\0\0\0" "\x81\0\0\0\0\0\0\0" "\x01\0\0\0\0\0\0\0" "abcdefghijklmnopqrstuvwx"),
	/* more than there is */
	SEED("\x00\x00\x00\xFF\xFF\x01" "\x01\0\0\0\0\0\0\0"),
	/* a header of the file's own */
	SEED("\x07\x00\x03\x00\x00\x00" "TSOP\1\0\0\0\x08\0\0\0\1\0\0\0\4\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
	SEED("\x07\x00\x03\x00\x00\x00" "TSOP\1\0\0\0\x08\0\0\0\1\0\0\0\4\0\0\0\1\0\0\0\0\0\0\0"
	"\x01\0\0\0\0\0\0\0" "TENANT!!" "\0\0\0\0\0\0\0\0"),
};

FUZZ_MAIN("fuzz_packing", seeds)
