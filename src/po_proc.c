/*
 * po_proc.c
 *		What the kernel tells in files that it makes up as they are read.
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "po_proc.h"

bool
po_proc_begin(const char *name, char *text, size_t room)
{
	int			fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t		n;

	if (fd < 0)
		return false;
	n = read(fd, text, room - 1);
	close(fd);
	text[Max(n, 0)] = '\0';
	return n > 0;
}
