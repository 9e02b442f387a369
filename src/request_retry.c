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
