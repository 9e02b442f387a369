/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  A run's own records: its row, its events, the rows it found invalid.
 *
 * As the extension, in transactions that the caller commits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "event.h"
#include "fault.h"
#include "identity.h"
#include "run.h"
#include "run_event.h"
#include "transaction.h"

static const char *const status_names[] = {
	[RUN_SUCCEEDED] = "succeeded",
	[RUN_PARTIAL] = "partial",
	[RUN_FAILED] = "failed",
	[RUN_HELD] = "held",
	[RUN_SUPERSEDED] = "superseded",
	[RUN_POSTPONED] = "postponed",
	[RUN_CANCELLED] = "cancelled",
	[RUN_INTERRUPTED] = "interrupted"
};

static const char *const cause_names[] = {
	[CAUSE_MANUAL] = "manual",
	[CAUSE_SCHEDULE] = "schedule",
	[CAUSE_RETRY] = "retry",
	[CAUSE_AFTER] = "after"
};

const char *
act_run_cause_name(RunCause cause)
{
	return cause_names[cause];
}

const char *
act_run_status_name(RunStatus status)
{
	return status_names[status];
}

/* A queued run that is taken keeps its number. */
void
act_ledger_start(Run *run)
{
	Identity	identity;
	SqlArgument args[] = {
		SQL_INT8(run->sync->sync_id),
		SQL_TEXT(act_run_cause_name(run->cause)),
		SQL_INT4(MyProcPid),
		{TIMESTAMPTZOID, TimestampTzGetDatum(run->started_at), false},
		SQL_BOOL(run->keys != NULL || run->retry_rows),
		SQL_INT8(run->missed),
		SQL_INT8(run->run_id),
	};

	act_identity_extension(&identity);
	if (run->run_id != 0)
		act_sql(SPI_OK_UPDATE_RETURNING,
				"UPDATE activate.run SET cause = $2, status = 'running', pid = $3, started_at = $4,"
				" keyed = $5, missed = $6 WHERE sync_id = $1 AND run_id = $7 RETURNING run_id",
				lengthof(args), args);
	else
		act_sql(SPI_OK_INSERT_RETURNING,
				"INSERT INTO activate.run (sync_id, cause, status, pid, started_at, keyed, missed)"
				" VALUES ($1, $2, 'running', $3, $4, $5, $6) RETURNING run_id",
				lengthof(args) - 1, args);
	run->run_id = act_sql_int64(0, 1);
	act_identity_leave(&identity);
}

/* What each row came to; every row that counts as added, changed or removed is in one. */
static int64
outcome_sum(const Run *run, RowOutcome outcome)
{
	const int64 *outcomes = run->counts.outcomes;
	const DiffCounts *counts = &run->diff.counts;

	switch (outcome)
	{
		case ROW_REJECTED:
			return outcomes[ROW_REJECTED] + outcomes[ROW_REFUSED];
		case ROW_DELAYED:
			return outcomes[ROW_DELAYED] + outcomes[ROW_DOUBT] + counts->delayed;
		case ROW_SKIPPED:
			return outcomes[ROW_SKIPPED] + counts->skipped;
		case ROW_ABSENT:
			return outcomes[ROW_ABSENT] + counts->absent;
		case ROW_UNKNOWN:
			return outcomes[ROW_UNKNOWN] + counts->unknown;
		case ROW_WAITING:
			return outcomes[ROW_WAITING] + counts->waiting;
		default:
			return outcomes[outcome];
	}
}

#ifdef ACT_TEST
static bool stored_sums_hold = true;

/* What users see of it: once the run is over, an error here would end it again. */
static void
check_stored_sums(int64 run_id)
{
	SqlArgument args[] = {SQL_INT8(run_id)};

	stored_sums_hold = act_sql(SPI_OK_SELECT,
							   "SELECT 1 FROM activate.run WHERE run_id = $1 AND added + changed + removed ="
							   " accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out",
							   1, args) == 1;
}
#endif

bool
act_ledger_check_sums(const Run *run)
{
	const DiffCounts *counts = &run->diff.counts;

#ifdef ACT_TEST
	if (!stored_sums_hold)
		return false;
#endif
	return counts->added + counts->changed + counts->removed ==
		outcome_sum(run, ROW_ACCEPTED) + outcome_sum(run, ROW_REJECTED) +
		outcome_sum(run, ROW_DELAYED) + outcome_sum(run, ROW_UNKNOWN) +
		outcome_sum(run, ROW_WAITING) + outcome_sum(run, ROW_ABSENT) +
		outcome_sum(run, ROW_SKIPPED) + outcome_sum(run, ROW_HELD_OUT);
}

static void
update_run(Run *run, RunStatus status, const char *message, const char *detail, const char *hint)
{
	const DiffCounts *counts = &run->diff.counts;
	pg_uuid_t	digest;
	SqlArgument args[] = {
		SQL_INT8(run->run_id),
		SQL_TEXT(act_run_status_name(status)),
		{TIMESTAMPTZOID, TimestampTzGetDatum(act_now()), false},
		SQL_INT8(counts->rows_in_model),
		SQL_INT8(counts->added),
		SQL_INT8(counts->changed),
		SQL_INT8(counts->removed),
		SQL_INT8(outcome_sum(run, ROW_ACCEPTED)),
		SQL_INT8(outcome_sum(run, ROW_REJECTED)),
		SQL_INT8(counts->invalid),
		SQL_INT8(outcome_sum(run, ROW_DELAYED)),
		SQL_INT8(outcome_sum(run, ROW_UNKNOWN)),
		SQL_INT8(outcome_sum(run, ROW_ABSENT)),
		SQL_INT8(outcome_sum(run, ROW_SKIPPED)),
		SQL_INT8(counts->leaving),
		SQL_INT8(counts->unchanged),
		SQL_INT8(counts->duplicates),
		SQL_INT8(run->counts.requests),
		SQL_INT8(run->counts.retries),
		SQL_INT8(run->counts.bytes_sent),
		SQL_TEXT(message),
		SQL_TEXT(detail),
		SQL_TEXT(hint),
		{UUIDOID, UUIDPGetDatum(&digest), status != RUN_HELD},
		SQL_INT8(counts->synced + run->counts.first_accepted - run->counts.removals_accepted),
		SQL_INT8(counts->beyond + run->counts.outcomes[ROW_DELAYED]),
		SQL_INT8(outcome_sum(run, ROW_WAITING)),
		SQL_BOOL(run->keys != NULL || run->retry_rows),
		SQL_BOOL(run->canary_held),
	};

	memcpy(digest.data, run->diff.digest, UUID_LEN);
	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.run SET status = $2, finished_at = $3, rows_in_model = $4, added = $5,"
			" changed = $6, removed = $7, accepted = $8, rejected = $9, invalid = $10, delayed = $11,"
			" unknown = $12, absent = $13, skipped = $14, leaving = $15, unchanged = $16,"
			" duplicates = $17, requests = $18, retries = $19, bytes_sent = $20, error = $21,"
			" detail = $22, hint = $23, digest = $24, rows_synced = $25, untried = $26, waiting = $27, keyed = $28,"
			" canary = $29 WHERE run_id = $1",
			lengthof(args), args);
}

/* What its first batch, or its canary, was to show has been seen. */
static bool
proved_itself(const Run *run)
{
	if (run->sync->options.canary == 0)
		return outcome_sum(run, ROW_ACCEPTED) > 0;
	return run->canary_passed || run->approved;
}

void
act_ledger_finish(Run *run, RunStatus status, const char *message, const char *detail, const char *hint)
{
	Identity	identity;
	SqlArgument id[] = {
		SQL_INT8(run->sync->sync_id),
		{TIMESTAMPTZOID, TimestampTzGetDatum(run->sync->definition_changed_at), false}
	};

	act_identity_extension(&identity);
	update_run(run, status, message, detail, hint);
#ifdef ACT_TEST
	check_stored_sums(run->run_id);
#endif
	/* Of a definition that came while it ran this run says nothing. */
	if (run->sync->first_batch_alone && proved_itself(run))
		act_sql(SPI_OK_UPDATE,
				"UPDATE activate.sync SET first_batch_alone = false"
				" WHERE sync_id = $1 AND definition_changed_at = $2", lengthof(id), id);
	act_identity_leave(&identity);
	act_run_event_unknown(run, run->counts.outcomes[ROW_UNKNOWN]);
	act_run_event_end(run, status, message ? message : "");
}

/*
 * Whatever this run looked at, its invalid rows take the place of those
 * before.  Values are compared as text: a person may have typed "7" for 7.
 */
static void
forget_invalid_rows(const Run *run)
{
	SqlArgument args[] = {
		SQL_INT8(run->sync->sync_id),
		{JSONBOID, JsonbPGetDatum(run->keys), false},
		SQL_TEXT(run->sync->key[0]),
	};

	if (run->keys == NULL)
		act_sql(SPI_OK_DELETE, "DELETE FROM activate.invalid_row WHERE sync_id = $1", 1, args);
	else
		act_sql(SPI_OK_DELETE,
				"DELETE FROM activate.invalid_row AS i WHERE sync_id = $1 AND"
				" (SELECT pg_catalog.array_agg(t.value ORDER BY t.key) FROM pg_catalog.jsonb_each_text(i.key) AS t)"
				" IN (SELECT (SELECT pg_catalog.array_agg(t.value ORDER BY t.key) FROM pg_catalog.jsonb_each_text("
				"CASE pg_catalog.jsonb_typeof(v) WHEN 'object' THEN v"
				" ELSE pg_catalog.jsonb_build_object($3, v) END) AS t)"
				" FROM pg_catalog.jsonb_array_elements($2) AS e(v))",
				lengthof(args), args);
}

void
act_ledger_invalid_rows(Run *run)
{
	Identity	identity;
	ListCell   *cell;

	act_identity_extension(&identity);
	forget_invalid_rows(run);
	foreach(cell, run->diff.invalid)
	{
		const InvalidRow *row = lfirst(cell);
		SqlArgument args[] = {
			SQL_INT8(run->sync->sync_id),
			SQL_TEXT(act_text_to_server(row->key)),
			SQL_TEXT(row->code),
			SQL_TEXT(act_text_to_server(act_destination_redact(run->destination, row->message))),
			SQL_INT8(run->run_id),
		};

		act_sql(SPI_OK_INSERT,
				"INSERT INTO activate.invalid_row (sync_id, key, code, message, run_id)"
				" VALUES ($1, $2::pg_catalog.jsonb, $3, $4, $5)", lengthof(args), args);
	}
	act_identity_leave(&identity);
}

void
act_ledger_first_run_done(Run *run)
{
	Identity	identity;
	SqlArgument id[] = {SQL_INT8(run->sync->sync_id)};

	act_identity_extension(&identity);
	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.sync SET first_run_pending = false WHERE sync_id = $1", 1, id);
	act_identity_leave(&identity);
	run->sync->first_run_pending = false;
}

/* A held run was approved, and what would go out now is just that. */
bool
act_ledger_approved(Run *run)
{
	Identity	identity;
	pg_uuid_t	digest;
	uint64		found;
	SqlArgument args[] = {SQL_INT8(run->sync->sync_id), {UUIDOID, UUIDPGetDatum(&digest), false}};

	memcpy(digest.data, run->diff.digest, UUID_LEN);
	act_identity_extension(&identity);
	found = act_sql(SPI_OK_SELECT,
					"SELECT 1 FROM activate.run WHERE sync_id = $1 AND status = 'held'"
					" AND approved_at IS NOT NULL AND digest OPERATOR(pg_catalog.=) $2", 2, args);
	act_identity_leave(&identity);
	return found > 0;
}

/* The next run has a canary, the last whole one was held by its own, and nobody has approved or discarded it. */
bool
act_ledger_canary_pending(const Run *run)
{
	Identity	identity;
	bool		found;
	SqlArgument args[] = {SQL_INT8(run->sync->sync_id)};

	if (run->sync->options.canary == 0 || !run->sync->first_batch_alone || run->keys != NULL)
		return false;
	act_identity_extension(&identity);
	found = act_sql(SPI_OK_SELECT,
					"SELECT 1 FROM activate.run WHERE sync_id = $1 AND status = 'held' AND canary"
					" AND approved_at IS NULL", 1, args) > 0;
	act_identity_leave(&identity);
	return found;
}

/*
 * Whatever was held before: this diff is newer, where it is one of the whole
 * model.  A sync that stays held is told of once, not with each planned start.
 */
void
act_ledger_supersede(Run *run, bool approved)
{
	Identity	identity;
	uint64		count;
	SqlArgument args[] = {SQL_INT8(run->sync->sync_id), SQL_INT8(run->run_id)};

	if (run->keys != NULL)
		return;
	act_identity_extension(&identity);
	count = act_sql(SPI_OK_UPDATE_RETURNING,
					"UPDATE activate.run SET status = 'superseded'"
					" WHERE sync_id = $1 AND status = 'held' AND run_id < $2 RETURNING approved_at IS NULL", 2, args);
	run->held_again = run->stop.set && run->stop.status == RUN_HELD && count > 0 && act_sql_bool(0, 1);
	act_identity_leave(&identity);
	if (count > 0 && !run->held_again)
		act_event_record("superseded", "info", run->sync, run->run_id,
						 psprintf("the held run of sync \"%s\" %s run " INT64_FORMAT, run->sync->name,
								  approved ? "was approved and goes out with" : "was superseded by",
								  run->run_id), NULL);
}
