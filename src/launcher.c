/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The process that starts all others.
 *
 * Connected to no database: it sees shared catalogs only, and so cannot know
 * which databases have the extension.  Sessions tell it at commit; after its
 * own start a scheduler looks once into each.  What to start is decided anew
 * in each pass (launcher_queue.c) from what stands in shared memory, so that
 * nothing is lost with a launcher that died.  Any error ends it; the
 * postmaster starts it again.  States and transitions: workers.md.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "fault.h"
#include "launcher.h"
#include "settings.h"
#include "worker.h"

#define RESTART_SECONDS 5

static HTAB *known = NULL;

void
act_launcher_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_SECONDS;
	strlcpy(worker.bgw_library_name, "pg_activate", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "act_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "pg_activate launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "pg_activate launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

KnownDatabase *
act_launcher_database(Oid oid)
{
	return hash_search(known, &oid, HASH_FIND, NULL);
}

/* It is to be served: as far as the catalog and the settings go. */
static bool
to_be_served(Form_pg_database database)
{
	return database->datallowconn && !database->datistemplate &&
		database->datconnlimit != ACT_COMPAT_INVALID_DATABASE &&
		act_databases_include(NameStr(database->datname));
}

/* Reads pg_database; those that are gone are forgotten. */
static void
read_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	HASH_SEQ_STATUS status;
	KnownDatabase *database;
	HTAB	   *before = known;
	HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(KnownDatabase),.hcxt = TopMemoryContext};

	known = hash_create("pg_activate databases", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		bool		found;

		database = hash_search(known, &form->oid, HASH_ENTER, &found);
		database->name = form->datname;
		database->serve = to_be_served(form);
		database->absent = false;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();

	/* What was found out about those that are still there. */
	if (before != NULL)
	{
		hash_seq_init(&status, before);
		while ((database = hash_seq_search(&status)) != NULL)
		{
			KnownDatabase *now = act_launcher_database(database->oid);

			if (now != NULL && now->serve && database->serve)
				now->absent = database->absent;
		}
		hash_destroy(before);
	}
}

/* Databases that nobody has looked into get an entry, as far as there is room. */
static void
enter_databases(void)
{
	HASH_SEQ_STATUS status;
	KnownDatabase *database;

	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	hash_seq_init(&status, known);
	while ((database = hash_seq_search(&status)) != NULL)
	{
		if (database->serve && !database->absent)
			(void) act_database_enter(database->oid);
	}
	act_shared->look_again = false;
	LWLockRelease(&act_shared->lock);
}

/* Sessions that blocked a database and are gone, without having said so. */
static void
forget_dead_blocks(void)
{
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ACT_MAX_BLOCKS; i++)
	{
		DatabaseBlock *block = &act_shared->blocks[i];

		if (block->pid != 0 && BackendPidGetProc(block->pid) == NULL)
			block->pid = 0;
	}
	LWLockRelease(&act_shared->lock);
}

static void
note_absence(int code, Datum arg)
{
	LWLockReleaseAll();
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	if (act_shared->launcher_pid == MyProcPid)
	{
		act_shared->launcher_pid = 0;
		act_shared->launcher_seen_at = GetCurrentTimestamp();
	}
	LWLockRelease(&act_shared->lock);
}

static void
note_presence(void)
{
	on_shmem_exit(note_absence, (Datum) 0);
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	act_shared->launcher_pid = MyProcPid;
	act_shared->launcher_proc = act_compat_my_proc();
	act_shared->launcher_started_at = GetCurrentTimestamp();
	act_shared->look_again = true;
	LWLockRelease(&act_shared->lock);
}

/* What may run here, and whether anything may, can be another thing with new settings. */
static void
look_into_idle(void)
{
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ACT_MAX_DATABASES; i++)
	{
		if (act_shared->databases[i].state == DATABASE_IDLE)
			act_shared->databases[i].looked = false;
	}
	LWLockRelease(&act_shared->lock);
}

static bool
look_again(void)
{
	bool		answer;

	LWLockAcquire(&act_shared->lock, LW_SHARED);
	answer = act_shared->look_again;
	LWLockRelease(&act_shared->lock);
	return answer;
}

void
act_launcher_main(Datum arg)
{
	static uint32 wait_event = 0;
	TimestampTz read_at = 0;

	act_worker_signals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	note_presence();
	pgstat_report_appname("pg_activate launcher");

	for (;;)
	{
		TimestampTz now;
		TimestampTz wait;

		now = GetCurrentTimestamp();
		if (read_at == 0 || look_again() || now - read_at >= act_naptime * INT64CONST(1000) || now < read_at)
		{
			read_databases();
			enter_databases();
			read_at = now;
		}
		forget_dead_blocks();
		wait = act_launcher_pass() - GetCurrentTimestamp();
		if (act_worker_wait(act_now() + wait, "PgActivateLauncher", &wait_event))
		{
			read_at = 0;
			look_into_idle();
		}
	}
}
