/*-------------------------------------------------------------------------
 *
 * destination_limit_table.c
 *	  Where what is known of each destination is kept, and what of it is shown.
 *
 * One table in shared memory, and one in each process for when there is none
 * or it is full.  An entry belongs to a server of a database by number, and
 * is taken for another one only when nobody uses it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "destination_limit_private.h"
#include "fault.h"

#define SHARED_ENTRIES 512
#define SHARED_USERS ACT_MAX_RUNS
#define PRIVATE_ENTRIES 32
#define PRIVATE_USERS 1

/* Once there are so many durations each counts half: what was long ago fades. */
#define MAX_DURATIONS 16384

static LimitTable *shared_table = NULL;

static Size
table_size(int nentries, int nusers)
{
	return MAXALIGN(sizeof(LimitTable)) + MAXALIGN(sizeof(LimitUser) * nusers) +
		MAXALIGN(sizeof(LimitEntry) * nentries);
}

/* In memory of zeros. */
static void
table_set_up(LimitTable *table, int nentries, int nusers)
{
	char	   *memory = (char *) table;

	table->nentries = nentries;
	table->nusers = nusers;
	table->users = (LimitUser *) (memory + MAXALIGN(sizeof(LimitTable)));
	table->entries = (LimitEntry *) (memory + MAXALIGN(sizeof(LimitTable)) +
									 MAXALIGN(sizeof(LimitUser) * nusers));
	for (int i = 0; i < nusers; i++)
		table->users[i].entry = -1;
}

Size
act_limit_memory(void)
{
	return table_size(SHARED_ENTRIES, SHARED_USERS);
}

/* In the postmaster, at its start and again after a crash. */
void
act_limit_set_up(void)
{
	bool		found;
	Size		size = act_limit_memory();

	shared_table = ShmemInitStruct("pg_activate limits", size, &found);
	if (!found)
	{
		memset(shared_table, 0, size);
		table_set_up(shared_table, SHARED_ENTRIES, SHARED_USERS);
		LWLockInitialize(&shared_table->lock, LWLockNewTrancheId());
	}
	LWLockRegisterTranche(shared_table->lock.tranche, "pg_activate limits");
}

LimitTable *
act_limit_table_shared(void)
{
	return shared_table;
}

LimitTable *
act_limit_table_private(void)
{
	static LimitTable *table = NULL;

	if (table == NULL)
	{
		LimitTable *made = MemoryContextAllocZero(TopMemoryContext, table_size(PRIVATE_ENTRIES, PRIVATE_USERS));

		table_set_up(made, PRIVATE_ENTRIES, PRIVATE_USERS);
		table = made;
	}
	return table;
}

void
act_limit_table_lock(LimitTable *table)
{
	if (table == shared_table)
		LWLockAcquire(&table->lock, LW_EXCLUSIVE);
}

void
act_limit_table_unlock(LimitTable *table)
{
	if (table == shared_table)
		LWLockRelease(&table->lock);
}

int
act_limit_table_find(const LimitTable *table, Oid database, Oid server)
{
	for (int i = 0; i < table->nentries; i++)
	{
		if (table->entries[i].database == database && table->entries[i].server == server)
			return i;
	}
	return -1;
}

/* A free one, else that of a destination which nobody has used for the longest time. */
int
act_limit_table_entry(LimitTable *table, Oid database, Oid server)
{
	int			found = act_limit_table_find(table, database, server);
	LimitEntry *entry;

	if (found >= 0)
		return found;
	for (int i = 0; i < table->nentries; i++)
	{
		const LimitEntry *other = &table->entries[i];

		if (OidIsValid(other->database) && other->first_user >= 0)
			continue;
		if (found < 0 || !OidIsValid(other->database) || other->used_at < table->entries[found].used_at)
			found = i;
		if (!OidIsValid(other->database))
			break;
	}
	if (found < 0)
		return -1;
	entry = &table->entries[found];
	memset(entry, 0, sizeof(LimitEntry));
	entry->database = database;
	entry->server = server;
	entry->first_user = entry->prober = -1;
	return found;
}

int
act_limit_table_user(LimitTable *table)
{
	for (int i = 0; i < table->nusers; i++)
	{
		if (table->users[i].entry < 0)
			return i;
	}
	return -1;
}

/* ---------------------------------------------------------------- durations */

void
act_limit_note_duration(LimitEntry *entry, double duration_ms)
{
	int			bucket = duration_ms <= 1 ? 0 : (int) Min(ceil(4 * log2(duration_ms)), LIMIT_BUCKETS - 1);

	entry->buckets[bucket]++;
	if (++entry->durations < MAX_DURATIONS)
		return;
	entry->durations = 0;
	for (int i = 0; i < LIMIT_BUCKETS; i++)
	{
		entry->buckets[i] /= 2;
		entry->durations += entry->buckets[i];
	}
}

/* What 95 of 100 stay under; -1: there are none. */
static double
p95(const LimitEntry *entry)
{
	uint64		wanted = ((uint64) entry->durations * 95 + 99) / 100;
	uint64		seen = 0;

	for (int i = 0; i < LIMIT_BUCKETS && entry->durations > 0; i++)
	{
		seen += entry->buckets[i];
		if (seen >= wanted)
			return exp2(i / 4.0);
	}
	return -1;
}

/* --------------------------------------------------------------------- views */

bool
act_limit_view(Oid server, LimitView *view)
{
	LimitEntry	entry;
	int			found;
	TimestampTz now = act_now();

	if (shared_table == NULL)
		return false;
	LWLockAcquire(&shared_table->lock, LW_SHARED);
	found = act_limit_table_find(shared_table, MyDatabaseId, server);
	if (found >= 0)
		entry = shared_table->entries[found];
	LWLockRelease(&shared_table->lock);
	if (found < 0)
		return false;

	view->breaker = entry.breaker == BREAKER_CLOSED ? "closed" : entry.prober >= 0 ? "half-open" : "open";
	view->throttled_until = entry.throttled_until > now ? entry.throttled_until : 0;
	view->in_flight = entry.in_flight;
	view->requests = entry.requests;
	view->retries = entry.retries;
	view->throttled = entry.throttled;
	view->failed = entry.failed;
	view->p95_ms = p95(&entry);
	view->day_used = entry.rate.day_requests == 0 ? -1 : entry.day_ends_at > now ? entry.day_used : 0;
	return true;
}

int
act_limit_others(Oid database, Oid server)
{
	int			others = 0;

	if (shared_table == NULL)
		return 0;
	LWLockAcquire(&shared_table->lock, LW_SHARED);
	for (int i = 0; i < shared_table->nentries; i++)
	{
		const LimitEntry *entry = &shared_table->entries[i];

		if (OidIsValid(entry->database) && (entry->database != database || entry->server != server))
			others++;
	}
	LWLockRelease(&shared_table->lock);
	return others;
}
