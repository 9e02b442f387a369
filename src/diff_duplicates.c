/*-------------------------------------------------------------------------
 *
 * diff_duplicates.c
 *	  In which fields the rows of one key differ.
 *
 * The diff sees that fingerprints differ, and of two rows one may have been
 * found unchanged long before.  So the values are read again, by key, for the
 * examples that are told of: only where there are any, in one query.
 *
 * Inside a diff: in its transaction, snapshot and identity.  What cannot be
 * found out (the model answers otherwise each time) stays untold.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "diff_careful.h"
#include "diff_duplicates.h"
#include "diff_query.h"
#include "key_argument.h"
#include "mapping.h"
#include "reference.h"
#include "server_text.h"
#include "settle.h"
#include "transaction.h"

/* In a message: fields, and bytes of each value. */
#define MAX_FIELDS 3
#define MAX_SHOWN 60

typedef struct Duplicates
{
	DestReceiver receiver;		/* must be first */
	DiffState  *state;
	const Model *model;
	Jsonb	   *keys;
	List	   *told;			/* of InvalidRow, in key order */
	int			next;			/* of them, the one that the next key may be */

	/* the key at hand */
	MemoryContext key_context;
	MemoryContext row_context;
	char	   *key;			/* NULL: none */
	TupleTableSlot *first;		/* its first row; NULL before the query has begun */
	int64		rows;
	bool	   *differs;		/* by leaf */
	int			ndiffering;
	StringInfoData fields;		/* name (value, value), ... */
} Duplicates;

static InvalidRow *
find_told(Duplicates *duplicates)
{
	for (int i = duplicates->next; i < list_length(duplicates->told); i++)
	{
		InvalidRow *row = list_nth(duplicates->told, i);

		if (strcmp(row->key, duplicates->key) != 0)
			continue;
		duplicates->next = i + 1;
		return row;
	}
	return NULL;
}

static void
close_key(Duplicates *duplicates)
{
	InvalidRow *row;

	if (duplicates->key == NULL)
		return;
	row = duplicates->ndiffering == 0 ? NULL : find_told(duplicates);
	if (row != NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(duplicates->state->seen.context);
		int			more = duplicates->ndiffering - MAX_FIELDS;

		row->message = psprintf("the key occurs " INT64_FORMAT " times with different %s%s", duplicates->rows,
								duplicates->fields.data,
								more == 1 ? " and 1 more field" : more > 1 ? psprintf(" and %d more fields", more) : "");
		MemoryContextSwitchTo(caller);
	}
	ExecClearTuple(duplicates->first);
	duplicates->key = NULL;
	MemoryContextReset(duplicates->key_context);
}

static void
open_key(Duplicates *duplicates, TupleTableSlot *slot, const char *key)
{
	MemoryContext caller = MemoryContextSwitchTo(duplicates->key_context);

	duplicates->key = pstrdup(key);
	duplicates->rows = 1;
	ExecStoreMinimalTuple(ExecCopySlotMinimalTuple(slot), duplicates->first, false);
	slot_getallattrs(duplicates->first);
	duplicates->differs = palloc0(sizeof(bool) * Max(duplicates->model->nleaves, 1));
	duplicates->ndiffering = 0;
	initStringInfo(&duplicates->fields);
	MemoryContextSwitchTo(caller);
}

static char *
shown(const Duplicates *duplicates, TupleTableSlot *slot, int leaf)
{
	int			column = duplicates->model->sync->nkeys + leaf;
	StringInfoData buf;
	const char *problem;
	char	   *waits_for;

	initStringInfo(&buf);
	problem = act_value_append_json(&buf, duplicates->model->leaf_values[leaf],
									slot->tts_values[column], slot->tts_isnull[column]);
	if (problem != NULL)
		return pstrdup(problem);
	/* An id that is not known yet, in words. */
	waits_for = act_reference_waits_for(duplicates->state, buf.data);
	return waits_for != NULL ? waits_for : buf.data;
}

static void
compare_leaf(Duplicates *duplicates, TupleTableSlot *slot, int leaf)
{
	char	   *one = shown(duplicates, duplicates->first, leaf);
	char	   *other = shown(duplicates, slot, leaf);

	if (strcmp(one, other) == 0)
		return;
	duplicates->differs[leaf] = true;
	if (++duplicates->ndiffering > MAX_FIELDS)
		return;
	appendStringInfo(&duplicates->fields, "%s%s (%s, %s)", duplicates->ndiffering > 1 ? ", " : "",
					 act_server_text_utf8(act_mapping_leaf_label(duplicates->model->mapping, leaf)),
					 act_server_text_clip(one, MAX_SHOWN), act_server_text_clip(other, MAX_SHOWN));
}

static bool
same_key(const Duplicates *duplicates, TupleTableSlot *slot)
{
	const DiffState *state = duplicates->state;

	for (int i = 0; i < duplicates->model->sync->nkeys; i++)
	{
		if (!DatumGetBool(FunctionCall2Coll(&state->key_equal[i], duplicates->model->key_collations[i],
											duplicates->first->tts_values[i], slot->tts_values[i])))
			return false;
	}
	return true;
}

static bool
receive(TupleTableSlot *slot, DestReceiver *receiver)
{
	Duplicates *duplicates = (Duplicates *) receiver;
	MemoryContext caller = MemoryContextSwitchTo(duplicates->row_context);

	slot_getallattrs(slot);
	if (duplicates->key != NULL && !same_key(duplicates, slot))
		close_key(duplicates);
	if (duplicates->key == NULL)
	{
		StringInfoData key;

		initStringInfo(&key);
		(void) act_diff_render_key(duplicates->state, slot, &key);
		open_key(duplicates, slot, key.data);
	}
	else
	{
		duplicates->rows++;
		for (int leaf = 0; leaf < duplicates->model->nleaves; leaf++)
		{
			if (!duplicates->differs[leaf])
				compare_leaf(duplicates, slot, leaf);
		}
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(duplicates->row_context);
	return true;
}

static void
startup(DestReceiver *receiver, int operation, TupleDesc desc)
{
	Duplicates *duplicates = (Duplicates *) receiver;
	const Model *model = duplicates->model;
	MemoryContext caller;

	for (int i = 0; i < model->sync->nkeys; i++)
		act_diff_query_require_type(model, model->sync->key[i], model->key_types[i],
									TupleDescAttr(desc, i)->atttypid);
	for (int i = 0; i < model->nleaves; i++)
		act_diff_query_require_type(model, act_mapping_leaf_label(model->mapping, i), model->leaf_types[i],
									TupleDescAttr(desc, model->sync->nkeys + i)->atttypid);
	/* The last key is closed when the query, whose memory this is, is over. */
	caller = MemoryContextSwitchTo(duplicates->state->seen.context);
	duplicates->first = MakeSingleTupleTableSlot(CreateTupleDescCopy(desc), &TTSOpsMinimalTuple);
	MemoryContextSwitchTo(caller);
}

static void
nothing(DestReceiver *receiver)
{
}

static void
read_duplicates(void *arg)
{
	Duplicates *duplicates = arg;
	MemoryContext caller = CurrentMemoryContext;
	SPIExecuteOptions options = {
		.params = act_diff_keys_parameter(duplicates->keys),.read_only = true,.dest = &duplicates->receiver
	};
	int			result = SPI_execute_extended(act_diff_query_keys(duplicates->model), &options);

	MemoryContextSwitchTo(caller);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of the duplicates", SPI_result_code_string(result));
	close_key(duplicates);
}

/* Those that are told of, and their keys as an array; NULL: there are none. */
static Jsonb *
list_told(DiffState *state, List **told)
{
	StringInfoData buf;
	ListCell   *cell;

	*told = NIL;
	initStringInfo(&buf);
	appendStringInfoChar(&buf, '[');
	foreach(cell, state->diff->invalid)
	{
		InvalidRow *row = lfirst(cell);

		if (strcmp(row->code, DUPLICATE_CODE) != 0)
			continue;
		appendStringInfo(&buf, "%s%s", *told != NIL ? ", " : "", act_text_to_server(row->key));
		*told = lappend(*told, row);
	}
	appendStringInfoChar(&buf, ']');
	return *told == NIL ? NULL : DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data)));
}

void
act_diff_tell_duplicates(DiffState *state, const Model *model)
{
	Duplicates	duplicates = {
		.receiver = {.receiveSlot = receive,.rStartup = startup,.rShutdown = nothing,
		.rDestroy = nothing,.mydest = DestTuplestore},
		.state = state,.model = model
	};

	duplicates.keys = list_told(state, &duplicates.told);
	if (duplicates.keys == NULL)
		return;
	duplicates.keys = act_key_argument_read(model, duplicates.keys);
	duplicates.key_context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate duplicates of a key",
												   ALLOCSET_DEFAULT_SIZES);
	duplicates.row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate duplicate",
												   ALLOCSET_DEFAULT_SIZES);
	(void) act_transaction_try(read_duplicates, &duplicates);
	MemoryContextDelete(duplicates.key_context);
	MemoryContextDelete(duplicates.row_context);
	if (state->watched != NULL && state->watched->problem != NULL &&
		strcmp(state->watched->code, DUPLICATE_CODE) == 0)
		state->watched->problem = ((InvalidRow *) linitial(duplicates.told))->message;
}
