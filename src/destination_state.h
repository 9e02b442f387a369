/*-------------------------------------------------------------------------
 *
 * destination_state.h
 *	  Destinations that are down: found so by runs, tried again by one.
 *
 * As the extension, inside a transaction with SPI connected that the caller
 * commits.  Whoever locks a row of activate.sync_state, too, locks that first.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DESTINATION_STATE_H
#define ACT_DESTINATION_STATE_H

#include "run.h"

/* How long to leave a destination alone that was found down so many times in a row. */
extern TimestampTz act_destination_state_pause(int failures);

/*
 * A run of a worker is about to begin.  0: it may; where the destination is
 * down it is the one that tries, and the others leave it alone for a while.
 * Else it may not before that time.
 */
extern TimestampTz act_destination_state_enter(const char *destination, TimestampTz now);

/* What a run that ends, in a worker or a session, found its destination to be. */
extern void act_destination_state_report(const Run *run, RunStatus status);

/* What is said of a run that cannot be made now. */
extern char *act_destination_state_message(const char *destination);

#endif							/* ACT_DESTINATION_STATE_H */
