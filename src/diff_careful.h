/*-------------------------------------------------------------------------
 *
 * diff_careful.h
 *	  A mapping that raises on some rows: those are named, the others go on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DIFF_CAREFUL_H
#define ACT_DIFF_CAREFUL_H

#include "model.h"
#include "utils/jsonb.h"

/*
 * Does the work with the models in a subtransaction, in the owner's identity
 * and with SPI connected.  When it fails with an error that a row may have
 * raised in a mapping, the mapping is evaluated over each row of the models
 * by itself, and the work is done again with copies of them whose rows
 * (act_diff_query_append_model()) are the results: with a problem instead of
 * a fingerprint where there was an error.  When it fails with one that only
 * parallel workers know, it is first done again without them.  The work may
 * so begin several times and has to begin anew.  keys: only those rows.
 *
 * Throws what the model itself raises, and the first error where nothing is
 * to be gained by more care.
 */
extern void act_diff_carefully(const Model *const *models, int nmodels, Jsonb *keys,
							   void (*work) (const Model *const *models, void *arg), void *arg);

/* $1 of a query over named keys. */
extern struct ParamListInfoData *act_diff_keys_parameter(Jsonb *keys);

#endif							/* ACT_DIFF_CAREFUL_H */
