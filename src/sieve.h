/*-------------------------------------------------------------------------
 *
 * sieve.h
 *	  Which keys of a table can differ from the snapshot, without a join.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SIEVE_H
#define ACT_SIEVE_H

#include "model.h"

typedef struct Sieve Sieve;

/* What shaking it told. */
typedef struct SieveResult
{
	bool		used;			/* false: the whole must be joined */
	bool		clean;			/* nothing differs */
	int64		rows_in_model;
	int64		synced;			/* rows of the snapshot that the destination has */
} SieveResult;

/*
 * Reads both sides once, as the owner that the caller has become, in the
 * caller's transaction.  NULL, and result->used false, where a join of
 * everything is the cheaper way or the only one.
 */
extern Sieve *act_sieve_shake(const Model *model, SieveResult *result);

/* Whether the key fell into a bucket that differs. */
extern bool act_sieve_holds(Sieve *sieve, const Datum *keys, const bool *nulls);

#endif							/* ACT_SIEVE_H */
