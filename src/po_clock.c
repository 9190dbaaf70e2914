/*
 * po_clock.c
 *		Has the wall clock been set while this session was busy?
 *
 * Core's timestamps are of the wall clock; what they differ from the monotonic clock
 * moves only when the former is set.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "po_clock.h"
#include "po_shmem.h"

static int64 offset = 0;		/* wall - monotonic us, when last looked at */
static bool was_set = false;

void
po_clock_start(void)
{
	offset = GetCurrentTimestamp() - po_shmem_monotonic_us();
	was_set = false;
}

bool
po_clock_was_set(void)
{
	int64		now = GetCurrentTimestamp() - po_shmem_monotonic_us();
	int64		moved = now - offset;

	offset = now;
	was_set = was_set || moved < -PO_CLOCK_SET_US || moved > PO_CLOCK_SET_US;
	return was_set;
}

void
po_clock_forget(void)
{
	was_set = false;
}
