/*
 * po_state.h
 *		The state file: what outlives a restart.
 */
#ifndef PO_STATE_H
#define PO_STATE_H

#include "postgres.h"

/* In the postmaster, when shared memory has been laid out: takes back what the
 * file has, and arranges for it to be written at a clean exit. */
extern void po_state_startup(void);

/* Writes the file; false (with a LOG line) if that failed. */
extern bool po_state_write(void);

#endif							/* PO_STATE_H */
