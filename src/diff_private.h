/*-------------------------------------------------------------------------
 *
 * diff_private.h
 *	  Shared by diff.c (the query and its result), diff_receiver.c (what
 *	  becomes of each row that the query keeps) and diff_payload.c (what of it
 *	  is sent).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DIFF_PRIVATE_H
#define ACT_DIFF_PRIVATE_H

#include "diff.h"
#include "diff_query.h"
#include "sieve.h"
#include "tcop/dest.h"

typedef struct Match Match;		/* match.h */

/*
 * The rows of the snapshot whose fingerprint a row of the model has equalled,
 * by their place in the table: a second row of the model that meets a marked
 * place is a duplicate, which no sort is needed to see.
 */
typedef struct SeenPages
{
	BlockNumber limit;			/* pages that the table has: places beyond are made up */
	uint32		npages;
	uint64	  **pages;			/* bit per line pointer, allocated when met */
	MemoryContext context;
} SeenPages;

/* Digits of the random number that marks a reference nobody knows yet. */
#define ACT_REFERENCE_NONCE 30

typedef struct DiffState
{
	DestReceiver receiver;		/* must be first */
	const Model *model;
	const Model *whole;			/* the same, not what care made of it */
	RowPolicy	policy;
	Diff	   *diff;
	Jsonb	   *keys;			/* only these; NULL: all */
	int64		max_rows;
	bool		preview;		/* nothing is kept for the snapshot */
	int64		keep_rows;		/* of the rows to send; 0: all */
	bool		only_rows;		/* counts may stay incomplete */
	bool		counts_only;	/* and match values stay unlooked at */
	const Match *match;			/* NULL: not to be looked at */
	bool		baseline;		/* the first run will take all rows as sent */
	DiffKey    *watched;		/* of explain_row(), or NULL */
	Sieve	   *sieve;			/* what may differ; NULL: everything */
	SeenPages	seen;
	char		reference_nonce[ACT_REFERENCE_NONCE + 1];	/* empty: no reference was unknown */
	ValueType **key_values;
	char	  **key_names;		/* as JSON strings in UTF-8 */
	FmgrInfo   *key_output;
	FmgrInfo   *key_equal;
	int16	   *key_len;
	bool	   *key_byval;
	MemoryContext row_context;	/* reset for each row */
	MemoryContext group_context;	/* of the rows with one key */

	/* rows with one key, of which only the first is kept */
	bool		group_open;
	bool		group_differs;
	int64		group_size;		/* rows of the model */
	Datum	   *group_key;
	Row		   *group_row;
	Decision	group_decision;
	uint8		group_fingerprint[ACT_DIGEST_LEN];
	bool		group_in_model;
	bool		group_muted;
	const char *group_problem;	/* why it cannot be sent */
	const char *group_code;
} DiffState;

/* The diff that activate.diff_keep() serves; NULL outside of one. */
extern DiffState *act_diff_current;

extern void act_diff_receiver_init(DiffState *state);
extern void act_diff_receiver_finish(DiffState *state);

extern void act_diff_store(Diff *diff, Tuplestorestate *store, int op, const Row *row);

/* The key as a JSON object; returns why it cannot be sent, or NULL. */
extern const char *act_diff_render_key(const DiffState *state, TupleTableSlot *slot, StringInfo buf);

/* Of these keys, how many rows a run would find unchanged. */
extern int64 act_diff_unchanged(const Model *model, Jsonb *keys);
/*
 * The payload of the group's row, and what is kept of it; or why it cannot be
 * sent, in group_code and group_problem.
 */
extern void act_diff_payload(DiffState *state, TupleTableSlot *slot, const RowState *row_state);

/* Whether the snapshot knows the fields of what was accepted. */
extern bool act_diff_keeps_fields(const DiffState *state);

/* A column of the diff's query. */
extern Datum act_diff_value(const DiffState *state, TupleTableSlot *slot, DiffColumn which, bool *isnull);

/* Marks the place; true when it was marked before. */
extern bool act_diff_seen(DiffState *state, ItemPointer place, bool set);

#endif							/* ACT_DIFF_PRIVATE_H */
