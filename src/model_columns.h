/*-------------------------------------------------------------------------
 *
 * model_columns.h
 *	  Which columns of the model the mapping reads.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_MODEL_COLUMNS_H
#define ACT_MODEL_COLUMNS_H

#include "model.h"
#include "nodes/parsenodes.h"

/* query: the key columns, then the leaves, from the model and nothing else. */
extern void act_model_find_columns(Model *model, const Query *query);

#endif							/* ACT_MODEL_COLUMNS_H */
