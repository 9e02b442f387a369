/*-------------------------------------------------------------------------
 *
 * unit.c
 *	  Mode replace: all rows of the model, in its own order, as one unit.
 *
 * Called by runs and previews after the diff, in its transaction and under its
 * snapshot; reads as the sync's owner.  The order is that of the query's own
 * outermost ORDER BY; a query without one and a relation have none, and go in
 * the order of the key.  Rows are rendered into a tuplestore that outlives the
 * transaction, in the current memory context.  Throws where a row cannot be
 * sent or all of them are too much for one request.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "diff_query.h"
#include "fault.h"
#include "identity.h"
#include "json_text.h"
#include "payload.h"
#include "settle.h"
#include "sql_text.h"
#include "unit.h"

/* What a row takes besides its key and fields, about. */
#define ROW_BYTES 16

/* Columns of the tuplestore. */
enum
{
	STORE_KEY = 1,
	STORE_FIELDS,
	STORE_COLUMNS = STORE_FIELDS
};

/* A row that was seen, where the diff found identical ones. */
typedef struct SeenRow
{
	struct SeenRow *next;
	uint8		fingerprint[ACT_DIGEST_LEN];
	Datum		key[FLEXIBLE_ARRAY_MEMBER];
} SeenRow;

typedef struct SeenEntry
{
	uint32		hash;			/* hash key */
	SeenRow    *rows;
} SeenEntry;

typedef struct KeyColumn
{
	ValueType  *value;
	char	   *name;			/* as a JSON string in UTF-8 */
	FmgrInfo	output;
	FmgrInfo	equal;
	FmgrInfo	hash;			/* fn_oid InvalidOid: the type has none */
	int16		len;
	bool		byval;
} KeyColumn;

typedef struct UnitReader
{
	DestReceiver receiver;		/* must be first */
	const Model *model;
	Unit	   *unit;
	KeyColumn  *keys;
	HTAB	   *seen;			/* of SeenEntry; NULL: the diff found no duplicates */
	int64		max_rows;
	int64		max_bytes;
	int64		bytes;
	MemoryContext context;		/* of what lives as long as the reader */
	MemoryContext row_context;	/* reset for each row */
} UnitReader;

/* ------------------------------------------------------------------ the rows */

static void
append_key(const UnitReader *reader, TupleTableSlot *slot, StringInfo buf)
{
	appendStringInfoChar(buf, '{');
	for (int i = 0; i < reader->model->sync->nkeys; i++)
	{
		const char *problem;

		appendStringInfo(buf, "%s%s: ", i > 0 ? ", " : "", reader->keys[i].name);
		problem = act_value_append_json(buf, reader->keys[i].value, slot->tts_values[i], slot->tts_isnull[i]);
		if (problem != NULL || slot->tts_isnull[i])
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("a row of sync \"%s\" cannot be sent: key column \"%s\" %s", reader->model->sync->name,
							reader->model->sync->key[i], problem != NULL ? problem : "is null"),
					 errdetail("Mode replace sends all rows or none."),
					 errhint("Leave the row out of the model, or mend it there.")));
	}
	appendStringInfoChar(buf, '}');
}

/* As a JSON object. */
static char *
render_fields(const UnitReader *reader, TupleTableSlot *slot, const char *key)
{
	const Model *model = reader->model;
	int			nkeys = model->sync->nkeys;
	Payload		payload = {
		.mapping = model->mapping,.types = model->leaf_values,
		.values = slot->tts_values + nkeys,.nulls = slot->tts_isnull + nkeys
	};

	act_payload_render(&payload);
	if (payload.code != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("row %s of sync \"%s\" cannot be sent: %s", act_text_to_server(key),
						model->sync->name, act_text_to_server(payload.problem)),
				 errdetail("Mode replace sends all rows or none."),
				 errhint("Leave the row out of the model, or mend it there.")));
	return payload.json.data;
}

/* The digest goes on from row to row, so that it tells their order. */
static void
add_to_digest(const UnitReader *reader, TupleTableSlot *slot, const uint8 *fingerprint)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, (const char *) reader->unit->digest, ACT_DIGEST_LEN);
	appendBinaryStringInfo(&buf, (const char *) fingerprint, ACT_DIGEST_LEN);
	for (int i = 0; i < reader->model->sync->nkeys; i++)
	{
		char	   *text = OutputFunctionCall(&reader->keys[i].output, slot->tts_values[i]);

		appendBinaryStringInfo(&buf, text, strlen(text) + 1);
	}
	act_digest(buf.data, buf.len, reader->unit->digest);
}

static void
check_size(const UnitReader *reader)
{
	const char *name = reader->model->sync->name;

	if (reader->max_rows > 0 && reader->unit->nrows > reader->max_rows)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the model of sync \"%s\" has more rows than one request takes: " INT64_FORMAT,
						name, reader->max_rows),
				 errdetail("Mode replace sends all rows at once. Nothing was sent."),
				 errhint("Let the model return fewer rows, or take mode => 'mirror'.")));
	if (reader->bytes > reader->max_bytes)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the rows of sync \"%s\" are more than one request takes: " INT64_FORMAT " bytes",
						name, reader->max_bytes),
				 errdetail("Mode replace sends all rows at once. Nothing was sent."),
				 errhint("Let the model return fewer rows, map fewer fields, or take mode => 'mirror'.")));
}

static uint32
hash_key(const UnitReader *reader, TupleTableSlot *slot)
{
	uint32		hash = 0;

	for (int i = 0; i < reader->model->sync->nkeys; i++)
	{
		if (OidIsValid(reader->keys[i].hash.fn_oid))
			hash = hash_combine(hash, DatumGetUInt32(FunctionCall1Coll(&reader->keys[i].hash,
																	   reader->model->key_collations[i],
																	   slot->tts_values[i])));
	}
	return hash;
}

static bool
same_row(const UnitReader *reader, const SeenRow *row, TupleTableSlot *slot, const uint8 *fingerprint)
{
	if (memcmp(row->fingerprint, fingerprint, ACT_DIGEST_LEN) != 0)
		return false;
	for (int i = 0; i < reader->model->sync->nkeys; i++)
	{
		if (!DatumGetBool(FunctionCall2Coll(&reader->keys[i].equal, reader->model->key_collations[i],
											row->key[i], slot->tts_values[i])))
			return false;
	}
	return true;
}

/* Of identical rows the first one stays; by the key's own equality, as in the diff. */
static bool
seen_before(UnitReader *reader, TupleTableSlot *slot, const uint8 *fingerprint)
{
	int			nkeys = reader->model->sync->nkeys;
	uint32		hash = hash_key(reader, slot);
	MemoryContext caller;
	SeenEntry  *entry;
	SeenRow    *row;
	bool		found;

	entry = hash_search(reader->seen, &hash, HASH_ENTER, &found);
	if (!found)
		entry->rows = NULL;
	for (row = entry->rows; row != NULL; row = row->next)
	{
		CHECK_FOR_INTERRUPTS();
		if (same_row(reader, row, slot, fingerprint))
			return true;
	}
	caller = MemoryContextSwitchTo(reader->context);
	row = palloc(offsetof(SeenRow, key) + sizeof(Datum) * nkeys);
	memcpy(row->fingerprint, fingerprint, ACT_DIGEST_LEN);
	for (int i = 0; i < nkeys; i++)
		row->key[i] = datumCopy(slot->tts_values[i], reader->keys[i].byval, reader->keys[i].len);
	row->next = entry->rows;
	entry->rows = row;
	MemoryContextSwitchTo(caller);
	return false;
}

static void
receive_row(UnitReader *reader, TupleTableSlot *slot)
{
	const Model *model = reader->model;
	int			fingerprint_column = model->sync->nkeys + model->nleaves;
	uint8		fingerprint[ACT_DIGEST_LEN];
	StringInfoData key;
	char	   *fields;
	Datum		values[STORE_COLUMNS];
	bool		nulls[STORE_COLUMNS] = {false, false};

	slot_getallattrs(slot);
	memcpy(fingerprint, DatumGetUUIDP(slot->tts_values[fingerprint_column])->data, ACT_DIGEST_LEN);
	initStringInfo(&key);
	append_key(reader, slot, &key);
	if (reader->seen != NULL && seen_before(reader, slot, fingerprint))
		return;
	fields = render_fields(reader, slot, key.data);
	add_to_digest(reader, slot, fingerprint);
	reader->unit->nrows++;
	reader->bytes += key.len + strlen(fields) + ROW_BYTES;
	check_size(reader);
	values[STORE_KEY - 1] = CStringGetTextDatum(key.data);
	values[STORE_FIELDS - 1] = CStringGetTextDatum(fields);
	tuplestore_putvalues(reader->unit->rows, reader->unit->desc, values, nulls);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *receiver)
{
	UnitReader *reader = (UnitReader *) receiver;
	MemoryContext caller = MemoryContextSwitchTo(reader->row_context);

	receive_row(reader, slot);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(reader->row_context);
	return true;
}

/* As in the diff: between analysis and this statement a function may have been replaced. */
static void
receiver_startup(DestReceiver *receiver, int operation, TupleDesc desc)
{
	const Model *model = ((UnitReader *) receiver)->model;
	int			nkeys = model->sync->nkeys;

	if (desc->natts != nkeys + model->nleaves + 1)
		elog(ERROR, "the unit has %d columns instead of %d", desc->natts, nkeys + model->nleaves + 1);
	for (int i = 0; i < nkeys; i++)
		act_diff_query_require_type(model, model->sync->key[i], model->key_types[i],
									TupleDescAttr(desc, i)->atttypid);
	for (int i = 0; i < model->nleaves; i++)
		act_diff_query_require_type(model, act_mapping_leaf_label(model->mapping, i), model->leaf_types[i],
									TupleDescAttr(desc, nkeys + i)->atttypid);
}

static void
receiver_nothing(DestReceiver *receiver)
{
}

/* --------------------------------------------------------------- the reading */

static KeyColumn *
key_columns(const Model *model)
{
	KeyColumn  *keys = palloc0(sizeof(KeyColumn) * model->sync->nkeys);

	for (int i = 0; i < model->sync->nkeys; i++)
	{
		Oid			type = model->key_types[i];
		TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR_FINFO | TYPECACHE_HASH_PROC_FINFO);
		char	   *utf8 = pg_server_to_any(model->sync->key[i], strlen(model->sync->key[i]), PG_UTF8);
		StringInfoData name;
		Oid			output;
		bool		is_varlena;

		initStringInfo(&name);
		act_json_append_string(&name, utf8, strlen(utf8));
		keys[i].name = name.data;
		keys[i].value = act_value_type(type);
		getTypeOutputInfo(type, &output, &is_varlena);
		fmgr_info(output, &keys[i].output);
		fmgr_info_copy(&keys[i].equal, &entry->eq_opr_finfo, CurrentMemoryContext);
		if (OidIsValid(entry->hash_proc))
			fmgr_info_copy(&keys[i].hash, &entry->hash_proc_finfo, CurrentMemoryContext);
		get_typlenbyval(type, &keys[i].len, &keys[i].byval);
	}
	return keys;
}

static HTAB *
seen_table(void)
{
	HASHCTL		control = {.keysize = sizeof(uint32), .entrysize = sizeof(SeenEntry), .hcxt = CurrentMemoryContext};

	return hash_create("pg_activate unit", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Whether the model itself says in which order its rows come. */
static bool
has_order(const Sync *sync)
{
	SqlOrigin	origin = {.sql = sync->model,.text = sync->model};
	Node	   *statement;

	if (!sync->model_is_query)
		return false;
	statement = linitial_node(RawStmt, act_sql_text_parse(&origin))->stmt;
	return IsA(statement, SelectStmt) && ((SelectStmt *) statement)->sortClause != NIL;
}

/*
 * Nothing above the model's query changes the order of what it returns.  Rows
 * that its ORDER BY leaves in any order come the same way each time only as
 * long as no parallel workers and no shared scans mix them.
 */
static char *
unit_query(const Model *model, bool ordered)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT * FROM ");
	act_diff_query_append_model(&buf, model, true);
	appendStringInfoString(&buf, " AS m");
	for (int i = 0; !ordered && i < model->sync->nkeys; i++)
		appendStringInfo(&buf, "%s%d", i > 0 ? ", " : " ORDER BY ", i + 1);
	return buf.data;
}

static void
read_rows(UnitReader *reader, bool ordered)
{
	const Sync *sync = reader->model->sync;
	SPIExecuteOptions options;
	Identity	identity;
	MemoryContext caller = CurrentMemoryContext;
	int			result;

	memset(&options, 0, sizeof(options));
	options.read_only = true;
	options.dest = &reader->receiver;
	act_identity_owner(&identity, sync->owner, sync->search_path, sync->time_zone);
	act_identity_set("jit", "off");
	act_identity_set("synchronize_seqscans", "off");
	if (ordered)
		act_identity_set("max_parallel_workers_per_gather", "0");
	result = SPI_execute_extended(unit_query(reader->model, ordered), &options);
	MemoryContextSwitchTo(caller);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of the unit", SPI_result_code_string(result));
	act_identity_leave(&identity);
}

static TupleDesc
store_desc(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(STORE_COLUMNS);

	TupleDescInitEntry(desc, STORE_KEY, "key", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, STORE_FIELDS, "fields", TEXTOID, -1, 0);
	return desc;
}

static void
read_unit(const Model *model, const Diff *diff, bool ordered, int64 max_rows, int64 max_bytes, Unit *unit)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate unit", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller;
	UnitReader	reader = {
		.receiver = {.receiveSlot = receive, .rStartup = receiver_startup, .rShutdown = receiver_nothing,
		.rDestroy = receiver_nothing, .mydest = DestTuplestore},
		.model = model,.unit = unit,.context = context,.max_rows = max_rows,
		.max_bytes = max_bytes > 0 ? max_bytes : UNIT_MAX_BYTES
	};

	unit->desc = store_desc();
	unit->slot = MakeSingleTupleTableSlot(unit->desc, &TTSOpsMinimalTuple);
	unit->rows = tuplestore_begin_heap(true, true, Max(work_mem / 4, 64));
	act_digest("unit", strlen("unit"), unit->digest);
	unit->has_digest = true;

	caller = MemoryContextSwitchTo(context);
	reader.row_context = AllocSetContextCreate(context, "pg_activate unit row", ALLOCSET_DEFAULT_SIZES);
	reader.keys = key_columns(model);
	reader.seen = diff->counts.duplicates > 0 ? seen_table() : NULL;
	read_rows(&reader, ordered);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);

	/* Two looks at one snapshot: only what no snapshot holds can differ. */
	if (unit->nrows != diff->counts.rows_in_model - diff->counts.duplicates)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("the model of sync \"%s\" returned " INT64_FORMAT " rows, and " INT64_FORMAT " when it was read again",
						model->sync->name, diff->counts.rows_in_model - diff->counts.duplicates, unit->nrows),
				 errdetail("Something in it does not depend on the tables alone."),
				 errhint("Take volatile functions and sources without snapshots out of the model.")));
}

/* ------------------------------------------------------------ whether to send */

static bool
was_tried(const Unit *unit)
{
	return unit->before.has_tried && memcmp(unit->before.tried, unit->digest, ACT_DIGEST_LEN) == 0;
}

/* Refused as it is: it goes again when its time has come, or something of it is another. */
static void
wait_for_time(Unit *unit, const Sync *sync, Diff *diff)
{
	DiffCounts *counts = &diff->counts;
	bool		parked = unit->before.attempts >= sync->options.max_attempts;

	unit->attempts = unit->before.attempts;
	if (!parked && act_now() >= unit->before.next_attempt_at)
		return;
	unit->send = false;
	unit->waits = true;
	if (parked)
		counts->skipped += counts->to_send;
	else
	{
		counts->delayed += counts->to_send;
		diff->next_attempt_at = unit->before.next_attempt_at;
	}
	counts->refused_before += counts->to_send;
	counts->to_send = 0;
}

/* A lost request would be applied over it: the rows wait until none can be. */
static void
wait_for_late(Unit *unit, Diff *diff)
{
	if (act_now() >= unit->before.late_until)
		return;
	unit->send = false;
	unit->waits = unit->late = true;
	diff->counts.delayed += diff->counts.to_send;
	diff->counts.to_send = 0;
	diff->next_attempt_at = unit->before.late_until;
}

static void
decide(Unit *unit, const Sync *sync, Diff *diff)
{
	const UnitState *before = &unit->before;
	bool		same_order = before->has_digest && memcmp(before->digest, unit->digest, ACT_DIGEST_LEN) == 0;

	unit->send = diff->counts.to_send > 0 || (before->has_digest ? !same_order : before->has_tried);
	unit->record = !unit->send && (!same_order || before->has_tried);
	if (unit->send && was_tried(unit))
		wait_for_time(unit, sync, diff);
	else if (unit->send)
		wait_for_late(unit, diff);
}

/* What refers to a record that is not there yet keeps all of them back. */
static void
wait_for_reference(Unit *unit, Diff *diff)
{
	unit->waits = true;
	diff->counts.delayed += diff->counts.to_send;
	diff->counts.to_send = 0;
}

void
act_unit_read(const Model *model, Diff *diff, int64 max_rows, int64 max_bytes, Unit *unit)
{
	const Sync *sync = model->sync;
	bool		ordered = has_order(sync);

	act_unit_load(sync->sync_id, &unit->before);
	if (diff->counts.invalid > 0)
		return;
	if (diff->counts.waiting > 0)
	{
		wait_for_reference(unit, diff);
		return;
	}
	/* In the order of the key nothing can change but rows. */
	if (diff->counts.to_send == 0 && !ordered && !unit->before.has_tried)
		return;
	read_unit(model, diff, ordered, max_rows, max_bytes, unit);
	decide(unit, sync, diff);
	if (!pg_strong_random(unit->id, ACT_DIGEST_LEN))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
}

Row *
act_unit_next(Unit *unit)
{
	TupleTableSlot *slot = unit->slot;
	Row		   *row;
	bool		isnull;

	if (!tuplestore_gettupleslot(unit->rows, true, false, slot))
		return NULL;
	row = palloc0(sizeof(Row));
	row->op = ROW_OP_REPLACE;
	row->key = TextDatumGetCString(slot_getattr(slot, STORE_KEY, &isnull));
	row->fields = TextDatumGetCString(slot_getattr(slot, STORE_FIELDS, &isnull));
	memcpy(row->change_id, unit->id, ACT_DIGEST_LEN);
	ExecClearTuple(slot);
	return row;
}

void
act_unit_rewind(Unit *unit)
{
	tuplestore_rescan(unit->rows);
}

void
act_unit_end(Unit *unit)
{
	if (unit->rows != NULL)
		tuplestore_end(unit->rows);
	unit->rows = NULL;
}
