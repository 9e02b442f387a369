/*-------------------------------------------------------------------------
 *
 * key_argument.c
 *	  Keys that a caller names, as jsonb: the object that the views show or,
 *	  for a key of one column, the bare value.
 *
 * Checked before a query has them: there a wrong one would match nothing, or
 * raise an error that shows the query and not the key.  In the caller's
 * transaction and memory context; throws 22023 and what types' input throws.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "key_argument.h"

/* As ->> would have it. */
static char *
value_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		case jbvBinary:
			return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
		default:
			return pstrdup("null");
	}
}

static void
refuse(const Sync *sync, const JsonbValue *key, const char *problem)
{
	StringInfoData example;

	initStringInfo(&example);
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(&example, "%s\"%s\": ...", i > 0 ? ", " : "", sync->key[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s is no key of sync \"%s\": %s", value_text(key), sync->name, problem),
			 sync->nkeys == 1 ? errhint("A key is {%s}, or the bare value as JSON.", example.data) :
			 errhint("A key is {%s}.", example.data)));
}

static bool
is_object(const JsonbValue *key)
{
	return key->type == jbvBinary && JsonContainerIsObject(key->val.binary.data);
}

/* The value of a column, or NULL.  A bare one is that of the only column. */
static JsonbValue *
column_value(const Sync *sync, JsonbValue *key, int column, JsonbValue *value)
{
	if (!is_object(key))
		return key;
	return getKeyJsonValueFromContainer(key->val.binary.data, sync->key[column],
										strlen(sync->key[column]), value);
}

static void
check(const Sync *sync, JsonbValue *key)
{
	JsonbValue	buffer;

	if (key->type == jbvBinary && !is_object(key))
		refuse(sync, key, "it is an array");
	if (key->type == jbvNull)
		refuse(sync, key, "it is null");
	if (!is_object(key))
	{
		if (sync->nkeys > 1)
			refuse(sync, key, psprintf("it is one value, and the key has %d columns", sync->nkeys));
		return;
	}
	for (int i = 0; i < sync->nkeys; i++)
	{
		JsonbValue *value = column_value(sync, key, i, &buffer);

		if (value == NULL)
			refuse(sync, key, psprintf("column \"%s\" is missing", sync->key[i]));
		if (value->type == jbvNull)
			refuse(sync, key, psprintf("column \"%s\" is null", sync->key[i]));
	}
	if (JsonContainerSize(key->val.binary.data) > sync->nkeys)
		refuse(sync, key, "it has other members than the key columns");
}

void
act_key_argument_check(const Sync *sync, Jsonb *keys)
{
	for (uint32 i = 0; i < JB_ROOT_COUNT(keys); i++)
		check(sync, getIthJsonbValueFromContainer(&keys->root, i));
}

typedef struct Place
{
	const Sync *sync;
	const JsonbValue *key;
} Place;

static void
add_context(void *arg)
{
	const Place *place = arg;

	errcontext("key %s of sync \"%s\"", value_text(place->key), place->sync->name);
}

void
act_key_argument_check_types(const Model *model, Jsonb *keys)
{
	const Sync *sync = model->sync;
	Place		place = {.sync = sync};
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = add_context,
		.arg = &place,
	};

	error_context_stack = &callback;
	for (uint32 i = 0; i < JB_ROOT_COUNT(keys); i++)
	{
		JsonbValue *key = getIthJsonbValueFromContainer(&keys->root, i);

		place.key = key;
		for (int column = 0; column < sync->nkeys; column++)
		{
			JsonbValue	buffer;
			Oid			input;
			Oid			parameter;

			getTypeInputInfo(model->key_types[column], &input, &parameter);
			(void) OidInputFunctionCall(input, value_text(column_value(sync, key, column, &buffer)),
										parameter, -1);
		}
	}
	error_context_stack = callback.previous;
}
