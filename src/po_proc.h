/*
 * po_proc.h
 *		What the kernel tells in files that it makes up as they are read.
 */
#ifndef PO_PROC_H
#define PO_PROC_H

/* The first bytes of such a file, NUL-terminated; false when it cannot be read, or is empty. */
extern bool po_proc_begin(const char *name, char *text, size_t room);

#endif							/* PO_PROC_H */
