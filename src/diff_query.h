/*-------------------------------------------------------------------------
 *
 * diff_query.h
 *	  The SQL that reads a model and compares it with its snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DIFF_QUERY_H
#define ACT_DIFF_QUERY_H

#include "lib/stringinfo.h"
#include "model.h"

/*
 * "(SELECT k1 .. kn, [l1 .. ln,] fp FROM ...)": the model's rows with the
 * fingerprint of their leaves, computed once, below any join.
 */
extern void act_diff_query_append_model(StringInfo buf, const Model *model, bool leaves);

/* "a.k1 = b.k1 AND ...", by the equality that the key types' order has. */
extern void act_diff_query_append_key_match(StringInfo buf, const Model *model,
											const char *left, const char *right,
											bool right_is_table);

/* " OPERATOR(schema.=) " */
extern void act_diff_query_append_equality(StringInfo buf, Oid type);

/* " type COLLATE schema.collation": as a column's definition has it, without length or precision. */
extern void act_diff_query_append_type(StringInfo buf, Oid type, Oid collation);

/*
 * For the careful diff: the rows of the model that the mapping is to be
 * evaluated over, key columns and the columns of model->columns; keys: only
 * those in $1.
 */
extern char *act_diff_query_raw(const Model *model, bool keys);

/*
 * Over such rows, as activate.diff_block() answers them: the leaves and their
 * fingerprint, or one of the leaves alone.
 */
extern char *act_diff_query_leaves(const Model *model, int leaf);

/* Key columns and some leaves of each row of the model that can be sent. */
extern char *act_diff_query_match(const Model *model, int nleaves, const int *leaves);

/* All of each row of the model that can be sent and has one of the keys in $1, by key. */
extern char *act_diff_query_keys(const Model *model);

/* Which rows the diff is about. */
typedef enum DiffScope
{
	DIFF_WHOLE,					/* all, in key order where that is cheap */
	DIFF_KEYS,					/* the keys in $1, a jsonb array of key objects */
	DIFF_SIEVED					/* those that activate.diff_sieve() holds */
} DiffScope;

/* The diff; its columns are numbered by DiffColumn. */
extern char *act_diff_query(const Model *model, DiffScope scope);

/*
 * Both sides for the sieve, a table: key columns and fingerprint; of the
 * snapshot also when it was accepted, and its state.
 */
extern void act_diff_query_append_model_sieve(StringInfo buf, const Model *model);
extern void act_diff_query_append_snapshot_sieve(StringInfo buf, const Model *model);

/* Columns that follow the key columns, the leaves and those of removals. */
typedef enum DiffColumn
{
	DIFF_FINGERPRINT,			/* of the model's row; null: not in the model */
	DIFF_CTID,					/* of the snapshot's row; null: not there */
	DIFF_STATE,
	DIFF_IN_DOUBT,
	DIFF_ACCEPTED_AT,
	DIFF_OLD_FINGERPRINT,
	DIFF_EXTERNAL_ID,
	DIFF_REMEMBERED,
	DIFF_TRIED,
	DIFF_TRIED_OP,
	DIFF_CHANGE_ID,
	DIFF_ATTEMPTS,
	DIFF_NEXT_ATTEMPT_AT,
	DIFF_MISSING_SINCE,
	DIFF_FIELD_HASHES,
	DIFF_PAYLOAD,
	DIFF_MESSAGE,
	DIFF_LATE_UNTIL,
	DIFF_MUTED_AT,
	DIFF_PROBLEM				/* of a careful diff: why the row cannot be sent */
} DiffColumn;
#define DIFF_COLUMN_COUNT (DIFF_PROBLEM + 1)

/* 42804 unless values of type can be read as those of the expected one. */
extern void act_diff_query_require_type(const Model *model, const char *what, Oid expected, Oid type);

#endif							/* ACT_DIFF_QUERY_H */
