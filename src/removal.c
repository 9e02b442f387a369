/*-------------------------------------------------------------------------
 *
 * removal.c
 *	  What goes out for a row that left the model, where that has fields.
 *
 * Of such a row only the key is known: it is the snapshot's.  On_removed
 * update sends the match fields and option removed_mapping, clear a null for
 * each mapped field, the others the match fields alone where the destination
 * does not know rows by their key; all are a mapping over the key columns.
 * Called by model.c as the sync's owner, inside a transaction; everything is
 * allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "foreign/foreign.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "mapping.h"
#include "model_check.h"
#include "payload.h"
#include "reference.h"
#include "registry.h"
#include "removal.h"
#include "snapshot.h"
#include "sql_text.h"

/* Columns of the lateral sub-select in the diff's query. */
#define JOIN_ALIAS "r"

int
act_removal_leaves(const Model *model)
{
	return model->removal != NULL ? model->removal->nleaves : 0;
}

/* The name by which a mapping can qualify the model's columns. */
static const char *
model_name(const Model *model)
{
	return model->sync->model_is_query ? MODEL_ALIAS :
		quote_identifier(get_rel_name(model->relation));
}

/* ----------------------------------------------------------------
 *		The payload
 * ----------------------------------------------------------------
 */

/* Whether the destination finds the record by the key itself, without match fields. */
static bool
takes_key(const Sync *sync)
{
	ForeignServer *server = GetForeignServerByName(sync->destination, true);
	ListCell   *cell;

	if (server == NULL)
		return true;
	foreach(cell, server->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);
		const char *connector;

		if (strcmp(option->defname, "connector") != 0)
			continue;
		connector = strVal(option->arg);
		return act_registry_spec(connector) == NULL ||
			act_connector_takes_key(act_registry_connector_object(connector, sync->object));
	}
	return true;
}

static bool
is_match(const Sync *sync, const char *field)
{
	for (int i = 0; i < sync->nmatch; i++)
	{
		if (strcmp(sync->match[i], field) == 0)
			return true;
	}
	return false;
}

static bool
has_field(const Mapping *mapping, const char *name)
{
	for (int i = 0; mapping != NULL && i < act_mapping_nfields(mapping); i++)
	{
		if (strcmp(act_mapping_field_name(mapping, i), name) == 0)
			return true;
	}
	return false;
}

/* Match fields that the key makes, but for those that others has. */
static List *
match_nodes(const Model *model, const Mapping *others, List **expressions)
{
	const Mapping *mapping = model->mapping;
	List	   *nodes = NIL;

	for (int i = 0; i < act_mapping_nfields(mapping); i++)
	{
		const char *name = act_mapping_field_name(mapping, i);
		int			leaf = act_mapping_field_leaf(mapping, i);
		MappingNode *node;

		if (leaf < 0 || !model->leaf_is_key[leaf] || !is_match(model->sync, name) || has_field(others, name))
			continue;
		node = act_mapping_node(NODE_LEAF, name);
		node->leaf = list_length(*expressions);
		*expressions = lappend(*expressions, mapping->leaves[leaf].expression);
		nodes = lappend(nodes, node);
	}
	return nodes;
}

static void
renumber(MappingNode *node, int by)
{
	if (node->kind == NODE_LEAF)
		node->leaf += by;
	for (int i = 0; i < node->nchildren; i++)
		renumber(node->children[i], by);
}

static Mapping *
make_mapping(List *nodes, List *expressions)
{
	Mapping    *mapping = palloc0(sizeof(Mapping));

	mapping->root = act_mapping_node(NODE_OBJECT, NULL);
	act_mapping_node_adopt(mapping->root, nodes);
	act_mapping_finish(mapping, expressions);
	return mapping;
}

static Mapping *
update_payload(const Model *model)
{
	Mapping    *removed = act_mapping_parse_part(model->sync->options.removed_mapping);
	List	   *expressions = NIL;
	List	   *nodes = match_nodes(model, removed, &expressions);
	int			nmatch = list_length(expressions);

	for (int i = 0; i < removed->root->nchildren; i++)
	{
		renumber(removed->root->children[i], nmatch);
		nodes = lappend(nodes, removed->root->children[i]);
	}
	for (int i = 0; i < removed->nleaves; i++)
		expressions = lappend(expressions, removed->leaves[i].expression);
	return make_mapping(nodes, expressions);
}

/* Objects keep their members, each null; what is in an array is no field. */
static MappingNode *
null_node(const MappingNode *node)
{
	bool		is_object = node->kind == NODE_OBJECT;
	MappingNode *null = act_mapping_node(is_object ? NODE_OBJECT : NODE_CONSTANT, node->member);
	List	   *children = NIL;

	null->constant = node->kind == NODE_LEAF && node->nulls == NULL_EMPTY ? "\"\"" : "null";
	for (int i = 0; is_object && i < node->nchildren; i++)
		children = lappend(children, null_node(node->children[i]));
	act_mapping_node_adopt(null, children);
	return null;
}

/* The node of null_node(), once the forms of the other one's leaves are known. */
static void
form_null(const Mapping *mapping, const MappingNode *node, MappingNode *null)
{
	const FieldForm *form = node->kind == NODE_LEAF ? &mapping->leaves[node->leaf].form : NULL;
	char	   *json;

	if (form != NULL && form->says_null && null->kind == NODE_CONSTANT)
	{
		json = act_value_null_json(form);
		null->constant = json == NULL ? "null" : json;	/* what is left out clears nothing */
	}
	for (int i = 0; null->kind == NODE_OBJECT && i < null->nchildren; i++)
		form_null(mapping, node->children[i], null->children[i]);
}

void
act_removal_form_nulls(Model *model)
{
	const MappingNode *root = model->mapping->root;

	for (int i = 0; model->sync->on_removed == REMOVED_CLEAR && i < root->nchildren; i++)
	{
		MappingNode *null = act_mapping_find_field(model->removal->mapping, root->children[i]->member);

		if (null != NULL && !is_match(model->sync, root->children[i]->member))
			form_null(model->mapping, root->children[i], null);
	}
}

static Mapping *
clear_payload(const Model *model)
{
	const MappingNode *root = model->mapping->root;
	List	   *expressions = NIL;
	List	   *nodes = NIL;

	if (!takes_key(model->sync))
		nodes = match_nodes(model, NULL, &expressions);
	for (int i = 0; i < root->nchildren; i++)
	{
		if (!is_match(model->sync, root->children[i]->member))
			nodes = lappend(nodes, null_node(root->children[i]));
	}
	return make_mapping(nodes, expressions);
}

/* ----------------------------------------------------------------
 *		Its leaves
 * ----------------------------------------------------------------
 */

static char *
name_removed(void *arg, int offset)
{
	return pstrdup("mapping");
}

/* In PG_CATCH: throws again what analysis said, about the field it belongs to. */
static void
rethrow_analysis(const Model *model, const Mapping *mapping, const char *sql, int select_start)
{
	ErrorData  *error = CopyErrorData();
	SqlOrigin	origin = {.sql = sql,.text = sql};
	const MappingLeaf *leaf;

	if (error->cursorpos <= 0)
		PG_RE_THROW();
	FlushErrorState();
	leaf = &mapping->leaves[act_mapping_leaf_at(mapping, act_sql_text_offset(error, &origin) - select_start)];
	origin.start = select_start + leaf->start;
	origin.text = leaf->expression;
	if (error->sqlerrcode == ERRCODE_UNDEFINED_COLUMN || error->sqlerrcode == ERRCODE_UNDEFINED_TABLE)
	{
		error->detail = pstrdup("Of a row that left the model only its key is known.");
		error->hint = psprintf("Use constants (a text constant has quotes of its own) and the key: %s.",
							   act_identifier_join(model->sync->nkeys, model->sync->key));
	}
	error->message = psprintf("mapping field \"%s\": %s", leaf->label, error->message);
	act_sql_text_move(error, &origin);
	ThrowErrorData(error);
}

/* The select list over a row that has nothing but the key. */
static Query *
analyse(const Model *model, const Mapping *mapping)
{
	const Sync *sync = model->sync;
	MemoryContext context = CurrentMemoryContext;
	StringInfoData sql;
	int			select_start;
	SqlOrigin	origin = {.name_part = name_removed};
	Query	   *volatile query = NULL;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	select_start = sql.len;
	act_mapping_append_select(&sql, mapping);
	appendStringInfoString(&sql, " FROM (SELECT ");
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(&sql, "%sNULL::%s AS %s", i > 0 ? ", " : "", model->key_type_names[i],
						 quote_identifier(sync->key[i]));
	appendStringInfo(&sql, ") AS %s", model_name(model));
	origin.sql = origin.text = sql.data;

	PG_TRY();
	{
		RawStmt    *statement = linitial_node(RawStmt, act_sql_text_parse(&origin));

		ACT_SQL_TEXT_SHIELD();
		query = parse_analyze_fixedparams(statement, sql.data, NULL, 0, NULL);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		rethrow_analysis(model, mapping, sql.data, select_start);
	}
	PG_END_TRY();
	return query;
}

static void
resolve_leaves(Removal *removal, Model *model)
{
	const Mapping *mapping = removal->mapping;
	Query	   *query;

	if (mapping->nleaves == 0)
		return;
	query = analyse(model, mapping);
	removal->nleaves = mapping->nleaves;
	removal->leaf_types = palloc(sizeof(Oid) * mapping->nleaves);
	removal->leaf_values = palloc(sizeof(ValueType *) * mapping->nleaves);
	for (int i = 0; i < mapping->nleaves; i++)
	{
		Node	   *expression = (Node *) list_nth_node(TargetEntry, query->targetList, i)->expr;

		act_model_check_leaf(expression, mapping->leaves[i].label);
		removal->leaf_types[i] = exprType(expression);
		removal->leaf_values[i] = act_value_type(removal->leaf_types[i]);
	}
	act_model_check_readable(query);
	act_reference_find_calls(model, act_model_check_owners(query, &removal->relations), 0, mapping);
}

static void
resolve_digest(Removal *removal)
{
	StringInfoData image;

	initStringInfo(&image);
	act_payload_append_shape(&image, removal->mapping, removal->leaf_values);
	act_mapping_append_select(&image, removal->mapping);
	act_digest(image.data, image.len, removal->digest);
	pfree(image.data);
}

/* In PG_CATCH: throws again what is said of a mapping, of which there are two. */
static void
rethrow_removed(void)
{
	ErrorData  *error = CopyErrorData();

	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_OUT_OF_MEMORY ||
		error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN || error->message == NULL)
		PG_RE_THROW();
	FlushErrorState();
	if (error->sqlerrcode == ERRCODE_SYNTAX_ERROR && error->internalpos == 0)
	{
		/* It is about leaving the mapping out, or all columns. */
		error->detail = NULL;
		error->hint = pstrdup("Name what is to be set: {\"active\": false}, or as a select list false AS active.");
	}
	error->message = strncmp(error->message, "mapping", strlen("mapping")) == 0 ?
		psprintf("removed_%s", error->message) : psprintf("removed_mapping: %s", error->message);
	ThrowErrorData(error);
}

static Removal *
resolve_update(Model *model)
{
	MemoryContext context = CurrentMemoryContext;
	Removal    *removal = palloc0(sizeof(Removal));

	/* The definition was refused without; whoever wrote it may have got past that. */
	if (model->sync->options.removed_mapping == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sync \"%s\" has on_removed \"update\", but no option removed_mapping", model->sync->name),
				 errhint("SELECT activate.alter_sync(%s, options => '{\"removed_mapping\": {\"active\": false}}');",
						 quote_literal_cstr(model->sync->name))));
	PG_TRY();
	{
		removal->mapping = update_payload(model);
		resolve_leaves(removal, model);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		rethrow_removed();
	}
	PG_END_TRY();
	return removal;
}

Removal *
act_removal_resolve(Model *model)
{
	const Sync *sync = model->sync;
	Removal    *removal;

	if (sync->on_removed == REMOVED_UPDATE)
		removal = resolve_update(model);
	else if (sync->on_removed == REMOVED_CLEAR)
	{
		removal = palloc0(sizeof(Removal));
		removal->mapping = clear_payload(model);
		resolve_leaves(removal, model);
	}
	else if (sync->on_removed == REMOVED_IGNORE || takes_key(sync))
		return NULL;
	else
	{
		List	   *expressions = NIL;
		List	   *nodes = match_nodes(model, NULL, &expressions);

		if (nodes == NIL)
			return NULL;		/* found by its external id */
		removal = palloc0(sizeof(Removal));
		removal->mapping = make_mapping(nodes, expressions);
		resolve_leaves(removal, model);
	}
	resolve_digest(removal);
	return removal;
}

/* ----------------------------------------------------------------
 *		In the diff's query
 * ----------------------------------------------------------------
 */

void
act_removal_append_join(StringInfo buf, const Model *model)
{
	const Sync *sync = model->sync;

	if (act_removal_leaves(model) == 0)
		return;
	appendStringInfoString(buf, " LEFT JOIN LATERAL (SELECT ");
	act_mapping_append_select(buf, model->removal->mapping);
	appendStringInfoString(buf, " FROM (SELECT ");
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(buf, "%sj.k%d AS %s", i > 0 ? ", " : "", i + 1, quote_identifier(sync->key[i]));
	/* Fenced, so that it is computed only where it is needed: not for what is removed already. */
	appendStringInfo(buf, ") AS %s WHERE j.fp IS NULL%s OFFSET 0) AS " JOIN_ALIAS "(", model_name(model),
					 sync->in_doubt ? "" :
					 " AND (d.activate_accepted_at IS NOT NULL OR d.activate_in_doubt IS NOT FALSE)");
	for (int i = 1; i <= model->removal->nleaves; i++)
		appendStringInfo(buf, "%sr%d", i > 1 ? ", " : "", i);
	appendStringInfoString(buf, ") ON true");
}

const char *
act_removal_append_json(StringInfo buf, const Model *model, const Datum *values, const bool *nulls)
{
	const Removal *removal = model->removal;
	Payload		payload = {.mapping = removal->mapping,.types = removal->leaf_values,
	.values = values,.nulls = nulls};

	act_payload_render(&payload);
	if (payload.code != NULL)
		return psprintf("removed_%s", payload.problem);
	appendBinaryStringInfo(buf, payload.json.data, payload.json.len);
	return NULL;
}
