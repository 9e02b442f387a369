/*-------------------------------------------------------------------------
 *
 * run_read.c
 *	  A stage of a run that reads the model, and gives way to who changes it.
 *
 * Called by run.c between transactions; the stage is one transaction, which it
 * commits itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "compat.h"
#include "identity.h"
#include "run.h"
#include "transaction.h"
#include "unit.h"

/* Between two tries, with no lock in hand. */
#define LOCKED_PAUSE_MS 100

/*
 * How long a lock on what the model reads is waited for with other locks in
 * hand.  Who drops a table with the views over it takes the locks of a reader
 * of those views in the opposite order: then it must be the run that gives
 * way, before deadlock_timeout chooses.
 */
#define READ_PATIENCE_MS 200

/*
 * Only what this server raises for a lock that it waited for.  A function of
 * the model and a foreign server may raise the same, and for ever.
 */
static bool
is_lock_wait(const ErrorData *error)
{
	static const char *const raisers[] = {"ProcessInterrupts", "DeadLockReport", "lock_patiently"};

	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE && error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
		return false;
	for (int i = 0; i < lengthof(raisers); i++)
	{
		if (error->funcname != NULL && strcmp(error->funcname, raisers[i]) == 0)
			return true;
	}
	return false;
}

/*
 * A stage that reads the model.  False: somebody has a lock on what it reads;
 * it is undone, and all of ours are let go.
 */
static bool
try_stage(Run *run, void (*work) (Run *run))
{
	Run			before = *run;
	MemoryContext attempt = AllocSetContextCreate(run->context, "pg_activate run stage", ALLOCSET_DEFAULT_SIZES);
	volatile bool done = true;

	MemoryContextSwitchTo(attempt);
	(void) act_identity_patience(Min(READ_PATIENCE_MS, Max(DeadlockTimeout / 2, 1)));
	PG_TRY();
	{
		work(run);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(attempt);
		error = CopyErrorData();
		(void) act_identity_patience(0);
		if (!is_lock_wait(error))
			PG_RE_THROW();
		MemoryContextSwitchTo(run->context);
		FlushErrorState();
		act_transaction_rollback();
		done = false;
	}
	PG_END_TRY();
	(void) act_identity_patience(0);
	MemoryContextSwitchTo(run->context);
	if (done)
		return true;

	act_diff_end(&run->diff);
	memset(&run->diff, 0, sizeof(run->diff));
	if (run->unit != NULL && run->unit != before.unit)
		act_unit_end(run->unit);
	run->unit = before.unit;
	if (run->destination != NULL && run->destination != before.destination)
		act_destination_wipe(run->destination);
	run->destination = before.destination;
	run->model = before.model;
	run->settler = before.settler;
	run->keys = before.keys;
	run->retry_rows = before.retry_rows;
	run->resolving = run->reading = false;
	MemoryContextDelete(attempt);
	return false;
}

void
act_run_reading(Run *run, void (*work) (Run *run))
{
	static uint32 wait_event = 0;

	while (!try_stage(run, work))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOCKED_PAUSE_MS, act_compat_wait_event(&wait_event, "PgActivateTableLock"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		act_run_poll(run);
		if (run->stop.set)
			return;
	}
}
