/*
 * po_names.c
 *		Tenants' names: the template, patterns, and addresses.
 */
#include "model/po_names.h"

#include <arpa/inet.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#define UNKNOWN_PART	"[unknown]"
#define LOCAL_ADDRESS	"[local]"

PoTemplateError
po_template_check(const char *template, char *escape)
{
	if (template == NULL || *template == '\0')
		return PO_TEMPLATE_EMPTY;
	for (const char *c = template; *c != '\0'; c++)
	{
		if (*c != '%')
			continue;
		c++;
		if (*c == '\0')
			return PO_TEMPLATE_TRAILING;
		if (strchr("udahL%", *c) == NULL)
		{
			if (escape != NULL)
				*escape = *c;
			return PO_TEMPLATE_UNKNOWN;
		}
	}
	return PO_TEMPLATE_OK;
}

/* How long a UTF-8 sequence is that starts with this byte; 1 for any other byte. */
static size_t
sequence_length(unsigned char lead)
{
	if (lead >= 0xF0)
		return 4;
	if (lead >= 0xE0)
		return 3;
	return lead >= 0xC0 ? 2 : 1;
}

/*
 * How much of the length bytes at text fits into room bytes without cutting a
 * UTF-8 sequence in two.  Bytes that cannot be UTF-8 are cut anywhere.
 */
static size_t
fitting(const char *text, size_t length, size_t room)
{
	size_t		start = room;

	if (length <= room)
		return length;
	while (start > 0 && room - start < 3 && ((unsigned char) text[start] & 0xC0) == 0x80)
		start--;
	if (start < room && start + sequence_length((unsigned char) text[start]) > room)
		return start;
	return room;
}

static void
copy_printable(char *to, const char *from, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) from[i];

		to[i] = c < 32 || c == 127 ? '?' : from[i];
		/* U+0080 to U+009F in UTF-8: terminals obey U+009B as they do ESC [. */
		if (c == 0xC2 && i + 1 < length && ((unsigned char) from[i + 1] & 0xE0) == 0x80)
		{
			to[i++] = '?';
			to[i] = '?';
		}
	}
}

/* A name under construction; text has room for size bytes, more than used. */
typedef struct Builder
{
	char	   *text;
	size_t		size;
	size_t		used;
	bool		full;			/* something did not fit: nothing may follow */
} Builder;

static void
append(Builder *b, const char *from, size_t length)
{
	size_t		n;

	if (b->full)
		return;
	n = fitting(from, length, b->size - 1 - b->used);
	copy_printable(b->text + b->used, from, n);
	b->used += n;
	b->full = n < length;
}

static void
append_part(Builder *b, const char *part)
{
	if (part == NULL || *part == '\0')
		part = UNKNOWN_PART;
	append(b, part, fitting(part, strlen(part), PO_PART_LEN - 1));
}

/* Returns false when it is none of the escapes that stand for a part. */
static bool
append_escape(Builder *b, char escape, const PoIdentity *who)
{
	switch (escape)
	{
		case 'u':
			append_part(b, who->role);
			return true;
		case 'd':
			append_part(b, who->database);
			return true;
		case 'a':
			append_part(b, who->application);
			return true;
		case 'h':
			append_part(b, who->address);
			return true;
		case 'L':
			append_part(b, who->label);
			return true;
		default:
			return false;
	}
}

/* An escape that po_template_check would refuse is taken as it stands. */
void
po_template_expand(const char *template, const PoIdentity *who, char *name, size_t size)
{
	Builder		b = {name, size, 0, false};
	const char *c = template != NULL ? template : "";

	if (size == 0)
		return;
	while (*c != '\0')
	{
		size_t		literal = strcspn(c, "%");

		append(&b, c, literal);
		c += literal;
		if (*c == '\0')
			break;
		if (append_escape(&b, c[1], who))
			c += 2;
		else
		{
			append(&b, c, 1);
			c += c[1] == '%' ? 2 : 1;
		}
	}
	name[b.used] = '\0';
}

void
po_name_copy(char *to, const char *from, size_t size)
{
	size_t		n = 0;

	if (size == 0)
		return;
	if (from != NULL)
	{
		n = fitting(from, strlen(from), size - 1);
		copy_printable(to, from, n);
	}
	to[n] = '\0';
}

/* The value of a "name=value" word if it is the label's, else NULL. */
static const char *
label_in_word(const char *word)
{
	static const char name[] = "pool_optimizer.label=";

	for (int i = 0; name[i] != '\0'; i++)
	{
		char		c = word[i] == '-' ? '_' : word[i];

		if (c >= 'A' && c <= 'Z')
			c = (char) (c - 'A' + 'a');
		if (c != name[i])
			return NULL;
	}
	return word + sizeof(name) - 1;
}

const char *
po_label_in_options(const char *const *word, int n)
{
	const char *label = NULL;

	for (int i = 0; i < n; i++)
	{
		const char *found = NULL;

		if (strcmp(word[i], "-c") == 0 && i + 1 < n)
			found = label_in_word(word[++i]);
		else if (strncmp(word[i], "-c", 2) == 0 || strncmp(word[i], "--", 2) == 0)
			found = label_in_word(word[i] + 2);
		if (found != NULL)
			label = found;
	}
	return label;
}

bool
po_pattern_is(const char *pattern)
{
	return pattern != NULL && strchr(pattern, '*') != NULL;
}

bool
po_pattern_matches(const char *pattern, const char *name)
{
	const char *after_star = NULL;	/* the pattern behind the last '*' met */
	const char *retry = NULL;	/* where in name it was tried last */

	if (pattern == NULL || name == NULL)
		return false;
	while (*name != '\0')
	{
		if (*pattern == '*')
		{
			after_star = ++pattern;
			retry = name;
		}
		else if (*pattern == *name)
		{
			pattern++;
			name++;
		}
		else if (after_star != NULL)
		{
			/* let the last '*' take one more byte */
			pattern = after_star;
			name = ++retry;
		}
		else
			return false;
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

int
po_pattern_literal_length(const char *pattern)
{
	int			length = 0;

	if (pattern == NULL)
		return 0;
	for (; *pattern != '\0' && length < INT_MAX; pattern++)
	{
		if (*pattern != '*')
			length++;
	}
	return length;
}

/* Reads the length of a prefix: decimal digits, no sign, no leading zero. */
static bool
parse_bits(const char *text, int max, int *bits)
{
	int			value = 0;

	if (*text == '\0' || (*text == '0' && text[1] != '\0'))
		return false;
	for (; *text != '\0'; text++)
	{
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (*text - '0');
		if (value > max)
			return false;
	}
	*bits = value;
	return true;
}

/* The bits of byte i that lie within a prefix. */
static uint8_t
prefix_mask(int bits, int i)
{
	int			within = bits - i * 8;

	if (within >= 8)
		return 0xFF;
	return within <= 0 ? 0 : (uint8_t) (0xFF << (8 - within));
}

/* An IPv6 address or network that stands for an IPv4 one becomes that. */
static void
unmap_ipv4(PoCidr *cidr)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

	if (cidr->family != 6 || cidr->bits < 96 || memcmp(cidr->bytes, mapped, 12) != 0)
		return;
	memmove(cidr->bytes, cidr->bytes + 12, 4);
	memset(cidr->bytes + 4, 0, 12);
	cidr->family = 4;
	cidr->bits -= 96;
}

bool
po_cidr_parse(const char *text, PoCidr *cidr)
{
	char		address[INET6_ADDRSTRLEN];
	PoCidr		c = {0};
	size_t		length;
	int			max;
	int			bits;

	if (text == NULL)
		return false;
	if (strcmp(text, LOCAL_ADDRESS) == 0)
	{
		*cidr = c;
		return true;
	}

	length = strcspn(text, "/");
	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	c.family = strchr(address, ':') != NULL ? 6 : 4;
	if (inet_pton(c.family == 6 ? AF_INET6 : AF_INET, address, c.bytes) != 1)
		return false;

	max = c.family == 6 ? 128 : 32;
	bits = max;
	if (text[length] == '/' && !parse_bits(text + length + 1, max, &bits))
		return false;
	c.bits = (uint8_t) bits;
	for (int i = 0; i < max / 8; i++)
	{
		if (c.bytes[i] & ~prefix_mask(bits, i))
			return false;
	}
	unmap_ipv4(&c);
	*cidr = c;
	return true;
}

/* The bits of a whole address; 0 for a socket, -1 for no family at all. */
static int
family_bits(uint8_t family)
{
	switch (family)
	{
		case 0:
			return 0;
		case 4:
			return 32;
		case 6:
			return 128;
		default:
			return -1;
	}
}

bool
po_cidr_contains(const PoCidr *cidr, const PoCidr *address)
{
	int			max = family_bits(cidr->family);
	int			bits = cidr->bits < max ? cidr->bits : max;

	if (max < 0 || cidr->family != address->family || address->bits < bits)
		return false;
	for (int i = 0; i * 8 < bits; i++)
	{
		if ((cidr->bytes[i] ^ address->bytes[i]) & prefix_mask(bits, i))
			return false;
	}
	return true;
}

void
po_cidr_print(const PoCidr *cidr, char *text, size_t size)
{
	char		full[INET6_ADDRSTRLEN + 4];
	int			max = family_bits(cidr->family);
	size_t		length;
	int			bits = cidr->bits;

	if (max <= 0)
	{
		po_name_copy(text, max == 0 ? LOCAL_ADDRESS : "", size);
		return;
	}
	if (inet_ntop(cidr->family == 6 ? AF_INET6 : AF_INET, cidr->bytes, full,
				  INET6_ADDRSTRLEN) == NULL)
		full[0] = '\0';
	if (bits < max)
	{
		length = strlen(full);
		full[length++] = '/';
		if (bits >= 100)
			full[length++] = '1';
		if (bits >= 10)
			full[length++] = (char) ('0' + bits / 10 % 10);
		full[length++] = (char) ('0' + bits % 10);
		full[length] = '\0';
	}
	po_name_copy(text, full, size);
}
