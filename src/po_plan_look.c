/*
 * po_plan_look.c
 *		What a statement is, by the plan that is about to run.
 *
 * All is in the plan and in the relations that it has opened.  Catalogs are asked for no
 * more than the planner has asked for, through the caches, and what is not in them is not
 * known, no error.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "po_plan_look.h"

/* Bounds: of a larger plan the rest is not looked at. */
#define MOST_NODES			500
#define MOST_EXPRESSIONS	5000
#define MOST_LEVELS			30

#define LARGE_TABLE			10000	/* rows */

typedef struct Look
{
	PoStatementPlan *seen;
	double		total;			/* cost of the plan */
	double		factor;			/* how often, or how far, the node runs */
	int			nodes;
	int			expressions;
	bool		is_repeatable;	/* another session would get the same */
	bool		is_worth_it;	/* it reads something, or calls a function */
} Look;

/* ---------- functions ---------- */

static void
use(Look *look, PoStateUse what)
{
	look->seen->flags |= PO_PLAN_USE(what);
}

/* Does it give each session the same?  One that is stable and not core's may ask for a setting. */
static bool
is_for_everybody(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	char		volatility;

	if (!HeapTupleIsValid(tuple))
		return false;
	volatility = ((Form_pg_proc) GETSTRUCT(tuple))->provolatile;
	ReleaseSysCache(tuple);
	return volatility == PROVOLATILE_IMMUTABLE ||
		(volatility == PROVOLATILE_STABLE && function < FirstNormalObjectId);
}

static bool
look_at_function(Oid function, void *context)
{
	Look	   *look = context;

	switch (function)
	{
		case F_PG_ADVISORY_LOCK_INT8:
		case F_PG_ADVISORY_LOCK_INT4_INT4:
		case F_PG_ADVISORY_LOCK_SHARED_INT8:
		case F_PG_ADVISORY_LOCK_SHARED_INT4_INT4:
		case F_PG_TRY_ADVISORY_LOCK_INT8:
		case F_PG_TRY_ADVISORY_LOCK_INT4_INT4:
		case F_PG_TRY_ADVISORY_LOCK_SHARED_INT8:
		case F_PG_TRY_ADVISORY_LOCK_SHARED_INT4_INT4:
			use(look, PO_USE_ADVISORY_LOCK);
			break;
		case F_CURRENT_SETTING_TEXT:
		case F_CURRENT_SETTING_TEXT_BOOL:
		case F_CURRENT_SCHEMA:
		case F_CURRENT_SCHEMAS:
		case F_SESSION_USER:
		case F_PG_BACKEND_PID:
		case F_INET_CLIENT_ADDR:
		case F_INET_CLIENT_PORT:
			look->is_repeatable = false;
			return false;
	}
	look->is_repeatable = look->is_repeatable && is_for_everybody(function);
	return false;
}

/* The present user is a part of the hash, see po_evidence.c. */
static bool
is_of_session(const SQLValueFunction *value)
{
	return value->op == SVFOP_SESSION_USER || value->op == SVFOP_CURRENT_SCHEMA;
}

/* set_config(name, value, is_local): for the session? */
static bool
is_session_setting(const FuncExpr *call)
{
	const Node *is_local = list_length(call->args) == 3 ? lthird(call->args) : NULL;

	return call->funcid == F_SET_CONFIG && is_local != NULL && IsA(is_local, Const) &&
		!((const Const *) is_local)->constisnull &&
		!DatumGetBool(((const Const *) is_local)->constvalue);
}

static bool
look_at_expression(Node *node, void *context)
{
	Look	   *look = context;

	if (node == NULL)
		return false;
	if (++look->expressions > MOST_EXPRESSIONS)
	{
		look->is_repeatable = false;
		return true;
	}
	if (IsA(node, FuncExpr))
		look->is_worth_it = true;
	if (IsA(node, FuncExpr) && is_session_setting((FuncExpr *) node))
		use(look, PO_USE_SET);
	if (IsA(node, NextValueExpr) ||
		(IsA(node, SQLValueFunction) && is_of_session((SQLValueFunction *) node)))
		look->is_repeatable = false;
	(void) check_functions_in_node(node, look_at_function, look);
	return expression_tree_walker(node, look_at_expression, context);
}

/*
 * What a scan is asked with besides its qual.  A condition that an index answers is not in the
 * qual any more; of the two forms that the plan has of it either will do.
 */
static void
look_at_scan_expressions(Plan *plan, Look *look)
{
	void	   *first = NULL;
	void	   *second = NULL;

	switch (nodeTag(plan))
	{
		case T_SampleScan:
			first = ((SampleScan *) plan)->tablesample;
			if (((SampleScan *) plan)->tablesample->repeatable == NULL)
				look->is_repeatable = false;
			break;
		case T_IndexScan:
			first = ((IndexScan *) plan)->indexqual;
			second = ((IndexScan *) plan)->indexorderby;
			break;
		case T_IndexOnlyScan:
			first = ((IndexOnlyScan *) plan)->indexqual;
			second = ((IndexOnlyScan *) plan)->indexorderby;
			break;
		case T_BitmapIndexScan:
			first = ((BitmapIndexScan *) plan)->indexqual;
			break;
		case T_TidScan:
			first = ((TidScan *) plan)->tidquals;
			break;
		case T_TidRangeScan:
			first = ((TidRangeScan *) plan)->tidrangequals;
			break;
		case T_FunctionScan:
			first = ((FunctionScan *) plan)->functions;
			break;
		case T_TableFuncScan:
			first = ((TableFuncScan *) plan)->tablefunc;
			break;
		case T_ValuesScan:
			first = ((ValuesScan *) plan)->values_lists;
			break;
		default:
			return;
	}
	(void) look_at_expression(first, look);
	(void) look_at_expression(second, look);
}

static void
look_at_join_expressions(Plan *plan, Look *look)
{
	(void) look_at_expression((Node *) ((Join *) plan)->joinqual, look);
	if (IsA(plan, MergeJoin))
		(void) look_at_expression((Node *) ((MergeJoin *) plan)->mergeclauses, look);
	else if (IsA(plan, HashJoin))
		(void) look_at_expression((Node *) ((HashJoin *) plan)->hashclauses, look);
}

/* All that is computed anywhere in the node: what is overlooked would make it seem repeatable. */
static void
look_at_expressions(Plan *plan, Look *look)
{
	(void) look_at_expression((Node *) plan->targetlist, look);
	(void) look_at_expression((Node *) plan->qual, look);
	switch (nodeTag(plan))
	{
		case T_Result:
			(void) look_at_expression(((Result *) plan)->resconstantqual, look);
			break;
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
			look_at_join_expressions(plan, look);
			break;
		case T_WindowAgg:
			(void) look_at_expression(((WindowAgg *) plan)->startOffset, look);
			(void) look_at_expression(((WindowAgg *) plan)->endOffset, look);
			(void) look_at_expression((Node *) ((WindowAgg *) plan)->runCondition, look);
			break;
		case T_Limit:
			(void) look_at_expression(((Limit *) plan)->limitOffset, look);
			(void) look_at_expression(((Limit *) plan)->limitCount, look);
			break;
		default:
			look_at_scan_expressions(plan, look);
			break;
	}
}

/* ---------- sequential scans ---------- */

/* The strategy of an operator that an index can be asked with; 0 = it cannot. */
static int
index_strategy(Oid operator)
{
	CatCList   *list = SearchSysCacheList1(AMOPOPID, ObjectIdGetDatum(operator));
	int			strategy = 0;

	for (int i = 0; i < list->n_members && strategy == 0; i++)
	{
		Form_pg_amop amop = (Form_pg_amop) GETSTRUCT(&list->members[i]->tuple);

		if (amop->amopmethod == BTREE_AM_OID && amop->amoppurpose == AMOP_SEARCH)
			strategy = amop->amopstrategy;
	}
	ReleaseSysCacheList(list);
	return strategy;
}

/* The column that it is, 0 if it is none of the scan's. */
static AttrNumber
column_of(Node *node, Index scan)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (node == NULL || !IsA(node, Var) || (Index) ((Var *) node)->varno != scan)
		return 0;
	return Max(((Var *) node)->varattno, 0);
}

/* The column that a condition compares with something that is not of the same table. */
static AttrNumber
compared_column(Node *condition, Index scan, bool *is_equal)
{
	List	   *args;
	Oid			operator;
	AttrNumber	left;
	AttrNumber	right;
	int			strategy;

	if (IsA(condition, NullTest) && ((NullTest *) condition)->nulltesttype == IS_NULL)
	{
		*is_equal = true;
		return column_of((Node *) ((NullTest *) condition)->arg, scan);
	}
	if (IsA(condition, OpExpr))
	{
		args = ((OpExpr *) condition)->args;
		operator = ((OpExpr *) condition)->opno;
	}
	else if (IsA(condition, ScalarArrayOpExpr) && ((ScalarArrayOpExpr *) condition)->useOr)
	{
		args = ((ScalarArrayOpExpr *) condition)->args;
		operator = ((ScalarArrayOpExpr *) condition)->opno;
	}
	else
		return 0;
	if (list_length(args) != 2)
		return 0;
	left = column_of(linitial(args), scan);
	right = column_of(lsecond(args), scan);
	strategy = (left != 0) == (right != 0) ? 0 : index_strategy(operator);
	*is_equal = strategy == BTEqualStrategyNumber;
	return strategy == 0 ? 0 : Max(left, right);
}

static void
add_column(PoStatementPlan *seen, AttrNumber column)
{
	for (int i = 0; i < PO_SCAN_COLUMNS; i++)
	{
		if (seen->scan_column[i] == column)
			return;
		if (seen->scan_column[i] == 0)
		{
			seen->scan_column[i] = column;
			return;
		}
	}
}

/* As an index should have them: what is equal comes before what is in a range. */
static void
look_at_condition(List *qual, Index scan, PoStatementPlan *seen)
{
	memset(seen->scan_column, 0, sizeof(seen->scan_column));
	for (int pass = 0; pass < 2; pass++)
	{
		ListCell   *cell;

		foreach(cell, qual)
		{
			bool		is_equal = false;
			AttrNumber	column = compared_column(lfirst(cell), scan, &is_equal);

			if (column != 0 && is_equal == (pass == 0))
				add_column(seen, column);
		}
	}
}

static void
look_at_scan(ScanState *scan, Look *look)
{
	Plan	   *plan = scan->ps.plan;
	Relation	rel = scan->ss_currentRelation;
	double		share;

	look->is_worth_it = true;
	if (rel == NULL)
		return;
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
	{
		look->is_repeatable = false;
		return;
	}
	if (!IsA(scan, SeqScanState) || rel->rd_rel->reltuples < LARGE_TABLE || look->total <= 0)
		return;
	share = Min(plan->total_cost * look->factor / look->total, 1.0);
	if (share <= look->seen->scan_share)
		return;
	look->seen->scan_share = (float4) share;
	look->seen->scan_table = RelationGetRelid(rel);
	look->seen->scan_rows = rel->rd_rel->reltuples;
	look_at_condition(plan->qual, ((Scan *) plan)->scanrelid, look->seen);
}

/* ---------- the tree ---------- */

static bool look_at_node(PlanState *state, void *context);

static bool
look_at_subplans(List *list, Look *look)
{
	ListCell   *cell;

	foreach(cell, list)
	{
		if (look_at_node(((SubPlanState *) lfirst(cell))->planstate, look))
			return true;
	}
	return false;
}

/* The inner side is run again for each row of the outer one, unless it is kept. */
static bool
look_at_nestloop(PlanState *state, Look *look)
{
	double		factor = look->factor;
	PlanState  *outer = outerPlanState(state);
	PlanState  *inner = innerPlanState(state);
	bool		stop;

	if (look_at_subplans(state->initPlan, look) || look_at_node(outer, look))
		return true;
	if (!IsA(inner, MaterialState) && !IsA(inner, MemoizeState))
		look->factor *= Max(outer->plan->plan_rows, 1);
	stop = look_at_node(inner, look) || look_at_subplans(state->subPlan, look);
	look->factor = factor;
	return stop;
}

static bool
look_at_node(PlanState *state, void *context)
{
	Look	   *look = context;
	Plan	   *plan;
	double		factor = look->factor;
	bool		stop;

	if (state == NULL)
		return false;
	plan = state->plan;
	if (++look->nodes > MOST_NODES)
	{
		look->is_repeatable = false;
		return true;
	}
	look_at_expressions(plan, look);
	switch (nodeTag(state))
	{
		case T_SeqScanState:
		case T_SampleScanState:
		case T_IndexScanState:
		case T_IndexOnlyScanState:
		case T_BitmapHeapScanState:
		case T_TidScanState:
		case T_TidRangeScanState:
			look_at_scan((ScanState *) state, look);
			break;
		case T_ForeignScanState:
		case T_CustomScanState:
			look->is_repeatable = false;
			break;
		case T_NestLoopState:
			return look_at_nestloop(state, look);
		case T_LimitState:
			/* It runs so far only. */
			if (outerPlan(plan) != NULL && outerPlan(plan)->total_cost > plan->total_cost)
				look->factor *= plan->total_cost / outerPlan(plan)->total_cost;
			break;
		default:
			break;
	}
	stop = planstate_tree_walker(state, look_at_node, context);
	look->factor = factor;
	return stop;
}

/* Is there an upper limit to what it returns? */
static bool
is_limited(Plan *plan)
{
	for (int i = 0; plan != NULL && i < MOST_LEVELS; i++)
	{
		switch (nodeTag(plan))
		{
			case T_Limit:
				return true;
			case T_Agg:
				if (((Agg *) plan)->numCols == 0 && ((Agg *) plan)->groupingSets == NIL)
					return true;
				break;
			case T_Result:
				if (outerPlan(plan) == NULL)
					return true;
				break;
			case T_SubqueryScan:
				plan = ((SubqueryScan *) plan)->subplan;
				continue;
			case T_Sort:
			case T_IncrementalSort:
			case T_Material:
			case T_Gather:
			case T_GatherMerge:
			case T_LockRows:
			case T_Unique:
			case T_Group:
			case T_WindowAgg:
				break;
			default:
				return false;
		}
		plan = outerPlan(plan);
	}
	return false;
}

void
po_plan_look(const QueryDesc *query, uint64 count, PoStatementPlan *seen)
{
	const PlannedStmt *stmt = query->plannedstmt;
	Look		look = {
		.seen = seen, .factor = 1, .is_repeatable = true
	};

	memset(seen, 0, sizeof(*seen));
	look.total = stmt->planTree->total_cost;
	(void) look_at_node(query->planstate, &look);
	if (stmt->commandType == CMD_SELECT && stmt->rowMarks == NIL && !stmt->hasModifyingCTE &&
		look.is_repeatable && look.is_worth_it)
		seen->flags |= PO_PLAN_READS;
	if (count > 0 || is_limited(stmt->planTree))
		seen->flags |= PO_PLAN_LIMITED;
}
