/*-------------------------------------------------------------------------
 *
 * record_owner.c
 *	  Whose the records of a destination are: no two rows have one.
 *
 * A match that changed hands finds the record of the row that had it before.
 * Used by deliveries and by first runs that link, outside of transactions.
 * Ids are told apart by their digest, so that long ones cost no more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "utils/hsearch.h"

#include "link.h"
#include "record_owner.h"

#define ID_DIGEST ACT_DIGEST_LEN

typedef struct OwnedRecord
{
	uint8		id[ID_DIGEST];
	char	   *key;			/* of the row; NULL: not known */
} OwnedRecord;

struct RecordOwners
{
	MemoryContext context;
	HTAB	   *records;		/* of OwnedRecord */
	bool		loaded;
};

RecordOwners *
act_owners_create(MemoryContext context)
{
	RecordOwners *owners = MemoryContextAllocZero(context, sizeof(RecordOwners));
	HASHCTL		control = {.keysize = ID_DIGEST,.entrysize = sizeof(OwnedRecord),.hcxt = context};

	owners->context = context;
	owners->records = hash_create("pg_activate records", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return owners;
}

static OwnedRecord *
enter(RecordOwners *owners, const char *id, const char *key, bool *found)
{
	uint8		digest[ID_DIGEST];
	OwnedRecord *record;

	act_digest(id, strlen(id), digest);
	record = hash_search(owners->records, digest, HASH_ENTER, found);
	if (!*found)
		record->key = key != NULL ? MemoryContextStrdup(owners->context, key) : NULL;
	return record;
}

static void
load(RecordOwners *owners, Run *run)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *ids = act_link_known_ids(run);
	ListCell   *cell;
	bool		found;

	MemoryContextSwitchTo(caller);

	foreach(cell, ids)
	{
		char	   *id = lfirst(cell);

		(void) enter(owners, pg_server_to_any(id, strlen(id), PG_UTF8), NULL, &found);
	}
	list_free_deep(ids);
	owners->loaded = true;
}

void
act_owners_note(RecordOwners *owners, const char *id, const char *key)
{
	bool		found;
	OwnedRecord *record = enter(owners, id, key, &found);

	if (found && record->key == NULL)
		record->key = MemoryContextStrdup(owners->context, key);
}

const char *
act_owners_take(RecordOwners *owners, Run *run, const char *id, const char *key)
{
	OwnedRecord *record;
	bool		found;

	if (!owners->loaded)
		load(owners, run);
	record = enter(owners, id, key, &found);
	if (!found || (record->key != NULL && strcmp(record->key, key) == 0))
		return NULL;
	return record->key != NULL ? record->key : "";
}
