/*-------------------------------------------------------------------------
 *
 * delivery_answer.c
 *	  What an answer means for the batch that asked, and what becomes of it.
 *
 * Called by the loop of deliver.c, outside of any transaction.  A batch is
 * tried again (delivery->ready), taken apart, or finished: then its rows have
 * their outcome and wait in delivery->settled to be written down.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "brake.h"
#include "deliver_private.h"
#include "destination_halt.h"
#include "fault.h"
#include "renewal.h"
#include "request_log.h"
#include "request_retry.h"
#include "token.h"
#include "unit_run.h"

int64
act_delivery_now(void)
{
	return GetCurrentTimestamp() / 1000;
}

/* ------------------------------------------------------------------ answers */

static void
again_later(Delivery *delivery, Batch *batch, int64 pause_ms)
{
	batch->not_before = act_delivery_now() + pause_ms;
	delivery->ready = lappend(delivery->ready, batch);
	delivery->run->counts.retries++;
	act_limit_again(delivery->run->limit);
}

/* What may have been applied, and may not be twice, is not asked for again. */
static bool
may_try_again(const Batch *batch)
{
	return batch->tries < REQUEST_MAX_TRIES && !(batch->at_most_once && batch->uncertain);
}

static char *
tries_text(const Batch *batch, const char *message)
{
	return batch->tries == 1 ? psprintf("The only try: %s", message) :
		psprintf("%d tries, the last one: %s", batch->tries, message);
}

/*
 * All tries are used, and where nothing else came through meanwhile, the
 * destination is down; or others have found it so.
 */
static void
stop_if_lost(Delivery *delivery, const Batch *batch, bool down, const char *message,
			 const char *told, const char *hint)
{
	Run		   *run = delivery->run;

	if (run->stop.set || !(act_brake_lost(delivery, batch) || down))
		return;
	act_run_stop(run, RUN_FAILED,
				 psprintf("destination \"%s\" does not answer as it should", run->destination->name),
				 tries_text(batch, message), hint);
	run->stop.told = MemoryContextStrdup(run->context, tries_text(batch, told));
	run->unreachable = true;
	act_limit_found_down(run->limit);
}

/* An answer that says try again. */
static void
retry(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	bool		down = act_limit_down(delivery->run->limit);

	if (answer->verdict == VERDICT_UNCERTAIN && !batch->lookup)
		act_batch_doubt(batch, batch->late);
	if (delivery->run->stop.set || down || !may_try_again(batch) || answer->wait_ms > REQUEST_MAX_THROTTLE_MS)
	{
		stop_if_lost(delivery, batch, down, answer->message, act_request_told(answer), answer->hint);
		act_delivery_finish_with(delivery, batch, ROW_DELAYED, answer->code, answer->message, answer->http_status);
		return;
	}
	again_later(delivery, batch, Max(act_request_retry_pause(batch->tries), answer->wait_ms));
}

/* Nothing is sent for so long; the run does not wait for everything. */
static void
leave_alone(Delivery *delivery, int64 pause_ms, const char *why, const char *told)
{
	act_limit_throttle(delivery->run->limit, act_now() + pause_ms * 1000);
	if (pause_ms > REQUEST_MAX_THROTTLE_MS || delivery->throttles > REQUEST_MAX_THROTTLES)
		act_request_throttle_stop(delivery->run, pause_ms, why, told);
}

/*
 * How long an answer that throttles wants to be waited for.  What was under
 * way together is turned away together, which counts once.
 */
static int64
throttle_pause(Delivery *delivery, const ConnectorAnswer *answer)
{
	LimitReason reason;

	if (act_limit_held_until(delivery->run->limit, &reason) == 0)
		delivery->throttles++;
	return act_request_throttle_pause(delivery->run->destination, answer, delivery->throttles);
}

/* Throttling concerns the whole destination and charges no try. */
static void
throttle(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	int64		pause = throttle_pause(delivery, answer);

	batch->tries--;
	leave_alone(delivery, pause, answer->message, act_request_told(answer));
	if (delivery->run->stop.set)
	{
		act_delivery_finish_with(delivery, batch, ROW_DELAYED, answer->code, answer->message, answer->http_status);
		return;
	}
	again_later(delivery, batch, pause);
}

/*
 * A success may say, too, that it was the last one for a while.  What is left
 * then waits, or ends the run (act_destination_heed).
 */
static void
heed_limit(Delivery *delivery, const ConnectorAnswer *answer)
{
	Run		   *run = delivery->run;
	TimestampTz until = act_now() + answer->limited_ms * 1000;

	if (answer->limited_ms <= 0)
		return;
	act_limit_throttle(run->limit, until);
	if (answer->limited_ms > REQUEST_MAX_THROTTLE_MS)
		run->throttled_until = Max(run->throttled_until, until);
}

/* Those that can be sent again soon come last: how many they are. */
static int
move_put_off(Batch *batch)
{
	Row		  **put_off = palloc(sizeof(Row *) * batch->nrows);
	int			count = 0;
	int			kept = 0;

	for (int i = 0; i < batch->nrows; i++)
	{
		if (batch->rows[i]->outcome == ROW_DELAYED)
			put_off[count++] = batch->rows[i];
		else
			batch->rows[kept++] = batch->rows[i];
	}
	memcpy(batch->rows + kept, put_off, sizeof(Row *) * count);
	pfree(put_off);
	return count;
}

/*
 * Rows of which the answer says that they would go through a little later are
 * sent again by themselves.  False: that is all that there was to it.
 */
static bool
put_off(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	int			count = answer->rows_put_off ? move_put_off(batch) : 0;
	int64		pause = Max(act_request_retry_pause(batch->tries), answer->wait_ms);
	Batch	   *part = batch;

	if (count == 0)
		return true;
	if (answer->rows_throttled)
	{
		pause = throttle_pause(delivery, answer);
		leave_alone(delivery, pause, "single rows are throttled", "single rows are throttled");
	}
	if (delivery->run->stop.set || !may_try_again(batch) || pause > REQUEST_MAX_THROTTLE_MS)
	{
		const Row  *row = batch->rows[batch->nrows - 1];
		const char *told = "every row is to be sent again";

		if (count == batch->nrows)
			stop_if_lost(delivery, batch, false, row->message ? row->message : told, told, NULL);
		return true;
	}
	if (count < batch->nrows)
	{
		batch->nrows -= count;
		part = act_batch_make(delivery->search.context, batch->rows + batch->nrows, count);
		part->tries = batch->tries;
		part->generation = batch->generation;
		part->uncertain = batch->uncertain;
		part->late = batch->late;
		part->accepted_before = batch->accepted_before;
	}
	if (answer->rows_throttled)
		part->tries--;
	for (int i = 0; i < part->nrows; i++)
	{
		part->rows[i]->outcome = ROW_UNDECIDED;
		part->rows[i]->code = part->rows[i]->message = NULL;
	}
	again_later(delivery, part, pause);
	return part != batch;
}

/* A no to the whole is one to each row of it. */
static void
unit_refused(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	act_unit_run_refused(delivery->run, answer);
	act_delivery_finish_with(delivery, batch, ROW_REJECTED,
				answer->code == NULL && answer->verdict == VERDICT_TOO_LARGE ? "too_large" : answer->code,
				answer->message, answer->http_status);
}

/* Before all else that is to be sent. */
static void
send_next(Delivery *delivery, Batch *next)
{
	if (next != NULL)
		delivery->ready = lcons(next, delivery->ready);
}

/* One row, asked alone: it is the one. */
static void
row_refused(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer, const char *code)
{
	bool		probe = batch->probe;
	Batch	   *single = NULL;

	if (answer->verdict == VERDICT_REFUSED && !delivery->run->stop.set)
		single = act_search_single(&delivery->search, batch);
	act_delivery_finish_with(delivery, batch, answer->final ? ROW_REFUSED : ROW_REJECTED, code,
							 answer->message, answer->http_status);
	send_next(delivery, single);
	act_brake_refused(delivery, probe);
}

static void
refused(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	Batch	   *next;

	if (batch->unit != NULL)
	{
		unit_refused(delivery, batch, answer);
		return;
	}
	if (batch->nrows > 1 && delivery->run->stop.set)
	{
		act_delivery_finish_with(delivery, batch, ROW_DELAYED, NULL, NULL, 0);
		return;
	}
	next = act_search_refused(&delivery->search, batch);
	if (next == NULL)
	{
		row_refused(delivery, batch, answer, answer->code);
		return;
	}
	send_next(delivery, next);
	act_batch_free(batch);
}

/* All of it goes again, in smaller batches. */
static void
too_large(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	if (batch->unit != NULL)
	{
		unit_refused(delivery, batch, answer);
		return;
	}
	if (batch->nrows == 1)
	{
		row_refused(delivery, batch, answer, answer->code ? answer->code : "too_large");
		return;
	}
	act_search_too_large(&delivery->search, batch);
	act_batch_free(batch);
}

/* Credentials that were set meanwhile may do; trying them charges nothing. */
static bool
renewed(Delivery *delivery, Batch *batch, ConnectorAnswer *answer)
{
	char	   *problem;

	if (!answer->renew || delivery->run->stop.set || (batch->at_most_once && batch->uncertain))
		return false;
	if (!act_renewal_try(delivery->run, batch->generation, &problem))
	{
		if (problem != NULL)
			answer->message = psprintf("%s (and the credentials cannot be read again: %s)", answer->message, problem);
		else if (batch->generation > 0)
			answer->message = psprintf("%s (also with those that were set while the run was under way)", answer->message);
		return false;
	}
	batch->tries--;
	again_later(delivery, batch, 0);
	return true;
}

/* Credentials, address, TLS: nothing that another row would change. */
static void
misconfigured(Delivery *delivery, Batch *batch, ConnectorAnswer *answer)
{
	Run		   *run = delivery->run;

	if (renewed(delivery, batch, answer))
		return;
	if (!run->stop.set)
		act_run_stop(run, RUN_FAILED,
					 answer->verdict == VERDICT_AUTH ?
					 psprintf("destination \"%s\" refuses the credentials", run->destination->name) :
					 psprintf("destination \"%s\" cannot be used as it is set up", run->destination->name),
					 answer->message,
					 answer->hint ? answer->hint :
					 psprintf("SELECT * FROM activate.check_destination('%s');", run->destination->name));
	act_delivery_finish_with(delivery, batch, ROW_DELAYED, answer->code, answer->message, answer->http_status);
}

static void
answered(Delivery *delivery, Batch *batch)
{
	int			nrows = batch->nrows;
	bool		any_accepted = false;

	for (int i = 0; i < nrows; i++)
		any_accepted = any_accepted || batch->rows[i]->outcome == ROW_ACCEPTED;
	if (any_accepted)
		delivery->throttles = delivery->lost = 0;
	if (batch->unit != NULL)
		batch->unit->outcome = ROW_ACCEPTED;
	else
	{
		act_delivery_turn(delivery, batch);
		send_next(delivery, act_search_answered(&delivery->search, batch, any_accepted));
	}
	act_delivery_finish(delivery, batch);
	act_brake_answered(delivery, nrows);
}

void
act_delivery_redact_text(const Run *run, char **text)
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

/* The same of values beside it. */
static void
redact_remembered(const Run *run, List **values)
{
	ListCell   *cell;

	foreach(cell, *values)
	{
		HttpHeader *value = lfirst(cell);

		redact_id(run, &value->value);
		if (value->value == NULL)
			*values = foreach_delete_current(*values, cell);
	}
}

/* Errors like to repeat the request, with its credentials. */
void
act_delivery_redact(const Run *run, const Batch *batch, ConnectorAnswer *answer)
{
	act_delivery_redact_text(run, &answer->code);
	act_delivery_redact_text(run, &answer->message);
	act_delivery_redact_text(run, &answer->hint);
	for (int i = 0; i < batch->nrows && answer->verdict == VERDICT_ROWS && !batch->lookup; i++)
	{
		act_delivery_redact_text(run, &batch->rows[i]->code);
		act_delivery_redact_text(run, &batch->rows[i]->message);
		redact_id(run, &batch->rows[i]->new_external_id);
		redact_remembered(run, &batch->rows[i]->new_remembered);
	}
}

/*
 * Whether the request, or a copy of it, may be applied after all that came
 * back: nothing did, or only a gateway's word that it lost sight of it.  An
 * application that answers in full is done with it.
 */
bool
act_delivery_may_come_late(const HttpResponse *response)
{
	return response->repeated || response->transport == HTTP_LOST ||
		(response->transport == HTTP_ANSWERED && (response->status == 502 || response->status == 504));
}

static bool
all_accepted(const Batch *batch)
{
	for (int i = 0; i < batch->nrows; i++)
	{
		if (batch->lookup ? batch->rows[i]->outcome == ROW_REJECTED : batch->rows[i]->outcome != ROW_ACCEPTED)
			return false;
	}
	return true;
}

/* Those of its rows that are not accepted name it. */
void
act_delivery_log(Delivery *delivery, Batch *batch, const HttpResponse *response, const ConnectorAnswer *answer)
{
	Run		   *run = delivery->run;
	RequestTaken taken = {
		.request = &batch->request,
		.at = batch->sent_at,
		.rows = batch->rows,
		.nrows = batch->nrows,
		.rows_sent = batch->unit != NULL ? batch->unit->nrows : batch->nrows,
		.attempt = batch->tries,
		.response = response,
		.answer = answer,
		.accepted = answer != NULL && answer->verdict == VERDICT_ROWS && all_accepted(batch),
	};
	int64	   *id;

	if (taken.accepted)
	{
		(void) act_request_log_take(run, &taken, NULL);
		return;
	}
	id = act_request_log_take(run, &taken, act_request_log_number(run));
	for (int i = 0; i < batch->nrows; i++)
		batch->rows[i]->request_id = id;
}

static void
looked_up(Delivery *delivery, Batch *batch)
{
	send_next(delivery, act_search_answered(&delivery->search, batch, false));
	act_delivery_looked_up(delivery, batch);
	act_delivery_finish(delivery, batch);
}

void
act_delivery_follow(Delivery *delivery, Batch *batch, ConnectorAnswer *answer)
{
	switch (answer->verdict)
	{
		case VERDICT_ROWS:
			act_token_worked(delivery->run, batch->generation);
			heed_limit(delivery, answer);
			if (batch->lookup)
				looked_up(delivery, batch);
			else if (put_off(delivery, batch, answer))
				answered(delivery, batch);
			break;
		case VERDICT_REFUSED:
			refused(delivery, batch, answer);
			break;
		case VERDICT_TOO_LARGE:
			too_large(delivery, batch, answer);
			break;
		case VERDICT_THROTTLED:
			throttle(delivery, batch, answer);
			break;
		case VERDICT_UNREACHED:
		case VERDICT_UNCERTAIN:
			retry(delivery, batch, answer);
			break;
		case VERDICT_AUTH:
		case VERDICT_CONFIGURATION:
			misconfigured(delivery, batch, answer);
			break;
	}
}

void
act_delivery_judge(Delivery *delivery, Batch *batch, const HttpResponse *response)
{
	Run		   *run = delivery->run;
	ConnectorAnswer answer;
	int64		now_ms = (act_now() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) / 1000;
	MemoryContext caller;

	if (batch->job != NULL)
	{
		act_delivery_job_judge(delivery, batch, response);
		return;
	}
	caller = MemoryContextSwitchTo(batch->context);
	memset(&answer, 0, sizeof(answer));
	if (batch->lookup)
		act_delivery_lookup_read(delivery, batch, response, now_ms, &answer);
	else
		act_connector_read(run->destination->connector, &run->scope, response, batch->rows, batch->nrows,
						   now_ms, &answer);
	act_delivery_redact(run, batch, &answer);
	MemoryContextSwitchTo(caller);
	act_limit_leave(run->limit,
					act_destination_result(answer.verdict, delivery->accepted == batch->accepted_before),
					response->duration_ms);
	act_delivery_log(delivery, batch, response, &answer);
	batch->late = batch->late || act_delivery_may_come_late(response);
	if (response->repeated && !batch->lookup)
		act_batch_doubt(batch, true);
	act_delivery_follow(delivery, batch, &answer);
}
