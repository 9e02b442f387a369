/*-------------------------------------------------------------------------
 *
 * model.c
 *	  The model as it is now: relation or query, key, leaves, their types.
 *
 * A relation is found by its name each time, so that tools which rebuild
 * tables by rename do not break a sync; nothing depends on it in the
 * catalogs.  All of this runs as the sync's owner, in one transaction, and
 * parse analysis leaves AccessShareLock on what it saw until its end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "identity.h"
#include "mapping.h"
#include "model_check.h"
#include "model_columns.h"
#include "model_text.h"
#include "nearest.h"
#include "payload.h"
#include "reference.h"
#include "removal.h"
#include "snapshot.h"
#include "sql_text.h"

/* Fields of a mapping: as many as a table can have columns. */
#define MAX_LEAVES MaxHeapAttributeNumber

/* A statement over the model, and which byte of it is what. */
typedef struct ModelSql
{
	const Model *model;
	const Mapping *mapping;		/* NULL: SELECT * */
	StringInfoData sql;
	int			select_start;
	int			from_start;		/* of the model's text, quotes and all */
	int			model_start;	/* of the query as the user wrote it */
} ModelSql;

/* Which sync an error is about, for those that say nothing of it. */
typedef struct ModelContext
{
	const Sync *sync;
	const char *field;
	ErrorContextCallback callback;
} ModelContext;

static void
model_error_context(void *arg)
{
	ModelContext *context = arg;

	if (context->field != NULL)
		errcontext("mapping field \"%s\" of sync \"%s\"", context->field, context->sync->name);
	else
		errcontext("sync \"%s\"", context->sync->name);
}

static void
push_context(ModelContext *context, const Sync *sync)
{
	context->sync = sync;
	context->field = NULL;
	context->callback.callback = model_error_context;
	context->callback.arg = context;
	context->callback.previous = error_context_stack;
	error_context_stack = &context->callback;
}

static void
pop_context(ModelContext *context)
{
	error_context_stack = context->callback.previous;
}

/* ----------------------------------------------------------------
 *		The relation or query
 * ----------------------------------------------------------------
 */

static char *
name_model(void *arg, int offset)
{
	return pstrdup("model");
}

static void
resolve_from(Model *model)
{
	const Sync *sync = model->sync;

	if (sync->model_is_query)
	{
		model->from = psprintf("(%s\n)", sync->model);
		return;
	}
	model->relation = act_model_find_relation(sync->model, sync->owner);
	model->relkind = get_rel_relkind(model->relation);
	model->from = act_model_relation_name(model->relation);
}

/* ----------------------------------------------------------------
 *		Statements over it
 * ----------------------------------------------------------------
 */

static const char *
model_alias(const Model *model)
{
	return model->sync->model_is_query ? " AS " MODEL_ALIAS : "";
}

static ModelSql *
model_sql(const Model *model, const Mapping *mapping)
{
	ModelSql   *sql = palloc0(sizeof(ModelSql));

	sql->model = model;
	sql->mapping = mapping;
	initStringInfo(&sql->sql);
	appendStringInfoString(&sql->sql, "SELECT ");
	if (mapping == NULL)
		appendStringInfoChar(&sql->sql, '*');
	else
	{
		for (int i = 0; i < model->sync->nkeys; i++)
			appendStringInfo(&sql->sql, "%s, ", quote_identifier(model->sync->key[i]));
		sql->select_start = sql->sql.len;
		act_mapping_append_select(&sql->sql, mapping);
	}
	appendStringInfoString(&sql->sql, " FROM ");
	sql->from_start = sql->sql.len;
	sql->model_start = sql->from_start + (model->sync->model_is_query ? 1 : 0);
	appendStringInfo(&sql->sql, "%s%s", model->from, model_alias(model));
	return sql;
}

typedef struct ColumnSearch
{
	int			location;
	char	   *name;
} ColumnSearch;

static bool
find_column(Node *node, void *context)
{
	ColumnSearch *search = context;

	if (node == NULL)
		return false;
	if (IsA(node, ColumnRef))
	{
		ColumnRef  *reference = (ColumnRef *) node;

		if (reference->location == search->location &&
			list_length(reference->fields) == 1 && IsA(linitial(reference->fields), String))
		{
			search->name = strVal(linitial(reference->fields));
			return true;
		}
		return false;
	}
	return raw_expression_tree_walker(node, find_column, context);
}

/* The mapping names a column that is not there: a constant without quotes? */
static void
rewrite_missing_column(ErrorData *error, const ModelSql *sql, Node *statement,
					   int position, const MappingLeaf *leaf, char **columns)
{
	ColumnSearch search = {.location = position};
	const char *nearest;
	const char *field = strrchr(leaf->label, '.') ? strrchr(leaf->label, '.') + 1 : leaf->label;
	char	   *constant;

	(void) find_column(statement, &search);
	if (search.name == NULL)
		return;
	constant = quote_literal_cstr(search.name);
	nearest = act_nearest_name(search.name, (const char *const *) columns);
	error->message = psprintf("column \"%s\" does not exist", search.name);
	error->detail = pstrdup("Strings in a mapping are SQL expressions.");
	error->hint = psprintf("%sFor the constant text write $$ %s AS %s $$, or \"%s\" in JSON.",
						   nearest ? psprintf("The nearest column is \"%s\". ", nearest) : "",
						   constant, quote_identifier(field), constant);
}

static Query *
analyse(RawStmt *statement, const char *sql)
{
	return parse_analyze_fixedparams(statement, sql, NULL, 0, NULL);
}

/*
 * An aggregate makes every other column wrong, and PostgreSQL complains about
 * those; find the field that has it.
 */
static void
refuse_aggregate(const Model *model, const Mapping *mapping)
{
	for (int i = 0; i < mapping->nleaves; i++)
	{
		char	   *sql = psprintf("SELECT (%s\n) FROM %s%s", mapping->leaves[i].expression,
								   model->from, model_alias(model));
		SqlOrigin	origin = {.sql = sql, .text = sql, .name_part = name_model};
		Query	   *query = analyse(linitial_node(RawStmt, act_sql_text_parse(&origin)), sql);

		act_model_check_leaf((Node *) linitial_node(TargetEntry, query->targetList)->expr,
							 mapping->leaves[i].label);
	}
}

/* In PG_CATCH: throws again what analysis said, about the part it belongs to. */
static void
rethrow_analysis(const ModelSql *sql, Node *statement, char **columns)
{
	ErrorData  *error = CopyErrorData();
	SqlOrigin	origin = {.sql = sql->sql.data};
	int			position;

	if (error->cursorpos <= 0)
		PG_RE_THROW();
	FlushErrorState();

	origin.text = sql->sql.data;
	position = act_sql_text_offset(error, &origin);
	if (sql->mapping != NULL && error->sqlerrcode == ERRCODE_GROUPING_ERROR && position < sql->from_start)
		refuse_aggregate(sql->model, sql->mapping);
	if (position >= sql->from_start)
	{
		origin.start = sql->model_start;
		origin.text = sql->model->sync->model;
		error->message = psprintf("model of sync \"%s\": %s", sql->model->sync->name, error->message);
	}
	else if (sql->mapping != NULL && position >= sql->select_start)
	{
		int			leaf = act_mapping_leaf_at(sql->mapping, position - sql->select_start);

		origin.start = sql->select_start + sql->mapping->leaves[leaf].start;
		origin.text = sql->mapping->leaves[leaf].expression;
		if (error->sqlerrcode == ERRCODE_UNDEFINED_COLUMN)
			rewrite_missing_column(error, sql, statement, position, &sql->mapping->leaves[leaf], columns);
		error->message = psprintf("mapping field \"%s\": %s", sql->mapping->leaves[leaf].label, error->message);
	}
	act_sql_text_move(error, &origin);
	ThrowErrorData(error);
}

static Query *
analyse_model(const ModelSql *sql, char **columns)
{
	MemoryContext context = CurrentMemoryContext;
	SqlOrigin	origin = {.sql = sql->sql.data, .text = sql->sql.data, .name_part = name_model};
	RawStmt    *statement = linitial_node(RawStmt, act_sql_text_parse(&origin));
	/* Analysis scribbles on the raw tree. */
	Node	   *pristine = copyObject(statement->stmt);
	Query	   *volatile query = NULL;

	PG_TRY();
	{
		ACT_SQL_TEXT_SHIELD();
		query = analyse(statement, sql->sql.data);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		rethrow_analysis(sql, pristine, columns);
	}
	PG_END_TRY();
	return query;
}

/* Names of the model's columns; whatever it is, it has been analysed then. */
static char **
model_columns(const Model *model, int *count)
{
	Query	   *query = analyse_model(model_sql(model, NULL), NULL);
	char	  **names = palloc0(sizeof(char *) * (list_length(query->targetList) + 1));
	ListCell   *cell;

	*count = 0;
	act_model_check_query(query);
	foreach(cell, query->targetList)
		names[(*count)++] = lfirst_node(TargetEntry, cell)->resname;
	return names;
}

/* ----------------------------------------------------------------
 *		Key
 * ----------------------------------------------------------------
 */

static void
check_key_names(const Sync *sync, char **columns, int ncolumns)
{
	for (int i = 0; i < sync->nkeys; i++)
	{
		const char *nearest;
		int			found = 0;

		for (int j = 0; j < ncolumns; j++)
			found += strcmp(columns[j], sync->key[i]) == 0;
		if (found == 1)
			continue;
		if (found > 1)
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_COLUMN),
					 errmsg("key column \"%s\" is %d columns of the model of sync \"%s\"",
							sync->key[i], found, sync->name),
					 errhint("Give them different names with AS in the model.")));
		nearest = act_nearest_name(sync->key[i], (const char *const *) columns);
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("key column \"%s\" does not exist in the model of sync \"%s\"",
						sync->key[i], sync->name),
				 nearest ? errhint("Perhaps you meant key => %s.",
								   quote_literal_cstr(quote_identifier(nearest))) :
				 sync->sync_id != 0 ?
				 errhint("If it was renamed: SELECT activate.alter_sync(%s, key => '...');",
						 quote_literal_cstr(sync->name)) :
				 errhint("key => names the column or columns by which a row is known: 'id' or 'a, b'. Capitals need double quotes.")));
	}
}

static void
resolve_keys(Model *model, Query *query)
{
	int			nkeys = model->sync->nkeys;

	model->key_types = palloc(sizeof(Oid) * nkeys);
	model->key_collations = palloc(sizeof(Oid) * nkeys);
	model->key_type_names = palloc(sizeof(char *) * nkeys);
	for (int i = 0; i < nkeys; i++)
	{
		Node	   *expression = (Node *) list_nth_node(TargetEntry, query->targetList, i)->expr;
		Oid			type = exprType(expression);
		TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_LT_OPR | TYPECACHE_CMP_PROC);

		if (!OidIsValid(entry->lt_opr) || !OidIsValid(entry->cmp_proc) ||
			get_typtype(type) == TYPTYPE_PSEUDO)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("key column \"%s\" of sync \"%s\" has type %s, which has no order",
							model->sync->key[i], model->sync->name, format_type_be(type)),
					 errdetail("Rows are found by their key, which takes a type with a default btree operator class."),
					 errhint("Give the model a column of another type, such as %s::text, and make that the key.",
							 quote_identifier(model->sync->key[i]))));
		model->key_types[i] = type;
		model->key_collations[i] = exprCollation(expression);
		model->key_type_names[i] = format_type_extended(type, exprTypmod(expression),
														FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
	}
}

/* Whether the table is about in the order of its first key column. */
static bool
is_correlated(Oid relation, AttrNumber column)
{
	HeapTuple	tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relation),
										Int16GetDatum(column), BoolGetDatum(false));
	AttStatsSlot slot;
	bool		result = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	if (get_attstatsslot(&slot, tuple, STATISTIC_KIND_CORRELATION, InvalidOid, ATTSTATSSLOT_NUMBERS))
	{
		result = slot.nnumbers == 1 && slot.numbers[0] >= 0.95;
		free_attstatsslot(&slot);
	}
	ReleaseSysCache(tuple);
	return result;
}

static bool
index_has_order(Oid index_oid, const Model *model, const AttrNumber *columns)
{
	Relation	index = index_open(index_oid, AccessShareLock);
	Form_pg_index form = index->rd_index;
	bool		result = form->indisvalid && form->indisready && index->rd_rel->relam == BTREE_AM_OID &&
		form->indnkeyatts >= model->sync->nkeys && RelationGetIndexPredicate(index) == NIL;

	for (int i = 0; result && i < model->sync->nkeys; i++)
		result = form->indkey.values[i] == columns[i] &&
			index->rd_indoption[i] == 0 &&
			index->rd_indcollation[i] == model->key_collations[i] &&
			index->rd_opfamily[i] == lookup_type_cache(model->key_types[i], TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	index_close(index, AccessShareLock);
	return result;
}

static bool
is_key_ordered(const Model *model)
{
	AttrNumber *columns = palloc(sizeof(AttrNumber) * model->sync->nkeys);
	Relation	rel;
	ListCell   *cell;
	bool		result = false;

	if (model->relkind != RELKIND_RELATION && model->relkind != RELKIND_MATVIEW)
		return false;
	for (int i = 0; i < model->sync->nkeys; i++)
		columns[i] = get_attnum(model->relation, model->sync->key[i]);
	if (has_subclass(model->relation) || !is_correlated(model->relation, columns[0]))
		return false;

	rel = table_open(model->relation, NoLock);
	foreach(cell, RelationGetIndexList(rel))
		result = result || index_has_order(lfirst_oid(cell), model, columns);
	table_close(rel, NoLock);
	return result;
}

/* ----------------------------------------------------------------
 *		Leaves
 * ----------------------------------------------------------------
 */

/* The key column that a Var of the model is, or -1. */
static int
key_of_var(const Var *var, const Query *query, int nkeys)
{
	for (int i = 0; i < nkeys; i++)
	{
		Var		   *key = (Var *) list_nth_node(TargetEntry, query->targetList, i)->expr;

		if (IsA(key, Var) && key->varno == var->varno && key->varattno == var->varattno)
			return i;
	}
	return -1;
}

static bool
is_key_expression(Node *expression, const Query *query, int nkeys)
{
	ListCell   *cell;

	if (checkExprHasSubLink(expression))
		return false;
	foreach(cell, pull_var_clause(expression, PVC_INCLUDE_PLACEHOLDERS))
	{
		if (key_of_var(lfirst_node(Var, cell), query, nkeys) < 0)
			return false;
	}
	return true;
}

static void
resolve_leaves(Model *model, Query *query, ModelContext *context)
{
	int			nkeys = model->sync->nkeys;
	int			nleaves = model->mapping->nleaves;

	model->nleaves = nleaves;
	model->leaf_types = palloc(sizeof(Oid) * nleaves);
	model->leaf_values = palloc(sizeof(ValueType *) * nleaves);
	model->leaf_type_names = palloc(sizeof(char *) * nleaves);
	model->leaf_is_key = palloc(sizeof(bool) * nleaves);
	model->leaf_key = palloc(sizeof(int) * nleaves);
	model->leaf_is_clock = palloc(sizeof(bool) * nleaves);
	for (int i = 0; i < nleaves; i++)
	{
		Node	   *expression = (Node *) list_nth_node(TargetEntry, query->targetList, nkeys + i)->expr;

		act_model_check_leaf(expression, model->mapping->leaves[i].label);
		context->field = model->mapping->leaves[i].label;
		model->leaf_types[i] = exprType(expression);
		model->leaf_type_names[i] = format_type_with_typemod(model->leaf_types[i], exprTypmod(expression));
		model->leaf_values[i] = act_value_type(model->leaf_types[i]);
		context->field = NULL;
		model->leaf_key[i] = IsA(expression, Var) ? key_of_var((Var *) expression, query, nkeys) : -1;
		model->leaf_is_key[i] = is_key_expression(expression, query, nkeys);
		model->leaf_is_clock[i] = act_model_is_clock(expression);
	}
}

/* PostgreSQL's own error would come from the diff, and late. */
static void
check_leaf_count(const Model *model)
{
	if (model->mapping->nleaves > MAX_LEAVES)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("the mapping of sync \"%s\" has %d fields, and can have %d", model->sync->name,
						model->mapping->nleaves, MAX_LEAVES),
				 errdetail("Key, fields and what is known of the row are columns of one query, which can have %d.",
						   MaxTupleAttributeNumber),
				 errhint("Send several of them as one value: jsonb_build_object('a', a, 'b', b) AS more.")));
}

/* What must be equal for two fingerprints to be comparable. */
static void
resolve_seed(Model *model)
{
	StringInfoData image;

	initStringInfo(&image);
	appendStringInfo(&image, "pg_activate %d\n", SNAPSHOT_FORMAT);
	act_payload_append_shape(&image, model->mapping, model->leaf_values);
	act_digest(image.data, image.len, model->seed);
	pfree(image.data);
}

void
act_model_apply_match(Model *model)
{
	act_mapping_apply_nulls(model->mapping, model->sync);
	resolve_seed(model);
}

Model *
act_model_resolve(const Sync *sync)
{
	Model	   *model = palloc0(sizeof(Model));
	Identity	identity;
	ModelContext context;
	Query	   *query;
	char	  **columns;
	int			ncolumns;
	bool		pushed = !ActiveSnapshotSet();

	/* Whose eyes to see it with: nobody's, once the sync's table is gone. */
	if (!OidIsValid(sync->owner))
		act_sync_table_open(sync, AccessShareLock, false);

	model->sync = sync;
	push_context(&context, sync);
	act_identity_owner(&identity, sync->owner, sync->search_path, sync->time_zone);
	if (pushed)
		PushActiveSnapshot(GetTransactionSnapshot());

	/* The queries of a run call functions of ours as the owner. */
	act_model_require_schema("activate", GetUserId());
	model->mapping = act_mapping_parse(sync->mapping);
	act_mapping_apply_options(model->mapping, sync);
	check_leaf_count(model);
	resolve_from(model);
	columns = model_columns(model, &ncolumns);
	check_key_names(sync, columns, ncolumns);
	query = model->query = analyse_model(model_sql(model, model->mapping), columns);
	resolve_leaves(model, query, &context);
	act_model_find_columns(model, query);
	resolve_keys(model, query);
	act_model_check_readable(query);
	act_reference_find_calls(model, act_model_check_owners(query, &model->relations), sync->nkeys, model->mapping);
	model->removal = act_removal_resolve(model);
	if (model->removal != NULL)
		model->relations = list_concat_unique_oid(model->relations, model->removal->relations);
	resolve_seed(model);
	model->key_ordered = is_key_ordered(model);

	if (pushed)
		PopActiveSnapshot();
	act_identity_leave(&identity);
	pop_context(&context);
	return model;
}

char **
act_model_columns(const Sync *sync, int *count)
{
	Model	   *model = palloc0(sizeof(Model));
	Identity	identity;
	ModelContext context;
	char	  **columns;

	/* Whose eyes to see it with: nobody's, once the sync's table is gone. */
	if (!OidIsValid(sync->owner))
		act_sync_table_open(sync, AccessShareLock, false);

	model->sync = sync;
	push_context(&context, sync);
	act_identity_owner(&identity, sync->owner, sync->search_path, sync->time_zone);
	resolve_from(model);
	columns = model_columns(model, count);
	act_identity_leave(&identity);
	pop_context(&context);
	return columns;
}

void
act_model_warn_hidden(const Model *model)
{
	const Sync *sync = model->sync;
	Identity	identity;
	ModelContext context;
	bool		pushed = !ActiveSnapshotSet();

	push_context(&context, sync);
	act_identity_owner(&identity, sync->owner, sync->search_path, sync->time_zone);
	if (pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
	act_model_warn_row_security(analyse_model(model_sql(model, model->mapping), NULL));
	if (pushed)
		PopActiveSnapshot();
	act_identity_leave(&identity);
	pop_context(&context);
}
