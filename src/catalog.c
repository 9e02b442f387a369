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

#include "catalog.h"
#include "mapping.h"
#include "nearest.h"
#include "registry.h"

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

Catalog *
act_catalog_load(const char *destination, const Connector *connector, const char *object)
{
	Catalog    *catalog = palloc0(sizeof(Catalog));

	catalog->destination = pstrdup(destination);
	catalog->object = pstrdup(object != NULL ? object : "");
	catalog->discovers = act_connector_discovers_fields(connector);
	act_catalog_read_object(catalog);
	catalog->complete = catalog->asked_at != 0;
	return catalog;
}

Connector *
act_catalog_connector(const char *name, const char *object)
{
	return act_registry_connector(name);
}

List *
act_catalog_match_fields(const Catalog *catalog, const Connector *connector)
{
	List	   *names = NIL;
	ListCell   *cell;

	foreach(cell, catalog->fields)
	{
		const CatalogField *field = lfirst(cell);

		if (field->is_unique)
			names = lappend(names, pstrdup(field->name));
	}
	return names;
}

List *
act_catalog_all_objects(const char *destination, const char *connector)
{
	return act_catalog_objects(destination);
}

static char *
to_utf8(const char *text)
{
	return text == NULL ? NULL : pg_server_to_any(text, strlen(text), PG_UTF8);
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
