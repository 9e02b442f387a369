/*-------------------------------------------------------------------------
 *
 * duration.h
 *	  Durations as options and documents write them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DURATION_H
#define ACT_DURATION_H

#define ACT_HOUR_MS (60 * 60 * 1000)

/*
 * A number and a unit, such as '10 s', '500 ms' or '2 min'; a bare number is
 * seconds, as in SQL's intervals.  False: it is none, or beyond 24 days.
 * Needs no transaction and does not throw.
 */
extern bool act_duration_parse(const char *value, int *ms);

#endif							/* ACT_DURATION_H */
