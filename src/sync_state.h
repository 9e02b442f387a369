/*-------------------------------------------------------------------------
 *
 * sync_state.h
 *	  When each sync is due: activate.sync_state, queued runs, retries.
 *
 * As the extension, inside a transaction with SPI connected that the caller
 * commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SYNC_STATE_H
#define ACT_SYNC_STATE_H

#include "run.h"

/*
 * After a definition was made, or its schedule or owner's pause changed: the
 * planned times begin anew where the schedule is another (new_schedule), else
 * stay.  Wakes the workers at commit.
 */
extern void act_sync_state_define(const Sync *sync, bool new_schedule);
extern void act_sync_state_drop(int64 sync_id);

/* Some rows of it are due at once; false: it runs only when called. */
extern bool act_sync_state_retry_rows(const Sync *sync);

/* Due at once, whatever its schedule. */
extern void act_sync_state_run_now(const Sync *sync);

/* Rows of one sync that is due, for its scheduler. */
typedef struct DueSync
{
	int64		sync_id;
	char	   *name;
	Oid			owner;
	Oid			server;			/* its destination; InvalidOid: there is none any more */
	int			priority;
	TimestampTz due_at;
	int64		last_run_id;	/* of any run so far; 0: none.  Another one: it has run since */
	TimestampTz retry_at;		/* another one: it was tried since, or is to be at once */
} DueSync;

/* Whether to ask for one now; which is not asked for takes nobody's place. */
typedef bool (*DueFilter) (const DueSync *due, void *arg);

/*
 * Syncs that may run here and are due now, most urgent first, at most limit;
 * next_due: when the first of the others is (PG_INT64_MAX: never).  Those that
 * are under way are neither.  Where a destination is down, what comes due is
 * written down as postponed.
 */
extern List *act_sync_state_due(TimestampTz now, int limit, DueFilter filter, void *arg, TimestampTz *next_due);

/*
 * With the run lock held, in the transaction that writes the run's row: why
 * this run is to be, taking what made it due.  False: nothing did (somebody
 * else was faster, it is paused), or it is postponed, which is written down.
 * Sets run->cause, run->run_id (of a queued run, else 0), run->missed,
 * run->retry_rows.  Only for runs of workers.
 */
extern bool act_sync_state_take(Run *run);

/*
 * In the transaction that ends a run, whoever ran it: when it is to be tried
 * again.
 */
extern void act_sync_state_finish(const Run *run, RunStatus status);

/* Runs that say they are running and whose process is gone: interrupted, and due again. */
extern int	act_sync_state_recover(void);

/* The same for one sync, by who holds its run lock: they are dead. */
extern void act_sync_state_recover_sync(int64 sync_id);

/*
 * Times further away than a schedule or a pause makes them, since the clock
 * went back, are set anew.  When a scheduler starts, and from time to time.
 */
extern void act_sync_state_check(void);

#endif							/* ACT_SYNC_STATE_H */
