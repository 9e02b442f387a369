/*-------------------------------------------------------------------------
 *
 * row_retry.c
 *	  SQL-callable: retry_rows(), refused rows are tried again at once.
 *
 * In the caller's transaction, as the sync's owner.  A run may be under way:
 * its rows are not waited for, and where nobody named keys those that it is
 * writing this very moment are left out, which it is trying anyway.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "definition.h"
#include "key_argument.h"
#include "named_row.h"
#include "transaction.h"
#include "unit.h"

PG_FUNCTION_INFO_V1(act_retry_rows);

#define EXAMPLE "SELECT activate.retry_rows('customer_health', '[42]');"

/* That a row is not accepted is said, too, since there is an index of those. */
#define TO_RETRY "s.activate_state <> 'accepted' AND s.activate_muted_at IS NULL" \
	" AND s.activate_state IN ('rejected', 'refused', 'absent', 'doubt')"

static void
refuse_others(const NamedRows *rows)
{
	int			count;
	NamedRow   *found = act_named_rows_look(rows, false, &count);
	const char *name = quote_literal_cstr(rows->sync->name);

	for (int i = 0; i < count; i++)
	{
		if (found[i].muted)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("row %s of sync \"%s\" is muted", found[i].key, rows->sync->name),
					 errhint("SELECT activate.unmute_row(%s, %s);", name, quote_literal_cstr(found[i].key))));
		if (found[i].state == STATE_UNKNOWN)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("row %s of sync \"%s\" may have arrived already", found[i].key, rows->sync->name),
					 errdetail("The answer to its request was lost, and to ask twice is not safe."),
					 errhint("Look it up at the destination, and say what is there: SELECT activate.settle_row(%s, %s, 'accepted'); or 'resend'.",
							 name, quote_literal_cstr(found[i].key))));
	}
}

static int64
retry(const NamedRows *rows)
{
	const char *table = act_sync_table_name(rows->sync);
	SqlArgument args[] = {
		{JSONBOID, rows->keys != NULL ? JsonbPGetDatum(rows->keys) : (Datum) 0, rows->keys == NULL},
		{TIMESTAMPTZOID, TimestampTzGetDatum(rows->now), false}
	};
	StringInfoData sql;

	initStringInfo(&sql);
	if (rows->keys == NULL)
		appendStringInfo(&sql, "WITH p AS (SELECT s.ctid AS place FROM %s AS s WHERE " TO_RETRY
						 " FOR UPDATE SKIP LOCKED) ", table);
	/* One that was refused for good is, from now on, one that is tried again. */
	appendStringInfo(&sql, "UPDATE %s AS s SET activate_next_attempt_at = $2, activate_attempts = 0,"
					 " activate_state = CASE s.activate_state WHEN 'refused' THEN 'rejected' ELSE s.activate_state END",
					 table);
	if (rows->keys == NULL)
		appendStringInfoString(&sql, " WHERE s.ctid = ANY (ARRAY(SELECT p.place FROM p))");
	else
	{
		act_named_rows_append_keys(&sql, rows);
		appendStringInfoString(&sql, " WHERE " TO_RETRY " AND ");
		act_named_rows_append_match(&sql, rows);
	}
	return act_sql(SPI_OK_UPDATE, sql.data, lengthof(args), args);
}

static int64
count_unknown(const NamedRows *rows)
{
	act_sql(SPI_OK_SELECT, psprintf("SELECT count(*) FROM %s AS s WHERE s.activate_state = 'unknown'"
									" AND s.activate_muted_at IS NULL", act_sync_table_name(rows->sync)), 0, NULL);
	return act_sql_int64(0, 1);
}

static void
tell_unknown(const Sync *sync, int64 unknown)
{
	if (unknown > 0)
		ereport(NOTICE,
				(errmsg_plural("%lld row of sync \"%s\" may have arrived already and is not tried again",
							   "%lld rows of sync \"%s\" may have arrived already and are not tried again",
							   unknown, (long long) unknown, sync->name),
				 errhint("SELECT key FROM activate.pending WHERE sync = %s AND state = 'unknown'; and for each SELECT activate.settle_row(%s, key, 'accepted'); or 'resend'.",
						 quote_literal_cstr(sync->name), quote_literal_cstr(sync->name))));
}

/* activate.retry_rows(name text, keys jsonb) */
Datum
act_retry_rows(PG_FUNCTION_ARGS)
{
	Jsonb	   *keys = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	Sync	   *sync;
	NamedRows	rows;
	int64		count;
	int64		unknown = 0;

	act_require_argument(PG_ARGISNULL(0), "name", EXAMPLE);
	if (keys != NULL)
		act_key_argument_require_array(keys);
	SPI_connect();
	sync = act_sync_load_locked(text_to_cstring(PG_GETARG_TEXT_PP(0)), false, false);
	if (sync->mode == MODE_REPLACE && keys != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("sync \"%s\" sends all its rows or none: mode is replace", sync->name),
				 errhint("SELECT activate.retry_rows(%s);", quote_literal_cstr(sync->name))));
	act_named_rows_enter(&rows, sync, keys);
	if (keys != NULL)
		refuse_others(&rows);
	count = retry(&rows);
	if (keys == NULL)
		unknown = count_unknown(&rows);
	act_named_rows_leave(&rows);
	if (sync->mode == MODE_REPLACE)
		act_unit_retry(sync);
	tell_unknown(sync, unknown);
	if (count > 0)
		act_named_rows_tell_next(sync);
	SPI_finish();
	PG_RETURN_INT64(count);
}
