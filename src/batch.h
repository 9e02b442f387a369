/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  Rows that travel in one request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_BATCH_H
#define ACT_BATCH_H

#include "run.h"

/*
 * One row of activate.claim: rows that were read together.  They live in its
 * context, whichever batches they travel in, until the last is written down.
 */
typedef struct Claim
{
	int64		claim_id;		/* 0: not written yet */
	int64		renewed_id;		/* the same for the transaction under way, which writes it anew */
	int			nrows;
	Row		  **rows;
	int			open;			/* rows that are not settled yet: row->claim is set */
	bool		claimed;		/* it stands in the database, or did: before that nothing of it was sent */
	bool		touched;		/* and some of its rows are, since it was written */
	bool		left;			/* the last of its rows moved to another claim */
	MemoryContext context;
} Claim;

typedef struct Batch
{
	MemoryContext context;		/* of itself and its request; a unit's is that of its rows, too */
	Claim	   *fresh;			/* those of its rows that were read for it; NULL: it has none */
	Row		  **rows;
	int			nrows;
	int			limit;			/* rows that one of its kind takes; 0: it was not read but made */
	size_t		bytes;			/* of its rows, about */
	size_t		url_bytes;		/* that they add to the address */
	bool		lookup;			/* asks what is there, and changes nothing: needs no claim */
	ConnectorFound *found;		/* what the last answer to a lookup said, row by row */
	HttpRequest request;		/* without credentials; url NULL: not rendered */
	int			tries;
	int			generation;		/* of the credentials that it last went with */
	bool		at_most_once;	/* some row of it is not sent again once it may have been applied */
	bool		uncertain;		/* a try may have been applied */
	bool		late;			/* and may still be: no answer to it was complete */
	TimestampTz sent_at;		/* the last of them */
	int64		not_before;		/* milliseconds; 0: at once */
	int64		accepted_before;	/* rows accepted in the run when first sent */

	/* batch_search.h */
	bool		probe;			/* sent to find a row that is refused */
	bool		straight;		/* nothing was accepted since that search began */
	Row		  **rest;			/* there is one among these and the batch's own */
	int			nrest;

	struct Job *job;			/* job.h: it is handed over in steps; NULL: it is not, or nothing of it was yet */
	Unit	   *unit;			/* mode replace: what the request carries; rows are those that differ */
} Batch;

/* A batch being made. */
typedef struct BatchFilling
{
	Batch	   *batch;			/* NULL: none is */
	const ConnectorOperation *operation;	/* what it asks for */
	int			limit;			/* rows that it takes */
	size_t		max_bytes;
	size_t		max_url_bytes;	/* of the rows; 0: not asked yet */
	const char *by;				/* JSON: what its rows share ("batch.by"), or NULL */
	uint32		by_hash;
	struct TextSet *matches;	/* of its rows, where no two may have the same; NULL: none yet */
	bool		full;
} BatchFilling;

/* Reads batches from a diff, in key order. */
typedef struct BatchReader
{
	Run		   *run;
	struct BatchSearch *search; /* rows that came back from it go along; NULL: there is none */
	bool		searching;		/* a search is under way: the last rows wait for company */
	bool		more_may_come;	/* back: no request is made for a few such rows alone */
	BatchFilling held;			/* the last rows that were read, waiting; not claimed */
	BatchFilling *open;			/* batch_group.c: being filled; not claimed */
	int			nopen;
	size_t		open_bytes;		/* of their rows, about */
	Row		   *ahead;			/* read, but belongs to the next batch */
	MemoryContext ahead_context;
	bool		done;

	/* batch_onward.c: rows that go on, of which something was found out */
	Row		  **onward;
	int			nonward;
	int			onward_size;
	int			onward_claimed; /* those of them that are claimed */
	bool		looking;		/* lookups are under way, so that more may come */
	bool		hurried;		/* whether anything is accepted is to be known soon: they wait for none */
} BatchReader;

/*
 * batch_onward.c.  The row stays in its claim; take: it is taken out of the
 * list by the caller; first: one that is to be sent next, or NULL.
 */
extern void act_onward_put(BatchReader *reader, Row *row);
extern Row *act_onward_take(BatchReader *reader, int place);
extern Row *act_onward_first(const BatchReader *reader);

/*
 * For previews, which ask nothing: the rows of a lookup go on as if there were
 * no records of them.  Those are left in the batch that it would ask for;
 * false: none.
 */
extern bool act_onward_assume_missing(BatchReader *reader, Batch *batch);

/* A row of a claim that was not written moved to another one. */
extern void act_claim_leave(Claim *claim);

/* Rows that one request of this operation takes. */
extern int	act_batch_limit(const Run *run, const ConnectorOperation *operation);

/* Option delivery, and without it whether the operation may be asked for twice. */
extern bool act_batch_at_most_once(const Run *run, const ConnectorOperation *operation);

extern Batch *act_batch_read(BatchReader *reader);	/* NULL: no more, or none yet */

/* Rows were read and are in no batch that was given out; the second hands out such a batch, or NULL. */
extern bool act_batch_waiting(const BatchReader *reader);
extern Batch *act_batch_take_waiting(BatchReader *reader);
extern void act_batch_render(const Run *run, Batch *batch);

/* A batch of rows that are claimed already; its context is a child of parent. */
extern Batch *act_batch_make(MemoryContext parent, Row **rows, int nrows);

/*
 * A try of it may have been applied, and late: may still be, since no answer
 * to it was complete.  That sticks to its rows, wherever they go.
 */
extern void act_batch_doubt(Batch *batch, bool late);

/* Not its rows. */
extern void act_batch_free(Batch *batch);

/* With the rows that were read for it. */
extern void act_batch_discard(Batch *batch);

#endif							/* ACT_BATCH_H */
