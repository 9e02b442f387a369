/*-------------------------------------------------------------------------
 *
 * mapping_policy.c
 *	  What the options of a sync make of its mapping: which fields are sent
 *	  when, which of them are compared, and what null is for them.
 *
 * Called where a model is resolved, so that a run, a preview and alter_sync()
 * see the same, and where a definition is checked.  Needs no catalogs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mapping.h"
#include "nearest.h"

static void
insert_context(void *arg)
{
	errcontext("option \"insert_mapping\" of sync \"%s\"", ((const Sync *) arg)->name);
}

static void
shift_leaves(MappingNode *node, int by)
{
	if (node->kind == NODE_LEAF)
		node->leaf += by;
	for (int i = 0; i < node->nchildren; i++)
		shift_leaves(node->children[i], by);
}

/* Stands for the mapping's field of that name on insert, or is one more. */
static void
add_insert_field(Mapping *mapping, MappingNode *node)
{
	MappingNode *root = mapping->root;
	MappingNode *own = act_mapping_find_field(mapping, node->member);

	if (node->on == ON_UPDATE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("field \"%s\" of insert_mapping cannot have $on \"update\"", node->member),
				 errhint("Leave $on out, or name the field in the mapping instead.")));
	node->on = ON_INSERT;
	if (own == NULL)
	{
		root->children = repalloc(root->children, sizeof(MappingNode *) * (root->nchildren + 1));
		root->children[root->nchildren++] = node;
		return;
	}
	if (own->on == ON_INSERT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("field \"%s\" is what the mapping sends on insert only, and insert_mapping names it, too",
						node->member),
				 errdetail("The mapping's value could never be sent."),
				 errhint("Name it in one of them.")));
	own->insert = node;
	own->on = ON_UPDATE;
}

static void
add_insert_mapping(Mapping *mapping, const Sync *sync)
{
	ErrorContextCallback context = {.callback = insert_context, .arg = unconstify(Sync *, sync), .previous = error_context_stack};
	Mapping    *insert;
	List	   *expressions = NIL;

	if (sync->options.insert_mapping == NULL)
		return;
	error_context_stack = &context;
	insert = act_mapping_parse_part(sync->options.insert_mapping);
	for (int i = 0; i < mapping->nleaves; i++)
		expressions = lappend(expressions, mapping->leaves[i].expression);
	for (int i = 0; i < insert->nleaves; i++)
		expressions = lappend(expressions, insert->leaves[i].expression);
	shift_leaves(insert->root, mapping->nleaves);
	for (int i = 0; i < insert->root->nchildren; i++)
		add_insert_field(mapping, insert->root->children[i]);
	mapping->folded = list_concat(mapping->folded, insert->folded);
	act_mapping_finish(mapping, expressions);
	error_context_stack = context.previous;
}

static void
ignore_fields(Mapping *mapping, const Sync *sync)
{
	for (int i = 0; i < sync->options.nignored; i++)
	{
		const char *name = sync->options.ignored[i];
		MappingNode *node = act_mapping_find_field(mapping, name);
		const char **names;
		const char *nearest;

		if (node != NULL)
		{
			node->ignored = true;
			continue;
		}
		names = palloc0(sizeof(char *) * (act_mapping_nfields(mapping) + 1));
		for (int field = 0; field < act_mapping_nfields(mapping); field++)
			names[field] = act_mapping_field_name(mapping, field);
		nearest = act_nearest_name(name, names);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ignore_fields of sync \"%s\" names \"%s\", which is no field of its mapping",
						sync->name, name),
				 errdetail("Only top-level fields can be ignored, with all that they hold."),
				 nearest ? errhint("Perhaps you meant \"%s\".", nearest) :
				 errhint("Take it out: options => '{\"ignore_fields\": [...]}'.")));
	}
}

static void
mark_uncompared(Mapping *mapping, const MappingNode *node)
{
	if (node->kind == NODE_LEAF)
		mapping->leaves[node->leaf].uncompared = true;
	for (int i = 0; i < node->nchildren; i++)
		mark_uncompared(mapping, node->children[i]);
}

void
act_mapping_apply_options(Mapping *mapping, const Sync *sync)
{
	add_insert_mapping(mapping, sync);
	ignore_fields(mapping, sync);
	for (int i = 0; i < mapping->root->nchildren; i++)
	{
		const MappingNode *node = mapping->root->children[i];

		if (node->on == ON_INSERT || node->ignored)
			mark_uncompared(mapping, node);
		if (node->insert != NULL)
			mark_uncompared(mapping, node->insert);
	}
	act_mapping_apply_nulls(mapping, sync);
}

/* An array keeps its places: what is in it cannot be left out. */
static void
apply_nulls(Mapping *mapping, MappingNode *node, NullPolicy policy)
{
	node->nulls = node->null_named ? node->null_given :
		node->member == NULL && policy == NULL_OMIT ? NULL_SEND : policy;
	if (node->kind == NODE_LEAF)
		mapping->leaves[node->leaf].nulls = node->nulls;
	for (int i = 0; i < node->nchildren; i++)
		apply_nulls(mapping, node->children[i], policy);
}

static bool
is_match(const Sync *sync, const MappingNode *node)
{
	for (int i = 0; i < sync->nmatch; i++)
	{
		if (strcmp(sync->match[i], node->member) == 0)
			return true;
	}
	return false;
}

void
act_mapping_apply_nulls(Mapping *mapping, const Sync *sync)
{
	for (int i = 0; i < mapping->root->nchildren; i++)
	{
		MappingNode *node = mapping->root->children[i];

		apply_nulls(mapping, node, is_match(sync, node) ? NULL_SEND : sync->options.nulls);
		if (node->insert != NULL)
			apply_nulls(mapping, node->insert, sync->options.nulls);
	}
}

static void
refuse_match(const Sync *sync, const char *name, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("match field \"%s\" of sync \"%s\" %s", name, sync->name, what),
			 errdetail("The destination finds the record by it, so it goes with every row."),
			 errhint("%s", hint)));
}

void
act_mapping_check_match(const Mapping *mapping, const Sync *sync)
{
	for (int i = 0; i < sync->nmatch; i++)
	{
		const MappingNode *node = act_mapping_find_field(mapping, sync->match[i]);

		if (node == NULL)
			continue;			/* no match, as its own check says */
		if (node->insert != NULL)
			refuse_match(sync, node->member, "cannot stand in insert_mapping", "Take it out there.");
		if (node->on != ON_ALWAYS)
			refuse_match(sync, node->member, "cannot have $on", "Leave $on out.");
		if (node->null_named && node->null_given != NULL_SEND)
			refuse_match(sync, node->member, "cannot have $null", "Leave $null out.");
		if (node->ignored)
			refuse_match(sync, node->member, "cannot stand in ignore_fields", "Take it out there.");
	}
}

static void
warn_idle(const Sync *sync, const char *field, const char *why)
{
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("mapping field \"%s\" of sync \"%s\" is never sent", field, sync->name),
			 errdetail("It is sent on %s only, and mode is \"%s\".", why, act_sync_mode_name(sync->mode)),
			 errhint("Leave it out, or take another mode.")));
}

void
act_mapping_warn_idle(const Mapping *mapping, const Sync *sync)
{
	bool		inserts = sync->mode != MODE_UPDATE && sync->mode != MODE_REPLACE;
	bool		updates = sync->mode != MODE_INSERT && sync->mode != MODE_APPEND;

	for (int i = 0; i < mapping->root->nchildren; i++)
	{
		const MappingNode *node = mapping->root->children[i];

		if (!inserts && (node->on == ON_INSERT || node->insert != NULL))
			warn_idle(sync, node->member, "insert");
		if (!updates && node->on == ON_UPDATE)
			warn_idle(sync, node->member, "update");
	}
}

const char *
act_mapping_sent_more(const Sync *old, const Mapping *mapping)
{
	Mapping    *before = act_mapping_parse(old->mapping);

	act_mapping_apply_options(before, old);
	for (int i = 0; i < before->root->nchildren; i++)
	{
		const MappingNode *node = before->root->children[i];
		const MappingNode *now = act_mapping_find_field(mapping, node->member);

		if (node->on == ON_UPDATE && now != NULL && now->on == ON_ALWAYS && !now->ignored)
			return now->member;
	}
	return NULL;
}

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL || b == NULL) ? a == b : strcmp(a, b) == 0;
}

bool
act_mapping_same_options(const Sync *a, const Sync *b)
{
	if (a->options.nulls != b->options.nulls || a->options.nignored != b->options.nignored ||
		!same_text(a->options.insert_mapping, b->options.insert_mapping))
		return false;
	for (int i = 0; i < a->options.nignored; i++)
	{
		if (strcmp(a->options.ignored[i], b->options.ignored[i]) != 0)
			return false;
	}
	/* Option nulls does not touch match fields. */
	if (a->options.nulls == NULL_SEND)
		return true;
	if (a->nmatch != b->nmatch)
		return false;
	for (int i = 0; i < a->nmatch; i++)
	{
		if (strcmp(a->match[i], b->match[i]) != 0)
			return false;
	}
	return true;
}
