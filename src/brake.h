/*-------------------------------------------------------------------------
 *
 * brake.h
 *	  When to stop a run because of what the destination refuses, or does not answer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_BRAKE_H
#define ACT_BRAKE_H

#include "deliver_private.h"

/* A row was refused alone, out of a batch that was refused as a whole. */
extern void act_brake_refused(Delivery *delivery, Row *row);

/* A batch was answered row by row. */
extern void act_brake_answered(Delivery *delivery, Batch *batch);

/* A batch is given up, and may have been applied: true where the destination seems to be down. */
extern bool act_brake_lost(Delivery *delivery, const Batch *batch);

#endif							/* ACT_BRAKE_H */
