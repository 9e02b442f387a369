/*-------------------------------------------------------------------------
 *
 * sync_state.c
 *	  When each sync is due.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sync_state.h"

void
act_sync_state_define(const Sync *sync, bool new_schedule)
{
}

void
act_sync_state_drop(int64 sync_id)
{
}

List *
act_sync_state_due(TimestampTz now, int limit, TimestampTz *next_due)
{
	*next_due = PG_INT64_MAX;
	return NIL;
}

bool
act_sync_state_take(Run *run)
{
	return false;
}

void
act_sync_state_finish(const Run *run, RunStatus status)
{
}

int
act_sync_state_recover(void)
{
	return 0;
}
