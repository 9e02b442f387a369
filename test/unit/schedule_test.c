/*-------------------------------------------------------------------------
 *
 * schedule_test.c
 *	  Schedules: what their texts mean, and that the search for the next start
 *	  finds what a walk over every minute finds, whatever the clocks do.
 *
 * Run by make -C test/unit.  FUZZ in the environment sets the number of
 * mutations (default 100000), SEED where they start.  The zones are made up
 * here; t/130_schedule_year.pl takes the real ones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/formatting.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "cron.h"
#include "pg_stub.h"
#include "schedule.h"

#undef printf
#undef fprintf
#undef snprintf

static int	checks;
static int	failures;

static void
check_at(bool ok, int line, const char *what)
{
	checks++;
	if (!ok)
	{
		failures++;
		fprintf(stderr, "schedule_test.c:%d: %s\n", line, what);
	}
}

static void
check_text_at(const char *got, const char *wanted, const char *of, int line)
{
	bool		ok = strcmp(got, wanted) == 0;

	check_at(ok, line, of);
	if (!ok)
		fprintf(stderr, "  got    %s\n  wanted %s\n", got, wanted);
}

#define CHECK(condition) check_at(condition, __LINE__, #condition)

/* Runs the statement and says whether it threw. */
#define THROWS(statement) \
	({ \
		volatile bool threw = false; \
		PG_TRY(); \
		{ \
			statement; \
		} \
		PG_CATCH(); \
		{ \
			threw = true; \
		} \
		PG_END_TRY(); \
		threw; \
	})

static uint64 random_state = 1;

static uint64
next_random(uint64 below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

/* ----------------------------------------------------------------
 *		A world: zones, and what else of the server schedules need
 * ----------------------------------------------------------------
 */

#define MAX_CHANGES 200

struct pg_tz
{
	char		name[TZ_STRLEN_MAX + 1];
	long		offset;			/* before the first change */
	int			count;
	struct
	{
		pg_time_t	at;
		long		offset;
	}			changes[MAX_CHANGES];
};

static pg_tz zones[] = {
	{"UTC", 0},
	{"Test/Paris", 3600},
	{"Test/Lord_Howe", 37800},
	{"Test/Kathmandu", 20700},
	{"Test/Apia", -36000},		/* leaves out a day */
	{"Test/Kwajalein", 43200},	/* shows a day twice */
	{"Test/Restless", 0}
};

static int64
day_of_date(int year, int month, int day)
{
	return date2j(year, month, day) - UNIX_EPOCH_JDATE;
}

/* As in utils/adt/datetime.c. */
int
date2j(int year, int month, int day)
{
	int			century;
	int			julian;

	if (month > 2)
	{
		month += 1;
		year += 4800;
	}
	else
	{
		month += 13;
		year += 4799;
	}
	century = year / 100;
	julian = year * 365 - 32167;
	julian += year / 4 - century + century / 4;
	julian += 7834 * month / 256 + day;
	return julian;
}

/* Seconds since 1970 of a UTC time. */
static int64
utc(int year, int month, int day, int hour, int minute)
{
	return day_of_date(year, month, day) * SECS_PER_DAY + hour * SECS_PER_HOUR + minute * SECS_PER_MINUTE;
}

/* The Sunday on or after a date. */
static int64
sunday(int year, int month, int day)
{
	int64		date = day_of_date(year, month, day);

	return date + (7 - (date + 4) % 7) % 7;
}

static void
change(pg_tz *zone, pg_time_t at, long offset)
{
	zone->changes[zone->count].at = at;
	zone->changes[zone->count++].offset = offset;
}

static void
make_zones(void)
{
	for (int year = 2000; year < 2090; year++)
	{
		change(&zones[1], sunday(year, 3, 25) * SECS_PER_DAY + SECS_PER_HOUR, 7200);
		change(&zones[1], sunday(year, 10, 25) * SECS_PER_DAY + SECS_PER_HOUR, 3600);
		change(&zones[2], sunday(year, 4, 1) * SECS_PER_DAY - 9 * SECS_PER_HOUR, 37800);
		change(&zones[2], sunday(year, 10, 1) * SECS_PER_DAY - 30600, 39600);
	}
	change(&zones[4], utc(2026, 12, 30, 10, 0), 50400);
	change(&zones[5], utc(2026, 12, 30, 12, 0), -43200);
	for (int i = 0; i < 100; i++)
		change(&zones[6], utc(2026, 6, 1, 0, 0) + i * 5 * SECS_PER_HOUR + (i % 3) * 1740, (long) (i * 7919 % 120 - 60) * 60);
}

pg_tz *
pg_tzset(const char *name)
{
	for (int i = 0; i < lengthof(zones); i++)
	{
		if (strcasecmp(zones[i].name, name) == 0)
			return &zones[i];
	}
	return NULL;
}

bool
pg_tz_acceptable(pg_tz *zone)
{
	return true;
}

const char *
pg_get_timezone_name(pg_tz *zone)
{
	return zone->name;
}

struct pg_tzenum
{
	int			next;
};

pg_tzenum *
pg_tzenumerate_start(void)
{
	return palloc0(sizeof(pg_tzenum));
}

pg_tz *
pg_tzenumerate_next(pg_tzenum *dir)
{
	return dir->next < lengthof(zones) ? &zones[dir->next++] : NULL;
}

void
pg_tzenumerate_end(pg_tzenum *dir)
{
	pfree(dir);
}

int
pg_next_dst_boundary(const pg_time_t *timep, long int *before_gmtoff, int *before_isdst,
					 pg_time_t *boundary, long int *after_gmtoff, int *after_isdst, const pg_tz *zone)
{
	*before_gmtoff = zone->offset;
	for (int i = 0; i < zone->count; i++)
	{
		if (zone->changes[i].at > *timep)
		{
			*boundary = zone->changes[i].at;
			*after_gmtoff = zone->changes[i].offset;
			return 1;
		}
		*before_gmtoff = zone->changes[i].offset;
	}
	return 0;
}

static long
offset_at(const pg_tz *zone, int64 at)
{
	long		offset = zone->offset;

	for (int i = 0; i < zone->count && zone->changes[i].at <= at; i++)
		offset = zone->changes[i].offset;
	return offset;
}

uint32
hash_bytes_uint32(uint32 k)
{
	return k * 2654435761U;
}

int
pg_mbcliplen(const char *text, int len, int limit)
{
	return Min(len, limit);
}

char *
asc_tolower(const char *text, size_t len)
{
	char	   *lower = pnstrdup(text, len);

	for (char *p = lower; *p != '\0'; p++)
		*p = pg_ascii_tolower((unsigned char) *p);
	return lower;
}

const char *
quote_identifier(const char *name)
{
	StringInfoData buf;

	if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789")] == '\0' && strchr("0123456789", name[0]) == NULL)
		return name;
	initStringInfo(&buf);
	appendStringInfoChar(&buf, '"');
	for (; *name != '\0'; name++)
	{
		if (*name == '"')
			appendStringInfoChar(&buf, '"');
		appendStringInfoChar(&buf, *name);
	}
	appendStringInfoChar(&buf, '"');
	return buf.data;
}

/* As in utils/adt/varlena.c, but for truncation. */
bool
SplitIdentifierString(char *raw, char separator, List **names)
{
	char	   *next = raw;
	bool		done = false;

	*names = NIL;
	next += strspn(next, " \t\n\r\f\v");
	if (*next == '\0')
		return true;
	do
	{
		char	   *name = next;
		char	   *end;

		if (*next == '"')
		{
			name = next + 1;
			for (;;)
			{
				end = strchr(next + 1, '"');
				if (end == NULL)
					return false;
				if (end[1] != '"')
					break;
				memmove(end, end + 1, strlen(end));
				next = end;
			}
			next = end + 1;
		}
		else
		{
			while (*next != '\0' && *next != separator && strchr(" \t\n\r\f\v", *next) == NULL)
			{
				*next = pg_ascii_tolower((unsigned char) *next);
				next++;
			}
			end = next;
			if (name == next)
				return false;
		}
		next += strspn(next, " \t\n\r\f\v");
		if (*next == separator)
		{
			next++;
			next += strspn(next, " \t\n\r\f\v");
		}
		else if (*next == '\0')
			done = true;
		else
			return false;
		*end = '\0';
		*names = lappend(*names, name);
	} while (!done);
	return true;
}

/* ----------------------------------------------------------------
 *		Texts
 * ----------------------------------------------------------------
 */

static void
test_a_text_has_one_stored_form(void)
{
	static const struct
	{
		const char *text;
		const char *stored;
		ScheduleKind kind;
	}			cases[] = {
		{"manual", "manual", SCHEDULE_MANUAL},
		{" Manual\n", "manual", SCHEDULE_MANUAL},
		{"15 minutes", "15 minutes", SCHEDULE_INTERVAL},
		{"15minutes", "15 minutes", SCHEDULE_INTERVAL},
		{"1 HOUR  30 minutes", "1 hour 30 minutes", SCHEDULE_INTERVAL},
		{"90 s", "1 minute 30 seconds", SCHEDULE_INTERVAL},
		{"1 s", "1 second", SCHEDULE_INTERVAL},
		{"1.5 hours", "1 hour 30 minutes", SCHEDULE_INTERVAL},
		{"24 hours", "1 day", SCHEDULE_INTERVAL},
		{"2 weeks", "14 days", SCHEDULE_INTERVAL},
		{"365 days", "365 days", SCHEDULE_INTERVAL},
		{"1m1m", "2 minutes", SCHEDULE_INTERVAL},
		{"0 7 * * 1-5", "0 7 * * 1-5 Test/Paris", SCHEDULE_CRON},
		{"0 7 * * 1-5 utc", "0 7 * * 1-5 UTC", SCHEDULE_CRON},
		{"\t0  7 * * mon-fri   test/lord_howe ", "0 7 * * mon-fri Test/Lord_Howe", SCHEDULE_CRON},
		{"@Daily", "@daily Test/Paris", SCHEDULE_CRON},
		{"@hourly UTC", "@hourly UTC", SCHEDULE_CRON},
		{"after a", "after a", SCHEDULE_AFTER},
		{"AFTER A ,  \"B c\"", "after a, \"B c\"", SCHEDULE_AFTER},
		{"after\"x\"\"y\"", "after \"x\"\"y\"", SCHEDULE_AFTER}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		Schedule   *schedule = act_schedule_parse(cases[i].text, "Test/Paris");
		Schedule   *again = act_schedule_parse(schedule->text, "UTC");

		check_at(schedule->kind == cases[i].kind, __LINE__, cases[i].text);
		check_text_at(schedule->text, cases[i].stored, cases[i].text, __LINE__);
		check_text_at(again->text, schedule->text, cases[i].text, __LINE__);
		check_at(again->interval == schedule->interval && again->zone == schedule->zone, __LINE__, cases[i].text);
	}
}

static void
test_a_wrong_text_says_what_is_wrong(void)
{
	static const struct
	{
		const char *text;
		const char *says;		/* message or detail */
		const char *hint;		/* a part of it */
	}			cases[] = {
		{"", "unknown schedule \"\"", "'15 minutes'"},
		{"often", "unknown schedule \"often\"", "'after other_sync'"},
		{"manuel", "unknown schedule \"manuel\"", "'manual'"},
		{"every 5 minutes", "unknown schedule \"every 5 minutes\"", "'15 minutes'"},
		{"-5 minutes", "unknown schedule \"-5 minutes\"", "'15 minutes'"},
		{"15", "After \"15\" a unit is missing.", "'15 minutes'"},
		{"15 furlongs", "\"furlongs\" is no unit.", "weeks"},
		{"1 hour -5 minutes", "\"-5 minutes\" is no number.", "'15 minutes'"},
		{"1.. hour", "\"1.. hour\" is no number.", "'15 minutes'"},
		{"12345678901 s", "\"12345678901 s\" is no number.", "'15 minutes'"},
		{"1 month", "Months and years differ in length.", "cron"},
		{"1 year", "Months and years differ in length.", "cron"},
		{"0 seconds", "An interval is at least one second.", "'15 minutes'"},
		{"0.5 s", "An interval is at least one second.", "'15 minutes'"},
		{"1.5 s", "An interval is a whole number of seconds.", "'15 minutes'"},
		{"366 days", "An interval is at most 365 days.", "'15 minutes'"},
		{"365 days 1 s", "An interval is at most 365 days.", "'15 minutes'"},
		{"* * * *", "It has 4 fields, and cron has five: minute, hour, day of month, month, day of week.", "Europe/Paris"},
		{"*", "It has 1 field, and cron has five: minute, hour, day of month, month, day of week.", "Europe/Paris"},
		{"0 0 7 * * 1-5", "It has six fields, and cron has five: minute, hour, day of month, month, day of week.", "'30 seconds'"},
		{"60 * * * *", "\"60\" is no minute: that is a number from 0 to 59.", NULL},
		{"99999 * * * *", "\"99999\" is no minute: that is a number from 0 to 59.", NULL},
		{"* 24 * * *", "\"24\" is no hour: that is a number from 0 to 23.", NULL},
		{"* * 0 * *", "\"0\" is no day of month: that is a number from 1 to 31.", NULL},
		{"* * L * *", "\"L\" is no day of month: that is a number from 1 to 31.", NULL},
		{"* * * 13 *", "\"13\" is no month: that is a number from 1 to 12, or a name such as feb.", NULL},
		{"* * * januar *", "\"januar\" is no month: that is a number from 1 to 12, or a name such as feb.", NULL},
		{"* * * * 8", "\"8\" is no day of week: that is a number from 0 to 7, or a name such as mon.", NULL},
		{"* * * * mon#2", "\"mon#2\" is no day of week: that is a number from 0 to 7, or a name such as mon.", NULL},
		{"mon * * * *", "\"mon\" is no minute: that is a number from 0 to 59.", NULL},
		{"1,,2 * * * *", "The minute \"1,,2\" has an empty place in its list.", NULL},
		{", * * * *", "The minute \",\" has an empty place in its list.", NULL},
		{"*,1, * * * *", "The minute \"*,1,\" has an empty place in its list.", NULL},
		{"5/15 * * * *", "\"5/15\" of the minute has a step, but no range.", "Write 5-59/15."},
		{"* 22-6 * * *", "Range \"22-6\" of the hour ends before it begins.", "Write 22-23,0-6."},
		{"* * * * fri-tue", "Range \"fri-tue\" of the day of week ends before it begins.", "Write 5-6,0-2."},
		{"*/0 * * * *", "Step \"0\" of the minute is no number from 1 to 59.", NULL},
		{"*/x * * * *", "Step \"x\" of the minute is no number from 1 to 59.", NULL},
		{"*/99 * * * *", "Step \"99\" of the minute is no number from 1 to 59.", NULL},
		{"** * * * *", "\"**\" is no minute: that is a number from 0 to 59.", NULL},
		{"1- * * * *", "\"1-\" is no minute: that is a number from 0 to 59.", NULL},
		{"0 0 30 2 *", "No year has day 30 of month 2.", NULL},
		{"0 0 31 4,jun,9,11 *", "No year has day 31 of month 4,jun,9,11.", NULL},
		{"@dayly", "\"@dayly\" is not known.", "@daily"},
		{"@reboot", "\"@reboot\" is not known.", "@hourly"},
		{"@daily UTC UTC", "\"UTC\" stands after its time zone.", NULL},
		{"* * * * * Nowhere/AtAll", "unknown time zone \"Nowhere/AtAll\" in schedule \"* * * * * Nowhere/AtAll\"", "pg_timezone_names"},
		{"* * * * * paris", "unknown time zone \"paris\" in schedule \"* * * * * paris\"", "Perhaps you meant Test/Paris."},
		{"* * * * * test/pariss", "unknown time zone \"test/pariss\" in schedule \"* * * * * test/pariss\"", "Perhaps you meant Test/Paris."},
		{"* * * * * UTC+3", "\"UTC+3\" is no name of a time zone.", "Etc/GMT-3"},
		{"after", "After \"after\" the names of syncs are expected, with commas between them.", "'after a, b'"},
		{"after a b", "After \"after\" the names of syncs are expected, with commas between them.", "'after a, b'"},
		{"after a,", "After \"after\" the names of syncs are expected, with commas between them.", "'after a, b'"},
		{"after \"a", "After \"after\" the names of syncs are expected, with commas between them.", "'after a, b'"},
		{"after a, A", "It names \"a\" twice.", "Name it once."}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		check_at(THROWS(act_schedule_parse(cases[i].text, "UTC")), __LINE__, cases[i].text);
		check_at(stub_error.sqlstate == ERRCODE_INVALID_PARAMETER_VALUE, __LINE__, cases[i].text);
		check_text_at(stub_error.detail[0] != '\0' ? stub_error.detail : stub_error.message,
					  cases[i].says, cases[i].text, __LINE__);
		check_at(strstr(stub_error.hint, cases[i].hint ? cases[i].hint : "") != NULL && stub_error.hint[0] != '\0',
				 __LINE__, cases[i].text);
	}
	CHECK(THROWS(act_schedule_parse("live", "UTC")) && stub_error.sqlstate == ERRCODE_FEATURE_NOT_SUPPORTED);
	{
		char	   *text = palloc(1000001);

		memset(text, '1', 1000000);
		text[1000000] = '\0';
		CHECK(THROWS(act_schedule_parse(text, "UTC")) && strlen(stub_error.message) < 200);
	}
}

/* ----------------------------------------------------------------
 *		Times
 * ----------------------------------------------------------------
 */

static TimestampTz
timestamp(int64 seconds)
{
	return (seconds - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * INT64CONST(86400)) * USECS_PER_SEC;
}

static int64
seconds_of(TimestampTz at)
{
	return at / USECS_PER_SEC + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * INT64CONST(86400);
}

/* When the clocks change, said in so many words. */
static void
test_starts_when_clocks_change(void)
{
	static const struct
	{
		const char *text;
		int			from[5];	/* UTC */
		int			starts[4][5];
	}			cases[] = {
		/* 2026-03-29 02:00 to 03:00 does not exist in Paris: fixed times once, right after it */
		{"30 2 * * * Test/Paris", {2026, 3, 27, 12, 0},
		{{2026, 3, 28, 1, 30}, {2026, 3, 29, 1, 0}, {2026, 3, 30, 0, 30}}},
		{"0,30 2,3 * * * Test/Paris", {2026, 3, 29, 0, 0},
		{{2026, 3, 29, 1, 0}, {2026, 3, 29, 1, 30}, {2026, 3, 30, 0, 0}}},
		{"0 3 * * * Test/Paris", {2026, 3, 28, 12, 0}, {{2026, 3, 29, 1, 0}, {2026, 3, 30, 1, 0}}},
		/* the others go by the clock */
		{"30 * * * * Test/Paris", {2026, 3, 29, 0, 0},
		{{2026, 3, 29, 0, 30}, {2026, 3, 29, 1, 30}, {2026, 3, 29, 2, 30}}},
		{"*/15 2 * * * Test/Paris", {2026, 3, 28, 12, 0}, {{2026, 3, 30, 0, 0}, {2026, 3, 30, 0, 15}}},
		{"0 */2 * * * Test/Paris", {2026, 3, 28, 22, 30}, {{2026, 3, 28, 23, 0}, {2026, 3, 29, 2, 0}}},
		/* 2026-10-25 02:00 to 03:00 comes twice: fixed times the first time */
		{"30 2 * * * Test/Paris", {2026, 10, 24, 12, 0}, {{2026, 10, 25, 0, 30}, {2026, 10, 26, 1, 30}}},
		{"30 2 * * * Test/Paris", {2026, 10, 25, 1, 0}, {{2026, 10, 26, 1, 30}}},
		{"30 * * * * Test/Paris", {2026, 10, 25, 0, 0},
		{{2026, 10, 25, 0, 30}, {2026, 10, 25, 1, 30}, {2026, 10, 25, 2, 30}}},
		{"0 */2 * * * Test/Paris", {2026, 10, 24, 23, 0},
		{{2026, 10, 25, 0, 0}, {2026, 10, 25, 1, 0}, {2026, 10, 25, 3, 0}}},
		/* half an hour is left out, and shown twice */
		{"15 2 * * * Test/Lord_Howe", {2026, 10, 3, 14, 0}, {{2026, 10, 3, 15, 30}, {2026, 10, 4, 15, 15}}},
		{"45 1 * * * Test/Lord_Howe", {2026, 4, 4, 12, 0}, {{2026, 4, 4, 14, 45}, {2026, 4, 5, 15, 15}}},
		/* a whole day is, with its start */
		{"0 7 * * * Test/Apia", {2026, 12, 29, 18, 0}, {{2026, 12, 30, 10, 0}, {2026, 12, 30, 17, 0}}},
		{"0 7 * * * Test/Kwajalein", {2026, 12, 28, 20, 0}, {{2026, 12, 29, 19, 0}, {2026, 12, 31, 19, 0}}},
		/* 29 February, and one that is a Monday */
		{"0 0 29 2 * UTC", {2026, 1, 1, 0, 0}, {{2028, 2, 29, 0, 0}, {2032, 2, 29, 0, 0}}},
		{"0 0 29 2 */7 UTC", {2026, 1, 1, 0, 0}, {{2032, 2, 29, 0, 0}, {2060, 2, 29, 0, 0}, {2088, 2, 29, 0, 0}}},
		{"0 0 29 2 */7 UTC", {2088, 3, 1, 0, 0}, {{2128, 2, 29, 0, 0}}},
		/* either of day and weekday; both where one begins with a star */
		{"0 0 13 * fri UTC", {2026, 1, 8, 0, 0}, {{2026, 1, 9, 0, 0}, {2026, 1, 13, 0, 0}, {2026, 1, 16, 0, 0}}},
		{"0 0 */13 * fri UTC", {2026, 1, 1, 0, 0}, {{2026, 2, 27, 0, 0}, {2026, 3, 27, 0, 0}, {2026, 5, 1, 0, 0}}},
		{"0 0 * * 7 UTC", {2026, 1, 1, 0, 0}, {{2026, 1, 4, 0, 0}, {2026, 1, 11, 0, 0}}},
		{"0 0 * * Fri-Sun UTC", {2026, 1, 1, 0, 0}, {{2026, 1, 2, 0, 0}, {2026, 1, 3, 0, 0}, {2026, 1, 4, 0, 0}, {2026, 1, 9, 0, 0}}},
		{"0 0 13 * 0-6 UTC", {2026, 1, 1, 0, 0}, {{2026, 1, 13, 0, 0}, {2026, 2, 13, 0, 0}}},
		{"@weekly UTC", {2026, 1, 1, 0, 0}, {{2026, 1, 4, 0, 0}}},
		{"@yearly UTC", {2026, 1, 1, 0, 0}, {{2027, 1, 1, 0, 0}, {2028, 1, 1, 0, 0}}}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		Schedule   *schedule = act_schedule_parse(cases[i].text, "UTC");
		const int  *from = cases[i].from;
		TimestampTz at = timestamp(utc(from[0], from[1], from[2], from[3], from[4]));

		for (int j = 0; j < 4 && cases[i].starts[j][0] != 0; j++)
		{
			const int  *start = cases[i].starts[j];
			TimestampTz wanted = timestamp(utc(start[0], start[1], start[2], start[3], start[4]));
			bool		found = act_schedule_next(schedule, 0, 1, at, &at);

			check_at(found && at == wanted, __LINE__, cases[i].text);
			if (found && at != wanted)
				fprintf(stderr, "  start %d is %g minutes later than it should be\n", j,
						(double) (at - wanted) / USECS_PER_MINUTE);
			at = wanted;
		}
	}
}

/* ---- a walk over every minute ---- */

typedef struct Wanted
{
	bool		minute[60];
	bool		hour[24];
	bool		day[32];
	bool		month[13];
	bool		weekday[7];
	bool		fixed;
	bool		both;
} Wanted;

/* A random field: its text, and what it should mean. */
static bool
make_field(StringInfo text, int min, int max, bool *set, int most)
{
	int			kind = next_random(6);
	int			first = min + next_random(Min(max - min, most) + 1);
	int			last = first + next_random(max - first + 1);
	int			step = 1 + next_random(Max(max / 3, 2));

	if (text->len > 0)
		appendStringInfoChar(text, ' ');
	switch (kind)
	{
		case 0:
			appendStringInfoChar(text, '*');
			first = min;
			last = max;
			step = 1;
			break;
		case 1:
			appendStringInfo(text, "*/%d", step);
			first = min;
			last = max;
			break;
		case 2:
			appendStringInfo(text, "%d-%d/%d", first, last, step);
			break;
		case 3:
			appendStringInfo(text, "%d-%d", first, last);
			step = 1;
			break;
		case 4:
			appendStringInfo(text, "%d,%d", last, first);
			set[last] = true;
			last = first;
			break;
		default:
			appendStringInfo(text, "%d", first);
			last = first;
	}
	for (int i = first; i <= last; i += step)
		set[i] = true;
	return kind <= 2;
}

static char *
make_cron(Wanted *wanted)
{
	StringInfoData text;
	bool		by_clock;
	bool		weekdays[8] = {false};
	bool		all_minutes = true;
	bool		all_hours = true;
	bool		star_day;

	memset(wanted, 0, sizeof(*wanted));
	initStringInfo(&text);
	by_clock = make_field(&text, 0, 59, wanted->minute, 59);
	by_clock |= make_field(&text, 0, 23, wanted->hour, 4);
	if (next_random(2) == 0)
	{
		appendStringInfoString(&text, " * * *");
		memset(wanted->day, true, sizeof(wanted->day));
		memset(wanted->month, true, sizeof(wanted->month));
		memset(weekdays, true, sizeof(weekdays));
		star_day = true;
	}
	else
	{
		int			begin = text.len + 1;

		(void) make_field(&text, 1, 31, wanted->day, 31);
		star_day = text.data[begin] == '*';
		(void) make_field(&text, 1, 12, wanted->month, 12);
		begin = text.len + 1;
		(void) make_field(&text, 0, 7, weekdays, 7);
		star_day |= text.data[begin] == '*';
	}
	for (int i = 0; i < 8; i++)
		wanted->weekday[i % 7] |= weekdays[i];
	star_day |= memchr(wanted->weekday, false, sizeof(wanted->weekday)) == NULL ||
		memchr(wanted->day + 1, false, 31) == NULL;
	for (int i = 0; i < 60; i++)
		all_minutes &= wanted->minute[i];
	for (int i = 0; i < 24; i++)
		all_hours &= wanted->hour[i];
	wanted->fixed = !by_clock && !all_minutes && !all_hours;
	wanted->both = star_day;
	return text.data;
}

static bool
is_wanted(const Wanted *wanted, int64 local)
{
	time_t		seconds = local;
	struct tm	tm;
	bool		day;
	bool		weekday;

	gmtime_r(&seconds, &tm);
	day = wanted->day[tm.tm_mday];
	weekday = wanted->weekday[tm.tm_wday];
	return wanted->minute[tm.tm_min] && wanted->hour[tm.tm_hour] && wanted->month[tm.tm_mon + 1] &&
		(wanted->both ? day && weekday : day || weekday);
}

/* The first start after a minute and before another one; 0: none. */
static int64
walk(const Wanted *wanted, const pg_tz *zone, int64 after, int64 before)
{
	int64		minute = after - after % 60 - 3 * SECS_PER_DAY;
	int64		shown = minute - 60 + offset_at(zone, minute - 60);

	for (int64 last = shown; minute < before; minute += 60)
	{
		int64		local = minute + offset_at(zone, minute);
		bool		start = false;

		if (minute > after && is_wanted(wanted, local) && !(wanted->fixed && local <= shown))
			start = true;
		for (int64 missing = Max(last, shown) + 60; minute > after && wanted->fixed && missing < local; missing += 60)
			start |= is_wanted(wanted, missing);
		if (start)
			return minute;
		shown = Max(shown, local);
		last = local;
	}
	return 0;
}

static void
test_the_search_finds_what_a_walk_finds(void)
{
	for (int i = 0; i < 3000; i++)
	{
		Wanted		wanted;
		const char *text = make_cron(&wanted);
		pg_tz	   *zone = &zones[next_random(lengthof(zones))];
		Schedule   *schedule = NULL;
		int64		after = utc(2026, 1, 1, 0, 0) + next_random(366 * SECS_PER_DAY);
		int64		before;
		int64		found;
		TimestampTz next;

		if (zone->count > 0 && next_random(4) != 0)
		{
			int64		at = zone->changes[next_random(zone->count)].at;

			after = at - SECS_PER_DAY + next_random(2 * SECS_PER_DAY);
		}
		if (THROWS(schedule = act_schedule_parse(text, zone->name)))
		{
			check_at(strstr(stub_error.detail, "No year has") != NULL, __LINE__, text);
			continue;
		}
		before = after + 6 * SECS_PER_DAY;
		found = walk(&wanted, zone, after, before);
		if (!act_schedule_next(schedule, 0, 1, timestamp(after), &next))
			next = timestamp(before);
		check_at(found != 0 ? seconds_of(next) == found : seconds_of(next) >= before - before % 60,
				 __LINE__, schedule->text);
		if (found != 0 && seconds_of(next) != found)
			fprintf(stderr, "  after " INT64_FORMAT " comes " INT64_FORMAT ", and was found " INT64_FORMAT "\n",
					after, found, seconds_of(next));
		stub_reset();
	}
}

static void
test_intervals(void)
{
	Schedule   *schedule = act_schedule_parse("15 minutes", "UTC");
	TimestampTz anchor = timestamp(utc(2026, 11, 22, 12, 0)) + 123456;
	int64		spreads = 0;

	for (int64 sync_id = 1; sync_id <= 200; sync_id++)
	{
		TimestampTz first;
		TimestampTz second;
		int64		spread;

		CHECK(act_schedule_next(schedule, anchor, sync_id, anchor, &first));
		spread = first - anchor - schedule->interval;
		CHECK(spread >= 0 && spread <= SCHEDULE_MAX_SPREAD + USECS_PER_SEC && first % USECS_PER_SEC == 0);
		spreads |= INT64CONST(1) << (spread / USECS_PER_SEC);
		CHECK(act_schedule_next(schedule, anchor, sync_id, first, &second) && second - first == schedule->interval);
		CHECK(act_schedule_next(schedule, anchor, sync_id, first - 1, &second) && second == first);
		/* from long before it there is no other first start */
		CHECK(act_schedule_next(schedule, anchor, sync_id, DT_NOBEGIN, &second) && second == first);
		CHECK(act_schedule_next(schedule, anchor, sync_id, anchor - USECS_PER_DAY, &second) && second == first);
		CHECK(act_schedule_count(schedule, anchor, sync_id, anchor, first, 100) == 1);
		CHECK(act_schedule_count(schedule, anchor, sync_id, first, first + USECS_PER_DAY, 1000) == 96);
		CHECK(act_schedule_count(schedule, anchor, sync_id, first, DT_NOEND, 7) == 7);
	}
	CHECK(__builtin_popcountll(spreads) > 20);

	/* clocks far away: no loop, no overflow */
	for (int i = 0; i < 1000; i++)
	{
		TimestampTz at = (int64) (next_random(UINT64CONST(1) << 63) - (next_random(2) << 62));
		TimestampTz from = (int64) next_random(UINT64CONST(1) << 63) - (INT64CONST(1) << 62);
		TimestampTz next;

		if (act_schedule_next(schedule, at, i, from, &next))
			CHECK(next > from && next < END_TIMESTAMP);
		CHECK(act_schedule_count(schedule, at, i, from, DT_NOEND, 5) <= 5);
	}
	CHECK(!act_schedule_next(schedule, DT_NOEND, 1, anchor, &anchor));
	CHECK(!act_schedule_next(schedule, DT_NOBEGIN, 1, anchor, &anchor));
	CHECK(!act_schedule_next(schedule, anchor, 1, DT_NOEND, &anchor));
	schedule = act_schedule_parse("* * * * *", "Test/Paris");
	CHECK(!act_schedule_next(schedule, anchor, 1, DT_NOEND, &anchor));
	CHECK(!act_schedule_next(schedule, anchor, 1, END_TIMESTAMP - 1, &anchor));
	CHECK(act_schedule_next(schedule, anchor, 1, DT_NOBEGIN, &anchor));
	CHECK(act_schedule_count(schedule, 0, 1, 0, USECS_PER_DAY, 100000) == 1440);
	CHECK(act_schedule_count(schedule, 0, 1, 0, USECS_PER_DAY, 10) == 10);
	CHECK(act_schedule_count(act_schedule_parse("manual", "UTC"), 0, 1, 0, USECS_PER_DAY, 10) == 0);
	CHECK(!act_schedule_next(act_schedule_parse("after a", "UTC"), 0, 1, 0, &anchor));
}

/* ----------------------------------------------------------------
 *		Mutations
 * ----------------------------------------------------------------
 */

static const char *const seeds[] = {
	"manual", "15 minutes", "1 hour 30 minutes", "90 s", "0.5 days", "2 weeks 1 day",
	"0 7 * * 1-5 Test/Paris", "*/15 0-6/2,22,23 1,15 jan-mar,dec mon-fri,7", "59 23 31 12 6 UTC",
	"0 2 29 2 */7 Test/Lord_Howe", "@daily Test/Apia", "@hourly", "@monthly Test/Restless",
	"after a, \"B c\", d", "after \"x\"\"y\""
};

static void
fuzz_once(void)
{
	static const char bytes[] = "0123456789*/,-@ \t\"'abcdefmnosuyAFTER.+<>_\xc3\xa4\x7f";
	const char *seed = seeds[next_random(lengthof(seeds))];
	size_t		len = strlen(seed);
	char	   *text = palloc(len + 32);
	Schedule   *volatile schedule = NULL;
	Schedule   *again;
	TimestampTz at;
	TimestampTz next;

	memcpy(text, seed, len + 1);
	for (int n = next_random(5); n > 0; n--)
	{
		size_t		where = next_random(len + 1);

		if (next_random(3) == 0 && where < len)
			memmove(text + where, text + where + 1, len-- - where);
		else if (next_random(2) == 0 && where < len)
			text[where] = bytes[next_random(sizeof(bytes) - 1)];
		else
		{
			memmove(text + where + 1, text + where, ++len - where);
			text[where] = bytes[next_random(sizeof(bytes) - 1)];
		}
	}
	/* exactly the bytes there are, so that one too many is seen */
	text = memcpy(palloc(len + 1), text, len + 1);

	if (THROWS(schedule = act_schedule_parse(text, "Test/Paris")))
	{
		check_at(stub_error.sqlstate == ERRCODE_INVALID_PARAMETER_VALUE && stub_error.hint[0] != '\0', __LINE__, text);
		return;
	}
	again = act_schedule_parse(schedule->text, "UTC");
	check_at(strcmp(again->text, schedule->text) == 0 && again->kind == schedule->kind &&
			 memcmp(&again->cron, &schedule->cron, sizeof(CronSpec)) == 0, __LINE__, text);

	at = timestamp(utc(1990, 1, 1, 0, 0) + (int64) next_random(INT64CONST(4000000000)));
	if (act_schedule_next(schedule, timestamp(0), 1, at, &next))
	{
		TimestampTz between;

		check_at(next > at, __LINE__, text);
		check_at(act_schedule_next(schedule, timestamp(0), 1, next - 1, &between) && between == next, __LINE__, text);
		check_at(act_schedule_count(schedule, timestamp(0), 1, at, next, 10) == 1, __LINE__, text);
	}
	else
		check_at(schedule->kind == SCHEDULE_MANUAL || schedule->kind == SCHEDULE_AFTER, __LINE__, text);
}

static void
test_mutations(void)
{
	const char *count = getenv("FUZZ");
	const char *seed = getenv("SEED");
	int			n = count == NULL ? 100000 : atoi(count);

	random_state = seed == NULL ? 1 : strtoull(seed, NULL, 10);
	for (int i = 0; i < n; i++)
	{
		fuzz_once();
		stub_reset();
	}
}

#define RUN(test) (test(), stub_reset())

int
main(void)
{
	make_zones();
	RUN(test_a_text_has_one_stored_form);
	RUN(test_a_wrong_text_says_what_is_wrong);
	RUN(test_starts_when_clocks_change);
	RUN(test_the_search_finds_what_a_walk_finds);
	RUN(test_intervals);
	RUN(test_mutations);
	printf("schedule_test: %d checks, %d failed\n", checks, failures);
	return failures > 0;
}
