/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  Rows that travel in one request.
 *
 * Needs no transaction: rows are rendered already, and the connector turns
 * them into a body without looking anything up.  A batch is made of rows
 * that the reader reads for it, which are claimed then, in a context of their
 * own, and of rows that came back from other batches, which are claimed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "batch_private.h"
#include "canary.h"
#include "fault.h"
#include "text_set.h"

/* Where neither connector nor destination limit a body. */
#define DEFAULT_MAX_BYTES (5 * 1024 * 1024)

/* Space for rows at first; a power of two. */
#define FIRST_ROWS 16

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
	if (run->told_rows > 0)
		limit = Min(limit, run->told_rows);
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

const ConnectorOperation *
act_batch_operation(const Run *run, const Row *row)
{
	const ConnectorOperation *operation = act_connector_row_operation(run->destination->connector, row);

	if (operation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("connector \"%s\" of destination \"%s\" knows no operation \"%s\"",
						run->destination->connector_name, run->destination->name,
						act_row_op_sent_name(row->op))));
	return operation;
}

bool
act_batch_same_request(const ConnectorOperation *a, const ConnectorOperation *b)
{
	if (a == b)
		return true;
	return a->mix != NULL && b->mix != NULL && strcmp(a->mix, b->mix) == 0;
}

/* The next one that is to be sent, or NULL. */
static Row *
next_row(Run *run)
{
	Row		   *row = run->canary != NULL ? act_canary_next(run) : act_diff_next(&run->diff);

	if (row != NULL)
		act_connector_row_own_id(&run->scope, row);
	return row;
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
	Claim	   *claim;

	if (reader->done)
		return NULL;
	reader->done = true;
	context = AllocSetContextCreate(run->context, "pg_activate batch", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	batch = palloc0(sizeof(Batch));
	batch->context = context;
	batch->unit = run->unit;
	batch->fresh = claim = palloc0(sizeof(Claim));
	claim->context = context;
	claim->rows = MemoryContextAllocHuge(context, sizeof(Row *) * Max(run->diff.counts.to_send, 1));
	for (;;)
	{
		Row		   *row = act_diff_next(&run->diff);

		if (row == NULL)
			break;
		/* One answer for all of them, so one back-off. */
		row->attempts = run->unit->attempts;
		row->claim = claim;
		claim->rows[claim->nrows++] = row;
	}
	batch->rows = claim->rows;
	batch->nrows = claim->open = claim->nrows;
	MemoryContextSwitchTo(caller);
	return batch;
}

/* ------------------------------------------------------------------- filling */

void
act_filling_begin(BatchReader *reader, BatchFilling *filling, const ConnectorOperation *operation)
{
	const BatchSearch *search = reader->search;

	filling->operation = operation;
	filling->batch->lookup = operation->op == ROW_OP_NONE;
	filling->limit = filling->batch->limit = act_batch_limit(reader->run, operation);
	filling->max_bytes = operation->max_bytes > 0 ? operation->max_bytes : DEFAULT_MAX_BYTES;
	if (search != NULL)
		filling->limit = act_search_limit(search, filling->limit);
	if (search != NULL && search->max_bytes > 0)
		filling->max_bytes = Min(filling->max_bytes, search->max_bytes);
}

/* Rows, of which there may be few and space is made for as they come; count of them are there. */
static Row **
make_room(MemoryContext context, Row **rows, int count)
{
	if (rows == NULL)
		return MemoryContextAlloc(context, sizeof(Row *) * FIRST_ROWS);
	if (count < FIRST_ROWS || (count & (count - 1)) != 0)
		return rows;
	return repalloc(rows, sizeof(Row *) * 2 * count);
}

bool
act_filling_add(BatchReader *reader, BatchFilling *filling, Row *row)
{
	const Run  *run = reader->run;
	const ConnectorOperation *own = act_batch_operation(run, row);
	Batch	   *batch = filling->batch;
	size_t		url_bytes;
	const char *by = own->by == NULL ? NULL : act_connector_batch_by(run->destination->connector, row);
	char	   *match = NULL;

	if (!act_batch_same_request(filling->operation, own))
		return false;
	if (batch->nrows > 0 && (by == NULL || filling->by == NULL ? by != filling->by : strcmp(by, filling->by) != 0))
		return false;
	if (own->unique_match)
		match = act_connector_match_text(run->destination->connector, &run->scope, row);
	if (match != NULL && filling->matches != NULL && act_text_set_has(filling->matches, match))
	{
		filling->full = true;
		return false;
	}
	/* What it is measured by is its part of a lookup, then. */
	row->in_lookup = batch->lookup;
	if (row->bytes == 0)
		row->bytes = act_connector_row_bytes(run->destination->connector, &run->scope, row);
	if (filling->max_url_bytes == 0)
		filling->max_url_bytes = act_connector_url_room(run->destination->connector, &run->scope, row);
	url_bytes = act_connector_row_url_bytes(run->destination->connector, &run->scope, row);
	if (batch->nrows > 0 &&
		(batch->bytes + row->bytes > filling->max_bytes || batch->url_bytes + url_bytes > filling->max_url_bytes))
	{
		filling->full = true;
		return false;
	}
	if (batch->nrows == 0 && by != NULL)
		filling->by = MemoryContextStrdup(batch->context, by);
	if (match != NULL)
	{
		if (filling->matches == NULL)
			filling->matches = act_text_set_create(batch->context);
		act_text_set_add(filling->matches, match);
	}
	if (!batch->lookup)
	{
		row->at_most_once = act_batch_at_most_once(run, own);
		batch->at_most_once = batch->at_most_once || row->at_most_once;
	}
	batch->rows = make_room(batch->context, batch->rows, batch->nrows);
	batch->rows[batch->nrows++] = row;
	batch->bytes += row->bytes;
	batch->url_bytes += url_bytes;
	filling->full = batch->nrows >= filling->limit;
	return true;
}

void
act_filling_add_pooled(BatchReader *reader, BatchFilling *filling)
{
	BatchSearch *search = reader->search;
	int			kept = 0;

	if (search == NULL)
		return;
	for (int i = 0; i < search->npool; i++)
	{
		Row		   *row = search->pool[i];

		if (filling->full || !act_filling_add(reader, filling, row))
			search->pool[kept++] = row;
	}
	search->npool = kept;
}

void
act_filling_claim(BatchFilling *filling, Row *row)
{
	Claim	   *claim = filling->batch->fresh;

	claim->rows = make_room(claim->context, claim->rows, claim->nrows);
	row->claim = claim;
	claim->rows[claim->nrows++] = row;
	claim->open++;
}

/* The row that is read ahead keeps its context, which becomes that of the claim. */
static Claim *
begin_claim(BatchReader *reader)
{
	MemoryContext context = reader->ahead != NULL ? reader->ahead_context :
		AllocSetContextCreate(reader->run->context, "pg_activate rows", ALLOCSET_DEFAULT_SIZES);
	Claim	   *claim = MemoryContextAllocZero(context, sizeof(Claim));

	claim->context = context;
	return claim;
}

/* A row that was looked up becomes one of the batch's claim, unless it is claimed already. */
static void
adopt_row(BatchReader *reader, BatchFilling *filling, Row *row)
{
	Batch	   *batch = filling->batch;
	MemoryContext caller;
	Row		   *copy;

	if (row->claim->claimed)
		return;
	if (batch->fresh == NULL)
	{
		MemoryContext context = AllocSetContextCreate(reader->run->context, "pg_activate rows", ALLOCSET_DEFAULT_SIZES);

		batch->fresh = MemoryContextAllocZero(context, sizeof(Claim));
		batch->fresh->context = context;
	}
	caller = MemoryContextSwitchTo(batch->fresh->context);
	copy = act_row_copy(row);
	act_claim_leave(row->claim);
	act_filling_claim(filling, copy);
	batch->rows[batch->nrows - 1] = copy;
	MemoryContextSwitchTo(caller);
}

static void
add_onward(BatchReader *reader, BatchFilling *filling)
{
	int			kept = 0;

	for (int i = 0; i < reader->nonward; i++)
	{
		Row		   *row = reader->onward[i];

		if (filling->full || !act_filling_add(reader, filling, row))
			reader->onward[kept++] = row;
		else
			adopt_row(reader, filling, act_onward_take(reader, i));
	}
	reader->nonward = kept;
}

/*
 * Rows that were not read yet, in the context of the batch's claim.  The one
 * that turns out to belong to the next batch begins the context of that one's.
 */
static void
add_fresh(BatchReader *reader, BatchFilling *filling)
{
	Run		   *run = reader->run;
	Batch	   *batch = filling->batch;

	while (!reader->done && !filling->full)
	{
		Row		   *row = reader->ahead;

		if (row != NULL && !act_batch_same_request(filling->operation, act_batch_operation(run, row)))
			break;
		if (batch->fresh == NULL)
			batch->fresh = begin_claim(reader);
		else if (row != NULL)
		{
			MemoryContextSwitchTo(batch->fresh->context);
			row = act_row_copy(row);
			MemoryContextDelete(reader->ahead_context);
		}
		MemoryContextSwitchTo(batch->fresh->context);
		reader->ahead = NULL;
		if (row == NULL)
			row = next_row(run);
		if (row == NULL)
			reader->done = true;
		else if (act_filling_add(reader, filling, row))
			act_filling_claim(filling, row);
		else
		{
			reader->ahead_context = AllocSetContextCreate(run->context, "pg_activate rows", ALLOCSET_DEFAULT_SIZES);
			MemoryContextSwitchTo(reader->ahead_context);
			reader->ahead = act_row_copy(row);
			break;
		}
	}
	if (batch->fresh != NULL && batch->fresh->nrows == 0)
	{
		MemoryContextDelete(batch->fresh->context);
		batch->fresh = NULL;
	}
}

bool
act_filling_must_wait(const BatchReader *reader, const BatchFilling *filling)
{
	return reader->search != NULL && reader->done && !filling->full &&
		(filling->batch->fresh != NULL ? reader->searching : reader->more_may_come);
}

/* What kind of request it is is said by the first row; NULL: there is none. */
static const Row *
first_row(const BatchReader *reader)
{
	const Row  *row = reader->ahead;

	if (row == NULL && reader->search != NULL && reader->search->npool > 0)
		row = reader->search->pool[0];
	return row;
}

/* The next row is known before the batch that it may be part of. */
void
act_batch_read_ahead(BatchReader *reader)
{
	Run		   *run = reader->run;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;

	if (reader->done || reader->ahead != NULL)
		return;
	context = AllocSetContextCreate(run->context, "pg_activate rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	reader->ahead = next_row(run);
	reader->ahead_context = context;
	MemoryContextSwitchTo(caller);
	if (reader->ahead != NULL)
		return;
	reader->done = true;
	MemoryContextDelete(context);
}

/*
 * The next row to be read says what kind of request it is; those that came
 * back go first, so that they go soon.  When all is read they go by
 * themselves.  But for the last of each kind all batches are full: that
 * bounds what a search costs.
 */
Batch *
act_batch_read(BatchReader *reader)
{
	Run		   *run = reader->run;
	BatchSearch *search = reader->search;
	MemoryContext caller = CurrentMemoryContext;
	BatchFilling filling = reader->held;

	if (run->unit != NULL)
		return read_unit(reader);
	if (filling.batch == NULL)
	{
		MemoryContext context;
		const Row  *first;

		act_batch_read_ahead(reader);
		first = act_onward_first(reader);
		if (first == NULL &&
			(reader->nopen > 0 || (reader->ahead != NULL && act_batch_operation(run, reader->ahead)->by != NULL)))
			return act_group_read(reader);
		if (first == NULL)
			first = first_row(reader);
		if (first == NULL)
			return NULL;
		context = AllocSetContextCreate(run->context, "pg_activate batch", ALLOCSET_DEFAULT_SIZES);
		filling.batch = MemoryContextAllocZero(context, sizeof(Batch));
		filling.batch->context = context;
		act_filling_begin(reader, &filling, act_batch_operation(run, first));
	}
	act_filling_add_pooled(reader, &filling);
	add_onward(reader, &filling);
	add_fresh(reader, &filling);
	MemoryContextSwitchTo(caller);
	memset(&reader->held, 0, sizeof(reader->held));
	if (!act_filling_must_wait(reader, &filling))
		return filling.batch;
	if (filling.batch->fresh != NULL)
		reader->held = filling;
	else
	{
		act_search_return(search, filling.batch->rows, filling.batch->nrows);
		act_batch_free(filling.batch);
	}
	return NULL;
}

bool
act_batch_waiting(const BatchReader *reader)
{
	return reader->held.batch != NULL || reader->nopen > 0;
}

Batch *
act_batch_take_waiting(BatchReader *reader)
{
	Batch	   *batch = reader->held.batch;

	if (batch == NULL && reader->nopen > 0)
		batch = reader->open[--reader->nopen].batch;
	memset(&reader->held, 0, sizeof(reader->held));
	return batch;
}

/* All rows of the model, for as long as it takes to render them. */
static void
render_unit(const Run *run, const ConnectorScope *scope, Batch *batch)
{
	Unit	   *unit = batch->unit;
	const Connector *connector = run->destination->connector;
	MemoryContext context = AllocSetContextCreate(batch->context, "pg_activate unit", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Row		  **rows = MemoryContextAllocHuge(context, sizeof(Row *) * Max(unit->nrows, 1));
	int			nrows = 0;

	act_unit_rewind(unit);
	while (nrows < unit->nrows && (rows[nrows] = act_unit_next(unit)) != NULL)
		nrows++;
	MemoryContextSwitchTo(batch->context);
	act_connector_render_unit(connector, scope, rows, nrows, unit->id, &batch->request);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

void
act_batch_render(const Run *run, Batch *batch)
{
	ConnectorScope scope = run->scope;
	MemoryContext caller = MemoryContextSwitchTo(batch->context);

	scope.now_ms = act_unix_ms(act_now());
	if (batch->unit != NULL)
	{
		render_unit(run, &scope, batch);
		MemoryContextSwitchTo(caller);
		return;
	}
	if (batch->lookup)
		act_connector_render_lookup(run->destination->connector, &scope,
									batch->rows, batch->nrows, &batch->request);
	else
		act_connector_render(run->destination->connector, &scope,
							 batch->rows, batch->nrows, &batch->request);
	batch->request.at_most_once = batch->at_most_once && !batch->lookup;
	MemoryContextSwitchTo(caller);
}

Batch *
act_batch_make(MemoryContext parent, Row **rows, int nrows)
{
	MemoryContext context = AllocSetContextCreate(parent, "pg_activate batch", ALLOCSET_DEFAULT_SIZES);
	Batch	   *batch = MemoryContextAllocZero(context, sizeof(Batch));

	batch->context = context;
	batch->rows = MemoryContextAlloc(context, sizeof(Row *) * nrows);
	memcpy(batch->rows, rows, sizeof(Row *) * nrows);
	batch->nrows = nrows;
	batch->lookup = nrows > 0 && rows[0]->in_lookup;
	for (int i = 0; i < nrows; i++)
	{
		batch->bytes += rows[i]->bytes;
		batch->at_most_once = batch->at_most_once || rows[i]->at_most_once;
	}
	return batch;
}

void
act_batch_doubt(Batch *batch, bool late)
{
	batch->uncertain = true;
	batch->late = batch->late || late;
	for (int i = 0; i < batch->nrows; i++)
	{
		Row		   *row = batch->rows[i];

		row->uncertain = true;
		row->late = row->late || late;
	}
}

void
act_batch_free(Batch *batch)
{
	/* A unit's rows are in it, and go when they are written down. */
	if (batch->unit == NULL)
		MemoryContextDelete(batch->context);
}

void
act_batch_discard(Batch *batch)
{
	if (batch->fresh != NULL && batch->unit == NULL)
		MemoryContextDelete(batch->fresh->context);
	MemoryContextDelete(batch->context);
}
