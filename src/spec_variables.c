/*-------------------------------------------------------------------------
 *
 * spec_variables.c
 *	  ${name} in the strings of a spec: what differs from place to place.
 *
 * Pure: called while a spec is read, in the current memory context.  A
 * variable that is not given is ERROR 22023 with the JSON pointer of where it
 * stands.  $${ stands for ${, and any other $ for itself, so that dollar
 * quotes stay what they are.  A value is put in as it is, and not looked at
 * again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "nearest.h"
#include "spec_variables.h"

char *
act_spec_pointer(const char *pointer, const char *member)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s/", pointer);
	for (const char *p = member; *p != '\0'; p++)
	{
		if (*p == '~')
			appendStringInfoString(&buf, "~0");
		else if (*p == '/')
			appendStringInfoString(&buf, "~1");
		else
			appendStringInfoChar(&buf, *p);
	}
	return buf.data;
}

static const char **
list_variables(Jsonb *vars)
{
	JsonbIterator *iterator = JsonbIteratorInit(&vars->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	const char **names = palloc0(sizeof(char *) * (JB_ROOT_COUNT(vars) + 1));
	int			count = 0;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			names[count++] = pnstrdup(value.val.string.val, value.val.string.len);
	}
	return names;
}

static char *
variable_value(const char *name, Jsonb *vars, const char *pointer)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&vars->root, name, strlen(name), NULL);
	const char *nearest;

	if (value == NULL)
	{
		nearest = act_nearest_name(name, list_variables(vars));
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("spec at %s: variable \"%s\" is not given", pointer, name),
				 nearest ? errhint("Perhaps you meant ${%s}.", nearest) :
				 errhint("vars => '{\"%s\": \"...\"}'; a ${ that is no variable is written $${.", name)));
	}
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return numeric_normalize(value->val.numeric);
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("variable \"%s\" must be text, a number, true or false", name),
					 errhint("vars => '{\"%s\": \"...\"}'", name)));
	}
	return NULL;
}

static char *
expand(const char *text, Jsonb *vars, const char *pointer)
{
	StringInfoData buf;

	initStringInfo(&buf);
	while (*text != '\0')
	{
		const char *end;

		if (strncmp(text, "$${", 3) == 0)
		{
			appendStringInfoString(&buf, "${");
			text += 3;
			continue;
		}
		if (strncmp(text, "${", 2) != 0)
		{
			appendStringInfoChar(&buf, *text++);
			continue;
		}
		end = strchr(text, '}');
		if (end == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("spec at %s: a variable has no end", pointer),
					 errhint("${name}; a ${ that is no variable is written $${.")));
		appendStringInfoString(&buf, variable_value(pnstrdup(text + 2, end - text - 2), vars, pointer));
		text = end + 1;
	}
	return buf.data;
}

static void
expand_value(JsonbValue *value, Jsonb *vars, const char *pointer)
{
	value->val.string.val = expand(pnstrdup(value->val.string.val, value->val.string.len), vars, pointer);
	value->val.string.len = strlen(value->val.string.val);
}

static JsonbValue *
substitute(JsonbParseState **state, JsonbContainer *container, Jsonb *vars, const char *pointer)
{
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue *result = NULL;
	int			element = 0;
	char	   *place = NULL;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	/* What is nested comes as one value. */
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		bool		is_value = token == WJB_VALUE || token == WJB_ELEM;

		if (token == WJB_KEY)
			place = act_spec_pointer(pointer, pnstrdup(value.val.string.val, value.val.string.len));
		else if (token == WJB_ELEM)
			place = psprintf("%s/%d", pointer, element++);

		if (is_value && value.type == jbvBinary)
		{
			result = substitute(state, value.val.binary.data, vars, place);
			continue;
		}
		if ((is_value || token == WJB_KEY) && value.type == jbvString)
			expand_value(&value, vars, place);
		result = pushJsonbValue(state, token, is_value || token == WJB_KEY ? &value : NULL);
		if (token == WJB_END_OBJECT && result->val.object.nPairs != JsonContainerSize(container))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("spec at %s: two members have one name once variables are put in",
							pointer[0] != '\0' ? pointer : "the top"),
					 errhint("Give one of the variables another value.")));
	}
	return result;
}

Jsonb *
act_spec_substitute(Jsonb *spec, Jsonb *vars)
{
	JsonbParseState *state = NULL;

	if (!JB_ROOT_IS_OBJECT(vars))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("vars are not a JSON object"),
				 errhint("vars => '{\"schema\": \"analytics\"}'")));
	if (JB_ROOT_IS_SCALAR(spec))
		return spec;
	return JsonbValueToJsonb(substitute(&state, &spec->root, vars, ""));
}
