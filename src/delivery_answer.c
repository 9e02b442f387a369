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
#include "fault.h"
#include "request_retry.h"
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
		act_batch_doubt(batch);
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
		act_delivery_finish_with(delivery, batch, ROW_DELAYED, answer->code, answer->message, answer->http_status);
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
		act_delivery_finish_with(delivery, batch, ROW_DELAYED, answer->code, answer->message, answer->http_status);
		return;
	}
	delivery->throttled_until = Max(delivery->throttled_until, act_delivery_now() + pause);
	again_later(delivery, batch, pause);
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
	act_delivery_finish_with(delivery, batch, ROW_REJECTED, code, answer->message, answer->http_status);
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
		send_next(delivery, act_search_answered(&delivery->search, batch, any_accepted));
	act_delivery_finish(delivery, batch);
	act_brake_answered(delivery, nrows);
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

void
act_delivery_judge(Delivery *delivery, Batch *batch, const HttpResponse *response)
{
	Run		   *run = delivery->run;
	ConnectorAnswer answer;
	MemoryContext caller = MemoryContextSwitchTo(batch->context);

	memset(&answer, 0, sizeof(answer));
	answer.wait_ms = -1;
	act_connector_read(run->destination->connector, response, batch->rows, batch->nrows,
					   (act_now() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) / 1000,
					   &answer);
	redact_answer(run, batch, &answer);
	MemoryContextSwitchTo(caller);
	if (response->repeated)
		act_batch_doubt(batch);
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
