/*-------------------------------------------------------------------------
 *
 * text_set.h
 *	  A set of texts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_TEXT_SET_H
#define ACT_TEXT_SET_H

#include "utils/palloc.h"

typedef struct TextSet TextSet;

extern TextSet *act_text_set_create(MemoryContext context);
extern bool act_text_set_has(const TextSet *set, const char *text);
extern void act_text_set_add(TextSet *set, const char *text);	/* copies it; it is not in there yet */

#endif							/* ACT_TEXT_SET_H */
