/*-------------------------------------------------------------------------
 *
 * row_settle.c
 *	  SQL-callable: settle_row(), a person says what became of a request whose
 *	  answer was lost.
 *
 * In the caller's transaction, as the sync's owner.  'accepted' does what the
 * answer would have done; 'resend' lets the next run ask once more.  Until
 * when that request may still be applied is kept: a person who looks it up
 * sees only that it was not yet.
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
#include "nearest.h"
#include "reference.h"
#include "snapshot.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_settle_row);

#define EXAMPLE "SELECT activate.settle_row('customer_health', '42', 'accepted');"
#define CHOICES "'accepted': the destination has it; 'resend': it does not, and it is sent once more."

static void
update_row(const NamedRows *rows, const char *set, const char *external_id)
{
	SqlArgument args[] = {
		{JSONBOID, JsonbPGetDatum(rows->keys), false},
		{TIMESTAMPTZOID, TimestampTzGetDatum(rows->now), false},
		SQL_TEXT(external_id),
	};
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s AS s SET %s", act_sync_table_name(rows->sync), set);
	act_named_rows_append_keys(&sql, rows);
	appendStringInfoString(&sql, " WHERE ");
	act_named_rows_append_match(&sql, rows);
	if (act_sql(SPI_OK_UPDATE, sql.data, lengthof(args), args) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the row of sync \"%s\" went while it was settled", rows->sync->name),
				 errhint("Look at it again: SELECT * FROM activate.pending WHERE sync = %s;",
						 quote_literal_cstr(rows->sync->name))));
}

/* The version that was tried is what the destination has. */
static void
accept(const NamedRows *rows, const NamedRow *row, const char *external_id)
{
	if (!act_row_op_removes(row->tried_op))
		update_row(rows, "activate_fingerprint = s.activate_tried, activate_accepted_at = $2,"
				   " activate_external_id = COALESCE($3, s.activate_external_id), activate_state = 'accepted',"
				   " activate_in_doubt = false, activate_tried = NULL, activate_op = NULL,"
				   " activate_change_id = NULL, activate_attempts = 0, activate_first_at = NULL,"
				   " activate_last_at = NULL, activate_next_attempt_at = NULL, activate_http_status = NULL,"
				   " activate_code = NULL, activate_message = NULL, activate_missing_since = NULL,"
				   " activate_field_hashes = NULL, activate_payload = NULL", external_id);
	else if (act_row_op_keeps(row->tried_op))
		update_row(rows, "activate_state = 'removed'," ACT_SNAPSHOT_NOTHING_THERE, NULL);
	else
		/* The next run forgets it, when nothing of it can arrive any more. */
		update_row(rows, "activate_state = 'gone', activate_external_id = NULL, activate_remembered = NULL," ACT_SNAPSHOT_NOTHING_THERE, NULL);
}

static void
require_doubt(const Sync *sync, const NamedRow *row)
{
	const char *name = quote_literal_cstr(sync->name);
	const char *key = quote_literal_cstr(row->key);

	if (row->in_doubt)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("nothing is to be decided about row %s of sync \"%s\": it is %s", row->key, sync->name,
					act_state_name(row->state)),
			 errdetail("Only rows whose answer was lost are settled."),
			 row->state == STATE_REJECTED || row->state == STATE_REFUSED || row->state == STATE_ABSENT ?
			 errhint("To have it tried again: SELECT activate.retry_rows(%s, '[%s]');", name, row->key) :
			 errhint("SELECT * FROM activate.explain_row(%s, %s);", name, key)));
}

/* What 'accepted' takes for granted. */
static void
require_tried(const Sync *sync, const NamedRow *row, const char *external_id)
{
	if (!row->has_tried || row->tried_op == ROW_OP_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("it is not known what the destination may have of row %s of sync \"%s\"", row->key, sync->name),
				 errdetail("The row was put in doubt as a whole, not by a request of its own."),
				 errhint("The next run sends it; for it to count as sent as it is now: SELECT activate.reset_sync(%s, 'baseline');",
						 quote_literal_cstr(sync->name))));
	if (external_id != NULL && act_row_op_removes(row->tried_op))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("row %s of sync \"%s\" was to be removed, so it gets no external_id", row->key, sync->name)));
}

static bool
parse_how(const char *how)
{
	static const char *const choices[] = {"accepted", "resend", NULL};
	const char *nearest;

	if (strcmp(how, choices[0]) == 0 || strcmp(how, choices[1]) == 0)
		return strcmp(how, choices[0]) == 0;
	nearest = act_nearest_name(how, choices);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown way \"%s\" to settle a row", how),
			 nearest ? errhint("Perhaps you meant '%s'.", nearest) : errhint(CHOICES)));
	return false;
}

static void
settle(Sync *sync, Jsonb *key, bool accepted, const char *external_id)
{
	NamedRows	rows;
	NamedRow   *row;
	int			count;

	act_named_rows_enter(&rows, sync, act_key_argument_one(key));
	row = act_named_rows_look(&rows, false, &count);
	require_doubt(sync, row);
	if (accepted)
	{
		require_tried(sync, row, external_id);
		accept(&rows, row, external_id);
	}
	else
		update_row(&rows, "activate_state = 'doubt', activate_attempts = 0, activate_next_attempt_at = $2,"
				   " activate_missing_since = NULL", NULL);
	act_named_rows_leave(&rows);
	act_event_record("row_settled", "info", sync, 0,
					 psprintf("row %s of sync \"%s\" was settled by %s: %s", row->key, sync->name,
							  GetUserNameFromId(GetUserId(), false),
							  accepted ? "the destination has it" : "it is sent once more"), NULL);
	if (!accepted)
		act_named_rows_tell_next(sync);
	else if (!act_row_op_removes(row->tried_op))
		act_reference_note_ids(sync);
}

/* activate.settle_row(name text, key jsonb, how text, external_id text) */
Datum
act_settle_row(PG_FUNCTION_ARGS)
{
	char	   *external_id = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	bool		accepted;
	Sync	   *sync;

	act_require_argument(PG_ARGISNULL(0), "name", EXAMPLE);
	act_require_argument(PG_ARGISNULL(1), "key", EXAMPLE);
	act_require_argument(PG_ARGISNULL(2), "how", CHOICES);
	accepted = parse_how(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (external_id != NULL && (!accepted || external_id[0] == '\0'))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("external_id is the id that the destination gave a row that it has"),
				 errhint("Give it with 'accepted', or leave it out.")));
	SPI_connect();
	sync = act_sync_load_locked(text_to_cstring(PG_GETARG_TEXT_PP(0)), false, false);
	if (sync->mode == MODE_REPLACE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a row of sync \"%s\" cannot be settled: mode replace sends all rows or none", sync->name),
				 errhint("CALL activate.run_sync(%s); sends them all.", quote_literal_cstr(sync->name))));
	settle(sync, PG_GETARG_JSONB_P(1), accepted, external_id);
	SPI_finish();
	PG_RETURN_VOID();
}
