/*-------------------------------------------------------------------------
 *
 * delivery_job.h
 *	  Jobs of a delivery under way: shared by delivery_job.c (which there are,
 *	  their requests and their end) and delivery_job_answer.c (what answers
 *	  mean).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DELIVERY_JOB_H
#define ACT_DELIVERY_JOB_H

#include "deliver_private.h"
#include "job.h"

extern bool act_delivery_job_at_last_step(const Job *job);

/* Whether a lost answer to what is asked for now leaves the rows in doubt. */
extern bool act_delivery_job_may_apply(const Job *job);

/* It is written down before anything more of it goes. */
extern void act_delivery_job_write(Delivery *delivery, Job *job);

/* It leaves the table with what is written down next. */
extern void act_delivery_job_over(Delivery *delivery, Job *job);

/*
 * The rows of the batch are no longer the job's.  Where the destination can be
 * told it is, and until then the job stays in the table.
 */
extern void act_delivery_job_give_up(Delivery *delivery, Batch *batch);

#endif							/* ACT_DELIVERY_JOB_H */
