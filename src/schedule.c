/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  When a sync runs: parsed schedules and the times they mean.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule.h"

Schedule *
act_schedule_parse(const char *text, const char *time_zone)
{
	return palloc0(sizeof(Schedule));
}

bool
act_schedule_next(const Schedule *schedule, TimestampTz anchor, int64 sync_id,
				  TimestampTz later_than, TimestampTz *next)
{
	return false;
}

int64
act_schedule_count(const Schedule *schedule, TimestampTz anchor, int64 sync_id,
				   TimestampTz after, TimestampTz until, int64 limit)
{
	return 0;
}
