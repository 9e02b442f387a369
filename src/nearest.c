/*-------------------------------------------------------------------------
 *
 * nearest.c
 *	  What a user who mistyped a name most likely meant.
 *
 * Needs no transaction; allocates scratch memory in the current context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/varlena.h"

#include "nearest.h"

/* As far as the server itself goes when it suggests column names. */
#define MAX_EDITS 3
/* varstr_levenshtein() throws on longer input. */
#define MAX_NAME 200

const char *
act_nearest_name(const char *name, const char *const *candidates)
{
	const char *nearest = NULL;
	int			len = (int) strnlen(name, MAX_NAME + 1);
	int			best = Min(MAX_EDITS, len / 2) + 1;

	if (len > MAX_NAME)
		return NULL;
	for (; *candidates != NULL; candidates++)
	{
		int			candidate_len = (int) strlen(*candidates);
		int			edits;

		if (candidate_len > MAX_NAME)
			continue;
		edits = varstr_levenshtein_less_equal(name, len, *candidates, candidate_len,
											  1, 1, 1, best, true);
		if (edits < best)
		{
			best = edits;
			nearest = *candidates;
		}
	}
	return nearest;
}
