/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  SQL-callable: queue_run(), wait_for_run() and cancel_run().
 *
 * A queued run is a row of activate.run without a process.  It is asked for
 * by whatever transaction writes it, and taken by a background worker after
 * that has committed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "event.h"
#include "fault.h"
#include "identity.h"
#include "run.h"
#include "run_lock.h"
#include "settings.h"
#include "transaction.h"
#include "wakeup.h"

PG_FUNCTION_INFO_V1(act_queue_run);
PG_FUNCTION_INFO_V1(act_wait_for_run);
PG_FUNCTION_INFO_V1(act_cancel_run);

/* Without shared memory nobody says that a run has ended. */
#define POLL_MS 1000

/* What is known of a run, in the current memory context. */
typedef struct QueuedRun
{
	int64		run_id;
	int64		sync_id;
	char	   *status;
	int64		merged_into;	/* 0: it is itself */
} QueuedRun;

static int64
run_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the number of a run must not be null"),
				 errhint("SELECT run_id, sync, status FROM activate.runs ORDER BY run_id DESC;")));
	return PG_GETARG_INT64(0);
}

/* The run itself, or the one that does its work. */
static bool
find_run(int64 run_id, QueuedRun *run)
{
	SqlArgument args[] = {SQL_INT8(run_id)};
	Identity	identity;
	uint64		found;

	memset(run, 0, sizeof(*run));
	act_identity_extension(&identity);
	found = act_sql(SPI_OK_SELECT,
					"SELECT r.run_id, r.sync_id, r.status, r.merged_into FROM activate.run AS r WHERE r.run_id ="
					" (SELECT COALESCE(m.merged_into, m.run_id) FROM activate.run AS m WHERE m.run_id = $1)",
					lengthof(args), args);
	if (found == 1)
	{
		run->run_id = act_sql_int64(0, 1);
		run->sync_id = act_sql_int64(0, 2);
		run->status = act_sql_text(0, 3);
		run->merged_into = act_sql_int64(0, 4);
	}
	act_identity_leave(&identity);
	return found == 1;
}

/* The run of a sync that the caller may see; monitor: members of pg_monitor may. */
static Sync *
require_run(int64 run_id, bool monitor, QueuedRun *run)
{
	Sync	   *sync = NULL;

	if (find_run(run_id, run))
		sync = act_sync_load_by_id(run->sync_id);
	if (sync == NULL || !OidIsValid(sync->owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("run " INT64_FORMAT " does not exist", run_id),
				 errhint("SELECT run_id, sync, status FROM activate.runs ORDER BY run_id DESC;")));
	if (!monitor || !has_privs_of_role(GetUserId(), ROLE_PG_MONITOR))
		act_require_membership(sync->owner, sync->name);
	return sync;
}

static bool
is_over(const QueuedRun *run)
{
	return strcmp(run->status, "queued") != 0 && strcmp(run->status, "running") != 0;
}

/* ---------------------------------------------------------------- queue_run */

static void
require_workers(const char *sync)
{
	const char *hint;
	const char *problem = act_workers_problem(&hint);
	bool		here = act_enabled && !RecoveryInProgress();

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a run cannot be queued: %s", problem),
				 errdetail("Nobody would run it."),
				 here ? errhint("%s Or run it here: CALL activate.run_sync(%s);", hint, quote_literal_cstr(sync)) :
				 errhint("%s", hint)));
}

/*
 * One that waits already will do: locked, so that it is not taken before what
 * this transaction did is committed.
 */
static int64
find_queued(const Sync *sync)
{
	SqlArgument args[] = {SQL_INT8(sync->sync_id)};

	if (act_sql(SPI_OK_SELECT,
				"SELECT run_id FROM activate.run WHERE sync_id = $1 AND status = 'queued'"
				" ORDER BY run_id LIMIT 1 FOR SHARE SKIP LOCKED", lengthof(args), args) == 0)
		return 0;
	return act_sql_int64(0, 1);
}

static int64
insert_queued(const Sync *sync)
{
	SqlArgument args[] = {
		SQL_INT8(sync->sync_id),
		{TIMESTAMPTZOID, TimestampTzGetDatum(act_now()), false},
	};

	act_sql(SPI_OK_INSERT_RETURNING,
			"INSERT INTO activate.run (sync_id, cause, status, queued_at)"
			" VALUES ($1, 'manual', 'queued', $2) RETURNING run_id", lengthof(args), args);
	return act_sql_int64(0, 1);
}

/*
 * activate.queue_run(name) returns bigint.  A transaction block gets a run of
 * its own: to lock another one for as long as a block may stay open would
 * hold up whoever asked for that.
 */
Datum
act_queue_run(PG_FUNCTION_ARGS)
{
	char	   *name;
	Sync	   *sync;
	Identity	identity;
	int64		run_id = 0;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the name of a sync must not be null"),
				 errhint("SELECT sync FROM activate.syncs;")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	SPI_connect();
	sync = act_sync_load(name, false);
	require_workers(name);
	act_sync_require_unpaused(sync);
	act_sync_require_home(sync);
	act_identity_extension(&identity);
	if (!IsTransactionBlock() && !IsSubTransaction())
		run_id = find_queued(sync);
	if (run_id == 0)
		run_id = insert_queued(sync);
	act_identity_leave(&identity);
	act_wake_at_commit();
	SPI_finish();
	PG_RETURN_INT64(run_id);
}

/* ------------------------------------------------------------- wait_for_run */

/* Months and days as long as they are on average. */
static int64
timeout_argument(FunctionCallInfo fcinfo)
{
	const Interval *timeout;
	double		us;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("timeout must not be null"),
				 errhint("CALL activate.wait_for_run(42, timeout => '1 hour');")));
	timeout = PG_GETARG_INTERVAL_P(1);
	us = (double) timeout->time + (double) timeout->day * USECS_PER_DAY +
		(double) timeout->month * DAYS_PER_MONTH * USECS_PER_DAY;
	if (us < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not be negative"),
				 errhint("CALL activate.wait_for_run(42, timeout => '1 hour');")));
	return (int64) Min(us, 1000.0 * DAYS_PER_YEAR * USECS_PER_DAY);
}

static void
require_own_transactions(FunctionCallInfo fcinfo)
{
	if (!act_transaction_is_own(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("wait_for_run cannot run inside a transaction block"),
				 errdetail("A run that the block queued would not begin before it commits."),
				 errhint("Commit first, and call it with autocommit.")));
}

/* Until a run ends somewhere, or it is time to look by oneself. */
static void
wait_for_any(int64 ended, int64 us)
{
	static uint32 wait_event = 0;

	act_runs_wait(ended, (long) Min(us / 1000 + 1, POLL_MS),
				  act_compat_wait_event(&wait_event, "PgActivateWaitForRun"));
}

/* Looks and waits by turns; nothing of the database is held while it waits. */
static char *
wait_until_over(int64 run_id, int64 timeout)
{
	TimestampTz until = GetCurrentTimestamp() + timeout;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "pg_activate wait", ALLOCSET_DEFAULT_SIZES);
	char	   *status;

	act_transaction_open(false);
	act_transaction_commit(true);
	for (;;)
	{
		int64		ended = act_runs_ended();
		int64		left;
		QueuedRun	run;

		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		act_transaction_read_only();
		(void) require_run(run_id, true, &run);
		status = MemoryContextStrdup(caller, run.status);
		act_transaction_commit(true);
		MemoryContextSwitchTo(caller);
		left = until - GetCurrentTimestamp();
		if (is_over(&run) || left <= 0)
		{
			if (!is_over(&run))
				ereport(WARNING,
						(errmsg("run " INT64_FORMAT " has not ended yet: it is %s", run_id, status)));
			break;
		}
		pfree(status);
		wait_for_any(ended, left);
	}
	MemoryContextDelete(context);
	return status;
}

/* CALL activate.wait_for_run(run_id bigint, timeout interval, INOUT status text) */
Datum
act_wait_for_run(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	int64		run_id = run_argument(fcinfo);
	int64		timeout = timeout_argument(fcinfo);
	TupleDesc	desc;
	Datum		values[1];
	bool		nulls[1] = {false};

	require_own_transactions(fcinfo);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "wait_for_run returns a row");
	desc = BlessTupleDesc(desc);
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	MemoryContextSwitchTo(caller);
	values[0] = CStringGetTextDatum(wait_until_over(run_id, timeout));
	SPI_finish();
	MemoryContextSwitchTo(caller);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* --------------------------------------------------------------- cancel_run */

/* Before it began.  False: it has begun meanwhile, or is over. */
static bool
cancel_queued(const Sync *sync, int64 run_id)
{
	Identity	identity;
	char	   *message = psprintf("the run was cancelled by %s before it began",
								   GetUserNameFromId(GetUserId(), false));
	SqlArgument args[] = {
		SQL_INT8(run_id),
		{TIMESTAMPTZOID, TimestampTzGetDatum(act_now()), false},
		SQL_TEXT(message),
	};
	bool		cancelled;

	act_identity_extension(&identity);
	cancelled = act_sql(SPI_OK_UPDATE,
						"UPDATE activate.run SET status = 'cancelled', finished_at = $2, error = $3"
						" WHERE run_id = $1 AND status = 'queued'", lengthof(args), args) == 1;
	act_identity_leave(&identity);
	if (cancelled)
		act_event_record("run_cancelled", "warning", sync, run_id, message, NULL);
	return cancelled;
}

/*
 * With shared memory the run knows why, and a signal that comes too late hits
 * nobody else: its slot is given back, under the same lock, before it goes on
 * to something else.  Without, it is as pg_cancel_backend(), and the run ends
 * with 57014.
 */
bool
act_run_cancel(int64 sync_id, int64 run_id)
{
	int			pid = 0;

	if (act_shared != NULL)
	{
		RunSlot    *slot;

		LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
		slot = act_run_slot_find(MyDatabaseId, sync_id);
		if (slot != NULL && slot->state == SLOT_RUNNING && slot->pid != 0 &&
			(slot->run_id == run_id || slot->run_id == 0 || run_id == 0))
		{
			pid = slot->pid;
			slot->cancel = true;
			(void) kill(pid, SIGINT);
		}
		LWLockRelease(&act_shared->lock);
	}
	if (pid == 0)
	{
		pid = act_run_lock_holder(sync_id);
		if (pid != 0)
			(void) kill(pid, SIGINT);
	}
	return pid != 0;
}

/* activate.cancel_run(run_id bigint) */
Datum
act_cancel_run(PG_FUNCTION_ARGS)
{
	int64		run_id = run_argument(fcinfo);
	QueuedRun	run;
	Sync	   *sync;

	SPI_connect();
	sync = require_run(run_id, false, &run);
	if (strcmp(run.status, "queued") == 0 && !cancel_queued(sync, run.run_id))
		sync = require_run(run_id, false, &run);	/* a worker was faster */
	if (strcmp(run.status, "running") == 0)
	{
		if (!act_run_cancel(sync->sync_id, run.run_id))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("run " INT64_FORMAT " is not under way any more: its process is gone", run_id),
					 errhint("The next run of sync \"%s\" calls it interrupted.", sync->name)));
	}
	else if (is_over(&run))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("run " INT64_FORMAT " has ended already: it is %s", run_id, run.status)));
	SPI_finish();
	PG_RETURN_VOID();
}
