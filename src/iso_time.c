/*-------------------------------------------------------------------------
 *
 * iso_time.c
 *	  Dates and times as ISO 8601 has them, read from text.
 *
 * Reads no setting, so that a text means the same in every session; what
 * would have to be guessed (which of two numbers is the month, what a name
 * of a zone stands for) is none.  Pure: needs no transaction, does not throw.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/datetime.h"

#include "iso_time.h"

/* So many digits, and what they make. */
static bool
read_digits(const char **next, int count, int *value)
{
	*value = 0;
	for (int i = 0; i < count; i++, (*next)++)
	{
		if (**next < '0' || **next > '9')
			return false;
		*value = *value * 10 + (**next - '0');
	}
	return true;
}

/* +01:00, +0100, +01 or Z; *offset in seconds */
static bool
read_zone(const char **next, int *offset)
{
	int			sign = **next == '-' ? -1 : 1;
	int			hours;
	int			minutes = 0;

	*offset = 0;
	if (**next == '\0')
		return true;
	if (**next == 'Z')
	{
		(*next)++;
		return true;
	}
	if (**next != '+' && **next != '-')
		return false;
	(*next)++;
	if (!read_digits(next, 2, &hours))
		return false;
	if (**next == ':')
		(*next)++;
	if (**next != '\0' && !read_digits(next, 2, &minutes))
		return false;
	*offset = sign * (hours * 3600 + minutes * 60);
	return hours < 24 && minutes < 60;
}

bool
act_iso_time_read(const char *text, Timestamp *time)
{
	const char *next = text;
	struct pg_tm tm = {0};
	int			offset = 0;
	int64		fraction = 0;

	if (!read_digits(&next, 4, &tm.tm_year) || *next++ != '-' || !read_digits(&next, 2, &tm.tm_mon) ||
		*next++ != '-' || !read_digits(&next, 2, &tm.tm_mday) || tm.tm_year < 1 || tm.tm_mon < 1 || tm.tm_mon > 12 ||
		tm.tm_mday < 1 || tm.tm_mday > day_tab[isleap(tm.tm_year)][tm.tm_mon - 1])
		return false;
	if (*next == 'T' || *next == ' ')
	{
		next++;
		if (!read_digits(&next, 2, &tm.tm_hour) || *next++ != ':' || !read_digits(&next, 2, &tm.tm_min))
			return false;
		if (*next == ':')
		{
			next++;
			if (!read_digits(&next, 2, &tm.tm_sec))
				return false;
		}
		if (*next == '.')
		{
			int64		unit = USECS_PER_SEC;

			for (next++; *next >= '0' && *next <= '9'; next++)
				fraction += (unit /= 10) * (*next - '0');
		}
		if (!read_zone(&next, &offset) || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59)
			return false;
	}
	*time = (date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY +
		((tm.tm_hour * 60 + tm.tm_min) * 60 + tm.tm_sec - offset) * USECS_PER_SEC + fraction;
	return *next == '\0';
}
