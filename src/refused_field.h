/*-------------------------------------------------------------------------
 *
 * refused_field.h
 *	  The field that a refusal is about, where it names one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_REFUSED_FIELD_H
#define ACT_REFUSED_FIELD_H

#include "row.h"

/*
 * A field of the row that its code or message names: the only one of them,
 * or the only one in quotes or in a JSON pointer.  NULL: none, or not certain
 * which.  In the current memory context; needs nothing of the database.
 */
extern char *act_refused_field(const Row *row);

#endif							/* ACT_REFUSED_FIELD_H */
