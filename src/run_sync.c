/*-------------------------------------------------------------------------
 *
 * run_sync.c
 *	  SQL-callable: CALL activate.run_sync(), a run in a session.
 *
 * A procedure, since it commits as it goes.  What stands in the way is
 * refused before anything is read; how the run ended is an error, a warning
 * or nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "key_argument.h"
#include "request_log.h"
#include "run.h"
#include "run_lock.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_run_sync);

void
act_run_sync_lock(Run *run, const char *name)
{
	Sync	   *sync;
	int			pid;

	run->sync = sync = act_sync_load_locked(name, false, false);
	act_sync_require_unpaused(sync);
	act_sync_require_home(sync);
	if (sync->mode == MODE_REPLACE && (run->max_rows > 0 || run->keys != NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sync \"%s\" cannot send some of its rows", name),
				 errdetail("Its mode is replace: all rows go in one request."),
				 errhint("CALL activate.run_sync(%s);", quote_literal_cstr(name))));
	if (run->keys != NULL)
	{
		act_key_argument_check(sync, run->keys);
		act_cluster_require_released(sync);
	}
	if (act_run_lock_acquire(sync->sync_id))
	{
		run->slot = act_run_slot_take(sync->sync_id, sync->name);
		return;
	}
	pid = act_run_lock_holder(sync->sync_id);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("sync \"%s\" is already running", sync->name),
			 pid != 0 ? errdetail("Process %d runs it.", pid) : 0,
			 errhint("Wait for it, or end it: SELECT activate.cancel_run(run_id) FROM activate.progress WHERE sync = %s;",
					 quote_literal_cstr(sync->name))));
}

void
act_run_sync_report(const Run *run, RunStatus status, int failed)
{
	const int64 *outcomes = run->counts.outcomes;
	const DiffCounts *counts = &run->diff.counts;
	int			sqlstate = status == RUN_HELD ? ERRCODE_ACTIVATE_HELD :
		status == RUN_CANCELLED ? ERRCODE_ACTIVATE_CANCELLED :
		status == RUN_POSTPONED ? ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE : ERRCODE_ACTIVATE_FAILED;
	int64		nabsent = outcomes[ROW_ABSENT] + counts->absent;
	int64		nrefused = outcomes[ROW_REJECTED] + outcomes[ROW_REFUSED];
	int64		nwaiting = outcomes[ROW_WAITING] + counts->waiting;
	int64		nunknown = outcomes[ROW_UNKNOWN] + counts->unknown;
	char	   *unknown = nunknown > 0 ? psprintf(", " INT64_FORMAT " unknown", nunknown) : "";
	char	   *absent = nabsent > 0 ? psprintf(", " INT64_FORMAT " absent", nabsent) : "";
	char	   *waiting = nwaiting > 0 ? psprintf(", " INT64_FORMAT " waiting", nwaiting) : "";
	int64		delayed = outcomes[ROW_DELAYED] + outcomes[ROW_DOUBT] + counts->delayed;
	bool		only_untried = run->unit == NULL && nrefused + counts->invalid + nabsent + nunknown + nwaiting == 0 &&
		delayed == counts->beyond + outcomes[ROW_DELAYED];

	if (run->log != NULL && run->log->unlogged > 0)
		ereport(NOTICE,
				(errmsg(INT64_FORMAT " more requests of run " INT64_FORMAT " that failed are not in activate.requests",
						run->log->unlogged, run->run_id),
				 errdetail("It has the first %d of a run.", REQUEST_LOG_MAX_FAILED)));
	if (status == RUN_SUCCEEDED)
		return;
	if (status == RUN_PARTIAL)
		ereport(WARNING,
				(errcode(ERRCODE_ACTIVATE_PARTIAL),
				 errmsg("run " INT64_FORMAT " of sync \"%s\" is partial: " INT64_FORMAT " accepted, "
						INT64_FORMAT " refused, " INT64_FORMAT " invalid, " INT64_FORMAT " delayed%s%s%s",
						run->run_id, run->sync->name, outcomes[ROW_ACCEPTED],
						nrefused, counts->invalid, delayed, absent, unknown, waiting),
				 run->stop.detail ? errdetail_internal("%s. %s", run->stop.message, run->stop.detail) :
				 run->stop.message ? errdetail_internal("%s", run->stop.message) : 0,
				 run->stop.hint ? errhint("%s", run->stop.hint) :
				 only_untried ?
				 errhint("CALL activate.run_sync(%s); sends the rest.", quote_literal_cstr(run->sync->name)) :
				 errhint("SELECT key, state, code, message FROM activate.pending WHERE sync = %s;",
						 quote_literal_cstr(run->sync->name))));
	else
		ereport(failed,
				(errcode(failed >= ERROR ? sqlstate : ERRCODE_WARNING),
				 errmsg_internal("%s", run->stop.message),
				 run->stop.detail ? errdetail_internal("%s", run->stop.detail) : 0,
				 run->stop.hint ? errhint("%s", run->stop.hint) : 0));
}

static void
run_sync(const char *name, int64 max_rows, Jsonb *keys, MemoryContext parent)
{
	Run		   *run = act_run_create(parent, false);
	MemoryContext caller = MemoryContextSwitchTo(run->context);
	RunStatus	status;

	run->max_rows = max_rows;
	run->keys = keys;
	/* Whatever the call's own transaction is like, the run's are of its own. */
	act_transaction_commit(true);
	act_transaction_writable();
	act_run_sync_lock(run, name);
	(void) act_run_perform(run, &status);
	act_run_sync_report(run, status, ERROR);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(run->context);
}

/* A transaction block, a function or an EXCEPTION clause around the call. */
void
act_run_sync_require_own(FunctionCallInfo fcinfo, const char *procedure)
{
	if (!act_transaction_is_own(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s cannot run inside a transaction block", procedure),
				 errdetail("It commits as it goes, so that nothing of the database is held while the destination is waited for."),
				 errhint("Call it by itself with autocommit (in psql outside BEGIN, in psycopg with autocommit = True), or let the background worker run it: SELECT activate.queue_run('...');")));
}

/* A standby keeps what the primary sent, and cannot write what it would send. */
void
act_run_sync_require_primary(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("a standby does not run syncs"),
				 errhint("Run it on the primary.")));
}

/* CALL activate.run_sync(name text, max_rows bigint, keys jsonb) */
Datum
act_run_sync(PG_FUNCTION_ARGS)
{
	char	   *name;
	Jsonb	   *keys = NULL;
	int64		max_rows = 0;
	MemoryContext context = PortalContext != NULL ? PortalContext : TopMemoryContext;
	MemoryContext caller;

	act_run_sync_require_primary();
	act_run_sync_require_own(fcinfo, "run_sync");
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the name of a sync must not be null"),
				 errhint("SELECT sync FROM activate.syncs;")));
	if (!PG_ARGISNULL(1))
	{
		max_rows = PG_GETARG_INT64(1);
		if (max_rows <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("max_rows must be greater than zero"),
					 errhint("NULL sends all rows.")));
	}
	caller = MemoryContextSwitchTo(context);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (!PG_ARGISNULL(2))
	{
		keys = DatumGetJsonbPCopy(PG_GETARG_DATUM(2));
		act_key_argument_require_array(keys);
	}
	MemoryContextSwitchTo(caller);

	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	run_sync(name, max_rows, keys, context);
	SPI_finish();
	PG_RETURN_VOID();
}
