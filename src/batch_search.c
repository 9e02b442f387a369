/*-------------------------------------------------------------------------
 *
 * batch_search.c
 *	  Finds the rows that make a destination refuse whole batches.
 *
 * A binary search for one bad row at a time.  Of a batch that is refused one
 * half is sent, the probe.  When that is refused, too, the other half says
 * nothing any more: its rows go back to the pool and travel on in full
 * batches, together with others.  When the probe is accepted its rows are
 * done, and the bad one is in the other half.  One row that is left is sent
 * alone, and carries the refusal.  A bad row in a batch of n costs so at most
 * ceil(log2 n) + 2 requests: the batch, the probes and itself.
 *
 * Destinations that refuse large parts of what they get, or batches whose
 * rows are fine one by one, are met with smaller batches: half the size from
 * the fourth batch in a row that is refused, twice the size again after eight
 * that are not.  Each search settles at least a row, so that it ends whatever
 * the destination does.
 *
 * Pure: no database, no network, no clock.  Called by the delivery as answers
 * come; test/unit/search_test.c walks it through made-up destinations.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "batch_search.h"

/* Batches refused in a row from which on they get smaller: three bad rows never do that. */
#define SHRINK_AFTER 4

/* Batches accepted in a row after which they get larger again. */
#define GROW_AFTER 8

/* Requests refused in a row, once rows were accepted, that make everything doubtful. */
#define DOUBTFUL_AFTER 3

static Batch *split(BatchSearch *search, Row **rows, int nrows, bool straight);

void
act_search_return(BatchSearch *search, Row **rows, int nrows)
{
	if (search->npool + nrows > search->pool_size)
	{
		search->pool_size = Max(search->npool + nrows, 2 * search->pool_size);
		if (search->pool == NULL)
			search->pool = MemoryContextAllocHuge(search->context, sizeof(Row *) * search->pool_size);
		else
			search->pool = repalloc_huge(search->pool, sizeof(Row *) * search->pool_size);
	}
	for (int i = 0; i < nrows; i++)
		search->pool[search->npool++] = rows[i];
}

int
act_search_limit(const BatchSearch *search, int limit)
{
	return Max(limit >> search->shrink, 1);
}

bool
act_search_doubtful(const BatchSearch *search, bool accepted_before)
{
	return search->doubts >= (accepted_before ? DOUBTFUL_AFTER : 1);
}

/* What comes from full batches tells how large the next should be; one row tells nothing. */
static void
note_refused(BatchSearch *search, const Batch *batch)
{
	search->doubts++;
	if (batch->probe || batch->nrows == 1)
		return;
	search->passed = 0;
	if (++search->refused >= SHRINK_AFTER && batch->nrows >> 1 > 0)
		search->shrink = Min(search->shrink + 1, 30);
}

static void
note_passed(BatchSearch *search, const Batch *batch)
{
	if (batch->probe)
		return;
	search->refused = 0;
	if (search->shrink == 0 || ++search->passed < GROW_AFTER)
		return;
	search->shrink--;
	search->passed = 0;
	/* One that is refused now was too large. */
	search->refused = SHRINK_AFTER - 1;
}

Batch *
act_search_refused(BatchSearch *search, Batch *batch)
{
	note_refused(search, batch);
	act_search_dropped(search, batch);
	if (batch->nrows == 1)
		return NULL;
	return split(search, batch->rows, batch->nrows, batch->straight || !batch->probe);
}

Batch *
act_search_answered(BatchSearch *search, Batch *batch, bool accepted)
{
	Batch	   *next = NULL;

	if (accepted)
		search->doubts = search->singles = 0;
	note_passed(search, batch);
	/* This part went through, so the culprit is in the rest. */
	if (batch->nrest > 0)
		next = split(search, batch->rest, batch->nrest, false);
	batch->nrest = 0;
	return next;
}

/* Rows of which one at least is bad; one that is alone is asked alone. */
static Batch *
split(BatchSearch *search, Row **rows, int nrows, bool straight)
{
	int			half = (nrows + 1) / 2;
	Batch	   *probe = act_batch_make(search->context, rows, half);

	probe->probe = true;
	probe->straight = straight;
	probe->nrest = nrows - half;
	probe->rest = MemoryContextAlloc(probe->context, sizeof(Row *) * Max(probe->nrest, 1));
	memcpy(probe->rest, rows + half, sizeof(Row *) * probe->nrest);
	return probe;
}

void
act_search_dropped(BatchSearch *search, Batch *batch)
{
	if (batch->nrest > 0)
		act_search_return(search, batch->rest, batch->nrest);
	batch->nrest = 0;
}

/*
 * Bytes stand for whatever the destination counts: they cannot sink below
 * half of what it takes, and a single large row takes no others down.
 */
void
act_search_too_large(BatchSearch *search, Batch *batch)
{
	size_t		half = Max(batch->bytes / 2, 1);

	act_search_dropped(search, batch);
	act_search_return(search, batch->rows, batch->nrows);
	if (search->max_bytes == 0 || half < search->max_bytes)
		search->max_bytes = half;
}

/*
 * A row was found without anything being accepted on the way, which leaves
 * one request of what a search may take: spent on asking whether anything at
 * all is accepted, and again for each that is not.  From either end in turn:
 * bad rows are seldom on both sides of good ones.
 */
Batch *
act_search_single(BatchSearch *search, const Batch *found)
{
	Row		   *row;
	Batch	   *batch;

	if (!found->straight || search->doubts < 2 || search->npool == 0)
		return NULL;
	if (search->singles++ % 2 == 0)
		row = search->pool[search->npool - 1];
	else
	{
		row = search->pool[0];
		memmove(search->pool, search->pool + 1, sizeof(Row *) * (search->npool - 1));
	}
	search->npool--;
	batch = act_batch_make(search->context, &row, 1);
	batch->probe = batch->straight = true;
	return batch;
}
