/*-------------------------------------------------------------------------
 *
 * run_worker.c
 *	  One process for a run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/ipc.h"

#include "worker.h"

void
act_run_worker_main(Datum arg)
{
	RunSlot    *slot;

	act_worker_signals();
	slot = act_run_slot_attach(arg);
	if (slot == NULL)
		proc_exit(0);
	act_worker_connect(slot->database, slot->role);
	if (act_worker_begin())
		act_worker_commit();
	proc_exit(0);
}
