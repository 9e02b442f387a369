/*-------------------------------------------------------------------------
 *
 * run.c
 *	  One run of a sync: lock, resolve, diff, guard, deliver, settle, finish.
 *
 * activate.run_sync() is a procedure: each stage is a transaction of its own,
 * and none is open (but an empty one) while a destination is waited for.
 * After an error what is known is still written down, in a fresh transaction,
 * before the error goes on its way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

#include "deliver.h"
#include "fault.h"
#include "identity.h"
#include "key_argument.h"
#include "run.h"
#include "run_lock.h"
#include "snapshot.h"
#include "transaction.h"

#define ERRCODE_ACTIVATE_FAILED MAKE_SQLSTATE('P','A','0','0','1')
#define ERRCODE_ACTIVATE_HELD MAKE_SQLSTATE('P','A','0','0','2')
#define ERRCODE_ACTIVATE_CANCELLED MAKE_SQLSTATE('P','A','0','0','3')
#define ERRCODE_ACTIVATE_PARTIAL MAKE_SQLSTATE('0','1','P','A','1')

PG_FUNCTION_INFO_V1(act_run_sync);

void
act_run_stop(Run *run, RunStatus status, const char *message, const char *detail, const char *hint)
{
	MemoryContext caller = MemoryContextSwitchTo(run->context);

	run->stop.set = true;
	run->stop.status = status;
	run->stop.message = pstrdup(message);
	run->stop.detail = detail ? pstrdup(detail) : NULL;
	run->stop.hint = hint ? pstrdup(hint) : NULL;
	MemoryContextSwitchTo(caller);
}

/* ------------------------------------------------------------------- stages */

static void
run_lock(Run *run, const char *name)
{
	Sync	   *sync;
	int			pid;

	run->sync = sync = act_sync_load_locked(name, false, false);
	if (sync->paused)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sync \"%s\" is paused", sync->name),
				 sync->pause_reason ? errdetail_internal("%s", sync->pause_reason) : 0,
				 errhint("SELECT activate.resume_sync(%s);", quote_literal_cstr(sync->name))));
	act_sync_require_home(sync);
	if (run->keys != NULL)
	{
		act_key_argument_check(sync, run->keys);
		act_cluster_require_released(sync);
	}
	if (act_run_lock_acquire(sync->sync_id))
		return;
	pid = act_run_lock_holder(sync->sync_id);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("sync \"%s\" is already running", sync->name),
			 pid != 0 ? errdetail("Process %d runs it.", pid) : 0,
			 errhint("Wait for it, or end it: SELECT pg_cancel_backend(%d);", pid)));
}

/* Claims of a run that died are settled first: their rows are in doubt. */
static void
run_start(Run *run)
{
	run->started_at = act_now();
	if (run->sync->options.max_run_time_ms > 0)
		run->deadline = run->started_at + run->sync->options.max_run_time_ms * 1000;
	act_ledger_start(run);
	act_transaction_commit(true);
	act_transaction_writable();
	run->settler = act_settler_create(run->sync);
	act_settler_lock_patiently(run->settler);
	(void) act_claim_recover(run->settler);
	act_transaction_commit(true);
	act_cluster_doubts(run);
}

void
act_run_scope(Run *run)
{
	const Sync *sync = run->sync;
	ConnectorScope *scope = &run->scope;

	scope->sync_name = pg_server_to_any(sync->name, strlen(sync->name), PG_UTF8);
	scope->object = sync->object ? pg_server_to_any(sync->object, strlen(sync->object), PG_UTF8) : NULL;
	scope->match = NULL;
	scope->run_id = run->run_id;
	scope->nkeys = sync->nkeys;
	scope->key_names = palloc(sizeof(char *) * sync->nkeys);
	for (int i = 0; i < sync->nkeys; i++)
		scope->key_names[i] = pg_server_to_any(sync->key[i], strlen(sync->key[i]), PG_UTF8);
	scope->option = act_destination_option;
	scope->secret = act_destination_secret;
	scope->arg = run->destination;
}

/* Before a key goes out that the table could not take. */
static void
widen_key(Run *run)
{
	Model	   *model = act_model_resolve(run->sync);

	if (act_snapshot_check_key(run->sync, model))
		return;
	act_snapshot_widen_key(run->sync, model);
	run->settler = act_settler_create(run->sync);
}

static void
run_resolve(Run *run)
{
	Sync	   *sync = run->sync;

	act_transaction_writable();
	run->resolving = true;
	run->destination = act_destination_load(sync->destination, sync->owner, true);
	act_destination_require_allowed(run->destination, sync->object,
									act_sync_mode_name(sync->mode), act_on_removed_name(sync->on_removed));
	act_run_scope(run);
	widen_key(run);
	run->resolving = false;
	act_transaction_commit(false);
}

/*
 * The model is checked in the transaction that reads it: between two, it
 * could be given away or become something else.
 */
static void
run_diff(Run *run)
{
	act_transaction_read_only();
	run->resolving = true;
	run->model = act_model_resolve(run->sync);
	run->resolving = false;
	act_diff_lock_model(run->model);
	if (!act_snapshot_check_key(run->sync, run->model))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the key of sync \"%s\" changed its type while the run began", run->sync->name),
				 errhint("Run it again.")));
	PushActiveSnapshot(GetTransactionSnapshot());
	act_diff_compute(run->model, run->keys, run->max_rows, &run->diff);
	PopActiveSnapshot();
	act_transaction_commit(false);
}

static void
run_guard(Run *run)
{
	bool		approved;

	act_transaction_writable();
	approved = act_ledger_approved(run);
	if (approved)
		act_cluster_release(run);
	else
		act_guard_check(run);
	/* What a person named says nothing of the whole that is held. */
	if (run->keys == NULL)
		act_ledger_supersede(run, approved);
	if (run->stop.set)
	{
		act_ledger_invalid_rows(run);
		act_transaction_commit(false);
		return;
	}
	act_ledger_invalid_rows(run);
	act_settler_lock_patiently(run->settler);
	act_settler_marks(run->settler, &run->diff);
	act_transaction_commit(false);
}

/* Rows that delivery never came to. */
static void
count_rest(Run *run)
{
	int64		counted = 0;

	for (int i = 0; i < ROW_OUTCOME_COUNT; i++)
		counted += run->counts.outcomes[i];
	run->counts.untried = run->diff.counts.to_send - counted;
	run->counts.outcomes[ROW_DELAYED] += run->counts.untried;
}

static RunStatus
final_status(const Run *run)
{
	const int64 *outcomes = run->counts.outcomes;
	const DiffCounts *counts = &run->diff.counts;

	if (run->stop.set)
		return run->stop.status;
	if (outcomes[ROW_ACCEPTED] < counts->to_send ||
		counts->invalid + counts->delayed + counts->absent + counts->unknown > 0)
		return RUN_PARTIAL;
	return RUN_SUCCEEDED;
}

static RunStatus
run_finish(Run *run)
{
	RunStatus	status;

	count_rest(run);
	status = final_status(run);
	act_transaction_writable();
	act_ledger_finish(run, status, run->stop.message, run->stop.detail, run->stop.hint);
	act_transaction_commit(true);
#ifdef ACT_TEST
	if (!act_ledger_check_sums(run))
		elog(ERROR, "the sums of run " INT64_FORMAT " do not add up", run->run_id);
#endif
	return status;
}

/* ------------------------------------------------------------------ the run */

static void
run_stages(Run *run)
{
	run_start(run);
	run_resolve(run);
	run_diff(run);
	run_guard(run);
	if (!run->stop.set)
		act_deliver(run);
}

/*
 * What was right when the sync was defined is not there any more: how to
 * write it is no help now, how to say its new name is.  The model is somebody
 * else's, and who reads of it knows the sync by its name.
 */
static void
explain_model_change(const Sync *sync, ErrorData *error)
{
	static const char *const arguments[] = {"mapping", "key", "model"};
	const char *what = NULL;

	for (int i = 0; i < lengthof(arguments) && what == NULL; i++)
	{
		if (strncmp(error->message, arguments[i], strlen(arguments[i])) == 0)
			what = arguments[i];
	}
	if (strstr(error->message, psprintf("\"%s\"", sync->name)) == NULL)
		error->message = psprintf("sync \"%s\": %s", sync->name, error->message);
	if (what == NULL ||
		(error->sqlerrcode != ERRCODE_UNDEFINED_TABLE && error->sqlerrcode != ERRCODE_UNDEFINED_COLUMN))
		return;
	error->detail = pstrdup("It was there when the sync was defined. Nothing was sent, and no row counts as removed.");
	error->hint = psprintf("Put it back, or say what it is called now: SELECT activate.alter_sync(%s, %s => '...');",
						   quote_literal_cstr(sync->name), what);
}

/*
 * Everything that is known is written down before the error goes on; when
 * that fails, too, the claims that remain say what is in doubt.
 */
static void
run_abort(Run *run, ErrorData *error)
{
	MemoryContext caller = CurrentMemoryContext;
	bool		cancelled = error->sqlerrcode == ERRCODE_QUERY_CANCELED;

	PG_TRY();
	{
		act_transaction_rollback();
		act_transaction_writable();
		act_run_stop(run, cancelled ? RUN_CANCELLED : RUN_FAILED,
					 error->message ? error->message : "", error->detail, error->hint);
		act_deliver_abandon(run);
		if (run->run_id != 0)
			(void) run_finish(run);
	}
	PG_CATCH();
	{
		ErrorData  *second;

		MemoryContextSwitchTo(caller);
		second = CopyErrorData();
		FlushErrorState();
		act_transaction_rollback();
		ereport(WARNING,
				(errcode(second->sqlerrcode),
				 errmsg("could not write down how run " INT64_FORMAT " of sync \"%s\" ended: %s",
						run->run_id, run->sync->name, second->message),
				 errdetail("The next run finds what is in doubt.")));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
}

/* Everything that is not memory of a context: never throws. */
static void
run_release(Run *run)
{
	act_deliver_end(run);
	act_diff_end(&run->diff);
	if (run->destination != NULL)
		act_destination_wipe(run->destination);
	act_run_lock_release(run->sync->sync_id);
}

static void
report(const Run *run, RunStatus status)
{
	const int64 *outcomes = run->counts.outcomes;
	const DiffCounts *counts = &run->diff.counts;
	int			sqlstate = status == RUN_HELD ? ERRCODE_ACTIVATE_HELD :
		status == RUN_CANCELLED ? ERRCODE_ACTIVATE_CANCELLED : ERRCODE_ACTIVATE_FAILED;
	int64		nabsent = outcomes[ROW_ABSENT] + counts->absent;
	int64		nrefused = outcomes[ROW_REJECTED] + outcomes[ROW_REFUSED];
	char	   *absent = nabsent > 0 ? psprintf(", " INT64_FORMAT " absent", nabsent) : "";
	int64		delayed = outcomes[ROW_DELAYED] + outcomes[ROW_DOUBT] + counts->delayed;
	bool		only_untried = nrefused + counts->invalid + nabsent == 0 &&
		delayed == counts->beyond + run->counts.untried;

	if (status == RUN_SUCCEEDED)
		return;
	if (status == RUN_PARTIAL)
		ereport(WARNING,
				(errcode(ERRCODE_ACTIVATE_PARTIAL),
				 errmsg("run " INT64_FORMAT " of sync \"%s\" is partial: " INT64_FORMAT " accepted, "
						INT64_FORMAT " refused, " INT64_FORMAT " invalid, " INT64_FORMAT " delayed%s",
						run->run_id, run->sync->name, outcomes[ROW_ACCEPTED],
						nrefused, counts->invalid, delayed, absent),
				 run->stop.message ? errdetail_internal("%s", run->stop.message) : 0,
				 only_untried ?
				 errhint("CALL activate.run_sync(%s); sends the rest.", quote_literal_cstr(run->sync->name)) :
				 errhint("SELECT key, state, code, message FROM activate.pending WHERE sync = %s;",
						 quote_literal_cstr(run->sync->name))));
	else
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg_internal("%s", run->stop.message),
				 run->stop.detail ? errdetail_internal("%s", run->stop.detail) : 0,
				 run->stop.hint ? errhint("%s", run->stop.hint) : 0));
}

static void
run_sync(const char *name, int64 max_rows, Jsonb *keys, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "pg_activate run", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Run		   *run = palloc0(sizeof(Run));
	volatile RunStatus status = RUN_FAILED;

	run->context = context;
	run->max_rows = max_rows;
	run->keys = keys;
	/* Whatever the call's own transaction is like, the run's are of its own. */
	act_transaction_commit(true);
	act_transaction_writable();
	run_lock(run, name);
	PG_TRY();
	{
		PG_TRY();
		{
			run_stages(run);
			status = run_finish(run);
		}
		PG_CATCH();
		{
			ErrorData  *error;

			MemoryContextSwitchTo(context);
			error = CopyErrorData();
			FlushErrorState();
			if (run->resolving)
				explain_model_change(run->sync, error);
			run_abort(run, error);
			ReThrowError(error);
		}
		PG_END_TRY();
	}
	PG_FINALLY();
	{
		run_release(run);
	}
	PG_END_TRY();
	report(run, status);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* A transaction block, a function or an EXCEPTION clause around the call. */
static void
require_own_transactions(FunctionCallInfo fcinfo)
{
	CallContext *call = (CallContext *) fcinfo->context;

	if (call == NULL || !IsA(call, CallContext) || call->atomic || IsSubTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("run_sync cannot run inside a transaction block"),
				 errdetail("It commits as it goes, so that nothing of the database is held while the destination is waited for."),
				 errhint("Call it by itself with autocommit: in psql outside BEGIN, in psycopg with autocommit = True.")));
}

/* A standby keeps what the primary sent, and cannot write what it would send. */
static void
require_primary(void)
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

	require_primary();
	require_own_transactions(fcinfo);
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
		if (!JB_ROOT_IS_ARRAY(keys) || JB_ROOT_IS_SCALAR(keys))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("keys must be a JSON array of keys"),
					 errhint("keys => '[42, 43]', or '[{\"a\": 1, \"b\": 2}]' for a key of two columns.")));
	}
	MemoryContextSwitchTo(caller);

	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	run_sync(name, max_rows, keys, context);
	SPI_finish();
	PG_RETURN_VOID();
}
