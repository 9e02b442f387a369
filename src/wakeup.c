/*-------------------------------------------------------------------------
 *
 * wakeup.c
 *	  What a transaction tells the workers when it commits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "wakeup.h"

void
act_wake_at_commit(void)
{
}

const char *
act_workers_problem(const char **hint)
{
	*hint = "Add pg_activate to shared_preload_libraries, and restart.";
	return "background worker is not loaded";
}
