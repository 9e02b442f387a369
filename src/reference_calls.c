/*-------------------------------------------------------------------------
 *
 * reference_calls.c
 *	  Where a model and its mapping ask for the ids of other syncs' rows.
 *
 * An id that is not known yet is a text that says so, and the row waits when
 * that text would be sent.  So wherever the function is called, its answer
 * has to get into the payload as it is: a query that tests it, groups by it
 * or cuts a piece of it is refused.  Followed here is an id's way up, out of
 * sub-selects, views and WITH queries, to the columns of the whole.
 *
 * Inside a transaction, as the sync's owner, on a tree analysed and rewritten.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_func.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "mapping.h"
#include "model_check.h"
#include "reference.h"

/* What makes text or JSON of its arguments in which each of them is whole. */
static const char *const keeping_functions[] = {
	"textcat", "textanycat", "anytextcat", "concat", "concat_ws", "format", "upper", "lower",
	"to_json", "to_jsonb", "json_build_object", "jsonb_build_object", "json_build_array", "jsonb_build_array",
	"json_object", "jsonb_object", "jsonb_concat", "json_strip_nulls", "jsonb_strip_nulls",
	"array_append", "array_prepend", "array_cat",
	"array_agg", "string_agg", "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg"
};

/* What holds for the whole tree. */
typedef struct Search
{
	Model	   *model;
	int			nkeys;			/* columns before the leaves */
	const Mapping *mapping;
	Oid			function;
	const char *field;			/* of the mapping; NULL: in the model */
} Search;

/* A query, within those around it; for each item of FROM which columns have an id in them. */
typedef struct Scope
{
	Search	   *search;
	Query	   *query;
	struct Scope *outer;
	bool	  **columns;		/* by range table index - 1; NULL: none has */
	bool	  **with;			/* the same of WITH queries */
} Scope;

/* An expression being looked at. */
typedef struct Look
{
	Scope	   *scope;
	bool		flows;			/* its value goes on as it is */
	bool		found;			/* there is an id in it */
} Look;

static bool walk(Node *node, void *arg);
static bool *query_columns(Query *query, Search *search, Scope *outer);

static void
refuse_use(const Search *search, const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 search->field != NULL ?
			 errmsg("mapping field \"%s\": an id by activate.external_id() can only be sent as it is", search->field) :
			 errmsg("model of sync \"%s\": an id by activate.external_id() can only be sent as it is",
					search->model->sync->name),
			 errdetail("It is tested, sorted or grouped by, or made something else of: nothing of that can be done with an id that is not known yet."),
			 name != NULL ?
			 errhint("Rows whose reference is unknown wait by themselves; to look the id up without waiting join activate_data.%s.",
					 quote_identifier(name)) :
			 errhint("Rows whose reference is unknown wait by themselves; to look the id up without waiting join the sync's table in activate_data.")));
}

/* ----------------------------------------------------------------
 *		Calls
 * ----------------------------------------------------------------
 */

/* The sync that a call names. */
static char *
called_sync(const FuncExpr *call, const Search *search)
{
	Node	   *first = linitial(call->args);

	while (IsA(first, RelabelType))
		first = (Node *) ((RelabelType *) first)->arg;
	if (!IsA(first, Const) || ((Const *) first)->constisnull)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sync \"%s\": activate.external_id() does not name a sync by a constant",
						search->model->sync->name),
				 errdetail("It has to be known which syncs this one refers to."),
				 errhint("activate.external_id('companies', company_id)")));
	return TextDatumGetCString(((Const *) first)->constvalue);
}

static void
note_call(const FuncExpr *call, const Search *search)
{
	Model	   *model = search->model;
	const Sync *sync = model->sync;
	char	   *name = called_sync(call, search);
	int			nkeys = list_length(call->args) - 1;
	Oid		   *types = palloc(sizeof(Oid) * nkeys);
	ListCell   *cell;

	if (call->funcvariadic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sync \"%s\": activate.external_id() takes the columns of a key one by one", sync->name),
				 errhint("Leave out VARIADIC: activate.external_id(%s, ...)", quote_literal_cstr(name))));
	for (int i = 0; i < nkeys; i++)
		types[i] = exprType(list_nth(call->args, i + 1));
	if (strcmp(name, sync->name) == 0)
		act_reference_check_types(name, sync->nkeys, model->key_types, nkeys, types);
	else
		act_model_check_table_owner(act_reference_check(name, nkeys, types));
	foreach(cell, model->references)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return;
	}
	model->references = lappend(model->references, name);
}

/* ----------------------------------------------------------------
 *		Expressions
 * ----------------------------------------------------------------
 */

/* Whether there is an id in the value of an expression. */
static bool
carries(Node *node, Scope *scope, bool flows)
{
	Look		look = {.scope = scope,.flows = flows};

	(void) walk(node, &look);
	return look.found;
}

static bool
is_keeping_function(Oid function)
{
	const char *name;

	if (function >= FirstNormalObjectId)
		return false;
	name = get_func_name(function);
	for (int i = 0; name != NULL && i < lengthof(keeping_functions); i++)
	{
		if (strcmp(keeping_functions[i], name) == 0)
			return true;
	}
	return false;
}

/* Whether what is in a value of a part is in the value of the whole. */
static bool
keeps(Node *node)
{
	switch (nodeTag(node))
	{
		case T_List:
		case T_TargetEntry:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_CoerceToDomain:
		case T_CollateExpr:
		case T_ArrayExpr:
		case T_ArrayCoerceExpr:
		case T_RowExpr:
		case T_ConvertRowtypeExpr:
		case T_NamedArgExpr:
			return true;
		case T_FuncExpr:
			return is_keeping_function(((FuncExpr *) node)->funcid);
		case T_OpExpr:
			return is_keeping_function(get_opcode(((OpExpr *) node)->opno));
		case T_Aggref:
			return ((Aggref *) node)->aggfilter == NULL && is_keeping_function(((Aggref *) node)->aggfnoid);
		default:
			return act_compat_is_json_constructor(node);
	}
}

static bool
var_carries(const Var *var, Scope *scope)
{
	RangeTblEntry *rte;
	bool	   *columns;

	for (Index up = 0; up < var->varlevelsup && scope != NULL; up++)
		scope = scope->outer;
	if (scope == NULL || IS_SPECIAL_VARNO(var->varno))
		return false;
	rte = rt_fetch(var->varno, scope->query->rtable);
	if (rte->rtekind == RTE_JOIN && var->varattno > 0)
		return carries(list_nth(rte->joinaliasvars, var->varattno - 1), scope, true);
	columns = scope->columns[var->varno - 1];
	if (columns == NULL || var->varattno < 0)
		return false;
	if (var->varattno > 0)
		return columns[var->varattno - 1];
	for (int i = 0; i < list_length(rte->eref->colnames); i++)
	{
		if (columns[i])
			return true;
	}
	return false;
}

static bool
any_column(const bool *columns, const Query *query)
{
	for (int i = 0; i < list_length(query->targetList); i++)
	{
		if (columns[i])
			return true;
	}
	return false;
}

static void
walk_sublink(SubLink *sublink, Look *look)
{
	Query	   *query = (Query *) sublink->subselect;
	bool		found = any_column(query_columns(query, look->scope->search, look->scope), query);
	bool		is_value = sublink->subLinkType == EXPR_SUBLINK || sublink->subLinkType == ARRAY_SUBLINK;

	(void) carries(sublink->testexpr, look->scope, false);
	if (found && (!is_value || !look->flows))
		refuse_use(look->scope->search, NULL);
	look->found = look->found || found;
}

/* Which branch is taken must not depend on an id; what it gives may be one. */
static void
walk_case(CaseExpr *expression, Look *look)
{
	ListCell   *cell;

	(void) carries((Node *) expression->arg, look->scope, false);
	foreach(cell, expression->args)
	{
		CaseWhen   *when = lfirst_node(CaseWhen, cell);

		(void) carries((Node *) when->expr, look->scope, false);
		(void) walk((Node *) when->result, look);
	}
	(void) walk((Node *) expression->defresult, look);
}

static void
walk_coalesce(CoalesceExpr *expression, Look *look)
{
	ListCell   *cell;

	foreach(cell, expression->args)
	{
		if (lnext(expression->args, cell) == NULL)
			(void) walk(lfirst(cell), look);
		else
			(void) carries(lfirst(cell), look->scope, false);
	}
}

static bool
walk(Node *node, void *arg)
{
	Look	   *look = arg;
	Look		inner;

	if (node == NULL)
		return false;
	check_stack_depth();
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == look->scope->search->function)
	{
		FuncExpr   *call = (FuncExpr *) node;

		note_call(call, look->scope->search);
		if (!look->flows)
			refuse_use(look->scope->search, called_sync(call, look->scope->search));
		(void) carries((Node *) call->args, look->scope, false);
		look->found = true;
		return false;
	}
	switch (nodeTag(node))
	{
		case T_Var:
			if (!var_carries((Var *) node, look->scope))
				return false;
			if (!look->flows)
				refuse_use(look->scope->search, NULL);
			look->found = true;
			return false;
		case T_SubLink:
			walk_sublink((SubLink *) node, look);
			return false;
		case T_CaseExpr:
			walk_case((CaseExpr *) node, look);
			return false;
		case T_CoalesceExpr:
			walk_coalesce((CoalesceExpr *) node, look);
			return false;
		default:
			inner = *look;
			inner.flows = look->flows && keeps(node);
			inner.found = false;
			(void) expression_tree_walker(node, walk, &inner);
			look->found = look->found || inner.found;
			return false;
	}
}

/* ----------------------------------------------------------------
 *		Queries
 * ----------------------------------------------------------------
 */

static bool *
values_columns(RangeTblEntry *rte, Scope *scope)
{
	bool	   *columns = palloc0(sizeof(bool) * (list_length(rte->eref->colnames) + 1));
	ListCell   *cell;

	foreach(cell, rte->values_lists)
	{
		List	   *row = lfirst(cell);

		for (int i = 0; i < list_length(row); i++)
			columns[i] = carries(list_nth(row, i), scope, true) || columns[i];
	}
	return columns;
}

static bool *
with_columns(const RangeTblEntry *rte, Scope *scope)
{
	ListCell   *cell;

	for (Index up = 0; up < rte->ctelevelsup && scope != NULL; up++)
		scope = scope->outer;
	if (scope == NULL)
		return NULL;
	foreach(cell, scope->query->cteList)
	{
		if (strcmp(lfirst_node(CommonTableExpr, cell)->ctename, rte->ctename) == 0)
			return scope->with[foreach_current_index(cell)];
	}
	return NULL;
}

static void
look_at_with(Scope *scope)
{
	Query	   *query = scope->query;
	ListCell   *cell;

	scope->with = palloc0(sizeof(bool *) * (list_length(query->cteList) + 1));
	foreach(cell, query->cteList)
	{
		CommonTableExpr *with = lfirst_node(CommonTableExpr, cell);
		Query	   *inner = (Query *) with->ctequery;
		bool	   *columns = query_columns(inner, scope->search, scope);

		/* What comes round would have to be followed until nothing is new. */
		if (with->cterecursive && any_column(columns, inner))
			refuse_use(scope->search, NULL);
		scope->with[foreach_current_index(cell)] = columns;
	}
}

static void
look_at_from(Scope *scope)
{
	Query	   *query = scope->query;
	ListCell   *cell;

	scope->columns = palloc0(sizeof(bool *) * (list_length(query->rtable) + 1));
	foreach(cell, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, cell);
		int			index = foreach_current_index(cell);

		(void) carries((Node *) rte->securityQuals, scope, false);
		(void) carries((Node *) rte->tablesample, scope, false);
		(void) carries((Node *) act_compat_group_expressions(rte), scope, false);
		switch (rte->rtekind)
		{
			case RTE_SUBQUERY:
				scope->columns[index] = query_columns(rte->subquery, scope->search, scope);
				break;
			case RTE_CTE:
				scope->columns[index] = with_columns(rte, scope);
				break;
			case RTE_VALUES:
				scope->columns[index] = values_columns(rte, scope);
				break;
			case RTE_FUNCTION:
				(void) carries((Node *) rte->functions, scope, false);
				break;
			case RTE_TABLEFUNC:
				(void) carries((Node *) rte->tablefunc, scope, false);
				break;
			default:
				break;
		}
	}
}

/* INTERSECT and EXCEPT compare what they are given; two ids that UNION takes for one are one. */
static void
look_at_set_operation(Node *node, Scope *scope, bool compared, bool *columns)
{
	if (node == NULL)
		return;
	if (IsA(node, RangeTblRef))
	{
		int			index = ((RangeTblRef *) node)->rtindex;
		bool	   *branch = scope->columns[index - 1];

		for (int i = 0; branch != NULL && i < list_length(scope->query->targetList); i++)
		{
			if (branch[i] && compared)
				refuse_use(scope->search, NULL);
			columns[i] = columns[i] || branch[i];
		}
	}
	else
	{
		SetOperationStmt *operation = castNode(SetOperationStmt, node);

		compared = compared || operation->op != SETOP_UNION;
		look_at_set_operation(operation->larg, scope, compared, columns);
		look_at_set_operation(operation->rarg, scope, compared, columns);
	}
}

/* Which columns of a query, by the place in its select list, have an id in them. */
static bool *
query_columns(Query *query, Search *search, Scope *outer)
{
	Scope		scope = {.search = search,.query = query,.outer = outer};
	bool	   *columns = palloc0(sizeof(bool) * (list_length(query->targetList) + 1));
	ListCell   *cell;

	check_stack_depth();
	look_at_with(&scope);
	look_at_from(&scope);
	look_at_set_operation(query->setOperations, &scope, false, columns);
	(void) carries((Node *) query->jointree, &scope, false);
	(void) carries(query->havingQual, &scope, false);
	(void) carries(query->limitOffset, &scope, false);
	(void) carries(query->limitCount, &scope, false);
	foreach(cell, query->windowClause)
	{
		(void) carries(lfirst_node(WindowClause, cell)->startOffset, &scope, false);
		(void) carries(lfirst_node(WindowClause, cell)->endOffset, &scope, false);
	}
	foreach(cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		int			index = foreach_current_index(cell);

		if (outer == NULL && index >= search->nkeys && index - search->nkeys < search->mapping->nleaves)
			search->field = search->mapping->leaves[index - search->nkeys].label;
		/* Sorted, grouped, made distinct or put into windows by it. */
		columns[index] = carries((Node *) entry->expr, &scope, entry->ressortgroupref == 0) || columns[index];
		if (outer == NULL)
			search->field = NULL;
	}
	return columns;
}

static void
refuse_key(const Sync *sync, const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("key column \"%s\" of sync \"%s\" is an id by activate.external_id()", column, sync->name),
			 errdetail("A row must be known by its key before what it refers to is known."),
			 errhint("Let the key be what activate.external_id() is called with.")));
}

void
act_reference_find_calls(Model *model, List *rewritten, int nkeys, const Mapping *mapping)
{
	Oid			types[] = {TEXTOID, ANYOID};
	List	   *name = list_make2(makeString("activate"), makeString("external_id"));
	Search		search = {
		.model = model,.nkeys = nkeys,.mapping = mapping,
		.function = LookupFuncName(name, lengthof(types), types, true)
	};
	ListCell   *cell;

	if (!OidIsValid(search.function))
		return;
	foreach(cell, rewritten)
	{
		Query	   *query = lfirst_node(Query, cell);
		bool	   *columns;

		if (query->commandType != CMD_SELECT)
			continue;
		columns = query_columns(query, &search, NULL);
		for (int i = 0; i < nkeys; i++)
		{
			if (columns[i])
				refuse_key(model->sync, model->sync->key[i]);
		}
	}
}
