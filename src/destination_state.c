/*-------------------------------------------------------------------------
 *
 * destination_state.c
 *	  What keeps a destination's runs back: it is down, throttled or paused.
 *
 * A run that gets no proper answer writes down that the destination is down,
 * one that was told to leave it alone until when; and both when to try again
 * (probe_at).  Until then workers make no runs for it; then the first one that
 * begins moves that time on, so that it alone tries, with its first batch
 * alone, and what it finds holds for all.  A session's CALL asks nobody, but
 * tells, too.  A pause is a person's, holds for everybody, and ends with
 * resume_destination() and not before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "backoff.h"
#include "destination_state.h"
#include "event.h"
#include "fault.h"
#include "identity.h"
#include "sync_state_private.h"
#include "wakeup.h"

#define PAUSE_FIRST (5 * USECS_PER_SEC)
#define PAUSE_LIMIT (5 * USECS_PER_MINUTE)

/* Who tries may need as long to make its diff. */
#define PROBE_TIME USECS_PER_MINUTE

/* Nobody is left alone for longer than a day's quota takes, whatever he says. */
#define THROTTLE_LIMIT USECS_PER_DAY

/* What is over sooner is nobody's concern. */
#define THROTTLE_NEWS USECS_PER_MINUTE

TimestampTz
act_destination_state_pause(int failures)
{
	return act_backoff_pause(PAUSE_FIRST, PAUSE_LIMIT, failures);
}

DestinationState
act_destination_state_read(uint64 row, int column, TimestampTz now)
{
	DestinationState state = {DESTINATION_OPEN, 0, false};
	TimestampTz throttled_until = act_sync_state_time(row, column + 1);
	bool		down = act_sql_bool(row, column + 2);

	if (act_sql_bool(row, column))
	{
		state.bar = DESTINATION_PAUSED;
		state.until = PG_INT64_MAX;
	}
	else if (down || throttled_until != 0)
	{
		TimestampTz probe_at = act_sync_state_time(row, column + 3);

		state.bar = throttled_until > now || !down ? DESTINATION_THROTTLED : DESTINATION_DOWN;
		state.on_trial = probe_at <= now;
		state.until = state.on_trial ? 0 : probe_at;
	}
	return state;
}

#define LOCK_SQL \
	"SELECT" DESTINATION_STATE_COLUMNS " FROM activate.destination_state AS d" \
	" WHERE d.destination = $1 AND (d.paused_at IS NOT NULL OR d.down_since IS NOT NULL" \
	" OR d.throttled_until IS NOT NULL) FOR UPDATE"

DestinationState
act_destination_state_enter(const char *destination, TimestampTz now)
{
	DestinationState state = {DESTINATION_OPEN, 0, false};
	Identity	identity;
	SqlArgument args[] = {SQL_TEXT(destination), SQL_TIME(now + PROBE_TIME)};

	act_identity_extension(&identity);
	if (act_sql(SPI_OK_SELECT, LOCK_SQL, 1, args) > 0)
		state = act_destination_state_read(0, 1, now);
	if (state.on_trial)
		act_sql(SPI_OK_UPDATE,
				"UPDATE activate.destination_state SET probe_at = $2 WHERE destination = $1", 2, args);
	act_identity_leave(&identity);
	return state;
}

char *
act_destination_state_message(DestinationBar bar, const char *destination)
{
	switch (bar)
	{
		case DESTINATION_PAUSED:
			return psprintf("destination \"%s\" is paused", destination);
		case DESTINATION_THROTTLED:
			return psprintf("destination \"%s\" limits its rate", destination);
		case DESTINATION_DOWN:
		case DESTINATION_OPEN:
			break;
	}
	return psprintf("destination \"%s\" is down", destination);
}

/* ----------------------------------------------------------------
 *		What runs find
 * ----------------------------------------------------------------
 */

static int64
answered_rows(const Run *run)
{
	const int64 *outcomes = run->counts.outcomes;

	return outcomes[ROW_ACCEPTED] + outcomes[ROW_REJECTED] + outcomes[ROW_REFUSED] + outcomes[ROW_ABSENT];
}

/* Whether what came back says that it works, if only to say no. */
static bool
has_answered(const Run *run, RunStatus status)
{
	if (run->unreachable || run->counts.requests == 0)
		return false;
	return status == RUN_SUCCEEDED || status == RUN_FAILED || answered_rows(run) > 0;
}

/* Why, for all who share it; run->stop is set. */
static const char *
told(const Run *run)
{
	return run->stop.told ? run->stop.told : run->stop.detail ? run->stop.detail : run->stop.message;
}

/* One event, however many runs find it down. */
static void
note_down(const Run *run)
{
	const char *destination = run->sync->destination;
	TimestampTz now = act_now();
	int			failures;
	const char *message = told(run);
	SqlArgument args[] = {SQL_TEXT(destination), SQL_TIME(now), SQL_TEXT(message)};

	act_sql(SPI_OK_INSERT_RETURNING,
			"INSERT INTO activate.destination_state AS d (destination, down_since, failures, message)"
			" VALUES ($1, $2, 1, $3) ON CONFLICT (destination) DO UPDATE SET"
			" down_since = COALESCE(d.down_since, $2), failures = d.failures + 1, message = $3"
			" RETURNING failures", lengthof(args), args);
	failures = (int) act_sql_int64(0, 1);
	args[1] = (SqlArgument) SQL_TIME(now + act_destination_state_pause(failures));
	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.destination_state SET probe_at = GREATEST($2, throttled_until)"
			" WHERE destination = $1", 2, args);
	if (failures == 1)
		act_event_record_destination("destination_down", "error", destination, run->run_id,
									 psprintf("destination \"%s\" does not answer as it should: %s", destination,
											  message ? message : "no answer"), NULL);
}

/* What of a state ends. */
typedef enum Relief
{
	RELIEF_DOWN,				/* it answers, and may want to be left alone all the same */
	RELIEF_TRIAL,				/* it took something again; whether for long is to be seen */
	RELIEF_ALL
} Relief;

static void
tell_up(const char *destination, int64 run_id, TimestampTz down_since)
{
	int64		seconds = (act_now() - down_since) / USECS_PER_SEC;
	int64		syncs;
	SqlArgument args[] = {SQL_TEXT(destination)};

	act_sql(SPI_OK_SELECT,
			"SELECT pg_catalog.count(*) FROM activate.sync AS s JOIN activate.sync_state AS t USING (sync_id)"
			" WHERE s.destination = $1 AND NOT s.paused AND t.retry_at IS NOT NULL AND NOT t.retry_rows", 1, args);
	syncs = act_sql_int64(0, 1);
	act_event_record_destination("destination_up", "info", destination, run_id,
								 psprintf("destination \"%s\" answers again, after " INT64_FORMAT " s%s",
										  destination, seconds,
										  syncs == 0 ? "" : syncs == 1 ? "; 1 sync that waited goes on" :
										  psprintf("; " INT64_FORMAT " syncs that waited go on", syncs)),
								 psprintf("{\"seconds\": " INT64_FORMAT ", \"syncs\": " INT64_FORMAT "}",
										  seconds, syncs));
}

/*
 * Syncs that found it down themselves wait for as long as it was away, or five
 * minutes: when it is back after longer they need not, and go in their order.
 * After less they do, or one object that never works would have its
 * destination come and go all the time.
 */
static void
relieve(const char *destination, int64 run_id, Relief relief, bool asked_for)
{
	SqlArgument args[] = {SQL_TEXT(destination), SQL_BOOL(relief == RELIEF_DOWN), SQL_BOOL(relief == RELIEF_ALL)};
	TimestampTz now = act_now();
	TimestampTz down_since;
	TimestampTz throttled_until;

	if (act_sql(SPI_OK_SELECT,
				"SELECT down_since, throttled_until FROM activate.destination_state WHERE destination = $1"
				" AND (down_since IS NOT NULL OR throttled_until IS NOT NULL OR throttled_since IS NOT NULL)"
				" FOR UPDATE", 1, args) == 0)
		return;
	down_since = act_sync_state_time(0, 1);
	throttled_until = act_sync_state_time(0, 2);
	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.destination_state SET down_since = NULL, failures = 0, message = NULL,"
			" probe_at = CASE WHEN $2 THEN throttled_until END,"
			" throttled_until = CASE WHEN $2 THEN throttled_until END,"
			" throttle_message = CASE WHEN $2 THEN throttle_message END,"
			" throttled_since = CASE WHEN NOT $3 THEN throttled_since END"
			" WHERE destination = $1", lengthof(args), args);
	if (down_since == 0 && throttled_until == 0)
		return;
	if (asked_for || (throttled_until != 0 && relief != RELIEF_DOWN) ||
		(down_since != 0 && now - down_since >= PAUSE_LIMIT))
		act_destination_go_on(destination);
	else
		act_destination_changed_at_commit();
	if (down_since != 0)
		tell_up(destination, run_id, down_since);
}

/*
 * It wants to be left alone, and for everybody: whoever was told writes it
 * down.  One event while it goes on so, however often a run gets through
 * in between.
 */
static void
note_throttled(const Run *run)
{
	const char *destination = run->sync->destination;
	TimestampTz now = act_now();
	TimestampTz until = Min(run->throttled_until, now + THROTTLE_LIMIT);
	const char *message = run->stop.set ? told(run) : "its last answer left no request until then";
	SqlArgument args[] = {SQL_TEXT(destination), SQL_TIME(until), SQL_TEXT(message), SQL_TIME(now)};

	if (until <= now)
		return;
	act_sql(SPI_OK_INSERT,
			"INSERT INTO activate.destination_state AS d (destination, throttled_until, throttle_message, probe_at)"
			" VALUES ($1, $2, $3, $2) ON CONFLICT (destination) DO UPDATE SET"
			" throttled_until = $2, throttle_message = $3, probe_at = $2", 3, args);
	if (until - now <= THROTTLE_NEWS ||
		act_sql(SPI_OK_UPDATE,
				"UPDATE activate.destination_state SET throttled_since = $2"
				" WHERE destination = $1 AND throttled_since IS NULL",
				2, (SqlArgument[]) {args[0], args[3]}) == 0)
		return;
	act_event_record_destination("destination_throttled", "warning", destination, run->run_id,
								 psprintf("destination \"%s\" limits its rate: %s", destination, message),
								 psprintf("{\"seconds\": " INT64_FORMAT "}",
										  (until - now + USECS_PER_SEC - 1) / USECS_PER_SEC));
}

/* It had nothing to ask the destination: the next one tries. */
static void
pass_on(const Run *run)
{
	SqlArgument args[] = {SQL_TEXT(run->sync->destination), SQL_TIME(act_now())};

	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.destination_state SET probe_at = $2"
			" WHERE destination = $1 AND (down_since IS NOT NULL OR throttled_until <= $2) AND probe_at > $2",
			lengthof(args), args);
}

/*
 * What a run heard that began before the others were told to leave it alone
 * says nothing of that.
 */
static Relief
relief_by(const Run *run)
{
	SqlArgument args[] = {SQL_TEXT(run->sync->destination), SQL_TIME(act_now())};

	if (run->tries_destination || !run->in_worker)
		return RELIEF_ALL;
	return act_sql(SPI_OK_SELECT,
				   "SELECT 1 FROM activate.destination_state WHERE destination = $1 AND throttled_until > $2",
				   lengthof(args), args) > 0 ? RELIEF_DOWN : RELIEF_ALL;
}

void
act_destination_state_report(const Run *run, RunStatus status)
{
	const char *destination = run->sync->destination;
	Identity	identity;

	act_identity_extension(&identity);
	if (run->unreachable)
		note_down(run);
	else if (run->throttled_until != 0)
	{
		if (answered_rows(run) > 0)
			relieve(destination, run->run_id, RELIEF_DOWN, false);
		note_throttled(run);
	}
	else if (has_answered(run, status))
		relieve(destination, run->run_id, relief_by(run), false);
	else if (run->tries_destination && run->counts.requests == 0)
		pass_on(run);
	act_identity_leave(&identity);
	ACT_FAULT("destination_reported");
}

void
act_destination_state_came_through(Run *run)
{
	Identity	identity;

	if (!run->tries_destination || answered_rows(run) == 0)
		return;
	act_identity_extension(&identity);
	relieve(run->sync->destination, run->run_id, RELIEF_TRIAL, false);
	act_identity_leave(&identity);
	run->tries_destination = false;
}

void
act_destination_state_probed(const char *destination)
{
	Identity	identity;

	SPI_connect();
	act_identity_extension(&identity);
	relieve(destination, 0, RELIEF_ALL, true);
	act_identity_leave(&identity);
	SPI_finish();
}

/* ----------------------------------------------------------------
 *		Pauses
 * ----------------------------------------------------------------
 */

/* Since when and by whom, in the current context; NULL: it is not paused. */
static char *
pause_detail(const char *destination)
{
	static SPIPlanPtr plan = NULL;
	Identity	identity;
	char	   *detail = NULL;
	SqlArgument args[] = {SQL_TEXT(destination)};

	act_identity_extension(&identity);
	if (act_sql_kept(&plan, CURSOR_OPT_GENERIC_PLAN, SPI_OK_SELECT,
				"SELECT pg_catalog.format('%s paused it at %s.', paused_by, paused_at)"
				" FROM activate.destination_state WHERE destination = $1 AND paused_at IS NOT NULL", 1, args) > 0)
		detail = act_sql_text(0, 1);
	/* It is asked between any two batches: they would pile up until the run's end. */
	SPI_freetuptable(SPI_tuptable);
	act_identity_leave(&identity);
	return detail;
}

static char *
resume_hint(const char *destination)
{
	return psprintf("SELECT activate.resume_destination(%s);", quote_literal_cstr(destination));
}

void
act_destination_state_require_unpaused(const char *destination)
{
	char	   *detail = pause_detail(destination);

	if (detail != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("destination \"%s\" is paused", destination),
				 errdetail_internal("%s", detail),
				 errhint("%s", resume_hint(destination))));
}

/* Without a request nothing was done: there might as well have been no run. */
void
act_destination_state_look(Run *run)
{
	const char *destination = run->sync->destination;
	char	   *detail;

	if (run->stop.set)
		return;
	detail = pause_detail(destination);
	if (detail == NULL)
		return;
	run->destination_paused = true;
	act_run_stop(run, run->counts.requests == 0 ? RUN_POSTPONED : RUN_PARTIAL,
				 act_destination_state_message(DESTINATION_PAUSED, destination),
				 psprintf("%s What was not sent yet is delayed until it is resumed.", detail),
				 resume_hint(destination));
}

void
act_destination_state_poll(Run *run)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(run->context, "pg_activate look", ALLOCSET_SMALL_SIZES);

	MemoryContextSwitchTo(context);
	act_transaction_read_only();
	act_destination_state_look(run);
	act_transaction_commit(false);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

void
act_destination_state_check(TimestampTz now)
{
	SqlArgument args[] = {
		SQL_TIME(now), SQL_TIME(now + act_destination_state_pause(PG_INT32_MAX)), SQL_TIME(now + THROTTLE_LIMIT)
	};

	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.destination_state SET probe_at = $1,"
			" throttled_until = CASE WHEN throttled_until IS NOT NULL THEN $1 END WHERE destination IN"
			" (SELECT destination FROM activate.destination_state"
			" WHERE probe_at > CASE WHEN throttled_until IS NULL THEN $2 ELSE $3 END FOR UPDATE SKIP LOCKED)",
			lengthof(args), args);
}
