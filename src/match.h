/*-------------------------------------------------------------------------
 *
 * match.h
 *	  The values by which the destination finds a record: none is null, and no
 *	  two keys have the same.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_MATCH_H
#define ACT_MATCH_H

#include "diff_private.h"

/* NULL: there is nothing to look at, since the key itself is the match. */
extern Match *act_match_create(const Model *model);

/* Why the row, rendered, cannot be found by its match; NULL: it can. */
extern char *act_match_problem(const Match *match, const Row *row);

/*
 * At the end of a diff, inside it: takes the rows out of state's store whose
 * match another key of the model has too, and counts them as invalid.
 * models: with which the diff was made, and as it is by itself.
 */
extern void act_match_check(DiffState *state, const Model *model, const Model *whole);

#endif							/* ACT_MATCH_H */
