/*-------------------------------------------------------------------------
 *
 * definition.c
 *	  SQL-callable: create_sync() and alter_sync().
 *
 * Neither talks to the network.  The caller's rights are checked against the
 * sync's owner; the table activate.sync is written as the extension, the
 * model looked at and the sync's table touched as the owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodes.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

#include "definition.h"
#include "event.h"
#include "identity.h"
#include "mapping.h"
#include "model_wait.h"
#include "nearest.h"
#include "reference.h"
#include "run_lock.h"
#include "snapshot.h"
#include "sync_state.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_create_sync);
PG_FUNCTION_INFO_V1(act_alter_sync);

#define CREATE_IF_EXISTS 12
#define ALTER_NEW_NAME 12
#define ALTER_RESEND 13

static char *
text_argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

static void
read_input(FunctionCallInfo fcinfo, DefinitionInput *input)
{
	char	  **texts[] = {
		&input->name, &input->model, &input->key, &input->destination, &input->object,
		&input->match, &input->mapping, &input->mode, &input->on_removed, &input->schedule
	};

	for (int i = 0; i < lengthof(texts); i++)
		*texts[i] = text_argument(fcinfo, i);
	input->owner = PG_ARGISNULL(10) ? InvalidOid : PG_GETARG_OID(10);
	input->options = PG_ARGISNULL(11) ? NULL : PG_GETARG_JSONB_P(11);
}

/* As position of a name in a NULL-ended list; ERROR with the nearest. */
static int
parse_choice(const char *argument, const char *value, const char *const *choices)
{
	const char *nearest;
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; choices[i] != NULL; i++)
	{
		if (strcmp(choices[i], value) == 0)
			return i;
		appendStringInfo(&list, "%s'%s'", i > 0 ? ", " : "", choices[i]);
	}
	nearest = act_nearest_name(value, choices);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown %s \"%s\"", argument, value),
			 nearest ? errhint("Perhaps you meant %s => '%s'.", argument, nearest) :
			 errhint("%s => one of %s.", argument, list.data)));
	return -1;
}

static Datum
text_array_datum(int count, char **names)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		elements[i] = CStringGetTextDatum(names[i]);
	return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Everything but identity, place and state. */
#define DEFINITION_COLUMNS \
	"name, model, model_is_query, key, destination, object, match, mapping," \
	" mode, on_removed, schedule, options, search_path, time_zone"
#define DEFINITION_VALUES \
	"$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::pg_catalog.jsonb, $13, $14"
#define DEFINITION_SQL_ARGUMENTS(sync) \
	SQL_TEXT((sync)->name), \
	SQL_TEXT((sync)->model), \
	SQL_BOOL((sync)->model_is_query), \
	{TEXTARRAYOID, text_array_datum((sync)->nkeys, (sync)->key), false}, \
	SQL_TEXT((sync)->destination), \
	SQL_TEXT((sync)->object), \
	{TEXTARRAYOID, text_array_datum((sync)->nmatch, (sync)->match), false}, \
	SQL_TEXT((sync)->mapping), \
	SQL_TEXT(act_sync_mode_name((sync)->mode)), \
	SQL_TEXT(act_on_removed_name((sync)->on_removed)), \
	SQL_TEXT((sync)->schedule), \
	SQL_TEXT((sync)->options_text), \
	SQL_TEXT((sync)->search_path), \
	SQL_TEXT((sync)->time_zone)

static void
refuse_duplicate(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("sync \"%s\" already exists", name),
			 errhint("Take another name, or if_exists => 'replace' to change it, or 'keep' to leave it as it is.")));
}

/* Sets sync->sync_id and records where the sync may run. */
static void
store_new(Sync *sync)
{
	Identity	identity;
	SqlArgument args[] = {
		DEFINITION_SQL_ARGUMENTS(sync),
		SQL_INT8(act_system_identifier()),
		{OIDOID, ObjectIdGetDatum(MyDatabaseId), false},
		SQL_TEXT(act_host_name()),
		SQL_INT4(SNAPSHOT_FORMAT),
		SQL_INT4(act_timeline())
	};

	act_identity_extension(&identity);
	if (act_sql(SPI_OK_INSERT_RETURNING,
				"INSERT INTO activate.sync (" DEFINITION_COLUMNS ","
				" system_identifier, database_oid, host, fingerprint_format, timeline)"
				" VALUES (" DEFINITION_VALUES ", $15, $16, $17, $18, $19)"
				" ON CONFLICT (name) DO NOTHING RETURNING sync_id",
				lengthof(args), args) == 0)
		refuse_duplicate(sync->name);
	sync->sync_id = act_sql_int64(0, 1);
	act_identity_leave(&identity);
}

static void
store_changed(const Sync *sync)
{
	Identity	identity;
	SqlArgument args[] = {
		DEFINITION_SQL_ARGUMENTS(sync),
		SQL_BOOL(sync->first_batch_alone),
		SQL_BOOL(sync->first_run_pending),
		SQL_INT8(sync->sync_id)
	};

	act_identity_extension(&identity);
	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.sync SET (" DEFINITION_COLUMNS ", first_batch_alone, first_run_pending, definition_changed_at)"
			" = (" DEFINITION_VALUES ", $15, $16, pg_catalog.clock_timestamp()) WHERE sync_id = $17",
			lengthof(args), args);
	act_identity_leave(&identity);
}

static bool
sync_exists(const char *name)
{
	Identity	identity;
	SqlArgument args[] = {SQL_TEXT(name)};
	bool		found;

	act_identity_extension(&identity);
	found = act_sql(SPI_OK_SELECT, "SELECT 1 FROM activate.sync WHERE name = $1", 1, args) > 0;
	act_identity_leave(&identity);
	return found;
}

/* ----------------------------------------------------------------
 *		Changing one
 * ----------------------------------------------------------------
 */

typedef struct Resolution
{
	const Sync *sync;
	Model	   *model;			/* NULL: it no longer works */
} Resolution;

static void
resolve(void *arg)
{
	Resolution *resolution = arg;

	resolution->model = act_model_resolve(resolution->sync);
}

/*
 * The old definition may no longer work, which is often why it is altered.
 * In a subtransaction, so that its failure leaves nothing behind.
 */
Model *
act_definition_try_resolve(const Sync *old)
{
	Resolution	resolution = {.sync = old};

	(void) act_transaction_try(resolve, &resolution);
	return resolution.model;
}

static bool
same_names(int n, char **names, int m, char **others)
{
	if (n != m)
		return false;
	for (int i = 0; i < n; i++)
	{
		if (strcmp(names[i], others[i]) != 0)
			return false;
	}
	return true;
}

/*
 * A key can be called otherwise, but not be another one: the rows that were
 * accepted are known by it.
 */
static void
check_new_key(const Sync *old, const Sync *new, const Model *model)
{
	const char *problem = NULL;

	if (old->nkeys != new->nkeys)
		problem = psprintf("It has %d columns, and the new one %d.", old->nkeys, new->nkeys);
	for (int i = 0; problem == NULL && i < new->nkeys; i++)
	{
		Oid			type = get_atttype(old->table_oid, get_attnum(old->table_oid, old->key[i]));

		for (int j = 0; j < old->nkeys; j++)
		{
			if (i != j && strcmp(new->key[i], old->key[j]) == 0)
				problem = psprintf("Column \"%s\" would stand in another place.", new->key[i]);
		}
		if (type != model->key_types[i])
			problem = psprintf("Column \"%s\" has type %s, and \"%s\" has %s.",
							   old->key[i], format_type_be(type),
							   new->key[i], format_type_be(model->key_types[i]));
	}
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the key of sync \"%s\" cannot be changed to %s", old->name,
						act_identifier_join(new->nkeys, new->key)),
				 errdetail_internal("%s", problem),
				 errhint("A key column that was renamed keeps what was accepted. For another key drop the sync and create it again.")));
}

/* A column that was renamed is not there any more: it may be another key all the same. */
static void
warn_old_key(const Sync *old, const Sync *new)
{
	int			ncolumns;
	char	  **columns = act_model_columns(new, &ncolumns);

	for (int i = 0; i < old->nkeys; i++)
	{
		bool		still_there = false;

		for (int j = 0; j < ncolumns; j++)
			still_there = still_there || strcmp(columns[j], old->key[i]) == 0;
		if (!still_there || strcmp(old->key[i], new->key[i]) == 0)
			continue;
		ereport(WARNING,
				(errmsg("key column \"%s\" of sync \"%s\" becomes \"%s\", and is still in the model",
						old->key[i], new->name, new->key[i]),
				 errdetail("What was accepted is taken for the rows that have the same values in the new column; where they differ, rows count as removed and as added."),
				 errhint("If it is another key, make another sync for it: SELECT activate.alter_sync(%s, key => %s); takes this back.",
						 quote_literal_cstr(new->name), quote_literal_cstr(act_identifier_join(old->nkeys, old->key)))));
	}
}

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL || b == NULL) ? a == b : strcmp(a, b) == 0;
}

/*
 * The order that was accepted says nothing of a unit that is made otherwise,
 * goes elsewhere, or whose object was kept row by row so far.
 */
static void
change_unit(const Sync *old, const Sync *new, Resend resend, bool moved)
{
	bool		same = strcmp(old->model, new->model) == 0 && strcmp(old->mapping, new->mapping) == 0 &&
		act_mapping_same_options(old, new) && old->mode == new->mode && !moved;

	/* The first run of a baseline takes whatever is at the other place for this. */
	bool		baseline = moved && resend == RESEND_CHANGED && new->options.first_run == FIRST_RUN_BASELINE;

	if (new->mode == MODE_REPLACE && (!same || resend != RESEND_CHANGED))
		act_unit_forget(new, resend != RESEND_NONE && !baseline);
}

/* What was accepted, carried over to the new definition. */
static void
change_snapshot(const Sync *old, const Sync *new, const Model *old_model, const Model *new_model,
				Resend resend, bool moved)
{
	Sync		current = *old; /* as the table is at each step */

	if (!same_names(old->nkeys, old->key, new->nkeys, new->key))
	{
		act_snapshot_rename_key(old, new->nkeys, new->key);
		current.nkeys = new->nkeys;
		current.key = new->key;
	}
	change_unit(old, new, resend, moved);
	/* Its ids, and that it is there at all, say nothing of another place. */
	if (moved && resend != RESEND_NONE)
		act_snapshot_forget(&current, true);
	else if (resend == RESEND_ALL)
		act_snapshot_resend_all(&current);
	else if (resend == RESEND_NONE)
	{
		int64		kept = act_snapshot_carry_over(&current, old_model, new_model);

		ereport(NOTICE,
				(errmsg(INT64_FORMAT " rows of sync \"%s\" count as sent", kept, new->name),
				 errdetail("They had not changed under the old definition.")));
	}
	if (act_snapshot_keeps_less(old, new))
		act_snapshot_keep_less(&current, new);
	if (new->owner != old->owner)
	{
		act_snapshot_give(&current, new->owner);
		current.owner = new->owner;
	}
	if (strcmp(new->name, old->name) != 0)
		act_snapshot_rename(&current, new->name);
}

static void
refuse_while_running(const Sync *sync)
{
	int			pid = act_run_lock_holder(sync->sync_id);

	if (pid != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("sync \"%s\" is running in process %d", sync->name, pid),
				 errhint("Wait until the run has ended, or end it: SELECT activate.cancel_run(run_id) FROM activate.progress WHERE sync = %s;",
						 quote_literal_cstr(sync->name))));
}

/* Names of what changed, for whoever reads the event. */
static char *
list_changes(const List *changes)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "{\"changed\": [");
	for (int i = 0; i < list_length(changes); i++)
		appendStringInfo(&buf, "%s\"%s\"", i > 0 ? ", " : "", ((DefinitionChange *) list_nth(changes, i))->name);
	appendStringInfoString(&buf, "]}");
	return buf.data;
}

/*
 * From one definition to another.  new is complete; first_batch_alone and
 * the snapshot follow from what differs.
 */
static void
make_change(const Sync *old, Sync *new, const Model *new_model, Resend resend, const List *changes)
{
	bool		moved = strcmp(old->destination, new->destination) != 0 || !same_text(old->object, new->object);
	bool		same_values = strcmp(old->model, new->model) == 0 && strcmp(old->mapping, new->mapping) == 0;
	bool		same_key = same_names(old->nkeys, old->key, new->nkeys, new->key);
	bool		renamed = strcmp(old->name, new->name) != 0;
	bool		same_policies = act_mapping_same_options(old, new);
	Model	   *old_model = same_values && same_policies && !moved && resend != RESEND_NONE ? NULL :
		act_definition_try_resolve(old);
	const char *sent_more = same_values && same_policies ? NULL : act_mapping_sent_more(old, new_model->mapping);
	const char *why = NULL;

	if (!same_key)
	{
		check_new_key(old, new, new_model);
		warn_old_key(old, new);
	}
	if (!same_key && resend == RESEND_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("resend \"none\" cannot go with a new key"),
				 errhint("Change the key of sync \"%s\" first and the rest in a second call.", old->name)));
	if (resend == RESEND_NONE && old_model == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("resend \"none\" cannot tell which rows of sync \"%s\" are unchanged", old->name),
				 errdetail("The old definition no longer works, so old and new values cannot be compared."),
				 errhint("Leave resend out: rows whose values are the same are not sent in any case. Or SELECT activate.reset_sync(%s, 'baseline');",
						 quote_literal_cstr(new->name))));
	if (!same_key || moved || renamed || old->owner != new->owner || resend != RESEND_CHANGED ||
		act_snapshot_keeps_less(old, new) || sent_more != NULL ||
		(new->mode == MODE_REPLACE && (!same_values || !same_policies || old->mode != new->mode)))
		refuse_while_running(old);
	if (renamed && sync_exists(new->name))
		refuse_duplicate(new->name);
	if (renamed)
		act_reference_refuse_rename(old);

	if (moved)
		why = psprintf("what was sent so far stays in %s%s%s", old->destination,
					   old->object ? ", " : "", old->object ? old->object : "");
	else if (old_model != NULL)
		why = act_model_difference(old_model, new_model);
	if (why == NULL && sent_more != NULL)
		why = psprintf("field \"%s\" is sent with every row", sent_more);
	if (why == NULL && new->mode == MODE_REPLACE && old->mode != MODE_REPLACE)
		why = "mode replace sends all rows at once";
	if (act_definition_sends_again(new, moved && resend == RESEND_CHANGED, resend == RESEND_ALL))
		act_definition_tell_resend(old, new, why, resend, same_values ||
								   (old_model != NULL && equal(old_model->query, new_model->query)));

	new->first_batch_alone = old->first_batch_alone || moved || new->mode != old->mode ||
		strcmp(old->mapping, new->mapping) != 0 || !same_policies;
	/* Nothing is known of the other place; resend says that it is. */
	new->first_run_pending = resend != RESEND_ALL &&
		(old->first_run_pending || (moved && resend == RESEND_CHANGED));
	act_definition_refuse_muted(old, new);
	act_definition_tell_past(old, new);
	store_changed(new);
	if (renamed)
		act_definition_rename_followed(old->name, new->name);
	(void) act_model_works(new_model, true, true);
	act_sync_state_define(new, strcmp(old->schedule, new->schedule) != 0);
	act_reference_store(new, new_model);
	change_snapshot(old, new, old_model, new_model,
					resend == RESEND_CHANGED && sent_more != NULL && !moved ? RESEND_ALL : resend, moved);
	act_event_record("altered", "info", new, 0,
					 renamed ? psprintf("sync \"%s\" was altered, and was called \"%s\" before", new->name, old->name) :
					 psprintf("sync \"%s\" was altered", new->name), list_changes(changes));
}

/* The same, where anything differs; returns what does. */
static List *
change_sync(const Sync *old, Sync *new, const Model *new_model, Resend resend)
{
	List	   *changes;

	act_definition_keep_search_path(old, new, new_model);
	changes = act_definition_changes(old, new);
	if (changes != NIL || strcmp(old->name, new->name) != 0 || resend != RESEND_CHANGED)
		make_change(old, new, new_model, resend, changes);
	else
		(void) act_model_works(new_model, true, true);
	return changes;
}

/* ----------------------------------------------------------------
 *		create_sync
 * ----------------------------------------------------------------
 */

static void
require_new_arguments(const DefinitionInput *input, FunctionCallInfo fcinfo)
{
	act_require_argument(input->name == NULL, "name", "name => 'customer_health'");
	act_require_argument(input->model == NULL, "model", "model => 'schema.table', or model => 'SELECT ...'");
	act_require_argument(input->key == NULL, "key", "key => 'id', or 'a, b'");
	act_require_argument(input->destination == NULL, "destination", "destination => the name of a foreign server");
	act_require_argument(input->mode == NULL, "mode", "Leave it out for the default: upsert.");
	act_require_argument(input->schedule == NULL, "schedule", "Leave it out for the default: manual.");
	act_require_argument(input->options == NULL, "options", "Leave it out for the defaults.");
	act_require_argument(PG_ARGISNULL(CREATE_IF_EXISTS), "if_exists", "Leave it out for the default: error.");
}

List *
act_definition_replace(Sync *old, const DefinitionInput *input)
{
	Sync	   *new = palloc0(sizeof(Sync));
	Model	   *model;
	List	   *changes;

	if (!OidIsValid(old->table_oid))
		act_sync_table_open(old, AccessShareLock, false);	/* says so */
	new->sync_id = old->sync_id;
	new->name = old->name;
	new->paused = old->paused;
	new->pause_reason = old->pause_reason;
	new->table_oid = old->table_oid;
	/* Its owner is what only an argument changes. */
	new->owner = old->owner;
	model = act_definition_apply(new, input);
	act_definition_check_schedule(new, old->name);
	changes = change_sync(old, new, model, RESEND_CHANGED);
	if (changes != NIL)
	{
		act_definition_tell(new, model, input->mapping);
		act_mapping_warn_idle(model->mapping, new);
	}
	if (strcmp(old->schedule, new->schedule) != 0)
		act_definition_tell_schedule(new);
	return changes;
}

Sync *
act_definition_create(const DefinitionInput *input)
{
	Sync	   *sync = palloc0(sizeof(Sync));
	Model	   *model;

	act_definition_check_name(input->name);
	sync->name = input->name;
	model = act_definition_apply(sync, input);
	act_definition_check_schedule(sync, NULL);
	act_definition_tell(sync, model, input->mapping);
	act_mapping_warn_idle(model->mapping, sync);
	store_new(sync);
	act_snapshot_create(sync, model, sync->owner);
	act_sync_state_define(sync, true);
	act_reference_store(sync, model);
	(void) act_model_works(model, true, true);
	act_event_record("created", "info", sync, 0, psprintf("sync \"%s\" was created", sync->name), NULL);
	act_definition_tell_schedule(sync);
	return sync;
}

Datum
act_create_sync(PG_FUNCTION_ARGS)
{
	static const char *const choices[] = {"error", "keep", "replace", NULL};
	DefinitionInput input = {0};
	int			if_exists;
	int64		sync_id;

	read_input(fcinfo, &input);
	require_new_arguments(&input, fcinfo);
	if_exists = parse_choice("if_exists", text_argument(fcinfo, CREATE_IF_EXISTS), choices);

	SPI_connect();
	if (!sync_exists(input.name))
		sync_id = act_definition_create(&input)->sync_id;
	else if (if_exists == 0)
	{
		refuse_duplicate(input.name);
		pg_unreachable();
	}
	else if (if_exists == 1)
	{
		sync_id = act_sync_load(input.name, false)->sync_id;
		ereport(NOTICE,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("sync \"%s\" already exists and stays as it is", input.name)));
	}
	else
	{
		Sync	   *sync = act_sync_load_locked(input.name, false, true);

		(void) act_definition_replace(sync, &input);
		sync_id = sync->sync_id;
	}
	SPI_finish();
	PG_RETURN_INT64(sync_id);
}

/* ----------------------------------------------------------------
 *		alter_sync
 * ----------------------------------------------------------------
 */

/* given over stored; a member that is null goes back to its default. */
static Jsonb *
merge_options(const Sync *old, Jsonb *given)
{
	MemoryContext context = CurrentMemoryContext;
	Identity	identity;
	Jsonb	   *merged;
	bool		isnull;
	SqlArgument args[] = {SQL_TEXT(old->options_text), {JSONBOID, JsonbPGetDatum(given), false}};

	if (!JB_ROOT_IS_OBJECT(given))
		return given;			/* and refused as such */
	act_identity_extension(&identity);
	act_sql(SPI_OK_SELECT,
			"SELECT coalesce(pg_catalog.jsonb_object_agg(key, value) FILTER (WHERE value <> 'null'), '{}')"
			" FROM pg_catalog.jsonb_each($1::pg_catalog.jsonb || $2)",
			lengthof(args), args);
	merged = DatumGetJsonbP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	merged = memcpy(MemoryContextAlloc(context, VARSIZE(merged)), merged, VARSIZE(merged));
	act_identity_leave(&identity);
	return merged;
}

static void
alter_sync(DefinitionInput *input, const char *new_name, Resend resend)
{
	Sync	   *old = act_sync_load_locked(input->name, false, true);
	Sync	   *new = memcpy(palloc(sizeof(Sync)), old, sizeof(Sync));
	SyncOptions ignored;
	Model	   *model;

	if (!OidIsValid(old->table_oid))
		act_sync_table_open(old, AccessShareLock, false);	/* says so */
	if (input->options != NULL)
	{
		/* A misspelt name is an error even where null would take it out again. */
		act_sync_options_parse(input->options, old->on_removed, &ignored);
		input->options = merge_options(old, input->options);
	}
	if (new_name != NULL)
	{
		act_definition_check_name(new_name);
		new->name = pstrdup(new_name);
	}
	model = act_definition_apply(new, input);
	if (input->schedule != NULL)
		act_definition_check_schedule(new, old->name);
	if (input->mapping != NULL || input->model != NULL || OidIsValid(input->owner))
		act_definition_tell(new, model, input->mapping != NULL ? input->mapping : new->mapping);
	if (input->mapping != NULL || input->mode != NULL || input->options != NULL)
		act_mapping_warn_idle(model->mapping, new);
	(void) change_sync(old, new, model, resend);
	if (input->schedule != NULL)
		act_definition_tell_schedule(new);
}

Datum
act_alter_sync(PG_FUNCTION_ARGS)
{
	static const char *const choices[] = {"all", "none", NULL};
	DefinitionInput input = {0};
	Resend		resend = RESEND_CHANGED;

	read_input(fcinfo, &input);
	act_require_argument(input.name == NULL, "name", "SELECT activate.alter_sync('customer_health', ...);");
	if (!PG_ARGISNULL(ALTER_RESEND))
		resend = parse_choice("resend", text_argument(fcinfo, ALTER_RESEND), choices) == 0 ?
			RESEND_ALL : RESEND_NONE;

	SPI_connect();
	alter_sync(&input, text_argument(fcinfo, ALTER_NEW_NAME), resend);
	SPI_finish();
	PG_RETURN_VOID();
}
