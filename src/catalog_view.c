/*-------------------------------------------------------------------------
 *
 * catalog_view.c
 *	  SQL-callable: objects() and fields() of a destination.
 *
 * They read what the connector's document says and what the destination told
 * refresh_destination(), and ask nobody.  For whoever may use the destination;
 * in his transaction, the tables read as the extension.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "catalog.h"
#include "compat.h"
#include "definition_object.h"
#include "option.h"
#include "registry.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_objects);
PG_FUNCTION_INFO_V1(act_fields);

#define OBJECT_COLUMNS 6
#define FIELD_COLUMNS 7

static Datum
text_array(const List *texts)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(1, list_length(texts)));
	int			count = 0;
	ListCell   *cell;

	foreach(cell, texts)
		elements[count++] = CStringGetTextDatum(lfirst(cell));
	return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
put_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	if (text != NULL)
		values[column] = CStringGetTextDatum(text);
}

/* The connector of a destination that the user may use. */
static const char *
connector_name(const char *destination)
{
	const ForeignServer *server = act_destination_server(destination, GetUserId());
	const char *connector = act_option_get(server->options, "connector");

	return connector != NULL ? connector : "";
}

/* ----------------------------------------------------------------
 *		objects
 * ----------------------------------------------------------------
 */

static List *
modes(const ConnectorObject *object)
{
	List	   *names = NIL;

	for (SyncMode mode = MODE_UPSERT; mode < SYNC_MODE_COUNT; mode++)
	{
		if (act_object_serves_mode(object, mode))
			names = lappend(names, unconstify(char *, act_sync_mode_name(mode)));
	}
	return names;
}

static List *
removals(const ConnectorObject *object)
{
	List	   *names = NIL;

	for (OnRemoved removed = REMOVED_IGNORE; removed < ON_REMOVED_COUNT; removed++)
	{
		if (act_object_serves_removal(object, removed))
			names = lappend(names, unconstify(char *, act_on_removed_name(removed)));
	}
	return names;
}

static void
put_object(ReturnSetInfo *result, const CatalogObject *object, const Catalog *catalog, const Connector *connector)
{
	Datum		values[OBJECT_COLUMNS] = {0};
	bool		nulls[OBJECT_COLUMNS] = {false};
	List	   *match = act_catalog_match_fields(catalog, connector);

	put_text(values, nulls, 0, object->object);
	put_text(values, nulls, 1, object->title);
	put_text(values, nulls, 2, object->kind);
	nulls[3] = match == NIL;
	if (match != NIL)
		values[3] = text_array(match);
	values[4] = text_array(modes(act_connector_object(connector)));
	values[5] = text_array(removals(act_connector_object(connector)));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* activate.objects(destination text) */
Datum
act_objects(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *connector;
	char	   *name;
	ListCell   *cell;

	act_require_argument(PG_ARGISNULL(0), "destination", "SELECT * FROM activate.objects('crm');");
	act_compat_materialize(fcinfo);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	connector = connector_name(name);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	foreach(cell, act_catalog_all_objects(name, connector))
	{
		const CatalogObject *object = lfirst(cell);
		Connector  *compiled = act_registry_connector_object(connector, object->object);

		CHECK_FOR_INTERRUPTS();
		put_object(result, object, act_catalog_load(name, compiled, object->object), compiled);
	}
	SPI_finish();
	return (Datum) 0;
}

/* ----------------------------------------------------------------
 *		fields
 * ----------------------------------------------------------------
 */

static void
put_field(ReturnSetInfo *result, const CatalogField *field)
{
	Datum		values[FIELD_COLUMNS] = {0};
	bool		nulls[FIELD_COLUMNS] = {false};

	put_text(values, nulls, 0, field->name);
	put_text(values, nulls, 1, field->title);
	put_text(values, nulls, 2, field->type);
	values[3] = BoolGetDatum(field->required);
	values[4] = BoolGetDatum(field->writable);
	values[5] = BoolGetDatum(field->is_unique);
	nulls[6] = field->values == NIL;
	if (field->values != NIL)
		values[6] = text_array(field->values);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

void
act_catalog_tell_unasked(const Catalog *catalog)
{
	if (catalog->asked_at != 0)
		return;
	if (catalog->discovers)
		ereport(NOTICE,
				(errmsg("destination \"%s\" was not asked for the fields of \"%s\" yet", catalog->destination, catalog->object),
				 errhint("CALL activate.refresh_destination(%s, ARRAY[%s]);", quote_literal_cstr(catalog->destination),
						 quote_literal_cstr(catalog->object))));
	else if (catalog->fields == NIL)
		ereport(NOTICE,
				(errmsg("nothing is known of the fields of \"%s\" of destination \"%s\"", catalog->object,
						catalog->destination),
				 errdetail("Its connector lists none, and cannot ask for them.")));
}

/* activate.fields(destination text, object text) */
Datum
act_fields(PG_FUNCTION_ARGS)
{
	static const char *const example = "SELECT * FROM activate.fields('crm', 'contacts');";
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Catalog    *catalog;
	ListCell   *cell;

	act_require_argument(PG_ARGISNULL(0), "destination", example);
	act_require_argument(PG_ARGISNULL(1), "object", example);
	act_compat_materialize(fcinfo);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	catalog = act_catalog_of(text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)), NULL);
	act_catalog_tell_unasked(catalog);
	foreach(cell, catalog->fields)
		put_field(result, lfirst(cell));
	SPI_finish();
	return (Datum) 0;
}

/* As the current user, who may use the destination. */
Catalog *
act_catalog_of(const char *destination, const char *object, Connector **compiled)
{
	const char *connector = connector_name(destination);
	char	   *found = act_catalog_find_object(destination, object);
	Connector  *own = act_registry_connector_object(connector, found != NULL ? found : object);

	if (compiled != NULL)
		*compiled = own;
	return act_catalog_load(destination, own, found != NULL ? found : object);
}
