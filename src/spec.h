/*-------------------------------------------------------------------------
 *
 * spec.h
 *	  Definitions of syncs written down as one JSON document.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SPEC_H
#define ACT_SPEC_H

#include "definition.h"

/* One sync of it: all its arguments, defaults filled in. */
typedef struct SpecSync
{
	DefinitionInput input;		/* options never NULL */
	char	   *pointer;		/* where it stands: /syncs/customer_health */
	char	   *search_path;	/* NULL: the session's */
	char	   *time_zone;		/* NULL: the session's */
	bool		has_paused;		/* it says whether it is paused */
	bool		paused;
	char	   *pause_reason;	/* or NULL */
	List	   *after;			/* of char *: syncs that it runs after */
	List	   *mentions;		/* of char *: syncs whose external ids it reads */
} SpecSync;

/*
 * Reads {"syncs": {...}, "defaults": {...}} or an array of syncs, with vars
 * put in for ${name}.  List of SpecSync, each after those of the list that it
 * runs after or mentions.  Everything that can be known to be wrong without
 * looking at a definition is ERROR 22023 with the JSON pointer of it, 42704
 * for a role.  Needs a transaction, for roles; allocates in the current
 * memory context.
 */
extern List *act_spec_read(Jsonb *spec, Jsonb *vars);

#endif							/* ACT_SPEC_H */
