/*-------------------------------------------------------------------------
 *
 * link.c
 *	  Option first_run link: asks the destination for the records that it has
 *	  already, so that the first run makes no second ones.
 *
 * One loop, as in deliver.c: read rows, ask, wait, read the answers, write
 * them down in groups.  A lookup changes nothing over there, so whatever is
 * lost is asked again, by this run or the next.  A row whose record has what
 * it would be sent counts as accepted; one whose record differs is known by
 * its id, and the diff that follows sends it; the others are sent as new.
 * This file includes neither SPI nor curl.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "destination_halt.h"
#include "fault.h"
#include "link.h"
#include "record_owner.h"
#include "renewal.h"
#include "request_log.h"
#include "request_retry.h"
#include "settings.h"
#include "token.h"

/* As in a delivery. */
#define SETTLE_ROWS 5000
#define FINISHED_BATCHES 200
#define LOCKED_TABLE_PAUSE_MS 100

/* Rows asked for with one request. */
typedef struct LinkBatch
{
	MemoryContext context;		/* of the rows; shared by the parts of a batch that was too large */
	int		   *parts;			/* that are left */
	Row		  **rows;
	int			nrows;
	HttpRequest request;		/* the last one, without credentials */
	TimestampTz sent_at;
	int			tries;
	int			generation;		/* of the credentials that it went with */
	int64		not_before;		/* milliseconds */
} LinkBatch;

typedef struct Link
{
	Run		   *run;
	LinkCounts *counts;
	MemoryContext context;
	HttpLoop   *loop;
	RecordOwners *owners;
	int			limit;			/* rows in a request */
	int			concurrency;
	bool		read_all;
	List	   *ready;			/* of LinkBatch */
	List	   *in_flight;
	List	   *settled;		/* of SettledRow */
	List	   *finished;		/* of MemoryContext: of rows that are settled or in settled */
	int			throttles;
	int64		limited_until;	/* as in a delivery */
	int64		locked_until;
} Link;

static int64
now_ms(void)
{
	return GetCurrentTimestamp() / 1000;
}

/* ----------------------------------------------------------------
 *		Rows
 * ----------------------------------------------------------------
 */

/* Of the others the record is known, or there is nothing to ask by. */
static bool
is_to_be_asked(const Link *link, const Row *row)
{
	return row->external_id == NULL && !act_row_op_removes(row->op) &&
		act_connector_lookup_has(link->run->destination->connector, &link->run->scope, row);
}

/* NULL: there are no more. */
static LinkBatch *
read_batch(Link *link)
{
	MemoryContext context = AllocSetContextCreate(link->context, "pg_activate lookup", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	LinkBatch  *batch = palloc0(sizeof(LinkBatch));

	batch->context = context;
	batch->parts = palloc(sizeof(int));
	*batch->parts = 1;
	batch->rows = palloc(sizeof(Row *) * link->limit);
	while (batch->nrows < link->limit && !link->read_all)
	{
		Row		   *row = act_diff_next(&link->run->diff);

		CHECK_FOR_INTERRUPTS();
		if (row == NULL)
			link->read_all = true;
		else if (is_to_be_asked(link, row))
			batch->rows[batch->nrows++] = row;
	}
	MemoryContextSwitchTo(caller);
	if (batch->nrows > 0)
		return batch;
	MemoryContextDelete(context);
	return NULL;
}

static void
finish_batch(Link *link, LinkBatch *batch)
{
	if (--*batch->parts == 0)
		link->finished = lappend(link->finished, batch->context);
}

static void
settle(Link *link, LinkBatch *batch, Row *row, RowOutcome outcome, bool differs,
	   const char *code, char *message, int http_status)
{
	SettledRow *settled = MemoryContextAllocZero(batch->context, sizeof(SettledRow));

	row->outcome = outcome;
	row->code = code != NULL ? MemoryContextStrdup(batch->context, code) : NULL;
	row->message = message != NULL ? MemoryContextStrdup(batch->context, message) : NULL;
	row->http_status = http_status;
	settled->row = row;
	settled->differs = differs;
	link->settled = lappend(link->settled, settled);
}

/* What the answer says of one row. */
static void
link_row(Link *link, LinkBatch *batch, Row *row, const ConnectorFound *found, int http_status)
{
	const char *taken = NULL;

	if (found->count == 1)
		taken = act_owners_take(link->owners, link->run, found->external_id, row->key);
	if (found->count > 1)
	{
		link->counts->unclear++;
		settle(link, batch, row, ROW_REFUSED, false, "several_records",
			   psprintf("%d records of the destination match the row, and which one is its own cannot be told", found->count),
			   http_status);
	}
	else if (taken != NULL)
	{
		link->counts->unclear++;
		settle(link, batch, row, ROW_REFUSED, false, "record_taken",
			   psprintf("record %s of the destination matches the row and is %s%s already", found->external_id,
						*taken != '\0' ? "that of row " : "another row's", taken),
			   http_status);
	}
	else if (found->count == 1)
	{
		row->new_external_id = MemoryContextStrdup(batch->context, found->external_id);
		if (found->same)
			link->counts->same++;
		else
			link->counts->different++;
		settle(link, batch, row, ROW_ACCEPTED, !found->same, NULL, NULL, http_status);
	}
	else
	{
		link->counts->none++;
		/* There is nothing to update, which the destination need not be asked again. */
		if (row->op == ROW_OP_UPDATE)
			settle(link, batch, row, ROW_ABSENT, false, NULL, pstrdup("the destination has no record for it"), http_status);
	}
}

/* ----------------------------------------------------------------
 *		Answers
 * ----------------------------------------------------------------
 */

static void
again_later(Link *link, LinkBatch *batch, int64 pause_ms)
{
	batch->not_before = now_ms() + pause_ms;
	link->ready = lappend(link->ready, batch);
	link->run->counts.retries++;
	act_limit_again(link->run->limit);
}

static void
stop(Link *link, RunStatus status, const char *message, const ConnectorAnswer *answer)
{
	Run		   *run = link->run;

	if (!run->stop.set)
		act_run_stop(run, status, psprintf(message, run->destination->name), answer->message,
					 answer->hint != NULL ? answer->hint :
					 "Nothing was sent: option first_run is link. What was found so far is kept, and the next run goes on.");
}

static void
retry(Link *link, LinkBatch *batch, const ConnectorAnswer *answer)
{
	if (batch->tries >= REQUEST_MAX_TRIES || act_limit_down(link->run->limit) || answer->wait_ms > REQUEST_MAX_THROTTLE_MS)
	{
		stop(link, RUN_FAILED, "destination \"%s\" does not answer as it should", answer);
		link->run->stop.told = MemoryContextStrdup(link->run->context, act_request_told(answer));
		link->run->unreachable = true;
		act_limit_found_down(link->run->limit);
		return;
	}
	again_later(link, batch, Max(act_request_retry_pause(batch->tries), answer->wait_ms));
}

static void
throttle(Link *link, LinkBatch *batch, const ConnectorAnswer *answer)
{
	int64		pause = act_request_throttle_pause(link->run->destination, answer, ++link->throttles);

	batch->tries--;
	if (pause > REQUEST_MAX_THROTTLE_MS || link->throttles > REQUEST_MAX_THROTTLES)
	{
		act_request_throttle_stop(link->run, pause, answer->message, act_request_told(answer));
		return;
	}
	act_limit_throttle(link->run->limit, act_now() + pause * 1000);
	again_later(link, batch, pause);
}

/* Credentials that were set meanwhile may do. */
static void
refused(Link *link, LinkBatch *batch, ConnectorAnswer *answer)
{
	char	   *problem = NULL;

	if (!answer->renew || !act_renewal_try(link->run, batch->generation, &problem))
	{
		if (problem != NULL)
			answer->message = psprintf("%s (and the credentials cannot be read again: %s)", answer->message, problem);
		stop(link, RUN_FAILED, "destination \"%s\" refuses the credentials", answer);
		return;
	}
	batch->tries--;
	again_later(link, batch, 0);
}

static void
halve(Link *link, LinkBatch *batch)
{
	LinkBatch  *half = MemoryContextAllocZero(batch->context, sizeof(LinkBatch));

	*half = *batch;
	half->rows += batch->nrows / 2;
	half->nrows -= batch->nrows / 2;
	half->tries = batch->tries = 0;
	batch->nrows /= 2;
	++*batch->parts;
	link->ready = lcons(half, lcons(batch, link->ready));
}

static void
redact(const Run *run, char **text)
{
	if (*text != NULL)
		*text = act_destination_redact(run->destination, *text);
}

/* After its rows were read: those that it refuses are the last in settled. */
static void
log_request(Link *link, LinkBatch *batch, const HttpResponse *response, const ConnectorAnswer *answer)
{
	RequestTaken taken = {
		.request = &batch->request,
		.at = batch->sent_at,
		.rows = batch->rows,
		.nrows = batch->nrows,
		.rows_sent = batch->nrows,
		.attempt = batch->tries,
		.response = response,
		.answer = answer,
		.accepted = answer->verdict == VERDICT_ROWS,
	};
	int64	   *id;

	for (int i = 0; i < batch->nrows && taken.accepted; i++)
		taken.accepted = batch->rows[i]->outcome != ROW_REFUSED;
	id = act_request_log_take(link->run, &taken, taken.accepted ? NULL : act_request_log_number(link->run));
	for (int i = 0; i < batch->nrows; i++)
		batch->rows[i]->request_id = id;
}

static void
take_answer(Link *link, LinkBatch *batch, const HttpResponse *response)
{
	Run		   *run = link->run;
	ConnectorAnswer answer;
	ConnectorFound *found = palloc0(sizeof(ConnectorFound) * batch->nrows);

	memset(&answer, 0, sizeof(answer));
	act_connector_read_lookup(run->destination->connector, &run->scope, response, batch->rows, batch->nrows,
							  (act_now() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) / 1000,
							  &answer, found);
	redact(run, &answer.message);
	redact(run, &answer.hint);
	act_limit_leave(run->limit, act_destination_result(answer.verdict, true), response->duration_ms);
	if (answer.verdict != VERDICT_ROWS)
		log_request(link, batch, response, &answer);
	switch (answer.verdict)
	{
		case VERDICT_ROWS:
			link->throttles = 0;
			act_token_worked(run, batch->generation);
			if (answer.limited_ms > 0)
				act_limit_throttle(run->limit, act_now() + answer.limited_ms * 1000);
			for (int i = 0; i < batch->nrows; i++)
				link_row(link, batch, batch->rows[i], &found[i], answer.http_status);
			log_request(link, batch, response, &answer);
			pfree(found);
			finish_batch(link, batch);
			break;
		case VERDICT_TOO_LARGE:
			if (batch->nrows > 1)
				halve(link, batch);
			else
				stop(link, RUN_FAILED, "destination \"%s\" cannot be asked for records", &answer);
			break;
		case VERDICT_THROTTLED:
			throttle(link, batch, &answer);
			break;
		case VERDICT_UNREACHED:
		case VERDICT_UNCERTAIN:
			retry(link, batch, &answer);
			break;
		case VERDICT_AUTH:
			refused(link, batch, &answer);
			break;
		case VERDICT_REFUSED:
		case VERDICT_CONFIGURATION:
			stop(link, RUN_FAILED, "destination \"%s\" cannot be asked for records", &answer);
			break;
	}
}

static void
take_answers(Link *link)
{
	MemoryContext answer = AllocSetContextCreate(link->context, "pg_activate lookup answer", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(answer);

	for (;;)
	{
		HttpResponse *response;
		LinkBatch  *batch;
		void	   *owner;

		MemoryContextSwitchTo(answer);
		response = act_http_next(link->loop, &owner);
		if (response == NULL)
			break;
		batch = owner;
		/* Lists are the link's own. */
		MemoryContextSwitchTo(link->context);
		link->in_flight = list_delete_ptr(link->in_flight, batch);
		take_answer(link, batch, response);
		MemoryContextReset(answer);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(answer);
}

/* ----------------------------------------------------------------
 *		The loop
 * ----------------------------------------------------------------
 */

static void
ask(Link *link, LinkBatch *batch)
{
	Run		   *run = link->run;
	MemoryContext caller = CurrentMemoryContext;
	HttpRequest request;

	MemoryContextSwitchTo(batch->context);
	batch->tries++;
	batch->generation = run->destination->generation;
	act_connector_render_lookup(run->destination->connector, &run->scope, batch->rows, batch->nrows, &batch->request);
	request = batch->request;
	request.headers = list_concat_copy(batch->request.headers, run->destination->extra_headers);
	act_connector_authorize(run->destination->connector, &run->scope, &request,
							act_now() / USECS_PER_SEC +
							(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY);
	act_http_send(link->loop, &request, batch);
	batch->sent_at = act_now();
	MemoryContextSwitchTo(caller);
	link->in_flight = lappend(link->in_flight, batch);
	run->counts.requests++;
	run->counts.bytes_sent += request.body_len;
}

/* As many as may be under way, behind those that are to be asked again. */
static void
read_more(Link *link)
{
	while (list_length(link->ready) + list_length(link->in_flight) < link->concurrency && !link->read_all &&
		   list_length(link->settled) < 2 * SETTLE_ROWS)
	{
		LinkBatch  *batch = read_batch(link);

		if (batch != NULL)
			link->ready = lappend(link->ready, batch);
	}
}

/* First what is to be asked again. */
static void
ask_more(Link *link)
{
	int64		now = now_ms();
	ListCell   *cell;

	link->limited_until = 0;
	read_more(link);
	if (link->ready != NIL)
		act_destination_heed(link->run);
	if (link->ready != NIL && !link->run->stop.set)
		(void) act_token_ready(link->run);
	foreach(cell, link->ready)
	{
		LinkBatch  *batch = lfirst(cell);
		int64		wait;

		if (link->run->stop.set)
			return;
		if (list_length(link->in_flight) >= link->concurrency)
		{
			act_limit_want(link->run->limit);
			return;
		}
		if (batch->not_before > now)
			continue;
		wait = act_limit_enter(link->run->limit);
		if (wait > 0)
		{
			link->limited_until = now + wait;
			return;
		}
		link->ready = foreach_delete_current(link->ready, cell);
		ask(link, batch);
	}
}

static bool
asked_all(const Link *link)
{
	return link->in_flight == NIL && link->ready == NIL && link->read_all;
}

/* What was found so far is written down; what is locked waits. */
static void
write_down(Link *link)
{
	ListCell   *cell;

	if (now_ms() < link->locked_until ||
		(list_length(link->settled) < SETTLE_ROWS && list_length(link->finished) < FINISHED_BATCHES &&
		 !asked_all(link) && !link->run->stop.set))
		return;
	if (link->settled != NIL && !act_link_settle(link->run, link->settled))
	{
		link->locked_until = now_ms() + LOCKED_TABLE_PAUSE_MS;
		return;
	}
	list_free(link->settled);
	link->settled = NIL;
	foreach(cell, link->finished)
		MemoryContextDelete(lfirst(cell));
	list_free(link->finished);
	link->finished = NIL;
}

static long
wait_time(const Link *link)
{
	int64		now = now_ms();
	int64		until = now + 1000;
	ListCell   *cell;

	foreach(cell, link->ready)
	{
		if (list_length(link->in_flight) < link->concurrency)
			until = Min(until, Max(((LinkBatch *) lfirst(cell))->not_before, link->limited_until));
	}
	if (link->locked_until > now)
		until = Min(until, link->locked_until);
	return (long) Max(0, until - now);
}

/* Somebody wants it gone, and waits neither for an answer nor for a lock. */
static bool
ends_at_once(const Run *run)
{
	return run->stop.set && (run->stop.status == RUN_CANCELLED || run->stop.status == RUN_INTERRUPTED);
}

static void
look_up(Link *link)
{
	Run		   *run = link->run;

	while (!run->stop.set && !(asked_all(link) && link->settled == NIL))
	{
		ask_more(link);
		write_down(link);
		if (asked_all(link) && link->settled == NIL)
			break;
		act_http_wait(link->loop, wait_time(link));
		take_answers(link);
		act_run_poll(run);
	}
	/* Lookups under way change nothing, and are forgotten. */
	while (link->settled != NIL && !ends_at_once(run))
	{
		write_down(link);
		if (link->settled != NIL)
		{
			act_http_wait(link->loop, wait_time(link));
			act_run_poll(run);
		}
	}
}

static Link *
link_create(Run *run, LinkCounts *counts)
{
	MemoryContext context = AllocSetContextCreate(run->context, "pg_activate link", ALLOCSET_DEFAULT_SIZES);
	Link	   *link = MemoryContextAllocZero(context, sizeof(Link));

	link->run = run;
	link->counts = counts;
	link->context = context;
	link->owners = act_owners_create(context);
	link->limit = act_connector_lookup_rows(run->destination->connector, run->destination->batch_size);
	link->concurrency = Min(Max(run->destination->concurrency, 1), act_max_in_flight);
	return link;
}

void
act_link(Run *run, LinkCounts *counts)
{
	MemoryContext caller = CurrentMemoryContext;
	Link	   *link;

	memset(counts, 0, sizeof(*counts));
	if (run->diff.counts.to_send == 0)
		return;
	link = link_create(run, counts);
	MemoryContextSwitchTo(link->context);
	act_destination_begin(run);
	link->loop = act_http_loop_create(&run->destination->policy);
	PG_TRY();
	{
		look_up(link);
	}
	PG_FINALLY();
	{
		act_http_loop_destroy(link->loop);
		act_limit_drop(run->limit);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(link->context);
}
