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
#include "canary.h"
#include "deliver_private.h"
#include "fault.h"
#include "renewal.h"
#include "request_retry.h"
#include "unit_run.h"

int64
act_delivery_now(void)
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
void
act_delivery_finish(Delivery *delivery, Batch *batch)
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
		delivery->settled_since = act_delivery_now();
	batch->claim->open--;
	if (batch->claim->open == 0)
	{
		delivery->finished_claims = lappend(delivery->finished_claims, batch->claim);
		delivery->first_batch_pending = false;
	}
	MemoryContextSwitchTo(caller);
}

void
act_delivery_finish_with(Delivery *delivery, Batch *batch, RowOutcome outcome, const char *code,
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
	act_delivery_finish(delivery, batch);
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

/* All tries are used, and where nothing else came through meanwhile, the destination is down. */
static void
stop_if_lost(Delivery *delivery, const Batch *batch, const char *message, const char *hint)
{
	Run		   *run = delivery->run;

	if (run->stop.set || !act_brake_lost(delivery, batch))
		return;
	act_run_stop(run, RUN_FAILED,
				 psprintf("destination \"%s\" does not answer as it should", run->destination->name),
				 batch->tries == 1 ? psprintf("The only try: %s", message) :
				 psprintf("%d tries, the last one: %s", batch->tries, message),
				 hint);
	run->unreachable = true;
}

/* An answer that says try again. */
static void
retry(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	if (answer->verdict == VERDICT_UNCERTAIN)
		batch->uncertain = true;
	if (delivery->run->stop.set || !may_try_again(batch) || answer->wait_ms > REQUEST_MAX_THROTTLE_MS)
	{
		stop_if_lost(delivery, batch, answer->message, answer->hint);
		release_rest(delivery, batch);
		act_delivery_finish_with(delivery, batch, ROW_DELAYED, answer->code, answer->message, answer->http_status);
		return;
	}
	again_later(delivery, batch, Max(act_request_retry_pause(batch->tries), answer->wait_ms));
}

/* Nothing is sent for so long; the run does not wait for everything. */
static void
leave_alone(Delivery *delivery, int64 pause_ms, const char *why)
{
	if (pause_ms > REQUEST_MAX_THROTTLE_MS || delivery->throttles > REQUEST_MAX_THROTTLES)
		act_request_throttle_stop(delivery->run, pause_ms, why);
	else
		delivery->throttled_until = Max(delivery->throttled_until, act_delivery_now() + pause_ms);
}

/*
 * How long an answer that throttles wants to be waited for.  What was under
 * way together is turned away together, which counts once.
 */
static int64
throttle_pause(Delivery *delivery, const ConnectorAnswer *answer)
{
	if (act_delivery_now() >= delivery->throttled_until)
		delivery->throttles++;
	return act_request_throttle_pause(delivery->run->destination, answer, delivery->throttles);
}

/* Throttling concerns the whole destination and charges no try. */
static void
throttle(Delivery *delivery, Batch *batch, const ConnectorAnswer *answer)
{
	int64		pause = throttle_pause(delivery, answer);

	batch->tries--;
	leave_alone(delivery, pause, answer->message);
	if (delivery->run->stop.set)
	{
		release_rest(delivery, batch);
		act_delivery_finish_with(delivery, batch, ROW_DELAYED, answer->code, answer->message, answer->http_status);
		return;
	}
	again_later(delivery, batch, pause);
}

/* Whether anything is left to be sent but what is under way, and this batch that was. */
static bool
has_more(const Delivery *delivery, const Batch *batch)
{
	const Run  *run = delivery->run;
	int64		rows = batch->nrows;
	ListCell   *cell;

	if (batch->unit != NULL)
		return false;
	foreach(cell, delivery->in_flight)
		rows += ((const Batch *) lfirst(cell))->nrows;
	for (int i = 0; i < ROW_OUTCOME_COUNT; i++)
		rows += run->counts.outcomes[i];
	return rows < run->diff.counts.to_send;
}

/* A success may say, too, that it was the last one for a while. */
static void
heed_limit(Delivery *delivery, const Batch *batch, const ConnectorAnswer *answer)
{
	Run		   *run = delivery->run;

	if (answer->limited_ms <= 0)
		return;
	if (answer->rows_put_off || has_more(delivery, batch))
		leave_alone(delivery, answer->limited_ms, "The destination takes no more requests until then.");
	else
		run->throttled_until = Max(run->throttled_until, act_now() + answer->limited_ms * 1000);
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
		leave_alone(delivery, pause, "It throttles single rows.");
	}
	if (delivery->run->stop.set || !may_try_again(batch) || pause > REQUEST_MAX_THROTTLE_MS)
	{
		const Row  *row = batch->rows[batch->nrows - 1];

		if (count == batch->nrows)
			stop_if_lost(delivery, batch, row->message ? row->message : "every row is to be sent again", NULL);
		return true;
	}
	if (count < batch->nrows)
	{
		part = act_batch_part(batch, batch->nrows - count, batch->nrows);
		part->tries = batch->tries;
		batch->nrows -= count;
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
	act_delivery_finish_with(delivery, batch, ROW_REJECTED,
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
		act_delivery_finish_with(delivery, batch, ROW_DELAYED, NULL, NULL, 0);
		return;
	}
	act_delivery_finish_with(delivery, batch, answer->final ? ROW_REFUSED : ROW_REJECTED,
							 answer->code, answer->message, answer->http_status);
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
		act_delivery_finish_with(delivery, batch, ROW_REJECTED, answer->code ? answer->code : "too_large",
					answer->message, answer->http_status);
		act_brake_refused(delivery, batch->rows[0]);
		return;
	}
	delivery->ready = lcons(act_batch_part(batch, batch->nrows / 2, batch->nrows), delivery->ready);
	delivery->ready = lcons(act_batch_part(batch, 0, batch->nrows / 2), delivery->ready);
	batch->claim->open--;
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
	release_rest(delivery, batch);
	act_delivery_finish_with(delivery, batch, ROW_DELAYED, answer->code, answer->message, answer->http_status);
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
	act_delivery_finish(delivery, batch);
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

void
act_delivery_judge(Delivery *delivery, Batch *batch, const HttpResponse *response)
{
	Run		   *run = delivery->run;
	ConnectorAnswer answer;
	MemoryContext caller = MemoryContextSwitchTo(batch->claim->context);

	memset(&answer, 0, sizeof(answer));
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
			heed_limit(delivery, batch, &answer);
			if (put_off(delivery, batch, &answer))
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
