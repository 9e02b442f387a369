/*-------------------------------------------------------------------------
 *
 * diff_duplicates.h
 *	  In which fields the rows of one key differ.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DIFF_DUPLICATES_H
#define ACT_DIFF_DUPLICATES_H

#include "diff_private.h"

#define DUPLICATE_CODE "duplicate_key"

/*
 * At the end of a diff, inside it: the messages of invalid rows with this code
 * get the fields and two values of each.
 * model: with which the diff was made.
 */
extern void act_diff_tell_duplicates(DiffState *state, const Model *model);

#endif							/* ACT_DIFF_DUPLICATES_H */
