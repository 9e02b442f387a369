/*-------------------------------------------------------------------------
 *
 * destination_quota.h
 *	  What is written down of a destination's limits: the requests of its day.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DESTINATION_QUOTA_H
#define ACT_DESTINATION_QUOTA_H

#include "run.h"

/* What was written down, inside a transaction with SPI connected. */
extern void act_quota_load(Destination *destination);

/*
 * Writes down what this process has used of the quota of the day, now and
 * then, or (all) whatever there is.  A transaction of its own where there is
 * something to write; called where none is open.
 */
extern void act_quota_keep(Run *run, bool all);

#endif							/* ACT_DESTINATION_QUOTA_H */
