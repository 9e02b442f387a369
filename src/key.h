/*-------------------------------------------------------------------------
 *
 * key.h
 *	  Keys as a person names them: JSON, an object or a bare value.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_KEY_H
#define ACT_KEY_H

#include "sync.h"
#include "utils/jsonb.h"

/* That it names each column of the key, and nothing else (22023). */
extern void act_key_check(const Sync *sync, Jsonb *key);
extern void act_key_check_array(const Sync *sync, Jsonb *keys);

#endif							/* ACT_KEY_H */
