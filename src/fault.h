/*-------------------------------------------------------------------------
 *
 * fault.h
 *	  Test build only: faults between durable states, and a settable clock.
 *
 * pg_activate.debug_faults is a list of point:action[:skip], where action is
 * error, fatal, kill (SIGKILL to itself), term (SIGTERM to itself) or wait (for
 * ever), and skip the times it passes first.  The points: test/README.md.  A release build has neither the points nor the settings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_FAULT_H
#define ACT_FAULT_H

#include "datatype/timestamp.h"

#ifdef ACT_TEST
extern void act_fault(const char *point);
extern void act_fault_define_settings(void);
extern bool act_fault_claims_off;
extern bool act_fault_late_off;
#define ACT_FAULT(point) act_fault(point)
#else
#define ACT_FAULT(point) ((void) 0)
#endif

/* Milliseconds of the first pause between two tries; 0: the built-in one. */
extern int	act_retry_pause_ms;

/* How long a worker does nothing but ask for jobs; 0: the built-in time. */
extern int	act_job_patience_ms;

/* Milliseconds between two polls of a job; 0: as its document says. */
extern int	act_poll_pause_ms;

/* The time of day, which the test build can move. */
extern TimestampTz act_now(void);

/* Of such a time, milliseconds since 1970. */
static inline int64
act_unix_ms(TimestampTz at)
{
	return (at + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) / 1000;
}

#endif							/* ACT_FAULT_H */
