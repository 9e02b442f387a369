/*-------------------------------------------------------------------------
 *
 * sync_due.c
 *	  Which syncs are due, and when the next one is.
 *
 * One statement finds all that could be: syncs that are called only, and not
 * queued, are none of them.  What it finds is judged here, row by row: whether
 * the sync may run on this server, and what its destination lets it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "destination_state.h"
#include "fault.h"
#include "identity.h"
#include "settings.h"
#include "sync_state_private.h"

/* A restore brings definitions first, and their states soon after. */
#define RESTORE_TIME (2 * USECS_PER_MINUTE)

/* Until the one that tries has begun, or somebody else is asked for. */
#define TRIAL_PAUSE USECS_PER_SEC

typedef struct Candidate
{
	DueSync		due;
	char	   *schedule;
	char	   *time_zone;
	char	   *destination;
	SyncState	state;			/* as it was read; not locked */
	TimestampTz queued_at;
	DestinationState bar;		/* what its destination lets workers do */
	bool		closed;			/* its destination is, for all but who asks by name */
	bool		after;			/* what it follows has succeeded */
	bool		stateless;		/* a dump's, perhaps */
} Candidate;

#define CANDIDATES_SQL \
	"SELECT s.sync_id, s.name, s.schedule, s.time_zone, s.destination," \
	" COALESCE((s.options ->> 'priority')::pg_catalog.int4, 0)," \
	" s.system_identifier, s.database_oid, s.host," \
	" t.next_run_at, t.retry_at, w.queued_at, t.after_runs," \
	" COALESCE(d.closed, false), t.sync_id IS NULL," \
	" t.waiting, t.retry_rows, t.ids_seen, m.ids_sum, t.model_problem_since," DESTINATION_STATE_COLUMNS \
	" FROM activate.sync AS s LEFT JOIN activate.sync_state AS t USING (sync_id)" \
	" LEFT JOIN activate.destination_state AS d ON d.destination = s.destination" \
	" LEFT JOIN (SELECT r.sync_id, pg_catalog.min(r.queued_at) AS queued_at," \
	" pg_catalog.bool_or(r.status = 'running') AS running" \
	" FROM activate.run AS r WHERE r.status IN ('queued', 'running') GROUP BY r.sync_id) AS w" \
	" ON w.sync_id = s.sync_id" \
	" LEFT JOIN (SELECT f.sync_id, pg_catalog.sum(q.ids_moved)::pg_catalog.int8 AS ids_sum" \
	" FROM activate.sync_reference AS f JOIN activate.sync AS p ON p.name = f.referenced_sync" \
	" JOIN activate.sync_state AS q ON q.sync_id = p.sync_id GROUP BY f.sync_id) AS m" \
	" ON m.sync_id = s.sync_id" \
	" WHERE NOT s.paused AND w.running IS NOT TRUE AND (t.next_run_at IS NOT NULL OR t.retry_at IS NOT NULL" \
	" OR w.queued_at IS NOT NULL OR t.after_runs IS NOT NULL OR t.sync_id IS NULL" \
	" OR (t.waiting AND m.ids_sum > t.ids_seen))"

/* The same server is asked about for each of them. */
typedef struct Home
{
	int64		system_identifier;
	Oid			database;
	char	   *host;
	const char *problem;		/* NULL: the right one */
} Home;

static bool
is_home(List **homes, uint64 row)
{
	int64		system_identifier = act_sql_int64(row, 7);
	Oid			database = (Oid) act_sql_int64(row, 8);
	char	   *host = act_sql_text(row, 9);
	const char *hint;
	ListCell   *cell;
	Home	   *home;

	foreach(cell, *homes)
	{
		home = lfirst(cell);
		if (home->system_identifier == system_identifier && home->database == database &&
			strcmp(home->host, host) == 0)
			return home->problem == NULL;
	}
	home = palloc(sizeof(Home));
	home->system_identifier = system_identifier;
	home->database = database;
	home->host = host;
	home->problem = act_sync_home_problem(system_identifier, database, host, &hint);
	*homes = lappend(*homes, home);
	return home->problem == NULL;
}

static Candidate *
read_candidate(uint64 row, TimestampTz now)
{
	Candidate  *candidate = palloc0(sizeof(Candidate));

	candidate->due.sync_id = candidate->state.sync_id = act_sql_int64(row, 1);
	candidate->due.name = act_sql_text(row, 2);
	candidate->schedule = act_sql_text(row, 3);
	candidate->time_zone = act_sql_text(row, 4);
	candidate->destination = act_sql_text(row, 5);
	candidate->due.priority = (int) act_sql_int64(row, 6);
	candidate->state.next_run_at = act_sync_state_time(row, 10);
	candidate->state.retry_at = act_sync_state_time(row, 11);
	candidate->queued_at = act_sync_state_time(row, 12);
	act_sync_state_read_runs(&candidate->state, row, 13);
	candidate->closed = act_sql_bool(row, 14);
	candidate->stateless = act_sql_bool(row, 15);
	candidate->state.waiting = act_sql_bool(row, 16);
	candidate->state.retry_rows = act_sql_bool(row, 17);
	candidate->state.ids_seen = act_sql_int64(row, 18);
	candidate->state.ids_sum = act_sql_int64(row, 19);
	candidate->state.model_problem_since = act_sync_state_time(row, 20);
	candidate->bar = act_destination_state_read(row, 21, now);
	candidate->due.retry_at = candidate->state.retry_at;
	return candidate;
}

static List *
read_candidates(TimestampTz now)
{
	List	   *candidates = NIL;
	List	   *homes = NIL;
	ListCell   *cell;
	uint64		count = act_sql(SPI_OK_SELECT, CANDIDATES_SQL, 0, NULL);

	for (uint64 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_home(&homes, i))
			candidates = lappend(candidates, read_candidate(i, now));
	}
	foreach(cell, homes)
	{
		const Home *home = lfirst(cell);

		if (home->problem != NULL)
			act_cluster_note_fenced(home->problem);
	}
	return candidates;
}

/*
 * Planned times of syncs without any begin now, but not while a restore may
 * be about to bring them.  Returns when to look again (PG_INT64_MAX: never).
 */
static TimestampTz
give_states(List *candidates, TimestampTz now)
{
	static TimestampTz since = 0;
	bool		any = false;
	bool		now_is_time = since != 0 && now - since >= RESTORE_TIME;
	ListCell   *cell;

	foreach(cell, candidates)
	{
		Candidate  *candidate = lfirst(cell);
		SyncState  *state = &candidate->state;

		if (!candidate->stateless)
			continue;
		any = true;
		if (!now_is_time)
			continue;
		(void) act_sync_state_load(candidate->due.sync_id, true, state);
		act_sync_state_begin(state, candidate->schedule, candidate->time_zone, now);
		act_sync_state_store(state);
	}
	if (!any || now_is_time || now < since)
		since = 0;
	else if (since == 0)
		since = now;
	return since == 0 ? PG_INT64_MAX : since + RESTORE_TIME;
}

static void
look_after(Candidate *candidate)
{
	Schedule   *schedule;
	int64	   *newest;

	if (candidate->state.nafter < 0)
		return;
	schedule = act_sync_state_schedule(candidate->schedule, candidate->time_zone);
	candidate->after = schedule != NULL && schedule->kind == SCHEDULE_AFTER &&
		act_sync_state_after(&candidate->state, schedule, &newest);
}

/* The earliest of what makes it due by itself, whatever its destination; 0: nothing. */
static TimestampTz
start_due_at(const Candidate *candidate, TimestampTz now)
{
	TimestampTz due = PG_INT64_MAX;

	/* Whatever the clock said when it was queued. */
	if (candidate->queued_at != 0)
		due = Min(candidate->queued_at, now);
	/* Its model cannot be read: tried again when that was said, however often it is planned. */
	if (candidate->state.model_problem_since != 0 && candidate->state.retry_at != 0)
		return due;
	if (!candidate->closed && candidate->state.next_run_at != 0)
		due = Min(due, candidate->state.next_run_at);
	if (!candidate->closed && candidate->after)
		due = Min(due, now);
	return due;
}

/*
 * When it is due, PG_INT64_MAX: not by time.  While its destination is kept
 * from it, what comes due is put down as postponed and tried again when that
 * is over.
 */
static TimestampTz
due_at(Candidate *candidate, TimestampTz now)
{
	TimestampTz start = start_due_at(candidate, now);
	TimestampTz retry = candidate->state.retry_at == 0 ? PG_INT64_MAX : candidate->state.retry_at;

	if (act_sync_state_woken(&candidate->state, candidate->schedule))
		retry = Min(retry, now);
	if (candidate->closed)
		retry = PG_INT64_MAX;
	if (candidate->bar.until <= now)
		return Min(start, retry);
	if (start <= now)
	{
		act_sync_state_postpone(candidate->due.sync_id, candidate->schedule, candidate->time_zone,
								act_destination_state_message(candidate->bar.bar, candidate->destination), now);
		return candidate->bar.until;
	}
	return retry == PG_INT64_MAX ? start : Min(start, Max(retry, candidate->bar.until));
}

static int
more_urgent(const ListCell *a, const ListCell *b)
{
	const DueSync *left = &((const Candidate *) lfirst(a))->due;
	const DueSync *right = &((const Candidate *) lfirst(b))->due;

	if (left->priority != right->priority)
		return left->priority > right->priority ? -1 : 1;
	if (left->due_at != right->due_at)
		return left->due_at < right->due_at ? -1 : 1;
	return left->sync_id < right->sync_id ? -1 : left->sync_id > right->sync_id;
}

/* False: its table is gone, and with it the owner. */
static bool
complete(DueSync *due)
{
	Oid			schema = get_namespace_oid("activate_data", true);
	Oid			table = OidIsValid(schema) ? get_relname_relid(due->name, schema) : InvalidOid;
	HeapTuple	tuple = OidIsValid(table) ? SearchSysCache1(RELOID, ObjectIdGetDatum(table)) : NULL;
	SqlArgument args[] = {SQL_INT8(due->sync_id)};

	if (!HeapTupleIsValid(tuple))
		return false;
	due->owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	if (act_sql(SPI_OK_SELECT,
				"SELECT r.run_id FROM activate.run AS r WHERE r.sync_id = $1 AND r.status <> 'queued'"
				" ORDER BY r.run_id DESC LIMIT 1", 1, args) > 0)
		due->last_run_id = act_sql_int64(0, 1);
	return true;
}

static bool
is_named(const List *names, const char *name)
{
	ListCell   *cell;

	foreach(cell, names)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	}
	return false;
}

/* Where nobody knows yet whether a destination works again, only the most urgent one is asked for. */
static List *
find_due(TimestampTz now, int limit, DueFilter filter, void *arg, TimestampTz *next_due)
{
	List	   *candidates = read_candidates(now);
	List	   *due = NIL;
	List	   *complete_ones = NIL;
	List	   *trials = NIL;	/* of char *: destinations that one sync is to try */
	ListCell   *cell;

	*next_due = give_states(candidates, now);
	foreach(cell, candidates)
	{
		Candidate  *candidate = lfirst(cell);
		TimestampTz at;

		CHECK_FOR_INTERRUPTS();
		look_after(candidate);
		at = candidate->due.due_at = due_at(candidate, now);
		if (at <= now)
		{
			candidate->due.server = get_foreign_server_oid(candidate->destination, true);
			due = lappend(due, candidate);
		}
		else
			*next_due = Min(*next_due, at);
	}
	list_sort(due, more_urgent);
	foreach(cell, due)
	{
		Candidate  *candidate = lfirst(cell);

		if (list_length(complete_ones) == limit)
			break;
		if (is_named(trials, candidate->destination))
			*next_due = Min(*next_due, now + TRIAL_PAUSE);
		else if (complete(&candidate->due) && filter(&candidate->due, arg))
		{
			complete_ones = lappend(complete_ones, &candidate->due);
			if (candidate->bar.on_trial)
				trials = lappend(trials, candidate->destination);
		}
	}
	return complete_ones;
}

List *
act_sync_state_due(TimestampTz now, int limit, DueFilter filter, void *arg, TimestampTz *next_due)
{
	Identity	identity;
	List	   *due;

	*next_due = PG_INT64_MAX;
	if (!act_enabled)
		return NIL;
	act_identity_extension(&identity);
	due = find_due(now, limit, filter, arg, next_due);
	act_identity_leave(&identity);
	return due;
}
