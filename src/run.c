/*-------------------------------------------------------------------------
 *
 * run.c
 *	  One run of a sync: lock, resolve, diff, guard, deliver, settle, finish.
 *
 * The same for a session's CALL (run_sync.c) and a background worker
 * (run_worker.c), who lock the sync and begin.  Each stage is a transaction of
 * its own, and none is open (but an empty one in a CALL) while a destination is
 * waited for.  After an error what is known is still written down, in a fresh
 * transaction, before the error goes on its way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "account.h"
#include "canary.h"
#include "catalog.h"
#include "compat.h"
#include "connector_object.h"
#include "mapping_form.h"
#include "deliver.h"
#include "destination_limit.h"
#include "destination_quota.h"
#include "destination_state.h"
#include "fault.h"
#include "field_types.h"
#include "identity.h"
#include "job.h"
#include "model_wait.h"
#include "progress.h"
#include "reference.h"
#include "request_log.h"
#include "retry.h"
#include "run.h"
#include "run_event.h"
#include "run_job.h"
#include "run_limits.h"
#include "run_lock.h"
#include "settings.h"
#include "snapshot.h"
#include "sync_state.h"
#include "transaction.h"
#include "unit_prepare.h"
#include "unit_run.h"
#include "worker.h"

/* Between two looks at a table that somebody else has locked. */
#define LOCKED_TABLE_PAUSE_MS 100

/* Who cancelled does not wait for somebody's lock, either. */
#define CANCEL_PATIENCE_MS 50

/* max_run_time is over: set by the timeout's signal handler. */
static volatile sig_atomic_t time_is_over = false;
static TimeoutId max_run_time_timeout = MAX_TIMEOUTS;

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

/* ------------------------------------------------------- what ends it early */

/* Ends a long query, too. */
static void
max_run_time_handler(void)
{
	time_is_over = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static void
start_clock(Run *run)
{
	int64		limit = run->sync->options.max_run_time_ms;

	time_is_over = false;
	if (limit <= 0)
		return;
	run->deadline = run->started_at + limit * 1000;
	if (max_run_time_timeout == MAX_TIMEOUTS)
		max_run_time_timeout = RegisterTimeout(USER_TIMEOUT, max_run_time_handler);
	enable_timeout_after(max_run_time_timeout, (int) Min(limit, PG_INT32_MAX));
}

/*
 * Nobody can cancel the run from here on.  A cancel that was meant for it and
 * came too late is no cancel of what this session does next.  A worker's slot
 * goes with its process.
 */
static void
stop_clock(Run *run)
{
	bool		cancelled = act_progress_end(run);

	if (run->deadline != 0)
		disable_timeout(max_run_time_timeout, false);
	if (cancelled || time_is_over)
		QueryCancelPending = false;
	time_is_over = false;
	if (!run->in_worker)
	{
		act_run_slot_release(run->slot);
		run->slot = NULL;
	}
}

static void
poll_worker(Run *run)
{
	if (run->slot != NULL && ((volatile RunSlot *) run->slot)->leave)
		act_run_stop(run, RUN_INTERRUPTED, "the run was interrupted: its database was needed without it",
					 "What was not sent yet is sent by the next run.", NULL);
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (!act_enabled && !run->stop.set)
		act_run_stop(run, RUN_CANCELLED, "the run was ended: pg_activate.enabled was turned off",
					 "What was not sent yet is delayed until the next run.", NULL);
}

void
act_run_poll(Run *run)
{
#ifdef ACT_TEST
	if (run->in_worker && IsTransactionState())
		elog(ERROR, "a transaction of a worker is open between two steps of its run");
#endif
	if (run->stop.set)
		return;
	if (run->slot != NULL && ((volatile RunSlot *) run->slot)->cancel)
		act_run_stop(run, RUN_CANCELLED,
					 psprintf("run " INT64_FORMAT " of sync \"%s\" was cancelled by cancel_run",
							  run->run_id, run->sync->name),
					 "What was not sent yet is delayed until the next run.", NULL);
	else if (run->deadline != 0 && (time_is_over || act_now() >= run->deadline))
		act_run_stop(run, RUN_CANCELLED,
					 psprintf("run " INT64_FORMAT " of sync \"%s\" was ended by max_run_time",
							  run->run_id, run->sync->name),
					 "What was not sent yet is delayed until the next run.", NULL);
	else if (run->in_worker)
		poll_worker(run);
	if (!run->stop.set && run->destination_changes != act_destination_changes())
	{
		run->destination_changes = act_destination_changes();
		act_destination_state_poll(run);
	}
}

/* ------------------------------------------------------------------- stages */

/*
 * A writable transaction with the sync's table locked, and in it what the
 * caller writes there.  Somebody else's lock is waited for with nothing of
 * ours in his way.  False: the run is to end first.
 */
bool
act_run_begin_settling(Run *run)
{
	static uint32 wait_event = 0;

	for (;;)
	{
		act_run_poll(run);
		if (run->stop.set)
			return false;
		act_transaction_writable();
		if (run->settler == NULL)
			run->settler = act_settler_create(run->sync);
		else if (!act_settler_lock(run->settler))
			run->settler = NULL;
		if (run->settler != NULL)
			return true;
		act_transaction_commit(false);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOCKED_TABLE_PAUSE_MS, act_compat_wait_event(&wait_event, "PgActivateTableLock"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* In the transaction that locked the sync. */
static void
run_begin(Run *run)
{
	bool		wanted = true;

	run->started_at = act_now();
	/* What a dead one was to do this one may not do: one of a few keys, say. */
	act_sync_state_recover_sync(run->sync->sync_id);
	if (run->in_worker)
		wanted = act_sync_state_take(run);
	else
		act_destination_state_require_unpaused(run->sync->destination);
	ACT_FAULT("run_taken");
	/* A unit goes whole, or not at all. */
	if (run->sync->mode == MODE_REPLACE)
		run->retry_rows = false;
	if (wanted)
	{
		start_clock(run);
		act_ledger_start(run);
	}
	act_transaction_commit(true);
	run->recorded = wanted;
	ACT_FAULT("after_begin");
	if (wanted)
		act_progress_start(run);
}

/* Claims of a run that died are settled first: their rows are in doubt. */
static void
run_recover(Run *run)
{
	if (!act_run_begin_settling(run))
		return;
	act_run_event_unknown(run, act_claim_recover(run->sync, run->settler));
	if (act_cluster_doubts(run))
		act_job_distrust(run->sync);
	run->has_jobs = act_job_exists(run->sync->sync_id);
	ACT_FAULT("before_recover");
	act_transaction_commit(true);
	ACT_FAULT("after_recover");
}

void
act_run_scope(Run *run)
{
	const Sync *sync = run->sync;
	ConnectorScope *scope = &run->scope;

	scope->sync_name = pg_server_to_any(sync->name, strlen(sync->name), PG_UTF8);
	scope->object = sync->object ? pg_server_to_any(sync->object, strlen(sync->object), PG_UTF8) : NULL;
	scope->match = NULL;
	scope->nmatch = sync->nmatch;
	scope->match_names = palloc(sizeof(char *) * Max(sync->nmatch, 1));
	for (int i = 0; i < sync->nmatch; i++)
	{
		scope->match_names[i] = pg_server_to_any(sync->match[i], strlen(sync->match[i]), PG_UTF8);
		scope->match = i == 0 ? scope->match_names[i] : psprintf("%s,%s", scope->match, scope->match_names[i]);
	}
	scope->match_is_id = act_connector_match_is_id(run->destination->connector, scope);
	scope->run_id = run->run_id;
	scope->run_started_ms = act_unix_ms(run->started_at != 0 ? run->started_at : act_now());
	scope->nkeys = sync->nkeys;
	scope->key_names = palloc(sizeof(char *) * sync->nkeys);
	for (int i = 0; i < sync->nkeys; i++)
		scope->key_names[i] = pg_server_to_any(sync->key[i], strlen(sync->key[i]), PG_UTF8);
	if (act_connector_object(run->destination->connector) != NULL)
		scope->listed_fields = act_connector_object(run->destination->connector)->field_names;
	scope->object_parts = act_connector_object_parts(run->destination->connector);
	scope->option = act_destination_option;
	scope->secret = act_destination_secret;
	scope->arg = run->destination;
}

/* What follows from the model as it is: a key that the table must take, whom it refers to. */
static void
resolve_model(Run *run)
{
	Model	   *model = act_model_resolve(run->sync);

	act_reference_store(run->sync, model);
	if (act_snapshot_check_key(run->sync, model))
		return;
	act_snapshot_widen_key(run->sync, model);
	run->settler = act_settler_create(run->sync);
}

static void
resolve(Run *run)
{
	Sync	   *sync = run->sync;

	act_transaction_writable();
	run->resolving = true;
	run->destination = act_destination_load_object(sync->destination, sync->owner, sync->object, true);
	act_quota_load(run->destination);
	act_destination_require_allowed(run->destination, sync->object,
									act_sync_mode_name(sync->mode), act_on_removed_name(sync->on_removed));
	act_run_scope(run);
	run->reading = true;
	resolve_model(run);
	run->resolving = run->reading = false;
	act_transaction_commit(false);
}

static void
run_resolve(Run *run)
{
	act_run_reading(run, resolve);
}

/* Of the rows seen, the first whose back-off ends; 0: none is in one. */
void
act_run_note_retry(Run *run, TimestampTz at)
{
	if (at != 0 && (run->rows_retry_at == 0 || at < run->rows_retry_at))
		run->rows_retry_at = at;
}

/*
 * The model is checked in the transaction that reads it: between two, it
 * could be given away or become something else.
 */
static void
diff(Run *run)
{
	act_progress_phase(run, PHASE_DIFF);
	act_transaction_read_only();
	run->resolving = run->reading = true;
	run->model = act_model_resolve(run->sync);
	run->resolving = false;
	act_catalog_scope(run->sync, run->model, run->destination->connector, &run->scope);
	act_model_set_destination(run->model, run->destination->connector, &run->scope);
	act_diff_lock_model(run->model);
	if (!act_snapshot_check_key(run->sync, run->model))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the key of sync \"%s\" changed its type while the run began", run->sync->name),
				 errhint("Run it again.")));
	PushActiveSnapshot(GetTransactionSnapshot());
	if (run->retry_rows)
	{
		run->keys = act_retry_keys(run->sync, &run->rows_retry_at);
		run->retry_rows = run->keys != NULL;
	}
	act_diff_compute(run->model, run->keys, run->keys != NULL && !run->retry_rows,
					 run->max_rows, &run->diff);
	act_unit_run_read(run);
	PopActiveSnapshot();
	run->reading = false;
	act_run_note_retry(run, run->diff.next_attempt_at);
	act_transaction_commit(false);
}

void
act_run_diff(Run *run)
{
	act_run_reading(run, diff);
}

static void
run_guard(Run *run)
{
	bool		approved;

	if (!act_run_begin_settling(run))
		return;
	/* It was read to its end. */
	(void) act_model_works(run->model, true, true);
	approved = act_ledger_approved(run);
	run->approved = approved && run->keys == NULL;
	if (!approved)
		run->canary_pending = act_ledger_canary_pending(run);
	if (approved)
		act_cluster_release(run);
	else
		act_guard_check(run);
	act_unit_run_guard(run);
	act_canary_guard(run);
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
	if (run->keys == NULL && !run->retry_rows)
		act_field_types_store(run->model);
	act_settler_marks(run->settler, &run->diff);
	if (run->unit != NULL && run->unit->record)
		act_unit_record(run->sync, run->unit);
	if (run->sync->first_run_pending && run->sync->options.first_run != FIRST_RUN_LINK)
		act_ledger_first_run_done(run);
	ACT_FAULT("before_marks");
	act_transaction_commit(false);
	run->marked = true;
	ACT_FAULT("after_marks");
}

static void
run_deliver(Run *run)
{
	act_progress_phase(run, PHASE_DELIVER);
	act_unit_run_wait(run);
	if (run->diff.counts.to_send > 0)
		act_run_limits(run);
	if (!run->stop.set && run->unit != NULL && run->unit->send)
		act_unit_prepare(run);
	if (!run->stop.set)
		act_deliver(run);
}

/* Rows that delivery never came to; counted once, though finishing may fail and be done again. */
static void
count_rest(Run *run)
{
	int64		counted = 0;

	run->counts.outcomes[ROW_DELAYED] -= run->counts.untried;
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
		counts->invalid + counts->delayed + counts->absent + counts->unknown + counts->waiting > 0)
		return RUN_PARTIAL;
	return RUN_SUCCEEDED;
}

static RunStatus
run_finish(Run *run)
{
	RunStatus	status;

	act_progress_phase(run, PHASE_SETTLE);
	act_run_jobs_counted(run);
	count_rest(run);
	status = final_status(run);
	if (run->settler != NULL)
		act_run_note_retry(run, act_settler_next_attempt(run->settler));
	act_quota_keep(run, true);
	ACT_FAULT("before_finish");
	act_transaction_writable();
	act_request_log_finish(run);
	act_ledger_finish(run, status, run->stop.message, run->stop.detail, run->stop.hint);
	act_sync_state_finish(run, status);
	ACT_FAULT("in_finish");
	act_transaction_commit(true);
	act_request_log_written(run);
	run->recorded = true;
	ACT_FAULT("after_finish");
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
	static void (*const stages[]) (Run *run) = {
		run_recover, run_resolve, act_account_require, act_run_jobs, act_run_first, act_run_diff, run_guard, run_deliver
	};

	for (int i = 0; i < lengthof(stages); i++)
	{
		act_run_poll(run);
		if (run->stop.set || run->only_jobs)
			return;
		stages[i] (run);
	}
}

/*
 * Whose cancel it was.  What the run would have ended with by itself a moment
 * later it ends with now, in the same words.
 */
static void
explain_cancel(Run *run, ErrorData *error)
{
	act_run_poll(run);
	if (!run->stop.set)
		act_run_stop(run, RUN_CANCELLED, error->message, error->detail, error->hint);
	else
	{
		error->sqlerrcode = ERRCODE_ACTIVATE_CANCELLED;
		error->message = run->stop.message;
		error->detail = run->stop.detail;
		error->hint = run->stop.hint;
	}
}

/* A sync that may wait for its model does so; who called the run still has it failed. */
static bool
ends_waiting(Run *run, const ErrorData *error)
{
	if (!run->reading || run->sync->options.on_model_change == MODEL_CHANGE_FAIL)
		return false;
	run->model_problem = act_model_problem(run->sync, error);
	return run->model_problem != NULL && run->in_worker;
}

static void
write_down(Run *run, ErrorData *error)
{
	act_transaction_rollback();
	if (act_transaction_shut_out())
		return;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
	{
		explain_cancel(run, error);
		(void) act_identity_patience(CANCEL_PATIENCE_MS);
	}
	else
		act_run_stop(run, ends_waiting(run, error) ? RUN_POSTPONED : RUN_FAILED,
					 error->message ? error->message : "", error->detail, error->hint);
	ACT_FAULT("before_abandon");
	act_deliver_abandon(run);
	if (run->run_id != 0)
		(void) run_finish(run);
}

/*
 * Everything that is known is written down before the error goes on; when
 * that fails, too, the claims that remain say what is in doubt.
 */
static void
run_abort(Run *run, ErrorData *error)
{
	MemoryContext caller = CurrentMemoryContext;
	int			patience = act_identity_patience(0);

	PG_TRY();
	{
		write_down(run, error);
	}
	PG_CATCH();
	{
		ErrorData  *second;

		MemoryContextSwitchTo(caller);
		second = CopyErrorData();
		FlushErrorState();
		act_transaction_rollback();
		if (run->in_worker && !act_transaction_shut_out())
			act_log_limited(LOG, "could not write down how run " INT64_FORMAT " of sync \"%s\" ended: %s",
							run->run_id, run->sync->name, second->message);
		else if (!run->in_worker)
			ereport(WARNING,
					(errcode(second->sqlerrcode),
					 errmsg("could not write down how run " INT64_FORMAT " of sync \"%s\" ended: %s",
							run->run_id, run->sync->name, second->message),
					 errdetail("The next run finds what is in doubt.")));
	}
	PG_END_TRY();
	(void) act_identity_patience(patience);
	MemoryContextSwitchTo(caller);
}

/* Everything that is not memory of a context: never throws. */
static void
run_release(Run *run)
{
	act_deliver_end(run);
	act_limit_detach(run->limit);
	run->limit = NULL;
	act_diff_end(&run->diff);
	if (run->unit != NULL)
		act_unit_end(run->unit);
	if (run->destination != NULL)
		act_destination_wipe(run->destination);
	act_run_lock_release(run->sync->sync_id);
	stop_clock(run);
}

Run *
act_run_create(MemoryContext parent, bool in_worker)
{
	MemoryContext context = AllocSetContextCreate(parent, "pg_activate run", ALLOCSET_DEFAULT_SIZES);
	Run		   *run = MemoryContextAllocZero(context, sizeof(Run));

	run->context = context;
	run->in_worker = in_worker;
	run->destination_changes = act_destination_changes();
	act_transaction_open(in_worker);
	return run;
}

/* An error is written down before it goes on. */
static void
run_try(Run *run, RunStatus *status)
{
	PG_TRY();
	{
		run_begin(run);
		if (run->recorded)
		{
			run_stages(run);
			*status = run_finish(run);
		}
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(run->context);
		error = CopyErrorData();
		FlushErrorState();
		if (run->resolving)
			act_model_explain(run->sync, error);
		run_abort(run, error);
		ReThrowError(error);
	}
	PG_END_TRY();
}

bool
act_run_perform(Run *run, RunStatus *status)
{
	MemoryContext caller = MemoryContextSwitchTo(run->context);

	PG_TRY();
	{
		run_try(run, status);
	}
	PG_CATCH();
	{
		run_release(run);
		PG_RE_THROW();
	}
	PG_END_TRY();
	run_release(run);
	MemoryContextSwitchTo(caller);
	return run->recorded;
}
