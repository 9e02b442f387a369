/*-------------------------------------------------------------------------
 *
 * housekeeping.h
 *	  What is older than pg_activate.run_retention goes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_HOUSEKEEPING_H
#define ACT_HOUSEKEEPING_H

/*
 * A scheduler between two passes, outside of transactions: a few small ones
 * of its own, every ten minutes or when the retention changed.  True: there
 * is more to do, soon.
 */
extern bool act_housekeeping_step(void);

#endif							/* ACT_HOUSEKEEPING_H */
