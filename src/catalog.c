/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  What is known of an object's fields: what its connector's document
 *	  lists, and what the destination told.
 *
 * The document's author knows the API, so what he says of a field stands; of
 * the rest, and of fields that he does not name, the destination knows better.
 * Inside a transaction with SPI connected; results are in the current memory
 * context and may be used outside of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "catalog.h"
#include "mapping.h"
#include "nearest.h"
#include "registry.h"
#include "server_text.h"

/* Alike but for case, as far as ASCII goes, and signs between words. */
static bool
same_words(const char *a, const char *b)
{
	for (;;)
	{
		while (*a != '\0' && strchr("_- .", *a) != NULL)
			a++;
		while (*b != '\0' && strchr("_- .", *b) != NULL)
			b++;
		if (pg_ascii_tolower((unsigned char) *a) != pg_ascii_tolower((unsigned char) *b))
			return false;
		if (*a == '\0')
			return true;
		a++;
		b++;
	}
}

static char *
to_utf8(const char *text)
{
	return text == NULL ? NULL : pg_server_to_any(text, strlen(text), PG_UTF8);
}

const CatalogField *
act_catalog_field(const Catalog *catalog, const char *name)
{
	ListCell   *cell;

	foreach(cell, catalog->fields)
	{
		CatalogField *field = lfirst(cell);

		if (strcmp(field->name, name) == 0)
			return field;
	}
	return NULL;
}

const char *
act_catalog_nearest(const Catalog *catalog, const char *name, bool writable)
{
	const char **names = palloc0(sizeof(char *) * (list_length(catalog->fields) + 1));
	int			count = 0;
	ListCell   *cell;

	foreach(cell, catalog->fields)
	{
		const CatalogField *field = lfirst(cell);

		if (writable && !field->writable)
			continue;
		if (same_words(field->name, name) || (field->title != NULL && same_words(field->title, name)))
			return field->name;
		names[count++] = field->name;
	}
	return act_nearest_name(name, names);
}

/* What the document says of a field, over what the destination told of it (or NULL). */
static CatalogField *
listed_field(const ObjectField *listed, const CatalogField *told)
{
	CatalogField *field = palloc0(sizeof(CatalogField));

	if (told != NULL)
		*field = *told;
	field->name = act_text_to_server(listed->name);
	if (listed->title != NULL)
		field->title = act_text_to_server(listed->title);
	if (listed->type != FIELD_UNKNOWN)
		field->type = pstrdup(act_field_type_name(listed->type));
	field->required = field->required || listed->required;
	field->writable = listed->writable && (told == NULL || told->writable);
	field->is_unique = field->is_unique || listed->unique;
	field->listed = true;
	if (listed->values != NULL)
		field->values = NIL;
	for (int i = 0; listed->values != NULL && listed->values[i] != NULL; i++)
		field->values = lappend(field->values, act_text_to_server(listed->values[i]));
	return field;
}

/* Those of the document first; fields holds what was told. */
static void
add_listed(Catalog *catalog, const ConnectorObject *object)
{
	List	   *fields = NIL;
	List	   *told = catalog->fields;
	ListCell   *cell;

	for (int i = 0; i < object->nfields; i++)
	{
		const ObjectField *listed = &object->fields[i];

		fields = lappend(fields, listed_field(listed, act_catalog_field(catalog, act_text_to_server(listed->name))));
		catalog->tells_unique = catalog->tells_unique || listed->unique;
	}
	for (int i = 0; object->key_fields != NULL && object->key_fields[i] != NULL; i++)
	{
		CatalogField *key = listed_field(&(ObjectField) {.name = object->key_fields[i],.required = true,.writable = true},
										 act_catalog_field(catalog, act_text_to_server(object->key_fields[i])));

		if (act_object_field(object, object->key_fields[i]) == NULL)
			fields = lappend(fields, key);
	}
	catalog->fields = fields;
	foreach(cell, told)
	{
		CatalogField *field = lfirst(cell);

		if (act_catalog_field(catalog, field->name) == NULL)
			fields = lappend(fields, field);
	}
	catalog->fields = fields;
}

Catalog *
act_catalog_load(const char *destination, const Connector *connector, const char *object)
{
	const ConnectorObject *known = act_connector_object(connector);
	Catalog    *catalog = palloc0(sizeof(Catalog));

	catalog->destination = pstrdup(destination);
	catalog->object = pstrdup(object != NULL ? object : "");
	catalog->discovers = act_connector_discovers_fields(connector);
	act_catalog_read_object(catalog);
	if (known == NULL)
		return catalog;
	if (catalog->title == NULL && known->title != NULL && known->pattern != NULL && strchr(known->pattern, '{') == NULL)
		catalog->title = act_text_to_server(known->title);
	catalog->complete = catalog->asked_at != 0 || !known->more_fields;
	add_listed(catalog, known);
	return catalog;
}

/* ----------------------------------------------------------------
 *		Objects
 * ----------------------------------------------------------------
 */

/* Fields, as messages show a combination of them. */
static char *
match_text(const ObjectMatch *match)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < match->nfields; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", quote_identifier(act_text_to_server(match->fields[i])));
	return buf.data;
}

static bool
has_text(const List *texts, const char *text)
{
	ListCell   *cell;

	foreach(cell, texts)
	{
		if (strcmp(lfirst(cell), text) == 0)
			return true;
	}
	return false;
}

List *
act_catalog_match_fields(const Catalog *catalog, const Connector *connector)
{
	const ConnectorObject *object = act_connector_object(connector);
	List	   *names = NIL;
	ListCell   *cell;

	if (object == NULL)
		return NIL;
	for (int i = 0; i < object->nmatches; i++)
		names = lappend(names, match_text(&object->matches[i]));
	if (object->nmatches == 0 && object->key_fields != NULL)
	{
		ObjectMatch key = {.fields = (const char **) object->key_fields};

		while (object->key_fields[key.nfields] != NULL)
			key.nfields++;
		names = lappend(names, match_text(&key));
	}
	foreach(cell, catalog->fields)
	{
		const CatalogField *field = lfirst(cell);

		if (field->is_unique && (object->match_any || object->nmatches == 0) &&
			!has_text(names, quote_identifier(field->name)))
			names = lappend(names, pstrdup(quote_identifier(field->name)));
	}
	return names;
}

/* A document's list is read by definition_match.c; what was told is a longer one. */
const ConnectorObject *
act_catalog_object(const Sync *sync, const Connector *connector)
{
	const ConnectorObject *object = act_connector_object(connector);
	Catalog    *catalog;
	ConnectorObject *known;
	ListCell   *cell;

	if (object == NULL || !object->match_any)
		return object;
	catalog = act_catalog_load(sync->destination, connector, sync->object);
	known = palloc(sizeof(ConnectorObject));
	*known = *object;
	known->nfields = 0;
	known->fields = palloc0(sizeof(ObjectField) * Max(1, list_length(catalog->fields)));
	foreach(cell, catalog->fields)
	{
		const CatalogField *field = lfirst(cell);
		ObjectField *one = &known->fields[known->nfields++];
		const ObjectField *listed = act_object_field(object, to_utf8(field->name));

		if (listed != NULL)
			*one = *listed;
		one->name = to_utf8(field->name);
		one->unique = field->is_unique;
		one->writable = field->writable;
	}
	return known;
}

static bool
fits_one(const ConnectorObject *const *objects, const char *name, const ConnectorObject **fitting)
{
	*fitting = NULL;
	if (objects == NULL)
		return true;
	for (int i = 0; objects[i] != NULL && *fitting == NULL; i++)
	{
		List	   *parts;

		if (act_object_fits(objects[i]->pattern, to_utf8(name), &parts))
			*fitting = objects[i];
	}
	return *fitting != NULL;
}

static int
compare_objects(const ListCell *a, const ListCell *b)
{
	return strcmp(((CatalogObject *) lfirst(a))->object, ((CatalogObject *) lfirst(b))->object);
}

List *
act_catalog_all_objects(const char *destination, const char *connector)
{
	const ConnectorObject *const *objects = act_connector_objects(act_registry_connector(connector));
	List	   *told = act_catalog_objects(destination);
	List	   *all = NIL;
	List	   *names = NIL;
	ListCell   *cell;

	foreach(cell, told)
	{
		CatalogObject *object = lfirst(cell);
		const ConnectorObject *fitting;

		/* What nothing can be sent to is no object here. */
		if (!fits_one(objects, object->object, &fitting))
			continue;
		if (object->title == NULL && fitting != NULL && fitting->title != NULL)
			object->title = act_text_to_server(fitting->title);
		if (fitting != NULL)
			object->kind = pstrdup(act_object_kind_name(fitting->kind));
		all = lappend(all, object);
		names = lappend(names, object->object);
	}
	for (int i = 0; objects != NULL && objects[i] != NULL; i++)
	{
		CatalogObject *object = palloc0(sizeof(CatalogObject));

		object->object = act_text_to_server(objects[i]->pattern);
		object->title = objects[i]->title != NULL ? act_text_to_server(objects[i]->title) : NULL;
		object->kind = pstrdup(act_object_kind_name(objects[i]->kind));
		if (!has_text(names, object->object))
			all = lappend(all, object);
	}
	list_sort(all, compare_objects);
	return all;
}

static bool
is_match(const Sync *sync, const char *name)
{
	for (int i = 0; i < sync->nmatch; i++)
	{
		if (strcmp(sync->match[i], name) == 0)
			return true;
	}
	return false;
}

static void
add_title(const Catalog *catalog, ConnectorScope *scope)
{
	HttpHeader *part;
	ListCell   *cell;

	if (catalog->title == NULL)
		return;
	foreach(cell, scope->object_parts)
	{
		/* The pattern's own. */
		if (strcmp(((HttpHeader *) lfirst(cell))->name, "title") == 0)
			return;
	}
	part = palloc(sizeof(HttpHeader));
	part->name = pstrdup("title");
	part->value = to_utf8(catalog->title);
	scope->object_parts = lappend(list_copy(scope->object_parts), part);
}

void
act_catalog_scope(const Sync *sync, const Model *model, const Connector *connector, ConnectorScope *scope)
{
	const Mapping *mapping = model->mapping;
	Catalog    *catalog = act_catalog_load(sync->destination, connector, sync->object);

	scope->fields = NIL;
	for (int i = 0; i < act_mapping_nfields(mapping); i++)
	{
		const char *name = act_mapping_field_name(mapping, i);
		const CatalogField *known = act_catalog_field(catalog, name);
		ScopeField *field = palloc0(sizeof(ScopeField));

		field->name = to_utf8(name);
		field->is_match = is_match(sync, name);
		if (known != NULL)
		{
			field->type = to_utf8(known->type);
			field->document = to_utf8(known->document);
		}
		scope->fields = lappend(scope->fields, field);
	}
	add_title(catalog, scope);
}
