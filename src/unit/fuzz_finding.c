/*
 * fuzz_finding.c
 *		Fuzzing the judgement of evidence: what must hold for any counters.
 */
#include "model/po_finding.h"

#include "fuzz.h"

static void
check_found(const PoFound *found)
{
	must(isfinite(found->connections) && found->connections >= 0, "a cost is a number");
	must(found->severity >= PO_FOUND_NOTHING && found->severity <= PO_FOUND_CRITICAL,
		 "a severity is one of them");
	must(found->ttl >= 0 && found->ttl < PO_N_CACHE_TTLS, "so is a time to live");
	must(found->severity != PO_FOUND_NOTHING || found->connections <= 0, "nothing costs nothing");
}

static void
check_name(const uint8_t *bytes, size_t size)
{
	char		name[PO_FINDING_NAME_LEN];
	PoFindingKind kind;
	size_t		n = size < sizeof(name) ? size : sizeof(name) - 1;

	memcpy(name, bytes, n);
	name[n] = '\0';
	if (po_finding_parse(name, &kind))
		must(strcmp(po_finding_name(kind), name) == 0, "a name that is read is the kind's");
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	FuzzReader	in = {bytes, size, 0};
	PoStatementEvidence s;
	PoTenantEvidence t;
	double	   *number = &s.seconds;
	double		elapsed;

	check_name(bytes, size);
	for (size_t i = 0; i < offsetof(PoStatementEvidence, plan) / sizeof(double); i++)
		number[i] = fuzz_double(&in);
	s.plan = (unsigned) fuzz_take(&in, 1);
	s.scan_share = fuzz_double(&in);
	s.scan_rows = fuzz_double(&in);
	number = &t.seconds;
	for (size_t i = 0; i < sizeof(t) / sizeof(double); i++)
		number[i] = fuzz_double(&in);
	for (int kind = -1; kind <= PO_N_FINDINGS; kind++)
	{
		PoFound		found;

		po_finding_judge_statement((PoFindingKind) kind, &s, &t, &found);
		check_found(&found);
		must(found.severity == PO_FOUND_NOTHING || s.seconds >= 1, "not without a window");
		po_finding_judge_tenant((PoFindingKind) kind, &t, &found);
		check_found(&found);
	}
	elapsed = fuzz_double(&in);
	must(po_finding_decay(elapsed) >= 0 && po_finding_decay(elapsed) <= 1, "a window forgets");
	must(po_finding_new_seconds(elapsed) >= 0 &&
		 po_finding_new_seconds(elapsed) <= PO_FINDING_MEMORY_S, "and is bounded");
	return 0;
}

/* Counters of a statement in the order of the struct, its plan, those of the tenant. */
static const FuzzSeed seeds[] = {
	SEED("\x3F\x3F\x20\x3E\x02\xDF\xFF\x10\x08\x1F\x10\x3F\x3F\x30\x31\x32\x01\xA0\xFF\xDF\xFF"
		 "\x3F\x3F\x3F\x3F\x3F\x3F\x3F\x05\x01\x02\x03\x04\x05\x06"),
	SEED("\x3F\x05\xF8\xF9\xFA\xFB\xFC\xFD\xFE\xFF\x00\x01\xF8\xF8\xF9\xFA\x03\xF8\xF9\xF8"),
	SEED("slow_statement"), SEED("n_plus_one"), SEED("session_state"),
};

FUZZ_MAIN("fuzz_finding", seeds)
