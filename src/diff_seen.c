/*-------------------------------------------------------------------------
 *
 * diff_seen.c
 *	  The places in the snapshot that a diff has met an equal row for.
 *
 * In the diff's own memory, a bit for each place of the pages that were met.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "storage/itemptr.h"
#include "utils/memutils.h"

#include "diff_private.h"

#define PLACES_PER_PAGE MaxHeapTuplesPerPage
#define WORDS_PER_PAGE ((PLACES_PER_PAGE + 64) / 64)

bool
act_diff_seen(DiffState *state, ItemPointer place, bool set)
{
	SeenPages  *seen = &state->seen;
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(place);
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(place);
	uint64		bit = UINT64CONST(1) << (offset % 64);
	uint64	   *word;
	bool		before;

	if (offset / 64 >= WORDS_PER_PAGE)
		return false;
	if (block >= seen->npages)
	{
		uint32		npages = Max(seen->npages, 64);

		if (!set)
			return false;
		while (npages <= block)
			npages *= 2;
		seen->pages = seen->pages == NULL ?
			MemoryContextAllocHuge(seen->context, npages * sizeof(uint64 *)) :
			repalloc_huge(seen->pages, npages * sizeof(uint64 *));
		memset(seen->pages + seen->npages, 0, (npages - seen->npages) * sizeof(uint64 *));
		seen->npages = npages;
	}
	if (seen->pages[block] == NULL)
	{
		if (!set)
			return false;
		seen->pages[block] = MemoryContextAllocZero(seen->context, WORDS_PER_PAGE * sizeof(uint64));
	}
	word = &seen->pages[block][offset / 64];
	before = (*word & bit) != 0;
	if (set)
		*word |= bit;
	return before;
}
