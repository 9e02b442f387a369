/*-------------------------------------------------------------------------
 *
 * rate_limit.h
 *	  How many requests a destination takes: option rate_limit.
 *
 * A text such as '10/s', '100/min', '5000/h', '100/10s', '250000/day', or
 * several of them separated by commas, all of which hold.  What is per day is
 * a quota: it may be used up at any pace, and is there again at midnight.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_RATE_LIMIT_H
#define ACT_RATE_LIMIT_H

#include "datatype/timestamp.h"
#include "pgtime.h"

#define RATE_MAX_WINDOWS 4

/* No more than so many requests in any span of time so long. */
typedef struct RateWindow
{
	int64		requests;
	int64		period_us;
} RateWindow;

typedef struct RateLimit
{
	int			nwindows;		/* 0: no limit */
	RateWindow	windows[RATE_MAX_WINDOWS];
	int64		day_requests;	/* from midnight to midnight; 0: no limit */
} RateLimit;

/*
 * NULL, or what is wrong with the text (palloc'ed, or constant).  limit may be
 * NULL.  Called wherever; throws nothing but for memory.
 */
extern const char *act_rate_limit_parse(const char *text, RateLimit *limit);

/* What to type instead, for a hint. */
#define RATE_LIMIT_EXAMPLES "'10/s', '100/min', '5000/h', '100/10s', '250000/day', or several: '10/s, 250000/day'."

/*
 * Requests may come so far apart: one every interval, and burst of them at
 * once after a pause.  So paced, no span of the window's length holds more
 * than it allows, even where a request is under way a little longer than the
 * one before it.
 */
extern void act_rate_limit_pace(const RateWindow *window, int64 *interval_us, int64 *burst);

/* When the day ends that it is now in the zone of an account. */
extern TimestampTz act_rate_limit_day_end(pg_tz *zone, TimestampTz now);

#endif							/* ACT_RATE_LIMIT_H */
