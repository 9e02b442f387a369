/*-------------------------------------------------------------------------
 *
 * diff_careful.c
 *	  A mapping that raises on some rows: those are named, the others go on.
 *
 * One bad row ends the statement that compares a model with its snapshot, and
 * a subtransaction for each row would make every diff pay for it.  So it is
 * only when a diff failed that the mapping is evaluated with care, block by
 * block (diff_block.c), and the diff is made of the results, which
 * activate.diff_rows() puts in the place of the model.
 *
 * All of it in the transaction, snapshot and identity of the diff, without
 * parallel workers, in the caller's memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "optimizer/cost.h"

#include "diff_block.h"
#include "diff_careful.h"
#include "identity.h"
#include "removal.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_diff_rows);

/* The rows of a model with their leaves, for activate.diff_rows(number). */
typedef struct CarefulRows
{
	int			number;
	TupleDesc	desc;			/* keys, leaves, fingerprint, problem */
	Tuplestorestate *rows;
	struct CarefulRows *next;
} CarefulRows;

static int	last_number = 0;
static CarefulRows *served = NULL;

/*
 * Data, a function's own complaints (a user's codes too), limits of the
 * program; not what is wrong with the statement, the transaction, the server
 * or its disks.
 */
bool
act_diff_error_of_row(const ErrorData *error)
{
	static const char *const others[] = {
		"08", "0L", "0P", "25", "28", "2D", "3B", "3D", "3F", "40", "42", "53", "55", "57", "58",
		"72", "F0", "HV", "PA", "XX"
	};
	const char *code = unpack_sql_state(error->sqlerrcode);

	for (int i = 0; i < lengthof(others); i++)
	{
		if (strncmp(code, others[i], 2) == 0)
			return false;
	}
	return true;
}

/* What only parallel workers refuse, such as a subtransaction. */
static bool
may_be_of_a_worker(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INVALID_TRANSACTION_STATE &&
		error->sqlerrcode != ERRCODE_READ_ONLY_SQL_TRANSACTION && max_parallel_workers_per_gather > 0;
}

ParamListInfo
act_diff_keys_parameter(Jsonb *keys)
{
	ParamListInfo params;

	if (keys == NULL)
		return NULL;
	params = makeParamList(1);
	params->params[0].value = JsonbPGetDatum(keys);
	params->params[0].isnull = false;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = JSONBOID;
	return params;
}

/* activate.diff_rows(number): what became of the rows. */
Datum
act_diff_rows(PG_FUNCTION_ARGS)
{
	CarefulRows *rows = served;
	Tuplestorestate *set;
	TupleTableSlot *slot;

	while (rows != NULL && (PG_ARGISNULL(0) || rows->number != PG_GETARG_INT32(0)))
		rows = rows->next;
	if (rows == NULL)
		act_diff_set_refuse("diff_rows");
	set = act_diff_set_begin(fcinfo, rows->desc);
	slot = MakeSingleTupleTableSlot(rows->desc, &TTSOpsMinimalTuple);
	tuplestore_rescan(rows->rows);
	while (tuplestore_gettupleslot(rows->rows, true, false, slot))
		tuplestore_puttupleslot(set, slot);
	ExecDropSingleTupleTableSlot(slot);
	return (Datum) 0;
}

static CarefulRows *
begin_result(const Model *model)
{
	CarefulRows *result = palloc0(sizeof(CarefulRows));
	int			nkeys = model->sync->nkeys;

	result->number = last_number = last_number == PG_INT32_MAX ? 1 : last_number + 1;
	result->desc = CreateTemplateTupleDesc(nkeys + model->nleaves + 2);
	for (int i = 0; i < nkeys; i++)
		TupleDescInitEntry(result->desc, i + 1, "key", model->key_types[i], -1, 0);
	for (int i = 0; i < model->nleaves; i++)
		TupleDescInitEntry(result->desc, nkeys + i + 1, "leaf", model->leaf_types[i], -1, 0);
	TupleDescInitEntry(result->desc, nkeys + model->nleaves + 1, "fp", UUIDOID, -1, 0);
	TupleDescInitEntry(result->desc, nkeys + model->nleaves + 2, "problem", TEXTOID, -1, 0);
	result->rows = tuplestore_begin_heap(false, false, Max(work_mem / 8, 64));
	return result;
}

#define MAX_MODELS 2

typedef struct Work
{
	const Model *models[MAX_MODELS];
	void		(*work) (const Model *const *models, void *arg);
	void	   *arg;
} Work;

static void
do_work(void *arg)
{
	Work	   *work = arg;

	work->work(work->models, work->arg);
}

/* From now on its rows are those that care found. */
static void
serve(const Model **model, Jsonb *keys, ErrorData *error)
{
	Model	   *careful = memcpy(palloc(sizeof(Model)), *model, sizeof(Model));
	CarefulRows *rows = begin_result(careful);

	act_diff_block_evaluate(careful, keys, error, rows->desc, rows->rows);
	careful->careful = rows->number;
	*model = careful;
	rows->next = served;
	served = rows;
}

static void
serve_all(Work *work, int nmodels, Jsonb *keys, ErrorData *error)
{
	for (int i = 0; i < nmodels; i++)
		serve(&work->models[i], keys, error);
}

static void
stop_serving(CarefulRows *outer)
{
	while (served != outer)
	{
		tuplestore_end(served->rows);
		served = served->next;
	}
}

/*
 * In PG_CATCH.  The mapping's leaves are values by now, so that what a row can
 * still raise is what goes out for rows that left.
 */
static void
rethrow_removal(const Model *model, MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (act_removal_leaves(model) == 0 || error->message == NULL || !act_diff_error_of_row(error))
		PG_RE_THROW();
	FlushErrorState();
	error->message = psprintf("sync \"%s\": what is sent for a row that left the model raises: %s",
							  model->sync->name, error->message);
	if (error->hint == NULL)
		error->hint = pstrdup("Option removed_mapping, and match fields, must work for the key of each row that left.");
	ThrowErrorData(error);
}

static void
do_carefully(Work *work, int nmodels, Jsonb *keys, ErrorData *error)
{
	CarefulRows *outer = served;
	MemoryContext context = CurrentMemoryContext;
	volatile bool is_served = false;

	PG_TRY();
	{
		serve_all(work, nmodels, keys, error);
		is_served = true;
		do_work(work);
	}
	PG_CATCH();
	{
		stop_serving(outer);
		if (is_served)
			rethrow_removal(work->models[0], context);
		PG_RE_THROW();
	}
	PG_END_TRY();
	stop_serving(outer);
}

void
act_diff_carefully(const Model *const *models, int nmodels, Jsonb *keys,
				   void (*work) (const Model *const *models, void *arg), void *arg)
{
	Work		own = {.work = work,.arg = arg};
	ErrorData  *error;

	Assert(nmodels <= MAX_MODELS);
	for (int i = 0; i < nmodels; i++)
		own.models[i] = models[i];
	error = act_transaction_attempt(do_work, &own);
	if (error != NULL && may_be_of_a_worker(error))
	{
		act_identity_set("max_parallel_workers_per_gather", "0");
		error = act_transaction_attempt(do_work, &own);
	}
	if (error == NULL)
		return;
	if (!act_diff_error_of_row(error))
		ReThrowError(error);
	act_identity_set("max_parallel_workers_per_gather", "0");
	do_carefully(&own, nmodels, keys, error);
}
