/*-------------------------------------------------------------------------
 *
 * destination_state.c
 *	  Destinations that are down: found so by runs, tried again by one.
 *
 * A run that gets no proper answer writes down that the destination is down,
 * and when to try again.  Until then workers make no runs for it; then the
 * first one that begins moves that time on, so that it alone tries, and what
 * it finds holds for all.  A session's CALL asks nobody, but tells, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

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

TimestampTz
act_destination_state_pause(int failures)
{
	return act_backoff_pause(PAUSE_FIRST, PAUSE_LIMIT, failures);
}

TimestampTz
act_destination_state_enter(const char *destination, TimestampTz now)
{
	Identity	identity;
	TimestampTz until = 0;
	SqlArgument args[] = {SQL_TEXT(destination), SQL_TIME(now + PROBE_TIME)};

	act_identity_extension(&identity);
	if (act_sql(SPI_OK_SELECT,
				"SELECT probe_at FROM activate.destination_state"
				" WHERE destination = $1 AND down_since IS NOT NULL FOR UPDATE", 1, args) > 0)
	{
		until = act_sync_state_time(0, 1);
		if (until <= now)
		{
			until = 0;
			act_sql(SPI_OK_UPDATE,
					"UPDATE activate.destination_state SET probe_at = $2 WHERE destination = $1", 2, args);
		}
	}
	act_identity_leave(&identity);
	return until;
}

char *
act_destination_state_message(const char *destination)
{
	return psprintf("destination \"%s\" is down", destination);
}

/* Whether what came back says that it works, if only to say no. */
static bool
has_answered(const Run *run, RunStatus status)
{
	const int64 *outcomes = run->counts.outcomes;

	if (run->unreachable || run->counts.requests == 0)
		return false;
	return status == RUN_SUCCEEDED || status == RUN_FAILED ||
		outcomes[ROW_ACCEPTED] + outcomes[ROW_REJECTED] + outcomes[ROW_REFUSED] + outcomes[ROW_ABSENT] > 0;
}

/* One event, however many runs find it down. */
static void
note_down(const Run *run)
{
	const char *destination = run->sync->destination;
	TimestampTz now = act_now();
	int			failures;
	const char *message = run->stop.detail ? run->stop.detail : run->stop.message;
	SqlArgument args[] = {SQL_TEXT(destination), SQL_TIME(now), SQL_TEXT(message)};

	act_sql(SPI_OK_INSERT_RETURNING,
			"INSERT INTO activate.destination_state AS d (destination, down_since, failures, message)"
			" VALUES ($1, $2, 1, $3) ON CONFLICT (destination) DO UPDATE SET"
			" down_since = COALESCE(d.down_since, $2), failures = d.failures + 1, message = $3"
			" RETURNING failures", lengthof(args), args);
	failures = (int) act_sql_int64(0, 1);
	args[1] = (SqlArgument) SQL_TIME(now + act_destination_state_pause(failures));
	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.destination_state SET probe_at = $2 WHERE destination = $1", 2, args);
	if (failures == 1)
		act_event_record_destination("destination_down", "error", destination, run->run_id,
									 psprintf("destination \"%s\" does not answer as it should: %s", destination,
											  message ? message : "no answer"), NULL);
}

static void
note_up(const Run *run)
{
	const char *destination = run->sync->destination;
	SqlArgument args[] = {SQL_TEXT(destination)};
	int64		seconds;
	int64		syncs;

	if (act_sql(SPI_OK_SELECT,
				"SELECT down_since FROM activate.destination_state"
				" WHERE destination = $1 AND down_since IS NOT NULL FOR UPDATE", 1, args) == 0)
		return;
	seconds = (act_now() - act_sync_state_time(0, 1)) / USECS_PER_SEC;
	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.destination_state SET down_since = NULL, probe_at = NULL, failures = 0,"
			" message = NULL WHERE destination = $1", 1, args);
	act_sql(SPI_OK_SELECT,
			"SELECT pg_catalog.count(*) FROM activate.sync AS s JOIN activate.sync_state AS t USING (sync_id)"
			" WHERE s.destination = $1 AND NOT s.paused AND t.retry_at IS NOT NULL AND NOT t.retry_rows", 1, args);
	syncs = act_sql_int64(0, 1);
	act_event_record_destination("destination_up", "info", destination, run->run_id,
								 psprintf("destination \"%s\" answers again, after " INT64_FORMAT " s%s",
										  destination, seconds,
										  syncs == 0 ? "" : syncs == 1 ? "; 1 sync that waited goes on" :
										  psprintf("; " INT64_FORMAT " syncs that waited go on", syncs)),
								 psprintf("{\"seconds\": " INT64_FORMAT ", \"syncs\": " INT64_FORMAT "}",
										  seconds, syncs));
	act_wake_at_commit();
}

/* It had nothing to ask the destination: the next one tries. */
static void
pass_on(const Run *run)
{
	SqlArgument args[] = {SQL_TEXT(run->sync->destination), SQL_TIME(act_now())};

	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.destination_state SET probe_at = $2"
			" WHERE destination = $1 AND down_since IS NOT NULL AND probe_at > $2", lengthof(args), args);
}

void
act_destination_state_report(const Run *run, RunStatus status)
{
	Identity	identity;

	act_identity_extension(&identity);
	if (run->unreachable)
		note_down(run);
	else if (has_answered(run, status))
		note_up(run);
	else if (run->in_worker && run->counts.requests == 0)
		pass_on(run);
	act_identity_leave(&identity);
	ACT_FAULT("destination_reported");
}
