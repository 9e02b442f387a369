/*-------------------------------------------------------------------------
 *
 * key.c
 *	  Keys as a person names them: JSON, an object or a bare value.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "key.h"

static void
refuse_key(const Sync *sync, const char *problem)
{
	StringInfoData example;

	initStringInfo(&example);
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(&example, "%s\"%s\": ...", i > 0 ? ", " : "", sync->key[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("this is no key of sync \"%s\": %s", sync->name, problem),
			 sync->nkeys == 1 ? errhint("key => '{%s}', or the bare value as JSON.", example.data) :
			 errhint("key => '{%s}'.", example.data)));
}

void
act_key_check(const Sync *sync, Jsonb *key)
{
	JsonbValue	value;

	if (JB_ROOT_IS_SCALAR(key))
	{
		if (!JsonbExtractScalar(&key->root, &value) || value.type == jbvNull)
			refuse_key(sync, "it is null");
		if (sync->nkeys > 1)
			refuse_key(sync, psprintf("it is one value, and the key has %d columns", sync->nkeys));
		return;
	}
	if (!JB_ROOT_IS_OBJECT(key))
		refuse_key(sync, "it is an array");
	for (int i = 0; i < sync->nkeys; i++)
	{
		JsonbValue *member = getKeyJsonValueFromContainer(&key->root, sync->key[i],
														  strlen(sync->key[i]), &value);

		if (member == NULL)
			refuse_key(sync, psprintf("column \"%s\" is missing", sync->key[i]));
		if (member->type == jbvNull)
			refuse_key(sync, psprintf("column \"%s\" is null", sync->key[i]));
	}
	if (JB_ROOT_COUNT(key) > sync->nkeys)
		refuse_key(sync, "it has other members than the key columns");
}

void
act_key_check_array(const Sync *sync, Jsonb *keys)
{
	for (int i = 0; i < JB_ROOT_COUNT(keys); i++)
		act_key_check(sync, JsonbValueToJsonb(getIthJsonbValueFromContainer(&keys->root, i)));
}
