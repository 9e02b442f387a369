/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  How far a run is, for the view progress and pg_stat_activity.
 *
 * A run writes its own slot without a lock: who reads it may see a number
 * that is a moment old, and nothing depends on it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "progress.h"
#include "run_lock.h"
#include "worker.h"

/* The title of a worker changes at most so often. */
#define TITLE_INTERVAL_US USECS_PER_SEC

/* In place of the number of a run. */
#define RUN_IS_OVER (-1)

PG_FUNCTION_INFO_V1(act_progress_slots);
PG_FUNCTION_INFO_V1(act_run_process);

static const char *const phase_names[] = {
	[PHASE_START] = "diff",
	[PHASE_DIFF] = "diff",
	[PHASE_LINK] = "link",
	[PHASE_DELIVER] = "deliver",
	[PHASE_SETTLE] = "settle"
};

static void
set_title(const Run *run, RunPhase phase, int64 done)
{
	char		title[NAMEDATALEN + 128];

	if (!run->in_worker)
		return;
	if (phase == PHASE_DELIVER)
		snprintf(title, sizeof(title), "sync %s: delivering " INT64_FORMAT " of " INT64_FORMAT " rows",
				 run->sync->name, done, run->diff.counts.to_send);
	else
		snprintf(title, sizeof(title), "sync %s: %s", run->sync->name,
				 phase == PHASE_SETTLE ? "writing down what came of it" :
				 phase == PHASE_LINK ? "asking for records" : "comparing");
	act_worker_activity(title);
}

void
act_progress_start(Run *run)
{
	RunSlot    *slot = run->slot;

	set_title(run, PHASE_START, 0);
	if (slot == NULL)
		return;
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	slot->run_id = run->run_id;
	slot->started_at = run->started_at;
	slot->phase = PHASE_START;
	slot->rows_total = -1;
	slot->rows_done = 0;
	slot->in_flight = 0;
	slot->deliver_started_at = 0;
	slot->waiting_for[0] = '\0';
	LWLockRelease(&act_shared->lock);
}

void
act_progress_phase(Run *run, RunPhase phase)
{
	RunSlot    *slot = run->slot;

	set_title(run, phase, 0);
	run->titled_at = GetCurrentTimestamp();
	if (slot == NULL)
		return;
	if (phase == PHASE_DELIVER)
	{
		slot->rows_total = run->diff.counts.to_send;
		slot->deliver_started_at = run->titled_at;
	}
	slot->waiting_for[0] = '\0';
	slot->phase = phase;
}

void
act_progress_deliver(Run *run, int64 done, int in_flight, const char *waiting_for)
{
	RunSlot    *slot = run->slot;

	if (slot != NULL)
	{
		slot->rows_done = done;
		slot->in_flight = in_flight;
		strlcpy(slot->waiting_for, waiting_for != NULL ? waiting_for : "", sizeof(slot->waiting_for));
	}
	if (run->in_worker)
	{
		TimestampTz now = GetCurrentTimestamp();

		if (now - run->titled_at < TITLE_INTERVAL_US)
			return;
		run->titled_at = now;
		set_title(run, PHASE_DELIVER, done);
	}
}

bool
act_progress_end(Run *run)
{
	RunSlot    *slot = run->slot;
	bool		cancelled;

	if (slot == NULL)
		return false;
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	cancelled = slot->cancel;
	if (run->recorded)
		slot->run_id = RUN_IS_OVER;
	LWLockRelease(&act_shared->lock);
	return cancelled;
}

/* Copies of the slots of this database; they are palloc'ed. */
static RunSlot *
read_slots(int *count)
{
	RunSlot    *slots = palloc(sizeof(RunSlot) * ACT_MAX_RUNS);

	*count = 0;
	LWLockAcquire(&act_shared->lock, LW_SHARED);
	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		const RunSlot *slot = &act_shared->runs[i];

		if (slot->state == SLOT_RUNNING && slot->database == MyDatabaseId && slot->run_id > 0)
			slots[(*count)++] = *slot;
	}
	LWLockRelease(&act_shared->lock);
	return slots;
}

static void
put_slot(ReturnSetInfo *result, const RunSlot *slot)
{
	bool		delivering = slot->phase >= PHASE_DELIVER;
	Datum		values[] = {
		Int64GetDatum(slot->run_id),
		Int32GetDatum(slot->pid),
		CStringGetTextDatum(phase_names[slot->phase]),
		Int64GetDatum(slot->rows_total),
		Int64GetDatum(slot->rows_done),
		Int32GetDatum(slot->in_flight),
		TimestampTzGetDatum(slot->deliver_started_at),
		CStringGetTextDatum(slot->waiting_for),
	};
	bool		nulls[] = {
		false, false, false, !delivering || slot->rows_total < 0, !delivering, !delivering,
		slot->deliver_started_at == 0, slot->waiting_for[0] == '\0'
	};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * activate.progress_slots(): runs of this database as they say themselves, to
 * their owners and members of pg_monitor; none without preload.
 */
Datum
act_progress_slots(PG_FUNCTION_ARGS)
{
	Oid			user = GetUserId();
	bool		monitor = has_privs_of_role(user, ROLE_PG_MONITOR);
	RunSlot    *slots;
	int			count;

	act_compat_materialize(fcinfo);
	if (act_shared == NULL)
		return (Datum) 0;
	SPI_connect();
	slots = read_slots(&count);
	for (int i = 0; i < count; i++)
	{
		const Sync *sync = act_sync_load_by_id(slots[i].sync_id);

		if (sync != NULL && OidIsValid(sync->owner) &&
			(monitor || has_privs_of_role(user, sync->owner)))
			put_slot((ReturnSetInfo *) fcinfo->resultinfo, &slots[i]);
	}
	SPI_finish();
	return (Datum) 0;
}

/*
 * activate.run_process(sync_id): who has the run lock of a sync, which is
 * known without preload, too; null: nobody.
 */
Datum
act_run_process(PG_FUNCTION_ARGS)
{
	int			pid = PG_ARGISNULL(0) ? 0 : act_run_lock_holder(PG_GETARG_INT64(0));

	if (pid == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(pid);
}
