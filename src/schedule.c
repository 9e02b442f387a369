/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  When a sync runs: parsed schedules and the times they mean.
 *
 * Called when a sync is defined and each time somebody asks when it runs.
 * Pure but for the time zone database: needs no transaction, allocates in
 * the current memory context.  A text that is no schedule is ERROR 22023, or
 * 0A000 where a later version will know it.
 *
 * The form is told by how the text begins: a word, a number with a unit, or
 * something else, which is cron.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "common/int.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "cron.h"
#include "nearest.h"
#include "schedule.h"

#define BLANK " \t\r\n\f\v"

#define MAX_TEXT 10000
#define MAX_SHOWN 100			/* bytes of a wrong text that its error shows */
#define MAX_INTERVAL (INT64CONST(365) * USECS_PER_DAY)

#define FORMS "schedule => 'manual', '15 minutes', '0 7 * * 1-5 Europe/Paris', or 'after other_sync'."

#define UNIX_EPOCH_OFFSET ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

typedef struct Unit
{
	const char *name;
	int64		seconds;		/* 0: not always as many */
} Unit;

static const Unit units[] = {
	{"s", 1}, {"sec", 1}, {"secs", 1}, {"second", 1}, {"seconds", 1},
	{"m", SECS_PER_MINUTE}, {"min", SECS_PER_MINUTE}, {"mins", SECS_PER_MINUTE},
	{"minute", SECS_PER_MINUTE}, {"minutes", SECS_PER_MINUTE},
	{"h", SECS_PER_HOUR}, {"hr", SECS_PER_HOUR}, {"hrs", SECS_PER_HOUR},
	{"hour", SECS_PER_HOUR}, {"hours", SECS_PER_HOUR},
	{"d", SECS_PER_DAY}, {"day", SECS_PER_DAY}, {"days", SECS_PER_DAY},
	{"w", 7 * SECS_PER_DAY}, {"week", 7 * SECS_PER_DAY}, {"weeks", 7 * SECS_PER_DAY},
	{"mon", 0}, {"mons", 0}, {"month", 0}, {"months", 0},
	{"y", 0}, {"yr", 0}, {"yrs", 0}, {"year", 0}, {"years", 0}
};

static const struct
{
	const char *name;
	const char *fields;
}			shorthands[] =
{
	{"@hourly", "0 * * * *"},
	{"@daily", "0 0 * * *"},
	{"@midnight", "0 0 * * *"},
	{"@weekly", "0 0 * * 0"},
	{"@monthly", "0 0 1 * *"},
	{"@yearly", "0 0 1 1 *"},
	{"@annually", "0 0 1 1 *"}
};

/* ----------------------------------------------------------------
 *		Errors
 * ----------------------------------------------------------------
 */

/* As much of a user's text as an error should repeat. */
static char *
shown(const char *text)
{
	int			len = strlen(text);

	if (len <= MAX_SHOWN)
		return pstrdup(text);
	return psprintf("%s...", pnstrdup(text, pg_mbcliplen(text, len, MAX_SHOWN)));
}

/* problem NULL: it is none of the forms. */
static void
refuse(const char *text, const char *problem, const char *hint)
{
	if (problem == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown schedule \"%s\"", shown(text)),
				 errhint("%s", hint != NULL ? hint : FORMS)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("schedule \"%s\" cannot be used", shown(text)),
			 errdetail_internal("%s.", problem),
			 errhint("%s", hint != NULL ? hint : FORMS)));
}

static char *
trimmed(const char *text)
{
	int			len;

	text += strspn(text, BLANK);
	len = strlen(text);
	while (len > 0 && strchr(BLANK, text[len - 1]) != NULL)
		len--;
	return pnstrdup(text, len);
}

/* ----------------------------------------------------------------
 *		Intervals
 * ----------------------------------------------------------------
 */

static bool
begins_interval(const char *text)
{
	const char *p = text + strspn(text, "0123456789.");

	if (p == text)
		return false;
	p += strspn(p, BLANK);
	return *p == '\0' || isalpha((unsigned char) *p);
}

static const Unit *
find_unit(const char *text, int len)
{
	for (int i = 0; i < lengthof(units); i++)
	{
		if (strlen(units[i].name) == len && pg_strncasecmp(units[i].name, text, len) == 0)
			return &units[i];
	}
	return NULL;
}

/* A number with at most nine digits on either side of the point. */
static bool
read_number(const char **p, double *number)
{
	int			whole = strspn(*p, "0123456789");
	int			fraction = (*p)[whole] == '.' ? strspn(*p + whole + 1, "0123456789") : -1;

	if (whole == 0 || whole > 9 || fraction == 0 || fraction > 9)
		return false;
	*number = strtod(pnstrdup(*p, whole + 1 + fraction), NULL);
	*p += whole + 1 + fraction;
	return true;
}

/* '1 day 2 hours', with units that can be had. */
static char *
interval_text(int64 interval)
{
	static const Unit shown_units[] = {
		{"day", SECS_PER_DAY}, {"hour", SECS_PER_HOUR}, {"minute", SECS_PER_MINUTE}, {"second", 1}
	};
	int64		rest = interval / USECS_PER_SEC;
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < lengthof(shown_units); i++)
	{
		int64		count = rest / shown_units[i].seconds;

		if (count > 0)
			appendStringInfo(&buf, "%s" INT64_FORMAT " %s%s", buf.len > 0 ? " " : "",
							 count, shown_units[i].name, count > 1 ? "s" : "");
		rest %= shown_units[i].seconds;
	}
	return buf.data;
}

static void
parse_interval(const char *text, Schedule *schedule)
{
	const char *p = text;
	double		total = 0;

	while (*p != '\0')
	{
		const char *begin = p;
		const Unit *unit;
		double		number;
		int			len;

		if (!read_number(&p, &number))
			refuse(text, psprintf("\"%s\" is no number", shown(begin)), NULL);
		p += strspn(p, BLANK);
		len = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
		if (len == 0)
			refuse(text, psprintf("After \"%s\" a unit is missing", trimmed(pnstrdup(begin, p - begin))), NULL);
		unit = find_unit(p, len);
		if (unit == NULL)
			refuse(text, psprintf("\"%s\" is no unit", shown(pnstrdup(p, len))),
				   "Units are seconds, minutes, hours, days and weeks.");
		if (unit->seconds == 0)
			refuse(text, "Months and years differ in length",
				   "Use cron for it: schedule => '0 7 1 * * Europe/Paris' is at 7 on the first of each month.");
		total += number * unit->seconds;
		p += len;
		p += strspn(p, BLANK);
	}
	if (total < 1)
		refuse(text, "An interval is at least one second", NULL);
	if (total > MAX_INTERVAL / USECS_PER_SEC)
		refuse(text, "An interval is at most 365 days", NULL);
	if (total != (double) (int64) total)
		refuse(text, "An interval is a whole number of seconds", NULL);
	schedule->kind = SCHEDULE_INTERVAL;
	schedule->interval = (int64) total * USECS_PER_SEC;
	schedule->text = interval_text(schedule->interval);
}

/* ----------------------------------------------------------------
 *		Cron
 * ----------------------------------------------------------------
 */

/* "Paris" for Europe/Paris, or what is few letters away; NULL: none is. */
static char *
nearest_zone(const char *name)
{
	char	   *wanted = asc_tolower(name, strlen(name));
	pg_tzenum  *zones = pg_tzenumerate_start();
	pg_tz	   *zone;
	int			count = 0;
	int			size = 1024;
	const char **lower = palloc(sizeof(char *) * (size + 1));
	char	  **names = palloc(sizeof(char *) * size);
	char	   *found = NULL;
	const char *nearest;

	while (count < size && (zone = pg_tzenumerate_next(zones)) != NULL)
	{
		const char *city;

		names[count] = pstrdup(pg_get_timezone_name(zone));
		lower[count] = asc_tolower(names[count], strlen(names[count]));
		city = strrchr(lower[count], '/');
		if (found == NULL && city != NULL && strcmp(city + 1, wanted) == 0)
			found = names[count];
		count++;
	}
	pg_tzenumerate_end(zones);
	lower[count] = NULL;
	nearest = found == NULL ? act_nearest_name(wanted, lower) : NULL;
	for (int i = 0; nearest != NULL && found == NULL && i < count; i++)
	{
		if (lower[i] == nearest)
			found = names[i];
	}
	return found;
}

/*
 * 'UTC+3' would be a zone of POSIX, three hours west of Greenwich, which is
 * hardly ever what is meant.  In <> it is as a session's setting shows it.
 */
static bool
is_zone_with_offset(const char *name)
{
	static const char *const named[] = {"EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT", "GMT0", "GMT+0", "GMT-0"};

	if (name[0] == '<' || strchr(name, '/') != NULL || strpbrk(name, "0123456789") == NULL)
		return false;
	for (int i = 0; i < lengthof(named); i++)
	{
		if (pg_strcasecmp(name, named[i]) == 0)
			return false;
	}
	return true;
}

pg_tz *
act_schedule_zone(const char *name)
{
	pg_tz	   *zone;

	if (is_zone_with_offset(name) || strlen(name) > TZ_STRLEN_MAX)
		return NULL;
	zone = pg_tzset(name);
	return zone != NULL && pg_tz_acceptable(zone) ? zone : NULL;
}

static pg_tz *
parse_zone(const char *text, const char *name)
{
	pg_tz	   *zone;
	char	   *nearest;

	if (strspn(name, "0123456789*/,-?LW#") == strlen(name))
		refuse(text, "It has six fields, and cron has five: minute, hour, day of month, month, day of week",
			   "For seconds use an interval: schedule => '30 seconds'.");
	zone = act_schedule_zone(name);
	if (zone != NULL)
		return zone;
	if (is_zone_with_offset(name))
		refuse(text, psprintf("\"%s\" is no name of a time zone", shown(name)),
			   "A name is Europe/Paris; Etc/GMT-3 is always three hours ahead of UTC.");
	nearest = nearest_zone(name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown time zone \"%s\" in schedule \"%s\"", shown(name), shown(text)),
			 nearest != NULL ? errhint("Perhaps you meant %s.", nearest) :
			 errhint("SELECT name FROM pg_timezone_names;")));
	return NULL;
}

/* The next word, which is cut off; NULL: there is none. */
static char *
next_word(char **p)
{
	char	   *word = *p + strspn(*p, BLANK);
	int			len = strcspn(word, BLANK);

	*p = word + len;
	if (len == 0)
		return NULL;
	if (**p != '\0')
		*(*p)++ = '\0';
	return word;
}

/* The five fields of @daily and the like. */
static char *
expand_shorthand(const char *text, const char *word)
{
	const char *names[lengthof(shorthands) + 1] = {NULL};
	const char *nearest;

	for (int i = 0; i < lengthof(shorthands); i++)
	{
		names[i] = shorthands[i].name;
		if (pg_strcasecmp(shorthands[i].name, word) == 0)
			return pstrdup(shorthands[i].fields);
	}
	nearest = act_nearest_name(word, names);
	refuse(text, psprintf("\"%s\" is not known", shown(word)),
		   nearest != NULL ? psprintf("Perhaps you meant %s.", nearest) :
		   "@hourly, @daily, @weekly, @monthly or @yearly.");
	return NULL;
}

static void
parse_cron(const char *text, const char *time_zone, Schedule *schedule)
{
	char	   *rest = pstrdup(text);
	char	   *fields[CRON_FIELDS];
	char	   *word = next_word(&rest);
	char	   *shorthand = NULL;
	char	   *problem;
	char	   *hint;
	char	   *zone;
	int			count = 0;

	if (word[0] == '@')
	{
		char	   *from = expand_shorthand(text, word);

		shorthand = word;
		for (int i = 0; shorthand[i] != '\0'; i++)
			shorthand[i] = pg_ascii_tolower((unsigned char) shorthand[i]);
		while (count < CRON_FIELDS && (fields[count] = next_word(&from)) != NULL)
			count++;
	}
	else
	{
		for (; word != NULL && count < CRON_FIELDS - 1; word = next_word(&rest))
			fields[count++] = word;
		if (word != NULL)
			fields[count++] = word;
	}
	if (count < CRON_FIELDS)
		refuse(text, psprintf("It has %d field%s, and cron has five: minute, hour, day of month, month, day of week",
							  count, count > 1 ? "s" : ""), NULL);
	problem = act_cron_parse(fields, &schedule->cron, &hint);
	if (problem != NULL)
		refuse(text, problem, hint != NULL ? psprintf("Write %s.", hint) : NULL);

	zone = next_word(&rest);
	if (zone != NULL && (word = next_word(&rest)) != NULL)
		refuse(text, psprintf("\"%s\" stands after its time zone", shown(word)), NULL);
	schedule->zone = parse_zone(text, zone != NULL ? zone : time_zone);
	schedule->kind = SCHEDULE_CRON;
	if (shorthand != NULL)
		schedule->text = psprintf("%s %s", shorthand, pg_get_timezone_name(schedule->zone));
	else
		schedule->text = psprintf("%s %s %s %s %s %s", fields[0], fields[1], fields[2], fields[3], fields[4],
								  pg_get_timezone_name(schedule->zone));
}

/* ----------------------------------------------------------------
 *		After others
 * ----------------------------------------------------------------
 */

static bool
begins_after(const char *text)
{
	return pg_strncasecmp(text, "after", 5) == 0 &&
		(text[5] == '\0' || text[5] == '"' || strchr(BLANK, text[5]) != NULL);
}

char *
act_schedule_after_text(const List *names)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	foreach(cell, names)
		appendStringInfo(&buf, "%s %s", buf.len > 0 ? "," : "after", quote_identifier(lfirst(cell)));
	return buf.data;
}

static void
parse_after(const char *text, Schedule *schedule)
{
	char	   *names = pstrdup(text + 5);
	ListCell   *cell;
	List	   *list;

	if (!SplitIdentifierString(names, ',', &list) || list == NIL)
		refuse(text, "After \"after\" the names of syncs are expected, with commas between them",
			   "schedule => 'after a', or 'after a, b'; a name with capitals or other characters in double quotes: 'after a, \"B c\"'.");
	foreach(cell, list)
	{
		ListCell   *other;

		foreach(other, schedule->after)
		{
			if (strcmp(lfirst(cell), lfirst(other)) == 0)
				refuse(text, psprintf("It names \"%s\" twice", (char *) lfirst(cell)), "Name it once.");
		}
		schedule->after = lappend(schedule->after, pstrdup(lfirst(cell)));
	}
	schedule->kind = SCHEDULE_AFTER;
	schedule->text = act_schedule_after_text(schedule->after);
}

/* ----------------------------------------------------------------
 *		All of them
 * ----------------------------------------------------------------
 */

/* A word that stands for what is not known, or is misspelt. */
static void
refuse_word(const char *text)
{
	static const char *const words[] = {"manual", "@hourly", "@daily", "@weekly", "@monthly", "@yearly", NULL};
	const char *nearest = strpbrk(text, BLANK) == NULL ? act_nearest_name(text, words) : NULL;

	refuse(text, NULL, nearest != NULL ? psprintf("Perhaps you meant schedule => '%s'.", nearest) : NULL);
}

bool
act_schedule_is_manual(const char *text)
{
	return strcmp(text, "manual") == 0;
}

Schedule *
act_schedule_parse(const char *text, const char *time_zone)
{
	Schedule   *schedule = palloc0(sizeof(Schedule));
	char	   *trimmed_text = trimmed(text);
	int			words = 0;

	if (strlen(trimmed_text) > MAX_TEXT)
		refuse(trimmed_text, psprintf("It is longer than %d bytes", MAX_TEXT), NULL);
	for (const char *p = trimmed_text; *p != '\0'; p += strspn(p, BLANK), words++)
		p += strcspn(p, BLANK);

	if (pg_strcasecmp(trimmed_text, "live") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("schedule \"live\" is not supported by this version of pg_activate"),
				 errhint("An interval is as near as it gets: schedule => '10 seconds'.")));
	else if (pg_strcasecmp(trimmed_text, "manual") == 0)
	{
		schedule->kind = SCHEDULE_MANUAL;
		schedule->text = pstrdup("manual");
	}
	else if (begins_after(trimmed_text))
		parse_after(trimmed_text, schedule);
	else if (begins_interval(trimmed_text))
		parse_interval(trimmed_text, schedule);
	else if (words >= CRON_FIELDS || (words > 0 && strchr("@*0123456789", trimmed_text[0]) != NULL))
		parse_cron(trimmed_text, time_zone, schedule);
	else
		refuse_word(trimmed_text);
	return schedule;
}

/*
 * Syncs with the same interval that were made together do not all start at
 * once.  Whole seconds.
 */
static int64
spread_of(const Schedule *schedule, int64 sync_id)
{
	int64		most = Min(schedule->interval / 10, SCHEDULE_MAX_SPREAD) / USECS_PER_SEC;
	uint32		hash = hash_bytes_uint32((uint32) sync_id ^ (uint32) ((uint64) sync_id >> 32));

	return (int64) (hash % (uint64) (most + 1)) * USECS_PER_SEC;
}

/* What the starts of an interval count from, which is a whole second. */
static TimestampTz
interval_base(const Schedule *schedule, TimestampTz anchor, int64 sync_id)
{
	int64		seconds = anchor / USECS_PER_SEC;

	if (seconds * USECS_PER_SEC < anchor)
		seconds++;
	return seconds * USECS_PER_SEC + spread_of(schedule, sync_id);
}

/* How many starts of an interval lie at or before a time. */
static int64
intervals_until(const Schedule *schedule, TimestampTz base, TimestampTz until)
{
	int64		passed;

	if (TIMESTAMP_IS_NOBEGIN(until) || until < base)
		return 0;
	if (pg_sub_s64_overflow(until, base, &passed))
		passed = PG_INT64_MAX;
	return passed / schedule->interval;
}

/* The anchor is no start: the first one is an interval later. */
static bool
next_interval(const Schedule *schedule, TimestampTz anchor, int64 sync_id,
			  TimestampTz later_than, TimestampTz *next)
{
	TimestampTz base;
	int64		passed;

	if (TIMESTAMP_NOT_FINITE(anchor) || TIMESTAMP_IS_NOEND(later_than))
		return false;
	base = interval_base(schedule, anchor, sync_id);
	if (pg_mul_s64_overflow(intervals_until(schedule, base, later_than) + 1, schedule->interval, &passed) ||
		pg_add_s64_overflow(base, passed, next))
		return false;
	return *next < END_TIMESTAMP;
}

static bool
next_cron(const Schedule *schedule, TimestampTz later_than, TimestampTz *next)
{
	pg_time_t	seconds;
	pg_time_t	found;

	if (TIMESTAMP_IS_NOEND(later_than))
		return false;
	later_than = Max(later_than, MIN_TIMESTAMP);
	seconds = later_than / USECS_PER_SEC;
	if (seconds * USECS_PER_SEC > later_than)
		seconds--;
	if (!act_cron_next(&schedule->cron, schedule->zone, seconds + UNIX_EPOCH_OFFSET, &found))
		return false;
	found -= UNIX_EPOCH_OFFSET;
	if (found >= END_TIMESTAMP / USECS_PER_SEC)
		return false;
	*next = found * USECS_PER_SEC;
	return true;
}

bool
act_schedule_next(const Schedule *schedule, TimestampTz anchor, int64 sync_id,
				  TimestampTz later_than, TimestampTz *next)
{
	switch (schedule->kind)
	{
		case SCHEDULE_MANUAL:
		case SCHEDULE_AFTER:
			return false;
		case SCHEDULE_INTERVAL:
			return next_interval(schedule, anchor, sync_id, later_than, next);
		case SCHEDULE_CRON:
			return next_cron(schedule, later_than, next);
	}
	return false;
}

int64
act_schedule_count(const Schedule *schedule, TimestampTz anchor, int64 sync_id,
				   TimestampTz after, TimestampTz until, int64 limit)
{
	int64		count = 0;

	if (until <= after || limit <= 0)
		return 0;
	if (schedule->kind == SCHEDULE_INTERVAL)
	{
		TimestampTz base;

		if (TIMESTAMP_NOT_FINITE(anchor))
			return 0;
		base = interval_base(schedule, anchor, sync_id);
		return Min(intervals_until(schedule, base, until) - intervals_until(schedule, base, after), limit);
	}
	while (count < limit && act_schedule_next(schedule, anchor, sync_id, after, &after) && after <= until)
	{
		CHECK_FOR_INTERRUPTS();
		count++;
	}
	return count;
}
