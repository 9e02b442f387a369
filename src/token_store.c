/*-------------------------------------------------------------------------
 *
 * token_store.c
 *	  Tokens that all processes of the server share.
 *
 * In shared memory, under one LWLock, and nowhere else: a token is in no
 * file, no dump and no backup, costs no transaction, is there on a standby
 * and in a read-only transaction, and is gone with the server, which asks
 * for another one.  Without preload each process has a few of its own.
 * An entry is found by a digest of the credentials, of the place they are sent
 * to, of database and server: whoever has others has another entry.
 *
 * Needs no transaction.  Throws only for want of memory and, of the lock, for
 * want of shared memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "compat.h"
#include "json_text.h"
#include "token_store.h"

/* Advisory locks of SQL have the classes 1 and 2, runs 0xAC71. */
#define TOKEN_LOCK_CLASS 0xAC72

#define SHARED_TOKENS 64
#define PRIVATE_TOKENS 4

/* With a letter before and two ends for each value. */
#define TOKEN_BYTES (ACT_TOKEN_MAX_BYTES + 1024)
#define MAX_PROBLEM 600

typedef enum EntryState
{
	ENTRY_FREE,
	ENTRY_TOKEN,
	ENTRY_FAILURE,
	ENTRY_FAILURE_FOR_NOW		/* worth asking again, but not at once */
} EntryState;

typedef struct TokenEntry
{
	uint8		key[ACT_TOKEN_KEY_LEN];
	EntryState	state;
	uint64		serial;
	uint64		used;			/* when, by the store's own count: the oldest goes first */
	int64		until_s;		/* of a token: 0 for ever */
	int			len;
	char		data[TOKEN_BYTES];	/* a letter, name, NUL, value, NUL for each */
} TokenEntry;

typedef struct TokenStore
{
	LWLock		lock;
	uint64		clock;
	int			nentries;
	TokenEntry	entries[FLEXIBLE_ARRAY_MEMBER];
} TokenStore;

static TokenStore *shared_store = NULL;

static Size
store_size(int nentries)
{
	return offsetof(TokenStore, entries) + sizeof(TokenEntry) * nentries;
}

Size
act_token_store_memory(void)
{
	return store_size(SHARED_TOKENS);
}

void
act_token_store_set_up(void)
{
	bool		found;

	shared_store = ShmemInitStruct("pg_activate tokens", act_token_store_memory(), &found);
	if (!found)
	{
		memset(shared_store, 0, act_token_store_memory());
		shared_store->nentries = SHARED_TOKENS;
		LWLockInitialize(&shared_store->lock, LWLockNewTrancheId());
	}
	LWLockRegisterTranche(shared_store->lock.tranche, "pg_activate tokens");
}

static TokenStore *
open_store(void)
{
	static TokenStore *private_store = NULL;

	if (shared_store != NULL)
	{
		LWLockAcquire(&shared_store->lock, LW_EXCLUSIVE);
		return shared_store;
	}
	if (private_store == NULL)
	{
		private_store = MemoryContextAllocZero(TopMemoryContext, store_size(PRIVATE_TOKENS));
		private_store->nentries = PRIVATE_TOKENS;
	}
	return private_store;
}

static void
close_store(TokenStore *store)
{
	if (store == shared_store)
		LWLockRelease(&store->lock);
}

static TokenEntry *
find_entry(TokenStore *store, const uint8 *key)
{
	for (int i = 0; i < store->nentries; i++)
	{
		TokenEntry *entry = &store->entries[i];

		if (entry->state != ENTRY_FREE && memcmp(entry->key, key, ACT_TOKEN_KEY_LEN) == 0)
			return entry;
	}
	return NULL;
}

/* That of the key, a free one, or the one that was not used for longest. */
static TokenEntry *
make_entry(TokenStore *store, const uint8 *key)
{
	TokenEntry *entry = find_entry(store, key);

	for (int i = 0; i < store->nentries && entry == NULL; i++)
	{
		if (store->entries[i].state == ENTRY_FREE)
			entry = &store->entries[i];
	}
	if (entry == NULL)
	{
		entry = &store->entries[0];
		for (int i = 1; i < store->nentries; i++)
		{
			if (store->entries[i].used < entry->used)
				entry = &store->entries[i];
		}
	}
	memcpy(entry->key, key, ACT_TOKEN_KEY_LEN);
	explicit_bzero(entry->data, sizeof(entry->data));
	entry->len = 0;
	entry->serial = entry->used = ++store->clock;
	return entry;
}

/* Whether there was room. */
static bool
append(TokenEntry *entry, char letter, const char *name, const char *value)
{
	size_t		name_len = strlen(name) + 1;
	size_t		value_len = strlen(value) + 1;

	if (1 + name_len + value_len > sizeof(entry->data) - entry->len)
		return false;
	entry->data[entry->len++] = letter;
	memcpy(entry->data + entry->len, name, name_len);
	entry->len += name_len;
	memcpy(entry->data + entry->len, value, value_len);
	entry->len += value_len;
	return true;
}

/* The data of an entry, taken out of the store, as values and those of them that are secret. */
static void
read_values(char *data, int len, List **values, List **secrets)
{
	for (char *at = data; at < data + len;)
	{
		HttpHeader *value = palloc(sizeof(HttpHeader));
		bool		is_secret = *at == 's';

		value->name = at + 1;
		value->value = value->name + strlen(value->name) + 1;
		at = value->value + strlen(value->value) + 1;
		*values = lappend(*values, value);
		if (is_secret)
			*secrets = lappend(*secrets, value);
	}
}

static char *
value_of(List *values, const char *name)
{
	ListCell   *cell;

	foreach(cell, values)
	{
		const HttpHeader *value = lfirst(cell);

		if (strcmp(value->name, name) == 0)
			return value->value;
	}
	return NULL;
}

bool
act_token_store_get(const uint8 *key, int64 now_s, StoredToken *token, TokenFailure *failure)
{
	char	   *data = palloc(TOKEN_BYTES);	/* what throws, throws before the lock */
	TokenStore *store = open_store();
	TokenEntry *entry = find_entry(store, key);
	EntryState	state = ENTRY_FREE;
	List	   *values = NIL;
	List	   *secrets = NIL;
	int			len = 0;

	if (entry != NULL && (entry->until_s == 0 || now_s < entry->until_s))
	{
		state = entry->state;
		len = entry->len;
		memcpy(data, entry->data, len);
		token->serial = entry->serial;
		token->expires_s = entry->until_s;
		entry->used = ++store->clock;
	}
	close_store(store);

	memset(failure, 0, sizeof(TokenFailure));
	if (state != ENTRY_FREE)
		read_values(data, len, &values, &secrets);
	if (state == ENTRY_FAILURE || state == ENTRY_FAILURE_FOR_NOW)
	{
		failure->problem = value_of(values, "problem");
		failure->hint = value_of(values, "hint");
		failure->code = value_of(values, "code");
		failure->later = state == ENTRY_FAILURE_FOR_NOW;
	}
	if (state != ENTRY_TOKEN)
		return false;
	token->values = values;
	token->secrets = secrets;
	return true;
}

uint64
act_token_store_put(const uint8 *key, const ConnectorToken *token)
{
	TokenStore *store = open_store();
	TokenEntry *entry = make_entry(store, key);
	uint64		serial = entry->serial;
	ListCell   *cell;

	entry->state = ENTRY_TOKEN;
	entry->until_s = token->expires_s;
	foreach(cell, token->values)
	{
		const HttpHeader *value = lfirst(cell);

		if (!append(entry, list_member_ptr(token->secrets, value) ? 's' : 'v', value->name, value->value))
			entry->state = ENTRY_FREE;	/* nobody shares it */
	}
	close_store(store);
	return serial;
}

void
act_token_store_fail(const uint8 *key, const TokenFailure *failure, int64 until_s)
{
	size_t		len = strlen(failure->problem);
	char	   *problem = pnstrdup(failure->problem, act_utf8_clip(failure->problem, len, MAX_PROBLEM));
	TokenStore *store = open_store();
	TokenEntry *entry = make_entry(store, key);

	entry->state = failure->later ? ENTRY_FAILURE_FOR_NOW : ENTRY_FAILURE;
	entry->until_s = until_s;
	(void) append(entry, 'v', "problem", problem);
	if (failure->hint != NULL)
		(void) append(entry, 'v', "hint", failure->hint);
	if (failure->code != NULL)
		(void) append(entry, 'v', "code", failure->code);
	close_store(store);
}

void
act_token_store_forget(const uint8 *key, uint64 serial)
{
	TokenStore *store = open_store();
	TokenEntry *entry = find_entry(store, key);

	if (entry != NULL && entry->serial == serial)
	{
		explicit_bzero(entry->data, sizeof(entry->data));
		entry->state = ENTRY_FREE;
	}
	close_store(store);
}

/* ----------------------------------------------------------------
 *		Who asks
 * ----------------------------------------------------------------
 */

static void
set_tag(LOCKTAG *tag, const uint8 *key)
{
	uint32		one;
	uint32		other;

	memcpy(&one, key, sizeof(one));
	memcpy(&other, key + sizeof(one), sizeof(other));
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, one, other, TOKEN_LOCK_CLASS);
}

bool
act_token_lock(const uint8 *key)
{
	LOCKTAG		tag;

	set_tag(&tag, key);
	if (act_compat_lock_held(&tag, ExclusiveLock))
		return false;
	return LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
act_token_unlock(const uint8 *key)
{
	LOCKTAG		tag;

	set_tag(&tag, key);
	if (act_compat_lock_held(&tag, ExclusiveLock))
		(void) LockRelease(&tag, ExclusiveLock, true);
}
