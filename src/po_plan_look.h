/*
 * po_plan_look.h
 *		What a statement is, by the plan that is about to run.
 */
#ifndef PO_PLAN_LOOK_H
#define PO_PLAN_LOOK_H

#include "po_shmem.h"

#include "executor/execdesc.h"

/* The plan has been started; count: rows asked for, 0 = all.  Takes some microseconds. */
extern void po_plan_look(const QueryDesc *query, uint64 count, PoStatementPlan *seen);

#endif							/* PO_PLAN_LOOK_H */
