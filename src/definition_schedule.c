/*-------------------------------------------------------------------------
 *
 * definition_schedule.c
 *	  What the schedule of a definition means to its user and to others.
 *
 * next_runs() and the NOTICE that says when a sync runs; syncs that run after
 * others, which have to exist, must not go round in a circle, and keep those
 * they follow from being dropped.  Inside a transaction with SPI connected;
 * other definitions are read and changed as the extension.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "definition.h"
#include "fault.h"
#include "identity.h"
#include "schedule.h"
#include "transaction.h"
#include "wakeup.h"

PG_FUNCTION_INFO_V1(act_next_runs);

#define RUNS_TOLD 3
#define MAX_NEXT_RUNS 1000

/* Advisory locks of SQL have the classes 1 and 2, those of runs 0xAC71. */
#define CIRCLE_LOCK_CLASS 0xAC72

/* ----------------------------------------------------------------
 *		Planned times
 * ----------------------------------------------------------------
 */

/* What the intervals of a sync count from. */
static TimestampTz
load_anchor(const Sync *sync)
{
	Identity	identity;
	SqlArgument args[] = {SQL_INT8(sync->sync_id)};
	TimestampTz anchor = act_now();

	act_identity_extension(&identity);
	if (act_sql(SPI_OK_SELECT, "SELECT anchor FROM activate.sync_state WHERE sync_id = $1",
				lengthof(args), args) == 1)
	{
		bool		isnull;

		anchor = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	act_identity_leave(&identity);
	return anchor;
}

/* The next planned starts; fewer than asked for where there are no more. */
static int
next_runs(const Sync *sync, const Schedule *schedule, int count, TimestampTz *times)
{
	TimestampTz anchor = load_anchor(sync);
	TimestampTz later_than = act_now();

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!act_schedule_next(schedule, anchor, sync->sync_id, later_than, &times[i]))
			return i;
		later_than = times[i];
	}
	return count;
}

Datum
act_next_runs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz *times;
	Sync	   *sync;
	int			wanted;
	int			count;

	act_require_argument(PG_ARGISNULL(0), "name", "SELECT * FROM activate.next_runs('customer_health');");
	act_require_argument(PG_ARGISNULL(1), "n", "Leave it out for the default: 3.");
	wanted = PG_GETARG_INT32(1);
	if (wanted < 0 || wanted > MAX_NEXT_RUNS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("n is %d, and can be from 0 to %d", wanted, MAX_NEXT_RUNS),
				 errhint("SELECT * FROM activate.next_runs(..., n => 3);")));
	act_compat_materialize_scalar(fcinfo);

	SPI_connect();
	sync = act_sync_load(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);
	times = palloc(sizeof(TimestampTz) * Max(wanted, 1));
	count = next_runs(sync, act_schedule_parse(sync->schedule, sync->time_zone), wanted, times);
	for (int i = 0; i < count; i++)
	{
		Datum		value = TimestampTzGetDatum(times[i]);
		bool		isnull = false;

		tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
	SPI_finish();
	return (Datum) 0;
}

/* "a", "b" and "c" */
static void
append_in_list(StringInfo buf, int i, int count, const char *text)
{
	appendStringInfo(buf, "%s%s", i == 0 ? "" : i == count - 1 ? " and " : ", ", text);
}

/* To the second, in the session's time zone. */
static char *
list_times(int count, const TimestampTz *times)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < count; i++)
	{
		TimestampTz seconds = times[i] - times[i] % USECS_PER_SEC;

		append_in_list(&buf, i, count,
					   DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(seconds))));
	}
	return buf.data;
}

static char *
list_names(const List *names)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(names); i++)
		append_in_list(&buf, i, list_length(names), psprintf("\"%s\"", (char *) list_nth(names, i)));
	return buf.data;
}

static void
tell_times(const Sync *sync, const Schedule *schedule)
{
	TimestampTz times[RUNS_TOLD];
	int			count = next_runs(sync, schedule, RUNS_TOLD, times);

	if (count > 0)
		ereport(NOTICE,
				(errmsg("sync \"%s\" runs next at %s", sync->name, list_times(count, times))));
	else
		ereport(NOTICE,
				(errmsg("schedule \"%s\" of sync \"%s\" names no time in the next fifty years",
						sync->schedule, sync->name)));
}

void
act_definition_tell_schedule(const Sync *sync)
{
	Schedule   *schedule = act_schedule_parse(sync->schedule, sync->time_zone);
	const char *hint;
	const char *problem = act_workers_problem(&hint);

	if (schedule->kind == SCHEDULE_MANUAL)
		ereport(NOTICE,
				(errmsg("sync \"%s\" runs only when called", sync->name),
				 errhint("CALL activate.run_sync(%s);", quote_literal_cstr(sync->name))));
	else if (problem != NULL)
		ereport(NOTICE,
				(errmsg("%s: syncs run only by CALL activate.run_sync()", problem),
				 errhint("%s", hint)));
	else if (schedule->kind == SCHEDULE_AFTER)
		ereport(NOTICE,
				(errmsg(list_length(schedule->after) == 1 ?
						"sync \"%s\" runs after each successful run of %s" :
						"sync \"%s\" runs once each of %s has run successfully",
						sync->name, list_names(schedule->after))));
	else
		tell_times(sync, schedule);
}

/* ----------------------------------------------------------------
 *		Syncs after others
 * ----------------------------------------------------------------
 */

typedef struct Follower
{
	int64		sync_id;
	char	   *name;
	List	   *after;			/* of char * */
	struct Follower *leads_to;	/* on the way that is searched */
	bool		seen;
} Follower;

/* All syncs that run after others, by name. */
static List *
load_followers(void)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext inside;
	Identity	identity;
	List	   *followers = NIL;
	uint64		count;

	act_identity_extension(&identity);
	count = act_sql(SPI_OK_SELECT,
					"SELECT sync_id, name, schedule FROM activate.sync"
					" WHERE pg_catalog.starts_with(schedule, 'after ') ORDER BY name", 0, NULL);
	inside = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < count; i++)
	{
		Follower   *follower = palloc0(sizeof(Follower));

		CHECK_FOR_INTERRUPTS();
		follower->sync_id = act_sql_int64(i, 1);
		follower->name = act_sql_text(i, 2);
		follower->after = act_schedule_parse(act_sql_text(i, 3), "UTC")->after;
		followers = lappend(followers, follower);
	}
	MemoryContextSwitchTo(inside);
	act_identity_leave(&identity);
	return followers;
}

static bool
follows(const Follower *follower, const char *name)
{
	ListCell   *cell;

	foreach(cell, follower->after)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	}
	return false;
}

/*
 * "a" after "b", "b" after "c", "c" after "a": from the last of the way back
 * to where it began.
 */
static void
refuse_circle(const Sync *sync, const char *name, const Follower *last)
{
	StringInfoData way;
	const char *to = name;

	initStringInfo(&way);
	for (const Follower *step = last; step != NULL; step = step->leads_to)
	{
		char	   *before = pstrdup(way.data);

		resetStringInfo(&way);
		appendStringInfo(&way, "\"%s\" after \"%s\"%s%s", step->name, to, before[0] != '\0' ? ", " : "", before);
		to = step->name;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("sync \"%s\" would run after itself", sync->name),
			 errdetail("\"%s\" after \"%s\", %s.", name, to, way.data),
			 errhint("Give one of them a time: SELECT activate.alter_sync(%s, schedule => '15 minutes');",
					 quote_literal_cstr(last->name))));
}

/*
 * Whether those that a sync is to follow follow it already, over however many
 * others: breadth first, so that the shortest way is told.  name: as it is
 * stored.
 */
static void
refuse_circles(const Sync *sync, const char *name, const List *after)
{
	List	   *followers = load_followers();
	List	   *todo = NIL;
	ListCell   *cell;

	foreach(cell, followers)
	{
		Follower   *follower = lfirst(cell);

		for (int i = 0; i < list_length(after); i++)
		{
			if (strcmp(follower->name, list_nth(after, i)) == 0)
			{
				follower->seen = true;
				todo = lappend(todo, follower);
			}
		}
	}
	for (int i = 0; i < list_length(todo); i++)
	{
		Follower   *follower = list_nth(todo, i);

		CHECK_FOR_INTERRUPTS();
		if (follows(follower, name))
			refuse_circle(sync, name, follower);
		foreach(cell, followers)
		{
			Follower   *further = lfirst(cell);

			if (further->seen || !follows(follower, further->name))
				continue;
			further->seen = true;
			further->leads_to = follower;
			todo = lappend(todo, further);
		}
	}
}

/*
 * Two who make different parts of one circle meet nowhere else.  Until the end
 * of the transaction.
 */
static void
lock_circles(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, CIRCLE_LOCK_CLASS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

void
act_definition_check_schedule(const Sync *sync, const char *stored_name)
{
	Schedule   *schedule = act_schedule_parse(sync->schedule, sync->time_zone);
	ListCell   *cell;

	/* A new sync is followed by nobody. */
	if (schedule->kind == SCHEDULE_AFTER && stored_name != NULL)
		lock_circles();
	foreach(cell, schedule->after)
	{
		const char *name = lfirst(cell);

		if (strcmp(name, sync->name) == 0 || (stored_name != NULL && strcmp(name, stored_name) == 0))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("sync \"%s\" would run after itself", sync->name),
					 errhint("Name another sync, or give it a time: schedule => '15 minutes'.")));
		/* Neither dropped nor renamed until it is stored who follows it. */
		(void) act_sync_load_locked(name, false, false);
	}
	if (schedule->kind == SCHEDULE_AFTER && stored_name != NULL)
		refuse_circles(sync, stored_name, schedule->after);
}

void
act_definition_rename_followed(const char *old_name, const char *new_name)
{
	List	   *followers = load_followers();
	ListCell   *cell;

	foreach(cell, followers)
	{
		Follower   *follower = lfirst(cell);
		Identity	identity;
		ListCell   *name;

		if (!follows(follower, old_name))
			continue;
		foreach(name, follower->after)
		{
			if (strcmp(lfirst(name), old_name) == 0)
				lfirst(name) = pstrdup(new_name);
		}

		act_identity_extension(&identity);
		{
			SqlArgument args[] = {
				SQL_INT8(follower->sync_id),
				SQL_TEXT(act_schedule_after_text(follower->after))
			};

			act_sql(SPI_OK_UPDATE, "UPDATE activate.sync SET schedule = $2 WHERE sync_id = $1",
					lengthof(args), args);
		}
		act_identity_leave(&identity);
	}
}

void
act_definition_refuse_followed(const Sync *sync)
{
	List	   *followers = load_followers();
	List	   *names = NIL;
	ListCell   *cell;

	foreach(cell, followers)
	{
		Follower   *follower = lfirst(cell);

		if (follower->sync_id != sync->sync_id && follows(follower, sync->name))
			names = lappend(names, follower->name);
	}
	if (names == NIL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("sync \"%s\" cannot be dropped because others run after it", sync->name),
			 errdetail("After it %s %s.", list_length(names) == 1 ? "runs" : "run", list_names(names)),
			 errhint("SELECT activate.alter_sync(%s, schedule => 'manual'); or drop %s first.",
					 quote_literal_cstr(linitial(names)), list_length(names) == 1 ? "it" : "them")));
}
