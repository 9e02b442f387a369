/*-------------------------------------------------------------------------
 *
 * delivery_job_answer.c
 *	  What the answers to a job's requests mean for it and for its rows.
 *
 * Called by the loop of deliver.c, outside of any transaction.  What can be
 * asked again without harm is; what was refused is given up, and its rows are
 * dealt with as those of any other batch (delivery_answer.c).  Includes
 * neither SPI nor curl.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "delivery_job.h"
#include "destination_halt.h"
#include "fault.h"
#include "request_log.h"
#include "request_retry.h"
#include "token.h"

/* Pages of results that one job may have. */
#define MAX_PAGES 100000

/* What became of its rows will never be known. */
static void
lose(Delivery *delivery, Batch *batch, bool late, const char *code, const char *message, int http_status)
{
	act_batch_doubt(batch, late);
	act_delivery_job_give_up(delivery, batch);
	act_delivery_finish_with(delivery, batch, ROW_DELAYED, code, message, http_status);
}

/* It is over, and was handed over before the server was set back: something newer may have gone since. */
static void
distrust(Delivery *delivery, Batch *batch, int http_status)
{
	const char *message = psprintf("job %s is over, but was handed over before this server was promoted or recovered",
								   act_job_title(batch->job));

	act_batch_doubt(batch, false);
	act_delivery_job_done(delivery, batch);
	act_delivery_finish_with(delivery, batch, ROW_DELAYED, "job_lost", message, http_status);
}

static void
ask_next(Delivery *delivery, Batch *batch, int64 pause_ms)
{
	batch->tries = 0;
	batch->not_before = pause_ms == 0 ? 0 : act_delivery_now() + pause_ms;
	delivery->ready = lappend(delivery->ready, batch);
}

/* Steps and polls that did what they should are of no interest to anybody. */
static void
log_request(Delivery *delivery, const Batch *batch, const HttpResponse *response, const ConnectorAnswer *answer)
{
	const Job  *job = batch->job;
	bool		rows = job->place.stage == JOB_STEP && act_job_step_has_rows(job->plan, job->place.number);
	RequestTaken taken = {
		.request = &batch->request,
		.at = batch->sent_at,
		.rows = batch->rows,
		.nrows = batch->nrows,
		.rows_sent = rows ? batch->nrows : 0,
		.attempt = batch->tries,
		.response = response,
		.answer = answer,
		.accepted = answer != NULL && answer->verdict == VERDICT_ROWS,
	};
	int64	   *id = act_request_log_take(delivery->run, &taken,
										  taken.accepted ? NULL : act_request_log_number(delivery->run));

	for (int i = 0; i < batch->nrows && !taken.accepted; i++)
		batch->rows[i]->request_id = id;
}

static void read_results(Delivery *delivery, Batch *batch, int number, const HttpResponse *response,
						 ConnectorAnswer *answer);

static void
submitted(Job *job)
{
	TimestampTz now = act_now();

	job->place.stage = JOB_POLL;
	job->place.number = 0;
	job->submitted_at = now;
	job->next_poll_at = now + act_job_pause_ms(job->plan, 0) * INT64CONST(1000);
	job->deadline = now + act_job_timeout_ms(job->plan) * INT64CONST(1000);
}

static void
begin_results(Delivery *delivery, Job *job)
{
	const Run  *run = delivery->run;
	MemoryContext caller;

	if (job->results_context == NULL)
		job->results_context = AllocSetContextCreate(job->context, "pg_activate results", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(job->results_context);
	caller = MemoryContextSwitchTo(job->results_context);
	job->results = act_job_results_begin(run->destination->connector, &run->scope, job->plan, job->rows, job->nrows);
	job->pages = 0;
	MemoryContextSwitchTo(caller);
}

/* The last step was done. */
static void
after_last_step(Delivery *delivery, Batch *batch, const HttpResponse *response, ConnectorAnswer *answer)
{
	Job		   *job = batch->job;

	if (!act_job_polls(job->plan))
	{
		begin_results(delivery, job);
		read_results(delivery, batch, -1, response, answer);
		return;
	}
	submitted(job);
	batch->tries = 0;
	batch->not_before = act_delivery_now() + act_job_pause_ms(job->plan, 0);
	act_delivery_job_write(delivery, job);
}

static void
after_step(Delivery *delivery, Batch *batch, const HttpResponse *response, ConnectorAnswer *answer)
{
	Job		   *job = batch->job;

	if (act_delivery_job_at_last_step(job))
	{
		after_last_step(delivery, batch, response, answer);
		return;
	}
	job->place.number++;
	batch->tries = 0;
	batch->not_before = 0;
	act_delivery_job_write(delivery, job);
}

/* From its first step, in another job; what was handed over so far comes to nothing. */
static void
begin_anew(Delivery *delivery, Batch *batch)
{
	if (batch->job->place.number > 0)
		act_delivery_job_give_up(delivery, batch);
}

/* A step that has no rows was refused: no other row would change that. */
static void
step_refused(Delivery *delivery, Batch *batch, ConnectorAnswer *answer)
{
	answer->verdict = VERDICT_CONFIGURATION;
	answer->renew = false;
	if (answer->hint == NULL)
		answer->hint = pstrdup("Check the object of the sync and what the credentials may do there.");
	act_delivery_follow(delivery, batch, answer);
}

/* The job is not there, or not told of. */
static bool
has_vanished(const ConnectorAnswer *answer)
{
	switch (answer->verdict)
	{
		case VERDICT_REFUSED:
		case VERDICT_TOO_LARGE:
			return true;
		case VERDICT_CONFIGURATION:
			return answer->http_status == 404 || answer->http_status == 410;
		default:
			return false;
	}
}

/*
 * The last step, asked for again, is refused: perhaps because it had been done
 * before, and the job knows; perhaps because there is no job any more.
 */
static void
step_repeated(Delivery *delivery, Batch *batch, const HttpResponse *response, ConnectorAnswer *answer)
{
	if (act_job_polls(batch->job->plan))
	{
		after_last_step(delivery, batch, response, answer);
		return;
	}
	lose(delivery, batch, false, "job_lost",
		 psprintf("job %s cannot be asked for any more: %s", act_job_title(batch->job), answer->message),
		 answer->http_status);
}

static void
judge_step(Delivery *delivery, Batch *batch, const HttpResponse *response, ConnectorAnswer *answer)
{
	Job		   *job = batch->job;
	bool		rows = act_job_step_has_rows(job->plan, job->place.number);

	if (!rows && job->last_sent && has_vanished(answer))
	{
		step_repeated(delivery, batch, response, answer);
		return;
	}
	switch (answer->verdict)
	{
		case VERDICT_ROWS:
			after_step(delivery, batch, response, answer);
			return;
		case VERDICT_REFUSED:
		case VERDICT_TOO_LARGE:
			if (!rows)
			{
				step_refused(delivery, batch, answer);
				return;
			}
			act_delivery_job_give_up(delivery, batch);
			break;
		case VERDICT_UNCERTAIN:
			if (!act_delivery_job_may_apply(job))
			{
				job->last_sent = act_delivery_job_at_last_step(job);
				if (!act_delivery_job_at_last_step(job))
					begin_anew(delivery, batch);
				answer->verdict = VERDICT_UNREACHED;
			}
			break;
		default:
			break;
	}
	act_delivery_follow(delivery, batch, answer);
}

static void
job_failed(Delivery *delivery, Batch *batch, const JobPoll *poll, ConnectorAnswer *answer)
{
	const char *message = poll->message != NULL ? poll->message : "the job failed at the destination";

	for (int i = 0; i < batch->nrows; i++)
	{
		Row		   *row = batch->rows[i];

		/* Some of it may have been applied before. */
		row->uncertain = true;
		row->outcome = row->at_most_once ? ROW_UNKNOWN : ROW_REJECTED;
		row->code = poll->state_text;
		row->message = unconstify(char *, message);
		row->new_external_id = NULL;
		row->new_remembered = NIL;
		row->http_status = answer->http_status;
	}
	act_delivery_follow(delivery, batch, answer);
	act_delivery_decide(delivery);
}

/* The results that are to be asked for next; false: there are none any more. */
static bool
next_results(Job *job, int number)
{
	for (; number < act_job_results(job->plan); number++)
	{
		if (!job->poll.wanted[number])
			continue;
		job->place.stage = JOB_RESULTS;
		job->place.number = number;
		job->place.next = NULL;
		return true;
	}
	return false;
}

static void
job_ended(Delivery *delivery, Batch *batch, const JobPoll *poll, const HttpResponse *response,
		  ConnectorAnswer *answer)
{
	Job		   *job = batch->job;

	begin_results(delivery, job);
	job->poll = *poll;
	job->poll.wanted = MemoryContextAlloc(job->results_context, sizeof(bool) * (act_job_results(job->plan) + 1));
	memcpy(job->poll.wanted, poll->wanted, sizeof(bool) * act_job_results(job->plan));
	if (next_results(job, 0))
		ask_next(delivery, batch, 0);
	else
		read_results(delivery, batch, -1, response, answer);
}

static void
poll_again(Delivery *delivery, Batch *batch, const JobPoll *poll, const ConnectorAnswer *answer)
{
	Job		   *job = batch->job;
	TimestampTz now = act_now();
	int			pause = act_job_pause_ms(job->plan, ++job->polls);

	if (job->deadline != 0 && now >= job->deadline)
	{
		lose(delivery, batch, true, "job_timeout",
			 poll->state == JOB_STRANGE ?
			 psprintf("job %s was given up: its state \"%s\" is none that the connector knows",
					  act_job_title(job), poll->state_text ? poll->state_text : "") :
			 psprintf("job %s was given up: it is not done in time", act_job_title(job)), answer->http_status);
		return;
	}
	job->next_poll_at = now + pause * INT64CONST(1000);
	ask_next(delivery, batch, pause);
}

/* Whatever is asked, what comes is no word of it, and its time is over. */
static bool
is_mute(const Batch *batch, const HttpResponse *response, const ConnectorAnswer *answer)
{
	const Job  *job = batch->job;

	return answer->verdict == VERDICT_UNCERTAIN && response->transport == HTTP_ANSWERED &&
		batch->tries >= REQUEST_MAX_TRIES && job->deadline != 0 && act_now() >= job->deadline;
}

/* True: it is dealt with.  What could not be asked is asked again, and harms nothing. */
static bool
judge_asking(Delivery *delivery, Batch *batch, ConnectorAnswer *answer)
{
	if (answer->verdict == VERDICT_ROWS)
		return false;
	if (has_vanished(answer))
	{
		lose(delivery, batch, false, "job_lost",
			 psprintf("job %s cannot be asked for any more: %s", act_job_title(batch->job), answer->message),
			 answer->http_status);
		return true;
	}
	if (answer->verdict == VERDICT_UNCERTAIN && batch->job->place.stage != JOB_STEP)
		answer->verdict = VERDICT_UNREACHED;
	act_delivery_follow(delivery, batch, answer);
	return true;
}

static void
judge_poll(Delivery *delivery, Batch *batch, const HttpResponse *response, const JobPoll *poll,
		   ConnectorAnswer *answer)
{
	if (is_mute(batch, response, answer))
	{
		lose(delivery, batch, true, "job_timeout",
			 psprintf("job %s was given up: its state cannot be told: %s", act_job_title(batch->job), answer->message),
			 answer->http_status);
		return;
	}
	if (judge_asking(delivery, batch, answer))
		return;
	if (!batch->job->trusted && (poll->state == JOB_DONE || poll->state == JOB_FAILED))
		distrust(delivery, batch, answer->http_status);
	else if (poll->state == JOB_DONE || (poll->state == JOB_FAILED && poll->tells))
		job_ended(delivery, batch, poll, response, answer);
	else if (poll->state == JOB_FAILED)
		job_failed(delivery, batch, poll, answer);
	else
		poll_again(delivery, batch, poll, answer);
}

/* All that was told is read. */
static void
finish_results(Delivery *delivery, Batch *batch, ConnectorAnswer *answer)
{
	Job		   *job = batch->job;
	const char *why = act_job_results_finish(job->results, answer);

	if (why != NULL)
	{
		lose(delivery, batch, false, "job_unclear",
			 psprintf("what became of job %s cannot be told: %s", act_job_title(job), why), answer->http_status);
		return;
	}
	if (!job->trusted)
	{
		distrust(delivery, batch, answer->http_status);
		return;
	}
	/* They go with the next run, which is soon. */
	answer->rows_put_off = answer->rows_throttled = false;
	act_delivery_redact(delivery->run, batch, answer);
	act_delivery_follow(delivery, batch, answer);
	act_delivery_decide(delivery);
}

/* number -1: the answer of the last step or poll says it all. */
static void
read_results(Delivery *delivery, Batch *batch, int number, const HttpResponse *response, ConnectorAnswer *answer)
{
	Job		   *job = batch->job;
	MemoryContext caller = MemoryContextSwitchTo(job->results_context);
	char	   *next = NULL;

	act_job_read_results(job->results, number, response,
						 (act_now() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) / 1000,
						 &next, answer);
	MemoryContextSwitchTo(caller);
	if (answer->verdict == VERDICT_UNCERTAIN && response->transport == HTTP_ANSWERED && batch->tries >= REQUEST_MAX_TRIES)
	{
		lose(delivery, batch, false, "job_unclear",
			 psprintf("the results of job %s cannot be read: %s", act_job_title(job), answer->message), answer->http_status);
		return;
	}
	if (judge_asking(delivery, batch, answer))
		return;
	job->place.next = next;
	if (next != NULL && ++job->pages >= MAX_PAGES)
		lose(delivery, batch, false, "job_unclear",
			 psprintf("the results of job %s have no end", act_job_title(job)), answer->http_status);
	else if (next != NULL || (number >= 0 && next_results(job, number + 1)))
		ask_next(delivery, batch, 0);
	else
		finish_results(delivery, batch, answer);
}

/* Whatever it says. */
static void
judge_abort(Delivery *delivery, Batch *batch)
{
	Job		   *job = batch->job;

	batch->job = NULL;
	act_delivery_job_over(delivery, job);
	act_batch_free(batch);
}

void
act_delivery_job_judge(Delivery *delivery, Batch *batch, const HttpResponse *response)
{
	Run		   *run = delivery->run;
	const Connector *connector = run->destination->connector;
	Job		   *job = batch->job;
	JobStage	stage = job->place.stage;
	int64		now_ms = (act_now() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) / 1000;
	MemoryContext caller = MemoryContextSwitchTo(job->context);
	ConnectorAnswer answer;
	JobPoll		poll;

	memset(&answer, 0, sizeof(answer));
	if (stage == JOB_POLL)
	{
		MemoryContextSwitchTo(job->request_context);
		act_job_read_poll(connector, job->plan, response, now_ms, &poll, &answer);
		act_delivery_redact_text(run, &poll.message);
		act_delivery_redact_text(run, &poll.state_text);
	}
	else if (stage == JOB_STEP)
		act_job_read_step(connector, job->plan, job->place.number, response, now_ms, &job->place.saved, &answer);
	else
	{
		MemoryContextSwitchTo(job->request_context);
		act_job_read_any(connector, job->plan, response, now_ms, &answer);
	}
	act_delivery_redact_text(run, &answer.code);
	act_delivery_redact_text(run, &answer.message);
	act_delivery_redact_text(run, &answer.hint);
	MemoryContextSwitchTo(caller);

	act_limit_leave(run->limit,
					act_destination_result(answer.verdict, delivery->accepted == batch->accepted_before),
					response->duration_ms);
	log_request(delivery, batch, response, &answer);
	if (answer.verdict == VERDICT_ROWS)
		act_token_worked(run, batch->generation);
	batch->late = batch->late || (stage == JOB_STEP && act_delivery_job_may_apply(job) && act_delivery_may_come_late(response));
	if (response->repeated && stage == JOB_STEP && act_delivery_job_may_apply(job))
		act_batch_doubt(batch, true);
	/* The first of two may be why the second is refused. */
	if (response->repeated && stage == JOB_STEP && !act_delivery_job_may_apply(job) &&
		(answer.verdict == VERDICT_REFUSED || answer.verdict == VERDICT_TOO_LARGE))
		answer.verdict = VERDICT_UNCERTAIN;
	if (stage == JOB_STEP)
		judge_step(delivery, batch, response, &answer);
	else if (stage == JOB_POLL)
		judge_poll(delivery, batch, response, &poll, &answer);
	else if (stage == JOB_RESULTS)
		read_results(delivery, batch, job->place.number, response, &answer);
	else
		judge_abort(delivery, batch);
}
