/*-------------------------------------------------------------------------
 *
 * model_columns.c
 *	  Which columns of the model the mapping reads.
 *
 * Found when the model is resolved, for the careful diff, which evaluates the
 * mapping over rows that were read before.  In the transaction and memory
 * context of act_model_resolve(); throws nothing of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

#include "model_columns.h"

/* The model is the only thing that is selected from. */
#define MODEL_VARNO 1

typedef struct ColumnSearch
{
	int			depth;			/* of subqueries */
	Bitmapset  *columns;		/* by number, less FirstLowInvalidHeapAttributeNumber */
} ColumnSearch;

static bool
find_columns(Node *node, void *context)
{
	ColumnSearch *search = context;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varno == MODEL_VARNO && var->varlevelsup == search->depth)
			search->columns = bms_add_member(search->columns,
											 var->varattno - FirstLowInvalidHeapAttributeNumber);
		return false;
	}
	if (IsA(node, Query))
	{
		bool		result;

		search->depth++;
		result = query_tree_walker((Query *) node, find_columns, context, 0);
		search->depth--;
		return result;
	}
	return expression_tree_walker(node, find_columns, context);
}

static void
add_column(Model *model, RangeTblEntry *rte, AttrNumber number)
{
	ModelColumn *column = &model->columns[model->ncolumns++];

	column->number = number;
	column->name = pstrdup(get_rte_attribute_name(rte, number));
	if (rte->rtekind == RTE_RELATION)
	{
		int32		typmod;

		get_atttypetypmodcoll(rte->relid, number, &column->type, &typmod, &column->collation);
	}
	else
	{
		Node	   *expression = (Node *) get_tle_by_resno(rte->subquery->targetList, number)->expr;

		column->type = exprType(expression);
		column->collation = exprCollation(expression);
	}
}

void
act_model_find_columns(Model *model, const Query *query)
{
	RangeTblEntry *rte = rt_fetch(MODEL_VARNO, query->rtable);
	int			count = list_length(rte->eref->colnames);
	ColumnSearch search = {0};
	int			member = -1;

	for (int i = 0; i < model->nleaves; i++)
		(void) find_columns((Node *) list_nth_node(TargetEntry, query->targetList,
												   model->sync->nkeys + i)->expr, &search);
	model->whole_row = bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, search.columns);
	model->columns = palloc(sizeof(ModelColumn) * (count - FirstLowInvalidHeapAttributeNumber));
	for (AttrNumber number = 1; model->whole_row && number <= count; number++)
	{
		if (!get_rte_attribute_is_dropped(rte, number))
			search.columns = bms_add_member(search.columns, number - FirstLowInvalidHeapAttributeNumber);
	}
	while ((member = bms_next_member(search.columns, member)) >= 0)
	{
		if (member + FirstLowInvalidHeapAttributeNumber != InvalidAttrNumber)
			add_column(model, rte, member + FirstLowInvalidHeapAttributeNumber);
	}
}
