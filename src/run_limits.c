/*-------------------------------------------------------------------------
 *
 * run_limits.c
 *	  What the destination tells of its limits, before the first row of a run.
 *
 * Called outside of transactions, with something to send.  One request; where
 * it fails, for whatever reason, the run goes on with what the document says:
 * what is wrong with the destination the first batch will tell, and too large
 * a batch or too high a pace is answered as such.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "batch.h"
#include "connector_limits.h"
#include "destination_halt.h"
#include "exchange.h"
#include "fault.h"
#include "run_limits.h"
#include "settings.h"
#include "token.h"

/* The most rows that a request of the run can have. */
static int
largest_batch(const Run *run)
{
	int			rows = 1;

	for (int op = ROW_OP_NONE + 1; op < ROW_OP_COUNT; op++)
	{
		const ConnectorOperation *operation = act_connector_operation(run->destination->connector, (RowOp) op);

		if (operation != NULL)
			rows = Max(rows, act_batch_limit(run, operation));
	}
	return rows;
}

/*
 * What is told takes the place of what the document says.  So many rows in a
 * time are so many requests in as many of these times as a request has rows:
 * full ones are paced rightly, and none is sent too early.
 */
static bool
take_rate(Run *run, const ConnectorLimits *limits)
{
	Destination *destination = run->destination;
	const ConnectorRate *own = act_connector_rate(destination->connector);
	RateWindow	told = {limits->requests, own->per_ms * INT64CONST(1000)};
	RateWindow *window = &destination->rate.windows[0];

	if (limits->rows > 0)
	{
		told.requests = limits->rows;
		told.period_us *= largest_batch(run);
	}
	if (told.requests == 0 || own->requests == 0 || act_destination_option(destination, "rate_limit") != NULL ||
		destination->rate.nwindows != 1)
		return false;
	if (told.requests == window->requests && told.period_us == window->period_us)
		return false;
	*window = told;
	return true;
}

/* What the document allows is not exceeded, and what the server's options say stands. */
static void
take(Run *run, const ConnectorLimits *limits)
{
	Destination *destination = run->destination;
	bool		again;

	run->told_rows = limits->max_rows;
	again = take_rate(run, limits);
	if (limits->concurrency > 0 &&
		(act_destination_option(destination, "concurrency") == NULL || limits->concurrency < destination->concurrency))
	{
		again = again || limits->concurrency != destination->concurrency;
		destination->concurrency = Min(limits->concurrency, act_max_in_flight);
	}
	if (!again)
		return;
	act_limit_detach(run->limit);
	run->limit = NULL;
	act_destination_begin(run);
}

static void
ask(Run *run, Exchange *exchange)
{
	HttpRequest request = {0};
	HttpResponse *response;
	ConnectorAnswer answer = {.verdict = VERDICT_UNREACHED,.wait_ms = -1};
	ConnectorLimits limits = {0};

	act_connector_render_limits(run->destination->connector, &run->scope, &request);
	run->counts.requests++;
	response = act_exchange_ask(exchange, &run->scope, &request, run->destination->policy.timeout_ms);
	if (response != NULL)
		act_connector_read_limits(run->destination->connector, response, act_unix_ms(act_now()), &answer, &limits);
	act_exchange_told(exchange, &answer);
	if (answer.verdict == VERDICT_ROWS)
		take(run, &limits);
}

void
act_run_limits(Run *run)
{
	Exchange   *volatile exchange = NULL;

	if (!act_connector_tells_limits(run->destination->connector))
		return;
	act_destination_begin(run);
	act_destination_heed(run);
	if (run->stop.set || !act_token_ready(run))
		return;
	PG_TRY();
	{
		exchange = act_exchange_open(run->destination, run->limit, run->destination->policy.timeout_ms);
		ask(run, exchange);
	}
	PG_FINALLY();
	{
		act_exchange_close(exchange);
	}
	PG_END_TRY();
}
