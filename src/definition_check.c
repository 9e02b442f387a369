/*-------------------------------------------------------------------------
 *
 * definition_check.c
 *	  What a definition says, argument by argument, and as a whole.
 *
 * Runs as the caller, inside a transaction with SPI connected; the model is
 * looked at as the sync's owner.  Each way to be wrong has its own error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "catalog.h"
#include "definition.h"
#include "definition_object.h"
#include "destination.h"
#include "identity.h"
#include "mapping.h"
#include "nearest.h"
#include "schedule.h"

void
act_require_argument(bool isnull, const char *name, const char *hint)
{
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name),
				 errhint("%s", hint)));
}

/* Where the database takes any bytes, a run would find out. */
static void
require_utf8(const char *what, const char *name)
{
	if (name != NULL && act_value_json_label(name) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg("%s cannot be written in UTF-8", what),
				 errdetail("Destinations are sent UTF-8."),
				 errhint("Take another name.")));
}

void
act_definition_check_name(const char *name)
{
	require_utf8("the name of the sync", name);
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("the name of a sync must not be empty"),
				 errhint("name => 'customer_health'")));
	if (strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("the name of sync \"%s\" is too long", name),
				 errdetail("It has %d bytes; its table in schema activate_data can have a name of %d.",
						   (int) strlen(name), NAMEDATALEN - 1),
				 errhint("Take a shorter name.")));
	if (pg_strncasecmp(name, "activate_", strlen("activate_")) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("the name of sync \"%s\" begins with activate_", name),
				 errdetail("Such names are kept for the extension's own tables."),
				 errhint("Take another name.")));
}

static void
apply_owner(Sync *sync, Oid owner)
{
	if (OidIsValid(sync->owner) && !OidIsValid(owner))
		return;
	sync->owner = OidIsValid(owner) ? owner : GetUserId();
	(void) GetUserNameFromId(sync->owner, false);	/* 42704 for an OID that is no role */
	if (!has_privs_of_role(GetUserId(), sync->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" cannot be the owner of sync \"%s\"",
						GetUserNameFromId(sync->owner, false), sync->name),
				 errdetail("Role \"%s\" does not have the rights of role \"%s\".",
						   GetUserNameFromId(GetUserId(), false), GetUserNameFromId(sync->owner, false)),
				 errhint("%s", act_membership_hint(sync->owner))));
}

/*
 * The search_path with "$user" as it is now, and temporary relations last:
 * whoever runs the sync later must see what its author saw.
 */
static char *
current_search_path(void)
{
	StringInfoData path;
	List	   *names;
	ListCell   *cell;

	initStringInfo(&path);
	if (SplitIdentifierString(pstrdup(namespace_search_path), ',', &names))
	{
		foreach(cell, names)
		{
			const char *name = lfirst(cell);

			if (strcmp(name, "pg_temp") == 0 || name[0] == '\0')
				continue;
			if (strcmp(name, "$user") == 0)
				name = GetUserNameFromId(GetUserId(), false);
			appendStringInfo(&path, "%s, ", quote_identifier(name));
		}
	}
	appendStringInfoString(&path, "pg_temp");
	return path.data;
}

static void
apply_model(Sync *sync, const char *model)
{
	if (model == NULL)
		return;
	sync->search_path = current_search_path();
	sync->time_zone = pstrdup(GetConfigOption("TimeZone", false, false));
	sync->model = act_model_canonical(model, sync->owner, &sync->model_is_query);
}

static void
apply_key(Sync *sync, const char *key)
{
	if (key == NULL)
		return;
	sync->key = act_identifier_list("key", key, &sync->nkeys);
	if (sync->nkeys > INDEX_MAX_KEYS)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("key names %d columns, and a key can have %d", sync->nkeys, INDEX_MAX_KEYS),
				 errhint("Make one column of some of them in the model.")));
	for (int i = 0; i < sync->nkeys; i++)
	{
		require_utf8("a key column", sync->key[i]);
		if (strncmp(sync->key[i], "activate_", strlen("activate_")) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_RESERVED_NAME),
					 errmsg("key column \"%s\" begins with activate_", sync->key[i]),
					 errdetail("The engine's own columns in the sync's table are named so."),
					 errhint("Give the column another name in the model: model => 'SELECT %s AS id, ...'.",
							 quote_identifier(sync->key[i]))));
	}
}

/*
 * Stored with its zone, so that it means the same whatever zone the model is
 * looked at in later.
 */
static void
apply_schedule(Sync *sync, const DefinitionInput *input)
{
	const char *zone = sync->time_zone;

	if (input->schedule == NULL)
		return;
	if (zone == NULL || input->model != NULL)
		zone = GetConfigOption("TimeZone", false, false);
	sync->schedule = act_schedule_parse(input->schedule, zone)->text;
}

/* Destinations by name, NULL-ended. */
static const char **
destination_names(void)
{
	Oid			wrapper = get_foreign_data_wrapper_oid("activate", false);
	Relation	rel = table_open(ForeignServerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *found = NIL;
	ListCell   *cell;
	const char **names;
	int			count = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_server form = (Form_pg_foreign_server) GETSTRUCT(tuple);

		if (form->srvfdw == wrapper)
			found = lappend(found, pstrdup(NameStr(form->srvname)));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	names = palloc0(sizeof(char *) * (list_length(found) + 1));
	foreach(cell, found)
		names[count++] = lfirst(cell);
	return names;
}

static Destination *
load_destination(const Sync *sync)
{
	const char *nearest;

	if (!OidIsValid(get_foreign_server_oid(sync->destination, true)))
	{
		nearest = act_nearest_name(sync->destination, destination_names());
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("destination \"%s\" does not exist", sync->destination),
				 errdetail("A destination is a foreign server."),
				 nearest ? errhint("Perhaps you meant destination => %s.", quote_literal_cstr(nearest)) :
				 errhint("CREATE SERVER %s FOREIGN DATA WRAPPER activate OPTIONS (connector '...');",
						 quote_identifier(sync->destination))));
	}
	return act_destination_load_object(sync->destination, sync->owner, sync->object, false);
}

static void
apply_mode(Sync *sync, const DefinitionInput *input)
{
	bool		was_mirror = sync->mode == MODE_MIRROR;

	if (input->mode != NULL)
		sync->mode = act_sync_mode_parse(input->mode);
	if (input->on_removed != NULL)
		sync->on_removed = act_on_removed_parse(input->on_removed);
	else if (was_mirror && sync->mode != MODE_MIRROR)
		sync->on_removed = REMOVED_IGNORE;

	if (sync->mode != MODE_MIRROR && sync->on_removed != REMOVED_IGNORE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_removed \"%s\" goes with mode mirror only, and mode is \"%s\"",
						act_on_removed_name(sync->on_removed), act_sync_mode_name(sync->mode)),
				 errhint("mode => 'mirror', or on_removed => 'ignore'.")));
}

/* No row of it is inserted or updated by itself. */
static void
check_unit_mapping(const Sync *sync, const Mapping *mapping)
{
	if (sync->mode != MODE_REPLACE)
		return;
	for (int i = 0; i < mapping->root->nchildren; i++)
	{
		const MappingNode *node = mapping->root->children[i];

		if (node->on != ON_ALWAYS)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("mapping field \"%s\" of sync \"%s\" cannot be sent on %s only in mode \"replace\"",
							node->member, sync->name, node->on == ON_INSERT ? "insert" : "update"),
					 errdetail("Mode replace sends all rows of the model in one request."),
					 errhint("Leave \"$on\" out, or take mode => 'mirror'.")));
	}
}

/* What says how single rows go says nothing of all of them in one request. */
static void
check_unit(const Sync *sync)
{
	const SyncOptions *options = &sync->options;
	const struct
	{
		const char *name;
		bool		set;
	}			refused[] = {
		{"removed_mapping", options->removed_mapping != NULL},
		{"insert_mapping", options->insert_mapping != NULL},
		{"batch_size", options->batch_size > 0},
		{"remove_after", options->remove_after_ms > 0},
		{"canary", options->canary > 0},
		{"changed_fields_only", options->changed_fields_only},
		{"first_run", options->first_run == FIRST_RUN_LINK},
		{"delivery", options->delivery == DELIVERY_AT_MOST_ONCE}
	};

	if (sync->mode != MODE_REPLACE)
		return;
	for (int i = 0; i < lengthof(refused); i++)
	{
		if (refused[i].set)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" cannot go with mode \"replace\"%s", refused[i].name,
							options->first_run == FIRST_RUN_LINK && strcmp(refused[i].name, "first_run") == 0 ?
							" as \"link\"" : ""),
					 errdetail("Mode replace sends all rows of the model in one request."),
					 errhint("Leave it out, or take mode => 'mirror'. In alter_sync: options => '{\"%s\": null}'.",
							 refused[i].name)));
	}
}

/* Records that are there already must be there to be asked for. */
static void
check_first_run(const Sync *sync, const Destination *destination)
{
	char	   *problem;

	if (sync->options.first_run != FIRST_RUN_LINK)
		return;
	problem = act_connector_lookup_problem(destination->connector, sync->nmatch);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"first_run\" \"link\" is not possible: %s", problem),
				 errhint("options => '{\"first_run\": \"send\"}' sends all rows, '{\"first_run\": \"baseline\"}' takes them as sent.")));
}

/* What a field gets, or which fields there are. */
static bool
changes_values(const DefinitionInput *input)
{
	return input->model != NULL || input->destination != NULL || input->object != NULL ||
		input->match != NULL || input->mapping != NULL || input->mode != NULL;
}

Model *
act_definition_apply(Sync *sync, const DefinitionInput *input)
{
	bool		is_new = sync->mapping == NULL;
	bool		was_mirror = !is_new && sync->mode == MODE_MIRROR;
	Destination *destination;
	Model	   *model;

	if (input->destination != NULL)
		sync->destination = pstrdup(input->destination);
	if (input->object != NULL)
		sync->object = input->object[0] != '\0' ? pstrdup(input->object) : NULL;
	require_utf8("the object", sync->object);
	apply_owner(sync, input->owner);
	apply_schedule(sync, input);
	apply_key(sync, input->key);
	apply_mode(sync, input);
	if (input->options != NULL)
	{
		act_sync_options_parse(input->options, sync->on_removed, &sync->options);
		sync->options_text = act_sync_options_given(input->options);
	}
	act_sync_options_parse(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(sync->options_text))),
						   sync->on_removed, &sync->options);
	check_unit(sync);
	apply_model(sync, input->model);

	if (input->object != NULL)
		act_catalog_apply_title(sync);
	destination = load_destination(sync);
	act_definition_apply_object(sync, input, was_mirror, destination);
	act_definition_check_mode(sync);
	act_destination_require_allowed(destination, sync->object,
									act_sync_mode_name(sync->mode), act_on_removed_name(sync->on_removed));
	if (is_new || input->mapping != NULL)
		sync->mapping = act_mapping_canonical(sync, input->mapping);
	model = act_model_resolve(sync);
	check_unit_mapping(sync, model->mapping);
	act_definition_apply_match(sync, input->match, model, destination);
	act_definition_check_fields(sync, model->mapping, destination);
	act_mapping_check_match(model->mapping, sync);
	if (!act_connector_takes_key(destination->connector))
		act_definition_check_removed_match(sync);
	/* With a removal goes the match, which is known only now. */
	if (model->removal != NULL || sync->on_removed != REMOVED_IGNORE)
		model = act_model_resolve(sync);
	else
		act_model_apply_match(model);
	check_first_run(sync, destination);
	if (is_new || sync->options.strict || changes_values(input))
		act_catalog_warn(sync, model, destination->connector);
	act_destination_wipe(destination);
	return model;
}

void
act_definition_tell(const Sync *sync, const Model *model, const char *mapping)
{
	if (mapping == NULL || strcmp(mapping, sync->mapping) != 0)
		ereport(NOTICE,
				(errmsg("mapping of sync \"%s\": %s", sync->name, sync->mapping),
				 errdetail("These are the columns as they are now; a column added later is not sent."),
				 errhint("To take it in then: SELECT activate.alter_sync(%s, mapping => '*');",
						 quote_literal_cstr(sync->name))));
	act_mapping_warn_folded(model->mapping);
	act_model_warn_hidden(model);
	for (int i = 0; i < model->nleaves; i++)
	{
		if (model->leaf_is_clock[i] && act_mapping_leaf_compared(model->mapping, i))
			ereport(WARNING,
					(errcode(ERRCODE_WARNING),
					 errmsg("mapping field \"%s\" of sync \"%s\" is the time of the run",
							model->mapping->leaves[i].label, sync->name),
					 errdetail("Every row changes with it and is sent again by every run."),
					 errhint("Leave it out, or send a time that is stored with the row.")));
	}
}
