/*-------------------------------------------------------------------------
 *
 * job.h
 *	  Rows that were handed over in steps, and are asked for later: in
 *	  memory, and as rows of activate.job.
 *
 * A job is in the table from the answer to its first step on, and leaves it
 * in the transaction that writes down what became of its rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_JOB_H
#define ACT_JOB_H

#include "batch.h"
#include "connector_job.h"

/* What a crash at this point means for the rows; names in the table: job.c. */
typedef enum JobDurable
{
	JOB_FILLING,				/* nothing is applied: its last step was not asked for */
	JOB_SENDING,				/* the last step has the rows, and may have been asked for */
	JOB_STARTING,				/* the same, without the rows: asked again, it does no harm */
	JOB_POLLING,				/* it was begun, and is asked for */
	JOB_ABORTING				/* given up: the destination is still to be told */
} JobDurable;

typedef struct Job
{
	MemoryContext context;		/* of all of it but its rows; a child of the delivery's */
	int64		job_id;			/* 0: not in the table yet */
	int64		stored_id;		/* the same before the transaction under way */
	const JobPlan *plan;
	JobPlace	place;
	Batch	   *batch;			/* NULL: it is put by, or done with */
	Row		  **rows;			/* as they were handed over; none of a job that is given up */
	int			nrows;
	JobResults *results;		/* being read; in its own context */
	MemoryContext results_context;
	MemoryContext request_context;	/* of the last request */
	JobPoll		poll;			/* what the last one said; of results_context */
	int			polls;
	int			pages;
	bool		last_sent;		/* its last step may have been asked for */
	bool		trusted;		/* false: when it is over its rows are in doubt */
	TimestampTz submitted_at;	/* 0: not yet */
	TimestampTz next_poll_at;
	TimestampTz deadline;
} Job;

/* In words: its first saved value, or its number. */
extern const char *act_job_title(const Job *job);

extern JobDurable act_job_durable(const Job *job);

/*
 * job.c: inside transactions with SPI connected, which the caller commits.
 * Written anew, or with its rows where it is not there yet.
 */
extern void act_job_write(Run *run, Job *job);
extern void act_job_remove(const int64 *ids, int count);

/* Jobs of other syncs at the same destination; of a paused one for no longer than they may take. */
extern int	act_job_count_others(const Run *run);

/*
 * After a crash, before claims are looked at: keys of rows whose jobs say what
 * is to become of them, for act_job_knows().  Jobs that did not get that far
 * keep nothing but what is needed to give them up.
 */
typedef struct JobKeys JobKeys;
extern JobKeys *act_job_recover(const Sync *sync);
extern bool act_job_knows(const JobKeys *keys, char *const *key_values);	/* NULL: none */

/*
 * The server was set back: what its jobs say of their rows may be older than
 * what was sent since.  They are waited for all the same, as they would
 * overtake what is sent before they are over.
 */
extern void act_job_distrust(const Sync *sync);

/* Whether some job of it is still to be asked for. */
extern bool act_job_exists(int64 sync_id);

/* As jobs that were put by: batches of them, whose rows belong to claims that stand nowhere. */
extern List *act_job_load(Run *run, MemoryContext context);

#endif							/* ACT_JOB_H */
