/*-------------------------------------------------------------------------
 *
 * delivery_job.c
 *	  Batches that are handed over in steps, and asked for until the
 *	  destination says what became of their rows.  What its answers mean is
 *	  in delivery_job_answer.c.
 *
 * Called by the loop of deliver.c and by what reads answers, outside of any
 * transaction.  After each step the job waits in delivery->job_writes until
 * it stands in activate.job; only then its next request goes.  From then on
 * it is put by, not lost, whenever the run ends: the next one goes on with it
 * (run_job.c).  Until its last step was asked for nothing is applied, so that
 * a job that comes no further is given up and begun anew.  Includes neither
 * SPI nor curl.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "delivery_job.h"
#include "fault.h"
#include "job.h"

/* A job that no run waits for is asked for at most so often, and at least so often. */
#define PUT_BY_PAUSE_MIN (60 * USECS_PER_SEC)
#define PUT_BY_PAUSE_MAX (10 * 60 * USECS_PER_SEC)

/* ----------------------------------------------------------------
 *		Which batches are jobs, and how many there may be
 * ----------------------------------------------------------------
 */

bool
act_delivery_is_job(const Delivery *delivery, const Batch *batch)
{
	return batch->job != NULL ||
		(batch->unit == NULL && !batch->lookup && batch->nrows > 0 &&
		 act_connector_job(delivery->run->destination->connector, batch->rows[0]) != NULL);
}

bool
act_delivery_job_waits(const Batch *batch)
{
	return batch->job != NULL && batch->job->place.stage != JOB_STEP;
}

static int
open_jobs(const Delivery *delivery)
{
	int			count = list_length(delivery->job_writes);
	ListCell   *cell;

	foreach(cell, delivery->ready)
		count += ((Batch *) lfirst(cell))->job != NULL;
	foreach(cell, delivery->in_flight)
		count += ((Batch *) lfirst(cell))->job != NULL;
	return count;
}

bool
act_delivery_job_may_begin(Delivery *delivery)
{
	const ConnectorRate *rate = act_connector_rate(delivery->run->destination->connector);
	int			most = rate->jobs > 0 ? rate->jobs - delivery->jobs_elsewhere : delivery->concurrency;

	delivery->jobs_full = open_jobs(delivery) >= most;
	return !delivery->jobs_full;
}

/* Whether each is asked for, or cannot begin before another is over. */
static bool
all_wait(const Delivery *delivery, List *batches)
{
	ListCell   *cell;

	foreach(cell, batches)
	{
		const Batch *batch = lfirst(cell);

		if (!act_delivery_job_waits(batch) &&
			!(delivery->jobs_full && batch->job == NULL && act_delivery_is_job(delivery, batch)))
			return false;
	}
	return true;
}

/* Nothing is to be done but to ask for jobs, maybe only of others; what is not sent yet waits for them. */
bool
act_delivery_only_jobs(const Delivery *delivery)
{
	if (act_delivery_first_job(delivery) == NULL && delivery->in_flight == NIL && !delivery->jobs_full)
		return false;
	if (!delivery->first_batch_pending && !delivery->jobs_full &&
		(delivery->unclaimed != NIL || !act_delivery_all_read(delivery)))
		return false;
	return delivery->job_writes == NIL && all_wait(delivery, delivery->ready) && all_wait(delivery, delivery->in_flight);
}

/* The jobs are those of other syncs: nothing of the run's own says when to look again. */
void
act_delivery_await_others(Delivery *delivery)
{
	delivery->run->job_due_at = act_now() + PUT_BY_PAUSE_MIN;
}

/* And each has just been asked for in vain. */
bool
act_delivery_jobs_idle(const Delivery *delivery)
{
	int64		now = act_delivery_now();
	ListCell   *cell;

	foreach(cell, delivery->ready)
	{
		const Batch *batch = lfirst(cell);

		if (batch->job != NULL && (batch->job->place.stage != JOB_POLL || batch->not_before <= now))
			return false;
	}
	return delivery->in_flight == NIL;
}

const Job *
act_delivery_first_job(const Delivery *delivery)
{
	const Job  *first = NULL;
	ListCell   *cell;

	foreach(cell, delivery->ready)
	{
		const Batch *batch = lfirst(cell);

		if (batch->job != NULL && (first == NULL || batch->job->next_poll_at < first->next_poll_at))
			first = batch->job;
	}
	return first;
}

/* ----------------------------------------------------------------
 *		Requests
 * ----------------------------------------------------------------
 */

static void
begin(Delivery *delivery, Batch *batch)
{
	MemoryContext context = AllocSetContextCreate(delivery->context, "pg_activate job", ALLOCSET_DEFAULT_SIZES);
	Job		   *job = MemoryContextAllocZero(context, sizeof(Job));

	job->context = context;
	job->plan = act_connector_job(delivery->run->destination->connector, batch->rows[0]);
	job->batch = batch;
	job->trusted = true;
	job->nrows = batch->nrows;
	job->rows = MemoryContextAllocHuge(context, sizeof(Row *) * batch->nrows);
	memcpy(job->rows, batch->rows, sizeof(Row *) * batch->nrows);
	batch->job = job;
}

bool
act_delivery_job_at_last_step(const Job *job)
{
	return job->place.stage == JOB_STEP && job->place.number == act_job_steps(job->plan) - 1;
}

/* Whether an answer that is lost leaves the rows in doubt. */
bool
act_delivery_job_may_apply(const Job *job)
{
	return act_delivery_job_at_last_step(job) && act_job_step_has_rows(job->plan, job->place.number);
}

void
act_delivery_job_render(Delivery *delivery, Batch *batch)
{
	const Run  *run = delivery->run;
	ConnectorScope scope = run->scope;
	MemoryContext caller = CurrentMemoryContext;
	Job		   *job;

	if (batch->job == NULL)
		begin(delivery, batch);
	job = batch->job;
	if (job->request_context == NULL)
		job->request_context = AllocSetContextCreate(job->context, "pg_activate request", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(job->request_context);
	MemoryContextSwitchTo(job->request_context);
	scope.now_ms = act_unix_ms(act_now());
	act_job_render(run->destination->connector, &scope, job->plan, &job->place,
				   batch->rows, batch->nrows, &batch->request);
	batch->request.at_most_once = batch->at_most_once && act_delivery_job_at_last_step(job);
	MemoryContextSwitchTo(caller);
}

/* ----------------------------------------------------------------
 *		The end of a job
 * ----------------------------------------------------------------
 */

void
act_delivery_job_write(Delivery *delivery, Job *job)
{
	MemoryContext caller = MemoryContextSwitchTo(delivery->context);

	delivery->job_writes = lappend(delivery->job_writes, job);
	MemoryContextSwitchTo(caller);
}

void
act_delivery_job_over(Delivery *delivery, Job *job)
{
	MemoryContext caller = MemoryContextSwitchTo(delivery->context);

	job->batch = NULL;
	delivery->jobs_over = lappend(delivery->jobs_over, job);
	MemoryContextSwitchTo(caller);
}

/*
 * Its rows are no longer its own.  Where the destination can be told it is,
 * and until then the job stays in the table.
 */
void
act_delivery_job_give_up(Delivery *delivery, Batch *batch)
{
	Job		   *job = batch->job;

	batch->job = NULL;
	job->batch = NULL;
	job->rows = NULL;
	job->nrows = 0;
	if (!act_job_aborts(job->plan, job->place.saved))
	{
		act_delivery_job_over(delivery, job);
		return;
	}
	job->place = (JobPlace) {.stage = JOB_ABORT,.saved = job->place.saved};
	if (!delivery->run->stop.set)
	{
		job->batch = act_batch_make(delivery->context, batch->rows, 0);
		job->batch->job = job;
	}
	act_delivery_job_write(delivery, job);
}

/* When it is asked for where no run waits for it: the older it is the less often. */
static TimestampTz
put_by_pause(const Job *job, TimestampTz now)
{
	TimestampTz age = job->submitted_at == 0 ? 0 : now - job->submitted_at;

	return Min(Max(age / 10, PUT_BY_PAUSE_MIN), PUT_BY_PAUSE_MAX);
}

/*
 * The run ends, or will not ask again.  What is with the destination stays
 * there: its rows are neither sent nor in doubt until it was asked for.
 */
void
act_delivery_job_put_by(Delivery *delivery, Batch *batch)
{
	Run		   *run = delivery->run;
	Job		   *job = batch->job;
	TimestampTz now = act_now();

	if (job->place.stage == JOB_ABORT)
	{
		/* The table says so. */
		batch->job = NULL;
		return;
	}
	if (job->place.stage == JOB_STEP && act_job_durable(job) != JOB_STARTING)
	{
		act_delivery_job_give_up(delivery, batch);
		return;
	}
	/* Asked for, and then read, from the beginning. */
	if (job->place.stage == JOB_RESULTS)
		job->place = (JobPlace) {.stage = JOB_POLL,.saved = job->place.saved};
	if (job->submitted_at != 0)
		job->next_poll_at = Max(job->next_poll_at, now + act_job_pause_ms(job->plan, job->polls) * INT64CONST(1000));
	if (!run->stop.set || run->stop.status == RUN_PARTIAL || run->stop.status == RUN_POSTPONED)
		job->next_poll_at = Max(job->next_poll_at, now + put_by_pause(job, now));
	if (run->job_due_at == 0 || job->next_poll_at < run->job_due_at)
		run->job_due_at = Max(job->next_poll_at, now);
	batch->job = NULL;
	job->batch = NULL;
	for (int i = 0; i < job->nrows; i++)
		job->rows[i]->put_by = true;
	if (!list_member_ptr(delivery->job_writes, job))
		act_delivery_job_write(delivery, job);
}

/* Its rows have their outcome. */
void
act_delivery_job_done(Delivery *delivery, Batch *batch)
{
	Job		   *job = batch->job;

	batch->job = NULL;
	act_delivery_job_over(delivery, job);
}

/* ----------------------------------------------------------------
 *		After the flush
 * ----------------------------------------------------------------
 */

/* The jobs that were to be written are, and those that are over are gone. */
void
act_delivery_jobs_written(Delivery *delivery)
{
	ListCell   *cell;

	foreach(cell, delivery->job_writes)
	{
		Job		   *job = lfirst(cell);

		if (job->batch != NULL)
			delivery->ready = lappend(delivery->ready, job->batch);
		else
			MemoryContextDelete(job->context);
	}
	foreach(cell, delivery->jobs_over)
		MemoryContextDelete(((Job *) lfirst(cell))->context);
	list_free(delivery->job_writes);
	list_free(delivery->jobs_over);
	delivery->job_writes = delivery->jobs_over = NIL;
}

/* The run is to end: those whose next request only waited to be written down go nowhere. */
void
act_delivery_jobs_stop(Delivery *delivery)
{
	ListCell   *cell;
	List	   *waiting = list_copy(delivery->job_writes);

	foreach(cell, waiting)
	{
		Job		   *job = lfirst(cell);
		Batch	   *batch = job->batch;

		if (batch == NULL)
			continue;
		if (act_job_durable(job) == JOB_FILLING || act_job_durable(job) == JOB_SENDING)
			delivery->job_writes = list_delete_ptr(delivery->job_writes, job);
		act_delivery_finish_with(delivery, batch, ROW_DELAYED, NULL, NULL, 0);
		job->batch = NULL;
	}
	list_free(waiting);
}

/* True: what is under way leaves nothing in doubt, or no more than stands in the table. */
bool
act_delivery_job_in_flight(const Batch *batch)
{
	return batch->job != NULL && !act_delivery_job_may_apply(batch->job);
}
