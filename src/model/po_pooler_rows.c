/*
 * po_pooler_rows.c
 *		What PgBouncer's console says: columns found by name, rows, whom to ask.
 */
#include "model/po_pooler_rows.h"

#include <limits.h>
#include <string.h>

typedef enum Kind
{
	KIND_NAME,					/* must fit */
	KIND_TEXT,					/* may be clipped */
	KIND_NUMBER
} Kind;

typedef struct Field
{
	const char *name;
	const char *former_name;	/* in older versions; NULL = the same */
	Kind		kind;
	size_t		offset;
	size_t		size;
	bool		required;
	int64_t		missing;		/* a number that is null or not there */
} Field;

#define NAME(type, name, required) \
	{#name, NULL, KIND_NAME, offsetof(type, name), sizeof(((type *) 0)->name), required, 0}
#define TEXT(type, name, required) \
	{#name, NULL, KIND_TEXT, offsetof(type, name), sizeof(((type *) 0)->name), required, 0}
#define NUMBER(type, name, required) \
	{#name, NULL, KIND_NUMBER, offsetof(type, name), 0, required, 0}
#define TOTAL(name, field) \
	{name, NULL, KIND_NUMBER, offsetof(PoPoolerStats, field), 0, false, -1}
#define END {NULL, NULL, KIND_TEXT, 0, 0, false, 0}

static const Field pools_fields[] = {
	NAME(PoPoolerPool, database, true),
	NAME(PoPoolerPool, user, true),
	NUMBER(PoPoolerPool, cl_active, true),
	NUMBER(PoPoolerPool, cl_waiting, true),
	NUMBER(PoPoolerPool, sv_active, true),
	NUMBER(PoPoolerPool, sv_idle, true),
	NUMBER(PoPoolerPool, sv_used, false),
	NUMBER(PoPoolerPool, sv_tested, false),
	NUMBER(PoPoolerPool, sv_login, false),
	NUMBER(PoPoolerPool, maxwait, false),
	NUMBER(PoPoolerPool, maxwait_us, false),
	TEXT(PoPoolerPool, pool_mode, false),
	END
};

static const Field databases_fields[] = {
	NAME(PoPoolerDatabase, name, true),
	{"database", NULL, KIND_NAME, offsetof(PoPoolerDatabase, dbname), PO_PART_LEN, true, 0},
	NAME(PoPoolerDatabase, force_user, false),
	NUMBER(PoPoolerDatabase, pool_size, true),
	{"min_pool_size", NULL, KIND_NUMBER, offsetof(PoPoolerDatabase, min_pool_size), 0, false, -1},
	{"reserve_pool_size", "reserve_pool", KIND_NUMBER,
		offsetof(PoPoolerDatabase, reserve_pool_size), 0, false, 0},
	NUMBER(PoPoolerDatabase, paused, false),
	NUMBER(PoPoolerDatabase, disabled, false),
	END
};

static const Field stats_fields[] = {
	NAME(PoPoolerStats, database, true),
	TOTAL("total_server_assignment_count", assignments),
	TOTAL("total_xact_count", xacts),
	TOTAL("total_query_count", queries),
	TOTAL("total_xact_time", xact_us),
	TOTAL("total_wait_time", wait_us),
	END
};

static const Field servers_fields[] = {
	NAME(PoPoolerServer, database, true),
	NAME(PoPoolerServer, user, true),
	NUMBER(PoPoolerServer, remote_pid, true),
	END
};

static const Field clients_fields[] = {
	NAME(PoPoolerClient, database, true),
	NAME(PoPoolerClient, user, true),
	TEXT(PoPoolerClient, state, true),
	TEXT(PoPoolerClient, addr, true),
	TEXT(PoPoolerClient, application_name, false),
	NUMBER(PoPoolerClient, remote_pid, false),
	END
};

static const Field users_fields[] = {
	NAME(PoPoolerUser, name, true),
	{"pool_size", NULL, KIND_NUMBER, offsetof(PoPoolerUser, pool_size), 0, true, -1},
	END
};

static const Field config_fields[] = {
	TEXT(PoPoolerConfig, key, true),
	TEXT(PoPoolerConfig, value, true),
	END
};

static const struct
{
	const char *text;
	const Field *fields;
} commands[] = {
	[PO_POOLER_POOLS] = {"SHOW POOLS", pools_fields},
	[PO_POOLER_DATABASES] = {"SHOW DATABASES", databases_fields},
	[PO_POOLER_STATS] = {"SHOW STATS", stats_fields},
	[PO_POOLER_SERVERS] = {"SHOW SERVERS", servers_fields},
	[PO_POOLER_USERS] = {"SHOW USERS", users_fields},
	[PO_POOLER_CONFIG] = {"SHOW CONFIG", config_fields},
	[PO_POOLER_CLIENTS] = {"SHOW CLIENTS", clients_fields}
};

int64_t
po_pooler_open(const PoPoolerPool *pool)
{
	return pool->sv_active + pool->sv_idle + pool->sv_used + pool->sv_tested;
}

bool
po_pooler_is_used(const PoPoolerPool *pool)
{
	return pool->cl_active + pool->cl_waiting + po_pooler_open(pool) + pool->sv_login > 0;
}

const char *
po_pooler_command(PoPoolerCommand command)
{
	return commands[command].text;
}

static int
find_column(const char *name, const char *const *names, int n_names)
{
	for (int i = 0; name != NULL && i < n_names; i++)
	{
		if (names[i] != NULL && strcmp(names[i], name) == 0)
			return i;
	}
	return -1;
}

bool
po_pooler_bind(PoPoolerCommand command, const char *const *names, int n_names,
			   PoPoolerBinding *binding)
{
	const Field *field = commands[command].fields;

	binding->command = command;
	if (n_names > PO_POOLER_MOST_COLUMNS)
		return false;
	for (int i = 0; field[i].name != NULL; i++)
	{
		int			at = find_column(field[i].name, names, n_names);

		if (at < 0)
			at = find_column(field[i].former_name, names, n_names);
		if (at < 0 && field[i].required)
			return false;
		binding->at[i] = at;
	}
	return true;
}

/* What is too large for the type reads as the largest.  Newer PgBouncers fill up sizes of
 * users with blanks. */
static bool
read_number(const char *text, int64_t *number)
{
	bool		negative;
	int64_t		value = 0;

	while (*text == ' ')
		text++;
	negative = *text == '-';
	if (negative)
		text++;
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
	{
		if (*text < '0' || *text > '9')
			return false;
		value = value > (INT64_MAX - 9) / 10 ? INT64_MAX - 9 : value * 10 + (*text - '0');
	}
	*number = negative ? -value : value;
	return true;
}

static bool
read_text(const char *text, Kind kind, char *to, size_t size)
{
	size_t		length = strlen(text);

	if (length >= size)
	{
		if (kind == KIND_NAME)
			return false;
		length = size - 1;
	}
	memset(to, 0, size);
	memcpy(to, text, length);
	return true;
}

static bool
read_field(const Field *field, const char *value, PoPoolerRecord *record)
{
	char	   *to = (char *) record + field->offset;

	if (field->kind != KIND_NUMBER)
	{
		if (value == NULL)
			value = "";
		return !(field->required && field->kind == KIND_NAME && value[0] == '\0') &&
			read_text(value, field->kind, to, field->size);
	}
	if (value == NULL || value[0] == '\0')
	{
		memcpy(to, &field->missing, sizeof(int64_t));
		return true;
	}
	else
	{
		int64_t		number;

		if (!read_number(value, &number))
			return false;
		memcpy(to, &number, sizeof(number));
		return true;
	}
}

bool
po_pooler_read(const PoPoolerBinding *binding, const char *const *values,
			   PoPoolerRecord *record)
{
	const Field *field = commands[binding->command].fields;

	memset(record, 0, sizeof(*record));
	for (int i = 0; field[i].name != NULL; i++)
	{
		int			at = binding->at[i];

		if (!read_field(&field[i], at < 0 ? NULL : values[at], record))
			return false;
	}
	return true;
}

/* ---------- settings ---------- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool
is_uri(const char *text)
{
	return strncmp(text, "postgresql://", 13) == 0 || strncmp(text, "postgres://", 11) == 0;
}

/* Bytes up to the next ';' or the end; false when a quote is not closed. */
static bool
find_end(const char *text, size_t *length)
{
	bool		quotes = !is_uri(text);
	bool		quoted = false;
	size_t		i = 0;

	for (; text[i] != '\0' && (quoted || text[i] != ';'); i++)
	{
		if (quotes && text[i] == '\\' && text[i + 1] != '\0')
			i++;
		else if (quotes && text[i] == '\'')
			quoted = !quoted;
	}
	*length = i;
	return !quoted;
}

int
po_pooler_split(const char *list, PoPoolerEntry entry[PO_POOLER_MOST])
{
	int			n = 0;
	size_t		at = 0;

	while (list[at] != '\0')
	{
		size_t		length;

		if (is_blank(list[at]) || list[at] == ';')
		{
			at++;
			continue;
		}
		if (n == PO_POOLER_MOST || !find_end(list + at, &length))
			return -1;
		entry[n].start = at;
		at += length;
		while (is_blank(list[entry[n].start + length - 1]))
			length--;
		entry[n++].length = length;
	}
	return n;
}

bool
po_pooler_template_fits(const char *template)
{
	for (const char *c = template; *c != '\0'; c++)
	{
		if (*c != '%')
			continue;
		c++;
		if (*c != 'u' && *c != 'd' && *c != '%')
			return false;
	}
	return true;
}

bool
po_pooler_option_is_secret(const char *keyword)
{
	static const char *const parts[] = {"password", "secret", "client_key", "server_key"};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
	{
		if (strstr(keyword, parts[i]) != NULL)
			return true;
	}
	return false;
}

/* ---------- rates ---------- */

/* How much more; -1 when it is not told, or has begun anew. */
static double
growth(int64_t before, int64_t now)
{
	return before < 0 || now < before ? -1 : (double) now - (double) before;
}

static double
ratio(double above, double below)
{
	return above < 0 || below <= 0 ? -1 : above / below;
}

void
po_pooler_rates(const PoPoolerStats *before, const PoPoolerStats *now, int64_t elapsed_us,
				int64_t stuck, PoPoolerRates *rates)
{
	double		seconds = (double) elapsed_us / 1e6;
	double		waited_us;
	double		xacts;
	double		assignments;

	rates->xacts = rates->queries = rates->xact_ms = rates->wait_ms = rates->queued = -1;
	if (before == NULL || elapsed_us <= 0)
		return;
	xacts = growth(before->xacts, now->xacts);
	/* Old versions do not count assignments: there is one for each transaction. */
	assignments = growth(before->assignments, now->assignments);
	if (assignments < 0)
		assignments = xacts;
	rates->xacts = ratio(xacts, seconds);
	rates->queries = ratio(growth(before->queries, now->queries), seconds);
	rates->xact_ms = ratio(growth(before->xact_us, now->xact_us) / 1000, xacts);
	waited_us = growth(before->wait_us, now->wait_us);
	rates->wait_ms = ratio(waited_us / 1000, assignments);
	rates->queued = ratio(waited_us, (double) elapsed_us);
	if (rates->queued >= 0 && (double) stuck > rates->queued)
		rates->queued = (double) stuck;
}

void
po_pooler_queue_pass(PoPoolerQueue *queue, double queued, int64_t elapsed_us, int64_t now)
{
	if (queue->n == 0)
		queue->since = now;
	queue->n = 1;
	if (queued < 0 || elapsed_us <= 0)
		return;
	queue->waited_us += queued * (double) elapsed_us;
	queue->known_us += (double) elapsed_us;
}

void
po_pooler_queue_add(PoPoolerQueue *sum, const PoPoolerQueue *queue)
{
	sum->waited_us += queue->waited_us;
	sum->known_us += queue->known_us;
	sum->since = (int64_t) ((uint64_t) sum->since + (uint64_t) queue->since);
	sum->n += queue->n;
}

bool
po_pooler_queue_has_grown(const PoPoolerQueue *before, const PoPoolerQueue *now)
{
	return now->n == before->n && now->since == before->since &&
		now->waited_us >= before->waited_us && now->known_us > before->known_us;
}

double
po_pooler_queue_mean(const PoPoolerQueue *before, const PoPoolerQueue *now)
{
	return (now->waited_us - before->waited_us) / (now->known_us - before->known_us) * now->n;
}
