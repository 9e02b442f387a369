/*-------------------------------------------------------------------------
 *
 * sync_state_finish.c
 *	  What a run that ends makes of its sync's state: when to try again.
 *
 * In the transaction that writes the run's end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "backoff.h"
#include "destination_state.h"
#include "fault.h"
#include "identity.h"
#include "job.h"
#include "model_wait.h"
#include "settings.h"
#include "sync_state_private.h"
#include "wakeup.h"

/* Of runs that failed or were interrupted, and of rows left over. */
#define RETRY_FIRST USECS_PER_MINUTE
#define RETRY_LIMIT USECS_PER_DAY

/* How long a schedule of seconds rests after a run that failed, at first. */
#define FAILED_PAUSE (5 * USECS_PER_SEC)

/* Rows that others may wait for are all there now. */
static void
move_ids(SyncState *state)
{
	if (!state->ids_new)
		return;
	state->ids_new = false;
	state->ids_moved++;
	act_wake_at_commit();
}

static TimestampTz
retry_pause(int failures)
{
	return act_backoff_pause(RETRY_FIRST, RETRY_LIMIT, failures);
}

static TimestampTz
earlier(TimestampTz a, TimestampTz b)
{
	return a == 0 ? b : b == 0 ? a : Min(a, b);
}

/* The whole again, or the same rows; later each time. */
static void
try_again(SyncState *state, TimestampTz pause, bool rows)
{
	state->retry_at = act_now() + pause;
	state->retry_rows = rows;
}

/* A schedule of seconds does not repeat what just failed as often. */
static void
slow_down(SyncState *state)
{
	if (state->next_run_at != 0)
		state->next_run_at = Max(state->next_run_at, act_now() +
								 act_backoff_pause(FAILED_PAUSE, RETRY_FIRST, state->failures));
}

/*
 * Whether a person named a few rows, or had it end before all were sent: the
 * others wait for what they waited for.
 */
static bool
is_part(const Run *run, RunStatus status)
{
	if (run->retry_rows)
		return false;
	return run->keys != NULL || status == RUN_CANCELLED ||
		(status == RUN_PARTIAL && run->diff.counts.beyond > 0);
}

static void
finish_part(const Run *run, SyncState *state)
{
	if (run->rows_retry_at == 0)
		return;
	if (state->retry_at == 0)
		state->retry_rows = true;
	state->retry_at = earlier(state->retry_at, run->rows_retry_at);
}

static bool
asked_meanwhile(const Run *run, const SyncState *state)
{
	return state->retry_at != 0 && state->retry_at >= run->started_at && state->retry_at <= act_now();
}

static void
finish_whole(const Run *run, RunStatus status, SyncState *state)
{
	const int64 *outcomes = run->counts.outcomes;
	bool		left = status == RUN_PARTIAL && outcomes[ROW_DELAYED] + outcomes[ROW_DOUBT] > 0;

	/* Rows that somebody wants tried again, and said so after it began, are not those it saw. */
	if (!asked_meanwhile(run, state))
	{
		state->retry_at = run->rows_retry_at;
		state->retry_rows = true;
	}
	if (status == RUN_HELD)
		state->retry_at = 0;
	if (status == RUN_CANCELLED && run->retry_rows)
		try_again(state, RETRY_FIRST, true);
	if (status == RUN_SUCCEEDED || status == RUN_HELD || (status == RUN_PARTIAL && !left))
		state->failures = 0;
	/* As soon as the destination lets it, which keeps it back until then. */
	if (run->destination_paused || (run->throttled_until != 0 && left))
	{
		try_again(state, Max(run->throttled_until - act_now(), 0), run->retry_rows);
		return;
	}
	if (status != RUN_FAILED && status != RUN_INTERRUPTED && !left)
		return;

	state->failures++;
	if (run->unreachable)
		try_again(state, act_destination_state_pause(state->failures), run->retry_rows);
	else if (status != RUN_INTERRUPTED)
	{
		try_again(state, retry_pause(state->failures), run->retry_rows);
		if (status == RUN_FAILED)
			slow_down(state);
	}
	else
		try_again(state, state->failures > 1 ? retry_pause(state->failures - 1) : 0, false);
}

/*
 * What it left to the destination is asked for by a run of the whole, which
 * begins with it; of a sync that runs only when called by one of nothing else.
 */
static void
resume_jobs(const Run *run, RunStatus status, SyncState *state)
{
	if (status == RUN_PARTIAL || status == RUN_POSTPONED)
	{
		state->retry_at = run->job_due_at;
		state->failures = 0;
	}
	/* What keeps failing is not asked more often for its jobs: they wait as long as the rest. */
	else if (status == RUN_FAILED && !is_part(run, status))
		state->retry_at = Max(state->retry_at, run->job_due_at);
	else
		state->retry_at = earlier(state->retry_at, run->job_due_at);
	state->retry_rows = act_schedule_is_manual(run->sync->schedule) && !(run->in_worker && run->cause == CAUSE_MANUAL);
}

/* What the schedule does as early needs nothing else. */
static void
leave_to_schedule(const char *schedule, bool resume, SyncState *state)
{
	if (act_schedule_is_manual(schedule) ? !resume : state->next_run_at != 0 && state->retry_at >= state->next_run_at)
		state->retry_at = 0;
}

void
act_sync_state_interrupted(SyncState *state, const char *schedule, bool by_worker)
{
	move_ids(state);
	state->failures++;
	/* What it left to the destination is asked for, though nobody has the rest of it made again. */
	try_again(state, state->failures > 1 ? retry_pause(state->failures - 1) : 0,
			  act_schedule_is_manual(schedule) && !by_worker);
	leave_to_schedule(schedule, by_worker || act_job_exists(state->sync_id), state);
}

/* What is known of the other rows stays known after a run of a few. */
static void
note_waiting(const Run *run, SyncState *state)
{
	bool		all = run->keys == NULL || run->retry_rows;

	if (run->marked)
		state->waiting = run->diff.counts.waiting > 0 || (state->waiting && !all);
}

void
act_sync_state_finish(const Run *run, RunStatus status)
{
	Identity	identity;
	SyncState	state;

	/* That the workers were stopped is not what a person meant for this run. */
	if (status == RUN_CANCELLED && run->in_worker && !act_enabled)
		status = RUN_INTERRUPTED;

	act_identity_extension(&identity);
	(void) act_sync_state_load(run->sync->sync_id, true, &state);
	if (is_part(run, status))
		finish_part(run, &state);
	else
		finish_whole(run, status, &state);
	if (run->job_due_at != 0)
		resume_jobs(run, status, &state);
	leave_to_schedule(run->sync->schedule, run->job_due_at != 0 ||
					  ((status == RUN_INTERRUPTED || run->destination_paused) && run->in_worker), &state);
	note_waiting(run, &state);
	move_ids(&state);
	if (run->model_problem != NULL)
		act_model_wait(run->sync, &state, run->model_problem, run->run_id);
	act_sync_state_store(&state);
	act_destination_state_report(run, status);
	act_identity_leave(&identity);
}
