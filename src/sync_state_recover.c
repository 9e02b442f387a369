/*-------------------------------------------------------------------------
 *
 * sync_state_recover.c
 *	  Runs whose process is gone, and times that the clock left behind.
 *
 * After a crash, a restart, a promotion: what activate.run says is under way
 * is looked for among the processes, and what is not there was interrupted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/procarray.h"

#include "destination_state.h"
#include "event.h"
#include "fault.h"
#include "identity.h"
#include "run_lock.h"
#include "sync_state_private.h"

/* The longest pause before something is tried again. */
#define RETRY_LIMIT USECS_PER_DAY

typedef struct DeadRun
{
	int64		run_id;
	int			pid;
	bool		by_worker;
	Sync		sync;			/* as far as events need it; name NULL: it is gone */
} DeadRun;

/*
 * A process of that number may be another one by now: then nobody holds the
 * run's lock.  To take it for a moment is the only way to know, since who has
 * no transaction is not named among the holders of a lock.
 */
static bool
is_dead(const DeadRun *run)
{
	if (run->pid == 0 || BackendPidGetProc(run->pid) == NULL)
		return true;
	if (!act_run_lock_acquire(run->sync.sync_id))
		return false;
	act_run_lock_release(run->sync.sync_id);
	return true;
}

static List *
runs_under_way(void)
{
	List	   *runs = NIL;
	uint64		count = act_sql(SPI_OK_SELECT,
								"SELECT r.run_id, r.sync_id, r.pid, r.queued_at IS NOT NULL OR r.cause <> 'manual',"
								" s.name, s.destination, s.schedule"
								" FROM activate.run AS r LEFT JOIN activate.sync AS s USING (sync_id)"
								" WHERE r.status = 'running'", 0, NULL);

	for (uint64 i = 0; i < count; i++)
	{
		DeadRun    *run = palloc0(sizeof(DeadRun));

		run->run_id = act_sql_int64(i, 1);
		run->sync.sync_id = act_sql_int64(i, 2);
		run->pid = (int) act_sql_int64(i, 3);
		run->by_worker = act_sql_bool(i, 4);
		run->sync.name = act_sql_text(i, 5);
		run->sync.destination = act_sql_text(i, 6);
		run->sync.schedule = act_sql_text(i, 7);
		runs = lappend(runs, run);
	}
	return runs;
}

/* False: it has ended meanwhile, in its own way. */
static bool
write_interrupted(const DeadRun *run)
{
	SqlArgument args[] = {SQL_INT8(run->run_id), SQL_TIME(act_now())};

	return act_sql(SPI_OK_UPDATE,
				   "UPDATE activate.run SET status = 'interrupted', finished_at = $2,"
				   " error = 'the process that ran it ended' WHERE run_id = $1 AND status = 'running'",
				   lengthof(args), args) == 1;
}

static bool
interrupt(const DeadRun *run, bool patient)
{
	SyncState	state;

	if (run->sync.name == NULL)
		return write_interrupted(run);
	if (!act_sync_state_load(run->sync.sync_id, patient, &state) || !write_interrupted(run))
		return false;
	act_sync_state_interrupted(&state, run->sync.schedule, run->by_worker);
	act_sync_state_store(&state);
	act_event_record("run_interrupted", "warning", &run->sync, run->run_id,
					 psprintf("run " INT64_FORMAT " of sync \"%s\" was interrupted: the process that ran it ended",
							  run->run_id, run->sync.name), NULL);
	return true;
}

int
act_sync_state_recover(void)
{
	Identity	identity;
	ListCell   *cell;
	int			count = 0;

	act_identity_extension(&identity);
	foreach(cell, runs_under_way())
	{
		CHECK_FOR_INTERRUPTS();
		if (is_dead(lfirst(cell)) && interrupt(lfirst(cell), false))
			count++;
	}
	act_identity_leave(&identity);
	return count;
}

void
act_sync_state_recover_sync(int64 sync_id)
{
	Identity	identity;
	ListCell   *cell;

	act_identity_extension(&identity);
	foreach(cell, runs_under_way())
	{
		const DeadRun *run = lfirst(cell);

		if (run->sync.sync_id == sync_id)
			(void) interrupt(run, true);
	}
	act_identity_leave(&identity);
}

/* ----------------------------------------------------------------
 *		Times
 * ----------------------------------------------------------------
 */

typedef struct Checked
{
	int64		sync_id;
	char	   *schedule;
	char	   *time_zone;
} Checked;

static List *
syncs_with_times(void)
{
	List	   *syncs = NIL;
	uint64		count = act_sql(SPI_OK_SELECT,
								"SELECT s.sync_id, s.schedule, s.time_zone"
								" FROM activate.sync AS s JOIN activate.sync_state AS t USING (sync_id)"
								" WHERE t.next_run_at IS NOT NULL OR t.retry_at IS NOT NULL",
								0, NULL);

	for (uint64 i = 0; i < count; i++)
	{
		Checked    *checked = palloc(sizeof(Checked));

		checked->sync_id = act_sql_int64(i, 1);
		checked->schedule = act_sql_text(i, 2);
		checked->time_zone = act_sql_text(i, 3);
		syncs = lappend(syncs, checked);
	}
	return syncs;
}

/* Whether anything had to be. */
static bool
set_right(SyncState *state, const Checked *checked, TimestampTz now)
{
	SyncState	before = *state;
	TimestampTz next;

	if (state->anchor > now)
		act_sync_state_begin(state, checked->schedule, checked->time_zone, now);
	if (state->next_run_at > now)
	{
		next = act_sync_state_next(state, act_sync_state_schedule(checked->schedule, checked->time_zone), now);
		if (next != 0 && state->next_run_at > next)
			state->next_run_at = next;
	}
	if (state->retry_at > now + RETRY_LIMIT)
		state->retry_at = now;
	return before.anchor != state->anchor ||
		before.next_run_at != state->next_run_at || before.retry_at != state->retry_at;
}

void
act_sync_state_check(void)
{
	Identity	identity;
	TimestampTz now = act_now();
	ListCell   *cell;

	act_identity_extension(&identity);
	foreach(cell, syncs_with_times())
	{
		const Checked *checked = lfirst(cell);
		SyncState	state;

		CHECK_FOR_INTERRUPTS();
		if (act_sync_state_load(checked->sync_id, false, &state) &&
			set_right(&state, checked, now))
			act_sync_state_store(&state);
	}
	act_destination_state_check(now);
	act_identity_leave(&identity);
}
