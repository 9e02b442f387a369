/*-------------------------------------------------------------------------
 *
 * connector_view.c
 *	  activate.connector_objects(connector): what a connector describes.
 *
 * Behind the view connectors, too, which a document that cannot be compiled
 * must not make unreadable: it is a WARNING, and has no objects.  Asks for no
 * rights: documents are for everybody who may use the schema.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "compat.h"
#include "definition_object.h"
#include "registry.h"
#include "server_text.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_connector_objects_list);

typedef struct Work
{
	const char *name;
	Connector  *connector;
} Work;

static void
compile(void *arg)
{
	Work	   *work = arg;

	work->connector = act_registry_connector(work->name);
}

static Datum
text_array(List *texts)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(list_length(texts), 1));
	ListCell   *cell;
	int			n = 0;

	foreach(cell, texts)
		elements[n++] = CStringGetTextDatum((char *) lfirst(cell));
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Each as it is written in match => */
static Datum
match_fields(const ConnectorObject *object)
{
	List	   *texts = NIL;

	for (int i = 0; i < object->nmatches; i++)
	{
		const ObjectMatch *match = &object->matches[i];
		char	  **names = palloc(sizeof(char *) * match->nfields);

		for (int j = 0; j < match->nfields; j++)
			names[j] = act_text_to_server(match->fields[j]);
		texts = lappend(texts, act_identifier_join(match->nfields, names));
	}
	if (object->nmatches == 0 && object->key_fields != NULL)
	{
		int			count = 0;
		char	  **names;

		while (object->key_fields[count] != NULL)
			count++;
		names = palloc(sizeof(char *) * count);
		for (int i = 0; i < count; i++)
			names[i] = act_text_to_server(object->key_fields[i]);
		texts = list_make1(act_identifier_join(count, names));
	}
	return text_array(texts);
}

static void
put_object(ReturnSetInfo *result, const ConnectorObject *object)
{
	List	   *modes = NIL;
	List	   *removals = NIL;
	Datum		values[6];
	bool		nulls[6] = {object->pattern == NULL, object->title == NULL};

	for (SyncMode mode = MODE_UPSERT; mode < SYNC_MODE_COUNT; mode++)
	{
		if (act_object_serves_mode(object, mode))
			modes = lappend(modes, unconstify(char *, act_sync_mode_name(mode)));
	}
	for (OnRemoved choice = REMOVED_IGNORE + 1; choice < ON_REMOVED_COUNT; choice++)
	{
		if (act_object_serves_removal(object, choice))
			removals = lappend(removals, unconstify(char *, act_on_removed_name(choice)));
	}
	values[0] = nulls[0] ? (Datum) 0 : CStringGetTextDatum(act_text_to_server(object->pattern));
	values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(act_text_to_server(object->title));
	values[2] = CStringGetTextDatum(act_object_kind_name(object->kind));
	values[3] = match_fields(object);
	values[4] = text_array(modes);
	values[5] = text_array(removals);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
act_connector_objects_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Work		work = {0};
	ErrorData  *error;

	act_compat_materialize(fcinfo);
	act_require_argument(PG_ARGISNULL(0), "connector", "SELECT connector FROM activate.connectors;");
	work.name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	SPI_connect();
	error = act_transaction_attempt(compile, &work);
	if (error != NULL && error->sqlerrcode == ERRCODE_UNDEFINED_OBJECT && act_registry_missing(work.name))
		ReThrowError(error);
	if (error != NULL)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("%s", error->message),
				 error->detail ? errdetail("%s", error->detail) : 0,
				 error->hint ? errhint("%s", error->hint) : 0));
	else if (act_connector_objects(work.connector) == NULL)
		put_object(result, act_connector_object(work.connector));
	else
	{
		for (const ConnectorObject *const *object = act_connector_objects(work.connector); *object != NULL; object++)
			put_object(result, *object);
	}
	SPI_finish();
	return (Datum) 0;
}
