/*-------------------------------------------------------------------------
 *
 * diff.c
 *	  What differs between a model and what its destination accepted.
 *
 * Runs in one short transaction that the caller made READ ONLY, as the
 * sync's owner.  What is to be sent goes into a tuplestore that outlives the
 * transaction (no WAL, no bloat, temporary files when it is large), already
 * rendered, so that delivery needs neither catalogs nor type output.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "diff_careful.h"
#include "diff_duplicates.h"
#include "diff_query.h"
#include "fault.h"
#include "identity.h"
#include "key_argument.h"
#include "match.h"
#include "reference.h"
#include "removal.h"
#include "snapshot.h"

PG_FUNCTION_INFO_V1(act_diff_keep);
PG_FUNCTION_INFO_V1(act_diff_sieve);

DiffState  *act_diff_current = NULL;

/* Columns of the tuplestores; key values follow. */
enum
{
	STORE_OP = 1,
	STORE_CAUSE,
	STORE_IN_DOUBT,
	STORE_KEY,
	STORE_FIELDS,
	STORE_PAYLOAD,
	STORE_FIELD_HASHES,
	STORE_CHANGED,
	STORE_WAS_THERE,
	STORE_EXTERNAL_ID,
	STORE_REMEMBERED,
	STORE_FINGERPRINT,
	STORE_CHANGE_ID,
	STORE_ATTEMPTS,
	STORE_LATE_UNTIL,
	STORE_MESSAGE,
	STORE_WANTED_OP,
	STORE_FIRST_KEY
};

static TupleDesc
store_desc(int nkeys)
{
	TupleDesc	desc = CreateTemplateTupleDesc(STORE_FIRST_KEY - 1 + nkeys);

	TupleDescInitEntry(desc, STORE_OP, "op", INT4OID, -1, 0);
	TupleDescInitEntry(desc, STORE_CAUSE, "cause", INT4OID, -1, 0);
	TupleDescInitEntry(desc, STORE_IN_DOUBT, "in_doubt", BOOLOID, -1, 0);
	TupleDescInitEntry(desc, STORE_KEY, "key", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, STORE_FIELDS, "fields", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, STORE_PAYLOAD, "payload", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, STORE_FIELD_HASHES, "field_hashes", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, STORE_CHANGED, "changed", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, STORE_WAS_THERE, "was_there", BOOLOID, -1, 0);
	TupleDescInitEntry(desc, STORE_EXTERNAL_ID, "external_id", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, STORE_REMEMBERED, "remembered", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, STORE_FINGERPRINT, "fingerprint", UUIDOID, -1, 0);
	TupleDescInitEntry(desc, STORE_CHANGE_ID, "change_id", UUIDOID, -1, 0);
	TupleDescInitEntry(desc, STORE_ATTEMPTS, "attempts", INT4OID, -1, 0);
	TupleDescInitEntry(desc, STORE_LATE_UNTIL, "late_until", INT8OID, -1, 0);
	TupleDescInitEntry(desc, STORE_MESSAGE, "message", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, STORE_WANTED_OP, "wanted_op", INT4OID, -1, 0);
	for (int i = 0; i < nkeys; i++)
		TupleDescInitEntry(desc, STORE_FIRST_KEY + i, "key_value", TEXTOID, -1, 0);
	return desc;
}

/*
 * activate.diff_keep(model's fingerprint, fingerprint that was accepted,
 * place): whether the diff has anything to do with a joined row.  Called for
 * each, so the plainly unchanged are dealt with here.
 */
Datum
act_diff_keep(PG_FUNCTION_ARGS)
{
	DiffState  *state = act_diff_current;
	DiffCounts *counts;

	if (state == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("activate.diff_keep() is part of the diff of a sync and cannot be called by itself"),
				 errhint("To see what differs: SELECT * FROM activate.preview_sync('...');")));

	counts = &state->diff->counts;
	if (!PG_ARGISNULL(0))
		counts->rows_in_model++;
	if (state->watched != NULL)
		PG_RETURN_BOOL(true);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_BOOL(true);
	if (memcmp(PG_GETARG_UUID_P(0)->data, PG_GETARG_UUID_P(1)->data, UUID_LEN) != 0)
		PG_RETURN_BOOL(true);
	/* A model can call this, too; room is made for pages that there are. */
	if (ItemPointerGetBlockNumberNoCheck((ItemPointer) PG_GETARG_POINTER(2)) >= state->seen.limit)
		PG_RETURN_BOOL(true);

	if (act_diff_seen(state, (ItemPointer) PG_GETARG_POINTER(2), true))
		counts->duplicates++;
	else
	{
		counts->unchanged++;
		counts->synced++;
	}
	PG_RETURN_BOOL(false);
}

/* activate.diff_sieve(key columns): whether the key may differ. */
Datum
act_diff_sieve(PG_FUNCTION_ARGS)
{
	DiffState  *state = act_diff_current;
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	if (state == NULL || state->sieve == NULL || PG_NARGS() != state->model->sync->nkeys ||
		PG_NARGS() > INDEX_MAX_KEYS)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("activate.diff_sieve() is part of the diff of a sync and cannot be called by itself"),
				 errhint("To see what differs: SELECT * FROM activate.preview_sync('...');")));
	for (int i = 0; i < PG_NARGS(); i++)
	{
		/* A model can call this, too, with anything. */
		act_diff_query_require_type(state->model, state->model->sync->key[i], state->model->key_types[i],
							  get_fn_expr_argtype(fcinfo->flinfo, i));
		keys[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i);
	}
	PG_RETURN_BOOL(act_sieve_holds(state->sieve, keys, nulls));
}

/*
 * The join's hash table of a million rows (64 bytes each, and the buckets)
 * fits in a work_mem of 64 MB: when it does not, the rows of the model go
 * through files.  The sort of what is kept has the rest; with the tuplestores
 * it all comes to twice work_mem.
 */
static void
share_memory(void)
{
	act_identity_set("work_mem", psprintf("%dkB", Max(work_mem / 2, 64)));
	act_identity_set("hash_mem_multiplier", "2.4");
}

static void
set_policy(const Model *model, bool forced, bool watched, RowPolicy *policy)
{
	const Sync *sync = model->sync;

	policy->op = act_sync_mode_op(sync->mode, sync->on_removed);
	policy->removal = sync->mode == MODE_REPLACE ? ROW_OP_REPLACE_REMOVED : act_on_removed_op(sync->on_removed);
	act_removal_fingerprint(policy->removal, model->removal != NULL ? model->removal->digest : NULL,
							policy->removal_version);
	policy->never_again = sync->mode == MODE_INSERT || sync->mode == MODE_APPEND;
	policy->remove_after_ms = sync->options.remove_after_ms;
	/* Of a unit no row waits by itself: see unit_state.c. */
	policy->as_unit = sync->mode == MODE_REPLACE;
	policy->forced = forced || (policy->as_unit && !watched);
	policy->now = act_now();
}

static void
join(DiffState *state)
{
	SPIExecuteOptions options = {
		.params = act_diff_keys_parameter(state->keys),.read_only = true,.dest = &state->receiver
	};
	char	   *sql = act_diff_query(state->model, state->keys != NULL ? DIFF_KEYS :
									 state->sieve != NULL ? DIFF_SIEVED : DIFF_WHOLE);
	MemoryContext caller = CurrentMemoryContext;
	int			result;

	result = SPI_execute_extended(sql, &options);
	MemoryContextSwitchTo(caller);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of the diff", SPI_result_code_string(result));
}

/* What the sieve found the same was counted there. */
static void
sieve_and_join(DiffState *state)
{
	DiffCounts *counts = &state->diff->counts;
	SieveResult result;

	state->sieve = act_sieve_shake(state->model, &result);
	if (state->sieve == NULL && state->model->key_ordered)
		act_identity_set("enable_hashjoin", "off");
	if (!result.clean)
		join(state);
	act_diff_receiver_finish(state);
	if (result.used)
	{
		counts->unchanged += Max(result.rows_in_model - counts->rows_in_model, 0);
		counts->rows_in_model = result.rows_in_model;
		counts->synced = result.synced;
	}
}

/*
 * Before the transaction's snapshot is taken: to one from before it was
 * rewritten or filled anew, a table is empty.  A query's tables are locked
 * when it is analysed, which is before, too.
 */
void
act_diff_lock_model(const Model *model)
{
	if (!OidIsValid(model->relation))
		return;
	LockRelationOid(model->relation, AccessShareLock);
	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(model->relation)))
		(void) find_all_inheritors(model->relation, AccessShareLock, NULL);
}

static BlockNumber
table_pages(const Sync *sync)
{
	Relation	rel = relation_open(sync->table_oid, NoLock);
	BlockNumber pages = RelationGetNumberOfBlocks(rel);

	relation_close(rel, NoLock);
	return pages;
}

/* Whatever a first try left. */
static void
start_anew(DiffState *state)
{
	Diff	   *diff = state->diff;

	tuplestore_clear(diff->rows);
	tuplestore_clear(diff->marks);
	memset(&diff->counts, 0, sizeof(diff->counts));
	memset(diff->digest, 0, sizeof(diff->digest));
	diff->invalid = NIL;
	diff->removed_keys = NIL;
	diff->fields = NIL;
	diff->next_attempt_at = 0;
	state->sieve = NULL;
	if (state->watched != NULL)
		memset(state->watched, 0, sizeof(DiffKey));
	act_diff_receiver_init(state);
}

/* With care it costs what it costs: no sieve. */
static void
compare(const Model *const *models, void *arg)
{
	DiffState  *state = arg;
	const Sync *sync = models[0]->sync;

	state->model = models[0];
	state->match = state->counts_only ? NULL : act_match_create(models[0]);
	start_anew(state);
	if (state->keys == NULL && !state->only_rows && !sync->in_doubt && models[0]->careful == 0)
		sieve_and_join(state);
	else
	{
		join(state);
		act_diff_receiver_finish(state);
	}
	if (state->counts_only)
		return;
	act_match_check(state, models[0], state->whole);
	act_diff_tell_duplicates(state, models[0]);
}

/* Fills in what is the same for a run and a preview, and does it. */
static void
compute(DiffState *state, const Model *model, Jsonb *keys, bool forced, Diff *diff)
{
	const Sync *sync = model->sync;
	DiffState  *outer = act_diff_current;
	MemoryContext caller = CurrentMemoryContext;
	Identity	identity;

	memset(diff, 0, sizeof(*diff));
	diff->nkeys = sync->nkeys;
	diff->desc = store_desc(sync->nkeys);
	diff->slot = MakeSingleTupleTableSlot(diff->desc, &TTSOpsMinimalTuple);
	diff->rows = tuplestore_begin_heap(false, true, Max(work_mem / 8, 64));
	/* Read more than once: for matches, to choose a canary, to send it, to send the others. */
	tuplestore_set_eflags(diff->rows, EXEC_FLAG_REWIND);
	diff->marks = tuplestore_begin_heap(false, true, Max(work_mem / 16, 64));
	state->model = state->whole = model;
	state->diff = diff;
	state->baseline = sync->first_run_pending && sync->options.first_run == FIRST_RUN_BASELINE;
	set_policy(model, forced, state->watched != NULL, &state->policy);

	act_identity_owner(&identity, sync->owner, sync->search_path, sync->time_zone);
	(void) act_sync_table_open(sync, AccessShareLock, false);
	(void) act_snapshot_check_key(sync, model);
	state->seen.limit = table_pages(sync);
	act_identity_set("jit", "off");
	share_memory();
	if (keys != NULL)
		state->keys = act_key_argument_read(model, keys);

	PG_TRY();
	{
		act_diff_current = state;
		act_diff_carefully(&model, 1, state->keys, compare, state);
	}
	PG_CATCH();
	{
		act_diff_current = outer;
		MemoryContextSwitchTo(caller);
		act_reference_rethrow(state);
	}
	PG_END_TRY();
	/* A function of the model may have asked for a preview. */
	act_diff_current = outer;
	act_identity_leave(&identity);
}

void
act_diff_compute(const Model *model, Jsonb *keys, bool forced, int64 max_rows, Diff *diff)
{
	DiffState	state = {.max_rows = max_rows};

	compute(&state, model, keys, forced, diff);
}

void
act_diff_preview(const Model *model, int64 max_rows, bool only_rows, Diff *diff)
{
	DiffState	state = {.preview = true,.keep_rows = max_rows,.only_rows = only_rows};

	compute(&state, model, NULL, false, diff);
}

void
act_diff_key(const Model *model, Jsonb *keys, DiffKey *found)
{
	DiffState	state = {.preview = true,.watched = found};
	Diff		diff;

	memset(found, 0, sizeof(*found));
	compute(&state, model, keys, false, &diff);
	act_diff_end(&diff);
}

int64
act_diff_unchanged(const Model *model, Jsonb *keys)
{
	DiffState	state = {.preview = true,.keep_rows = 1,.counts_only = true};
	Diff		diff;

	compute(&state, model, keys, false, &diff);
	act_diff_end(&diff);
	return diff.counts.unchanged;
}

void
act_diff_end(Diff *diff)
{
	if (diff->rows != NULL)
		tuplestore_end(diff->rows);
	if (diff->marks != NULL)
		tuplestore_end(diff->marks);
	diff->rows = diff->marks = NULL;
}

static char *
slot_text(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static int
slot_int(TupleTableSlot *slot, int column)
{
	bool		isnull;

	return DatumGetInt32(slot_getattr(slot, column, &isnull));
}

static void
slot_digest(TupleTableSlot *slot, int column, uint8 *digest)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column, &isnull);

	if (!isnull)
		memcpy(digest, DatumGetUUIDP(value)->data, ACT_DIGEST_LEN);
}

static char **
slot_keys(TupleTableSlot *slot, int nkeys)
{
	char	  **values = palloc(sizeof(char *) * nkeys);

	for (int i = 0; i < nkeys; i++)
		values[i] = slot_text(slot, STORE_FIRST_KEY + i);
	return values;
}

Row *
act_diff_next(Diff *diff)
{
	TupleTableSlot *slot = diff->slot;
	Row		   *row;
	bool		isnull;

	if (!tuplestore_gettupleslot(diff->rows, true, false, slot))
		return NULL;
	row = palloc0(sizeof(Row));
	row->op = (RowOp) slot_int(slot, STORE_OP);
	row->cause = (RowCause) slot_int(slot, STORE_CAUSE);
	row->in_doubt = DatumGetBool(slot_getattr(slot, STORE_IN_DOUBT, &isnull));
	row->key = slot_text(slot, STORE_KEY);
	row->fields = slot_text(slot, STORE_FIELDS);
	row->payload = slot_text(slot, STORE_PAYLOAD);
	row->field_hashes = slot_text(slot, STORE_FIELD_HASHES);
	row->changed = slot_text(slot, STORE_CHANGED);
	row->was_there = DatumGetBool(slot_getattr(slot, STORE_WAS_THERE, &isnull));
	row->external_id = slot_text(slot, STORE_EXTERNAL_ID);
	row->remembered = act_row_values_parse(slot_text(slot, STORE_REMEMBERED));
	slot_digest(slot, STORE_FINGERPRINT, row->fingerprint);
	slot_digest(slot, STORE_CHANGE_ID, row->change_id);
	row->attempts = slot_int(slot, STORE_ATTEMPTS);
	row->late_until = DatumGetInt64(slot_getattr(slot, STORE_LATE_UNTIL, &isnull));
	row->nkeys = diff->nkeys;
	row->key_values = slot_keys(slot, diff->nkeys);
	ExecClearTuple(slot);
	return row;
}

void
act_diff_rewind(Diff *diff)
{
	tuplestore_rescan(diff->rows);
}

void
act_diff_skip(Diff *diff, int64 rows)
{
	if (rows > 0)
		(void) tuplestore_skiptuples(diff->rows, rows, true);
}

DiffMark *
act_diff_next_mark(Diff *diff)
{
	TupleTableSlot *slot = diff->slot;
	DiffMark   *mark;
	bool		isnull;

	if (!tuplestore_gettupleslot(diff->marks, true, false, slot))
		return NULL;
	mark = palloc(sizeof(DiffMark));
	mark->state = (SnapshotState) slot_int(slot, STORE_OP);
	mark->message = slot_text(slot, STORE_MESSAGE);
	mark->op = (RowOp) slot_int(slot, STORE_WANTED_OP);
	mark->late_until = DatumGetInt64(slot_getattr(slot, STORE_LATE_UNTIL, &isnull));
	mark->key_values = slot_keys(slot, diff->nkeys);
	ExecClearTuple(slot);
	return mark;
}

static void
put_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column - 1] = text == NULL;
	if (text != NULL)
		values[column - 1] = CStringGetTextDatum(text);
}

/* Puts a row (or, with a state for its op, a mark) into a store. */
void
act_diff_store(Diff *diff, Tuplestorestate *store, int op, const Row *row)
{
	int			natts = diff->desc->natts;
	Datum	   *values = palloc0(sizeof(Datum) * natts);
	bool	   *nulls = palloc0(sizeof(bool) * natts);
	pg_uuid_t	fingerprint;
	pg_uuid_t	change_id;

	memcpy(fingerprint.data, row->fingerprint, UUID_LEN);
	memcpy(change_id.data, row->change_id, UUID_LEN);
	values[STORE_OP - 1] = Int32GetDatum(op);
	values[STORE_CAUSE - 1] = Int32GetDatum(row->cause);
	values[STORE_IN_DOUBT - 1] = BoolGetDatum(row->in_doubt);
	values[STORE_WAS_THERE - 1] = BoolGetDatum(row->was_there);
	put_text(values, nulls, STORE_KEY, row->key);
	put_text(values, nulls, STORE_FIELDS, row->fields);
	put_text(values, nulls, STORE_PAYLOAD, row->payload);
	put_text(values, nulls, STORE_FIELD_HASHES, row->field_hashes);
	put_text(values, nulls, STORE_CHANGED, row->changed);
	put_text(values, nulls, STORE_EXTERNAL_ID, row->external_id);
	put_text(values, nulls, STORE_REMEMBERED, act_row_values_json(row->remembered));
	values[STORE_FINGERPRINT - 1] = UUIDPGetDatum(&fingerprint);
	values[STORE_CHANGE_ID - 1] = UUIDPGetDatum(&change_id);
	values[STORE_ATTEMPTS - 1] = Int32GetDatum(row->attempts);
	values[STORE_LATE_UNTIL - 1] = Int64GetDatum(row->late_until);
	put_text(values, nulls, STORE_MESSAGE, row->message);
	values[STORE_WANTED_OP - 1] = Int32GetDatum(row->op);
	for (int i = 0; i < diff->nkeys; i++)
		put_text(values, nulls, STORE_FIRST_KEY + i, row->key_values[i]);
	tuplestore_putvalues(store, diff->desc, values, nulls);
}

/* Sums do not depend on the order. */
void
act_diff_digest_row(uint8 *sum_of, const Row *row, bool take_away)
{
	StringInfoData buf;
	uint8		digest[ACT_DIGEST_LEN];
	uint64		sum[2];
	uint64		part[2];

	initStringInfo(&buf);
	appendStringInfo(&buf, "%d", row->op);
	for (int i = 0; i < row->nkeys; i++)
	{
		appendStringInfoString(&buf, row->key_values[i]);
		appendStringInfoChar(&buf, '\0');
	}
	appendBinaryStringInfo(&buf, (const char *) row->fingerprint, ACT_DIGEST_LEN);
	act_digest(buf.data, buf.len, digest);
	memcpy(sum, sum_of, sizeof(sum));
	memcpy(part, digest, sizeof(part));
	sum[0] += take_away ? -part[0] : part[0];
	sum[1] += take_away ? -part[1] : part[1];
	memcpy(sum_of, sum, sizeof(sum));
	pfree(buf.data);
}
