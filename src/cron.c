/*-------------------------------------------------------------------------
 *
 * cron.c
 *	  The five fields of a cron schedule, and the times that they name.
 *
 * Called by schedule.c alone.  Pure but for the time zone database: needs no
 * transaction, throws nothing but out of memory.
 *
 * A field is a list of *, n, a-b, a-b/step and * /step; months and weekdays
 * have names; 7 is Sunday, too.  n/step is refused, for some take it as
 * n-last/step and others as n alone.  Where day and weekday are both
 * restricted either of them will do; where one of them begins with *, or
 * leaves nothing out, both must hold: as in every cron since Vixie's, but for
 * what leaves nothing out without a star.
 *
 * When the clocks change, as there:
 * - Starts at fixed times (neither * nor a step in minute and hour) that the
 *   clock leaves out run once, at the moment after the gap; those that it
 *   shows twice run once, the first time.
 * - All others go by what the clock shows, minute after minute: what it
 *   leaves out does not run, what it shows twice runs twice.  So hourly
 *   ones go on hour after hour.
 *
 * A zone is a row of stretches in which the local time runs along with UTC.
 * In each of them the next start is searched in local time, month after
 * month and day after day, which is what makes it fast; the rules above are
 * about the seams.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cron.h"

#define MINUTE 60
#define HOUR 3600
#define DAY 86400

/* 29 February that is a Monday comes every 28 years, around 2100 after 40. */
#define HORIZON ((int64) 50 * 366 * DAY)

/* No clock was ever moved further than by a day, across the date line. */
#define LONGEST_SHIFT (2 * DAY)

#define LONGEST_NUMBER 4

typedef struct FieldRule
{
	const char *name;
	int			min;
	int			max;
	const char *const *names;	/* NULL-ended, of min and what follows; or NULL */
} FieldRule;

static const char *const month_names[] = {
	"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", NULL
};

static const char *const weekday_names[] = {
	"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL
};

static const FieldRule rules[CRON_FIELDS] = {
	{"minute", 0, 59, NULL},
	{"hour", 0, 23, NULL},
	{"day of month", 1, 31, NULL},
	{"month", 1, 12, month_names},
	{"day of week", 0, 7, weekday_names}
};

/* ----------------------------------------------------------------
 *		Fields
 * ----------------------------------------------------------------
 */

static char *
out_of_range(const FieldRule *rule, const char *item)
{
	if (rule->names != NULL)
		return psprintf("\"%s\" is no %s: that is a number from %d to %d, or a name such as %s",
						item, rule->name, rule->min, rule->max, rule->names[1]);
	return psprintf("\"%s\" is no %s: that is a number from %d to %d",
					item, rule->name, rule->min, rule->max);
}

/* A number or a name at *p, which moves on; -1: neither. */
static int
read_value(const FieldRule *rule, const char **p)
{
	int			digits = strspn(*p, "0123456789");
	int			value = 0;

	if (digits > 0)
	{
		if (digits > LONGEST_NUMBER)
			return -1;
		for (; digits > 0; digits--)
			value = value * 10 + (*(*p)++ - '0');
		return value >= rule->min && value <= rule->max ? value : -1;
	}
	for (int i = 0; rule->names != NULL && rule->names[i] != NULL; i++)
	{
		int			len = strlen(rule->names[i]);

		if (pg_strncasecmp(*p, rule->names[i], len) == 0)
		{
			*p += len;
			return rule->min + i;
		}
	}
	return -1;
}

/* The step after a slash; -1: none that could be. */
static int
read_step(const FieldRule *rule, const char *p)
{
	int			digits = strspn(p, "0123456789");
	int			step = 0;

	if (digits == 0 || digits > LONGEST_NUMBER || p[digits] != '\0')
		return -1;
	for (; digits > 0; digits--)
		step = step * 10 + (*p++ - '0');
	return step > 0 && step <= rule->max ? step : -1;
}

/* One member of a field's list: adds its bits. */
static char *
parse_item(const FieldRule *rule, const char *item, uint64 *bits, bool *stepped, char **hint)
{
	const char *p = item;
	int			first = rule->min;
	int			last = rule->max;
	int			step = 1;
	bool		single = false;

	if (*p == '*')
		p++;
	else
	{
		first = read_value(rule, &p);
		if (first < 0)
			return out_of_range(rule, item);
		single = *p != '-';
		last = first;
		if (!single)
		{
			p++;
			last = read_value(rule, &p);
			if (last < 0)
				return out_of_range(rule, item);
			/* fri-sun */
			if (rule->max == 7 && last == 0 && first > 0 && !isdigit((unsigned char) p[-1]))
				last = 7;
			if (last < first)
			{
				*hint = psprintf("%d-%d,%d-%d", first, rule->max == 7 ? 6 : rule->max, rule->min, last);
				return psprintf("Range \"%s\" of the %s ends before it begins", item, rule->name);
			}
		}
	}
	if (*p == '/')
	{
		if (single)
		{
			*hint = psprintf("%d-%d%s", first, rule->max == 7 ? 6 : rule->max, p);
			return psprintf("\"%s\" of the %s has a step, but no range", item, rule->name);
		}
		step = read_step(rule, p + 1);
		if (step < 0)
			return psprintf("Step \"%s\" of the %s is no number from 1 to %d", p + 1, rule->name, rule->max);
		*stepped = true;
	}
	else if (*p != '\0')
		return out_of_range(rule, item);

	for (int i = first; i <= last; i += step)
		*bits |= UINT64CONST(1) << i;
	return NULL;
}

/* stepped: it holds * or a step, or leaves nothing out. */
static char *
parse_field(const FieldRule *rule, const char *field, uint64 *bits, bool *stepped, char **hint)
{
	char	   *rest = pstrdup(field);
	char	   *problem = NULL;
	bool		more = true;

	*bits = 0;
	*stepped = false;
	while (more && problem == NULL)
	{
		int			len = strcspn(rest, ",");

		more = rest[len] == ',';
		rest[len] = '\0';
		if (rest[0] == '*')
			*stepped = true;
		problem = len == 0 ? psprintf("The %s \"%s\" has an empty place in its list", rule->name, field) :
			parse_item(rule, rest, bits, stepped, hint);
		rest += len + 1;
	}
	/* Sunday */
	if (rule->max == 7 && (*bits & (1 << 7)) != 0)
		*bits = (*bits & ~(UINT64CONST(1) << 7)) | 1;
	return problem;
}

static int
longest_month(int month)
{
	static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1];
}

/* Whether any year has one of the days in one of the months. */
static bool
day_exists(const CronSpec *spec)
{
	for (int month = 1; month <= 12; month++)
	{
		if ((spec->months & (1U << month)) != 0 &&
			(spec->days & ((UINT64CONST(2) << longest_month(month)) - 1)) != 0)
			return true;
	}
	return false;
}

char *
act_cron_parse(char *const fields[CRON_FIELDS], CronSpec *spec, char **hint)
{
	uint64		bits[CRON_FIELDS];
	bool		stepped[CRON_FIELDS];

	*hint = NULL;
	for (int i = 0; i < CRON_FIELDS; i++)
	{
		char	   *problem = parse_field(&rules[i], fields[i], &bits[i], &stepped[i], hint);

		if (problem != NULL)
			return problem;
	}
	spec->minutes = bits[0];
	spec->hours = (uint32) bits[1];
	spec->days = (uint32) bits[2];
	spec->months = (uint32) bits[3];
	spec->weekdays = (uint32) bits[4];
	spec->any_minute = stepped[0] || spec->minutes == (UINT64CONST(1) << 60) - 1;
	spec->any_hour = stepped[1] || spec->hours == (1U << 24) - 1;
	spec->any_day = fields[2][0] == '*' || spec->days == UINT32_MAX - 1;
	spec->any_weekday = fields[4][0] == '*' || spec->weekdays == (1U << 7) - 1;

	if ((spec->any_day || spec->any_weekday) && !day_exists(spec))
		return psprintf("No year has day %s of month %s", fields[2], fields[3]);
	return NULL;
}

/* ----------------------------------------------------------------
 *		Local time
 * ----------------------------------------------------------------
 */

/* The date of a day counted from 1970-01-01 (proleptic Gregorian). */
static void
date_of_day(int64 day, int64 *year, int *month, int *mday)
{
	int64		shifted = day + 719468; /* from 0000-03-01 */
	int64		era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int			of_era = (int) (shifted - era * 146097);
	int			year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int			of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int			from_march = (5 * of_year + 2) / 153;

	*mday = of_year - (153 * from_march + 2) / 5 + 1;
	*month = from_march < 10 ? from_march + 3 : from_march - 9;
	*year = year_of_era + era * 400 + (*month <= 2);
}

static int
days_in_month(int64 year, int month)
{
	if (month == 2 && (year % 4 != 0 || (year % 100 == 0 && year % 400 != 0)))
		return 28;
	return longest_month(month);
}

static int
weekday_of_day(int64 day)
{
	return (int) (((day + 4) % 7 + 7) % 7);
}

static bool
day_matches(const CronSpec *spec, int mday, int weekday)
{
	bool		by_day = (spec->days & (1U << mday)) != 0;
	bool		by_weekday = (spec->weekdays & (1U << weekday)) != 0;

	if (spec->any_day || spec->any_weekday)
		return by_day && by_weekday;
	return by_day || by_weekday;
}

/* The first start of a matching day at or after a second of it; -1: none. */
static int
time_in_day(const CronSpec *spec, int second)
{
	int			minute = (second + MINUTE - 1) / MINUTE;

	for (int hour = minute / 60; hour < 24; hour++)
	{
		if ((spec->hours & (1U << hour)) == 0)
			continue;
		for (int m = hour == minute / 60 ? minute % 60 : 0; m < 60; m++)
		{
			if ((spec->minutes & (UINT64CONST(1) << m)) != 0)
				return hour * HOUR + m * MINUTE;
		}
	}
	return -1;
}

/* The first start at or after a local time and before another one. */
static bool
next_local(const CronSpec *spec, int64 from, int64 before, int64 *found)
{
	int64		day = from >= 0 ? from / DAY : -((-from + DAY - 1) / DAY);
	int			second = (int) (from - day * DAY);
	int64		year;
	int			month;
	int			mday;

	date_of_day(day, &year, &month, &mday);
	while (day * DAY < before)
	{
		if ((spec->months & (1U << month)) == 0)
		{
			day += days_in_month(year, month) - mday + 1;
			mday = 1;
			second = 0;
		}
		else
		{
			if (day_matches(spec, mday, weekday_of_day(day)))
			{
				int			time = time_in_day(spec, second);

				if (time >= 0)
				{
					*found = day * DAY + time;
					return *found < before;
				}
			}
			second = 0;
			day++;
			if (++mday <= days_in_month(year, month))
				continue;
			mday = 1;
		}
		if (++month > 12)
		{
			month = 1;
			year++;
		}
	}
	return false;
}

/* ----------------------------------------------------------------
 *		Zones
 * ----------------------------------------------------------------
 */

typedef struct Stretch
{
	int64		offset;			/* local time minus UTC */
	int64		end;			/* UTC; PG_INT64_MAX: none */
} Stretch;

static void
find_stretch(const pg_tz *zone, pg_time_t at, Stretch *stretch)
{
	long int	before = 0;
	long int	after;
	int			before_dst;
	int			after_dst;
	pg_time_t	boundary;

	if (pg_next_dst_boundary(&at, &before, &before_dst, &boundary, &after, &after_dst, zone) == 1 &&
		boundary > at)
		stretch->end = boundary;
	else
		stretch->end = PG_INT64_MAX;
	stretch->offset = before;
}

bool
act_cron_next(const CronSpec *spec, const pg_tz *zone, pg_time_t later_than, pg_time_t *next)
{
	bool		fixed = !spec->any_hour && !spec->any_minute;
	int64		horizon = later_than + HORIZON;
	int64		begin = later_than - LONGEST_SHIFT;
	int64		shown = PG_INT64_MIN;	/* local times before it were shown already */
	Stretch		stretch;

	find_stretch(zone, begin, &stretch);
	while (begin < horizon)
	{
		int64		end = Min(stretch.end, horizon);
		int64		from = Max(begin, later_than + 1) + stretch.offset;
		int64		found;
		Stretch		following;

		if (fixed)
			from = Max(from, shown);
		if (end > later_than && next_local(spec, from, end + stretch.offset, &found))
		{
			*next = found - stretch.offset;
			return true;
		}
		if (end >= horizon)
			break;

		find_stretch(zone, end, &following);
		shown = Max(shown, end + stretch.offset);
		if (fixed && end > later_than &&
			next_local(spec, shown, end + following.offset, &found))
		{
			*next = end;
			return true;
		}
		begin = end;
		stretch = following;
	}
	return false;
}
