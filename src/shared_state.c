/*-------------------------------------------------------------------------
 *
 * shared_state.c
 *	  What launcher, schedulers, run workers and sessions know of each other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "backoff.h"
#include "compat.h"
#include "destination_limit.h"
#include "launcher.h"
#include "shared_state.h"
#include "token_store.h"

#define BACKOFF_FIRST (5 * USECS_PER_SEC)
#define BACKOFF_LIMIT (5 * 60 * USECS_PER_SEC)

SharedState *act_shared = NULL;

static shmem_request_hook_type next_request_hook = NULL;
static shmem_startup_hook_type next_startup_hook = NULL;

/* Of this session's CALL. */
static RunSlot *session_slot = NULL;

static void
request_memory(void)
{
	if (next_request_hook)
		next_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(SharedState)));
	RequestAddinShmemSpace(MAXALIGN(act_limit_memory()));
	RequestAddinShmemSpace(MAXALIGN(act_token_store_memory()));
}

/* In the postmaster, at its start and again after a crash. */
static void
set_up_memory(void)
{
	bool		found;

	if (next_startup_hook)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	act_shared = ShmemInitStruct("pg_activate", sizeof(SharedState), &found);
	if (!found)
	{
		memset(act_shared, 0, sizeof(SharedState));
		act_shared->launcher_seen_at = GetCurrentTimestamp();
		LWLockInitialize(&act_shared->lock, LWLockNewTrancheId());
		ConditionVariableInit(&act_shared->run_ended);
		pg_atomic_init_u32(&act_shared->destination_changes, 0);
	}
	act_limit_set_up();
	act_token_store_set_up();
	LWLockRelease(AddinShmemInitLock);
	LWLockRegisterTranche(act_shared->lock.tranche, "pg_activate");
}

void
act_shared_state_init(void)
{
	next_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = set_up_memory;
	if (!IsBinaryUpgrade)
		act_launcher_register();
}

DatabaseEntry *
act_database_find(Oid database)
{
	for (int i = 0; i < ACT_MAX_DATABASES; i++)
	{
		DatabaseEntry *entry = &act_shared->databases[i];

		if (entry->state != DATABASE_FREE && entry->database == database)
			return entry;
	}
	return NULL;
}

/* A new entry also makes the launcher look whether it is to be served. */
DatabaseEntry *
act_database_enter(Oid database)
{
	DatabaseEntry *entry = act_database_find(database);

	if (entry != NULL)
		return entry;
	for (int i = 0; i < ACT_MAX_DATABASES && entry == NULL; i++)
	{
		if (act_shared->databases[i].state == DATABASE_FREE)
			entry = &act_shared->databases[i];
	}
	for (int i = 0; i < ACT_MAX_DATABASES && entry == NULL; i++)
	{
		if (act_shared->databases[i].state == DATABASE_ABSENT)
			entry = &act_shared->databases[i];
	}
	if (entry != NULL)
	{
		uint32		generation = entry->generation;

		memset(entry, 0, sizeof(DatabaseEntry));
		entry->database = database;
		entry->state = DATABASE_NEW;
		entry->generation = generation + 1;
		entry->changed_at = GetCurrentTimestamp();
		entry->next_due = PG_INT64_MAX;
		act_shared->look_again = true;
	}
	return entry;
}

/* A run under way before one that is only asked for: there may be both. */
RunSlot *
act_run_slot_find(Oid database, int64 sync_id)
{
	RunSlot    *found = NULL;

	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		RunSlot    *slot = &act_shared->runs[i];

		if (slot->state == SLOT_FREE || slot->database != database || slot->sync_id != sync_id)
			continue;
		if (slot->state == SLOT_RUNNING)
			return slot;
		if (found == NULL)
			found = slot;
	}
	return found;
}

bool
act_database_blocked(Oid database)
{
	for (int i = 0; i < ACT_MAX_BLOCKS; i++)
	{
		if (act_shared->blocks[i].pid != 0 && act_shared->blocks[i].database == database)
			return true;
	}
	return false;
}

void
act_database_wake(DatabaseEntry *entry)
{
	entry->wake = true;
	if (entry->pid != 0)
		act_wake_process(entry->proc);
	else
		act_wake_launcher();
}

void
act_database_leave(DatabaseEntry *entry)
{
	if (entry->state != DATABASE_STARTING && entry->state != DATABASE_RUNNING)
		return;
	entry->leave = true;
	if (entry->pid != 0)
		act_wake_process(entry->proc);
}

void
act_database_runs_leave(Oid database)
{
	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		RunSlot    *slot = &act_shared->runs[i];

		if (slot->state == SLOT_FREE || slot->in_session || slot->database != database)
			continue;
		if (slot->state == SLOT_REQUESTED || slot->state == SLOT_BACKOFF)
			slot->state = SLOT_FREE;
		slot->leave = true;
		if (slot->pid != 0)
			act_wake_process(slot->proc);
	}
}

void
act_run_slot_failed(const RunSlot *slot)
{
	DatabaseEntry *entry = act_database_find(slot->database);

	if (entry != NULL)
		act_database_wake(entry);
}

TimestampTz
act_backoff(int failures)
{
	return act_backoff_pause(BACKOFF_FIRST, BACKOFF_LIMIT, failures);
}

void
act_wake_process(int proc)
{
	if (proc >= 0 && proc < (int) ProcGlobal->allProcCount)
		SetLatch(&GetPGProcByNumber(proc)->procLatch);
}

void
act_wake_launcher(void)
{
	if (act_shared->launcher_pid != 0)
		act_wake_process(act_shared->launcher_proc);
}

static int
requests_of(Oid server)
{
	int			count = 0;

	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		const RunSlot *slot = &act_shared->runs[i];

		if (slot->state == SLOT_REQUESTED && slot->database == MyDatabaseId && slot->server == server)
			count++;
	}
	return count;
}

/* Where one destination's syncs hold most places, and this one's hold few, one of theirs. */
static RunSlot *
slot_of_crowd(Oid server)
{
	RunSlot    *found = NULL;
	int			most = requests_of(server) + 1;

	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		RunSlot    *slot = &act_shared->runs[i];
		int			requests;

		if (slot->state != SLOT_REQUESTED || slot->database != MyDatabaseId || slot->server == server)
			continue;
		requests = requests_of(slot->server);
		if (requests > most || (found != NULL && requests == most && slot->priority < found->priority))
		{
			most = requests;
			found = slot;
		}
	}
	return found;
}

/* A free slot for one that is asked for; NULL: too many wait already. */
static RunSlot *
slot_for_request(Oid server, int priority)
{
	RunSlot    *unused = NULL;
	RunSlot    *lowest = NULL;
	int			requested = 0;

	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		RunSlot    *slot = &act_shared->runs[i];

		if (slot->state == SLOT_FREE && unused == NULL)
			unused = slot;
		if (slot->state != SLOT_REQUESTED || slot->database != MyDatabaseId)
			continue;
		requested++;
		if (lowest == NULL || slot->priority < lowest->priority)
			lowest = slot;
	}
	if (requested < ACT_MAX_REQUESTED)
		return unused;
	/* The more urgent one takes its place; it will be asked for again. */
	return lowest->priority < priority ? lowest : slot_of_crowd(server);
}

static void
slot_fill(RunSlot *slot, RunSlotState state, int64 sync_id, const char *sync_name)
{
	uint32		generation = slot->generation;

	memset(slot, 0, sizeof(RunSlot));
	slot->state = state;
	slot->generation = generation + 1;
	slot->database = MyDatabaseId;
	slot->sync_id = sync_id;
	slot->rows_total = -1;
	slot->changed_at = GetCurrentTimestamp();
	strlcpy(slot->sync_name, sync_name, NAMEDATALEN);
}

bool
act_run_request(int64 sync_id, const char *sync_name, Oid role, Oid server, int priority, TimestampTz due_at)
{
	RunSlot    *slot;
	int			failures = 0;
	char		problem[ACT_PROBLEM_SIZE] = "";

	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	slot = act_run_slot_find(MyDatabaseId, sync_id);
	if (slot == NULL)
		slot = slot_for_request(server, priority);
	else if (slot->state == SLOT_BACKOFF && slot->retry_at <= GetCurrentTimestamp())
	{
		failures = slot->failures;
		strlcpy(problem, slot->problem, ACT_PROBLEM_SIZE);
	}
	else
		slot = NULL;
	if (slot != NULL)
	{
		slot_fill(slot, SLOT_REQUESTED, sync_id, sync_name);
		slot->role = role;
		slot->server = server;
		slot->priority = priority;
		slot->due_at = due_at;
		slot->failures = failures;
		strlcpy(slot->problem, problem, ACT_PROBLEM_SIZE);
		act_wake_launcher();
	}
	LWLockRelease(&act_shared->lock);
	return slot != NULL;
}

static void
release_at_exit(int code, Datum arg)
{
	LWLockReleaseAll();
	if (session_slot != NULL)
		act_run_slot_release(session_slot);
}

RunSlot *
act_run_slot_take(int64 sync_id, const char *sync_name)
{
	static bool registered = false;
	RunSlot    *slot = NULL;

	if (act_shared == NULL || session_slot != NULL)
		return NULL;
	if (!registered)
	{
		on_shmem_exit(release_at_exit, (Datum) 0);
		registered = true;
	}
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ACT_MAX_RUNS && slot == NULL; i++)
	{
		if (act_shared->runs[i].state == SLOT_FREE)
			slot = &act_shared->runs[i];
	}
	if (slot != NULL)
	{
		slot_fill(slot, SLOT_RUNNING, sync_id, sync_name);
		slot->in_session = true;
		slot->started_at = slot->changed_at;
		slot->pid = MyProcPid;
		slot->proc = act_compat_my_proc();
	}
	LWLockRelease(&act_shared->lock);
	session_slot = slot;
	return slot;
}

void
act_run_slot_release(RunSlot *slot)
{
	DatabaseEntry *entry;

	if (slot == NULL)
		return;
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	if (slot->pid == MyProcPid)
	{
		slot->state = SLOT_FREE;
		slot->pid = 0;
		act_shared->runs_ended++;
		entry = act_database_find(slot->database);
		if (entry != NULL)
			act_database_wake(entry);
		act_wake_launcher();
	}
	LWLockRelease(&act_shared->lock);
	ConditionVariableBroadcast(&act_shared->run_ended);
	if (slot == session_slot)
		session_slot = NULL;
}

int64
act_runs_ended(void)
{
	int64		ended;

	if (act_shared == NULL)
		return 0;
	LWLockAcquire(&act_shared->lock, LW_SHARED);
	ended = act_shared->runs_ended;
	LWLockRelease(&act_shared->lock);
	return ended;
}

void
act_runs_wait(int64 ended, long timeout_ms, uint32 wait_event)
{
	if (act_shared == NULL)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms, wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		return;
	}
	ConditionVariablePrepareToSleep(&act_shared->run_ended);
	while (act_runs_ended() == ended)
	{
		if (ConditionVariableTimedSleep(&act_shared->run_ended, timeout_ms, wait_event))
			break;
	}
	ConditionVariableCancelSleep();
}

uint32
act_destination_changes(void)
{
	return act_shared == NULL ? 0 : pg_atomic_read_u32(&act_shared->destination_changes);
}
