/*-------------------------------------------------------------------------
 *
 * run_event.h
 *	  What a run's end is to those who listen: changes of state, not runs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_RUN_EVENT_H
#define ACT_RUN_EVENT_H

#include "run.h"

/*
 * In the transaction that ends the run: one event where its sync is not any
 * more what was last told of it, none where it is.  message: why it ended.
 */
extern void act_run_event_end(const Run *run, RunStatus status, const char *message);

/* Rows that may have arrived or not, and wait for a person; 0: nothing to tell. */
extern void act_run_event_unknown(const Run *run, int64 rows);

#endif							/* ACT_RUN_EVENT_H */
