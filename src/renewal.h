/*-------------------------------------------------------------------------
 *
 * renewal.h
 *	  New credentials in the middle of a run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_RENEWAL_H
#define ACT_RENEWAL_H

#include "run.h"

/*
 * The destination refuses the credentials of this generation.  True: there
 * are others by now that it has not refused yet, and what it refused can go
 * again with them.  False: there are none; where they could not be read,
 * *problem says why, in the current memory context (else it is NULL).
 *
 * Is a transaction of its own, so none may be under way but an empty one.
 * Throws on cancel and shutdown.
 */
extern bool act_renewal_try(Run *run, int generation, char **problem);

/*
 * The destination as it is set up now, in the run's memory; NULL, with
 * *problem: it cannot be used.  A transaction of its own, too.
 */
extern Destination *act_renewal_read(Run *run, char **problem);

#endif							/* ACT_RENEWAL_H */
