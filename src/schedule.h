/*-------------------------------------------------------------------------
 *
 * schedule.h
 *	  When a sync runs: parsed schedules and the times they mean.
 *
 * Pure but for the time zone database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SCHEDULE_H
#define ACT_SCHEDULE_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "pgtime.h"

typedef enum ScheduleKind
{
	SCHEDULE_MANUAL,
	SCHEDULE_INTERVAL,			/* '15 minutes' */
	SCHEDULE_CRON,				/* '0 7 * * 1-5 Europe/Paris' */
	SCHEDULE_AFTER				/* 'after a, "B"' */
} ScheduleKind;

typedef struct CronSpec
{
	uint64		minutes;		/* bit n: minute n */
	uint32		hours;
	uint32		days;			/* of the month, bits 1 to 31 */
	uint32		months;			/* bits 1 to 12 */
	uint32		weekdays;		/* bits 0 (Sunday) to 6 */
	bool		any_day;		/* begins with *, or leaves nothing out: days and weekdays are anded, else ored */
	bool		any_weekday;
	bool		any_hour;		/* * or a step: goes by what the clock shows, DST or not */
	bool		any_minute;
} CronSpec;

typedef struct Schedule
{
	ScheduleKind kind;
	int64		interval;		/* microseconds */
	CronSpec	cron;
	pg_tz	   *zone;			/* of cron */
	List	   *after;			/* of char *: names of syncs, unquoted */
	char	   *text;			/* as it is stored: the same for everybody, with its zone */
} Schedule;

/* Spreads are at most this and at most a tenth of the interval. */
#define SCHEDULE_MAX_SPREAD (INT64CONST(30) * USECS_PER_SEC)

/*
 * ERROR 22023 that says what is wrong, with a hint; 0A000 for 'live'.
 * time_zone: of cron without a zone of its own.  In the current memory
 * context.
 */
extern Schedule *act_schedule_parse(const char *text, const char *time_zone);

/* Whether a stored text says that its sync runs only when it is called. */
extern bool act_schedule_is_manual(const char *text);

/* The zone of a name; NULL: there is none, or it is an offset that is read backwards. */
extern pg_tz *act_schedule_zone(const char *name);

/* The text of a schedule "after" these syncs (char *). */
extern char *act_schedule_after_text(const List *names);

/*
 * The first planned start later than a time; false: none (manual, after, or
 * a date that does not exist).  anchor: intervals count from it; sync_id:
 * spreads intervals (the same sync always gets the same few seconds).
 */
extern bool act_schedule_next(const Schedule *schedule, TimestampTz anchor, int64 sync_id,
							  TimestampTz later_than, TimestampTz *next);

/* How many planned starts lie after one time and not after the other; at most limit. */
extern int64 act_schedule_count(const Schedule *schedule, TimestampTz anchor, int64 sync_id,
								TimestampTz after, TimestampTz until, int64 limit);

#endif							/* ACT_SCHEDULE_H */
