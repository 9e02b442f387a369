/*-------------------------------------------------------------------------
 *
 * request_retry.h
 *	  How often and how soon a request is made again within a run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_REQUEST_RETRY_H
#define ACT_REQUEST_RETRY_H

#include "run.h"

#define REQUEST_MAX_TRIES 5

/* A destination that asks for more patience than that ends the run. */
#define REQUEST_MAX_THROTTLE_MS (5 * 60 * 1000)
#define REQUEST_MAX_THROTTLES 20	/* in a row */

/* Full jitter: anything up to a limit that doubles with each try, in ms. */
extern int64 act_request_retry_pause(int tries);

/*
 * For how long an answer that throttles wants the destination to be left
 * alone, in ms; throttles: how many there were in a row.
 */
extern int64 act_request_throttle_pause(const Destination *destination, const ConnectorAnswer *answer,
										int throttles);

/* An answer without its words, which may quote rows: for all who share the destination. */
extern const char *act_request_told(const ConnectorAnswer *answer);

/* Ends the run because its destination wants to be left alone for so long. */
extern void act_request_throttle_stop(Run *run, int64 pause_ms, const char *why, const char *told);

#endif							/* ACT_REQUEST_RETRY_H */
