/*-------------------------------------------------------------------------
 *
 * decision.h
 *	  What to do with one row, from what is known of it (design 2.3, decision 1).
 *
 * Pure: no database, no network, no clock.  The diff asks once for each row
 * that is not plainly unchanged; the exhaustive search in test/unit walks the
 * same functions through every interleaving of change, request and crash.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DECISION_H
#define ACT_DECISION_H

#include "datatype/timestamp.h"
#include "row.h"


/* activate_state */
typedef enum SnapshotState
{
	STATE_ACCEPTED,
	STATE_REJECTED,				/* no next attempt: parked */
	STATE_REFUSED,
	STATE_ABSENT,
	STATE_DOUBT,
	STATE_UNKNOWN,
	STATE_WAITING,				/* what it refers to has no external id yet */
	STATE_LEAVING,				/* gone from the model, within remove_after */
	STATE_LEFT,					/* gone, on_removed ignore */
	STATE_REMOVED,				/* archived, cleared or updated at the destination */
	STATE_GONE,					/* nothing of ours is there, but a lost request may come late, or the key is muted */
	STATE_SKIPPED,				/* muted, and the destination has something else */
	STATE_FORGOTTEN,			/* not stored: the row of the snapshot goes */
	STATE_HELD_BACK				/* not stored: as it is, until a lost request can no longer come */
} SnapshotState;

extern const char *act_state_name(SnapshotState state);
extern SnapshotState act_state_parse(const char *name, size_t len);

/* A row of the snapshot. */
typedef struct RowState
{
	bool		exists;
	SnapshotState state;
	bool		in_doubt;		/* what the destination has is not known */
	bool		there;			/* accepted at some time and not removed since */
	bool		has_fingerprint;	/* of what the destination has */
	uint8		fingerprint[ACT_DIGEST_LEN];
	bool		has_tried;		/* version last sent and not accepted */
	RowOp		tried_op;
	uint8		tried[ACT_DIGEST_LEN];
	uint8		change_id[ACT_DIGEST_LEN];
	int			attempts;
	TimestampTz next_attempt_at;	/* 0: none */
	TimestampTz missing_since;	/* 0: not missing */
	TimestampTz late_until;		/* before it a request whose answer was lost may still be applied; 0: none may */
	bool		muted;			/* never sent, changed or removed */
} RowState;

/* What the sync wants, in the terms of a row. */
typedef struct RowPolicy
{
	RowOp		op;				/* for rows of the model */
	RowOp		removal;		/* ROW_OP_NONE: rows that left are left alone */
	uint8		removal_version[ACT_DIGEST_LEN];	/* what stands for its fingerprint */
	bool		never_again;	/* modes insert and append: an accepted key is done with */
	int64		remove_after_ms;
	bool		forced;			/* keys named by a person: back-off is ignored */
	bool		as_unit;		/* rows go together: none waits by itself, see unit_state.c */
	TimestampTz now;
} RowPolicy;

typedef enum RowAction
{
	ACTION_NONE,				/* unchanged: counted nowhere */
	ACTION_MARK,				/* counted nowhere, but the snapshot's state changes */
	ACTION_LEAVING,				/* counted as leaving */
	ACTION_SEND,
	ACTION_DELAY,				/* in back-off */
	ACTION_SKIP,				/* parked, refused before or muted */
	ACTION_ABSENT,				/* known to be absent, asked again later */
	ACTION_UNKNOWN,				/* waits for a person */
	ACTION_WAIT					/* waits for a row that it refers to */
} RowAction;

typedef struct Decision
{
	RowAction	action;
	RowCause	cause;			/* where counted */
	RowOp		op;
	bool		in_doubt;
	bool		was_there;		/* the destination has it, as far as is known */
	bool		reuse_change_id;
	int			attempts;		/* charged to this version before */
	bool		late;			/* delayed because another version may still arrive */
	TimestampTz until;			/* delayed or absent: when it goes */
	bool		mark;			/* the snapshot gets mark_state */
	SnapshotState mark_state;
} Decision;

/* fingerprint NULL: the model does not have the row. */
extern void act_decide(const RowPolicy *policy, const uint8 *fingerprint,
					   const RowState *state, Decision *decision);

/* The snapshot's row where what is there is not certain of any (act_snapshot_doubt()). */
extern void act_doubt_state(const RowPolicy *policy, RowState *state);

/*
 * Stands for the fingerprint where a removal is the version sent.  payload:
 * digest of what goes with it, which is the same for every row but for its
 * key; NULL: nothing does.
 */
extern void act_removal_fingerprint(RowOp op, const uint8 *payload, uint8 *fingerprint);

/* When what was refused so often goes again; 0: not as it is. */
extern TimestampTz act_next_attempt(int attempts, int max_attempts, TimestampTz now);

/*
 * The snapshot after an answer.  uncertain: an earlier try of the same
 * request, or this one, may have been applied without our knowing.  late_ms:
 * and so long from now on it may still be; 0: that is over.
 */
extern void act_settle_state(const Row *row, bool uncertain, int64 late_ms, int max_attempts,
							 TimestampTz now, RowState *state);

/* Until when after that answer no other version of the row may go; 0: it may at once. */
extern TimestampTz act_late_until(const Row *row, int64 late_ms, TimestampTz now);

#endif							/* ACT_DECISION_H */
