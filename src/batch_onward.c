/*-------------------------------------------------------------------------
 *
 * batch_onward.c
 *	  Rows of which something was found out, on their way to their next request.
 *
 * They come from lookups, and from answers that sent them another way.  Those
 * that are claimed go at once; the others wait until they fill a request, or
 * until no more of them may come.  A row that was only looked up is claimed by
 * the request that writes it, and moves into that claim's memory.
 *
 * Needs no transaction; throws only for want of memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "batch.h"

/* So many that wait are enough: then they go, in whatever company. */
#define MAX_WAITING 5000

/* Kinds of requests that are told apart while one is chosen. */
#define MAX_KINDS 16

void
act_onward_put(BatchReader *reader, Row *row)
{
	if (reader->nonward == reader->onward_size)
	{
		reader->onward_size = Max(64, 2 * reader->onward_size);
		if (reader->onward == NULL)
			reader->onward = MemoryContextAllocHuge(reader->run->context, sizeof(Row *) * reader->onward_size);
		else
			reader->onward = repalloc_huge(reader->onward, sizeof(Row *) * reader->onward_size);
	}
	row->outcome = ROW_UNDECIDED;
	row->in_lookup = false;
	row->bytes = 0;
	reader->onward[reader->nonward++] = row;
	reader->onward_claimed += row->claim->claimed;
}

Row *
act_onward_take(BatchReader *reader, int place)
{
	Row		   *row = reader->onward[place];

	reader->onward_claimed -= row->claim->claimed;
	return row;
}

Row *
act_onward_first(const BatchReader *reader)
{
	struct
	{
		const ConnectorOperation *operation;
		int			count;
	}			kinds[MAX_KINDS];
	int			nkinds = 0;

	if (reader->nonward > 0 &&
		(reader->nonward >= MAX_WAITING || reader->hurried || (reader->done && !reader->looking)))
		return reader->onward[0];
	for (int i = 0; i < reader->nonward; i++)
	{
		Row		   *row = reader->onward[i];
		const ConnectorOperation *operation = act_connector_row_operation(reader->run->destination->connector, row);
		int			kind = 0;

		if (row->claim->claimed)
			return row;
		while (kind < nkinds && kinds[kind].operation != operation)
			kind++;
		if (kind == MAX_KINDS)
			return row;
		if (kind == nkinds)
		{
			kinds[nkinds].operation = operation;
			kinds[nkinds++].count = 0;
		}
		if (++kinds[kind].count >= act_batch_limit(reader->run, operation))
			return row;
	}
	return NULL;
}

bool
act_onward_assume_missing(BatchReader *reader, Batch *batch)
{
	const Run  *run = reader->run;
	const Connector *connector = run->destination->connector;
	bool		possible = act_connector_lookup_problem(connector, run->scope.nmatch) == NULL;
	int			asked = 0;

	for (int i = 0; i < batch->nrows; i++)
	{
		Row		   *row = batch->rows[i];
		MemoryContext caller = MemoryContextSwitchTo(row->claim->context);
		bool		has = possible && act_connector_lookup_has(connector, &run->scope, row);

		act_connector_row_missing(connector, row, has);
		MemoryContextSwitchTo(caller);
		if (has)
			batch->rows[asked++] = row;
		if (row->outcome == ROW_UNDECIDED)
			act_onward_put(reader, row);
	}
	batch->nrows = asked;
	return asked > 0;
}

void
act_claim_leave(Claim *claim)
{
	if (--claim->open > 0)
		return;
	/* What is still to be written down of it is in its memory. */
	if (claim->touched)
		claim->left = true;
	else
		MemoryContextDelete(claim->context);
}
