/*-------------------------------------------------------------------------
 *
 * removal.h
 *	  What goes out for a row that left the model, where that has fields.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_REMOVAL_H
#define ACT_REMOVAL_H

#include "lib/stringinfo.h"
#include "model.h"

/* The payload of a removal: of such a row only the key is known. */
typedef struct Removal
{
	Mapping    *mapping;		/* its leaves are expressions over the key columns */
	int			nleaves;
	Oid		   *leaf_types;
	ValueType **leaf_values;
	List	   *relations;		/* OIDs of what subqueries in it read */
	uint8		digest[ACT_DIGEST_LEN]; /* of all but the values: another one is another version */
} Removal;

/*
 * Resolves what sync->on_removed sends, as the sync's owner, whom the current
 * user is; the rest of the model is resolved.  NULL: nothing with fields.
 * ERROR as for a mapping, with 42703 for whatever is no key column.
 */
extern Removal *act_removal_resolve(Model *model);

extern int	act_removal_leaves(const Model *model);

/*
 * " LEFT JOIN LATERAL (SELECT ...) AS r(r1 .. rn) ON true": its leaves, over
 * the keys of j, computed for rows that left the model and are still there
 * as far as the snapshot, d, knows.
 */
extern void act_removal_append_join(StringInfo buf, const Model *model);

/* The payload of a row as a JSON object.  Returns NULL or why it cannot be sent. */
extern const char *act_removal_append_json(StringInfo buf, const Model *model,
										   const Datum *values, const bool *nulls);

/* Once the forms of the mapping's leaves are known: what null is in what clears a record. */
extern void act_removal_form_nulls(Model *model);

#endif							/* ACT_REMOVAL_H */
