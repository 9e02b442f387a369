/*-------------------------------------------------------------------------
 *
 * field_types.h
 *	  Types of a sync's fields as they were last sent, to say what changed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_FIELD_TYPES_H
#define ACT_FIELD_TYPES_H

#include "model.h"

/* Of a run that sends: writes only where they differ from what is kept. */
extern void act_field_types_store(const Model *model);

/*
 * "type of field ... changed from ... to ...", where each row has another
 * fingerprint for that; NULL: none has.  In the current memory context.  Both
 * inside a transaction with SPI connected; this one may be READ ONLY.
 */
extern char *act_field_types_change(const Model *model);

#endif							/* ACT_FIELD_TYPES_H */
