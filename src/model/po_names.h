/*
 * po_names.h
 *		Tenants' names: the template, patterns, and addresses.
 *
 * All functions take and give NUL-terminated strings of any encoding that keeps
 * ASCII bytes for ASCII characters, and compare bytes.
 */
#ifndef PO_NAMES_H
#define PO_NAMES_H

#include "model/po_types.h"

/* What a template can use; NULL and "" read "[unknown]". */
typedef struct PoIdentity
{
	const char *role;			/* %u */
	const char *database;		/* %d */
	const char *application;	/* %a */
	const char *address;		/* %h, "[local]" for a socket */
	const char *label;			/* %L */
} PoIdentity;

typedef enum PoTemplateError
{
	PO_TEMPLATE_OK,
	PO_TEMPLATE_EMPTY,			/* no text at all */
	PO_TEMPLATE_TRAILING,		/* ends in a lone % */
	PO_TEMPLATE_UNKNOWN			/* unknown escape */
} PoTemplateError;

/* Checks a template; on PO_TEMPLATE_UNKNOWN the escape goes to *escape. */
extern PoTemplateError po_template_check(const char *template, char *escape);

/*
 * Writes the name that a (checked) template gives; clips every part to
 * PO_PART_LEN - 1 bytes and the whole to size - 1, never within a UTF-8
 * sequence.  Control characters become '?'.
 */
extern void po_template_expand(const char *template, const PoIdentity *who,
							   char *name, size_t size);

/*
 * Copies at most size - 1 bytes without cutting a UTF-8 sequence in two,
 * control characters (below 32, and 127) replaced by '?'.  NULL copies as "".
 */
extern void po_name_copy(char *to, const char *from, size_t size);

/*
 * The label that a client's startup options give, split into words: by "-c name=value",
 * "-cname=value" or "--name=value", the last one wins.  As for core, case does not
 * matter in a setting's name, and a dash is an underscore.  Points into a word; NULL
 * without a label.
 */
extern const char *po_label_in_options(const char *const *word, int n);

/* Does it contain a '*'?  Such a name is a pattern wherever policies are named. */
extern bool po_pattern_is(const char *pattern);

/* Does the whole name match?  '*' matches any run of bytes, also an empty one.
 * Linear in time but for backtracking to the last '*' (greedy glob). */
extern bool po_pattern_matches(const char *pattern, const char *name);

/* Bytes that are not '*': the longer, the more specific. */
extern int	po_pattern_literal_length(const char *pattern);

/* An address with the length of its prefix.  IPv4 is kept as 4 bytes. */
typedef struct PoCidr
{
	uint8_t		family;			/* 4, 6, or 0 for a Unix-domain socket */
	uint8_t		bits;			/* 0..32, 0..128 */
	uint8_t		bytes[16];		/* network order, those past the prefix 0 */
} PoCidr;

/*
 * Reads "10.0.0.0/8", "10.1.2.3", "fe80::1", "2001:db8::/32" or "[local]".
 * False when malformed, also for bits set beyond the prefix ("10.0.0.1/8"), an
 * IPv6 zone, or leading or trailing junk.  An IPv4-mapped IPv6 address
 * (::ffff:a.b.c.d, or with a prefix of 96 and more) is read as IPv4.
 */
extern bool po_cidr_parse(const char *text, PoCidr *cidr);

/* Is address (a full one) within cidr? */
extern bool po_cidr_contains(const PoCidr *cidr, const PoCidr *address);

/* Writes the canonical text: no prefix length when it is a whole address. */
extern void po_cidr_print(const PoCidr *cidr, char *text, size_t size);

#endif							/* PO_NAMES_H */
