/*-------------------------------------------------------------------------
 *
 * sync_state_private.h
 *	  A row of activate.sync_state, for the files that decide by it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SYNC_STATE_PRIVATE_H
#define ACT_SYNC_STATE_PRIVATE_H

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "schedule.h"
#include "sync_state.h"
#include "transaction.h"

/* Times that are not set are 0, which none of ours ever is. */
typedef struct SyncState
{
	int64		sync_id;
	TimestampTz anchor;
	TimestampTz next_run_at;
	TimestampTz retry_at;
	bool		retry_rows;
	int			failures;
	int			nafter;			/* -1: null */
	int64	   *after_runs;
	bool		waiting;		/* rows wait for those that they refer to */
	bool		ids_new;		/* rows have ids since the last run ended */
	int64		ids_moved;		/* such runs */
	int64		ids_seen;
	int64		ids_sum;		/* not stored: ids_moved of the syncs it refers to */
	TimestampTz model_problem_since;	/* the model cannot be read; 0: it can */
	char	   *model_problem;	/* why; NULL while nobody was told yet */
} SyncState;

/*
 * Locks the row until the transaction ends; patient: waits for who has it,
 * and makes the row where there is none.  False: not got.
 */
extern bool act_sync_state_load(int64 sync_id, bool patient, SyncState *state);
extern void act_sync_state_store(const SyncState *state);

/* The planned times begin now. */
extern void act_sync_state_begin(SyncState *state, const char *schedule, const char *time_zone,
								 TimestampTz now);

/* NULL: it is not understood (any more). */
extern Schedule *act_sync_state_schedule(const char *text, const char *time_zone);

/* 0: none is planned. */
extern TimestampTz act_sync_state_next(const SyncState *state, const Schedule *schedule, TimestampTz later_than);

/*
 * Whether each sync that a schedule 'after' names has succeeded since the run
 * of it that was followed last.  newest: those runs, in the order of names.
 */
extern bool act_sync_state_after(const SyncState *state, const Schedule *schedule, int64 **newest);

/* Rows wait, and syncs that they refer to had rows accepted since a run looked. */
extern bool act_sync_state_woken(const SyncState *state, const char *schedule);

/* Its run was: again at once, then later each time; of a manual sync those of workers only. */
extern void act_sync_state_interrupted(SyncState *state, const char *schedule, bool by_worker);

/*
 * Writes down that a sync is due which cannot go now, for what its destination
 * is: one run that ends postponed with that message, however often it comes
 * due meanwhile.
 */
extern void act_sync_state_postpone(int64 sync_id, const char *schedule, const char *time_zone,
									const char *message, TimestampTz now);

/* Sets nafter and after_runs from a column of the SPI result. */
extern void act_sync_state_read_runs(SyncState *state, uint64 row, int column);
extern TimestampTz act_sync_state_time(uint64 row, int column); /* of the SPI result; 0 for null */

#define SQL_TIME(v)		{TIMESTAMPTZOID, TimestampTzGetDatum(v), (v) == 0}

#endif							/* ACT_SYNC_STATE_PRIVATE_H */
