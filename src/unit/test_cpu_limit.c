/*
 * test_cpu_limit.c
 *		What Linux says of a control group's CPU time.
 */
#include "check.h"
#include "model/po_cpu_limit.h"

#include <string.h>

static void
found(const char *lines, bool version_1, const char *path)
{
	char		to[64];
	bool		one = !version_1;

	CHECK_WITH(po_cpu_limit_find(lines, &one, to, sizeof(to)), "%s", lines);
	CHECK_WITH(one == version_1 && strcmp(to, path) == 0, "%s: \"%s\"", lines, to);
}

static void
test_find(void)
{
	static const char *const none[] = {
		"", "\n\n", "0", "0:", "1:name=systemd:/", "4:cpuset,cpuacct:/a", "x:cpu",
		"0::/a path that does not fit in thirty-two bytes"
	};
	char		path[32];
	bool		one;

	found("0::/\n", false, "");
	found("0::/system.slice/postgresql.service\n", false, "/system.slice/postgresql.service");
	found("0::/../../kubepods\n", false, "");
	found("4:memory:/m\n2:cpuacct,cpu:/c/\n0::/u\n", true, "/c");
	found("0::/u\n1:cpu:/", true, "");
	found("2:cpuset:/s\n0::/u", false, "/u");
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		CHECK_WITH(!po_cpu_limit_find(none[i], &one, path, sizeof(path)), "\"%s\"", none[i]);
}

static void
test_up(void)
{
	char		path[] = "/a/b";

	CHECK(po_cpu_limit_up(path) && strcmp(path, "/a") == 0);
	CHECK(po_cpu_limit_up(path) && strcmp(path, "") == 0);
	CHECK(!po_cpu_limit_up(path));
}

static void
test_limits(void)
{
	CHECK_NEAR(po_cpu_limit_of_max("200000 100000\n"), 2, 0);
	CHECK_NEAR(po_cpu_limit_of_max("50000 100000"), 0.5, 0);
	CHECK_NEAR(po_cpu_limit_of_max("max 100000\n"), 0, 0);
	CHECK_NEAR(po_cpu_limit_of_max(""), 0, 0);
	CHECK_NEAR(po_cpu_limit_of_max("1"), 0, 0);
	CHECK_NEAR(po_cpu_limit_of_max("1 0"), 0, 0);
	CHECK_NEAR(po_cpu_limit_of_max("-5 10"), 0, 0);
	CHECK_NEAR(po_cpu_limit_of_quota("150000\n", "100000\n"), 1.5, 0);
	CHECK_NEAR(po_cpu_limit_of_quota("-1", "100000"), 0, 0);
	CHECK_NEAR(po_cpu_limit_of_quota("1", ""), 0, 0);

	CHECK_INT(po_cpu_limit_cores(64, 2), 2);
	CHECK_INT(po_cpu_limit_cores(64, 0), 64);
	CHECK_INT(po_cpu_limit_cores(64, 0.2), 1);
	CHECK_INT(po_cpu_limit_cores(64, 1.5), 2);
	CHECK_INT(po_cpu_limit_cores(2, 64), 2);
	CHECK_INT(po_cpu_limit_cores(0, 0), 1);
	CHECK_INT(po_cpu_limit_cores(4, NAN), 4);
	CHECK_INT(po_cpu_limit_cores(4, INFINITY), 4);
}

int
main(void)
{
	test_find();
	test_up();
	test_limits();
	return check_end("test_cpu_limit");
}
