/*-------------------------------------------------------------------------
 *
 * run_job.h
 *	  What earlier runs left to the destination, before anything is compared.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_RUN_JOB_H
#define ACT_RUN_JOB_H

#include "run.h"

/* The stage. */
extern void act_run_jobs(Run *run);

/* The run ends: what came of the jobs' rows becomes part of its counts, once. */
extern void act_run_jobs_counted(Run *run);

#endif							/* ACT_RUN_JOB_H */
