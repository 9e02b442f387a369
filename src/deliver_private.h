/*-------------------------------------------------------------------------
 *
 * deliver_private.h
 *	  A delivery under way: shared by deliver.c (the loop), delivery_answer.c
 *	  (what answers mean), delivery_rows.c (what becomes of rows), brake.c
 *	  (when to stop it), delivery_flush.c (its transactions) and
 *	  delivery_progress.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DELIVER_PRIVATE_H
#define ACT_DELIVER_PRIVATE_H

#include "batch_search.h"
#include "deliver.h"

struct Delivery
{
	Run		   *run;
	HttpLoop   *loop;
	MemoryContext context;
	BatchReader reader;
	int			concurrency;

	List	   *unclaimed;		/* of Batch: read, not yet claimed, or only in part */
	List	   *ready;			/* of Batch: claimed, to be sent (again) */
	List	   *in_flight;		/* of Batch */
	BatchSearch search;			/* for rows that make it refuse batches */
	List	   *undecided;		/* of Row: refused since a row was last accepted; charged, or not */
	List	   *settled;		/* of SettledRow: to be written down */
	List	   *finished_claims;	/* of Claim: to be deleted with them */
	List	   *touched_claims; /* of Claim: some of its rows are settled; to be made anew without them */

	/* jobs (job.h) */
	List	   *job_writes;		/* of Job: to be written down before anything more is asked of them */
	List	   *jobs_over;		/* of Job: to be forgotten with what is written down next */
	int			jobs_elsewhere; /* of other syncs at the destination, when it was last looked */
	int64		jobs_looked_at; /* milliseconds; 0: not yet */
	bool		jobs_full;		/* one more waits until another is over */
	int64		only_jobs_since;	/* nothing else is to be done; 0: something is */
	int			patience_ms;	/* for that, before the run ends; -1: any */

	int64		settled_since;	/* oldest of settled, milliseconds; 0: none */
	int64		limited_until;	/* the destination takes no more before; 0: it has not been asked */
	int			throttles;		/* in a row */
	int64		locked_until;	/* the sync's table is locked by somebody */
	int64		accepted;		/* rows in this run */
	int			lost;			/* batches in a row that are not asked for again */
	bool		first_batch_pending;	/* it goes alone */
	int64		reported_at;
	struct RecordOwners *owners;	/* whose the records are that rows turn out to have */

	/* the brake: rows refused one after the other, none accepted in between */
	char	   *refusal;		/* the last one's reason, digits and quoted values masked */
	int			same_refusals;	/* rows in a row with that reason */
	int			same_alone;		/* those of them that a search asked alone */
	int			same_answers;	/* answers in a row that refused each row with that reason */
	int			alone;			/* rows that a search asked alone, for whatever reason */
	bool		all_alike;		/* stopped for it: nobody is charged */
};

/* deliver.c: whatever is to be sent has been made a batch. */
extern bool act_delivery_all_read(const Delivery *delivery);

/* delivery_answer.c */
extern int64 act_delivery_now(void);	/* milliseconds; of the process's own clock */
extern void act_delivery_judge(Delivery *delivery, Batch *batch, const HttpResponse *response);

/*
 * delivery_lookup.c: lookups, and rows that go another way by what was found.
 * Begin: false, where there is nothing to ask and the batch is done with;
 * read: instead of act_connector_read(); answered: the rows go on, or have
 * their outcome.  Turn: takes the rows out of a batch that go another way by
 * what was answered; they are claimed.
 */
extern bool act_delivery_lookup_begin(Delivery *delivery, Batch *batch);
extern void act_delivery_lookup_read(Delivery *delivery, Batch *batch, const HttpResponse *response,
									 int64 now_ms, ConnectorAnswer *answer);
extern void act_delivery_looked_up(Delivery *delivery, Batch *batch);
extern bool act_delivery_ready(Delivery *delivery, Batch *batch);	/* false: none of its rows can be sent; it is done with */
extern void act_delivery_turn(Delivery *delivery, Batch *batch);
extern void act_delivery_note_record(Delivery *delivery, const Row *row);	/* accepted: its record is its own */

/* Logs the batch's request and its answer (NULL: the run ended before), as option log says. */
extern void act_delivery_log(Delivery *delivery, Batch *batch, const HttpResponse *response,
							 const ConnectorAnswer *answer);

/*
 * The batch is done with: its rows wait to be written down; what is left of
 * its search goes back.  The other one gives all of them one outcome.
 */
extern void act_delivery_finish(Delivery *delivery, Batch *batch);
extern void act_delivery_finish_with(Delivery *delivery, Batch *batch, RowOutcome outcome, const char *code,
									 const char *message, int http_status);

/*
 * delivery_rows.c: rows whose fate is known.  Those refused wait, undecided,
 * until a row is accepted or nothing more is to come: they may turn out to be
 * of the kind that is charged to nobody.
 */
extern void act_delivery_finish_row(Delivery *delivery, Row *row);
extern void act_delivery_delay_rows(Delivery *delivery, Row **rows, int nrows);
extern void act_delivery_decide(Delivery *delivery);	/* those that waited count as they are */
extern void act_delivery_decide_late(Delivery *delivery);	/* where nothing more is to come */

/* Neither sent nor to be sent any more: what is not claimed, and what came back. */
extern void act_delivery_drop_waiting(Delivery *delivery);

/*
 * delivery_flush.c: claims what may be of what is unclaimed (it becomes
 * ready), settles what is settled, in one transaction.  false: the sync's
 * table is locked, try again later.
 */
extern bool act_delivery_flush(Delivery *delivery);

/* How many of the unclaimed it would claim now. */
extern int	act_delivery_claimable(const Delivery *delivery);

/* Does what the verdict of an answer says. */
extern void act_delivery_follow(Delivery *delivery, Batch *batch, ConnectorAnswer *answer);
/* Takes secrets out of what an answer says: of its rows, too, or of one text. */
extern void act_delivery_redact(const Run *run, const Batch *batch, ConnectorAnswer *answer);
extern void act_delivery_redact_text(const Run *run, char **text);
extern bool act_delivery_may_come_late(const HttpResponse *response);

/*
 * delivery_job.c: batches that go in steps and are asked for.
 */
extern bool act_delivery_is_job(const Delivery *delivery, const Batch *batch);
extern bool act_delivery_job_waits(const Batch *batch); /* it stands in activate.job, and is asked for */
extern bool act_delivery_job_may_begin(Delivery *delivery);
extern bool act_delivery_only_jobs(const Delivery *delivery);
extern void act_delivery_await_others(Delivery *delivery);	/* the run ends for want of a place for its job */
extern bool act_delivery_jobs_idle(const Delivery *delivery);	/* of only jobs: none is to be asked for now */
extern const struct Job *act_delivery_first_job(const Delivery *delivery);	/* that is asked for next; or NULL */
extern void act_delivery_job_render(Delivery *delivery, Batch *batch);
extern void act_delivery_job_judge(Delivery *delivery, Batch *batch, const HttpResponse *response);
extern bool act_delivery_job_in_flight(const Batch *batch);

/* Of a batch that is finished: its rows are delayed, or have their outcome. */
extern void act_delivery_job_put_by(Delivery *delivery, Batch *batch);
extern void act_delivery_job_done(Delivery *delivery, Batch *batch);

extern void act_delivery_jobs_written(Delivery *delivery);	/* after the transaction */
extern void act_delivery_jobs_stop(Delivery *delivery); /* those that wait for it */

/* delivery_progress.c: how far it is, for the view progress and whoever waits. */
extern void act_delivery_report(Delivery *delivery);

#endif							/* ACT_DELIVER_PRIVATE_H */
