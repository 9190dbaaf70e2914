/*
 * po_statement_text.c
 *		Texts of statements that pg_stat_statements has.
 *
 * It is asked with the rights of whoever looks, through the function that belongs to the
 * extension and no other of that name, and with a search_path in which nobody can put
 * anything in the way.  What it says is normalised once more: it keeps the constants
 * of utility statements.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/varlena.h"

#include "model/po_normalise.h"
#include "po_statement_text.h"

#define LIBRARY			"pg_stat_statements"
#define LONGEST_TEXT	8192

typedef struct TextKey
{
	uint64		queryid;
	Oid			database;
	uint32		zero;			/* keys are compared as bytes */
} TextKey;

typedef struct TextEntry
{
	TextKey		key;
	char	   *text;
} TextEntry;

/* Created, but not preloaded, its function fails. */
static bool
is_preloaded(void)
{
	char	   *list;
	List	   *names = NIL;
	ListCell   *cell;
	bool		found = false;

	if (shared_preload_libraries_string == NULL)
		return false;
	list = pstrdup(shared_preload_libraries_string);
	if (SplitDirectoriesString(list, ',', &names))
	{
		foreach(cell, names)
		{
			const char *name = last_dir_separator(lfirst(cell));

			name = name == NULL ? lfirst(cell) : name + 1;
			found = found || strcmp(name, LIBRARY) == 0 || strcmp(name, LIBRARY ".so") == 0;
		}
	}
	list_free_deep(names);
	pfree(list);
	return found;
}

/* "schema.function" as it can be called, NULL if the role may not; in SPI's memory. */
static char *
find_function(void)
{
	static const char query[] =
		"SELECT format('%I.%I', n.nspname, p.proname) FROM pg_extension e "
		"JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid "
		"AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass "
		"JOIN pg_proc p ON p.oid = d.objid JOIN pg_namespace n ON n.oid = p.pronamespace "
		"WHERE e.extname = '" LIBRARY "' AND p.proname = '" LIBRARY "' "
		"AND p.proargtypes[0] = 'bool'::regtype AND p.pronargs = 1 "
		"AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')";

	if (SPI_execute(query, true, 2) != SPI_OK_SELECT || SPI_processed != 1)
		return NULL;
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

static void
keep_text(HTAB *texts, MemoryContext context, HeapTuple row, TupleDesc desc)
{
	TextKey		key;
	TextEntry  *entry;
	bool		found;
	bool		isnull[3];
	char		text[LONGEST_TEXT];
	char	   *whole;
	size_t		n;

	memset(&key, 0, sizeof(key));
	key.queryid = (uint64) DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull[0]));
	key.database = DatumGetObjectId(SPI_getbinval(row, desc, 2, &isnull[1]));
	whole = SPI_getvalue(row, desc, 3);
	if (isnull[0] || isnull[1] || whole == NULL)
		return;
	entry = hash_search(texts, &key, HASH_ENTER, &found);
	if (!found)
	{
		n = po_normalise(whole, strlen(whole), text, sizeof(text));
		n = pg_mbcliplen(text, (int) n, (int) n);
		text[n] = '\0';
		entry->text = MemoryContextStrdup(context, text);
	}
	pfree(whole);
}

static void
read_texts(HTAB *texts, MemoryContext context, const char *function, bool own_only)
{
	Oid			types[] = {BOOLOID, OIDOID};
	Datum		values[] = {BoolGetDatum(own_only), ObjectIdGetDatum(GetUserId())};
	char	   *query = psprintf("SELECT queryid::int8, dbid, query FROM %s(true) "
								 "WHERE query IS NOT NULL AND (NOT $1 OR userid = $2)",
								 function);

	if (SPI_execute_with_args(query, 2, types, values, NULL, true, 0) != SPI_OK_SELECT)
		return;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		CHECK_FOR_INTERRUPTS();
		keep_text(texts, context, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	}
}

static void
ask(HTAB *texts, MemoryContext context, bool own_only)
{
	char	   *function;
	int			nest;

	SPI_connect();
	nest = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	function = find_function();
	if (function != NULL)
		read_texts(texts, context, function, own_only);
	AtEOXact_GUC(false, nest);
	SPI_finish();
}

/* The last of these is that there is no conversion from one encoding to the other. */
static bool
is_of_encodings(int sqlstate)
{
	return sqlstate == ERRCODE_UNTRANSLATABLE_CHARACTER ||
		sqlstate == ERRCODE_CHARACTER_NOT_IN_REPERTOIRE || sqlstate == ERRCODE_UNDEFINED_FUNCTION;
}

/*
 * It converts the texts of all databases to the encoding of this one, and one that cannot be
 * converted is an error of the whole.  We go on without it then.
 */
static void
ask_safely(HTAB *texts, MemoryContext context, bool own_only)
{
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		ask(texts, context, own_only);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (!is_of_encodings(error->sqlerrcode))
			ReThrowError(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

HTAB *
po_statement_text_load(bool own_only)
{
	MemoryContext context = CurrentMemoryContext;
	HASHCTL		control;
	HTAB	   *texts;

	/* Before 17 a parallel query cannot have what ask_safely needs. */
	if (!is_preloaded() || IsInParallelMode())
		return NULL;
	memset(&control, 0, sizeof(control));
	control.keysize = sizeof(TextKey);
	control.entrysize = sizeof(TextEntry);
	control.hcxt = context;
	texts = hash_create("texts of statements", 1024, &control,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ask_safely(texts, context, own_only);
	return texts;
}

const char *
po_statement_text_find(HTAB *texts, uint64 queryid, Oid database, const char *own)
{
	TextKey		key;
	TextEntry  *entry = NULL;

	memset(&key, 0, sizeof(key));
	key.queryid = queryid;
	key.database = database;
	if (texts != NULL)
		entry = hash_search(texts, &key, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->text;
	return own[0] != '\0' ? own : NULL;
}
