/*-------------------------------------------------------------------------
 *
 * run_ask.c
 *	  A question to the destination that a run needs the answer of before it
 *	  sends.
 *
 * Called outside of transactions.  One request, tried again as rows would be:
 * what is turned away waits, credentials that were set meanwhile are tried
 * once; everything else ends the run, with nothing sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "destination_halt.h"
#include "exchange.h"
#include "fault.h"
#include "renewal.h"
#include "request_retry.h"
#include "run_ask.h"
#include "token.h"

typedef struct Asking
{
	Run		   *run;
	const RunQuestion *question;
	Exchange   *exchange;
	int			tries;
	int			throttles;
	bool		done;
} Asking;

static void
fail(Asking *check, const char *message, const char *detail, const char *hint)
{
	act_run_stop(check->run, RUN_FAILED, message, detail, hint != NULL ? hint : check->question->hint);
}

/* Somebody may want the run to end meanwhile. */
static void
wait_for(Asking *check, int64 pause_ms)
{
	while (pause_ms > 0 && !check->run->stop.set)
	{
		act_exchange_pause(check->exchange, Min(pause_ms, 1000));
		pause_ms -= 1000;
		act_run_poll(check->run);
	}
}

static void
throttled(Asking *check, const ConnectorAnswer *answer)
{
	Run		   *run = check->run;
	int64		pause = act_request_throttle_pause(run->destination, answer, ++check->throttles);

	check->tries--;
	if (pause > REQUEST_MAX_THROTTLE_MS || check->throttles > REQUEST_MAX_THROTTLES)
	{
		act_request_throttle_stop(run, pause, answer->message, act_request_told(answer));
		return;
	}
	act_limit_throttle(run->limit, act_now() + pause * 1000);
	wait_for(check, pause);
}

static void
failed(Asking *check, const ConnectorAnswer *answer)
{
	Run		   *run = check->run;

	if (check->tries < REQUEST_MAX_TRIES && !act_limit_down(run->limit) && answer->wait_ms <= REQUEST_MAX_THROTTLE_MS)
	{
		wait_for(check, Max(act_request_retry_pause(check->tries), answer->wait_ms));
		return;
	}
	fail(check, psprintf("destination \"%s\" does not answer as it should", run->destination->name),
		 answer->message, answer->hint);
	run->stop.told = MemoryContextStrdup(run->context, act_request_told(answer));
	run->unreachable = true;
	act_limit_found_down(run->limit);
}

/* Credentials that were set meanwhile may do. */
static void
refused(Asking *check, ConnectorAnswer *answer, int generation)
{
	Run		   *run = check->run;
	char	   *problem = NULL;

	if (answer->renew && act_renewal_try(run, generation, &problem))
		return;
	if (problem != NULL)
		answer->message = psprintf("%s (and the credentials cannot be read again: %s)", answer->message, problem);
	fail(check, psprintf("destination \"%s\" refuses the credentials", run->destination->name),
		 answer->message, answer->hint);
}

static void
ask_once(Asking *check)
{
	Run		   *run = check->run;
	int			generation = run->destination->generation;
	HttpRequest request = {0};
	HttpResponse *response;
	ConnectorAnswer answer = {.verdict = VERDICT_UNREACHED,.wait_ms = -1};

	check->tries++;
	check->question->render(run, &request, check->question->arg);
	run->counts.requests++;
	response = act_exchange_ask(check->exchange, &run->scope, &request, REQUEST_MAX_THROTTLE_MS);
	if (response == NULL)
	{
		answer.message = pstrdup("others have used up its limits for too long");
		check->tries = REQUEST_MAX_TRIES;
	}
	else
		check->question->read(run, response, &answer, check->question->arg);
	act_exchange_told(check->exchange, &answer);
	if (answer.message != NULL)
		answer.message = act_destination_redact(run->destination, answer.message);
	switch (answer.verdict)
	{
		case VERDICT_ROWS:
			check->done = true;
			act_token_worked(run, generation);
			break;
		case VERDICT_THROTTLED:
			throttled(check, &answer);
			break;
		case VERDICT_UNREACHED:
		case VERDICT_UNCERTAIN:
			failed(check, &answer);
			break;
		case VERDICT_AUTH:
			refused(check, &answer, generation);
			break;
		case VERDICT_REFUSED:
		case VERDICT_TOO_LARGE:
		case VERDICT_CONFIGURATION:
			fail(check, psprintf("destination \"%s\" %s", run->destination->name, check->question->unanswered),
				 answer.message, answer.hint);
			break;
	}
}

static void
ask(Asking *check)
{
	Run		   *run = check->run;

	while (!check->done && !run->stop.set)
	{
		act_destination_heed(run);
		if (!run->stop.set && act_token_ready(run))
			ask_once(check);
		act_run_poll(run);
	}
}

bool
act_run_ask(Run *run, const RunQuestion *question)
{
	Asking		check = {.run = run,.question = question};

	act_destination_begin(run);
	PG_TRY();
	{
		check.exchange = act_exchange_open(run->destination, run->limit, run->destination->policy.timeout_ms);
		ask(&check);
	}
	PG_FINALLY();
	{
		act_exchange_close(check.exchange);
	}
	PG_END_TRY();
	return check.done && !run->stop.set;
}
