/*
 * po_client_config.c
 *		A pool's sizes and timeouts as text for a pooler or driver.
 *
 * One function for each client, and one for each way to quote a name.  Names come from
 * whoever may create a role or a database: none may end a comment, a line or a string
 * of the text, or begin anything else.
 *
 * The first two lines of any text are fixed, so that no name is where Python looks for
 * the encoding of a source.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "po_client_config.h"
#include "po_text.h"

#define COMMENT_COLUMNS	94
#define REMARK_LEN		400
#define LEAST_QUERY_WAIT_S	120	/* its default */
#define PRISMA_TRANSACTION_US	(5 * PO_US_PER_S)	/* also */

/* What is being written. */
typedef struct Text
{
	StringInfoData out;
	const PoClientSubject *s;
	PoClientPlan plan;
	const char *comment;		/* what begins one: "# " or "// " */
} Text;

static void line(Text *t, const char *format,...) pg_attribute_printf(2, 3);
static void comment(Text *t, const char *format,...) pg_attribute_printf(2, 3);

/* appendStringInfo with a list of arguments that begins after format. */
#define APPEND_ARGUMENTS(out, format) \
	do { \
		va_list		args; \
		int			missing; \
\
		do \
		{ \
			va_start(args, format); \
			missing = appendStringInfoVA((out), format, args); \
			va_end(args); \
			if (missing > 0) \
				enlargeStringInfo((out), missing); \
		} while (missing > 0); \
	} while (0)

static void
line(Text *t, const char *format,...)
{
	APPEND_ARGUMENTS(&t->out, format);
	appendStringInfoChar(&t->out, '\n');
}

static void
blank(Text *t)
{
	appendStringInfoChar(&t->out, '\n');
}

/* ---------- characters ---------- */

/* The same text, with '?' for what is treacherous. */
static char *
tame(const char *text)
{
	const char *utf8 = po_text_utf8(text);
	StringInfoData out;

	initStringInfo(&out);
	while (*utf8 != '\0')
	{
		const char *from = utf8;

		if (po_text_is_treacherous(po_text_next(&utf8)))
			appendStringInfoChar(&out, '?');
		else
			appendBinaryStringInfo(&out, from, (int) (utf8 - from));
	}
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return out.data;
	return pg_any_to_server(out.data, out.len, PG_UTF8);
}

/* ---------- comments ---------- */

/* Wraps at spaces; a comment of one line each. */
static void
comment(Text *t, const char *format,...)
{
	StringInfoData all;
	const char *from;
	int			column = 0;

	initStringInfo(&all);
	APPEND_ARGUMENTS(&all, format);
	from = tame(all.data);
	while (*from != '\0')
	{
		int			word = (int) strcspn(from, " ");

		if (column > 0 && column + 1 + word > COMMENT_COLUMNS)
		{
			appendStringInfoChar(&t->out, '\n');
			column = 0;
		}
		appendStringInfo(&t->out, "%s%.*s", column == 0 ? t->comment : " ", word, from);
		column += word + 1;
		from += word + strspn(from + word, " ");
	}
	appendStringInfoChar(&t->out, '\n');
	pfree(all.data);
}

static double
seconds(int64 us)
{
	return (double) us / PO_US_PER_S;
}

static void
comment_remarks(Text *t, bool contradictions)
{
	char		text[REMARK_LEN];

	for (int i = 0; i < PO_N_REMARKS; i++)
	{
		if ((t->plan.remarks & (UINT32_C(1) << i)) == 0 ||
			po_client_contradicts((PoClientRemark) i) != contradictions)
			continue;
		po_client_remark(&t->s->in, &t->plan, (PoClientRemark) i, text, sizeof(text));
		comment(t, "%s: %s", contradictions ? "CONTRADICTION" : "Note", text);
	}
}

static void
comment_head(Text *t, const char *what)
{
	const PoClientPlan *p = &t->plan;

	line(t, "%s%s: from pool_client_config of pool_optimizer.", t->comment, what);
	line(t, "%sReplace what stands in <angle brackets>.", t->comment);
	comment(t, "Tenant: %s", t->s->tenant);
	comment(t, "Recommended: %d connections in all (at least %d, at most %d); confidence %.2f.",
			t->s->in.size, t->s->in.min, t->s->in.max, t->s->in.confidence);
	comment(t, "Why: %s", t->s->reason);
	if (po_client_is_pooler(t->s->in.client))
		comment(t, "Each pooler: %d%s. %d of them: %d. No more of them are expected while one is "
				"replaced.", p->each,
				p->each_reserve == 0 ? "" :
				psprintf(", and %d in reserve for when clients wait", p->each_reserve),
				p->instances, p->each * p->instances);
	else
		comment(t, "Each process: %d. %d of them: %d. While a deploy runs, with %s, %d: %d.",
				p->each, p->instances, p->each * p->instances,
				p->peak_seen ? "as many more as were seen at once" :
				"a quarter more, rounded up", p->peak, p->each * p->peak);
	if (p->ceiling >= 0)
		comment(t, "Allowed: %d, %s.", p->ceiling, po_client_ceiling_name(p->ceiling_by));
	if (p->idle_in_transaction_us > 0)
		comment(t, "The server ends sessions idle in a transaction for %g s: no call to another "
				"service within one.", seconds(t->s->in.idle_in_transaction_us));
	if (t->s->observed)
		comment(t, "Mode observe: what exceeds the tenant's quota or timeouts is told, but nothing "
				"is refused or ended yet. This text is for when it is.");
	comment_remarks(t, true);
	comment_remarks(t, false);
}

/* What else a driver's text is to be with a pooler in between. */
static void
comment_behind_pooler(Text *t, const char *prepared)
{
	comment(t, "These are connections to the server. With a pooler in transaction mode in between "
			"the server's limits are those of the pooler's text, and a process may have more: they "
			"wait there.%s%s", prepared[0] == '\0' ? "" :
			" PgBouncer before 1.21, or without max_prepared_statements, takes no prepared "
			"statements: ", prepared);
}

/* The start of another file. */
static void
file(Text *t, const char *mark, const char *name)
{
	t->comment = mark;
	line(t, "%s==== %s ====", mark, name);
}

/* ---------- names ---------- */

/* Doubles the quotes, as values of PgBouncer's and of ADO.NET's do. */
static char *
doubled(const char *name, char quote)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, quote);
	for (const char *c = tame(name); *c != '\0'; c++)
	{
		if (*c == quote)
			appendStringInfoChar(&out, quote);
		appendStringInfoChar(&out, *c);
	}
	appendStringInfoChar(&out, quote);
	return out.data;
}

typedef enum Escapes
{
	ESCAPES_UTF16,				/* two \u above U+FFFF: JavaScript, C#, Java */
	ESCAPES_UTF32				/* \U above U+FFFF: Python, Go, TOML */
} Escapes;

static void
append_escape(StringInfo out, pg_wchar c, Escapes escapes)
{
	if (c <= 0xFFFF)
		appendStringInfo(out, "\\u%04X", c);
	else if (escapes == ESCAPES_UTF32)
		appendStringInfo(out, "\\U%08X", c);
	else
		appendStringInfo(out, "\\u%04X\\u%04X", 0xD800 + ((c - 0x10000) >> 10),
						 0xDC00 + ((c - 0x10000) & 0x3FF));
}

/* A literal in double quotes, in ASCII. */
static char *
literal(const char *text, Escapes escapes)
{
	const char *utf8 = po_text_utf8(text);
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '"');
	while (*utf8 != '\0')
	{
		pg_wchar	c = po_text_next(&utf8);

		if (c == '"' || c == '\\')
			appendStringInfo(&out, "\\%c", (char) c);
		else if (c < 0x20 || c > 0x7E)
			append_escape(&out, c, escapes);
		else
			appendStringInfoChar(&out, (char) c);
	}
	appendStringInfoChar(&out, '"');
	return out.data;
}

/* A value of a Java properties file. */
static char *
property(const char *text)
{
	const char *utf8 = po_text_utf8(text);
	StringInfoData out;

	initStringInfo(&out);
	while (*utf8 != '\0')
	{
		pg_wchar	c = po_text_next(&utf8);

		if (c == '\\' || (c == ' ' && out.len == 0))
			appendStringInfo(&out, "\\%c", (char) c);
		else if (c < 0x20 || c > 0x7E)
			append_escape(&out, c, ESCAPES_UTF16);
		else
			appendStringInfoChar(&out, (char) c);
	}
	return out.data;
}

/* As part of a URL (RFC 3986): all but unreserved characters as %XX. */
static char *
url_part(const char *text)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *c = po_text_utf8(text); *c != '\0'; c++)
	{
		if ((*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') ||
			strchr("-._~", *c) != NULL)
			appendStringInfoChar(&out, *c);
		else
			appendStringInfo(&out, "%%%02X", (unsigned char) *c);
	}
	return out.data;
}

static const char *
url_role(const Text *t)
{
	return t->s->role == NULL ? "<role>" : url_part(t->s->role);
}

static const char *
url_database(const Text *t)
{
	return t->s->database == NULL ? "<database>" : url_part(t->s->database);
}

static const char *
role(const Text *t)
{
	return t->s->role == NULL ? "<role>" : t->s->role;
}

static const char *
database(const Text *t)
{
	return t->s->database == NULL ? "<database>" : t->s->database;
}

/* ---------- durations ---------- */

static int
in_s(int64 us)
{
	return (int) (us / PO_US_PER_S);
}

static int64
in_ms(int64 us)
{
	return us / PO_US_PER_MS;
}

/* ---------- poolers ---------- */

/*
 * The key of an entry.  The manual says that keys can be quoted, but the parser (parse_ini_file of
 * libusual) takes no other characters than these; from 1.25 on all but ' in single quotes.
 */
static char *
pgbouncer_key(Text *t)
{
	const char *utf8;
	StringInfoData out;

	if (t->s->database == NULL)
		return pstrdup("<database>");
	initStringInfo(&out);
	utf8 = po_text_utf8(t->s->database);
	while (*utf8 != '\0')
	{
		pg_wchar	c = po_text_next(&utf8);
		bool		sayable = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			(c >= 'a' && c <= 'z') || c == '_' || c == '.' || c == '-';

		appendStringInfoChar(&out, sayable ? (char) c : '_');
	}
	if (strcmp(out.data, "pgbouncer") == 0)
		appendStringInfoChar(&out, '_');	/* that is its console */
	if (strcmp(t->s->database, "pgbouncer") == 0 || strchr(t->s->database, '\'') != NULL)
		comment(t, "PgBouncer cannot have the database's name as a key: its clients connect to "
				"%s.", out.data);
	else if (strcmp(out.data, t->s->database) != 0)
		comment(t, "PgBouncer can have the database's name as a key from 1.25 on, in single "
				"quotes; here its clients connect to %s.", out.data);
	return out.data;
}

static void
write_pgbouncer(Text *t)
{
	const PoClientPlan *p = &t->plan;
	char	   *key;

	t->comment = "; ";
	comment_head(t, "PgBouncer");
	comment(t, "pool_size holds for each role that uses the entry. For one role only, from 1.26 "
			"on: pool_size in [users] (older ones may give it to other roles, too).");
	key = pgbouncer_key(t);
	line(t, "[databases]");
	line(t, "%s = host=<host> port=%d dbname=%s pool_mode=transaction pool_size=%d "
		 "min_pool_size=%d reserve_pool=%d", key, t->s->port,
		 doubled(database(t), '\''), p->each, p->each_min, p->each_reserve);
	blank(t);
	comment(t, "These hold for all pools of this PgBouncer. With several tenants, take the longest "
			"of what their texts say, but the shortest server_idle_timeout and server_lifetime, "
			"and idle_transaction_timeout only if all have it (for one user: in [users], from 1.24 "
			"on).");
	line(t, "[pgbouncer]");
	comment(t, "The default is 100, for all clients of all pools:");
	line(t, ";max_client_conn = <clients>");
	comment(t, "From 1.21 on, for drivers that prepare statements:");
	line(t, ";max_prepared_statements = 200");
	comment(t, "Who waits for longer is disconnected, in a PAUSE, too; the patience of requests is "
			"the driver's.");
	line(t, "query_wait_timeout = %d", Max(in_s(p->acquire_us), LEAST_QUERY_WAIT_S));
	line(t, "reserve_pool_timeout = %d", Max(in_s(p->acquire_us) / 5, 1));
	line(t, "server_connect_timeout = %d", in_s(p->connect_us));
	line(t, "server_login_retry = %d", in_s(p->login_retry_us));
	line(t, "server_idle_timeout = %d", in_s(p->idle_us));
	comment(t, "A full pool is renewed one by one, which takes up to twice as long.");
	line(t, "server_lifetime = %d", in_s(p->lifetime_us));
	if (p->idle_in_transaction_us > 0)
		line(t, "idle_transaction_timeout = %d", in_s(p->idle_in_transaction_us));
}

/* Its strings know no escape: a quote or backslash cannot be said. */
static const char *
odyssey_name(Text *t, const char *name)
{
	if (strpbrk(name, "\"\\") == NULL)
		return tame(name);
	comment(t, "Odyssey cannot name what has a quote or a backslash: such a route is "
			"\"default\".");
	return NULL;
}

static void
odyssey_section(Text *t, const char *indent, const char *keyword, const char *name)
{
	const char *sayable = odyssey_name(t, name);

	if (sayable == NULL)
		line(t, "%s%s default {", indent, keyword);
	else
		line(t, "%s%s \"%s\" {", indent, keyword, sayable);
}

static void
write_odyssey(Text *t)
{
	const PoClientPlan *p = &t->plan;

	comment_head(t, "Odyssey");
	comment(t, "These two hold for all routes; both are in milliseconds.");
	line(t, "backend_connect_timeout_ms " INT64_FORMAT, in_ms(p->connect_us));
	line(t, "server_login_retry " INT64_FORMAT, in_ms(p->login_retry_us));
	line(t, "storage \"postgres_server\" {");
	line(t, "\ttype \"remote\"");
	line(t, "\thost \"<host>\"");
	line(t, "\tport %d", t->s->port);
	line(t, "}");
	odyssey_section(t, "", "database", database(t));
	odyssey_section(t, "\t", "user", role(t));
	line(t, "\t\tauthentication \"scram-sha-256\"");
	line(t, "\t\tpassword \"<password>\"");
	line(t, "\t\tstorage \"postgres_server\"");
	line(t, "\t\tstorage_password \"<password>\"");
	line(t, "\t\tpool \"transaction\"");
	line(t, "\t\tpool_size %d", p->each);
	comment(t, "It opens these without logging in, so that the server ends them after "
			"authentication_timeout; up to 1.5.0 the client that gets one fails.");
	line(t, "\t\tmin_pool_size 0");
	line(t, "\t\tpool_timeout " INT64_FORMAT, in_ms(p->acquire_us));
	line(t, "\t\tpool_ttl %d", in_s(p->idle_us));
	line(t, "\t\tserver_lifetime %d", in_s(p->lifetime_us));
	line(t, "\t\tpool_discard no");
	line(t, "\t\tpool_reserve_prepared_statement yes");
	line(t, "\t}");
	line(t, "}");
}

static void
write_pgdog(Text *t)
{
	const PoClientPlan *p = &t->plan;

	comment_head(t, "PgDog");
	file(t, "# ", "pgdog.toml");
	comment(t, "What is in [general], which may be there once, holds for all pools; in "
			"milliseconds.");
	line(t, "[general]");
	line(t, "connect_timeout = " INT64_FORMAT, in_ms(p->connect_us));
	comment(t, "After a login that failed; connect_attempts says how many there are.");
	line(t, "connect_attempt_delay = " INT64_FORMAT, in_ms(p->login_retry_us));
	line(t, "checkout_timeout = " INT64_FORMAT, in_ms(p->acquire_us));
	line(t, "idle_timeout = " INT64_FORMAT, in_ms(p->idle_us));
	line(t, "server_lifetime = " INT64_FORMAT, in_ms(p->lifetime_us));
	comment(t, "Older ones do not know this, and refuse a file with what they do not know:");
	line(t, "#server_lifetime_jitter = " INT64_FORMAT, in_ms(p->jitter_us));
	if (p->idle_in_transaction_us > 0)
	{
		comment(t, "From 0.1.22 on:");
		line(t, "client_idle_in_transaction_timeout = " INT64_FORMAT,
			 in_ms(p->idle_in_transaction_us));
	}
	blank(t);
	line(t, "[[databases]]");
	line(t, "name = %s", literal(database(t), ESCAPES_UTF32));
	line(t, "host = \"<host>\"");
	line(t, "port = %d", t->s->port);
	blank(t);
	file(t, "# ", "users.toml");
	line(t, "[[users]]");
	line(t, "name = %s", literal(role(t), ESCAPES_UTF32));
	line(t, "database = %s", literal(database(t), ESCAPES_UTF32));
	line(t, "password = \"<password>\"");
	line(t, "pooler_mode = \"transaction\"");
	line(t, "pool_size = %d", p->each);
	line(t, "min_pool_size = %d", p->each_min);
}

/* ---------- drivers ---------- */

static void
write_prisma_urls(Text *t)
{
	const PoClientPlan *p = &t->plan;
	char	   *limits = psprintf("connection_limit=%d&pool_timeout=%d&connect_timeout=%d"
								  "&max_idle_connection_lifetime=%d&max_connection_lifetime=%d",
								  p->each, in_s(p->acquire_us), in_s(p->connect_us),
								  in_s(p->idle_us), in_s(p->lifetime_us));
	char	   *who = psprintf("%s:<password>", url_role(t));

	file(t, "# ", ".env");
	comment(t, "Behind a pooler in transaction mode. pgbouncer=true turns prepared statements "
			"off; PgBouncer from 1.21 on with max_prepared_statements above 0 does not need it.");
	line(t, "DATABASE_URL=\"postgresql://%s@<pooler>:6432/%s?pgbouncer=true&%s\"", who,
		 url_database(t), limits);
	comment(t, "Straight to the server, instead:");
	line(t, "#DATABASE_URL=\"postgresql://%s@<host>:%d/%s?%s\"", who, t->s->port,
		 url_database(t), limits);
	comment(t, "Migrations need a session of their own: past the pooler.");
	line(t, "DIRECT_URL=\"postgresql://%s@<host>:%d/%s?connect_timeout=%d\"", who, t->s->port,
		 url_database(t), in_s(p->connect_us));
	blank(t);
}

/* A wait for the pool that is longer than its default would be no use in $transaction. */
static void
write_prisma_transactions(Text *t)
{
	const PoClientPlan *p = &t->plan;
	int64		timeout_us = PRISMA_TRANSACTION_US;

	if (p->idle_in_transaction_us > 0)
		timeout_us = Min(timeout_us, p->idle_in_transaction_us);
	comment(t, "Of $transaction: it waits for the pool for 2 s unless told (from 5.10 on), and "
			"ends a transaction after timeout, which long ones need more of.");
	line(t, "export const transactionOptions = { maxWait: " INT64_FORMAT ", timeout: " INT64_FORMAT
		 " };", in_ms(p->acquire_us), in_ms(timeout_us));
}

static void
write_prisma_schemas(Text *t)
{
	file(t, "// ", "schema.prisma, Prisma 4.10 to 6");
	line(t, "datasource db {");
	line(t, "  provider  = \"postgresql\"");
	line(t, "  url       = env(\"DATABASE_URL\")");
	line(t, "  directUrl = env(\"DIRECT_URL\")");
	line(t, "}");
	blank(t);
	file(t, "// ", "schema.prisma, Prisma 7: it refuses these URLs (P1012)");
	line(t, "datasource db {");
	line(t, "  provider = \"postgresql\"");
	line(t, "}");
	blank(t);
	file(t, "// ", "prisma.config.ts, Prisma 7: migrations; it has no directUrl");
	comment(t, "7 reads no .env by itself: npm install dotenv.");
	line(t, "import 'dotenv/config';");
	line(t, "import { defineConfig, env } from 'prisma/config';");
	line(t, "export default defineConfig({");
	line(t, "  schema: 'prisma/schema.prisma',");
	line(t, "  datasource: { url: env('DIRECT_URL') },");
	line(t, "});");
	blank(t);
}

static void
write_prisma_adapter(Text *t)
{
	const PoClientPlan *p = &t->plan;

	file(t, "// ", "where the client is made: with a driver adapter, from 6.16 on, in 7 always");
	comment(t, "Its pool is that of node-postgres, which does not read the limits in DATABASE_URL, "
			"nor any name that needs to be encoded in it.");
	line(t, "import { PrismaPg } from '@prisma/adapter-pg';");
	line(t, "export const adapter = new PrismaPg({");
	line(t, "  host: '<pooler>',");
	line(t, "  port: 6432,");
	line(t, "  database: %s,", literal(database(t), ESCAPES_UTF16));
	line(t, "  user: %s,", literal(role(t), ESCAPES_UTF16));
	line(t, "  password: process.env.PGPASSWORD,");
	line(t, "  max: %d,", p->each);
	line(t, "  connectionTimeoutMillis: " INT64_FORMAT ",", in_ms(p->acquire_us));
	line(t, "  idleTimeoutMillis: " INT64_FORMAT ",", in_ms(p->idle_us));
	line(t, "  maxLifetimeSeconds: %d,", in_s(p->lifetime_us));
	line(t, "});");
}

static void
write_prisma(Text *t)
{
	const PoClientPlan *p = &t->plan;

	comment_head(t, "Prisma");
	comment_behind_pooler(t, "");
	write_prisma_urls(t);
	write_prisma_schemas(t);
	write_prisma_adapter(t);
	write_prisma_transactions(t);
	comment(t, "const prisma = new PrismaClient({ adapter, transactionOptions });");
	comment(t, "Without an adapter it is new PrismaClient({ transactionOptions }), and its limits "
			"are those of DATABASE_URL.");
	comment(t, "P2037 (too many connections) is worth another try, after a random part of "
			INT64_FORMAT " ms, then of twice as much each time, up to " INT64_FORMAT " ms, for "
			INT64_FORMAT " ms in all. That none is free in the pool is P2024, with an adapter the "
			"Error \"timeout exceeded when trying to connect\" of node-postgres, and has waited "
			"for so long.", in_ms(p->backoff_us), in_ms(p->backoff_max_us), in_ms(p->acquire_us));
}

static void
write_hikaricp(Text *t)
{
	const PoClientPlan *p = &t->plan;

	comment_head(t, "HikariCP");
	comment_behind_pooler(t, "prepareThreshold=0 in jdbcUrl.");
	comment(t, "A properties file: new HikariDataSource(new HikariConfig(path)). In Spring Boot: "
			"spring.datasource.url, .username and .password, and the others behind "
			"spring.datasource.hikari. Milliseconds.");
	line(t, "jdbcUrl=jdbc:postgresql://<host>:%d/%s", t->s->port, url_database(t));
	line(t, "username=%s", property(role(t)));
	line(t, "password=<password>");
	line(t, "maximumPoolSize=%d", p->each);
	comment(t, "Beside those at work.");
	line(t, "minimumIdle=%d", p->each_idle);
	line(t, "connectionTimeout=" INT64_FORMAT, in_ms(p->acquire_us));
	comment(t, "A refusal at the start is tried again for so long; later ones always are, with "
			"pauses of HikariCP's own.");
	line(t, "initializationFailTimeout=" INT64_FORMAT, in_ms(p->acquire_us));
	line(t, "idleTimeout=" INT64_FORMAT, in_ms(p->idle_us));
	line(t, "maxLifetime=" INT64_FORMAT, in_ms(p->lifetime_us));
	if (p->idle_in_transaction_us >= 2 * PO_US_PER_S)
	{
		comment(t, "Warns of a connection that is not given back so long.");
		/* One beyond maxLifetime switches it off. */
		line(t, "leakDetectionThreshold=" INT64_FORMAT,
			 in_ms(Min(p->idle_in_transaction_us, p->lifetime_us)));
	}
}

static void
write_node_postgres(Text *t)
{
	const PoClientPlan *p = &t->plan;

	t->comment = "// ";
	comment_head(t, "node-postgres");
	comment_behind_pooler(t, "no query with a name.");
	line(t, "const { Pool } = require('pg');");
	blank(t);
	line(t, "const pool = new Pool({");
	line(t, "  host: '<host>',");
	line(t, "  port: %d,", t->s->port);
	line(t, "  database: %s,", literal(database(t), ESCAPES_UTF16));
	line(t, "  user: %s,", literal(role(t), ESCAPES_UTF16));
	line(t, "  password: process.env.PGPASSWORD,");
	line(t, "  max: %d,", p->each);
	comment(t, "From 8.16.0 on, and so many are not closed when idle; it opens none before they "
			"are needed.");
	line(t, "  min: %d,", p->each_min);
	comment(t, "Both to log in and to wait for the pool.");
	line(t, "  connectionTimeoutMillis: " INT64_FORMAT ",", in_ms(p->acquire_us));
	line(t, "  idleTimeoutMillis: " INT64_FORMAT ",", in_ms(p->idle_us));
	line(t, "  maxLifetimeSeconds: %d,", in_s(p->lifetime_us));
	line(t, "});");
	blank(t);
	comment(t, "Without this the end of an idle connection ends the process.");
	line(t, "pool.on('error', (error) => console.error('idle connection:', error.message));");
	blank(t);
	comment(t, "53300: too many connections. Again after a random pause, whose limit doubles.");
	line(t, "async function connect(patience = " INT64_FORMAT ") {", in_ms(p->acquire_us));
	line(t, "  const end = Date.now() + patience;");
	line(t, "  for (let limit = " INT64_FORMAT "; ; limit = Math.min(" INT64_FORMAT
		 ", 2 * limit)) {", in_ms(p->backoff_us), in_ms(p->backoff_max_us));
	line(t, "    try {");
	line(t, "      return await pool.connect();");
	line(t, "    } catch (error) {");
	line(t, "      const pause = Math.random() * limit;");
	line(t, "      if (error.code !== '53300' || Date.now() + pause > end) throw error;");
	line(t, "      await new Promise((wake) => setTimeout(wake, pause));");
	line(t, "    }");
	line(t, "  }");
	line(t, "}");
}

/* The function that tries again; the engine is made in write_sqlalchemy. */
static void
write_sqlalchemy_connect(Text *t)
{
	const PoClientPlan *p = &t->plan;

	comment(t, "A refused login (53300) is an OperationalError. Again after a random pause, whose "
			"limit doubles. psycopg2 tells no SQLSTATE of a login: what it is tells its text, that "
			"of pool_optimizer and of the server in English (lc_messages).");
	line(t, "REFUSALS = (\"too many connections\", \"too many clients\", \"slots are reserved\",");
	line(t, "    \"is being drained\")");
	blank(t);
	line(t, "def connect(patience=%d):", in_s(p->acquire_us));
	line(t, "    end, limit = time.monotonic() + patience, %g", seconds(p->backoff_us));
	line(t, "    while True:");
	line(t, "        try:");
	line(t, "            return engine.connect()");
	line(t, "        except exc.OperationalError as error:");
	line(t, "            pause = random.random() * limit");
	line(t, "            if (not any(text in str(error.orig) for text in REFUSALS)");
	line(t, "                    or time.monotonic() + pause > end):");
	line(t, "                raise");
	line(t, "        time.sleep(pause)");
	line(t, "        limit = min(%g, 2 * limit)", seconds(p->backoff_max_us));
}

static void
write_sqlalchemy(Text *t)
{
	const PoClientPlan *p = &t->plan;

	comment_head(t, "SQLAlchemy");
	comment_behind_pooler(t, "psycopg2 has none; with postgresql+psycopg, which prepares what is "
						  "executed often, \"prepare_threshold\": None in connect_args.");
	line(t, "import os, random, time");
	line(t, "from sqlalchemy import create_engine, exc");
	line(t, "from sqlalchemy.engine import URL");
	blank(t);
	line(t, "engine = create_engine(");
	line(t, "    URL.create(\"postgresql+psycopg2\", host=\"<host>\", port=%d,", t->s->port);
	line(t, "        database=%s,", literal(database(t), ESCAPES_UTF32));
	line(t, "        username=%s,", literal(role(t), ESCAPES_UTF32));
	line(t, "        password=os.environ.get(\"PGPASSWORD\")),");
	line(t, "    pool_size=%d,", p->each);
	comment(t, "The default is 10 more for each process.");
	line(t, "    max_overflow=0,");
	line(t, "    pool_timeout=%d,", in_s(p->acquire_us));
	line(t, "    pool_recycle=%d,", in_s(p->lifetime_us));
	comment(t, "One that the server has ended is replaced instead of failing; the last one "
			"used is taken first, so that few are in use when there is little to do.");
	line(t, "    pool_pre_ping=True,");
	line(t, "    pool_use_lifo=True,");
	line(t, "    connect_args={\"connect_timeout\": %d},", in_s(p->connect_us));
	line(t, ")");
	blank(t);
	write_sqlalchemy_connect(t);
}

/* The function that tries again; the pool is made in write_pgx. */
static void
write_pgx_acquire(Text *t)
{
	const PoClientPlan *p = &t->plan;

	comment(t, "53300: too many connections. Again after a random pause, whose limit doubles.");
	line(t, "func acquire(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Conn, error) {");
	line(t, "\tctx, cancel := context.WithTimeout(ctx, " INT64_FORMAT "*time.Millisecond)",
		 in_ms(p->acquire_us));
	line(t, "\tdefer cancel()");
	line(t, "\tlimit := " INT64_FORMAT " * time.Millisecond", in_ms(p->backoff_us));
	line(t, "\tfor {");
	line(t, "\t\tconn, err := pool.Acquire(ctx)");
	line(t, "\t\tvar refusal *pgconn.PgError");
	line(t, "\t\tif err == nil || !errors.As(err, &refusal) || refusal.Code != \"53300\" {");
	line(t, "\t\t\treturn conn, err");
	line(t, "\t\t}");
	line(t, "\t\tselect {");
	line(t, "\t\tcase <-ctx.Done():");
	line(t, "\t\t\treturn nil, err");
	line(t, "\t\tcase <-time.After(time.Duration(rand.Int63n(int64(limit)))):");
	line(t, "\t\t}");
	line(t, "\t\tif limit *= 2; limit > " INT64_FORMAT "*time.Millisecond {",
		 in_ms(p->backoff_max_us));
	line(t, "\t\t\tlimit = " INT64_FORMAT " * time.Millisecond", in_ms(p->backoff_max_us));
	line(t, "\t\t}");
	line(t, "\t}");
	line(t, "}");
}

static void
write_pgx(Text *t)
{
	const PoClientPlan *p = &t->plan;
	char	   *url = psprintf("postgres://%s@<host>:%d/%s?connect_timeout=%d", url_role(t),
							   t->s->port, url_database(t), in_s(p->connect_us));

	t->comment = "// ";
	comment_head(t, "pgx 5, pgxpool");
	comment_behind_pooler(t, "default_query_exec_mode=exec.");
	line(t, "import (");
	line(t, "\t\"context\"");
	line(t, "\t\"errors\"");
	line(t, "\t\"math/rand\"");
	line(t, "\t\"time\"");
	blank(t);
	line(t, "\t\"github.com/jackc/pgx/v5/pgconn\"");
	line(t, "\t\"github.com/jackc/pgx/v5/pgxpool\"");
	line(t, ")");
	blank(t);
	comment(t, "The password comes from PGPASSWORD or a passfile.");
	line(t, "func newPool(ctx context.Context) (*pgxpool.Pool, error) {");
	line(t, "\tconfig, err := pgxpool.ParseConfig(%s)", literal(url, ESCAPES_UTF32));
	line(t, "\tif err != nil {");
	line(t, "\t\treturn nil, err");
	line(t, "\t}");
	line(t, "\tconfig.MaxConns = %d", p->each);
	line(t, "\tconfig.MinConns = %d", p->each_min);
	line(t, "\tconfig.MaxConnLifetime = " INT64_FORMAT " * time.Millisecond",
		 in_ms(p->lifetime_us));
	line(t, "\tconfig.MaxConnLifetimeJitter = " INT64_FORMAT " * time.Millisecond",
		 in_ms(p->jitter_us));
	line(t, "\tconfig.MaxConnIdleTime = " INT64_FORMAT " * time.Millisecond", in_ms(p->idle_us));
	line(t, "\tconfig.HealthCheckPeriod = " INT64_FORMAT " * time.Millisecond",
		 in_ms(p->check_us));
	line(t, "\treturn pgxpool.NewWithConfig(ctx, config)");
	line(t, "}");
	blank(t);
	write_pgx_acquire(t);
}

static void
write_npgsql(Text *t)
{
	const PoClientPlan *p = &t->plan;
	char	   *string = psprintf("Host=<host>;Port=%d;Database=%s;Username=%s;"
								  "Maximum Pool Size=%d;Minimum Pool Size=%d;"
								  "Connection Idle Lifetime=%d;Connection Pruning Interval=%d;"
								  "Connection Lifetime=%d;Timeout=%d", t->s->port,
								  doubled(database(t), '"'), doubled(role(t), '"'), p->each,
								  p->each_min, in_s(p->idle_us), in_s(p->check_us),
								  in_s(p->lifetime_us), in_s(p->acquire_us));

	t->comment = "// ";
	comment_head(t, "Npgsql");
	comment_behind_pooler(t, "no Max Auto Prepare. No Reset On Close=true in any case.");
	line(t, "using Npgsql;");
	blank(t);
	comment(t, "The password comes from PGPASSWORD or a passfile. Timeout is both to log in and to "
			"wait for the pool.");
	line(t, "var connectionString =");
	line(t, "    %s;", literal(string, ESCAPES_UTF16));
	line(t, "var dataSource = NpgsqlDataSource.Create(connectionString);");
	blank(t);
	comment(t, "53300: too many connections. Again after a random pause, whose limit doubles.");
	line(t, "async Task<NpgsqlConnection> Open(int patience = " INT64_FORMAT ")",
		 in_ms(p->acquire_us));
	line(t, "{");
	line(t, "    var end = Environment.TickCount64 + patience;");
	line(t, "    for (var limit = " INT64_FORMAT "; ; limit = Math.Min(" INT64_FORMAT
		 ", 2 * limit))", in_ms(p->backoff_us), in_ms(p->backoff_max_us));
	line(t, "    {");
	line(t, "        var pause = Random.Shared.Next(limit);");
	line(t, "        try { return await dataSource.OpenConnectionAsync(); }");
	line(t, "        catch (PostgresException e) when (e.SqlState == \"53300\" &&");
	line(t, "            Environment.TickCount64 + pause <= end)");
	line(t, "        {");
	line(t, "            await Task.Delay(pause);");
	line(t, "        }");
	line(t, "    }");
	line(t, "}");
}

/* ---------- all of them ---------- */

char *
po_client_config_text(const PoClientSubject *subject)
{
	static void (*const write[PO_N_CLIENTS]) (Text *t) = {
		write_pgbouncer, write_odyssey, write_pgdog, write_prisma, write_hikaricp,
		write_node_postgres, write_sqlalchemy, write_pgx, write_npgsql
	};
	Text		t;

	initStringInfo(&t.out);
	t.s = subject;
	t.comment = "# ";
	po_client_plan(&subject->in, &t.plan);
	write[subject->in.client] (&t);
	t.out.data[--t.out.len] = '\0';	/* whoever prints it ends the last line */
	return t.out.data;
}

char *
po_client_config_names(void)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < PO_N_CLIENTS; i++)
		appendStringInfo(&out, "%s%s", i == 0 ? "" : ", ", po_client_name((PoClient) i));
	return out.data;
}
