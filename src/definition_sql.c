/*-------------------------------------------------------------------------
 *
 * definition_sql.c
 *	  SQL-callable: sync_sql(), the call that creates a sync again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "definition.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_sync_sql);

static void
append_argument(StringInfo buf, const char *name, const char *value)
{
	appendStringInfo(buf, "%s\n    %-11s => %s", buf->data[buf->len - 1] == '(' ? "" : ",",
					 name, quote_literal_cstr(value));
}

/*
 * Defaults are left out, but not what was a default once and is a fact now:
 * the frozen mapping, the match, the owner, and the session's settings that
 * the model and the mapping are read with.  Those are set by the statement
 * itself, for its transaction, before the function is called: a SET of its
 * own would not hold from one statement to the next, or hold for too long.
 */
static char *
sync_sql(const Sync *sync)
{
	StringInfoData buf;
	char	   *options = act_sync_options_set(sync);

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT activate.create_sync(");
	append_argument(&buf, "name", sync->name);
	append_argument(&buf, "model", sync->model);
	append_argument(&buf, "key", act_identifier_join(sync->nkeys, sync->key));
	append_argument(&buf, "destination", sync->destination);
	if (sync->object != NULL)
		append_argument(&buf, "object", sync->object);
	if (sync->nmatch > 0)
		append_argument(&buf, "match", act_identifier_join(sync->nmatch, sync->match));
	append_argument(&buf, "mapping", sync->mapping);
	if (!act_definition_argument_is_default(sync, ARGUMENT_MODE))
		append_argument(&buf, "mode", act_sync_mode_name(sync->mode));
	if (!act_definition_argument_is_default(sync, ARGUMENT_ON_REMOVED))
		append_argument(&buf, "on_removed", act_on_removed_name(sync->on_removed));
	if (!act_definition_argument_is_default(sync, ARGUMENT_SCHEDULE))
		append_argument(&buf, "schedule", sync->schedule);
	if (OidIsValid(sync->owner))
		append_argument(&buf, "owner", quote_identifier(GetUserNameFromId(sync->owner, false)));
	if (strcmp(options, "{}") != 0)
		append_argument(&buf, "options", options);
	appendStringInfo(&buf, ")\nFROM pg_catalog.set_config('search_path', %s, true) AS search_path,\n"
					 "    pg_catalog.set_config('TimeZone', %s, true) AS time_zone;",
					 quote_literal_cstr(sync->search_path), quote_literal_cstr(sync->time_zone));
	if (sync->paused)
	{
		appendStringInfo(&buf, "\nSELECT activate.pause_sync(%s", quote_literal_cstr(sync->name));
		if (sync->pause_reason != NULL)
			appendStringInfo(&buf, ", %s", quote_literal_cstr(sync->pause_reason));
		appendStringInfoString(&buf, ");");
	}
	return buf.data;
}

Datum
act_sync_sql(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	text	   *result;

	act_require_argument(PG_ARGISNULL(0), "name", "SELECT activate.sync_sql('customer_health');");
	SPI_connect();
	{
		Sync	   *sync = act_sync_load(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);
		char	   *sql = sync_sql(sync);

		MemoryContextSwitchTo(context);
		result = cstring_to_text(sql);
	}
	SPI_finish();
	PG_RETURN_TEXT_P(result);
}
