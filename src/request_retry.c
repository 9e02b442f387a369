/*-------------------------------------------------------------------------
 *
 * request_retry.c
 *	  How often and how soon a request is made again within a run.
 *
 * For deliveries and lookups alike.  Needs no transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "request_retry.h"

#define FIRST_PAUSE_MS 500
#define LAST_PAUSE_MS 30000

int64
act_request_retry_pause(int tries)
{
	int64		limit = act_retry_pause_ms > 0 ? act_retry_pause_ms : FIRST_PAUSE_MS;

	for (int i = 1; i < tries && limit < LAST_PAUSE_MS; i++)
		limit *= 2;
	return (int64) (pg_prng_double(&pg_global_prng_state) * Min(limit, LAST_PAUSE_MS));
}

int64
act_request_throttle_pause(const Destination *destination, const ConnectorAnswer *answer, int throttles)
{
	if (answer->until_midnight)
	{
		TimestampTz now = act_now();

		return (act_rate_limit_day_end(destination->zone, now) - now) / 1000 + 1;
	}
	/* "At once" is no answer to whoever was just told to go slower. */
	return answer->wait_ms > 0 ? answer->wait_ms : act_request_retry_pause(throttles);
}

const char *
act_request_told(const ConnectorAnswer *answer)
{
	return answer->http_status != 0 ? psprintf("HTTP %d", answer->http_status) : answer->message;
}

void
act_request_throttle_stop(Run *run, int64 pause_ms, const char *why, const char *told)
{
	const char *format = "It asks to wait for " INT64_FORMAT " s: %s";

	if (run->stop.set)
		return;
	run->throttled_until = act_now() + pause_ms * 1000;
	act_run_stop(run, RUN_PARTIAL,
				 psprintf("destination \"%s\" limits its rate until %s",
						  run->destination->name, timestamptz_to_str(run->throttled_until)),
				 psprintf(format, pause_ms / 1000, why), NULL);
	run->stop.told = MemoryContextStrdup(run->context, psprintf(format, pause_ms / 1000, told));
}
