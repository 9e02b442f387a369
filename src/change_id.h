/*-------------------------------------------------------------------------
 *
 * change_id.h
 *	  Names for versions sent, which no receiver ever saw before.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CHANGE_ID_H
#define ACT_CHANGE_ID_H

#include "row.h"

extern void act_change_id_new(uint8 *change_id);

#endif							/* ACT_CHANGE_ID_H */
