/*-------------------------------------------------------------------------
 *
 * sync.c
 *	  A sync's definition, as stored in activate.sync.
 *
 * Definitions are read as the extension.  A sync's owner is the owner of its
 * table in activate_data and is stored nowhere else.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "identity.h"
#include "nearest.h"
#include "sync.h"
#include "transaction.h"

static const char *const mode_names[] = {
	[MODE_UPSERT] = "upsert",
	[MODE_INSERT] = "insert",
	[MODE_UPDATE] = "update",
	[MODE_MIRROR] = "mirror",
	[MODE_APPEND] = "append",
	[MODE_REPLACE] = "replace",
	NULL
};

static const char *const on_removed_names[] = {
	[REMOVED_IGNORE] = "ignore",
	[REMOVED_DELETE] = "delete",
	[REMOVED_ARCHIVE] = "archive",
	[REMOVED_CLEAR] = "clear",
	[REMOVED_UPDATE] = "update",
	[REMOVED_REMOVE] = "remove",
	NULL
};

#define SYNC_COLUMNS \
	"SELECT sync_id, name, model, model_is_query, key, destination, object, match," \
	" mapping, mode, on_removed, schedule, options::pg_catalog.text, search_path, time_zone," \
	" system_identifier, database_oid, host, paused, pause_reason, first_batch_alone," \
	" timeline, in_doubt, hold_next, first_run_pending, definition_changed_at" \
	" FROM activate.sync "

const char *
act_sync_mode_name(SyncMode mode)
{
	return mode_names[mode];
}

const char *
act_on_removed_name(OnRemoved on_removed)
{
	return on_removed_names[on_removed];
}

static int
parse_name(const char *what, const char *name, const char *const *names)
{
	const char *nearest;
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; names[i] != NULL; i++)
	{
		if (strcmp(names[i], name) == 0)
			return i;
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", names[i]);
	}
	nearest = act_nearest_name(name, names);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown %s \"%s\"", what, name),
			 nearest ? errhint("Perhaps you meant \"%s\".", nearest) :
			 errhint("It is one of: %s.", list.data)));
	return -1;
}

SyncMode
act_sync_mode_parse(const char *name)
{
	return (SyncMode) parse_name("mode", name, mode_names);
}

OnRemoved
act_on_removed_parse(const char *name)
{
	return (OnRemoved) parse_name("on_removed", name, on_removed_names);
}

/* From what is removed of an object, a row is a member of it, not a record. */
RowOp
act_sync_mode_op(SyncMode mode, OnRemoved on_removed)
{
	switch (mode)
	{
		case MODE_INSERT:
		case MODE_APPEND:
			return ROW_OP_INSERT;
		case MODE_UPDATE:
			return ROW_OP_UPDATE;
		case MODE_REPLACE:
			return ROW_OP_REPLACE;
		case MODE_UPSERT:
		case MODE_MIRROR:
			break;
	}
	return on_removed == REMOVED_REMOVE ? ROW_OP_ADD : ROW_OP_UPSERT;
}

RowOp
act_on_removed_op(OnRemoved on_removed)
{
	switch (on_removed)
	{
		case REMOVED_DELETE:
			return ROW_OP_DELETE;
		case REMOVED_ARCHIVE:
			return ROW_OP_ARCHIVE;
		case REMOVED_CLEAR:
			return ROW_OP_CLEAR;
		case REMOVED_UPDATE:
			return ROW_OP_UPDATE_REMOVED;
		case REMOVED_REMOVE:
			return ROW_OP_REMOVE;
		case REMOVED_IGNORE:
			break;
	}
	return ROW_OP_NONE;
}

static char **
text_array(uint64 row, int column, int *count)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
									  column, &isnull);
	Datum	   *elements;
	char	  **names;

	*count = 0;
	if (isnull)
		return NULL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, count);
	names = palloc(sizeof(char *) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		names[i] = TextDatumGetCString(elements[i]);
	return names;
}

/* The table that makes the sync's owner; both stay invalid when it is gone. */
static void
find_table(Sync *sync)
{
	Oid			schema = get_namespace_oid("activate_data", true);
	HeapTuple	tuple;

	sync->table_oid = OidIsValid(schema) ? get_relname_relid(sync->name, schema) : InvalidOid;
	sync->owner = InvalidOid;
	if (!OidIsValid(sync->table_oid))
		return;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(sync->table_oid));
	if (HeapTupleIsValid(tuple))
	{
		sync->owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	else
		sync->table_oid = InvalidOid;
}

static Sync *
sync_from_result(MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	Sync	   *sync = palloc0(sizeof(Sync));
	Jsonb	   *options;
	bool		isnull;

	sync->sync_id = act_sql_int64(0, 1);
	sync->name = act_sql_text(0, 2);
	sync->model = act_sql_text(0, 3);
	sync->model_is_query = act_sql_bool(0, 4);
	sync->key = text_array(0, 5, &sync->nkeys);
	sync->destination = act_sql_text(0, 6);
	sync->object = act_sql_text(0, 7);
	sync->match = text_array(0, 8, &sync->nmatch);
	sync->mapping = act_sql_text(0, 9);
	sync->mode = act_sync_mode_parse(act_sql_text(0, 10));
	sync->on_removed = act_on_removed_parse(act_sql_text(0, 11));
	sync->schedule = act_sql_text(0, 12);
	sync->options_text = act_sql_text(0, 13);
	sync->search_path = act_sql_text(0, 14);
	sync->time_zone = act_sql_text(0, 15);
	sync->system_identifier = act_sql_int64(0, 16);
	sync->database_oid = (Oid) act_sql_int64(0, 17);
	sync->host = act_sql_text(0, 18);
	sync->paused = act_sql_bool(0, 19);
	sync->pause_reason = act_sql_text(0, 20);
	sync->first_batch_alone = act_sql_bool(0, 21);
	sync->timeline = (int) act_sql_int64(0, 22);
	sync->in_doubt = act_sql_bool(0, 23);
	sync->hold_next = act_sql_bool(0, 24);
	sync->first_run_pending = act_sql_bool(0, 25);
	sync->definition_changed_at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0],
																	SPI_tuptable->tupdesc, 26, &isnull));

	options = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(sync->options_text)));
	act_sync_options_parse(options, sync->on_removed, &sync->options);
	find_table(sync);
	MemoryContextSwitchTo(caller);
	return sync;
}

/* 42704, with the nearest name among the syncs that the user may see. */
static void
report_unknown_sync(const char *name, Oid user)
{
	SqlArgument args[] = {{OIDOID, ObjectIdGetDatum(user), false}};
	uint64		n = act_sql(SPI_OK_SELECT,
							"SELECT s.name FROM activate.sync s"
							" JOIN pg_catalog.pg_class c ON c.relname = s.name"
							" JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
							" AND n.nspname = 'activate_data'"
							" WHERE pg_catalog.pg_has_role($1, c.relowner, 'USAGE') ORDER BY 1",
							1, args);
	const char **names = palloc0(sizeof(char *) * (n + 1));
	const char *nearest;

	for (uint64 i = 0; i < n; i++)
		names[i] = act_sql_text(i, 1);
	nearest = act_nearest_name(name, names);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("sync \"%s\" does not exist", name),
			 nearest ? errhint("Perhaps you meant \"%s\".", nearest) :
			 errhint("SELECT sync FROM activate.syncs;")));
}

Sync *
act_sync_load(const char *name, bool missing_ok)
{
	MemoryContext context = CurrentMemoryContext;
	Identity	identity;
	Oid			user = GetUserId();
	Sync	   *sync = NULL;
	SqlArgument args[] = {SQL_TEXT(name)};

	act_identity_extension(&identity);
	if (act_sql(SPI_OK_SELECT, SYNC_COLUMNS "WHERE name = $1", 1, args) == 1)
		sync = sync_from_result(context);
	else if (!missing_ok)
		report_unknown_sync(name, user);
	act_identity_leave(&identity);

	if (sync == NULL)
		return NULL;
	if (OidIsValid(sync->owner))
		act_require_membership(sync->owner, sync->name);
	else if (!has_privs_of_role(GetUserId(), act_extension_owner()))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table activate_data.%s of sync \"%s\" is gone, and with it the sync's owner",
						quote_identifier(name), name),
				 errhint("A superuser can remove the rest: SELECT activate.drop_sync(%s);",
						 quote_literal_cstr(name))));
	return sync;
}

/*
 * Whoever changes a definition and whoever begins a run by it wait for each
 * other here, so that neither goes by what the other one has replaced.
 */
Sync *
act_sync_load_locked(const char *name, bool missing_ok, bool change)
{
	Sync	   *sync = act_sync_load(name, missing_ok);
	int64		locked = 0;

	while (sync != NULL && sync->sync_id != locked)
	{
		Identity	identity;
		SqlArgument args[] = {SQL_INT8(sync->sync_id)};

		act_identity_extension(&identity);
		act_sql(SPI_OK_SELECT, change ?
				"SELECT 1 FROM activate.sync WHERE sync_id = $1 FOR NO KEY UPDATE" :
				"SELECT 1 FROM activate.sync WHERE sync_id = $1 FOR SHARE", 1, args);
		act_identity_leave(&identity);
		locked = sync->sync_id;
		sync = act_sync_load(name, missing_ok);
	}
	return sync;
}

Sync *
act_sync_load_by_id(int64 sync_id)
{
	MemoryContext context = CurrentMemoryContext;
	Identity	identity;
	Sync	   *sync = NULL;
	SqlArgument args[] = {SQL_INT8(sync_id)};

	act_identity_extension(&identity);
	if (act_sql(SPI_OK_SELECT, SYNC_COLUMNS "WHERE sync_id = $1", 1, args) == 1)
		sync = sync_from_result(context);
	act_identity_leave(&identity);
	return sync;
}

/* Columns of a sync's table that are read as values of these types. */
static const struct
{
	const char *name;
	Oid			type;
}			table_columns[] =
{
	{"activate_external_id", TEXTOID},
	{"activate_state", TEXTOID},
	{"activate_accepted_at", TIMESTAMPTZOID},
	{"activate_fingerprint", UUIDOID},
	{"activate_in_doubt", BOOLOID},
	{"activate_tried", UUIDOID},
	{"activate_op", TEXTOID},
	{"activate_change_id", UUIDOID},
	{"activate_attempts", INT4OID},
	{"activate_first_at", TIMESTAMPTZOID},
	{"activate_last_at", TIMESTAMPTZOID},
	{"activate_next_attempt_at", TIMESTAMPTZOID},
	{"activate_http_status", INT4OID},
	{"activate_code", TEXTOID},
	{"activate_message", TEXTOID},
	{"activate_request_id", INT8OID},
	{"activate_missing_since", TIMESTAMPTZOID},
	{"activate_late_until", TIMESTAMPTZOID},
	{"activate_muted_at", TIMESTAMPTZOID},
	{"activate_muted_by", TEXTOID},
	{"activate_muted_reason", TEXTOID},
	{"activate_field_hashes", TEXTOID},
	{"activate_payload", JSONOID},
	{"activate_remembered", JSONOID},
};

/* InvalidOid: there is none. */
static Oid
column_type(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att->atttypid;
	}
	return InvalidOid;
}

static const char *
columns_problem(const Sync *sync, TupleDesc desc)
{
	for (int i = 0; i < lengthof(table_columns); i++)
	{
		Oid			type = column_type(desc, table_columns[i].name);

		if (!OidIsValid(type))
			return psprintf("it has no column \"%s\"", table_columns[i].name);
		if (type != table_columns[i].type)
			return psprintf("its column \"%s\" has type %s", table_columns[i].name, format_type_be(type));
	}
	for (int i = 0; i < sync->nkeys; i++)
	{
		if (!OidIsValid(column_type(desc, sync->key[i])))
			return psprintf("it has no column \"%s\"", sync->key[i]);
	}
	return NULL;
}

/*
 * Whoever owns the table can turn it into something else; nothing of ours
 * may follow him there.
 */
const char *
act_sync_table_problem(const Sync *sync)
{
	Relation	rel;
	const char *problem = NULL;

	if (!OidIsValid(sync->table_oid))
		return "it does not exist";
	rel = try_relation_open(sync->table_oid, AccessShareLock);
	if (rel == NULL)
		return "it was dropped";
	if (RelationGetNamespace(rel) != get_namespace_oid("activate_data", true) ||
		strcmp(RelationGetRelationName(rel), sync->name) != 0)
		problem = "it was moved or renamed";
	else if (rel->rd_rel->relkind != RELKIND_RELATION)
		problem = "it is no table any more";
	else if (rel->rd_rel->relowner != sync->owner)
		problem = "its owner changed meanwhile";
	else if (rel->rd_rel->relhasrules)
		problem = "it has rules";
	else if (rel->rd_rel->relrowsecurity && rel->rd_rel->relforcerowsecurity)
		problem = "row security is forced on its owner";
	else if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		problem = "it is not logged, so that a crash would empty it";
	else
		problem = columns_problem(sync, RelationGetDescr(rel));
	relation_close(rel, NoLock);
	return problem;
}

char *
act_sync_table_hint(const Sync *sync)
{
	return psprintf("Put it back, or have it made anew, and every row sent again: SELECT activate.reset_sync(%s, 'resend');",
					quote_literal_cstr(sync->name));
}

bool
act_sync_table_open(const Sync *sync, LOCKMODE lockmode, bool conditional)
{
	const char *problem;

	if (OidIsValid(sync->table_oid))
	{
		if (!conditional)
			LockRelationOid(sync->table_oid, lockmode);
		else if (!ConditionalLockRelationOid(sync->table_oid, lockmode))
			return false;
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table %s of sync \"%s\" does not exist", act_sync_table_name(sync), sync->name),
				 errdetail("Whose sync it was, and what was sent, went with it."),
				 errhint("Print its definition (SELECT activate.sync_sql(%s);), drop it (SELECT activate.drop_sync(%s);), and create it again.",
						 quote_literal_cstr(sync->name), quote_literal_cstr(sync->name))));
	problem = act_sync_table_problem(sync);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s of sync \"%s\" cannot be used: %s",
						act_sync_table_name(sync), sync->name, problem),
				 errhint("Only the extension changes this table. %s", act_sync_table_hint(sync))));
	return true;
}

char *
act_sync_table_name(const Sync *sync)
{
	return quote_qualified_identifier("activate_data", sync->name);
}

void
act_sync_require_unpaused(const Sync *sync)
{
	if (sync->paused)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sync \"%s\" is paused", sync->name),
				 sync->pause_reason ? errdetail_internal("%s", sync->pause_reason) : 0,
				 errhint("SELECT activate.resume_sync(%s);", quote_literal_cstr(sync->name))));
}
