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
 * the frozen mapping, the match, the owner.
 */
static char *
sync_sql(const Sync *sync)
{
	StringInfoData buf;

	initStringInfo(&buf);
	/* A newline would end the comment, and what follows be run. */
	if (strpbrk(sync->search_path, "\r\n") == NULL && strpbrk(sync->time_zone, "\r\n") == NULL)
		appendStringInfo(&buf, "-- SET search_path = %s; SET TimeZone = %s;\n",
						 sync->search_path, quote_literal_cstr(sync->time_zone));
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
	if (sync->mode != MODE_UPSERT)
		append_argument(&buf, "mode", act_sync_mode_name(sync->mode));
	if (sync->on_removed != REMOVED_IGNORE || sync->mode == MODE_MIRROR)
		append_argument(&buf, "on_removed", act_on_removed_name(sync->on_removed));
	if (strcmp(sync->schedule, "manual") != 0)
		append_argument(&buf, "schedule", sync->schedule);
	if (OidIsValid(sync->owner))
		append_argument(&buf, "owner", quote_identifier(GetUserNameFromId(sync->owner, false)));
	if (strcmp(sync->options_text, "{}") != 0)
		append_argument(&buf, "options", sync->options_text);
	appendStringInfoString(&buf, ");");
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
