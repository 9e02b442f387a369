/*-------------------------------------------------------------------------
 *
 * unit.h
 *	  Mode replace: the model's result as one unit, a sheet or an audience.
 *
 * The diff says, as in every mode, which rows differ; they are what counts,
 * is claimed and is settled.  What is sent is the unit: all rows in the
 * model's own order, read in the diff's transaction, under its snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_UNIT_H
#define ACT_UNIT_H

#include "diff.h"

/* Where the connector does not limit a body. */
#define UNIT_MAX_BYTES (64 * 1024 * 1024)

/*
 * What activate.sync_state knows of the unit: the snapshot's fingerprints say
 * which rows the destination has, this says in which order.
 */
typedef struct UnitState
{
	bool		has_digest;
	uint8		digest[ACT_DIGEST_LEN]; /* as it was last accepted */
	bool		has_tried;
	uint8		tried[ACT_DIGEST_LEN];	/* last sent and not accepted; without digest: in doubt */
	int			attempts;		/* how often that one was refused */
	TimestampTz next_attempt_at;	/* 0: none */
	TimestampTz late_until;		/* before it a lost request may still be applied; 0: none may */
} UnitState;

typedef struct Unit Unit;
struct Unit
{
	UnitState	before;			/* as the run found it */
	bool		send;
	bool		record;			/* nothing is sent, but the order is known now */
	bool		waits;			/* it was refused as it is, or an older one may still arrive, and its time has not come */
	bool		late;			/* that an older one may still arrive is why */
	bool		has_digest;		/* it was read */
	uint8		digest[ACT_DIGEST_LEN];
	uint8		id[ACT_DIGEST_LEN]; /* of the request: new for each run */
	int			attempts;		/* charged to it before this run */
	int64		nrows;
	Tuplestorestate *rows;
	TupleDesc	desc;
	TupleTableSlot *slot;

	/* set by delivery, for act_unit_settle() */
	bool		answered;		/* and not settled yet */
	RowOutcome	outcome;
	bool		uncertain;
	int			late_ms;		/* so long from now on a lost one may still be applied */
};

/*
 * Decides whether the unit is to be sent, and reads it where that takes its
 * rows.  In the diff's transaction, after the diff and under its snapshot; as
 * the sync's owner, whose identity it enters and leaves.  Where the unit
 * waits, the diff's rows to send become delayed or skipped.  max_rows and
 * max_bytes: what one request takes; 0: no limit of the destination's.  ERROR:
 * 54000 more than that, 22000 a row that no request can carry; act_unit_end()
 * is for the caller then, too.  unit: all zeros.
 */
extern void act_unit_read(const Model *model, Diff *diff, int64 max_rows, int64 max_bytes, Unit *unit);

/* The next row, in the current memory context; NULL: no more. */
extern Row *act_unit_next(Unit *unit);
extern void act_unit_rewind(Unit *unit);

/* Releases the temporary files.  Does not throw. */
extern void act_unit_end(Unit *unit);

/*
 * unit_state.c: inside a transaction with SPI connected that the caller
 * commits, as the extension.
 */
extern void act_unit_load(int64 sync_id, UnitState *state);

/* The order is known and nothing is sent. */
extern void act_unit_record(const Sync *sync, const Unit *unit);

/* In the transaction of the claim: from now on what is there is not certain. */
extern void act_unit_claim(const Sync *sync, const Unit *unit);

/* In the transaction that settles the answer; returns when it is to go again, 0: not by itself. */
extern TimestampTz act_unit_settle(const Sync *sync, const Unit *unit);

/* It goes again with the next run, as if never refused. */
extern void act_unit_retry(const Sync *sync);

/* A run died with a request under way: as if that were lost now. */
extern void act_unit_lost(const Sync *sync, int late_ms);

/*
 * Nothing is known of the order any more; send: the next run sends the unit
 * whatever the diff says.
 */
extern void act_unit_forget(const Sync *sync, bool send);

#endif							/* ACT_UNIT_H */
