/*
 * fuzz_policy.c
 *		Fuzzing what judges policies from a damaged file or table: checks, the order
 *		in which they apply, inheritance, and the words of SQL.
 */
#include "model/po_policy.h"

#include "fuzz.h"

#define N_POLICIES	3

typedef struct Input
{
	const uint8_t *bytes;
	size_t		left;
} Input;

/* Zero where the input has ended. */
static void
take(Input *in, void *to, size_t n)
{
	size_t		there = n < in->left ? n : in->left;

	memset(to, 0, n);
	if (there > 0)
		memcpy(to, in->bytes, there);
	in->bytes += there;
	in->left -= there;
}

/* A scope, the length of a name, the name, the length of the fields, the fields. */
static void
take_policy(Input *in, PoPolicy *policy)
{
	uint8_t		scope;
	uint8_t		length;
	uint8_t		size;

	memset(policy, 0, sizeof(*policy));
	take(in, &scope, sizeof(scope));
	take(in, &length, sizeof(length));
	/* 255 stands for a name that does not end. */
	if (length == UINT8_MAX)
		memset(policy->name, 'x', sizeof(policy->name));
	else
		take(in, policy->name, length);
	take(in, &size, sizeof(size));
	take(in, &policy->fields, size < sizeof(policy->fields) ? size : sizeof(policy->fields));
	/* Not an enum's value, maybe: that is what a damaged file holds. */
	memset(&policy->scope, scope, 1);
}

static int
sign(int order)
{
	return (order > 0) - (order < 0);
}

static void
fuzz_order(const PoPolicy *p)
{
	int			ab = sign(po_policy_compare(&p[0], &p[1]));
	int			bc = sign(po_policy_compare(&p[1], &p[2]));
	int			ac = sign(po_policy_compare(&p[0], &p[2]));

	must(po_policy_compare(&p[0], &p[0]) == 0, "a policy is like itself");
	must(sign(po_policy_compare(&p[1], &p[0])) == -ab, "the order has two directions");
	must(ab > 0 || bc > 0 || ac <= 0, "it is one order of all");
	must(ab < 0 || bc < 0 || ac >= 0, "it is one order of all, backwards");
}

static void
fuzz_check(const PoPolicy *policy)
{
	PoPolicyError error = {NULL, NULL};
	bool		sound = po_policy_check(policy, &error);

	must(sound == (error.field == NULL && error.problem == NULL), "a refusal has its reason");
	must(po_policy_check(policy, NULL) == sound, "the reason changes nothing");
	if (sound)
	{
		must((unsigned int) policy->scope < PO_N_SCOPES, "a sound scope");
		must(memchr(policy->name, '\0', sizeof(policy->name)) != NULL, "a sound name ends");
		must(po_policy_compare(policy, policy) == 0, "a sound policy is like itself");
	}
	(void) po_policy_check_resolved(&policy->fields, &error);
	must(strlen(po_scope_name(policy->scope)) > 0, "every scope has a word");
}

static void
fuzz_inherit(const PoPolicyFields *from, const PoPolicyFields *wider)
{
	PoPolicyFields into;
	PoPolicyFields again;

	po_policy_defaults(&into);
	po_policy_inherit(&into, from);
	po_policy_inherit(&into, wider);
	must((into.set & ~(from->set | wider->set)) == 0, "only what is set is inherited");
	if (from->set & PO_SET_WEIGHT)
		must(memcmp(&into.weight, &from->weight, sizeof(into.weight)) == 0, "nearer wins");
	else if (wider->set & PO_SET_WEIGHT)
		must(memcmp(&into.weight, &wider->weight, sizeof(into.weight)) == 0, "wider is next");
	else
		must(into.weight == 1, "then the default");
	again = into;
	po_policy_inherit(&again, wider);
	must(again.set == into.set, "nothing is inherited twice");
}

static void
fuzz_words(const char *word)
{
	PoScope		scope;
	PoMode		mode;
	PoOnFull	on_full;

	if (po_scope_parse(word, &scope))
		must(strcmp(po_scope_name(scope), word) == 0, "a scope's word is its name");
	if (po_mode_parse(word, &mode))
		must(strcmp(po_mode_name(mode), word) == 0, "a mode's word is its name");
	if (po_on_full_parse(word, &on_full))
		must(strcmp(po_on_full_name(on_full), word) == 0, "on_full's word is its name");
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	PoPolicy	policies[N_POLICIES];
	Input		in;

	in.bytes = bytes;
	in.left = size;
	for (int i = 0; i < N_POLICIES; i++)
		take_policy(&in, &policies[i]);
	for (int i = 0; i < N_POLICIES; i++)
	{
		fuzz_check(&policies[i]);
		if (memchr(policies[i].name, '\0', sizeof(policies[i].name)) != NULL)
			fuzz_words(policies[i].name);
	}
	fuzz_order(policies);
	fuzz_inherit(&policies[0].fields, &policies[1].fields);
	return 0;
}

static const FuzzSeed seeds[] = {
	/* max_connections 5 for acme, 7 for a*, and one for all */
	SEED("\0\4acme\x08\1\0\0\0\5\0\0\0" "\0\2a*\x08\1\0\0\0\7\0\0\0" "\0\1*\x0C\3\0\0\0\5\0\0\0\6\0\0\0"),
	SEED("\3\12" "10.0.0.0/8\x08\1\0\0\0\5\0\0\0" "\3\11" "[local]\0\0\x08\1\0\0\0\5\0\0\0"
	"\3\15" "2001:db8::/32\x08\1\0\0\0\5\0\0\0"),
	SEED("\5\1*\x08\1\0\0\0\5\0\0\0" "\5\1x\x08\1\0\0\0\5\0\0\0" "\1\4shop\x08\2\0\0\0\5\0\0\0"),
	SEED("\0\xFF\0" "\377\7enforce\0" "\2\4wait\0"),
	SEED("\0\1a\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
};

FUZZ_MAIN("fuzz_policy", seeds)
