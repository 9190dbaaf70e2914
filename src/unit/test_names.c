/*
 * test_names.c
 *		Templates, patterns and addresses against plain references.
 */
#include "model/po_names.h"

#include <stdlib.h>

#include "check.h"

static const PoIdentity acme = {"alice", "shop", "web app", "10.1.2.3", "acme"};

static void
test_template_check(void)
{
	char		escape = '.';

	CHECK_INT(po_template_check("%u@%d", NULL), PO_TEMPLATE_OK);
	CHECK_INT(po_template_check("%u%d%a%h%L%%", NULL), PO_TEMPLATE_OK);
	CHECK_INT(po_template_check("all", NULL), PO_TEMPLATE_OK);
	CHECK_INT(po_template_check(NULL, NULL), PO_TEMPLATE_EMPTY);
	CHECK_INT(po_template_check("", &escape), PO_TEMPLATE_EMPTY);
	CHECK_INT(po_template_check("%u%", &escape), PO_TEMPLATE_TRAILING);
	CHECK_INT(escape, '.');
	CHECK_INT(po_template_check("%u %p", &escape), PO_TEMPLATE_UNKNOWN);
	CHECK_INT(escape, 'p');
	CHECK_INT(po_template_check("%l", NULL), PO_TEMPLATE_UNKNOWN);
}

static const char *
expand(const char *template, const PoIdentity *who)
{
	static char name[PO_NAME_LEN];

	po_template_expand(template, who, name, sizeof(name));
	return name;
}

static void
test_template_expand(void)
{
	PoIdentity	unknown = {NULL, "", "a\tb\x7F", "[local]", NULL};
	char		name[8];

	CHECK_TEXT(expand("%u@%d", &acme), "alice@shop");
	CHECK_TEXT(expand("%L", &acme), "acme");
	CHECK_TEXT(expand("%a from %h", &acme), "web app from 10.1.2.3");
	CHECK_TEXT(expand("100%% %u", &acme), "100% alice");
	CHECK_TEXT(expand("%%%%u", &acme), "%%u");
	CHECK_TEXT(expand("%u@%d/%L", &unknown), "[unknown]@[unknown]/[unknown]");
	CHECK_TEXT(expand("%a@%h", &unknown), "a?b?@[local]");
	CHECK_TEXT(expand("a\nb", &acme), "a?b");
	/* what a check would refuse is taken as it stands */
	CHECK_TEXT(expand("%q%", &acme), "%q%");
	CHECK_TEXT(expand(NULL, &acme), "");

	po_template_expand("%u@%d", &acme, name, sizeof(name));
	CHECK_TEXT(name, "alice@s");
	po_template_expand("%u", &acme, name, 1);
	CHECK_TEXT(name, "");
	name[0] = 'x';
	po_template_expand("%u", &acme, name, 0);
	CHECK_INT(name[0], 'x');
}

static void
test_name_copy(void)
{
	char		to[4] = "xxx";

	po_name_copy(to, "h\xC3\xA9llo", 3);
	CHECK_TEXT(to, "h");
	po_name_copy(to, "h\xC3\xA9llo", 4);
	CHECK_TEXT(to, "h\xC3\xA9");
	po_name_copy(to, "\xF0\x9F\x90\x98", 4);
	CHECK_TEXT(to, "");
	po_name_copy(to, "ab\xE9" "cd", 4);	/* Latin-1 */
	CHECK_TEXT(to, "ab\xE9");
	po_name_copy(to, "\x80\x81\x82\x83\x84", 4);	/* not UTF-8 at all */
	CHECK_TEXT(to, "\x80\x81\x82");
	po_name_copy(to, "a\nb", 4);
	CHECK_TEXT(to, "a?b");
	po_name_copy(to, NULL, 4);
	CHECK_TEXT(to, "");
	po_name_copy(to, "abc", 1);
	CHECK_TEXT(to, "");
	po_name_copy(to, "", 0);
}

static bool
is_utf8(const char *text)
{
	const unsigned char *c = (const unsigned char *) text;

	while (*c != '\0')
	{
		int			more = *c < 0x80 ? 0 : *c >= 0xF0 ? 3 : *c >= 0xE0 ? 2 : *c >= 0xC0 ? 1 : -1;

		if (more < 0)
			return false;
		c++;
		while (more-- > 0)
		{
			if ((*c++ & 0xC0) != 0x80)
				return false;
		}
	}
	return true;
}

/* At most n characters of all lengths, some of them control characters. */
static void
random_utf8(char *text, int n)
{
	static const char *const characters[] = {
		"a", "Z", "%", "\n", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x90\x98"
	};

	*text = '\0';
	for (n = random_below(n + 1); n > 0; n--)
		strcat(text, characters[random_below(7)]);
}

/* The buffer is exactly as large as told, so ASan sees a byte too many. */
static void
test_names_never_overrun(void)
{
	for (int round = 0; round < 20000; round++)
	{
		char		parts[6][4 * 80 + 1];
		PoIdentity	who = {parts[0], parts[1], parts[2], parts[3], parts[4]};
		size_t		size = 1 + (size_t) random_below(round % 2 ? 12 : PO_NAME_LEN);
		char	   *name = malloc(size);
		char		template[sizeof(parts[5]) + 20];

		if (name == NULL)
			abort();
		for (int i = 0; i < 6; i++)
			random_utf8(parts[i], 80);
		snprintf(template, sizeof(template), "%.*s%%u\xC3\xA9%%d%%a-%%h%%L%s",
				 random_below(3), "ab", random_below(2) ? parts[5] : "");
		po_template_expand(template, &who, name, size);
		CHECK(memchr(name, '\0', size) != NULL);
		CHECK_WITH(is_utf8(name), "%s", name);
		CHECK(strpbrk(name, "\n\t\x7F") == NULL);
		/* stops only where the next character does not fit */
		CHECK(strlen(parts[0]) < PO_PART_LEN || strlen(name) + 4 >= size ||
			  strlen(name) >= PO_PART_LEN - 4);

		po_name_copy(name, parts[0], size);
		CHECK(is_utf8(name));
		CHECK(strlen(name) == strlen(parts[0]) || strlen(name) + 4 >= size);
		free(name);
	}
}

/* A part takes PO_PART_LEN - 1 bytes at most, and others still follow. */
static void
test_template_long_part(void)
{
	char		role[200];
	char		want[PO_NAME_LEN];
	PoIdentity	who = acme;

	memset(role, 'r', sizeof(role) - 1);
	role[sizeof(role) - 1] = '\0';
	who.role = role;
	snprintf(want, sizeof(want), "%.*s@shop", PO_PART_LEN - 1, role);
	CHECK_TEXT(expand("%u@%d", &who), want);
}

/* The meaning of '*', tried in every way: exponential, for short strings. */
static bool
matches_naively(const char *pattern, const char *name)
{
	if (*pattern == '\0')
		return *name == '\0';
	if (*pattern == '*')
		return matches_naively(pattern + 1, name) ||
			(*name != '\0' && matches_naively(pattern, name + 1));
	return *pattern == *name && matches_naively(pattern + 1, name + 1);
}

static void
random_word(char *word, const char *letters, int longest)
{
	int			length = random_below(longest + 1);
	int			n = (int) strlen(letters);

	for (int i = 0; i < length; i++)
		word[i] = letters[random_below(n)];
	word[length] = '\0';
}

static void
test_patterns(void)
{
	char		long_name[20001];

	CHECK(po_pattern_matches("*", ""));
	CHECK(po_pattern_matches("", ""));
	CHECK(!po_pattern_matches("", "a"));
	CHECK(po_pattern_matches("*@shop", "alice@shop"));
	CHECK(!po_pattern_matches("*@shop", "alice@shops"));
	CHECK(po_pattern_matches("a*c*e", "abcde"));
	CHECK(!po_pattern_matches(NULL, "a") && !po_pattern_matches("*", NULL));
	CHECK(po_pattern_is("a*") && !po_pattern_is("a") && !po_pattern_is(NULL));
	CHECK_INT(po_pattern_literal_length("*a**b*"), 2);
	CHECK_INT(po_pattern_literal_length(NULL), 0);

	for (int round = 0; round < 100000; round++)
	{
		char		pattern[9];
		char		name[11];

		random_word(pattern, "ab**", 8);
		random_word(name, round % 4 ? "ab" : "ab*", 10);
		CHECK_WITH(po_pattern_matches(pattern, name) == matches_naively(pattern, name),
				   "%s, %s", pattern, name);
	}

	/* what takes for ever when every '*' is tried at every place */
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	CHECK(!po_pattern_matches("*a*a*a*a*a*a*a*a*a*a*a*a*b", long_name));
}

static void
check_cidr(const char *text, const char *want)
{
	PoCidr		cidr;
	char		printed[64];

	CHECK_WITH(po_cidr_parse(text, &cidr), "%s", text);
	po_cidr_print(&cidr, printed, sizeof(printed));
	CHECK_TEXT(printed, want);
}

static void
test_cidr_text(void)
{
	static const char *const wrong[] = {
		"", " ", "10", "10.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08",
		"10.0.0.0/8 ", " 10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/8/8", "10.0.0.0/+8",
		"256.0.0.1", "010.0.0.1", "10.0.0.0/4294967304", "fe80::1%eth0", "::1/64",
		"2001:db8::/129", "2001:db8:::/32", "[local]/0", "[LOCAL]", "[::1]", "*", "localhost",
		"1:2:3:4:5:6:7:8:9", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"
	};
	PoCidr		cidr;
	char		tiny[4];

	check_cidr("10.0.0.0/8", "10.0.0.0/8");
	check_cidr("10.1.2.3", "10.1.2.3");
	check_cidr("10.1.2.3/32", "10.1.2.3");
	check_cidr("0.0.0.0/0", "0.0.0.0/0");
	check_cidr("::/0", "::/0");
	check_cidr("FE80::1", "fe80::1");
	check_cidr("2001:db8::/32", "2001:db8::/32");
	check_cidr("2001:db8::/127", "2001:db8::/127");
	check_cidr("::1/128", "::1");
	check_cidr("[local]", "[local]");
	check_cidr("::ffff:10.1.2.3", "10.1.2.3");
	check_cidr("::ffff:10.1.0.0/112", "10.1.0.0/16");
	check_cidr("::ffff:0:0/96", "0.0.0.0/0");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK_WITH(!po_cidr_parse(wrong[i], &cidr), "%s", wrong[i]);
	CHECK(!po_cidr_parse(NULL, &cidr));

	CHECK(po_cidr_parse("10.1.2.3", &cidr));
	po_cidr_print(&cidr, tiny, sizeof(tiny));
	CHECK_TEXT(tiny, "10.");
	po_cidr_print(&cidr, tiny, 0);
}

/* Bit by bit, as an independent meaning of "within". */
static bool
contains_naively(const PoCidr *cidr, const PoCidr *address)
{
	if (cidr->family != address->family || address->bits < cidr->bits)
		return false;
	for (int i = 0; i < cidr->bits; i++)
	{
		int			shift = 7 - i % 8;

		if ((cidr->bytes[i / 8] >> shift & 1) != (address->bytes[i / 8] >> shift & 1))
			return false;
	}
	return true;
}

static PoCidr
random_address(void)
{
	PoCidr		a = {0};

	a.family = (uint8_t) (random_below(9) == 0 ? 0 : random_below(2) ? 4 : 6);
	a.bits = a.family == 0 ? 0 : a.family == 4 ? 32 : 128;
	/* few different bits, so that prefixes are often shared */
	for (int i = 0; i < a.bits / 8; i++)
		a.bytes[i] = random_below(4) ? 0xAA : (uint8_t) (0xAA ^ 1 << random_below(8));
	return a;
}

static void
test_cidr_brute_force(void)
{
	for (int round = 0; round < 50000; round++)
	{
		PoCidr		address = random_address();
		PoCidr		cidr = random_address();
		PoCidr		read;
		char		text[64];

		cidr.bits = (uint8_t) random_below(cidr.bits + 1);
		for (int i = cidr.bits; i < 128; i++)
			cidr.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
		po_cidr_print(&cidr, text, sizeof(text));
		CHECK_WITH(po_cidr_parse(text, &read), "%s", text);
		CHECK_WITH(memcmp(&read, &cidr, sizeof(read)) == 0, "%s", text);
		CHECK_WITH(po_cidr_contains(&cidr, &address) == contains_naively(&cidr, &address),
				   "%s", text);
		CHECK(po_cidr_contains(&cidr, &cidr));
	}
}

static void
test_cidr_damaged(void)
{
	for (int round = 0; round < 20000; round++)
	{
		PoCidr		a;
		PoCidr		b;
		char		text[64];

		random_fill(&a, sizeof(a));
		random_fill(&b, sizeof(b));
		if (random_below(2))
			a.family = b.family = (uint8_t) (random_below(2) ? 4 : 6);
		(void) po_cidr_contains(&a, &b);
		po_cidr_print(&a, text, 1 + (size_t) random_below(sizeof(text)));
		CHECK(memchr(text, '\0', sizeof(text)) != NULL);
	}
}

static const char *
label_in(const char *a, const char *b, const char *c)
{
	const char *words[3] = {a, b, c};
	const char *label = po_label_in_options(words, c != NULL ? 3 : b != NULL ? 2 : 1);

	return label == NULL ? "(none)" : label;
}

static void
test_label_in_options(void)
{
	CHECK(po_label_in_options(NULL, 0) == NULL);
	CHECK_TEXT(label_in("-c", "pool_optimizer.label=acme", NULL), "acme");
	CHECK_TEXT(label_in("-cpool_optimizer.label=acme", NULL, NULL), "acme");
	CHECK_TEXT(label_in("--Pool-Optimizer.LABEL=Acme", NULL, NULL), "Acme");
	CHECK_TEXT(label_in("-c", "pool_optimizer.label=a=b", NULL), "a=b");
	CHECK_TEXT(label_in("--pool_optimizer.label=", NULL, NULL), "");
	/* the last one wins */
	CHECK_TEXT(label_in("--pool_optimizer.label=a", "-cpool_optimizer.label=b", NULL), "b");
	CHECK_TEXT(label_in("--pool_optimizer.label=a", "-c", "work_mem=1"), "a");
	/* what follows -c is its value, whatever it looks like */
	CHECK_TEXT(label_in("-c", "--pool_optimizer.label=a", NULL), "(none)");
	CHECK_TEXT(label_in("-c", NULL, NULL), "(none)");
	CHECK_TEXT(label_in("pool_optimizer.label=a", NULL, NULL), "(none)");
	CHECK_TEXT(label_in("--pool_optimizer.label", NULL, NULL), "(none)");
	CHECK_TEXT(label_in("--pool_optimizer.labels=a", NULL, NULL), "(none)");
	CHECK_TEXT(label_in("--", "", "-"), "(none)");
}

int
main(void)
{
	test_template_check();
	test_template_expand();
	test_template_long_part();
	test_name_copy();
	test_names_never_overrun();
	test_patterns();
	test_cidr_text();
	test_cidr_brute_force();
	test_cidr_damaged();
	test_label_in_options();
	return check_end("test_names");
}
