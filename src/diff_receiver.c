/*-------------------------------------------------------------------------
 *
 * diff_receiver.c
 *	  What becomes of each row that the diff's query keeps.
 *
 * Rows come in key order.  Those with one key form a group: identical ones
 * collapse, differing ones make the key invalid, which then is neither
 * changed nor removed.  The group's row is decided on (decision.c), rendered
 * and stored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "change_id.h"
#include "connector_object.h"
#include "diff_duplicates.h"
#include "diff_query.h"
#include "json_text.h"
#include "mapping.h"
#include "match.h"
#include "payload.h"
#include "reference.h"
#include "removal.h"

/* Removed rows that a held run's detail shows. */
#define REMOVED_EXAMPLES 3

/* Column of the query, from 0, by what follows keys, leaves and those of removals. */
static int
column(const DiffState *state, DiffColumn which)
{
	return state->model->sync->nkeys + state->model->nleaves + act_removal_leaves(state->model) + which;
}

static bool
column_isnull(const DiffState *state, TupleTableSlot *slot, DiffColumn which)
{
	return slot->tts_isnull[column(state, which)];
}

static Datum
column_value(const DiffState *state, TupleTableSlot *slot, DiffColumn which)
{
	return slot->tts_values[column(state, which)];
}

Datum
act_diff_value(const DiffState *state, TupleTableSlot *slot, DiffColumn which, bool *isnull)
{
	*isnull = column_isnull(state, slot, which);
	return column_value(state, slot, which);
}

static bool
column_digest(const DiffState *state, TupleTableSlot *slot, DiffColumn which, uint8 *digest)
{
	if (column_isnull(state, slot, which))
		return false;
	memcpy(digest, DatumGetUUIDP(column_value(state, slot, which))->data, ACT_DIGEST_LEN);
	return true;
}

static TimestampTz
column_time(const DiffState *state, TupleTableSlot *slot, DiffColumn which)
{
	return column_isnull(state, slot, which) ? 0 :
		DatumGetTimestampTz(column_value(state, slot, which));
}

static void
read_state(const DiffState *state, TupleTableSlot *slot, RowState *row)
{
	text	   *name;
	char	   *op;

	memset(row, 0, sizeof(*row));
	row->exists = !column_isnull(state, slot, DIFF_CTID);
	if (!row->exists)
		return;
	row->state = STATE_DOUBT;
	if (!column_isnull(state, slot, DIFF_STATE))
	{
		name = DatumGetTextPP(column_value(state, slot, DIFF_STATE));
		row->state = act_state_parse(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	}
	row->in_doubt = column_isnull(state, slot, DIFF_IN_DOUBT) ||
		DatumGetBool(column_value(state, slot, DIFF_IN_DOUBT));
	row->there = !column_isnull(state, slot, DIFF_ACCEPTED_AT);
	row->has_fingerprint = column_digest(state, slot, DIFF_OLD_FINGERPRINT, row->fingerprint);
	row->has_tried = column_digest(state, slot, DIFF_TRIED, row->tried) &&
		column_digest(state, slot, DIFF_CHANGE_ID, row->change_id) &&
		!column_isnull(state, slot, DIFF_TRIED_OP);
	if (row->has_tried)
	{
		op = TextDatumGetCString(column_value(state, slot, DIFF_TRIED_OP));
		row->tried_op = act_row_op_parse(op);
	}
	if (!column_isnull(state, slot, DIFF_ATTEMPTS))
		row->attempts = DatumGetInt32(column_value(state, slot, DIFF_ATTEMPTS));
	row->next_attempt_at = column_time(state, slot, DIFF_NEXT_ATTEMPT_AT);
	row->missing_since = column_time(state, slot, DIFF_MISSING_SINCE);
	row->late_until = column_time(state, slot, DIFF_LATE_UNTIL);
	row->muted = !state->policy.as_unit && !column_isnull(state, slot, DIFF_MUTED_AT);
	if (state->model->sync->in_doubt)
		act_doubt_state(&state->policy, row);
}

static void
add_invalid(DiffState *state, const char *key, const char *code, const char *message, int64 rows)
{
	Diff	   *diff = state->diff;
	MemoryContext caller;
	InvalidRow *invalid;

	diff->counts.invalid += rows;
	if (list_length(diff->invalid) >= MAX_INVALID_EXAMPLES)
		return;
	caller = MemoryContextSwitchTo(state->seen.context);
	invalid = palloc(sizeof(InvalidRow));
	invalid->key = pstrdup(key);
	invalid->code = pstrdup(code);
	invalid->message = pstrdup(message);
	invalid->place = diff->counts.to_send;
	diff->invalid = lappend(diff->invalid, invalid);
	MemoryContextSwitchTo(caller);
}

static char *
group_differs_message(const DiffState *state)
{
	return psprintf("the key occurs " INT64_FORMAT " times with different values", state->group_size);
}

/* A few keys for whoever has to decide on a held run. */
static void
note_removed(DiffState *state, const Row *row)
{
	Diff	   *diff = state->diff;
	MemoryContext caller;

	if (list_length(diff->removed_keys) >= REMOVED_EXAMPLES)
		return;
	caller = MemoryContextSwitchTo(state->seen.context);
	diff->removed_keys = lappend(diff->removed_keys, pstrdup(row->key));
	MemoryContextSwitchTo(caller);
}

static void
count(DiffState *state, const Decision *decision, const Row *row)
{
	Diff	   *diff = state->diff;
	DiffCounts *counts = &diff->counts;

	switch (decision->cause)
	{
		case ROW_ADDED:
			counts->added++;
			break;
		case ROW_CHANGED:
			counts->changed++;
			if (!decision->in_doubt && decision->action != ACTION_WAIT && !state->group_muted)
				counts->changed_certain++;
			break;
		case ROW_REMOVED:
			counts->removed++;
			if (state->group_muted)
				break;
			if (decision->was_there)
				counts->removed_there++;
			note_removed(state, row);
			break;
	}
	switch (decision->action)
	{
		case ACTION_SEND:
			counts->to_send++;
			/* A version that was refused was let go before. */
			if (row->attempts == 0)
				act_diff_digest_row(diff->digest, row, false);
			if (state->max_rows > 0 && counts->to_send > state->max_rows)
			{
				counts->to_send--;
				counts->delayed++;
				counts->beyond++;
			}
			else if (state->keep_rows == 0 || state->match != NULL || counts->to_send <= state->keep_rows)
				act_diff_store(diff, diff->rows, row->op, row);
			break;
		case ACTION_DELAY:
			counts->delayed++;
			counts->refused_before += !decision->late;
			break;
		case ACTION_SKIP:
			counts->skipped++;
			counts->refused_before += !state->group_muted;
			break;
		case ACTION_ABSENT:
			counts->absent++;
			break;
		case ACTION_UNKNOWN:
			counts->unknown++;
			break;
		case ACTION_WAIT:
			counts->waiting++;
			break;
		default:
			break;
	}
}

/* For explain_row(): what the rest of the engine does not need to know. */
static void
keep_watched(DiffState *state)
{
	DiffKey    *watched = state->watched;
	const Row  *row = state->group_row;
	MemoryContext caller = MemoryContextSwitchTo(state->seen.context);

	watched->found = true;
	watched->rows = state->group_size;
	watched->decision = state->group_decision;
	memcpy(watched->fingerprint, state->group_fingerprint, ACT_DIGEST_LEN);
	watched->row = act_row_copy(row);
	if (state->group_problem != NULL)
	{
		watched->code = pstrdup(state->group_code);
		watched->problem = pstrdup(state->group_problem);
	}
	else if (state->group_differs)
	{
		watched->code = DUPLICATE_CODE;
		watched->problem = group_differs_message(state);
	}
	MemoryContextSwitchTo(caller);
}

/* The group is complete: its row is what the key needs. */
static void
close_group(DiffState *state)
{
	Diff	   *diff = state->diff;
	Row		   *row = state->group_row;
	Decision   *decision = &state->group_decision;

	if (!state->group_open)
		return;
	state->group_open = false;
	if (state->watched != NULL)
		keep_watched(state);

	if (state->group_problem != NULL)
		add_invalid(state, row->key, state->group_code, state->group_problem, Max(state->group_size, 1));
	else if (state->group_differs)
		add_invalid(state, row->key, DUPLICATE_CODE, group_differs_message(state), state->group_size);
	else
	{
		if (state->group_size > 1)
			diff->counts.duplicates += state->group_size - 1;
		if (decision->mark && !state->preview)
			act_diff_store(diff, diff->marks, decision->mark_state, row);
		switch (decision->action)
		{
			case ACTION_MARK:
				if (state->group_in_model)
					diff->counts.unchanged++;
				break;
			case ACTION_LEAVING:
				diff->counts.leaving++;
				if (decision->mark)
				{
					/* An approval is of these very rows, too. */
					diff->counts.leaving_first++;
					note_removed(state, row);
					act_diff_digest_row(diff->digest, row, false);
					act_diff_digest_row(diff->leaving_digest, row, false);
				}
				break;
			case ACTION_NONE:
				if (state->group_in_model)
					diff->counts.unchanged++;
				break;
			default:
				count(state, decision, row);
				break;
		}
	}
	MemoryContextReset(state->group_context);
}

static bool
same_key(const DiffState *state, TupleTableSlot *slot)
{
	for (int i = 0; i < state->model->sync->nkeys; i++)
	{
		if (slot->tts_isnull[i])
			return false;
		if (!DatumGetBool(FunctionCall2Coll(&state->key_equal[i], state->model->key_collations[i],
											state->group_key[i], slot->tts_values[i])))
			return false;
	}
	return true;
}

/* When the first of the rows in back-off is to be tried again. */
static void
note_next_attempt(DiffState *state)
{
	TimestampTz *first = &state->diff->next_attempt_at;

	if (state->group_decision.action == ACTION_DELAY || state->group_decision.action == ACTION_ABSENT)
		*first = *first == 0 ? state->group_decision.until : Min(*first, state->group_decision.until);
}

/*
 * A row whose reference has no id yet: that is written down, where it is not
 * yet, and what the destination has of the row stays.
 */
static void
wait_for_reference(DiffState *state, TupleTableSlot *slot, const RowState *row_state, char *waits_for)
{
	Decision   *decision = &state->group_decision;
	Row		   *row = state->group_row;
	char	   *before = NULL;

	if (row_state->exists && row_state->state == STATE_WAITING && !column_isnull(state, slot, DIFF_MESSAGE))
	{
		before = TextDatumGetCString(column_value(state, slot, DIFF_MESSAGE));
		before = pg_server_to_any(before, strlen(before), PG_UTF8);
	}
	decision->action = ACTION_WAIT;
	decision->mark = before == NULL || strcmp(before, waits_for) != 0;
	decision->mark_state = STATE_WAITING;
	row->message = waits_for;
	row->fields = NULL;
}

/* The same, where what would be sent says so. */
static void
look_for_reference(DiffState *state, TupleTableSlot *slot, const RowState *row_state)
{
	const Row  *row = state->group_row;
	char	   *waits_for = state->group_problem != NULL || row->fields == NULL || state->group_muted ? NULL :
		act_reference_waits_for(state, row->fields);

	if (waits_for != NULL)
		wait_for_reference(state, slot, row_state, waits_for);
}

/* What the destination could not take, or not find again. */
static void
check_row(DiffState *state)
{
	const Model *model = state->model;
	Row		   *row = state->group_row;

	if (state->match != NULL && state->group_in_model)
	{
		state->group_code = "match_is_null";
		state->group_problem = act_match_problem(state->match, row);
	}
	if (state->group_problem == NULL && model->connector != NULL)
	{
		state->group_code = "value";
		state->group_problem = act_connector_row_problem(model->connector, model->scope, row);
	}
	if (state->group_problem == NULL && model->connector != NULL)
	{
		state->group_code = "size";
		state->group_problem = act_connector_size_problem(model->connector, model->scope, row);
	}
}

/* plan_sync() tells of all changed rows which fields it is. */
static bool
counts_fields(const DiffState *state)
{
	return state->preview && state->group_decision.action > ACTION_SEND &&
		state->group_decision.cause == ROW_CHANGED && act_diff_keeps_fields(state);
}

/* What was decided, and for whom. */
static void
note_decision(DiffState *state, TupleTableSlot *slot, const RowState *row_state)
{
	const Decision *decision = &state->group_decision;
	Row		   *row = state->group_row;

	row->op = decision->op;
	row->cause = decision->cause;
	row->in_doubt = decision->in_doubt;
	row->was_there = decision->was_there;
	row->attempts = decision->attempts;
	row->late_until = row_state->late_until;
	for (int i = 0; i < row->nkeys; i++)
		row->key_values[i] = OutputFunctionCall(&state->key_output[i], slot->tts_values[i]);
}

/* Renders the group's row in the group's context. */
static void
render(DiffState *state, TupleTableSlot *slot, const RowState *row_state)
{
	const Model *model = state->model;
	int			nkeys = model->sync->nkeys;
	Row		   *row = state->group_row;
	Decision   *decision = &state->group_decision;
	StringInfoData buf;

	if (decision->action != ACTION_SEND &&
		!(state->group_in_model && (state->watched != NULL || counts_fields(state))))
		return;

	if (!column_isnull(state, slot, DIFF_EXTERNAL_ID))
	{
		char	   *id = TextDatumGetCString(column_value(state, slot, DIFF_EXTERNAL_ID));

		row->external_id = pg_server_to_any(id, strlen(id), PG_UTF8);
	}
	if (!column_isnull(state, slot, DIFF_REMEMBERED))
	{
		char	   *values = TextDatumGetCString(column_value(state, slot, DIFF_REMEMBERED));

		row->remembered = act_row_values_parse(pg_server_to_any(values, strlen(values), PG_UTF8));
	}
	if (state->group_in_model)
		memcpy(row->fingerprint, state->group_fingerprint, ACT_DIGEST_LEN);
	else
		memcpy(row->fingerprint, state->policy.removal_version, ACT_DIGEST_LEN);
	if (decision->reuse_change_id)
		memcpy(row->change_id, row_state->change_id, ACT_DIGEST_LEN);
	else
		act_change_id_new(row->change_id);

	if (state->group_in_model ? !act_row_op_has_fields(row->op) : model->removal == NULL)
		return;
	if (!state->group_in_model)
	{
		initStringInfo(&buf);
		state->group_code = "value";
		state->group_problem = act_removal_append_json(&buf, model, slot->tts_values + nkeys + model->nleaves,
													   slot->tts_isnull + nkeys + model->nleaves);
		row->fields = buf.data;
		look_for_reference(state, slot, row_state);
		return;
	}
	act_diff_payload(state, slot, row_state);
	if (decision->action != ACTION_SEND && state->group_problem != NULL)
	{
		/* Rendered to be looked at only: the run would not find out. */
		state->group_problem = NULL;
		row->fields = NULL;
	}
	else
		look_for_reference(state, slot, row_state);
	if (decision->action == ACTION_SEND && state->group_problem == NULL)
		check_row(state);
}

/*
 * Of a careful diff: the mapping raised on the row.  Any such row of a key
 * makes it invalid, unless what raised was an id that is not known yet, and
 * something else than text was made of it.
 */
static void
note_problem(DiffState *state, TupleTableSlot *slot, const RowState *row_state)
{
	MemoryContext caller = MemoryContextSwitchTo(state->group_context);
	char	   *problem = TextDatumGetCString(column_value(state, slot, DIFF_PROBLEM));
	char	   *waits_for = act_reference_waits_for(state, problem);

	if (waits_for == NULL)
	{
		state->group_code = "mapping";
		state->group_problem = problem;
	}
	else if (row_state != NULL && state->group_decision.action == ACTION_SEND)
		wait_for_reference(state, slot, row_state, waits_for);
	MemoryContextSwitchTo(caller);
}

static void
open_group(DiffState *state, TupleTableSlot *slot)
{
	int			nkeys = state->model->sync->nkeys;
	RowState	row_state;
	StringInfoData key;
	const char *key_problem;
	bool		null_key = false;
	MemoryContext caller = MemoryContextSwitchTo(state->group_context);

	state->group_in_model = !column_isnull(state, slot, DIFF_FINGERPRINT);
	state->group_size = state->group_in_model ? 1 : 0;
	state->group_differs = false;
	state->group_problem = NULL;
	state->group_row = palloc0(sizeof(Row));
	state->group_row->nkeys = nkeys;
	state->group_row->key_values = palloc0(sizeof(char *) * nkeys);
	state->group_key = palloc0(sizeof(Datum) * nkeys);

	initStringInfo(&key);
	key_problem = act_diff_render_key(state, slot, &key);
	state->group_row->key = key.data;
	for (int i = 0; i < nkeys; i++)
	{
		if (slot->tts_isnull[i])
			null_key = true;
		else
			state->group_key[i] = datumCopy(slot->tts_values[i], state->key_byval[i], state->key_len[i]);
	}
	if (null_key)
	{
		add_invalid(state, key.data, "null_key", "the key is null", 1);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(state->group_context);
		return;
	}

	state->group_open = true;
	(void) column_digest(state, slot, DIFF_FINGERPRINT, state->group_fingerprint);
	read_state(state, slot, &row_state);
	state->group_muted = row_state.muted;
	if (state->watched != NULL)
	{
		state->watched->state = row_state;
		if (row_state.exists)
			state->watched->place = *(ItemPointer) DatumGetPointer(column_value(state, slot, DIFF_CTID));
	}
	if (row_state.there || row_state.has_fingerprint)
	{
		/* Counted by diff_keep() already where another row equalled it. */
		if (!act_diff_seen(state, (ItemPointer) DatumGetPointer(column_value(state, slot, DIFF_CTID)), false))
			state->diff->counts.synced++;
	}
	if (state->group_in_model && row_state.exists &&
		act_diff_seen(state, (ItemPointer) DatumGetPointer(column_value(state, slot, DIFF_CTID)), false))
	{
		state->group_differs = true;
		state->group_size++;
		/* That other row is no longer known to be unchanged. */
		state->diff->counts.unchanged--;
	}
	act_decide(&state->policy, state->group_in_model ? state->group_fingerprint : NULL,
			   &row_state, &state->group_decision);
	if (state->baseline)
		memset(&state->group_decision, 0, sizeof(Decision));	/* nothing to be done */
	note_next_attempt(state);
	if (key_problem != NULL)
	{
		state->group_code = "key";
		state->group_problem = key_problem;
	}
	else
	{
		note_decision(state, slot, &row_state);
		if (column_isnull(state, slot, DIFF_PROBLEM))
			render(state, slot, &row_state);
		else
			note_problem(state, slot, &row_state);
	}
	MemoryContextSwitchTo(caller);
}

/* A preview that only wants the first rows has them: the query may end. */
static bool
has_enough(const DiffState *state)
{
	return state->only_rows && state->keep_rows > 0 &&
		state->diff->counts.to_send + list_length(state->diff->invalid) >= state->keep_rows;
}

static bool
receive(TupleTableSlot *slot, DestReceiver *receiver)
{
	DiffState  *state = (DiffState *) receiver;
	MemoryContext caller = MemoryContextSwitchTo(state->row_context);
	uint8		fingerprint[ACT_DIGEST_LEN];

	slot_getallattrs(slot);
	if (state->group_open && !same_key(state, slot))
		close_group(state);
	if (!state->group_open)
		open_group(state, slot);
	else if (column_digest(state, slot, DIFF_FINGERPRINT, fingerprint))
	{
		state->group_size++;
		if (!column_isnull(state, slot, DIFF_PROBLEM) && state->group_problem == NULL)
			note_problem(state, slot, NULL);
		if (memcmp(fingerprint, state->group_fingerprint, ACT_DIGEST_LEN) != 0)
			state->group_differs = true;
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(state->row_context);
	return !has_enough(state);
}

/*
 * Values are read as what the model was found to be.  Between that and this
 * statement a function may have been replaced; and in the sync's table, which
 * is its owner's, a key column may have got another type.
 */
static void
receiver_startup(DestReceiver *receiver, int operation, TupleDesc desc)
{
	DiffState  *state = (DiffState *) receiver;
	const Model *model = state->model;
	const Sync *sync = model->sync;

	if (desc->natts != column(state, DIFF_COLUMN_COUNT))
		elog(ERROR, "the diff has %d columns instead of %d",
			 desc->natts, column(state, DIFF_COLUMN_COUNT));
	for (int i = 0; i < sync->nkeys; i++)
		act_diff_query_require_type(model, sync->key[i], model->key_types[i], TupleDescAttr(desc, i)->atttypid);
	for (int i = 0; i < model->nleaves; i++)
		act_diff_query_require_type(model, model->mapping->leaves[i].label, model->leaf_types[i],
							  TupleDescAttr(desc, sync->nkeys + i)->atttypid);
	for (int i = 0; i < act_removal_leaves(model); i++)
		act_diff_query_require_type(model, model->removal->mapping->leaves[i].label, model->removal->leaf_types[i],
							  TupleDescAttr(desc, sync->nkeys + model->nleaves + i)->atttypid);
}

static void
receiver_nothing(DestReceiver *receiver)
{
}

void
act_diff_receiver_init(DiffState *state)
{
	const Model *model = state->model;
	int			nkeys = model->sync->nkeys;

	state->receiver.receiveSlot = receive;
	state->receiver.rStartup = receiver_startup;
	state->receiver.rShutdown = receiver_nothing;
	state->receiver.rDestroy = receiver_nothing;
	state->receiver.mydest = DestTuplestore;
	state->seen.npages = 0;
	state->seen.pages = NULL;
	state->seen.context = CurrentMemoryContext;
	state->group_open = false;
	state->row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate diff row",
											   ALLOCSET_DEFAULT_SIZES);
	state->group_context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate diff key",
												 ALLOCSET_DEFAULT_SIZES);
	state->key_values = palloc(sizeof(ValueType *) * nkeys);
	state->key_names = palloc(sizeof(char *) * nkeys);
	state->key_output = palloc0(sizeof(FmgrInfo) * nkeys);
	state->key_equal = palloc0(sizeof(FmgrInfo) * nkeys);
	state->key_len = palloc(sizeof(int16) * nkeys);
	state->key_byval = palloc(sizeof(bool) * nkeys);
	for (int i = 0; i < nkeys; i++)
	{
		Oid			type = model->key_types[i];
		Oid			output;
		bool		is_varlena;
		StringInfoData name;
		char	   *utf8 = pg_server_to_any(model->sync->key[i], strlen(model->sync->key[i]), PG_UTF8);

		initStringInfo(&name);
		act_json_append_string(&name, utf8, strlen(utf8));
		state->key_names[i] = name.data;
		state->key_values[i] = act_value_type(type);
		getTypeOutputInfo(type, &output, &is_varlena);
		fmgr_info(output, &state->key_output[i]);
		fmgr_info_copy(&state->key_equal[i],
					   &lookup_type_cache(type, TYPECACHE_EQ_OPR_FINFO)->eq_opr_finfo,
					   CurrentMemoryContext);
		get_typlenbyval(type, &state->key_len[i], &state->key_byval[i]);
	}
}

void
act_diff_receiver_finish(DiffState *state)
{
	MemoryContext caller = MemoryContextSwitchTo(state->row_context);

	close_group(state);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(state->row_context);
	MemoryContextDelete(state->group_context);
}
