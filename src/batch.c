/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  Rows that travel in one request.
 *
 * Needs no transaction: rows are rendered already, and the connector turns
 * them into a body without looking anything up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "batch.h"
#include "canary.h"

/* Where neither connector nor destination limit a body. */
#define DEFAULT_MAX_BYTES (5 * 1024 * 1024)

int
act_batch_limit(const Run *run, const ConnectorOperation *operation)
{
	int			limit = operation->default_rows;

	if (run->destination->batch_size > 0)
		limit = run->destination->batch_size;
	if (run->sync->options.batch_size > 0)
		limit = run->sync->options.batch_size;
	if (operation->max_rows > 0)
		limit = Min(limit, operation->max_rows);
	return Max(limit, 1);
}

bool
act_batch_at_most_once(const Run *run, const ConnectorOperation *operation)
{
	switch (run->sync->options.delivery)
	{
		case DELIVERY_AT_LEAST_ONCE:
			return false;
		case DELIVERY_AT_MOST_ONCE:
			return true;
		case DELIVERY_DEFAULT:
			break;
	}
	return !operation->idempotent;
}

static const ConnectorOperation *
row_operation(const Run *run, const Row *row)
{
	const ConnectorOperation *operation = act_connector_operation(run->destination->connector, row->op);

	if (operation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("connector \"%s\" of destination \"%s\" knows no operation \"%s\"",
						run->destination->connector_name, run->destination->name,
						act_row_op_sent_name(row->op))));
	return operation;
}

static bool
same_request(const ConnectorOperation *a, const ConnectorOperation *b)
{
	if (a->op == b->op)
		return true;
	return a->mix != NULL && b->mix != NULL && strcmp(a->mix, b->mix) == 0;
}

/*
 * Mode replace: one batch, whatever its size.  What differs is claimed and
 * settled; there may be nothing, when only the order does.
 */
static Batch *
read_unit(BatchReader *reader)
{
	Run		   *run = reader->run;
	MemoryContext context;
	MemoryContext caller;
	Batch	   *batch;

	if (reader->done)
		return NULL;
	reader->done = true;
	context = AllocSetContextCreate(run->context, "pg_activate batch", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	batch = palloc0(sizeof(Batch));
	batch->unit = run->unit;
	batch->rows = MemoryContextAllocHuge(context, sizeof(Row *) * Max(run->diff.counts.to_send, 1));
	for (;;)
	{
		Row		   *row = act_diff_next(&run->diff);

		if (row == NULL)
			break;
		/* One answer for all of them, so one back-off. */
		row->attempts = run->unit->attempts;
		batch->rows[batch->nrows++] = row;
	}
	batch->claim = palloc0(sizeof(Claim));
	batch->claim->open = 1;
	batch->claim->context = context;
	MemoryContextSwitchTo(caller);
	return batch;
}

/*
 * Rows in the batch's own context, but for the one that turned out to belong
 * to the next: that one starts the next batch's context.
 */
Batch *
act_batch_read(BatchReader *reader)
{
	Run		   *run = reader->run;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	const ConnectorOperation *operation = NULL;
	Batch	   *batch;
	size_t		bytes = 0;
	int			limit = 0;

	if (run->unit != NULL)
		return read_unit(reader);
	if (reader->done && reader->ahead == NULL)
		return NULL;
	context = reader->ahead != NULL ? reader->ahead_context :
		AllocSetContextCreate(run->context, "pg_activate batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	batch = palloc0(sizeof(Batch));
	for (;;)
	{
		const ConnectorOperation *own;
		Row		   *row = reader->ahead;
		size_t		row_bytes;

		if (row == NULL && !reader->done)
			row = run->canary != NULL ? act_canary_next(run) : act_diff_next(&run->diff);
		reader->ahead = NULL;
		if (row == NULL)
		{
			reader->done = true;
			break;
		}
		own = row_operation(run, row);
		row_bytes = act_connector_row_bytes(run->destination->connector, &run->scope, row);
		if (operation == NULL)
		{
			operation = own;
			limit = act_batch_limit(run, own);
			batch->rows = palloc(sizeof(Row *) * limit);
		}
		else if (!same_request(operation, own) ||
				 bytes + row_bytes > (operation->max_bytes > 0 ? operation->max_bytes : DEFAULT_MAX_BYTES))
		{
			reader->ahead = row;
			break;
		}
		row->at_most_once = act_batch_at_most_once(run, own);
		batch->at_most_once = batch->at_most_once || row->at_most_once;
		batch->rows[batch->nrows++] = row;
		bytes += row_bytes;
		if (batch->nrows >= limit)
			break;
	}
	if (batch->nrows == 0)
	{
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(context);
		return NULL;
	}
	batch->claim = palloc0(sizeof(Claim));
	batch->claim->open = 1;
	batch->claim->context = context;
	if (reader->ahead != NULL)
	{
		/* The row was read into this batch's context: give it one of its own. */
		reader->ahead_context = AllocSetContextCreate(run->context, "pg_activate batch",
													  ALLOCSET_DEFAULT_SIZES);
		MemoryContextSwitchTo(reader->ahead_context);
		reader->ahead = act_row_copy(reader->ahead);
	}
	MemoryContextSwitchTo(caller);
	return batch;
}

/* All rows of the model, for as long as it takes to render them. */
static void
render_unit(const Run *run, Batch *batch)
{
	Unit	   *unit = batch->unit;
	const Connector *connector = run->destination->connector;
	MemoryContext context = AllocSetContextCreate(batch->claim->context, "pg_activate unit", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Row		  **rows = MemoryContextAllocHuge(context, sizeof(Row *) * Max(unit->nrows, 1));
	int			nrows = 0;

	act_unit_rewind(unit);
	while (nrows < unit->nrows && (rows[nrows] = act_unit_next(unit)) != NULL)
		nrows++;
	MemoryContextSwitchTo(batch->claim->context);
	act_connector_render_unit(connector, &run->scope, rows, nrows, unit->id, &batch->request);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

void
act_batch_render(const Run *run, Batch *batch)
{
	MemoryContext caller = MemoryContextSwitchTo(batch->claim->context);

	if (batch->unit != NULL)
	{
		render_unit(run, batch);
		MemoryContextSwitchTo(caller);
		return;
	}
	act_connector_render(run->destination->connector, &run->scope,
						 batch->rows, batch->nrows, &batch->request);
	batch->request.at_most_once = batch->at_most_once;
	MemoryContextSwitchTo(caller);
}

Batch *
act_batch_part(const Batch *batch, int from, int to)
{
	Batch	   *part = MemoryContextAllocZero(batch->claim->context, sizeof(Batch));

	part->claim = batch->claim;
	part->claim->open++;
	part->rows = batch->rows + from;
	part->nrows = to - from;
	part->at_most_once = batch->at_most_once;
	part->uncertain = batch->uncertain;
	part->late = batch->late;
	part->accepted_before = batch->accepted_before;
	return part;
}
