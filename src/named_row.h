/*-------------------------------------------------------------------------
 *
 * named_row.h
 *	  Rows of a sync that a person names, to steer them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_NAMED_ROW_H
#define ACT_NAMED_ROW_H

#include "identity.h"
#include "decision.h"
#include "sync.h"

/*
 * The rows' sync and the keys, as the types of its table read them; between
 * act_named_rows_enter() and act_named_rows_leave() everything is done as the
 * sync's owner, and no lock on a row is waited for for long: who holds some
 * already may be waited for by a run that has this one.
 */
typedef struct NamedRows
{
	Sync	   *sync;
	Jsonb	   *keys;			/* array of objects of strings; NULL: all rows */
	Identity	identity;
	TimestampTz now;
} NamedRows;

/* keys: as the caller gave them, an array; or NULL.  Transaction with SPI connected. */
extern void act_named_rows_enter(NamedRows *rows, Sync *sync, Jsonb *keys);
extern void act_named_rows_leave(NamedRows *rows);

/* " FROM (SELECT n, k1, k2 ...) AS w": the keys in $1, in their order. */
extern void act_named_rows_append_keys(StringInfo buf, const NamedRows *rows);
/* "s.a = w.k1 AND ..." */
extern void act_named_rows_append_match(StringInfo buf, const NamedRows *rows);
/* "a, b" */
extern void act_named_rows_append_columns(StringInfo buf, const NamedRows *rows);

/* What the snapshot says of a named row, and its n-th key as the views show it. */
typedef struct NamedRow
{
	char	   *key;
	bool		exists;
	SnapshotState state;
	bool		in_doubt;
	bool		muted;
	bool		has_tried;
	RowOp		tried_op;
} NamedRow;

/* One for each key; ERROR 42704 of the first that the snapshot does not know, unless missing_ok. */
extern NamedRow *act_named_rows_look(const NamedRows *rows, bool missing_ok, int *count);

/*
 * Some of its rows may go at once: wakes the workers, or says in a NOTICE what
 * makes them go.  After act_named_rows_leave().
 */
extern void act_named_rows_tell_next(const Sync *sync);

#endif							/* ACT_NAMED_ROW_H */
