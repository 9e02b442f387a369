/*-------------------------------------------------------------------------
 *
 * exchange.h
 *	  Single requests of a destination, outside of deliveries.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_EXCHANGE_H
#define ACT_EXCHANGE_H

#include "destination.h"
#include "destination_limit.h"

typedef struct Exchange Exchange;

/*
 * In the current memory context; the destination was loaded with its secrets
 * and outlives it.  limit: the destination's, which is waited for, and remains
 * the caller's; or NULL.  timeout_ms: what a request takes at most, whatever
 * the destination's option says.
 */
extern Exchange *act_exchange_open(const Destination *destination, Limit *limit, int timeout_ms);

/* Never throws; safe to call twice, and for NULL. */
extern void act_exchange_close(Exchange *exchange);

/*
 * Puts the destination's headers and its credentials on the request, sends it
 * and waits for the answer, which is in the current memory context; NULL: none
 * came within timeout_ms, the time that limits take included, and nothing more
 * can be asked.  Serves interrupts; nothing of a transaction is needed.
 */
extern HttpResponse *act_exchange_ask(Exchange *exchange, const ConnectorScope *scope,
									  HttpRequest *request, int timeout_ms);

/* What the answer was, for the limit: of each that was asked. */
extern void act_exchange_told(Exchange *exchange, const ConnectorAnswer *answer);

/* Nothing is asked for so long; serves interrupts. */
extern void act_exchange_pause(Exchange *exchange, int64 pause_ms);

#endif							/* ACT_EXCHANGE_H */
