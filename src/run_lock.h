/*-------------------------------------------------------------------------
 *
 * run_lock.h
 *	  One run of a sync at a time.
 *
 * A session lock of a class of its own: it survives the run's transactions,
 * is released explicitly (also after an error), and is gone with the session.
 * Code of the model can release it (pg_advisory_unlock_all), so it is looked
 * at again before each claim.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_RUN_LOCK_H
#define ACT_RUN_LOCK_H

extern bool act_run_lock_acquire(int64 sync_id);	/* never waits */
extern void act_run_lock_release(int64 sync_id);
extern bool act_run_lock_held(int64 sync_id);

/* Process id of who holds it, or 0. */
extern int	act_run_lock_holder(int64 sync_id);

#endif							/* ACT_RUN_LOCK_H */
