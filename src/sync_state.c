/*-------------------------------------------------------------------------
 *
 * sync_state.c
 *	  When each sync is due: activate.sync_state, and taking what is due.
 *
 * Everything that makes a sync due stands in tables until a run has taken it:
 * queued runs, the next planned start, runs of other syncs that it follows,
 * and when to try again.  So whoever asks twice gets one run, and who dies
 * between asking and running loses nothing.
 *
 * Locks are taken in this order: the sync's row, its state, queued runs, the
 * destination's state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/array.h"
#include "utils/builtins.h"

#include "destination_state.h"
#include "event.h"
#include "fault.h"
#include "identity.h"
#include "model_wait.h"
#include "run_lock.h"
#include "sync_state_private.h"
#include "wakeup.h"

/* A schedule that is not understood any more does not stop its sync. */
#define UNKNOWN_SCHEDULE_PAUSE USECS_PER_HOUR

/* Planned starts missed are counted no further. */
#define MISSED_LIMIT 1000000

/* ----------------------------------------------------------------
 *		The row
 * ----------------------------------------------------------------
 */

TimestampTz
act_sync_state_time(uint64 row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

void
act_sync_state_read_runs(SyncState *state, uint64 row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	Datum	   *elements;

	state->nafter = -1;
	state->after_runs = NULL;
	if (isnull)
		return;
	deconstruct_array(DatumGetArrayTypeP(value), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, NULL, &state->nafter);
	state->after_runs = palloc(sizeof(int64) * Max(state->nafter, 1));
	for (int i = 0; i < state->nafter; i++)
		state->after_runs[i] = DatumGetInt64(elements[i]);
}

#define LOAD_SQL \
	"SELECT t.anchor, t.next_run_at, t.retry_at, t.retry_rows, t.failures, t.after_runs," \
	" t.model_problem_since, t.model_problem, t.waiting, t.ids_new, t.ids_moved, t.ids_seen," \
	" (SELECT pg_catalog.sum(q.ids_moved)::pg_catalog.int8 FROM activate.sync_reference AS f" \
	" JOIN activate.sync AS p ON p.name = f.referenced_sync" \
	" JOIN activate.sync_state AS q ON q.sync_id = p.sync_id WHERE f.sync_id = t.sync_id)" \
	" FROM activate.sync_state AS t WHERE t.sync_id = $1 FOR UPDATE"

bool
act_sync_state_load(int64 sync_id, bool patient, SyncState *state)
{
	SqlArgument args[] = {SQL_INT8(sync_id), SQL_TIME(act_now())};
	uint64		found;

	if (patient)
		act_sql(SPI_OK_INSERT,
				"INSERT INTO activate.sync_state (sync_id, anchor) VALUES ($1, $2) ON CONFLICT DO NOTHING",
				lengthof(args), args);
	found = act_sql(SPI_OK_SELECT, patient ? LOAD_SQL : LOAD_SQL " SKIP LOCKED", 1, args);
	if (found == 0)
		return false;
	state->sync_id = sync_id;
	state->anchor = act_sync_state_time(0, 1);
	state->next_run_at = act_sync_state_time(0, 2);
	state->retry_at = act_sync_state_time(0, 3);
	state->retry_rows = act_sql_bool(0, 4);
	state->failures = (int) act_sql_int64(0, 5);
	act_sync_state_read_runs(state, 0, 6);
	state->model_problem_since = act_sync_state_time(0, 7);
	state->model_problem = act_sql_text(0, 8);
	state->waiting = act_sql_bool(0, 9);
	state->ids_new = act_sql_bool(0, 10);
	state->ids_moved = act_sql_int64(0, 11);
	state->ids_seen = act_sql_int64(0, 12);
	state->ids_sum = act_sql_int64(0, 13);
	return true;
}

/* None of the columns that change is in an index, so that it stays in its page. */
void
act_sync_state_store(const SyncState *state)
{
	Datum	   *runs = palloc(sizeof(Datum) * Max(state->nafter, 1));
	SqlArgument args[] = {
		SQL_INT8(state->sync_id),
		SQL_TIME(state->anchor),
		SQL_TIME(state->next_run_at),
		SQL_TIME(state->retry_at),
		SQL_BOOL(state->retry_rows && state->retry_at != 0),
		SQL_INT4(state->failures),
		{INT8ARRAYOID, (Datum) 0, true},
		SQL_TIME(state->model_problem_since),
		SQL_TEXT(state->model_problem),
		SQL_BOOL(state->waiting),
		SQL_BOOL(state->ids_new),
		SQL_INT8(state->ids_moved),
		SQL_INT8(state->ids_seen),
	};

	for (int i = 0; i < state->nafter; i++)
		runs[i] = Int64GetDatum(state->after_runs[i]);
	if (state->nafter >= 0)
	{
		args[6].value = PointerGetDatum(construct_array(runs, state->nafter, INT8OID, 8,
														FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
		args[6].isnull = false;
	}
	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.sync_state SET anchor = $2, next_run_at = $3, retry_at = $4, retry_rows = $5,"
			" failures = $6, after_runs = $7, model_problem_since = $8, model_problem = $9,"
			" waiting = $10, ids_new = $11, ids_moved = $12, ids_seen = $13"
			" WHERE sync_id = $1", lengthof(args), args);
}

/* ----------------------------------------------------------------
 *		Schedules
 * ----------------------------------------------------------------
 */

typedef struct Parsing
{
	const char *text;
	const char *time_zone;
	Schedule   *schedule;
} Parsing;

static void
parse(void *arg)
{
	Parsing    *parsing = arg;

	parsing->schedule = act_schedule_parse(parsing->text, parsing->time_zone);
}

/* It was understood once; an upgrade may have taken its time zone away. */
Schedule *
act_sync_state_schedule(const char *text, const char *time_zone)
{
	Parsing		parsing = {.text = text, .time_zone = time_zone};

	(void) act_transaction_try(parse, &parsing);
	return parsing.schedule;
}

TimestampTz
act_sync_state_next(const SyncState *state, const Schedule *schedule, TimestampTz later_than)
{
	TimestampTz next;

	if (schedule == NULL)
		return later_than + UNKNOWN_SCHEDULE_PAUSE;
	return act_schedule_next(schedule, state->anchor, state->sync_id, later_than, &next) ? next : 0;
}

/* The newest runs that may be followed, 0 where there is none. */
static int64 *
newest_runs(const Schedule *schedule)
{
	int			count = list_length(schedule->after);
	int64	   *runs = palloc0(sizeof(int64) * Max(count, 1));
	ListCell   *cell;

	foreach(cell, schedule->after)
	{
		SqlArgument args[] = {SQL_TEXT((char *) lfirst(cell))};

		if (act_sql(SPI_OK_SELECT,
					"SELECT r.run_id FROM activate.sync AS s JOIN activate.run AS r USING (sync_id)"
					" WHERE s.name = $1 AND r.status = 'succeeded' AND NOT r.keyed"
					" ORDER BY r.run_id DESC LIMIT 1", 1, args) > 0)
			runs[foreach_current_index(cell)] = act_sql_int64(0, 1);
	}
	return runs;
}

bool
act_sync_state_after(const SyncState *state, const Schedule *schedule, int64 **newest)
{
	int			count = list_length(schedule->after);

	*newest = newest_runs(schedule);
	if (state->nafter != count)
		return false;
	for (int i = 0; i < count; i++)
	{
		if ((*newest)[i] <= state->after_runs[i])
			return false;
	}
	return count > 0;
}

void
act_sync_state_begin(SyncState *state, const char *text, const char *time_zone, TimestampTz now)
{
	Schedule   *schedule = act_sync_state_schedule(text, time_zone);

	state->anchor = now;
	state->next_run_at = act_sync_state_next(state, schedule, now);
	state->nafter = -1;
	if (schedule != NULL && schedule->kind == SCHEDULE_AFTER)
	{
		state->nafter = list_length(schedule->after);
		state->after_runs = newest_runs(schedule);
	}
}

bool
act_sync_state_woken(const SyncState *state, const char *schedule)
{
	/* A run of the whole model that is to come takes them with it. */
	return state->waiting && state->ids_sum > state->ids_seen && !act_schedule_is_manual(schedule) &&
		(state->retry_at == 0 || state->retry_rows);
}

/* ----------------------------------------------------------------
 *		Definitions
 * ----------------------------------------------------------------
 */

static bool
state_exists(int64 sync_id)
{
	SqlArgument args[] = {SQL_INT8(sync_id)};

	return act_sql(SPI_OK_SELECT, "SELECT 1 FROM activate.sync_state WHERE sync_id = $1", 1, args) > 0;
}

void
act_sync_state_define(const Sync *sync, bool new_schedule)
{
	Identity	identity;
	SyncState	state;
	TimestampTz now = act_now();

	act_identity_extension(&identity);
	if (!state_exists(sync->sync_id))
		new_schedule = true;
	(void) act_sync_state_load(sync->sync_id, true, &state);
	if (new_schedule)
	{
		act_sync_state_begin(&state, sync->schedule, sync->time_zone, now);
		if (act_schedule_is_manual(sync->schedule))
			state.retry_at = 0;
	}
	/* Perhaps this is what was wrong. */
	if (state.failures > 0 && state.retry_at != 0)
		state.retry_at = now;
	state.failures = 0;
	act_sync_state_store(&state);
	act_identity_leave(&identity);
	act_wake_at_commit();
}

void
act_sync_state_drop(int64 sync_id)
{
	Identity	identity;
	SqlArgument args[] = {SQL_INT8(sync_id)};

	act_identity_extension(&identity);
	act_sql(SPI_OK_DELETE, "DELETE FROM activate.sync_state WHERE sync_id = $1", 1, args);
	act_identity_leave(&identity);
}

void
act_sync_state_run_now(const Sync *sync)
{
	Identity	identity;
	SyncState	state;

	act_identity_extension(&identity);
	(void) act_sync_state_load(sync->sync_id, true, &state);
	state.retry_at = act_now();
	state.retry_rows = false;
	act_sync_state_store(&state);
	act_identity_leave(&identity);
	act_wake_at_commit();
}

/* As for rows whose back-off ends now; a run of the whole that is to come takes them with it. */
bool
act_sync_state_retry_rows(const Sync *sync)
{
	Identity	identity;
	SyncState	state;
	TimestampTz now = act_now();

	if (act_schedule_is_manual(sync->schedule))
		return false;
	act_identity_extension(&identity);
	(void) act_sync_state_load(sync->sync_id, true, &state);
	if (state.retry_at == 0)
		state.retry_rows = true;
	state.retry_at = state.retry_at == 0 ? now : Min(state.retry_at, now);
	act_sync_state_store(&state);
	act_identity_leave(&identity);
	act_wake_at_commit();
	return true;
}

/* ----------------------------------------------------------------
 *		A run begins
 * ----------------------------------------------------------------
 */

/* What makes a sync due, and what a run that takes it stands for. */
typedef struct Turn
{
	RunCause	cause;
	int64		queued;			/* the first of the queued runs; 0: none */
	bool		merge;			/* there are more of them */
	int64		planned;		/* starts that are due */
	int64	   *after_runs;		/* NULL: nothing is followed */
	bool		retry_rows;
} Turn;

/*
 * Those that somebody is handing out just now stay for the next run: who
 * waits for them expects to see what is committed by then.
 */
static void
find_queued(int64 sync_id, Turn *turn)
{
	SqlArgument args[] = {SQL_INT8(sync_id)};
	uint64		count = act_sql(SPI_OK_SELECT,
								"SELECT run_id FROM activate.run WHERE sync_id = $1 AND status = 'queued'"
								" ORDER BY run_id FOR UPDATE SKIP LOCKED", 1, args);

	turn->queued = count > 0 ? act_sql_int64(0, 1) : 0;
	turn->merge = count > 1;
}

/* False: nothing makes it due.  What does is taken out of the state. */
static bool
take_turn(SyncState *state, const char *text, const char *time_zone, TimestampTz now, Turn *turn)
{
	Schedule   *schedule = act_sync_state_schedule(text, time_zone);
	bool		retry = state->retry_at != 0 && state->retry_at <= now;
	bool		woken = act_sync_state_woken(state, text);
	int64	   *newest;

	memset(turn, 0, sizeof(Turn));
	find_queued(state->sync_id, turn);
	if (state->next_run_at != 0 && state->next_run_at <= now)
	{
		turn->planned = 1;
		if (schedule != NULL)
			turn->planned += act_schedule_count(schedule, state->anchor, state->sync_id,
												state->next_run_at, now, MISSED_LIMIT);
		state->next_run_at = act_sync_state_next(state, schedule, now);
	}
	if (schedule != NULL && schedule->kind == SCHEDULE_AFTER &&
		act_sync_state_after(state, schedule, &newest))
		state->after_runs = turn->after_runs = newest;

	if (turn->queued != 0)
		turn->cause = CAUSE_MANUAL;
	else if (turn->planned > 0)
		turn->cause = CAUSE_SCHEDULE;
	else if (turn->after_runs != NULL)
		turn->cause = CAUSE_AFTER;
	else if (retry || woken)
	{
		turn->cause = CAUSE_RETRY;
		turn->retry_rows = woken || state->retry_rows;
	}
	else
		return false;
	state->ids_seen = state->ids_sum;
	/* Whatever else was to be tried again goes with the whole. */
	state->retry_at = 0;
	state->retry_rows = false;
	return true;
}

static void
merge_queued(int64 sync_id, int64 into)
{
	SqlArgument args[] = {SQL_INT8(sync_id), SQL_INT8(into)};

	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.run SET status = 'superseded', merged_into = $2 WHERE run_id IN"
			" (SELECT run_id FROM activate.run WHERE sync_id = $1 AND status = 'queued' AND run_id <> $2"
			" FOR UPDATE SKIP LOCKED)", lengthof(args), args);
}

/* Those who asked for a run are told why there is none. */
static void
end_queued(int64 sync_id, const char *message, TimestampTz now)
{
	SqlArgument args[] = {SQL_INT8(sync_id), SQL_TIME(now), SQL_TEXT(message)};

	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.run SET status = 'postponed', started_at = $2, finished_at = $2, error = $3"
			" WHERE run_id IN (SELECT run_id FROM activate.run WHERE sync_id = $1 AND status = 'queued'"
			" FOR UPDATE SKIP LOCKED)", lengthof(args), args);
}

static bool
take(Run *run)
{
	const Sync *sync = run->sync;
	TimestampTz now = act_now();
	SyncState	state;
	SyncState	before;
	Turn		turn;
	DestinationState destination;
	char	   *ended;

	if (sync->paused)
		return false;
	(void) act_sync_state_load(sync->sync_id, true, &state);
	before = state;
	if (!take_turn(&state, sync->schedule, sync->time_zone, now, &turn))
		return false;
	destination = act_destination_state_enter(sync->destination, now);
	if (destination.until != 0)
	{
		act_sync_state_postpone(sync->sync_id, sync->schedule, sync->time_zone,
								act_destination_state_message(destination.bar, sync->destination), now);
		return false;
	}
	if (state.model_problem_since != 0 && !act_model_wait_over(sync, &state, &before, turn.queued != 0, &ended))
	{
		if (turn.queued != 0 && ended != NULL)
			end_queued(sync->sync_id, ended, now);
		return false;
	}
	if (turn.merge)
		merge_queued(sync->sync_id, turn.queued);
	run->cause = turn.cause;
	run->run_id = turn.queued;
	run->missed = turn.cause == CAUSE_SCHEDULE ? turn.planned - 1 : turn.planned;
	run->retry_rows = turn.retry_rows;
	run->tries_destination = destination.on_trial;
	act_sync_state_store(&state);
	return true;
}

bool
act_sync_state_take(Run *run)
{
	Identity	identity;
	bool		taken;

	act_identity_extension(&identity);
	taken = take(run);
	act_identity_leave(&identity);
	return taken;
}

/* ----------------------------------------------------------------
 *		A run cannot begin: its destination is down, throttled or paused
 * ----------------------------------------------------------------
 */

/* Queued runs end; a start of the sync's own is added to the last that did, for the same reason. */
static void
write_postponed(int64 sync_id, const Turn *turn, const char *message, TimestampTz now)
{
	SqlArgument args[] = {
		SQL_INT8(sync_id),
		SQL_TIME(now),
		SQL_TEXT(message),
		SQL_INT8(turn->planned),
		SQL_TEXT(act_run_cause_name(turn->cause)),
	};

	if (turn->queued != 0)
	{
		end_queued(sync_id, message, now);
		return;
	}
	if (act_sql(SPI_OK_UPDATE,
				"UPDATE activate.run SET finished_at = $2, missed = missed + $4"
				" WHERE status = 'postponed' AND error = $3 AND run_id ="
				" (SELECT r.run_id FROM activate.run AS r WHERE r.sync_id = $1 ORDER BY r.run_id DESC LIMIT 1)",
				4, args) == 0)
		act_sql(SPI_OK_INSERT,
				"INSERT INTO activate.run (sync_id, cause, status, started_at, finished_at, missed, error)"
				" VALUES ($1, $5, 'postponed', $2, $2, GREATEST($4 - 1, 0), $3)", lengthof(args), args);
}

void
act_sync_state_postpone(int64 sync_id, const char *schedule, const char *time_zone,
						const char *message, TimestampTz now)
{
	SyncState	state;
	Turn		turn;

	if (!act_sync_state_load(sync_id, false, &state) ||
		!take_turn(&state, schedule, time_zone, now, &turn))
		return;
	/* What was to be tried again waits as it is. */
	if (turn.cause == CAUSE_RETRY)
		return;
	write_postponed(sync_id, &turn, message, now);
	/* From now on only the destination keeps it back. */
	state.retry_at = now;
	act_sync_state_store(&state);
}
