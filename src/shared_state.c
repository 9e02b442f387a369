/*-------------------------------------------------------------------------
 *
 * shared_state.c
 *	  What launcher, schedulers, run workers and sessions know of each other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shared_state.h"

SharedState *act_shared = NULL;

RunSlot *
act_run_slot_take(int64 sync_id, const char *sync_name)
{
	return NULL;
}

void
act_run_slot_release(RunSlot *slot)
{
}
