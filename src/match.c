/*-------------------------------------------------------------------------
 *
 * match.c
 *	  The values by which the destination finds a record: none is null, and no
 *	  two keys have the same.
 *
 * A null is seen when the row is rendered.  That two keys share a match takes
 * a look at the whole model: the match values of the rows to send, as the
 * connector compares them, go into a hash table, and one scan of the model's
 * keys and match values finds who else has them.  Where there is nothing to
 * send, or the match is the key, it costs nothing.
 *
 * Inside a diff: in its transaction, snapshot and identity.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "connector.h"
#include "diff_careful.h"
#include "diff_query.h"
#include "json_text.h"
#include "mapping.h"
#include "match_private.h"
#include "server_text.h"

/* Rows whose match values are in memory at once; more take another scan each. */
#define ROWS_AT_ONCE 1000000

/* ----------------------------------------------------------------
 *		What is compared
 * ----------------------------------------------------------------
 */

/* Two of them that differ do so in any case, and with blanks taken away. */
static bool
is_plain(Oid type)
{
	switch (getBaseType(type))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case OIDOID:
		case UUIDOID:
		case BOOLOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
		default:
			return false;
	}
}

/* Each column of the key is the whole of a match field. */
static bool
is_key(const Model *model, const Match *match)
{
	for (int i = 0; i < model->sync->nkeys; i++)
	{
		bool		found = false;

		for (int j = 0; j < match->nfields; j++)
		{
			found = found || model->leaf_key[match->leaves[j]] == i;
		}
		if (!found || (match->compare[0] != NULL && !is_plain(model->key_types[i])))
			return false;
	}
	return true;
}

Match *
act_match_create(const Model *model)
{
	static const Filter *const exact[] = {NULL};
	const Sync *sync = model->sync;
	Match	   *match;

	/* An event has no record, and a whole is found by its name. */
	if (sync->nmatch == 0 || sync->mode == MODE_APPEND || sync->mode == MODE_REPLACE)
		return NULL;
	match = palloc0(sizeof(Match));
	match->compare = model->connector != NULL ? act_connector_match_compare(model->connector) : exact;
	match->names = palloc(sizeof(char *) * sync->nmatch);
	match->leaves = palloc(sizeof(int) * sync->nmatch);
	for (int i = 0; i < sync->nmatch; i++)
	{
		for (int j = 0; j < act_mapping_nfields(model->mapping); j++)
		{
			int			leaf = act_mapping_field_leaf(model->mapping, j);

			if (leaf < 0 || strcmp(act_mapping_field_name(model->mapping, j), sync->match[i]) != 0)
				continue;
			match->leaves[match->nfields] = leaf;
			match->names[match->nfields++] = act_server_text_utf8(sync->match[i]);
		}
	}
	return match->nfields == 0 || is_key(model, match) ? NULL : match;
}

static bool
is_null(const char *json, size_t len)
{
	return len == 4 && memcmp(json, "null", 4) == 0;
}

char *
act_match_problem(const Match *match, const Row *row)
{
	for (int i = 0; i < match->nfields; i++)
	{
		const char *value;
		size_t		len;

		if (!act_json_find_member(row->fields, strlen(row->fields), match->names[i], &value, &len) ||
			is_null(value, len))
			return psprintf("match field \"%s\" is null", match->names[i]);
	}
	return NULL;
}

/* A value as the destination compares it. */
static void
append_compared(StringInfo to, const Match *match, const char *json, size_t len)
{
	StringInfoData from;
	StringInfoData next;

	initStringInfo(&from);
	initStringInfo(&next);
	if (len > 0 && json[0] == '"')
		act_json_append_unescaped(&from, json, len);
	else
		appendBinaryStringInfo(&from, json, len);
	for (const Filter *const *filter = match->compare; *filter != NULL; filter++)
	{
		StringInfoData swap = from;

		resetStringInfo(&next);
		if (!(*filter)->apply(NULL, &from, &next))
			continue;
		from = next;
		next = swap;
	}
	/* A number is not the text of its digits. */
	appendStringInfo(to, "%c%d:", len > 0 && json[0] == '"' ? 't' : 'j', from.len);
	appendBinaryStringInfo(to, from.data, from.len);
}

bool
act_match_digest(const Match *match, const Row *row, uint8 *digest)
{
	StringInfoData image;

	if (row->cause == ROW_REMOVED || row->fields == NULL)
		return false;
	initStringInfo(&image);
	for (int i = 0; i < match->nfields; i++)
	{
		const char *value;
		size_t		len;

		if (!act_json_find_member(row->fields, strlen(row->fields), match->names[i], &value, &len))
			return false;
		append_compared(&image, match, value, len);
	}
	act_digest(image.data, image.len, digest);
	return true;
}

/* ----------------------------------------------------------------
 *		Who else has it
 * ----------------------------------------------------------------
 */

HTAB *
act_match_table(const char *name, Size entry, MemoryContext context)
{
	HASHCTL		control = {.keysize = ACT_DIGEST_LEN,.entrysize = entry,.hcxt = context};

	return hash_create(name, 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static bool
is_of_part(const MatchScan *scan, const uint8 *digest)
{
	uint16		number;

	memcpy(&number, digest + ACT_DIGEST_LEN - sizeof(number), sizeof(number));
	return number % scan->nparts == scan->part;
}

static bool
same_key(const DiffState *state, const Datum *key, const Datum *other)
{
	for (int i = 0; i < state->model->sync->nkeys; i++)
	{
		if (!DatumGetBool(FunctionCall2Coll(&state->key_equal[i], state->model->key_collations[i],
											key[i], other[i])))
			return false;
	}
	return true;
}

/* Of those that share a match, the first ones. */
static void
note_other(MatchScan *scan, const MatchEntry *entry, const char *key)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->state->seen.context);

	scan->nothers++;
	if (list_length(scan->others) < MAX_OTHERS)
	{
		MatchKey   *other = palloc(sizeof(MatchKey));

		other->key = pstrdup(key);
		memcpy(other->digest, entry->digest, ACT_DIGEST_LEN);
		scan->others = lappend(scan->others, other);
	}
	MemoryContextSwitchTo(caller);
}

static void
note_collision(MatchScan *scan, MatchEntry *entry, const char *key)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->state->seen.context);
	MatchEntry *kept;
	bool		found;

	if (scan->collisions == NULL)
		scan->collisions = act_match_table("pg_activate match collisions", sizeof(MatchEntry), scan->state->seen.context);
	kept = hash_search(scan->collisions, entry->digest, HASH_ENTER, &found);
	if (!found)
	{
		memcpy(kept, entry, sizeof(MatchEntry));
		kept->key = NULL;
		kept->first = pstrdup(entry->first);
		kept->second = pstrdup(key);
		note_other(scan, entry, entry->first);
	}
	kept->more = found;
	entry->second = kept->second;
	note_other(scan, entry, key);
	MemoryContextSwitchTo(caller);
}

static bool
scan_digest(MatchScan *scan, TupleTableSlot *slot, uint8 *digest)
{
	const Model *model = scan->model;
	int			nkeys = model->sync->nkeys;
	StringInfoData image;
	StringInfoData json;

	initStringInfo(&image);
	initStringInfo(&json);
	for (int i = 0; i < scan->match->nfields; i++)
	{
		resetStringInfo(&json);
		if (act_value_append_formed(&json, model->leaf_values[scan->match->leaves[i]],
									slot->tts_values[nkeys + i], slot->tts_isnull[nkeys + i],
									&model->mapping->leaves[scan->match->leaves[i]].form) != NULL)
			return false;
		append_compared(&image, scan->match, json.data, json.len);
	}
	act_digest(image.data, image.len, digest);
	return true;
}

static void
look_at(MatchScan *scan, TupleTableSlot *slot)
{
	DiffState  *state = scan->state;
	int			nkeys = scan->model->sync->nkeys;
	uint8		digest[ACT_DIGEST_LEN];
	MatchEntry *entry;
	StringInfoData key;

	for (int i = 0; i < nkeys; i++)
	{
		if (slot->tts_isnull[i])
			return;
	}
	if (!scan_digest(scan, slot, digest) ||
		(entry = hash_search(scan->entries, digest, HASH_FIND, NULL)) == NULL ||
		(entry->key != NULL && same_key(state, entry->key, slot->tts_values)))
		return;
	initStringInfo(&key);
	(void) act_diff_render_key(state, slot, &key);
	if (entry->key == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(scan->context);

		entry->key = palloc(sizeof(Datum) * nkeys);
		for (int i = 0; i < nkeys; i++)
			entry->key[i] = datumCopy(slot->tts_values[i], state->key_byval[i], state->key_len[i]);
		entry->first = pstrdup(key.data);
		MemoryContextSwitchTo(caller);
	}
	else
		note_collision(scan, entry, key.data);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *receiver)
{
	MatchScan  *scan = (MatchScan *) receiver;
	MemoryContext caller = MemoryContextSwitchTo(scan->row_context);

	slot_getallattrs(slot);
	look_at(scan, slot);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(scan->row_context);
	return true;
}

static void
startup(DestReceiver *receiver, int operation, TupleDesc desc)
{
	MatchScan  *scan = (MatchScan *) receiver;
	const Model *model = scan->model;
	int			nkeys = model->sync->nkeys;

	for (int i = 0; i < nkeys; i++)
		act_diff_query_require_type(model, model->sync->key[i], model->key_types[i],
									TupleDescAttr(desc, i)->atttypid);
	for (int i = 0; i < scan->match->nfields; i++)
	{
		int			leaf = scan->match->leaves[i];

		act_diff_query_require_type(model, act_mapping_leaf_label(model->mapping, leaf),
									model->leaf_types[leaf], TupleDescAttr(desc, nkeys + i)->atttypid);
	}
}

static void
nothing(DestReceiver *receiver)
{
}

/* The match values of the rows to send, of this part. */
static void
read_entries(MatchScan *scan)
{
	Diff	   *diff = scan->state->diff;
	MemoryContext caller = MemoryContextSwitchTo(scan->row_context);
	Row		   *row;

	tuplestore_rescan(diff->rows);
	while ((row = act_diff_next(diff)) != NULL)
	{
		uint8		digest[ACT_DIGEST_LEN];
		bool		found;

		CHECK_FOR_INTERRUPTS();
		if (act_match_digest(scan->match, row, digest) && is_of_part(scan, digest))
		{
			MatchEntry *entry = hash_search(scan->entries, digest, HASH_ENTER, &found);

			if (!found)
				memset((char *) entry + ACT_DIGEST_LEN, 0, sizeof(MatchEntry) - ACT_DIGEST_LEN);
		}
		MemoryContextReset(scan->row_context);
	}
	MemoryContextSwitchTo(caller);
}

/* May begin anew: a match that was noted is noted once. */
static void
scan_model(const Model *const *models, void *arg)
{
	MatchScan  *scan = arg;
	SPIExecuteOptions options = {.read_only = true,.dest = &scan->receiver};
	MemoryContext caller = CurrentMemoryContext;

	scan->model = models[0];
	scan->collisions = NULL;
	scan->others = NIL;
	scan->nothers = 0;
	scan->nparts = (int) (scan->state->diff->counts.to_send / ROWS_AT_ONCE) + 1;
	for (scan->part = 0; scan->part < scan->nparts; scan->part++)
	{
		int			result;

		MemoryContextReset(scan->context);
		scan->entries = act_match_table("pg_activate match values", sizeof(MatchEntry), scan->context);
		read_entries(scan);
		if (hash_get_num_entries(scan->entries) == 0)
			continue;
		result = SPI_execute_extended(act_diff_query_match(scan->model, scan->match->nfields, scan->match->leaves),
									  &options);
		MemoryContextSwitchTo(caller);
		if (result != SPI_OK_SELECT)
			elog(ERROR, "unexpected result %s of the match values", SPI_result_code_string(result));
	}
}

void
act_match_check(DiffState *state, const Model *model, const Model *whole)
{
	Diff	   *diff = state->diff;
	MatchScan	scan = {
		.receiver = {.receiveSlot = receive,.rStartup = startup,.rShutdown = nothing,
		.rDestroy = nothing,.mydest = DestTuplestore},
		.state = state,.match = state->match
	};

	if (state->match == NULL || diff->counts.to_send == 0)
		return;
	scan.context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate match", ALLOCSET_DEFAULT_SIZES);
	scan.row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate match row", ALLOCSET_DEFAULT_SIZES);
	/* What care found is of all rows, unless the diff is of a few. */
	if (model->careful != 0 && state->keys == NULL)
		scan_model(&model, &scan);
	else
		act_diff_carefully(&whole, 1, NULL, scan_model, &scan);
	tuplestore_rescan(diff->rows);
	if (scan.collisions != NULL || (state->keep_rows > 0 && diff->counts.to_send > state->keep_rows))
		act_match_take_out(&scan, whole);
	MemoryContextDelete(scan.context);
	MemoryContextDelete(scan.row_context);
}
