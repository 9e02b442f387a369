/*-------------------------------------------------------------------------
 *
 * utility_hook.c
 *	  Statements about databases and the extension that workers must know of.
 *
 * DROP DATABASE, ALTER DATABASE RENAME and SET TABLESPACE, and CREATE
 * DATABASE from a template need a database that nobody is connected to: ours
 * leave, and are kept out until the transaction ends, however it does.  Only
 * for those who may do it, so that nobody else can stop our workers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "shared_state.h"
#include "utility_hook.h"
#include "wakeup.h"

/* Who was asked to leave is told to after the first, and not waited for after the second. */
#define ASK_FOR (1 * USECS_PER_SEC)
#define WAIT_FOR (5 * USECS_PER_SEC)
#define LOOK_EVERY_MS 10

static ProcessUtility_hook_type next_utility_hook = NULL;
static object_access_hook_type next_access_hook = NULL;

static bool
may_create_databases(void)
{
	HeapTuple	role;
	bool		may = superuser();

	role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(role))
	{
		may = may || ((Form_pg_authid) GETSTRUCT(role))->rolcreatedb;
		ReleaseSysCache(role);
	}
	return may;
}

static const char *
option_text(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

/* The database that the statement needs without anybody in it; InvalidOid: none, or not for this user. */
static Oid
database_needed(Node *statement)
{
	const char *name = NULL;
	bool		creates = false;
	Oid			database;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			name = ((DropdbStmt *) statement)->dbname;
			break;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				name = ((RenameStmt *) statement)->subname;
			creates = true;
			break;
		case T_AlterDatabaseStmt:
			if (option_text(((AlterDatabaseStmt *) statement)->options, "tablespace") != NULL)
				name = ((AlterDatabaseStmt *) statement)->dbname;
			break;
		case T_CreatedbStmt:
			name = option_text(((CreatedbStmt *) statement)->options, "template");
			creates = true;
			break;
		default:
			break;
	}
	if (name == NULL)
		return InvalidOid;
	database = get_database_oid(name, true);
	if (!OidIsValid(database) || database == MyDatabaseId ||
		!act_compat_database_ownercheck(database, GetUserId()) ||
		(creates && !may_create_databases()))
		return InvalidOid;
	return database;
}

/* With the lock held: none of ours is in the database.  tell: SIGTERM for those who are. */
static bool
nobody_in(Oid database, bool tell)
{
	DatabaseEntry *entry = act_database_find(database);
	bool		nobody = true;

	if (entry != NULL && entry->pid != 0)
	{
		nobody = false;
		if (tell)
			(void) kill(entry->pid, SIGTERM);
	}
	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		RunSlot    *slot = &act_shared->runs[i];

		if (slot->state != SLOT_RUNNING || slot->in_session || slot->database != database)
			continue;
		nobody = false;
		if (tell)
			(void) kill(slot->pid, SIGTERM);
	}
	return nobody;
}

/* Kept out until the end of the transaction. */
static void
block_database(Oid database)
{
	DatabaseEntry *entry;
	DatabaseBlock *ours = NULL;

	act_unblock_at_end();
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ACT_MAX_BLOCKS; i++)
	{
		DatabaseBlock *block = &act_shared->blocks[i];

		/* A transaction may try several times, each after a savepoint. */
		if (block->pid == MyProcPid && block->database == database)
		{
			ours = block;
			break;
		}
		if (block->pid == 0 && ours == NULL)
			ours = block;
	}
	if (ours != NULL)
	{
		ours->database = database;
		ours->pid = MyProcPid;
	}
	entry = act_database_find(database);
	if (entry != NULL)
		act_database_leave(entry);
	act_database_runs_leave(database);
	LWLockRelease(&act_shared->lock);
}

static void
clear_database(Oid database)
{
	TimestampTz begun = GetCurrentTimestamp();
	bool		told = false;
	static uint32 wait_event = 0;

	block_database(database);
	for (;;)
	{
		TimestampTz waited = GetCurrentTimestamp() - begun;
		bool		tell = !told && waited >= ASK_FOR;
		bool		nobody;

		LWLockAcquire(&act_shared->lock, LW_SHARED);
		nobody = nobody_in(database, tell);
		LWLockRelease(&act_shared->lock);
		told = told || tell;
		/* Whoever is still there then, the statement itself will say. */
		if (nobody || waited >= WAIT_FOR || waited < 0)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_EVERY_MS,
						 act_compat_wait_event(&wait_event, "PgActivateWorkersLeave"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
run_statement(PlannedStmt *statement, const char *text, bool read_only, ProcessUtilityContext context,
			  ParamListInfo parameters, QueryEnvironment *environment, DestReceiver *receiver,
			  QueryCompletion *completion)
{
	if (next_utility_hook)
		next_utility_hook(statement, text, read_only, context, parameters, environment, receiver, completion);
	else
		standard_ProcessUtility(statement, text, read_only, context, parameters, environment, receiver, completion);
}

/*
 * What workers should look at once the transaction commits is said before the
 * statement runs: if it fails, nothing commits.
 */
static void
process_utility(PlannedStmt *statement, const char *text, bool read_only, ProcessUtilityContext context,
				ParamListInfo parameters, QueryEnvironment *environment, DestReceiver *receiver,
				QueryCompletion *completion)
{
	Node	   *node = statement->utilityStmt;
	bool		commits_prepared = false;
	bool		creates_extension = false;
	Oid			database = InvalidOid;

	switch (nodeTag(node))
	{
		case T_DropdbStmt:
		case T_RenameStmt:
		case T_AlterDatabaseStmt:
		case T_CreatedbStmt:
			database = database_needed(node);
			if (!IsA(node, RenameStmt) || ((RenameStmt *) node)->renameType == OBJECT_DATABASE)
				act_look_at_commit();
			break;
		case T_CreateExtensionStmt:
			creates_extension = !OidIsValid(get_extension_oid("pg_activate", true));
			break;
		case T_AlterExtensionStmt:
			if (strcmp(((AlterExtensionStmt *) node)->extname, "pg_activate") == 0)
				act_wake_at_commit();
			break;
		case T_TransactionStmt:
			commits_prepared = ((TransactionStmt *) node)->kind == TRANS_STMT_COMMIT_PREPARED;
			break;
		default:
			break;
	}
	if (OidIsValid(database))
		clear_database(database);
	run_statement(statement, text, read_only, context, parameters, environment, receiver, completion);

	/* By its name, or because another one requires it. */
	if (creates_extension && OidIsValid(get_extension_oid("pg_activate", true)))
		act_wake_at_commit();
	if (commits_prepared && OidIsValid(get_extension_oid("pg_activate", true)))
		act_prepared_now();
}

/* However it is dropped: by name, with its schema, with all its owner has. */
static void
object_accessed(ObjectAccessType access, Oid class, Oid object, int column, void *arg)
{
	if (next_access_hook)
		next_access_hook(access, class, object, column, arg);
	if (access == OAT_DROP && class == ExtensionRelationId &&
		object == get_extension_oid("pg_activate", true))
		act_leave_at_commit();
}

void
act_utility_hook_install(void)
{
	next_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	next_access_hook = object_access_hook;
	object_access_hook = object_accessed;
}
