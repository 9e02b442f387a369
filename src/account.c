/*-------------------------------------------------------------------------
 *
 * account.c
 *	  Whose account a destination's credentials are of, and whether it is the
 *	  one that the server's option "account" names.
 *
 * Test data in the account of production, or the reverse, cannot be taken
 * back.  So a destination can pin its account, and each run then asks with the
 * credentials that it is going to send with, before its first row: one request
 * more for a run.  In a run this is called outside of transactions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "account.h"
#include "destination_halt.h"
#include "exchange.h"
#include "fault.h"
#include "renewal.h"
#include "request_retry.h"
#include "token.h"

char *
act_account_name(const ConnectorAccount *account)
{
	if (account->id == NULL)
		return NULL;
	return account->name == NULL ? pstrdup(account->id) : psprintf("%s (%s)", account->id, account->name);
}

char *
act_account_list(const List *scopes)
{
	StringInfoData buf;
	ListCell   *cell;

	if (scopes == NIL)
		return NULL;
	initStringInfo(&buf);
	foreach(cell, scopes)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "", (char *) lfirst(cell));
	return buf.data;
}

char *
act_account_problem(const Destination *destination, const ConnectorAccount *account)
{
	const char *wanted = act_destination_option((void *) destination, "account");

	if (wanted == NULL || (account->id != NULL && strcmp(account->id, wanted) == 0))
		return NULL;
	return psprintf("the credentials are of account %s, and option \"account\" names %s",
					act_account_name(account), wanted);
}

char *
act_account_ask(Destination *destination, ConnectorAccount *account)
{
	ConnectorScope scope = {
		.option = act_destination_option,
		.secret = act_destination_secret,
		.arg = destination
	};
	HttpRequest request = {0};
	HttpResponse *response = NULL;
	ConnectorAnswer answer = {.verdict = VERDICT_UNREACHED};
	Exchange   *volatile exchange = NULL;

	answer.message = act_token_ready_once(destination, &scope, true);
	if (answer.message != NULL)
		return act_destination_redact(destination, answer.message);
	PG_TRY();
	{
		exchange = act_exchange_open(destination, NULL, destination->policy.timeout_ms);
		act_connector_render_account(destination->connector, &scope, &request);
		response = act_exchange_ask(exchange, &scope, &request, 2 * destination->policy.timeout_ms);
		if (response != NULL)
			act_connector_read_account(destination->connector, &scope, response, act_unix_ms(act_now()), &answer, account);
	}
	PG_CATCH();
	{
		act_exchange_close(exchange);
		PG_RE_THROW();
	}
	PG_END_TRY();
	act_exchange_close(exchange);
	if (answer.verdict == VERDICT_ROWS)
		return NULL;
	return act_destination_redact(destination, answer.message != NULL ? answer.message : "no answer");
}

/* ----------------------------------------------------------------
 *		At the beginning of a run
 * ----------------------------------------------------------------
 */

typedef struct AccountCheck
{
	Run		   *run;
	Exchange   *exchange;
	int			tries;
	int			throttles;
	bool		done;
} AccountCheck;

static void
fail(Run *run, const char *message, const char *detail, const char *hint)
{
	act_run_stop(run, RUN_FAILED, message, detail,
				 hint != NULL ? hint : "Nothing was sent: option \"account\" of the destination wants to be sure first.");
}

static void
compare(Run *run, const ConnectorAccount *account)
{
	char	   *problem = act_account_problem(run->destination, account);

	if (problem == NULL)
		return;
	fail(run, psprintf("destination \"%s\" belongs to another account", run->destination->name),
		 psprintf("%c%s.", pg_ascii_toupper(problem[0]), problem + 1),
		 psprintf("Nothing was sent. Store credentials of the right account, or, if it is this one: ALTER SERVER %s OPTIONS (SET account %s);",
				  quote_identifier(run->destination->name), quote_literal_cstr(account->id)));
}

/* Somebody may want the run to end meanwhile. */
static void
wait_for(AccountCheck *check, int64 pause_ms)
{
	while (pause_ms > 0 && !check->run->stop.set)
	{
		act_exchange_pause(check->exchange, Min(pause_ms, 1000));
		pause_ms -= 1000;
		act_run_poll(check->run);
	}
}

static void
throttled(AccountCheck *check, const ConnectorAnswer *answer)
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
failed(AccountCheck *check, const ConnectorAnswer *answer)
{
	Run		   *run = check->run;

	if (check->tries < REQUEST_MAX_TRIES && !act_limit_down(run->limit) && answer->wait_ms <= REQUEST_MAX_THROTTLE_MS)
	{
		wait_for(check, Max(act_request_retry_pause(check->tries), answer->wait_ms));
		return;
	}
	fail(run, psprintf("destination \"%s\" does not answer as it should", run->destination->name),
		 answer->message, answer->hint);
	run->stop.told = MemoryContextStrdup(run->context, act_request_told(answer));
	run->unreachable = true;
	act_limit_found_down(run->limit);
}

/* Credentials that were set meanwhile may do. */
static void
refused(AccountCheck *check, ConnectorAnswer *answer, int generation)
{
	Run		   *run = check->run;
	char	   *problem = NULL;

	if (answer->renew && act_renewal_try(run, generation, &problem))
		return;
	if (problem != NULL)
		answer->message = psprintf("%s (and the credentials cannot be read again: %s)", answer->message, problem);
	fail(run, psprintf("destination \"%s\" refuses the credentials", run->destination->name),
		 answer->message, answer->hint);
}

static void
ask_once(AccountCheck *check)
{
	Run		   *run = check->run;
	Connector  *connector = run->destination->connector;
	int			generation = run->destination->generation;
	HttpRequest request = {0};
	HttpResponse *response;
	ConnectorAnswer answer = {.verdict = VERDICT_UNREACHED,.wait_ms = -1};
	ConnectorAccount account = {0};

	check->tries++;
	act_connector_render_account(connector, &run->scope, &request);
	run->counts.requests++;
	response = act_exchange_ask(check->exchange, &run->scope, &request, REQUEST_MAX_THROTTLE_MS);
	if (response == NULL)
	{
		answer.message = pstrdup("others have used up its limits for too long");
		check->tries = REQUEST_MAX_TRIES;
	}
	else
		act_connector_read_account(connector, &run->scope, response, act_unix_ms(act_now()), &answer, &account);
	act_exchange_told(check->exchange, &answer);
	if (answer.message != NULL)
		answer.message = act_destination_redact(run->destination, answer.message);
	switch (answer.verdict)
	{
		case VERDICT_ROWS:
			check->done = true;
			act_token_worked(run, generation);
			compare(run, &account);
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
			fail(run, psprintf("destination \"%s\" does not say whose account it is", run->destination->name),
				 answer.message, answer.hint);
			break;
	}
}

static void
ask(AccountCheck *check)
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

void
act_account_require(Run *run)
{
	AccountCheck check = {.run = run};

	if (act_destination_option(run->destination, "account") == NULL)
		return;
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
}
