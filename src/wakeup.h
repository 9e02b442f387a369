/*-------------------------------------------------------------------------
 *
 * wakeup.h
 *	  What a transaction tells the workers when it commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_WAKEUP_H
#define ACT_WAKEUP_H

/*
 * Something that a scheduler should look at changes with the current
 * transaction: at commit this database is entered (if it was not) and its
 * scheduler woken or started.  Nothing happens when it rolls back.  A no-op
 * without preload.
 */
extern void act_wake_at_commit(void);

/* The same, now. */
extern void act_wake_now(void);

/* What another session prepared was committed: whatever it was, all look. */
extern void act_prepared_now(void);

/* The current transaction changes what a destination lets runs do: at commit those under way look, too. */
extern void act_destination_changed_at_commit(void);

/*
 * The current transaction drops the extension: at commit its workers leave,
 * and a scheduler looks whether there is a new one.
 */
extern void act_leave_at_commit(void);

/* Databases come or go: at commit the launcher reads pg_database. */
extern void act_look_at_commit(void);

/* The end of the transaction lets workers back into databases that it blocked. */
extern void act_unblock_at_end(void);

/*
 * Whether the workers serve this database, now: NULL, or why not (a whole
 * sentence fragment such as "background worker is not loaded") and a hint.
 * Inside a transaction.
 */
extern const char *act_workers_problem(const char **hint);

#endif							/* ACT_WAKEUP_H */
