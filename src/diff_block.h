/*-------------------------------------------------------------------------
 *
 * diff_block.h
 *	  A mapping evaluated with care, for diff_careful.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DIFF_BLOCK_H
#define ACT_DIFF_BLOCK_H

#include "fmgr.h"
#include "model.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

/*
 * Evaluates the mapping over the rows of the model (keys: only those) and
 * puts them into rows, which are of desc: key columns, leaves, fingerprint,
 * problem.  Errors of the model go through; error, which is why care is taken,
 * goes on where none can be.
 */
extern void act_diff_block_evaluate(const Model *model, Jsonb *keys, ErrorData *error,
									TupleDesc desc, Tuplestorestate *rows);

/* Whether an error is one that a mapping raises because of a row. */
extern bool act_diff_error_of_row(const ErrorData *error);

/*
 * The result of a function that returns a set of desc.  A model can call such
 * functions, too: the executor compares desc with what was asked for.
 */
extern Tuplestorestate *act_diff_set_begin(FunctionCallInfo fcinfo, TupleDesc desc);

/* 55000: the function is part of a diff. */
extern void act_diff_set_refuse(const char *function);

#endif							/* ACT_DIFF_BLOCK_H */
