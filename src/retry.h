/*-------------------------------------------------------------------------
 *
 * retry.h
 *	  Rows whose back-off has ended, as the keys of a run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_RETRY_H
#define ACT_RETRY_H

#include "sync.h"

/*
 * An array of keys as run_sync() takes them, in the current memory context:
 * those of the sync's rows that are to be tried again by now, the longest
 * waiting first, and those that wait for rows they refer to.  NULL: so many
 * of these that the whole model is read as fast.
 * *next: when the first of the others is (0: none is).  As
 * the sync's owner, inside a transaction with SPI connected and a snapshot
 * active; may be READ ONLY.
 */
extern Jsonb *act_retry_keys(const Sync *sync, TimestampTz *next);

#endif							/* ACT_RETRY_H */
