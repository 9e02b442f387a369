/*-------------------------------------------------------------------------
 *
 * filter_time.c
 *	  Times as text: what ISO 8601 and PostgreSQL write, in other forms.
 *
 * Read are a date, and a date with a time of day behind "T" or a blank, up
 * to seven digits of a fraction, and "Z" or an offset.  A time without an
 * offset is taken as UTC, a date alone as its midnight.  Infinite times and
 * years before 1 have no such form.  Pure functions, without the server's
 * time zone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "filter.h"

#define USECS INT64CONST(1000000)
#define DAY_SECONDS INT64CONST(86400)
#define MAX_YEAR 294276			/* of timestamptz */

/* A moment, or a day. */
typedef struct Moment
{
	int64		seconds;		/* since 1970, UTC */
	int			usecs;
} Moment;

/* Days since 1970 of a date of the Gregorian calendar. */
static int64
days_of(int64 year, int month, int day)
{
	int64		era;
	int64		year_of_era;
	int64		day_of_year;

	year -= month <= 2;
	era = (year >= 0 ? year : year - 399) / 400;
	year_of_era = year - era * 400;
	day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static void
date_of(int64 days, int *year, int *month, int *day)
{
	int64		era;
	int64		day_of_era;
	int64		year_of_era;
	int64		day_of_year;
	int64		shifted;

	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	day_of_era = days - era * 146097;
	year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	shifted = (5 * day_of_year + 2) / 153;
	*day = (int) (day_of_year - (153 * shifted + 2) / 5 + 1);
	*month = (int) (shifted < 10 ? shifted + 3 : shifted - 9);
	*year = (int) (year_of_era + era * 400 + (*month <= 2));
}

/* So many digits, and no more; -1: they are not there. */
static int
read_digits(const char **next, const char *end, int least, int most)
{
	int			value = 0;
	int			n = 0;

	while (*next < end && n < most && **next >= '0' && **next <= '9')
	{
		value = value * 10 + (*(*next)++ - '0');
		n++;
	}
	if (n < least || (*next < end && **next >= '0' && **next <= '9'))
		return -1;
	return value;
}

static bool
read_mark(const char **next, const char *end, char mark)
{
	if (*next == end || **next != mark)
		return false;
	(*next)++;
	return true;
}

static bool
read_date(const char **next, const char *end, int64 *days)
{
	int			year = read_digits(next, end, 4, 6);
	int			month = year > 0 && read_mark(next, end, '-') ? read_digits(next, end, 2, 2) : -1;
	int			day = month > 0 && read_mark(next, end, '-') ? read_digits(next, end, 2, 2) : -1;
	int			back_year;
	int			back_month;
	int			back_day;

	if (day < 1 || day > 31 || month > 12 || year > MAX_YEAR)
		return false;
	*days = days_of(year, month, day);
	date_of(*days, &back_year, &back_month, &back_day);
	return back_day == day;		/* no 31st of June */
}

/* A fraction, cut to microseconds. */
static int
read_fraction(const char **next, const char *end)
{
	int			usecs = 0;
	int			n = 0;

	for (; *next < end && **next >= '0' && **next <= '9'; (*next)++, n++)
	{
		if (n < 6)
			usecs = usecs * 10 + (**next - '0');
	}
	if (n == 0)
		return -1;
	for (; n < 6; n++)
		usecs *= 10;
	return usecs;
}

static bool
read_time_of_day(const char **next, const char *end, Moment *moment)
{
	int			hour = read_digits(next, end, 2, 2);
	int			minute = hour >= 0 && read_mark(next, end, ':') ? read_digits(next, end, 2, 2) : -1;
	int			second = 0;

	if (minute < 0 || minute > 59 || hour > 24)
		return false;
	if (read_mark(next, end, ':'))
	{
		second = read_digits(next, end, 2, 2);
		if (second < 0 || second > 60)
			return false;
		if (read_mark(next, end, '.') && (moment->usecs = read_fraction(next, end)) < 0)
			return false;
	}
	if (hour == 24 && (minute > 0 || second > 0 || moment->usecs > 0))
		return false;
	moment->seconds += hour * 3600 + minute * 60 + second;
	return true;
}

/* Z, +02, +0200, +02:00, +02:00:30 */
static bool
read_offset(const char **next, const char *end, int *offset)
{
	int			sign = *next < end && **next == '-' ? -1 : 1;
	int			parts[3] = {0};

	*offset = 0;
	if (*next == end || read_mark(next, end, 'Z') || read_mark(next, end, 'z'))
		return true;
	if (!read_mark(next, end, sign < 0 ? '-' : '+') || *next == end)
		return false;
	for (int i = 0; i < 3 && *next < end; i++)
	{
		if (i > 0)
			(void) read_mark(next, end, ':');
		if (end - *next < 2)
			return false;
		for (int j = 0; j < 2; j++, (*next)++)
		{
			if (**next < '0' || **next > '9')
				return false;
			parts[i] = parts[i] * 10 + (**next - '0');
		}
	}
	*offset = sign * (parts[0] * 3600 + parts[1] * 60 + parts[2]);
	return parts[0] <= 15 && parts[1] <= 59 && parts[2] <= 59;
}

static bool
read_moment(const StringInfoData *from, Moment *moment)
{
	StringInfoData text = act_filter_trimmed(from);
	const char *next = text.data;
	const char *end = text.data + text.len;
	int64		days;
	int			offset;

	memset(moment, 0, sizeof(Moment));
	if (text.len == 0 || !read_date(&next, end, &days))
		return false;
	moment->seconds = days * DAY_SECONDS;
	if (next == end)
		return true;
	if (!read_mark(&next, end, 'T') && !read_mark(&next, end, 't') && !read_mark(&next, end, ' '))
		return false;
	if (!read_time_of_day(&next, end, moment) || !read_offset(&next, end, &offset) || next != end)
		return false;
	moment->seconds -= offset;
	return true;
}

static void
append_date(StringInfo out, int64 seconds, int *second_of_day)
{
	int64		days = seconds / DAY_SECONDS - (seconds % DAY_SECONDS < 0);
	int			year;
	int			month;
	int			day;

	date_of(days, &year, &month, &day);
	*second_of_day = (int) (seconds - days * DAY_SECONDS);
	appendStringInfo(out, "%04d-%02d-%02d", year, month, day);
}

static void
append_moment(StringInfo out, int64 seconds)
{
	int			second_of_day;

	append_date(out, seconds, &second_of_day);
	appendStringInfo(out, "T%02d:%02d:%02d", second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
}

void
act_time_append_ms(StringInfo out, int64 ms)
{
	int64		seconds = ms / 1000 - (ms % 1000 < 0);

	append_moment(out, seconds);
	appendStringInfo(out, ".%03dZ", (int) (ms - seconds * 1000));
}

bool
act_filter_epoch(const char *argument, const StringInfoData *from, StringInfo to)
{
	Moment		moment;

	if (!read_moment(from, &moment))
		return false;
	appendStringInfo(to, INT64_FORMAT, moment.seconds);
	return true;
}

bool
act_filter_epoch_ms(const char *argument, const StringInfoData *from, StringInfo to)
{
	Moment		moment;

	if (!read_moment(from, &moment))
		return false;
	appendStringInfo(to, INT64_FORMAT, moment.seconds * 1000 + moment.usecs / 1000);
	return true;
}

/* A fraction only where there is one. */
bool
act_filter_iso(const char *argument, const StringInfoData *from, StringInfo to)
{
	Moment		moment;

	if (!read_moment(from, &moment))
		return false;
	append_moment(to, moment.seconds);
	if (moment.usecs > 0)
	{
		appendStringInfo(to, ".%06d", moment.usecs);
		while (to->data[to->len - 1] == '0')
			to->data[--to->len] = '\0';
	}
	appendStringInfoChar(to, 'Z');
	return true;
}

bool
act_filter_iso_ms(const char *argument, const StringInfoData *from, StringInfo to)
{
	Moment		moment;

	if (!read_moment(from, &moment))
		return false;
	act_time_append_ms(to, moment.seconds * 1000 + moment.usecs / 1000);
	return true;
}

/* The day in UTC. */
bool
act_filter_date(const char *argument, const StringInfoData *from, StringInfo to)
{
	Moment		moment;
	int			second_of_day;

	if (!read_moment(from, &moment))
		return false;
	append_date(to, moment.seconds, &second_of_day);
	return true;
}
