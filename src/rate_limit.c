/*-------------------------------------------------------------------------
 *
 * rate_limit.c
 *	  How many requests a destination takes: option rate_limit.
 *
 * Text and arithmetic; what holds requests back is in destination_limit.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "rate_limit.h"

#define MAX_REQUESTS INT64CONST(1000000000)
#define MAX_PERIOD USECS_PER_DAY

/* How much later one request may arrive there than another that left with it. */
#define JITTER_US INT64CONST(20000)

/* Of what a window allows, the part that may go at once. */
#define BURST_PART 20

static const struct
{
	const char *name;
	int64		us;
}			units[] =
{
	{"s", USECS_PER_SEC}, {"sec", USECS_PER_SEC}, {"secs", USECS_PER_SEC}, {"second", USECS_PER_SEC},
	{"seconds", USECS_PER_SEC},
	{"m", USECS_PER_MINUTE}, {"min", USECS_PER_MINUTE}, {"mins", USECS_PER_MINUTE},
	{"minute", USECS_PER_MINUTE}, {"minutes", USECS_PER_MINUTE},
	{"h", USECS_PER_HOUR}, {"hour", USECS_PER_HOUR}, {"hours", USECS_PER_HOUR},
	{"d", USECS_PER_DAY}, {"day", USECS_PER_DAY}, {"days", USECS_PER_DAY},
};

static void
skip_blanks(const char **text)
{
	while (**text == ' ')
		(*text)++;
}

/* A whole number from 1 to max; false: there is none. */
static bool
read_number(const char **text, int64 max, int64 *number)
{
	*number = 0;
	if (**text < '0' || **text > '9')
		return false;
	while (**text >= '0' && **text <= '9')
	{
		*number = *number * 10 + (**text - '0');
		if (*number > max)
			return false;
		(*text)++;
	}
	return *number > 0;
}

/* 0: no unit of ours. */
static int64
read_unit(const char **text)
{
	int			len = 0;

	while (((*text)[len] >= 'a' && (*text)[len] <= 'z') || ((*text)[len] >= 'A' && (*text)[len] <= 'Z'))
		len++;
	for (int i = 0; i < lengthof(units); i++)
	{
		if (strlen(units[i].name) == len && pg_strncasecmp(units[i].name, *text, len) == 0)
		{
			*text += len;
			return units[i].us;
		}
	}
	return 0;
}

/* One of them, up to its comma or the end; NULL, or what is wrong. */
static const char *
read_window(const char **text, RateWindow *window, bool *is_day)
{
	int64		count = 1;
	int64		unit;

	skip_blanks(text);
	if (!read_number(text, MAX_REQUESTS, &window->requests))
		return "it does not begin with a number of requests, from 1 to 1000000000";
	skip_blanks(text);
	if (**text != '/')
		return "\"/\" is missing after the number of requests";
	(*text)++;
	skip_blanks(text);
	if (**text >= '0' && **text <= '9')
	{
		if (!read_number(text, MAX_PERIOD / USECS_PER_SEC, &count))
			return "the time is out of range";
		skip_blanks(text);
	}
	unit = read_unit(text);
	skip_blanks(text);
	if (unit == 0 || (**text != ',' && **text != '\0'))
		return "after \"/\" comes a time: s, min, h or day, with or without a number before it";
	*is_day = unit == USECS_PER_DAY;
	if (*is_day && count != 1)
		return "a quota is for one day, from midnight to midnight";
	if (unit * count > MAX_PERIOD)
		return "the time is longer than a day";
	window->period_us = unit * count;
	return NULL;
}

const char *
act_rate_limit_parse(const char *text, RateLimit *limit)
{
	RateLimit	parsed;

	memset(&parsed, 0, sizeof(parsed));
	for (;;)
	{
		RateWindow	window;
		bool		is_day;
		const char *problem = read_window(&text, &window, &is_day);

		if (problem != NULL)
			return problem;
		if (is_day && parsed.day_requests != 0)
			return "it has two quotas for a day";
		if (!is_day && parsed.nwindows == RATE_MAX_WINDOWS)
			return "it has more than four limits";
		if (is_day)
			parsed.day_requests = window.requests;
		else
			parsed.windows[parsed.nwindows++] = window;
		if (*text == '\0')
			break;
		text++;					/* the comma */
	}
	if (limit != NULL)
		*limit = parsed;
	return NULL;
}

/*
 * A span so long that begins with a burst of b holds those and what comes
 * after them at intervals: fewer than b + period / interval.
 */
void
act_rate_limit_pace(const RateWindow *window, int64 *interval_us, int64 *burst)
{
	int64		a_second = window->requests * USECS_PER_SEC / window->period_us;

	*burst = Max(1, Min(a_second, window->requests / BURST_PART));
	*interval_us = (window->period_us + JITTER_US) / (window->requests - *burst + 1) + 1;
}

TimestampTz
act_rate_limit_day_end(pg_tz *zone, TimestampTz now)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;
	TimestampTz ends_at;

	if (timestamp2tm(now, &offset, &tm, &fsec, NULL, zone) != 0)
		return now + USECS_PER_DAY;
	j2date(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) + 1, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	offset = DetermineTimeZoneOffset(&tm, zone);
	if (tm2timestamp(&tm, 0, &offset, &ends_at) != 0 || ends_at <= now)
		return now + USECS_PER_DAY;
	return ends_at;
}
