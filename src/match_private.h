/*-------------------------------------------------------------------------
 *
 * match_private.h
 *	  Shared by match.c (who has which match) and match_collision.c (what
 *	  becomes of those that share one).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_MATCH_PRIVATE_H
#define ACT_MATCH_PRIVATE_H

#include "filter.h"
#include "match.h"
#include "tcop/dest.h"
#include "utils/hsearch.h"

struct Match
{
	int			nfields;
	char	  **names;			/* in UTF-8 */
	int		   *leaves;			/* that they are */
	const Filter *const *compare;	/* NULL-ended */
};

/* A match that a row to send has; keys are those that the scan found with it. */
typedef struct MatchEntry
{
	uint8		digest[ACT_DIGEST_LEN]; /* must be first */
	Datum	   *key;			/* of the first that was met; NULL: none yet */
	char	   *first;			/* the same as JSON */
	char	   *second;			/* another one; NULL: there is none */
	bool		more;
} MatchEntry;

typedef struct MatchKey
{
	char	   *key;			/* JSON */
	uint8		digest[ACT_DIGEST_LEN]; /* of its match */
} MatchKey;

/* Keys that share a match with a row to send, whose own fate is looked up. */
#define MAX_OTHERS 10000

typedef struct MatchScan
{
	DestReceiver receiver;		/* must be first */
	DiffState  *state;
	const Model *model;
	const Match *match;
	MemoryContext context;		/* of the entries of one scan */
	MemoryContext row_context;
	HTAB	   *entries;
	int			part;			/* of how many, by the digest */
	int			nparts;
	HTAB	   *collisions;		/* entries that several keys have, of all scans */
	List	   *others;			/* of MatchKey: keys met with those */
	int64		nothers;
} MatchScan;

/* The match of a row to send; false: it has none, since nothing of it is sent. */
extern bool act_match_digest(const Match *match, const Row *row, uint8 *digest);

/* A table of entries of that size, by 128 bits. */
extern HTAB *act_match_table(const char *name, Size entry, MemoryContext context);

/*
 * Rows with a match of scan->collisions leave the store, and everything is
 * counted and told accordingly; a preview keeps no more than it wants.
 */
extern void act_match_take_out(MatchScan *scan, const Model *whole);

#endif							/* ACT_MATCH_PRIVATE_H */
