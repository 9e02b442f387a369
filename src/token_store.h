/*-------------------------------------------------------------------------
 *
 * token_store.h
 *	  Tokens that all processes of the server share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_TOKEN_STORE_H
#define ACT_TOKEN_STORE_H

#include "connector.h"

#define ACT_TOKEN_KEY_LEN 32

typedef struct StoredToken
{
	uint64		serial;			/* tells it from those before and after; never 0 */
	int64		expires_s;		/* 0: when it is refused */
	List	   *values;			/* of HttpHeader, as ConnectorToken has them */
	List	   *secrets;
} StoredToken;

/* Why there is none, as long as that is not worth asking again. */
typedef struct TokenFailure
{
	char	   *problem;
	char	   *hint;			/* or NULL */
	char	   *code;			/* or NULL */
	bool		later;
} TokenFailure;

/* Memory that they take, and its setting up in the postmaster. */
extern Size act_token_store_memory(void);
extern void act_token_store_set_up(void);

/*
 * True: there is one that holds at now_s.  failure->problem is not NULL where
 * one could not be had a moment ago.  Results are in the current memory
 * context.
 */
extern bool act_token_store_get(const uint8 *key, int64 now_s, StoredToken *token, TokenFailure *failure);

/* Returns its serial. */
extern uint64 act_token_store_put(const uint8 *key, const ConnectorToken *token);
extern void act_token_store_fail(const uint8 *key, const TokenFailure *failure, int64 until_s);

/* The destination refused this one; one that came after it stays. */
extern void act_token_store_forget(const uint8 *key, uint64 serial);

/*
 * Who asks for it, of all sessions of the server.  Held until let go of or the
 * process ends; errors do not let go.
 */
extern bool act_token_lock(const uint8 *key);
extern void act_token_unlock(const uint8 *key);

#endif							/* ACT_TOKEN_STORE_H */
