/*-------------------------------------------------------------------------
 *
 * mapping_form.c
 *	  In which form the values of a model are sent.
 *
 * The types that the destination's fields have, and the forms of the
 * connector's "types", become part of the mapping's leaves.  What null is, is
 * said by the mapping's $null, then by the sync's option, then by the field
 * of the object, then by "types"; the last two stay apart from the mapping's
 * policies, since those enter fingerprints: a connector that learns how to
 * write a value has no row sent again.
 *
 * Called once per run or preview, after the model was resolved.  Allocates in
 * the current memory context, does not throw.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_object.h"
#include "mapping.h"
#include "mapping_form.h"
#include "removal.h"
#include "server_text.h"

/* What holds for all of a mapping. */
typedef struct Forming
{
	const Sync *sync;
	const ConnectorObject *object;	/* NULL: none is described */
	const ConnectorScope *scope;
	const ValueForms *forms;
	bool		plain;			/* they change no value */
	Mapping    *mapping;
} Forming;

/* All but what null is. */
static bool
changes_nothing(const ValueForms *forms)
{
	return forms->boolean == BOOLEAN_FORM_JSON && forms->number == JSON_FORM_JSON && forms->integer == JSON_FORM_JSON &&
		forms->date == TIME_FORM_DEFAULT && forms->timestamp == TIME_FORM_DEFAULT && forms->array == ARRAY_FORM_JSON &&
		forms->object == JSON_FORM_JSON && forms->bytes == BYTES_FORM_DEFAULT;
}

static FieldType
field_type(const Forming *forming, const char *name, const ObjectField *field)
{
	ListCell   *cell;

	if (field != NULL && field->type != FIELD_UNKNOWN)
		return field->type;
	foreach(cell, forming->scope->fields)
	{
		const ScopeField *known = lfirst(cell);

		if (known->type == NULL || strcmp(known->name, name) != 0)
			continue;
		for (int type = FIELD_UNKNOWN + 1; type < FIELD_TYPE_COUNT; type++)
		{
			if (strcmp(act_field_type_name((FieldType) type), known->type) == 0)
				return (FieldType) type;
		}
	}
	return FIELD_UNKNOWN;
}

/* The leaves of a field; type is what the field itself is. */
static void
form_node(const Forming *forming, MappingNode *node, FieldType type, const ObjectField *field, bool is_match)
{
	FieldForm  *form = node->kind == NODE_LEAF ? &forming->mapping->leaves[node->leaf].form : NULL;

	if (form != NULL)
	{
		form->type = type;
		form->forms = forming->plain ? NULL : forming->forms;
		form->says_null = !node->null_named && !forming->sync->options.nulls_given && !is_match;
		form->null_form = field != NULL && field->has_null ? field->null_form : forming->forms->null;
		form->null_text = field != NULL && field->has_null ? field->null_text : forming->forms->null_text;
		/* An array keeps its places. */
		if (node->member == NULL && form->null_form == NULL_FORM_OMIT)
			form->null_form = NULL_FORM_NULL;
	}
	for (int i = 0; i < node->nchildren; i++)
		form_node(forming, node->children[i], FIELD_UNKNOWN, field, is_match);
}

static bool
is_match_field(const Sync *sync, const char *member)
{
	for (int i = 0; i < sync->nmatch; i++)
	{
		if (strcmp(sync->match[i], member) == 0)
			return true;
	}
	return false;
}

static void
form_mapping(Forming *forming, Mapping *mapping)
{
	forming->mapping = mapping;
	for (int i = 0; i < mapping->root->nchildren; i++)
	{
		MappingNode *node = mapping->root->children[i];
		const char *name = act_server_text_utf8(node->member);
		const ObjectField *field = forming->object == NULL ? NULL : act_object_field(forming->object, name);
		FieldType	type = field_type(forming, name, field);

		form_node(forming, node, type, field, is_match_field(forming->sync, node->member));
		if (node->insert != NULL)
			form_node(forming, node->insert, type, field, false);
	}
}

void
act_model_set_destination(Model *model, const Connector *connector, const ConnectorScope *scope)
{
	Forming		forming = {
		.sync = model->sync,.object = act_connector_object(connector),.scope = scope,
		.forms = act_connector_value_forms(connector)
	};

	model->connector = connector;
	model->scope = scope;
	forming.plain = changes_nothing(forming.forms);
	form_mapping(&forming, model->mapping);
	if (model->removal == NULL)
		return;
	form_mapping(&forming, model->removal->mapping);
	act_removal_form_nulls(model);
}
