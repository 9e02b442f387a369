/*-------------------------------------------------------------------------
 *
 * reference.h
 *	  Rows that refer to rows of other syncs, by activate.external_id().
 *
 * A row whose reference the destination does not know yet waits: the function
 * answers with a text that says what for, in which the diff finds, by a
 * random number of its own, that the row cannot go.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_REFERENCE_H
#define ACT_REFERENCE_H

#include "compat.h"
#include "diff_private.h"
#include "nodes/parsenodes.h"

/* ------------------------------------------------------------- reference.c */

/*
 * Whether the text, a value or a payload made of values, is one that waits:
 * what for, in words, else NULL.
 */
extern char *act_reference_waits_for(const DiffState *state, const char *text);

/*
 * In PG_CATCH around the query of a diff, whose memory context is current:
 * throws the error again; one about such a text with what to do.
 */
ACT_NORETURN extern void act_reference_rethrow(const DiffState *state);

/*
 * That a sync's rows can be found by keys of these types: 42704, 42501,
 * 22023, 42804.  Returns its table.  As who is to look, with SPI connected.
 */
extern Oid	act_reference_check(const char *name, int nkeys, const Oid *types);

/* The same for keys that are still to become those of a table. */
extern void act_reference_check_types(const char *name, int nkeys, const Oid *columns,
									  int ngiven, const Oid *types);

/* ------------------------------------------------------- reference_calls.c */

/*
 * Calls of external_id() in a query over the model that was analysed and
 * rewritten, as the sync's owner: the key columns, where there are, and then
 * the leaves of the mapping.  Adds to model->references, once the model's
 * keys are known.  22023 for a call whose answer is looked at instead of sent,
 * and what act_reference_check() says.
 */
extern void act_reference_find_calls(Model *model, List *rewritten, int nkeys, const Mapping *mapping);

/* ------------------------------------------------------- reference_state.c */

/* Which syncs the model refers to, as it is now; inside a transaction with SPI connected. */
extern void act_reference_store(const Sync *sync, const Model *model);
extern void act_reference_forget(int64 sync_id);

/*
 * Whether the record of a row that left that sync's model is there, and usable,
 * as it is once it was cleared or updated.  With SPI connected.
 */
extern bool act_reference_keeps_records(const char *name);

/* 2BP01 while other syncs (for a rename: any) refer to it. */
extern void act_reference_refuse_drop(const Sync *sync);
extern void act_reference_refuse_rename(const Sync *sync);

/* In the transaction that settles rows whose ids others may wait for. */
extern void act_reference_note_ids(const Sync *sync);

#endif							/* ACT_REFERENCE_H */
