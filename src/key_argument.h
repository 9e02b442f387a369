/*-------------------------------------------------------------------------
 *
 * key_argument.h
 *	  Keys that a caller names, as jsonb.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_KEY_ARGUMENT_H
#define ACT_KEY_ARGUMENT_H

#include "model.h"
#include "utils/jsonb.h"

/* 22023 unless it is one, as a caller is to give it. */
extern void act_key_argument_require_array(Jsonb *keys);

/* [key] */
extern Jsonb *act_key_argument_one(Jsonb *key);

/* keys, an array: has each what a key of the sync has, and nothing else? */
extern void act_key_argument_check(const Sync *sync, Jsonb *keys);

/*
 * Such keys as objects of strings that the columns' types read; throws what
 * their input says of one that is none.  As the sync's owner.
 */
extern Jsonb *act_key_argument_read(const Model *model, Jsonb *keys);

#endif							/* ACT_KEY_ARGUMENT_H */
