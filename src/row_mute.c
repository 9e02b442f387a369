/*-------------------------------------------------------------------------
 *
 * row_mute.c
 *	  SQL-callable: mute_row() and unmute_row().
 *
 * That a row is muted stands in the sync's table, by its key: so it survives
 * whatever becomes of definition and model, and costs a diff nothing but for
 * the rows that differ.  A key that was never sent gets a row in state gone.
 * In the caller's transaction, as the sync's owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "definition.h"
#include "event.h"
#include "key_argument.h"
#include "named_row.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_mute_row);
PG_FUNCTION_INFO_V1(act_unmute_row);

#define MUTE_EXAMPLE "SELECT activate.mute_row('customer_health', '42', 'asked not to be contacted');"
#define UNMUTE_EXAMPLE "SELECT activate.unmute_row('customer_health', '42');"

static void
mute(const NamedRows *rows, const char *user, const char *reason)
{
	SqlArgument args[] = {
		{JSONBOID, JsonbPGetDatum(rows->keys), false},
		{TIMESTAMPTZOID, TimestampTzGetDatum(rows->now), false},
		SQL_TEXT(user),
		SQL_TEXT(reason),
	};
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s AS s (", act_sync_table_name(rows->sync));
	act_named_rows_append_columns(&sql, rows);
	appendStringInfoString(&sql, ", activate_state, activate_muted_at, activate_muted_by, activate_muted_reason) SELECT ");
	for (int i = 1; i <= rows->sync->nkeys; i++)
		appendStringInfo(&sql, "w.k%d, ", i);
	appendStringInfoString(&sql, "'gone', $2, $3, $4");
	act_named_rows_append_keys(&sql, rows);
	appendStringInfoString(&sql, " ON CONFLICT (");
	act_named_rows_append_columns(&sql, rows);
	appendStringInfoString(&sql, ") DO UPDATE SET activate_muted_at = EXCLUDED.activate_muted_at,"
						   " activate_muted_by = EXCLUDED.activate_muted_by,"
						   " activate_muted_reason = EXCLUDED.activate_muted_reason");
	act_sql(SPI_OK_INSERT, sql.data, lengthof(args), args);
}

/* What changed meanwhile is due; where nothing did, the run finds that out. */
static bool
unmute(const NamedRows *rows)
{
	SqlArgument args[] = {
		{JSONBOID, JsonbPGetDatum(rows->keys), false},
		{TIMESTAMPTZOID, TimestampTzGetDatum(rows->now), false},
	};
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s AS s SET activate_muted_at = NULL, activate_muted_by = NULL,"
					 " activate_muted_reason = NULL,"
					 " activate_state = CASE s.activate_state WHEN 'skipped' THEN 'doubt' ELSE s.activate_state END,"
					 " activate_next_attempt_at = CASE WHEN s.activate_state IN ('skipped', 'gone', 'doubt') THEN $2"
					 " ELSE s.activate_next_attempt_at END",
					 act_sync_table_name(rows->sync));
	act_named_rows_append_keys(&sql, rows);
	appendStringInfoString(&sql, " WHERE s.activate_muted_at IS NOT NULL AND ");
	act_named_rows_append_match(&sql, rows);
	return act_sql(SPI_OK_UPDATE, sql.data, lengthof(args), args) > 0;
}

/* activate.mute_row(name text, key jsonb, reason text) */
Datum
act_mute_row(PG_FUNCTION_ARGS)
{
	char	   *reason = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	char	   *user = GetUserNameFromId(GetUserId(), false);
	Sync	   *sync;
	NamedRows	rows;
	NamedRow   *row;
	int			count;

	act_require_argument(PG_ARGISNULL(0), "name", MUTE_EXAMPLE);
	act_require_argument(PG_ARGISNULL(1), "key", MUTE_EXAMPLE);
	SPI_connect();
	sync = act_sync_load_locked(text_to_cstring(PG_GETARG_TEXT_PP(0)), false, false);
	if (sync->mode == MODE_REPLACE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a row of sync \"%s\" cannot be muted: mode replace sends all rows or none", sync->name),
				 errhint("Leave the row out of the model.")));
	act_named_rows_enter(&rows, sync, act_key_argument_one(PG_GETARG_JSONB_P(1)));
	row = act_named_rows_look(&rows, true, &count);
	mute(&rows, user, reason);
	act_named_rows_leave(&rows);
	act_event_record("row_muted", "info", sync, 0,
					 psprintf("row %s of sync \"%s\" was muted by %s%s%s", row->key, sync->name, user,
							  reason ? ": " : "", reason ? reason : ""), NULL);
	if (row->muted)
		ereport(NOTICE,
				(errmsg("row %s of sync \"%s\" was muted already", row->key, sync->name)));
	SPI_finish();
	PG_RETURN_VOID();
}

/* activate.unmute_row(name text, key jsonb) */
Datum
act_unmute_row(PG_FUNCTION_ARGS)
{
	Sync	   *sync;
	NamedRows	rows;
	NamedRow   *row;
	int			count;
	bool		muted;

	act_require_argument(PG_ARGISNULL(0), "name", UNMUTE_EXAMPLE);
	act_require_argument(PG_ARGISNULL(1), "key", UNMUTE_EXAMPLE);
	SPI_connect();
	sync = act_sync_load_locked(text_to_cstring(PG_GETARG_TEXT_PP(0)), false, false);
	act_named_rows_enter(&rows, sync, act_key_argument_one(PG_GETARG_JSONB_P(1)));
	row = act_named_rows_look(&rows, true, &count);
	muted = unmute(&rows);
	act_named_rows_leave(&rows);
	if (!muted)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("row %s of sync \"%s\" is not muted", row->key, sync->name),
				 errhint("SELECT key, message FROM activate.pending WHERE sync = %s AND code = 'muted'; lists those that are and differ.",
						 quote_literal_cstr(sync->name))));
	act_event_record("row_unmuted", "info", sync, 0,
					 psprintf("row %s of sync \"%s\" was unmuted by %s", row->key, sync->name,
							  GetUserNameFromId(GetUserId(), false)), NULL);
	act_named_rows_tell_next(sync);
	SPI_finish();
	PG_RETURN_VOID();
}
