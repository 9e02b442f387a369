/*-------------------------------------------------------------------------
 *
 * run_worker.c
 *	  A background worker that makes one run and ends.
 *
 * It was given a slot, which says database, sync and whom to connect as; why
 * the sync is to run it finds in the tables.  The run is the one that a
 * session's CALL makes (run.c), and how it ended is in activate.run: nothing
 * is thrown and next to nothing is logged.  When it comes in vain, because
 * somebody else was faster, or sync or extension are gone, it leaves without a
 * word, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "identity.h"
#include "run.h"
#include "run_lock.h"
#include "settings.h"
#include "transaction.h"
#include "worker.h"

/* How long it waits for a run of somebody else's, and how often it looks. */
#define HOLD_PAUSE_MS 100
#define HOLD_TRIES 3

typedef enum Hold
{
	HOLD_GOT,
	HOLD_LATER,					/* somebody else runs it just now */
	HOLD_NEVER					/* not by this process */
} Hold;

/* Its definition stays as it is until the transaction ends. */
static bool
lock_definition(int64 sync_id)
{
	Identity	identity;
	bool		locked;
	SqlArgument args[] = {SQL_INT8(sync_id)};

	act_identity_extension(&identity);
	locked = act_sql(SPI_OK_SELECT,
					 "SELECT 1 FROM activate.sync WHERE sync_id = $1 FOR SHARE SKIP LOCKED", 1, args) == 1;
	act_identity_leave(&identity);
	return locked;
}

/*
 * Never waits: whoever changes the definition may want a lock that we have,
 * and may take his time while others wait for a worker.
 */
static Hold
hold_sync(Run *run, int64 sync_id)
{
	bool		locked = lock_definition(sync_id);
	const Sync *sync = run->sync = act_sync_load_by_id(sync_id);
	const char *hint;

	if (sync == NULL || !OidIsValid(sync->owner) || sync->paused || !act_enabled ||
		act_sync_home_problem(sync->system_identifier, sync->database_oid, sync->host, &hint) != NULL)
		return HOLD_NEVER;
	if (!locked)
		return HOLD_NEVER;
	if (!act_run_lock_acquire(sync_id))
		return HOLD_LATER;
	return HOLD_GOT;
}

/*
 * A transaction, and in it the sync with its run lock.  False: not now.  It
 * will be asked for again as long as it is due.
 */
static bool
begin(Run *run, int64 sync_id)
{
	static uint32 wait_event = 0;

	for (int i = 0; i < HOLD_TRIES; i++)
	{
		Hold		hold;

		act_transaction_writable();
		hold = hold_sync(run, sync_id);
		if (hold == HOLD_GOT)
			return true;
		act_transaction_commit(false);
		if (hold == HOLD_NEVER || run->slot->leave || run->slot->cancel)
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, HOLD_PAUSE_MS,
						 act_compat_wait_event(&wait_event, "PgActivateRunLock"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}

/*
 * What became of a run is in its row.  An error that came before there was one
 * goes on, so that the launcher hears of it.
 */
static void
make_run(RunSlot *slot)
{
	int64		sync_id = slot->sync_id;
	Run		   *run = act_run_create(TopMemoryContext, true);
	RunStatus	status;

	MemoryContextSwitchTo(run->context);
	run->slot = slot;
	PG_TRY();
	{
		if (begin(run, sync_id))
			(void) act_run_perform(run, &status);
	}
	PG_CATCH();
	{
		act_transaction_rollback();
		if (!run->recorded && !act_transaction_shut_out())
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
}

void
act_run_worker_main(Datum arg)
{
	RunSlot    *slot;

	act_worker_signals();
	slot = act_run_slot_attach(arg);
	if (slot != NULL)
	{
		act_worker_connect(slot->database, slot->role);
		make_run(slot);
	}
	proc_exit(0);
}
