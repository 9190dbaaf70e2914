/*
 * fuzz_names.c
 *		Fuzzing what reads text from outside: templates, patterns and addresses.
 */
#include "model/po_names.h"

#include "fuzz.h"

static void
must_be_clean(const char *name, size_t size)
{
	must(memchr(name, '\0', size) != NULL, "a name ends within its buffer");
	for (; *name != '\0'; name++)
	{
		unsigned char c = (unsigned char) *name;

		must(c >= 32 && c != 127, "no control characters");
	}
}

static void
fuzz_template(const char *template, const char *part, size_t size)
{
	PoIdentity	who = {part, part, "", part, NULL};
	char	   *name = malloc(size);
	char		escape = 0;
	PoTemplateError error = po_template_check(template, &escape);

	if (name == NULL)
		abort();
	po_template_expand(template, &who, name, size);
	must_be_clean(name, size);
	must(error != PO_TEMPLATE_OK || size < 5 || name[0] != '\0',
		 "a checked template gives a name where a character fits");
	po_name_copy(name, part, size);
	must_be_clean(name, size);
	free(name);
}

static void
fuzz_pattern(const char *pattern, const char *name)
{
	int			literal = po_pattern_literal_length(pattern);
	bool		matches = po_pattern_matches(pattern, name);

	must(po_pattern_matches("*", name), "* matches everything");
	must(!matches || literal <= (int) strlen(name), "a match has all of the literal part");
	if (!po_pattern_is(pattern))
	{
		must(literal == (int) strlen(pattern), "no star: all is literal");
		must(matches == (strcmp(pattern, name) == 0), "no star: equality");
	}
}

static void
fuzz_cidr(const char *text, const char *other)
{
	PoCidr		cidr;
	PoCidr		again;
	char		printed[64];

	if (!po_cidr_parse(text, &cidr))
		return;
	po_cidr_print(&cidr, printed, sizeof(printed));
	must(po_cidr_parse(printed, &again), "what is printed can be read");
	must(memcmp(&cidr, &again, sizeof(cidr)) == 0, "and reads the same");
	must(po_cidr_contains(&cidr, &cidr), "a network contains itself");
	if (po_cidr_parse(other, &again) && po_cidr_contains(&cidr, &again))
		must(cidr.family == again.family && cidr.bits <= again.bits,
			 "only what is narrower is contained");
}

/* The input: a size, then two strings separated by a zero byte. */
int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char	   *text;
	const char *second;

	if (size < 1)
		return 0;
	text = malloc(size);
	if (text == NULL)
		abort();
	memcpy(text, bytes + 1, size - 1);
	text[size - 1] = '\0';
	second = text + strlen(text);
	if (second < text + size - 1)
		second++;

	fuzz_template(text, second, (size_t) bytes[0] + 1);
	fuzz_pattern(text, second);
	fuzz_cidr(text, second);
	free(text);
	return 0;
}

static const FuzzSeed seeds[] = {
	SEED("\xFF%u@%d\0alice"),
	SEED("\x40%a/%h/%L%%\0caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x90\x98"),
	SEED("\x05%"),
	SEED("\x10" "a*b*c\0aXbYc"),
	SEED("\x10*a*a*a*a*b\0aaaaaaaaaaaaaaaaaaaa"),
	SEED("\x10" "10.0.0.0/8\0" "10.1.2.3"),
	SEED("\x10" "2001:db8::/32\0" "2001:db8::1"),
	SEED("\x10::ffff:10.0.0.1\0[local]"),
	SEED("\x10" "fe80::1%eth0/64\0/"),
};

FUZZ_MAIN("fuzz_names", seeds)
