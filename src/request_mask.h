/*-------------------------------------------------------------------------
 *
 * request_mask.h
 *	  A request as it goes out, with its credentials masked.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_REQUEST_MASK_H
#define ACT_REQUEST_MASK_H

#include "run.h"

#define ACT_REQUEST_MASK "********"

/*
 * bare is a request before its credentials were put on; now_s when it goes
 * out, in Unix seconds.  In the current memory context; the body is bare's.
 */
extern HttpRequest act_request_masked(const Run *run, const HttpRequest *bare, int64 now_s);

#endif							/* ACT_REQUEST_MASK_H */
