/*-------------------------------------------------------------------------
 *
 * unit_prepare.h
 *	  Mode replace: what a document asks before the unit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_UNIT_PREPARE_H
#define ACT_UNIT_PREPARE_H

#include "run.h"

/* Puts what is saved into run->scope.saved; may set run->stop. */
extern void act_unit_prepare(Run *run);

#endif							/* ACT_UNIT_PREPARE_H */
