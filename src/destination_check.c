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

#include <time.h>

#include "fmgr.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "destination.h"
#include "destination_limit.h"
#include "destination_state.h"
#include "fault.h"
#include "settings.h"
#include "settle.h"
#include "sync.h"
#include "token.h"

/* From the first byte to the last, name resolution included. */
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
} Check;

/* There is no sync to say where it may run, so only the server's settings do. */
static void
require_sending_host(const char *name)
{
	act_require_enabled();
	if (!act_host_may_send(act_host_name(), NULL))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("destination \"%s\" may not be reached from here", name),
				 errdetail("pg_activate.hosts does not name this host, \"%s\".", act_host_name())));
}

static long
elapsed_ms(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return (long) INSTR_TIME_GET_MILLISEC(now);
}

/* The answer, or NULL when time is up. */
static HttpResponse *
wait_for_answer(HttpLoop *loop, instr_time start)
{
	HttpResponse *response;
	void	   *owner;

	while ((response = act_http_next(loop, &owner)) == NULL)
	{
		long		left = CHECK_TIMEOUT_MS - elapsed_ms(start);

		if (left <= 0)
			return NULL;
		act_http_wait(loop, left);
	}
	return response;
}

static HttpResponse *
exchange(const Destination *destination, const HttpRequest *request)
{
	HttpPolicy	policy = destination->policy;
	HttpResponse *volatile response = NULL;
	HttpLoop   *loop;
	instr_time	start;

	policy.timeout_ms = Min(policy.timeout_ms, CHECK_TIMEOUT_MS);
	policy.connect_timeout_ms = Min(policy.connect_timeout_ms, policy.timeout_ms);
	policy.max_connections = 1;
	INSTR_TIME_SET_CURRENT(start);

	loop = act_http_loop_create(&policy);
	PG_TRY();
	{
		act_http_send(loop, request, NULL);
		response = wait_for_answer(loop, start);
	}
	PG_CATCH();
	{
		act_http_loop_destroy(loop);
		PG_RE_THROW();
	}
	PG_END_TRY();
	act_http_loop_destroy(loop);
	return response;
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

/* What the destination's check request came to, with no secret in it. */
static void
ask(Destination *destination, Check *check)
{
	ConnectorScope scope = {
		.option = act_destination_option,
		.secret = act_destination_secret,
		.arg = destination
	};
	HttpRequest request = {0};
	char	   *detail;

	detail = act_token_ready_once(destination, &scope);
	if (detail != NULL)
	{
		check->detail = act_destination_redact(destination, detail);
		return;
	}
	act_connector_render_check(destination->connector, &scope, &request);
	request.headers = list_concat(request.headers, destination->extra_headers);
	act_connector_authorize(destination->connector, &scope, &request, (int64) time(NULL));
	detail = describe(destination->connector, &request, exchange(destination, &request), check);
	check->detail = act_destination_redact(destination, detail);
}

/* Secrets are gone from memory afterwards, whatever happened. */
static void
ask_and_wipe(Destination *destination, Check *check)
{
	PG_TRY();
	{
		ask(destination, check);
	}
	PG_CATCH();
	{
		act_destination_wipe(destination);
		PG_RE_THROW();
	}
	PG_END_TRY();
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

/* Asks, and puts what came back into the one row of the result. */
static void
check_destination(FunctionCallInfo fcinfo, const char *name, Check *check)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[6] = {0};
	bool		nulls[6] = {false, true, true, true, true, false};
	Destination *destination;
	const char *environment;

	InitMaterializedSRF(fcinfo, 0);
	require_sending_host(name);
	destination = act_destination_load(name, GetUserId(), true);
	environment = act_destination_option(destination, "environment");
	if (environment != NULL)
	{
		values[2] = CStringGetTextDatum(environment);
		nulls[2] = false;
	}
	ask_and_wipe(destination, check);
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
