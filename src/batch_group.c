/*-------------------------------------------------------------------------
 *
 * batch_group.c
 *	  Batches of which all rows have one value of a field ("batch.by").
 *
 * Rows come in the order of their key, so several batches are filled at a
 * time, one for each value, until one is full.  There are only so many, and
 * they hold only so much: then the fullest goes as it is.  What waits in them
 * is not claimed.  Needs no transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "batch_private.h"

#define MAX_OPEN 1000
#define MAX_OPEN_BYTES (16 * 1024 * 1024)

static uint32
hash_value(const char *value)
{
	uint32		hash = 5381;

	for (; value != NULL && *value != '\0'; value++)
		hash = hash * 33 + (unsigned char) *value;
	return hash;
}

static bool
same_value(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The one that the row belongs to, or -1. */
static int
find_filling(const BatchReader *reader, const ConnectorOperation *operation, const char *by)
{
	uint32		hash = hash_value(by);

	for (int i = 0; i < reader->nopen; i++)
	{
		const BatchFilling *filling = &reader->open[i];

		if (filling->by_hash == hash && same_value(filling->by, by) &&
			act_batch_same_request(filling->operation, operation))
			return i;
	}
	return -1;
}

/* Of those that are alike the newest, so that the others become full where there are too many. */
static int
fullest(const BatchReader *reader)
{
	int			best = 0;

	for (int i = 1; i < reader->nopen; i++)
	{
		if (reader->open[i].batch->nrows >= reader->open[best].batch->nrows)
			best = i;
	}
	return best;
}

static int
open_filling(BatchReader *reader, const ConnectorOperation *operation, const char *by)
{
	MemoryContext parent = reader->run->context;
	BatchFilling *filling;
	Claim	   *claim;

	if (reader->open == NULL)
		reader->open = MemoryContextAllocZero(parent, sizeof(BatchFilling) * MAX_OPEN);
	filling = &reader->open[reader->nopen];
	memset(filling, 0, sizeof(BatchFilling));
	{
		MemoryContext context = AllocSetContextCreate(parent, "pg_activate batch", ALLOCSET_SMALL_SIZES);

		filling->batch = MemoryContextAllocZero(context, sizeof(Batch));
		filling->batch->context = context;
	}
	{
		MemoryContext context = AllocSetContextCreate(parent, "pg_activate rows", ALLOCSET_SMALL_SIZES);

		claim = MemoryContextAllocZero(context, sizeof(Claim));
		claim->context = context;
		filling->batch->fresh = claim;
	}
	filling->by_hash = hash_value(by);
	act_filling_begin(reader, filling, operation);
	return reader->nopen++;
}

static BatchFilling
take_filling(BatchReader *reader, int which)
{
	BatchFilling taken = reader->open[which];

	reader->open_bytes -= taken.batch->bytes;
	reader->nopen--;
	memmove(&reader->open[which], &reader->open[which + 1], sizeof(BatchFilling) * (reader->nopen - which));
	return taken;
}

/*
 * Puts the row that was read ahead into its batch.  Returns the number of a
 * batch that is to go, or -1; the row may have to wait until it has gone.
 */
static int
place_row(BatchReader *reader)
{
	Row		   *row = reader->ahead;
	const ConnectorOperation *operation = act_batch_operation(reader->run, row);
	const char *by;
	int			which;
	BatchFilling *filling;
	size_t		before;

	MemoryContextSwitchTo(reader->ahead_context);
	by = act_connector_batch_by(reader->run->destination->connector, row);
	which = find_filling(reader, operation, by);
	if (which < 0 && (reader->nopen == MAX_OPEN || reader->open_bytes > MAX_OPEN_BYTES))
		return fullest(reader);
	if (which < 0)
		which = open_filling(reader, operation, by);
	filling = &reader->open[which];
	before = filling->batch->bytes;
	MemoryContextSwitchTo(filling->batch->fresh->context);
	row = act_row_copy(row);
	if (!act_filling_add(reader, filling, row))
		return which;
	act_filling_claim(filling, row);
	reader->open_bytes += filling->batch->bytes - before;
	reader->ahead = NULL;
	MemoryContextDelete(reader->ahead_context);
	return filling->full ? which : -1;
}

/*
 * The pool of rows that came back is looked through last, and what is left of
 * it goes by itself in the ordinary way.
 */
Batch *
act_group_read(BatchReader *reader)
{
	MemoryContext caller = CurrentMemoryContext;
	int			which = -1;
	BatchFilling filling;

	while (which < 0)
	{
		act_batch_read_ahead(reader);
		if (reader->ahead == NULL)
			break;
		which = place_row(reader);
	}
	MemoryContextSwitchTo(caller);
	if (which < 0 && reader->nopen == 0)
		return NULL;
	filling = take_filling(reader, which < 0 ? fullest(reader) : which);
	act_filling_add_pooled(reader, &filling);
	MemoryContextSwitchTo(caller);
	if (which < 0 && act_filling_must_wait(reader, &filling))
	{
		reader->open[reader->nopen++] = filling;
		reader->open_bytes += filling.batch->bytes;
		return NULL;
	}
	return filling.batch;
}
