/*-------------------------------------------------------------------------
 *
 * backoff.h
 *	  How long to wait after so many failures in a row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_BACKOFF_H
#define ACT_BACKOFF_H

#include "datatype/timestamp.h"

/* first after one failure, doubled for each further one up to limit; microseconds. */
static inline TimestampTz
act_backoff_pause(TimestampTz first, TimestampTz limit, int failures)
{
	TimestampTz pause = first;

	for (int i = 1; i < failures && pause < limit; i++)
		pause *= 2;
	return Min(pause, limit);
}

#endif							/* ACT_BACKOFF_H */
