/*-------------------------------------------------------------------------
 *
 * utility_hook.c
 *	  Statements about databases and the extension that workers must know of.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "tcop/utility.h"
#include "utils/builtins.h"

#include "shared_state.h"
#include "utility_hook.h"
#include "wakeup.h"

static ProcessUtility_hook_type next_utility_hook = NULL;
static object_access_hook_type next_access_hook = NULL;

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

/* What the workers should look at once the statement's transaction commits. */
static void
tell_workers(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreateExtensionStmt:
			if (strcmp(((CreateExtensionStmt *) statement)->extname, "pg_activate") == 0)
				act_wake_at_commit();
			break;
		case T_AlterExtensionStmt:
			if (strcmp(((AlterExtensionStmt *) statement)->extname, "pg_activate") == 0)
				act_wake_at_commit();
			break;
		case T_TransactionStmt:
			if (((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED)
				act_wake_now();
			break;
		case T_CreatedbStmt:
		case T_AlterDatabaseStmt:
		case T_RenameStmt:
			LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
			act_shared->look_again = true;
			act_wake_launcher();
			LWLockRelease(&act_shared->lock);
			break;
		default:
			break;
	}
}

static void
process_utility(PlannedStmt *statement, const char *text, bool read_only, ProcessUtilityContext context,
				ParamListInfo parameters, QueryEnvironment *environment, DestReceiver *receiver,
				QueryCompletion *completion)
{
	run_statement(statement, text, read_only, context, parameters, environment, receiver, completion);
	tell_workers(statement->utilityStmt);
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
