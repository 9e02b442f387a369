/*-------------------------------------------------------------------------
 *
 * diff_block.c
 *	  A mapping evaluated with care: over rows in blocks, and by itself over
 *	  those that it raises on.
 *
 * Part of the careful diff (diff_careful.c), in its transaction, snapshot and
 * identity.  The rows of the model are read once, as far as the mapping needs
 * them, and fed to a query over nothing but activate.diff_block().  Rows come
 * out of it one by one in their order, so that the row after the last one to
 * come out is the one that raised; each leaf by itself then tells which field
 * it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "diff_block.h"
#include "diff_careful.h"
#include "diff_query.h"
#include "mapping.h"
#include "server_text.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_diff_block);

/* Rows evaluated at once: so many, or as many as take so much memory. */
#define BLOCK_ROWS 1000
#define BLOCK_BYTES (16 * 1024 * 1024)

/* Of what an error says. */
#define MAX_MESSAGE 1000

/* A mapping at work over the rows of its model. */
typedef struct Evaluation
{
	DestReceiver receiver;		/* must be first */
	const Model *model;
	Tuplestorestate *rows;		/* what became of them: keys, leaves, fingerprint, problem */
	TupleDesc	desc;

	/* the model's rows: key columns, then those of model->columns */
	Tuplestorestate *raw;
	TupleDesc	raw_desc;
	TupleTableSlot *raw_slot;	/* for reading them */
	TupleTableSlot *row_slot;	/* the row of the block that is looked at */

	/* those of them that diff_block() answers now */
	MemoryContext block_context;
	MinimalTuple *block;
	int			nrows;
	int			first;
	int			count;
	TupleDesc	block_desc;
	bool		composite;		/* of the relation's own type */

	SPIPlanPtr	plan;			/* all leaves and the fingerprint */
	SPIPlanPtr *leaf_plans;		/* each by itself; made when needed */
	int			leaf;			/* that is evaluated by itself; -1: all are */
	int			culprit;		/* the leaf that raised last */
	int			done;			/* rows of the block that came out */
	MemoryContext row_context;	/* reset for each */
} Evaluation;

static Evaluation *evaluating = NULL;

/* ----------------------------------------------------------------
 *		The rows of the model
 * ----------------------------------------------------------------
 */

/* Whatever is raised here is the model's. */
static void
read_model(Evaluation *evaluation, Jsonb *keys)
{
	const Model *model = evaluation->model;
	int			nkeys = model->sync->nkeys;
	MemoryContext caller = CurrentMemoryContext;
	DestReceiver *receiver = CreateDestReceiver(DestTuplestore);
	SPIExecuteOptions options = {.params = act_diff_keys_parameter(keys),.read_only = true,.dest = receiver};
	int			result;

	evaluation->raw_desc = CreateTemplateTupleDesc(nkeys + model->ncolumns);
	for (int i = 0; i < nkeys; i++)
		TupleDescInitEntry(evaluation->raw_desc, i + 1, "key", model->key_types[i], -1, 0);
	for (int i = 0; i < model->ncolumns; i++)
		TupleDescInitEntry(evaluation->raw_desc, nkeys + i + 1, "column", model->columns[i].type, -1, 0);
	evaluation->raw = tuplestore_begin_heap(false, false, Max(work_mem / 8, 64));
	evaluation->raw_slot = MakeSingleTupleTableSlot(evaluation->raw_desc, &TTSOpsMinimalTuple);
	evaluation->row_slot = MakeSingleTupleTableSlot(evaluation->raw_desc, &TTSOpsMinimalTuple);
	SetTuplestoreDestReceiverParams(receiver, evaluation->raw, caller, false, evaluation->raw_desc,
									"The model changed while it was read.");
	result = SPI_execute_extended(act_diff_query_raw(model, keys != NULL), &options);
	MemoryContextSwitchTo(caller);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of the model", SPI_result_code_string(result));
}

/* The next rows of the model as the block; false: there are none. */
static bool
read_block(Evaluation *evaluation)
{
	MemoryContext caller;
	Size		bytes = 0;

	MemoryContextReset(evaluation->block_context);
	caller = MemoryContextSwitchTo(evaluation->block_context);
	evaluation->nrows = 0;
	while (evaluation->nrows < BLOCK_ROWS && bytes < BLOCK_BYTES &&
		   tuplestore_gettupleslot(evaluation->raw, true, false, evaluation->raw_slot))
	{
		MinimalTuple row = ExecCopySlotMinimalTuple(evaluation->raw_slot);

		evaluation->block[evaluation->nrows++] = row;
		bytes += row->t_len;
	}
	ExecClearTuple(evaluation->raw_slot);
	MemoryContextSwitchTo(caller);
	CHECK_FOR_INTERRUPTS();
	return evaluation->nrows > 0;
}

/* ----------------------------------------------------------------
 *		SQL-callable: the rows that the query is over
 * ----------------------------------------------------------------
 */

/* A model can call these, too: the executor compares desc with what was asked for. */
Tuplestorestate *
act_diff_set_begin(FunctionCallInfo fcinfo, TupleDesc desc)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext caller;

	if (set == NULL || !IsA(set, ReturnSetInfo) || (set->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	caller = MemoryContextSwitchTo(set->econtext->ecxt_per_query_memory);
	set->returnMode = SFRM_Materialize;
	set->setDesc = CreateTupleDescCopy(desc);
	set->setResult = tuplestore_begin_heap((set->allowedModes & SFRM_Materialize_Random) != 0,
										   false, Max(work_mem / 8, 64));
	MemoryContextSwitchTo(caller);
	return set->setResult;
}

void
act_diff_set_refuse(const char *function)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("activate.%s() is part of the diff of a sync and cannot be called by itself", function),
			 errhint("To see what differs: SELECT * FROM activate.preview_sync('...');")));
}

/* activate.diff_block(), or of a relation's row type: the rows that are evaluated. */
Datum
act_diff_block(PG_FUNCTION_ARGS)
{
	Evaluation *evaluation = evaluating;
	Tuplestorestate *set;
	Datum	   *values;
	bool	   *nulls;

	if (evaluation == NULL || evaluation->composite != (PG_NARGS() == 1))
		act_diff_set_refuse("diff_block");
	set = act_diff_set_begin(fcinfo, evaluation->block_desc);
	values = palloc0(sizeof(Datum) * evaluation->block_desc->natts);
	nulls = palloc(evaluation->block_desc->natts);
	memset(nulls, true, evaluation->block_desc->natts);
	for (int i = evaluation->first; i < evaluation->first + evaluation->count; i++)
	{
		TupleTableSlot *slot = evaluation->row_slot;

		ExecStoreMinimalTuple(evaluation->block[i], slot, false);
		slot_getallattrs(slot);
		for (int j = 0; j < evaluation->model->ncolumns; j++)
		{
			int			to = evaluation->composite ? evaluation->model->columns[j].number - 1 : j;
			int			from = evaluation->model->sync->nkeys + j;

			values[to] = slot->tts_values[from];
			nulls[to] = slot->tts_isnull[from];
		}
		tuplestore_putvalues(set, evaluation->block_desc, values, nulls);
		ExecClearTuple(slot);
	}
	return (Datum) 0;
}

/* ----------------------------------------------------------------
 *		The mapping over them
 * ----------------------------------------------------------------
 */

static bool
receive(TupleTableSlot *slot, DestReceiver *receiver)
{
	Evaluation *evaluation = (Evaluation *) receiver;
	const Model *model = evaluation->model;
	MemoryContext caller = MemoryContextSwitchTo(evaluation->row_context);
	int			nkeys = model->sync->nkeys;
	StringInfoData json;

	slot_getallattrs(slot);
	initStringInfo(&json);
	if (evaluation->leaf >= 0)
		(void) act_value_append_json(&json, model->leaf_values[evaluation->leaf],
									 slot->tts_values[0], slot->tts_isnull[0]);
	else
	{
		TupleDesc	desc = evaluation->desc;
		TupleTableSlot *row = evaluation->row_slot;
		Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
		bool	   *nulls = palloc0(desc->natts);

		/* Output functions and casts to JSON may be a user's, and raise as well. */
		for (int i = 0; i < model->nleaves; i++)
		{
			resetStringInfo(&json);
			(void) act_value_append_json(&json, model->leaf_values[i], slot->tts_values[i], slot->tts_isnull[i]);
		}
		ExecStoreMinimalTuple(evaluation->block[evaluation->first + evaluation->done], row, false);
		slot_getsomeattrs(row, nkeys);
		memcpy(values, row->tts_values, sizeof(Datum) * nkeys);
		memcpy(nulls, row->tts_isnull, nkeys);
		memcpy(values + nkeys, slot->tts_values, sizeof(Datum) * (model->nleaves + 1));
		memcpy(nulls + nkeys, slot->tts_isnull, model->nleaves + 1);
		nulls[desc->natts - 1] = true;
		tuplestore_putvalues(evaluation->rows, desc, values, nulls);
		ExecClearTuple(row);
		evaluation->done++;
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(evaluation->row_context);
	return true;
}

static void
startup(DestReceiver *receiver, int operation, TupleDesc desc)
{
	Evaluation *evaluation = (Evaluation *) receiver;
	const Model *model = evaluation->model;

	if (evaluation->leaf >= 0)
	{
		act_diff_query_require_type(model, act_mapping_leaf_label(model->mapping, evaluation->leaf),
									model->leaf_types[evaluation->leaf], TupleDescAttr(desc, 0)->atttypid);
		return;
	}
	for (int i = 0; i < model->nleaves; i++)
		act_diff_query_require_type(model, act_mapping_leaf_label(model->mapping, i),
									model->leaf_types[i], TupleDescAttr(desc, i)->atttypid);
}

static void
nothing(DestReceiver *receiver)
{
}

static SPIPlanPtr
prepare(const Model *model, int leaf)
{
	MemoryContext caller = CurrentMemoryContext;
	SPIPlanPtr	plan = SPI_prepare(act_diff_query_leaves(model, leaf), 0, NULL);

	MemoryContextSwitchTo(caller);
	if (plan == NULL)
		elog(ERROR, "could not prepare a mapping: %s", SPI_result_code_string(SPI_result));
	return plan;
}

static void
prepare_all(void *arg)
{
	Evaluation *evaluation = arg;

	evaluation->plan = prepare(evaluation->model, -1);
}

/* The rows from first on, count of them, all leaves or one. */
static void
evaluate(void *arg)
{
	Evaluation *evaluation = arg;
	SPIExecuteOptions options = {.read_only = true,.dest = &evaluation->receiver};
	MemoryContext caller = CurrentMemoryContext;
	SPIPlanPtr	plan = evaluation->plan;
	int			result;

	if (evaluation->leaf >= 0)
	{
		SPIPlanPtr *own = &evaluation->leaf_plans[evaluation->leaf];

		if (*own == NULL)
			*own = prepare(evaluation->model, evaluation->leaf);
		plan = *own;
	}
	result = SPI_execute_plan_extended(plan, &options);
	MemoryContextSwitchTo(caller);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of a mapping", SPI_result_code_string(result));
}

/* NULL: it does not raise by itself. */
static ErrorData *
evaluate_leaf(Evaluation *evaluation, int leaf)
{
	ErrorData  *error;

	evaluation->leaf = leaf;
	evaluation->count = 1;
	error = act_transaction_attempt(evaluate, evaluation);
	evaluation->leaf = -1;
	MemoryContextReset(evaluation->row_context);
	return error;
}

/* The same field mostly: asked first.  -1: each by itself is fine. */
static int
find_culprit(Evaluation *evaluation, ErrorData **error)
{
	int			nleaves = evaluation->model->nleaves;

	for (int i = -1; i < nleaves; i++)
	{
		int			leaf = i < 0 ? evaluation->culprit : i;
		ErrorData  *own;

		if (leaf < 0 || (i >= 0 && leaf == evaluation->culprit))
			continue;
		CHECK_FOR_INTERRUPTS();
		own = evaluate_leaf(evaluation, leaf);
		if (own == NULL)
			continue;
		if (!act_diff_error_of_row(own))
			ReThrowError(own);
		*error = own;
		evaluation->culprit = leaf;
		return leaf;
	}
	return -1;
}

/* The row is in the model, and cannot be sent. */
static void
put_problem(Evaluation *evaluation, int index, ErrorData *error)
{
	const Model *model = evaluation->model;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate bad row",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	TupleDesc	desc = evaluation->desc;
	TupleTableSlot *row = evaluation->row_slot;
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(desc->natts);
	int			nkeys = model->sync->nkeys;
	int			leaf;
	char	   *message;

	evaluation->first = index;
	leaf = find_culprit(evaluation, &error);
	message = act_server_text_clip(act_server_text_utf8(error->message ? error->message : "an error"),
								   MAX_MESSAGE);
	if (leaf >= 0)
		message = psprintf("mapping field \"%s\": %s",
						   act_server_text_utf8(act_mapping_leaf_label(model->mapping, leaf)), message);
	else
		message = psprintf("mapping: %s", message);

	memset(nulls, true, desc->natts);
	ExecStoreMinimalTuple(evaluation->block[index], row, false);
	slot_getsomeattrs(row, nkeys);
	memcpy(values, row->tts_values, sizeof(Datum) * nkeys);
	memcpy(nulls, row->tts_isnull, nkeys);
	values[desc->natts - 1] = PointerGetDatum(cstring_to_text(message));
	nulls[desc->natts - 1] = false;
	tuplestore_putvalues(evaluation->rows, desc, values, nulls);
	ExecClearTuple(row);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/*
 * From where it raised on with a row by itself, then with more at once again:
 * where one is bad, the next ones often are.
 */
static void
evaluate_block(Evaluation *evaluation)
{
	int			size = evaluation->nrows;
	int			next = 0;

	while (next < evaluation->nrows)
	{
		ErrorData  *error;

		evaluation->first = next;
		evaluation->count = Min(size, evaluation->nrows - next);
		evaluation->done = 0;
		error = act_transaction_attempt(evaluate, evaluation);
		MemoryContextReset(evaluation->row_context);
		next += evaluation->done;
		if (error == NULL)
		{
			if (evaluation->done != evaluation->count)
				elog(ERROR, "%d rows of %d came out of a mapping", evaluation->done, evaluation->count);
			size *= 2;
			continue;
		}
		if (!act_diff_error_of_row(error) || evaluation->done >= evaluation->count)
			ReThrowError(error);
		put_problem(evaluation, next++, error);
		FreeErrorData(error);
		size = 1;
	}
}

static void
describe_block(Evaluation *evaluation)
{
	const Model *model = evaluation->model;

	evaluation->composite = model->whole_row && OidIsValid(model->relation);
	if (evaluation->composite)
	{
		evaluation->block_desc = lookup_rowtype_tupdesc_copy(get_rel_type_id(model->relation), -1);
		return;
	}
	evaluation->block_desc = CreateTemplateTupleDesc(Max(model->ncolumns, 1));
	for (int i = 0; i < model->ncolumns; i++)
		TupleDescInitEntry(evaluation->block_desc, i + 1, model->columns[i].name, model->columns[i].type, -1, 0);
	if (model->ncolumns == 0)
		TupleDescInitEntry(evaluation->block_desc, 1, "nothing", INT4OID, -1, 0);
}

static void
evaluate_model(Evaluation *evaluation, Jsonb *keys, ErrorData *error)
{
	if (act_transaction_attempt(prepare_all, evaluation) != NULL)
		ReThrowError(error);
	read_model(evaluation, keys);
	while (read_block(evaluation))
		evaluate_block(evaluation);
}

void
act_diff_block_evaluate(const Model *model, Jsonb *keys, ErrorData *error,
						TupleDesc desc, Tuplestorestate *rows)
{
	Evaluation *outer = evaluating;
	Evaluation	evaluation = {
		.receiver = {.receiveSlot = receive,.rStartup = startup,.rShutdown = nothing,
		.rDestroy = nothing,.mydest = DestTuplestore},
		.model = model,.desc = desc,.rows = rows,.leaf = -1,.culprit = -1
	};

	if (model->nleaves == 0)
		ReThrowError(error);
	evaluation.block = palloc(sizeof(MinimalTuple) * BLOCK_ROWS);
	evaluation.leaf_plans = palloc0(sizeof(SPIPlanPtr) * model->nleaves);
	evaluation.block_context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate careful block",
													 ALLOCSET_DEFAULT_SIZES);
	evaluation.row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate careful row",
												   ALLOCSET_DEFAULT_SIZES);
	describe_block(&evaluation);
	PG_TRY();
	{
		evaluating = &evaluation;
		evaluate_model(&evaluation, keys, error);
	}
	PG_FINALLY();
	{
		evaluating = outer;
	}
	PG_END_TRY();
	tuplestore_end(evaluation.raw);
	ExecDropSingleTupleTableSlot(evaluation.raw_slot);
	ExecDropSingleTupleTableSlot(evaluation.row_slot);
	for (int i = 0; i < model->nleaves; i++)
	{
		if (evaluation.leaf_plans[i] != NULL)
			(void) SPI_freeplan(evaluation.leaf_plans[i]);
	}
	(void) SPI_freeplan(evaluation.plan);
	MemoryContextDelete(evaluation.block_context);
	MemoryContextDelete(evaluation.row_context);
}
