/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  SQL-callable: explain_row(), why a row is or is not at the destination.
 *
 * The decision is the engine's own, made for this one key; what is told about
 * earlier tries stands in the sync's table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "definition.h"
#include "fault.h"
#include "identity.h"
#include "json_text.h"
#include "key_argument.h"
#include "preview.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_explain_row);

/* What the snapshot's row says, in the order of the query that reads it. */
typedef enum StoredColumn
{
	STORED_STATE,
	STORED_ACCEPTED_AT,
	STORED_EXTERNAL_ID,
	STORED_OP,
	STORED_ATTEMPTS,
	STORED_LAST_AT,
	STORED_NEXT_ATTEMPT_AT,
	STORED_HTTP_STATUS,
	STORED_CODE,
	STORED_MESSAGE,
	STORED_PAYLOAD,
	STORED_MUTED_AT,			/* from here on in words only, or elsewhere */
	STORED_MUTED_BY,
	STORED_MUTED_REASON,
	STORED_REQUEST_ID
} StoredColumn;
#define STORED_COLUMNS (STORED_REQUEST_ID + 1)

/* Of explain_row(): what is stored up to the payload, with in_sync; three before, five after. */
#define EXPLAIN_COLUMNS (3 + STORED_PAYLOAD + 1 + 5)

typedef struct Explanation
{
	const Sync *sync;
	DiffKey		key;
	bool		in_model;
	bool		claimed;
	const Connector *connector; /* NULL: it could not be read */
	Datum		stored[STORED_COLUMNS];
	bool		stored_nulls[STORED_COLUMNS];
} Explanation;

/* ------------------------------------------------------------ what is stored */

/* By its place, under the snapshot that the diff saw it with. */
static void
read_stored(Explanation *explanation)
{
	const Sync *sync = explanation->sync;
	Oid			types[] = {TIDOID};
	Datum		place[] = {PointerGetDatum(&explanation->key.place)};
	Identity	identity;
	int			result;

	memset(explanation->stored_nulls, true, sizeof(explanation->stored_nulls));
	if (!explanation->key.state.exists)
		return;
	act_identity_owner(&identity, sync->owner, NULL, NULL);
	result = SPI_execute_with_args(psprintf("SELECT activate_state, activate_accepted_at, activate_external_id,"
											" activate_op, activate_attempts, activate_last_at,"
											" activate_next_attempt_at, activate_http_status, activate_code,"
											" activate_message, activate_payload, activate_muted_at,"
											" activate_muted_by, activate_muted_reason, activate_request_id"
											" FROM %s WHERE ctid = $1",
											act_sync_table_name(sync)), 1, types, place, NULL, true, 1);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of the row", SPI_result_code_string(result));
	for (int i = 0; SPI_processed == 1 && i < STORED_COLUMNS; i++)
		explanation->stored[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1,
											   &explanation->stored_nulls[i]);
	act_identity_leave(&identity);
}

/* Whether it stands in a batch whose answer was not settled yet. */
static bool
is_claimed(const Sync *sync, const Row *row)
{
	Datum	   *keys = palloc(sizeof(Datum) * sync->nkeys);
	Identity	identity;
	bool		found;

	for (int i = 0; i < sync->nkeys; i++)
	{
		if (row->key_values[i] == NULL)
			return false;
		keys[i] = CStringGetTextDatum(row->key_values[i]);
	}
	act_identity_extension(&identity);
	{
		SqlArgument args[] = {
			SQL_INT8(sync->sync_id),
			SQL_INT4(sync->nkeys),
			{TEXTARRAYOID, PointerGetDatum(construct_array(keys, sync->nkeys, TEXTOID, -1, false, TYPALIGN_INT)), false}
		};

		found = act_sql(SPI_OK_SELECT,
						"SELECT 1 FROM activate.claim AS c,"
						" pg_catalog.generate_series(1, pg_catalog.cardinality(c.key_values), $2) AS i"
						" WHERE c.sync_id = $1 AND c.key_values[i:i + $2 - 1] = $3"
						" UNION ALL SELECT 1 FROM activate.job AS j,"
						" pg_catalog.generate_series(1, pg_catalog.cardinality(j.key_values), $2) AS i"
						" WHERE j.sync_id = $1 AND j.key_values[i:i + $2 - 1] = $3 LIMIT 1",
						lengthof(args), args) > 0;
	}
	act_identity_leave(&identity);
	return found;
}

static char *
stored_text(const Explanation *explanation, StoredColumn column)
{
	return explanation->stored_nulls[column] ? NULL : TextDatumGetCString(explanation->stored[column]);
}

/* ------------------------------------------------------------------ in words */

/* To the second, in the session's time zone. */
static char *
time_text(TimestampTz time)
{
	return pstrdup(timestamptz_to_str(time - time % USECS_PER_SEC));
}

static char *
stored_time(const Explanation *explanation, StoredColumn column)
{
	return explanation->stored_nulls[column] ? "an unknown time" :
		time_text(DatumGetTimestampTz(explanation->stored[column]));
}

/* HTTP 422 INVALID_EMAIL: the destination's words */
static char *
answer_text(const Explanation *explanation)
{
	char	   *code = stored_text(explanation, STORED_CODE);
	char	   *message = stored_text(explanation, STORED_MESSAGE);
	StringInfoData buf;

	initStringInfo(&buf);
	if (!explanation->stored_nulls[STORED_HTTP_STATUS])
		appendStringInfo(&buf, "HTTP %d", DatumGetInt32(explanation->stored[STORED_HTTP_STATUS]));
	/* Where the whole request was refused the message says so itself. */
	if (code == NULL && message != NULL && strncmp(message, buf.data, buf.len) == 0)
		return message;
	if (code != NULL)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? " " : "", code);
	if (message != NULL)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? ": " : "", message);
	return buf.len > 0 ? buf.data : "no reason given";
}

/* When a row that left the model is removed; 0: the next run starts the time. */
static TimestampTz
removal_time(const Explanation *explanation)
{
	TimestampTz since = explanation->key.state.missing_since;

	return since == 0 ? 0 : since + explanation->sync->options.remove_after_ms * 1000;
}

static char *
next_action(const Explanation *explanation)
{
	const Decision *decision = &explanation->key.decision;
	const char *op = act_row_op_sent_name(decision->op);

	if (!explanation->key.found || explanation->key.problem != NULL)
		return "nothing";
	switch (decision->action)
	{
		case ACTION_SEND:
			return psprintf("send as %s", op);
		case ACTION_DELAY:
		case ACTION_ABSENT:
			return psprintf("send as %s after %s", op, time_text(decision->until));
		case ACTION_LEAVING:
			return removal_time(explanation) == 0 ?
				psprintf("send as %s once remove_after has passed", op) :
				psprintf("send as %s after %s", op, time_text(removal_time(explanation)));
		case ACTION_SKIP:
			return explanation->key.state.muted ? "nothing until it is unmuted" : "nothing until it changes";
		case ACTION_UNKNOWN:
			return "wait for a person";
		case ACTION_WAIT:
			return "wait for the row that it refers to";
		case ACTION_NONE:
		case ACTION_MARK:
			break;
	}
	return "nothing";
}

static void
explain_unchanged(StringInfo buf, const Explanation *explanation)
{
	const RowState *state = &explanation->key.state;

	if (explanation->in_model && state->has_fingerprint &&
		memcmp(state->fingerprint, explanation->key.fingerprint, ACT_DIGEST_LEN) == 0)
		appendStringInfo(buf, "The destination accepted these very values at %s.",
						 stored_time(explanation, STORED_ACCEPTED_AT));
	else if (explanation->in_model)
		appendStringInfo(buf, "The destination accepted the row at %s, and mode %s never sends a key again.",
						 stored_time(explanation, STORED_ACCEPTED_AT), act_sync_mode_name(explanation->sync->mode));
	else if (!state->there && !state->in_doubt)
		appendStringInfoString(buf, state->state == STATE_REMOVED ?
							   "The row left the model, and the destination removed it." :
							   "The row left the model before the destination accepted it.");
	else
		appendStringInfo(buf, "The row left the model, and the destination keeps what it has: mode is %s, on_removed %s.",
						 act_sync_mode_name(explanation->sync->mode),
						 act_on_removed_name(explanation->sync->on_removed));
}

/* email, score */
static void
append_changed(StringInfo buf, const Explanation *explanation)
{
	const char *next = explanation->key.row->changed;
	const char *end;
	JsonMember	member;
	StringInfoData names;

	if (next == NULL)
		return;
	end = next + strlen(next);
	initStringInfo(&names);
	while (act_json_next_member(&next, end, &member))
	{
		if (names.len > 0)
			appendStringInfoString(&names, ", ");
		act_json_append_unescaped(&names, member.name, member.name_len);
	}
	if (names.len > 0)
		appendStringInfo(buf, " Fields that differ: %s.", act_text_to_server(names.data));
}

static void
explain_send(StringInfo buf, const Explanation *explanation)
{
	const RowState *state = &explanation->key.state;
	const Decision *decision = &explanation->key.decision;
	char	   *way;

	if (decision->in_doubt && !state->has_tried)
		appendStringInfo(buf, "What the destination has is not known: %s.",
						 stored_text(explanation, STORED_MESSAGE) ? stored_text(explanation, STORED_MESSAGE) : "the row was put in doubt");
	else if (decision->in_doubt)
		appendStringInfo(buf, "The answer to a request of %s was lost, so what the destination has is not known.",
						 stored_time(explanation, STORED_LAST_AT));
	else if (decision->reuse_change_id)
		appendStringInfo(buf, "The destination refused it at %s (%s), and the next attempt is due.",
						 stored_time(explanation, STORED_LAST_AT), answer_text(explanation));
	else if (!explanation->in_model)
		appendStringInfoString(buf, "The row left the model, and the destination still has it.");
	else if (state->has_tried)
		appendStringInfo(buf, "The destination refused other values of it at %s (%s); the row has changed since.",
						 stored_time(explanation, STORED_LAST_AT), answer_text(explanation));
	else if (!state->exists)
		appendStringInfoString(buf, "It has not been sent yet.");
	else if (!state->there)
		appendStringInfoString(buf, "The destination does not have it (any more).");
	else if (!state->has_fingerprint)
		appendStringInfoString(buf, "It is to be sent again, whatever was accepted.");
	else
		appendStringInfo(buf, "Its values differ from those that were accepted at %s.",
						 stored_time(explanation, STORED_ACCEPTED_AT));
	append_changed(buf, explanation);
	appendStringInfo(buf, " The next run sends it as %s.", act_row_op_sent_name(decision->op));
	way = explanation->connector == NULL || explanation->key.row == NULL ? NULL :
		act_connector_row_way(explanation->connector, explanation->key.row);
	if (way != NULL)
		appendStringInfo(buf, " %s", act_text_to_server(way));
}

static bool
never_again(const Sync *sync)
{
	return sync->mode == MODE_INSERT || sync->mode == MODE_APPEND;
}

/* Versions that were tried and are not sent by the next run. */
static void
explain_refused(StringInfo buf, const Explanation *explanation)
{
	const RowState *state = &explanation->key.state;
	const char *op = act_row_op_sent_name(explanation->key.decision.op);
	const char *at = stored_time(explanation, STORED_LAST_AT);
	const char *answer = answer_text(explanation);

	if (explanation->key.decision.late)
	{
		appendStringInfo(buf, "An earlier request of it, whose answer was lost, may still be applied, and would be over a newer one."
						 " The first run after %s sends it.", time_text(explanation->key.decision.until));
		return;
	}
	switch (explanation->key.decision.action)
	{
		case ACTION_DELAY:
			appendStringInfo(buf, "The destination refused %s at %s (%s), attempt %d of %d.", op, at, answer,
							 state->attempts, explanation->sync->options.max_attempts);
			break;
		case ACTION_ABSENT:
			appendStringInfo(buf, "The destination had no record for %s at %s.", op, at);
			break;
		case ACTION_UNKNOWN:
			appendStringInfo(buf, "The answer to %s at %s was lost, and to ask twice is not safe.", op, at);
			break;
		default:
			appendStringInfo(buf, state->state == STATE_REFUSED ?
							 "The destination refused %s for good at %s (%s)." :
							 "The destination refused %s at %s (%s), and all attempts are used: it is parked.", op, at, answer);
			break;
	}
	appendStringInfoString(buf, " It is sent ");
	if (explanation->key.decision.action == ACTION_DELAY || explanation->key.decision.action == ACTION_ABSENT)
		appendStringInfo(buf, "by the first run after %s, ", time_text(explanation->key.decision.until));
	if (explanation->sync->mode == MODE_REPLACE)
	{
		appendStringInfoString(buf, "or when any row changes, with all the others.");
		return;
	}
	appendStringInfo(buf, "%sby CALL activate.run_sync(%s, keys => %s).",
					 explanation->key.decision.action == ACTION_UNKNOWN && never_again(explanation->sync) ?
					 "only " : "when it changes, or ",
					 quote_literal_cstr(explanation->sync->name),
					 quote_literal_cstr(psprintf("[%s]", act_text_to_server(explanation->key.row->key))));
	if (explanation->key.decision.action == ACTION_UNKNOWN)
		appendStringInfo(buf, " To say what became of it: SELECT activate.settle_row(%s, %s, 'accepted'); or 'resend'.",
						 quote_literal_cstr(explanation->sync->name),
						 quote_literal_cstr(act_text_to_server(explanation->key.row->key)));
}

/* It is muted, and perhaps nothing would be sent anyway. */
static void
explain_muted(StringInfo buf, const Explanation *explanation)
{
	char	   *reason = stored_text(explanation, STORED_MUTED_REASON);

	appendStringInfo(buf, "It is muted by %s since %s%s%s: it is not sent, changed or removed before activate.unmute_row(%s, %s).",
					 stored_text(explanation, STORED_MUTED_BY) ? stored_text(explanation, STORED_MUTED_BY) : "somebody",
					 stored_time(explanation, STORED_MUTED_AT), reason ? ", " : "", reason ? reason : "",
					 quote_literal_cstr(explanation->sync->name),
					 quote_literal_cstr(act_text_to_server(explanation->key.row->key)));
}

static bool
awaits_baseline(const Explanation *explanation)
{
	return explanation->in_model && explanation->key.problem == NULL &&
		explanation->sync->first_run_pending && explanation->sync->options.first_run == FIRST_RUN_BASELINE;
}

static char *
explain(const Explanation *explanation)
{
	const Sync *sync = explanation->sync;
	const DiffKey *key = &explanation->key;
	StringInfoData buf;

	initStringInfo(&buf);
	if (!key->found)
		appendStringInfoString(&buf, "Neither the model has a row with this key nor anything that was sent.");
	else if (key->state.muted)
		explain_muted(&buf, explanation);
	else if (awaits_baseline(explanation))
		appendStringInfoString(&buf, "The first run takes it, as it is then, as sent: option first_run is baseline.");
	else if (key->problem != NULL)
		appendStringInfo(&buf, "It cannot be sent: %s. What the destination has of it stays.",
						 act_text_to_server(key->problem));
	else
	{
		switch (key->decision.action)
		{
			case ACTION_NONE:
			case ACTION_MARK:
				explain_unchanged(&buf, explanation);
				break;
			case ACTION_SEND:
				explain_send(&buf, explanation);
				break;
			case ACTION_WAIT:
				appendStringInfo(&buf, "It %s. A run sends it once that is there.",
								 act_text_to_server(key->row->message));
				break;
			case ACTION_LEAVING:
				appendStringInfo(&buf, "The row left the model; the destination keeps it for remove_after, lest it come back.");
				break;
			default:
				explain_refused(&buf, explanation);
				break;
		}
	}
	if (explanation->claimed)
		appendStringInfoString(&buf, " A request with it is under way; if the run that sent it has died, the next run finds the row in doubt.");
	if (sync->paused)
		appendStringInfo(&buf, " The sync is paused%s%s: no run begins before activate.resume_sync(%s).",
						 sync->pause_reason ? ", " : "", sync->pause_reason ? sync->pause_reason : "",
						 quote_literal_cstr(sync->name));
	return buf.data;
}

/* The destination has what the sync wants it to have. */
static bool
is_in_sync(const Explanation *explanation)
{
	const RowState *state = &explanation->key.state;

	if (explanation->in_model)
		return explanation->key.problem == NULL && state->has_fingerprint && !state->in_doubt &&
			memcmp(state->fingerprint, explanation->key.fingerprint, ACT_DIGEST_LEN) == 0;
	return explanation->key.decision.action == ACTION_NONE || explanation->key.decision.action == ACTION_MARK;
}

/* ------------------------------------------------------------------ the row */

static void
put_explanation(Preview *preview, const Explanation *explanation)
{
	const DiffKey *key = &explanation->key;
	bool		has_payload = key->found && key->problem == NULL &&
		(explanation->in_model || key->decision.action == ACTION_SEND);
	Datum		values[EXPLAIN_COLUMNS];
	bool		nulls[EXPLAIN_COLUMNS] = {false};
	int			column = 3;

	values[0] = BoolGetDatum(explanation->in_model);
	nulls[1] = key->problem == NULL;
	values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(act_text_to_server(key->problem));
	nulls[2] = !has_payload || key->row->fields == NULL;
	values[2] = nulls[2] ? (Datum) 0 : act_preview_json(key->row->fields);
	for (int i = 0; i < STORED_PAYLOAD; i++)
	{
		values[column] = explanation->stored[i];
		nulls[column++] = explanation->stored_nulls[i];
		if (i == STORED_EXTERNAL_ID)
		{
			values[column] = BoolGetDatum(is_in_sync(explanation));
			nulls[column++] = !key->found;
		}
	}
	values[column++] = CStringGetTextDatum(next_action(explanation));
	values[column++] = CStringGetTextDatum(explain(explanation));
	values[column] = explanation->stored[STORED_PAYLOAD];
	nulls[column++] = explanation->stored_nulls[STORED_PAYLOAD];
	values[column] = act_preview_changes(key->found ? key->row->changed : NULL, &nulls[column]);
	column++;
	values[column] = explanation->stored[STORED_REQUEST_ID];
	nulls[column++] = explanation->stored_nulls[STORED_REQUEST_ID];
	Assert(column == lengthof(values));
	act_preview_put(preview, values, nulls);
}

/* activate.explain_row(name text, key jsonb) */
Datum
act_explain_row(PG_FUNCTION_ARGS)
{
	Explanation explanation = {0};
	Preview    *preview;
	Jsonb	   *keys;

	act_require_argument(PG_ARGISNULL(0), "name", "SELECT * FROM activate.explain_row('customer_health', '42');");
	act_require_argument(PG_ARGISNULL(1), "key", "SELECT * FROM activate.explain_row('customer_health', '42');");
	preview = act_preview_begin(fcinfo, "SELECT * FROM activate.explain_row('customer_health', '42');");
	explanation.sync = preview->run.sync;
	keys = act_key_argument_one(PG_GETARG_JSONB_P(1));
	act_key_argument_check(explanation.sync, keys);
	preview->run.model = act_model_resolve(preview->run.sync);
	act_preview_tell_model(preview);
	act_diff_key(preview->run.model, keys, &explanation.key);
	explanation.connector = preview->run.model->connector;
	explanation.in_model = explanation.key.rows > 0;
	read_stored(&explanation);
	explanation.claimed = explanation.key.found && is_claimed(explanation.sync, explanation.key.row);
	put_explanation(preview, &explanation);
	act_preview_end(preview);
	return (Datum) 0;
}
