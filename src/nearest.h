/*-------------------------------------------------------------------------
 *
 * nearest.h
 *	  What a user who mistyped a name most likely meant.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_NEAREST_H
#define ACT_NEAREST_H

/*
 * The candidate (NULL-ended list) that is fewest edits away from the name,
 * or NULL where none is close enough to be worth suggesting.
 */
extern const char *act_nearest_name(const char *name, const char *const *candidates);

#endif							/* ACT_NEAREST_H */
