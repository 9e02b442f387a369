/*-------------------------------------------------------------------------
 *
 * deliver_private.h
 *	  A delivery under way: shared by deliver.c (the loop), delivery_answer.c
 *	  (what answers mean), brake.c (when to stop it), delivery_flush.c (its
 *	  transactions) and delivery_progress.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DELIVER_PRIVATE_H
#define ACT_DELIVER_PRIVATE_H

#include "batch.h"
#include "deliver.h"

struct Delivery
{
	Run		   *run;
	HttpLoop   *loop;
	MemoryContext context;
	BatchReader reader;
	int			concurrency;

	List	   *unclaimed;		/* of Batch: read, not yet claimed */
	List	   *ready;			/* of Batch: claimed, to be sent (again) */
	List	   *in_flight;		/* of Batch */
	List	   *settled;		/* of SettledRow: to be written down */
	List	   *finished_claims;	/* of Claim: to be deleted with them */

	int64		settled_since;	/* oldest of settled, milliseconds; 0: none */
	int64		throttled_until;
	int			throttles;		/* in a row */
	int64		locked_until;	/* the sync's table is locked by somebody */
	int64		accepted;		/* rows in this run */
	int			lost;			/* batches in a row that are not asked for again */
	bool		first_batch_pending;	/* it goes alone */
	int64		reported_at;

	/* the brake */
	int			same_refusals;	/* rows refused alone in a row, with one reason */
	char	   *refusal;		/* that reason, digits and quoted values masked */
	bool		probing;		/* a batch was refused as a whole before any row was accepted */
	bool		all_alike;		/* stopped for it: nobody is charged */
};

/* delivery_answer.c */
extern int64 act_delivery_now(void);	/* milliseconds; of the process's own clock */
extern void act_delivery_judge(Delivery *delivery, Batch *batch, const HttpResponse *response);

/* Logs the batch's request and its answer (NULL: the run ended before), as option log says. */
extern void act_delivery_log(Delivery *delivery, Batch *batch, const HttpResponse *response,
							 const ConnectorAnswer *answer);

/* The batch is done with: its rows wait to be written down. The other one gives all of them one outcome. */
extern void act_delivery_finish(Delivery *delivery, Batch *batch);
extern void act_delivery_finish_with(Delivery *delivery, Batch *batch, RowOutcome outcome, const char *code,
									 const char *message, int http_status);

/*
 * delivery_flush.c: claims what is unclaimed (it becomes ready), settles what
 * is settled, in one transaction.  false: the sync's table is locked, try
 * again later.
 */
extern bool act_delivery_flush(Delivery *delivery);

/* Answers are in hand, but may still turn out to count for nobody. */
extern bool act_delivery_undecided(const Delivery *delivery);

/* delivery_progress.c: how far it is, for the view progress and whoever waits. */
extern void act_delivery_report(Delivery *delivery);

#endif							/* ACT_DELIVER_PRIVATE_H */
