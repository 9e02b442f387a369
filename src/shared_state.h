/*-------------------------------------------------------------------------
 *
 * shared_state.h
 *	  What launcher, schedulers, run workers and sessions know of each other.
 *
 * Exists only with shared_preload_libraries.  Fixed arrays under one LWLock;
 * nothing in it means something to one process only: databases, syncs and
 * runs by number, processes by pid and the number of their PGPROC, whose
 * latch may be set even when it has changed hands.  States and transitions:
 * workers.md.
 *
 * No transaction is needed for any of it, and nothing here throws but for
 * what LWLocks do.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SHARED_STATE_H
#define ACT_SHARED_STATE_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"

#define ACT_MAX_DATABASES 512
#define ACT_MAX_RUNS 1024

/* Requests of one database that have not been granted yet. */
#define ACT_MAX_REQUESTED 8

#define ACT_PROBLEM_SIZE 256

/* Sessions that need a database without us at the same time. */
#define ACT_MAX_BLOCKS 64

/* Lines a minute that workers write to the server's log, all together. */
#define ACT_LOG_LINES 2

typedef enum DatabaseState
{
	DATABASE_FREE,				/* the entry is nobody's */
	DATABASE_NEW,				/* not looked into yet */
	DATABASE_ABSENT,			/* looked into: the extension is not there */
	DATABASE_IDLE,				/* nothing due before next_due: no scheduler */
	DATABASE_STARTING,			/* its scheduler was registered */
	DATABASE_RUNNING,			/* its scheduler has attached */
	DATABASE_BACKOFF			/* its scheduler failed: again at retry_at */
} DatabaseState;

typedef struct DatabaseEntry
{
	Oid			database;
	DatabaseState state;
	uint32		generation;		/* of the scheduler last registered; a late one of before leaves */
	TimestampTz changed_at;		/* of state */
	TimestampTz wanted_since;	/* a scheduler could not be had; 0: none is wanted */
	TimestampTz next_due;		/* PG_INT64_MAX: nothing is */
	int			pid;			/* of the scheduler, once attached; else 0 */
	int			proc;
	bool		looked;			/* a scheduler has been in it */
	bool		wake;			/* somebody committed something: look again.  Cleared by
								 * the scheduler, before the transaction that looks */
	bool		leave;			/* the scheduler is asked to leave */
	int			failures;		/* of schedulers in a row */
	TimestampTz retry_at;
	char		problem[ACT_PROBLEM_SIZE];	/* of the last failure; '' none */
} DatabaseEntry;

typedef enum RunSlotState
{
	SLOT_FREE,
	SLOT_REQUESTED,				/* a scheduler wants this sync to run */
	SLOT_STARTING,				/* its worker was registered */
	SLOT_RUNNING,				/* its worker, or a session's CALL, is at it */
	SLOT_BACKOFF				/* its worker failed before it could write a run: again at retry_at */
} RunSlotState;

typedef enum RunPhase
{
	PHASE_START,				/* shown as diff */
	PHASE_DIFF,
	PHASE_LINK,
	PHASE_DELIVER,
	PHASE_SETTLE
} RunPhase;

/* A run, from being asked for to its end; of sessions only once it runs. */
typedef struct RunSlot
{
	RunSlotState state;
	bool		in_session;		/* CALL: not the launcher's business */
	uint32		generation;
	Oid			database;
	int64		sync_id;
	int64		run_id;			/* 0: not known yet */
	Oid			role;			/* to connect as; InvalidOid: as the extension's owner */
	int			priority;
	Oid			server;			/* its destination, as far as known */
	TimestampTz due_at;
	TimestampTz changed_at;		/* of state */
	TimestampTz started_at;		/* of the process or the run */
	int			pid;
	int			proc;
	bool		cancel;			/* by cancel_run() */
	bool		leave;			/* the database is needed without us, or the extension is gone */
	int			failures;		/* of workers in a row */
	TimestampTz retry_at;
	char		problem[ACT_PROBLEM_SIZE];	/* of the last failure; '' none */

	/* for the view progress; written by the run alone */
	RunPhase	phase;
	int64		rows_total;		/* to send; -1: not known yet */
	int64		rows_done;
	int			in_flight;
	TimestampTz deliver_started_at;
	char		waiting_for[2 * NAMEDATALEN];	/* '' nothing */
	char		sync_name[NAMEDATALEN];
} RunSlot;

/* A database that a session needs without us, until its statement ends. */
typedef struct DatabaseBlock
{
	Oid			database;		/* InvalidOid: free */
	int			pid;
} DatabaseBlock;

typedef struct SharedState
{
	LWLock		lock;
	TimestampTz launcher_seen_at;	/* when the last one ended, or the server started */
	int			launcher_pid;	/* 0: none is there */
	int			launcher_proc;
	TimestampTz launcher_started_at;
	bool		look_again;		/* databases came or went: the launcher reads pg_database */
	TimestampTz short_since;	/* worker processes are short; 0: not */
	int64		runs_ended;		/* counts; wait_for_run() sleeps until it moves */
	ConditionVariable run_ended;	/* it moved */
	pg_atomic_uint32 destination_changes;	/* pauses and the like that were committed, in any database */
	TimestampTz logged_at[ACT_LOG_LINES];	/* the last lines of act_log_limited() */
	int64		log_left_out;	/* lines since the last one */
	DatabaseBlock blocks[ACT_MAX_BLOCKS];
	DatabaseEntry databases[ACT_MAX_DATABASES];
	RunSlot		runs[ACT_MAX_RUNS];
} SharedState;

/* NULL without shared_preload_libraries. */
extern SharedState *act_shared;

/* _PG_init, while preloading: asks for memory and registers the launcher. */
extern void act_shared_state_init(void);

/* The caller holds the lock. */
extern DatabaseEntry *act_database_find(Oid database);	/* or NULL */
extern DatabaseEntry *act_database_enter(Oid database); /* NULL: the array is full */
extern RunSlot *act_run_slot_find(Oid database, int64 sync_id); /* any state but free; or NULL */
extern bool act_database_blocked(Oid database);

/*
 * Asks the scheduler (if it is there) to look again, or to leave; the same
 * for the run workers of a database, whose requests are forgotten.
 */
extern void act_database_wake(DatabaseEntry *entry);
extern void act_database_leave(DatabaseEntry *entry);
extern void act_database_runs_leave(Oid database);

/* Its worker did: the scheduler hears when it may ask for the run again. */
extern void act_run_slot_failed(const RunSlot *slot);

/* How long to wait after so many failures in a row: 5 s doubling to 5 min. */
extern TimestampTz act_backoff(int failures);

/* Sets the latch of a process by the number of its PGPROC; harmless when stale. */
extern void act_wake_process(int proc);
extern void act_wake_launcher(void);

/*
 * A scheduler asks for a run.  False: one of this sync is asked for or under
 * way, or too many are waiting; ask again later.
 */
extern bool act_run_request(int64 sync_id, const char *sync_name, Oid role, Oid server, int priority,
							TimestampTz due_at);

/*
 * A run's place in it while it goes: a session's CALL takes one, a run worker
 * was given its own (act_run_slot_attach in worker.h).  NULL without preload
 * or when none is free: nothing depends on it but what views show, and
 * cancel_run().  Released by itself when the process ends.
 */
extern RunSlot *act_run_slot_take(int64 sync_id, const char *sync_name);
extern void act_run_slot_release(RunSlot *slot);	/* NULL is fine; wakes scheduler and launcher */

/*
 * Waits until a run ended since act_runs_ended() said so many, at most so
 * long.  Without preload nobody says so, and it is just a pause.  Interruptible.
 */
extern int64 act_runs_ended(void);
extern void act_runs_wait(int64 ended, long timeout_ms, uint32 wait_event);

/*
 * Moves when a run under way should look what became of its destination; any
 * run, of any database.  Never without preload.
 */
extern uint32 act_destination_changes(void);

#endif							/* ACT_SHARED_STATE_H */
