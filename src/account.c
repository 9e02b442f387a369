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
#include "exchange.h"
#include "fault.h"
#include "run_ask.h"
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

static void
render(Run *run, HttpRequest *request, void *arg)
{
	act_connector_render_account(run->destination->connector, &run->scope, request);
}

static void
read_account(Run *run, const HttpResponse *response, ConnectorAnswer *answer, void *arg)
{
	act_connector_read_account(run->destination->connector, &run->scope, response, act_unix_ms(act_now()), answer, arg);
}

static void
compare(Run *run, const ConnectorAccount *account)
{
	char	   *problem = act_account_problem(run->destination, account);

	if (problem == NULL)
		return;
	act_run_stop(run, RUN_FAILED, psprintf("destination \"%s\" belongs to another account", run->destination->name),
				 psprintf("%c%s.", pg_ascii_toupper(problem[0]), problem + 1),
				 psprintf("Nothing was sent. Store credentials of the right account, or, if it is this one: ALTER SERVER %s OPTIONS (SET account %s);",
						  quote_identifier(run->destination->name), quote_literal_cstr(account->id)));
}

void
act_account_require(Run *run)
{
	ConnectorAccount account = {0};
	RunQuestion question = {
		.render = render,.read = read_account,.arg = &account,
		.unanswered = "does not say whose account it is",
		.hint = "Nothing was sent: option \"account\" of the destination wants to be sure first."
	};

	if (act_destination_option(run->destination, "account") != NULL && act_run_ask(run, &question))
		compare(run, &account);
}
