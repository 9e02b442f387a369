/*-------------------------------------------------------------------------
 *
 * model_change.c
 *	  Commands of other people that change what the models of syncs read.
 *
 * Two event triggers (35_model_changes.sql) have each command looked at: which
 * syncs read what it touches, by OID or by name, is taken down in this
 * session's memory.  When the transaction commits, each of those syncs has its
 * model resolved, as a run would: tools that build warehouses have a table
 * gone in the middle of a transaction and back at its end.  What does not work
 * then is told, the sync waits, and the command goes through; with
 * on_model_change refuse the transaction is refused.
 *
 * The transaction is somebody else's and holds locks that others wait for.  So
 * no lock is waited for here (a sync whose tables others are at is left to its
 * next run), each step is a subtransaction, and no error but a refusal and a
 * cancel gets out.  Nothing is done for pg_restore and pg_upgrade, inside
 * CREATE EXTENSION, and for syncs that may not run on this server.
 *
 * A prepared transaction says what it breaks but writes nothing down: events
 * come with a notification, which it may not have.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/deparse_utility.h"
#include "utils/aclchk_internal.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "cluster.h"
#include "identity.h"
#include "model_text.h"
#include "model_wait.h"
#include "settings.h"
#include "sync_relation.h"
#include "transaction.h"
#include "wakeup.h"

PG_FUNCTION_INFO_V1(act_note_ddl);
PG_FUNCTION_INFO_V1(act_note_drop);

/* More than so many syncs in one transaction are left to their runs. */
#define MAX_NOTES 200

/* Of the others that break only the number is told. */
#define MAX_WARNINGS 10

/* A command that touched what a sync's model reads. */
typedef struct Note
{
	int64		sync_id;
	char	   *command;
	char	   *relation;		/* qualified, after the command; of a dropped one as it was */
	Oid			role;
	bool		is_model;		/* it is or was the model itself */
	bool		cascade;		/* it went with another one */
} Note;

/* Of the current transaction; kept until it ends. */
static List *notes = NIL;
static MemoryContext notes_context = NULL;

/* ----------------------------------------------------------------
 *		Taking down
 * ----------------------------------------------------------------
 */

static void transaction_ends(XactEvent event, void *arg);

static void
begin_notes(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(transaction_ends, NULL);
	registered = true;
	if (notes_context == NULL)
		notes_context = AllocSetContextCreate(TopMemoryContext, "pg_activate model changes",
											  ALLOCSET_SMALL_SIZES);
}

static void
forget_notes(void)
{
	notes = NIL;
	if (notes_context != NULL)
		MemoryContextReset(notes_context);
}

/* Of several commands about one sync that one counts which can be refused, else the last. */
static void
note(const SyncRelation *found, const char *command, const char *relation, bool cascade)
{
	MemoryContext caller;
	ListCell   *cell;
	Note	   *entry = NULL;

	begin_notes();
	foreach(cell, notes)
	{
		if (((Note *) lfirst(cell))->sync_id == found->sync_id)
			entry = lfirst(cell);
	}
	if (entry == NULL && list_length(notes) >= MAX_NOTES)
		return;
	if (entry != NULL && entry->is_model && !entry->cascade && !(found->is_model && !cascade))
		return;
	caller = MemoryContextSwitchTo(notes_context);
	if (entry == NULL)
	{
		entry = palloc(sizeof(Note));
		notes = lappend(notes, entry);
	}
	else
	{
		pfree(entry->command);
		pfree(entry->relation);
	}
	entry->sync_id = found->sync_id;
	entry->command = pstrdup(command);
	entry->relation = pstrdup(relation);
	entry->role = GetUserId();
	entry->is_model = found->is_model;
	entry->cascade = cascade;
	MemoryContextSwitchTo(caller);
}

static void
note_all(List *found, const char *command, const char *relation, bool cascade)
{
	ListCell   *cell;

	foreach(cell, found)
		note(lfirst(cell), command, relation, cascade);
}

static bool
has_rows(char relkind)
{
	return relkind == RELKIND_RELATION || relkind == RELKIND_VIEW || relkind == RELKIND_MATVIEW ||
		relkind == RELKIND_FOREIGN_TABLE || relkind == RELKIND_PARTITIONED_TABLE;
}

/* A relation that is there; most are no sync's. */
static void
note_relation(Oid relation, const char *command)
{
	char	   *name;

	if (!has_rows(get_rel_relkind(relation)) || get_rel_persistence(relation) == RELPERSISTENCE_TEMP)
		return;
	name = act_model_relation_name(relation);
	note_all(act_sync_relation_find(relation, name), command, name, false);
}

/* A grant is what a model may have waited for; the collected command alone has its objects. */
static void
note_grant(const CollectedCommand *collected, const char *command)
{
	const InternalGrant *grant;
	ListCell   *cell;

	if (collected == NULL || collected->type != SCT_Grant || !collected->d.grant.istmt->is_grant)
		return;
	grant = collected->d.grant.istmt;
	foreach(cell, grant->objects)
	{
		if (grant->objtype == OBJECT_TABLE)
			note_relation(lfirst_oid(cell), command);
		else if (grant->objtype == OBJECT_SCHEMA)
			note_all(act_sync_relation_find_schema(lfirst_oid(cell)), command,
					 get_namespace_name(lfirst_oid(cell)), false);
	}
}

/* Nobody's models are broken by these, or nobody is there to be told. */
static bool
is_to_be_noted(void)
{
	return !creating_extension && !IsBinaryUpgrade && check_function_bodies;
}

static Datum
result(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/* Once parsed, it costs no more than the function that it calls. */
static uint64
execute(SPIPlanPtr *plan, const char *sql)
{
	if (*plan == NULL)
	{
		*plan = SPI_prepare(sql, 0, NULL);
		if (*plan == NULL || SPI_keepplan(*plan) != 0)
			elog(ERROR, "could not prepare: %s", sql);
	}
	if (SPI_execute_plan(*plan, NULL, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not execute: %s", sql);
	return SPI_processed;
}

/* At the end of a command that makes or changes relations, schemas or rights. */
Datum
act_note_ddl(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	uint64		count;

	if (!is_to_be_noted())
		PG_RETURN_VOID();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	count = execute(&plan, "SELECT classid, objid, command_tag, command FROM pg_catalog.pg_event_trigger_ddl_commands()");
	for (uint64 i = 0; i < count; i++)
	{
		bool		no_object;
		bool		isnull;
		Oid			class = DatumGetObjectId(result(i, 1, &no_object));
		Oid			object = DatumGetObjectId(result(i, 2, &isnull));
		char	   *command = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3);

		CHECK_FOR_INTERRUPTS();
		if (no_object)
			note_grant((CollectedCommand *) DatumGetPointer(result(i, 4, &isnull)), command);
		else if (class == RelationRelationId)
			note_relation(object, command);
		else if (class == NamespaceRelationId)
			note_all(act_sync_relation_find_schema(object), command, get_namespace_name(object), false);
	}
	SPI_finish();
	PG_RETURN_VOID();
}

/* At the end of a command that dropped something: its tag. */
Datum
act_note_drop(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	uint64		count;
	const char *command;

	if (!is_to_be_noted() || PG_ARGISNULL(0))
		PG_RETURN_VOID();
	command = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	count = execute(&plan, "SELECT classid, objid, objsubid, original, is_temporary, object_identity FROM pg_catalog.pg_event_trigger_dropped_objects()");
	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;
		Oid			class = DatumGetObjectId(result(i, 1, &isnull));
		Oid			object = DatumGetObjectId(result(i, 2, &isnull));
		char	   *name;

		CHECK_FOR_INTERRUPTS();
		if (class != RelationRelationId || DatumGetInt32(result(i, 3, &isnull)) != 0 ||
			DatumGetBool(result(i, 5, &isnull)))
			continue;
		name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 6);
		note_all(act_sync_relation_find(object, name), command, name,
				 !DatumGetBool(result(i, 4, &isnull)));
	}
	SPI_finish();
	PG_RETURN_VOID();
}

/* ----------------------------------------------------------------
 *		Looking at them
 * ----------------------------------------------------------------
 */

/* One sync, as it is when the transaction is about to commit. */
typedef struct Look
{
	const Note *note;
	Sync	   *sync;			/* NULL: nobody's any more, or none that may run here */
	Model	   *model;
	ModelProblem *problem;
	bool		known;			/* since before */
} Look;

static void
load(void *arg)
{
	Look	   *look = arg;
	Sync	   *sync = act_sync_load_by_id(look->note->sync_id);
	const char *hint;

	if (sync != NULL && OidIsValid(sync->owner) &&
		act_sync_home_problem(sync->system_identifier, sync->database_oid, sync->host, &hint) == NULL)
		look->sync = sync;
}

static void
resolve(void *arg)
{
	Look	   *look = arg;

	act_sync_relation_lock(look->sync->sync_id);
	look->model = act_model_check(look->sync);
}

static void
write_works(void *arg)
{
	(void) act_model_works(((Look *) arg)->model, false, true);
}

/* Whoever has the state locked just now runs it, and will find out. */
static void
write_problem(void *arg)
{
	Look	   *look = arg;
	Identity	identity;
	SyncState	state;

	act_identity_extension(&identity);
	if (act_sync_state_load(look->sync->sync_id, false, &state))
	{
		act_model_wait(look->sync, &state, look->problem, 0);
		act_sync_state_store(&state);
		act_wake_at_commit();
	}
	act_identity_leave(&identity);
}

static bool
is_refused(const Look *look)
{
	return look->sync->options.on_model_change == MODEL_CHANGE_REFUSE && act_ddl_protection &&
		look->note->is_model && !look->note->cascade;
}

static void
refuse(const Look *look)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot change %s because sync \"%s\" could not read it any more",
					look->sync->model, look->sync->name),
			 errdetail("After %s: %s.", look->note->command, look->problem->message),
			 errhint("Change the sync first, or let it wait instead: SELECT activate.alter_sync(%s, options => '{\"on_model_change\": \"pause\"}');",
					 quote_literal_cstr(look->sync->name))));
}

static void
warn(const Look *look)
{
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("sync \"%s\" waits until its model can be read again", look->sync->name),
			 errdetail("After %s of %s%s: %s.", look->note->command, look->note->relation,
					   look->note->cascade ? ", by CASCADE" : "", look->problem->message),
			 errhint("It goes on by itself when that is as it was. Or say what it is now: SELECT activate.alter_sync(%s, ...);",
					 quote_literal_cstr(look->sync->name))));
}

/* Whether the problem is one that everybody knows of. */
static void
find_known(void *arg)
{
	Look	   *look = arg;
	Identity	identity;
	SqlArgument args[] = {SQL_INT8(look->sync->sync_id), SQL_TEXT(look->problem->message)};

	act_identity_extension(&identity);
	look->known = act_sql(SPI_OK_SELECT,
					"SELECT 1 FROM activate.sync_state WHERE sync_id = $1"
					" AND pg_catalog.starts_with(model_problem, $2)", lengthof(args), args) > 0;
	act_identity_leave(&identity);
}

static void
describe(Look *look, const ErrorData *error)
{
	const Note *note = look->note;

	look->problem = act_model_problem(look->sync, error);
	if (look->problem == NULL)
		return;
	look->problem->command = note->command;
	look->problem->relation = note->relation;
	look->problem->role = GetUserNameFromId(note->role, true);
	look->problem->cascade = note->cascade;
	if (look->problem->role == NULL)
		look->problem->role = "";
}

/* Before anybody is told of what then does not happen. */
static void
look_for_refusal(const Note *note)
{
	Look		look = {.note = note};
	ErrorData  *error;

	if (act_transaction_probe(load, &look) != NULL || look.sync == NULL || !is_refused(&look))
		return;
	error = act_transaction_probe(resolve, &look);
	if (error != NULL)
		describe(&look, error);
	/* A right that is missing is granted after a rebuild. */
	if (look.problem != NULL && !look.problem->grant)
		refuse(&look);
}

/* *broken: how many of them there were so far. */
static void
look_at(const Note *note, bool preparing, int *broken)
{
	Look		look = {.note = note};
	ErrorData  *error;

	if (act_transaction_probe(load, &look) != NULL || look.sync == NULL ||
		look.sync->options.on_model_change == MODEL_CHANGE_FAIL)
		return;
	error = act_transaction_probe(resolve, &look);
	if (error == NULL)
	{
		if (!preparing)
			(void) act_transaction_probe(write_works, &look);
		return;
	}
	describe(&look, error);
	if (look.problem == NULL || look.problem->grant)
		return;
	if (act_transaction_probe(find_known, &look) != NULL || look.known)
		return;
	if (++*broken <= MAX_WARNINGS)
		warn(&look);
	if (!preparing)
		(void) act_transaction_probe(write_problem, &look);
}

static int
by_sync(const ListCell *a, const ListCell *b)
{
	int64		left = ((const Note *) lfirst(a))->sync_id;
	int64		right = ((const Note *) lfirst(b))->sync_id;

	return left < right ? -1 : left > right;
}

static void
look_at_all(bool preparing)
{
	MemoryContext context = AllocSetContextCreate(TopTransactionContext, "pg_activate model changes",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller;
	ListCell   *cell;
	int			broken = 0;

	if (!OidIsValid(get_extension_oid("pg_activate", true)))
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	list_sort(notes, by_sync);
	caller = MemoryContextSwitchTo(context);
	/* Statements take newer ones, but want to have one below. */
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(cell, notes)
	{
		const Note *candidate = lfirst(cell);

		if (act_ddl_protection && candidate->is_model && !candidate->cascade)
			look_for_refusal(candidate);
		MemoryContextReset(context);
	}
	foreach(cell, notes)
	{
		CHECK_FOR_INTERRUPTS();
		look_at(lfirst(cell), preparing, &broken);
		MemoryContextReset(context);
	}
	if (broken > MAX_WARNINGS)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("%d more syncs wait until their models can be read again", broken - MAX_WARNINGS),
				 errhint("SELECT sync, reason FROM activate.status WHERE health = 'waiting';")));
	PopActiveSnapshot();
	MemoryContextSwitchTo(caller);
	SPI_finish();
	MemoryContextDelete(context);
}

static void
transaction_ends(XactEvent event, void *arg)
{
	if (notes == NIL)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			look_at_all(event == XACT_EVENT_PRE_PREPARE);
			forget_notes();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			forget_notes();
			break;
		default:
			break;
	}
}
