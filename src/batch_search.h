/*-------------------------------------------------------------------------
 *
 * batch_search.h
 *	  Finds the rows that make a destination refuse whole batches.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_BATCH_SEARCH_H
#define ACT_BATCH_SEARCH_H

#include "batch.h"

/*
 * One for each delivery; several searches may be under way, each of them a
 * batch (the probe) and the rest that it left behind.  All zeros but for
 * context at the beginning.
 */
typedef struct BatchSearch
{
	MemoryContext context;		/* of the pool, and parent of probes */

	/* rows that are claimed and in no batch: they go along with others */
	Row		  **pool;
	int			npool;
	int			pool_size;

	/* how large a batch may be */
	int			shrink;			/* so often halved, for want of batches that pass */
	int			refused;		/* batches in a row, probes aside, that were */
	int			passed;			/* and that were not */
	size_t		max_bytes;		/* of its rows, since a larger one was too large; 0: no limit */

	int			doubts;			/* requests refused as a whole since a row was last accepted */
	int			singles;		/* rows taken from the pool to be asked alone, since then */
} BatchSearch;

/*
 * The batch was refused as a whole.  Returns what to send next, before all
 * else, or NULL: it was one row, which is found.
 */
extern Batch *act_search_refused(BatchSearch *search, Batch *batch);

/*
 * The batch was answered row by row, accepted: some row was.  Returns what to
 * send next, before all else, or NULL.
 */
extern Batch *act_search_answered(BatchSearch *search, Batch *batch, bool accepted);

/* It was too large, or is given up; its rest goes back.  In the first case so do its rows. */
extern void act_search_too_large(BatchSearch *search, Batch *batch);
extern void act_search_dropped(BatchSearch *search, Batch *batch);

/* A row was found, and nothing accepted since: one that is asked alone next, or NULL. */
extern Batch *act_search_single(BatchSearch *search, const Batch *found);

/* Is it doubtful that anything at all is accepted?  Then one request at a time. */
extern bool act_search_doubtful(const BatchSearch *search, bool accepted_before);

extern void act_search_return(BatchSearch *search, Row **rows, int nrows);
extern int	act_search_limit(const BatchSearch *search, int limit);

#endif							/* ACT_BATCH_SEARCH_H */
