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

/* What became of a row, one after the other as answers come; stops nothing. */
extern void act_brake_note(Delivery *delivery, const Row *row);

/* A row was refused alone, as the destination was asked; probe: by a search, out of a batch. */
extern void act_brake_refused(Delivery *delivery, bool probe);

/* So many rows were answered row by row. */
extern void act_brake_answered(Delivery *delivery, int nrows);

/* A batch is given up, and may have been applied: true where the destination seems to be down. */
extern bool act_brake_lost(Delivery *delivery, const Batch *batch);

#endif							/* ACT_BRAKE_H */
