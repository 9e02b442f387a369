/*-------------------------------------------------------------------------
 *
 * model_difference.c
 *	  Why what was accepted under one mapping says nothing under another.
 *
 * Called where a definition is changed, for what its author is told; in the
 * current memory context.  Compares what enters the seed of fingerprints.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mapping.h"

/* The leaf there, of those that are compared or of the others. */
static int
find_path(const Model *model, const char *path, bool compared)
{
	for (int i = 0; i < model->nleaves; i++)
	{
		if (strcmp(model->mapping->leaves[i].path, path) == 0 &&
			act_mapping_leaf_compared(model->mapping, i) == compared)
			return i;
	}
	return -1;
}

char *
act_model_difference(const Model *old, const Model *new)
{
	if (memcmp(old->seed, new->seed, ACT_DIGEST_LEN) == 0)
		return NULL;
	for (int i = 0; i < new->nleaves; i++)
	{
		const MappingLeaf *leaf = &new->mapping->leaves[i];
		int			other = find_path(old, leaf->path, true);

		if (leaf->uncompared)
			continue;
		if (other < 0)
			return psprintf(find_path(old, leaf->path, false) < 0 ? "new field \"%s\"" :
							"field \"%s\" was not compared so far", leaf->label);
		if (leaf->nulls != old->mapping->leaves[other].nulls)
			return psprintf("null of field \"%s\" is another value", leaf->label);
		if (strcmp(act_value_type_signature(old->leaf_values[other]),
				   act_value_type_signature(new->leaf_values[i])) != 0)
			return psprintf("type of field \"%s\" changed from %s to %s", leaf->label,
							old->leaf_type_names[other], new->leaf_type_names[i]);
	}
	for (int i = 0; i < old->nleaves; i++)
	{
		const MappingLeaf *leaf = &old->mapping->leaves[i];

		if (!leaf->uncompared && find_path(new, leaf->path, true) < 0)
			return psprintf(find_path(new, leaf->path, false) < 0 ? "field \"%s\" is gone" :
							"field \"%s\" is no longer compared", leaf->label);
	}
	return pstrdup("a constant or the order of the fields changed");
}
