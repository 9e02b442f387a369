/*-------------------------------------------------------------------------
 *
 * token.h
 *	  The token that a destination's credentials are exchanged for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_TOKEN_H
#define ACT_TOKEN_H

#include "run.h"

/*
 * Before requests are rendered or sent: the run's scope has a token that
 * holds, or needs none.  False: run->stop says why.  Outside of transactions
 * (an empty one of a CALL is fine), waits for the token endpoint or for who
 * else asks it; throws on cancel and shutdown.  Has a transaction of its own
 * where a new refresh token came.
 */
extern bool act_token_ready(Run *run);

/*
 * The same for single requests of a function, whose transaction stays open,
 * or (may_commit) of a procedure that has begun with act_transaction_open():
 * NULL, or why there is no token.
 */
extern char *act_token_ready_once(Destination *destination, ConnectorScope *scope, bool may_commit);

/*
 * The destination refused what was sent with the token.  True: another one
 * will be asked for, and what was refused can go again; false: there was none,
 * or it was a new one already.
 */
extern bool act_token_refused(Run *run);

/* Something was accepted with credentials of this generation. */
extern void act_token_worked(Run *run, int generation);

/* It belongs to credentials that are not used any more. */
extern void act_token_drop(Run *run);

#endif							/* ACT_TOKEN_H */
