/*-------------------------------------------------------------------------
 *
 * catalog_table.c
 *	  What destinations told of themselves: activate.destination_object and
 *	  activate.destination_field.
 *
 * Inside a transaction with SPI connected, as the extension.  Whoever calls
 * has made sure that the user may use the destination.  What is read is
 * allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "catalog.h"
#include "fault.h"
#include "identity.h"
#include "json_text.h"
#include "server_text.h"
#include "sync_state_private.h"
#include "transaction.h"

/* Two that refresh one destination would meet each other's rows. */
#define LOCK_TABLES \
	"LOCK TABLE activate.destination_object IN SHARE ROW EXCLUSIVE MODE"

#define SELECT_OBJECTS \
	"SELECT object, title, kind FROM activate.destination_object" \
	" WHERE destination = $1 AND listed ORDER BY object"

#define SELECT_TITLED \
	"SELECT pg_catalog.min(object) FROM activate.destination_object" \
	" WHERE destination = $1 AND listed AND title = $2 HAVING pg_catalog.count(*) = 1"

#define SELECT_OBJECT \
	"SELECT title, fields_asked_at, has_unique FROM activate.destination_object" \
	" WHERE destination = $1 AND object = $2"

#define SELECT_FIELDS \
	"SELECT field, title, type, required, writable, is_unique, document, \"values\"" \
	" FROM activate.destination_field WHERE destination = $1 AND object = $2 ORDER BY position, field"

/* $2 an array of objects, $3 now */
#define STORE_OBJECTS \
	"INSERT INTO activate.destination_object AS d (destination, object, title, kind, listed, asked_at)" \
	" SELECT DISTINCT ON (o ->> 'object') $1, o ->> 'object', o ->> 'title', o ->> 'kind', true, $3" \
	" FROM pg_catalog.jsonb_array_elements($2::pg_catalog.jsonb) AS o ORDER BY o ->> 'object'" \
	" ON CONFLICT (destination, object) DO UPDATE SET title = excluded.title, kind = excluded.kind," \
	" listed = true, asked_at = excluded.asked_at"
/* One that is not listed any more is gone, with its fields. */
#define FORGET_OBJECTS \
	"DELETE FROM activate.destination_object WHERE destination = $1 AND listed AND asked_at < $2"
#define FORGET_FIELDS \
	"DELETE FROM activate.destination_field AS f WHERE f.destination = $1 AND NOT EXISTS" \
	" (SELECT 1 FROM activate.destination_object AS o" \
	" WHERE o.destination = f.destination AND o.object = f.object)"

#define STORE_FIELDS_OF \
	"INSERT INTO activate.destination_object AS d (destination, object, listed, asked_at, fields_asked_at, has_unique)" \
	" VALUES ($1, $2, false, $3, $3, $4) ON CONFLICT (destination, object) DO UPDATE SET" \
	" fields_asked_at = excluded.fields_asked_at, fields_message = NULL, has_unique = excluded.has_unique"
#define STORE_FAILURE \
	"INSERT INTO activate.destination_object AS d (destination, object, listed, asked_at, fields_message)" \
	" VALUES ($1, $2, false, $3, $4) ON CONFLICT (destination, object) DO UPDATE SET" \
	" fields_message = excluded.fields_message"
#define CLEAR_FIELDS \
	"DELETE FROM activate.destination_field WHERE destination = $1 AND object = $2"
#define STORE_FIELDS \
	"INSERT INTO activate.destination_field (destination, object, field, position, title, type," \
	" required, writable, is_unique, \"values\", document)" \
	" SELECT $1, $2, f ->> 'field', n, f ->> 'title', f ->> 'type'," \
	" (f ->> 'required')::pg_catalog.bool, (f ->> 'writable')::pg_catalog.bool, (f ->> 'unique')::pg_catalog.bool," \
	" CASE WHEN f -> 'values' IS NOT NULL THEN" \
	" ARRAY(SELECT v FROM pg_catalog.jsonb_array_elements_text(f -> 'values') WITH ORDINALITY AS e (v, m) ORDER BY m) END," \
	" f ->> 'document'" \
	" FROM pg_catalog.jsonb_array_elements($3::pg_catalog.jsonb) WITH ORDINALITY AS e (f, n)" \
	" ON CONFLICT (destination, object, field) DO NOTHING"

#define IS_GONE \
	" WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_foreign_server AS f" \
	" WHERE f.srvname = d.destination::pg_catalog.name)"

/* ----------------------------------------------------------------
 *		Reading
 * ----------------------------------------------------------------
 */

static List *
read_values(uint64 row, int column)
{
	bool		isnull;
	Datum		array = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	Datum	   *values;
	bool	   *nulls;
	int			count;
	List	   *list = NIL;

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			list = lappend(list, TextDatumGetCString(values[i]));
	}
	return list;
}

static void
read_field(Catalog *catalog, uint64 row)
{
	CatalogField *field = palloc0(sizeof(CatalogField));

	field->name = act_sql_text(row, 1);
	field->title = act_sql_text(row, 2);
	field->type = act_sql_text(row, 3);
	field->required = act_sql_bool(row, 4);
	field->writable = act_sql_bool(row, 5);
	field->is_unique = act_sql_bool(row, 6);
	field->document = act_sql_text(row, 7);
	field->values = read_values(row, 8);
	catalog->fields = lappend(catalog->fields, field);
}

void
act_catalog_read_object(Catalog *catalog)
{
	MemoryContext context = CurrentMemoryContext;
	SqlArgument args[] = {SQL_TEXT(catalog->destination), SQL_TEXT(catalog->object)};
	Identity	identity;
	uint64		count;

	act_identity_extension(&identity);
	if (act_sql(SPI_OK_SELECT, SELECT_OBJECT, lengthof(args), args) > 0)
	{
		MemoryContext caller = MemoryContextSwitchTo(context);

		catalog->title = act_sql_text(0, 1);
		catalog->asked_at = act_sync_state_time(0, 2);
		catalog->tells_unique = act_sql_bool(0, 3);
		MemoryContextSwitchTo(caller);
	}
	if (catalog->asked_at != 0)
	{
		MemoryContext caller;

		count = act_sql(SPI_OK_SELECT, SELECT_FIELDS, lengthof(args), args);
		caller = MemoryContextSwitchTo(context);
		for (uint64 row = 0; row < count; row++)
			read_field(catalog, row);
		MemoryContextSwitchTo(caller);
	}
	act_identity_leave(&identity);
}

List *
act_catalog_objects(const char *destination)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext caller;
	SqlArgument args[] = {SQL_TEXT(destination)};
	List	   *objects = NIL;
	Identity	identity;
	uint64		count;

	act_identity_extension(&identity);
	count = act_sql(SPI_OK_SELECT, SELECT_OBJECTS, lengthof(args), args);
	caller = MemoryContextSwitchTo(context);
	for (uint64 row = 0; row < count; row++)
	{
		CatalogObject *object = palloc0(sizeof(CatalogObject));

		object->object = act_sql_text(row, 1);
		object->title = act_sql_text(row, 2);
		object->kind = act_sql_text(row, 3);
		objects = lappend(objects, object);
	}
	MemoryContextSwitchTo(caller);
	act_identity_leave(&identity);
	return objects;
}

char *
act_catalog_find_object(const char *destination, const char *object)
{
	MemoryContext context = CurrentMemoryContext;
	SqlArgument args[] = {SQL_TEXT(destination), SQL_TEXT(object)};
	Identity	identity;
	char	   *found = NULL;

	act_identity_extension(&identity);
	if (act_sql(SPI_OK_SELECT, SELECT_OBJECT, lengthof(args), args) > 0)
		found = MemoryContextStrdup(context, object);
	else if (act_sql(SPI_OK_SELECT, SELECT_TITLED, lengthof(args), args) > 0)
	{
		MemoryContext caller = MemoryContextSwitchTo(context);

		found = act_sql_text(0, 1);
		MemoryContextSwitchTo(caller);
	}
	act_identity_leave(&identity);
	return found;
}

/* ----------------------------------------------------------------
 *		Writing
 * ----------------------------------------------------------------
 */

static void
append_text(StringInfo buf, const char *name, const char *utf8)
{
	if (utf8 == NULL)
		return;
	appendStringInfo(buf, ", \"%s\": ", name);
	act_json_append_string(buf, utf8, strlen(utf8));
}

static char *
objects_json(const List *objects)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	foreach(cell, objects)
	{
		const Discovered *object = lfirst(cell);

		appendStringInfoString(&buf, buf.len == 0 ? "[{\"object\": " : ", {\"object\": ");
		act_json_append_string(&buf, object->name, strlen(object->name));
		append_text(&buf, "title", object->title);
		append_text(&buf, "kind", object->kind);
		appendStringInfoChar(&buf, '}');
	}
	appendStringInfoString(&buf, buf.len == 0 ? "[]" : "]");
	return act_text_to_server(buf.data);
}

static void
append_values(StringInfo buf, const List *values)
{
	ListCell   *cell;

	if (values == NIL)
		return;
	appendStringInfoString(buf, ", \"values\": ");
	foreach(cell, values)
	{
		const char *value = lfirst(cell);

		appendStringInfoString(buf, cell == list_head(values) ? "[" : ", ");
		act_json_append_string(buf, value, strlen(value));
	}
	appendStringInfoChar(buf, ']');
}

static char *
fields_json(const List *fields)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	foreach(cell, fields)
	{
		const Discovered *field = lfirst(cell);

		appendStringInfoString(&buf, buf.len == 0 ? "[{\"field\": " : ", {\"field\": ");
		act_json_append_string(&buf, field->name, strlen(field->name));
		append_text(&buf, "title", field->title);
		append_text(&buf, "type", field->type);
		append_text(&buf, "document", field->document);
		append_values(&buf, field->values);
		appendStringInfo(&buf, ", \"required\": %s, \"writable\": %s, \"unique\": %s}",
						 field->required ? "true" : "false", field->writable ? "true" : "false",
						 field->is_unique ? "true" : "false");
	}
	appendStringInfoString(&buf, buf.len == 0 ? "[]" : "]");
	return act_text_to_server(buf.data);
}

void
act_catalog_store_objects(const char *destination, const List *objects)
{
	TimestampTz now = act_now();
	SqlArgument args[] = {SQL_TEXT(destination), SQL_TEXT(objects_json(objects)), SQL_TIME(now)};
	SqlArgument gone[] = {SQL_TEXT(destination), SQL_TIME(now)};
	Identity	identity;

	act_identity_extension(&identity);
	act_sql(SPI_OK_UTILITY, LOCK_TABLES, 0, NULL);
	act_sql(SPI_OK_INSERT, STORE_OBJECTS, lengthof(args), args);
	act_sql(SPI_OK_DELETE, FORGET_OBJECTS, lengthof(gone), gone);
	act_sql(SPI_OK_DELETE, FORGET_FIELDS, 1, gone);
	act_identity_leave(&identity);
}

void
act_catalog_store_fields(const char *destination, const char *object, const List *fields, bool has_unique)
{
	SqlArgument of[] = {SQL_TEXT(destination), SQL_TEXT(object), SQL_TIME(act_now()), SQL_BOOL(has_unique)};
	SqlArgument args[] = {SQL_TEXT(destination), SQL_TEXT(object), SQL_TEXT(fields_json(fields))};
	Identity	identity;

	act_identity_extension(&identity);
	act_sql(SPI_OK_UTILITY, LOCK_TABLES, 0, NULL);
	act_sql(SPI_OK_INSERT, STORE_FIELDS_OF, lengthof(of), of);
	act_sql(SPI_OK_DELETE, CLEAR_FIELDS, 2, args);
	act_sql(SPI_OK_INSERT, STORE_FIELDS, lengthof(args), args);
	act_identity_leave(&identity);
}

void
act_catalog_store_failure(const char *destination, const char *object, const char *message)
{
	SqlArgument args[] = {
		SQL_TEXT(destination), SQL_TEXT(object), SQL_TIME(act_now()), SQL_TEXT(act_text_to_server(message))
	};
	Identity	identity;

	act_identity_extension(&identity);
	act_sql(SPI_OK_UTILITY, LOCK_TABLES, 0, NULL);
	act_sql(SPI_OK_INSERT, STORE_FAILURE, lengthof(args), args);
	act_identity_leave(&identity);
}

void
act_catalog_forget_gone(void)
{
	act_sql(SPI_OK_DELETE, "DELETE FROM activate.destination_object AS d" IS_GONE, 0, NULL);
	act_sql(SPI_OK_DELETE, "DELETE FROM activate.destination_field AS d" IS_GONE, 0, NULL);
}

void
act_catalog_rename(const char *destination, const char *new_name)
{
	static const char *const tables[] = {"destination_object", "destination_field"};
	SqlArgument args[] = {SQL_TEXT(destination), SQL_TEXT(new_name)};

	for (int i = 0; i < lengthof(tables); i++)
	{
		act_sql(SPI_OK_DELETE, psprintf("DELETE FROM activate.%s WHERE destination = $1", tables[i]), 1, &args[1]);
		act_sql(SPI_OK_UPDATE, psprintf("UPDATE activate.%s SET destination = $2 WHERE destination = $1", tables[i]),
				lengthof(args), args);
	}
}
