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

/* Both are good base64, as keys may have to be, and good as part of an address. */
#define ACT_REQUEST_ONE_SECRET "QUFBQUFBQUFBQUFB"
#define ACT_REQUEST_OTHER_SECRET "enp6enp6enp6enp6"

/* Masks that by which a request differs from the same with other secrets. */
extern void act_request_mask(HttpRequest *request, const HttpRequest *other);

/*
 * bare is a request before its credentials were put on; now_s when it goes
 * out, in Unix seconds.  In the current memory context; the body is bare's
 * where no credentials are in it.
 */
extern HttpRequest act_request_masked(const Run *run, const HttpRequest *bare, int64 now_s);

#endif							/* ACT_REQUEST_MASK_H */
