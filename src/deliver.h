/*-------------------------------------------------------------------------
 *
 * deliver.h
 *	  Sends what the diff found and follows each row to its outcome.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DELIVER_H
#define ACT_DELIVER_H

#include "http.h"
#include "run.h"

typedef struct Delivery Delivery;

/*
 * Sends everything in run->diff.rows.  Called with no transaction's snapshot
 * held; commits as it goes.  Throws on cancel and on errors of the database;
 * the caller then rolls back and calls act_deliver_abandon().
 */
extern void act_deliver(Run *run);

/*
 * Asks for run->jobs (of Job), which an earlier run left to the destination,
 * until it is known what became of their rows, or the run is to end.  The
 * rest as act_deliver().
 */
extern void act_deliver_jobs(Run *run);

/*
 * After an error, in a fresh transaction: writes down the answers in hand,
 * puts what is under way in doubt and lets go of its claims.  Commits.
 */
extern void act_deliver_abandon(Run *run);

/* Frees connections and memory outside of memory contexts. Never throws. */
extern void act_deliver_end(Run *run);

#endif							/* ACT_DELIVER_H */
