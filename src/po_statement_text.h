/*
 * po_statement_text.h
 *		Texts of statements that pg_stat_statements has.
 */
#ifndef PO_STATEMENT_TEXT_H
#define PO_STATEMENT_TEXT_H

#include "postgres.h"

#include "utils/hsearch.h"

/*
 * Reads them as far as the calling role may: those of all roles or, with own_only, those
 * that the role has run itself.  NULL if the extension is not in this database or cannot
 * be used.  For client backends, in a transaction; an SQL error may come out of it.
 */
extern HTAB *po_statement_text_load(bool own_only);

/* Else our own text, "" = none; NULL if there is neither.  Normalised. */
extern const char *po_statement_text_find(HTAB *texts, uint64 queryid, Oid database,
										  const char *own);

#endif							/* PO_STATEMENT_TEXT_H */
