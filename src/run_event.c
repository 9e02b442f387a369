/*-------------------------------------------------------------------------
 *
 * run_event.c
 *	  What a run's end is to those who listen: changes of state, not runs.
 *
 * A sync is in one trouble at a time: it fails, or rows of it are refused.
 * What was told last stands in activate.sync_state, so that the hundredth
 * failure is as silent as the tenth, whatever other runs came between, and
 * each trouble that was told of ends with being told.  As the extension, in
 * transactions that the caller commits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "event.h"
#include "fault.h"
#include "identity.h"
#include "run_event.h"
#include "transaction.h"

typedef enum Trouble
{
	TROUBLE_NONE,
	TROUBLE_FAILING,
	TROUBLE_REJECTING
} Trouble;

/* As stored, and as health has them. */
static const char *const trouble_names[] = {
	[TROUBLE_NONE] = NULL,
	[TROUBLE_FAILING] = "failing",
	[TROUBLE_REJECTING] = "rejecting"
};

static Trouble
load_trouble(int64 sync_id)
{
	SqlArgument args[] = {SQL_INT8(sync_id)};
	char	   *name;

	if (act_sql(SPI_OK_SELECT, "SELECT trouble FROM activate.sync_state WHERE sync_id = $1", 1, args) == 0)
		return TROUBLE_NONE;
	name = act_sql_text(0, 1);
	for (int i = TROUBLE_NONE + 1; i < lengthof(trouble_names) && name != NULL; i++)
	{
		if (strcmp(name, trouble_names[i]) == 0)
			return (Trouble) i;
	}
	return TROUBLE_NONE;
}

static void
store_trouble(int64 sync_id, Trouble trouble)
{
	SqlArgument args[] = {
		SQL_INT8(sync_id),
		SQL_TEXT(trouble_names[trouble]),
		{TIMESTAMPTZOID, TimestampTzGetDatum(act_now()), trouble == TROUBLE_NONE}
	};

	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.sync_state SET trouble = $2, trouble_since = $3 WHERE sync_id = $1",
			lengthof(args), args);
}

/* Rows that the destination or the mapping said no to, in this run or before. */
static int64
refused_rows(const Run *run)
{
	const int64 *outcomes = run->counts.outcomes;
	const DiffCounts *counts = &run->diff.counts;

	return outcomes[ROW_REJECTED] + outcomes[ROW_REFUSED] + counts->invalid +
		counts->refused_before;
}

/* What the run shows its sync to be; before, where it shows nothing. */
static Trouble
find_trouble(const Run *run, RunStatus status, Trouble before)
{
	if (status == RUN_FAILED)
		return TROUBLE_FAILING;
	if (status != RUN_SUCCEEDED && status != RUN_PARTIAL)
		return before;
	if (refused_rows(run) > 0)
		return TROUBLE_REJECTING;
	return status == RUN_SUCCEEDED ? TROUBLE_NONE : before;
}

static char *
counts_json(const Run *run)
{
	const int64 *outcomes = run->counts.outcomes;

	return psprintf("{\"accepted\": " INT64_FORMAT ", \"rejected\": " INT64_FORMAT
					", \"invalid\": " INT64_FORMAT "}",
					outcomes[ROW_ACCEPTED], outcomes[ROW_REJECTED] + outcomes[ROW_REFUSED],
					run->diff.counts.invalid);
}

/* Rows that used all their attempts in this run: from now on nothing is sent of them by itself. */
static void
tell_parked(const Run *run)
{
	int64		rows = run->counts.parked;

	if (rows > 0)
		act_event_record("parked", "warning", run->sync, run->run_id,
						 psprintf(INT64_FORMAT " rows of sync \"%s\" were refused as often as max_attempts allows, and are sent again when they change or by retry_rows",
								  rows, run->sync->name),
						 psprintf("{\"rows\": " INT64_FORMAT "}", rows));
}

static void
tell_trouble(const Run *run, Trouble before, Trouble now, const char *message)
{
	char	   *counts = counts_json(run);

	switch (now)
	{
		case TROUBLE_FAILING:
			act_event_record("run_failed", "error", run->sync, run->run_id, message, counts);
			break;
		case TROUBLE_REJECTING:
			act_event_record("rejecting", "warning", run->sync, run->run_id,
							 psprintf("rows of sync \"%s\" are refused", run->sync->name), counts);
			break;
		case TROUBLE_NONE:
			act_event_record("recovered", "info", run->sync, run->run_id,
							 psprintf("sync \"%s\" succeeded again: %s", run->sync->name,
									  before == TROUBLE_FAILING ? "its runs had failed" : "rows of it had been refused"),
							 counts);
			break;
	}
}

void
act_run_event_end(const Run *run, RunStatus status, const char *message)
{
	Identity	identity;
	Trouble		before;
	Trouble		now;

	tell_parked(run);
	if (run->keys != NULL)		/* a few rows are not the sync */
		return;
	if (status == RUN_HELD && !run->held_again)
		act_event_record("run_held", "warning", run->sync, run->run_id, message, counts_json(run));
	if (status == RUN_CANCELLED)
		act_event_record("run_cancelled", "warning", run->sync, run->run_id, message, counts_json(run));
	act_identity_extension(&identity);
	before = load_trouble(run->sync->sync_id);
	now = find_trouble(run, status, before);
	if (now != before)
		store_trouble(run->sync->sync_id, now);
	act_identity_leave(&identity);
	if (now != before)
		tell_trouble(run, before, now, message);
}

void
act_run_event_unknown(const Run *run, int64 rows)
{
	if (rows == 0)
		return;
	act_event_record("unknown", "warning", run->sync, run->run_id,
					 psprintf(INT64_FORMAT " rows of sync \"%s\" may have arrived or not, and wait for a person to decide:"
							  " activate.settle_row(%s, key, 'accepted') or 'resend'",
							  rows, run->sync->name, quote_literal_cstr(run->sync->name)),
					 psprintf("{\"rows\": " INT64_FORMAT "}", rows));
}
