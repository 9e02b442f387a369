/*-------------------------------------------------------------------------
 *
 * scheduler.c
 *	  One process for a database with something due: asks for its runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "sync_state.h"
#include "worker.h"

void
act_scheduler_main(Datum arg)
{
	static uint32 wait_event = 0;
	DatabaseEntry *entry;

	act_worker_signals();
	entry = act_scheduler_attach(arg);
	if (entry == NULL)
		proc_exit(0);
	act_worker_connect(entry->database, InvalidOid);

	while (!act_worker_asked_to_leave())
	{
		TimestampTz next_due;
		ListCell   *cell;
		List	   *due;

		act_scheduler_take_wake();
		if (!act_worker_begin())
			proc_exit(0);
		(void) act_sync_state_recover();
		due = act_sync_state_due(act_now(), 100, &next_due);
		foreach(cell, due)
		{
			DueSync    *sync = lfirst(cell);

			(void) act_run_request(sync->sync_id, sync->name, sync->owner, sync->priority, sync->due_at);
		}
		act_worker_commit();
		act_scheduler_publish(next_due);
		act_worker_wait(next_due, "PgActivateScheduler", &wait_event);
	}
	proc_exit(0);
}
