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

#include "brake.h"
#include "canary.h"
#include "deliver_private.h"
#include "fault.h"
#include "request_retry.h"
#include "run_lock.h"
#include "settings.h"
#include "unit_run.h"

/* Answers are written down at the latest after so long, or so many rows. */
#define SETTLE_AFTER_MS 500
#define SETTLE_ROWS 5000

#define LOCKED_TABLE_PAUSE_MS 100

static int64
now_ms(void)
{
	return GetCurrentTimestamp() / 1000;
}

/* ---------------------------------------------------------------- finishing */

static void
count_outcome(Delivery *delivery, const Row *row)
{
	RunCounts  *counts = &delivery->run->counts;

	counts->outcomes[row->outcome]++;
	if (row->outcome != ROW_ACCEPTED)
		return;
	delivery->accepted++;
	if (act_row_op_removes(row->op))
		counts->removals_accepted++;
	else if (row->cause == ROW_ADDED)
		counts->first_accepted++;
}

/* The batch is done with: its rows wait to be written down. */
static void
finish_batch(Delivery *delivery, Batch *batch)
{
	MemoryContext caller = MemoryContextSwitchTo(delivery->context);

#ifdef ACT_TEST
	if (act_fault_claims_off)
		batch->uncertain = false;
#endif
	if (batch->unit != NULL)
	{
		batch->unit->answered = true;
		batch->unit->uncertain = batch->uncertain;
	}
	for (int i = 0; i < batch->nrows; i++)
	{
		SettledRow *row = MemoryContextAllocZero(batch->claim->context, sizeof(SettledRow));

		row->row = batch->rows[i];
		row->uncertain = batch->uncertain;
		if (row->row->outcome == ROW_DELAYED && batch->uncertain)
			row->row->outcome = row->row->at_most_once ? ROW_UNKNOWN : ROW_DOUBT;
		count_outcome(delivery, row->row);
		act_canary_note(delivery->run, row->row);
		delivery->settled = lappend(delivery->settled, row);
	}
	if (delivery->settled_since == 0)
		delivery->settled_since = now_ms();
	batch->claim->open--;
	if (batch->claim->open == 0)
	{
		delivery->finished_claims = lappend(delivery->finished_claims, batch->claim);
		delivery->first_batch_pending = false;
	}
	MemoryContextSwitchTo(caller);
}

static void
finish_with(Delivery *delivery, Batch *batch, RowOutcome outcome, const char *code,
			const char *message, int http_status)
{
	MemoryContext caller = MemoryContextSwitchTo(batch->claim->context);

	if (batch->unit != NULL)
		batch->unit->outcome = outcome;
	for (int i = 0; i < batch->nrows; i++)
	{
		Row		   *row = batch->rows[i];

		row->outcome = outcome;
		row->code = code ? pstrdup(code) : NULL;
		row->message = message ? pstrdup(message) : NULL;
		row->http_status = http_status;
	}
	MemoryContextSwitchTo(caller);
	finish_batch(delivery, batch);
}

/* Where the culprit was not to be found, the rest is sent as if new. */
static void
release_rest(Delivery *delivery, Batch *batch)
{
	if (batch->rest == NULL)
		return;
	delivery->ready = lcons(batch->rest, delivery->ready);
	batch->rest = NULL;
}

/* ------------------------------------------------------------------ answers */

static void
again_later(Delivery *delivery, Batch *batch, int64 pause_ms)
{
	batch->not_before = now_ms() + pause_ms;
	delivery->ready = lappend(delivery->ready, batch);
	delivery->run->counts.retries++;
}

/* What may have been applied, and may not be twice, is not asked for again. */
static bool
may_try_again(const Batch *batch)
{
	return batch->tries < REQUEST_MAX_TRIES && !(batch->at_most_once && batch->uncertain);
}

/*
 * An answer that says try again.  When all tries are used and nothing else
 * came through meanwhile, the destination is down and the run ends.
 */
static void
retry(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	if (answer->verdict == VERDICT_UNCERTAIN)
		batch->uncertain = true;
	if (delivery->run->stop.set || !may_try_again(batch) || answer->wait_ms > REQUEST_MAX_THROTTLE_MS)
	{
		if (!delivery->run->stop.set && act_brake_lost(delivery, batch))
		{
			act_run_stop(delivery->run, RUN_FAILED,
						 psprintf("destination \"%s\" does not answer as it should",
								  delivery->run->destination->name),
						 batch->tries == 1 ? psprintf("The only try: %s", answer->message) :
						 psprintf("%d tries, the last one: %s", batch->tries, answer->message),
						 answer->hint);
			delivery->run->unreachable = true;
		}
		release_rest(delivery, batch);
		finish_with(delivery, batch, ROW_DELAYED, answer->code, answer->message, answer->http_status);
		return;
	}
	again_later(delivery, batch, Max(act_request_retry_pause(batch->tries), answer->wait_ms));
}

/* Throttling concerns the whole destination and charges no try. */
static void
throttle(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	int64		pause = answer->wait_ms >= 0 ? answer->wait_ms : act_request_retry_pause(++delivery->throttles);

	batch->tries--;
	if (answer->wait_ms >= 0)
		delivery->throttles++;
	if (!delivery->run->stop.set &&
		(pause > REQUEST_MAX_THROTTLE_MS || delivery->throttles > REQUEST_MAX_THROTTLES))
		act_run_stop(delivery->run, RUN_PARTIAL,
					 psprintf("destination \"%s\" limits its rate", delivery->run->destination->name),
					 psprintf("It asks to wait for " INT64_FORMAT " s: %s", pause / 1000, answer->message),
					 NULL);
	if (delivery->run->stop.set)
	{
		release_rest(delivery, batch);
		finish_with(delivery, batch, ROW_DELAYED, answer->code, answer->message, answer->http_status);
		return;
	}
	delivery->throttled_until = Max(delivery->throttled_until, now_ms() + pause);
	again_later(delivery, batch, pause);
}

/*
 * Known to contain a row that makes the destination refuse: one part is sent,
 * the other waits for what becomes of it.  Halves, unless nothing was accepted
 * yet: then a row alone, from either end in turn, soon tells a bad row from a
 * destination that refuses everything.
 */
static void
bisect(Delivery *delivery, Batch *batch)
{
	int			n = batch->nrows;
	Batch	   *part;

	if (delivery->accepted > 0)
	{
		part = act_batch_part(batch, 0, n / 2);
		part->rest = act_batch_part(batch, n / 2, n);
	}
	else if (delivery->same_refusals % 2 == 0)
	{
		part = act_batch_part(batch, 0, 1);
		part->rest = act_batch_part(batch, 1, n);
	}
	else
	{
		part = act_batch_part(batch, n - 1, n);
		part->rest = act_batch_part(batch, 0, n - 1);
	}
	batch->claim->open--;
	delivery->ready = lcons(part, delivery->ready);
}

/* A no to the whole is one to each row of it. */
static void
unit_refused(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	act_unit_run_refused(delivery->run, answer);
	finish_with(delivery, batch, ROW_REJECTED,
				answer->code == NULL && answer->verdict == VERDICT_TOO_LARGE ? "too_large" : answer->code,
				answer->message, answer->http_status);
}

static void
refused(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	if (batch->unit != NULL)
	{
		unit_refused(delivery, batch, answer);
		return;
	}
	release_rest(delivery, batch);
	delivery->probing = delivery->accepted == 0;
	if (batch->nrows > 1 && !delivery->run->stop.set)
	{
		bisect(delivery, batch);
		return;
	}
	if (batch->nrows > 1)
	{
		finish_with(delivery, batch, ROW_DELAYED, NULL, NULL, 0);
		return;
	}
	finish_with(delivery, batch, ROW_REJECTED, answer->code, answer->message, answer->http_status);
	act_brake_refused(delivery, batch->rows[0]);
}

static void
too_large(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	if (batch->unit != NULL)
	{
		unit_refused(delivery, batch, answer);
		return;
	}
	release_rest(delivery, batch);
	if (batch->nrows == 1)
	{
		finish_with(delivery, batch, ROW_REJECTED, answer->code ? answer->code : "too_large",
					answer->message, answer->http_status);
		act_brake_refused(delivery, batch->rows[0]);
		return;
	}
	delivery->ready = lcons(act_batch_part(batch, batch->nrows / 2, batch->nrows), delivery->ready);
	delivery->ready = lcons(act_batch_part(batch, 0, batch->nrows / 2), delivery->ready);
	batch->claim->open--;
}

/* Credentials, address, TLS: nothing that another row would change. */
static void
misconfigured(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	Run		   *run = delivery->run;

	if (!run->stop.set)
		act_run_stop(run, RUN_FAILED,
					 answer->verdict == VERDICT_AUTH ?
					 psprintf("destination \"%s\" refuses the credentials", run->destination->name) :
					 psprintf("destination \"%s\" cannot be used as it is set up", run->destination->name),
					 answer->message,
					 answer->hint ? answer->hint :
					 psprintf("SELECT * FROM activate.check_destination('%s');", run->destination->name));
	release_rest(delivery, batch);
	finish_with(delivery, batch, ROW_DELAYED, answer->code, answer->message, answer->http_status);
}

static void
answered(Delivery *delivery, Batch *batch)
{
	Batch	   *rest = batch->rest;
	bool		any_accepted = false;

	batch->rest = NULL;
	for (int i = 0; i < batch->nrows; i++)
		any_accepted = any_accepted || batch->rows[i]->outcome == ROW_ACCEPTED;
	if (any_accepted)
		delivery->throttles = delivery->lost = 0;
	if (batch->unit != NULL)
		batch->unit->outcome = ROW_ACCEPTED;
	finish_batch(delivery, batch);
	act_brake_answered(delivery, batch);
	if (rest == NULL)
		return;
	/* This part went through, so the culprit is in the rest. */
	if (rest->nrows > 1 && !delivery->run->stop.set)
		bisect(delivery, rest);
	else
		delivery->ready = lcons(rest, delivery->ready);
}

static void
redact(const Run *run, char **text)
{
	if (*text != NULL)
		*text = act_destination_redact(run->destination, *text);
}

/* An id with a secret in it is none to be kept, and without it no id. */
static void
redact_id(const Run *run, char **id)
{
	if (*id != NULL && strcmp(act_destination_redact(run->destination, *id), *id) != 0)
		*id = NULL;
}

/* Errors like to repeat the request, with its credentials. */
static void
redact_answer(const Run *run, const Batch *batch, ConnectorAnswer *answer)
{
	redact(run, &answer->code);
	redact(run, &answer->message);
	redact(run, &answer->hint);
	for (int i = 0; i < batch->nrows && answer->verdict == VERDICT_ROWS; i++)
	{
		redact(run, &batch->rows[i]->code);
		redact(run, &batch->rows[i]->message);
		redact_id(run, &batch->rows[i]->new_external_id);
	}
}

static void
judge(Delivery *delivery, Batch *batch, const HttpResponse *response)
{
	Run		   *run = delivery->run;
	ConnectorAnswer answer;
	MemoryContext caller = MemoryContextSwitchTo(batch->claim->context);

	memset(&answer, 0, sizeof(answer));
	answer.wait_ms = -1;
	act_connector_read(run->destination->connector, response, batch->rows, batch->nrows,
					   (act_now() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) / 1000,
					   &answer);
	redact_answer(run, batch, &answer);
	MemoryContextSwitchTo(caller);
	if (response->repeated)
		batch->uncertain = true;
	switch (answer.verdict)
	{
		case VERDICT_ROWS:
			answered(delivery, batch);
			break;
		case VERDICT_REFUSED:
			refused(delivery, batch, &answer);
			break;
		case VERDICT_TOO_LARGE:
			too_large(delivery, batch, &answer);
			break;
		case VERDICT_THROTTLED:
			throttle(delivery, batch, &answer);
			break;
		case VERDICT_UNREACHED:
		case VERDICT_UNCERTAIN:
			retry(delivery, batch, &answer);
			break;
		case VERDICT_AUTH:
		case VERDICT_CONFIGURATION:
			misconfigured(delivery, batch, &answer);
			break;
	}
}

/* ------------------------------------------------------------------ sending */

static void
send_batch(Delivery *delivery, Batch *batch)
{
	Run		   *run = delivery->run;
	MemoryContext caller;
	HttpRequest request;

	if (batch->request.url == NULL)
		act_batch_render(run, batch);
	if (batch->tries == 0)
		batch->accepted_before = delivery->accepted;
	batch->tries++;

	/* Signatures carry the time, so credentials are put on for each try. */
	caller = MemoryContextSwitchTo(batch->claim->context);
	request = batch->request;
	request.headers = list_concat_copy(batch->request.headers, run->destination->extra_headers);
	act_connector_authorize(run->destination->connector, &run->scope, &request,
							act_now() / USECS_PER_SEC +
							(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY);
	act_http_send(delivery->loop, &request, batch);
	MemoryContextSwitchTo(caller);

	delivery->in_flight = lappend(delivery->in_flight, batch);
	run->counts.requests++;
	run->counts.bytes_sent += batch->request.body_len;
	ACT_FAULT("after_send");
}

/* While the destination is asked whether it refuses everything, one by one. */
static int
in_flight_limit(const Delivery *delivery)
{
	return delivery->probing && delivery->accepted == 0 ? 1 : delivery->concurrency;
}

static void
send_ready(Delivery *delivery)
{
	int64		now = now_ms();
	ListCell   *cell;

	if (now < delivery->throttled_until && !delivery->run->stop.set)
		return;
	foreach(cell, delivery->ready)
	{
		Batch	   *batch = lfirst(cell);

		if (list_length(delivery->in_flight) >= in_flight_limit(delivery) && !delivery->run->stop.set)
			break;
		if (delivery->run->stop.set)
		{
			delivery->ready = foreach_delete_current(delivery->ready, cell);
			if (batch->rest != NULL)
				finish_with(delivery, batch->rest, ROW_DELAYED, NULL, NULL, 0);
			batch->rest = NULL;
			finish_with(delivery, batch, ROW_DELAYED, NULL, NULL, 0);
			continue;
		}
		if (batch->not_before > now)
			continue;
		delivery->ready = foreach_delete_current(delivery->ready, cell);
		send_batch(delivery, batch);
	}
}

/*
 * Batches are read ahead, so that a freed place is filled without a commit in
 * between; but not those that would be left to a person, unsent, by a crash.
 */
static void
read_batches(Delivery *delivery)
{
	int			wanted = delivery->first_batch_pending ? 1 : 2 * delivery->concurrency;
	MemoryContext caller = MemoryContextSwitchTo(delivery->context);

	while (!delivery->run->stop.set && !delivery->reader.done &&
		   list_length(delivery->unclaimed) + list_length(delivery->ready) +
		   list_length(delivery->in_flight) < wanted)
	{
		Batch	   *batch = act_batch_read(&delivery->reader);

		if (batch == NULL)
			break;
		delivery->unclaimed = lappend(delivery->unclaimed, batch);
		if (batch->at_most_once)
			wanted = Min(wanted, delivery->concurrency);
	}
	if (delivery->run->stop.set)
	{
		/* Never claimed, never sent: they count as delayed at the end. */
		list_free(delivery->unclaimed);
		delivery->unclaimed = NIL;
	}
	MemoryContextSwitchTo(caller);
}

static bool
flush_due(const Delivery *delivery)
{
	bool		idle = delivery->in_flight == NIL;

	if (now_ms() < delivery->locked_until)
		return false;
	if (delivery->unclaimed != NIL && (delivery->ready == NIL || idle))
		return true;
	if (delivery->finished_claims == NIL && delivery->settled == NIL)
		return false;
	if (act_delivery_undecided(delivery))
		return false;
	return idle || list_length(delivery->settled) >= SETTLE_ROWS ||
		(delivery->settled_since != 0 && now_ms() - delivery->settled_since >= SETTLE_AFTER_MS);
}

static bool
finished(const Delivery *delivery)
{
	return delivery->in_flight == NIL && delivery->ready == NIL && delivery->unclaimed == NIL &&
		delivery->settled == NIL && delivery->finished_claims == NIL &&
		(delivery->reader.done || delivery->run->stop.set);
}

/* Until an answer, or until something that waits for its time is due. */
static long
wait_time(const Delivery *delivery)
{
	int64		now = now_ms();
	int64		until = now + 1000;
	ListCell   *cell;

	foreach(cell, delivery->ready)
	{
		const Batch *batch = lfirst(cell);

		if (list_length(delivery->in_flight) < in_flight_limit(delivery))
			until = Min(until, Max(batch->not_before, delivery->throttled_until));
	}
	if (delivery->settled_since != 0 && !act_delivery_undecided(delivery))
		until = Min(until, Max(delivery->settled_since + SETTLE_AFTER_MS, delivery->locked_until));
	if (delivery->unclaimed != NIL && (delivery->ready == NIL || delivery->in_flight == NIL))
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
		judge(delivery, owner, response);
		MemoryContextReset(answer);
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
	delivery->reader.run = run;
	delivery->concurrency = Min(Max(run->destination->concurrency, 1), act_max_in_flight);
	delivery->first_batch_pending = run->sync->first_batch_alone;
	delivery->reported_at = now_ms();
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

static void
deliver_rows(Delivery *delivery)
{
	Run		   *run = delivery->run;

	while (!finished(delivery))
	{
		read_batches(delivery);
		if (flush_due(delivery) && !act_delivery_flush(delivery))
			delivery->locked_until = now_ms() + LOCKED_TABLE_PAUSE_MS;
		send_ready(delivery);
		if (finished(delivery))
			break;
		act_delivery_report(delivery);
		act_http_wait(delivery->loop, flush_due(delivery) ? 0 : wait_time(delivery));
		take_answers(delivery);
		act_run_poll(run);
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

		batch->uncertain = true;
		waiting = lappend(waiting, batch);
	}
	foreach(cell, waiting)
	{
		Batch	   *batch = lfirst(cell);

		if (batch->rest != NULL)
			finish_with(delivery, batch->rest, ROW_DELAYED, NULL, NULL, 0);
		finish_with(delivery, batch, ROW_DELAYED, NULL, "the run ended before an answer arrived", 0);
	}
	delivery->unclaimed = NIL;

	/* Who cancelled does not wait for a locked table: claims that stay say what is in doubt. */
	while (!act_delivery_flush(delivery) && !ends_at_once(run))
		act_http_wait(delivery->loop, LOCKED_TABLE_PAUSE_MS);
}

void
act_deliver_end(Run *run)
{
	if (run->delivery != NULL && run->delivery->loop != NULL)
		act_http_loop_destroy(run->delivery->loop);
	run->delivery = NULL;
}
