/*
 * fuzz_pooler.c
 *		Fuzzing what a pooler and its operator can say: answers of the console, lists of
 *		connection strings, the include file.
 */
#include "model/po_pooler_clients.h"
#include "model/po_pooler_plan.h"
#include "model/po_pooler_rows.h"

#include "fuzz.h"

/* The input: what to do, and the command or section; then the bytes. */
#define N_SHAPE		2

static char *
copy_text(const uint8_t *bytes, size_t size)
{
	char	   *text = malloc(size + 1);

	must(text != NULL, "there is memory");
	memcpy(text, bytes, size);
	text[size] = '\0';
	return text;
}

static bool
is_terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static void
count(const PoPoolerClient *client)
{
	PoPoolerCaller caller;
	PoPoolerCallers callers;

	po_pooler_caller(client, &caller);
	must(is_terminated(caller.family, PO_PART_LEN) && is_terminated(caller.instance, PO_PART_LEN),
		 "a client has an application");
	must(po_pooler_count_callers(&caller, 1, &callers) == 1 && callers.instances == 1,
		 "one client is one instance");
	for (const char *c = callers.text; *c != '\0'; c++)
		must(*c >= ' ' && *c <= '~', "nothing but what can be printed");
}

/* Column names and values in turn, each ended by a newline; '~' alone is null. */
static void
answer(PoPoolerCommand command, char *text)
{
	const char *names[PO_POOLER_MOST_COLUMNS + 8] = {NULL};
	const char *values[PO_POOLER_MOST_COLUMNS + 8] = {NULL};
	int			n = 0;
	char	   *line = text;
	PoPoolerBinding binding;
	PoPoolerRecord record;

	while (*line != '\0' && n < PO_POOLER_MOST_COLUMNS + 8)
	{
		char	   *end = strchr(line, '\n');
		char	   *value;

		if (end == NULL)
			break;
		*end = '\0';
		value = strchr(line, ' ');
		names[n] = line;
		values[n++] = value == NULL ? NULL : value + 1;
		if (value != NULL)
			*value = '\0';
		line = end + 1;
	}
	if (!po_pooler_bind(command, names, n, &binding))
		return;
	must(n <= PO_POOLER_MOST_COLUMNS, "no more columns than there is room for");
	memset(&record, 'x', sizeof(record));
	if (!po_pooler_read(&binding, values, &record))
		return;
	if (command == PO_POOLER_POOLS)
		must(is_terminated(record.pool.database, PO_PART_LEN) &&
			 record.pool.database[0] != '\0' &&
			 is_terminated(record.pool.pool_mode, PO_POOLER_MODE_LEN), "a pool has names");
	if (command == PO_POOLER_CLIENTS)
		count(&record.client);
	if (command == PO_POOLER_CONFIG)
		must(is_terminated(record.config.key, PO_POOLER_VALUE_LEN) &&
			 is_terminated(record.config.value, PO_POOLER_VALUE_LEN), "values are clipped");
}

static void
split(const char *list)
{
	PoPoolerEntry entry[PO_POOLER_MOST];
	int			n = po_pooler_split(list, entry);
	size_t		before = 0;

	must(n >= -1 && n <= PO_POOLER_MOST, "no more entries than there is room for");
	for (int i = 0; i < n; i++)
	{
		must(entry[i].length > 0 && entry[i].start >= before, "entries follow each other");
		before = entry[i].start + entry[i].length;
		must(before <= strlen(list), "and are within the list");
		must(list[before] == '\0' || strchr("; \t\n\r\f\v", list[before]) != NULL,
			 "each ends where a separator is");
	}
}

static void
edit(PoIniSection section, const char *text, size_t size)
{
	size_t		room = size + 64;
	char	   *once = malloc(room);
	char	   *twice = malloc(room);
	size_t		n_once;
	size_t		n_twice;
	PoIniChange change = {section, "a", 77, 5};

	must(once != NULL && twice != NULL, "there is memory");
	if (po_pooler_edit_ini(text, size, &change, once, room, &n_once) == PO_INI_OK)
	{
		must(n_once <= room, "it fits");
		must(po_pooler_edit_ini(once, n_once, &change, twice, room, &n_twice) == PO_INI_OK,
			 "what was changed can be changed");
		must(n_once == n_twice && memcmp(once, twice, n_once) == 0,
			 "the same change again changes nothing");
	}
	free(once);
	free(twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char	   *text;

	if (size < N_SHAPE)
		return 0;
	text = copy_text(bytes + N_SHAPE, size - N_SHAPE);
	switch (bytes[0] % 3)
	{
		case 0:
			answer((PoPoolerCommand) (bytes[1] % (PO_POOLER_CLIENTS + 1)), text);
			break;
		case 1:
			split(text);
			break;
		default:
			edit(bytes[1] % 2 == 0 ? PO_INI_DATABASES : PO_INI_USERS, text, size - N_SHAPE);
			break;
	}
	free(text);
	return 0;
}

static const FuzzSeed seeds[] = {
	SEED("\0\0" "database app\nuser web\ncl_active 1\ncl_waiting 2\nsv_active 3\nsv_idle 0\n"
	"maxwait 0\nmaxwait_us 17\npool_mode transaction\n"),
	SEED("\0\1" "name app\ndatabase shop\nforce_user\npool_size 20\nreserve_pool 0\n"),
	SEED("\0\2" "database app\ntotal_xact_count 9999999999999999999\ntotal_wait_time -1\n"),
	SEED("\0\3" "database app\nuser web\nremote_pid 4711\n"),
	SEED("\0\4" "name web\npool_size\n"),
	SEED("\0\5" "key default_pool_size\nvalue 20\n"),
	SEED("\0\6" "database app\nuser web\nstate waiting\naddr 10.0.0.1\napplication_name w-4711\n"),
	SEED("\0\6" "database app\nuser web\nstate active\naddr unix\n"
	"remote_pid 9999999999999999999\n"),
	SEED("\1\0" "host=a port=6432; user='x;y' ;postgresql://u@h/pgbouncer"),
	SEED("\1\0" "user='x\\';;'"),
	SEED("\2\0" "[databases]\n; pool_optimizer begin\na = host=x pool_size=2\n"
	"\"b\" = host='''' \n; pool_optimizer end\n"),
	SEED("\2\1" "[users]\n#pool_optimizer begin\n\"a\" = pool_size='3' min_pool_size=1\r\n"),
	SEED("\2\1" "[users]\n#pool_optimizer begin\na="),
	SEED("\2\0" "[databases]\n; pool_optimizer begin\n'a' = host=''' pool_size=2'\n'a'x='a\n'a"),
};

FUZZ_MAIN("fuzz_pooler", seeds)
