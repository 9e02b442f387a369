/*-------------------------------------------------------------------------
 *
 * diff.h
 *	  What differs between a model and what its destination accepted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DIFF_H
#define ACT_DIFF_H

#include "decision.h"
#include "model.h"
#include "storage/itemptr.h"
#include "utils/tuplestore.h"

/* Rows counted by what the diff alone can say. */
typedef struct DiffCounts
{
	int64		rows_in_model;
	int64		synced;			/* rows of the snapshot that the destination has */
	int64		added;
	int64		changed;
	int64		removed;
	int64		changed_certain;	/* of changed, those not in doubt: what max_changed looks at */
	int64		removed_there;	/* of removed, those it has as far as is known: what max_removed looks at */
	int64		unchanged;
	int64		leaving;
	int64		leaving_first;	/* of leaving, those that were still there in the last diff */
	int64		invalid;
	int64		duplicates;
	int64		delayed;		/* in back-off, or beyond max_rows */
	int64		beyond;			/* of delayed, those beyond max_rows */
	int64		skipped;
	int64		refused_before; /* of delayed and skipped, those that were refused */
	int64		absent;
	int64		unknown;
	int64		waiting;
	int64		to_send;
} DiffCounts;

/* An example of a row that cannot be sent. */
typedef struct InvalidRow
{
	char	   *key;			/* JSON */
	char	   *code;
	char	   *message;
	int64		place;			/* rows to send that come before it in key order */
} InvalidRow;

/* How many changed rows have another value in a field. */
typedef struct FieldChanges
{
	char	   *name;			/* as a JSON string in UTF-8 */
	int64		rows;
} FieldChanges;

typedef struct Diff
{
	DiffCounts	counts;
	List	   *invalid;		/* of InvalidRow, at most MAX_INVALID_EXAMPLES */
	List	   *removed_keys;	/* of char *: the first few, as JSON */
	List	   *fields;			/* of FieldChanges; previews with changed_fields_only or keep_payload */
	uint8		digest[ACT_DIGEST_LEN]; /* order-independent, of what is to be sent and was not refused before */
	uint8		leaving_digest[ACT_DIGEST_LEN]; /* of it, the part of rows that begin to leave */
	Tuplestorestate *rows;		/* to send, in key order */
	Tuplestorestate *marks;		/* states to write without sending */
	TupleDesc	desc;			/* of both */
	TupleTableSlot *slot;		/* for reading them */
	int			nkeys;
	TimestampTz next_attempt_at;	/* first of the rows in back-off; 0: none is */
} Diff;

#define MAX_INVALID_EXAMPLES 1000

/* Before the snapshot is taken that the diff is to see the model with. */
extern void act_diff_lock_model(const Model *model);

/*
 * Computes the diff in the current transaction, which the caller made read
 * only, as the sync's owner.  Rows and marks are kept beyond the transaction
 * and need no catalogs to be read; everything is allocated in the current
 * memory context, which must live as long.  keys NULL: all; forced: they were
 * named by a person, whatever back-off they are in; max_rows 0: all.
 */
extern void act_diff_compute(const Model *model, Jsonb *keys, bool forced, int64 max_rows, Diff *diff);

/*
 * What the next run would do.  Of the rows to send the first max_rows are
 * kept (0: all), and nothing else.  The counts are complete, unless only_rows
 * ends the diff when so many rows to send or invalid ones were found.
 */
extern void act_diff_preview(const Model *model, int64 max_rows, bool only_rows, Diff *diff);

/* All that is known of one key; the place of its row in the snapshot, too. */
typedef struct DiffKey
{
	bool		found;			/* the model or the snapshot has it */
	int64		rows;			/* of the model */
	RowState	state;
	ItemPointerData place;
	uint8		fingerprint[ACT_DIGEST_LEN];
	Decision	decision;
	Row		   *row;			/* with fields when the model has it */
	char	   *code;
	char	   *problem;		/* why it cannot be sent, or NULL */
} DiffKey;

/* keys: an array with the one key. */
extern void act_diff_key(const Model *model, Jsonb *keys, DiffKey *found);

/* Releases the temporary files.  Called in PG_FINALLY; does not throw. */
extern void act_diff_end(Diff *diff);

/* The next row to send, in the current memory context; NULL: no more. */
extern Row *act_diff_next(Diff *diff);

/* To the first row again, or past some; only where option canary is set. */
extern void act_diff_rewind(Diff *diff);
extern void act_diff_skip(Diff *diff, int64 rows);

/* Adds a row to a digest; sums do not depend on the order. */
extern void act_diff_digest_row(uint8 *digest, const Row *row, bool take_away);

/* The next mark: key values and the state to write. */
typedef struct DiffMark
{
	char	  **key_values;
	SnapshotState state;
	char	   *message;		/* of a row that waits: what for; UTF-8 */
	RowOp		op;				/* of a row that waits or is muted: what is to be sent */
	TimestampTz late_until;		/* as the row has it */
} DiffMark;
extern DiffMark *act_diff_next_mark(Diff *diff);

#endif							/* ACT_DIFF_H */
