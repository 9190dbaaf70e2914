/*
 * po_cpu_limit.c
 *		How many processors a control group of Linux may use up.
 */
#include "model/po_cpu_limit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Is it one of the names between commas? */
static bool
has_name(const char *names, size_t length, const char *name)
{
	size_t		wanted = strlen(name);

	for (size_t at = 0; at < length;)
	{
		const char *comma = memchr(names + at, ',', length - at);
		size_t		n = comma == NULL ? length - at : (size_t) (comma - names) - at;

		if (n == wanted && memcmp(names + at, name, n) == 0)
			return true;
		at += n + 1;
	}
	return false;
}

/* "/" is the topmost; a path may begin with "/.." for who cannot see it. */
static bool
copy_path(const char *from, size_t length, char *path, size_t size)
{
	while (length > 0 && from[length - 1] == '/')
		length--;
	if (length >= size)
		return false;
	memcpy(path, from, length);
	path[length] = '\0';
	if (strstr(path, "..") != NULL)
		path[0] = '\0';
	return true;
}

bool
po_cpu_limit_find(const char *lines, bool *version_1, char *path, size_t size)
{
	bool		found = false;

	/* number:controllers:path */
	for (const char *line = lines; *line != '\0';)
	{
		size_t		length = strcspn(line, "\n");
		const char *end = line + length;
		const char *names = memchr(line, ':', length);
		const char *from = names == NULL ? NULL :
			memchr(names + 1, ':', (size_t) (end - names) - 1);
		size_t		n_names = from == NULL ? 0 : (size_t) (from - names) - 1;
		bool		is_cpu = from != NULL && has_name(names + 1, n_names, "cpu");

		if (from != NULL && (is_cpu || (n_names == 0 && !found)))
		{
			found = copy_path(from + 1, (size_t) (end - from) - 1, path, size);
			*version_1 = is_cpu;
			if (is_cpu)
				return found;
		}
		line = *end == '\0' ? end : end + 1;
	}
	return found;
}

bool
po_cpu_limit_up(char *path)
{
	char	   *last = strrchr(path, '/');

	if (last == NULL)
		return false;
	*last = '\0';
	return true;
}

static double
processors(int64_t quota, int64_t period)
{
	return quota > 0 && period > 0 ? (double) quota / (double) period : 0;
}

double
po_cpu_limit_of_max(const char *text)
{
	int64_t		quota;
	int64_t		period;

	return sscanf(text, "%" SCNd64 " %" SCNd64, &quota, &period) == 2 ?
		processors(quota, period) : 0;
}

double
po_cpu_limit_of_quota(const char *quota_text, const char *period_text)
{
	int64_t		quota;
	int64_t		period;

	return sscanf(quota_text, "%" SCNd64, &quota) == 1 &&
		sscanf(period_text, "%" SCNd64, &period) == 1 ? processors(quota, period) : 0;
}

int
po_cpu_limit_cores(int n, double limit)
{
	if (n < 1)
		n = 1;
	if (!(limit > 0) || limit >= n)
		return n;
	return limit < 1 ? 1 : (int) (limit + 0.5);
}
