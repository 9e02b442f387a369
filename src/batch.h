/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  Rows that travel in one request, and how a refused batch is taken apart.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_BATCH_H
#define ACT_BATCH_H

#include "run.h"

/*
 * One row of activate.claim while its request may be under way.  A batch that
 * is taken apart shares its claim among the parts; rows and parts live in its
 * context.
 */
typedef struct Claim
{
	int64		claim_id;		/* 0: not written yet */
	int			open;			/* batches that are not finished */
	MemoryContext context;
} Claim;

typedef struct Batch
{
	Claim	   *claim;
	Row		  **rows;
	int			nrows;
	HttpRequest request;		/* without credentials; url NULL: not rendered */
	int			tries;
	bool		at_most_once;	/* some row of it is not sent again once it may have been applied */
	bool		uncertain;		/* a try may have been applied */
	TimestampTz sent_at;		/* the last of them */
	int64	   *request_id;		/* of the last answer's request, where it is logged */
	int64		not_before;		/* milliseconds; 0: at once */
	int64		accepted_before;	/* rows accepted in the run when first sent */

	/*
	 * Search for a row that makes the destination refuse a batch: this is one
	 * part of it, rest the other.  When this one is refused, the
	 * rest is sent as if new; when it is accepted, the culprit is in the rest.
	 */
	struct Batch *rest;

	Unit	   *unit;			/* mode replace: what the request carries; rows are those that differ */
} Batch;

/* Reads batches from a diff, in key order. */
typedef struct BatchReader
{
	Run		   *run;
	Row		   *ahead;			/* read, but belongs to the next batch */
	MemoryContext ahead_context;
	bool		done;
} BatchReader;

/* Rows that one request of this operation takes. */
extern int	act_batch_limit(const Run *run, const ConnectorOperation *operation);

/* Option delivery, and without it whether the operation may be asked for twice. */
extern bool act_batch_at_most_once(const Run *run, const ConnectorOperation *operation);

extern Batch *act_batch_read(BatchReader *reader);	/* NULL: no more */
extern void act_batch_render(const Run *run, Batch *batch);

/* Part of a batch with the rows [from, to); shares its claim. */
extern Batch *act_batch_part(const Batch *batch, int from, int to);

#endif							/* ACT_BATCH_H */
