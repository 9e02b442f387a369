/*-------------------------------------------------------------------------
 *
 * export.c
 *	  SQL-callable: export(), the spec of the syncs as they are.
 *
 * As the caller, in a transaction.  What it returns is what apply() takes:
 * applied where the syncs are it changes nothing, elsewhere it makes the
 * same.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"

#include "definition.h"
#include "identity.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_export);

/* Names of the syncs that the caller can manage; one without its table is nobody's. */
static List *
own_syncs(void)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext inside;
	Identity	identity;
	List	   *names = NIL;
	SqlArgument args[] = {{OIDOID, ObjectIdGetDatum(GetUserId()), false}};
	uint64		count;

	act_identity_extension(&identity);
	count = act_sql(SPI_OK_SELECT,
					"SELECT s.name, c.oid IS NULL FROM activate.sync s"
					" LEFT JOIN pg_catalog.pg_class c ON c.relname = s.name"
					" AND c.relnamespace = 'activate_data'::pg_catalog.regnamespace"
					" WHERE pg_catalog.pg_has_role($1, COALESCE(c.relowner, current_user::pg_catalog.regrole), 'USAGE')"
					" ORDER BY s.name",
					lengthof(args), args);
	inside = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < count; i++)
	{
		char	   *name = act_sql_text(i, 1);

		if (!act_sql_bool(i, 2))
			names = lappend(names, name);
		else
			ereport(NOTICE,
					(errmsg("sync \"%s\" has lost its table, and is left out", name),
					 errhint("SELECT activate.sync_sql(%s); prints its definition.", quote_literal_cstr(name))));
	}
	MemoryContextSwitchTo(inside);
	act_identity_leave(&identity);
	return names;
}

static List *
named_syncs(ArrayType *array)
{
	List	   *names = NIL;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		act_require_argument(nulls[i], "names", "SELECT activate.export(ARRAY['customer_health']);");
		names = lappend(names, TextDatumGetCString(elements[i]));
	}
	return names;
}

/* Whether all have the same: then it is said once. */
static bool
is_common(List *syncs, DefinitionArgument argument)
{
	char	   *first = act_definition_argument_json(linitial(syncs), argument);
	ListCell   *cell;

	foreach(cell, syncs)
	{
		if (strcmp(first, act_definition_argument_json(lfirst(cell), argument)) != 0)
			return false;
	}
	return true;
}

static void
append_member(StringInfo buf, const char *name, const char *json)
{
	if (buf->data[buf->len - 1] != '{')
		appendStringInfoString(buf, ", ");
	escape_json(buf, name);
	appendStringInfo(buf, ": %s", json);
}

static void
append_sync(StringInfo buf, const Sync *sync, const bool *common)
{
	for (int i = 0; i < DEFINITION_ARGUMENT_COUNT; i++)
	{
		DefinitionArgument argument = (DefinitionArgument) i;

		if (common[i] || act_definition_argument_is_default(sync, argument) ||
			(argument == ARGUMENT_OWNER && !OidIsValid(sync->owner)))
			continue;
		append_member(buf, act_definition_argument_name(argument), act_definition_argument_json(sync, argument));
	}
	if (sync->paused)
		append_member(buf, "paused", "true");
	if (sync->paused && sync->pause_reason != NULL)
	{
		StringInfoData reason;

		initStringInfo(&reason);
		escape_json(&reason, sync->pause_reason);
		append_member(buf, "pause_reason", reason.data);
	}
}

/* Two things of the session that made them, mostly the same for all. */
static const DefinitionArgument settings[] = {ARGUMENT_SEARCH_PATH, ARGUMENT_TIME_ZONE};

static char *
export_syncs(List *syncs)
{
	StringInfoData buf;
	ListCell   *cell;
	bool		common[DEFINITION_ARGUMENT_COUNT] = {false};

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	if (list_length(syncs) > 1)
	{
		StringInfoData defaults;

		initStringInfo(&defaults);
		appendStringInfoChar(&defaults, '{');
		for (int i = 0; i < lengthof(settings); i++)
		{
			common[settings[i]] = is_common(syncs, settings[i]);
			if (common[settings[i]])
				append_member(&defaults, act_definition_argument_name(settings[i]),
							  act_definition_argument_json(linitial(syncs), settings[i]));
		}
		appendStringInfoChar(&defaults, '}');
		if (defaults.len > 2)
			append_member(&buf, "defaults", defaults.data);
	}
	append_member(&buf, "syncs", "{");
	foreach(cell, syncs)
	{
		const Sync *sync = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		append_member(&buf, sync->name, "{");
		append_sync(&buf, sync, common);
		appendStringInfoChar(&buf, '}');
	}
	appendStringInfoString(&buf, "}}");
	return buf.data;
}

/* A $ before a { is one that a variable would begin with. */
static char *
escape_variables(const char *text)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (const char *p = text; *p != '\0'; p++)
	{
		if (p[0] == '$' && p[1] == '{')
			appendStringInfoChar(&buf, '$');
		appendStringInfoChar(&buf, *p);
	}
	return buf.data;
}

/* activate.export(names text[]) */
Datum
act_export(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *names;
	List	   *syncs = NIL;
	ListCell   *cell;
	char	   *text;
	Datum		result;

	SPI_connect();
	names = PG_ARGISNULL(0) ? own_syncs() : named_syncs(PG_GETARG_ARRAYTYPE_P(0));
	foreach(cell, names)
		syncs = lappend(syncs, act_sync_load(lfirst(cell), false));
	text = escape_variables(export_syncs(syncs));
	MemoryContextSwitchTo(context);
	result = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	SPI_finish();
	return result;
}
