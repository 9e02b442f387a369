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
	int			late_ms = batch->late ? delivery->run->destination->policy.timeout_ms : 0;

#ifdef ACT_TEST
	if (act_fault_claims_off)
		batch->uncertain = false;
	if (act_fault_late_off)
		late_ms = 0;
#endif
	if (batch->unit != NULL)
	{
		batch->unit->answered = true;
		batch->unit->uncertain = batch->uncertain;
		batch->unit->late_ms = late_ms;
	}
	for (int i = 0; i < batch->nrows; i++)
	{
		SettledRow *row = MemoryContextAllocZero(batch->claim->context, sizeof(SettledRow));

		row->row = batch->rows[i];
		row->uncertain = batch->uncertain;
		row->late_ms = late_ms;
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
		release_rest(delivery, batch);
		act_delivery_finish_with(delivery, batch, ROW_DELAYED, answer->code, answer->message, answer->http_status);
		return;
	}
	delivery->throttled_until = Max(delivery->throttled_until, act_delivery_now() + pause);
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
	act_delivery_finish_with(delivery, batch, ROW_REJECTED, answer->code, answer->message, answer->http_status);
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

/*
 * Whether the request, or a copy of it, may be applied after all that came
 * back: nothing did, or only a gateway's word that it lost sight of it.  An
 * application that answers in full is done with it.
 */
static bool
may_come_late(const HttpResponse *response)
{
	return response->repeated || response->transport == HTTP_LOST ||
		(response->transport == HTTP_ANSWERED && (response->status == 502 || response->status == 504));
}

void
act_delivery_judge(Delivery *delivery, Batch *batch, const HttpResponse *response)
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
	if (may_come_late(response))
		batch->late = true;
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
