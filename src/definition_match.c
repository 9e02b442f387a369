/*-------------------------------------------------------------------------
 *
 * definition_match.c
 *	  By what the destination finds a sync's records.
 *
 * What is given, or by default: the fields that make a membership or an
 * association, the field that is just the key column, what the object is
 * matched by where nothing is said.  Called by definition_check.c as the
 * caller, inside a transaction with SPI connected.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "catalog.h"
#include "definition_object.h"
#include "nearest.h"
#include "server_text.h"

/* "a, b, c" of the mapped fields. */
static char *
list_fields(const Mapping *mapping)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < act_mapping_nfields(mapping); i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", act_mapping_field_name(mapping, i));
	return buf.data;
}

static int
find_field(const Mapping *mapping, const char *name)
{
	for (int i = 0; i < act_mapping_nfields(mapping); i++)
	{
		if (strcmp(act_mapping_field_name(mapping, i), name) == 0)
			return i;
	}
	return -1;
}

static bool
is_match_mapped(const Sync *sync, const Mapping *mapping)
{
	for (int i = 0; i < sync->nmatch; i++)
	{
		if (find_field(mapping, sync->match[i]) < 0)
			return false;
	}
	return true;
}

/* ----------------------------------------------------------------
 *		What the object can be matched by
 * ----------------------------------------------------------------
 */

/* Its records have none, or are found by the key or by the object alone. */
static bool
needs_no_match(const Sync *sync, const ConnectorObject *object)
{
	return object->takes_key || object->kind == OBJECT_EVENT || sync->mode == MODE_REPLACE;
}

static ObjectMatch
key_match(const ConnectorObject *object)
{
	ObjectMatch match = {0};

	match.fields = (const char **) object->key_fields;
	while (object->key_fields != NULL && object->key_fields[match.nfields] != NULL)
		match.nfields++;
	return match;
}

/* Names in the server's encoding. */
static bool
is_allowed(const ConnectorObject *object, int nnames, char **names)
{
	ObjectMatch wanted = {.nfields = nnames,.fields = palloc(sizeof(char *) * Max(nnames, 1))};
	ObjectMatch key = key_match(object);

	for (int i = 0; i < nnames; i++)
		wanted.fields[i] = act_server_text_utf8(names[i]);
	if (key.nfields > 0)
		return act_object_same_match(&wanted, &key);
	for (int i = 0; i < object->nmatches; i++)
	{
		if (act_object_same_match(&wanted, &object->matches[i]))
			return true;
	}
	/* Which are unique only the destination may know: catalog_check.c warns. */
	return object->match_any || object->nmatches == 0;
}

/* email; 'brand, email' */
static char *
match_text(const ObjectMatch *match)
{
	char	  **names = palloc(sizeof(char *) * match->nfields);

	for (int i = 0; i < match->nfields; i++)
		names[i] = act_text_to_server(match->fields[i]);
	return act_identifier_join(match->nfields, names);
}

static void
append_choice(StringInfo buf, const ConnectorObject *object, const ObjectMatch *match)
{
	const ObjectField *field = match->nfields == 1 ? act_object_field(object, match->fields[0]) : NULL;

	appendStringInfo(buf, match->nfields > 1 ? "%s(%s)" : "%s%s", buf->len > 0 ? ", " : "", match_text(match));
	if (field != NULL && field->unique)
		appendStringInfoString(buf, " (unique)");
}

/* email, customer_ref (unique), (brand, email); NULL: the document does not say */
static char *
list_choices(const ConnectorObject *object)
{
	ObjectMatch key = key_match(object);
	StringInfoData buf;

	initStringInfo(&buf);
	if (key.nfields > 0)
		append_choice(&buf, object, &key);
	for (int i = 0; i < object->nmatches && key.nfields == 0; i++)
		append_choice(&buf, object, &object->matches[i]);
	for (int i = 0; i < object->nfields && object->match_any; i++)
	{
		char	   *name = act_text_to_server(object->fields[i].name);
		bool		there = false;

		for (int j = 0; j < object->nmatches; j++)
			there = there || (object->matches[j].nfields == 1 &&
							  strcmp(object->matches[j].fields[0], object->fields[i].name) == 0);
		if (object->fields[i].unique && !there)
			appendStringInfo(&buf, "%s%s (unique)", buf.len > 0 ? ", " : "", name);
	}
	if (object->match_any)
		appendStringInfo(&buf, "%sany field that is unique", buf.len > 0 ? ", " : "");
	return buf.len > 0 ? buf.data : NULL;
}

static bool
is_mapped(const ObjectMatch *match, const Mapping *mapping)
{
	for (int i = 0; i < match->nfields; i++)
	{
		if (act_definition_find_field(mapping, match->fields[i]) < 0)
			return false;
	}
	return true;
}

/* match => 'email'. Contacts can be matched by: email, customer_ref (unique). */
static char *
match_hint(const Sync *sync, const ConnectorObject *object, const Mapping *mapping)
{
	char	   *choices = list_choices(object);
	const ObjectMatch *best = NULL;
	StringInfoData buf;

	if (choices == NULL)
		return psprintf("match => names one of the mapped fields: %s.", list_fields(mapping));
	initStringInfo(&buf);
	for (int i = 0; i < object->nmatches && best == NULL; i++)
	{
		if (is_mapped(&object->matches[i], mapping))
			best = &object->matches[i];
	}
	if (best != NULL)
		appendStringInfo(&buf, "match => %s. ", quote_literal_cstr(match_text(best)));
	appendStringInfo(&buf, "%s can be matched by: %s.", act_definition_object_title(sync, object), choices);
	return buf.data;
}

/* ----------------------------------------------------------------
 *		What holds where nothing is said
 * ----------------------------------------------------------------
 */

static void
set_match(Sync *sync, const ObjectMatch *match)
{
	sync->nmatch = match->nfields;
	sync->match = palloc0(sizeof(char *) * Max(match->nfields, 1));
	for (int i = 0; i < match->nfields; i++)
		sync->match[i] = pstrdup(act_text_to_server(match->fields[i]));
}

/*
 * For each key column the field that is just that column, of several the first
 * that the object can be matched by; false: not all.
 */
static bool
key_columns(Sync *sync, const Model *model, const ConnectorObject *object)
{
	const Mapping *mapping = model->mapping;

	sync->nmatch = 0;
	sync->match = palloc0(sizeof(char *) * sync->nkeys);
	for (int key = 0; key < sync->nkeys; key++)
	{
		char	   *found = NULL;

		for (int i = 0; i < act_mapping_nfields(mapping); i++)
		{
			int			leaf = act_mapping_field_leaf(mapping, i);
			char	   *name = pstrdup(act_mapping_field_name(mapping, i));

			if (leaf < 0 || model->leaf_key[leaf] != key || !act_mapping_field_is_plain(mapping, i))
				continue;
			if (found == NULL || (sync->nkeys == 1 && !is_allowed(object, 1, &found)))
				found = name;
		}
		if (found != NULL)
			sync->match[sync->nmatch++] = found;
	}
	if (sync->nmatch == sync->nkeys && is_allowed(object, sync->nmatch, sync->match))
		return true;
	sync->nmatch = 0;
	return false;
}

static bool
default_match(Sync *sync, const Model *model, const ConnectorObject *object)
{
	ObjectMatch key = key_match(object);

	if (key.nfields > 0)
	{
		set_match(sync, &key);
		return true;
	}
	if (key_columns(sync, model, object))
		return true;
	if (object->match_default == NULL || !is_mapped(object->match_default, model->mapping))
		return false;
	set_match(sync, object->match_default);
	return true;
}

/* ----------------------------------------------------------------
 *		As a whole
 * ----------------------------------------------------------------
 */

static void
check_match_field(const Sync *sync, const Model *model, const char *name, bool needs_none)
{
	const Mapping *mapping = model->mapping;
	int			field = find_field(mapping, name);
	int			leaf;

	if (field < 0)
	{
		const char **names = palloc0(sizeof(char *) * (act_mapping_nfields(mapping) + 1));
		const char *nearest;

		for (int i = 0; i < act_mapping_nfields(mapping); i++)
			names[i] = act_mapping_field_name(mapping, i);
		nearest = act_nearest_name(name, names);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("match field \"%s\" of sync \"%s\" is not mapped", name, sync->name),
				 errdetail("Mapped fields are: %s.", list_fields(mapping)),
				 nearest ? errhint("Perhaps you meant match => %s.", quote_literal_cstr(quote_identifier(nearest))) :
				 errhint("Add it to the mapping: ... AS %s.", quote_identifier(name))));
	}
	leaf = act_mapping_field_leaf(mapping, field);
	if (leaf < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("match field \"%s\" of sync \"%s\" is no single value of a row", name, sync->name),
				 errhint("Match by a field whose value is one SQL expression.")));
	if (sync->on_removed != REMOVED_IGNORE && !needs_none && !model->leaf_is_key[leaf])
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("match field \"%s\" of sync \"%s\" is no expression over its key", name, sync->name),
				 errdetail("Of a row that left the model only the key is known, and on_removed \"%s\" has to find its record.",
						   act_on_removed_name(sync->on_removed)),
				 errhint("Match by a field made of %s, or on_removed => 'ignore'.",
						 quote_identifier(sync->key[0]))));
}

static void
check_allowed(const Sync *sync, const ConnectorObject *object, const Mapping *mapping)
{
	if (sync->nmatch == 0 || sync->mode == MODE_REPLACE || is_allowed(object, sync->nmatch, sync->match))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("sync \"%s\": %s cannot be matched by %s", sync->name, act_definition_object_title(sync, object),
					act_identifier_join(sync->nmatch, sync->match)),
			 errhint("%s", match_hint(sync, object, mapping))));
}

void
act_definition_apply_match(Sync *sync, const char *match, const Model *model, const Destination *destination)
{
	const ConnectorObject *object = act_catalog_object(sync, destination->connector);
	bool		needs_none = needs_no_match(sync, object);

	if (match != NULL && match[strspn(match, " ")] != '\0')
	{
		sync->match = act_identifier_list("match", match, &sync->nmatch);
		check_allowed(sync, object, model->mapping);
	}
	else if (match != NULL || sync->nmatch == 0 || !is_match_mapped(sync, model->mapping) ||
			 (sync->mode != MODE_REPLACE && !is_allowed(object, sync->nmatch, sync->match)))
	{
		if (!default_match(sync, model, object) && !needs_none)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("sync \"%s\" does not say how \"%s\" finds a record%s%s",
							sync->name, sync->destination,
							sync->object ? " of " : "", sync->object ? sync->object : ""),
					 list_choices(object) == NULL ?
					 errdetail("No field of the mapping is the key column alone.") :
					 errdetail("No field of the mapping is the key column alone and one to match by, nor is what is matched by default mapped."),
					 errhint("%s", match_hint(sync, object, model->mapping))));
	}
	if (object->key_fields == NULL || is_match_mapped(sync, model->mapping))
	{
		for (int i = 0; i < sync->nmatch; i++)
			check_match_field(sync, model, sync->match[i], needs_none ||
							  act_connector_goes_by_id(destination->connector, act_on_removed_op(sync->on_removed)));
	}
}
