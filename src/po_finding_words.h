/*
 * po_finding_words.h
 *		What is said of a finding: its evidence, and what to do.
 */
#ifndef PO_FINDING_WORDS_H
#define PO_FINDING_WORDS_H

#include "po_shmem.h"

#include "lib/stringinfo.h"

/* What the reader may see of it; NULL and 0 = not known, or not for him. */
typedef struct PoFindingFacts
{
	const PoFindingRecord *f;
	const char *tenant;
	const char *statement;
	double		p99_ms;
	uint64		parent;
	const char *parent_statement;
	uint64		blocker;
	const char *blocker_statement;
	const char *database;		/* where the table is */
	const char *table;			/* qualified and quoted, of this database */
	const char *columns;		/* of the condition, "a, b", quoted */
	bool		shows_examples;
} PoFindingFacts;

/* A JSON object; palloc'd. */
extern char *po_finding_words_evidence(const PoFindingFacts *facts);

/* palloc'd */
extern char *po_finding_words_advice(const PoFindingFacts *facts);

/*
 * For logs and listeners, who may not be such as may read statements: nothing in these is of a
 * statement's text.  What it costs, in a sentence without a full stop; what to do about it, and
 * the statement that acknowledges it, palloc'd.
 */
extern void po_finding_words_message(const PoFindingRecord *f, StringInfo message);
extern char *po_finding_words_bare_advice(const PoFindingRecord *finding, const char *tenant);
extern char *po_finding_words_acknowledge(const PoFindingRecord *finding, const char *tenant);

#endif							/* PO_FINDING_WORDS_H */
