/*-------------------------------------------------------------------------
 *
 * destination_halt.c
 *	  Runs that send to a destination within its limits, and end where it
 *	  takes nothing for long.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "destination_halt.h"
#include "fault.h"
#include "request_retry.h"

void
act_destination_begin(Run *run)
{
	if (run->limit == NULL)
		run->limit = act_limit_attach(run->destination, run->sync->options.priority, run->started_at);
}

static void
stop_down(Run *run)
{
	act_run_stop(run, RUN_FAILED,
				 psprintf("destination \"%s\" does not answer as it should", run->destination->name),
				 "Other runs have just found so: too many requests in a row failed, or the one that was to find out whether it is back.",
				 psprintf("SELECT breaker, down_since FROM activate.destinations WHERE destination = %s;",
						  quote_literal_cstr(run->destination->name)));
	run->unreachable = true;
}

static void
stop_held(Run *run, TimestampTz until, LimitReason reason)
{
	const Destination *destination = run->destination;

	if (reason == LIMIT_QUOTA)
		act_run_stop(run, RUN_PARTIAL,
					 psprintf("destination \"%s\" has no requests left today", destination->name),
					 psprintf("It takes " INT64_FORMAT " a day; the next one may go at %s, midnight in time zone %s.",
							  destination->rate.day_requests, timestamptz_to_str(until),
							  pg_get_timezone_name(destination->zone)),
					 psprintf("What was not sent waits until then; a higher quota: ALTER SERVER %s OPTIONS (SET rate_limit '...');",
							  quote_identifier(destination->name)));
	else
		act_request_throttle_stop(run, (until - act_now()) / 1000, "an earlier answer said so",
								  "an earlier answer said so");
	run->throttled_until = until;
}

void
act_destination_heed(Run *run)
{
	LimitReason reason;
	TimestampTz until;

	if (run->stop.set)
		return;
	if (act_limit_down(run->limit))
	{
		stop_down(run);
		return;
	}
	until = act_limit_held_until(run->limit, &reason);
	if (until != 0 && until - act_now() > REQUEST_MAX_THROTTLE_MS * INT64CONST(1000))
		stop_held(run, until, reason);
}

LimitResult
act_destination_result(Verdict verdict, bool alone)
{
	switch (verdict)
	{
		case VERDICT_ROWS:
			return LIMIT_OK;
		case VERDICT_REFUSED:
		case VERDICT_TOO_LARGE:
		case VERDICT_AUTH:
			return LIMIT_REFUSED;
		case VERDICT_THROTTLED:
			return LIMIT_THROTTLED;
		case VERDICT_UNREACHED:
		case VERDICT_UNCERTAIN:
			return alone ? LIMIT_FAILED : LIMIT_UNCLEAR;
		case VERDICT_CONFIGURATION:
			return LIMIT_UNCLEAR;
	}
	return LIMIT_UNCLEAR;
}
