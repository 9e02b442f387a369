/*-------------------------------------------------------------------------
 *
 * destination_halt.h
 *	  Runs that send to a destination within its limits, and end where it
 *	  takes nothing for long.
 *
 * For deliveries and lookups alike: called from their loops, outside of any
 * transaction, with something to send in hand.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DESTINATION_HALT_H
#define ACT_DESTINATION_HALT_H

#include "destination_limit.h"
#include "run.h"

/* Before the first request of a run; detached when the run is over. */
extern void act_destination_begin(Run *run);

/*
 * Sets run->stop where the destination was found down by others, asked to be
 * left alone for longer than a run waits, or has no quota left today.
 */
extern void act_destination_heed(Run *run);

/* What an answer says of the destination; alone: nothing else came through meanwhile. */
extern LimitResult act_destination_result(Verdict verdict, bool alone);

#endif							/* ACT_DESTINATION_HALT_H */
