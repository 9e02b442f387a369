/*-------------------------------------------------------------------------
 *
 * settle.h
 *	  Claims before a request, and what an answer makes of the snapshot.
 *
 * All of it runs inside a transaction with SPI connected, which the caller
 * commits; identities are entered and left here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SETTLE_H
#define ACT_SETTLE_H

#include "diff.h"
#include "server_text.h"

/* A row whose fate in this run is known. */
typedef struct SettledRow
{
	Row		   *row;
	bool		uncertain;		/* some try of its request may have been applied */
	int			late_ms;		/* so long from now on a lost one may still be; 0: it may not */
	bool		differs;		/* found there, with other values: accepted, but for what it has */
} SettledRow;

/*
 * The statements of one sync, prepared for its table's columns; in the
 * current memory context.  NULL: its table is locked, see act_settler_lock().
 */
typedef struct Settler Settler;
extern Settler *act_settler_create(const Sync *sync);

/*
 * Locks the sync's table as the owner would; false: somebody holds a lock
 * that we would have to wait for.
 */
extern bool act_settler_lock(Settler *settler);

/* When the first of the rows settled so far is to be tried again; 0: none is. */
extern TimestampTz act_settler_next_attempt(const Settler *settler);

/* How many of the rows of the last call were refused for the last time that is tried. */
extern int64 act_settler_parked(const Settler *settler);

/* Writes rows (of SettledRow) to the snapshot; the lock is held. */
extern void act_settler_rows(Settler *settler, List *rows);

/* Writes the diff's marks, all of them, in as many statements as it takes. */
extern void act_settler_marks(Settler *settler, Diff *diff);

/*
 * claim.c: writes claims, of rows about to be sent, and removes those of which
 * no request can be under way any more; durable with the transaction.
 * timeout_ms: so long after its answer was lost a request may still be applied.
 */
typedef struct ClaimWrite
{
	Row		  **rows;
	int			nrows;
	int64	   *id;				/* where it goes */
} ClaimWrite;

extern void act_claim_write(const Sync *sync, int64 run_id, const ClaimWrite *writes, int nwrites,
							const int64 *removed, int nremoved, int timeout_ms);

/*
 * Claims of a run that never settled them: their rows are in doubt, or unknown,
 * and may be applied as late as if they were lost now.  Returns how many are
 * unknown.
 */
extern int64 act_claim_recover(const Sync *sync, Settler *settler);

#endif							/* ACT_SETTLE_H */
