/*-------------------------------------------------------------------------
 *
 * spec_variables.h
 *	  ${name} in the strings of a spec.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SPEC_VARIABLES_H
#define ACT_SPEC_VARIABLES_H

#include "utils/jsonb.h"

/* Every string, names too, with the values of vars put in; 22023 for an unknown one. */
extern Jsonb *act_spec_substitute(Jsonb *spec, Jsonb *vars);

/* The JSON pointer of a member of what stands at another one. */
extern char *act_spec_pointer(const char *pointer, const char *member);

#endif							/* ACT_SPEC_VARIABLES_H */
