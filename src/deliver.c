/*-------------------------------------------------------------------------
 *
 * deliver.c
 *	  Sends what the diff found and follows each row to its outcome.
 *
 * One loop: read batches, claim them, send, wait, judge the answers, settle.
 * Between the short transactions (delivery_flush.c) nothing of the database
 * is held, however long a destination takes.  This file includes neither SPI
 * nor curl.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "canary.h"
#include "deliver_private.h"
#include "destination_halt.h"
#include "destination_quota.h"
#include "fault.h"
#include "job.h"
#include "request_log.h"
#include "run_lock.h"
#include "settings.h"
#include "token.h"
#include "unit_run.h"

/* Answers are written down at the latest after so long, or so many rows. */
#define SETTLE_AFTER_MS 500
#define SETTLE_ROWS 5000

#define LOCKED_TABLE_PAUSE_MS 100

/* How often it is looked how many jobs of others there are, where there may be no more. */
#define LOOK_AT_JOBS_MS 2000

/* A worker that does nothing but ask for jobs is needed elsewhere. */
#define JOB_PATIENCE_MS (60 * 1000)

/* ------------------------------------------------------------------ sending */

static void
send_batch(Delivery *delivery, Batch *batch)
{
	Run		   *run = delivery->run;
	MemoryContext caller;
	HttpRequest request;

	if (act_delivery_is_job(delivery, batch))
		act_delivery_job_render(delivery, batch);
	else if (batch->request.url == NULL)
		act_batch_render(run, batch);
	if (batch->tries == 0)
		batch->accepted_before = delivery->accepted;
	batch->tries++;
	batch->generation = run->destination->generation;

	/* Signatures carry the time, so credentials are put on for each try. */
	caller = MemoryContextSwitchTo(batch->context);
	request = batch->request;
	request.headers = list_concat_copy(batch->request.headers, run->destination->extra_headers);
	act_connector_authorize(run->destination->connector, &run->scope, &request,
							act_now() / USECS_PER_SEC +
							(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY);
	act_http_send(delivery->loop, &request, batch);
	batch->sent_at = act_now();
	MemoryContextSwitchTo(caller);

	delivery->in_flight = lappend(delivery->in_flight, batch);
	run->counts.requests++;
	run->counts.bytes_sent += batch->request.body_len;
	ACT_FAULT("after_send");
}

/* While it is asked whether it refuses everything, one by one. */
static int
in_flight_limit(const Delivery *delivery)
{
	return act_search_doubtful(&delivery->search, delivery->accepted > 0) ? 1 : delivery->concurrency;
}

/* Whether the destination takes one more now, from all who send to it. */
static bool
may_send(Delivery *delivery, int64 now)
{
	int64		wait = act_limit_enter(delivery->run->limit);

	delivery->limited_until = wait == 0 ? 0 : now + wait;
	return wait == 0;
}

static void
send_ready(Delivery *delivery)
{
	int64		now = act_delivery_now();
	ListCell   *cell;

	delivery->limited_until = 0;
	delivery->jobs_full = false;
	if (delivery->ready != NIL)
		act_destination_heed(delivery->run);
	if (delivery->ready != NIL && !delivery->run->stop.set)
		(void) act_token_ready(delivery->run);
	foreach(cell, delivery->ready)
	{
		Batch	   *batch = lfirst(cell);

		if (list_length(delivery->in_flight) >= in_flight_limit(delivery) && !delivery->run->stop.set)
		{
			if (list_length(delivery->in_flight) >= delivery->concurrency)
				act_limit_want(delivery->run->limit);
			break;
		}
		if (delivery->run->stop.set)
		{
			delivery->ready = foreach_delete_current(delivery->ready, cell);
			act_delivery_finish_with(delivery, batch, ROW_DELAYED, NULL, NULL, 0);
			continue;
		}
		if (batch->not_before > now)
			continue;
		if (batch->request.url == NULL && !batch->lookup && batch->unit == NULL && batch->job == NULL &&
			!act_delivery_ready(delivery, batch))
		{
			delivery->ready = foreach_delete_current(delivery->ready, cell);
			continue;
		}
		if (batch->job == NULL && act_delivery_is_job(delivery, batch) && !act_delivery_job_may_begin(delivery))
			continue;
		if (!may_send(delivery, now))
			break;
		delivery->ready = foreach_delete_current(delivery->ready, cell);
		send_batch(delivery, batch);
	}
	if (delivery->run->stop.set)
	{
		act_delivery_drop_waiting(delivery);
		act_delivery_jobs_stop(delivery);
	}
	act_limit_coming(delivery->run->limit, !delivery->run->stop.set && delivery->ready == NIL &&
					 (delivery->unclaimed != NIL || !act_delivery_all_read(delivery)));
}

/* Of what is in flight or goes at once: any, or any that is part of a search. */
static bool
any_due(const Delivery *delivery, bool probes)
{
	ListCell   *cell;

	foreach(cell, delivery->in_flight)
	{
		if (!probes || ((Batch *) lfirst(cell))->probe)
			return true;
	}
	foreach(cell, delivery->ready)
	{
		const Batch *batch = lfirst(cell);

		if (batch->not_before == 0 && (!probes || batch->probe))
			return true;
	}
	return !probes && delivery->unclaimed != NIL;
}

/* Whatever is to be sent has been made a batch. */
bool
act_delivery_all_read(const Delivery *delivery)
{
	return delivery->reader.done && !act_batch_waiting(&delivery->reader) && delivery->search.npool == 0 &&
		delivery->reader.nonward == 0;
}

/* Whether lookups are under way, or wait to be. */
static bool
any_lookup(const Delivery *delivery)
{
	ListCell   *cell;

	foreach(cell, delivery->in_flight)
	{
		if (((Batch *) lfirst(cell))->lookup)
			return true;
	}
	foreach(cell, delivery->ready)
	{
		if (((Batch *) lfirst(cell))->lookup)
			return true;
	}
	return false;
}

/* Those that are with the destination keep nothing else from going. */
static int
ready_batches(const Delivery *delivery)
{
	int			count = 0;
	ListCell   *cell;

	foreach(cell, delivery->ready)
		count += delivery->first_batch_pending || !act_delivery_job_waits(lfirst(cell));
	return count;
}

/*
 * Batches are read ahead, so that what writes down an answer claims what takes
 * its place; but none as long as everything may be refused.
 */
static void
read_batches(Delivery *delivery)
{
	int			wanted = delivery->first_batch_pending ? 1 : 2 * delivery->concurrency;
	MemoryContext caller = MemoryContextSwitchTo(delivery->context);

	if (act_search_doubtful(&delivery->search, delivery->accepted > 0))
		wanted = 1;
	while (!delivery->run->stop.set &&
		   list_length(delivery->unclaimed) + ready_batches(delivery) +
		   list_length(delivery->in_flight) + list_length(delivery->job_writes) < wanted)
	{
		Batch	   *batch;

		delivery->reader.searching = any_due(delivery, true);
		delivery->reader.more_may_come = any_due(delivery, false);
		delivery->reader.looking = any_lookup(delivery);
		delivery->reader.hurried = wanted == 1;
		batch = act_batch_read(&delivery->reader);
		if (batch == NULL)
			break;
		if (batch->lookup)
		{
			/* Of what it changes nothing is to be known: no claim. */
			if (act_delivery_lookup_begin(delivery, batch))
				delivery->ready = lappend(delivery->ready, batch);
		}
		else if (batch->fresh != NULL)
			delivery->unclaimed = lappend(delivery->unclaimed, batch);
		else
			delivery->ready = lappend(delivery->ready, batch);
	}
	if (delivery->run->stop.set)
		act_delivery_drop_waiting(delivery);
	MemoryContextSwitchTo(caller);
}

static bool
flush_due(const Delivery *delivery)
{
	bool		idle = delivery->in_flight == NIL;

	if (act_delivery_now() < delivery->locked_until)
		return false;
	if (act_delivery_claimable(delivery) > 0)
		return true;
	if (act_request_log_due(delivery->run))
		return true;
	if (delivery->job_writes != NIL ||
		(delivery->jobs_full && act_delivery_now() - delivery->jobs_looked_at >= LOOK_AT_JOBS_MS))
		return true;
	if (delivery->finished_claims == NIL && delivery->settled == NIL && delivery->jobs_over == NIL)
		return false;
	return idle || list_length(delivery->settled) >= SETTLE_ROWS ||
		(delivery->settled_since != 0 && act_delivery_now() - delivery->settled_since >= SETTLE_AFTER_MS);
}

static bool
finished(const Delivery *delivery)
{
	return delivery->in_flight == NIL && delivery->ready == NIL && delivery->unclaimed == NIL &&
		delivery->settled == NIL && delivery->finished_claims == NIL && delivery->undecided == NIL &&
		delivery->job_writes == NIL && delivery->jobs_over == NIL &&
		!act_batch_waiting(&delivery->reader) && delivery->search.npool == 0 && delivery->reader.nonward == 0 &&
		(delivery->reader.done || delivery->run->stop.set);
}

/* Until an answer, or until something that waits for its time is due. */
static long
wait_time(const Delivery *delivery)
{
	int64		now = act_delivery_now();
	int64		until = now + 1000;
	ListCell   *cell;

	foreach(cell, delivery->ready)
	{
		const Batch *batch = lfirst(cell);

		if (list_length(delivery->in_flight) < in_flight_limit(delivery))
			until = Min(until, Max(batch->not_before, delivery->limited_until));
	}
	if (delivery->settled_since != 0)
		until = Min(until, Max(delivery->settled_since + SETTLE_AFTER_MS, delivery->locked_until));
	if (act_delivery_claimable(delivery) > 0)
		until = Min(until, Max(now, delivery->locked_until));
	return (long) Max(0, until - now);
}

static void
take_answers(Delivery *delivery)
{
	MemoryContext caller = MemoryContextSwitchTo(delivery->context);
	MemoryContext answer = AllocSetContextCreate(delivery->context, "pg_activate answer",
												 ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		HttpResponse *response;
		void	   *owner;

		MemoryContextSwitchTo(answer);
		response = act_http_next(delivery->loop, &owner);
		MemoryContextSwitchTo(delivery->context);
		if (response == NULL)
			break;
		delivery->in_flight = list_delete_ptr(delivery->in_flight, owner);
		act_delivery_judge(delivery, owner, response);
		MemoryContextReset(answer);
		ACT_FAULT("after_answer");
	}
	MemoryContextDelete(answer);
	MemoryContextSwitchTo(caller);
}

static Delivery *
delivery_create(Run *run)
{
	MemoryContext context = AllocSetContextCreate(run->context, "pg_activate delivery",
												  ALLOCSET_DEFAULT_SIZES);
	Delivery   *delivery = MemoryContextAllocZero(context, sizeof(Delivery));
	MemoryContext caller = MemoryContextSwitchTo(context);

	delivery->run = run;
	delivery->context = context;
	delivery->search.context = context;
	delivery->reader.run = run;
	delivery->reader.search = &delivery->search;
	delivery->concurrency = Min(Max(run->destination->concurrency, 1), act_max_in_flight);
	delivery->first_batch_pending = run->sync->first_batch_alone || run->tries_destination;
	delivery->reported_at = act_delivery_now();
	delivery->patience_ms = !run->in_worker ? -1 : run->resuming ? 0 :
		act_job_patience_ms > 0 ? act_job_patience_ms : JOB_PATIENCE_MS;
	delivery->loop = act_http_loop_create(&run->destination->policy);
	MemoryContextSwitchTo(caller);
	return delivery;
}

/* Somebody wants it gone, and does not wait for a destination or a lock. */
static bool
ends_at_once(const Run *run)
{
	return run->stop.set && (run->stop.status == RUN_CANCELLED || run->stop.status == RUN_INTERRUPTED);
}

/* Jobs that take long are asked for by later runs. */
static void
leave_jobs(Delivery *delivery)
{
	Run		   *run = delivery->run;
	int64		now = act_delivery_now();
	const Job  *job;

	if (delivery->patience_ms < 0 || run->stop.set)
		return;
	if (!act_delivery_only_jobs(delivery))
	{
		delivery->only_jobs_since = 0;
		return;
	}
	if (delivery->only_jobs_since == 0)
		delivery->only_jobs_since = now;
	if (now - delivery->only_jobs_since < delivery->patience_ms || !act_delivery_jobs_idle(delivery))
		return;
	job = act_delivery_first_job(delivery);
	if (job == NULL)
	{
		act_delivery_await_others(delivery);
		act_run_stop(run, RUN_PARTIAL,
					 psprintf("other syncs have as many jobs as destination \"%s\" takes", run->destination->name),
					 "Its rows are delayed: a later run looks whether one of them is over.", NULL);
		return;
	}
	act_run_stop(run, run->resuming ? RUN_POSTPONED : RUN_PARTIAL,
				 psprintf("job %s of destination \"%s\" is not done yet", act_job_title(job), run->destination->name),
				 run->resuming ? "Nothing else was done: what the job's rows are there is not known before it is." :
				 "Its rows are delayed: a later run asks for it, and first writes down what became of them.", NULL);
}

static void
deliver_rows(Delivery *delivery)
{
	Run		   *run = delivery->run;

	while (!finished(delivery))
	{
		read_batches(delivery);
		act_delivery_decide_late(delivery);
		if (flush_due(delivery) && !act_delivery_flush(delivery))
			delivery->locked_until = act_delivery_now() + LOCKED_TABLE_PAUSE_MS;
		act_quota_keep(run, false);
		send_ready(delivery);
		if (finished(delivery))
			break;
		act_delivery_report(delivery);
		act_http_wait(delivery->loop, flush_due(delivery) ? 0 : wait_time(delivery));
		take_answers(delivery);
		act_run_poll(run);
		leave_jobs(delivery);
		if (ends_at_once(run))
		{
			/* What hangs is in doubt. */
			act_deliver_abandon(run);
			break;
		}
	}
}

void
act_deliver(Run *run)
{
	if (run->unit != NULL ? !run->unit->send : run->diff.counts.to_send == 0)
		return;
	act_canary_choose(run);
	act_connector_expect(run->destination->connector, run->diff.counts.to_send);
	act_destination_begin(run);
	/* Before anything is claimed: what fails here leaves nothing in doubt. */
	(void) act_token_ready(run);
	run->delivery = delivery_create(run);
	deliver_rows(run->delivery);
	if (run->canary != NULL && act_canary_passed(run))
	{
		run->delivery->reader.done = false;
		deliver_rows(run->delivery);
	}
}

/*
 * Requests under way may have been applied; what waits to be sent was not,
 * unless an earlier try of it was.
 */
void
act_deliver_abandon(Run *run)
{
	Delivery   *delivery = run->delivery;
	ListCell   *cell;
	List	   *waiting;
	List	   *in_flight;

	if (delivery == NULL)
		return;

	/* Without the lock another run may be under way, and finds the claims. */
	if (!act_run_lock_held(run->sync->sync_id))
		return;
	waiting = delivery->ready;
	in_flight = delivery->in_flight;
	delivery->ready = delivery->in_flight = NIL;
	foreach(cell, in_flight)
	{
		Batch	   *batch = lfirst(cell);

		act_delivery_log(delivery, batch, NULL, NULL);
		if (!batch->lookup && !act_delivery_job_in_flight(batch))
			act_batch_doubt(batch, true);
		waiting = lappend(waiting, batch);
	}
	foreach(cell, waiting)
	{
		Batch	   *batch = lfirst(cell);

		act_delivery_finish_with(delivery, batch, ROW_DELAYED, NULL, "the run ended before an answer arrived", 0);
	}
	act_delivery_drop_waiting(delivery);
	act_delivery_jobs_stop(delivery);
	act_delivery_decide(delivery);

	/* Who cancelled does not wait for a locked table: claims that stay say what is in doubt. */
	while (!act_delivery_flush(delivery) && !ends_at_once(run))
		act_http_wait(delivery->loop, LOCKED_TABLE_PAUSE_MS);
}

/* The same for what an earlier run handed over. */
void
act_deliver_jobs(Run *run)
{
	Delivery   *delivery;
	MemoryContext caller;
	ListCell   *cell;

	act_destination_begin(run);
	run->delivery = delivery = delivery_create(run);
	delivery->reader.done = true;
	delivery->first_batch_pending = false;
	caller = MemoryContextSwitchTo(delivery->context);
	foreach(cell, run->jobs)
		delivery->ready = lappend(delivery->ready, ((Job *) lfirst(cell))->batch);
	MemoryContextSwitchTo(caller);
	deliver_rows(delivery);
}

void
act_deliver_end(Run *run)
{
	if (run->delivery != NULL && run->delivery->loop != NULL)
		act_http_loop_destroy(run->delivery->loop);
	if (run->limit != NULL)
		act_limit_drop(run->limit);
	run->delivery = NULL;
}
