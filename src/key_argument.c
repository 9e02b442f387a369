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

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/typcache.h"

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
act_key_argument_require_array(Jsonb *keys)
{
	if (!JB_ROOT_IS_ARRAY(keys) || JB_ROOT_IS_SCALAR(keys))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("keys must be a JSON array of keys"),
				 errhint("keys => '[42, 43]', or '[{\"a\": 1, \"b\": 2}]' for a key of two columns.")));
}

Jsonb *
act_key_argument_one(Jsonb *key)
{
	char	   *text = psprintf("[%s]", JsonbToCString(NULL, &key->root, VARSIZE(key)));

	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
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

static char *value_literal(const JsonbValue *value, Oid type);

/* What array_in(), record_in() and hstore_in() take back as it was. */
static void
append_quoted(StringInfo buf, const char *text)
{
	appendStringInfoChar(buf, '"');
	for (; *text != '\0'; text++)
	{
		if (*text == '"' || *text == '\\')
			appendStringInfoChar(buf, '\\');
		appendStringInfoChar(buf, *text);
	}
	appendStringInfoChar(buf, '"');
}

/* An array in an array is a further dimension, unless elements are such. */
static void
append_array(StringInfo buf, JsonbContainer *array, Oid element)
{
	Oid			base = getBaseType(element);
	bool		nests = base != JSONBOID && base != JSONOID && !OidIsValid(get_element_type(base));

	check_stack_depth();
	appendStringInfoChar(buf, '{');
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(array, i);

		if (i > 0)
			appendStringInfoChar(buf, ',');
		if (item->type == jbvNull)
			appendStringInfoString(buf, "NULL");
		else if (nests && item->type == jbvBinary && JsonContainerIsArray(item->val.binary.data))
			append_array(buf, item->val.binary.data, element);
		else
			append_quoted(buf, value_literal(item, element));
	}
	appendStringInfoChar(buf, '}');
}

/* "1 2": int2vector and oidvector. */
static void
append_vector(StringInfo buf, JsonbContainer *array)
{
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
		appendStringInfo(buf, "%s%s", i > 0 ? " " : "", value_text(getIthJsonbValueFromContainer(array, i)));
}

static void
append_record(StringInfo buf, JsonbContainer *object, Oid type)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(type, -1);
	const char *separator = "";

	check_stack_depth();
	appendStringInfoChar(buf, '(');
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		const char *name = NameStr(attribute->attname);
		JsonbValue	buffer;
		JsonbValue *value;

		if (attribute->attisdropped)
			continue;
		appendStringInfoString(buf, separator);
		separator = ",";
		value = getKeyJsonValueFromContainer(object, name, strlen(name), &buffer);
		if (value != NULL && value->type != jbvNull)
			append_quoted(buf, value_literal(value, attribute->atttypid));
	}
	appendStringInfoChar(buf, ')');
	ReleaseTupleDesc(desc);
}

/* "a"=>"1": hstore, the one type known to print as an object. */
static void
append_pairs(StringInfo buf, JsonbContainer *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			appendStringInfoString(buf, buf->len > 0 ? "," : "");
			append_quoted(buf, value_text(&value));
			appendStringInfoString(buf, "=>");
		}
		else if (token == WJB_VALUE && value.type == jbvNull)
			appendStringInfoString(buf, "NULL");
		else if (token == WJB_VALUE)
			append_quoted(buf, value_text(&value));
	}
}

/* As the type's input reads it, where its JSON is no scalar. */
static char *
value_literal(const JsonbValue *value, Oid type)
{
	Oid			base = getBaseType(type);
	StringInfoData buf;

	initStringInfo(&buf);
	if (base == JSONBOID || base == JSONOID)
	{
		Jsonb	   *json = JsonbValueToJsonb((JsonbValue *) value);

		return JsonbToCString(&buf, &json->root, VARSIZE(json));
	}
	if (value->type != jbvBinary)
		return value_text(value);
	if (JsonContainerIsArray(value->val.binary.data))
	{
		if (base == INT2VECTOROID || base == OIDVECTOROID)
			append_vector(&buf, value->val.binary.data);
		else if (OidIsValid(get_element_type(base)))
			append_array(&buf, value->val.binary.data, get_element_type(base));
		else
			return value_text(value);
	}
	else if (type_is_rowtype(base) && base != RECORDOID)
		append_record(&buf, value->val.binary.data, base);
	else if (base >= FirstNormalObjectId && !OidIsValid(get_element_type(base)))
		append_pairs(&buf, value->val.binary.data);
	else
		return value_text(value);
	return buf.data;
}

/* The column's value as text, once its type has read it. */
static char *
read_value(const Model *model, JsonbValue *key, int column)
{
	JsonbValue	buffer;
	char	   *text = value_literal(column_value(model->sync, key, column, &buffer),
									 model->key_types[column]);
	Oid			input;
	Oid			parameter;

	getTypeInputInfo(model->key_types[column], &input, &parameter);
	(void) OidInputFunctionCall(input, text, parameter, -1);
	return text;
}

static void
push_string(JsonbParseState **state, JsonbIteratorToken token, const char *text)
{
	JsonbValue	value = {.type = jbvString};

	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	(void) pushJsonbValue(state, token, &value);
}

Jsonb *
act_key_argument_read(const Model *model, Jsonb *keys)
{
	const Sync *sync = model->sync;
	JsonbParseState *state = NULL;
	Place		place = {.sync = sync};
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = add_context,
		.arg = &place,
	};

	error_context_stack = &callback;
	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (uint32 i = 0; i < JB_ROOT_COUNT(keys); i++)
	{
		JsonbValue *key = getIthJsonbValueFromContainer(&keys->root, i);

		CHECK_FOR_INTERRUPTS();
		place.key = key;
		(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		for (int column = 0; column < sync->nkeys; column++)
		{
			push_string(&state, WJB_KEY, sync->key[column]);
			push_string(&state, WJB_VALUE, read_value(model, key, column));
		}
		(void) pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	error_context_stack = callback.previous;
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}
