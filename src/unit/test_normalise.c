/*
 * test_normalise.c
 *		The text of a statement has no constant, whatever they look like.
 */
#include "model/po_normalise.h"

#include "check.h"

static const char *
normal(const char *sql)
{
	static char text[400];
	size_t		n = po_normalise(sql, strlen(sql), text, sizeof(text));

	CHECK_INT(n, strlen(text));
	return text;
}

#define NORMAL(sql, want)	CHECK_TEXT(normal(sql), want)

static void
test_literals(void)
{
	NORMAL("SELECT 1", "SELECT $1");
	NORMAL("SELECT 'secret', E'sec\\'ret', $$sec'ret$$", "SELECT $1, $2, $3");
	NORMAL("SELECT 'it''s', $a$ $$ secret $a$, $b1$x$b1$", "SELECT $1, $2, $3");
	NORMAL("SELECT B'101' || X'ff', n'x', U&'\\0061' UESCAPE '!'",
		   "SELECT $1 || $2, $3, $4 UESCAPE $5");
	NORMAL("SELECT 1.5e+10, .5, 0x1F+1, 1_000, 1.", "SELECT $1, $2, $3+$4, $5, $6");
	NORMAL("SELECT -7, a-7, a - - 7", "SELECT -$1, a-$2, a - - $3");
	NORMAL("SELECT true, FALSE, null, trues", "SELECT $1, $2, null, trues");
	NORMAL("WHERE d > DATE '2024-01-01' AND t::varchar(12) <> ''",
		   "WHERE d > DATE $1 AND t::varchar($2) <> $3");
	NORMAL("ALTER ROLE x PASSWORD 'hunter2'", "ALTER ROLE x PASSWORD $1");
	NORMAL("DO $body$ BEGIN PERFORM 'secret'; END $body$", "DO $1");
	/* E as a column is no prefix. */
	NORMAL("SELECT e, E 'x'", "SELECT e, E $1");
}

static void
test_names(void)
{
	NORMAL("SELECT t1.a2, \"Odd 'name\"\"1\" FROM s1.t$1", "SELECT t1.a2, \"Odd 'name\"\"1\" FROM s1.t$1");
	NORMAL("SELECT caf\xc3\xa9 1 FROM t", "SELECT caf\xc3\xa9 $1 FROM t");
	NORMAL("SELECT a[1:2], b->'k', c->>0", "SELECT a[$1:$2], b->$3, c->>$4");
	NORMAL("SELECT U&\"d\\0061t\" + 1", "SELECT U&\"d\\0061t\" + $1");
}

static void
test_parameters(void)
{
	NORMAL("SELECT $1, 7 WHERE a = $2", "SELECT $1, $3 WHERE a = $2");
	NORMAL("SELECT 7, $12", "SELECT $13, $12");
	NORMAL("SELECT $ 7", "SELECT $ $1");
}

static void
test_space(void)
{
	NORMAL("  SELECT\n\t1 ;  ", "SELECT $1");
	NORMAL("SELECT 1 -- secret\n, 2", "SELECT $1, $2");
	NORMAL("/* secret /* nested */ still */ SELECT/**/a", "SELECT a");
	NORMAL("SELECT a--b", "SELECT a");
	NORMAL("SELECT 5/* open", "SELECT $1");
	NORMAL("SELECT a - -1", "SELECT a - -$1");
	NORMAL("", "");
	NORMAL(" ; ", "");
}

static void
test_lists(void)
{
	NORMAL("a IN (1, 2, 3)", "a IN ($1, $2, $3)");
	NORMAL("a IN (1, 2, 3, 4, 5) AND b = 6", "a IN ($1, $2, $3, ...) AND b = $4");
	NORMAL("a IN ($1,$2,$3,$4,$5)", "a IN ($1,$2,$3, ...)");
	NORMAL("VALUES (1, 'b', 3, 'd'), (2, 'c', 4, 'e')",
		   "VALUES ($1, $2, $3, ...), ($4, $5, $6, ...)");
	NORMAL("f(1, 2, 3, a, 4)", "f($1, $2, $3, a, $4)");
	NORMAL("f(1,, 2)", "f($1,, $2)");
	NORMAL("1,", "$1");
}

/* Whether \' ends a plain string is a setting: nothing of what follows is shown. */
static void
test_unsure(void)
{
	NORMAL("SELECT 'a\\' secret '' ', b", "SELECT $1 ...");
	NORMAL("SELECT 'a\\\\', b", "SELECT $1, b");
	NORMAL("SELECT 'a\\b', 'secret'", "SELECT $1, $2");
	NORMAL("SELECT 'open", "SELECT $1");
	NORMAL("SELECT $x$open", "SELECT $1");
	NORMAL("SELECT \"open", "SELECT \"open");
	NORMAL("SELECT E'open\\", "SELECT $1");
}

static void
test_bounds(void)
{
	char		text[64];
	char		sql[200];

	memset(sql, 'x', sizeof(sql));
	CHECK_INT(po_normalise(sql, sizeof(sql), text, 10), 9);
	CHECK_INT(strlen(text), 9);
	CHECK_INT(po_normalise("SELECT 1", 8, text, 1), 0);
	CHECK_INT(po_normalise("SELECT 1", 8, text, 0), 0);
	/* No more is read than there is. */
	CHECK_INT(po_normalise("SELECT 'abc'", 9, text, sizeof(text)), 9);
	CHECK_TEXT(text, "SELECT $1");
	CHECK_INT(po_normalise("a\0b", 3, text, sizeof(text)), 3);
}

/* A word that only occurs within literals and comments never comes out. */
static void
test_property_nothing_leaks(void)
{
	static const char *const hidden[] = {
		"'qqq'", "'x''qqq'", "E'\\'qqq'", "$$qqq$$", "$t$ 'qqq $$ $t$", "7.qqq", "0xqqq",
		"/* qqq */", "-- qqq\n", "/*/**/qqq*/", "U&'qqq'", "'a\\\\qqq'", "'\\''qqq'",
		"x'qqq'", "'\nqqq'"
	};
	static const char *const shown[] = {
		"SELECT ", "a", " ", ", ", "(", ")", "\"b'\"", "$3", " e ", "- ", "/ ", "* ", ";", "$ ",
		"u & ", "\\ ", "\n", "::", "."
	};

	for (int round = 0; round < 20000; round++)
	{
		char		sql[400] = "";
		char		text[500];
		int			n = 1 + random_below(12);

		for (int i = 0; i < n; i++)
		{
			if (random_below(3) == 0)
			{
				strcat(sql, " ");
				strcat(sql, hidden[random_below(sizeof(hidden) / sizeof(hidden[0]))]);
				strcat(sql, " ");
			}
			else
				strcat(sql, shown[random_below(sizeof(shown) / sizeof(shown[0]))]);
		}
		(void) po_normalise(sql, strlen(sql), text, sizeof(text));
		if (strstr(text, "qqq") != NULL)
			CHECK_WITH(false, "\"%s\" became \"%s\"", sql, text);
	}
	CHECK(true);
}

int
main(void)
{
	test_literals();
	test_names();
	test_parameters();
	test_space();
	test_lists();
	test_unsure();
	test_bounds();
	test_property_nothing_leaks();
	return check_end("test_normalise");
}
