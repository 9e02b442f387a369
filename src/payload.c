/*-------------------------------------------------------------------------
 *
 * payload.c
 *	  What is sent of a row, as JSON, and what that looks like.
 *
 * The mapping's tree, written with the values of a row (by the diff, for each
 * row that is to be sent), with the signatures of their types (for the seed
 * of the fingerprint, once for a model), or with nothing in it (to clear).
 * Allocates in the current memory context; the caller has fixed the settings
 * that output functions obey.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "payload.h"

static void append_value(Payload *payload, const MappingNode *node);

static bool
is_omitted(const Payload *payload, const MappingNode *node)
{
	const FieldForm *form;

	if (node->kind != NODE_LEAF || !payload->nulls[node->leaf])
		return false;
	form = &payload->mapping->leaves[node->leaf].form;
	return form->says_null ? form->null_form == NULL_FORM_OMIT : node->nulls == NULL_OMIT;
}

static void
append_leaf(Payload *payload, const MappingNode *node)
{
	const MappingLeaf *leaf = &payload->mapping->leaves[node->leaf];
	bool		isnull = payload->nulls[node->leaf];
	int			start = payload->json.len;
	const char *problem;

	if (isnull && (leaf->form.says_null || node->nulls == NULL_EMPTY))
	{
		const char *null = leaf->form.says_null ? act_value_null_json(&leaf->form) : "\"\"";

		/* A member that is left out is none of those that come here. */
		appendStringInfoString(&payload->json, null == NULL ? "null" : null);
		return;
	}
	problem = act_value_append_formed(&payload->json, payload->types[node->leaf],
									  payload->values[node->leaf], isnull, &leaf->form);
	if (problem != NULL && payload->waits != NULL && strstr(payload->json.data + start, payload->waits) != NULL)
		return;					/* as it is: the row does not go */
	if (problem != NULL)
	{
		payload->code = "value";
		payload->problem = psprintf("mapping field \"%s\": %s", leaf->label, problem);
	}
}

/* Before what may be left out: null is what makes a required leaf wrong. */
static void
check_required(Payload *payload, const MappingNode *node)
{
	if (node->kind == NODE_LEAF && node->required && payload->nulls[node->leaf])
	{
		payload->code = "required";
		payload->problem = psprintf("mapping field \"%s\" is required, and null",
									payload->mapping->leaves[node->leaf].label);
	}
}

static void
append_children(Payload *payload, const MappingNode *node)
{
	bool		first = true;

	for (int i = 0; i < node->nchildren && payload->code == NULL; i++)
	{
		const MappingNode *child = node->children[i];

		check_required(payload, child);
		if (is_omitted(payload, child))
			continue;
		if (!first)
			appendStringInfoChar(&payload->json, ',');
		first = false;
		appendStringInfoString(&payload->json, child->prefix);
		append_value(payload, child);
	}
}

static void
append_value(Payload *payload, const MappingNode *node)
{
	switch (node->kind)
	{
		case NODE_CONSTANT:
			appendStringInfoString(&payload->json, node->constant);
			break;
		case NODE_LEAF:
			append_leaf(payload, node);
			break;
		case NODE_OBJECT:
		case NODE_ARRAY:
			appendStringInfoChar(&payload->json, node->kind == NODE_OBJECT ? '{' : '[');
			append_children(payload, node);
			appendStringInfoChar(&payload->json, node->kind == NODE_OBJECT ? '}' : ']');
			break;
	}
}

/* What is sent for a top-level field; NULL: nothing. */
static const MappingNode *
sent_node(const Payload *payload, const MappingNode *node)
{
	if (payload->insert)
		return node->insert != NULL ? node->insert : node->on == ON_UPDATE ? NULL : node;
	return node->on == ON_INSERT ? NULL : node;
}

void
act_payload_render(Payload *payload)
{
	const MappingNode *root = payload->mapping->root;
	StringInfo	json = &payload->json;

	initStringInfo(json);
	appendStringInfoChar(json, '{');
	payload->nfields = 0;
	payload->code = payload->problem = NULL;
	for (int i = 0; i < root->nchildren && payload->code == NULL; i++)
	{
		const MappingNode *node = sent_node(payload, root->children[i]);
		PayloadField field = {.node = root->children[i]};

		if (node == NULL)
			continue;
		check_required(payload, node);
		if (is_omitted(payload, node))
			continue;
		if (payload->nfields > 0)
			appendStringInfoChar(json, ',');
		field.start = json->len;
		appendStringInfoString(json, node->prefix);
		field.value = json->len;
		append_value(payload, node);
		field.end = json->len;
		if (payload->fields != NULL)
			payload->fields[payload->nfields] = field;
		payload->nfields++;
	}
	appendStringInfoChar(json, '}');
}

/* Marks that no JSON has, so that no constant can be taken for a policy. */
static void
append_shape(StringInfo buf, const MappingNode *node, ValueType *const *types)
{
	switch (node->kind)
	{
		case NODE_CONSTANT:
			appendStringInfoString(buf, node->constant);
			break;
		case NODE_LEAF:
			appendStringInfo(buf, "\1%s\1", act_value_type_signature(types[node->leaf]));
			if (node->nulls != NULL_SEND)
				appendStringInfo(buf, "\2%d\2", node->nulls);
			break;
		case NODE_OBJECT:
		case NODE_ARRAY:
			appendStringInfoChar(buf, node->kind == NODE_OBJECT ? '{' : '[');
			for (int i = 0; i < node->nchildren; i++)
			{
				if (i > 0)
					appendStringInfoChar(buf, ',');
				appendStringInfoString(buf, node->children[i]->prefix);
				append_shape(buf, node->children[i], types);
			}
			appendStringInfoChar(buf, node->kind == NODE_OBJECT ? '}' : ']');
			break;
	}
}

void
act_payload_append_shape(StringInfo buf, const Mapping *mapping, ValueType *const *types)
{
	const MappingNode *root = mapping->root;
	bool		first = true;

	appendStringInfoChar(buf, '{');
	for (int i = 0; i < root->nchildren; i++)
	{
		const MappingNode *node = root->children[i];

		if (node->on == ON_INSERT || node->ignored)
			continue;
		if (!first)
			appendStringInfoChar(buf, ',');
		first = false;
		appendStringInfoString(buf, node->prefix);
		append_shape(buf, node, types);
	}
	appendStringInfoChar(buf, '}');
}
