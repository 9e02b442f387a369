/*-------------------------------------------------------------------------
 *
 * wakeup.c
 *	  What a transaction tells the workers when it commits.
 *
 * One callback a session, registered by the first who has something to tell.
 * A subtransaction that rolls back leaves what it wanted told: to be woken
 * for nothing does no harm.  What a prepared transaction wanted told is
 * forgotten with it; COMMIT PREPARED wakes in any case (utility_hook.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "settings.h"
#include "shared_state.h"
#include "wakeup.h"

/* A launcher that ended is restarted after 5 s. */
#define LAUNCHER_PATIENCE (30 * USECS_PER_SEC)

static bool wake = false;
static bool leave = false;
static bool look = false;
static bool blocking = false;
static bool destinations = false;

void
act_wake_now(void)
{
	DatabaseEntry *entry;

	if (act_shared == NULL)
		return;
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	entry = act_database_enter(MyDatabaseId);
	if (entry != NULL)
		act_database_wake(entry);
	LWLockRelease(&act_shared->lock);
}

/* Before the wake: what leaves is woken as well, and started again after it. */
static void
leave_now(void)
{
	DatabaseEntry *entry;

	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	act_database_runs_leave(MyDatabaseId);
	entry = act_database_find(MyDatabaseId);
	if (entry != NULL)
		act_database_leave(entry);
	LWLockRelease(&act_shared->lock);
}

static void
look_now(void)
{
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	act_shared->look_again = true;
	act_wake_launcher();
	LWLockRelease(&act_shared->lock);
}

/* Before the wake: a run that begins after it has seen what was committed. */
static void
destinations_now(void)
{
	(void) pg_atomic_fetch_add_u32(&act_shared->destination_changes, 1);
}

void
act_prepared_now(void)
{
	if (act_shared == NULL)
		return;
	destinations_now();
	act_wake_now();
}

/* Workers come back into what this session needed without them. */
static void
unblock_now(void)
{
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ACT_MAX_BLOCKS; i++)
	{
		DatabaseBlock *block = &act_shared->blocks[i];
		DatabaseEntry *entry;

		if (block->pid != MyProcPid)
			continue;
		block->pid = 0;
		entry = act_database_find(block->database);
		if (entry != NULL)
			act_database_wake(entry);
	}
	act_wake_launcher();
	LWLockRelease(&act_shared->lock);
}

static void
transaction_ends(XactEvent event, void *arg)
{
	if (!wake && !leave && !look && !blocking && !destinations)
		return;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (destinations)
				destinations_now();
			if (look)
				look_now();
			if (leave)
				leave_now();
			if (wake || leave)
				act_wake_now();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			break;
		default:
			return;
	}
	if (blocking)
		unblock_now();
	wake = leave = look = blocking = destinations = false;
}

static void
register_callback(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(transaction_ends, NULL);
	registered = true;
}

void
act_wake_at_commit(void)
{
	if (act_shared == NULL)
		return;
	register_callback();
	wake = true;
}

void
act_destination_changed_at_commit(void)
{
	if (act_shared == NULL)
		return;
	act_wake_at_commit();
	destinations = true;
}

void
act_leave_at_commit(void)
{
	if (act_shared == NULL)
		return;
	register_callback();
	leave = true;
}

void
act_look_at_commit(void)
{
	register_callback();
	look = true;
}

void
act_unblock_at_end(void)
{
	register_callback();
	blocking = true;
}

/* Not even for as long as its restart takes. */
static bool
launcher_missing(void)
{
	bool		missing;

	LWLockAcquire(&act_shared->lock, LW_SHARED);
	missing = act_shared->launcher_pid == 0 &&
		GetCurrentTimestamp() - act_shared->launcher_seen_at > LAUNCHER_PATIENCE;
	LWLockRelease(&act_shared->lock);
	return missing;
}

/* The launcher leaves these alone (to_be_served() in launcher.c). */
static bool
is_template(void)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	bool		template = false;

	if (HeapTupleIsValid(tuple))
	{
		template = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return template;
}

const char *
act_workers_problem(const char **hint)
{
	if (act_shared == NULL)
	{
		*hint = "Add pg_activate to shared_preload_libraries, and restart.";
		return "background worker is not loaded";
	}
	if (RecoveryInProgress())
	{
		*hint = "Nothing runs on a standby.";
		return "this server is a standby";
	}
	if (!act_enabled)
	{
		*hint = "ALTER SYSTEM SET pg_activate.enabled = on; SELECT pg_reload_conf();";
		return "pg_activate.enabled is off";
	}
	if (!act_databases_include(get_database_name(MyDatabaseId)))
	{
		*hint = "Add it to pg_activate.databases.";
		return "pg_activate.databases does not name this database";
	}
	if (is_template())
	{
		*hint = "ALTER DATABASE ... IS_TEMPLATE false;";
		return "no worker connects to a template database";
	}
	if (launcher_missing())
	{
		*hint = "Raise max_worker_processes, and restart; the server's log tells more.";
		return "background worker is not running";
	}
	*hint = NULL;
	return NULL;
}
