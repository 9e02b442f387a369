/*-------------------------------------------------------------------------
 *
 * cron.h
 *	  The five fields of a cron schedule, and the times that they name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CRON_H
#define ACT_CRON_H

#include "schedule.h"

#define CRON_FIELDS 5

/* NULL: parsed; else what is wrong, and what to write instead in *hint. */
extern char *act_cron_parse(char *const fields[CRON_FIELDS], CronSpec *spec, char **hint);

/*
 * The first start later than a time, both in seconds since 1970; false: there
 * is none in the next fifty years.
 */
extern bool act_cron_next(const CronSpec *spec, const pg_tz *zone, pg_time_t later_than, pg_time_t *next);

#endif							/* ACT_CRON_H */
