/*-------------------------------------------------------------------------
 *
 * text_set.c
 *	  A set of texts.
 *
 * Open addressing, at most half full.  Lives in the context that it was made
 * in; throws only for want of memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "text_set.h"

#define FIRST_SIZE 64			/* a power of two */

struct TextSet
{
	MemoryContext context;
	char	  **slots;
	uint32		size;
	uint32		count;
};

/* FNV-1a */
static uint32
hash_text(const char *text)
{
	uint32		hash = 2166136261u;

	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char) *text) * 16777619u;
	return hash;
}

/* Where the text stands, or would. */
static uint32
find_slot(const TextSet *set, const char *text)
{
	uint32		slot = hash_text(text) & (set->size - 1);

	while (set->slots[slot] != NULL && strcmp(set->slots[slot], text) != 0)
		slot = (slot + 1) & (set->size - 1);
	return slot;
}

TextSet *
act_text_set_create(MemoryContext context)
{
	TextSet    *set = MemoryContextAllocZero(context, sizeof(TextSet));

	set->context = context;
	set->size = FIRST_SIZE;
	set->slots = MemoryContextAllocZero(context, sizeof(char *) * set->size);
	return set;
}

bool
act_text_set_has(const TextSet *set, const char *text)
{
	return set->slots[find_slot(set, text)] != NULL;
}

static void
grow(TextSet *set)
{
	char	  **old = set->slots;
	uint32		old_size = set->size;

	set->size *= 2;
	set->slots = MemoryContextAllocZero(set->context, sizeof(char *) * set->size);
	for (uint32 i = 0; i < old_size; i++)
	{
		if (old[i] != NULL)
			set->slots[find_slot(set, old[i])] = old[i];
	}
	pfree(old);
}

void
act_text_set_add(TextSet *set, const char *text)
{
	size_t		size = strlen(text) + 1;
	char	   *copy = memcpy(MemoryContextAlloc(set->context, size), text, size);

	if (2 * (set->count + 1) > set->size)
		grow(set);
	set->slots[find_slot(set, text)] = copy;
	set->count++;
}
