/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  How far a run is, for the view progress and pg_stat_activity.
 *
 * What a run says of itself in its slot of shared memory, and where there is
 * none in the title of its worker.  Needs no transaction and never throws.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_PROGRESS_H
#define ACT_PROGRESS_H

#include "run.h"

/* The run has its number: who cancels or waits for it finds it by that. */
extern void act_progress_start(Run *run);
extern void act_progress_phase(Run *run, RunPhase phase);

/* Of a delivery; waiting_for: NULL, or what keeps it from sending. */
extern void act_progress_deliver(Run *run, int64 done, int in_flight, const char *waiting_for);

/* cancel_run() finds it no more; true: it did before. */
extern bool act_progress_end(Run *run);

#endif							/* ACT_PROGRESS_H */
