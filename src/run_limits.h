/*-------------------------------------------------------------------------
 *
 * run_limits.h
 *	  What the destination tells of its limits, before the first row of a run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_RUN_LIMITS_H
#define ACT_RUN_LIMITS_H

#include "run.h"

/* Throws on cancel and shutdown only; may set run->stop where the destination takes no requests at all. */
extern void act_run_limits(Run *run);

#endif							/* ACT_RUN_LIMITS_H */
