/*
 * test_packing.c
 *		The state file's bytes: what was packed reads the same, what is cut or
 *		changed is refused or reads as something, and never beyond its end.
 */
#include "model/po_packing.h"

#include <stdlib.h>

#include "check.h"

#define MOST	200				/* words: more than three bitmaps' */

static PoPackingReader
reader(const void *bytes, size_t size)
{
	PoPackingReader in;

	in.bytes = bytes;
	in.size = size;
	in.read = 0;
	return in;
}

static void
test_sizes(void)
{
	CHECK_INT(PO_PACKING_WORDS(1), 1);
	CHECK_INT(PO_PACKING_WORDS(8), 1);
	CHECK_INT(PO_PACKING_WORDS(9), 2);
	CHECK_INT(PO_PACKING_BITMAP(0), 0);
	CHECK_INT(PO_PACKING_BITMAP(64), 1);
	CHECK_INT(PO_PACKING_BITMAP(65), 2);
	CHECK_INT(PO_PACKING_ROOM(65), 67);
}

static void
test_pack_layout(void)
{
	uint64_t	word[70] = {0};
	uint64_t	out[PO_PACKING_ROOM(70)];

	CHECK_INT(po_packing_pack(word, 70, out), 2);
	CHECK(out[0] == 0 && out[1] == 0);
	word[0] = 7;
	word[63] = 8;
	word[69] = 9;
	CHECK_INT(po_packing_pack(word, 70, out), 5);
	CHECK(out[0] == (UINT64_C(1) | UINT64_C(1) << 63));
	CHECK(out[1] == UINT64_C(1) << 5);
	CHECK(out[2] == 7 && out[3] == 8 && out[4] == 9);
}

/* Also one after the other, and each cut at every byte. */
static void
test_round_trip(void)
{
	uint64_t	word[MOST];
	uint64_t	again[MOST];
	uint64_t	out[PO_PACKING_ROOM(MOST)];

	for (int n = 0; n <= MOST; n += 1 + random_below(9))
	{
		PoPackingReader in;
		int			used;
		int			zeros = random_below(11);

		for (int i = 0; i < n; i++)
			word[i] = random_below(10) < zeros ? 0 : random_bits();
		used = po_packing_pack(word, n, out);
		CHECK(used <= (int) PO_PACKING_ROOM(n));
		in = reader(out, used * sizeof(uint64_t));
		CHECK(po_packing_unpack(&in, again, n));
		CHECK_INT(in.read, in.size);
		CHECK(n == 0 || memcmp(word, again, n * sizeof(uint64_t)) == 0);
		for (size_t size = 0; size < used * sizeof(uint64_t); size++)
		{
			/* From the heap: ASan sees a read beyond its end. */
			unsigned char *cut = malloc(size + 1);

			memcpy(cut, out, size);
			cut = realloc(cut, size > 0 ? size : 1);
			in = reader(cut, size);
			if (po_packing_unpack(&in, again, n))
				CHECK_WITH(false, "%d words were read from %zu bytes", n, size);
			if (in.read > in.size)
				CHECK_WITH(false, "%zu bytes read of %zu", in.read, in.size);
			free(cut);
		}
	}
}

static void
test_read(void)
{
	char		to[4] = "";
	PoPackingReader in = reader("abcd", 4);

	CHECK(po_packing_read(&in, to, 3));
	CHECK(memcmp(to, "abc", 3) == 0);
	CHECK(!po_packing_read(&in, to, 2));
	CHECK(!po_packing_read(&in, to, SIZE_MAX));
	CHECK_INT(in.read, 3);
	CHECK(po_packing_read(&in, to, 1));
	CHECK(to[0] == 'd');
	CHECK(po_packing_read(&in, NULL, 0));
	CHECK(!po_packing_read(&in, to, 1));
}

static PoPackingError
read_header(const void *bytes, size_t size, PoPackingHeader *header)
{
	PoPackingReader in = reader(bytes, size);

	/* 10 and 2 words, a bitmap of one word each: 16 bytes at least */
	po_packing_header(header, 80, 16, 40);
	return po_packing_read_header(&in, header);
}

/* Events, statements and findings of 40 bytes (8 of them are the bitmap), minutes of 52. */
static void
test_more_counts(const PoPackingHeader *plain, size_t size)
{
	unsigned char file[1024];
	PoPackingHeader written = *plain;
	PoPackingHeader seen;
	PoPackingReader in = {file, size, 0};

	memset(file, 0, sizeof(file));
	written.event_size = 40;
	written.minute_size = 52;
	written.statement_size = 40;
	written.finding_size = 40;
	written.n_events = (uint32_t) (size / 8);
	written.n_minutes = (uint32_t) (size / 52);
	written.n_statements = (uint32_t) (size / 8);
	written.n_findings = (uint32_t) (size / 8);
	for (int i = 0; i < 8; i++)
	{
		PoPackingHeader spoiled = written;

		spoiled.n_events += i == 1;
		spoiled.n_minutes += i == 2;
		spoiled.n_statements += i == 3;
		spoiled.n_findings += i == 4;
		spoiled.event_size += i == 5;
		spoiled.statement_size += i == 6;
		spoiled.finding_size += i == 7;
		memcpy(file, &spoiled, sizeof(spoiled));
		seen = written;
		seen.n_events = seen.n_minutes = seen.n_statements = seen.n_findings = 0;
		in.read = 0;
		CHECK_INT(po_packing_read_header(&in, &seen), i == 0 ? PO_PACKING_OK :
				  i >= 5 ? PO_PACKING_OTHER_VERSION : PO_PACKING_WRONG_COUNTS);
		CHECK_INT(seen.n_events, spoiled.n_events);
		CHECK_INT(seen.n_minutes, spoiled.n_minutes);
		CHECK_INT(seen.n_statements, spoiled.n_statements);
		CHECK_INT(seen.n_findings, spoiled.n_findings);
	}
}

static void
test_header(void)
{
	struct
	{
		PoPackingHeader header;
		char		rest[160];
	}			file;
	PoPackingHeader seen;
	size_t		size = sizeof(file.header) + sizeof(file.rest);

	memset(&file, 0, sizeof(file));
	po_packing_header(&file.header, 80, 16, 40);
	CHECK_INT(file.header.n_tenants, 0);
	file.header.n_tenants = 10;
	file.header.n_policies = 4;
	CHECK_INT(read_header(&file, size, &seen), PO_PACKING_OK);
	CHECK_INT(seen.n_tenants, 10);
	CHECK_INT(seen.n_policies, 4);
	/* What such files do not have. */
	file.header.n_alerts = 1;
	CHECK_INT(read_header(&file, size, &seen), PO_PACKING_WRONG_COUNTS);
	file.header.n_alerts = 0;
	file.header.n_rules = 1;
	CHECK_INT(read_header(&file, size, &seen), PO_PACKING_WRONG_COUNTS);
	file.header.n_rules = 0;
	file.header.n_events = 1;
	CHECK_INT(read_header(&file, size, &seen), PO_PACKING_WRONG_COUNTS);
	file.header.n_events = 0;
	file.header.n_minutes = 1;
	CHECK_INT(read_header(&file, size, &seen), PO_PACKING_WRONG_COUNTS);
	file.header.n_minutes = 0;
	file.header.n_statements = 1;
	CHECK_INT(read_header(&file, size, &seen), PO_PACKING_WRONG_COUNTS);
	file.header.n_statements = 0;
	file.header.n_findings = 1;
	CHECK_INT(read_header(&file, size, &seen), PO_PACKING_WRONG_COUNTS);
	file.header.n_findings = 0;
	test_more_counts(&file.header, size);

	for (size_t cut = 0; cut < sizeof(file.header); cut++)
		CHECK_INT(read_header(&file, cut, &seen), PO_PACKING_TOO_SHORT);

	file.header.n_tenants = (uint32_t) (size / 16 + 1);
	CHECK_INT(read_header(&file, size, &seen), PO_PACKING_WRONG_COUNTS);
	file.header.n_tenants = UINT32_MAX;
	CHECK_INT(read_header(&file, size, &seen), PO_PACKING_WRONG_COUNTS);
	file.header.n_tenants = 10;
	file.header.n_policies = (uint32_t) (size / 40 + 1);
	CHECK_INT(read_header(&file, size, &seen), PO_PACKING_WRONG_COUNTS);
	file.header.n_policies = UINT32_MAX;
	CHECK_INT(read_header(&file, size, &seen), PO_PACKING_WRONG_COUNTS);
	file.header.n_policies = 4;

	/* Any bit of what is not a count: of another version. */
	for (size_t bit = 0; bit < 8 * offsetof(PoPackingHeader, n_tenants); bit++)
	{
		unsigned char *bytes = (unsigned char *) &file;

		bytes[bit / 8] ^= (unsigned char) (1 << bit % 8);
		CHECK_INT(read_header(&file, size, &seen), PO_PACKING_OTHER_VERSION);
		bytes[bit / 8] ^= (unsigned char) (1 << bit % 8);
	}
}

int
main(void)
{
	test_sizes();
	test_pack_layout();
	test_round_trip();
	test_read();
	test_header();
	return check_end("test_packing");
}
