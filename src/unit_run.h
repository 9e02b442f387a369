/*-------------------------------------------------------------------------
 *
 * unit_run.h
 *	  Mode replace: what a run does with the unit, beside its rows.
 *
 * Each does nothing in a run of another mode.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_UNIT_RUN_H
#define ACT_UNIT_RUN_H

#include "connector.h"
#include "run.h"

/*
 * After the diff, in its transaction and under its snapshot: sets run->unit.
 * Without a destination its limits are not looked at.
 */
extern void act_unit_run_read(Run *run);

/* Why it cannot be sent, or NULL: rows that are left out would be gone there. */
extern char *act_unit_run_problem(const Run *run);

/* The run fails where there is such a problem. */
extern void act_unit_run_guard(Run *run);

/* A unit that waits is no success, even where nothing of it counts. */
extern void act_unit_run_wait(Run *run);

/* The destination said no to all of it. */
extern void act_unit_run_refused(Run *run, const ConnectorAnswer *answer);

#endif							/* ACT_UNIT_RUN_H */
