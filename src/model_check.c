/*-------------------------------------------------------------------------
 *
 * model_check.c
 *	  What may not stand in a model or a mapping.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "model_check.h"

static void
refuse_model(const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", problem),
			 errdetail("A model is the name of a relation or one SELECT, VALUES or WITH query that only reads."),
			 errhint("%s", hint)));
}

static void
refuse_locks(void)
{
	refuse_model("the model locks rows with FOR UPDATE or FOR SHARE",
				 "Leave out FOR UPDATE: a run only reads.");
}

void
act_model_check_statement(List *statements)
{
	SelectStmt *select;
	Node	   *statement;

	if (statements == NIL)
		refuse_model("the model is empty", "model => 'schema.table', or model => 'SELECT ...'.");
	if (list_length(statements) > 1)
		refuse_model("the model is more than one statement",
					 "Leave out the semicolon and what follows it.");
	statement = linitial_node(RawStmt, statements)->stmt;
	if (!IsA(statement, SelectStmt))
		refuse_model("the model is not a query", "model => 'SELECT ...'.");

	select = (SelectStmt *) statement;
	if (select->withClause != NULL)
	{
		ListCell   *cell;

		foreach(cell, select->withClause->ctes)
		{
			if (!IsA(lfirst_node(CommonTableExpr, cell)->ctequery, SelectStmt))
				refuse_model("the model writes: a WITH query in it changes data",
							 "Do the writing elsewhere; the model selects what is there then.");
		}
	}
	if (select->lockingClause != NIL)
		refuse_locks();
	while (select->op != SETOP_NONE)
		select = select->larg;
	if (select->intoClause != NULL)
		refuse_model("the model has INTO", "Leave INTO out: the rows go to the destination.");
}

static bool
locks_rows(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		if (query->commandType != CMD_SELECT)
			refuse_model("the model writes", "Do the writing elsewhere; the model selects what is there then.");
		if (query->rowMarks != NIL)
			refuse_locks();
		return query_tree_walker(query, locks_rows, context, 0);
	}
	return expression_tree_walker(node, locks_rows, context);
}

void
act_model_check_query(Query *query)
{
	(void) locks_rows((Node *) query, NULL);
}

static void
refuse_leaf(const char *field, const char *kind, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("mapping field \"%s\": %s", field, kind),
			 errdetail("A mapping is evaluated once for each row of the model."),
			 errhint("%s", hint)));
}

void
act_model_check_leaf(Node *expression, const char *field)
{
	/*
	 * When a column goes that has the name of its table, what named it names
	 * the row, with columns that nobody mapped.
	 */
	if (IsA(expression, Var) && ((Var *) expression)->varattno == InvalidAttrNumber)
		refuse_leaf(field, "the name is that of the whole row, and there is no column of that name",
					"A row as one value: to_jsonb(...).");
	if (contain_aggs_of_level(expression, 0))
		refuse_leaf(field, "aggregate functions are not allowed in a mapping",
					"Aggregate in the model, model => 'SELECT ... GROUP BY ...', or in a subquery: (SELECT count(*) FROM ... WHERE ...).");
	if (contain_windowfuncs(expression))
		refuse_leaf(field, "window functions are not allowed in a mapping",
					"Compute it in the model: model => 'SELECT ..., rank() OVER (...) AS rank FROM ...'.");
	if (expression_returns_set(expression))
		refuse_leaf(field, "set-returning functions are not allowed in a mapping",
					"Make an array of it: ARRAY(SELECT ...), or unnest it in the model.");
	if (contain_volatile_functions(expression))
		refuse_leaf(field, "volatile functions are not allowed in a mapping",
					"Their result differs from run to run, so that every row would change each time: store it in the model's table. If yours does not, declare it STABLE.");
}

/* The time of the run, as it is or behind casts. */
bool
act_model_is_clock(Node *node)
{
	while (node != NULL)
	{
		if (IsA(node, SQLValueFunction))
			return ((SQLValueFunction *) node)->op <= SVFOP_LOCALTIMESTAMP_N;
		if (IsA(node, RelabelType))
			node = (Node *) ((RelabelType *) node)->arg;
		else if (IsA(node, CoerceViaIO))
			node = (Node *) ((CoerceViaIO *) node)->arg;
		else if (IsA(node, CoerceToDomain))
			node = (Node *) ((CoerceToDomain *) node)->arg;
		else if (IsA(node, CollateExpr))
			node = (Node *) ((CollateExpr *) node)->arg;
		else if (IsA(node, FuncExpr))
		{
			FuncExpr   *call = (FuncExpr *) node;

			if (call->funcid == F_NOW || call->funcid == F_TRANSACTION_TIMESTAMP ||
				call->funcid == F_STATEMENT_TIMESTAMP)
				return true;
			if (call->args == NIL || call->funcformat == COERCE_EXPLICIT_CALL)
				return false;
			node = linitial(call->args);
		}
		else
			return false;
	}
	return false;
}

static void
refuse_unreadable(Oid relation, const char *column)
{
	char	   *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
												  get_rel_name(relation));
	char	   *role = GetUserNameFromId(GetUserId(), false);

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 column == NULL ?
			 errmsg("relation \"%s\" is not readable by role \"%s\"", name, role) :
			 errmsg("column \"%s\" of relation \"%s\" is not readable by role \"%s\"", column, name, role),
			 column == NULL ?
			 errhint("GRANT SELECT ON %s TO %s; dbt drops grants at rebuild: use dbt's grants: config.",
					 name, quote_identifier(role)) :
			 errhint("GRANT SELECT (%s) ON %s TO %s; dbt drops grants at rebuild: use dbt's grants: config.",
					 quote_identifier(column), name, quote_identifier(role))));
}

static void
check_relation_readable(Query *query, RangeTblEntry *rte)
{
	Bitmapset  *columns;
	int			member = -1;
	Oid			role = GetUserId();

	if (pg_class_aclcheck(rte->relid, role, ACL_SELECT) == ACLCHECK_OK)
		return;
	/* No right on a single column: the relation is what is missing. */
	if (pg_attribute_aclcheck_all(rte->relid, role, ACL_SELECT, ACLMASK_ANY) != ACLCHECK_OK)
		refuse_unreadable(rte->relid, NULL);
	columns = act_compat_selected_columns(query, rte);
	while ((member = bms_next_member(columns, member)) >= 0)
	{
		AttrNumber	attribute = member + FirstLowInvalidHeapAttributeNumber;

		if (attribute == InvalidAttrNumber)
		{
			if (pg_attribute_aclcheck_all(rte->relid, role, ACL_SELECT, ACLMASK_ALL) != ACLCHECK_OK)
				refuse_unreadable(rte->relid, NULL);
		}
		else if (pg_attribute_aclcheck(rte->relid, attribute, role, ACL_SELECT) != ACLCHECK_OK)
			refuse_unreadable(rte->relid, get_attname(rte->relid, attribute, false));
	}
}

static bool
check_readable(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *cell;

		foreach(cell, query->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, cell);

			if (rte->rtekind == RTE_RELATION)
				check_relation_readable(query, rte);
		}
		return query_tree_walker(query, check_readable, context, 0);
	}
	return expression_tree_walker(node, check_readable, context);
}

void
act_model_check_readable(Query *query)
{
	(void) check_readable((Node *) query, NULL);
}

static void
refuse_owner(const char *kind, const char *name, Oid owner)
{
	char	   *role = GetUserNameFromId(owner, false);

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg(MODEL_OWNER_REFUSED "%s \"%s\", which role \"%s\" owns", kind, name, role),
			 errdetail("Its owner could run any code as superuser \"%s\".",
					   GetUserNameFromId(GetUserId(), false)),
			 errhint("Create the sync as that role: SET ROLE %s; or pass owner => '%s'.",
					 quote_identifier(role), quote_identifier(role))));
}

static void
check_relation_owner(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	if (!superuser_arg(owner))
		refuse_owner("relation", get_rel_name(relation), owner);
}

static bool
check_function_owner(Oid function, void *context)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return false;
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	if (!superuser_arg(owner))
		refuse_owner("function", get_func_name(function), owner);
	return false;
}

/* A domain's CHECK is its owner's code: keys are written to a table of ours. */
static void
check_type_owner(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;
	Oid			owner;
	Oid			element;
	char		typtype;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_type) GETSTRUCT(tuple);
	owner = form->typowner;
	typtype = form->typtype;
	element = typtype == TYPTYPE_DOMAIN ? form->typbasetype : form->typelem;
	ReleaseSysCache(tuple);
	if (typtype == TYPTYPE_DOMAIN && !superuser_arg(owner))
		refuse_owner("domain", format_type_be(type), owner);
	if (OidIsValid(element))
		check_type_owner(element);
}

static void
check_range_table(Query *query)
{
	ListCell   *cell;

	foreach(cell, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, cell);
		ListCell   *child;

		/* A view that was rewritten keeps its relid (16 and later). */
		if (OidIsValid(rte->relid))
			check_relation_owner(rte->relid);
		if (rte->rtekind != RTE_RELATION || !rte->inh)
			continue;
		foreach(child, find_all_inheritors(rte->relid, AccessShareLock, NULL))
			check_relation_owner(lfirst_oid(child));
	}
}

static bool
check_owners(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		check_range_table((Query *) node);
		return query_tree_walker((Query *) node, check_owners, context, QTW_EXAMINE_SORTGROUP);
	}
	if (IsA(node, SortGroupClause))
	{
		SortGroupClause *clause = (SortGroupClause *) node;

		if (OidIsValid(clause->eqop))
			check_function_owner(get_opcode(clause->eqop), NULL);
		if (OidIsValid(clause->sortop))
			check_function_owner(get_opcode(clause->sortop), NULL);
		return false;
	}
	if (IsA(node, Var) || IsA(node, CoerceToDomain))
		check_type_owner(exprType(node));
	(void) check_functions_in_node(node, check_function_owner, NULL);
	return expression_tree_walker(node, check_owners, context);
}

static bool
collect_relations(Node *node, void *context)
{
	List	  **relations = context;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		ListCell   *cell;

		foreach(cell, ((Query *) node)->rtable)
		{
			Oid			relation = lfirst_node(RangeTblEntry, cell)->relid;

			if (OidIsValid(relation) && relation >= FirstNormalObjectId)
				*relations = list_append_unique_oid(*relations, relation);
		}
		return query_tree_walker((Query *) node, collect_relations, context, 0);
	}
	return expression_tree_walker(node, collect_relations, context);
}

void
act_model_check_table_owner(Oid table)
{
	if (superuser())
		check_relation_owner(table);
}

List *
act_model_check_owners(Query *query, List **relations)
{
	ListCell   *cell;
	/* For anybody's: it locks the tables behind views. */
	List	   *rewritten = QueryRewrite(copyObject(query));

	*relations = NIL;
	(void) collect_relations((Node *) query, relations);
	foreach(cell, rewritten)
		(void) collect_relations(lfirst(cell), relations);
	if (!superuser())
		return rewritten;
	(void) check_owners((Node *) query, NULL);
	foreach(cell, rewritten)
		(void) check_owners(lfirst(cell), NULL);
	return rewritten;
}

static bool
warn_row_security(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *cell;

		foreach(cell, query->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, cell);

			if (rte->rtekind == RTE_RELATION && rte->securityQuals != NIL)
				ereport(WARNING,
						(errcode(ERRCODE_WARNING),
						 errmsg("row security decides which rows of \"%s.%s\" role \"%s\" sees",
								get_namespace_name(get_rel_namespace(rte->relid)), get_rel_name(rte->relid),
								GetUserNameFromId(GetUserId(), false)),
						 errdetail("What a policy hides from it is not in the model: it is not sent, and what was sent before counts as removed."),
						 errhint("If it is to see all: CREATE POLICY ... ON %s FOR SELECT TO %s USING (true);",
								 quote_qualified_identifier(get_namespace_name(get_rel_namespace(rte->relid)),
															get_rel_name(rte->relid)),
								 quote_identifier(GetUserNameFromId(GetUserId(), false)))));
		}
		return query_tree_walker(query, warn_row_security, context, 0);
	}
	return expression_tree_walker(node, warn_row_security, context);
}

/* Policies are conditions that the rewriter puts on the tables themselves. */
void
act_model_warn_row_security(Query *query)
{
	ListCell   *cell;

	foreach(cell, QueryRewrite(copyObject(query)))
		(void) warn_row_security(lfirst(cell), NULL);
}
