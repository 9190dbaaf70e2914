/*
 * test_cpu_time.c
 *		What /proc/stat says of CPU time, and what is made of it.
 */
#include "check.h"
#include "model/po_cpu_time.h"

#include <string.h>

static void
test_read(void)
{
	static const char *const odd[] = {
		"", "\n", "cpu", "cpu ", "cpu  1 2 3 4 5 6 7", "cpu0 1 2 3 4 5 6 7 8 9 10",
		"cpu  x 2 3 4 5 6 7 8", "intr 1 2 3 4 5 6 7 8", "cpu  1 2 3 4 5 6 7 -",
	};
	PoCpuTime	t = {7, 9};

	CHECK(po_cpu_time_read("cpu  1065851 207269 425370 706039 4395 1 6743 63255 0 0\n"
						   "cpu0 532925 103634 212685 353019 2197 1 3371 31627 0 0\n", &t));
	CHECK(t.ran == 1065851 + 207269 + 425370 + 1 + 6743 && t.stolen == 63255);
	/* Old kernels tell no more numbers than that; cut off in the middle of a line is no harm. */
	CHECK(po_cpu_time_read("cpu 1 2 3 4 5 6 7 8", &t));
	CHECK(t.ran == 1 + 2 + 3 + 6 + 7 && t.stolen == 8);
	t.ran = t.stolen = 42;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		CHECK_WITH(!po_cpu_time_read(odd[i], &t), "\"%s\"", odd[i]);
	CHECK(t.ran == 42 && t.stolen == 42);
}

static void
test_granted(void)
{
	PoCpuTime	before = {1000, 100};
	PoCpuTime	now = {1090, 110};
	PoCpuTime	most = {UINT64_MAX, UINT64_MAX};
	PoCpuTime	none = {0, 0};

	CHECK_NEAR(po_cpu_time_granted(&before, &now), 0.9, 1e-12);
	CHECK_NEAR(po_cpu_time_granted(&now, &now), 1, 0);
	CHECK_NEAR(po_cpu_time_granted(&now, &before), 1, 0);
	CHECK_NEAR(po_cpu_time_granted(&none, &most), 0.5, 1e-9);
	now.stolen = before.stolen;
	CHECK_NEAR(po_cpu_time_granted(&before, &now), 1, 0);
	now.stolen = UINT64_MAX;
	CHECK_NEAR(po_cpu_time_granted(&before, &now), 1, 0);
}

int
main(void)
{
	test_read();
	test_granted();
	return check_end("test_cpu_time");
}
