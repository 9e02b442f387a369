/*-------------------------------------------------------------------------
 *
 * http_time.c
 *	  How long an answer's headers ask to wait: Retry-After and its likes.
 *
 * Every value is a stranger's: what cannot be read says nothing, and what is
 * absurd is bounded before it is calculated with.  Pure but for libcurl's
 * reading of dates; allocates nothing, does not throw.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>

#include "http.h"

/* Beyond any time or count that is meant; a thousandfold of it still fits. */
#define MAX_NUMBER INT64CONST(1000000000000000)

/* What tells apart seconds from now, seconds since 1970 and milliseconds since then. */
#define LEAST_EPOCH_S INT64CONST(1000000000)
#define LEAST_EPOCH_MS INT64CONST(1000000000000)

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits with a fraction or without, and nothing else but blanks or a separator: thousandths. */
static bool
read_number(const char *text, int64 *thousandths)
{
	int64		number = 0;
	int			unit = 1000;

	if (!is_digit(*text))
		return false;
	for (; is_digit(*text); text++)
		number = Min(number * 10 + (*text - '0'), MAX_NUMBER);
	number *= 1000;
	if (*text == '.')
	{
		/* What is less than a thousandth is rounded up. */
		for (text++; is_digit(*text); text++)
		{
			unit /= 10;
			number += unit > 0 ? (*text - '0') * unit : (*text > '0' ? 1 : 0);
		}
	}
	text += strspn(text, " \t");
	*thousandths = number;
	return *text == '\0' || *text == ',' || *text == ';';
}

/* The value of a parameter, as in: limit=100, remaining=0, reset=30; or "default";r=0;t=30 */
static const char *
find_parameter(const char *text, const char *name)
{
	size_t		len = strlen(name);

	for (const char *at = text; *at != '\0'; at++)
	{
		if (at != text && strchr(",; \t", at[-1]) == NULL)
			continue;
		if (pg_strncasecmp(at, name, len) == 0 && at[len] == '=')
			return at + len + 1;
	}
	return NULL;
}

/* The number of a header that is one, or has it as a parameter. */
static bool
read_value(const char *text, const char *name, const char *short_name, int64 *thousandths)
{
	if (strchr(text, '=') == NULL)
		return read_number(text, thousandths);
	text = find_parameter(text, name) != NULL ? find_parameter(text, name) : find_parameter(text, short_name);
	return text != NULL && read_number(text, thousandths);
}

static bool
two_digits(const char *text, int least, int most, int *number)
{
	if (!is_digit(text[0]) || !is_digit(text[1]))
		return false;
	*number = (text[0] - '0') * 10 + text[1] - '0';
	return *number >= least && *number <= most;
}

/* Days since 1970 of a date in the proleptic Gregorian calendar. */
static int64
days_since_epoch(int year, int month, int day)
{
	int			y = month > 2 ? year : year - 1;
	int			from_march = month > 2 ? month - 3 : month + 9;

	return (int64) 365 * y + y / 4 - y / 100 + y / 400 + (153 * from_march + 2) / 5 + day - 1 - 719468;
}

/* 2026-11-23T06:30:00Z, with a fraction or without, or +02:00 in place of Z: Unix seconds. */
static bool
read_iso_date(const char *text, int64 *seconds)
{
	int			century;
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second;
	int			offset_hours = 0;
	int			offset_minutes = 0;
	int			sign;

	if (strlen(text) < 20 || text[4] != '-' || text[7] != '-' || strchr("Tt ", text[10]) == NULL ||
		text[13] != ':' || text[16] != ':' ||
		!two_digits(text, 19, 99, &century) || !two_digits(text + 2, 0, 99, &year) ||
		!two_digits(text + 5, 1, 12, &month) || !two_digits(text + 8, 1, 31, &day) ||
		!two_digits(text + 11, 0, 23, &hour) || !two_digits(text + 14, 0, 59, &minute) ||
		!two_digits(text + 17, 0, 60, &second))
		return false;
	text += 19;
	if (*text == '.')
		text += 1 + strspn(text + 1, "0123456789");
	sign = *text == '+' ? 1 : *text == '-' ? -1 : 0;
	if (sign == 0 && pg_strcasecmp(text, "Z") != 0)
		return false;
	if (sign != 0 && (strlen(text) != 6 || text[3] != ':' || !two_digits(text + 1, 0, 23, &offset_hours) ||
					  !two_digits(text + 4, 0, 59, &offset_minutes)))
		return false;
	*seconds = days_since_epoch(century * 100 + year, month, day) * 86400 +
		hour * 3600 + minute * 60 + second - sign * (offset_hours * 3600 + offset_minutes * 60);
	return true;
}

/* As HTTP writes dates, in its three forms, or as ISO 8601 does: Unix seconds. */
static bool
read_date(const char *text, int64 *seconds)
{
	time_t		date;

	if (read_iso_date(text, seconds))
		return true;
	/* All three begin with the day of the week; libcurl would take more than dates. */
	if (!((*text >= 'A' && *text <= 'Z') || (*text >= 'a' && *text <= 'z')) || strlen(text) < 20)
		return false;
	date = curl_getdate(text, NULL);
	*seconds = (int64) date;
	return date != (time_t) -1;
}

static int64
bounded(int64 wait_ms)
{
	return Min(Max(wait_ms, 0), HTTP_MAX_WAIT_MS);
}

int64
act_http_time_wait(const char *value, HttpTimeForm form, int64 now_ms)
{
	int64		thousandths;
	int64		seconds;

	if ((form == HTTP_TIME_AUTO || form == HTTP_TIME_DATE) && read_date(value, &seconds))
		return bounded(Min(seconds, MAX_NUMBER) * 1000 - now_ms);
	if (form == HTTP_TIME_DATE || !read_value(value, "reset", "t", &thousandths))
		return -1;
	if (form == HTTP_TIME_AUTO)
		form = thousandths / 1000 > LEAST_EPOCH_MS ? HTTP_TIME_EPOCH_MS :
			thousandths / 1000 > LEAST_EPOCH_S ? HTTP_TIME_EPOCH_S : HTTP_TIME_DELTA_S;
	switch (form)
	{
		case HTTP_TIME_DELTA_S:
			return bounded(thousandths);
		case HTTP_TIME_DELTA_MS:
			return bounded((thousandths + 999) / 1000);
		case HTTP_TIME_EPOCH_S:
			return bounded(thousandths - now_ms);
		case HTTP_TIME_EPOCH_MS:
			return bounded(thousandths / 1000 - now_ms);
		case HTTP_TIME_AUTO:
		case HTTP_TIME_DATE:
			break;
	}
	return -1;
}

int64
act_http_time_remaining(const char *value)
{
	int64		thousandths;

	/* Some count on below nothing. */
	if (value[0] == '-' && is_digit(value[1]))
		return 0;
	return read_value(value, "remaining", "r", &thousandths) ? thousandths / 1000 : -1;
}
