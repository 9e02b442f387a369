/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  Single requests of a destination, outside of deliveries.
 *
 * For check_destination(), refresh_destination() and what a run asks before
 * it begins: one request at a time, each with its answer.  Callers hold what
 * they open in a PG_FINALLY.  This file includes neither SPI nor curl.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "portability/instr_time.h"
#include "utils/timestamp.h"

#include "destination_halt.h"
#include "destination_limit.h"
#include "exchange.h"
#include "fault.h"
#include "request_retry.h"

struct Exchange
{
	const Destination *destination;
	HttpLoop   *loop;
	Limit	   *limit;			/* NULL: limits do not hold for it */
	double		duration_ms;	/* of the last answer */
	bool		under_way;		/* the limit counts a request that was not told about */
};

static long
elapsed_ms(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return (long) INSTR_TIME_GET_MILLISEC(now);
}

Exchange *
act_exchange_open(const Destination *destination, Limit *limit, int timeout_ms)
{
	Exchange   *exchange = palloc0(sizeof(Exchange));
	HttpPolicy	policy = destination->policy;

	policy.timeout_ms = Min(policy.timeout_ms, timeout_ms);
	policy.connect_timeout_ms = Min(policy.connect_timeout_ms, policy.timeout_ms);
	policy.max_connections = 1;
	exchange->destination = destination;
	exchange->limit = limit;
	exchange->loop = act_http_loop_create(&policy);
	return exchange;
}

void
act_exchange_close(Exchange *exchange)
{
	if (exchange == NULL)
		return;
	if (exchange->loop != NULL)
		act_http_loop_destroy(exchange->loop);
	exchange->loop = NULL;
	if (exchange->limit != NULL)
		act_limit_drop(exchange->limit);
}

/* Waits for its turn; false: time is up before. */
static bool
enter(Exchange *exchange, instr_time start, int timeout_ms)
{
	while (exchange->limit != NULL)
	{
		int64		wait = act_limit_enter(exchange->limit);
		long		left = timeout_ms - elapsed_ms(start);

		if (wait <= 0)
		{
			exchange->under_way = true;
			return true;
		}
		if (left <= 0)
			return false;
		act_http_wait(exchange->loop, (long) Min(wait, left));
	}
	return true;
}

HttpResponse *
act_exchange_ask(Exchange *exchange, const ConnectorScope *scope, HttpRequest *request, int timeout_ms)
{
	const Destination *destination = exchange->destination;
	HttpRequest signed_request = *request;
	HttpResponse *response;
	instr_time	start;
	void	   *owner;

	INSTR_TIME_SET_CURRENT(start);
	if (!enter(exchange, start, timeout_ms))
		return NULL;
	signed_request.headers = list_concat_copy(request->headers, destination->extra_headers);
	act_connector_authorize(destination->connector, scope, &signed_request, (int64) time(NULL));
	act_http_send(exchange->loop, &signed_request, NULL);
	while ((response = act_http_next(exchange->loop, &owner)) == NULL)
	{
		long		left = timeout_ms - elapsed_ms(start);

		if (left <= 0)
			break;
		act_http_wait(exchange->loop, left);
	}
	exchange->duration_ms = response == NULL ? timeout_ms : response->duration_ms;
	return response;
}

void
act_exchange_told(Exchange *exchange, const ConnectorAnswer *answer)
{
	if (exchange->limit == NULL || !exchange->under_way)
		return;
	exchange->under_way = false;
	act_limit_leave(exchange->limit, act_destination_result(answer->verdict, true), exchange->duration_ms);
	if (answer->limited_ms > 0)
		act_limit_throttle(exchange->limit, act_now() + answer->limited_ms * 1000);
}

void
act_exchange_pause(Exchange *exchange, int64 pause_ms)
{
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	for (;;)
	{
		long		left = (long) pause_ms - elapsed_ms(start);

		if (left <= 0)
			return;
		act_http_wait(exchange->loop, left);
	}
}
