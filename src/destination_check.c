/*-------------------------------------------------------------------------
 *
 * destination_check.c
 *	  SQL-callable: check_destination(), probe_destination(): one harmless
 *	  authenticated request.
 *
 * The one place where a snapshot is held while a socket is open (design
 * decision 2): a function cannot let go of its caller's.  So all that needs
 * the database comes first, and the wait is short and can be cancelled.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "account.h"
#include "destination.h"
#include "destination_limit.h"
#include "destination_state.h"
#include "exchange.h"
#include "fault.h"
#include "settings.h"
#include "settle.h"
#include "sync.h"
#include "token.h"

/* For all that is asked, name resolution included. */
#define CHECK_TIMEOUT_MS (10 * 1000)

PG_FUNCTION_INFO_V1(act_check_destination);
PG_FUNCTION_INFO_V1(act_probe_destination);

/* Too many requests: an answer, but none that says go on. */
#define STATUS_THROTTLED 429

typedef struct Check
{
	bool		for_all;		/* in: it is asked whether everybody may go on */
	bool		ok;
	char	   *detail;
	ConnectorAccount account;
} Check;

void
act_require_sending_host(const char *name)
{
	act_require_enabled();
	if (!act_host_may_send(act_host_name(), NULL))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("destination \"%s\" may not be reached from here", name),
				 errdetail("pg_activate.hosts does not name this host, \"%s\".", act_host_name())));
}

static char *
describe(const Connector *connector, const HttpRequest *request, const HttpResponse *response, Check *check)
{
	char	   *problem = NULL;
	char	   *answer;

	if (response == NULL)
		return psprintf("no answer within %d seconds", CHECK_TIMEOUT_MS / 1000);
	if (response->transport != HTTP_ANSWERED)
		return response->hint == NULL ? response->problem :
			psprintf("%s (%s)", response->problem, response->hint);

	check->ok = act_connector_read_check(connector, response, &problem);
	if (check->ok && check->for_all && response->status == STATUS_THROTTLED)
	{
		check->ok = false;
		problem = "it limits its rate";
	}
	answer = psprintf("%d | %s %s", response->status, request->method, request->url);
	return check->ok || problem == NULL ? answer : psprintf("%s | %s", answer, problem);
}

/* Until all of it must be over. */
static int
time_left(TimestampTz start)
{
	return (int) Max(0, CHECK_TIMEOUT_MS - TimestampDifferenceMilliseconds(start, GetCurrentTimestamp()));
}

/* Whose account it is, after a check that was ok. */
static void
ask_account(Destination *destination, const ConnectorScope *scope, Exchange *exchange, int timeout_ms, Check *check)
{
	HttpRequest request = {0};
	HttpResponse *response;
	ConnectorAnswer answer = {.verdict = VERDICT_UNREACHED};
	char	   *problem;

	act_connector_render_account(destination->connector, scope, &request);
	response = act_exchange_ask(exchange, scope, &request, timeout_ms);
	if (response == NULL)
		answer.message = psprintf("no answer within %d seconds", CHECK_TIMEOUT_MS / 1000);
	else
		act_connector_read_account(destination->connector, scope, response, act_unix_ms(act_now()), &answer,
								   &check->account);
	if (answer.verdict != VERDICT_ROWS)
	{
		check->ok = false;
		check->detail = psprintf("%s | %s %s | whose account it is cannot be told: %s", check->detail,
								 request.method, request.url, answer.message);
		return;
	}
	problem = act_account_problem(destination, &check->account);
	if (problem == NULL)
		return;
	check->ok = false;
	check->detail = psprintf("%s | %s", check->detail, problem);
}

/* What the destination's check request came to, with no secret in it. */
static void
ask(Destination *destination, Exchange *exchange, Check *check)
{
	ConnectorScope scope = {
		.option = act_destination_option,
		.secret = act_destination_secret,
		.arg = destination
	};
	HttpRequest request = {0};
	TimestampTz start = GetCurrentTimestamp();

	check->detail = act_token_ready_once(destination, &scope, false);
	if (check->detail != NULL)
	{
		check->detail = act_destination_redact(destination, check->detail);
		return;
	}
	act_connector_render_check(destination->connector, &scope, &request);
	check->detail = describe(destination->connector, &request,
							 act_exchange_ask(exchange, &scope, &request, CHECK_TIMEOUT_MS), check);
	if (check->ok && act_connector_tells_account(destination->connector))
		ask_account(destination, &scope, exchange, time_left(start), check);
	check->detail = act_destination_redact(destination, check->detail);
}

/* Secrets are gone from memory afterwards, whatever happened. */
static void
ask_and_wipe(Destination *destination, Check *check)
{
	Exchange   *volatile exchange = NULL;

	PG_TRY();
	{
		exchange = act_exchange_open(destination, NULL, CHECK_TIMEOUT_MS);
		ask(destination, exchange, check);
	}
	PG_CATCH();
	{
		act_exchange_close(exchange);
		act_destination_wipe(destination);
		PG_RE_THROW();
	}
	PG_END_TRY();
	act_exchange_close(exchange);
	act_destination_wipe(destination);
}

static char *
name_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("destination must not be null"),
				 errhint("SELECT destination FROM activate.destinations;")));
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

static void
put(Datum *values, bool *nulls, int column, const char *utf8)
{
	nulls[column] = utf8 == NULL;
	if (utf8 != NULL)
		values[column] = CStringGetTextDatum(act_text_to_server(utf8));
}

/* Asks, and puts what came back into the one row of the result. */
static void
check_destination(FunctionCallInfo fcinfo, const char *name, Check *check)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[6] = {0};
	bool		nulls[6] = {false, true, true, true, true, false};
	Destination *destination;
	char	   *environment;

	InitMaterializedSRF(fcinfo, 0);
	act_require_sending_host(name);
	destination = act_destination_load(name, GetUserId(), true);
	environment = (char *) act_destination_option(destination, "environment");
	environment = environment != NULL ? pstrdup(environment) : NULL;
	ask_and_wipe(destination, check);
	put(values, nulls, 1, act_account_name(&check->account));
	put(values, nulls, 2, check->account.environment != NULL ? check->account.environment : environment);
	if (check->account.has_scopes)
	{
		put(values, nulls, 3, act_account_list(check->account.scopes));
		put(values, nulls, 4, act_account_list(check->account.missing));
	}
	values[5] = CStringGetTextDatum(act_text_to_server(check->detail));
	values[0] = BoolGetDatum(check->ok);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
act_check_destination(PG_FUNCTION_ARGS)
{
	Check		check = {0};

	check_destination(fcinfo, name_argument(fcinfo), &check);
	return (Datum) 0;
}

/* What it finds holds for all who wait for the destination, unless somebody paused it. */
Datum
act_probe_destination(PG_FUNCTION_ARGS)
{
	char	   *name = name_argument(fcinfo);
	Check		check = {.for_all = true};

	PreventCommandIfReadOnly("probe_destination()");
	check_destination(fcinfo, name, &check);
	if (check.ok)
	{
		act_destination_state_probed(name);
		act_limit_forgive(get_foreign_server_oid(name, false));
	}
	return (Datum) 0;
}
